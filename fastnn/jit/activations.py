"""Activations whose formula is a Python function: registered, traced, differentiated, and compiled at first use."""
import functools
from collections.abc import Callable
from inspect import Parameter, signature
from types import FunctionType, new_class
from typing import Any

from ..activations import Activation, _registry
from ..hyperparameters import Choice, Hyperparameter
from . import disk, graph
from .compiler import compile_kernels, require_numba
from .errors import FormulaError, at_line, place_of
from .kernels import MOST_PARAMETERS, elementwise
from .names import class_name, declared, restored
from .recorded import check_activation
from .symbolic import Symbolic, noting
from .trace import trace
from .uniform import computer


def register_act(name: str, /, *, replace: bool = False,
                 **hyperparameters: float | Hyperparameter) -> "Callable[[Callable[..., Any]], Formula]":
    """A decorator that makes an activation of a Python function: `get_act(name)` is then like a built-in one.

        @register_act("GCU", a=1.0)
        def gcu(x, a):
            return x*math.cos(a*x)

        @gcu.derivative                         # where a better form is known than the derived one
        def _(x, a):
            return math.cos(a*x) - a*x*math.sin(a*x)

    The function is called once, with symbols for one element and the hyperparameters. It may use arithmetic,
    comparisons, `if`, functions of math, numpy and scipy.special, `where`, min and max. f' and f'' are derived from it
    unless they are given by the decorators `derivative` and `second_derivative` of what it becomes; all of them are
    compared with differences of f. It is compiled for float32 and float64 when the first activation of that name is
    made, and computes what the same Python computes of floats; where that would raise - 1/0, math.log(-1) - what
    IEEE 754 has: an infinity or NaN.

    Parameters
    ----------
    name : str
        Ignores case, spaces, - and _, as all names do.
    replace : bool
        Whether the name may be taken from another activation. `unregister` gives it back to fastnn's own one.
    **hyperparameters : number or fastnn.hyperparameters.Hyperparameter
        The defaults of all arguments of the function but the first.

    Returns
    -------
    decorator
        It returns a `Formula`, which can be called like the function.

    Raises
    ------
    ImportError
        If numba is not installed.
    FormulaError
        A ValueError, which names the line of the formula: it cannot be compiled, or a derivative is wrong.
    TypeError, ValueError
        For a name that is taken and for hyperparameters that do not fit the function. Nothing is registered then.
    """
    require_numba()
    _registry.check(name, replace)
    own = {key: _declared(key, default) for key, default in hyperparameters.items()}

    def register(function):
        formula = Formula(name, function, own)
        _registry.add(name, formula.activation, replace=replace)
        return formula
    return register


def _declared(name, default):
    if name.startswith("_") or name == "x" or hasattr(Activation, name):
        raise ValueError(f"a hyperparameter cannot be called {name!r}: activations use that name")
    if isinstance(default, Choice):
        raise TypeError(f"{name} must be a number: it is part of a formula")
    return declared(name, default)


class RegisteredActivation(Activation):
    """What activations made by `register_act` share."""

    _kernels = None             # of the class: a _Kernels

    def _hyperparameter_set(self):
        kernels = self._kernels
        self._bind(kernels.addresses, kernels.parameters(self))

    def __copy__(self):
        return type(self)(*(self.__dict__[key] for key in self.hyperparameters))

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce__(self):
        values = (self.__dict__[key] for key in self.hyperparameters)
        return restored, (_registry.noun, self.name, type(self).__module__, *values)


