# cython: cdivision=True
"""Adam with another denominator: rectified, additive, within the average, or of the step before."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport at_least, at_most, real, square_root


cdef inline real radam(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real lr, real eps,
                       real adaptive) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return ratio(-lr * m[0], square_root(v[0]) + eps if adaptive > <real>0 else <real>1)


cdef inline real yogi(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real corrected_lr,
                      real eps) noexcept nogil:
    cdef real square = g * g
    cdef real change = one_minus_beta2 * square
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] - change if v[0] > square else v[0] if v[0] == square else v[0] + change       # NaN is added
    return ratio(-corrected_lr * m[0], square_root(v[0]) + eps)


cdef inline real laprop(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real root, real lr,
                        real eps) noexcept nogil:
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    m[0] = m[0] + one_minus_beta1 * (ratio(root * g, square_root(v[0]) + eps) - m[0])
    return -lr * m[0]


cdef inline real adopt(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real lr, real eps,
                       real limit) noexcept nogil:
    cdef real step = at_most(at_least(ratio(g, at_least(square_root(v[0]), eps)), -limit), limit)
    m[0] = m[0] + one_minus_beta1 * (step - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return -lr * m[0]
