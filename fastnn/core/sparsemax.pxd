# cython: cdivision=True
"""Sparsemax and entmax 1.5 along rows: values, diagonal derivatives, vector-Jacobian products.

With z = x - max, halved for entmax 1.5, and s = max(z - tau, 0):

    sparsemax       y = s       sum(s) = 1
    entmax 1.5      y = s^2     sum(s^2) = 1

Of either the Jacobian is diag(w) - w w'/sum(w), with w = 1 on the support, where s > 0, and 0 elsewhere, or w = s:

    dy_i/dx_i = w - w^2/sum(w)      product  w (g - sum(w g)/sum(w))
    second    0, or with p = w/sum(w) and k elements in the support (1 - 3p + 3p^2 - k p^3)/2 there

so that y determines them. Values are within 4 units in the last place of the larger of z and tau (of y times that, for a
square), derivatives and products of what comes of it. Everything is computed in double precision, of double data sums
compensated and tau in two parts.

tau is found by Newton's steps from -1 on, which never go beyond it, until those above are its support: then it is what
they give alone. What a row has more than 1 below its maximum is in no sum: only blocks of BLOCK elements with others
are looked at, where those have room. A sum has CHAINS running sums, each of every eighth element, so that blocks left
out change no bit, and two ways to walk give the same: along a row, and across as many as there are SIMD lanes.

A row with NaN is NaN. An infinite maximum is taken as the limit: its holders share 1.
"""
from libc.string cimport memcpy, memset

from fastnn.core.kernels cimport FIRST, FIRST_BY_VALUE, PRODUCT, PRODUCT_BY_VALUE, SECOND, VALUE
from fastnn.core.softmax cimport ENTMAX, SPARSEMAX, sum_of_two
from fastnn.core.softmax_across cimport WIDTH, put, staged
from fastnn.core.vecmath cimport INFINITY, fma, product_low, real, square_root

cdef enum:
    CHAINS = 8
    BLOCK = 32
    ROOM = 1024             # elements above the first threshold, in whole blocks
    MOST_STEPS = 100        # each quarters excess times slope: 60 are enough for anything

cdef struct Sums:
    # of a row's elements above a threshold, by how much: how many, sum, sum of squares, least
    double count[CHAINS]
    double sum_[CHAINS]
    double squares[CHAINS]
    double least[CHAINS]

cdef struct Exact:
    # sums with what their rounding lost
    double first[CHAINS]
    double first_lost[CHAINS]
    double second[CHAINS]
    double second_lost[CHAINS]


cdef inline double above(double u) noexcept nogil:
    return u if u > 0 else 0


cdef inline double under(int kind, real x, real top) noexcept nogil:
    """z."""
    cdef double d = <double>0 if x == top else <double>x - <double>top
    return d if kind == SPARSEMAX else 0.5 * d


cdef inline double excess(int kind, real x, real top, double tau, double low) noexcept nogil:
    """s; NaN stays NaN."""
    cdef double s = (under(kind, x, top) - tau) - low
    return 0 if s <= 0 else s


cdef inline double weight(int kind, bint by_value, real x, real top, double tau, double low) noexcept nogil:
    """w, of x or by the value in its place."""
    cdef double s
    if by_value:
        s = <double>0 if x <= <real>0 else <double>x
        return square_root(s) if kind == ENTMAX else (1 if s > 0 else s)
    s = excess(kind, x, top, tau, low)
    return s if kind == ENTMAX else (1 if s > 0 else s)


cdef inline double newton(int kind, double count, double sum_, double squares, double least, bint *there) noexcept nogil:
    """How much higher the threshold is to be, and whether that is where it belongs: where all above it stay above."""
    cdef double missing = (sum_ if kind == SPARSEMAX else squares) - 1
    cdef double root, step
    if kind == SPARSEMAX:
        step = missing / count
        there[0] = not least <= step
        return step
    root = fma(sum_, sum_, -(count * missing))
    step = missing / (sum_ + square_root(above(root)))
    there[0] = (root >= 0) & (not least <= step) | (count == 0)
    return step if there[0] else missing / (2 * sum_)


