# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The mean of a row loss over a batch of logits, with its gradient, in one pass."""
import math

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uintptr_t

from fastnn.core.arrays cimport apart, contiguous
from fastnn.core.compensated cimport Compensated, add_all, value_of
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport row_loss_double, row_loss_float
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real

cnp.import_array()

cdef enum:
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives
    ROWS_IN_CACHE = 2048    # elements of rows whose gradients are scaled while they are in the first-level cache
    UNTIL_POLL = 1 << 24    # losses that are summed between two polls for signals

cdef struct Work:
    uintptr_t kernel
    bint single
    Py_ssize_t columns
    const char *x
    const char *target      # one distribution a row, or NULL
    const Py_ssize_t *labels
    char *gradient
    double *losses
    double share            # of a row in the mean


cdef inline void scale(real *a, real factor, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] *= factor


cdef void run_rows(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t most = max(<Py_ssize_t>1, ROWS_IN_CACHE // work.columns)
    cdef Py_ssize_t at, rows, n
    cdef const Py_ssize_t *labels
    while start < stop:
        rows = min(most, stop - start)
        at = start * work.columns
        n = rows * work.columns
        labels = work.labels + start if work.labels != NULL else NULL
        if work.single:
            (<row_loss_float>work.kernel)(
                <const float *>work.x + at, <const float *>work.target + at if work.target != NULL else NULL, labels,
                <float *>work.gradient + at, work.losses + start, work.columns, rows, NULL)
            scale(<float *>work.gradient + at, <float>work.share, n)
        else:
            (<row_loss_double>work.kernel)(
                <const double *>work.x + at, <const double *>work.target + at if work.target != NULL else NULL, labels,
                <double *>work.gradient + at, work.losses + start, work.columns, rows, NULL)
            scale(<double *>work.gradient + at, work.share, n)
        start += rows
    fastnn_fp_leave(state)


cdef double mean(const double *a, Py_ssize_t n) except? -1:
    cdef Compensated sum_ = Compensated(0, 0)
    cdef Py_ssize_t start = 0
    while n - start > UNTIL_POLL:
        add_all(&sum_, a + start, UNTIL_POLL)
        start += UNTIL_POLL
        PyErr_CheckSignals()
    add_all(&sum_, a + start, n - start)
    return value_of(&sum_) / n


def labels_fit(cnp.ndarray labels, Py_ssize_t classes):
    """Whether all labels, of dtype intp and contiguous, lie in 0..classes - 1."""
    cdef const cnp.npy_intp *p
    cdef Py_ssize_t i
    cdef bint fit = True
    if not contiguous(labels, cnp.NPY_INTP, 0):
        raise TypeError(f"labels must be contiguous integers of dtype {np.dtype(np.intp)}, not {labels.dtype}")
    p = <const cnp.npy_intp *>cnp.PyArray_DATA(labels)
    for i in range(cnp.PyArray_SIZE(labels)):
        fit = fit and 0 <= p[i] < classes
    return fit


def mean_row_loss(tuple kernels not None, x, t, out):
    """The mean of the rows' losses, a float summed in double precision; its gradient goes to `out`.

    kernels are the addresses of the row loss for float and for double. x, the logits, is a contiguous matrix of
    float32 or float64, `out` the same, apart from x and t. t holds labels of dtype intp, one a row, or distributions,
    of x's shape and dtype. NaN where there are no rows.
    Raises TypeError or ValueError for anything else, and ValueError for labels out of range.
    """
    cdef Work work
    cdef cnp.ndarray logits, gradient, losses
    cdef Py_ssize_t rows
    cdef int threads
    cdef int kind = cnp.NPY_FLOAT if contiguous(x, cnp.NPY_FLOAT, 0) else cnp.NPY_DOUBLE
    if not (contiguous(x, kind, 0) and contiguous(out, kind, cnp.NPY_ARRAY_WRITEABLE)):
        raise TypeError("logits and out must be contiguous arrays, both of float32 or both of float64")
    logits, gradient = <cnp.ndarray>x, <cnp.ndarray>out
    if cnp.PyArray_NDIM(logits) != 2 or not cnp.PyArray_SAMESHAPE(logits, gradient):
        raise ValueError(f"logits and out must be matrices of one shape, not {x.shape} and {out.shape}")
    rows, work.columns = cnp.PyArray_DIM(logits, 0), cnp.PyArray_DIM(logits, 1)
    if work.columns == 0:
        raise ValueError("logits must have at least one class")
    if rows == 0:
        return math.nan
    if not apart(gradient, logits):
        raise ValueError("out must not share memory with the logits")
    work.target, work.labels = NULL, NULL
    if contiguous(t, kind, 0) and cnp.PyArray_SAMESHAPE(logits, <cnp.ndarray>t):
        work.target = cnp.PyArray_BYTES(<cnp.ndarray>t)
    elif (contiguous(t, cnp.NPY_INTP, 0) and cnp.PyArray_NDIM(<cnp.ndarray>t) == 1
          and cnp.PyArray_DIM(<cnp.ndarray>t, 0) == rows):
        if not labels_fit(<cnp.ndarray>t, work.columns):
            raise ValueError(f"labels must be from 0 to {work.columns - 1}, not {t.min()} to {t.max()}")
        work.labels = <const Py_ssize_t *>cnp.PyArray_DATA(<cnp.ndarray>t)
    else:
        raise ValueError(f"targets must be labels of shape ({rows},) and dtype {np.dtype(np.intp)}, "
                         f"or distributions of the logits' shape {x.shape} and dtype {x.dtype}")
    if not apart(gradient, <cnp.ndarray>t):         # labels are read after gradients of other rows have been written
        raise ValueError("out must not share memory with the targets")
    losses = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(logits), cnp.NPY_DOUBLE, 0)
    work.single = kind == cnp.NPY_FLOAT
    work.kernel = kernels[0 if work.single else 1]
    work.share = 1.0 / rows
    work.x = cnp.PyArray_BYTES(logits)
    work.gradient = cnp.PyArray_BYTES(gradient)
    work.losses = <double *>cnp.PyArray_DATA(losses)
    if cnp.PyArray_SIZE(logits) < WITH_GIL:
        run_rows(&work, 0, rows)
    else:
        threads = threads_for(cnp.PyArray_SIZE(logits))
        with nogil:
            share_cancellable(run_rows, &work, rows, 1, threads, cnp.PyArray_SIZE(logits))
    return mean(work.losses, rows)
