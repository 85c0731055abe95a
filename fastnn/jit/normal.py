"""The error function, its complement, and the normal distribution function made of it."""
from fastnn.jit.exponential import exp_parts
from fastnn.jit.lanes import Lanes, Number, Value


def erf(m: Lanes, x: Value) -> Value:
    """1 - exp(-a D(a)) from a = 0.85 on, where the rounding of D has little weight; it is 1 from 4 (6) on."""
    a = m.at_most(m.fabs(x), m.by(4.0, 4.0, 6.0))
    near = m.fma(a, m.polynomial("erf_core", a*a), a)
    shifted, p = exp_parts(m, -a*m.polynomial("erf_decay", a))
    t = m.power_of_two(shifted)
    return m.copysign(m.select(a > 0.85, m.fma(-t, p, 1.0 - t), near), x)


# 8 exp(16) erfc(4), where the argument of erfc's tail is 0
START, START_LOW = 1.095995661000491, 5.757254511326975e-17


def _complement(m: Lanes, z: Value, z_low: Number, square: Value, square_low: Number) -> Value:
    """erfc(z + z_low), square + square_low being its square: exp multiplies its error.

    exp(-a^2) (START + u T(u))/(a + 4), u = (a - 4)/(a + 4), from 0.85 on. In double all that is rounded before the last sum is
    made up for, roughly: of START + u T(u) it is -(0.93 - 0.65 u) times the error of u.
    """
    a = m.fabs(z)
    start, low = m.fast_sum(m.constant(1.0), -z)
    near = start + m.fma(-z, m.polynomial("erf_core", a*a), low - z_low)

    s = a + 4.0
    inverse = 1.0/s
    eight = inverse*8.0
    u = 1.0 - eight
    y = u*m.polynomial("erfc_tail", u)
    ratio, ratio_low = m.fast_sum(m.constant(START), y)
    shifted, p = exp_parts(m, -square, -square_low)
    g = ratio*inverse
    if m.kind == "double":
        product = s*inverse
        lost = ((1.0 - product) - m.product_low(s, inverse, product)) - (a - (s - 4.0))*inverse
        p = p + m.fma((1.0 - u) - eight - eight*lost, m.fma(u, 0.65, -0.93), lost)
        g_low = (ratio_low + START_LOW)*inverse
        g = g + m.fma(g, p, g_low)
    else:
        g = m.fma(g, p, g)
    middle = m.by(0, 0, 128)                # 2^middle keeps the power of two normal
    t = m.number((m.bits(shifted) << m.digits) + (middle << m.digits))
    tail = g*t*2.0**-middle
    return m.select(a < 0.85, near, m.select(z < 0.0, 2.0 - tail, tail))


def erfc(m: Lanes, x: Value) -> Value:
    """In double or wide lanes."""
    z = m.at_most(m.at_least(x, m.by(None, -10.1, -27.3)), m.by(None, 10.1, 27.3))
    square = z*z
    return _complement(m, z, 0.0, square, m.product_low(z, z, square) if m.kind == "double" else 0.0)


def ndtr(m: Lanes, x: Value) -> Value:
    """erfc(-x/sqrt(2))/2, in double or wide lanes."""
    x = m.at_most(m.at_least(x, m.by(None, -14.3, -38.6)), m.by(None, 14.3, 38.6))
    square, z = x*x, x*-0.7071067811865476
    if m.kind == "wide":
        return _complement(m, z, 0.0, square*0.5, 0.0)*0.5
    z_low = m.product_low(x, -0.7071067811865476, z) + x*4.833646656726457e-17
    return _complement(m, z, z_low, square*0.5, m.product_low(x, x, square)*0.5)*0.5
