"""Derivatives of formulas: the chain rule over the graph, with SymPy for the functions and for quotients that cancel.

The graph of a derivative calls the formula's own subexpressions, so it is as exact and as far from overflow as they
are. What the chain rule alone would spoil is written otherwise: see `_exponential_sum`, `_numerator` and `rules.OWN`.
docs/decisions.md compares this with SymPy's derivative of the whole formula.
"""
import math
from functools import reduce
from weakref import WeakKeyDictionary

from .algebra import HALF, ONE, TWO, ZERO, add, div, factors, mul, neg, power, rebuilt, select, sign, sub, value
from .graph import ARITHMETIC, constant, in_order, node
from .rules import from_sympy, local_derivatives

LARGEST_QUOTIENT = 60           # nodes of u, v, u' and v' together,
MOST_FACTORS = 24               # of a product, searched for signs
MOST_TERMS = 24                 # and terms when multiplied out: SymPy's time to simplify grows quickly

# functions whose slope may be infinite where they are finite
_STEEP = {"sqrt", "cbrt", "pow", "hypot", "asin", "acos", "acosh", "atan2"}
_EXPLOSIVE = {"exp", "exp2", "expm1", "sinh", "cosh", "pow"}

_unwritten = WeakKeyDictionary()    # a derivative -> the same with sech2 and logistic_slope, which have their own slopes


def derived(root, name="x"):
    """The derivative of a graph with respect to the element `name`.

    Hyperparameters and constants are left alone. At a kink the derivative is that of the branch which the formula
    takes; that of abs is 0 at 0.

    Raises
    ------
    FormulaError
        Where a function has no derivative that formulas can compute. Names the line that calls it.
    """
    start = rebuilt(_unwritten.get(root, root), _without_overflow)
    slopes = {}
    for current in in_order(start):
        slopes[current] = _slope(current, slopes, name)
    raw = slopes[start]
    if any(map(_is_sign, in_order(raw))):
        raw = rebuilt(raw, _without_squared_signs)
    found = written_out(raw)
    if found is not raw:
        _unwritten[found] = raw
    return found


def _is_sign(a):
    return a.op == "select" and a.args[0].op == "lt" and a is sign(a.args[0].args[0])


def _without_squared_signs(y):
    """sign(u)^2 is 1, at 0 too: the second derivative of abs(u)^2 has it."""
    if y.op != "mul":
        return y
    kept, stack, dropped = [], [y], False
    while stack:
        factor = stack.pop()
        if factor.op == "mul" and len(stack) < MOST_FACTORS:
            stack += reversed(factor.args)
        elif factor in kept and _is_sign(factor):
            kept.remove(factor)
            dropped = True
        else:
            kept.append(factor)
    return reduce(mul, kept, ONE) if dropped else y


def _slope(y, slopes, name):
    if y.op == "element":
        return ONE if y.args[0] == name else ZERO
    if y.uniform or y.is_condition:
        return ZERO
    if y.op == "select":
        condition, a, b = y.args
        return select(condition, slopes[a], slopes[b])
    if all(slopes[operand] is ZERO for operand in y.operands):
        return ZERO
    if y.op in _STEEP:
        moving = {operand for operand in y.operands if not operand.uniform}
        if len(moving) == 1:
            return _by_branches(y, *moving, slopes)
    return _chain(y, slopes)


def _by_branches(y, u, slopes):
    """The slope of a function of u: where a branch of u stands still, so does the function, however steep it is there."""
    slope = slopes[u]
    if slope is ZERO:
        return ZERO
    if slope.op == "select" and _stands_still(slope):
        condition, *sides = slope.args
        return select(condition, *(_by_branches(y, u, {**_others(y, slopes), u: side}) for side in sides))
    return _chain(y, slopes)


def _stands_still(slope):
    return slope is ZERO or slope.op == "select" and not _is_sign(slope) and any(map(_stands_still, slope.args[1:]))


def _others(y, slopes):
    return {operand: slopes[operand] for operand in y.operands}


def _chain(y, slopes):
    if y.op in _RULES:
        return _RULES[y.op](y, *y.args, slopes)
    total = ZERO
    for operand, local in zip(y.args, local_derivatives(y)):
        total = add(total, _chained(local, slopes[operand]))
    return total


