# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Batch normalization (Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 1) in compiled passes over a matrix.

Forward: the means, the variances around them, the result. Back: the sums of g and g (x - mean), the gradient. A column's
sums are one thread's, and all that there is one number a column of is computed in double.
"""
cimport numpy as cnp
from libc.math cimport sqrt
from libc.stdint cimport uintptr_t

from fastnn.core.levels import layers

from fastnn.core.arrays cimport apart, contiguous, copied
from fastnn.core.columns cimport (add_columns_loop, add_moments_loop, add_squares_loop, floating_array, is_floating,
                                  itemsize, normalized_loop, projected_loop)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.threads cimport begun, fastnn_cancellation, fastnn_cancelled, share_cancellable, share_with, threads_for

cnp.import_array()

cdef enum:
    COLUMNS = 128           # whose sums are kept on the stack
    UNTIL_POLL = 1 << 16    # rows that are summed between two checks whether the call is cancelled
    GRAIN = 512             # elements; there are to be so many that the first ones tell how long the others take
    WIDE = 1 << 17          # elements from which columns are shared out, of which there may be few
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef int place
cdef add_columns_loop[2] add_columns            # for double, for float
cdef add_squares_loop[2] add_squares
cdef add_moments_loop[2] add_moments
cdef normalized_loop[2] normalized
cdef projected_loop[2] projected
for place in range(2):
    add_columns[place] = <add_columns_loop><uintptr_t>layers.COLUMNS["add_columns"][1 - place]
    add_squares[place] = <add_squares_loop><uintptr_t>layers.COLUMNS["add_squares"][1 - place]
    add_moments[place] = <add_moments_loop><uintptr_t>layers.COLUMNS["add_moments"][1 - place]
    normalized[place] = <normalized_loop><uintptr_t>layers.COLUMNS["normalized"][1 - place]
    projected[place] = <projected_loop><uintptr_t>layers.COLUMNS["projected"][1 - place]

cdef struct Work:
    bint single
    const char *x
    const char *g
    char *out
    Py_ssize_t rows
    Py_ssize_t columns
    char *mean              # vectors of x's dtype
    char *factor
    char *shift             # of the result; back, the mean of g
    char *slope
    double *first           # sums, or what becomes of them, in double
    double *second
    fastnn_cancellation *cancellation       # of sums over rows, or NULL


cdef inline void put(const Work *work, char *vector, Py_ssize_t i, double value) noexcept nogil:
    if work.single:
        (<float *>vector)[i] = <float>value
    else:
        (<double *>vector)[i] = value


cdef inline double get(const Work *work, const char *vector, Py_ssize_t i) noexcept nogil:
    return <double>(<const float *>vector)[i] if work.single else (<const double *>vector)[i]


cdef inline bint over(const Work *work, Py_ssize_t row) noexcept nogil:
    return row and work.cancellation != NULL and fastnn_cancelled(work.cancellation)


cdef void find_statistics(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Means and variances of columns start to stop, in `first` and `second`; the mean rounded in `mean`."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t size = itemsize(work.single)
    cdef Py_ssize_t column, row, n, i
    column = start
    while column < stop:
        n = min(<Py_ssize_t>COLUMNS, stop - column)
        row = 0
        while row < work.rows and not over(work, row):
            add_columns[work.single](work.x + (row * work.columns + column) * size,
                                     min(work.rows - row, <Py_ssize_t>UNTIL_POLL), work.columns, n, work.first + column)
            row += UNTIL_POLL
        for i in range(column, column + n):
            work.first[i] /= <double>work.rows
            put(work, work.mean, i, work.first[i])
        row = 0
        while row < work.rows and not over(work, row):
            add_squares[work.single](work.x + (row * work.columns + column) * size, work.mean + column * size,
                                     min(work.rows - row, <Py_ssize_t>UNTIL_POLL), work.columns, n,
                                     work.second + column)
            row += UNTIL_POLL
        for i in range(column, column + n):
            work.second[i] /= <double>work.rows
        column += n
    fastnn_fp_leave(state)


cdef void find_moments(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Sums of g and of g (x - mean), of columns start to stop."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t size = itemsize(work.single)
    cdef Py_ssize_t column, row, at
    column = start
    while column < stop:
        row = 0
        while row < work.rows and not over(work, row):
            at = (row * work.columns + column) * size
            add_moments[work.single](work.g + at, work.x + at, work.mean + column * size,
                                     min(work.rows - row, <Py_ssize_t>UNTIL_POLL), work.columns,
                                     min(<Py_ssize_t>COLUMNS, stop - column), work.first + column,
                                     work.second + column)
            row += UNTIL_POLL
        column += COLUMNS
    fastnn_fp_leave(state)


cdef void write_normalized(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t at = start * work.columns * itemsize(work.single)
    normalized[work.single](work.x + at, work.mean, work.factor, work.shift, work.out + at, stop - start, work.columns)
    fastnn_fp_leave(state)


cdef void write_projected(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t at = start * work.columns * itemsize(work.single)
    projected[work.single](work.g + at, work.x + at, work.mean, work.factor, work.shift, work.slope, work.out + at,
                           stop - start, work.columns)
    fastnn_fp_leave(state)


cdef int over_columns(Work *work, bint moments) except -1:
    cdef fastnn_cancellation cancellation
    cdef Py_ssize_t n = work.rows * work.columns
    cdef int threads = threads_for(n) if n >= WIDE else 1
    work.cancellation = begun(&cancellation, n)
    if n < WITH_GIL:
        (find_moments if moments else find_statistics)(work, 0, work.columns)
        return 0
    with nogil:
        return share_with(find_moments if moments else find_statistics, work, work.columns, COLUMNS, threads,
                          work.cancellation)


cdef int over_rows(Work *work, bint back) except -1:
    cdef Py_ssize_t n = work.rows * work.columns
    cdef int threads = threads_for(n)
    if n < WITH_GIL:
        (write_projected if back else write_normalized)(work, 0, work.rows)
        return 0
    with nogil:
        return share_cancellable(write_projected if back else write_normalized, work, work.rows,
                             max(1, GRAIN // max(1, work.columns)), threads, n)


# What comes in

cdef cnp.ndarray matrix(object value, str name):
    """value, or a copy, as a contiguous matrix of float32 or float64."""
    cdef cnp.ndarray a = floating_array(value, name)
    if cnp.PyArray_NDIM(a) != 2:
        raise ValueError(f"{name} must be a matrix, not an array of shape {(<object>a).shape}")
    return a


cdef cnp.ndarray vector(object value, cnp.ndarray x, str name):
    """value, or a copy, as a contiguous vector of x's dtype with a number for each column."""
    cdef cnp.ndarray a = copied(floating_array(value, name), x.dtype)
    if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_DIM(a, 0) != cnp.PyArray_DIM(x, 1):
        raise ValueError(f"{name} must have shape ({cnp.PyArray_DIM(x, 1)},), not {(<object>a).shape}")
    return a


