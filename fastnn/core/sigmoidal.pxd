# cython: cdivision=True
"""Smooth activations without a factor x: f, f' and f'' of each, side by side, and f' as a function of y = f(x).

Everything that saturates is written in e = exp(-|x|), which lies in (0, 1]: nothing overflows, and the tail that
1 - y would lose is kept. h holds the hyperparameters in the order of the catalogue row.
"""
from fastnn.core.piecewise cimport upper_piece
from fastnn.core.vecmath cimport (absolute, against, at_least, at_most, exp_floor, exp_parts, exp_split, exp_split_at,
                                  exp_split_plain, exp_split_short, expm1, fma, HAS_FMA, lane, least, log1p,
                                  product_low, rest_of, square_root, tanh as tanh_of, tanh_of_size, tanh_squared,
                                  unscale, wide, with_sign)


cdef inline lane square(lane x) noexcept nogil:
    return x * x


# sigmoid: s = 1/(1 + exp(-x));  s' = s (1 - s) = e/(1 + e)^2;  s'' = s' (1 - 2s) = -s' tanh(x/2)

cdef inline lane sigmoid(lane x, const lane *h) noexcept nogil:
    """c/(c + c exp(-x)): c keeps what goes up to 2^151 finite, and one division rounds, subnormal results too."""
    cdef lane c = <lane>9.094947017729282e-13 if lane is float else <lane>2.938735877055719e-39     # 2^-40, 2^-128
    cdef lane bias = <lane>(127 - 40) if lane is float else <lane>(1023 - 128)
    cdef lane t
    cdef lane p = exp_split_at(-at_most(at_least(x, <lane>-104 if lane is float else <lane>-746), <lane>40), bias, &t)
    cdef lane s = c + t
    if lane is float:                   # s has lost some of c from t = 2^24 c on
        return c / (s + fma(t, p, (t - s) + c))
    return c / fma(t, p, s)


cdef inline lane logistic_slope(lane a, lane weight) noexcept nogil:
    """weight e/(1 + e)^2 for e = exp(-a), a >= 0; weight is a power of two. The division rounds subnormal results, too."""
    cdef lane t
    cdef lane p = exp_split_short(-at_most(a, -exp_floor(a)), &t)
    cdef lane e = fma(t, p, t)              # times 2^BIAS, as is the divisor, 1 + (2 + e) e
    return e / fma(e, fma(e, unscale(a) / weight, <lane>2 / weight), <lane>1 / unscale(a) / weight)


cdef inline lane logistic_bend(lane a, lane weight) noexcept nogil:
    """weight e (1 - e)/(1 + e)^3 for e = exp(-a), a >= 0."""
    cdef lane t
    cdef lane p = exp_split(-at_most(a, -exp_floor(a)), &t)
    cdef lane u = t * unscale(a)
    cdef lane m = fma(-u, p, <lane>1 - u)
    cdef lane d = <lane>2 - m
    return fma(t, p, t) * m / (d * d * d) * (weight * unscale(a))


cdef inline lane sigmoid_d1(lane x, const lane *h) noexcept nogil:
    return logistic_slope(absolute(x), <lane>1)


cdef inline lane sigmoid_by_value(lane y, const lane *h) noexcept nogil:
    return y * (<lane>1 - y)


cdef inline lane sigmoid_d2(lane x, const lane *h) noexcept nogil:
    return against(logistic_bend(absolute(x), <lane>1), x)


cdef inline lane log1p_of_exp(lane x) noexcept nogil:
    """log(1 + exp(-|x|)); anything for NaN."""
    cdef lane t
    cdef lane p = exp_split(-least(absolute(x), -exp_floor(x)), &t)
    t = t * unscale(x)
    return log1p(fma(t, p, t))


# log-sigmoid: -log(1 + exp(-x)) = -softplus(-x);  f' = 1 - exp(y)

