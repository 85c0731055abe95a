"""The compiled core. It imports nothing of the package: addresses of kernels go in, arrays come out."""
import os

# libgomp's idle threads spin for milliseconds, on the very cores that the BLAS between two calls wants. It reads how
# long from the environment, once, when it is loaded; whoever has set something there is left alone.
_SHORT_SPIN = {"GOMP_SPINCOUNT": "1000"} if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys() else {}
os.environ.update(_SHORT_SPIN)
try:
    from fastnn.core.threads import get_num_threads, openmp, set_num_threads
finally:
    for _name in _SHORT_SPIN:
        del os.environ[_name]

from fastnn.core.levels import isa, kernels

__all__ = ["get_num_threads", "isa", "kernels", "openmp", "set_num_threads"]
