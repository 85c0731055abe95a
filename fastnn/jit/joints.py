"""What the derivatives of a formula are exactly where its pieces meet, and at 0: from both sides, with 200 digits.

A joint is a number where the operands of a comparison are equal, where a root or a power is taken of 0, or 0 itself.
The differences on both sides of it say whether there is a derivative.
"""
import math
from typing import Any, NamedTuple

import numpy as np

from . import graph
from .exact import arithmetic, precise
from .float64 import IN_FLOAT64
from .meeting import crossings, pairs
from .points import others

DIGITS = 200
STEPS = 30, 32                      # digits of two steps: what grows from one to the other is infinite
EQUAL = 100                         # digits
MOST_NODES = 4000                   # times the number of joints
CLOSE = 1e-6                        # relative: constants may have been written with seven digits
SMALL = 1e-9
ROUNDED, ROUNDED_SMALL = 1e-2, 1e-8         # in float64

_ROOTS = {"sqrt", "cbrt", "pow", "hypot", "asin", "acos"}


class Slope(NamedTuple):
    """Of one order. `smooth`: whether both sides agree; value: theirs, or the mean, or None where there is none."""
    smooth: bool
    value: Any


class Joint(NamedTuple):
    """One point, for one set of hyperparameters.

    Attributes
    ----------
    values : dict
        The hyperparameters.
    x : float
        The nearest double.
    exact : bool
        Whether float64 arithmetic sees the operands as equal at x.
    point : mpf
    pairs : list
        The comparisons whose operands meet there, as pairs of nodes.
    sides : list
        For each of them the sign of their difference to the right of the point.
    slopes : dict
        Order -> Slope.
    """
    values: dict
    x: float
    exact: bool
    point: Any
    pairs: list
    sides: list
    slopes: dict


