"""NumPy's generators of random numbers: what users give as `rng`, and their state as a plain dict, and back."""
from functools import partial

import numpy as np

from .state import StateError, array, entries, finite, integer, is_one_of

BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
# where the state counts the numbers used of a buffer, and how many that has: NumPy would read beyond it
POSITIONS = {"MT19937": (("state", "pos"), 624), "Philox": (("buffer_pos",), 4)}


def as_rng(rng):
    """`rng` itself if it is a Generator or RandomState, else a new Generator seeded by it.

    A seed is an int, a sequence of them, or None for one from the system. Raises TypeError and ValueError for others.
    """
    if isinstance(rng, (np.random.Generator, np.random.RandomState)):
        return rng
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng must be None, a seed, a Generator or a RandomState, not {rng!r:.80}") from None


def checked_rng(rng):
    """`rng` as it was given, if it is a source of random numbers."""
    as_rng(rng)
    return rng


def position(rng):
    """Where it stands, in NumPy's words."""
    return rng.get_state(legacy=False) if isinstance(rng, np.random.RandomState) else rng.bit_generator.state


def setter(rng, position):
    """What sets it there when it is called, in compiled code alone: no signal's handler comes between."""
    if isinstance(rng, np.random.RandomState):
        return partial(rng.set_state, position)
    return partial(setattr, rng.bit_generator, "state", position)


def set_position(rng, position):
    setter(rng, position)()


def generator_state(rng):
    """Where a Generator or RandomState stands. Raises TypeError for bit generators of other packages."""
    state = {"class": "RandomState" if isinstance(rng, np.random.RandomState) else "Generator", **position(rng)}
    if state["bit_generator"] not in BIT_GENERATORS:
        raise TypeError(f"the state of a {state['bit_generator']} cannot be kept, "
                        f"only that of {', '.join(BIT_GENERATORS)}")
    return state


def generator(state):
    """A new Generator or RandomState that stands there. Raises StateError."""
    name, cls = (state.get(key) if isinstance(state, dict) else None for key in ("bit_generator", "class"))
    if not (is_one_of(name, BIT_GENERATORS) and is_one_of(cls, ("Generator", "RandomState"))):
        raise StateError("that is not the state of a generator")
    rng = getattr(np.random, cls)(getattr(np.random, name)(0))
    _must_resemble(state, generator_state(rng), "the generator")
    path, most = POSITIONS.get(name, ((), 0))
    used = state
    for step in path:
        used = used[step]
    if path:
        integer(used, "the generator's position", most=most)
    try:
        set_generator(rng, state)
    except (TypeError, ValueError, OverflowError) as error:
        raise StateError(f"that is not the state of a {name}: {error}") from None
    return rng


def set_generator(rng, state):
    set_position(rng, {key: value for key, value in state.items() if key != "class"})


def streams(rngs):
    """Where generators stand, given by the names of those who draw from them, and which of those share one."""
    drawn_from = {name: next(first for first in rngs if rngs[first] is rng) for name, rng in rngs.items()}
    return {"drawn_from": drawn_from,
            "generators": {name: generator_state(rngs[name]) for name in dict.fromkeys(drawn_from.values())}}


def checked_streams(rngs, saved):
    """Functions that set these generators to where those of `streams` stood, and cannot fail. Raises StateError."""
    own = streams(rngs)
    saved = entries(saved, "streams", own)
    drawn_from = entries(saved["drawn_from"], "drawn_from", own["drawn_from"])
    for name, source in own["drawn_from"].items():
        if not is_one_of(drawn_from[name], (source,)):
            raise StateError(f"{name} drew from the generator of {drawn_from[name]!r:.80}, "
                             f"but draws from that of {source!r} here")
    put = []
    for name, state in entries(saved["generators"], "generators", own["generators"]).items():
        new = generator(state)
        if not same_kind(rngs[name], new):
            raise StateError(f"the generator of {name} was a {new}, but is a {rngs[name]}")
        put.append(setter(rngs[name], position(new)))
    return put


def same_kind(rng, other):
    """Whether one can take the state of the other."""
    one, two = generator_state(rng), generator_state(other)
    return (one["class"], one["bit_generator"]) == (two["class"], two["bit_generator"])


def _must_resemble(value, pattern, where):
    if isinstance(pattern, dict):
        entries(value, where, pattern)
        for key in pattern:
            _must_resemble(value[key], pattern[key], f"{where}'s {key}")
    elif isinstance(pattern, np.ndarray):
        array(value, where, pattern.dtype, pattern.shape)
    elif isinstance(pattern, str):
        if not is_one_of(value, (pattern,)):
            raise StateError(f"{where} must be {pattern!r}")
    elif isinstance(pattern, float):
        finite(value, where)
    else:
        integer(value, where, most=2**128 - 1)