cdef inline double last_part(int kind, double count, double sum_, double squares, double lost) noexcept nogil:
    """What is left of tau where the threshold is all but it."""
    return ((sum_ - 1) + lost) / count if kind == SPARSEMAX else ((squares - 1) + lost) / (2 * sum_)


cdef inline void add_exactly(double *sum_, double *lost, double value) noexcept nogil:
    cdef double low
    sum_[0] = sum_of_two(sum_[0], value, &low)
    lost[0] = lost[0] + low


cdef inline void add_product(double *sum_, double *lost, double a, double b) noexcept nogil:
    cdef double p = a * b
    add_exactly(sum_, lost, p)
    lost[0] = lost[0] + product_low(a, b, p)


cdef inline double result_of(int kind, int order, double w, double g, double share, double count, double mean,
                             double low) noexcept nogil:
    """A derivative or a product; share is 1/sum(w), mean + low sum(w g)/sum(w)."""
    cdef double p = w * share
    if order == FIRST or order == FIRST_BY_VALUE:
        return fma(-w, p, w)
    if order == SECOND:
        if kind == SPARSEMAX:
            return 0 * w
        return 0 * w if w == 0 else 0.5 * fma(p, fma(p, fma(-count, p, <double>3), <double>-3), <double>1)
    return w if w == 0 else w * ((g - mean) - low)


cdef inline double value_of(int kind, double s) noexcept nogil:
    return s if kind == SPARSEMAX else s * s


cdef inline double means_of(double sum_, double sum_lost, double whole, double whole_lost, double *low) noexcept nogil:
    """(sum_ + sum_lost)/(whole + whole_lost), and what its rounding lost."""
    cdef double mean = sum_ / whole
    cdef double p = mean * whole
    low[0] = (((sum_ - p) - product_low(mean, whole, p)) + fma(-mean, whole_lost, sum_lost)) / whole
    return mean


# Along a row.

cdef inline real maximum_or_nan(const real *x, Py_ssize_t n) noexcept nogil:
    cdef real tops[BLOCK]
    cdef real bad[BLOCK]
    cdef real top = -<real>INFINITY
    cdef Py_ssize_t i, j
    for j in range(BLOCK):
        tops[j] = -<real>INFINITY
        bad[j] = <real>0
    for i in range(0, n & -32, 32):
        for j in range(BLOCK):
            tops[j] = x[i + j] if x[i + j] > tops[j] else tops[j]
            bad[j] = bad[j] if x[i + j] == x[i + j] else x[i + j]
    for i in range(n & -32, n):
        tops[i & 31] = x[i] if x[i] > tops[i & 31] else tops[i & 31]
        bad[i & 31] = bad[i & 31] if x[i] == x[i] else x[i]
    for j in range(BLOCK):
        top = tops[j] if tops[j] > top else top
    for j in range(BLOCK):
        top = top if bad[j] == bad[j] else bad[j]
    return top


cdef inline void fill_block(int kind, const real *x, Py_ssize_t m, real top, double *z) noexcept nogil:
    """z of m elements, behind them -inf up to the end of the block."""
    cdef Py_ssize_t j
    if m >= BLOCK:
        for j in range(BLOCK):
            z[j] = under(kind, x[j], top)
        return
    for j in range(BLOCK):
        z[j] = under(kind, x[j], top) if j < m else -<double>INFINITY


cdef inline Py_ssize_t fill_room(int kind, const real *x, Py_ssize_t n, real top, double *room) noexcept nogil:
    """The blocks that have anything above the first threshold, as z; how many elements, or -1 if there is no room."""
    cdef Py_ssize_t filled = 0
    cdef Py_ssize_t i, j
    cdef real least = <real>-1 if kind == SPARSEMAX else <real>-2
    cdef int found
    for i in range(0, n, 32):
        found = 0
        if i + BLOCK <= n:
            for j in range(BLOCK):
                found |= (x[i + j] == top) | (x[i + j] - top >= least)
        else:
            for j in range(i, n):
                found |= (x[j] == top) | (x[j] - top >= least)
        if not found:
            continue
        if filled == ROOM:
            return -1
        fill_block(kind, x + i, n - i, top, room + filled)
        filled += BLOCK
    return filled


