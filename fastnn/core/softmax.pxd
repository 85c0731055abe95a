# cython: cdivision=True
"""Softmax and its family over one contiguous row: values, diagonal derivatives, vector-Jacobian products, and the loss.

Everything is shifted by the row's maximum and summed in double precision, compensated where the data are double.
With e = exp(x - max), y the softmax of the row (of -row for softmin), q = 1 - y and L the log-softmax:

    softmax      dy_i/dx_i =  y q    second  y q (q - y)    product  y ((g - c) - sum(y (g - c)))
    softmin      dy_i/dx_i = -y q    second  y q (q - y)    product -y ((g - c) - sum(y (g - c)))
    log-softmax  dL_i/dx_i =  q      second -y q            product  q g - y (sum(g) - g)

q of a largest element is the sum of the others, since 1 - y has lost its digits there; and c, which may be any number,
is g at the first of them, since else g - sum(y g) has. Values and first derivatives are within 4 units in the last
place, second derivatives of y q, products of the larger of their two terms, where a sum counts as that of its terms'
magnitudes and a y below the normal numbers as the least of these. Adding a number to the row that is exact changes no bit.

An infinite maximum is taken as the limit: its holders share 1, the others get 0.
"""
from fastnn.core.kernels cimport FIRST, PRODUCT_BY_VALUE, SECOND, VALUE
from fastnn.core.vecmath cimport INFINITY, absolute, exp_floor, exp_scaled_sum, log, log1p, product_low, real, unscale

cdef enum:
    LANES = 8

# one term of a sum over a row
ctypedef double (*summand)(real x, real g, real c) noexcept nogil


cdef inline double itself(real x, real g, real c) noexcept nogil:
    return <double>x


cdef inline bint is_one(real e) noexcept nogil:
    """The scaled exponential of a largest element."""
    return e * unscale(e) == <real>1


cdef inline double weighted(real e, real g, real c) noexcept nogil:
    return <double>e * (<double>g - <double>c)


cdef inline void add(double *sum_, double *lost, double term, real kind) noexcept nogil:
    """sum_ += term; for double data what the rounding lost is kept (Neumaier)."""
    cdef double s = sum_[0] + term
    if real is double:
        lost[0] = lost[0] + ((sum_[0] - s) + term if absolute(sum_[0]) >= absolute(term) else (term - s) + sum_[0])
    sum_[0] = s


cdef inline double total(summand f, const real *x, const real *g, real c, Py_ssize_t n, double *low) noexcept nogil:
    """sum(f(x, g, c)) in LANES running sums; `low` is what its rounding lost."""
    cdef double sums[LANES]
    cdef double lost[LANES]
    cdef double whole = 0
    cdef double kept = 0
    cdef double rounded
    cdef Py_ssize_t i, j
    if n >= 2 * LANES:
        for j in range(LANES):
            sums[j] = 0
            lost[j] = 0
        for i in range(0, n - 7, 8):
            for j in range(LANES):
                add[real](&sums[j], &lost[j], f(x[i + j], g[i + j], c), <real>0)
        for j in range(LANES):
            add[real](&whole, &kept, sums[j], <real>0)
            kept += lost[j] if real is double else 0
    for i in range(n - n % LANES if n >= 2 * LANES else 0, n):
        add[real](&whole, &kept, f(x[i], g[i], c), <real>0)
    rounded = whole + kept
    low[0] = (whole - rounded) + kept
    return rounded


cdef inline real maximum(const real *x, real sign, Py_ssize_t n) noexcept nogil:
    cdef real tops[LANES]
    cdef real top = -<real>INFINITY
    cdef Py_ssize_t i, j
    if n < 2 * LANES:
        for i in range(n):
            top = sign * x[i] if sign * x[i] > top else top
        return top
    for j in range(LANES):
        tops[j] = -<real>INFINITY
    for i in range(0, n - 7, 8):
        for j in range(LANES):
            tops[j] = sign * x[i + j] if sign * x[i + j] > tops[j] else tops[j]
    top = tops[0]
    for j in range(1, LANES):
        top = tops[j] if tops[j] > top else top
    for i in range(n - n % LANES, n):
        top = sign * x[i] if sign * x[i] > top else top
    return top


cdef inline real shifted(real x, real top) noexcept nogil:
    """x - top, 0 where both are the same infinity."""
    return <real>0 if x == top else x - top


