# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, embedsignature.format=clinic
# (with binding, Cython's default, a method that is called on an object of another class crashes)
"""How parameters are stepped: a whole set of parameters is validated, then an optimizer rule passes over all of it.

Nothing is written before everything has been checked and allocated. A `Plan` is a checked call. Between a check and the
pass code of the user's may run - __array__, __eq__, __index__ - and do anything to any array, so `Plan.ready` looks at all
of them again; after it nothing can fail. The pass itself is in passes.pxd.
"""
import sys

import numpy as np

cimport numpy as cnp
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next, PyDict_Size
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcpy

from fastnn.core.arrays cimport result_dtype, share_memory
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.passes cimport (BFLOAT16, BLOCK, DOUBLE, FLOAT16, MOST_CONSTANTS, MOST_SLOTS, MOST_STORED_SLOTS, OTHER,
                                 SINGLE, Format, Kind, Pass, Task, step_blocks)
from fastnn.core.stored cimport STORED_BLOCK, load_half, load_state, store_any_state, store_half
from fastnn.core.threads cimport share_out, threads_for
from fastnn.core.levels import rules

cdef extern from "numpy/ndarraytypes.h":
    enum: NPY_HALF
    enum: NPY_USERDEF

cnp.import_array()

# what a rule may have
LIMITS = {"constants": MOST_CONSTANTS, "slots": MOST_SLOTS, "stored slots": MOST_STORED_SLOTS}

cdef enum:
    MOST_AXES = 64          # NumPy's own limit
    FEW = 8192              # elements that are stepped before it would pay to let another thread run

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
    cdef bint bound                         # to a rule

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
    if not storage.bound:
        raise TypeError("this object has not been initialised: its class must call super().__init__()")
    record.kind = kind_of(like)
    if record.kind == OTHER:                        # its gradient's __array__ or its key's __hash__ did that
        raise ValueError(CHANGED)
    if storage.name is not None and record.kind == DOUBLE:
        raise TypeError(f"state_dtype={storage.name!r} is for parameters of up to 32 bits; {key!r} is float64")
    record.shape = plain.shape
    record.ndim = cnp.PyArray_NDIM(like)
    if record.ndim:                                 # else the dimensions are NULL
        memcpy(record.dims, cnp.PyArray_DIMS(like), record.ndim * sizeof(cnp.npy_intp))
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
        if storage.initial[i]:
            (<object>record.slots)[i] = storage.initial[i]
    return record


cdef inline bint intact(Record record) noexcept:
    """The slots are as they were made: `state` hands out views, whose base somebody might reshape or resize."""
    return (cnp.PyArray_NDIM(record.slots) == 2 and cnp.PyArray_DIM(record.slots, 0) == len(record.storage.initial)
            and cnp.PyArray_DIM(record.slots, 1) == record.padded
            and cnp.PyArray_CHKFLAGS(record.slots, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED))


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
    with np.errstate(all="ignore"):         # float64 gradients may overflow float32 parameters
        return np.array(a, dtype=dtype, order="F" if record.fortran else "C")


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


