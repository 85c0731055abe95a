# cython: boundscheck=False, wraparound=False, initializedcheck=False
# (with `binding`, off in tools/translation.py, a method that is called on an object of another class crashes)
"""How arrays are walked for elementwise kernels: layouts, blocks and threads.

Arrays that lie contiguous in memory are run through flat, split over threads (blocks.pxd), halves of them converted a
block at a time. float32 and float64 with gaps or in different memory orders go tile by tile (tiles.pxd). Everything
else - other byte orders, dtypes that are cast, operands that overlap in part - goes through the small buffers of NumPy's
iterator. Results that outgrow the last cache go past it. A number has a path of its own, without an array.
"""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.arrays cimport (DOUBLE, FLOAT16, OTHER, SINGLE, Kind, alike, apart, as_array, checked_out,
                                 checked_pair, flat, kind_of, must_be_bound, operand, overwritten, partly_overlaps,
                                 result_dtype, same_order)
from fastnn.core.blocks cimport BLOCK, STREAMED, Work, call, run_part
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport (BOTH, FIRST, FIRST_BY_VALUE, MOST_PARAMETERS, PRODUCT, PRODUCT_BY_VALUE, SECOND,
                                  VALUE)
from fastnn.core.memory cimport copy_of, new_like, new_result
from fastnn.core.stored cimport load_half, store_half
from fastnn.core.streaming cimport FASTNN_STREAMS
from fastnn.core.threads cimport (begun, fastnn_cancellation, fastnn_cancelled, raise_if_over, share_cancellable, share_with,
                                   threads_for)
from fastnn.core.tiles cimport (MOST_AXES, MOST_OPERANDS, Tiles, lay_out, lie_alike, lies_over_itself, number_of_tiles,
                                 run_tiles, spans_meet)
from fastnn.core.vecmath cimport real
from fastnn.core.arrays import OVERWRITTEN
from fastnn.core.levels import kernels, rules
from fastnn.core.processor import last_level_cache

cnp.import_array()

cdef extern from "clock.h":
    long long fastnn_now() noexcept nogil

cdef extern from "numbers.h":
    enum: FASTNN_NO_NUMBER
    enum: FASTNN_SINGLE
    int fastnn_number(object x, double *value) noexcept
    object fastnn_float_scalar(float value)
    object fastnn_double_scalar(double value)

cdef extern from "numpy/arrayobject.h":
    cnp.NpyIter *new_numpy_iterator "NpyIter_AdvancedNew"(
        int nop, cnp.PyArrayObject **ops, cnp.npy_uint32 flags, cnp.NPY_ORDER order, cnp.NPY_CASTING casting,
        cnp.npy_uint32 *op_flags, cnp.PyArray_Descr **op_dtypes, int oa_ndim, int **op_axes,
        const cnp.npy_intp *itershape, cnp.npy_intp buffersize) except? NULL

cdef enum:
    LIGHT = 150             # ns for a block at most, 14 GB/s: heavier kernels hide ordinary stores in their arithmetic
    MOST_WALKS = 16         # parts of a call over NumPy's iterators
    WALK_APART = 1 << 21    # elements; for fewer, so many iterators (40 us) may cost more than a second thread gives
    HALF_COSTS = 8          # times as much: NumPy converts float16 one by one
    UNTIL_POLL = 1 << 16    # elements that a walk covers between two checks whether the call is cancelled
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives
    MOST_STEP = 64          # STEP at most

cdef Py_ssize_t STEP = kernels.STEP         # a kernel is given a multiple of so many elements
cdef uintptr_t[2][2] halves = [rules.HALVES["float16"], rules.HALVES["bfloat16"]]   # what loads, and what stores
cdef Py_ssize_t stream_above = last_level_cache()      # bytes of inputs and outputs together