cdef inline void add_above(int kind, const double *z, Py_ssize_t n, double t, Sums *sums) noexcept nogil:
    """n a multiple of BLOCK."""
    cdef double count[CHAINS]
    cdef double sum_[CHAINS]
    cdef double squares[CHAINS]
    cdef double least[CHAINS]
    cdef Py_ssize_t i, j, k
    cdef double a, b, c, d
    for j in range(CHAINS):
        count[j], sum_[j], squares[j], least[j] = sums.count[j], sums.sum_[j], sums.squares[j], sums.least[j]
    for i in range(0, n & -32, 32):
        for j in range(CHAINS):
            a, b, c, d = z[i + j] - t, z[i + j + 8] - t, z[i + j + 16] - t, z[i + j + 24] - t
            count[j] += ((<double>1 if a > 0 else <double>0) + (<double>1 if b > 0 else <double>0)) \
                + ((<double>1 if c > 0 else <double>0) + (<double>1 if d > 0 else <double>0))
            sum_[j] += (above(a) + above(b)) + (above(c) + above(d))
            if kind == ENTMAX:
                squares[j] += fma(above(a), above(a), above(b) * above(b)) + fma(above(c), above(c), above(d) * above(d))
            a = a if a > 0 else <double>INFINITY
            b = b if b > 0 else <double>INFINITY
            c = c if c > 0 else <double>INFINITY
            d = d if d > 0 else <double>INFINITY
            a = a if a < b else b
            c = c if c < d else d
            a = a if a < c else c
            least[j] = a if a < least[j] else least[j]
    for j in range(CHAINS):
        sums.count[j], sums.sum_[j], sums.squares[j], sums.least[j] = count[j], sum_[j], squares[j], least[j]


cdef inline void clear(Sums *sums) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(CHAINS):
        sums.count[j], sums.sum_[j], sums.squares[j], sums.least[j] = 0, 0, 0, <double>INFINITY


cdef inline void clear_exact(Exact *sums) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(CHAINS):
        sums.first[j], sums.first_lost[j], sums.second[j], sums.second_lost[j] = 0, 0, 0, 0


cdef inline double tree(const double *a) noexcept nogil:
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))


cdef inline double least_of(const double *a) noexcept nogil:
    cdef double found = a[0]
    cdef Py_ssize_t j
    for j in range(1, CHAINS):
        found = a[j] if a[j] < found else found
    return found


cdef inline void add_above_exactly(int kind, const double *z, double t, Exact *sums, double *count) noexcept nogil:
    """A block: of sparsemax the sum, else in `first` the squares and in `second` the sum."""
    cdef Py_ssize_t i, j
    cdef double v
    for i in range(0, BLOCK, 8):
        for j in range(CHAINS):
            v = above(z[i + j] - t)
            if kind == SPARSEMAX:
                add_exactly(&sums.first[j], &sums.first_lost[j], v)
            else:
                add_product(&sums.first[j], &sums.first_lost[j], v, v)
                sums.second[j] += v
            count[j] += <double>1 if v > 0 else <double>0


cdef inline void in_one(double *sums, double *lost) noexcept nogil:
    """The chains' sum and what it lost, in the first of each."""
    cdef Py_ssize_t half = CHAINS // 2
    cdef Py_ssize_t j
    while half:
        for j in range(half):
            add_exactly(&sums[j], &lost[j], sums[half + j])
            lost[j] = lost[j] + lost[half + j]
        half = half // 2


