# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The largest error of float32 results against float64 values, in units in the last place: for fastnn.accuracy."""
cimport numpy as cnp
from libc.stdint cimport int32_t

from fastnn.core.arrays cimport contiguous

cnp.import_array()

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>

    /* |got - exact| in units of float32 at max(|exact|, smallest), as the bits of a float >= 0, which order like
       integers. 2^(23-e) is made of the exponent's own bits. Where either is not finite, at least the bits of infinity. */
    static inline int32_t fastnn_error_bits(float got, double exact, double smallest) {
        double size = fabs(exact), inverse;
        float error;
        uint64_t bits;
        int32_t result;
        size = size > smallest ? size : smallest;
        size = size < 0x1p127 ? size : 0x1p127;
        memcpy(&bits, &size, sizeof bits);
        bits = (UINT64_C(2069) << 52) - (bits & UINT64_C(0x7ff0000000000000));
        memcpy(&inverse, &bits, sizeof bits);
        error = (float)(fabs((double)got - exact) * inverse);
        memcpy(&result, &error, sizeof result);
        return result;
    }
    static inline int32_t fastnn_largest_bits(const float *got, const double *exact, double smallest, ptrdiff_t n) {
        int32_t top = 0, bits;
        ptrdiff_t i;
        for (i = 0; i < n; i++) {
            bits = fastnn_error_bits(got[i], exact[i], smallest);
            top = bits > top ? bits : top;
        }
        return top;
    }
    static inline double fastnn_from_bits(int32_t bits) {
        float x;
        memcpy(&x, &bits, sizeof x);
        return (double)x;
    }
    """
    int32_t fastnn_error_bits(float got, double exact, double smallest) noexcept nogil
    int32_t fastnn_largest_bits(const float *got, const double *exact, double smallest, Py_ssize_t n) noexcept nogil
    double fastnn_from_bits(int32_t bits) noexcept nogil
    double INFINITY
    enum:
        INFINITE_BITS "0x7f800000"


cdef double error_in_kind(float got, double exact, double smallest) noexcept nogil:
    """The error; NaN and infinities must be equal: 0 if they are, else infinity."""
    cdef int32_t bits = fastnn_error_bits(got, exact, smallest)
    cdef float rounded = <float>exact
    if bits < INFINITE_BITS:
        return fastnn_from_bits(bits)
    return 0 if got == rounded or (got != got and rounded != rounded) else INFINITY


def largest_error(got, exact, double floor=0):
    """(the largest error, the first index where it occurs) of results against exact values of the same length.

    The unit is that of float32 at max(|exact|, floor), at most that of the largest number. A result that is NaN or
    infinite must be what the exact value rounds to, else the error is infinite. Raises ValueError for different
    lengths or none, TypeError for anything but contiguous arrays of float32 and float64.
    """
    cdef const float *results
    cdef const double *values
    cdef Py_ssize_t n
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t where = 0
    cdef double smallest = max(floor, 1.1754943508222875e-38)
    cdef double error
    cdef double worst = -1
    cdef int32_t top
    if not (contiguous(got, cnp.NPY_FLOAT, 0) and contiguous(exact, cnp.NPY_DOUBLE, 0)):
        raise TypeError("got must be a contiguous array of float32, exact one of float64")
    results, values = <const float *>cnp.PyArray_DATA(got), <const double *>cnp.PyArray_DATA(exact)
    n = cnp.PyArray_SIZE(got)
    if n != cnp.PyArray_SIZE(exact) or n == 0:
        raise ValueError(f"got and exact must have the same length, not {n} and {cnp.PyArray_SIZE(exact)}, and not 0")
    with nogil:
        top = fastnn_largest_bits(results, values, smallest, n)
        if top < INFINITE_BITS:
            while fastnn_error_bits(results[i], values[i], smallest) != top:
                i += 1
            worst = fastnn_from_bits(top)
            where = i
        else:
            for i in range(n):
                error = error_in_kind(results[i], values[i], smallest)
                if error > worst:
                    worst = error
                    where = i
    return worst, where
