"""Formulas as graphs: what a Python function does to numbers is recorded, and what cannot be followed is refused."""
import builtins
import cmath
import functools
import math
import math as maths
import threading

import numpy as np
import pytest

from fastnn import where
from fastnn.jit import graph
from fastnn.jit.errors import FormulaError
from fastnn.jit.kernels import elementwise, rule
from fastnn.jit.listing import listing
from fastnn.jit.symbolic import Symbolic
from fastnn.jit.trace import trace
from fastnn.jit.uniform import ARITHMETIC, hoisted

X, A = graph.element("x"), graph.parameter("a")
SPECIAL = [-math.inf, -1e300, -2.5, -1.0, -1e-320, -0.0, 0.0, 1e-320, 0.5, 1.0, 2.0, 3.75, 1e300, math.inf, math.nan]


def traced(function, *more):
    return trace(function, Symbolic(X), *map(Symbolic, more))


def value(function, x, **parameters):
    """A formula's value at x by its graph."""
    roots = traced(function, *(graph.parameter(name) for name in parameters))
    found, = graph.evaluate(roots, {"x": x, **parameters}, ARITHMETIC)
    return float(found)


def same(a, b):
    return a == b and math.copysign(1, a) == math.copysign(1, b) or a != a and b != b


def branches(x):
    if x < -1:
        return -x
    elif x == 0:
        return 5
    y = 2*x if 0 < x <= 2 else x
    return y + 1 if not y > 3 or x != x else y


def helper(x):
    return maths.exp(-x) if x > 0 else 1.0


@functools.cache
def cached(x):
    return 2*x


def loops(x):
    total = 0.0
    for power in range(3):
        total += x**power/math.factorial(power)
    return total


def remembers(x, seen={}):
    return x + len(seen)


@pytest.mark.parametrize("function", [
    branches, loops, remembers, lambda x: max(x, 0), lambda x: max(0, x), lambda x: min(x, 1.5, -x),
    lambda x: max([x, -x]), lambda x: abs(x) - abs(-x), lambda x: -x, lambda x: +x, lambda x: x*x - x, lambda x: 1 - x,
    lambda x: (x > 0)*x, lambda x: x > 0, lambda x: (x > 0) + (x > 1), lambda x: where(x < 1, x, 1), lambda x: x - x,
    lambda x: (x + 1) - 1, lambda x: 3.0, lambda x: x**2, lambda x: x**0, lambda x: x if x else 7,
    lambda x: where((x > 0) & (x < 2) | (x == -1), 1, 2), lambda x: x if x in (1, 2) else 0,
    lambda x: float(x) + float("1e-3"), lambda x: x if isinstance(x, float) else 0, lambda x: sum([x, x, 1]),
    lambda x: math.copysign(1, x), lambda x: math.fabs(x), lambda x: 1 if math.isnan(x) else 2,
    lambda x: 1 if math.isinf(x) else 2, lambda x: 1 if math.isfinite(x) else 2,
    lambda x: (lambda y: y + x)(x), lambda x: [x, 2*x][1], lambda x: builtins.max(x, 1)])
def test_as_python_on_floats(function):
    for x in SPECIAL:
        try:
            wanted = float(function(x))
        except OverflowError:           # where Python raises, the result is infinite
            wanted = math.inf
        assert same(value(function, x), wanted), x


@pytest.mark.parametrize(("function", "wanted"), [
    (lambda x: where(~(x > 0), 1, 2), lambda x: 2 if x > 0 else 1),
    (lambda x: np.where(x > 0, x, 0.1*x), lambda x: x if x > 0 else 0.1*x), (lambda x: np.sign(x), np.sign),
    (lambda x: np.maximum(x, 0), lambda x: np.maximum(x, 0)), (lambda x: np.minimum(x, 1), lambda x: np.minimum(x, 1)),
    (lambda x: np.clip(x, -1, 2), lambda x: np.clip(x, -1, 2)), (lambda x: np.square(x), np.square),
    (lambda x: np.heaviside(x, 0.5), lambda x: np.heaviside(x, 0.5)), (lambda x: np.float64(2)*x, lambda x: 2*x),
    (lambda x: np.logical_and(x, x < 2), lambda x: x and x < 2), (lambda x: np.logical_not(x), lambda x: not x),
    (lambda x: np.absolute(x), abs), (lambda x: np.add(x, np.pi), lambda x: x + np.pi), (lambda x: np.array(2.0)*x, lambda x: 2*x),
    (lambda x: np.logaddexp(0, x), lambda x: np.logaddexp(0, x))])
def test_numpy(function, wanted):
    with np.errstate(all="ignore"):
        for x in SPECIAL:
            got, exact = value(function, x), float(wanted(x))
            assert same(got, exact) or math.isclose(got, exact, rel_tol=1e-15), (x, got, exact)


@pytest.mark.parametrize("y", [2.0, -2.0, 0.3, math.inf, -math.inf])
def test_modulo(y):
    for x in SPECIAL:
        if not math.isinf(x):
            assert same(value(lambda x: x % y, x), x % y), x


@pytest.mark.parametrize(("function", "op"), [
    (lambda x: math.exp(x), "exp"), (lambda x: np.exp(x), "exp"), (helper, "exp"), (lambda x: helper(x), "exp"),
    (lambda x: np.arctan2(x, 1), "atan2"), (lambda x: x**2.5, "pow"),
    (lambda x: 2**x, "pow"), (lambda x: pow(x, 0.5), "pow"), (lambda x: math.log(x, 2), "log")])
