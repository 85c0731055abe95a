"""Checks of what users pass, with errors that name the argument."""
from inspect import signature
from numbers import Real
from operator import index

import numpy as np

from fastnn.core.arrays import as_array
from fastnn.hyperparameters import as_float, unwrapped
from fastnn.registry import hint


def number(name, value):
    """A real number as a float, infinity if it is beyond; name is for the error. Raises TypeError for anything else."""
    value = unwrapped(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r:.80}")
    return as_float(value)


def refuse(cls, unknown):
    """Raises TypeError for arguments that the class does not have."""
    for word in unknown:
        known = [name for name in signature(cls).parameters if name != "unknown"]
        raise TypeError(f"{cls.__name__} has no argument {word!r}{hint(word, known)}")


def whole(name, value, least=None):
    """An integer, at least `least`. Raises TypeError or ValueError."""
    try:
        if isinstance(value, bool):
            raise TypeError
        value = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r:.80}") from None
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return value


def yes_or_no(name, value, instead=""):
    """True or False, or 1 or 0. Raises TypeError."""
    if not isinstance(value, (bool, np.bool_)) and not (isinstance(value, (int, np.integer)) and value in (0, 1)):
        raise TypeError(f"{name} must be True or False, not {value!r:.80}{instead}")
    return bool(value)


def share(name, value):
    """A number of at least 0 and below 1. Raises TypeError or ValueError."""
    value = number(name, value)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {value!r}")
    return value


def parameter(name, value, axes):
    """An array that a layer learns: what is none becomes one of float64. Raises TypeError or ValueError."""
    array = value if isinstance(value, np.ndarray) else as_array(value, name)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} must be an array of real numbers, not {value!r:.80}")
    if array.ndim != len(axes):
        found = f"the number {value!r:.80}" if array.ndim == 0 else f"an array of shape {array.shape}"
        raise ValueError(f"{name} must have shape ({', '.join(axes)}{',' if len(axes) == 1 else ''}), and is {found}")
    if isinstance(value, np.ndarray):
        return value
    return array if array.dtype.kind == "f" else array.astype(np.float64)
