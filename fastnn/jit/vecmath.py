"""fastnn's functions for numba-compiled code. Importing this module imports numba; fastnn itself never does.

`functions()["exp"]` is called from numba-compiled code with float32 or float64 scalars, and computes in their type:
float64 where they differ, and for integers. It cannot be called from Python. Names and bounds: fastnn/jit/functions.py.

    sine, far = near()["sin"], numpy.int32(0)           # int64 in a float64 kernel
    for i in range(n):
        out[i] = sine.function(x[i])
        far = sine.beyond(x[i], far)
    if far != 0:                                        # some argument was out of reach: once more
        for i in range(n):
            out[i] = sin(x[i])                          # functions()["sin"]
"""
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from numba.core import types
from numba.extending import intrinsic

from fastnn.jit.formulas import FORMULAS, emit
from fastnn.jit.functions import FUNCTIONS


class Near(NamedTuple):
    """A function within reach, and beyond(x, before): `before`, or -1 if x is out of reach. Both are integers of x's
    width, so that a loop collects them in lanes as wide as its others."""
    function: Any
    beyond: Any


@functools.cache
def functions(fma: bool | None = None) -> dict[str, Any]:
    """Every function by its name. fma: whether to use fused multiply-add; None: where the processor has it."""
    return {name: _function(name, "complete", fma) for name in FUNCTIONS}


@functools.cache
def near(fma: bool | None = None) -> dict[str, Near]:
    """The vectorised forms of the functions whose complete form is not vectorised (fastnn/jit/formulas.py)."""
    return {name: Near(_function(name, "near", fma), _collector(name, fma))
            for name, formula in FORMULAS.items() if formula.near}


def has_fma(context: Any) -> bool:
    """Whether numba compiles for a processor with fused multiply-add; without, llvm.fma is a library call."""
    triple, _, features = context.codegen().magic_tuple()
    return "+fma" in features.split(",") or triple.startswith(("aarch64", "arm64"))


def _real(arguments: tuple[Any, ...]) -> Any:
    """The type to compute in; None where an argument is no real number."""
    if all(isinstance(a, types.Float | types.Integer | types.Boolean) for a in arguments):
        return types.float32 if all(a == types.float32 for a in arguments) else types.float64
    return None


def _intrinsic(name: str, arity: int, typed: Callable[..., Any]) -> Any:
    """numba's intrinsics have a fixed number of named arguments, after the typing context."""
    def unary(context, x):
        return typed(x)

    def binary(context, x, y):
        return typed(x, y)

    def ternary(context, x, y, z):
        return typed(x, y, z)

    function = (unary, binary, ternary)[arity - 1]
    function.__name__ = name
    return intrinsic(function)


def _function(name: str, form: str, fma: bool | None) -> Any:
    arity = FUNCTIONS[name].arity

    def typed(*arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit(builder, name, values, has_fma(context) if fma is None else fma, form)

        real = _real(arguments)
        return None if real is None else (real(*[real]*arity), generate)
    return _intrinsic(name if form == "complete" else f"{form}_{name}", arity, typed)


def _collector(name: str, fma: bool | None) -> Any:
    arity = FUNCTIONS[name].arity

    def typed(*arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            far = emit(builder, name, values[:-1], has_fma(context) if fma is None else fma, "beyond")
            return builder.or_(values[-1], builder.sext(far, values[-1].type))

        real = _real(arguments[:-1])
        if real is None:
            return None
        whole = types.int32 if real == types.float32 else types.int64
        return whole(*[real]*arity, whole), generate
    return _intrinsic(f"beyond_{name}", arity + 1, typed)
