"""Derived derivatives of formulas: exact in value, finite in the tails, for every function that a formula may call."""
import math
import random

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")
pytest.importorskip("sympy")
special = pytest.importorskip("scipy.special")

from fastnn.jit import graph
from fastnn.jit.checks import check_derivatives
from fastnn.jit.derivatives import derived
from fastnn.jit.exact import arithmetic
from fastnn.jit.float64 import IN_FLOAT64
from fastnn.jit.functions import FUNCTIONS
from fastnn.jit.symbolic import Symbolic, where
from fastnn.jit.trace import trace

X = graph.element("x")
MP = mpmath.mp.clone()
MP.dps = 300                    # differences keep their digits where exp(-100) is added to 1
STEP = MP.mpf(10)**-70
EXACT = arithmetic(MP)


def sigmoid(x): return 1/(1 + math.exp(-x))
def ratio(x): return math.exp(x)/(1 + math.exp(x))
def shifted_ratio(x): return 3*math.exp(2*x)/(2 + 5*math.exp(2*x))
def softplus(x): return math.log1p(math.exp(x))
def softplus_too(x): return max(x, 0) + math.log(1 + math.exp(-abs(x)))
def mish(x): return x*math.tanh(math.log(1 + math.exp(x)))
def gelu(x): return 0.5*x*(1 + special.erf(x/math.sqrt(2)))
def snake(x): return x + math.sin(1.3*x)**2/1.3
def swish(x): return x/(1 + np.exp(-1.3*x))
def softsign(x): return x/(1 + abs(x))
def elu(x): return where(x < 0, 1.7*math.expm1(x), x)
def cube(x): return x**3
def rectified(x): return max(x, 0)
def absolute(x): return abs(x)
def root(x): return math.sqrt(x*x + 1)
def isru(x): return x/math.sqrt(1 + x*x)
def hyperbolic(x): return (math.exp(x) - math.exp(-x))/(math.exp(x) + math.exp(-x))
def tanh_by_squares(x): return (math.exp(2*x) - 1)/(math.exp(2*x) + 1)
def fraction(x): return (x - 1)**5/(x*x + 1)
def powers(x): return (x*x + 1)**1.5 + (x*x + 1)**0.3 + 2.0**(0.1*x) + (x*x + 1)**(0.1*x)
def branches(x):
    if x < -1:
        return -1 - x*x
    return x if x > 1 else x*x*x


# The largest errors of f' and f'' in units of eps times the largest value, and of eps times the value itself (None: the
# formula loses digits there, or its derivative crosses zero).
BOUNDS = {
    sigmoid: (1.5, 1.5, 2, 2), ratio: (1.5, 1.5, 2, 2), shifted_ratio: (4, 4, 6, None), softplus: (1, 1, 2, 2),
    softplus_too: (1, 1, 2, 2), mish: (1.5, 3, None, None), gelu: (1, 2, None, None), snake: (80, 80, None, None),
    swish: (1, 2, None, None), softsign: (2, 3, 3, 4), elu: (1, 1, 2, 2), cube: (1, 1, 2, 2), rectified: (0, 0, 0, 0),
    absolute: (0, 0, 0, 0), root: (1, 3, 2, 3), isru: (3, 3, 3, 6), hyperbolic: (2, 3, 3, None),
    tanh_by_squares: (2, 4, 3, None), fraction: (3, 4, 6, 10), powers: (60, 120, None, None), branches: (1, 1, 2, 2)}


def graphs(function):
    f, = trace(function, Symbolic(X))
    first = derived(f)
    return f, first, derived(first)


def in_dtype(dtype):
    """float64's functions, rounded to the dtype."""
    def rounded(function):
        return lambda *args: np.asarray(function(*args)).astype(dtype)
    return {**IN_FLOAT64, **graph.ARITHMETIC, "constant": dtype, "select": rounded(np.where),
            **{row.name: rounded(row.evaluate) for row in FUNCTIONS.values()}}


def value_in(dtype, root_, x):
    x = np.asarray(x, dtype)
    with np.errstate(all="ignore"):
        return np.broadcast_to(graph.evaluate([root_], {"x": x}, in_dtype(dtype))[0], x.shape)


