# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, embedsignature.format=clinic
# (with binding, Cython's default, a method that is called on an object of another class crashes)
"""How parameters are stepped: a whole set of parameters is validated, then an optimizer rule passes over all of it.

Nothing is written before everything has been checked and allocated. A `Plan` is a checked call. Between a check and the
pass code of the user's may run - __array__, __eq__, __index__ - and do anything to any array, so `Plan.ready` looks at
all of them again; after it nothing can fail. The pass itself is in passes.pxd. A step has its optimizer to itself:
`Stepper.enter` refuses everything else.
"""
import sys
import threading

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next, PyDict_Size
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport calloc, free, qsort, realloc

from fastnn.core.arrays cimport fill, result_dtype, share_memory
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.passes cimport (BFLOAT16, BLOCK, DOUBLE, FLOAT16, MOST_CONSTANTS, MOST_SLOTS, MOST_STORED_SLOTS, OTHER,
                                 SINGLE, Format, Kind, Pass, Task, step_blocks)
from fastnn.core.stored cimport STORED_BLOCK, load_half, load_state, store_any_state, store_half
from fastnn.core.threads cimport share_out, threads_for
from fastnn.core.levels import rules

cdef extern from "numpy/ndarraytypes.h":
    enum: NPY_HALF
    enum: NPY_USERDEF

cdef extern from "gate.h":
    ctypedef struct fastnn_gate:
        pass
    unsigned long fastnn_gate_enter(fastnn_gate *gate, unsigned long self) noexcept nogil
    void fastnn_gate_leave(fastnn_gate *gate) noexcept nogil

cdef extern from "Python.h":
    Py_ssize_t length_of "PySequence_Fast_GET_SIZE"(object items)       # of lists and tuples
    PyObject **items_of "PySequence_Fast_ITEMS"(object items)

cdef extern from "numpy/arrayobject.h":     # of borrowed references, which Cython would count otherwise
    const char *bytes_of "PyArray_BYTES"(const void *a) noexcept
    void *descr_of "PyArray_DESCR"(const void *a) noexcept
    int flags_of "PyArray_FLAGS"(const void *a) noexcept
    int ndim_of "PyArray_NDIM"(const void *a) noexcept
    const cnp.npy_intp *dims_of "PyArray_DIMS"(const void *a) noexcept

cnp.import_array()

# what a rule may have
LIMITS = {"constants": MOST_CONSTANTS, "slots": MOST_SLOTS, "stored slots": MOST_STORED_SLOTS}

cdef enum:
    MOST_AXES = 64          # NumPy's own limit
    FEW = 8192              # elements that are stepped before it would pay to let another thread run
    MANY = 1 << 22          # elements that are filled in pieces, between which a signal may end what comes before a step

cdef struct Span:
    # memory from low to high of the parameter at `index`; sorted by low
    const char *low
    const char *high
    const char *reach       # the furthest that this one or any before it goes
    Py_ssize_t index

cdef struct Look:
    # what an array was at the last step
    const char *data
    void *dtype
    int flags

cdef struct Seen:
    # what tells whether anything has been changed from outside since the last step
    PyObject *key
    Look param
    Look grad
    int ndim
    const cnp.npy_intp *dims
    const void *slots

cdef load_half load_halves[2]
cdef store_half store_halves[2]
for place, name in enumerate(("float16", "bfloat16")):
    load_halves[place] = <load_half><uintptr_t>rules.HALVES[name][0]
    store_halves[place] = <store_half><uintptr_t>rules.HALVES[name][1]

CHANGED = "a parameter, gradient or state was changed from outside while the step was being prepared"

cdef int bfloat16_number = -1       # NumPy's number for ml_dtypes' bfloat16, once an array of it has been seen


cdef bint is_bfloat16(dtype) except -1:
    """Whether ml_dtypes' bfloat16 is meant, without importing ml_dtypes."""
    module = sys.modules.get("ml_dtypes")
    return module is not None and dtype == module.bfloat16


cdef inline Kind kind_of(cnp.ndarray a) except *:
    cdef int number = cnp.PyArray_TYPE(a)
    if number == cnp.NPY_FLOAT:
        return SINGLE
    if number == cnp.NPY_DOUBLE:
        return DOUBLE
    return kind_of_half(a, number)


cdef Kind kind_of_half(cnp.ndarray a, int number) except *:
    global bfloat16_number
    if number == NPY_HALF:
        return FLOAT16
    if number >= NPY_USERDEF and number != bfloat16_number and is_bfloat16(a.descr):
        bfloat16_number = number
    return BFLOAT16 if number == bfloat16_number else OTHER


cdef int by_address(const void *a, const void *b) noexcept nogil:
    cdef const char *low = (<const Span *>a).low
    cdef const char *other = (<const Span *>b).low
    return -1 if low < other else low > other


