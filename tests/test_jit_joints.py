"""Derivatives exactly where a formula's pieces meet, and where the chain rule has 0 times infinity: by mpmath."""
import math

import numpy as np
import pytest

import fastnn
from fastnn import get_act, register_act, unregister, where
from fastnn.hyperparameters import Hyperparameter
from fastnn.jit.errors import FormulaError
from helpers import FLOATS

pytest.importorskip("numba")
mpmath = pytest.importorskip("mpmath")
pytest.importorskip("sympy")

MP = mpmath.mp.clone()
MP.dps = 60
each_float = pytest.mark.parametrize("dtype", FLOATS)


@pytest.fixture(autouse=True)
def same_catalogue_afterwards():
    before = fastnn.activations()
    yield
    if "own" in fastnn.activations():
        unregister("own")
    assert fastnn.activations() == before


def softplus(x):
    return MP.log1p(MP.exp(x))


def entire(function, *coefficients):
    """Of x, `function`, but for its series where it would divide 0 by 0."""
    return lambda x: function(x) if abs(x) > 1e-15 else sum(c*x**i for i, c in enumerate(coefficients))


sinc = entire(lambda x: MP.sin(x)/x, 1, 0, -MP.one/6)

# the formula, hyperparameters, the same function as one smooth expression, where its pieces meet
SMOOTH = {
    "logaddexp": (lambda x: np.logaddexp(x, 0.0), {}, softplus, 0),
    "logaddexp, the other way": (lambda x: np.logaddexp(0, -x), {}, lambda x: softplus(-x), 0),
    "logaddexp of two": (lambda x: np.logaddexp(2*x, 3 - x), {}, lambda x: MP.log(MP.exp(2*x) + MP.exp(3 - x)), 1),
    "logaddexp with a": (lambda x, a: np.logaddexp(a*x, 1), {"a": -2.0}, lambda x, a: MP.log(MP.exp(a*x) + MP.e), -0.5),
    "softplus": (lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))), {}, softplus, 0),
    "softplus by maximum": (lambda x: np.maximum(0, x) + np.log(1 + np.exp(-np.abs(x))), {}, softplus, 0),
    "softplus by if": (lambda x: (x if x > 0 else 0) + math.log1p(math.exp(-math.fabs(x))), {}, softplus, 0),
    "softplus by halves": (lambda x: (x + abs(x))/2 + math.log1p(math.exp(-abs(x))), {}, softplus, 0),
    "softplus with b": (lambda x, b: max(x, 0) + math.log1p(math.exp(-b*abs(x)))/b, {"b": 2.0},
                        lambda x, b: softplus(b*x)/b, 0),
    "softplus elsewhere": (lambda x, c: max(x, c) + math.log1p(math.exp(-abs(x - c))), {"c": 1.5},
                           lambda x, c: c + softplus(x - c), 1.5),
    "log sigmoid": (lambda x: min(x, 0) - math.log1p(math.exp(-abs(x))), {}, lambda x: -softplus(-x), 0),
    "log cosh": (lambda x: abs(x) + math.log1p(math.exp(-2*abs(x))), {}, lambda x: MP.log(2*MP.cosh(x)), 0),
    "tanh by copysign": (lambda x: math.copysign((1 - math.exp(-2*abs(x)))/(1 + math.exp(-2*abs(x))), x), {},
                         MP.tanh, 0),
    "tanh by sign": (lambda x: np.sign(x)*(1 - math.exp(-2*abs(x)))/(1 + math.exp(-2*abs(x))), {}, MP.tanh, 0),
    "sigmoid by if": (lambda x: 1/(1 + math.exp(-x)) if x >= 0 else math.exp(x)/(1 + math.exp(x)), {},
                      lambda x: 1/(1 + MP.exp(-x)), 0),
    "sinc": (lambda x: where(x == 0, 1, np.sin(x)/x), {}, sinc, 0),
    "sinc by if": (lambda x: math.sin(x)/x if x else 1, {}, sinc, 0),
    "sinc with a": (lambda x, a: where(x == 0, a, np.sin(a*x)/x), {"a": 2.0}, lambda x, a: a*sinc(a*x), 0),
    "sinc elsewhere": (lambda x, a: where(x == a, 1, np.sin(x - a)/(x - a)), {"a": 0.5}, lambda x, a: sinc(x - a), 0.5),
    "tanh(x)/x": (lambda x, a, b: where(x == b, a, np.tanh(a*(x - b))/(x - b)), {"a": 2.0, "b": 0.0},
                  lambda x, a, b: a*entire(lambda u: MP.tanh(u)/u, 1, 0, -MP.one/3)(a*(x - b)), 0),
    "x/expm1(x)": (lambda x, a: where(x == 0, 1/a, x/np.expm1(a*x)), {"a": 1.0},
                   lambda x, a: entire(lambda u: u/MP.expm1(u), 1, -MP.one/2, MP.one/12)(a*x)/a, 0),
    "log1p(x)/x": (lambda x, a: np.log1p(a*x*x)/(x*x) if x else a, {"a": 1.0},
                   lambda x, a: a*entire(lambda u: MP.log1p(u)/u, 1, -MP.one/2, MP.one/3)(a*x*x), 0),
    "versine": (lambda x: where(x == 0, 0.5, (1 - np.cos(x))/(x*x)), {}, lambda x: sinc(x/2)**2/2, 0),
    "abs squared": (lambda x: abs(x)**2.0, {}, lambda x: x*x, 0),
    "abs squared by hyperparameter": (lambda x, p: abs(x)**p, {"p": 2.0}, lambda x, p: x*x, 0),
    "abs squared by product": (lambda x: abs(x)*np.abs(x)/2, {}, lambda x: x*x/2, 0),
    "abs squared elsewhere": (lambda x: abs(0.3*x - 1)**2.0, {}, lambda x: (MP.mpf(0.3)*x - 1)**2, 1/0.3),
    "sqrt squared": (lambda x: math.sqrt(x*x)*math.sqrt(x*x), {}, lambda x: x*x, 0),
    "Gauss by abs": (lambda x: math.exp(-abs(x)**2), {}, lambda x: MP.exp(-x*x), 0),
    "cosh by abs": (lambda x: math.cosh(abs(x)), {}, MP.cosh, 0),
    "cube root cubed": (lambda x: np.cbrt(x)**3, {}, lambda x: x, 0),
    "root of a square": (lambda x: math.sqrt((x - 1)**4), {}, lambda x: (x - 1)**2, 1),
    "not taken": (lambda x: np.maximum(np.sqrt(x), 1.0), {}, lambda x: MP.one, 0),
    "not taken, min": (lambda x: np.minimum(1.0, 1/(x*x)), {}, lambda x: MP.one, 0),
    "not taken, clip": (lambda x: np.clip(np.log(x*x), -9, 9), {}, lambda x: -9*MP.one, 0),
    "not taken, where": (lambda x: where(x*x > 0.25, np.sqrt(x*x), 0.5)*1.5, {}, lambda x: 0.75*MP.one, 0),
    "not taken, inside": (lambda x: np.exp(-np.maximum(np.sqrt(x), 1.0)), {}, lambda x: MP.exp(-1), 0),
    "no branch": (lambda x: np.sqrt(np.maximum(x, 0)), {}, lambda x: MP.zero, -2),
    "no branch of a power": (lambda x, p: np.maximum(x, 0)**p, {"p": 0.5}, lambda x, p: MP.zero, -2),
    "power 0": (lambda x, p: x**p, {"p": 0.0}, lambda x, p: MP.one, 0),
    "power 1": (lambda x, p: x**p, {"p": 1.0}, lambda x, p: x, 0),
    "power 2": (lambda x, p: np.power(x, p), {"p": 2.0}, lambda x, p: x*x, 0),
    "power 3": (lambda x, p: math.pow(x, p), {"p": 3.0}, lambda x, p: x**3, 0),
}


