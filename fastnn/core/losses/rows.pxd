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


# 1 - x t/(|x| |t|), a norm no less than eps = h[0]. Of doubles whose squares leave the range, x and t are scaled by powers
# of two, which changes no digit

cdef inline double kept_in_range(const real *x, Py_ssize_t n, double squares) noexcept nogil:
    """A power of two to multiply x with, whose squares have that sum."""
    cdef double most = 0
    cdef Py_ssize_t i
    if real is float or squares > 1e-280 and squares < 1e280:
        return 1
    for i in range(n):
        most = absolute(<double>x[i]) if absolute(<double>x[i]) > most else most
    return 7.111536621500363e-161 if most > 1 else 1.4061658996887436e+160          # 2^-532, 2^532


cdef inline void cosine_row(const real *x, const real *t, real *grad, double *losses, Py_ssize_t n,
                            const double *h) noexcept nogil:
    cdef double x_squares = added(first_squared, x, x, n)
    cdef double t_squares = added(first_squared, t, t, n)
    cdef double of_x = kept_in_range(x, n, x_squares)
    cdef double of_t = kept_in_range(t, n, t_squares)
    cdef double inner, held, t_norm, x_norm, back
    cdef Py_ssize_t i
    if of_x == 1 and of_t == 1:
        inner = added(product, x, t, n)
    else:
        inner, x_squares, t_squares = 0, 0, 0
        for i in range(n):
            inner += (of_x * <double>x[i]) * (of_t * <double>t[i])
            x_squares += (of_x * <double>x[i]) * (of_x * <double>x[i])
            t_squares += (of_t * <double>t[i]) * (of_t * <double>t[i])
    x_norm = square_root(x_squares)
    held = at_least(x_norm, of_x * h[0])
    t_norm = at_least(square_root(t_squares), of_t * h[0])
    losses[0] = fma(inner / held, -1 / t_norm, <double>1)
    if grad == NULL:
        return
    back = inner / held / t_norm / held * of_x if x_norm > of_x * h[0] else 0
    held = -(of_x / held)
    x_norm = x_norm if x_norm > 0 else 1            # a row of zeros
    for i in range(n):
        grad[i] = <real>fma(held, of_t * <double>t[i] / t_norm, back * (of_x * <double>x[i] / x_norm))


# Tversky: 1 - (x t + s)/(x t + alpha x (1 - t) + beta (1 - x) t + s), each summed: (alpha FP + beta FN)/denominator. h[3] is
# added to the denominator alone

cdef inline void tversky_row(const real *x, const real *t, real *grad, double *losses, Py_ssize_t n,
                             const double *h) noexcept nogil:
    cdef double alpha = h[0], beta = h[1]
    cdef double hit = added(product, x, t, n) + h[2]
    cdef double missed = alpha * added(first_alone, x, t, n) + beta * added(second_alone, x, t, n) + h[3]
    cdef double inverse = 1 / (hit + missed)
    # by x: (alpha (1 - t) - beta t) hit - t missed, over the denominator squared
    cdef double of_one = alpha * hit * inverse * inverse
    cdef double of_t = -((alpha + beta) * hit + missed) * inverse * inverse
    cdef Py_ssize_t i
    losses[0] = missed * inverse
    if grad != NULL:
        for i in range(n):
            grad[i] = <real>fma(of_t, <double>t[i], of_one)


# negative log-likelihood of log-probabilities: -sum(t x); a class of target 0 costs nothing, whatever it is

cdef inline double counted(double x, double t) noexcept nogil:
    return 0 if t == 0 else x * t


