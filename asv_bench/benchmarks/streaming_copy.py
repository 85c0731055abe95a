"""The loops of streaming_copy.c, compiled when they are asked for. Functions raise OSError or CalledProcessError."""
import ctypes
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path


@cache
def library():
    source = Path(__file__).parents[1] / "streaming_copy.c"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "streaming_copy.so")
        subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", "-pthread", source, "-o", path],
                       check=True, capture_output=True)
        return ctypes.CDLL(str(path))


def compiled():
    """The function streaming_copy(out, in, bytes, threads) -> seconds."""
    function = library().streaming_copy
    function.restype = ctypes.c_double
    function.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return function


def in_place(read, changed, threads):
    """A function () -> seconds that reads one array, and reads and writes others of its size, which stay as they are."""
    function = library().streams_in_place
    function.restype = ctypes.c_double
    function.argtypes = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_size_t, ctypes.c_int
    addresses = (ctypes.c_void_p * len(changed))(*(array.ctypes.data for array in changed))
    return partial(function, read.ctypes.data, addresses, len(changed), read.nbytes, threads)


def reading_twice(x):
    """A function () that reads each row of a contiguous matrix twice; rows of a multiple of 64 bytes."""
    if x.strides[0] % 64:
        raise ValueError(f"rows of {x.strides[0]} bytes, not of a multiple of 64")
    function = library().read_twice
    function.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t
    return partial(function, x.ctypes.data, len(x), x.strides[0])
