"""Chainer 7.8.1: chainer.optimizers and chainer.functions, by its names, arguments and defaults.

Its hooks are options: WeightDecay(rate) is l2, Lasso l1, GradientClipping clip_global_norm, GradientHardClipping(-c, c)
clip_value. NesterovAG applies momentum^2 to the new velocity; it is the catalogue's Nesterov here, which is the paper's.
"""
from math import sqrt

from ..activations import _registry as activations
from ..losses import classification
from ..optimizers.base import decay, epsilon, rate
from ..schedules import value_at
from .adapted import AlongAnotherAxis
from .translation import Dialect, Rule, is_zero

chainer = Dialect("chainer", {"use_cudnn": "", "cache_score": "", "enable_double_backprop": "", "soft_target_loss": ""})


# Optimizers

@chainer.opt("SGD")
def sgd(lr=0.01):
    return "SGD", dict(eta=lr)


@chainer.opt("MomentumSGD")
def momentum_sgd(lr=0.01, momentum=0.9):
    return "Momentum", dict(lr=lr, momentum=momentum)


@chainer.opt("CorrectedMomentumSGD")
def corrected_momentum_sgd(lr=0.01, momentum=0.9):
    return "SGDMomentum", dict(eta=lr, momentum=momentum)


@chainer.opt("NesterovAG")
def nesterov_ag(lr=0.01, momentum=0.9):
    """Not Chainer's numbers: it applies momentum^2 to the new velocity."""
    return "Nesterov", dict(lr=lr, momentum=momentum)


@chainer.opt("AdaGrad")
def ada_grad(lr=0.001, eps=1e-8):
    return "AdaGrad", dict(eta=lr, eps=eps)


@chainer.opt("AdaDelta")
def ada_delta(rho=0.95, eps=1e-6):
    return "AdaDelta", dict(rho=rho, eps=eps)


@chainer.opt("RMSprop")
def rmsprop(lr=0.01, alpha=0.99, eps=1e-8, eps_inside_sqrt=False):
    return "RMSprop", dict(eta=lr, rho=alpha, eps=0 if eps_inside_sqrt else eps,
                           eps_inside_root=eps if eps_inside_sqrt else 0)


class RMSpropGraves(Rule, kernel="rmsprop_buffered"):
    """m, v with alpha; buf = momentum buf + lr g/sqrt(v - m^2 + eps); -buf."""

    name, like = "RMSpropGraves", "chainer"
    lr = rate(1e-4)
    alpha = decay(0.95)
    momentum = rate(0.9)
    eps = epsilon(1e-4)
    slots = {"m": 0, "v": 0, "buf": 0}

    @staticmethod
    def constants(h):
        return {"one_minus_rho": 1 - h.alpha, "centre": 1, "momentum": h.momentum, "lr_in": h.lr, "lr_buf": 1,
                "lr_step": 0, "eps_inside_root": h.eps, "eps": 0}


@chainer.opt("RMSpropGraves")
def rmsprop_graves(lr=1e-4, alpha=0.95, momentum=0.9, eps=1e-4):
    return RMSpropGraves, dict(lr=lr, alpha=alpha, momentum=momentum, eps=eps)


class SMORMS3(Rule, kernel="smorms3_beside"):
    """As the catalogue's, with -g min(lr, zeta)/(sqrt(v) + eps)."""

    name, like = "SMORMS3", "chainer"
    lr = rate(1e-3)
    eps = epsilon(1e-16)
    slots = {"m": 0, "v": 0, "s": 1}

    @staticmethod
    def constants(h):
        return {"lr": h.lr, "eps": h.eps}


@chainer.opt("SMORMS3")
def smorms3(lr=0.001, eps=1e-16):
    return SMORMS3, dict(lr=lr, eps=eps)


class Adam(Rule, kernel="adam"):
    """m and v as in Adam; -eta alpha sqrt(1 - beta2^t)/(1 - beta1^t) m/(sqrt(v) + eps).

    weight_decay is Chainer's weight_decay_rate: p -= eta weight_decay p, without alpha.
    """

    name, like = "Adam", "chainer"
    _rate_name, _decay_rate_name = "alpha", "eta"
    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    eta = rate(1.0)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta1, "one_minus_beta2": 1 - h.beta2, "eps_inside_root": 0, "eps": h.eps,
                "corrected_lr": h.eta * h.alpha * sqrt(1 - h.beta2**t) / (1 - h.beta1**t)}


class AMSGrad(Adam, kernel="amsgrad"):
    """As Adam, with the largest v so far."""

    given = {"amsgrad": True}
    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}

    @staticmethod
    def constants(h, t):
        constants = Adam.constants(h, t)
        return {"lr": constants.pop("corrected_lr"), **constants}


def bounded(alpha, beta1, beta2, eps, eta, weight_decay_rate, amsgrad, final_lr, gamma):
    if eta != 1 or not is_zero(weight_decay_rate):
        raise ValueError("with bounds there is neither eta nor weight_decay_rate here")
    return "AMSBound" if amsgrad else "AdaBound", dict(
        alpha=alpha, eta=final_lr, beta1=beta1, beta2=beta2, eps=eps, gamma=gamma, base_lr=value_at(alpha, 1) if callable(alpha) else alpha)


@chainer.opt("Adam")
def adam(alpha=0.001, beta1=0.9, beta2=0.999, eps=1e-8, eta=1.0, weight_decay_rate=0, amsgrad=False, adabound=False,
         final_lr=0.1, gamma=1e-3):
    if adabound:
        return bounded(alpha, beta1, beta2, eps, eta, weight_decay_rate, amsgrad, final_lr, gamma)
    return AMSGrad if amsgrad else Adam, dict(
        alpha=alpha, beta1=beta1, beta2=beta2, eps=eps, eta=eta, weight_decay=weight_decay_rate)


