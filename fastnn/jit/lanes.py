"""Numbers that write LLVM instructions: a formula over `Value` is run once, and leaves its straight-line code behind.

The functions of fastnn/jit are ordinary Python over these numbers. That costs a hundredth of what numba needs to infer
types for the same formula, gives fused multiply-add and bit casts, and leaves no call for the vectoriser to stop at.
A Python number takes the type of the value that it meets, so no constant can widen a loop.

As in fastnn/core/vecmath.pxd a function computes in `float`, `double` or `wide` lanes. `wide` is double arithmetic for
float32, where float lanes would lose too many digits; float's polynomials are exact enough there.
"""
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from fastnn.jit.coefficients import COEFFICIENTS

FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
BIT, INT32, INT64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)

Number = Any                # a Value, or a Python number that becomes one


class Value:
    """One scalar in LLVM's intermediate language."""
    __slots__ = ("ir", "lanes")

    def __init__(self, lanes: "Lanes", value: ir.Value) -> None:
        self.lanes, self.ir = lanes, value

    def _meet(self, other: Number) -> ir.Value:
        return other.ir if isinstance(other, Value) else ir.Constant(self.ir.type, other)

    def _arithmetic(self, name: str, other: Number, swapped: bool = False) -> "Value":
        a, b = self.ir, self._meet(other)
        prefix = "" if isinstance(a.type, ir.IntType) else "f"
        return Value(self.lanes, getattr(self.lanes.builder, prefix + name)(*((b, a) if swapped else (a, b))))

    def _bitwise(self, name: str, other: Number) -> "Value":
        return Value(self.lanes, getattr(self.lanes.builder, name)(self.ir, self._meet(other)))

    def _compare(self, sign: str, other: Number) -> "Value":
        builder = self.lanes.builder
        if isinstance(self.ir.type, ir.IntType):
            compare = builder.icmp_signed
        else:
            compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
        return Value(self.lanes, compare(sign, self.ir, self._meet(other)))

    def __add__(self, other: Number) -> "Value":
        return self._arithmetic("add", other)

    def __radd__(self, other: Number) -> "Value":
        return self._arithmetic("add", other, swapped=True)

    def __sub__(self, other: Number) -> "Value":
        return self._arithmetic("sub", other)

    def __rsub__(self, other: Number) -> "Value":
        return self._arithmetic("sub", other, swapped=True)

    def __mul__(self, other: Number) -> "Value":
        return self._arithmetic("mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Number) -> "Value":
        return self._arithmetic("div", other)

    def __rtruediv__(self, other: Number) -> "Value":
        return self._arithmetic("div", other, swapped=True)

    def __neg__(self) -> "Value":
        return Value(self.lanes, self.lanes.builder.fneg(self.ir))

    def __lt__(self, other: Number) -> "Value":
        return self._compare("<", other)

    def __le__(self, other: Number) -> "Value":
        return self._compare("<=", other)

    def __gt__(self, other: Number) -> "Value":
        return self._compare(">", other)

    def __ge__(self, other: Number) -> "Value":
        return self._compare(">=", other)

    def equals(self, other: Number) -> "Value":
        return self._compare("==", other)

    def differs(self, other: Number) -> "Value":
        """Also true of NaN."""
        return self._compare("!=", other)

    def __and__(self, other: Number) -> "Value":
        return self._bitwise("and_", other)

    def __or__(self, other: Number) -> "Value":
        return self._bitwise("or_", other)

    def __xor__(self, other: Number) -> "Value":
        return self._bitwise("xor", other)

    def __lshift__(self, other: Number) -> "Value":
        return self._bitwise("shl", other)

    def to(self, lanes: "Lanes") -> "Value":
        """The same number in other lanes, rounded to float where they are narrower."""
        source, target = self.ir.type, lanes.real
        if source is target:
            return Value(lanes, self.ir)
        convert = lanes.builder.fpext if target is DOUBLE else lanes.builder.fptrunc
        return Value(lanes, convert(self.ir, target))

    def __rshift__(self, other: Number) -> "Value":
        """Zeros come in from the left."""
        return self._bitwise("lshr", other)


class Lanes:
    """What a formula is written with: the kind of its lanes, and whether the machine has fused multiply-add."""

    def __init__(self, builder: ir.IRBuilder, kind: str, fma: bool) -> None:
        self.builder, self.kind, self.fused = builder, kind, fma
        self.real: ir.Type = FLOAT if kind == "float" else DOUBLE
        self.whole = INT32 if kind == "float" else INT64
        self.digits = 23 if kind == "float" else 52                     # of the fraction
        self.bias = 127 if kind == "float" else 1023
        self.rounding = 1.5*2.0**self.digits                            # x + rounding has rint(x) in its low bits
        self.sign_bit = -2**(self.whole.width - 1)

    def by(self, float: Any, wide: Any, double: Any) -> Any:
        """The constant of this kind of lanes."""
        return {"float": float, "wide": wide, "double": double}[self.kind]

    def constant(self, number: float) -> Value:
        return Value(self, ir.Constant(self.real, number))

    def _real(self, x: Number) -> ir.Value:
        return x.ir if isinstance(x, Value) else ir.Constant(self.real, x)

    def _call(self, name: str, *arguments: ir.Value) -> Value:
        kind = arguments[0].type
        signature = ir.FunctionType(kind, [kind]*len(arguments))
        function = self.builder.module.declare_intrinsic(f"llvm.{name}", [kind], signature)
        return Value(self, self.builder.call(function, arguments))

    def fma(self, a: Number, b: Number, c: Number) -> Value:
        """a b + c, rounded once where the machine can."""
        a, b, c = (Value(self, self._real(v)) for v in (a, b, c))
        if not self.fused:
            return a*b + c
        call = self.builder.fma(a.ir, b.ir, c.ir)
        return Value(self, call)

    def polynomial(self, name: str, x: Value) -> Value:
        return self.horner(x, COEFFICIENTS[name, "double" if self.kind == "double" else "float"])

    def horner(self, x: Value, coefficients: Sequence[float]) -> Value:
        """coefficients from the highest power down. Long ones as two halves, in even and odd powers, that need not wait
        for each other; the last step, whose rounding counts, stays as it is."""
        if len(coefficients) > 7:
            *rest, last = coefficients
            square = x*x
            odd, even = self.horner(square, rest[-2::-2][::-1]), self.horner(square, rest[-1::-2][::-1])
            return self.fma(self.fma(odd, x, even), x, last)
        total = self.constant(coefficients[0])
        for c in coefficients[1:]:
            total = self.fma(total, x, c)
        return total

    def select(self, condition: Value, a: Number, b: Number) -> Value:
        kind = a.ir.type if isinstance(a, Value) else b.ir.type if isinstance(b, Value) else self.real
        a, b = (v.ir if isinstance(v, Value) else ir.Constant(kind, v) for v in (a, b))
        return Value(self, self.builder.select(condition.ir, a, b))

    def at_least(self, x: Value, low: Number) -> Value:
        """max(x, low), NaN kept."""
        return self.select(x < low, low, x)

    def at_most(self, x: Value, high: Number) -> Value:
        """min(x, high), NaN kept."""
        return self.select(x > high, high, x)

    def fabs(self, x: Value) -> Value:
        return self._call("fabs", x.ir)

    def sqrt(self, x: Value) -> Value:
        return self._call("sqrt", x.ir)

    def floor(self, x: Value) -> Value:
        return self._call("floor", x.ir)

    def ceil(self, x: Value) -> Value:
        return self._call("ceil", x.ir)

    def trunc(self, x: Value) -> Value:
        return self._call("trunc", x.ir)

    def rint(self, x: Value) -> Value:
        return self._call("rint", x.ir)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        return self._call("copysign", magnitude.ir, sign.ir)

    def remainder(self, x: Value, y: Value) -> Value:
        """C's fmod: a call."""
        return Value(self, self.builder.frem(x.ir, y.ir))

    def bits(self, x: Value) -> Value:
        return Value(self, self.builder.bitcast(x.ir, self.whole))

    def number(self, bits: Value) -> Value:
        return Value(self, self.builder.bitcast(bits.ir, self.real))

    def power_of_two(self, shifted: Value) -> Value:
        """2^n for shifted = n + rounding + bias."""
        return self.number(self.bits(shifted) << self.digits)

    def product_low(self, a: Value, b: Number, product: Value) -> Value:
        """a b - product, for the rounded product: exact with fused multiply-add, by Dekker's splitting without."""
        if self.fused:
            return self.fma(a, b, -product)
        b = Value(self, self._real(b))
        a_high, b_high = self.high(a), self.high(b)
        a_low, b_low = a - a_high, b - b_high
        return ((a_high*b_high - product) + a_high*b_low + a_low*b_high) + a_low*b_low

    def high(self, x: Value) -> Value:
        """x without the lower half of its digits."""
        return self.number(self.bits(x) & (-2**12 if self.kind == "float" else -2**27))

    def fast_sum(self, a: Value, b: Value) -> tuple[Value, Value]:
        """a + b, and what its rounding lost, for |a| >= |b|."""
        total = a + b
        return total, (a - total) + b

    def two_sum(self, a: Value, b: Value) -> tuple[Value, Value]:
        """a + b, and what its rounding lost."""
        total = a + b
        part = total - a
        return total, (a - (total - part)) + (b - part)
