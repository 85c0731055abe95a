"""Groups of parameters with hyperparameters of their own."""
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from weakref import ref

import numpy as np

from .hyperparameters import Choice
from .schedule_state import unnamed
from .scheduling import FAULTS, check_takes, failure, function_name
from .state import StateError, entries
from .synonyms import Synonym, canonical, meaning, parts, unknown


def group(*which: str | Callable[[Any, Any], bool], freeze: bool = False, **values: Any) -> "Group":
    """Other hyperparameters and options for some of the parameters: one element of an optimizer's ``groups=[...]``.

        get_opt("Adam", weight_decay=0.01, groups=[
            group("b*", "gamma*", weight_decay=0), group(lambda key, p: p.ndim < 2, lr=1e-2)])

    A parameter belongs to the first group that it fits, or else to none, from its first step on. What a group does not
    name follows the optimizer's value, also when that is changed later. During a run a group's values are set as
    attributes: opt.groups[0].lr = 1e-4, opt.groups[0].freeze = True.

    Parameters
    ----------
    *which : str or function
        Patterns as of file names ("W?", "layer[12]/*"; case counts) for the parameter's key, or functions
        (key, parameter) -> bool. One that fits is enough. A key that is a path is joined by "/"; other keys that are no
        strings are compared as str(key). States know functions by their names; a lambda, which has none, by its file
        and line, so that it cannot be loaded once it has moved.
    freeze : bool
        Whether these parameters, and their state, stay as they are.
    **values : number or schedule
        Hyperparameters and options of the optimizer, by any of their names, except `clip_global_norm`. A schedule is
        called with the parameter's own number of the step.

    Raises
    ------
    TypeError
        Without a pattern or function, and for a function that does not take two arguments; by the optimizer that gets
        it, for a name that is none of its own.
    ValueError
        By that optimizer, for a value out of range or two ways to clip; by its step, before anything has changed, for a
        group that fits none of the parameters.

    Where a function fails (by a KeyError, say), a ValueError or TypeError is raised from that: it names group and key.
    """
    return Group(which, freeze, values)


class Group:
    """What `group` returns; of an optimizer's `groups`, with its hyperparameters and options as attributes.

    ``g.lr`` is the group's own value, or else the optimizer's. Setting it checks the value and takes effect at the next
    step; ``del g.lr`` returns to the optimizer's. An optimizer has groups of its own, copies of those that it is given.

    Attributes
    ----------
    which : tuple of str or function
    freeze : bool
    """

    __slots__ = ("_which", "_freeze", "_values", "_optimizer", "_resolved", "_met", "__weakref__")

    def __init__(self, which, freeze, values, optimizer=None):
        self._which, self._freeze, self._values = _checked_which(which), _checked_freeze(freeze), dict(values)
        self._optimizer, self._resolved = None if optimizer is None else ref(optimizer), None
        self._met = False           # whether a parameter has fitted it

    def bound(self, optimizer):
        """A copy whose names and values are checked: those of this optimizer, by its own names."""
        cls, title = type(optimizer), f"{optimizer._title()}, {self!r}"
        checked = {name: _checked(cls, name, value, title, TypeError)
                   for name, value in canonical(cls, self._values, title, of_group=True).items()}
        found = Group(self._which, self._freeze, checked, optimizer)
        optimizer._check_together_with(found, checked)
        return found

    @property
    def which(self) -> tuple[str | Callable[[Any, Any], bool], ...]:
        return self._which

    @property
    def freeze(self) -> bool:
        return self._freeze

    @freeze.setter
    def freeze(self, value: bool) -> None:
        value, optimizer = _checked_freeze(value), self._owner()
        object.__setattr__(self, "_freeze", value)
        if optimizer is not None:
            optimizer._regrouped()

    def values(self) -> dict[str, Any]:
        """The hyperparameters and options that the group has values of its own for: a new dict."""
        return self._values.copy()

    def fits(self, key: Any, parameter: Any) -> bool:
        """Whether a parameter of that key fits. Raises TypeError if a function says neither True nor False."""
        name = None
        for wanted in self._which:
            if isinstance(wanted, str):
                name = _spelled(key) if name is None else name
                found = fnmatchcase(name, wanted)
            else:
                try:
                    found = wanted(key, parameter)
                except FAULTS as error:
                    raise failure(error, f"{self!r}: for {key!r} the function {function_name(wanted)}") from error
                if not isinstance(found, (bool, np.bool_)):
                    raise TypeError(f"{self!r}: the function must return True or False, not {found!r:.80}, for {key!r}")
            if found:
                return True
        return False

    def stored(self) -> dict[str, Any]:
        """The group as plain data, for a state: functions by their names."""
        cls = type(self._bound_to())
        return {"which": [one if isinstance(one, str) else {"function": function_name(one)} for one in self._which],
                "freeze": self._freeze,
                "values": {name: getattr(cls, name).stored(value) for name, value in self._values.items()}}

    def _owner(self):
        """The optimizer, None if there is none. Raises ReferenceError if it is no more."""
        if self._optimizer is None:
            return None
        optimizer = self._optimizer()
        if optimizer is None:
            raise ReferenceError(f"the optimizer of {self!r} no longer exists")
        return optimizer

    def _bound_to(self):
        optimizer = self._optimizer and self._optimizer() or self._owner()
        if optimizer is None:
            raise AttributeError(f"{self!r} does not belong to an optimizer: opt.groups has an optimizer's own")
        return optimizer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"'Group' object has no attribute {name!r}")
        optimizer = self._bound_to()
        found = tuple(self._values.get(own, getattr(optimizer, own)) for own in self._names(optimizer, name))
        return found if len(found) > 1 else found[0]

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name == "freeze":
            object.__setattr__(self, name, value)
            return
        if name in _OWN:
            raise AttributeError(f"{name} of a group cannot be set")
        optimizer = self._bound_to()
        cls, names = type(optimizer), self._names(optimizer, name)
        values = {own: _checked(cls, own, part, f"{self!r}", AttributeError)
                  for own, part in zip(names, parts(names, value))}
        self._replace(optimizer, {**self._values, **values})

    def __delattr__(self, name: str) -> None:
        optimizer = self._bound_to()
        names = self._names(optimizer, name)
        if missing := [own for own in names if own not in self._values]:
            raise AttributeError(f"{self!r} has no {missing[0]} of its own")
        self._replace(optimizer, {own: value for own, value in self._values.items() if own not in names})

    def _replace(self, optimizer, values):
        optimizer._check_together_with(self, values)
        optimizer._changed()            # here for Ctrl-C in between, below for another thread's step in between
        self._values = values
        optimizer._changed()

    def _names(self, optimizer, word):
        """The optimizer's own names for a word."""
        names = meaning(type(optimizer), word)
        if not names:
            raise AttributeError(unknown(type(optimizer), word, optimizer._title(), of_group=True))
        return names

    def __dir__(self):
        optimizer = self._owner()
        return [*super().__dir__(), *(() if optimizer is None else (*optimizer.hyperparameters, *optimizer.options))]

    def __repr__(self):
        shown = [*map(repr, self._which), *(["freeze=True"] if self._freeze else ()),
                 *(f"{name}={value!r}" for name, value in self._values.items())]
        return f"group({', '.join(shown)})"

    def __reduce__(self):
        """A copy is of no optimizer; optimizers copy theirs."""
        return Group, (self._which, self._freeze, self._values.copy())


