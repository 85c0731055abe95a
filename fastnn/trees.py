"""Nested parameters: mappings, lists and tuples in each other, with arrays or plain numbers as leaves.

A leaf's key is its path, a tuple of keys and positions; a leaf at the top has its own key or position, as in a flat
mapping or sequence. Gradients have the same structure. Where a gradient is None, what lies there is left out.
"""
from collections import deque
from collections.abc import Mapping
from functools import partial
from itertools import chain, repeat
from numbers import Number
from operator import setitem

import numpy as np
from numpy import ndarray

from .core.sparse import Rows

MANY = 1000             # containers that are entered before repeated ones are searched for
MOST_LEVELS = 64        # of nesting: far below the interpreter's limit, which a structure inside itself would reach
SEQUENCES = (list, tuple)
NESTED = (Mapping, *SEQUENCES)


def each(params, found, path=()):
    """found(key, parameter) of all parameters, in the structure that they have; an array alone has the key 0."""
    if isinstance(params, Mapping):
        return {key: each(params[key], found, (*path, key)) for key in params}
    if isinstance(params, SEQUENCES):
        return (tuple if isinstance(params, tuple) else list)(
            each(p, found, (*path, i)) for i, p in enumerate(params))
    return found(path if len(path) > 1 else path[0] if path else 0, params)


class WriteBack(partial):
    """Puts numbers that were stepped as arrays back where they were found: to be called once, after the step.

    All of it is compiled code, so that no signal's handler can raise half way. It cannot fail for dicts and lists in
    which the numbers still are.
    """

    def __new__(cls, places):
        python = [place for place in places if type(place[2]) in (int, float)]
        numpy = [place for place in places if type(place[2]) not in (int, float)]
        self = super().__new__(cls, deque, chain(_writing(python, ndarray.item),
                                                 _writing(numpy, ndarray.__getitem__, repeat(()))), 0)
        self.places = places
        return self

    def unchanged(self):
        """Whether the dicts and lists still have the numbers that were found in them."""
        try:
            return all(container[key] is value for container, key, value, *_ in self.places
                       if type(container) in (dict, list))
        except LookupError:
            return False


def _writing(places, read, *index):
    containers, keys, _, arrays, _ = zip(*places) if places else [()] * 5
    return map(setitem, containers, keys, map(read, arrays, *index))


class _Walk:
    """What has been found so far."""

    noun = "parameter"
    __slots__ = ("keys", "parameters", "gradients", "numbers", "repeating", "entered", "seen")

    def __init__(self):
        self.keys, self.parameters, self.gradients = [], [], []
        self.numbers = []           # (container, key, number, the array that is stepped, path)
        self.repeating = False      # whether a key may have come twice
        self.entered = 0
        self.seen = {}

    def enter(self, node, grads, prefix, names):
        """names has, for each key or position, its path and the names below."""
        found_keys = self.keys
        before = len(found_keys)
        self.entered = many = self.entered + 1
        if many > MANY and self.again(node, grads, prefix):
            return
        kind, own = type(node), False       # own: a mapping of the user's
        if kind is dict:
            keys, values = list(node), list(node.values())
            gradients = _of_mapping(node, keys, grads, prefix)
        elif kind is tuple or kind is list or isinstance(node, SEQUENCES):
            values, gradients = node, grads
            if kind is not tuple or type(grads) is not tuple or len(grads) != len(values):
                values = tuple(node)
                gradients = _of_sequence(node, values, grads, prefix)
            keys = range(len(values))
        else:
            own, keys = True, list(node)
            values = list(map(node.__getitem__, keys))
            gradients = _of_mapping(node, keys, grads, prefix)
        for key, value, grad in zip(keys, values, gradients):
            if grad is None:
                continue
            if own:
                _refuse_new(node, key, value, (*prefix, key), self.noun)
                self.repeating = True
            try:
                path, below = names[key]
            except KeyError:
                path, below = names[key] = (*prefix, key), {}
            kind = type(value)
            if kind is not ndarray:
                if kind is tuple or kind is list or kind is dict or isinstance(value, NESTED):
                    if len(path) == MOST_LEVELS:
                        raise ValueError(f"{self.noun}s are nested more than {MOST_LEVELS} levels deep, or in "
                                         f"themselves: {path[:3]!r:.100} and on")
                    self.enter(value, grad, path, below)
                    continue
                if not isinstance(value, ndarray):
                    number = self.as_array(value, path)
                    self.numbers.append((node, key, value, number, path))
                    value = number
            if type(grad) is not ndarray and isinstance(grad, Mapping):
                raise TypeError(f"the gradient of {shown(path)} must be an array, as the parameter is, not "
                                f"{_kind(grad)}")
            if not prefix:
                path = key
                if type(key) is tuple:
                    self.repeating = True
            found_keys.append(path)
            self.parameters.append(value)
            self.gradients.append(grad)
        if many > MANY:
            self.seen[id(node)] = node, grads, len(found_keys) > before     # the node keeps its id

    def as_array(self, value, path):
        """A leaf that is no array."""
        return number_as_array(value, path)

    def again(self, node, grads, prefix):
        """Whether a container without leaves has been entered already, with the same gradients.

        [x, x] in itself some thirty times is more than any memory holds. Raises ValueError if there are leaves in it.
        """
        known = self.seen.get(id(node))
        if known is None or known[1] is not grads:
            return False
        if known[2]:
            raise ValueError(f"a {_kind(node)} comes twice among the {self.noun}s, the second time at "
                             f"{shown(prefix):.100}")
        return True