def _chained(local, slope):
    """local*slope; 0 where the one has vanished and the other one overflows, as in tanh(exp(x))."""
    product = mul(local, slope)
    if local.uniform or not _may_overflow(slope):
        return product
    return select(node("eq", local, ZERO), ZERO, product)


def _may_overflow(slope):
    stack, seen = [slope], set()
    while stack:
        current = stack.pop()
        if current.op in _EXPLOSIVE:
            return True
        if current in seen:
            continue
        seen.add(current)
        if current.op in ("add", "sub", "mul", "neg", "abs", "div"):
            stack += current.args[:1] if current.op == "div" else current.args
        elif current.op == "select":
            stack += current.args[1:]
    return False


def _product(y, u, v, slopes):
    base, count = _as_power(y)
    if count == 2 and base.op in ("sin", "cos"):        # 2 sin(a) cos(a), with half of the work
        slope = mul(node("sin", mul(TWO, base.args[0])), slopes[base.args[0]])
        return slope if base.op == "sin" else neg(slope)
    if count > 1:
        return mul(mul(constant(count), power(base, count - 1)), slopes[base])
    return add(mul(slopes[u], v), mul(u, slopes[v]))


def _as_power(y):
    """(base, exponent) of a product of equal factors; else (y, 1)."""
    base, *others = factors(y)
    return (base, 1 + len(others)) if all(factor is base for factor in others) else (y, 1)


def _quotient(y, u, v, slopes):
    du, dv = slopes[u], slopes[v]
    if dv is ZERO:
        return div(du, v)
    base, count = _as_power(v)
    exponential = _exponential_sum(base)
    if du is not ZERO and not (exponential and _is_free_of(u, exponential[0])):
        numerator = _numerator(u, v, du, dv)
        if numerator is not None:
            inverse = div(ONE, v)
            return mul(mul(numerator, inverse), inverse)        # v*v may overflow
    if (du is ZERO or _may_overflow(dv)) and not exponential:
        return sub(div(du, v), _chained(y, div(dv, v)))
    if exponential:
        return sub(div(du, v), mul(y, mul(constant(count), _relative_slope(base, slopes))))
    return div(sub(du, mul(y, dv)), v)


def _relative_slope(v, slopes):
    """v'/v, which stays finite where exponentials in v overflow."""
    if v.op == "exp":
        return slopes[v.args[0]]
    if v.op in ("mul", "div"):              # of c u and u/c that of u, of c/u the other one: without the quotient
        u, w = v.args
        if slopes[w] is ZERO:
            return _relative_slope(u, slopes)
        if slopes[u] is ZERO:
            return neg(_relative_slope(w, slopes)) if v.op == "div" else _relative_slope(w, slopes)
    found = _exponential_sum(v)
    if not found:
        return div(slopes[v], v)
    exponent, ratio = found             # E/(ratio + E), E = exp(exponent)
    if value(ratio) == 1:
        share = node("expit", exponent)
    else:
        share = div(ONE, add(ONE, mul(ratio, node("exp", neg(exponent)))))
    return mul(share, slopes[exponent])


def _exponential_sum(v):
    """(a, c/k) of c + k exp(a), with uniform c and k that are no numbers below 0; else None."""
    if v.op != "add":
        return None
    for c, term in (v.args, v.args[::-1]):
        exponential, k = _scaled_exponential(term)
        if exponential and c.uniform and not (value(c) or 0) < 0 and not (value(k) or 0) < 0:
            return exponential.args[0], div(c, k)
    return None


def _scaled_exponential(term):
    """(exp(a), k) of k exp(a), else (None, None)."""
    if term.op == "exp" and not term.uniform:
        return term, ONE
    if term.op == "mul":
        for k, other in (term.args, term.args[::-1]):
            if k.uniform and other.op == "exp":
                return other, k
    return None, None


def _is_free_of(u, exponent):
    return not any(a.op == "exp" and a.args[0] is exponent for a in in_order(u))


