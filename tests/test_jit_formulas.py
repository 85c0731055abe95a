"""Compiled formulas against the same Python on numbers: to the last bit, branches, NaN, 0/0 and infinities included."""
import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from fastnn import where
from fastnn.core.elementwise import ElementwiseActivation
from fastnn.jit import graph
from fastnn.jit.compiler import compile_kernel
from fastnn.jit.errors import FormulaError
from fastnn.jit.kernels import elementwise
from fastnn.jit.symbolic import Symbolic
from fastnn.jit.trace import trace
from fastnn.jit.uniform import computer
from helpers import FLOATS, assert_same_bits

pytest.importorskip("numba")

each_float = pytest.mark.parametrize("dtype", FLOATS)


def points(dtype):
    limits = np.finfo(dtype)
    rng = np.random.default_rng(5)
    edges = [0, 0.5, 1, 2, 3, limits.eps, limits.tiny, limits.smallest_subnormal, limits.max, np.inf]
    return np.concatenate([edges, np.negative(edges), [np.nan], rng.normal(size=40), 100*rng.normal(size=20)]).astype(dtype)


@pytest.fixture(autouse=True)
def scalars_keep_their_type():
    """A float32 times a number of Python's is a float32, as formulas have it and NumPy since 2.0."""
    before = np._get_promotion_state() if np.__version__.startswith("1.") else None
    if before:
        np._set_promotion_state("weak")
    yield
    if before:
        np._set_promotion_state(before)


class Compiled(ElementwiseActivation):
    """f, with f' = 2 f and f'' = f if it is nothing else."""

    def __init__(self, function, dtypes=FLOATS, **parameters):
        arguments = [Symbolic(graph.parameter(name)) for name in parameters]
        value, = trace(function, Symbolic(graph.element("x")), *arguments)
        kernel = elementwise(value, graph.node("mul", graph.constant(2), value), value)
        self.__dict__.update(parameters)
        self._bind(tuple(compile_kernel(kernel, np.dtype(dtypes[i % len(dtypes)]).name) for i in range(2)), computer(kernel.hoisted)(self))


def expected(function, x, **parameters):
    """The function on NumPy's scalars of x's type: Python's arithmetic, but for what raises."""
    with np.errstate(all="ignore"):
        values = [x.dtype.type(function(each, *map(x.dtype.type, parameters.values()))) for each in x]
    return np.array(values, x.dtype)


def check(function, act, dtype, **parameters):
    x = points(dtype)
    wanted = expected(function, x, **parameters)
    assert_same_bits(act(x), wanted)
    assert_same_bits(act.d2y(x), wanted)
    with np.errstate(all="ignore"):
        assert_same_bits(act.backward(x), 2*wanted)
        assert_same_bits(act.backward(x, grad=x), 2*wanted*x)


def branches(x):
    if x < -1:
        return -x
    if x != x:
        return 7.0
    y = 1/x if x < 2 else x*x
    return y - 1 if 0.25 < y <= 3 else y/3


@pytest.mark.parametrize("function", [
    branches, lambda x: 0/x, lambda x: x/0, lambda x: x/x, lambda x: x - x, lambda x: (x + 1) - 1, lambda x: x*x - x*x,
    lambda x: -x, lambda x: 0 - x, lambda x: abs(x), lambda x: x if x else 5, lambda x: max(x, 0.0), lambda x: max(0.0, x),
    lambda x: min(x, 1.0), lambda x: min(1.0, x), lambda x: max(x, -x), lambda x: 1.0 if x > 0 else 0.0, lambda x: x,
    lambda x: 1.5, lambda x: x if x == x else 0.0, lambda x: 1.0 if not x < 1 else 2.0, lambda x: math.copysign(2.0, x),
    lambda x: x*0.1, lambda x: 0.1/x, lambda x: np.sqrt(x), lambda x: np.floor(x) + np.ceil(x), lambda x: np.rint(x),
    lambda x: np.trunc(x), lambda x: np.maximum(x, 0.5), lambda x: np.minimum(x, 0.5), lambda x: np.fmod(x, 0.7)])
@each_float
def test_as_python(function, dtype):
    check(function, Compiled(function), dtype)


