"""Sine, cosine, tangent and their inverses.

Angles are reduced by multiples k of pi/2 held in three parts. That is exact enough up to `reach`. Beyond it,
`far_angle` takes the bits of 2/pi that matter from a table (Payne and Hanek); it is a function of its own and is
called, so a loop with `sin` is not vectorised. A vectorised loop calls `near_sin`, collects `beyond`, and is run again
with `sin` if an argument was out of reach: within reach both give the same bits.
"""
import math
from collections.abc import Callable

from llvmlite import ir

from fastnn.jit.lanes import DOUBLE, INT64, Lanes, Value

TWO_OVER_PI = 0.6366197723675814
PI_2, PI_2_LOW = 1.5707963267948966, 6.123233995736766e-17

# 64 zeros, then the bits of 2/pi
TWO_OVER_PI_BITS = (
    0x0, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561, 0xb7246e3a424dd2e0,
    0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41, 0x3991d639835339f4,
    0x9c845f8bbdf9283b, 0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d)


def reach(m: Lanes) -> float:
    """The |x| up to which `near_angle` is exact enough: without FMA k times the first part has to be exact."""
    return 2.0**17 if m.kind == "float" else 2.0**30 if m.fused else 2.0**20


def near_angle(m: Lanes, a: Value, quarters: int = 1) -> tuple[Value, Value, Value | None]:
    """For a >= 0: k in the low bits of an integer, r = a - k quarters pi/2 and, in double, what r lost. quarters: 1 or 2."""
    shifted = m.fma(a, TWO_OVER_PI/quarters, m.rounding)
    k = shifted - m.rounding
    count = m.bits(shifted)

    def minus(part: float, y: Value) -> Value:
        return m.fma(k, -part*quarters, y)

    if m.kind == "float":                   # only with FMA
        r = minus(1.5707963705062866, a)
        return count, minus(-1.7151245100058819e-15, minus(-4.371138828673793e-08, r)), None
    if m.fused:
        r = minus(PI_2, a)
        y = minus(PI_2_LOW, r)
        if m.kind == "wide":
            return count, y, None
        return count, y, minus(-1.4973849048591698e-33, minus(PI_2_LOW, r - y))
    r, low = m.two_sum(minus(1.5707963267341256, a), k*(-6.077100506303966e-11*quarters))
    if m.kind == "wide":
        return count, minus(2.0222662487959506e-21, r), None
    return count, *m.two_sum(r, minus(8.4784276603689e-32, minus(2.0222662487111665e-21, low)))


def far_angle(m: Lanes, a: Value) -> tuple[Value, Value, Value]:
    """The same for any a from 2^17 to infinity, in double; r is NaN at infinity and for NaN."""
    module = m.builder.module
    result = ir.LiteralStructType([INT64, DOUBLE, DOUBLE])
    function = module.globals.get("fastnn_far_angle")
    if function is None:
        function = ir.Function(module, ir.FunctionType(result, [DOUBLE]), "fastnn_far_angle")
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        _write_far_angle(Lanes(ir.IRBuilder(function.append_basic_block()), "double", m.fused), function, result)
    parts = m.builder.call(function, [a.ir])
    quadrant, r, low = (Value(m, m.builder.extract_value(parts, i)) for i in range(3))
    return quadrant, r, low


def _write_far_angle(m: Lanes, function: ir.Function, result: ir.Type) -> None:
    """a = M 2^e. Bits of 2/pi before weight 2^(2 - e) make multiples of 4; the next 192, times M, are enough."""
    def as_number(instruction: str, value: Value) -> Value:
        return Value(m, getattr(m.builder, instruction)(value.ir, DOUBLE))

    wide = ir.IntType(128)
    words = ir.GlobalVariable(m.builder.module, ir.ArrayType(INT64, len(TWO_OVER_PI_BITS)), "fastnn_two_over_pi")
    words.linkage, words.global_constant = "linkonce_odr", True
    words.initializer = ir.Constant(words.value_type, list(TWO_OVER_PI_BITS))

    a = Value(m, function.args[0])
    finite = a < math.inf
    bits = m.bits(m.select(finite & (a > 2.0**16), a, 2.0**16))     # whatever is asked, in the table
    mantissa = Value(m, m.builder.zext(((bits & (2**52 - 1)) | 2**52).ir, wide))
    start = (bits >> 52) - (1075 - 62)
    index, shift = start >> 6, start & 63
    loaded = [m.builder.load(m.builder.gep(words, [INT64(0), (index + i).ir])) for i in range(4)]
    funnel = m.builder.module.declare_intrinsic("llvm.fshl", [INT64], ir.FunctionType(INT64, [INT64]*3))
    window = [Value(m, m.builder.zext(m.builder.call(funnel, [loaded[i], loaded[i + 1], shift.ir]), wide))
              for i in range(3)]
    product = ((mantissa*window[2]) >> 64) + mantissa*window[1] + ((mantissa*window[0]) << 64)
    # two bits of k, then the fraction, made one of [-1/2, 1/2)
    rounded = product + (1 << 125)
    rest = product - (rounded & (3 << 126))
    high, low = (Value(m, m.builder.trunc(v.ir, INT64)) for v in (rest >> 64, rest))
    v = as_number("sitofp", high)
    lost = high - Value(m, m.builder.fptosi(v.ir, INT64))
    v, v_low = m.two_sum(v, as_number("sitofp", lost) + as_number("uitofp", low)*2.0**-64)
    v, v_low = v*2.0**-62, v_low*2.0**-62
    r = v*PI_2
    r_low = m.product_low(v, PI_2, r) + m.fma(v, PI_2_LOW, v_low*PI_2)
    r, r_low = m.fast_sum(r, r_low)
    quadrant = m.builder.trunc((rounded >> 126).ir, INT64)
    parts: ir.Value = ir.Constant(result, ir.Undefined)
    for i, part in enumerate((quadrant, m.select(finite, r, math.nan).ir, r_low.ir)):
        parts = m.builder.insert_value(parts, part, i)
    m.builder.ret(parts)


