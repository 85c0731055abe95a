"""Norms of tensors and of their units, and means of units: the same bits on any number of threads, at any level.

All of it reads only. The caller has the interpreter; it is released for as long as the work is large. MemoryError is
raised where there is no room for the sums.
"""
cimport numpy as cnp

from fastnn.core.arrays cimport Kind

cdef struct Numbers:
    # contiguous
    const char *data
    Py_ssize_t n
    Kind kind

cdef struct Units:
    # numbers in the order of memory, seen as an array (outer, units, inner): number i is of unit (i // inner) % units
    Py_ssize_t outer
    Py_ssize_t units
    Py_ssize_t inner

# Numbers start to start + n of what is to be summed, computed: double to `out` where the kind is DOUBLE, else float.
# n is at most BLOCK. Several threads call it at a time, with subnormals left as they are.
ctypedef void (*fill_numbers)(const void *context, Py_ssize_t start, Py_ssize_t n, void *out) noexcept nogil

# The units of an array in Fortran or C order whose elements with one index on `axis` belong together; axis from 0
cdef Units units_along(const cnp.npy_intp *dims, int ndim, int axis, bint fortran) noexcept nogil

# The Euclidean norm of each, and of all together; either may be NULL. Infinite where a number is or the norm is beyond
# double, NaN where a number is; neither overflows nor underflows on the way
cdef int norms_of(const Numbers *numbers, Py_ssize_t count, double *norms, double *total) except -1

# The norm of each unit, likewise
cdef int unit_norms(const Numbers *x, const Units *shape, double *norms) except -1

# The mean of each unit of x, or of what `fill` computes for x.n numbers of x.kind (x.data is not read, then).
# Sums are in double
cdef int unit_means(const Numbers *x, const Units *shape, fill_numbers fill, const void *context,
                    double *means) except -1

# Add rows of `width` sums into the first one, as a tree
cdef void fold(double *sums, Py_ssize_t rows, Py_ssize_t width) noexcept nogil
