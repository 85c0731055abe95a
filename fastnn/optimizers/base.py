"""What all optimizers share: how they are called, what is done around a rule, and the state."""
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from inspect import signature
from numbers import Number
from operator import index
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np

from .. import messages
from ..core import rules
from ..core.stepping import FROZEN, Stepper
from ..core.transactions import Transaction
from ..dialects import of_source, row
from ..groups import group_of, numbers_at, restored
from ..hyperparameters import Hyperparameter, Option
from ..options import Adjustable
from ..registry import Registry, hint
from ..state import checked, state_of
from ..trees import checked_items, each, flattened

if TYPE_CHECKING:                   # written by the build: tools/names.py
    from .._names import OptimizerName, Source

_registry = Registry("optimizer")
skips_are_told = ContextVar("skips_are_told", default=False)       # by who calls: a Trainer has its own way to
MISSING = object()
SEVERAL = (Mapping, list, tuple)
STATE_DTYPES = ("float32", "bfloat16", "int8")
UNCOPIED = ("_kernels", "_groups", "_resolved", "_version", "_last_change")     # addresses; groups have a link to their optimizer


def get_opt(name: "OptimizerName | str", *args: Any, like: "Source | None" = None, **kwds: Any) -> "Optimizer":
    """Make the optimizer of that name.

    Parameters
    ----------
    name : str
        One of `optimizers()`; case, spaces, - and _ do not count.
    *args : float or schedule
        The rule's hyperparameters in their order, which `help(get_opt(name))` shows.
    like : {"torch", "optax", "keras", "chainer", "sklearn", "dlfs", "article"}, optional
        Whose name it is: that library's arguments, defaults and arithmetic are taken (docs/dialects.md). "dlfs" is the book
        "Deep Learning from Scratch", "article" is article A (`help(fastnn.articles)`). None: the paper's rule.
    **kwds : float, schedule or option
        Hyperparameters by name; every optimizer understands `lr`. All take the options `weight_decay`, `l2`, `l1`,
        `clip_value`, `clip_norm`, `clip_global_norm`, `clip_adaptive`, `maximize`, `grad_scale`, `centralize`,
        `output_axis`, `groups` (a list of `fastnn.group`), and `state_dtype`: "float32", or "bfloat16" or "int8" for
        state in half or a quarter of the memory.

    Returns
    -------
    Optimizer
        Its `step(params, grads)` changes parameters in place, its `update(grads)` returns deltas to be added. Where
        arguments ask for more state than a rule has, as in ``get_opt("SGD", momentum=0.9)``, it is a rule of its own.

    Raises
    ------
    ValueError
        For an unknown name or source, with the nearest name, and for a value out of its range.
    TypeError
        For an unknown hyperparameter or option, with the nearest name, and for what is no number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import get_opt, schedules
    >>> opt = get_opt("Adam", lr=schedules.cosine(0.1, 1000), weight_decay=0.01)
    >>> params, grads = {"W": np.ones((3, 2))}, {"W": np.full((3, 2), 0.5)}
    >>> opt.step(params, grads)
    >>> float(params["W"][0, 0])
    0.899...
    >>> get_opt("AdamW", like="torch", betas=(0.9, 0.95)).beta2
    0.95
    """
    cls = row(_registry, name, like)
    if like is None and "variants" in vars(cls):
        cls, kwds = variant(cls, kwds)
    return cls(*args, **kwds)


def variant(cls, given):
    """(class, arguments): the row that arguments ask for by `variants`. Words that it has no hyperparameter for are
    flags. Raises TypeError for a flag that is none, or that is nothing without another argument."""
    rows = {frozenset(words): _registry.catalogued(name) for words, name in cls.variants.items()}
    flags = {word for words, found in rows.items() for word in words if word not in found.hyperparameters}
    for word in flags & given.keys():
        if not isinstance(given[word], (bool, np.bool_)):
            raise TypeError(f"{cls.name}: {word} must be True or False, not {given[word]!r}")
    asked = {word for words in rows for word in words if word in given and (word not in flags or given[word])}
    found = rows.get(frozenset(asked), cls)
    if asked and found is cls:
        missing = min((words - asked for words in rows if asked < words), key=len)
        raise TypeError(f"{cls.name}: {' and '.join(asked)} goes with {' and '.join(missing)}")
    return found, {word: value for word, value in given.items() if word not in flags}