class _WalkOverGradients(_Walk):
    """As if they were parameters: they are what is written to."""

    noun = "gradient"
    __slots__ = ()

    def as_array(self, value, path):
        if isinstance(value, (Number, np.generic)):
            raise TypeError(f"gradient {shown(path)} is a plain number, which cannot be scaled in place: make it an "
                            "array, np.array(x)")
        if isinstance(value, Rows):
            raise TypeError(f"gradient {shown(path)} is Rows, which cannot be scaled in place: optimizers clip them, "
                            "clip_global_norm=")
        raise TypeError(f"gradient {shown(path)} must be a NumPy array, or a mapping, list or tuple of them, not "
                        f"{_kind(value)}")


def flattened(params, grads, paths):
    """The leaves of nested parameters, with their keys and gradients.

    Parameters
    ----------
    params : mapping, list or tuple
        Of arrays, of plain numbers (Python's int and float, NumPy's floating-point ones), and of more of its kind.
    grads : mapping, list or tuple
        Of the same structure. A list may stand for a tuple, one mapping for another; a mapping may have more keys. None
        leaves out all that lies in its place.
    paths : dict
        Kept by the caller from call to call: the same path is the same tuple.

    Returns
    -------
    keys, parameters, gradients : list
        Parameters are arrays, unchecked but for that; of a number it is a new one of shape (), float64 for Python's
        numbers. Gradients are as they were found.
    write_back : WriteBack or None
        To be called after the step, to put new values in the place of numbers; None if there are none.

    Raises, before anything has been written to, KeyError for a missing gradient; ValueError for a sequence of another
    length, for what is nested too deeply or in itself, and for keys or numbers that come twice; TypeError for anything
    that is neither nested nor a leaf, for gradients of another structure, for numbers in what cannot be written to, and
    for a mapping that returns a new array at each access.
    """
    if not isinstance(params, NESTED):
        raise TypeError(f"params must be a mapping, list or tuple, not {_kind(params)}")
    found = _Walk()
    found.enter(params, grads, (), paths)
    if found.repeating:
        _refuse_repeated(found.keys)
    return found.keys, found.parameters, found.gradients, written_back(found.numbers)


def arrays_of_gradients(grads):
    """(keys, arrays) of nested gradients that are to be written to. None is left out.

    Raises, naming the gradient, ValueError for what is nested too deeply or in itself; TypeError for what is no array,
    numbers included, and for a mapping that returns a new array at each access.
    """
    found = _WalkOverGradients()
    found.enter(grads, grads, (), {})
    return found.keys, found.parameters


def checked_items(mapping, noun="parameter", path=()):
    """[(key, value), ...] of a mapping of arrays that are to be written to, itself to be found at that path.

    Raises TypeError where it returns a new array at each access.
    """
    if type(mapping) is dict:
        return list(mapping.items())
    items = [(key, mapping[key]) for key in mapping]
    for key, value in items:
        _refuse_new(mapping, key, value, (*path, key), noun)
    return items


