# cython: cdivision=True
"""The loops of elementwise losses and, in `LOSSES`, their addresses.

`_losses_<level>.pyx` includes this file once per instruction-set level. The signatures are those of kernels.pxd.
"""
from libc.stdint cimport uintptr_t

from fastnn.core.kernels cimport BOTH, VALUE
from fastnn.core.losses cimport rows
from fastnn.core.loops cimport MAP_STEP
from fastnn.core.vecmath cimport real

include "loss_kernels.pxi"


# What is done to a block of values or derivatives (pair_losses.pyx).

cdef void weigh(real *a, const real *weights, Py_ssize_t n) noexcept nogil:
    """a times the weights; 0, whatever it is, where a weight is 0."""
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = <real>0 if weights[i] == <real>0 else a[i] * weights[i]


cdef double total(const real *a, Py_ssize_t n) noexcept nogil:
    """The sum, in 16 running sums."""
    cdef double[16] sums
    cdef Py_ssize_t i, j
    for j in range(16):
        sums[j] = 0
    for i in range(0, n & -16, 16):
        for j in range(16):
            sums[j] += <double>a[i + j]
    for i in range(n & -16, n):
        sums[i & 15] += <double>a[i]
    for j in range(8):
        sums[j] += sums[j + 8]
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))


cdef void scaled(const real *a, real *out, Py_ssize_t n, real factor) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = a[i] * factor


STEP = MAP_STEP             # as of elementwise kernels

# by dtype: weigh, total, scaled
BLOCKS = {
    "float32": (<uintptr_t>weigh[float], <uintptr_t>total[float], <uintptr_t>scaled[float]),
    "float64": (<uintptr_t>weigh[double], <uintptr_t>total[double], <uintptr_t>scaled[double]),
}


# Losses of rows: kernels.pxd.

cdef void cosine(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses, Py_ssize_t n,
                 Py_ssize_t count, const double *h) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        rows.cosine_row(x + r * n, t + r * n, grad + r * n if grad != NULL else <real *>NULL, losses + r, n, h)


cdef void tversky(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses, Py_ssize_t n,
                  Py_ssize_t count, const double *h) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        rows.tversky_row(x + r * n, t + r * n, grad + r * n if grad != NULL else <real *>NULL, losses + r, n, h)


cdef void categorical_hinge(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses,
                            Py_ssize_t n, Py_ssize_t count, const double *h) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        rows.categorical_hinge_row(x + r * n, t + r * n if t != NULL else <const real *>NULL,
                                   labels[r] if t == NULL else -1, grad + r * n if grad != NULL else <real *>NULL,
                                   losses + r, n)


cdef void sparsemax(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses, Py_ssize_t n,
                    Py_ssize_t count, const double *h) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        rows.sparsemax_row(x + r * n, t + r * n if t != NULL else <const real *>NULL, labels[r] if t == NULL else -1,
                           grad + r * n if grad != NULL else <real *>NULL, losses + r, n)


cdef void softmax_focal(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses,
                        Py_ssize_t n, Py_ssize_t count, const double *h) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        rows.focal_row(x + r * n, t + r * n if t != NULL else <const real *>NULL, labels[r] if t == NULL else -1,
                       grad + r * n if grad != NULL else <real *>NULL, losses + r, n, h)


# name: ((address for float, for double), names of the constants)
ROW_LOSSES = {
    "cosine": ((<uintptr_t>cosine[float], <uintptr_t>cosine[double]), ("eps",)),
    "tversky": ((<uintptr_t>tversky[float], <uintptr_t>tversky[double]), ("alpha", "beta", "smooth")),
    "categorical_hinge": ((<uintptr_t>categorical_hinge[float], <uintptr_t>categorical_hinge[double]), ()),
    "sparsemax": ((<uintptr_t>sparsemax[float], <uintptr_t>sparsemax[double]), ()),
    "softmax_focal": ((<uintptr_t>softmax_focal[float], <uintptr_t>softmax_focal[double]),
                      ("gamma", "one", "two", "three")),
}
