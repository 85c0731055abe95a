"""How many threads a call may use."""
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
    """
    int FASTNN_OPENMP
    int omp_get_max_threads() noexcept nogil
    int omp_in_parallel() noexcept nogil

cdef enum:
    # Waking a second thread costs about 1 us, as much as this many elements of a light kernel take (docs/performance.md).
    ELEMENTS_A_THREAD = 8192

openmp = bool(FASTNN_OPENMP)

cdef int limit = 0              # 0: as many as OpenMP gives
cdef int openmp_at_start = omp_get_max_threads()
cdef bint forked = False        # libgomp hangs in a forked child whose parent has run a parallel region


cdef int effective() noexcept:
    cdef int available = omp_get_max_threads()
    if forked or not FASTNN_OPENMP:
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


def get_num_threads():
    """The number of threads that a call on large arrays uses."""
    return effective()


def set_num_threads(n):
    """Use at most `n` threads (at least 1) from now on, in the whole process; None goes back to OpenMP's own number.

    The default is FASTNN_NUM_THREADS, then OMP_NUM_THREADS, then the cores this process may use. Without OpenMP, and in
    a forked child, there is one thread whatever is set here.

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


def _after_fork_in_child():
    global forked
    forked = True


def _from_environment():
    text = os.environ.get("FASTNN_NUM_THREADS")
    if not text:
        return
    try:
        set_num_threads(int(text))
    except ValueError:
        raise ImportError(f"FASTNN_NUM_THREADS must be a whole number from 1 to 4096, not {text!r}") from None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
_from_environment()
