# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""A call of an elementwise kernel over memory without gaps: the number of elements made up to what a kernel takes, halves
converted, results past the cache where they outgrow it.
"""
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport MOST_PARAMETERS, elementwise_double, elementwise_float
from fastnn.core.loops cimport padded
from fastnn.core.stored cimport load_half, store_half
from fastnn.core.streaming cimport FASTNN_LINE, at_line, fastnn_prefetch, fastnn_stream, fastnn_stream_end
from fastnn.core.vecmath cimport real

cdef enum:
    BLOCK = 512             # elements that stay in the first-level cache between two kernels
    HALVES = 1024           # that are converted at a time
    STREAMED = 2048         # bytes at a time that go past the cache: four times as many cost a third of the speed
    AHEAD = 2               # blocks between the one that is worked on and the one that is fetched

cdef struct Work:
    # one call: which kernel over which memory
    uintptr_t kernel
    double parameters[MOST_PARAMETERS]      # or floats
    int order
    Py_ssize_t step         # the kernel is given a multiple of so many elements
    bint streaming
    load_half load          # of halves, which are computed in float32, else NULL
    store_half store
    const char *x
    const char *y           # the second operand, or NULL
    char *out
    char *second            # f', where it is wanted together with f, or NULL


cdef inline void call(const Work *work, const real *x, const real *y, real *out, real *second,
                      Py_ssize_t n) noexcept nogil:
    if real is float:
        (<elementwise_float>work.kernel)(work.order, x, y, out, second, n, <const float *>work.parameters)
    else:
        (<elementwise_double>work.kernel)(work.order, x, y, out, second, n, work.parameters)


cdef inline Py_ssize_t made_up(const Work *work, Py_ssize_t n) noexcept nogil:
    """n elements as a multiple of what the kernel takes."""
    return (n + work.step - 1) & -work.step


cdef inline void put(const Work *work, const real *block, real *out, Py_ssize_t n) noexcept nogil:
    cdef size_t size = n * sizeof(real)
    if work.streaming and (<uintptr_t>out | size) % FASTNN_LINE == 0:
        fastnn_stream(out, block, size)
    else:
        memcpy(out, block, size)


cdef inline void run_block(const Work *work, real *x, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Elements start to start + n, n <= BLOCK. All is read before anything is written, so out may be an input."""
    cdef real[BLOCK] first_room
    cdef real[BLOCK] second_room
    cdef real[BLOCK + 16] value_room
    cdef real[BLOCK + 16] result_room
    cdef real *value = at_line(value_room)
    cdef real *result = at_line(result_room)
    cdef const real *a = padded(x + start, first_room, n, work.step)
    cdef const real *y = <const real *>work.y
    if y != NULL:
        y = padded(y + start, second_room, n, work.step)
    call(work, a, y, value, result, made_up(work, n))
    if work.second != NULL:
        put(work, result, <real *>work.second + start, n)
    put(work, value, <real *>work.out + start, n)


cdef inline void run_streaming(const Work *work, real *x, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
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


cdef inline void run_range(const Work *work, real *x, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t whole
    cdef const real *y = <const real *>work.y
    cdef real *out = <real *>work.out
    cdef real *second = <real *>work.second
    if work.streaming:
        run_streaming(work, x, start, stop)
        return
    if out != x and out != y and (second == NULL or second != x and second != y):
        whole = (stop - start) & -work.step
        if whole:
            call(work, x + start, y + start if y != NULL else y, out + start,
                 second + start if second != NULL else second, whole)
        start += whole
    while start < stop:
        run_block(work, x, start, min(<Py_ssize_t>BLOCK, stop - start))
        start += BLOCK


cdef inline void load_made_up(const Work *work, const char *halves, Py_ssize_t n, float *room) noexcept nogil:
    work.load(halves, room, n)
    if n % work.step:
        memset(room + n, 0, (work.step - n % work.step) * sizeof(float))


cdef inline void run_halves(const Work *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef float[4 * HALVES + 16] room
    cdef float *x = at_line(&room[0])
    cdef float *y = NULL if work.y == NULL else x + HALVES
    cdef float *value = x + 2 * HALVES
    cdef float *result = x + 3 * HALVES
    cdef Py_ssize_t n
    while start < stop:
        n = min(<Py_ssize_t>HALVES, stop - start)
        load_made_up(work, work.x + 2 * start, n, x)
        if y != NULL:
            load_made_up(work, work.y + 2 * start, n, y)
        call(work, <const float *>x, <const float *>y, value, result, made_up(work, n))
        if work.second != NULL:
            work.store(result, work.second + 2 * start, n)
        work.store(value, work.out + 2 * start, n)
        start += n


cdef inline void run_part(const Work *work, bint single, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.load != NULL:
        run_halves(work, start, stop)
    elif single:
        run_range[float](work, <float *>work.x, start, stop)
    else:
        run_range[double](work, <double *>work.x, start, stop)
    fastnn_fp_leave(state)
