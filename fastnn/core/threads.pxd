"""How many threads a call may use, how its parts are shared out between them, and how a signal ends it."""

cdef extern from "watch.h":
    ctypedef struct fastnn_watch:
        pass
    # one part of a call: start to stop of what is counted
    ctypedef void (*range_body "fastnn_range")(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    int fastnn_watch_over(fastnn_watch *watch) noexcept nogil

cdef int threads_for(Py_ssize_t elements) noexcept

# body over 0 to n, cut at multiples of `grain`, by up to `threads` threads. It comes to its end, whatever signals wait
cdef void share_out(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads) noexcept nogil

# The same for a call on so many elements, which a signal's handler may end by raising: what it raised is raised then
cdef int share_watched(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads,
                       Py_ssize_t elements) except -1 nogil

# For bodies whose parts are long, and look by themselves: `watch`, begun, or NULL if the call needs none
cdef fastnn_watch *begun(fastnn_watch *watch, Py_ssize_t elements) noexcept nogil
cdef int share_with(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads,
                    fastnn_watch *watch) except -1 nogil
cdef int raise_if_over(fastnn_watch *watch) except -1 nogil
