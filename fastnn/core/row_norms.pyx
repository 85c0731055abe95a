# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""LayerNorm (Ba et al. 2016, arXiv 1607.06450) and RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467) along the last
axis: one pass over memory forward, one back.

The gradients of gamma and beta are sums over blocks of rows, whose number the shape alone decides: the bits do not depend
on the number of threads.
"""
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memset

from fastnn.core.levels import layers
from fastnn.core.processor import last_level_cache

from fastnn.core.arrays cimport apart, contiguous, copied
from fastnn.core.columns cimport floating_array, is_floating, itemsize, norm_rows_back_loop, norm_rows_loop, \
    widened_loop
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.memory cimport new_result
from fastnn.core.streaming cimport FASTNN_LINE
from fastnn.core.threads cimport share_cancellable, threads_for

cnp.import_array()

cdef enum:
    GRAIN = 512             # elements; there are to be so many that the first ones tell how long the others take
    MOST_BLOCKS = 32        # of rows whose gradients of gamma and beta are summed apart
    LEAST_BLOCK = 4096      # elements
    LEAST_ROWS = 8          # of a block, or 16 where there are two such blocks: its sums take as much memory as two rows
    ROWS_TOGETHER = 4       # FASTNN_NORM_ROWS
    TOTALLED = 512          # columns that a thread adds the blocks' sums of
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef Py_ssize_t stream_above = last_level_cache()      # bytes of what a pass back reads and writes

cdef widened_loop widened = <widened_loop><uintptr_t>layers.WIDENED
cdef int place
cdef norm_rows_loop[2] forwards         # for double, for float
cdef norm_rows_back_loop[2] backwards
for place in range(2):
    forwards[place] = <norm_rows_loop><uintptr_t>layers.ROW_NORMS["forward"][1 - place]
    backwards[place] = <norm_rows_back_loop><uintptr_t>layers.ROW_NORMS["backward"][1 - place]

cdef struct Work:
    bint single
    bint centred
    double eps
    const char *x
    const char *g
    const double *gamma
    const double *beta      # or NULL
    char *out
    double *statistics
    double *sums            # of each block: those for gamma, then those for beta
    bint shifted            # whether there are any for beta
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t block        # rows
    Py_ssize_t blocks
    bint streaming
    char *dgamma
    char *dbeta             # or NULL


cdef void run(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Rows start to stop."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t at = start * work.columns * itemsize(work.single)
    forwards[work.single](work.x + at, work.gamma, work.beta, work.out + at, work.statistics + 2 * start, stop - start,
                          work.columns, work.eps, work.centred)
    fastnn_fp_leave(state)


cdef void run_back(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Blocks start to stop."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t block, row, at
    cdef double *sums
    for block in range(start, stop):
        row = block * work.block
        at = row * work.columns * itemsize(work.single)
        sums = work.sums + block * work.columns * (1 + work.shifted)
        memset(sums, 0, work.columns * (1 + work.shifted) * sizeof(double))
        backwards[work.single](work.g + at, work.x + at, work.gamma, work.statistics + 2 * row, work.out + at, sums,
                               sums + work.columns if work.shifted else NULL, min(work.block, work.rows - row),
                               work.columns, work.centred, work.streaming)
    fastnn_fp_leave(state)


cdef void run_total(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Columns start to stop: the blocks' sums, added in order."""
    cdef const Work *work = <const Work *>context
    total(work, work.dgamma, 0, start, stop)
    if work.dbeta != NULL:
        total(work, work.dbeta, work.columns, start, stop)


