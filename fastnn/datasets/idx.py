"""IDX, the file format of MNIST: a magic number, the sizes, then the bytes, all big-endian.

Format: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits.
"""
import gzip
import math
import struct
import zlib

import numpy as np

UNSIGNED_BYTE = 0x08
CHUNK = 1 << 20


def read_idx(path, ndim):
    """The unsigned bytes in an IDX file, gzipped if its name ends in .gz.

    Parameters
    ----------
    path : pathlib.Path
    ndim : int
        Number of dimensions that the file must have.

    Returns
    -------
    ndarray of uint8, writable

    Raises
    ------
    ValueError
        The file is no gzip file though its name says so, is damaged, has another magic number, no items, or
        fewer or more bytes than its header says.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            shape = _read_header(file, path, ndim)
            data = _read_at_most(file, math.prod(shape) + 1)
    except gzip.BadGzipFile as error:
        raise ValueError(f"{path}: not a sound gzip file ({error})") from error
    except zlib.error as error:
        raise ValueError(f"{path}: damaged gzip data ({error})") from error
    except EOFError as error:
        raise ValueError(f"{path}: truncated gzip file") from error
    claim = math.prod(shape)
    sizes = " x ".join(map(str, shape))
    if len(data) < claim:
        raise ValueError(f"{path}: truncated: {len(data)} bytes of data where the header says {sizes}")
    if len(data) > claim:
        raise ValueError(f"{path}: trailing bytes after the {sizes} of the header")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_header(file, path, ndim):
    header = file.read(4 * (1 + ndim))
    if len(header) < 4 * (1 + ndim):
        raise ValueError(f"{path}: truncated: only {len(header)} bytes")
    magic, *shape = struct.unpack(f">{1 + ndim}I", header)
    expected = UNSIGNED_BYTE << 8 | ndim
    if magic != expected:
        raise ValueError(f"{path}: wrong magic number {magic:#010x}, expected {expected:#010x}")
    if 0 in shape:
        raise ValueError(f"{path}: wrong count: the header says {' x '.join(map(str, shape))}")
    return shape


def _read_at_most(file, limit):
    """Up to `limit` bytes, piece by piece: a lying header costs no more memory than the file has bytes."""
    data = bytearray()
    while piece := file.read(min(CHUNK, limit - len(data))):
        data += piece
    return data
