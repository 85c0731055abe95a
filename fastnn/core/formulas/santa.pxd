# cython: cdivision=True
"""Santa: stochastic gradients with annealed thermal noise."""
from fastnn.core.vecmath cimport at_least, exp_any, real, square_root


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
