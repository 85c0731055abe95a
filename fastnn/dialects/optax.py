"""optax 0.2.8 and jax.nn, by their names, arguments and defaults.

A learning rate that is a schedule is called with t from 1, as everywhere here: optax counts from 0. What `mask` leaves
out is a group's, weight_decay=0.
"""
from math import sqrt

from ..activations import _registry as activations
from ..hyperparameters import Flag, Hyperparameter
from ..losses import _registry as losses
from ..optimizers.adam import corrected
from ..optimizers.base import decay, epsilon, rate
from .torch import SquaredError
from .translation import Dialect, Rule, is_zero

GROUPS = "groups have a weight_decay of their own"
DTYPE = "state_dtype says how state is kept"

optax = Dialect("optax", {
    "mask": GROUPS, "weight_decay_mask": GROUPS, "mu_dtype": DTYPE, "accumulator_dtype": DTYPE, "initial_scale": "",
    "bias_correction": "", "where": "", "axis_name": ""})


# Optimizers

class Trace(Rule, kernel="heavy_ball"):
    """m = momentum m + g; -learning_rate m, with nesterov -learning_rate (g + momentum m)."""

    name, like = "sgd", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-2)
    momentum = rate(0.9)
    nesterov = Flag(False)
    slots = {"m": 0}
    stored = {"m": "linear"}

    @staticmethod
    def constants(h):
        return {"momentum": h.momentum, "share": 1, "lr_g": h.learning_rate if h.nesterov else 0,
                "lr_m": h.learning_rate * h.momentum if h.nesterov else h.learning_rate}


@optax.opt("sgd")
def sgd(learning_rate, momentum=None, nesterov=False, accumulator_dtype=None):
    """The rate is no part of what is kept: under a schedule it is another rule than the catalogue's Momentum."""
    if is_zero(momentum):
        return "SGD", dict(eta=learning_rate)
    return Trace, dict(learning_rate=learning_rate, momentum=momentum, nesterov=nesterov)


class Adam(Rule, kernel="adam"):
    """m, v, mhat and vhat as in Adam; -learning_rate mhat/(sqrt(vhat + eps_root) + eps)."""

    name, like = "adam", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    b1 = decay(0.9)
    b2 = decay(0.999)
    eps = epsilon(1e-8)
    eps_root = epsilon(0.0)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(as_adam(h), t)
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "eps": h.eps * root,
                "eps_inside_root": h.eps_root * root**2, "corrected_lr": h.learning_rate * correction}


class NAdam(Adam, kernel="nadam"):
    """As adam, with mhat = b1 m/(1 - b1^(t+1)) + (1 - b1) g/(1 - b1^t)."""

    given = {"nesterov": True}

    @staticmethod
    def constants(h, t):
        return {"one_minus_mu": 1 - h.b1, "one_minus_nu": 1 - h.b2, "eps_inside_root": h.eps_root, "eps": h.eps,
                "m_factor": h.learning_rate * h.b1 / (1 - h.b1**(t + 1)), "v_factor": 1 / (1 - h.b2**t),
                "g_factor": h.learning_rate * (1 - h.b1) / (1 - h.b1**t)}


class AMSGrad(Adam, kernel="amsgrad_corrected"):
    """m, v and mhat as in Adam; vhat = max(vhat, v/(1 - b2^t)); -learning_rate mhat/(sqrt(vhat + eps_root) + eps).

    bias_correction_mu and bias_correction_nu say whether m and v are divided by 1 - b^t.
    """

    name = "amsgrad"
    bias_correction_mu = Flag(True)
    bias_correction_nu = Flag(True)
    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}

    @staticmethod
    def constants(h, t):
        lr = h.learning_rate / (1 - h.b1**t) if h.bias_correction_mu else h.learning_rate
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "corrected_lr": lr, "eps": h.eps,
                "v_factor": 1 / (1 - h.b2**t) if h.bias_correction_nu else 1, "eps_inside_root": h.eps_root}


class as_adam:                  # noqa: N801: a function of h
    """b1 and b2 by the catalogue's names."""

    def __init__(self, h):
        self.beta1, self.beta2 = h.b1, h.b2


