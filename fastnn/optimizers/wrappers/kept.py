"""Arrays that a wrapper keeps beside parameters: two dicts in a list, by key and by position."""
from functools import partial

import numpy as np

from ...state import StateError, entries, integer


def put(homes, home, kept):
    """What puts a dict in the place of one of the two: a compiled function, which asks no key for its hash."""
    return partial(homes.__setitem__, home, kept)


def without(homes, key):
    """What drops a key, where it is: such functions."""
    return [put(homes, home, {other: value for other, value in kept.items() if other is not key and other != key})
            for home, kept in enumerate(homes) if key in kept]


def stored(homes, entry):
    """{"by_key": {key: entry(by_key, key)}, "by_position": ...} of what is kept."""
    return {what: {key: entry(by_key, key) for key in home}
            for what, by_key, home in (("by_key", True, homes[0]), ("by_position", False, homes[1]))}


def restored(state, names):
    """[(by_key, key, entry, where), ...] of such a state. Raises StateError."""
    found = []
    for what in ("by_key", "by_position"):
        for key, entry in entries(state[what], what).items():
            if what == "by_position" and not isinstance(key, tuple):        # a path in nested sequences
                integer(key, "a position")
            where = f"{what} {key!r:.80}"
            found.append((what == "by_key", key, entries(entry, where, names), where))
    return found


def numbers(value, where):
    """A copy of an array that lies beside a parameter."""
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
        raise StateError(f"{where} must be an array of float32 or float64, not {value!r:.80}")
    return np.array(value, order="K")