class Formula:
    """A function that has been registered as an activation. It can be called as before, with numbers.

    Attributes
    ----------
    name : str
    activation : type
        What get_act(name) makes an object of.
    """

    def __init__(self, name, function, hyperparameters):
        self.name, self._function, self._hyperparameters = name, function, hyperparameters
        self._defaults = {key: each.example() for key, each in hyperparameters.items()}
        self._value = self._traced(function)
        self._given = {}            # order -> (node, line)
        functools.update_wrapper(self, function, updated=())

        def body(space):
            space.update(hyperparameters, name=name, kernel=None, _kernels=self._checked({}), __doc__=function.__doc__,
                         __module__=function.__module__)

        self.activation = new_class(class_name(name), (RegisteredActivation,), exec_body=body)

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        return self._function(*args, **kwds)

    def __repr__(self):
        return f"<the formula of {self.name!r}>"

    def derivative(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator: the function is f'. Raises FormulaError, and changes nothing, if it is not."""
        return self._give(1, function)

    def second_derivative(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator: the function is f''. Raises FormulaError, and changes nothing, if it is not."""
        return self._give(2, function)

    def _give(self, order, function):
        given = {**self._given, order: (self._traced(function), place_of(function))}
        self.activation._kernels = self._checked(given)
        self._given = given
        return function

    def _traced(self, function):
        """The node that a function of x and the hyperparameters returns."""
        if not isinstance(function, FunctionType):
            raise TypeError(f"a formula must be a Python function, not {function!r}")
        arguments = signature(function).parameters.values()
        names = [each.name for each in arguments]
        plain = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
        if not names or any(each.kind not in plain for each in arguments) or set(names[1:]) != set(self._hyperparameters):
            wanted = ", ".join(["x", *self._hyperparameters])
            raise TypeError(at_line(place_of(function), f"{function.__name__} must take ({wanted}), not {signature(function)}"))
        with noting() as seen:
            roots = trace(function, Symbolic(graph.element("x")), *(Symbolic(graph.parameter(key)) for key in names[1:]))
        if len(roots) != 1:
            raise FormulaError(at_line(place_of(function), f"{function.__name__} returns {len(roots)} numbers, not one"))
        check_activation(self.name, function, roots[0], seen, self._defaults, self._hyperparameters, names)
        return roots[0]

    def _checked(self, given):
        """The kernels with these derivatives, the missing ones derived."""
        nodes = [given[order][0] if order in given else None for order in (1, 2)]
        try:
            first, second = self._remembered(nodes) or self._derived(nodes, given)
        except _Underivable as missing:
            return _Missing(missing.error)
        return _Kernels(self._value, first, second)

    def _remembered(self, nodes):
        """f' and f'', where a process has derived and checked them before."""
        text = disk.load(self._key(nodes))
        return text and graph.undumped(text.decode())

    def _key(self, nodes):
        return disk.key("derivatives", graph.dumped([self._value, *filter(None, nodes)]),
                        *("given" if node else "" for node in nodes), repr(self._defaults),
                        *(f"{one.above} {one.at_least} {one.below} {one.integer}" for one in self._hyperparameters.values()))

    def _derived(self, nodes, given):
        from .checks import Underived, check_derivatives
        from .derivatives import derived
        from .joints import Joints
        from .mending import mended
        first, second = nodes
        try:
            chained = first or derived(self._value)
            second = second or derived(chained)
        except FormulaError as error:
            raise _Underivable(error) from None
        joints = Joints(self._value, self._defaults, self._hyperparameters, [node for node in nodes if node])
        first = first or mended(chained, 1, joints)
        second = second if 2 in given else mended(second, 2, joints)
        lines = [given[order][1] if order in given else None for order in (1, 2)]
        try:
            check_derivatives(self.name, self._value, first, second, self._defaults, lines, self._hyperparameters,
                              joints=joints, given=given)
        except Underived as error:
            raise _Underivable(error) from None
        disk.store(self._key(nodes), graph.dumped([first, second]).encode())
        return first, second


class _Underivable(Exception):
    def __init__(self, error):
        self.error = error


class _Missing:
    """In place of kernels until the derivative that could not be derived is given."""

    def __init__(self, error):
        self._error = error

    def __getattr__(self, name):
        raise self._error.with_traceback(None)


class _Kernels:
    """f, f' and f'' as graphs and, from the first use on, as machine code."""

    def __init__(self, value, first, second):
        self.orders = value, first, second
        self.kernel = elementwise(value, first, second)
        if len(self.kernel.hoisted) > MOST_PARAMETERS:
            raise FormulaError(at_line(value.line, (
                f"f, f' and f'' depend on {len(self.kernel.hoisted)} numbers that are computed of hyperparameters alone; "
                f"{MOST_PARAMETERS} are possible")))
        self.parameters = computer(self.kernel.hoisted)

    @functools.cached_property
    def addresses(self):
        """Of the kernels for float and for double."""
        return compile_kernels(self.kernel)
