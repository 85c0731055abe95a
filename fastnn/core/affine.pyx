# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What a layer f(x W + b) does beside its matrix products: the bias with the activation in one pass, and the way back.

Matrices of float32 or float64 that lie contiguous, rows one after another, are run through here; all others go the
long way, through NumPy's addition and the activation's own call, to the same bits.
"""
import numpy as np

cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.elementwise import Elementwise, ElementwiseActivation
from fastnn.core.levels import kernels, layers

from fastnn.core.arrays cimport apart, as_array, checked_out, contiguous, overwritten, result_dtype
from fastnn.core.columns cimport add_bias_loop, add_columns_loop, biased_loop, itemsize
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport (MOST_PARAMETERS, PRODUCT, PRODUCT_BY_VALUE, VALUE, elementwise_double,
                                  elementwise_float)
from fastnn.core.threads cimport begun, fastnn_cancellation, fastnn_cancelled, share_cancellable, share_with, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 2048            # elements that stay in the first-level cache from one loop to the next
    COLUMNS = 128           # whose sums are kept on the stack
    ROWS = 8                # that are added as a tree before they are added to the sum
    NARROW = 256            # columns of which so many rows are a block
    UNTIL_POLL = 1 << 16    # rows that are summed between two checks whether the call is cancelled
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives
    GRAIN = 512             # elements; there are to be so many that the first ones tell how long the others take
    SMALL = 1 << 15         # elements of a matrix that is run through in one go
    WIDE = 1 << 17          # elements from which columns are shared out, of which there may be few

cdef Py_ssize_t STEP = kernels.STEP                     # a kernel is given a multiple of so many elements
cdef int place
cdef add_bias_loop[2] add_bias_loops            # for double, for float
cdef biased_loop[2] biased_loops
cdef add_columns_loop[2] add_columns_loops
for place in range(2):
    add_bias_loops[place] = <add_bias_loop><uintptr_t>layers.COLUMNS["add_bias"][1 - place]
    biased_loops[place] = <biased_loop><uintptr_t>layers.COLUMNS["biased"][1 - place]
    add_columns_loops[place] = <add_columns_loop><uintptr_t>layers.COLUMNS["add_columns"][1 - place]

cdef object FORWARD = ElementwiseActivation.forward     # not a subclass's own
cdef object BACKWARD = ElementwiseActivation.backward
cdef object BOUND = Elementwise._bound

cdef struct Work:
    uintptr_t kernel        # 0: the bias alone
    int order               # what it is asked for
    double parameters[MOST_PARAMETERS]
    bint single
    char *z                 # the matrix
    const char *other       # the bias, or the gradient
    char *out
    Py_ssize_t rows
    Py_ssize_t columns
    fastnn_cancellation *cancellation       # of sums over rows, or NULL


cdef inline bint plain(object a, int axes, int kind, int flags) noexcept:
    """A contiguous array of this type and number of axes, with these flags."""
    return contiguous(a, kind, flags) and cnp.PyArray_NDIM(<cnp.ndarray>a) == axes


cdef inline bint floating(object a) noexcept:
    """A float32 or float64 matrix that can be run through."""
    return plain(a, 2, cnp.NPY_FLOAT, 0) or plain(a, 2, cnp.NPY_DOUBLE, 0)


# The bias and the activation

cdef inline void call(const Work *work, const void *x, const void *y, void *out, Py_ssize_t n) noexcept nogil:
    if work.single:
        (<elementwise_float>work.kernel)(work.order, <const float *>x, <const float *>y, <float *>out, NULL, n,
                                         <const float *>work.parameters)
    else:
        (<elementwise_double>work.kernel)(work.order, <const double *>x, <const double *>y, <double *>out, NULL, n,
                                          work.parameters)


cdef inline const char *padded(const char *x, char *room, Py_ssize_t bytes_, Py_ssize_t whole) noexcept nogil:
    """x, copied into the room with zeros behind it; NULL stays what it is."""
    if x == NULL:
        return x
    memcpy(room, x, bytes_)
    memset(room + bytes_, 0, whole - bytes_)
    return room


cdef void run_kernel(const Work *work, const char *x, const char *y, char *out, Py_ssize_t n) noexcept nogil:
    """One block, apart from `out`; y may be NULL. Kernels see whole steps: for the last elements they get a room."""
    cdef double[3][64] rooms       # or floats
    cdef Py_ssize_t whole = n & -STEP
    cdef Py_ssize_t size = itemsize(work.single)
    cdef Py_ssize_t rest = (n - whole) * size
    if whole:
        call(work, x, y, out, whole)
    if rest:
        call(work, padded(x + whole * size, <char *>rooms[0], rest, STEP * size),
             padded(y + whole * size if y != NULL else y, <char *>rooms[1], rest, STEP * size), rooms[2], STEP)
        memcpy(out + whole * size, rooms[2], rest)


cdef void run_bias(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """z += bias, then out = f(z), block by block; where z and out are one, z + bias is never stored."""
    cdef const Work *work = <const Work *>context
    cdef double[BLOCK] room        # or floats
    cdef Py_ssize_t size = itemsize(work.single)
    cdef Py_ssize_t n
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    while start < stop:
        n = min(<Py_ssize_t>BLOCK, stop - start)
        if work.kernel and work.z == work.out:
            biased_loops[work.single](work.z, work.other, room, work.columns, start, start + n)
            run_kernel(work, <char *>room, NULL, work.out + start * size, n)
        else:
            add_bias_loops[work.single](work.z, work.other, work.columns, start, start + n)
            if work.kernel:
                run_kernel(work, work.z + start * size, NULL, work.out + start * size, n)
        start += n
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
        return share_cancellable(run_bias, work, n, GRAIN, threads, n)


cdef bint can_add(object z, object bias) noexcept:
    """Whether the bias can be added to z here; else NumPy's addition does it, or says why not."""
    if not (floating(z) and cnp.PyArray_CHKFLAGS(<cnp.ndarray>z, cnp.NPY_ARRAY_WRITEABLE)):
        return False
    return (plain(bias, 1, cnp.PyArray_TYPE(<cnp.ndarray>z), 0)
            and cnp.PyArray_DIM(<cnp.ndarray>bias, 0) == cnp.PyArray_DIM(<cnp.ndarray>z, 1)
            and apart(<cnp.ndarray>z, <cnp.ndarray>bias))


