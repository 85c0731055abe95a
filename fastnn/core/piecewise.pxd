# cython: cdivision=True
"""Activations made of straight pieces: f, f' and f'' of each, side by side, and f' as a function of y = f(x) where y
determines it. At a y that a kink shares with a piece (-1 and 1 of hard-tanh) the piece decides.

h holds the hyperparameters in the order of the catalogue row; they are read before they are chosen from, for a choice of
addresses is no vector's. A comparison with NaN is false, so each formula is
arranged (or ends in `keep_nan`) such that NaN stays NaN. f'' is 0 wherever it exists.
"""
from fastnn.core.vecmath cimport absolute, at_least, at_most, lane


cdef inline lane keep_nan(lane value, lane x) noexcept nogil:
    return x if x != x else value


cdef inline lane zero(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>0, x)


cdef inline lane one(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>1, x)


cdef inline lane step(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>1 if x > <lane>0 else <lane>0, x)


cdef inline lane identity(lane x, const lane *h) noexcept nogil:
    return x


cdef inline lane identity_d1(lane x, const lane *h) noexcept nogil:
    """1 at NaN, too: the gate of bilinear has no slope of its own."""
    return <lane>1


cdef inline lane nonzero(lane y, const lane *h) noexcept nogil:
    """f' of what is 0, or has the slope 1, by its value."""
    return keep_nan(<lane>0 if y == <lane>0 else <lane>1, y)


# |x| <= lambda is shrunk to 0; h = (lambda,)

cdef inline lane hard_shrink(lane x, const lane *h) noexcept nogil:
    return <lane>0 if absolute(x) <= h[0] else x


cdef inline lane soft_shrink(lane x, const lane *h) noexcept nogil:
    return x - at_most(at_least(x, -h[0]), h[0])


cdef inline lane shrink_d1(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>0 if absolute(x) <= h[0] else <lane>1, x)


# h = (threshold, value)

cdef inline lane threshold(lane x, const lane *h) noexcept nogil:
    cdef lane least = h[0], value = h[1]
    return value if x <= least else x


cdef inline lane threshold_d1(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>1 if x > h[0] else <lane>0, x)       # by value, too, where `value` is not above the threshold


# clip(x/5 + 1/2, 0, 1): x + 2.5 is exact where the result is small, x/5 is not

cdef inline lane hard_sigmoid(lane x, const lane *h) noexcept nogil:
    cdef lane y = <lane>0.2 * (x + <lane>2.5)
    return <lane>0 if x <= <lane>-2.5 else (<lane>1 if x >= <lane>2.5 else y)


cdef inline lane hard_sigmoid_d1(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>0 if absolute(x) > <lane>2.5 else <lane>0.2, x)


cdef inline lane hard_sigmoid_by_value(lane y, const lane *h) noexcept nogil:
    return keep_nan((<lane>0.2 if y < <lane>1 else <lane>0) if y > <lane>0 else <lane>0, y)


# (x + h)/(2h), clipped to [0, 1]; h = (half of its width,)

cdef inline lane ramp(lane x, const lane *h) noexcept nogil:
    cdef lane y = (x + h[0]) / (h[0] + h[0])
    return <lane>0 if x <= -h[0] else (<lane>1 if x >= h[0] else y)


cdef inline lane ramp_d1(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>0 if absolute(x) >= h[0] else <lane>1 / (h[0] + h[0]), x)


cdef inline lane ramp_by_value(lane y, const lane *h) noexcept nogil:
    return keep_nan((<lane>1 / (h[0] + h[0]) if y < <lane>1 else <lane>0) if y > <lane>0 else <lane>0, y)


cdef inline lane hard_tanh(lane x, const lane *h) noexcept nogil:
    return <lane>-1 if x < <lane>-1 else (<lane>1 if x > <lane>1 else x)


cdef inline lane hard_tanh_d1(lane x, const lane *h) noexcept nogil:
    return keep_nan(<lane>0 if absolute(x) > <lane>1 else <lane>1, x)


cdef inline lane hard_tanh_by_value(lane y, const lane *h) noexcept nogil:
    return keep_nan(<lane>1 if absolute(y) < <lane>1 else <lane>0, y)


cdef inline lane relu(lane x, const lane *h) noexcept nogil:
    return <lane>0 if x <= <lane>0 else x


cdef inline lane relu_d1(lane x, const lane *h) noexcept nogil:
    return step(x, h)


# clipped to [low, high]; h = (low, high)

cdef inline lane clipped(lane x, const lane *h) noexcept nogil:
    cdef lane low = h[0], high = h[1]
    return low if x <= low else (high if x >= high else x)


cdef inline lane clipped_d1(lane x, const lane *h) noexcept nogil:
    cdef lane low = h[0], high = h[1]
    return keep_nan((<lane>1 if x < high else <lane>0) if x > low else <lane>0, x)


cdef inline lane upper_piece(lane lower_at_zero) noexcept nogil:
    """Where the upper of two pieces that meet at 0 begins: there, or at the next number if 0 is the lower one's."""
    if lane is float:
        return <lane>0 if lower_at_zero == <lane>0 else <lane>1.401298464324817e-45
    else:
        return <lane>0 if lower_at_zero == <lane>0 else <lane>4.9406564584124654e-324


# h = (alpha, whether 0 is the lower piece's), alpha the slope below 0; 0 times infinity is 0 here

cdef inline lane leaky_relu(lane x, const lane *h) noexcept nogil:
    cdef lane below = <lane>0 if h[0] == <lane>0 else h[0] * x
    return below if x < <lane>0 else x


cdef inline lane leaky_relu_d1(lane x, const lane *h) noexcept nogil:
    cdef lane slope = h[0], upper = upper_piece(h[1])
    return keep_nan(slope if x < upper else <lane>1, x)
