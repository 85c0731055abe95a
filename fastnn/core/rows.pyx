# cython: boundscheck=False, initializedcheck=False, binding=False, embedsignature.format=clinic
# (with binding, Cython's default, a method that is called on an object of another class crashes)
"""How arrays are walked for row kernels: the softmax family along an axis, and its loss.

Rows that lie one after another in memory are run through as they are, anything else from a contiguous copy. A row
belongs to one thread, so results do not depend on the number of threads.
"""
import math

import numpy as np
from numpy.exceptions import AxisError

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t

from fastnn.core.arrays import OVERWRITTEN

from fastnn.core.arrays cimport (as_array, checked_out, checked_pair, contiguous, copied, fill, must_be_bound, operand,
                                 overwritten, result_dtype)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport (FIRST, PRODUCT, PRODUCT_BY_VALUE, SECOND, VALUE, row_double, row_float, row_loss_double,
                                  row_loss_float)
from fastnn.core.memory cimport copy_of, new_like, new_result
from fastnn.core.threads cimport share_watched, threads_for

cnp.import_array()

cdef enum:
    WITH_GIL = 2048         # below this many elements, letting go of the interpreter costs more than it gives


cdef object LAST = -1       # as an axis

cdef struct Work:
    # one call: which kernel over which rows; the loss kernels use t, labels, losses
    uintptr_t kernel
    bint single
    int order
    Py_ssize_t length
    char *x
    char *grad
    char *out
    cnp.npy_intp *labels
    double *losses


