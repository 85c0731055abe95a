"""Optimizers whose rule is a Python function: registered, traced, and compiled to kernels like the built-in ones."""
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from inspect import Parameter, signature
from keyword import iskeyword
from types import FunctionType, new_class
from typing import Any

from ..core.stepping import LIMITS
from ..hyperparameters import Hyperparameter
from ..optimizers import Optimizer, _registry, rate
from ..registry import hint
from . import graph
from .compiler import compile_kernels, require_numba
from .errors import FormulaError, at_line, place_of
from .kernels import reads_parameter
from .kernels import rule as rule_kernel
from .names import class_name, declared, restored
from .recorded import check_rule
from .symbolic import Symbolic, noting
from .trace import trace
from .uniform import computer, hoisted

SPACINGS = ("linear", "logarithmic")


def register_opt(name: str, /, *, state: Any = (), stored: dict[str, str] | None = None,
                 learning_rate: str | None = None, replace: bool = False, **hyperparameters: Any) -> Callable[..., Any]:
    """A decorator that makes an optimizer of a Python function: `get_opt(name)` is then like a built-in one.

        @register_opt("adam-like", state=("m", "v"), lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8)
        def rule(g, m, v, h):
            m += (1 - h.beta1)*(g - m)
            v += (1 - h.beta2)*(g*g - v)
            return -h.lr*m/(math.sqrt(v) + h.eps), m, v

    The function is called once, with symbols for the gradient of one element, its state, and the hyperparameters;
    h.t is the parameter's own step, from 1. It returns the delta, which is added to the parameter, and the new state.
    What it computes of h alone is computed once a step, in double precision. It is compiled when the first optimizer of
    that name is made.

    A function with an argument p between the gradient and the state, `rule(g, p, m, v, h)`, sees the parameter as it is
    before the step. Its optimizer needs w= (and b=) where it returns deltas.

    With `fastnn.Rows` as a gradient it steps the rows named, and leaves the state of others as it is.

    All options of optimizers, as weight_decay, clip_norm and groups, work around the rule: no hyperparameter can have
    their names.

    Parameters
    ----------
    name : str
        Ignores case, spaces, - and _, as all names do.
    state : sequence of str, or mapping of str to number
        The names of the state of each element, as the function calls them, and what it is at first, or else 0.
    stored : mapping of str to str, optional
        For each name in `state` how int8 spaces its numbers, "linear" (both signs) or "logarithmic" (averages of
        squares and magnitudes). Allows state_dtype="bfloat16" and "int8": for moving averages.
    learning_rate : str, optional
        The hyperparameter that lr= and `opt.lr` mean, if it is not called lr.
    replace : bool
        Whether the name may be taken from another optimizer. `unregister` gives it back to fastnn's own one.
    **hyperparameters : number or fastnn.hyperparameters.Hyperparameter
        Their defaults. The learning rate must be at least 0.

    Returns
    -------
    decorator
        It returns the function.

    Raises
    ------
    ImportError
        If numba is not installed.
    FormulaError
        A ValueError: the function cannot be compiled. Names its line.
    TypeError, ValueError
        For names that are taken, no identifiers, or do not fit the function; nothing is registered then.
    """
    require_numba()
    _registry.check(name, replace)
    state = _checked_state(state)
    stored = _checked_stored(stored, state)
    own = {key: _declared(key, default, learning_rate or "lr") for key, default in hyperparameters.items()}
    learning_rate = learning_rate or "lr"
    if learning_rate not in own:
        raise ValueError(f"{name!r} has no hyperparameter {learning_rate!r}: give lr=, or name the one that is the "
                         "learning rate with learning_rate=")
    if both := own.keys() & state.keys():
        raise ValueError(f"{', '.join(sorted(both))}: both a hyperparameter and state")

    def register(rule):
        formula = Rule(name, traced(rule, name, state, own), place_of(rule))

        def body(space):
            space.update(own, slots=state, stored=stored, _rate_name=learning_rate, kernels=("formula",), name=name,
                         constants=staticmethod(formula.constants), _formula=formula, __doc__=rule.__doc__,
                         __module__=rule.__module__)

        _registry.add(name, new_class(class_name(name), (RegisteredOptimizer,), exec_body=body), replace=replace)
        return rule
    return register


class RegisteredOptimizer(Optimizer):
    """What optimizers made by `register_opt` share."""

    _formula = None             # the class's Rule

    def _compiled_rules(self):
        return {"formula": (self._formula.addresses, None, self._formula.reads_p)}

    def _remade(self):
        """By name."""
        return partial(restored, **self._arguments()), (_registry.noun, self.name, type(self).__module__)


