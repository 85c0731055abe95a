# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What a layer f(x W + b) does beside its matrix products: the bias with the activation in one pass, and the way back.

Matrices of float32 or float64 that lie contiguous, rows one after another, are run through here; all others go the
long way, through NumPy's addition and the activation's own call, to the same bits.
"""
import numpy as np

cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from fastnn.core.elementwise import Elementwise, ElementwiseActivation
from fastnn.core.levels import kernels

from fastnn.core.arrays cimport apart, as_array, checked_out, contiguous, overwritten, result_dtype
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport MOST_PARAMETERS, PRODUCT, VALUE, elementwise_double, elementwise_float
from fastnn.core.loops cimport padded
from fastnn.core.threads cimport begun, fastnn_watch, fastnn_watch_over, share_watched, share_with, threads_for
from fastnn.core.vecmath cimport real

cnp.import_array()

cdef enum:
    BLOCK = 2048            # elements that stay in the first-level cache between the bias and the activation
    COLUMNS = 128           # whose sums are kept on the stack
    ROWS = 8                # that are added as a tree before they are added to the sum
    UNTIL_LOOK = 1 << 16    # rows that are summed before a look whether the call is over
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef Py_ssize_t STEP = kernels.STEP                     # a kernel is given a multiple of so many elements
cdef object FORWARD = ElementwiseActivation.forward     # not a subclass's own
cdef object BACKWARD = ElementwiseActivation.backward
cdef object BOUND = Elementwise._bound

cdef struct Work:
    uintptr_t kernel        # 0: the bias alone
    const void *h           # `parameters`
    double parameters[MOST_PARAMETERS]
    bint single
    char *z                 # the matrix
    const char *other       # the bias, or the gradient
    char *out
    Py_ssize_t rows
    Py_ssize_t columns
    fastnn_watch *watch     # of sums over rows, or NULL


cdef inline bint plain(object a, int axes, int kind, int flags) noexcept:
    """A contiguous array of this type and number of axes, with these flags."""
    return contiguous(a, kind, flags) and cnp.PyArray_NDIM(<cnp.ndarray>a) == axes


cdef inline bint floating(object a) noexcept:
    """A float32 or float64 matrix that can be run through."""
    return plain(a, 2, cnp.NPY_FLOAT, 0) or plain(a, 2, cnp.NPY_DOUBLE, 0)


# The bias and the activation

cdef inline void add_vector(real *z, const real *vector, Py_ssize_t columns, Py_ssize_t start,
                            Py_ssize_t stop) noexcept nogil:
    """Elements start to stop of the matrix z, plus the vector's element of their column."""
    cdef Py_ssize_t column = start % columns
    cdef Py_ssize_t here, i
    while start < stop:
        here = min(columns - column, stop - start)
        for i in range(here):
            z[start + i] += vector[column + i]
        start += here
        column = 0


cdef inline void call(const Work *work, int order, const real *x, const real *y, real *out, Py_ssize_t n) noexcept nogil:
    if real is float:
        (<elementwise_float>work.kernel)(order, x, y, out, NULL, n, <const float *>work.h)
    else:
        (<elementwise_double>work.kernel)(order, x, y, out, NULL, n, <const double *>work.h)


cdef inline void run_kernel(const Work *work, int order, const real *x, const real *y, real *out,
                            Py_ssize_t n) noexcept nogil:
    """One block; y may be NULL. Kernels see whole steps and never run in place, hence the rooms."""
    cdef real[BLOCK] room
    cdef real[BLOCK] second_room
    cdef real[BLOCK] result
    if n % STEP == 0 and out != x and out != y:
        call(work, order, x, y, out, n)
    else:
        call(work, order, padded(x, room, n, STEP), padded(y, second_room, n, STEP), <real *>result,
             (n + STEP - 1) & -STEP)
        memcpy(out, result, n * sizeof(real))


