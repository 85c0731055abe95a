"""The rows of gated units: a linear unit a times an activation of its gate b.

`kernel` names the gate, whose formulas are those of the activation (fastnn/core; the loops are by tools/pair_kernels.py).
"""
from typing import Any

from .activations import CataloguedActivation
from .core.gated_units import GatedUnit
from .core.levels import pairs
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

    def _hyperparameter_set(self):
        own = tuple(self.__dict__[k] for k in self.hyperparameters if k not in ("axis", "gate_half"))
        self._bind(pairs.GATES[self.kernel], own, self.axis, self.gate_half == "first")

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
