# cython: cdivision=True
"""Negative log-likelihoods of a prediction y and its spread v, another array: `name_dv` is the derivative in v.

The spread is clamped at eps from below, and derivatives are those at the clamped spread, as in PyTorch.
"""
from fastnn.core.vecmath cimport absolute, at_least, fma, log, real


# Gauss: (log(v) + (y - t)^2/v)/2 + constant, v the variance

cdef inline real gaussian(real y, real t, real v, real eps, real constant) noexcept nogil:
    cdef real held = at_least(v, eps)
    cdef real d = y - t
    return <real>0.5 * fma(d, d / held, log(held)) + constant


cdef inline real gaussian_d1(real y, real t, real v, real eps, real constant) noexcept nogil:
    return (y - t) / at_least(v, eps)


cdef inline real gaussian_dv(real y, real t, real v, real eps, real constant) noexcept nogil:
    cdef real held = at_least(v, eps)
    cdef real d = y - t
    return <real>0.5 * (fma(-d, d / held, <real>1) / held)


# Laplace: log(v) + |y - t|/v + constant, v the scale; the derivative in y is 0 at y = t

cdef inline real laplace(real y, real t, real v, real eps, real constant) noexcept nogil:
    cdef real held = at_least(v, eps)
    return (log(held) + absolute(y - t) / held) + constant


cdef inline real laplace_d1(real y, real t, real v, real eps, real constant) noexcept nogil:
    cdef real d = y - t
    cdef real inverse = <real>1 / at_least(v, eps)
    return inverse if d > <real>0 else (-inverse if d < <real>0 else d * inverse)


cdef inline real laplace_dv(real y, real t, real v, real eps, real constant) noexcept nogil:
    cdef real held = at_least(v, eps)
    return ((held - absolute(y - t)) / held) / held