@pytest.mark.parametrize(("function", "parameters"), [
    (lambda x, a: x*a if x < a else a/x, {"a": 0.75}), (lambda x, a, b: x if a < b else -x, {"a": 0.75, "b": 0.5}),
    (lambda x, a, b: a if x < 0 and a < b or x > 1 else b, {"a": 0.5, "b": 0.75})])
@each_float
def test_hyperparameters(function, parameters, dtype):
    check(function, Compiled(function, **parameters), dtype, **parameters)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_hyperparameters_that_divide_by_zero(zero):
    x = points(np.float64)
    assert_same_bits(Compiled(lambda x, a: 1/a, a=zero)(x), np.full_like(x, math.copysign(math.inf, zero)))
    assert np.isnan(Compiled(lambda x, a: x + a/a, a=zero)(x)).all()
    assert np.isnan(Compiled(lambda x, a: x*math.log(a - 1), a=zero)(x)).all()


def test_hyperparameters_are_computed_in_double_precision():
    x = np.ones(16, np.float32)
    assert_same_bits(Compiled(lambda x, a: x*((1 + a) - 1), a=2.0**-40)(x), np.full(16, 2.0**-40, np.float32))


@each_float
@pytest.mark.parametrize("function", [
    lambda x: np.sin(x), lambda x: np.cos(x)*x, lambda x: np.tan(x), lambda x: np.sin(x) if x < 1e6 else np.cos(x)])
def test_arguments_out_of_reach(function, dtype):
    """Blocks with one are computed again; every element has the same bits as if it were alone."""
    act, rng = Compiled(function), np.random.default_rng(2)
    x = rng.normal(size=3000).astype(dtype)
    x[[5, 700, 701, 2999]] = [1e30, -3e8, np.inf, 2e15]
    got = act(x)
    assert_same_bits(got, np.array([act(each) for each in x], dtype))
    exact = expected(function, x.astype(np.float64))
    np.testing.assert_allclose(got, exact, rtol=8*np.finfo(dtype).eps, atol=1e-30)


# Formulas at random

NUMBERS = st.sampled_from(["0.0", "-0.0", "1.0", "0.5", "3.0", "-2.0", "0.1", "1e-3", "1e30", "math.inf", "x", "x", "x"])


def larger(smaller):
    condition = st.one_of(
        st.builds("({} {} {})".format, smaller, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), smaller),
        st.builds("(not {} < {})".format, smaller, smaller),
        st.builds("({} < {} {} {} < {})".format, smaller, smaller, st.sampled_from(["and", "or"]), smaller, smaller))
    return st.one_of(
        st.builds("({} {} {})".format, smaller, st.sampled_from("+-*/"), smaller),
        st.builds("(-{})".format, smaller), st.builds("abs({})".format, smaller),
        st.builds("max({}, {})".format, smaller, smaller), st.builds("min({}, {})".format, smaller, smaller),
        st.builds("({} if {} else {})".format, smaller, condition, smaller),
        st.builds("choose({}, {}, {})".format, condition, smaller, smaller))


def choose(condition, yes, no):
    return where(condition, yes, no) if isinstance(condition, Symbolic) else yes if condition else no


def formula(text, dtypes=FLOATS):
    """The function, and its compiled form."""
    function = eval(f"lambda x: {text}", {"math": math, "choose": choose})
    try:
        return function, Compiled(function, dtypes)
    except FormulaError as error:
        assert "ZeroDivisionError" in str(error)        # of numbers in the text
        reject()


@settings(max_examples=80)
@given(st.recursive(NUMBERS, larger, max_leaves=9))
def test_any_formula(text):
    function, act = formula(text)
    for dtype in FLOATS:
        check(function, act, dtype)


@settings(max_examples=60)
@given(st.recursive(NUMBERS, larger, max_leaves=9))
def test_any_formula_as_python_on_floats(text):
    function, act = formula(text, [np.float64])
    x = points(np.float64)
    got = act(x)
    for each, value in zip(x.tolist(), got):
        try:
            wanted = float(function(each))
        except ZeroDivisionError:
            continue
        assert_same_bits(value, np.float64(wanted), (text, each))
