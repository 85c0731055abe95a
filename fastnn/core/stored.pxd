"""Reduced-precision storage: see stored.h. `_rules_<level>` compiles it for each level."""
from libc.stdint cimport int32_t, uint32_t

# float16 and bfloat16 as users hold them; any n
ctypedef void (*load_half)(const void *codes, float *out, Py_ssize_t n) noexcept nogil
ctypedef void (*store_half)(const float *x, void *codes, Py_ssize_t n) noexcept nogil

# optimizer state, a block at a time; n is a multiple of the format's grain, codes are aligned to four bytes
ctypedef void (*load_state)(const void *codes, const float *scale, float *out, Py_ssize_t n) noexcept nogil
# and `largest` what the rule found
ctypedef void (*store_state)(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random,
                             int32_t largest) noexcept nogil
# for rules that do not look for it
ctypedef void (*store_any_state)(const float *x, void *codes, float *scale, Py_ssize_t n,
                                 uint32_t random) noexcept nogil

cdef enum:
    STORED_BLOCK = 256      # elements that share a scale
