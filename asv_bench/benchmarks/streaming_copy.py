"""The copy with streaming stores of streaming_copy.c, compiled when it is asked for."""
import ctypes
import subprocess
import tempfile
from pathlib import Path


def compiled():
    """The function streaming_copy(out, in, bytes, threads) -> seconds. Raises OSError or CalledProcessError."""
    source = Path(__file__).parents[1] / "streaming_copy.c"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "streaming_copy.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-pthread", source, "-o", library],
                       check=True, capture_output=True)
        function = ctypes.CDLL(str(library)).streaming_copy
    function.restype = ctypes.c_double
    function.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return function
