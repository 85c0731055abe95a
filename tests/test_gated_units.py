"""Gated units: against mpmath, torch, differences, and in every layout."""
import copy
import pickle

import mpmath
import numpy as np
import pytest

import fastnn
from fastnn import bounds, get_act
from fastnn.core import gated_units as engine
from oracles.activations import GATES, ORACLES

each_unit = pytest.mark.parametrize("name", GATES)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
TORCHS = {"GLU": "sigmoid", "ReGLU": "relu", "GEGLU": "gelu", "SwiGLU": "silu"}


def normal(shape, dtype=np.float64, seed=0, scale=3.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(dtype)


# Numbers

@each_unit
@each_dtype
def test_values_and_gradients_are_exact(name, dtype):
    """Each is a product of numbers of which one has the error of the activation or its derivative."""
    activation = GATES[name]
    oracle = ORACLES[activation]
    most = bounds.ULPS[np.dtype(dtype).name]
    near = bounds.CROSSINGS.get(activation, 0)
    rng = np.random.default_rng(7)
    b = np.concatenate([normal(300, dtype), rng.uniform(-120, 120, 100).astype(dtype), [0.0, -0.0, 1e-30]]).astype(dtype)
    a, g = normal((2, b.size), dtype, 1)
    y = get_act(name).forward(a, gate=b)
    da, db = get_act(name).backward(a, grad=g, gate=b)
    for i in range(b.size):
        with mpmath.workprec(400):
            p, q, w = (mpmath.mpf(float(v[i])) for v in (a, b, g))
            f, slope = oracle.f(q, **oracle.parameters), oracle.df(q, **oracle.parameters)
            floor = bounds.FLOOR if abs(q) < near else 0
            own, its = (bounds.unit(float(v), np.dtype(dtype).name, low) for v, low in ((f, 0), (slope, floor)))
            for got, wanted, factor, error in ((y, p * f, p, most[0] * own), (da, w * f, w, most[0] * own),
                                               (db, w * p * slope, w * p, most[1] * its)):
                rounding = 2 * bounds.unit(float(wanted), np.dtype(dtype).name)
                assert abs(mpmath.mpf(float(got[i])) - wanted) <= abs(factor) * error * 1.01 + rounding, (name, b[i])


@each_unit
@each_dtype
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_they_are_torchs(name, axis, dtype):
    torch = pytest.importorskip("torch")
    x, grad = normal((6, 4, 10), dtype), None
    given = torch.tensor(x, requires_grad=True)
    if name == "GLU":
        y = torch.nn.functional.glu(given, dim=axis)
    else:
        a, b = given.chunk(2, dim=axis)
        y = a * (getattr(torch.nn.functional, TORCHS[name])(b) if name in TORCHS else b)
    grad = normal(tuple(y.shape), dtype, 5)
    y.backward(torch.tensor(grad))
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-5}
    unit = get_act(name, axis=axis)
    np.testing.assert_allclose(unit.forward(x), y.detach().numpy(), **close)
    np.testing.assert_allclose(unit.backward(x, grad=grad), given.grad.numpy(), **close)


@each_unit
def test_gradients_are_those_of_differences(name):
    unit, a, b, grad = get_act(name), normal((4, 5)), normal((4, 5), seed=1), normal((4, 5), seed=2)
    da, db = unit.backward(a, grad=grad, gate=b)
    for parameter, gradient in ((a, da), (b, db)):
        wanted = fastnn.nn.numerical_gradient(lambda _: (unit(a, gate=b) * grad).sum(), parameter)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-7)


def test_swiglu_has_a_beta():
    a, b = normal((2, 50))
    y = get_act("SwiGLU", beta=2.5).forward(a, gate=b)
    np.testing.assert_allclose(y, a * b / (1 + np.exp(-2.5 * b)), rtol=1e-13)
    assert repr(get_act("SwiGLU", beta=2.5)) == "get_act('SwiGLU', beta=2.5)"


