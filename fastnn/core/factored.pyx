# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What is made of gradients before a step that is taken along it: matrices by their rows and columns, rules on copies.

The same bits for any number of threads: a matrix is cut into pieces of some rows by its shape alone, and what is found of
the pieces is put together in their order.
"""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from fastnn.core.fpstate cimport fastnn_fp_enter, fastnn_fp_leave, fastnn_fp_state
from fastnn.core.kernels cimport add_rows, block_sums
from fastnn.core.loops cimport BLOCK_STEP
from fastnn.core.arrays cimport DOUBLE, SINGLE
from fastnn.core.passes cimport BLOCK, MOST_CONSTANTS, MOST_SLOTS, Constants, Pass, Task, step_range
from fastnn.core.threads cimport range_body, share_out, threads_for
from fastnn.core.vecmath cimport real

from fastnn.core.levels import rules

cnp.import_array()

cdef extern from "reductions.h":
    enum: FASTNN_SUM_BLOCK
    enum: FASTNN_SQUARES

ctypedef void (*scaled_float)(float *x, Py_ssize_t n, float of_row, const float *of_columns) noexcept nogil
ctypedef void (*scaled_double)(double *x, Py_ssize_t n, double of_row, const double *of_columns) noexcept nogil
ctypedef void (*bounded_float)(float *x, Py_ssize_t n, float of_row, const float *of_columns, float eps, float *largest,
                               float *largest_of_columns) noexcept nogil
ctypedef void (*bounded_double)(double *x, Py_ssize_t n, double of_row, const double *of_columns, double eps,
                                double *largest, double *largest_of_columns) noexcept nogil

cdef enum:
    FEW = 8192              # elements that are computed before it would pay to let another thread run
    WHOLE = 32768           # of a matrix that is one piece
    PIECES = 16             # of a larger one at most
    NEAR = 16384            # elements whose rows are summed before its columns are, while they lie in the cache

cdef block_sums sum_kernels[2]
cdef add_rows row_kernels[2]
for place in range(2):
    sum_kernels[place] = <block_sums><uintptr_t>rules.REDUCTIONS["block_sums"][place]
    row_kernels[place] = <add_rows><uintptr_t>rules.REDUCTIONS["add_rows"][place]
cdef scaled_float scale_single = <scaled_float><uintptr_t>rules.FACTORED["row_scaled"][0]
cdef scaled_double scale_double = <scaled_double><uintptr_t>rules.FACTORED["row_scaled"][1]
cdef bounded_float bound_single = <bounded_float><uintptr_t>rules.FACTORED["row_bounded"][0]
cdef bounded_double bound_double = <bounded_double><uintptr_t>rules.FACTORED["row_bounded"][1]


cdef struct Matrices:
    char *x                 # one after another
    bint wide               # double, or float
    Py_ssize_t size         # of a number
    Py_ssize_t count
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t piece        # rows of a piece
    Py_ssize_t pieces       # of a matrix
    int threads
    char *of_rows           # factors, or bounds
    char *of_columns
    double eps
    double *sums            # of rows
    double *found           # of each piece: sums of its columns, or the sum of all its squares
    char *largest           # of rows
    char *largest_found     # of each piece: the largest of its columns


cdef Matrices matrices_of(cnp.ndarray x) except *:
    """x is (matrices, rows, columns)."""
    cdef Matrices m
    if not (cnp.PyArray_NDIM(x) == 3 and cnp.PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED)
            and cnp.PyArray_TYPE(x) in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE)):
        raise ValueError("matrices one after another, in float32 or float64")
    memset(&m, 0, sizeof(Matrices))
    m.x, m.wide, m.size = cnp.PyArray_BYTES(x), cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE, cnp.PyArray_ITEMSIZE(x)
    m.count, m.rows, m.columns = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), cnp.PyArray_DIM(x, 2)
    m.pieces = 1 if m.rows * m.columns <= WHOLE else min(<Py_ssize_t>PIECES, m.rows)
    m.piece = max(<Py_ssize_t>1, (m.rows + m.pieces - 1) // m.pieces)
    m.pieces = max(<Py_ssize_t>1, (m.rows + m.piece - 1) // m.piece)
    m.threads = threads_for(cnp.PyArray_SIZE(x))
    return m


cdef char *numbers_of(cnp.ndarray a, const Matrices *m, Py_ssize_t count) except NULL:
    """The numbers of an array of the matrices' dtype that has so many."""
    if not (cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED) and cnp.PyArray_SIZE(a) == count
            and cnp.PyArray_TYPE(a) == (cnp.NPY_DOUBLE if m.wide else cnp.NPY_FLOAT)):
        raise ValueError("factors of rows and columns do not fit the matrices")
    return cnp.PyArray_BYTES(a)


