"""Gradients by differences, to check those that backpropagation computes."""
import numpy as np


def numerical_gradient(f, x, h=None):
    """The gradient of `f` at `x` by central differences, (f(x + h) - f(x - h)) / 2h for each element.

    Parameters
    ----------
    f : callable
        Takes `x`, gives a number. It may also ignore its argument and read the array itself: `x` is changed
        in place, one element at a time, and is as before when this function ends, also by an error.
    x : ndarray of float64, writable
    h : float, optional
        Step; by default cbrt(machine epsilon) max(1, abs(x)), where rounding (eps/h) and the neglected
        third derivative (h^2) weigh the same.

    Returns
    -------
    ndarray of float64, shape of x

    Raises
    ------
    TypeError
        `x` is not a float64 array: differences drown in float32's rounding.
    ValueError
        `x` is read-only.
    """
    if not (isinstance(x, np.ndarray) and x.dtype == np.float64):
        found = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"numerical_gradient needs a float64 array, not {found}")
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        value = float(x[index])
        step = np.cbrt(np.finfo(np.float64).eps) * max(1, abs(value)) if h is None else h
        try:
            x[index] = value + step
            above, top = f(x), float(x[index])
            x[index] = value - step
            below, bottom = f(x), float(x[index])
        finally:
            x[index] = value
        gradient[index] = (above - below) / (top - bottom)
    return gradient
