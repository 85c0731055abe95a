# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, embedsignature.format=clinic
# (with binding, Cython's default, a method that is called on an object of another class crashes)
"""How arrays are walked for elementwise kernels: layouts, blocks and threads.

Arrays that lie contiguous in memory are run through flat, split over threads. Everything else - strides, other byte
orders, half precision, operands that overlap in part - goes block by block through the small buffers of NumPy's
iterator. Results that outgrow the last cache go past it.
"""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from fastnn.core.arrays cimport (as_array, checked_out, checked_pair, flat, must_be_bound, operand, overwritten,
                                 partly_overlaps, result_dtype, same_order)
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport (BOTH, FIRST, FIRST_BY_VALUE, MOST_PARAMETERS, PRODUCT, PRODUCT_BY_VALUE, SECOND,
                                  VALUE, elementwise_double, elementwise_float)
from fastnn.core.loops cimport padded
from fastnn.core.memory cimport copy_of, new_like, new_result
from fastnn.core.streaming cimport (FASTNN_LINE, FASTNN_STREAMS, fastnn_prefetch, fastnn_stream,
                                     fastnn_stream_end)
from fastnn.core.threads cimport (begun, fastnn_watch, fastnn_watch_over, raise_if_over, share_watched, share_with,
                                   threads_for)
from fastnn.core.vecmath cimport real
from fastnn.core.arrays import OVERWRITTEN
from fastnn.core.levels import kernels
from fastnn.core.processor import last_level_cache

cnp.import_array()

cdef extern from "clock.h":
    long long fastnn_now() noexcept nogil

cdef extern from "numpy/arrayobject.h":
    cnp.NpyIter *new_numpy_iterator "NpyIter_AdvancedNew"(
        int nop, cnp.PyArrayObject **ops, cnp.npy_uint32 flags, cnp.NPY_ORDER order, cnp.NPY_CASTING casting,
        cnp.npy_uint32 *op_flags, cnp.PyArray_Descr **op_dtypes, int oa_ndim, int **op_axes,
        const cnp.npy_intp *itershape, cnp.npy_intp buffersize) except? NULL

cdef enum:
    BLOCK = 512             # elements that stay in the first-level cache between two kernels
    STREAMED = 2048         # bytes at a time that go past the cache: four times as many cost a third of the speed
    AHEAD = 2               # blocks between the one that is worked on and the one that is fetched
    LIGHT = 150             # ns for a block at most, 14 GB/s: heavier kernels hide ordinary stores in their arithmetic
    MOST_WALKS = 16         # parts of a call over NumPy's iterators
    WALK_APART = 1 << 21    # elements; for fewer, so many iterators (40 us) may cost more than a second thread gives
    HALF_COSTS = 8          # times as much: NumPy converts float16 one by one
    UNTIL_LOOK = 1 << 16    # elements that a walk goes before it looks whether the call is over
    WITH_GIL = 4096         # below this many elements, letting go of the interpreter costs more than it gives

cdef Py_ssize_t STEP = kernels.STEP         # a kernel is given a multiple of so many elements
cdef Py_ssize_t stream_above = last_level_cache()      # bytes of inputs and outputs together

cdef struct Work:
    # one call: which kernel over which memory
    uintptr_t kernel
    const void *h           # `parameters` of the call
    double parameters[MOST_PARAMETERS]
    int order
    bint streaming
    const char *x
    const char *y           # the second operand, or NULL
    char *out
    char *second            # f', where it is wanted together with f, or NULL


cdef inline void call(const Work *work, const real *x, const real *y, real *out, real *second,
                      Py_ssize_t n) noexcept nogil:
    if real is float:
        (<elementwise_float>work.kernel)(work.order, x, y, out, second, n, <const float *>work.h)
    else:
        (<elementwise_double>work.kernel)(work.order, x, y, out, second, n, <const double *>work.h)


cdef inline real *at_line(real *room) noexcept nogil:
    """The first element of `room` that begins a cache line."""
    return room + (-<uintptr_t>room % FASTNN_LINE) // sizeof(real)


