# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""A call of an elementwise kernel over arrays with gaps, or of different memory orders, tile by tile.

A tile is a piece of the plane of two axes. Rows that an array has in one piece are run through where they lie; what lies
otherwise - every second column, a transposed gradient - is gathered into a block of the first cache, or scattered from
one.
"""
from libc.string cimport memcmp, memcpy, memset

from fastnn.core.blocks cimport Work, call, made_up
from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.streaming cimport fastnn_prefetch
from fastnn.core.vecmath cimport real

cdef extern from "turning.h":
    enum: FASTNN_TURNED_FLOATS
    enum: FASTNN_TURNED_DOUBLES
    void fastnn_turn_floats(const float *x, Py_ssize_t step, float *out, Py_ssize_t out_step) noexcept nogil
    void fastnn_turn_doubles(const double *x, Py_ssize_t step, double *out, Py_ssize_t out_step) noexcept nogil
    Py_ssize_t fastnn_second_floats(const float *x, float *out, Py_ssize_t n) noexcept nogil
    Py_ssize_t fastnn_second_doubles(const double *x, double *out, Py_ssize_t n) noexcept nogil
    Py_ssize_t fastnn_backward_floats(const float *x, float *out, Py_ssize_t n) noexcept nogil
    Py_ssize_t fastnn_backward_doubles(const double *x, double *out, Py_ssize_t n) noexcept nogil

cdef enum:
    MOST_AXES = 8
    MOST_OPERANDS = 4
    ROOM = 1024             # doubles, or twice as many floats, of a tile that is gathered
    LEAST = 64              # of a tile; more than a few smaller ones are not worth what each costs
    FEW = 4
    NARROW = 64             # bytes: a step that is less shares cache lines
    HIGH = 128              # bytes that are read of a column at a time
    ROWS = 16               # of a tile whose rows lie in one piece, all of them
    COLUMNS = 1024

cdef struct Tiles:
    # operands (the inputs, then the outputs) of one shape; tiles are numbered down the last axis but one first, so that
    # the next one goes on where the columns of this one have ended
    const Work *work
    bint single
    int inputs
    int count
    int axes                                            # two at least
    Py_ssize_t shape[MOST_AXES]
    Py_ssize_t steps[MOST_OPERANDS][MOST_AXES]          # bytes, a multiple of an element's
    char *first[MOST_OPERANDS]
    bint straight[MOST_OPERANDS]                        # each row lies in one piece, and nothing is read that is written
    Py_ssize_t rows                                     # of a tile
    Py_ssize_t columns


cdef inline Py_ssize_t distance(Py_ssize_t step) noexcept nogil:
    return -step if step < 0 else step


# What lies how

cdef inline void drop_axis(Tiles *tiles, int axis) noexcept nogil:
    cdef int i, k
    tiles.axes -= 1
    for i in range(axis, tiles.axes):
        tiles.shape[i] = tiles.shape[i + 1]
        for k in range(tiles.count):
            tiles.steps[k][i] = tiles.steps[k][i + 1]


cdef inline void swap_axes(Tiles *tiles, int a, int b) noexcept nogil:
    cdef int k
    tiles.shape[a], tiles.shape[b] = tiles.shape[b], tiles.shape[a]
    for k in range(tiles.count):
        tiles.steps[k][a], tiles.steps[k][b] = tiles.steps[k][b], tiles.steps[k][a]


cdef inline int fastest(const Tiles *tiles, int operand) noexcept nogil:
    """The axis of an operand's smallest step; the last one of an operand that is one number."""
    cdef int axis = tiles.axes - 1
    cdef int i
    cdef Py_ssize_t least = 0, step
    for i in range(tiles.axes - 1, -1, -1):
        step = distance(tiles.steps[operand][i])
        if step and (least == 0 or step < least):
            axis, least = i, step
    return axis


cdef inline int leader(const Tiles *tiles) noexcept nogil:
    """The operand whose order is followed: the first output, or x if another input lies as x does and the output not."""
    cdef int out = tiles.inputs
    if tiles.inputs == 2 and fastest(tiles, 0) != fastest(tiles, out) and fastest(tiles, 0) == fastest(tiles, 1):
        return 0
    return out


