# cython: cdivision=True
"""Smooth activations x g(x): f, f' and f'' of each, side by side.

All are written in e = exp(-|x|). In the left tail the product x e is subnormal long before e is 0, so e enters scaled
by 2^BIAS and one multiplication by `unscale` ends the formula. h holds the hyperparameters in the catalogue's order.
"""
from fastnn.core.vecmath cimport (absolute, at_least, at_most, exp, exp_floor, exp_scaled, exp_scaled_sum, expm1,
                                  normal_bound, normal_tail, normal_weight_scaled, product_low, real, unscale)


# Swish: x s(z), z = beta x, s the sigmoid; h = (beta,)
# f' = s (1 + z (1 - s)), and f'(-z) = 1 - f'(z);  f'' = beta s (1 - s) (2 - z tanh(z/2))

cdef inline real swish_exp_scaled(real x, real beta) noexcept nogil:
    """2^BIAS exp(-|beta x|), the product kept in two parts because exp multiplies its error."""
    cdef real a = at_most(absolute(x), (<real>-1.1 * exp_floor(x)) / beta)
    cdef real z = a * beta
    return exp_scaled_sum(-z, -product_low(a, beta, z))


cdef inline real swish(real x, const real *h) noexcept nogil:
    cdef real es = swish_exp_scaled(x, h[0])
    cdef real d = <real>1 + es * unscale(x)
    cdef real a = at_least(x, <real>2 * exp_floor(x) / h[0])        # not -inf * 0
    cdef bint near = es > <real>1                                   # here a * es might overflow, and e needs no scale
    cdef real left = a * (es * unscale(x) if near else es) / d * (<real>1 if near else unscale(x))
    return left if x < <real>0 else x / d


cdef inline real swish_d1(real x, const real *h) noexcept nogil:
    cdef real es = swish_exp_scaled(x, h[0])
    cdef real d = <real>1 + es * unscale(x)
    cdef real z = at_most(absolute(x) * h[0], <real>-1.1 * exp_floor(x))
    cdef real e = es * unscale(x)
    cdef real left = es * (d - z) / (d * d) * unscale(x)
    return left if x < <real>0 else (<real>1 + e * (<real>1 + z)) / (d * d)


cdef inline real swish_d2(real x, const real *h) noexcept nogil:
    cdef real es = swish_exp_scaled(x, h[0])
    cdef real e = es * unscale(x)
    cdef real d = <real>1 + e
    cdef real z = at_most(absolute(x) * h[0], <real>-1.1 * exp_floor(x))
    return h[0] * es / (d * d) * (<real>2 - z * (<real>1 - e) / d) * unscale(x)


# GELU: x Phi(x), Phi and phi the normal distribution function and density (Hendrycks and Gimpel 2016, arXiv 1606.08415)
# f' = Phi(x) + x phi(x), and f'(-x) = 1 - f'(x);  f'' = phi(x) (2 - x^2)

cdef inline real gelu(real x, const real *h) noexcept nogil:
    cdef real a = normal_bound(absolute(x))
    cdef real lost = a * (normal_weight_scaled(a) * normal_tail(a)) * unscale(x)      # |x| Phi(-|x|)
    return at_least(x, <real>0) - lost


cdef inline real gelu_d1(real x, const real *h) noexcept nogil:
    cdef real a = normal_bound(absolute(x))
    cdef real left = normal_weight_scaled(a) * (normal_tail(a) - a * <real>0.3989422804014327) * unscale(x)
    return left if x < <real>0 else (<real>1 - left if x >= <real>0 else x)


cdef inline real gelu_d2(real x, const real *h) noexcept nogil:
    cdef real a = normal_bound(absolute(x))
    cdef real y = normal_weight_scaled(a) * (<real>0.3989422804014327 * (<real>2 - a * a)) * unscale(x)
    return y if x == x else x


# Mish: x t, t = tanh(softplus(x)) = (w^2 + 2w)/D, D = w^2 + 2w + 2, w = exp(x)  (Misra 2019, arXiv 1908.08681)
# f' = t + 4x w (1 + w)/D^2
# f'' = (8w (1 + w) D + 4x w (2 + 2w - 3w^2 - 2w^3))/D^3
# The right half is the same with numerator and denominator multiplied by powers of e = 1/w, d = 1 + 2e + 2e^2.

