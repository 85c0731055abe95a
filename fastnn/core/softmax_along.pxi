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

cdef extern from "lanes.h":
    void fastnn_to_lanes_float(const float *x, Py_ssize_t n, Py_ssize_t rows, float *lanes, Py_ssize_t step) noexcept nogil
    void fastnn_to_lanes_double(const double *x, Py_ssize_t n, Py_ssize_t rows, double *lanes,
                                Py_ssize_t step) noexcept nogil
    void fastnn_from_lanes_float(const float *lanes, Py_ssize_t step, float *out, Py_ssize_t n,
                                Py_ssize_t rows) noexcept nogil
    void fastnn_from_lanes_double(const double *lanes, Py_ssize_t step, double *out, Py_ssize_t n,
                                 Py_ssize_t rows) noexcept nogil

cdef enum:
    LANES = 8           # running sums of a row
    GROUP = 32          # elements that are summed at once: four for each lane. The last group ends with the row
    ONE_BY_ONE = 16     # rows with fewer elements have one running sum
    CHUNK = 512         # elements of a long row that are summed while they are in the first-level cache
    PHASED = 16         # longer rows that are taken together, and
    IN_CACHE = 16384    # their bytes
    HALF = 16           # of a group

# sums: of a row itself, of its products with another, of such with what the other is more than the row's constant
cdef enum:
    ALONE
    PRODUCTS
    CENTERED


cdef inline void turned(const real *x, Py_ssize_t n, Py_ssize_t count, real *lanes, Py_ssize_t step) noexcept nogil:
    """`count` rows, one after another, as lanes."""
    if real is float:
        fastnn_to_lanes_float(x, n, count, lanes, step)
    else:
        fastnn_to_lanes_double(x, n, count, lanes, step)


cdef inline void maximum(const real *x, real sign, Py_ssize_t n, real *left, real *right) noexcept nogil:
    """The largest numbers of sign x, in HALF lanes left and right; -inf where all are NaN."""
    cdef real tops[GROUP]
    cdef real top = -<real>INFINITY
    cdef Py_ssize_t i, j
    if n < GROUP:
        for i in range(n):
            top = sign * x[i] if sign * x[i] > top else top
    for j in range(GROUP):
        tops[j] = top
    if n >= GROUP:
        for i in range(0, n - 31, 32):
            for j in range(GROUP):
                tops[j] = sign * x[i + j] if sign * x[i + j] > tops[j] else tops[j]
        for j in range(GROUP):                          # the last ones, some for a second time
            tops[j] = sign * x[n - GROUP + j] if sign * x[n - GROUP + j] > tops[j] else tops[j]
    memcpy(left, tops, HALF * sizeof(real))
    memcpy(right, tops + HALF, HALF * sizeof(real))


cdef void maxima_along(const real *x, real sign, Py_ssize_t n, Py_ssize_t count, real *tops) noexcept nogil:
    """Of each of up to PHASED rows: the lanes of all are compared at once."""
    cdef real left[HALF * PHASED]
    cdef real right[HALF * PHASED]
    cdef Py_ssize_t half = HALF // 2
    cdef Py_ssize_t all = (count + 3) & -4
    cdef Py_ssize_t r, j
    for r in range(count, all):
        for j in range(HALF):
            left[HALF * r + j], right[HALF * r + j] = <real>0, <real>0
    for r in range(count):
        maximum(x + r * n, sign, n, left + HALF * r, right + HALF * r)
    for j in range(HALF * all):
        left[j] = right[j] if right[j] > left[j] else left[j]
    turned(left, HALF, all, right, PHASED)
    while half:
        for j in range(half * PHASED):
            right[j] = right[half * PHASED + j] if right[half * PHASED + j] > right[j] else right[j]
        half = half // 2
    for r in range(PHASED):
        tops[r] = right[r] if r < count else <real>0


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


cdef inline double many_largest(const real *e, Py_ssize_t n) noexcept nogil:
    """How many are a largest one's; n a multiple of GROUP."""
    cdef int many = 0
    cdef long long many_doubles = 0
    cdef Py_ssize_t i
    for i in range(n & -32):
        if real is float:
            many += is_one(e[i])
        else:
            many_doubles += is_one(e[i])
    return <double>many if real is float else <double>many_doubles


