"""Checkpoints: parameters, optimizers and whatever belongs to them in one safetensors file, written as a whole or not at all.

Any reader of safetensors finds the arrays under their places, such as "params.W1". The file's __metadata__ has besides, as
text, "fastnn.format", "fastnn" and "fastnn.crc32", the checksum of the former two. "fastnn" is JSON:

    {"tree": what `save` was given, "arrays": {name: [dtype, shape, CRC-32 of the bytes], ...}}

None, booleans, strings, integers and finite numbers stand for themselves, lists for lists; everything else is an object of
one entry: {"float": "nan"}, {"tuple": [...]}, {"dict": [[key, value], ...]}, {"array": name} in C's order of elements or
{"fortran": name}, {"generator": its state}. Checksums find damage, not malice: nothing in a file is run, and everything is
checked before it is used, whoever wrote it.
"""
import errno
import json
import os
import stat
import zlib
from collections.abc import Mapping
from math import isfinite
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from .state import StateError, checked, generator, generator_state

FORMAT = 1
DEEPEST = 100                   # dicts, lists and tuples in each other
LONGEST_HEADER = 100_000_000    # bytes, as in the safetensors package
DTYPES = {"bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
          "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64", "int64": "I64",
          "float64": "F64", "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
NAMES = {code: name for name, code in DTYPES.items()}
OF_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


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

    Arrays may have any layout and byte order, and any dtype of NumPy or ml_dtypes that the format has. Raises, and leaves
    the file as it is: TypeError for what cannot be saved, ValueError for what is nested too deeply, OSError, and ImportError
    without the package safetensors, which ``pip install "fastnn[files]"`` installs.
    """
    package = _safetensors()
    arrays = {}
    tree = _plain({"opt": opt, "params": params, "extra": extra}, "", arrays, 0)
    sums = {name: [a.dtype.name, list(a.shape), zlib.crc32(_bytes(a))] for name, a in arrays.items()}
    text = json.dumps({"tree": tree, "arrays": sums}, allow_nan=False)
    metadata = {"fastnn.format": str(FORMAT), "fastnn": text, "fastnn.crc32": str(_sum(str(FORMAT), text))}
    from safetensors.numpy import save as encoded
    try:
        data = encoded(arrays, metadata)
    except package.SafetensorError as error:
        raise TypeError(f"the safetensors package cannot save this: {error}") from None
    if int.from_bytes(data[:8], "little") > LONGEST_HEADER:
        raise ValueError("too many arrays, or too much text, for one file: the header would exceed 100 MB")
    _replace(os.path.realpath(path), data)


def load(path: Any, /, *, opt: Any = None, params: Any = None) -> Saved:
    """Read a checkpoint of `save`.

    Given an optimizer and parameters, it puts the saved state and values into them, too, after everything has been checked.

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
        A ValueError: the file is damaged, incomplete, not written by `save`, of a newer format, or has not what fits `opt`
        and `params`. Nothing has been changed.
    OSError, ImportError
        As in `save`; ImportError, too, if arrays of ml_dtypes' dtypes are found without that package.
    """
    _safetensors()
    with open(path, "rb") as file:
        data = file.read()
    try:
        saved = _decoded(data)
        put = _fitting(saved, opt, params)
    except StateError as error:
        raise StateError(f"{os.fspath(path)}: {error}") from None
    for commit in put:
        commit()
    return saved


def _safetensors():
    try:
        import safetensors
    except ImportError:
        raise ImportError('checkpoints need the package safetensors: pip install "fastnn[files]"') from None
    return safetensors


# From what was given to plain JSON and arrays.

def _plain(value, place, arrays, depth):
    if depth > DEEPEST:
        raise ValueError(f"{place[:80]}... is nested more than {DEEPEST} deep")
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):     # long doubles among them, which are real numbers, too
        return _array(value, place, arrays)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        return {"generator": _plain(generator_state(value), place, arrays, depth + 1)}
    if hasattr(value, "state_dict"):
        value = value.state_dict()
    if isinstance(value, Mapping):
        items = [(_key(key, place, depth), key, value[key]) for key in value]
        return {"dict": [[plain, _plain(item, _below(place, key), arrays, depth + 1)] for plain, key, item in items]}
    if isinstance(value, (list, tuple)):
        items = [_plain(item, _below(place, i), arrays, depth + 1) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    raise TypeError(f"{place or 'this'} cannot be saved: {type(value).__name__}")


def _below(place, key):
    """The name of an entry: "params.W1"; extras without "extra", which is a name of ours."""
    if not isinstance(key, str):
        key = repr(key)
    return key if place in ("", "extra") else f"{place}.{key}"


def _key(key, place, depth):
    plain = _plain(key, f"a key of {place}", None, depth + 1)
    if isinstance(plain, list) or isinstance(plain, dict) and "tuple" not in plain:
        raise TypeError(f"{place}: keys must be strings, numbers, None or tuples of them, not {type(key).__name__}")
    return plain


def _array(value, place, arrays):
    if arrays is None or np.ma.isMaskedArray(value) or value.dtype.name not in DTYPES:
        raise TypeError(f"{place} cannot be saved: {type(value).__name__} of {value.dtype}")
    value = np.asarray(value)
    fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    name = base = place.encode("utf-8", "backslashreplace").decode()        # half surrogate pairs are no UTF-8
    count = 1
    while name in arrays or name == "__metadata__":
        count += 1
        name = f"{base}~{count}"
    arrays[name] = np.asarray(value, value.dtype.newbyteorder("<"), order="C")
    return {"fortran" if fortran else "array": name}


def _bytes(a):
    return a.reshape(-1).view(np.uint8)


def _sum(version, text):
    return zlib.crc32(f"{version}\n{text}".encode())


# A new file in the place of an old one.

def _replace(path, data):
    folder, name = os.path.split(path)
    try:
        found = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    else:
        if not stat.S_ISREG(found):
            raise OSError(errno.EINVAL, "not a regular file", path)
        mode = stat.S_IMODE(found)
    temporary = os.path.join(folder, f".{name[:40]}.{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(temporary, flags, 0o666 if mode is None else 0o600)        # less the umask
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _sync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):           # Ctrl-C may have come after it was renamed
            os.unlink(temporary)
        raise
    if os.name == "posix":                      # elsewhere folders cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor):
    """Until the disk has it: on macOS fsync leaves it in the drive's cache."""
    try:
        from fcntl import F_FULLFSYNC, fcntl
    except ImportError:
        os.fsync(descriptor)
        return
    try:
        fcntl(descriptor, F_FULLFSYNC)
    except OSError:                             # not on every file system
        os.fsync(descriptor)


# From a file's bytes to what was given.

def _decoded(data):
    metadata = _metadata(data)
    version, text = metadata.get("fastnn.format"), metadata.get("fastnn")
    if version is None or text is None or "fastnn.crc32" not in metadata:
        raise StateError("not a file of fastnn.save, or damaged")
    if version != str(FORMAT):
        raise StateError(f"the file has format {version[:20]}; this fastnn knows {FORMAT} and none that is newer")
    if metadata["fastnn.crc32"] != str(_sum(version, text)):
        raise StateError("the file is damaged: its description does not have the checksum that it had")
    description = _json(text)
    if not isinstance(description, dict) or description.keys() != {"tree", "arrays"}:
        raise StateError("the file's description is none of fastnn's")
    arrays = _arrays(data, description["arrays"])
    tree = _value(description["tree"], arrays, 0)
    if arrays:
        raise StateError(f"the file has {next(iter(arrays))!r:.80}, which belongs nowhere")
    if not isinstance(tree, dict) or tree.keys() != {"opt", "params", "extra"} or not isinstance(tree["extra"], dict):
        raise StateError("the file has no opt, params and extra")
    return Saved(**tree)


def _metadata(data):
    """The strings of the header, which has to be as safetensors defines it in every other respect, too."""
    if len(data) < 8:
        raise StateError("no safetensors file: too short")
    length = int.from_bytes(data[:8], "little")
    if length > min(len(data) - 8, LONGEST_HEADER):
        raise StateError("no safetensors file, or cut off: its header would be longer than the file")
    try:
        header = _json(data[8:8 + length].decode())
    except UnicodeDecodeError:
        raise StateError("no safetensors file: its header is no text") from None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise StateError("no safetensors file: its header does not hold what it must")
    return metadata


def _json(text):
    """Parsed; unlike in Python's parser, a key may not occur twice and numbers must be finite."""
    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise StateError("a key occurs twice in the file's header")
        return found

    def number(digits):
        value = float(digits)
        if not isfinite(value):
            raise StateError(f"{digits[:20]} is no number that a file may have")
        return value

    try:
        return json.loads(text, object_pairs_hook=unique, parse_float=number, parse_constant=number)
    except RecursionError:
        raise StateError("the file's header is nested too deeply") from None
    except StateError:
        raise
    except ValueError as error:             # a JSONDecodeError, or an integer of thousands of digits
        raise StateError(f"the file's header is no JSON: {error}") from None


def _arrays(data, described):
    """The arrays by name; they and only they must be described."""
    package = _safetensors()
    try:
        found = {name: (tensor["dtype"], tuple(tensor["shape"]), tensor["data"])
                 for name, tensor in package.deserialize(data)}
    except (package.SafetensorError, ValueError, OverflowError) as error:
        raise StateError(f"not a file that the safetensors package reads: {error}") from None
    if not isinstance(described, dict) or described.keys() != found.keys():
        raise StateError("the file's arrays are not those that were saved")
    arrays = {}
    for name, (code, shape, content) in found.items():
        if code not in NAMES or described[name] != [NAMES[code], list(shape), zlib.crc32(content)]:
            raise StateError(f"{name!r:.80} is damaged: not the dtype, shape or bytes that were saved")
        if code == "BOOL" and max(content, default=0) > 1:
            raise StateError(f"{name!r:.80} has bytes that are neither true nor false")
        dtype = _dtype(NAMES[code])
        try:
            arrays[name] = np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)
        except (ValueError, OverflowError) as error:        # 2^62 by 0 elements are none, but no shape of NumPy's
            raise StateError(f"{name!r:.80}: {error}") from None
    return arrays


