# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""How parameters are stepped: a whole set of parameters is validated, then an optimizer rule passes over all of it.

Nothing is written before everything has been checked and allocated. A `Plan` is a checked call; `Plan.run` cannot fail
any more.
"""
import numpy as np

cimport numpy as cnp
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next, PyDict_Size
from cpython.object cimport PyObject
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from fastnn.core.arrays cimport result_dtype
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport rule_double, rule_float
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.threads cimport share_out, threads_for
from fastnn.core.vecmath cimport real

cnp.import_array()

cdef enum:
    BLOCK = 512             # threads share tensors out in pieces of this many elements
    MOST_CONSTANTS = 8
    MOST_SLOTS = 8
    MOST_AXES = 64          # NumPy's own limit

cdef struct Task:
    # one tensor; its elements count as `blocks` blocks, from `first_block` on
    char *target            # the parameter, or where its delta goes
    const char *grad
    char *state             # the slots one after another, each `padded` elements long
    Py_ssize_t n
    Py_ssize_t padded
    Py_ssize_t first_block
    bint single

cdef struct Span:
    # memory from low to high of the parameter at `index`; sorted by low
    const char *low
    const char *high
    const char *reach       # the furthest that this one or any before it goes
    Py_ssize_t index

cdef struct Seen:
    # what tells whether an array has been changed from outside since the last step
    const char *data
    void *dtype
    int flags

cdef struct Pass:
    # one call: a rule over all tasks
    uintptr_t kernels[2]
    float single_constants[MOST_CONSTANTS]
    double double_constants[MOST_CONSTANTS]
    int slots
    bint add                # add the deltas to the targets, or write them there
    const Task *tasks


cdef inline void call_rule(const Pass *call, const real *grad, real *const *state, real *target, Py_ssize_t n,
                           bint add) noexcept nogil:
    if real is float:
        (<rule_float>call.kernels[0])(grad, state, target, n, call.single_constants, add)
    else:
        (<rule_double>call.kernels[1])(grad, state, target, n, call.double_constants, add)


cdef void step_range(const Pass *call, const Task *task, real *target, Py_ssize_t start,
                     Py_ssize_t stop) noexcept nogil:
    """Elements start to stop of a tensor; the last few, which no kernel may run over, through a buffer."""
    cdef real[BLOCK_STEP] delta
    cdef real[BLOCK_STEP] room
    cdef real *state[MOST_SLOTS]
    cdef const real *grad = <const real *>task.grad
    cdef Py_ssize_t whole = (stop - start) & -BLOCK_STEP
    cdef Py_ssize_t rest = stop - start - whole
    cdef Py_ssize_t i
    for i in range(call.slots):
        state[i] = <real *>task.state + i * task.padded + start
    if whole:
        call_rule(call, grad + start, state, target + start, whole, call.add)
    if rest:
        start += whole
        for i in range(call.slots):
            state[i] += whole
        memcpy(room, grad + start, rest * sizeof(real))
        memset(room + rest, 0, (BLOCK_STEP - rest) * sizeof(real))
        call_rule(call, room, state, delta, BLOCK_STEP, False)
        for i in range(rest):
            target[start + i] = target[start + i] + delta[i] if call.add else delta[i]


cdef void step_blocks(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Blocks start to stop of all tasks."""
    cdef const Pass *call = <const Pass *>work
    cdef const Task *task = call.tasks
    cdef fastnn_fp_state state
    cdef Py_ssize_t last, low, high
    if start >= stop:
        return
    state = fastnn_fp_enter(1)
    while start < stop:
        while start >= (task + 1).first_block:      # also over tensors without elements
            task += 1
        last = min(stop, (task + 1).first_block)
        low, high = (start - task.first_block) * BLOCK, min((last - task.first_block) * BLOCK, task.n)
        if task.single:
            step_range(call, task, <float *>task.target, low, high)
        else:
            step_range(call, task, <double *>task.target, low, high)
        start = last
    fastnn_fp_leave(state)


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
    extent = [(abs(stride), n) for n, stride in zip((<object>a).shape, (<object>a).strides) if n > 1]
    reach = a.itemsize
    for stride, n in sorted(extent):
        if stride < reach:
            break
        reach += stride * (n - 1)
    else:
        return False                    # each axis steps over all that the smaller ones reach
    offsets = np.zeros((), np.intp)
    for stride, n in extent:
        offsets = np.add.outer(offsets, np.arange(n) * stride)
    return stride_gap(np.sort(offsets, axis=None)) < a.itemsize


cdef object stride_gap(object offsets):
    """The smallest distance between neighbours."""
    return np.diff(offsets).min(initial=np.iinfo(np.intp).max)


