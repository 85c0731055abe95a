"""Operations on nodes that leave out what is nothing: 0 a, 1 a, a + 0. For derivatives alone: a formula stays as written."""
from .graph import constant, in_order, node
from .graph import select as _select

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
    if a.op == "mul" and a.args[0].op == "constant":
        return mul(neg(a.args[0]), a.args[1])
    if a.op == "mul" and a.args[1].op == "constant":
        return mul(neg(a.args[1]), a.args[0])
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
    if b.op == "constant":
        a, b = b, a
    if value(a) == 0:
        return ZERO
    if value(a) == 1:
        return b
    if a.op == b.op == "constant":
        return constant(value(a)*value(b))
    if value(a) == -1:
        return b.args[0] if b.op == "neg" else node("neg", b)
    if a.op == "neg":
        return neg(mul(a.args[0], b))
    if b.op == "neg":
        return neg(mul(a, b.args[0]))
    if a.op == "constant" and b.op == "mul":
        for one, other in (b.args, b.args[::-1]):
            if one.op == "constant":
                return mul(constant(value(a)*value(one)), other)
    return node("mul", a, b)


def div(a, b):
    if value(a) == 0:
        return ZERO
    if value(b) == 1:
        return a
    if value(b) == -1:
        return neg(a)
    if a.op == b.op == "constant" and value(b):
        return constant(value(a)/value(b))
    return neg(div(a.args[0], b)) if a.op == "neg" else node("div", a, b)


def select(condition, a, b):
    return _select(condition, a, b)


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
