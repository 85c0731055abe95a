from typing import Any

import numpy as np
from numpy.typing import NDArray

def add_decay(grad: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]], l2: float, l1: float) -> None: ...
