# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Norms of tensors and of their units, and means of units: the same bits on any number of threads, at any level.

What is summed is cut into blocks by its shape alone. Threads share the blocks out, each of which has its sums in a
place of its own; they are added as a tree afterwards.

A sum of squares of doubles that may have left the range of double is made once more, of the numbers times a power of
two: 2^600 where it is below 2^-900, and 2^-600 where it is infinite. With these no square of the smallest or largest
double leaves the range.
"""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.math cimport HUGE_VAL, ldexp, sqrt
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy, memset

from fastnn.core.arrays cimport DOUBLE, FLOAT16, OTHER, SINGLE, Kind, copied, flat, kind_of, share_memory
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport add_rows, block_sums
from fastnn.core.passes cimport BLOCK
from fastnn.core.spans cimport Span, by_address, overlaps_itself, span_of
from fastnn.core.stored cimport load_half, store_half
from fastnn.core.threads cimport range_body, share_out, threads_for

from fastnn.core.levels import rules

cnp.import_array()

cdef extern from "reductions.h":
    enum: FASTNN_SUM_BLOCK
    enum: FASTNN_VALUES
    enum: FASTNN_SQUARES
    enum: FASTNN_SCALED_SQUARES

# the kernels of REDUCTIONS, for float or double
ctypedef void (*scale_block)(void *x, Py_ssize_t n, double factor) noexcept nogil

cdef enum:
    FEW = 8192              # elements that are read before it would pay to let another thread run
    ROOM = 256              # sums that need no memory of their own
    LONG = 32               # elements of a unit side by side that are summed along; fewer are summed across, as columns
    ROWS = 64               # that are summed across before there is another sum; a multiple of four
    SHIFT = 600             # of the exponents where squares leave the range of double

cdef double NOT_A_NUMBER = float("nan")
cdef double LEAST = 2.0**-900
cdef double UP = 2.0**SHIFT
cdef double DOWN = 2.0**-SHIFT

cdef block_sums sum_kernels[2]
cdef add_rows row_kernels[2]
cdef scale_block scale_kernels[2]
cdef load_half load_halves[2]
cdef store_half store_halves[2]
for place in range(2):
    sum_kernels[place] = <block_sums><uintptr_t>rules.REDUCTIONS["block_sums"][place]
    row_kernels[place] = <add_rows><uintptr_t>rules.REDUCTIONS["add_rows"][place]
    scale_kernels[place] = <scale_block><uintptr_t>rules.REDUCTIONS["scale"][place]
for place, name in enumerate(("float16", "bfloat16")):
    load_halves[place] = <load_half><uintptr_t>rules.HALVES[name][0]
    store_halves[place] = <store_half><uintptr_t>rules.HALVES[name][1]

assert <Py_ssize_t>FASTNN_SUM_BLOCK == BLOCK        # rooms are of one block


cdef struct Sums:
    # what is summed, and how
    const Numbers *numbers
    fill_numbers fill       # NULL: the numbers themselves
    const void *context
    int what
    double factor
    double *out             # the sums of all blocks
    int threads
    # of many tensors
    Py_ssize_t *first       # where a tensor's blocks begin, and where the last one ends
    Py_ssize_t count
    # of the units of one
    const Units *shape
    Py_ssize_t blocks       # of each stretch of a unit's numbers that lie side by side; 0: columns are summed
    Py_ssize_t width        # numbers of a row
    Py_ssize_t columns      # of it that are summed at a time, in a tile
    Py_ssize_t tiles        # in a row of tiles
    Py_ssize_t rows         # of tiles


cdef inline Py_ssize_t blocks_of(Py_ssize_t n) noexcept nogil:
    return max(1, (n + FASTNN_SUM_BLOCK - 1) // FASTNN_SUM_BLOCK)


cdef inline void load(const Sums *work, const Numbers *x, Py_ssize_t start, Py_ssize_t n, double *room) noexcept nogil:
    """Numbers that do not lie ready in memory, as float or double."""
    if work.fill != NULL:
        work.fill(work.context, start, n, room)
    else:
        load_halves[x.kind - FLOAT16](x.data + 2 * start, <float *>room, n)


cdef inline void sum_stretch(const Sums *work, const Numbers *x, Py_ssize_t start, Py_ssize_t n,
                             double *sums) noexcept nogil:
    """The sums of the blocks that n numbers from `start` on are."""
    cdef double[BLOCK] room
    cdef Py_ssize_t here
    if work.fill == NULL and x.kind == SINGLE:
        sum_kernels[0](<const float *>x.data + start, n, work.what, work.factor, sums)
    elif work.fill == NULL and x.kind == DOUBLE:
        sum_kernels[1](<const double *>x.data + start, n, work.what, work.factor, sums)
    else:
        while True:
            here = min(n, <Py_ssize_t>FASTNN_SUM_BLOCK)
            load(work, x, start, here, room)
            sum_kernels[x.kind == DOUBLE](room, here, work.what, work.factor, sums)
            start, n, sums = start + here, n - here, sums + 1
            if n == 0:
                break


cdef void fold(double *sums, Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    """Add rows of sums into the first one, as a tree."""
    cdef Py_ssize_t half, i
    while rows > 1:
        half = (rows + 1) // 2
        for i in range((rows - half) * width):
            sums[i] += sums[half * width + i]
        rows = half


cdef void shared(range_body body, const Sums *work, Py_ssize_t blocks, Py_ssize_t elements) noexcept nogil:
    if elements <= FEW:
        body(work, 0, blocks)
    else:
        share_out(body, work, blocks, 1, work.threads)


cdef inline bint doubtful(double squares) noexcept nogil:
    """Doubles with this sum may have had squares out of range. NaN is right."""
    return squares < LEAST or squares == HUGE_VAL


# Many tensors

cdef void find_blocks(const Numbers *numbers, Py_ssize_t count, Py_ssize_t *first) noexcept nogil:
    cdef Py_ssize_t t
    first[0] = 0
    for t in range(count):
        first[t + 1] = first[t] + blocks_of(numbers[t].n)


cdef inline Py_ssize_t tensor_at(const Sums *work, Py_ssize_t block) noexcept nogil:
    """The tensor that this block is of."""
    cdef Py_ssize_t t = 0
    cdef Py_ssize_t beyond = work.count
    cdef Py_ssize_t middle
    while block and beyond - t > 1:             # work.first[t] <= block < work.first[beyond]
        middle = (t + beyond) // 2
        if work.first[middle] <= block:
            t = middle
        else:
            beyond = middle
    return t


cdef void sum_tensors(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Sums *work = <const Sums *>context
    cdef fastnn_fp_state state
    cdef const Numbers *x
    cdef Py_ssize_t t, last, low
    if start >= stop:
        return
    state = fastnn_fp_enter(0)
    t = tensor_at(work, start)
    while start < stop:
        x = &work.numbers[t]
        last = min(stop, work.first[t + 1])
        low = (start - work.first[t]) * FASTNN_SUM_BLOCK
        sum_stretch(work, x, low, min(x.n, (last - work.first[t]) * FASTNN_SUM_BLOCK) - low, work.out + start)
        start = last
        t += 1
    fastnn_fp_leave(state)


cdef void sum_again(const Numbers *x, double factor, double *sums, int threads) noexcept nogil:
    cdef Sums work
    cdef Py_ssize_t first[2]
    first[0], first[1] = 0, blocks_of(x.n)
    work.threads = threads
    work.numbers, work.count, work.first = x, 1, first
    work.fill, work.what, work.factor, work.out = NULL, FASTNN_SCALED_SQUARES, factor, sums
    shared(sum_tensors, &work, first[1], x.n)
    fold(sums, first[1], 1)


cdef void sum_squares(Sums *work, Py_ssize_t elements) noexcept nogil:
    """The sum of each tensor's squares into out[tensor], as it is of the numbers times 2^first[tensor]."""
    cdef Py_ssize_t t, shift
    cdef double *sums
    shared(sum_tensors, work, work.first[work.count], elements)
    for t in range(work.count):
        sums, shift = work.out + work.first[t], 0
        if work.first[t + 1] - work.first[t] > 1:
            fold(sums, work.first[t + 1] - work.first[t], 1)
        if work.numbers[t].kind == DOUBLE and doubtful(sums[0]) and work.numbers[t].n:
            shift = SHIFT if sums[0] < LEAST else -SHIFT
            sum_again(&work.numbers[t], UP if shift > 0 else DOWN, sums, work.threads)
        work.first[t] = shift
        work.out[t] = sums[0]                   # there were as many blocks before it as tensors, or more


