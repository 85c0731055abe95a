"""Losses whose formula is a Python function of a prediction and a target: differentiated, checked, compiled at first use."""
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..hyperparameters import Hyperparameter
from ..losses import Elementwise, _registry
from .compiler import require_numba
from .entries import Formula, Kernels, Missing, Underivable, checked_hyperparameters, registering
from .errors import place_of
from .kernels import BOTH, loss
from .names import restored
from .partials import derivatives


def register_loss(name: str, function: Callable[..., Any] | None = None, /, *, grad: Callable[..., Any] | None = None,
                  aliases: Sequence[str] = (), replace: bool = False, **hyperparameters: float | Hyperparameter) -> Any:
    """A decorator that makes an error function of a Python function: `get_err(name)` is then like a built-in one.

        @register_loss("log-cosh-of", scale=1.0)
        def formula(y, t, scale):
            d = (y - t)/scale
            return abs(d) + math.log1p(math.exp(-2*abs(d)))

    The function is called once, with symbols for one prediction, its target, and the hyperparameters, and may use what those
    of `register_act` may. Its derivative in the prediction is derived, unless it is given, and compared with differences of
    the formula, with several targets. Value and derivative are computed in one pass, with weights, reductions, layouts, dtypes
    and threads as built-in ones have them. It is compiled for float32 and float64 when the first object of that name is made.

    Parameters
    ----------
    name : str
        Ignores case, spaces, - and _, as all names do.
    function : function, optional
        If the result is not used as a decorator.
    grad : function, optional
        The derivative in the prediction, of the same arguments, where a better form is known than the derived one; so is
        the decorator `derivative` of what the function becomes.
    aliases : sequence of str
        Other names.
    replace : bool
        Whether names may be taken from other error functions. `unregister` gives them back to fastnn's own.
    **hyperparameters : number or fastnn.hyperparameters.Hyperparameter
        The defaults of all arguments of the function but the first two.

    Returns
    -------
    decorator, or what it returns of `function`
        A `Formula`, which can be called like the function.

    Raises
    ------
    ImportError
        If numba is not installed.
    FormulaError
        A ValueError, which names the line of the formula: it cannot be compiled, or the derivative is wrong.
    TypeError, ValueError
        For a name that is taken and for hyperparameters that do not fit the function. Nothing is registered then.
    """
    require_numba()
    if isinstance(aliases, str) or not all(isinstance(alias, str) for alias in aliases):
        raise TypeError(f"aliases must be a sequence of names, not {aliases!r}")
    aliases = tuple(aliases)
    for spelling in (name, *aliases):
        _registry.check(spelling, replace)
    own = checked_hyperparameters(hyperparameters, Elementwise, "error functions")

    def register(function):
        formula = Loss(name, function, own, grad)
        _registry.add(name, formula.loss, aliases, replace=replace)
        return formula
    return registering(register, function)


TARGETS = {"t", "target", "targets", "true", "y_true", "label", "labels"}
PREDICTIONS = {"pred", "prediction", "predictions", "y_pred", "y_hat", "output", "outputs"}


class RegisteredLoss(Elementwise):
    """What error functions made by `register_loss` share."""

    _compiled = None            # of the class: its Kernels

    def _hyperparameter_set(self):
        kernels = self._compiled
        self._bind(kernels.addresses, kernels.parameters(self))

    @classmethod
    def _caller(cls, title, values, rest):
        """For explain: what computes a formula of these, given the first element."""
        err, (t,) = cls(**values), rest.values()
        call = err.forward if title == "f" else err.backward
        return lambda y: call(y, np.full_like(y, t))

    def _values(self):
        return {key: self.__dict__[key] for key in (*self.hyperparameters, *self.options)}

    def __copy__(self):
        return type(self)(**self._values())

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce__(self):
        return partial(restored, **self._values()), (_registry.noun, self.name, type(self).__module__)


class Loss(Formula):
    """The formula of an error function.

    Attributes
    ----------
    loss : type
        What get_err(name) makes an object of.
    """

    def __init__(self, name, function, hyperparameters, grad):
        super().__init__(name, function, ["y", "t"], hyperparameters)
        first, second = map(str, self._elements)
        if first in TARGETS or second in PREDICTIONS:
            raise ValueError(f"the first argument of a loss is the prediction, the second one its target: {name} has "
                             f"({first}, {second})")
        kernels = self._checked() if grad is None else self._checked(self._traced(grad, 1), place_of(grad))
        self.loss = self.entry = self._class_of(RegisteredLoss, kernels, _elements=tuple(self._elements))

    def derivative(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator: the function is the derivative in the prediction. Raises FormulaError, and changes nothing, if it is
        not."""
        self.loss._compiled = self._checked(self._traced(function, 1), place_of(function))
        return function

    def _checked(self, given=None, line=None):
        """The kernels, with a derivative that is given."""
        y = self._elements[0]
        try:
            slope, = derivatives(self.name, self._value, self._elements, [y], self._defaults, self._hyperparameters, given,
                                 line)
        except Underivable as missing:
            return Missing(missing.error)
        formulas = {"f": self._value, f"df/d{y}": slope}
        return Kernels(formulas, loss(self._value, slope, self._elements),
                       {**dict(enumerate(formulas)), BOTH: f"f and df/d{y}"})