cdef inline bint looks(cnp.ndarray a, const Look *look) noexcept:
    return (cnp.PyArray_BYTES(a) == look.data and <void *>cnp.PyArray_DESCR(a) == look.dtype
            and cnp.PyArray_FLAGS(a) == look.flags)


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
            if not (fits(target, record) and lies_as(target, record) and has_shape(grad, record)
                    and usable(grad, record) and intact(record)):
                raise ValueError(CHANGED)
            self.slots = <int>len(record.storage.initial)
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

    cdef bint holds(self, dict params, dict grads, const Span *spans) except -1:
        """Whether the parameters are unchanged and the gradients can be used as they are; these are then put in, and
        all arrays are held until `release`."""
        cdef PyObject *key
        cdef PyObject *value
        cdef PyObject *found
        cdef PyObject *other
        cdef Py_ssize_t position = 0
        cdef Py_ssize_t beside = 0              # in grads, which usually lists the same keys in the same order
        cdef Seen *seen = self.seen
        cdef Py_ssize_t i
        cdef cnp.ndarray p, g
        self.release()
        if PyDict_Size(params) != self.count:
            return False
        for i in range(self.count):
            if not PyDict_Next(params, &position, &key, &value):
                return False
            if key != seen.key or not cnp.PyArray_Check(<object>value):
                return False
            p = <cnp.ndarray>value              # our own reference: a key's __eq__ may change the dict
            if not (looks(p, &seen.param) and same_shape(p, seen.ndim, seen.dims)):
                return False
            if not PyDict_Next(grads, &beside, &other, &found) or other != key:
                found = PyDict_GetItemWithError(grads, <object>key)
            if found == NULL or not cnp.PyArray_CheckExact(<object>found):
                return False
            g = <cnp.ndarray>found
            if not same_shape(g, seen.ndim, seen.dims):
                return False
            if not looks(g, &seen.grad):
                if not (<void *>cnp.PyArray_DESCR(g) == seen.grad.dtype and lies_as(g, <Record>self.records[i])
                        and clear_of(spans, self.count, g)):
                    return False
                seen.grad = look_of(g)
                self.tasks[i].grad = cnp.PyArray_BYTES(g)
            self.hold(p)
            self.hold(g)
            seen += 1
        return True

    cdef bint unchanged(self) noexcept:
        """Whether all that `holds` has found is still so."""
        cdef Py_ssize_t i
        cdef Seen *seen
        cdef cnp.ndarray p, g
        cdef Record record
        if self.held_count != 2 * self.count:
            return False
        for i in range(self.count):
            seen = &self.seen[i]
            p, g = <cnp.ndarray>self.held[2 * i], <cnp.ndarray>self.held[2 * i + 1]
            record = <Record>self.records[i]
            if not (looks(p, &seen.param) and same_shape(p, seen.ndim, seen.dims) and looks(g, &seen.grad)
                    and same_shape(g, seen.ndim, seen.dims) and intact(record)
                    and self.tasks[i].state == cnp.PyArray_BYTES(record.slots)):
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
    cdef bint add
    cdef Layout layout                      # of the last step, where it still holds
    cdef Layout fresh                       # of a first step that is ready
    cdef dict after                         # `home` as it will be after that
    cdef Stepper owner

    def __cinit__(self, Stepper owner, dict home, list keys, bint add):
        self.owner = owner
        self.home = home
        self.keys = keys
        self.add = add
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

    def ready(self):
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
            if not (cnp.PyArray_SAMESHAPE(parameter, copy) and kind_of(parameter) == kind_of(copy)
                    and cnp.PyArray_CHKFLAGS(parameter, cnp.NPY_ARRAY_WRITEABLE)):
                raise ValueError(CHANGED)
        self.after = after

    def run(self, tuple kernels, tuple constants, t, dict done=None):
        """Step everything, keep the new records, and set the owner's t and the attributes `done`.

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
        for name in ("t", *(done or ())):
            attributes.setdefault(name, getattr(self.owner, name))      # there is room for them, then
        self.ready()
        if not known:
            self.layout, self.fresh = self.fresh, None
            home, self.after = self.after, None
        call.slots = self.layout.slots
        call.tasks = self.layout.tasks
        call.formats = NULL if self.owner.storage.name is None else self.owner.storage.formats
        call.grain = self.owner.storage.grain
        call.count = self.owner.passes
        self.owner.passes += 1
        call.load_halves, call.store_halves = load_halves, store_halves
        if self.layout.elements <= FEW:
            step_blocks(&call, 0, self.layout.tasks[self.layout.count].first_block)
        else:
            threads = threads_for(self.layout.elements)
            with nogil:
                share_out(step_blocks, &call, self.layout.tasks[self.layout.count].first_block, 1, threads)
        if known:
            self.layout.release()
        else:
            self.targets = self.grads = None        # the layout is kept, the arrays are not
            for parameter, copy in self.copied_back:
                np.copyto(np.asarray(parameter), copy)
            for i in range(len(self.records)):
                (<Record>self.records[i]).used = True
            if self.home is self.owner.by_key:
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
    cdef Storage storage
    cdef uint32_t passes                    # so far, for random rounding
    cdef Span *spans                        # of the parameters of the last plan that was found free of overlaps
    cdef Py_ssize_t span_count
    cdef Plan last                          # the last plan of a mapping

    def __cinit__(self, *args, **kwds):
        self.by_key, self.by_position = {}, {}
        self.storage = Storage(())
        self.spans = NULL
        self.span_count = 0

    def __dealloc__(self):
        free(self.spans)

    def _slots(self, initial, name=None, stored=()):
        """Slots with their first values, or in fewer bits: the dtype's name and one of rules.STORED for each."""
        cdef Storage storage = Storage(tuple(initial), name, tuple(stored))
        storage.bound = True
        self._restore({}, {}, 0, {"t": 0})          # __init__ may be called again
        self.storage = storage

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
        padded = -(-n // self.storage.grain) * self.storage.grain
        return padded, -(-padded // STORED_BLOCK)

    def _restored(self, key, cnp.ndarray like, slots, scales=None):
        """A record as steps with a parameter like this one would have left it.

        The slots are arrays of its shape, or all codes as one array with the scales as another.
        """
        cdef Record record = new_record(like, self.storage, key)
        if self.storage.name is None:
            for i, values in enumerate(slots):
                record.slot(i)[...] = values
        else:
            (<object>record.slots)[...] = slots
            (<object>record.scales)[...] = scales
        record.used = True
        return record

    def _restore(self, dict by_key, dict by_position, uint32_t passes, dict done):
        """Put restored records in place of all that there are, and set attributes."""
        self.by_key, self.by_position, self.passes = by_key, by_position, passes
        self.last, self.span_count = None, 0
        (<object>self).__dict__.update(done)

    cdef Plan plan(self, dict home, list keys, list params, list grads):
        cdef Plan plan = Plan.__new__(Plan, self, home, keys, True)
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

    def _plan_mapping(self, params, grads):
        """Parameters by key, to be changed in place."""
        cdef list keys, values, gradients
        cdef Plan plan
        cdef Layout layout = None if self.last is None or self.last.copied_back else self.last.layout
        if (layout is not None and self.span_count == layout.count and type(params) is dict and type(grads) is dict
                and layout.holds(params, grads, self.spans)):
            return self.last
        self.last = None                        # the spans are about to change
        try:
            if type(params) is dict and type(grads) is dict:
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
        self.last = plan = self.plan(self.by_key, keys, values, gradients)
        return plan

    def _plan_sequence(self, params, grads):
        """Parameters by position, to be changed in place."""
        cdef list values = list(params)
        cdef list gradients = list(grads)
        if len(values) != len(gradients):
            raise ValueError(f"{len(values)} parameters, but {len(gradients)} gradients")
        self.last = None
        return self.plan(self.by_position, list(range(len(values))), values, gradients)

    def _plan_deltas(self, grads):
        """(plan, deltas): the deltas are written to new arrays, by position."""
        cdef Plan plan = Plan.__new__(Plan, self, self.by_position, list(range(len(grads))), False)
        cdef cnp.ndarray g
        cdef list deltas = []
        for position, grad in enumerate(grads):
            g = np.asarray(grad)
            dtype = result_dtype(g)
            if dtype.itemsize < 4:
                dtype = np.dtype(np.float32)            # rounded once, when it is added to a parameter
            delta = np.empty_like(g, dtype=dtype, subok=False)
            deltas.append(delta)
            plan.enter(position, delta, g)
        return plan, deltas
