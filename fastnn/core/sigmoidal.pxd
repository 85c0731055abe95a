# cython: cdivision=True
"""Smooth activations without a factor x: f, f' and f'' of each, side by side.

Everything that saturates is written in e = exp(-|x|), which lies in (0, 1]: nothing overflows, and the tail that
1 - y would lose is kept. h holds the hyperparameters in the order of the catalogue row.
"""
from fastnn.core.vecmath cimport (absolute, at_least, at_most, exp, exp_scaled, exp_scaled_sum, expm1, log1p,
                                  product_low, real, square_root, tanh as tanh_of, unscale, with_sign)


cdef inline real square(real x) noexcept nogil:
    return x * x


# sigmoid: s = 1/(1 + exp(-x));  s' = s (1 - s) = e/(1 + e)^2;  s'' = s' (1 - 2s) = -s' tanh(x/2)

cdef inline real sigmoid(real x, const real *h) noexcept nogil:
    cdef real e = exp(-absolute(x))
    return (e if x < <real>0 else <real>1) / (<real>1 + e)


cdef inline real sigmoid_d1(real x, const real *h) noexcept nogil:
    cdef real e = exp(-absolute(x))
    return e / square(<real>1 + e)


cdef inline real sigmoid_d2(real x, const real *h) noexcept nogil:
    return -sigmoid_d1(x, h) * tanh_of(<real>0.5 * x)


# log-sigmoid: -log(1 + exp(-x)) = -softplus(-x)

cdef inline real log_sigmoid(real x, const real *h) noexcept nogil:
    return at_most(x, <real>0) - log1p(exp(-absolute(x)))


cdef inline real log_sigmoid_d1(real x, const real *h) noexcept nogil:
    return sigmoid(-x, h)


cdef inline real log_sigmoid_d2(real x, const real *h) noexcept nogil:
    return -sigmoid_d1(x, h)


# softplus: log(1 + exp(x)), whose derivative is the sigmoid

cdef inline real softplus(real x, const real *h) noexcept nogil:
    return at_least(x, <real>0) + log1p(exp(-absolute(x)))


# tanh: t;  t' = 1 - t^2 = 4e/(1 + e)^2 with e = exp(-2|x|);  t'' = -2 t t'

cdef inline real tanh(real x, const real *h) noexcept nogil:
    return tanh_of(x)


cdef inline real tanh_d1(real x, const real *h) noexcept nogil:
    cdef real e = exp(<real>-2 * absolute(x))
    return <real>4 * e / square(<real>1 + e)


cdef inline real tanh_d2(real x, const real *h) noexcept nogil:
    return <real>-2 * tanh_of(x) * tanh_d1(x, h)


# tanh-shrink: x - tanh(x), cancelling below 1, where x^3 S(x^2) stands instead;  its derivative is tanh(x)^2

cdef inline real tanh_shrink(real x, const real *h) noexcept nogil:
    cdef real a = absolute(x)
    cdef real m = expm1(<real>-2 * a)
    cdef real far = (a - <real>1) + <real>2 * (<real>1 + m) / (<real>2 + m)     # 1 - tanh(a) = 2e/(1 + e)
    cdef real b = at_most(a, <real>1)
    cdef real w = b * b
    cdef real s
    if real is float:
        s = <real>-0.0001428239339
        s = s * w + <real>0.0009236091864
        s = s * w + <real>-0.003206953639
        s = s * w + <real>0.008697951213
        s = s * w + <real>-0.02182958461
        s = s * w + <real>0.05396342278
        s = s * w + <real>-0.1333331019
        s = s * w + <real>0.3333333433
    else:
        s = <real>-2.51604378201105794e-8
        s = s * w + <real>2.63348446043875738e-7
        s = s * w + <real>-1.37931932088571235e-6
        s = s * w + <real>4.98803784188010861e-6
        s = s * w + <real>-0.0000146065012736328222
        s = s * w + <real>0.0000383899507548600687
        s = s * w + <real>-0.000096463004604888683
        s = s * w + <real>0.000238957160740336551
        s = s * w + <real>-0.000589979331795037758
        s = s * w + <real>0.00145582470109504453
        s = s * w + <real>-0.00359212668086056558
        s = s * w + <real>0.00886323540474028698
        s = s * w + <real>-0.0218694885291396725
        s = s * w + <real>0.0539682539680467407
        s = s * w + <real>-0.133333333333330917
        s = s * w + <real>0.333333333333333315
    return with_sign(far if a > <real>1 else s * w * b, x)


cdef inline real tanh_shrink_d1(real x, const real *h) noexcept nogil:
    return square(tanh_of(x))


cdef inline real tanh_shrink_d2(real x, const real *h) noexcept nogil:
    return <real>2 * tanh_of(x) * tanh_d1(x, h)