cdef inline void log_likelihood_row(const real *x, const real *t, Py_ssize_t label, real *grad, double *losses,
                                    Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    losses[0] = -<double>x[label] if t == NULL else -added(counted, x, t, n)
    if grad == NULL:
        return
    for i in range(n):
        grad[i] = <real>0 if t == NULL or t[i] == <real>0 else (-t[i] if x[i] == x[i] else x[i])
    if t == NULL:
        grad[label] = <real>-1 if x[label] == x[label] else x[label]


# categorical hinge: max(1 + max((1 - t) x) - sum(t x), 0); of equal ones the first is the largest. NaN is that of the row

cdef inline void categorical_hinge_row(const real *x, const real *t, Py_ssize_t label, real *grad, double *losses,
                                       Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t top = 0
    cdef double found, hit
    cdef double most = -<double>INFINITY
    hit = <double>x[label] if t == NULL else added(counted, x, t, n)
    for i in range(n):
        if t == NULL:
            found = 0 if i == label else <double>x[i]
        else:
            found = counted(<double>x[i], 1 - <double>t[i])
        if found > most:
            most, top = found, i
        elif found != found:
            hit = found
    losses[0] = at_least(1 + most - hit, <double>0)
    if grad == NULL:
        return
    if not losses[0] > 0:
        for i in range(n):
            grad[i] = <real>losses[0]
    else:
        for i in range(n):
            grad[i] = -t[i] if t != NULL else <real>0
        if t == NULL:
            grad[label] -= <real>1
            grad[top] += <real>0 if top == label else <real>1
        else:
            grad[top] += <real>1 - t[top]


# sparsemax: sum over the support of (x^2 - tau^2)/2 + t t/2 - t x, with gradient max(x - tau, 0) - t, x less its maximum,
# whose holders share 1 if it is infinite. tau by Michelot's steps: the mean excess of those above it, until none falls out

cdef inline double below(double x, double top) noexcept nogil:
    """x - top, 0 where both are the same infinity."""
    return 0 if x == top else x - top


cdef inline double in_all(const double *a) noexcept nogil:
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))


cdef inline double top_of(const real *x, Py_ssize_t n) noexcept nogil:
    """The largest number; NaN where there is one."""
    cdef real[16] tops
    cdef real[16] bad
    cdef real top
    cdef Py_ssize_t i, j
    if n < 32:
        top = x[0]
        for i in range(1, n):
            top = x[i] if not x[i] <= top and top == top else top
        return <double>top
    for j in range(16):
        tops[j] = -<real>INFINITY
        bad[j] = <real>0
    for i in range(0, n & -16, 16):
        for j in range(16):
            tops[j] = x[i + j] if x[i + j] > tops[j] else tops[j]
            bad[j] = bad[j] if x[i + j] == x[i + j] else x[i + j]
    for i in range(n & -16, n):
        tops[i & 15] = x[i] if x[i] > tops[i & 15] else tops[i & 15]
        bad[i & 15] = bad[i & 15] if x[i] == x[i] else x[i]
    top = tops[0]
    for j in range(16):
        top = tops[j] if tops[j] > top else top
    for j in range(16):
        top = top if bad[j] == bad[j] else bad[j]
    return <double>top


