"""What a rule has to know of whole tensors before its constants can be made, and gradients in the place of gradients."""
from fastnn.core.arrays cimport Kind
from fastnn.core.layouts cimport Layout

cdef struct Gradient:
    # of a task
    const char *numbers
    Kind kind
    bint staged


cdef class Products:
    # which inner products are wanted: each is of two operands, by the numbers that measuring.pyx gives them
    cdef int *operands
    cdef int count
    cdef int slots
    cdef readonly bint tries                      # whether the rule is tried
    cdef bint reads_g
    cdef readonly bint reads_p
    cdef object kernels                     # what is tried instead of the rule: (address for float, for double), or None


cdef class Measured:
    # of a layout's tasks, for as long as the object lives
    cdef Layout layout
    cdef list replaced                      # arrays in the place of gradients
    cdef Gradient *gradients                # which stand again where they stood in the end; NULL: none is replaced

    cdef list dots(self, Products wanted)
    cdef object gradient(self, Py_ssize_t i)
    cdef int replace(self, Py_ssize_t i, object array) except -1
