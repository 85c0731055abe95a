"""Optimizers around an optimizer: they have its form, and any other of them may go around."""
from ..base import _registry
from .accumulate import Accumulate
from .average import ExponentialAverage
from .base import Wrapper
from .lookahead import Lookahead
from .sam import SAM

_registry.elsewhere |= dict.fromkeys(("L-BFGS", "L-BFGS-B"), "fastnn.nn.minimize(network, x, t)")
_registry.elsewhere |= {cls.__name__: f'fastnn.{cls.__name__}(get_opt("Adam"){more})' for cls, more in (
    (Accumulate, ", k=4"), (ExponentialAverage, ""), (Lookahead, ""), (SAM, ""))}

__all__ = ["Accumulate", "ExponentialAverage", "Lookahead", "SAM", "Wrapper"]
