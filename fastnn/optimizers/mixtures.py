"""Adam with more than one average in the numerator, or the gradient beside it."""
from math import expm1, log, sqrt

from ..hyperparameters import Hyperparameter
from .base import AlphaOptimizer, Optimizer, decay, epsilon, rate


class Share(Hyperparameter):
    """A number from 0 to 1."""

    def number(self, value):
        found = super().number(value)
        if found > 1:
            raise ValueError(f"{self.title} must be at least 0 and at most 1, not {value!r}")
        return found


def steps():
    return Hyperparameter(0, at_least=0, integer=True)


class QHAdam(AlphaOptimizer, name="QHAdam", kernel="quasi_hyperbolic"):
    """mhat and vhat as in Adam; -alpha ((1 - nu1) g + nu1 mhat)/(sqrt((1 - nu2) g^2 + nu2 vhat) + eps).

    Ma and Yarats 2019, arXiv 1810.06801, with the numbers that it recommends; the authors' code has Adam's by default,
    nu1 = nu2 = 1 and beta1 = 0.9.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.995)
    beta2 = decay(0.999)
    nu1 = Share(0.7, at_least=0)
    nu2 = Share(1.0, at_least=0)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "gain": 1,
                "m_factor": h.nu1 / (1 - h.beta1**t), "g_factor": 1 - h.nu1, "v_factor": h.nu2 / (1 - h.beta2**t),
                "square_factor": 1 - h.nu2, "lr": h.alpha, "eps": h.eps}


class AdEMAMix(Optimizer, name="AdEMAMix", kernel="ademamix"):
    """fast, v, mhat, vhat as in Adam; slow += (1 - beta3)(g - slow); -lr (mhat + alpha slow)/(sqrt(vhat) + eps).

    In the first alpha_warmup steps alpha rises linearly from 0; in the first beta3_warmup steps the half-life of slow
    rises linearly from that of fast: 1/log(b) = (1 - t/warmup)/log(beta1) + (t/warmup)/log(beta3). 0 is none.

    Pagliardini et al. 2024, arXiv 2409.03137; the authors' code has alpha = 2, the paper 5 and more. optax leaves
    schedules to the caller, as alpha= and beta3= can here.
    """

    lr = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    beta3 = decay(0.9999)
    alpha = Hyperparameter(5.0, at_least=0)
    eps = epsilon(1e-8)
    alpha_warmup = steps()
    beta3_warmup = steps()
    slots = {"fast": 0, "slow": 0, "v": 0}
    words = {"betas": ("beta1", "beta2", "beta3")}
    peers = {"optax": ("contrib.ademamix", dict(learning_rate=0.001))}

    @staticmethod
    def one_minus_beta3(h, t):
        """1 - beta3 at step t."""
        if t >= h.beta3_warmup:
            return 1 - h.beta3
        share = t / h.beta3_warmup
        inverse = sum(part / log(beta) for part, beta in ((1 - share, h.beta1), (share, h.beta3)) if beta)
        return -expm1(1 / inverse) if inverse else 1.0

    @classmethod
    def constants(cls, h, t):
        root = sqrt(1 - h.beta2**t)
        alpha = h.alpha * t / h.alpha_warmup if t < h.alpha_warmup else h.alpha
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2,
                "one_minus_beta3": cls.one_minus_beta3(h, t), "correction": 1 / (1 - h.beta1**t), "alpha": alpha,
                "lr": h.lr * root, "eps": h.eps * root}


class SimplifiedAdEMAMix(Optimizer, name="Simplified-AdEMAMix", kernel="quasi_hyperbolic", aliases=("SimAdEMAMix",)):
    """m = beta1 m + g; vhat as in Adam; -lr (m + alpha g)/(sqrt(vhat) + eps).

    Morwani et al. 2025, arXiv 2502.02431, and optax. m is a sum, of up to 1/(1 - beta1) gradients, and the first steps
    are not corrected: the authors' code has lr = 1e-3, at which networks for digits diverge. Their beta1_warmup is a
    schedule of beta1.
    """

    lr = rate(3e-6)
    beta1 = decay(0.99)
    beta2 = decay(0.95)
    alpha = Hyperparameter(0.0, at_least=0)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    peers = {"optax": ("contrib.simplified_ademamix", dict(learning_rate=3e-6))}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "gain": 1 / (1 - h.beta1),
                "m_factor": 1, "g_factor": h.alpha, "v_factor": 1 / (1 - h.beta2**t), "square_factor": 0, "lr": h.lr,
                "eps": h.eps}


class Adan(AlphaOptimizer, name="Adan", kernel="adan"):
    """c = g - g_prev, 0 in the first step; m += (1 - beta1)(g - m); d += (1 - beta2)(c - d);
    n += (1 - beta3)((g + beta2 c)^2 - n); mhat, dhat, nhat corrected as in Adam;
    -alpha (mhat + beta2 dhat)/(sqrt(nhat) + eps).

    Xie et al. 2022, arXiv 2208.06677, whose betas are 1 minus these, which the authors' code has, too. Paper and code
    decay by p/(1 + alpha weight_decay) after the step, here and with their no_prox it is as everywhere. optax has
    (g + (1 - beta2) c)^2 in n, which mixes the two notations up, and eps = 1e-8 inside the root, too.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.98)
    beta2 = decay(0.92)
    beta3 = decay(0.99)
    eps = epsilon(1e-8)
    slots = {"m": 0, "d": 0, "n": 0, "last": 0}
    words = {"betas": ("beta1", "beta2", "beta3")}
    peers = {"optax": ("adan", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h, t):
        root = sqrt(1 - h.beta3**t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "one_minus_beta3": 1 - h.beta3,
                "beta2": h.beta2, "m_factor": h.alpha * root / (1 - h.beta1**t),
                "d_factor": h.alpha * root * h.beta2 / (1 - h.beta2**t), "eps": h.eps * root, "has_last": t > 1}
