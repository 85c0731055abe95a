"""How rows are walked for sparsemax and entmax 1.5 (sparsemax.pxd): along a row, its CHAINS running sums in SIMD lanes, and
across many, a row in each lane. Both call the same loops, over lanes whose constants lie side by side.
"""
from fastnn.core.softmax cimport ENTMAX, SPARSEMAX
from fastnn.core.sparsemax cimport (BLOCK, CHAINS, FLAT, MOST_STEPS, PLAIN, ROOM, ROOT, SQUARED, above, above_or_far,
                                    add_exactly, add_product, counted, diagonal, last_part, lesser, mean_of, newton,
                                    pulled, second_of, share_of, under)

cdef enum:
    LINE = 32               # lanes at a time: WIDTH, and BLOCK


cdef struct Found:
    # of lanes, each with CHAINS running sums: how many are above the threshold, by how much together, the squares, least
    double count[CHAINS * WIDTH]
    double sum_[CHAINS * WIDTH]
    double squares[CHAINS * WIDTH]
    double least[CHAINS * WIDTH]


cdef struct Exact:
    # sums with what their rounding lost, and how many numbers above 0 there are
    double first[CHAINS * WIDTH]
    double first_lost[CHAINS * WIDTH]
    double second[CHAINS * WIDTH]
    double second_lost[CHAINS * WIDTH]
    double count[CHAINS * WIDTH]


cdef void add_above(bint squared, const double **rows, Py_ssize_t blocks, const double *t, Py_ssize_t lanes,
                    Found *found, Py_ssize_t to) noexcept nogil:
    """What four rows of lanes, and as many further blocks, have above t, added to the sums from `to` on."""
    cdef double count[8]
    cdef double sum_[8]
    cdef double squares[8]
    cdef double least[8]
    cdef double a, b, c, d
    cdef const double *p
    cdef const double *q
    cdef const double *r
    cdef const double *s
    cdef Py_ssize_t at, i, j
    for at in range(0, lanes, 8):
        for j in range(8):
            count[j], sum_[j] = found.count[to + at + j], found.sum_[to + at + j]
            squares[j], least[j] = found.squares[to + at + j], found.least[to + at + j]
        p, q, r, s = rows[0] + at, rows[1] + at, rows[2] + at, rows[3] + at
        if squared:
            for i in range(0, blocks * 32, 32):
                for j in range(8):
                    a, b, c, d = p[i + j] - t[at + j], q[i + j] - t[at + j], r[i + j] - t[at + j], s[i + j] - t[at + j]
                    count[j] += (counted(a) + counted(b)) + (counted(c) + counted(d))
                    sum_[j] += (above(a) + above(b)) + (above(c) + above(d))
                    squares[j] += fma(above(a), above(a), above(b) * above(b)) + fma(above(c), above(c), above(d) * above(d))
                    least[j] = lesser(lesser(lesser(above_or_far(a), above_or_far(b)),
                                             lesser(above_or_far(c), above_or_far(d))), least[j])
        else:
            for i in range(0, blocks * 32, 32):
                for j in range(8):
                    a, b, c, d = p[i + j] - t[at + j], q[i + j] - t[at + j], r[i + j] - t[at + j], s[i + j] - t[at + j]
                    count[j] += (counted(a) + counted(b)) + (counted(c) + counted(d))
                    sum_[j] += (above(a) + above(b)) + (above(c) + above(d))
                    least[j] = lesser(lesser(lesser(above_or_far(a), above_or_far(b)),
                                             lesser(above_or_far(c), above_or_far(d))), least[j])
        for j in range(8):
            found.count[to + at + j], found.sum_[to + at + j] = count[j], sum_[j]
            found.squares[to + at + j], found.least[to + at + j] = squares[j], least[j]


cdef void clear_found(Found *found, Py_ssize_t lanes) noexcept nogil:
    cdef Py_ssize_t j
    memset(found.count, 0, CHAINS * lanes * sizeof(double))
    memset(found.sum_, 0, CHAINS * lanes * sizeof(double))
    memset(found.squares, 0, CHAINS * lanes * sizeof(double))
    for j in range(CHAINS * lanes):
        found.least[j] = 1e300


cdef void clear_exact(Exact *sums, Py_ssize_t lanes) noexcept nogil:
    memset(sums.first, 0, CHAINS * lanes * sizeof(double))
    memset(sums.first_lost, 0, CHAINS * lanes * sizeof(double))
    memset(sums.second, 0, CHAINS * lanes * sizeof(double))
    memset(sums.second_lost, 0, CHAINS * lanes * sizeof(double))
    memset(sums.count, 0, CHAINS * lanes * sizeof(double))


