"""Exponentials, logarithms, and what is made of them. `m` is the Lanes that a formula is written with.

The methods are those of fastnn/core/vecmath.pxd, whose functions serve half a line or a bounded range: a formula of a
user's may ask for all of it.
"""
import math

from fastnn.jit.coefficients import COEFFICIENTS
from fastnn.jit.lanes import Lanes, Number, Value

INF, NAN = math.inf, math.nan
LOG2E = 1.4426950408889634


# exp: x = k ln 2 + r with |r| <= ln(2)/2, exp(x) = 2^k (1 + p). k stands in the low bits of `shifted`.

def exp_parts(m: Lanes, x: Value, low: Number = 0.0) -> tuple[Value, Value]:
    """`shifted` and p of x + low; `low` is a small correction. x needs to be clamped."""
    rounding = m.rounding + m.bias
    shifted = m.fma(x, LOG2E, rounding)
    k = shifted - rounding
    if m.kind == "wide":
        r = m.fma(k, -0.6931471805599453, x)
    else:                                   # the high part of ln 2 has so few bits that k times it is exact
        high, rest = m.by((0.693145751953125, 1.42860677e-6), None, (0.6931471803691238, 1.9082149292705877e-10))
        r = m.fma(k, -high, x)
        r = r + m.fma(k, -rest, low) if isinstance(low, Value) else m.fma(k, -rest, r)
    return shifted, m.fma(r*r, m.polynomial("exp_tail", r), r)


def exp_with(m: Lanes, x: Value, low: Number = 0.0) -> Value:
    """exp(x + low), subnormal results rounded once."""
    if m.kind == "wide":
        shifted, p = exp_parts(m, m.at_most(m.at_least(x, -200.0), 200.0), low)
        t = m.power_of_two(shifted)
        return m.fma(t, p, t)
    x = m.at_most(m.at_least(x, m.by(-104.5, None, -746.0)), m.by(89.0, None, 710.0))
    shifted, p = exp_parts(m, x, low)
    return scaled(m, x, shifted, p)


def powers(m: Lanes, x: Value, shifted: Value) -> tuple[Value, Value]:
    """t, unit with 2^k = t unit: unit, by the sign of x, takes from 2^k what may leave the normal range."""
    middle = m.by(64, None, 128) << m.digits
    excess = m.select(x > 0.0, middle, Value(m, m.whole(-middle)))
    return m.number((m.bits(shifted) << m.digits) - excess), m.number(excess + (m.bias << m.digits))


def scaled(m: Lanes, x: Value, shifted: Value, p: Value) -> Value:
    """2^k (1 + p)."""
    t, unit = powers(m, x, shifted)
    return m.fma(t, p, t)*unit


def exp(m: Lanes, x: Value) -> Value:
    return exp_with(m, x)


def expm1_beside_exp(m: Lanes, x: Value) -> Value:
    """expm1 that shares all but its last steps with exp of the same x: 1 + expm1 would lose the digits of a small exp."""
    if m.kind == "wide":
        return expm1(m, x)
    clamped = m.at_most(m.at_least(x, m.by(-104.5, None, -746.0)), m.by(89.0, None, 710.0))
    shifted, p = exp_parts(m, clamped)
    t, unit = powers(m, clamped, shifted)
    one = m.number((2*m.bias << m.digits) - m.bits(unit))           # 1/unit
    tiny = m.fabs(x) < m.by(2.0**-30, None, 2.0**-55)               # t p might vanish
    return m.select(tiny, x, m.fma(t, p, t - one)*unit)


def exp2(m: Lanes, x: Value) -> Value:
    low, high = m.by((-150.5, 129.0), (-300.0, 300.0), (-1076.0, 1025.0))
    x = m.at_most(m.at_least(x, low), high)
    shifted = x + (m.rounding + m.bias)
    r = x - (shifted - (m.rounding + m.bias))
    q = r*0.6931471805599453
    if m.kind != "wide":
        q = m.fma(r, m.by(-1.9046542e-9, None, 2.3190468138462996e-17), q)
    p = m.fma(q*q, m.polynomial("exp_tail", q), q)
    if m.kind == "wide":
        t = m.power_of_two(shifted)
        return m.fma(t, p, t)
    return scaled(m, x, shifted, p)


