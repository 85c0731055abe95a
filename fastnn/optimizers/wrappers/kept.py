"""Arrays that a wrapper keeps beside parameters, in a state."""
import numpy as np

from ...state import StateError, entries, integer


def stored(homes, entry):
    """{"by_key": {key: entry(by_key, key)}, "by_position": ...} for two dicts of what is kept, by key and by position."""
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
