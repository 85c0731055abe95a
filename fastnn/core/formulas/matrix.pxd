# cython: cdivision=True
"""Elementwise parts of rules with matrix products."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport real, square_root


cdef inline real average(real g, real *m, real one_minus_momentum, real of_gradient, real of_average) noexcept nogil:
    m[0] = m[0] + one_minus_momentum * (g - m[0])
    return of_gradient * g + of_average * m[0]


# g and p are the gradient and its average in the eigenbasis

cdef inline real soap(real g, real p, real *v, real one_minus_beta2, real eps, real corrected_lr) noexcept nogil:
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return ratio(corrected_lr * p, square_root(v[0]) + eps)
