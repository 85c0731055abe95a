"""Formulas that a user registered: n/a where numba is not installed, and in versions before them."""
import math
from functools import partial

import fastnn

from .common import DTYPES, SIZES, absent_from, normal, warm


def snake(x, a=1.0):
    return x + math.sin(a*x)**2/a


def mish(x):
    return x*math.tanh(math.log1p(math.exp(x)))


def gelu(x):
    return 0.5*x*(1 + math.erf(x/math.sqrt(2)))


def swiglu(a, b):
    return a*b/(1 + math.exp(-b))


def swish(x, beta):
    return x/(1 + math.exp(-beta*x))


def huber(y, t, delta):
    d = abs(y - t)
    return 0.5*d*d if d <= delta else delta*(d - 0.5*delta)


def logistic(y, t):
    return max(y, 0) - t*y + math.log1p(math.exp(-abs(y)))


def adam(g, m, v, h):
    m += (1 - h.beta1)*(g - m)
    v += (1 - h.beta2)*(g*g - v)
    return -h.lr*m/(math.sqrt(v) + h.eps), m, v


ACTIVATIONS = {"snake as written": (snake, {"a": 1.0}), "Mish as written": (mish, {}), "GELU as written": (gelu, {})}
GATED = {"SwiGLU as written": (swiglu, {})}
LEARNED = {"Swish as written, learned": (swish, {"learn": "beta", "beta": 1.0})}
LOSSES = {"Huber as written": (huber, {"delta": 1.0}), "logistic as written": (logistic, {})}
OPTIMIZERS = {"Adam as written": (adam, {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})}


GETS = {"loss": "err"}


def registered(kind, name, formula, **options):
    """What `get_act`, `get_err` or `get_opt` gives for a formula that is registered for as long as this takes."""
    with absent_from(ImportError, AttributeError):
        getattr(fastnn, f"register_{kind}")(name, **options)(formula)
    try:
        return getattr(fastnn, f"get_{GETS.get(kind, kind)}")(name)
    finally:
        fastnn.unregister(name)


def activation(name):
    function, hyperparameters = {**ACTIVATIONS, **GATED, **LEARNED}[name]
    return registered("act", name, function, **hyperparameters)


class RegisteredActivations:
    params = [list(ACTIVATIONS), DTYPES, SIZES]
    param_names = ["formula", "dtype", "size"]

    @warm
    def time_forward(self, name, dtype, size):
        return partial(activation(name).forward, normal(size, dtype))

    @warm
    def time_backward_with_grad(self, name, dtype, size):
        return partial(activation(name).backward, normal(size, dtype), grad=normal(size, dtype, seed=1))


class RegisteredGatedUnits(RegisteredActivations):
    """Of the halves of rows."""

    params = [list(GATED), DTYPES, SIZES]

    @warm
    def time_backward_with_grad(self, name, dtype, size):
        x = normal(size, dtype)
        return partial(activation(name).backward, x, grad=normal(size, dtype, seed=1)[:, :x.shape[1] // 2].copy())


class RegisteredLearnable(RegisteredActivations):
    params = [list(LEARNED), DTYPES, SIZES]


class RegisteredLosses:
    params = [list(LOSSES), DTYPES, SIZES]
    param_names = ["formula", "dtype", "size"]

    @warm
    def time_mean_and_gradient(self, name, dtype, size):
        function, hyperparameters = LOSSES[name]
        return partial(registered("loss", name, function, **hyperparameters).value_and_grad, normal(size, dtype),
                       normal(size, dtype, seed=1), reduction="mean")


class RegisteredOptimizers:
    params = [list(OPTIMIZERS), DTYPES, SIZES]
    param_names = ["formula", "dtype", "size"]

    @warm
    def time_update_in_place(self, name, dtype, size):
        rule, hyperparameters = OPTIMIZERS[name]
        subject = registered("opt", name, rule, state=("m", "v"), **hyperparameters)
        return partial(subject.update, {"w": normal(size, dtype)}, {"w": normal(size, dtype, seed=1)})
