"""f' from y = f(x) alone: `backward(y=y)` and `backward(y=y, grad=g)`."""
import numpy as np
import pytest

from fastnn import get_act
from helpers import CASES, ELEMENTWISE, FLOATS, activation, assert_close, assert_same_bits, samples
from oracles.by_value import BY_VALUE, reference

KNOWN = [(name, parameters) for name, parameters in CASES
         if name in BY_VALUE and (name, parameters) != ("threshold", (("threshold", -1.25), ("value", 3.0)))]
each_known = pytest.mark.parametrize(("name", "parameters"), KNOWN)
each_float = pytest.mark.parametrize("dtype", FLOATS)


def values(act, dtype):
    """What f gives, all numbers around its bounds, and the ends of its range."""
    x = samples(dtype)
    with np.errstate(all="ignore"):
        y = np.concatenate([act.forward(x), act.forward(np.linspace(-6, 6, 101).astype(dtype))])
        y = np.unique(y[np.isfinite(y)])
        ends = np.array([y.min(), y.max()])
        low, high = y.min(), y.max()
        return np.concatenate([y, ends, np.nextafter(ends, ends[::-1]), [0.0, -0.0]]).clip(low, high).astype(dtype)


def test_every_activation_says_whether_it_can():
    assert {name for name in ELEMENTWISE if activation(name).by_value} == set(BY_VALUE)


@each_known
@each_float
def test_the_derivative_is_exact_for_the_value_given(name, parameters, dtype):
    act = activation(name, parameters)
    y = values(act, dtype)
    assert act.by_value
    assert_close(act.backward(y=y), reference(name, y, **dict(parameters)), y, 2, dtype)


@each_known
@each_float
def test_with_a_gradient_it_is_that_times_the_gradient(name, parameters, dtype):
    act = activation(name, parameters)
    y = values(act, dtype)
    grad = np.random.default_rng(5).normal(size=y.shape).astype(dtype)
    with np.errstate(over="ignore"):
        wanted = act.backward(y=y)*grad
    assert_same_bits(act.backward(y=y, grad=grad), wanted)
    assert_same_bits(act.backward(None, y, grad), wanted)
    out = grad.copy()
    assert act.backward(y=y, grad=out, out=out) is out
    assert_same_bits(out, wanted)
    out = y.copy()
    act.backward(y=out, grad=grad, out=out)
    assert_same_bits(out, wanted)


@each_known
@each_float
def test_it_is_the_derivative_at_x(name, parameters, dtype):
    """To the digits that y has kept; where f is flat at a kink y cannot tell."""
    act = activation(name, parameters)
    x = np.linspace(-4.03, 4.07, 211).astype(dtype)
    loss = 40*np.finfo(dtype).eps
    np.testing.assert_allclose(act.backward(y=act.forward(x)), act.backward(x), rtol=loss, atol=loss)


@each_known
@each_float
def test_nan_stays_where_the_slope_depends_on_the_value(name, parameters, dtype):
    got = activation(name, parameters).backward(y=np.full(3, np.nan, dtype))
    if name in ("identity", "step"):
        assert (got == (name == "identity")).all()
    else:
        assert np.isnan(got).all()


@each_known
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_every_layout(name, parameters, dtype):
    act = activation(name, parameters)
    y = act.forward(np.random.default_rng(8).normal(size=(60, 70)).astype(dtype))
    grad = np.random.default_rng(9).normal(size=y.shape).astype(dtype)
    wanted = act.backward(y=y, grad=grad)
    for a, g in ((y[::2, ::-3], grad[::2, ::-3]), (y.T, grad.T), (np.asfortranarray(y), grad), (y, np.asfortranarray(grad))):
        got = act.backward(y=a, grad=g)
        assert_same_bits(got, np.ascontiguousarray(wanted[::2, ::-3] if a.shape == (30, 24) else wanted.T
                                                   if a.shape == (70, 60) else wanted))
        out = np.empty(a.shape, dtype)
        assert act.backward(y=a, grad=g, out=out) is out
        assert_same_bits(out, np.ascontiguousarray(got))
    number = act.backward(y=y[0, 0], grad=grad[0, 0])
    assert type(number) is dtype and number == wanted[0, 0]
    assert_same_bits(act.backward(y=y.tolist()), act.backward(y=y.astype(np.float64)))


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name not in BY_VALUE])
def test_the_others_say_so(name):
    act = activation(name)
    grad = np.ones(3)
    with pytest.raises(ValueError, match=rf"f' of {name} cannot be told from y = f\(x\): backward takes x"):
        act.backward(y=np.ones(3), grad=grad, out=grad)
    assert (grad == 1).all()


@pytest.mark.parametrize(("name", "parameters"), [
    ("leaky-ReLU", {"alpha": 0}), ("leaky-ReLU", {"alpha": -0.1}), ("ELU", {"alpha": -1}), ("ELU", {"alpha": 0}),
    ("threshold", {"threshold": -1.25, "value": 3.0})])
def test_hyperparameters_that_hide_it(name, parameters):
    act = get_act(name, **parameters)
    assert not act.by_value
    with pytest.raises(ValueError, match="cannot be told"):
        act.backward(y=np.ones(3))


def test_a_hyperparameter_that_is_set_later_counts():
    act = get_act("ELU")
    act.alpha = -1
    assert not act.by_value
    act.alpha = 2
    assert act.backward(y=np.array([-0.5])) == 1.5


def test_neither_x_nor_y():
    with pytest.raises(TypeError, match="backward takes x, or y"):
        get_act("tanh").backward()
    with pytest.raises(TypeError, match="backward takes x, or y"):
        get_act("tanh").backward(grad=np.ones(3))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "ReLU"])
def test_bad_operands_change_nothing(name):
    y, out = np.linspace(0, 1, 12).reshape(3, 4), np.full((3, 4), 7.0)
    for bad in (np.ones((4, 3)), np.ones((3, 4), complex), np.ma.masked_array(np.ones((3, 4)))):
        with pytest.raises((TypeError, ValueError)):
            get_act(name).backward(y=y, grad=bad, out=out)
        assert (out == 7).all()
    with pytest.raises(TypeError):
        get_act(name).backward(y=np.ma.masked_array(y))
