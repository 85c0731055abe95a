"""Gated units whose formula is a Python function of two numbers: both derivatives are derived, checked, and computed in one
pass. Made by `register_act`."""
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..core.gated_units import GatedUnit
from ..gated import Gated
from .activations import PAIR
from .entries import Formula, Kernels, Missing, Underivable
from .errors import place_of
from .kernels import pair
from .names import restored
from .partials import derivatives


class RegisteredPair(Gated):
    """What gated units made by `register_act` share."""

    _compiled = None            # of the class: its Kernels
    _formula = None             # and its Pair

    def _hyperparameter_set(self):
        kernels = self._compiled
        self._bind(kernels.addresses, kernels.parameters(self), self.axis, self.gate_half == "first")

    def d2y(self, x: Any, gate: Any = None) -> tuple[Any, Any, Any]:
        """(d2y/da2, d2y/dadb, d2y/db2), each like y, derived and compiled at the first call."""
        bent, unit = self._formula.bent, GatedUnit()
        unit._bind(bent.addresses, bent.parameters(self), -1, False)
        a, b = self._parts(x, gate)
        return unit.forward(a, b), *unit.backward(a, grad=1.0, gate=b)

    @classmethod
    def _caller(cls, title, values, rest):
        """For explain: what computes a formula of these, given the first element."""
        unit, (b,) = cls(**values), rest.values()

        def call(a):
            gate = np.full_like(a, b)
            if title == "f":
                return unit.forward(a, gate=gate)
            return unit.backward(a, grad=np.ones_like(a), gate=gate)[title == "df/db"]
        return call

    def __copy__(self):
        return type(self)(*(self.__dict__[key] for key in self.hyperparameters))

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce__(self):
        values = (self.__dict__[key] for key in self.hyperparameters)
        return restored, (self.catalogue.noun, self.name, type(self).__module__, *values)


class Pair(Formula):
    """The formula of a gated unit.

    Attributes
    ----------
    activation : type
        What get_act(name) makes an object of.
    """

    def __init__(self, name, function, hyperparameters):
        super().__init__(name, function, PAIR, hyperparameters)
        self.activation = self.entry = self._class_of(RegisteredPair, self._checked(), _elements=tuple(PAIR), _formula=self)

    def derivative(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator: the function returns (df/da, df/db). Raises FormulaError, and changes nothing, if it does not."""
        self.activation._compiled = self._checked(self._traced(function, 2), place_of(function))
        self.__dict__.pop("bent", None)
        return function

    @cached_property
    def bent(self) -> Kernels:
        """The kernels of d2f/da2 and, back, of d2f/dadb and d2f/db2. Raises FormulaError where the chain rule finds none."""
        _, of_a, of_b = self.activation._compiled.formulas.values()
        try:
            bends = [*derivatives(f"df/da of {self.name}", of_a, PAIR, PAIR, self._defaults, self._hyperparameters),
                     *derivatives(f"df/db of {self.name}", of_b, PAIR, PAIR[1:], self._defaults, self._hyperparameters)]
        except Underivable as missing:
            raise missing.error from None
        return Kernels(dict(zip(("d2f/da2", "d2f/dadb", "d2f/db2"), bends)), pair(*bends, PAIR), {0: "d2f/da2", 1: "others"})

    def _checked(self, given=None, line=None):
        """The kernels, with derivatives that are given."""
        try:
            slopes = derivatives(self.name, self._value, PAIR, PAIR, self._defaults, self._hyperparameters, given, line)
        except Underivable as missing:
            return Missing(missing.error)
        formulas = {"f": self._value, "df/da": slopes[0], "df/db": slopes[1]}
        return Kernels(formulas, pair(self._value, *slopes, PAIR), {0: "f", 1: "df/da grad, df/db grad"})