cdef inline double root(double squares, Py_ssize_t shift) noexcept nogil:
    if squares != squares:
        return NOT_A_NUMBER                     # of one sign
    return sqrt(squares) if shift == 0 else ldexp(sqrt(squares), -<int>shift)


cdef void find_shift(double *squares, Py_ssize_t *shifts, Py_ssize_t count, Py_ssize_t *shift) noexcept nogil:
    """One power of two for all, instead of those that there are."""
    cdef bint large = False
    cdef bint usual = False
    cdef double total = 0
    cdef Py_ssize_t t
    for t in range(count):
        total += squares[t]
        large |= shifts[t] < 0
        usual |= shifts[t] == 0 and squares[t] != 0
    shift[0] = -SHIFT if large or total == HUGE_VAL else 0 if usual else SHIFT
    for t in range(count):
        while shifts[t] > shift[0]:             # step by step: 2^-1200 is below double
            squares[t] *= DOWN
            squares[t] *= DOWN
            shifts[t] -= SHIFT


cdef double add_up(double *squares, Py_ssize_t *shifts, Py_ssize_t count, Py_ssize_t *shift) noexcept nogil:
    """The sum of all, as it is of the numbers times 2^shift. Both arrays are changed."""
    cdef Py_ssize_t shifted = 0
    cdef double total = 0
    cdef Py_ssize_t t
    for t in range(count):
        total += squares[t]
        shifted |= shifts[t]
    shift[0] = 0
    if shifted or total == HUGE_VAL:
        find_shift(squares, shifts, count, shift)
    fold(squares, count, 1)
    return squares[0] if count else 0.0


