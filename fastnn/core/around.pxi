"""What is done to gradients before a rule sees them, on a block that lies in the first cache: scaling and clipping,
decay that is part of the loss, and factors and means of whole units.

Each is called only where it is asked for: 0 times infinity would poison. rules.pxi includes this file.
"""
from fastnn.core.vecmath cimport at_least, at_most


cdef void scaled(const real *g, real *out, Py_ssize_t n, real scale, real most) noexcept nogil:
    """out = scale g, clipped to [-most, most] where that is positive."""
    cdef Py_ssize_t i
    if most > <real>0:
        for i in range(n):
            out[i] = at_most(at_least(scale * g[i], -most), most)
    else:
        for i in range(n):
            out[i] = scale * g[i]


cdef void decayed(const real *p, real *out, Py_ssize_t n, real l2, real l1) noexcept nogil:
    """out += l2 p + l1 sign(p)."""
    cdef Py_ssize_t i
    if l2 != <real>0:
        for i in range(n):
            out[i] = out[i] + l2 * p[i]
    if l1 != <real>0:
        for i in range(n):
            out[i] = out[i] + (l1 if p[i] > <real>0 else (-l1 if p[i] < <real>0 else <real>0))


cdef void unit_scaled(const double *factor, bint same, real *out, Py_ssize_t n) noexcept nogil:
    """out *= factor, that of each element or one for all."""
    cdef Py_ssize_t i
    cdef real one = <real>factor[0]
    if same:
        for i in range(n):
            out[i] = out[i] * one
    else:
        for i in range(n):
            out[i] = out[i] * <real>factor[i]


cdef void unit_shifted(const double *mean, bint same, real *out, Py_ssize_t n) noexcept nogil:
    """out -= mean."""
    cdef Py_ssize_t i
    cdef real one = <real>mean[0]
    if same:
        for i in range(n):
            out[i] = out[i] - one
    else:
        for i in range(n):
            out[i] = out[i] - <real>mean[i]


# addresses for float and for double, in the order of Around's functions in passes.pxd
AROUND = {
    "scaled": (<uintptr_t>scaled[float], <uintptr_t>scaled[double]),
    "decayed": (<uintptr_t>decayed[float], <uintptr_t>decayed[double]),
    "unit_scaled": (<uintptr_t>unit_scaled[float], <uintptr_t>unit_scaled[double]),
    "unit_shifted": (<uintptr_t>unit_shifted[float], <uintptr_t>unit_shifted[double]),
}