_OWN = frozenset(name for name in vars(Group) if not name.startswith("_"))


def _checked_which(which):
    if not which:
        raise TypeError('group() needs patterns of keys or a function of (key, parameter): group("b*", lr=0.1)')
    for one in which:
        if isinstance(one, str):
            continue
        if not callable(one) or isinstance(one, type):
            several = isinstance(one, (list, tuple)) and one and all(isinstance(part, str) for part in one)
            said = f": group({', '.join(map(repr, one))})" if several else ""
            raise TypeError("a group is given by patterns of keys or functions of (key, parameter), not by "
                            f"{one!r:.200}{said}")
        check_takes(one, ("key", "parameter"), "group")
    return tuple(which)


def _checked_freeze(value):
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"freeze must be True or False, not {value!r}")
    return bool(value)


def _checked(cls, name, value, title, refused):
    """The value, as the optimizer's class would have it. Raises `refused` for what is no group's."""
    declared = getattr(cls, name)
    if declared.shared:
        raise refused(f"{title}: {name} is the optimizer's, not a group's: {declared.shared}")
    try:
        return declared.checked(value)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{title}: {error}") from None


def _spelled(key):
    return key if isinstance(key, str) else "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def bound(groups, optimizer):
    """The optimizer's own copies of the groups that it was given. Raises TypeError and ValueError."""
    if not isinstance(groups, (list, tuple)) or not all(isinstance(one, Group) for one in groups):
        dicts = isinstance(groups, (list, tuple)) and any(isinstance(one, dict) for one in groups)
        said = ": PyTorch's dicts hold parameters; a group says by their keys which they are" if dicts else ""
        raise TypeError(f'groups must be a list of groups, [group("b*", lr=0.1), ...], not {groups!r:.200}{said}')
    return tuple(one.bound(optimizer) for one in groups)


def group_of(optimizer, key, parameter):
    """The first group that a parameter fits, or the optimizer."""
    for one in optimizer._groups:
        if one.fits(key, parameter):
            return one
    return optimizer


# Numbers at a step

class Numbers:
    """Hyperparameters and options as plain numbers."""


