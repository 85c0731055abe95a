"""Where the operands of a formula's comparisons are equal: the points at which its pieces meet.

A comparison is a pair of nodes: the operands of <, <=, ==, != and of min and max, the argument of abs and 0.
"""
import numpy as np

from . import graph
from .float64 import IN_FLOAT64

MOST_POINTS = 12                    # nearest to 0
_PIECES = {"minimum": lambda a, b: (a, b), "maximum": lambda a, b: (a, b), "abs": lambda u: (u, graph.constant(0)),
           "fabs": lambda u: (u, graph.constant(0)), "copysign": lambda a, b: (b, graph.constant(0))}
_COMPARISONS = {"lt", "le", "eq", "ne"}
_BISECTIONS = 1100                  # at most: from 1e3 to the least double


def pairs(*roots):
    """The operands of all comparisons below `roots`, each pair once."""
    found = {}
    for current in graph.in_order(*roots):
        if current.op in _COMPARISONS:
            found[frozenset(current.args)] = current.args
        elif current.op in _PIECES:
            operands = _PIECES[current.op](*current.args)
            found.setdefault(frozenset(operands), operands)
    return [pair for key, pair in found.items() if len(key) == 2]


def crossings(pair, values, element="x"):
    """The numbers, nearest to 0 first, where the two operands of a comparison are equal, or change places.

    Parameters
    ----------
    pair : tuple of Node
    values : mapping
        Of the hyperparameters.
    """
    at = _difference(pair, values, element)
    if at is None:
        return []
    x = _grid(pair, values)
    with np.errstate(all="ignore"):
        side = np.sign(at(x))
        zero = side == 0
        alone = zero & ~(np.roll(zero, 1) & np.roll(zero, -1))      # not amid others: there both are the same
        changes = np.flatnonzero(side[:-1]*side[1:] < 0)
        found = [*x[alone], *_bisected(at, x[changes], x[changes + 1], side[changes])]
    return sorted({float(each) for each in found}, key=abs)[:MOST_POINTS]


def _difference(pair, values, element):
    """The function of x that is 0 where they meet; None where it is the same for all x."""
    a, b = pair
    if a.uniform and b.uniform:
        return None

    def at(x):
        left, right = graph.evaluate(pair, {**values, element: x}, IN_FLOAT64)
        return np.where(left == right, 0.0, np.subtract(left, right)) + np.zeros(np.shape(x))

    return at


def _grid(pair, values):
    """Round numbers, and those that the operands name: 1e-3 to 1000, of both signs."""
    named = [0.0, *values.values(), *(node.args[0] for node in graph.in_order(*pair) if node.op == "constant")]
    with np.errstate(all="ignore"):
        named += [float(each) for each in graph.evaluate([one for one in pair if one.uniform], values, IN_FLOAT64)]
    named = np.array([each for each in named if np.isfinite(each)])
    sizes = np.concatenate([np.geomspace(1e-3, 1e3, 73), np.linspace(0, 30, 121), named, np.abs(named)*(1 + 1e-9)])
    return np.array(sorted({*sizes.tolist(), *(-sizes).tolist()}))         # np.unique imports numpy.ma, which takes 0.1 s


def _bisected(at, low, high, side):
    """Between neighbouring doubles, the one where less is missing."""
    for _ in range(_BISECTIONS):
        middle = low + (high - low)/2
        if not middle.size or np.all((middle == low) | (middle == high)):
            break
        before = np.sign(at(middle)) == side
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return np.where(np.abs(at(low)) < np.abs(at(high)), low, high)
