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
    eps=0, eps_inside_root=1e-8, or like="article". get_opt("RMSprop", momentum=0.9), centered=True, or both, make it
    RMSpropMomentum, RMSpropCentered, RMSpropCenteredMomentum.
    """

    eta = rate(1e-2)
    rho = decay(0.99)
    eps = epsilon(1e-8)
    eps_inside_root = epsilon(0.0)
    slots = {"v": 0}
    stored = {"v": "logarithmic"}
    variants = {("momentum",): "RMSpropMomentum", ("centered",): "RMSpropCentered",
                ("centered", "momentum"): "RMSpropCenteredMomentum"}
    peers = {"torch": ("RMSprop", dict(lr=0.01)), "optax": ("rmsprop", dict(learning_rate=0.01, decay=0.99))}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.rho, "lr": h.eta, "eps_inside_root": h.eps_inside_root, "eps": h.eps}


class RMSpropMomentum(RMSprop, name="RMSpropMomentum", kernel="rmsprop_momentum"):
    """v as in RMSprop; buf = momentum buf + g/(sqrt(v + eps_inside_root) + eps); -eta buf.
    get_opt("RMSprop", momentum=0.9).

    PyTorch's RMSprop(momentum=). optax and Keras have eta inside of buf: they part from it where eta changes.
    """

    momentum = decay(0.9)
    slots = {"v": 0, "buf": 0}
    stored = {}                 # with bfloat16 the digits are learned worse
    compared_with = {"lr": 1e-3}            # momentum makes of 0.01 what would be 0.1 without it
    peers = {"torch": ("RMSprop", dict(lr=0.01, momentum=0.9)),
             "optax": ("rmsprop", dict(learning_rate=0.01, decay=0.99, momentum=0.9, eps_in_sqrt=False))}

    @staticmethod
    def constants(h):
        return {**RMSprop.constants(h), "momentum": h.momentum}


class RMSpropCentered(RMSprop, name="RMSpropCentered", kernel="rmsprop_centered"):
    """v as in RMSprop; m += (1 - rho)(g - m); -eta g/(sqrt(v - m^2 + eps_inside_root) + eps).
    get_opt("RMSprop", centered=True).

    PyTorch's RMSprop(centered=True). RMSpropGraves is it with the numbers of Graves 2013, arXiv 1308.0850, and eps in
    the root, where optax and Keras have it.
    """

    slots = {"m": 0, "v": 0}
    stored = {}
    peers = {"torch": ("RMSprop", dict(lr=0.01, centered=True)),
             "optax": ("rmsprop", dict(learning_rate=0.01, decay=0.99, centered=True, eps_in_sqrt=False))}


class RMSpropCenteredMomentum(RMSpropMomentum, name="RMSpropCenteredMomentum", kernel="rmsprop_centered_momentum"):
    """v and m as in RMSpropCentered; buf = momentum buf + g/(sqrt(v - m^2 + eps_inside_root) + eps); -eta buf.
    get_opt("RMSprop", momentum=0.9, centered=True).

    PyTorch's RMSprop(momentum=, centered=True); Graves 2013, arXiv 1308.0850, with eps in the root and eta inside of
    buf, as optax and Keras have them.
    """

    slots = {"m": 0, "v": 0, "buf": 0}
    compared_with = RMSpropMomentum.compared_with
    peers = {"torch": ("RMSprop", dict(lr=0.01, momentum=0.9, centered=True)),
             "optax": ("rmsprop", dict(learning_rate=0.01, decay=0.99, momentum=0.9, centered=True, eps_in_sqrt=False))}


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


class RMSpropGraves(EtaOptimizer, name="RMSpropGraves", kernel="rmsprop_centered"):
    """m += (1 - rho)(g - m); v += (1 - rho)(g^2 - v); -eta g/sqrt(v - m^2 + eps).  Graves 2013, arXiv 1308.0850."""

    eta = rate(1e-4)
    rho = decay(0.95)
    eps = epsilon(1e-4)
    slots = {"m": 0, "v": 0}
    peers = {"torch": ("RMSprop", dict(lr=1e-4, alpha=0.95, eps=1e-2, centered=True)),
             "optax": ("rmsprop", dict(learning_rate=1e-4, decay=0.95, eps=1e-4, centered=True))}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.rho, "lr": h.eta, "eps_inside_root": h.eps, "eps": 0}


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
