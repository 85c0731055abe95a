"""How many threads a call may use, and how its parts are shared out between them."""

# one part of a call: start to stop of what is counted
ctypedef void (*range_body)(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil

cdef int threads_for(Py_ssize_t elements) noexcept

# body over 0 to n, cut at multiples of `grain`, by up to `threads` threads
cdef void share_out(range_body body, const void *work, Py_ssize_t n, Py_ssize_t grain, int threads) noexcept nogil
