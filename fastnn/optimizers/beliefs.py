"""Rates by the variance of a gradient around its average."""
from .adam import corrected
from .base import AlphaOptimizer, decay, epsilon, rate


class AdaBelief(AlphaOptimizer, name="AdaBelief", kernel="adabelief"):
    """m, mhat as in Adam; s = beta2 s + (1 - beta2)(g - m)^2 + eps_inside_root with the new m; shat = s/(1 - beta2^t);
    -alpha mhat/(sqrt(shat) + eps).

    Zhuang et al. 2020, arXiv 2010.07468, where both eps are one; optax. The authors' package rectifies, too, as RAdam
    does, by default.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-16)
    eps_inside_root = epsilon(1e-16)
    slots = {"m": 0, "s": 0}
    stored = {"m": "linear", "s": "logarithmic"}
    peers = {"optax": ("adabelief", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(h, t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "beta1": h.beta1,
                "corrected_lr": h.alpha * correction, "eps_inside_root": h.eps_inside_root, "eps": h.eps * root}


class ACProp(AlphaOptimizer, name="ACProp", kernel="acprop"):
    """m, s as in AdaBelief; -alpha g/(sqrt(shat) + eps) with the shat of the step before, which is 1 in the first.

    Zhuang et al. 2021, arXiv 2110.05454. optax has (g - m)^2 with the old m, against its own documentation: its s is
    1/beta1^2 of this.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    eps_inside_root = epsilon(1e-8)
    slots = {"m": 0, "s": 0}
    peers = {"optax": ("contrib.acprop", dict(learning_rate=0.001, eps=1e-8, eps_root=1e-8))}

    @staticmethod
    def constants(h, t):
        first = t == 1
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "beta1": h.beta1, "lr": h.alpha,
                "s_factor": 0 if first else 1 / (1 - h.beta2**(t - 1)), "first": first,
                "eps_inside_root": h.eps_inside_root, "eps": h.eps}


class MSVAG(AlphaOptimizer, name="M-SVAG", kernel="msvag"):
    """m += (1 - beta)(g - m); v += (1 - beta)(g^2 - v); mhat, vhat = m, v/(1 - beta^t);
    r = (1 - beta)(1 + beta^t)/((1 + beta)(1 - beta^t)); s = (vhat - mhat^2)/(1 - r), 0 in the first step;
    -alpha mhat mhat^2/(mhat^2 + r s), 0 where m = 0.

    Balles and Hennig 2018, "Dissecting Adam", arXiv 1705.07774, which sets no alpha.
    """

    alpha = rate(1e-2)
    beta = decay(0.9)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        power = h.beta**t
        r = (1 - h.beta) * (1 + power) / ((1 + h.beta) * (1 - power))
        return {"one_minus_beta": 1 - h.beta, "correction": 1 / (1 - power), "lr": h.alpha / (1 - power),
                "variance_factor": r / (1 - r) if t > 1 and r < 1 else 0}
