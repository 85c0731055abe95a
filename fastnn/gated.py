"""The catalogue of gated units: a linear unit a times an activation of its gate b.

`get_act` makes them, too; `activations()`, whose entries are functions of one number, does not list them, `gated_units()`
does. The formulas of the gates are those of the activations (fastnn/core/pairs.pxi).
"""
from operator import index
from typing import Any

from .activations import CataloguedActivation, _gated
from .core.gated_units import GatedUnit
from .core.levels import pairs
from .hyperparameters import Choice, Hyperparameter

HALVES = ("second", "first")


def gated_units() -> list[str]:
    """The names of all gated units."""
    return _gated.names()


def _half(value):
    if value not in HALVES:
        raise ValueError(f"gate_half must be one of {', '.join(map(repr, HALVES))}, not {value!r}")
    return value


def _axis(value):
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"axis must be an integer, not {value!r}") from None


class Gated(CataloguedActivation, GatedUnit):
    __doc__ = GatedUnit.__doc__
    catalogue = _gated

    axis = Choice(-1, _axis)
    gate_half = Choice("second", _half)

    def _hyperparameter_set(self):
        own = tuple(self.__dict__[k] for k in self.hyperparameters if k not in ("axis", "gate_half"))
        self._bind(pairs.PAIRS[self.kernel], own, self.axis, self.gate_half == "first")

    def __reduce__(self) -> Any:
        return type(self), tuple(self.__dict__[k] for k in self.hyperparameters)


class GLU(Gated, name="GLU", kernel="glu"):
    """a sigmoid(b).  Dauphin et al. 2016, arXiv 1612.08083."""


class ReGLU(Gated, name="ReGLU", kernel="reglu"):
    """a max(b, 0).  Shazeer 2020, arXiv 2002.05202."""


class GEGLU(Gated, name="GEGLU", kernel="geglu"):
    """a GELU(b), the exact form.  Shazeer 2020, arXiv 2002.05202."""


class SwiGLU(Gated, name="SwiGLU", kernel="swiglu"):
    """a b sigmoid(beta b).  Shazeer 2020, arXiv 2002.05202. LLaMA's order is gate_half="first"."""

    beta = Hyperparameter(1.0, at_least=1e-9, below=1e9)


class Bilinear(Gated, name="bilinear", kernel="bilinear"):
    """a b: a gate without an activation.  Shazeer 2020, arXiv 2002.05202, after Mnih and Hinton 2007."""