cdef void run_rows(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t row, at
    for row in range(start, stop):
        at = row * work.length
        if work.losses == NULL:
            if work.single:
                (<row_float>work.kernel)(work.order, <float *>work.x + at,
                                         <float *>work.grad + at if work.grad != NULL else NULL,
                                         <float *>work.out + at, work.length)
            else:
                (<row_double>work.kernel)(work.order, <double *>work.x + at,
                                          <double *>work.grad + at if work.grad != NULL else NULL,
                                          <double *>work.out + at, work.length)
        elif work.single:
            work.losses[row] = (<row_loss_float>work.kernel)(
                <float *>work.x + at, <float *>work.grad + at if work.grad != NULL else NULL,
                work.labels[row] if work.labels != NULL else 0, <float *>work.out + at, work.length)
        else:
            work.losses[row] = (<row_loss_double>work.kernel)(
                <double *>work.x + at, <double *>work.grad + at if work.grad != NULL else NULL,
                work.labels[row] if work.labels != NULL else 0, <double *>work.out + at, work.length)
    fastnn_fp_leave(state)


cdef void prepare(Work *work, uintptr_t *kernels, bint single, int order, Py_ssize_t length, cnp.ndarray x, cnp.ndarray g,
                  cnp.ndarray out) noexcept:
    """A call over the rows of x; g is the second operand or None."""
    work.kernel = kernels[0 if single else 1]
    work.single = single
    work.order = order
    work.length = length
    work.x = cnp.PyArray_BYTES(x)
    work.grad = NULL if g is None else cnp.PyArray_BYTES(g)
    work.out = cnp.PyArray_BYTES(out)
    work.labels = NULL
    work.losses = NULL


cdef int run(const Work *work, Py_ssize_t rows) except -1:
    cdef Py_ssize_t elements = rows * work.length
    cdef int threads
    if elements < WITH_GIL:
        run_rows(work, 0, rows)
        return 0
    threads = threads_for(elements * (1 if work.single else 2))
    with nogil:
        return share_watched(run_rows, work, rows, 1, threads, elements)


cdef object with_last(cnp.ndarray a, object axis):
    """a with these axes last. Raises ValueError for axes that it has not, or that are one."""
    if a.ndim == 0:
        for each in axis if type(axis) is tuple else (axis,):
            if each is not None and not -1 <= each <= 0:        # a number is a row by itself, as in NumPy's sums
                raise AxisError(each, 0)
        return a
    if axis is None:
        return a
    return np.moveaxis(a, axis, range(-len(axis), 0) if type(axis) is tuple else -1)


cdef object as_rows(object moved, object axis, object dtype):
    """What `with_last` gave as contiguous, native and aligned rows: a view of it where possible."""
    cdef object rows = copied(moved, dtype)
    if axis is None or rows.ndim == 0:
        return rows.reshape(-1)
    if type(axis) is tuple:
        return rows.reshape(*rows.shape[:-len(axis)], math.prod(rows.shape[-len(axis):]))
    return rows


cdef inline bint alike(object y, object x) noexcept:
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

    cdef uintptr_t kernels[2]
    cdef object along
    cdef bint product_by_value

    def _bind(self, tuple kernels, axis, bint product_by_value):
        with cython.critical_section(self):
            self.kernels = kernels
            self.along = axis
            self.product_by_value = product_by_value

    cdef object axis_now(self):
        """Read once a call: it may be set meanwhile."""
        with cython.critical_section(self):
            return self.along

    cdef object apply(self, object along, int order, object x, object grad, object out):
        """The plain case at once: contiguous rows along the last axis, a new result."""
        cdef Work work
        cdef cnp.ndarray a, result
        cdef int kind
        must_be_bound(self.kernels[0])
        if not (along is LAST and out is None and cnp.PyArray_CheckExact(x)):
            return self.apply_any(along, order, x, grad, out)
        a = <cnp.ndarray>x
        kind = cnp.PyArray_TYPE(a)
        if not ((kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE) and cnp.PyArray_SIZE(a) and cnp.PyArray_NDIM(a)
                and contiguous(a, kind, 0)
                and (grad is None or contiguous(grad, kind, 0)
                     and cnp.PyArray_SAMESHAPE(a, <cnp.ndarray>grad))):
            return self.apply_any(along, order, x, grad, out)
        result = new_result(a, kind, False)
        prepare(&work, self.kernels, kind == cnp.NPY_FLOAT, order, cnp.PyArray_DIM(a, cnp.PyArray_NDIM(a) - 1), a,
                None if grad is None else <cnp.ndarray>grad, result)
        run(&work, cnp.PyArray_SIZE(a) // work.length)
        return result

    cdef object apply_any(self, object along, int order, object x, object grad, object out):
        cdef cnp.ndarray a = as_array(x, "x")
        cdef object dtype = result_dtype(a)
        cdef cnp.ndarray g = None
        if grad is not None:
            g = operand(grad, a, "grad")
            dtype = result_dtype(a)             # grad's __array__ may have done anything, to x as well
        cdef bint single = dtype.itemsize <= 4
        cdef object compute = np.dtype(np.float32 if single else np.float64)
        cdef object result = None if out is None else checked_out(out, a, dtype, "out")
        cdef object moved = with_last(a, along)
        cdef cnp.ndarray rows = as_rows(moved, along, compute)
        cdef cnp.ndarray grad_rows = None if g is None else as_rows(with_last(g, along), along, compute)
        cdef cnp.ndarray work_rows = new_result(rows, cnp.NPY_FLOAT if single else cnp.NPY_DOUBLE, False)
        cdef Py_ssize_t length = rows.shape[rows.ndim - 1]
        cdef Work work
        if cnp.PyArray_SIZE(rows):
            prepare(&work, self.kernels, single, order, length, rows, grad_rows, work_rows)
            run(&work, cnp.PyArray_SIZE(rows) // length)
        if result is None:
            result = new_like(a, dtype)
        fill(with_last(as_array(result, "out"), along), (<object>work_rows).reshape(moved.shape))
        if out is not None:
            return out
        return result[()] if a.ndim == 0 else result

    def forward(self, x, out=None):
        """f(x)."""
        return self.apply(self.axis_now(), VALUE, x, None, out)

    def __call__(self, x, out=None):
        """f(x)."""
        return self.apply(self.axis_now(), VALUE, x, None, out)

    def backward(self, x, y=None, grad=None, out=None):
        """dy_i/dx_i, or with `grad` the vector-Jacobian product sum_j grad_j dy_j/dx_i.

        y = f(x) is not needed. Softmax's and softmin's product takes it if it is an array like x: that is quicker, and
        within 4 ULP of the larger of y grad and y sum(grad y); without y it keeps the digits that these two may cancel.
        All else is computed from x: ValueError where y lies in its memory, so that x has been overwritten.
        """
        if grad is not None and self.product_by_value and alike(y, x):
            return self.apply(self.axis_now(), PRODUCT_BY_VALUE, y, grad, out)
        if y is not None and overwritten(x, y):
            raise ValueError(OVERWRITTEN)
        if grad is None:
            return self.apply(self.axis_now(), FIRST, x, None, out)
        return self.apply(self.axis_now(), PRODUCT, x, grad, out)

    def d2y(self, x, out=None):
        """d2y_i/dx_i^2."""
        return self.apply(self.axis_now(), SECOND, x, None, out)

    def value_and_grad(self, x, out=None):
        """(f(x), the diagonal derivative); out is a pair of arrays."""
        cdef cnp.ndarray a = as_array(x, "x")
        cdef list pair = None if out is None else checked_pair(out, a, result_dtype(a))
        along = self.axis_now()
        value, first = self.apply(along, VALUE, a, None, None), self.apply(along, FIRST, a, None, None)
        if out is None:
            return value, first
        fill(pair[0], value)
        fill(pair[1], first)
        return out


cdef class RowLoss:
    """A loss of rows of logits along the last axis: one loss a row, and its gradient."""

    cdef uintptr_t kernels[2]

    def _bind(self, tuple kernels):
        self.kernels = kernels

    def _value_and_gradient(self, x, t):
        """(losses of shape x.shape[:-1], gradient of x's shape), both of x's dtype.

        t holds integer labels, shape x.shape[:-1], or one distribution a row, shape x.shape.
        Raises TypeError for labels that are no integers, ValueError for shapes or labels that do not fit.
        """
        cdef cnp.ndarray a = as_array(x, "x")
        cdef cnp.ndarray target = as_array(t, "t")
        cdef object dtype = result_dtype(a)
        cdef bint single = dtype.itemsize <= 4
        cdef object compute = np.dtype(np.float32 if single else np.float64)
        cdef cnp.ndarray rows, gradient, losses
        cdef Work work
        must_be_bound(self.kernels[0])
        if a.ndim == 0:
            raise ValueError("logits must have at least one axis")
        shape = (<object>a).shape
        if shape[-1] == 0:
            raise ValueError("logits must have at least one class")
        by_label = (<object>target).shape != shape
        if by_label:
            target = checked_labels(target, shape)
        else:
            result_dtype(target)
            target = copied(target, compute)
        rows = copied(a, compute)
        gradient = new_result(a, cnp.NPY_FLOAT if single else cnp.NPY_DOUBLE, False)
        losses = np.empty(shape[:-1], np.float64)
        if cnp.PyArray_SIZE(rows):
            prepare(&work, self.kernels, single, 0, shape[-1], rows, None if by_label else target, gradient)
            work.labels = <cnp.npy_intp *>cnp.PyArray_DATA(target) if by_label else NULL
            work.losses = <double *>cnp.PyArray_DATA(losses)
            run(&work, cnp.PyArray_SIZE(losses))
        return copied(losses, dtype)[()], copied(gradient, dtype)

    def _copy(self, gradient):
        """What is handed out of a gradient that is kept."""
        return copy_of(gradient, None)


cdef cnp.ndarray checked_labels(cnp.ndarray labels, tuple shape):
    if (<object>labels).shape != shape[:-1]:
        raise ValueError(f"targets must have shape {shape[:-1]} (labels) or {shape} (one-hot), "
                         f"not {(<object>labels).shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < shape[-1]:
        raise ValueError(f"labels must be from 0 to {shape[-1] - 1}, not {int(labels.min())} to {int(labels.max())}")
    return np.require(labels, dtype=np.intp, requirements=["C", "A"])
