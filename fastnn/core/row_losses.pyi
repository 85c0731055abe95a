from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike, NDArray

class RowLoss:
    def _bind(self, kernels: tuple[int, int], constants: tuple[float, ...] = (), takes_labels: bool = True) -> None: ...
    def _value_and_gradient(
        self, x: ArrayLike, t: ArrayLike, wanted: bool = True, reduction: str = "none", weights: ArrayLike | None = None,
        classes: Callable[[NDArray[Any], int], NDArray[Any]] | None = None, smoothing: float = 0, ignored: int | None = None,
        of_terms: bool = True,
    ) -> tuple[Any, Any]: ...
    def _copy(self, gradient: NDArray[Any]) -> Any: ...
