"""Rules whose parameters are evaluated at an average of the steps: `evaluation_point(params)` is that."""
from math import exp, inf, log1p, sqrt

from ..groups import numbers_at
from ..hyperparameters import Hyperparameter
from .base import Optimizer, decay, epsilon, rate


class ASGD(Optimizer, name="ASGD", kernel="asgd"):
    """eta = lr/(1 + lambd lr (t - 1))^alpha; delta = -eta (g + lambd p); ax += (p + delta - ax)/max(1, t - 1 - t0).

    Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the rates are Bottou's of 2012,
    "Stochastic gradient descent tricks". PyTorch's, but that its eta has the lr of the step before. ax, a slot, is p
    until step t0 + 2 and then its average: `evaluation_point(params)` has it in the structure of params.
    """

    lr = rate(1e-2)
    lambd = Hyperparameter(1e-4, at_least=0)
    alpha = Hyperparameter(0.75, at_least=0)
    t0 = Hyperparameter(1e6, at_least=0)
    slots = {"ax": 0}
    lazy = False                # decay and averages move every row
    peers = {"torch": ("ASGD", dict(lr=0.01))}

    @staticmethod
    def constants(h, t):
        eta = h.lr * exp(-h.alpha * log1p(h.lambd * h.lr * (t - 1))) if h.alpha else h.lr      # ** may overflow
        return {"lr": eta, "decay": eta * h.lambd, "averaged": 1 / max(1, t - 1 - h.t0)}

    def _evaluated(self, home, key, p):
        return home[key].slot(0).copy() if key in home else p


class ScheduleFree(Optimizer):
    """What both share: the weights of the average."""

    scalars = {"weights": 0.0, "highest_lr": 0.0}

    @staticmethod
    def weight(h, t, highest):
        try:
            return t**h.r * highest**h.weight_lr_power
        except OverflowError:
            return inf

    @classmethod
    def advanced(cls, h, t, scalars, extra):
        highest = max(scalars[1], h.lr)
        return scalars[0] + cls.weight(h, t, highest), highest

    @classmethod
    def averaging(cls, h, t, beta, weights, highest):
        averaged = cls.weight(h, t, highest) / weights if weights else 0.0
        return {"averaged": averaged, "kept": 1 - averaged, "lr_of_lead": beta * h.lr,
                "lr_of_y": h.lr * (1 - beta * (1 - averaged))}

    @staticmethod
    def checked_scalars(weights, highest_lr):
        if not (weights >= 0 and highest_lr >= 0):
            raise ValueError(f"weights and highest_lr must be at least 0, not {weights} and {highest_lr}")

    def _evaluated(self, home, key, y):
        record = home.get(key)
        if record is None:
            return y
        beta = self._interpolation(numbers_at(self._group_of(home, key, y) or self, max(record.t, 1)))
        return y - (1 - beta) / beta * record.slot(0)


class ScheduleFreeSGD(ScheduleFree, name="ScheduleFreeSGD", kernel="schedule_free_sgd",
                      aliases=("SGDScheduleFree",)):
    """z -= lr g; x += c (z - x); p = y = (1 - beta) z + beta x; c = weight/(the sum of all weights so far) with
    weight = t^r max(lr so far)^weight_lr_power.

    Defazio et al. 2024, "The road less scheduled", arXiv 2405.15682; the authors' SGDScheduleFree (beta is its momentum)
    and optax.contrib.schedule_free_sgd. Parameters are y, where gradients are wanted: evaluate at
    `evaluation_point(params)`, which is x. `lead`, the slot, is z - y. A warm-up is a schedule of lr; l2 is the authors'
    weight_decay.
    """

    lr = rate(1.0)
    beta = Hyperparameter(0.9, above=0, below=1)
    r = Hyperparameter(0.0, at_least=0)
    weight_lr_power = Hyperparameter(2.0, at_least=0)
    slots = {"lead": 0}
    peers = {"optax": ("contrib.schedule_free_sgd", dict())}

    @classmethod
    def constants(cls, h, t, weights, highest):
        return cls.averaging(h, t, h.beta, weights, highest)

    @staticmethod
    def _interpolation(h):
        return h.beta


class ScheduleFreeAdamW(ScheduleFree, name="ScheduleFreeAdamW", kernel="schedule_free_adamw",
                        aliases=("AdamWScheduleFree",)):
    """v += (1 - beta2)(g^2 - v); then as ScheduleFreeSGD with beta1 and g/(sqrt(v/(1 - beta2^t)) + eps) in g's place.

    Defazio et al. 2024, arXiv 2405.15682; the authors' AdamWScheduleFree and optax.contrib.schedule_free_adamw, while the
    paper's rate has the factor sqrt(1 - beta2^t), which the weights then have, too. Evaluate at
    `evaluation_point(params)`. `weight_decay` takes x, y and z along; in the authors' code it is part of the gradient of
    z, and x follows as the average does.
    """

    lr = rate(2.5e-3)
    beta1 = Hyperparameter(0.9, above=0, below=1)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    r = Hyperparameter(0.0, at_least=0)
    weight_lr_power = Hyperparameter(2.0, at_least=0)
    slots = {"lead": 0, "v": 0}
    peers = {"optax": ("contrib.schedule_free_adamw", dict())}

    @classmethod
    def constants(cls, h, t, weights, highest):
        root = sqrt(1 - h.beta2**t)
        return {**cls.averaging(h, t, h.beta1, weights, highest), "one_minus_beta2": 1 - h.beta2, "root": root,
                "eps_of_root": h.eps * root}

    @staticmethod
    def _interpolation(h):
        return h.beta1