cdef inline bint suits(cnp.ndarray value, cnp.ndarray x, int kind) noexcept:
    """Whether there are two numbers of this type for each column of x."""
    return (contiguous(value, kind, 0) and cnp.PyArray_NDIM(value) == 2 and cnp.PyArray_DIM(value, 0) == 2
            and cnp.PyArray_DIM(value, 1) == cnp.PyArray_DIM(x, 1))


cdef cnp.ndarray result_for(object out, cnp.ndarray x, cnp.ndarray other):
    if out is None:
        return cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    if not (contiguous(out, cnp.PyArray_TYPE(x), cnp.NPY_ARRAY_WRITEABLE)
            and cnp.PyArray_NDIM(<cnp.ndarray>out) == 2 and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, x)
            and apart(<cnp.ndarray>out, x) and apart(<cnp.ndarray>out, other)):
        raise ValueError(f"out must be a contiguous, writable {x.dtype} array of shape {(<object>x).shape}, "
                         "apart from the others")
    return <cnp.ndarray>out


cdef inline cnp.ndarray new_vector(cnp.ndarray x, int kind):
    return cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(x) + 1, kind, 0)


cdef inline cnp.ndarray vectors(cnp.ndarray x, int kind, int count):
    """Zeros for so many vectors."""
    cdef cnp.npy_intp[2] shape
    shape[0], shape[1] = count, cnp.PyArray_DIM(x, 1)
    return cnp.PyArray_ZEROS(2, shape, kind, 0)