cdef inline double threshold(int kind, const real *x, Py_ssize_t n, real top, double *low) noexcept nogil:
    """tau, and what its rounding lost."""
    cdef double room[ROOM]
    cdef Sums sums
    cdef Exact exact
    cdef double count[CHAINS]
    cdef bint there = False
    cdef double t = -1
    cdef Py_ssize_t filled = fill_room(kind, x, n, top, room)
    cdef Py_ssize_t i, j, steps
    for steps in range(MOST_STEPS):
        clear(&sums)
        if filled >= 0:
            add_above(kind, room, filled, t, &sums)
        else:
            for i in range(0, n, 32):
                fill_block(kind, x + i, n - i, top, room)
                add_above(kind, room, BLOCK, t, &sums)
        t += newton(kind, tree(sums.count), tree(sums.sum_), tree(sums.squares), least_of(sums.least), &there)
        if there:
            break
    low[0] = 0
    if real is double:
        clear_exact(&exact)
        for j in range(CHAINS):
            count[j] = 0
        for i in range(0, n if filled < 0 else filled, 32):
            if filled < 0:
                fill_block(kind, x + i, n - i, top, room)
                add_above_exactly(kind, room, t, &exact, count)
            else:
                add_above_exactly(kind, room + i, t, &exact, count)
        in_one(exact.first, exact.first_lost)
        low[0] = last_part(kind, tree(count), exact.first[0] if kind == SPARSEMAX else tree(exact.second),
                           exact.first[0], exact.first_lost[0])
    return t


cdef inline int weights_of(int kind, bint by_value, const real *x, Py_ssize_t m, real top, double tau, double low,
                           double *w) noexcept nogil:
    """Of m elements of a block; whether any is not 0."""
    cdef int found = 0
    cdef Py_ssize_t j
    if m == BLOCK:
        for j in range(BLOCK):
            w[j] = weight(kind, by_value, x[j], top, tau, low)
        for j in range(BLOCK):
            found |= w[j] != 0
        return found
    for j in range(m):
        w[j] = weight(kind, by_value, x[j], top, tau, low)
        found |= w[j] != 0
    return found


cdef inline void sparse_along(int kind, int order, const real *x, const real *g, real *out, Py_ssize_t n,
                              Py_ssize_t rows) noexcept nogil:
    """Rows one after another; out may be x, and g where x holds the values."""
    cdef real made[BLOCK]
    cdef double w[BLOCK]
    cdef Exact sums
    cdef double many[CHAINS]
    cdef bint by_value = order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE
    cdef bint with_g = order == PRODUCT or order == PRODUCT_BY_VALUE
    cdef real top = <real>0
    cdef double tau = 0
    cdef double low = 0
    cdef double whole, share, count, mean, mean_low
    cdef Py_ssize_t r, i, j, m
    cdef int found
    for r in range(rows):
        if not by_value:
            top = maximum_or_nan(x, n)
            tau = threshold(kind, x, n, top, &low)
        if order == VALUE:
            i = 0
            while i < n:
                m = min(<Py_ssize_t>BLOCK, n - i)
                if m == BLOCK:
                    for j in range(BLOCK):
                        made[j] = <real>value_of(kind, excess(kind, x[i + j], top, tau, low))
                    memcpy(out + i, made, BLOCK * sizeof(real))
                else:
                    for j in range(m):
                        out[i + j] = <real>value_of(kind, excess(kind, x[i + j], top, tau, low))
                i += BLOCK
        else:
            clear_exact(&sums)
            for j in range(CHAINS):
                many[j] = 0
            i = 0
            while i < n:
                m = min(<Py_ssize_t>BLOCK, n - i)
                found = weights_of(kind, by_value, x + i, m, top, tau, low, w)
                if found:
                    for j in range(m):
                        add_exactly(&sums.first[j & 7], &sums.first_lost[j & 7], w[j])
                        many[j & 7] += <double>1 if w[j] > 0 else <double>0
                        if with_g:
                            add_product(&sums.second[j & 7], &sums.second_lost[j & 7], w[j],
                                        <double>(g[i + j] if w[j] != 0 else <real>0))
                i += BLOCK
            in_one(sums.first, sums.first_lost)
            whole = sums.first[0]
            share = 1 / (whole + sums.first_lost[0])
            count = tree(many)
            in_one(sums.second, sums.second_lost)
            mean = means_of(sums.second[0], sums.second_lost[0], whole, sums.first_lost[0], &mean_low)
            i = 0
            while i < n:
                m = min(<Py_ssize_t>BLOCK, n - i)
                weights_of(kind, by_value, x + i, m, top, tau, low, w)
                for j in range(m):
                    made[j] = <real>result_of(kind, order, w[j], <double>g[i + j] if with_g else 0, share, count, mean,
                                              mean_low)
                memcpy(out + i, made, m * sizeof(real))
                i += BLOCK
        x += n
        out += n
        if with_g:
            g += n


