"""What a call accepts: dtypes, layouts and results, the same rules for every kernel."""
cimport numpy as cnp

cdef enum Kind:
    # of numbers in memory; the halves count from FLOAT16
    OTHER = 0
    SINGLE
    DOUBLE
    FLOAT16
    BFLOAT16

# whether ml_dtypes' bfloat16 is meant, without importing ml_dtypes
cdef bint is_bfloat16(dtype) except -1
cdef Kind kind_of_half(cnp.ndarray a, int number) except? OTHER

# raises TypeError for a masked array, by itself or in lists and tuples
cdef void refuse_masked(object value, str name) except *
cpdef cnp.ndarray as_array(object value, str name)
cdef object result_dtype(cnp.ndarray x)
cdef cnp.ndarray checked_out(object out, cnp.ndarray x, object dtype, str name)
cdef list checked_pair(object out, cnp.ndarray x, object dtype)
# whether y, which is f(x), lies where x lay
cdef bint overwritten(object x, object y) except -1
cpdef bint share_memory(object a, object b) except -1
cdef cnp.ndarray operand(object value, cnp.ndarray x, str name)

# to[...] = source, of one shape, cast and without warnings; a signal's handler may end it by raising
cdef void fill(object to, object source) except *
# a in this dtype, native, aligned and row after row: itself, or a copy made by `fill`
cdef cnp.ndarray copied(cnp.ndarray a, object dtype)


cdef inline void must_be_bound(size_t kernel) except *:
    """An object whose constructor was skipped has no kernel."""
    if kernel == 0:
        raise TypeError("this object has not been initialised: its class must call super().__init__()")


cdef inline Kind kind_of(cnp.ndarray a) except? OTHER:
    cdef int number = cnp.PyArray_TYPE(a)
    if number == cnp.NPY_FLOAT:
        return SINGLE
    if number == cnp.NPY_DOUBLE:
        return DOUBLE
    return kind_of_half(a, number)


cdef inline bint alike(object other, cnp.ndarray a, int flags) noexcept:
    """An array, no subclass, of a's type and shape, in native byte order, with these flags."""
    if not cnp.PyArray_CheckExact(other):
        return False
    cdef cnp.ndarray b = <cnp.ndarray>other
    return (cnp.PyArray_TYPE(b) == cnp.PyArray_TYPE(a) and cnp.PyArray_CHKFLAGS(b, flags)
            and cnp.PyArray_ISNOTSWAPPED(b) and cnp.PyArray_SAMESHAPE(a, b))


cdef inline bint flat(cnp.ndarray a, int kind) noexcept:
    """a is of the type `kind`, aligned, in native byte order and without gaps."""
    return (cnp.PyArray_TYPE(a) == kind and cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_ALIGNED)
            and cnp.PyArray_ISNOTSWAPPED(a) and (cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS)
                 or cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_F_CONTIGUOUS)))


cdef inline bint contiguous(object a, int kind, int flags) noexcept:
    """a is an array, no subclass, of the type `kind`, aligned, native, row after row, and has these flags besides."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_TYPE(<cnp.ndarray>a) == kind
            and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>a)
            and cnp.PyArray_CHKFLAGS(<cnp.ndarray>a, flags | cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED))


cdef inline bint both(cnp.ndarray a, cnp.ndarray b, int flag) noexcept:
    return cnp.PyArray_CHKFLAGS(a, flag) and cnp.PyArray_CHKFLAGS(b, flag)


cdef inline bint same_order(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two gapless arrays of one shape list their elements in the same order in memory."""
    return both(a, b, cnp.NPY_ARRAY_C_CONTIGUOUS) or both(a, b, cnp.NPY_ARRAY_F_CONTIGUOUS)


cdef inline bint gapless(cnp.ndarray a) noexcept:
    return (cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS)
            or cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_F_CONTIGUOUS))


cdef inline bint apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two gapless arrays share no memory."""
    return (cnp.PyArray_BYTES(a) + cnp.PyArray_NBYTES(a) <= cnp.PyArray_BYTES(b)
            or cnp.PyArray_BYTES(b) + cnp.PyArray_NBYTES(b) <= cnp.PyArray_BYTES(a))


cdef inline bint partly_overlaps(cnp.ndarray out, cnp.ndarray other) noexcept:
    """Two gapless arrays of one size share memory, but not element by element."""
    cdef char *a = cnp.PyArray_BYTES(out)
    cdef char *b = cnp.PyArray_BYTES(other)
    return a != b and a < b + cnp.PyArray_NBYTES(other) and b < a + cnp.PyArray_NBYTES(out)
