"""Numbers whose values are not known yet: what a formula does to them is recorded as a graph."""
import builtins
import math
import sys
import threading
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy

from . import graph
from .errors import FormulaError, at_line
from .functions import FUNCTIONS

LARGEST_POWER = 16                  # of whole powers that are multiplied out
FOLLOWED = "__fastnn_formula__"     # among the globals of functions that are being followed

_functions = {name: row for row in FUNCTIONS.values() for name in row.callables}


class Undecided(BaseException):
    """The way through the function depends on a condition that nothing has been assumed of yet."""

    def __init__(self, condition, line):
        self.condition, self.line = condition, line


# .assumed: a dict, condition -> bool, for each function that is being followed; .seen: what `noting` gave
_state = threading.local()


class Seen:
    """What a function asked while it was followed, whether or not its results depend on it.

    Attributes
    ----------
    conditions : list of Node
        All comparisons.
    inverted : bool
        Whether it used ~ on one, which only NumPy's bools bear.
    """

    def __init__(self):
        self.conditions, self.inverted = [], False


@contextmanager
def noting():
    """Yields a Seen, which has what is asked in this block."""
    before, _state.seen = getattr(_state, "seen", None), Seen()
    try:
        yield _state.seen
    finally:
        _state.seen = before


def _noted(condition):
    seen = getattr(_state, "seen", None)
    if seen is not None:
        seen.conditions.append(condition)
    return condition


@contextmanager
def assuming(answers):
    """Conditions of numbers are what `answers` says; asking for others raises Undecided."""
    before = getattr(_state, "assumed", None)
    _state.assumed = answers
    try:
        yield
    finally:
        _state.assumed = before


def is_formula(frame):
    """Whether it runs a function that is being followed."""
    return FOLLOWED in frame.f_globals


def _line():
    """The line of the formula that is being run: (file, number)."""
    frame = sys._getframe(2)
    while frame is not None and not is_formula(frame):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def _refuse(text):
    raise FormulaError(at_line(_line(), text))


def number(value):
    """The node of an operand of arithmetic: conditions count as 1 and 0. None for what is no number."""
    if isinstance(value, Symbolic):
        found = value.node
        return graph.select(found, graph.constant(1), graph.constant(0)) if found.is_condition else found
    if isinstance(value, (Real, numpy.bool_)) or isinstance(value, numpy.ndarray) and value.shape == ():
        try:
            return graph.constant(value)
        except (TypeError, OverflowError):      # of a dtype that is no number; a large integer
            return None
    return None


def _numbers(*values):
    nodes = [number(value) for value in values]
    if None in nodes:
        _refuse(f"{values[nodes.index(None)]!r} is no number")
    return nodes


def _condition(value):
    """The node of what is asked whether it is true."""
    if isinstance(value, Symbolic):
        found = value.node
        return found if found.is_condition else graph.node("ne", found, graph.constant(0))
    yes = graph.node("eq", graph.constant(0), graph.constant(0))
    return yes if value else graph.node("not", yes)


def _is_condition(value):
    return value.node.is_condition if isinstance(value, Symbolic) else isinstance(value, (bool, numpy.bool_))


def _operation(op, swapped=False):
    def method(self, other):
        first, second = number(self), number(other)
        if second is None:
            return NotImplemented
        if swapped:
            first, second = second, first
        found = graph.node(op, first, second, line=_line())
        return Symbolic(_noted(found) if found.is_condition else found)
    return method


def _logic(op):
    def method(self, other):
        if not (_is_condition(self) and _is_condition(other)):
            return NotImplemented
        return Symbolic(graph.node(op, _condition(self), _condition(other), line=_line()))
    return method


def _truth(op):
    """numpy's logical functions, which numbers can be given to as well."""
    return lambda a, b: Symbolic(graph.node(op, _condition(a), _condition(b), line=_line()))