cdef class Record:
    """The state of one parameter: an array a slot, in the order in which the parameter's elements lie in memory."""

    cdef readonly tuple shape
    cdef readonly cnp.ndarray slots         # (number of slots, elements padded to BLOCK_STEP)
    cdef cnp.npy_intp dims[MOST_AXES]
    cdef int ndim
    cdef int kind
    cdef bint fortran
    cdef int layout                         # the flag of arrays that lie in memory as the slots do
    cdef Py_ssize_t n
    cdef readonly bint used                 # whether a step has been taken with it
    cdef Span place                         # where the parameter lay at the last step, and its index

    def slot(self, int index):
        """A slot as an array of the parameter's shape; writing to it changes the state."""
        return (<object>self.slots)[index, :self.n].reshape(self.shape, order="F" if self.fortran else "C")


cdef Record new_record(cnp.ndarray like, int kind, tuple initial):
    cdef Record record = Record.__new__(Record)
    cdef Py_ssize_t i
    record.shape = (<object>like).shape
    record.ndim = cnp.PyArray_NDIM(like)
    memcpy(record.dims, cnp.PyArray_DIMS(like), record.ndim * sizeof(cnp.npy_intp))
    record.kind = kind
    record.fortran = (cnp.PyArray_CHKFLAGS(like, cnp.NPY_ARRAY_F_CONTIGUOUS)
                      and not cnp.PyArray_CHKFLAGS(like, cnp.NPY_ARRAY_C_CONTIGUOUS))
    record.layout = cnp.NPY_ARRAY_F_CONTIGUOUS if record.fortran else cnp.NPY_ARRAY_C_CONTIGUOUS
    record.n = cnp.PyArray_SIZE(like)
    record.slots = np.zeros((len(initial), (record.n + BLOCK_STEP - 1) // BLOCK_STEP * BLOCK_STEP),
                            np.float32 if kind == cnp.NPY_FLOAT else np.float64)
    for i in range(len(initial)):
        if initial[i]:
            (<object>record.slots)[i] = initial[i]
    return record


cdef inline bint conforms(cnp.ndarray a, Record record) noexcept:
    """a lies in memory as the record's slots do."""
    return (cnp.PyArray_TYPE(a) == record.kind and cnp.PyArray_CHKFLAGS(a, record.layout | cnp.NPY_ARRAY_ALIGNED)
            and cnp.PyArray_ISNOTSWAPPED(a))


cdef inline bint has_shape(cnp.ndarray a, Record record) noexcept:
    return (cnp.PyArray_NDIM(a) == record.ndim
            and memcmp(cnp.PyArray_DIMS(a), record.dims, record.ndim * sizeof(cnp.npy_intp)) == 0)


cdef cnp.ndarray conforming(cnp.ndarray a, Record record):
    with np.errstate(all="ignore"):         # float64 gradients may overflow float32 parameters
        return np.array(a, dtype=record.slots.dtype, order="F" if record.fortran else "C")


cdef cnp.ndarray checked_parameter(object value, object key):
    if not cnp.PyArray_Check(value):
        raise TypeError(f"parameter {key!r} must be a NumPy array, not {type(value).__name__}")
    cdef cnp.ndarray p = <cnp.ndarray>value
    cdef int kind = cnp.PyArray_TYPE(p)
    if kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE:
        raise TypeError(f"parameter {key!r} must be float32 or float64, not {p.dtype}")
    if not cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_WRITEABLE):
        raise ValueError(f"parameter {key!r} is read-only")
    return p


cdef cnp.ndarray checked_gradient(object value, cnp.ndarray p, object key):
    cdef cnp.ndarray g = <cnp.ndarray>value if cnp.PyArray_CheckExact(value) else np.asarray(value)
    cdef int kind = cnp.PyArray_TYPE(g)
    if kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE:
        result_dtype(g)
    if not cnp.PyArray_SAMESHAPE(g, p):
        raise ValueError(f"the gradient of {key!r} has shape {(<object>g).shape}, the parameter {(<object>p).shape}")
    return g


