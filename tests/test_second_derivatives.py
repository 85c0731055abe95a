"""Every activation of every kind has its value with f', and f'': held against differences."""
import numpy as np
import pytest

from fastnn import activations, get_act
from fastnn.activations import KINDS
from fastnn.learnable import learnable

GIVEN = {"threshold": {"threshold": 0.5, "value": -0.25}, "maxout": {"n_prev": 6, "n": 3, "k": 2, "rng": 0}}
FORMS = [(name, {"learn": learn}) for name, learn in learnable().items()]
EVERY = [(name, GIVEN.get(name, {})) for name in activations()] + FORMS
H = 1e-5
each_one = pytest.mark.parametrize(("name", "given"), EVERY, ids=lambda one: one if isinstance(one, str) else "")
each_dtype = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])


def made(name, given):
    act = get_act(name, **given)
    if act.kind == "random":
        act.training = False
    return act


def between(x):
    """Numbers with no kink of an activation within H."""
    return np.where(np.abs(x*8 - np.round(x*8)) < 0.01, x + 0.02, x)


def argument(shape=(4, 6), dtype=np.float64):
    return between(np.random.default_rng(1).normal(0, 1.2, shape)).astype(dtype)


def moved(call, x, *at):
    """The derivative of call(x) in x[at]."""
    up, down = x.copy(), x.copy()
    up[at] += H
    down[at] -= H
    return (call(up) - call(down))/(2*H)


def test_these_are_all_kinds():
    assert {get_act(name, **given).kind for name, given in EVERY} == set(KINDS)


@each_one
def test_they_are_those_of_differences(name, given):
    act, x = made(name, given), argument()
    y, slope = act.value_and_grad(x)
    np.testing.assert_array_equal(y, act.forward(x))
    bend, close = act.d2y(x), {"rtol": 1e-5, "atol": 1e-6}
    if act.kind == "layer":                     # a Jacobian, of straight pieces
        for i in range(6):
            np.testing.assert_allclose(slope[1, :, i], moved(act.forward, x, 1, i)[1], **close)
        assert bend.shape == y.shape and not bend.any()
    elif act.kind == "concatenated":            # of each element of both parts
        for i in range(6):
            wanted = moved(act.forward, x, 2, i)[2]
            np.testing.assert_allclose(slope[2, [i, i + 6]], wanted[[i, i + 6]], **close)
        assert bend.shape == y.shape == slope.shape and not bend.any()
    elif act.kind == "gated":
        a, b = np.split(x, 2, axis=-1)
        _, (da, db) = act.value_and_grad(a, b)
        np.testing.assert_array_equal(np.concatenate([da, db], axis=-1), slope)
        steps = [((act.value_and_grad(p + H, q)[1][k] - act.value_and_grad(p - H, q)[1][k]) if k == 0 else
                  (act.value_and_grad(p, q + H)[1][j] - act.value_and_grad(p, q - H)[1][j]))/(2*H)
                 for p, q, k, j in ((a, b, 0, 0), (a, b, 1, 0), (a, b, 1, 1))]
        for got, of_halves, wanted in zip(act.d2y(a, gate=b), bend, steps):
            np.testing.assert_array_equal(got, of_halves)
            np.testing.assert_allclose(got, wanted, **close)
    else:                                       # of each y in its own x
        for i in range(6):
            np.testing.assert_allclose(slope[1, i], moved(act.forward, x, 1, i)[1, i], **close)
            np.testing.assert_allclose(bend[1, i], moved(lambda z: act.value_and_grad(z)[1], x, 1, i)[1, i], **close)


@each_one
@each_dtype
def test_dtypes_and_shapes(name, given, dtype):
    act, x = made(name, given), argument(dtype=dtype)
    y, slope = act.value_and_grad(x)
    bend = act.d2y(x)
    shown = dtype if act.kind != "layer" else np.float64        # the dtype of its weights
    for one in (y, slope, *(bend if isinstance(bend, tuple) else (bend,))):
        assert one.dtype == shown
    for one in bend if isinstance(bend, tuple) else (bend,):
        assert one.shape == y.shape
    x[:] = np.nan
    if act.kind != "layer":
        found = act.d2y(x)
        assert name == "bilinear" or all(np.isnan(one).all() for one in (found if isinstance(found, tuple) else (found,)))
    for wrong in (x.astype(complex), np.ma.ones((4, 6))):
        for call in (act.d2y, act.value_and_grad):
            with pytest.raises(TypeError):
                call(wrong)


@pytest.mark.parametrize("name", activations("random"))
def test_what_is_drawn_is_that_of_the_last_forward(name):
    """f'' in training is that of the sample there is; value_and_grad draws another one."""
    act, x = get_act(name, rng=3), argument()
    y, slope = act.value_and_grad(x)
    assert (act.value_and_grad(x)[0] != y).any()
    twin = get_act(name, rng=3)
    np.testing.assert_array_equal(twin.forward(x), y)
    drawn = twin.d2y(x)
    still = get_act("softmax") if name == "gumbel-softmax" else None
    np.testing.assert_array_equal(drawn, still.d2y(x + twin.noise) if still else np.zeros_like(x))
    np.testing.assert_array_equal(slope, still.backward(x + twin.noise) if still else twin.backward(x, grad=np.ones_like(x)))


@pytest.mark.parametrize(("name", "given"), FORMS)
@pytest.mark.parametrize(("shape", "channels", "axis"), [((5, 3), 3, 1), ((3, 40, 50), 3, 0), ((1200,), 1, 0), ((0, 3), 3, 1)])
def test_of_channels(name, given, shape, channels, axis):
    act, x = get_act(name, channels=channels, axis=axis, **given), argument(shape)
    for i, value in enumerate(act.params.values()):
        value += np.linspace(-0.3, 0.5, channels) + i/4
    bend = act.d2y(x)
    assert not any(gradient is not None for gradient in act.grads.values())
    for k in range(channels):
        one = get_act(name, **given)
        for key, value in act.params.items():
            setattr(one, key, float(value[k]))
        where = (slice(None),)*axis + (k if channels > 1 else slice(None),)
        np.testing.assert_array_equal(bend[where], one.d2y(x[where]))
    out = np.empty_like(x)
    assert act.d2y(x, out=out) is out
    np.testing.assert_array_equal(out, bend)
