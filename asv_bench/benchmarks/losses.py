"""Every error function on rows of predictions and one-hot targets."""
from functools import partial

import fastnn

from .catalogue import LOSSES
from .common import DTYPES, LAYOUTS, SIZES, absent_from, one_hot, probabilities, warm


def loss(name):
    with absent_from(ValueError):
        return fastnn.get_err(name)


def arrays(subject, size, dtype, layout):
    """Predictions and targets, and what else it reads, all positive."""
    others = getattr(subject, "inputs", ("y", "t"))[2:]
    return (probabilities(size, dtype, layout), one_hot(size, dtype), *(probabilities(size, dtype, layout) for _ in others))


class Losses:
    params = [LOSSES, DTYPES, SIZES, LAYOUTS]
    param_names = ["loss", "dtype", "size", "layout"]

    @warm
    def time_forward(self, name, dtype, size, layout):
        subject = loss(name)
        return partial(subject.forward, *arrays(subject, size, dtype, layout))

    @warm
    def time_backward(self, name, dtype, size, layout):
        # without arguments it may hand out what forward has computed
        subject = loss(name)
        return partial(subject.backward, *arrays(subject, size, dtype, layout))
