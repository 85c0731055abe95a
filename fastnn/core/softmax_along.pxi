"""The softmax family along one row after another: the maths of softmax.pxd in SIMD lanes over the elements of a row.

Loops that several orders or kinds share are functions of their own: inlined, they would be half of the wheel.
"""
from libc.string cimport memcpy, memset

from fastnn.core.kernels cimport FIRST, FIRST_BY_VALUE, PRODUCT, PRODUCT_BY_VALUE, SECOND, VALUE
from fastnn.core.loops cimport see_double, see_float, seen_all
from fastnn.core.softmax cimport (LOG_SOFTMAX, SOFTMAX, add, but_largest, center_of, constants, end_d1_by_value,
                                  end_log_d1_by_value, end_log_product_by_value, end_log_softmax, end_log_softmax_d1,
                                  end_log_softmax_product, end_product_by_value, end_share, end_softmax_d1,
                                  end_softmax_d2, end_softmax_product, ending, exp_near, exp_tempered, factor, factor_of,
                                  heat_of, in_two, is_one, itself, less, lowest_of, one, term, two_terms)
from fastnn.core.vecmath cimport INFINITY, real

cdef enum:
    LANES = 8           # running sums of a row
    GROUP = 32          # elements that are summed at once: four for each lane. The last group ends with the row
    ONE_BY_ONE = 16     # rows with fewer elements have one running sum
    CHUNK = 512         # elements of a long row that are summed while they are in the first-level cache
    PHASED = 16         # longer rows that are taken together, and

# sums: of a row itself, of its products with another, of such with what the other is more than the row's constant
cdef enum:
    ALONE
    PRODUCTS
    CENTERED


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


cdef void exponentials(const real *x, real sign, real top, const real *heat, real *e, Py_ssize_t n) noexcept nogil:
    """Of n elements, a multiple of 8."""
    cdef real lowest = lowest_of(top)
    cdef real c = heat[0] if heat != NULL else <real>1
    cdef real c_low = heat[1] if heat != NULL else <real>0
    cdef signed char quarters = 0
    cdef short quarters_of_double = 0
    cdef Py_ssize_t i
    if heat != NULL or lowest == -<real>INFINITY:
        for i in range(n & -8):
            e[i] = exp_tempered(sign * x[i], top, c, c_low)
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


cdef void add_exponentials(bint counted, const real *e, Py_ssize_t n, double *sums, double *lost,
                           double *ones) noexcept nogil:
    if counted:
        add_groups(but_largest[real], one[real], False, True, e, e, <real>0, n, sums, lost, ones)
    else:
        add_groups(itself[real], one[real], False, False, e, e, <real>0, n, sums, lost, ones)


cdef void add_terms(int what, const real *v, const real *g, real c, Py_ssize_t n, double *sums, double *lost,
                    double *ones) noexcept nogil:
    if what == ALONE:
        add_groups(itself[real], one[real], False, False, g, g, c, n, sums, lost, ones)
    elif what == PRODUCTS:
        add_groups(itself[real], itself[real], True, False, v, g, c, n, sums, lost, ones)
    else:
        add_groups(itself[real], less[real], False, False, v, g, c, n, sums, lost, ones)


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


cdef void total(int what, const real *v, const real *g, real c, Py_ssize_t n, double *sums, double *lost,
                double *ones) noexcept nogil:
    """The sum of these terms, with what its rounding lost, in the first of the lanes."""
    cdef real v_end[GROUP]
    cdef real g_end[GROUP]
    clear(sums, lost, ones)
    if n < ONE_BY_ONE:
        if what == ALONE:
            add_one_by_one(itself[real], one[real], False, False, g, g, c, n, sums, lost, ones)
        elif what == PRODUCTS:
            add_one_by_one(itself[real], itself[real], True, False, v, g, c, n, sums, lost, ones)
        else:
            add_one_by_one(itself[real], less[real], False, False, v, g, c, n, sums, lost, ones)
        return
    add_terms(what, v, g, c, n, sums, lost, ones)
    if n % GROUP:
        end_group(v, v_end, n)
        end_group(g, g_end, n)
        add_terms(what, v_end, g_end, c, GROUP, sums, lost, ones)
    in_one(sums, lost, ones, c)


cdef void sum_exponentials(bint counted, const real *x, real sign, real top, const real *heat, real *e, bint kept,
                           Py_ssize_t n, double *sums, double *lost, double *ones) noexcept nogil:
    """Their total, if counted without the largest, and they themselves in e, which may be x, if they are kept."""
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
        if counted:
            add_one_by_one(but_largest[real], one[real], False, True, end + GROUP - n, end, top, n, sums, lost, ones)
        else:
            add_one_by_one(itself[real], one[real], False, False, end + GROUP - n, end, top, n, sums, lost, ones)
        if kept:
            memcpy(e, end + GROUP - n, n * sizeof(real))
        return
    while i < whole:
        m = min(<Py_ssize_t>CHUNK, whole - i)
        to = e + i if kept and e != x else room
        exponentials(x + i, sign, top, heat, to, m)
        add_exponentials(counted, to, m, sums, lost, ones)
        if kept and e == x:
            memcpy(e + i, room, m * sizeof(real))
        i += m
    if left:
        if kept:
            memcpy(e + whole, end + GROUP - left, left * sizeof(real))
        before = <int>(GROUP - left)
        for lane in range(GROUP):
            end[lane] = <real>0 if lane < before else end[lane]
        add_exponentials(counted, end, GROUP, sums, lost, ones)
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
    cdef bint apart = out != v and out != g
    cdef real *to
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j, m
    while i < n:
        m = n if apart else min(<Py_ssize_t>CHUNK, n - i)
        to = out if apart else room
        for j in range(m):
            to[j] = f(v[i + j], g[i + j], k0, k1, k2, k3, k4, k5)
        if not apart:
            memcpy(out + i, room, m * sizeof(real))
        i += m


