# cython: cdivision=True
"""The generic loops over optimizer rules, by the number of state slots. A rule is inlined into them as in loops.pxd.

With `add` the deltas are added to the target, else written there. Rules are compiled without contraction to fused
multiply-adds, so that both ways, and all instruction-set levels, give the same bits.
"""
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.vecmath cimport real

ctypedef real (*rule0)(real g, const real *c) noexcept nogil
ctypedef real (*rule1)(real g, real *a, const real *c) noexcept nogil
ctypedef real (*rule2)(real g, real *a, real *b, const real *c) noexcept nogil
ctypedef real (*rule3)(real g, real *a, real *b, real *d, const real *c) noexcept nogil
ctypedef real (*rule5)(real g, real *a, real *b, real *d, real *e, real *f, const real *c) noexcept nogil


cdef inline void step0(rule0 f, const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                       bint add) noexcept nogil:
    cdef Py_ssize_t i
    if add:
        for i in range(n & -BLOCK_STEP):
            target[i] += f(g[i], c)
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = f(g[i], c)


cdef inline void step1(rule1 f, const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                       bint add) noexcept nogil:
    cdef Py_ssize_t i
    cdef real *s0 = s[0]
    if add:
        for i in range(n & -BLOCK_STEP):
            target[i] += f(g[i], s0 + i, c)
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = f(g[i], s0 + i, c)


cdef inline void step2(rule2 f, const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                       bint add) noexcept nogil:
    cdef Py_ssize_t i
    cdef real *s0 = s[0]
    cdef real *s1 = s[1]
    if add:
        for i in range(n & -BLOCK_STEP):
            target[i] += f(g[i], s0 + i, s1 + i, c)
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = f(g[i], s0 + i, s1 + i, c)


cdef inline void step3(rule3 f, const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                       bint add) noexcept nogil:
    cdef Py_ssize_t i
    cdef real *s0 = s[0]
    cdef real *s1 = s[1]
    cdef real *s2 = s[2]
    if add:
        for i in range(n & -BLOCK_STEP):
            target[i] += f(g[i], s0 + i, s1 + i, s2 + i, c)
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = f(g[i], s0 + i, s1 + i, s2 + i, c)


cdef inline void step5(rule5 f, const real *g, real *const *s, real *target, Py_ssize_t n, const real *c,
                       bint add) noexcept nogil:
    cdef Py_ssize_t i
    cdef real *s0 = s[0]
    cdef real *s1 = s[1]
    cdef real *s2 = s[2]
    cdef real *s3 = s[3]
    cdef real *s4 = s[4]
    if add:
        for i in range(n & -BLOCK_STEP):
            target[i] += f(g[i], s0 + i, s1 + i, s2 + i, s3 + i, s4 + i, c)
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = f(g[i], s0 + i, s1 + i, s2 + i, s3 + i, s4 + i, c)
