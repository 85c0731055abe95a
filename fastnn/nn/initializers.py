"""The first weights of a layer: normal, with a standard deviation that may depend on the number of inputs."""
import math
from numbers import Real

import numpy as np


def he(n):
    """sqrt(2/n): keeps the signal's size through ReLU layers (He et al. 2015, arXiv 1502.01852, eq. 10)."""
    return math.sqrt(2 / n)


def xavier(n):
    """sqrt(1/n): keeps the signal's size where the activation is near the identity (Glorot & Bengio 2010)."""
    return math.sqrt(1 / n)


BY_NAME = {"he": he, "relu": he, "xavier": xavier, "sigmoid": xavier}


def initial_weights(shape, weight_init_std, dtype=np.float64, rng=None):
    """New weights of a layer, drawn in float64 so that every dtype starts from the same ones.

    Parameters
    ----------
    shape : (int, int)
        Inputs and outputs of the layer.
    weight_init_std : float or str
        The standard deviation, or "he"/"relu", "xavier"/"sigmoid".
    dtype : floating-point dtype
    rng : None, int, Generator or RandomState

    Raises
    ------
    ValueError
        The name is unknown, or the number negative or not finite.
    TypeError
        `weight_init_std` is neither a number nor a name.
    """
    if isinstance(weight_init_std, str):
        if weight_init_std.lower() not in BY_NAME:
            known = ", ".join(BY_NAME)
            raise ValueError(f"Unknown weight_init_std {weight_init_std!r}; known are {known} and numbers")
        std = BY_NAME[weight_init_std.lower()](shape[0])
    elif isinstance(weight_init_std, Real):
        std = float(weight_init_std)
    else:
        raise TypeError(f"weight_init_std must be a number or a name, not {weight_init_std!r}")
    if not 0 <= std < math.inf:
        raise ValueError(f"weight_init_std must be finite and not negative, not {std}")
    return (std * as_rng(rng).standard_normal(shape)).astype(dtype, copy=False)


def as_rng(rng):
    """`rng` itself if it is a Generator or RandomState, else a new Generator seeded by it: an int or a
    sequence of them, or None for a seed from the system.
    """
    if isinstance(rng, (np.random.Generator, np.random.RandomState)):
        return rng
    return np.random.default_rng(rng)