cdef void find_kernel(Work *work, object activation, bint single, int order) except *:
    cdef bytes parameters
    work.kernel, parameters = BOUND(activation, single)
    work.single = single
    work.order = order
    memcpy(work.parameters, <const char *>parameters, min(<size_t>len(parameters), sizeof(work.parameters)))


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

    out has z's shape and dtype and may be z, which then holds f(z + bias). Raises what those two raise.
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
    find_kernel(&work, activation, cnp.PyArray_TYPE(<cnp.ndarray>z) == cnp.NPY_FLOAT, VALUE)
    add_and_activate(&work, <cnp.ndarray>z, <cnp.ndarray>bias, result)
    return result


# Sums over the rows

cdef inline void write_sums(const Work *work, const double *total, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if work.single:
        for i in range(n):
            (<float *>work.out + start)[i] = <float>total[i]
    else:
        memcpy(<double *>work.out + start, total, n * sizeof(double))


cdef void run_sums(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Columns start to stop."""
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef double[COLUMNS] total
    cdef Py_ssize_t row, n
    cdef Py_ssize_t size = itemsize(work.single)
    while start < stop:
        n = min(<Py_ssize_t>COLUMNS, stop - start)
        memset(total, 0, sizeof(total))
        row = 0
        while row < work.rows and not (row and work.cancellation != NULL and fastnn_cancelled(work.cancellation)):
            add_columns_loops[work.single](work.z + (row * work.columns + start) * size,
                                           min(work.rows - row, <Py_ssize_t>UNTIL_POLL), work.columns, n, total)
            row += UNTIL_POLL
        write_sums(work, total, start, n)
        start += n
    fastnn_fp_leave(state)


cdef cnp.ndarray summed(Work *work, cnp.ndarray a, object out):
    """The sums of a's columns, in `out` or a new array."""
    cdef int threads
    cdef fastnn_cancellation cancellation
    cdef cnp.ndarray sums = (cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(a) + 1, cnp.PyArray_TYPE(a), 0) if out is None
                             else <cnp.ndarray>out)
    work.single = cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT
    work.z = cnp.PyArray_BYTES(a)
    work.out = cnp.PyArray_BYTES(sums)
    work.rows, work.columns = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1)
    work.cancellation = begun(&cancellation, cnp.PyArray_SIZE(a))
    if cnp.PyArray_SIZE(a) < WITH_GIL:
        run_sums(work, 0, work.columns)
        return sums
    threads = threads_for(cnp.PyArray_SIZE(a)) if cnp.PyArray_SIZE(a) >= WIDE else 1
    with nogil:
        share_with(run_sums, work, work.columns, COLUMNS, threads, work.cancellation)
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