def _without_overflow(y):
    """u/(1 + exp(a)) as u expit(-a), u exp(a)/(1 + exp(a)) as u expit(a), log(1 + exp(a)) as -log_expit(-a)."""
    if y.op in ("log", "log1p"):
        found = _exponential_sum(y.args[0] if y.op == "log" else add(ONE, y.args[0]))
        if found and value(found[1]) == 1 and (y.op == "log1p" or ONE in y.args[0].args):
            return neg(node("log_expit", neg(found[0])))
    if y.op != "div":
        return y
    u, v = y.args
    found = _exponential_sum(v)
    if not found or value(found[1]) != 1:
        return y
    exponent, rest, cancelled = found[0], ONE, False
    for factor in factors(u):
        if not cancelled and factor.op == "exp" and factor.args[0] is exponent:
            cancelled = True
        else:
            rest = mul(rest, factor)
    if not _is_free_of(rest, exponent):
        return y
    one = next(c for c in v.args if c.uniform)
    return div(mul(rest, node("expit", exponent if cancelled else neg(exponent))), one)


def _numerator(u, v, du, dv):
    """u'v - u v' if terms of it cancel, else None: what is left then keeps digits that the difference would lose."""
    if len(in_order(u, v, du, dv)) > LARGEST_QUOTIENT:
        return None
    import sympy
    forms, signs = {}, {}
    u, v, du, dv = (_to_sympy(a, forms, signs) for a in (u, v, du, dv))

    def expanded(expression):
        return sympy.expand(expression).replace(
            lambda one: one.is_Pow and one.base in signs and one.exp.is_Integer,
            lambda one: one.base**(one.exp % 2))                # sign(a)^2 is 1

    if max(_terms(du)*_terms(v), _terms(u)*_terms(dv)) > MOST_TERMS:
        return None
    first, second = du*v, u*dv
    below = sympy.fraction(sympy.together(first - second))[1]
    first, second = expanded(first*below), expanded(second*below)
    difference = expanded(first - second)
    if len(sympy.Add.make_args(difference)) >= max(len(sympy.Add.make_args(one)) for one in (first, second)):
        return None
    shorter = sympy.factor(difference)/below
    if sympy.count_ops(shorter) > sympy.count_ops(du*v) + sympy.count_ops(u*dv):
        return None
    if not shorter.atoms(sympy.exp) <= (du*v).atoms(sympy.exp) | (u*dv).atoms(sympy.exp):
        return None             # exp(x) in place of exp(-x) would overflow
    names = {form: a for a, form in forms.items() if not form.is_number} | signs
    return from_sympy(shorter, names)


def _terms(expression):
    """About how many terms there are when it is multiplied out; those of denominators count, too."""
    if expression.is_Add:
        return sum(map(_terms, expression.args))
    if expression.is_Mul:
        return math.prod(map(_terms, expression.args))
    if expression.is_Pow and expression.exp.is_Rational:
        return _terms(expression.base)**max(1, int(abs(expression.exp)))
    return 1


def _to_sympy(root, forms, signs):
    """The SymPy expression of a graph: arithmetic, exp and sqrt as they are, all else as symbols.

    `forms` keeps what each node became; `signs` the symbols of sign(a), which stand in abs(a) = sign(a) a.
    """
    import sympy
    for current in in_order(root):
        if current in forms:
            continue
        args = [forms[operand] for operand in current.operands]
        number = value(current)
        if number is not None and abs(number) < 2**20 and (number*2**20).is_integer():
            form = sympy.Rational(number)
        elif current.op == "div" and args[1] != 0:
            form = args[0]/args[1]
        elif current.op in ("add", "sub", "mul", "neg"):
            form = ARITHMETIC[current.op](*args)
        elif current.op in ("exp", "sqrt"):
            form = getattr(sympy, current.op)(*args)
        elif current.op == "abs":
            of_sign = sign(current.args[0])
            form = forms.setdefault(of_sign, sympy.Dummy(real=True))
            signs[form] = of_sign
            form = form*args[0]
        else:
            form = sympy.Dummy(real=True)
        forms[current] = form
    return forms[root]


def _power(y, u, v, slopes):
    if v.uniform:
        lower = node("sqrt", u) if value(v) == 1.5 else node("pow", u, _lowered(v))
        return _chained(mul(v, lower), slopes[u])
    growth = mul(slopes[v], node("log", u))
    if not u.uniform:
        return mul(y, add(growth, mul(v, _relative_slope(u, slopes))))
    product = mul(y, growth)
    return product if value(u) else select(node("eq", y, ZERO), ZERO, product)          # 0^v log(0) is 0


