"""Forms of a formula that keep the digits which another one loses."""
from . import graph
from .algebra import HALF, mul, neg, value
from .listing import expression


def stable_form(root, node):
    """The form in place of the largest part of `root` that `node` belongs to and one is known for, as text; or ""."""
    for outer in reversed(graph.in_order(root)):
        if node in graph.in_order(outer) and (found := _better(outer)):
            return f"{found} in place of {expression(outer)}"
    return ""


def _better(node):
    for form in _FORMS:
        if found := form(node):
            return found
    return None


def _one_plus(node):
    """u of 1 + u."""
    if node.op == "add":
        for one, other in (node.args, node.args[::-1]):
            if value(one) == 1:
                return other
    return None


def _exponent(node):
    """u of exp(u)."""
    return node.args[0] if node is not None and node.op == "exp" else None


def _text(node, inside=True):
    return expression(node) if inside or node.op in graph.LEAVES else f"({expression(node)})"


def _sigmoid(node):
    """a/(1 + exp(-u)) and exp(u)/(1 + exp(u))."""
    if node.op != "div":
        return None
    above, below = node.args
    u = _exponent(_one_plus(below))
    if u is None:
        return None
    if _exponent(above) is u:
        return f"expit({_text(u)})"
    factor = "" if value(above) == 1 else f"{_text(above, False)}*"
    return f"{factor}expit({_text(neg(u))})"


def _tanh(node):
    """(exp(u) - exp(-u))/(exp(u) + exp(-u)), (1 - exp(-2u))/(1 + exp(-2u)) and the same of exp(2u)."""
    if node.op != "div" or node.args[0].op != "sub" or node.args[1].op != "add":
        return None
    (a, b), (c, d) = (each.args for each in node.args)
    if {a, b} != {c, d}:
        return None
    p, q = _exponent(a), _exponent(b)
    if p is not None and q is not None and neg(p) is q:
        return f"tanh({_text(p)})"
    if value(b) == 1 and p is not None:
        return f"tanh({_text(mul(HALF, p))})"
    return f"tanh({_text(mul(HALF, neg(q)))})" if value(a) == 1 and q is not None else None


def _log(node):
    if node.op != "log":
        return None
    inside = node.args[0]
    u = _one_plus(inside)
    if u is not None:
        return f"logaddexp({_text(u.args[0])}, 0)" if u.op == "exp" else f"log1p({_text(u)})"
    if inside.op == "add" and None not in (powers := [_exponent(each) for each in inside.args]):
        return f"logaddexp({_text(powers[0])}, {_text(powers[1])})"
    if inside.op == "expit":
        return f"log_expit({_text(inside.args[0])})"
    u = _exponent(_one_plus(inside.args[1])) if inside.op == "div" and value(inside.args[0]) == 1 else None
    return f"log_expit({_text(neg(u))})" if u is not None else None


def _log1p(node):
    return f"logaddexp({_text(node.args[0].args[0])}, 0)" if node.op == "log1p" and node.args[0].op == "exp" else None


def _difference(node):
    if (u := _one_plus(node)) is not None and u.op == "erf":
        return f"erfc({_text(neg(u.args[0]))})"
    if node.op != "sub":
        return None
    a, b = node.args
    if value(b) == 1:
        if a.op == "exp":
            return f"expm1({_text(a.args[0])})"
        if a.op == "sqrt" and (u := _one_plus(a.args[0])) is not None:
            return f"{_text(u, False)}/({_text(a)} + 1)"
    if value(a) == 1:
        for op, form in (("exp", "-expm1({})"), ("erf", "erfc({})"), ("cos", "2*sin({0}/2)**2")):
            if b.op == op:
                return form.format(_text(b.args[0], op != "cos"))
        if b.op == "expit":
            return f"expit({_text(neg(b.args[0]))})"
        if b.op == "mul" and b.args[0] is b.args[1] and b.args[0].op == "tanh":
            return f"1/cosh({_text(b.args[0].args[0])})**2"
    return None


def _hypotenuse(node):
    """sqrt(a*a + b*b)."""
    if node.op == "sqrt" and node.args[0].op == "add":
        squares = [each.args[0] for each in node.args[0].args if each.op == "mul" and each.args[0] is each.args[1]]
        squares += [graph.constant(1)]*(_one_plus(node.args[0]) is not None)
        if len(squares) == 2:
            return f"hypot({_text(squares[0])}, {_text(squares[1])})"
    return None


_FORMS = (_tanh, _sigmoid, _log, _log1p, _difference, _hypotenuse)