cdef double reduced(Sums *work, Py_ssize_t elements, double *norms, Py_ssize_t *shift) noexcept nogil:
    """All norms, and the sum of all squares of the numbers times 2^shift."""
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t t
    cdef double total
    sum_squares(work, elements)
    if norms != NULL:
        for t in range(work.count):
            norms[t] = root(work.out[t], work.first[t])
    total = add_up(work.out, work.first, work.count, shift)
    fastnn_fp_leave(state)
    return total


cdef double reduce_tensors(const Numbers *numbers, Py_ssize_t count, double *norms, Py_ssize_t *shift) except? -1:
    """The same with room for the sums."""
    cdef double[ROOM] sums
    cdef Py_ssize_t[ROOM + 1] firsts
    cdef void *memory = NULL
    cdef Sums work
    cdef Py_ssize_t t
    cdef Py_ssize_t elements = 0
    cdef Py_ssize_t blocks = 0
    cdef double total
    work.numbers, work.count = numbers, count
    work.fill, work.what, work.factor = NULL, FASTNN_SQUARES, 1
    for t in range(count):
        elements += numbers[t].n
        blocks += blocks_of(numbers[t].n)
    work.out, work.first = sums, firsts
    if blocks > ROOM:
        memory = malloc(blocks * sizeof(double) + (count + 1) * sizeof(Py_ssize_t))
        if memory == NULL:
            raise MemoryError
        work.out, work.first = <double *>memory, <Py_ssize_t *>(<double *>memory + blocks)
    find_blocks(numbers, count, work.first)
    work.threads = threads_for(elements)
    if elements <= FEW:
        total = reduced(&work, elements, norms, shift)
    else:
        with nogil:
            total = reduced(&work, elements, norms, shift)
    free(memory)
    return total


