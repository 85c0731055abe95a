# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Activations of x and a parameter that is learned, one number or one a channel: f(x, parameter), and in one pass back the
gradient of x and that of the parameter.

The latter is a sum of blocks whose number the shape alone decides: its bits do not depend on the number of threads.
"""
import numpy as np

cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.arrays cimport apart, as_array, checked_out, contiguous, copied, fill, operand, result_dtype
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.memory cimport new_result
from fastnn.core.pair_kernels cimport PAIR_PARAMETERS, pair_double, pair_float
from fastnn.core.streaming cimport at_line
from fastnn.core.threads cimport share_watched, threads_for
from fastnn.core.vecmath cimport real
from fastnn.core.levels import pairs

cnp.import_array()

cdef enum:
    BLOCK = 512             # elements that stay in the first-level cache
    ROOM = 528              # and what moves them to the beginning of a cache line
    LANES = 8               # sums of one channel's elements
    MOST_PARTS = 64         # whose gradients of the parameter are summed apart
    LEAST_PART = 8          # blocks
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef Py_ssize_t UNIT = pairs.STEP

cdef struct Work:
    uintptr_t kernel
    bint single
    bint back
    const char *x
    const char *g           # back alone
    const char *parameter
    char *out
    double *sums            # of each part, back alone
    Py_ssize_t n
    Py_ssize_t channels
    Py_ssize_t inner        # elements, one after another, of one channel
    Py_ssize_t part         # elements


cdef inline void spread(const Work *work, const real *parameter, real *room, Py_ssize_t start,
                        Py_ssize_t n) noexcept nogil:
    """The parameter of each of n elements."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t many, i
    cdef Py_ssize_t channel = start // work.inner % work.channels
    if work.inner == 1:
        while at < n:
            many = min(work.channels - channel, n - at)
            memcpy(room + at, parameter + channel, many * sizeof(real))
            at += many
            channel = 0
        return
    many = work.inner - start % work.inner
    while at < n:
        many = min(many, n - at)
        for i in range(many):
            room[at + i] = parameter[channel]
        at += many
        many = work.inner
        channel = channel + 1 if channel + 1 < work.channels else 0


cdef inline double total(const real *a, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] sums
    cdef Py_ssize_t i, k
    for k in range(LANES):
        sums[k] = 0
    for i in range(0, n & -8, 8):
        for k in range(LANES):
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


cdef inline const real *made_up(const real *a, real *room, Py_ssize_t n, Py_ssize_t whole) noexcept nogil:
    """n elements, with zeros behind them up to `whole`."""
    if n == whole:
        return a
    memcpy(room, a, n * sizeof(real))
    memset(room + n, 0, (whole - n) * sizeof(real))
    return room


cdef inline void run_elements(const Work *work, const real *x, Py_ssize_t start, Py_ssize_t stop,
                              double *sums) noexcept nogil:
    cdef real[ROOM] rooms[5]
    cdef real *values = at_line(&rooms[0][0])
    cdef real *slopes = at_line(&rooms[1][0])
    cdef real *own = at_line(&rooms[2][0])
    cdef double[PAIR_PARAMETERS] none
    cdef const real *a
    cdef const real *g = NULL
    cdef Py_ssize_t n, whole, i
    none[0] = none[1] = 0
    for i in range(BLOCK):
        own[i] = (<const real *>work.parameter)[0]
    while start < stop:
        n = min(<Py_ssize_t>BLOCK, stop - start)
        whole = (n + UNIT - 1) & -UNIT
        if work.channels > 1:
            spread(work, <const real *>work.parameter, own, start, n)
        a = made_up(x + start, &rooms[3][0], n, whole)
        if work.back:
            g = made_up(<const real *>work.g + start, &rooms[4][0], n, whole)
        if real is float:
            (<pair_float>work.kernel)(work.back, a, own, g, values, slopes, whole, <const float *>none)
        else:
            (<pair_double>work.kernel)(work.back, a, own, g, values, slopes, whole, none)
        memcpy(<real *>work.out + start, values, n * sizeof(real))
        if work.back:
            add_up(work, slopes, sums, start, n)
        start += n


