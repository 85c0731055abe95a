"""Article A: its arithmetic to the last bit, and its defaults. Where its code is wrong, nothing here is.

docs/imports.md has the table of what is wrong there.

In the docstrings g is the gradient, t the parameter's own step, from 1; the delta is added to the parameter. What the
article has and the catalogue means by the same name is listed below.
"""
from math import sqrt

from .. import maxout                           # noqa: F401: a row of the catalogue
from ..activations import LogSoftmax, Softmax, Softmin, _registry as activations, checked_axis
from ..hyperparameters import Choice, Hyperparameter
from ..losses import _registry as losses
from ..optimizers import _registry as optimizers, adam, santa
from ..optimizers.base import AlphaOptimizer, EtaOptimizer, decay, epsilon, rate

SAME = {
    optimizers: ("SGD", "MSGD", "NAG", "AdaDelta", "RMSpropGraves", "SMORMS3"),
    activations: (
        "step", "identity", "bent-identity", "hard-shrink", "soft-shrink", "threshold", "sigmoid", "hard-sigmoid",
        "log-sigmoid", "tanh", "tanh-shrink", "hard-tanh", "ReLU", "ReLU6", "leaky-ReLU", "ELU", "SELU", "CELU",
        "softplus", "softsign", "Swish", "Mish", "tanhExp", "maxout"),
    losses: ("Square", "Binary", "Cross"),
}
for registry, names in SAME.items():
    for name in names:
        registry.dialect("article").add(name, registry.catalogued(name), ("SDG",) if name == "SGD" else ())


class ArticleSoftmax(Softmax, name="softmax", like="article"):
    """exp(x_i) / sum_j exp(x_j) over the whole array, or along `axis`."""

    axis = Choice(None, checked_axis)


class ArticleSoftmin(Softmin, name="softmin", like="article"):
    """exp(-x_i) / sum_j exp(-x_j) over the whole array, or along `axis`."""

    axis = Choice(None, checked_axis)


class ArticleLogSoftmax(LogSoftmax, name="log-softmax", like="article"):
    """x_i - log(sum_j exp(x_j)) over the whole array, or along `axis`."""

    axis = Choice(None, checked_axis)


class AdaGrad(EtaOptimizer, name="AdaGrad", kernel="adagrad", like="article"):
    """G += g^2; -eta g/sqrt(G), 0 where g = 0."""

    eta = rate(1e-3)
    slots = {"G": 0}

    @staticmethod
    def constants(h):
        return {"lr": h.eta, "eps_inside_root": 0, "eps": 0}


class RMSprop(EtaOptimizer, name="RMSprop", kernel="rmsprop", like="article"):
    """v += (1 - rho)(g^2 - v); -eta g/sqrt(v + eps)."""

    eta = rate(1e-2)
    rho = decay(0.99)
    eps = epsilon(1e-8)
    slots = {"v": 0}
    stored = {"v": "logarithmic"}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.rho, "lr": h.eta, "eps_inside_root": h.eps, "eps": 0}


class Adam(adam.Adam, name="Adam", kernel="adam", like="article"):
    """m += (1 - beta1)(g - m); v += (1 - beta2)(g^2 - v); -alpha sqrt(1 - beta2^t)/(1 - beta1^t) m/sqrt(v + eps)."""

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "eps_inside_root": h.eps, "eps": 0,
                "corrected_lr": h.alpha * sqrt(1 - h.beta2**t) / (1 - h.beta1**t)}


class AdaMax(AlphaOptimizer, name="AdaMax", kernel="adamax", like="article"):
    """m as in Adam; u = max(beta2 u, |g|); -alpha/(1 - beta1^t) m/u, 0 where m = 0."""

    alpha = rate(2e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    slots = {"m": 0, "u": 0}
    stored = {"m": "linear", "u": "logarithmic"}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "beta2": h.beta2, "corrected_lr": h.alpha / (1 - h.beta1**t), "eps": 0}


class Nadam(AlphaOptimizer, name="Nadam", kernel="nadam", like="article"):
    """m, v as in Adam with mu and nu; mhat = mu m/(1 - mu^(t+1)) + (1 - mu) g/(1 - mu^t); vhat = nu v/(1 - nu^t);
    -alpha mhat/sqrt(vhat + eps).
    """

    alpha = rate(2e-3)
    mu = decay(0.975)
    nu = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        mu, nu = h.mu, h.nu
        return {"one_minus_mu": 1 - mu, "one_minus_nu": 1 - nu, "m_factor": h.alpha * mu / (1 - mu**(t + 1)),
                "g_factor": h.alpha * (1 - mu) / (1 - mu**t), "v_factor": nu / (1 - nu**t), "eps_inside_root": h.eps,
                "eps": 0}


