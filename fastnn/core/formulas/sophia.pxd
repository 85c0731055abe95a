# cython: cdivision=True
"""Sophia: a momentum over the diagonal of the Hessian."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport at_least, at_most, real


cdef inline real sophia(real g, real *m, real *h, real one_minus_beta1, real gamma, real eps, real lr) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    return -lr * at_most(at_least(ratio(m[0], at_least(gamma * h[0], eps)), <real>-1), <real>1)
