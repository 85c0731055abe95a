# cython: cdivision=True
"""Smooth activations x g(x): f, f' and f'' of each, side by side.

All are written in e = exp(-|x|). In the left tail the product x e is subnormal long before e is 0, so e enters scaled
by 2^BIAS and one multiplication by `unscale` ends the formula. h holds the hyperparameters in the catalogue's order.
Where float lanes would lose too many digits, a float argument is computed in `wide` ones.
"""
from fastnn.core.normal cimport (core, density, half_plus_density, normal_bound, normal_weight, slope_core, slope_tail,
                                 tail)
from fastnn.core.vecmath cimport (absolute, at_least, at_most, exp_floor, exp_in_wide, exp_parts, exp_parts_at,
                                  exp_split, fma, HAS_FMA, lane, least, product_low, sum_low, tanh_parts, unscale,
                                  wide, with_sign)


# Swish: x s(z), z = beta x, s the sigmoid; h = (beta,)
# f' = s (1 + z (1 - s)), and f'(-z) = 1 - f'(z);  f'' = beta s (1 - s) (2 - z tanh(z/2))

cdef inline lane swish_parts(lane a, lane beta, lane *t) noexcept nogil:
    """p and t in 2^BIAS exp(-beta a) = t (1 + p), the product beta a kept in two parts because exp multiplies its error."""
    cdef lane z = a * beta
    return exp_parts(-z, -product_low(a, beta, z), t)


cdef inline lane swish(lane x, const lane *h) noexcept nogil:
    """As the sigmoid: x/(c + c exp(-z)) c, where exp(-z) is no less than what 1 + exp(-z) can hold."""
    cdef wide beta[1]
    if lane is float and not HAS_FMA:
        beta[0] = <wide>h[0]
        return <float>swish[wide](<wide>x, beta)
    cdef lane c = unscale(x)
    cdef lane most = <lane>40 / h[0]
    cdef lane b = at_most(at_least(x, exp_floor(x) / h[0]), most)
    cdef lane z = b * h[0]
    cdef lane bias = <lane>(127 - 64) if lane is float else (<lane>1023 if lane is wide else <lane>(1023 - 128))
    cdef lane t, d
    cdef lane p = exp_parts_at(-z, -product_low(b, h[0], z), bias, &t)
    cdef lane s = c + t
    if lane is float:                   # s has lost some of c from 2^24 on
        d = s + fma(t, p, (t - s) + c)
    else:
        d = fma(t, p, s)
    return x if x > most else b / d * c


cdef inline lane swish_d1(lane x, const lane *h) noexcept nogil:
    cdef wide beta[1]
    if lane is float and not HAS_FMA:
        beta[0] = <wide>h[0]
        return <float>swish_d1[wide](<wide>x, beta)
    cdef lane a = at_most(absolute(x), -exp_floor(x) / h[0])
    cdef lane t
    cdef lane p = swish_parts(a, h[0], &t)
    cdef lane u = t * unscale(x)
    cdef lane e = fma(u, p, u)
    cdef lane top = fma(-a, h[0], <lane>1) + e if x < <lane>0 else fma(e, fma(a, h[0], <lane>1), <lane>1)
    cdef lane q = top / fma(e, e + <lane>2, <lane>1)
    return fma(q, p, q) * t * unscale(x) if x < <lane>0 else q


cdef inline lane swish_d2(lane x, const lane *h) noexcept nogil:
    cdef lane t
    cdef lane p = swish_parts(at_most(absolute(x), -exp_floor(x) / h[0]), h[0], &t)
    cdef lane es = fma(t, p, t)
    cdef lane e = es * unscale(x)
    cdef lane d = <lane>1 + e
    cdef lane z = at_most(absolute(x) * h[0], <lane>-1.1 * exp_floor(x))
    return h[0] * es * fma(d, <lane>2, z * (e - <lane>1)) / (d * d * d) * unscale(x)


# GELU: x Phi(x), Phi and phi the normal distribution function and density (Hendrycks and Gimpel 2016, arXiv 1606.08415)
# f' = Phi(x) + x phi(x), and f'(-x) = 1 - f'(x);  f'' = phi(x) (2 - x^2)
# In fastnn/core/normal.pxd are polynomials for both: x Phi(x) and f' up to |x| = 11/16, and beyond.

