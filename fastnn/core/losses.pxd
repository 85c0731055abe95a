# cython: cdivision=True
"""Error functions of a prediction y (or a logit x) and a target t, elementwise: value and derivative side by side."""
from fastnn.core.vecmath cimport absolute, at_least, at_most, exp, log, log1p, real


# square: (y - t)^2 / 2

cdef inline real square_error(real y, real t) noexcept nogil:
    return <real>0.5 * (y - t) * (y - t)


cdef inline real square_error_d1(real y, real t) noexcept nogil:
    return y - t


# (y - t)^2

cdef inline real squared_difference(real y, real t) noexcept nogil:
    return (y - t) * (y - t)


cdef inline real squared_difference_d1(real y, real t) noexcept nogil:
    return <real>2 * (y - t)


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


# binary cross entropy of sigmoid(x): log(1 + exp(x)) - x t, and sigmoid(x) - t, written as in sigmoidal.pxd

cdef inline real sigmoid_cross_entropy(real x, real t) noexcept nogil:
    cdef real a = absolute(x)
    cdef real wrong = <real>1 - t if x > <real>0 else t
    return (<real>0 if wrong == <real>0 else a * wrong) + log1p(exp(-a))        # not inf * 0


cdef inline real sigmoid_cross_entropy_d1(real x, real t) noexcept nogil:
    cdef real e = exp(-absolute(x))
    cdef real s = e / (<real>1 + e)
    return s - t if x < <real>0 else (<real>1 - t) - s
