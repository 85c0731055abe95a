# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Where arrays lie in memory, and whether they overlap."""
import numpy as np

cimport numpy as cnp

cnp.import_array()


cdef int by_address(const void *a, const void *b) noexcept nogil:
    cdef const char *low = (<const Span *>a).low
    cdef const char *other = (<const Span *>b).low
    return -1 if low < other else low > other


cdef Span span_of(cnp.ndarray a, Py_ssize_t index) noexcept:
    """The memory from a's first byte to its last."""
    cdef Span span
    cdef int axis
    cdef Py_ssize_t reach
    span.low = span.reach = cnp.PyArray_BYTES(a)
    span.index = index
    if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS) or cnp.PyArray_SIZE(a) == 0:
        span.high = span.low + cnp.PyArray_NBYTES(a)
        return span
    span.high = span.low
    for axis in range(cnp.PyArray_NDIM(a)):
        reach = (cnp.PyArray_DIM(a, axis) - 1) * cnp.PyArray_STRIDE(a, axis)
        if reach < 0:
            span.low += reach
        else:
            span.high += reach
    span.high += cnp.PyArray_ITEMSIZE(a)
    return span


cdef bint overlaps_itself(cnp.ndarray a):
    """Whether two elements of a strided array share memory."""
    if cnp.PyArray_SIZE(a) < 2:
        return False
    plain = np.asarray(a)               # whatever a subclass says of itself
    extent = [(abs(stride), n) for n, stride in zip(plain.shape, plain.strides) if n > 1]
    reach = plain.itemsize
    for stride, n in sorted(extent):
        if stride < reach:
            break
        reach += stride * (n - 1)
    else:
        return False                    # each axis steps over all that the smaller ones reach
    offsets = np.zeros((), np.intp)
    for stride, n in extent:
        offsets = np.add.outer(offsets, np.arange(n) * stride)
    return stride_gap(np.sort(offsets, axis=None)) < plain.itemsize


cdef object stride_gap(object offsets):
    """The smallest distance between neighbours."""
    return np.diff(offsets).min(initial=np.iinfo(np.intp).max)


cdef bint clear_of(const Span *spans, Py_ssize_t count, cnp.ndarray grad) noexcept:
    """Whether a gradient lies in no parameter's memory: rules read it while they write the parameters."""
    cdef Span span = span_of(grad, -1)
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t last = count
    cdef Py_ssize_t middle
    while first < last:                         # find the first parameter that begins behind the gradient
        middle = (first + last) // 2
        if spans[middle].low < span.high:
            first = middle + 1
        else:
            last = middle
    while first > 0 and spans[first - 1].reach > span.low:
        first -= 1
        if spans[first].high > span.low:
            return False
    return True
