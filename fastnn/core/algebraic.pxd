# cython: cdivision=True
"""Smooth activations of roots and quotients: f, f' and f'' of each, side by side.

Squares are taken of arguments that are bounded where they would overflow: the 1 beside them is long lost there. Where
roundings add up to more than the bounds, what they lost is computed with fused multiply-adds and put right at the end:
half the time of `wide` lanes, whose quotients and roots take four times as long. Without FMA floats are computed so.
"""
from fastnn.core.vecmath cimport absolute, at_least, at_most, fma, HAS_FMA, lane, square_root, wide, with_sign


cdef inline lane largest(lane like) noexcept nogil:
    return <lane>3.40282347e38 if lane is float else <lane>1.7976931348623157e308


cdef inline lane root_of_square_and(lane a, lane b) noexcept nogil:
    """sqrt(a^2 + b), a >= 0, NaN kept."""
    cdef lane most = <lane>1152921504606846976 if lane is float else <lane>3.273390607896142e150           # 2^60, 2^500
    cdef lane bounded = at_most(a, most)
    return at_least(a, square_root(fma(bounded, bounded, b)))


cdef inline lane root_of_sum(lane a, lane b, lane *lost) noexcept nogil:
    """s near sqrt(a^2 + b), and what s^2 lacks of a^2 + b."""
    cdef lane u = fma(a, a, b)
    cdef lane s = square_root(u)
    lost[0] = fma(-s, s, u) + fma(a, a, b - u)
    return s


# squareplus: (x + s)/2, s = sqrt(x^2 + b);  f' = y/s;  f'' = b/(2 s^3);  by value s = y + b/(4y); h = (b,)
# Below 0 it is b/(2 (s + a)), a = |x|, and f' is that by s; f'(a) = 1 - f'(-a).

cdef inline lane squareplus(lane x, const lane *h) noexcept nogil:
    cdef wide kept[1]
    if lane is float and not HAS_FMA:
        kept[0] = <wide>h[0]
        return <float>squareplus[wide](<wide>x, kept)
    cdef lane b = h[0], a = absolute(x)
    cdef lane most = <lane>1152921504606846976 if lane is float else <lane>3.273390607896142e150           # 2^60, 2^500
    cdef bint far = a > most
    cdef lane lost
    cdef lane s = root_of_sum(a, b, &lost)
    s = a if far else s
    cdef lane half = <lane>0.5 * a + <lane>0.5 * s
    cdef lane quarter = <lane>0.25 * b
    cdef lane low = quarter / half
    cdef lane r = low * (<lane>1 / quarter)                                 # 1/half
    # what half lost: s its square, the sum its low end; 1/s is needed within a tenth, and s/half is between 1 and 2
    cdef lane rest = <lane>0.5 * ((s - (half + half)) + a) + <lane>0.25 * lost * r * fma(-s, r * <lane>0.5, <lane>1.457)
    rest = <lane>0 if far else rest
    cdef lane residual = fma(-low, half, quarter) - low * rest
    low = fma(<lane>0 if far else residual, r, low)
    return low if x < <lane>0 else half + rest


cdef inline lane squareplus_d1(lane x, const lane *h) noexcept nogil:
    cdef wide kept[1]
    if lane is float and not HAS_FMA:
        kept[0] = <wide>h[0]
        return <float>squareplus_d1[wide](<wide>x, kept)
    cdef lane b = h[0]
    cdef lane most = <lane>1.2676506002282294e30 if lane is float else <lane>1.0715086071862673e301    # 2^100, 2^1000
    cdef lane down = <lane>9.094947017729282e-13 if lane is float else <lane>1.2446030555722283e-60    # 2^-40, 2^-199
    cdef lane a = at_most(absolute(x), most)
    cdef lane scaled = a * down
    cdef bint far = scaled > <lane>1
    cdef lane lost
    cdef lane s = root_of_sum(a, b, &lost)
    cdef lane half = <lane>0.5 * a + <lane>0.5 * s
    cdef lane quarter = <lane>0.25 * b
    cdef lane bottom = half * s
    cdef lane top = quarter * (down * down) if far else quarter
    cdef lane left = top / (scaled * scaled if far else bottom)
    cdef lane r = left * (<lane>1 / quarter)                                # 1/(half s)
    cdef lane rest = <lane>0.5 * lost * (half * r)                          # of s
    rest = fma(half, rest, <lane>0.5 * s * (((s - (half + half)) + a) + rest))
    rest = fma(-left, bottom, quarter) - left * (fma(half, s, -bottom) + rest)
    left = left if far else fma(rest, r, left)
    return left if x < <lane>0 else <lane>1 - left