cdef inline void sparsemax_row(const real *x, const real *t, Py_ssize_t label, real *grad, double *losses,
                               Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, count
    cdef Py_ssize_t before = n + 1
    cdef double top = top_of(x, n)
    cdef double tau = -1                    # of x - top: the largest is in the support, whatever lies 1 below it is not
    cdef double z, sum_, squares, given
    while True:                             # most are in no support: branches are faster than lanes
        sum_, count = 0, 0
        for i in range(n):
            z = <double>x[i] - top
            if z > tau or z != z and <double>x[i] == top:
                sum_ += z if z == z else 0
                count += 1
        if count >= before or count == 0:   # more than before come back by rounding
            break
        before = count
        tau = (sum_ - 1) / count
    sum_, squares, given = 0, 0, 0
    for i in range(n):
        z = below(<double>x[i], top)
        if z > tau or z != z:
            sum_ += (z - tau) * (z + tau)
        if t != NULL and t[i] != <real>0:
            squares += <double>t[i] * <double>t[i]
            given += <double>t[i] * z
    if t == NULL:
        squares, given = 1, below(<double>x[label], top)
    losses[0] = at_least(0.5 * (sum_ + squares) - given, <double>0)
    if grad == NULL:
        return
    for i in range(n):
        z = below(<double>x[i], top) - tau
        grad[i] = <real>((0 if z < 0 else z) - (<double>t[i] if t != NULL else (1 if i == label else 0)))


# focal of softmax: sum(t (1 - p)^gamma (-log p)). With g = gamma p (1 - p)^(gamma - 1) log p - (1 - p)^gamma its
# gradient is t g - p sum(t g). h: gamma, and 1 where it is at least 1, 2 and 3 if it is one of 0 to 3, else 0 and 0 and 0

cdef inline double power_of(double q, bint whole, const double *h) noexcept nogil:
    cdef double power
    if not whole:
        power = exp(h[0] * log(q))
        return power if q > 0 else q
    power = q * (q if h[2] != 0 else <double>1) * (q if h[3] != 0 else <double>1)
    return power if h[0] != 0 else <double>1


cdef inline double focal_term(double x, double t, double top, double log_sum, double q_of_largest, bint largest,
                              bint whole, const double *h, double *g) noexcept nogil:
    """The loss of an element, and in g the derivative by its log p."""
    cdef double log_p = below(x, top) - log_sum
    cdef double p = exp(log_p)
    cdef double q = q_of_largest if largest else -expm1(log_p)
    cdef double power = power_of(q, whole, h)
    cdef double by_q = h[0] * p * (log_p / q)
    cdef double at_end = -h[0] if p > 0 else p
    by_q = by_q if (q > 0) & (p > 0) else at_end
    g[0] = power * (by_q - 1) * t if t != 0 else <double>0
    return t * power * log_p if t != 0 else <double>0


cdef inline void focal_terms(const real *x, const real *t, Py_ssize_t n, Py_ssize_t at, double top, double log_sum,
                             double q, bint whole, const double *h, real *grad, double *loss, double *sum_) noexcept nogil:
    cdef double[LANES] losses
    cdef double[LANES] sums
    cdef double g
    cdef Py_ssize_t i, j
    for j in range(LANES):
        losses[j], sums[j] = 0, 0
    for i in range(0, n & -8, 8):
        for j in range(LANES):
            losses[j] += focal_term(<double>x[i + j], <double>t[i + j], top, log_sum, q, i + j == at, whole, h, &g)
            sums[j] += g
            if grad != NULL:
                grad[i + j] = <real>g
    for i in range(n & -8, n):
        losses[i & 7] += focal_term(<double>x[i], <double>t[i], top, log_sum, q, i == at, whole, h, &g)
        sums[i & 7] += g
        if grad != NULL:
            grad[i] = <real>g
    loss[0] = -in_all(losses)
    sum_[0] = in_all(sums)


cdef inline void focal_row(const real *x, const real *t, Py_ssize_t label, real *grad, double *losses, Py_ssize_t n,
                           const double *h) noexcept nogil:
    cdef double[LANES] sums
    cdef double top = top_of(x, n)
    cdef bint whole = h[1] != 0 or h[0] == 0
    cdef double rest, log_sum, inverse, q, sum_, g
    cdef Py_ssize_t i, j
    cdef Py_ssize_t at = 0
    while at < n - 1 and <double>x[at] != top:
        at += 1
    for j in range(LANES):
        sums[j] = 0
    for i in range(0, n & -8, 8):
        for j in range(LANES):
            sums[j] += <double>0 if i + j == at else exp(below(<double>x[i + j], top))
    for i in range(n & -8, n):
        sums[i & 7] += <double>0 if i == at else exp(below(<double>x[i], top))
    rest = in_all(sums)
    rest = rest if top == top else top
    log_sum = log_of_sum(rest)
    inverse = 1 / (1 + rest)
    q = rest * inverse
    if t == NULL:
        losses[0] = -focal_term(<double>x[label], 1, top, log_sum, q, label == at, whole, h, &sum_)
    elif whole:
        focal_terms(x, t, n, at, top, log_sum, q, True, h, grad, losses, &sum_)
    else:
        focal_terms(x, t, n, at, top, log_sum, q, False, h, grad, losses, &sum_)
    if grad == NULL:
        return
    if t == NULL:
        for i in range(n):
            grad[i] = <real>(-sum_ * (exp(below(<double>x[i], top)) * inverse))
        grad[label] = <real>(sum_ - sum_ * (exp(below(<double>x[label], top)) * inverse))
        if label == at:                     # what 1 - p has lost
            grad[label] = <real>(sum_ * q)
    else:
        for i in range(n):
            grad[i] = <real>(<double>grad[i] - sum_ * (exp(below(<double>x[i], top)) * inverse))
