"""What a call accepts: dtypes, second operands and results, the same rules for every kernel."""
import sys

import numpy as np
from numpy.exceptions import TooHardError

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    enum: NPY_HALF
    enum: NPY_USERDEF
    PyTypeObject PyArray_Type
    object PyArray_NewFromDescr(PyTypeObject *type, cnp.PyArray_Descr *dtype, int ndim, cnp.npy_intp *shape,
                                cnp.npy_intp *strides, void *data, int flags, PyObject *prototype)
    void PyArray_UpdateFlags(cnp.ndarray a, int flags)

cdef enum:
    MOST_WORK = 100000      # candidates that NumPy tries: to tell may take exponentially many
    PIECE = 1 << 22         # elements that NumPy copies before a signal is looked for: 30 ms if they lie badly
    MOST_ITEMS = 1 << 24    # of lists in lists that are looked through for masks: a list in itself has no end,
    MOST_AXES = 64          # nor a bottom; NumPy goes down so far


OVERWRITTEN = ("y lies in the memory of x, which it has overwritten, and the derivative is computed from x: "
               "give forward another `out`, or backward a copy of x made before")


cdef bint is_bfloat16(dtype) except -1:
    """Whether ml_dtypes' bfloat16 is meant, without importing ml_dtypes."""
    module = sys.modules.get("ml_dtypes")
    return module is not None and dtype == module.bfloat16


cdef int bfloat16_number = -1       # NumPy's number for ml_dtypes' bfloat16, once an array of it has been seen


cdef Kind kind_of_half(cnp.ndarray a, int number) except? OTHER:
    global bfloat16_number
    if number == NPY_HALF:
        return FLOAT16
    if number >= NPY_USERDEF and number != bfloat16_number and is_bfloat16(a.descr):
        bfloat16_number = number
    return BFLOAT16 if number == bfloat16_number else OTHER


cdef bint is_masked(object value, type masked, int depth, Py_ssize_t *left) except -1:
    """Whether value is a masked array, or a list or tuple with one in it."""
    if isinstance(value, masked):
        return True
    if depth < MOST_AXES and (type(value) is list or type(value) is tuple):
        left[0] -= len(value)
        if left[0] < 0:
            return False
        for item in value:
            if type(item) is not float and type(item) is not int and is_masked(item, masked, depth + 1, left):
                return True
    return False


cdef void refuse_masked(object value, str name) except *:
    cdef Py_ssize_t left = MOST_ITEMS
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)      # while it is None there is none
    if masked is not None and is_masked(value, masked, 0, &left):
        raise TypeError(f"{name} has a mask (numpy.ma), and fastnn works on all numbers alike: "
                        "choose them first, by filled(value) or compressed()")


cpdef cnp.ndarray as_array(object value, str name):
    """What `np.asarray` makes of value, by position, whatever the value's own [] means.

    Raises TypeError for masked arrays, in lists and tuples, too: NumPy drops masks in silence. What other subclasses of
    ndarray add is not looked at.
    """
    if cnp.PyArray_CheckExact(value):
        return <cnp.ndarray>value
    refuse_masked(value, name)
    return np.asarray(value)


cdef object result_dtype(cnp.ndarray x):
    """float32 and float64 stay, half precision stays, bool and integers become float64."""
    dtype = x.dtype
    if (cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT or cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE) and cnp.PyArray_ISNOTSWAPPED(x):
        return dtype
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return dtype.newbyteorder("=")
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if is_bfloat16(dtype):
        return dtype
    raise TypeError(f"fastnn works on real numbers up to float64, not on {dtype}")


cpdef bint share_memory(object a, object b) except -1:
    """Whether two arrays share memory; True, too, where it would take very long to tell."""
    try:
        return np.shares_memory(np.asarray(a), np.asarray(b), max_work=MOST_WORK)
    except TooHardError:
        return True


cdef bint overwritten(object x, object y) except -1:
    if not (cnp.PyArray_Check(x) and cnp.PyArray_Check(y)):
        return False
    cdef cnp.ndarray a = <cnp.ndarray>x
    cdef cnp.ndarray b = <cnp.ndarray>y
    if cnp.PyArray_SIZE(a) == 0 or cnp.PyArray_SIZE(b) == 0:
        return False
    if a is b:
        return True
    return not apart(a, b) if gapless(a) and gapless(b) else share_memory(a, b)