def exact(function, x, values):
    """f' and f'' by mpmath."""
    values = [MP.mpf(value) for value in values]
    return [MP.diff(lambda t: function(t, *values), MP.mpf(x), order) for order in (1, 2)]


def assert_exact(act, function, x, values, dtype):
    x = dtype(x)
    for got, wanted in zip((act.backward(x), act.d2y(x)), exact(function, float(x), values)):
        assert abs(float(got) - wanted) <= 40*np.finfo(dtype).eps*max(1, abs(wanted)), (x, got, wanted)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_where_pieces_meet(name):
    formula, hyperparameters, function, x = SMOOTH[name]
    register_act("own", **hyperparameters)(formula)
    act = get_act("own")
    for dtype in FLOATS:
        for place in (x, -0.0) if x == 0 else (x,):
            assert_exact(act, function, place, hyperparameters.values(), dtype)


@pytest.mark.parametrize("name", [name for name in SMOOTH if not name.startswith("n")])
def test_and_elsewhere(name):
    formula, hyperparameters, function, x = SMOOTH[name]
    register_act("own", **hyperparameters)(formula)
    for at in (x - 0.75, x + 0.75, x + 3.25, x - 4.5):
        if not (name.startswith("log1p") or name.startswith("power") and at < 0):
            assert_exact(get_act("own"), function, at, hyperparameters.values(), np.float64)