def number_as_array(value, path):
    """A leaf that is no array, as one of shape ()."""
    kind = type(value)
    if kind is float or kind is int:
        try:
            return np.array(value, np.float64)
        except OverflowError:
            raise ValueError(f"parameter {shown(path)} is an integer beyond float64") from None
    if isinstance(value, np.generic) and (value.dtype.kind == "f" or value.dtype.name == "bfloat16"):
        return np.array(value)
    others = " or a floating-point number" if isinstance(value, (bool, np.generic)) else (
        ", a number, or a mapping, list or tuple of them")
    raise TypeError(f"parameter {shown(path)} must be a NumPy array{others}, not {_kind(value)}")


def written_back(numbers):
    """A WriteBack for (container, key, number, the array in its place, path), or None if there are none.

    Raises ValueError for a number that is named twice, TypeError for what cannot be written to: where it is the user's
    own container that may say so, each number is written to its place to see.
    """
    if not numbers:
        return None
    places = set()
    for container, key, _, _, path in numbers:
        if (id(container), key) in places:
            raise ValueError(f"parameter {shown(path)} is a number that comes twice: in the same {_kind(container)}")
        places.add((id(container), key))
        if not hasattr(type(container), "__setitem__"):
            raise TypeError(f"parameter {shown(path)} is a plain number in a {_kind(container)}, which cannot be "
                            "written to: put it into a dict or list, or make it an array, np.array(x)")
    for container, key, value, _, path in numbers:
        if type(container) not in (dict, list):
            try:
                container[key] = value          # some have the method, and raise
            except TypeError as error:
                raise TypeError(f"parameter {shown(path)} is a plain number in a {_kind(container)}, which cannot be "
                                f"written to: {error}") from error
    return WriteBack(numbers)


def shown(path):
    """A path for an error message: a leaf at the top goes by its own key."""
    return repr(path[0] if len(path) == 1 else path)


def _of_mapping(node, keys, grads, prefix):
    if type(grads) is not dict and not isinstance(grads, Mapping):
        raise _another_structure(node, grads, prefix, "a mapping")
    try:
        return list(map(grads.__getitem__, keys))
    except KeyError as error:
        missing = shown((*prefix, *error.args[:1])) if error.args else "?"      # a user's mapping may raise it bare
        raise KeyError(f"no gradient for parameter {missing}") from None


def _of_sequence(node, values, grads, prefix):
    kind = type(grads)
    if kind is not tuple and kind is not list and not isinstance(grads, SEQUENCES):
        raise _another_structure(node, grads, prefix, "a list or tuple")
    gradients = tuple(grads)
    if len(gradients) != len(values):
        at = f" at {shown(prefix)}" if prefix else ""
        raise ValueError(f"{len(values)} parameters, but {len(gradients)} gradients{at}")
    return gradients


def _another_structure(node, grads, prefix, wanted):
    whose, own = (f"the gradients of {shown(prefix)}", "the parameters") if prefix else ("grads", "params")
    verb = "are" if prefix else "is"
    return TypeError(f"{whose} must be {wanted}, as {own} {verb} ({_kind(node)}), not {_kind(grads)}")


def _kind(value):
    return type(value).__name__


def _refuse_repeated(keys):
    seen = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"params lists a key twice: {key!r:.200}")
        seen.add(key)


def _refuse_new(mapping, key, value, path, noun="parameter"):
    """Raise where a second access gives other memory: what is written to the first would be lost."""
    if isinstance(value, (np.ndarray, *NESTED)) and not _kept(value, mapping[key], 0):
        raise TypeError(f"{noun} {shown(path)}: this {_kind(mapping)} returns a new array at each access, so that "
                        "writes to it are lost; make a dict of it first, as in params = dict(npz)")


def _kept(first, second, level):
    """Whether writing to the first is writing to the second, for what two accesses to a mapping gave."""
    if isinstance(first, np.ndarray):
        return first is second or isinstance(second, np.ndarray) and _place(first) == _place(second)
    if first is second and level == 0 or level == MOST_LEVELS:
        return True
    if isinstance(first, Mapping):
        return (isinstance(second, Mapping) and len(first) == len(second)
                and all(key in second and _kept(first[key], second[key], level + 1) for key in first))
    if isinstance(first, SEQUENCES):
        return (isinstance(second, SEQUENCES) and len(first) == len(second)
                and all(_kept(one, other, level + 1) for one, other in zip(first, second)))
    return not isinstance(first, (int, float, np.generic))      # a number in a container that is new at each access


def _place(a):
    a = np.asarray(a)                           # what a subclass says of itself is not to be relied on
    return (a.ctypes.data if a.size else None), a.shape, a.strides, a.dtype