def _lowered(v):
    """v - 1; of a hyperparameter that may be 0 then 0: in v u^(v - 1) the one 0 must not meet 1/0."""
    return sub(v, ONE) if v.op == "constant" and value(v) else select(node("eq", v, ZERO), ZERO, sub(v, ONE))


def _log1p(y, u, slopes):
    total = add(ONE, u)
    return _relative_slope(total, slopes) if _exponential_sum(total) else div(slopes[u], total)


_RULES = {
    "add": lambda y, u, v, slopes: add(slopes[u], slopes[v]),
    "sub": lambda y, u, v, slopes: sub(slopes[u], slopes[v]),
    "neg": lambda y, u, slopes: neg(slopes[u]),
    "abs": lambda y, u, slopes: mul(sign(u), slopes[u]),
    "mul": _product,
    "div": _quotient,
    "minimum": lambda y, u, v, slopes: select(node("le", u, v), slopes[u], slopes[v]),
    "maximum": lambda y, u, v, slopes: select(node("le", v, u), slopes[u], slopes[v]),
    "pow": _power,
    "log": lambda y, u, slopes: _relative_slope(u, slopes),
    "log1p": _log1p,
    "sqrt": lambda y, u, slopes: div(mul(HALF, slopes[u]), y),
}


def written_out(root):
    """The graph without sech2, logistic_slope and their derivatives."""
    root = rebuilt(root, _without_slopes)
    squared = {current.args[0] for current in in_order(root) if current.op == "sech2"}
    root = rebuilt(root, lambda current: _without_sech2(current, squared))
    nodes = in_order(root)
    even = {current.args[0] for current in nodes if current.op == "logistic_slope"}
    logistic = {current.args[0] for current in nodes if current.op == "expit"}
    even |= {u for u in logistic if neg(u) in logistic and u.op != "neg" and neg(u) not in even}

    def replace(current):
        u, *_ = current.args or (None,)
        if current.op == "logistic_slope":
            e = node("exp", neg(node("abs", u)))
            return div(e, _square(add(ONE, e)))
        if current.op == "expit" and (u in even or neg(u) in even):         # the same exponential serves both
            argument = u if u in even else neg(u)
            e = node("exp", neg(node("abs", argument)))
            above = (e, ONE) if u in even else (ONE, e)
            return div(select(node("lt", argument, ZERO), *above), add(ONE, e))
        return current

    return rebuilt(root, replace)


def _without_slopes(current):
    """The derivatives of sech2 and logistic_slope with one exponential: tanh(u/2) is (1 - e)/(1 + e), e = exp(-u), and
    1 - e keeps its digits as expm1."""
    if current.op not in ("sech2_slope", "logistic_curvature"):
        return current
    u, = current.args
    if current.op == "sech2_slope" and u.op == "neg" and u.args[0].op == "log_expit":      # see _without_sech2
        return mul(constant(-2), mul(node("tanh", u), node("sech2", u)))
    front, doubled = (constant(8), mul(TWO, u)) if current.op == "sech2_slope" else (ONE, u)
    exponent = neg(node("abs", doubled))
    e, less = node("exp", exponent), node("expm1", exponent)
    total = add(ONE, e)
    return mul(front, div(mul(select(node("lt", u, ZERO), neg(less), less), e), mul(_square(total), total)))


def _without_sech2(current, squared):
    """sech2(u) as 4 e/(1 + e)^2 with e = exp(-2 |u|). Of u = log(1 + exp(x)), e is expit(-x)^2, and tanh(u) follows, too.

    `squared`: the arguments of all sech2.
    """
    if current.op not in ("sech2", "tanh"):
        return current
    u, = current.args
    minus = u.args[0].args[0] if u.op == "neg" and u.args[0].op == "log_expit" else None            # -x
    if current.op == "tanh" and minus and u not in squared:
        return node("tanh", node("log1p", node("exp", neg(minus))))         # compiled as one function
    if current.op == "tanh" and minus:
        e, gate = _square(node("expit", minus)), node("expit", neg(minus))
        return div(mul(gate, add(ONE, node("expit", minus))), add(ONE, e))
    if current.op == "tanh":
        return current
    e = _square(node("expit", minus)) if minus else node("exp", neg(node("abs", mul(TWO, u))))
    return div(mul(constant(4), e), _square(add(ONE, e)))


def _square(a):
    return node("mul", a, a)
