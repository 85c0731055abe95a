"""CReLU: both parts of an array behind each other, and the way back, along any axis and in every layout."""
import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastnn import get_act, set_num_threads, get_num_threads
from fastnn.concatenated import CReLU
from helpers import assert_same_bits

each_dtype = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
each_axis = pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(dtype)


@each_dtype
@each_axis
def test_parts_and_gradient(axis, dtype):
    act, x = get_act("CReLU", axis=axis), normal((5, 4, 7), dtype)
    x[2, 1, 3:5] = 0
    y = act(x)
    assert y.dtype == dtype
    assert_array_equal(y, np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=axis))
    g = normal(y.shape, dtype, 1)
    of_positive, of_negative = np.split(g, 2, axis=axis)
    dx = act.backward(x, y, grad=g)
    assert dx.dtype == dtype
    assert_array_equal(dx, np.where(x > 0, of_positive, np.where(x < 0, -of_negative, 0)))
    assert act.d2y(x).shape == y.shape and not act.d2y(x).any()


@each_axis
def test_they_are_torchs(axis):
    torch = pytest.importorskip("torch")
    x = normal((3, 4, 5))
    theirs = torch.tensor(x, requires_grad=True)
    y = torch.cat([torch.relu(theirs), torch.relu(-theirs)], axis)
    g = normal(y.shape, seed=2)
    y.backward(torch.tensor(g))
    act = get_act("crelu", axis=axis)
    assert_array_equal(act.forward(x), y.detach().numpy())
    assert_array_equal(act.backward(x, grad=g), theirs.grad.numpy())


def layouts(big):
    yield from (big, big[::2], big[:, ::-1], np.asfortranarray(big), big.transpose(1, 0, 2), big[:0], big[:, :, 3],
                big.astype(big.dtype.newbyteorder()), big[1, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, -1])
def test_every_layout(axis, dtype):
    act = get_act("CReLU", axis=axis)
    for x in layouts(normal((6, 8, 10), dtype)):
        y = act(x)
        assert_array_equal(y, np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=axis))
        g = normal(y.shape, dtype, 3)
        for grad in (g, np.asfortranarray(g), g[..., ::-1]):
            wanted = np.split(grad, 2, axis=axis)
            assert_array_equal(act.backward(x, grad=grad), np.where(x > 0, wanted[0], np.where(x < 0, -wanted[1], 0)))


@each_dtype
def test_out(dtype):
    act, x = get_act("CReLU"), normal((9, 33), dtype)
    y, g = act(x), normal((9, 66), dtype, 1)
    wanted = act.backward(x, grad=g)
    out = np.empty_like(y)
    assert act.forward(x, out=out) is out
    assert_same_bits(out, y)
    wide = np.empty((9, 132), dtype)
    act(x, wide[:, ::2])
    assert_same_bits(wide[:, ::2], y)
    both = y.copy()
    assert_same_bits(act.forward(both[:, :33], out=both), act(y[:, :33]))        # over its own argument
    mine = x.copy()
    assert act.backward(mine, grad=g, out=mine) is mine
    assert_same_bits(mine, wanted)
    assert_same_bits(act.backward(x, grad=g, out=g[:, :33]), wanted)


def test_nan_infinities_and_zeros():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-320])
    y = get_act("CReLU")(x)
    assert_array_equal(y, [np.nan, np.inf, 0, 0, 0, 1e-320, np.nan, 0, np.inf, 0, 0, 0])
    with np.errstate(all="raise"):
        assert_array_equal(get_act("CReLU").backward(x, grad=np.full(12, np.inf)), [np.nan, np.inf, -np.inf, 0, 0, np.inf])
    assert_array_equal(get_act("CReLU")([2, -3]), [2.0, 0, 0, 3])
    assert get_act("CReLU")([True]).dtype == np.float64


@pytest.mark.parametrize("axis", [0, 1])
def test_threads_change_nothing(axis):
    act, x = get_act("CReLU", axis=axis), normal((300, 701), np.float32)
    before, results = get_num_threads(), []
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            y = act(x)
            results.append((y, act.backward(x, grad=y - 1)))
    finally:
        set_num_threads(before)
    for one, other in zip(*results):
        assert_same_bits(one, other)


@pytest.mark.parametrize(("error", "call"), [
    (ValueError, lambda act, x: act(1.0)), (ValueError, lambda act, x: get_act("CReLU", axis=2)(x)),
    (ValueError, lambda act, x: get_act("CReLU", axis=-3)(x)), (TypeError, lambda act, x: get_act("CReLU", axis=1.5)),
    (TypeError, lambda act, x: get_act("CReLU", axis=None)), (TypeError, lambda act, x: act(x.astype(complex))),
    (TypeError, lambda act, x: act(np.ma.array(x))), (TypeError, lambda act, x: act.backward(x)),
    (TypeError, lambda act, x: act.backward(grad=x)), (ValueError, lambda act, x: act.backward(x, grad=x)),
    (ValueError, lambda act, x: act(x, out=x)), (TypeError, lambda act, x: act(x, out=np.empty((3, 8), np.float32))),
    (ValueError, lambda act, x: act.backward(x, grad=np.ones((3, 8)), out=np.ones((3, 8)))),
    (TypeError, lambda act, x: get_act("CReLU", dim=1))])
def test_bad_arguments(error, call):
    x = normal((3, 4))
    before = x.copy()
    with pytest.raises(error):
        call(get_act("CReLU"), x)
    assert_same_bits(x, before)


def test_copies():
    act = get_act("CReLU", axis=1)
    for other in (copy.copy(act), copy.deepcopy(act), pickle.loads(pickle.dumps(act)),
                  eval(repr(act), {"get_act": get_act})):
        assert type(other) is CReLU and other.axis == 1
    act.axis = 0
    assert act([3.0]).shape == (2,) and act.update() is None
