# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Gated units, a f(b): of the two halves of an axis or of two arrays, forward and both gradients in one pass each."""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from fastnn.core.arrays cimport (DOUBLE, SINGLE, Kind, as_array, checked_out, copied, fill,
                                 must_be_bound, operand, overwritten, result_dtype, share_memory)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.memory cimport new_result
from fastnn.core.operands cimport (BLOCK, ROOM, Form, Operand, fits, gathered, lay_out,
                                   lie_alike, place_of, put, spans_meet, steps_over_itself, target, MOST_AXES)
from fastnn.core.kernels cimport MOST_PARAMETERS
from fastnn.core.pair_kernels cimport gated_double, gated_float
from fastnn.core.streaming cimport (FASTNN_LINE, FASTNN_STREAMS, at_line, fastnn_prefetch, fastnn_stream,
                                    fastnn_stream_end)
from fastnn.core.threads cimport share_cancellable, threads_for
from fastnn.core.vecmath cimport real
from fastnn.core.arrays import OVERWRITTEN
from fastnn.core.levels import pairs, rules
from fastnn.core.processor import last_level_cache

cnp.import_array()

cdef extern from "clock.h":
    long long fastnn_now() noexcept nogil

cdef enum:
    MOST_DIMS = 64          # of NumPy's arrays
    STREAMED = 512          # bytes of a result at a time that go past the cache; 2048 cost SwiGLU back a third
    AHEAD = 4               # pieces between the one that is worked on and the one that is fetched
    HEAVY = 300             # ns for a block of each result: from there on ordinary stores are hidden in the arithmetic
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef Py_ssize_t UNIT = pairs.STEP
cdef uintptr_t[2][2] halves = [rules.HALVES["float16"], rules.HALVES["bfloat16"]]   # what loads, and what stores
cdef Py_ssize_t stream_above = last_level_cache()       # bytes that a call reads and writes
cdef char nothing           # what lies at the address of arrays that are only shapes

cdef struct Work:
    uintptr_t kernel
    double parameters[MOST_PARAMETERS]      # or floats
    bint single
    bint back
    bint in_rooms           # results do not go to their places at once: an operand may lie there
    bint streaming          # past the cache
    Form form
    Operand operands[5]     # a, b, g or nothing, the result or the gradient of a, the gradient of b or nothing


cdef inline void call(const Work *work, const real *a, const real *b, const real *g, real *out, real *second,
                      Py_ssize_t n) noexcept nogil:
    if real is float:
        (<gated_float>work.kernel)(work.back, a, b, g, out, second, n, <const float *>work.parameters)
    else:
        (<gated_double>work.kernel)(work.back, a, b, g, out, second, n, work.parameters)


