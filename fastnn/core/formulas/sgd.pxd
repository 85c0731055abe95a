# cython: cdivision=True
"""Gradient descent and its momenta."""
from fastnn.core.vecmath cimport real


cdef inline real sgd(real g, real lr) noexcept nogil:
    return -lr * g


cdef inline real momentum(real g, real *v, real momentum, real lr) noexcept nogil:
    v[0] = momentum * v[0] - lr * g
    return v[0]


cdef inline real nesterov(real g, real *v, real momentum, real lr, real momentum_squared,
                          real lr_ahead) noexcept nogil:
    cdef real delta = momentum_squared * v[0] - lr_ahead * g
    v[0] = momentum * v[0] - lr * g
    return delta


# buf has the gradients alone, without lr

cdef inline real sgd_momentum(real g, real *buf, real momentum, real gain, real lr) noexcept nogil:
    buf[0] = momentum * buf[0] + gain * g
    return -lr * buf[0]


cdef inline real sgd_nesterov(real g, real *buf, real momentum, real lr) noexcept nogil:
    buf[0] = momentum * buf[0] + g
    return -lr * (g + momentum * buf[0])


cdef inline real qhm(real g, real *m, real one_minus_beta, real g_factor, real m_factor) noexcept nogil:
    m[0] = m[0] + one_minus_beta * (g - m[0])
    return -(g_factor * g + m_factor * m[0])


cdef inline real aggmo(real g, real *v1, real *v2, real *v3, real beta1, real beta2, real beta3,
                       real lr_share) noexcept nogil:
    v1[0] = beta1 * v1[0] + g
    v2[0] = beta2 * v2[0] + g
    v3[0] = beta3 * v3[0] + g
    return -lr_share * (v1[0] + v2[0] + v3[0])


cdef inline real noisy_sgd(real g, real *noise, real lr, real noise_factor) noexcept nogil:
    return -lr * g - noise_factor * noise[0]
