# cython: cdivision=True
"""Quotients of polynomials whose coefficients are given: f, f' and f'' side by side.

P(x)/Q(x), P = a0 + a1 x + ... + a5 x^5, Q = 1 + |B|, B = b1 x + ... + b4 x^4; h = (a0, ..., a5, b1, ..., b4). B has
the degree n, from 1 to 4, and P n + 1 at most. Where B is 0 |B| has the slope 0. From |x| = 16 on it is x G(z),
z = 1/x, G the quotient of the same coefficients in reverse, with z^n in place of 1, and |B|'s sign turned where n is
odd and z negative: nothing overflows, and f'' = z^3 G''(z), whose terms cancel at infinity as they stand.

Next to the zeros of P, f' and f'' single lanes would lose their digits: floats are computed in `wide`, doubles as sums
of two.
"""
from fastnn.core.vecmath cimport (INFINITY, absolute, at_least, at_most, fma, lane, product_low, real, rest_of, wide,
                                  with_sign)

cdef enum:
    FAR = 16


# What a formula reads: the coefficients, those in reverse, and numbers that tell n, as gcc vectorises no choice by it:
# z^n is z times `lead` times `rest`
cdef enum:
    REVERSED = 10
    LEAD = 20
    REST = 22
    DEGREE = 25
    PAIRS = 26          # n (n - 1)/2
    EVEN = 27
    ODD = 28
    LAST = 29           # of P, the coefficient of x^(n + 1)
    NUMBERS = 30


cdef inline void laid_out(const real *h, real *numbers) noexcept nogil:
    cdef int i, n = 4
    while n > 1 and h[5 + n] == <real>0:
        n -= 1
    for i in range(NUMBERS):
        numbers[i] = h[i] if i < REVERSED else <real>0
    for i in range(n + 2):
        numbers[REVERSED + i] = h[n + 1 - i]
    for i in range(n):
        numbers[REVERSED + 6 + i] = h[5 + n - i]
    numbers[LEAD + (n > 1)] = 1
    numbers[REST + (n - 2 if n > 2 else 0)] = 1
    numbers[DEGREE], numbers[PAIRS], numbers[EVEN + n % 2], numbers[LAST] = n, n * (n - 1) // 2, 1, h[n + 1]


cdef inline lane either(bint reverse, lane a, lane b) noexcept nogil:
    """Both are read: a choice of addresses is no vector's."""
    return b if reverse else a


cdef inline void in_order(bint reverse, const lane *h, lane *c) noexcept nogil:
    """a0 to a5. Written out, as a loop stays one at -O2."""
    c[0] = either(reverse, h[0], h[REVERSED])
    c[1] = either(reverse, h[1], h[REVERSED + 1])
    c[2] = either(reverse, h[2], h[REVERSED + 2])
    c[3] = either(reverse, h[3], h[REVERSED + 3])
    c[4] = either(reverse, h[4], h[REVERSED + 4])
    c[5] = either(reverse, h[5], h[REVERSED + 5])


cdef inline lane lead(lane z, const lane *h) noexcept nogil:
    """z, or 1 where n is 1: z^(n - 1) is lead times rest."""
    return fma(h[LEAD + 1], z, h[LEAD])


cdef inline lane rest(lane z, const lane *h) noexcept nogil:
    return fma(fma(h[REST + 2], z, h[REST + 1]), z, h[REST])


cdef inline lane sign(lane x) noexcept nogil:
    cdef lane y = with_sign(<lane>1, x)
    return <lane>0 if x == <lane>0 else y


cdef inline lane side_of_power(lane z, const lane *h) noexcept nogil:
    """The sign of z^n."""
    return fma(h[ODD], with_sign(<lane>1, z), h[EVEN])


# In wide

