# cython: cdivision=True
"""The softmax family along one row after another: the maths of softmax.pxd in SIMD lanes over the elements of a row."""
from libc.string cimport memcpy

from fastnn.core.kernels cimport FIRST, FIRST_BY_VALUE, PRODUCT, PRODUCT_BY_VALUE, SECOND, VALUE
from fastnn.core.loops cimport see_double, see_float, seen_all
from fastnn.core.softmax cimport (LOG_SOFTMAX, SOFTMAX, add, but_largest, center_of, constants, end_d1_by_value,
                                  end_log_d1_by_value, end_log_product_by_value, end_log_softmax, end_log_softmax_d1,
                                  end_log_softmax_d2, end_log_softmax_product, end_product_by_value, end_share,
                                  end_softmax_d1, end_softmax_d2, end_softmax_product, ending, exp_far, exp_near,
                                  exp_tempered, factor, factor_of, heat_of, in_two, is_one, itself, less, lowest_of, one, term, two_terms)
from fastnn.core.vecmath cimport INFINITY, real

cdef enum:
    LANES = 8           # running sums of a row
    GROUP = 32          # elements that are summed at once: four for each lane. The last group ends with the row
    ONE_BY_ONE = 16     # rows with fewer elements have one running sum
    CHUNK = 512         # elements of a long row that are summed while they are in the first-level cache
    PHASED = 16         # longer rows that are taken together, and


cdef inline real maximum(const real *x, real sign, Py_ssize_t n) noexcept nogil:
    """The largest number of sign x; -inf where all are NaN."""
    cdef real tops[GROUP]
    cdef real top = -<real>INFINITY
    cdef Py_ssize_t i, j
    if n < GROUP:
        for i in range(n):
            top = sign * x[i] if sign * x[i] > top else top
        return top
    for j in range(GROUP):
        tops[j] = -<real>INFINITY
    for i in range(0, n - 31, 32):
        for j in range(GROUP):
            tops[j] = sign * x[i + j] if sign * x[i + j] > tops[j] else tops[j]
    for j in range(GROUP):                              # the last ones, some for a second time
        tops[j] = sign * x[n - GROUP + j] if sign * x[n - GROUP + j] > tops[j] else tops[j]
    for j in range(16):
        tops[j] = tops[j + 16] if tops[j + 16] > tops[j] else tops[j]
    for j in range(8):
        tops[j] = tops[j + 8] if tops[j + 8] > tops[j] else tops[j]
    for j in range(4):
        tops[j] = tops[j + 4] if tops[j + 4] > tops[j] else tops[j]
    for j in range(2):
        tops[j] = tops[j + 2] if tops[j + 2] > tops[j] else tops[j]
    return tops[1] if tops[1] > tops[0] else tops[0]


cdef inline void exponentials(const real *x, real sign, real top, const real *heat, real *e, Py_ssize_t n) noexcept nogil:
    """Of n elements, a multiple of 8."""
    cdef real lowest = lowest_of(top)
    cdef signed char quarters = 0
    cdef short quarters_of_double = 0
    cdef Py_ssize_t i
    if heat != NULL:
        for i in range(n & -8):
            e[i] = exp_tempered(sign * x[i], top, heat[0], heat[1])
    elif lowest == -<real>INFINITY:
        for i in range(n & -8):
            e[i] = exp_far(sign * x[i], top, lowest)
    elif n % GROUP == 0:                    # four vectors at a time: loops.pxd
        for i in range(n & -32):
            if real is float:
                see_float(quarters, x, i)
            else:
                see_double(quarters_of_double, x, i)
            e[i] = exp_near(sign * x[i], top, lowest)
        seen_all(quarters | quarters_of_double)
    else:
        for i in range(n & -8):
            e[i] = exp_near(sign * x[i], top, lowest)


