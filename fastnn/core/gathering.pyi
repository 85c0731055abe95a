from typing import Any

import numpy as np
from numpy.typing import NDArray

def gather(a: NDArray[Any], rows: NDArray[np.intp], out: NDArray[Any]) -> NDArray[Any]: ...
