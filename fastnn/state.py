"""What an optimizer's state is: a plain dict, and how one is checked before anything is changed.

    {"format": 3, "name": "Adam", "like": None, "state_dtype": "float32", "passes": 100, "skipped": 0,
     "hyperparameters": {"alpha": 0.001, "beta1": 0.9, ...}, "options": {"weight_decay": 0.01, ...}, "groups": [...],
     "by_key": {"W1": {"shape": (784, 100), "dtype": "float32", "order": "C", "t": 100, "scalars": {},
                       "slots": {"m": array, "v": array}}, ...},
     "by_position": {},
     "rule": {}}

name is that of the catalogue; of other classes it is module and class, as in "fastnn.dlfs.Adam". like is the source
whose arithmetic it has, as in get_opt("Adam", like="article"), None for the catalogue's own. by_key has the
parameters of mappings, by_position those of sequences and of gradients that became deltas; keys of nested ones are
paths. t is how many steps a parameter has taken, scalars what its rule keeps of it besides: Eve its D and f. dtype is
the parameter's, order says whether its elements lie in C's or Fortran's order. A slot is an array of the parameter's
shape, or of others where a rule keeps such (`arrays`: Adafactor), in the dtype that is computed in; with state_dtype "bfloat16" or "int8" it is {"codes": array, "scales": array}
as stored.h describes them (no scales in bfloat16), and passes, the number of steps taken, chooses how the next one is
rounded. Of hyperparameters that are functions the name is kept. rule has what a rule remembers of all parameters
together: Santa its generator. A wrapper's state has the optimizer's in it (fastnn/optimizers/wrappers). Format 2, in
which names meant article A's arithmetic, and format 1, which had one t for all and Eve's D and f in rule besides, are
read, too.
"""
from collections.abc import Mapping
from functools import partial
from math import isfinite, prod
from numbers import Integral, Real

import numpy as np

from .core.arrays import as_array
from .dialects import SOURCES
from .trees import NESTED, checked_items, number_as_array, shown, written_back

FORMAT = 3
ENTRIES = ("name", "like", "state_dtype", "passes", "skipped", "hyperparameters", "options", "groups", "by_key",
           "by_position", "rule")
SECOND_ENTRIES = tuple(name for name in ENTRIES if name != "like")
FIRST_ENTRIES = ("name", "state_dtype", "t", "passes", "hyperparameters", "by_key", "by_position", "rule")
DTYPES = ("float32", "float64", "float16", "bfloat16")


class StateError(ValueError):
    """A state that is damaged, incomplete or not for this object. Nothing has been changed."""


def state_of(opt):
    """The state of an optimizer; nothing in it is shared with the optimizer."""
    cls = type(opt)
    by_key, by_position = opt._records
    return {"format": FORMAT, "name": identity(opt), "like": opt.like, "state_dtype": opt.state_dtype,
            "passes": opt._passes, "skipped": opt.skipped,
            "hyperparameters": {name: getattr(cls, name).stored(getattr(opt, name)) for name in cls.hyperparameters},
            "options": {name: getattr(cls, name).stored(getattr(opt, name)) for name in cls.options},
            "groups": [group.stored() for group in opt.groups],
            "by_key": {key: _entry(opt, record) for key, record in by_key.items()},
            "by_position": {position: _entry(opt, record) for position, record in by_position.items()},
            "rule": opt._remembered()}


