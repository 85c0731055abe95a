# cython: cdivision=True
"""Activations made of pieces of parabolas: f, f' and f'' of each, side by side. Where f' has a kink, f'' is 0."""
from fastnn.core.piecewise cimport keep_nan
from fastnn.core.vecmath cimport INFINITY, absolute, lane, product_low


# hard-swish: x (x + 3)/6 between -3 and 3, 0 below, x above

cdef inline lane hard_swish(lane x, const lane *h) noexcept nogil:
    cdef lane y = x * ((x + <lane>3) / <lane>6)
    return <lane>0 if x <= <lane>-3 else (x if x >= <lane>3 else y)


cdef inline lane hard_swish_d1(lane x, const lane *h) noexcept nogil:
    cdef lane y = (x + <lane>1.5) / <lane>3
    return <lane>0 if x <= <lane>-3 else (<lane>1 if x >= <lane>3 else y)


cdef inline lane hard_swish_d2(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>1 / <lane>3 if absolute(x) < <lane>3 else <lane>0, x)


# sparse-plus: (x + 1)^2/4 between -1 and 1, 0 below, x above;  f' = (x + 1)/2, clipped

cdef inline lane sparse_plus(lane x, const lane *h) noexcept nogil:
    cdef lane s = x + <lane>1
    return <lane>0 if x <= <lane>-1 else (x if x >= <lane>1 else <lane>0.25 * (s * s))


cdef inline lane sparse_plus_d1(lane x, const lane *h) noexcept nogil:
    cdef lane y = <lane>0.5 * (x + <lane>1)
    return <lane>0 if x <= <lane>-1 else (<lane>1 if x >= <lane>1 else y)


cdef inline lane sparse_plus_d2(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>0.5 if absolute(x) < <lane>1 else <lane>0, x)


# s max(x, 0)^2 + b; h = (s, b). The sum crosses zero, so the product is kept in two parts.

cdef inline lane star_relu(lane x, const lane *h) noexcept nogil:
    cdef lane product = h[0] * x
    cdef lane y = product * x
    cdef lane low = product_low(product, x, y) + product_low(h[0], x, product) * x
    y = (y + h[1]) + (low if y < <lane>INFINITY else <lane>0)
    return h[1] if x <= <lane>0 else y


cdef inline lane star_relu_d1(lane x, const lane *h) noexcept nogil:
    return <lane>0 if x <= <lane>0 else (h[0] + h[0]) * x


cdef inline lane star_relu_d2(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>0 if x <= <lane>0 else h[0] + h[0], x)
