"""JAX's side, compiled with jit, each call waited for; arrays lie in JAX before the clock runs.

XLA chooses its own number of threads. Calls are dispatched in the caller's thread, which is up to five times as quick
for small arrays that are waited for; with JAX_CPU_ENABLE_ASYNC_DISPATCH set, as that says. Backward is the compiled
vector-Jacobian product from x and the gradient; optimizers are optax's, the update and its application compiled as
one, parameters and state donated.
"""
import os
from functools import partial
from operator import attrgetter

import jax
import jax.numpy as jnp
import optax

from fastnn.cli.catalog import CATALOGUES

from .jax_losses import LOSSES
from .library import ARGUMENTS, LOSS, Call, Side, beginnings, forms, gradients_of, pade

__all__ = ["Library"]


P1, P2, BETA = 1.0, 0.0, 1.0             # of ACON-C


def threshold(x):
    limit, value = ARGUMENTS["threshold"]
    return jnp.where(x > limit, x, value)


def gated(function, x):
    a, b = jnp.split(x, 2, axis=-1)
    return a * function(b)


def sparsemax(x):
    z, k = -jnp.sort(-x), jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    totals = jnp.cumsum(z, -1)
    count = (1 + k * z > totals).sum(-1, keepdims=True)
    return jnp.maximum(x - (jnp.take_along_axis(totals, count - 1, -1) - 1) / count.astype(x.dtype), 0)


def entmax(x):
    z, k = -jnp.sort(-x) / 2, jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    mean = jnp.cumsum(z, -1) / k
    left = 1 - (jnp.cumsum(z * z, -1) - k * mean * mean)
    count = (mean - jnp.sqrt(jnp.maximum(left / k, 0)) <= z).sum(-1, keepdims=True)
    mean, left = (jnp.take_along_axis(each, count - 1, -1) for each in (mean, left))
    return jnp.square(jnp.maximum(x / 2 - mean + jnp.sqrt(left / count.astype(x.dtype)), 0))


ACTIVATIONS = {
    "step": lambda x: (x > 0).astype(x.dtype), "identity": jnp.copy,
    "bent-identity": lambda x: 0.5 * (jnp.sqrt(x * x + 1) - 1) + x,
    "hard-shrink": lambda x: jnp.where(jnp.abs(x) <= 0.5, 0, x),
    "soft-shrink": lambda x: x - jnp.clip(x, -0.5, 0.5), "threshold": threshold, "sigmoid": jax.nn.sigmoid,
    "hard-sigmoid": jax.nn.hard_sigmoid, "h-sigmoid": jax.nn.hard_sigmoid,
    "sparse-sigmoid": jax.nn.sparse_sigmoid, "log-sigmoid": jax.nn.log_sigmoid, "tanh": jnp.tanh,
    "tanh-shrink": lambda x: x - jnp.tanh(x), "hard-tanh": jax.nn.hard_tanh, "ReLU": jax.nn.relu,
    "ReLU6": jax.nn.relu6, "leaky-ReLU": jax.nn.leaky_relu, "ELU": jax.nn.elu, "SELU": jax.nn.selu,
    "CELU": jax.nn.celu, "softplus": jax.nn.softplus, "softsign": jax.nn.soft_sign, "Swish": jax.nn.silu,
    "Mish": jax.nn.mish, "tanhExp": lambda x: x * jnp.tanh(jnp.exp(x)),
    "ReLU-k": jax.nn.relu6, "clipped-linear": lambda x: jnp.clip(x, -1, 1),
    "squared-ReLU": lambda x: jnp.square(jax.nn.relu(x)),
    "StarReLU": lambda x: 0.8944 * jnp.square(jax.nn.relu(x)) - 0.4472, "sparse-plus": jax.nn.sparse_plus,
    "squareplus": jax.nn.squareplus, "ISRU": lambda x: x * jax.lax.rsqrt(1 + x * x),
    "ISRLU": lambda x: jnp.where(x >= 0, x, x * jax.lax.rsqrt(1 + x * x)), "exponential": jnp.exp,
    "quick-GELU": lambda x: x * jax.nn.sigmoid(1.702 * x), "hard-swish": jax.nn.hard_swish,
    "Dish": lambda x: 0.5 * x * (1 + x * jax.lax.rsqrt(1 + x * x)),
    "log-cosh": lambda x: jnp.logaddexp(x, -x) - jnp.log(2).astype(x.dtype), "arctan": jnp.arctan,
    "erf": jax.scipy.special.erf, "GELU-tanh": jax.nn.gelu,
    "ACON-C": lambda x: (P1 - P2) * x * jax.nn.sigmoid(BETA * (P1 - P2) * x) + P2 * x,
    "PAU": pade, "sinusoid": jnp.sin, "snake": lambda x: x + jnp.square(jnp.sin(x)),
    "GLU": jax.nn.glu, "ReGLU": lambda x: gated(jax.nn.relu, x),
    "GEGLU": lambda x: gated(lambda b: jax.nn.gelu(b, approximate=False), x),
    "SwiGLU": lambda x: gated(jax.nn.silu, x), "bilinear": lambda x: gated(lambda b: b, x),
    "CReLU": lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)]),
    "PReLU": lambda x, alpha=0.25: jnp.where(x > 0, x, alpha * x),
    "GELU": lambda x: jax.nn.gelu(x, approximate=False), "softmax": jax.nn.softmax,
    "softmin": lambda x: jax.nn.softmax(-x), "log-softmax": jax.nn.log_softmax,
    "sparsemax": sparsemax, "entmax-1.5": entmax,
}

