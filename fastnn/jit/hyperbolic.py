"""Hyperbolic functions and their inverses."""
import math

from fastnn.jit.exponential import exp_parts, falling, log1p_with
from fastnn.jit.lanes import Lanes, Value

INF, NAN = math.inf, math.nan


def tanh(m: Lanes, x: Value) -> Value:
    """In float lanes a polynomial up to 0.6, then 1 - 2/(exp(2x) + 1), whose rounding counts half by then."""
    a = m.fabs(x)
    if m.kind == "float":
        shifted, p = exp_parts(m, m.at_most(a + a, 40.0))
        t = m.power_of_two(shifted)
        far = 1.0 - 2.0/(m.fma(t, p, t) + 1.0)
        w = a*a
        near = m.fma(a*w, m.polynomial("tanh_tail", w), a)
        return m.copysign(m.select(a > 0.6, far, near), x)
    # -e/(2 + e), e = expm1(-2x); in double with what the rounding of e and 2 + e lost. 1/d is needed within 4%
    shifted, p = exp_parts(m, m.at_least(a*-2.0, -60.0))
    t = m.power_of_two(shifted)
    tp = t*p
    e, e_low = m.fast_sum(t - 1.0, tp)
    d = e + 2.0
    y = -e/d
    if m.kind == "double":
        d_low = (2.0 - d) + e
        y = y - m.fma(y, e_low + d_low, e_low)*(1.457 - d*0.5)
    return m.copysign(y, x)


def tanh_log1p_exp(m: Lanes, x: Value) -> Value:
    """tanh(log1p(w)), w = exp(x): w (w + 2)/(w (w + 2) + 2), divided by w^2 for x > 0. In double or wide lanes."""
    t, p, unit = falling(m, m.at_least(-m.fabs(x), m.by(None, -200.0, -760.0)))
    e = m.fma(t, p, t)*unit
    below = x < 0.0
    near_one = m.fma(e, 2.0, 1.0)
    y = m.select(below, e + 2.0, near_one)/m.select(below, m.fma(e, e + 2.0, 2.0), m.fma(e*2.0, e, near_one))
    return m.select(below, m.fma(y, p, y)*t*unit, y)


def half_exp(m: Lanes, a: Value) -> Value:
    """exp(a)/2 for a >= 0, as long as cosh is finite."""
    if m.kind == "wide":
        shifted, p = exp_parts(m, m.at_most(a, 200.0))
        t = m.power_of_two(shifted)*0.5
        return m.fma(t, p, t)
    shifted, p = exp_parts(m, m.at_most(a, 712.0))
    t = m.number((m.bits(shifted) << m.digits) - (65 << m.digits))
    return m.fma(t, p, t)*2.0**64


def sinh(m: Lanes, x: Value) -> Value:
    a = m.fabs(x)
    w = a*a
    near = m.fma(a*w, m.polynomial("sinh_tail", w), a)
    h = half_exp(m, a)
    return m.copysign(m.select(a > 1.0, h - 0.25/h, near), x)


def cosh(m: Lanes, x: Value) -> Value:
    h = half_exp(m, m.fabs(x))
    return h + 0.25/h


def asinh(m: Lanes, x: Value) -> Value:
    """log1p(a + a^2/(1 + sqrt(1 + a^2))); log(2a) where the square might overflow."""
    a = m.fabs(x)
    far = a > 2.0**30
    b = m.select(far, 1.0, a)
    w = b*b
    root = m.sqrt(w + 1.0)
    z, low = m.fast_sum(b, w/(root + 1.0))
    y = log1p_with(m, m.select(far, a - 1.0, z), m.select(far, 0.0, low), m.select(far, 1.0, m.constant(0.0)))
    return m.copysign(y, x)


def acosh(m: Lanes, x: Value) -> Value:
    """log1p(t + sqrt(t (t + 2))), t = x - 1."""
    far = x > 2.0**30
    t = m.select(far, 1.0, x - 1.0)
    root = m.sqrt(t*(t + 2.0))
    z, low = m.two_sum(t, root)
    y = log1p_with(m, m.select(far, x - 1.0, z), m.select(far, 0.0, low), m.select(far, 1.0, m.constant(0.0)))
    return m.select(x < 1.0, NAN, y)


def atanh(m: Lanes, x: Value) -> Value:
    """log1p(2a/(1 - a))/2."""
    a = m.fabs(x)
    return m.copysign(log1p_with(m, (a + a)/(1.0 - a))*0.5, x)
