# cython: cdivision=True
"""Smooth activations without a factor x: f, f' and f'' of each, side by side, and f' as a function of y = f(x).

Everything that saturates is written in e = exp(-|x|), which lies in (0, 1]: nothing overflows, and the tail that
1 - y would lose is kept. h holds the hyperparameters in the order of the catalogue row.
"""
from fastnn.core.vecmath cimport (absolute, at_least, at_most, exp, exp_floor, exp_parts, exp_scaled, exp_scaled_sum,
                                  expm1, HAS_FMA, lane, log1p, over_one_plus, over_one_plus_squared, product_low,
                                  square_root, tanh as tanh_of, unscale, wide, with_sign)


cdef inline lane square(lane x) noexcept nogil:
    return x * x


# sigmoid: s = 1/(1 + exp(-x));  s' = s (1 - s) = e/(1 + e)^2;  s'' = s' (1 - 2s) = -s' tanh(x/2)

cdef inline lane sigmoid(lane x, const lane *h) noexcept nogil:
    cdef lane t
    cdef lane p = exp_parts(at_least(-absolute(x), exp_floor(x)), <lane>-0.0, &t)
    t = t * unscale(x)
    return over_one_plus(<lane>1, p if x < <lane>0 else <lane>0, t, p) * (t if x < <lane>0 else <lane>1)


cdef inline lane logistic_slope(lane z, lane weight) noexcept nogil:
    """weight e/(1 + e)^2 for e = exp(z), z <= 0."""
    cdef lane t
    cdef lane p = exp_parts(at_least(z, exp_floor(z)), <lane>-0.0, &t)
    cdef lane q = over_one_plus_squared(weight, t * unscale(z), p)
    return (q * p + q) * t * unscale(z)


cdef inline lane logistic_bend(lane z, lane weight) noexcept nogil:
    """weight e (1 - e)/(1 + e)^3 for e = exp(z), z <= 0."""
    cdef lane t
    cdef lane p = exp_parts(at_least(z, exp_floor(z)), <lane>-0.0, &t)
    cdef lane u = t * unscale(z)
    cdef lane d = <lane>1 + (u + u * p)
    cdef lane q = weight * ((<lane>1 - u) - u * p) / (d * d * d)
    return (q * p + q) * t * unscale(z)


cdef inline lane sigmoid_d1(lane x, const lane *h) noexcept nogil:
    return logistic_slope(-absolute(x), <lane>1)


cdef inline lane sigmoid_by_value(lane y, const lane *h) noexcept nogil:
    return y * (<lane>1 - y)


cdef inline lane sigmoid_d2(lane x, const lane *h) noexcept nogil:
    return with_sign(logistic_bend(-absolute(x), <lane>1), -x)


# log-sigmoid: -log(1 + exp(-x)) = -softplus(-x);  f' = 1 - exp(y)

