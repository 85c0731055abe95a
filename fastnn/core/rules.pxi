# cython: cdivision=True
"""Every optimizer kernel, one line each, as a C function over contiguous blocks, and the table of their addresses.

`_rules_<level>.pyx` includes this file once per instruction-set level. The signature is that of kernels.pxd; the state
of each element is updated in place, c holds the constants of the step.
"""
from libc.stdint cimport int32_t, uint32_t, uintptr_t

from fastnn.core cimport rules
from fastnn.core.rule_loops cimport largest1, largest2, step0, step1, step2, step3, step5
from fastnn.core.vecmath cimport real

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


cdef void sgd(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c, bint add) noexcept nogil:
    step0(rules.sgd[real], g, s, target, n, c, add)

cdef void momentum(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                   bint add) noexcept nogil:
    step1(rules.momentum[real], g, s, target, n, c, add)

cdef void nesterov(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                   bint add) noexcept nogil:
    step1(rules.nesterov[real], g, s, target, n, c, add)

cdef void adagrad(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                  bint add) noexcept nogil:
    step1(rules.adagrad[real], g, s, target, n, c, add)

cdef void rmsprop(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                  bint add) noexcept nogil:
    step1(rules.rmsprop[real], g, s, target, n, c, add)

cdef void adadelta(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                   bint add) noexcept nogil:
    step2(rules.adadelta[real], g, s, target, n, c, add)

cdef void adam(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c, bint add) noexcept nogil:
    step2(rules.adam[real], g, s, target, n, c, add)

cdef void rmsprop_graves(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                         bint add) noexcept nogil:
    step2(rules.rmsprop_graves[real], g, s, target, n, c, add)

cdef void smorms3(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                  bint add) noexcept nogil:
    step3(rules.smorms3[real], g, s, target, n, c, add)

cdef void adamax(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c, bint add,
                 ) noexcept nogil:
    step2(rules.adamax[real], g, s, target, n, c, add)

cdef void nadam(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c, bint add) noexcept nogil:
    step2(rules.nadam[real], g, s, target, n, c, add)

cdef void amsgrad(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                  bint add) noexcept nogil:
    step3(rules.amsgrad[real], g, s, target, n, c, add)

cdef void adabound(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                   bint add) noexcept nogil:
    step2(rules.adabound[real], g, s, target, n, c, add)

cdef void amsbound(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                   bint add) noexcept nogil:
    step3(rules.amsbound[real], g, s, target, n, c, add)

cdef void santa_e_explore(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                          bint add) noexcept nogil:
    step5(rules.santa_e_explore[real], g, s, target, n, c, add)

cdef void santa_e_refine(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                         bint add) noexcept nogil:
    step5(rules.santa_e_refine[real], g, s, target, n, c, add)

cdef void santa_sss_explore(const real *g, real *const *s, real *target, Py_ssize_t n,
                            const real *c, bint add) noexcept nogil:
    step5(rules.santa_sss_explore[real], g, s, target, n, c, add)

cdef void santa_sss_refine(const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                           bint add) noexcept nogil:
    step5(rules.santa_sss_refine[real], g, s, target, n, c, add)


# Rules whose state may be stored in int8

cdef void momentum_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest1(rules.momentum[float], g, s, target, n, c, add, largest)

cdef void nesterov_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest1(rules.nesterov[float], g, s, target, n, c, add, largest)

cdef void rmsprop_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest1(rules.rmsprop[float], g, s, target, n, c, add, largest)

cdef void adadelta_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest2(rules.adadelta[float], g, s, target, n, c, add, largest)

cdef void adam_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest2(rules.adam[float], g, s, target, n, c, add, largest)

cdef void adamax_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest2(rules.adamax[float], g, s, target, n, c, add, largest)

cdef void nadam_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest2(rules.nadam[float], g, s, target, n, c, add, largest)

cdef void adabound_largest(const float *g, float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                      int32_t *largest) noexcept nogil:
    largest2(rules.adabound[float], g, s, target, n, c, add, largest)


# name: (address for float, address for double, and, where state may be stored in int8, for float with the largest)

RULES = {
    "sgd": (<uintptr_t>sgd[float], <uintptr_t>sgd[double]),
    "momentum": (<uintptr_t>momentum[float], <uintptr_t>momentum[double], <uintptr_t>momentum_largest),
    "nesterov": (<uintptr_t>nesterov[float], <uintptr_t>nesterov[double], <uintptr_t>nesterov_largest),
    "adagrad": (<uintptr_t>adagrad[float], <uintptr_t>adagrad[double]),
    "rmsprop": (<uintptr_t>rmsprop[float], <uintptr_t>rmsprop[double], <uintptr_t>rmsprop_largest),
    "adadelta": (<uintptr_t>adadelta[float], <uintptr_t>adadelta[double], <uintptr_t>adadelta_largest),
    "adam": (<uintptr_t>adam[float], <uintptr_t>adam[double], <uintptr_t>adam_largest),
    "rmsprop_graves": (<uintptr_t>rmsprop_graves[float], <uintptr_t>rmsprop_graves[double]),
    "smorms3": (<uintptr_t>smorms3[float], <uintptr_t>smorms3[double]),
    "adamax": (<uintptr_t>adamax[float], <uintptr_t>adamax[double], <uintptr_t>adamax_largest),
    "nadam": (<uintptr_t>nadam[float], <uintptr_t>nadam[double], <uintptr_t>nadam_largest),
    "amsgrad": (<uintptr_t>amsgrad[float], <uintptr_t>amsgrad[double]),
    "adabound": (<uintptr_t>adabound[float], <uintptr_t>adabound[double], <uintptr_t>adabound_largest),
    "amsbound": (<uintptr_t>amsbound[float], <uintptr_t>amsbound[double]),
    "santa_e_explore": (<uintptr_t>santa_e_explore[float], <uintptr_t>santa_e_explore[double]),
    "santa_e_refine": (<uintptr_t>santa_e_refine[float], <uintptr_t>santa_e_refine[double]),
    "santa_sss_explore": (<uintptr_t>santa_sss_explore[float], <uintptr_t>santa_sss_explore[double]),
    "santa_sss_refine": (<uintptr_t>santa_sss_refine[float], <uintptr_t>santa_sss_refine[double]),
}

# name: (address that loads, address that stores), signatures in stored.pxd

HALVES = {
    "float16": (<uintptr_t>fastnn_load_float16, <uintptr_t>fastnn_store_float16),
    "bfloat16": (<uintptr_t>fastnn_load_bfloat16, <uintptr_t>fastnn_store_bfloat16),
}
STORED = {
    "bfloat16": (<uintptr_t>fastnn_load_state_bfloat16, <uintptr_t>fastnn_store_state_bfloat16),
    "linear": (<uintptr_t>fastnn_load_linear, <uintptr_t>fastnn_store_linear),
    "logarithmic": (<uintptr_t>fastnn_load_log, <uintptr_t>fastnn_store_log),
}