cdef void total(const Work *work, char *out, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t width = work.columns * (1 + work.shifted)
    cdef Py_ssize_t block, i
    cdef double *sums = work.sums + first
    for block in range(1, work.blocks):
        for i in range(start, stop):
            sums[i] += sums[block * width + i]
    for i in range(start, stop):
        if work.single:
            (<float *>out)[i] = <float>sums[i]
        else:
            (<double *>out)[i] = sums[i]


cdef Py_ssize_t block_of(Py_ssize_t rows, Py_ssize_t columns) noexcept:
    """Rows of a block."""
    cdef Py_ssize_t least = max(LEAST_ROWS, min(2 * LEAST_ROWS, rows // 2), (rows + MOST_BLOCKS - 1) // MOST_BLOCKS)
    if columns:
        least = max(least, LEAST_BLOCK // columns)
    return (least + ROWS_TOGETHER - 1) // ROWS_TOGETHER * ROWS_TOGETHER


cdef cnp.ndarray matrix(object value, str name):
    """value, or a copy, as a contiguous array of float32 or float64 with an axis to normalize along."""
    cdef cnp.ndarray a = floating_array(value, name)
    if cnp.PyArray_NDIM(a) == 0:
        raise ValueError(f"{name} must have an axis to be normalized along, and is a number")
    return a


cdef cnp.ndarray vector(object value, cnp.ndarray x, str name):
    """value, or a copy, as a contiguous vector of x's dtype, as long as x's last axis."""
    cdef cnp.ndarray a = copied(floating_array(value, name), x.dtype)
    cdef Py_ssize_t columns = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_DIM(a, 0) != columns:
        raise ValueError(f"{name} must have shape ({columns},), not {(<object>a).shape}")
    return a


cdef cnp.ndarray in_double(cnp.ndarray a):
    """The vector, or a copy, in double."""
    cdef cnp.ndarray wide
    if cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE:
        return a
    wide = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(a), cnp.NPY_DOUBLE, 0)
    widened(<const float *>cnp.PyArray_DATA(a), <double *>cnp.PyArray_DATA(wide), cnp.PyArray_SIZE(a))
    return wide


cdef cnp.ndarray result_for(object out, cnp.ndarray x, cnp.ndarray other):
    if out is None:
        return new_result(x, cnp.PyArray_TYPE(x), False)
    if not (contiguous(out, cnp.PyArray_TYPE(x), cnp.NPY_ARRAY_WRITEABLE)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, x) and apart(<cnp.ndarray>out, x)
            and apart(<cnp.ndarray>out, other)):
        raise ValueError(f"out must be a contiguous, writable {x.dtype} array of shape {(<object>x).shape}, "
                         "apart from the others")
    return <cnp.ndarray>out


cdef void look_at(Work *work, cnp.ndarray x, bint centred) noexcept:
    work.single = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT
    work.centred = centred
    work.x = cnp.PyArray_BYTES(x)
    work.columns = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    work.rows = cnp.PyArray_SIZE(x) // work.columns if work.columns else 0


def norm_rows(x, gamma, beta, double eps, bint centred, out=None):
    """(y, kept): gamma (x - mean)/sqrt(variance + eps) + beta along the last axis; unless centred the mean counts as 0,
    and the variance is the mean square.

    gamma and beta have a number for each place along that axis; beta may be None. In x's dtype, float32 or float64, with
    all arithmetic in double; kept is what `norm_rows_backward` takes. `out` is contiguous and apart from the others.
    Raises ValueError or TypeError for what does not fit.
    """
    cdef Work work
    cdef cnp.ndarray a = matrix(x, "x")
    cdef cnp.ndarray scale = vector(gamma, a, "gamma")
    cdef cnp.ndarray shift = scale if beta is None else vector(beta, a, "beta")
    cdef cnp.ndarray result = result_for(out, a, scale)
    cdef cnp.npy_intp[2] shape
    cdef cnp.ndarray statistics
    cdef Py_ssize_t n = cnp.PyArray_SIZE(a)
    cdef int threads
    if not apart(result, shift):
        raise ValueError("out must be apart from beta")
    scale = in_double(scale)
    if beta is not None:
        shift = in_double(shift)
    look_at(&work, a, centred)
    shape[0], shape[1] = work.rows, 2
    statistics = cnp.PyArray_EMPTY(2, shape, cnp.NPY_DOUBLE, 0)
    work.eps = eps
    work.gamma = <const double *>cnp.PyArray_DATA(scale)
    work.beta = NULL if beta is None else <const double *>cnp.PyArray_DATA(shift)
    work.out = cnp.PyArray_BYTES(result)
    work.statistics = <double *>cnp.PyArray_DATA(statistics)
    if n < WITH_GIL:
        run(&work, 0, work.rows)
    else:
        threads = threads_for(n)
        with nogil:
            share_cancellable(run, &work, work.rows, max(1, GRAIN // work.columns), threads, n)
    return result, (a, statistics)


def norm_rows_backward(grad, tuple kept not None, gamma, bint shifted, bint centred, out=None):
    """(dx, dgamma, dbeta): the gradients of what went into `norm_rows`, given that of what it gave; dbeta is None unless
    `shifted`.

    `out`, for dx, is contiguous and apart from the others. Raises ValueError or TypeError for what does not fit.
    """
    cdef Work work
    cdef cnp.ndarray a, statistics
    a, statistics = kept
    if not (is_floating(a) and cnp.PyArray_NDIM(a) > 0 and contiguous(statistics, cnp.NPY_DOUBLE, 0)):
        raise ValueError("that is not what norm_rows kept")
    look_at(&work, a, centred)
    if cnp.PyArray_SIZE(statistics) != 2 * work.rows:
        raise ValueError("that is not what norm_rows kept")
    cdef cnp.ndarray g = copied(matrix(grad, "the gradient"), a.dtype)
    if not cnp.PyArray_SAMESHAPE(g, a):
        raise ValueError(f"the gradient must have shape {(<object>a).shape}, not {(<object>g).shape}")
    cdef cnp.ndarray scale = vector(gamma, a, "gamma")
    cdef cnp.ndarray result = result_for(out, a, g)
    if not apart(result, scale):
        raise ValueError("out must be apart from gamma")
    scale = in_double(scale)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(a)
    cdef int threads
    work.block = block_of(work.rows, work.columns)
    work.blocks = max(1, (work.rows + work.block - 1) // work.block)        # with no rows, one of zeros
    cdef cnp.npy_intp[2] shape
    shape[0], shape[1] = work.blocks, work.columns * (1 + shifted)
    cdef cnp.ndarray sums = cnp.PyArray_EMPTY(2, shape, cnp.NPY_DOUBLE, 0)
    cdef cnp.npy_intp columns = work.columns
    cdef cnp.ndarray dgamma = cnp.PyArray_EMPTY(1, &columns, cnp.PyArray_TYPE(a), 0)
    cdef cnp.ndarray dbeta = cnp.PyArray_EMPTY(1, &columns, cnp.PyArray_TYPE(a), 0) if shifted else None
    work.g = cnp.PyArray_BYTES(g)
    work.gamma = <const double *>cnp.PyArray_DATA(scale)
    work.out = cnp.PyArray_BYTES(result)
    work.statistics = <double *>cnp.PyArray_DATA(statistics)
    work.sums = <double *>cnp.PyArray_DATA(sums)
    work.shifted = shifted
    work.dgamma = cnp.PyArray_BYTES(dgamma)
    work.dbeta = cnp.PyArray_BYTES(dbeta) if shifted else NULL
    work.streaming = (3 * n * itemsize(work.single) > stream_above
                      and (<uintptr_t>work.out | (work.columns * itemsize(work.single))) % FASTNN_LINE == 0)
    if n < WITH_GIL:
        run_back(&work, 0, work.blocks)
        run_total(&work, 0, work.columns)
    else:
        threads = threads_for(n)
        with nogil:
            share_cancellable(run_back, &work, work.blocks, 1, threads, n)
            share_cancellable(run_total, &work, work.columns, TOTALLED, threads, n)
    return result, dgamma, dbeta


def _stream_above(nbytes):
    """Write dx past the cache when a pass back reads and writes more than so many bytes; the number before. For tests."""
    global stream_above
    before = stream_above
    stream_above = nbytes
    return before
