"""Gumbel-softmax: a sample of the classes that the logits give, with a gradient."""
from functools import partial
from typing import Any

import numpy as np

from .activations import Identity, Softmax, checked_axis
from .core import kernels
from .core.arrays import as_array
from .core.gumbel import with_gumbel_noise
from .core.rows import RowActivation
from .drawing import Drawing
from .generators import checked_rng
from .hyperparameters import Choice, Hyperparameter


def _hard(value):
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"hard must be True or False, not {value!r}")
    return bool(value)


class GumbelSoftmax(Drawing, name="gumbel-softmax"):
    """softmax((x + g)/T) along `axis`, g = -log(-log(u)) with u uniform from 0 to 1, drawn for each element.

    The largest element is that of a class with the probability softmax(x) has for it; the lower T, the nearer the sample to
    one-hot.  Jang et al. 2017, arXiv 1611.01144; Maddison et al. 2017, arXiv 1611.00712.

    Parameters
    ----------
    temperature : float
        T; PyTorch's word for it is tau.
    hard : bool
        Give the one-hot vector of the largest element. `backward` is that of the soft sample all the same (the
        straight-through estimator).
    axis : int, tuple of int or None
        As softmax's.
    rng : None, int, Generator or RandomState
        Each `forward` in training draws the key of its noise, ``int(rng.random()*2**53)``; the noise is a function of key
        and place in C order (`fastnn/core/masks.h`), whatever the number of threads.

    Attributes
    ----------
    training : bool
        True at first. Where it is False there is no noise, and the result is softmax(x/T), or its one-hot vector.
    noise : ndarray or None
        That of the last `forward` in training, which `backward` takes again.

    Arrays are what softmax takes. Given the noise, values and gradients have softmax's bounds of error for x + g, rounded.
    """

    words = {"tau": ("temperature",), "dim": ("axis",)}
    temperature = Hyperparameter(1.0, at_least=1e-12, below=1e12)
    hard = Choice(False, _hard)
    axis = Choice(-1, checked_axis)
    rng = Choice(None, checked_rng)

    def _hyperparameter_set(self):
        soft, hard = Softmax(self.axis, self.temperature), RowActivation()
        hard._bind(kernels.ROWS["hard_max"], self.axis, True)
        self.__dict__.update(_soft=soft, _hard_max=hard)

    @property
    def noise(self) -> Any:
        if self._kept is None:
            return None
        key, shape, dtype = self._kept
        return with_gumbel_noise(np.zeros(shape, dtype), key)

    def forward(self, x: Any, out: np.ndarray | None = None) -> Any:
        """A sample, with new noise while `training`."""
        x = as_array(x, "x")
        kept = None
        if self.training:
            kept = self._new_key(), x.shape, x.dtype
        y = self._of_noisy(self._hard_max.forward if self.hard else self._soft.forward, x, kept and kept[0], out)
        self._kept = kept or self._kept
        return y

    __call__ = forward

    def backward(self, x: Any = None, y: Any = None, grad: Any = None, out: np.ndarray | None = None) -> Any:
        """The gradient of x, given `grad`, that of the sample: in training with the noise of the last `forward`.

        y, the sample, makes it faster where it is soft; then x is not needed. Raises TypeError with neither of what is
        needed, ValueError in training before a forward of x's shape.
        """
        if grad is None or x is None and (y is None or self.hard):
            raise TypeError("backward takes grad, and x or a sample y that is not hard")
        if y is not None and not self.hard:
            return self._soft.backward(y=y, grad=grad, out=out)
        x, key = as_array(x, "x"), None
        if self.training:
            key = self._kept_for(x)[0]
        return self._of_noisy(partial(self._soft.backward, grad=grad), x, key, out)

    def d2y(self, x: Any, out: np.ndarray | None = None) -> Any:
        """d2y_i/dx_i^2 of the soft sample, in training with the noise of the last `forward`.

        Raises ValueError in training before a forward of x's shape.
        """
        x = as_array(x, "x")
        return self._of_noisy(self._soft.d2y, x, self._kept_for(x)[0] if self.training else None, out)

    def value_and_grad(self, x: Any) -> tuple[Any, Any]:
        """(a sample, dy_i/dx_i of the soft sample), with new noise while `training`."""
        x = as_array(x, "x")
        y = self.forward(x)
        key = self._kept[0] if self.training else None
        return y, self._of_noisy(self._soft.backward, x, key, None)

    @staticmethod
    def _of_noisy(call, x, key, out):
        """What a call makes of x, with noise if there is a key; of halves in float32, and as halves."""
        if key is None:
            return call(x, out=out)
        noisy = with_gumbel_noise(x, key)
        if noisy.dtype == x.dtype or x.dtype.kind in "biu":
            return call(noisy, out=out)
        y = np.asarray(call(noisy)).astype(x.dtype.newbyteorder("="))
        if out is None:
            return y[()]
        return Identity().forward(y, out)

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in ("_soft", "_hard_max")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._hyperparameter_set()
