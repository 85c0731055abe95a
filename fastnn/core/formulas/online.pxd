# cython: cdivision=True
"""Rules from online convex optimization."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport absolute, real, square_root


# residual is the paper's z + (1/rate + lambda2) w: what the l1 term holds back, 0 without one. z would leave the delta
# as a difference of numbers of the parameter's size.

cdef inline real ftrl(real g, real p, real *n, real *residual, real lr, real inverse_lr, real beta, real n_start,
                      real l1, real l2_of_lr) noexcept nogil:
    n[0] = n[0] + g * g
    cdef real stiffness = beta + square_root(n[0] + n_start) + l2_of_lr
    cdef real ahead = stiffness * p - lr * (residual[0] + g)
    cdef real side = l1 if ahead > <real>0 else -l1
    cdef bint vanishes = absolute(ahead) <= lr * l1         # false for NaN
    cdef real left = residual[0] + g - inverse_lr * stiffness * p if vanishes else -side
    cdef real delta = -p if vanishes else ratio(-lr * (residual[0] + side + g), stiffness)
    residual[0] = residual[0] if g == <real>0 else left
    return <real>0 if g == <real>0 else delta
