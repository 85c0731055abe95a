# cython: cdivision=True
"""Steps that are made of a tensor's norms; LARS and LAMB take the loops of Momentum and Adam."""
from fastnn.core.vecmath cimport real


cdef inline real novograd(real g, real p, real *m, real beta1, real g_factor, real decay, real lr) noexcept nogil:
    m[0] = beta1 * m[0] + (g_factor * g + decay * p)
    return -lr * m[0]


cdef inline real fromage(real g, real p, real lr, real shrinkage) noexcept nogil:
    return -(shrinkage * p + lr * g)