cdef inline void run_block(const Work *work, const real *like, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef real[ROOM] rooms[5]
    cdef const Operand *operands = &work.operands[0]
    cdef const Form *form = &work.form
    cdef Py_ssize_t whole = (n + UNIT - 1) & -UNIT
    cdef const real *a = gathered(form, &operands[0], at_line(&rooms[0][0]), start, n, whole)
    cdef const real *b = gathered(form, &operands[1], at_line(&rooms[1][0]), start, n, whole)
    cdef const real *g = a
    cdef real *room = at_line(&rooms[3][0])
    cdef real *second_room = at_line(&rooms[4][0])
    cdef real *out = target(form, &operands[3], room, start, n, whole, work.in_rooms)
    cdef real *second = out
    if work.back:
        g = gathered(form, &operands[2], at_line(&rooms[2][0]), start, n, whole)
        second = target(form, &operands[4], second_room, start, n, whole, work.in_rooms)
    call(work, a, b, g, out, second, whole)
    if out == room:
        put(form, &operands[3], room, start, n)
    if work.back and second == second_room:
        put(form, &operands[4], second_room, start, n)


cdef inline bint all_straight(const Work *work) noexcept nogil:
    cdef int k
    for k in range(5):
        if work.operands[k].first != NULL and (not work.operands[k].straight or work.operands[k].load != NULL):
            return False
    return True


cdef inline void run_streaming(const Work *work, const real *a, const real *b, const real *g, real *out, real *second,
                               Py_ssize_t n) noexcept nogil:
    """n elements where they lie, a multiple of UNIT, results from the beginning of a cache line on."""
    cdef real[ROOM] first_room
    cdef real[ROOM] second_room
    cdef real *first = at_line(&first_room[0])
    cdef real *other = at_line(&second_room[0])
    cdef Py_ssize_t most = STREAMED // sizeof(real)
    cdef Py_ssize_t at = 0, fetch, many
    while at < n:
        many = min(most, n - at)
        fetch = at + AHEAD * most
        if fetch + most <= n:
            fastnn_prefetch(a + fetch, STREAMED)
            fastnn_prefetch(b + fetch, STREAMED)
            if work.back:
                fastnn_prefetch(g + fetch, STREAMED)
        call(work, a + at, b + at, g + at if work.back else NULL, first, other, many)
        fastnn_stream(out + at, first, many * sizeof(real))
        if work.back:
            fastnn_stream(second + at, other, many * sizeof(real))
        at += many
    fastnn_stream_end()


cdef bint is_heavy(const Work *work, const real *a) noexcept:
    """Whether a block takes long, by the time for the first one."""
    cdef real[ROOM] first_room
    cdef real[ROOM] second_room
    cdef long long least = <long long>1 << 62, start
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    for _ in range(4):                  # the first one brings everything into the cache
        start = fastnn_now()
        call(work, a, <const real *>work.operands[1].first, <const real *>work.operands[2].first, at_line(&first_room[0]),
             at_line(&second_room[0]), BLOCK)
        least = min(least, fastnn_now() - start)
    fastnn_fp_leave(state)
    return least > HEAVY * (2 if work.back else 1)


cdef bint streams(const Work *work, Py_ssize_t n) noexcept:
    """Whether a call reads and writes more than the last cache holds, every row of results from a cache line on."""
    cdef Py_ssize_t itemsize = 4 if work.single else 8
    cdef int last = work.form.axes - 1, k, i
    if (not FASTNN_STREAMS or work.in_rooms or n * itemsize * (5 if work.back else 3) <= stream_above
            or not all_straight(work) or work.form.shape[last] < BLOCK or work.form.shape[last] * itemsize % FASTNN_LINE):
        return False
    for k in range(3, 5 if work.back else 4):
        if <uintptr_t>work.operands[k].first % FASTNN_LINE:
            return False
        for i in range(last):
            if work.operands[k].steps[i] % FASTNN_LINE:
                return False
    if stream_above == 0:
        return True
    return not (is_heavy(work, <const float *>work.operands[0].first) if work.single
                else is_heavy(work, <const double *>work.operands[0].first))


cdef inline void run_range(const Work *work, const real *like, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start to stop: long rows where they lie, short ones gathered."""
    cdef const Operand *operands = &work.operands[0]
    cdef const Form *form = &work.form
    cdef Py_ssize_t index[MOST_AXES]
    cdef Py_ssize_t width = form.shape[form.axes - 1]
    cdef bint direct = not work.in_rooms and width >= BLOCK and all_straight(work)
    cdef Py_ssize_t n, left
    cdef const real *a
    cdef const real *b
    cdef const real *g
    cdef real *out
    cdef real *second
    while start < stop:
        left = stop - start
        if width >= BLOCK and form.axes > 1:
            left = min(left, width - start % width)
        n = min(left, <Py_ssize_t>BLOCK)
        if direct and left >= UNIT:
            n = left & -UNIT
            a = <const real *>place_of(form, &operands[0], start, index)
            b = <const real *>place_of(form, &operands[1], start, index)
            g = <const real *>place_of(form, &operands[2], start, index) if work.back else NULL
            out = <real *>place_of(form, &operands[3], start, index)
            second = <real *>place_of(form, &operands[4], start, index) if work.back else NULL
            if work.streaming:
                run_streaming(work, a, b, g, out, second, n)
            else:
                call(work, a, b, g, out, second, n)
        else:
            run_block(work, like, start, n)
        start += n


cdef void run_part(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Work *work = <const Work *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.single:
        run_range(work, <const float *>work.operands[0].first, start, stop)
    else:
        run_range(work, <const double *>work.operands[0].first, start, stop)
    fastnn_fp_leave(state)


cdef int run(Work *work, Py_ssize_t n) except -1:
    cdef int threads
    work.streaming = streams(work, n)
    if n < WITH_GIL:
        run_part(work, 0, n)
        return 0
    threads = threads_for(n if work.single else 2 * n)
    with nogil:
        return share_cancellable(run_part, work, n, BLOCK, threads, n)


cdef class GatedUnit:
    """a f(b), f an activation: a linear unit and its gate (Dauphin et al. 2016, arXiv 1612.08083; Shazeer 2020, arXiv
    2002.05202).

    Given one array, a and b are the two halves of `axis`, b the second one as in `torch.nn.functional.glu` and
    `jax.nn.glu`, or the first with gate_half="first"; the result is half as long there. Given two, unit(a, b), x is a and
    `gate` is b, which is broadcast to a's shape. float16, bfloat16, float32 and float64 keep their dtype (half precision is
    computed in float32), bool and integers become float64. Results are C-contiguous. `out` has the result's shape and
    dtype.

    Raises TypeError for other dtypes and masked arrays, ValueError for shapes that do not fit, an axis that cannot be
    halved, or a read-only `out`.
    """

    cdef uintptr_t[2] kernels           # for float, for double
    cdef double[MOST_PARAMETERS] parameters
    cdef int axis_
    cdef bint gate_first

    def _bind(self, tuple kernels, tuple parameters, int axis, bint gate_first):
        cdef int i
        cdef uintptr_t[2] addresses
        cdef double[MOST_PARAMETERS] numbers
        if len(parameters) > MOST_PARAMETERS:
            raise ValueError(f"a gated unit has at most {MOST_PARAMETERS} parameters, not {len(parameters)}")
        addresses = kernels
        for i in range(MOST_PARAMETERS):
            numbers[i] = parameters[i] if i < len(parameters) else 0
        with cython.critical_section(self):
            memcpy(self.kernels, addresses, sizeof(addresses))
            memcpy(self.parameters, numbers, sizeof(numbers))
            self.axis_, self.gate_first = axis, gate_first

    cdef bint prepare(self, Work *work, bint single, bint back) except -1:
        """Whether the gate is the first half."""
        cdef int i
        cdef bint first
        cdef double[MOST_PARAMETERS] numbers
        must_be_bound(self.kernels[0])
        with cython.critical_section(self):
            work.kernel = self.kernels[0 if single else 1]
            memcpy(numbers, self.parameters, sizeof(numbers))
            first = self.gate_first
        for i in range(MOST_PARAMETERS):
            if single:
                (<float *>work.parameters)[i] = <float>numbers[i]
            else:
                work.parameters[i] = numbers[i]
        work.single, work.back = single, back
        return first

    cdef cnp.ndarray shape_of(self, cnp.ndarray a, object gate, int *halved):
        """The result's shape, as an array that is not to be read, and the axis that is halved, if any."""
        cdef int axes = cnp.PyArray_NDIM(a)
        cdef int axis = self.axis_
        cdef cnp.npy_intp dims[MOST_DIMS]
        if gate is None:
            if not -axes <= axis < axes:
                raise ValueError(f"x has {axes} axes, and no axis {axis} to be halved")
            axis += axes * (axis < 0)
            if cnp.PyArray_DIM(a, axis) % 2:
                raise ValueError(f"axis {self.axis_} of x, which is to be halved, has an odd length, "
                                 f"{cnp.PyArray_DIM(a, axis)}")
            halved[0] = axis
        memcpy(dims, cnp.PyArray_DIMS(a), axes * sizeof(cnp.npy_intp))
        if gate is None:
            dims[axis] //= 2
        return only_shape(axes, dims)

    def _parts(self, x, gate):
        """a and b, of one shape: the halves of x, or x and what is broadcast to it."""
        cdef cnp.ndarray a = as_array(x, "x")
        cdef cnp.ndarray like
        cdef int axis = 0
        cdef bint first
        result_dtype(a)
        must_be_bound(self.kernels[0])
        if gate is not None:
            return a, operand(gate, a, "gate")
        with cython.critical_section(self):
            first = self.gate_first
        like = self.shape_of(a, None, &axis)
        length = cnp.PyArray_DIM(like, axis)
        before = (slice(None),) * axis
        halves_of_it = (<object>a)[(*before, slice(length))], (<object>a)[(*before, slice(length, None))]
        return halves_of_it[::-1] if first else halves_of_it

    def forward(self, x, gate=None, *, out=None):
        """a f(b): of the halves of x, or of x and `gate`."""
        cdef Work work
        cdef cnp.ndarray a = as_array(x, "x")
        cdef object dtype = result_dtype(a)
        cdef Kind computed = DOUBLE if dtype == np.float64 else SINGLE
        cdef cnp.ndarray b = None if gate is None else operand(gate, a, "gate")
        cdef cnp.ndarray result, given = None
        cdef cnp.ndarray like
        cdef int axis = 0
        cdef bint first
        dtype = result_dtype(a)             # the gate's __array__ may have done anything, to x as well
        like = self.shape_of(a, gate, &axis)
        if out is not None:
            given = checked_out(out, like, dtype, "out")
        a = loadable(a, computed)
        b = loadable(b, computed)
        result = place_for(given, like, dtype, computed, a, b, None)
        first = self.prepare(&work, computed == SINGLE, False)
        work.in_rooms = meets(result, a) or meets(result, b)
        if not lay_out(&work.form, &work.operands[0], (a, a if b is None else b, None, result, None),
                       cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), halves):
            a, b = row_after_row(a), row_after_row(b)
            lay_out(&work.form, &work.operands[0], (a, a if b is None else b, None, result, None),
                    cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), halves)
        if b is None:
            work.operands[0 if first else 1].first += half_of(a, axis)
        if cnp.PyArray_SIZE(like):
            run(&work, cnp.PyArray_SIZE(like))
        return given_back(result, given, out)

    def __call__(self, x, gate=None, *, out=None):
        """a f(b): of the halves of x, or of x and `gate`."""
        return self.forward(x, gate, out=out)

    def backward(self, x=None, y=None, grad=None, out=None, *, gate=None):
        """The gradient of x, given `grad`, that of the result; with `gate`, the pair of the gradients of x and gate. Of a
        gate that is broadcast it has the gate's shape: sums.

        y, what `forward` gave, is not needed. `out` is an array like x, or a pair like x and gate; it may be x.
        """
        cdef Work work
        cdef cnp.ndarray a, b, g, like, da, own = None, db = None, first_out = None, second_out = None
        cdef bint alike = True
        cdef object dtype
        cdef Kind computed
        cdef int axis = 0
        cdef bint first
        if x is None or grad is None:
            raise TypeError("backward takes x and grad")
        a = as_array(x, "x")
        result_dtype(a)
        if y is not None and overwritten(x, y):
            raise ValueError(OVERWRITTEN)
        if gate is not None:
            own = as_array(gate, "gate")
            alike = cnp.PyArray_SAMESHAPE(own, a)
        b = None if gate is None else operand(own, a, "gate")
        like = self.shape_of(a, gate, &axis)
        g = operand(grad, like, "grad")
        if not (cnp.PyArray_SAMESHAPE(self.shape_of(a, gate, &axis), like)
                and (b is None or cnp.PyArray_SAMESHAPE(b, like))):        # grad's __array__ may have done anything to both
            raise ValueError("x or gate changed its shape while grad was converted")
        dtype = result_dtype(a)
        computed = DOUBLE if dtype == np.float64 else SINGLE
        wide = np.dtype(np.float64 if computed == DOUBLE else np.float32)
        if out is not None and gate is None:
            first_out = checked_out(out, a, dtype, "out")
        elif out is not None:
            first_out, second_out = checked_pair(out, a, own, dtype)
        a, b, g = loadable(a, computed), loadable(b, computed), loadable(g, computed)
        da = place_for(first_out, a, dtype, computed, a, b, g)
        if b is not None:
            db = place_for(second_out if alike else None, a, dtype if alike else wide, computed, a, b, g)
        first = self.prepare(&work, computed == SINGLE, True)
        work.in_rooms = (meets(da, a) or meets(da, b) or meets(da, g)
                         or db is not None and (meets(db, a) or meets(db, b) or meets(db, g)))
        if not lay_out(&work.form, &work.operands[0], (a, a if b is None else b, g, da, da if db is None else db),
                       cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), halves):
            a, b, g = row_after_row(a), row_after_row(b), row_after_row(g)
            lay_out(&work.form, &work.operands[0], (a, a if b is None else b, g, da, da if db is None else db),
                    cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), halves)
        if b is None:
            work.operands[0 if first else 1].first += half_of(a, axis)
            work.operands[3 if first else 4].first += half_of(da, axis)
        if cnp.PyArray_SIZE(like):
            run(&work, cnp.PyArray_SIZE(like))
        if gate is None:
            return given_back(da, first_out, out)
        if not alike:
            db = narrowed(db, own, dtype)
        both = given_back(da, first_out, None), given_back(db, second_out, None)
        return both if out is None else out


