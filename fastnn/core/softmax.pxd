# cython: cdivision=True
"""Softmax and its family along rows: values, diagonal derivatives, vector-Jacobian products, and the loss.

Everything is shifted by the row's maximum and summed in double precision, compensated where the data are double.
With e = exp((x - max)/T), y the softmax of the row (of -row for softmin), q = 1 - y and L the log-softmax:

    softmax      dy_i/dx_i =  y q    second  y q (q - y)    product  y ((g - c) - sum(y (g - c)))
    softmin      dy_i/dx_i = -y q    second  y q (q - y)    product -y ((g - c) - sum(y (g - c)))
    log-softmax  dL_i/dx_i =  q      second -y q            product  q g - y (sum(g) - g)

q of a largest element is the sum of the others, since 1 - y has lost its digits there; and c, which may be any number,
is g at the first of them, since else g - sum(y g) has. Values and first derivatives are within 4 units in the last
place, second derivatives of y q, products of the larger of their two terms, where a sum counts as that of its terms'
magnitudes and a y below the normal numbers as the least of these. Adding a number to the row that is exact changes no
bit.

By value, from y or L alone and exact for them (within 2 units, products of the larger of their terms within 4):

    softmax      y (1 - y)           product  y (g - sum(y g))          softmin the negative of both
    log-softmax  1 - exp(L)          product  g - exp(L) sum(g)

These for the temperature T = 1; else first derivatives and products are divided by it, second ones by its square, and
with them the least that a y counts as; first derivatives by value are within 3 units.

An infinite maximum is taken as the limit: its holders share 1, the others get 0.

Here is the maths of an element and of a row's sums. Two ways to walk give the same bits: along a row (softmax_along.pxi)
and across many at once, one in each SIMD lane (softmax_across.pxi); softmax_rows.pxi chooses.
"""
from fastnn.core.kernels cimport FIRST, SECOND, VALUE
from fastnn.core.vecmath cimport (INFINITY, absolute, at_least, at_most, exp, exp_parts, exp_scaled_sum, expm1,
                                  fastnn_log_split_double, fma, log1p, product_low, real, unscale)

# what a kernel is
cdef enum:
    SOFTMAX         # softmin with the sign -1
    LOG_SOFTMAX
    SPARSEMAX       # sparsemax.pxd
    ENTMAX

# one of the two factors of a term; the second may need the constant c of its row
ctypedef double (*factor)(real v, real c) noexcept nogil

# what the last pass makes of an element v - its exponential, its value or itself - and the constants of its row, of which
# k5 is the factor of a derivative: the sign over the temperature, or 1 over its square
ctypedef real (*ending)(real v, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil


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
# top that its exponential is 0 in any case is lifted to `lowest`: x - top and what its rounding lost are small then.

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
    return exp_scaled_sum(d, low if absolute(low) < <real>1 else <real>0)   # NaN at infinities, large where exp is 0


# The temperature: 1/T as c + c_low, in heat[0] and heat[1]; NULL stands for 1.

cdef inline const real *heat_of(double temperature, real *heat) noexcept nogil:
    cdef double c = 1 / temperature
    cdef double p = fma(c, temperature, <double>0)
    heat[0] = <real>c
    if real is float:
        heat[1] = <real>(c - <double>heat[0])
    else:
        heat[1] = ((1 - p) - product_low(c, temperature, p)) * c
    return NULL if temperature == 1 else heat


cdef inline real exp_tempered(real x, real top, real c, real c_low) noexcept nogil:
    """2^BIAS exp((x - top)/T), as `exp_far`."""
    cdef real d = shifted(x, top)
    cdef real p = d * c
    cdef real low = product_low(d, c, p) + fma(d, c_low, lost_by(d, x, top) * c)
    return exp_scaled_sum(p, low if absolute(low) < <real>1 else <real>0)


cdef inline real factor_of(int order, real sign, double temperature) noexcept nogil:
    return <real>(1 / (temperature * temperature)) if order == SECOND else <real>(<double>sign / temperature)


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


# Constants of a row, k0 to k4, from its sums. Of log-softmax's values k2 is 2/T.

cdef inline void constants(int kind, int order, double sum_, double lost, double ones, real top, real *k0, real *k1,
                           real *k2) noexcept nogil:
    """For all that goes by the exponentials: k0 + k1 is 1/sum(exp), or k0 half of top and k1 the logarithm of the sum; k2 is
    for a largest element. ones counts those that are 1, which the sum has left out; softmax's values need no such sum.
    """
    cdef double low, rest, whole
    cdef real q
    sum_ = whole_of(sum_, lost, &lost)
    if order == VALUE and kind != LOG_SOFTMAX:
        k0[0] = inverse(sum_ * <double>unscale(top), lost * <double>unscale(top), k1)
        return
    whole = with_largest(sum_, lost, ones, &rest, &low, top)
    if order == VALUE:
        k0[0] = <real>0.5 * top         # the difference of halves does not overflow
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

cdef inline real end_share(real e, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return share(e, k0, k1)


cdef inline real end_softmax_d1(real e, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    """With the other sign log-softmax's second derivative."""
    return k5 * (k2 if is_one(e) else softmax_d1(share(e, k0, k1)))


cdef inline real end_softmax_d2(real e, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return k5 * (k2 if is_one(e) else softmax_d2(share(e, k0, k1)))


cdef inline real end_softmax_product(real e, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    cdef real d = g - k2
    return share(e, k0, k1) * (k5 * (d + (lost_by(d, g, k2) - k3)))


cdef inline real end_log_softmax(real x, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return fma(shifted(<real>0.5 * x, k0), k2, -k1)


cdef inline real end_log_softmax_d1(real e, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return k5 * (k2 if is_one(e) else <real>1 - share(e, k0, k1))


cdef inline real end_log_softmax_product(real e, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    """q g - y (sum(g) - g), with q of a largest in k2 and sum(g) = k3 + k4; g - y sum(g) is that where y <= 1/2."""
    cdef real y = share(e, k0, k1)
    cdef real of_largest = fma(k2, g, -(y * ((k3 - g) + k4)))
    cdef real of_others = g - y * k3
    return k5 * (of_largest if is_one(e) else of_others)


cdef inline real end_loss(real e, real t, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return -end_log_softmax_product(e, t, k0, k1, k2, k3, k4, <real>1)


cdef inline real end_product_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return y * (k5 * ((g - k2) - k3))


cdef inline real end_log_product_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return k5 * fma(-exp(at_most(y, <real>40)), k2, g)


cdef inline real end_d1_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return k5 * (y * (<real>1 - y))


cdef inline real end_log_d1_by_value(real y, real g, real k0, real k1, real k2, real k3, real k4, real k5) noexcept nogil:
    return -k5 * expm1(at_most(y, <real>40))
