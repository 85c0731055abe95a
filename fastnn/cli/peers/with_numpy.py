"""NumPy's side: plain formulas, one thread but for the matrix products."""
from functools import partial
from itertools import count

import numpy as np

from fastnn.cli.catalog import CATALOGUES

from .formulas import ACTIVATIONS, OPTIMIZERS
from .library import WIDTHS, Call, Side

__all__ = ["Library"]


class Library(Side):
    version = np.__version__

    def __init__(self, threads):
        pass        # NumPy's own loops have one; the BLAS below it reads the environment

    def forward(self, name, x):
        return Call(partial(ACTIVATIONS[name][0], x)) if name in ACTIVATIONS else None

    def backward(self, name, x, grad):
        return Call(partial(ACTIVATIONS[name][1], x, grad)) if name in ACTIVATIONS else None

    def step(self, name, params, grads):
        rule = OPTIMIZERS.get(name)
        if rule is None:
            return None
        slots = CATALOGUES["optimizers"][name].slots
        model = [(p.copy(), g, {slot: np.full_like(p, first) for slot, first in slots.items()})
                 for p, g in zip(params, grads)]
        steps = count(1)

        def run():
            t = next(steps)
            for p, g, state in model:
                rule(p, g, state, t)
        return Call(run)

    def train(self, task):
        """The matrix products of a step alone, into memory that is there: what no implementation on NumPy saves."""
        dtype, rows = task.x.dtype, len(task.x)
        weights = [np.full((n, m), 0.01, dtype) for n, m in zip(WIDTHS, WIDTHS[1:])]
        values = [task.x, *(np.full((rows, m), 0.01, dtype) for m in WIDTHS[1:])]
        products = []
        for i, weight in enumerate(weights):
            products += [(values[i], weight, np.empty_like(values[i + 1])),
                         (values[i].T, values[i + 1], np.empty_like(weight))]
            if i:           # the input needs no gradient
                products.append((values[i + 1], weight.T, np.empty_like(values[i])))

        def run():
            for left, right, out in products:
                np.dot(left, right, out=out)
        return Call(run)