@each_unit
@each_dtype
def test_second_derivatives_are_exact(name, dtype):
    activation, most = GATES[name], bounds.ULPS[np.dtype(dtype).name]
    oracle, near = ORACLES[activation], bounds.CROSSINGS.get(GATES[name], 0)
    b = np.concatenate([normal(150, dtype), np.linspace(-90, 90, 50, dtype=dtype), [0.0, -0.0]]).astype(dtype)
    a = normal(b.size, dtype, 1)
    found = get_act(name).d2y(a, b)
    for one, two in zip(found, get_act(name, axis=0).d2y(np.concatenate([a, b]))):
        np.testing.assert_array_equal(one, two)
    assert all(one.dtype == dtype and one.shape == a.shape for one in found) and not found[0].any()
    for p, q, mixed, bend in zip(a.tolist(), b.tolist(), *found[1:]):
        with mpmath.workprec(400):
            slope, second = (f(mpmath.mpf(q), **oracle.parameters) for f in (oracle.df, oracle.d2f))
            floor = bounds.FLOOR if abs(q) < near else 0
            for got, wanted, factor, of, ulps in ((mixed, slope, 1, slope, most[1]), (bend, p*second, p, second, most[2])):
                error = ulps*bounds.unit(float(of), np.dtype(dtype).name, floor)
                rounding = bounds.unit(float(wanted), np.dtype(dtype).name)
                assert abs(mpmath.mpf(float(got)) - wanted) <= abs(factor)*error*1.01 + rounding, (name, p, q)


@each_unit
def test_value_and_both_derivatives_at_once(name):
    unit, x = get_act(name), normal((3, 8))
    a, b = x[:, :4], x[:, 4:]
    y, dx = unit.value_and_grad(x)
    np.testing.assert_array_equal(y, unit(x))
    np.testing.assert_array_equal(dx, unit.backward(x, grad=np.ones_like(a)))
    y, (da, db) = unit.value_and_grad(a, b)
    np.testing.assert_array_equal(y, unit(x))
    np.testing.assert_array_equal(np.hstack([da, db]), dx)
    half = unit.d2y(a.astype(np.float16), b)
    assert all(one.dtype == np.float16 and one.shape == a.shape for one in half)


# Two arrays

@each_unit
@each_dtype
@pytest.mark.parametrize("shape", [(5,), (1,), (4, 1), (1, 5), (4, 5), (), (1, 1)])
def test_the_gradient_of_a_gate_has_its_shape(name, shape, dtype):
    unit, a, b, g = get_act(name), normal((4, 5), dtype), normal(shape, dtype, 1), normal((4, 5), dtype, 2)
    whole = np.broadcast_to(b, a.shape).copy()
    da, of_each = unit.backward(a, grad=g, gate=whole)
    found, db = unit.backward(a, grad=g, gate=b)
    np.testing.assert_array_equal(found, da)
    assert np.shape(db) == shape and db.dtype == dtype
    wanted = of_each.astype(np.float64)
    for axis in (0, 1):
        if np.reshape(b, (1,)*(2 - b.ndim) + b.shape).shape[axis] == 1:
            wanted = wanted.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(db, wanted.reshape(shape), rtol=1e-14 if dtype == np.float64 else 1e-6)
    if shape:
        out = np.zeros_like(a), np.zeros_like(b)
        assert unit.backward(a, grad=g, gate=b, out=out) is out
        np.testing.assert_array_equal(out[1], db)
        with pytest.raises(ValueError, match=r"^out\[1\] must have shape" if shape != a.shape else "share memory"):
            unit.backward(a, grad=g, gate=b, out=(out[0], out[0]))


@each_unit
def test_two_arrays_are_x_and_gate(name):
    """As a second argument of a function of two: it is no `out`."""
    unit, a, b = get_act(name), normal((4, 6)), normal((4, 6), seed=1)
    kept, wanted = b.copy(), unit.forward(a, gate=b)
    for y in (unit(a, b), unit.forward(a, b), unit(a, gate=b), unit(a, b, out=np.empty_like(a))):
        np.testing.assert_array_equal(y, wanted)
    half = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"^gate must have shape \(4, 6\), not \(4, 3\)$"):
        unit(a, half)
    with pytest.raises(TypeError, match="positional"):
        unit(a, b, half)
    assert not half.any()
    np.testing.assert_array_equal(b, kept)


# Halves, and arrays of any kind

