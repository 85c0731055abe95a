# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The gradient of weight decay that is part of a loss, added in one pass: the loop of an optimizer's l2 and l1."""
cimport numpy as cnp
from libc.stdint cimport uintptr_t

from fastnn.core.arrays cimport contiguous
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport decayed_double, decayed_float
from fastnn.core.threads cimport share_cancellable, threads_for

from fastnn.core.levels import rules

cnp.import_array()

cdef enum:
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives

cdef decayed_float single = <decayed_float><uintptr_t>rules.AROUND["decayed"][0]
cdef decayed_double double_ = <decayed_double><uintptr_t>rules.AROUND["decayed"][1]

cdef struct Work:
    bint single
    char *grad
    const char *weights
    double l2
    double l1


cdef void run(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.single:
        single(<const float *>work.weights + start, <float *>work.grad + start, stop - start, <float>work.l2,
               <float>work.l1)
    else:
        double_(<const double *>work.weights + start, <double *>work.grad + start, stop - start, work.l2, work.l1)
    fastnn_fp_leave(state)


def add_decay(grad, weights, double l2, double l1):
    """grad += l2 weights + l1 sign(weights), in place, for contiguous arrays of one shape, of float32 or float64.

    The same bits for any number of threads. Raises TypeError or ValueError for anything else.
    """
    cdef Work work
    cdef Py_ssize_t n
    cdef int threads
    cdef int kind = cnp.NPY_FLOAT if contiguous(weights, cnp.NPY_FLOAT, 0) else cnp.NPY_DOUBLE
    if not (contiguous(weights, kind, 0) and contiguous(grad, kind, cnp.NPY_ARRAY_WRITEABLE)):
        raise TypeError("gradient and weights must be contiguous arrays, both of float32 or both of float64")
    if not cnp.PyArray_SAMESHAPE(<cnp.ndarray>grad, <cnp.ndarray>weights):
        raise ValueError(f"gradient and weights must have one shape, not {grad.shape} and {weights.shape}")
    work.single = kind == cnp.NPY_FLOAT
    work.grad, work.weights = cnp.PyArray_BYTES(<cnp.ndarray>grad), cnp.PyArray_BYTES(<cnp.ndarray>weights)
    work.l2, work.l1 = l2, l1
    n = cnp.PyArray_SIZE(<cnp.ndarray>grad)
    if n < WITH_GIL:
        run(&work, 0, n)
        return
    threads = threads_for(n)
    with nogil:
        share_cancellable(run, &work, n, 64, threads, n)
