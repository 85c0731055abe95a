"""The memory that a step runs over, kept for the next one."""
cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject

from fastnn.core.passes cimport Task
from fastnn.core.spans cimport Span

cdef struct Snapshot:
    # what an array was at the last step
    const char *data
    void *dtype
    int flags

cdef struct Seen:
    # what tells whether anything has been changed from outside since the last step
    PyObject *key
    Snapshot param
    Snapshot grad
    int ndim
    const cnp.npy_intp *dims
    const void *slots


@cython.final
cdef class Layout:
    cdef list keys
    cdef list records
    cdef list cohorts                       # of each record
    cdef list parameters                    # of deltas, where they depend on the parameters, else None
    cdef list merged                        # of each: what its Rows have become; None: its gradient is an array
    cdef bint sparse                        # whether any is Rows
    cdef bint asked                         # whether code of a key's may have run between the arrays that are held
    cdef list dtypes                        # all that `seen` points to: an address may be used again
    cdef Py_ssize_t count
    cdef Py_ssize_t elements
    cdef int slots
    cdef Task *tasks                        # count of them, and one that says where the last one ends
    cdef Seen *seen
    cdef PyObject **held                    # the arrays of a step that is about to run
    cdef Py_ssize_t held_count

    cdef void hold(self, object array) noexcept
    cdef void release(self) noexcept
    cdef bint has_state(self, Py_ssize_t i) noexcept
    cdef bint fits(self, Py_ssize_t i, PyObject *p, PyObject *gradient, const Span *spans) except -1
    cdef bint holds_mapping(self, dict params, dict grads, const Span *spans) except -1
    cdef bint holds_sequence(self, object params, object grads, const Span *spans) except -1
    cdef void put_rows(self, Py_ssize_t i) noexcept
    cdef void count_blocks(self) noexcept
    cdef bint merge(self, const Span *spans) except -1
    cdef bint unchanged(self) noexcept