def exact_slopes(f, x):
    """f' and f'' by differences."""
    def at(t):
        return graph.evaluate([f], {"x": t}, EXACT)[0]
    x = MP.mpf(float(x))
    before, here, after = at(x - STEP), at(x), at(x + STEP)
    return (after - before)/(2*STEP), (after - 2*here + before)/STEP**2


@pytest.mark.parametrize("function", BOUNDS, ids=lambda function: function.__name__)
def test_derivatives_are_exact(function):
    f, *derivatives = graphs(function)
    magnitudes = np.concatenate([1.0137e-3*29000**np.linspace(0, 1, 24), [45.3, 88.1, 89.7, 100.1]])
    x = np.concatenate([magnitudes, -magnitudes]).astype(np.float32)
    exact = np.array([exact_slopes(f, one) for one in x]).T
    for dtype in (np.float32, np.float64):
        defined = np.isfinite(value_in(dtype, f, x))
        assert defined.sum() > 40
        limits = np.finfo(dtype)
        for order in (0, 1):
            got = value_in(dtype, derivatives[order], x)
            assert np.isfinite(got[defined]).all()
            error = np.abs([MP.mpf(float(one)) for one in got] - exact[order])/float(limits.eps)
            size = np.abs(exact[order])
            error, size = error[defined], size[defined]
            largest = size.max() or 1
            assert (error/largest).max() <= BOUNDS[function][order] + 1e-20
            relative = BOUNDS[function][2 + order]
            if relative is not None:
                normal = size > 1e3*float(limits.tiny)
                assert (error[normal] <= (relative + 1e-20)*size[normal]).all()


@pytest.mark.parametrize("function", [softplus, mish, sigmoid, swish, softplus_too],
                         ids=lambda function: function.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_slopes_are_finite_although_exponentials_overflow(function, dtype):
    """Where f itself overflows, too."""
    far = np.array([100.0, 1000.0, 1e4])
    _, first, second = graphs(function)
    slopes = {sigmoid: 0}.get(function, 1)
    np.testing.assert_allclose(value_in(dtype, first, far), slopes, rtol=0, atol=1e-30)
    np.testing.assert_allclose(value_in(dtype, first, -far), 0, atol=1e-30)
    np.testing.assert_allclose(value_in(dtype, second, np.concatenate([far, -far])), 0, atol=1e-30)


@pytest.mark.parametrize("function", [
    lambda x: math.tanh(math.exp(x)), lambda x: math.atan(math.exp(2*x)), lambda x: special.erf(math.exp(x)),
    lambda x: 1/math.cosh(x), lambda x: math.exp(-math.exp(x)), lambda x: special.expit(math.sinh(x)),
    lambda x: 1/(1 + math.exp(x*x)), lambda x: math.tanh(math.exp(math.exp(x)))])
def test_a_saturated_function_of_what_overflows_has_slope_0(function):
    _, *derivatives = graphs(function)
    for derivative in derivatives:
        np.testing.assert_allclose(value_in(np.float64, derivative, [800.0, 2e4]), 0, atol=1e-300)


def test_kinks():
    """abs has no slope at 0; elsewhere the branch that is taken counts."""
    assert value_in(np.float64, graphs(absolute)[1], [0.0, -0.0]).tolist() == [0, 0]
    assert value_in(np.float64, graphs(rectified)[1], [0.0, -1e-300, 1e-300]).tolist() == [1, 0, 1]
    assert value_in(np.float64, graphs(lambda x: x if x > 0 else 0.25*x)[1], [0.0, 1e-300]).tolist() == [0.25, 1]
    assert value_in(np.float64, graphs(branches)[1], [-1.0, 1.0, 2.0, -3.0]).tolist() == [3, 3, 1, 6]
    assert value_in(np.float64, graphs(softsign)[1], [0.0]).tolist() == [1]


def test_a_side_that_is_not_taken_does_not_spoil_the_slope():
    _, first, second = graphs(lambda x: where(x > 0, math.log(x), math.sqrt(-x)))
    for derivative in (first, second):
        assert np.isfinite(value_in(np.float64, derivative, [2.0, -2.0])).all()


def test_hyperparameters_are_not_differentiated():
    a = graph.parameter("a")
    f, = trace(lambda x, a: math.sin(a*x) + a**3 + math.exp(a), Symbolic(X), Symbolic(a))
    assert derived(graph.node("exp", a)) is graph.constant(0)
    assert derived(a) is graph.constant(0)
    got, = graph.evaluate([derived(f)], {"x": 0.3, "a": 2.0}, IN_FLOAT64)
    assert got == pytest.approx(2*math.cos(0.6), rel=1e-15)


def test_only_the_named_element_is_differentiated():
    f = graph.node("mul", X, graph.element("y"))
    assert derived(f) is graph.element("y")
    assert derived(f, "y") is X


def test_constant_formulas_have_slope_0():
    assert derived(graph.constant(3)) is graph.constant(0)
    assert derived(derived(X)) is graph.constant(0)
    assert derived(graph.node("lt", X, graph.constant(1))) is graph.constant(0)


def calls(row):
    """The function of a row with x as each of its arguments, and as all of them, inside of its domain."""
    square = graph.node("add", graph.constant(1.01), graph.node("mul", X, X))
    small = graph.node("mul", graph.constant(1/31), X)
    inside = {"log": square, "log2": square, "log10": square, "sqrt": square, "pow": square, "acosh": square,
              "log1p": square, "asin": small, "acos": small, "atanh": small}.get(row.name, X)
    for place in range(row.arity):
        yield graph.node(row.name, *(inside if place == i else graph.constant(1.37) for i in range(row.arity)))
    if row.arity > 1:
        yield graph.node(row.name, inside, graph.node("mul", graph.constant(0.7), X))


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=lambda row: row.name)
def test_every_function_has_both_derivatives(row):
    for f in calls(row):
        first = derived(f)
        check_derivatives(row.name, f, first, derived(first), {})
        known = {*FUNCTIONS, *EXACT, "element", "parameter"}
        assert {one.op for one in graph.in_order(first, derived(first))} <= known


