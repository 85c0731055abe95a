"""What wrappers share: the form of an optimizer, in place, around another one whose step theirs is one with."""
from functools import partial
from typing import Any
from warnings import warn

from ...core.locks import Lock
from ...core.transactions import Transaction
from ...hyperparameters import Hyperparameter
from ...state import StateError, described, entries
from ..base import MISSING, SEVERAL, Optimizer, skips_are_told
from .leaves import leaves_of, must_fit

FORMAT = 1


class Wrapper(Lock):
    """An optimizer around an optimizer: what all wrappers share.

    Parameters are changed in place, by ``step(params, grads)`` or ``update(params, grads)``: mappings, sequences,
    nested ones, one array (step alone). What a wrapper keeps of a parameter goes by its key, as state does; a new array
    of the same shape under that key continues with it. A step is taken as a whole or not at all, and raises what those
    of the optimizer inside raise; what it does there - None as a gradient, frozen parameters, a norm that skips it - it
    does here, too. A wrapper is used by one thread at a time.

    Hyperparameters and options of the rule, `lr`, `groups`, `state` and whatever else the optimizer inside has are
    attributes here, to be set, too; a name that is the wrapper's own hides the rule's (`wrapper.optimizer` has it).

    Attributes
    ----------
    optimizer : optimizer or wrapper
        The one inside.
    t, skipped : int
        Those of the optimizer inside.
    """

    hyperparameters = ()
    _rate_name = None           # what Hyperparameter asks of its class
    _scheduled = False

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        cls.hyperparameters = tuple(name for name, value in vars(cls).items() if isinstance(value, Hyperparameter))

    def __init__(self, optimizer, **values):
        cls = type(self)
        if not isinstance(optimizer, (Optimizer, Wrapper)):
            raise TypeError(_no_optimizer(cls.__name__, optimizer))
        self._refuse(optimizer)
        self.__dict__["_optimizer"] = optimizer
        self._set({name: getattr(cls, name).checked(value) for name, value in values.items()})
        self._paths, self._keys = {}, None

    def _refuse(self, optimizer):
        """Raises TypeError for an optimizer that this wrapper cannot wrap."""

    def _set(self, values):
        self.__dict__.update(values)

    @property
    def optimizer(self) -> Any:
        """The optimizer or wrapper inside."""
        return self._inner()

    def _inner(self):
        found = self.__dict__.get("_optimizer")
        if found is None:
            raise TypeError("this object has not been initialised: its class must call super().__init__()")
        return found

    @property
    def _innermost(self):
        return self._inner()._innermost

    def _wrappers(self):
        """This one and all those inside."""
        found = self
        while isinstance(found, Wrapper):
            yield found
            found = found._inner()

    @property
    def t(self) -> int:
        return self._inner().t

    @property
    def skipped(self) -> int:
        return self._inner().skipped

    @property
    def state(self) -> Any:
        """That of the optimizer inside, by key or position."""
        return self._alone(getattr, self._inner(), "state")

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._inner(), name)

    def __setattr__(self, name, value):
        if name.startswith("_") or isinstance(getattr(type(self), name, None), Hyperparameter):
            object.__setattr__(self, name, value)
        elif hasattr(type(self), name):
            raise AttributeError(f"{name} of {type(self).__name__} cannot be set")
        else:
            setattr(self._inner(), name, value)

    def __dir__(self):
        return sorted({*super().__dir__(), *(name for name in dir(self._inner()) if not name.startswith("_"))})

    def __repr__(self):
        return f"{type(self).__name__}({', '.join([repr(self._inner()), *self._shown()])})"

    def _shown(self):
        return [f"{name}={self.__dict__[name]!r}" for name in self.hyperparameters]

    # Steps

    def update(self, params: Any = MISSING, grads: Any = MISSING, *args: Any, **kwds: Any) -> None:
        """Take a step, in place: two mappings or two sequences. What else the rule's own `update` takes, t, f and the
        like, goes on to it. Raises TypeError where deltas are asked for."""
        if grads is MISSING or not (isinstance(params, SEVERAL) or isinstance(grads, SEVERAL)):
            raise TypeError(f"{type(self).__name__} changes parameters in place and returns no deltas: "
                            "step(params, grads) takes mappings, sequences, or one array each")
        self._step(params, grads, self._innermost._extra(args, kwds) if args or kwds else {})

    def step(self, params: Any, grads: Any, **kwds: Any) -> None:
        """Take a step, in place: mappings, sequences, nested ones, or one array each, as in an optimizer's `step`."""
        self._step(params, grads, self._innermost._extra((), kwds) if kwds else {})

    def _step(self, params, grads, extra):
        inner = self._innermost
        before, told = inner.skipped, skips_are_told.get()
        try:
            skips_are_told.set(True)            # in here: Ctrl-C may come behind it
            taken = self._alone(self._stepped, params, grads, extra)
        finally:
            skips_are_told.set(told)
        if not taken and inner.skipped != before and not skips_are_told.get():
            warn(f"{inner._title()}: the norm of a gradient is infinite or NaN, this step is skipped", RuntimeWarning,
                 stacklevel=3)

    def _stepped(self, params, grads, extra):
        leaves = leaves_of(params, grads, self._paths, self._keys)
        if leaves.keys is not None and leaves.keys is not self._keys:
            self._keys = leaves.keys
        return self._engaged(leaves, extra, Transaction())

    def _take(self, leaves, extra, transaction):
        """A step as part of a transaction; whether it was taken."""
        return self._alone(self._engaged, leaves, extra, transaction)

    def _engaged(self, leaves, extra, transaction):
        return self._engine._alone(self._taken, leaves, extra, transaction)

    def _taken(self, leaves, extra, transaction):
        """The same, while nothing else uses the wrapper and its engine."""
        raise NotImplementedError

    def _planned(self, leaves, rooms, sources, late=False):
        """A plan of the engine's, of a step of arrays that lie beside parameters, with these sources as gradients; if
        `late`, as they are after the step of the optimizer."""
        try:
            plan = self._engine._planned(leaves.by_key, rooms, sources, late)
        except (TypeError, ValueError):
            must_fit(rooms, leaves.params)
            raise
        if not plan.written:                    # else all of it is as at the last time
            must_fit(rooms, leaves.params)
        return plan

    def _thawed(self, leaves):
        return self._inner()._thawed(leaves)

    def _moving(self, leaves):
        return self._inner()._moving(leaves)

    def _ascending(self):
        return self._inner()._ascending()

    def gradient_point(self, params: Any) -> Any:
        """Where the next gradient is to be evaluated, of the structure of params: at params themselves, but for NAG."""
        return self._inner().gradient_point(params)

    # State. What a wrapper keeps is in attributes, which are replaced or changed as a whole.

    def forget(self, key: Any) -> None:
        """Drop what is kept of one parameter, here and inside: its next step is its first.

        Raises KeyError for a key of which nothing is kept.
        """
        self._dropped(key, [])

    def _dropped(self, key, functions):
        self._alone(self._dropped_alone, key, functions)

    def _dropped_alone(self, key, functions):
        self._inner()._dropped(key, [*self._dropping(key), *functions])

    def _dropping(self, key):
        """Functions that drop what this wrapper keeps of a key: compiled ones that cannot fail."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on, besides the parameters: a dict of numbers, strings and new arrays, with
        that of the optimizer inside as "optimizer".

        `load_state_dict` of a wrapper of the same kind around the same kinds resumes from there, bit for bit.
        """
        return self._alone(self._state)

    def _state(self):
        cls = type(self)
        values = {name: getattr(cls, name).stored(self.__dict__[name]) for name in cls.hyperparameters}
        return {"format": FORMAT, "wrapper": cls.__name__, "hyperparameters": values, **self._kept(),
                "optimizer": self._inner().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, hyperparameters included.

        Raises StateError, a ValueError, if the state is damaged or not that of such a wrapper around such an optimizer;
        nothing has been changed then.
        """
        self._fitting(state)()

    def _fitting(self, state):
        """A function that puts the state in, and only fails where that is in use. Raises StateError."""
        return self._alone(self._checked, state)

    def _checked(self, state):
        cls = type(self)
        if isinstance(state, dict) and "wrapper" not in state:
            raise StateError(f"the state is not that of a {cls.__name__}, but of an optimizer alone: "
                             f"load it into what is inside, .optimizer.load_state_dict")
        described(state, FORMAT, ("wrapper", "hyperparameters", *self._entries, "optimizer"), wrapper=cls.__name__)
        fills, values = [], {}
        for name, value in entries(state["hyperparameters"], "hyperparameters", cls.hyperparameters).items():
            try:
                values[name] = getattr(cls, name).restored(value, self.__dict__[name], fills)
            except (TypeError, ValueError) as error:
                raise StateError(str(error)) from None
        kept, put = self._restored(state)
        inner = self._inner()._fitting(state["optimizer"])
        return partial(self._put, [inner, *put, *fills], {**values, **kept})

    _entries = ()               # of the state, of what this wrapper keeps

    def _kept(self):
        """What the wrapper keeps, for a state; nothing is shared."""
        return {}

    def _restored(self, state):
        """(attributes, functions) that put it back: compiled functions that cannot fail. Raises StateError."""
        return {}, []

    def __reduce_ex__(self, protocol):
        return self._alone(self._reduced)

    def _reduced(self):
        cls, inner = type(self), self._inner()
        values = tuple(self.__dict__[name] for name in cls.hyperparameters)
        function, arguments, state, *_ = inner.__reduce_ex__(2)
        copied = function(*arguments)
        copied.__setstate__(state)
        return cls, (copied, *values), self._state()

    def __setstate__(self, state):
        self._fitting(state)()


def _no_optimizer(name, value):
    if isinstance(value, type):
        how = f": an object, not the class {value.__name__}"
    elif isinstance(value, str):
        how = f": {name}(get_opt({value!r}))"
    else:
        how = f", not around {type(value).__name__}"
    return (f"{name} wraps an optimizer of fastnn, of get_opt, register_opt or fastnn.dlfs, or another wrapper"
            f"{how}")
