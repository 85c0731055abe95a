# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The memory that a step runs over, kept for the next one: most steps find all arrays where they were."""
cimport cython
cimport numpy as cnp
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next, PyDict_Size
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport calloc, free

from fastnn.core.arrays cimport DOUBLE, kind_of
from fastnn.core.cohorts cimport Cohort
from fastnn.core.passes cimport BLOCK, Task
from fastnn.core.records cimport Record, dims_of, fits, has_shape, lies_as, ndim_of, same_shape, usable
from fastnn.core.spans cimport Span, clear_of
from fastnn.core.sparse cimport Merged, Rows, have_width

from fastnn.core.records import CHANGED

cdef extern from "Python.h":
    Py_ssize_t length_of "PySequence_Fast_GET_SIZE"(object items)       # of lists and tuples
    PyObject **items_of "PySequence_Fast_ITEMS"(object items)

cdef extern from "numpy/arrayobject.h":     # of borrowed references, which Cython would count otherwise
    const char *bytes_of "PyArray_BYTES"(const void *a) noexcept
    void *descr_of "PyArray_DESCR"(const void *a) noexcept
    int flags_of "PyArray_FLAGS"(const void *a) noexcept

cnp.import_array()


cdef inline Snapshot snapshot_of(const void *a) noexcept:
    cdef Snapshot snapshot
    snapshot.data, snapshot.dtype, snapshot.flags = bytes_of(a), descr_of(a), flags_of(a)
    return snapshot


cdef inline bint matches(const void *a, const Snapshot *snapshot, int ndim, const cnp.npy_intp *dims) noexcept:
    return (bytes_of(a) == snapshot.data and descr_of(a) == snapshot.dtype and flags_of(a) == snapshot.flags
            and same_shape(a, ndim, dims))


cdef inline bint intact(const void *slots, int count, Py_ssize_t padded) noexcept:
    """The slots are as they were made: `state` hands out views, whose base somebody might reshape or resize."""
    cdef int flags = cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED
    return (ndim_of(slots) == 2 and dims_of(slots)[0] == count and dims_of(slots)[1] == padded
            and flags_of(slots) & flags == flags)


