# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What a rule has to know of whole tensors before its constants can be made, and gradients in the place of gradients.

Inner products are of the gradient as the rule sees it, the parameter, the state, and of what the rule would make of them
with the constants that it has: it is tried, block by block, on copies. Nothing is written. Sums are in double, of fixed
blocks, and the same for any number of threads.
"""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from fastnn.core.arrays cimport DOUBLE, SINGLE, Kind, kind_of
from fastnn.core.clipping cimport in_float, parameter_of, rule_gradient
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport block_sums, rule_double, rule_float
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.passes cimport BLOCK, MOST_SLOTS, Task, base_of, decay_deltas, is_prepared, scale_of
from fastnn.core.records cimport Record, has_shape, lies_as
from fastnn.core.reductions cimport Numbers, fold
from fastnn.core.streaming cimport at_line, fastnn_prefetch
from fastnn.core.threads cimport share_out, threads_for
from fastnn.core.vecmath cimport real

from fastnn.core.levels import rules

cnp.import_array()

cdef extern from "reductions.h":
    enum: FASTNN_SQUARES

ctypedef double (*block_dot)(const void *x, const void *y, Py_ssize_t n) noexcept nogil

cdef enum:
    FEW = 8192              # elements that are read before it would pay to let another thread run
    RUN = 64                # blocks that are read one after another; each restarts the processor's fetching ahead
    # operands
    SIGN = -1               # of the other one, whose product with it is the sum of its magnitudes
    GRADIENT = 0
    PARAMETER = 1
    UPDATE = 2              # what the rule would add to the parameter, decay included
    SLOT = 3
    AFTER = SLOT + MOST_SLOTS           # a slot, as the rule would leave it
    OPERANDS = AFTER + MOST_SLOTS

cdef block_sums sum_kernels[2]
cdef block_dot dot_kernels[2]
for place in range(2):
    sum_kernels[place] = <block_sums><uintptr_t>rules.REDUCTIONS["block_sums"][place]
    dot_kernels[place] = <block_dot><uintptr_t>rules.REDUCTIONS["block_dot"][place]


@cython.final
cdef class Products:
    """Inner products over a tensor: pairs of "g", "p", "update", names of slots, names of slots behind "next ", or
    "sign", which is that of the first. The update is the rule's, or that of another compiled rule with the same
    constants: (address for float, for double)."""

    def __cinit__(self, pairs, slots, kernels=None):
        cdef int number
        names = {"g": GRADIENT, "p": PARAMETER, "update": UPDATE, "sign": SIGN}
        for i, slot in enumerate(slots):
            names[slot], names[f"next {slot}"] = SLOT + i, AFTER + i
        self.count, self.slots, self.kernels = len(pairs), len(slots), kernels
        self.operands = <int *>malloc((2 * self.count + 1) * sizeof(int))
        if self.operands == NULL:
            raise MemoryError
        for i, name in enumerate([name for pair in pairs for name in pair]):
            number = names[name]
            self.operands[i] = number
            self.tries = self.tries or number == UPDATE or number >= AFTER
            self.reads_g = self.reads_g or number == GRADIENT
            self.reads_p = self.reads_p or number == PARAMETER

    def __dealloc__(self):
        free(self.operands)


cdef struct Work:
    const Task *tasks
    const int *operands
    int count
    int slots
    bint tries
    bint reads_g
    bint reads_p
    uintptr_t kernels[2]    # 0: those of the task
    Py_ssize_t blocks
    Py_ssize_t runs         # of so many blocks
    double *sums            # `count` for each block


cdef inline bint is_plain(const Task *task) noexcept nogil:
    """Whether the gradient lies ready in memory."""
    return task.kind == task.grad_kind and task.kind <= DOUBLE and not is_prepared(task) and scale_of(task) == 1


cdef inline const real *gradient_at(const Task *task, Py_ssize_t start, Py_ssize_t n, Py_ssize_t whole,
                                    real *room) noexcept nogil:
    """n numbers as the rule sees them, and zeros up to `whole`."""
    if n == whole and is_plain(task):
        return <const real *>task.grad + start
    rule_gradient(task, start, n, room)
    memset(room + n, 0, (whole - n) * sizeof(real))
    return room


cdef inline const real *parameter_at(const Task *task, Py_ssize_t start, Py_ssize_t n, Py_ssize_t whole,
                                     real *room) noexcept nogil:
    cdef Numbers p = parameter_of(task)
    cdef const real *found
    if real is float:
        found = in_float(p.data, p.kind, start, n, room)
    else:
        found = <const double *>p.data + start
    if n == whole:
        return found
    if found != room:
        memcpy(room, found, n * sizeof(real))
    memset(room + n, 0, (whole - n) * sizeof(real))
    return room


cdef inline void try_rule(const Work *work, const Task *task, const real *g, const real *p, real *const *state,
                          real *delta, Py_ssize_t n, Py_ssize_t whole) noexcept nogil:
    cdef int place = 0 if real is float else 1
    cdef uintptr_t kernel = work.kernels[place] if work.kernels[place] else task.constants.kernels[place]
    cdef real keep = base_of(task, delta, whole, False)
    if real is float:
        (<rule_float>kernel)(g, p, state, delta, whole, task.constants.single, 1, keep, False)
    else:
        (<rule_double>kernel)(g, p, state, delta, whole, task.constants.double_, 1, keep, False)
    if work.kernels[0] == 0:
        decay_deltas(task, p, delta, n)


cdef inline void measure_block(const Work *work, const Task *task, const real *like, Py_ssize_t start, Py_ssize_t n,
                               double *sums) noexcept nogil:
    """`like` says in which precision."""
    cdef real[(MOST_SLOTS + 4) * BLOCK + 16] rooms
    cdef real *room = at_line(&rooms[0])
    cdef real *delta = room + 2 * BLOCK
    cdef real *signs = room + 3 * BLOCK
    cdef real *state[MOST_SLOTS]
    cdef const real *found[OPERANDS]
    cdef const real *one
    cdef const real *other
    cdef Py_ssize_t whole = (n + BLOCK_STEP - 1) & -BLOCK_STEP if work.tries else n
    cdef Py_ssize_t i
    cdef int k
    found[GRADIENT] = found[PARAMETER] = found[UPDATE] = NULL
    for k in range(work.slots):
        found[SLOT + k] = <const real *>task.state + k * task.padded + start
    if work.reads_g or work.tries:
        found[GRADIENT] = gradient_at(task, start, n, whole, room)
    if work.reads_p or work.tries:
        found[PARAMETER] = parameter_at(task, start, n, whole, room + BLOCK)
    if work.tries:
        for k in range(work.slots):
            state[k] = room + (4 + k) * BLOCK
            memcpy(state[k], found[SLOT + k], whole * sizeof(real))
            found[AFTER + k] = state[k]
            fastnn_prefetch(found[SLOT + k] + BLOCK, BLOCK * sizeof(real))      # while the rule computes
        fastnn_prefetch(found[GRADIENT] + BLOCK, BLOCK * sizeof(real))
        fastnn_prefetch(found[PARAMETER] + BLOCK, BLOCK * sizeof(real))
        try_rule(work, task, found[GRADIENT], found[PARAMETER], state, delta, n, whole)
        found[UPDATE] = delta
    for k in range(work.count):
        one = found[work.operands[2 * k]]
        if work.operands[2 * k + 1] == work.operands[2 * k]:
            sum_kernels[task.kind == DOUBLE](one, n, FASTNN_SQUARES, 1, sums + k)
            continue
        if work.operands[2 * k + 1] == SIGN:
            for i in range(n):
                signs[i] = <real>(one[i] > <real>0) - <real>(one[i] < <real>0)
            other = signs
        else:
            other = found[work.operands[2 * k + 1]]
        sums[k] = dot_kernels[task.kind == DOUBLE](one, other, n)


cdef inline Py_ssize_t inside_out(Py_ssize_t run, Py_ssize_t runs) noexcept nogil:
    """Threads come from both ends and meet in the middle; so what is read last is what the step reads first."""
    cdef Py_ssize_t half = runs // 2
    return half - 1 - run if run < half else runs - 1 - (run - half)


cdef void measure_runs(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef const Task *task = work.tasks
    cdef fastnn_fp_state state
    cdef Py_ssize_t block, first, low, n
    if start >= stop:
        return
    state = fastnn_fp_enter(1)
    for start in range(start, stop):
        first = RUN * inside_out(start, work.runs)
        while first < task.first_block:
            task -= 1
        for block in range(first, min(first + RUN, work.blocks)):
            while block >= (task + 1).first_block:      # also over tensors without elements
                task += 1
            low = (block - task.first_block) * BLOCK
            n = min(task.n - low, <Py_ssize_t>BLOCK)
            if task.kind == DOUBLE:
                measure_block(work, task, <const double *>task.grad, low, n, work.sums + block * work.count)
            else:
                measure_block(work, task, <const float *>task.grad, low, n, work.sums + block * work.count)
    fastnn_fp_leave(state)


cdef void measure(const Work *work, Py_ssize_t tensors, int threads) noexcept nogil:
    """The sums of each tensor in the place of its first block's."""
    cdef fastnn_fp_state state
    cdef Py_ssize_t t, first
    if threads > 1:
        share_out(measure_runs, work, work.runs, 1, threads)
    else:
        measure_runs(work, 0, work.runs)
    state = fastnn_fp_enter(0)
    for t in range(tensors):
        first = work.tasks[t].first_block
        fold(work.sums + first * work.count, work.tasks[t + 1].first_block - first, work.count)
    fastnn_fp_leave(state)


