"""Activations of formulas with learned parameters: gradients by mpmath, sums, names, errors, and whatever PReLU can do."""
import copy
import math
import pickle
import re

import numpy as np
import pytest

pytest.importorskip("numba")
mpmath = pytest.importorskip("mpmath")
pytest.importorskip("sympy")
expit = pytest.importorskip("scipy.special").expit

import fastnn
from fastnn import activations, get_act, register_act, unregister
from fastnn.hyperparameters import Hyperparameter
from fastnn.jit.errors import FormulaError
from helpers import FLOATS, assert_same_bits, unregistering

each_float = pytest.mark.parametrize("dtype", FLOATS)


same_catalogue_afterwards = unregistering(activations)


def prelu(x, alpha):
    """PReLU's."""
    return x if x > 0 else alpha*x


def acon(x, p1, p2, beta):
    d = (p1 - p2)*x
    return d*expit(beta*d) + p2*x


# Numbers. m is math for the formula, and mpmath for what is right.

FORMULAS = {
    "swish": ({"beta": 1.25}, lambda m: lambda x, beta: x/(1 + m.exp(-beta*x))),
    "snake": ({"a": 1.5}, lambda m: lambda x, a: x + m.sin(a*x)**2/a),
    "elu": ({"alpha": 0.75}, lambda m: lambda x, alpha: x if x > 0 else alpha*m.expm1(x)),
    "softplus": ({"beta": 2.0}, lambda m: lambda x, beta: (max(beta*x, 0) + m.log1p(m.exp(-abs(beta*x))))/beta),
    "two": ({"a": 0.5, "c": -0.25}, lambda m: lambda x, a, c: a*m.tanh(x) + c*x*x),
    "shifted": ({"low": -1.0, "high": 2.25}, lambda m: lambda x, low, high: max(low*x, high*x - 1)),
    "power": ({"p": 1.75}, lambda m: lambda x, p: abs(x)**p),
    "of one parameter alone": ({"c": 1.5}, lambda m: lambda x, c: c*c),
}


def one_a_channel(name, dtype):
    """mpmath, the formula in it, a step, numbers, and an activation with a channel for each, so that no sum is in the way."""
    begin, make = FORMULAS[name]
    mp = mpmath.mp.clone()
    mp.dps = 40
    x = np.array([-9.6875, -2.34375, -0.40625, -0.03125, 0.0546875, 0.53125, 1.84375, 7.21875]).astype(dtype)
    act = register_act("own", make(math), learn=tuple(begin), **begin).activation(channels=x.size, axis=0)
    for i, value in enumerate(act.params.values()):
        value[:] = (value*(np.linspace(0.5, 1.5, x.size) + i/4)).astype(np.float32)
    return mp, make(mp), mp.mpf(10)**-12, x, act


@each_float
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradients(name, dtype):
    mp, exact, h, x, act = one_a_channel(name, dtype)
    grad = np.linspace(-2, 2, x.size).astype(dtype)
    y, dx = act.forward(x), act.backward(x, grad=grad)
    allowed = 64*float(np.finfo(dtype).eps)
    for i, (at, g) in enumerate(zip(x.tolist(), grad.tolist())):
        arguments = [mp.mpf(at), *(mp.mpf(float(value[i])) for value in act.params.values())]
        got = [dx[i], *(value[i] for value in act.grads.values())]
        assert abs(y[i] - exact(*arguments)) <= allowed*(1 + abs(exact(*arguments)) + at*at)
        for k, one in enumerate(got):
            right = g*mp.diff(lambda a: exact(*arguments[:k], a, *arguments[k + 1:]), arguments[k], h=h)     # noqa: B023
            assert abs(float(one) - right) <= allowed*(1 + abs(right) + at*at), (name, at, k)


@each_float
@pytest.mark.parametrize("name", FORMULAS)
def test_second_derivative(name, dtype):
    mp, exact, h, x, act = one_a_channel(name, dtype)
    allowed = 256*float(np.finfo(dtype).eps)
    for i, (at, got) in enumerate(zip(x.tolist(), act.d2y(x).tolist())):
        values = [mp.mpf(float(value[i])) for value in act.params.values()]
        right = mp.diff(lambda a: exact(a, *values), mp.mpf(at), 2, h=h)                    # noqa: B023
        assert abs(got - right) <= allowed*(1 + abs(right) + at*at), (name, at)
    assert act.value_and_grad(x)[1].tobytes() == act.backward(x, grad=np.ones_like(x)).tobytes()
    out = np.empty_like(x)
    assert act.d2y(x, out=out) is out and pickle.loads(pickle.dumps(act)).d2y(x).tobytes() == out.tobytes()


