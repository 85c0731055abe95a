"""Every error function on rows of predictions and one-hot targets, or what else it takes."""
from functools import partial

import fastnn

from .catalogue import LOSSES
from .common import DTYPES, LAYOUTS, SIZES, absent_from, normal, one_hot, probabilities, warm

PAIRS = 100                                     # rows of InfoNCE, whose products grow with their square


def loss(name):
    with absent_from(ValueError):
        return fastnn.get_err(name)


def arrays(err, dtype, size, layout):
    """Predictions and targets, and a spread; or vectors."""
    inputs = getattr(err, "inputs", ("y", "t"))
    if inputs[:2] == ("y", "t"):
        given = [probabilities(size, dtype, layout), one_hot(size, dtype)]
        return given + [probabilities(size, dtype) for _ in inputs[2:]]
    given = [normal(size, dtype, layout if seed == 0 else "contiguous", seed) for seed in range(len(inputs))]
    return [each[:PAIRS] for each in given] if err.name == "InfoNCE" else given


class Losses:
    params = [LOSSES, DTYPES, SIZES, LAYOUTS]
    param_names = ["loss", "dtype", "size", "layout"]

    @warm
    def time_forward(self, name, dtype, size, layout):
        err = loss(name)
        return partial(err.forward, *arrays(err, dtype, size, layout))

    @warm
    def time_backward(self, name, dtype, size, layout):
        # without arguments it may hand out what forward has computed
        err = loss(name)
        return partial(err.backward, *arrays(err, dtype, size, layout))

    @warm
    def time_mean_and_gradient(self, name, dtype, size, layout):
        err = loss(name)
        with absent_from(AttributeError):
            call = err.value_and_grad
        return partial(call, *arrays(err, dtype, size, layout), reduction="mean")
