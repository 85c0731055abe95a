"""Activations whose formula is a Python function of a number and of parameters that are learned: the derivatives in all of
them are derived, checked, and computed in one pass. Made by `register_act(learn=...)`."""
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..core.learned import second
from ..hyperparameters import Choice, one_axis
from ..learnable import Learnable, Parameter, number_of_channels
from .entries import Formula, Kernels, Missing, Underivable
from .errors import place_of
from .kernels import learned
from .names import blank
from .partials import derivatives

MOST_LEARNED = 8            # as in fastnn/core/pair_kernels.pxd
OWN = ("channels", "axis")  # hyperparameters of all, behind those of the formula


class RegisteredLearnable(Learnable):
    """What activations with learned parameters made by `register_act` share."""

    _compiled = None            # of the class: its Kernels
    _formula = None             # and its LearnedFormula

    def _hyperparameter_set(self):
        self.__dict__["_addresses"] = self._compiled.addresses
        self.__dict__["_constants"] = self._compiled.parameters(self)

    def _kernels(self):
        return self._addresses, self.learned

    def d2y(self, x: Any, out: np.ndarray | None = None) -> Any:
        """f''(x), the second derivative in x, derived and compiled at the first call."""
        bent = self._formula.bent
        return second(bent.addresses, x, self._values(self.learned), self.axis, out, bent.parameters(self))

    @classmethod
    def _caller(cls, title, values, rest):
        """For explain: what computes a formula of these, given the first element."""
        act = cls(**values | rest)

        def call(x):
            if title == "f":
                return act.forward(x)
            if title == "df/dx":
                return act.backward(x, grad=np.ones_like(x))
            name, found = title.removeprefix("df/d"), np.empty_like(x)
            for i, one in enumerate(x):                     # gradients are summed
                act.backward(np.array([one]), grad=np.ones(1, x.dtype))
                found[i] = act.grads[name][0]
            return found
        return call

    def __copy__(self):
        return self._with(self.__dict__)

    def __deepcopy__(self, memo):
        return self._with({name: np.array(value) if isinstance(value, np.ndarray) else value
                           for name, value in self.__dict__.items()})

    def _with(self, state):
        found = type(self).__new__(type(self))
        found.__dict__.update(state)
        return found

    def __reduce__(self):
        state = {name: value for name, value in self.__dict__.items() if name not in ("_addresses", "_constants")}
        return blank, (self.catalogue.noun, self.name, type(self).__module__), state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._hyperparameter_set()


class LearnedFormula(Formula):
    """The formula of an activation with learned parameters.

    Attributes
    ----------
    activation : type
        What get_act(name) makes an object of.
    """

    _base = RegisteredLearnable
    _operands = ["x"]           # what the function takes before the parameters

    def __init__(self, name, function, hyperparameters, names):
        """names: of the hyperparameters that are learned."""
        self._learned = names
        super().__init__(name, function, self._operands,
                         {key: one for key, one in hyperparameters.items() if key not in names},
                         {key: hyperparameters[key] for key in names})
        own = {key: parameter_of(one) if key in names else one for key, one in hyperparameters.items()}
        self.activation = self.entry = self._class_of(
            self._base, self._checked(), own | self._options(), learned=tuple(names), _formula=self,
            _attributes=tuple(f"d{key}" for key in names), _elements=tuple(self._elements))

    def _options(self):
        """Hyperparameters of all of these."""
        return {"channels": number_of_channels(), "axis": Choice(1, one_axis)}

    def _called(self, names):
        return self._operands

    def derivative(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator: the function returns the derivatives in x, or a and b, and in each parameter, in the order of
        `learn`. Raises FormulaError, and changes nothing, if it does not."""
        self.activation._compiled = self._checked(self._traced(function, len(self._elements)), place_of(function))
        self.__dict__.pop("bent", None)
        return function

    @cached_property
    def bent(self) -> Kernels:
        """The kernels of f''. Raises FormulaError where the chain rule finds none."""
        try:
            bend, = derivatives(f"f' of {self.name}", self.activation._compiled.formulas[f"df/d{self._elements[0]}"],
                                self._elements, self._elements[:1], self._defaults, self._ranges)
        except Underivable as missing:
            raise missing.error from None
        return Kernels({"f''": bend}, learned(bend, (), "x", self._learned), {0: "f''", 2: "f'', parameters by element"})

    def _checked(self, given=None, line=None):
        """The kernels, with derivatives that are given."""
        try:
            slopes = derivatives(self.name, self._value, self._elements, self._elements, self._defaults,
                                 self._ranges, given, line)
        except Underivable as missing:
            return Missing(missing.error)
        formulas = {"f": self._value, **{f"df/d{key}": node for key, node in zip(self._elements, slopes)}}
        titles = dict(enumerate(("f", "gradients", "f, parameters by element", "gradients, parameters by element")))
        return Kernels(formulas, learned(self._value, slopes, "x", self._learned), titles)


def parameter_of(declared):
    """What is learned of a hyperparameter, whose range is that of what it begins with."""
    return Parameter(declared.default, above=declared.above, at_least=declared.at_least, below=declared.below)
