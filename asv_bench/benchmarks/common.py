"""What the benchmarks share: dtypes, sizes, data, and the arguments that some entries of the catalogue need."""
import math

import numpy as np

DTYPES = ["float32", "float64"]
SIZES = [10, 1_000, 100_000, 10_000_000]
COLUMNS = 10                # the softmax family and maxout work on rows: these are the digits' classes

ACTIVATION_ARGUMENTS = {
    "threshold": {"threshold": 0.5, "value": -0.25},
    "maxout": {"n_prev": COLUMNS, "n": COLUMNS, "k": 2, "rng": 0},
}
# Santa draws noise only while it explores: that phase is timed, however often asv calls.
OPTIMIZER_ARGUMENTS = {
    "SantaE": {"burnin": 10**9, "rng": 0},
    "SantaSSS": {"burnin": 10**9, "rng": 0},
}


def normal(size, dtype, seed=0):
    """`size` numbers in rows of COLUMNS, standard normal."""
    return normal_array((size // COLUMNS, COLUMNS), dtype, seed)


def normal_array(shape, dtype, seed=0):
    """Standard normal numbers.

    asv repeats setup for every sample: large arrays repeat a block, which costs less to draw than what is timed.
    """
    block = np.random.default_rng(seed).standard_normal(min(math.prod(shape), 100_000), dtype)
    return np.resize(block, shape)


def probabilities(size, dtype):
    """`size` numbers in rows of COLUMNS, between 0 and 1 and away from both."""
    return np.clip(abs(normal(size, dtype)), 0.05, 0.95)


def one_hot(size, dtype):
    """A random class for each row of COLUMNS."""
    return np.eye(COLUMNS, dtype=dtype)[np.random.default_rng(1).integers(0, COLUMNS, size // COLUMNS)]
