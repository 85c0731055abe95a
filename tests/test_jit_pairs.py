"""Gated units of formulas of a and b: values and derivatives by mpmath, names, errors, and whatever GLU can do."""
import copy
import math
import pickle
import re

import numpy as np
import pytest

pytest.importorskip("numba")
mpmath = pytest.importorskip("mpmath")
pytest.importorskip("sympy")

import fastnn
from fastnn import activations, get_act, register_act, unregister, where
from fastnn.jit.errors import FormulaError
from helpers import FLOATS, assert_same_bits, unregistering

each_float = pytest.mark.parametrize("dtype", FLOATS)


same_catalogue_afterwards = unregistering(activations)


def bilinear(a, b):
    """a b."""
    return a*b


def reglu(a, b):
    return a*(b if b > 0 else 0.0)


# Numbers. m is math for the formula, and mpmath for what is right.

FORMULAS = {
    "GTU": lambda m: lambda a, b: m.tanh(a)/(1 + m.exp(-b)),
    "of tanh": lambda m: lambda a, b: a*m.tanh(b),
    "of softplus": lambda m: lambda a, b: a*(max(b, 0) + m.log1p(m.exp(-abs(b)))),
    "of sine": lambda m: lambda a, b: a*m.sin(b) + b,
    "squared": lambda m: lambda a, b: max(a, 0)**2*b,
    "bump": lambda m: lambda a, b: a*m.exp(-b*b),
    "length": lambda m: lambda a, b: m.sqrt(a*a + b*b + 0.125),
    "ratio": lambda m: lambda a, b: a/(1 + abs(b)),
    "power": lambda m: lambda a, b: (a*a + 1)**b,
    "the larger": lambda m: lambda a, b: max(a, b),
    "a alone": lambda m: lambda a, b: m.atan(a),
    "b alone": lambda m: lambda a, b: 3*b,
}


@each_float
@pytest.mark.parametrize("name", FORMULAS)
def test_second_derivatives(name, dtype):
    unit = register_act("own", FORMULAS[name](math)).activation()
    mp = mpmath.mp.clone()
    mp.dps = 40
    exact, h = FORMULAS[name](mp), mp.mpf(10)**-12
    a, b = (each.ravel().astype(dtype) for each in np.meshgrid([-2.6875, -0.40625, 0.53125, 1.84375], [-3.4375, -0.28125, 1.125]))
    found = unit.d2y(a, b)
    for one, other in zip(found, get_act("own", axis=0, gate_half="first").d2y(np.concatenate([b, a]))):
        assert_same_bits(one, other)
    allowed = 256*float(np.finfo(dtype).eps)
    for p, q, *got in zip(a.tolist(), b.tolist(), *(one.tolist() for one in found)):
        for one, order in zip(got, ((2, 0), (1, 1), (0, 2))):
            right = mp.diff(exact, (mp.mpf(p), mp.mpf(q)), order, h=h)
            assert abs(one - right) <= allowed*(1 + abs(right)), (name, p, q, order)


def test_second_derivatives_of_what_is_given():
    formula = register_act("own", lambda a, b, k: a*math.tanh(k*b), k=2.0)
    a, b = np.linspace(-1, 1, 5), np.linspace(-2, 2, 5)
    slope = 2/np.cosh(2*b)**2
    for _ in range(2):
        of_a, mixed, of_b = get_act("own").d2y(a, b)
        assert not of_a.any()
        np.testing.assert_allclose(mixed, slope, rtol=1e-13)
        np.testing.assert_allclose(of_b, -4*a*np.tanh(2*b)*slope, rtol=1e-13, atol=1e-15)
        formula.derivative(lambda a, b, k: (math.tanh(k*b), a*k*(1 - math.tanh(k*b)**2)))
    of_all = get_act("own").d2y(a[:, None]*np.ones(5), b)       # a gate that is broadcast
    assert all(one.shape == (5, 5) for one in of_all)


@each_float
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_both_derivatives(name, dtype):
    unit = register_act("own", FORMULAS[name](math)).activation()
    mp = mpmath.mp.clone()
    mp.dps = 40
    exact = FORMULAS[name](mp)
    a, b = (each.ravel().astype(dtype) for each in np.meshgrid(
        [-5.6875, -1.34375, -0.40625, -0.03125, 0.0546875, 0.53125, 1.84375, 6.21875],
        [-4.4375, -1.0625, -0.28125, 0.015625, 0.390625, 1.125, 5.65625]))
    grad = np.linspace(-2, 2, a.size).astype(dtype)
    value = unit.forward(a, gate=b)
    da, db = unit.backward(a, grad=grad, gate=b)
    h = mp.mpf(10)**-12
    for p, q, g, *got in zip(*(each.tolist() for each in (a, b, grad, value, da, db))):
        x, y = mp.mpf(p), mp.mpf(q)
        right = (exact(x, y), g*mp.diff(lambda one: exact(one, y), x, h=h),         # noqa: B023
                 g*mp.diff(lambda one: exact(x, one), y, h=h))                      # noqa: B023
        for one, two in zip(got, right):
            assert abs(one - two) <= 64*float(np.finfo(dtype).eps)*(1 + abs(p*q) + abs(two)), (name, p, q)


