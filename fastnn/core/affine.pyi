from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

def add_bias(z: NDArray[Any], bias: ArrayLike) -> NDArray[Any]: ...
def activate_with_bias(
    activation: Any, z: NDArray[Any], bias: ArrayLike, out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def column_sums(a: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[np.floating[Any]]: ...
