"""Memory for results: from NumPy where they are small, recycled where they are large."""
cimport numpy as cnp

cdef enum:
    LARGE = 1 << 22         # bytes

cdef object recycled(cnp.ndarray a, cnp.dtype dtype, bint fortran)

# an array of a's shape and of `dtype`, in a's memory order
cdef cnp.ndarray new_like(cnp.ndarray a, cnp.dtype dtype)


# a's numbers in `out`, which is checked, or in a new array that lies as a does; without axes a scalar
cdef object copy_of(cnp.ndarray a, object out)


cdef inline cnp.ndarray new_result(cnp.ndarray a, int kind, bint fortran):
    """A new array of a's shape and the type `kind`, in C or Fortran order."""
    if cnp.PyArray_SIZE(a) < LARGE // 8:
        return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), kind, fortran)
    return recycled(a, cnp.PyArray_DescrFromType(kind), fortran)