cdef inline lane squareplus_d2(lane x, const lane *h) noexcept nogil:
    cdef lane r = <lane>1 / root_of_square_and(absolute(x), h[0])
    return r * r * (<lane>0.5 * h[0] * r)


cdef inline lane squareplus_by_value(lane y, const lane *h) noexcept nogil:
    cdef lane z = at_most(y, largest(y))
    return z / (z + <lane>0.25 * h[0] / z)


# ISRU: x/sqrt(u), u = 1 + alpha x^2, alpha by the sign of x;  f' = 1/(u sqrt(u));  f'' = -3 alpha x/(u^2 sqrt(u))
# h = (alpha below 0, alpha above): the same twice, or 0 above, where it is x

cdef inline lane isru_alpha(lane x, const lane *h) noexcept nogil:
    cdef lane below = h[0], above = h[1]                # both are read: a choice of addresses is no vector's
    return below if x < <lane>0 else above


cdef inline lane isru_bound(lane x, const lane *h) noexcept nogil:
    """x, held where f has arrived and its derivatives have vanished."""
    cdef lane most = <lane>2251799813685248 if lane is float else <lane>2.582249878086909e120          # 2^51, 2^400
    cdef lane bound = most / square_root(h[0])
    return at_most(at_least(x, -bound), bound)


cdef inline lane isru_root(lane b, lane alpha, lane *lost) noexcept nogil:
    """r near 1/sqrt(u), which is r (1 + lost)."""
    cdef lane p = alpha * b
    cdef lane u = fma(p, b, <lane>1)
    cdef lane s = square_root(u)
    cdef lane r = <lane>1 / s
    cdef lane u_low = fma(fma(alpha, b, -p), b, fma(p, b, <lane>1 - u) + fma(-s, s, u))
    lost[0] = fma(u_low * r, <lane>-0.5 * r, fma(-r, s, <lane>1))
    return r


cdef inline lane isru(lane x, const lane *h) noexcept nogil:
    cdef wide kept[2]
    if lane is float and not HAS_FMA:
        kept[0] = <wide>h[0]
        kept[1] = <wide>h[1]
        return <float>isru[wide](<wide>x, kept)
    cdef lane alpha = isru_alpha(x, h)
    cdef lane b = isru_bound(x, h)
    cdef lane lost
    cdef lane y = b * isru_root(b, alpha, &lost)
    return x if alpha == <lane>0 else fma(y, lost, y)


cdef inline lane isru_d1(lane x, const lane *h) noexcept nogil:
    cdef wide kept[2]
    if lane is float and not HAS_FMA:
        kept[0] = <wide>h[0]
        kept[1] = <wide>h[1]
        return <float>isru_d1[wide](<wide>x, kept)
    cdef lane lost
    cdef lane r = isru_root(isru_bound(x, h), isru_alpha(x, h), &lost)
    return r * r * fma(r, <lane>3 * lost, r)


cdef inline lane isru_d2(lane x, const lane *h) noexcept nogil:
    cdef lane alpha = isru_alpha(x, h)
    cdef lane b = isru_bound(x, h)
    cdef lane r = <lane>1 / square_root(fma(alpha * b, b, <lane>1))
    return <lane>-3 * (alpha * b) * (r * r) * (r * r) * r


# Dish: x (1 + x/s)/2 = max(x, 0) - a/(2D), a = |x|, s = sqrt(x^2 + 1), D = s (s + a) = 1 + a^2 + a s
# (Thinc's, "Daniel's Swish-like activation");  f'(-a) = (1 - a s)/(2 s^2 D), f'(a) = 1 - f'(-a)
# f'' = (2 - a^2)/(2 s^5).  From 2^30 on f(-a) is -1/(4a), from 2^14 (2^30) on f'(-a) its derivative.