def _dtype(name):
    if name in OF_ML_DTYPES:
        import ml_dtypes
        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def _value(plain, arrays, depth):
    if depth > DEEPEST:
        raise StateError(f"the file's contents are nested more than {DEEPEST} deep")
    if isinstance(plain, list):
        return [_value(item, arrays, depth + 1) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) != 1:
        raise StateError("the file has a value of no known kind")
    (kind, content), = plain.items()
    if kind in ("array", "fortran") and isinstance(content, str) and content in arrays:
        found = arrays.pop(content)         # so that no two places share one
        return np.asfortranarray(found) if kind == "fortran" else found
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind == "tuple" and isinstance(content, list):
        return tuple(_value(content, arrays, depth))
    if kind == "dict" and isinstance(content, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        return _dict(content, arrays, depth + 1)
    if kind == "generator":
        return generator(_value(content, arrays, depth + 1))
    raise StateError(f"the file has a value of no known kind, or without its array: {kind[:40]!r}")


def _dict(pairs, arrays, depth):
    found = {}
    for key, value in pairs:
        key = _value(key, {}, depth)
        try:
            known = key in found
        except TypeError:
            raise StateError(f"the file has a dict with a key that is a {type(key).__name__}") from None
        if known:
            raise StateError(f"the file has a dict with the key {key!r:.80} twice")
        found[key] = _value(value, arrays, depth)
    return found


# Into what there is.

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
            raise StateError(f"{what} was saved as {value.dtype} of shape {value.shape}, but is {parameter.dtype} of shape "
                             f"{parameter.shape}")
    return pairs


def _copy(what, value, parameter):
    return lambda: np.copyto(parameter, value)
