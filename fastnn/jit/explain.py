"""What became of a formula: its derivatives, what is computed once a call, and whether its loops are vectorised."""
import re
from inspect import Signature
from itertools import count, islice

from .. import core
from ..optimizers import Optimizer
from . import graph, kernels
from .compiler import compiled, processor_name
from .digits import largest_loss
from .errors import at_line
from .listing import listing
from .names import catalogue_of, registered_in
from .partials import held
from .points import apart

_STORE = re.compile(r"\bstore <(\d+) x (?:float|double)>")
_SCALAR = re.compile(r"\bstore (?:float|double) ")
_CALL = re.compile(r"\bcall [^@]*@(?!llvm\.)([\w.]+)\(")
_MEMORY = re.compile(r"\bcall [^@]*@llvm\.mem(cpy|set)\b")
_numbers = count()
BESIDE_FIRST = 3            # values of other elements beside the first one


class Explanation(str):
    """A report, shown as it is by an interactive session."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


def explain(name: str) -> Explanation:
    """A report on a formula that has been registered.

    It shows f, f' and f'' (or an optimizer's rule) as they are computed, which hyperparameters' expressions are computed
    once a call, and for float32 and float64 whether LLVM vectorised each loop, how wide, and if not, why. Of an
    activation it shows the largest errors of f and f' in exact arithmetic, and where the formula itself loses digits -
    an exponential overflows, a difference cancels - the operation that does, and a form that keeps them.

    Returns an `Explanation`, a str. Raises ValueError for a name that is not known. Compiles the loops for this, which takes
    about a second.
    """
    found = registered_in(name)
    if not found:
        return Explanation(f"{catalogue_of(name)[name].name} belongs to fastnn's own catalogue. Its kernels were compiled with fastnn; "
                           f"those for {core.isa()} are in use.")
    return Explanation("\n\n".join(_report(registry[name]) for registry in found))


def _report(cls):
    if not issubclass(cls, Optimizer):
        formulas, kernel, loops = cls._compiled.formulas, cls._compiled.kernel, cls._compiled.loops
    else:
        delta, *state = cls._formula.roots
        formulas = {"delta": delta, **{f"new {slot}": node for slot, node in zip(cls.slots, state)}}
        kernel = kernels.rule(delta, state)
        loops = {case: title for case, title in enumerate(("delta", "step")) if case in kernel.loops}
    own = Signature([each for each in cls.__signature__.parameters.values() if each.name in cls.hyperparameters])
    lines = [f"{cls.name}: {own}", "", *listing(formulas)]
    once = [node for node in kernel.hoisted if node.op not in graph.LEAVES]
    if once:
        lines += ["", "once a call, in double precision:", *listing({f"p{i + 1}": node for i, node in enumerate(once)})]
    for dtype in ("float32", "float64"):
        lines += ["", f"{dtype}, for {processor_name()}:"]
        width = max(map(len, loops.values()))
        lines += [f"{title:{width}}  {_verdict(kernel, case, dtype)}" for case, title in loops.items()]
        if not issubclass(cls, Optimizer):
            lines += _digits(cls, dtype)
    return "\n".join(lines)


def _digits(cls, dtype):
    """What the kernels keep of the digits of `dtype` with the default hyperparameters: of an activation f and f', of what
    has several elements all of them, along the first one."""
    declared = {key: vars(cls)[key] for key in cls._of_formula}
    values = {key: int(each.example()) if each.integer else each.example() for key, each in declared.items()}
    if hasattr(cls, "_elements"):
        return _digits_beside(cls, values, dtype)
    value, first, second = cls._compiled.formulas.values()
    act = cls(**values)
    return [line for title, call, root, slope in (("f", act.forward, value, first), ("f'", act.backward, first, second))
            for line in _told(title, largest_loss(call, root, slope, values, dtype))]


def _digits_beside(cls, values, dtype):
    """The worst of some values of the other elements."""
    from .derivatives import derived
    lines = []
    for title, root in cls._compiled.formulas.items():
        found = []
        for element, rest in islice(apart(cls._elements), BESIDE_FIRST):
            graph_of = held(root, cls._elements, element)
            call = cls._caller(title, values, rest)
            loss = largest_loss(call, graph_of, derived(graph_of, element), values | rest, dtype, element)
            found.append((loss.lost, loss.ulps, rest, loss))
        *_, rest, loss = max(found, key=lambda one: one[:2])
        lines += _told(title, loss._replace(count=sum(one[-1].count for one in found)), cls._elements[0], rest)
    return lines


def _told(title, loss, element="x", rest=()):
    if not loss.lost:
        return [f"{title:2} is within {loss.ulps:.3g} ULP at {loss.count} arguments"]
    beside = "".join(f", {key} = {x:g}" for key, x in dict(rest).items())
    where = f"{title:2} loses digits: {loss.got:.4g} at {element} = {loss.x:.6g}{beside} is {loss.exact:.4g}"
    return [where, *(f"   {line}" for line in (loss.cause, loss.better) if line)]


def _verdict(kernel, case, dtype):
    """What LLVM made of one loop of a kernel, compiled by itself."""
    loop = kernel.loops[case]
    from .callback import optimised
    name = f"fastnn_explained_{next(_numbers)}"
    alone = compiled(kernel._replace(loops={case: loop}), dtype, name)
    code = str(optimised(alone).get_function(name))
    lanes = [int(width) for width in _STORE.findall(code)]
    called = sorted(set(_CALL.findall(code)))
    if lanes:
        apart = "; arguments out of the reach of its functions one at a time" if called else ""
        return f"vectorised, {max(lanes)} elements at a time{apart}"
    if not _SCALAR.search(code):
        kind = _MEMORY.search(code)
        return "memory is copied" if kind and kind[1] == "cpy" else "memory is filled"
    if not called:
        return "not vectorised: LLVM found it not worth while"
    from .lowering import NEAR
    nodes = [node for node in graph.in_order(*loop.roots) if node.op in NEAR and not node.uniform]
    return "\n    ".join(["not vectorised:", *(
        at_line(node.line, f"{node.op} calls a function for some arguments, which stops LLVM") for node in nodes)])
