# cython: cdivision=True
"""Optimizers as scalar rules: (gradient, state..., constants) -> the delta that is added to the parameter.

g is the gradient of one element; state is updated through its pointers; c holds the constants of the step, which
fastnn/optimizers.py computes in double precision, next to the rule in words and its source.
"""
from fastnn.core.vecmath cimport absolute, at_least, at_most, exp_any, real, square_root


cdef inline real ratio(real numerator, real denominator) noexcept nogil:
    """The quotient; 0 over a vanished root, so that a gradient of zero (or whose square is) gives a zero delta."""
    return <real>0 if denominator == <real>0 else numerator / denominator


cdef inline real sgd(real g, const real *c) noexcept nogil:
    return c[0] * g


# c = (momentum, -learning rate)

cdef inline real momentum(real g, real *v, const real *c) noexcept nogil:
    v[0] = c[0] * v[0] + c[1] * g
    return v[0]


# c = (mu, -learning rate, mu^2, -(1 + mu) learning rate)

cdef inline real nesterov(real g, real *v, const real *c) noexcept nogil:
    cdef real delta = c[2] * v[0] + c[3] * g
    v[0] = c[0] * v[0] + c[1] * g
    return delta


# c = (-learning rate, eps inside the root, eps outside)

cdef inline real adagrad(real g, real *h, const real *c) noexcept nogil:
    h[0] = h[0] + g * g
    return ratio(c[0] * g, square_root(h[0] + c[1]) + c[2])


# c = (1 - decay, -learning rate, eps inside the root, eps outside)

cdef inline real rmsprop(real g, real *v, const real *c) noexcept nogil:
    v[0] = v[0] + c[0] * (g * g - v[0])
    return ratio(c[1] * g, square_root(v[0] + c[2]) + c[3])


# c = (1 - rho, eps, learning rate)

cdef inline real adadelta(real g, real *v, real *u, const real *c) noexcept nogil:
    v[0] = v[0] + c[0] * (g * g - v[0])
    cdef real delta = ratio(-g * square_root(u[0] + c[1]), square_root(v[0] + c[1]))
    u[0] = u[0] + c[0] * (delta * delta - u[0])
    return c[2] * delta


# c = (1 - beta1, 1 - beta2, -corrected learning rate, eps inside the root, eps outside)

cdef inline real adam(real g, real *m, real *v, const real *c) noexcept nogil:
    m[0] = m[0] + c[0] * (g - m[0])
    v[0] = v[0] + c[1] * (g * g - v[0])
    return ratio(c[2] * m[0], square_root(v[0] + c[3]) + c[4])


# c = (1 - rho, -learning rate, eps)

cdef inline real rmsprop_graves(real g, real *m, real *v, const real *c) noexcept nogil:
    m[0] = m[0] + c[0] * (g - m[0])
    v[0] = v[0] + c[0] * (g * g - v[0])
    cdef real variance = at_least(v[0] - m[0] * m[0], <real>0)       # rounding may take it below 0
    return ratio(c[1] * g, square_root(variance + c[2]))


# c = (eta, eps)

cdef inline real smorms3(real g, real *m, real *v, real *s, const real *c) noexcept nogil:
    cdef real r = <real>1 / (s[0] + <real>1)
    m[0] = m[0] + r * (g - m[0])
    v[0] = v[0] + r * (g * g - v[0])
    cdef real zeta = ratio(m[0] * m[0], v[0] + c[1])
    s[0] = <real>1 + s[0] * (<real>1 - zeta)
    return ratio(-g * at_most(zeta, c[0]), square_root(v[0] + c[1]))


# c = (1 - beta1, beta2, -corrected learning rate)

cdef inline real adamax(real g, real *m, real *u, const real *c) noexcept nogil:
    m[0] = m[0] + c[0] * (g - m[0])
    u[0] = at_least(absolute(g), c[1] * u[0])
    return ratio(c[2] * m[0], u[0])


# c = (1 - mu, 1 - nu, factor of m, factor of g, factor of v, eps)

