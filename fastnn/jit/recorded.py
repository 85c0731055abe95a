"""What was recorded of a function is held against the function itself, called with numbers.

Tracing sees operations on numbers. It does not see `match`, `try`, `is` or `type`, nor that a number was drawn at
random or counted by a variable outside: such a function is recorded as another one. It is called twice at each point, before
anything is registered: at numbers of all sizes, at 0, and on both sides of every comparison that it made while it was
followed.
"""
import math
import random
import sys
from types import SimpleNamespace

import numpy as np

from . import graph
from .errors import FormulaError, at_line, place_of
from .float64 import IN_FLOAT64
from .meeting import crossings, pairs
from .points import allows, apart, others, points
from .symbolic import Symbolic
from .uniform import computer

POINTS = 24
EXTREME = (1e-300, 1e3, 1e300, math.inf)
BESIDE = (1e-3, 1e-7)           # of a point where a comparison changes, relative; next to 0 of 1e-3
TOLERANCE = 1e-9                # libraries' functions differ in the last digits
AMPLIFIED = 1000                # and a formula that cancels makes more of that: times its own rounding
MOST_VALUES = 8                 # sets of hyperparameters
TRIED = (0.0, 0.5, 1.0, 2.0, 3.0, 10.0, 100.0, 1e4)
SIZES = (0.0, 1e-3, 0.1, 1.0, 10.0)                                     # of gradients and state
STEPS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 100.0, 1000.0, 1e6)          # of h.t

_UNSEEN = ("a formula is traced once with symbols, which record arithmetic, comparisons and functions, but not match, "
           "try, is, type() or other questions about a number")


def check_formula(name, function, roots, seen, elements, hyperparameters, declared, arguments):
    """Raises FormulaError if `function`, of elements and hyperparameters, is not what `roots` say.

    Parameters
    ----------
    seen : symbolic.Seen
        What it asked while it was followed.
    elements : sequence of str
    hyperparameters, declared : mapping
        Their defaults, and what they may be, by name.
    arguments : mapping
        What graphs call each argument of the function, in order -> what the function calls it.
    """
    found = []
    for values in _settings(seen.conditions, hyperparameters, declared):
        for element, rest in apart(elements, declared):
            xs = _numbers()
            for pair in pairs(*roots, *seen.conditions):
                xs += _both_sides(crossings(pair, {**rest, **values}, element))
            found += [{element: x, **rest, **values} for x in dict.fromkeys(xs)]
    _compare(name, function, lambda given: function(*map(given.get, arguments)), roots, seen, found, arguments)


def check_rule(name, function, roots, seen, elements, hyperparameters, declared):
    """Raises FormulaError if `function`, a rule, is not what `roots` say.

    Parameters
    ----------
    elements : mapping
        The name of each element in the graphs, in the order of the arguments -> what the function calls it.
    seen, hyperparameters, declared
        As above; h.t is tried from 1 on.
    """
    rng, found = random.Random(14), []
    asked = [*pairs(*roots, *seen.conditions)]
    known = {"t": _Step(), **declared}
    for values in _settings(seen.conditions, {**hyperparameters, "t": 1.0}, known):
        some = [{element: rng.choice(SIZES)*rng.gauss(0, 1) for element in elements} for _ in range(POINTS)]
        some += [{element: abs(x) if element.startswith("s") else x for element, x in point.items()} for point in some]
        some += [dict.fromkeys(elements, x) for x in (0.0, 1.0, 1e-300, 1e300, math.inf, math.nan)]
        usual = some[POINTS]
        for pair in asked:
            for element in elements:
                some += [{**usual, element: x} for x in _both_sides(crossings(pair, {**usual, **values}, element))]
        found += [{**_hidden(point), **values} for point in some]

    def call(given):
        h = _Constants({key: given[key] for key in ("t", *hyperparameters)})
        return function(*(given[f"_{element}"] for element in elements), h)

    hidden = {graph.element(element): graph.element(f"_{element}") for element in elements}
    shown = {f"_{element}": called for element, called in elements.items()}
    _compare(name, function, call, graph.replaced(roots, hidden), seen, found, shown)


def _hidden(point):
    """Elements beside hyperparameters, which may be called alike."""
    return {f"_{element}": x for element, x in point.items()}


class _Step:
    """What h.t may be, as a Hyperparameter says it."""
    above, below, at_least, integer = 0, math.inf, 1, True


class _Constants:
    """h, of numbers; it cannot be set."""

    def __init__(self, values):
        self.__dict__.update(values)

    def __setattr__(self, name, value):
        raise AttributeError("hyperparameters cannot be set by a rule")


def _numbers():
    return [0.0, *points(POINTS), *EXTREME, *(-x for x in EXTREME), math.nan]


def _both_sides(where):
    """The points where a comparison changes, points beside each, and one between two of them."""
    ordered = sorted(where)
    beside = [x + sign*step*(abs(x) or 1e-3) for x in ordered for step in BESIDE for sign in (-1, 1)]
    return ordered + beside + [(a + b)/2 for a, b in zip(ordered, ordered[1:])]