def sums_over(full, gate):
    """What is the gradient of a gate, given that of its elements after it was broadcast: sums in double precision, in its own
    shape."""
    cdef cnp.ndarray of_each = as_array(full, "full")
    cdef cnp.ndarray like = as_array(gate, "gate")
    if cnp.PyArray_SAMESHAPE(of_each, like):
        return full
    return narrowed(of_each, like, of_each.dtype)


def checked_gradients(x, gate, out):
    """The arrays of `out` that gradients of x or, with one, of the gate go to. Raises as they do not fit."""
    cdef cnp.ndarray a
    if out is None:
        return None
    a = as_array(x, "x")
    if gate is None:
        return (checked_out(out, a, result_dtype(a), "out"),)
    return checked_pair(out, a, as_array(gate, "gate"), result_dtype(a))


cdef cnp.ndarray narrowed(cnp.ndarray full, cnp.ndarray like, object dtype):
    cdef int new = cnp.PyArray_NDIM(full) - cnp.PyArray_NDIM(like)
    axes = tuple(i for i in range(cnp.PyArray_NDIM(full))
                 if i < new or cnp.PyArray_DIM(like, i - new) != cnp.PyArray_DIM(full, i))
    with np.errstate(all="ignore"):
        return np.asarray(np.sum(full, axis=axes, dtype=np.float64)).reshape((<object>like).shape).astype(dtype)