cdef inline void put(const Work *work, const real *block, real *out, Py_ssize_t n) noexcept nogil:
    cdef size_t size = n * sizeof(real)
    if work.streaming and (<uintptr_t>out | size) % FASTNN_LINE == 0:
        fastnn_stream(out, block, size)
    else:
        memcpy(out, block, size)


cdef void run_block(const Work *work, real *x, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Elements start to start + n, n <= BLOCK. All is read before anything is written, so out may be an input."""
    cdef real[BLOCK] first_room
    cdef real[BLOCK] second_room
    cdef real[BLOCK + 16] value_room
    cdef real[BLOCK + 16] result_room
    cdef real *value = at_line(value_room)
    cdef real *result = at_line(result_room)
    cdef Py_ssize_t whole = (n + STEP - 1) & -STEP
    cdef const real *a = padded(x + start, first_room, n, STEP)
    cdef const real *y = <const real *>work.y
    if y != NULL:
        y = padded(y + start, second_room, n, STEP)
    call(work, a, y, value, result, whole)
    if work.second != NULL:
        put(work, result, <real *>work.second + start, n)
    put(work, value, <real *>work.out + start, n)


cdef void run_streaming(const Work *work, real *x, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Blocks that begin with a cache line of `out`, the inputs of the next but one on their way meanwhile."""
    cdef Py_ssize_t block = STREAMED // sizeof(real)
    cdef Py_ssize_t n = (-<uintptr_t>(<real *>work.out + start) % FASTNN_LINE) // sizeof(real)
    cdef Py_ssize_t fetch
    if n == 0:
        n = block
    while start < stop:
        n = min(n, stop - start)
        fetch = start + AHEAD * block
        if fetch + block <= stop:
            fastnn_prefetch(x + fetch, STREAMED)
            if work.y != NULL:
                fastnn_prefetch(<real *>work.y + fetch, STREAMED)
        run_block(work, x, start, n)
        start += n
        n = block
    fastnn_stream_end()


cdef void run_range(const Work *work, real *x, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t whole
    cdef const real *y = <const real *>work.y
    cdef real *out = <real *>work.out
    cdef real *second = <real *>work.second
    if work.streaming:
        run_streaming(work, x, start, stop)
        return
    if out != x and out != y and (second == NULL or second != x and second != y):
        whole = (stop - start) & -STEP
        if whole:
            call(work, x + start, y + start if y != NULL else y, out + start,
                 second + start if second != NULL else second, whole)
        start += whole
    while start < stop:
        run_block(work, x, start, min(<Py_ssize_t>BLOCK, stop - start))
        start += BLOCK


cdef void run_part(const Work *work, bint single, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if single:
        run_range[float](work, <float *>work.x, start, stop)
    else:
        run_range[double](work, <double *>work.x, start, stop)
    fastnn_fp_leave(state)


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
    if not FASTNN_STREAMS or not outgrows_the_cache(work, single, n):
        return False
    if work.second != NULL or stream_above == 0:
        return True                     # results of two kernels go through a block of scratch in any case
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
        return share_watched(run_single if single else run_double, work, n, BLOCK, threads, n)


cdef inline bint alike(object other, cnp.ndarray a, int flags) noexcept:
    """Another array of a's type and shape, in native byte order, with these flags."""
    if not cnp.PyArray_CheckExact(other):
        return False
    cdef cnp.ndarray b = <cnp.ndarray>other
    return (cnp.PyArray_TYPE(b) == cnp.PyArray_TYPE(a) and cnp.PyArray_CHKFLAGS(b, flags)
            and cnp.PyArray_ISNOTSWAPPED(b) and cnp.PyArray_SAMESHAPE(a, b))


cdef inline void point(Work *work, char **operands, int inputs, int count) noexcept nogil:
    """Set the memory of the inputs (x, perhaps y) and of the outputs behind them."""
    work.x = operands[0]
    work.y = operands[1] if inputs == 2 else NULL
    work.out = operands[inputs]
    work.second = operands[inputs + 1] if count > inputs + 1 else NULL


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
    fastnn_watch *watch     # or NULL
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
    cdef Py_ssize_t left = UNTIL_LOOK
    cdef Py_ssize_t i, at, n
    for i in range(start, stop):
        one = &walks.walks[i]
        while True:
            point(&work, one.pointers, walks.inputs, walks.count)
            at = 0
            while at < one.size[0]:
                n = min(one.size[0] - at, <Py_ssize_t>UNTIL_LOOK)
                run_part(&work, walks.single, at, at + n)
                at += n
                left -= n
                if left <= 0:
                    if walks.watch != NULL and fastnn_watch_over(walks.watch):
                        return
                    left = UNTIL_LOOK
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
    cdef fastnn_watch watch
    if n == 0:
        return
    if threads > 1 and separable(operands, inputs):
        parts = cut(operands, inputs, MOST_WALKS)
    walks.work = work
    walks.single = single
    walks.inputs = inputs
    walks.count = len(operands)
    walks.watch = begun(&watch, cost)
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
            raise_if_over(walks.watch)
        else:
            with nogil:
                share_with(walk, &walks, count, 1, threads, walks.watch)
    finally:
        for i in range(count):
            cnp.NpyIter_Deallocate(walks.walks[i].it)


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

    cdef void prepare(self, Work *work, bint single, int order) noexcept:
        work.kernel = self.bound(single, work.parameters)
        work.h = work.parameters
        work.order = order
        work.streaming = False
        work.x = work.y = NULL
        work.out = work.second = NULL

    cdef object apply(self, int order, object x, object grad, object out):
        """One input, perhaps a gradient to multiply with, one output: the plain cases here, all others in apply_any."""
        cdef Work work
        cdef cnp.ndarray a, result
        cdef int kind, layout
        must_be_bound(self.kernels[0])
        if not cnp.PyArray_CheckExact(x):
            return self.apply_any(order, False, x, grad, out, None if grad is None else "grad")
        a = <cnp.ndarray>x
        kind = cnp.PyArray_TYPE(a)
        layout = cnp.NPY_ARRAY_ALIGNED | (
            cnp.NPY_ARRAY_C_CONTIGUOUS if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS)
            else cnp.NPY_ARRAY_F_CONTIGUOUS)
        if not ((kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE) and cnp.PyArray_NDIM(a) > 0
                and cnp.PyArray_CHKFLAGS(a, layout) and cnp.PyArray_ISNOTSWAPPED(a)
                and (out is None or alike(out, a, layout | cnp.NPY_ARRAY_WRITEABLE))
                and (grad is None or alike(grad, a, layout) and (
                    out is None or not partly_overlaps(<cnp.ndarray>out, <cnp.ndarray>grad)))):
            return self.apply_any(order, False, x, grad, out, None if grad is None else "grad")
        if out is None:
            result = new_result(a, kind, not layout & cnp.NPY_ARRAY_C_CONTIGUOUS)
        else:
            result = <cnp.ndarray>out
            if partly_overlaps(result, a):
                return self.apply_any(order, False, x, grad, out, None if grad is None else "grad")
        self.prepare(&work, kind == cnp.NPY_FLOAT, order)
        work.x = cnp.PyArray_BYTES(a)
        work.out = cnp.PyArray_BYTES(result)
        if grad is not None:
            work.y = cnp.PyArray_BYTES(<cnp.ndarray>grad)
        run(&work, kind == cnp.NPY_FLOAT, cnp.PyArray_SIZE(a))
        return result

    cdef object apply_any(self, int order, bint both, object x, object other, object out, str other_name):
        """Any operands; without a name there is no other. Results are `out`, or new; `both` is for f and f'."""
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
        self.run_over(BOTH if both else order, dtype.itemsize <= 4, inputs, outputs)
        if out is not None:
            return out
        if cnp.PyArray_NDIM(a) == 0:
            outputs = [outputs[0][()], outputs[1][()]] if both else [outputs[0][()]]
        return tuple(outputs) if both else outputs[0]

    cdef void run_over(self, int order, bint single, list inputs, list outputs) except *:
        """Arrays of any layout and one shape, the outputs apart from each other."""
        cdef cnp.ndarray a = inputs[0]
        cdef int kind = cnp.NPY_FLOAT if single else cnp.NPY_DOUBLE
        cdef bint straight = flat(a, kind)
        cdef cnp.ndarray b
        cdef char *memory[4]
        cdef Py_ssize_t i
        cdef Work work
        for b in inputs[1:] + outputs:
            straight = straight and flat(b, kind) and same_order(a, b)
        for given in outputs:
            for b in inputs:
                straight = straight and not partly_overlaps(given, b)
        self.prepare(&work, single, order)
        if straight:
            for i, b in enumerate(inputs + outputs):
                memory[i] = cnp.PyArray_BYTES(b)
            point(&work, memory, len(inputs), len(inputs) + len(outputs))
            run(&work, single, cnp.PyArray_SIZE(a))
        else:
            # one axis at least: with two operands without axes NumPy 2.2's iterator gave a wrong pointer
            iterate(&work, single, list(map(np.atleast_1d, inputs + outputs)), len(inputs))


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
        return self.apply_any(VALUE, True, x, None, out, None)


cdef class ElementwiseLoss(Elementwise):
    """A loss of predictions and targets, element by element, with its derivative in the predictions.

    Arrays as in `ElementwiseActivation`; the targets are cast to the predictions' dtype and broadcast to their shape.
    """

    def _value_and_derivative(self, y, t, out, bint both):
        """(the losses, their derivative in y), in one pass; the derivative is an array always, or None unless `both`."""
        cdef cnp.ndarray a, losses
        cdef cnp.ndarray derivative = None
        cdef Work work
        cdef int kind, layout
        must_be_bound(self.kernels[0])
        if cnp.PyArray_CheckExact(y) and out is None:
            a = <cnp.ndarray>y
            kind = cnp.PyArray_TYPE(a)
            layout = cnp.NPY_ARRAY_ALIGNED | (
                cnp.NPY_ARRAY_C_CONTIGUOUS if cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS)
                else cnp.NPY_ARRAY_F_CONTIGUOUS)
            if ((kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE) and cnp.PyArray_NDIM(a) > 0
                    and cnp.PyArray_CHKFLAGS(a, layout) and cnp.PyArray_ISNOTSWAPPED(a) and alike(t, a, layout)):
                losses = new_result(a, kind, not layout & cnp.NPY_ARRAY_C_CONTIGUOUS)
                self.prepare(&work, kind == cnp.NPY_FLOAT, BOTH if both else VALUE)
                work.x = cnp.PyArray_BYTES(a)
                work.y = cnp.PyArray_BYTES(<cnp.ndarray>t)
                work.out = cnp.PyArray_BYTES(losses)
                if both:
                    derivative = new_result(a, kind, not layout & cnp.NPY_ARRAY_C_CONTIGUOUS)
                    work.second = cnp.PyArray_BYTES(derivative)
                run(&work, kind == cnp.NPY_FLOAT, cnp.PyArray_SIZE(a))
                return losses, derivative
        return self.value_and_derivative_of_any(y, t, out, both)

    cdef object value_and_derivative_of_any(self, object y, object t, object out, bint both):
        cdef cnp.ndarray a = as_array(y, "y")
        result_dtype(a)
        cdef cnp.ndarray b = operand(t, a, "t")
        cdef object dtype = result_dtype(a)     # t's __array__ may have done anything, to y as well
        cdef cnp.ndarray losses = new_like(a, dtype) if out is None else checked_out(out, a, dtype, "out")
        cdef cnp.ndarray derivative = new_like(a, dtype) if both else None
        self.run_over(BOTH if both else VALUE, dtype.itemsize <= 4, [a, b], [losses, derivative] if both else [losses])
        if out is not None:
            return out, derivative
        return losses[()] if cnp.PyArray_NDIM(a) == 0 else losses, derivative

    def _derivative(self, y, t, out=None):
        return self.apply_any(FIRST, False, y, t, out, "t")

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
