"""What computes for wrappers: private rules, whose parameters are a wrapper's own arrays."""
from ...hyperparameters import Hyperparameter
from ..base import Optimizer, rate


class Approach(Optimizer, kernel="approach"):
    """rate (g - p), with what is approached as the gradient."""

    maker = None
    _rate_name = "rate"
    rate = Hyperparameter(1.0)

    @staticmethod
    def constants(h):
        return {"rate": h.rate}


class _Decay(Hyperparameter):
    """The first step of an average is a copy: the engine's step t is the parameter's t + 1."""

    def at(self, value, t):
        return super().at(value, t + 1)


class Averaging(Optimizer, kernel="approach"):
    """(1 - decay) (g - p)."""

    maker = None
    _rate_name = "rate"
    decay = _Decay(0.999, at_least=0, below=1)

    @staticmethod
    def constants(h):
        return {"rate": 1 - h.decay}


class Sum(Optimizer, kernel="sgd"):
    """lr g."""

    maker = None
    lr = rate(1.0)

    @staticmethod
    def constants(h):
        return {"lr": -h.lr}
