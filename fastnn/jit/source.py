"""From graphs to the source of a kernel: Python that numba compiles, one statement a node, every number of one dtype.

What the source calls besides the functions of functions.py (as f_exp, ...) is in lowering.py. Nothing in it depends on
the dtype or on where the formula was written, so that it can be part of a key on disk.
"""
import math
from typing import NamedTuple

from . import graph
from .functions import FUNCTIONS

MOST_PARAMETERS = 16        # as in fastnn/core/elementwise.pyx
BLOCK_STEP = 16             # as in fastnn/core/loops.pxd

_TEXTS = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}", "abs": "abs({})",
          "lt": "{} < {}", "le": "{} <= {}", "eq": "{} == {}", "ne": "{} != {}",
          "and": "{} & {}", "or": "{} | {}", "not": "not {}", "select": "select({}, {}, {})"}
_TEXTS |= {name: f"f_{name}({', '.join(['{}'] * row.arity)})" for name, row in FUNCTIONS.items()}


def _over(a, b):
    """a / b as IEEE 754 has it."""
    if b:
        return a / b
    return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)


# what nodes that depend on no element are computed with, in double precision
ARITHMETIC = {name: row.evaluate for name, row in FUNCTIONS.items()} | {
    "constant": float, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": _over,
    "neg": lambda a: -a, "abs": abs, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b, "and": lambda a, b: a and b, "or": lambda a, b: a or b, "not": lambda a: not a,
    "select": lambda condition, a, b: a if condition else b}


def hoisted(roots):
    """The largest parts of graphs that are the same for all elements and depend on a parameter, each once."""
    uniform = [current for current in graph.in_order(*roots) if current.uniform]
    fixed = _fixed(uniform)
    variable = {current for current in uniform if current not in fixed}
    outer = {operand for current in graph.in_order(*roots) if not current.uniform for operand in current.operands}
    return [current for current in uniform if current in variable and (current in outer or current in roots)]


def _fixed(uniform):
    """Those of nodes in order that depend on no parameter."""
    fixed = set()
    for current in uniform:
        if current.op == "constant" or current.op not in graph.LEAVES and fixed.issuperset(current.operands):
            fixed.add(current)
    return fixed


def evaluate(nodes, parameters):
    """The values of hoisted nodes, in double precision; a condition is 1 or 0."""
    return [float(value) for value in graph.evaluate(nodes, parameters, ARITHMETIC)]


def _value(fixed):
    """The number, or the truth, of a node that depends on no parameter."""
    return graph.evaluate([fixed], {}, ARITHMETIC)[0]


class Kernel(NamedTuple):
    """The source of a function `kernel`; the nodes whose values it finds in h; for each line that of the formula."""
    source: str
    hoisted: list
    lines: list


class Writer:
    """Writes statements for graphs whose hoisted nodes are known.

    Parameters
    ----------
    roots : sequence of Node
        All graphs that the kernel computes.
    parameters : str
        The name of the pointer to the hoisted values.
    """

    def __init__(self, roots, parameters="h"):
        self.hoisted = hoisted(roots)
        self._parameters = parameters
        self._names = {current: f"p{i}" for i, current in enumerate(self.hoisted)}
        self._fixed = _fixed([current for current in graph.in_order(*roots) if current.uniform])
        self._constants = {}        # text -> name

    def opening(self):
        """The lines that read the hoisted values, for the start of the kernel."""
        return [(f"p{i} = {self._parameters}[{i}]" + (f" != {self._constant(0.0)}" if current.is_condition else ""), None)
                for i, current in enumerate(self.hoisted)]

    def statements(self, roots, elements):
        """The lines that compute `roots`, each with the formula's line, and the names of the results.

        Parameters
        ----------
        roots : sequence of Node
        elements : mapping
            The name of the variable for each element's name.
        """
        known = self._names.keys() | self._fixed
        names, lines = dict(self._names), []
        for current in graph.in_order(*roots, leaves=known):
            if current in self._names:
                continue
            if current in self._fixed:
                names[current] = self._known(current)
            elif current.op == "element":
                names[current] = elements[current.args[0]]
            elif current.op == "select" and current.args[0] in self._fixed:
                condition, yes, no = current.args
                names[current] = names[yes if _value(condition) else no]
            else:
                names[current] = f"v{len(lines)}"
                operation = _TEXTS[current.op].format(*(names[operand] for operand in current.args))
                lines.append((f"{names[current]} = {operation}", current.line))
        return lines, [names[root] for root in roots]

    def _known(self, current):
        value = _value(current)
        return str(bool(value)) if current.is_condition else self._constant(float(value))

    def _constant(self, value):
        text = repr(value) if math.isfinite(value) else repr(str(value))
        return self._constants.setdefault(text, f"k{len(self._constants)}")

    def kernel(self, arguments, body):
        """All of it: `body` are lines with the formula's lines, indented as in the function."""
        top = [(f"{name} = real({text})", None) for text, name in self._constants.items()]
        lines = [*top, (f"def kernel({', '.join(arguments)}):", None),
                 *((f"    {text}", line) for text, line in [*self.opening(), *body])]
        return Kernel("\n".join(text for text, _ in lines) + "\n", self.hoisted, [line for _, line in lines])


def indented(lines, depth):
    return [("    " * depth + text, line) for text, line in lines]


ELEMENTWISE = {"order": "int32", "x": "real*", "y": "real*", "out": "real*", "n": "intp", "h": "real*"}


def elementwise(value, first, second):
    """The kernel of f, f' and f'' with the signature of fastnn/core/kernels.pxd."""
    orders = [value, first, second, graph.node("mul", first, graph.element("y"))]
    writer = Writer(orders)
    body = [(f"n = n & -{BLOCK_STEP}", None)]
    for order, root in enumerate(orders):
        lines, (result,) = writer.statements([root], {"x": "x_i", "y": "y_i"})
        used = {current.args[0] for current in graph.in_order(root, leaves=writer.hoisted) if current.op == "element"}
        body += [("else:" if order == 3 else f"{'el' if order else ''}if order == {order}:", None),
                 ("    for i in range(n):", None),
                 *((f"        {name}_i = load_{name}({name}, i)", None) for name in sorted(used)),
                 *indented(lines, 2),
                 (f"        store_out(out, i, {result})", None)]
    return writer.kernel(ELEMENTWISE, body)