def test_kinks_are_those_of_the_branch_that_is_taken():
    unit = register_act("own", reglu).activation()
    assert unit.backward(2.0, grad=1.0, gate=0.0) == (0, 0)
    unit = register_act("own", lambda a, b: where(a == 0, b, b*np.sin(a)/a), replace=True).activation()
    assert unit.backward(0.0, grad=1.0, gate=2.0) == (0, 1)


# The catalogue

def test_like_any_other():
    formula = register_act("My-Unit", lambda a, b, k: a*math.tanh(k*b), k=1.0)
    assert activations()[-1] == "My-Unit" == activations("gated")[-1]
    unit = get_act("myunit", k=2)
    assert repr(unit) == "get_act('My-Unit', k=2.0)" and unit.kind == "gated" and formula.name == "My-Unit"
    assert repr(get_act("My-Unit", axis=0, gate_half="first")) == "get_act('My-Unit', axis=0, gate_half='first', k=1.0)"
    assert formula(2.0, 0.5, 1.0) == 2*math.tanh(0.5)
    unit.k = 3
    assert unit(np.array([2.0, 0.5])) == 2*math.tanh(1.5)
    with pytest.raises(TypeError, match="no hyperparameter 'beta'"):
        get_act("My-Unit", beta=1)
    with pytest.raises(ValueError, match="gate_half must be"):
        get_act("My-Unit", gate_half="third")


def test_what_is_a_pair_and_what_is_none():
    assert register_act("pair", bilinear).activation.kind == "gated"
    assert register_act("one", bilinear, b=2.0).activation.kind == "elementwise" and get_act("one")(3.0) == 6
    with pytest.raises(TypeError, match=r"must take \(x\), not \(value, gate\)"):
        register_act("none", lambda value, gate: value*gate)
    with pytest.raises(TypeError, match=r"must take \(a, b, k\), not \(a, b, c\)"):
        register_act("none", lambda a, b, c: a*b*c, k=1.0)


@pytest.mark.parametrize(("hyperparameters", "function", "error", "told"), [
    ({"axis": 1}, lambda a, b, axis: a*b, ValueError, "gated units use that name"),
    ({"gate_half": 1}, lambda a, b, gate_half: a*b, ValueError, "gated units use that name"),
    ({}, lambda a, b: (a, b), FormulaError, "2 numbers, not one"), ({}, lambda a, b: math.gamma(b), FormulaError, "math.gamma"),
    ({}, lambda a, b: a*math.log(-1 - b*b), FormulaError, "finite and smooth at none"),
    ({}, lambda a, b: a if type(b) is float else b, FormulaError, "what was recorded"),
    ({}, lambda a, *, b: a*b, TypeError, "must take")])
def test_refused_and_nothing_registered(hyperparameters, function, error, told):
    before = activations()
    with pytest.raises(error, match=told):
        register_act("own", function, **hyperparameters)
    assert activations() == before


def test_names_that_are_taken():
    built_in, before = get_act("GLU"), activations()
    for name in ("glu", "Tanh", "PReLU"):
        with pytest.raises(ValueError, match="is taken"):
            register_act(name, bilinear)
    register_act("glu", bilinear, replace=True)
    assert get_act("GLU")(np.array([3.0, 2.0])) == 6 and built_in(np.array([3.0, 0.0])) == 1.5
    unregister("GLU")
    assert get_act("GLU")(np.array([3.0, 0.0])) == 1.5 and activations() == before


def test_sixteen_numbers():
    names = [f"h{i}" for i in range(16)]
    text = " + ".join(f"b*{name}" for name in names[1:])
    unit = register_act("own", eval(f"lambda a, b, {', '.join(names[1:])}: a*({text})"),
                        **dict.fromkeys(names[1:], 1.0)).activation(**{name: i for i, name in enumerate(names) if i})
    assert unit.forward(2.0, gate=3.0) == 6*sum(range(16))
    text = " + ".join(f"b*b*{name}" for name in [*names, "h16"])
    with pytest.raises(FormulaError, match="f, df/da and df/db depend on .* 16 are possible"):
        register_act("more", eval(f"lambda a, b, {', '.join(names)}, h16: a*({text})"), **dict.fromkeys([*names, "h16"], 1.0))


