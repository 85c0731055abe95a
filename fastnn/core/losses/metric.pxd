# cython: cdivision=True
"""The triplet loss of three rows: max(margin + |a - p| - |a - n|, 0), sums along the rows in double precision.

|u| is the norm of order h[1] of u + eps, with swap |a - n| the smaller one of |a - n| and |p - n|: h holds margin, order,
eps and swap. Where two of them are the same, either counts for half of the gradient, as in PyTorch.
"""
from libc.math cimport pow

from fastnn.core.vecmath cimport INFINITY, absolute, at_least, real, square_root

cdef enum:
    LANES = 8           # running sums

cdef enum Order:
    OF_SQUARES
    OF_SIZES
    OF_THE_LARGEST
    OF_POWERS

ctypedef double (*term)(double size, double order) noexcept nogil


cdef inline double squared(double size, double order) noexcept nogil:
    return size * size


cdef inline double itself(double size, double order) noexcept nogil:
    return size


cdef inline double powered(double size, double order) noexcept nogil:
    return pow(size, order)


cdef inline double added(term f, const real *x, const real *y, Py_ssize_t n, double eps, double order) noexcept nogil:
    """sum(f(|x - y + eps|))."""
    cdef double[LANES] sums
    cdef Py_ssize_t i, j
    for j in range(LANES):
        sums[j] = 0
    for i in range(0, n & -8, 8):
        for j in range(LANES):
            sums[j] += f(absolute(<double>x[i + j] - <double>y[i + j] + eps), order)
    for i in range(n & -8, n):
        sums[i & 7] += f(absolute(<double>x[i] - <double>y[i] + eps), order)
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))


cdef inline double largest(const real *x, const real *y, Py_ssize_t n, double eps) noexcept nogil:
    cdef double found = 0
    cdef double size
    cdef Py_ssize_t i
    for i in range(n):
        size = absolute(<double>x[i] - <double>y[i] + eps)
        found = size if size > found or size != size else found
    return found


cdef inline Order kind_of(double order) noexcept nogil:
    if order == 2:
        return OF_SQUARES
    if order == 1:
        return OF_SIZES
    return OF_THE_LARGEST if order == <double>INFINITY else OF_POWERS


cdef inline double distance(const real *x, const real *y, Py_ssize_t n, Order kind, const double *h) noexcept nogil:
    if kind == OF_SQUARES:
        return square_root(added(squared, x, y, n, h[2], h[1]))
    if kind == OF_SIZES:
        return added(itself, x, y, n, h[2], h[1])
    if kind == OF_THE_LARGEST:
        return largest(x, y, n, h[2])
    return pow(added(powered, x, y, n, h[2], h[1]), 1 / h[1])


cdef inline double with_sign_of(double size, double d) noexcept nogil:
    return size if d > 0 else (-size if d < 0 else d)


cdef inline double slope(double d, Order kind, double order, double norm, double factor) noexcept nogil:
    """factor times the derivative of a norm in an element d; `factor` has the norm, or how many are the largest, in it."""
    if kind == OF_SQUARES:
        return factor * d
    if kind == OF_SIZES:
        return with_sign_of(factor, d)
    if kind == OF_THE_LARGEST:
        return with_sign_of(factor, d) if absolute(d) == norm else 0
    return with_sign_of(factor * pow(absolute(d) / norm, order - 1), d)


cdef inline double factor_of(const real *x, const real *y, Py_ssize_t n, Order kind, const double *h, double norm,
                             double share) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t count = 0
    if norm == 0:
        return 0
    if kind == OF_SQUARES:
        return share / norm
    if kind == OF_THE_LARGEST:
        for i in range(n):
            count += absolute(<double>x[i] - <double>y[i] + h[2]) == norm
        return share / count
    return share


cdef inline void triplet_row(Order kind, const real *a, const real *p, const real *negative, real *grad_a, real *grad_p,
                             real *grad_n, double *loss, double share, Py_ssize_t n, const double *h) noexcept nogil:
    cdef double eps = h[2], order = h[1]
    cdef double near = distance(a, p, n, kind, h)
    cdef double far = distance(a, negative, n, kind, h)
    cdef double other = <double>INFINITY
    cdef double of_near, of_far, of_other
    cdef double part = 1                # of |a - n| in the smaller one
    cdef double u, v, w
    cdef Py_ssize_t i
    if h[3] != 0:
        other = distance(p, negative, n, kind, h)
        part = 1 if far < other else (0.5 if far == other else 0)
    loss[0] = at_least(h[0] + near - (far if part > 0 or far != far else other), <double>0)
    if grad_a == NULL:
        return
    if loss[0] <= 0 or share == 0:
        for i in range(n):
            grad_a[i] = grad_p[i] = grad_n[i] = <real>0
        return
    of_near = factor_of(a, p, n, kind, h, near, share)
    of_far = factor_of(a, negative, n, kind, h, far, part * share)
    of_other = factor_of(p, negative, n, kind, h, other, (1 - part) * share) if h[3] != 0 else 0
    for i in range(n):
        u = slope(<double>a[i] - <double>p[i] + eps, kind, order, near, of_near)
        v = slope(<double>a[i] - <double>negative[i] + eps, kind, order, far, of_far)
        w = 0
        if h[3] != 0:
            w = slope(<double>p[i] - <double>negative[i] + eps, kind, order, other, of_other)
        grad_a[i] = <real>(u - v)
        grad_p[i] = <real>(-u - w)
        grad_n[i] = <real>(v + w)


cdef inline void triplet_rows(Order kind, const real *a, const real *p, const real *negative, real *grad_a, real *grad_p,
                              real *grad_n, double *losses, const double *shares, Py_ssize_t n, Py_ssize_t count,
                              const double *h) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        triplet_row(kind, a + r * n, p + r * n, negative + r * n, grad_a + r * n if grad_a != NULL else NULL,
                    grad_p + r * n if grad_p != NULL else NULL, grad_n + r * n if grad_n != NULL else NULL, losses + r,
                    shares[r], n, h)