@pytest.mark.parametrize(("name", "values", "x"), [
    ("sinc with a", (3.0,), 0), ("sinc with a", (-0.3,), 0), ("sinc elsewhere", (-7.25,), -7.25),
    ("tanh(x)/x", (5.0, 2.5), 2.5), ("x/expm1(x)", (3.0,), 0), ("log1p(x)/x", (0.1,), 0),
    ("softplus with b", (7.0,), 0), ("logaddexp with a", (5.0,), 0.2), ("softplus elsewhere", (-3.0,), -3), ("power 1", (0.0,), 0),
    ("power 1", (2.0,), 0), ("power 1", (4.0,), 0), ("power 0", (1.0,), 0), ("power 3", (1.0,), 0),
    ("power 2", (0.0,), 0)])
def test_other_hyperparameters(name, values, x):
    formula, hyperparameters, function, _ = SMOOTH[name]
    register_act("own", **hyperparameters)(formula)
    function = {"power": lambda x, p: x**p}.get(name.split()[0], function)
    assert_exact(get_act("own", *values), function, x, values, np.float64)


@pytest.mark.parametrize(("formula", "x", "first", "second"), [
    (lambda x: max(x, 0), 0, 1, 0), (lambda x: x if x > 0 else 0.25*x, 0, 0.25, 0), (lambda x: abs(x), 0, 0, 0),
    (lambda x: abs(x - 1), 1, 0, 0), (lambda x: np.clip(x, -1, 1), 1, 1, 0),
    (lambda x: where(x < 0, 3*np.expm1(x), x), 0, 1, 0),
    (lambda x: 0.5*x*x if abs(x) < 1 else abs(x) - 0.5, 1, 1, 0), (lambda x: where(x < 0, np.expm1(x), x), 0, 1, 0),
    (lambda x: max(x, 0)**2, 0, 0, 2), (lambda x: x/(1 + abs(x)), 0, 1, 0), (lambda x: where(x == 0, 5.0, x), 0, 0, 0),
    (lambda x: math.floor(x), 2, 0, 0), (lambda x: np.sign(x), 0, 0, 0)])
def test_kinks_have_the_branch_that_is_taken(formula, x, first, second):
    register_act("own")(formula)
    assert (get_act("own").backward(float(x)), get_act("own").d2y(float(x))) == (first, second)


@pytest.mark.parametrize(("formula", "first"), [
    (lambda x: np.sqrt(x*x), 0), (lambda x: np.hypot(x, 0), 0), (lambda x: np.sqrt(np.abs(x)), 0),
    (lambda x: np.arccosh(1 + x*x), 0),
    (lambda x: np.sqrt(x)*x, 0), (lambda x: np.sqrt(x)*x + np.sqrt(x*x) + x, 2), (lambda x: 3*x + np.sqrt(x*x), 3)])
def test_where_no_branch_says_it_is_the_mean(formula, first):
    """Of both sides, or the slope of the one that there is."""
    register_act("own")(formula)
    assert get_act("own").backward(0.0) == first