cdef Span span_of(cnp.ndarray a, Py_ssize_t index) noexcept:
    """The memory from a's first byte to its last."""
    cdef Span span
    cdef int axis
    cdef Py_ssize_t reach
    span.low = span.reach = cnp.PyArray_BYTES(a)
    span.index = index
    if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS) or cnp.PyArray_SIZE(a) == 0:
        span.high = span.low + cnp.PyArray_NBYTES(a)
        return span
    span.high = span.low
    for axis in range(cnp.PyArray_NDIM(a)):
        reach = (cnp.PyArray_DIM(a, axis) - 1) * cnp.PyArray_STRIDE(a, axis)
        if reach < 0:
            span.low += reach
        else:
            span.high += reach
    span.high += cnp.PyArray_ITEMSIZE(a)
    return span


cdef bint overlaps_itself(cnp.ndarray a):
    """Whether two elements of a strided array share memory."""
    if cnp.PyArray_SIZE(a) < 2:
        return False
    plain = np.asarray(a)               # whatever a subclass says of itself
    extent = [(abs(stride), n) for n, stride in zip(plain.shape, plain.strides) if n > 1]
    reach = plain.itemsize
    for stride, n in sorted(extent):
        if stride < reach:
            break
        reach += stride * (n - 1)
    else:
        return False                    # each axis steps over all that the smaller ones reach
    offsets = np.zeros((), np.intp)
    for stride, n in extent:
        offsets = np.add.outer(offsets, np.arange(n) * stride)
    return stride_gap(np.sort(offsets, axis=None)) < plain.itemsize


cdef object stride_gap(object offsets):
    """The smallest distance between neighbours."""
    return np.diff(offsets).min(initial=np.iinfo(np.intp).max)


cdef class Storage:
    """What a stepper keeps for each element: the first value of each slot, or how slots are stored in fewer bits."""

    cdef tuple initial
    cdef object name                        # of the dtype, or None
    cdef object dtype                       # of the codes
    cdef Format formats[MOST_STORED_SLOTS]
    cdef Py_ssize_t grain                   # slots are padded to a multiple of this

    def __cinit__(self, tuple initial, str name=None, tuple stored=()):
        cdef int i
        self.initial, self.name, self.grain = initial, name, BLOCK_STEP
        if len(initial) > MOST_SLOTS or len(stored) > MOST_STORED_SLOTS:
            raise ValueError("too many slots")
        if name is None:
            return
        self.dtype = np.dtype(np.uint8 if name == "int8" else np.uint16)
        if name == "int8":
            self.grain = 2 * BLOCK_STEP     # a word holds four elements
        for i in range(len(stored)):
            self.formats[i].load = <load_state><uintptr_t>stored[i][0]
            self.formats[i].store = <store_any_state><uintptr_t>stored[i][1]
            self.formats[i].itemsize = self.dtype.itemsize


cdef class Record:
    """The state of one parameter: an array a slot, in the order in which the parameter's elements lie in memory."""

    cdef readonly tuple shape
    cdef readonly cnp.ndarray slots         # (number of slots, elements padded to a multiple of BLOCK_STEP or more)
    cdef readonly cnp.ndarray scales        # of stored state: (number of slots, blocks)
    cdef Storage storage
    cdef readonly object dtype              # of the parameter
    cdef object computed                    # the dtype that it is computed in
    cdef cnp.npy_intp dims[MOST_AXES]
    cdef int ndim
    cdef Kind kind                          # of the parameter
    cdef bint fortran
    cdef int layout                         # the flag of arrays that lie in memory as the slots do
    cdef Py_ssize_t n
    cdef Py_ssize_t padded                  # elements of a slot
    cdef readonly bint used                 # whether a step has been taken with it
    cdef Span place                         # where the parameter lay at the last step, and its index

    @property
    def order(self):
        """"F" if the slots lie in Fortran's order, else "C"."""
        return "F" if self.fortran else "C"

    def slot(self, int index):
        """A slot as an array of the parameter's shape; writing to it changes the state.

        Of state in fewer bits: what it stands for, a new float32 array that cannot be written to.
        """
        if self.storage.name is None:
            flat = (<object>self.slots)[index, :self.n]
        else:
            flat = self.loaded(index)
            flat.flags.writeable = False
        return flat.reshape(self.shape, order="F" if self.fortran else "C")

    cdef object loaded(self, int index):
        cdef cnp.ndarray codes = (<object>self.slots)[index]
        cdef cnp.ndarray scales = (<object>self.scales)[index]
        cdef cnp.ndarray out = np.empty((<object>self.slots).shape[1], np.float32)
        cdef Format *format = &self.storage.formats[index]
        cdef Py_ssize_t start
        cdef Py_ssize_t padded = cnp.PyArray_DIM(out, 0)
        for start in range(0, padded, STORED_BLOCK):
            format.load(cnp.PyArray_BYTES(codes) + start * format.itemsize,
                        <const float *>cnp.PyArray_BYTES(scales) + start // STORED_BLOCK,
                        <float *>cnp.PyArray_BYTES(out) + start, min(padded - start, <Py_ssize_t>STORED_BLOCK))
        return (<object>out)[:self.n]