cdef inline wide quotient(int order, wide z, bint far, const wide *h, wide *first, wide *second) noexcept nogil:
    """P/Q at z, of coefficients in reverse if `far`, and as many derivatives in z as `order` says."""
    cdef wide c[6]
    cdef wide e[5]
    in_order(far, h, c)
    e[0] = either(far, <wide>0, h[REVERSED + 6])
    e[1] = either(far, h[6], h[REVERSED + 7])
    e[2] = either(far, h[7], h[REVERSED + 8])
    e[3] = either(far, h[8], h[REVERSED + 9])
    e[4] = either(far, h[9], <wide>0)
    cdef wide p = fma(fma(fma(fma(fma(c[5], z, c[4]), z, c[3]), z, c[2]), z, c[1]), z, c[0])
    cdef wide b = fma(fma(fma(fma(e[4], z, e[3]), z, e[2]), z, e[1]), z, e[0])
    cdef wide power_rest = rest(z, h)
    cdef wide power_slope = lead(z, h) * power_rest
    cdef wide power = power_slope * z
    cdef wide turn = side_of_power(z, h) if far else <wide>1
    cdef wide r = <wide>1 / ((power if far else <wide>1) + turn * absolute(b))
    cdef wide value = p * r
    if order == 0:
        return value
    cdef wide side = turn * sign(b)
    cdef wide p_slope = fma(fma(fma(<wide>5 * c[5], z, <wide>4 * c[4]), z, <wide>3 * c[3]), z, <wide>2 * c[2])
    p_slope = fma(p_slope, z, c[1])
    cdef wide b_slope = fma(fma(fma(<wide>4 * e[4], z, <wide>3 * e[3]), z, <wide>2 * e[2]), z, e[1])
    power_slope = h[DEGREE] * power_slope
    cdef wide q_slope = fma(side, b_slope, power_slope if far else <wide>0)
    first[0] = fma(-value, q_slope, p_slope) * r
    if order == 1:
        return value
    cdef wide p_bend = fma(fma(fma(<wide>20 * c[5], z, <wide>12 * c[4]), z, <wide>6 * c[3]), z, <wide>2 * c[2])
    cdef wide b_bend = fma(fma(<wide>12 * e[4], z, <wide>6 * e[3]), z, <wide>2 * e[2])
    power_rest = <wide>2 * h[PAIRS] * power_rest
    cdef wide q_bend = fma(side, b_bend, power_rest if far else <wide>0)
    second[0] = fma(-value, q_bend, fma(<wide>-2 * first[0], q_slope, p_bend)) * r
    return value


cdef inline void kept_in_wide(const float *h, wide *kept) noexcept nogil:
    """Ten, without a loop, which stays one at -O2."""
    kept[0], kept[1], kept[2], kept[3], kept[4] = <wide>h[0], <wide>h[1], <wide>h[2], <wide>h[3], <wide>h[4]
    kept[5], kept[6], kept[7], kept[8], kept[9] = <wide>h[5], <wide>h[6], <wide>h[7], <wide>h[8], <wide>h[9]


cdef inline wide held(wide x) noexcept nogil:
    """x, held where x^5 is in the range, beyond that of float: f may have a limit at infinity."""
    cdef wide most = <wide>1.6069380442589903e60            # 2^200
    return at_most(at_least(x, -most), most)


# In double: u[0] + u[1]

cdef inline void add_product(double *u, const double *a, const double *b) noexcept nogil:
    """u + a b."""
    cdef double product = fma(a[0], b[0], <double>0)        # with a 0, lest it is fused with the sum
    cdef double total = u[0] + product
    cdef double own = total - product
    u[1] = u[1] + (fma(a[0], b[1], a[1] * b[0]) + (product_low(a[0], b[0], product)
                                                   + ((u[0] - own) + (product - (total - own)))))
    u[0] = total


cdef inline void horner_step(double *u, const double *z, const double *c) noexcept nogil:
    """u z + c."""
    cdef double next[2]
    next[0], next[1] = c[0], c[1]
    add_product(next, u, z)
    u[0], u[1] = next[0], next[1]


cdef inline void add_coefficient(int order, double c, const double *z, double *u) noexcept nogil:
    """A step of Horner's for a value, a slope and half of a second derivative: u, u + 2 and u + 4."""
    cdef double coefficient[2]
    if order > 1:
        horner_step(u + 4, z, u + 2)
    if order > 0:
        horner_step(u + 2, z, u)
    coefficient[0], coefficient[1] = c, 0
    horner_step(u, z, coefficient)


cdef inline void polynomial(int order, int degree, const double *c, const double *z, double *u) noexcept nogil:
    """Of the coefficients c, 4 or 6. Written out: gcc neither unrolls so long a loop nor vectorises one around it."""
    u[0], u[1], u[2], u[3], u[4], u[5] = c[degree], 0, 0, 0, 0, 0
    if degree == 5:
        add_coefficient(order, c[4], z, u)
        add_coefficient(order, c[3], z, u)
    add_coefficient(order, c[2], z, u)
    add_coefficient(order, c[1], z, u)
    add_coefficient(order, c[0], z, u)


cdef inline void choose(bint first, double factor, const double *a, const double *b, double *u) noexcept nogil:
    cdef double high = a[0], low = a[1], other = b[0], other_low = b[1]
    u[0] = factor * (high if first else other)
    u[1] = factor * (low if first else other_low)


cdef inline void divide(double *u, const double *d, double r) noexcept nogil:
    """u/d, given r, 1/d."""
    cdef double y = u[0] * r
    u[1] = r * ((rest_of(-y, d[0], u[0]) + u[1]) - y * d[1])
    u[0] = y


cdef inline void take_product(double *u, const double *a, const double *b) noexcept nogil:
    """u - a b."""
    cdef double against[2]
    against[0], against[1] = -a[0], -a[1]
    add_product(u, against, b)


