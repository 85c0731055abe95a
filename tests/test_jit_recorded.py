"""What was recorded of a formula is what the function returns of numbers, or it is refused: what tracing cannot see."""
import functools
import itertools
import math
import random
import sys

import numpy as np
import pytest

import fastnn
from fastnn import get_act, register_act, register_opt, unregister, where
from fastnn.hyperparameters import Hyperparameter
from fastnn.jit.errors import FormulaError

pytest.importorskip("numba")

counter = itertools.count()
last, seen = {}, []


@pytest.fixture(autouse=True)
def same_catalogue_afterwards():
    before = fastnn.activations(), fastnn.optimizers()
    yield
    for name in ("own", "rule"):
        if name in {*fastnn.activations(), *fastnn.optimizers()}:
            unregister(name)
    assert (fastnn.activations(), fastnn.optimizers()) == before


def matched(x):
    match x > 0:
        case True:
            return x
        case _:
            return 0.0


def tried(x):
    try:
        return math.sqrt(x)
    except ValueError:
        return 0.0


def tried_far_out(x):
    try:
        return math.log(1 + math.exp(x))
    except OverflowError:
        return x


def tried_at_infinity(x):
    try:
        return math.sin(x)
    except ValueError:
        return 0.0


def tried_at_0(x):
    try:
        return math.sin(x)/x
    except ZeroDivisionError:
        return 1.0


def caught_all(x):
    try:
        if x > 0:
            return x
    except:             # noqa: E722
        return 0.0
    return 0.5*x


def identical(x):
    return x if (x > 0) is True else 0.0


def identical_far_out(x):
    return 1.0 if (x > 555.5) is True else x


def identical_between(x):
    return 1.0 if (x > 0.7) is True and (x < 0.7001) is True else x


def identical_at_a_point(x):
    return 1.0 if (x*x == 9) is True else x


def identical_where_functions_meet(x):
    return 1.0 if (math.exp(x) > 2 - x) is True else x


def of_type(x):
    return x if type(x) is float else 0.0


def as_text(x):
    return x*len(repr(x))


def drawn(x):
    return x*random.random()


def drawn_a_little(x):
    return x + 1e-13*random.random()


def drawn_by_numpy(x):
    return x*np.random.default_rng().normal()


def counted(x):
    return x + next(counter)


def remembered(x):
    seen.append(1)
    return x*min(len(seen), 3)


def remembered_outside(x):
    found = last.get("x", 0.0)
    last["x"] = x
    return x + found


UNSEEN = {
    matched: 3, tried: 4, tried_far_out: 4, tried_at_infinity: 4, tried_at_0: 4, caught_all: 3, identical: 1,
    identical_far_out: 1, identical_between: 1, identical_at_a_point: 1, identical_where_functions_meet: 1, of_type: 1,
    as_text: 1, drawn: 1, drawn_a_little: 1, drawn_by_numpy: 1, counted: 1, remembered: 2, remembered_outside: 3}


@pytest.mark.parametrize("function", UNSEEN, ids=lambda function: function.__name__)
def test_refused_with_the_line(function):
    with pytest.raises(FormulaError) as caught:
        register_act("own")(function)
    text = str(caught.value)
    assert f"{__file__}, line {function.__code__.co_firstlineno + UNSEEN[function]}: " in text
    assert any(words in text for words in ("its trace gives", "can neither be random", "keeps what it"))
    with pytest.raises(ValueError, match="Unknown activator"):
        get_act("own")


def test_the_message_shows_the_point_and_both_values():
    with pytest.raises(FormulaError, match=r"at y = -\S+, a = 2 own returns 3, but its trace gives nan"):
        @register_act("own", a=2.0)
        def own(y, a):
            try:
                return math.sqrt(y)*a
            except ValueError:
                return 3


@pytest.mark.parametrize("function", [
    lambda x, a: x if (a > 1) is True else 2*x, lambda x, a: x if (a == 7) is True else 2*x,
    lambda x, a: x if (a > -5) is True else 2*x, lambda x, a: x if type(a) is float else 2*x,
    lambda x, a: 1.0 if (x > 40*a) is True else x])
def test_hyperparameters(function):
    with pytest.raises(FormulaError, match="its trace gives"):
        register_act("own", a=0.25)(function)


def test_only_values_in_the_range_count():
    register_act("own", a=Hyperparameter(0.25, above=0, below=1))(lambda x, a: x if (a < 1) is not False else 2*x)
    assert get_act("own")(3.0) == 3


