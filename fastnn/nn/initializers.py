"""The first weights of a layer, as functions of a shape and by name.

A shape is (inputs, outputs), as `Affine` has it and Keras' kernels do; axes before these two are those of a
convolution, whose size multiplies both. torch's weights lie the other way round. Everything is drawn in float64, so
that every dtype starts from the same numbers.

In torch `xavier_normal` and `kaiming_normal` are normal; in Keras and JAX `glorot_normal`, `he_normal` and
`lecun_normal` are normal, cut off at two standard deviations and widened to the variance that the formula says. Each
name here means what it means there. The uniform ones are the same in all.
"""
import math
from collections.abc import Sequence
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from ..generators import as_rng
from .arguments import number

# the standard deviation of a standard normal variable that is cut off at 2
CUT_AT_TWO = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
LEAST_MASS = 1e-3


def he(n: int):
    """sqrt(2/n): keeps the signal's size through ReLU layers (He et al. 2015, arXiv 1502.01852, eq. 10)."""
    return math.sqrt(2 / n)


def xavier(n: int):
    """sqrt(1/n): keeps the signal's size where the activation is near the identity (Glorot & Bengio 2010)."""
    return math.sqrt(1 / n)


def normal(shape: Sequence[int], mean: float = 0.0, std: float = 0.05, *, dtype: Any = np.float64,
           rng: Any = None):
    """Normal numbers. The default `std` is Keras'; torch's is 1."""
    return _numbers(number("mean", mean) + _checked(std, "std") * as_rng(rng).standard_normal(_axes(shape)), dtype)


def uniform(shape: Sequence[int], low: float | None = -0.05, high: float | None = 0.05, *,
            dtype: Any = np.float64, rng: Any = None):
    """Uniform on [low, high). The default range is Keras'; torch's is [0, 1)."""
    if not -math.inf < number("low", low) <= number("high", high) < math.inf:
        raise ValueError(f"low and high must be finite, and low not above high, not {low!r} and {high!r}")
    return _numbers(low + (high - low) * as_rng(rng).random(_axes(shape)), dtype)


def truncated_normal(shape: Sequence[int], mean: float = 0.0, std: float = 0.05, low: float | None = None,
                     high: float | None = None, *, dtype: Any = np.float64, rng: Any = None):
    """Normal numbers, those outside [low, high] drawn again; without bounds two standard deviations around the mean.

    That and std=0.05 are Keras' defaults. torch's `trunc_normal_` has std=1 and the bounds -2 and 2, whatever the
    standard deviation. Raises ValueError where less than a thousandth of the distribution lies between the bounds.
    """
    std, mean = _checked(std, "std"), number("mean", mean)
    low, high = (bound if bound is None else number(name, bound) for name, bound in (("low", low), ("high", high)))
    a, b = (sign * 2 if bound is None else (bound - mean) / std if std else bound - mean
            for sign, bound in ((-1, low), (1, high)))
    mass = 0.5 * (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2)))
    if not (mass >= LEAST_MASS if std else a <= 0 <= b):
        raise ValueError(f"low and high must have {LEAST_MASS:g} of the distribution between them, and "
                         f"{low!r} and {high!r} have {max(mass, 0):.2g}")
    return _numbers(mean + std * _between(a, b, _axes(shape), as_rng(rng)) if std else np.full(_axes(shape), mean), dtype)


def trunc_normal(shape: Sequence[int], mean: float = 0.0, std: float = 1.0, low: float | None = -2.0,
                 high: float | None = 2.0, *, dtype: Any = np.float64, rng: Any = None):
    """`truncated_normal` with torch's defaults."""
    return truncated_normal(shape, mean, std, low, high, dtype=dtype, rng=rng)


