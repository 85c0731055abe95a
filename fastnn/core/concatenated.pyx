# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The positive and the negative part of an array, one behind the other along an axis, in one pass; and the way back."""
import numpy as np

cimport numpy as cnp

from fastnn.core.arrays cimport (apart, as_array, checked_out, contiguous, copied, fill, operand, result_dtype)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.memory cimport new_result
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real

cnp.import_array()

cdef enum:
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives
    GRAIN = 1024

cdef struct Work:
    # x and dx are rows of `chunk` elements, the array of both parts is rows of two such chunks
    bint single
    bint back
    Py_ssize_t chunk
    char *x
    char *parts
    char *gradient


cdef inline void split(const real *x, real *positive, real *negative, Py_ssize_t n) noexcept nogil:
    """max(x, 0) and max(-x, 0); NaN in both."""
    cdef Py_ssize_t i
    cdef real a
    for i in range(n):
        a = x[i]
        positive[i] = <real>0 if a < <real>0 else a
        negative[i] = <real>0 if a > <real>0 else -a


cdef inline void join(const real *x, const real *of_positive, const real *of_negative, real *out,
                      Py_ssize_t n) noexcept nogil:
    """The gradient of the part that x is in, of the negative one with its sign turned; 0 at 0, NaN for NaN."""
    cdef Py_ssize_t i
    cdef real a, b, c
    for i in range(n):
        a, b, c = x[i], of_positive[i], -of_negative[i]
        b = b if a > <real>0 else a * <real>0
        out[i] = c if a < <real>0 else b


cdef inline void run_rows(const Work *work, const real *like, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t at, n
    cdef const real *x
    cdef real *parts
    while start < stop:
        at = start % work.chunk
        n = min(work.chunk - at, stop - start)
        x = <const real *>work.x + start
        parts = <real *>work.parts + 2 * (start - at) + at
        if work.back:
            join(x, parts, parts + work.chunk, <real *>work.gradient + start, n)
        else:
            split(x, parts, parts + work.chunk, n)
        start += n


cdef void run_part(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.single:
        run_rows(work, <const float *>work.x, start, stop)
    else:
        run_rows(work, <const double *>work.x, start, stop)
    fastnn_fp_leave(state)


cdef int run(Work *work, Py_ssize_t n) except -1:
    if n < WITH_GIL:
        run_part(work, 0, n)
        return 0
    cdef int threads = threads_for(n if work.single else 2 * n)
    with nogil:
        return share_cancellable(run_part, work, n, GRAIN, threads, n)


cdef Py_ssize_t begin(Work *work, cnp.ndarray a, int axis, bint back) except -1:
    """Set what the work is but for its memory; the axis counted from 0."""
    cdef int axes = cnp.PyArray_NDIM(a)
    cdef int i
    if not -axes <= axis < axes:
        raise ValueError(f"x has {axes} axes, and no axis {axis} along which its parts are concatenated")
    axis += axes * (axis < 0)
    work.chunk = 1
    for i in range(axis, axes):
        work.chunk *= cnp.PyArray_DIM(a, i)
    work.chunk = max(<Py_ssize_t>1, work.chunk)             # something is divided by it
    work.back = back
    return axis


cdef object doubled(cnp.ndarray a, Py_ssize_t axis):
    """An array without memory of its own, of the shape of both parts."""
    shape = list((<object>a).shape)
    shape[axis] *= 2
    return np.broadcast_to(np.empty((), a.dtype), shape)


cdef cnp.ndarray direct(object out, object computed, cnp.ndarray like, cnp.ndarray a, cnp.ndarray b):
    """`out`, if results can be written there at once, else a new array of like's shape."""
    cdef int kind = cnp.NPY_FLOAT if computed == np.float32 else cnp.NPY_DOUBLE
    if out is not None and contiguous(out, kind, cnp.NPY_ARRAY_WRITEABLE) and apart(<cnp.ndarray>out, a) and (
            b is None or apart(<cnp.ndarray>out, b)):
        return out
    return new_result(like, kind, False)


cdef object given_back(cnp.ndarray wide, object result, object dtype, object out):
    if result is None and wide.dtype != dtype:
        result = np.empty((<object>wide).shape, dtype)
    if result is not None and result is not wide:
        fill(result, wide)
    return wide if result is None else result if out is None else out


def forward(x, int axis, out=None):
    """max(x, 0) and, behind it along the axis, max(-x, 0)."""
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef object dtype = result_dtype(a)
    cdef object computed = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    cdef cnp.ndarray wide, like
    axis = begin(&work, a, axis, False)
    a = copied(a, computed)
    like = doubled(a, axis)
    result = None if out is None else checked_out(out, like, dtype, "out")
    wide = direct(result, computed, like, a, None)
    work.single = computed == np.float32
    work.x, work.parts = cnp.PyArray_BYTES(a), cnp.PyArray_BYTES(wide)
    if cnp.PyArray_SIZE(a):
        run(&work, cnp.PyArray_SIZE(a))
    return given_back(wide, result, dtype, out)


def backward(x, grad, int axis, out=None):
    """The gradient of x, given that of both parts."""
    cdef Work work
    cdef cnp.ndarray a = as_array(x, "x")
    cdef object dtype = result_dtype(a)
    cdef object computed = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    cdef cnp.ndarray wide, g
    axis = begin(&work, a, axis, True)
    g = copied(operand(grad, doubled(a, axis), "grad"), computed)
    result = None if out is None else checked_out(out, a, dtype, "out")
    a = copied(a, computed)
    wide = direct(result, computed, a, a, g)
    work.single = computed == np.float32
    work.x, work.parts, work.gradient = cnp.PyArray_BYTES(a), cnp.PyArray_BYTES(g), cnp.PyArray_BYTES(wide)
    if cnp.PyArray_SIZE(a):
        run(&work, cnp.PyArray_SIZE(a))
    return given_back(wide, result, dtype, out)