cdef inline lane log_sigmoid(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>log_sigmoid[wide](<wide>x, NULL)
    return at_most(x, <lane>0) - log1p_of_exp(x)


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
    return at_least(x, <lane>0) + log1p_of_exp(x)


cdef inline lane softplus_by_value(lane y, const lane *h) noexcept nogil:
    return -expm1(-y)


# tanh: t;  t' = 1 - t^2 = (1 - t)(1 + t) = 4e/(1 + e)^2 with e = exp(-2|x|);  t'' = -2 t t'

cdef inline lane tanh(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>tanh[wide](<wide>x, NULL)
    return tanh_of(x)


cdef inline lane tanh_d1(lane x, const lane *h) noexcept nogil:
    return logistic_slope(<lane>2 * absolute(x), <lane>4)


cdef inline lane tanh_by_value(lane y, const lane *h) noexcept nogil:
    return (<lane>1 - y) * (<lane>1 + y)


cdef inline lane tanh_d2(lane x, const lane *h) noexcept nogil:
    return against(logistic_bend(<lane>2 * absolute(x), <lane>8), x)


# tanh-shrink: x - tanh(x), cancelling below 1.05, where x^3 S(x^2) stands instead;  its derivative is tanh(x)^2

cdef inline lane tanh_shrink(lane x, const lane *h) noexcept nogil:
    """S = 1/3 - w R(w), w = x^2, R a quotient of polynomials: 2^-29 of S (float), 2^-56 (double). One division for both."""
    if lane is float and not HAS_FMA:
        return <float>tanh_shrink[wide](<wide>x, NULL)
    cdef lane a = absolute(x)
    cdef lane t
    cdef lane p = exp_split_plain(<lane>-2 * least(a, <lane>30), &t)
    cdef lane e = fma(t, p, t)
    cdef lane b = least(a, <lane>1.05)
    cdef lane w = b * b
    cdef lane cube = b * w
    cdef lane third = <lane>0.3333333333333333
    cdef lane third_low = <lane>-9.93410747e-9 if lane is float else <lane>1.850371707708594e-17
    cdef lane cube_low = fma(b, product_low(b, b, w), product_low(b, w, cube))
    cdef lane top, bottom
    if lane is float:
        top = fma(<lane>-0.005942583084, w, <lane>-0.1333333403)
        bottom = fma(fma(<lane>0.01785065606, w, <lane>0.4493315518), w, <lane>1)
    else:
        top = fma(<lane>-8.470347943346151e-05, w, <lane>-0.00792782452994364)
        top = fma(top, w, <lane>-0.13333333333333305)
        bottom = fma(<lane>0.00025416206600495573, w, <lane>0.02451292180149632)
        bottom = fma(fma(bottom, w, <lane>0.4642205887364424), w, <lane>1)
    cdef bint near = a < <lane>1.05
    cdef lane q = (top if near else e + e) / (bottom if near else <lane>1 + e)
    cdef lane ratio = fma(w, q, third)
    cdef lane low = fma(cube_low, ratio, cube * (fma(w, q, third - ratio) + third_low))
    return with_sign(fma(cube, ratio, low) if near else (a - <lane>1) + q, x)


cdef inline lane tanh_shrink_d1(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>tanh_shrink_d1[wide](<wide>x, NULL)
    return tanh_squared(absolute(x)) if lane is float else square(tanh_of_size(absolute(x)))


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


# bent-identity: (sqrt(x^2 + 1) - 1)/2 + x, the first summand as x^2/(2 (sqrt(x^2 + 1) + 1)) where it would cancel;
# f' = 1 + x/(2 sqrt(x^2 + 1));  f'' = (x^2 + 1)^(-3/2) / 2.  Beyond 2^30 (2^60) the 1 is lost anyway and x^2 might
# overflow.

cdef inline lane bent_bound(lane x) noexcept nogil:
    cdef lane bound = <lane>1073741824 if lane is float else <lane>1152921504606846976
    return at_most(at_least(x, -bound), bound)


cdef inline lane bent_identity(lane x, const lane *h) noexcept nogil:
    cdef lane most = <lane>1073741824 if lane is float else <lane>1152921504606846976
    cdef lane a = least(absolute(x), <lane>3.40282347e38 if lane is float else <lane>1.7976931348623157e308)   # inf - inf
    cdef lane b = least(a, most)
    cdef lane s = square_root(fma(b, b, <lane>1))
    cdef lane q = b / (s + <lane>1)
    cdef lane above
    if lane is float:                   # s - 1 has been rounded less
        above = s - <lane>1 if b > <lane>1 else b * q
        return with_sign(fma(<lane>0.5, a if a > most else above, x), x)
    return with_sign(fma(<lane>0.5 * a, q, x), x)


cdef inline lane bent_identity_d1(lane x, const lane *h) noexcept nogil:
    cdef lane b = bent_bound(x)
    return <lane>1 + <lane>0.5 * b / square_root(b * b + <lane>1)


cdef inline lane bent_identity_d2(lane x, const lane *h) noexcept nogil:
    cdef lane b = bent_bound(x)
    cdef lane r = <lane>1 / at_least(absolute(x), square_root(b * b + <lane>1))
    return <lane>0.5 * (r * r * r)


cdef inline lane expm1_of_minus(lane a) noexcept nogil:
    """exp(-a) - 1 for 0 <= a <= 60."""
    cdef lane t
    cdef lane p = exp_split_plain(-a, &t)
    return fma(t, p, t - <lane>1)


# ELU: x, below 0 alpha (exp(x) - 1), whose derivative is y + alpha; h = (alpha, whether 0 is the lower piece's)

cdef inline lane elu(lane x, const lane *h) noexcept nogil:
    cdef lane below = h[0] * expm1_of_minus(least(absolute(x), <lane>60))
    return below if x < <lane>0 else x


cdef inline lane elu_exp(lane x, lane alpha) noexcept nogil:
    """alpha exp(x) for x <= 0, NaN kept; alpha comes in before a subnormal exp is rounded."""
    cdef lane t
    cdef lane p = exp_split_short(-at_most(absolute(x), -exp_floor(x)), &t)
    t = alpha * t
    return fma(t, p, t) * unscale(x)


cdef inline lane elu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0]), upper = upper_piece(h[1])
    return <lane>1 if x >= upper else e


cdef inline lane elu_by_value(lane y, const lane *h) noexcept nogil:
    cdef lane below = y + h[0], upper = upper_piece(h[1])
    return y if y != y else (below if y < upper else <lane>1)


cdef inline lane elu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0])
    return <lane>0 if x >= <lane>0 else e