# Across rows, one in each SIMD lane, as softmax_across.pxd has them.

cdef inline void fill_across(int kind, const real *x, Py_ssize_t step, const real *tops, Py_ssize_t n, Py_ssize_t lanes,
                             Py_ssize_t width, double *z) noexcept nogil:
    """z of up to BLOCK elements of all rows."""
    cdef real x_room[BLOCK * WIDTH]
    cdef Py_ssize_t a_step, i, c
    cdef const real *a = staged(x, step, n, lanes, width, x_room, &a_step)
    for i in range(n):
        for c in range(lanes):
            z[i * lanes + c] = under(kind, a[i * a_step + c], tops[c])


cdef inline void add_above_across(int kind, const double *z, Py_ssize_t n, Py_ssize_t lanes, const double *t,
                                  double *count, double *sums, double *squares, double *least) noexcept nogil:
    """Of up to BLOCK elements, as `add_above`; what is missing of a block is in no sum."""
    cdef double nothing[WIDTH]
    cdef const double *rows[4]
    cdef Py_ssize_t j, k, c
    cdef double u, v, w, x
    for c in range(lanes):
        nothing[c] = -<double>INFINITY
    for j in range(min(<Py_ssize_t>CHAINS, n)):
        for k in range(4):
            rows[k] = z + (j + k * CHAINS) * lanes if j + k * CHAINS < n else nothing
        if j + 2 * CHAINS >= n:
            for c in range(lanes):
                u, v = rows[0][c] - t[c], rows[1][c] - t[c]
                count[j * lanes + c] += (<double>1 if u > 0 else <double>0) + (<double>1 if v > 0 else <double>0)
                sums[j * lanes + c] += above(u) + above(v)
                if kind == ENTMAX:
                    squares[j * lanes + c] += fma(above(u), above(u), above(v) * above(v))
                u = u if u > 0 else <double>INFINITY
                v = v if v > 0 else <double>INFINITY
                u = u if u < v else v
                least[c] = u if u < least[c] else least[c]
            continue
        for c in range(lanes):
            u, v, w, x = rows[0][c] - t[c], rows[1][c] - t[c], rows[2][c] - t[c], rows[3][c] - t[c]
            count[j * lanes + c] += ((<double>1 if u > 0 else <double>0) + (<double>1 if v > 0 else <double>0)) \
                + ((<double>1 if w > 0 else <double>0) + (<double>1 if x > 0 else <double>0))
            sums[j * lanes + c] += (above(u) + above(v)) + (above(w) + above(x))
            if kind == ENTMAX:
                squares[j * lanes + c] += (fma(above(u), above(u), above(v) * above(v))
                                           + fma(above(w), above(w), above(x) * above(x)))
            u = u if u > 0 else <double>INFINITY
            v = v if v > 0 else <double>INFINITY
            w = w if w > 0 else <double>INFINITY
            x = x if x > 0 else <double>INFINITY
            u = u if u < v else v
            w = w if w < x else x
            u = u if u < w else w
            least[c] = u if u < least[c] else least[c]


