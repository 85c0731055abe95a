"""How many digits a formula's own arithmetic keeps, where it loses them, and the form that would keep them."""
from typing import NamedTuple

import numpy as np

from ..bounds import unit
from . import graph
from .exact import arithmetic, precise
from .float64 import IN_FLOAT64
from .listing import expression
from .stable import stable_form

DIGITS = 60
LOST = 8.0                  # ULP that are worth a word, and as many times what rounding x would do
WIDE = 60                   # characters of an expression that are shown
ENDS = {"float32": 110.0, "float64": 760.0}         # beyond which exponentials are 0 or infinite


class Loss(NamedTuple):
    """The largest error of a formula.

    Attributes
    ----------
    ulps, x, got, exact : float
        In units in the last place; where, what the kernel gives there and what is right.
    count : int
        Of the arguments that were examined.
    lost : bool
        Whether arithmetic is to blame: more than LOST, and than LOST times what a rounding of x would do.
    cause : str
        The operation that loses the digits and how, or "".
    better : str
        What to write in its place, or "" if none is known.
    """
    ulps: float
    x: float
    got: float
    exact: float
    count: int
    lost: bool
    cause: str = ""
    better: str = ""


def arguments(dtype):
    """Numbers of both signs and all sizes, and all along the line on which exponentials are neither 0 nor infinite."""
    sizes = 1.0131e-6*10.0**np.linspace(0, 9, 46)
    along = np.arange(0.3137, ENDS[dtype], ENDS[dtype]/100)
    positive = np.concatenate([sizes, along, [88.72284, 709.7828]]).astype(dtype)
    return np.concatenate([positive, -positive])


def largest_loss(call, root, slope, values, dtype, element="x"):
    """The largest error of a kernel.

    Parameters
    ----------
    call : callable
        From an array of x to the array of what the kernel gives.
    root, slope : Node
        What it computes, and the derivative of that.
    values : mapping
        The hyperparameters.
    dtype : str
    element : str
        What graphs call x.

    Returns a `Loss`. Arguments where the formula is not finite are left out; without others it is that of 0.
    """
    mp = precise(DIGITS)
    exactly = arithmetic(mp)
    held = {key: mp.mpf(float(np.dtype(dtype).type(value))) for key, value in values.items()}
    xs = arguments(dtype)
    worst, most, count = None, 0.0, 0
    for x, got in zip(xs.tolist(), call(xs).tolist()):
        exact, change = graph.evaluate([root, slope], held | {element: mp.mpf(x)}, exactly)
        if not mp.isfinite(exact):
            continue
        count += 1
        ulps = _ulps(got, exact, dtype)
        condition = float(abs(x*change/exact)) if exact and mp.isfinite(change) else 1.0
        weight = ulps/max(1.0, condition)
        if worst is None or weight > most:
            worst, most = Loss(ulps, x, got, float(exact), 0, weight > LOST), weight
    if worst is None:
        return Loss(0.0, 0.0, 0.0, 0.0, 0, False)
    worst = worst._replace(count=count)
    if not worst.lost:
        return worst
    node, cause = _cause(root, held | {element: mp.mpf(worst.x)}, exactly, dtype)
    return worst._replace(cause=cause, better=stable_form(root, node) if node else "")


def shortened(text):
    return text if len(text) <= WIDE else f"{text[:WIDE - 3]}..."


def _ulps(got, exact, dtype):
    """The error of the float `got`, in units of the exact value; 0 for an infinity that is right."""
    with np.errstate(over="ignore"):
        rounded = float(np.dtype(dtype).type(float(exact)))
    if got == rounded:
        return 0.0
    if not np.isfinite(got) or not np.isfinite(rounded):
        return np.inf
    return float(abs(got - exact)/unit(float(abs(exact)), dtype, 0.0))


def _cause(root, values, exactly, dtype):
    """(the first operation that overflows, or loses digits even of operands that are right; how) or (None, "")."""
    real = np.dtype(dtype).type
    nodes = graph.in_order(root)
    exact = dict(zip(nodes, graph.evaluate(nodes, values, exactly)))
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.op in graph.LEAVES or node.is_condition or any(operand.is_condition for operand in node.operands):
                continue
            operands = [np.float64(real(float(exact[operand]))) for operand in node.operands]
            got = real(IN_FLOAT64[node.op](*operands))
            if np.isinf(got) and np.isfinite(operands).all():
                how = "overflows"
            elif not _ulps(float(got), exact[node], dtype) > LOST/2:
                continue
            else:
                how = ("is 0/0" if np.isnan(got) else "cancels" if node.op in ("add", "sub")
                       else "multiplies the rounding of its argument")
            return node, f"{shortened(expression(node))} {how}"
    return None, ""