def checked(opt, state):
    """A function that puts the state into the optimizer, and only fails where that is in use. Raises StateError."""
    if isinstance(state, dict) and "wrapper" in state:
        raise StateError(f"the state is that of {state['wrapper']!r:.80} around an optimizer: load it into such a "
                         "wrapper")
    version = integer(state.get("format"), "its format", 1) if isinstance(state, dict) else FORMAT
    described(state, FORMAT, {1: FIRST_ENTRIES, 2: SECOND_ENTRIES}.get(version, ENTRIES), name=identity(opt))
    _must_be_like(opt, state["like"] if version > 2 else opt._former_like())
    has_words(state, state_dtype=opt.state_dtype)
    if version == 1:
        state = _of_first_format(opt, state)
    cls = type(opt)
    fills = []
    done = _checked_values(opt, state["hyperparameters"], "hyperparameters", cls.hyperparameters, fills)
    done |= _checked_values(opt, state["options"], "options", cls.options, fills)
    try:
        opt._check_clips(done, "the state")
    except ValueError as error:
        raise StateError(str(error)) from None
    done["_version"] = object()
    done["skipped"] = integer(state["skipped"], "skipped")
    done["_groups"], put_groups = opt._restored_groups(state["groups"], done)
    passes = integer(state["passes"], "passes", most=2**32 - 1)
    by_key, by_position = ({key: _record(opt, key, entry, f"{what} {key!r}")
                            for key, entry in entries(state[what], what).items()} for what in ("by_key", "by_position"))
    for position in by_position:
        if not isinstance(position, tuple):             # a path in nested sequences
            integer(position, "a position")
    recall = opt._recalled(entries(state["rule"], "rule", opt._remembered()))
    return partial(opt._restore, by_key, by_position, passes, done, [*put_groups, *fills, recall])


def _of_first_format(opt, state):
    """A state in which all parameters had one count of steps, and what a rule kept besides was the optimizer's."""
    cls = type(opt)
    t = integer(state["t"], "t")
    rule = entries(state["rule"], "rule")
    if missing := [name for name in cls.scalars if name not in rule]:
        raise StateError(f"rule has no {missing[0]!r}")
    scalars = {name: rule[name] for name in cls.scalars}
    known = {name: getattr(cls, name).stored(getattr(cls, name).default) for name in ("eps",)
             if name in cls.hyperparameters and opt.maker is None}      # fastnn.dlfs had none
    values = entries(state["hyperparameters"], "hyperparameters")
    kept = {what: {key: {**entries(entry, f"{what} {key!r}", ("shape", "dtype", "order", "slots")),
                         "t": t, "scalars": scalars}
                   for key, entry in entries(state[what], what).items()} for what in ("by_key", "by_position")}
    return {"name": state["name"], "state_dtype": state["state_dtype"], "passes": state["passes"],
            "skipped": 0, "hyperparameters": known | values,
            "options": {name: getattr(cls, name).stored(getattr(opt, name)) for name in cls.options},
            "groups": [group.stored() for group in opt.groups], **kept,
            "rule": {name: value for name, value in rule.items() if name not in cls.scalars}}


def _must_be_like(opt, like):
    """Raises StateError where the arithmetic that a state was written under is not the optimizer's."""
    if not (like is None or is_one_of(like, SOURCES)):
        raise StateError(f"like must be None or one of {', '.join(map(repr, SOURCES))}, not {like!r:.80}")
    if like != opt.like:
        whose, call = (f"{SOURCES[like]}'s", f", like={like!r}") if like else ("the catalogue's own", "")
        made = f"get_opt({opt.name!r}{call})"
        if identity(opt) != opt.name:
            made = f"a class derived from type({made})"
        raise StateError(f"the state was written under {whose} arithmetic of {opt.name}: {made} goes on from it")


def identity(opt):
    """What tells one rule from another."""
    cls = type(opt)
    return vars(cls).get("name") or f"{cls.__module__}.{cls.__qualname__}"


def described(state, newest, names, **own):
    """Check that a state is a dict of a known format, with these entries besides, and these words in some of them."""
    if not isinstance(state, dict):
        raise StateError(f"a state must be a dict, not {type(state).__name__}")
    version = integer(state.get("format"), "its format", 1)
    if version > newest:
        raise StateError(f"the state has format {version}; this fastnn knows {newest} and none that is newer")
    has_words(state, **own)
    entries(state, "the state", ("format", *names))


def has_words(state, **own):
    """Check that a state has these words in these entries."""
    for what, word in own.items():
        if not is_one_of(state.get(what), (word,)):
            raise StateError(f"the state's {what} is {state.get(what)!r:.80}, not {word!r}")