def test_second_derivative_with_hyperparameters_and_derivatives_that_are_given():
    formula = register_act("own", lambda x, a, k: a*math.tanh(k*x), learn="a", a=2.0, k=1.0)
    x = np.linspace(-2, 2, 9)
    act = get_act("own", k=0.5)
    wanted = -2*2*0.25*np.tanh(x/2)/np.cosh(x/2)**2
    np.testing.assert_allclose(act.d2y(x), wanted, rtol=1e-13, atol=1e-15)
    formula.derivative(lambda x, a, k: (a*k*(1 - math.tanh(k*x)**2), math.tanh(k*x)))
    np.testing.assert_allclose(get_act("own", k=0.5).d2y(x), wanted, rtol=1e-13, atol=1e-15)


@each_float
@pytest.mark.parametrize(("shape", "channels", "axis"), [((5000,), 1, 1), ((64, 8, 30), 8, 1), ((700, 7), 7, -1),
                                                       ((3, 4, 500), 4, 1), ((0, 3), 3, 1), ((), 1, 1)])
def test_sums_are_in_double_precision(shape, channels, axis, dtype):
    act = register_act("own", FORMULAS["swish"][1](math), learn="beta", beta=1.25).activation(channels=channels, axis=axis)
    act.beta[:] = np.linspace(1, 2, channels).astype(np.float32)
    rng = np.random.default_rng(0)
    x, g = (np.asarray(rng.normal(size=shape), dtype) for _ in range(2))
    act.backward(x, grad=g)
    wide, along = x.astype(np.float64), (1,)*max(0, len(shape) - 1)
    if channels > 1:
        along = [1]*len(shape)
        along[axis] = channels
    s = expit(act.beta.reshape(along or (1,))*wide)
    each = g*wide*wide*s*(1 - s)
    axes = tuple(i for i in range(np.ndim(each)) if channels == 1 or i != axis % len(shape))
    assert act.dbeta.shape == (channels,) and act.dbeta.dtype == np.float64
    np.testing.assert_allclose(act.dbeta, np.sum(each, axis=axes).reshape(channels),
                               rtol=0, atol=8*np.finfo(dtype).eps*max(1, np.abs(each).max(initial=0))*math.sqrt(max(1, x.size)))


def test_as_the_built_in_ones():
    register_act("own", prelu, learn="alpha", alpha=0.25)
    register_act("own-acon", acon, learn=("p1", "p2", "beta"), p1=1.0, p2=0.0, beta=1.0)
    rng = np.random.default_rng(0)
    for names, options in ((("own", "PReLU"), {}), (("own-acon", "ACON-C"), {"learn": ("p1", "p2", "beta")})):
        for channels, axis, shape in ((1, 1, (33, 40)), (6, 1, (5, 6, 200)), (40, -1, (33, 40))):
            own, built_in = get_act(names[0], channels=channels, axis=axis), get_act(names[1], channels=channels, axis=axis, **options)
            x, g = rng.normal(size=(2, *shape))
            np.testing.assert_allclose(own(x), built_in(x), rtol=1e-13, atol=1e-14)
            np.testing.assert_allclose(own.backward(x, grad=g), built_in.backward(x, grad=g), rtol=1e-12, atol=1e-13)
            for key in built_in.grads:
                np.testing.assert_allclose(own.grads[key], built_in.grads[key], rtol=1e-11, atol=1e-11)


def layouts(dtype):
    big = (3*np.random.default_rng(9).normal(size=(6, 8, 10))).astype(dtype)
    for change in (lambda a: a, lambda a: a[::2], lambda a: a[:, ::-1], lambda a: a[..., ::5], np.asfortranarray,
                   lambda a: a.transpose(1, 0, 2), lambda a: a[:0], lambda a: a[1, 2], lambda a: a[0, 0, 0],
                   lambda a: a.astype(a.dtype.newbyteorder()), lambda a: np.resize(a, (70_000,))):
        yield change(big)


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_every_layout_has_the_bits_of_the_built_in_one(dtype):
    register_act("own", prelu, learn="alpha", alpha=0.25)
    own, built_in = get_act("own"), get_act("PReLU")
    for x in layouts(dtype):
        assert_same_bits(np.asarray(own(x)), np.asarray(built_in(x)))
        assert_same_bits(np.asarray(own.backward(x, grad=x)), np.asarray(built_in.backward(x, grad=x)))
        assert_same_bits(own.dalpha, built_in.dalpha)


