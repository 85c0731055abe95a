# cython: cdivision=True
"""Softmax and its family over one contiguous row: values, diagonal derivatives, vector-Jacobian products, and the loss.

Everything is shifted by the row's maximum and summed in double precision, compensated where the data are double.
With y the softmax of the row (of -row for softmin) and L the log-softmax:

    softmax      dy_i/dx_i =  y (1 - y)    second  y (1 - y)(1 - 2y)    product  y (g - sum(g y))
    softmin      dy_i/dx_i = -y (1 - y)    second  y (1 - y)(1 - 2y)    product -y (g - sum(g y))
    log-softmax  dL_i/dx_i =  1 - y        second -y (1 - y)            product  g - y sum(g)

An infinite maximum is taken as the limit: its holders share 1, the others get 0.
"""
from fastnn.core.vecmath cimport INFINITY, absolute, exp, log, real

cdef enum:
    VALUE = 0
    FIRST = 1
    SECOND = 2
    PRODUCT = 3
    LANES = 8


cdef inline void add(double *sum_, double *lost, double term, real kind) noexcept nogil:
    """sum_ += term; for double data what the rounding lost is kept (Neumaier)."""
    cdef double s = sum_[0] + term
    if real is double:
        lost[0] = lost[0] + ((sum_[0] - s) + term if absolute(sum_[0]) >= absolute(term) else (term - s) + sum_[0])
    sum_[0] = s


cdef inline double product_of(const real *x, const real *weight, Py_ssize_t i) noexcept nogil:
    return <double>x[i] * <double>weight[i] if weight != NULL else <double>x[i]


cdef inline double dot(const real *x, const real *weight, Py_ssize_t n) noexcept nogil:
    """sum(x * weight), or sum(x) where weight is NULL, in LANES running sums."""
    cdef double sums[LANES]
    cdef double lost[LANES]
    cdef double whole = 0
    cdef double kept = 0
    cdef Py_ssize_t i, j
    if n >= 2 * LANES:
        for j in range(LANES):
            sums[j] = 0
            lost[j] = 0
        for i in range(0, n - 7, 8):
            for j in range(LANES):
                add[real](&sums[j], &lost[j], product_of(x, weight, i + j), <real>0)
        for j in range(LANES):
            add[real](&whole, &kept, sums[j], <real>0)
            kept += lost[j] if real is double else 0
    for i in range(n - n % LANES if n >= 2 * LANES else 0, n):
        add[real](&whole, &kept, product_of(x, weight, i), <real>0)
    return whole + kept


cdef inline real maximum(const real *x, real sign, Py_ssize_t n) noexcept nogil:
    cdef real tops[LANES]
    cdef real top = -<real>INFINITY
    cdef Py_ssize_t i, j
    if n < 2 * LANES:
        for i in range(n):
            top = sign * x[i] if sign * x[i] > top else top
        return top
    for j in range(LANES):
        tops[j] = -<real>INFINITY
    for i in range(0, n - 7, 8):
        for j in range(LANES):
            tops[j] = sign * x[i + j] if sign * x[i + j] > tops[j] else tops[j]
    top = tops[0]
    for j in range(1, LANES):
        top = tops[j] if tops[j] > top else top
    for i in range(n - n % LANES, n):
        top = sign * x[i] if sign * x[i] > top else top
    return top


cdef inline real shifted(real x, real top) noexcept nogil:
    """x - top, 0 where both are the same infinity."""
    return <real>0 if x == top else x - top


cdef inline double exponentials(const real *x, real sign, real top, real *e, Py_ssize_t n) noexcept nogil:
    """e = exp(sign x - top); their sum."""
    cdef Py_ssize_t i
    for i in range(n):
        e[i] = exp(shifted(sign * x[i], top))
    return dot(e, <const real *>NULL, n)


cdef inline void softmax_signed(int order, const real *x, const real *g, real *out, Py_ssize_t n,
                                real sign) noexcept nogil:
    cdef real sum_ = <real>exponentials(x, sign, maximum(x, sign, n), out, n)
    cdef real mean
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = out[i] / sum_
    if order == FIRST:
        for i in range(n):
            out[i] = sign * out[i] * (<real>1 - out[i])
    elif order == SECOND:
        for i in range(n):
            out[i] = out[i] * (<real>1 - out[i]) * (<real>1 - <real>2 * out[i])
    elif order == PRODUCT:
        mean = <real>dot(out, g, n)
        for i in range(n):
            out[i] = sign * out[i] * (g[i] - mean)


cdef inline void softmax(int order, const real *x, const real *g, real *out, Py_ssize_t n) noexcept nogil:
    softmax_signed(order, x, g, out, n, <real>1)


cdef inline void softmin(int order, const real *x, const real *g, real *out, Py_ssize_t n) noexcept nogil:
    softmax_signed(order, x, g, out, n, <real>-1)


cdef inline void log_softmax(int order, const real *x, const real *g, real *out, Py_ssize_t n) noexcept nogil:
    cdef real top = maximum(x, <real>1, n)
    cdef double sum_ = exponentials(x, <real>1, top, out, n)
    cdef real log_sum, inverse, sum_g
    cdef Py_ssize_t i
    if order == VALUE:
        log_sum = <real>log(sum_)
        for i in range(n):
            out[i] = shifted(x[i], top) - log_sum
        return
    inverse = <real>(1 / sum_)
    if order == FIRST:
        for i in range(n):
            out[i] = <real>1 - out[i] * inverse
    elif order == SECOND:
        for i in range(n):
            out[i] = -(out[i] * inverse) * (<real>1 - out[i] * inverse)
    else:
        sum_g = <real>dot(g, <const real *>NULL, n)
        for i in range(n):
            out[i] = g[i] - out[i] * inverse * sum_g


cdef inline double softmax_cross_entropy(const real *x, const real *t, Py_ssize_t label, real *grad,
                                         Py_ssize_t n) noexcept nogil:
    """-sum(t log softmax(x)) and its gradient, softmax(x) sum(t) - t, for a row of logits.

    The target is the row t, or 1 at `label` where t is NULL.
    """
    cdef real top = maximum(x, <real>1, n)
    cdef double sum_ = exponentials(x, <real>1, top, grad, n)
    cdef real scale
    cdef double loss = 0
    cdef double log_sum = log(sum_)
    cdef Py_ssize_t i
    if t == NULL:
        scale = <real>(1 / sum_)
        for i in range(n):
            grad[i] = grad[i] * scale
        grad[label] -= <real>1
        return log_sum - <double>shifted(x[label], top)
    scale = <real>(dot(t, <const real *>NULL, n) / sum_)
    for i in range(n):
        grad[i] = grad[i] * scale - t[i]
        if t[i] != <real>0:
            loss += <double>t[i] * (log_sum - <double>shifted(x[i], top))
    return loss
