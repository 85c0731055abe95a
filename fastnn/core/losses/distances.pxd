# cython: cdivision=True
"""Losses of the difference between a prediction and a target."""
from fastnn.core.transcendental cimport log_cosh_tail
from fastnn.core.vecmath cimport (absolute, at_least, at_most, end_of_ratio, exp_of_tanh, fma, log1p, log_of_ratio_of, real,
                                  tanh)


# square: (y - t)^2 / 2

cdef inline real square_error(real y, real t) noexcept nogil:
    return <real>0.5 * (y - t) * (y - t)


cdef inline real square_error_d1(real y, real t) noexcept nogil:
    return y - t


# (y - t)^2

cdef inline real squared_difference(real y, real t) noexcept nogil:
    return (y - t) * (y - t)


cdef inline real squared_difference_d1(real y, real t) noexcept nogil:
    return <real>2 * (y - t)


# |y - t|; the derivative at 0 is 0

cdef inline real sign(real d) noexcept nogil:
    return <real>1 if d > <real>0 else (<real>-1 if d < <real>0 else d)


cdef inline real absolute_error(real y, real t) noexcept nogil:
    return absolute(y - t)


cdef inline real absolute_error_d1(real y, real t) noexcept nogil:
    return sign(y - t)


# Huber: d^2/2 for |d| <= delta, else delta (|d| - delta/2)

cdef inline real huber(real y, real t, real delta) noexcept nogil:
    cdef real a = absolute(y - t)
    return <real>0.5 * a * a if a <= delta else delta * (a - <real>0.5 * delta)


cdef inline real huber_d1(real y, real t, real delta) noexcept nogil:
    return at_least(at_most(y - t, delta), -delta)


# smooth L1: d^2/(2 beta) for |d| < beta, else |d| - beta/2

cdef inline real smooth_l1(real y, real t, real beta) noexcept nogil:
    cdef real a = absolute(y - t)
    return <real>0.5 * a * (a / beta) if a < beta else a - <real>0.5 * beta


cdef inline real smooth_l1_d1(real y, real t, real beta) noexcept nogil:
    cdef real d = y - t
    return d / beta if absolute(d) < beta else sign(d)


# log(cosh(d)), as the activation; exp(-2|d|) is that of tanh

cdef inline real log_cosh(real y, real t) noexcept nogil:
    cdef real a = absolute(y - t)
    cdef real w = a * a
    cdef real near = fma(w * w, log_cosh_tail(w), <real>0.5 * w)
    cdef real far = (a - <real>0.6931471805599453) + log1p(exp_of_tanh(a))
    return near if a < <real>1 else far


cdef inline real log_cosh_d1(real y, real t) noexcept nogil:
    return tanh(y - t)


# quantile (pinball): -q d below the target, (1 - q) d above it; the derivative at 0 is 0

cdef inline real quantile(real y, real t, real q, real rest) noexcept nogil:
    cdef real d = y - t
    return -q * d if d < <real>0 else rest * d


cdef inline real quantile_d1(real y, real t, real q, real rest) noexcept nogil:
    cdef real d = y - t
    return -q if d < <real>0 else (rest if d > <real>0 else d)


# max(|d| - epsilon, 0); the derivative at epsilon is 0

cdef inline real epsilon_insensitive(real y, real t, real epsilon) noexcept nogil:
    return at_least(absolute(y - t) - epsilon, <real>0)


cdef inline real epsilon_insensitive_d1(real y, real t, real epsilon) noexcept nogil:
    cdef real d = y - t
    return <real>0 if absolute(d) <= epsilon else sign(d)


# max(|d| - epsilon, 0)^2

cdef inline real squared_epsilon_insensitive(real y, real t, real epsilon) noexcept nogil:
    cdef real m = at_least(absolute(y - t) - epsilon, <real>0)
    return m * m


cdef inline real squared_epsilon_insensitive_d1(real y, real t, real epsilon) noexcept nogil:
    cdef real d = y - t
    cdef real m = <real>2 * at_least(absolute(d) - epsilon, <real>0)
    return -m if d < <real>0 else m


# scale |d| / max(|t|, epsilon)

cdef inline real percentage_error(real y, real t, real epsilon, real scale) noexcept nogil:
    return scale * (absolute(y - t) / at_least(absolute(t), epsilon))


cdef inline real percentage_error_d1(real y, real t, real epsilon, real scale) noexcept nogil:
    return sign(y - t) * (scale / at_least(absolute(t), epsilon))


# (log(1 + y) - log(1 + t))^2

cdef inline real log_of_quotient(real y, real t) noexcept nogil:
    """log((1 + y)/(1 + t))."""
    cdef real a = <real>1 + y
    cdef real b = <real>1 + t
    return end_of_ratio(log_of_ratio_of(a, b, y - t, <real>0), a, b)


cdef inline real squared_log_error(real y, real t) noexcept nogil:
    cdef real d = log_of_quotient(y, t)
    return d * d


cdef inline real squared_log_error_d1(real y, real t) noexcept nogil:
    return <real>2 * log_of_quotient(y, t) / (<real>1 + y)


# of distances y between two samples that belong together (t = 1) or not (0): t y^2 + (1 - t) max(margin - y, 0)^2

cdef inline real contrastive(real y, real t, real margin) noexcept nogil:
    cdef real m = at_least(margin - y, <real>0)
    return fma(t, y * y, (<real>1 - t) * (m * m))


cdef inline real contrastive_d1(real y, real t, real margin) noexcept nogil:
    return <real>2 * fma(t, y, -((<real>1 - t) * at_least(margin - y, <real>0)))


# hinge embedding: distances y where t is above 0, else max(margin - y, 0); the derivative at the kink is 0

cdef inline real hinge_embedding(real y, real t, real margin) noexcept nogil:
    cdef real apart = at_least(margin - y, <real>0)
    return y if t > <real>0 else (apart if t <= <real>0 else t)


cdef inline real hinge_embedding_d1(real y, real t, real margin) noexcept nogil:
    cdef real m = margin - y
    cdef real apart = <real>-1 if m > <real>0 else (<real>0 if m <= <real>0 else m)
    return (<real>1 if y == y else y) if t > <real>0 else (apart if t <= <real>0 else t)
