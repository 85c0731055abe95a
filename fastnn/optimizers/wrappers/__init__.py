"""Optimizers around an optimizer: they have its form, and any other of them may go around."""
from .accumulate import Accumulate
from .average import ExponentialAverage
from .base import Wrapper
from .lookahead import Lookahead
from .sam import SAM

__all__ = ["Accumulate", "ExponentialAverage", "Lookahead", "SAM", "Wrapper"]
