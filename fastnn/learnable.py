"""Activations with parameters that are learned: PReLU, and the forms that `get_act(name, learn=...)` makes of others.

The derivatives in the parameters are in fastnn/core/learnable.pxd.
"""
from functools import cache
from types import new_class
from typing import Any

import numpy as np

from .activations import CataloguedActivation, _registry
from .core.arrays import OVERWRITTEN, share_memory
from .core.learned import backward, forward, second
from .core.levels import pairs
from .hyperparameters import Choice, Hyperparameter, one_axis


class Parameter(Hyperparameter):
    """An array that is learned, of float32 or float64. Given as a number, it begins with that for every channel.

    A range holds for the initial value only; training may leave it.
    """

    def checked(self, value):
        if not (isinstance(value, np.ndarray) and value.ndim):
            return self.number(value)
        if value.dtype not in (np.float32, np.float64):
            raise TypeError(f"{self.name} must be of float32 or float64, not {value.dtype}")
        return value


def number_of_channels():
    """The hyperparameter: 1 for one of each parameter, or how many channels have one each."""
    return Hyperparameter(1, at_least=1, integer=True)


class Learnable(CataloguedActivation):
    """An activation with parameters that are learned: what PReLU, forms made by `learn=` and users' formulas share.

    `backward` leaves the gradient of each parameter NAME in `dNAME`; layers, optimizers and states find them here.
    Subclasses have hyperparameters `channels` and `axis`, and a `Parameter` by each name in `learned`.
    """

    kind = "learnable"
    learned = ()                # the names of its parameters, attributes that hold arrays of shape (channels,)
    _constants = ()             # that its kernel reads besides

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self.__dict__.update({f"d{name}": None for name in self.learned})

    def _set(self, values):
        found = {**self.__dict__, **values}
        channels, begun = found["channels"], dict(found.get("_begun", {}))
        if "channels" in self.__dict__ and channels != self.channels:
            raise ValueError(f"{self.name}: channels cannot be changed, there are parameters for {self.channels}")
        values = dict(values)
        for name in self.learned:
            if name not in values:
                continue
            if isinstance(values[name], np.ndarray):
                if values[name].shape != (channels,):
                    raise ValueError(f"{name} must have shape ({channels},), not {values[name].shape}")
            else:
                begun.setdefault(name, values[name])            # which the repr shows
                values[name] = np.full(channels, values[name])
        super()._set({**values, "_begun": begun})

    def _shown_values(self):
        shown = {**self.__dict__, **self._begun}
        return [f"{name}={shown[name]!r}" for name in self.hyperparameters
                if not (isinstance(declared := getattr(type(self), name), Choice) and shown[name] == declared.default)]

    def _kernels(self):
        """((address for float, for double), the names of the parameters in the kernel's order)."""
        return pairs.LEARNED[self.kernel]

    def _bent(self):
        """The addresses of the kernels of f''."""
        return pairs.LEARNED_BENDS[self.kernel]

    def _values(self, names):
        return tuple(self.__dict__[name] for name in names)

    @property
    def params(self) -> dict[str, np.ndarray]:
        """Its parameters by name, the arrays themselves."""
        return {name: self.__dict__[name] for name in self.learned}

    @property
    def grads(self) -> dict[str, Any]:
        """Their gradients of the last `backward` by name, None before one."""
        return {name: self.__dict__[f"d{name}"] for name in self.learned}

    def forward(self, x: Any, out: np.ndarray | None = None) -> Any:
        """f(x)."""
        addresses, names = self._kernels()
        return forward(addresses, x, self._values(names), self.axis, out, self._constants)

    __call__ = forward

    def backward(self, x: Any = None, y: Any = None, grad: Any = None, out: np.ndarray | None = None) -> Any:
        """The gradient of x, given `grad`, that of f(x); those of the parameters are left in `dNAME`. y is not needed."""
        if x is None or grad is None:
            raise TypeError("backward takes x and grad")
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and share_memory(x, y):
            raise ValueError(OVERWRITTEN)
        addresses, names = self._kernels()
        dx, gradients = backward(addresses, x, self._values(names), self.axis, grad, out, self._constants)
        self.__dict__.update({f"d{name}": gradient for name, gradient in zip(names, gradients) if name in self.learned})
        return dx

    def d2y(self, x: Any, out: np.ndarray | None = None) -> Any:
        """f''(x), the second derivative in x."""
        return second(self._bent(), x, self._values(self._kernels()[1]), self.axis, out, self._constants)

    def value_and_grad(self, x: Any) -> tuple[Any, Any]:
        """(f(x), f'(x)); no gradients of the parameters are left."""
        addresses, names = self._kernels()
        values = self._values(names)
        return (forward(addresses, x, values, self.axis, None, self._constants),
                backward(addresses, x, values, self.axis, 1.0, None, self._constants)[0])

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
    alpha : float
        What it begins with: PyTorch's 0.25, as in the paper; Keras' is 0. PyTorch's word for it is init.
    axis : int
        That of the channels; ignored if there is one alpha.

    Attributes
    ----------
    alpha : ndarray of shape (channels,)
        float64; it is rounded to x's dtype in each pass. Replace it by a float32 array to have that stepped.
    dalpha : ndarray or None
        Its gradient after `backward`, summed in double precision.
    params, grads : dict
        Both by name.

    Arrays are what elementwise activations take, and results as theirs, but always row after row; `out` may be x or grad.
    Values are within 1 ULP of the exact value for that alpha. Raises TypeError for other dtypes and masked arrays,
    ValueError for shapes that do not fit.
    """

    learned = ("alpha",)
    _attributes = ("dalpha",)
    words = {"init": ("alpha",), "num_parameters": ("channels",)}

    channels = number_of_channels()
    alpha = Parameter(0.25)
    axis = Choice(1, one_axis)


class LearnedForm(Learnable):
    """What `get_act(name, learn=...)` makes: f(x) as the activation of that name, with parameters that are learned.

    Parameters
    ----------
    learn : str or tuple of str
        Which hyperparameters of the activation are learned: an array attribute NAME of shape (channels,), which begins with
        the number given, and its gradient dNAME after `backward`, summed in double precision. Others stay numbers.
    channels : int
        1 for one of each, or how many channels have one each.
    axis : int
        That of the channels; ignored if there is one of each.

    Arrays and `out` are as PReLU's. What is learned may begin with any finite number, a negative one, too, whatever the range
    of the hyperparameter. float32 and float64 have the activation's error bounds, whatever finite number has been learned (a
    beta of Swish beyond 1e9 counts as 1e9); derivatives in parameters are within 8 ULP (fastnn/bounds.py).
    """

    _row = None                 # the class of the activation

    @property
    def learn(self) -> Any:
        """Which parameters are learned, as it was given."""
        return self.learned[0] if len(self.learned) == 1 else self.learned

    def _shown_values(self):
        shown = super()._shown_values()
        at = len(self._row.hyperparameters)
        return [*shown[:at], f"learn={self.learn!r}", *shown[at:]]

    def __reduce__(self):
        return _unfinished, (self._row, self.learned), self.__dict__


def learnable() -> dict[str, tuple[str, ...]]:
    """What can be learned, by the names of activations: get_act(name, learn=...) takes any of these."""
    rows = {name: _registry[name] for name in _registry.names()}
    return {name: found for name, row in rows.items()
            if (found := row.learned if issubclass(row, Learnable) else row.learns)}


def _unfinished(row, learned):
    form = learned_form(row, learned)
    return form.__new__(form)


def learned_form(row: Any, learn: Any) -> Any:
    """The class of an activation with parameters that are learned: some of those in its `learns`.

    Raises TypeError where learn is no name or sequence of names, ValueError where the activation cannot learn that.
    """
    names = (learn,) if isinstance(learn, str) else tuple(learn) if isinstance(learn, (tuple, list)) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"learn must be the name of a hyperparameter or a tuple of them, not {learn!r:.80}")
    known = row.learned if issubclass(row, Learnable) else row.learns
    if len(set(names)) < len(names) or not set(names) <= set(known):
        can = f"learns {', '.join(known)}" if known else "learns nothing"
        if row.name == "leaky-ReLU":
            can += " (PReLU learns its alpha)"
        raise ValueError(f"{row.name} {can}: learn cannot be {learn!r:.80}")
    return row if issubclass(row, Learnable) else _form(row, tuple(name for name in known if name in names))


@cache
def _form(row, learned):
    def body(space):
        for name in row.hyperparameters:
            of = getattr(row, name)
            space[name] = Parameter(of.default) if name in learned else Hyperparameter(
                of.default, above=of.above, at_least=of.at_least, below=of.below)
        space.update(learned=learned, _attributes=tuple(f"d{name}" for name in learned), _row=row, name=row.name,
                     kernel=row.kernel, channels=number_of_channels(), axis=Choice(1, one_axis), words=row.words,
                     __doc__=f"{row.__doc__}\n\n{LearnedForm.__doc__}", __module__=__name__)

    return new_class(f"Learned{row.__name__}", (LearnedForm,), exec_body=body)
