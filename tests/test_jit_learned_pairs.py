"""Gated units of formulas with learned parameters: all gradients by mpmath and differences, and whatever GLU and PReLU can do."""
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
from fastnn.jit.errors import FormulaError
from helpers import FLOATS, assert_same_bits, unregistering

each_float = pytest.mark.parametrize("dtype", FLOATS)


same_catalogue_afterwards = unregistering(activations)


def swiglu(a, b, beta):
    return a*b*expit(beta*b)


def made(**options):
    register_act("own", swiglu, learn="beta", beta=1.25)
    return get_act("own", **options)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(0, 1.5, shape).astype(dtype)


@each_float
@pytest.mark.parametrize(("begin", "make"), [
    ({"beta": 1.25}, lambda m: lambda a, b, beta: a*b/(1 + m.exp(-beta*b))),
    ({"p": 0.5, "q": -0.25}, lambda m: lambda a, b, p, q: m.tanh(p*a)*b + q*a*a),
    ({"t": 0.25}, lambda m: lambda a, b, t: a*(b if b > 0 else t*b))])
def test_value_and_all_derivatives(begin, make, dtype):
    """One element a channel, so that no sum is in the way."""
    mp = mpmath.mp.clone()
    mp.dps = 40
    exact, h = make(mp), mp.mpf(10)**-12
    a, b = (each.ravel().astype(dtype) for each in np.meshgrid([-2.34375, -0.40625, 0.53125, 1.84375], [-1.6875, 0.0546875, 2.21875]))
    unit = register_act("own", make(math), learn=tuple(begin), **begin).activation(channels=a.size, axis=0)
    for i, value in enumerate(unit.params.values()):
        value[:] = (value*np.linspace(0.5, 1.5, a.size) + i/4).astype(np.float32)
    grad = np.linspace(-2, 2, a.size).astype(dtype)
    y, (da, db) = unit(a, b), unit.backward(a, grad=grad, gate=b)
    of_a, mixed, of_b = unit.d2y(a, b)
    allowed = 64*float(np.finfo(dtype).eps)
    for i, g in enumerate(grad.tolist()):
        at = [mp.mpf(float(a[i])), mp.mpf(float(b[i])), *(mp.mpf(float(value[i])) for value in unit.params.values())]
        assert abs(float(y[i]) - exact(*at)) <= allowed*(1 + abs(exact(*at)))
        for k, one in enumerate([da[i], db[i], *(value[i] for value in unit.grads.values())]):
            right = g*mp.diff(lambda x: exact(*at[:k], x, *at[k + 1:]), at[k], h=h)         # noqa: B023
            assert abs(float(one) - right) <= allowed*(1 + abs(right)), (i, k)
        for one, order in ((of_a, (2, 0)), (mixed, (1, 1)), (of_b, (0, 2))):
            right = mp.diff(lambda p, q: exact(p, q, *at[2:]), tuple(at[:2]), order, h=h)   # noqa: B023
            assert abs(float(one[i]) - right) <= 8*allowed*(1 + abs(right)), (i, order)


@each_float
@pytest.mark.parametrize(("shape", "axis", "channels"), [((5, 8), -1, 4), ((5, 8), -1, 1), ((6, 300, 40), 1, 150), ((4, 3000), 0, 2),
                                                       ((70, 1200), 1, 1), ((0, 6), 1, 3), ((2, 6, 700), 1, 3)])
