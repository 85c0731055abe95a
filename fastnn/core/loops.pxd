# cython: cdivision=True
"""The generic loops over formulas. Each takes scalar formulas as arguments and is inlined around them, so every kernel
is one line.

The number of elements is a multiple of MAP_STEP, in rules of BLOCK_STEP: the engine pads the last ones. There is then
no scalar remainder, and an element gets the same bits wherever it stands.
"""
from libc.string cimport memcpy, memset

from fastnn.core.kernels cimport BOTH, FIRST, FIRST_BY_VALUE, PRODUCT_BY_VALUE, SECOND, VALUE
from fastnn.core.vecmath cimport real

cdef extern from *:
    """
    /* A polynomial waits for each of its steps, so a loop is to work on four vectors at a time. gcc takes the number of
       elements from the narrowest type that a loop reads, hence an operand that has no use; clang has an option. Not at
       x86-64-v2, where it takes .82 of the time and 1.8 times the room. */
    #if defined(__GNUC__) && !defined(__clang__) && !(defined(__x86_64__) && !defined(__AVX2__))
    typedef signed char __attribute__((may_alias)) fastnn_quarter;
    typedef short __attribute__((may_alias)) fastnn_quarter_of_double;
    #define FASTNN_SEE_FLOAT(seen, x, i) ((seen) |= ((const fastnn_quarter *)(x))[i])
    #define FASTNN_SEE_DOUBLE(seen, x, i) ((seen) |= ((const fastnn_quarter_of_double *)(x))[i])
    #define FASTNN_SEEN(seen) __asm__ ("" : : "r" ((int)(seen)))
    #else
    #define FASTNN_SEE_FLOAT(seen, x, i) ((void)0)
    #define FASTNN_SEE_DOUBLE(seen, x, i) ((void)0)
    #define FASTNN_SEEN(seen) ((void)(seen))
    #endif

    #ifdef __AVX512F__
    enum { FASTNN_MAP_STEP = 64 };
    #else
    enum { FASTNN_MAP_STEP = 32 };
    #endif
    """
    enum:
        MAP_STEP "FASTNN_MAP_STEP"      # as this module's level has it; the engine asks the kernels' module for it
    void see_float "FASTNN_SEE_FLOAT"(signed char seen, const float *x, Py_ssize_t i) noexcept nogil
    void see_double "FASTNN_SEE_DOUBLE"(short seen, const double *x, Py_ssize_t i) noexcept nogil
    void seen_all "FASTNN_SEEN"(int seen) noexcept nogil

ctypedef real (*formula)(real x, const real *h) noexcept nogil

cdef enum:
    BLOCK_STEP = 16
    MOST_KEPT = 32          # numbers that a formula reads


cdef inline const real *padded(const real *x, real *room, Py_ssize_t n, Py_ssize_t step) noexcept nogil:
    """x, or its n elements followed by zeros up to the next multiple of `step`."""
    if x == NULL or n % step == 0:
        return x
    memcpy(room, x, n * sizeof(real))
    memset(room + n, 0, (step - n % step) * sizeof(real))
    return room


cdef struct Seen:
    signed char quarters
    short quarters_of_double


cdef inline void see(Seen *seen, const real *x, Py_ssize_t i) noexcept nogil:
    """Read what makes gcc work on four vectors at a time."""
    if real is float:
        see_float(seen.quarters, x, i)
    else:
        see_double(seen.quarters_of_double, x, i)


cdef inline void map_one(formula f, const real *x, real *out, Py_ssize_t n, const real *h, int count) noexcept nogil:
    cdef Py_ssize_t i
    cdef Seen seen = Seen(0, 0)
    cdef real kept[MOST_KEPT]         # in registers: h might overlap out, for all the compiler knows
    memcpy(kept, h, count * sizeof(real))
    for i in range(n & -MAP_STEP):
        see(&seen, x, i)
        out[i] = f(x[i], kept)
    seen_all(seen.quarters | seen.quarters_of_double)


