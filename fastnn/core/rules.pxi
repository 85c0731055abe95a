# cython: cdivision=True
"""Every optimizer kernel, one line each, as a C function over contiguous blocks, and the table of their addresses.

`_rules_<level>.pyx` includes this file once per instruction-set level. The signature is that of kernels.pxd; the state
of each element is updated in place, c holds the constants of the step.
"""
from libc.stdint cimport uintptr_t

from fastnn.core cimport rules
from fastnn.core.rule_loops cimport step0, step1, step2, step3, step5
from fastnn.core.vecmath cimport real


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


# name: (address for float, address for double)

RULES = {
    "sgd": (<uintptr_t>sgd[float], <uintptr_t>sgd[double]),
    "momentum": (<uintptr_t>momentum[float], <uintptr_t>momentum[double]),
    "nesterov": (<uintptr_t>nesterov[float], <uintptr_t>nesterov[double]),
    "adagrad": (<uintptr_t>adagrad[float], <uintptr_t>adagrad[double]),
    "rmsprop": (<uintptr_t>rmsprop[float], <uintptr_t>rmsprop[double]),
    "adadelta": (<uintptr_t>adadelta[float], <uintptr_t>adadelta[double]),
    "adam": (<uintptr_t>adam[float], <uintptr_t>adam[double]),
    "rmsprop_graves": (<uintptr_t>rmsprop_graves[float], <uintptr_t>rmsprop_graves[double]),
    "smorms3": (<uintptr_t>smorms3[float], <uintptr_t>smorms3[double]),
    "adamax": (<uintptr_t>adamax[float], <uintptr_t>adamax[double]),
    "nadam": (<uintptr_t>nadam[float], <uintptr_t>nadam[double]),
    "amsgrad": (<uintptr_t>amsgrad[float], <uintptr_t>amsgrad[double]),
    "adabound": (<uintptr_t>adabound[float], <uintptr_t>adabound[double]),
    "amsbound": (<uintptr_t>amsbound[float], <uintptr_t>amsbound[double]),
    "santa_e_explore": (<uintptr_t>santa_e_explore[float], <uintptr_t>santa_e_explore[double]),
    "santa_e_refine": (<uintptr_t>santa_e_refine[float], <uintptr_t>santa_e_refine[double]),
    "santa_sss_explore": (<uintptr_t>santa_sss_explore[float], <uintptr_t>santa_sss_explore[double]),
    "santa_sss_refine": (<uintptr_t>santa_sss_refine[float], <uintptr_t>santa_sss_refine[double]),
}


include "stored_rules.pxi"
include "reductions.pxi"
