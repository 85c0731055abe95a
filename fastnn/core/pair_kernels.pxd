# cython: cdivision=True
"""Kernels of two operands, f(a, b), and the generic loops over their formulas.

Forward: out = f(a, b). Back: out = g df/da and second = g df/db, in one pass. Blocks are contiguous and do not overlap, the
number of elements a multiple of MAP_STEP (fastnn/core/loops.pxd); h holds the hyperparameters.
"""
from fastnn.core.loops cimport MAP_STEP, Seen, formula, see, seen_all
from fastnn.core.vecmath cimport real

ctypedef void (*pair_float)(bint back, const float *a, const float *b, const float *g, float *out, float *second,
                            Py_ssize_t n, const float *h) noexcept nogil
ctypedef void (*pair_double)(bint back, const double *a, const double *b, const double *g, double *out, double *second,
                             Py_ssize_t n, const double *h) noexcept nogil

ctypedef real (*pair)(real a, real b) noexcept nogil

cdef enum:
    PAIR_PARAMETERS = 2


cdef inline void map_gate(formula f, formula d1, bint back, const real *a, const real *b, const real *g, real *out,
                          real *second, Py_ssize_t n, const real *h) noexcept nogil:
    """a f(b), f an activation."""
    cdef Py_ssize_t i
    cdef Seen seen = Seen(0, 0)
    cdef real p, q, w
    cdef real kept[PAIR_PARAMETERS]         # in registers: h might overlap out, for all the compiler knows
    kept[0] = h[0]
    kept[1] = h[1]
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


cdef inline void map_pairs(pair f, pair of_a, pair of_b, bint back, const real *a, const real *b, const real *g,
                           real *out, real *second, Py_ssize_t n) noexcept nogil:
    """f and its two derivatives."""
    cdef Py_ssize_t i
    cdef real p, q, w
    if back:
        for i in range(n & -MAP_STEP):
            p, q, w = a[i], b[i], g[i]
            out[i] = w * of_a(p, q)
            second[i] = w * of_b(p, q)
    else:
        for i in range(n & -MAP_STEP):
            out[i] = f(a[i], b[i])
