"""A non-blocking lock that holds the owner's thread id."""

cdef extern from "gate.h":
    ctypedef struct fastnn_gate:
        pass


cdef class Gate:
    cdef fastnn_gate gate

    cdef int enter(self) except -1
    cdef void leave(self) noexcept