cdef Record new_record(cnp.ndarray like, Storage storage, object key):
    cdef Record record = Record.__new__(Record)
    cdef Py_ssize_t i
    cdef object plain = np.asarray(like)            # whatever a subclass says of itself
    record.kind = kind_of(like)
    if record.kind == OTHER:                        # its gradient's __array__ or its key's __hash__ did that
        raise ValueError(CHANGED)
    if storage.name is not None and record.kind == DOUBLE:
        raise TypeError(f"state_dtype={storage.name!r} is for parameters of up to 32 bits; {key!r} is float64")
    record.shape = plain.shape
    record.ndim = cnp.PyArray_NDIM(like)
    for i in range(record.ndim):
        record.dims[i] = cnp.PyArray_DIM(like, <int>i)
    record.dtype = plain.dtype.newbyteorder("=")
    record.computed = np.dtype(np.float64 if record.kind == DOUBLE else np.float32)
    record.storage = storage
    record.fortran = (cnp.PyArray_CHKFLAGS(like, cnp.NPY_ARRAY_F_CONTIGUOUS)
                      and not cnp.PyArray_CHKFLAGS(like, cnp.NPY_ARRAY_C_CONTIGUOUS))
    record.layout = cnp.NPY_ARRAY_F_CONTIGUOUS if record.fortran else cnp.NPY_ARRAY_C_CONTIGUOUS
    record.n = cnp.PyArray_SIZE(like)
    record.padded = (record.n + storage.grain - 1) // storage.grain * storage.grain
    record.slots = np.zeros((len(storage.initial), record.padded), storage.dtype or record.computed)
    if storage.name is not None:
        record.scales = np.zeros((len(storage.initial), (record.padded + STORED_BLOCK - 1) // STORED_BLOCK), np.float32)
    for i in range(len(storage.initial)):
        if record.padded > MANY:        # the first touch of fresh memory takes longer than many steps
            fill((<object>record.slots)[i], np.broadcast_to(np.array(storage.initial[i], record.slots.dtype),
                                                            record.padded))
        elif storage.initial[i]:
            (<object>record.slots)[i] = storage.initial[i]
    return record


cdef inline bint intact(const void *slots, int count, Py_ssize_t padded) noexcept:
    """The slots are as they were made: `state` hands out views, whose base somebody might reshape or resize."""
    cdef int flags = cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED
    return (ndim_of(slots) == 2 and dims_of(slots)[0] == count and dims_of(slots)[1] == padded
            and flags_of(slots) & flags == flags)


cdef inline bint lies_as(cnp.ndarray a, Record record) noexcept:
    """a lies in memory as the record's slots do."""
    return cnp.PyArray_CHKFLAGS(a, record.layout | cnp.NPY_ARRAY_ALIGNED) and cnp.PyArray_ISNOTSWAPPED(a)


cdef inline bint usable(cnp.ndarray grad, Record record) except -1:
    """A gradient can be read as it is."""
    cdef Kind kind = kind_of(grad)
    return (lies_as(grad, record)
            and (kind == record.kind or (kind != OTHER and kind != DOUBLE and record.kind != DOUBLE)))


cdef inline bint same_shape(cnp.ndarray a, int ndim, const cnp.npy_intp *dims) noexcept:
    cdef int axis
    if cnp.PyArray_NDIM(a) != ndim:
        return False
    for axis in range(ndim):
        if cnp.PyArray_DIMS(a)[axis] != dims[axis]:
            return False
    return True


cdef inline bint has_shape(cnp.ndarray a, Record record) noexcept:
    return same_shape(a, record.ndim, record.dims)


cdef inline bint fits(cnp.ndarray p, Record record) except -1:
    """A parameter, of which all this has been checked before."""
    return (has_shape(p, record) and kind_of(p) == record.kind
            and cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_WRITEABLE))


cdef cnp.ndarray conforming(cnp.ndarray a, Record record, object dtype):
    cdef object order = "F" if record.fortran else "C"
    if cnp.PyArray_SIZE(a) > MANY:
        copy = np.empty(record.shape, dtype, order)
        fill(copy, a)
        return copy
    with np.errstate(all="ignore"):         # float64 gradients may overflow float32 parameters
        return np.array(a, dtype=dtype, order=order)


cdef bint still(cnp.ndarray p, cnp.ndarray copy) except -1:
    """Whether a copy can be written back."""
    return (same_shape(p, cnp.PyArray_NDIM(copy), cnp.PyArray_DIMS(copy)) and kind_of(p) == kind_of(copy)
            and cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_WRITEABLE))


