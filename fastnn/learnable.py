"""The catalogue of activations with a parameter that is learned.

`get_act` makes them, too; `activations()`, whose entries are functions of x alone, does not list them, `learnable()` does.
The formulas are in fastnn/core/learnable.pxd.
"""
from operator import index
from typing import Any

import numpy as np

from .activations import CataloguedActivation, _learnable
from .core.learned import backward, forward
from .core.levels import pairs
from .hyperparameters import Choice, Hyperparameter


def learnable() -> list[str]:
    """The names of all activations with a parameter that is learned."""
    return _learnable.names()


def _axis(value):
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"axis must be an integer, not {value!r}") from None


class Learnable(CataloguedActivation):
    """An activation with parameters that are learned: what PReLU, forms made by `learn=` and users' formulas share.

    `backward` leaves the gradient of each parameter NAME in `dNAME`; layers, optimizers and states find them here.
    """

    learned = ()                # the names of its parameters, attributes that hold arrays of shape (channels,)

    @property
    def params(self) -> dict[str, np.ndarray]:
        """Its parameters by name, the arrays themselves."""
        return {name: getattr(self, name) for name in self.learned}

    @property
    def grads(self) -> dict[str, Any]:
        """Their gradients of the last `backward` by name, None before one."""
        return {name: getattr(self, f"d{name}") for name in self.learned}

    def update(self, optimizer: Any) -> None:
        """Let `optimizer` step the parameters with the gradients of the last `backward`."""
        grads = self.grads
        if any(grad is None for grad in grads.values()):
            raise ValueError(f"{self.name}: update needs a backward before it")
        optimizer.step(list(self.params.values()), list(grads.values()))


class PReLU(Learnable, name="PReLU", kernel="prelu"):
    """x, where x is not above 0 alpha x; f'(0) = alpha, as in PyTorch.  He et al. 2015, arXiv 1502.01852.

    Parameters
    ----------
    channels : int
        1 for one alpha, or how many channels have one each (PyTorch's num_parameters; Keras has one a feature).
    init : float
        What alpha begins with: PyTorch's 0.25, as in the paper; Keras' is 0.
    axis : int
        That of the channels; not looked at where there is one alpha.

    Attributes
    ----------
    alpha : ndarray of shape (channels,)
        float64; it is rounded to x's dtype in each pass. Replace it by a float32 array to have that stepped.
    dalpha : ndarray or None
        Its gradient after `backward`, summed in double precision.

    Arrays are what elementwise activations take, and results as theirs, but always row after row; `out` may be x or grad.
    Values are within 1 ULP of the exact value for that alpha. Raises TypeError for other dtypes and masked arrays,
    ValueError for shapes that do not fit.
    """

    catalogue = _learnable
    channels = Hyperparameter(1, at_least=1, integer=True)
    init = Hyperparameter(0.25, above=-1e30, below=1e30)
    axis = Choice(1, _axis)
    learned = ("alpha",)
    _attributes = ("alpha", "dalpha")

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self.alpha = np.full(self.channels, self.init)
        self.dalpha = None

    def forward(self, x: Any, out: np.ndarray | None = None) -> Any:
        """f(x)."""
        return forward(pairs.PAIRS[self.kernel], x, self.alpha, self.axis, out)

    __call__ = forward

    def backward(self, x: Any = None, y: Any = None, grad: Any = None, out: np.ndarray | None = None) -> Any:
        """The gradient of x, given `grad`, that of f(x); that of alpha is left in `dalpha`. y is not needed."""
        if x is None or grad is None:
            raise TypeError("backward takes x and grad")
        dx, self.dalpha = backward(pairs.PAIRS[self.kernel], x, self.alpha, self.axis, grad, out)
        return dx
