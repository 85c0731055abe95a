# cython: cdivision=True
"""Derivatives of activations in the parameters that are learned: `name_in_parameter` beside `name`, `name_d1` and `name_d2`,
which stand here only where another file's would not do.

h holds the parameters; any finite value may have been learned. The build writes one loop of each (tools/pair_kernels.py),
the parameters in the order in which their derivatives stand here.
"""
from fastnn.core.gated cimport (acon_exp, swish as swish_of_rate, swish_d1 as swish_d1_of_rate, swish_d2 as swish_d2_of_rate,
                                swish_parts)
from fastnn.core.piecewise cimport zero
from fastnn.core.sigmoidal cimport expm1_of_minus
from fastnn.core.vecmath cimport (HAS_FMA, absolute, at_least, at_most, exp_floor, exp_split_short, fma, lane, least, unscale,
                                  wide)


# PReLU: x above 0, else alpha x; at 0 the lower piece decides, as in PyTorch (He et al. 2015, arXiv 1502.01852)

cdef inline lane prelu(lane x, const lane *h) noexcept nogil:
    cdef lane alpha = h[0]              # read before it is chosen: a choice of addresses is no vector's
    return x if x > <lane>0 else alpha * x


cdef inline lane prelu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane alpha = h[0]
    return x if x != x else (<lane>1 if x > <lane>0 else alpha)


cdef inline lane prelu_d2(lane x, const lane *h) noexcept nogil:
    return zero(x, h)


cdef inline lane prelu_in_alpha(lane x, const lane *h) noexcept nogil:
    return <lane>0 if x > <lane>0 else x


# ELU: f = alpha (exp(x) - 1) below 0

cdef inline lane elu_slope(lane x, lane alpha) noexcept nogil:
    """alpha exp(x) for x <= 0, NaN kept: a large alpha takes 2^-BIAS, which 2^BIAS exp(x) ends with, upon itself."""
    cdef bint large = absolute(alpha) > <lane>1.152921504606847e18         # 2^60
    cdef lane after = <lane>1 if large else unscale(x)
    cdef lane t
    cdef lane p = exp_split_short(-at_most(absolute(x), -exp_floor(x)), &t)
    t = (alpha * unscale(x) if large else alpha) * t
    return fma(t, p, t) * after


cdef inline lane elu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_slope(x, h[0])
    return <lane>1 if x >= <lane>0 else e


cdef inline lane elu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_slope(x, h[0])
    return <lane>0 if x >= <lane>0 else e


cdef inline lane elu_in_alpha(lane x, const lane *h) noexcept nogil:
    return expm1_of_minus(least(absolute(x), <lane>60)) if x < <lane>0 else (x if x != x else <lane>0)


# Swish: f = x s(beta x), s the sigmoid, is that of |beta| with both signs turned; df/dbeta = x^2 s (1 - s). A |beta| beyond
# 1e9 counts as that: f is ReLU but for |x| < 1e-7.

cdef inline lane swish_rate(lane beta) noexcept nogil:
    """|beta| within what the formulas hold."""
    return at_most(at_least(absolute(beta), <lane>1e-30), <lane>1e9)


cdef inline lane swish(lane x, const lane *h) noexcept nogil:
    cdef lane rate[1]
    cdef lane y
    rate[0] = swish_rate(h[0])
    y = swish_of_rate(-x if h[0] < <lane>0 else x, rate)
    return -y if h[0] < <lane>0 else y


cdef inline lane swish_d1(lane x, const lane *h) noexcept nogil:
    cdef lane rate[1]
    rate[0] = swish_rate(h[0])
    return swish_d1_of_rate(-x if h[0] < <lane>0 else x, rate)


cdef inline lane swish_d2(lane x, const lane *h) noexcept nogil:
    """Next to beta = 0 beta/2, which the least rate is scaled to."""
    cdef lane rate[1]
    cdef lane beta = h[0]
    rate[0] = swish_rate(beta)
    return swish_d2_of_rate(x, rate) * (at_most(at_least(beta, -rate[0]), rate[0]) / rate[0])


cdef inline lane swish_in_beta(lane x, const lane *h) noexcept nogil:
    """0 where s (1 - s) has left the range of exp."""
    cdef wide beta[1]
    if lane is float and not HAS_FMA:
        beta[0] = <wide>h[0]
        return <float>swish_in_beta[wide](<wide>x, beta)
    cdef lane rate = swish_rate(h[0])
    cdef lane end = -exp_floor(x) / rate
    cdef lane a = at_most(absolute(x), end)
    cdef lane t
    cdef lane p = swish_parts(a, rate, &t)
    cdef lane u = t * unscale(x)
    cdef lane e = fma(u, p, u)
    cdef lane q = a / fma(e, e + <lane>2, <lane>1)
    return <lane>0 if absolute(x) > end else fma(q, p, q) * t * (a * unscale(x))


# ACON-C: f = k x s(z) + p2 x, k = p1 - p2, z = beta k x; with the slope w(z) = s + z s (1 - s) of x s(x), w(-z) = 1 - w(z):
# df/dp1 = x w(z), df/dp2 = x w(-z), df/dbeta = (k x)^2 s (1 - s)

cdef inline lane acon_share(lane x, const lane *h, bint second) noexcept nogil:
    cdef lane b, z
    cdef lane es = acon_exp(x, h, &b, &z)
    cdef lane e = es * unscale(x)
    cdef lane d = fma(e, e + <lane>2, <lane>1)
    cdef lane left = b * (es * ((<lane>1 - absolute(z)) + e) / d) * unscale(x)
    cdef lane right = x * (fma(absolute(z), e, <lane>1 + e) / d)
    if second:
        return right if z < <lane>0 else left
    return left if z < <lane>0 else right


cdef inline lane acon_in_p1(lane x, const lane *h) noexcept nogil:
    cdef wide parts[3]
    if lane is float:
        parts[0] = <wide>h[0]
        parts[1] = <wide>h[1]
        parts[2] = <wide>h[2]
        return <float>acon_share[wide](<wide>x, parts, False)
    return acon_share(x, h, False)


cdef inline lane acon_in_p2(lane x, const lane *h) noexcept nogil:
    cdef wide parts[3]
    if lane is float:
        parts[0] = <wide>h[0]
        parts[1] = <wide>h[1]
        parts[2] = <wide>h[2]
        return <float>acon_share[wide](<wide>x, parts, True)
    return acon_share(x, h, True)


cdef inline lane acon_in_beta(lane x, const lane *h) noexcept nogil:
    cdef wide parts[3]
    if lane is float:
        parts[0] = <wide>h[0]
        parts[1] = <wide>h[1]
        parts[2] = <wide>h[2]
        return <float>acon_in_beta[wide](<wide>x, parts)
    cdef lane b, z
    cdef lane es = acon_exp(x, h, &b, &z)
    cdef lane e = es * unscale(x)
    cdef lane kb = (h[0] - h[1]) * b
    return kb * (es / fma(e, e + <lane>2, <lane>1)) * (kb * unscale(x))
