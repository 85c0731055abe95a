# cython: cdivision=True
"""Losses of rows, other than softmax's cross entropy (softmax.pxd): sums along a row in double precision, then the
gradient from them. The target is the row t, or 1 at a label where t is NULL.
"""
from fastnn.core.softmax cimport log_of_sum
from fastnn.core.vecmath cimport INFINITY, absolute, at_least, exp, expm1, fma, log, real, square_root

cdef enum:
    LANES = 8           # running sums

ctypedef double (*term)(double x, double t) noexcept nogil


cdef inline double product(double x, double t) noexcept nogil:
    return x * t


cdef inline double first_squared(double x, double t) noexcept nogil:
    return x * x


cdef inline double second_squared(double x, double t) noexcept nogil:
    return t * t


cdef inline double first_alone(double x, double t) noexcept nogil:
    return x * (1 - t)


cdef inline double second_alone(double x, double t) noexcept nogil:
    return (1 - x) * t


cdef inline double added(term f, const real *x, const real *t, Py_ssize_t n) noexcept nogil:
    """sum(f(x, t))."""
    cdef double[LANES] sums
    cdef Py_ssize_t i, j
    for j in range(LANES):
        sums[j] = 0
    for i in range(0, n & -8, 8):
        for j in range(LANES):
            sums[j] += f(<double>x[i + j], <double>t[i + j])
    for i in range(n & -8, n):
        sums[i & 7] += f(<double>x[i], <double>t[i])
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))


# 1 - x t/(|x| |t|), a norm no less than eps = h[0]

cdef inline void cosine_row(const real *x, const real *t, real *grad, double *losses, Py_ssize_t n,
                            const double *h) noexcept nogil:
    cdef double inner = added(product, x, t, n)
    cdef double x_norm = square_root(added(first_squared, x, x, n))
    cdef double t_norm = at_least(square_root(added(first_squared, t, t, n)), h[0])
    cdef double held = at_least(x_norm, h[0])
    cdef double of_t = -1 / (held * t_norm)
    cdef double of_x = -(inner * of_t) / (held * held) if x_norm > h[0] else 0
    cdef Py_ssize_t i
    losses[0] = fma(inner, of_t, <double>1)
    if grad != NULL:
        for i in range(n):
            grad[i] = <real>fma(of_t, <double>t[i], of_x * <double>x[i])


# Tversky: 1 - (x t + s)/(x t + alpha x (1 - t) + beta (1 - x) t + s), each summed: (alpha FP + beta FN)/denominator

cdef inline void tversky_row(const real *x, const real *t, real *grad, double *losses, Py_ssize_t n,
                             const double *h) noexcept nogil:
    cdef double alpha = h[0], beta = h[1]
    cdef double hit = added(product, x, t, n) + h[2]
    cdef double missed = alpha * added(first_alone, x, t, n) + beta * added(second_alone, x, t, n)
    cdef double inverse = 1 / (hit + missed)
    # by x: (alpha (1 - t) - beta t) hit - t missed, over the denominator squared
    cdef double of_one = alpha * hit * inverse * inverse
    cdef double of_t = -((alpha + beta) * hit + missed) * inverse * inverse
    cdef Py_ssize_t i
    losses[0] = missed * inverse
    if grad != NULL:
        for i in range(n):
            grad[i] = <real>fma(of_t, <double>t[i], of_one)


# categorical hinge: max(1 + max((1 - t) x) - sum(t x), 0); of equal ones the first is the largest