cdef class Layout:
    """The memory that a plan runs over. Kept by the stepper: most steps find all parameters where they were."""

    cdef list keys
    cdef list records
    cdef Py_ssize_t count
    cdef Py_ssize_t elements
    cdef int slots
    cdef Task *tasks                        # count of them, and one that says where the last one ends
    cdef Seen *seen

    def __cinit__(self, list keys, list records, list targets, list grads):
        cdef Py_ssize_t i
        cdef Py_ssize_t blocks = 0
        cdef Record record
        cdef cnp.ndarray target
        cdef Task *task
        self.keys, self.records, self.count = keys, records, len(records)
        self.tasks = <Task *>malloc((self.count + 1) * sizeof(Task))
        self.seen = <Seen *>malloc((self.count + 1) * sizeof(Seen))
        if self.tasks == NULL or self.seen == NULL:
            raise MemoryError
        for i in range(self.count):
            record = <Record>records[i]
            target = <cnp.ndarray>targets[i]
            self.slots = <int>cnp.PyArray_DIM(record.slots, 0)
            task = &self.tasks[i]
            task.target = cnp.PyArray_BYTES(target)
            task.grad = cnp.PyArray_BYTES(<cnp.ndarray>grads[i])
            task.state = cnp.PyArray_BYTES(record.slots)
            task.n = record.n
            task.padded = cnp.PyArray_DIM(record.slots, 1)
            task.first_block = blocks
            task.single = record.kind == cnp.NPY_FLOAT
            blocks += (record.n + BLOCK - 1) // BLOCK
            self.elements += record.n
            self.seen[i].data = task.target
            self.seen[i].dtype = <void *>cnp.PyArray_DESCR(target)
            self.seen[i].flags = cnp.PyArray_FLAGS(target)
        self.tasks[self.count].first_block = blocks

    def __dealloc__(self):
        free(self.tasks)
        free(self.seen)

    cdef bint holds(self, dict params, dict grads, const Span *spans):
        """Whether the parameters are unchanged and the gradients can be used as they are; these are then put in."""
        cdef PyObject *key
        cdef PyObject *value
        cdef PyObject *found
        cdef Py_ssize_t position = 0
        cdef Py_ssize_t i = 0
        cdef Record record
        cdef cnp.ndarray p, g
        if PyDict_Size(params) != self.count:
            return False
        while PyDict_Next(params, &position, &key, &value):
            if key != <PyObject *>self.keys[i] or not cnp.PyArray_Check(<object>value):
                return False
            record, p = <Record>self.records[i], <cnp.ndarray>value
            if not (cnp.PyArray_BYTES(p) == self.seen[i].data and cnp.PyArray_FLAGS(p) == self.seen[i].flags
                    and <void *>cnp.PyArray_DESCR(p) == self.seen[i].dtype and has_shape(p, record)):
                return False
            found = PyDict_GetItemWithError(grads, <object>key)
            if found == NULL or not cnp.PyArray_CheckExact(<object>found):
                return False
            g = <cnp.ndarray>found
            if not (conforms(g, record) and has_shape(g, record)
                    and clear_of(spans, self.count, g, i, self.seen[i].data)):
                return False
            self.tasks[i].grad = cnp.PyArray_BYTES(g)
            i += 1
        return True


cdef bint clear_of(const Span *spans, Py_ssize_t count, cnp.ndarray grad, Py_ssize_t index, const char *own) noexcept:
    """Whether a gradient lies in no parameter's memory, or is exactly the parameter at `index`, which lies at `own`."""
    cdef Span span = span_of(grad, index)
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
        if spans[first].high > span.low and not (spans[first].index == index and span.low == own):
            return False
    return True


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

    def __cinit__(self, dict home, list keys, bint add):
        self.home = home
        self.keys = keys
        self.add = add
        self.records, self.targets, self.grads, self.copied_back = [], [], [], []

    cdef void enter(self, object key, cnp.ndarray target, cnp.ndarray grad, tuple initial) except *:
        cdef PyObject *known = PyDict_GetItemWithError(self.home, key)
        cdef Record record
        cdef cnp.ndarray copy
        cdef int kind = cnp.PyArray_TYPE(target)
        if known == NULL:
            record = new_record(target, kind, initial)
        else:
            record = <Record>known
            if not has_shape(target, record):
                raise ValueError(f"parameter {key!r} had shape {record.shape}, now {(<object>target).shape}")
            if record.kind != kind:
                raise ValueError(f"parameter {key!r} had dtype {record.slots.dtype}, now {target.dtype}")
        if not conforms(target, record):
            if overlaps_itself(target):
                raise ValueError(f"elements of parameter {key!r} share memory")
            copy = conforming(target, record)
            self.copied_back.append((target, copy))
            target = copy
        if not conforms(grad, record):
            grad = conforming(grad, record)
        self.records.append(record)
        self.targets.append(target)
        self.grads.append(grad)

    cdef void free_gradients(self, const Span *spans, Py_ssize_t count) except *:
        """Copy gradients that lie in the memory of another parameter, or of their own but shifted."""
        cdef Py_ssize_t i
        cdef cnp.ndarray grad, target
        for i in range(count):
            grad, target = <cnp.ndarray>self.grads[i], <cnp.ndarray>self.targets[i]
            if not clear_of(spans, count, grad, i, cnp.PyArray_BYTES(target)):
                self.grads[i] = conforming(grad, <Record>self.records[i])

    def run(self, tuple kernels, tuple constants):
        """Step everything, then keep the new records."""
        cdef Pass call
        cdef Py_ssize_t i
        cdef int threads
        cdef Record record
        if len(constants) > MOST_CONSTANTS:
            raise ValueError("too many constants")
        call.kernels = kernels
        call.add = self.add
        for i in range(len(constants)):
            call.double_constants[i] = constants[i]
            call.single_constants[i] = <float>call.double_constants[i]
        known = self.layout is not None
        if not known:
            self.layout = Layout(self.keys, self.records, self.targets, self.grads)
        call.slots = self.layout.slots
        call.tasks = self.layout.tasks
        threads = threads_for(self.layout.elements)
        with nogil:
            share_out(step_blocks, &call, self.layout.tasks[self.layout.count].first_block, 1, threads)
        self.targets = self.grads = None        # the layout is kept, the arrays are not
        if known:
            return
        for parameter, copy in self.copied_back:
            np.copyto(parameter, copy)
        for i in range(len(self.records)):
            record = <Record>self.records[i]
            if not record.used:
                record.used = True
                self.home[self.keys[i]] = record