# Derivatives that are given

def test_derivatives_that_are_given():
    formula = register_act("own", lambda a, b: a*math.tanh(b))

    @formula.derivative
    def both(a, b):
        return math.tanh(b), a/math.cosh(b)**2
    assert both(2.0, 0.0) == (0, 2)
    assert re.search(r"df/db = a / \((v\d) \* \1\)", fastnn.explain("own"))
    x, g = np.linspace(-3, 3, 20).reshape(2, 10), np.ones((2, 5))
    np.testing.assert_allclose(get_act("own").backward(x, grad=g)[:, 5:], x[:, :5]/np.cosh(x[:, 5:])**2, rtol=1e-14)


@pytest.mark.parametrize(("wrong", "error"), [
    (lambda a, b: (math.tanh(b), a), FormulaError), (lambda a, b: (a, a/math.cosh(b)**2), FormulaError),
    (lambda a, b: math.tanh(b), FormulaError), (lambda a: (a, a), TypeError), (None, TypeError)])
def test_wrong_ones_change_nothing(wrong, error):
    formula = register_act("own", lambda a, b: a*math.tanh(b))
    x, g = np.linspace(-3, 3, 20), np.ones(10)
    before = get_act("own").backward(x, grad=g)
    with pytest.raises(error):
        formula.derivative(wrong)
    assert_same_bits(get_act("own").backward(x, grad=g), before)


# Whatever a built-in one can do, with the same bits

def layouts(dtype):
    big = (3*np.random.default_rng(9).normal(size=(6, 8, 10))).astype(dtype)
    for change in (lambda a: a, lambda a: a[1:5:2], lambda a: a[:, ::-1], lambda a: a[..., ::5], np.asfortranarray,
                   lambda a: a.transpose(1, 0, 2), lambda a: a[:0], lambda a: a[1, 2],
                   lambda a: a.astype(a.dtype.newbyteorder()), lambda a: np.resize(a, (70_000,))):
        yield change(big)


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_every_layout_in_every_way(dtype):
    register_act("own", bilinear)
    for options in ({}, {"axis": 0}, {"gate_half": "first"}):
        own, built_in = get_act("own", **options), get_act("bilinear", **options)
        for x in layouts(dtype):
            g = np.asarray(built_in(x))[::1]*0.75
            for way in (lambda act, x, g: act(x), lambda act, x, g: act.backward(x, grad=g),
                        lambda act, x, g: act(x, gate=x[..., ::-1]),
                        lambda act, x, g: act.backward(x, grad=x, gate=x[..., ::-1])[0],
                        lambda act, x, g: act.backward(x, grad=x, gate=x[..., ::-1])[1]):
                assert_same_bits(way(own, x, g), way(built_in, x, g))


@each_float
def test_out_and_threads(dtype):
    own = register_act("own", bilinear).activation()
    x = np.random.default_rng(1).normal(size=(300, 1024)).astype(dtype)
    before, found = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2):
            fastnn.set_num_threads(threads)
            found.append(own(x))
    finally:
        fastnn.set_num_threads(before)
    assert_same_bits(*found)
    out, both = np.empty_like(found[0]), (np.empty_like(x), np.empty_like(x))
    assert own(x, out=out) is out and own.backward(x, grad=x, gate=x, out=both) is both
    assert_same_bits(out, found[0])
    with pytest.raises(ValueError):
        own(x, out=out[1:])
    with pytest.raises(ValueError, match="odd"):
        own(x[:, :7])


def test_copies_and_pickles():
    register_act("own", lambda a, b, k: k*a*b, k=1.0)
    unit = get_act("own", axis=0, gate_half="first", k=3)
    data, x = pickle.dumps(unit), np.arange(6.0).reshape(2, 3)
    for each in (pickle.loads(data), copy.copy(unit), copy.deepcopy(unit)):
        assert_same_bits(each(x), unit(x))
        assert (each.axis, each.gate_half, each.k) == (0, "first", 3)
    unregister("own")
    assert_same_bits(copy.deepcopy(unit)(x), unit(x))
    with pytest.raises(ValueError, match="no activator is registered as 'own'"):
        pickle.loads(data)


def test_explain():
    register_act("own", lambda a, b, k: a*math.tanh(k*b)/(1 + k), k=1.0)
    report = fastnn.explain("own")
    lines = report.splitlines()
    assert lines[0] == "own: (axis=-1, gate_half='second', k=1.0)"
    assert report.count("vectorised, ") == 4 and "not vectorised" not in report, report
    assert [line.split()[0] for line in lines if "ULP at" in line] == ["f", "df/da", "df/db"]*2
    assert all(float(ulps) < 8 for ulps in re.findall(r"within (\S+) ULP", report)), report
