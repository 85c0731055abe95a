# cython: cdivision=True
"""Activations made of straight pieces: f, f' and f'' of each, side by side.

h holds the hyperparameters in the order of the catalogue row. A comparison with NaN is false, so each formula is
arranged (or ends in `keep_nan`) such that NaN stays NaN. f'' is 0 wherever it exists.
"""
from fastnn.core.vecmath cimport real, absolute


cdef inline real keep_nan(real value, real x) noexcept nogil:
    return x if x != x else value


cdef inline real zero(real x, const real *h) noexcept nogil:
    return keep_nan(<real>0, x)


cdef inline real one(real x, const real *h) noexcept nogil:
    return keep_nan(<real>1, x)


cdef inline real step(real x, const real *h) noexcept nogil:
    return keep_nan(<real>1 if x > <real>0 else <real>0, x)


cdef inline real identity(real x, const real *h) noexcept nogil:
    return x


# |x| <= lambda is shrunk to 0; h = (lambda,)

cdef inline real hard_shrink(real x, const real *h) noexcept nogil:
    return <real>0 if absolute(x) <= h[0] else x


cdef inline real soft_shrink(real x, const real *h) noexcept nogil:
    return <real>0 if absolute(x) <= h[0] else (x - h[0] if x > <real>0 else x + h[0])


cdef inline real shrink_d1(real x, const real *h) noexcept nogil:
    return keep_nan(<real>0 if absolute(x) <= h[0] else <real>1, x)


# h = (threshold, value)

cdef inline real threshold(real x, const real *h) noexcept nogil:
    return h[1] if x <= h[0] else x


cdef inline real threshold_d1(real x, const real *h) noexcept nogil:
    return keep_nan(<real>1 if x > h[0] else <real>0, x)


# clip(x/5 + 1/2, 0, 1): x + 2.5 is exact where the result is small, x/5 is not

cdef inline real hard_sigmoid(real x, const real *h) noexcept nogil:
    cdef real y = <real>0.2 * (x + <real>2.5)
    return <real>0 if x <= <real>-2.5 else (<real>1 if x >= <real>2.5 else y)


cdef inline real hard_sigmoid_d1(real x, const real *h) noexcept nogil:
    return keep_nan(<real>0 if absolute(x) > <real>2.5 else <real>0.2, x)


cdef inline real hard_tanh(real x, const real *h) noexcept nogil:
    return <real>-1 if x < <real>-1 else (<real>1 if x > <real>1 else x)


cdef inline real hard_tanh_d1(real x, const real *h) noexcept nogil:
    return keep_nan(<real>0 if absolute(x) > <real>1 else <real>1, x)


cdef inline real relu(real x, const real *h) noexcept nogil:
    return <real>0 if x <= <real>0 else x


cdef inline real relu6(real x, const real *h) noexcept nogil:
    return <real>0 if x <= <real>0 else (<real>6 if x > <real>6 else x)


cdef inline real relu6_d1(real x, const real *h) noexcept nogil:
    return keep_nan((<real>1 if x < <real>6 else <real>0) if x > <real>0 else <real>0, x)


# h = (alpha,), the slope below 0

cdef inline real leaky_relu(real x, const real *h) noexcept nogil:
    return h[0] * x if x < <real>0 else x


cdef inline real leaky_relu_d1(real x, const real *h) noexcept nogil:
    return keep_nan(h[0] if x < <real>0 else <real>1, x)
