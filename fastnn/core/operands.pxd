# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Operands of one shape and any layout, in C order block by block: a block is run through where it lies, or gathered into a
room of the first cache and scattered from one, halves converted on the way. Stores past the cache were measured: they gave
nothing, and cost rows that do not begin with a cache line several times the rest.
"""
cimport numpy as cnp
from libc.stdint cimport uint16_t, uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.arrays cimport DOUBLE, FLOAT16, OTHER, SINGLE, Kind, kind_of
from fastnn.core.stored cimport load_half, store_half
from fastnn.core.vecmath cimport real

cdef enum:
    MOST_AXES = 8           # with gaps between them
    BLOCK = 512             # elements that stay in the first-level cache
    ROOM = 528              # and what moves them to the beginning of a cache line

cdef struct Form:
    # a shape, axes that all operands go over as over one joined
    int axes
    Py_ssize_t shape[MOST_AXES]

cdef struct Operand:
    char *first             # or NULL: there is none
    Py_ssize_t steps[MOST_AXES]     # bytes
    Py_ssize_t itemsize
    load_half load          # of halves, which are computed in float32, else NULL
    store_half store
    bint straight           # rows of the last axis lie in one piece


cdef inline bint fits(cnp.ndarray a, Kind computed) except -1:
    """Whether blocks of an array can be loaded and stored: aligned, native, of the computed type or halves for float32."""
    cdef Kind kind = kind_of(a)
    return (cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_ALIGNED) and cnp.PyArray_ISNOTSWAPPED(a)
            and (kind == computed or kind >= FLOAT16 and computed == SINGLE))


cdef inline bint lay_out(Form *form, Operand *operands, tuple arrays, int ndim, const cnp.npy_intp *dims,
                         const uintptr_t (*halves)[2]) except -1:
    """Describe arrays, or None, that all have this shape, or begin with it. False where that has more axes than there is
    room for.
    """
    cdef Py_ssize_t shape[MOST_AXES]
    cdef int last[MOST_AXES]        # of the axes that are joined
    cdef int axes = 0, i, k
    cdef bint together
    cdef Kind kind
    cdef cnp.ndarray a
    for i in range(ndim - 1, -1, -1):
        if dims[i] == 1:
            continue
        together = axes > 0
        for each in arrays:
            if together and each is not None:
                a = <cnp.ndarray>each
                together = cnp.PyArray_STRIDE(a, i) == cnp.PyArray_STRIDE(a, last[axes - 1]) * shape[axes - 1]
        if together:
            shape[axes - 1] *= dims[i]
            continue
        if axes == MOST_AXES:
            return False
        shape[axes], last[axes] = dims[i], i
        axes += 1
    form.axes = max(axes, 1)
    form.shape[0] = 1
    for i in range(axes):
        form.shape[axes - 1 - i] = shape[i]
    for k, each in enumerate(arrays):
        operands[k].first = NULL
        if each is None:
            continue
        a = <cnp.ndarray>each
        kind = kind_of(a)
        operands[k].first = cnp.PyArray_BYTES(a)
        operands[k].itemsize = cnp.PyArray_ITEMSIZE(a)
        operands[k].load = <load_half>halves[kind - FLOAT16][0] if kind >= FLOAT16 else NULL
        operands[k].store = <store_half>halves[kind - FLOAT16][1] if kind >= FLOAT16 else NULL
        operands[k].steps[0] = operands[k].itemsize
        for i in range(axes):
            operands[k].steps[axes - 1 - i] = cnp.PyArray_STRIDE(a, last[i])
        operands[k].straight = operands[k].steps[form.axes - 1] == operands[k].itemsize
    return True


cdef inline void ends(cnp.ndarray a, char **low, char **high) noexcept:
    cdef int i
    low[0] = high[0] = cnp.PyArray_BYTES(a)
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_STRIDE(a, i) < 0:
            low[0] += cnp.PyArray_STRIDE(a, i) * (cnp.PyArray_DIM(a, i) - 1)
        else:
            high[0] += cnp.PyArray_STRIDE(a, i) * (cnp.PyArray_DIM(a, i) - 1)
    high[0] += cnp.PyArray_ITEMSIZE(a)


cdef inline bint spans_meet(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether anything of one array lies between the ends of the other."""
    cdef char *a_low
    cdef char *a_high
    cdef char *b_low
    cdef char *b_high
    if cnp.PyArray_SIZE(a) == 0 or cnp.PyArray_SIZE(b) == 0:
        return False
    ends(a, &a_low, &a_high)
    ends(b, &b_low, &b_high)
    return a_low < b_high and b_low < a_high