def _settings(conditions, hyperparameters, declared):
    """Values of the hyperparameters: the defaults, others, and such that each comparison of them goes both ways."""
    found = [dict(hyperparameters), *others({key: x for key, x in hyperparameters.items() if key != "t"}, declared)]
    found = [{**hyperparameters, **values} for values in found]
    for a, b in pairs(*conditions):
        if not (a.uniform and b.uniform):
            continue
        sides = {_side(a, b, values) for values in found}
        leaves = graph.in_order(a, b)
        numbers = [one.args[0] for one in leaves if one.op == "constant"]
        for key in (one.args[0] for one in leaves if one.op == "parameter"):
            near = [x + d for x in numbers for d in (-1e-3, 0, 1e-3)]
            for x in STEPS if key == "t" else (*TRIED, *near, *(-x for x in TRIED)):
                values = {**hyperparameters, key: x}
                side = _side(a, b, values)
                if len(found) < MOST_VALUES and side not in sides and (key not in declared or allows(declared[key], x)):
                    sides.add(side)
                    found.append(values)
    return found


def _side(a, b, values):
    with np.errstate(all="ignore"):
        left, right = graph.evaluate([a, b], values, IN_FLOAT64)
    return (bool(left < right), bool(left == right))


def _compare(name, function, call, roots, seen, found, elements):
    """`found`: the points, numbers by name; `elements`: what the function calls each, for messages."""
    first = [_outcome(call, point) for point in found]
    if seen.inverted or any(map(_is_no_float, first)):
        # of Python's bools ~ makes integers, of its floats ** makes complex numbers, and NumPy's float32 others
        found = [{key: np.float64(x) for key, x in point.items()} for point in found]
        first = [_outcome(call, point) for point in found]
    first = [_numbers_of(outcome) for outcome in first]
    second = [_numbers_of(_outcome(call, point)) for point in found]
    parameters = {one: graph.parameter(one.args[0]) for one in graph.in_order(*roots) if one.op == "element"}
    recorded = computer(graph.replaced(roots, parameters))
    refused = None

    def refuse(text, point):
        line = function.__code__.co_filename, _last_line(function, call, point)
        at = ", ".join(f"{elements.get(key, key)} = {x:.6g}" for key, x in point.items())
        raise FormulaError(at_line(line, text.format(at=at)))

    for point, a, b in zip(found, first, second):
        raised = next((one for one in (a, b) if isinstance(one, Exception)), None)
        if isinstance(raised, FormulaError):                # a symbol that was kept when it was followed
            refuse(f"{name} keeps what it is called with: called once more, {{at}}, it cannot go on", point)
        if raised:
            refused = refused or raised
        elif not _same(a, b):
            refuse(f"{name} returns {_told(a)} and then {_told(b)} for the same numbers, {{at}}: a formula can neither "
                   "be random nor count its calls", point)
    for point, a in zip(found, first):
        if isinstance(a, Exception):
            continue
        with np.errstate(all="ignore"):
            wanted = tuple(map(float, recorded(SimpleNamespace(**point))))
        if not _agree(a, wanted) and not _ill_conditioned(a, wanted, roots, point):
            refuse(f"at {{at}} {name} returns {_told(a)}, but its trace gives {_told(wanted)}: {_UNSEEN}",
                   point)
    if all(isinstance(a, Exception) for a in first) and not isinstance(refused, (ArithmeticError, ValueError)):
        raise FormulaError(at_line(place_of(function), (
            f"{name} cannot be called with numbers: {type(refused).__name__}: {refused}")))


def _outcome(call, point):
    """What the function returns, as a tuple, or the error that it raises."""
    try:
        with np.errstate(all="ignore"):
            returned = call(point)
    except Exception as error:          # of numbers that it has no value for, 1/0 and the like
        return error
    return returned if isinstance(returned, tuple) else (returned,)


def _numbers_of(outcome):
    return outcome if isinstance(outcome, Exception) else tuple(map(_number, outcome))


def _is_no_float(outcome):
    return isinstance(outcome, tuple) and any(
        isinstance(one, np.floating) and one.itemsize < 8 or _is_complex(one) for one in outcome)


def _is_complex(value):
    return isinstance(value, complex) or isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "c"


def _number(value):
    """A float; NaN for a complex number; a text that shows it for what is no number."""
    if _is_complex(value):
        return math.nan
    if value is None or isinstance(value, (str, Symbolic)):
        return repr(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return repr(value)


def _same(a, b):
    """To the last bit."""
    return len(a) == len(b) and all(x == y or x != x and y != y for x, y in zip(a, b))


def _agree(a, b):
    return len(a) == len(b) and all(
        x == y or isinstance(x, float) and (x != x and y != y or abs(x - y) <= TOLERANCE*max(abs(x), abs(y)) < math.inf)
        for x, y in zip(a, b))


def _ill_conditioned(a, recorded, roots, point):
    """Whether the formula itself has no more digits there: with other functions' last bits it gives something else."""
    if len(a) != len(recorded) or not all(isinstance(x, float) for x in a):
        return False
    with np.errstate(all="ignore"):
        others = tuple(map(float, graph.evaluate(roots, point, IN_FLOAT64)))
    if _agree(a, others) or not _agree(others, recorded):
        return True
    from .exact import arithmetic, precise
    mp = precise(50)
    exact = graph.evaluate(roots, {key: mp.mpf(x) for key, x in point.items()}, arithmetic(mp))
    return all(_agree((x,), (y,)) or abs(x - y) <= AMPLIFIED*abs(y - z) < math.inf
               for x, y, z in zip(a, recorded, exact))


def _told(values):
    return ", ".join(f"{x:.10g}" if isinstance(x, float) else x for x in values)


def _last_line(function, call, point):
    """The line of the function that is run last at that point."""
    lines = [function.__code__.co_firstlineno]

    def watch(frame, event, _):
        if frame.f_code is function.__code__ and event == "line":
            lines.append(frame.f_lineno)
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        _outcome(call, point)
    finally:
        sys.settrace(before)
    return lines[-1]