@cython.final
cdef class Layout:
    """The memory that a plan runs over. Kept by the stepper: most steps find all parameters where they were."""

    def __cinit__(self, list keys, list records, list cohorts, list targets, list grads, list parameters=None):
        cdef Py_ssize_t i
        cdef Record record
        cdef cnp.ndarray target, grad
        cdef Task *task
        self.keys, self.records, self.cohorts, self.count = keys, records, cohorts, len(records)
        self.parameters = parameters
        self.dtypes, self.merged = [], []
        for target in targets:
            self.dtypes.append(target.descr)
        self.tasks = <Task *>calloc(self.count + 1, sizeof(Task))
        self.seen = <Seen *>calloc(self.count + 1, sizeof(Seen))
        self.held = <PyObject **>calloc(2 * self.count + 1, sizeof(PyObject *))
        if self.tasks == NULL or self.seen == NULL or self.held == NULL:
            raise MemoryError
        for i in range(self.count):
            record = <Record>records[i]
            target = <cnp.ndarray>targets[i]
            self.slots = <int>len(record.storage.initial)
            if not (fits(target, record) and lies_as(target, record)
                    and intact(<const void *>record.slots, self.slots, record.padded)):
                raise ValueError(CHANGED)
            task = &self.tasks[i]
            task.target = cnp.PyArray_BYTES(target)
            task.state = cnp.PyArray_BYTES(record.slots)
            if parameters is not None:
                task.parameter = cnp.PyArray_BYTES(<cnp.ndarray>parameters[i])
            task.constants = &(<Cohort>cohorts[i]).constants
            task.scale = 1
            if record.scales is not None:
                task.scales = <float *>cnp.PyArray_BYTES(record.scales)
            task.padded = record.padded
            task.kind = record.kind
            self.seen[i].key = <PyObject *>keys[i]
            self.seen[i].param = snapshot_of(<const void *>target)
            self.seen[i].ndim = record.ndim
            self.seen[i].dims = record.dims
            self.seen[i].slots = <const void *>record.slots
            self.hold(target)
            if isinstance(grads[i], Merged):
                self.merged.append(grads[i])
                self.sparse = True
                self.hold((<Merged>grads[i]).source)
                self.put_rows(i)
                continue
            grad = <cnp.ndarray>grads[i]
            if not (has_shape(grad, record) and usable(grad, record)):
                raise ValueError(CHANGED)
            self.merged.append(None)
            self.dtypes.append(grad.descr)
            task.grad, task.n, task.grad_kind = cnp.PyArray_BYTES(grad), record.n, kind_of(grad)
            task.staged = task.kind != task.grad_kind or task.kind > DOUBLE or record.scales is not None
            self.seen[i].grad = snapshot_of(<const void *>grad)
            self.hold(grad)
        self.count_blocks()

    def __dealloc__(self):
        self.release()
        free(self.tasks)
        free(self.seen)
        free(self.held)

    cdef void put_rows(self, Py_ssize_t i) noexcept:
        cdef Merged merged = <Merged>self.merged[i]
        cdef Task *task = &self.tasks[i]
        task.grad, task.n, task.grad_kind = merged.values, merged.count * merged.width, merged.kind
        task.rows, task.width = merged.rows, merged.width
        task.staged = task.kind != task.grad_kind or task.kind > DOUBLE

    cdef void count_blocks(self) noexcept:
        cdef Py_ssize_t i
        cdef Py_ssize_t blocks = 0
        self.elements = 0
        for i in range(self.count):
            self.tasks[i].first_block = blocks
            blocks += (self.tasks[i].n + BLOCK - 1) // BLOCK
            self.elements += self.tasks[i].n
        self.tasks[self.count].first_block = blocks

    cdef void hold(self, object array) noexcept:
        Py_INCREF(array)
        self.held[self.held_count] = <PyObject *>array
        self.held_count += 1

    cdef void release(self) noexcept:
        while self.held_count:
            self.held_count -= 1
            Py_DECREF(<object>self.held[self.held_count])
        if self.sparse:
            for merged in self.merged:
                if merged is not None:
                    (<Merged>merged).source = None

    cdef inline bint has_state(self, Py_ssize_t i) noexcept:
        """Whether the state lies where it lay."""
        return (bytes_of(self.seen[i].slots) == self.tasks[i].state
                and intact(self.seen[i].slots, self.slots, self.tasks[i].padded))

    cdef inline bint fits(self, Py_ssize_t i, PyObject *p, PyObject *gradient, const Span *spans) except -1:
        """Whether parameter i, which is held, and its state are unchanged and its gradient can be used as it is; it is
        then put in."""
        cdef Seen *seen = &self.seen[i]
        cdef cnp.ndarray g
        if not (matches(p, &seen.param, seen.ndim, seen.dims) and self.has_state(i)):
            return False
        if gradient == NULL:
            return False
        if self.tasks[i].rows != NULL:
            if not isinstance(<object>gradient, Rows):
                return False
            self.hold(<object>gradient)                 # `merge` does the rest
            return True
        if not cnp.PyArray_CheckExact(<object>gradient):
            return False
        if not matches(gradient, &seen.grad, seen.ndim, seen.dims):
            g = <cnp.ndarray>gradient
            if not (descr_of(<void *>gradient) == seen.grad.dtype and same_shape(gradient, seen.ndim, seen.dims)
                    and lies_as(g, <Record>self.records[i]) and clear_of(spans, self.count, g)):
                return False
            seen.grad = snapshot_of(<const void *>gradient)
            self.tasks[i].grad = cnp.PyArray_BYTES(g)
        self.hold(<object>gradient)
        return True

    cdef bint holds_mapping(self, dict params, dict grads, const Span *spans) except -1:
        """Whether all parameters and gradients fit; they are then held until `release`."""
        cdef PyObject *key
        cdef PyObject *value
        cdef PyObject *other
        cdef PyObject *gradient
        cdef Py_ssize_t position = 0
        cdef Py_ssize_t beside = 0              # in grads, which usually lists the same keys in the same order
        cdef Py_ssize_t i
        self.asked = False
        if PyDict_Size(params) != self.count:
            return False
        for i in range(self.count):
            if not PyDict_Next(params, &position, &key, &value):
                return False
            if key != self.seen[i].key or not cnp.PyArray_CheckExact(<object>value):
                return False
            self.hold(<object>value)                    # before a key's own code may run
            if not PyDict_Next(grads, &beside, &other, &gradient) or other != key:
                gradient = PyDict_GetItemWithError(grads, <object>self.seen[i].key)
                self.asked = True
            if not self.fits(i, value, gradient, spans):
                return False
        return True

    cdef bint holds_sequence(self, object params, object grads, const Span *spans) except -1:
        """The same for lists and tuples."""
        cdef PyObject *value
        cdef Py_ssize_t i
        self.asked = False
        if length_of(params) != self.count or length_of(grads) != self.count:
            return False
        for i in range(self.count):
            value = items_of(params)[i]
            if not cnp.PyArray_CheckExact(<object>value):
                return False
            self.hold(<object>value)
            if not self.fits(i, value, items_of(grads)[i], spans):
                return False
        return True

    cdef bint merge(self, const Span *spans) except -1:
        """Put in Rows that are held. False if they do not fit."""
        cdef Py_ssize_t i
        cdef Rows rows
        if not self.sparse:
            return True
        for i in range(self.count):
            if self.tasks[i].rows != NULL:
                rows = <Rows>self.held[2 * i + 1]
                if not (have_width(rows, self.seen[i].ndim, self.seen[i].dims)
                        and (<Merged>self.merged[i]).take(rows, <Record>self.records[i],
                                                          not clear_of(spans, self.count, rows.numbers)) < 0):
                    return False
                self.put_rows(i)
        self.count_blocks()
        return True

    cdef bint unchanged(self) noexcept:
        """Whether all arrays that are held are as they were found."""
        cdef Py_ssize_t i
        cdef Seen *seen
        if self.held_count != 2 * self.count:
            return False
        for i in range(self.count):
            seen = &self.seen[i]
            if not (matches(self.held[2 * i], &seen.param, seen.ndim, seen.dims)
                    and (self.tasks[i].rows != NULL or matches(self.held[2 * i + 1], &seen.grad, seen.ndim, seen.dims))
                    and self.has_state(i)):
                return False
        return True