def entries(value, where, names=None):
    """The dict itself, if it has exactly these keys."""
    if not isinstance(value, dict):
        raise StateError(f"{where} must be a dict, not {type(value).__name__}")
    if names is not None and value.keys() != set(names):
        missing = [name for name in names if name not in value]
        unknown = [key for key in value if key not in names]
        raise StateError(f"{where} has no {missing[0]!r}" if missing else
                         f"{where} has {unknown[0]!r:.80}, which is unknown")
    return value


def is_one_of(value, words):
    """An array, compared with a word, would be no answer."""
    return isinstance(value, str) and value in words


def integer(value, what, least=0, most=2**63 - 1):
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= value <= most:
        raise StateError(f"{what} must be an integer of at least {least} and at most {most}, not {value!r:.80}")
    return int(value)


def finite(value, what):
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise StateError(f"{what} must be a finite number, not {value!r:.80}")
    return float(value)


def array(value, what, dtype, shape):
    if not isinstance(value, np.ndarray):
        raise StateError(f"{what} must be an array, not {type(value).__name__}")
    try:
        value = as_array(value, what)
    except TypeError as error:
        raise StateError(str(error)) from None
    if (value.dtype, value.shape) != (dtype, shape):
        raise StateError(f"{what} must be {np.dtype(dtype)} of shape {shape}, not {value.dtype} of shape {value.shape}")
    return value


def filled(params, saved):
    """Functions that put saved arrays and numbers into parameters, nested ones, too, and cannot fail.

    Raises StateError where they do not fit, TypeError and ValueError for parameters that cannot be written to: for a
    mapping, too, that returns a new array at each access.
    """
    leaves, numbers = [], []
    if isinstance(params, NESTED):
        _enter(params, saved, (), leaves, numbers)
    else:
        leaves.append(("the parameter", saved, params))
    for what, value, parameter in leaves:
        if not isinstance(parameter, np.ndarray):
            raise TypeError(f"{what} must be a NumPy array, not {type(parameter).__name__}")
        as_array(parameter, what)
        if not parameter.flags.writeable:
            raise ValueError(f"{what} is read-only")
        if not isinstance(value, np.ndarray):
            raise StateError(f"{what} was saved as {type(value).__name__}")
        if (value.shape, value.dtype) != (parameter.shape, parameter.dtype.newbyteorder("=")):
            raise StateError(f"{what} was saved as {value.dtype} of shape {value.shape}, "
                             f"but is {parameter.dtype} of shape {parameter.shape}")
    write_back = written_back(numbers)
    put = [partial(np.copyto, parameter, value) for _, value, parameter in leaves]
    return put if write_back is None else [*put, write_back]


def _enter(params, saved, path, leaves, numbers):
    """Find (name, what was saved, parameter) for all leaves. Ends where what was saved does."""
    at = f" at {shown(path)}" if path else ""
    if isinstance(params, Mapping):
        items = checked_items(params, path=path)
        if not isinstance(saved, dict) or saved.keys() != {key for key, _ in items}:
            raise StateError(f"the saved parameters{at} are not {', '.join(repr(key) for key, _ in items)[:200]}")
    else:
        items = list(enumerate(params))
        if not isinstance(saved, (list, tuple)) or len(saved) != len(items):
            raise StateError(f"not {len(items)} parameters in a sequence were saved{at}")
    for key, parameter in items:
        value, below = saved[key], (*path, key)
        if isinstance(parameter, NESTED) and not isinstance(value, np.ndarray):
            _enter(parameter, value, below, leaves, numbers)
        elif not (parameter is value is None):
            if isinstance(parameter, (int, float, np.generic)):
                number = number_as_array(parameter, below)
                numbers.append((params, key, parameter, number, below))
                parameter = number
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    value = _number(value, number.dtype, below)
            leaves.append((f"parameter {shown(below)}", value, parameter))


def _number(value, dtype, path):
    try:
        return np.array(value, dtype)
    except OverflowError:
        raise StateError(f"parameter {shown(path)} was saved as an integer beyond {dtype}") from None