cdef inline void categorical_hinge_row(const real *x, const real *t, Py_ssize_t label, real *grad, double *losses,
                                       Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t top = 0
    cdef double found, hit
    cdef double most = -<double>INFINITY
    cdef bint over
    hit = <double>x[label] if t == NULL else added(product, x, t, n)
    for i in range(n):
        if t == NULL:
            found = 0 if i == label else <double>x[i]
        else:
            found = (1 - <double>t[i]) * <double>x[i]
        if found > most:
            most, top = found, i
        elif found != found:
            hit = found
    losses[0] = at_least(1 + most - hit, <double>0)
    if grad == NULL:
        return
    over = losses[0] > 0 or losses[0] != losses[0]
    for i in range(n):
        grad[i] = -t[i] if t != NULL and over else <real>0
    if over:
        if t == NULL:
            grad[label] -= <real>1
            grad[top] += <real>0 if top == label else <real>1
        else:
            grad[top] += <real>1 - t[top]


# sparsemax: sum over the support of (x^2 - tau^2)/2 + t t/2 - t x, with gradient max(x - tau, 0) - t. tau by Michelot's
# steps: the mean excess of those above it, until none falls out

cdef inline void sparsemax_row(const real *x, const real *t, Py_ssize_t label, real *grad, double *losses,
                               Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, count
    cdef Py_ssize_t before = n + 1
    cdef double top = -<double>INFINITY
    cdef double tau = -1                    # of x - top: the largest is in the support, whatever lies 1 below it is not
    cdef double z, sum_, squares, given
    cdef bint clean = True
    for i in range(n):
        top = <double>x[i] if <double>x[i] > top else top
        clean = clean and x[i] == x[i]
    if not clean or top == <double>INFINITY:
        top = <double>INFINITY - <double>INFINITY       # NaN
    while True:
        sum_, count = 0, 0
        for i in range(n):
            z = <double>x[i] - top
            if z > tau:
                sum_ += z
                count += 1
        if count == before or count == 0:
            break
        before = count
        tau = (sum_ - 1) / count
    sum_, squares, given = 0, 0, 0
    for i in range(n):
        z = <double>x[i] - top
        if z > tau or z != z:
            sum_ += (z - tau) * (z + tau)
        if t != NULL and t[i] != <real>0:
            squares += <double>t[i] * <double>t[i]
            given += <double>t[i] * z
    if t == NULL:
        squares, given = 1, <double>x[label] - top
    losses[0] = at_least(0.5 * (sum_ + squares) - given, <double>0)
    if grad == NULL:
        return
    for i in range(n):
        z = <double>x[i] - top - tau
        grad[i] = <real>((0 if z < 0 else z) - (<double>t[i] if t != NULL else (1 if i == label else 0)))


# focal of softmax: sum(t (1 - p)^gamma (-log p)). With g = gamma p (1 - p)^(gamma - 1) log p - (1 - p)^gamma its
# gradient is t g - p sum(t g). h: gamma, and 1 where it is at least 1, 2 and 3 if it is one of 0 to 3, else 0 and 0 and 0

cdef inline double below(double x, double top) noexcept nogil:
    """x - top, 0 where both are the same infinity."""
    return 0 if x == top else x - top


cdef inline double power_of(double q, const double *h) noexcept nogil:
    if h[0] == 0:
        return 1
    if h[1] == 0:
        return exp(h[0] * log(q)) if q > 0 else q
    return q * (q if h[2] != 0 else 1) * (q if h[3] != 0 else 1)


cdef inline void focal_row(const real *x, const real *t, Py_ssize_t label, real *grad, double *losses, Py_ssize_t n,
                           const double *h) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t at = 0
    cdef double top = -<double>INFINITY
    cdef double rest = 0
    cdef double sum_ = 0
    cdef double loss = 0
    cdef double log_sum, inverse, log_p, p, q, power, weight, g
    for i in range(n):
        if <double>x[i] > top or x[i] != x[i]:
            top, at = <double>x[i], i
    for i in range(n):
        rest += 0 if i == at else exp(below(<double>x[i], top))
    log_sum = log_of_sum(rest)
    inverse = 1 / (1 + rest)
    for i in range(0 if t != NULL else label, n if t != NULL else label + 1):
        weight = <double>t[i] if t != NULL else 1
        if grad != NULL:
            grad[i] = <real>0
        if weight == 0:
            continue
        log_p = below(<double>x[i], top) - log_sum
        p = exp(log_p)
        q = rest * inverse if i == at else -expm1(log_p)
        power = power_of(q, h)
        loss -= weight * power * log_p
        g = power * ((h[0] * p * (log_p / q) if q > 0 and p > 0 else (-h[0] if p > 0 else p)) - 1) * weight
        sum_ += g
        if grad != NULL:
            grad[i] = <real>g
    losses[0] = loss
    if grad == NULL:
        return
    for i in range(n):
        g = <double>grad[i] if t != NULL or i == label else 0
        grad[i] = <real>(g - sum_ * (inverse if i == at else exp(below(<double>x[i], top)) * inverse))
