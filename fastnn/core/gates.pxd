"""Who has an object to himself."""

cdef extern from "gate.h":
    ctypedef struct fastnn_gate:
        pass


cdef class Gate:
    cdef fastnn_gate gate

    cdef int enter(self) except -1
    cdef void leave(self) noexcept