cdef inline void add_groups(factor f, factor h, bint plain, bint counted, const real *v, const real *g, real c,
                            Py_ssize_t n, double *sums, double *lost, double *ones) noexcept nogil:
    """sums += f(v) h(g, c) in lanes, n a multiple of GROUP; if counted, ones += how many v are a largest one's."""
    cdef double s[LANES]
    cdef double low[LANES]
    cdef double t
    cdef real many
    cdef Py_ssize_t i, j
    for j in range(LANES):
        s[j] = sums[j]
        low[j] = lost[j]
    for i in range(0, n & -32, 32):
        for j in range(LANES):
            t = (two_terms(f, h, plain, v[i + j], g[i + j], v[i + j + 8], g[i + j + 8], c)
                 + two_terms(f, h, plain, v[i + j + 16], g[i + j + 16], v[i + j + 24], g[i + j + 24], c))
            add(&s[j], &low[j], t, c)
    for j in range(LANES):
        sums[j] = s[j]
        lost[j] = low[j]
    if counted:
        for j in range(LANES):
            s[j] = ones[j]
        for i in range(0, n & -32, 32):
            for j in range(LANES):
                many = (((<real>1 if is_one(v[i + j]) else <real>0) + (<real>1 if is_one(v[i + j + 8]) else <real>0))
                        + ((<real>1 if is_one(v[i + j + 16]) else <real>0)
                           + (<real>1 if is_one(v[i + j + 24]) else <real>0)))
                s[j] = s[j] + <double>many
        for j in range(LANES):
            ones[j] = s[j]


cdef inline double in_one(double *sums, double *lost, double *ones, real kind) noexcept nogil:
    """The lanes together, in the first of each."""
    cdef Py_ssize_t j
    for j in range(4):
        add(&sums[j], &lost[j], sums[j + 4], kind)
        lost[j] = lost[j] + lost[j + 4]
        ones[j] = ones[j] + ones[j + 4]
    for j in range(2):
        add(&sums[j], &lost[j], sums[j + 2], kind)
        lost[j] = lost[j] + lost[j + 2]
        ones[j] = ones[j] + ones[j + 2]
    add(&sums[0], &lost[0], sums[1], kind)
    lost[0] = lost[0] + lost[1]
    ones[0] = ones[0] + ones[1]


cdef inline void clear(double *sums, double *lost, double *ones) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES):
        sums[j] = 0
        lost[j] = 0
        ones[j] = 0


cdef inline void add_one_by_one(factor f, factor h, bint plain, bint counted, const real *v, const real *g, real c,
                                Py_ssize_t n, double *sum_, double *lost, double *ones) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        add(sum_, lost, term(f, h, plain, v[i], g[i], c), c)
        if counted:
            ones[0] = ones[0] + is_one(v[i])


cdef inline void end_group(const real *x, real *room, Py_ssize_t n) noexcept nogil:
    """The last GROUP elements, those before a multiple of GROUP as zeros."""
    cdef int before = <int>(GROUP - n % GROUP)
    cdef int j
    if n < GROUP:
        for j in range(GROUP):
            room[j] = x[j - before] if j >= before else <real>0
        return
    x += n - GROUP
    for j in range(GROUP):
        room[j] = <real>0 if j < before else x[j]


cdef inline void total(factor f, factor h, bint plain, const real *v, const real *g, real c, Py_ssize_t n,
                       double *sums, double *lost, double *ones) noexcept nogil:
    """sum(f(v) h(g, c)), with what its rounding lost, in the first of the lanes."""
    cdef real v_end[GROUP]
    cdef real g_end[GROUP]
    clear(sums, lost, ones)
    if n < ONE_BY_ONE:
        add_one_by_one(f, h, plain, False, v, g, c, n, sums, lost, ones)
        return
    add_groups(f, h, plain, False, v, g, c, n, sums, lost, ones)
    if n % GROUP:
        end_group(v, v_end, n)
        end_group(g, g_end, n)
        add_groups(f, h, plain, False, v_end, g_end, c, GROUP, sums, lost, ones)
    in_one(sums, lost, ones, c)


