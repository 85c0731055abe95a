"""Gated units with learned parameters, whose formula is a Python function of a, b and of these: all derivatives are derived,
checked, and computed in one pass. Made by `register_act(learn=...)`."""
from functools import cached_property
from typing import Any

import numpy as np

from ..core.arrays import OVERWRITTEN, share_memory
from ..core.gated_units import GatedUnit, checked_gradients, sums_over
from ..core.learned import pair_backward, pair_forward
from ..gated import _half
from ..hyperparameters import Choice, one_axis
from ..learnable import number_of_channels
from .activations import PAIR
from .entries import Kernels, Missing, Underivable
from .kernels import learned
from .learned import LearnedFormula, RegisteredLearnable
from .partials import derivatives

MOST_LEARNED = 7            # one less than in fastnn/core/pair_kernels.pxd: b takes a place
OWN = ("channels", "axis", "gate_half")         # hyperparameters of all, behind those of the formula


class RegisteredLearnedPair(RegisteredLearnable, GatedUnit):
    """What gated units with learned parameters made by `register_act` share. The channels lie along the axis that is halved,
    after that."""

    kind = "gated"

    def _hyperparameter_set(self):
        super()._hyperparameter_set()
        self._bind(self._addresses, (), self.axis, self.gate_half == "first")       # the axis alone is looked at

    def _with(self, state):
        found = super()._with(state)
        found._hyperparameter_set()
        return found

    def forward(self, x: Any, gate: Any = None, *, out: np.ndarray | None = None) -> Any:
        """f(a, b): of the halves of x, or of x and `gate`."""
        a, b = self._parts(x, gate)
        return pair_forward(self._addresses, a, b, self._values(self.learned), self.axis, out, self._constants)

    __call__ = forward

    def backward(self, x: Any = None, y: Any = None, grad: Any = None, out: Any = None, *, gate: Any = None) -> Any:
        """The gradient of x, or those of x and `gate`, given `grad`, that of f; those of the parameters are left in `dNAME`.
        y is not needed. `out` is an array like x, or a pair like x and gate."""
        if x is None or grad is None:
            raise TypeError("backward takes x and grad")
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and share_memory(x, y):
            raise ValueError(OVERWRITTEN)
        to = checked_gradients(x, gate, out)
        a, b = self._parts(x, gate)
        da, db, gradients = pair_backward(self._addresses, a, b, self._values(self.learned), self.axis, grad, self._constants)
        if gate is None:
            found = np.empty(np.shape(x), da.dtype) if to is None else to[0]
            for half, of_half in zip(self._parts(found, None), (da, db)):
                half[...] = of_half
        else:
            found = da, sums_over(db, gate)
            if to is not None:
                for one, gradient in zip(to, found):
                    one[...] = gradient
        self.__dict__.update({f"d{name}": gradient for name, gradient in zip(self.learned, gradients)})
        return found if out is None else out

    def value_and_grad(self, x: Any, gate: Any = None) -> tuple[Any, Any]:
        """(y, what `backward` gives for a grad of ones); no gradients of the parameters are left."""
        kept = self.grads
        found = self.forward(x, gate), self.backward(x, grad=1.0, gate=gate)
        self.__dict__.update({f"d{name}": gradient for name, gradient in kept.items()})
        return found

    def d2y(self, x: Any, gate: Any = None) -> tuple[Any, Any, Any]:
        """(d2y/da2, d2y/dadb, d2y/db2), each like y, derived and compiled at the first call."""
        a, b = self._parts(x, gate)
        of_a, mixed, of_b = (pair_forward(each.addresses, a, b, self._values(self.learned), self.axis, None,
                                          each.parameters(self)) for each in self._formula.bent)
        return of_a, mixed, of_b

    @classmethod
    def _caller(cls, title, values, rest):
        """For explain: what computes a formula of these, given the first element."""
        numbers = dict(rest)
        b = numbers.pop("b")
        unit = cls(**values | numbers)

        def call(a):
            gate = np.full_like(a, b)
            if title == "f":
                return unit.forward(a, gate)
            if title in ("df/da", "df/db"):
                return unit.backward(a, grad=np.ones_like(a), gate=gate)[title == "df/db"]
            name, found = title.removeprefix("df/d"), np.empty_like(a)
            for i in range(a.size):                         # gradients are summed
                unit.backward(a[i:i + 1], grad=np.ones(1, a.dtype), gate=gate[i:i + 1])
                found[i] = unit.grads[name][0]
            return found
        return call


class LearnedPair(LearnedFormula):
    """The formula of a gated unit with learned parameters."""

    _base = RegisteredLearnedPair
    _operands = PAIR

    def _options(self):
        return {"channels": number_of_channels(), "axis": Choice(-1, one_axis), "gate_half": Choice("second", _half)}

    def _checked(self, given=None, line=None):
        """The kernels, with derivatives that are given."""
        try:
            slopes = self._derivatives(self.name, self._value, self._elements, given, line)
        except Underivable as missing:
            return Missing(missing.error)
        formulas = {"f": self._value, **{f"df/d{key}": node for key, node in zip(self._elements, slopes)}}
        titles = {2: "f", 3: "gradients"}
        return Kernels(formulas, self._kernel(self._value, slopes), titles)

    def _derivatives(self, name, value, wanted, given=None, line=None):
        return derivatives(name, value, self._elements, wanted, self._defaults, self._ranges, given, line)

    def _kernel(self, value, slopes=()):
        """To which b is a parameter beside each element."""
        return learned(value, slopes, "a", self._elements[1:])

    @cached_property
    def bent(self) -> list[Kernels]:
        """The kernels of d2f/da2, d2f/dadb and d2f/db2. Raises FormulaError where the chain rule finds none."""
        _, of_a, of_b, *_ = self.activation._compiled.formulas.values()
        try:
            bends = [*self._derivatives(f"df/da of {self.name}", of_a, PAIR),
                     *self._derivatives(f"df/db of {self.name}", of_b, PAIR[1:])]
        except Underivable as missing:
            raise missing.error from None
        return [Kernels({title: bend}, self._kernel(bend), {2: title})
                for title, bend in zip(("d2f/da2", "d2f/dadb", "d2f/db2"), bends)]
