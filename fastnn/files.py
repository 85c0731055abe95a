"""Checkpoints: parameters, optimizers and whatever belongs to them, in one file."""
import os
from typing import Any, NamedTuple

from .encoding import decoded, encoded, package
from .replacing import replace
from .state import StateError, filled


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
    """Write a checkpoint with an atomic replace: whenever the process is killed, the file is the old one or the new
    one.

    Parameters
    ----------
    path : str or path-like
        A symbolic link stays, and what it points to is replaced. A file that is replaced keeps its permissions.
    opt : optimizer, or a wrapper around one
    params : mapping, list, tuple or ndarray
        Nested ones, too, of arrays and numbers.
    **extra
        Anything made of dicts, lists, tuples, strings, numbers, None, arrays, Generators and RandomStates of NumPy's,
        and what has a `state_dict`: optimizers, networks, trainers. Keys of dicts are strings, numbers, None or tuples
        of them.

    Arrays may have any layout and byte order, and any dtype of NumPy or ml_dtypes that the format has. Raises, and
    leaves the file as it is: TypeError for what cannot be saved, ValueError for what is nested too deeply, OSError, and
    ImportError without the package safetensors, which ``pip install "fastnn[files]"`` installs.
    """
    replace(os.path.realpath(path), encoded({"opt": opt, "params": params, "extra": extra}))


def load(path: Any, /, *, opt: Any = None, params: Any = None, **objects: Any) -> Saved:
    """Read a checkpoint of `save`.

    Given objects and parameters, it puts the saved states and values into them, too, after everything has been checked.

    Parameters
    ----------
    path : str or path-like
    opt : optimizer, optional
        One of the same kind.
    params : mapping, list, tuple or ndarray, optional
        Arrays, or nested mappings and sequences of arrays and plain numbers, of the same keys, lengths, shapes and
        dtypes as those that were saved. Arrays are changed in place; numbers are replaced in the dict or list that they
        are in.
    **objects
        Optimizers, networks and trainers that were saved under these keywords, for their `load_state_dict`.

    Returns
    -------
    Saved
        (opt, params, extra). Tuples, keys and the memory order of arrays are as they were; arrays are new, writable and
        in native byte order, NumPy numbers have become Python numbers, other mappings dicts and other sequences lists.

    Raises
    ------
    StateError
        A ValueError: the file is damaged, incomplete, not written by `save`, of a newer format, or has not what fits
        the objects and `params`. Nothing has been changed.
    OSError, ImportError
        As in `save`; ImportError, too, if arrays of ml_dtypes' dtypes are found without that package.
    """
    package()
    if opt is not None:
        objects["opt"] = opt
    with open(path, "rb") as file:
        data = file.read()
    try:
        saved = _saved(decoded(data))
        put = _fitting(saved, objects, params)
    except StateError as error:
        raise StateError(f"{os.fspath(path)}: {error}") from None
    for commit in put:
        commit()
    return saved


def _saved(tree):
    if not isinstance(tree, dict) or tree.keys() != {"opt", "params", "extra"} or not isinstance(tree["extra"], dict):
        raise StateError("the file has no opt, params and extra")
    return Saved(**tree)


def _fitting(saved, objects, params):
    """Functions that put what was saved into objects and parameters, and cannot fail. Raises StateError."""
    put = []
    states = {**saved.extra, "opt": saved.opt}
    for name, owner in objects.items():
        if not hasattr(owner, "_fitting"):
            raise TypeError(f"{name} must be an optimizer, a network or a trainer of fastnn's, not "
                            f"{type(owner).__name__}")
        if states.get(name) is None:
            raise StateError("no optimizer was saved" if name == "opt" else f"no {name!r} was saved")
        put.append(owner._fitting(states[name]))
    return put if params is None else [*put, *filled(params, saved.params)]
