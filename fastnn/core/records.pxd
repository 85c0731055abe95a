"""The state of one parameter, and what arrays have to be to be stepped with it."""
cimport numpy as cnp

from fastnn.core.arrays cimport DOUBLE, OTHER, Kind, kind_of
from fastnn.core.cohorts cimport Cohort
from fastnn.core.passes cimport MOST_STORED_SLOTS, Format
from fastnn.core.spans cimport Span

cdef extern from "numpy/arrayobject.h":     # of borrowed references, too, which Cython would count otherwise
    int ndim_of "PyArray_NDIM"(const void *a) noexcept
    const cnp.npy_intp *dims_of "PyArray_DIMS"(const void *a) noexcept

cdef enum:
    MOST_AXES = 64          # NumPy's own limit


cdef class Storage:
    cdef tuple initial                      # None: the slot begins as the parameter
    cdef tuple scalars                      # the first values of what is kept besides slots
    cdef object name                        # of the dtype, or None
    cdef object dtype                       # of the codes
    cdef Format formats[MOST_STORED_SLOTS]
    cdef Py_ssize_t grain                   # slots are padded to a multiple of this


cdef class Record:
    cdef readonly tuple shape
    cdef readonly cnp.ndarray slots         # (number of slots, elements padded to a multiple of BLOCK_STEP or more)
    cdef readonly cnp.ndarray scales        # of stored state: (number of slots, blocks)
    cdef Storage storage
    cdef readonly object dtype              # of the parameter
    cdef readonly object computed           # the dtype that it is computed in
    cdef public dict others                 # state of other shapes, by name, None: there is none
    cdef cnp.npy_intp dims[MOST_AXES]
    cdef int ndim
    cdef Kind kind                          # of the parameter
    cdef bint fortran
    cdef int layout                         # the flag of arrays that lie in memory as the slots do
    cdef Py_ssize_t n
    cdef Py_ssize_t padded                  # elements of a slot
    cdef readonly bint used                 # whether a step has been taken with it
    cdef readonly Cohort cohort             # with which it has taken its last step: it has t, group and scalars
    cdef readonly bint grouped              # whether the group is known
    cdef Span place                         # where the parameter lay at the last step, and its index
    cdef Span whole                         # the memory of the array that it is a view of; empty: of none

    cdef object loaded(self, int index)


# a parameter's first state; `key` is for errors. `lazy`: its memory is not touched before it is needed
cdef Record new_record(cnp.ndarray like, Storage storage, object key, bint lazy=*)

# slots of a new record that begin as the parameter
cdef int begin_as(Record record, cnp.ndarray p) except -1

# a contiguous copy that lies as the record's slots do
cdef cnp.ndarray conforming(cnp.ndarray a, Record record, object dtype)

# the array that a view was made of, and what that was made of
cdef Span whole_of(cnp.ndarray a)

cdef cnp.ndarray checked_parameter(object value, object key)
cdef cnp.ndarray checked_gradient(object value, cnp.ndarray p, object key)

# a tuple, whatever a subclass says of itself
cdef object shape_of(cnp.ndarray a)


cdef inline bint lies_as(cnp.ndarray a, Record record) noexcept:
    """a lies in memory as the record's slots do."""
    return cnp.PyArray_CHKFLAGS(a, record.layout | cnp.NPY_ARRAY_ALIGNED) and cnp.PyArray_ISNOTSWAPPED(a)


cdef inline bint usable(cnp.ndarray grad, Record record) except -1:
    """A gradient can be read as it is."""
    cdef Kind kind = kind_of(grad)
    return (lies_as(grad, record)
            and (kind == record.kind or (kind != OTHER and kind != DOUBLE and record.kind != DOUBLE)))


cdef inline bint same_shape(const void *a, int ndim, const cnp.npy_intp *dims) noexcept:
    cdef int axis
    if ndim_of(a) != ndim:
        return False
    for axis in range(ndim):
        if dims_of(a)[axis] != dims[axis]:
            return False
    return True


cdef inline bint has_shape(cnp.ndarray a, Record record) noexcept:
    return same_shape(<const void *>a, record.ndim, record.dims)


cdef inline bint fits(cnp.ndarray p, Record record) except -1:
    """A parameter that can be written to, as it was when it was checked."""
    return (has_shape(p, record) and kind_of(p) == record.kind
            and cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_WRITEABLE))