cdef void tree(double *a, Py_ssize_t lanes) noexcept nogil:
    """The chains' sum, in the first line of lanes."""
    cdef Py_ssize_t half = CHAINS // 2
    cdef Py_ssize_t k
    while half:
        for k in range(half * lanes):
            a[k] = a[k] + a[half * lanes + k]
        half = half // 2


cdef void exact_tree(double *sums, double *lost, Py_ssize_t lanes) noexcept nogil:
    """The same with what it loses."""
    cdef Py_ssize_t half = CHAINS // 2
    cdef Py_ssize_t k
    while half:
        for k in range(half * lanes):
            add_exactly(&sums[k], &lost[k], sums[half * lanes + k])
            lost[k] = lost[k] + lost[half * lanes + k]
        half = half // 2


cdef double newton_steps(int kind, Found *found, Py_ssize_t lanes, double *t, double *searching) noexcept nogil:
    """The next threshold in each lane that is still searching for it; how many remain."""
    cdef double by, there
    cdef double left = 0
    cdef Py_ssize_t c, j
    tree(found.count, lanes)
    tree(found.sum_, lanes)
    if kind == ENTMAX:
        tree(found.squares, lanes)
    for j in range(1, CHAINS):
        for c in range(lanes):
            found.least[c] = lesser(found.least[j * lanes + c], found.least[c])
    for c in range(lanes):
        if kind == ENTMAX:
            by = newton(ENTMAX, found.count[c], found.sum_[c], found.squares[c], found.least[c], &there)
        else:
            by = newton(SPARSEMAX, found.count[c], found.sum_[c], found.squares[c], found.least[c], &there)
        t[c] = t[c] + by if searching[c] != 0 else t[c]
        searching[c] = <double>0 if there != 0 else searching[c]
        left += searching[c]
    return left


cdef void add_exactly_above(int kind, const double *z, Py_ssize_t rows, Py_ssize_t apart, const double *t,
                            Py_ssize_t lanes, Exact *sums, Py_ssize_t to) noexcept nogil:
    """Of rows of lanes: of sparsemax the sum, else in `first` the squares and in `second` the sum."""
    cdef double v
    cdef Py_ssize_t at, i, j
    for at in range(0, lanes, 8):
        for i in range(rows):
            for j in range(at, at + 8):
                v = above(z[i * apart + j] - t[j])
                add_product(&sums.first[to + j], &sums.first_lost[to + j], v, v if kind == ENTMAX else <double>1)
                sums.second[to + j] += v
                sums.count[to + j] += counted(v)


cdef void last_parts(int kind, Exact *sums, Py_ssize_t lanes, double *low) noexcept nogil:
    cdef Py_ssize_t c
    exact_tree(sums.first, sums.first_lost, lanes)
    tree(sums.second, lanes)
    tree(sums.count, lanes)
    for c in range(lanes):
        low[c] = last_part(kind, sums.count[c], sums.second[c], sums.first[c], sums.first_lost[c])


cdef void add_weights(const double *w, const double *g, Py_ssize_t rows, Py_ssize_t apart, Py_ssize_t lanes, Exact *sums,
                      Py_ssize_t to) noexcept nogil:
    """The weights, what g, unless it is NULL, makes of them, and how many are above 0."""
    cdef Py_ssize_t at, i, j
    for at in range(0, lanes, 8):
        for i in range(rows):
            for j in range(8):
                add_exactly(&sums.first[to + at + j], &sums.first_lost[to + at + j], w[i * apart + at + j])
                sums.count[to + at + j] += counted(w[i * apart + at + j])
        for i in range(rows if g != NULL else 0):
            for j in range(8):
                add_product(&sums.second[to + at + j], &sums.second_lost[to + at + j], w[i * apart + at + j],
                            g[i * apart + at + j])


cdef void sums_of_rows(Exact *sums, Py_ssize_t lanes, double *share, double *mean, double *mean_low) noexcept nogil:
    cdef Py_ssize_t c
    exact_tree(sums.first, sums.first_lost, lanes)
    exact_tree(sums.second, sums.second_lost, lanes)
    tree(sums.count, lanes)
    for c in range(lanes):
        share[c] = 1 / (sums.first[c] + sums.first_lost[c])
        mean[c] = mean_of(sums.second[c], sums.second_lost[c], sums.first[c], sums.first_lost[c], &mean_low[c])