cdef inline void exact_quotient(int order, double x, bint far, const double *h, double *p) noexcept nogil:
    """P/Q at x or, of coefficients in reverse, at 1/x, its derivative and half of the second: p, p + 2 and p + 4."""
    cdef double c[6]
    cdef double e[4]
    cdef double g[6]
    cdef double q[6]
    cdef double z[2]
    cdef double times[2]
    cdef double one[2]
    cdef double a[2]
    cdef double b[2]
    cdef double power_lead[2]
    cdef double power_rest[2]
    cdef double r, side, turn
    z[0], z[1] = (1.0 / x if far else x), 0
    in_order(far, h, c)
    e[0] = either(far, h[6], h[REVERSED + 6])
    e[1] = either(far, h[7], h[REVERSED + 7])
    e[2] = either(far, h[8], h[REVERSED + 8])
    e[3] = either(far, h[9], h[REVERSED + 9])
    polynomial(order, 5, c, z, p)
    polynomial(order, 3, e, z, g)                           # B/z, which does not vanish next to 0, or B z^n
    side = side_of_power(z[0], h)
    turn = sign(z[0])
    side = sign(g[0]) * (side if far else turn)
    times[0], times[1], one[0], one[1] = side * z[0], 0, 1, 0
    # Q = 1 + z g, or g + z^n, with the sign of B; z^n is rounded, as z is
    power_lead[0], power_lead[1] = lead(z[0], h), 0
    power_rest[0], power_rest[1] = rest(z[0], h), 0
    a[0], a[1] = z[0] * power_lead[0], 0
    choose(far, 1, a, times, a)
    choose(far, 1, power_rest, g, b)
    q[0], q[1] = side * g[0], side * g[1]
    choose(far, 1, q, one, q)
    add_product(q, a, b)
    r = 1.0 / q[0]
    divide(p, q, r)
    if order == 0:
        return
    a[0], a[1] = h[DEGREE] * power_rest[0], 0
    choose(far, 1, a, times, a)
    choose(far, 1, power_lead, g + 2, b)
    choose(far, side, g + 2, g, q + 2)
    add_product(q + 2, a, b)
    take_product(p + 2, p, q + 2)
    divide(p + 2, q, r)
    if order == 1:
        return
    a[0], a[1] = h[PAIRS] * power_rest[0], 0
    choose(far, 1, a, times, a)
    choose(far, 1, one, g + 4, b)
    choose(far, side, g + 4, g + 2, q + 4)
    add_product(q + 4, a, b)
    take_product(p + 4, p + 2, q + 2)
    take_product(p + 4, p, q + 4)
    divide(p + 4, q, r)


cdef inline real pau(real x, const real *h) noexcept nogil:
    cdef wide kept[NUMBERS]
    cdef wide first, second
    cdef double p[6]
    cdef double bound
    if real is float:
        kept_in_wide(h, kept)
        return <float>quotient(0, held(<wide>x), False, kept, &first, &second)
    else:
        bound = 1.7976931348623157e308 if h[LAST] == 0 else <double>INFINITY    # infinity times 0 is no limit
        x = at_most(at_least(x, -bound), bound)
        exact_quotient(0, x, absolute(x) > FAR, h, p)
        return x * (p[0] + p[1]) if absolute(x) > FAR else p[0] + p[1]


cdef inline real pau_d1(real x, const real *h) noexcept nogil:
    cdef wide kept[NUMBERS]
    cdef wide first, second
    cdef double p[6]
    cdef double bound
    if real is float:
        kept_in_wide(h, kept)
        quotient(1, held(<wide>x), False, kept, &first, &second)
        return <float>first
    else:
        exact_quotient(1, x, absolute(x) > FAR, h, p)
        # both are computed from the same: a product of one side alone would be a branch
        p[2] = p[2] + p[3]
        bound = p[0] - p[2] / x
        return bound if absolute(x) > FAR else p[2]


cdef inline real pau_d2(real x, const real *h) noexcept nogil:
    cdef wide kept[NUMBERS]
    cdef wide first, second, z
    cdef double p[6]
    cdef double r
    if real is float:
        kept_in_wide(h, kept)
        kept_in_wide(h + REVERSED, kept + REVERSED)
        kept_in_wide(h + LEAD, kept + LEAD)
        z = <wide>1 / <wide>x if absolute(x) > FAR else <wide>x
        quotient(2, z, absolute(x) > FAR, kept, &first, &second)
        first = second * z * z * z
        return <float>(first if absolute(x) > FAR else second)
    else:
        exact_quotient(2, x, absolute(x) > FAR, h, p)
        p[4] = p[4] + p[5]
        r = 1.0 / x
        r = (p[4] * r) * r * r
        return 2 * (r if absolute(x) > FAR else p[4])
