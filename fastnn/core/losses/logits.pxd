# cython: cdivision=True
"""Losses of logits and scores."""
from fastnn.core.vecmath cimport absolute, at_least, exp, fma, log, log1p, product_low, real


# binary cross entropy of sigmoid(y): log(1 + exp(y)) - y t, and sigmoid(y) - t, written as in sigmoidal.pxd

cdef inline real sigmoid_cross_entropy(real y, real t) noexcept nogil:
    cdef real a = absolute(y)
    cdef real wrong = <real>1 - t if y > <real>0 else t
    return (<real>0 if wrong == <real>0 else a * wrong) + log1p(exp(-a))        # not inf * 0


cdef inline real sigmoid_cross_entropy_d1(real y, real t) noexcept nogil:
    cdef real e = exp(-absolute(y))
    cdef real s = e / (<real>1 + e)
    return s - t if y < <real>0 else (<real>1 - t) - s


# the same with targets t kept + spread (label smoothing), the term of 1 - t times `negative`, that of t times `positive`; 0,
# whatever y is, where neither counts

cdef inline real weighted_sigmoid_cross_entropy(real y, real t, real kept, real spread, real negative,
                                                real positive) noexcept nogil:
    cdef real a = absolute(y)
    cdef real s = fma(t, kept, spread)
    cdef real n = negative * (<real>1 - s)
    cdef real p = positive * s
    cdef real wrong = n if y > <real>0 else p
    cdef real loss = fma(n + p, log1p(exp(-a)), <real>0 if wrong == <real>0 else a * wrong)
    return <real>0 if absolute(n) + absolute(p) == <real>0 else loss


cdef inline real weighted_sigmoid_cross_entropy_d1(real y, real t, real kept, real spread, real negative,
                                                   real positive) noexcept nogil:
    cdef real e = exp(-absolute(y))
    cdef real large = <real>1 / (<real>1 + e)
    cdef real small = e * large
    cdef real s = fma(t, kept, spread)
    cdef real n = negative * (<real>1 - s)
    cdef real p = positive * s
    cdef real slope = fma(n, large if y > <real>0 else small, -(p * (small if y > <real>0 else large)))
    return <real>0 if absolute(n) + absolute(p) == <real>0 else slope


# focal (Lin et al.): (alpha t + (1 - alpha)(1 - t)) q^gamma times the binary cross entropy of sigmoid(y), where
# q = p (1 - t) + (1 - p) t is the probability of the wrong answer; targets t kept + spread

cdef inline real small_power(real q, real one, real two, real three) noexcept nogil:
    """q^(one + two + three), each of them 0 or 1."""
    return fma(q, one, <real>1 - one) * fma(q, two, <real>1 - two) * fma(q, three, <real>1 - three)


cdef inline real wrong_share(real y, real s, real *p, real *rest) noexcept nogil:
    """q, p and 1 - p."""
    cdef real e = exp(-absolute(y))
    cdef real large = <real>1 / (<real>1 + e)
    cdef real small = e * large
    p[0] = small if y < <real>0 else large
    rest[0] = large if y < <real>0 else small
    return fma(p[0], <real>1 - s, rest[0] * s)


cdef inline real focal_slope(real y, real s, real p, real rest, real q, real gamma) noexcept nogil:
    """What is times share and power: (p - s) + gamma q'/q times the cross entropy."""
    cdef real least = <real>1e-37 if real is float else <real>1e-300            # not 0/0
    cdef real growth = gamma * ((<real>1 - s) - s) * (p * rest / at_least(q, least))
    cdef real grown = growth * sigmoid_cross_entropy(y, s)
    return fma(p, <real>1 - s, -(rest * s)) + (<real>0 if growth == <real>0 else grown)


cdef inline real sigmoid_focal(real y, real t, real kept, real spread, real negative, real positive, real gamma, real one,
                               real two, real three) noexcept nogil:
    cdef real s = fma(t, kept, spread)
    cdef real p, rest
    cdef real q = wrong_share(y, s, &p, &rest)
    cdef real loss = fma(positive, s, negative * (<real>1 - s)) * small_power(q, one, two, three) * (
        sigmoid_cross_entropy(y, s))
    return <real>0 if q == <real>0 else loss


