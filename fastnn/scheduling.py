"""What every schedule is: its arguments and their checks, its value at a step. The rows: schedules.py."""
import math
from collections.abc import Callable, Iterable
from functools import partial
from inspect import Parameter, Signature, get_annotations, signature
from numbers import Real
from operator import index
from os.path import basename
from types import FunctionType, MethodType
from typing import Annotated, Any

from .registry import hint

LAMBDA = "<lambda>"
catalogue: dict[str, type["Schedule"]] = {}     # the rows by name, in the order of their definition
# What other libraries call an argument; said in the error, where the schedule has the one meant.
WORDS = {name: words.split() for name, words in {
    "value": "init_value peak_value max_value lr learning_rate base_lr initial_lr initial_learning_rate max_lr peak_lr",
    "steps": "decay_steps transition_steps T_max total_iters total_steps num_training_steps max_iters max_steps",
    "end_value": "eta_min min_lr final_lr end_learning_rate",
    "warmup": "warmup_steps num_warmup_steps warmup_iters warmup_epochs",
    "warmup_value": "warmup_init warmup_lr start_factor",
    "gamma": "decay_rate factor m_mul",
    "T_0": "first_decay_steps first_cycle_steps", "T_mult": "t_mul cycle_mult",
    "milestones": "boundaries", "boundaries": "milestones", "shape": "decay_type", "step_size": "transition_steps",
}.items()}


# Arguments: a type to read and a function (value, what it is called) -> the value as it is kept

def as_number(value: Any, what: str) -> float:
    """The float of a real number, of an array of no dimensions (NumPy's, JAX's, PyTorch's), too. Raises TypeError."""
    given = value
    if not isinstance(value, Real) and getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} must be a number, not {given!r:.80}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def interval(above, at_least, below, value):
    """What numbers are allowed, in words, to one who gave `value`."""
    low = f"at least {at_least:g}" if at_least > -math.inf else f"above {above:g}" if above > -math.inf else "finite"
    if below < math.inf:
        return f"{low} and below {below:g}"
    return f"{low} and finite" if math.isinf(value) and low != "finite" else low


def number(above=-math.inf, at_least=-math.inf, below=math.inf, optional=False):
    def checked(value, what):
        if value is None and optional:
            return None
        value = as_number(value, what)
        if not (above < value < below and value >= at_least):       # false for NaN
            raise ValueError(f"{what} must be {interval(above, at_least, below, value)}, not {value!r}")
        return value
    return checked


def whole(least, most=2**63 - 1):
    wanted = f"at least {least}{' and below 2**63' if most == 2**63 - 1 else f' and at most {most}'}"

    def checked(value, what):
        try:
            if isinstance(value, bool):
                raise TypeError
            found = index(value)
        except TypeError:
            raise TypeError(f"{what} must be an integer, not {value!r:.80}") from None
        if not least <= found <= most:
            raise ValueError(f"{what} must be {wanted}, not {found if abs(found) < 10**20 else 'as large as this'}")
        return found
    return checked


def one_of(*words):
    def checked(value, what):
        if not (value is None or isinstance(value, str)):
            raise TypeError(f"{what} must be a string, not {value!r:.80}")
        if value not in words:
            raise ValueError(f"{what} must be {' or '.join(map(repr, words))}, not {value!r:.80}")
        return value
    return checked


def flag(value, what):
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {value!r:.80}")
    return value


def several(each, least=1, increasing=False):
    def checked(value, what):
        if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
            raise TypeError(f"{what} must be a list, not {value!r:.80}")
        found = tuple(each(item, f"{what}[{i}]") for i, item in enumerate(value))
        if len(found) < least:
            raise ValueError(f"{what} must have at least {least} elements, not {len(found)}" if found else
                             f"{what} must not be empty")
        if increasing and any(a >= b for a, b in zip(found, found[1:])):
            raise ValueError(f"{what} must increase, not {list(found)!r:.80}")
        return found
    return checked


def a_schedule(value, what):
    if not is_schedule(value):
        raise TypeError(f"{what} must be a schedule or a function of t, not {value!r:.80}{uncalled(value)}")
    check_takes(value, ("t",), what)
    return value


Number = Annotated[float, number()]
Positive = Annotated[float, number(above=0)]
NotNegative = Annotated[float, number(at_least=0)]
Steps = Annotated[int, whole(1)]
Count = Annotated[int, whole(0)]
Boundaries = Annotated[tuple[int, ...], several(whole(1), increasing=True)]
Numbers = Annotated[tuple[float, ...], several(number())]
Flag = Annotated[bool, flag]


