"""What the benchmarks share: data, the entries under test, and how a body is made."""
import functools
import math
from contextlib import contextmanager
from time import perf_counter

import numpy as np
from asv_runner.benchmarks.mark import SkipNotImplemented

import fastnn

DTYPES = ["float32", "float64"]
SIZES = [10, 1_000, 100_000, 10_000_000]
LAYOUTS = ["contiguous", "strided"]
COLUMNS = 10                # the softmax family and maxout work on rows: these are the digits' classes

ACTIVATION_ARGUMENTS = {
    "threshold": {"threshold": 0.5, "value": -0.25},
    "maxout": {"n_prev": COLUMNS, "n": COLUMNS, "k": 2, "rng": 0},
}
# `timed_with` of the rows, for versions that did not have it: Santa draws noise only while it explores
SANTA = {"burnin": 10**9, "rng": 0}
LAYERS = [784, 100, 100, 100, 100, 10]
MODELS = {                  # the shapes of a model's tensors, weights and biases in turn
    "100x10": [(10,)] * 100,
    "MLP": [shape for n, m in zip(LAYERS, LAYERS[1:]) for shape in ((n, m), (m,))],
    "100x1000": [(1000,)] * 100,
    "1x1e7": [(10_000_000,)],
}

preparing = 0.0             # seconds that this process has spent on data


def warm(prepare):
    """The body of a benchmark, from a method that returns what is to be timed: a call without arguments.

    `prepare` runs at the first call, off the clock. In a method `setup` it would run before every single call, as
    asv_runner 0.3 has it, and the clock around each: no cache would be warm, and 300 ns not measurable.
    """
    @functools.wraps(prepare)
    def body(self, *params):
        try:
            call = self._call
        except AttributeError:
            call = self._call = prepared(prepare, self, *params)
        call()
    body.timer = timer
    return body


def prepared(prepare, *args):
    global preparing
    start = perf_counter()
    call = prepare(*args)
    call()                  # the first one allocates
    preparing += perf_counter() - start
    return call


def timer():
    """The clock of asv's timeit, which stands still while data is prepared."""
    return perf_counter() - preparing


@contextmanager
def absent_from(*errors):
    """Make these errors "n/a": the version under test does not have what is to be timed."""
    try:
        yield
    except errors as error:
        raise SkipNotImplemented(str(error)) from error


def activation(name, dtype, **arguments):
    """That activation; weights, if it has any, in that dtype."""
    with absent_from(ValueError, TypeError):
        subject = fastnn.get_act(name, **ACTIVATION_ARGUMENTS.get(name, {}), **arguments)
    if name == "maxout":
        subject.w, subject.b = subject.w.astype(dtype), subject.b.astype(dtype)
    return subject


def optimizer(name, **arguments):
    with absent_from(ValueError, TypeError):
        row = type(fastnn.get_opt(name))
        return fastnn.get_opt(name, **getattr(row, "timed_with", SANTA if name.startswith("Santa") else {}), **arguments)


def normal(size, dtype, layout="contiguous", seed=0):
    """`size` numbers in rows of COLUMNS, standard normal; strided: every other one of longer rows."""
    step = 1 + (layout == "strided")
    return normal_array((size // COLUMNS, COLUMNS * step), dtype, seed)[:, ::step]


def halved(size, dtype, layout="contiguous"):
    """`size` numbers in COLUMNS rows, whose axis 0 a gated unit halves, and a gradient of its result."""
    step = 1 + (layout == "strided")
    return [normal_array((rows, size // COLUMNS * step), dtype, seed)[:, ::step]
            for seed, rows in enumerate((COLUMNS, COLUMNS // 2))]


def normal_array(shape, dtype, seed=0):
    """Standard normal numbers; large arrays repeat a block, which costs less than drawing them."""
    block = np.random.default_rng(seed).standard_normal(min(math.prod(shape), 100_000), dtype)
    return np.resize(block, shape)


def tensors(model, dtype, seed):
    """The tensors of a model, or their gradients with another seed."""
    return [normal_array(shape, dtype, (seed, i)) for i, shape in enumerate(MODELS[model])]


def probabilities(size, dtype, layout="contiguous"):
    """`size` numbers in rows of COLUMNS, between 0 and 1 and away from both."""
    numbers = normal(size, dtype, layout)
    return np.clip(abs(numbers), 0.05, 0.95, out=numbers)       # out: keeps the layout


def one_hot(size, dtype):
    """A random class for each row of COLUMNS."""
    return np.eye(COLUMNS, dtype=dtype)[np.random.default_rng(1).integers(0, COLUMNS, size // COLUMNS)]


def least(rounds, *calls):
    """The least seconds of each call over so many rounds, in turn."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for found, call in zip(times, calls):
            start = perf_counter()
            call()
            found.append(perf_counter() - start)
    return [min(found) for found in times]
