"""What is written together with a step."""


cdef class Part:
    cdef void arrange(self) except *
    cdef void recheck(self) except *
    cdef void write(self) except *


cdef class Transaction:
    cdef readonly list first
    cdef readonly list after
    cdef readonly list ended
    cdef bint casts                         # whether a part rounds numbers; known when all is arranged

    cdef void arrange(self) except *
    cdef void recheck(self) except *
    cdef void begin(self) except *
    cdef void complete(self) except *
    cdef void end(self) except *
