"""Whether numbers are finite, the norm of gradients, and where in a network infinity or NaN began."""
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fastnn.core.arrays import share_memory
from fastnn.trees import checked_items

# Elements whose squares are added up in their own precision; the sums are added in double. OpenBLAS cuts dot products
# of more than 10,000 elements into one part a thread, and the bits would depend on how many there are.
CHUNK = 4096
PLACES = ("output", "gradient", "input", "weight decay", "unknown")


class NonFinite(NamedTuple):
    """A step whose loss or gradients were infinite or NaN.

    Attributes
    ----------
    step : int
        From 1.
    loss : float
    layer : str or None
        The layer in which it began, as `network.layers` calls it, or the class of the loss layer.
    place : str
        "output" or "gradient" of the layer; without one "input", "weight decay" or "unknown".
    """

    step: int
    loss: float
    layer: str | None
    place: str

    def __str__(self):
        what = f"the loss is {self.loss}" if not math.isfinite(self.loss) else "a gradient is not finite"
        if self.place == "unknown":
            return f"step {self.step}: {what}"
        where = self.place if self.layer is None else f"{self.place} of layer {self.layer!r}"
        return f"step {self.step}: {what}; the first to be infinite or NaN is the {where}"


def all_finite(arrays):
    """Whether no element is infinite or NaN. A product with itself tells for less than a look at each element."""
    for a in arrays:
        flat = np.asarray(a).ravel("K")
        if not math.isfinite(flat.dot(flat)) and not np.isfinite(flat).all():       # large squares overflow, too
            return False
    return True


def first_nonfinite(layers, last_layer, x, t):
    """Where a training pass ceases to be finite: (name, "output" or "gradient"), (None, "input"), or None if nowhere.

    layers is a dict in the order of the forward pass; last_layer, which gives the loss of its output and t, goes by the
    name of its class.
    """
    if not all_finite([x]):
        return None, "input"
    for name, layer in layers.items():
        x = layer.forward(x, True)
        if not all_finite([x]):
            return name, "output"
    title = type(last_layer).__name__
    if not math.isfinite(last_layer.forward(x, t)):
        return title, "output"
    dout = last_layer.backward()
    if not all_finite([dout]):
        return title, "gradient"
    first = next(iter(layers))
    for name, layer in reversed(layers.items()):
        dout = layer.backward(dout)
        gradients = [getattr(layer, key) for key in ("dW", "db", "dgamma", "dbeta") if hasattr(layer, key)]
        if not all_finite(gradients if name == first else [dout, *gradients]):      # nobody needs the first one's dout
            return name, "gradient"
    return None


def clip_grad_norm(grads, max_norm):
    """Scale gradients down in place, so that the norm of all of them together is at most max_norm.

    Parameters
    ----------
    grads : mapping or sequence of ndarray, or ndarray
        Of floating-point numbers, writable and each in memory of its own, of any shapes and layouts.
    max_norm : float
        At least 0.

    Returns
    -------
    float
        The norm before: the root of the sum of all squares, which neither overflows nor underflows. If it is NaN or
        infinite nothing has been changed, as where it is at most max_norm.

    Raises, before anything has changed, ValueError for a negative max_norm or NaN, and for arrays that are read-only or
    share memory; TypeError for anything but arrays of floating-point numbers, and for a mapping that hands out a new
    array at each access.
    """
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, not {max_norm!r}")
    if isinstance(grads, Mapping):
        arrays = [a for _, a in checked_items(grads, "gradient")]
    else:
        arrays = list(grads) if isinstance(grads, (list, tuple)) else [grads]
    for i, a in enumerate(arrays):
        if not isinstance(a, np.ndarray):
            raise TypeError(f"gradients must be arrays of floating-point numbers, not {type(a).__name__}")
        arrays[i] = a = np.asarray(a)           # what is underneath a matrix, a mask and the like
        if a.dtype.kind != "f" and a.dtype.name != "bfloat16":
            raise TypeError(f"gradients must be arrays of floating-point numbers, not {a.dtype}")
    if not all(a.flags.writeable for a in arrays):
        raise ValueError("a gradient is read-only")
    with np.errstate(all="ignore"):
        norm = _norm(arrays)
        if math.isfinite(norm) and norm > max_norm:
            _refuse_shared(arrays)
            for a in arrays:
                np.multiply(a, max_norm / norm, out=a, casting="unsafe")        # NumPy computes bfloat16 in float32
    return norm


def _norm(arrays):
    flat = [a.ravel("K") for a in arrays if a.size]
    squares = sum(sum_of_squares(a) for a in flat)
    if 1e-20 < squares < math.inf:          # else float32 may have lost some below its range, or overflowed
        return math.sqrt(squares)
    largest = max((float(np.abs(a).max()) for a in flat), default=0.0, key=lambda x: math.inf if math.isnan(x) else x)
    if any(np.isnan(a).any() for a in flat):
        return math.nan
    if largest == 0 or largest == math.inf:
        return largest
    return largest * math.sqrt(sum(sum_of_squares(a, largest) for a in flat))


def sum_of_squares(a, unit=None):
    total = 0.0
    for start in range(0, a.size, CHUNK):
        chunk = a[start:start + CHUNK]
        if unit is not None or chunk.dtype.itemsize < 4:
            chunk = chunk.astype(np.float64)
        if unit is not None:
            chunk /= unit
        total += float(chunk.dot(chunk))
    return total


def _refuse_shared(arrays):
    """Raise where scaling one would scale another."""
    places = sorted(((*_bounds(a), i) for i, a in enumerate(arrays) if a.size))
    reach, near = 0, []
    for low, high, i in places:
        near = [*near, i] if low < reach else [i]
        reach = max(reach, high)
        a = arrays[i]
        if high - low < a.nbytes or any(n > 1 and step == 0 for n, step in zip(a.shape, a.strides)):
            raise ValueError("elements of a gradient share memory")
        if any(share_memory(arrays[j], a) for j in near[:-1]):
            raise ValueError("gradients share memory")


def _bounds(a):
    """The addresses of the first byte and behind the last one."""
    steps = [(n - 1) * stride for n, stride in zip(a.shape, a.strides)]
    start = a.ctypes.data
    return start + sum(min(step, 0) for step in steps), start + sum(max(step, 0) for step in steps) + a.itemsize