cdef void shared(range_body body, const Matrices *m) noexcept nogil:
    cdef Py_ssize_t elements = m.count * m.rows * m.columns
    if elements <= FEW:
        body(m, 0, m.count * m.pieces)
    else:
        share_out(body, m, m.count * m.pieces, 1, m.threads)


cdef inline double sum_of_squares(const Matrices *m, const char *x, Py_ssize_t n) noexcept nogil:
    cdef double total = 0
    cdef double part
    cdef Py_ssize_t length
    while n > 0:
        length = min(n, <Py_ssize_t>FASTNN_SUM_BLOCK)
        sum_kernels[m.wide](x, length, FASTNN_SQUARES, 1, &part)
        total += part
        x, n = x + length * m.size, n - length
    return total


cdef void sum_pieces(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Matrices *m = <const Matrices *>work
    cdef fastnn_fp_state state = fastnn_fp_enter(0)
    cdef Py_ssize_t near = max(<Py_ssize_t>4, NEAR // max(<Py_ssize_t>1, m.columns))
    cdef Py_ssize_t part, row, low, high, first, last
    cdef const char *x
    for part in range(start, stop):
        first = part // m.pieces * m.rows           # of its matrix
        low = first + part % m.pieces * m.piece
        last = min(first + m.rows, low + m.piece)
        memset(m.found + part * m.columns, 0, m.columns * sizeof(double))
        while low < last:
            high = min(last, low + near)
            x = m.x + low * m.columns * m.size
            for row in range(low, high):
                m.sums[row] = sum_of_squares(m, m.x + row * m.columns * m.size, m.columns)
            row_kernels[m.wide](x, high - low, m.columns, m.columns, FASTNN_SQUARES, 1, m.found + part * m.columns)
            low = high
    fastnn_fp_leave(state)


def squares(cnp.ndarray x not None):
    """(sums of squares of rows, of columns) of matrices: float64, (matrices, rows) and (matrices, columns)."""
    cdef Matrices m = matrices_of(x)
    cdef cnp.ndarray of_rows = np.zeros((m.count, m.rows))
    cdef cnp.ndarray of_pieces = np.zeros((m.count, m.pieces, m.columns))
    if cnp.PyArray_SIZE(x):
        m.sums, m.found = <double *>cnp.PyArray_BYTES(of_rows), <double *>cnp.PyArray_BYTES(of_pieces)
        with nogil:
            shared(sum_pieces, &m)
    return of_rows, (<object>of_pieces).sum(1)


cdef void scale_pieces(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Matrices *m = <const Matrices *>work
    cdef fastnn_fp_state state = fastnn_fp_enter(1)
    cdef Py_ssize_t part, row, first, low, last
    cdef char *x
    cdef const char *of_columns
    for part in range(start, stop):
        first = part // m.pieces * m.rows
        low = first + part % m.pieces * m.piece
        last = min(first + m.rows, low + m.piece)
        of_columns = m.of_columns + part // m.pieces * m.columns * m.size
        m.found[part] = 0
        for row in range(low, last):
            x = m.x + row * m.columns * m.size
            if m.wide:
                scale_double(<double *>x, m.columns, (<double *>m.of_rows)[row], <const double *>of_columns)
            else:
                scale_single(<float *>x, m.columns, (<float *>m.of_rows)[row], <const float *>of_columns)
            m.found[part] += sum_of_squares(m, x, m.columns)
    fastnn_fp_leave(state)


def scaled(cnp.ndarray x not None, cnp.ndarray of_rows not None, cnp.ndarray of_columns not None):
    """Multiply matrices in place, by a factor of each row and one of each column. The sum of the squares of all."""
    cdef Matrices m = matrices_of(x)
    cdef cnp.ndarray found = np.zeros(m.count * m.pieces)
    if cnp.PyArray_SIZE(x):
        m.of_rows = numbers_of(of_rows, &m, m.count * m.rows)
        m.of_columns = numbers_of(of_columns, &m, m.count * m.columns)
        m.found = <double *>cnp.PyArray_BYTES(found)
        with nogil:
            shared(scale_pieces, &m)
    return float(found.sum())


cdef void bound_pieces(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef const Matrices *m = <const Matrices *>work
    cdef fastnn_fp_state state = fastnn_fp_enter(1)
    cdef Py_ssize_t part, row, low, last
    cdef char *x
    cdef char *largest
    for part in range(start, stop):
        low = part * m.piece
        last = min(m.rows, low + m.piece)
        largest = m.largest_found + part * m.columns * m.size
        for row in range(low, last):
            x = m.x + row * m.columns * m.size
            if m.wide:
                bound_double(<double *>x, m.columns, (<double *>m.of_rows)[row], <const double *>m.of_columns, m.eps,
                             <double *>m.largest + row, <double *>largest)
            else:
                bound_single(<float *>x, m.columns, (<float *>m.of_rows)[row], <const float *>m.of_columns,
                             <float>m.eps, <float *>m.largest + row, <float *>largest)
    fastnn_fp_leave(state)


def bounded(cnp.ndarray x not None, cnp.ndarray of_rows not None, cnp.ndarray of_columns not None, double eps):
    """Divide a matrix, (1, rows, columns), by sqrt(nu + eps) in place, 0 where that is: nu = min(of_rows, of_columns) + x^2.
    (the largest nu of each row, of each column), in its dtype."""
    cdef Matrices m = matrices_of(x)
    cdef cnp.ndarray largest = np.zeros(m.rows, x.dtype)
    cdef cnp.ndarray of_pieces = np.zeros((m.pieces, m.columns), x.dtype)
    if m.count != 1:
        raise ValueError("one matrix")
    if cnp.PyArray_SIZE(x):
        m.of_rows, m.of_columns = numbers_of(of_rows, &m, m.rows), numbers_of(of_columns, &m, m.columns)
        m.eps = eps
        m.largest, m.largest_found = cnp.PyArray_BYTES(largest), cnp.PyArray_BYTES(of_pieces)
        with nogil:
            shared(bound_pieces, &m)
    return largest, (<object>of_pieces).max(0)


cdef inline void step_copies(const Pass *call, const Task *task, real *g, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Deltas take the place of g: a rule reads a copy of each block of it."""
    cdef real[BLOCK] room
    cdef const real *p
    cdef Py_ssize_t n
    while start < stop:
        n = min(stop - start, <Py_ssize_t>BLOCK)
        memcpy(room, g + start, n * sizeof(real))
        p = &room[0] if task.parameter == NULL else <const real *>task.parameter + start
        step_range(call, task, &room[0], p, g + start, <real>1, start, n)
        start += n


cdef void step_in_place(const void *work, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Blocks start to stop of the one tensor of a pass."""
    cdef const Pass *call = <const Pass *>work
    cdef const Task *task = call.tasks
    cdef fastnn_fp_state state = fastnn_fp_enter(1)
    cdef Py_ssize_t last = min(stop * BLOCK, task.n)
    if task.kind == DOUBLE:
        step_copies(call, task, <double *>task.target, start * BLOCK, last)
    else:
        step_copies(call, task, <float *>task.target, start * BLOCK, last)
    fastnn_fp_leave(state)


def stepped(str rule, dict constants not None, cnp.ndarray g not None, cnp.ndarray state not None, cnp.ndarray p=None):
    """A rule on arrays: its deltas take the place of g, and its new state that of `state`.

    g and p have n elements, state is (slots, n or more, a multiple of 16); all of one dtype, float32 or float64, and
    without gaps.
    """
    cdef Constants c
    cdef Pass call
    cdef Task task
    cdef Py_ssize_t i, blocks
    cdef Py_ssize_t n = cnp.PyArray_SIZE(g)
    cdef int kind = cnp.PyArray_TYPE(g)
    cdef int threads = threads_for(n)
    addresses, names, slots, reads_p = rules.RULES[rule]
    for a in (g, state) if p is None else (g, state, p):
        if not (cnp.PyArray_CHKFLAGS(<cnp.ndarray>a, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED)
                and cnp.PyArray_TYPE(<cnp.ndarray>a) == kind and kind in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE)):
            raise ValueError("arrays without gaps, of one dtype")
    if (cnp.PyArray_NDIM(state) != 2 or state.shape[0] != slots or state.shape[1] < n or state.shape[1] % BLOCK_STEP
            or (p is None) == reads_p or p is not None and cnp.PyArray_SIZE(p) != n):
        raise ValueError(f"arrays do not fit the rule {rule}")
    memset(&c, 0, sizeof(Constants))
    memset(&call, 0, sizeof(Pass))
    memset(&task, 0, sizeof(Task))
    c.kernels[0], c.kernels[1] = addresses
    c.reads_p = reads_p
    for i, name in enumerate(names):
        c.double_[i] = constants[name]
        c.single[i] = <float>c.double_[i]
    task.target = cnp.PyArray_BYTES(g)
    task.parameter = NULL if p is None else cnp.PyArray_BYTES(p)
    task.state, task.padded = cnp.PyArray_BYTES(state), state.shape[1]
    task.constants, task.n = &c, n
    task.kind = DOUBLE if kind == cnp.NPY_DOUBLE else SINGLE
    call.slots, call.tasks = slots, &task
    blocks = (n + BLOCK - 1) // BLOCK
    if n <= FEW:
        step_in_place(&call, 0, blocks)
    else:
        with nogil:
            share_out(step_in_place, &call, blocks, 1, threads)