# Of LINE elements, each with its constants.

cdef void shares(int form, double scale, const real *x, const real *top, const double *tau, const double *low,
                 double *w) noexcept nogil:
    cdef Py_ssize_t j
    if form == FLAT:
        for j in range(LINE):
            w[j] = share_of(FLAT, scale, x[j], top[j], tau[j], low[j])
    elif form == ROOT:
        for j in range(LINE):
            w[j] = share_of(ROOT, scale, x[j], top[j], tau[j], low[j])
    elif form == SQUARED:
        for j in range(LINE):
            w[j] = share_of(SQUARED, scale, x[j], top[j], tau[j], low[j])
    else:
        for j in range(LINE):
            w[j] = share_of(PLAIN, scale, x[j], top[j], tau[j], low[j])


cdef void results(int kind, int order, double factor, const double *w, const double *g, const double *share,
                  const double *count, const double *mean, const double *low, real *out) noexcept nogil:
    """The factor is that of a derivative, by the temperature."""
    cdef Py_ssize_t j
    if order == VALUE:
        for j in range(LINE):
            out[j] = <real>w[j]
    elif order == FIRST or order == FIRST_BY_VALUE:
        for j in range(LINE):
            out[j] = <real>(factor * diagonal(w[j], share[j]))
    elif order != SECOND:
        for j in range(LINE):
            out[j] = <real>(factor * pulled(w[j], g[j], mean[j], low[j]))
    elif kind == SPARSEMAX:
        for j in range(LINE):
            out[j] = <real>(0 * w[j])
    else:
        for j in range(LINE):
            out[j] = <real>(factor * second_of(w[j], share[j], count[j]))


cdef void looked_at(const real *g, const double *w, double *out) noexcept nogil:
    """g where a weight is not 0, else 0."""
    cdef Py_ssize_t j
    for j in range(LINE):
        out[j] = <double>(g[j] if w[j] != 0 else <real>0)


cdef inline double scale_of(int kind, double temperature) noexcept nogil:
    """What x less its maximum is multiplied with."""
    return 1 / temperature if kind == SPARSEMAX else 0.5 / temperature


cdef inline int form_of(int kind, int order) noexcept nogil:
    if kind == SPARSEMAX:
        return PLAIN if order == VALUE else FLAT
    if order == VALUE:
        return SQUARED
    return ROOT if order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE else PLAIN


# Along a row.

cdef real maximum_or_nan(const real *x, Py_ssize_t n) noexcept nogil:
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


cdef void fill_block(double scale, const real *x, Py_ssize_t m, real top, double *z) noexcept nogil:
    """z of up to BLOCK elements, behind them -inf up to the end of the block."""
    cdef Py_ssize_t j
    if m >= BLOCK:
        for j in range(BLOCK):
            z[j] = under(scale, x[j], top)
        return
    for j in range(BLOCK):
        z[j] = -<double>INFINITY
    for j in range(m):
        z[j] = under(scale, x[j], top)


cdef Py_ssize_t fill_room(double scale, const real *x, Py_ssize_t n, real top, double *room) noexcept nogil:
    """The blocks that have anything above the first threshold, as z; how many elements, or -1 if there is no room."""
    cdef Py_ssize_t filled = 0
    cdef Py_ssize_t i, j
    cdef real least = <real>(-1.000001 / scale)         # with room for roundings
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
        fill_block(scale, x + i, n - i, top, room + filled)
        filled += BLOCK
    return filled


