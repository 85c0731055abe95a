"""The catalogue of error functions. Formulas: fastnn/core/losses.pxd and softmax.pxd."""
import math
from typing import Any

import numpy as np

from . import bounds
from .core import kernels
from .core.elementwise import ElementwiseLoss
from .core.rows import RowLoss
from .dialects import row
from .hyperparameters import Configurable
from .registry import Registry

_registry = Registry("error function")


def get_err(name: str, *args: Any, like: str | None = None, **kwds: Any) -> "_Elementwise | SoftmaxCrossEntropy":
    """The error function of that name; like="torch", "optax", "keras", "chainer", "sklearn", "dlfs" or "article": the one
    that this source has by that name.

    Raises ValueError for an unknown name or source, TypeError for unknown arguments.
    """
    return row(_registry, name, like)(*args, **kwds)


def losses() -> list[str]:
    """The names of all error functions."""
    return _registry.names()


class _Loss(Configurable):
    """What all error functions share.

    `forward(y, t)` and `backward(y, t)` may be called in several threads at once; what `forward` keeps, for `total_error`
    and `backward` without arguments, is the latest thread's. That is the gradient, computed in the same pass: y and t
    may change afterwards.

    Attributes
    ----------
    error : ndarray or scalar
        What `forward` returned last; 0 before that.
    """

    maker = "get_err"
    error: Any = 0
    _attributes = ("error",)
    _gradient = None            # of the last forward, handed out as copies

    def __init_subclass__(cls, name=None, kernel=None, aliases=(), **kwds):
        super().__init_subclass__(**kwds)
        if name:
            cls.name, cls.kernel = name, kernel
            if cls.__doc__:                             # python -OO has no docstrings
                cls.__doc__ = f"{cls.__doc__.rstrip()}\n\n    {bounds.LOSSES}\n    "
            _registry.add(name, cls, aliases)

    def total_error(self) -> float:
        """The mean of `error`, a float, summed in double precision; NaN where there are no elements."""
        return float(np.mean(self.error, dtype=np.float64)) if np.size(self.error) else math.nan

    def __reduce__(self):
        return type(self), ()

    def _kept(self, y, t):
        """The gradient of the last `forward` if neither y nor t is given, else None."""
        if (y is None) != (t is None):
            raise TypeError(f"{self.name}: give predictions and targets, or neither")
        if y is not None:
            return None
        gradient = self._gradient
        if gradient is None:
            raise ValueError(f"{self.name}: backward() without arguments needs a forward before it, without keep=False")
        return gradient


class _Elementwise(_Loss, ElementwiseLoss):

    def _hyperparameter_set(self):
        self._bind(kernels.ELEMENTWISE[self.kernel], ())

    def forward(self, y: Any, t: Any, out: np.ndarray | None = None, *, keep: bool = True) -> Any:
        """The error of each element, of y's shape and dtype; also kept as `error`.

        keep=False computes no gradient beside it: that is quicker for large arrays, and `backward` then needs y and t.
        """
        error, gradient = self._value_and_derivative(y, t, out, keep)
        self.__dict__.update(error=error, _gradient=gradient)   # quicker than checked attributes
        return error                            # another thread may have set self.error meanwhile

    def backward(self, y: Any = None, t: Any = None, out: np.ndarray | None = None) -> Any:
        """Its derivative in y, element by element; without arguments at the last `forward`, whatever has become of its
        y and t since."""
        kept = self._kept(y, t)
        return self._derivative(y, t, out) if kept is None else self._copy(kept, out)


class Square(_Elementwise, name="Square", kernel="square_error"):
    """(y - t)^2 / 2."""

    also_known = dict.fromkeys(("mse", "mean squared error", "MSELoss", "squared error"),
                               'get_err("mse", like="torch"), of which Square is half')


class Binary(_Elementwise, name="Binary", kernel="binary_cross_entropy"):
    """Binary cross entropy -t log(y) - (1 - t) log(1 - y) of probabilities y.

    At y = 0 and 1 the logarithm is held at -100 and the gradient's denominator at 1e-12, so both stay finite.
    """


class Cross(_Elementwise, name="Cross", kernel="cross_entropy"):
    """Cross entropy -t log(y) of probabilities y, the logarithm held at -100, the gradient's denominator at 1e-12."""


class SigmoidBinaryCrossEntropy(_Elementwise, name="sigmoid-binary-cross-entropy", kernel="sigmoid_cross_entropy"):
    """Binary cross entropy of sigmoid(x), from the logits x: log(1 + exp(x)) - x t; derivative sigmoid(x) - t."""


class SoftmaxCrossEntropy(_Loss, RowLoss, name="softmax-cross-entropy", kernel="softmax_cross_entropy"):
    """Cross entropy of softmax(x) along the last axis, from the logits x. Its derivative is softmax(x) - t.

    Targets are integer labels, of x's shape without its last axis, or distributions (one-hot), of x's shape.
    """

    def _hyperparameter_set(self):
        self._bind(kernels.ROW_LOSSES[self.kernel])

    def forward(self, x: Any, t: Any, *, keep: bool = True) -> Any:
        """The loss of each row, of shape x.shape[:-1]; also kept as `error`.

        keep=False computes no gradient beside it: it reads x and writes nothing of its size, and `backward` then needs x
        and t. Raises TypeError for labels that are no integers, ValueError for shapes or labels that do not fit.
        """
        error, gradient = self._value_and_gradient(x, t, keep)
        self.__dict__.update(error=error, _gradient=gradient)
        return error

    def backward(self, x: Any = None, t: Any = None) -> Any:
        """softmax(x) - t, of x's shape; without arguments at the last `forward`, whatever has become of its x and t.

        It is not divided by the number of rows.
        """
        kept = self._kept(x, t)
        return self._value_and_gradient(x, t)[1] if kept is None else self._copy(kept)
