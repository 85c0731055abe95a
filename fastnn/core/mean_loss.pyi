from typing import Any

import numpy as np
from numpy.typing import NDArray

def labels_fit(labels: NDArray[np.intp], classes: int) -> bool: ...
def mean_row_loss(kernels: tuple[int, int], x: NDArray[Any], t: NDArray[Any], out: NDArray[Any]) -> float: ...
