# cython: cdivision=True
"""Steps by the sign of a gradient or of its average."""
from fastnn.core.vecmath cimport real


cdef inline real lion(real g, real *m, real one_minus_beta1, real one_minus_beta2, real lr) noexcept nogil:
    cdef real ahead = m[0] + one_minus_beta1 * (g - m[0])
    m[0] = m[0] + one_minus_beta2 * (g - m[0])
    return -lr * (<real>1 if ahead > <real>0 else <real>-1 if ahead < <real>0 else ahead)     # NaN and 0 stay
