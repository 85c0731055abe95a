# cython: cdivision=True
"""Rates by the variance of a gradient around its average."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport at_least, real, square_root


# g - m for the new m is beta1 (g - m) for the old one, without its cancellation

cdef inline real adabelief(real g, real *m, real *s, real one_minus_beta1, real one_minus_beta2, real beta1,
                           real corrected_lr, real eps_inside_root, real eps) noexcept nogil:
    cdef real surprise = beta1 * (g - m[0])
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    s[0] = s[0] + one_minus_beta2 * (surprise * surprise - s[0]) + eps_inside_root
    return ratio(-corrected_lr * m[0], square_root(s[0]) + eps)


cdef inline real acprop(real g, real *m, real *s, real one_minus_beta1, real one_minus_beta2, real beta1, real lr,
                        real s_factor, real first, real eps_inside_root, real eps) noexcept nogil:
    cdef real root = square_root(s_factor * s[0] + first)
    cdef real surprise = beta1 * (g - m[0])
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    s[0] = s[0] + one_minus_beta2 * (surprise * surprise - s[0]) + eps_inside_root
    return ratio(-lr * g, root + eps)


cdef inline real msvag(real g, real *m, real *v, real one_minus_beta, real correction, real lr,
                       real variance_factor) noexcept nogil:
    m[0] = m[0] + one_minus_beta * (g - m[0])
    v[0] = v[0] + one_minus_beta * (g * g - v[0])
    cdef real square = correction * m[0] * m[0]
    cdef real variance = at_least(v[0] - square, <real>0)       # rounding may take it below 0
    return -lr * m[0] * ratio(square, square + variance_factor * variance)
