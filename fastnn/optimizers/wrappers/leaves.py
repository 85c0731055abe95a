"""What a step is given, whatever its form: arrays and gradients by key."""
from collections.abc import Mapping
from numbers import Number

import numpy as np

from ... import messages
from ...core.records import has_room
from ...core.transactions import plain
from ...trees import checked_items, flattened
from ..base import SEVERAL, are_mappings, are_sequences


class Leaves:
    """Parameters and gradients of a call, side by side.

    Attributes
    ----------
    by_key : bool
        Whether keys are those of a mapping, or paths that begin there; else they are positions.
    params, grads : dict
        Arrays, and gradients for all of them. None leaves a parameter alone.
    write_back : function or None
        Puts plain numbers back.
    whole : bool
        Whether no gradient is None.
    keys : list or None
        The parameters' keys; the same object as long as calls have the same keys, and whole gradients.
    given : mapping, list, tuple or ndarray
        The parameters as the call had them.
    """

    __slots__ = ("by_key", "params", "grads", "given", "write_back", "whole", "keys")

    def __init__(self, by_key, params, grads, given, write_back=None, whole=False, keys=None):
        self.by_key, self.params, self.grads, self.given = by_key, params, grads, given
        self.write_back, self.whole, self.keys = write_back, whole, keys

    def only(self, keys):
        """With some of the keys alone."""
        if len(keys) == len(self.params):
            return self
        return Leaves(self.by_key, {key: self.params[key] for key in keys}, self.grads, self.given, self.write_back)

    def with_gradients(self, grads):
        return Leaves(self.by_key, self.params, grads, self.given, self.write_back)


def leaves_of(params, grads, paths, known):
    """The leaves of a call of `step`. known: the list of keys of the last one, or None.

    Raises as a step of an optimizer does.
    """
    if found := plain(params, grads, known):
        return Leaves(True, params, grads, params, None, True, known if found == 2 else list(params))
    if are_mappings(params, grads):
        items = checked_items(params)
        if len({key for key, _ in items}) < len(items):
            raise ValueError("params lists a key twice")
        if all(isinstance(p, np.ndarray) for _, p in items):
            return Leaves(True, dict(items), _gradients(items, grads), params)
    elif are_sequences(params, grads):
        params, grads = list(params), list(grads)
        if len(params) != len(grads):
            raise ValueError(f"{len(params)} parameters, but {len(grads)} gradients")
        if all(isinstance(p, np.ndarray) for p in params):
            return Leaves(False, dict(enumerate(params)), dict(enumerate(grads)), params)
    elif isinstance(params, SEVERAL) or isinstance(grads, SEVERAL) or not isinstance(params, (Number, np.ndarray)):
        raise TypeError(messages.mixed("step", params, grads))
    elif isinstance(params, Number):
        raise TypeError(messages.number_alone())
    else:
        return Leaves(False, {0: params}, {0: grads}, params)
    return _nested(params, grads, paths)


def _gradients(items, grads):
    try:
        return {key: grads[key] for key, _ in items}
    except KeyError as error:
        missing = ", ".join(map(repr, error.args[:1])) or "?"      # a user's mapping may raise it bare
        raise KeyError(f"no gradient for parameter {missing}") from None


def _nested(params, grads, paths):
    """Leaves below a gradient of None have None, too."""
    keys, arrays, gradients, write_back = flattened(params, grads, paths)
    by_key, arrays, gradients = isinstance(params, Mapping), dict(zip(keys, arrays)), dict(zip(keys, gradients))
    everything, values, _, _ = flattened(params, params, paths)
    if len(everything) > len(keys):
        arrays = {key: arrays.get(key, value) for key, value in zip(everything, values)}
        gradients = {key: gradients.get(key) for key in everything}
    return Leaves(by_key, arrays, gradients, params, write_back)


def must_fit(rooms, params):
    """Raise ValueError for a parameter that no longer fits the array that is kept beside it."""
    for key, room in rooms.items():
        shape, dtype = has_room(params[key], key, room)
        if not shape:
            raise ValueError(messages.changed_shape(key, room.shape, np.asarray(params[key]).shape))
        if not dtype:
            dtype = np.asarray(params[key]).dtype
            raise ValueError(f"parameter {key!r} is {dtype} now, and what is kept beside it {room.dtype}; "
                             f"opt.forget({key!r}) drops it")
