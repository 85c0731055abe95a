"""Where arrays lie in memory, and whether they overlap."""
cimport numpy as cnp

cdef struct Span:
    # memory from low to high of the parameter at `index`; sorted by low
    const char *low
    const char *high
    const char *reach       # the furthest that this one or any before it goes
    Py_ssize_t index

# the memory from a's first byte to its last
cdef Span span_of(cnp.ndarray a, Py_ssize_t index) noexcept

# of two spans, for qsort
cdef int by_address(const void *a, const void *b) noexcept nogil

# whether two elements of a strided array share memory
cdef bint overlaps_itself(cnp.ndarray a)

# whether a gradient lies in no parameter's memory: rules read it while they write the parameters
cdef bint clear_of(const Span *spans, Py_ssize_t count, cnp.ndarray grad) noexcept