cdef inline void tree_across(double *a, Py_ssize_t lanes) noexcept nogil:
    """As `tree`, in the first line."""
    cdef Py_ssize_t half = CHAINS // 2
    cdef Py_ssize_t k
    while half:
        for k in range(half * lanes):
            a[k] = a[k] + a[half * lanes + k]
        half = half // 2


cdef inline void in_one_across(double *sums, double *lost, Py_ssize_t lanes) noexcept nogil:
    cdef Py_ssize_t half = CHAINS // 2
    cdef Py_ssize_t k
    while half:
        for k in range(half * lanes):
            add_exactly(&sums[k], &lost[k], sums[half * lanes + k])
            lost[k] = lost[k] + lost[half * lanes + k]
        half = half // 2


cdef inline void thresholds(int kind, const real *x, Py_ssize_t step, const real *tops, Py_ssize_t n, Py_ssize_t lanes,
                            Py_ssize_t width, double *t, double *low) noexcept nogil:
    cdef double z[BLOCK * WIDTH]
    cdef double count[CHAINS * WIDTH]
    cdef double sums[CHAINS * WIDTH]
    cdef double squares[CHAINS * WIDTH]
    cdef double lost[CHAINS * WIDTH]
    cdef double least[WIDTH]
    cdef double open_[WIDTH]            # 1, or 0 where the threshold has been found
    cdef double left, by, v
    cdef bint there
    cdef Py_ssize_t i, j, c, m, steps
    for c in range(lanes):
        t[c] = -1
        low[c] = 0
        open_[c] = 1
    for steps in range(MOST_STEPS):
        memset(count, 0, CHAINS * lanes * sizeof(double))
        memset(sums, 0, CHAINS * lanes * sizeof(double))
        memset(squares, 0, CHAINS * lanes * sizeof(double))
        for c in range(lanes):
            least[c] = <double>INFINITY
        for i in range(0, n, 32):
            m = min(<Py_ssize_t>BLOCK, n - i)
            if n > BLOCK or steps == 0:
                fill_across(kind, x + i * step, step, tops, m, lanes, width, z)
            add_above_across(kind, z, m, lanes, t, count, sums, squares, least)
        tree_across(count, lanes)
        tree_across(sums, lanes)
        tree_across(squares, lanes)
        left = 0
        for c in range(lanes):
            by = newton(kind, count[c], sums[c], squares[c], least[c], &there)
            t[c] = t[c] + by if open_[c] != 0 else t[c]
            open_[c] = <double>0 if there else open_[c]
            left += open_[c]
        if left == 0:
            break
    if real is float:
        return
    memset(count, 0, CHAINS * lanes * sizeof(double))
    memset(sums, 0, CHAINS * lanes * sizeof(double))
    memset(squares, 0, CHAINS * lanes * sizeof(double))
    memset(lost, 0, CHAINS * lanes * sizeof(double))
    for i in range(0, n, 32):
        m = min(<Py_ssize_t>BLOCK, n - i)
        if n > BLOCK:
            fill_across(kind, x + i * step, step, tops, m, lanes, width, z)
        for j in range(m):
            for c in range(lanes):
                v = above(z[j * lanes + c] - t[c])
                if kind == SPARSEMAX:
                    add_exactly(&squares[(j & 7) * lanes + c], &lost[(j & 7) * lanes + c], v)
                else:
                    add_product(&squares[(j & 7) * lanes + c], &lost[(j & 7) * lanes + c], v, v)
                    sums[(j & 7) * lanes + c] += v
                count[(j & 7) * lanes + c] += <double>1 if v > 0 else <double>0
    in_one_across(squares, lost, lanes)
    tree_across(count, lanes)
    tree_across(sums, lanes)
    for c in range(lanes):
        low[c] = last_part(kind, count[c], squares[c] if kind == SPARSEMAX else sums[c], squares[c], lost[c])


