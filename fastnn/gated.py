"""The rows of gated units: a linear unit a times an activation of its gate b.

`kernel` names the gate, whose formulas are those of the activation (fastnn/core; the loops are by tools/pair_kernels.py).
"""
from typing import Any

import numpy as np

from .activations import CataloguedActivation, Identity
from .core.elementwise import ElementwiseActivation
from .core.gated_units import GatedUnit
from .core.levels import kernels, pairs
from .hyperparameters import Choice, Hyperparameter, one_axis

HALVES = ("second", "first")


def _half(value):
    if value not in HALVES:
        raise ValueError(f"gate_half must be one of {', '.join(map(repr, HALVES))}, not {value!r}")
    return value


class Gated(CataloguedActivation, GatedUnit):
    __doc__ = GatedUnit.__doc__
    kind = "gated"
    axis = Choice(-1, one_axis)
    gate_half = Choice("second", _half)

    def _own(self):
        """The hyperparameters of its gate."""
        return tuple(self.__dict__[k] for k in self.hyperparameters if k not in ("axis", "gate_half"))

    def _hyperparameter_set(self):
        self._bind(pairs.GATES[self.kernel], self._own(), self.axis, self.gate_half == "first")

    def value_and_grad(self, x: Any, gate: Any = None) -> tuple[Any, Any]:
        """(y, what `backward` gives for a grad of ones): the derivatives of each y in its own a and b."""
        return self.forward(x, gate), self.backward(x, grad=1.0, gate=gate)

    def d2y(self, x: Any, gate: Any = None) -> tuple[Any, Any, Any]:
        """(d2y/da2, d2y/dadb, d2y/db2), each like y: 0, f'(b) and a f''(b)."""
        a, b = self._parts(x, gate)
        of_a = Identity().d2y(a)
        wide = np.float64 if of_a.dtype == np.float64 else np.float32
        activation = ElementwiseActivation()
        activation._bind(kernels.ELEMENTWISE[self.kernel], self._own())
        with np.errstate(all="ignore"):
            a, b = a.astype(wide), b.astype(wide)
            return of_a, activation.backward(b).astype(of_a.dtype), (a*activation.d2y(b)).astype(of_a.dtype)

    def __reduce__(self) -> Any:
        return type(self), tuple(self.__dict__[k] for k in self.hyperparameters)


class GLU(Gated, name="GLU", kernel="sigmoid"):
    """a sigmoid(b).  Dauphin et al. 2016, arXiv 1612.08083."""


class ReGLU(Gated, name="ReGLU", kernel="relu"):
    """a max(b, 0).  Shazeer 2020, arXiv 2002.05202."""


class GEGLU(Gated, name="GEGLU", kernel="gelu"):
    """a GELU(b), the exact form.  Shazeer 2020, arXiv 2002.05202."""


class SwiGLU(Gated, name="SwiGLU", kernel="swish"):
    """a b sigmoid(beta b).  Shazeer 2020, arXiv 2002.05202. LLaMA's order is gate_half="first"."""

    beta = Hyperparameter(1.0, at_least=1e-9, below=1e9)


class Bilinear(Gated, name="bilinear", kernel="identity"):
    """a b: a gate without an activation.  Shazeer 2020, arXiv 2002.05202, after Mnih and Hinton 2007."""
