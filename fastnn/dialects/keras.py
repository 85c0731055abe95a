"""Keras 3.15.1: keras.optimizers and activations, by its names, arguments and defaults.

weight_decay is decoupled in every optimizer.
"""
from math import sqrt

from ..activations import _registry as activations
from ..hyperparameters import Flag
from ..optimizers.base import decay, epsilon, rate
from . import keras_losses      # noqa: F401: a part of this dialect in a file of its own
from .translation import Dialect, Rule, is_zero

AVERAGE = "fastnn.ExponentialAverage(optimizer, ...) keeps an average"


def shared(weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
           ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None):
    clips = {"clip_norm": clipnorm, "clip_value": clipvalue, "clip_global_norm": global_clipnorm}
    return {"weight_decay": 0 if weight_decay is None else weight_decay,
            "grad_scale": 1 if loss_scale_factor is None else 1 / loss_scale_factor,
            **{option: None if is_zero(value) else value for option, value in clips.items()}}


keras = Dialect("keras", {
    "use_ema": AVERAGE, "ema_momentum": AVERAGE, "ema_overwrite_frequency": AVERAGE,
    "gradient_accumulation_steps": "fastnn.Accumulate(optimizer, ...) adds gradients up",
    "warmup_steps": "fastnn.schedules has warm-ups of the learning rate", "dtype": "", "alpha_regularizer": "",
    "alpha_constraint": ""}, shared)


# Optimizers

@keras.opt("SGD")
def sgd(learning_rate=0.01, momentum=0.0, nesterov=False):
    if is_zero(momentum):
        return "SGD", dict(eta=learning_rate)
    return "Nesterov" if nesterov else "Momentum", dict(lr=learning_rate, momentum=momentum)


class Adam(Rule, kernel="adam"):
    """m and v as in Adam; -learning_rate sqrt(1 - beta_2^t)/(1 - beta_1^t) m/(sqrt(v) + epsilon)."""

    name, like = "Adam", "keras"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    beta_1 = decay(0.9)
    beta_2 = decay(0.999)
    epsilon = epsilon(1e-7)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta_1, "one_minus_beta2": 1 - h.beta_2, "eps_inside_root": 0,
                "eps": h.epsilon, "corrected_lr": h.learning_rate * sqrt(1 - h.beta_2**t) / (1 - h.beta_1**t)}


class AMSGrad(Adam, kernel="amsgrad"):
    """As Adam, with the largest v so far."""

    given = {"amsgrad": True}
    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}

    @staticmethod
    def constants(h, t):
        constants = Adam.constants(h, t)
        return {"lr": constants.pop("corrected_lr"), **constants}


def adam_of(learning_rate, beta_1, beta_2, epsilon, amsgrad, **options):
    return AMSGrad if amsgrad else Adam, dict(
        learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **options)


@keras.opt("Adam")
def adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    return adam_of(learning_rate, beta_1, beta_2, epsilon, amsgrad)


@keras.opt("AdamW")
def adamw(learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    return adam_of(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay or 0)


class Adamax(Rule, kernel="adamax_beside"):
    """m as in Adam; u = max(beta_2 u, |g|); -learning_rate/(1 - beta_1^t) m/(u + epsilon)."""

    name, like = "Adamax", "keras"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    beta_1 = decay(0.9)
    beta_2 = decay(0.999)
    epsilon = epsilon(1e-7)
    slots = {"m": 0, "u": 0}
    stored = {"m": "linear", "u": "logarithmic"}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta_1, "beta2": h.beta_2, "eps": h.epsilon,
                "corrected_lr": h.learning_rate / (1 - h.beta_1**t)}


