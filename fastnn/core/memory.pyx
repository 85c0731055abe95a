"""Memory for results: from NumPy where they are small, recycled where they are large (recycling.h says how)."""
import numpy as np

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uintptr_t

from fastnn.core.arrays cimport checked_out, fill

cnp.import_array()

cdef extern from "recycling.h":
    enum: FASTNN_RECYCLES
    ctypedef struct fastnn_block:
        void *memory
        size_t size
    fastnn_block fastnn_memory_get(size_t size) noexcept nogil
    void fastnn_memory_give(fastnn_block block) noexcept nogil
    size_t fastnn_memory_trim() noexcept nogil
    void fastnn_memory_prepare()

cdef extern from "numpy/arrayobject.h":
    PyTypeObject PyArray_Type
    object PyArray_NewFromDescr(PyTypeObject *type, cnp.PyArray_Descr *dtype, int ndim, cnp.npy_intp *shape,
                                cnp.npy_intp *strides, void *data, int flags, PyObject *prototype)
    cnp.ndarray PyArray_NewLikeArray(cnp.ndarray prototype, cnp.NPY_ORDER order, cnp.PyArray_Descr *dtype, int subok)

cdef extern from *:
    """
    #ifdef PYPY_VERSION
      #define fastnn_trace(memory, size) ((void)0)
      #define fastnn_untrace(memory) ((void)0)
    #else
      #define FASTNN_NUMPY_TRACE_DOMAIN 389047      /* tracemalloc counts our results among NumPy's */
      #define fastnn_trace(memory, size) \
          ((void)PyTraceMalloc_Track(FASTNN_NUMPY_TRACE_DOMAIN, (uintptr_t)(memory), size))
      #define fastnn_untrace(memory) ((void)PyTraceMalloc_Untrack(FASTNN_NUMPY_TRACE_DOMAIN, (uintptr_t)(memory)))
    #endif
    """
    void fastnn_trace(void *memory, size_t size)
    void fastnn_untrace(void *memory)

cdef enum:
    LARGEST = 1 << 28       # bytes; what could not lie idle afterwards is NumPy's affair


@cython.final
@cython.no_gc
cdef class Block:
    """The base of a large result: its memory is recycled when the last array that looks at it has died."""

    cdef fastnn_block block

    def __dealloc__(self):
        if self.block.memory != NULL:
            fastnn_untrace(self.block.memory)
            fastnn_memory_give(self.block)


cdef object recycled(cnp.ndarray a, cnp.dtype dtype, bint fortran):
    """A new array of a's shape, in C or Fortran order."""
    cdef size_t itemsize = cnp.PyDataType_ELSIZE(dtype)
    cdef size_t size = <size_t>cnp.PyArray_SIZE(a)
    cdef Block owner
    cdef cnp.ndarray result
    if FASTNN_RECYCLES and LARGE <= size * itemsize and size <= LARGEST // itemsize:
        owner = Block.__new__(Block)
        owner.block = fastnn_memory_get(size * itemsize)
        if owner.block.memory != NULL:
            fastnn_trace(owner.block.memory, owner.block.size)
            Py_INCREF(dtype)                        # the call steals it
            result = PyArray_NewFromDescr(
                &PyArray_Type, <cnp.PyArray_Descr *>dtype, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), NULL,
                owner.block.memory, cnp.NPY_ARRAY_FARRAY if fortran else cnp.NPY_ARRAY_CARRAY, NULL)
            cnp.set_array_base(result, owner)
            return result
    return np.empty((<object>a).shape, dtype, "F" if fortran else "C")      # or NumPy's MemoryError


cdef cnp.ndarray new_like(cnp.ndarray a, cnp.dtype dtype):
    if <size_t>cnp.PyArray_SIZE(a) < LARGE // <size_t>cnp.PyDataType_ELSIZE(dtype):
        Py_INCREF(dtype)                            # the call steals it
        return PyArray_NewLikeArray(a, cnp.NPY_KEEPORDER, <cnp.PyArray_Descr *>dtype, False)
    if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS):
        return recycled(a, dtype, False)
    if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_F_CONTIGUOUS):
        return recycled(a, dtype, True)
    # in NumPy's order "K": the axes by their steps
    order = np.argsort([-abs(step) for step in (<object>a).strides], kind="stable")
    return recycled((<object>a).transpose(order), dtype, False).transpose(np.argsort(order))


cdef object copy_of(cnp.ndarray a, object out):
    cdef cnp.ndarray copy
    if out is not None:
        fill(checked_out(out, a, a.dtype, "out"), a)
        return out
    copy = new_like(a, a.dtype)
    fill(copy, a)
    return copy if cnp.PyArray_NDIM(a) else (<object>copy)[()]


def trim_memory():
    """Give memory that was kept for further large results back to the operating system; the number of bytes.

    Results of 4 MB and more take their memory from blocks whose arrays have died: at most 4 blocks, at most 256 MB
    together, lie idle. Arrays in use keep theirs. Where memory is not recycled (Windows) there is nothing to give back.
    """
    return fastnn_memory_trim()


fastnn_memory_prepare()