class Eve(adam.Eve, name="Eve", kernel="adam", like="article"):
    """-alpha mhat/(D (sqrt(vhat) + eps)), with d = |f - fstar|/(min(f, f_prev) - fstar) clipped to [1/c, c];
    D += (1 - beta3)(d - D), D = 1 at t = 1.  ``update(..., f=loss)``; f is 1 if left out.
    """

    scalars = {"D": 1.0, "f": 0.0}

    @classmethod
    def advanced(cls, h, t, scalars, extra):
        f = cls.checked_loss(extra.get("f", 1.0))
        return (1.0 if t == 1 else cls.feedback(h, scalars[0], f, scalars[1])), f

    @staticmethod
    def distance(h, f, before):
        return abs(f - h.fstar)


class AMSGrad(adam.AMSGrad, name="AMSGrad", kernel="amsgrad", like="article"):
    """m, v as in Adam; vhat = max(vhat, v); -alpha/sqrt(t) m/sqrt(vhat + eps)."""

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": h.alpha / sqrt(t),
                "eps_inside_root": h.eps, "eps": 0}


class AdaBound(AlphaOptimizer, name="AdaBound", kernel="adabound", like="article"):
    """m, v as in Adam; -clip(alpha/sqrt(v), lo, hi)/sqrt(t) m with lo = eta (1 - 1/((1 - beta2) t + 1)) and
    hi = eta (1 + 1/((1 - beta2) t + eps)).
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
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "lr": h.alpha, "eps": 0,
                "lowest": h.eta * (1 - 1 / (growth + 1)), "highest": h.eta * (1 + 1 / (growth + h.eps)),
                "decay": 1 / sqrt(t)}


class AMSBound(AdaBound, name="AMSBound", kernel="amsbound", like="article"):
    """AdaBound with vhat = max(vhat, v) instead of v."""

    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}


def power(t, rate):
    """t^rate."""
    return t**rate


class Santa(santa.Santa):
    """What the schemes share."""

    eta = Hyperparameter(1e-2, above=0)
    lambda_ = epsilon(1e-8)
    anne_func = Choice(power, santa.annealing)
    N = Hyperparameter(16, at_least=1, integer=True)

    @staticmethod
    def constants(h, t):
        warmth = h.eta / santa.inverse_temperature(h, t)
        return {"sigma": h.sigma, "square_factor": (1 - h.sigma) / h.N**2, "lambda_": h.lambda_, "lr": h.eta,
                "warmth": warmth, "noise_factor": sqrt(2 * warmth)}

    @staticmethod
    def _beginning(h, t):
        return sqrt(h.eta)


class SantaE(Santa, name="SantaE", kernel=("article_santa_e_explore", "article_santa_e_refine"), like="article"):
    """v = sigma v + (1 - sigma) g^2/N^2; q = 1/sqrt(lambda_ + sqrt(v)). Before `burnin` (exploration), with
    beta = anne_func(t, anne_rate) and z standard normal: alpha += u^2 - eta/beta;
    u = eta/beta (1 - q_prev/q)/u + sqrt(2 eta/beta q_prev) z + (1 - alpha) u - eta q g; after it (refinement)
    u = (1 - alpha) u - eta q g. The delta is q u. At first u is sqrt(eta) z and alpha is sqrt(eta) C.

    rng is None, an integer, a Generator or a RandomState; a RandomState draws what the article draws. N is the
    hyperparameter alone, not what ``update(..., N=rows)`` hands over.
    """


class SantaSSS(Santa, name="SantaSSS", kernel=("article_santa_sss_explore", "article_santa_sss_refine"),
               like="article"):
    """As SantaE, with exploration alpha += (u^2 - eta/beta)/2; u = exp(-alpha/2) u - eta q g
    + sqrt(2 eta/beta q_prev) z + eta/beta (1 - q_prev/q)/u; u = exp(-alpha/2) u; alpha += (u^2 - eta/beta)/2.
    Refinement: the same without noise and without changing alpha. The delta is q u/2: the paper's half step q u_prev/2
    is left out.
    """
