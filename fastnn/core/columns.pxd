"""The C types of the loops over rows of a matrix and of random masks: columns.h and masks.h say what they do."""
from libc.stdint cimport uint32_t, uint64_t

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
ctypedef void (*mask_loop)(uint64_t key, uint64_t least, uint64_t first, const void *x, unsigned char *mask, void *out,
                           Py_ssize_t n) noexcept nogil
ctypedef void (*masked_loop)(const void *x, const unsigned char *mask, void *out, Py_ssize_t n) noexcept nogil
ctypedef void (*random_words)(uint64_t key, uint64_t counter, uint32_t stream, uint32_t *words) noexcept nogil

cdef enum:
    MASK_BLOCK = 128        # elements of a mask that are made at once
    WORD_BLOCK = 64         # words, of counters that follow one another

cdef inline Py_ssize_t itemsize(bint single) noexcept nogil:
    return 4 if single else 8