cdef inline lane log_sigmoid(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>log_sigmoid[wide](<wide>x, NULL)
    return at_most(x, <lane>0) - log1p(exp(-absolute(x)))


cdef inline lane log_sigmoid_d1(lane x, const lane *h) noexcept nogil:
    return sigmoid(-x, h)


cdef inline lane log_sigmoid_by_value(lane y, const lane *h) noexcept nogil:
    return -expm1(y)


cdef inline lane log_sigmoid_d2(lane x, const lane *h) noexcept nogil:
    return -sigmoid_d1(x, h)


# softplus: log(1 + exp(x)), whose derivative is the sigmoid;  f' = 1 - exp(-y)

cdef inline lane softplus(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>softplus[wide](<wide>x, NULL)
    return at_least(x, <lane>0) + log1p(exp(-absolute(x)))


cdef inline lane softplus_by_value(lane y, const lane *h) noexcept nogil:
    return -expm1(-y)


# tanh: t;  t' = 1 - t^2 = (1 - t)(1 + t) = 4e/(1 + e)^2 with e = exp(-2|x|);  t'' = -2 t t'

cdef inline lane tanh(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>tanh[wide](<wide>x, NULL)
    return tanh_of(x)


cdef inline lane tanh_d1(lane x, const lane *h) noexcept nogil:
    return logistic_slope(<lane>-2 * absolute(x), <lane>4)


cdef inline lane tanh_by_value(lane y, const lane *h) noexcept nogil:
    return (<lane>1 - y) * (<lane>1 + y)


cdef inline lane tanh_d2(lane x, const lane *h) noexcept nogil:
    return with_sign(logistic_bend(<lane>-2 * absolute(x), <lane>8), -x)


# tanh-shrink: x - tanh(x), cancelling below 1.25, where x^3 S(x^2) stands instead;  its derivative is tanh(x)^2

cdef inline lane tanh_shrink(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>tanh_shrink[wide](<wide>x, NULL)
    cdef lane a = absolute(x)
    cdef lane m = expm1(<lane>-2 * a)
    cdef lane far = (a - <lane>1) + <lane>2 * (<lane>1 + m) / (<lane>2 + m)     # 1 - tanh(a) = 2e/(1 + e)
    cdef lane b = at_most(a, <lane>1.25)
    cdef lane w = b * b
    cdef lane s
    if lane is not double:
        s = <lane>2.26428276192e-5
        s = s * w + <lane>-0.000216121423151
        s = s * w + <lane>0.0010062676672
        s = s * w + <lane>-0.00323661655524
        s = s * w + <lane>0.00868706679421
        s = s * w + <lane>-0.0218184874332
        s = s * w + <lane>0.0539606520767
        s = s * w + <lane>-0.133332887127
        s = s * w + <lane>0.333333328924
    else:
        s = <lane>1.93296606127272917e-10
        s = s * w + <lane>-3.37532938001161103e-9
        s = s * w + <lane>2.83613620465577727e-8
        s = s * w + <lane>-1.54617697497703856e-7
        s = s * w + <lane>6.25904789404530463e-7
        s = s * w + <lane>-2.05525626575688249e-6
        s = s * w + <lane>5.87006494698516584e-6
        s = s * w + <lane>-0.0000154361934819651357
        s = s * w + <lane>0.0000389612565799345672
        s = s * w + <lane>-0.0000967522331241154281
        s = s * w + <lane>0.000239064230365918981
        s = s * w + <lane>-0.00059000785499977663
        s = s * w + <lane>0.00145583000974325544
        s = s * w + <lane>-0.00359212733682321437
        s = s * w + <lane>0.00886323545372320713
        s = s * w + <lane>-0.0218694885309039799
        s = s * w + <lane>0.0539682539680498216
        s = s * w + <lane>-0.133333333333329696
        s = s * w + <lane>0.333333333333333315
    return with_sign(far if a > <lane>1.25 else s * w * b, x)


cdef inline lane tanh_shrink_d1(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>tanh_shrink_d1[wide](<wide>x, NULL)
    return square(tanh_of(x))


cdef inline lane tanh_shrink_d2(lane x, const lane *h) noexcept nogil:
    return -tanh_d2(x, h)


# softsign: x/(1 + |x|);  f' = 1/(1 + |x|)^2 = (1 - |y|)^2;  f'' = -2 sign(x)/(1 + |x|)^3, 0 at 0

cdef inline lane softsign(lane x, const lane *h) noexcept nogil:
    cdef lane a = at_most(absolute(x), <lane>3e38 if lane is float else <lane>1e308)     # inf/inf
    return with_sign(a / (<lane>1 + a), x)


cdef inline lane softsign_d1(lane x, const lane *h) noexcept nogil:
    return square(<lane>1 / (<lane>1 + absolute(x)))        # the square of 1 + |x| would overflow


cdef inline lane softsign_by_value(lane y, const lane *h) noexcept nogil:
    return square(<lane>1 - absolute(y))


cdef inline lane softsign_d2(lane x, const lane *h) noexcept nogil:
    cdef lane r = <lane>1 / (<lane>1 + absolute(x))
    return <lane>0 if x == <lane>0 else with_sign(<lane>2 * (r * r * r), -x)


# bent-identity: (sqrt(x^2 + 1) - 1)/2 + x = x (1 + x/(2 (sqrt(x^2 + 1) + 1)));  f' = 1 + x/(2 sqrt(x^2 + 1));
# f'' = (x^2 + 1)^(-3/2) / 2.  Beyond 2^30 (2^60) the 1 is lost anyway and x^2 might overflow.

cdef inline lane bent_bound(lane x) noexcept nogil:
    cdef lane bound = <lane>1073741824 if lane is float else <lane>1152921504606846976
    return at_most(at_least(x, -bound), bound)


cdef inline lane bent_identity(lane x, const lane *h) noexcept nogil:
    if lane is float:
        return <float>bent_identity[wide](<wide>x, NULL)
    cdef lane b = bent_bound(x)
    return x * (<lane>1 + <lane>0.5 * b / (square_root(b * b + <lane>1) + <lane>1))


cdef inline lane bent_identity_d1(lane x, const lane *h) noexcept nogil:
    cdef lane b = bent_bound(x)
    return <lane>1 + <lane>0.5 * b / square_root(b * b + <lane>1)


cdef inline lane bent_identity_d2(lane x, const lane *h) noexcept nogil:
    cdef lane b = bent_bound(x)
    cdef lane r = <lane>1 / at_least(absolute(x), square_root(b * b + <lane>1))
    return <lane>0.5 * (r * r * r)


# ELU: x, below 0 alpha (exp(x) - 1), whose derivative is y + alpha; h = (alpha,)

cdef inline lane elu(lane x, const lane *h) noexcept nogil:
    return h[0] * expm1(at_most(x, <lane>0)) if x < <lane>0 else x


cdef inline lane elu_exp(lane x, lane alpha) noexcept nogil:
    """alpha exp(x) for x <= 0; alpha comes in before a subnormal exp is rounded."""
    return alpha * exp_scaled(at_most(x, <lane>0)) * unscale(x)


cdef inline lane elu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0])
    return x if x != x else (e if x < <lane>0 else <lane>1)


cdef inline lane elu_by_value(lane y, const lane *h) noexcept nogil:
    return y if y != y else (y + h[0] if y < <lane>0 else <lane>1)


cdef inline lane elu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0])
    return x if x != x else (e if x < <lane>0 else <lane>0)


# SELU: lambda x, below 0 lambda alpha (exp(x) - 1), whose derivative is y + lambda alpha; h = (lambda, alpha), whose
# product and expm1, T p + (T - 1), are kept in two parts

cdef inline lane selu(lane x, const lane *h) noexcept nogil:
    cdef wide kept[2]
    if lane is float and not HAS_FMA:
        kept[0] = <wide>h[0]
        kept[1] = <wide>h[1]
        return <float>selu[wide](<wide>x, kept)
    cdef lane t, s, m
    cdef lane p = exp_parts(at_least(at_most(x, <lane>0), <lane>-60), <lane>-0.0, &t)
    cdef lane weight = h[0] * h[1]
    cdef lane weight_low = product_low(h[0], h[1], weight)
    t = t * unscale(x)
    s = t - <lane>1
    m = t * p + s
    return weight * m + (weight * (t * p + (s - m)) + weight_low * m) if x < <lane>0 else h[0] * x


cdef inline lane selu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0] * h[1])
    return x if x != x else (e if x < <lane>0 else h[0])


