"""Gradients of some rows of a parameter."""
cimport numpy as cnp

from fastnn.core.arrays cimport Kind
from fastnn.core.records cimport Record


cdef class Rows:
    cdef cnp.ndarray index                  # intp, contiguous, of any shape
    cdef cnp.ndarray numbers                # the values, native and contiguous, as an array without other references
    cdef Kind kind                          # of the values

    cdef str misfit(self)


cdef class Merged:
    cdef Rows source                        # for as long as a step is under way
    cdef Py_ssize_t count                   # of distinct rows
    cdef Py_ssize_t width                   # elements of a row
    cdef Py_ssize_t *rows                   # distinct, in the order in which they come; never NULL after `take`
    cdef const char *values                 # theirs, one row after another
    cdef Kind kind                          # of these values
    # memory, kept for the next step
    cdef Py_ssize_t *integers
    cdef Py_ssize_t integers_there
    cdef char *room
    cdef Py_ssize_t room_there

    # rows as the record's parameter is stepped with them; in memory of their own if `own`. The position of the first
    # index that is out of range, or -1
    cdef Py_ssize_t take(self, Rows rows, Record record, bint own) except -2


# whether the values are rows of such a parameter
cdef bint have_width(Rows rows, int ndim, const cnp.npy_intp *dims) noexcept

# what to say of a row that is not there
cdef str no_row(Py_ssize_t row, Py_ssize_t rows, object key)

# raises where they are not
cdef void check_width(Rows rows, cnp.ndarray p, object key) except *
