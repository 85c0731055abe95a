# cython: cdivision=True
"""Optimizers as scalar rules: what one element's gradient, parameter and state become.

    cdef inline real name(real g[, real p], real *slot..., real constant...) noexcept nogil

returns the delta that is added to the parameter. g is the gradient; p the parameter, for rules that read it; state is
updated through its pointers; what follows are the step's constants, which the optimizer's `constants` computes in
double precision under the same names (fastnn/optimizers). tools/rule_kernels.py writes the loops around them.
"""
from fastnn.core.vecmath cimport absolute, at_least, at_most, exp_any, real, square_root


cdef inline real ratio(real numerator, real denominator) noexcept nogil:
    """The quotient; 0 over a vanished root, so that a gradient of zero (or whose square is) gives a zero delta."""
    return <real>0 if denominator == <real>0 else numerator / denominator


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


cdef inline real lion(real g, real *m, real one_minus_beta1, real one_minus_beta2, real lr) noexcept nogil:
    cdef real ahead = m[0] + one_minus_beta1 * (g - m[0])
    m[0] = m[0] + one_minus_beta2 * (g - m[0])
    return -lr * (<real>1 if ahead > <real>0 else <real>-1 if ahead < <real>0 else ahead)     # NaN and 0 stay


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


cdef inline real adam(real g, real *m, real *v, real one_minus_beta1, real one_minus_beta2, real corrected_lr,
                      real eps_inside_root, real eps) noexcept nogil:
    m[0] = m[0] + one_minus_beta1 * (g - m[0])
    v[0] = v[0] + one_minus_beta2 * (g * g - v[0])
    return ratio(-corrected_lr * m[0], square_root(v[0] + eps_inside_root) + eps)


cdef inline real rmsprop_graves(real g, real *m, real *v, real one_minus_rho, real lr, real eps) noexcept nogil:
    m[0] = m[0] + one_minus_rho * (g - m[0])
    v[0] = v[0] + one_minus_rho * (g * g - v[0])
    cdef real variance = at_least(v[0] - m[0] * m[0], <real>0)       # rounding may take it below 0
    return ratio(-lr * g, square_root(variance + eps))


cdef inline real smorms3(real g, real *m, real *v, real *s, real lr, real eps) noexcept nogil:
    cdef real r = <real>1 / (s[0] + <real>1)
    m[0] = m[0] + r * (g - m[0])
    v[0] = v[0] + r * (g * g - v[0])
    cdef real zeta = ratio(m[0] * m[0], v[0] + eps)
    s[0] = <real>1 + s[0] * (<real>1 - zeta)
    return ratio(-g * at_most(zeta, lr), square_root(v[0] + eps))


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


# Santa: previous is the preconditioner of the step before (g_{t-1} of the paper), u the velocity, alpha the friction,
# noise standard normal. `explore` is before the burn-in's end, `refine` after it, when noise and friction's adaptation
# stop.

cdef inline real santa_preconditioner(real g, real *v, real sigma, real square_factor, real lambda_) noexcept nogil:
    v[0] = sigma * v[0] + square_factor * (g * g)
    return <real>1 / square_root(lambda_ + square_root(v[0]))


# Beyond 1 the Euler scheme's friction would turn u round, beyond 2 let it grow.

cdef inline real santa_e_kept(real u, real alpha) noexcept nogil:
    return at_least(<real>1 - alpha, <real>0) * u


