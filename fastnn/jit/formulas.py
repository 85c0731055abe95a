"""The compiled form of every row of fastnn/jit/functions.py, as LLVM instructions: `emit` writes one into a block.

All are straight-line code without branches or calls, so that a loop around them is vectorised, but for the complete
forms of sin, cos, tan and fmod: these call a function for arguments out of reach. Such a row has a `near` form, which
is vectorised, and `beyond`, an integer that is below 0 where an argument is out of its reach, or NaN. A kernel runs its
loop with the near forms, collects the sign bits of `beyond`, and runs it again with the complete forms if one was set.
Within reach both give the same bits.
"""
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llvmlite import ir

from fastnn.jit import exponential, hyperbolic, normal, rounding, trigonometric
from fastnn.jit.lanes import Lanes, Value

Body = Callable[..., Value]


class Formula(NamedTuple):
    """float32, unfused: the lanes in which float32 is computed, and those where there is no fused multiply-add."""
    complete: Body
    float32: str = "wide"
    unfused: str = "wide"
    near: Body | None = None
    beyond: Body | None = None


FORMULAS: dict[str, Formula] = {
    "exp": Formula(exponential.exp, "float", "float"),
    "exp2": Formula(exponential.exp2, "float", "float"),
    "expm1": Formula(exponential.expm1, "float", "float"),
    "log": Formula(exponential.log, "float", "float"),
    "log2": Formula(exponential.log2),
    "log10": Formula(exponential.log10),
    "log1p": Formula(exponential.log1p, "float", "float"),
    "expit": Formula(exponential.expit, "float"),
    "log_expit": Formula(exponential.log_expit, "float"),
    "log1p_exp": Formula(exponential.log1p_exp, "float"),
    "tanh_log1p_exp": Formula(hyperbolic.tanh_log1p_exp),
    "pow": Formula(exponential.power),
    "hypot": Formula(exponential.hypot),
    "cbrt": Formula(exponential.cbrt),
    "sin": Formula(trigonometric.sin, "float", near=trigonometric.near_sin, beyond=trigonometric.beyond),
    "cos": Formula(trigonometric.cos, "float", near=trigonometric.near_cos, beyond=trigonometric.beyond),
    "tan": Formula(trigonometric.tan, near=trigonometric.near_tan, beyond=trigonometric.beyond),
    "asin": Formula(trigonometric.asin),
    "acos": Formula(trigonometric.acos),
    "atan": Formula(trigonometric.atan),
    "atan2": Formula(trigonometric.atan2),
    "sinh": Formula(hyperbolic.sinh),
    "cosh": Formula(hyperbolic.cosh),
    "tanh": Formula(hyperbolic.tanh, "float"),
    "asinh": Formula(hyperbolic.asinh),
    "acosh": Formula(hyperbolic.acosh),
    "atanh": Formula(hyperbolic.atanh),
    "erf": Formula(normal.erf, "float"),
    "gauss": Formula(normal.gauss, "float"),
    "erfc": Formula(normal.erfc),
    "ndtr": Formula(normal.ndtr),
    "sqrt": Formula(rounding.sqrt, "float", "float"),
    "fabs": Formula(rounding.fabs, "float", "float"),
    "floor": Formula(rounding.floor, "float", "float"),
    "ceil": Formula(rounding.ceil, "float", "float"),
    "trunc": Formula(rounding.trunc, "float", "float"),
    "rint": Formula(rounding.rint, "float", "float"),
    "copysign": Formula(rounding.copysign, "float", "float"),
    "minimum": Formula(rounding.minimum, "float", "float"),
    "maximum": Formula(rounding.maximum, "float", "float"),
    "fmod": Formula(rounding.fmod, "float", "float", near=rounding.near_fmod, beyond=rounding.quotient_beyond),
}

# other forms, which the same loop computes in less time together with another function of the same argument
BESIDE: dict[tuple[str, str], Formula] = {
    ("expm1", "exp"): Formula(exponential.expm1_beside_exp, "float", "float"),
    ("sin", "cos"): Formula(trigonometric.sin_beside_cos, "float", near=trigonometric.near_sin_beside_cos,
                            beyond=trigonometric.beyond),
}


def emit(builder: ir.IRBuilder, name: str, arguments: Sequence[ir.Value], fma: bool,
         form: str = "complete", beside: str | None = None) -> ir.Value:
    """Write a function's `form` where the builder stands. The arguments are all float or all double, and so is the
    result; that of "beyond" is an integer as wide. fma: whether the processor has fused multiply-add.
    beside: as in BESIDE."""
    formula = BESIDE[name, beside] if beside else FORMULAS[name]
    given = Lanes(builder, "float" if arguments[0].type is ir.FloatType() else "double", fma)
    kind = given.kind
    if kind == "float":
        kind = formula.float32 if fma else formula.unfused
    lanes = Lanes(builder, kind, fma)
    result = getattr(formula, form)(lanes, *(Value(given, a).to(lanes) for a in arguments))
    if form != "beyond":
        return result.to(given).ir
    if lanes.whole is given.whole:
        return result.ir
    return builder.trunc((result >> 32).ir, given.whole)
