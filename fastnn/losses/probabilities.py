"""Losses of predicted probabilities."""
from .base import Elementwise


class Binary(Elementwise, name="Binary", kernel="binary_cross_entropy"):
    """Binary cross entropy -t log(y) - (1 - t) log(1 - y) of probabilities y.

    At y = 0 and 1 the logarithm is held at -100 and the gradient's denominator at 1e-12, so both stay finite.
    """


class Cross(Elementwise, name="Cross", kernel="cross_entropy"):
    """Cross entropy -t log(y) of probabilities y, the logarithm held at -100, the gradient's denominator at 1e-12."""