class Rule:
    """A rule as a graph, and its kernels.

    Attributes
    ----------
    roots : list of Node
        The delta and the new state, of the elements "g", "p" and "s0", "s1" and so on, which are the state.
    constants : function
        Of the hyperparameters and, if that makes a difference, of t: what the kernels read at step t.
    reads_p : bool
        Whether it has a use for the parameter.
    """

    def __init__(self, name, roots, place):
        self.name, self.roots = name, roots
        self.uniform = hoisted(roots)
        if len(self.uniform) > LIMITS["constants"]:
            raise FormulaError(at_line(place, f"{name!r} computes {len(self.uniform)} numbers of hyperparameters and t "
                                              f"alone, {LIMITS['constants']} are possible"))
        self.constants = computer(self.uniform, stepped=True)
        self.reads_p = reads_parameter(roots)

    @cached_property
    def addresses(self):
        """Of the kernels for float and for double. Compiled, or loaded from the disk, the first time."""
        return compile_kernels(rule_kernel(self.roots[0], self.roots[1:]))


class Hyperparameters:
    """What a rule gets as h: the hyperparameters, and t."""

    __slots__ = ("_names",)

    def __init__(self, names):
        object.__setattr__(self, "_names", (*names, "t"))

    def __getattr__(self, name):
        if name not in self._names:
            raise AttributeError(f"there is no hyperparameter {name!r}{hint(name, self._names)}")
        return Symbolic(graph.parameter(name))

    def __setattr__(self, name, value):
        raise AttributeError("hyperparameters cannot be set by a rule; what changes from step to step is state")


def traced(rule, name, state, hyperparameters):
    """The nodes of the delta and of the new state.

    Raises TypeError for what takes other arguments, FormulaError for what cannot be followed or returns too much or
    too little.
    """
    if not isinstance(rule, FunctionType):
        raise TypeError(f"a rule must be a Python function, not {rule!r}")
    place = place_of(rule)
    given = signature(rule).parameters.values()
    named = [p.name for p in given if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    slots = [f"s{i}" for i in range(len(state))]
    slots_of = {tuple(state): slots, ("p", *state): ["p", *slots]}          # a slot called p is no parameter
    if len(named) != len(given) or len(named) < 2 or tuple(named[1:-1]) not in slots_of:
        raise TypeError(at_line(place, f"the rule of {name!r} must take the gradient{_listed(state, ', ')}, "
                                       f"hyperparameters, not {signature(rule)}"
                                       f"{'' if 'p' in state else '; the parameter, p, may follow the gradient'}"))
    elements = ["g", *slots_of[tuple(named[1:-1])]]
    with noting() as seen:
        roots = trace(rule, *(Symbolic(graph.element(element)) for element in elements), Hyperparameters(hyperparameters))
    if len(roots) != 1 + len(state):
        raise FormulaError(at_line(place, f"the rule of {name!r} must return the delta{_listed(state, ' and the new ')}"
                                          f", but returns {len(roots)} number{'s' if len(roots) > 1 else ''}"))
    defaults = {key: each.example() for key, each in hyperparameters.items()}
    check_rule(f"the rule of {name!r}", rule, roots, seen, dict(zip(elements, named)), defaults, hyperparameters)
    return roots


def _listed(state, first=""):
    return first + ", ".join(state) if state else ""


def _checked_state(state):
    if isinstance(state, str) or not all(isinstance(name, str) for name in state):
        raise TypeError(f"state must be the names of the slots, or a mapping of names to first values, not {state!r}")
    found = {}
    for name, value in (state.items() if isinstance(state, Mapping) else ((name, 0) for name in state)):
        if not name.isidentifier() or iskeyword(name) or name in found:
            raise ValueError(f"state cannot have the name {name!r}{' twice' if name in found else ''}")
        first = Hyperparameter()
        first.name = f"the first value of {name}"
        found[name] = first.checked(value)
    if len(found) > LIMITS["slots"]:
        raise ValueError(f"a rule can have {LIMITS['slots']} state slots, not {len(found)}")
    return found


def _checked_stored(stored, state):
    if not stored:
        return {}
    if set(stored) != set(state):
        raise ValueError(f"stored must name the slots, {', '.join(state)}, not {', '.join(stored)}")
    for name, spacing in stored.items():
        if spacing not in SPACINGS:
            raise ValueError(f"stored[{name!r}] must be {' or '.join(map(repr, SPACINGS))}, not {spacing!r}")
    if len(stored) > LIMITS["stored slots"]:
        raise ValueError(f"{LIMITS['stored slots']} slots can have reduced precision, not {len(stored)}")
    return {name: stored[name] for name in state}


def _declared(name, default, learning_rate):
    """The hyperparameter of that name."""
    if name == "t":
        raise ValueError("t is the number of the step: a hyperparameter needs another name")
    if name in Optimizer.options:
        raise ValueError(f"{name} is an option of every optimizer: a hyperparameter needs another name")
    if hasattr(Optimizer, name) or name.startswith("_") or not name.isidentifier() or iskeyword(name):
        raise ValueError(f"a hyperparameter cannot be called {name!r}")
    return declared(name, default, rate if name == learning_rate else Hyperparameter)
