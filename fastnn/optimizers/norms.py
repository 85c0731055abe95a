"""Steps that are made of a tensor's norms: layer-wise rates."""
from math import sqrt

from .base import AlphaOptimizer, decay, epsilon, rate
from .measured import Layerwise


def trust(p, update, coefficient=1.0, eps=0.0):
    """The ratio of two norms; 1 where either is 0, so that a parameter of zeros can move."""
    return coefficient * p / (update + eps) if p > 0 and update > 0 else 1.0


class LARS(Layerwise, name="LARS", kernel="momentum"):
    """r = trust_coefficient ||p||/(||g|| + eps), 1 where either norm is 0; v = momentum v - lr r g; v.

    You, Gitman and Ginsburg 2017, arXiv 1708.03888, algorithm 1; optax. ||.|| is the norm of a whole tensor. The
    paper's weight decay is l2=, which is part of g here, as in optax; the paper divides by ||g|| + l2 ||p|| where these
    have ||g + l2 p||. Biases and scales of normalization, which the paper's followers leave out, are a group's: an SGD's.
    """

    lr = rate(1.0)
    momentum = decay(0.9)
    trust_coefficient = rate(1e-3)
    eps = epsilon(0.0)
    slots = {"v": 0}
    scalars = {"ratio": 1.0}
    pairs = (("p", "p"), ("g", "g"))
    peers = {"optax": ("lars", dict(learning_rate=1.0))}

    @staticmethod
    def measured(h, t, scalars, p, g):
        return trust(sqrt(p), sqrt(g), h.trust_coefficient, h.eps),

    @staticmethod
    def constants(h, t, ratio):
        return {"momentum": h.momentum, "lr": h.lr * ratio}


class LAMB(Layerwise, AlphaOptimizer, name="LAMB", kernel="adam"):
    """u = mhat/(sqrt(vhat) + eps) + weight_decay p, with mhat and vhat as in Adam; -alpha ||p||/||u|| u, the ratio 1
    where either norm is 0.

    You et al. 2020, arXiv 1904.00962, algorithm 2 with phi(z) = z; optax. ||.|| is the norm of a whole tensor, and
    `weight_decay`, 0 by default, is within it.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-6)
    slots = {"m": 0, "v": 0}
    scalars = {"ratio": 1.0}
    pairs = (("p", "p"), ("update", "update"))
    peers = {"optax": ("lamb", dict(learning_rate=0.001))}

    @staticmethod
    def advanced(h, t, scalars, extra):
        return 1.0,                             # for the update that is measured

    @staticmethod
    def measured(h, t, scalars, p, update):
        return trust(sqrt(p), sqrt(update) / h.alpha) if h.alpha else 1.0,

    @staticmethod
    def constants(h, t, ratio):
        root = sqrt(1 - h.beta2**t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "eps_inside_root": 0,
                "eps": h.eps * root, "corrected_lr": h.alpha * ratio * root / (1 - h.beta1**t)}

    @staticmethod
    def decayed(h, t, scalars):
        return scalars[0]


class NovoGrad(Layerwise, name="NovoGrad", kernel="novograd"):
    """v += (1 - beta2)(||g||^2 - v), one number for a tensor, ||g||^2 at t = 1;
    m = beta1 m + (g/(sqrt(v) + eps) + d p); -lr m.

    Ginsburg et al. 2019, arXiv 1905.11286, algorithm 1, with its decay d, which momentum takes part in; optax, whose
    b1, b2 and eps are 0.9, 0.25 and 1e-6.
    """

    lr = rate(1e-2)
    beta1 = decay(0.95)
    beta2 = decay(0.98)
    eps = epsilon(1e-8)
    d = rate(0.0)
    slots = {"m": 0}
    scalars = {"v": 0.0}
    peers = {"optax": ("novograd", dict(learning_rate=0.01, b1=0.95, b2=0.98, eps=1e-8))}

    @staticmethod
    def measured(h, t, scalars, g):
        return g if t == 1 else h.beta2 * scalars[0] + (1 - h.beta2) * g,

    @staticmethod
    def constants(h, t, v):
        divisor = sqrt(v) + h.eps
        return {"beta1": h.beta1, "g_factor": 1 / divisor if divisor else 0, "decay": h.d, "lr": h.lr}


class Fromage(Layerwise, name="Fromage", kernel="fromage"):
    """p = (p - lr ||p||/||g|| g)/sqrt(1 + lr^2), the ratio 1 where either norm is 0; norms below min_norm count as it.

    Bernstein et al. 2020, arXiv 2002.03432, algorithm 1, which has no min_norm; optax has 1e-6.
    """

    lr = rate(1e-2)
    min_norm = epsilon(0.0)
    scalars = {"ratio": 1.0}
    pairs = (("p", "p"), ("g", "g"))
    peers = {"optax": ("fromage", dict(learning_rate=0.01, min_norm=0.0))}

    @staticmethod
    def measured(h, t, scalars, p, g):
        return trust(max(sqrt(p), h.min_norm), max(sqrt(g), h.min_norm)),

    @staticmethod
    def constants(h, t, ratio):
        root = sqrt(1 + h.lr**2)
        return {"lr": h.lr * ratio / root, "shrinkage": h.lr**2 / ((1 + root) * root)}
