"""What a call accepts: dtypes, second operands and results, the same rules for every kernel."""
import sys

import numpy as np
from numpy.exceptions import TooHardError

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals

cnp.import_array()

cdef enum:
    MOST_WORK = 100000      # candidates that NumPy tries: to tell may take exponentially many
    PIECE = 1 << 22         # elements that NumPy copies before a signal is looked for: 30 ms if they lie badly


cdef bint is_bfloat16(dtype) except -1:
    """Whether ml_dtypes' bfloat16 is meant, without importing ml_dtypes."""
    module = sys.modules.get("ml_dtypes")
    return module is not None and dtype == module.bfloat16


cdef object result_dtype(cnp.ndarray x):
    """float32 and float64 stay, half precision stays, bool and integers become float64."""
    dtype = x.dtype
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


cdef cnp.ndarray checked_out(out, cnp.ndarray x, dtype, str name):
    """`out`, of a subclass the array underneath: what that says of itself is not to be relied on."""
    if not cnp.PyArray_Check(out):
        raise TypeError(f"{name} must be a NumPy array, not {type(out).__name__}")
    cdef cnp.ndarray a = np.asarray(out)
    if a.dtype.newbyteorder("=") != dtype:
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
    cdef cnp.ndarray a = np.asarray(value)
    result_dtype(a)
    if (<object>a).shape != (<object>x).shape:
        try:
            a = np.broadcast_to(a, (<object>x).shape)
        except ValueError:
            raise ValueError(f"{name} must have shape {(<object>x).shape}, not {(<object>a).shape}") from None
    return a


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
