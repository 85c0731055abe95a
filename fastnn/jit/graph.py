"""Formulas as graphs: nodes that are operations, made once for equal operations, and the ways to go through them.

A leaf is a `constant`, an `element` (of an array), a `parameter` (a hyperparameter, or a step's number) or an `argument`
(a number that a kernel is called with). A node that depends on no element is uniform: it is computed once a call, in
double precision, and not once an element.

Operations: add, sub, mul, div, neg, abs; lt, le, eq, ne, and, or, not, which make conditions; select(condition, a, b);
and the functions of functions.py by their names. Both sides of a select are computed, as SIMD does it.
"""
import operator
import threading
from weakref import WeakValueDictionary

CONDITIONS = {"lt", "le", "eq", "ne", "and", "or", "not"}
LEAVES = {"constant", "element", "parameter", "argument"}
# for `evaluate`: the operations that are the same for numbers of all kinds
ARITHMETIC = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg, "abs": operator.abs,
              "lt": operator.lt, "le": operator.le, "eq": operator.eq, "ne": operator.ne}
# and those that are the same for numbers that are no arrays
LOGIC = {"and": lambda a, b: a and b, "or": lambda a, b: a or b, "not": operator.not_,
         "select": lambda condition, a, b: a if condition else b}

_nodes = WeakValueDictionary()
_making = threading.Lock()


class Node:
    """One operation. Made by `node` and the functions that are called like leaves: equal ones are the same object.

    Attributes
    ----------
    op : str
    args : tuple
        The nodes that it works on; of a leaf the value or the name.
    uniform : bool
        Whether it is the same for all elements.
    line : tuple of str and int, or None
        File and line of the formula that asked for it last: formulas share nodes.
    """

    __slots__ = ("__weakref__", "args", "line", "op", "uniform")

    @property
    def is_condition(self):
        return self.op in CONDITIONS

    @property
    def operands(self):
        """The nodes that it works on; a leaf has none."""
        return () if self.op in LEAVES else self.args

    def __repr__(self):
        return f"{self.op}({', '.join(map(repr, self.args))})"


def _made(key, op, args, uniform, line):
    with _making:
        found = _nodes.get(key)
        if found is None:
            found = Node()
            found.op, found.args, found.uniform, found.line = op, args, uniform, None
            _nodes[key] = found
        found.line = line or found.line
    return found


def constant(value):
    """A number that is written in the formula."""
    value = float(value)
    return _made(("constant", value.hex()), "constant", (value,), True, None)       # 0.0 and -0.0 are two


def element(name):
    """An element of the array `name`."""
    return _made(("element", name), "element", (name,), False, None)


def parameter(name):
    """A hyperparameter, or the number of the step."""
    return _made(("parameter", name), "parameter", (name,), True, None)


def argument(name):
    """A number that a kernel is called with, in the precision of its elements."""
    return _made(("argument", name), "argument", (name,), True, None)


def node(op, *args, line=None):
    """The operation `op` on nodes."""
    return _made((op, *map(id, args)), op, args, all(arg.uniform for arg in args), line)


def select(condition, yes, no):
    return yes if yes is no else node("select", condition, yes, no)


def power(base, exponent, line=None):
    """base to a whole number, by squaring."""
    if exponent < 0:
        return node("div", constant(1), power(base, -exponent, line), line=line)
    result = None
    while exponent:
        if exponent & 1:
            result = base if result is None else node("mul", result, base, line=line)
        exponent >>= 1
        if exponent:
            base = node("mul", base, base, line=line)
    return constant(1) if result is None else result


def in_order(*roots, leaves=()):
    """All nodes below `roots`, operands before what works on them. What is below `leaves` is left out."""
    seen, ordered, stack = set(), [], [(root, False) for root in reversed(roots)]
    while stack:
        current, ready = stack.pop()
        if ready:
            ordered.append(current)
        elif current not in seen:
            seen.add(current)
            stack.append((current, True))
            if current not in leaves:
                stack.extend((operand, False) for operand in reversed(current.operands))
    return ordered


def evaluate(roots, values, arithmetic):
    """The values of `roots`.

    Parameters
    ----------
    roots : sequence of Node
    values : mapping
        A number for each name of an element or a parameter.
    arithmetic : mapping
        A callable for each operation, and for "constant".
    """
    found = {}
    for current in in_order(*roots):
        if current.op == "constant":
            found[current] = arithmetic["constant"](current.args[0])
        elif current.op in LEAVES:
            found[current] = values[current.args[0]]
        else:
            found[current] = arithmetic[current.op](*(found[operand] for operand in current.args))
    return [found[root] for root in roots]


def replaced(roots, leaves):
    """The same graphs with other nodes in place of some leaves, a mapping. Nothing is simplified."""
    found = {}
    for current in in_order(*roots):
        if current in leaves or current.op in LEAVES:
            found[current] = leaves.get(current, current)
        else:
            found[current] = node(current.op, *(found[operand] for operand in current.args), line=current.line)
    return [found[root] for root in roots]


def dumped(roots):
    """Graphs as text: a line a node, then one with the numbers of the roots. Equal graphs give equal texts."""
    numbers, lines = {}, []
    for current in in_order(*roots):
        if current.op == "constant":
            args = [current.args[0].hex()]
        else:
            args = current.args if current.op in LEAVES else [str(numbers[operand]) for operand in current.args]
        numbers[current] = len(lines)
        lines.append(" ".join([current.op, *args]))
    return "\n".join([*lines, " ".join(str(numbers[root]) for root in roots)])


def undumped(text):
    """The nodes of what `dumped` wrote."""
    *lines, roots = text.split("\n")
    made = []
    for line in lines:
        op, *args = line.split(" ")
        if op == "constant":
            made.append(constant(float.fromhex(args[0])))
        elif op in LEAVES:
            made.append({"element": element, "parameter": parameter, "argument": argument}[op](args[0]))
        else:
            made.append(node(op, *(made[int(number)] for number in args)))
    return [made[int(number)] for number in roots.split(" ")]