cdef inline real lost_by(real d, real a, real b) noexcept nogil:
    """a - b - d, for the rounded difference d."""
    cdef real back = d - a
    return (a - (d - back)) - (b + back)


cdef inline real shifted_exp(real x, real top) noexcept nogil:
    """2^BIAS exp(x - top), the difference kept in two parts because exp multiplies its rounding."""
    cdef real d = shifted(x, top)
    cdef real low = lost_by(d, x, top)
    return exp_scaled_sum(d, low if absolute(low) < <real>1 else <real>0)       # NaN at infinities, large where exp is 0


cdef inline void exponentials(const real *x, real sign, real top, real *e, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        e[i] = shifted_exp(sign * x[i], top)


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


cdef inline double largest_apart(real *e, Py_ssize_t n, double *rest, double *low) noexcept nogil:
    """sum(exp), which is that plus `low`, and in `rest` the sum of all but the first of the largest, which is 1."""
    cdef double less, whole
    cdef Py_ssize_t largest = first_largest(e, n)
    cdef real kept = e[largest]
    e[largest] = <real>0
    rest[0] = total(itself[real], e, e, <real>0, n, &less) * <double>unscale(kept)
    e[largest] = kept
    whole = 1 + rest[0]
    low[0] = ((1 - whole) + rest[0] if rest[0] <= 1 else (rest[0] - whole) + 1) + less * <double>unscale(kept)
    return whole


cdef inline double log_of_sum(double rest) noexcept nogil:
    """log(1 + rest)."""
    return log1p(rest) if rest < 1 else log(1 + rest)


cdef inline real inverse(double sum_, double low, real *rest) noexcept nogil:
    """1/(sum_ + low), as its rounded value and `rest`, what that lost."""
    cdef double r = 1 / sum_
    cdef double p = r * sum_
    cdef real high = <real>r
    if real is float:
        rest[0] = <real>(r - <double>high)
    else:
        rest[0] = <real>(((1 - p) - product_low(r, sum_, p) - r * low) / sum_)
    return high


cdef inline real share(real e, real high, real low) noexcept nogil:
    """exp (high + low) from the scaled exponential, rounded once; cheaper than a division where there is an FMA."""
    cdef real p = e * high
    return (p + (product_low(e, high, p) + e * low)) * unscale(e)


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


cdef inline void product_by_value(const real *y, const real *g, real *out, Py_ssize_t n, real sign) noexcept nogil:
    """sign y (g - sum(g y)) for a y that is at hand: its rounding counts little beside the larger of the two terms."""
    cdef double lost
    cdef double mean = total(weighted[real], y, g, <real>0, n, &lost) + lost
    cdef real center = <real>mean
    cdef real rest = <real>(mean - <double>center)
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = sign * y[i] * ((g[i] - center) - rest)


cdef inline void softmax_signed(int order, const real *x, const real *g, real *out, Py_ssize_t n,
                                real sign) noexcept nogil:
    cdef double whole, rest, mean, mean_low
    cdef double low = 0
    cdef real high, below, largest, c, center, rest_of_center, d, y
    cdef Py_ssize_t i
    if order == PRODUCT_BY_VALUE:
        product_by_value(x, g, out, n, sign)
        return
    exponentials(x, sign, maximum(x, sign, n), out, n)
    if order == VALUE:
        whole = total(itself[real], out, out, <real>0, n, &low) * <double>unscale(<real>0)
        high = inverse(whole, low * <double>unscale(<real>0), &below)
        for i in range(n):
            out[i] = share(out[i], high, below)
        return
    whole = largest_apart(out, n, &rest, &low)
    high = inverse(whole, low, &below)
    largest = share(<real>(rest / <double>unscale(high)), high, below)
    if order == FIRST:
        largest = largest_d1(high, largest)
        for i in range(n):
            y = share(out[i], high, below)
            out[i] = sign * (largest if is_one(out[i]) else softmax_d1(y))
    elif order == SECOND:
        largest = largest_d2(high, largest)
        for i in range(n):
            y = share(out[i], high, below)
            out[i] = largest if is_one(out[i]) else softmax_d2(y)
    else:
        c = g[first_largest(out, n)]
        mean = total(weighted[real], out, g, c, n, &low)
        mean *= <double>unscale(c)
        if real is float:
            mean = mean / whole
            center = <real>(<double>c + mean)                   # c + mean in two parts
            rest_of_center = <real>((<double>c - <double>center) + mean)
        else:
            mean_low = low * unscale(c)
            whole = mean * high                                 # the mean in two parts, then c + mean in two
            mean_low = product_low(mean, high, whole) + (mean * below + mean_low * high)
            mean = whole
            center = c + mean
            rest_of_center = ((c - center) + mean if absolute(c) >= absolute(mean) else (mean - center) + c) + mean_low
        for i in range(n):
            y = share(out[i], high, below)
            d = g[i] - center
            out[i] = sign * y * (d + (lost_by(d, g[i], center) - rest_of_center))


cdef inline void softmax(int order, const real *x, const real *g, real *out, Py_ssize_t n) noexcept nogil:
    softmax_signed(order, x, g, out, n, <real>1)


cdef inline void softmin(int order, const real *x, const real *g, real *out, Py_ssize_t n) noexcept nogil:
    softmax_signed(order, x, g, out, n, <real>-1)


cdef inline void log_softmax_product(const real *g, real sign, real *out, real high, real low, real largest,
                                     Py_ssize_t n) noexcept nogil:
    """sign (q g - y (sum(g) - g)) in place of the exponentials; g - y sum(g) is the same where y is at most 1/2."""
    cdef double lost
    cdef double sum_g = total(itself[real], g, g, <real>0, n, &lost)
    cdef real whole = <real>sum_g
    cdef real rest = <real>((sum_g - <double>whole) + lost)
    cdef real of_largest, of_others, y
    cdef Py_ssize_t i
    for i in range(n):
        y = share(out[i], high, low)
        of_largest = largest * g[i] - y * ((whole - g[i]) + rest)
        of_others = g[i] - y * whole
        out[i] = sign * (of_largest if is_one(out[i]) else of_others)


cdef inline void log_softmax(int order, const real *x, const real *g, real *out, Py_ssize_t n) noexcept nogil:
    cdef real top = maximum(x, <real>1, n)
    cdef double whole, rest, lost
    cdef real log_sum, high, low, largest, y
    cdef Py_ssize_t i
    exponentials(x, <real>1, top, out, n)
    whole = largest_apart(out, n, &rest, &lost)
    if order == VALUE:
        log_sum = <real>log_of_sum(rest)
        for i in range(n):
            out[i] = shifted(x[i], top) - log_sum
        return
    high = inverse(whole, lost, &low)
    largest = share(<real>(rest / <double>unscale(high)), high, low)
    if order == FIRST:
        for i in range(n):
            out[i] = largest if is_one(out[i]) else <real>1 - share(out[i], high, low)
    elif order == SECOND:
        largest = largest_d1(high, largest)
        for i in range(n):
            y = share(out[i], high, low)
            out[i] = -(largest if is_one(out[i]) else softmax_d1(y))
    else:
        log_softmax_product(g, <real>1, out, high, low, largest, n)


cdef inline double softmax_cross_entropy(const real *x, const real *t, Py_ssize_t label, real *grad,
                                         Py_ssize_t n) noexcept nogil:
    """-sum(t log softmax(x)) and its gradient, softmax(x) sum(t) - t, for a row of logits.

    The target is the row t, or 1 at `label` where t is NULL.
    """
    cdef real top = maximum(x, <real>1, n)
    cdef double rest, whole, lost, log_sum
    cdef double loss = 0
    cdef double kept = 0
    cdef real high, low, largest
    cdef bint at_largest
    cdef Py_ssize_t i
    exponentials(x, <real>1, top, grad, n)
    whole = largest_apart(grad, n, &rest, &lost)
    log_sum = log_of_sum(rest)
    high = inverse(whole, lost, &low)
    largest = share(<real>(rest / <double>unscale(high)), high, low)
    if t == NULL:
        at_largest = is_one(grad[label])
        for i in range(n):
            grad[i] = share(grad[i], high, low)
        grad[label] = -largest if at_largest else grad[label] - <real>1
        return log_sum - <double>shifted(x[label], top)
    for i in range(n):
        if t[i] != <real>0:
            add[real](&loss, &kept, <double>t[i] * (log_sum - <double>shifted(x[i], top)), <real>0)
    log_softmax_product(t, <real>-1, grad, high, low, largest, n)
    return loss + kept if kept == kept else loss            # an infinite loss leaves NaN in `kept`
