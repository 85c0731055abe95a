# cython: cdivision=True
"""Losses of predicted probabilities and rates."""
from fastnn.core.vecmath cimport at_least, at_most, exp_any, fma, log, log1p, real


# cross entropy: -t log(y); the logarithm is clamped at -100 and the denominator at 1e-12, so that both stay finite at 0

cdef inline real held_log(real y) noexcept nogil:
    return at_least(log(y), <real>-100)


cdef inline real cross_entropy(real y, real t) noexcept nogil:
    return -t * held_log(y)


cdef inline real cross_entropy_d1(real y, real t) noexcept nogil:
    return -t / at_least(y, <real>1e-12)


# binary cross entropy: -t log(y) - (1 - t) log(1 - y)

cdef inline real held_log_of_complement(real y) noexcept nogil:
    """log(1 - y), where 1 - y would round a small y away."""
    cdef real far = held_log(<real>1 - y)
    cdef real small = at_most(at_least(y, <real>0), <real>0.25)
    cdef real near = log1p(-small)
    return near if small == y else far


cdef inline real binary_cross_entropy(real y, real t) noexcept nogil:
    return -t * held_log(y) - (<real>1 - t) * held_log_of_complement(y)


cdef inline real binary_cross_entropy_d1(real y, real t) noexcept nogil:
    return (y - t) / at_least(y * (<real>1 - y), <real>1e-12)


# Kullback-Leibler: t (log(t) - y) of log-probabilities y, exp(t) (t - y) where targets are logarithms, too, and
# t log(t/y) of probabilities; 0 where t is 0, whatever number y is

cdef inline real number_or_nan(real number, real y) noexcept nogil:
    return number if y == y else y


cdef inline real kl_of_logs(real y, real t) noexcept nogil:
    return number_or_nan(<real>0, y) if t == <real>0 else t * (log(t) - y)


cdef inline real kl_of_logs_d1(real y, real t) noexcept nogil:
    return number_or_nan(-t, y)


cdef inline real kl_of_two_logs(real y, real t) noexcept nogil:
    cdef real p = exp_any(t)
    return number_or_nan(<real>0, y) if p == <real>0 else p * (t - y)


cdef inline real kl_of_two_logs_d1(real y, real t) noexcept nogil:
    return number_or_nan(-exp_any(t), y)


cdef inline real log_of_ratio(real a, real b) noexcept nogil:
    """log(a/b), which keeps its digits where a is near b."""
    cdef real r = (a - b) / b
    cdef real held = at_most(at_least(r, <real>-0.25), <real>1)
    cdef real near = log1p(held)
    cdef real far = log(a) - log(b)
    return near if held == r else far


cdef inline real kl_of_probabilities(real y, real t) noexcept nogil:
    return number_or_nan(<real>0, y) if t == <real>0 else t * log_of_ratio(t, y)


cdef inline real kl_of_probabilities_d1(real y, real t) noexcept nogil:
    return number_or_nan(<real>0, y) if t == <real>0 else -t / y


# Jensen-Shannon: (t log(t/m) + y log(y/m))/2, m = (y + t)/2; the derivative in y is log(y/m)/2. With r = (y - t)/(y + t)
# the logarithms are those of 1 - r and 1 + r

cdef inline real log_over_mean(real y, real t) noexcept nogil:
    """log(2 y/(y + t)); 0 where both are 0."""
    cdef real r = (y - t) / (y + t)
    cdef real far = log(<real>2 * (y / (y + t)))
    cdef real near = log1p(at_most(at_least(r, <real>-0.25), <real>1))
    return <real>0 if y == t else (far if r < <real>-0.25 else near)


cdef inline real jensen_shannon(real y, real t) noexcept nogil:
    cdef real of_t = at_least(log_over_mean(t, y), <real>-1000)                 # of 0 alone: not 0 * -inf
    cdef real of_y = at_least(log_over_mean(y, t), <real>-1000)
    return <real>0.5 * fma(t, of_t, y * of_y)


cdef inline real jensen_shannon_d1(real y, real t) noexcept nogil:
    return <real>0.5 * log_over_mean(y, t)


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