cdef inline void sparse_across(int kind, int order, const real *x, const real *g, real *out, Py_ssize_t n,
                               Py_ssize_t step, Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    """`width` rows, up to `lanes`, with the same bits as `sparse_along`."""
    cdef real x_room[BLOCK * WIDTH]
    cdef real g_room[BLOCK * WIDTH]
    cdef real made[WIDTH]
    cdef real tops[WIDTH]
    cdef real bad[WIDTH]
    cdef double tau[WIDTH]
    cdef double low[WIDTH]
    cdef double first[CHAINS * WIDTH]
    cdef double first_lost[CHAINS * WIDTH]
    cdef double second[CHAINS * WIDTH]
    cdef double second_lost[CHAINS * WIDTH]
    cdef double many[CHAINS * WIDTH]
    cdef double mean[WIDTH]
    cdef double mean_low[WIDTH]
    cdef double share[WIDTH]
    cdef double w
    cdef bint by_value = order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE
    cdef bint with_g = order == PRODUCT or order == PRODUCT_BY_VALUE
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t i, j, c, m, at, a_step, b_step
    for c in range(lanes):
        tops[c] = -<real>INFINITY
        bad[c] = <real>0
        tau[c] = 0
        low[c] = 0
    if not by_value:
        for i in range(0, n, 32):
            m = min(<Py_ssize_t>BLOCK, n - i)
            a = staged(x + i * step, step, m, lanes, width, x_room, &a_step)
            for j in range(m):
                for c in range(lanes):
                    tops[c] = a[j * a_step + c] if a[j * a_step + c] > tops[c] else tops[c]
                    bad[c] = bad[c] if a[j * a_step + c] == a[j * a_step + c] else a[j * a_step + c]
        for c in range(lanes):
            tops[c] = tops[c] if bad[c] == bad[c] else bad[c]
        thresholds(kind, x, step, tops, n, lanes, width, tau, low)
    if order != VALUE:
        memset(first, 0, CHAINS * lanes * sizeof(double))
        memset(first_lost, 0, CHAINS * lanes * sizeof(double))
        memset(second, 0, CHAINS * lanes * sizeof(double))
        memset(second_lost, 0, CHAINS * lanes * sizeof(double))
        memset(many, 0, CHAINS * lanes * sizeof(double))
        for i in range(0, n, 32):
            m = min(<Py_ssize_t>BLOCK, n - i)
            a = staged(x + i * step, step, m, lanes, width, x_room, &a_step)
            b, b_step = a, a_step
            if with_g:
                b = staged(g + i * step, step, m, lanes, width, g_room, &b_step)
            for j in range(m):
                at = (j & 7) * lanes
                for c in range(lanes):
                    w = weight(kind, by_value, a[j * a_step + c], tops[c], tau[c], low[c])
                    add_exactly(&first[at + c], &first_lost[at + c], w)
                    many[at + c] += <double>1 if w > 0 else <double>0
                    if with_g:
                        add_product(&second[at + c], &second_lost[at + c], w,
                                    <double>(b[j * b_step + c] if w != 0 else <real>0))
        in_one_across(first, first_lost, lanes)
        in_one_across(second, second_lost, lanes)
        tree_across(many, lanes)
        for c in range(lanes):
            share[c] = 1 / (first[c] + first_lost[c])
            mean[c] = means_of(second[c], second_lost[c], first[c], first_lost[c], &mean_low[c])
    for i in range(0, n, 32):
        m = min(<Py_ssize_t>BLOCK, n - i)
        a = staged(x + i * step, step, m, lanes, width, x_room, &a_step)
        b, b_step = a, a_step
        if with_g:
            b = staged(g + i * step, step, m, lanes, width, g_room, &b_step)
        for j in range(m):
            if order == VALUE:
                for c in range(lanes):
                    made[c] = <real>value_of(kind, excess(kind, a[j * a_step + c], tops[c], tau[c], low[c]))
            else:
                for c in range(lanes):
                    w = weight(kind, by_value, a[j * a_step + c], tops[c], tau[c], low[c])
                    made[c] = <real>result_of(kind, order, w, <double>b[j * b_step + c], share[c], many[c], mean[c],
                                              mean_low[c])
            put(made, out + (i + j) * step, lanes, width)
