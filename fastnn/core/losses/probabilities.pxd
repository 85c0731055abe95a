# cython: cdivision=True
"""Losses of predicted probabilities and rates."""
from fastnn.core.vecmath cimport at_least, at_most, log, log1p, real


# cross entropy: -t log(y); the logarithm is held at -100 and the denominator at 1e-12, so that both stay finite at 0

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
    cdef real near = log1p(-at_most(y, <real>0.25))
    return near if y < <real>0.25 and y >= <real>0 else far


cdef inline real binary_cross_entropy(real y, real t) noexcept nogil:
    return -t * held_log(y) - (<real>1 - t) * held_log_of_complement(y)


cdef inline real binary_cross_entropy_d1(real y, real t) noexcept nogil:
    return (y - t) / at_least(y * (<real>1 - y), <real>1e-12)
