# cython: cdivision=True
"""Every kernel of two operands, one line each, as a C function over contiguous blocks, and their addresses.

`_pairs_<level>.pyx` includes this file once per instruction-set level. The signatures are those of pair_kernels.pxd.
"""
from libc.stdint cimport uintptr_t

from fastnn.core cimport gated, learnable, piecewise, sigmoidal
from fastnn.core.loops cimport MAP_STEP
from fastnn.core.pair_kernels cimport map_gate, map_pairs
from fastnn.core.vecmath cimport real


cdef inline real unit_slope(real x, const real *h) noexcept nogil:
    return <real>1


# Gated units: a times an activation of b.

cdef void glu(bint back, const real *a, const real *b, const real *g, real *out, real *second, Py_ssize_t n,
              const real *h) noexcept nogil:
    map_gate(sigmoidal.sigmoid[real], sigmoidal.sigmoid_d1[real], back, a, b, g, out, second, n, h)

cdef void reglu(bint back, const real *a, const real *b, const real *g, real *out, real *second, Py_ssize_t n,
                const real *h) noexcept nogil:
    map_gate(piecewise.relu[real], piecewise.step[real], back, a, b, g, out, second, n, h)

cdef void geglu(bint back, const real *a, const real *b, const real *g, real *out, real *second, Py_ssize_t n,
                const real *h) noexcept nogil:
    map_gate(gated.gelu[real], gated.gelu_d1[real], back, a, b, g, out, second, n, h)

cdef void swiglu(bint back, const real *a, const real *b, const real *g, real *out, real *second, Py_ssize_t n,
                 const real *h) noexcept nogil:
    map_gate(gated.swish[real], gated.swish_d1[real], back, a, b, g, out, second, n, h)

cdef void bilinear(bint back, const real *a, const real *b, const real *g, real *out, real *second, Py_ssize_t n,
                   const real *h) noexcept nogil:
    map_gate(piecewise.identity[real], unit_slope[real], back, a, b, g, out, second, n, h)


# Activations of a and a parameter b.

cdef void prelu(bint back, const real *a, const real *b, const real *g, real *out, real *second, Py_ssize_t n,
                const real *h) noexcept nogil:
    map_pairs(learnable.prelu[real], learnable.prelu_slope[real], learnable.prelu_in_alpha[real], back, a, b, g, out,
              second, n)


STEP = MAP_STEP

# name: (address for float, address for double)
PAIRS = {
    "glu": (<uintptr_t>glu[float], <uintptr_t>glu[double]),
    "reglu": (<uintptr_t>reglu[float], <uintptr_t>reglu[double]),
    "geglu": (<uintptr_t>geglu[float], <uintptr_t>geglu[double]),
    "swiglu": (<uintptr_t>swiglu[float], <uintptr_t>swiglu[double]),
    "bilinear": (<uintptr_t>bilinear[float], <uintptr_t>bilinear[double]),
    "prelu": (<uintptr_t>prelu[float], <uintptr_t>prelu[double]),
}
