# cython: cdivision=True
"""Adam with more than one average in the numerator, or the gradient beside it."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport real, square_root


cdef inline real quasi_hyperbolic(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real gain,
                                  real m_factor, real g_factor, real v_factor, real square_factor, real lr,
                                  real eps) noexcept nogil:
    cdef real square = g * g
    m[0] = m[0] + one_minus_beta1 * (gain * g - m[0])
    v[0] = v[0] + one_minus_beta2 * (square - v[0])
    return -lr * ratio(m_factor * m[0] + g_factor * g, square_root(v_factor * v[0] + square_factor * square) + eps)


cdef inline real ademamix(real g, real *fast, real *slow, real *v, real one_minus_beta1, real one_minus_beta2,
                          real one_minus_beta3, real correction, real alpha, real lr, real eps) noexcept nogil:
    fast[0] = fast[0] + one_minus_beta1 * (g - fast[0])
    slow[0] = slow[0] + one_minus_beta3 * (g - slow[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return -lr * ratio(correction * fast[0] + alpha * slow[0], square_root(v[0]) + eps)     # lr last: slow is small


cdef inline real adan(real g, real *m, real *d, real *n, real *last, real one_minus_beta1, real one_minus_beta2,
                      real one_minus_beta3, real beta2, real m_factor, real d_factor, real eps,
                      real has_last) noexcept nogil:
    cdef real change = g - last[0] if has_last > <real>0 else <real>0
    cdef real ahead = g + beta2 * change
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    d[0] = d[0] + one_minus_beta2 * (change - d[0])
    n[0] = n[0] + one_minus_beta3 * (ahead * ahead - n[0])
    last[0] = g
    return ratio(-m_factor * m[0] - d_factor * d[0], square_root(n[0]) + eps)
