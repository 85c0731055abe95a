"""What registration makes of a Python function: it is followed, checked, and bound to a class of the catalogue."""
import functools
from inspect import Parameter, signature
from types import FunctionType, new_class
from typing import Any

from ..hyperparameters import Choice
from . import graph
from .compiler import compile_kernels
from .errors import FormulaError, at_line, place_of
from .kernels import MOST_PARAMETERS
from .names import class_name, declared
from .recorded import check_formula
from .symbolic import Symbolic, noting
from .trace import trace
from .uniform import computer


def checked_hyperparameters(hyperparameters, base, kind, reserved=()):
    """Name -> Hyperparameter. Raises TypeError, ValueError for what cannot be one of a class made of `base`."""
    return {name: _declared(name, default, base, kind, reserved) for name, default in hyperparameters.items()}


def _declared(name, default, base, kind, reserved):
    if name.startswith("_") or name in reserved or hasattr(base, name):
        raise ValueError(f"a hyperparameter cannot be called {name!r}: {kind} use that name")
    if isinstance(default, Choice):
        raise TypeError(f"{name} must be a number: it is part of a formula")
    return declared(name, default)


class Formula:
    """A function that has been registered. It can be called as before, with numbers.

    Attributes
    ----------
    name : str
    entry : type
        What its name makes an object of.
    """

    def __init__(self, name, function, leading, hyperparameters, learned=None):
        """leading: what the function's first arguments are, for messages; they and the keys of `learned`, like
        `hyperparameters` names with their ranges, differ from element to element."""
        learned = learned or {}
        self.name, self._function, self._leading, self._hyperparameters = name, function, leading, hyperparameters
        self._ranges = {**learned, **hyperparameters}
        self._defaults = {key: each.example() for key, each in hyperparameters.items()}
        names = arguments_of(function, leading, self._ranges)
        self._elements = [*self._called(names[:len(leading)]), *learned]
        self._value, = self._traced(function, 1)
        functools.update_wrapper(self, function, updated=())

    def _called(self, names):
        """What graphs call the leading elements."""
        return names

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        return self._function(*args, **kwds)

    def __repr__(self):
        return f"<the formula of {self.name!r}>"

    def _class_of(self, base, kernels, hyperparameters=None, **more):
        """The class of the catalogue."""
        def body(space):
            space.update(self._hyperparameters if hyperparameters is None else hyperparameters)
            space.update(name=self.name, kernel=None, _compiled=kernels, _of_formula=tuple(self._hyperparameters),
                         **more, __doc__=self._function.__doc__, __module__=self._function.__module__)
        return new_class(class_name(self.name), (base,), exec_body=body)

    def _traced(self, function, results):
        """The nodes, so many, that a function of the elements and the hyperparameters returns."""
        names = arguments_of(function, self._leading, self._ranges)
        keys = [*self._elements[:len(self._leading)], *names[len(self._leading):]]
        symbols = [graph.element(key) if key in self._elements else graph.parameter(key) for key in keys]
        with noting() as seen:
            roots = trace(function, *map(Symbolic, symbols))
        if len(roots) != results:
            wanted = "one" if results == 1 else f"{results}, the derivatives in {', '.join(self._elements)}"
            raise FormulaError(at_line(place_of(function), (
                f"{function.__name__} returns {len(roots)} number{'s' if len(roots) > 1 else ''}, not {wanted}")))
        check_formula(self.name, function, roots, seen, self._elements, self._defaults, self._ranges,
                      dict(zip(keys, names)))
        return roots


def arguments_of(function, leading, named):
    """The names of a function's arguments. Raises TypeError unless they are so many and those that are named, in any order."""
    if not isinstance(function, FunctionType):
        raise TypeError(f"a formula must be a Python function, not {function!r}")
    arguments = signature(function).parameters.values()
    names = [each.name for each in arguments]
    plain = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    if (len(names) < len(leading) or any(each.kind not in plain for each in arguments)
            or set(names[len(leading):]) != set(named)):
        wanted = ", ".join([*leading, *named])
        said = f"{function.__name__} must take ({wanted}), not {signature(function)}"
        if others := [name for name in names[len(leading):] if name not in named]:
            said += f": a hyperparameter has a default, {others[0]}=1.0"
            if leading == ["x"] and len(others) == 1:
                said += "; the two arguments of a gated unit are called a and b"
        raise TypeError(at_line(place_of(function), said))
    return names


class Underivable(Exception):
    """A derivative that the chain rule does not find. `error`: the FormulaError that says so."""

    def __init__(self, error):
        self.error = error


class Missing:
    """In place of kernels until the derivative that could not be derived is given."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        raise self._error.with_traceback(None)


class Kernels:
    """What is computed, as graphs and, from the first use on, as machine code.

    Attributes
    ----------
    formulas : dict
        What it is called in a report -> its node.
    kernel : kernels.Kernel
    loops : dict
        The case of a loop -> what it is called in a report.
    parameters : function
        From an object with the hyperparameters to what the kernel reads of them.
    """

    def __init__(self, formulas, kernel, loops):
        self.formulas, self.kernel, self.loops = formulas, kernel, loops
        if len(kernel.hoisted) > MOST_PARAMETERS:
            *some, last = formulas
            value = next(iter(formulas.values()))
            raise FormulaError(at_line(value.line, (
                f"{', '.join(some)} and {last} depend on {len(kernel.hoisted)} numbers that are computed of "
                f"hyperparameters alone; {MOST_PARAMETERS} are possible")))
        self.parameters = computer(kernel.hoisted)

    @functools.cached_property
    def addresses(self):
        """Of the kernels for float and for double."""
        return compile_kernels(self.kernel)


def registering(register, function):
    """The decorator, or what it makes of a function that was given along with the name."""
    return register if function is None else register(function)