cdef inline void sum_exponentials(factor f, bint counted, const real *x, real sign, real top, const real *heat, real *e,
                                  bint kept, Py_ssize_t n, double *sums, double *lost, double *ones) noexcept nogil:
    """Their total, and they themselves in e, which may be x, if they are kept."""
    cdef real room[CHUNK]
    cdef real end[GROUP]
    cdef real *to
    cdef Py_ssize_t whole = n & -32
    cdef Py_ssize_t left = n - whole
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j, m
    cdef int before, lane
    clear(sums, lost, ones)
    if left:                                # first, before x is written over
        m = (left + 7) & -8                 # so many, some of them for a second time
        if n < m:
            for j in range(GROUP):
                room[j] = x[j - m + n] if j >= m - n and j < m else sign * top
            exponentials(room, sign, top, heat, end + GROUP - m, m)
        else:
            exponentials(x + n - m, sign, top, heat, end + GROUP - m, m)
    if n < ONE_BY_ONE:
        add_one_by_one(f, one[real], False, counted, end + GROUP - n, end, top, n, sums, lost, ones)
        if kept:
            memcpy(e, end + GROUP - n, n * sizeof(real))
        return
    while i < whole:
        m = min(<Py_ssize_t>CHUNK, whole - i)
        to = e + i if kept and e != x else room
        exponentials(x + i, sign, top, heat, to, m)
        add_groups(f, one[real], False, counted, to, to, top, m, sums, lost, ones)
        if kept and e == x:
            memcpy(e + i, room, m * sizeof(real))
        i += m
    if left:
        if kept:
            memcpy(e + whole, end + GROUP - left, left * sizeof(real))
        before = <int>(GROUP - left)
        for lane in range(GROUP):
            end[lane] = <real>0 if lane < before else end[lane]
        add_groups(f, one[real], False, counted, end, end, top, GROUP, sums, lost, ones)
    in_one(sums, lost, ones, top)