def expm1(m: Lanes, x: Value) -> Value:
    """2^k p + (2^k - 1) rounds once."""
    low, high = m.by((-40.0, 89.0), (-60.0, 200.0), (-60.0, 710.0))
    clamped = m.at_most(m.at_least(x, low), high)
    shifted, p = exp_parts(m, clamped)
    if m.kind == "wide":
        t = m.power_of_two(shifted)
        return m.copysign(m.fma(t, p, t - 1.0), x)
    excess = m.select(clamped > m.by(60.0, None, 500.0), m.by(64, None, 128) << m.digits, Value(m, m.whole(0)))
    t = m.number((m.bits(shifted) << m.digits) - excess)
    one = m.number((m.bias << m.digits) - excess)
    return m.copysign(m.fma(t, p, t - one)*m.number(excess + (m.bias << m.digits)), x)


# log: x = 2^k m, m from sqrt(1/2) to sqrt(2)

def log_split(m: Lanes, x: Value) -> tuple[Value, Value]:
    """The integer k + bias, and m, of a normal x > 0: subtracting its bits moves the border of the exponent."""
    root, one = m.by((0x3f3504f3, 0x3f800000), *[(0x3fe6a09e667f3bcd, 0x3ff0000000000000)]*2)
    bits = m.bits(x) + (one - root)
    return bits >> m.digits, m.number((bits & (2**m.digits - 1)) + root)


def exponent_number(m: Lanes, biased: Value, shift: Number = 0.0) -> Value:
    """k - shift as a number."""
    magic = m.by(0x4b000000, *[0x4330000000000000]*2)               # 2^digits
    return m.number(biased | magic) - (shift + (2.0**m.digits + m.bias))


def log_any_split(m: Lanes, x: Value) -> tuple[Value, Value]:
    """k, as a number, and m of any x > 0. In `wide` a float32 is normal."""
    if m.kind == "wide":
        k, mantissa = log_split(m, x)
        return exponent_number(m, k), mantissa
    tiny = x < m.by(1.1754943508222875e-38, None, 2.2250738585072014e-308)
    k, mantissa = log_split(m, m.select(tiny, x*2.0**m.digits, x))
    return exponent_number(m, k, m.select(tiny, float(m.digits), 0.0)), mantissa


def log_near_1(m: Lanes, e: Value) -> Value:
    """log(1 + e) for e in [-0.29, 1] as 2 atanh(s), s = e / (2 + e); e - s (...) damps the rounding of s."""
    s = e/(e + 2.0)
    w = s*s
    return m.fma(-s, m.fma(-w, m.polynomial("log1p_tail", w), e), e)


def times_ln2(m: Lanes, k: Value, low: Value) -> Value:
    """k ln 2 + low."""
    if m.kind == "wide":
        return m.fma(k, 0.6931471805599453, low)
    high, rest = m.by((0.693145751953125, 1.42860677e-6), None, (0.6931471803691238, 1.9082149292705877e-10))
    return m.fma(k, high, m.fma(k, rest, low))


def at_edges(m: Lanes, x: Value, result: Value) -> Value:
    """A logarithm's result, with what it is at 0, at infinity, below 0 and of NaN."""
    result = m.select(x < INF, result, x)
    return m.select(x > 0.0, result, m.select(x.equals(0.0), -INF, NAN))


def log(m: Lanes, x: Value) -> Value:
    k, mantissa = log_any_split(m, x)
    return at_edges(m, x, times_ln2(m, k, log_near_1(m, mantissa - 1.0)))


def log2(m: Lanes, x: Value) -> Value:
    k, mantissa = log_any_split(m, x)
    y = log_near_1(m, mantissa - 1.0)
    return at_edges(m, x, k + m.fma(y, LOG2E, y*2.0355273740931033e-17))