cdef inline real sigmoid_focal_d1(real y, real t, real kept, real spread, real negative, real positive, real gamma,
                                  real one, real two, real three) noexcept nogil:
    cdef real s = fma(t, kept, spread)
    cdef real p, rest
    cdef real q = wrong_share(y, s, &p, &rest)
    return fma(positive, s, negative * (<real>1 - s)) * small_power(q, one, two, three) * (
        focal_slope(y, s, p, rest, q, gamma))


# the same for any power, by exp and log

cdef inline real sigmoid_focal_power(real y, real t, real kept, real spread, real negative, real positive,
                                     real gamma) noexcept nogil:
    cdef real s = fma(t, kept, spread)
    cdef real p, rest
    cdef real q = wrong_share(y, s, &p, &rest)
    cdef real loss = fma(positive, s, negative * (<real>1 - s)) * exp(gamma * log(q)) * sigmoid_cross_entropy(y, s)
    return <real>0 if q == <real>0 else loss


cdef inline real sigmoid_focal_power_d1(real y, real t, real kept, real spread, real negative, real positive,
                                        real gamma) noexcept nogil:
    cdef real s = fma(t, kept, spread)
    cdef real p, rest
    cdef real q = wrong_share(y, s, &p, &rest)
    return fma(positive, s, negative * (<real>1 - s)) * exp(gamma * log(q)) * focal_slope(y, s, p, rest, q, gamma)


# hinge: max(1 - t y, 0) of scores y and targets -1 and 1, or 0 and 1, where 0 stands for -1; the derivative at the kink
# is 0

cdef inline real side(real t) noexcept nogil:
    return <real>-1 if t == <real>0 else t


cdef inline real hinge(real y, real t) noexcept nogil:
    return at_least(fma(-side(t), y, <real>1), <real>0)


cdef inline real hinge_d1(real y, real t) noexcept nogil:
    cdef real m = fma(-side(t), y, <real>1)
    return -side(t) if m > <real>0 else (<real>0 if m <= <real>0 else m)


# max(1 - t y, 0)^2

cdef inline real squared_hinge(real y, real t) noexcept nogil:
    cdef real m = at_least(fma(-side(t), y, <real>1), <real>0)
    return m * m


cdef inline real squared_hinge_d1(real y, real t) noexcept nogil:
    return <real>-2 * side(t) * at_least(fma(-side(t), y, <real>1), <real>0)


# soft margin: log(1 + exp(-t y)), with targets as in hinge; the product in two parts

cdef inline real lost(real s, real y, real z) noexcept nogil:
    """What the product z of s and y has lost."""
    cdef real low = product_low(s, y, z)
    return low if absolute(low) < <real>1e30 else <real>0           # of infinity


cdef inline real soft_margin(real y, real t) noexcept nogil:
    cdef real s = side(t)
    cdef real z = s * y
    return fma(lost(s, y, z), sigmoid_cross_entropy_d1(z, <real>1), sigmoid_cross_entropy(z, <real>1))


cdef inline real soft_margin_d1(real y, real t) noexcept nogil:
    cdef real s = side(t)
    cdef real z = s * y
    cdef real g = sigmoid_cross_entropy_d1(z, <real>1)
    return s * fma(-(lost(s, y, z) * g), <real>1 + g, g)


# max(margin - t y, 0) of differences y between two scores, with targets as in hinge; the derivative at the kink is 0

cdef inline real margin_ranking(real y, real t, real margin) noexcept nogil:
    return at_least(fma(-side(t), y, margin), <real>0)


cdef inline real margin_ranking_d1(real y, real t, real margin) noexcept nogil:
    cdef real m = fma(-side(t), y, margin)
    return -side(t) if m > <real>0 else (<real>0 if m <= <real>0 else m)
