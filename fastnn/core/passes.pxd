# cython: cdivision=True
"""A pass: rules over many tensors. What is shared out between threads, and how a piece of a tensor is stepped.

Parameters, gradients and state in float32 or float64 are stepped where they lie. Where any of them is kept in fewer
bits (stored.h) the rule sees a block of each in float32, small enough for the nearest cache, and the block is stored
again. So it does with gradients that have to be clipped by value, decayed and the like before (around.pxi); scaling
gradients and decaying parameters are part of the kernels. Of a parameter whose gradient is Rows (sparse.pyx) the
elements of these rows count as the tensor.
"""
from libc.stdint cimport uint32_t, uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.arrays cimport DOUBLE, FLOAT16, SINGLE, Kind
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport (decayed_double, decayed_float, rule_double, rule_float, rule_stored, scaled_double,
                                  scaled_float, unit_double, unit_float)
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.stored cimport STORED_BLOCK, load_half, load_state, store_any_state, store_half
from fastnn.core.streaming cimport FASTNN_LINE, at_line
from fastnn.core.vecmath cimport real

cdef extern from "stored.h":
    enum: FASTNN_WEYL
    uint32_t fastnn_random(uint32_t step, uint32_t slot) noexcept nogil

cdef enum:
    BLOCK = 512             # threads share tensors out in pieces of this many elements
    MOST_CONSTANTS = 16
    MOST_SLOTS = 8
    MOST_STORED_SLOTS = 4   # of rules whose state may be kept in reduced precision
    LONG = 8192             # elements from which on it pays to begin at one
    LONG_ROW = 16           # elements of a row that are stepped where they lie
    STAGED = 1024           # elements that are converted at a time
    TOGETHER = 256          # of other rows that are stepped together

cdef struct Format:
    # how a slot is stored
    load_state load
    store_any_state store
    Py_ssize_t itemsize

cdef struct Constants:
    # what the parameters of a cohort share in a step
    uintptr_t kernels[2]    # for float and double, or a fused one for stored state
    bint fused
    bint reads_p            # whether the rule reads the parameter
    float single[MOST_CONSTANTS]
    double double_[MOST_CONSTANTS]
    double scale            # of gradients
    double decay            # parameters are multiplied by 1 - decay
    double clip_value       # 0: none
    double l2
    double l1

cdef struct Task:
    # one tensor; its elements count as `blocks` blocks, from `first_block` on
    char *target            # the parameter, or where its delta goes
    const char *grad
    const char *parameter   # where the target is not it: in the dialect that returns deltas, else NULL
    char *state             # the slots one after another, each `padded` elements long
    float *scales           # of stored state, the slots one after another
    const Constants *constants
    Py_ssize_t n
    const Py_ssize_t *rows  # n elements of these rows, with one gradient after another; NULL: of the whole tensor
    Py_ssize_t width        # elements of a row
    Py_ssize_t padded
    Py_ssize_t first_block
    Kind kind               # of the target
    Kind grad_kind
    bint staged             # whether anything has to be converted
    double scale            # of the gradient, by clipping its norm
    bint ready              # whether the gradient is what the rule sees: nothing is done to it
    Py_ssize_t units        # of clipping and means by unit: element i belongs to unit i // inner % units
    Py_ssize_t inner
    const double *factors   # of each unit, NULL: none
    const double *means     # of each unit, NULL: none

cdef struct Around:
    # functions of around.pxi for the level of the kernels
    scaled_float scaled_single
    scaled_double scaled_double_
    decayed_float decayed_single
    decayed_double decayed_double_
    unit_float unit_scaled_single
    unit_double unit_scaled_double
    unit_float unit_shifted_single
    unit_double unit_shifted_double

cdef struct Pass:
    # one call
    int slots
    bint add                # add the deltas to the targets, or write them there; then rules read `parameter`
    const Task *tasks
    const Around *around
    const Format *formats   # of the slots, where state is stored, else NULL
    Py_ssize_t grain        # stored state is padded to this
    uint32_t count          # of the pass, for random rounding
    const load_half *load_halves
    const store_half *store_halves


cdef inline bint is_prepared(const Task *task) noexcept nogil:
    """Whether the gradient has to be changed, element by element, before the rule sees it."""
    cdef const Constants *c = task.constants
    return not task.ready and (c.clip_value != 0 or c.l2 != 0 or c.l1 != 0 or task.factors != NULL
                               or task.means != NULL)


cdef inline double scale_of(const Task *task) noexcept nogil:
    """What the rule's loop multiplies the gradient by, where it is not prepared."""
    return 1 if task.ready else task.constants.scale * task.scale