cdef void run_back(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """out = grad * f'(z), block by block; out may be grad."""
    cdef const Work *work = <const Work *>context
    cdef double[BLOCK] room        # or floats
    cdef Py_ssize_t size = itemsize(work.single)
    cdef Py_ssize_t n, at
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    while start < stop:
        n = min(<Py_ssize_t>BLOCK, stop - start)
        at = start * size
        if work.out == work.other:
            run_kernel(work, work.z + at, work.other + at, <char *>room, n)
            memcpy(work.out + at, room, n * size)
        else:
            run_kernel(work, work.z + at, work.other + at, work.out + at, n)
        start += n
    fastnn_fp_leave(state)


cdef void run_back_and_sum(const Work *work, double *total) noexcept nogil:
    """The same for a whole matrix, its sums while a block is in the cache: of rows that are whole trees."""
    cdef double[BLOCK] room        # or floats
    cdef Py_ssize_t size = itemsize(work.single)
    cdef Py_ssize_t most = BLOCK // work.columns & -ROWS
    cdef Py_ssize_t row = 0
    cdef Py_ssize_t rows, at
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    while row < work.rows:
        rows = min(most, work.rows - row)
        at = row * work.columns * size
        run_kernel(work, work.z + at, work.other + at, <char *>room, rows * work.columns)
        memcpy(work.out + at, room, rows * work.columns * size)
        add_columns_loops[work.single](room, rows, work.columns, work.columns, total)
        row += rows
    fastnn_fp_leave(state)


cdef cnp.ndarray back_with_sums(Work *work, cnp.ndarray result):
    cdef double[NARROW] total
    cdef cnp.ndarray sums = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(result) + 1, cnp.PyArray_TYPE(result), 0)
    work.rows, work.columns = cnp.PyArray_DIM(result, 0), cnp.PyArray_DIM(result, 1)
    memset(total, 0, work.columns * sizeof(double))
    run_back_and_sum(work, total)
    work.out = cnp.PyArray_BYTES(sums)
    write_sums(work, total, 0, work.columns)
    return sums


def gradient_with_sums(activation, z, y, grad, out=None):
    """(g, s): what `activation.backward(z, y, grad, out)` and `column_sums` of it give; by y alone where z is None.

    out has z's shape and dtype and may be grad. Raises what those two raise.
    """
    cdef Work work
    cdef cnp.ndarray result
    cdef object given = y if z is None else z
    cdef Py_ssize_t n
    cdef int kind, threads
    if not (getattr(type(activation), "backward", None) is BACKWARD and floating(given)
            and plain(grad, 2, cnp.PyArray_TYPE(<cnp.ndarray>given), 0)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>grad, <cnp.ndarray>given)
            and (activation.by_value if z is None else not overwritten(z, y))
            and (out is None or can_hold(out, <cnp.ndarray>given, <cnp.ndarray>(given if out is grad else grad)))):
        result = activation.backward(z, y, grad=grad, out=out)
        return result, column_sums(result)
    kind = cnp.PyArray_TYPE(<cnp.ndarray>given)
    n = cnp.PyArray_SIZE(<cnp.ndarray>given)
    result = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(<cnp.ndarray>given), kind, 0) if out is None else <cnp.ndarray>out
    find_kernel(&work, activation, kind == cnp.NPY_FLOAT, PRODUCT_BY_VALUE if z is None else PRODUCT)
    work.z = cnp.PyArray_BYTES(<cnp.ndarray>given)
    work.other = cnp.PyArray_BYTES(<cnp.ndarray>grad)
    work.out = cnp.PyArray_BYTES(result)
    if n <= SMALL and cnp.PyArray_DIM(result, 1) <= NARROW and n > 0:
        return result, back_with_sums(&work, result)
    threads = threads_for(n)
    with nogil:
        share_cancellable(run_back, &work, n, GRAIN, threads, n)
    return result, summed(&work, result, None)
