from typing import Any

from numpy.typing import NDArray

def share_memory(a: NDArray[Any], b: NDArray[Any]) -> bool: ...