cdef inline real mish(real x, const real *h) noexcept nogil:
    cdef real es = exp_scaled(-absolute(x))
    cdef real e = es * unscale(x)
    cdef real n = e * (e + <real>2)
    cdef real m = <real>1 + <real>2 * e
    cdef real left = at_least(x, <real>2 * exp_floor(x)) * (es * (e + <real>2)) / (n + <real>2) * unscale(x)
    return left if x < <real>0 else x * (m / (m + <real>2 * e * e))


cdef inline real mish_d1(real x, const real *h) noexcept nogil:
    cdef real a = at_most(absolute(x), <real>-1.1 * exp_floor(x))
    cdef real es = exp_scaled(-a)
    cdef real e = es * unscale(x)
    cdef real D = e * (e + <real>2) + <real>2
    cdef real left = es * ((e + <real>2) * D - <real>4 * a * (<real>1 + e)) / (D * D) * unscale(x)
    cdef real m = <real>1 + <real>2 * e
    cdef real d = m + <real>2 * e * e
    cdef real right = (m * d + <real>4 * a * (e * e) * (<real>1 + e)) / (d * d)
    return left if x < <real>0 else right


cdef inline real mish_d2(real x, const real *h) noexcept nogil:
    cdef real a = at_most(absolute(x), <real>-1.1 * exp_floor(x))
    cdef real es = exp_scaled(-a)
    cdef real e = es * unscale(x)
    cdef real D = e * (e + <real>2) + <real>2
    cdef real curve = <real>2 + e * (<real>2 - e * (<real>3 + <real>2 * e))
    cdef real left = es * (<real>8 * (<real>1 + e) * D - <real>4 * a * curve) / (D * D * D) * unscale(x)
    cdef real d = <real>1 + <real>2 * e + <real>2 * e * e
    cdef real bend = e * (e * (<real>2 + <real>2 * e) - <real>3) - <real>2
    cdef real right = es * e * (<real>8 * (<real>1 + e) * d + <real>4 * a * bend) / (d * d * d) * unscale(x)
    return left if x < <real>0 else right


# tanhExp: x t, t = tanh(u), u = exp(x)  (Liu and Di 2020, arXiv 2003.09855)
# f' = t + x u (1 - t^2);  f'' = u (1 - t^2) (2 + x - 2 x u t)
# With q = exp(-2u): t = (1 - q)/(1 + q), 1 - t^2 = 4q/(1 + q)^2. Beyond `tanhexp_bound` t is 1 and q is 0.

cdef inline real tanhexp_bound(real like) noexcept nogil:
    return <real>4.25 if real is float else <real>6


cdef inline real tanhexp_tail(real like) noexcept nogil:
    """Below this x, tanh(u) = u in `real`."""
    return <real>-9 if real is float else <real>-20


cdef inline real tanhexp(real x, const real *h) noexcept nogil:
    cdef real b = at_most(x, tanhexp_bound(x))
    cdef real us = exp_scaled(b)
    cdef real m = expm1(<real>-2 * (us * unscale(x)))
    cdef real tail = at_least(b, <real>2 * exp_floor(x)) * us * unscale(x)
    return tail if b < tanhexp_tail(x) else x * (-m / (<real>2 + m))


cdef inline real tanhexp_d1(real x, const real *h) noexcept nogil:
    cdef real b = at_least(at_most(x, tanhexp_bound(x)), <real>1.1 * exp_floor(x))
    cdef real us = exp_scaled(b)
    cdef real u = us * unscale(x)
    cdef real m = expm1(<real>-2 * u)
    cdef real d = <real>2 + m
    cdef real near = (-m * d + <real>4 * b * u * exp(<real>-2 * u)) / (d * d)
    return us * (<real>1 + b) * unscale(x) if b < tanhexp_tail(x) else near


cdef inline real tanhexp_d2(real x, const real *h) noexcept nogil:
    cdef real b = at_least(at_most(x, tanhexp_bound(x)), <real>1.1 * exp_floor(x))
    cdef real us = exp_scaled(b)
    cdef real u = us * unscale(x)
    cdef real m = expm1(<real>-2 * u)
    cdef real d = <real>2 + m
    cdef real bend = (<real>2 + b) + <real>2 * b * u * (m / d)
    cdef real qs = exp_scaled(<real>-2 * u)
    return (us * (qs * unscale(x)) if b < <real>0 else u * qs) * (<real>4 / (d * d)) * bend * unscale(x)
