"""The derivative of each function that a formula may call, as a piece of graph: SymPy's, or one with more digits."""
import importlib
import math
from functools import cache

from .algebra import MINUS_ONE, ONE, ZERO, add, div, mul, neg, power, sign, sub
from .errors import FormulaError, at_line
from .functions import FUNCTIONS
from .graph import constant, node


class Inexpressible(ValueError):
    """A SymPy expression that graphs have no operation for."""


def sech2(u):
    """1/cosh(u)^2, written out when differentiating is over (`written_out` in derivatives.py)."""
    return node("sech2", u)


def logistic_slope(u):
    """expit'(u), even, written out like sech2."""
    return node("logistic_slope", u)


def _copysign(y, a, b):
    return mul(sign(a), node("copysign", ONE, b)), ZERO


# name: (value, *arguments) -> the derivative for each argument. SymPy's own rule would lose digits in a tail (tanh:
# 1 - tanh^2), divide 0 by 0 (pow) or be undefined for negative numbers (cbrt); SymPy lacks the function, or need not be
# imported for it alone, which takes longer than all else.
OWN = {
    "exp": lambda y, u: (y,), "sin": lambda y, u: (node("cos", u),), "cos": lambda y, u: (neg(node("sin", u)),),
    "tanh": lambda y, u: (sech2(u),),
    "sech2": lambda y, u: (node("sech2_slope", u),),
    "expit": lambda y, u: (logistic_slope(u),),
    "logistic_slope": lambda y, u: (node("logistic_curvature", u),),
    "log_expit": lambda y, u: (node("expit", neg(u)),),
    "erf": lambda y, u: (mul(constant(2/math.sqrt(math.pi)), node("gauss", u)),),
    "erfc": lambda y, u: (mul(constant(-2/math.sqrt(math.pi)), node("gauss", u)),),
    "ndtr": lambda y, u: (mul(constant(math.sqrt(0.5/math.pi)), node("gauss", mul(constant(math.sqrt(0.5)), u))),),
    "gauss": lambda y, u: (mul(constant(-2), mul(u, y)),),
    "cbrt": lambda y, u: (div(ONE, mul(constant(3), mul(y, y))),),
    "asin": lambda y, u: (div(ONE, node("sqrt", mul(sub(ONE, u), add(ONE, u)))),),
    "acos": lambda y, u: (div(MINUS_ONE, node("sqrt", mul(sub(ONE, u), add(ONE, u)))),),
    "atanh": lambda y, u: (div(ONE, mul(sub(ONE, u), add(ONE, u))),),
    "hypot": lambda y, u, v: (div(u, y), div(v, y)),
    "fabs": lambda y, u: (sign(u),),
    "floor": lambda y, u: (ZERO,), "ceil": lambda y, u: (ZERO,), "trunc": lambda y, u: (ZERO,),
    "rint": lambda y, u: (ZERO,),
    "copysign": _copysign,
    "fmod": lambda y, u, v: (ONE, neg(node("trunc", div(u, v)))),
}


def local_derivatives(function):
    """The derivatives of a node that calls a function, one for each argument.

    Raises FormulaError where SymPy knows none.
    """
    if function.op in OWN:
        return OWN[function.op](function, *function.args)
    row = FUNCTIONS.get(function.op)
    if row is None or row.sympy is None:
        raise FormulaError(at_line(function.line, f"the derivative of {function.op} is not known: give it"))
    symbols, derivatives = _by_sympy(row.sympy, row.arity)
    names = dict(zip(symbols, function.args))
    try:
        return [from_sympy(derivative, names) for derivative in derivatives]
    except Inexpressible as error:
        raise FormulaError(at_line(function.line, f"the derivative of {function.op}, {error}, is none of the functions "
                                                  "that formulas may use: give it")) from None


@cache
def _by_sympy(qualified, arity):
    import sympy
    module, _, name = qualified.rpartition(".")
    symbols = [sympy.Dummy(real=True) for _ in range(arity)]
    value = getattr(importlib.import_module(module), name)(*symbols)
    return symbols, [sympy.diff(value, symbol) for symbol in symbols]


def from_sympy(expression, names):
    """The graph of a SymPy expression.

    Parameters
    ----------
    expression : sympy.Expr
    names : mapping
        The node that stands for each symbol; other subexpressions may have theirs, too.

    Raises Inexpressible for what graphs have no operation for.
    """
    import sympy

    def built(one):
        if one in names:
            return names[one]
        if one.is_number:
            return constant(float(one))
        if one.is_Add:
            positive, *others = sorted(one.args, key=lambda term: bool(term.could_extract_minus_sign()))
            total = built(positive)
            for term in others:
                total = sub(total, built(-term)) if term.could_extract_minus_sign() else add(total, built(term))
            return total
        if one.is_Mul:
            numbers = [factor for factor in one.args if factor.is_number]
            above, below = constant(float(sympy.Mul(*numbers))), ONE
            for factor in one.args:
                if factor in numbers:
                    continue
                if factor.is_Pow and factor.exp.could_extract_minus_sign():
                    below = mul(below, built(1/factor))
                else:
                    above = mul(above, built(factor))
            return div(above, below)
        if one.is_Pow and one.exp.is_number:
            return _power(built(one.base), one.exp)
        if isinstance(one, sympy.Abs):
            return node("abs", built(one.args[0]))
        if isinstance(one, sympy.sign):
            return sign(built(one.args[0]))
        for row in FUNCTIONS.values():
            if row.sympy and row.arity == len(one.args) and row.sympy.rpartition(".")[2] == type(one).__name__:
                return node(row.name, *map(built, one.args))
        raise Inexpressible(str(one))

    def _power(base, exponent):
        if exponent < 0:
            return div(ONE, _power(base, -exponent))
        if exponent.is_Integer:
            return power(base, int(exponent))
        if exponent.is_Rational and exponent.q == 2:
            root = node("sqrt", base)
            return mul(power(base, int(exponent - sympy.Rational(1, 2))), root)
        return node("pow", base, constant(float(exponent)))

    return built(expression)