class Schedule:
    """A number that changes with t, the number of the step that it is used in, counted from 1.

    `schedule(t)` is a float. t is an integer of at least 1, or a float that is one; beyond the schedule's end the value
    stays. TypeError for a t that is no number, ValueError for one that is no such integer.

    Schedules cannot be changed, are equal where their arguments are, and may be keys, pickled and copied; only
    `reduce_on_plateau` has a state, and is equal to itself alone. An argument out of its range raises ValueError, one
    of a wrong type TypeError.

    A schedule is no number: where lr is one, opt.lr is the schedule, and opt.lr(opt.t + 1) its value at the next step.
    Arithmetic, as in opt.lr *= 0.5, and comparisons raise TypeError.
    """

    __signature__ = Signature()
    _by_keyword: Any = ()
    _checks: Any = {}
    _example: Any = (), {}

    def __init__(self, *args: Any, **kwds: Any) -> None:
        cls = type(self)
        title, known = cls.__name__, cls.__signature__.parameters
        for word in kwds:
            if word not in known:
                meant = [name for name, words in WORDS.items() if word in words and name in known]
                said = f" (did you mean {meant[0]}?)" if meant else hint(word, known)
                raise TypeError(f"{title} has no argument {word!r:.80}{said}")
        try:
            bound = cls.__signature__.bind(*args, **kwds)
        except TypeError as error:
            raise TypeError(f"{title}: {error}: it is {call_of(cls)}") from None
        bound.apply_defaults()
        self.__dict__.update({name: cls._checks[name](value, f"{title}: {name}")
                              for name, value in bound.arguments.items()})
        self._check()

    def __call__(self, t: int) -> float:
        return self._at(step_number(t) - 1)

    def _at(self, count):
        """The value after `count` steps: the formula."""
        raise NotImplementedError

    def _check(self):
        """Raises ValueError for arguments that do not go together."""

    def _refuse(self, what):
        raise ValueError(f"{type(self).__name__}: {what}")

    @classmethod
    def example(cls) -> "Schedule":
        """One with arguments as they may be, of 1,000 steps where it has a length: what `fastnn plot` draws."""
        args, kwds = cls._example
        return cls(*args, **kwds)

    def arguments(self) -> dict[str, Any]:
        """The arguments by name, in the order of the signature."""
        return {name: self.__dict__[name] for name in type(self).__signature__.parameters}

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return self.arguments() == other.arguments()

    def __hash__(self):
        return hash((type(self), *self.arguments().values()))

    def __setattr__(self, name, value):
        raise AttributeError(f"{type(self).__name__}: a schedule cannot be changed, but exchanged for another")

    def __delattr__(self, name):
        self.__setattr__(name, None)

    def _no_number(self, *operands):
        raise TypeError(f"{self!r:.200} is a schedule, no number: where lr is one, opt.lr(opt.t + 1) is its value at "
                        "the next step, and opt.lr = ... sets another schedule or a number")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = \
        __neg__ = __float__ = __lt__ = __le__ = __gt__ = __ge__ = _no_number

    def __format__(self, spec):
        return self._no_number() if spec else str(self)

    def __repr__(self):
        told = []
        for name, parameter in type(self).__signature__.parameters.items():
            value = self.__dict__[name]
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                told.append(shown(value))
            elif value != parameter.default:
                told.append(f"{name}={shown(value)}")
        return f"schedules.{type(self).__name__}({', '.join(told)})"


class Warmed(Schedule):
    """With warmup=n the first n steps rise in a straight line from `warmup_value` towards the first value: step t has
    warmup_value + (first - warmup_value) (t - 1)/n, and step n + 1 has the first value.

    `steps` and boundaries are counted from step 1 on, the warm-up included; what has neither begins after it.
    """

    warmup: Count = 0
    warmup_value: Number = 0.0

    def __call__(self, t: int) -> float:
        count = step_number(t) - 1
        if count < self.warmup:
            return descent(self.warmup_value, self._at(0), count, self.warmup)
        return self._at(count - self.warmup)


def row(*args, **kwds):
    """Class decorator: enters a schedule in the catalogue. The arguments are its `example`'s.

    Annotations say what arguments there are: given by keyword are those with defaults, those of a warm-up last, and
    those in `_by_keyword`: other libraries have another order.
    """
    def entered(cls):
        found = {}
        for base in reversed(cls.__mro__):
            found.update(get_annotations(base))
        found = {name: kind for name, kind in found.items() if hasattr(kind, "__metadata__")}
        names = sorted(found, key=lambda name: (hasattr(cls, name), name in cls._by_keyword,
                                                name in get_annotations(Warmed)))
        cls.__signature__ = Signature([
            Parameter(name, Parameter.KEYWORD_ONLY if hasattr(cls, name) or name in cls._by_keyword else
                      Parameter.POSITIONAL_OR_KEYWORD, default=getattr(cls, name, Parameter.empty),
                      annotation=found[name].__origin__) for name in names])
        cls._checks = {name: found[name].__metadata__[0] for name in names}
        cls._example = args, kwds
        catalogue[cls.__name__] = cls
        return cls
    return entered


