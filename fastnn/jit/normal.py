"""The error function, its complement, and the normal distribution function made of it."""
from fastnn.jit.exponential import falling
from fastnn.jit.lanes import Lanes, Number, Value

# 8 exp(16) erfc(4), where the argument of erfc's tail is 0
START, START_LOW = 1.095995661000491, 5.757254511326975e-17


def _weight(m: Lanes, x: Value) -> tuple[Value, Value, Value]:
    """|x|, up to where the last has vanished, x^2 and exp(-x^2). In double erf and its derivative share them."""
    a = m.at_most(m.fabs(x), m.by(11.0, 14.0, 28.0))
    square = a*a
    t, p, unit = falling(m, -square, -m.product_low(a, a, square) if m.kind != "wide" else 0.0)
    return a, square, m.fma(t, p, t)*unit


def gauss(m: Lanes, x: Value) -> Value:
    """exp(-x^2)."""
    return _weight(m, x)[2]


def erf(m: Lanes, x: Value) -> Value:
    """1 - erfc(a) from a = 0.85 on, where erfc's errors count a quarter. In float lanes erfc is a polynomial."""
    if m.kind == "float":
        a = m.at_most(m.fabs(x), 3.95)
        near = m.fma(a, m.polynomial("erf_core", a*a), a)
        far = 1.0 - m.polynomial("erfc_far", m.fma(a, 0.6451612710952759, -1.548387050628662))
        return m.copysign(m.select(a > 0.85, far, near), x)
    a, square, weight = _weight(m, x)
    near = m.fma(a, m.polynomial("erf_core", square), a)
    inverse = 1.0/(a + 4.0)
    u = (a - 4.0)*inverse
    ratio = m.fma(u, m.polynomial("erfc_tail", u), START)*inverse
    return m.copysign(m.select(a > 0.85, m.fma(-weight, ratio, 1.0), near), x)


def _complement(m: Lanes, z: Value, z_low: Number, square: Value, square_low: Number) -> Value:
    """erfc(z + z_low), square + square_low being its square: exp multiplies its error.

    exp(-a^2) (START + u T(u))/(a + 4), u = (a - 4)/(a + 4), from 0.7 on. In double all that is rounded before the last
    sum is made up for, roughly: of START + u T(u) it is -(0.93 - 0.65 u) times the error of u.
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
    t, p, unit = falling(m, -square, -square_low)
    g = ratio*inverse
    if m.kind == "double":
        product = s*inverse
        s_low = (a - (s - 4.0)) + (m.select(z < 0.0, -z_low, z_low) if isinstance(z_low, Value) else 0.0)
        lost = ((1.0 - product) - m.product_low(s, inverse, product)) - s_low*inverse
        p = p + m.fma((1.0 - u) - eight - eight*lost, m.fma(u, 0.65, -0.93), lost)
        g_low = (ratio_low + START_LOW)*inverse
        g = g + m.fma(g, p, g_low)
    else:
        g = m.fma(g, p, g)
    tail = g*t*unit
    return m.select(a < 0.7, near, m.select(z < 0.0, 2.0 - tail, tail))


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
