from typing import Any

from numpy.typing import ArrayLike, NDArray

def forward(
    kernels: tuple[int, int], x: ArrayLike, parameter: ArrayLike, axis: int, out: NDArray[Any] | None = None,
) -> Any: ...
def backward(
    kernels: tuple[int, int], x: ArrayLike, parameter: ArrayLike, axis: int, grad: ArrayLike,
    out: NDArray[Any] | None = None,
) -> tuple[Any, NDArray[Any]]: ...
