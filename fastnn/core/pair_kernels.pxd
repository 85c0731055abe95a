# cython: cdivision=True
"""The C signatures of kernels that have two operands or learned parameters, and the loop around a gate.

Blocks are contiguous and do not overlap, the number of elements a multiple of MAP_STEP (fastnn/core/loops.pxd). The loops
of learned parameters are written by the build (tools/pair_kernels.py); users' formulas are compiled to the same
signatures.
"""
from libc.string cimport memcpy

from fastnn.core.loops cimport MAP_STEP, Seen, formula, see, seen_all
from fastnn.core.vecmath cimport real

cdef enum:
    GATE_PARAMETERS = 2     # that a gate reads from h
    MOST_LEARNED = 8        # parameters
    LEARNED_BLOCK = 512     # elements that a kernel is given at most, where each has its own parameters or back

# A gated unit, a f(b). Forward: out. Back: out = g df/da and second = g df/db, in one pass; h holds f's hyperparameters.
ctypedef void (*gated_float)(bint back, const float *a, const float *b, const float *g, float *out, float *second,
                             Py_ssize_t n, const float *h) noexcept nogil
ctypedef void (*gated_double)(bint back, const double *a, const double *b, const double *g, double *out, double *second,
                              Py_ssize_t n, const double *h) noexcept nogil

# f(x; p). Forward: out. Back: out = g df/dx, and g df/dp of each element, that in parameter k at dp[k LEARNED_BLOCK + i].
# p holds a number for each parameter or, with `each`, one for each element, that of parameter k at p[k LEARNED_BLOCK + i].
# Behind all of these stand constants that a user's formula may have.
ctypedef void (*learned_float)(bint back, bint each, const float *x, const float *p, const float *g, float *out, float *dp,
                               Py_ssize_t n) noexcept nogil
ctypedef void (*learned_double)(bint back, bint each, const double *x, const double *p, const double *g, double *out,
                                double *dp, Py_ssize_t n) noexcept nogil


cdef inline void map_gate(formula f, formula d1, bint back, const real *a, const real *b, const real *g, real *out,
                          real *second, Py_ssize_t n, const real *h) noexcept nogil:
    """a f(b), f an activation."""
    cdef Py_ssize_t i
    cdef Seen seen = Seen(0, 0)
    cdef real p, q, w
    cdef real kept[GATE_PARAMETERS]         # in registers: h might overlap out, for all the compiler knows
    memcpy(kept, h, sizeof(kept))
    if back:
        for i in range(n & -MAP_STEP):
            see(&seen, b, i)
            p, q, w = a[i], b[i], g[i]
            out[i] = w * f(q, kept)
            second[i] = w * (p * d1(q, kept))
    else:
        for i in range(n & -MAP_STEP):
            see(&seen, b, i)
            out[i] = a[i] * f(b[i], kept)
    seen_all(seen.quarters | seen.quarters_of_double)