cdef void run(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start to stop; back, parts."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t part
    cdef double *sums
    if not work.back:
        if work.single:
            run_elements(work, <const float *>work.x, start, stop, NULL)
        else:
            run_elements(work, <const double *>work.x, start, stop, NULL)
    else:
        for part in range(start, stop):
            sums = work.sums + part * work.channels
            if work.single:
                run_elements(work, <const float *>work.x, part * work.part, min(work.n, (part + 1) * work.part), sums)
            else:
                run_elements(work, <const double *>work.x, part * work.part, min(work.n, (part + 1) * work.part), sums)
    fastnn_fp_leave(state)


cdef int share(Work *work, Py_ssize_t count, Py_ssize_t grain) except -1:
    cdef int threads
    if work.n < WITH_GIL:
        run(work, 0, count)
        return 0
    threads = threads_for(work.n if work.single else 2 * work.n)
    with nogil:
        return share_watched(run, work, count, grain, threads, work.n)


cdef cnp.ndarray look_at(Work *work, tuple kernels, cnp.ndarray x, object parameter, int axis, object computed):
    """Which element has which number: the parameter, as a contiguous vector."""
    cdef int axes = cnp.PyArray_NDIM(x)
    cdef int i
    cdef cnp.ndarray p = as_array(parameter, "the parameter")
    result_dtype(p)
    if cnp.PyArray_NDIM(p) > 1:
        raise ValueError(f"the parameter must be a number or have one axis, not the shape {(<object>p).shape}")
    p = copied(p, computed)
    work.single = computed == np.float32
    work.kernel = kernels[0 if work.single else 1]
    work.channels = cnp.PyArray_SIZE(p)
    work.parameter = cnp.PyArray_BYTES(p)
    work.n = cnp.PyArray_SIZE(x)
    work.inner = 1
    if work.channels != 1:
        if not -axes <= axis < axes:
            raise ValueError(f"x has {axes} axes, and no axis {axis} with a parameter for each channel")
        axis += axes * (axis < 0)
        if cnp.PyArray_DIM(x, axis) != work.channels:
            raise ValueError(f"axis {axis} of x has {cnp.PyArray_DIM(x, axis)} channels, the parameter {work.channels}")
        for i in range(axis + 1, axes):
            work.inner *= cnp.PyArray_DIM(x, i)
    return p


cdef cnp.ndarray result_of(object out, cnp.ndarray given, object computed, cnp.ndarray x, cnp.ndarray g):
    """Where results can be written at once: `given` if it lies row after row and apart from what is read, or new."""
    if (given is not None and given.dtype == computed and contiguous(given, cnp.PyArray_TYPE(x), cnp.NPY_ARRAY_WRITEABLE)
            and (given is x or apart(given, x)) and (g is None or given is g or apart(given, g))):
        return given
    return new_result(x, cnp.PyArray_TYPE(x), False)


cdef object handed_out(cnp.ndarray result, cnp.ndarray given, object dtype, object out):
    if given is not None:
        if given is not result:
            fill(given, result)
        return out
    if result.dtype != dtype:
        given = np.empty((<object>result).shape, dtype)
        fill(given, result)
        result = given
    return result[()] if cnp.PyArray_NDIM(result) == 0 else result


def forward(tuple kernels not None, x, parameter, int axis, out=None):
    """f(x, parameter), in x's dtype; the parameter is a number, or has one for each place along `axis`."""
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef object dtype = result_dtype(a)
    cdef object computed = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    cdef cnp.ndarray given = None if out is None else checked_out(out, a, dtype, "out")
    cdef cnp.ndarray p, result
    a = copied(a, computed)
    p = look_at(&work, kernels, a, parameter, axis, computed)
    result = result_of(out, given, computed, a, None)
    work.back = False
    work.x, work.g, work.out, work.sums = cnp.PyArray_BYTES(a), NULL, cnp.PyArray_BYTES(result), NULL
    share(&work, work.n, BLOCK)
    return handed_out(result, given, dtype, out)


def backward(tuple kernels not None, x, parameter, int axis, grad, out=None):
    """(the gradient of x, that of the parameter), given the gradient of f(x, parameter). The latter is of the parameter's
    shape and dtype.
    """
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef object dtype = result_dtype(a)
    cdef object computed = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    cdef cnp.ndarray g = operand(grad, a, "grad")
    cdef cnp.ndarray given = None if out is None else checked_out(out, a, dtype, "out")
    cdef cnp.ndarray p, result, sums
    cdef Py_ssize_t parts, blocks
    a, g = copied(a, computed), copied(g, computed)
    p = look_at(&work, kernels, a, parameter, axis, computed)
    result = result_of(out, given, computed, a, g)
    blocks = (work.n + BLOCK - 1) // BLOCK
    parts = max(1, min(<Py_ssize_t>MOST_PARTS, blocks // LEAST_PART))
    work.part = max(1, (blocks + parts - 1) // parts) * BLOCK
    parts = (work.n + work.part - 1) // work.part
    sums = np.zeros((parts, work.channels))
    work.back = True
    work.x, work.g, work.out = cnp.PyArray_BYTES(a), cnp.PyArray_BYTES(g), cnp.PyArray_BYTES(result)
    work.sums = <double *>cnp.PyArray_DATA(sums)
    share(&work, parts, 1)
    like = np.asarray(parameter)
    learned = sums.sum(axis=0).reshape(like.shape).astype(result_dtype(like))
    return handed_out(result, given, dtype, out), learned
