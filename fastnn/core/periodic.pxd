# cython: cdivision=True
"""Activations of sines: f, f' and f'' of each, side by side.

An angle is reduced by a multiple of pi held in three parts, which is exact enough up to `reach`; loops over these
formulas are vectorised. Where an argument of a block lies beyond, those are computed again one by one (by the bits of
2/pi in angles.h), so that the whole line is exact. An element has the same bits among any others.
"""
from libc.stdint cimport int32_t, int64_t

from fastnn.core.kernels cimport BOTH, FIRST, PRODUCT, VALUE
from fastnn.core.loops cimport MAP_STEP, formula, map_orders
from fastnn.core.vecmath cimport (HAS_FMA, INFINITY, NAN, absolute, at_least, at_most, fma, lane, product_low, real,
                                  rest_of, wide)

cdef extern from "angles.h":
    int fastnn_quarter_turns(double m, int e, double *rest, double *low) noexcept nogil
    float fastnn_turned_float(float y, float k) noexcept nogil
    double fastnn_turned_double(double y, double k) noexcept nogil
    double fastnn_one_where_odd(double k) noexcept nogil
    int32_t fastnn_beyond_float(float x, float reach) noexcept nogil
    int64_t fastnn_beyond_double(double x, double reach) noexcept nogil
    const double PI_2 "FASTNN_PI_2"
    const double PI_2_LOW "FASTNN_PI_2_LOW"

cdef extern from "math.h" nogil:
    double ldexp(double x, int e)

ctypedef double (*far_formula)(int order, double x, const double *h) noexcept nogil

cdef enum:
    SINE = 0                # what is asked of half_turn: sin(u), cos(u), sin(u + pi/4)
    COSINE = 2
    BETWEEN = 1
    BLOCK = 1024            # elements that are looked at together for one beyond reach; a multiple of MAP_STEP

cdef inline lane sine_tail(lane w) noexcept nogil:
    """S in sin(r) = r + r^3 S(r^2), |r| <= 1.58: relative error of the sine 2^-25.1 (float), 2^-35.3 (wide), 2^-54.6."""
    cdef lane q
    if lane is float:                       # chosen by the largest error among all floats up to pi/2
        q = <lane>2.6047217e-6
        q = fma(q, w, <lane>-0.00019809128)
        q = fma(q, w, <lane>0.008333048)
        return fma(q, w, <lane>-0.16666657)
    elif lane is wide:
        q = <lane>-2.38886319364488069e-8
        q = fma(q, w, <lane>2.75253692309816149e-6)
        q = fma(q, w, <lane>-0.000198408679263864355)
        q = fma(q, w, <lane>0.00833333110654777866)
        return fma(q, w, <lane>-0.166666666261037155)
    q = <lane>-7.98132828862601467e-18
    q = fma(q, w, <lane>2.81020227979581772e-15)
    q = fma(q, w, <lane>-7.64712722981417518e-13)
    q = fma(q, w, <lane>1.60590431954371815e-10)
    q = fma(q, w, <lane>-2.50521083784813924e-8)
    q = fma(q, w, <lane>2.755731922394014e-6)
    q = fma(q, w, <lane>-0.000198412698412696705)
    q = fma(q, w, <lane>0.00833333333333333322)
    return fma(q, w, <lane>-0.166666666666666657)


cdef inline lane turned(lane y, lane k) noexcept nogil:
    if lane is float:
        return fastnn_turned_float(y, k)
    else:
        return fastnn_turned_double(y, k)


cdef inline lane two_sum(lane a, lane b, lane *low) noexcept nogil:
    cdef lane total = a + b
    cdef lane from_b = total - a
    low[0] = (a - (total - from_b)) + (b - from_b)
    return total


