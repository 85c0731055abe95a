# cython: cdivision=True
"""The loops of elementwise losses and, in `LOSSES`, their addresses.

Compiled once per instruction-set level (tools/translation.py). The signatures are those of kernels.pxd.
"""
from libc.stdint cimport uintptr_t

from fastnn.core.kernels cimport BOTH, MOST_PARAMETERS, VALUE
from fastnn.core.losses cimport metric, rows
from fastnn.core.losses.targets cimport Targets, made_of
from fastnn.core.loops cimport MAP_STEP, Seen, see, seen_all
from fastnn.core.vecmath cimport fma, real

include "loss_kernels.pxi"


# What is done to a block of values or derivatives: pair_losses.pyx.

cdef void weigh(real *a, const real *weights, Py_ssize_t n) noexcept nogil:
    """a times the weights; 0, whatever it is, where a weight is 0."""
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = <real>0 if weights[i] == <real>0 else a[i] * weights[i]


cdef void add_weighed(real *a, const real *b, const real *weights, Py_ssize_t n) noexcept nogil:
    """To a what `weigh` makes of b."""
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = a[i] if weights[i] == <real>0 else fma(b[i], weights[i], a[i])


cdef bint make_targets(const Targets *how, const real *t, real *made, real *negative, real *positive, Py_ssize_t start,
                       Py_ssize_t n) noexcept nogil:
    return made_of(how, t, made, negative, positive, start, n)


STEP = MAP_STEP             # as of elementwise kernels

WEIGH = (<uintptr_t>weigh[float], <uintptr_t>weigh[double])
ADD_WEIGHED = (<uintptr_t>add_weighed[float], <uintptr_t>add_weighed[double])
MAKE_TARGETS = (<uintptr_t>make_targets[float], <uintptr_t>make_targets[double])


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


cdef void log_likelihood(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses, Py_ssize_t n,
                         Py_ssize_t count, const double *h) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        rows.log_likelihood_row(x + r * n, t + r * n if t != NULL else <const real *>NULL, labels[r] if t == NULL else -1,
                                grad + r * n if grad != NULL else <real *>NULL, losses + r, n)


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
    "tversky": ((<uintptr_t>tversky[float], <uintptr_t>tversky[double]), ("alpha", "beta", "smooth", "held")),
    "log_likelihood": ((<uintptr_t>log_likelihood[float], <uintptr_t>log_likelihood[double]), ()),
    "categorical_hinge": ((<uintptr_t>categorical_hinge[float], <uintptr_t>categorical_hinge[double]), ()),
    "sparsemax": ((<uintptr_t>sparsemax[float], <uintptr_t>sparsemax[double]), ()),
    "softmax_focal": ((<uintptr_t>softmax_focal[float], <uintptr_t>softmax_focal[double]),
                      ("gamma", "one", "two", "three")),
}


cdef void triplet(const real *a, const real *p, const real *negative, real *grad_a, real *grad_p, real *grad_n,
                  double *losses, const double *shares, Py_ssize_t n, Py_ssize_t count, const double *h) noexcept nogil:
    cdef metric.Order kind = metric.kind_of(h[1])
    if kind == metric.OF_SQUARES:
        metric.triplet_rows(metric.OF_SQUARES, a, p, negative, grad_a, grad_p, grad_n, losses, shares, n, count, h)
    elif kind == metric.OF_SIZES:
        metric.triplet_rows(metric.OF_SIZES, a, p, negative, grad_a, grad_p, grad_n, losses, shares, n, count, h)
    else:
        metric.triplet_rows(kind, a, p, negative, grad_a, grad_p, grad_n, losses, shares, n, count, h)


TRIPLET = (<uintptr_t>triplet[float], <uintptr_t>triplet[double])