class Joints:
    """All joints of a formula.

    Parameters
    ----------
    formula : Node
    hyperparameters, declared : mapping
        The defaults, and the ranges of others.
    more : sequence of Node
        Given derivatives, whose comparisons count, too.
    settings : sequence of mapping
        Other values of all hyperparameters.
    """

    def __init__(self, formula, hyperparameters, declared=None, more=(), element="x", settings=()):
        self.formula, self.element = formula, element
        self.mp = precise(DIGITS)
        self.arithmetic = _with_equality(self.mp, arithmetic(self.mp))
        self.pairs = pairs(formula, *more)
        self.settings = [dict(hyperparameters), *settings, *others(hyperparameters, declared or {})]
        most = max(1, MOST_NODES//len(graph.in_order(formula)))
        self.found = [joint for values in self.settings for joint in self._of(values, most)]

    def _of(self, values, most):
        asked = [*self.pairs, *((u, graph.constant(0)) for u in _rooted(self.formula))]
        met = {0.0: []}
        for pair in asked:
            for x in crossings(pair, values, self.element):
                met.setdefault(x, []).append(pair)
        joints = (self._joint(values, x, met[x]) for x in sorted(met, key=abs)[:most])
        return [joint for joint in joints if joint]

    def _joint(self, values, x, met):
        mp, real = self.mp, {key: self.mp.mpf(value) for key, value in values.items()}

        def difference(pair, at):
            a, b = graph.evaluate(pair, {**real, self.element: at}, self.arithmetic)
            return a - b

        point = mp.mpf(x)
        if met and (found := _refined(mp, lambda at: difference(met[0], at), point)) is not None:
            point = found
        here = self._at(real, point)
        if not mp.isfinite(here):
            return None
        left, right = (self._side(real, point, sign) for sign in (-1, 1))
        slopes = _joined(mp, here, left, right)
        if slopes is None:
            return None
        after = point + mp.mpf(10)**-STEPS[0]
        compared = [pair for pair in met if pair in self.pairs]
        sides = [int(mp.sign(difference(pair, after))) for pair in compared]
        return Joint(values, x, self._is_exact(values, x, point, met), point, compared, sides, slopes)

    def _is_exact(self, values, x, point, met):
        if not met:
            return True
        known = {**values, self.element: np.float64(x)}
        with np.errstate(all="ignore"):
            return all(np.equal(*graph.evaluate(pair, known, IN_FLOAT64)) for pair in met)

    def _at(self, real, at):
        return graph.evaluate([self.formula], {**real, self.element: at}, self.arithmetic)[0]

    def _side(self, real, point, sign):
        """(limit of f, of f', of f'') on one side; None where f is not finite, infinity where they grow without end."""
        found = []
        for digits in STEPS:
            h = self.mp.mpf(10)**-digits
            a, b, c = (self._at(real, point + sign*k*h) for k in (1, 2, 3))
            if not self.mp.isfinite(a + b + c):
                return None
            found.append((3*a - 3*b + c, sign*(-5*a + 8*b - 3*c)/(2*h), (a - 2*b + c)/h**2))
        return tuple(_limit(self.mp, *pair) for pair in zip(*found))

    def is_number(self, root, values, x):
        """Whether a derivative is one at x."""
        real = {key: self.mp.mpf(value) for key, value in values.items()}
        found, = graph.evaluate([root], {**real, self.element: self.mp.mpf(x)}, self.arithmetic)
        return found == found

    def settings_exactly(self):
        return [{key: self.mp.mpf(value) for key, value in values.items()} for values in self.settings]

    def value(self, root, joint):
        """Of a derivative there: (exactly, as equal as operands may be; in float64, or None where they are not)."""
        real = {key: self.mp.mpf(value) for key, value in joint.values.items()}
        exactly, = graph.evaluate([root], {**real, self.element: joint.point}, self.arithmetic)
        if not joint.exact:
            return exactly, None
        with np.errstate(all="ignore"):
            rounded, = graph.evaluate([root], {**joint.values, self.element: np.float64(joint.x)}, IN_FLOAT64)
        return exactly, float(rounded)

    def right(self, root, order, joint):
        """Whether a derivative is right there; at a kink, whether it is a number at all."""
        slope = joint.slopes[order]
        exactly, rounded = self.value(root, joint)
        if slope.value is None:
            return True
        if not slope.smooth:
            return rounded is None or rounded == rounded
        if not self.mp.isfinite(slope.value):
            return rounded is None or rounded == slope.value
        return abs(exactly - slope.value) <= CLOSE*abs(slope.value) + SMALL and (
            rounded is None or abs(rounded - slope.value) <= ROUNDED*abs(slope.value) + ROUNDED_SMALL)


def _rooted(formula):
    return {u: None for node in graph.in_order(formula) if node.op in _ROOTS for u in node.args if not u.uniform}


def _refined(mp, difference, x):
    """The zero of a function near x with all digits, None where it has none."""
    a, b = x, x*(1 + mp.mpf(2)**-50) + mp.mpf(2)**-600
    at_a, at_b = difference(a), difference(b)
    if at_a == 0:
        return a
    for _ in range(40):
        if at_b == at_a or not mp.isfinite(at_b - at_a):
            return None
        a, at_a, b = b, at_b, b - at_b*(b - a)/(at_b - at_a)
        at_b = difference(b)
        if abs(b - x) > 1e-6*max(abs(x), 1e-6):
            return None
        if at_b == 0 or abs(b - a) < abs(b)*mp.mpf(10)**(20 - DIGITS):
            return b
    return None


def _limit(mp, first, second):
    """What two approximations have in common; infinity if they grow, None if they do something else."""
    if abs(second) < abs(first)/2 and abs(second) < SMALL**1.5:
        return mp.zero                  # as the root of the step is
    if _close(first, second):
        return second
    grows = abs(second) > abs(first) and first*second > 0
    return mp.sign(second)*mp.inf if grows else None


def _close(a, b):
    return a == b or abs(a - b) <= CLOSE*max(abs(a), abs(b)) + SMALL < math.inf


def _joined(mp, here, left, right):
    """Order -> Slope; None where f is alone or jumps."""
    sides = [side for side in (left, right) if side]
    if not sides or not all(side[0] is not None and _close(side[0], here) for side in sides):
        return None
    slopes = {order: _agreed(mp, [side[order] for side in sides]) for order in (1, 2)}
    if not slopes[1].smooth:
        slopes[2] = slopes[2]._replace(smooth=False)
    return slopes


def _agreed(mp, sides):
    if None in sides:
        return Slope(False, None)
    if len(sides) == 1 or _close(*sides):
        return Slope(True, sides[0])
    mean = sum(sides)/2
    return Slope(False, mean if mean == mean else mp.zero)


def _with_equality(mp, operations):
    """Numbers that differ in the last digits only compare as equal: a joint need not be a number with 200 digits."""
    tiny = mp.mpf(10)**-EQUAL

    def equal(a, b):
        return a == b or abs(a - b) <= tiny*max(1, abs(a), abs(b))

    return {**operations, "eq": equal, "ne": lambda a, b: not equal(a, b),
            "lt": lambda a, b: a < b and not equal(a, b), "le": lambda a, b: a <= b or equal(a, b)}
