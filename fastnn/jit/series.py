"""Power series of graphs at a point: what derivatives are there as expressions of the hyperparameters.

sin(a x)/x has no value at 0, and the second derivative -a^3/3: numerator and denominator are expanded, and what both
lack is left out. Coefficients are uniform nodes; a comparison is decided by what its operands do to the right of the
point.
"""
from .algebra import ONE, ZERO, add, div, mul, neg, sub
from .graph import constant, evaluate, in_order, node
from .rules import local_derivatives

MOST_TERMS = 10
NOTHING = 1e-30

# (value, *arguments) -> the derivative for each argument, in terms of the value: an equation for the coefficients
_SLOPES = {"tanh": lambda y, u: (sub(ONE, mul(y, y)),), "expit": lambda y, u: (mul(y, sub(ONE, y)),),
           "sqrt": lambda y, u: (div(constant(0.5), y),), "pow": lambda y, u, v: (div(mul(v, y), u), ZERO)}
_HOLDS = {"lt": lambda sign: sign < 0, "le": lambda sign: sign <= 0, "eq": lambda sign: not sign, "ne": bool}


class Unknown(ValueError):
    """There is no such series, or it is not found."""


class Series:
    """The series of graphs of x at one point.

    Parameters
    ----------
    element : Node
        x.
    at : Node
        The point, uniform.
    settings : sequence of mapping
        Hyperparameters as numbers of mpmath. They decide what is 0 and what is positive; all have to agree.
    arithmetic : mapping
    """

    def __init__(self, element, at, settings, arithmetic):
        self.element, self.at, self.settings, self.arithmetic = element, at, settings, arithmetic
        self.found = {}                 # (node, number of terms) -> list; None while it is looked for

    def terms(self, y, count):
        """The first coefficients of a graph. Raises Unknown."""
        if count > MOST_TERMS:
            raise Unknown
        key = y, count
        if key not in self.found:
            self.found[key] = None
            self.found[key] = [self.plain(term) for term in self.expanded(y, count)]
        if self.found[key] is None:     # it depends on itself
            raise Unknown
        return self.found[key]

    def numbers(self, a):
        return [evaluate([a], values, self.arithmetic)[0] for values in self.settings]

    def plain(self, a):
        """The number that a node without hyperparameters is; 0 for what is 0 in all settings."""
        numbers = self.numbers(a)
        if all(abs(number) < NOTHING for number in numbers):
            return ZERO
        fixed = not any(one.op == "parameter" for one in in_order(a))
        return constant(float(numbers[0])) if fixed else a

    def sign(self, a, b):
        """Of a - b, to the right of the point."""
        for count in range(1, MOST_TERMS):
            term = self.plain(sub(self.terms(a, count)[-1], self.terms(b, count)[-1]))
            if term is not ZERO:
                signs = {number > 0 for number in self.numbers(term)}
                if len(signs) > 1:
                    raise Unknown
                return 1 if signs.pop() else -1
        return 0

    def holds(self, condition):
        if condition.op in _HOLDS:
            return _HOLDS[condition.op](self.sign(*condition.args))
        sides = [self.holds(operand) for operand in condition.args]
        return not sides[0] if condition.op == "not" else (all if condition.op == "and" else any)(sides)

    def expanded(self, y, count):
        if y is self.element:
            return [self.at, ONE, *[ZERO]*count][:count]
        if y.uniform:
            return [y, *[ZERO]*count][:count]
        op, args = y.op, y.args
        if op in ("abs", "fabs"):
            return self.terms(args[0] if self.sign(args[0], ZERO) >= 0 else node("neg", args[0]), count)
        if op == "select":
            return self.terms(args[1 if self.holds(args[0]) else 2], count)
        if op in ("minimum", "maximum"):
            return self.terms(args[(self.sign(*args) > 0) == (op == "minimum")], count)
        if op in ("add", "sub"):
            return list(map(add if op == "add" else sub, self.terms(args[0], count), self.terms(args[1], count)))
        if op == "neg":
            return [neg(term) for term in self.terms(args[0], count)]
        if op == "mul":
            return _product(self.terms(args[0], count), self.terms(args[1], count))
        if op == "div":
            return self.quotient(*args, count)
        return self.function(y, count)

    def quotient(self, u, v, count):
        missing = 0
        while self.terms(v, missing + 1)[-1] is ZERO:
            missing += 1
        u, v = self.terms(u, count + missing), self.terms(v, count + missing)[missing:]
        if any(term is not ZERO for term in u[:missing]):
            raise Unknown               # a pole
        found = []
        for term in u[missing:]:
            for i, earlier in enumerate(found):
                term = sub(term, mul(earlier, v[len(found) - i]))
            found.append(self.plain(div(term, v[0])))
        return found

    def function(self, y, count):
        """From its value at the point and from y' = sum of local slope times slope of the argument."""
        starts = [self.terms(operand, 1)[0] for operand in y.args]
        found = [node(y.op, *starts)]
        if count == 1:
            return found
        if y.op == "pow" and not y.args[1].uniform:
            raise Unknown
        local = _SLOPES[y.op](y, *y.args) if y.op in _SLOPES else local_derivatives(y)
        totals = [ZERO]*(count - 1)
        for slope, operand in zip(local, y.args):
            if operand.uniform:
                continue
            moving = [mul(constant(i), term) for i, term in enumerate(self.terms(operand, count))][1:]
            totals = list(map(add, totals, _product(self.terms(slope, count - 1), moving)))
        return found + [div(total, constant(i + 1)) for i, total in enumerate(totals)]


def _product(a, b):
    found = []
    for k in range(len(a)):
        total = ZERO
        for i in range(k + 1):
            total = add(total, mul(a[i], b[k - i]))
        found.append(total)
    return found
