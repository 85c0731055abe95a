# cython: cdivision=True
"""Gradient descent and its momenta."""
from fastnn.core.vecmath cimport real


cdef inline real sgd(real g, real lr) noexcept nogil:
    return -lr * g


cdef inline real momentum(real g, real *v, real momentum, real lr) noexcept nogil:
    v[0] = momentum * v[0] - lr * g
    return v[0]


cdef inline real nesterov(real g, real *v, real momentum, real lr, real momentum_squared,
                          real lr_ahead) noexcept nogil:
    cdef real delta = momentum_squared * v[0] - lr_ahead * g
    v[0] = momentum * v[0] - lr * g
    return delta