@each_unit
@each_dtype
@pytest.mark.parametrize("shape", [(2,), (7, 2), (3, 14), (5, 64), (4, 6, 130), (9, 2, 3), (2, 5000), (600, 34), (0, 4)])
def test_halves_are_two_arrays(name, shape, dtype):
    x = normal(shape, dtype)
    for axis in [axis for axis, n in enumerate(shape) if n % 2 == 0]:
        for half, order in (("second", 1), ("first", -1)):
            unit = get_act(name, axis=axis, gate_half=half)
            a, b = (part.copy() for part in np.split(x, 2, axis)[::order])
            grad = normal(a.shape, dtype, 5)
            np.testing.assert_array_equal(unit(x), unit(a, gate=b))
            np.testing.assert_array_equal(
                unit.backward(x, grad=grad), np.concatenate(unit.backward(a, grad=grad, gate=b)[::order], axis))


@each_unit
@each_dtype
def test_of_any_layout(name, dtype):
    x, grad = normal((6, 40), dtype), normal((6, 20), dtype, 1)
    unit = get_act(name)
    y, dx = unit(x), unit.backward(x, grad=grad)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a[::-1].copy()[::-1],
                   lambda a: a.astype(a.dtype.newbyteorder())):
        np.testing.assert_array_equal(unit(layout(x)), y)
        np.testing.assert_array_equal(unit.backward(layout(x), grad=layout(grad)), dx)
        out = layout(np.zeros_like(y))
        if out.flags.writeable:
            assert unit.forward(layout(x), out=out) is out
            np.testing.assert_array_equal(out, y)
    back = np.zeros_like(x)
    assert unit.backward(x, y, grad, out=back) is back
    np.testing.assert_array_equal(back, dx)
    whole = x.copy()
    np.testing.assert_array_equal(unit.backward(whole, grad=grad, out=whole), dx)       # out may be x
    a, b = x[:, :20].copy(), x[:, 20:].copy()
    pair = np.zeros_like(a), np.zeros_like(a)
    assert unit.backward(a, grad=grad, gate=b, out=pair) is pair
    np.testing.assert_array_equal(np.concatenate(pair, axis=1), dx)
    assert unit.forward(a, out=a, gate=b) is a
    np.testing.assert_array_equal(a, y)


@each_unit
def test_other_dtypes(name):
    unit, x = get_act(name), normal((3, 8))
    half = x.astype(np.float16)
    assert unit(half).dtype == unit.backward(half, grad=np.ones((3, 4))).dtype == np.float16
    np.testing.assert_array_equal(unit(half), unit(half.astype(np.float32)).astype(np.float16))
    assert unit(np.arange(8)).dtype == unit([True, False]).dtype == np.float64
    assert isinstance(unit(0.5, gate=2), np.float64) and unit(0.5, gate=2) == unit([0.5, 2.0])[0]
    np.testing.assert_array_equal(unit(x, gate=x[0]), unit(x, gate=np.broadcast_to(x[0], x.shape)))


