"""Operations on nodes that leave out what is nothing: 0 a, 1 a, a + 0. For derivatives: formulas stay as written."""
from .graph import constant, in_order, node, select
from .graph import power as _power

ZERO, ONE, TWO, HALF, MINUS_ONE = map(constant, (0, 1, 2, 0.5, -1))


def value(a):
    """The number of a constant, else None."""
    return a.args[0] if a.op == "constant" else None


def neg(a):
    if a.op == "constant":
        return constant(-value(a)) if value(a) else ZERO
    if a.op == "neg":
        return a.args[0]
    if a.op == "sub":
        return node("sub", *reversed(a.args))
    if a.op == "mul":
        for one, other in (a.args, a.args[::-1]):
            if one.op == "constant":
                return _times(neg(one), other)
    return node("neg", a)


def add(a, b):
    if value(a) == 0:
        return b
    if value(b) == 0:
        return a
    if a.op == b.op == "constant":
        return constant(value(a) + value(b))
    if a is b:
        return mul(TWO, a)
    if b.op == "neg":
        return sub(a, b.args[0])
    return sub(b, a.args[0]) if a.op == "neg" else node("add", a, b)


def sub(a, b):
    if value(b) == 0:
        return a
    if value(a) == 0:
        return neg(b)
    if a.op == b.op == "constant":
        return constant(value(a) - value(b))
    if a is b:
        return ZERO
    return add(a, b.args[0]) if b.op == "neg" else node("sub", a, b)


def mul(a, b):
    """The product, what is uniform in it in front: that is computed once a call."""
    if value(a) == 0 or value(b) == 0:
        return ZERO
    first, a = _split(a)
    second, b = _split(b)
    front, rest = _times(first, second), _times(a, b)
    return _negative(rest) if value(front) == -1 else _times(front, rest)


def _split(a):
    """(uniform factor, the others)."""
    if a.uniform:
        return a, ONE
    if a.op == "neg":
        front, rest = _split(a.args[0])
        return neg(front), rest
    if a.op == "mul":
        for front, rest in (a.args, a.args[::-1]):
            if front.uniform:
                return front, rest
    return ONE, a


def _times(a, b):
    if value(a) == 1:
        return b
    if value(b) == 1:
        return a
    if a.op == b.op == "constant":
        return constant(value(a)*value(b))
    return node("mul", a, b)


def _negative(a):
    return a.args[0] if a.op == "neg" else node("neg", a)


def div(a, b):
    """The quotient; a uniform divisor divides once a call."""
    if value(a) == 0:
        return ZERO
    if value(b) == 1:
        return a
    front, rest = _split(a)
    if b.uniform:
        return mul(_ratio(front, b), rest)
    return mul(front, node("div", rest, b)) if value(front) == -1 else node("div", a, b)


def _ratio(a, b):
    if a.op == b.op == "constant" and value(b):
        return constant(value(a)/value(b))
    return node("div", a, b)


def power(a, count):
    """a to a whole number."""
    if a.op == "neg":
        return power(a.args[0], count) if count % 2 == 0 else neg(power(a.args[0], count))
    return _power(a, count)


def sign(a):
    """1, -1, or 0 at 0."""
    return select(node("lt", a, ZERO), MINUS_ONE, select(node("lt", ZERO, a), ONE, ZERO))



def factors(a):
    """What a product multiplies."""
    found, stack = [], [a]
    while stack:
        current = stack.pop()
        if current.op == "mul":
            stack.extend(reversed(current.args))
        else:
            found.append(current)
    return found


def rebuilt(root, replace):
    """`root` with every node that `replace(node)`, called with its operands done, has another one for."""
    done = {}
    for current in in_order(root):
        operands = tuple(done[operand] for operand in current.operands)
        if operands != current.operands:
            done[current] = replace(node(current.op, *operands, line=current.line))
        else:
            done[current] = replace(current)
    return done[root]