cdef void look_at(Work *work, cnp.ndarray x) noexcept:
    work.single = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT
    work.x = cnp.PyArray_BYTES(x)
    work.rows, work.columns = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)


# The calls

def normalize(x, mean, var, gamma, beta, double eps, out=None):
    """gamma (x - mean)/sqrt(var + eps) + beta of a matrix x, the others with a number for each column.

    In x's dtype, float32 or float64; `out` is contiguous and apart from x. Raises ValueError or TypeError for what does
    not fit.
    """
    cdef Work work
    cdef cnp.ndarray a = matrix(x, "x")
    cdef cnp.ndarray centre = vector(mean, a, "the mean")
    cdef cnp.ndarray variance = vector(var, a, "the variance")
    cdef cnp.ndarray scale = vector(gamma, a, "gamma")
    cdef cnp.ndarray shift = vector(beta, a, "beta")
    cdef cnp.ndarray result = result_for(out, a, a)
    cdef cnp.ndarray factor = new_vector(a, cnp.PyArray_TYPE(a))
    cdef Py_ssize_t i
    look_at(&work, a)
    work.mean, work.shift = cnp.PyArray_BYTES(centre), cnp.PyArray_BYTES(shift)
    work.factor, work.out = cnp.PyArray_BYTES(factor), cnp.PyArray_BYTES(result)
    for i in range(work.columns):
        put(&work, work.factor, i, get(&work, cnp.PyArray_BYTES(scale), i)
            / sqrt(get(&work, cnp.PyArray_BYTES(variance), i) + eps))
    over_rows(&work, False)
    return result


def normalize_batch(x, gamma, beta, double eps, double momentum, running_mean, running_var, out=None,
                    bint unbiased=False):
    """(y, kept, running mean, running variance) of a training pass: `normalize` by x's own mean and variance.

    kept is what `normalize_batch_backward` takes. The running values are new arrays, momentum times those given plus
    1 - momentum times the batch's, if `unbiased` the variance times n/(n - 1). Raises as `normalize` does.
    """
    cdef Work work
    cdef cnp.ndarray a = matrix(x, "x")
    cdef cnp.ndarray scale = vector(gamma, a, "gamma")
    cdef cnp.ndarray shift = vector(beta, a, "beta")
    cdef cnp.ndarray old_mean = vector(running_mean, a, "the running mean")
    cdef cnp.ndarray old_var = vector(running_var, a, "the running variance")
    cdef cnp.ndarray result = result_for(out, a, a)
    cdef int kind = cnp.PyArray_TYPE(a)
    cdef cnp.ndarray own = vectors(a, kind, 2)                  # mean and factor
    cdef cnp.ndarray wide = vectors(a, cnp.NPY_DOUBLE, 2)       # mean and variance, later 1/sqrt(variance + eps)
    cdef cnp.ndarray new_mean = new_vector(a, kind)
    cdef cnp.ndarray new_var = new_vector(a, kind)
    cdef Py_ssize_t i
    cdef double var, widened
    look_at(&work, a)
    widened = <double>work.rows / <double>(work.rows - 1) if unbiased and work.rows > 1 else 1
    work.mean, work.shift = cnp.PyArray_BYTES(own), cnp.PyArray_BYTES(shift)
    work.factor, work.out = work.mean + work.columns * itemsize(work.single), cnp.PyArray_BYTES(result)
    work.first = <double *>cnp.PyArray_DATA(wide)
    work.second = work.first + work.columns
    over_columns(&work, False)
    for i in range(work.columns):
        var = work.second[i]
        work.second[i] = 1 / sqrt(var + eps)
        put(&work, work.factor, i, get(&work, cnp.PyArray_BYTES(scale), i) * work.second[i])
        put(&work, cnp.PyArray_BYTES(new_mean), i,
            momentum * get(&work, cnp.PyArray_BYTES(old_mean), i) + (1 - momentum) * work.first[i])
        put(&work, cnp.PyArray_BYTES(new_var), i,
            momentum * get(&work, cnp.PyArray_BYTES(old_var), i) + (1 - momentum) * widened * var)
    over_rows(&work, False)
    return result, (a, own, wide), new_mean, new_var


