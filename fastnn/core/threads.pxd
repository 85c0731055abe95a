"""How many threads a call may use, how its parts are shared out between them, and how a signal ends it."""

cdef extern from "cancellation.h":
    ctypedef struct fastnn_cancellation:
        pass
    # one part of a call: start to stop of what is counted
    ctypedef void (*range_body "fastnn_range")(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    int fastnn_cancelled(fastnn_cancellation *cancellation) noexcept nogil

cdef int threads_for(Py_ssize_t elements) noexcept

# body over 0 to n, cut at multiples of `grain`, by up to `threads` threads. It comes to its end, whatever signals wait
cdef void share_out(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads) noexcept nogil

# The same for a call on so many elements, which a signal's handler may end by raising: what it raised is raised then
cdef int share_cancellable(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads,
                       Py_ssize_t elements) except -1 nogil

# For bodies with long parts, which check `cancellation` themselves; begun, or NULL if the call cannot be cancelled
cdef fastnn_cancellation *begun(fastnn_cancellation *cancellation, Py_ssize_t elements) noexcept nogil
cdef int share_with(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads,
                    fastnn_cancellation *cancellation) except -1 nogil
cdef int raise_if_over(fastnn_cancellation *cancellation) except -1 nogil