cdef inline lane selu_by_value(lane y, const lane *h) noexcept nogil:
    cdef lane weight = h[0] * h[1]
    cdef lane below = (y + weight) + product_low(h[0], h[1], weight)
    return y if y != y else (below if y < <lane>0 else h[0])


cdef inline lane selu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0] * h[1])
    return x if x != x else (e if x < <lane>0 else <lane>0)


# CELU: x, below 0 alpha (exp(x/alpha) - 1), whose derivative is (alpha + y)/alpha; h = (alpha,). exp multiplies the
# rounding of x/alpha by up to 100, so the quotient is kept in two parts; expm1 damps it.

cdef inline lane celu_exp_scaled(lane x, lane alpha) noexcept nogil:
    """2^BIAS exp(x / alpha) for x <= 0."""
    cdef lane b = at_least(at_most(x, <lane>0), alpha * (<lane>-140 if lane is float else <lane>-800))
    cdef lane q = b / alpha
    cdef lane p = q * alpha
    return exp_scaled_sum(q, ((b - p) - product_low(q, alpha, p)) / alpha)


cdef inline lane celu(lane x, const lane *h) noexcept nogil:
    """x, too, where alpha expm1(x/alpha) rounds to it: the quotient may be subnormal there."""
    cdef lane t = at_most(x, <lane>0) / h[0]
    cdef lane small = <lane>-1.490116119384766e-8 if lane is float else <lane>-2.775557561562891e-17    # -2^-26, -2^-55
    return h[0] * expm1(t) if t < small else x


cdef inline lane celu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane e = celu_exp_scaled(x, h[0]) * unscale(x)
    return x if x != x else (e if x < <lane>0 else <lane>1)


cdef inline lane celu_by_value(lane y, const lane *h) noexcept nogil:
    return y if y != y else ((h[0] + y) / h[0] if y < <lane>0 else <lane>1)


cdef inline lane celu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane e = celu_exp_scaled(x, h[0]) / h[0] * unscale(x)
    return x if x != x else (e if x < <lane>0 else <lane>0)
