from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

def norm_rows(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike | None, eps: float, centred: bool, out: NDArray[Any] | None = None,
) -> tuple[NDArray[np.floating[Any]], tuple[NDArray[Any], NDArray[np.float64]]]: ...
def norm_rows_backward(
    grad: ArrayLike, kept: tuple[NDArray[Any], ...], gamma: ArrayLike, shifted: bool, centred: bool,
    out: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]: ...
def _stream_above(nbytes: int) -> int: ...
