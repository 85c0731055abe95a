"""The plain NumPy lines that fastnn stands in for: each activation, its derivative times a gradient, each optimizer.

They are what a user would write, not what is right in every tail.
"""
import math

import numpy as np

from .library import PADE, pade

__all__ = ["ACTIVATIONS", "OPTIMIZERS"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(x, g):
    y = sigmoid(x)
    return g * y * (1 - y)


def swish_backward(x, g):
    s = sigmoid(x)
    return g * (s + x * s * (1 - s))


def quick_gelu_backward(x, g):
    s = sigmoid(1.702 * x)
    return g * (s + 1.702 * x * s * (1 - s))


def mish_backward(x, g):
    t = np.tanh(np.log1p(np.exp(x)))
    return g * (t + x * (1 - t * t) * sigmoid(x))


def tanhexp_backward(x, g):
    e = np.exp(x)
    t = np.tanh(e)
    return g * (t + x * e * (1 - t * t))


def erf(x):
    """Of Abramowitz and Stegun 7.1.26, within 1.5e-7: NumPy has none."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return np.sign(x) * (1 - p * np.exp(-x * x))


def pade_backward(x, g):
    (a0, a1, a2, a3, a4, a5), (b1, b2, b3, b4) = PADE
    b = x * (b1 + x * (b2 + x * (b3 + x * b4)))
    slope = np.sign(b) * (b1 + x * (2 * b2 + x * (3 * b3 + x * 4 * b4)))
    return g * (a1 + x * (2 * a2 + x * (3 * a3 + x * (4 * a4 + x * 5 * a5))) - pade(x) * slope) / (1 + np.abs(b))


SLOPE, CUBE = math.sqrt(2 / math.pi), 0.044715      # NumPy has no erf: users take the approximation by tanh


def gelu(x):
    return 0.5 * x * (1 + np.tanh(SLOPE * (x + CUBE * x * x * x)))


def gelu_backward(x, g):
    t = np.tanh(SLOPE * (x + CUBE * x * x * x))
    return g * 0.5 * (1 + t + x * (1 - t * t) * SLOPE * (1 + 3 * CUBE * x * x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(x, g):
    y = softmax(x)
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def sparsemax(x):
    z = np.sort(x, axis=-1)[..., ::-1]
    totals, k = np.cumsum(z, axis=-1), np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    count = (1 + k * z > totals).sum(axis=-1, keepdims=True)
    return np.maximum(x - (np.take_along_axis(totals, count - 1, -1) - 1) / count.astype(x.dtype), 0)


def entmax(x):
    z = np.sort(x, axis=-1)[..., ::-1] / 2
    k = np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    mean = np.cumsum(z, axis=-1) / k
    spread = np.cumsum(z * z, axis=-1) - k * mean * mean
    tau = mean - np.sqrt(np.maximum(1 - spread, 0) / k)
    count = (tau <= z).sum(axis=-1, keepdims=True)
    return np.maximum(x / 2 - np.take_along_axis(tau, count - 1, -1), 0) ** 2


def weighted(w, g):
    return w * (g - (w * g).sum(axis=-1, keepdims=True) / w.sum(axis=-1, keepdims=True))


def log_softmax(x):
    z = x - x.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def gated(function, slope):
    """Of x's halves: the gate's activation, and its slope."""
    def forward(x):
        a, b = np.split(x, 2, axis=-1)
        return a * function(b)

    def backward(x, g):
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([g * function(b), slope(b, g * a)], axis=-1)
    return forward, backward


def prelu_backward(x, g):
    """Of x and of the one alpha, which is 0.25."""
    return np.where(x > 0, g, 0.25 * g), (g * np.minimum(x, 0)).sum()


def elu_backward(x, g):
    """Of x and of alpha, which is 1, as in what follows."""
    return np.where(x > 0, g, g * np.exp(x)), (g * np.expm1(np.minimum(x, 0))).sum()


def learned_swish(beta):
    def backward(x, g):
        s = sigmoid(beta * x)
        bent = x * s * (1 - s)
        return g * (s + beta * bent), (g * x * bent).sum()
    return lambda x: x * sigmoid(beta * x), backward


def acon_backward(x, g):
    """Of p1 = 1, p2 = 0 and beta = 1."""
    s = sigmoid(x)
    slope = s + x * s * (1 - s)
    return g * slope, (g * x * slope).sum(), (g * x * (1 - slope)).sum(), (g * x * x * s * (1 - s)).sum()


NOISE = np.random.default_rng(0)


def gumbel_softmax(x):
    return softmax(x - np.log(NOISE.standard_exponential(x.shape)).astype(x.dtype))


def crelu_backward(x, g):
    positive, negative = np.split(g, 2)
    return np.where(x > 0, positive, np.where(x < 0, -negative, 0))


def rrelu(x):
    return np.where(x > 0, x, NOISE.uniform(1 / 8, 1 / 3, x.shape).astype(x.dtype) * x)


def rrelu_backward(x, g):
    """With slopes at hand."""
    return np.where(x > 0, g, 0.25 * g)


# forward(x) and backward(x, g)
ACTIVATIONS = {
    "step": (lambda x: (x > 0).astype(x.dtype), lambda x, g: 0 * g),
    "identity": (lambda x: x.copy(), lambda x, g: g.copy()),
    "bent-identity": (lambda x: (np.sqrt(x * x + 1) - 1) / 2 + x,
                      lambda x, g: g * (x / (2 * np.sqrt(x * x + 1)) + 1)),
    "hard-shrink": (lambda x: x * (np.abs(x) > 0.5), lambda x, g: g * (np.abs(x) > 0.5)),
    "soft-shrink": (lambda x: x - np.clip(x, -0.5, 0.5), lambda x, g: g * (np.abs(x) > 0.5)),
    "threshold": (lambda x: np.where(x > 0.5, x, -0.25), lambda x, g: g * (x > 0.5)),
    "sigmoid": (sigmoid, sigmoid_backward),
    "hard-sigmoid": (lambda x: np.clip(0.2 * x + 0.5, 0, 1), lambda x, g: 0.2 * g * (np.abs(x) <= 2.5)),
    "h-sigmoid": (lambda x: np.clip((x + 3) / 6, 0, 1), lambda x, g: g / 6 * (np.abs(x) < 3)),
    "sparse-sigmoid": (lambda x: np.clip((x + 1) / 2, 0, 1), lambda x, g: g / 2 * (np.abs(x) < 1)),
    "log-sigmoid": (lambda x: -np.log1p(np.exp(-x)), lambda x, g: g / (1 + np.exp(x))),
    "tanh": (lambda x: np.tanh(x), lambda x, g: g * (1 - np.tanh(x) ** 2)),
    "tanh-shrink": (lambda x: x - np.tanh(x), lambda x, g: g * np.tanh(x) ** 2),
    "hard-tanh": (lambda x: np.clip(x, -1, 1), lambda x, g: g * (np.abs(x) <= 1)),
    "ReLU": (lambda x: np.maximum(x, 0), lambda x, g: g * (x > 0)),
    "ReLU6": (lambda x: np.clip(x, 0, 6), lambda x, g: g * ((x > 0) & (x < 6))),
    "ReLU-k": (lambda x: np.clip(x, 0, 6), lambda x, g: g * ((x > 0) & (x < 6))),
    "clipped-linear": (lambda x: np.clip(x, -1, 1), lambda x, g: g * (np.abs(x) < 1)),
    "squared-ReLU": (lambda x: np.maximum(x, 0) ** 2, lambda x, g: 2 * g * np.maximum(x, 0)),
    "StarReLU": (lambda x: 0.8944 * np.maximum(x, 0) ** 2 - 0.4472, lambda x, g: 1.7888 * g * np.maximum(x, 0)),
    "leaky-ReLU": (lambda x: np.maximum(x, 0.01 * x), lambda x, g: np.where(x >= 0, g, 0.01 * g)),
    "ELU": (lambda x: np.where(x >= 0, x, np.expm1(x)), lambda x, g: np.where(x >= 0, g, g * np.exp(x))),
    "SELU": (lambda x: 1.0507 * np.where(x >= 0, x, 1.67326 * np.expm1(x)),
             lambda x, g: 1.0507 * np.where(x >= 0, g, 1.67326 * g * np.exp(x))),
    "CELU": (lambda x: np.where(x >= 0, x, np.expm1(x)), lambda x, g: np.where(x >= 0, g, g * np.exp(x))),
    "softplus": (lambda x: np.log1p(np.exp(x)), lambda x, g: g / (1 + np.exp(-x))),
    "sparse-plus": (lambda x: np.where(x >= 1, x, np.maximum(x + 1, 0) ** 2 / 4),
                    lambda x, g: g * np.clip((x + 1) / 2, 0, 1)),
    "squareplus": (lambda x: (x + np.sqrt(x * x + 4)) / 2, lambda x, g: g * (1 + x / np.sqrt(x * x + 4)) / 2),
    "ISRU": (lambda x: x / np.sqrt(1 + x * x), lambda x, g: g / np.sqrt(1 + x * x) ** 3),
    "ISRLU": (lambda x: np.where(x >= 0, x, x / np.sqrt(1 + x * x)),
              lambda x, g: np.where(x >= 0, g, g / np.sqrt(1 + x * x) ** 3)),
    "log-cosh": (lambda x: np.logaddexp(x, -x) - math.log(2), lambda x, g: g * np.tanh(x)),
    "arctan": (lambda x: np.arctan(x), lambda x, g: g / (1 + x * x)),
    "erf": (erf, lambda x, g: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x)),
    "exponential": (lambda x: np.exp(x), lambda x, g: g * np.exp(x)),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x, g: g / (1 + np.abs(x)) ** 2),
    "Swish": (lambda x: x / (1 + np.exp(-x)), swish_backward),
    "quick-GELU": (lambda x: x / (1 + np.exp(-1.702 * x)), quick_gelu_backward),
    "hard-swish": (lambda x: x * np.clip((x + 3) / 6, 0, 1),
                   lambda x, g: g * np.where(x < 3, np.where(x > -3, x / 3 + 0.5, 0), 1)),
    "Dish": (lambda x: x * (1 + x / np.sqrt(1 + x * x)) / 2,
             lambda x, g: g * (1 + (x * x + 2) * x / np.sqrt(1 + x * x) ** 3) / 2),
    "Mish": (lambda x: x * np.tanh(np.log1p(np.exp(x))), mish_backward),
    "tanhExp": (lambda x: x * np.tanh(np.exp(x)), tanhexp_backward),
    "GELU": (gelu, gelu_backward),
    "GELU-tanh": (gelu, gelu_backward),
    "ACON-C": (lambda x: x / (1 + np.exp(-x)), swish_backward),
    "PAU": (pade, pade_backward),
    "sinusoid": (lambda x: np.sin(x), lambda x, g: g * np.cos(x)),
    "snake": (lambda x: x + np.sin(x) ** 2, lambda x, g: g * (1 + np.sin(2 * x))),
    "GLU": gated(sigmoid, sigmoid_backward),
    "ReGLU": gated(lambda x: np.maximum(x, 0), lambda x, g: g * (x > 0)),
    "GEGLU": gated(gelu, gelu_backward),
    "SwiGLU": gated(lambda x: x / (1 + np.exp(-x)), swish_backward),
    "bilinear": gated(lambda x: x, lambda x, g: g),
    "CReLU": (lambda x: np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)]), crelu_backward),
    "PReLU": (lambda x: np.where(x > 0, x, 0.25 * x), prelu_backward),
    "RReLU": (rrelu, rrelu_backward),
    "learned ELU": (lambda x: np.where(x > 0, x, np.expm1(x)), elu_backward),
    "learned Swish": learned_swish(1), "learned quick-GELU": learned_swish(1.702),
    "learned ACON-C": (lambda x: x / (1 + np.exp(-x)), acon_backward),
    "gumbel-softmax": (gumbel_softmax, softmax_backward),
    "softmax": (softmax, softmax_backward),
    "softmin": (lambda x: softmax(-x), lambda x, g: -softmax_backward(-x, g)),
    "sparsemax": (sparsemax, lambda x, g: weighted((sparsemax(x) > 0).astype(x.dtype), g)),
    "entmax-1.5": (entmax, lambda x, g: weighted(np.sqrt(entmax(x)), g)),
    "log-softmax": (log_softmax, lambda x, g: g - softmax(x) * g.sum(axis=-1, keepdims=True)),
}


# An optimizer changes the parameter p with the gradient g, and the state s: arrays by slot.

def sgd(p, g, s, t):
    p -= 0.01 * g


def momentum_sgd(p, g, s, t):
    s["delta"] = 0.9 * s["delta"] - 0.1 * 0.01 * g
    p += s["delta"]


def adagrad(p, g, s, t):
    s["G"] += g * g
    p -= 0.001 * g / (np.sqrt(s["G"]) + 1e-10)


def rmsprop(p, g, s, t):
    s["v"] = 0.99 * s["v"] + 0.01 * g * g
    p -= 0.01 * g / (np.sqrt(s["v"]) + 1e-8)


def adadelta(p, g, s, t):
    s["v"] = 0.95 * s["v"] + 0.05 * g * g
    delta = g * np.sqrt(s["u"] + 1e-6) / np.sqrt(s["v"] + 1e-6)
    s["u"] = 0.95 * s["u"] + 0.05 * delta * delta
    p -= delta


def moments(g, s):
    s["m"] += 0.1 * (g - s["m"])
    s["v"] += 0.001 * (g * g - s["v"])


def adam(p, g, s, t):
    moments(g, s)
    mhat, vhat = s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.999**t)
    p -= 0.001 * mhat / (np.sqrt(vhat) + 1e-8)


def sparse_adam(p, g, s, t):
    moments(g, s)
    p -= 0.001 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * s["m"] / (np.sqrt(s["v"]) + 1e-8)


def rmsprop_graves(p, g, s, t):
    s["m"] = 0.95 * s["m"] + 0.05 * g
    s["v"] = 0.95 * s["v"] + 0.05 * g * g
    p -= 1e-4 * g / np.sqrt(s["v"] - s["m"] ** 2 + 1e-4)


def smorms3(p, g, s, t):
    r = 1 / (s["s"] + 1)
    s["m"] = (1 - r) * s["m"] + r * g
    s["v"] = (1 - r) * s["v"] + r * g * g
    zeta = s["m"] ** 2 / (s["v"] + 1e-8)
    s["s"] = 1 + s["s"] * (1 - zeta)
    p -= g * np.minimum(0.001, zeta) / np.sqrt(s["v"] + 1e-8)


def adamax(p, g, s, t):
    s["m"] += 0.1 * (g - s["m"])
    s["u"] = np.maximum(0.999 * s["u"], np.abs(g) + 1e-8)
    p -= 0.002 / (1 - 0.9**t) * s["m"] / s["u"]


def nadam(p, g, s, t):
    moments(g, s)
    now, ahead = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * step)) for step in (t, t + 1))
    s["product"] = now * s.get("product", 1)
    mhat = ahead / (1 - s["product"] * ahead) * s["m"] + (1 - now) / (1 - s["product"]) * g
    p -= 0.002 * mhat / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)


def eve(p, g, s, t):
    adam(p, g, s, t)                # without a loss the feedback is 1


def santa(p, g, s, t, move):
    warmth = 0.001 / (1000 * math.sqrt(t) * 1000)
    if t == 1:
        s["alpha"] += math.sqrt(0.001) * 5
        s["u"] = math.sqrt(warmth) * draw(s, p)
    s["v"] = 0.95 * s["v"] + 0.05 * g * g
    q, q_prev, u = 1 / np.sqrt(0.01 + np.sqrt(s["v"])), s["preconditioner"], s["u"]
    move(s, warmth, 0.001 * q * g, np.sqrt(2 * warmth * q_prev) * draw(s, p))
    s["preconditioner"] = q
    return q * u, q * s["u"]


def draw(s, p):
    rng = s.setdefault("rng", np.random.default_rng(0))
    return rng.standard_normal(p.shape).astype(p.dtype)


def euler(s, warmth, pull, noise):
    s["alpha"] += s["u"] ** 2 - warmth
    s["u"] = np.maximum(1 - s["alpha"], 0) * s["u"] - pull + noise


def symmetric(s, warmth, pull, noise):
    s["alpha"] += (s["u"] ** 2 - warmth) / 2
    friction = np.exp(-s["alpha"] / 2)
    s["u"] = friction * (friction * s["u"] - pull + noise)
    s["alpha"] += (s["u"] ** 2 - warmth) / 2


def santa_e(p, g, s, t):
    p += santa(p, g, s, t, euler)[1]


def santa_sss(p, g, s, t):
    before, after = santa(p, g, s, t, symmetric)
    p += (before + after) / 2


def amsgrad(p, g, s, t):
    moments(g, s)
    s["vhat"] = np.maximum(s["vhat"], s["v"])
    p -= 0.001 * s["m"] / (1 - 0.9**t) / (np.sqrt(s["vhat"] / (1 - 0.999**t)) + 1e-8)


def bounded(p, s, v, t):
    low, high = 0.1 * (1 - 1 / (0.001 * t + 1)), 0.1 * (1 + 1 / (0.001 * t))
    rate = 0.001 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    p -= np.clip(rate / (np.sqrt(v) + 1e-8), low, high) * s["m"]


def adabound(p, g, s, t):
    moments(g, s)
    bounded(p, s, s["v"], t)


def amsbound(p, g, s, t):
    moments(g, s)
    s["vhat"] = np.maximum(s["vhat"], s["v"])
    bounded(p, s, s["vhat"], t)


def momentum(p, g, s, t):
    s["v"] = 0.9 * s["v"] - 0.01 * g
    p += s["v"]


def nesterov(p, g, s, t):
    p += 0.81 * s["v"] - 1.9 * 0.01 * g
    s["v"] = 0.9 * s["v"] - 0.01 * g


OPTIMIZERS = {
    "SGD": sgd, "MSGD": momentum_sgd, "NAG": momentum_sgd, "AdaGrad": adagrad, "RMSprop": rmsprop,
    "AdaDelta": adadelta, "Adam": adam, "SparseAdam": sparse_adam, "RMSpropGraves": rmsprop_graves,
    "SMORMS3": smorms3, "AdaMax": adamax, "Nadam": nadam, "Eve": eve, "SantaE": santa_e, "SantaSSS": santa_sss,
    "AMSGrad": amsgrad, "AdaBound": adabound, "AMSBound": amsbound, "Momentum": momentum, "Nesterov": nesterov,
}
