"""Adam and what came of it: averages of gradients over roots of averages of their squares."""
from math import copysign, isfinite, sqrt

from ..hyperparameters import Hyperparameter, as_float, unwrapped
from .base import AlphaOptimizer, decay, epsilon, rate


def corrected(h, t):
    """Two factors by which Adam's corrections cost nothing an element:
    mhat/(sqrt(vhat) + eps) = first m/(sqrt(v) + second eps).
    """
    root = sqrt(1 - h.beta2**t)
    return root / (1 - h.beta1**t), root


class Adam(AlphaOptimizer, name="Adam", kernel="adam"):
    """m += (1 - beta1)(g - m); v += (1 - beta2)(g^2 - v); mhat = m/(1 - beta1^t); vhat = v/(1 - beta2^t);
    -alpha mhat/(sqrt(vhat) + eps).

    Kingma and Ba 2014, arXiv 1412.6980, algorithm 1; PyTorch and optax. Its faster form, which Keras and the book have,
    adds eps to sqrt(v): fastnn.dlfs.Adam(eps=1e-8). Article A divides by sqrt(v + eps): like="article".
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    peers = {"torch": ("Adam", dict(lr=0.001)), "optax": ("adam", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(h, t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "eps_inside_root": 0,
                "eps": h.eps * root, "corrected_lr": h.alpha * correction}


class SparseAdam(Adam, name="SparseAdam", kernel="adam", aliases=("LazyAdam",)):
    """Adam for `fastnn.Rows`: m and v of the rows named alone; -alpha sqrt(1 - beta2^t)/(1 - beta1^t) m/(sqrt(v) + eps).

    PyTorch's SparseAdam and TensorFlow's LazyAdam, which differ from Adam by the place of eps, too. Arrays as gradients
    name every row; Adam steps Rows, too, with its own eps.
    """

    peers = {"torch": ("SparseAdam", dict(lr=0.001))}

    @staticmethod
    def constants(h, t):
        return {**Adam.constants(h, t), "eps": h.eps}


class AdaMax(AlphaOptimizer, name="AdaMax", kernel="adamax"):
    """m += (1 - beta1)(g - m); u = max(beta2 u, |g| + eps); -alpha/(1 - beta1^t) m/u, 0 where m = 0.

    Kingma and Ba 2014, arXiv 1412.6980, algorithm 2, which has no eps; PyTorch and optax have it there.
    """

    alpha = rate(2e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "u": 0}
    stored = {"m": "linear", "u": "logarithmic"}
    peers = {"torch": ("Adamax", dict(lr=0.002)), "optax": ("adamax", dict(learning_rate=0.002))}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "beta2": h.beta2, "corrected_lr": h.alpha / (1 - h.beta1**t),
                "eps": h.eps}


class Nadam(AlphaOptimizer, name="Nadam", kernel="nadam"):
    """m, v and vhat as in Adam with mu and nu; mu_t = mu (1 - 0.96^(t momentum_decay)/2), M_t = mu_1 ... mu_t;
    mhat = mu_(t+1) m/(1 - M_(t+1)) + (1 - mu_t) g/(1 - M_t); -alpha mhat/(sqrt(vhat) + eps).

    Dozat 2016, "Incorporating Nesterov momentum into Adam". PyTorch's NAdam; Keras has 0.96^t, a momentum_decay
    of 1, optax and article A no decay.
    """

    alpha = rate(2e-3)
    mu = decay(0.9)
    nu = decay(0.999)
    eps = epsilon(1e-8)
    momentum_decay = Hyperparameter(4e-3, at_least=0)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    scalars = {"mu_product": 1.0}
    peers = {"torch": ("NAdam", dict(lr=0.002)), "optax": ("nadam", dict(learning_rate=0.002))}

    @staticmethod
    def momentum_at(h, t):
        return h.mu * (1 - 0.5 * 0.96**(t * h.momentum_decay))

    @classmethod
    def constants(cls, h, t, mu_product):
        ahead = cls.momentum_at(h, t + 1)
        return {"one_minus_mu": 1 - h.mu, "one_minus_nu": 1 - h.nu, "eps_inside_root": 0, "eps": h.eps,
                "m_factor": h.alpha * ahead / (1 - mu_product * ahead), "v_factor": 1 / (1 - h.nu**t),
                "g_factor": h.alpha * (1 - cls.momentum_at(h, t)) / (1 - mu_product)}

    @classmethod
    def advanced(cls, h, t, scalars, extra):
        before = 1.0 if t == 1 else scalars[0]
        return before * cls.momentum_at(h, t),

    @staticmethod
    def checked_scalars(mu_product):
        if not 0 <= mu_product <= 1:
            raise ValueError(f"Nadam's mu_product must be from 0 to 1, not {mu_product}")


class Eve(AlphaOptimizer, name="Eve", kernel="adam"):
    """-alpha mhat/(D (sqrt(vhat) + eps)), mhat and vhat as in Adam, with the feedback D from the loss f:
    d = |f - f_prev|/(min(f, f_prev) - fstar) clipped to [1/c, c]; D += (1 - beta3)(d - D), D = 1 at t = 1.

    Hayashi et al. 2016, arXiv 1611.01505, algorithm 1; article A has |f - fstar|: like="article".
    ``update(..., f=loss)``; without f, and at the first one, D stays as it is. d is 1 where f, f_prev and fstar are the
    same. Raises ValueError if f is not finite.
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
    scalars = {"D": 1.0, "f": 0.0, "told": 0.0}     # told: whether there has been an f

    @staticmethod
    def constants(h, t, D, *others):
        constants = Adam.constants(h, t)
        return {**constants, "corrected_lr": h.alpha * sqrt(1 - h.beta2**t) / (1 - h.beta1**t) / D}

    @staticmethod
    def distance(h, f, before):
        return abs(f - before)

    @classmethod
    def advanced(cls, h, t, scalars, extra):
        D, before, told = tuple(cls.scalars.values()) if t == 1 else scalars
        if "f" not in extra:
            return D, before, told
        f = cls.checked_loss(extra["f"])
        return cls.feedback(h, D, f, before) if told else D, f, 1.0

    @staticmethod
    def checked_loss(f):
        f = unwrapped(f)
        if not hasattr(f, "__float__"):
            raise TypeError(f"the loss f must be a number, not {f!r:.80}")
        try:
            f = as_float(f)
        except TypeError:
            raise TypeError(f"the loss f must be a number, not {f!r:.80}") from None
        if not isfinite(f):
            raise ValueError(f"the loss f must be finite, not {f}")
        return f

    @classmethod
    def feedback(cls, h, D, f, before):
        """The new D."""
        distance, floor = cls.distance(h, f, before), min(f, before) - h.fstar
        if distance == floor == 0:
            d = 1.0                             # at the optimum, and before
        else:
            d = distance / floor if floor else copysign(h.c, distance)
        return D + (1 - h.beta3) * (min(max(d, 1 / h.c), h.c) - D)

    @staticmethod
    def checked_scalars(D, **others):
        if D <= 0:
            raise ValueError(f"Eve's D must be positive, not {D}")