cdef cnp.ndarray checked_parameter(object value, object key):
    if not cnp.PyArray_Check(value):
        raise TypeError(f"parameter {key!r} must be a NumPy array, not {type(value).__name__}")
    cdef cnp.ndarray p = <cnp.ndarray>value
    if kind_of(p) == OTHER:
        raise TypeError(f"parameter {key!r} must be float32, float64, float16 or bfloat16, not {p.descr}")
    if not cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_WRITEABLE):
        raise ValueError(f"parameter {key!r} is read-only")
    return p


cdef object shape_of(cnp.ndarray a):
    """A tuple, whatever a subclass says of itself."""
    return np.asarray(a).shape


cdef cnp.ndarray checked_gradient(object value, cnp.ndarray p, object key):
    cdef cnp.ndarray g = <cnp.ndarray>value if cnp.PyArray_CheckExact(value) else np.asarray(value)
    if kind_of(g) == OTHER:
        result_dtype(g)
    if not cnp.PyArray_SAMESHAPE(g, p):
        raise ValueError(f"the gradient of {key!r} has shape {shape_of(g)}, the parameter {shape_of(p)}")
    return g


cdef inline Look look_of(cnp.ndarray a) noexcept:
    cdef Look look
    look.data = cnp.PyArray_BYTES(a)
    look.dtype = <void *>cnp.PyArray_DESCR(a)
    look.flags = cnp.PyArray_FLAGS(a)
    return look


cdef inline bint looks(const void *a, const Look *look, int ndim, const cnp.npy_intp *dims) noexcept:
    cdef int axis
    if bytes_of(a) != look.data or descr_of(a) != look.dtype or flags_of(a) != look.flags or ndim_of(a) != ndim:
        return False
    for axis in range(ndim):
        if dims_of(a)[axis] != dims[axis]:
            return False
    return True


cdef class Layout:
    """The memory that a plan runs over. Kept by the stepper: most steps find all parameters where they were."""

    cdef list keys
    cdef list records
    cdef list dtypes                        # all that `seen` points to: an address may be used again
    cdef Py_ssize_t count
    cdef Py_ssize_t elements
    cdef int slots
    cdef Task *tasks                        # count of them, and one that says where the last one ends
    cdef Seen *seen
    cdef PyObject **held                    # the arrays of a step that is about to run
    cdef Py_ssize_t held_count

    def __cinit__(self, list keys, list records, list targets, list grads):
        cdef Py_ssize_t i
        cdef Py_ssize_t blocks = 0
        cdef Record record
        cdef cnp.ndarray target, grad
        cdef Task *task
        self.keys, self.records, self.count = keys, records, len(records)
        self.dtypes = []
        for target in targets + grads:
            self.dtypes.append(target.descr)
        self.tasks = <Task *>calloc(self.count + 1, sizeof(Task))
        self.seen = <Seen *>calloc(self.count + 1, sizeof(Seen))
        self.held = <PyObject **>calloc(2 * self.count + 1, sizeof(PyObject *))
        if self.tasks == NULL or self.seen == NULL or self.held == NULL:
            raise MemoryError
        for i in range(self.count):
            record = <Record>records[i]
            target, grad = <cnp.ndarray>targets[i], <cnp.ndarray>grads[i]
            self.slots = <int>len(record.storage.initial)
            if not (fits(target, record) and lies_as(target, record) and has_shape(grad, record)
                    and usable(grad, record) and intact(<const void *>record.slots, self.slots, record.padded)):
                raise ValueError(CHANGED)
            task = &self.tasks[i]
            task.target = cnp.PyArray_BYTES(target)
            task.grad = cnp.PyArray_BYTES(grad)
            task.state = cnp.PyArray_BYTES(record.slots)
            if record.scales is not None:
                task.scales = <float *>cnp.PyArray_BYTES(record.scales)
            task.n = record.n
            task.padded = record.padded
            task.first_block = blocks
            task.kind = record.kind
            task.grad_kind = kind_of(grad)
            task.staged = (task.kind != task.grad_kind or task.kind > DOUBLE or record.scales is not None)
            blocks += (record.n + BLOCK - 1) // BLOCK
            self.elements += record.n
            self.seen[i].key = <PyObject *>keys[i]
            self.seen[i].param = look_of(target)
            self.seen[i].grad = look_of(grad)
            self.seen[i].ndim = record.ndim
            self.seen[i].dims = record.dims
            self.seen[i].slots = <const void *>record.slots
        self.tasks[self.count].first_block = blocks

    def __dealloc__(self):
        self.release()
        free(self.tasks)
        free(self.seen)
        free(self.held)

    cdef void hold(self, object array) noexcept:
        Py_INCREF(array)
        self.held[self.held_count] = <PyObject *>array
        self.held_count += 1

    cdef void release(self) noexcept:
        while self.held_count:
            self.held_count -= 1
            Py_DECREF(<object>self.held[self.held_count])

    cdef inline bint fits(self, Py_ssize_t i, PyObject *p, PyObject *gradient, const Span *spans) except -1:
        """Whether parameter i, which is held, is unchanged and its gradient can be used as it is; it is then put in."""
        cdef Seen *seen = &self.seen[i]
        cdef cnp.ndarray g
        if not looks(p, &seen.param, seen.ndim, seen.dims):
            return False
        if gradient == NULL or not cnp.PyArray_CheckExact(<object>gradient):
            return False
        if not looks(gradient, &seen.grad, seen.ndim, seen.dims):
            g = <cnp.ndarray>gradient
            if not (<void *>cnp.PyArray_DESCR(g) == seen.grad.dtype and same_shape(g, seen.ndim, seen.dims)
                    and lies_as(g, <Record>self.records[i]) and clear_of(spans, self.count, g)):
                return False
            seen.grad = look_of(g)
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
        if PyDict_Size(params) != self.count:
            return False
        for i in range(self.count):
            if not PyDict_Next(params, &position, &key, &value):
                return False
            if key != self.seen[i].key or not cnp.PyArray_Check(<object>value):
                return False
            self.hold(<object>value)                    # before a key's own code may run
            if not PyDict_Next(grads, &beside, &other, &gradient) or other != key:
                gradient = PyDict_GetItemWithError(grads, <object>self.seen[i].key)
            if not self.fits(i, value, gradient, spans):
                return False
        return True

    cdef bint holds_sequence(self, object params, object grads, const Span *spans) except -1:
        """The same for lists and tuples."""
        cdef PyObject *value
        cdef Py_ssize_t i
        if length_of(params) != self.count or length_of(grads) != self.count:
            return False
        for i in range(self.count):
            value = items_of(params)[i]
            if not cnp.PyArray_Check(<object>value):
                return False
            self.hold(<object>value)
            if not self.fits(i, value, items_of(grads)[i], spans):
                return False
        return True

    cdef bint unchanged(self) noexcept:
        """Whether all that `holds` has found is still so."""
        cdef Py_ssize_t i
        cdef Seen *seen
        if self.held_count != 2 * self.count:
            return False
        for i in range(self.count):
            seen = &self.seen[i]
            if not (looks(self.held[2 * i], &seen.param, seen.ndim, seen.dims)
                    and looks(self.held[2 * i + 1], &seen.grad, seen.ndim, seen.dims)
                    and bytes_of(seen.slots) == self.tasks[i].state
                    and intact(seen.slots, self.slots, self.tasks[i].padded)):
                return False
        return True