cdef inline void finish_here(ending f, const real *g, real *e, const real *k, Py_ssize_t n) noexcept nogil:
    """e = f(e, g)."""
    cdef real k0 = k[0], k1 = k[PHASED], k2 = k[2 * PHASED], k3 = k[3 * PHASED], k4 = k[4 * PHASED], k5 = k[5 * PHASED]
    cdef Py_ssize_t i
    for i in range(n):
        e[i] = f(e[i], g[i], k0, k1, k2, k3, k4, k5)


cdef void finish_shares(real *e, const real *k, Py_ssize_t n) noexcept nogil:
    finish_here(end_share[real], e, e, k, n)


cdef inline void constants_of_16(int kind, int order, Py_ssize_t apart, const double *sums, const double *lost,
                                 const double *ones, const real *tops, real *k) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(16):
        constants(kind, order, sums[r], lost[r], ones[r], tops[r], &k[r], &k[apart + r], &k[2 * apart + r])


cdef void constants_of(int kind, int order, Py_ssize_t rows, Py_ssize_t apart, const double *sums, const double *lost,
                       const double *ones, const real *tops, real *k) noexcept nogil:
    """Of so many rows, a multiple of 16, each constant `apart` from the one before."""
    cdef Py_ssize_t at
    for at in range(0, rows, 16):
        if order == VALUE and kind == SOFTMAX:
            constants_of_16(SOFTMAX, VALUE, apart, sums + at, lost + at, ones + at, tops + at, k + at)
        elif order == VALUE:
            constants_of_16(LOG_SOFTMAX, VALUE, apart, sums + at, lost + at, ones + at, tops + at, k + at)
        elif kind == LOG_SOFTMAX and order != SECOND:
            constants_of_16(LOG_SOFTMAX, FIRST, apart, sums + at, lost + at, ones + at, tops + at, k + at)
        elif order == SECOND and kind == SOFTMAX:
            constants_of_16(SOFTMAX, SECOND, apart, sums + at, lost + at, ones + at, tops + at, k + at)
        else:
            constants_of_16(SOFTMAX, FIRST, apart, sums + at, lost + at, ones + at, tops + at, k + at)


cdef void along(int kind, real sign, double temperature, int order, const real *x, const real *g, real *out,
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
                total(ALONE if kind == LOG_SOFTMAX else PRODUCTS, x + r * n, g + r * n, <real>0, n, sums, lost, ones)
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
        sum_exponentials(order != VALUE or kind != SOFTMAX, x + at, sign, tops[r], heat, out + at,
                         order != VALUE or kind == SOFTMAX, n, sums, lost, ones)
        sum_[r], low[r], many[r] = sums[0], lost[0], ones[0]
    for r in range(PHASED if order == VALUE else 0):
        k[2 * PHASED + r] = <real>2 * degrees[0]
    constants_of(kind, order, PHASED, PHASED, sum_, low, many, tops, k)
    if order == PRODUCT:
        for r in range(count):
            at = r * n
            if kind == LOG_SOFTMAX:
                total(ALONE, out + at, g + at, <real>0, n, sums, lost, ones)
                in_two(sums[0], lost[0], &k[3 * PHASED + r], &k[4 * PHASED + r])
            else:
                c = g[at + first_largest(out + at, n)]
                total(CENTERED, out + at, g + at, c, n, sums, lost, ones)
                center_of(sums[0], lost[0], c, k[r], k[PHASED + r], &k[2 * PHASED + r], &k[3 * PHASED + r])
    for r in range(count):
        at = r * n
        if kind == LOG_SOFTMAX and order == VALUE:
            finish(end_log_softmax[real], x + at, x + at, out + at, &k[r], n)
        elif kind == LOG_SOFTMAX and order == FIRST:
            finish_here(end_log_softmax_d1[real], out + at, out + at, &k[r], n)
        elif kind == LOG_SOFTMAX and order == PRODUCT:
            finish_here(end_log_softmax_product[real], g + at, out + at, &k[r], n)
        elif order == VALUE:
            finish_shares(out + at, &k[r], n)
        elif order == FIRST or kind == LOG_SOFTMAX:
            k[5 * PHASED + r] = -k[5 * PHASED + r] if kind == LOG_SOFTMAX else k[5 * PHASED + r]
            finish_here(end_softmax_d1[real], out + at, out + at, &k[r], n)
        elif order == SECOND:
            finish_here(end_softmax_d2[real], out + at, out + at, &k[r], n)
        else:
            finish_here(end_softmax_product[real], g + at, out + at, &k[r], n)
