"""What depends on hyperparameters and the number of the step alone: computed once a call, in double precision."""
import math

import numpy as np

from . import graph
from .functions import FUNCTIONS


def _over(a, b):
    """a / b as IEEE 754 has it."""
    if b:
        return a/b
    return math.nan if a == 0 or a != a else math.copysign(math.inf, a)*math.copysign(1.0, b)


# of Python's floats, as IEEE 754 has it: nothing raises
ARITHMETIC = {name: row.evaluate for name, row in FUNCTIONS.items()} | graph.ARITHMETIC | graph.LOGIC | {
    "constant": float, "div": _over}


def hoisted(roots):
    """The largest parts of graphs that are the same for all elements and depend on a parameter, each once."""
    ordered = graph.in_order(*roots)
    fixed = set()
    for current in ordered:
        if current.op == "constant" or current.op not in graph.LEAVES and fixed.issuperset(current.operands):
            fixed.add(current)
    outer = {operand for current in ordered if not current.uniform for operand in current.operands}.union(roots)
    return [current for current in ordered if current.uniform and current not in fixed and current in outer]


_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "eq": "==", "ne": "!=", "and": "and",
          "or": "or"}
_WRITTEN = {"neg": "-{}", "not": "not {}", "abs": "abs({})", "select": "{1} if {0} else {2}"}


def _quick(name):
    """The function of Python's math that does the same or raises, else the row's own."""
    for qualified in FUNCTIONS[name].callables:
        module, _, attribute = qualified.rpartition(".")
        if module == "math" and attribute not in ("floor", "ceil", "trunc"):        # which give integers
            return getattr(math, attribute, FUNCTIONS[name].evaluate)
    return FUNCTIONS[name].evaluate


def computer(roots, stepped=False):
    """A function that computes uniform nodes.

    It takes an object whose attributes are the hyperparameters; if it is `stepped` and they depend on t, the number of
    the step as well. It returns a tuple of floats, and of bools for conditions. Where Python would raise, the result is
    that of IEEE 754: an infinity or NaN.
    """
    roots = list(roots)
    space, lines, names, parameters = {}, [], {}, []
    for current in graph.in_order(*roots):
        operands = [names[operand] for operand in current.operands]
        name = names[current] = f"n{len(names)}"
        if current.op == "constant":
            space[name] = current.args[0]
            continue
        if current.op == "parameter":
            parameters += current.args
            written = "float(t)" if stepped and current.args[0] == "t" else f"h.{current.args[0]}"
        elif current.op in _INFIX:
            written = f" {_INFIX[current.op]} ".join(operands)
        elif current.op in _WRITTEN:
            written = _WRITTEN[current.op].format(*operands)
        else:
            space[current.op] = _quick(current.op)
            written = f"{current.op}({', '.join(operands)})"
        lines.append(f"        {name} = {written}\n")

    def as_ieee(h, *t):
        known = {name: float(t[0] if t and name == "t" else getattr(h, name)) for name in parameters}
        with np.errstate(all="ignore"):         # the table's functions give NumPy's numbers
            return tuple(graph.evaluate(roots, known, ARITHMETIC))

    space["as_ieee"] = as_ieee
    taken = "h, t" if stepped and "t" in parameters else "h"
    returned = "".join(f"{names[root]}, " for root in roots)
    exec(f"def compute({taken}):\n    try:\n{''.join(lines)}        return ({returned})\n"
         f"    except (ArithmeticError, ValueError):\n        return as_ieee({taken})\n", space)
    return space["compute"]