cdef inline bint lie_alike(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two arrays of one shape have each element at the same place."""
    cdef int i
    if cnp.PyArray_BYTES(a) != cnp.PyArray_BYTES(b) or cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(b):
        return False
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_STRIDE(a, i) != cnp.PyArray_STRIDE(b, i) and cnp.PyArray_DIM(a, i) > 1:
            return False
    return True


cdef inline bint steps_over_itself(cnp.ndarray a) noexcept:
    """Whether elements of an array may share memory: an axis of no step, or smaller than what lies within it."""
    cdef Py_ssize_t extent = cnp.PyArray_ITEMSIZE(a), step, least = 0
    cdef int axes = cnp.PyArray_NDIM(a), i, at
    cdef unsigned long long seen = 0
    for _ in range(axes):
        at = -1
        for i in range(axes):
            step = abs(cnp.PyArray_STRIDE(a, i))
            if not seen >> i & 1 and (at < 0 or step < least):
                at, least = i, step
        seen |= <unsigned long long>1 << at
        if cnp.PyArray_DIM(a, at) > 1:
            if least < extent:
                return True
            extent += least * (cnp.PyArray_DIM(a, at) - 1)
    return False


# A block

cdef inline char *place_of(const Form *form, const Operand *operand, Py_ssize_t start, Py_ssize_t *index) noexcept nogil:
    """Where element `start` lies, and its index along each axis."""
    cdef char *place = operand.first
    cdef int i
    if form.axes == 1:
        index[0] = start
        return place + start * operand.steps[0]
    for i in range(form.axes - 1, -1, -1):
        index[i] = start % form.shape[i]
        start //= form.shape[i]
        place += index[i] * operand.steps[i]
    return place


cdef inline char *next_row(const Form *form, const Operand *operand, char *place, Py_ssize_t *index) noexcept nogil:
    """From an element to the beginning of the next row."""
    cdef int i = form.axes - 1
    place -= index[i] * operand.steps[i]
    index[i] = 0
    while i:
        i -= 1
        index[i] += 1
        place += operand.steps[i]
        if index[i] < form.shape[i]:
            break
        place -= form.shape[i] * operand.steps[i]
        index[i] = 0
    return place


cdef fused element:
    uint16_t
    float
    double


cdef inline void take(const Form *form, const Operand *operand, element *room, Py_ssize_t start,
                      Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t index[MOST_AXES]
    cdef const char *place = place_of(form, operand, start, index)
    cdef Py_ssize_t width = form.shape[form.axes - 1], step = operand.steps[form.axes - 1]
    cdef Py_ssize_t many = width - index[form.axes - 1], i
    while True:
        many = min(many, n)
        if operand.straight:
            memcpy(room, place, many * sizeof(element))
        else:
            for i in range(many):
                room[i] = (<const element *>(place + i * step))[0]
        n -= many
        if n == 0:
            return
        room += many
        place = next_row(form, operand, <char *>place, index)
        many = width


cdef inline void hand_out(const Form *form, const Operand *operand, const element *room, Py_ssize_t start,
                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t index[MOST_AXES]
    cdef char *place = place_of(form, operand, start, index)
    cdef Py_ssize_t width = form.shape[form.axes - 1], step = operand.steps[form.axes - 1]
    cdef Py_ssize_t many = width - index[form.axes - 1], i
    while True:
        many = min(many, n)
        if operand.straight:
            memcpy(place, room, many * sizeof(element))
        else:
            for i in range(many):
                (<element *>(place + i * step))[0] = room[i]
        n -= many
        if n == 0:
            return
        room += many
        place = next_row(form, operand, place, index)
        many = width


cdef inline bint in_one_piece(const Form *form, const Operand *operand, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Whether n elements can be run through where they lie."""
    return operand.straight and operand.load == NULL and (
        form.axes == 1 or start % form.shape[form.axes - 1] + n <= form.shape[form.axes - 1])


cdef inline const real *gathered(const Form *form, const Operand *operand, real *room, Py_ssize_t start, Py_ssize_t n,
                                 Py_ssize_t made_up) noexcept nogil:
    """n elements, at most BLOCK, where they lie, or in `room` with zeros behind them."""
    cdef Py_ssize_t index[MOST_AXES]
    cdef uint16_t codes[BLOCK]
    if n == made_up and in_one_piece(form, operand, start, n):
        return <const real *>place_of(form, operand, start, index)
    if operand.load != NULL:
        if real is float:
            take(form, operand, codes, start, n)
            operand.load(codes, room, n)
    else:
        take(form, operand, room, start, n)
    memset(room + n, 0, (made_up - n) * sizeof(real))
    return room


cdef inline real *target(const Form *form, const Operand *operand, real *room, Py_ssize_t start, Py_ssize_t n,
                         Py_ssize_t made_up, bint in_rooms) noexcept nogil:
    """Where a kernel writes n results: where they belong, or `room`."""
    cdef Py_ssize_t index[MOST_AXES]
    if not in_rooms and n == made_up and in_one_piece(form, operand, start, n):
        return <real *>place_of(form, operand, start, index)
    return room


cdef inline void put(const Form *form, const Operand *operand, const real *room, Py_ssize_t start,
                     Py_ssize_t n) noexcept nogil:
    """n results from a room to where they belong."""
    cdef uint16_t codes[BLOCK]
    if operand.store != NULL:
        if real is float:
            operand.store(room, codes, n)
            hand_out(form, operand, codes, start, n)
        return
    hand_out(form, operand, room, start, n)
