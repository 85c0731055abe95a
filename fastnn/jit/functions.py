"""The functions that a formula may call: which Python callables mean each, how exact it is, what it is elsewhere.

One row a function. numba is not needed here: fastnn/jit/formulas.py has the compiled form of every row, under the same
name. Arguments and results are as IEEE 754 has them: a domain error is NaN, a pole an infinity, nothing raises.
"""
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

EXACT = {"float32": 0.0, "float64": 0.0}
ROUNDED = {"float32": 0.5, "float64": 0.5}
CLOSE = {"float32": 2.0, "float64": 3.0}


class Function(NamedTuple):
    """One function. `ulps` bounds its error on the whole line, in units of fastnn.bounds.unit."""
    name: str
    arity: int
    callables: tuple[str, ...]          # "module.attribute", without the module being imported
    ulps: dict[str, float]
    sympy: str | None                   # "module.attribute"
    evaluate: Callable[..., Any]        # of floats or float64 arrays, in float64
    mpmath: Callable[..., Any]          # of the module mpmath and finite numbers inside the domain


def _ufunc(name: str) -> Callable[..., Any]:
    def evaluate(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return getattr(np, name)(*(np.asarray(a, np.float64) for a in arguments))[()]
    return evaluate


def _each(function: Callable[..., float]) -> Callable[..., Any]:
    loop = np.vectorize(function, otypes=[np.float64])

    def evaluate(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return loop(*arguments)[()]
    return evaluate


def _expit(x: float) -> float:
    e = math.exp(-abs(x))
    return (e if x < 0 else 1.0)/(1.0 + e)


def _log_expit(x: float) -> float:
    return min(x, -0.0) - math.log1p(math.exp(-abs(x))) if x == x else x


def _ndtr(x: float) -> float:
    return 0.5*math.erfc(-x*math.sqrt(0.5))


def _gauss(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.exp(-np.square(np.asarray(x, np.float64)))[()]


def _trunc(mp: Any, x: Any) -> Any:
    return mp.floor(x) if x > 0 else mp.ceil(x)


def _fmod(mp: Any, x: Any, y: Any) -> Any:
    with mp.workprec(2200):             # the quotient of two doubles has up to 2098 bits
        return x - y*_trunc(mp, x/y)


def _real_power(mp: Any, x: Any, y: Any) -> Any:
    return mp.power(x, y) if x > 0 or not x else mp.re(mp.power(-x, y))*(-1 if int(y) % 2 else 1)


def _row(name: str, numpy_names: str, other: str, sympy: str | None, mpmath: Any, arity: int = 1,
         ulps: dict[str, float] = CLOSE, evaluate: Any = None) -> Function:
    """numpy_names: the ufunc that evaluates it, then its aliases. other: qualified names outside NumPy."""
    names = numpy_names.split()
    exact = mpmath if callable(mpmath) else lambda mp, *arguments: getattr(mp, mpmath)(*arguments)
    return Function(name, arity, tuple(other.split()) + tuple(f"numpy.{n}" for n in names), ulps,
                    f"sympy.{sympy}" if sympy else None, evaluate or _ufunc(names[0]), exact)


_ROWS = (
    _row("exp", "exp", "math.exp", "exp", "exp"),
    _row("exp2", "exp2", "math.exp2 scipy.special.exp2", "codegen.cfunctions.exp2", lambda mp, x: mp.power(2, x)),
    _row("expm1", "expm1", "math.expm1 scipy.special.expm1", "codegen.cfunctions.expm1", "expm1"),
    _row("log", "log", "math.log", "log", "log"),
    _row("log2", "log2", "math.log2", "codegen.cfunctions.log2", lambda mp, x: mp.log(x, 2)),
    _row("log10", "log10", "math.log10", "codegen.cfunctions.log10", "log10"),
    _row("log1p", "log1p", "math.log1p scipy.special.log1p", "codegen.cfunctions.log1p", "log1p"),
    _row("sqrt", "sqrt", "math.sqrt", "sqrt", "sqrt", ulps=ROUNDED),
    _row("cbrt", "cbrt", "math.cbrt scipy.special.cbrt", "codegen.cfunctions.Cbrt",
         lambda mp, x: mp.sign(x)*mp.cbrt(abs(x))),
    _row("pow", "power float_power pow", "math.pow", "Pow", _real_power, arity=2),
    _row("hypot", "hypot", "math.hypot", "codegen.cfunctions.hypot", "hypot", arity=2),

    _row("sin", "sin", "math.sin", "sin", "sin"),
    _row("cos", "cos", "math.cos", "cos", "cos"),
    _row("tan", "tan", "math.tan", "tan", "tan"),
    _row("asin", "arcsin asin", "math.asin", "asin", "asin"),
    _row("acos", "arccos acos", "math.acos", "acos", "acos"),
    _row("atan", "arctan atan", "math.atan", "atan", "atan"),
    _row("atan2", "arctan2 atan2", "math.atan2", "atan2", "atan2", arity=2),
    _row("sinh", "sinh", "math.sinh", "sinh", "sinh"),
    _row("cosh", "cosh", "math.cosh", "cosh", "cosh"),
    _row("tanh", "tanh", "math.tanh", "tanh", "tanh"),
    _row("asinh", "arcsinh asinh", "math.asinh", "asinh", "asinh"),
    _row("acosh", "arccosh acosh", "math.acosh", "acosh", "acosh"),
    _row("atanh", "arctanh atanh", "math.atanh", "atanh", "atanh"),

    _row("erf", "", "math.erf scipy.special.erf", "erf", "erf", evaluate=_each(math.erf)),
    _row("erfc", "", "math.erfc scipy.special.erfc", "erfc", "erfc", evaluate=_each(math.erfc)),
    _row("gauss", "", "", None, lambda mp, x: mp.exp(-x*x), evaluate=_gauss),           # in the derivative of erf
    _row("ndtr", "", "scipy.special.ndtr", None, "ncdf", evaluate=_each(_ndtr)),
    _row("expit", "", "scipy.special.expit", None, lambda mp, x: 1/(1 + mp.exp(-x)), evaluate=_each(_expit)),
    _row("log_expit", "", "scipy.special.log_expit", None, lambda mp, x: -mp.log1p(mp.exp(-x)),
         evaluate=_each(_log_expit)),

    _row("fabs", "fabs absolute abs", "math.fabs builtins.abs", "Abs", "fabs", ulps=EXACT),
    _row("floor", "floor", "math.floor", "floor", "floor", ulps=EXACT),
    _row("ceil", "ceil", "math.ceil", "ceiling", "ceil", ulps=EXACT),
    _row("trunc", "trunc", "math.trunc", None, _trunc, ulps=EXACT),
    _row("rint", "rint", "", None, "nint", ulps=EXACT),
    _row("copysign", "copysign", "math.copysign", None,
         lambda mp, x, y: mp.mpf(math.copysign(x, y)), arity=2, ulps=EXACT),
    _row("fmod", "fmod", "math.fmod", None, _fmod, arity=2, ulps=EXACT),
    _row("minimum", "minimum", "", "Min", lambda mp, x, y: min(x, y), arity=2, ulps=EXACT),
    _row("maximum", "maximum", "", "Max", lambda mp, x, y: max(x, y), arity=2, ulps=EXACT),
)

FUNCTIONS: dict[str, Function] = {row.name: row for row in _ROWS}


def _log1p_exp(x: Any) -> Any:
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        return np.where(x > 709.782712893384, np.inf, np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))[()]


def _tanh_log1p_exp(x: Any) -> Any:
    e = np.exp(-np.abs(np.asarray(x, np.float64)))
    return np.where(x < 0, e*(e + 2)/(e*(e + 2) + 2), (1 + 2*e)/(1 + 2*e*(1 + e)))[()]


# Chains of functions, the outermost first, that one function computes in half the time with the same results
CHAINS: dict[tuple[str, ...], Function] = {
    ("tanh", "log1p", "exp"): _row("tanh_log1p_exp", "", "", None, lambda mp, x: mp.tanh(mp.log1p(mp.exp(x))),
                                   evaluate=_tanh_log1p_exp),
    ("log1p", "exp"): _row("log1p_exp", "", "", None, lambda mp, x: mp.log1p(mp.exp(x)), evaluate=_log1p_exp),
}


def find(function: Any) -> Function | None:
    """The row that a Python callable means, or None. Only modules that are loaded already are searched."""
    for row in _ROWS:
        for qualified in row.callables:
            module, _, attribute = qualified.rpartition(".")
            known = getattr(sys.modules.get(module), attribute, None)
            if known is not None and known is function:
                return row
    return None