# What the formulas share

STEP_NUMBER = whole(1)


def step_number(t: Any) -> int:
    """t as an integer of at least 1."""
    if type(t) is int and 1 <= t < 2**63:
        return t
    if isinstance(t, float):
        if not t.is_integer():
            raise ValueError(f"t must be a whole number of steps, not {t!r}")
        t = int(t)
    return STEP_NUMBER(t, "t")


def descent(start, end, count, length, power=1.0, shape="linear"):
    """From `start` on towards `end`, which is reached after `length` steps and kept: end + (start - end) left^power.

    `left` is the share of the way that is left; of a half-cosine with shape="cosine". Both shares of a sum are computed
    from what is small in them, so that a value near either end is as accurate as one in the middle.
    """
    if count >= length:
        return end
    passed, left = count/length, (length - count)/length
    if shape == "cosine":
        passed, left = math.sin(math.pi/2*passed)**2, math.sin(math.pi/2*left)**2
    elif shape == "sqrt":
        passed, left = math.sqrt(passed), left/(1 + math.sqrt(passed))
    if power != 1:
        log = math.log(left) if left < passed else math.log1p(-passed)
        passed, left = -math.expm1(power*log), left**power
    return start*left + end*passed


def scaled(value, gamma, times):
    """value gamma^times; infinity beyond float64's range."""
    try:
        return value*gamma**times
    except OverflowError:
        return math.copysign(math.inf, value) if value else 0.0


# Schedules of any kind: ours, plain functions, other libraries'

def catalogued(value):
    """Whether it is of a class in the catalogue, which a user's subclass is not."""
    return catalogue.get(type(value).__name__) is type(value)


def is_schedule(value: Any) -> bool:
    """Whether it can be called with t: one of these schedules, a function, an optax schedule. A class is none."""
    return callable(value) and not isinstance(value, type)


def call_of(cls):
    """How a schedule is made: its signature without annotations."""
    parameters = cls.__signature__.parameters.values()
    return f"{cls.__name__}{Signature([one.replace(annotation=one.empty) for one in parameters])}"


def uncalled(value):
    """What is said of a schedule's class or name where a schedule is wanted; "" of anything else."""
    for name, cls in catalogue.items():
        if value is cls or isinstance(value, str) and value == name:
            return f": call it, schedules.{call_of(cls)}"
    return ""


def check_takes(function, names, what):
    """Raises TypeError where a function's signature tells that it cannot be called with these arguments."""
    plain = isinstance(function, (FunctionType, MethodType, partial))
    try:                                        # a class may have a __signature__, which is its constructor's
        found = signature(function if plain else function.__call__)
    except (TypeError, ValueError, NameError):  # compiled functions have none; annotations may name what there is not
        return
    try:
        found.bind(*names)
    except TypeError as error:
        given = " and ".join(names)
        raise TypeError(f"{what}: {function_name(function)} cannot be called with {given}: {error}") from None


# What a function raises by its own fault; what comes through it, of signal handlers for instance, is left alone.
FAULTS = ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError


def failure(error, what):
    """The exception to raise from one of FAULTS: it says which function of the user's failed, and where."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{what} raises {type(error).__name__}: {error}")


def value_at(schedule: Callable[[int], Any], t: int) -> float:
    """The value of a schedule at step t, from 1: a finite float.

    `schedule` may be any function of t; it may return a real number of any kind, an array of no dimensions included
    (NumPy's, JAX's or PyTorch's). An optax schedule counts from 0: give `lambda t: schedule(t - 1)`.

    Raises TypeError if what it returns is no number, ValueError if that is NaN or infinite.
    """
    value = schedule(t)
    if type(value) is not float:
        value = as_number(value, f"the schedule {shown(schedule):.200} at t = {t}")
    if not math.isfinite(value):
        raise ValueError(f"the schedule {shown(schedule):.200} is {value} at t = {t}")
    return value


def shown(value):
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    return function_name(value) if callable(value) and not isinstance(value, Schedule) else repr(value)


def function_name(function):
    """The name of a function, by which a state knows it; with file and line for a lambda, which has none."""
    found = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if not isinstance(found, str):
        return type(function).__qualname__
    code = getattr(function, "__code__", None)
    if LAMBDA in found and code is not None:
        return f"{found} ({basename(code.co_filename)}, line {code.co_firstlineno})"
    return found