@pytest.mark.parametrize("half", ["second", "first"])
def test_halves_and_two_arrays(shape, axis, channels, half, dtype):
    unit = made(axis=axis, channels=channels, gate_half=half)
    unit.beta[:] = np.linspace(-0.5, 1.5, channels).astype(np.float32)
    x = normal(shape, dtype)
    a, b = np.split(x, 2, axis=axis)[::1 if half == "second" else -1]
    g, along = normal(a.shape, dtype, 1), [1]*len(shape)
    along[axis] = channels
    beta = unit.beta.reshape(along)
    s = expit(beta*b.astype(np.float64))
    close = {"rtol": 1e-12, "atol": 1e-13} if dtype == np.float64 else {"rtol": 3e-6, "atol": 1e-6}
    y = unit(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, a*b*s, **close)
    assert_same_bits(unit(a, b), y)
    dx = unit.backward(x, y, g)
    halves = np.split(dx, 2, axis=axis)[::1 if half == "second" else -1]
    np.testing.assert_allclose(halves[0], g*b*s, **close)
    np.testing.assert_allclose(halves[1], g*a*(s + beta*b*s*(1 - s)), **close)
    own = (g*a*(b.astype(np.float64)**2)*s*(1 - s))
    axes = tuple(i for i in range(len(shape)) if i != axis % len(shape) or channels == 1)
    np.testing.assert_allclose(unit.dbeta, own.sum(axis=axes).reshape(channels), rtol=1e-5 if dtype == np.float32 else 1e-11,
                               atol=(1e-5 if dtype == np.float32 else 1e-12)*np.sqrt(a.size + 1))
    of_halves = unit.dbeta
    for one, two in zip(unit.backward(a, grad=g, gate=b), halves):
        assert_same_bits(one, two)
    assert_same_bits(unit.dbeta, of_halves)


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_layouts_and_out(dtype):
    unit, x, g = made(channels=6), normal((7, 12), dtype), normal((7, 6), dtype, 1)
    unit.beta[:] = np.arange(6)/4
    y, dx = unit(x), unit.backward(x, grad=g)
    dbeta = unit.dbeta
    assert y.dtype == dx.dtype == dtype
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a[::-1].copy()[::-1],
                   lambda a: a.astype(a.dtype.newbyteorder())):
        assert_same_bits(np.ascontiguousarray(unit(layout(x))), y)
        assert_same_bits(np.ascontiguousarray(unit.backward(layout(x), grad=layout(g))), dx)
        assert_same_bits(unit.dbeta, dbeta)
    out, back = np.zeros_like(y), x.copy()
    assert unit(x, out=out) is out and unit.backward(back, grad=g, out=back) is back
    assert_same_bits(out, y)
    assert_same_bits(back, dx)
    a, b = x[:, :6].copy(), x[:, 6:].copy()
    pair = np.zeros_like(a), np.zeros_like(b)
    assert unit.backward(a, grad=g, gate=b, out=pair) is pair
    assert_same_bits(np.hstack(pair), dx)
    assert unit(a, b, out=a) is a
    assert_same_bits(a, y)


def test_a_gate_that_is_broadcast():
    unit, a, b = made(channels=3), normal((5, 3)), normal(3, seed=1)
    da, db = unit.backward(a, grad=a, gate=b)
    whole = unit.backward(a, grad=a, gate=np.broadcast_to(b, a.shape).copy())
    assert db.shape == (3,)
    np.testing.assert_array_equal(da, whole[0])
    np.testing.assert_allclose(db, whole[1].sum(axis=0), rtol=1e-14)
    out = np.zeros_like(a), np.zeros_like(b)
    unit.backward(a, grad=a, gate=b, out=out)
    np.testing.assert_array_equal(out[1], db)


def test_like_any_other():
    unit = made(channels=3)
    assert repr(unit) == "get_act('own', beta=1.25, channels=3)" and unit.kind == "gated" and unit.learned == ("beta",)
    assert activations("gated")[-1] == "own" and isinstance(unit, fastnn.core.gated_units.GatedUnit)
    x = normal((4, 6))
    y, slopes = unit.value_and_grad(x)
    assert unit.dbeta is None
    np.testing.assert_array_equal(y, unit(x))
    np.testing.assert_array_equal(slopes, unit.backward(x, grad=np.ones_like(y)))
    unit.update(fastnn.get_opt("SGD", lr=0.1))
    assert (unit.beta != 1.25).all()
    data = pickle.dumps(unit)
    for twin in (pickle.loads(data), copy.copy(unit), copy.deepcopy(unit)):
        assert_same_bits(twin(x), unit(x))
        assert_same_bits(twin.dbeta, unit.dbeta)
    unit.gate_half = "first"
    np.testing.assert_array_equal(unit(x), unit(x[:, 3:], x[:, :3]))
    for call, error, text in (
            (lambda: unit(x[:, :5]), ValueError, "odd length, 5"), (lambda: unit(x, x[:, :3]), ValueError, "^gate must have shape"),
            (lambda: unit(np.ones((2, 8))), ValueError, "axis -1 of x has 4 channels, the parameter 3"),
            (lambda: unit.backward(x), TypeError, "takes x and grad"),
            (lambda: unit.backward(x, grad=x), ValueError, "^grad must have shape"),
            (lambda: unit.backward(x, grad=y, out=np.ones((4, 3))), ValueError, "^out must have shape")):
        with pytest.raises(error, match=text):
            call()
    unregister("own")
    assert_same_bits(copy.deepcopy(unit)(x), unit(x))


