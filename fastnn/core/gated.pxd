# cython: cdivision=True
"""Smooth activations x g(x): f, f' and f'' of each, side by side.

All are written in e = exp(-|x|). In the left tail the product x e is subnormal long before e is 0, so e enters scaled
by 2^BIAS and one multiplication by `unscale` ends the formula. h holds the hyperparameters in the catalogue's order.
"""
from fastnn.core.vecmath cimport (absolute, at_least, at_most, exp, exp_floor, exp_parts, exp_scaled, exp_scaled_sum, expm1,
                                  least, over_one_plus, over_one_plus_squared,
                                  normal_bound, normal_weight_scaled, product_low, HAS_FMA, lane, sum_low, tanh_parts, unscale, wide)


# Swish: x s(z), z = beta x, s the sigmoid; h = (beta,)
# f' = s (1 + z (1 - s)), and f'(-z) = 1 - f'(z);  f'' = beta s (1 - s) (2 - z tanh(z/2))

cdef inline lane swish_parts(lane a, lane beta, lane *t) noexcept nogil:
    """p and t in 2^BIAS exp(-beta a) = t (1 + p), the product beta a kept in two parts because exp multiplies its error."""
    cdef lane z = a * beta
    return exp_parts(-z, -product_low(a, beta, z), t)


cdef inline lane swish(lane x, const lane *h) noexcept nogil:
    cdef lane a = least(absolute(x), -exp_floor(x) / h[0])
    cdef lane t, left
    cdef lane p = swish_parts(a, h[0], &t)
    cdef lane y = over_one_plus(-a if x < <lane>0 else x, p if x < <lane>0 else <lane>0, t * unscale(x), p)
    left = y * t * unscale(x)
    return left if x < <lane>0 else y


cdef inline lane swish_d1(lane x, const lane *h) noexcept nogil:
    cdef lane a = least(absolute(x), -exp_floor(x) / h[0])
    cdef lane t, q, z, left, right
    cdef lane p = swish_parts(a, h[0], &t)
    cdef lane u = t * unscale(x)
    cdef lane e = u * p + u
    z = a * h[0]
    q = over_one_plus_squared(<lane>1, u, p)
    left = q * ((<lane>1 - z) + e)
    left = (left * p + left) * t * unscale(x)
    right = (<lane>1 + e * (<lane>1 + z)) * q
    return left if x < <lane>0 else (right if x >= <lane>0 else x)


cdef inline lane swish_exp_scaled(lane x, lane beta) noexcept nogil:
    """2^BIAS exp(-|beta x|), the product kept in two parts because exp multiplies its error."""
    cdef lane a = at_most(absolute(x), (<lane>-1.1 * exp_floor(x)) / beta)
    cdef lane z = a * beta
    return exp_scaled_sum(-z, -product_low(a, beta, z))


cdef inline lane swish_d2(lane x, const lane *h) noexcept nogil:
    cdef lane es = swish_exp_scaled(x, h[0])
    cdef lane e = es * unscale(x)
    cdef lane d = <lane>1 + e
    cdef lane z = at_most(absolute(x) * h[0], <lane>-1.1 * exp_floor(x))
    return h[0] * es / (d * d) * (<lane>2 - z * (<lane>1 - e) / d) * unscale(x)


# GELU: x Phi(x), Phi and phi the normal distribution function and density (Hendrycks and Gimpel 2016, arXiv 1606.08415)
# f' = Phi(x) + x phi(x), and f'(-x) = 1 - f'(x);  f'' = phi(x) (2 - x^2)
# Up to |x| = 11/16 Phi and f' are 1/2 and x times an even polynomial, whose first coefficient is kept in two parts.
# Beyond, with w = exp(-a^2/2) = t (1 + p), Phi(-a) = w G(a), a = |x|, and u = (a - 11/16)/(a + c) from 0 to 1, there are
# polynomials for a G = T(u) and phi(0) a - G = (a + c) K(u).

cdef inline lane density_product(lane x, lane low, lane *rest) noexcept nogil:
    """x phi(0) and, as rest, what its rounding lost and x low."""
    cdef lane c = <lane>0.3989422804014327
    cdef lane y = x * c
    rest[0] = product_low(x, c, y) + x * ((<lane>-1.1335170e-8 if lane is float else <lane>-2.4923272e-17) + low)
    return y


cdef inline lane normal_weight(lane a, lane *t) noexcept nogil:
    """p and t in 2^BIAS exp(-a^2/2) = t (1 + p), a^2 kept in two parts because exp multiplies its error."""
    cdef lane square = a * a
    return exp_parts(<lane>-0.5 * square, <lane>-0.5 * product_low(a, a, square), t)


