"""Checkpoints: parameters, optimizers and whatever belongs to them, in one file."""
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .encoding import decoded, encoded, package
from .replacing import replace
from .state import StateError, checked


class Saved(NamedTuple):
    """What a file has: the arguments of `save`.

    Attributes
    ----------
    opt : dict or None
        The optimizer's state, for `load_state_dict`.
    params : dict, list, ndarray or None
    extra : dict
        By keyword.
    """

    opt: Any
    params: Any
    extra: dict[str, Any]


def save(path: Any, /, *, opt: Any = None, params: Any = None, **extra: Any) -> None:
    """Write a checkpoint, so that whenever the process may be killed the file is the old one or the new one.

    Parameters
    ----------
    path : str or path-like
        A symbolic link stays, and what it points to is replaced. A file that is replaced keeps its permissions.
    opt : optimizer
    params : mapping, sequence or ndarray
    **extra
        Anything made of dicts, lists, tuples, strings, numbers, None, arrays, optimizers, and Generators and
        RandomStates of NumPy's. Keys of dicts are strings, numbers, None or tuples of them.

    Arrays may have any layout and byte order, and any dtype of NumPy or ml_dtypes that the format has. Raises, and
    leaves the file as it is: TypeError for what cannot be saved, ValueError for what is nested too deeply, OSError, and
    ImportError without the package safetensors, which ``pip install "fastnn[files]"`` installs.
    """
    replace(os.path.realpath(path), encoded({"opt": opt, "params": params, "extra": extra}))


def load(path: Any, /, *, opt: Any = None, params: Any = None) -> Saved:
    """Read a checkpoint of `save`.

    Given an optimizer and parameters, it puts the saved state and values into them, too, after everything has been
    checked.

    Parameters
    ----------
    path : str or path-like
    opt : optimizer, optional
        One of the same kind.
    params : mapping, sequence or ndarray, optional
        Of the same keys or length, shapes and dtypes; changed in place.

    Returns
    -------
    Saved
        (opt, params, extra). Tuples, keys and the memory order of arrays are as they were; arrays are new, writable and
        in native byte order, NumPy numbers have become Python numbers, other mappings dicts and other sequences lists.

    Raises
    ------
    StateError
        A ValueError: the file is damaged, incomplete, not written by `save`, of a newer format, or has not what fits
        `opt` and `params`. Nothing has been changed.
    OSError, ImportError
        As in `save`; ImportError, too, if arrays of ml_dtypes' dtypes are found without that package.
    """
    package()
    with open(path, "rb") as file:
        data = file.read()
    try:
        saved = _saved(decoded(data))
        put = _fitting(saved, opt, params)
    except StateError as error:
        raise StateError(f"{os.fspath(path)}: {error}") from None
    for commit in put:
        commit()
    return saved


def _saved(tree):
    if not isinstance(tree, dict) or tree.keys() != {"opt", "params", "extra"} or not isinstance(tree["extra"], dict):
        raise StateError("the file has no opt, params and extra")
    return Saved(**tree)


def _fitting(saved, opt, params):
    """Functions that put what was saved into an optimizer and parameters, and cannot fail. Raises StateError."""
    put = []
    if opt is not None:
        if not hasattr(opt, "load_state_dict"):
            raise TypeError(f"opt must be an optimizer, not {type(opt).__name__}")
        if saved.opt is None:
            raise StateError("no optimizer was saved")
        put.append(checked(opt, saved.opt))
    if params is not None:
        put += [_copy(*pair) for pair in _pairs(saved.params, params)]
    return put


def _pairs(saved, params):
    """(what, saved value, parameter), all of them arrays that fit."""
    if isinstance(params, Mapping):
        keys = list(params)
        if not isinstance(saved, dict) or saved.keys() != set(keys):
            raise StateError(f"the file's parameters are not {', '.join(map(repr, keys))[:200]}")
        pairs = [(f"parameter {key!r}", saved[key], params[key]) for key in keys]
    elif isinstance(params, (list, tuple)):
        if not isinstance(saved, (list, tuple)) or len(saved) != len(params):
            raise StateError(f"the file does not have {len(params)} parameters in a sequence")
        pairs = [(f"parameter {i}", *pair) for i, pair in enumerate(zip(saved, params))]
    else:
        pairs = [("the parameter", saved, params)]
    for what, value, parameter in pairs:
        if not isinstance(parameter, np.ndarray):
            raise TypeError(f"{what} must be a NumPy array, not {type(parameter).__name__}")
        if not parameter.flags.writeable:
            raise ValueError(f"{what} is read-only")
        if not isinstance(value, np.ndarray):
            raise StateError(f"{what} was saved as {type(value).__name__}")
        if (value.shape, value.dtype) != (parameter.shape, parameter.dtype.newbyteorder("=")):
            raise StateError(f"{what} was saved as {value.dtype} of shape {value.shape}, "
                             f"but is {parameter.dtype} of shape {parameter.shape}")
    return pairs


def _copy(what, value, parameter):
    return lambda: np.copyto(parameter, value)
