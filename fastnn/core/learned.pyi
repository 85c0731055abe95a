from typing import Any

from numpy.typing import ArrayLike, NDArray

def forward(
    kernels: tuple[int, int], x: ArrayLike, parameters: tuple[ArrayLike, ...], axis: int, out: NDArray[Any] | None = None,
    constants: tuple[float, ...] = (),
) -> Any: ...
def second(
    kernels: tuple[int, int], x: ArrayLike, parameters: tuple[ArrayLike, ...], axis: int, out: NDArray[Any] | None = None,
    constants: tuple[float, ...] = (),
) -> Any: ...
def backward(
    kernels: tuple[int, int], x: ArrayLike, parameters: tuple[ArrayLike, ...], axis: int, grad: ArrayLike,
    out: NDArray[Any] | None = None, constants: tuple[float, ...] = (),
) -> tuple[Any, tuple[NDArray[Any], ...]]: ...
def pair_forward(
    kernels: tuple[int, int], a: ArrayLike, b: ArrayLike, parameters: tuple[ArrayLike, ...], axis: int,
    out: NDArray[Any] | None = None, constants: tuple[float, ...] = (),
) -> Any: ...
def pair_backward(
    kernels: tuple[int, int], a: ArrayLike, b: ArrayLike, parameters: tuple[ArrayLike, ...], axis: int, grad: ArrayLike,
    constants: tuple[float, ...] = (),
) -> tuple[Any, Any, tuple[NDArray[Any], ...]]: ...
def random_forward(
    kernels: tuple[int, int], x: ArrayLike, key: int, low: float, high: float, out: NDArray[Any] | None = None,
) -> Any: ...
def random_backward(
    kernels: tuple[int, int], x: ArrayLike, key: int, low: float, high: float, grad: ArrayLike,
    out: NDArray[Any] | None = None,
) -> Any: ...
