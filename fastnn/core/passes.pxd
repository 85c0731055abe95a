# cython: cdivision=True
"""A pass: one rule over many tensors. What is shared out between threads, and how a piece of a tensor is stepped.

Parameters, gradients and state in float32 or float64 are stepped where they lie. Where any of them is kept in fewer bits
(stored.h) the rule sees a block of each in float32, small enough for the nearest cache, and the block is stored again.
"""
from libc.stdint cimport uint32_t, uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport rule_double, rule_float, rule_stored
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.stored cimport STORED_BLOCK, load_half, load_state, store_any_state, store_half
from fastnn.core.vecmath cimport real

cdef extern from "stored.h":
    enum: FASTNN_WEYL
    uint32_t fastnn_random(uint32_t step, uint32_t slot) noexcept nogil

cdef enum:
    BLOCK = 512             # threads share tensors out in pieces of this many elements
    MOST_CONSTANTS = 16
    MOST_SLOTS = 8
    MOST_STORED_SLOTS = 4   # of rules whose state may be kept in fewer bits

cdef enum Kind:
    # of numbers in memory; the halves count from FLOAT16
    OTHER = 0
    SINGLE
    DOUBLE
    FLOAT16
    BFLOAT16

cdef struct Format:
    # how a slot is stored
    load_state load
    store_any_state store
    Py_ssize_t itemsize

cdef struct Task:
    # one tensor; its elements count as `blocks` blocks, from `first_block` on
    char *target            # the parameter, or where its delta goes
    const char *grad
    char *state             # the slots one after another, each `padded` elements long
    float *scales           # of stored state, the slots one after another
    Py_ssize_t n
    Py_ssize_t padded
    Py_ssize_t first_block
    Kind kind               # of the target
    Kind grad_kind
    bint staged             # whether anything has to be converted

cdef struct Pass:
    # one call: a rule over all tasks
    uintptr_t kernels[2]    # for float and double, or a fused one for stored state
    bint fused
    float single_constants[MOST_CONSTANTS]
    double double_constants[MOST_CONSTANTS]
    int slots
    bint add                # add the deltas to the targets, or write them there
    const Task *tasks
    const Format *formats   # of the slots, where state is stored, else NULL
    Py_ssize_t grain        # stored state is padded to this
    uint32_t count          # of the pass, for random rounding
    const load_half *load_halves
    const store_half *store_halves


cdef inline void call_rule(const Pass *call, const real *grad, real *const *state, real *target, Py_ssize_t n,
                           bint add) noexcept nogil:
    if real is float:
        (<rule_float>call.kernels[0])(grad, state, target, n, call.single_constants, add)
    else:
        (<rule_double>call.kernels[1])(grad, state, target, n, call.double_constants, add)


cdef inline void step_range(const Pass *call, const Task *task, real *target, Py_ssize_t start,
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
        memset(room, 0, BLOCK_STEP * sizeof(real))
        for i in range(rest):
            room[i] = grad[start + i]
        call_rule(call, room, state, delta, BLOCK_STEP, False)
        if call.add:
            for i in range(rest):
                target[start + i] += delta[i]
        else:
            for i in range(rest):
                target[start + i] = delta[i]


cdef inline void load_numbers(const Pass *call, const char *numbers, Kind kind, Py_ssize_t start, Py_ssize_t n,
                              Py_ssize_t whole, float *out) noexcept nogil:
    """Numbers start to start + n, and zeros up to `whole` of them."""
    if kind == SINGLE:
        memcpy(out, <const float *>numbers + start, n * sizeof(float))
    else:
        call.load_halves[kind - FLOAT16](numbers + 2 * start, out, n)
    memset(out + n, 0, (whole - n) * sizeof(float))


cdef inline void store_numbers(const Pass *call, const float *x, Kind kind, Py_ssize_t start, Py_ssize_t n,
                               char *numbers) noexcept nogil:
    if kind == SINGLE:
        memcpy(<float *>numbers + start, x, n * sizeof(float))
    else:
        call.store_halves[kind - FLOAT16](x, numbers + 2 * start, n)


cdef inline void step_stored(const Pass *call, const Task *task, const float *grad, float *target, Py_ssize_t start,
                             Py_ssize_t n) noexcept nogil:
    """Elements start to start + n, a block whose state is stored in fewer bits."""
    cdef float[MOST_STORED_SLOTS][STORED_BLOCK] room
    cdef float *state[MOST_STORED_SLOTS]
    cdef char *codes[MOST_STORED_SLOTS]
    cdef float *scales[MOST_STORED_SLOTS]
    cdef uint32_t random[MOST_STORED_SLOTS]
    cdef Py_ssize_t blocks = (task.padded + STORED_BLOCK - 1) // STORED_BLOCK
    cdef int i
    for i in range(call.slots):
        codes[i] = task.state + (i * task.padded + start) * call.formats[i].itemsize
        scales[i] = task.scales + i * blocks + start // STORED_BLOCK
        random[i] = fastnn_random(call.count, i) + <uint32_t>start * <uint32_t>FASTNN_WEYL
    if call.fused:
        (<rule_stored>call.kernels[0])(grad, codes, scales, target, n, call.single_constants, call.add, random)
        return
    for i in range(call.slots):
        state[i] = room[i]
        call.formats[i].load(codes[i], scales[i], state[i], n)
    call_rule(call, grad, state, target, n, call.add)
    for i in range(call.slots):
        call.formats[i].store(state[i], codes[i], scales[i], n, random[i])


cdef inline void step_staged(const Pass *call, const Task *task, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start to stop of a tensor of which something is kept in fewer bits, computed in float32."""
    cdef float[STORED_BLOCK] grad_room
    cdef float[STORED_BLOCK] target_room
    cdef float *state[MOST_SLOTS]
    cdef const float *grad
    cdef float *target
    cdef Py_ssize_t grain = call.grain
    cdef Py_ssize_t n, whole
    cdef int i
    while start < stop:
        n = min(stop - start, <Py_ssize_t>STORED_BLOCK)
        whole = (n + grain - 1) & -grain
        grad, target = <const float *>task.grad + start, <float *>task.target + start
        if task.grad_kind != SINGLE or n < whole:
            grad = grad_room
            load_numbers(call, task.grad, task.grad_kind, start, n, whole, grad_room)
        if task.kind != SINGLE or n < whole:
            target = target_room
            if call.add:
                load_numbers(call, task.target, task.kind, start, n, whole, target_room)
        if call.formats == NULL:
            for i in range(call.slots):
                state[i] = <float *>task.state + i * task.padded + start
            call_rule(call, grad, state, target, whole, call.add)
        else:
            step_stored(call, task, grad, target, start, whole)
        if target == target_room:
            store_numbers(call, target_room, task.kind, start, n, task.target)
        start += n


cdef inline void step_blocks(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
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
        if task.staged:
            step_staged(call, task, low, high)
        elif task.kind == SINGLE:
            step_range(call, task, <float *>task.target, low, high)
        else:
            step_range(call, task, <double *>task.target, low, high)
        start = last
    fastnn_fp_leave(state)
