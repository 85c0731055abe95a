from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

SHARE: int

def leading(
    weights: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike, name: str = "sample_weight",
) -> tuple[NDArray[Any], int]: ...
def reduced(
    bound: Callable[[bool], tuple[int, bytes]], y: ArrayLike, t: ArrayLike, weights: ArrayLike | None, reduction: str,
    wants_value: bool, wants_slope: bool, ignored: float | None = None, out: NDArray[Any] | None = None,
    share_at: int = -1, spread: ArrayLike | None = None, name: str | None = None,
    classes: Callable[[NDArray[Any]], tuple[Any, ...]] | None = None,
) -> tuple[Any, Any]: ...