cdef inline lane less_turns(lane u, const lane *u_low, lane k, lane *low) noexcept nogil:
    """r in u + u_low = k pi + r, for a k of quarters, u_low NULL for 0; in double `low` is what r lost."""
    cdef lane r, t, rest, lost
    if lane is float:                       # parts that keep -0; only with FMA
        r = fma(k, <lane>-3.141592502593994, u)
        r = fma(k, <lane>-1.5099578831723193e-7, r)
        low[0] = 0
        return fma(k, <lane>-1.078060505991553e-14, r)
    if lane is wide and HAS_FMA:            # the product of two floats is exact
        low[0] = 0
        return fma(k, <lane>-1.2246467991473532e-16, fma(k, <lane>-3.141592653589793, u))
    if HAS_FMA:
        t = fma(k, <lane>-1.2246467991473532e-16, <lane>0)          # with a 0, lest it is fused with the sum
        r = two_sum(fma(k, <lane>-3.141592653589793, u), t, &rest)
        rest = rest + fma(k, <lane>2.9947698097183397e-33, product_low(k, <lane>-1.2246467991473532e-16, t))
    else:                                   # k times the first two parts is exact
        r = two_sum(u - k * <lane>3.1415926534682512, k * <lane>-1.2154201012607932e-10, &rest)
        rest = (rest - k * <lane>4.044532497422333e-21) - k * <lane>1.69568553207378e-31
    if lane is wide:
        low[0] = 0
        return r + rest
    if u_low != NULL:
        r = two_sum(r, u_low[0], &lost)
        rest += lost
    return two_sum(r, rest, low)


cdef inline lane sine(lane r, lane r_low, lane *low) noexcept nogil:
    """sin(r + r_low), |r| up to pi/2, but in float; in double `low` is what its last rounding lost."""
    cdef lane w = r * r
    cdef lane t = fma(r * w, sine_tail(w), r_low)
    cdef lane y = r + t
    low[0] = 0 if lane is wide else (r - y) + t
    return y


cdef inline lane half_turn(int asked, lane u, const lane *u_low, lane *low) noexcept nogil:
    """sin(u + u_low), cos of it, or sin(... + pi/4), for |u| within `reach`; in double `low` is what that lost.

    u is k pi + r, k an integer, or a half or quarter less: the result is sin(r), turned where the integer is odd.
    """
    cdef lane magic = <lane>12582912 if lane is float else <lane>6755399441055744
    cdef lane shift = <lane>-0.25 * <lane>asked
    cdef lane shifted, k, r, w
    if asked == SINE:
        shifted = fma(u, <lane>0.3183098861837907, magic)
        k = shifted - magic
    else:
        shifted = fma(u, <lane>0.3183098861837907, -shift) + magic
        k = (shifted - magic) + shift
    r = less_turns(u, u_low, k, low)
    if lane is float:
        w = r * r
        return turned(fma(fma(w, sine_tail(w), <lane>0), r, r), shifted)
    r = turned(sine(r, low[0], low), shifted)
    low[0] = turned(low[0], shifted)
    return r


cdef inline lane sine_squared(int asked, lane u, const lane *u_low, lane *low) noexcept nogil:
    """sin(u + u_low)^2, or sin(u + u_low + pi/4)^2, in double; `low` is what it lost. Quarter turns lose less."""
    cdef lane shift = <lane>-0.25 * <lane>asked
    cdef lane magic = <lane>6755399441055744
    cdef lane shifted = fma(u, <lane>0.6366197723675814, <lane>-2 * shift) + magic
    cdef lane r = less_turns(u, u_low, fma(<lane>0.5, shifted - magic, shift), low)
    cdef lane s = sine(r, low[0], low)
    cdef lane square = s * s
    cdef lane square_low = turned(rest_of(s, s, -square) + <lane>2 * s * low[0], shifted)
    cdef lane whole = fastnn_one_where_odd(<double>shifted)         # 1 - s^2 there
    square = turned(square, shifted)
    s = whole + square
    low[0] = ((whole - s) + square) + square_low
    return s


cdef inline real reach_of(real like, bint in_float) noexcept nogil:
    """The |u| up to which that is exact enough, of float lanes or others."""
    return <real>131072 if in_float and HAS_FMA else <real>1073741824 if HAS_FMA else <real>524288  # 2^17, 2^30, 2^19


# Beyond reach, in double

