# cython: cdivision=True
"""Steps by the sign of a gradient or of its average."""
from fastnn.core.vecmath cimport at_least, at_most, real


cdef inline real sign(real x) noexcept nogil:
    return <real>1 if x > <real>0 else <real>-1 if x < <real>0 else x       # NaN and 0 stay


cdef inline real sign_sgd(real g, real lr) noexcept nogil:
    return -lr * sign(g)


cdef inline real lion(real g, real *m, real one_minus_beta1, real one_minus_beta2, real lr) noexcept nogil:
    cdef real ahead = m[0] + one_minus_beta1 * (g - m[0])
    m[0] = m[0] + one_minus_beta2 * (g - m[0])
    return -lr * sign(ahead)


# By signs, not by g times the last g, which may vanish or overflow. A size of 0 has not begun.

cdef inline real rprop(real g, real *last, real *size, real lr, real eta_minus, real eta_plus, real smallest,
                       real largest) noexcept nogil:
    cdef real now = sign(g)
    cdef real turn = now * last[0]
    cdef real factor = eta_plus if turn > <real>0 else eta_minus if turn < <real>0 else <real>1
    cdef real before = lr if size[0] == <real>0 else size[0]
    size[0] = at_most(at_least(before * factor, smallest), largest)
    last[0] = <real>0 if turn < <real>0 else now
    return -size[0] * last[0]
