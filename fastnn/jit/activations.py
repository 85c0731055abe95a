"""Activations whose formula is a Python function: registered, traced, differentiated, and compiled at first use."""
from collections.abc import Callable, Sequence
from inspect import signature
from types import FunctionType
from typing import Any

from ..activations import Activation, _registry
from ..hyperparameters import Hyperparameter
from . import disk, graph
from .compiler import require_numba
from .entries import Formula, Kernels, Missing, Underivable, checked_hyperparameters, registering
from .errors import FormulaError, place_of
from .kernels import BOTH, elementwise
from .names import restored

PAIR = ["a", "b"]           # what the function of a gated unit calls its first arguments


def register_act(name: str, function: Callable[..., Any] | None = None, /, *, learn: str | Sequence[str] = (),
                 replace: bool = False, **hyperparameters: float | Hyperparameter) -> Any:
    """A decorator that makes an activation or a gated unit of a Python function: `get_act(name)` is then like a built-in one.

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
    made, not at registration and in no call, and computes what the same Python computes of floats; where that would raise -
    1/0, math.log(-1) - what IEEE 754 has: an infinity or NaN.

    A function whose first arguments are called a and b is a gated unit's, of two numbers: get_act(name) halves an axis or
    takes two arrays, as GLU does. It may learn, too. Then, and with `learn`, `derivative` is given a function that returns all
    derivatives.

        @register_act("learned snake", learn="a", a=1.0)        # act.a is an array, act.da its gradient after backward
        def learned_snake(x, a): ...

        @register_act("GTU")
        def gtu(a, b):
            return math.tanh(a)*expit(b)

    Parameters
    ----------
    name : str
        Ignores case, spaces, - and _, as all names do.
    function : function, optional
        If the result is not used as a decorator.
    learn : str or sequence of str
        Which hyperparameters are learned, up to 8, of a gated unit 7: `get_act(name, channels=64, axis=1)` has one for
        each channel, with the default as initial value. A gated unit's channels are those of its result along `axis`. A
        declared range holds for the initial value; training may leave it.
    replace : bool
        Whether the name may be taken from another activation. `unregister` gives it back to fastnn's own one.
    **hyperparameters : number or fastnn.hyperparameters.Hyperparameter
        The defaults of all arguments of the function but the first, or but a and b.

    Returns
    -------
    decorator, or what it returns of `function`
        A `Formula`, which can be called like the function.

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
    own = checked_hyperparameters(hyperparameters, Activation, "activations", ("x",))
    learned = _checked_learned(learn, hyperparameters)

    def register(function):
        if learned and is_pair(function, own):
            from . import learned_pairs
            if len(learned) > learned_pairs.MOST_LEARNED:
                raise ValueError(f"a gated unit can learn {learned_pairs.MOST_LEARNED} parameters, not {len(learned)}")
            _check_free(learned, hyperparameters, learned_pairs.RegisteredLearnedPair, "gated units", learned_pairs.OWN)
            formula = learned_pairs.LearnedPair(name, function, own, learned)
        elif learned:
            from .learned import OWN, LearnedFormula, RegisteredLearnable
            _check_free(learned, hyperparameters, RegisteredLearnable, "activations with learned parameters", OWN)
            formula = LearnedFormula(name, function, own, learned)
        elif is_pair(function, own):
            from .pairs import Pair, RegisteredPair
            checked_hyperparameters(hyperparameters, RegisteredPair, "gated units")
            formula = Pair(name, function, own)
        else:
            formula = Elementwise(name, function, own)
        _registry.add(name, formula.activation, replace=replace)
        return formula
    return registering(register, function)


def _checked_learned(learn, hyperparameters):
    """The names of parameters that are learned."""
    names = [learn] if isinstance(learn, str) else [*learn] if isinstance(learn, (tuple, list)) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise TypeError(f"learn must be the name of a hyperparameter or a tuple of them, not {learn!r:.80}")
    if not names:
        return names
    from .learned import MOST_LEARNED
    if len(set(names)) < len(names) or len(names) > MOST_LEARNED:
        raise ValueError(f"learn must be up to {MOST_LEARNED} names, each once, not {learn!r:.80}")
    for name in names:
        if name not in hyperparameters:
            raise ValueError(f"{name} is learned: say what it begins with, {name}=1.0")
        if getattr(hyperparameters[name], "integer", False):
            raise ValueError(f"{name} is learned: it cannot be an integer")
    return names


def _check_free(learned, hyperparameters, base, kind, own):
    """Raises ValueError for a hyperparameter that has the name of something else in a class of `base`."""
    checked_hyperparameters(hyperparameters, base, kind, (*own, *(f"d{name}" for name in learned)))


def is_pair(function, hyperparameters):
    """Whether a function is a gated unit's: its first arguments are called a and b, and are no hyperparameters."""
    names = [*signature(function).parameters][:2] if isinstance(function, FunctionType) else ()
    return [*names] == PAIR and hyperparameters.keys().isdisjoint(PAIR)


class RegisteredActivation(Activation):
    """What activations made by `register_act` share."""

    _compiled = None            # of the class: its Kernels

    def _hyperparameter_set(self):
        kernels = self._compiled
        self._bind(kernels.addresses, kernels.parameters(self))

    def __copy__(self):
        return type(self)(*(self.__dict__[key] for key in self.hyperparameters))

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce__(self):
        values = (self.__dict__[key] for key in self.hyperparameters)
        return restored, (_registry.noun, self.name, type(self).__module__, *values)


class Elementwise(Formula):
    """The formula of an activation of one number.

    Attributes
    ----------
    activation : type
        What get_act(name) makes an object of.
    """

    def __init__(self, name, function, hyperparameters):
        super().__init__(name, function, ["x"], hyperparameters)
        self._given = {}            # order -> (node, line)
        self.activation = self.entry = self._class_of(RegisteredActivation, self._checked({}))

    def _called(self, names):
        return ["x"]

    def derivative(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator: the function is f'. Raises FormulaError, and changes nothing, if it is not."""
        return self._give(1, function)

    def second_derivative(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator: the function is f''. Raises FormulaError, and changes nothing, if it is not."""
        return self._give(2, function)

    def _give(self, order, function):
        given = {**self._given, order: (self._traced(function, 1)[0], place_of(function))}
        self.activation._compiled = self._checked(given)
        self._given = given
        return function

    def _checked(self, given):
        """The kernels with these derivatives, the missing ones derived."""
        nodes = [given[order][0] if order in given else None for order in (1, 2)]
        try:
            first, second = self._remembered(nodes) or self._derived(nodes, given)
        except Underivable as missing:
            return Missing(missing.error)
        formulas = {"f": self._value, "f'": first, "f''": second}
        return Kernels(formulas, elementwise(self._value, first, second),
                       {**dict(enumerate(formulas)), 3: "f' grad", BOTH: "f and f'"})

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
            raise Underivable(error) from None
        joints = Joints(self._value, self._defaults, self._hyperparameters, [node for node in nodes if node])
        first = first or mended(chained, 1, joints)
        second = second if 2 in given else mended(second, 2, joints)
        lines = [given[order][1] if order in given else None for order in (1, 2)]
        try:
            check_derivatives(self.name, self._value, first, second, self._defaults, lines, self._hyperparameters,
                              joints=joints, given=given)
        except Underived as error:
            raise Underivable(error) from None
        disk.store(self._key(nodes), graph.dumped([first, second]).encode())
        return first, second