cdef inline Py_ssize_t first_largest(const real *e, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j
    cdef int found
    while i + 32 <= n:                      # 32 at a time, in SIMD lanes
        found = 0
        for j in range(32):
            found |= is_one(e[i + j])
        if found:
            break
        i += 32
    while i < n - 1 and not is_one(e[i]):
        i += 1
    return i


cdef inline void finish(ending f, const real *v, const real *g, real *out, const real *k, Py_ssize_t n) noexcept nogil:
    """out = f(v, g), where out may be either."""
    cdef real room[CHUNK]
    cdef real k0 = k[0], k1 = k[PHASED], k2 = k[2 * PHASED], k3 = k[3 * PHASED], k4 = k[4 * PHASED], k5 = k[5 * PHASED]
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j, m
    if out != v and out != g:
        for j in range(n):
            out[j] = f(v[j], g[j], k0, k1, k2, k3, k4, k5)
        return
    while i < n:
        m = min(<Py_ssize_t>CHUNK, n - i)
        for j in range(m):
            room[j] = f(v[i + j], g[i + j], k0, k1, k2, k3, k4, k5)
        memcpy(out + i, room, m * sizeof(real))
        i += m


cdef inline void finish_here(ending f, const real *g, real *e, const real *k, Py_ssize_t n) noexcept nogil:
    """e = f(e, g)."""
    cdef real k0 = k[0], k1 = k[PHASED], k2 = k[2 * PHASED], k3 = k[3 * PHASED], k4 = k[4 * PHASED], k5 = k[5 * PHASED]
    cdef Py_ssize_t i
    for i in range(n):
        e[i] = f(e[i], g[i], k0, k1, k2, k3, k4, k5)


cdef inline void along(int kind, real sign, double temperature, int order, const real *x, const real *g, real *out,
                       Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    """Up to PHASED rows; out may be x, and g where x holds the values. Each phase goes over all of them, so that a row
    need not wait for what the one before it is waiting for."""
    cdef double sums[LANES]
    cdef double lost[LANES]
    cdef double ones[LANES]
    cdef double sum_[PHASED]
    cdef double low[PHASED]
    cdef double many[PHASED]
    cdef real tops[PHASED]
    cdef real k[6 * PHASED]
    cdef real[2] degrees
    cdef const real *heat = heat_of(temperature, degrees)
    cdef real c
    cdef Py_ssize_t r, at
    for r in range(PHASED):
        k[r], k[PHASED + r], k[2 * PHASED + r] = <real>0, <real>0, <real>0
        k[3 * PHASED + r], k[4 * PHASED + r], k[5 * PHASED + r] = <real>0, <real>0, factor_of(order, sign, temperature)
        sum_[r], low[r], many[r], tops[r] = 1, 0, 1, <real>0
    if order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE:
        if order == PRODUCT_BY_VALUE:
            for r in range(count):
                if kind == LOG_SOFTMAX:
                    total(itself[real], one[real], False, g + r * n, g + r * n, <real>0, n, sums, lost, ones)
                else:
                    total(itself[real], itself[real], True, x + r * n, g + r * n, <real>0, n, sums, lost, ones)
                in_two(sums[0], lost[0], &k[2 * PHASED + r], &k[3 * PHASED + r])
        for r in range(count):
            at = r * n
            if order == PRODUCT_BY_VALUE and kind == LOG_SOFTMAX:
                finish(end_log_product_by_value[real], x + at, g + at, out + at, &k[r], n)
            elif order == PRODUCT_BY_VALUE:
                finish(end_product_by_value[real], x + at, g + at, out + at, &k[r], n)
            elif kind == LOG_SOFTMAX:
                finish(end_log_d1_by_value[real], x + at, x + at, out + at, &k[r], n)
            else:
                finish(end_d1_by_value[real], x + at, x + at, out + at, &k[r], n)
        return
    for r in range(count):
        tops[r] = maximum(x + r * n, sign, n)
    for r in range(count):
        at = r * n
        if order == VALUE and kind == SOFTMAX:
            sum_exponentials(itself[real], False, x + at, sign, tops[r], heat, out + at, True, n, sums, lost, ones)
        else:
            sum_exponentials(but_largest[real], True, x + at, sign, tops[r], heat, out + at, order != VALUE, n, sums,
                             lost, ones)
        sum_[r], low[r], many[r] = sums[0], lost[0], ones[0]
    if order == VALUE:
        for r in range(PHASED):
            k[2 * PHASED + r] = <real>2 * degrees[0]
            constants(kind, VALUE, sum_[r], low[r], many[r], tops[r], &k[r], &k[PHASED + r], &k[2 * PHASED + r])
    else:
        for r in range(PHASED):
            constants(kind, order, sum_[r], low[r], many[r], tops[r], &k[r], &k[PHASED + r], &k[2 * PHASED + r])
    if order == PRODUCT:
        for r in range(count):
            at = r * n
            if kind == LOG_SOFTMAX:
                total(itself[real], one[real], False, g + at, g + at, <real>0, n, sums, lost, ones)
                in_two(sums[0], lost[0], &k[3 * PHASED + r], &k[4 * PHASED + r])
            else:
                c = g[at + first_largest(out + at, n)]
                total(itself[real], less[real], False, out + at, g + at, c, n, sums, lost, ones)
                center_of(sums[0], lost[0], c, k[r], k[PHASED + r], &k[2 * PHASED + r], &k[3 * PHASED + r])
    for r in range(count):
        at = r * n
        if kind == LOG_SOFTMAX:
            if order == VALUE:
                finish(end_log_softmax[real], x + at, x + at, out + at, &k[r], n)
            elif order == FIRST:
                finish_here(end_log_softmax_d1[real], out + at, out + at, &k[r], n)
            elif order == SECOND:
                finish_here(end_log_softmax_d2[real], out + at, out + at, &k[r], n)
            else:
                finish_here(end_log_softmax_product[real], g + at, out + at, &k[r], n)
        elif order == VALUE:
            finish_here(end_share[real], out + at, out + at, &k[r], n)
        elif order == FIRST:
            finish_here(end_softmax_d1[real], out + at, out + at, &k[r], n)
        elif order == SECOND:
            finish_here(end_softmax_d2[real], out + at, out + at, &k[r], n)
        else:
            finish_here(end_softmax_product[real], g + at, out + at, &k[r], n)