cdef void run_blocks(const Work *work, real *z, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """z += bias, then out = f(z), block by block."""
    cdef Py_ssize_t n
    while start < stop:
        n = min(<Py_ssize_t>BLOCK, stop - start)
        add_vector(z, <const real *>work.other, work.columns, start, start + n)
        if work.kernel:
            run_kernel(work, VALUE, z + start, <const real *>NULL, <real *>work.out + start, n)
        start += n


cdef void run_bias(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.single:
        run_blocks[float](work, <float *>work.z, start, stop)
    else:
        run_blocks[double](work, <double *>work.z, start, stop)
    fastnn_fp_leave(state)


cdef int add_and_activate(Work *work, cnp.ndarray z, cnp.ndarray bias, cnp.ndarray out) except -1:
    cdef Py_ssize_t n = cnp.PyArray_SIZE(z)
    cdef int threads
    work.single = cnp.PyArray_TYPE(z) == cnp.NPY_FLOAT
    work.z = cnp.PyArray_BYTES(z)
    work.other = cnp.PyArray_BYTES(bias)
    work.out = cnp.PyArray_BYTES(out)
    work.columns = cnp.PyArray_DIM(z, 1)
    if n < WITH_GIL:
        run_bias(work, 0, n)
        return 0
    threads = threads_for(n)
    with nogil:
        return share_watched(run_bias, work, n, BLOCK, threads, n)


cdef bint can_add(object z, object bias) noexcept:
    """Whether the bias can be added to z here; else NumPy's addition does it, or says why not."""
    if not (floating(z) and cnp.PyArray_CHKFLAGS(<cnp.ndarray>z, cnp.NPY_ARRAY_WRITEABLE)):
        return False
    return (plain(bias, 1, cnp.PyArray_TYPE(<cnp.ndarray>z), 0)
            and cnp.PyArray_DIM(<cnp.ndarray>bias, 0) == cnp.PyArray_DIM(<cnp.ndarray>z, 1)
            and apart(<cnp.ndarray>z, <cnp.ndarray>bias))


cdef void find_kernel(Work *work, object activation, bint single) except *:
    cdef bytes parameters
    work.kernel, parameters = BOUND(activation, single)
    work.single = single
    memcpy(work.parameters, <const char *>parameters, min(<size_t>len(parameters), sizeof(work.parameters)))
    work.h = work.parameters


cdef bint can_hold(object out, cnp.ndarray z, cnp.ndarray other) noexcept:
    """Whether a result of z's shape can be written to `out` while z and the other operand are still read."""
    return (plain(out, 2, cnp.PyArray_TYPE(z), cnp.NPY_ARRAY_WRITEABLE)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, z)
            and apart(<cnp.ndarray>out, z) and apart(<cnp.ndarray>out, other))


cdef void add_any(object z, object bias) except *:
    if not cnp.PyArray_Check(z):
        raise TypeError(f"the bias is added in place: to a NumPy array, not to {type(z).__name__}")
    as_array(z, "z")
    as_array(bias, "the bias")
    np.add(z, bias, out=z, casting="same_kind")


def add_bias(z, bias):
    """z += bias, in place, for a matrix and one number a column; returns z. Raises what NumPy's addition raises.

    Where a signal's handler ends it by raising, z has been changed in part. So have `z` and `out` of the functions below.
    """
    cdef Work work
    if not can_add(z, bias):
        add_any(z, bias)
        return z
    work.kernel = 0
    add_and_activate(&work, <cnp.ndarray>z, <cnp.ndarray>bias, <cnp.ndarray>z)
    return z


def activate_with_bias(activation, z, bias, out=None):
    """z += bias in place and f(z), in one pass: what `add_bias(z, bias)` and `activation.forward(z, out)` give.

    out has z's shape and dtype and may be z. Raises what those two raise.
    """
    cdef Work work
    cdef cnp.ndarray result
    if not (getattr(type(activation), "forward", None) is FORWARD and can_add(z, bias)
            and (out is None or out is z or can_hold(out, <cnp.ndarray>z, <cnp.ndarray>bias))):
        if cnp.PyArray_Check(z):                    # before z changes
            matrix = as_array(z, "z")
            dtype = result_dtype(matrix)
            if out is not None:
                checked_out(out, matrix, dtype, "out")
        add_any(z, bias)
        return activation.forward(z, out=out)
    if out is None:
        result = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(<cnp.ndarray>z), cnp.PyArray_TYPE(<cnp.ndarray>z), 0)
    else:
        result = <cnp.ndarray>out
    find_kernel(&work, activation, cnp.PyArray_TYPE(<cnp.ndarray>z) == cnp.NPY_FLOAT)
    add_and_activate(&work, <cnp.ndarray>z, <cnp.ndarray>bias, result)
    return result


# Sums over the rows

cdef inline void add_trees(const real *a, Py_ssize_t rows, Py_ssize_t columns, double *total,
                           Py_ssize_t n) noexcept nogil:
    cdef const real *r
    cdef Py_ssize_t row, i
    for row in range(0, rows - 7, 8):
        r = a + row * columns
        for i in range(n):
            total[i] += <double>(((r[i] + r[columns + i]) + (r[2 * columns + i] + r[3 * columns + i]))
                                 + ((r[4 * columns + i] + r[5 * columns + i])
                                    + (r[6 * columns + i] + r[7 * columns + i])))


cdef inline void sum_columns(const real *a, Py_ssize_t rows, Py_ssize_t columns, real *sums,
                             Py_ssize_t n, fastnn_watch *watch) noexcept nogil:
    """Of n neighbouring columns; the first one begins at a. Eight rows are added as a tree, the trees in double."""
    cdef double[COLUMNS] total
    cdef const real *r
    cdef Py_ssize_t row, i
    for i in range(n):
        total[i] = 0
    row = 0
    while row < rows:
        if row and watch != NULL and fastnn_watch_over(watch):
            return
        add_trees(a + row * columns, min(rows - row, <Py_ssize_t>UNTIL_LOOK), columns, total, n)
        row += UNTIL_LOOK
    for row in range(rows - rows % ROWS, rows):
        r = a + row * columns
        for i in range(n):
            total[i] += <double>r[i]
    for i in range(n):
        sums[i] = <real>total[i]