cdef inline lane gelu_core(lane w) noexcept nogil:
    """(Phi(x) - 1/2)/x = phi(0) + w (this), w = x^2, x <= 11/16"""
    cdef lane q
    if lane is not double:
        q = <lane>0.0001041563737
        q = q * w + <lane>-0.001182356151
        q = q * w + <lane>0.009972640313
        q = q * w + <lane>-0.06649032235
    else:
        q = <lane>-1.01011296214466498e-10
        q = q * w + <lane>2.26099336563922043e-9
        q = q * w + <lane>-4.12192841085431805e-8
        q = q * w + <lane>6.65966678311504936e-7
        q = q * w + <lane>-9.44465565107836805e-6
        q = q * w + <lane>0.000115434687530196369
        q = q * w + <lane>-0.00118732821547331223
        q = q * w + <lane>0.0099735570100355081
        q = q * w + <lane>-0.0664903800669054412
    return q


cdef inline lane gelu_tail(lane u) noexcept nogil:
    """(T(u) - T(0))/u"""
    cdef lane q
    if lane is not double:
        q = <lane>0.006665215828
        q = q * u + <lane>0.002244630828
        q = q * u + <lane>-0.03839026019
        q = q * u + <lane>0.01393099781
        q = q * u + <lane>0.01867102459
        q = q * u + <lane>0.07830295712
        q = q * u + <lane>-0.01030332316
        q = q * u + <lane>-0.3817459345
        q = q * u + <lane>0.4954734743
    else:
        q = <lane>-0.00160720468954206937
        q = q * u + <lane>0.0153392247950783073
        q = q * u + <lane>-0.0664738071631577887
        q = q * u + <lane>0.174053439194510967
        q = q * u + <lane>-0.310256268672743418
        q = q * u + <lane>0.402978180477987724
        q = q * u + <lane>-0.397032713217969957
        q = q * u + <lane>0.302579694230588891
        q = q * u + <lane>-0.181496940104441118
        q = q * u + <lane>0.087797242825351729
        q = q * u + <lane>-0.0313442521634959975
        q = q * u + <lane>0.00864432764734300758
        q = q * u + <lane>-0.00815541155672409
        q = q * u + <lane>-0.00528671221588493303
        q = q * u + <lane>0.00995770220307373374
        q = q * u + <lane>0.031731552019032605
        q = q * u + <lane>-0.000869858407303527106
        q = q * u + <lane>-0.121010888222229981
        q = q * u + <lane>-0.0361023714903466325
        q = q * u + <lane>0.603242250035405325
        q = q * u + <lane>-0.971692083906853243
        q = q * u + <lane>0.679836312618521732
    return q


cdef inline lane gelu_d1_core(lane w) noexcept nogil:
    """(f'(x) - 1/2)/x = 2 phi(0) + w (this), w = x^2, x <= 11/16"""
    cdef lane q
    if lane is not double:
        q = <lane>-9.862431762e-5
        q = q * w + <lane>0.001144974842
        q = q * w + <lane>-0.009495747276
        q = q * w + <lane>0.05984092504
        q = q * w + <lane>-0.265961498
    else:
        q = <lane>-2.00232937541124097e-9
        q = q * w + <lane>4.06603205776812917e-8
        q = q * w + <lane>-6.59475591241633692e-7
        q = q * w + <lane>9.32351783351863104e-6
        q = q * w + <lane>-0.0001133358634475577
        q = q * w + <lane>0.00115434687458143364
        q = q * w + <lane>-0.00949862572371903274
        q = q * w + <lane>0.0598413420602098636
        q = q * w + <lane>-0.265961520267621709
    return q