cdef inline void sort_axes(Tiles *tiles, int operand) noexcept nogil:
    """By this operand's steps, the smallest last; forwards where the operand goes backwards."""
    cdef int i, k, at
    for i in range(tiles.axes):
        if tiles.steps[operand][i] < 0:
            for k in range(tiles.count):
                tiles.first[k] += (tiles.shape[i] - 1) * tiles.steps[k][i]
                tiles.steps[k][i] = -tiles.steps[k][i]
    for i in range(1, tiles.axes):
        at = i
        while at and tiles.steps[operand][at - 1] < tiles.steps[operand][at]:
            swap_axes(tiles, at - 1, at)
            at -= 1


cdef inline bint joined(const Tiles *tiles, int axis) noexcept nogil:
    """Whether all operands go over this axis and the next as over one."""
    cdef int k
    for k in range(tiles.count):
        if tiles.steps[k][axis] != tiles.steps[k][axis + 1] * tiles.shape[axis + 1]:
            return False
    return True


cdef inline bint lies_over_itself(const Tiles *tiles, int operand, Py_ssize_t extent) noexcept nogil:
    """Whether it may: its axes, the smallest steps first, do not each step over all that is within."""
    cdef bint seen[MOST_AXES]
    cdef int i, least
    memset(seen, 0, sizeof(seen))
    for _ in range(tiles.axes):
        least = -1
        for i in range(tiles.axes):
            if not seen[i] and (least < 0 or distance(tiles.steps[operand][i]) < distance(tiles.steps[operand][least])):
                least = i
        seen[least] = True
        if distance(tiles.steps[operand][least]) < extent:
            return True
        extent += distance(tiles.steps[operand][least]) * (tiles.shape[least] - 1)
    return False


cdef inline bint lie_alike(const Tiles *tiles, int a, int b) noexcept nogil:
    return tiles.first[a] == tiles.first[b] and not memcmp(tiles.steps[a], tiles.steps[b],
                                                           tiles.axes * sizeof(Py_ssize_t))


cdef inline bint spans_meet(const Tiles *tiles, int a, int b, Py_ssize_t itemsize) noexcept nogil:
    """Whether anything of one lies between the ends of the other."""
    cdef char *low[2]
    cdef char *high[2]
    cdef int operand[2]
    cdef int i, k
    operand[0], operand[1] = a, b
    for k in range(2):
        low[k] = high[k] = tiles.first[operand[k]]
        for i in range(tiles.axes):
            if tiles.steps[operand[k]][i] < 0:
                low[k] += tiles.steps[operand[k]][i] * (tiles.shape[i] - 1)
            else:
                high[k] += tiles.steps[operand[k]][i] * (tiles.shape[i] - 1)
        high[k] += itemsize
    return low[0] < high[1] and low[1] < high[0]


