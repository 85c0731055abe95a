# cython: cdivision=True
"""Softmax and its family along rows: values, diagonal derivatives, vector-Jacobian products, and the loss.

Everything is shifted by the row's maximum and summed in double precision, compensated where the data are double.
With e = exp(x - max), y the softmax of the row (of -row for softmin), q = 1 - y and L the log-softmax:

    softmax      dy_i/dx_i =  y q    second  y q (q - y)    product  y ((g - c) - sum(y (g - c)))
    softmin      dy_i/dx_i = -y q    second  y q (q - y)    product -y ((g - c) - sum(y (g - c)))
    log-softmax  dL_i/dx_i =  q      second -y q            product  q g - y (sum(g) - g)

q of a largest element is the sum of the others, since 1 - y has lost its digits there; and c, which may be any number,
is g at the first of them, since else g - sum(y g) has. Values and first derivatives are within 4 units in the last
place, second derivatives of y q, products of the larger of their two terms, where a sum counts as that of its terms'
magnitudes and a y below the normal numbers as the least of these. Adding a number to the row that is exact changes no bit.

By value, from y or L alone and exact for them (within 2 units, products of the larger of their terms within 4):

    softmax      y (1 - y)           product  y (g - sum(y g))          softmin the negative of both
    log-softmax  1 - exp(L)          product  g - exp(L) sum(g)

An infinite maximum is taken as the limit: its holders share 1, the others get 0.

Two ways to walk give the same bits: `along` a row, and `across` many at once, one in each lane, where they lie side by
side as the columns of a matrix, or are so short that turning them round costs less.
"""
from libc.string cimport memcpy, memset

from fastnn.core.kernels cimport FIRST, FIRST_BY_VALUE, PRODUCT, PRODUCT_BY_VALUE, SECOND, VALUE
from fastnn.core.vecmath cimport (INFINITY, absolute, at_least, at_most, exp, exp_parts, exp_scaled_sum, expm1,
                                  fastnn_log_split_double, fma, log1p, product_low, real, unscale)

cdef extern from "lanes.h":
    void fastnn_to_lanes_float(const float *x, Py_ssize_t n, Py_ssize_t rows, float *lanes, Py_ssize_t step) noexcept nogil
    void fastnn_to_lanes_double(const double *x, Py_ssize_t n, Py_ssize_t rows, double *lanes, Py_ssize_t step) noexcept nogil
    void fastnn_from_lanes_float(const float *lanes, Py_ssize_t step, float *out, Py_ssize_t n,
                                Py_ssize_t rows) noexcept nogil
    void fastnn_from_lanes_double(const double *lanes, Py_ssize_t step, double *out, Py_ssize_t n,
                                 Py_ssize_t rows) noexcept nogil

cdef enum:
    LANES = 8           # running sums of a row
    GROUP = 32          # elements that are summed at once: four for each lane. The last group ends with the row
    ONE_BY_ONE = 16     # rows with fewer elements have one running sum
    CHUNK = 512         # elements of a long row that are summed while they are in the first-level cache
    WIDTH = 32          # rows at once
    NARROW = 8          # and of the last ones
    PHASED = 8          # longer rows that are taken together, and
    IN_CACHE = 2048     # their elements
    FEW = 4             # short rows that are worth so many lanes
    SHORT = 32          # elements of rows that are turned round, at most GROUP

# what a kernel is
cdef enum:
    SOFTMAX         # softmin with the sign -1
    LOG_SOFTMAX

# one of the two factors of a term; the second may need the constant c of its row
ctypedef double (*factor)(real v, real c) noexcept nogil

