# cython: cdivision=True
"""Rules without a learning rate, which they make of the distance from the first parameter or of the loss, and what they
measure for that."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport real, square_root


cdef inline real from_start(real g, real *x0, real lr) noexcept nogil:
    return -lr * g


cdef inline real distance(real g, real p, real *x0, real lr) noexcept nogil:
    """What is measured for it."""
    return p - x0[0]


cdef inline real dadapt(real g, real *m, real *v, real *s, real one_minus_beta1, real one_minus_beta2, real root_beta2,
                        real m_lr, real s_lr, real eps) noexcept nogil:
    m[0] = m[0] + (m_lr * g - one_minus_beta1 * m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    s[0] = root_beta2 * s[0] + s_lr * g
    return ratio(-m[0], square_root(v[0]) + eps)


cdef inline real dadapt_ahead(real g, real *m, real *v, real *s, real one_minus_beta1, real one_minus_beta2,
                              real root_beta2, real m_lr, real s_lr, real eps) noexcept nogil:
    """What is measured for it: where the sum of gradients would lead, and the next sum."""
    cdef real ahead = ratio(s[0], square_root(v[0]) + eps)
    s[0] = root_beta2 * s[0] + s_lr * g
    return ahead


cdef inline real prodigy(real g, real *m, real *v, real *s, real *x0, real beta1, real one_minus_beta2, real beta3,
                         real d, real m_factor, real s_factor, real lr, real eps) noexcept nogil:
    cdef real step = d * g
    m[0] = beta1 * m[0] + m_factor * g
    v[0] = v[0] + one_minus_beta2 * (step * step - v[0])
    s[0] = beta3 * s[0] + s_factor * g
    return ratio(-lr * m[0], square_root(v[0]) + eps)


cdef inline real prodigy_ahead(real g, real p, real *m, real *v, real *s, real *x0, real beta1, real one_minus_beta2,
                               real beta3, real d, real m_factor, real s_factor, real lr, real eps) noexcept nogil:
    """What is measured for it: the way back to the start, and the next sum of gradients."""
    s[0] = beta3 * s[0] + s_factor * g
    return x0[0] - p


cdef inline real momo(real g, real *m, real one_minus_beta, real lr) noexcept nogil:
    m[0] = m[0] + one_minus_beta * (g - m[0])
    return -lr * m[0]
