# cython: cdivision=True
"""Losses of the difference between a prediction and a target."""
from fastnn.core.vecmath cimport real


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