cdef inline lane gelu_d1_tail(lane u) noexcept nogil:
    """K"""
    cdef lane q
    if lane is not double:
        q = <lane>0.003683988703
        q = q * u + <lane>-0.007268222515
        q = q * u + <lane>-0.001842923113
        q = q * u + <lane>-0.001376659959
        q = q * u + <lane>0.02506264858
        q = q * u + <lane>0.04464907572
        q = q * u + <lane>-0.2477352023
        q = q * u + <lane>0.5976010561
        q = q * u + <lane>-0.01382741146
    else:
        q = <lane>-0.0000834674064903421381
        q = q * u + <lane>0.000750773880811301435
        q = q * u + <lane>-0.0030546871149976485
        q = q * u + <lane>0.00749914283099040006
        q = q * u + <lane>-0.0125711250899001262
        q = q * u + <lane>0.0154569380423403777
        q = q * u + <lane>-0.014477005574803567
        q = q * u + <lane>0.0104940896512414911
        q = q * u + <lane>-0.0060925884026599977
        q = q * u + <lane>0.00286762101536420155
        q = q * u + <lane>-0.000805343857998055664
        q = q * u + <lane>0.000447029214499893262
        q = q * u + <lane>-0.000540309092292423914
        q = q * u + <lane>-0.00128865794550545639
        q = q * u + <lane>-0.000244279902134044141
        q = q * u + <lane>0.00496452536556839848
        q = q * u + <lane>0.00677615479707192533
        q = q * u + <lane>-0.0200884695900887152
        q = q * u + <lane>-0.0455149079480845833
        q = q * u + <lane>0.210591309200320015
        q = q * u + <lane>-0.339918156309279518
        q = q * u + <lane>0.593851299891276163
        q = q * u + <lane>-0.0100776052539275195
    return q


