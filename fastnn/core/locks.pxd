"""A non-blocking lock that holds the owner's thread id."""

cdef extern from "lock.h":
    ctypedef struct fastnn_lock:
        pass


cdef class Lock:
    cdef fastnn_lock lock

    cdef int acquire(self) except -1
    cdef void release(self) noexcept
