# cython: cdivision=True
"""The generic loops over formulas. Each takes a scalar formula as an argument and is inlined around it, so every kernel
is one line.

The number of elements is a multiple of BLOCK_STEP: the engine pads the last ones. There is then no scalar remainder,
and an element gets the same bits wherever it stands.
"""
from libc.string cimport memcpy, memset

from fastnn.core.kernels cimport FIRST, SECOND, VALUE
from fastnn.core.vecmath cimport real

ctypedef real (*formula)(real x, const real *h) noexcept nogil
ctypedef real (*pair_formula)(real x, real y) noexcept nogil

cdef enum:
    BLOCK_STEP = 16


cdef inline const real *padded(const real *x, real *room, Py_ssize_t n) noexcept nogil:
    """x, or its n elements followed by zeros up to the next multiple of BLOCK_STEP."""
    if x == NULL or n % BLOCK_STEP == 0:
        return x
    memcpy(room, x, n * sizeof(real))
    memset(room + n, 0, (BLOCK_STEP - n % BLOCK_STEP) * sizeof(real))
    return room


cdef inline void map_one(formula f, const real *x, real *out, Py_ssize_t n, const real *h) noexcept nogil:
    cdef Py_ssize_t i
    cdef real kept[2]                       # in registers: h might overlap out, for all the compiler knows
    kept[0] = h[0]
    kept[1] = h[1]
    for i in range(n & -BLOCK_STEP):
        out[i] = f(x[i], kept)


cdef inline void map_product(formula f, const real *x, const real *y, real *out, Py_ssize_t n,
                             const real *h) noexcept nogil:
    cdef Py_ssize_t i
    cdef real kept[2]
    kept[0] = h[0]
    kept[1] = h[1]
    for i in range(n & -BLOCK_STEP):
        out[i] = f(x[i], kept) * y[i]


cdef inline void map_orders(formula f, formula d1, formula d2, int order,
                            const real *x, const real *y, real *out, Py_ssize_t n, const real *h) noexcept nogil:
    """f, f', f'' or f' y by `order`."""
    if order == VALUE:
        map_one(f, x, out, n, h)
    elif order == FIRST:
        map_one(d1, x, out, n, h)
    elif order == SECOND:
        map_one(d2, x, out, n, h)
    else:
        map_product(d1, x, y, out, n, h)


cdef inline void map_pair(pair_formula f, const real *x, const real *y, real *out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n & -BLOCK_STEP):
        out[i] = f(x[i], y[i])


cdef inline void map_pair_orders(pair_formula f, pair_formula d1, int order,
                                 const real *x, const real *y, real *out, Py_ssize_t n) noexcept nogil:
    if order == VALUE:
        map_pair(f, x, y, out, n)
    else:
        map_pair(d1, x, y, out, n)
