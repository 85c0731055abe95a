"""Adam with another denominator: rectified, additive, within the average, or of the step before."""
from math import inf, sqrt

from ..hyperparameters import Hyperparameter
from .adam import corrected
from .base import AlphaOptimizer, decay, epsilon, rate


class RAdam(AlphaOptimizer, name="RAdam", kernel="radam", aliases=("rectified Adam",)):
    """m, v, mhat as in Adam; r0 = 2/(1 - beta2) - 1, r = r0 - 2 t beta2^t/(1 - beta2^t). Where r > threshold:
    -alpha sqrt((r - 4)(r - 2) r0/((r0 - 4)(r0 - 2) r)) mhat sqrt(1 - beta2^t)/(sqrt(v) + eps), else -alpha mhat.

    Liu et al. 2020, arXiv 1908.03265, with a threshold of 4 and no eps; the authors' code and optax have r >= 5, PyTorch
    r > 5. optax has mhat/(sqrt(vhat) + eps).
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    threshold = Hyperparameter(5.0, at_least=4)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    peers = {"torch": ("RAdam", dict(lr=0.001)), "optax": ("radam", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h, t):
        power, longest = h.beta2**t, 2 / (1 - h.beta2) - 1
        length = longest - 2 * t * power / (1 - power)
        lr, adaptive = h.alpha / (1 - h.beta1**t), length > h.threshold
        if adaptive:
            lr *= sqrt((1 - power) * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": lr, "eps": h.eps,
                "adaptive": adaptive}


class Yogi(AlphaOptimizer, name="Yogi", kernel="yogi"):
    """m, mhat and vhat as in Adam; v -= (1 - beta2) sign(v - g^2) g^2, from 1e-6; -alpha mhat/(sqrt(vhat) + eps).

    Zaheer et al. 2018, "Adaptive methods for nonconvex optimization", without the corrections; TensorFlow Addons and
    optax have them, and start m at 1e-6, too, which moves a parameter whose gradients are 0. Here m starts at 0.
    """

    alpha = rate(1e-2)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-3)
    slots = {"m": 0, "v": 1e-6}
    peers = {"optax": ("yogi", dict(learning_rate=0.01))}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(h, t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "corrected_lr": h.alpha * correction,
                "eps": h.eps * root}


class LaProp(AlphaOptimizer, name="LaProp", kernel="laprop"):
    """v, vhat as in Adam; m += (1 - beta1)(g/(sqrt(vhat) + eps) - m); -alpha m/(1 - beta1^t).

    Ziyin et al. 2020, arXiv 2002.04839, algorithm 1; beta1 and beta2 are its mu and nu. The authors' code keeps alpha
    inside m, which parts from this under a schedule, and decays p by weight_decay alone.
    """

    alpha = rate(4e-4)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-15)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        root = sqrt(1 - h.beta2**t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "root": root,
                "lr": h.alpha / (1 - h.beta1**t), "eps": h.eps * root}


class ADOPT(AlphaOptimizer, name="ADOPT", kernel="adopt"):
    """u = g/max(sqrt(v), eps) with the v of the step before, clipped to +- (t - 1)^clip_power, not at all with None;
    m += (1 - beta1)(u - m); v += (1 - beta2)(g^2 - v); -alpha m. The first step sets v = g^2, and that is all.

    Taniguchi et al. 2024, arXiv 2411.02853, and optax. The first version of the paper has no clipping and m = u in the
    second step.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.9999)
    eps = epsilon(1e-6)
    clip_power = Hyperparameter(0.25, at_least=0, optional=True)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    peers = {"optax": ("contrib.adopt", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h, t):
        first = t == 1
        limit = 0 if first else inf if h.clip_power is None else float(t - 1)**h.clip_power
        return {"one_minus_beta1": 0 if first else 1 - h.beta1, "one_minus_beta2": 1 if first else 1 - h.beta2,
                "lr": h.alpha, "eps": h.eps, "limit": limit}