# The catalogue

def test_like_any_other():
    formula = register_act("My-PReLU", prelu, learn=("alpha",), alpha=0.25)
    assert activations()[-1] == "My-PReLU" == activations("learnable")[-1]
    act = get_act("my prelu", channels=3, axis=-1)
    assert repr(act) == "get_act('My-PReLU', alpha=0.25, channels=3, axis=-1)" and act.kind == "learnable"
    assert formula(-2.0, 0.5) == -1 and type(act).__doc__ == prelu.__doc__ and act.learned == ("alpha",)
    assert act.alpha.tolist() == [0.25]*3 and act.dalpha is None and act.grads == {"alpha": None}
    assert get_act("My-PReLU", 0.5).alpha.tolist() == [0.5] and get_act("My-PReLU", learn="alpha").channels == 1
    with pytest.raises(ValueError, match="update needs a backward"):
        act.update(fastnn.get_opt("SGD"))
    x = np.array([[-1.0, 2.0, -3.0], [-4.0, -5.0, 6.0]])
    act.backward(x, grad=np.ones((2, 3)))
    assert act.dalpha.tolist() == [-5, -5, -3]
    act.update(fastnn.get_opt("SGD", lr=0.1))
    np.testing.assert_allclose(act.alpha, [0.75, 0.75, 0.55])
    with pytest.raises(ValueError, match="the parameter 3"):
        act(np.ones((2, 4)))
    with pytest.raises(AttributeError):
        act.dbeta
    with pytest.raises(ValueError, match="learn cannot be"):
        get_act("My-PReLU", learn="beta")
    with pytest.raises(TypeError, match="backward takes x and grad"):
        act.backward(x)


