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
