"""Functions that are exact: roundings, signs, remainders, and the square root, which is rounded once."""
from fastnn.jit.lanes import Lanes, Value


def sqrt(m: Lanes, x: Value) -> Value:
    return m.sqrt(x)


def fabs(m: Lanes, x: Value) -> Value:
    return m.fabs(x)


def floor(m: Lanes, x: Value) -> Value:
    return m.floor(x)


def ceil(m: Lanes, x: Value) -> Value:
    return m.ceil(x)


def trunc(m: Lanes, x: Value) -> Value:
    return m.trunc(x)


def rint(m: Lanes, x: Value) -> Value:
    """Ties go to even."""
    return m.rint(x)


def copysign(m: Lanes, x: Value, y: Value) -> Value:
    return m.copysign(x, y)


def minimum(m: Lanes, x: Value, y: Value) -> Value:
    """NaN if either is."""
    return m.select(y.differs(y) | (y < x), y, x)


def maximum(m: Lanes, x: Value, y: Value) -> Value:
    """NaN if either is."""
    return m.select(y.differs(y) | (y > x), y, x)


def fmod(m: Lanes, x: Value, y: Value) -> Value:
    """The library's, for any quotient: `near_fmod` is the vectorised one, with the same result."""
    return m.remainder(x, y)


def near_fmod(m: Lanes, x: Value, y: Value) -> Value:
    """x - q y, q = trunc(x/y), for a quotient within reach: the quotient's rounding may have made q one too large."""
    a, b = m.fabs(x), m.fabs(y)
    q = m.trunc(a/b)
    if m.fused:
        r = m.fma(-q, b, a)
    else:                                   # q times each half of b is exact
        high = m.high(b)
        r = (a - q*high) - q*(b - high)
    r = m.select(r < 0.0, r + b, r)
    return m.copysign(m.select(a < b, a, r), x)


def quotient_beyond(m: Lanes, x: Value, y: Value) -> Value:
    """An integer below 0 where the quotient is out of near_fmod's reach, and for NaN."""
    end = 2.0**m.digits if m.fused else 2.0**(m.digits//2 - 6)
    return (m.bits(m.constant(end)) - 1) - m.bits(m.fabs(x)/m.fabs(y))