def test_hyperparameters_beside_what_is_learned():
    register_act("own", lambda x, scale, a, shift: scale*(math.tanh(a*x) + shift)/(1 + shift*shift), learn="a", scale=2.0,
                 a=1.0, shift=Hyperparameter(0.5, at_least=0))
    x = np.linspace(-2, 2, 600).reshape(2, 300)
    for options in ({}, {"channels": 300}, {"channels": 2, "axis": 0}):
        act = get_act("own", shift=1.0, **options)
        np.testing.assert_allclose(act(x), np.tanh(x) + 1, rtol=1e-13, atol=1e-14)
        act.scale, act.shift = 4, 0
        act.a[:] = 0.5
        np.testing.assert_allclose(act(x), 4*np.tanh(x/2), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(act.backward(x, grad=np.ones_like(x)), 2/np.cosh(x/2)**2, rtol=1e-13)
        np.testing.assert_allclose(act.da.sum(), (4*x/np.cosh(x/2)**2).sum(), atol=1e-10)
    with pytest.raises(ValueError, match="shift must be at least 0"):
        get_act("own", shift=-1)


@pytest.mark.parametrize(("options", "function", "error", "told"), [
    ({"learn": "alpha"}, prelu, ValueError, "alpha is learned: say what it begins with, alpha=1.0"),
    ({"learn": 3, "alpha": 1}, prelu, TypeError, "learn must be the name"),
    ({"learn": ("alpha", "alpha"), "alpha": 1}, prelu, ValueError, "each once"),
    ({"learn": {"alpha": 1}}, prelu, TypeError, "learn must be the name"),
    ({"learn": "n", "n": Hyperparameter(2, integer=True)}, lambda x, n: x*n, ValueError, "cannot be an integer"),
    ({"learn": "alpha", "alpha": "1"}, prelu, TypeError, "alpha must be a number"),
    ({"learn": "alpha", "alpha": 1, "dalpha": 2}, lambda x, alpha, dalpha: x, ValueError, "use that name"),
    ({"learn": "channels", "channels": 1}, lambda x, channels: x, ValueError, "use that name"),
    ({"learn": "params", "params": 1}, lambda x, params: x, ValueError, "use that name"),
    ({"learn": "alpha", "alpha": 1}, lambda x: x, TypeError, r"must take \(x, alpha\)"),
    ({"learn": "alpha", "alpha": 1}, lambda x, alpha, b: x, TypeError, r"must take \(x, alpha\)"),
    ({"learn": "alpha", "alpha": 1}, lambda x, alpha: math.gamma(alpha)*x, FormulaError, "math.gamma"),
    ({"learn": "alpha", "alpha": 1}, lambda x, alpha: (x, alpha), FormulaError, "2 numbers, not one"),
    ({"learn": tuple("abcdefghi"), **dict.fromkeys("abcdefghi", 1)}, lambda x, *, a: x, ValueError, "up to 8")])
def test_refused_and_nothing_registered(options, function, error, told):
    before = activations()
    with pytest.raises(error, match=told):
        register_act("own", function, **options)
    assert activations() == before


def test_ranges_of_what_is_learned():
    register_act("own", lambda x, a: x**2/(a + math.sqrt(a)), learn="a", a=Hyperparameter(4.0, above=0))
    assert get_act("own")(3.0) == 1.5
    with pytest.raises(ValueError, match="a must be above 0"):
        get_act("own", a=-1)


def test_derivatives_that_are_given():
    formula = register_act("own", lambda x, a, c: a*math.tanh(c*x), learn=("c", "a"), a=1.0, c=1.0)
    formula.derivative(lambda x, a, c: (a*c/math.cosh(c*x)**2, a*x/math.cosh(c*x)**2, math.tanh(c*x)))
    act, x = get_act("own"), np.linspace(-3, 3, 9)
    np.testing.assert_allclose(act.backward(x, grad=np.ones(9)), 1/np.cosh(x)**2, rtol=1e-14)
    np.testing.assert_allclose([act.dc[0], act.da[0]], [(x/np.cosh(x)**2).sum(), np.tanh(x).sum()], atol=1e-14)
    for wrong in (lambda x, a, c: (a*c/math.cosh(c*x)**2, math.tanh(c*x), a*x/math.cosh(c*x)**2),
                  lambda x, a, c: a*c/math.cosh(c*x)**2):
        with pytest.raises(FormulaError):
            formula.derivative(wrong)
    with pytest.raises(FormulaError, match="derivative of own in c is wrong: at c = "):
        formula.derivative(lambda x, a, c: (a*c/math.cosh(c*x)**2, x, math.tanh(c*x)))
    assert "cosh" in fastnn.explain("own")


def test_copies_and_pickles():
    register_act("own", lambda x, a, k: x if x > 0 else a*k*x, learn="a", a=0.25, k=2.0)
    act = get_act("own", channels=3, k=3)
    act.a[:] = 1, 2, 3
    x = -np.arange(6.0).reshape(2, 3)
    act.backward(x, grad=np.ones((2, 3)))
    data = pickle.dumps(act)
    for each in (pickle.loads(data), copy.copy(act), copy.deepcopy(act)):
        assert repr(each) == repr(act) and each.k == 3
        assert_same_bits(each(x), act(x))
        assert_same_bits(each.da, act.da)
    assert copy.copy(act).a is act.a and copy.deepcopy(act).a is not act.a
    unregister("own")
    assert_same_bits(copy.deepcopy(act)(x), act(x))
    with pytest.raises(ValueError, match="no activator is registered as 'own'"):
        pickle.loads(data)


def test_it_learns():
    act = register_act("own", FORMULAS["snake"][1](math), learn="a", a=1.0).activation()
    x = np.linspace(-3, 3, 300)
    wanted, opt = x + np.sin(1.5*x)**2/1.5, fastnn.get_opt("Adam", lr=0.02)
    for _ in range(300):
        act.backward(x, grad=(act.forward(x) - wanted)/x.size)
        act.update(opt)
    np.testing.assert_allclose(act.a, 1.5, atol=1e-3)


def test_explain():
    register_act("own", FORMULAS["two"][1](math), learn=("a", "c"), a=0.5, c=-0.25)
    report = fastnn.explain("own")
    assert report.splitlines()[0] == "own: (a=0.5, c=-0.25, channels=1, axis=1)"
    assert report.count("vectorised, ") == 8 and "not vectorised" not in report, report
    assert [line.split()[0] for line in report.splitlines() if "ULP at" in line] == ["f", "df/dx", "df/da", "df/dc"]*2
    assert all(float(ulps) < 8 for ulps in re.findall(r"within (\S+) ULP", report)), report
