"""Sums of doubles in their order that keep what roundings lose (Neumaier 1974)."""
from fastnn.core.vecmath cimport absolute

cdef struct Compensated:
    double total
    double lost


cdef inline void add_all(Compensated *to, const double *a, Py_ssize_t n) noexcept nogil:
    cdef double total = to.total
    cdef double lost = to.lost
    cdef double s
    cdef Py_ssize_t i
    for i in range(n):
        s = total + a[i]
        lost += (total - s) + a[i] if absolute(total) >= absolute(a[i]) else (a[i] - s) + total
        total = s
    to.total, to.lost = total, lost


cdef inline double value_of(const Compensated *sum_) noexcept nogil:
    """lost is NaN where the sum is infinite."""
    return sum_.total + sum_.lost if sum_.lost == sum_.lost else sum_.total


cdef inline double sum_of(const double *a, Py_ssize_t n) noexcept nogil:
    cdef Compensated sum_ = Compensated(0, 0)
    add_all(&sum_, a, n)
    return value_of(&sum_)
