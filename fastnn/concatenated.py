"""CReLU: an activation whose result is twice as long as its argument."""
from typing import Any

import numpy as np

from .activations import CataloguedActivation, Identity, ReLU
from .core.concatenated import backward, forward
from .hyperparameters import Choice, one_axis


class CReLU(CataloguedActivation, name="CReLU"):
    """max(x, 0) and, behind it along `axis`, max(-x, 0); f'(0) = 0.  Shang et al. 2016, arXiv 1603.05201.

    The result is twice as long along the axis: of (N, 10) it is (N, 20). TensorFlow's `tf.nn.crelu` has the last axis,
    too, Chainer's `functions.crelu` axis 1; PyTorch has none. float16, bfloat16, float32 and float64 keep their dtype,
    bool and integers become float64. Results are C-contiguous; `out` has the result's shape and dtype. Values and
    gradients are exact.

    Raises TypeError for other dtypes and masked arrays, ValueError for shapes that do not fit, an axis that x does not
    have, or a read-only `out`.
    """

    kind = "concatenated"
    axis = Choice(-1, one_axis)

    def forward(self, x: Any, out: np.ndarray | None = None) -> Any:
        """Both parts of x."""
        return forward(x, self.axis, out)

    __call__ = forward

    def backward(self, x: Any = None, y: Any = None, grad: Any = None, out: np.ndarray | None = None) -> Any:
        """The gradient of x, given `grad`, that of the result. y is not needed."""
        if x is None or grad is None:
            raise TypeError("backward takes x and grad")
        return backward(x, grad, self.axis, out)

    def d2y(self, x: Any) -> Any:
        """Zeros of the result's shape, NaN where it is: both parts are straight."""
        return Identity().d2y(forward(x, self.axis))

    def value_and_grad(self, x: Any) -> tuple[Any, Any]:
        """(both parts of x, the derivative of each element in the x that it is of): 1 where max(x, 0) is above 0, -1 where
        max(-x, 0) is, else 0."""
        y = forward(x, self.axis)
        slopes = ReLU().backward(y)
        negative = np.split(slopes, 2, self.axis)[1]
        np.negative(negative, out=negative, where=negative > 0)
        return y, slopes