cdef tuple checked_pair(object out, cnp.ndarray a, cnp.ndarray b, object dtype):
    """The gradients of a and b, each like its own."""
    if not isinstance(out, tuple) or len(<tuple>out) != 2:
        raise TypeError("out must be a pair of arrays")
    first, second = checked_out((<tuple>out)[0], a, dtype, "out[0]"), checked_out((<tuple>out)[1], b, dtype, "out[1]")
    if share_memory(first, second):
        raise ValueError("the two arrays of out must not share memory")
    return first, second


cdef cnp.ndarray only_shape(int axes, cnp.npy_intp *dims):
    """An array of a shape, whose memory is never looked at."""
    cdef cnp.npy_intp steps[MOST_DIMS]
    cdef int i
    for i in range(axes):
        steps[i] = 0
    return cnp.PyArray_New(np.ndarray, axes, dims, cnp.NPY_BOOL, steps, &nothing, 1, 0, None)


cdef inline Py_ssize_t half_of(cnp.ndarray a, int axis) noexcept:
    """Bytes from the first half of an axis to the second."""
    return cnp.PyArray_STRIDE(a, axis) * (cnp.PyArray_DIM(a, axis) // 2)


cdef inline cnp.ndarray loadable(cnp.ndarray a, Kind computed):
    if a is None or fits(a, computed):
        return a
    return copied(a, np.dtype(np.float64 if computed == DOUBLE else np.float32))


cdef cnp.ndarray row_after_row(cnp.ndarray a):
    return None if a is None else copied(a, a.dtype)


cdef inline bint meets(cnp.ndarray out, cnp.ndarray a) noexcept:
    return a is not None and spans_meet(out, a)


cdef bint in_the_way(cnp.ndarray out, cnp.ndarray a) noexcept:
    """Whether a block of results may be written where one that is still to be read lies."""
    return a is not None and spans_meet(out, a) and not (lie_alike(out, a) and cnp.PyArray_SAMESHAPE(out, a))


cdef cnp.ndarray place_for(cnp.ndarray out, cnp.ndarray like, object dtype, Kind computed, cnp.ndarray a, cnp.ndarray b,
                           cnp.ndarray g):
    """Where results are written: `out`, if blocks can be stored there while others are read, or a new array."""
    if (out is not None and fits(out, computed) and not steps_over_itself(out)
            and not in_the_way(out, a) and not in_the_way(out, b) and not in_the_way(out, g)):
        return out
    if dtype.num == cnp.NPY_DOUBLE or dtype.num == cnp.NPY_FLOAT:
        return new_result(like, dtype.num, False)
    return np.empty((<object>like).shape, dtype)


cdef object given_back(cnp.ndarray result, cnp.ndarray given, object out):
    """The result, in the array that was given; without axes a scalar."""
    if given is not None:
        if given is not result:
            fill(given, result)
        return given if out is None else out
    return result[()] if cnp.PyArray_NDIM(result) == 0 else result


def _stream_above(nbytes):
    """Write past the cache when a call reads and writes more than so many bytes; the number before. For tests and
    measurements; 0 is for every gate, heavy or not.
    """
    global stream_above
    before = stream_above
    stream_above = nbytes
    return before
