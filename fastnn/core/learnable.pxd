# cython: cdivision=True
"""Activations of x and a parameter that is learned: f, and its derivatives in x and in the parameter, side by side."""
from fastnn.core.vecmath cimport lane


# PReLU: x above 0, else alpha x; at 0 the lower piece decides, as in PyTorch (He et al. 2015, arXiv 1502.01852)

cdef inline lane prelu(lane x, lane alpha) noexcept nogil:
    return x if x > <lane>0 else alpha * x


cdef inline lane prelu_slope(lane x, lane alpha) noexcept nogil:
    return x if x != x else (<lane>1 if x > <lane>0 else alpha)


cdef inline lane prelu_in_alpha(lane x, lane alpha) noexcept nogil:
    return <lane>0 if x > <lane>0 else x