def optimizers() -> list[str]:
    """The names of all optimizers, in the order of the catalogue; those that were registered come last."""
    return _registry.names()


def are_mappings(first, second):
    return type(first) is type(second) is dict or isinstance(first, Mapping) and isinstance(second, Mapping)


def are_sequences(first, second):
    return isinstance(first, (list, tuple)) and isinstance(second, (list, tuple))


class Optimizer(Adjustable, Stepper):
    """What all optimizers share: three ways to take a step, and the state.

    Parameters are NumPy arrays of any shape and strides, float32 or float64, or float16 or bfloat16 (ml_dtypes), which
    are computed in float32 and rounded once a step, to nearest even. Gradients have their shapes and are cast to the
    dtype that is computed in. State is kept for each key of a mapping and each position of a sequence.

    state_dtype says how: "float32" (float64 for float64 parameters), or, in rules whose state is exponential moving
    averages, "bfloat16" or "int8" (reduced-precision storage), for parameters of up to 32 bits. Both use stochastic
    rounding, with the same results in every run and for any number of threads; of averages of squares int8 keeps at
    least 2^-15.9 of the largest of each 256 elements. A NaN stays with its element. After Dettmers et al. 2022, arXiv
    2110.02861; fastnn/core/stored.h describes the formats.

    NaN or infinite gradients affect only their own elements, permanently. In rules that average squares so do
    those whose square is infinite, from 1.9e19 on in float32 and 1.4e154 in float64: clip them.

    Attributes
    ----------
    t : int
        Steps taken so far, of the parameter that has taken the most: each counts its own.
    skipped : int
        Steps that were skipped because a norm was infinite or NaN.
    lr : float
        The learning rate, whatever the rule calls it.
    like : str or None
        The source whose arithmetic it has, such as "article", if that is not the catalogue's own.
    state_dtype : str
        Given at construction.

    Options around the rule - decay, clipping, groups, frozen parameters - are described at the constructor and at each
    option. A step whose clipping norm is NaN or infinite is skipped: nothing changes, `skipped` counts it, and there is
    a RuntimeWarning.

    Every step raises, before anything has changed: KeyError for a missing gradient; ValueError for shapes that do not
    fit, for a parameter that is read-only, shares memory with another or has changed its shape or dtype since the last
    step, for a schedule that gives what could not be set, and for a group that fits no parameter; TypeError for
    anything but arrays of real numbers, and where deltas are asked for without w= and an option or a rule reads p;
    RuntimeError if the optimizer is in use: in another thread, or by a caller in this one, where a step has called the
    function, mapping or signal handler that now uses it. So does everything that reads or replaces the state;
    hyperparameters may be set at any time. A step that has begun to write is completed before Ctrl-C is handled.
    """

    maker = "get_opt"
    _rate_name = "lr"
    _decay_rate_name = None     # what weight_decay is multiplied by, if not the learning rate
    _other_arguments = ("groups", "state_dtype", "like")
    slots = {}                  # name -> first value, None: it begins as the parameter
    scalars = {}                # name -> first value: what is kept of each parameter besides
    variants = {}               # arguments of get_opt -> the name of the row that has the state for them; not inherited
    stored = {}                 # name -> how int8 spaces its numbers, for each slot; empty: float32 alone
    kernels = ()                # the names of the rules
    peers = {}                  # what `fastnn bench` times beside it: library -> (name there, arguments); not inherited
    timed_with = {}             # the arguments that benchmarks give it
    compared_with = {}          # those that `fastnn compare` gives it, where the defaults are for other tasks; not inherited
    elementwise = True          # whether an element's step depends on nothing but that element
    lazy = True                 # whether it can step some rows of a parameter alone
    measures = False            # whether a step asks `_measure`: its constants, or its gradients, are made of whole tensors
    measures_p = False          # and of the parameter among them
    skipped: int = 0
    lr: Any
    _state_dtype = "float32"
    _kernels = {}
    _known = None, False, False             # of a version: whether anything is scheduled, whether anything goes around
    _by_time = True             # whether constants depend on t
    # what the articles' loops pass to `update`; every optimizer takes all of it and uses what its rule needs
    _update_arguments = ("t", "f", "N", "w", "b", "dfw", "dfb", "nargs")
    _positional = ("t",)

    def __init_subclass__(cls, name=None, kernel=None, aliases=(), like=None, **kwds):
        super().__init_subclass__(**kwds)
        cls.peers, cls.compared_with = (cls.__dict__.get(name, {}) for name in ("peers", "compared_with"))
        if kernel:
            cls.kernels = (kernel,) if isinstance(kernel, str) else kernel
        cls._by_time = len(signature(cls.constants).parameters) > 1
        for rule in cls.kernels:
            if rule in rules.RULES and len(cls.slots) != rules.RULES[rule][2]:
                raise TypeError(f"{cls.__name__} has {len(cls.slots)} slots; the rule {rule!r} works on "
                                f"{rules.RULES[rule][2]}")
        if name:
            cls.name, cls.like = name, like
            (_registry.dialect(like) if like else _registry).add(name, cls, aliases)

    def __init__(self, *args: Any, state_dtype: str = "float32", **kwds: Any) -> None:
        """The rule's hyperparameters by position or keyword, all else by keyword.

        Parameters
        ----------
        *args, **kwds : number or schedule
            The rule's hyperparameters and, by keyword, the options `weight_decay`, `l2`, `l1`, `clip_value`,
            `clip_norm`, `clip_global_norm`, `clip_adaptive`, `maximize`, `grad_scale`, `centralize` and `output_axis`,
            which are described below. A schedule is a function of t, the parameter's own step, from 1
            (`fastnn.schedules`); what it gives is checked at each step as if it had been set. All are attributes, to
            be set at any time.
        groups : list of Group
            Parameters with other settings: see `fastnn.group`.
        state_dtype : str
            "float32", "bfloat16" or "int8": how state is kept.

        For each parameter p with its gradient g, what is asked for happens in this order:

            g *= grad_scale, and g = -g for maximize; clipping in one of its four ways; g += l2 p + l1 sign(p);
            centralize; the rule, which gives delta; p = p - lr weight_decay p + delta.

        In float16 and bfloat16 all of it is computed in float32 and rounded once.

        Raises
        ------
        TypeError
            For an unknown name, with the nearest one, and for what is no number.
        ValueError
            For a value out of its range, more than one way to clip for a parameter, or a state_dtype that is unknown or
            that the rule does not have.
        """
        super().__init__(*args, **kwds)
        self._state_dtype = self._checked_state_dtype(state_dtype)
        self._paths = {}
        if state_dtype == "float32":
            self._slots(self.slots.values(), self.scalars.values(), measures=self.measures)
        else:
            formats = [rules.STORED[spacing if state_dtype == "int8" else state_dtype]
                       for spacing in self.stored.values()]
            self._slots(self.slots.values(), self.scalars.values(), state_dtype, formats, self.measures)
        self._kernels = self._compiled_rules()

    def _compiled_rules(self):
        """name -> (addresses, names of the constants or None, whether the rule reads the parameter)."""
        found = {name: rules.RULES[name] for name in self.kernels}
        if self.state_dtype == "float32":
            return {name: (addresses, names, reads_p) for name, (addresses, names, _, reads_p) in found.items()}
        return {name: (rules.STORED_RULES[self.state_dtype][name], names, reads_p)
                for name, (_, names, _, reads_p) in found.items()}

    @property
    def state_dtype(self) -> str:
        """How state is kept, as given at construction."""
        return self._state_dtype

    def _checked_state_dtype(self, name):
        if not isinstance(name, str):
            raise TypeError(f"state_dtype must be a string, one of {', '.join(STATE_DTYPES)}, not {name!r}")
        if name not in STATE_DTYPES:
            raise ValueError(f"state_dtype must be one of {', '.join(STATE_DTYPES)}, not {name!r}")
        if name != "float32" and not self.stored:
            able = [other for other in optimizers() if _registry[other].stored]
            raise ValueError(f"{self._title()} has no state in {name}, only {', '.join(able)} have")
        return name

    def __repr__(self):
        shown = super().__repr__()
        return shown if self.state_dtype == "float32" else f"{shown[:-1]}, state_dtype={self.state_dtype!r})"

    @staticmethod
    def constants(h, t):
        """The constants of a step by their names in the compiled rule. h has the hyperparameters as numbers; t is the
        parameter's own step, from 1 (left out by rules that do not depend on it); what `scalars` keeps comes behind."""
        raise TypeError("this class has no rule")

    @staticmethod
    def advanced(h, t, scalars, extra):
        """What is kept of a parameter in step t. `extra` is what `update` was called with."""
        return scalars

    def arrays(self, shape):
        """State of other shapes, for a parameter of this one: name -> the shapes that it may have, first the one that a
        new one has."""
        return {}

    @staticmethod
    def checked_scalars():
        """Takes what `scalars` keeps, by name. Raises ValueError for what cannot be."""

    @staticmethod
    def rule_at(h, t):
        """Which of `kernels` step t takes."""
        return 0

    def update(self, first: Any = MISSING, second: Any = MISSING, *args: Any, **kwds: Any) -> Any:
        """Take a step, in the dialect of article A or in that of articles B and C.

        ``dw, db = update(grad_w, grad_b, t=1)`` and ``dw = update(grad)`` return deltas, to be added to the
        parameters: arrays of the gradients' shapes, or scalars for plain numbers. ``update(params, grads)`` takes two
        mappings or two sequences, changes the parameters in place and returns None.

        An explicit t takes precedence over the parameters' own counts. What other rules need (f, N, w, b, dfw, dfb,
        nargs) is accepted and left unused, so that one loop can drive every optimizer; w and b are the parameters that
        the deltas are for, which weight decay and the like need.
        """
        if first is MISSING or kwds:
            first, second = self._by_name(first, second, kwds)
        if args and isinstance(args[0], str):
            raise TypeError(messages.named_parameter(args[0]))
        extra = self._extra(args, kwds) if args or kwds else {}
        if are_mappings(first, second):
            self._step_mapping(first, second, extra)
            return None
        if are_sequences(first, second):
            self._step_sequence(first, second, extra)
            return None
        if second is MISSING and isinstance(first, SEVERAL):
            raise TypeError(messages.gradients_missing() if isinstance(first, Mapping) else messages.one_sequence())
        if isinstance(first, SEVERAL) or isinstance(second, SEVERAL):
            raise TypeError(messages.mixed("update", first, second))
        deltas = self._step_deltas([first] if second is MISSING else [first, second], extra)
        deltas = [delta if delta.ndim else delta[()] for delta in deltas]
        return deltas[0] if second is MISSING else tuple(deltas)

    def step(self, params: Any, grads: Any, **kwds: Any) -> None:
        """Change parameters in place: two mappings, two sequences, or one array each. Returns None.

        Mappings and sequences may be nested in each other ([(W, b), ...]); the key of such a parameter is the path to
        it, a tuple. An array alone is the parameter at position 0: a second one needs a key or an optimizer of its own.
        Plain numbers in mappings and sequences are stepped in float64 and put back. A gradient of None leaves its
        parameter, the state and the count of steps alone; `fastnn.Rows` steps some rows of it.
        """
        extra = self._extra((), kwds) if kwds else {}
        if type(params) is type(grads) is np.ndarray:           # before what asks abstract classes
            self._step_sequence([params], [grads], extra)
        elif are_mappings(params, grads):
            self._step_mapping(params, grads, extra)
        elif are_sequences(params, grads):
            self._step_sequence(params, grads, extra)
        elif isinstance(params, SEVERAL) or isinstance(grads, SEVERAL):
            raise TypeError(messages.mixed("step", params, grads))
        elif isinstance(params, Number):
            raise TypeError(messages.number_alone())
        elif not isinstance(params, np.ndarray):
            raise TypeError(messages.mixed("step", params, grads))
        else:
            self._step_sequence([params], [grads], extra)

    @property
    def state(self) -> Mapping[Any, Mapping[str, Any]]:
        """The state so far: for each key or position a mapping of arrays by slot.

        They have the parameter's shape, or shapes that the rule says, and are views that may be written to; keys cannot
        be set (`forget` drops one). State in bfloat16 or int8 is decoded into new float32 arrays that may not be
        written to; `load_state_dict` restores it. Raises ValueError if a mapping had a key that is also a position in a
        sequence: `state_dict` keeps the two apart.
        """
        return ReadOnly(self._alone(self._shown))

    def _shown(self):
        by_key, by_position = self._records
        if both := by_key.keys() & by_position.keys():
            raise ValueError(f"{', '.join(map(repr, both))}: both a key and a position; state_dict() has the two apart")
        return {key: ReadOnly({**{name: record.slot(i) for i, name in enumerate(self.slots)},
                               **{name: values[...] for name, values in (record.others or {}).items()}})
                for key, record in {**by_position, **by_key}.items()}

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on, besides the parameters: a dict of numbers, strings and new arrays.

        fastnn/state.py describes it. `load_state_dict` of an optimizer of the same kind resumes from there, bit for
        bit. Raises TypeError if noise is drawn by a bit generator that is not NumPy's.
        """
        return self._alone(state_of, self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, hyperparameters included, whatever has been done so far.

        A generator of noise that was given at construction is set to where the saved one stood, if it is of the same
        kind, else exchanged for a new one. Raises StateError, a ValueError, if the state is not that of such an
        optimizer with this state_dtype or is damaged; nothing has been changed then.
        """
        self._fitting(state)()

    def _fitting(self, state):
        """A function that puts the state in, and cannot fail. Raises StateError."""
        return self._alone(checked, self, state)        # raises now if it is in use, before others are changed

    def _former_like(self):
        """The source of its arithmetic when states had no `like`: names meant article A's then."""
        rows = of_source(_registry, "article")
        if self.name is None or self.name not in rows:
            return None
        former = rows[self.name]
        return former.like if isinstance(self, (former, _registry.catalogued(self.name))) else None

    def _restored_groups(self, saved, values):
        return restored(self, saved, values)

    def _remembered(self):
        """What the rule remembers besides slots and t: a dict of the shape of a state."""
        return {}

    def _recalled(self, remembered):
        """A function that puts back what was remembered, and cannot fail. Raises StateError."""
        return lambda: None

    def __reduce_ex__(self, protocol):
        """Copies, and pickles for other processes; files are written by `fastnn.save`."""
        return self._alone(self._reduced)

    def _reduced(self):
        attributes = {key: value for key, value in self.__dict__.items() if key not in UNCOPIED}
        return *self._remade(), (attributes, state_of(self))

    def _remade(self):
        """(function, arguments): what makes such an optimizer, before its first step."""
        return _made, (type(self), self._arguments())

    def _arguments(self):
        """What makes such an optimizer, by keyword."""
        cls = type(self)
        values = {name: self.__dict__[name] for name in (*cls.hyperparameters, *cls.options)}
        found = {name: value for name, value in values.items()
                 if not isinstance(getattr(cls, name), Option) or value != getattr(cls, name).default}
        if self._groups:
            found["groups"] = self._groups
        return found if self.state_dtype == "float32" else {**found, "state_dtype": self.state_dtype}

    def __setstate__(self, state):
        attributes, state = state
        self._fitting(state)()
        self.__dict__.update(attributes)

    def _by_name(self, first, second, kwds):
        """The first two arguments where they are given by the articles' names for them; taken out of kwds."""
        for names in (("params", "grads"), ("grad_w", "grad_b")):
            given = [kwds.pop(name, MISSING) for name in names]
            if first is MISSING:
                first = given[0]
            elif given[0] is not MISSING:
                raise TypeError(f"update got {names[0]} twice")
            if second is MISSING:
                second = given[1]
            elif given[1] is not MISSING:
                raise TypeError(f"update got {names[1]} twice")
        if first is MISSING:
            raise TypeError("update needs gradients, or parameters and gradients")
        return first, second

    def _extra(self, args, kwds):
        if len(args) > len(self._positional):
            raise TypeError(f"{self._title()}.update takes at most {2 + len(self._positional)} positional arguments")
        for keyword in kwds:
            if keyword in ("name", "key") and isinstance(kwds[keyword], str):
                raise TypeError(messages.named_parameter(kwds[keyword]))
            if keyword not in self._update_arguments:
                said = messages.STEP_ARGUMENTS.get(keyword) or hint(keyword, self._update_arguments)
                raise TypeError(f"update has no argument {keyword!r}{said}")
        given = dict(zip(self._positional, args))
        if repeated := given.keys() & kwds.keys():
            raise TypeError(f"update got {', '.join(sorted(repeated))} twice")
        return {**given, **kwds}

    def _gradients(self, grads, extra):
        """The gradients to step with, in the dialect that returns deltas."""
        return grads

    def _parameters(self, grads, extra):
        """The parameters that deltas are for, where they are given: the article's w and b."""
        given = [extra.get(name) for name in ("w", "b")[:len(grads)]]
        return None if any(value is None for value in given) else given

    def _time(self, t):
        """An explicit number of the step."""
        try:
            t = index(t)
        except TypeError:
            raise TypeError(f"t must be an integer, not {t!r}") from None
        if t < 1:
            raise ValueError(f"t counts from 1, not {t}")
        if t >= 2**63:
            raise ValueError("t must be below 2^63")
        return t

    def gradient_point(self, params: Any) -> Any:
        """Where the next gradient is to be evaluated, in the structure of params: at params themselves, but for NAG."""
        return params

    def evaluation_point(self, params: Any) -> Any:
        """Where to evaluate what has been learnt, in the structure of params: params themselves, but for rules whose
        result is an average of the steps."""
        return self._alone(self._each, params, self._evaluated) if self._evaluated is not None else params

    _evaluated = None           # (records, key, parameter) -> where it is evaluated

    def _each(self, params, found):
        """found(records, key, parameter) of all parameters, in the structure that they have."""
        home = self._records[not isinstance(params, Mapping)]
        return each(params, lambda key, p: found(home, key, p))

    # What wrappers ask for.

    def _take(self, leaves, extra, transaction):
        """A step as part of a transaction; whether it was taken."""
        return self._step_leaves(leaves, extra, transaction)

    def _thawed(self, leaves):
        """Those leaves that are not frozen."""
        if not any(group.freeze for group in self._groups):
            return leaves
        home = self._records[not leaves.by_key]
        return leaves.only([key for key, p in leaves.params.items() if not self._is_frozen(home, key, p)])

    def _is_frozen(self, home, key, p):
        group = self._group_of(home, key, p)
        return group is not None and group.freeze

    def _moving(self, leaves):
        """Those leaves that the next step moves."""
        leaves = self._thawed(leaves)
        return leaves if leaves.whole else leaves.only([key for key in leaves.params if leaves.grads[key] is not None])

    def _dropped(self, key, functions):
        """Drop what there is of a key, and call compiled functions that cannot fail. Raises KeyError for nothing."""
        transaction = Transaction()
        if any(key in home for home in self._records):
            transaction.ended.append(partial(self.forget, key))
        transaction.ended.extend(functions)
        if not transaction.ended:
            raise KeyError(f"there is no state of {key!r}")
        transaction.without_step()

    def _ascending(self):
        """The SAM among wrappers, if there is one."""
        return None

    @property
    def _innermost(self):
        return self

    # What the compiled stepper asks for, when it meets parameters that it did not see in the last step.

    def _groups_of(self, home, keys, params):
        """For each parameter its group, None or FROZEN; or None if there are no groups."""
        if not self._groups:
            return None
        found = [self._group_of(home, key, p) for key, p in zip(keys, params)]
        if len(keys) > 1 or all(key in home for key in keys):           # one alone may be the first of many
            known = all(record.grouped for records in self._records for record in records.values())
            for group in self._groups:
                if known and not group._met:            # parameters of a state that was put in may have fitted it
                    group._met = any(group.fits(key, p) for key, p in zip(keys, params))    # if an earlier one took it
                    if not group._met:
                        raise ValueError(f"{group!r} fits none of the parameters {', '.join(map(repr, keys))[:200]}")
        elif not all(group._met for group in self._groups):
            self._regrouped()                                           # the second step checks again
        return [FROZEN if group is not None and group.freeze else group for group in found]

    def _group_of(self, home, key, p):
        record = home.get(key)
        found = record.group if record is not None and record.grouped else group_of(self, key, p)
        if found is None or found is self:
            return None
        found._met = True
        return found

    def _flattened(self, params, grads):
        """(keys, leaves, gradients, what puts numbers back, whether keys are a mapping's) of nested parameters."""
        return *flattened(params, grads, self._paths), isinstance(params, Mapping)

    _checked_items = staticmethod(checked_items)
    _another_part = staticmethod(messages.another_part)
    _part_of_another_shape = staticmethod(messages.another_part_of_another_shape)
    _changed_shape = staticmethod(messages.changed_shape)
    _changed_dtype = staticmethod(messages.changed_dtype)

    def _not_lazy(self, key):
        return messages.not_lazy(self._title(), key)

    # A step

    def _advance(self, plan, extra):
        self._prepare(plan, extra)
        self._run(plan)

    def _prepare(self, plan, extra):
        """Give each cohort the constants of its step."""
        given = self._time(extra["t"]) if extra.get("t") is not None else None
        version = self._version
        known = self._known
        if known[0] is not version:
            before, after, values = self._last_change
            if known[0] is before and version is after and values.keys().isdisjoint(self.options):
                known = version, known[1], known[2]                 # a hyperparameter was set to a number
            else:
                known = version, self._is_scheduled(), self._is_adjusted()
            self.__dict__["_known"] = known
        _, scheduled, adjusted = known
        again = not scheduled and type(self).rule_at is Optimizer.rule_at
        for cohort in plan.cohorts:
            t = cohort.t + 1 if given is None else given
            h = numbers_at(cohort.group or self, t)
            if adjusted:
                cohort.around(*around(h, self._decay_rate_name or self._rate_name))
            scalars = self.advanced(h, t, cohort.scalars, extra) if self.scalars else ()
            addresses, names, reads_p = self._kernels[self.kernels[self.rule_at(h, t)]]
            constants = self.constants(h, t, *scalars) if self._by_time else self.constants(h)
            cohort.put(addresses, constants, names, reads_p, self.measures_p, t, scalars, h, version if again else None)
        if again and type(self)._advance is Optimizer._advance:
            self._ready(version, self._by_time, h.clip_global_norm or 0)

    def _measure(self, plan):
        """What an optimizer that `measures` does before anything is written: give each cohort of `plan` constants that
        are made of inner products (plan.dots), or put arrays in the place of gradients. False skips the step."""
        return True

    def _is_scheduled(self):
        """Whether any hyperparameter or option depends on the step."""
        cls = type(self)
        numbers = [getattr(self, name) for name in (*cls.hyperparameters, *cls.options)]
        numbers += [value for group in self._groups for value in group.values().values()]
        return any(map(callable, numbers))

    def _is_adjusted(self):
        """Whether anything is done around the rule, or ever was: then cohorts must be told."""
        return bool(self._groups) or self._known[2] or any(         # a subclass may have another default
            self.__dict__[name] != getattr(Adjustable, name).default for name in Adjustable.options)

    def _clip_global(self, plan):
        t = max(cohort.next_t for cohort in plan.cohorts)
        return type(self).clip_global_norm.at(self.clip_global_norm, t) or 0

    def _run(self, plan, filled=(), undo=None):
        """False if the step was skipped."""
        if plan.run(0 if self.clip_global_norm is None else self._clip_global(plan), filled, undo):
            return True
        self._skip(2)
        return False

    def _skip(self, frames=0):
        """Count a step that was skipped, and say so to the caller of `step` or `update`, so many frames further up."""
        self.__dict__["skipped"] = self.skipped + 1
        if not skips_are_told.get():
            warn(f"{self._title()}: the norm of a gradient is infinite or NaN, this step is skipped", RuntimeWarning,
                 stacklevel=3 + frames)


class ReadOnly(dict):
    """A dict that says how state is changed. Copies of it are plain."""

    def _refuse(self, *args, **kwds):
        raise TypeError("the keys of opt.state cannot be set: write into the arrays, opt.state[key][slot][...] = "
                        "values; opt.forget(key) drops a parameter's state, opt.load_state_dict replaces all of it")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return dict, (dict(self),)


def around(h, rate):
    """What `Cohort.around` takes, of hyperparameters and options as numbers; rate is the name of what decay follows."""
    scale = -h.grad_scale if h.maximize else h.grad_scale
    return (scale, getattr(h, rate) * h.weight_decay, h.clip_value or 0, h.l2, h.l1, h.clip_norm or 0,
            h.clip_adaptive or 0, h.centralize, h.output_axis)


def _made(cls, arguments):
    return cls(**arguments)


class EtaOptimizer(Optimizer):
    _rate_name = "eta"


class AlphaOptimizer(Optimizer):
    _rate_name = "alpha"


def rate(default):
    return Hyperparameter(default, at_least=0)


def decay(default):
    return Hyperparameter(default, at_least=0, below=1)


def epsilon(default):
    return Hyperparameter(default, at_least=0)
