# cython: cdivision=True
"""Losses of predicted probabilities and rates."""
from fastnn.core.vecmath cimport (at_least, end_of_ratio, exp_any, fma, log, log_of_complement, log_of_ratio_of, unless_zero,
                                  real)


# cross entropy: -t log(y); the logarithm is clamped at -100 and the denominator at 1e-12, so that both stay finite at 0

cdef inline real held_log(real y) noexcept nogil:
    return at_least(log(y), <real>-100)


cdef inline real cross_entropy(real y, real t) noexcept nogil:
    return -t * held_log(y)


cdef inline real cross_entropy_d1(real y, real t) noexcept nogil:
    return -t / at_least(y, <real>1e-12)


# binary cross entropy: -t log(y) - (1 - t) log(1 - y)

cdef inline real binary_cross_entropy(real y, real t) noexcept nogil:
    return -t * held_log(y) - (<real>1 - t) * at_least(log_of_complement(y), <real>-100)


cdef inline real binary_cross_entropy_d1(real y, real t) noexcept nogil:
    return (y - t) / at_least(y * (<real>1 - y), <real>1e-12)


# Kullback-Leibler: t (log(t) - y) of log-probabilities y, exp(t) (t - y) where targets are logarithms, too, and
# t log(t/y) of probabilities; 0 where t is 0, whatever number y is

cdef inline real share_of(real t, real y) noexcept nogil:
    """t, or NaN where y is."""
    return t if y == y else y


cdef inline real kl_of_logs(real y, real t) noexcept nogil:
    return <real>0 if share_of(t, y) == <real>0 else t * (log(t) - y)


cdef inline real kl_of_logs_d1(real y, real t) noexcept nogil:
    return -share_of(t, y)


cdef inline real kl_of_two_logs(real y, real t) noexcept nogil:
    cdef real p = exp_any(t)
    return <real>0 if share_of(p, y) == <real>0 else p * (t - y)


cdef inline real kl_of_two_logs_d1(real y, real t) noexcept nogil:
    return -share_of(exp_any(t), y)


cdef inline real tiny(real like) noexcept nogil:
    """What is below may be subnormal, and is not so times 2^digits."""
    return <real>1.9721522630525295e-31 if real is float else <real>1.0020841800044864e-292         # 2^-102, 2^-970


cdef inline real digits(real like) noexcept nogil:
    return <real>24 if real is float else <real>53


cdef inline real up(real like) noexcept nogil:
    """2^digits."""
    return <real>16777216 if real is float else <real>9007199254740992


cdef inline real log_of_ratio(real a, real b) noexcept nogil:
    """log(a/b), which keeps its digits where a is near b."""
    cdef real z = b * up(a) if b < tiny(a) else b
    # of 0 the logarithm is -inf, and would be computed by subnormal numbers, which are slow
    cdef real x = unless_zero(a * up(a) if a < tiny(a) else a, z)
    cdef real power = (digits(a) if b < tiny(a) else <real>0) - (digits(a) if a < tiny(a) else <real>0)
    return end_of_ratio(log_of_ratio_of(x, z, x - z, power), a, b + <real>0)


cdef inline real kl_of_probabilities(real y, real t) noexcept nogil:
    cdef real taken = <real>1 if t == <real>0 else t            # the logarithm of 0 is slow, and not wanted
    return <real>0 if share_of(t, y) == <real>0 else t * log_of_ratio(taken, y)


cdef inline real kl_of_probabilities_d1(real y, real t) noexcept nogil:
    return <real>0 if share_of(t, y) == <real>0 else -t / y


# Jensen-Shannon: (t log(t/m) + y log(y/m))/2, m = (y + t)/2; the derivative in y is log(y/m)/2, in which y - m is exact
# as (y - t)/2. At y = 0, where it would be -inf, it is held below all others: softmax's y times it is 0, not NaN

cdef inline real log_over_mean(real y, real t) noexcept nogil:
    """log(2 y/(y + t)); 0 where both are 0."""
    cdef real scale = up(y) if y + t < tiny(y) else <real>1
    cdef real a = y * scale
    cdef real b = t * scale
    cdef real m = fma(<real>0.5, a, <real>0.5 * b)
    cdef real x = unless_zero(a * up(y) if a < tiny(y) else a, m)
    cdef real power = -digits(y) if a < tiny(y) else <real>0
    cdef real found = log_of_ratio_of(x, m, x - m if a < tiny(y) else <real>0.5 * (a - b), power)
    return <real>0 if y == t else end_of_ratio(found, a, m)


cdef inline real jensen_shannon(real y, real t) noexcept nogil:
    cdef real of_t = at_least(log_over_mean(t, y), <real>-1000)                 # of 0 alone: not 0 * -inf
    cdef real of_y = at_least(log_over_mean(y, t), <real>-1000)
    return <real>0.5 * fma(t, of_t, y * of_y)


cdef inline real jensen_shannon_d1(real y, real t) noexcept nogil:
    return <real>0.5 * at_least(log_over_mean(y, t), <real>-2000)


# Poisson: y - t log(y + eps) of rates y, exp(y) - t y of their logarithms, both without log(t!); `full` with Stirling's
# formula for it, where t is above 1

cdef inline real poisson(real y, real t, real eps) noexcept nogil:
    return y - (<real>0 if t == <real>0 else t * log(y + eps))


cdef inline real poisson_d1(real y, real t, real eps) noexcept nogil:
    return <real>1 - t / (y + eps)


cdef inline real poisson_of_log(real y, real t) noexcept nogil:
    return exp_any(y) - (<real>0 if t == <real>0 else t * y)


cdef inline real poisson_of_log_d1(real y, real t) noexcept nogil:
    return exp_any(y) - t


cdef inline real stirling(real t) noexcept nogil:
    """t log(t) - t + log(2 pi t)/2, 0 up to t = 1."""
    cdef real held = at_least(t, <real>1)
    cdef real formula = fma(held + <real>0.5, log(held), <real>0.9189385332046727 - held)
    return formula if t > <real>1 else <real>0


cdef inline real poisson_full(real y, real t, real eps) noexcept nogil:
    return poisson(y, t, eps) + stirling(t)


cdef inline real poisson_full_d1(real y, real t, real eps) noexcept nogil:
    return poisson_d1(y, t, eps)


cdef inline real poisson_of_log_full(real y, real t) noexcept nogil:
    return poisson_of_log(y, t) + stirling(t)


cdef inline real poisson_of_log_full_d1(real y, real t) noexcept nogil:
    return poisson_of_log_d1(y, t)
