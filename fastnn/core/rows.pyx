# cython: boundscheck=False, initializedcheck=False
# (with `binding`, off in tools/translation.py, a method that is called on an object of another class crashes)
"""How arrays are walked for row kernels: the softmax family along axes.

Arrays that lie contiguous in memory, by rows or by columns, are run through as they are, along any axis, and along
several that are neighbours of an array in C order; anything else from one contiguous copy, which the results are written
over. A row's elements are taken in C order and belong to one thread: results depend neither on the layout nor on the
number of threads.
"""
import math

import numpy as np
from numpy.exceptions import AxisError

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from fastnn.core.arrays import OVERWRITTEN

from fastnn.core.arrays cimport (alike, apart, as_array, checked_out, checked_pair, copied, fill, must_be_bound, operand,
                                 overwritten, result_dtype)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport (FIRST, FIRST_BY_VALUE, PRODUCT, PRODUCT_BY_VALUE, SECOND, VALUE, row_double,
                                  row_float)
from fastnn.core.memory cimport new_like, new_result
from fastnn.core.threads cimport share_cancellable, threads_for

cnp.import_array()

cdef enum:
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives
    TOGETHER = 32           # rows that a kernel takes at once where they are short or lie side by side
    SHORT = 32              # elements
    NARROW = 8              # rows side by side, at least, for which it is worth it not to copy
    MOST_CONSTANTS = 2      # of a kernel
    MOST_AXES = 64          # of NumPy's arrays


cdef object LAST = -1       # as an axis

cdef struct Work:
    # one call: which kernel over which rows
    uintptr_t kernel
    double constants[MOST_CONSTANTS]
    bint single
    int order
    Py_ssize_t length
    Py_ssize_t across       # rows that lie side by side, their elements so far apart; 1: one after another
    char *x
    char *grad
    char *out


cdef inline void call(const Work *work, Py_ssize_t at, Py_ssize_t count) noexcept nogil:
    """`count` rows, of which the first begins at that element."""
    if work.single:
        (<row_float>work.kernel)(work.order, <float *>work.x + at,
                                 <float *>work.grad + at if work.grad != NULL else NULL,
                                 <float *>work.out + at, work.length, work.across, count, work.constants)
    else:
        (<row_double>work.kernel)(work.order, <double *>work.x + at,
                                  <double *>work.grad + at if work.grad != NULL else NULL,
                                  <double *>work.out + at, work.length, work.across, count, work.constants)


cdef void run_rows(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t among, count
    if work.across == 1:
        call(work, start * work.length, stop - start)
    else:
        while start < stop:
            among = start % work.across
            count = min(work.across - among, stop - start)
            call(work, (start - among) * work.length + among, count)
            start += count
    fastnn_fp_leave(state)


cdef int run(const Work *work, Py_ssize_t rows) except -1:
    cdef Py_ssize_t elements = rows * work.length
    cdef Py_ssize_t grain = TOGETHER if work.across > 1 or work.length <= SHORT and rows > 4 * TOGETHER else 1
    cdef int threads
    if elements < WITH_GIL:
        run_rows(work, 0, rows)
        return 0
    threads = threads_for(elements * (1 if work.single else 2))
    with nogil:
        return share_cancellable(run_rows, work, rows, grain, threads, elements)


cdef inline int layout_of(cnp.ndarray a) noexcept:
    """How a lies in memory, if without gaps, as flags of NumPy; float32 and float64 alone, else 0."""
    if not ((cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT or cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE)
            and cnp.PyArray_ISNOTSWAPPED(a) and cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_ALIGNED)):
        return 0
    if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS):
        return cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED
    if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_F_CONTIGUOUS):
        return cnp.NPY_ARRAY_F_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED
    return 0


cdef inline bint in_place_or_apart(cnp.ndarray out, cnp.ndarray a) noexcept:
    return cnp.PyArray_BYTES(out) == cnp.PyArray_BYTES(a) or apart(out, a)


