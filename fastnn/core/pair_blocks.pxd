# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""A call of a kernel of two operands: long rows where they lie, what lies in pieces gathered block by block, the number of
elements made up to what a kernel takes. Stores past the cache were measured, and gave nothing.

An operand is rows of `chunk` elements, `step` elements from one to the next: the halves of an axis are two operands in
one array.
"""
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.pair_kernels cimport PAIR_PARAMETERS, pair_double, pair_float
from fastnn.core.streaming cimport at_line
from fastnn.core.vecmath cimport real

cdef enum:
    PAIR_BLOCK = 512        # elements that stay in the first-level cache
    PAIR_ROOM = 528         # and what moves them to the beginning of a cache line

cdef struct Operand:
    char *first             # or NULL
    Py_ssize_t step

cdef struct Pairs:
    uintptr_t kernel
    double parameters[PAIR_PARAMETERS]      # or floats
    bint single
    bint back
    Py_ssize_t unit         # the kernel is given a multiple of so many elements
    Py_ssize_t chunk
    Operand a
    Operand b
    Operand g               # back alone
    Operand out             # back the gradient of a
    Operand second          # of b, back alone


cdef inline bint in_one_piece(const Pairs *work, const Operand *operand, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    return operand.step == work.chunk or start % work.chunk + n <= work.chunk


cdef inline real *place_of(const Pairs *work, const Operand *operand, const real *like,
                           Py_ssize_t start) noexcept nogil:
    return <real *>operand.first + start // work.chunk * operand.step + start % work.chunk


cdef inline const real *gathered(const Pairs *work, const Operand *operand, real *room, Py_ssize_t start, Py_ssize_t n,
                                 Py_ssize_t made_up) noexcept nogil:
    """n elements where they lie, or in `room`, with zeros behind them."""
    cdef const real *place = place_of(work, operand, room, start)
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t many
    if in_one_piece(work, operand, start, n):
        if n == made_up:
            return place
        memcpy(room, place, n * sizeof(real))
    else:
        many = work.chunk - start % work.chunk
        while at < n:
            many = min(many, n - at)
            memcpy(room + at, place_of(work, operand, room, start + at), many * sizeof(real))
            at += many
            many = work.chunk
    memset(room + n, 0, (made_up - n) * sizeof(real))
    return room


cdef inline void put_pairs(const Pairs *work, const Operand *operand, const real *block, Py_ssize_t start,
                           Py_ssize_t n) noexcept nogil:
    """A block of results, where it belongs."""
    cdef real *place = place_of(work, operand, block, start)
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t many
    if in_one_piece(work, operand, start, n):
        memcpy(place, block, n * sizeof(real))
        return
    many = work.chunk - start % work.chunk
    while at < n:
        many = min(many, n - at)
        memcpy(place_of(work, operand, block, start + at), block + at, many * sizeof(real))
        at += many
        many = work.chunk


cdef inline void call_pairs(const Pairs *work, const real *a, const real *b, const real *g, real *out, real *second,
                            Py_ssize_t n) noexcept nogil:
    if real is float:
        (<pair_float>work.kernel)(work.back, a, b, g, out, second, n, <const float *>work.parameters)
    else:
        (<pair_double>work.kernel)(work.back, a, b, g, out, second, n, work.parameters)


cdef inline real *target_of(const Pairs *work, const Operand *operand, real *room, Py_ssize_t start, Py_ssize_t n,
                            Py_ssize_t made_up) noexcept nogil:
    """Where a kernel writes n results: where they belong, or `room`."""
    if n == made_up and in_one_piece(work, operand, start, n):
        return place_of(work, operand, room, start)
    return room


cdef inline void run_pair_block(const Pairs *work, const real *like, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef real[PAIR_ROOM] a_room
    cdef real[PAIR_ROOM] b_room
    cdef real[PAIR_ROOM] g_room
    cdef real[PAIR_ROOM] out_room
    cdef real[PAIR_ROOM] second_room
    cdef Py_ssize_t made_up = (n + work.unit - 1) & -work.unit
    cdef const real *a = gathered(work, &work.a, at_line(&a_room[0]), start, n, made_up)
    cdef const real *b = gathered(work, &work.b, at_line(&b_room[0]), start, n, made_up)
    cdef const real *g = a
    cdef real *out = target_of(work, &work.out, at_line(&out_room[0]), start, n, made_up)
    cdef real *second = out
    if work.back:
        g = gathered(work, &work.g, at_line(&g_room[0]), start, n, made_up)
        second = target_of(work, &work.second, at_line(&second_room[0]), start, n, made_up)
    call_pairs(work, a, b, g, out, second, made_up)
    if out == at_line(&out_room[0]):
        put_pairs(work, &work.out, out, start, n)
    if work.back and second == at_line(&second_room[0]):
        put_pairs(work, &work.second, second, start, n)


cdef inline Py_ssize_t run_whole(const Pairs *work, const real *like, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The elements from start on that a kernel can be given where they lie: how many they were, perhaps none."""
    cdef Py_ssize_t n = stop - start
    cdef const real *g = NULL
    cdef real *second = NULL
    if not (work.a.step == work.chunk and work.b.step == work.chunk and work.out.step == work.chunk):
        n = min(n, work.chunk - start % work.chunk)
    n &= -work.unit
    if n:
        if work.back:
            g = place_of(work, &work.g, like, start)
            second = place_of(work, &work.second, like, start)
        call_pairs(work, <const real *>place_of(work, &work.a, like, start),
                   <const real *>place_of(work, &work.b, like, start), g, place_of(work, &work.out, like, start), second, n)
    return n


cdef inline void run_pairs(const Pairs *work, const real *like, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Elements start to stop."""
    cdef Py_ssize_t n
    while start < stop:
        if work.chunk >= PAIR_BLOCK:
            start += run_whole(work, like, start, stop)
            n = min(stop - start, work.unit)        # up to the next row, and some of it
        else:
            n = min(stop - start, <Py_ssize_t>PAIR_BLOCK)
        if n:
            run_pair_block(work, like, start, n)
        start += n
