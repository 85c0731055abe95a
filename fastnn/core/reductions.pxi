# What reductions.pyx calls, compiled for each level; rules.pxi includes this.

cdef extern from "reductions.h":
    void fastnn_block_sums_float(const void *x, Py_ssize_t n, int what, double factor, double *sums) noexcept nogil
    void fastnn_block_sums_double(const void *x, Py_ssize_t n, int what, double factor, double *sums) noexcept nogil
    void fastnn_add_rows_float(const void *x, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t columns, int what,
                               double factor, double *sums) noexcept nogil
    void fastnn_add_rows_double(const void *x, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t columns, int what,
                                double factor, double *sums) noexcept nogil
    void fastnn_scale_float(void *x, Py_ssize_t n, double factor) noexcept nogil
    void fastnn_scale_double(void *x, Py_ssize_t n, double factor) noexcept nogil
    double fastnn_block_dot_float(const void *x, const void *y, Py_ssize_t n) noexcept nogil
    double fastnn_block_dot_double(const void *x, const void *y, Py_ssize_t n) noexcept nogil

# name: (address for float, address for double), as sum_blocks, add_rows and scale_block of reductions.pyx, block_dot
# of measuring.pyx
REDUCTIONS = {
    "block_sums": (<uintptr_t>fastnn_block_sums_float, <uintptr_t>fastnn_block_sums_double),
    "add_rows": (<uintptr_t>fastnn_add_rows_float, <uintptr_t>fastnn_add_rows_double),
    "scale": (<uintptr_t>fastnn_scale_float, <uintptr_t>fastnn_scale_double),
    "block_dot": (<uintptr_t>fastnn_block_dot_float, <uintptr_t>fastnn_block_dot_double),
}
