# cython: cdivision=True
"""What other libraries compute under names of the catalogue, where constants alone do not say it: fastnn/dialects."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport absolute, at_least, at_most, real, square_root


# eps beside the maximum

cdef inline real adamax_beside(real g, real *m, real *u, real one_minus_beta1, real beta2, real corrected_lr,
                               real eps) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    u[0] = at_least(absolute(g), beta2 * u[0])
    return ratio(-corrected_lr * m[0], u[0] + eps)


# the largest of corrected averages

cdef inline real amsgrad_corrected(real g, real *m, real *v, real *vhat, real one_minus_beta1, real one_minus_beta2,
                                   real corrected_lr, real v_factor, real eps_inside_root, real eps) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    vhat[0] = at_least(v_factor * v[0], vhat[0])
    return ratio(-corrected_lr * m[0], square_root(vhat[0] + eps_inside_root) + eps)


# eps beside the root, and below the square

cdef inline real smorms3_beside(real g, real *m, real *v, real *s, real lr, real eps) noexcept nogil:
    cdef real r = <real>1 / (s[0] + <real>1)
    m[0] = m[0] + r * (g - m[0])
    v[0] = v[0] + r * (g * g - v[0])
    cdef real zeta = ratio(m[0] * m[0], v[0] + eps)
    s[0] = <real>1 + s[0] * (<real>1 - zeta)
    return ratio(-g * at_most(zeta, lr), square_root(v[0]) + eps)


# RMSprop with momentum, centred where `centre` is 1: the rate is within what is kept (lr_in) or outside of it (lr_buf)

cdef inline real rmsprop_buffered(real g, real *m, real *v, real *buf, real one_minus_rho, real centre, real momentum,
                                  real lr_in, real lr_buf, real lr_step, real eps_inside_root,
                                  real eps) noexcept nogil:
    m[0] = m[0] + one_minus_rho * (g - m[0])
    v[0] = v[0] + one_minus_rho * (g * g - v[0])
    cdef real variance = at_least(v[0] - centre * m[0] * m[0], <real>0)      # rounding may take it below 0
    cdef real step = ratio(lr_in * g, square_root(variance + eps_inside_root) + eps)
    buf[0] = momentum * buf[0] + step
    return -lr_buf * buf[0] - lr_step * step
