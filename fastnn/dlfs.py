"""The optimizers of "Deep Learning from Scratch", chapter 6, under its names, signatures and defaults.

`from fastnn.dlfs import *` replaces `from common.optimizer import *`. Each has ``update(params, grads)``, two mappings,
parameters changed in place. AdaGrad, RMSprop and Adam add eps to the root, not under it; the book's own have no
argument for its 1e-7.
"""
from math import sqrt

from .hyperparameters import Hyperparameter
from .optimizers import Optimizer
from .optimizers.sgd import Momentum, Nesterov

__all__ = ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"]


def epsilon():
    return Hyperparameter(1e-7, at_least=0)


class _Rule(Optimizer):
    maker = None
    lr = Hyperparameter(0.01, at_least=0)


class SGD(_Rule, kernel="sgd"):
    """-lr g."""

    @staticmethod
    def constants(h):
        return {"lr": h.lr}


class AdaGrad(_Rule, kernel="adagrad"):
    """h += g^2; -lr g/(sqrt(h) + eps)."""

    eps = epsilon()
    slots = {"h": 0}

    @staticmethod
    def constants(h):
        return {"lr": h.lr, "eps_inside_root": 0, "eps": h.eps}


class RMSprop(_Rule, kernel="rmsprop"):
    """h = decay_rate h + (1 - decay_rate) g^2; -lr g/(sqrt(h) + eps)."""

    decay_rate = Hyperparameter(0.99, at_least=0, below=1)
    eps = epsilon()
    slots = {"h": 0}
    stored = {"h": "logarithmic"}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.decay_rate, "lr": h.lr, "eps_inside_root": 0, "eps": h.eps}


class Adam(_Rule, kernel="adam"):
    """m += (1 - beta1)(g - m); v += (1 - beta2)(g^2 - v); -lr sqrt(1 - beta2^t)/(1 - beta1^t) m/(sqrt(v) + eps)."""

    lr = Hyperparameter(0.001, at_least=0)
    beta1 = Hyperparameter(0.9, at_least=0, below=1)
    beta2 = Hyperparameter(0.999, at_least=0, below=1)
    eps = epsilon()
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "eps_inside_root": 0, "eps": h.eps,
                "corrected_lr": h.lr * sqrt(1 - h.beta2**t) / (1 - h.beta1**t)}
