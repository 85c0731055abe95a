"""What rules share that make a direction of whole gradients, with state of other shapes, and then step along it."""
from math import isfinite

import numpy as np

from ..core.factored import stepped
from ..core.measuring import Products
from .base import Optimizer

STEP = 16           # the loops of rules take so many elements at a time
SQUARES, SQUARES_OF_P = Products([("g", "g")], ()), Products([("g", "g"), ("p", "p")], ())


class Along(Optimizer, kernel="sgd"):
    """An optimizer whose `direction` makes of a gradient and of what is kept of its parameter what is then stepped along:
    p -= rate direction.

    What it finds new of the state lies apart until the step can no longer fail. A gradient that is infinite or NaN
    somewhere skips the step, as a norm that clips does.
    """

    elementwise = lazy = False
    measures = True

    @staticmethod
    def constants(h):
        return {"lr": h.lr}

    def direction(self, h, t, g, state, squares):
        """(direction, its rate, the factor of the parameter's decay, new state by name); g may be written to. squares:
        the sum of p^2, for rules with `measures_p`."""
        raise TypeError("this class has no rule")

    def _measure(self, plan):
        sums = plan.dots(SQUARES_OF_P if self.measures_p else SQUARES)
        if not all(isfinite(value) for values in sums for value in values):
            return False
        for i, (record, cohort, (*_, squares)) in enumerate(zip(plan.records, plan.cohort_of, sums)):
            if record.others is None:
                record.others = {name: np.zeros(shapes[0], record.computed)
                                 for name, shapes in self.arrays(record.shape).items()}
            if 0 in record.shape:
                continue
            g = np.ascontiguousarray(plan.gradient(i)).reshape(record.shape)        # of no axes, it has become one
            with np.errstate(all="ignore"):
                direction, rate, decayed, new = self.direction(cohort.numbers, cohort.next_t, g, record.others,
                                                               squares)
            cohort.measured({"lr": rate}, cohort.next_scalars, decayed)
            plan.replace_gradient(i, np.asarray(direction, order=record.order))
            for name, values in new.items():
                plan.fill(record.others[name], values)
        return True


def apart(rule, constants, g, *slots, p=None):
    """The new slots of a compiled rule, whose deltas take the place of g; the old ones stay as they are."""
    n = g.size
    room = np.zeros((len(slots), -(-n // STEP) * STEP), g.dtype)
    for row, slot in zip(room, slots):
        row[:n] = slot.reshape(-1)
    stepped(rule, constants, g.reshape(-1), room, None if p is None else p.reshape(-1))
    return [row[:n].reshape(g.shape) for row in room]


def quotient(a, b):
    """a/b of short arrays; 0 where b is."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)


# Rules that are parts of others: their loops are built because they stand here.

class Average(Optimizer, kernel="average"):
    """m += one_minus_momentum (g - m); of_gradient g + of_average m."""

    slots = {"m": 0}


class AdafactorOfVectors(Optimizer, kernel="adafactor"):
    """v += one_minus_beta2 (g^2 + eps1 - v); g/sqrt(v)."""

    slots = {"v": 0}


class AdamInABasis(Optimizer, kernel="soap"):
    """v += one_minus_beta2 (g^2 - v); corrected_lr p/(sqrt(v) + eps), where p is the average of g."""

    slots = {"v": 0}


PARTS = (Average, AdafactorOfVectors, AdamInABasis)