# with parameters, whose gradients are wanted, too
FORMS = {"PReLU": ACTIVATIONS["PReLU"], **forms(jax.nn.sigmoid, jnp.expm1, jnp.where)}


class Library(Side):
    version = f"{jax.__version__}, optax {optax.__version__}"

    def __init__(self, threads):
        jax.config.update("jax_platforms", "cpu")
        if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
            jax.config.update("jax_cpu_enable_async_dispatch", False)

    def begin(self, dtype):
        jax.config.update("jax_enable_x64", dtype == "float64")

    def forward(self, name, x):
        if name in FORMS:
            return _waited_for(jax.jit(FORMS[name]), jnp.array(x), *_parameters(name, x.dtype))
        if name not in ACTIVATIONS:
            return None
        # compiled, identity would hand its argument back
        function = jnp.copy if name == "identity" else jax.jit(ACTIVATIONS[name])
        return _waited_for(function, jnp.array(x))

    def backward(self, name, x, grad):
        if name in FORMS:
            product = jax.jit(lambda g, *given: jax.vjp(FORMS[name], *given)[1](g))
            return _waited_for(product, jnp.array(grad), jnp.array(x), *_parameters(name, x.dtype))
        if name not in ACTIVATIONS:
            return None
        if name == "identity":
            return _waited_for(jnp.copy, jnp.array(grad))
        activation = ACTIVATIONS[name]
        product = jax.jit(lambda x, g: jax.vjp(activation, x)[1](g)[0])
        return _waited_for(product, jnp.array(x), jnp.array(grad))

    def loss(self, name, arrays):
        row = CATALOGUES["losses"][name]
        if "optax" in row.peers:
            called, arguments = row.peers["optax"]
            function = partial(getattr(optax.losses, called), **arguments)
        elif name in LOSSES:
            function = LOSSES[name]
        else:
            return None
        wanted = tuple(k for k, of in enumerate(row.inputs) if of in gradients_of(row))
        both = jax.jit(jax.value_and_grad(lambda *given: function(*given).mean(), wanted))
        given = [jnp.array(array) for array in arrays]
        return Call(lambda: jax.block_until_ready(both(*given)))

    def step(self, name, params, grads):
        peers = CATALOGUES["optimizers"][name].peers
        if "optax" not in peers:
            return None
        called, arguments = peers["optax"]      # such as "adam", or "contrib.prodigy"
        rule = optax.with_extra_args_support(attrgetter(called)(optax)(**arguments))
        params, grads = [jnp.array(p) for p in params], [jnp.array(g) for g in grads]
        state = jax.tree.map(jnp.copy, rule.init(params))       # some keep the first parameters, which are donated

        def advance(params, state, grads):
            updates, state = rule.update(grads, state, params, value=LOSS, obj_fn=lambda params: LOSS)
            return optax.apply_updates(params, updates), state
        advance = jax.jit(advance, donate_argnums=(0, 1))

        def run():
            nonlocal params, state
            params, state = advance(params, state, grads)
            params[-1].block_until_ready()      # one program computes them all
            return params
        return Call(run)


def _parameters(name, dtype):
    return [jnp.array(number, dtype) for number in beginnings(name).values()]


def _waited_for(function, *args):
    return Call(lambda: jax.block_until_ready(function(*args)))
