"""The softmax family across rows that lie side by side, as the columns of a matrix: one row in each SIMD lane.

What lies in x[i * step + c] is element i of row c. There are as many rows as lanes, WIDTH, or fewer, which are staged.
Loops go over WIDTH lanes: gcc unrolls one over 16 or less before it could vectorise it, which takes twice the time. Sums
are taken in the order of softmax_along.pxi, so that the bits are the same.
"""

cdef enum:
    WIDTH = 32          # rows at once
    EXPONENTIALS = 8    # besides the sums of softmax_along.pxi
    BUT_LARGEST


cdef const real *staged(const real *x, Py_ssize_t step, Py_ssize_t n, Py_ssize_t lanes, Py_ssize_t width, real *room,
                        Py_ssize_t *room_step) noexcept nogil:
    """Up to GROUP elements of all rows with every lane filled."""
    cdef Py_ssize_t i, at
    cdef int c, most
    if width == lanes:
        room_step[0] = step
        return x
    for at in range(0, lanes, 32):
        most = <int>(width - at)
        for i in range(n):                  # by masked loads, where there are any
            for c in range(32):
                room[i * lanes + at + c] = x[i * step + at + c] if c < most else <real>0
    room_step[0] = lanes
    return room


cdef inline void put(const real *row, real *out, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t c
    if width == WIDTH:
        for c in range(WIDTH):
            out[c] = row[c]
    else:
        for c in range(width):
            out[c] = row[c]


cdef inline void maxima(const real *x, Py_ssize_t step, real sign, Py_ssize_t n, Py_ssize_t lanes,
                        real *tops) noexcept nogil:
    cdef real held[32]
    cdef Py_ssize_t i, at, c
    cdef real value
    for at in range(0, lanes, 32):
        for c in range(32):
            held[c] = tops[at + c]
        for i in range(n):
            for c in range(32):
                value = sign * x[i * step + at + c]
                held[c] = value if value > held[c] else held[c]
        for c in range(32):
            tops[at + c] = held[c]


cdef void exponentials_across(const real *x, Py_ssize_t step, real sign, const real *tops, const real *heat, Py_ssize_t n,
                              Py_ssize_t lanes, real *e) noexcept nogil:
    cdef real lowest[WIDTH]
    cdef real heat_c = heat[0] if heat != NULL else <real>1
    cdef real heat_low = heat[1] if heat != NULL else <real>0
    cdef bint far = heat != NULL
    cdef Py_ssize_t i, at, c
    for c in range(lanes):
        lowest[c] = lowest_of(tops[c])
    for c in range(lanes):
        far |= lowest[c] == -<real>INFINITY
    for at in range(0, lanes, 32):
        if far:
            for i in range(n):
                for c in range(32):
                    e[i * lanes + at + c] = exp_tempered(sign * x[i * step + at + c], tops[at + c], heat_c, heat_low)
        else:
            for i in range(n):
                for c in range(32):
                    e[i * lanes + at + c] = exp_near(sign * x[i * step + at + c], tops[at + c], lowest[at + c])


cdef inline void add_one_by_one_across(factor f, factor h, bint plain, bint counted, const real *v,
                                       Py_ssize_t v_step, const real *g, Py_ssize_t g_step, const real *c,
                                       Py_ssize_t n, Py_ssize_t lanes, double *sums, double *lost,
                                       double *ones) noexcept nogil:
    cdef double s[32]
    cdef double low[32]
    cdef real many[32]
    cdef Py_ssize_t i, j, at
    for at in range(0, lanes, 32):
        for j in range(32):
            s[j] = 0
            low[j] = 0
            many[j] = <real>0
        for i in range(n):
            for j in range(32):
                add(&s[j], &low[j], term(f, h, plain, v[i * v_step + at + j], g[i * g_step + at + j], c[at + j]), c[0])
        if counted:
            for i in range(n):
                for j in range(32):
                    many[j] = many[j] + (<real>1 if is_one(v[i * v_step + at + j]) else <real>0)
        for j in range(32):
            sums[at + j] = s[j]
            lost[at + j] = low[j]
            if counted:
                ones[at + j] = <double>many[j]


cdef inline void add_group_across(factor f, factor h, bint plain, bint counted, const real *v, Py_ssize_t v_step,
                                  const real *g, Py_ssize_t g_step, const real *c, Py_ssize_t first, Py_ssize_t lanes,
                                  double *sums, double *lost, double *ones) noexcept nogil:
    """As `add_groups`, of a group without its `first` elements, which count as zeros: v begins with the next."""
    cdef real zeros[WIDTH]
    cdef const real *vs[4]
    cdef const real *gs[4]
    cdef double t
    cdef real many
    cdef Py_ssize_t i, j, k, at
    if first:
        memset(zeros, 0, lanes * sizeof(real))
    for j in range(LANES):
        if j + 3 * LANES < first:
            continue
        for i in range(4):
            vs[i] = v + (j + i * LANES - first) * v_step if j + i * LANES >= first else zeros
            gs[i] = g + (j + i * LANES - first) * g_step if j + i * LANES >= first else zeros
        for at in range(0, lanes, 32):
            for k in range(at, at + 32):
                t = (two_terms(f, h, plain, vs[0][k], gs[0][k], vs[1][k], gs[1][k], c[k])
                     + two_terms(f, h, plain, vs[2][k], gs[2][k], vs[3][k], gs[3][k], c[k]))
                add(&sums[j * lanes + k], &lost[j * lanes + k], t, c[0])
            if counted:
                for k in range(at, at + 32):
                    many = (((<real>1 if is_one(vs[0][k]) else <real>0) + (<real>1 if is_one(vs[1][k]) else <real>0))
                            + ((<real>1 if is_one(vs[2][k]) else <real>0) + (<real>1 if is_one(vs[3][k]) else <real>0)))
                    ones[k] = ones[k] + <double>many


cdef void add_across(int what, bint one_by_one, const real *v, Py_ssize_t v_step, const real *g, Py_ssize_t g_step,
                     const real *c, Py_ssize_t n, Py_ssize_t lanes, double *sums, double *lost,
                     double *ones) noexcept nogil:
    """The terms of up to GROUP elements."""
    if one_by_one:
        if what == EXPONENTIALS or what == ALONE:
            add_one_by_one_across(itself[real], one[real], False, False, g, g_step, g, g_step, c, n, lanes, sums, lost, ones)
        elif what == BUT_LARGEST:
            add_one_by_one_across(but_largest[real], one[real], False, True, v, v_step, v, v_step, c, n, lanes, sums, lost,
                                  ones)
        elif what == PRODUCTS:
            add_one_by_one_across(itself[real], itself[real], True, False, v, v_step, g, g_step, c, n, lanes, sums, lost,
                                  ones)
        else:
            add_one_by_one_across(itself[real], less[real], False, False, v, v_step, g, g_step, c, n, lanes, sums, lost,
                                  ones)
    elif what == EXPONENTIALS or what == ALONE:
        add_group_across(itself[real], one[real], False, False, g, g_step, g, g_step, c, GROUP - n, lanes, sums, lost, ones)
    elif what == BUT_LARGEST:
        add_group_across(but_largest[real], one[real], False, True, v, v_step, v, v_step, c, GROUP - n, lanes, sums, lost,
                         ones)
    elif what == PRODUCTS:
        add_group_across(itself[real], itself[real], True, False, v, v_step, g, g_step, c, GROUP - n, lanes, sums, lost,
                         ones)
    else:
        add_group_across(itself[real], less[real], False, False, v, v_step, g, g_step, c, GROUP - n, lanes, sums, lost,
                         ones)


cdef inline void clear_across(double *sums, double *lost, double *ones, Py_ssize_t lanes) noexcept nogil:
    memset(sums, 0, LANES * lanes * sizeof(double))
    memset(lost, 0, LANES * lanes * sizeof(double))
    memset(ones, 0, lanes * sizeof(double))


cdef void total_across(int what, const real *v, Py_ssize_t v_step, const real *g, Py_ssize_t g_step, const real *c,
                       Py_ssize_t n, Py_ssize_t lanes, Py_ssize_t width, double *sums, double *lost,
                       double *ones) noexcept nogil:
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
        b, b_step = a, a_step
        if g != v:
            b = staged(g + i * g_step, g_step, m, lanes, width, g_room, &b_step)
        add_across(what, n < ONE_BY_ONE, a, a_step, b, b_step, c, m, lanes, sums, lost, ones)
        i += m
    if n >= ONE_BY_ONE:
        in_one_across(sums, lost, lanes, <real>0)


cdef void sum_exponentials_across(bint counted, const real *x, Py_ssize_t step, real sign, const real *tops,
                                  const real *heat, real *e, bint kept, Py_ssize_t n, Py_ssize_t lanes, Py_ssize_t width,
                                  real *room, double *sums, double *lost, double *ones) noexcept nogil:
    """As `sum_exponentials`; those of up to GROUP elements stay in `room`."""
    cdef real x_room[GROUP * WIDTH]
    cdef const real *a
    cdef Py_ssize_t a_step, j, m
    cdef Py_ssize_t i = 0
    if n >= ONE_BY_ONE:
        clear_across(sums, lost, ones, lanes)
    while i < n:
        m = min(<Py_ssize_t>GROUP, n - i)
        a = staged(x + i * step, step, m, lanes, width, x_room, &a_step)
        exponentials_across(a, a_step, sign, tops, heat, m, lanes, room)
        add_across(BUT_LARGEST if counted else EXPONENTIALS, n < ONE_BY_ONE, room, lanes, room, lanes, tops, m, lanes, sums,
                   lost, ones)
        if kept and n > GROUP:
            for j in range(m):
                put(room + j * lanes, e + (i + j) * step, width)
        i += m
    if n >= ONE_BY_ONE:
        in_one_across(sums, lost, lanes, <real>0)


cdef inline void finish_across(ending f, const real *v, Py_ssize_t v_step, Py_ssize_t v_width, const real *g,
                               Py_ssize_t g_step, real *out, Py_ssize_t step, const real *k, Py_ssize_t n,
                               Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    """out = f(v, g), where out may be either, and v may have other lanes filled, too."""
    cdef real v_room[GROUP * WIDTH]
    cdef real g_room[GROUP * WIDTH]
    cdef real made[WIDTH]
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t j, c, m, a_step, b_step
    cdef Py_ssize_t i = 0
    while i < n:
        m = min(<Py_ssize_t>GROUP, n - i)
        a = staged(v + i * v_step, v_step, m, lanes, v_width, v_room, &a_step)
        b, b_step = a, a_step
        if g != v:
            b = staged(g + i * g_step, g_step, m, lanes, width, g_room, &b_step)
        for j in range(m):
            for c in range(WIDTH):
                made[c] = f(a[j * a_step + c], b[j * b_step + c], k[c], k[WIDTH + c], k[2 * WIDTH + c],
                            k[3 * WIDTH + c], k[4 * WIDTH + c], k[5 * WIDTH + c])
            put(made, out + (i + j) * step, width)
        i += m


cdef void shares_across(const real *e, Py_ssize_t e_step, Py_ssize_t e_width, real *out, Py_ssize_t step, const real *k,
                        Py_ssize_t n, Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    finish_across(end_share[real], e, e_step, e_width, e, e_step, out, step, k, n, lanes, width)


cdef void across(int kind, real sign, double temperature, int order, const real *x, const real *g, real *out,
                 Py_ssize_t n, Py_ssize_t step, Py_ssize_t lanes, Py_ssize_t width) noexcept nogil:
    """`width` rows, up to `lanes`, with the same bits as `along`."""
    cdef double sums[LANES * WIDTH]
    cdef double lost[LANES * WIDTH]
    cdef double ones[WIDTH]
    cdef real e_room[GROUP * WIDTH]
    cdef real g_room[GROUP * WIDTH]
    cdef real k[6 * WIDTH]
    cdef real[2] degrees
    cdef const real *heat = heat_of(temperature, degrees)
    cdef real tops[WIDTH]
    cdef real c[WIDTH]
    cdef real given
    cdef real *e = out
    cdef const real *a
    cdef const real *b
    cdef Py_ssize_t i, j, m, r, a_step, b_step
    cdef Py_ssize_t e_step = step
    cdef Py_ssize_t e_width = width
    cdef bint of_value = order == VALUE and kind == SOFTMAX
    for j in range(lanes):
        k[2 * WIDTH + j] = <real>2 * degrees[0]         # of log-softmax's values
        k[5 * WIDTH + j] = factor_of(order, sign, temperature)
        tops[j] = -<real>INFINITY
        ones[j] = 1
    if order == FIRST_BY_VALUE:
        if kind == LOG_SOFTMAX:
            finish_across(end_log_d1_by_value[real], x, step, width, x, step, out, step, k, n, lanes, width)
        else:
            finish_across(end_d1_by_value[real], x, step, width, x, step, out, step, k, n, lanes, width)
        return
    if order == PRODUCT_BY_VALUE:
        total_across(ALONE if kind == LOG_SOFTMAX else PRODUCTS, g if kind == LOG_SOFTMAX else x, step, g, step, tops, n,
                     lanes, width, sums, lost, ones)
        for j in range(lanes):
            in_two(sums[j], lost[j], &k[2 * WIDTH + j], &k[3 * WIDTH + j])
        if kind == LOG_SOFTMAX:
            finish_across(end_log_product_by_value[real], x, step, width, g, step, out, step, k, n, lanes, width)
        else:
            finish_across(end_product_by_value[real], x, step, width, g, step, out, step, k, n, lanes, width)
        return
    i = 0
    while i < n:
        m = min(<Py_ssize_t>GROUP, n - i)
        a = staged(x + i * step, step, m, lanes, width, e_room, &a_step)
        maxima(a, a_step, sign, m, lanes, tops)
        i += m
    sum_exponentials_across(not of_value, x, step, sign, tops, heat, out, of_value or order != VALUE, n, lanes, width,
                            e_room, sums, lost, ones)
    if n <= GROUP:
        e = e_room
        e_step = lanes
        e_width = lanes
    constants_of(kind, order, lanes, WIDTH, sums, lost, ones, tops, k)
    if kind == LOG_SOFTMAX and order == VALUE:
        finish_across(end_log_softmax[real], x, step, width, x, step, out, step, k, n, lanes, width)
    elif kind == LOG_SOFTMAX and order == FIRST:
        finish_across(end_log_softmax_d1[real], e, e_step, e_width, e, e_step, out, step, k, n, lanes, width)
    elif kind == LOG_SOFTMAX and order == PRODUCT:
        total_across(ALONE, g, step, g, step, tops, n, lanes, width, sums, lost, ones)
        for j in range(lanes):
            in_two(sums[j], lost[j], &k[3 * WIDTH + j], &k[4 * WIDTH + j])
        finish_across(end_log_softmax_product[real], e, e_step, e_width, g, step, out, step, k, n, lanes, width)
    elif order == VALUE:
        shares_across(e, e_step, e_width, out, step, k, n, lanes, width)
    elif order == FIRST or kind == LOG_SOFTMAX:
        for j in range(lanes):
            k[5 * WIDTH + j] = -k[5 * WIDTH + j] if kind == LOG_SOFTMAX else k[5 * WIDTH + j]
        finish_across(end_softmax_d1[real], e, e_step, e_width, e, e_step, out, step, k, n, lanes, width)
    elif order == SECOND:
        finish_across(end_softmax_d2[real], e, e_step, e_width, e, e_step, out, step, k, n, lanes, width)
    else:
        for j in range(lanes):
            c[j] = tops[j]
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
        total_across(CENTERED, e, e_step, g, step, c, n, lanes, width, sums, lost, ones)
        for j in range(lanes):
            center_of(sums[j], lost[j], c[j], k[j], k[WIDTH + j], &k[2 * WIDTH + j], &k[3 * WIDTH + j])
        finish_across(end_softmax_product[real], e, e_step, e_width, g, step, out, step, k, n, lanes, width)