cdef bint clear_of(const Span *spans, Py_ssize_t count, cnp.ndarray grad) noexcept:
    """Whether a gradient lies in no parameter's memory: rules read it while they write the parameters."""
    cdef Span span = span_of(grad, -1)
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t last = count
    cdef Py_ssize_t middle
    while first < last:                         # find the first parameter that begins behind the gradient
        middle = (first + last) // 2
        if spans[middle].low < span.high:
            first = middle + 1
        else:
            last = middle
    while first > 0 and spans[first - 1].reach > span.low:
        first -= 1
        if spans[first].high > span.low:
            return False
    return True


cdef class Stepper


cdef class Plan:
    """A checked call: parameters (or deltas to be written), gradients and state, side by side."""

    cdef readonly list records
    cdef list keys
    cdef list targets                       # contiguous: a parameter or a copy of it
    cdef list grads
    cdef list copied_back                   # (parameter, its copy) where the layout asked for one
    cdef dict home                          # where new records go once the call has succeeded
    cdef bint by_key                        # or by position
    cdef bint add
    cdef Layout layout                      # of the last step, where it still holds
    cdef Layout fresh                       # of a first step that is ready
    cdef dict after                         # `home` as it will be after that
    cdef Stepper owner

    def __cinit__(self, Stepper owner, bint by_key, list keys, bint add):
        owner.needs_storage()
        self.owner = owner
        self.home = owner.by_key if by_key else owner.by_position
        self.keys = keys
        self.by_key, self.add = by_key, add
        self.records, self.targets, self.grads, self.copied_back = [], [], [], []

    cdef void enter(self, object key, cnp.ndarray target, cnp.ndarray grad) except *:
        cdef PyObject *known = PyDict_GetItemWithError(self.home, key)
        cdef Record record
        cdef cnp.ndarray copy
        if known == NULL:
            record = new_record(target, self.owner.storage, key)
        else:
            record = <Record>known
            if not has_shape(target, record):
                raise ValueError(f"parameter {key!r} had shape {record.shape}, now {shape_of(target)}")
            if record.kind != kind_of(target):
                raise ValueError(f"parameter {key!r} had dtype {record.dtype}, now {target.descr}")
        if not lies_as(target, record):
            if overlaps_itself(target):
                raise ValueError(f"elements of parameter {key!r} share memory")
            copy = conforming(target, record, record.dtype)
            self.copied_back.append((target, copy))
            target = copy
        if not usable(grad, record):
            grad = conforming(grad, record, record.computed)
        self.records.append(record)
        self.targets.append(target)
        self.grads.append(grad)

    cdef void free_gradients(self, const Span *spans, Py_ssize_t count) except *:
        """Copy gradients that lie in the memory of a parameter."""
        cdef Py_ssize_t i
        cdef cnp.ndarray grad
        for i in range(count):
            grad = <cnp.ndarray>self.grads[i]
            if not clear_of(spans, count, grad):
                self.grads[i] = conforming(grad, <Record>self.records[i], grad.dtype)

    cdef dict home_after(self):
        """The records that there will be. Made before the step: hashing a key may fail."""
        cdef Py_ssize_t i
        cdef dict home = self.home
        for i in range(len(self.records)):
            if not (<Record>self.records[i]).used:
                if home is self.home:
                    home = dict(home)
                home[self.keys[i]] = self.records[i]
        return home

    cdef void ready(self) except *:
        """Look at everything once more. If no other code runs in between, `run` cannot fail now."""
        cdef Py_ssize_t i
        cdef dict after
        if self.layout is not None:
            if not self.layout.unchanged():
                raise ValueError(CHANGED)
            return
        after = self.home_after()
        self.fresh = Layout(self.keys, self.records, self.targets, self.grads)
        for parameter, copy in self.copied_back:
            if not still(<cnp.ndarray>parameter, <cnp.ndarray>copy):
                raise ValueError(CHANGED)
        self.after = after

    def run(self, tuple kernels, tuple constants, t, dict done=None, list filled=[]):
        """Step everything, keep the new records, and set the owner's t and the attributes `done`.

        `filled` lists (slot, the array that it is first filled with), of one shape and dtype.
        All in one call of compiled code, so that no signal's handler can raise half way.
        """
        cdef Pass call
        cdef Py_ssize_t i
        cdef int threads
        cdef dict home
        if len(constants) > MOST_CONSTANTS:
            raise ValueError("too many constants")
        call.fused = len(kernels) == 1
        if len(kernels) != 2 and not (call.fused and self.owner.storage.name is not None):
            raise ValueError("kernels for float and double, or a fused one for stored state")
        for i in range(len(kernels)):
            call.kernels[i] = kernels[i]
        call.add = self.add
        for i in range(len(constants)):
            call.double_constants[i] = constants[i]
            call.single_constants[i] = <float>call.double_constants[i]
        known = self.layout is not None
        attributes = (<object>self.owner).__dict__
        for name in ("t",) if done is None else ("t", *done):
            if name not in attributes:
                attributes[name] = getattr(self.owner, name)            # there is room for them, then
        self.ready()
        if not known:
            self.layout, self.fresh = self.fresh, None
            home, self.after = self.after, None
        call.slots = self.layout.slots
        call.tasks = self.layout.tasks
        call.formats = NULL if self.owner.storage.name is None else self.owner.storage.formats
        call.grain = self.owner.storage.grain
        for slot, values in filled:
            cnp.PyArray_CopyInto(<cnp.ndarray?>slot, <cnp.ndarray?>values)
        call.count = self.owner.passes
        self.owner.passes += 1
        call.load_halves, call.store_halves = load_halves, store_halves
        if self.layout.elements <= FEW:
            step_blocks(&call, 0, self.layout.tasks[self.layout.count].first_block)
        else:
            threads = threads_for(self.layout.elements)
            with nogil:
                share_out(step_blocks, &call, self.layout.tasks[self.layout.count].first_block, 1, threads)
        if not known:
            self.targets = self.grads = None        # the layout is kept, the arrays are not
            for parameter, copy in self.copied_back:
                cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>copy)     # np.copyto begins in Python
            for i in range(len(self.records)):
                (<Record>self.records[i]).used = True
            if self.by_key:
                self.owner.by_key = home
            else:
                self.owner.by_position = home
        attributes["t"] = t
        if done is not None:
            attributes.update(done)