cdef void run_sums(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Columns start to stop."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t n
    while start < stop:
        n = min(<Py_ssize_t>COLUMNS, stop - start)
        if work.single:
            sum_columns[float](<const float *>work.z + start, work.rows, work.columns, <float *>work.out + start, n,
                               work.watch)
        else:
            sum_columns[double](<const double *>work.z + start, work.rows, work.columns, <double *>work.out + start, n,
                                work.watch)
        start += n
    fastnn_fp_leave(state)


cdef cnp.ndarray summed(Work *work, cnp.ndarray a, object out):
    """The sums of a's columns, in `out` or a new array."""
    cdef int threads
    cdef fastnn_watch watch
    cdef cnp.ndarray sums = (cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(a) + 1, cnp.PyArray_TYPE(a), 0) if out is None
                             else <cnp.ndarray>out)
    work.single = cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT
    work.z = cnp.PyArray_BYTES(a)
    work.out = cnp.PyArray_BYTES(sums)
    work.rows, work.columns = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1)
    work.watch = begun(&watch, cnp.PyArray_SIZE(a))
    if cnp.PyArray_SIZE(a) < WITH_GIL:
        run_sums(work, 0, work.columns)
        return sums
    threads = threads_for(cnp.PyArray_SIZE(a))
    with nogil:
        share_with(run_sums, work, work.columns, COLUMNS, threads, work.watch)
    return sums


def column_sums(a, out=None):
    """a.sum(axis=0) of a matrix of float32 or float64, of its dtype, with sums kept in double precision.

    out has shape (columns,) and a's dtype, and lies apart from a. A column belongs to one thread, so the bits do not
    depend on the number of threads. Raises TypeError for another dtype, ValueError for another shape, or `out` that
    does not fit.
    """
    cdef Work work
    if not floating(a):
        a = as_array(a, "a")
        if a.ndim != 2:
            raise ValueError(f"column_sums takes a matrix, not an array of shape {a.shape}")
        if a.dtype.newbyteorder("=") not in (np.float32, np.float64):
            raise TypeError(f"column_sums takes float32 or float64, not {a.dtype}")
        a = np.require(a, a.dtype.newbyteorder("="), ["C", "A"])
    if not (out is None or plain(out, 1, cnp.PyArray_TYPE(<cnp.ndarray>a), cnp.NPY_ARRAY_WRITEABLE)
            and cnp.PyArray_DIM(<cnp.ndarray>out, 0) == cnp.PyArray_DIM(<cnp.ndarray>a, 1)
            and apart(<cnp.ndarray>out, <cnp.ndarray>a)):
        raise ValueError(f"out must be a contiguous, writable {a.dtype} array of shape ({a.shape[1]},)")
    return summed(&work, <cnp.ndarray>a, out)


# The way back: f'(z) times the gradient, and its sums

cdef void run_products(const Work *work, const real *z, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """out = grad * f'(z), block by block; out may be grad."""
    cdef Py_ssize_t n
    while start < stop:
        n = min(<Py_ssize_t>BLOCK, stop - start)
        run_kernel(work, PRODUCT, z + start, <const real *>work.other + start, <real *>work.out + start, n)
        start += n


cdef void run_back(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.single:
        run_products[float](work, <const float *>work.z, start, stop)
    else:
        run_products[double](work, <const double *>work.z, start, stop)
    fastnn_fp_leave(state)


def gradient_with_sums(activation, z, y, grad, out=None):
    """(g, s): what `activation.backward(z, y, grad, out)` and `column_sums` of it give.

    out has z's shape and dtype and may be grad. Raises what those two raise.
    """
    cdef Work work
    cdef cnp.ndarray result
    cdef Py_ssize_t n
    cdef int kind, threads
    if not (getattr(type(activation), "backward", None) is BACKWARD and floating(z)
            and plain(grad, 2, cnp.PyArray_TYPE(<cnp.ndarray>z), 0)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>grad, <cnp.ndarray>z) and not overwritten(z, y)
            and (out is None or can_hold(out, <cnp.ndarray>z, <cnp.ndarray>(z if out is grad else grad)))):
        result = activation.backward(z, y, grad=grad, out=out)
        return result, column_sums(result)
    kind = cnp.PyArray_TYPE(<cnp.ndarray>z)
    n = cnp.PyArray_SIZE(<cnp.ndarray>z)
    result = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(<cnp.ndarray>z), kind, 0) if out is None else <cnp.ndarray>out
    find_kernel(&work, activation, kind == cnp.NPY_FLOAT)
    work.z = cnp.PyArray_BYTES(<cnp.ndarray>z)
    work.other = cnp.PyArray_BYTES(<cnp.ndarray>grad)
    work.out = cnp.PyArray_BYTES(result)
    if n < WITH_GIL:
        run_back(&work, 0, n)
    else:
        threads = threads_for(n)
        with nogil:
            share_watched(run_back, &work, n, BLOCK, threads, n)
    return result, summed(&work, result, None)