class AMSGrad(AlphaOptimizer, name="AMSGrad", kernel="amsgrad"):
    """m, v, mhat as in Adam; vhat = max(vhat, v); -alpha mhat/(sqrt(vhat/(1 - beta2^t)) + eps).

    Reddi et al. 2018, arXiv 1904.09237, with Adam's corrections, as PyTorch's Adam(amsgrad=True) and Keras have it;
    optax takes the maximum of corrected ones. The paper and article A have alpha/sqrt(t) and no corrections:
    like="article".
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0, "vhat": 0}
    peers = {"torch": ("Adam", dict(lr=0.001, amsgrad=True)), "optax": ("amsgrad", dict(learning_rate=0.001))}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(h, t)
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": h.alpha * correction,
                "eps_inside_root": 0, "eps": h.eps * root}


class AdaBound(AlphaOptimizer, name="AdaBound", kernel="adabound"):
    """m, v as in Adam; r = alpha sqrt(1 - beta2^t)/(1 - beta1^t)/(sqrt(v) + eps), clipped to [lo, hi]; -r m, with
    lo = E (1 - 1/(gamma t + 1)) and hi = E (1 + 1/(gamma t)), where E = eta alpha/base_lr is the final rate.

    Luo et al. 2019, arXiv 1902.09843, as in the authors' code, whose base_lr is the alpha given at construction. Here
    it is a number of its own, so that a hundredth of alpha is a hundredth of the final rate, too. The paper and article
    A have no corrections and divide by sqrt(t), article A has no base_lr: like="article".
    """

    alpha = rate(1e-3)
    eta = rate(1e-1)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    gamma = Hyperparameter(1e-3, above=0)
    base_lr = Hyperparameter(1e-3, above=0)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        final, growth = h.eta * (h.alpha / h.base_lr), h.gamma * t
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": h.alpha * corrected(h, t)[0],
                "eps": h.eps, "lowest": final * (1 - 1 / (growth + 1)), "highest": final * (1 + 1 / growth), "decay": 1}


class AMSBound(AdaBound, name="AMSBound", kernel="amsbound"):
    """AdaBound with vhat = max(vhat, v) instead of v.  Luo et al. 2019, arXiv 1902.09843."""

    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}
