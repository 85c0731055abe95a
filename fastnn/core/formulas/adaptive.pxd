# cython: cdivision=True
"""Rates of each element's own, from its squared gradients."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport at_least, at_most, real, square_root


cdef inline real adagrad(real g, real *h, real lr, real eps_inside_root, real eps) noexcept nogil:
    h[0] = h[0] + g * g
    return ratio(-lr * g, square_root(h[0] + eps_inside_root) + eps)


cdef inline real rmsprop(real g, real *v, real one_minus_rho, real lr, real eps_inside_root, real eps) noexcept nogil:
    v[0] = v[0] + one_minus_rho * (g * g - v[0])
    return ratio(-lr * g, square_root(v[0] + eps_inside_root) + eps)


cdef inline real adadelta(real g, real *v, real *u, real one_minus_rho, real eps, real lr) noexcept nogil:
    v[0] = v[0] + one_minus_rho * (g * g - v[0])
    cdef real delta = ratio(-g * square_root(u[0] + eps), square_root(v[0] + eps))
    u[0] = u[0] + one_minus_rho * (delta * delta - u[0])
    return lr * delta


cdef inline real rmsprop_momentum(real g, real *v, real *buf, real one_minus_rho, real momentum, real lr,
                                  real eps_inside_root, real eps) noexcept nogil:
    v[0] = v[0] + one_minus_rho * (g * g - v[0])
    buf[0] = momentum * buf[0] + ratio(g, square_root(v[0] + eps_inside_root) + eps)
    return -lr * buf[0]


cdef inline real centered_root(real g, real *m, real *v, real one_minus_rho, real eps_inside_root) noexcept nogil:
    m[0] = m[0] + one_minus_rho * (g - m[0])
    v[0] = v[0] + one_minus_rho * (g * g - v[0])
    cdef real variance = at_least(v[0] - m[0] * m[0], <real>0)       # rounding may take it below 0
    return square_root(variance + eps_inside_root)


cdef inline real rmsprop_centered(real g, real *m, real *v, real one_minus_rho, real lr, real eps_inside_root,
                                  real eps) noexcept nogil:
    return ratio(-lr * g, centered_root(g, m, v, one_minus_rho, eps_inside_root) + eps)


cdef inline real rmsprop_centered_momentum(real g, real *m, real *v, real *buf, real one_minus_rho, real momentum,
                                           real lr, real eps_inside_root, real eps) noexcept nogil:
    buf[0] = momentum * buf[0] + ratio(g, centered_root(g, m, v, one_minus_rho, eps_inside_root) + eps)
    return -lr * buf[0]


cdef inline real smorms3(real g, real *m, real *v, real *s, real lr, real eps) noexcept nogil:
    cdef real r = <real>1 / (s[0] + <real>1)
    m[0] = m[0] + r * (g - m[0])
    v[0] = v[0] + r * (g * g - v[0])
    cdef real zeta = ratio(m[0] * m[0], v[0] + eps)
    s[0] = <real>1 + s[0] * (<real>1 - zeta)
    return ratio(-g * at_most(zeta, lr), square_root(v[0] + eps))
