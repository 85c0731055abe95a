"""Which way the rows of the softmax family are walked, and its loss.

Rows that lie side by side go across, and those so short that turning them round costs less; all others go along.
"""
from fastnn.core.softmax cimport SPARSEMAX, end_loss, log_of_sum, shifted, whole_of, with_largest
from fastnn.core.streaming cimport fastnn_prefetch

cdef enum:
    FEW = 4             # short rows, and half as many as elements, that are worth so many lanes
    SHORT = 50          # doubles of rows that are turned round, of floats twice as many


cdef inline Py_ssize_t most_turned(real like) noexcept nogil:
    return <Py_ssize_t>(SHORT * sizeof(double) // sizeof(real))


cdef inline void turned_back(const real *lanes, real *out, Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    if real is float:
        fastnn_from_lanes_float(lanes, WIDTH, out, n, count)
    else:
        fastnn_from_lanes_double(lanes, WIDTH, out, n, count)


cdef void rows(int kind, real sign, double temperature, int order, const real *x, const real *g, real *out,
                      Py_ssize_t n, Py_ssize_t step, Py_ssize_t count) noexcept nogil:
    """`count` rows of n elements: one after another where step is 1, else side by side, the elements `step` apart."""
    cdef double x_room[SHORT * WIDTH]
    cdef double g_room[SHORT * WIDTH]
    cdef real *x_lanes = <real *>x_room
    cdef real *g_lanes = <real *>g_room
    cdef Py_ssize_t most = most_turned(sign)
    cdef bint turning
    cdef Py_ssize_t few
    cdef const real *a
    cdef const real *b
    cdef real *to
    cdef Py_ssize_t r, width
    cdef Py_ssize_t i = 0
    if order == FIRST_BY_VALUE and step == 1 and kind < SPARSEMAX:
        n, count = n * count, 1             # of each element by itself
    if kind >= SPARSEMAX or order == PRODUCT_BY_VALUE:
        most = GROUP                        # less work an element
    elif kind == SOFTMAX and order == VALUE:
        most = min(most, <Py_ssize_t>(2 * GROUP))
    turning = step == 1 and n <= most
    few = max(<Py_ssize_t>FEW, n // 2)
    if turning and count < WIDTH:           # later ones find numbers there
        memset(x_lanes, 0, n * WIDTH * sizeof(real))
        memset(g_lanes, 0, n * WIDTH * sizeof(real))
    while i < count:
        width = count - i
        if step == 1 and (not turning or width < few):
            width = min(width, most_together(n, x[0]))
            if kind >= SPARSEMAX:
                sparse_along(kind, temperature, order, x + i * n, g + i * n if g != NULL else NULL, out + i * n, n, width)
            else:
                along(kind, sign, temperature, order, x + i * n, g + i * n if g != NULL else NULL, out + i * n, n, width)
            i += width
            continue
        width = min(width, <Py_ssize_t>WIDTH)
        a, b, to = x + i, g + i, out + i
        if not turning and n <= GROUP and width == WIDTH and i + 2 * WIDTH <= count:
            for r in range(n):                  # more streams than the processor follows by itself
                fastnn_prefetch(x + r * step + i + WIDTH, WIDTH * sizeof(real))
                if g != NULL:
                    fastnn_prefetch(g + r * step + i + WIDTH, WIDTH * sizeof(real))
        if turning:
            turned(x + i * n, n, width, x_lanes, WIDTH)
            if g != NULL:
                turned(g + i * n, n, width, g_lanes, WIDTH)
            a, b, to = x_lanes, g_lanes, x_lanes
        if kind >= SPARSEMAX:
            sparse_across(kind, temperature, order, a, b, to, n, WIDTH if turning else step, WIDTH,
                          WIDTH if turning else width)
        else:
            across(kind, sign, temperature, order, a, b, to, n, WIDTH if turning else step, WIDTH,
                   WIDTH if turning else width)
        if turning:
            turned_back(x_lanes, out + i * n, n, width)
        i += width


cdef void one_hot_rows(const real *x, real *out, Py_ssize_t n, Py_ssize_t step, Py_ssize_t count) noexcept nogil:
    """1 at the first of the largest elements of each row, else 0; a row with NaN is NaN. out may be x."""
    cdef real tops[WIDTH]
    cdef real first[WIDTH]
    cdef real made
    cdef Py_ssize_t r, i, c, width
    cdef Py_ssize_t apart = n if step == 1 else 1
    for r in range(0, count, 32):
        width = min(<Py_ssize_t>WIDTH, count - r)
        for c in range(width):
            tops[c] = x[(r + c) * apart]
            first[c] = <real>1
        for i in range(n):
            for c in range(width):
                made = x[i * step + (r + c) * apart]
                tops[c] = tops[c] if made <= tops[c] or tops[c] != tops[c] else made
        for i in range(n):
            for c in range(width):
                made = first[c] if x[i * step + (r + c) * apart] == tops[c] else <real>0
                out[i * step + (r + c) * apart] = tops[c] if tops[c] != tops[c] else made
                first[c] = first[c] - made


# The loss.

cdef inline double loss_by_target(const real *x, const real *t, real top, double log_sum, Py_ssize_t n) noexcept nogil:
    cdef double loss = 0
    cdef double lost = 0
    cdef Py_ssize_t i
    for i in range(n):
        if t[i] != <real>0:
            add(&loss, &lost, <double>t[i] * (log_sum - <double>shifted(x[i], top)), top)
    return whole_of(loss, lost, &lost)


cdef void logs_of(Py_ssize_t rows, const double *sums, const double *lost, const double *ones, const real *tops,
                  double *log_sum) noexcept nogil:
    """Of 16 or 32 rows."""
    cdef double made[32]
    cdef double rest, low
    cdef Py_ssize_t r
    for r in range(rows & -16):
        with_largest(sums[r], lost[r], ones[r], &rest, &low, tops[r])
        made[r] = log_of_sum(rest)
    memcpy(log_sum, made, rows * sizeof(double))


cdef void losses_along(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses,
                              Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    """-sum(t log softmax(x)) and, unless grad is NULL, its gradient, softmax(x) sum(t) - t, for up to PHASED rows.

    The target is the row t, or 1 at a label where t is NULL.
    """
    cdef double sums[LANES * PHASED]
    cdef double lost[LANES * PHASED]
    cdef double ones[PHASED]
    cdef double log_sum[PHASED]
    cdef real tops[PHASED]
    cdef real k[6 * PHASED]
    cdef real c[PHASED]
    cdef bint at_largest
    cdef real *to
    cdef Py_ssize_t r, label
    for r in range(PHASED):
        c[r], k[2 * PHASED + r], k[5 * PHASED + r] = <real>0, <real>0, <real>1
    maxima_along(x, <real>1, n, count, tops)
    for r in range(count):
        sum_exponentials(True, x + r * n, <real>1, tops[r], <const real *>NULL, grad + r * n, grad != NULL, n,
                         sums + LANES * r, lost + LANES * r, ones + r)
    in_one(sums, lost, ones, count, tops[0])
    logs_of(PHASED, sums, lost, ones, tops, log_sum)
    for r in range(count):
        if t == NULL:
            losses[r] = log_sum[r] - <double>shifted(x[r * n + labels[r]], tops[r])
        else:
            losses[r] = loss_by_target(x + r * n, t + r * n, tops[r], log_sum[r], n)
    if grad == NULL:
        return
    constants_of(LOG_SOFTMAX, PRODUCT, PHASED, PHASED, sums, lost, ones, tops, k)
    if t != NULL:
        totals(ALONE, t, t, c, n, count, sums, lost)
    for r in range(count):
        to = grad + r * n
        if t == NULL:
            label = labels[r]
            at_largest = is_one(to[label])
            finish_shares(to, &k[r], n)
            to[label] = -k[2 * PHASED + r] if at_largest else to[label] - <real>1
        else:
            in_two(sums[r], lost[r], &k[3 * PHASED + r], &k[4 * PHASED + r])
            finish(end_loss[real], to, t + r * n, to, &k[r], n)


cdef void losses_across(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses,
                        Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    """The same, with the same bits, of up to WIDTH short rows, which are turned round."""
    cdef double sums[LANES * WIDTH]
    cdef double lost[LANES * WIDTH]
    cdef double ones[WIDTH]
    cdef double log_sum[WIDTH]
    cdef double x_room[SHORT * WIDTH]
    cdef double e_room[SHORT * WIDTH]
    cdef real *lanes = <real *>x_room
    cdef real *e = <real *>e_room
    cdef real room[GROUP * WIDTH]
    cdef real *some = room
    cdef real k[6 * WIDTH]
    cdef real tops[WIDTH]
    cdef Py_ssize_t r, at
    if n <= GROUP:
        some = e
    if count < WIDTH:
        memset(lanes, 0, n * WIDTH * sizeof(real))
    for r in range(WIDTH):
        tops[r], k[2 * WIDTH + r], k[5 * WIDTH + r] = -<real>INFINITY, <real>0, <real>1
    turned(x, n, count, lanes, WIDTH)
    maxima(lanes, WIDTH, <real>1, n, WIDTH, tops)
    sum_exponentials_across(True, lanes, WIDTH, <real>1, tops, <const real *>NULL, e, True, n, WIDTH, WIDTH,
                            some, sums, lost, ones)
    logs_of(WIDTH, sums, lost, ones, tops, log_sum)
    for r in range(count):
        if t == NULL:
            losses[r] = log_sum[r] - <double>shifted(x[r * n + labels[r]], tops[r])
        else:
            losses[r] = loss_by_target(x + r * n, t + r * n, tops[r], log_sum[r], n)
    if grad == NULL:
        return
    constants_of(LOG_SOFTMAX, PRODUCT, WIDTH, WIDTH, sums, lost, ones, tops, k)
    if t == NULL:
        shares_across(e, WIDTH, WIDTH, lanes, WIDTH, k, n, WIDTH, WIDTH)
        for r in range(count):
            at = labels[r] * WIDTH + r
            lanes[at] = -k[2 * WIDTH + r] if is_one(e[at]) else lanes[at] - <real>1
    else:
        turned(t, n, count, lanes, WIDTH)
        total_across(ALONE, lanes, WIDTH, lanes, WIDTH, tops, n, WIDTH, WIDTH, sums, lost, ones)
        for r in range(WIDTH):
            in_two(sums[r], lost[r], &k[3 * WIDTH + r], &k[4 * WIDTH + r])
        finish_across(end_loss[real], e, WIDTH, WIDTH, lanes, WIDTH, lanes, WIDTH, k, n, WIDTH, WIDTH)
    turned_back(lanes, grad, n, count)


cdef void losses_of_rows(const real *x, const real *t, const Py_ssize_t *labels, real *grad, double *losses,
                                Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    cdef const real *target
    cdef const Py_ssize_t *label
    cdef real *to
    cdef Py_ssize_t width
    cdef Py_ssize_t i = 0
    while i < count:
        target = t + i * n if t != NULL else NULL
        label = labels + i if labels != NULL else NULL
        to = grad + i * n if grad != NULL else NULL
        if n <= most_turned(x[0]) and count - i >= max(<Py_ssize_t>FEW, n // 2):
            width = min(<Py_ssize_t>WIDTH, count - i)
            losses_across(x + i * n, target, label, to, losses + i, n, width)
        else:
            width = min(most_together(n, x[0]), count - i)
            losses_along(x + i * n, target, label, to, losses + i, n, width)
        i += width