@each_unit
@each_dtype
@pytest.mark.parametrize("shape", [(37, 4096), (30001, 6)])
def test_bits_do_not_depend_on_threads(name, shape, dtype):
    unit, x = get_act(name), normal(shape, dtype)
    grad = normal((shape[0], shape[1] // 2), dtype, 1)
    before, found = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            found.append((unit(x), unit.backward(x, grad=grad)))
    finally:
        fastnn.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other):
            np.testing.assert_array_equal(one, two)


# Objects

@each_unit
def test_names_copies_and_pickles(name):
    unit = get_act(name.lower(), axis=0, gate_half="first")
    x = normal((4, 3))
    for twin in (copy.copy(unit), copy.deepcopy(unit), pickle.loads(pickle.dumps(unit))):
        assert repr(twin) == repr(unit) and "axis=0" in repr(unit) and "gate_half='first'" in repr(unit)
        np.testing.assert_array_equal(twin(x), unit(x))
    unit.axis = 1
    with pytest.raises(ValueError, match="odd length, 3$"):
        unit(x)


@each_unit
@pytest.mark.parametrize("half", [np.float16, "bfloat16"])
@pytest.mark.parametrize("shape", [(3, 8), (7, 2600), (40, 66)])
def test_halves_of_numbers_are_computed_in_float32(name, half, shape):
    if half == "bfloat16":
        half = pytest.importorskip("ml_dtypes").bfloat16
    unit, x = get_act(name), normal(shape).astype(half)
    wide, grad = x.astype(np.float32), normal((shape[0], shape[1] // 2)).astype(half)
    np.testing.assert_array_equal(unit(x), unit(wide).astype(half))
    np.testing.assert_array_equal(unit.backward(x, grad=grad), unit.backward(wide, grad=grad.astype("f4")).astype(half))


def test_words_of_libraries():
    assert get_act("GLU", like="torch", dim=0).axis == 0 and get_act("glu", like="optax", axis=1).axis == 1
    assert get_act("glu", like="keras").axis == -1
    jax = pytest.importorskip("jax")
    x = normal((4, 6), np.float32)
    np.testing.assert_allclose(get_act("glu", like="optax")(x), np.asarray(jax.nn.glu(x)), rtol=1e-5, atol=1e-6)


def test_what_was_overwritten_is_refused():
    a, b = normal((4, 5)), normal((4, 5), seed=1)
    unit = get_act("GLU")
    y = unit.forward(a, out=a, gate=b)
    with pytest.raises(ValueError, match="has overwritten"):
        unit.backward(a, y, grad=b, gate=b)


def test_what_does_not_fit_is_refused():
    unit, x = get_act("GLU"), normal((4, 6))
    for call, text in (
            (lambda: unit(normal((4, 5))), "^axis -1 of x, which is to be halved, has an odd length, 5$"),
            (lambda: unit(1.0), "^x has 0 axes, and no axis -1 to be halved$"),
            (lambda: get_act("GLU", axis=2)(x), "^x has 2 axes, and no axis 2 to be halved$"),
            (lambda: unit(x, gate=normal((4, 5))), r"^gate must have shape \(4, 6\), not \(4, 5\)$"),
            (lambda: unit(x, out=np.zeros((4, 6))), r"^out must have shape \(4, 3\), not \(4, 6\)$"),
            (lambda: unit.backward(x, grad=x), r"^grad must have shape \(4, 3\), not \(4, 6\)$"),
            (lambda: unit.backward(x, grad=x[:, :3], out=np.zeros((4, 3))), r"^out must have shape \(4, 6\)"),
            (lambda: get_act("GLU", gate_half="both"), "^gate_half must be one of 'second', 'first', not 'both'$")):
        with pytest.raises(ValueError, match=text):
            call()
    for call in (lambda: unit.backward(x), lambda: unit(x.astype(complex)), lambda: unit(np.ma.ones((2, 2))),
                 lambda: unit(x, out=np.zeros((4, 3), np.float32)), lambda: get_act("GLU", axis=None),
                 lambda: unit.backward(x, grad=x, gate=x, out=x), lambda: get_act("GLU", beta=1),
                 lambda: engine.GatedUnit()(x)):
        with pytest.raises(TypeError):
            call()


def test_in_a_network():
    """As any activation; the layer behind it is half as wide."""
    layer, x, grad = fastnn.nn.Activation("SwiGLU"), normal((5, 8)), normal((5, 4), seed=1)
    y = layer.forward(x)
    assert y.shape == (5, 4) and not layer.by_value
    np.testing.assert_array_equal(layer.backward(grad), get_act("SwiGLU").backward(x, grad=grad))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4 * 5000,), (3, 2048), (3, 2, 640), (3, 2000), (2, 4, 1024)])
@pytest.mark.parametrize("name", fastnn.activations("gated"))
def test_results_that_are_written_past_the_cache(name, shape, dtype):
    """The same bits, also where rows do not begin with a cache line, by halves, by two arrays, and into x."""
    unit, x = get_act(name), normal(shape).astype(dtype)
    grad, gate = normal(unit(x).shape, seed=1).astype(dtype), normal(shape, seed=2).astype(dtype)

    def results():
        mine, beside = x.copy(), np.empty(grad.size + 1, dtype)[1:].reshape(grad.shape)
        return [unit(x), unit.backward(x, grad=grad), unit(x, gate), *unit.backward(x, grad=gate, gate=gate),
                unit.backward(mine, grad=grad, out=mine), unit(x, out=beside)]

    expected, before = results(), engine._stream_above(0)
    try:
        found = results()
    finally:
        engine._stream_above(before)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)
