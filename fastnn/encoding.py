"""What is in a checkpoint, as bytes in the safetensors format, and back.

Any reader of safetensors finds the arrays under their places, such as "params.W1". The file's __metadata__ has
besides, as text, "fastnn.format", "fastnn" and "fastnn.crc32", the checksum of the former two. "fastnn" is JSON:

    {"tree": what `save` was given, "arrays": {name: [dtype, shape, CRC-32 of the bytes], ...}}

None, booleans, strings, integers and finite numbers stand for themselves, lists for lists; everything else is an
object of one entry: {"float": "nan"}, {"tuple": [...]}, {"dict": [[key, value], ...]}, {"array": name}, {"fortran":
name} for an array that lies in Fortran's order, {"generator": its state}. Checksums find damage, not malice; but
nothing in a file is ever run, and everything is checked before it is used.
"""
import json
import zlib
from collections.abc import Mapping
from math import isfinite
from numbers import Integral

import numpy as np

from .generators import generator, generator_state
from .state import StateError

FORMAT = 1
DEEPEST = 100                   # dicts, lists and tuples in each other
LONGEST_HEADER = 100_000_000    # bytes, as in the safetensors package
DTYPES = {"bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
          "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64", "int64": "I64",
          "float64": "F64", "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
NAMES = {code: name for name, code in DTYPES.items()}
OF_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def package():
    """The package safetensors. Raises ImportError."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError('checkpoints need the package safetensors: pip install "fastnn[files]"') from None
    return safetensors


def encoded(tree):
    """The bytes of a file. Raises TypeError for what cannot be saved, ValueError for what is nested too deeply."""
    safetensors = package()
    arrays = {}
    plain = _plain(tree, "", arrays, 0)
    sums = {name: [a.dtype.name, list(a.shape), zlib.crc32(_bytes(a))] for name, a in arrays.items()}
    text = json.dumps({"tree": plain, "arrays": sums}, allow_nan=False)
    metadata = {"fastnn.format": str(FORMAT), "fastnn": text, "fastnn.crc32": str(_checksum(str(FORMAT), text))}
    try:
        data = safetensors.numpy.save(arrays, metadata)
    except safetensors.SafetensorError as error:
        raise TypeError(f"the safetensors package cannot save this: {error}") from None
    if int.from_bytes(data[:8], "little") > LONGEST_HEADER:
        raise ValueError("too many arrays, or too much text, for one file: the header would exceed 100 MB")
    return data


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


def _checksum(version, text):
    return zlib.crc32(f"{version}\n{text}".encode())


# And back.

def decoded(data):
    """What `encoded` was given. Raises StateError."""
    metadata = _metadata(data)
    version, text = metadata.get("fastnn.format"), metadata.get("fastnn")
    if version is None or text is None or "fastnn.crc32" not in metadata:
        raise StateError("not a file of fastnn.save, or damaged")
    if version != str(FORMAT):
        raise StateError(f"the file has format {version[:20]}; this fastnn knows {FORMAT} and none that is newer")
    if metadata["fastnn.crc32"] != str(_checksum(version, text)):
        raise StateError("the file is damaged: the checksum of its header is wrong")
    description = _json(text)
    if not isinstance(description, dict) or description.keys() != {"tree", "arrays"}:
        raise StateError("the file's header is not fastnn's")
    arrays = _arrays(data, description["arrays"])
    tree = _value(description["tree"], arrays, 0)
    if arrays:
        raise StateError(f"the file has {next(iter(arrays))!r:.80}, which is unexpected")
    return tree


def _metadata(data):
    """The strings of the header, which has to be as safetensors defines it in every other respect, too."""
    if len(data) < 8:
        raise StateError("no safetensors file: too short")
    length = int.from_bytes(data[:8], "little")
    if length > min(len(data) - 8, LONGEST_HEADER):
        raise StateError("no safetensors file, or truncated: its header would be longer than the file")
    try:
        header = _json(data[8:8 + length].decode())
    except UnicodeDecodeError:
        raise StateError("no safetensors file: its header is no text") from None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise StateError("no safetensors file: its header is incomplete")
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
            raise StateError(f"{digits[:20]} is not a valid number in a file")
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
    safetensors = package()
    try:
        found = {name: (tensor["dtype"], tuple(tensor["shape"]), tensor["data"])
                 for name, tensor in safetensors.deserialize(data)}
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
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
    if kind == "dict" and isinstance(content, list):
        return _dict(content, arrays, depth + 1)
    if kind == "generator":
        return generator(_value(content, arrays, depth + 1))
    raise StateError(f"the file has a value of no known kind, or without its array: {kind[:40]!r}")


def _dict(pairs, arrays, depth):
    found = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise StateError("the file has a dict with entries that are no pairs")
        key, value = _value(pair[0], {}, depth), pair[1]
        try:
            known = key in found
        except TypeError:
            raise StateError(f"the file has a dict with a key that is a {type(key).__name__}") from None
        if known:
            raise StateError(f"the file has a dict with the key {key!r:.80} twice")
        found[key] = _value(value, arrays, depth)
    return found