def _power(base, exponent):
    whole = exponent if isinstance(exponent, (int, float)) and not isinstance(exponent, bool) else None
    base, exponent = number(base), number(exponent)
    if base is None or exponent is None:
        return NotImplemented
    if whole is not None and whole == int(whole) and abs(whole) <= LARGEST_POWER:
        return Symbolic(graph.power(base, int(whole), line=_line()))
    return Symbolic(graph.node("pow", base, exponent, line=_line()))


class Symbolic:
    """A number whose value is not known yet. Behaves like a float, and records what is done to it."""

    __slots__ = ("node",)
    __hash__ = None

    def __init__(self, node):
        self.node = node

    __add__, __radd__ = _operation("add"), _operation("add", swapped=True)
    __sub__, __rsub__ = _operation("sub"), _operation("sub", swapped=True)
    __mul__, __rmul__ = _operation("mul"), _operation("mul", swapped=True)
    __truediv__, __rtruediv__ = _operation("div"), _operation("div", swapped=True)
    __mod__, __rmod__ = (lambda self, other: _modulo(self, other)), (lambda self, other: _modulo(other, self))
    __lt__, __le__ = _operation("lt"), _operation("le")
    __gt__, __ge__ = _operation("lt", swapped=True), _operation("le", swapped=True)
    __eq__, __ne__ = _operation("eq"), _operation("ne")
    __and__ = __rand__ = _logic("and")
    __or__ = __ror__ = _logic("or")

    def __pow__(self, other):
        return _power(self, other)

    def __rpow__(self, other):
        return _power(other, self)

    def __neg__(self):
        return Symbolic(graph.node("neg", number(self), line=_line()))

    def __pos__(self):
        return Symbolic(number(self))

    def __abs__(self):
        return Symbolic(graph.node("abs", number(self), line=_line()))

    def __invert__(self):
        if not self.node.is_condition:
            _refuse("~ is for conditions")
        if getattr(_state, "seen", None) is not None:
            _state.seen.inverted = True
        return Symbolic(graph.node("not", _condition(self), line=_line()))

    def __bool__(self):
        if getattr(_state, "assumed", None) is None:
            raise FormulaError("a symbol was kept after the formula was traced; it has no value")
        condition = _noted(_condition(self))
        if condition not in _state.assumed:
            raise Undecided(condition, _line())
        return _state.assumed[condition]

    def __array_ufunc__(self, ufunc, method, *operands, **kwds):
        if method != "__call__" or kwds:
            _refuse(f"numpy.{ufunc.__name__} with {method if method != '__call__' else ', '.join(kwds)} "
                    "is no part of a formula")
        operands = [value if is_symbolic(value) else float(value) for value in operands]
        return shown_function(ufunc, qualified_name(ufunc))(*operands)

    def __array_function__(self, function, types, args, kwds):
        return shown_function(function, qualified_name(function))(*args, **kwds)

    def _no_number(self, *_):
        _refuse("the value of a number is not known while its formula is compiled: float(), int(), round(), math "
                "functions fastnn does not have, and indices need one")

    __float__ = __int__ = __index__ = __complex__ = __round__ = __len__ = __iter__ = _no_number
    __floor__ = __ceil__ = __trunc__ = _no_number

    def __repr__(self):
        return f"<{self.node!r}>"


