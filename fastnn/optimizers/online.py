"""Rules from online convex optimization."""
from math import sqrt

from ..hyperparameters import Hyperparameter
from .base import AlphaOptimizer, Optimizer, decay, epsilon, rate


class FTRL(AlphaOptimizer, name="FTRL", kernel="ftrl", aliases=("FTRL-Proximal",)):
    """n += g^2; rate = alpha/(beta + sqrt(initial_n + n)); p becomes the minimum over w of
    (residual + g) w + lambda1 |w| + (1/rate + lambda2)(w - p)^2/2, and is left alone where g = 0.

    McMahan et al. 2013, "Ad click prediction: a view from the trenches", algorithm 1 (FTRL-Proximal), for parameters that
    begin anywhere: its proximal terms have their centres where the parameters were, from the first on, so that without
    lambda1 it is AdaGrad with beta as eps. `residual` is z + (1/rate + lambda2) w of the paper, from which the delta
    comes without cancellation. The paper names no alpha.

    Keras and TensorFlow begin with z = 0, which throws parameters that are not 0 there at the first step, and have
    initial_n = 0.1, beta = 0, and twice their l2_regularization_strength as lambda2. A change of their learning rate
    rescales the parameters, as z has the rates of the steps before; here it does not.
    """

    alpha = rate(0.1)
    beta = Hyperparameter(1.0, at_least=0)
    lambda1 = Hyperparameter(0.0, at_least=0)
    lambda2 = Hyperparameter(0.0, at_least=0)
    initial_n = Hyperparameter(0.0, at_least=0)
    slots = {"n": 0, "residual": 0}

    @staticmethod
    def constants(h):
        return {"lr": h.alpha, "inverse_lr": 1 / h.alpha if h.alpha else 0, "beta": h.beta, "n_start": h.initial_n,
                "l1": h.lambda1, "l2_of_lr": h.alpha * h.lambda2}


class MADGRAD(Optimizer, name="MADGRAD", kernel="madgrad"):
    """weight = (lr + eps) sqrt(t), 0 for lr = 0; grad_sum_sq += weight g^2; s += weight g; x0 being the first parameter,
    p = momentum p + (1 - momentum)(x0 - s/(cbrt(grad_sum_sq) + eps)).

    Defazio and Jelassi 2021, arXiv 2101.11075, as in the authors' code and in optax. `moved`, a slot, is p - x0 as this
    rule alone has made it: decay and whatever else changes p takes x0 along, which stands still in the authors' code.
    """

    lr = rate(1e-2)
    momentum = decay(0.9)
    eps = epsilon(1e-6)
    slots = {"grad_sum_sq": 0, "s": 0, "moved": 0}
    peers = {"optax": ("contrib.madgrad", dict(learning_rate=0.01))}

    @staticmethod
    def constants(h, t):
        return {"weight": (h.lr + h.eps) * sqrt(t) if h.lr else 0, "one_minus_momentum": 1 - h.momentum, "eps": h.eps}


class COCOB(Optimizer, name="COCOB", kernel="cocob"):
    """L = max(L, |g|, eps); G += |g|; reward = max(reward - g (p - p_1), 0); theta -= g; p_1 being the first parameter,
    p = p_1 + theta (L + reward)/(L max(G + L, alpha L)).

    Orabona and Tommasi 2017, arXiv 1705.07795, algorithm 2, which has neither lr nor eps: lr is a factor of each step.
    optax has eps = 1e-8, and its learning rate is a factor of the gradients. `moved`, a slot, is p - p_1 as this rule
    alone has made it.
    """

    lr = rate(1.0)
    alpha = Hyperparameter(100.0, above=0)
    eps = epsilon(0.0)
    slots = {"L": 0, "G": 0, "reward": 0, "theta": 0, "moved": 0}
    peers = {"optax": ("contrib.cocob", dict())}

    @staticmethod
    def constants(h):
        return {"lr": h.lr, "alpha": h.alpha, "eps": h.eps}