def test_it_learns_in_a_network():
    register_act("own", swiglu, learn="beta", beta=1.25)
    x = normal((200, 4))
    t = np.argmax(x[:, :3], axis=1)
    net = fastnn.nn.MultiLayerNet(4, [6], 3, activation="own", rng=0)
    assert any("beta" in name for name in net.params)
    before = {name: value.copy() for name, value in net.params.items()}
    opt = fastnn.get_opt("Adam", lr=0.05)
    begun = net.loss(x, t)
    for _ in range(60):
        opt.step(net.params, net.gradient(x, t))
    assert net.loss(x, t) < begun/2
    assert all((net.params[name] != before[name]).any() for name in before if "beta" in name)


def test_given_derivatives_and_hyperparameters():
    formula = register_act("own", lambda a, b, c, k: a*math.tanh(k*c*b), learn="c", c=1.0, k=2.0)
    a, b = normal((2, 9))

    def slopes():
        unit = get_act("own", k=0.5)
        return (*unit.backward(a, grad=np.ones(9), gate=b), unit.dc)
    derived = slopes()
    formula.derivative(lambda a, b, c, k: (math.tanh(k*c*b), a*k*c*(1 - math.tanh(k*c*b)**2), a*k*b*(1 - math.tanh(k*c*b)**2)))
    for one, two in zip(slopes(), derived):
        np.testing.assert_allclose(one, two, rtol=1e-12)
    with pytest.raises(FormulaError, match="derivative of own in c is wrong"):
        formula.derivative(lambda a, b, c, k: (math.tanh(k*c*b), a*k*c*(1 - math.tanh(k*c*b)**2), a))


@pytest.mark.parametrize(("options", "function", "error", "told"), [
    ({"learn": "axis", "axis": 1}, lambda a, b, axis: a*b*axis, ValueError, "use that name"),
    ({"learn": "gate_half", "gate_half": 1}, lambda a, b, gate_half: a, ValueError, "use that name"),
    ({"learn": tuple("cdefghij"), **dict.fromkeys("cdefghij", 1)}, lambda a, b, c, d, e, f, g, h, i, j: a*b, ValueError,
     "can learn 7 parameters, not 8"),
    ({}, lambda u, v: u*v, TypeError, "v=1.0; the two arguments of a gated unit are called a and b"),
    ({"learn": "k", "k": 1}, lambda u, v, k: u*v*k, TypeError, "the two arguments of a gated unit are called a and b"),
    ({"learn": "k", "k": 1}, lambda a, b, c, k: a*b*k, TypeError, r"must take \(a, b, k\), .*: a hyperparameter has a default, c=1.0$")])
def test_refused_and_nothing_registered(options, function, error, told):
    before = activations()
    with pytest.raises(error, match=told):
        register_act("own", function, **options)
    assert activations() == before


def test_explain():
    made()
    report = fastnn.explain("own")
    assert report.count("vectorised, ") == 4 and "not vectorised" not in report, report
    assert [line.split()[0] for line in report.splitlines() if "ULP at" in line] == ["f", "df/da", "df/db", "df/dbeta"]*2
    assert all(float(ulps) < 8 for ulps in re.findall(r"within (\S+) ULP", report)), report
