"""Rates of each element's own, from averages of its squared gradients."""
from .base import EtaOptimizer, Optimizer, decay, epsilon, rate


class AdaGrad(EtaOptimizer, name="AdaGrad", kernel="adagrad"):
    """G += g^2; -eta g/(sqrt(G + eps_inside_root) + eps), 0 where g = 0.

    Duchi et al. 2011, "Adaptive subgradient methods", and PyTorch have eps beside the root, optax and Keras in it; article
    A has none: like="article".
    """

    eta = rate(1e-3)
    eps = epsilon(1e-10)
    eps_inside_root = epsilon(0.0)
    slots = {"G": 0}
    peers = {"torch": ("Adagrad", dict(lr=0.001)), "optax": ("adagrad", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h):
        return {"lr": h.eta, "eps_inside_root": h.eps_inside_root, "eps": h.eps}


class RMSprop(EtaOptimizer, name="RMSprop", kernel="rmsprop"):
    """v += (1 - rho)(g^2 - v); -eta g/(sqrt(v + eps_inside_root) + eps).

    Tieleman and Hinton 2012, "Lecture 6.5". PyTorch has eps beside the root; optax, Keras and article A have it inside:
    eps=0, eps_inside_root=1e-8, or like="article".
    """

    eta = rate(1e-2)
    rho = decay(0.99)
    eps = epsilon(1e-8)
    eps_inside_root = epsilon(0.0)
    slots = {"v": 0}
    stored = {"v": "logarithmic"}
    peers = {"torch": ("RMSprop", dict(lr=0.01)), "optax": ("rmsprop", dict(learning_rate=0.01, decay=0.99))}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.rho, "lr": h.eta, "eps_inside_root": h.eps_inside_root, "eps": h.eps}


class AdaDelta(Optimizer, name="AdaDelta", kernel="adadelta"):
    """v as in RMSprop; delta = -g sqrt(u + eps)/sqrt(v + eps); u += (1 - rho)(delta^2 - u); lr delta.

    Zeiler 2012, arXiv 1212.5701, which has no lr.
    """

    rho = decay(0.95)
    eps = epsilon(1e-6)
    lr = rate(1.0)
    slots = {"v": 0, "u": 0}
    stored = {"v": "logarithmic", "u": "logarithmic"}
    peers = {"torch": ("Adadelta", dict(rho=0.95)), "optax": ("adadelta", dict(learning_rate=1.0, rho=0.95))}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.rho, "eps": h.eps, "lr": h.lr}


class RMSpropGraves(EtaOptimizer, name="RMSpropGraves", kernel="rmsprop_graves"):
    """m += (1 - rho)(g - m); v += (1 - rho)(g^2 - v); -eta g/sqrt(v - m^2 + eps).  Graves 2013, arXiv 1308.0850."""

    eta = rate(1e-4)
    rho = decay(0.95)
    eps = epsilon(1e-4)
    slots = {"m": 0, "v": 0}
    peers = {"torch": ("RMSprop", dict(lr=1e-4, alpha=0.95, eps=1e-2, centered=True)),
             "optax": ("rmsprop", dict(learning_rate=1e-4, decay=0.95, eps=1e-4, centered=True))}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.rho, "lr": h.eta, "eps": h.eps}


class SMORMS3(EtaOptimizer, name="SMORMS3", kernel="smorms3"):
    """r = 1/(s + 1); m += r (g - m); v += r (g^2 - v); zeta = m^2/(v + eps); -g min(eta, zeta)/sqrt(v + eps);
    s = 1 + s (1 - zeta), from 1.  S. Funk, "RMSprop loses to SMORMS3", 2015.
    """

    eta = rate(1e-3)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0, "s": 1}

    @staticmethod
    def constants(h):
        return {"lr": h.eta, "eps": h.eps}