# what the last pass makes of an element v - its exponential, its value or itself - and the constants of its row
ctypedef real (*ending)(real v, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil


# Terms of sums.

cdef inline double itself(real v, real c) noexcept nogil:
    return <double>v


cdef inline double one(real v, real c) noexcept nogil:
    return 1


cdef inline double less(real g, real c) noexcept nogil:
    return <double>g - <double>c


cdef inline bint is_one(real e) noexcept nogil:
    """The scaled exponential of a largest element: 2^BIAS."""
    if real is float:
        return e == <real>18446744073709551616.0
    else:
        return e == <real>340282366920938463463374607431768211456.0


cdef inline double but_largest(real e, real c) noexcept nogil:
    return <double>(<real>0 if is_one(e) else e)


cdef inline double sum_of_two(double a, double b, double *lost) noexcept nogil:
    """a + b, and in `lost` what its rounding lost."""
    cdef double s = a + b
    cdef double back = s - a
    lost[0] = (a - (s - back)) + (b - back)
    return s


cdef inline void add(double *sum_, double *lost, double term, real kind) noexcept nogil:
    """sum_ += term; for double data what the rounding lost is kept."""
    cdef double low
    if real is double:
        sum_[0] = sum_of_two(sum_[0], term, &low)
        lost[0] = lost[0] + low
    else:
        sum_[0] = sum_[0] + term


cdef inline double term(factor f, factor h, bint plain, real v, real g, real c) noexcept nogil:
    """f(v) h(g), or v g, rounded in its type, where that will do: conversions to double cost most then."""
    return <double>fma(v, g, <real>0) if plain else fma(f(v, c), h(g, c), 0)


cdef inline double two_terms(factor f, factor h, bint plain, real v, real g, real w, real k, real c) noexcept nogil:
    return <double>fma(w, k, v * g) if plain else fma(f(w, c), h(k, c), f(v, c) * h(g, c))


# Exponentials. Where |top| is at most `limit` everything is done without regard to infinities: what is so far below
# top that its exponential is 0 in any case is lifted to `lowest`, and then x - top and what its rounding lost are small.

cdef inline real limit(real like) noexcept nogil:
    return <real>4194304 if real is float else <real>1e12


cdef inline real lowest_of(real top) noexcept nogil:
    return (top - (<real>120 if real is float else <real>770)) if absolute(top) < limit(top) else <real>-INFINITY


cdef inline real shifted(real x, real top) noexcept nogil:
    """x - top, 0 where both are the same infinity."""
    return <real>0 if x == top else x - top


cdef inline real lost_by(real d, real a, real b) noexcept nogil:
    """a - b - d, for the rounded difference d."""
    cdef real back = d - a
    return (a - (d - back)) - (b + back)


cdef inline real exp_near(real x, real top, real lowest) noexcept nogil:
    """2^BIAS exp(x - top), the difference kept in two parts because exp multiplies its rounding."""
    cdef real held = at_least(x, lowest)
    cdef real d = held - top
    cdef real t
    cdef real p = exp_parts(d, lost_by(d, held, top), &t)
    return fma(t, p, t)


cdef inline real exp_far(real x, real top, real lowest) noexcept nogil:
    """The same for any top, and with the same bits where `exp_near` is right."""
    cdef real held = at_least(x, lowest)
    cdef real d = shifted(held, top)
    cdef real low = lost_by(d, held, top)
    return exp_scaled_sum(d, low if absolute(low) < <real>1 else <real>0)       # NaN at infinities, large where exp is 0


# What the sums say of a row.

cdef inline double whole_of(double sum_, double lost, double *low) noexcept nogil:
    """sum_ + lost as one number and what is left; an infinite sum has left NaN in `lost`."""
    cdef double kept = lost if lost == lost else 0
    cdef double rounded = sum_ + kept
    low[0] = (sum_ - rounded) + kept
    return rounded


cdef inline double with_largest(double others, double low_of_others, double ones, double *rest, double *low,
                                real like) noexcept nogil:
    """sum(exp), which is that plus `low`, and in `rest` the sum of all but the first of the `ones` that are 1."""
    cdef double whole, r, lost, lost_too
    r = sum_of_two(others * <double>unscale(like), ones - 1, &lost)
    lost = lost + low_of_others * <double>unscale(like)
    whole = sum_of_two(1, r, &lost_too)
    low[0] = lost_too + lost
    rest[0] = r + lost
    return whole


cdef inline double log_of_sum(double rest) noexcept nogil:
    """log(1 + rest) as k ln 2 + log(m), and what the rounding of 1 + rest lost below 2, where it would count."""
    cdef double whole = 1 + rest
    cdef double low = (1 - whole) + rest
    cdef double m
    cdef double k = fastnn_log_split_double(whole, &m)
    cdef double y = log1p((m - 1) + (low if k == 0 else (0.5 * low if k == 1 else 0)))
    y = k * 0.6931471803691238 + (y + k * 1.9082149292705877e-10)
    return y if whole < <double>INFINITY else whole                                     # inf and NaN


cdef inline real inverse(double sum_, double low, real *rest) noexcept nogil:
    """1/(sum_ + low), as its rounded value and `rest`, what that lost."""
    cdef double r = 1 / sum_
    cdef double p
    cdef real high = <real>r
    if real is float:
        rest[0] = <real>(r - <double>high)
    else:
        p = r * sum_
        rest[0] = <real>(fma(-r, low, (1 - p) - product_low(r, sum_, p)) * r)
    return high


cdef inline real share(real e, real high, real low) noexcept nogil:
    """exp (high + low) from the scaled exponential, rounded once; cheaper than a division where there is an FMA."""
    cdef real p = e * high
    return (p + fma(e, low, product_low(e, high, p))) * unscale(e)


# y (1 - y) and y (1 - y)(1 - 2y) where y is at most about 1/2; of a largest element, where q may be the smaller one

cdef inline real softmax_d1(real y) noexcept nogil:
    return y - y * y


cdef inline real softmax_d2(real y) noexcept nogil:
    cdef real small = y + y * (y * (<real>2 * y - <real>3))
    return small if y < <real>0.25 else softmax_d1(y) * (<real>1 - <real>2 * y)


cdef inline real largest_d1(real y, real q) noexcept nogil:
    return softmax_d1(q if q < y else y)


cdef inline real largest_d2(real y, real q) noexcept nogil:
    return -softmax_d2(q) if q < y else softmax_d2(y)


# Constants of a row, k0 to k4, from its sums.

cdef inline void constants(int kind, int order, double sum_, double lost, double ones, real top, real *k0, real *k1,
                           real *k2) noexcept nogil:
    """For all that goes by the exponentials: k0 + k1 is 1/sum(exp), or k0 top and k1 the logarithm of the sum; k2 is for
    a largest element. ones counts those that are 1, which the sum has left out; softmax's values need no such sum."""
    cdef double low, rest, whole
    cdef real q
    sum_ = whole_of(sum_, lost, &lost)
    if order == VALUE and kind != LOG_SOFTMAX:
        k0[0] = inverse(sum_ * <double>unscale(top), lost * <double>unscale(top), k1)
        return
    whole = with_largest(sum_, lost, ones, &rest, &low, top)
    if order == VALUE:
        k0[0] = top
        k1[0] = <real>log_of_sum(rest)
        return
    k0[0] = inverse(whole, low, k1)
    q = share(<real>(rest / <double>unscale(top)), k0[0], k1[0])
    if kind == LOG_SOFTMAX:
        k2[0] = largest_d1(k0[0], q) if order == SECOND else q
    elif order == FIRST:
        k2[0] = largest_d1(k0[0], q)
    elif order == SECOND:
        k2[0] = largest_d2(k0[0], q)


cdef inline void center_of(double sum_, double lost, real c, real high, real below, real *k2, real *k3) noexcept nogil:
    """c + sum(e (g - c)) (high + below), of the scaled exponentials, as k2 + k3."""
    cdef double mean = whole_of(sum_, lost, &lost) * <double>unscale(c)
    cdef double p, low
    if real is float:
        mean = mean * (<double>high + <double>below)
        k2[0] = <real>(<double>c + mean)
        k3[0] = <real>((<double>c - <double>k2[0]) + mean)
    else:
        p = mean * high
        low = product_low(mean, high, p) + fma(mean, below, lost * unscale(c) * high)
        k2[0] = sum_of_two(c, p, &p)
        k3[0] = p + low


cdef inline void in_two(double sum_, double lost, real *high, real *low) noexcept nogil:
    sum_ = whole_of(sum_, lost, &lost)
    high[0] = <real>sum_
    low[0] = <real>((sum_ - <double>high[0]) + lost)


# Endings.

cdef inline real end_share(real e, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return share(e, k0, k1)


cdef inline real end_softmax_d1(real e, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return k4 * (k2 if is_one(e) else softmax_d1(share(e, k0, k1)))


cdef inline real end_softmax_d2(real e, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return k2 if is_one(e) else softmax_d2(share(e, k0, k1))


cdef inline real end_softmax_product(real e, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    cdef real d = g - k2
    return k4 * share(e, k0, k1) * (d + (lost_by(d, g, k2) - k3))


cdef inline real end_log_softmax(real x, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return shifted(x, k0) - k1


cdef inline real end_log_softmax_d1(real e, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return k2 if is_one(e) else <real>1 - share(e, k0, k1)


cdef inline real end_log_softmax_d2(real e, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return -(k2 if is_one(e) else softmax_d1(share(e, k0, k1)))


cdef inline real end_log_softmax_product(real e, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    """q g - y (sum(g) - g), with q of a largest in k2 and sum(g) = k3 + k4; g - y sum(g) is that where y <= 1/2."""
    cdef real y = share(e, k0, k1)
    cdef real of_largest = fma(k2, g, -(y * ((k3 - g) + k4)))
    cdef real of_others = g - y * k3
    return of_largest if is_one(e) else of_others


cdef inline real end_loss(real e, real t, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return -end_log_softmax_product(e, t, k0, k1, k2, k3, k4)


cdef inline real end_product_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return k4 * y * ((g - k2) - k3)


cdef inline real end_log_product_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return fma(-exp(at_most(y, <real>40)), k2, g)


cdef inline real end_d1_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return k4 * (y * (<real>1 - y))


cdef inline real end_log_d1_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4) noexcept nogil:
    return -expm1(at_most(y, <real>40))


# Along a row.

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


cdef inline void exponentials(const real *x, real sign, real top, real *e, Py_ssize_t n) noexcept nogil:
    """Of n elements, a multiple of 8."""
    cdef real lowest = lowest_of(top)
    cdef Py_ssize_t i
    if lowest == -<real>INFINITY:
        for i in range(n & -8):
            e[i] = exp_far(sign * x[i], top, lowest)
    else:
        for i in range(n & -8):
            e[i] = exp_near(sign * x[i], top, lowest)


cdef inline void add_groups(factor f, factor h, bint plain, bint counted, const real *v, const real *g, real c, Py_ssize_t n,
                            double *sums, double *lost, double *ones) noexcept nogil:
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


cdef inline void add_one_by_one(factor f, factor h, bint plain, bint counted, const real *v, const real *g, real c, Py_ssize_t n,
                                double *sum_, double *lost, double *ones) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        add(sum_, lost, term(f, h, plain, v[i], g[i], c), c)
        if counted:
            ones[0] = ones[0] + is_one(v[i])


cdef inline void end_group(const real *x, real *room, Py_ssize_t n) noexcept nogil:
    """The last GROUP elements, those before a multiple of GROUP as zeros."""
    cdef Py_ssize_t before = GROUP - n % GROUP
    cdef Py_ssize_t j
    if n < GROUP:
        for j in range(GROUP):
            room[j] = x[j - before] if j >= before else <real>0
        return
    x += n - GROUP
    for j in range(GROUP):
        room[j] = <real>0 if j < before else x[j]


cdef inline void total(factor f, factor h, bint plain, const real *v, const real *g, real c, Py_ssize_t n, double *sums, double *lost,
                       double *ones) noexcept nogil:
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


cdef inline void sum_exponentials(factor f, bint counted, const real *x, real sign, real top, real *e, bint kept,
                                  Py_ssize_t n, double *sums, double *lost, double *ones) noexcept nogil:
    """Their total, and they themselves in e, which may be x, if they are kept."""
    cdef real room[CHUNK]
    cdef real end[GROUP]
    cdef real *to
    cdef Py_ssize_t whole = n & -32
    cdef Py_ssize_t left = n - whole
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j, m
    clear(sums, lost, ones)
    if left:                                # first, before x is written over
        m = (left + 7) & -8                 # so many, some of them for a second time
        if n < m:
            for j in range(GROUP):
                room[j] = x[j - m + n] if j >= m - n and j < m else sign * top
            exponentials(room, sign, top, end + GROUP - m, m)
        else:
            exponentials(x + n - m, sign, top, end + GROUP - m, m)
    if n < ONE_BY_ONE:
        add_one_by_one(f, one[real], False, counted, end + GROUP - n, end, top, n, sums, lost, ones)
        if kept:
            memcpy(e, end + GROUP - n, n * sizeof(real))
        return
    while i < whole:
        m = min(<Py_ssize_t>CHUNK, whole - i)
        to = e + i if kept and e != x else room
        exponentials(x + i, sign, top, to, m)
        add_groups(f, one[real], False, counted, to, to, top, m, sums, lost, ones)
        if kept and e == x:
            memcpy(e + i, room, m * sizeof(real))
        i += m
    if left:
        if kept:
            memcpy(e + whole, end + GROUP - left, left * sizeof(real))
        for j in range(GROUP):
            end[j] = <real>0 if j < GROUP - left else end[j]
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
    cdef real k0 = k[0], k1 = k[1], k2 = k[2], k3 = k[3], k4 = k[4]
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j, m
    if out != v and out != g:
        for j in range(n):
            out[j] = f(v[j], g[j], k0, k1, k2, k3, k4)
        return
    while i < n:
        m = min(<Py_ssize_t>CHUNK, n - i)
        for j in range(m):
            room[j] = f(v[i + j], g[i + j], k0, k1, k2, k3, k4)
        memcpy(out + i, room, m * sizeof(real))
        i += m


cdef inline void finish_here(ending f, const real *g, real *e, const real *k, Py_ssize_t n) noexcept nogil:
    """e = f(e, g)."""
    cdef real k0 = k[0], k1 = k[1], k2 = k[2], k3 = k[3], k4 = k[4]
    cdef Py_ssize_t i
    for i in range(n):
        e[i] = f(e[i], g[i], k0, k1, k2, k3, k4)


cdef inline void along(int kind, real sign, int order, const real *x, const real *g, real *out, Py_ssize_t n,
                       Py_ssize_t count) noexcept nogil:
    """Up to PHASED rows; out may be x, and g where x holds the values. Each phase goes over all of them, so that a row
    need not wait for what the one before it is waiting for."""
    cdef double sums[LANES]
    cdef double lost[LANES]
    cdef double ones[LANES]
    cdef double sum_[PHASED]
    cdef double low[PHASED]
    cdef double many[PHASED]
    cdef real tops[PHASED]
    cdef real k[5 * PHASED]
    cdef real c
    cdef Py_ssize_t r, at
    for r in range(count):
        k[5 * r], k[5 * r + 1], k[5 * r + 2] = <real>0, <real>0, <real>0
        k[5 * r + 3], k[5 * r + 4] = <real>0, sign
    if order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE:
        if order == PRODUCT_BY_VALUE:
            for r in range(count):
                if kind == LOG_SOFTMAX:
                    total(itself[real], one[real], False, g + r * n, g + r * n, <real>0, n, sums, lost, ones)
                else:
                    total(itself[real], itself[real], True, x + r * n, g + r * n, <real>0, n, sums, lost, ones)
                in_two(sums[0], lost[0], &k[5 * r + 2], &k[5 * r + 3])
        for r in range(count):
            at = r * n
            if order == PRODUCT_BY_VALUE and kind == LOG_SOFTMAX:
                finish(end_log_product_by_value[real], x + at, g + at, out + at, &k[5 * r], n)
            elif order == PRODUCT_BY_VALUE:
                finish(end_product_by_value[real], x + at, g + at, out + at, &k[5 * r], n)
            elif kind == LOG_SOFTMAX:
                finish(end_log_d1_by_value[real], x + at, x + at, out + at, &k[5 * r], n)
            else:
                finish(end_d1_by_value[real], x + at, x + at, out + at, &k[5 * r], n)
        return
    for r in range(count):
        tops[r] = maximum(x + r * n, sign, n)
    for r in range(count):
        at = r * n
        if order == VALUE and kind == SOFTMAX:
            sum_exponentials(itself[real], False, x + at, sign, tops[r], out + at, True, n, sums, lost, ones)
        else:
            sum_exponentials(but_largest[real], True, x + at, sign, tops[r], out + at, order != VALUE, n, sums, lost,
                             ones)
        sum_[r], low[r], many[r] = sums[0], lost[0], ones[0]
    for r in range(count):
        constants(kind, order, sum_[r], low[r], many[r], tops[r], &k[5 * r], &k[5 * r + 1], &k[5 * r + 2])
    if order == PRODUCT:
        for r in range(count):
            at = r * n
            if kind == LOG_SOFTMAX:
                total(itself[real], one[real], False, g + at, g + at, <real>0, n, sums, lost, ones)
                in_two(sums[0], lost[0], &k[5 * r + 3], &k[5 * r + 4])
            else:
                c = g[at + first_largest(out + at, n)]
                total(itself[real], less[real], False, out + at, g + at, c, n, sums, lost, ones)
                center_of(sums[0], lost[0], c, k[5 * r], k[5 * r + 1], &k[5 * r + 2], &k[5 * r + 3])
    for r in range(count):
        at = r * n
        if kind == LOG_SOFTMAX:
            if order == VALUE:
                finish(end_log_softmax[real], x + at, x + at, out + at, &k[5 * r], n)
            elif order == FIRST:
                finish_here(end_log_softmax_d1[real], out + at, out + at, &k[5 * r], n)
            elif order == SECOND:
                finish_here(end_log_softmax_d2[real], out + at, out + at, &k[5 * r], n)
            else:
                finish_here(end_log_softmax_product[real], g + at, out + at, &k[5 * r], n)
        elif order == VALUE:
            finish_here(end_share[real], out + at, out + at, &k[5 * r], n)
        elif order == FIRST:
            finish_here(end_softmax_d1[real], out + at, out + at, &k[5 * r], n)
        elif order == SECOND:
            finish_here(end_softmax_d2[real], out + at, out + at, &k[5 * r], n)
        else:
            finish_here(end_softmax_product[real], g + at, out + at, &k[5 * r], n)


# Across rows. What lies in x[i * step + c] is element i of row c. There are as many rows as lanes, which is WIDTH or
# NARROW, or fewer, which are staged.

cdef inline const real *staged(const real *x, Py_ssize_t step, Py_ssize_t n, Py_ssize_t lanes, Py_ssize_t width,
                               real *room, Py_ssize_t *room_step) noexcept nogil:
    """Up to GROUP elements of all rows with every lane filled."""
    cdef Py_ssize_t i, c
    if width == lanes:
        room_step[0] = step
        return x
    memset(room, 0, n * lanes * sizeof(real))
    for i in range(n):
        for c in range(width):
            room[i * lanes + c] = x[i * step + c]
    room_step[0] = lanes
    return room


cdef inline void put(const real *row, real *out, Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t c
    if width == lanes:
        memcpy(out, row, lanes * sizeof(real))
    else:
        for c in range(width):
            out[c] = row[c]


cdef inline void maxima(const real *x, Py_ssize_t step, real sign, Py_ssize_t n, Py_ssize_t lanes,
                        real *tops) noexcept nogil:
    cdef Py_ssize_t i, c
    cdef real value
    for i in range(n):
        for c in range(lanes):
            value = sign * x[i * step + c]
            tops[c] = value if value > tops[c] else tops[c]


cdef inline void exponentials_across(const real *x, Py_ssize_t step, real sign, const real *tops, const real *lowest,
                                     bint far, Py_ssize_t n, Py_ssize_t lanes, real *e) noexcept nogil:
    cdef Py_ssize_t i, c
    if far:
        for i in range(n):
            for c in range(lanes):
                e[i * lanes + c] = exp_far(sign * x[i * step + c], tops[c], lowest[c])
    else:
        for i in range(n):
            for c in range(lanes):
                e[i * lanes + c] = exp_near(sign * x[i * step + c], tops[c], lowest[c])


cdef inline void add_one_by_one_across(factor f, factor h, bint plain, bint counted, const real *v, Py_ssize_t v_step,
                                       const real *g, Py_ssize_t g_step, const real *c, Py_ssize_t n, Py_ssize_t lanes,
                                       double *sums, double *lost, double *ones) noexcept nogil:
    cdef double s[8]
    cdef double low[8]
    cdef real many[8]
    cdef Py_ssize_t i, j, at
    for at in range(0, lanes, 8):
        for j in range(8):
            s[j] = 0
            low[j] = 0
            many[j] = <real>0
        for i in range(n):
            for j in range(8):
                add(&s[j], &low[j], term(f, h, plain, v[i * v_step + at + j], g[i * g_step + at + j], c[at + j]), c[0])
        if counted:
            for i in range(n):
                for j in range(8):
                    many[j] = many[j] + (<real>1 if is_one(v[i * v_step + at + j]) else <real>0)
        for j in range(8):
            sums[at + j] = s[j]
            lost[at + j] = low[j]
            if counted:
                ones[at + j] = <double>many[j]


cdef inline void add_across(factor f, factor h, bint plain, bint counted, const real *v, Py_ssize_t v_step, const real *g,
                            Py_ssize_t g_step, const real *c, Py_ssize_t first, Py_ssize_t n, Py_ssize_t lanes,
                            double *sums, double *lost, double *ones) noexcept nogil:
    """As `add_groups`, of a group without its `first` elements, which count as zeros, so that v begins with the next."""
    cdef real zeros[WIDTH]
    cdef const real *vs[4]
    cdef const real *gs[4]
    cdef double t
    cdef real many
    cdef Py_ssize_t i, j, k
    if first:
        memset(zeros, 0, lanes * sizeof(real))
    for j in range(LANES):
        for i in range(4):
            vs[i] = v + (j + i * LANES - first) * v_step if j + i * LANES >= first else zeros
            gs[i] = g + (j + i * LANES - first) * g_step if j + i * LANES >= first else zeros
        for k in range(lanes):
            t = (two_terms(f, h, plain, vs[0][k], gs[0][k], vs[1][k], gs[1][k], c[k])
                 + two_terms(f, h, plain, vs[2][k], gs[2][k], vs[3][k], gs[3][k], c[k]))
            add(&sums[j * lanes + k], &lost[j * lanes + k], t, c[0])
        if counted:
            for k in range(lanes):
                many = (((<real>1 if is_one(vs[0][k]) else <real>0) + (<real>1 if is_one(vs[1][k]) else <real>0))
                        + ((<real>1 if is_one(vs[2][k]) else <real>0) + (<real>1 if is_one(vs[3][k]) else <real>0)))
                ones[k] = ones[k] + <double>many


cdef inline void clear_across(double *sums, double *lost, double *ones, Py_ssize_t lanes) noexcept nogil:
    memset(sums, 0, LANES * lanes * sizeof(double))
    memset(lost, 0, LANES * lanes * sizeof(double))
    memset(ones, 0, lanes * sizeof(double))


cdef inline void in_one_across(double *sums, double *lost, Py_ssize_t lanes, real kind) noexcept nogil:
    cdef Py_ssize_t half = LANES // 2
    cdef Py_ssize_t k
    while half:
        for k in range(half * lanes):
            add(&sums[k], &lost[k], sums[half * lanes + k], kind)
            lost[k] = lost[k] + lost[half * lanes + k]
        half = half // 2


cdef inline void total_across(factor f, factor h, bint plain, const real *v, Py_ssize_t v_step, const real *g, Py_ssize_t g_step,
                              const real *c, Py_ssize_t n, Py_ssize_t lanes, Py_ssize_t width, double *sums,
                              double *lost, double *ones) noexcept nogil:
    cdef real v_room[GROUP * WIDTH]
    cdef real g_room[GROUP * WIDTH]
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t a_step, b_step, m
    cdef Py_ssize_t i = 0
    if n >= ONE_BY_ONE:
        clear_across(sums, lost, ones, lanes)
    while i < n:
        m = min(<Py_ssize_t>GROUP, n - i)
        a = staged(v + i * v_step, v_step, m, lanes, width, v_room, &a_step)
        b = staged(g + i * g_step, g_step, m, lanes, width, g_room, &b_step)
        if n < ONE_BY_ONE:
            add_one_by_one_across(f, h, plain, False, a, a_step, b, b_step, c, m, lanes, sums, lost, ones)
            return
        add_across(f, h, plain, False, a, a_step, b, b_step, c, GROUP - m, m, lanes, sums, lost, ones)
        i += m
    in_one_across(sums, lost, lanes, <real>0)


cdef inline void sum_exponentials_across(factor f, bint counted, const real *x, Py_ssize_t step, real sign,
                                         const real *tops, real *e, bint kept, Py_ssize_t n, Py_ssize_t lanes,
                                         Py_ssize_t width, real *room, double *sums, double *lost,
                                         double *ones) noexcept nogil:
    """As `sum_exponentials`; those of up to GROUP elements stay in `room`."""
    cdef real x_room[GROUP * WIDTH]
    cdef real lowest[WIDTH]
    cdef bint far = False
    cdef const real *a
    cdef Py_ssize_t a_step, j, m
    cdef Py_ssize_t i = 0
    for j in range(lanes):
        lowest[j] = lowest_of(tops[j])
    for j in range(lanes):
        far |= lowest[j] == -<real>INFINITY
    if n >= ONE_BY_ONE:
        clear_across(sums, lost, ones, lanes)
    while i < n:
        m = min(<Py_ssize_t>GROUP, n - i)
        a = staged(x + i * step, step, m, lanes, width, x_room, &a_step)
        exponentials_across(a, a_step, sign, tops, lowest, far, m, lanes, room)
        if n < ONE_BY_ONE:
            add_one_by_one_across(f, one[real], False, counted, room, lanes, room, lanes, tops, m, lanes, sums, lost, ones)
            return
        add_across(f, one[real], False, counted, room, lanes, room, lanes, tops, GROUP - m, m, lanes, sums, lost, ones)
        if kept and n > GROUP:
            for j in range(m):
                put(room + j * lanes, e + (i + j) * step, lanes, width)
        i += m
    in_one_across(sums, lost, lanes, <real>0)


cdef inline void finish_across(ending f, const real *v, Py_ssize_t v_step, Py_ssize_t v_width, const real *g,
                               Py_ssize_t g_step, Py_ssize_t g_width, real *out, Py_ssize_t step, const real *k,
                               Py_ssize_t n, Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    """out = f(v, g), where out may be either, and v and g may have other lanes filled, too."""
    cdef real v_room[GROUP * WIDTH]
    cdef real g_room[GROUP * WIDTH]
    cdef real room[GROUP * WIDTH]
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t j, c, m, a_step, b_step
    cdef Py_ssize_t i = 0
    while i < n:
        m = min(<Py_ssize_t>GROUP, n - i)
        a = staged(v + i * v_step, v_step, m, lanes, v_width, v_room, &a_step)
        b = staged(g + i * g_step, g_step, m, lanes, g_width, g_room, &b_step)
        for j in range(m):
            for c in range(lanes):
                room[j * lanes + c] = f(a[j * a_step + c], b[j * b_step + c], k[c], k[WIDTH + c], k[2 * WIDTH + c],
                                        k[3 * WIDTH + c], k[4 * WIDTH + c])
            if width == lanes:
                memcpy(out + (i + j) * step, room + j * lanes, lanes * sizeof(real))
        if width < lanes:
            for j in range(m):
                for c in range(width):
                    out[(i + j) * step + c] = room[j * lanes + c]
        i += m


cdef inline void across(int kind, real sign, int order, const real *x, const real *g, real *out, Py_ssize_t n,
                        Py_ssize_t step, Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    """`width` rows, up to `lanes`, with the same bits as `along`."""
    cdef double sums[LANES * WIDTH]
    cdef double lost[LANES * WIDTH]
    cdef double ones[WIDTH]
    cdef real e_room[GROUP * WIDTH]
    cdef real g_room[GROUP * WIDTH]
    cdef real k[5 * WIDTH]
    cdef real tops[WIDTH]
    cdef real c[WIDTH]
    cdef real given
    cdef real *e = out
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t i, j, m, r, a_step, b_step
    cdef Py_ssize_t e_step = step
    cdef Py_ssize_t e_width = width
    for j in range(lanes):
        k[j] = <real>0
        k[WIDTH + j] = <real>0
        k[2 * WIDTH + j] = <real>0
        k[3 * WIDTH + j] = <real>0
        k[4 * WIDTH + j] = sign
        c[j] = <real>0
        tops[j] = -<real>INFINITY
    if order == FIRST_BY_VALUE:
        if kind == LOG_SOFTMAX:
            finish_across(end_log_d1_by_value[real], x, step, width, x, step, width, out, step, k, n, lanes, width)
        else:
            finish_across(end_d1_by_value[real], x, step, width, x, step, width, out, step, k, n, lanes, width)
        return
    if order == PRODUCT_BY_VALUE:
        if kind == LOG_SOFTMAX:
            total_across(itself[real], one[real], False, g, step, g, step, c, n, lanes, width, sums, lost, ones)
        else:
            total_across(itself[real], itself[real], True, x, step, g, step, c, n, lanes, width, sums, lost, ones)
        for j in range(lanes):
            in_two(sums[j], lost[j], &k[2 * WIDTH + j], &k[3 * WIDTH + j])
        if kind == LOG_SOFTMAX:
            finish_across(end_log_product_by_value[real], x, step, width, g, step, width, out, step, k, n, lanes, width)
        else:
            finish_across(end_product_by_value[real], x, step, width, g, step, width, out, step, k, n, lanes, width)
        return
    i = 0
    while i < n:
        m = min(<Py_ssize_t>GROUP, n - i)
        a = staged(x + i * step, step, m, lanes, width, e_room, &a_step)
        maxima(a, a_step, sign, m, lanes, tops)
        i += m
    if order == VALUE and kind == SOFTMAX:
        sum_exponentials_across(itself[real], False, x, step, sign, tops, out, True, n, lanes, width, e_room, sums, lost,
                                ones)
    else:
        sum_exponentials_across(but_largest[real], True, x, step, sign, tops, out, order != VALUE, n, lanes, width,
                                e_room, sums, lost, ones)
    if n <= GROUP:
        e = e_room
        e_step = lanes
        e_width = lanes
    if order == VALUE:
        for j in range(lanes):
            constants(kind, VALUE, sums[j], lost[j], ones[j], tops[j], &k[j], &k[WIDTH + j], &k[2 * WIDTH + j])
    elif order == FIRST:
        for j in range(lanes):
            constants(kind, FIRST, sums[j], lost[j], ones[j], tops[j], &k[j], &k[WIDTH + j], &k[2 * WIDTH + j])
    elif order == SECOND:
        for j in range(lanes):
            constants(kind, SECOND, sums[j], lost[j], ones[j], tops[j], &k[j], &k[WIDTH + j], &k[2 * WIDTH + j])
    else:
        for j in range(lanes):
            constants(kind, PRODUCT, sums[j], lost[j], ones[j], tops[j], &k[j], &k[WIDTH + j], &k[2 * WIDTH + j])
    if kind == LOG_SOFTMAX:
        if order == VALUE:
            finish_across(end_log_softmax[real], x, step, width, x, step, width, out, step, k, n, lanes, width)
        elif order == FIRST:
            finish_across(end_log_softmax_d1[real], e, e_step, e_width, e, e_step, e_width, out, step, k, n, lanes,
                          width)
        elif order == SECOND:
            finish_across(end_log_softmax_d2[real], e, e_step, e_width, e, e_step, e_width, out, step, k, n, lanes,
                          width)
        else:
            total_across(itself[real], one[real], False, g, step, g, step, c, n, lanes, width, sums, lost, ones)
            for j in range(lanes):
                in_two(sums[j], lost[j], &k[3 * WIDTH + j], &k[4 * WIDTH + j])
            finish_across(end_log_softmax_product[real], e, e_step, e_width, g, step, width, out, step, k, n, lanes,
                          width)
    elif order == VALUE:
        finish_across(end_share[real], e, e_step, e_width, e, e_step, e_width, out, step, k, n, lanes,
                          width)
    elif order == FIRST:
        finish_across(end_softmax_d1[real], e, e_step, e_width, e, e_step, e_width, out, step, k, n, lanes,
                          width)
    elif order == SECOND:
        finish_across(end_softmax_d2[real], e, e_step, e_width, e, e_step, e_width, out, step, k, n, lanes,
                          width)
    else:
        i = (n - 1) // GROUP * GROUP                    # backwards: the first of the largest is what stays
        while i >= 0:
            m = min(<Py_ssize_t>GROUP, n - i)
            a = staged(e + i * e_step, e_step, m, lanes, e_width, e_room, &a_step)
            b = staged(g + i * step, step, m, lanes, width, g_room, &b_step)
            for r in range(m - 1, -1, -1):
                for j in range(lanes):
                    given = b[r * b_step + j]
                    c[j] = given if is_one(a[r * a_step + j]) else c[j]
            i -= GROUP
        total_across(itself[real], less[real], False, e, e_step, g, step, c, n, lanes, width, sums, lost, ones)
        for j in range(lanes):
            center_of(sums[j], lost[j], c[j], k[j], k[WIDTH + j], &k[2 * WIDTH + j], &k[3 * WIDTH + j])
        finish_across(end_softmax_product[real], e, e_step, e_width, g, step, width, out, step, k, n, lanes,
                          width)


cdef inline void turned(const real *x, Py_ssize_t n, Py_ssize_t count, real *lanes) noexcept nogil:
    """`count` rows, one after another, as lanes."""
    if real is float:
        fastnn_to_lanes_float(x, n, count, lanes, WIDTH)
    else:
        fastnn_to_lanes_double(x, n, count, lanes, WIDTH)


cdef inline void turned_back(const real *lanes, real *out, Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    if real is float:
        fastnn_from_lanes_float(lanes, WIDTH, out, n, count)
    else:
        fastnn_from_lanes_double(lanes, WIDTH, out, n, count)


cdef inline void rows(int kind, real sign, int order, const real *x, const real *g, real *out, Py_ssize_t n,
                      Py_ssize_t step, Py_ssize_t count) noexcept nogil:
    """`count` rows of n elements: one after another where step is 1, else side by side, the elements `step` apart."""
    cdef real x_lanes[SHORT * WIDTH]
    cdef real g_lanes[SHORT * WIDTH]
    cdef bint turning = step == 1 and n <= SHORT
    cdef const real *a
    cdef const real *b
    cdef real *to
    cdef Py_ssize_t width
    cdef Py_ssize_t i = 0
    if turning:
        memset(x_lanes, 0, n * WIDTH * sizeof(real))
        memset(g_lanes, 0, n * WIDTH * sizeof(real))
    while i < count:
        width = count - i
        if step == 1 and (n > SHORT or width < FEW):
            width = max(<Py_ssize_t>1, min(width, min(<Py_ssize_t>PHASED, <Py_ssize_t>IN_CACHE // n)))
            along(kind, sign, order, x + i * n, g + i * n if g != NULL else NULL, out + i * n, n, width)
            i += width
            continue
        width = min(width, <Py_ssize_t>WIDTH)
        if width < WIDTH and width > NARROW and not turning:
            width = NARROW
        a, b, to = x + i, g + i, out + i
        if turning:
            turned(x + i * n, n, width, x_lanes)
            if g != NULL:
                turned(g + i * n, n, width, g_lanes)
            a, b, to = x_lanes, g_lanes, x_lanes
        if width > NARROW:
            across(kind, sign, order, a, b, to, n, WIDTH if turning else step, WIDTH, WIDTH)
        else:
            across(kind, sign, order, a, b, to, n, WIDTH if turning else step, NARROW, width)
        if turning:
            turned_back(x_lanes, out + i * n, n, width)
        i += width


# The loss.

cdef inline double loss_of_row(const real *x, const real *t, Py_ssize_t label, real *grad, Py_ssize_t n) noexcept nogil:
    """-sum(t log softmax(x)) and, unless grad is NULL, its gradient, softmax(x) sum(t) - t, for a row of logits.

    The target is the row t, or 1 at `label` where t is NULL.
    """
    cdef double sums[LANES]
    cdef double lost[LANES]
    cdef double ones[LANES]
    cdef real k[5]
    cdef real top = maximum(x, <real>1, n)
    cdef double rest, low, log_sum
    cdef double loss = 0
    cdef double kept = 0
    cdef bint at_largest
    cdef Py_ssize_t i
    sum_exponentials(but_largest[real], True, x, <real>1, top, grad, grad != NULL, n, sums, lost, ones)
    with_largest(sums[0], lost[0], ones[0], &rest, &low, top)
    log_sum = log_of_sum(rest)
    if t == NULL:
        loss = log_sum - <double>shifted(x[label], top)
    else:
        for i in range(n):
            if t[i] != <real>0:
                add(&loss, &kept, <double>t[i] * (log_sum - <double>shifted(x[i], top)), top)
        loss = whole_of(loss, kept, &low)
    if grad == NULL:
        return loss
    k[0], k[1], k[2], k[3], k[4] = <real>0, <real>0, <real>0, <real>0, <real>0
    constants(LOG_SOFTMAX, PRODUCT, sums[0], lost[0], ones[0], top, &k[0], &k[1], &k[2])
    if t == NULL:
        at_largest = is_one(grad[label])
        finish_here(end_share[real], grad, grad, k, n)
        grad[label] = -k[2] if at_largest else grad[label] - <real>1
    else:
        total(itself[real], one[real], False, t, t, <real>0, n, sums, lost, ones)
        in_two(sums[0], lost[0], &k[3], &k[4])
        finish_here(end_loss[real], t, grad, k, n)
    return loss
