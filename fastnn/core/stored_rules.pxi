"""The rules whose state may be stored in fewer bits, as compiled kernels: one line each, and a table of their addresses.

rules.pxi includes this file. The signature is rule_stored of kernels.pxd. In
int8 numbers of both signs are spaced linearly, averages of squares and of magnitudes logarithmically.
"""
from libc.stdint cimport int32_t, uint32_t, uintptr_t

from fastnn.core cimport rules
from fastnn.core.rule_loops cimport largest_of, stored1, stored2

cdef extern from "stored.h":
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


cdef void momentum_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored1(rules.momentum[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void momentum_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored1(rules.momentum[float], fastnn_load_linear, fastnn_store_linear,
            g, codes, scales, target, n, c, add, random)

cdef void nesterov_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored1(rules.nesterov[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void nesterov_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored1(rules.nesterov[float], fastnn_load_linear, fastnn_store_linear,
            g, codes, scales, target, n, c, add, random)

cdef void rmsprop_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored1(rules.rmsprop[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void rmsprop_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored1(rules.rmsprop[float], fastnn_load_log, fastnn_store_log,
            g, codes, scales, target, n, c, add, random)

cdef void adadelta_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adadelta[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16, fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void adadelta_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adadelta[float], fastnn_load_log, fastnn_store_log, fastnn_load_log, fastnn_store_log,
            g, codes, scales, target, n, c, add, random)

cdef void adam_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adam[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16, fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void adam_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adam[float], fastnn_load_linear, fastnn_store_linear, fastnn_load_log, fastnn_store_log,
            g, codes, scales, target, n, c, add, random)

cdef void adamax_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adamax[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16, fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void adamax_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adamax[float], fastnn_load_linear, fastnn_store_linear, fastnn_load_log, fastnn_store_log,
            g, codes, scales, target, n, c, add, random)

cdef void nadam_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.nadam[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16, fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void nadam_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.nadam[float], fastnn_load_linear, fastnn_store_linear, fastnn_load_log, fastnn_store_log,
            g, codes, scales, target, n, c, add, random)

cdef void adabound_bfloat16(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adabound[float], fastnn_load_state_bfloat16, fastnn_store_state_bfloat16, fastnn_load_state_bfloat16, fastnn_store_state_bfloat16,
            g, codes, scales, target, n, c, add, random)

cdef void adabound_int8(const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                    const float *c, bint add, const uint32_t *random) noexcept nogil:
    stored2(rules.adabound[float], fastnn_load_linear, fastnn_store_linear, fastnn_load_log, fastnn_store_log,
            g, codes, scales, target, n, c, add, random)


# by dtype, then as RULES
STORED_RULES = {
    "bfloat16": {
        "momentum": (<uintptr_t>momentum_bfloat16,),
        "nesterov": (<uintptr_t>nesterov_bfloat16,),
        "rmsprop": (<uintptr_t>rmsprop_bfloat16,),
        "adadelta": (<uintptr_t>adadelta_bfloat16,),
        "adam": (<uintptr_t>adam_bfloat16,),
        "adamax": (<uintptr_t>adamax_bfloat16,),
        "nadam": (<uintptr_t>nadam_bfloat16,),
        "adabound": (<uintptr_t>adabound_bfloat16,),
    },
    "int8": {
        "momentum": (<uintptr_t>momentum_int8,),
        "nesterov": (<uintptr_t>nesterov_int8,),
        "rmsprop": (<uintptr_t>rmsprop_int8,),
        "adadelta": (<uintptr_t>adadelta_int8,),
        "adam": (<uintptr_t>adam_int8,),
        "adamax": (<uintptr_t>adamax_int8,),
        "nadam": (<uintptr_t>nadam_int8,),
        "adabound": (<uintptr_t>adabound_int8,),
    },
}

cdef void store_bfloat16(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random) noexcept nogil:
    fastnn_store_state_bfloat16(x, codes, scale, n, random, largest_of(x, n))

cdef void store_linear(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random) noexcept nogil:
    fastnn_store_linear(x, codes, scale, n, random, largest_of(x, n))

cdef void store_log(const float *x, void *codes, float *scale, Py_ssize_t n, uint32_t random) noexcept nogil:
    fastnn_store_log(x, codes, scale, n, random, largest_of(x, n))


# spacing: (address that loads, address that stores), as load_state and store_any_state of stored.pxd
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