cdef cnp.ndarray checked_out(out, cnp.ndarray x, dtype, str name):
    """`out`, of a subclass the array underneath: what that says of itself is not to be relied on."""
    if not cnp.PyArray_Check(out):
        raise TypeError(f"{name} must be a NumPy array, not {type(out).__name__}")
    cdef cnp.ndarray a = as_array(out, name)
    if a.dtype is not dtype and a.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must have dtype {dtype}, not {a.dtype}")
    if not cnp.PyArray_SAMESHAPE(a, x):
        raise ValueError(f"{name} must have shape {(<object>x).shape}, not {(<object>a).shape}")
    if not cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_WRITEABLE):
        raise ValueError(f"{name} is read-only")
    return a


cdef list checked_pair(object out, cnp.ndarray x, object dtype):
    """The two results of `value_and_grad`."""
    if not isinstance(out, tuple) or len(<tuple>out) != 2:
        raise TypeError("out must be a pair of arrays")
    cdef list pair = [checked_out((<tuple>out)[0], x, dtype, "out[0]"), checked_out((<tuple>out)[1], x, dtype, "out[1]")]
    if share_memory(pair[0], pair[1]):
        raise ValueError("the two arrays of out must not share memory")
    return pair


cdef cnp.ndarray operand(value, cnp.ndarray x, str name):
    """A second operand, broadcast to x's shape, of a dtype that can be cast to x's."""
    cdef cnp.ndarray a = as_array(value, name)
    result_dtype(a)
    return a if cnp.PyArray_SAMESHAPE(a, x) else broadcast(a, x, name)


cdef cnp.ndarray broadcast(cnp.ndarray a, cnp.ndarray x, str name):
    """A read-only view of a with x's shape: axes are put in front, and those of length 1 repeated."""
    cdef cnp.npy_intp[MOST_AXES] steps
    cdef int new = cnp.PyArray_NDIM(x) - cnp.PyArray_NDIM(a)
    cdef int i
    cdef bint fits = new >= 0
    cdef cnp.ndarray view
    for i in range(cnp.PyArray_NDIM(a) if fits else 0):
        steps[new + i] = cnp.PyArray_STRIDE(a, i)
        if cnp.PyArray_DIM(a, i) != cnp.PyArray_DIM(x, new + i):
            steps[new + i] = 0
            fits = fits and cnp.PyArray_DIM(a, i) == 1
    if not fits:
        raise ValueError(f"{name} must have shape {(<object>x).shape}, not {(<object>a).shape}")
    for i in range(new):
        steps[i] = 0
    Py_INCREF(a.dtype)                                  # the call steals it
    view = PyArray_NewFromDescr(&PyArray_Type, cnp.PyArray_DESCR(a), cnp.PyArray_NDIM(x),
                                cnp.PyArray_DIMS(x), steps, cnp.PyArray_BYTES(a), 0, NULL)
    cnp.set_array_base(view, a)
    PyArray_UpdateFlags(view, cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_F_CONTIGUOUS)
    return view


cdef int fill_pieces(cnp.ndarray to, cnp.ndarray source) except -1:
    PyErr_CheckSignals()
    if cnp.PyArray_SIZE(to) <= PIECE:
        return cnp.PyArray_CopyInto(to, source)
    shape = (<object>to).shape
    axis = shape.index(max(shape))
    for half in (slice(None, shape[axis] // 2), slice(shape[axis] // 2, None)):
        piece = (slice(None),) * axis + (half,)
        fill_pieces((<object>to)[piece], (<object>source)[piece])
    return 0


cdef void fill(object to, object source) except *:
    with np.errstate(all="ignore"):
        fill_pieces(np.asarray(to), np.asarray(source))


cdef cnp.ndarray copied(cnp.ndarray a, object dtype):
    cdef cnp.ndarray copy
    if a.dtype == dtype and cnp.PyArray_ISNOTSWAPPED(a) and cnp.PyArray_CHKFLAGS(
            a, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED):
        return a
    copy = np.empty((<object>a).shape, dtype)
    fill(copy, a)
    return copy