cdef double tau_of(int kind, double scale, const real *x, Py_ssize_t n, real top, double *low) noexcept nogil:
    """tau, and what its rounding lost."""
    cdef double room[ROOM]
    cdef Found found
    cdef Exact sums
    cdef const double *rows[4]
    cdef double t[8]
    cdef double searching = 1
    cdef Py_ssize_t filled = fill_room(scale, x, n, top, room)
    cdef Py_ssize_t i, j, steps
    for j in range(8):
        t[j] = -1
    for j in range(4):
        rows[j] = room + 8 * j
    for steps in range(MOST_STEPS):
        clear_found(&found, 1)
        if filled >= 0:
            add_above(kind == ENTMAX, rows, filled // BLOCK, t, CHAINS, &found, 0)
        else:
            for i in range(0, n, 32):
                fill_block(scale, x + i, n - i, top, room)
                add_above(kind == ENTMAX, rows, 1, t, CHAINS, &found, 0)
        newton_steps(kind, &found, 1, t, &searching)
        for j in range(1, 8):
            t[j] = t[0]
        if searching == 0:
            break
    low[0] = 0
    if real is double:
        clear_exact(&sums, 1)
        if filled >= 0:
            add_exactly_above(kind, room, filled // CHAINS, CHAINS, t, CHAINS, &sums, 0)
        else:
            for i in range(0, n, 32):
                fill_block(scale, x + i, n - i, top, room)
                add_exactly_above(kind, room, BLOCK // CHAINS, CHAINS, t, CHAINS, &sums, 0)
        last_parts(kind, &sums, 1, low)
    return t[0]


cdef void sparse_along(int kind, double temperature, int order, const real *x, const real *g, real *out, Py_ssize_t n,
                       Py_ssize_t rows) noexcept nogil:
    """Rows one after another; out may be x, and g where x holds the values."""
    cdef real x_room[BLOCK]
    cdef real g_room[BLOCK]
    cdef real made[BLOCK]
    cdef real top[LINE]
    cdef double w[BLOCK]
    cdef double given[BLOCK]
    cdef double tau[LINE]
    cdef double low[LINE]
    cdef double share[LINE]
    cdef double mean[LINE]
    cdef double mean_low[LINE]
    cdef double count[LINE]
    cdef Exact sums
    cdef bint by_value = order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE
    cdef bint with_g = order == PRODUCT or order == PRODUCT_BY_VALUE
    cdef int form = form_of(kind, order)
    cdef double scale = 1 if by_value else scale_of(kind, temperature)
    cdef double factor = factor_of(order, <double>1, temperature)
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t r, i, j, m, turn
    cdef int found
    for j in range(LINE):
        share[j], mean[j], mean_low[j], count[j] = 0, 0, 0, 0
        top[j], tau[j], low[j] = <real>0, 0, 0
    for r in range(rows):
        if not by_value:
            top[0] = maximum_or_nan(x, n)
            tau[0] = tau_of(kind, scale, x, n, top[0], low)
            for j in range(1, LINE):
                top[j], tau[j], low[j] = top[0], tau[0], low[0]
        clear_exact(&sums, 1)
        for turn in range(1 if order == VALUE else 0, 2):       # sums first
            if turn == 1 and order != VALUE:
                sums_of_rows(&sums, 1, share, mean, mean_low)
                for j in range(LINE):
                    share[j], mean[j], mean_low[j], count[j] = share[0], mean[0], mean_low[0], sums.count[0]
            for i in range(0, n, 32):
                m = min(<Py_ssize_t>BLOCK, n - i)
                a, b = x + i, g
                if m < BLOCK:
                    for j in range(BLOCK):
                        x_room[j] = x[i + j] if j < m else <real>0
                        g_room[j] = g[i + j] if with_g and j < m else <real>0
                    a = x_room
                shares(form, scale, a, top, tau, low, w)
                for j in range(m, BLOCK):
                    w[j] = 0
                if with_g:
                    b = g + i if m == BLOCK else g_room
                    looked_at(b, w, given)
                if turn == 0:
                    found = 0
                    for j in range(BLOCK):
                        found |= w[j] != 0
                    if found:
                        add_weights(w, given if with_g else NULL, BLOCK // CHAINS, CHAINS, CHAINS, &sums, 0)
                else:
                    results(kind, order, factor, w, given, share, count, mean, mean_low, made)
                    memcpy(out + i, made, m * sizeof(real))
        x += n
        out += n
        if with_g:
            g += n


# Across rows, one in each SIMD lane, as softmax_across.pxi has them.

cdef void fill_across(double scale, const real *x, Py_ssize_t step, const real *tops, Py_ssize_t n, Py_ssize_t lanes,
                      Py_ssize_t width, double *z) noexcept nogil:
    """z of up to BLOCK elements of all rows."""
    cdef real x_room[BLOCK * WIDTH]
    cdef Py_ssize_t a_step, at, i, c
    cdef const real *a = staged(x, step, n, lanes, width, x_room, &a_step)
    for at in range(0, lanes, 32):
        for i in range(n):
            for c in range(at, at + 32):
                z[i * lanes + c] = under(scale, a[i * a_step + c], tops[c])


cdef void taus_of(int kind, double scale, const real *x, Py_ssize_t step, const real *tops, Py_ssize_t n, Py_ssize_t lanes,
                  Py_ssize_t width, double *t, double *low) noexcept nogil:
    cdef double z[BLOCK * WIDTH]
    cdef double nothing[WIDTH]
    cdef double searching[WIDTH]
    cdef const double *rows[4]
    cdef Found found
    cdef Exact sums
    cdef Py_ssize_t i, j, k, c, m, steps
    for c in range(lanes):
        t[c], low[c], searching[c], nothing[c] = -1, 0, 1, -<double>INFINITY
    for steps in range(MOST_STEPS):
        clear_found(&found, lanes)
        for i in range(0, n, 32):
            m = min(<Py_ssize_t>BLOCK, n - i)
            if n > BLOCK or steps == 0:
                fill_across(scale, x + i * step, step, tops, m, lanes, width, z)
            for j in range(min(<Py_ssize_t>CHAINS, m)):
                for k in range(4):
                    rows[k] = nothing
                    if j + k * CHAINS < m:
                        rows[k] = z + (j + k * CHAINS) * lanes
                add_above(kind == ENTMAX, rows, 1, t, lanes, &found, j * lanes)
        if newton_steps(kind, &found, lanes, t, searching) == 0:
            break
    if real is float:
        return
    clear_exact(&sums, lanes)
    for i in range(0, n, 32):
        m = min(<Py_ssize_t>BLOCK, n - i)
        if n > BLOCK:
            fill_across(scale, x + i * step, step, tops, m, lanes, width, z)
        for j in range(m):
            add_exactly_above(kind, z + j * lanes, 1, 0, t, lanes, &sums, (j & 7) * lanes)
    last_parts(kind, &sums, lanes, low)


cdef void sparse_across(int kind, double temperature, int order, const real *x, const real *g, real *out, Py_ssize_t n,
                        Py_ssize_t step, Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    """`width` rows, up to `lanes`, with the same bits as `sparse_along`."""
    cdef real x_room[BLOCK * WIDTH]
    cdef real g_room[BLOCK * WIDTH]
    cdef real made[WIDTH]
    cdef real tops[WIDTH]
    cdef real bad[WIDTH]
    cdef double tau[WIDTH]
    cdef double low[WIDTH]
    cdef double w[WIDTH]
    cdef double given[WIDTH]
    cdef double share[WIDTH]
    cdef double mean[WIDTH]
    cdef double mean_low[WIDTH]
    cdef Exact sums
    cdef bint by_value = order == FIRST_BY_VALUE or order == PRODUCT_BY_VALUE
    cdef bint with_g = order == PRODUCT or order == PRODUCT_BY_VALUE
    cdef int form = form_of(kind, order)
    cdef double scale = 1 if by_value else scale_of(kind, temperature)
    cdef double factor = factor_of(order, <double>1, temperature)
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t i, j, c, m, turn, a_step, b_step
    for c in range(lanes):
        tops[c] = <real>0 if by_value else -<real>INFINITY
        bad[c] = <real>0
        tau[c], low[c], share[c], mean[c], mean_low[c] = 0, 0, 0, 0, 0
    if not by_value:
        for i in range(0, n, 32):
            m = min(<Py_ssize_t>BLOCK, n - i)
            a = staged(x + i * step, step, m, lanes, width, x_room, &a_step)
            maxima(a, a_step, <real>1, m, lanes, tops)
            for j in range(m):
                for c in range(lanes):
                    bad[c] = bad[c] if a[j * a_step + c] == a[j * a_step + c] else a[j * a_step + c]
        for c in range(lanes):
            tops[c] = tops[c] if bad[c] == bad[c] else bad[c]
        taus_of(kind, scale, x, step, tops, n, lanes, width, tau, low)
    clear_exact(&sums, lanes)
    for turn in range(1 if order == VALUE else 0, 2):           # sums first
        if turn == 1 and order != VALUE:
            sums_of_rows(&sums, lanes, share, mean, mean_low)
        for i in range(0, n, 32):
            m = min(<Py_ssize_t>BLOCK, n - i)
            a = staged(x + i * step, step, m, lanes, width, x_room, &a_step)
            b, b_step = a, a_step
            if with_g:
                b = staged(g + i * step, step, m, lanes, width, g_room, &b_step)
            for j in range(m):
                shares(form, scale, a + j * a_step, tops, tau, low, w)
                if with_g:
                    looked_at(b + j * b_step, w, given)
                if turn == 0:
                    add_weights(w, given if with_g else NULL, 1, 0, lanes, &sums, (j & 7) * lanes)
                else:
                    results(kind, order, factor, w, given, share, sums.count, mean, mean_low, made)
                    put(made, out + (i + j) * step, width)
