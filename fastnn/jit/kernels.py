"""Kernels as data: which loops they have, what a loop reads, computes and writes. lowering.py makes LLVM's code of them.

Nothing here depends on the dtype or on where a formula was written, so that it can be part of a key on disk.
"""
from typing import NamedTuple

from . import graph
from .uniform import hoisted

MOST_PARAMETERS = 16        # as in fastnn/core/elementwise.pyx
LEARNED_BLOCK = 512         # as in fastnn/core/pair_kernels.pxd
BOTH = 6                    # f and f', as in fastnn/core/kernels.pxd
STATE = "state"             # the argument that points to the pointers to the slots
PARAMETER = graph.element("p")      # what a rule is to change


class Loop(NamedTuple):
    """One pass over all elements.

    Attributes
    ----------
    roots : list of Node
        What is computed of each. The names of elements are those of the arrays that they are read from.
    writes : list of str
        The array that each of them is written to.
    apart : bool
        Whether each root gets the bits that it has in a loop of its own. LLVM computes once what they share.
    numbers : dict of Node, or None
        Where a node's value stands for all elements: the argument that points there, and its number from there on. None:
        as the kernel's `hoisted` and `parameters` say.
    """
    roots: list
    writes: list
    apart: bool = False
    numbers: dict | None = None

    def reads(self):
        """The names of the arrays that are read, in order."""
        return [node.args[0] for node in graph.in_order(*self.roots) if node.op == "element"]


class Kernel(NamedTuple):
    """A function without a result.

    Attributes
    ----------
    arguments : dict of str
        The type of each: "real*" for an array, "real**" for STATE, "real" for a number that graphs have as an
        `argument`, "int32", or "size".
    case : str
        The argument that says which loop is run; of two, "one + 2 other", each 0 or 1.
    loops : dict
        The loop for each value of it. The last one is run for all other values, too.
    slots : list of str
        The names of the arrays that STATE points to.
    hoisted : list of Node
        The nodes whose values stand, as numbers, where the argument `parameters` points to.
    parts : dict of str
        The arrays that lie in an argument's: name -> (argument, the number of its first element).
    """
    arguments: dict
    case: str
    loops: dict
    slots: list
    hoisted: list
    parameters: str
    parts: dict = {}

    def text(self):
        """All that the machine code depends on."""
        loops = [f"{value} {loop.writes} {loop.apart} {[*(loop.numbers or {}).values()]} "
                 f"{graph.dumped([*loop.roots, *(loop.numbers or self.hoisted)])}" for value, loop in self.loops.items()]
        return "\n\n".join([f"{self.arguments} {self.case} {self.slots} {self.parameters} {self.parts}", *loops])


_ELEMENTWISE = {"order": "int32", "x": "real*", "y": "real*", "out": "real*", "second": "real*", "n": "size", "h": "real*"}


def elementwise(value, first, second):
    """The kernel of f, f' and f'' of the element "x", with the signature and the orders of fastnn/core/kernels.pxd."""
    orders = value, first, second, graph.node("mul", first, graph.element("y"))
    loops = {BOTH: Loop([value, first], ["out", "second"], apart=True)}
    loops |= {order: Loop([root], ["out"]) for order, root in enumerate(orders)}
    return Kernel(dict(_ELEMENTWISE), "order", loops, [], hoisted(orders), "h")


def loss(value, first, elements):
    """The kernel of a loss and its derivative in the first of two elements, with the same signature."""
    value, first = graph.replaced([value, first], dict(zip(map(graph.element, elements), map(graph.element, "xy"))))
    loops = {BOTH: Loop([value, first], ["out", "second"], apart=True), 0: Loop([value], ["out"]), 1: Loop([first], ["out"])}
    return Kernel(dict(_ELEMENTWISE), "order", loops, [], hoisted([value, first]), "h")


