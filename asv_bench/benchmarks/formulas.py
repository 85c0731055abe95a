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


def adam(g, m, v, h):
    m += (1 - h.beta1)*(g - m)
    v += (1 - h.beta2)*(g*g - v)
    return -h.lr*m/(math.sqrt(v) + h.eps), m, v


ACTIVATIONS = {"snake as written": (snake, {"a": 1.0}), "Mish as written": (mish, {}), "GELU as written": (gelu, {})}
OPTIMIZERS = {"Adam as written": (adam, {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})}


def registered(kind, name, formula, **options):
    """What `get_act` or `get_opt` gives for a formula that is registered for as long as this takes."""
    with absent_from(ImportError, AttributeError):
        getattr(fastnn, f"register_{kind}")(name, **options)(formula)
    try:
        return getattr(fastnn, f"get_{kind}")(name)
    finally:
        fastnn.unregister(name)


def activation(name):
    function, hyperparameters = ACTIVATIONS[name]
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


class RegisteredOptimizers:
    params = [list(OPTIMIZERS), DTYPES, SIZES]
    param_names = ["formula", "dtype", "size"]

    @warm
    def time_update_in_place(self, name, dtype, size):
        rule, hyperparameters = OPTIMIZERS[name]
        subject = registered("opt", name, rule, state=("m", "v"), **hyperparameters)
        return partial(subject.update, {"w": normal(size, dtype)}, {"w": normal(size, dtype, seed=1)})
