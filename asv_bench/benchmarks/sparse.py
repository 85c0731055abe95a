"""A step with Rows beside the lines of NumPy that it replaces. n/a in versions before them."""
from functools import partial

import numpy as np

from .common import absent_from, least, normal_array, optimizer, warm

TABLES = {                  # rows of the table, elements of one, rows of a step, and how often each is named
    "6 of 100": (10_000, 100, 6, 1), "6000 of 100": (100_000, 100, 6000, 1),
    "6000 of 100, repeated": (100_000, 100, 6000, 3),
    "512 of 16": (10_000, 16, 512, 1), "4096 of 300": (50_000, 300, 4096, 1)}
RULES = ["SGD", "AdaGrad", "Adam"]
SECONDS = 2e-3              # of a turn
ROUNDS = 30


def arguments(case, dtype):
    """(table, indices, values)"""
    rows, width, given, times = TABLES[case]
    indices = np.tile(np.random.default_rng(2).permutation(rows)[:given // times], times)
    return normal_array((rows, width), dtype, 0), indices, normal_array((given, width), dtype, 1)


def step(opt, Rows, table, indices, values):
    opt.step({"W": table}, {"W": Rows(indices, values)})


def ours(case, name, dtype):
    """A step as a call; Rows are made in it."""
    with absent_from(ImportError):
        from fastnn import Rows
    return partial(step, optimizer(name, lr=1e-3), Rows, *arguments(case, dtype))


class Plain:
    """The rules in NumPy, on the rows alone."""

    def __init__(self, name, table):
        self.rule, self.t = getattr(self, name), 0
        self.first, self.second = np.zeros_like(table), np.zeros_like(table)

    def summed(self, table, indices, values):
        """For rows that are named more than once."""
        if self.rule == self.SGD:
            np.add.at(table, indices, -1e-3 * values)
            return
        rows, place = np.unique(indices, return_inverse=True)
        sums = np.zeros((len(rows), *values.shape[1:]), values.dtype)
        np.add.at(sums, place, values)
        self.rule(table, rows, sums)

    def SGD(self, table, rows, g):
        table[rows] -= 1e-3 * g

    def AdaGrad(self, table, rows, g):
        squares = self.first[rows] + g * g
        self.first[rows] = squares
        table[rows] -= 1e-3 * g / (np.sqrt(squares) + 1e-10)

    def Adam(self, table, rows, g):
        self.t += 1
        m, v = self.first[rows], self.second[rows]
        m += 0.1 * (g - m)
        v += 0.001 * (g * g - v)
        self.first[rows], self.second[rows] = m, v
        root = np.sqrt(1 - 0.999**self.t)
        table[rows] -= 1e-3 * root / (1 - 0.9**self.t) * m / (np.sqrt(v) + 1e-8 * root)


def turn(call):
    """Calls of so many seconds together."""
    seconds, = least(3, call)
    count = max(1, int(SECONDS / seconds))

    def repeated():
        for _ in range(count):
            call()
    return repeated, count


class Sparse:
    params = [list(TABLES), RULES, ["float32", "float64"]]
    param_names = ["rows", "optimizer", "dtype"]

    @warm
    def time_step(self, case, name, dtype):
        return ours(case, name, dtype)

    def track_ratio(self, case, name, dtype):
        """To NumPy, in turn."""
        table, indices, values = arguments(case, dtype)
        numpy = Plain(name, table)
        plain = partial(numpy.rule if TABLES[case][3] == 1 else numpy.summed, table, indices, values)
        (mine, calls), (theirs, others) = turn(ours(case, name, dtype)), turn(plain)
        seconds, longer = least(ROUNDS, mine, theirs)
        return seconds / calls / (longer / others)

    track_ratio.unit = "of NumPy's time"