def adam_of(learning_rate, b1, b2, eps, eps_root, nesterov, **options):
    if nesterov or not is_zero(eps_root):
        return NAdam if nesterov else Adam, dict(
            learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root, **options)
    return "AdamW" if options else "Adam", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, **options)


@optax.opt("adam")
def adam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, *, nesterov=False):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov)


@optax.opt("adamw")
def adamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, weight_decay=1e-4, mask=None, *,
          nesterov=False):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov, weight_decay=weight_decay)


@optax.opt("nadam")
def nadam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, *, nesterov=True):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov)


@optax.opt("nadamw")
def nadamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, weight_decay=1e-4, mask=None, *,
           nesterov=True):
    return adam_of(learning_rate, b1, b2, eps, eps_root, nesterov, weight_decay=weight_decay)


@optax.opt("amsgrad")
def amsgrad(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, mu_dtype=None, bias_correction_mu=True,
            bias_correction_nu=True):
    return AMSGrad, dict(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root,
                         bias_correction_mu=bias_correction_mu, bias_correction_nu=bias_correction_nu)


@optax.opt("adamax")
def adamax(learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    return "AdaMax", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps)


@optax.opt("adamaxw")
def adamaxw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-4, mask=None):
    return "AdaMaxW", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, weight_decay=weight_decay)


class RAdam(Rule, kernel="radam"):
    """As the catalogue's, from r = threshold on, with mhat/(sqrt(vhat) + eps)."""

    name, like = "radam", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    b1 = decay(0.9)
    b2 = decay(0.999)
    eps = epsilon(1e-8)
    threshold = Hyperparameter(5.0, at_least=4)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        power, longest, lr = h.b2**t, 2 / (1 - h.b2) - 1, h.learning_rate / (1 - h.b1**t)
        length = longest - 2 * t * power / (1 - power)
        adaptive = length >= h.threshold
        if adaptive:
            lr *= sqrt((1 - power) * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "lr": lr, "adaptive": adaptive,
                "eps": h.eps * sqrt(1 - power)}


@optax.opt("radam")
def radam(learning_rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, threshold=5.0, *, nesterov=False):
    plain(eps_root, nesterov)
    return RAdam, dict(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, threshold=threshold)


def plain(eps_root, nesterov):
    if nesterov or not is_zero(eps_root):
        raise ValueError("fastnn has it without nesterov and eps_root")


class Yogi(Rule, kernel="yogi"):
    """As the catalogue's, with an m from 1e-6, which moves a parameter whose gradients are 0."""

    name, like = "yogi", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-2)
    b1 = decay(0.9)
    b2 = decay(0.999)
    eps = epsilon(1e-3)
    slots = {"m": 1e-6, "v": 1e-6}

    @staticmethod
    def constants(h, t):
        correction, root = corrected(as_adam(h), t)
        return {"one_minus_beta1": 1 - h.b1, "one_minus_beta2": 1 - h.b2, "eps": h.eps * root,
                "corrected_lr": h.learning_rate * correction}


@optax.opt("yogi")
def yogi(learning_rate, b1=0.9, b2=0.999, eps=1e-3):
    return Yogi, dict(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)


@optax.opt("adabelief")
def adabelief(learning_rate, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16, *, nesterov=False):
    plain(0, nesterov)
    return "AdaBelief", dict(alpha=learning_rate, beta1=b1, beta2=b2, eps=eps, eps_inside_root=eps_root)


class RMSprop(Rule, kernel="rmsprop_buffered"):
    """m, v with decay; s = learning_rate g/sqrt(v + eps), of v - m^2 where centered, with eps_in_sqrt=False
    learning_rate g/(sqrt(v) + eps); buf = momentum buf + s; -buf, with nesterov -(s + momentum buf).
    """

    name, like = "rmsprop", "optax"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-2)
    decay = decay(0.9)
    eps = epsilon(1e-8)
    eps_in_sqrt = Flag(True)
    centered = Flag(False)
    momentum = rate(0.0)
    nesterov = Flag(False)
    slots = {"m": 0, "v": 0, "buf": 0}

    @staticmethod
    def constants(h):
        inside, beside = (h.eps, 0) if h.eps_in_sqrt else (0, h.eps)
        return {"one_minus_rho": 1 - h.decay, "centre": h.centered, "momentum": h.momentum, "lr_in": h.learning_rate,
                "lr_buf": h.momentum if h.nesterov else 1, "lr_step": h.nesterov, "eps_inside_root": inside,
                "eps": beside}


