# cython: cdivision=True
"""The generic loops over optimizer rules, by the number of state slots. A rule is inlined into them as in loops.pxd.

With `add` the deltas are added to the target, else written there. Rules are compiled without contraction to fused
multiply-adds, so that both ways, and all instruction-set levels, give the same bits.

Around state that is stored in fewer bits (stored.h) the rule runs over a block of it in float32. These loops also find
the largest magnitude of each slot, as the bits of a float, while the processor waits for its divisions; what does not
need it drops it when all is inlined.
"""
from libc.stdint cimport int32_t, uint32_t

from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.stored cimport STORED_BLOCK, load_state, store_state
from fastnn.core.vecmath cimport real

cdef extern from "stored.h":
    int32_t fastnn_larger(int32_t largest, float x) noexcept nogil

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


cdef inline void largest1(float (*f)(float, float *, const float *) noexcept nogil, const float *g,
                          float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                          int32_t *largest) noexcept nogil:
    cdef Py_ssize_t i
    cdef float *s0 = s[0]
    cdef int32_t m0 = 0
    if add:
        for i in range(n & -BLOCK_STEP):
            target[i] += f(g[i], s0 + i, c)
            m0 = fastnn_larger(m0, s0[i])
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = f(g[i], s0 + i, c)
            m0 = fastnn_larger(m0, s0[i])
    largest[0] = m0


cdef inline void largest2(float (*f)(float, float *, float *, const float *) noexcept nogil, const float *g,
                          float *const *s, float *target, Py_ssize_t n, const float *c, bint add,
                          int32_t *largest) noexcept nogil:
    cdef Py_ssize_t i
    cdef float *s0 = s[0]
    cdef float *s1 = s[1]
    cdef int32_t m0 = 0
    cdef int32_t m1 = 0
    if add:
        for i in range(n & -BLOCK_STEP):
            target[i] += f(g[i], s0 + i, s1 + i, c)
            m0 = fastnn_larger(m0, s0[i])
            m1 = fastnn_larger(m1, s1[i])
    else:
        for i in range(n & -BLOCK_STEP):
            target[i] = f(g[i], s0 + i, s1 + i, c)
            m0 = fastnn_larger(m0, s0[i])
            m1 = fastnn_larger(m1, s1[i])
    largest[0] = m0
    largest[1] = m1


cdef inline int32_t largest_of(const float *x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t largest = 0
    for i in range(n & -BLOCK_STEP):
        largest = fastnn_larger(largest, x[i])
    return largest


cdef inline void stored1(float (*f)(float, float *, const float *) noexcept nogil, load_state load, store_state store,
                         const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                         const float *c, bint add, const uint32_t *random) noexcept nogil:
    cdef float[STORED_BLOCK] a
    cdef float *state[1]
    cdef int32_t largest[1]
    state[0] = a
    load(codes[0], scales[0], a, n)
    largest1(f, g, state, target, n, c, add, largest)
    store(a, codes[0], scales[0], n, random[0], largest[0])


cdef inline void stored2(float (*f)(float, float *, float *, const float *) noexcept nogil,
                         load_state load_a, store_state store_a, load_state load_b, store_state store_b,
                         const float *g, char *const *codes, float *const *scales, float *target, Py_ssize_t n,
                         const float *c, bint add, const uint32_t *random) noexcept nogil:
    cdef float[STORED_BLOCK] a
    cdef float[STORED_BLOCK] b
    cdef float *state[2]
    cdef int32_t largest[2]
    state[0] = a
    state[1] = b
    load_a(codes[0], scales[0], a, n)
    load_b(codes[1], scales[1], b, n)
    largest2(f, g, state, target, n, c, add, largest)
    store_a(a, codes[0], scales[0], n, random[0], largest[0])
    store_b(b, codes[1], scales[1], n, random[1], largest[1])
