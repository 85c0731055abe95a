# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Activations of x and parameters that are learned, one number or one a channel: f(x; p), and in one pass back the gradient
of x and those of the parameters. Instead of one a channel, a parameter may be random, another number for each element.
A gated unit of (a, b) that learns is such a function, x being a and the first parameter b, an array like a.

The gradient of a parameter is a sum of blocks whose number the shape alone decides: its bits do not depend on the number
of threads. Random numbers are those of masks.h, word i of stream RANDOM_STREAM for element i.
"""
import numpy as np

cimport numpy as cnp
from libc.stdint cimport uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.arrays cimport (DOUBLE, SINGLE, Kind, as_array, checked_out, contiguous, copied, fill, operand,
                                  result_dtype)
from fastnn.core.columns cimport WORD_BLOCK, random_words
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport MOST_PARAMETERS
from fastnn.core.memory cimport new_result
from fastnn.core.operands cimport (BLOCK, ROOM, Form, Operand, fits, gathered, lay_out,
                                   lie_alike, place_of, put, spans_meet, steps_over_itself, target, MOST_AXES)
from fastnn.core.pair_kernels cimport LEARNED_BLOCK, MOST_LEARNED, learned_double, learned_float
from fastnn.core.streaming cimport at_line
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real
from fastnn.core.levels import layers, pairs, rules

cnp.import_array()

cdef enum:
    LANES = 8               # sums of one channel's elements
    NARROW = 128            # elements, one after another, of one channel: fewer are not worth a call
    MOST_PARTS = 64         # whose gradients of the parameters are summed apart
    LEAST_PART = 8          # blocks
    RANDOM_STREAM = 2
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef Py_ssize_t UNIT = pairs.STEP
cdef uintptr_t[2][2] halves = [rules.HALVES["float16"], rules.HALVES["bfloat16"]]   # what loads, and what stores
cdef random_words words_of = <random_words><uintptr_t>layers.RANDOM_WORDS

cdef struct Work:
    uintptr_t kernel
    bint single
    bint back
    bint each               # every element has parameters of its own
    bint random
    bint in_rooms           # results do not go to their places at once: an operand may lie there
    int own                 # 1 where the first parameter is an array like x, with such a gradient, else 0
    int count               # of parameters
    int constants           # numbers that stand behind them, for all channels
    double constant[MOST_PARAMETERS]
    uint64_t key
    double low, width       # of random numbers
    const char *parameters  # of one channel after another, all of the first parameter before the second
    double *sums            # of each part, likewise; back alone
    Py_ssize_t n
    Py_ssize_t channels
    Py_ssize_t inner        # elements, one after another, of one channel
    Py_ssize_t part         # elements
    Form form
    # x, g or nothing, the result or the gradient of x; where the first parameter is like x, it and, back, its gradient
    Operand operands[5]


cdef inline void spread(const Work *work, const real *p, real *room, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """A parameter of each of n elements."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t many, i
    cdef Py_ssize_t channel = start // work.inner % work.channels
    if work.inner == 1:
        while at < n:
            many = min(work.channels - channel, n - at)
            memcpy(room + at, p + channel, many * sizeof(real))
            at += many
            channel = 0
        return
    many = work.inner - start % work.inner
    while at < n:
        many = min(many, n - at)
        for i in range(many):
            room[at + i] = p[channel]
        at += many
        many = work.inner
        channel = channel + 1 if channel + 1 < work.channels else 0


cdef inline void draw(const Work *work, real *room, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """The random number of each of n elements, `start` a multiple of BLOCK."""
    cdef uint32_t words[WORD_BLOCK]
    cdef Py_ssize_t i, at = 0
    while at < n:
        words_of(work.key, <uint64_t>(start + at) // 4, RANDOM_STREAM, words)
        for i in range(WORD_BLOCK):
            room[at + i] = <real>(work.low + work.width * (<double>words[i] * 2.3283064365386963e-10))      # 2^-32
        at += WORD_BLOCK


cdef inline double total(const real *a, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] sums
    cdef Py_ssize_t i, k
    for k in range(8):
        sums[k] = 0
    for i in range(0, n & -8, 8):
        for k in range(8):
            sums[k] += <double>a[i + k]
    for i in range(n & -8, n):
        sums[i & 7] += <double>a[i]
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))