@optax.opt("rmsprop")
def rmsprop(learning_rate, decay=0.9, eps=1e-8, initial_scale=0.0, eps_in_sqrt=True, centered=False, momentum=None,
            nesterov=False, bias_correction=False):
    if is_zero(momentum) and not centered:
        return "RMSprop", dict(eta=learning_rate, rho=decay, eps=0 if eps_in_sqrt else eps,
                               eps_inside_root=eps if eps_in_sqrt else 0)
    return RMSprop, dict(learning_rate=learning_rate, decay=decay, eps=eps, eps_in_sqrt=eps_in_sqrt, centered=centered,
                         momentum=momentum or 0, nesterov=nesterov and not is_zero(momentum))


@optax.opt("adagrad")
def adagrad(learning_rate, initial_accumulator_value=0.1, eps=1e-7):
    """The sums do not contain initial_accumulator_value, which is added under the root as eps is."""
    return "AdaGrad", dict(eta=learning_rate, eps=0, eps_inside_root=initial_accumulator_value + eps)


@optax.opt("adadelta")
def adadelta(learning_rate, rho=0.9, eps=1e-6, weight_decay=0.0, weight_decay_mask=None):
    """weight_decay is L2."""
    return "AdaDelta", dict(rho=rho, eps=eps, lr=learning_rate, l2=weight_decay)


@optax.opt("lion")
def lion(learning_rate, b1=0.9, b2=0.99, mu_dtype=None, weight_decay=1e-3, mask=None):
    return "Lion", dict(lr=learning_rate, beta1=b1, beta2=b2, weight_decay=weight_decay)


# Activations: jax.nn's

optax.same(activations, {
    "ReLU": "relu", "ReLU6": "relu6", "identity": "identity", "sigmoid": "sigmoid", "log-sigmoid": "log_sigmoid",
    "tanh": "tanh", "hard-tanh": "hard_tanh", "softplus": "softplus", "softsign": "soft_sign", "Swish": "silu swish",
    "Mish": "mish", "h-sigmoid": "hard_sigmoid", "hard-swish": "hard_silu hard_swish", "sparse-plus": "sparse_plus",
    "sparse-sigmoid": "sparse_sigmoid"})


@optax.act("squareplus")
def squareplus(b=4):
    return "squareplus", dict(b=b)


@optax.act("leaky_relu")
def leaky_relu(negative_slope=0.01):
    return "leaky-ReLU", dict(alpha=negative_slope)


@optax.act("elu")
def elu(alpha=1.0):
    return "ELU", dict(alpha=alpha)


@optax.act("celu")
def celu(alpha=1.0):
    return "CELU", dict(alpha=alpha)


@optax.act("selu")
def selu():
    """JAX's constants have 16 digits."""
    return "SELU", dict(lambda_=1.0507009873554804934193349852946, alpha=1.6732632423543772848170429916717)


@optax.act("gelu")
def gelu(approximate=True):
    """jax.nn's default is the form with tanh."""
    return "GELU-tanh" if approximate else "GELU", {}


@optax.act("softmax")
def softmax(axis=-1, where=None):
    return "softmax", dict(axis=axis)


@optax.act("log_softmax")
def log_softmax(axis=-1, where=None):
    return "log-softmax", dict(axis=axis)


# Losses

optax.same(losses, {
    "Square": "l2_loss", "sigmoid-binary-cross-entropy": "sigmoid_binary_cross_entropy",
    "softmax-cross-entropy": "softmax_cross_entropy softmax_cross_entropy_with_integer_labels"})


@optax.err("squared_error", "mse")
def squared_error():
    """(y - t)^2, twice optax's l2_loss."""
    return SquaredError, {}
