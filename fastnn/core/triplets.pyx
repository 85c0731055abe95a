# cython: boundscheck=False, initializedcheck=False
"""The triplet loss of three arrays of rows along the last axis, its three gradients in the same pass (losses/metric.pxd).

A row belongs to one thread, so results do not depend on the number of threads. Weight 0 leaves a row out, whatever it is.
"""
import math

import numpy as np

cimport numpy as cnp
from libc.stdint cimport uintptr_t

from fastnn.core.arrays cimport as_array, copied, operand, result_dtype
from fastnn.core.compensated cimport sum_of
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport triplet_double, triplet_float
from fastnn.core.memory cimport new_result
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real
from fastnn.core.levels import losses as compiled
from fastnn.core.pair_losses import leading

cnp.import_array()

cdef enum:
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives
    TOGETHER = 32           # rows that a thread takes at once where they are short
    SHORT = 32              # elements

cdef uintptr_t[2] kernels = compiled.TRIPLET

cdef struct Work:
    double constants[4]
    bint single
    Py_ssize_t columns
    char *operands[3]
    char *gradients[3]      # or NULL
    double *losses
    const double *shares    # of rows in what is reduced


cdef inline void run_some(const Work *work, real *a, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t at = row * work.columns
    cdef const real *p = <const real *>work.operands[1] + at
    cdef const real *negative = <const real *>work.operands[2] + at
    cdef real *grad_a = NULL
    cdef real *grad_p = NULL
    cdef real *grad_n = NULL
    if work.gradients[0] != NULL:
        grad_a = <real *>work.gradients[0] + at
        grad_p = <real *>work.gradients[1] + at
        grad_n = <real *>work.gradients[2] + at
    if real is float:
        (<triplet_float>kernels[0])(a + at, p, negative, grad_a, grad_p, grad_n, work.losses + row, work.shares + row,
                                    work.columns, rows, work.constants)
    else:
        (<triplet_double>kernels[1])(a + at, p, negative, grad_a, grad_p, grad_n, work.losses + row, work.shares + row,
                                     work.columns, rows, work.constants)


cdef void run_rows(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.single:
        run_some(work, <float *>work.operands[0], start, stop - start)
    else:
        run_some(work, <double *>work.operands[0], start, stop - start)
    fastnn_fp_leave(state)


cdef void weigh(double *losses, const double *weights, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        losses[i] = 0 if weights[i] == 0 else losses[i] * weights[i]


def triplet(tuple constants, anchor, positive, negative, bint wanted, str reduction, weights=None):
    """(losses of shape anchor.shape[:-1], or their sum or mean; the gradients of that in the three, or None).

    constants are margin, order of the norm, eps and swap. The three are of one shape, the others cast to the anchor's
    dtype. Raises TypeError and ValueError for what does not fit.
    """
    cdef cnp.ndarray a = as_array(anchor, "anchor")
    cdef cnp.ndarray others, losses, each, array
    cdef list operands = [a]
    cdef list gradients = []
    cdef Py_ssize_t count, repeats
    cdef Py_ssize_t grain = 1
    cdef int i, threads
    cdef Work work
    result_dtype(a)
    others, array = as_array(positive, "positive"), as_array(negative, "negative")
    if weights is not None:
        weights = as_array(weights, "sample_weight")
    for name, others in (("positive", others), ("negative", array)):    # an __array__ may have done anything to the others
        if (<object>others).shape != (<object>a).shape:
            raise ValueError(f"{name} must have the anchor's shape {(<object>a).shape}, not {(<object>others).shape}")
        operands.append(operand(others, a, name))
    shape = (<object>a).shape
    if not shape or shape[-1] == 0:
        raise ValueError("anchors must have at least one axis, the last of at least one element")
    dtype = result_dtype(a)
    work.single = dtype.itemsize <= 4
    compute = np.dtype(np.float32 if work.single else np.float64)
    losses = np.empty(shape[:-1], np.float64)
    count = cnp.PyArray_SIZE(losses)
    each = np.ones(count, np.float64)
    if weights is not None:
        array, repeats = leading(weights, shape[:-1], np.dtype(np.float64))
        each = np.repeat((<object>array).reshape(-1), repeats)
    shares = each / count if reduction == "mean" and count else each
    for i in range(3):
        operands[i] = copied(operands[i], compute)
        work.operands[i] = cnp.PyArray_BYTES(<cnp.ndarray>operands[i])
        work.gradients[i] = NULL
        if wanted:
            gradients.append(new_result(a, cnp.NPY_FLOAT if work.single else cnp.NPY_DOUBLE, False))
            work.gradients[i] = cnp.PyArray_BYTES(<cnp.ndarray>gradients[i])
    for i in range(4):
        work.constants[i] = constants[i]
    work.columns = shape[-1]
    work.losses = <double *>cnp.PyArray_DATA(losses)
    work.shares = <const double *>cnp.PyArray_DATA(<cnp.ndarray>shares)
    if cnp.PyArray_SIZE(a) < WITH_GIL:
        run_rows(&work, 0, count)
    else:
        grain = TOGETHER if work.columns <= SHORT and count > 4 * TOGETHER else 1
        threads = threads_for(cnp.PyArray_SIZE(a) * (1 if work.single else 2))
        with nogil:
            share_cancellable(run_rows, &work, count, grain, threads, work.columns * count)
    if weights is not None:
        weigh(work.losses, <const double *>cnp.PyArray_DATA(each), count)
    found = tuple([gradient if dtype == compute else copied(gradient, dtype) for gradient in gradients]) or None
    if reduction == "none":
        return copied(losses, dtype)[()], found
    loss = sum_of(work.losses, count)
    return (loss if reduction == "sum" else loss / count if count else math.nan), found


def computed_in(value, str name):
    """(an array in the dtype that is computed in, row after row; the dtype of results). Raises TypeError."""
    cdef cnp.ndarray a = as_array(value, name)
    dtype = result_dtype(a)
    return copied(a, np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)), dtype


def in_dtype(array, dtype):
    """An array or scalar in this dtype, without warnings."""
    return copied(np.asarray(array), dtype)[()]
