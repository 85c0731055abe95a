# cython: cdivision=True
"""Sparsemax and entmax 1.5 along rows: values, diagonal derivatives, vector-Jacobian products.

With z = (x - max)/T, T the temperature, halved for entmax 1.5, and s = max(z - tau, 0):

    sparsemax       y = s       sum(s) = 1
    entmax 1.5      y = s^2     sum(s^2) = 1

Of either the Jacobian is diag(w) - w w'/sum(w), with w = 1 on the support, where s > 0, and 0 elsewhere, or w = s:

    dy_i/dx_i = w - w^2/sum(w)      product  w (g - sum(w g)/sum(w))
    second    0, or with p = w/sum(w) and k elements in the support (1 - 3p + 3p^2 - k p^3)/2 there

so that y determines them; derivatives and products are divided by T, second ones by its square. Values are within 4
units in the last place of the larger of z and tau (of y times that, for a square), derivatives and products of what
comes of it. Everything is computed in double precision, of double data sums compensated and tau in two parts.

tau is found by Newton's steps from -1 on, which never go beyond it, until those above are its support: then it is what
they give alone. What a row has more than 1 below its maximum is in no sum: only blocks of BLOCK elements with others
are looked at, where those have room. A sum has CHAINS running sums, each of every eighth element, so that blocks left
out change no bit, and two ways to walk give the same (sparsemax.pxi): along a row, and across many at once.

A row with NaN is NaN. An infinite maximum is taken as the limit: its holders share 1.
"""
from fastnn.core.softmax cimport SPARSEMAX, sum_of_two
from fastnn.core.vecmath cimport fma, product_low, real, square_root

cdef enum:
    CHAINS = 8
    BLOCK = 32
    ROOM = 1024             # elements above the first threshold, in whole blocks
    MOST_STEPS = 100        # each quarters excess times slope: 60 are enough for anything

# what is made of s: itself, whether it is above 0, its square root, its square
cdef enum:
    PLAIN
    FLAT
    ROOT
    SQUARED


cdef inline double above(double u) noexcept nogil:
    return u if u > 0 else 0


cdef inline double above_or_far(double u) noexcept nogil:
    return u if u > 0 else <double>1e300


cdef inline double counted(double u) noexcept nogil:
    return 1 if u > 0 else 0


cdef inline double lesser(double a, double b) noexcept nogil:
    return a if a < b else b


cdef inline double under(double scale, real x, real top) noexcept nogil:
    """z; the scale is 1/T or half of that."""
    return scale * (<double>0 if x == top else <double>x - <double>top)


cdef inline double share_of(int form, double scale, real x, real top, double tau, double low) noexcept nogil:
    """What that form is of s; NaN stays NaN."""
    cdef double s = (under(scale, x, top) - tau) - low
    s = <double>0 if s <= 0 else s
    if form == FLAT:
        return <double>1 if s > 0 else s
    if form == ROOT:
        return square_root(s)
    return s * s if form == SQUARED else s


cdef inline double newton(int kind, double count, double sum_, double squares, double least, double *there) noexcept nogil:
    """How much higher the threshold is to be, and 1 if that is where it belongs: where all above it stay above."""
    cdef double missing = (sum_ if kind == SPARSEMAX else squares) - 1
    cdef double root, step
    cdef bint found
    if kind == SPARSEMAX:
        step = missing / count
        there[0] = <double>0 if least <= step else <double>1
        return step
    root = fma(sum_, sum_, -(count * missing))
    step = missing / (sum_ + square_root(above(root)))
    found = (root >= 0) & (not least <= step) | (count == 0)
    there[0] = <double>1 if found else <double>0
    return step if found else missing / (2 * sum_)


cdef inline double last_part(int kind, double count, double sum_, double squares, double lost) noexcept nogil:
    """What is left of tau where the threshold is all but it; of sparsemax `squares` is the sum."""
    return ((squares - 1) + lost) / (count if kind == SPARSEMAX else 2 * sum_)


cdef inline void add_exactly(double *sum_, double *lost, double value) noexcept nogil:
    cdef double low
    sum_[0] = sum_of_two(sum_[0], value, &low)
    lost[0] = lost[0] + low


cdef inline void add_product(double *sum_, double *lost, double a, double b) noexcept nogil:
    cdef double p = fma(a, b, <double>0)      # not to be fused with the sum
    add_exactly(sum_, lost, p)
    lost[0] = lost[0] + product_low(a, b, p)


cdef inline double mean_of(double sum_, double sum_lost, double whole, double whole_lost, double *low) noexcept nogil:
    """(sum_ + sum_lost)/(whole + whole_lost), and what its rounding lost."""
    cdef double mean = sum_ / whole
    cdef double p = fma(mean, whole, <double>0)
    low[0] = (((sum_ - p) - product_low(mean, whole, p)) + fma(-mean, whole_lost, sum_lost)) / whole
    return mean


# A derivative or a product of a weight; share is 1/sum(w), mean + low sum(w g)/sum(w).

cdef inline double diagonal(double w, double share) noexcept nogil:
    return fma(-w, w * share, w)


cdef inline double second_of(double w, double share, double count) noexcept nogil:
    cdef double p = w * share
    return 0 * w if w == 0 else 0.5 * fma(p, fma(p, fma(-count, p, <double>3), <double>-3), <double>1)


cdef inline double pulled(double w, double g, double mean, double low) noexcept nogil:
    return w if w == 0 else w * ((g - mean) - low)