def sin_cos(m: Lanes, r: Value, low: Value | None) -> tuple[Value, Value]:
    """sin and cos of r + low, |r| up to pi/4 and little more."""
    w = r*r
    if low is None:
        sine = m.fma(r*w, m.polynomial("sin_tail", w), r)
        return sine, m.fma(w*w, m.polynomial("cos_tail", w), m.fma(w, -0.5, 1.0))
    sine = r + m.fma(r*w, m.polynomial("sin_tail", w), low)
    half = w*0.5
    start = 1.0 - half
    rest = ((1.0 - start) - half) + m.fma(w*w, m.polynomial("cos_tail", w), -(r*low))
    return sine, start + rest


def _turned(m: Lanes, angle: tuple[Value, Value, Value | None], quarters: int) -> Value:
    """sin(r + (k + quarters) pi/2)."""
    quadrant, r, low = angle
    sine, cosine = sin_cos(m, r, low)
    quadrant = quadrant + quarters
    y = m.select((quadrant & 1).equals(0), sine, cosine)
    return m.number(m.bits(y) ^ ((quadrant & 2) << (m.whole.width - 2)))


def _with_sign(m: Lanes, y: Value, x: Value) -> Value:
    """y, negated where x is negative."""
    return m.number(m.bits(y) ^ (m.bits(x) & m.sign_bit))


def _tangent(m: Lanes, angle: tuple[Value, Value, Value | None]) -> Value:
    quadrant, r, low = angle
    sine, cosine = sin_cos(m, r, low)
    even = (quadrant & 1).equals(0)
    return m.select(even, sine, -cosine)/m.select(even, cosine, sine)


def near_sin(m: Lanes, x: Value) -> Value:
    """In half turns, which need one polynomial. In float it was chosen never to exceed 1, and the parts of pi to keep -0."""
    if m.kind == "float":
        shifted = m.fma(x, TWO_OVER_PI/2, m.rounding)
        k, r = shifted - m.rounding, x
        for part in (3.141592502593994, 1.5099578831723193e-07, 1.078060505991553e-14):
            r = m.fma(k, -part, r)
        w = r*r
        y = m.fma(m.fma(w, m.polynomial("sin_half_turn", w), 0.0), r, r)
        return m.number(m.bits(y) ^ (m.bits(shifted) << 31))
    half_turns, r, low = near_angle(m, m.fabs(x), 2)
    w = r*r
    tail = m.polynomial("sin_half_turn", w)
    y = m.fma(r*w, tail, r) if low is None else r + m.fma(r*w, tail, low)
    return _with_sign(m, m.number(m.bits(m.at_most(y, 1.0)) ^ (half_turns << 63)), x)


def near_sin_beside_cos(m: Lanes, x: Value) -> Value:
    """Shares nearly all of its work with near_cos of the same x."""
    return _with_sign(m, _turned(m, near_angle(m, m.fabs(x)), 0), x)


def near_cos(m: Lanes, x: Value) -> Value:
    return _turned(m, near_angle(m, m.fabs(x)), 1)


def near_tan(m: Lanes, x: Value) -> Value:
    return _with_sign(m, _tangent(m, near_angle(m, m.fabs(x))), x)


def beyond(m: Lanes, x: Value) -> Value:
    """An integer below 0 where |x| is out of reach, and for NaN."""
    return m.bits(m.constant(reach(m))) - m.bits(m.fabs(x))


