# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Rows of a matrix copied into another one, by threads: what `take` does alone."""
cimport numpy as cnp
from libc.string cimport memcpy

from fastnn.core.arrays cimport apart, contiguous
from fastnn.core.threads cimport share_watched, threads_for

cnp.import_array()

cdef enum:
    WITH_GIL = 1 << 14      # below this many bytes, letting go of the interpreter costs more than it gives

cdef struct Work:
    const char *source
    const cnp.npy_intp *rows
    char *out
    Py_ssize_t nbytes       # of a row


cdef void run(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef Py_ssize_t i
    for i in range(start, stop):
        memcpy(work.out + i * work.nbytes, work.source + work.rows[i] * work.nbytes, work.nbytes)


def gather(cnp.ndarray a not None, cnp.ndarray rows not None, cnp.ndarray out not None):
    """a[rows] in `out`, which is returned: of a's dtype, apart from it, of shape (len(rows), columns).

    All are contiguous; rows are of dtype intp. Raises ValueError for anything else, IndexError for a row that is not there.
    """
    cdef Work work
    cdef Py_ssize_t i, n
    cdef cnp.npy_intp most
    cdef bint there = True
    cdef int threads
    cdef int kind = cnp.PyArray_TYPE(a)
    if not (kind in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE) and contiguous(a, kind, 0)
            and contiguous(out, kind, cnp.NPY_ARRAY_WRITEABLE) and contiguous(rows, cnp.NPY_INTP, 0)
            and cnp.PyArray_NDIM(a) == cnp.PyArray_NDIM(out) == 2 and cnp.PyArray_NDIM(rows) == 1
            and cnp.PyArray_DIM(out, 0) == cnp.PyArray_DIM(rows, 0) and cnp.PyArray_DIM(out, 1) == cnp.PyArray_DIM(a, 1)
            and apart(out, a) and apart(out, rows)):
        raise ValueError("gather takes a contiguous matrix of float32 or float64, indices of dtype intp, and out apart from "
                         "them, of the matrix's dtype and columns and a row for each index")
    n, most = cnp.PyArray_DIM(rows, 0), cnp.PyArray_DIM(a, 0)
    work.source, work.out = cnp.PyArray_BYTES(a), cnp.PyArray_BYTES(out)
    work.rows = <const cnp.npy_intp *>cnp.PyArray_DATA(rows)
    work.nbytes = cnp.PyArray_DIM(a, 1) * cnp.PyArray_ITEMSIZE(a)
    for i in range(n):
        there = there and 0 <= work.rows[i] < most
    if not there:
        raise IndexError(f"rows must lie in 0..{most - 1}, found {rows.min()}..{rows.max()}")
    if n * work.nbytes < WITH_GIL:
        run(&work, 0, n)
        return out
    threads = threads_for(cnp.PyArray_SIZE(out))
    with nogil:
        share_watched(run, &work, n, 8, threads, n * work.nbytes // 8)
    return out