cdef inline real santa_e_explore(real g, real *v, real *previous, real *u, real *alpha, real *noise, real sigma,
                                 real square_factor, real lambda_, real lr, real warmth,
                                 real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    alpha[0] = alpha[0] + (u[0] * u[0] - warmth)
    u[0] = santa_e_kept(u[0], alpha[0]) - lr * q * g + noise_factor * square_root(previous[0]) * noise[0]
    previous[0] = q
    return q * u[0]


cdef inline real santa_e_refine(real g, real *v, real *previous, real *u, real *alpha, real *noise, real sigma,
                                real square_factor, real lambda_, real lr, real warmth,
                                real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    u[0] = santa_e_kept(u[0], alpha[0]) - lr * q * g
    previous[0] = q
    return q * u[0]


cdef inline real santa_sss_explore(real g, real *v, real *previous, real *u, real *alpha, real *noise, real sigma,
                                   real square_factor, real lambda_, real lr, real warmth,
                                   real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    cdef real first = u[0]
    alpha[0] = alpha[0] + <real>0.5 * (first * first - warmth)
    cdef real brake = exp_any(<real>-0.5 * alpha[0])
    u[0] = (brake * first - lr * q * g + noise_factor * square_root(previous[0]) * noise[0]) * brake
    alpha[0] = alpha[0] + <real>0.5 * (u[0] * u[0] - warmth)
    previous[0] = q
    return <real>0.5 * q * (first + u[0])


cdef inline real santa_sss_refine(real g, real *v, real *previous, real *u, real *alpha, real *noise, real sigma,
                                  real square_factor, real lambda_, real lr, real warmth,
                                  real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    cdef real first = u[0]
    cdef real brake = exp_any(<real>-0.5 * alpha[0])
    u[0] = (brake * first - lr * q * g) * brake
    previous[0] = q
    return <real>0.5 * q * (first + u[0])


# Article A's: with the paper's term of the preconditioner's derivative, without the first half step of SantaSSS

cdef inline real article_santa_kick(real q, real previous, real u, real noise, real warmth,
                                    real noise_factor) noexcept nogil:
    return warmth * (<real>1 - previous / q) / u + noise_factor * square_root(previous) * noise


cdef inline real article_santa_e_explore(real g, real *v, real *previous, real *u, real *alpha, real *noise, real sigma,
                                         real square_factor, real lambda_, real lr, real warmth,
                                         real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    alpha[0] = alpha[0] + (u[0] * u[0] - warmth)
    u[0] = (article_santa_kick(q, previous[0], u[0], noise[0], warmth, noise_factor) + (<real>1 - alpha[0]) * u[0]
            - lr * q * g)
    previous[0] = q
    return q * u[0]


cdef inline real article_santa_e_refine(real g, real *v, real *previous, real *u, real *alpha, real *noise, real sigma,
                                        real square_factor, real lambda_, real lr, real warmth,
                                        real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    u[0] = (<real>1 - alpha[0]) * u[0] - lr * q * g
    previous[0] = q
    return q * u[0]


cdef inline real article_santa_sss_explore(real g, real *v, real *previous, real *u, real *alpha, real *noise,
                                           real sigma, real square_factor, real lambda_, real lr, real warmth,
                                           real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    alpha[0] = alpha[0] + <real>0.5 * (u[0] * u[0] - warmth)
    cdef real brake = exp_any(<real>-0.5 * alpha[0])
    u[0] = (brake * u[0]
            + (article_santa_kick(q, previous[0], u[0], noise[0], warmth, noise_factor) - lr * q * g)) * brake
    alpha[0] = alpha[0] + <real>0.5 * (u[0] * u[0] - warmth)
    previous[0] = q
    return <real>0.5 * q * u[0]


cdef inline real article_santa_sss_refine(real g, real *v, real *previous, real *u, real *alpha, real *noise,
                                          real sigma, real square_factor, real lambda_, real lr, real warmth,
                                          real noise_factor) noexcept nogil:
    cdef real q = santa_preconditioner(g, v, sigma, square_factor, lambda_)
    cdef real brake = exp_any(<real>-0.5 * alpha[0])
    u[0] = (brake * u[0] - lr * q * g) * brake
    previous[0] = q
    return <real>0.5 * q * u[0]


# a moving average or slow weights, with the parameter in the gradient's place; equal infinities stay

cdef inline real approach(real g, real p, real rate) noexcept nogil:
    return <real>0 if g == p else rate * (g - p)