def _checked_values(opt, saved, where, names, fills):
    """Hyperparameters or options. What fills schedules is added to `fills`."""
    cls = type(opt)
    values = {}
    for name, value in entries(saved, where, names).items():
        try:
            values[name] = getattr(cls, name).restored(value, getattr(opt, name), fills)
        except (TypeError, ValueError) as error:
            raise StateError(str(error)) from None
    return values


def _entry(opt, record):
    if opt.state_dtype == "float32":
        slots = {name: record.slot(i).copy(order=record.order) for i, name in enumerate(opt.slots)}
        slots |= {name: values.copy() for name, values in (record.others or {}).items()}
    else:
        slots = {name: {"codes": record.slots[i].copy(), "scales": record.scales[i].copy()}
                 for i, name in enumerate(opt.slots)}
        if opt.state_dtype == "bfloat16":
            slots = {name: {"codes": slot["codes"]} for name, slot in slots.items()}
    return {"shape": record.shape, "dtype": record.dtype.name, "order": record.order, "t": record.t,
            "scalars": dict(zip(opt.scalars, record.scalars)), "slots": slots}


def _record(opt, key, entry, where):
    entry = entries(entry, where, ("shape", "dtype", "order", "t", "scalars", "slots"))
    shape, dtype = entry["shape"], entry["dtype"]
    if not isinstance(shape, (tuple, list)):
        raise StateError(f"the shape of {where} must be a tuple, not {type(shape).__name__}")
    shape = tuple(integer(length, f"a length of {where}") for length in shape)
    if not (is_one_of(dtype, DTYPES) and is_one_of(entry["order"], ("C", "F"))):
        raise StateError(f"{where} has dtype {dtype!r:.80} and order {entry['order']!r:.80}")
    t, scalars = integer(entry["t"], f"t of {where}"), _scalars(opt, entry["scalars"], where)
    others = opt.arrays(shape)
    slots = entries(entry["slots"], f"the slots of {where}", (*opt.slots, *others))
    if opt.state_dtype == "float32":
        computed = np.dtype("float64" if dtype == "float64" else "float32")
        arrays = [array(slots[name], f"slot {name!r} of {where}", computed, shape) for name in opt.slots], None
        others = {name: _anew(array(slots[name], f"slot {name!r} of {where}", computed, *_shape(slots[name], shapes)))
                  for name, shapes in others.items()}
    else:
        arrays = _codes(opt, slots, prod(shape), where)
    try:
        record = opt._restored(key, np.empty(shape, _dtype(dtype), entry["order"]), *arrays, t, scalars)
    except (TypeError, ValueError, MemoryError) as error:
        raise StateError(f"{where}: {error}") from None
    record.others = others or None
    return record


def _anew(value):
    """In C's order, and with NumPy's own dtype: that of a pickled array is another object."""
    new = np.empty(value.shape, value.dtype.name)
    new[...] = value
    return new


def _shape(value, shapes):
    """That of an array, if it may have it, or one that it may have."""
    return [shape for shape in shapes if shape == getattr(value, "shape", None)][:1] or shapes[:1]


def _scalars(opt, saved, where):
    values = {name: finite(value, f"{name} of {where}")
              for name, value in entries(saved, f"the scalars of {where}", opt.scalars).items()}
    try:
        opt.checked_scalars(**values)
    except ValueError as error:
        raise StateError(f"{where}: {error}") from None
    return tuple(values[name] for name in opt.scalars)


def _codes(opt, slots, n, where):
    """All codes as one array, all scales as another."""
    length, blocks = opt._stored_sizes(n)
    dtype = np.dtype("uint8" if opt.state_dtype == "int8" else "uint16")
    codes, scales = [], []
    for name in opt.slots:
        what = f"slot {name!r} of {where}"
        slot = entries(slots[name], what, ("codes", "scales") if opt.state_dtype == "int8" else ("codes",))
        codes.append(array(slot["codes"], f"codes of {what}", dtype, (length,)))
        if opt.state_dtype == "int8":
            scales.append(array(slot["scales"], f"scales of {what}", np.dtype("float32"), (blocks,)))
    return np.array(codes), np.array(scales) if scales else 0


def _dtype(name):
    if name == "bfloat16":
        import ml_dtypes                    # NumPy knows the name from then on
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)