def log10(m: Lanes, x: Value) -> Value:
    k, mantissa = log_any_split(m, x)
    y = log_near_1(m, mantissa - 1.0)
    y = m.fma(y, 0.4342944819032518, m.fma(y, 1.098319650216765e-17, k*3.694239077158931e-13))
    return at_edges(m, x, m.fma(k, 0.30102999566361177, y))


def log1p_with(m: Lanes, x: Value, low: Number = 0.0, octaves: Number = 0.0) -> Value:
    """log(2^octaves (1 + x + low)), `low` small. What the sum 1 + x loses is added to its mantissa."""
    u, lost = m.two_sum(m.constant(1.0), x)
    if isinstance(low, Value):
        lost = lost + low
    k, mantissa = log_split(m, u)
    lost = lost*m.number((2*m.bias - k) << m.digits)
    e = (mantissa - 1.0) + m.select(u < 2.0**(m.digits + 2), lost, 0.0)
    k = exponent_number(m, k)
    return at_edges(m, u, times_ln2(m, k + octaves if isinstance(octaves, Value) else k, log_near_1(m, e)))


def log1p(m: Lanes, x: Value) -> Value:
    return m.copysign(log1p_with(m, x), x)


# exp(z) = t (1 + p) for z <= 0, t a power of two, needs no care at the upper end

def falling(m: Lanes, z: Value, low: Number = 0.0) -> tuple[Value, Value, float]:
    """t/unit, p and the constant unit, which keeps t/unit normal where t is not; z is not far below where exp ends."""
    shifted, p = exp_parts(m, z, low)
    middle = m.by(64, 0, 128)
    return m.number((m.bits(shifted) << m.digits) + (middle << m.digits)), p, 2.0**-middle


def _at_exp_end(m: Lanes, z: Value) -> Value:
    return m.at_least(z, m.by(-110.0, -200.0, -760.0))


def expit(m: Lanes, x: Value) -> Value:
    """1/(1 + exp(-x)) in e = exp(-|x|) = t (1 + p), which t is multiplied with last."""
    t, p, unit = falling(m, _at_exp_end(m, -m.fabs(x)))
    t = t*unit
    below = x < 0.0
    if m.kind == "wide":
        e = m.fma(t, p, t)
        return m.select(below, e, 1.0)/(e + 1.0)
    s = t + 1.0
    tp = t*p
    d = s + tp
    low = ((s - d) + tp)*(1.457 - d*0.5)                    # 1/d within 4% on [1, 2]
    q = m.select(below, p, 0.0)
    return (((q - m.fma(low, q, low)) + 1.0)/d)*m.select(below, t, 1.0)


def _log_near_0(m: Lanes, x: Value) -> Value:
    """log(1 + exp(-|x|))."""
    t, p, unit = falling(m, _at_exp_end(m, -m.fabs(x)))
    return log_near_1(m, m.fma(t, p, t)*unit)


def log_expit(m: Lanes, x: Value) -> Value:
    return m.at_most(x, -0.0) - _log_near_0(m, x)


def log1p_exp(m: Lanes, x: Value) -> Value:
    """log1p(exp(x)), infinite where exp(x) is in Python."""
    end = m.by(709.78265380859375, 709.782712893384, 709.782712893384)
    return m.select(x > end, INF, m.at_least(x, 0.0) + _log_near_0(m, x))


# Powers

def power(m: Lanes, x: Value, y: Value) -> Value:
    """exp(y log|x|) with log|x| in two parts, to 2^-64; float32 needs one part."""
    a = m.fabs(x)
    if m.kind == "wide":
        k, mantissa = log_any_split(m, a)
        e = mantissa - 1.0
        s = e/(e + 2.0)
        w = s*s
        tail = m.horner(w, COEFFICIENTS["log1p_tail", "double"])
        high = times_ln2(m, k, m.fma(-s, m.fma(-w, tail, e), e))
        low = None
    else:
        high, low = log_in_two(m, a)
    high = m.select(a.equals(0.0), -INF, m.select(a < INF, high, a))
    z = y*high
    rest: Number = 0.0
    if low is not None:
        rest = m.select(m.fabs(z) < 1000.0, m.fma(y, low, m.product_low(y, high, z)), 0.0)
    size = exp_with(m, z, rest)
    half = y*0.5
    whole, odd = m.floor(y).equals(y), m.floor(half).differs(half)
    size = m.select((m.bits(x) < 0) & whole & odd, -size, size)
    size = m.select((x < 0.0) & (x > -INF) & m.floor(y).differs(y), NAN, size)
    unit = a.equals(1.0) & m.fabs(y).equals(INF)
    return m.select(y.equals(0.0) | x.equals(1.0) | unit, 1.0, size)


