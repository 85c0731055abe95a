# cython: cdivision=True
"""Losses of logits and scores."""
from fastnn.core.vecmath cimport absolute, exp, log1p, real


# binary cross entropy of sigmoid(y): log(1 + exp(y)) - y t, and sigmoid(y) - t, written as in sigmoidal.pxd

cdef inline real sigmoid_cross_entropy(real y, real t) noexcept nogil:
    cdef real a = absolute(y)
    cdef real wrong = <real>1 - t if y > <real>0 else t
    return (<real>0 if wrong == <real>0 else a * wrong) + log1p(exp(-a))        # not inf * 0


cdef inline real sigmoid_cross_entropy_d1(real y, real t) noexcept nogil:
    cdef real e = exp(-absolute(y))
    cdef real s = e / (<real>1 + e)
    return s - t if y < <real>0 else (<real>1 - t) - s
