# cython: cdivision=True
"""Smooth activations of exponentials and their inverses that do not saturate at both ends: f, f' and f'' side by side."""
from fastnn.core.vecmath cimport at_least, at_most, exp_floor, exp_split_at, fma, lane


# exp(x), in two steps where it leaves the normal numbers

cdef inline lane exponential(lane x, const lane *h) noexcept nogil:
    cdef lane half = <lane>64 if lane is float else <lane>128
    cdef lane bias = (<lane>127 if lane is float else <lane>1023) + (half if x < <lane>0 else -half)
    cdef lane up = <lane>1.8446744073709552e19 if lane is float else <lane>3.402823669209385e38          # 2^64, 2^128
    cdef lane t
    cdef lane p = exp_split_at(at_most(at_least(x, exp_floor(x)), <lane>90 if lane is float else <lane>711), bias, &t)
    return fma(t, p, t) * (<lane>1 / up if x < <lane>0 else up)


cdef inline lane exponential_by_value(lane y, const lane *h) noexcept nogil:
    return y