def orthogonal(shape: Sequence[int], gain: float = 1.0, *, dtype: Any = np.float64, rng: Any = None):
    """gain times a matrix with orthonormal columns, or rows where there are fewer of them, each equally likely.

    Axes before the last are one. Saxe et al. 2013, arXiv 1312.6120; the signs are those that make the distribution
    uniform (Mezzadri 2006, arXiv math-ph/0609050).
    """
    shape, gain = _axes(shape), number("gain", gain)
    if len(shape) < 2:
        raise ValueError(f"orthogonal weights have two axes and more, not the shape {shape}")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(as_rng(rng).standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return _numbers(gain * (q if rows >= columns else q.T).reshape(shape), dtype)


def variance_scaling(shape: Sequence[int], scale: float = 1.0, mode: str = "fan_in",
                     distribution: str = "truncated_normal", *, dtype: Any = np.float64, rng: Any = None):
    """Numbers with the mean 0 and the variance scale/n.

    n is "fan_in", the number of inputs, "fan_out", that of outputs, or "fan_avg", their mean; the distribution
    "truncated_normal", "normal" or "uniform". Raises ValueError for other words.
    """
    fan_in, fan_out = fans(shape)
    known = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in known:
        raise ValueError(f"mode must be one of {', '.join(known)}, not {mode!r}")
    std = math.sqrt(_checked(scale, "scale") / max(1, known[mode]))
    if distribution == "uniform":
        limit = math.sqrt(3) * std
        return uniform(shape, -limit, limit, dtype=dtype, rng=rng)
    if distribution == "normal":
        return normal(shape, 0.0, std, dtype=dtype, rng=rng)
    if distribution == "truncated_normal":
        return truncated_normal(shape, 0.0, std / CUT_AT_TWO, dtype=dtype, rng=rng)
    raise ValueError(f"distribution must be truncated_normal, normal or uniform, not {distribution!r}")


def _scaled(name, scale, mode, distribution, source):
    def initializer(shape, *, dtype=np.float64, rng=None):
        return variance_scaling(shape, scale, mode, distribution, dtype=dtype, rng=rng)
    initializer.__name__ = initializer.__qualname__ = name
    initializer.__doc__ = f"variance_scaling(shape, {scale}, {mode!r}, {distribution!r}).  {source}"
    return initializer


_GLOROT = "Glorot and Bengio 2010, AISTATS."
_HE = "He et al. 2015, arXiv 1502.01852."
_LECUN = "LeCun et al. 1998, Efficient BackProp."
glorot_uniform = _scaled("glorot_uniform", 1.0, "fan_avg", "uniform", _GLOROT)
glorot_normal = _scaled("glorot_normal", 1.0, "fan_avg", "truncated_normal", _GLOROT)
xavier_normal = _scaled("xavier_normal", 1.0, "fan_avg", "normal", _GLOROT)
he_uniform = _scaled("he_uniform", 2.0, "fan_in", "uniform", _HE)
he_normal = _scaled("he_normal", 2.0, "fan_in", "truncated_normal", _HE)
kaiming_normal = _scaled("kaiming_normal", 2.0, "fan_in", "normal", _HE)
lecun_uniform = _scaled("lecun_uniform", 1.0, "fan_in", "uniform", _LECUN)
lecun_normal = _scaled("lecun_normal", 1.0, "fan_in", "truncated_normal", _LECUN)
torch_linear = _scaled("torch_linear", 1 / 3, "fan_in", "uniform", "What torch.nn.Linear begins with.")

BY_NAME = {"he": he, "relu": he, "xavier": xavier, "sigmoid": xavier}
FUNCTIONS = {each.__name__: each for each in (
    normal, uniform, truncated_normal, trunc_normal, orthogonal, variance_scaling, glorot_uniform, glorot_normal,
    xavier_normal, he_uniform, he_normal, kaiming_normal, lecun_uniform, lecun_normal, torch_linear)}
FUNCTIONS.update(xavier_uniform=glorot_uniform, kaiming_uniform=he_uniform)


def initial_weights(shape: Sequence[int], weight_init_std: Any, dtype: Any = np.float64, rng: Any = None):
    """New weights of a layer, drawn in float64 so that every dtype starts from the same ones.

    Parameters
    ----------
    shape : (int, int)
        Inputs and outputs of the layer.
    weight_init_std : float, str or function
        The standard deviation of normal numbers, or how it comes about: "he"/"relu" for sqrt(2/n), "xavier"/"sigmoid"
        for sqrt(1/n); or one of the functions of `fastnn.nn.initializers` by its name, such as "glorot_uniform"; or
        any function that is called as f(shape, dtype=..., rng=...) and returns an array of that shape.
    dtype : floating-point dtype
    rng : None, int, Generator or RandomState

    Raises
    ------
    ValueError
        The name is unknown, the number negative or not finite, or what the function returns of another shape.
    TypeError
        `weight_init_std` is neither a number, nor a name, nor a function.
    """
    found = weight_init_std
    if isinstance(found, str):
        name = found.lower().replace("-", "_").replace(" ", "_")
        if name not in BY_NAME and name not in FUNCTIONS:
            known = ", ".join([*BY_NAME, *FUNCTIONS])
            raise ValueError(f"Unknown weight_init_std {weight_init_std!r}; known are {known} and numbers")
        found = FUNCTIONS[name] if name in FUNCTIONS else BY_NAME[name](shape[0])
    if found in (he, xavier):
        found = found(shape[0])
    if callable(found):
        weights = np.array(found(shape, dtype=dtype, rng=as_rng(rng)), dtype)
        if weights.shape != tuple(shape):
            raise ValueError(f"weight_init_std returned an array of shape {weights.shape}, not {tuple(shape)}")
        return weights
    if not isinstance(found, Real):
        raise TypeError(f"weight_init_std must be a number or a name, or a function, not {weight_init_std!r}")
    std = float(found)
    if not 0 <= std < math.inf:
        raise ValueError(f"weight_init_std must be finite and not negative, not {std}")
    return (std * as_rng(rng).standard_normal(shape)).astype(dtype, copy=False)


def fans(shape: Sequence[int]):
    """(inputs, outputs) that one weight of an array of this shape stands between; of a vector, its length twice."""
    shape = _axes(shape)
    if len(shape) < 2:
        n = math.prod(shape)
        return n, n
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def _axes(shape):
    try:
        axes = tuple(index(n) for n in ([shape] if np.ndim(shape) == 0 else shape))
    except TypeError:
        axes = (-1,)
    if min(axes, default=0) < 0:
        raise ValueError(f"shape must be an integer, or a tuple of them, not negative: not {shape!r:.80}")
    return axes


def _checked(value, name):
    if not 0 <= number(name, value) < math.inf:
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")
    return float(value)


def _numbers(values, dtype):
    return values.astype(dtype, copy=False)


def _between(a, b, shape, rng):
    """Standard normal numbers in [a, b]: those outside are drawn again."""
    z = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero((z < a) | (z > b))
    while outside.size:
        again = rng.standard_normal(outside.size)
        z[outside] = again
        outside = outside[(again < a) | (again > b)]
    return z.reshape(shape)
