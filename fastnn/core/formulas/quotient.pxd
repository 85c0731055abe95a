# cython: cdivision=True
"""What rules that divide by a root share."""
from fastnn.core.vecmath cimport real


cdef inline real ratio(real numerator, real denominator) noexcept nogil:
    """The quotient; 0 over a vanished root, so that a gradient of zero (or whose square is) gives a zero delta."""
    return <real>0 if denominator == <real>0 else numerator / denominator
