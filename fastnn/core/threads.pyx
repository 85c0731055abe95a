"""How many threads a call may use, and how its parts are shared out between them.

OpenMP's runtime only keeps the number: OMP_NUM_THREADS, omp_set_num_threads and threadpoolctl count. The work is done
by the pool of pool.h, which says why.
"""
import os

cdef extern from *:
    """
    #ifdef _OPENMP
      #include <omp.h>
      #define FASTNN_OPENMP 1
    #else
      #define FASTNN_OPENMP 0
      static inline int omp_get_max_threads(void) { return 1; }
      static inline int omp_in_parallel(void) { return 0; }
    #endif
    #include "pool.h"
    """
    int FASTNN_OPENMP
    int omp_get_max_threads() noexcept nogil
    int omp_in_parallel() noexcept nogil
    void fastnn_share(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads) noexcept nogil
    void fastnn_pool_prepare()

cdef enum:
    ELEMENTS_A_THREAD = 8192    # fewer float32 elements are not even worth a look at the clock (pool.h)

openmp = bool(FASTNN_OPENMP)

cdef int limit = 0              # 0: as many as OpenMP gives
cdef int openmp_at_start = omp_get_max_threads()

cdef int effective() noexcept:
    cdef int available = omp_get_max_threads()
    if not FASTNN_OPENMP:
        return 1
    if limit == 0:
        return available
    # An explicit number counts, unless OpenMP itself has been limited since (threadpoolctl, omp_set_num_threads).
    return min(limit, available) if available < openmp_at_start else limit


cdef int threads_for(Py_ssize_t elements) noexcept:
    cdef Py_ssize_t useful = elements // ELEMENTS_A_THREAD
    if useful < 2 or omp_in_parallel():
        return 1
    return <int>min(useful, <Py_ssize_t>effective())


cdef void share_out(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads) noexcept nogil:
    fastnn_share(body, work, n, grain, threads)


def get_num_threads():
    """The number of threads that a call on large arrays uses."""
    return effective()


def set_num_threads(n):
    """Use at most `n` threads (at least 1) from now on, in the whole process; None goes back to OpenMP's own number.

    The default is FASTNN_NUM_THREADS, then OMP_NUM_THREADS, then the cores this process may use. Without OpenMP there
    is one thread whatever is set here.

    Raises TypeError for anything but an integer or None, ValueError below 1.
    """
    global limit
    if n is None:
        limit = 0
        return
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"the number of threads must be an integer, not {type(n).__name__}")
    n = n.__index__()
    if not 1 <= n <= 4096:
        raise ValueError(f"the number of threads must be from 1 to 4096, not {n}")
    limit = n


def _from_environment():
    text = os.environ.get("FASTNN_NUM_THREADS")
    if not text:
        return
    try:
        set_num_threads(int(text))
    except ValueError:
        raise ImportError(f"FASTNN_NUM_THREADS must be a whole number from 1 to 4096, not {text!r}") from None


fastnn_pool_prepare()
_from_environment()