cdef struct Filled:
    const Task *task
    char *out


cdef void fill_blocks(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Filled *work = <const Filled *>context
    cdef Py_ssize_t size = sizeof(double) if work.task.kind == DOUBLE else sizeof(float)
    cdef fastnn_fp_state state = fastnn_fp_enter(1)
    cdef Py_ssize_t low
    for start in range(start, stop):
        low = start * BLOCK
        rule_gradient(work.task, low, min(work.task.n - low, <Py_ssize_t>BLOCK), work.out + low * size)
    fastnn_fp_leave(state)


@cython.final
cdef class Measured:
    """What is found out about a layout's tensors, and gradients that are put in the place of theirs for a step."""

    def __cinit__(self, Layout layout):
        self.layout = layout

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.gradients != NULL:
            for i in range(self.layout.count):
                self.layout.tasks[i].grad = self.gradients[i].numbers
                self.layout.tasks[i].grad_kind = self.gradients[i].kind
                self.layout.tasks[i].staged = self.gradients[i].staged
                self.layout.tasks[i].ready = False
        free(self.gradients)

    cdef list dots(self, Products wanted):
        """The inner products of each tensor, as tuples."""
        cdef Layout layout = self.layout
        cdef Work work
        cdef Py_ssize_t i, k, first
        cdef int threads = threads_for(layout.elements)
        work.tasks, work.operands, work.count, work.slots = layout.tasks, wanted.operands, wanted.count, wanted.slots
        work.tries, work.reads_g, work.reads_p = wanted.tries, wanted.reads_g, wanted.reads_p
        work.kernels[0] = work.kernels[1] = 0
        if wanted.kernels is not None:
            work.kernels[0], work.kernels[1] = wanted.kernels
        work.blocks = layout.tasks[layout.count].first_block
        work.runs = (work.blocks + RUN - 1) // RUN
        work.sums = <double *>malloc((work.blocks * work.count + 1) * sizeof(double))
        if work.sums == NULL:
            raise MemoryError
        try:
            if layout.elements <= FEW:
                measure(&work, layout.count, 1)
            else:
                with nogil:
                    measure(&work, layout.count, threads)
            found = []
            for i in range(layout.count):
                first = layout.tasks[i].first_block
                if layout.tasks[i + 1].first_block > first:
                    found.append(tuple([work.sums[first * work.count + k] for k in range(work.count)]))
                else:
                    found.append((0.0,) * work.count)
        finally:
            free(work.sums)
        return found

    cdef object gradient(self, Py_ssize_t i):
        """The gradient of record i as its rule sees it: a new array of the parameter's shape and order."""
        cdef Layout layout = self.layout
        cdef Record record = <Record>layout.records[i]
        cdef cnp.ndarray out = np.empty(record.shape, record.computed, "F" if record.fortran else "C")
        cdef Filled work
        cdef Py_ssize_t blocks = layout.tasks[i + 1].first_block - layout.tasks[i].first_block
        cdef int threads = threads_for(record.n)
        work.task, work.out = &layout.tasks[i], cnp.PyArray_BYTES(out)
        if record.n <= FEW:
            fill_blocks(&work, 0, blocks)
        else:
            with nogil:
                share_out(fill_blocks, &work, blocks, 1, threads)
        return out

    cdef int replace(self, Py_ssize_t i, object array) except -1:
        cdef Layout layout = self.layout
        cdef Record record = <Record>layout.records[i]
        cdef Task *task = &layout.tasks[i]
        cdef cnp.ndarray a = <cnp.ndarray?>array
        cdef Py_ssize_t k
        if not (has_shape(a, record) and lies_as(a, record) and kind_of(a) == (DOUBLE if record.kind == DOUBLE else SINGLE)):
            raise ValueError(f"in the place of a gradient stands an array of shape {record.shape} in order {record.order}, "
                             f"of {record.computed}")
        if self.gradients == NULL:
            self.gradients = <Gradient *>calloc(layout.count + 1, sizeof(Gradient))
            if self.gradients == NULL:
                raise MemoryError
            for k in range(layout.count):
                self.gradients[k].numbers = layout.tasks[k].grad
                self.gradients[k].kind, self.gradients[k].staged = layout.tasks[k].grad_kind, layout.tasks[k].staged
            self.replaced = []
        self.replaced.append(a)
        task.grad, task.grad_kind, task.ready = cnp.PyArray_BYTES(a), kind_of(a), True
        task.staged = task.kind != task.grad_kind or record.scales is not None
        return 0
