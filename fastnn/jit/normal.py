"""The error function, its complement, and the normal distribution function made of it."""
from fastnn.jit.exponential import exp_parts
from fastnn.jit.lanes import Lanes, Value


def erf(m: Lanes, x: Value) -> Value:
    """1 - exp(-a D(a)) from a = 0.85 on, where the rounding of D has little weight; it is 1 from 4 (6) on."""
    a = m.at_most(m.fabs(x), m.by(4.0, 4.0, 6.0))
    near = m.fma(a, m.polynomial("erf_core", a*a), a)
    shifted, p = exp_parts(m, -a*m.polynomial("erf_decay", a))
    t = m.power_of_two(shifted)
    return m.copysign(m.select(a > 0.85, m.fma(-t, p, 1.0 - t), near), x)


def _complement(m: Lanes, z: Value, square: Value, square_low: Value | None) -> Value:
    """erfc(z), square + square_low being z^2: exp multiplies its error. |z| ends where the tail has vanished."""
    a = m.fabs(z)
    start, low = m.fast_sum(m.constant(1.0), -z)
    near = start + m.fma(-z, m.polynomial("erf_core", a*a), low)

    s = a + 4.0
    inverse = 1.0/s
    u = m.fma(inverse, -8.0, 1.0)
    g = m.polynomial("erfc_tail", u)*inverse
    shifted, p = exp_parts(m, -square, 0.0 if square_low is None else -square_low)
    if m.kind == "double":                  # what the inverse, and u from it, have lost
        product = s*inverse
        lost = ((1.0 - product) - m.product_low(s, inverse, product)) - (a - (s - 4.0))*inverse
        eight = inverse*8.0
        p = p + m.fma((1.0 - u) - eight - eight*lost, m.fma(u, 0.65, -0.93), lost)
    middle = m.by(0, 0, 128)                # 2^middle keeps the power of two normal
    t = m.number((m.bits(shifted) << m.digits) + (middle << m.digits))
    tail = m.fma(g, p, g)*t*2.0**-middle
    return m.select(a < 0.47, near, m.select(z < 0.0, 2.0 - tail, tail))


def erfc(m: Lanes, x: Value) -> Value:
    """In double or wide lanes."""
    z = m.at_most(m.at_least(x, m.by(None, -10.1, -27.3)), m.by(None, 10.1, 27.3))
    square = z*z
    return _complement(m, z, square, m.product_low(z, z, square) if m.kind == "double" else None)


def ndtr(m: Lanes, x: Value) -> Value:
    """erfc(-x/sqrt(2))/2, in double or wide lanes."""
    x = m.at_most(m.at_least(x, m.by(None, -14.3, -38.6)), m.by(None, 14.3, 38.6))
    square = x*x
    low = m.product_low(x, x, square)*0.5 if m.kind == "double" else None
    return _complement(m, x*-0.7071067811865476, square*0.5, low)*0.5