cdef inline double far_angle(double m, int e, double m_low, int *quarters, double *low) noexcept nogil:
    """(m + m_low) 2^e, 1/2 and more, as quarter turns, modulo 4, and the rest r + low, |r| up to about pi/4."""
    cdef double v, v_low, lost, way
    cdef double small = m_low
    cdef int more
    quarters[0] = fastnn_quarter_turns(m, e, &v, &v_low)
    cdef double r = fma(v, PI_2, <double>0)                 # with a 0, lest the product is fused with a sum
    cdef double r_low = product_low(v, PI_2, r) + (v * PI_2_LOW + v_low * PI_2)
    if m_low != 0:
        small = ldexp(m_low, e)
        if absolute(small) >= 0.5:
            more = fastnn_quarter_turns(m_low, e, &v, &v_low)
            quarters[0] = (quarters[0] + more) & 3
            small = fma(v, PI_2, <double>0)
            r_low += product_low(v, PI_2, small) + (v * PI_2_LOW + v_low * PI_2)
        r = two_sum(r, small, &lost)
        r_low += lost
        if absolute(r) > 0.7853981633974483:
            way = 1.0 if r > 0 else -1.0
            quarters[0] = (quarters[0] + (1 if r > 0 else 3)) & 3
            r = two_sum(r, -way * PI_2, &lost)
            r_low += lost - way * PI_2_LOW
    v = r + r_low
    low[0] = (r - v) + r_low
    return v


cdef inline double sine_beside(double turn, double r, double r_low, double *low) noexcept nogil:
    """sin(pi/2 turn + r + r_low), for a turn of 1/2, or of 1 and r not above 0."""
    cdef double lost
    cdef double total = two_sum(turn * PI_2, r, &lost)
    return sine(total, lost + (turn * PI_2_LOW + r_low), low)


# sinusoid: sin(x);  f' = cos(x);  f'' = -sin(x)

cdef inline lane held(lane y) noexcept nogil:
    """In double a sine may be rounded beyond 1."""
    return at_most(at_least(y, <lane>-1), <lane>1) if lane is double else y