def numbers_at(holder, t):
    """What the hyperparameters and options of an optimizer or a group are at step t: an object with them as attributes.

    They do not change when the optimizer's are set, by another thread for instance. Raises TypeError and ValueError for
    a schedule that gives what could not be set, or fails.
    """
    optimizer = holder._bound_to() if type(holder) is Group else holder
    resolved = holder._resolved
    if resolved is None or resolved[0] is not optimizer._version:
        resolved = _changed(optimizer, holder, resolved) or _resolved(optimizer, holder)
        object.__setattr__(holder, "_resolved", resolved)
    _, numbers, schedules = resolved
    if not schedules:
        return numbers
    values = numbers.__dict__.copy()
    for name, at, schedule in schedules:
        try:
            values[name] = at(schedule, t)
        except (TypeError, ValueError) as error:
            if holder is optimizer or name not in holder._values:
                raise
            raise type(error)(f"{holder!r}: {error}") from error.__cause__
    now = type(numbers)()
    now.__dict__ = values
    return now


def _changed(optimizer, holder, resolved):
    """What `_resolved` would give, quickly, where nothing but numbers of the optimizer has been set since, once."""
    before, version, values = optimizer._last_change
    if resolved is None or resolved[0] is not before or version is not optimizer._version:
        return None
    if holder is not optimizer or resolved[2]:
        return None
    numbers = type(resolved[1])()
    numbers.__dict__ = {**resolved[1].__dict__, **values}
    return version, numbers, ()


def _resolved(optimizer, holder):
    """(version, what is the same at every step, the schedules)."""
    version, cls = optimizer._version, type(optimizer)      # first: what is set meanwhile has another
    own = {} if holder is optimizer else holder._values
    values = {name: optimizer.__dict__[name] for name in (*cls.hyperparameters, *cls.options)} | own
    schedules = [(name, getattr(cls, name).at, value) for name, value in values.items()
                 if callable(value) and not isinstance(getattr(cls, name), Choice)]
    if "_numbers" not in vars(cls):
        cls._numbers = type("Numbers", (Numbers,), {word: Synonym(*names) for word, names in cls._synonyms.items()})
    numbers = cls._numbers()
    numbers.__dict__.update(values)
    return version, numbers, schedules


# States

def restored(optimizer, saved, values):
    """(tuple of groups, functions): the groups to have, and what puts the saved values into them: compiled functions,
    in which no signal is heard, and which cannot fail.

    `values` are those that the optimizer itself is going to have. An optimizer without groups gets new ones. Functions
    are those that the optimizer has: a state has no more than their names. Raises StateError where the saved groups are
    damaged or others than the optimizer's.
    """
    if not isinstance(saved, list):
        raise StateError(f"groups must be a list, not {type(saved).__name__}")
    for i, one in enumerate(saved):
        entries(one, f"group {i}", ("which", "freeze", "values"))
    groups = optimizer._groups or tuple(_new(optimizer, i, one) for i, one in enumerate(saved))
    given, wanted = [one.stored()["which"] for one in groups], [one["which"] for one in saved]
    if not _same(given, wanted):
        raise StateError(f"the state's groups are {wanted!r:.200}, those of the optimizer {given!r:.200}; to keep the "
                         f"optimizer's, put opt.state_dict()['groups'] into the state{unnamed(wanted)}")
    fills = []
    changes = [(one, *_read(optimizer, one, entry, f"group {i}", fills))
               for i, (one, entry) in enumerate(zip(groups, saved))]
    for group, _, own in changes:
        try:
            optimizer._check_together_with(group, own, values)
        except ValueError as error:
            raise StateError(str(error)) from None
    for group, freeze, own in changes:
        fills += [partial(object.__setattr__, group, name, value)
                  for name, value in (("_freeze", freeze), ("_values", own), ("_resolved", None))]
    return groups, fills


def _same(given, wanted):
    """Whether these are the same lists of strings and dicts of strings; an array, compared, would be no answer."""
    return _is_plain(wanted) and given == wanted


def _is_plain(value):
    if isinstance(value, (list, dict)):
        return all(map(_is_plain, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str)


def _new(optimizer, i, saved):
    which = saved["which"]
    if not _is_plain(which):
        raise StateError(f"the patterns of group {i} are {which!r:.80}")
    if functions := [one for one in which if not isinstance(one, str)]:
        raise StateError(f"group {i} of the state is given by the function {functions[0].get('function')!r:.80}: make "
                         "the optimizer with groups= that have it")
    try:
        return Group(which, False, {}, optimizer)
    except TypeError as error:
        raise StateError(f"group {i}: {error}") from None


def _read(optimizer, group, saved, where, fills):
    """(freeze, values) of a saved group."""
    cls, values = type(optimizer), {}
    try:
        freeze = _checked_freeze(saved["freeze"])
        for name, value in entries(saved["values"], f"the values of {where}").items():
            if not isinstance(name, str) or meaning(cls, name) != (name,) or getattr(cls, name).shared:
                raise StateError(f"{where} has a value for {name!r:.80}")
            values[name] = getattr(cls, name).restored(value, getattr(group, name), fills)
    except (TypeError, ValueError) as error:
        raise StateError(f"{where}: {error}") from None
    return freeze, values
