"""Graphs as formulas that people read: what is used more than once gets a line of its own."""
from collections import Counter
from itertools import count

from . import graph

_INFIX = {"add": ("+", 3), "sub": ("-", 3), "mul": ("*", 4), "div": ("/", 4), "lt": ("<", 2), "le": ("<=", 2),
          "eq": ("==", 2), "ne": ("!=", 2), "and": ("and", 1), "or": ("or", 0)}
_UNARY = {"neg": ("-", 5), "not": ("not ", 1)}
_ATOM, _CHOICE = 6, -1


def listing(roots):
    """Lines that compute graphs.

    Parameters
    ----------
    roots : mapping
        The name of each graph -> its node.
    """
    uses = Counter(operand for node in graph.in_order(*roots.values()) for operand in node.operands)
    shared = [node for node in graph.in_order(*roots.values())
              if node.op not in graph.LEAVES and uses[node] + sum(root is node for root in roots.values()) > 1]
    taken = {node.args[0] for node in graph.in_order(*roots.values()) if node.op in graph.LEAVES}
    free = (name for name in map("v{}".format, count(1)) if name not in taken)
    names, lines = {}, []
    for node in shared:
        text, _ = _expression(node, names)
        names[node] = next(free)
        lines.append((names[node], text))
    lines += [(name, names.get(root) or _expression(root, names)[0]) for name, root in roots.items()]
    width = max(len(name) for name, _ in lines)
    return [f"{name:{width}} = {text}" for name, text in lines]


def expression(node):
    """One graph as a formula."""
    return _expression(node, {})[0]


def _expression(node, names):
    """The text of a node and how tightly it binds; operands that have a name are shown by it."""
    if node.op == "constant":
        value = node.args[0]
        text = repr(int(value)) if value.is_integer() and abs(value) < 1e6 else repr(value)
        return text, _ATOM if not text.startswith("-") else _UNARY["neg"][1]
    if node.op in graph.LEAVES:
        return node.args[0], _ATOM

    def operand(which, least):
        if which in names:
            return names[which]
        text, strength = _expression(which, names)
        return text if strength >= least else f"({text})"

    if node.op in _INFIX:
        sign, strength = _INFIX[node.op]
        right = strength + (node.op in ("sub", "div"))          # a - (b - c), but a + b + c
        return f"{operand(node.args[0], strength)} {sign} {operand(node.args[1], right)}", strength
    if node.op in _UNARY:
        sign, strength = _UNARY[node.op]
        return sign + operand(node.args[0], strength), strength
    if node.op == "select":
        condition, yes, no = node.args
        return f"{operand(yes, 0)} if {operand(condition, 0)} else {operand(no, _CHOICE)}", _CHOICE
    return f"{node.op}({', '.join(operand(each, _CHOICE) for each in node.args)})", _ATOM