def _far(m: Lanes, x: Value, finish: Callable[[Lanes, tuple[Value, Value, Value | None]], Value]) -> Value:
    """finish(far_angle(|x|)), for float lanes computed in wide ones."""
    if m.kind == "float":
        wide = Lanes(m.builder, "wide", m.fused)
        return _far(wide, m.fabs(x).to(wide), finish).to(m)
    quadrant, r, low = far_angle(m, m.fabs(x))
    return finish(m, (quadrant, r, None if m.kind == "wide" else low))


def sin(m: Lanes, x: Value) -> Value:
    return _sin(m, x, near_sin)


def sin_beside_cos(m: Lanes, x: Value) -> Value:
    return _sin(m, x, near_sin_beside_cos)


def _sin(m: Lanes, x: Value, near: Callable[[Lanes, Value], Value]) -> Value:
    far = _far(m, x, lambda lanes, angle: _turned(lanes, angle, 0))
    return m.select(beyond(m, x) < 0, _with_sign(m, far, x), near(m, x))


def cos(m: Lanes, x: Value) -> Value:
    return m.select(beyond(m, x) < 0, _far(m, x, lambda lanes, angle: _turned(lanes, angle, 1)), near_cos(m, x))


def tan(m: Lanes, x: Value) -> Value:
    return m.select(beyond(m, x) < 0, _with_sign(m, _far(m, x, _tangent), x), near_tan(m, x))


# Inverses

def _plus_turn(m: Lanes, turn: Value, y: Value, tail: Value) -> Value:
    """turn + y + tail for a multiple of pi/4, the low part of which matters in double."""
    if m.kind == "double":
        tail = m.fma(turn, PI_2_LOW/PI_2, tail)
    return turn + (y + tail)


def _atan_parts(m: Lanes, y: Value, x: Value) -> tuple[Value, Value, Value]:
    """The parts of atan(y/x) for y, x >= 0: with z = y/x, (y - x)/(y + x) or -x/y below tan(pi/8)."""
    middle, steep = y > x*0.41421356237309503, y > x*2.414213562373095
    top = m.select(steep, -x, m.select(middle, y - x, y))
    bottom = m.select(steep, y, m.select(middle, y + x, x))
    turn = m.select(steep, PI_2, m.select(middle, PI_2/2, m.constant(0.0)))
    z = top/bottom
    w = z*z
    return turn, z, z*w*m.polynomial("atan_tail", w)


def atan(m: Lanes, x: Value) -> Value:
    return m.copysign(_plus_turn(m, *_atan_parts(m, m.fabs(x), m.constant(1.0))), x)


def atan2(m: Lanes, y: Value, x: Value) -> Value:
    a, b = m.fabs(y), m.fabs(x)
    if m.kind == "double":                  # a sum must not overflow, nor a product lose digits
        large = m.select(a < b, b, a)
        scale = m.select(large > 2.0**1000, 2.0**-60, m.select(large < 2.0**-900, 2.0**120, m.constant(1.0)))
        a, b = a*scale, b*scale
    equal = a.equals(b)                     # 0 and 0, infinity and infinity
    a, b = m.select(equal & (a > 0.0), 1.0, a), m.select(equal, 1.0, b)
    turn, z, tail = _atan_parts(m, a, b)
    left = m.bits(x) < 0
    turn = m.select(left, 2.0*PI_2 - turn, turn)
    return m.copysign(_plus_turn(m, turn, m.select(left, -z, z), m.select(left, -tail, tail)), y)


def _asin_parts(m: Lanes, a: Value) -> tuple[Value, Value, Value]:
    """Whether a > 1/2, and s and the rest of asin(s): of s = a, or sqrt((1 - a)/2), twice whose asin is acos(a)."""
    steep = a > 0.5
    half = 0.5 - a*0.5
    w = m.select(steep, half, a*a)
    s = m.select(steep, m.sqrt(half), a)
    return steep, s, s*w*m.polynomial("asin_tail", w)


def asin(m: Lanes, x: Value) -> Value:
    steep, s, tail = _asin_parts(m, m.fabs(x))
    far = _plus_turn(m, m.constant(PI_2), s*-2.0, tail*-2.0)
    return m.copysign(m.select(steep, far, s + tail), x)


def acos(m: Lanes, x: Value) -> Value:
    steep, s, tail = _asin_parts(m, m.fabs(x))
    left = x < 0.0
    turn = m.select(steep, m.select(left, 2.0*PI_2, m.constant(0.0)), PI_2)
    size = m.select(steep, m.constant(2.0), -1.0)
    size = m.select(left, -size, size)
    return _plus_turn(m, turn, s*size, tail*size)