def log_in_two(m: Lanes, x: Value) -> tuple[Value, Value]:
    """log(x), 0 < x < infinity, as a sum. 2 atanh(s) = 2 s (1 + w/3 + w^2 Q(w)), w = s^2, all but Q in two parts."""
    k, mantissa = log_any_split(m, x)
    f = mantissa - 1.0
    d, d_low = m.fast_sum(m.constant(2.0), f)
    inverse = m.constant(1.0)/d
    s = f*inverse
    product = s*d
    s_low = (((f - product) - m.product_low(s, d, product)) - s*d_low)*inverse
    w = s*s
    w_low = m.fma(s + s, s_low, m.product_low(s, s, w))
    third = w*0.3333333333333333
    third_low = m.product_low(w, 0.3333333333333333, third) + m.fma(w, 1.850371707708594e-17, w_low*0.3333333333333333)
    e, e_low = m.fast_sum(third, w*w*m.polynomial("atanh_rest", w))
    e_low = e_low + third_low
    g = s*e
    g_low = m.product_low(s, e, g) + m.fma(s, e_low, s_low*e)
    y, y_low = m.fast_sum(s, g)
    y_low = y_low + (g_low + s_low)
    high, low = m.fast_sum(k*0.6931471803691238, y + y)
    low = low + m.fma(k, 1.9082149292705877e-10, y_low + y_low)
    return m.fast_sum(high, low)


def hypot(m: Lanes, x: Value, y: Value) -> Value:
    a, b = m.fabs(x), m.fabs(y)
    large, small = m.select(a < b, b, a), m.select(a < b, a, b)
    if m.kind == "wide":
        length = m.sqrt(m.fma(large, large, small*small))
    else:
        big, tiny = large > 2.0**500, large < 2.0**-500
        scale = m.select(big, 2.0**-600, m.select(tiny, 2.0**600, m.constant(1.0)))
        back = m.select(big, 2.0**600, m.select(tiny, 2.0**-600, m.constant(1.0)))
        large, small = large*scale, small*scale
        length = m.sqrt(m.fma(large, large, small*small))*back
    return m.select(a.equals(INF) | b.equals(INF), INF, length)


def cbrt(m: Lanes, x: Value) -> Value:
    """x = 2^(3q + r) m: a polynomial, one step of Halley's (2^-16 to 2^-49), in double one of Newton's."""
    a = m.fabs(x)
    tiny = a < (0.0 if m.kind == "wide" else 2.2250738585072014e-308)
    bits = m.bits(a if m.kind == "wide" else m.select(tiny, a*2.0**54, a))
    mantissa = m.number((bits & (2**52 - 1)) | (1023 << 52))
    e = exponent_number(m, bits >> 52)
    q = m.floor((e + 0.5)*0.3333333333333333)
    r = e - q*3.0
    one, two = r.equals(1.0), r.equals(2.0)
    c = mantissa*m.select(one, 2.0, m.select(two, 4.0, m.constant(1.0)))
    y = m.horner(mantissa, COEFFICIENTS["cube_root", "double"])*m.select(
        one, 1.259921049894873, m.select(two, 1.5874010519681994, m.constant(1.0)))
    cube = y*y*y
    y = y*(m.fma(c, 2.0, cube)/m.fma(cube, 2.0, c))
    if m.kind == "double":
        y = y - (y*y*y - c)/(y*y*3.0)
        q = m.select(tiny, q - 18.0, q)
    y = y*m.power_of_two(q + (m.rounding + m.bias))
    return m.copysign(m.select((a > 0.0) & (a < INF), y, a), x)
