from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

def drop(
    x: ArrayLike, ratio: float, key: int, out: NDArray[Any] | None = None, factor: float = 1.0,
) -> tuple[NDArray[Any], NDArray[np.bool_]]: ...
def masked(
    x: ArrayLike, mask: NDArray[np.bool_], out: NDArray[Any] | None = None, factor: float = 1.0,
) -> NDArray[Any]: ...
def philox(key: int, counter: int, stream: int = 0) -> NDArray[np.uint32]: ...
