"""Hyperparameters: declared once in a class, checked wherever they are set, shown in the signature and the repr."""
import math
from inspect import Parameter, Signature
from numbers import Integral, Real
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from .core.arrays import as_array
from .schedule_state import checked_changes, to_state
from .scheduling import FAULTS, check_takes, failure, interval, is_schedule, shown, uncalled
from .synonyms import Synonym, canonical, synonyms_of, unknown

REQUIRED = Parameter.empty


def as_float(value):
    """float(value); infinity for numbers beyond its range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def unwrapped(value):
    """The Python number in a 0-d array or scalar of NumPy's kind (JAX's, ml_dtypes'); anything else as it is."""
    if isinstance(value, (int, float)) or getattr(value, "ndim", None) != 0 or not hasattr(value, "dtype"):
        return value
    array = as_array(value, "a number")
    if array.dtype.name == "bfloat16":
        return array.astype(np.float64).item()
    return array.item() if array.dtype.kind in "fiuO" else value


class Hyperparameter:
    """A number with a range. Setting it raises TypeError if it is no number, ValueError if it is out of range.

    Numbers are Python's, NumPy's, or 0-d arrays; they become Python's. In optimizers a schedule may take a number's
    place: anything that is called with the number of the step, t, and returns a number, which is checked then. There
    is no __get__: values are read from the instance at the speed of any attribute.

    Parameters
    ----------
    scheduled : bool, optional
        Whether it may be a schedule, if that is not as in other hyperparameters of its class.
    optional : bool
        Whether None is a value, too.
    shared : str
        Where it is the optimizer's as a whole, never a group's: why.
    """

    _is_rate = False

    def __init__(self, default=REQUIRED, *, above=-math.inf, at_least=-math.inf, below=math.inf, integer=False,
                 scheduled=None, optional=False, shared=""):
        self.default = default
        self.above, self.at_least, self.below, self.integer = above, at_least, below, integer
        self.scheduled, self.optional, self.shared = scheduled, optional, shared

    def __set_name__(self, owner, name):
        self.name = name
        self._is_rate = name == owner._rate_name != "lr"
        if self.scheduled is None:
            self.scheduled = owner._scheduled

    @property
    def title(self):
        """The name, in errors; a learning rate's with the word that users know."""
        return f"{self.name} (lr)" if self._is_rate else self.name

    if TYPE_CHECKING:           # what reading the instance gives
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    def __set__(self, instance: Any, value: Any) -> None:
        instance._set({self.name: self.checked(value)})

    def checked(self, value):
        """The value to keep: a number, a schedule as it is, or None where that is allowed."""
        if self.scheduled and is_schedule(value):
            check_takes(value, ("t",), self.title)
            return value
        return self.number(value)

    def number(self, value):
        if value is None and self.optional:
            return None
        if type(value) is not float or self.integer:        # what schedules mostly give need not be converted
            value = unwrapped(value)
            if isinstance(value, bool) or not isinstance(value, Integral if self.integer else Real):
                raise TypeError(f"{self.title} must be {self.kind()}, not {value!r}{self.said_of(value)}")
            value = int(value) if self.integer else as_float(value)
        if not (self.above < value < self.below and value >= self.at_least):      # false for NaN
            wanted = interval(self.above, self.at_least, self.below, value)
            raise ValueError(f"{self.title} must be {wanted}, not {value!r}")
        return value

    def at(self, value, t):
        """The number that a value of this hyperparameter is at step t. Raises as setting it would."""
        if not (self.scheduled and callable(value)):
            return value
        try:
            given = value(t)
        except FAULTS as error:
            raise failure(error, f"{self.title}: at t = {t} the schedule {shown(value)}") from error
        try:
            return self.number(given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}: that is what the schedule {value!r} gives at t = {t}") from None

    def example(self):
        """The default, or where there is none a number in the range."""
        if self.default is not REQUIRED:
            return float(self.default)
        low, high = max(self.above, self.at_least), self.below
        if low < 1 < high:
            return 1.0
        return low + 1.0 if high == math.inf else high - 1.0 if low == -math.inf else (low + high)/2

    def stored(self, value):
        """What stands for a value in a state."""
        return to_state(value) if callable(value) else value

    def restored(self, stored, current, fills):
        """The value that a state stands for. Raises as `checked` does.

        What fills schedules that are kept is added to the list `fills`: compiled functions that cannot fail.
        """
        if not (self.scheduled and isinstance(stored, dict)):
            return self.number(stored)
        try:
            schedule, changes = checked_changes(stored, current)
        except ValueError as error:
            raise ValueError(f"{self.title}: {error}") from None
        fills += changes
        return schedule

    def kind(self):
        """What it must be, in words."""
        words = "an integer" if self.integer else "a number"
        return words + (", None" if self.optional else "") + (" or a schedule" if self.scheduled else "")

    def said_of(self, value):
        """What more is said of a value that is no number, or ""."""
        if self.scheduled:
            return uncalled(value)
        return ": it takes no schedule" if is_schedule(value) else ""


