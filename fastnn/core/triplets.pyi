from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

def triplet(
    constants: tuple[float, float, float, float], anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, wanted: bool,
    reduction: str, weights: ArrayLike | None = None,
) -> tuple[Any, Any]: ...
def computed_in(value: ArrayLike, name: str) -> tuple[NDArray[Any], np.dtype[Any]]: ...
def in_dtype(array: ArrayLike, dtype: np.dtype[Any]) -> Any: ...
