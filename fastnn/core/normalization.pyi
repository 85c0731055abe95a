from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

def normalize(
    x: ArrayLike, mean: ArrayLike, var: ArrayLike, gamma: ArrayLike, beta: ArrayLike, eps: float,
    out: NDArray[Any] | None = None,
) -> NDArray[np.floating[Any]]: ...
def normalize_batch(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, eps: float, momentum: float, running_mean: ArrayLike,
    running_var: ArrayLike, out: NDArray[Any] | None = None, unbiased: bool = False,
) -> tuple[NDArray[Any], tuple[NDArray[Any], ...], NDArray[Any], NDArray[Any]]: ...
def normalize_batch_backward(
    grad: ArrayLike, kept: tuple[NDArray[Any], ...], gamma: ArrayLike, out: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
