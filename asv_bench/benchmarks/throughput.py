"""Gigabytes a second at 1e7 elements, and their share of what a copy with streaming stores moves in the same process.

Counted is what has to be read and written at least. Beyond 1: faster than that copy.
"""
from functools import partial
from subprocess import CalledProcessError

import numpy as np

import fastnn

from .catalogue import ACTIVATIONS, GATED, LEARNABLE, LOSSES, OPTIMIZERS, RANDOM
from .common import DTYPES, absent_from, activation, halved, least, normal, optimizer, tensors
from .losses import arrays, loss
from .streaming_copy import compiled

SIZE, MODEL = 10_000_000, "1x1e7"
ROUNDS = 15


def speed(call, moved):
    """Bytes a second, after a call that allocates."""
    call()
    return moved / least(ROUNDS, call)[0]


def share(call, moved):
    with absent_from(OSError, CalledProcessError):      # no C compiler, or no x86
        copy = compiled()
    source = np.ones(SIZE, np.float32)
    target = np.zeros(SIZE + 16, np.float32)
    target = target[-target.ctypes.data % 64 // 4:][:SIZE]
    copied = partial(copy, target.ctypes.data, source.ctypes.data, source.nbytes, fastnn.get_num_threads())
    call()
    copied()
    seconds, yardstick = least(ROUNDS, call, copied)
    return moved / seconds / (2 * source.nbytes / yardstick)


class _Throughput:
    def track_gigabytes(self, *params):
        return speed(*self.case(*params)) / 1e9

    def track_share(self, *params):
        return share(*self.case(*params))

    track_gigabytes.unit = "GB/s"
    track_share.unit = "of a streaming copy's"


class Activations(_Throughput):
    params = [ACTIVATIONS + GATED + LEARNABLE + RANDOM, DTYPES, ["forward", "backward"]]
    param_names = ["activation", "dtype", "direction"]

    def case(self, name, dtype, direction):
        """(call, bytes): x read and the result written; backward, the gradient read, too."""
        if name in GATED:
            unit, (x, grad) = activation(name, dtype, axis=0), halved(SIZE, dtype)
            if direction == "forward":
                return partial(unit.forward, x), x.nbytes + grad.nbytes
            return partial(unit.backward, x, grad=grad), 2 * x.nbytes + grad.nbytes
        x = normal(SIZE, dtype)
        if name in RANDOM and direction == "backward":
            subject = activation(name, dtype)
            subject.forward(x)
            return partial(subject.backward, x, grad=normal(SIZE, dtype, seed=1)), 3 * x.nbytes
        if direction == "forward":
            return partial(activation(name, dtype).forward, x), 2 * x.nbytes
        return partial(activation(name, dtype).backward, x, grad=normal(SIZE, dtype, seed=1)), 3 * x.nbytes


class Optimizers(_Throughput):
    params = [OPTIMIZERS, DTYPES]
    param_names = ["optimizer", "dtype"]

    def case(self, name, dtype):
        """(call, bytes): parameters and state read and written, gradients read."""
        opt, parameters, grads = optimizer(name), tensors(MODEL, dtype, 0), tensors(MODEL, dtype, 1)
        opt.step(parameters, grads)
        with absent_from(AttributeError):
            state = sum(array.nbytes for slots in opt.state.values() for array in slots.values())
        return partial(opt.step, parameters, grads), 3 * sum(p.nbytes for p in parameters) + 2 * state


class Losses(_Throughput):
    params = [LOSSES, DTYPES]
    param_names = ["loss", "dtype"]

    def case(self, name, dtype):
        """(call, bytes): what it is given read, its gradients written; the mean and they in one pass."""
        err = loss(name)
        given = arrays(err, dtype, SIZE, "contiguous")
        with absent_from(AttributeError):
            call = err.value_and_grad
        written = len(getattr(err, "gradients", ("y",)))
        return partial(call, *given, reduction="mean"), sum(each.nbytes for each in given) + written * given[0].nbytes