# SELU: lambda x, below 0 lambda alpha (exp(x) - 1), whose derivative is y + lambda alpha; h = (lambda, alpha, whether
# 0 is the lower piece's); the product of the first two and expm1, T p + (T - 1), are kept in two parts

cdef inline lane selu(lane x, const lane *h) noexcept nogil:
    cdef wide kept[2]
    if lane is float and not HAS_FMA:
        kept[0] = <wide>h[0]
        kept[1] = <wide>h[1]
        return <float>selu[wide](<wide>x, kept)
    cdef lane t
    cdef lane p = exp_split_plain(-least(absolute(x), <lane>60), &t)
    cdef lane weight = h[0] * h[1]
    cdef lane s = t - <lane>1
    cdef lane below = fma(weight * t, p, fma(weight, s, product_low(h[0], h[1], weight) * fma(t, p, s)))
    return below if x < <lane>0 else h[0] * x


cdef inline lane selu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0] * h[1]), above = h[0], upper = upper_piece(h[2])
    return above if x >= upper else e


cdef inline lane selu_by_value(lane y, const lane *h) noexcept nogil:
    cdef lane weight = h[0] * h[1]
    cdef lane below = (y + weight) + product_low(h[0], h[1], weight), above = h[0], upper = upper_piece(h[2])
    return y if y != y else (below if y < upper else above)


cdef inline lane selu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane e = elu_exp(x, h[0] * h[1])
    return <lane>0 if x >= <lane>0 else e


# CELU: x, below 0 alpha (exp(x/alpha) - 1), whose derivative is (alpha + y)/alpha; h = (alpha,). exp multiplies the
# rounding of x/alpha by up to 100, so the quotient is kept in two parts; expm1 damps it.

cdef inline lane celu_parts(lane x, lane alpha, lane most, lane *z_low) noexcept nogil:
    """The quotient |x| / alpha and what its rounding lost, up to `most`."""
    cdef lane inverse = <lane>1 / alpha
    cdef lane inverse_low = -rest_of(inverse, alpha, <lane>-1) * inverse
    cdef lane a = at_most(absolute(x), alpha * most)
    cdef lane z = a * inverse
    z_low[0] = fma(a, inverse_low, product_low(a, inverse, z))
    return z


cdef inline lane celu_exp_scaled(lane x, lane alpha) noexcept nogil:
    """2^BIAS exp(x / alpha) for x <= 0."""
    cdef lane low, t
    cdef lane z = celu_parts(x, alpha, -exp_floor(x), &low)
    cdef lane p = exp_parts(-z, -low, &t)
    return fma(t, p, t)


cdef inline lane celu(lane x, const lane *h) noexcept nogil:
    """x, too, where alpha expm1(x/alpha) rounds to it: the quotient may be subnormal there."""
    cdef lane z = least(absolute(x) * (<lane>1 / h[0]), <lane>60)
    cdef lane small = <lane>1.490116119384766e-8 if lane is float else <lane>2.775557561562891e-17    # 2^-26, 2^-55
    return h[0] * expm1_of_minus(z) if x < -small * h[0] else x


cdef inline lane celu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane e = celu_exp_scaled(x, h[0]) * unscale(x)
    return <lane>1 if x >= <lane>0 else e


cdef inline lane celu_by_value(lane y, const lane *h) noexcept nogil:
    cdef lane below = (h[0] + y) / h[0]
    return y if y != y else (below if y < <lane>0 else <lane>1)


cdef inline lane celu_d2(lane x, const lane *h) noexcept nogil:
    cdef lane e = celu_exp_scaled(x, h[0]) * (<lane>1 / h[0]) * unscale(x)
    return <lane>0 if x >= <lane>0 else e
