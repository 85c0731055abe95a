import numpy as np
from numpy.typing import NDArray

def largest_error(
    got: NDArray[np.float32], exact: NDArray[np.float64], floor: float = 0,
) -> tuple[float, int]: ...
