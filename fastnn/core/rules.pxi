# cython: cdivision=True
"""The optimizer rules as compiled kernels, and what loads and stores reduced-precision numbers around them.

Compiled once per instruction-set level but v4 (tools/translation.py); the build writes the loops (tools/rule_kernels.py).
Rules are compiled without contraction to fused multiply-adds, so that all levels, and deltas that are written or added,
give the same bits.
"""
from libc.stdint cimport int32_t, uint32_t, uintptr_t

from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.stored cimport STORED_BLOCK
from fastnn.core.vecmath cimport real

cdef extern from "stored.h":
    int32_t fastnn_larger(int32_t largest, float x) noexcept nogil
    void fastnn_load_float16(const void *codes, float *out, Py_ssize_t n) noexcept nogil
    void fastnn_store_float16(const float *x, void *codes, Py_ssize_t n) noexcept nogil
    void fastnn_load_bfloat16(const void *codes, float *out, Py_ssize_t n) noexcept nogil
    void fastnn_store_bfloat16(const float *x, void *codes, Py_ssize_t n) noexcept nogil
    void fastnn_load_state_bfloat16(const void *codes, const float *scale, float *out, Py_ssize_t n) noexcept nogil
    void fastnn_store_state_bfloat16(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random,
                                     int32_t largest) noexcept nogil
    void fastnn_load_linear(const void *codes, const float *scale, float *out, Py_ssize_t n) noexcept nogil
    void fastnn_store_linear(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random,
                             int32_t largest) noexcept nogil
    void fastnn_load_log(const void *codes, const float *scale, float *out, Py_ssize_t n) noexcept nogil
    void fastnn_store_log(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random,
                          int32_t largest) noexcept nogil

include "rule_kernels.pxi"
include "around.pxi"
include "reductions.pxi"
include "factored.pxi"


cdef inline int32_t largest_of(const float *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t largest = 0
    for i in range(n & -BLOCK_STEP):
        largest = fastnn_larger(largest, x[i])
    return largest


cdef void store_bfloat16(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random) noexcept nogil:
    fastnn_store_state_bfloat16(x, codes, scale, n, random, largest_of(x, n))

cdef void store_linear(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random) noexcept nogil:
    fastnn_store_linear(x, codes, scale, n, random, largest_of(x, n))

cdef void store_log(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random) noexcept nogil:
    fastnn_store_log(x, codes, scale, n, random, largest_of(x, n))


# spacing: (address that loads, address that stores), as load_state and store_any_state of stored.pxd; in int8 numbers
# of both signs are spaced linearly, averages of squares and of magnitudes logarithmically
STORED = {
    "bfloat16": (<uintptr_t>fastnn_load_state_bfloat16, <uintptr_t>store_bfloat16),
    "linear": (<uintptr_t>fastnn_load_linear, <uintptr_t>store_linear),
    "logarithmic": (<uintptr_t>fastnn_load_log, <uintptr_t>store_log),
}

# name: (address that loads, address that stores), as load_half and store_half of stored.pxd
HALVES = {
    "float16": (<uintptr_t>fastnn_load_float16, <uintptr_t>fastnn_store_float16),
    "bfloat16": (<uintptr_t>fastnn_load_bfloat16, <uintptr_t>fastnn_store_bfloat16),
}
