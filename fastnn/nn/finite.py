"""Whether numbers are finite, the norm of gradients, and where in a network infinity or NaN began."""
import math
from typing import Any
from typing import NamedTuple

import numpy as np

from fastnn.core.arrays import as_array
from fastnn.core.reductions import norm as norm_of, refuse_shared, scale
from fastnn.core.sparse import Rows
from fastnn.trees import NESTED, arrays_of_gradients
from .arguments import number
from .layers import Layer

TRANSFORMED, NORM = "transformed gradient", "norm of the gradients"     # between a trainer's gradients and its update
PLACES = ("output", "gradient", "input", "weight decay", "unknown", TRANSFORMED, NORM)


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
        "output" or "gradient" of the layer; without one "input", "weight decay" or "unknown", or, between finite
        gradients and the update, "transformed gradient" (what the trainer's `transform` left) or "norm of the
        gradients" (a norm that clips, for which the optimizer skipped the step).
    """

    step: int
    loss: float
    layer: str | None
    place: str

    def __str__(self):
        if self.place == NORM:
            return f"step {self.step}: a norm that clips gradients is infinite or NaN; the optimizer skipped the step"
        if self.place == TRANSFORMED:
            return f"step {self.step}: a gradient is infinite or NaN behind `transform`, and was finite before"
        what = f"the loss is {self.loss}" if not math.isfinite(self.loss) else "a gradient is not finite"
        if self.place == "unknown":
            return f"step {self.step}: {what}"
        where = self.place if self.layer is None else f"{self.place} of layer {self.layer!r}"
        return f"step {self.step}: {what}; the first to be infinite or NaN is the {where}"


def all_finite(arrays):
    """Whether no element is infinite or NaN, of arrays and Rows. The norm of all costs less than a check of each."""
    arrays = [a.values if isinstance(a, Rows) else np.asarray(a) for a in arrays]
    return math.isfinite(norm_of(arrays)) or all(np.isfinite(a).all() for a in arrays)      # or it is beyond float64


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
        gradients = [getattr(layer.owner, f"d{key}") for key in layer.learned] if isinstance(layer, Layer) else []
        if not all_finite(gradients if name == first else [dout, *gradients]):      # the first one's dout is not needed
            return name, "gradient"
    return None


def clip_grad_norm(grads: Any, max_norm: float):
    """Scale gradients down in place, so that the norm of all of them together is at most max_norm.

    Parameters
    ----------
    grads : mapping, list or tuple of ndarray, or ndarray
        Nested or flat, as an optimizer's `step` takes them; what is None is left out. Arrays are of floating-point
        numbers, of any shapes and layouts, writable and each in memory of its own. Half precision is multiplied in
        float32 and rounded once.
    max_norm : float
        At least 0.

    Returns
    -------
    float
        The norm before: the root of the sum of all squares, in float64, which neither overflows nor underflows and does
        not depend on the number of threads. If it is NaN or infinite nothing has been changed, as where it is at most
        max_norm.

    The factor is max_norm/norm. PyTorch's `clip_grad_norm_` divides by norm + 1e-6 instead, which leaves a slightly
    smaller norm, and also scales gradients whose norm is less than 1e-6 below max_norm.

    Raises, before anything has changed, ValueError for a negative max_norm or NaN, for arrays that are read-only or
    share memory, and for what is nested too deeply or in itself; TypeError for a max_norm that is no number, for
    anything but arrays of floating-point numbers - a plain number cannot be scaled in place -, and for a mapping that
    returns a new array at each access. Errors name the gradient by its key or position, in nested ones by its path.
    """
    max_norm = number("max_norm", max_norm)
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, not {max_norm!r}")
    keys, arrays = _arrays(grads)
    norm = norm_of(arrays)
    if math.isfinite(norm) and norm > max_norm:
        refuse_shared(arrays, keys)
        with np.errstate(all="ignore"):
            scale(arrays, max_norm / norm)
    return norm


def _arrays(grads):
    """(keys, arrays) of gradients that can be scaled; one array has position 0."""
    if not isinstance(grads, (np.ndarray, *NESTED)):
        raise TypeError("grads must be an array of floating-point numbers, or a mapping, list or tuple of them, not "
                        f"{type(grads).__name__}")
    keys, arrays = arrays_of_gradients([grads] if isinstance(grads, np.ndarray) else grads)
    arrays = [as_array(a, f"gradient {key!r}") for key, a in zip(keys, arrays)]     # what is underneath a subclass
    for key, a in zip(keys, arrays):
        if a.dtype.kind != "f" and a.dtype.name != "bfloat16":
            raise TypeError(f"gradient {key!r} must be an array of floating-point numbers, not of {a.dtype}")
        if not a.flags.writeable:
            raise ValueError(f"gradient {key!r} is read-only")
    return keys, arrays
