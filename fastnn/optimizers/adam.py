"""Adam and what came of it: averages of gradients over roots of averages of their squares."""
from math import copysign, isfinite, sqrt

from ..hyperparameters import Hyperparameter, as_float
from .base import AlphaOptimizer, decay, epsilon, rate


class Adam(AlphaOptimizer, name="Adam", kernel="adam"):
    """m += (1 - beta1)(g - m); v += (1 - beta2)(g^2 - v); -alpha sqrt(1 - beta2^t)/(1 - beta1^t) m/sqrt(v + eps).

    Kingma and Ba 2014, arXiv 1412.6980, with article A's eps inside the root. PyTorch and optax divide by
    sqrt(vhat) + eps, Keras by sqrt(v) + eps.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    peers = {"torch": ("Adam", dict(lr=0.001)), "optax": ("adam", dict(learning_rate=0.001))}
    also_known = {"AdamW": 'get_opt("Adam", weight_decay=0.01)'}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "eps_inside_root": h.eps, "eps": 0,
                "corrected_lr": h.alpha * sqrt(1 - h.beta2**t) / (1 - h.beta1**t)}


class AdaMax(AlphaOptimizer, name="AdaMax", kernel="adamax"):
    """m += (1 - beta1)(g - m); u = max(beta2 u, |g|); -alpha/(1 - beta1^t) m/u, 0 where m = 0.

    Kingma and Ba 2014, arXiv 1412.6980, algorithm 2.
    """

    alpha = rate(2e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    slots = {"m": 0, "u": 0}
    stored = {"m": "linear", "u": "logarithmic"}
    peers = {"torch": ("Adamax", dict(lr=0.002)), "optax": ("adamax", dict(learning_rate=0.002))}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "beta2": h.beta2, "corrected_lr": h.alpha / (1 - h.beta1**t)}


class Nadam(AlphaOptimizer, name="Nadam", kernel="nadam"):
    """m, v as in Adam with mu and nu; mhat = mu m/(1 - mu^(t+1)) + (1 - mu) g/(1 - mu^t); vhat = nu v/(1 - nu^t);
    -alpha mhat/sqrt(vhat + eps).  Dozat 2016, as in article A.
    """

    alpha = rate(2e-3)
    mu = decay(0.975)
    nu = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    peers = {"torch": ("NAdam", dict(lr=0.002)), "optax": ("nadam", dict(learning_rate=0.002))}

    @staticmethod
    def constants(h, t):
        mu, nu = h.mu, h.nu
        return {"one_minus_mu": 1 - mu, "one_minus_nu": 1 - nu, "m_factor": h.alpha * mu / (1 - mu**(t + 1)),
                "g_factor": h.alpha * (1 - mu) / (1 - mu**t), "v_factor": nu / (1 - nu**t), "eps": h.eps}


class Eve(AlphaOptimizer, name="Eve", kernel="adam"):
    """-alpha mhat/(D (sqrt(vhat) + eps)), mhat and vhat as in Adam, with the feedback D from the loss f:
    d = |f - fstar|/(min(f, f_prev) - fstar) clipped to [1/c, c]; D += (1 - beta3)(d - D), D = 1 at t = 1.

    Hayashi et al. 2016, arXiv 1611.01505. ``update(..., f=loss)``; f is 1 if left out, as in article A.
    Raises ValueError if f is not finite.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    beta3 = decay(0.999)
    c = Hyperparameter(10.0, at_least=1)
    eps = epsilon(1e-8)
    fstar = Hyperparameter(0.0)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    _positional = ("t", "f")
    scalars = {"D": 1.0, "f": 0.0}

    @staticmethod
    def constants(h, t, D, f):
        correction = sqrt(1 - h.beta2**t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "eps_inside_root": 0,
                "eps": h.eps * correction, "corrected_lr": h.alpha * correction / (1 - h.beta1**t) / D}

    @staticmethod
    def advanced(h, t, scalars, extra):
        f = as_float(extra.get("f", 1.0))
        if not isfinite(f):
            raise ValueError(f"the loss f must be finite, not {f}")
        if t == 1:
            return 1.0, f
        D, before = scalars
        distance, floor = abs(f - h.fstar), min(f, before) - h.fstar
        if distance == floor == 0:
            d = 1.0                             # at the optimum, and before
        else:
            d = distance / floor if floor else copysign(h.c, distance)
        return D + (1 - h.beta3) * (min(max(d, 1 / h.c), h.c) - D), f

    @staticmethod
    def checked_scalars(D, f):
        if D <= 0:
            raise ValueError(f"Eve's D must be positive, not {D}")


class AMSGrad(AlphaOptimizer, name="AMSGrad", kernel="amsgrad"):
    """m, v as in Adam; vhat = max(vhat, v); -alpha/sqrt(t) m/sqrt(vhat + eps).

    Reddi et al. 2018, arXiv 1904.09237. (PyTorch and Keras correct the bias and do not decay alpha.)
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0, "vhat": 0}
    peers = {"torch": ("Adam", dict(lr=0.001, amsgrad=True)), "optax": ("amsgrad", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": h.alpha / sqrt(t), "eps": h.eps}


class AdaBound(AlphaOptimizer, name="AdaBound", kernel="adabound"):
    """m, v as in Adam; -clip(alpha/sqrt(v), lo, hi)/sqrt(t) m with lo = eta (1 - 1/((1 - beta2) t + 1)) and
    hi = eta (1 + 1/((1 - beta2) t + eps)).  Luo et al. 2019, arXiv 1902.09843.
    """

    alpha = rate(1e-3)
    eta = rate(1e-1)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        growth = (1 - h.beta2) * t
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": h.alpha,
                "lowest": h.eta * (1 - 1 / (growth + 1)), "highest": h.eta * (1 + 1 / (growth + h.eps)),
                "decay": 1 / sqrt(t)}


class AMSBound(AdaBound, name="AMSBound", kernel="amsbound"):
    """AdaBound with vhat = max(vhat, v) instead of v.  Luo et al. 2019, arXiv 1902.09843."""

    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}