def normalize_batch_backward(grad, tuple kept not None, gamma, out=None):
    """(dx, dgamma, dbeta): the gradients with respect to what went in, given that of what `normalize_batch` gave.

    `out`, for dx, is contiguous and apart from x and grad. Raises ValueError or TypeError for what does not fit.
    """
    cdef Work work
    cdef cnp.ndarray a, own, wide
    a, own, wide = kept
    if not (is_floating(a) and cnp.PyArray_NDIM(a) == 2 and suits(own, a, cnp.PyArray_TYPE(a))
            and suits(wide, a, cnp.NPY_DOUBLE)):
        raise ValueError("that is not what normalize_batch kept")
    cdef cnp.ndarray g = copied(matrix(grad, "the gradient"), a.dtype)
    if not cnp.PyArray_SAMESHAPE(g, a):
        raise ValueError(f"the gradient must have shape {(<object>a).shape}, not {(<object>g).shape}")
    cdef cnp.ndarray scale = vector(gamma, a, "gamma")
    cdef cnp.ndarray result = result_for(out, a, g)
    cdef int kind = cnp.PyArray_TYPE(a)
    cdef cnp.ndarray dgamma = new_vector(a, kind)
    cdef cnp.ndarray dbeta = new_vector(a, kind)
    cdef cnp.ndarray narrow = vectors(a, kind, 3)               # factor, slope, mean of g
    cdef cnp.ndarray sums = vectors(a, cnp.NPY_DOUBLE, 2)
    cdef const double *inverses = <const double *>cnp.PyArray_DATA(wide) + cnp.PyArray_DIM(a, 1)
    cdef Py_ssize_t size
    cdef Py_ssize_t i
    cdef double projection
    look_at(&work, a)
    work.g, work.out = cnp.PyArray_BYTES(g), cnp.PyArray_BYTES(result)
    size = work.columns * itemsize(work.single)
    work.mean, work.factor = cnp.PyArray_BYTES(own), cnp.PyArray_BYTES(narrow)
    work.slope, work.shift = work.factor + size, work.factor + 2 * size
    work.first = <double *>cnp.PyArray_DATA(sums)
    work.second = work.first + work.columns
    over_columns(&work, True)
    # The batch's mean and variance depend on x, too: their shares are what g loses of its own mean and of its projection
    # on the normalised x.
    for i in range(work.columns):
        projection = work.second[i] * inverses[i]
        put(&work, cnp.PyArray_BYTES(dgamma), i, projection)
        put(&work, cnp.PyArray_BYTES(dbeta), i, work.first[i])
        put(&work, work.factor, i, get(&work, cnp.PyArray_BYTES(scale), i) * inverses[i])
        put(&work, work.slope, i, projection * inverses[i] / <double>work.rows)
        put(&work, work.shift, i, work.first[i] / <double>work.rows)
    over_rows(&work, True)
    return result, dgamma, dbeta