cdef inline bint may_hold(object out, cnp.ndarray a, object g, int order, int layout) noexcept:
    """Results may be written into `out` while a and g are read."""
    if not alike(out, a, layout | cnp.NPY_ARRAY_WRITEABLE) or not in_place_or_apart(<cnp.ndarray>out, a):
        return False
    return g is None or (in_place_or_apart(<cnp.ndarray>out, <cnp.ndarray>g) if order == PRODUCT_BY_VALUE
                         else apart(<cnp.ndarray>out, <cnp.ndarray>g))


cdef Py_ssize_t across_of(cnp.ndarray a, object along, int layout, Py_ssize_t *length) except -1:
    """How many rows of a, which lies so, lie side by side, each of that length; 0 where it has not these axes, they are
    no neighbours, or it does not pay."""
    cdef Py_ssize_t axis, last, i
    cdef Py_ssize_t across = 1
    cdef int ndim = cnp.PyArray_NDIM(a)
    cdef bint by_rows = layout & cnp.NPY_ARRAY_C_CONTIGUOUS != 0
    if along is LAST:
        axis = last = ndim - 1
    elif along is None:
        length[0] = cnp.PyArray_SIZE(a)
        return by_rows
    elif type(along) is tuple:
        axis = neighbours(a, <tuple>along, by_rows, &last)
    else:
        axis = along
        if axis < 0:
            axis += ndim
        last = axis
    if axis < 0 or last >= ndim:
        return 0
    length[0] = 1
    for i in range(axis, last + 1):
        length[0] *= cnp.PyArray_DIM(a, i)
    for i in range(last + 1, ndim) if by_rows else range(axis):
        across *= cnp.PyArray_DIM(a, i)
    return across if across == 1 or across >= NARROW or cnp.PyArray_SIZE(a) < WITH_GIL else 0


cdef Py_ssize_t neighbours(cnp.ndarray a, tuple along, bint by_rows, Py_ssize_t *last) except -2:
    """The first of these axes, and in `last` the last; axes of length 1 do not count. -1 where others lie between them,
    or the elements of a row would not be taken in C order."""
    cdef bint[MOST_AXES] among
    cdef Py_ssize_t i, axis
    cdef Py_ssize_t first = -1
    cdef int ndim = cnp.PyArray_NDIM(a)
    for i in range(ndim):
        among[i] = False
    for axis in along:
        if axis < 0:
            axis += ndim
        if axis < 0 or axis >= ndim or among[axis]:
            return -1
        among[axis] = True
    last[0] = -1
    for i in range(ndim):
        if among[i] and cnp.PyArray_DIM(a, i) != 1:
            first = i if first < 0 else first
            last[0] = i
    if first < 0:                               # all of length 1
        first = last[0] = axis
    for i in range(first, last[0] + 1):
        if cnp.PyArray_DIM(a, i) != 1 and (not among[i] or not by_rows and first < last[0]):
            return -1
    return first


cdef object with_last(cnp.ndarray a, object axis, str name):
    """a with these axes last, in their order. Raises ValueError for axes that it has not, or that are one."""
    cdef int ndim = max(a.ndim, 1)              # a number is a row by itself, as in NumPy's sums
    cdef object axes = axis if type(axis) is tuple else () if axis is None else (axis,)
    for each in axes:
        if not -ndim <= each < ndim:
            raise AxisError(f"axis must be from {-ndim} to {ndim - 1}, not {axis}: {name} has the shape "
                            f"{(<object>a).shape}")
    if a.ndim and len({each % ndim for each in axes}) < len(axes):
        raise ValueError(f"axis names one twice: {axis}, where {name} has the shape {(<object>a).shape}")
    if a.ndim == 0 or axis is None:
        return a
    axes = sorted([each % ndim for each in axes])
    return np.moveaxis(a, axes, range(-len(axes), 0))


cdef inline bint are_values_of(object y, object x) noexcept:
    """Arrays of one floating-point type and one shape."""
    return (cnp.PyArray_CheckExact(y) and cnp.PyArray_CheckExact(x) and cnp.PyArray_ISFLOAT(<cnp.ndarray>x)
            and cnp.PyArray_TYPE(<cnp.ndarray>y) == cnp.PyArray_TYPE(<cnp.ndarray>x)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>x))