cdef inline void add_groups(factor f, factor h, bint plain, bint counted, const real *v, const real *g, real c,
                            Py_ssize_t n, const real *v_end, const real *g_end, bint more, double *sums, double *lost,
                            double *ones) noexcept nogil:
    """f(v) h(g, c) in lanes, n a multiple of GROUP, and, unless v_end is NULL, a last group, added to what is there if
    there is `more`; if counted, in `ones` how many v are a largest one's."""
    cdef double s[LANES]
    cdef double low[LANES]
    cdef double t
    cdef const real *a = v
    cdef const real *b = g
    cdef Py_ssize_t m = n
    cdef Py_ssize_t i, j
    for j in range(LANES):
        s[j], low[j] = 0, 0
    if more:
        for j in range(LANES):
            s[j] = sums[j]
            if real is double:
                low[j] = lost[j]
    while True:
        for i in range(0, m & -32, 32):
            for j in range(LANES):
                t = (two_terms(f, h, plain, a[i + j], b[i + j], a[i + j + 8], b[i + j + 8], c)
                     + two_terms(f, h, plain, a[i + j + 16], b[i + j + 16], a[i + j + 24], b[i + j + 24], c))
                add(&s[j], &low[j], t, c)
        if a == v_end or v_end == NULL:
            break
        a, b, m = v_end, g_end, GROUP
    for j in range(LANES):
        sums[j] = s[j]
    if real is double:
        for j in range(LANES):
            lost[j] = low[j]
    if counted:
        ones[0] = (ones[0] if more else 0) + many_largest(v, n) + (many_largest(v_end, GROUP) if v_end != NULL else 0)


cdef void add_exponentials(bint counted, const real *e, Py_ssize_t n, const real *end, bint more, double *sums,
                           double *lost, double *ones) noexcept nogil:
    if counted:
        add_groups(but_largest[real], one[real], False, True, e, e, <real>0, n, end, end, more, sums, lost, ones)
    else:
        add_groups(itself[real], one[real], False, False, e, e, <real>0, n, end, end, more, sums, lost, ones)


