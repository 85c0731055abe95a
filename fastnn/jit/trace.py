"""From a Python function to a graph: the function is run on symbolic numbers.

Its globals are seen through a glass: math, numpy and scipy.special become the functions of functions.py, functions of
the user's own are traced like the formula. An `if` on a number is followed on both sides, one after the other, and the
results are joined by a select.
"""
import builtins
import threading
from types import CellType, CodeType, FunctionType, ModuleType

from . import graph
from .errors import FormulaError, at_line, place_of
from .symbolic import (
    FOLLOWED, Float, Undecided, assuming, is_formula, largest, least, number, qualified_name, shown_function, where)

MOST_DECISIONS = 32         # on one way through the function; a loop whose end depends on the numbers never stops asking
MOST_WAYS = 256
MODULES = ("math", "numpy", "scipy.special")


def _import(name, *args, **kwds):
    return _shown(builtins.__import__(name, *args, **kwds))


_BUILTINS = dict(vars(builtins), min=least, max=largest, float=Float, pow=lambda a, b: a ** b, __import__=_import)


class _Module:
    """A module as the formula sees it: math, numpy, scipy.special, or one with functions of the user's."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        return _shown(getattr(self._module, name), f"{self._module.__name__}.{name}")


def _shown(value, name=None):
    """What the formula sees in place of a value that it uses by name."""
    if isinstance(value, ModuleType):
        return _Module(value)
    if not isinstance(value, (type, FunctionType)):
        value = getattr(value, "__wrapped__", value)        # a registered formula, a function that is cached
    if isinstance(value, FunctionType) and value.__module__.partition(".")[0] not in ("numpy", "scipy", "fastnn"):
        return _seen(value)
    if value is where or isinstance(value, type) or not callable(value):
        return value
    name = name or qualified_name(value)
    return shown_function(value, name) if name.rpartition(".")[0] in MODULES else value


def _names(code):
    """The names that a function and those inside of it look up in their globals."""
    found = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= _names(inner)
    return found


_being_seen = {}                # functions that call each other
_seeing = threading.RLock()


def _seen(function):
    """A copy of the function that sees its globals and its closure through the glass."""
    with _seeing:
        if function in _being_seen:
            return _being_seen[function]
        space = {"__builtins__": _BUILTINS, "__name__": function.__globals__.get("__name__"), FOLLOWED: True}
        cells = tuple(CellType() for _ in function.__closure__ or ())
        copy = FunctionType(function.__code__, space, function.__name__, function.__defaults__, cells)
        copy.__kwdefaults__ = function.__kwdefaults__
        _being_seen[function] = copy
        try:
            for name in _names(function.__code__) & function.__globals__.keys():
                space[name] = _shown(function.__globals__[name])
            for cell, original in zip(cells, function.__closure__ or ()):
                try:
                    cell.cell_contents = _shown(original.cell_contents)
                except ValueError:          # nothing in it yet
                    pass
        finally:
            del _being_seen[function]
        return copy


def trace(function, *args):
    """The nodes of what `function` returns.

    Parameters
    ----------
    function : Python function
    args
        What it is called with: Symbolic numbers, or objects with such attributes.

    Returns
    -------
    list of Node
        One, or as many as there are in the tuple that the function returns.

    Raises
    ------
    FormulaError
        Where the function cannot be followed; names its line.
    """
    seen, ways = _seen(function), 0

    def follow(assumed, line=None):
        nonlocal ways
        ways += 1
        if len(assumed) > MOST_DECISIONS or ways > MOST_WAYS:
            raise FormulaError(at_line(line, "too many paths through the formula: does the end of a loop depend on a number?"))
        try:
            with assuming(assumed):
                returned = seen(*args)
        except Undecided as open_question:
            condition, line = open_question.condition, open_question.line
        except FormulaError:
            raise
        except Exception as error:
            raise FormulaError(_told(error)) from error
        else:
            returned = returned if isinstance(returned, tuple) else (returned,)
            nodes = [number(value) for value in returned]
            if None in nodes:
                raise FormulaError(at_line(
                    place_of(function), f"{function.__name__} returns {returned[nodes.index(None)]!r}, no number"))
            return nodes
        yes = follow({**assumed, condition: True}, line)
        no = follow({**assumed, condition: False}, line)
        if len(yes) != len(no):
            raise FormulaError(at_line(line, f"{function.__name__} returns {len(yes)} numbers or {len(no)}"))
        return [graph.select(condition, a, b) for a, b in zip(yes, no)]

    return follow({})


def _told(error):
    """An exception inside of the formula, with the last line of it."""
    line, step = None, error.__traceback__
    while step is not None:
        if is_formula(step.tb_frame):
            line = step.tb_frame.f_code.co_filename, step.tb_lineno
        step = step.tb_next
    return at_line(line, f"{type(error).__name__}: {error}")