def test_a_kink_for_one_value_of_a_hyperparameter():
    register_act("own", a=0.0)(lambda x, a: (x + np.sqrt(x**2 + a))/2)
    assert get_act("own").backward(0.0) == 0.5 and get_act("own").d2y(0.0) == 0
    assert get_act("own", 4.0).backward(0.0) == 0.5 and get_act("own", 4.0).d2y(0.0) == 0.25


def test_a_kink_and_a_smooth_joint():
    """Only the comparisons of the smooth one take one side."""
    register_act("own")(
        lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))) + max(x, 2) + abs(x + 1) + where(x > -3, 0, x + 3))
    act = get_act("own")
    for x, others in ((0.0, 1), (2.0, 2), (-1.0, 0), (-3.0, 0)):
        assert act.backward(x) == pytest.approx(float(1/(1 + MP.exp(-x))) + others, rel=1e-14)
    assert act.d2y(0.0) == 0.25


def test_where_nothing_was_wrong_nothing_is_changed():
    from fastnn.jit import graph
    from fastnn.jit.derivatives import derived
    from fastnn.jit.joints import Joints
    from fastnn.jit.mending import mended
    from fastnn.jit.symbolic import Symbolic
    from fastnn.jit.trace import trace
    for formula in (lambda x: max(x, 0), lambda x: x/(1 + abs(x)), lambda x: math.tanh(x),
                    lambda x: where(x < 0, math.expm1(x), x)):
        f, = trace(formula, Symbolic(graph.element("x")))
        first = derived(f)
        joints = Joints(f, {})
        assert mended(first, 1, joints) is first and mended(derived(first), 2, joints) is derived(first)


def test_one_side_costs_nothing():
    """softplus has no operation more for it."""
    register_act("own")(lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))))
    assert "==" not in fastnn.explain("own")


# Given derivatives

def test_given_derivatives_are_compared_there_too():
    formula = register_act("own")(lambda x: where(x == 0, 1, np.sin(x)/x))
    with pytest.raises(FormulaError, match="the first derivative of own is wrong: at x = 0 it is nan, and should be 0"):
        formula.derivative(lambda x: (x*np.cos(x) - np.sin(x))/(x*x))
    formula.derivative(lambda x: where(x == 0, 0, (x*np.cos(x) - np.sin(x))/(x*x)))
    assert get_act("own").backward(0.0) == 0 and get_act("own").d2y(0.0) == pytest.approx(-1/3, rel=1e-15)
    with pytest.raises(FormulaError, match="at x = 0 it is -0.3, and should be -0.3333333333"):
        formula.second_derivative(lambda x: where(x == 0, -0.3, -np.sin(x)/x - 2*np.cos(x)/(x*x) + 2*np.sin(x)/x**3))


def test_at_a_kink_a_given_derivative_is_free():
    formula = register_act("own")(lambda x: max(x, 0.0))
    formula.derivative(lambda x: where(x > 0, 1.0, where(x == 0, 0.5, 0.0)))
    assert get_act("own").backward(0.0) == 0.5


def test_what_cannot_be_derived_can_be_given():
    """No user is told that a derivative is wrong which he has not given."""
    formula = register_act("own", a=Hyperparameter(1.0, above=0))(
        lambda x, a: where(x == 0, np.exp(a), (1 + a*x)**(1/x)))
    with pytest.raises(FormulaError, match="not found by the chain rule, which is wrong: at x = 0, a = 1 .*; give it"):
        get_act("own")(1.0)
    formula.derivative(lambda x, a: where(x == 0, -np.exp(a)*a*a/2, (1 + a*x)**(1/x)*(a/(1 + a*x) - np.log1p(a*x)/x)/x))
    with pytest.raises(FormulaError, match="the second derivative of own is not found"):
        get_act("own")(1.0)
    formula.second_derivative(lambda x, a: where(x == 0, np.exp(a)*a**3*(2/3 + a/4), (1 + a*x)**(1/x)*(
        ((a/(1 + a*x) - np.log1p(a*x)/x)/x)**2 - (a/(1 + a*x))**2/x - 2*(a/(1 + a*x) - np.log1p(a*x)/x)/(x*x))))
    assert get_act("own", 2.0).backward(0.0) == pytest.approx(-2*math.exp(2), rel=1e-15)