def test_given_derivatives():
    formula = register_act("own")(lambda x: max(x, 0.0))

    def first(x):
        return 1.0 if (x >= 0) is True else 0.0
    with pytest.raises(FormulaError, match="its trace gives"):
        formula.derivative(first)
    formula.derivative(lambda x: 1.0 if x >= 0 else 0.0)
    assert get_act("own").backward(0.0) == 1


def matched_by_class(x):
    match x:
        case float():
            return 2*x
        case _:
            return x


@functools.cache
def once(x):
    return 2*x


@pytest.mark.parametrize("function", [
    matched_by_class, lambda x: where(~(x > 0), 0.5, x), lambda x: np.where((x > 0) & ~(x < 2), x, 0),
    lambda x: np.logical_not(x > 0)*x, lambda x: 1/x, lambda x: x**0.5, lambda x: x**-2.5, lambda x: math.log(x),
    lambda x: math.exp(math.exp(x)), lambda x: x % 3, lambda x: math.fmod(x, 0.7), lambda x: (x - math.sin(x))/x**3,
    lambda x: (1 - np.cos(x))/(x*x), lambda x: x if x == x else 0,
    lambda x: x if math.exp(x) - x - 1.5 > 0 else 1 - x, lambda x: math.tan(x), lambda x: 3, lambda x: x > 0,
    lambda x: np.float32(2)*x, lambda x: np.array(2.0)*x, lambda x: once(x), lambda x: np.clip(x, -1, 1),
    lambda x: max(min(x, 1), -1), lambda x: np.sign(x), lambda x: np.logaddexp(x, 0), lambda x: math.copysign(1, x),
    lambda x: 0.1*x + ((x + 1e9) - 1e9), lambda x: abs(x)**1.5, lambda x: np.sinh(x) - np.cosh(x),
    lambda x: math.floor(x), lambda x: math.hypot(x, 3), lambda x: sum([x, x]),
    lambda x: np.where(x > 0, x**1.5, 0), lambda x: x**0.5 if x > 0 else x])
def test_honest_formulas_are_registered(function):
    register_act("own")(function)


def test_the_function_may_raise():
    """As in `math.sqrt(-1)`: there the recorded formula has what IEEE 754 has."""
    register_act("own")(lambda x: math.log(x - 5) + math.sqrt(x))
    with pytest.raises(FormulaError, match="cannot be called with numbers: KeyError"):
        register_act("own", replace=True)(lambda x: {}["no such"] if type(x) is float else x)


def test_a_trace_function_stays(monkeypatch):
    def watch(frame, event, argument):
        return None
    before = sys.gettrace()
    sys.settrace(watch)
    try:
        with pytest.raises(FormulaError):
            register_act("own")(matched)
        assert sys.gettrace() is watch
    finally:
        sys.settrace(before)


# Rules of optimizers

def matched_rule(g, m, h):
    match g > 0:
        case True:
            return -h.lr*g, m
        case _:
            return -h.lr, m


def late_rule(g, m, h):
    return (-h.lr*g, m) if (h.t > 3.5) is True else (-h.lr, m)


def tried_rule(g, m, h):
    try:
        return -h.lr*g/math.sqrt(m), m + g
    except (ValueError, ZeroDivisionError):
        return 0.0, m + g


def drawn_rule(g, m, h):
    return -h.lr*g, m + 1e-9*random.random()


def parameter_rule(g, p, m, h):
    return -h.lr*g*((p > 2.5) is True), m


def longer_rule(g, m, h):
    return (-h.lr*g, m) if type(g) is not float else (-h.lr*g, m, m)


@pytest.mark.parametrize(("rule", "offset"), [
    (matched_rule, 3), (late_rule, 1), (tried_rule, 4), (drawn_rule, 1), (parameter_rule, 1), (longer_rule, 1)])
def test_rules_are_refused_with_the_line(rule, offset):
    with pytest.raises(FormulaError) as caught:
        register_opt("rule", state=("m",), lr=0.1)(rule)
    assert f"{__file__}, line {rule.__code__.co_firstlineno + offset}: " in str(caught.value)
    assert "the rule of 'rule' returns " in str(caught.value)


@pytest.mark.parametrize("rule", [
    lambda g, m, h: (-h.lr*g if h.t > 3.5 else -h.lr*m, m + g), lambda g, p, m, h: (-h.lr*g if p > 2.5 else p, m),
    lambda g, m, h: (-h.lr*where(m == 0, 0, g/m), m + g), lambda g, m, h: (-h.lr*where(~(m > g), g, m), max(m, g)),
    lambda g, m, h: (-h.lr*g/(math.sqrt(m) + 1e-8), m + 0.1*(g*g - m))])
def test_honest_rules_are_registered(rule):
    register_opt("rule", state=("m",), lr=0.1)(rule)