@chainer.opt("AdamW")
def adamw(alpha=0.001, beta1=0.9, beta2=0.999, eps=1e-8, eta=1.0, weight_decay_rate=0):
    return adam(alpha, beta1, beta2, eps, eta, weight_decay_rate)


@chainer.opt("AMSGrad")
def amsgrad(alpha=0.001, beta1=0.9, beta2=0.999, eps=1e-8, eta=1.0):
    return adam(alpha, beta1, beta2, eps, eta, amsgrad=True)


@chainer.opt("AdaBound")
def adabound(alpha=0.001, beta1=0.9, beta2=0.999, final_lr=0.1, gamma=1e-3, eps=1e-8, eta=1.0):
    return bounded(alpha, beta1, beta2, eps, eta, 0, False, final_lr, gamma)


@chainer.opt("AMSBound")
def amsbound(alpha=0.001, beta1=0.9, beta2=0.999, final_lr=0.1, gamma=1e-3, eps=1e-8, eta=1.0):
    return bounded(alpha, beta1, beta2, eps, eta, 0, True, final_lr, gamma)


@chainer.opt("MSVAG")
def msvag(lr=0.1, beta=0.9, eta=1.0, weight_decay_rate=0):
    if eta != 1 or not is_zero(weight_decay_rate):
        raise ValueError("fastnn has it without eta and weight_decay_rate")
    return "M-SVAG", dict(alpha=lr, beta=beta)


# Activations: chainer.functions

chainer.same(activations, {
    "identity": "identity", "sigmoid": "sigmoid", "hard-sigmoid": "hard_sigmoid", "tanh": "tanh", "ReLU": "relu",
    "ReLU6": "relu6", "exponential": "exp", "arctan": "arctan", "erf": "erf", "sinusoid": "sin"})


@chainer.act("clipped_relu")
def clipped_relu(z=20.0):
    return "ReLU-k", dict(k=z)


@chainer.act("leaky_relu")
def leaky_relu(slope=0.2):
    return "leaky-ReLU", dict(alpha=slope)


@chainer.act("elu")
def elu(alpha=1.0):
    return "ELU", dict(alpha=alpha)


@chainer.act("selu")
def selu(alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946):
    return "SELU", dict(lambda_=scale, alpha=alpha)


@chainer.act("crelu")
def crelu(axis=1):
    return "CReLU", dict(axis=axis)


@chainer.act("softplus")
def softplus(beta=1.0):
    if beta != 1:
        raise ValueError(f"beta must be 1, not {beta!r:.80}")
    return "softplus", {}


@chainer.act("swish")
def swish(beta=1.0):
    """beta is one number here."""
    return "Swish", dict(beta=beta)


@chainer.act("rrelu")
def rrelu(l=1/8, u=1/3):
    return "RReLU", dict(lower=l, upper=u)


@chainer.act("softmax")
def softmax(axis=1):
    return "softmax", dict(axis=axis)


@chainer.act("log_softmax")
def log_softmax(axis=1):
    return "log-softmax", dict(axis=axis)


# Losses

@chainer.err("squared_error")
def squared_error():
    """(y - t)^2, twice the catalogue's Square."""
    return "squared-error", {}


@chainer.err("mean_squared_error", "mse", "Square")
def mean_squared_error():
    return "squared-error", dict(reduction="mean")


@chainer.err("absolute_error", "L1")
def absolute_error():
    return "L1", {}


@chainer.err("mean_absolute_error", "mae")
def mean_absolute_error():
    return "L1", dict(reduction="mean")


def reduction_of(normalize, reduce):
    if reduce not in ("mean", "no"):
        raise ValueError(f"reduce must be 'mean' or 'no', not {reduce!r:.80}")
    if reduce == "mean" and not normalize:
        raise ValueError("normalize=False divides by the rows, ignored ones among them: fastnn's mean does not count these")
    return dict(reduction="mean" if reduce == "mean" else "none")


@chainer.err("sigmoid_cross_entropy", "sigmoid-binary-cross-entropy")
def sigmoid_cross_entropy(normalize=True, reduce="mean"):
    """Targets that are -1 are ignored."""
    return "sigmoid-binary-cross-entropy", dict(ignore_label=-1, **reduction_of(normalize, reduce))


class SoftmaxCrossEntropy(AlongAnotherAxis, classification.SoftmaxCrossEntropy):
    """Classes lie along the second axis."""

    like, called, terms = "chainer", "softmax_cross_entropy", {"class_weight": "class_weight", "ignore_label": "ignore_label"}

    def _axis_of(self, x):
        return min(1, x.ndim - 1)

    def _reduced_as(self):
        return {"reduce": "mean" if self.reduction == "mean" else "no"}


@chainer.err("softmax_cross_entropy", "Cross")
def softmax_cross_entropy(normalize=True, cache_score=True, class_weight=None, ignore_label=-1, reduce="mean",
                          enable_double_backprop=False, soft_target_loss="cross-entropy"):
    """Classes lie along the second axis."""
    if class_weight is not None and reduce == "mean":
        raise ValueError("Chainer's mean of weighted classes divides by the rows, fastnn's by the weights: reduce='no' is the "
                         "same in both")
    return SoftmaxCrossEntropy, dict(class_weight=class_weight, ignore_label=ignore_label, **reduction_of(normalize, reduce))