def pair(value, of_first, of_second, elements):
    """The kernel of a function of two elements, with the signature of fastnn/core/pair_kernels.pxd."""
    roots = graph.replaced([value, of_first, of_second], dict(zip(map(graph.element, elements), map(graph.element, "ab"))))
    value, *slopes = roots
    arguments = {"back": "int32", "a": "real*", "b": "real*", "g": "real*", "out": "real*", "second": "real*", "n": "size",
                 "h": "real*"}
    back = [graph.node("mul", graph.element("g"), slope) for slope in slopes]
    loops = {0: Loop([value], ["out"]), 1: Loop(back, ["out", "second"])}
    return Kernel(arguments, "back", loops, [], hoisted([value, *back]), "h")


def learned(value, slopes, element, parameters):
    """The kernel of an activation whose parameters are learned, with the signature of fastnn/core/pair_kernels.pxd.

    Parameters
    ----------
    value : Node
    slopes : sequence of Node
        The derivatives in the element, then in the parameters; without any, the kernel is not asked for them.
    element : str
    parameters : sequence of str
        The names of elements.

    Behind the parameters stands what is computed of hyperparameters.
    """
    names = {graph.element(name): f"p{k}" for k, name in enumerate(parameters)}
    of_each = {node: graph.element(name) for node, name in names.items()} | {graph.element(element): graph.element("x")}
    of_all = {**of_each, **{node: graph.argument(name) for node, name in names.items()}}
    parts = {f"{array}{k}": (array, k*LEARNED_BLOCK) for array in ("p", "dp") for k in range(len(parameters))}
    constants, loops = hoisted([value, *slopes]), {}
    for each, leaves in enumerate((of_all, of_each)):
        found, *gradients = graph.replaced([value, *slopes], leaves)
        first = len(parameters)*(LEARNED_BLOCK if each else 1)
        numbers = {node: ("p", first + i) for i, node in enumerate(constants)}
        if not each:
            numbers |= {graph.argument(name): ("p", k) for k, name in enumerate(names.values())}
        loops[2*each] = Loop([found], ["out"], numbers=numbers)
        if gradients:
            back = [graph.node("mul", graph.element("g"), gradient) for gradient in gradients]
            loops[2*each + 1] = Loop(back, ["out", *(f"dp{k}" for k in range(len(parameters)))], numbers=numbers)
    arguments = {"back": "int32", "each": "int32", "x": "real*", "p": "real*", "g": "real*", "out": "real*", "dp": "real*",
                 "n": "size"}
    return Kernel(arguments, "back + 2 each", loops, [], constants, "p", parts)


def rule(delta, state):
    """The kernel of an optimizer's rule, with the signature of fastnn/core/kernels.pxd.

    Parameters
    ----------
    delta : Node
        Of the elements "g", the gradient, "p", the parameter, and "s0", "s1" and so on, the state.
    state : sequence of Node
        The new state.

    In place the parameter is read from the target. Nowhere is it read by rules that have no use for it, which have one
    loop: there may be none.
    """
    scaled = graph.node("mul", graph.argument("scale"), graph.element("g"))
    kept = graph.node("mul", graph.argument("keep"), graph.element("target"))
    constants = hoisted([delta, *state])
    slots = [f"s{i}" for i in range(len(state))]
    changed = [(slot, new) for slot, new in zip(slots, state) if new is not graph.element(slot)]
    writes = [*(slot for slot, _ in changed), "target"]
    arguments = {"g": "real*", "p": "real*", STATE: "real**", "target": "real*", "n": "size", "c": "real*",
                 "scale": "real", "keep": "real", "in_place": "int32"}
    roots = [*(node for _, node in changed), delta]
    loops = {}
    for in_place, parameter in enumerate((PARAMETER, graph.element("target"))):
        *new, added = graph.replaced(roots, {graph.element("g"): scaled, PARAMETER: parameter})
        loops[in_place] = Loop([*new, graph.node("add", kept, added)], writes)
    return Kernel(arguments, "in_place", loops if reads_parameter(roots) else {1: loops[1]}, slots, constants, "c")


def reads_parameter(roots):
    """Whether a rule has a use for the parameter."""
    return PARAMETER in graph.in_order(*roots)