def test_functions_are_known_by_all_their_names(function, op):
    assert op in {node.op for node in graph.in_order(*traced(function))}


def test_functions_of_scipy():
    special = pytest.importorskip("scipy.special")
    assert "expit" in {node.op for node in graph.in_order(*traced(lambda x: special.expit(x)))}


def test_imports_inside_of_a_formula():
    def formula(x):
        import numpy as np
        from math import erf, exp
        return exp(x) + np.tanh(x) + erf(x)
    assert {"exp", "tanh", "erf"} <= {node.op for node in graph.in_order(*traced(formula))}


def test_functions_of_the_users_are_followed():
    outer = 3.0

    def inner(x):
        return outer*math.tanh(x)

    def formula(x):
        return inner(x) + cached(x)
    assert {"tanh", "mul"} <= {node.op for node in graph.in_order(*traced(formula))}


def test_equal_nodes_are_one():
    one, = traced(lambda x: math.exp(x)*math.exp(x))
    assert one.args[0] is one.args[1]
    assert graph.constant(0.0) is not graph.constant(-0.0)
    assert graph.constant(math.nan) is graph.constant(math.nan)


def test_nodes_know_their_line():
    def formula(x):
        y = x + 1
        return math.exp(
            y)
    before, = traced(lambda x: math.exp(x + 1))         # another formula's, alive, with the same nodes
    node, = traced(formula)
    assert node is before
    assert node.line == (__file__, formula.__code__.co_firstlineno + 2)
    assert node.args[0].line == (__file__, formula.__code__.co_firstlineno + 1)


def test_threads_make_the_same_nodes():
    found, start = [], threading.Barrier(8)

    def work():
        start.wait()
        found.append([traced(lambda x: math.exp(x + number)*branches(x))[0] for number in range(50)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for nodes in zip(*found):
        assert len({id(node) for node in nodes}) == 1


# Refused, with the line

def unknown(x):
    return 1 + math.gamma(x)


def endless(x):
    while x < 10:
        x = x*2
    return x


def as_number(x):
    return [1, 2, 3][x]


def nothing(x):
    if x > 0:
        return x


def text(x):
    return x + "1"


def recursion(x):
    return recursion(x + 1)


def raises(x):
    if x > 0:
        raise KeyError("no such thing")
    return x


@pytest.mark.parametrize(("function", "offset", "told"), [
    (unknown, 1, "math.gamma"), (endless, 1, "too many paths"), (as_number, 1, "value of a number is not known"),
    (nothing, 0, "returns None, no number"), (text, 1, "TypeError"), (raises, 2, "KeyError: 'no such thing'"),
    (recursion, 1, "RecursionError"), (lambda x: math.exp(x, 2), 0, "takes 1 number"), (lambda x: cmath.exp(x), 0, ""),
    (lambda x: x*1j, 0, "TypeError"), (lambda x: "1", 0, "no number"), (lambda x: where(x > 0, None, 1), 0, "None is no number"),
    (lambda x: x & 1, 0, "TypeError"), (lambda x: ~x, 0, "conditions"), (lambda x: int(x), 0, "value of a number"),
    (lambda x: np.add.reduce([x, x]), 0, ""), (lambda x: x @ x, 0, "TypeError"), (lambda x: np.exp(x, out=None), 0, "")])
def test_refused(function, offset, told):
    with pytest.raises(FormulaError) as caught:
        traced(function)
    line = function.__code__.co_firstlineno + offset
    assert f"{__file__}, line {line}: " in str(caught.value)
    assert told in str(caught.value)


def test_different_numbers_of_results():
    with pytest.raises(FormulaError, match="returns 2 numbers or 1"):
        traced(lambda x: (x, x) if x > 0 else x)


def test_what_has_been_traced_can_be_traced_again():
    with pytest.raises(FormulaError):
        traced(unknown)
    assert traced(branches) == traced(branches)


# Graphs

def test_what_is_uniform_is_hoisted_once():
    roots = traced(lambda x, a: x*(2*a + 1) + math.exp(2*a + 1)*where(a > 0, x, 1/a) + math.sqrt(2), A)
    found = hoisted(roots)
    assert [node.op for node in found] == ["add", "exp", "lt", "div"]
    assert hoisted(traced(lambda x, a: 2*x, A)) == []
    assert hoisted([A]) == [A]


def test_dumped():
    roots = [*traced(lambda x, a: branches(x)*a + where(x != x, math.inf, -0.0) + 0.1, A), X]
    again = graph.undumped(graph.dumped(roots))
    assert all(one is other for one, other in zip(roots, again, strict=True))


def test_listing():
    lines = listing({"f": traced(lambda x, a: -(x - (x - a))*2 + math.exp(a*x)**2 if not x > 0 else x - x - 1, A)[0]})
    space = {"exp": math.exp}
    for x in (-2.0, 0.0, 3.0):
        space.update(x=x, a=0.5)
        for line in lines:
            exec(line, space)           # what is shown is Python
        assert space["f"] == (-(x - (x - 0.5))*2 + math.exp(0.5*x)**2 if not x > 0 else -1)


def test_kernels_are_told_apart():
    x, = traced(lambda x: x)
    y, = traced(lambda x: 2*x)
    assert elementwise(x, y, y).text() != elementwise(y, x, x).text()
    assert elementwise(x, y, y).text() == elementwise(x, y, y).text()
    assert rule(x, [y]).text() != rule(y, [x]).text()