cdef class Stepper:
    """State by key (mappings) and by position (sequences), and the plans made from calls."""

    cdef dict by_key
    cdef dict by_position
    cdef Storage storage                    # None until `_slots`
    cdef uint32_t passes                    # so far, for random rounding
    cdef Span *spans                        # of the parameters of the last plan that was found free of overlaps
    cdef Py_ssize_t span_count
    cdef Plan last                          # the last plan that changed parameters in place, if it may serve again
    cdef fastnn_gate gate

    def __cinit__(self, *args, **kwds):
        self.by_key, self.by_position = {}, {}
        self.spans = NULL
        self.span_count = 0

    def __dealloc__(self):
        free(self.spans)

    cdef int enter(self) except -1:
        """Have the optimizer to oneself until `leave`.

        Compiled functions alone do that, in try and finally: between two of Python's instructions a signal's handler
        may raise.
        """
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef unsigned long owner = fastnn_gate_enter(&self.gate, me)
        if owner and not lives(owner):
            owner = fastnn_gate_enter(&self.gate, me)           # the thread may have ended just now
        if owner:
            raise RuntimeError(f"this {type(self).__name__} {in_use(owner, me)}")
        return 0

    cdef void leave(self) noexcept:
        if self.last is not None:
            self.last.layout.release()
        fastnn_gate_leave(&self.gate)

    def _alone(self, function, *args):
        """function(*args) while nothing else uses the optimizer. Raises RuntimeError where something does already."""
        self.enter()
        try:
            return function(*args)
        finally:
            self.leave()

    def _step_mapping(self, params, grads, dict extra):
        """Step parameters by key, in place."""
        self.enter()
        try:
            self.advance(self.plan_mapping(params, grads), extra)
        finally:
            self.leave()

    def _step_sequence(self, params, grads, dict extra):
        """Step parameters by position, in place; params and grads are lists or tuples."""
        self.enter()
        try:
            self.advance(self.plan_sequence(params, grads), extra)
        finally:
            self.leave()

    def _step_deltas(self, list grads, dict extra):
        """The deltas of a step, new arrays, by position."""
        cdef list deltas = []
        self.enter()
        try:
            self.advance(self.plan_deltas((<object>self)._gradients(grads, extra), deltas), extra)
        finally:
            self.leave()
        return deltas

    cdef void advance(self, Plan plan, dict extra) except *:
        (<object>self)._advance(plan, extra)
        if plan.add and plan.layout is not None:
            self.last = plan

    def _slots(self, initial, name=None, stored=()):
        """Slots with their first values, or in fewer bits: the dtype's name and one of rules.STORED for each."""
        cdef Storage storage = Storage(tuple(initial), name, tuple(stored))
        self.enter()
        try:
            self.replace({}, {}, 0, {"t": 0})   # whoever is initialised once more begins anew
            self.storage = storage
        finally:
            self.leave()

    cdef int needs_storage(self) except -1:
        if self.storage is None:
            raise TypeError("this object has not been initialised: its class must call super().__init__()")
        return 0

    def _record(self, key):
        """The record of a key, or None."""
        return self.by_key.get(key)

    def _record_at(self, position):
        """The record of a position, or None."""
        return self.by_position.get(position)

    @property
    def _records(self):
        """(records by key, records by position): dicts that are not to be changed."""
        return self.by_key, self.by_position

    @property
    def _passes(self):
        """How many steps have been taken, for random rounding."""
        return self.passes

    def _stored_sizes(self, n):
        """(codes, scales) of a slot in fewer bits, for a parameter of n elements."""
        self.needs_storage()
        padded = -(-n // self.storage.grain) * self.storage.grain
        return padded, -(-padded // STORED_BLOCK)

    def _restored(self, key, cnp.ndarray like, slots, scales=None):
        """A record as steps with a parameter like this one would have left it.

        The slots are arrays of its shape, or all codes as one array with the scales as another.
        """
        cdef Record record
        self.needs_storage()
        record = new_record(like, self.storage, key)
        if self.storage.name is None:
            for i, values in enumerate(slots):
                record.slot(i)[...] = values
        else:
            (<object>record.slots)[...] = slots
            (<object>record.scales)[...] = scales
        record.used = True
        return record

    def _restore(self, dict by_key, dict by_position, uint32_t passes, dict done, recall):
        """Put restored records in place of all that there are, set attributes, and call `recall`."""
        self.enter()
        try:
            self.replace(by_key, by_position, passes, done)
            recall()
        finally:
            self.leave()

    cdef void replace(self, dict by_key, dict by_position, uint32_t passes, dict done) except *:
        self.forget()
        self.by_key, self.by_position, self.passes, self.span_count = by_key, by_position, passes, 0
        (<object>self).__dict__.update(done)

    cdef Plan plan(self, bint by_key, list keys, list params, list grads):
        cdef Plan plan = Plan.__new__(Plan, self, by_key, keys, True)
        cdef Py_ssize_t i
        cdef Py_ssize_t count = len(keys)
        cdef cnp.ndarray p
        for i in range(count):
            p = checked_parameter(params[i], keys[i])
            plan.enter(keys[i], p, checked_gradient(grads[i], p, keys[i]))
        if not self.in_place(plan, params):
            self.keep_apart(plan, params)
        plan.free_gradients(self.spans, count)
        return plan

    cdef bint in_place(self, Plan plan, list params) noexcept:
        """Whether all parameters lie where they lay at the last step, and are the same ones: then they are apart."""
        cdef Py_ssize_t i
        cdef Span span
        cdef Record record
        if len(params) != self.span_count:
            return False
        for i in range(self.span_count):
            record = <Record>plan.records[i]
            span = span_of(<cnp.ndarray>params[i], i)
            if not (record.used and record.place.index == i and record.place.low == span.low
                    and record.place.high == span.high):
                return False
        return True

    cdef void keep_apart(self, Plan plan, list params) except *:
        """Sort the parameters' spans; raise where two parameters share memory."""
        cdef Py_ssize_t count = len(params)
        cdef Py_ssize_t i, k
        cdef bint tangled = False
        cdef Record record
        cdef Span *spans = <Span *>realloc(self.spans, max(count, 1) * sizeof(Span))
        if spans == NULL:
            raise MemoryError
        self.spans = spans
        self.span_count = -1
        for i in range(count):
            spans[i] = span_of(<cnp.ndarray>params[i], i)
            record = <Record>plan.records[i]
            record.place = spans[i]
        qsort(spans, count, sizeof(Span), by_address)
        for i in range(count):
            spans[i].reach = spans[i].high
            if i and spans[i - 1].reach > spans[i].low:
                tangled = True              # interleaved views, at best: look again next time
                for k in range(i):
                    if spans[k].high > spans[i].low and share_memory(params[spans[k].index], params[spans[i].index]):
                        one, other = plan.keys[spans[k].index], plan.keys[spans[i].index]
                        raise ValueError(f"parameters {one!r} and {other!r} share memory")
                spans[i].reach = max(spans[i].high, spans[i - 1].reach)
        if not tangled:
            self.span_count = count

    cdef Layout kept(self, bint by_key):
        """The layout of the last step, if that went by key (or not) and parameters that lie as then are apart."""
        if (self.last is None or self.last.by_key != by_key or self.last.copied_back
                or self.span_count != self.last.layout.count):
            return None
        return self.last.layout

    cdef Plan plan_mapping(self, params, grads):
        cdef list keys, values, gradients
        cdef Layout layout
        cdef bint plain = type(params) is dict and type(grads) is dict
        if plain:
            layout = self.kept(True)
            if layout is not None:
                with cython.critical_section(params, grads):
                    if layout.holds_mapping(params, grads, self.spans):
                        return self.last
        self.forget()                           # the spans are about to change
        try:
            if plain:
                keys, values = list((<dict>params).keys()), list((<dict>params).values())
                gradients = list(map((<dict>grads).__getitem__, keys))     # no comprehension: see elementwise.pyx
            else:
                keys = list(params)
                if len(set(keys)) < len(keys):
                    raise ValueError("params lists a key twice")
                values, gradients = list(map(params.__getitem__, keys)), list(map(grads.__getitem__, keys))
        except KeyError as error:
            missing = ", ".join(map(repr, error.args[:1])) or "?"      # a user's mapping may raise it bare
            raise KeyError(f"no gradient for parameter {missing}") from None
        return self.plan(True, keys, values, gradients)

    cdef Plan plan_sequence(self, params, grads):
        cdef list values, gradients
        cdef Layout layout = self.kept(False)
        if (layout is not None and (type(params) is list or type(params) is tuple)
                and (type(grads) is list or type(grads) is tuple)):
            with cython.critical_section(params, grads):
                if layout.holds_sequence(params, grads, self.spans):
                    return self.last
        self.forget()                           # the spans are about to change
        values, gradients = list(params), list(grads)
        if len(values) != len(gradients):
            raise ValueError(f"{len(values)} parameters, but {len(gradients)} gradients")
        return self.plan(False, list(range(len(values))), values, gradients)

    cdef void forget(self) noexcept:
        cdef Plan last = self.last
        self.last = None
        if last is not None:
            last.layout.release()

    cdef Plan plan_deltas(self, list grads, list deltas):
        """The deltas are written to new arrays, which are put into the list."""
        cdef Plan plan = Plan.__new__(Plan, self, False, list(range(len(grads))), False)
        cdef cnp.ndarray g
        for position, grad in enumerate(grads):
            g = np.asarray(grad)
            dtype = result_dtype(g)
            if dtype.itemsize < 4:
                dtype = np.dtype(np.float32)            # rounded once, when it is added to a parameter
            delta = np.empty_like(g, dtype=dtype, subok=False)
            deltas.append(delta)
            plan.enter(position, delta, g)
        return plan


cdef bint lives(unsigned long thread) except -1:
    return thread in sys._current_frames()


cdef str in_use(unsigned long owner, unsigned long me):
    """Where an optimizer is in use."""
    if owner == me:
        return ("is in use further up in this thread: what a step calls - functions, mappings, handlers of signals - "
                "cannot use the optimizer itself")
    if not lives(owner):
        return ("was in use in another thread when this process was forked, and may be torn: make a new one, perhaps "
                "from a saved state")
    names = [thread.name for thread in threading.enumerate() if thread.ident == owner]
    return f"is in use in thread {names[0] if names else owner}: give each thread its own, or use a lock"
