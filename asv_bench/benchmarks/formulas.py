"""Formulas that a user registered; not available where their compiler is not installed."""
import math

import fastnn

from .common import DTYPES, SIZES, normal


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


ACTIVATIONS = {"snake": (snake, {"a": 1.0}), "Mish as written": (mish, {}), "GELU as written": (gelu, {})}
OPTIMIZERS = {"Adam as written": (adam, {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})}


def registered(register, name, function, **options):
    try:
        register(name, replace=True, **options)(function)
    except ImportError as error:
        raise NotImplementedError(str(error)) from None


class RegisteredActivations:
    params = [list(ACTIVATIONS), DTYPES, SIZES]
    param_names = ["formula", "dtype", "size"]

    def setup(self, name, dtype, size):
        function, hyperparameters = ACTIVATIONS[name]
        registered(fastnn.register_act, name, function, **hyperparameters)
        self.subject = fastnn.get_act(name)
        self.x, self.grad = normal(size, dtype), normal(size, dtype, seed=1)

    def time_forward(self, *params):
        self.subject.forward(self.x)

    def time_backward_with_grad(self, *params):
        self.subject.backward(self.x, grad=self.grad)

    def teardown(self, name, *params):
        fastnn.unregister(name)


class RegisteredOptimizers:
    params = [list(OPTIMIZERS), DTYPES, SIZES]
    param_names = ["formula", "dtype", "size"]

    def setup(self, name, dtype, size):
        rule, hyperparameters = OPTIMIZERS[name]
        registered(fastnn.register_opt, name, rule, state=("m", "v"), **hyperparameters)
        self.subject = fastnn.get_opt(name)
        self.tensors, self.grads = {"w": normal(size, dtype)}, {"w": normal(size, dtype, seed=1)}

    def time_update_in_place(self, *params):
        self.subject.update(self.tensors, self.grads)

    def teardown(self, name, *params):
        fastnn.unregister(name)
