"""What is refused at registration: derivatives that are not those of the formula."""
import math
import re

import pytest

pytest.importorskip("mpmath")
pytest.importorskip("sympy")

from fastnn.jit import graph
from fastnn.jit.checks import check_derivatives
from fastnn.jit.derivatives import derived
from fastnn.jit.errors import FormulaError
from fastnn.jit.points import points
from fastnn.jit.symbolic import Symbolic, where
from fastnn.jit.trace import trace

X = Symbolic(graph.element("x"))


def check(formula, first=None, second=None, lines=(None, None), **hyperparameters):
    arguments = X, *(Symbolic(graph.parameter(key)) for key in hyperparameters)
    f, = trace(formula, *arguments)
    first = trace(first, *arguments)[0] if first else derived(f)
    second = trace(second, *arguments)[0] if second else derived(first)
    check_derivatives("formula", f, first, second, hyperparameters, lines)


def tanh(x):
    return math.tanh(x)


def atan(x):
    return math.atan(x)


def snake(x, a):
    return x + math.sin(a*x)**2/a


FORMULAS = {
    snake: {"a": 1.0}, (lambda x: 1/(1 + math.exp(-x))): {}, (lambda x: x*math.erfc(-x)): {},
    (lambda x, a: where(x < 0, a*(math.exp(x) - 1), x)): {"a": 1.0}, (lambda x: max(x, 0)): {},
    (lambda x: 3): {}, (lambda x: x): {}, (lambda x, a: math.floor(a*x)): {"a": 0.7}, (lambda x: math.log(x)): {},
    (lambda x, n: x**n): {"n": 2}, (lambda x: (1 - math.cos(x))/(x*x)): {}, (lambda x: (x - math.sin(x))/x**3): {},
    (lambda x: math.tanh(math.exp(math.exp(x)))): {}, (lambda x, a: a*x): {"a": 0.0},
    (lambda x, a: a*math.sin(x)): {"a": 1e-12}, (lambda x: 1e12*math.sin(x)): {}}


@pytest.mark.parametrize("formula", FORMULAS)
def test_right_derivatives_pass(formula):
    check(formula, **FORMULAS[formula])


def sech2(x):
    return 1/math.cosh(x)**2


def bend(x):
    return -2*math.tanh(x)/math.cosh(x)**2


@pytest.mark.parametrize("spoil", [lambda y: -y, lambda y: 1.0001*y, lambda y: y + 1e-4, lambda y: y*(1 - 1e-5)])
def test_a_wrong_derivative_is_refused(spoil):
    check(tanh, sech2, bend)
    with pytest.raises(FormulaError, match="the first derivative of formula is wrong"):
        check(tanh, lambda x: spoil(sech2(x)), bend)
    with pytest.raises(FormulaError, match="the second derivative of formula is wrong"):
        check(tanh, sech2, lambda x: spoil(bend(x)))


def test_the_message_shows_the_point_both_values_and_the_line():
    with pytest.raises(ValueError) as raised:
        check(snake, lambda x, a: 1 + math.sin(a*x), a=1.0, lines=((__file__, 1), None))
    text = str(raised.value)
    assert text.startswith(f"{__file__}, line 1: the first derivative of formula is wrong")
    x, a, got, exact = map(float, re.search(
        r"x = (\S+), a = (\S+) it is (\S+), and should be (\S+)$", text.splitlines()[0]).groups())
    assert a == 1
    assert got == pytest.approx(1 + math.sin(x), rel=1e-4)
    assert exact == pytest.approx(1 + math.sin(2*x), rel=1e-4)


def test_a_derivative_that_is_right_for_the_default_only():
    with pytest.raises(FormulaError, match=r"a = (0\.75|1\.5) "):
        check(snake, lambda x, a: 1 + math.sin(2*x), a=1.0)


def test_a_derivative_that_is_wrong_on_one_side_only():
    with pytest.raises(FormulaError, match="x = -"):
        check(lambda x: where(x < 0, 0.01*x, 1e6*x*x), lambda x: where(x < 0, 0.02, 2e6*x))


def test_a_derivative_that_overflows_where_the_formula_does_not():
    with pytest.raises(FormulaError, match="it is nan, and should be"):
        check(atan, lambda x: math.exp(50*x)/(math.exp(50*x)*(1 + x*x)))


@pytest.mark.parametrize("formula", [lambda x: math.sqrt(-1 - x*x), lambda x: x*math.nan, lambda x: x + math.inf])
def test_a_formula_without_values_is_refused(formula):
    with pytest.raises(FormulaError, match="finite and smooth at none of 60 points"):
        check(formula)


def test_other_values_of_hyperparameters_may_have_no_values():
    check(lambda x, a: x*math.sqrt(1 - a), a=1.0)


def test_other_values_stay_in_their_ranges():
    """A given derivative need not be right elsewhere."""
    from fastnn.hyperparameters import Hyperparameter
    declared = {"a": Hyperparameter(0, at_least=0, below=1)}
    arguments = X, Symbolic(graph.parameter("a"))
    f, first, second = (trace(one, *arguments)[0] for one in (
        lambda x, a: min(a, 1)*x*x, lambda x, a: 2*a*x, lambda x, a: 2*a))
    check_derivatives("formula", f, first, second, {"a": 0.0}, declared=declared)
    with pytest.raises(FormulaError, match="a = 1.5 "):
        check_derivatives("formula", f, first, second, {"a": 0.0})


def test_mpmath_keeps_the_users_precision():
    import mpmath
    before = mpmath.mp.dps
    check(snake, a=1.0)
    assert mpmath.mp.dps == before


def test_points_are_of_both_signs_and_sizes():
    xs = points(60)
    assert min(xs) < -25 and max(xs) > 24
    assert sum(x > 0 for x in xs) == 30
    assert min(map(abs, xs)) < 2e-3
