# Rows of matrices for rules that keep something of rows and columns instead of elements. factored.pyx calls them;
# rules.pxi includes this file.
from fastnn.core.vecmath cimport at_least, at_most, square_root

cdef enum:
    ROOM = 512


cdef void row_scaled(real *x, Py_ssize_t n, real of_row, const real *of_columns) noexcept nogil:
    """x *= of_row of_columns."""
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = x[i] * (of_row * of_columns[i])


cdef void row_bounded(real *x, Py_ssize_t n, real of_row, const real *of_columns, real eps, real *largest,
                      real *largest_of_columns) noexcept nogil:
    """nu = min(of_row, of_columns) + x^2; x /= sqrt(nu + eps), 0 where that is; the largest nu of the row and of columns,
    of those that are numbers."""
    cdef real[ROOM] nu
    cdef real[BLOCK_STEP] most
    cdef Py_ssize_t i, k, length
    for k in range(BLOCK_STEP):
        most[k] = 0
    while n > 0:
        length = min(n, <Py_ssize_t>ROOM)
        for i in range(length):
            nu[i] = at_most(of_columns[i], of_row) + x[i] * x[i]
        for i in range(length):
            largest_of_columns[i] = at_least(largest_of_columns[i], nu[i])
        for i in range(length // BLOCK_STEP):
            for k in range(BLOCK_STEP):
                most[k] = at_least(most[k], nu[i * BLOCK_STEP + k])
        for i in range(length & -BLOCK_STEP, length):
            most[0] = at_least(most[0], nu[i])
        for i in range(length):
            x[i] = <real>0 if nu[i] + eps == <real>0 else x[i] / square_root(nu[i] + eps)
        n -= length
        x, of_columns, largest_of_columns = x + length, of_columns + length, largest_of_columns + length
    for k in range(1, BLOCK_STEP):
        most[0] = at_least(most[0], most[k])
    largest[0] = at_least(most[0], largest[0])


# name: (address for float, address for double), as row_scaled and row_bounded of factored.pyx
FACTORED = {
    "row_scaled": (<uintptr_t>row_scaled[float], <uintptr_t>row_scaled[double]),
    "row_bounded": (<uintptr_t>row_bounded[float], <uintptr_t>row_bounded[double]),
}