cdef inline void by_units(const Around *around, const Task *task, const double *values, bint shift, real *out,
                          Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Multiply each element by its unit's value, or take it away; `start` is where in the tensor out begins."""
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t unit, length
    cdef bint same = task.inner > 1 or task.units == 1
    while done < n:
        unit = (start + done) // task.inner % task.units
        if same:
            length = task.inner - (start + done) % task.inner if task.units > 1 else n
        else:
            length = task.units - unit
        length = min(length, n - done)
        if real is float:
            if shift:
                around.unit_shifted_single(values + unit, same, out + done, length)
            else:
                around.unit_scaled_single(values + unit, same, out + done, length)
        else:
            if shift:
                around.unit_shifted_double(values + unit, same, out + done, length)
            else:
                around.unit_scaled_double(values + unit, same, out + done, length)
        done += length


cdef inline void prepare(const Around *around, const Task *task, const real *grad, const real *p, real *out,
                         Py_ssize_t start, Py_ssize_t n, bint centred) noexcept nogil:
    """A block of the gradient as the rule sees it: scaled, clipped, decayed, and centred if that is asked for."""
    cdef const Constants *c = task.constants
    if real is float:
        around.scaled_single(grad, out, n, <float>(c.scale * task.scale), <float>c.clip_value)
    else:
        around.scaled_double_(grad, out, n, c.scale * task.scale, c.clip_value)
    if task.factors != NULL:
        by_units(around, task, task.factors, False, out, start, n)
    if c.l2 != 0 or c.l1 != 0:
        if real is float:
            around.decayed_single(p, out, n, <float>c.l2, <float>c.l1)
        else:
            around.decayed_double_(p, out, n, c.l2, c.l1)
    if centred and task.means != NULL:
        by_units(around, task, task.means, True, out, start, n)


cdef inline real base_of(const Task *task, real *target, Py_ssize_t n, bint add) noexcept nogil:
    """What kernels multiply the target by before they add a delta. Where deltas are written they are added to -0.0, which
    keeps all their bits: to minus the zeros that are put there."""
    if add:
        return <real>(1 - task.constants.decay)
    memset(target, 0, n * sizeof(real))
    return <real>-1


cdef inline void call_rule(const Pass *call, const Task *task, const real *grad, const real *p, real *const *state,
                           real *target, Py_ssize_t n, real scale, bint add) noexcept nogil:
    cdef const Constants *c = task.constants
    cdef real keep = base_of(task, target, n, add)
    if real is float:
        (<rule_float>c.kernels[0])(grad, p, state, target, n, c.single, scale, keep, add)
    else:
        (<rule_double>c.kernels[1])(grad, p, state, target, n, c.double_, scale, keep, add)


cdef inline void decay_deltas(const Task *task, const real *p, real *delta, Py_ssize_t n) noexcept nogil:
    """Where deltas are written, what decay takes away is part of them."""
    cdef Py_ssize_t i
    cdef real decay = <real>task.constants.decay
    if decay != <real>0:
        for i in range(n):
            delta[i] = delta[i] - decay * p[i]


cdef inline void copy_few(const real *x, real *out, Py_ssize_t n) noexcept nogil:
    """Less than BLOCK_STEP numbers, without a loop, of which a compiler would make a call."""
    if n & 8:
        memcpy(out, x, 8 * sizeof(real))
        out, x = out + 8, x + 8
    if n & 4:
        memcpy(out, x, 4 * sizeof(real))
        out, x = out + 4, x + 4
    if n & 2:
        memcpy(out, x, 2 * sizeof(real))
        out, x = out + 2, x + 2
    if n & 1:
        out[0] = x[0]


cdef inline void step_range(const Pass *call, const Task *task, const real *grad, const real *p, real *target,
                            real scale, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """n elements from `start` on, which is where grad, p and target begin; the last few, which no kernel may run over,
    through a buffer."""
    cdef real[BLOCK_STEP] room
    cdef real[BLOCK_STEP] p_room
    cdef real[BLOCK_STEP] target_room
    cdef real *state[MOST_SLOTS]
    cdef Py_ssize_t whole = n & -BLOCK_STEP
    cdef Py_ssize_t rest = n - whole
    cdef Py_ssize_t i
    if whole:
        for i in range(call.slots):
            state[i] = <real *>task.state + i * task.padded + start
        call_rule(call, task, grad, p, state, target, whole, scale, call.add)
    if rest:
        for i in range(call.slots):
            state[i] = <real *>task.state + i * task.padded + start + whole
        memset(room, 0, BLOCK_STEP * sizeof(real))
        copy_few(grad + whole, &room[0], rest)
        if call.add:
            memset(target_room, 0, BLOCK_STEP * sizeof(real))
            copy_few(target + whole, &target_room[0], rest)
        elif task.constants.reads_p:
            memset(p_room, 0, BLOCK_STEP * sizeof(real))
            copy_few(p + whole, &p_room[0], rest)
        call_rule(call, task, room, p_room, state, target_room, BLOCK_STEP, scale, call.add)
        copy_few(&target_room[0], target + whole, rest)
    if not call.add:
        decay_deltas(task, p, target, n)


cdef inline void step_by_blocks(const Pass *call, const Task *task, const real *grad, const real *p, real *target,
                                real scale, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """The same a block at a time, of whose gradient is made what the rule is to see. Deltas are written twice, the first
    time as zeros: some blocks at a time."""
    cdef real[BLOCK] room
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t length
    cdef bint prepared = is_prepared(task)
    while done < n:
        length = min(n - done, <Py_ssize_t>(BLOCK if prepared else 4 * BLOCK))
        if prepared:
            prepare(call.around, task, grad + done, p + done, room, start + done, length, True)
            step_range(call, task, room, p + done, target + done, <real>1, start + done, length)
        else:
            step_range(call, task, grad + done, p + done, target + done, scale, start + done, length)
        done += length


cdef inline void load_numbers(const Pass *call, const char *numbers, Kind kind, Py_ssize_t start, Py_ssize_t n,
                              Py_ssize_t whole, float *out) noexcept nogil:
    """Numbers start to start + n, and zeros up to `whole` of them."""
    if kind == SINGLE:
        memcpy(out, <const float *>numbers + start, n * sizeof(float))
    else:
        call.load_halves[kind - FLOAT16](numbers + 2 * start, out, n)
    if n < whole:
        memset(out + n, 0, (whole - n) * sizeof(float))


cdef inline void store_numbers(const Pass *call, const float *x, Kind kind, Py_ssize_t start, Py_ssize_t n,
                               char *numbers) noexcept nogil:
    if kind == SINGLE:
        memcpy(<float *>numbers + start, x, n * sizeof(float))
    else:
        call.store_halves[kind - FLOAT16](x, numbers + 2 * start, n)


cdef inline void step_stored(const Pass *call, const Task *task, const float *grad, const float *p, float *target,
                             float scale, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Elements start to start + n, a block whose state is stored in reduced precision."""
    cdef float[MOST_STORED_SLOTS][STORED_BLOCK] room
    cdef float *state[MOST_STORED_SLOTS]
    cdef char *codes[MOST_STORED_SLOTS]
    cdef float *scales[MOST_STORED_SLOTS]
    cdef uint32_t random[MOST_STORED_SLOTS]
    cdef float keep
    cdef const Constants *c = task.constants
    cdef Py_ssize_t blocks = (task.padded + STORED_BLOCK - 1) // STORED_BLOCK
    cdef int i
    for i in range(call.slots):
        codes[i] = task.state + (i * task.padded + start) * call.formats[i].itemsize
        scales[i] = task.scales + i * blocks + start // STORED_BLOCK
        random[i] = fastnn_random(call.count, i) + <uint32_t>start * <uint32_t>FASTNN_WEYL
    if c.fused:
        keep = base_of(task, target, n, call.add)
        (<rule_stored>c.kernels[0])(grad, p, codes, scales, target, n, c.single, scale, keep, call.add, random)
        return
    for i in range(call.slots):
        state[i] = room[i]
        call.formats[i].load(codes[i], scales[i], state[i], n)
    call_rule(call, task, grad, p, state, target, n, scale, call.add)
    for i in range(call.slots):
        call.formats[i].store(state[i], codes[i], scales[i], n, random[i])


cdef inline void step_staged(const Pass *call, const Task *task, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start to stop of a tensor some of which is kept in reduced precision, computed in float32."""
    cdef float[3 * STAGED + 16] room
    cdef float *grad_room = at_line(&room[0])
    cdef float *target_room = grad_room + STAGED
    cdef float *p_room = target_room + STAGED
    cdef float *state[MOST_SLOTS]
    cdef const float *grad
    cdef const float *p
    cdef float *target
    cdef float scale
    cdef Py_ssize_t grain = call.grain
    cdef Py_ssize_t most = STAGED if call.formats == NULL else STORED_BLOCK
    cdef Py_ssize_t n, whole
    cdef int i
    while start < stop:
        n = min(stop - start, most)
        whole = (n + grain - 1) & -grain
        grad, target = <const float *>task.grad + start, <float *>task.target + start
        scale = <float>scale_of(task)
        if task.grad_kind != SINGLE or n < whole:
            grad = grad_room
            load_numbers(call, task.grad, task.grad_kind, start, n, whole, grad_room)
        if task.kind != SINGLE or n < whole:
            target = target_room
            if call.add:
                load_numbers(call, task.target, task.kind, start, n, whole, target_room)
        p = target
        if not call.add and task.parameter != NULL:
            p = p_room
            load_numbers(call, task.parameter, task.kind, start, n, whole, p_room)
        if is_prepared(task):
            prepare(call.around, task, grad, p, grad_room, start, n, True)
            memset(grad_room + n, 0, (whole - n) * sizeof(float))
            grad, scale = grad_room, 1
        if call.formats == NULL:
            for i in range(call.slots):
                state[i] = <float *>task.state + i * task.padded + start
            call_rule(call, task, grad, p, state, target, whole, scale, call.add)
        else:
            step_stored(call, task, grad, p, target, scale, start, whole)
        if not call.add:
            decay_deltas(task, p, target, n)
        if target == target_room:
            store_numbers(call, target_room, task.kind, start, n, task.target)
        start += n


cdef struct Pieces:
    # of rows, to be stepped together in the first cache
    Py_ssize_t count
    Py_ssize_t elements
    Py_ssize_t at[TOGETHER]     # in the parameter and in each slot
    Py_ssize_t g[TOGETHER]      # in the gradient
    Py_ssize_t length[TOGETHER]


cdef inline void gather(const Pass *call, const char *numbers, Kind kind, const Py_ssize_t *at, const Pieces *pieces,
                        real *out) noexcept nogil:
    """Pieces of numbers, one after another; kind is that of `real` or a half."""
    cdef Py_ssize_t i, k
    cdef const real *x
    if real is float:
        if kind != SINGLE:
            for i in range(pieces.count):
                call.load_halves[kind - FLOAT16](numbers + 2 * at[i], out, pieces.length[i])
                out += pieces.length[i]
            return
    if pieces.count == pieces.elements:
        for i in range(pieces.count):
            out[i] = (<const real *>numbers)[at[i]]
        return
    for i in range(pieces.count):
        x = <const real *>numbers + at[i]
        for k in range(pieces.length[i]):
            out[k] = x[k]
        out += pieces.length[i]


cdef inline void scatter(const Pass *call, const real *x, Kind kind, const Pieces *pieces,
                         char *numbers) noexcept nogil:
    """The way back."""
    cdef Py_ssize_t i, k
    cdef real *out
    if real is float:
        if kind != SINGLE:
            for i in range(pieces.count):
                call.store_halves[kind - FLOAT16](x, numbers + 2 * pieces.at[i], pieces.length[i])
                x += pieces.length[i]
            return
    if pieces.count == pieces.elements:
        for i in range(pieces.count):
            (<real *>numbers)[pieces.at[i]] = x[i]
        return
    for i in range(pieces.count):
        out = <real *>numbers + pieces.at[i]
        for k in range(pieces.length[i]):
            out[k] = x[k]
        x += pieces.length[i]


cdef inline void step_pieces(const Pass *call, const Task *task, const real *like, Pieces *pieces) noexcept nogil:
    """`like` says in which precision."""
    cdef real[TOGETHER] grad
    cdef real[TOGETHER] target
    cdef real[MOST_SLOTS][TOGETHER] room
    cdef real *state[MOST_SLOTS]
    cdef Kind kind = SINGLE if real is float else DOUBLE
    cdef Py_ssize_t n = pieces.elements
    cdef Py_ssize_t whole = (n + BLOCK_STEP - 1) & -BLOCK_STEP
    cdef Py_ssize_t spare = (whole - n) * sizeof(real)
    cdef real scale = <real>scale_of(task)
    cdef int i
    gather(call, task.grad, task.grad_kind, pieces.g, pieces, &grad[0])
    gather(call, task.target, task.kind, pieces.at, pieces, &target[0])
    memset(&target[n], 0, spare)
    for i in range(call.slots):
        state[i] = room[i]
        gather(call, <const char *>(<real *>task.state + i * task.padded), kind, pieces.at, pieces, state[i])
        memset(state[i] + n, 0, spare)
    if is_prepared(task):
        prepare(call.around, task, &grad[0], &target[0], &grad[0], 0, n, False)
        scale = 1
    memset(&grad[n], 0, spare)
    call_rule(call, task, &grad[0], &target[0], state, &target[0], whole, scale, True)
    scatter(call, &target[0], task.kind, pieces, task.target)
    for i in range(call.slots):
        scatter(call, state[i], kind, pieces, <char *>(<real *>task.state + i * task.padded))
    pieces.count = pieces.elements = 0


cdef inline void step_lines(const Pass *call, const Task *task, const real *grad, const real *p, real *target,
                            Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """`step_range` for many elements that are added to the target: those before its first cache line and the last few are
    stepped apart, so that all others are loaded and stored without crossing lines."""
    cdef Pieces pieces
    cdef real *state[MOST_SLOTS]
    cdef real scale = <real>scale_of(task)
    cdef uintptr_t place = <uintptr_t>target
    cdef uintptr_t beside = <uintptr_t>(<real *>task.state + start) if call.slots else place
    cdef Py_ssize_t head = <Py_ssize_t>(-place % FASTNN_LINE // sizeof(real))
    cdef Py_ssize_t tail = (n - head) % BLOCK_STEP
    cdef int i
    if head == 0 or place % FASTNN_LINE != beside % FASTNN_LINE:
        step_range(call, task, grad, p, target, scale, start, n)
        return
    pieces.count, pieces.elements = 2, head + tail
    pieces.at[0], pieces.length[0] = start, head
    pieces.at[1], pieces.length[1] = start + n - tail, tail
    pieces.g[0], pieces.g[1] = pieces.at[0], pieces.at[1]
    step_pieces(call, task, target, &pieces)
    for i in range(call.slots):
        state[i] = <real *>task.state + i * task.padded + start + head
    call_rule(call, task, grad + head, p + head, state, target + head, n - head - tail, scale, True)


cdef inline void step_tensor(const Pass *call, const Task *task, real *target, Py_ssize_t start,
                             Py_ssize_t n) noexcept nogil:
    """n elements of a tensor of float32 or float64 from `start` on."""
    cdef const real *grad = <const real *>task.grad + start
    cdef const real *p = target + start
    cdef real scale = <real>scale_of(task)
    if not call.add:                            # where there is no parameter, nothing reads it
        p = (<const real *>task.parameter if task.parameter != NULL else <const real *>task.grad) + start
    if is_prepared(task) or not call.add:
        step_by_blocks(call, task, grad, p, target + start, scale, start, n)
    elif n < LONG:
        step_range(call, task, grad, p, target + start, scale, start, n)
    else:
        step_lines(call, task, grad, p, target + start, start, n)


cdef inline void step_rows(const Pass *call, const Task *task, real *target, Py_ssize_t start,
                           Py_ssize_t stop) noexcept nogil:
    """Elements start to stop of the rows that the gradient has.

    Long rows are stepped where they lie, but for the last elements, behind which the next row begins. These, short rows
    and what has to be converted or prepared is stepped in pieces.
    """
    cdef Pieces pieces
    cdef real *state[MOST_SLOTS]
    cdef Py_ssize_t row = start // task.width
    cdef Py_ssize_t offset = start - row * task.width
    cdef bint direct = task.width >= LONG_ROW and not task.staged and not is_prepared(task)
    cdef real scale = <real>scale_of(task)
    cdef Py_ssize_t n, at, done, length
    cdef int i
    pieces.count = pieces.elements = 0
    while start < stop:
        n = min(task.width - offset, stop - start)
        at = task.rows[row] * task.width + offset
        done = 0
        if direct:
            done = n & -BLOCK_STEP
            for i in range(call.slots):
                state[i] = <real *>task.state + i * task.padded + at
            call_rule(call, task, <const real *>task.grad + start, target + at, state, target + at, done, scale, True)
        while done < n:
            length = min(n - done, TOGETHER - pieces.elements)
            pieces.at[pieces.count], pieces.g[pieces.count] = at + done, start + done
            pieces.length[pieces.count] = length
            pieces.count += 1
            pieces.elements += length
            done += length
            if pieces.elements == TOGETHER:
                step_pieces(call, task, target, &pieces)
        start += n
        row += 1
        offset = 0
    if pieces.elements:
        step_pieces(call, task, target, &pieces)


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
        if task.rows != NULL:
            if task.kind == DOUBLE:
                step_rows(call, task, <double *>task.target, low, high)
            else:
                step_rows(call, task, <float *>task.target, low, high)
        elif task.staged:
            step_staged(call, task, low, high)
        elif task.kind == SINGLE:
            step_tensor(call, task, <float *>task.target, low, high - low)
        else:
            step_tensor(call, task, <double *>task.target, low, high - low)
        start = last
    fastnn_fp_leave(state)