cdef void run_single(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    run_part(<const Work *>work, True, start, stop)


cdef void run_double(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    run_part(<const Work *>work, False, start, stop)


cdef bint outgrows_the_cache(const Work *work, bint single, Py_ssize_t n) noexcept:
    """What a call reads and writes is more than the last cache holds, and it does not write where it has just read."""
    cdef Py_ssize_t arrays = 2 + (work.y != NULL) + (work.second != NULL)
    return (n * (4 if single else 8) * arrays > stream_above and work.out != work.x and work.out != work.y
            and work.second != work.x)


cdef bint is_light(const Work *work, real *x) noexcept:
    """Whether the kernel by itself writes faster than memory does, by its time for the first block of x."""
    cdef real[BLOCK] room
    cdef Py_ssize_t n = STREAMED // sizeof(real)
    cdef long long least = LIGHT + 1, start
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    for _ in range(4):                  # the first one brings everything into the cache
        start = fastnn_now()
        call(work, x, <const real *>work.y, room, <real *>NULL, n)
        least = min(least, fastnn_now() - start)
    fastnn_fp_leave(state)
    return least <= LIGHT


cdef bint streaming_pays(const Work *work, bint single, Py_ssize_t n) noexcept:
    if not FASTNN_STREAMS or work.load != NULL or not outgrows_the_cache(work, single, n):
        return False
    if work.second != NULL or stream_above == 0:
        return True                     # two results are more to write than any kernel makes cheap
    return is_light[float](work, <float *>work.x) if single else is_light[double](work, <double *>work.x)


cdef int run(Work *work, bint single, Py_ssize_t n) except -1:
    """All n elements, over as many threads as pay, split between blocks."""
    cdef int threads
    if n < WITH_GIL:
        run_part(work, single, 0, n)
        return 0
    work.streaming = streaming_pays(work, single, n)
    threads = threads_for(n if single else 2 * n)
    with nogil:
        return share_cancellable(run_single if single else run_double, work, n, BLOCK, threads, n)


cdef inline int gapless_flags(cnp.ndarray a) noexcept:
    """What an array without gaps that lies as `a` does has; a need not."""
    return cnp.NPY_ARRAY_ALIGNED | (cnp.NPY_ARRAY_C_CONTIGUOUS if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS)
                                    else cnp.NPY_ARRAY_F_CONTIGUOUS)


cdef inline bint plain(cnp.ndarray a, Kind kind, int flags) noexcept:
    """a can be run through as it is: it has axes, no gaps, and numbers that kernels take."""
    return (kind != OTHER and cnp.PyArray_NDIM(a) > 0 and cnp.PyArray_CHKFLAGS(a, flags)
            and cnp.PyArray_ISNOTSWAPPED(a))


cdef inline bint plain_pair(object out, cnp.ndarray a, int flags) noexcept:
    """Two arrays like a, apart from each other, each of which is a itself or shares nothing with it."""
    if type(out) is not tuple or len(<tuple>out) != 2:
        return False
    cdef object first = (<tuple>out)[0], second = (<tuple>out)[1]
    return (alike(first, a, flags) and alike(second, a, flags) and apart(<cnp.ndarray>first, <cnp.ndarray>second)
            and not partly_overlaps(<cnp.ndarray>first, a) and not partly_overlaps(<cnp.ndarray>second, a))


cdef inline void point(Work *work, char **operands, int inputs, int count) noexcept nogil:
    """Set the memory of the inputs (x, perhaps y) and of the outputs behind them."""
    work.x = operands[0]
    work.y = operands[1] if inputs == 2 else NULL
    work.out = operands[inputs]
    work.second = operands[inputs + 1] if count > inputs + 1 else NULL


cdef inline void run_number(const Work *work, double x, double y, bint two, real (*room)[MOST_STEP]) noexcept:
    """f(x) in room[2][0], a second result in room[3][0]. What is read beside the numbers is 0."""
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    memset(room[0], 0, STEP * sizeof(real))
    room[0][0] = <real>x
    if two:
        memset(room[1], 0, STEP * sizeof(real))
        room[1][0] = <real>y
    call(work, room[0], room[1] if two else NULL, room[2], room[3], STEP)
    fastnn_fp_leave(state)


cdef struct Walk:
    # one of NumPy's iterators
    cnp.NpyIter *it
    cnp.NpyIter_IterNextFunc advance
    char **pointers
    cnp.npy_intp *size

cdef struct Walks:
    const Work *work
    bint single
    int inputs
    int count               # of operands
    fastnn_cancellation *cancellation       # or NULL
    Walk walks[MOST_WALKS]


cdef cnp.NpyIter *new_iterator(list operands, int inputs, object dtype) except NULL:
    """NumPy's iterator over operands of any layout, with buffers of `dtype` for those that need them."""
    cdef int count = len(operands)
    cdef int i
    cdef cnp.PyArrayObject *arrays[4]
    cdef cnp.PyArray_Descr *dtypes[4]
    cdef cnp.npy_uint32 flags[4]
    for i in range(count):
        arrays[i] = <cnp.PyArrayObject *>operands[i]
        dtypes[i] = <cnp.PyArray_Descr *>dtype
        flags[i] = (cnp.NPY_ITER_NBO | cnp.NPY_ITER_ALIGNED | cnp.NPY_ITER_CONTIG
                    | cnp.NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE
                    | (cnp.NPY_ITER_READONLY if i < inputs else cnp.NPY_ITER_WRITEONLY | cnp.NPY_ITER_NO_BROADCAST))
    cdef cnp.NpyIter *made = new_numpy_iterator(
        count, arrays, cnp.NPY_ITER_EXTERNAL_LOOP | cnp.NPY_ITER_BUFFERED | cnp.NPY_ITER_GROWINNER
        | cnp.NPY_ITER_ZEROSIZE_OK | cnp.NPY_ITER_COPY_IF_OVERLAP,
        cnp.NPY_KEEPORDER, cnp.NPY_UNSAFE_CASTING, flags, dtypes, -1, NULL, NULL, 8 * BLOCK)
    if made == NULL:
        raise MemoryError               # NumPy (2.4) sets no exception then
    return made


cdef void walk(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Run over the iterators start to stop."""
    cdef Walks *walks = <Walks *>context
    cdef Walk *one
    cdef Work work = walks.work[0]
    cdef Py_ssize_t left = UNTIL_POLL
    cdef Py_ssize_t i, at, n
    for i in range(start, stop):
        one = &walks.walks[i]
        while True:
            point(&work, one.pointers, walks.inputs, walks.count)
            at = 0
            while at < one.size[0]:
                n = min(one.size[0] - at, <Py_ssize_t>UNTIL_POLL)
                run_part(&work, walks.single, at, at + n)
                at += n
                left -= n
                if left <= 0:
                    if walks.cancellation != NULL and fastnn_cancelled(walks.cancellation):
                        return
                    left = UNTIL_POLL
            if not one.advance(one.it):
                break


cdef bint separable(list operands, int inputs):
    """No element that one part writes is read or written by another: outputs share no memory, or are an input."""
    for i, out in enumerate(operands[inputs:], inputs):
        extent = out.itemsize
        for step, size in sorted([(abs(step), size) for size, step in zip(out.shape, out.strides)]):
            if size > 1:
                if step < extent:
                    return False            # it lies over itself
                extent += step * (size - 1)
        for other in operands[:i]:
            if np.may_share_memory(out, other) and not (
                    out.ctypes.data == other.ctypes.data and out.strides == other.strides and out.dtype == other.dtype):
                return False
    return True


cdef list cut(list operands, int inputs, int parts):
    """The operands of each part: slices along the axis of the last output's widest step that is long enough."""
    out = operands[inputs]
    axes = sorted(range(out.ndim), key=[-abs(step) for step in out.strides].__getitem__)
    axis = next((axis for axis in axes if out.shape[axis] >= 2 * parts), max(axes, key=out.shape.__getitem__))
    parts = min(parts, out.shape[axis])
    borders = [out.shape[axis] * part // parts for part in range(parts + 1)]
    return [[array[(slice(None),) * axis + (slice(start, stop),)] for array in operands]
            for start, stop in zip(borders, borders[1:])]


cdef void iterate(Work *work, bint single, list operands, int inputs) except *:
    """Run over arrays of any layout. `operands` are the inputs (x, perhaps y), then the outputs."""
    cdef Py_ssize_t n = operands[0].size
    cdef Py_ssize_t cost = n * (HALF_COSTS if operands[0].itemsize == 2 else 1)
    cdef int threads = threads_for(cost) if cost >= WALK_APART else 1
    cdef object dtype = np.dtype(np.float32 if single else np.float64)
    cdef list parts = [operands]
    cdef int count = 0
    cdef bint in_python = False
    cdef Walks walks
    cdef Walk *one
    cdef fastnn_cancellation cancellation
    if n == 0:
        return
    if threads > 1 and separable(operands, inputs):
        parts = cut(operands, inputs, MOST_WALKS)
    walks.work = work
    walks.single = single
    walks.inputs = inputs
    walks.count = len(operands)
    walks.cancellation = begun(&cancellation, cost)
    try:
        for part in parts:
            one = &walks.walks[count]
            one.it = new_iterator(part, inputs, dtype)
            count += 1
            one.advance = cnp.NpyIter_GetIterNext(one.it, NULL)
            one.pointers = cnp.NpyIter_GetDataPtrArray(one.it)
            one.size = cnp.NpyIter_GetInnerLoopSizePtr(one.it)
            in_python = in_python or cnp.NpyIter_IterationNeedsAPI(one.it)
        if n < WITH_GIL or in_python:
            walk(&walks, 0, count)
            raise_if_over(walks.cancellation)
        else:
            with nogil:
                share_with(walk, &walks, count, 1, threads, walks.cancellation)
    finally:
        for i in range(count):
            cnp.NpyIter_Deallocate(walks.walks[i].it)


cdef bint run_in_tiles(Work *work, bint single, list operands, int inputs) except *:
    """Run over float32 or float64 arrays with gaps or of different memory orders; False if nothing has been done."""
    cdef cnp.ndarray a = operands[0]
    cdef cnp.ndarray b
    cdef int i, k, axis
    cdef int kind = cnp.NPY_FLOAT if single else cnp.NPY_DOUBLE
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(a), n = cnp.PyArray_SIZE(a)
    cdef int threads = threads_for(n if single else 2 * n)
    cdef Tiles tiles
    if cnp.PyArray_NDIM(a) > MOST_AXES or n == 0:
        return False
    tiles.work = work
    tiles.single = single
    tiles.inputs = inputs
    tiles.count = len(operands)
    tiles.axes = cnp.PyArray_NDIM(a)
    for axis in range(tiles.axes):
        tiles.shape[axis] = cnp.PyArray_DIM(a, axis)
    for k in range(tiles.count):
        b = operands[k]
        if not (cnp.PyArray_TYPE(b) == kind and cnp.PyArray_ISNOTSWAPPED(b)
                and cnp.PyArray_CHKFLAGS(b, cnp.NPY_ARRAY_ALIGNED)):
            return False
        tiles.first[k] = cnp.PyArray_BYTES(b)
        for axis in range(tiles.axes):
            tiles.steps[k][axis] = cnp.PyArray_STRIDE(b, axis) if tiles.shape[axis] > 1 else 0
            if tiles.steps[k][axis] % size:
                return False
    for k in range(inputs, tiles.count):
        if lies_over_itself(&tiles, k, size):
            return False
        for i in range(k):
            if (spans_meet(&tiles, k, i, size) and not (i < inputs and lie_alike(&tiles, k, i))
                    and np.may_share_memory(operands[k], operands[i], 1)):
                return False
    if not lay_out(&tiles, size):
        return False
    if n < WITH_GIL:
        run_tiles(&tiles, 0, number_of_tiles(&tiles))
        return True
    with nogil:
        share_cancellable(run_tiles, &tiles, number_of_tiles(&tiles), 1, threads, n)
    return True


cdef class Elementwise:
    """A kernel and its hyperparameters, ready to be run over arrays. The catalogues' classes derive from it."""

    cdef uintptr_t kernels[2]           # for float, for double
    cdef float single_parameters[MOST_PARAMETERS]
    cdef double double_parameters[MOST_PARAMETERS]

    def _bind(self, tuple kernels, parameters):
        """Set the addresses of the kernels and the hyperparameters that they read."""
        cdef int i
        cdef uintptr_t[2] addresses
        cdef float[MOST_PARAMETERS] singles
        cdef double[MOST_PARAMETERS] doubles
        if len(parameters) > MOST_PARAMETERS:
            raise ValueError(f"a kernel has at most {MOST_PARAMETERS} parameters, not {len(parameters)}")
        addresses = kernels
        for i in range(MOST_PARAMETERS):
            doubles[i] = parameters[i] if i < len(parameters) else 0
            singles[i] = <float>doubles[i]
        with cython.critical_section(self):
            memcpy(self.kernels, addresses, sizeof(addresses))
            memcpy(self.single_parameters, singles, sizeof(singles))
            memcpy(self.double_parameters, doubles, sizeof(doubles))

    cdef uintptr_t bound(self, bint single, double *room) noexcept:
        """The kernel; its hyperparameters are copied to the call's own room, for they may be set meanwhile."""
        with cython.critical_section(self):
            if single:
                memcpy(room, self.single_parameters, sizeof(self.single_parameters))
            else:
                memcpy(room, self.double_parameters, sizeof(self.double_parameters))
            return self.kernels[0 if single else 1]

    def _bound(self, bint single):
        """(address of the kernel, the hyperparameters that it reads as bytes), for affine.pyx."""
        cdef double[MOST_PARAMETERS] room
        cdef Py_ssize_t size = MOST_PARAMETERS * (sizeof(float) if single else sizeof(double))
        must_be_bound(self.kernels[0])
        address = self.bound(single, room)
        return address, (<const char *>room)[:size]

    cdef void prepare(self, Work *work, Kind kind, int order) noexcept:
        work.kernel = self.bound(kind != DOUBLE, work.parameters)
        work.order = order
        work.step = STEP
        work.streaming = False
        work.load = NULL
        if kind >= FLOAT16:
            work.load = <load_half>halves[kind - FLOAT16][0]
            work.store = <store_half>halves[kind - FLOAT16][1]
        work.x = work.y = NULL
        work.out = work.second = NULL

    cdef object apply(self, int order, object x, object grad, object out):
        """One input, perhaps a gradient to multiply with, one output: the plain cases here, all others in apply_any."""
        cdef Work work
        cdef cnp.ndarray a, result
        cdef Kind kind
        cdef int layout
        must_be_bound(self.kernels[0])
        if not cnp.PyArray_CheckExact(x):
            return self.apply_number(order, x, grad, out)
        a = <cnp.ndarray>x
        kind = kind_of(a)
        layout = gapless_flags(a)
        if not (plain(a, kind, layout)
                and (out is None or alike(out, a, layout | cnp.NPY_ARRAY_WRITEABLE))
                and (grad is None or alike(grad, a, layout) and (
                    out is None or not partly_overlaps(<cnp.ndarray>out, <cnp.ndarray>grad)))):
            return self.apply_any(order, x, grad, out, None if grad is None else "grad")
        if out is None:
            result = new_result(a, cnp.PyArray_TYPE(a), not layout & cnp.NPY_ARRAY_C_CONTIGUOUS)
        else:
            result = <cnp.ndarray>out
            if partly_overlaps(result, a):
                return self.apply_any(order, x, grad, out, None if grad is None else "grad")
        self.prepare(&work, kind, order)
        work.x = cnp.PyArray_BYTES(a)
        work.out = cnp.PyArray_BYTES(result)
        if grad is not None:
            work.y = cnp.PyArray_BYTES(<cnp.ndarray>grad)
        run(&work, kind != DOUBLE, cnp.PyArray_SIZE(a))
        return result

    cdef object apply_both(self, object x, object out):
        """The same for f and f'; out is None or a pair."""
        cdef Work work
        cdef cnp.ndarray a, value, derivative
        cdef Kind kind
        cdef int layout, fortran
        must_be_bound(self.kernels[0])
        if not cnp.PyArray_CheckExact(x):
            return self.apply_number(BOTH, x, None, out)
        a = <cnp.ndarray>x
        kind = kind_of(a)
        layout = gapless_flags(a)
        if not (plain(a, kind, layout)
                and (out is None or plain_pair(out, a, layout | cnp.NPY_ARRAY_WRITEABLE))):
            return self.apply_any(BOTH, x, None, out, None)
        if out is None:
            fortran = not layout & cnp.NPY_ARRAY_C_CONTIGUOUS
            value = new_result(a, cnp.PyArray_TYPE(a), fortran)
            derivative = new_result(a, cnp.PyArray_TYPE(a), fortran)
        else:
            value, derivative = (<tuple>out)[0], (<tuple>out)[1]
        self.prepare(&work, kind, BOTH)
        work.x = cnp.PyArray_BYTES(a)
        work.out = cnp.PyArray_BYTES(value)
        work.second = cnp.PyArray_BYTES(derivative)
        run(&work, kind != DOUBLE, cnp.PyArray_SIZE(a))
        return (value, derivative) if out is None else out

    cdef object apply_number(self, int order, object x, object grad, object out):
        """x is no array: a scalar of a number, which is computed without an array, apply_any for all else."""
        cdef Work work
        cdef double number, factor = 0
        cdef int kind
        cdef bint both = order == BOTH
        cdef float[4][MOST_STEP] singles
        cdef double[4][MOST_STEP] doubles
        kind = FASTNN_NO_NUMBER if out is not None else fastnn_number(x, &number)
        if kind == FASTNN_NO_NUMBER or grad is not None and fastnn_number(grad, &factor) == FASTNN_NO_NUMBER:
            return self.apply_any(order, x, grad, out, None if grad is None else "grad")
        self.prepare(&work, SINGLE if kind == FASTNN_SINGLE else DOUBLE, order)
        if kind == FASTNN_SINGLE:
            run_number(&work, number, factor, grad is not None, &singles[0])
            return ((fastnn_float_scalar(singles[2][0]), fastnn_float_scalar(singles[3][0])) if both
                    else fastnn_float_scalar(singles[2][0]))
        run_number(&work, number, factor, grad is not None, &doubles[0])
        return ((fastnn_double_scalar(doubles[2][0]), fastnn_double_scalar(doubles[3][0])) if both
                else fastnn_double_scalar(doubles[2][0]))

    cdef object apply_any(self, int order, object x, object other, object out, str other_name):
        """Any operands; without a name there is no other. Results are `out`, or new."""
        cdef bint both = order == BOTH
        must_be_bound(self.kernels[0])
        cdef cnp.ndarray a = as_array(x, "x")
        cdef object dtype = result_dtype(a)
        cdef list inputs = [a]
        if other_name is not None:
            inputs.append(operand(other, a, other_name))
            dtype = result_dtype(a)     # the other's __array__ may have done anything, to x as well
        cdef list outputs
        if out is None:
            # no comprehensions here: where a list cannot grow, Cython 3.3 frees the element twice
            outputs = [new_like(a, dtype), new_like(a, dtype)] if both else [new_like(a, dtype)]
        elif both:
            outputs = checked_pair(out, a, dtype)
        else:
            outputs = [checked_out(out, a, dtype, "out")]
        self.run_over(order, inputs, outputs)
        if out is not None:
            return out
        if cnp.PyArray_NDIM(a) == 0:
            outputs = [outputs[0][()], outputs[1][()]] if both else [outputs[0][()]]
        return tuple(outputs) if both else outputs[0]

    cdef void run_over(self, int order, list inputs, list outputs) except *:
        """Arrays of any layout and one shape, the outputs of the result's dtype and apart from each other."""
        cdef cnp.ndarray a = outputs[0]
        cdef Kind kind = kind_of(a)
        cdef list operands = inputs + outputs
        cdef bint straight = True, single = kind != DOUBLE
        cdef cnp.ndarray b
        cdef char *memory[MOST_OPERANDS]
        cdef Py_ssize_t i
        cdef Work work
        for b in operands:
            straight = straight and flat(b, cnp.PyArray_TYPE(a)) and same_order(a, b)
        for given in outputs:
            for b in inputs:
                straight = straight and not partly_overlaps(given, b)
        self.prepare(&work, kind, order)
        if straight:
            for i, b in enumerate(operands):
                memory[i] = cnp.PyArray_BYTES(b)
            point(&work, memory, len(inputs), len(operands))
            run(&work, single, cnp.PyArray_SIZE(a))
        elif not (kind < FLOAT16 and run_in_tiles(&work, single, operands, len(inputs))):
            work.load = NULL                # the iterator converts
            # one axis at least: with two operands without axes NumPy 2.2's iterator gave a wrong pointer
            with np.errstate(all="ignore"):     # a result beyond float16 is infinite, as elsewhere
                iterate(&work, single, list(map(np.atleast_1d, operands)), len(inputs))


cdef class ElementwiseActivation(Elementwise):
    """y = f(x) element by element, with f' and f''.

    x is anything `np.asarray` takes, of any shape and memory layout. float16, bfloat16, float32 and float64 keep their
    dtype (half precision is computed in float32), bool and integers become float64; a number gives a NumPy scalar.
    Results have x's shape and memory order; `out` must have them, their dtype, and be writable. It may be x.
    A signal's handler that raises, as that of Ctrl-C does, ends a long call; `out` is then written in part.

    Raises TypeError for other dtypes and masked arrays, ValueError for shapes that do not fit or a read-only `out`.
    """

    cdef bint alike_at_value            # f'(f(x)) is f'(x) for every x
    cdef bint by_value_                 # f' is a function of f(x) that the kernel knows

    def _known_by_value(self, bint alike, bint known):
        with cython.critical_section(self):
            self.alike_at_value, self.by_value_ = alike, known

    @property
    def by_value(self):
        """Whether `backward` can do without x: f' is a function of y = f(x)."""
        return self.by_value_

    def forward(self, x, out=None):
        """f(x)."""
        return self.apply(VALUE, x, None, out)

    def __call__(self, x, out=None):
        """f(x)."""
        return self.apply(VALUE, x, None, out)

    def backward(self, x=None, y=None, grad=None, out=None):
        """f'(x), or grad * f'(x) in one pass; grad has x's shape (or broadcasts to it) and may be `out`.

        With x, y = f(x), which the articles pass, is not needed: f' is computed from x, which keeps the digits that y has
        lost. ValueError where y lies in x's memory, so that x has been overwritten, unless f' at y is f' at x (ReLU's).
        Without x, `backward(y=y, grad=g)` computes it from y, exactly for that y, at the speed of memory. ValueError
        where y does not determine f' (`by_value` is False); TypeError with neither x nor y.
        """
        if x is None:
            if y is None:
                raise TypeError("backward takes x, or y=f(x) alone")
            if not self.by_value_:
                raise ValueError(f"f' of {self.name} cannot be told from y = f(x): backward takes x")
            return self.apply(FIRST_BY_VALUE if grad is None else PRODUCT_BY_VALUE, y, grad, out)
        if y is not None and not self.alike_at_value and overwritten(x, y):
            raise ValueError(OVERWRITTEN)
        return self.apply(FIRST if grad is None else PRODUCT, x, grad, out)

    def d2y(self, x, out=None):
        """f''(x)."""
        return self.apply(SECOND, x, None, out)

    def value_and_grad(self, x, out=None):
        """(f(x), f'(x)) in one pass; out is a pair of arrays."""
        return self.apply_both(x, out)


cdef class ElementwiseLoss(Elementwise):
    """A loss of predictions and targets, element by element, with its derivative in the predictions.

    Arrays as in `ElementwiseActivation`; the targets are cast to the predictions' dtype and broadcast to their shape.
    """

    def _value_and_derivative(self, y, t, out, bint both):
        """(the losses, their derivative in y), in one pass; the derivative is an array always, or None unless `both`."""
        cdef cnp.ndarray a, losses
        cdef cnp.ndarray derivative = None
        cdef Work work
        cdef Kind kind
        cdef int layout
        must_be_bound(self.kernels[0])
        if cnp.PyArray_CheckExact(y) and out is None:
            a = <cnp.ndarray>y
            kind = kind_of(a)
            layout = gapless_flags(a)
            if plain(a, kind, layout) and alike(t, a, layout):
                losses = new_result(a, cnp.PyArray_TYPE(a), not layout & cnp.NPY_ARRAY_C_CONTIGUOUS)
                self.prepare(&work, kind, BOTH if both else VALUE)
                work.x = cnp.PyArray_BYTES(a)
                work.y = cnp.PyArray_BYTES(<cnp.ndarray>t)
                work.out = cnp.PyArray_BYTES(losses)
                if both:
                    derivative = new_result(a, cnp.PyArray_TYPE(a), not layout & cnp.NPY_ARRAY_C_CONTIGUOUS)
                    work.second = cnp.PyArray_BYTES(derivative)
                run(&work, kind != DOUBLE, cnp.PyArray_SIZE(a))
                return losses, derivative
        return self.value_and_derivative_of_any(y, t, out, both)

    cdef object value_and_derivative_of_any(self, object y, object t, object out, bint both):
        cdef cnp.ndarray a = as_array(y, "y")
        result_dtype(a)
        cdef cnp.ndarray b = operand(t, a, "t")
        cdef object dtype = result_dtype(a)     # t's __array__ may have done anything, to y as well
        cdef cnp.ndarray losses = new_like(a, dtype) if out is None else checked_out(out, a, dtype, "out")
        cdef cnp.ndarray derivative = new_like(a, dtype) if both else None
        self.run_over(BOTH if both else VALUE, [a, b], [losses, derivative] if both else [losses])
        if out is not None:
            return out, derivative
        return losses[()] if cnp.PyArray_NDIM(a) == 0 else losses, derivative

    def _derivative(self, y, t, out=None):
        return self.apply_any(FIRST, y, t, out, "t")

    def _copy(self, derivative, out=None):
        """What is handed out of a derivative that is kept: a copy, a scalar of one without axes."""
        return copy_of(derivative, out)


def _stream_above(nbytes):
    """Write past the cache when a call's inputs and outputs exceed so many bytes; the number before.

    For tests and measurements; 0 is for every kernel, light or not.
    """
    global stream_above
    before = stream_above
    stream_above = nbytes
    return before
