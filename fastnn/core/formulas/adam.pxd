# cython: cdivision=True
"""Adam and what came of it: averages of gradients over roots of averages of their squares."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport absolute, at_least, at_most, real, square_root


cdef inline real adam(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real corrected_lr,
                      real eps_inside_root, real eps) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return ratio(-corrected_lr * m[0], square_root(v[0] + eps_inside_root) + eps)


cdef inline real adamax(real g, real *m, real *u, real one_minus_beta1, real beta2, real corrected_lr,
                        real eps) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    u[0] = at_least(absolute(g) + eps, beta2 * u[0])
    return ratio(-corrected_lr * m[0], u[0])


cdef inline real nadam(real g, real *m, real *v, real one_minus_mu, real one_minus_nu, real m_factor, real g_factor,
                       real v_factor, real eps_inside_root, real eps) noexcept nogil:
    m[0] = m[0] + one_minus_mu * (g - m[0])
    v[0] = v[0] + one_minus_nu * (g * g - v[0])
    return ratio(-m_factor * m[0] - g_factor * g, square_root(v_factor * v[0] + eps_inside_root) + eps)


cdef inline real amsgrad(real g, real *m, real *v, real *vhat, real one_minus_beta1, real one_minus_beta2, real lr,
                         real eps_inside_root, real eps) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    vhat[0] = at_least(v[0], vhat[0])
    return ratio(-lr * m[0], square_root(vhat[0] + eps_inside_root) + eps)


# lr/0 is clipped to the highest rate

cdef inline real bounded_rate(real v, real lr, real eps, real lowest, real highest) noexcept nogil:
    cdef real rate = lr / (square_root(v) + eps) if lr > <real>0 else <real>0
    return at_most(at_least(rate, lowest), highest)


cdef inline real adabound(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real lr, real eps,
                          real lowest, real highest, real decay) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return -decay * bounded_rate(v[0], lr, eps, lowest, highest) * m[0]


cdef inline real amsbound(real g, real *m, real *v, real *vhat, real one_minus_beta1, real one_minus_beta2, real lr,
                          real eps, real lowest, real highest, real decay) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    vhat[0] = at_least(v[0], vhat[0])
    return -decay * bounded_rate(vhat[0], lr, eps, lowest, highest) * m[0]
