"""Every derivative, derived or given, is held against the formula's own differences before anything is registered.

The formula and its derivatives are evaluated with 100 digits, where differences over a tiny step are exact enough, and
the derivatives once more in float64, where they must stay finite and near.
"""
import numpy as np

from .errors import FormulaError, at_line
from .exact import arithmetic, precise
from .float64 import IN_FLOAT64
from .graph import evaluate, in_order
from .points import others, points

DIGITS = 100                        # sinh(25) - cosh(25) loses 22 of them, and second differences 30
STEP = 15                           # digits, of the differences
POINTS, FEWER_POINTS = 60, 20       # with the defaults of the hyperparameters, with other values
MOST_NODES = 12000                  # evaluated for one derivative: long formulas are checked at fewer points
TOLERANCE = 1e-6                    # relative; constants may have been written with seven digits
FLOOR = 1e-10                       # of the largest slope: what counts as 0
NOISE = 1e-16                       # of f, in its differences
ROUNDED = 1e-2                      # float64 against DIGITS, from NEAR on: nearer to 0 honest formulas may cancel
ROUNDED_ZERO = 1e-8
NEAR = 0.05

_ORDERS = {1: "first", 2: "second"}


def check_derivatives(name, formula, first, second, hyperparameters, lines=(None, None), declared=None, element="x",
                      joints=None, given=(1, 2), more=()):
    """Compare f' and f'' with differences of f.

    Parameters
    ----------
    name : str
        Of the formula, for the messages.
    formula, first, second : Node
        f, f' and f'' of the element; second may be None.
    hyperparameters : mapping
        Their defaults by name. Other values are tried, too.
    lines : pair of (file, number) or None
        Where each derivative was given.
    declared : mapping of str to fastnn.hyperparameters.Hyperparameter, optional
        Their ranges, in which the other values stay.
    joints : joints.Joints, optional
        Where pieces of f meet: points to be compared as well.
    given : collection of int
        The orders that are the user's; others were derived.
    more : sequence of mapping
        Other values of all of them, to be tried as well.

    Points where f is not finite or has a kink are left out.

    Raises
    ------
    FormulaError
        For a wrong derivative: shows the point and both values. For a formula that no point is left of.
    Underived
        A FormulaError, if a derived one is wrong.
    """
    mp = precise(DIGITS)
    exactly = mp, arithmetic(mp)
    roots = (formula, first) if second is None else (formula, first, second)
    nodes = len(in_order(*roots))
    many, few = (max(8, min(count, MOST_NODES//nodes)) for count in (POINTS, FEWER_POINTS))
    checked = 0
    for values in (hyperparameters, *more, *others(hyperparameters, declared or {})):
        check = _Check(name, roots, dict(values), points(many if values is hyperparameters else few), element, lines, given,
                       *exactly)
        checked += check.run()
        if joints:
            check.at_joints(joints)
        if not (checked or more):
            break
    if not checked:
        raise FormulaError(at_line(formula.line, (
            f"{name} is finite and smooth at none of {many} points between -30 and 30{_told(hyperparameters)}: its "
            "derivatives cannot be checked")))


class Underived(FormulaError):
    """A derivative that the chain rule gets wrong: one has to be given."""


class _Check:
    """The comparison for one set of hyperparameters."""

    def __init__(self, name, roots, hyperparameters, xs, element, lines, given, mp, arithmetic):
        self.name, self.roots, self.hyperparameters = name, roots, hyperparameters
        self.xs, self.element, self.lines, self.given = xs, element, lines, given
        self.mp, self.arithmetic = mp, arithmetic

    def run(self):
        """The number of points compared."""
        rounded = self.in_float64()
        found = []
        for x, *got in zip(self.xs, *rounded):
            exact = self.exact(x) if np.isfinite(got[0]) else None
            if exact:
                found.append((x, got, *exact))
        for order in range(1, len(self.roots)):
            largest = max((abs(slopes[order]) for *_, slopes in found), default=0)
            wrong = []          # (how far it is off, the point, the derivative there, and what it should be)
            for x, got, stated, slopes in found:
                slope, floor = slopes[order], max(FLOOR*min(1, largest), NOISE*max(1, abs(slopes[0])))
                if not abs(stated[order] - slope) <= TOLERANCE*abs(slope) + floor:
                    wrong.append((abs(stated[order] - slope), x, stated[order], slope))
                near = abs(got[order] - slope) <= ROUNDED*(abs(slope) + min(1, largest)) + ROUNDED_ZERO
                if not near and (abs(x) >= NEAR or not np.isfinite(got[order])):
                    wrong.append((abs(got[order] - slope), x, got[order], slope))
            if wrong:
                self.refuse(order, *max(wrong, key=lambda one: np.nan_to_num(float(one[0]), nan=np.inf))[1:])
        return len(found)

    def at_joints(self, joints):
        for order in range(1, len(self.roots)):
            for joint in joints.found:
                slope = joint.slopes[order]
                if joint.values == self.hyperparameters and (slope.smooth or order not in self.given):
                    if not joints.right(self.roots[order], order, joint):
                        exactly, rounded = joints.value(self.roots[order], joint)
                        self.refuse(order, joint.x, exactly if rounded is None else rounded, slope.value)

    def in_float64(self):
        values = {self.element: np.array(self.xs), **{k: np.float64(v) for k, v in self.hyperparameters.items()}}
        with np.errstate(all="ignore"):
            return [np.broadcast_to(found, len(self.xs)) for found in evaluate(self.roots, values, IN_FLOAT64)]

    def exact(self, x):
        """((f, f', f'') of the graphs, (f, slope, curvature) of the differences), None where there is no slope."""
        mp, arithmetic = self.mp, self.arithmetic
        values = {k: mp.mpf(float(v)) for k, v in self.hyperparameters.items()}
        step = mp.mpf(10)**-STEP
        x = mp.mpf(x)
        stated = evaluate(self.roots, {self.element: x, **values}, arithmetic)
        before, after = (evaluate(self.roots[:1], {self.element: at, **values}, arithmetic)[0]
                         for at in (x - step, x + step))
        left, right = (stated[0] - before)/step, (after - stated[0])/step
        if not mp.isfinite(left + right) or abs(right - left) > TOLERANCE*(abs(left) + abs(right)) + mp.sqrt(step):
            return None
        return stated, (stated[0], (left + right)/2, (right - left)/step)

    def refuse(self, order, x, got, slope):
        at = (f"at {self.element} = {x:.6g}{_told(self.hyperparameters)} it is {float(got):.10g}, and should be "
              f"{float(slope):.10g}")
        told = f"{_ORDERS[order]} derivative of {self.name}"
        if order in self.given:
            raise FormulaError(at_line(self.lines[order - 1], f"the {told} is wrong: {at}"))
        raise Underived(at_line(self.roots[0].line, (
            f"the {told} is not found by the chain rule, which is wrong: {at}; give it")))


def _told(hyperparameters):
    return "".join(f", {key} = {value:.6g}" for key, value in hyperparameters.items())
