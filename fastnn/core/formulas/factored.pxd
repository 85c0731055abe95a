# cython: cdivision=True
"""What rules that keep sums of rows and columns do to a parameter of less than two axes."""
from fastnn.core.formulas.quotient cimport ratio
from fastnn.core.vecmath cimport real, square_root


cdef inline real adafactor(real g, real *v, real one_minus_beta2, real eps1) noexcept nogil:
    v[0] = v[0] + one_minus_beta2 * (g * g + eps1 - v[0])
    return ratio(g, square_root(v[0]))