cdef inline lane gelu(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>gelu[wide](x, NULL)
    cdef lane a = normal_bound(absolute(x))
    cdef lane t
    cdef lane p = normal_weight(a, &t)
    cdef lane u = (a - <lane>0.6875) / (a + (<lane>3 if lane is double else <lane>2))
    cdef lane start = <lane>0.214110866165516861            # T(0)
    cdef lane y = u * gelu_tail(u)
    cdef lane lost = start + y
    cdef lane lost_low = (start - lost) + y
    cdef lane w = x * x
    cdef lane rest
    cdef lane near = <lane>0.5 * x + x * (density_product(x, w * gelu_core(w), &rest) + rest)
    lost = (lost + (lost * p + lost_low)) * t * unscale(x)
    return near if a < <lane>0.6875 else (at_least(x, <lane>0) - lost)


cdef inline lane gelu_d1(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>gelu_d1[wide](x, NULL)
    cdef lane a = normal_bound(absolute(x))
    cdef lane t
    cdef lane p = normal_weight(a, &t)
    cdef lane d = a + (<lane>3 if lane is double else <lane>2)
    cdef lane left = gelu_d1_tail((a - <lane>0.6875) / d) * -d
    cdef lane w = x * x
    cdef lane rest
    cdef lane y = density_product(x + x, w * (<lane>0.5 * gelu_d1_core(w)), &rest)
    cdef lane near = (<lane>0.5 + y) + rest
    left = (left * p + left) * t * unscale(x)
    return near if a < <lane>0.6875 else (left if x < <lane>0 else (<lane>1 - left if x >= <lane>0 else x))


cdef inline lane gelu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane a = normal_bound(absolute(x))
    cdef lane y = normal_weight_scaled(a) * (<lane>0.3989422804014327 * (<lane>2 - a * a)) * unscale(x)
    return y if x == x else x


# Mish: x t, t = tanh(softplus(x)) = (w^2 + 2w)/D = w (1 - (w + w^2)/D), D = w^2 + 2w + 2, w = exp(x)  (Misra 2019, arXiv 1908.08681)
# f' = t + 4x w (1 + w)/D^2 = w (4 (1 + x) + w (6 + 4x + w (4 + w)))/D^2, which cancels least
# f'' = (8w (1 + w) D + 4x w (2 + 2w - 3w^2 - 2w^3))/D^3
# The right half is the same with numerator and denominator multiplied by powers of e = 1/w, d = 1 + 2e + 2e^2.

cdef inline lane mish(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>mish[wide](x, NULL)
    cdef lane t
    cdef lane p = exp_parts(at_least(-absolute(x), exp_floor(x)), <lane>-0.0, &t)
    cdef lane u = t * unscale(x)
    cdef lane e = u * p + u
    cdef lane f = e + e * e
    cdef lane D = <lane>2 + (e + f)
    cdef lane y = f / D
    cdef lane k = <lane>1 - y
    cdef lane k_low = 0
    if lane is double:                                  # 1/D within 15%
        k_low = sum_low(<lane>1, -y, k) + (
            y * sum_low(<lane>2, e + f, D) - sum_low(e, e * e, f)) * (<lane>0.63 - <lane>0.09 * D)
    cdef lane m = <lane>1 + <lane>2 * e
    cdef lane left = at_least(x, exp_floor(x)) * (k + (k * p + k_low)) * t * unscale(x)
    return left if x < <lane>0 else x * (m / (m + <lane>2 * e * e))


cdef inline lane mish_d1(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>mish_d1[wide](x, NULL)
    cdef lane a = at_most(absolute(x), -exp_floor(x))
    cdef lane t
    cdef lane p = exp_parts(-a, <lane>-0.0, &t)
    cdef lane u = t * unscale(x)
    cdef lane e = u * p + u
    cdef lane D = e * (e + <lane>2) + <lane>2
    cdef lane k = (<lane>4 * (<lane>1 - a) + e * ((<lane>6 - <lane>4 * a) + e * (<lane>4 + e))) / (D * D)
    cdef lane left = (k * p + k) * t * unscale(x)
    cdef lane m = <lane>1 + <lane>2 * e
    cdef lane d = m + <lane>2 * e * e
    cdef lane right = (m * d + <lane>4 * a * (e * e) * (<lane>1 + e)) / (d * d)
    return left if x < <lane>0 else right


cdef inline lane mish_d2(lane x, const lane *h) noexcept nogil:
    cdef lane a = at_most(absolute(x), <lane>-1.1 * exp_floor(x))
    cdef lane es = exp_scaled(-a)
    cdef lane e = es * unscale(x)
    cdef lane D = e * (e + <lane>2) + <lane>2
    cdef lane curve = <lane>2 + e * (<lane>2 - e * (<lane>3 + <lane>2 * e))
    cdef lane left = es * (<lane>8 * (<lane>1 + e) * D - <lane>4 * a * curve) / (D * D * D) * unscale(x)
    cdef lane d = <lane>1 + <lane>2 * e + <lane>2 * e * e
    cdef lane bend = e * (e * (<lane>2 + <lane>2 * e) - <lane>3) - <lane>2
    cdef lane right = es * e * (<lane>8 * (<lane>1 + e) * d + <lane>4 * a * bend) / (d * d * d) * unscale(x)
    return left if x < <lane>0 else right


# tanhExp: x t, t = tanh(u), u = exp(x)  (Liu and Di 2020, arXiv 2003.09855)
# f' = t + x u (1 - t^2);  f'' = u (1 - t^2) (2 + x - 2 x u t)
# With q = exp(-2u): t = (1 - q)/(1 + q), 1 - t^2 = 4q/(1 + q)^2. Beyond 4.25 t is 1 and q vanishes beside it; f'' is 0
# beyond 6 (in float beyond 4.25).

cdef inline lane tanhexp_tail(lane like) noexcept nogil:
    """Below this x, tanh(u) = u in `lane`."""
    return <lane>-9 if lane is float else <lane>-20


cdef inline lane tanhexp(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>tanhexp[wide](x, NULL)
    cdef lane b = at_least(at_most(x, <lane>4.25), exp_floor(x))
    cdef lane t, u, y, product, rest
    cdef lane p = exp_parts(b, <lane>-0.0, &t)
    cdef lane tail = b * (t * p + t) * unscale(x)
    t = t * unscale(x)
    u = t * p + t
    y = tanh_parts(u, sum_low(t, t * p, u), &rest)
    product = x * y
    if lane is double:
        product = product + (product_low(b, y, b * y) + b * rest if x < <lane>4.25 else <lane>0)
    return tail if b < tanhexp_tail(x) else product


cdef inline lane tanhexp_d1(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>tanhexp_d1[wide](x, NULL)
    cdef lane b = at_least(at_most(x, <lane>4.25), exp_floor(x))
    cdef lane t, s, u, u_low, q, q_low, c, c_low, square, product, slope, slope_low
    cdef lane p = exp_parts(b, <lane>-0.0, &t)
    cdef lane tail = (t * p + t) * (<lane>1 + b) * unscale(x)
    t = t * unscale(x)
    u = t * p + t
    u_low = sum_low(t, t * p, u)
    p = exp_parts(<lane>-2 * u, <lane>-2 * u_low, &s)
    s = s * unscale(x)
    q = s * p + s
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
    if lane is float:
        return <float>tanhexp_d2[wide](x, NULL)
    cdef lane b = at_least(at_most(x, <lane>6 if lane is double else <lane>4.25), <lane>1.1 * exp_floor(x))
    cdef lane us = exp_scaled(b)
    cdef lane u = us * unscale(x)
    cdef lane m = expm1(<lane>-2 * u)
    cdef lane d = <lane>2 + m
    cdef lane bend = (<lane>2 + b) + <lane>2 * b * u * (m / d)
    cdef lane qs = exp_scaled(<lane>-2 * u)
    return (us * (qs * unscale(x)) if b < <lane>0 else u * qs) * (<lane>4 / (d * d)) * bend * unscale(x)