cdef inline Py_ssize_t most_together(Py_ssize_t n, real like) noexcept nogil:
    """Rows of n elements that are taken together."""
    return max(<Py_ssize_t>1, min(<Py_ssize_t>PHASED, <Py_ssize_t>(IN_CACHE // sizeof(real)) // n))


cdef void in_one_across(double *sums, double *lost, Py_ssize_t lanes, real kind) noexcept nogil:
    """The running sums of so many rows together, in the first of each."""
    cdef Py_ssize_t half = LANES // 2
    cdef Py_ssize_t k
    while half:
        for k in range(half * lanes):
            add(&sums[k], &lost[k], sums[half * lanes + k], kind)
            if real is double:
                lost[k] = lost[k] + lost[half * lanes + k]
        half = half // 2


cdef void in_one(double *sums, double *lost, double *ones, Py_ssize_t count, real kind) noexcept nogil:
    """The same of up to PHASED rows, each of whose running sums lie together; the other lanes get 1."""
    cdef double lanes[LANES * PHASED]
    cdef double low[LANES * PHASED]
    cdef Py_ssize_t even = (count + 1) & -2
    cdef Py_ssize_t r
    turned(sums, LANES, even, lanes, PHASED)
    if real is double:
        turned(lost, LANES, even, low, PHASED)
    in_one_across(lanes, low, PHASED, kind)
    memcpy(sums, lanes, PHASED * sizeof(double))
    if real is double:
        memcpy(lost, low, PHASED * sizeof(double))
    else:
        for r in range(PHASED):
            lost[r] = 0
    for r in range(count, PHASED):
        sums[r], lost[r], ones[r] = 1, 0, 1


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
                       double *sums, double *lost) noexcept nogil:
    cdef real v_end[GROUP]
    cdef real g_end[GROUP]
    if n < ONE_BY_ONE:
        memset(sums, 0, LANES * sizeof(double))
        memset(lost, 0, LANES * sizeof(double))
        add_one_by_one(f, h, plain, False, v, g, c, n, sums, lost, sums)
    elif n % GROUP:
        end_group(v, v_end, n)
        end_group(g, g_end, n)
        add_groups(f, h, plain, False, v, g, c, n & -32, v_end, g_end, False, sums, lost, sums)
    else:
        add_groups(f, h, plain, False, v, g, c, n, NULL, NULL, False, sums, lost, sums)


cdef void totals(int what, const real *v, const real *g, const real *c, Py_ssize_t n, Py_ssize_t count, double *sums,
                 double *lost) noexcept nogil:
    """The sums of these terms of up to PHASED rows, with what their rounding lost."""
    cdef Py_ssize_t r
    for r in range(count):
        if what == ALONE:
            total(itself[real], one[real], False, g + r * n, g + r * n, c[r], n, sums + LANES * r, lost + LANES * r)
        elif what == PRODUCTS:
            total(itself[real], itself[real], True, v + r * n, g + r * n, c[r], n, sums + LANES * r, lost + LANES * r)
        else:
            total(itself[real], less[real], False, v + r * n, g + r * n, c[r], n, sums + LANES * r, lost + LANES * r)
    in_one(sums, lost, sums, count, c[0])


cdef void sum_exponentials(bint counted, const real *x, real sign, real top, const real *heat, real *e, bint kept,
                           Py_ssize_t n, double *sums, double *lost, double *ones) noexcept nogil:
    """Their total, in LANES running sums, if counted without the largest, and they themselves in e, which may be x, if they
    are kept."""
    cdef real room[CHUNK]
    cdef real end[GROUP]
    cdef real *to = room
    cdef Py_ssize_t whole = n & -32
    cdef Py_ssize_t left = n - whole
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j, m
    cdef int before, lane
    if left:                                # first, before x is written over
        m = (left + 7) & -8                 # so many, some of them for a second time
        if n < m:
            for j in range(GROUP):
                room[j] = x[j - m + n] if j >= m - n and j < m else sign * top
            exponentials(room, sign, top, heat, end + GROUP - m, m)
        else:
            exponentials(x + n - m, sign, top, heat, end + GROUP - m, m)
    if n < ONE_BY_ONE:
        memset(sums, 0, LANES * sizeof(double))
        memset(lost, 0, LANES * sizeof(double))
        ones[0] = 0
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
        if kept and e == x:
            memcpy(e + i, room, m * sizeof(real))
        if i + m == whole:
            break
        add_exponentials(counted, to, m, NULL, i > 0, sums, lost, ones)
        i += m
    if left:
        if kept:
            memcpy(e + whole, end + GROUP - left, left * sizeof(real))
        before = <int>(GROUP - left)
        for lane in range(GROUP):
            end[lane] = <real>0 if lane < before else end[lane]
    add_exponentials(counted, to, whole - i, end if left else NULL, i > 0, sums, lost, ones)


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
    """out = f(v, g), where out may be either: GROUP elements at a time, the last ones first, so that none is left over."""
    cdef real v_room[GROUP]
    cdef real g_room[GROUP]
    cdef real made[GROUP]
    cdef real last[GROUP]
    cdef real *to
    cdef real k0 = k[0], k1 = k[PHASED], k2 = k[2 * PHASED], k3 = k[3 * PHASED], k4 = k[4 * PHASED], k5 = k[5 * PHASED]
    cdef Py_ssize_t i, j, at
    if n < GROUP:
        memset(v_room, 0, sizeof(v_room))
        memset(g_room, 0, sizeof(g_room))
        memcpy(v_room, v, n * sizeof(real))
        memcpy(g_room, g, n * sizeof(real))
        v, g = v_room, g_room
    for i in range(-32 if n % GROUP else 0, n & -32, 32):
        at = i if i >= 0 else max(<Py_ssize_t>0, n - GROUP)
        to = out + i if i >= 0 else last
        for j in range(GROUP):
            made[j] = f(v[at + j], g[at + j], k0, k1, k2, k3, k4, k5)
        for j in range(GROUP):
            to[j] = made[j]
    if n < GROUP:
        memcpy(out, last, n * sizeof(real))
    elif n % GROUP:
        memcpy(out + n - GROUP, last, sizeof(last))


cdef void finish_shares(real *e, const real *k, Py_ssize_t n) noexcept nogil:
    finish(end_share[real], e, e, e, k, n)


cdef inline void constants_in_lanes(int kind, int order, Py_ssize_t rows, Py_ssize_t apart, const double *sums,
                                    const double *lost, const double *ones, const real *tops, real *k) noexcept nogil:
    cdef real k0[32]
    cdef real k1[32]
    cdef real k2[32]
    cdef Py_ssize_t r
    memcpy(k2, k + 2 * apart, sizeof(k2))               # of 32 rows always: k3 is written later
    for r in range(rows & -16):                         # not 16, which gcc would unroll first
        constants(kind, order, sums[r], lost[r], ones[r], tops[r], &k0[r], &k1[r], &k2[r])
    memcpy(k, k0, sizeof(k0))
    memcpy(k + apart, k1, sizeof(k1))
    memcpy(k + 2 * apart, k2, sizeof(k2))


cdef void constants_of(int kind, int order, Py_ssize_t rows, Py_ssize_t apart, const double *sums, const double *lost,
                       const double *ones, const real *tops, real *k) noexcept nogil:
    """Of 16 or 32 rows, each constant `apart` from the one before."""
    if order == VALUE and kind == SOFTMAX:
        constants_in_lanes(SOFTMAX, VALUE, rows, apart, sums, lost, ones, tops, k)
    elif order == VALUE:
        constants_in_lanes(LOG_SOFTMAX, VALUE, rows, apart, sums, lost, ones, tops, k)
    elif kind == LOG_SOFTMAX and order != SECOND:
        constants_in_lanes(LOG_SOFTMAX, FIRST, rows, apart, sums, lost, ones, tops, k)
    elif order == SECOND and kind == SOFTMAX:
        constants_in_lanes(SOFTMAX, SECOND, rows, apart, sums, lost, ones, tops, k)
    else:
        constants_in_lanes(SOFTMAX, FIRST, rows, apart, sums, lost, ones, tops, k)


cdef void along(int kind, real sign, double temperature, int order, const real *x, const real *g, real *out,
                Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    """Up to PHASED rows; out may be x, and g where x holds the values. Each phase goes over all of them, so that a row
    need not wait for what the one before it is waiting for."""
    cdef double sums[LANES * PHASED]
    cdef double lost[LANES * PHASED]
    cdef double ones[PHASED]
    cdef real tops[PHASED]
    cdef real k[6 * PHASED]
    cdef real c[PHASED]
    cdef real[2] degrees
    cdef const real *heat = heat_of(temperature, degrees)
    cdef real last = factor_of(order, sign, temperature)
    cdef Py_ssize_t r, at
    for r in range(PHASED):
        c[r] = <real>0
        k[2 * PHASED + r] = <real>2 * degrees[0]        # of log-softmax's values
        k[5 * PHASED + r] = -last if kind == LOG_SOFTMAX and order == SECOND else last
    if order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE:
        if order == PRODUCT_BY_VALUE:
            totals(ALONE if kind == LOG_SOFTMAX else PRODUCTS, x, g, c, n, count, sums, lost)
            for r in range(count):
                in_two(sums[r], lost[r], &k[2 * PHASED + r], &k[3 * PHASED + r])
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
    maxima_along(x, sign, n, count, tops)
    for r in range(count):
        at = r * n
        sum_exponentials(order != VALUE or kind != SOFTMAX, x + at, sign, tops[r], heat, out + at,
                         order != VALUE or kind == SOFTMAX, n, sums + LANES * r, lost + LANES * r, ones + r)
    in_one(sums, lost, ones, count, sign)
    constants_of(kind, order, PHASED, PHASED, sums, lost, ones, tops, k)
    if order == PRODUCT and kind == LOG_SOFTMAX:
        totals(ALONE, out, g, c, n, count, sums, lost)
        for r in range(count):
            in_two(sums[r], lost[r], &k[3 * PHASED + r], &k[4 * PHASED + r])
    elif order == PRODUCT:
        for r in range(count):
            c[r] = g[r * n + first_largest(out + r * n, n)]
        totals(CENTERED, out, g, c, n, count, sums, lost)
        for r in range(count):
            center_of(sums[r], lost[r], c[r], k[r], k[PHASED + r], &k[2 * PHASED + r], &k[3 * PHASED + r])
    for r in range(count):
        at = r * n
        if kind == LOG_SOFTMAX and order == VALUE:
            finish(end_log_softmax[real], x + at, x + at, out + at, &k[r], n)
        elif kind == LOG_SOFTMAX and order == FIRST:
            finish(end_log_softmax_d1[real], out + at, out + at, out + at, &k[r], n)
        elif kind == LOG_SOFTMAX and order == PRODUCT:
            finish(end_log_softmax_product[real], out + at, g + at, out + at, &k[r], n)
        elif order == VALUE:
            finish_shares(out + at, &k[r], n)
        elif order == FIRST or kind == LOG_SOFTMAX:
            finish(end_softmax_d1[real], out + at, out + at, out + at, &k[r], n)
        elif order == SECOND:
            finish(end_softmax_d2[real], out + at, out + at, out + at, &k[r], n)
        else:
            finish(end_softmax_product[real], out + at, g + at, out + at, &k[r], n)