class Choice(Hyperparameter):
    """A hyperparameter that is no number: `check(value)` returns it, or raises TypeError or ValueError."""

    def __init__(self, default, check, *, shared=""):
        super().__init__(default, scheduled=False, shared=shared)
        self.checked = check

    def stored(self, value):
        return getattr(value, "__name__", type(value).__name__) if callable(value) else None

    def restored(self, stored, current, fills):
        """The value that there is: a state has no more than its name."""
        if type(stored) not in (str, type(None)) or stored != self.stored(current):
            raise ValueError(f"{self.name} must be {stored!r} as in the state, not {self.stored(current)!r}")
        return current


class Option(Hyperparameter):
    """A hyperparameter besides those of the rule: given by keyword alone, shown where it is not the default.

    `help` shows its `doc`.
    """

    def __init__(self, default, doc=None, **kwds):
        super().__init__(default, **kwds)
        if doc:
            self.__doc__ = doc


class Flag(Option):
    """An option that is True or False."""

    def __init__(self, default=False, doc=None):
        super().__init__(default, doc, scheduled=False)

    def number(self, value):
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{self.name} must be True or False, not {value!r}{self.said_of(value)}")
        return bool(value)


class Configurable:
    """An object with hyperparameters, given by position or keyword in the order of their declaration.

    Subclasses name their learning rate in `_rate_name`; it, and others, can be given by other libraries' words, too
    (synonyms.py). Public attributes besides hyperparameters, options, properties and methods are those that a subclass
    gives a value in its body; setting or reading any other raises AttributeError.

    Class attributes
    ----------------
    hyperparameters, options : tuple of str
        In order of declaration, those of base classes first.
    words : dict
        Its own synonyms: word -> the names of one hyperparameter, or of several as a sequence.
    hints : dict
        Words that it lacks: word -> what is said of it.
    """

    name = kernel = None
    like = None                 # the source whose arithmetic and defaults it has, if not the catalogue's own
    maker = None                # the function that makes such objects by name
    hyperparameters = options = ()
    _rate_name = None
    _scheduled = False          # whether its numbers may be schedules
    _other_arguments = ()       # of the constructor
    _attributes = frozenset()   # public ones that instances may set
    words = {}
    hints: dict[str, str] = {}
    _synonyms = {}
    _told = {}                  # what is said when an attribute is read that there is not, by its name
    _version = None             # another object after each change of a hyperparameter

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        found = {}
        for base in reversed(cls.__mro__):
            found.update({k: v for k, v in vars(base).items() if isinstance(v, Hyperparameter)})
        cls.hyperparameters = tuple(k for k, v in found.items() if not isinstance(v, Option))
        cls.options = tuple(k for k, v in found.items() if isinstance(v, Option))
        ordered = [*((k, Parameter.POSITIONAL_OR_KEYWORD) for k in cls.hyperparameters),
                   *((k, Parameter.KEYWORD_ONLY) for k in cls.options)]
        cls.__signature__ = Signature([Parameter(k, kind, default=found[k].default) for k, kind in ordered])
        cls._attributes = frozenset().union(*(vars(base).get("_attributes", ()) for base in cls.__mro__),
                                            _introduced(cls))
        cls._synonyms, cls._told = synonyms_of(cls), {}
        for word, names in cls._synonyms.items():
            if isinstance(getattr(cls, word, Synonym()), Synonym):
                setattr(cls, word, Synonym(*names))

    def __init__(self, *args: Any, **kwds: Any) -> None:
        cls = type(self)
        kwds = canonical(cls, kwds, self._title())
        try:
            bound = cls.__signature__.bind(*args, **kwds)
        except TypeError as error:
            raise TypeError(f"{self._title()}: {error}") from None
        bound.apply_defaults()
        self._set({k: getattr(cls, k).checked(v) for k, v in bound.arguments.items()})

    if not TYPE_CHECKING:       # type checkers would take it that anything can be set
        def __setattr__(self, name, value):
            if name[:1] != "_" and name not in self._attributes:
                found = getattr(type(self), name, None)         # a data descriptor, or a method that is replaced
                if not (hasattr(type(found), "__set__") or callable(found) and callable(value)):
                    raise AttributeError(self._refused(name, "set"))
            try:
                object.__setattr__(self, name, value)
            except AttributeError:              # a property without a setter
                raise AttributeError(self._refused(name, "set")) from None

        def __getattr__(self, name):            # called where nothing of that name has been found
            cls = type(self)
            if name[:1] == "_" or hasattr(cls, name):           # a property's own AttributeError is raised again
                return object.__getattribute__(self, name)
            if name not in cls._told:                           # kept: programs ask with hasattr at every step
                cls._told[name] = self._refused(name)
            raise AttributeError(cls._told[name])

        def __delattr__(self, name):
            try:
                object.__delattr__(self, name)
            except AttributeError:
                raise AttributeError(self._refused(name, "deleted")) from None

    def _refused(self, name, done=None):
        """Why an attribute of that name cannot be set or deleted, or with None that there is none."""
        cls = type(self)
        if hasattr(cls, name):
            return f"{name} of {self._title()} cannot be {done}"
        declare = f"; attributes of a subclass have a value in its body: {name} = None"
        return unknown(cls, name, self._title(), noun="attribute") + (declare if done == "set" and not _is_own(cls) else "")

    def _set(self, values):
        """Take values that have been checked, one by one."""
        self._check_together(values)
        self.__dict__.update({**values, "_version": object()})      # at once: Ctrl-C may come between two calls
        self._hyperparameter_set()

    def _check_together(self, values):
        """Raises ValueError where new values do not go with others."""

    def _changed(self):
        self.__dict__["_version"] = object()
        self._hyperparameter_set()

    def _title(self):
        return self.name or type(self).__name__

    def _hyperparameter_set(self):
        """Called after hyperparameters have been set."""

    def _shown_values(self):
        """What the repr shows of hyperparameters and options, as text."""
        cls, shown = type(self), []
        for name in (*cls.hyperparameters, *cls.options):
            declared, value = getattr(cls, name), self.__dict__[name]
            default = (value is declared.default
                       or isinstance(declared, Option) | isinstance(value, str) and value == declared.default)
            if not (default and isinstance(declared, (Choice, Option))):
                shown.append(f"{name}={value!r}")
        return [*shown, f"like={self.like!r}"] if self.like else shown

    def __repr__(self):
        shown = self._shown_values()
        if self.maker is None:
            return f"{type(self).__name__}({', '.join(shown)})"
        return f"{self.maker}({', '.join([repr(self.name), *shown])})"


def _is_own(cls):
    return str(cls.__module__).partition(".")[0] == __name__.partition(".")[0]         # None: made by exec


def _introduced(cls):
    """The public attributes that a user's class is the first to give a value: those its instances may set."""
    if _is_own(cls):
        return ()
    return [name for name, value in vars(cls).items() if not (
        name.startswith("_") or callable(value) or hasattr(type(value), "__get__") or hasattr(type(value), "__set__")
        or any(hasattr(base, name) for base in cls.__bases__))]


def one_axis(value):
    """An integer. Raises TypeError."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"axis must be an integer, not {value!r}") from None