def is_symbolic(*values):
    return any(isinstance(value, Symbolic) for value in values)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`: on numbers, on arrays, and inside of a formula."""
    if is_symbolic(condition, yes, no):
        return Symbolic(graph.select(_condition(condition), *_numbers(yes, no)))
    if isinstance(condition, (bool, int, float)):
        return yes if condition else no
    return numpy.where(condition, yes, no)


def least(*values, key=None, default=None):
    return _extreme(values, lambda new, old: new < old, builtins.min, key)


def largest(*values, key=None, default=None):
    return _extreme(values, lambda new, old: new > old, builtins.max, key)


def _extreme(values, better, plain, key):
    """As Python's min and max: a later value wins where it is better, so NaN stays only in the first place."""
    values = values[0] if len(values) == 1 else values
    if key is not None:
        return plain(values, key=key)
    found, *others = values
    for value in others:
        found = where(better(value, found), value, found)
    return found


class _Float(type):
    def __call__(cls, value=0.0):
        return +value if is_symbolic(value) else float(value)

    def __instancecheck__(cls, value):
        return is_symbolic(value) or isinstance(value, float)


class Float(float, metaclass=_Float):
    """float as a formula sees it."""


def _sign(x):
    return where(x > 0, 1, where(x < 0, -1, where(x == 0, 0, x)))


def _heaviside(x, middle):
    return where(x > 0, 1, where(x < 0, 0, where(x == 0, middle, x)))


def _logaddexp(a, b):
    rest = _call("log1p", _call("exp", -abs(a - b)))
    return where(a == b, a + math.log(2), where(a > b, a, b) + rest)


def _clip(x, low=None, high=None):
    x = x if low is None else _call("maximum", x, low)
    return x if high is None else _call("minimum", x, high)


def _modulo(x, y):
    """As Python's: the result has the sign of y."""
    rest = _call("fmod", x, y)
    return where(rest == 0, _call("copysign", 0, y), where((rest < 0) == (y < 0), rest, rest + y))


def _call(name, *args):
    return Symbolic(graph.node(name, *_numbers(*args), line=_line()))


# what is no function of functions.py, by its qualified name
_OTHERS = {"numpy.where": where, "numpy.abs": abs, "numpy.absolute": abs, "numpy.fabs": abs, "math.fabs": abs,
           "numpy.power": lambda a, b: a ** b, "math.pow": lambda a, b: a ** b, "numpy.square": lambda a: a * a,
           "numpy.add": lambda a, b: a + b, "numpy.subtract": lambda a, b: a - b, "numpy.multiply": lambda a, b: a * b,
           "numpy.divide": lambda a, b: a / b, "numpy.true_divide": lambda a, b: a / b, "numpy.negative": lambda a: -a,
           "numpy.reciprocal": lambda a: 1 / a, "numpy.less": lambda a, b: a < b, "numpy.greater": lambda a, b: a > b,
           "numpy.less_equal": lambda a, b: a <= b, "numpy.greater_equal": lambda a, b: a >= b,
           "numpy.equal": lambda a, b: a == b, "numpy.not_equal": lambda a, b: a != b,
           "numpy.logical_and": _truth("and"), "numpy.logical_or": _truth("or"),
           "numpy.logical_not": lambda a: Symbolic(graph.node("not", _condition(a), line=_line())), "numpy.sign": _sign,
           "numpy.heaviside": _heaviside,
           "numpy.logaddexp": _logaddexp, "numpy.clip": _clip, "math.isnan": lambda a: a != a,
           "numpy.isnan": lambda a: a != a, "math.isinf": lambda a: abs(a) == math.inf,
           "numpy.isinf": lambda a: abs(a) == math.inf, "math.isfinite": lambda a: abs(a) < math.inf,
           "numpy.isfinite": lambda a: abs(a) < math.inf}


def qualified_name(function):
    """As in "math.exp"; NumPy's and SciPy's functions are told apart by what numpy has."""
    name = getattr(function, "__name__", "")
    if isinstance(function, numpy.ufunc):
        return f"numpy.{name}" if getattr(numpy, name, None) is function else f"scipy.special.{name}"
    return f"{getattr(function, '__module__', None)}.{name}"


def shown_function(function, name):
    """A function of math, numpy or scipy.special as the formula sees it."""
    ours, other = _functions.get(name), _OTHERS.get(name)

    def call(*args, **kwds):
        if not is_symbolic(*args, *kwds.values()):
            return function(*args, **kwds)
        if name == "math.log" and len(args) == 2:
            return call(args[0])/call(args[1])
        if other:
            return other(*args, **kwds)
        if ours is None:
            _refuse(f"{name} is none of the functions that formulas may use")
        operands = [number(arg) for arg in args]
        if kwds or len(operands) != ours.arity or None in operands:
            _refuse(f"{name} takes {ours.arity} number{'s' if ours.arity > 1 else ''}")
        return Symbolic(graph.node(ours.name, *operands, line=_line()))
    return call
