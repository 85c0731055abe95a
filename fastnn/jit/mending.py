"""Derivatives that are right where a formula's pieces meet, too (joints.py).

The chain rule takes at each comparison the branch that the formula takes, and 0 as the slope of abs at 0. In
max(x, 0) + log1p(exp(-abs(x))) the one is the slope on the right, the other one of neither side, and so their sum is
wrong at 0, although both sides agree. Two ways out, the first costs nothing: at such a joint all comparisons take the
same side; or the number itself is put there.
"""
import math
from functools import partial

from . import graph
from .algebra import ZERO, mul, rebuilt
from .graph import constant, node, select
from .series import Series

_FALSE = node("lt", ZERO, ZERO)
_TRUE = node("not", _FALSE)


def mended(root, order, joints):
    """A derivative of that order, changed where it is wrong at a joint and only as far as it can be.

    Parameters
    ----------
    root : Node
    order : int
        1 or 2.
    joints : joints.Joints
    """
    wrong = _wrong(root, order, joints)
    for right in (True, False) if wrong else ():
        sides = _sides(order, joints, right)
        other = rebuilt(root, partial(_on_one_side, sides=sides))
        still = _wrong(other, order, joints)
        if len(still) < len(wrong) and _same_at_kinks(root, other, order, joints):
            root, wrong = other, still
    for joint in wrong:
        if not joints.right(root, order, joint):
            root = _with_number(root, joint, order, joints)
    return root


def _wrong(root, order, joints):
    return [joint for joint in joints.found if not joints.right(root, order, joint)]


def _same_at_kinks(root, other, order, joints):
    kinks = [joint for joint in joints.found if not joint.slopes[order].smooth]
    return all(_same(joints.value(root, joint)[0], joints.value(other, joint)[0]) for joint in kinks)


def _same(a, b):
    return a == b or a != a


def _sides(order, joints, right):
    """For the comparisons that meet at smooth joints alone: pair -> the sign of the difference on one side of them."""
    found, kinks = {}, set()
    for joint in joints.found:
        for pair, sign in zip(joint.pairs, joint.sides):
            if joint.slopes[order].smooth and sign:
                found.setdefault(pair, sign if right else -sign)
            else:
                kinks.add(pair)
    return {frozenset(pair): (pair, sign) for pair, sign in found.items() if pair not in kinks}


def _on_one_side(current, sides):
    """A comparison that counts equal operands as if the difference had that sign."""
    if current.op in ("lt", "le", "eq", "ne") and frozenset(current.args) in sides:
        pair, sign = sides[frozenset(current.args)]
        if current.op in ("eq", "ne"):
            return _FALSE if current.op == "eq" else _TRUE
        below = (sign if current.args == pair else -sign) < 0
        return node("le" if below else "lt", *current.args, line=current.line)
    if current.op == "select" and current.args[0] in (_FALSE, _TRUE):
        return current.args[1 if current.args[0] is _TRUE else 2]
    if current.op in ("and", "or"):
        for one, other in (current.args, current.args[::-1]):
            if one in (_FALSE, _TRUE):
                return other if (one is _TRUE) == (current.op == "and") else one
    if current.op == "not" and current.args[0] is _TRUE:
        return _FALSE
    return current


def _with_number(root, joint, order, joints):
    """The same with the right number at a joint: one for all hyperparameters tried, or an expression of them."""
    x = graph.element(joints.element)
    pair = _pair(joint, x)
    there = [one for one in joints.found if one.slopes[order].value is not None and (
        pair in one.pairs if pair else one.x == joint.x)]
    found = [one.values for one in there]
    if any(values not in found and (pair or joints.is_number(root, values, joint.x)) for values in joints.settings):
        return root
    condition = node("eq", *pair) if pair else node("eq", x, constant(joint.x))
    number = _one_number(there, order) or _expression(pair, x, there, order, joints)
    if number is None:
        # for some hyperparameters alone the chain rule has nothing there
        wrong = [one for one in there if not joints.right(root, order, one)]
        number = _one_number(wrong, order) if all(_is_nan(*joints.value(root, one)) for one in wrong) else None
        return select(node("and", condition, node("ne", root, root)), number, root) if number else root
    if root.op == "select" and root.args[0] is condition:
        root = root.args[2]
    return select(condition, number, root)


def _one_number(there, order):
    first, *others = (_number(one.slopes[order].value) for one in there)
    return constant(first) if all(math.isclose(first, other, rel_tol=1e-12) for other in others) else None


def _expression(pair, x, there, order, joints):
    """A coefficient of the formula's power series, if it is right for all hyperparameters that were tried."""
    at = constant(there[0].x) if pair is None else next((one for one in pair if one.uniform and x in pair), None)
    if at is None or not all(one.slopes[order].smooth for one in there):
        return None
    try:
        *_, found = Series(x, at, joints.settings_exactly(), joints.arithmetic).terms(joints.formula, order + 1)
    except ValueError:                  # of Unknown, or of a function without a derivative
        return None
    found = mul(constant(order), found)             # f'' is twice the coefficient
    return found if all(joints.right(found, order, one) for one in there) else None


def _is_nan(exactly, rounded):
    return exactly != exactly if rounded is None else rounded != rounded


def _number(value):
    return float(value) if abs(value) > 1e-20 else 0.0


def _pair(joint, x):
    """The comparison that says that x is there; None where no comparison does and x is a number of its own."""
    named = [pair for pair in joint.pairs if x in pair and any(one.uniform and one.op != "constant" for one in pair)]
    return next(iter(named or ([] if joint.exact else joint.pairs)), None)