cdef inline lane dish(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>dish[wide](<wide>x, NULL)
    cdef lane a = absolute(x)
    cdef bint far = a > <lane>1073741824
    cdef lane u = fma(a, a, <lane>1)
    cdef lane lost
    cdef lane s = root_of_sum(a, <lane>1, &lost)
    cdef lane bottom = fma(a, s, u)
    cdef lane r = <lane>1 / (a if far else bottom)
    cdef lane u_low = fma(a, a, <lane>1 - u)
    cdef lane rest = fma(<lane>0.5 * (a * (s + a) * r), lost, fma(a, s, u - bottom) + u_low)
    rest = fma(-r, bottom, <lane>1) - r * rest
    rest = <lane>0 if far else rest
    cdef lane y = (<lane>0.25 if far else <lane>0.5 * a) * r
    return at_least(x, <lane>0) - fma(y, rest, y)


cdef inline lane dish_d1(lane x, const lane *h) noexcept nogil:
    if lane is float and not HAS_FMA:
        return <float>dish_d1[wide](<wide>x, NULL)
    cdef lane a = at_most(absolute(x), largest(x))
    cdef lane most = <lane>16384 if lane is float else <lane>1073741824
    cdef bint far = a > most
    cdef lane u = fma(a, a, <lane>1)
    cdef lane lost
    cdef lane s = root_of_sum(a, <lane>1, &lost)
    cdef lane sum = fma(a, s, u)
    cdef lane bottom = u * sum
    bottom = a if far else bottom
    cdef lane r = <lane>1 / bottom
    cdef lane residual = fma(-r, bottom, <lane>1)
    cdef lane top = -r if far else fma(-a, s, <lane>1)
    cdef lane u_low = fma(a, a, <lane>1 - u)
    cdef lane half = <lane>0.5 * r
    cdef lane turned = half * (sum - u) * (lost * sum)                      # what a s lost
    cdef lane rest = fma(u, fma(a, s, u - sum) + turned, u_low * (sum + u) + fma(u, sum, -bottom))
    cdef lane left = top * (half * <lane>0.5 if far else half)
    rest = residual + residual if far else fma(-r, rest, residual)
    left = fma(left, rest, left) - (<lane>0 if far else turned * half)
    return left if x < <lane>0 else <lane>1 - left


cdef inline lane dish_d2(lane x, const lane *h) noexcept nogil:
    cdef lane b = at_most(absolute(x), <lane>1152921504606846976 if lane is float else <lane>2.582249878086909e120)
    cdef lane u = fma(b, b, <lane>1)
    cdef lane w = <lane>1 / u
    return fma(-b, b, <lane>2) * w * (w * <lane>0.5 / square_root(u))


# arctan: z + z^3 A(z^2) below tan(pi/8), turned by pi/4 or pi/2 beyond;  f' = 1/(1 + x^2);  f'' = -2x/(1 + x^2)^2

cdef inline lane arctan_tail(lane w) noexcept nogil:
    """A(w): relative error 2^-28.8 (float), 2^-58.8 (double)."""
    cdef lane q
    if lane is float:
        q = <lane>-0.06083097309
        q = fma(q, w, <lane>0.1059586853)
        q = fma(q, w, <lane>-0.1424383223)
        q = fma(q, w, <lane>0.1999848932)
        return fma(q, w, <lane>-0.3333331645)
    q = <lane>-0.0179199212373147287
    q = fma(q, w, <lane>0.0380762117491672686)
    q = fma(q, w, <lane>-0.0503976432646780284)
    q = fma(q, w, <lane>0.0584799132885694961)
    q = fma(q, w, <lane>-0.0666311802944051651)
    q = fma(q, w, <lane>0.0769206143581653151)
    q = fma(q, w, <lane>-0.0909089782547765901)
    q = fma(q, w, <lane>0.111111107857688268)
    q = fma(q, w, <lane>-0.14285714280241385)
    q = fma(q, w, <lane>0.199999999999540129)
    return fma(q, w, <lane>-0.333333333333331983)


cdef inline lane arctan(lane x, const lane *h) noexcept nogil:
    cdef lane a = absolute(x)
    cdef bint middle = a > <lane>0.41421356237309503
    cdef bint steep = a > <lane>2.414213562373095
    cdef lane top = <lane>-1 if steep else (a - <lane>1 if middle else a)
    cdef lane bottom = a if steep else (a + <lane>1 if middle else <lane>1)
    cdef lane turn = <lane>1.5707963267948966 if steep else (<lane>0.7853981633974483 if middle else <lane>0)
    cdef lane low = <lane>-2.7827534e-8 if lane is float else <lane>3.8981718325193755e-17    # what turn has lost
    cdef lane z = top / bottom
    cdef lane w = z * z
    return with_sign(turn + (z + fma(turn, low, z * w * arctan_tail(w))), x)


cdef inline lane arctan_d1(lane x, const lane *h) noexcept nogil:
    cdef lane a = absolute(x)
    cdef bint far = a > <lane>1152921504606846976
    cdef lane r = <lane>1 / (a if far else fma(a, a, <lane>1))
    return r * r if far else r


cdef inline lane arctan_d2(lane x, const lane *h) noexcept nogil:
    cdef lane most = <lane>1152921504606846976 if lane is float else <lane>2.582249878086909e120           # 2^60, 2^400
    cdef lane b = at_most(at_least(x, -most), most)
    cdef lane r = <lane>1 / fma(b, b, <lane>1)
    return <lane>-2 * b * r * r
