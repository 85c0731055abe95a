"""RReLU: a leaky ReLU whose slopes are random in training."""
from typing import Any

import numpy as np

from .core.arrays import OVERWRITTEN, as_array, share_memory
from .core.learned import backward, forward, random_backward, random_forward, second
from .core.levels import pairs
from .drawing import Drawing
from .generators import checked_rng
from .hyperparameters import Choice, Hyperparameter

KERNELS = pairs.LEARNED["prelu"][0]


class RReLU(Drawing, name="RReLU"):
    """x, where x is not above 0 r x, r drawn between lower and upper for each element while `training`, else their mean.

    Xu et al. 2015, arXiv 1505.00853; f'(0) = r, as in PyTorch.

    Parameters
    ----------
    lower, upper : float
        The paper's 1/8 and 1/3 by default.
    rng : None, int, Generator or RandomState
        Each `forward` in training draws the key of its slopes, ``int(rng.random()*2**53)``; they are a function of key and
        place (`fastnn/core/masks.h`), whatever the number of threads.

    Attributes
    ----------
    training : bool
        True at first, as in `torch.nn.RReLU`.
    slopes : ndarray or None
        Those of the last `forward` in training, which `backward` has.

    Arrays are what elementwise activations take, results are C-contiguous; `out` may be x or grad.
    """

    lower = Hyperparameter(1/8, above=-1e30, below=1e30)
    upper = Hyperparameter(1/3, above=-1e30, below=1e30)
    rng = Choice(None, checked_rng)

    def _check_together(self, values):
        found = {**self.__dict__, **values}
        if found["lower"] > found["upper"]:
            raise ValueError(f"lower must be at most upper, not {found['lower']!r} with {found['upper']!r}")

    @property
    def slopes(self) -> Any:
        if self._kept is None:
            return None
        key, shape, lower, upper = self._kept
        return -random_forward(KERNELS, np.full(shape, -1.0), key, lower, upper)

    def forward(self, x: Any, out: np.ndarray | None = None) -> Any:
        """f(x), with new slopes while `training`."""
        x = as_array(x, "x")
        if not self.training:
            return forward(KERNELS, x, ((self.lower + self.upper)/2,), 0, out)
        kept = self._new_key(), x.shape, self.lower, self.upper
        y = random_forward(KERNELS, x, kept[0], *kept[2:], out)
        self._kept = kept
        return y

    __call__ = forward

    def backward(self, x: Any = None, y: Any = None, grad: Any = None, out: np.ndarray | None = None) -> Any:
        """The gradient of x, given `grad`, that of f(x): in training with the slopes of the last `forward`, otherwise with
        their mean. y is not needed.

        Raises ValueError in training before a forward of x's shape.
        """
        if x is None or grad is None:
            raise TypeError("backward takes x and grad")
        x = as_array(x, "x")
        if isinstance(y, np.ndarray) and share_memory(x, y):
            raise ValueError(OVERWRITTEN)
        if not self.training:
            return backward(KERNELS, x, ((self.lower + self.upper)/2,), 0, grad, out)[0]
        key, _, lower, upper = self._kept_for(x)
        return random_backward(KERNELS, x, key, lower, upper, grad, out)

    def d2y(self, x: Any, out: np.ndarray | None = None) -> Any:
        """Zeros like x, whatever the slopes: both pieces are straight."""
        return second(pairs.LEARNED_BENDS["prelu"], x, (0.0,), 0, out)

    def value_and_grad(self, x: Any) -> tuple[Any, Any]:
        """(f(x), f'(x)), with new slopes while `training`."""
        return self.forward(x), self.backward(x, grad=1.0)