# softsign: x/(1 + |x|);  f' = 1/(1 + |x|)^2;  f'' = -2 sign(x)/(1 + |x|)^3, 0 at 0

cdef inline real softsign(real x, const real *h) noexcept nogil:
    cdef real a = at_most(absolute(x), <real>3e38 if real is float else <real>1e308)     # inf/inf
    return with_sign(a / (<real>1 + a), x)


cdef inline real softsign_d1(real x, const real *h) noexcept nogil:
    return square(<real>1 / (<real>1 + absolute(x)))        # the square of 1 + |x| would overflow


cdef inline real softsign_d2(real x, const real *h) noexcept nogil:
    cdef real r = <real>1 / (<real>1 + absolute(x))
    return <real>0 if x == <real>0 else with_sign(<real>2 * (r * r * r), -x)


# bent-identity: (sqrt(x^2 + 1) - 1)/2 + x = x (1 + x/(2 (sqrt(x^2 + 1) + 1)));  f' = 1 + x/(2 sqrt(x^2 + 1));
# f'' = (x^2 + 1)^(-3/2) / 2.  Beyond 2^30 (2^60) the 1 is lost anyway and x^2 might overflow.

cdef inline real bent_bound(real x) noexcept nogil:
    cdef real bound = <real>1073741824 if real is float else <real>1152921504606846976
    return at_most(at_least(x, -bound), bound)


cdef inline real bent_identity(real x, const real *h) noexcept nogil:
    cdef real b = bent_bound(x)
    return x * (<real>1 + <real>0.5 * b / (square_root(b * b + <real>1) + <real>1))


cdef inline real bent_identity_d1(real x, const real *h) noexcept nogil:
    cdef real b = bent_bound(x)
    return <real>1 + <real>0.5 * b / square_root(b * b + <real>1)


cdef inline real bent_identity_d2(real x, const real *h) noexcept nogil:
    cdef real b = bent_bound(x)
    cdef real r = <real>1 / at_least(absolute(x), square_root(b * b + <real>1))
    return <real>0.5 * (r * r * r)


# ELU: x, below 0 alpha (exp(x) - 1); h = (alpha,)

cdef inline real elu(real x, const real *h) noexcept nogil:
    return h[0] * expm1(at_most(x, <real>0)) if x < <real>0 else x


cdef inline real elu_exp(real x, real alpha) noexcept nogil:
    """alpha exp(x) for x <= 0; alpha comes in before a subnormal exp is rounded."""
    return alpha * exp_scaled(at_most(x, <real>0)) * unscale(x)


cdef inline real elu_d1(real x, const real *h) noexcept nogil:
    cdef real e = elu_exp(x, h[0])
    return x if x != x else (e if x < <real>0 else <real>1)


cdef inline real elu_d2(real x, const real *h) noexcept nogil:
    cdef real e = elu_exp(x, h[0])
    return x if x != x else (e if x < <real>0 else <real>0)


# SELU: lambda x, below 0 lambda alpha (exp(x) - 1); h = (lambda, lambda alpha)

cdef inline real selu(real x, const real *h) noexcept nogil:
    return h[1] * expm1(at_most(x, <real>0)) if x < <real>0 else h[0] * x


cdef inline real selu_d1(real x, const real *h) noexcept nogil:
    cdef real e = elu_exp(x, h[1])
    return x if x != x else (e if x < <real>0 else h[0])


cdef inline real selu_d2(real x, const real *h) noexcept nogil:
    cdef real e = elu_exp(x, h[1])
    return x if x != x else (e if x < <real>0 else <real>0)


# CELU: x, below 0 alpha (exp(x/alpha) - 1); h = (alpha,). exp multiplies the rounding of x/alpha by up to 100, so
# the quotient is kept in two parts; expm1 damps it.

cdef inline real celu_exp_scaled(real x, real alpha) noexcept nogil:
    """2^BIAS exp(x / alpha) for x <= 0."""
    cdef real b = at_least(at_most(x, <real>0), alpha * (<real>-140 if real is float else <real>-800))
    cdef real q = b / alpha
    cdef real p = q * alpha
    return exp_scaled_sum(q, ((b - p) - product_low(q, alpha, p)) / alpha)


cdef inline real celu(real x, const real *h) noexcept nogil:
    return h[0] * expm1(at_most(x, <real>0) / h[0]) if x < <real>0 else x


cdef inline real celu_d1(real x, const real *h) noexcept nogil:
    cdef real e = celu_exp_scaled(x, h[0]) * unscale(x)
    return x if x != x else (e if x < <real>0 else <real>1)


cdef inline real celu_d2(real x, const real *h) noexcept nogil:
    cdef real e = celu_exp_scaled(x, h[0]) / h[0] * unscale(x)
    return x if x != x else (e if x < <real>0 else <real>0)