cdef inline real nadam(real g, real *m, real *v, const real *c) noexcept nogil:
    m[0] = m[0] + c[0] * (g - m[0])
    v[0] = v[0] + c[1] * (g * g - v[0])
    return ratio(c[2] * m[0] + c[3] * g, square_root(c[4] * v[0] + c[5]))


# c = (1 - beta1, 1 - beta2, -learning rate, eps)

cdef inline real amsgrad(real g, real *m, real *v, real *vhat, const real *c) noexcept nogil:
    m[0] = m[0] + c[0] * (g - m[0])
    v[0] = v[0] + c[1] * (g * g - v[0])
    vhat[0] = at_least(v[0], vhat[0])
    return ratio(c[2] * m[0], square_root(vhat[0] + c[3]))


# c = (1 - beta1, 1 - beta2, alpha, lowest rate, highest rate, -1/sqrt(t)); alpha/0 is clipped to the highest rate

cdef inline real bounded_rate(real v, const real *c) noexcept nogil:
    cdef real rate = c[2] / square_root(v) if c[2] > <real>0 else <real>0
    return at_most(at_least(rate, c[3]), c[4])


cdef inline real adabound(real g, real *m, real *v, const real *c) noexcept nogil:
    m[0] = m[0] + c[0] * (g - m[0])
    v[0] = v[0] + c[1] * (g * g - v[0])
    return c[5] * bounded_rate(v[0], c) * m[0]


cdef inline real amsbound(real g, real *m, real *v, real *vhat, const real *c) noexcept nogil:
    m[0] = m[0] + c[0] * (g - m[0])
    v[0] = v[0] + c[1] * (g * g - v[0])
    vhat[0] = at_least(v[0], vhat[0])
    return c[5] * bounded_rate(vhat[0], c) * m[0]


# Santa: c = (sigma, (1 - sigma)/N^2, lambda, eta, eta/beta, sqrt(2 eta/beta)); p the preconditioner of the step before
# (g_{t-1} of the paper), u the velocity, alpha the friction, noise standard normal. `explore` is before the burn-in's
# end, `refine` after it, when noise and friction's adaptation stop.

cdef inline real santa_preconditioner(real g, real *v, const real *c) noexcept nogil:
    v[0] = c[0] * v[0] + c[1] * (g * g)
    return <real>1 / square_root(c[2] + square_root(v[0]))


cdef inline real santa_kick(real p, real previous, real u, real noise, const real *c) noexcept nogil:
    return c[4] * (<real>1 - previous / p) / u + c[5] * square_root(previous) * noise


cdef inline real santa_e_explore(real g, real *v, real *p, real *u, real *alpha, real *noise,
                                 const real *c) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, c)
    alpha[0] = alpha[0] + (u[0] * u[0] - c[4])
    u[0] = santa_kick(q, p[0], u[0], noise[0], c) + (<real>1 - alpha[0]) * u[0] - c[3] * q * g
    p[0] = q
    return q * u[0]


cdef inline real santa_e_refine(real g, real *v, real *p, real *u, real *alpha, real *noise,
                                const real *c) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, c)
    u[0] = (<real>1 - alpha[0]) * u[0] - c[3] * q * g
    p[0] = q
    return q * u[0]


cdef inline real santa_sss_explore(real g, real *v, real *p, real *u, real *alpha, real *noise,
                                   const real *c) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, c)
    alpha[0] = alpha[0] + <real>0.5 * (u[0] * u[0] - c[4])
    cdef real brake = exp_any(<real>-0.5 * alpha[0])
    u[0] = (brake * u[0] + (santa_kick(q, p[0], u[0], noise[0], c) - c[3] * q * g)) * brake
    alpha[0] = alpha[0] + <real>0.5 * (u[0] * u[0] - c[4])
    p[0] = q
    return <real>0.5 * q * u[0]


cdef inline real santa_sss_refine(real g, real *v, real *p, real *u, real *alpha, real *noise,
                                  const real *c) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, c)
    cdef real brake = exp_any(<real>-0.5 * alpha[0])
    u[0] = (brake * u[0] - c[3] * q * g) * brake
    p[0] = q
    return <real>0.5 * q * u[0]
