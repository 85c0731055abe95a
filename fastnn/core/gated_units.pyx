# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, embedsignature.format=clinic
"""Gated units, a f(b): of the two halves of an axis or of two arrays, forward and both gradients in one pass each."""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from fastnn.core.arrays cimport (apart, as_array, checked_out, checked_pair, contiguous, copied, fill, must_be_bound,
                                 operand, result_dtype)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.memory cimport new_result
from fastnn.core.pair_blocks cimport PAIR_BLOCK, Operand, Pairs, run_pairs
from fastnn.core.pair_kernels cimport PAIR_PARAMETERS
from fastnn.core.threads cimport share_watched, threads_for
from fastnn.core.levels import pairs

cnp.import_array()

cdef enum:
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef Py_ssize_t UNIT = pairs.STEP


cdef void run_part(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Pairs *work = <const Pairs *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.single:
        run_pairs(work, <const float *>work.a.first, start, stop)
    else:
        run_pairs(work, <const double *>work.a.first, start, stop)
    fastnn_fp_leave(state)


cdef int run(Pairs *work, Py_ssize_t n) except -1:
    cdef int threads
    if n < WITH_GIL:
        run_part(work, 0, n)
        return 0
    threads = threads_for(n if work.single else 2 * n)
    with nogil:
        return share_watched(run_part, work, n, PAIR_BLOCK, threads, n)


cdef inline void lies(Operand *operand, cnp.ndarray a, Py_ssize_t first, Py_ssize_t step) noexcept:
    operand.first = cnp.PyArray_BYTES(a) + first * cnp.PyArray_ITEMSIZE(a)
    operand.step = step


cdef class GatedUnit:
    """a f(b), f an activation: a linear unit and its gate (Dauphin et al. 2016, arXiv 1612.08083; Shazeer 2020, arXiv
    2002.05202).

    Given one array, a and b are the two halves of `axis`, b the second one as in `torch.nn.functional.glu` and
    `jax.nn.glu`, or the first with gate_half="first"; the result is half as long there. Given two, x is a and `gate` is
    b, which is broadcast to a's shape. float16, bfloat16, float32 and float64 keep their dtype (half precision is
    computed in float32, in a copy), bool and integers become float64. Results lie row after row; what does not is copied
    first. `out` has the result's shape and dtype.

    Raises TypeError for other dtypes and masked arrays, ValueError for shapes that do not fit, an axis that cannot be
    halved, or a read-only `out`.
    """

    cdef uintptr_t[2] kernels           # for float, for double
    cdef double[PAIR_PARAMETERS] parameters
    cdef int axis_
    cdef bint gate_first

    def _bind(self, tuple kernels, tuple parameters, int axis, bint gate_first):
        cdef int i
        cdef uintptr_t[2] addresses
        cdef double[PAIR_PARAMETERS] numbers
        if len(parameters) > PAIR_PARAMETERS:
            raise ValueError(f"a gated unit has at most {PAIR_PARAMETERS} parameters, not {len(parameters)}")
        addresses = kernels
        for i in range(PAIR_PARAMETERS):
            numbers[i] = parameters[i] if i < len(parameters) else 0
        with cython.critical_section(self):
            memcpy(self.kernels, addresses, sizeof(addresses))
            memcpy(self.parameters, numbers, sizeof(numbers))
            self.axis_, self.gate_first = axis, gate_first

    cdef bint prepare(self, Pairs *work, bint single, bint back) except -1:
        """Whether the gate is the first half."""
        cdef int i
        cdef bint first
        cdef double[PAIR_PARAMETERS] numbers
        must_be_bound(self.kernels[0])
        with cython.critical_section(self):
            work.kernel = self.kernels[0 if single else 1]
            memcpy(numbers, self.parameters, sizeof(numbers))
            first = self.gate_first
        for i in range(PAIR_PARAMETERS):
            if single:
                (<float *>work.parameters)[i] = <float>numbers[i]
            else:
                work.parameters[i] = numbers[i]
        work.single, work.back = single, back
        work.unit = UNIT
        work.g.first = work.second.first = NULL
        return first

    cdef tuple halved(self, cnp.ndarray a):
        """(the axis, the shape of a half)."""
        cdef int axes = cnp.PyArray_NDIM(a)
        cdef int axis = self.axis_
        if not -axes <= axis < axes:
            raise ValueError(f"x has {axes} axes, and no axis {axis} to be halved")
        axis += axes * (axis < 0)
        shape = list((<object>a).shape)
        if shape[axis] % 2:
            raise ValueError(f"axis {self.axis_} of x, which is to be halved, has an odd length, {shape[axis]}")
        shape[axis] //= 2
        return axis, tuple(shape)

    def forward(self, x, out=None, *, gate=None):
        """a f(b): of the halves of x, or of x and `gate`."""
        cdef Pairs work
        cdef cnp.ndarray a = as_array(x, "x")
        cdef object dtype = result_dtype(a)
        cdef object computed = np.dtype(np.float64 if dtype == np.float64 else np.float32)
        cdef cnp.ndarray b = None if gate is None else operand(gate, a, "gate")
        cdef cnp.ndarray like, result, wide
        cdef Py_ssize_t step, n
        if gate is None:
            axis, shape = self.halved(a)
        else:
            axis, shape = 0, (<object>a).shape
        like = np.broadcast_to(np.empty((), dtype), shape)
        result = None if out is None else checked_out(out, like, dtype, "out")
        a = copied(a, computed)
        if b is not None:
            b = copied(b, computed)
        wide = direct(result, computed, a, b, None)
        if wide is None:
            wide = new_result(like, cnp.NPY_FLOAT if computed == np.float32 else cnp.NPY_DOUBLE, False)
        first = self.prepare(&work, computed == np.float32, False)
        n = cnp.PyArray_SIZE(wide)
        if gate is None:
            work.chunk = inner(wide, axis)
            step = 2 * work.chunk
            lies(&work.a, a, work.chunk if first else 0, step)
            lies(&work.b, a, 0 if first else work.chunk, step)
        else:
            work.chunk = n
            lies(&work.a, a, 0, n)
            lies(&work.b, b, 0, n)
        lies(&work.out, wide, 0, work.chunk)
        if n:
            run(&work, n)
        return given_back(wide, result, dtype, out)

    def __call__(self, x, out=None, *, gate=None):
        """a f(b): of the halves of x, or of x and `gate`."""
        return self.forward(x, out, gate=gate)

    def backward(self, x=None, y=None, grad=None, out=None, *, gate=None):
        """The gradient of x, given `grad`, that of the result; with `gate`, the pair of the gradients of x and gate.

        y, what `forward` gave, is not needed. `out` is an array like x, or a pair of them.
        """
        cdef Pairs work
        cdef cnp.ndarray a, b, g, like, first_out, second_out, da, db
        cdef object dtype, computed
        cdef Py_ssize_t step, n
        cdef int kind
        if x is None or grad is None:
            raise TypeError("backward takes x and grad")
        a = as_array(x, "x")
        dtype = result_dtype(a)
        computed = np.dtype(np.float64 if dtype == np.float64 else np.float32)
        kind = cnp.NPY_FLOAT if computed == np.float32 else cnp.NPY_DOUBLE
        b = None if gate is None else operand(gate, a, "gate")
        if gate is None:
            axis, shape = self.halved(a)
        else:
            axis, shape = 0, (<object>a).shape
        like = np.broadcast_to(np.empty((), dtype), shape)
        g = operand(grad, like, "grad")
        first_out = second_out = None
        if out is not None and gate is None:
            first_out = checked_out(out, a, dtype, "out")
        elif out is not None:
            first_out, second_out = checked_pair(out, a, dtype)
        a, g = copied(a, computed), copied(g, computed)
        first = self.prepare(&work, computed == np.float32, True)
        n = cnp.PyArray_SIZE(g)
        if gate is None:
            da = direct(first_out, computed, a, g, None)
            if da is None:
                da = new_result(a, kind, False)
            work.chunk = inner(like, axis)
            step = 2 * work.chunk
            lies(&work.a, a, work.chunk if first else 0, step)
            lies(&work.b, a, 0 if first else work.chunk, step)
            lies(&work.out, da, work.chunk if first else 0, step)
            lies(&work.second, da, 0 if first else work.chunk, step)
        else:
            b = copied(b, computed)
            da, db = direct(first_out, computed, a, b, g), direct(second_out, computed, a, b, g)
            if da is None:
                da = new_result(a, kind, False)
            if db is None:
                db = new_result(a, kind, False)
            work.chunk = n
            lies(&work.a, a, 0, n)
            lies(&work.b, b, 0, n)
            lies(&work.out, da, 0, n)
            lies(&work.second, db, 0, n)
        lies(&work.g, g, 0, work.chunk)
        if n:
            run(&work, n)
        if gate is None:
            return given_back(da, first_out, dtype, out)
        both = given_back(da, first_out, dtype, None), given_back(db, second_out, dtype, None)
        return both if out is None else out


cdef Py_ssize_t inner(cnp.ndarray a, int axis) noexcept:
    """Elements of one place along the axes before `axis`; at least 1, for something is divided by it."""
    cdef Py_ssize_t n = 1
    cdef int i
    for i in range(axis, cnp.PyArray_NDIM(a)):
        n *= cnp.PyArray_DIM(a, i)
    return max(<Py_ssize_t>1, n)


cdef cnp.ndarray direct(cnp.ndarray out, object computed, cnp.ndarray a, cnp.ndarray b, cnp.ndarray c):
    """`out`, if results can be written there at once: it lies row after row, and apart from what is read."""
    if (out is None or out.dtype != computed or not contiguous(out, cnp.PyArray_TYPE(a), cnp.NPY_ARRAY_WRITEABLE)
            or not apart(out, a) or b is not None and not apart(out, b) or c is not None and not apart(out, c)):
        return None
    return out


cdef object given_back(cnp.ndarray wide, cnp.ndarray result, object dtype, object out):
    """What was computed, in the array that was given, or in one of the result's dtype; without axes a scalar."""
    if result is not None:
        if result is not wide:
            fill(result, wide)
        return result if out is None else out
    if wide.dtype != dtype:
        result = np.empty((<object>wide).shape, dtype)
        fill(result, wide)
        wide = result
    return wide[()] if cnp.PyArray_NDIM(wide) == 0 else wide