@keras.opt("Adamax")
def adamax(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    return Adamax, dict(learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


@keras.opt("Nadam")
def nadam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """The catalogue's with a momentum_decay of 1: mu_t = beta_1 (1 - 0.96^t/2)."""
    return "Nadam", dict(alpha=learning_rate, mu=beta_1, nu=beta_2, eps=epsilon, momentum_decay=1)


class RMSprop(Rule, kernel="rmsprop_buffered"):
    """m, v with rho; buf = momentum buf + learning_rate g/sqrt(v + epsilon), of v - m^2 where centered; -buf."""

    name, like = "RMSprop", "keras"
    _rate_name = "learning_rate"
    learning_rate = rate(1e-3)
    rho = decay(0.9)
    momentum = rate(0.0)
    epsilon = epsilon(1e-7)
    centered = Flag(False)
    slots = {"m": 0, "v": 0, "buf": 0}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.rho, "centre": h.centered, "momentum": h.momentum, "lr_in": h.learning_rate,
                "lr_buf": 1, "lr_step": 0, "eps_inside_root": h.epsilon, "eps": 0}


@keras.opt("RMSprop")
def rmsprop(learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    if is_zero(momentum):
        return ("RMSpropGraves", dict(eta=learning_rate, rho=rho, eps=epsilon)) if centered else (
            "RMSprop", dict(eta=learning_rate, rho=rho, eps=0, eps_inside_root=epsilon))
    return RMSprop, dict(learning_rate=learning_rate, rho=rho, momentum=momentum, epsilon=epsilon, centered=centered)


@keras.opt("Adagrad")
def adagrad(learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7):
    """The sums do not contain initial_accumulator_value, which is added under the root as epsilon is."""
    return "AdaGrad", dict(eta=learning_rate, eps=0, eps_inside_root=initial_accumulator_value + epsilon)


@keras.opt("Adadelta")
def adadelta(learning_rate=0.001, rho=0.95, epsilon=1e-7):
    return "AdaDelta", dict(rho=rho, eps=epsilon, lr=learning_rate)


@keras.opt("Lion")
def lion(learning_rate=0.001, beta_1=0.9, beta_2=0.99):
    return "Lion", dict(lr=learning_rate, beta1=beta_1, beta2=beta_2)


@keras.opt("Lamb")
def lamb(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=None):
    if not is_zero(weight_decay):
        raise ValueError("Keras decays beside the ratio of norms; LAMB without like= does so within it, as the paper")
    return "LAMB", dict(alpha=learning_rate, beta1=beta_1, beta2=beta_2, eps=epsilon)


@keras.opt("ScheduleFreeAdamW")
def schedule_free_adamw(learning_rate=0.0025, beta_1=0.9, beta_2=0.999, epsilon=1e-8, warmup_steps=0,
                        weight_decay=None):
    """The catalogue's with equal weights."""
    if not is_zero(weight_decay):
        raise ValueError("Keras decays y alone; weight_decay without like= takes x, y and z along")
    return "ScheduleFreeAdamW", dict(lr=learning_rate, beta1=beta_1, beta2=beta_2, eps=epsilon, weight_lr_power=0)


# Activations

keras.same(activations, {
    "identity": "linear", "sigmoid": "sigmoid", "log-sigmoid": "log_sigmoid", "tanh": "tanh",
    "tanh-shrink": "tanh_shrink", "hard-tanh": "hard_tanh", "ReLU6": "relu6","softplus": "softplus",
    "softsign": "softsign", "Swish": "silu swish", "Mish": "mish", "hard-swish": "hard_silu hard_swish",
    "h-sigmoid": "hard_sigmoid",            # Keras 2 had the catalogue's hard-sigmoid
    "sparse-plus": "sparse_plus", "sparse-sigmoid": "sparse_sigmoid", "exponential": "exponential"})


@keras.act("squareplus")
def squareplus(b=4):
    return "squareplus", dict(b=b)


@keras.act("relu")
def relu(negative_slope=0.0, max_value=None, threshold=0.0):
    if threshold or max_value is not None and not is_zero(negative_slope):
        raise ValueError("fastnn's has no threshold, nor max_value beside a slope")
    if max_value is not None:
        return "ReLU-k", dict(k=max_value)
    return ("ReLU", {}) if is_zero(negative_slope) else ("leaky-ReLU", dict(alpha=negative_slope))


@keras.act("leaky_relu")
def leaky_relu(negative_slope):
    """The slope must be given: Keras' function has 0.2, its layer LeakyReLU 0.3, and names are taken in any spelling."""
    return "leaky-ReLU", dict(alpha=negative_slope)


@keras.act("elu")
def elu(alpha=1.0):
    return "ELU", dict(alpha=alpha)


@keras.act("celu")
def celu(alpha=1.0):
    return "CELU", dict(alpha=alpha)


@keras.act("selu")
def selu():
    """Keras's constants have 16 digits."""
    return "SELU", dict(lambda_=1.0507009873554804934193349852946, alpha=1.6732632423543772848170429916717)


@keras.act("gelu")
def gelu(approximate=False):
    return "GELU-tanh" if approximate else "GELU", {}


@keras.act("hard_shrink")
def hard_shrink(threshold=0.5):
    return "hard-shrink", dict(lambda_=threshold)


@keras.act("soft_shrink")
def soft_shrink(threshold=0.5):
    return "soft-shrink", dict(lambda_=threshold)


@keras.act("threshold")
def threshold(threshold=20, default_value=20):
    return "threshold", dict(threshold=threshold, value=default_value)


@keras.act("glu")
def glu(axis=-1):
    return "GLU", dict(axis=axis)


@keras.act("PReLU")
def prelu(alpha_initializer="zeros", alpha_regularizer=None, alpha_constraint=None, shared_axes=None, channels=1):
    """The layer's alphas along the last axis, of which there are `channels`: Keras sees how many its input has. It has one
    for each place beside the batch, unless shared_axes names the axes between.
    """
    initial = {"zeros": 0.0, "ones": 1.0}.get(str(alpha_initializer).lower())
    if initial is None:
        raise ValueError(f"alpha_initializer must be 'zeros' or 'ones', not {alpha_initializer!r:.80}: alpha= of the "
                         "catalogue's PReLU takes any numbers")
    return "PReLU", dict(channels=channels, alpha=initial, axis=-1)


@keras.act("softmax")
def softmax(axis=-1):
    return "softmax", dict(axis=axis)


@keras.act("log_softmax")
def log_softmax(axis=-1):
    return "log-softmax", dict(axis=axis)


@keras.act("sparsemax")
def sparsemax(axis=-1):
    return "sparsemax", dict(axis=axis)
