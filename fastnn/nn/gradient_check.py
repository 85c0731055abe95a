"""Gradients by differences, to check those that backpropagation computes."""
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.core.arrays import as_array
from .arguments import number

RELATIVE = float(np.cbrt(sys.float_info.epsilon))
LEAST = 1e-290              # below it a step relative to x would be subnormal: x counts as 0
NOISE = 1e4                 # roundings of f that a difference of two steps is put down to


def numerical_gradient(f: Callable[..., Any], x: np.ndarray, h: float | None = None):
    """The gradient of `f` at `x` by central differences, (f(x + h) - f(x - h)) / 2h for each element.

    Parameters
    ----------
    f : callable
        Takes `x`, gives a number, which is read at once: it may be a view of `x`, or memory that f uses again. It may
        also ignore its argument and read the array itself: `x` is changed in place, one element at a time, and is as
        before when this function ends, also by an error.
    x : ndarray of float64, writable
    h : float, optional
        Step; by default c abs(x) with c = cbrt(machine epsilon), where rounding (eps/h) and the neglected third
        derivative (h^2) weigh the same for a function that changes as much as x does. Below 1, where it may change
        slowly around 0 (a loss) or fast (a logarithm), a wider step is taken, too: c, or half of abs(x) if that is
        less, so that the sign stays; and the narrow one counts only where the two differ by more than rounding
        explains. At 0 the step is c.

    Returns
    -------
    ndarray of float64, shape of x

    Raises
    ------
    TypeError
        `x` is not a float64 array - differences drown in float32's rounding -, or has a mask; f gives no real number.
    ValueError
        `x` is read-only; f gives several numbers; h is not positive.
    """
    if not (isinstance(x, np.ndarray) and x.dtype == np.float64):
        found = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"numerical_gradient needs a float64 array, not {found}")
    x = as_array(x, "x")
    if h is not None and not 0 < (h := number("h", h)) < math.inf:
        raise ValueError(f"h must be a positive, finite number or None, not {h!r}")
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        gradient[index] = _slope(f, x, index, h)
    return gradient


def _slope(f, x, index, h):
    size = abs(float(x[index]))
    if h is not None or size >= 1 or not size > LEAST:
        return _difference(f, x, index, RELATIVE * (size if size > 1 else 1) if h is None else h)[0]
    wide, _ = _difference(f, x, index, min(RELATIVE, size / 2))
    narrow, rounding = _difference(f, x, index, RELATIVE * size)
    return wide if abs(wide - narrow) <= NOISE * rounding else narrow


def _difference(f, x, index, step):
    """(the difference quotient, what a rounding of f's values may add to it)."""
    value = float(x[index])
    try:
        x[index] = value + step
        above, top = _number(f(x)), float(x[index])
        x[index] = value - step
        below, bottom = _number(f(x)), float(x[index])
    finally:
        x[index] = value
    size = max(abs(above), abs(below))
    return (above - below) / (top - bottom), sys.float_info.epsilon * size / abs(top - bottom)


def _number(value):
    """A number of f's, Python's own from here on."""
    array = as_array(value, "what f gives")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"f must give a real number, not {value!r:.80}")
    if array.size != 1:
        raise ValueError(f"f must give one number, not an array of shape {array.shape}")
    return float(array.reshape(())[()])
