"""The C types of the loops over rows of a matrix and of random masks: columns.h, row_norms.h and masks.h say what they
do.
"""
cimport numpy as cnp
from libc.stdint cimport uint32_t, uint64_t

from fastnn.core.arrays cimport as_array, contiguous, copied, result_dtype

ctypedef void (*add_bias_loop)(void *z, const void *bias, Py_ssize_t columns, Py_ssize_t start,
                               Py_ssize_t stop) noexcept nogil
ctypedef void (*biased_loop)(const void *z, const void *bias, void *out, Py_ssize_t columns, Py_ssize_t start,
                             Py_ssize_t stop) noexcept nogil
ctypedef void (*add_columns_loop)(const void *x, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t n,
                                  double *total) noexcept nogil
ctypedef void (*add_squares_loop)(const void *x, const void *centre, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t n,
                                  double *total) noexcept nogil
ctypedef void (*add_moments_loop)(const void *g, const void *x, const void *centre, Py_ssize_t rows, Py_ssize_t stride,
                                  Py_ssize_t n, double *total, double *moment) noexcept nogil
ctypedef void (*normalized_loop)(const void *x, const void *centre, const void *factor, const void *shift, void *out,
                                 Py_ssize_t rows, Py_ssize_t columns) noexcept nogil
ctypedef void (*projected_loop)(const void *g, const void *x, const void *centre, const void *factor, const void *mean,
                                const void *slope, void *out, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil
ctypedef void (*norm_rows_loop)(const void *x, const double *gamma, const double *beta, void *out, double *statistics,
                                Py_ssize_t rows, Py_ssize_t columns, double eps, bint centred) noexcept nogil
ctypedef void (*norm_rows_back_loop)(const void *g, const void *x, const double *gamma, const double *statistics,
                                     void *out, double *dgamma, double *dbeta, Py_ssize_t rows, Py_ssize_t columns,
                                     bint centred, bint streaming) noexcept nogil
ctypedef void (*widened_loop)(const float *x, double *out, Py_ssize_t n) noexcept nogil
ctypedef void (*mask_loop)(uint64_t key, uint64_t least, uint64_t first, const void *x, unsigned char *mask, void *out,
                           Py_ssize_t n) noexcept nogil
ctypedef void (*masked_loop)(const void *x, const unsigned char *mask, void *out, Py_ssize_t n) noexcept nogil
ctypedef void (*random_words)(uint64_t key, uint64_t counter, uint32_t stream, uint32_t *words) noexcept nogil

cdef enum:
    WORD_BLOCK = 64         # random words that are made at once

cdef inline Py_ssize_t itemsize(bint single) noexcept nogil:
    return 4 if single else 8


cdef inline bint is_floating(object a) noexcept:
    """A contiguous array of float32 or float64."""
    return contiguous(a, cnp.NPY_FLOAT, 0) or contiguous(a, cnp.NPY_DOUBLE, 0)


cdef inline cnp.ndarray floating_array(object value, str name):
    """value, or a copy, as such an array: float64 of all that is not float32. Raises TypeError for no real numbers."""
    if is_floating(value):
        return <cnp.ndarray>value
    cdef cnp.ndarray a = as_array(value, name)
    result_dtype(a)
    return copied(a, cnp.PyArray_DescrFromType(cnp.NPY_FLOAT if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT
                                               else cnp.NPY_DOUBLE))