cdef inline lane gelu(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>gelu[wide](<wide>x, NULL)
    cdef lane a = normal_bound(absolute(x))
    cdef lane t, r
    cdef lane q = normal_weight(a, &t, &r)
    cdef lane lost, low
    cdef lane near = fma(x, fma(x, density(x), x * core(x * x)), <lane>0.5 * x)
    lost = tail(a, &low)
    lost = (lost + fma(lost, r, fma(lost, r * r * q, low))) * t * unscale(x)
    return near if a < <lane>0.6875 else (at_least(x, <lane>0) - lost)


cdef inline lane gelu_d1(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>gelu_d1[wide](<wide>x, NULL)
    cdef lane a = normal_bound(absolute(x))
    cdef lane t, r
    cdef lane q = normal_weight(a, &t, &r)
    cdef lane near = half_plus_density(x + x, <lane>0.5 * slope_core(x * x))
    cdef lane left = -slope_tail(a)
    left = fma(left, fma(r * r, q, r), left) * t * unscale(x)
    return near if a < <lane>0.6875 else (left if x < <lane>0 else (<lane>1 - left if x >= <lane>0 else x))


cdef inline lane gelu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane a = normal_bound(absolute(x))
    cdef lane t, r
    cdef lane q = normal_weight(a, &t, &r)
    cdef lane y = fma(t, fma(r * r, q, r), t) * (<lane>0.3989422804014327 * (<lane>2 - a * a)) * unscale(x)
    return y if x == x else x


# Mish: x t, t = tanh(softplus(x)) = (w^2 + 2w)/D = w (1 - (w + w^2)/D), D = w^2 + 2w + 2, w = exp(x)
# (Misra 2019, arXiv 1908.08681)
# f' = t + 4x w (1 + w)/D^2 = w (4 (1 + x) + w (6 + 4x + w (4 + w)))/D^2, which cancels least
# f'' = (8w (1 + w) D + 4x w (2 + 2w - 3w^2 - 2w^3))/D^3
# The right half is the same with numerator and denominator multiplied by powers of e = 1/w, d = 1 + 2e + 2e^2.

cdef inline lane mish(lane x, const lane *h) noexcept nogil:
    cdef wide w, n
    if lane is float:
        w = exp_in_wide(at_most(at_least(<wide>x, <wide>-200), <wide>40))
        n = w * (w + <wide>2)
        return <float>(at_least(<wide>x, <wide>-200) * n / (n + <wide>2))
    cdef lane b = at_least(x, exp_floor(x))
    cdef lane z = at_most(b, <lane>40)
    cdef lane t
    cdef lane p = exp_split(z, &t)
    cdef lane u = t * unscale(x)
    cdef lane e = fma(u, p, u)
    cdef lane y = (fma(-e, e, -e) if x < <lane>0 else <lane>-2) / fma(e, e + <lane>2, <lane>2)
    y = fma(z, y, b)
    return fma(y, p, y) * t * unscale(x) if x < <lane>0 else (y if x > <lane>0 else x)


cdef inline lane mish_slope(lane x, lane w) noexcept nogil:
    """f'/w."""
    cdef lane n = fma(w, w, w + w)                          # D = n + 2, D^2 = n (n + 4) + 4
    return fma(w, fma(w, w + <lane>4, fma(x, <lane>4, <lane>6)), fma(x, <lane>4, <lane>4)) / fma(n, n + <lane>4, <lane>4)


cdef inline lane mish_d1(lane x, const lane *h) noexcept nogil:
    cdef wide z, w
    if lane is float:
        z = at_most(at_least(<wide>x, <wide>-200), <wide>40)
        w = exp_in_wide(z)
        return <float>(mish_slope[wide](z, w) * w)
    cdef lane b = at_most(at_least(x, exp_floor(x)), <lane>40)
    cdef lane t
    cdef lane p = exp_split(b, &t)
    cdef lane u = t * unscale(x)
    cdef lane y = mish_slope(b, fma(u, p, u))
    return fma(y, p, y) * t * unscale(x)


cdef inline lane mish_d2(lane x, const lane *h) noexcept nogil:
    cdef lane a = at_most(absolute(x), <lane>-1.1 * exp_floor(x))
    cdef lane t
    cdef lane p = exp_split(-least(a, -exp_floor(x)), &t)
    cdef lane es = fma(t, p, t)
    cdef lane e = es * unscale(x)
    cdef bint left = x < <lane>0
    cdef lane d = fma(e, e + <lane>2, <lane>2) if left else fma(e, fma(<lane>2, e, <lane>2), <lane>1)
    cdef lane bend = fma(-e, fma(-e, fma(<lane>2, e, <lane>3), <lane>2), <lane>-2) if left else (
        fma(e, fma(e, fma(<lane>2, e, <lane>2), <lane>-3), <lane>-2))
    cdef lane top = fma(fma(<lane>8, e, <lane>8), d, <lane>4 * a * bend)
    return (es if left else es * e) * top / (d * d * d) * unscale(x)


# tanhExp: x t, t = tanh(u), u = exp(x)  (Liu and Di 2020, arXiv 2003.09855)
# f' = t + x u (1 - t^2);  f'' = u (1 - t^2) (2 + x - 2 x u t)
# With q = exp(-2u): t = (1 - q)/(1 + q), 1 - t^2 = 4q/(1 + q)^2. Beyond 4.25 t is 1 and q vanishes beside it; f'' is 0
# beyond 6 (in float beyond 4.25).

cdef inline lane tanhexp_tail(lane like) noexcept nogil:
    """Below this x, tanh(u) = u in `lane`."""
    return <lane>-9 if lane is float else <lane>-20


cdef inline wide tanhexp_in_wide(wide x, wide *u) noexcept nogil:
    """u = exp(x) and, returned, m = exp(-2u) - 1, for x up to 4.25."""
    cdef wide t
    u[0] = exp_in_wide(x)
    cdef wide p = exp_split(<wide>-2 * u[0], &t)
    return fma(t, p, t - <wide>1)


cdef inline lane tanhexp(lane x, const lane *h) noexcept nogil:
    cdef wide in_wide, m, v
    if lane is float:
        in_wide = at_least(<wide>x, <wide>-200)
        m = tanhexp_in_wide(at_most(in_wide, <wide>4.25), &v)
        return <float>(-in_wide * m / (<wide>2 + m))
    cdef lane b = at_least(at_most(x, <lane>4.25), exp_floor(x))
    cdef lane t, u, y, product, rest
    cdef lane p = exp_split(b, &t)
    cdef lane tail = b * fma(t, p, t) * unscale(x)
    t = t * unscale(x)
    u = fma(t, p, t)
    y = tanh_parts(u, sum_low(t, t * p, u), &rest)
    product = x * y
    if lane is double:
        product = with_sign(product + (product_low(b, y, b * y) + b * rest if x < <lane>4.25 else <lane>0), x)
    return tail if b < tanhexp_tail(x) else product


cdef inline lane tanhexp_d1(lane x, const lane *h) noexcept nogil:
    cdef wide in_wide, m, v, d
    if lane is float:
        in_wide = at_most(at_least(<wide>x, <wide>-200), <wide>4.25)
        m = tanhexp_in_wide(in_wide, &v)
        d = <wide>2 + m
        return <float>(fma(<wide>4 * in_wide * v, <wide>1 + m, -m * d) / (d * d))
    cdef lane b = at_least(at_most(x, <lane>4.25), exp_floor(x))
    cdef lane t, s, u, u_low, q, q_low, c, c_low, square, product, slope, slope_low
    cdef lane p = exp_split(b, &t)
    cdef lane tail = fma(t, p, t) * (<lane>1 + b) * unscale(x)
    t = t * unscale(x)
    u = fma(t, p, t)
    u_low = sum_low(t, t * p, u)
    p = exp_parts(<lane>-2 * u, <lane>-2 * u_low, &s)
    s = s * unscale(x)
    q = fma(s, p, s)
    q_low = sum_low(s, s * p, q)
    # the numerator 1 - q^2 + 4 x u q crosses zero: in two parts
    slope = <lane>4 * b * u
    slope_low = product_low(<lane>4 * b, u, slope) + <lane>4 * b * u_low
    product = slope * q
    square = q * q
    c = <lane>1 - square
    c_low = (<lane>1 - c) - square
    c_low += (product_low(slope, q, product) + (slope_low * q + slope * q_low)) - (
        product_low(q, q, square) + (q + q) * q_low)
    u = <lane>1 + q
    return tail if b < tanhexp_tail(x) else ((c + product) + c_low) / (u * u)


cdef inline lane tanhexp_d2(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>tanhexp_d2[wide](<wide>x, NULL)
    cdef lane b = at_least(at_most(x, <lane>6 if lane is double else <lane>4.25), <lane>1.1 * exp_floor(x))
    cdef lane t
    cdef lane p = exp_split(at_least(b, exp_floor(x)), &t)
    cdef lane us = fma(t, p, t)
    cdef lane u = us * unscale(x)
    p = exp_split(<lane>-2 * least(u, <lane>65 if lane is float else <lane>395), &t)
    cdef lane qs = fma(t, p, t)
    t = t * unscale(x)
    cdef lane m = fma(t, p, t - <lane>1)
    cdef lane d = <lane>2 + m
    cdef lane bend = fma(<lane>2 + b, d, <lane>2 * b * u * m)
    return (us * (qs * unscale(x)) if b < <lane>0 else u * qs) * (<lane>4 * bend / (d * d * d)) * unscale(x)


# GELU-tanh: x s(z), s the sigmoid, z = x (c + d x^2), c = 2 sqrt(2/pi), d = 0.044715 c  (Hendrycks and Gimpel 2016)
# f' = s (1 + x z' (1 - s)), and f'(-x) = 1 - f'(x);  f'' = s (1 - s) (2z' + x z'' - x z'^2 tanh(z/2)); even

cdef inline lane gelu_tanh_bound(lane a) noexcept nogil:
    """a >= 0, at most where exp(-z) has vanished; `wide` is for float."""
    return at_most(a, <lane>12 if lane is wide else <lane>22)


cdef inline lane gelu_tanh_exp(lane a, lane *z, lane *z_low) noexcept nogil:
    """z of a >= 0 in two parts and, returned, 2^BIAS exp(-z)."""
    cdef lane c = <lane>1.5957691216057308
    cdef lane d = <lane>0.07135481627260025
    cdef lane w = a * a
    cdef lane q = d * w
    cdef lane s = c + q
    cdef lane b = s - c
    cdef lane s_low = ((c - (s - b)) + (q - b)) + (product_low(d, w, q) + d * product_low(a, a, w))
    s_low = s_low + fma(w, <lane>-6.175149918155315e-19, <lane>-9.96930880911092e-17)
    z[0] = a * s
    z_low[0] = fma(a, s_low, product_low(a, s, z[0]))
    cdef lane t
    cdef lane p = exp_parts(-z[0], -z_low[0], &t)
    return fma(t, p, t)


cdef inline lane gelu_tanh(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>gelu_tanh[wide](<wide>x, NULL)
    cdef lane a = gelu_tanh_bound(absolute(x))
    cdef lane z, z_low
    cdef lane es = gelu_tanh_exp(a, &z, &z_low)
    cdef lane left = -a * es * unscale(x)
    return (left if x < <lane>0 else x) / fma(es, unscale(x), <lane>1)


cdef inline lane gelu_tanh_d1(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>gelu_tanh_d1[wide](<wide>x, NULL)
    cdef lane a = gelu_tanh_bound(absolute(x))
    cdef lane z, z_low
    cdef lane es = gelu_tanh_exp(a, &z, &z_low)
    cdef lane e = es * unscale(x)
    cdef lane rest = <lane>0.1427096325452005 * a * (a * a)
    cdef lane b = z + rest                                                  # a z'
    cdef lane d = <lane>1 + e
    cdef lane low = sum_low(<lane>1, e, d) - (sum_low(z, rest, b) + z_low)
    cdef lane top = es * ((d - b) + low) if x < <lane>0 else fma(e, b, d)
    return top / (d * d) * (unscale(x) if x < <lane>0 else <lane>1)


cdef inline lane gelu_tanh_d2(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>gelu_tanh_d2[wide](<wide>x, NULL)
    cdef lane a = gelu_tanh_bound(absolute(x))
    cdef lane z, z_low
    cdef lane es = gelu_tanh_exp(a, &z, &z_low)
    cdef lane e = es * unscale(x)
    cdef lane d = <lane>1 + e
    cdef lane w = a * a
    cdef lane slope = fma(<lane>0.21406444881780075, w, <lane>1.5957691216057308)
    cdef lane bend = fma(<lane>0.4281288976356015, w, slope + slope) * d + a * slope * slope * (e - <lane>1)
    return es * bend / (d * d * d) * unscale(x)


# ACON-C: (p - q) x s(z) + q x, s the sigmoid, z = beta (p - q) x; h = (p, q, beta)  (Ma et al. 2021, arXiv 2009.04759)
# With e = exp(-|z|), near = p and far = q above 0, reversed below:  f = near x + (far - near) x e/(1 + e)
# f' = near + (far - near) e (1 + e - |z|)/(1 + e)^2;  f'' = (p - q)^2 beta e (2 (1 + e) - |z| (1 - e))/(1 + e)^3

cdef inline lane acon_exp(lane x, const lane *h, lane *bounded, lane *z) noexcept nogil:
    """x as far as exp(-|z|) has not vanished, |z| with the sign of z and, returned, 2^BIAS exp(-|z|)."""
    cdef lane k = h[0] - h[1]
    cdef lane b = k - h[0]
    cdef lane k_low = (h[0] - (k - b)) - (h[1] + b)
    cdef lane rate = h[2] * k
    cdef lane rate_low = fma(h[2], k_low, product_low(h[2], k, rate))
    cdef lane most = -exp_floor(x) / at_least(absolute(rate), <lane>1e-290)
    bounded[0] = at_most(at_least(x, -most), most)
    z[0] = bounded[0] * rate
    cdef lane low = fma(bounded[0], rate_low, product_low(bounded[0], rate, z[0]))
    cdef lane t
    cdef lane p = exp_parts(-absolute(z[0]), low if z[0] < <lane>0 else -low, &t)
    return fma(t, p, t)


cdef inline lane acon(lane x, const lane *h) noexcept nogil:
    cdef wide parts[3]
    if lane is float:
        parts[0] = <wide>h[0]
        parts[1] = <wide>h[1]
        parts[2] = <wide>h[2]
        return <float>acon[wide](<wide>x, parts)
    cdef lane b, z
    cdef lane es = acon_exp(x, h, &b, &z)
    cdef lane p = h[0], q = h[1]
    cdef lane near = q if z < <lane>0 else p
    cdef lane far = p if z < <lane>0 else q
    cdef lane rest = (far - near) * b * (es / fma(es, unscale(x), <lane>1)) * unscale(x)
    cdef lane y = rest if near == <lane>0 else fma(near, x, rest)
    return x if x == <lane>0 else y


cdef inline lane acon_d1(lane x, const lane *h) noexcept nogil:
    cdef wide parts[3]
    if lane is float:
        parts[0] = <wide>h[0]
        parts[1] = <wide>h[1]
        parts[2] = <wide>h[2]
        return <float>acon_d1[wide](<wide>x, parts)
    cdef lane b, z
    cdef lane es = acon_exp(x, h, &b, &z)
    cdef lane d = fma(es, unscale(x), <lane>1)
    cdef lane p = h[0], q = h[1]
    cdef lane near = q if z < <lane>0 else p
    cdef lane far = p if z < <lane>0 else q
    return near + (far - near) * es * (d - absolute(z)) / (d * d) * unscale(x)


cdef inline lane acon_d2(lane x, const lane *h) noexcept nogil:
    cdef wide parts[3]
    if lane is float:
        parts[0] = <wide>h[0]
        parts[1] = <wide>h[1]
        parts[2] = <wide>h[2]
        return <float>acon_d2[wide](<wide>x, parts)
    cdef lane b, z
    cdef lane es = acon_exp(x, h, &b, &z)
    cdef lane e = es * unscale(x)
    cdef lane d = <lane>1 + e
    cdef lane k = h[0] - h[1]
    return k * (k * h[2]) * es * fma(d, <lane>2, absolute(z) * (e - <lane>1)) / (d * d * d) * unscale(x)
