"""How parameters lay in mappings and sequences: the same with a word in the place of each leaf, which says what it is.

"array", "number" (Python's) or "scalar" (NumPy's). One array alone is "array".
"""
from collections.abc import Mapping

import numpy as np

from ...state import StateError
from ...trees import MOST_LEVELS, NESTED

WORDS = ("array", "number", "scalar")


def of(params):
    """The structure of parameters."""
    if isinstance(params, Mapping):
        return {key: of(params[key]) for key in params}
    if isinstance(params, (list, tuple)):
        return (tuple if isinstance(params, tuple) else list)(map(of, params))
    return "array" if isinstance(params, np.ndarray) else "scalar" if isinstance(params, np.generic) else "number"


def merged(one, other):
    """Of two calls with other parameters."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: merged(one.get(key), below) for key, below in other.items()}}
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) <= len(other):
        return type(other)([*map(merged, one, other), *other[len(one):]])
    return other


def filled(arrays, structure, path=()):
    """Arrays, given by key, in their places: views that cannot be written to, and numbers."""
    if isinstance(structure, dict):
        return {key: filled(arrays, below, (*path, key)) for key, below in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)([filled(arrays, below, (*path, i)) for i, below in enumerate(structure)])
    found = arrays[key_of(path)]
    if structure != "array":
        return found.item() if structure == "number" else found[()]
    found = found.view()
    found.flags.writeable = False
    return found


def key_of(path):
    """The key of a leaf: a path, but at the top its own, and 0 for one array alone."""
    return path if len(path) > 1 else path[0] if path else 0


def without(structure, key, path=()):
    """Without the leaf of that key, where it lies in a mapping; None if nothing is left."""
    if isinstance(structure, dict):
        found = {name: without(below, key, (*path, name)) for name, below in structure.items()}
        return {name: below for name, below in found.items() if below is not None} or None
    if isinstance(structure, (list, tuple)):
        found = [without(below, key, (*path, i)) for i, below in enumerate(structure)]
        return type(structure)(found) if any(below is not None for below in found) else None
    return None if structure is None or key_of(path) == key else structure


def copied(structure):
    if isinstance(structure, dict):
        return {key: copied(below) for key, below in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(map(copied, structure))
    return structure


def checked(structure, where, keys):
    """A copy of a saved structure whose leaves have these keys. Raises StateError."""
    found = set()
    _enter(structure, (), found)
    if found != keys:
        raise StateError(f"the structure of {where} is not that of the averages")
    return copied(structure)


def _enter(structure, path, found):
    if len(path) > MOST_LEVELS:
        raise StateError("a structure is nested too deeply")
    if isinstance(structure, NESTED):
        items = structure.items() if isinstance(structure, Mapping) else enumerate(structure)
        for key, below in items:
            _enter(below, (*path, key), found)
    elif structure is not None or not path:
        if structure is None:
            return
        if not isinstance(structure, str) or structure not in WORDS:
            raise StateError(f"a structure has {structure!r:.80}")
        found.add(key_of(path))