cdef inline void map_seldom(formula f, const real *x, real *out, Py_ssize_t n, const real *h, int count) noexcept nogil:
    """map_one with one vector at a time: a third of its room."""
    cdef Py_ssize_t i
    cdef real kept[MOST_KEPT]
    memcpy(kept, h, count * sizeof(real))
    for i in range(n & -MAP_STEP):
        out[i] = f(x[i], kept)


cdef inline void map_product(formula f, const real *x, const real *y, real *out, Py_ssize_t n, const real *h,
                             int count) noexcept nogil:
    cdef Py_ssize_t i
    cdef Seen seen = Seen(0, 0)
    cdef real kept[MOST_KEPT]
    memcpy(kept, h, count * sizeof(real))
    for i in range(n & -MAP_STEP):
        see(&seen, x, i)
        out[i] = f(x[i], kept) * y[i]
    seen_all(seen.quarters | seen.quarters_of_double)


cdef inline void map_two(formula f, formula d1, const real *x, real *out, real *second, Py_ssize_t n, const real *h,
                         int count) noexcept nogil:
    """Both in one loop: what they share is computed once."""
    cdef Py_ssize_t i
    cdef Seen seen = Seen(0, 0)
    cdef real a
    cdef real kept[MOST_KEPT]
    memcpy(kept, h, count * sizeof(real))
    for i in range(n & -MAP_STEP):
        see(&seen, x, i)
        a = x[i]                            # once: out might overlap x, for all the compiler knows
        out[i] = f(a, kept)
        second[i] = d1(a, kept)
    seen_all(seen.quarters | seen.quarters_of_double)


cdef inline void map_orders_of(int count, formula f, formula d1, formula d2, int order, const real *x, const real *y,
                               real *out, real *second, Py_ssize_t n, const real *h) noexcept nogil:
    """f, f', f'', f' y, or f and f' by `order`, of formulas that read `count` numbers of h."""
    if order == VALUE:
        map_one(f, x, out, n, h, count)
    elif order == FIRST:
        map_one(d1, x, out, n, h, count)
    elif order == SECOND:
        map_seldom(d2, x, out, n, h, count)
    elif order == BOTH:
        map_two(f, d1, x, out, second, n, h, count)
    else:
        map_product(d1, x, y, out, n, h, count)


cdef inline void map_orders(formula f, formula d1, formula d2, int order, const real *x, const real *y, real *out,
                            real *second, Py_ssize_t n, const real *h) noexcept nogil:
    """The same of up to three."""
    map_orders_of(3, f, d1, d2, order, x, y, out, second, n, h)


cdef inline void map_orders_by_value(formula f, formula d1, formula d2, formula by_value, int order, const real *x,
                                     const real *y, real *out, real *second, Py_ssize_t n, const real *h) noexcept nogil:
    """The same, and f' of a value of f."""
    if order == FIRST_BY_VALUE:
        map_one(by_value, x, out, n, h, 3)
    elif order == PRODUCT_BY_VALUE:
        map_product(by_value, x, y, out, n, h, 3)
    else:
        map_orders(f, d1, d2, order, x, y, out, second, n, h)


cdef inline void map_orders_of_constant(formula f, formula d1, formula d2, real slope, int order, const real *x,
                                        const real *y, real *out, real *second, Py_ssize_t n,
                                        const real *h) noexcept nogil:
    """The same of an f whose f' by value is the number `slope`: the values are not read."""
    cdef Py_ssize_t i
    if order == FIRST_BY_VALUE:
        for i in range(n & -MAP_STEP):
            out[i] = slope
    elif order == PRODUCT_BY_VALUE:
        for i in range(n & -MAP_STEP):
            out[i] = slope * y[i]
    else:
        map_orders(f, d1, d2, order, x, y, out, second, n, h)