cdef class RowActivation:
    """y = f(x) over the rows along `axis` (a tuple: along these together; None: the whole array is one row), with
    derivatives.

    Arrays as in `ElementwiseActivation`; ValueError for an axis that x has not. The derivative is that of y_i in x_i,
    the diagonal of the Jacobian; with `grad` it is the vector-Jacobian product.
    """

    by_value = True             # y determines the derivatives

    cdef uintptr_t kernels[2]
    cdef double constants[MOST_CONSTANTS]
    cdef object along
    cdef bint product_by_value

    def _bind(self, tuple kernels, axis, bint product_by_value, tuple constants=()):
        cdef double[MOST_CONSTANTS] values
        cdef int i
        for i in range(MOST_CONSTANTS):
            values[i] = constants[i] if i < len(constants) else 0
        with cython.critical_section(self):
            self.kernels = kernels
            memcpy(self.constants, values, sizeof(values))
            self.along = axis
            self.product_by_value = product_by_value

    cdef object axis_now(self):
        """Read once a call: it may be set meanwhile."""
        with cython.critical_section(self):
            return self.along

    cdef object apply(self, object along, int order, object x, object grad, object out, str name):
        """The plain cases at once: arrays without gaps that lie alike."""
        cdef cnp.ndarray a, result
        cdef Py_ssize_t across, length
        cdef int layout
        must_be_bound(self.kernels[0])
        if not cnp.PyArray_CheckExact(x):
            return self.apply_any(along, order, x, grad, out, name)
        a = <cnp.ndarray>x
        layout = layout_of(a)
        across = across_of(a, along, layout, &length) if layout and cnp.PyArray_SIZE(a) and cnp.PyArray_NDIM(a) else 0
        if (across == 0 or not (grad is None or alike(grad, a, layout))
                or not (out is None or may_hold(out, a, grad, order, layout))):
            return self.apply_any(along, order, x, grad, out, name)
        result = new_result(a, cnp.PyArray_TYPE(a), not layout & cnp.NPY_ARRAY_C_CONTIGUOUS) if out is None \
            else <cnp.ndarray>out
        self.run_over(order, a, grad, result, length, across)
        return result

    cdef int run_over(self, int order, cnp.ndarray a, object grad, cnp.ndarray out, Py_ssize_t length,
                      Py_ssize_t across) except -1:
        """Arrays without gaps that lie alike; `length` and `across` as `across_of` gives them."""
        cdef Work work
        work.single = cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT
        with cython.critical_section(self):
            work.kernel = self.kernels[0 if work.single else 1]
            memcpy(work.constants, self.constants, sizeof(work.constants))
        work.order = order
        work.length = length
        work.across = across
        work.x = cnp.PyArray_BYTES(a)
        work.grad = NULL if grad is None else cnp.PyArray_BYTES(<cnp.ndarray>grad)
        work.out = cnp.PyArray_BYTES(out)
        return run(&work, cnp.PyArray_SIZE(a) // length)

    cdef object apply_any(self, object along, int order, object x, object grad, object out, str name):
        cdef cnp.ndarray a = as_array(x, name)
        cdef object dtype = result_dtype(a)
        cdef cnp.ndarray g = None
        if grad is not None:
            g = operand(grad, a, "grad")
            dtype = result_dtype(a)             # grad's __array__ may have done anything, to x as well
        cdef object result = None if out is None else checked_out(out, a, dtype, "out")
        cdef object moved = with_last(a, along, name)
        cdef int layout = layout_of(a)
        cdef Py_ssize_t length
        if result is None:
            result = new_like(a, dtype)
        if cnp.PyArray_SIZE(a):
            if layout and cnp.PyArray_NDIM(a) and across_of(a, along, layout, &length):
                self.apply_plain(along, order, a, g, result, layout)
            else:
                self.apply_copied(order, moved, None if g is None else with_last(g, along, "grad"),
                                  with_last(as_array(result, "out"), along, "out"),
                                  moved.ndim if along is None else len(along) if type(along) is tuple else 1)
        if out is not None:
            return out
        return result[()] if a.ndim == 0 else result

    cdef int apply_plain(self, object along, int order, cnp.ndarray a, cnp.ndarray g, object result,
                         int layout) except -1:
        """a is walked as it lies; what lies otherwise is copied."""
        cdef cnp.ndarray copy
        cdef Py_ssize_t length, across
        cdef bint fortran = not layout & cnp.NPY_ARRAY_C_CONTIGUOUS
        if g is not None and not alike(g, a, layout):
            copy = new_result(a, cnp.PyArray_TYPE(a), fortran)
            fill(copy, g)
            g = copy
        cdef cnp.ndarray to = result if may_hold(result, a, g, order, layout) \
            else new_result(a, cnp.PyArray_TYPE(a), fortran)
        across = across_of(a, along, layout, &length)
        self.run_over(order, a, g, to, length, across)
        if to is not result:
            fill(result, to)
        return 0

    cdef int apply_copied(self, int order, cnp.ndarray a, cnp.ndarray g, object result, Py_ssize_t together) except -1:
        """Along the last axes `together`, from a copy in C order, which the results are written over."""
        cdef object dtype = np.dtype(np.float32 if result.dtype.itemsize <= 4 else np.float64)
        cdef cnp.ndarray copy = np.empty((<object>a).shape, dtype)
        cdef cnp.ndarray grad = None if g is None else copied(g, dtype)
        cdef object shape = (-1, math.prod((<object>a).shape[cnp.PyArray_NDIM(a) - together:]) if together else 1)
        fill(copy, a)
        rows = (<object>copy).reshape(shape)
        self.run_over(order, rows, None if grad is None else (<object>grad).reshape(shape), rows, rows.shape[1], 1)
        fill(result, copy)
        return 0

    def forward(self, x, out=None):
        """f(x)."""
        return self.apply(self.axis_now(), VALUE, x, None, out, "x")

    def __call__(self, x, out=None):
        """f(x)."""
        return self.apply(self.axis_now(), VALUE, x, None, out, "x")

    def backward(self, x=None, y=None, grad=None, out=None):
        """dy_i/dx_i, or with `grad` the vector-Jacobian product sum_j grad_j dy_j/dx_i.

        With x, y = f(x) is not needed. Softmax's and softmin's product takes it if it is an array like x: that is
        faster, and within 4 ULP of the larger of y grad and y sum(grad y); without y it keeps the digits that these
        two may cancel. All else is computed from x: ValueError where y lies in its memory, so that x has been
        overwritten. Without x, `backward(y=y, grad=g)` computes everything from y, exactly for that y, at the speed of
        memory: log-softmax's product within 4 ULP of the larger of grad and exp(y) sum(grad). TypeError with neither x
        nor y.
        """
        if x is None:
            if y is None:
                raise TypeError("backward takes x, or y=f(x) alone")
            return self.apply(self.axis_now(), FIRST_BY_VALUE if grad is None else PRODUCT_BY_VALUE, y, grad, out, "y")
        if grad is not None and self.product_by_value and are_values_of(y, x):
            return self.apply(self.axis_now(), PRODUCT_BY_VALUE, y, grad, out, "y")
        if y is not None and overwritten(x, y):
            raise ValueError(OVERWRITTEN)
        return self.apply(self.axis_now(), FIRST if grad is None else PRODUCT, x, grad, out, "x")

    def d2y(self, x, out=None):
        """d2y_i/dx_i^2."""
        return self.apply(self.axis_now(), SECOND, x, None, out, "x")

    def value_and_grad(self, x, out=None):
        """(f(x), the diagonal derivative); out is a pair of arrays."""
        cdef cnp.ndarray a = as_array(x, "x")
        cdef list pair = None if out is None else checked_pair(out, a, result_dtype(a))
        along = self.axis_now()
        value, first = self.apply(along, VALUE, a, None, None, "x"), self.apply(along, FIRST, a, None, None, "x")
        if out is None:
            return value, first
        fill(pair[0], value)
        fill(pair[1], first)
        return out
