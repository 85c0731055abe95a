# cython: cdivision=True
"""Optimistic steps: what the last one was is taken back, and the new one goes further by as much."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport real, square_root


cdef inline real optimistic(real g, real *last, real ahead, real back) noexcept nogil:
    cdef real delta = back * last[0] - ahead * g
    last[0] = g
    return delta


cdef inline real optimistic_adam(real g, real *m, real *v, real *last, real one_minus_beta1, real one_minus_beta2,
                                 real correction, real eps, real ahead, real back) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return optimistic(ratio(correction * m[0], square_root(v[0]) + eps), last, ahead, back)
