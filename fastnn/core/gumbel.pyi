from typing import Any

from numpy.typing import ArrayLike, NDArray

def with_gumbel_noise(x: ArrayLike, key: int) -> NDArray[Any]: ...