cdef inline void add_up(const Work *work, const real *a, double *sums, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Add n elements to the sums of their channels."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t many, i
    cdef Py_ssize_t channel = start // work.inner % work.channels
    if work.channels == 1:
        sums[0] += total(a, n)
    elif work.inner == 1:
        while at < n:
            many = min(work.channels - channel, n - at)
            for i in range(many):
                sums[channel + i] += <double>a[at + i]
            at += many
            channel = 0
    else:
        many = work.inner - start % work.inner
        while at < n:
            many = min(many, n - at)
            sums[channel] += total(a + at, many)
            at += many
            many = work.inner
            channel = channel + 1 if channel + 1 < work.channels else 0


cdef inline void call(const Work *work, const real *x, const real *p, const real *g, real *out, real *dp,
                      Py_ssize_t n) noexcept nogil:
    if real is float:
        (<learned_float>work.kernel)(work.back, work.each, x, p, g, out, dp, n)
    else:
        (<learned_double>work.kernel)(work.back, work.each, x, p, g, out, dp, n)


cdef inline void run_block(const Work *work, const real *p, real *gradients, Py_ssize_t start, Py_ssize_t n,
                           double *sums) noexcept nogil:
    """n elements, at most BLOCK; p holds the parameters as the kernel takes them."""
    cdef real[ROOM] rooms[3]
    cdef const Operand *operands = &work.operands[0]
    cdef const Form *form = &work.form
    cdef Py_ssize_t whole = (n + UNIT - 1) & -UNIT, k
    cdef const real *x = gathered(form, &operands[0], at_line(&rooms[0][0]), start, n, whole)
    cdef const real *g = NULL
    cdef real *room = at_line(&rooms[2][0])
    cdef real *out = target(form, &operands[2], room, start, n, whole, work.in_rooms)
    if work.back:
        g = gathered(form, &operands[1], at_line(&rooms[1][0]), start, n, whole)
    call(work, x, p, g, out, gradients, whole)
    if out == room:
        put(form, &operands[2], room, start, n)
    if work.back and work.own:
        put(form, &operands[4], gradients, start, n)
    if sums != NULL:
        for k in range(work.own, work.count):
            add_up(work, gradients + k * LEARNED_BLOCK, sums + (k - work.own) * work.channels, start, n)


cdef inline bint all_straight(const Work *work) noexcept nogil:
    return (work.form.axes == 1 and work.operands[0].straight and work.operands[2].straight
            and work.operands[0].load == NULL and work.operands[2].load == NULL)


cdef inline void run_elements(const Work *work, const real *parameters, Py_ssize_t start, Py_ssize_t stop,
                              double *sums) noexcept nogil:
    """Elements start to stop, the parameters beside each or, where one channel goes on for long, once."""
    cdef real[MOST_LEARNED * LEARNED_BLOCK + MOST_PARAMETERS + 16] own_room
    cdef real[MOST_LEARNED * LEARNED_BLOCK + 16] gradient_room
    cdef real *own = at_line(&own_room[0])
    cdef real *gradients = at_line(&gradient_room[0])
    cdef Py_ssize_t index[MOST_AXES]
    cdef const real *like_x
    cdef bint direct = not (work.back or work.each or work.in_rooms) and all_straight(work)
    cdef Py_ssize_t n, channel, k
    for k in range(work.constants):
        own[work.count * (LEARNED_BLOCK if work.each else 1) + k] = <real>work.constant[k]
    while start < stop:
        n = stop - start
        if work.each:
            n = min(n, <Py_ssize_t>BLOCK)
            for k in range(work.count):
                if work.random:
                    draw(work, own + k * LEARNED_BLOCK, start, n)
                elif k < work.own:
                    like_x = gathered(&work.form, &work.operands[3], own, start, n, BLOCK)
                    if like_x != own:
                        memcpy(own, like_x, n * sizeof(real))
                else:
                    spread(work, parameters + (k - work.own) * work.channels, own + k * LEARNED_BLOCK, start, n)
                    memset(own + k * LEARNED_BLOCK + n, 0, (BLOCK - n) * sizeof(real))
        else:
            channel = 0
            if work.channels > 1:
                n = min(n, work.inner - start % work.inner)
                channel = start // work.inner % work.channels
            for k in range(work.count):
                own[k] = parameters[k * work.channels + channel]
            if direct and n >= UNIT:
                n &= -UNIT
                call(work, <const real *>place_of(&work.form, &work.operands[0], start, index), own, <const real *>NULL,
                     <real *>place_of(&work.form, &work.operands[2], start, index), <real *>NULL, n)
                start += n
                continue
            n = min(n, <Py_ssize_t>BLOCK)
        run_block(work, own, gradients, start, n, sums)
        start += n


cdef void run(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start to stop; where gradients are summed, parts."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t part, at, end
    cdef double *sums
    if work.sums == NULL:
        if work.single:
            run_elements(work, <const float *>work.parameters, start, stop, NULL)
        else:
            run_elements(work, <const double *>work.parameters, start, stop, NULL)
    else:
        for part in range(start, stop):
            sums = work.sums + part * (work.count - work.own) * work.channels
            at, end = part * work.part, min(work.n, (part + 1) * work.part)
            if work.single:
                run_elements(work, <const float *>work.parameters, at, end, sums)
            else:
                run_elements(work, <const double *>work.parameters, at, end, sums)
    fastnn_fp_leave(state)


cdef int share(Work *work, Py_ssize_t count, Py_ssize_t grain) except -1:
    cdef int threads
    if work.n < WITH_GIL:
        run(work, 0, count)
        return 0
    threads = threads_for(work.n if work.single else 2 * work.n)
    with nogil:
        return share_cancellable(run, work, count, grain, threads, work.n)


cdef cnp.ndarray rounded(cnp.ndarray p, object computed):
    """A parameter in the dtype that is computed in, one number after another."""
    cdef cnp.ndarray found
    cdef Py_ssize_t i
    if not (computed == np.float32 and contiguous(p, cnp.NPY_DOUBLE, 0)):
        return copied(p, computed)
    found = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(p), cnp.PyArray_DIMS(p), cnp.NPY_FLOAT, 0)
    for i in range(cnp.PyArray_SIZE(p)):            # NumPy's cast takes as long as a pass over 10,000 elements
        (<float *>cnp.PyArray_DATA(found))[i] = <float>(<const double *>cnp.PyArray_DATA(p))[i]
    return found


cdef cnp.ndarray together(tuple parameters, Py_ssize_t *channels, object computed):
    """The parameters as rows of one matrix; those that have one number have it for every channel."""
    cdef cnp.ndarray p
    cdef list found = []
    channels[0] = 1
    if not 0 < len(parameters) <= MOST_LEARNED:
        raise ValueError(f"there must be 1 to {MOST_LEARNED} parameters, not {len(parameters)}")
    for each in parameters:
        p = as_array(each, "the parameter")
        result_dtype(p)
        if cnp.PyArray_NDIM(p) > 1:
            raise ValueError(f"the parameter must be a number or have one axis, not the shape {(<object>p).shape}")
        if cnp.PyArray_SIZE(p) != 1:
            if channels[0] != 1 and cnp.PyArray_SIZE(p) != channels[0]:
                raise ValueError(f"one parameter has {channels[0]} channels, another {cnp.PyArray_SIZE(p)}")
            channels[0] = cnp.PyArray_SIZE(p)
        found.append(p)
    if len(found) == 1:
        return rounded(<cnp.ndarray>found[0], computed)
    rows = np.empty((len(found), channels[0]), computed)
    for row, each in zip(rows, found):
        fill(row, np.broadcast_to(each.reshape(-1), row.shape))
    return rows


cdef int look_at(Work *work, tuple kernels, cnp.ndarray x, cnp.ndarray p, int count, Py_ssize_t channels, int axis,
                 bint single, tuple constants) except -1:
    """Which element has which parameters."""
    cdef int axes = cnp.PyArray_NDIM(x)
    cdef int i
    if len(constants) > MOST_PARAMETERS:
        raise ValueError(f"a kernel has at most {MOST_PARAMETERS} constants, not {len(constants)}")
    work.constants = len(constants)
    for i in range(work.constants):
        work.constant[i] = constants[i]
    work.single = single
    work.kernel = kernels[0 if single else 1]
    work.own, work.count, work.channels = 0, count, channels
    work.parameters = cnp.PyArray_BYTES(p)
    work.random = False
    work.sums = NULL
    work.n = cnp.PyArray_SIZE(x)
    work.inner = 1
    if channels != 1:
        if not -axes <= axis < axes:
            raise ValueError(f"x has {axes} axes, and no axis {axis} with a parameter for each channel")
        axis += axes * (axis < 0)
        if cnp.PyArray_DIM(x, axis) != channels:
            raise ValueError(f"axis {axis} of x has {cnp.PyArray_DIM(x, axis)} channels, the parameter {channels}")
        for i in range(axis + 1, axes):
            work.inner *= cnp.PyArray_DIM(x, i)
    work.each = channels != 1 and work.inner < NARROW
    return 0


cdef inline bint in_the_way(cnp.ndarray out, cnp.ndarray a) noexcept:
    """Whether a block of results may be written where one that is still to be read lies."""
    return a is not None and spans_meet(out, a) and not lie_alike(out, a)


cdef cnp.ndarray loadable(cnp.ndarray a, object computed):
    return a if a is None or fits(a, SINGLE if computed == np.float32 else DOUBLE) else copied(a, computed)


cdef object computed_in(object dtype):
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


cdef object applied(Work *work, cnp.ndarray x, cnp.ndarray g, object dtype, object out, cnp.ndarray b=None,
                    cnp.ndarray b_out=None):
    """Run over x and, back, g: the result, in `out` or a new array row after row. The first parameter may be b, an array
    like x, whose gradient goes to b_out, an array of its shape that shares no memory with others."""
    cdef object computed = computed_in(dtype)
    cdef cnp.ndarray given = None if out is None else checked_out(out, x, dtype, "out")
    cdef cnp.ndarray result = given
    cdef Py_ssize_t parts
    cdef bint back = g is not None
    x, g, b = loadable(x, computed), loadable(g, computed), loadable(b, computed)
    if (result is None or not fits(result, SINGLE if work.single else DOUBLE) or steps_over_itself(result)
            or in_the_way(result, x) or in_the_way(result, g) or in_the_way(result, b)):
        if dtype == computed:
            result = new_result(x, computed.num, False)
        else:
            result = np.empty((<object>x).shape, dtype)
    work.back = back
    work.in_rooms = spans_meet(result, x) or back and spans_meet(result, g) or b is not None and spans_meet(result, b)
    if not lay_out(&work.form, &work.operands[0], (x, g, result, b, b_out), cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), halves):
        x, g = copied(x, x.dtype), None if g is None else copied(g, g.dtype)
        b = None if b is None else copied(b, b.dtype)
        if not lay_out(&work.form, &work.operands[0], (x, g, result, b, b_out), cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x),
                       halves):
            raise ValueError("out has too many axes with gaps between them")
    if work.sums != NULL:
        share(work, (work.n + work.part - 1) // work.part, 1)
    else:
        share(work, work.n, BLOCK)
    if given is not None:
        if given is not result:
            fill(given, result)
        return out
    return result[()] if cnp.PyArray_NDIM(result) == 0 else result


def forward(tuple kernels not None, x, tuple parameters not None, int axis, out=None, tuple constants not None=()):
    """f(x; parameters), in x's dtype; each parameter is a number, or has one for each place along `axis`. constants are
    numbers that the kernel reads behind them.
    """
    return of_operand(kernels, x, parameters, axis, out, constants, False)


def second(tuple kernels not None, x, tuple parameters not None, int axis, out=None, tuple constants not None=()):
    """f''(x; parameters), of kernels that are asked for it alone, with the parameters beside each element."""
    return of_operand(kernels, x, parameters, axis, out, constants, True)


cdef object of_operand(tuple kernels, object x, tuple parameters, int axis, object out, tuple constants, bint each):
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef object dtype = result_dtype(a)
    cdef object computed = computed_in(dtype)
    cdef Py_ssize_t channels
    cdef cnp.ndarray p = together(parameters, &channels, computed)
    look_at(&work, kernels, a, p, len(parameters), channels, axis, computed == np.float32, constants)
    if each:
        work.each = True
        if channels == 1:
            work.inner = max(<Py_ssize_t>1, work.n)
    return applied(&work, a, None, dtype, out)


def backward(tuple kernels not None, x, tuple parameters not None, int axis, grad, out=None, tuple constants not None=()):
    """(the gradient of x, those of the parameters as a tuple), given the gradient of f(x; parameters). The latter have the
    shape and dtype of each parameter.
    """
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef object dtype
    cdef cnp.ndarray g = operand(grad, a, "grad")
    dtype = result_dtype(a)                 # grad's __array__ may have done anything, to x as well
    cdef object computed = computed_in(dtype)
    cdef Py_ssize_t channels
    cdef cnp.ndarray p = together(parameters, &channels, computed)
    cdef cnp.ndarray sums
    cdef int count = len(parameters)
    look_at(&work, kernels, a, p, count, channels, axis, computed == np.float32, constants)
    sums = room_for_sums(&work, count)
    dx = applied(&work, a, g, dtype, out)
    return dx, gradients_of(parameters, sums)


def pair_forward(tuple kernels not None, a, b, tuple parameters not None, int axis, out=None, tuple constants not None=()):
    """f(a, b; parameters) of arrays of one shape, by the kernel of a function of a whose first parameter is b."""
    cdef Work work
    cdef cnp.ndarray first = as_array(a, "x")
    cdef object dtype = result_dtype(first)
    cdef cnp.ndarray p = with_array(&work, kernels, first, parameters, axis, dtype, constants)
    return applied(&work, first, None, dtype, out, operand(b, first, "gate"))


def pair_backward(tuple kernels not None, a, b, tuple parameters not None, int axis, grad, tuple constants not None=()):
    """(the gradients of a and b, those of the parameters as a tuple), given the gradient of f(a, b; parameters)."""
    cdef Work work
    cdef cnp.ndarray first = as_array(a, "x")
    cdef cnp.ndarray second = operand(b, first, "gate")
    cdef cnp.ndarray g = operand(grad, first, "grad")
    cdef object dtype = result_dtype(first)
    cdef cnp.ndarray p = with_array(&work, kernels, first, parameters, axis, dtype, constants)
    cdef cnp.ndarray sums = room_for_sums(&work, len(parameters))
    cdef cnp.ndarray db = np.empty((<object>first).shape, dtype)
    da = applied(&work, first, g, dtype, None, second, db)
    return da, db[()] if cnp.PyArray_NDIM(db) == 0 else db, gradients_of(parameters, sums)


cdef cnp.ndarray with_array(Work *work, tuple kernels, cnp.ndarray a, tuple parameters, int axis, object dtype, tuple constants):
    """Look at a function whose first parameter is an array like a; what the others are, to be kept."""
    cdef object computed = computed_in(dtype)
    cdef Py_ssize_t channels
    cdef cnp.ndarray p = together(parameters, &channels, computed)
    look_at(work, kernels, a, p, len(parameters) + 1, channels, axis, computed == np.float32, constants)
    work.own, work.each = 1, True
    if channels == 1:
        work.inner = max(<Py_ssize_t>1, work.n)
    return p


cdef cnp.ndarray room_for_sums(Work *work, Py_ssize_t count):
    """Of each part, for the gradients of so many parameters."""
    cdef Py_ssize_t blocks = (work.n + BLOCK - 1) // BLOCK
    cdef Py_ssize_t parts = max(1, min(<Py_ssize_t>MOST_PARTS, blocks // LEAST_PART))
    cdef cnp.npy_intp[3] dims
    cdef cnp.ndarray sums
    work.part = max(1, (blocks + parts - 1) // parts) * BLOCK
    parts = (work.n + work.part - 1) // work.part
    dims[0], dims[1], dims[2] = parts, count, work.channels
    sums = cnp.PyArray_ZEROS(3, dims, cnp.NPY_DOUBLE, 0)
    work.sums = <double *>cnp.PyArray_DATA(sums)
    return sums


cdef tuple gradients_of(tuple parameters, cnp.ndarray sums):
    """The sums of all parts, in the shape and dtype of each parameter."""
    cdef list learned = []
    cdef int k
    for k in range(len(parameters)):
        learned.append(gradient_of(sums, k, np.asarray(parameters[k])))
    return tuple(learned)


cdef cnp.ndarray gradient_of(cnp.ndarray sums, int k, cnp.ndarray like):
    """The gradient of parameter k, of the shape and dtype of `like`: the sum of what the parts have."""
    cdef cnp.ndarray found = cnp.PyArray_ZEROS(cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), cnp.NPY_DOUBLE, 0)
    cdef const double *of_parts = <const double *>cnp.PyArray_DATA(sums)
    cdef double *total = <double *>cnp.PyArray_DATA(found)
    cdef Py_ssize_t parts = cnp.PyArray_DIM(sums, 0), count = cnp.PyArray_DIM(sums, 1), channels = cnp.PyArray_DIM(sums, 2)
    cdef Py_ssize_t one = cnp.PyArray_SIZE(like) == 1, part, channel
    cdef double sum_
    for channel in range(channels):
        sum_ = 0
        for part in range(parts):
            sum_ += of_parts[(part * count + k) * channels + channel]
        total[0 if one else channel] += sum_
    dtype = result_dtype(like)
    return found if dtype == np.float64 else copied(found, dtype)


def random_forward(tuple kernels not None, x, key, double low, double high, out=None):
    """f(x; p), p another random number from `low` to `high` for each element, a function of the key, a whole number below
    2^64, and the element's place in C order alone.
    """
    return random_pass(kernels, x, key, low, high, None, out)


def random_backward(tuple kernels not None, x, key, double low, double high, grad, out=None):
    """The gradient of x, given that of `random_forward` with the same key."""
    if grad is None:
        raise TypeError("grad is wanted")
    return random_pass(kernels, x, key, low, high, grad, out)


cdef object random_pass(tuple kernels, object x, object key, double low, double high, object grad, object out):
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef cnp.ndarray g = None if grad is None else operand(grad, a, "grad")
    cdef object dtype = result_dtype(a)
    look_at(&work, kernels, a, a, 1, 1, 0, dtype != np.float64, ())
    work.parameters = NULL
    work.each = work.random = True
    work.key, work.low, work.width = key, low, high - low
    return applied(&work, a, g, dtype, out)