cdef inline Py_ssize_t pieces(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    return (n + size - 1) // size


cdef inline Py_ssize_t number_of_tiles(const Tiles *tiles) noexcept nogil:
    cdef Py_ssize_t n = 1
    cdef int i
    for i in range(tiles.axes - 2):
        n *= tiles.shape[i]
    return n * pieces(tiles.shape[tiles.axes - 2], tiles.rows) * pieces(tiles.shape[tiles.axes - 1], tiles.columns)


cdef inline bint lay_out(Tiles *tiles, Py_ssize_t itemsize) noexcept nogil:
    """Choose the order of the axes and the size of tiles. False where tiles would be too small."""
    cdef Py_ssize_t room = ROOM * 8 // itemsize
    cdef int i, k, last, turned = -1
    cdef bint all_straight = True
    for i in range(tiles.axes - 1, -1, -1):
        if tiles.shape[i] == 1:
            drop_axis(tiles, i)
    sort_axes(tiles, leader(tiles))
    for i in range(tiles.axes - 2, -1, -1):
        if joined(tiles, i):
            tiles.shape[i + 1] *= tiles.shape[i]
            drop_axis(tiles, i)
    while tiles.axes < 2:                               # axes of length 1, in front
        tiles.axes += 1
        tiles.shape[tiles.axes - 1] = 1
        for k in range(tiles.count):
            tiles.steps[k][tiles.axes - 1] = 0
        for i in range(tiles.axes - 1, 0, -1):
            swap_axes(tiles, i - 1, i)
    last = tiles.axes - 1
    for k in range(tiles.count):
        tiles.straight[k] = tiles.steps[k][last] == itemsize
        if k >= tiles.inputs:
            for i in range(tiles.inputs):               # a kernel does not write where it reads
                tiles.straight[k] = tiles.straight[k] and tiles.first[k] != tiles.first[i]
        all_straight = all_straight and tiles.straight[k]
        i = fastest(tiles, k)
        if i != last and turned < 0 and 0 != distance(tiles.steps[k][i]) < NARROW:
            turned = i
    if turned >= 0:
        for i in range(turned, last - 1):               # it becomes the other axis of the plane
            swap_axes(tiles, i, i + 1)
    if all_straight:
        tiles.columns = min(tiles.shape[last], <Py_ssize_t>COLUMNS)
        tiles.rows = ROWS
    elif turned >= 0:
        tiles.rows = HIGH // itemsize
        tiles.columns = min(tiles.shape[last], room // tiles.rows)
    else:
        tiles.columns = min(tiles.shape[last], room)
        tiles.rows = room // tiles.columns
    if tiles.columns < tiles.work.step:                 # nothing is run through where it lies
        tiles.rows = room // tiles.columns
    tiles.rows = min(tiles.rows, tiles.shape[last - 1])
    return tiles.rows * tiles.columns >= LEAST or number_of_tiles(tiles) <= FEW


# A tile

cdef inline void turn(const real *x, Py_ssize_t step, real *out, Py_ssize_t out_step, Py_ssize_t columns,
                      Py_ssize_t n) noexcept nogil:
    """out[i, j] = x[j, i], of `columns` columns that are n elements long."""
    cdef Py_ssize_t size = FASTNN_TURNED_FLOATS if real is float else FASTNN_TURNED_DOUBLES
    cdef Py_ssize_t i, k, j = 0
    while j + size <= columns:
        i = 0
        while i + size <= n:
            if real is float:
                fastnn_turn_floats(x + j * step + i, step, out + i * out_step + j, out_step)
            else:
                fastnn_turn_doubles(x + j * step + i, step, out + i * out_step + j, out_step)
            i += size
        while i < n:
            for k in range(j, j + size):
                out[i * out_step + k] = x[k * step + i]
            i += 1
        j += size
    while j < columns:
        for i in range(n):
            out[i * out_step + j] = x[j * step + i]
        j += 1


cdef inline void gather_row(const char *x, Py_ssize_t step, Py_ssize_t n, real *out) noexcept nogil:
    cdef Py_ssize_t size = sizeof(real)
    cdef Py_ssize_t i = 0
    cdef real same
    if step == size:
        memcpy(out, x, n * size)
        return
    if step == 0:
        same = (<const real *>x)[0]
        for i in range(n):
            out[i] = same
        return
    if step == 2 * size:
        if real is float:
            i = fastnn_second_floats(<const float *>x, out, n)
        else:
            i = fastnn_second_doubles(<const double *>x, out, n)
    elif step == -size:
        if real is float:
            i = fastnn_backward_floats(<const float *>x, out, n)
        else:
            i = fastnn_backward_doubles(<const double *>x, out, n)
    for i in range(i, n):
        out[i] = (<const real *>(x + i * step))[0]


cdef inline void gather(const char *x, Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t rows, Py_ssize_t columns,
                        real *out) noexcept nogil:
    cdef Py_ssize_t size = sizeof(real)
    cdef Py_ssize_t i, k
    if row_step == size and column_step != size:
        for k in range(columns):                        # the tile that comes next, in all likelihood
            fastnn_prefetch(x + k * column_step + rows * size, rows * size)
        turn(<const real *>x, column_step // size, out, columns, columns, rows)
        return
    for i in range(rows):
        gather_row(x + i * row_step, column_step, columns, out + i * columns)


cdef inline void scatter(const real *x, Py_ssize_t rows, Py_ssize_t columns, char *out, Py_ssize_t row_step,
                         Py_ssize_t column_step) noexcept nogil:
    cdef Py_ssize_t size = sizeof(real)
    cdef Py_ssize_t i, k
    if row_step == size and column_step != size:
        turn(x, columns, <real *>out, column_step // size, rows, columns)
        return
    for i in range(rows):
        if column_step == size:
            memcpy(out, x, columns * size)
        else:
            for k in range(columns):
                (<real *>(out + k * column_step))[0] = x[k]
        out += row_step
        x += columns


cdef inline void run_columns(const Tiles *tiles, char *const *at, real *room, Py_ssize_t rows, Py_ssize_t columns,
                             bint where_they_lie) noexcept nogil:
    """Rows and columns from `at` on; where_they_lie: the number of columns is one that the kernel takes."""
    cdef real *begin[MOST_OPERANDS]
    cdef Py_ssize_t steps[MOST_OPERANDS]        # elements from row to row
    cdef const Py_ssize_t *step
    cdef int last = tiles.axes - 1
    cdef int k
    cdef bint gathered = True
    cdef Py_ssize_t i, whole = columns, n = rows * columns
    cdef bint two = tiles.inputs == 2, both = tiles.count > tiles.inputs + 1
    for k in range(tiles.count):
        step = tiles.steps[k]
        if where_they_lie and tiles.straight[k]:
            begin[k] = <real *>at[k]
            steps[k] = step[last - 1] // <Py_ssize_t>sizeof(real)
            gathered = False
            continue
        begin[k] = room + k * (ROOM * 8 // sizeof(real))
        steps[k] = columns
        if k < tiles.inputs:
            gather(at[k], step[last - 1], step[last], rows, columns, begin[k])
            memset(begin[k] + n, 0, (made_up(tiles.work, n) - n) * sizeof(real))
    if gathered:
        rows, columns = 1, made_up(tiles.work, n)
    for i in range(rows):
        call(tiles.work, begin[0] + i * steps[0], begin[1] + i * steps[1] if two else NULL,
             begin[tiles.inputs] + i * steps[tiles.inputs],
             begin[tiles.inputs + 1] + i * steps[tiles.inputs + 1] if both else NULL, columns)
    for k in range(tiles.inputs, tiles.count):
        if begin[k] == room + k * (ROOM * 8 // sizeof(real)):
            step = tiles.steps[k]
            scatter(begin[k], n // whole, whole, at[k], step[last - 1], step[last])


cdef inline void run_tile(const Tiles *tiles, char *const *at, real *room, Py_ssize_t rows,
                          Py_ssize_t columns) noexcept nogil:
    cdef char *rest[MOST_OPERANDS]
    cdef Py_ssize_t whole = columns & -tiles.work.step
    cdef int k
    if whole:
        run_columns(tiles, at, room, rows, whole, True)
    if whole < columns:
        for k in range(tiles.count):
            rest[k] = at[k] + whole * tiles.steps[k][tiles.axes - 1]
        run_columns(tiles, rest, room, rows, columns - whole, False)


cdef inline void run_numbered(const Tiles *tiles, real *room, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Tiles start to stop."""
    cdef char *at[MOST_OPERANDS]
    cdef Py_ssize_t index[MOST_AXES]        # of the tile; in the plane, its first row and column
    cdef int last = tiles.axes - 1
    cdef Py_ssize_t across = pieces(tiles.shape[last], tiles.columns)
    cdef Py_ssize_t down = pieces(tiles.shape[last - 1], tiles.rows)
    cdef Py_ssize_t number = start
    cdef int i, k
    index[last - 1] = number % down * tiles.rows
    number //= down
    index[last] = number % across * tiles.columns
    number //= across
    for i in range(last - 2, -1, -1):
        index[i] = number % tiles.shape[i]
        number //= tiles.shape[i]
    while start < stop:
        for k in range(tiles.count):
            at[k] = tiles.first[k]
            for i in range(tiles.axes):
                at[k] += index[i] * tiles.steps[k][i]
        run_tile(tiles, at, room, min(tiles.rows, tiles.shape[last - 1] - index[last - 1]),
                 min(tiles.columns, tiles.shape[last] - index[last]))
        start += 1
        index[last - 1] += tiles.rows
        if index[last - 1] < tiles.shape[last - 1]:
            continue
        index[last - 1] = 0
        index[last] += tiles.columns
        if index[last] < tiles.shape[last]:
            continue
        index[last] = 0
        for i in range(last - 2, -1, -1):
            index[i] += 1
            if index[i] < tiles.shape[i]:
                break
            index[i] = 0


cdef inline void run_tiles(const void *context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Tiles *tiles = <const Tiles *>context
    cdef double[MOST_OPERANDS * ROOM] room
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    if tiles.single:
        run_numbered(tiles, <float *>room, start, stop)
    else:
        run_numbered(tiles, <double *>room, start, stop)
    fastnn_fp_leave(state)
