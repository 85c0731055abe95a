"""The compiled form of every row of fastnn/jit/functions.py: what numba-compiled code calls, by the row's name.

`functions()["exp"]` is called from numba-compiled code with float32 or float64 scalars, and computes in their type (integers
become float64). It becomes straight-line code there, without branches or calls, so that a loop around it is vectorised; it
cannot be called from Python. Importing this module imports numba.

sin, cos, tan and fmod call a function for arguments out of reach, so a loop with them stays scalar. `near()` has their
vectorisable forms: a kernel runs its loop with these first, collects `beyond`, and runs it again with the complete forms if an
argument was out of reach. Within reach both have the same bits.
"""
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from numba.core import types
from numba.extending import intrinsic

from fastnn.jit import exponential, hyperbolic, normal, rounding, trigonometric
from fastnn.jit.functions import FUNCTIONS
from fastnn.jit.lanes import Lanes, Value

Formula = Callable[..., Value]


class Near(NamedTuple):
    """A function within reach. function(x) is as the complete form; beyond(x, before) is `before` or, if x is out of
    reach, -1: an int32 for float32, an int64 for float64, so that a loop can collect it in a lane of x's width."""
    function: Any
    beyond: Any


class _Entry(NamedTuple):
    formula: Formula
    float32: str = "wide"               # the lanes in which float32 is computed,
    unfused: str = "wide"               # and those where there is no fused multiply-add


_FORMULAS: dict[str, _Entry] = {
    "exp": _Entry(exponential.exp, "float", "float"),
    "exp2": _Entry(exponential.exp2, "float", "float"),
    "expm1": _Entry(exponential.expm1, "float", "float"),
    "log": _Entry(exponential.log, "float", "float"),
    "log2": _Entry(exponential.log2),
    "log10": _Entry(exponential.log10),
    "log1p": _Entry(exponential.log1p, "float", "float"),
    "expit": _Entry(exponential.expit, "float"),
    "log_expit": _Entry(exponential.log_expit, "float"),
    "pow": _Entry(exponential.power),
    "hypot": _Entry(exponential.hypot),
    "cbrt": _Entry(exponential.cbrt),
    "sin": _Entry(trigonometric.sin, "float"),
    "cos": _Entry(trigonometric.cos, "float"),
    "tan": _Entry(trigonometric.tan),
    "asin": _Entry(trigonometric.asin),
    "acos": _Entry(trigonometric.acos),
    "atan": _Entry(trigonometric.atan),
    "atan2": _Entry(trigonometric.atan2),
    "sinh": _Entry(hyperbolic.sinh),
    "cosh": _Entry(hyperbolic.cosh),
    "tanh": _Entry(hyperbolic.tanh, "float"),
    "asinh": _Entry(hyperbolic.asinh),
    "acosh": _Entry(hyperbolic.acosh),
    "atanh": _Entry(hyperbolic.atanh),
    "erf": _Entry(normal.erf, "float"),
    "erfc": _Entry(normal.erfc),
    "ndtr": _Entry(normal.ndtr),
    **{name: _Entry(getattr(rounding, name), "float", "float") for name in (
        "sqrt", "fabs", "floor", "ceil", "trunc", "rint", "copysign", "minimum", "maximum", "fmod")},
}

_NEAR = {
    "sin": (trigonometric.near_sin, trigonometric.beyond),
    "cos": (trigonometric.near_cos, trigonometric.beyond),
    "tan": (trigonometric.near_tan, trigonometric.beyond),
    "fmod": (rounding.near_fmod, rounding.quotient_beyond),
}


def _has_fma(context: Any) -> bool:
    """Whether numba compiles for a processor with fused multiply-add. Without, llvm.fma would be a library call."""
    triple, _, features = context.codegen().magic_tuple()
    return "+fma," in features + "," or triple.startswith(("aarch64", "arm64"))


def _lanes(entry: _Entry, context: Any, builder: Any, is_float: bool, fma: bool | None) -> Lanes:
    fused = _has_fma(context) if fma is None else fma
    return Lanes(builder, (entry.float32 if fused else entry.unfused) if is_float else "double", fused)


def _result_type(arguments: tuple[Any, ...]) -> Any:
    """float32 if all are, else float64; None for what is no real number."""
    if all(isinstance(a, (types.Float, types.Integer, types.Boolean)) for a in arguments):
        return types.float32 if all(a == types.float32 for a in arguments) else types.float64
    return None


def _evaluate(formula: Formula, entry: _Entry, context: Any, builder: Any, real: Any, arguments: Any,
              fma: bool | None) -> Value:
    given = Lanes(builder, "float" if real == types.float32 else "double", False)
    lanes = _lanes(entry, context, builder, real == types.float32, fma)
    return formula(lanes, *(Value(given, a).to(lanes) for a in arguments))


def _compiled(name: str, formula: Formula, entry: _Entry, arity: int, fma: bool | None) -> Any:
    def typed(*arguments: Any) -> Any:
        real = _result_type(arguments)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            result = _evaluate(formula, entry, context, builder, real, values, fma)
            return result.to(Lanes(builder, "float" if real == types.float32 else "double", False)).ir
        return None if real is None else (real(*[real]*arity), generate)

    def unary(context, x):
        return typed(x)

    def binary(context, x, y):
        return typed(x, y)

    function = unary if arity == 1 else binary
    function.__name__ = name
    return intrinsic(function)


def _collector(name: str, predicate: Formula, entry: _Entry, arity: int, fma: bool | None) -> Any:
    def typed(*arguments: Any) -> Any:
        real = _result_type(arguments)
        if real is None:
            return None
        whole = types.int32 if real == types.float32 else types.int64

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            far = _evaluate(predicate, entry, context, builder, real, values[:-1], fma)
            return builder.or_(values[-1], builder.sext(far.ir, values[-1].type))
        return whole(*[real]*arity, whole), generate

    def unary(context, x, before):
        return typed(x)

    def binary(context, x, y, before):
        return typed(x, y)

    function = unary if arity == 1 else binary
    function.__name__ = name + "_beyond"
    return intrinsic(function)


@functools.cache
def functions(fma: bool | None = None) -> dict[str, Any]:
    """Every function by its name in FUNCTIONS. fma: whether to use fused multiply-add; None: where the machine has it."""
    return {name: _compiled(name, entry.formula, entry, FUNCTIONS[name].arity, fma)
            for name, entry in _FORMULAS.items()}


@functools.cache
def near(fma: bool | None = None) -> dict[str, Near]:
    """The vectorisable forms, within reach, of the functions whose complete form is not."""
    return {name: Near(_compiled("near_" + name, formula, _FORMULAS[name], FUNCTIONS[name].arity, fma),
                       _collector(name, predicate, _FORMULAS[name], FUNCTIONS[name].arity, fma))
            for name, (formula, predicate) in _NEAR.items()}
