"""Hyperparameters: declared once in a class, checked wherever they are set, shown in the signature and the repr."""
import math
from inspect import Parameter, Signature
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from .registry import hint

REQUIRED = Parameter.empty


def as_float(value):
    """float(value); infinity for numbers beyond its range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


class Hyperparameter:
    """A number with a range. Setting it raises TypeError if it is no number, ValueError if it is out of range.

    There is no __get__: values are read from the instance at the speed of any attribute.
    """

    def __init__(self, default=REQUIRED, *, above=-math.inf, at_least=-math.inf, below=math.inf, integer=False):
        self.default = default
        self.above, self.at_least, self.below, self.integer = above, at_least, below, integer

    def __set_name__(self, owner, name):
        self.name = name

    if TYPE_CHECKING:           # what reading the instance gives
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = self.checked(value)
        instance._hyperparameter_set()

    def checked(self, value):
        wanted = Integral if self.integer else Real
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise TypeError(f"{self.name} must be {'an integer' if self.integer else 'a number'}, not {value!r}")
        value = int(value) if self.integer else as_float(value)
        if not (self.above < value < self.below and value >= self.at_least):      # false for NaN
            raise ValueError(f"{self.name} must be {self.range()}, not {value!r}")
        return value

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
        return value

    def restored(self, stored, current):
        """The value that a state stands for. Raises as `checked` does."""
        return self.checked(stored)

    def range(self):
        if self.at_least > -math.inf:
            low = f"at least {self.at_least:g}"
        else:
            low = f"above {self.above:g}" if self.above > -math.inf else "finite"
        return f"{low} and below {self.below:g}" if self.below < math.inf else low


class Choice(Hyperparameter):
    """A hyperparameter that is no number: `check(value)` returns it, or raises TypeError or ValueError."""

    def __init__(self, default, check):
        super().__init__(default)
        self.checked = check

    def stored(self, value):
        return getattr(value, "__name__", type(value).__name__) if callable(value) else None

    def restored(self, stored, current):
        """The value that there is: a state has no more than its name."""
        if type(stored) not in (str, type(None)) or stored != self.stored(current):
            raise ValueError(f"{self.name} must be {stored!r} as in the state, not {self.stored(current)!r}")
        return current


class Configurable:
    """An object with hyperparameters, given by position or keyword in the order of their declaration.

    Subclasses name their learning rate in `learning_rate`; it can then be given as `lr`, too.
    """

    name = None
    learning_rate = None
    maker = None                # the function that makes such objects by name

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        found = {}
        for base in reversed(cls.__mro__):
            found.update({k: v for k, v in vars(base).items() if isinstance(v, Hyperparameter)})
        cls.hyperparameters = tuple(found)
        cls.__signature__ = Signature([Parameter(k, Parameter.POSITIONAL_OR_KEYWORD, default=v.default)
                                       for k, v in found.items()])

    def __init__(self, *args: Any, **kwds: Any) -> None:
        cls = type(self)
        if "lr" in kwds and self.learning_rate not in (None, "lr"):
            if self.learning_rate in kwds:
                raise TypeError(f"{self._title()}: lr is {self.learning_rate}, give one of them")
            kwds[self.learning_rate] = kwds.pop("lr")
        for keyword in kwds:
            if keyword not in self.hyperparameters:
                raise TypeError(f"{self._title()} has no hyperparameter {keyword!r}"
                                f"{hint(keyword, self.hyperparameters)}")
        try:
            bound = cls.__signature__.bind(*args, **kwds)
        except TypeError as error:
            raise TypeError(f"{self._title()}: {error}") from None
        bound.apply_defaults()
        self.__dict__.update({k: getattr(cls, k).checked(v) for k, v in bound.arguments.items()})
        self._hyperparameter_set()

    def _title(self):
        return self.name or type(self).__name__

    def _hyperparameter_set(self):
        """Called after hyperparameters have been set."""

    def __repr__(self):
        values = {k: self.__dict__[k] for k in self.hyperparameters}
        shown = [f"{k}={v!r}" for k, v in values.items()
                 if not isinstance(getattr(type(self), k), Choice) or v is not getattr(type(self), k).default]
        if self.maker is None:
            return f"{type(self).__name__}({', '.join(shown)})"
        return f"{self.maker}({', '.join([repr(self.name), *shown])})"