cdef inline lane sinusoid(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>sinusoid[wide](<wide>x, NULL)
    cdef lane lost
    cdef lane y = held(half_turn(SINE, x, NULL, &lost))
    return x if x == <lane>0 else y


cdef inline lane sinusoid_d1(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>sinusoid_d1[wide](<wide>x, NULL)
    cdef lane lost
    return held(half_turn(COSINE, x, NULL, &lost))


cdef inline lane sinusoid_d2(lane x, const lane *h) noexcept nogil:
    return -sinusoid(x, h)


cdef inline double far_sinusoid(int order, double x, const double *h) noexcept nogil:
    cdef int quarters
    cdef double low, y
    if absolute(x) == <double>INFINITY:
        return <double>NAN
    cdef double r = far_angle(absolute(x), 0, 0, &quarters, &low)
    quarters += order                       # VALUE, FIRST, SECOND: sin(x), sin(x + pi/2), sin(x + pi)
    if quarters & 1:
        y = sine_beside(1, -r, -low, &low) if r > 0 else sine_beside(1, r, low, &low)
    else:
        y = sine(r, low, &low)
    return -y if (quarters & 2 != 0) != (x < 0 and order != FIRST) else y


# snake: x + sin(u)^2/a, u = a x;  f' = 1 + sin(2u) = 2 sin(u + pi/4)^2;  f'' = 2a cos(2u);  h = (a,)

cdef inline lane snake(lane x, const lane *h) noexcept nogil:
    cdef wide kept[1]
    if lane is float:
        kept[0] = <wide>h[0]
        return <float>snake[wide](<wide>x, kept)
    cdef lane a = h[0], inverse = <lane>1 / h[0]
    cdef lane u = a * x
    cdef lane u_low = product_low(a, x, u)
    cdef lane s, low, lost, y
    if lane is wide:
        s = half_turn(SINE, u, &u_low, &low)
        y = fma(s * s, inverse, x)
    else:
        s = sine_squared(SINE, u, &u_low, &low)
        lost = -rest_of(a, inverse, <lane>-1) * inverse                     # of 1/a
        y = fma(s, inverse, x)
        y = y + (rest_of(s, inverse, x - y) + fma(s, lost, low * inverse))
    return x if x == <lane>0 else y


cdef inline lane snake_d1(lane x, const lane *h) noexcept nogil:
    cdef wide kept[1]
    if lane is float:
        kept[0] = <wide>h[0]
        return <float>snake_d1[wide](<wide>x, kept)
    cdef lane u = h[0] * x
    cdef lane u_low = product_low(h[0], x, u)
    cdef lane s, low
    if lane is wide:
        s = half_turn(BETWEEN, u, &u_low, &low)
        return (s + s) * s
    s = sine_squared(BETWEEN, u, &u_low, &low)
    return (s + s) + (low + low)


cdef inline lane snake_d2(lane x, const lane *h) noexcept nogil:
    cdef wide kept[1]
    if lane is float:
        kept[0] = <wide>h[0]
        return <float>snake_d2[wide](<wide>x, kept)
    cdef lane a = h[0] + h[0]
    cdef lane u = a * x
    cdef lane u_low = product_low(a, x, u)
    cdef lane lost
    return a * half_turn(COSINE, u, &u_low, &lost)


cdef inline double far_snake(int order, double x, const double *h) noexcept nogil:
    cdef int quarters
    cdef double a = h[0], low, lost, y
    if absolute(x) == <double>INFINITY:
        return x if order == VALUE else <double>NAN
    cdef double scaled = ldexp(absolute(x), -64)                            # a x may leave the range
    cdef double m = a * scaled
    cdef double r = far_angle(m, 64, product_low(a, scaled, m), &quarters, &low)
    cdef bint odd = quarters & 1
    if order == VALUE:                      # the sine is far below x here
        y = sine_beside(1, -absolute(r), -low if r > 0 else low, &low) if odd else sine(r, low, &low)
        return x + y * y / a
    if x < 0:                               # sin(u + pi/4) of -u
        r, low = -r, -low
    if order == FIRST:                      # the square of the sine of r + pi/4 or, where quarters are odd, of r - pi/4
        y = sine_beside(0.5, -r, -low, &low) if r > 0 else sine_beside(0.5, r, low, &low)
        low = 4 * y * low
        return fma(2 * y, y, low) if odd == (r > 0) else fma(-2 * y, y, 2 - low)
    y = sine_beside(0.5, r, low, &lost) * sine_beside(0.5, -r, -low, &lost)     # half of cos(2r)
    return -4 * a * y if odd else 4 * a * y


# The loops: over all, then over those beyond reach

cdef inline void mend(far_formula far, real reach, int order, const real *x, const real *y, real *out, real *second,
                      Py_ssize_t n, const double *h) noexcept nogil:
    cdef int asked = VALUE if order == BOTH else FIRST if order == PRODUCT else order
    cdef Py_ssize_t i
    while True:
        for i in range(n):
            if absolute(x[i]) > reach:
                out[i] = <real>far(asked, <double>x[i], h) * (y[i] if order == PRODUCT else <real>1)
        if order != BOTH or asked == FIRST:
            return
        asked, out = FIRST, second


cdef inline bint any_beyond(real reach, const real *x, Py_ssize_t n) noexcept nogil:
    cdef int32_t beyond = 0
    cdef int64_t beyond_in_double = 0
    cdef Py_ssize_t i
    for i in range(n & -MAP_STEP):
        if real is float:
            beyond |= fastnn_beyond_float(x[i], reach)
        else:
            beyond_in_double |= fastnn_beyond_double(x[i], reach)
    return beyond < 0 or beyond_in_double < 0


cdef inline void map_orders_with_far(formula f, formula d1, formula d2, far_formula far, real reach, int order,
                                     const real *x, const real *y, real *out, real *second, Py_ssize_t n,
                                     const real *h) noexcept nogil:
    """As `map_orders`, of formulas that hold up to |x| = reach, with `far` beyond."""
    cdef Py_ssize_t start = 0, count
    cdef double kept[2]
    kept[0], kept[1] = <double>h[0], <double>h[1]
    while start < n:
        count = min(n - start, <Py_ssize_t>BLOCK)
        map_orders(f, d1, d2, order, x + start, y + start if y != NULL else NULL, out + start,
                   second + start if second != NULL else NULL, count, h)
        if any_beyond(reach, x + start, count):
            mend(far, reach, order, x + start, y + start if y != NULL else NULL, out + start,
                 second + start if second != NULL else NULL, count, kept)
        start += count
