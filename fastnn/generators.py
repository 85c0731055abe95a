"""Where NumPy's generators of random numbers stand: as a plain dict, and back."""
import numpy as np

from .state import StateError, array, entries, finite, integer, is_one_of

BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
# where the state counts the numbers used of a buffer, and how many that has: NumPy would read beyond it
POSITIONS = {"MT19937": (("state", "pos"), 624), "Philox": (("buffer_pos",), 4)}


def position(rng):
    """Where it stands, in NumPy's words."""
    return rng.get_state(legacy=False) if isinstance(rng, np.random.RandomState) else rng.bit_generator.state


def set_position(rng, position):
    if isinstance(rng, np.random.RandomState):
        rng.set_state(position)
    else:
        rng.bit_generator.state = position


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