cdef int norms_of(const Numbers *numbers, Py_ssize_t count, double *norms, double *total) except -1:
    cdef Py_ssize_t shift
    cdef double squares = reduce_tensors(numbers, count, norms, &shift)
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if total != NULL:
        total[0] = root(squares, shift)
    fastnn_fp_leave(state)
    return 0


# Units of one tensor

cdef Units units_along(const cnp.npy_intp *dims, int ndim, int axis, bint fortran) noexcept nogil:
    cdef Units shape
    cdef Py_ssize_t before = 1
    cdef Py_ssize_t behind = 1
    cdef int i
    for i in range(axis):
        before *= dims[i]
    for i in range(axis + 1, ndim):
        behind *= dims[i]
    shape.units = dims[axis] if ndim else 1
    shape.outer, shape.inner = (behind, before) if fortran else (before, behind)
    return shape


cdef void sum_stretches(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Blocks of stretches of a unit's numbers that lie side by side; all stretches have as many."""
    cdef const Sums *work = <const Sums *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t inner = work.shape.inner
    cdef Py_ssize_t stretch, low, high, last
    while start < stop:
        stretch = start // work.blocks
        last = min(stop, (stretch + 1) * work.blocks)
        low = (start - stretch * work.blocks) * FASTNN_SUM_BLOCK
        high = min(inner, (last - stretch * work.blocks) * FASTNN_SUM_BLOCK)
        sum_stretch(work, work.numbers, stretch * inner + low, high - low, work.out + start)
        start = last
    fastnn_fp_leave(state)


cdef void add_columns(const Sums *work, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t columns,
                      double *sums) noexcept nogil:
    """Rows from number `start` on, added to the sums of their columns."""
    cdef double[4 * BLOCK] room
    cdef const Numbers *x = work.numbers
    cdef Py_ssize_t here, i
    cdef Py_ssize_t size = sizeof(double) if x.kind == DOUBLE else sizeof(float)
    if work.fill == NULL and x.kind == SINGLE:
        row_kernels[0](<const float *>x.data + start, rows, work.width, columns, work.what, work.factor, sums)
    elif work.fill == NULL and x.kind == DOUBLE:
        row_kernels[1](<const double *>x.data + start, rows, work.width, columns, work.what, work.factor, sums)
    else:
        while rows > 0:
            here = min(rows, <Py_ssize_t>4)
            for i in range(here):
                load(work, x, start + i * work.width, columns, <double *>(<char *>room + i * columns * size))
            row_kernels[x.kind == DOUBLE](room, here, columns, columns, work.what, work.factor, sums)
            start, rows = start + here * work.width, rows - here


cdef void sum_columns(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Tiles of ROWS rows: the sum of each column in it, and of the columns of each unit together.

    A row is the numbers that have one `outer` index, or a few times that many where they are few.
    """
    cdef const Sums *work = <const Sums *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef double[BLOCK] room
    cdef double *sums
    cdef Py_ssize_t units = work.shape.units
    cdef Py_ssize_t inner = work.shape.inner
    cdef Py_ssize_t n = work.shape.outer * units * inner
    cdef Py_ssize_t block, tile, low, left, rows, columns, here, i, j, unit
    while start < stop:
        block, tile = start // work.tiles, start % work.tiles
        low = block * ROWS * work.width + tile * work.columns
        columns = min(work.columns, work.width - tile * work.columns)
        sums = work.out + block * units + tile * (work.columns // inner)
        left = n - block * ROWS * work.width                # numbers of these rows and all after them
        rows = min(left // work.width, <Py_ssize_t>ROWS)
        if inner == 1 and work.width == units:
            memset(sums, 0, columns * sizeof(double))
            add_columns(work, low, rows, columns, sums)
        else:
            memset(room, 0, columns * sizeof(double))
            add_columns(work, low, rows, columns, room)
            if rows < ROWS and left > rows * work.width:    # the last row is shorter; there is one tile, then
                add_columns(work, low + rows * work.width, 1, left - rows * work.width, room)
            here = min(columns // inner, units)
            for unit in range(here):
                sums[unit] = 0
            for i in range(columns // (here * inner)):
                for j in range(inner):
                    for unit in range(here):
                        sums[unit] += room[(i * here + unit) * inner + j]
        start += 1
    fastnn_fp_leave(state)


cdef Py_ssize_t planned(Sums *work) noexcept nogil:
    """How it is gone about; the number of sums."""
    cdef Units shape = work.shape[0]
    cdef Py_ssize_t row = shape.units * shape.inner
    work.blocks = 0
    if shape.inner >= LONG:
        work.blocks = blocks_of(shape.inner)
        return shape.outer * shape.units * work.blocks
    work.width = row if 2 * row > BLOCK else BLOCK // row * row
    work.columns = min(work.width, BLOCK // shape.inner * shape.inner)
    work.tiles = (work.width + work.columns - 1) // work.columns
    work.rows = (shape.outer * row + ROWS * work.width - 1) // (ROWS * work.width)      # of tiles
    return work.rows * shape.units


cdef void sum_units(Sums *work) noexcept nogil:
    """The sum of each unit into out[unit]."""
    cdef Py_ssize_t outer = work.shape.outer
    cdef Py_ssize_t units = work.shape.units
    cdef Py_ssize_t elements = outer * units * work.shape.inner
    cdef Py_ssize_t i
    if work.blocks == 0:
        shared(sum_columns, work, work.rows * work.tiles, elements)
        fold(work.out, work.rows, units)
        return
    shared(sum_stretches, work, outer * units * work.blocks, elements)
    if work.blocks > 1:
        for i in range(outer * units):
            fold(work.out + i * work.blocks, work.blocks, 1)
            work.out[i] = work.out[i * work.blocks]
    fold(work.out, outer, units)


cdef void roots(double *squares, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double norm
    for i in range(n):
        norm = sqrt(squares[i])
        squares[i] = norm if norm == norm else NOT_A_NUMBER


cdef void norms_again(Sums *work, double factor, Py_ssize_t shift, double least, double most,
                      double *norms) noexcept nogil:
    """Of the units whose squares have a sum from `least` to `most`, which is what `norms` holds of them."""
    cdef Py_ssize_t unit
    work.what, work.factor = FASTNN_SCALED_SQUARES, factor
    sum_units(work)
    for unit in range(work.shape.units):
        if least <= norms[unit] <= most:
            norms[unit] = -root(work.out[unit], shift)      # done


cdef void unit_norms_into(Sums *work, double *norms) noexcept nogil:
    cdef Py_ssize_t unit
    cdef bint small = False
    cdef bint large = False
    cdef double squares
    sum_units(work)
    memcpy(norms, work.out, work.shape.units * sizeof(double))
    if work.numbers.kind == DOUBLE:
        for unit in range(work.shape.units):
            small |= norms[unit] < LEAST
            large |= norms[unit] == HUGE_VAL
    if not (small or large):
        roots(norms, work.shape.units)
        return
    for unit in range(work.shape.units):
        squares = norms[unit]
        if not doubtful(squares):
            norms[unit] = -root(squares, 0)                 # done: no sum is negative
    if small:
        norms_again(work, UP, SHIFT, 0, LEAST, norms)
    if large:
        norms_again(work, DOWN, -SHIFT, HUGE_VAL, HUGE_VAL, norms)
    for unit in range(work.shape.units):
        norms[unit] = -norms[unit] if norms[unit] == norms[unit] else NOT_A_NUMBER


cdef void unit_means_into(Sums *work, double *means) noexcept nogil:
    cdef Py_ssize_t unit
    cdef double count = <double>work.shape.outer * <double>work.shape.inner
    sum_units(work)
    for unit in range(work.shape.units):
        means[unit] = work.out[unit] / count if work.out[unit] == work.out[unit] else NOT_A_NUMBER


cdef void finish_units(Sums *work, double *results) noexcept nogil:
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if work.what == FASTNN_SQUARES:
        unit_norms_into(work, results)
    else:
        unit_means_into(work, results)
    fastnn_fp_leave(state)


cdef int of_units(Sums *work, Units shape, double *results) except -1:
    """With room for the sums."""
    cdef double[ROOM] room
    cdef void *memory = NULL
    cdef Py_ssize_t sums
    if shape.units == 1:
        shape.inner, shape.outer = shape.outer * shape.inner, 1
    if shape.outer * shape.inner == 0 or shape.units == 0:
        for sums in range(shape.units):
            results[sums] = 0 if work.what == FASTNN_SQUARES else NOT_A_NUMBER
        return 0
    work.shape, work.factor = &shape, 1
    work.threads = threads_for(shape.outer * shape.units * shape.inner)
    sums = planned(work)
    work.out = room
    if sums > ROOM:
        memory = malloc(sums * sizeof(double))
        if memory == NULL:
            raise MemoryError
        work.out = <double *>memory
    if shape.outer * shape.units * shape.inner <= FEW:
        finish_units(work, results)
    else:
        with nogil:
            finish_units(work, results)
    free(memory)
    return 0


cdef int unit_norms(const Numbers *x, const Units *shape, double *norms) except -1:
    cdef Sums work
    work.numbers, work.fill, work.what = x, NULL, FASTNN_SQUARES
    return of_units(&work, shape[0], norms)


cdef int unit_means(const Numbers *x, const Units *shape, fill_numbers fill, const void *context,
                    double *means) except -1:
    cdef Sums work
    work.numbers, work.fill, work.context, work.what = x, fill, context, FASTNN_VALUES
    return of_units(&work, shape[0], means)


# For Python

cdef void scale_tensors(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Blocks of tensors times the factor; halves in float32, rounded once."""
    cdef const Sums *work = <const Sums *>context
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef float[BLOCK] room
    cdef const Numbers *x
    cdef Py_ssize_t t = tensor_at(work, start)
    cdef Py_ssize_t block, low, n
    cdef char *at
    for block in range(start, stop):
        while block >= work.first[t + 1]:
            t += 1
        x = &work.numbers[t]
        low = (block - work.first[t]) * FASTNN_SUM_BLOCK
        n = min(x.n - low, <Py_ssize_t>FASTNN_SUM_BLOCK)
        if x.kind == SINGLE:
            scale_kernels[0](<float *>x.data + low, n, work.factor)
        elif x.kind == DOUBLE:
            scale_kernels[1](<double *>x.data + low, n, work.factor)
        else:
            at = <char *>x.data + 2 * low
            load_halves[x.kind - FLOAT16](at, room, n)
            scale_kernels[0](room, n, work.factor)
            store_halves[x.kind - FLOAT16](room, at, n)
    fastnn_fp_leave(state)


cdef bint gapless(cnp.ndarray a) except -1:
    return kind_of(a) != OTHER and flat(a, cnp.PyArray_TYPE(a))


@cython.final
cdef class Tensors:
    """Arrays of floating-point numbers, held; of those that do not lie in one piece, copies."""

    cdef list arrays
    cdef Numbers *numbers
    cdef Py_ssize_t *first
    cdef Py_ssize_t count
    cdef Py_ssize_t elements

    def __cinit__(self, arrays):
        cdef cnp.ndarray a
        self.arrays = []
        for a in arrays:
            if not gapless(a):
                a = copied(a, np.float64 if kind_of(a) == OTHER else a.dtype.newbyteorder("="))
            self.arrays.append(a)
        self.numbers = <Numbers *>malloc((len(self.arrays) + 1) * sizeof(Numbers))
        self.first = <Py_ssize_t *>malloc((len(self.arrays) + 1) * sizeof(Py_ssize_t))
        if self.numbers == NULL or self.first == NULL:
            raise MemoryError
        for a in self.arrays:
            self.numbers[self.count] = Numbers(cnp.PyArray_BYTES(a), cnp.PyArray_SIZE(a), kind_of(a))
            self.count += 1
            self.elements += cnp.PyArray_SIZE(a)
        find_blocks(self.numbers, self.count, self.first)

    def __dealloc__(self):
        free(self.numbers)
        free(self.first)


def norm(arrays):
    """The Euclidean norm of all elements of some arrays of floating-point numbers.

    Infinite where an element is or the norm is beyond float64, NaN where an element is.
    """
    cdef Tensors tensors = Tensors(arrays)
    cdef double total
    norms_of(tensors.numbers, tensors.count, NULL, &total)
    return total


def norms(arrays):
    """The Euclidean norm of each array, as a list."""
    cdef Tensors tensors = Tensors(arrays)
    cdef cnp.ndarray each = np.empty(tensors.count)
    norms_of(tensors.numbers, tensors.count, <double *>cnp.PyArray_BYTES(each), NULL)
    return each.tolist()


def sum_of_squares(cnp.ndarray a not None):
    """Of the elements of an array of floating-point numbers."""
    cdef Tensors tensors = Tensors((a,))
    cdef Py_ssize_t shift
    cdef double total = reduce_tensors(tensors.numbers, 1, NULL, &shift)
    return ldexp(total, -2 * <int>shift)


def scale(arrays, double factor):
    """Multiply arrays of floating-point numbers in place, those in half precision in float32."""
    cdef Sums work
    cdef list rest = []
    cdef list ready = []
    cdef Tensors tensors
    cdef cnp.ndarray a
    for a in arrays:
        (ready if gapless(a) else rest).append(a)
    tensors = Tensors(ready)
    work.numbers, work.first, work.count, work.factor = tensors.numbers, tensors.first, tensors.count, factor
    work.threads = threads_for(tensors.elements)
    with nogil:
        shared(scale_tensors, &work, work.first[work.count], tensors.elements)
    for a in rest:
        by = np.float32(factor) if kind_of(a) >= FLOAT16 else factor
        np.multiply(a, by, out=a, casting="unsafe")


def refuse_shared(list arrays, list keys):
    """Raise ValueError where scaling an element would scale another one. Keys are for the message."""
    cdef Span *spans = <Span *>malloc((len(arrays) + 1) * sizeof(Span))
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t near = 0                # the first of those whose memory hangs together with this one's
    cdef Py_ssize_t i, j
    cdef const char *reach = NULL
    cdef cnp.ndarray a
    if spans == NULL:
        raise MemoryError
    try:
        for i in range(len(arrays)):
            a = arrays[i]
            if cnp.PyArray_SIZE(a):
                if not gapless(a) and overlaps_itself(a):
                    raise ValueError(f"elements of gradient {keys[i]!r} share memory")
                spans[count] = span_of(a, i)
                count += 1
        qsort(spans, count, sizeof(Span), by_address)
        for i in range(count):
            if spans[i].low >= reach:
                near = i
            for j in range(near, i):
                if share_memory(arrays[spans[j].index], arrays[spans[i].index]):
                    one, other = sorted((spans[j].index, spans[i].index))
                    raise ValueError(f"gradients {keys[one]!r} and {keys[other]!r} share memory")
            reach = max(reach, spans[i].high)
    finally:
        free(spans)


cdef void read_numbers(const void *context, Py_ssize_t start, Py_ssize_t n, void *out) noexcept nogil:
    cdef const Numbers *x = <const Numbers *>context
    if x.kind == SINGLE:
        memcpy(out, <const float *>x.data + start, n * sizeof(float))
    elif x.kind == DOUBLE:
        memcpy(out, <const double *>x.data + start, n * sizeof(double))
    else:
        load_halves[x.kind - FLOAT16](x.data + 2 * start, <float *>out, n)


def _of_units(cnp.ndarray a not None, int axis, what):
    """For tests. Of an array without gaps: norms or means of units, or "filled", means by a function."""
    cdef Tensors tensors = Tensors((a,))
    cdef Units shape = units_along(cnp.PyArray_DIMS(a), cnp.PyArray_NDIM(a), axis,
                                   not cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS))
    cdef cnp.ndarray results = np.empty(shape.units)
    cdef double *out = <double *>cnp.PyArray_BYTES(results)
    cdef fill_numbers fill = NULL
    if what == "filled":
        fill = read_numbers
    if what == "norms":
        unit_norms(tensors.numbers, &shape, out)
    else:
        unit_means(tensors.numbers, &shape, fill, tensors.numbers, out)
    return results
