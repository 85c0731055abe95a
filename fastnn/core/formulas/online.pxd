# cython: cdivision=True
"""Rules from online convex optimization."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport absolute, at_least, cube_root, real, square_root


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


# moved is how far the rule has come from the first parameter

cdef inline real madgrad(real g, real *grad_sum_sq, real *s, real *moved, real weight, real one_minus_momentum,
                         real eps) noexcept nogil:
    grad_sum_sq[0] = grad_sum_sq[0] + weight * (g * g)
    s[0] = s[0] + weight * g
    cdef real delta = -one_minus_momentum * (moved[0] + ratio(s[0], cube_root(grad_sum_sq[0]) + eps))
    moved[0] = moved[0] + delta
    return delta


cdef inline real cocob(real g, real *L, real *G, real *reward, real *theta, real *moved, real lr, real alpha,
                       real eps) noexcept nogil:
    L[0] = at_least(at_least(absolute(g), L[0]), eps)
    G[0] = G[0] + absolute(g)
    reward[0] = at_least(reward[0] - g * moved[0], <real>0)
    theta[0] = theta[0] - g
    cdef real target = ratio(theta[0], L[0]) * ratio(L[0] + reward[0], at_least(G[0] + L[0], alpha * L[0]))
    cdef real delta = target - moved[0]
    moved[0] = target
    return lr * delta