cdef class Stepper:
    """State by key (mappings) and by position (sequences), and the plans made from calls."""

    cdef dict by_key
    cdef dict by_position
    cdef tuple initial                      # the first value of each slot
    cdef Span *spans                        # of the parameters of the last plan that was found free of overlaps
    cdef Py_ssize_t span_count
    cdef Plan last                          # the last plan of a mapping

    def __cinit__(self, *args, **kwds):
        self.by_key, self.by_position = {}, {}
        self.initial = ()
        self.spans = NULL
        self.span_count = 0

    def __dealloc__(self):
        free(self.spans)

    def _slots(self, initial):
        self.initial = tuple(initial)

    def _record(self, key):
        """The record of a key, or None."""
        return self.by_key.get(key)

    def _record_at(self, position):
        """The record of a position, or None."""
        return self.by_position.get(position)

    @property
    def _records(self):
        """All records, by key or position."""
        return {**self.by_position, **self.by_key}

    cdef Plan plan(self, dict home, list keys, list params, list grads):
        cdef Plan plan = Plan.__new__(Plan, home, keys, True)
        cdef Py_ssize_t i
        cdef Py_ssize_t count = len(keys)
        cdef cnp.ndarray p
        for i in range(count):
            p = checked_parameter(params[i], keys[i])
            plan.enter(keys[i], p, checked_gradient(grads[i], p, keys[i]), self.initial)
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
                    if spans[k].high > spans[i].low and np.shares_memory(params[spans[k].index],
                                                                         params[spans[i].index]):
                        raise ValueError(f"parameters {plan.keys[spans[k].index]!r} and "
                                         f"{plan.keys[spans[i].index]!r} share memory")
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
            plan = Plan.__new__(Plan, self.by_key, layout.keys, True)
            plan.layout, plan.records = layout, layout.records
            plan.targets, plan.grads = list((<dict>params).values()), list((<dict>grads).values())
            self.last = plan
            return plan
        self.last = None                        # the spans are about to change
        try:
            if type(params) is dict and type(grads) is dict:
                keys, values = list((<dict>params).keys()), list((<dict>params).values())
                gradients = [(<dict>grads)[key] for key in keys]
            else:
                keys = list(params)
                values, gradients = [params[key] for key in keys], [grads[key] for key in keys]
        except KeyError as error:
            raise KeyError(f"no gradient for parameter {error.args[0]!r}") from None
        self.last = plan = self.plan(self.by_key, keys, values, gradients)
        return plan

    def _plan_sequence(self, params, grads):
        """Parameters by position, to be changed in place."""
        if len(params) != len(grads):
            raise ValueError(f"{len(params)} parameters, but {len(grads)} gradients")
        self.last = None
        return self.plan(self.by_position, list(range(len(params))), list(params), list(grads))

    def _plan_deltas(self, grads):
        """(plan, deltas): the deltas are written to new arrays, by position."""
        cdef Plan plan = Plan.__new__(Plan, self.by_position, list(range(len(grads))), False)
        cdef cnp.ndarray g
        cdef list deltas = []
        for position, grad in enumerate(grads):
            g = np.asarray(grad)
            dtype = result_dtype(g)
            if dtype.itemsize < 4:
                raise TypeError(f"gradients must be float32 or float64, not {g.dtype}")
            delta = np.empty_like(g, dtype=dtype, subok=False)
            deltas.append(delta)
            plan.enter(position, delta, g, self.initial)
        return plan, deltas