def test_derivatives_of_a_long_formula_stay_short():
    """Linear in its length, where an expression tree would double with each line."""
    def repeated(x):
        for _ in range(40):
            x = math.sin(x)*x
        return x
    f, first, second = graphs(repeated)
    assert len(graph.in_order(first)) < 8*len(graph.in_order(f))
    assert len(graph.in_order(second)) < 30*len(graph.in_order(f))


def random_formula(rng):
    """About a dozen operations on x, a hyperparameter a and constants."""
    count = 0

    def node():
        nonlocal count
        count += 1
        if count > 16 or (count > 1 and rng.random() < 0.22):
            return rng.choice([X, X, X, graph.parameter("a"), *map(graph.constant, (0.7, 1, 2))])
        op = rng.choice(["add", "sub", "mul", "neg", "abs", "exp", "tanh", "sin", "expit", "erf", "quotient", "root",
                         "larger", "branch", "softplus", "gate", "cube", "power"])
        arity = {"add": 2, "sub": 2, "mul": 2, "quotient": 2, "larger": 2, "branch": 4}.get(op, 1)
        operands = [node() for _ in range(arity)]
        u, v = operands[0], operands[1 % len(operands)]
        one = graph.constant(1)
        return {
            "quotient": lambda: graph.node("div", u, graph.node("add", graph.constant(1.3), graph.node("mul", v, v))),
            "root": lambda: graph.node("sqrt", graph.node("add", graph.node("mul", u, u), one)),
            "larger": lambda: graph.select(graph.node("lt", u, v), v, u),
            "branch": lambda: graph.select(graph.node("lt", u, v), *operands[2:]),
            "softplus": lambda: graph.node("log1p", graph.node("exp", u)),
            "gate": lambda: graph.node("div", u, graph.node("add", one, graph.node("exp", v))),
            "cube": lambda: graph.power(u, 3),
            "power": lambda: graph.node("pow", graph.node("add", graph.constant(0.3), graph.node("abs", u)),
                                        graph.constant(rng.choice([0.5, 1.5, -0.7]))),
        }.get(op, lambda: graph.node(op, *operands))()
    return node()


@pytest.mark.parametrize("seed", range(60))
def test_random_formulas(seed):
    """Most of them overflow somewhere."""
    f = random_formula(random.Random(seed))
    first = derived(f)
    check_derivatives("formula", f, first, derived(first), {"a": 1.3})
