"""How many threads a call may use, how its parts are shared out between them, and how a signal ends it.

OpenMP's runtime only keeps the number: OMP_NUM_THREADS, omp_set_num_threads and threadpoolctl count. The work is done
by the pool of pool.h, which says why. A build without OpenMP finds the number by itself, once, at import; its pool is
the same.
"""
import os
import threading
from operator import index

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

    static int fastnn_signalled(void)       /* whether a signal's handler raised: the exception is set then */
    {
        PyGILState_STATE state = PyGILState_Ensure();
        int raised = PyErr_CheckSignals();
        PyGILState_Release(state);
        return raised;
    }
    """
    int FASTNN_OPENMP
    int FASTNN_POOL
    int omp_get_max_threads() noexcept nogil
    int omp_in_parallel() noexcept nogil
    int fastnn_signalled() noexcept nogil
    int FASTNN_LOST
    void fastnn_cancellation_begin(fastnn_cancellation *cancellation, int (*signalled)() noexcept nogil) noexcept nogil
    void fastnn_share(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads,
                      fastnn_cancellation *cancellation) noexcept nogil
    void fastnn_pool_prepare()
    bint fastnn_pool_single() noexcept
    void fastnn_pool_several()
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef enum:
    ELEMENTS_A_THREAD = 8192    # fewer float32 elements are not even worth a look at the clock (pool.h)
    WATCHED = 1 << 18           # fewer elements are done before anybody would wait for them

openmp = bool(FASTNN_OPENMP)

cdef enum:
    MOST = 4096


def _without_openmp():
    """What OpenMP's runtime would answer: OMP_NUM_THREADS (the first number of its list), else the usable cores."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip().lstrip("0")
    if first.isdecimal():                                   # anything else does not count, as in the runtimes
        return int(first) if len(first) <= 4 and int(first) <= MOST else MOST
    if hasattr(os, "process_cpu_count"):                    # since Python 3.13
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


cdef int limit = 0              # 0: as many as `available` says
cdef int at_start = omp_get_max_threads() if FASTNN_OPENMP else _without_openmp() if FASTNN_POOL else 1

cdef int effective() noexcept:
    cdef int available = omp_get_max_threads() if FASTNN_OPENMP else at_start
    cdef int most = limit                       # once: another thread may set it meanwhile
    if fastnn_pool_single():
        return 1
    if most == 0 or not (FASTNN_OPENMP or FASTNN_POOL):
        return available
    # An explicit number counts, unless OpenMP itself has been limited since (threadpoolctl, omp_set_num_threads).
    return min(most, available) if available < at_start else most


cdef int threads_for(Py_ssize_t elements) noexcept:
    cdef Py_ssize_t useful = elements // ELEMENTS_A_THREAD
    if useful < 2 or omp_in_parallel():
        return 1
    return <int>min(useful, <Py_ssize_t>effective())


cdef void share_out(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads) noexcept nogil:
    fastnn_share(body, work, n, grain, threads, NULL)


# Signals. Python runs their handlers in its main thread alone.

cdef unsigned long main_thread = threading.main_thread().ident


def _after_fork():
    """The thread that forked is the only one left, and the main one."""
    global main_thread
    main_thread = PyThread_get_thread_ident()


cdef fastnn_cancellation *begun(fastnn_cancellation *cancellation, Py_ssize_t elements) noexcept nogil:
    if elements < WATCHED or PyThread_get_thread_ident() != main_thread:
        return NULL
    fastnn_cancellation_begin(cancellation, fastnn_signalled)
    return cancellation


cdef int raise_if_over(fastnn_cancellation *cancellation) except -1 nogil:
    cdef int over = 0 if cancellation == NULL else fastnn_cancelled(cancellation)
    if over == FASTNN_LOST:
        with gil:
            raise RuntimeError("a signal's handler forked in the middle of a call on several threads: "
                               "in the child the call cannot be finished")
    return -1 if over else 0


cdef int share_with(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads,
                    fastnn_cancellation *cancellation) except -1 nogil:
    fastnn_share(body, work, n, grain, threads, cancellation)
    return raise_if_over(cancellation)


cdef int share_cancellable(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads,
                       Py_ssize_t elements) except -1 nogil:
    cdef fastnn_cancellation cancellation
    return share_with(body, work, n, grain, threads, begun(&cancellation, elements))


def get_num_threads():
    """The number of threads that a call on large arrays uses."""
    return effective()


def set_num_threads(n):
    """Use at most `n` threads (at least 1) from now on, in the whole process; None goes back to OpenMP's own number.

    The default is FASTNN_NUM_THREADS, then OMP_NUM_THREADS, then the cores this process may use. A build without OpenMP
    reads the same variables, once, but knows nothing of threadpoolctl; on Windows it has one thread. The child of a fork
    has one thread until it calls this function.

    Raises TypeError for anything but an integer or None, ValueError below 1.
    """
    global limit
    if n is None:
        limit = 0
        fastnn_pool_several()
        return
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"the number of threads must be an integer, not {type(n).__name__}")
    n = int.__add__(index(n), 0)            # an int, whatever it was
    if not 1 <= n <= MOST:
        raise ValueError(f"the number of threads must be from 1 to {MOST}, not {n}")
    limit = n
    fastnn_pool_several()


def _from_environment():
    text = os.environ.get("FASTNN_NUM_THREADS")
    if not text:
        return
    try:
        set_num_threads(int(text))
    except ValueError:
        raise ImportError(f"FASTNN_NUM_THREADS must be a whole number from 1 to 4096, not {text!r}") from None


fastnn_pool_prepare()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
_from_environment()
