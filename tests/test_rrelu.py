"""RReLU: slopes that are random in training, reproducible, and those of backward."""
import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import get_act
from fastnn.core.dropout import philox

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


@each_dtype
@pytest.mark.parametrize("shape", [(), (1,), (7, 9), (3, 700), (40, 30, 50)])
def test_values_and_gradients_have_the_slopes(shape, dtype):
    act, x, g = get_act("RReLU", 0.1, 0.4, rng=3), np.asarray(normal(shape, dtype)), np.asarray(normal(shape, dtype, 1))
    y = act(x)
    slopes = act.slopes.astype(dtype)
    assert slopes.shape == shape and (slopes >= dtype(0.1)).all() and (slopes <= dtype(0.4)).all()
    np.testing.assert_array_equal(y, np.where(x > 0, x, slopes * x))
    np.testing.assert_array_equal(act.backward(x, y, grad=g), g * np.where(x > 0, dtype(1), slopes))
    assert (act(x) != y).any() or (x > 0).all()


def test_slopes_are_a_function_of_key_and_place():
    """Words of masks.h: 64 of each 16 counters, in stream 2."""
    act, rng = get_act("RReLU", 0.0, 1.0, rng=5), np.random.default_rng(5)
    act(np.zeros(128))
    key = int(rng.random()*2**53)
    words = np.concatenate([philox(key, 16*i, 2) for i in range(2)])
    np.testing.assert_array_equal(act.slopes, words / 2**32)


def test_slopes_are_spread_evenly():
    act = get_act("RReLU", rng=0)
    act(np.zeros(200_000, np.float32))
    counts, _ = np.histogram(act.slopes, 20, (1/8, 1/3))
    assert counts.sum() == 200_000 and abs(counts - 10_000).max() < 5*np.sqrt(10_000)


@pytest.mark.parametrize("source", [lambda: 7, lambda: np.random.default_rng(7), lambda: np.random.RandomState(7)])
def test_runs_are_repeated(source):
    x, one, two = normal((5, 6)), get_act("RReLU", rng=source()), get_act("RReLU", rng=source())
    for _ in range(3):
        np.testing.assert_array_equal(one(x), two(x))
    for twin in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        np.testing.assert_array_equal(twin.backward(x, grad=x), one.backward(x, grad=x))
    three = copy.deepcopy(one)
    np.testing.assert_array_equal(three(x), one(x))


@each_dtype
def test_evaluation_has_the_mean(dtype):
    act, x, g = get_act("RReLU", 0.1, 0.4, rng=0), normal((5, 6), dtype), normal((5, 6), dtype, 1)
    act.training = False
    slope = dtype(0.25)
    np.testing.assert_array_equal(act(x), np.where(x > 0, x, slope * x))
    np.testing.assert_array_equal(act.backward(x, grad=g), g * np.where(x > 0, dtype(1), slope))
    assert act.slopes is None
    torch = pytest.importorskip("torch")
    given = torch.tensor(x, requires_grad=True)
    y = torch.nn.RReLU(0.1, 0.4).eval()(given)
    y.backward(torch.tensor(g))
    np.testing.assert_allclose(act(x), y.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(act.backward(x, grad=g), given.grad.numpy(), rtol=1e-6)


def test_bits_depend_on_nothing_else():
    """Not on threads, layout, or whether halves are converted."""
    x = normal((300, 1000), np.float32)
    before, found = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            for layout in (lambda a: a, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
                act = get_act("RReLU", rng=1)
                found.append((act(layout(x)), act.backward(layout(x), grad=layout(x))))
    finally:
        fastnn.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other):
            np.testing.assert_array_equal(one, two)
    half = x.astype(np.float16)
    np.testing.assert_array_equal(get_act("RReLU", rng=1)(half), get_act("RReLU", rng=1)(half.astype("f4")).astype("f2"))


def test_what_is_refused():
    act, x = get_act("RReLU"), normal((3, 4))
    for call, error, text in (
            (lambda: act.backward(x, grad=x), ValueError, r"needs a forward of x's shape, \(3, 4\), before it$"),
            (lambda: (act(x), act.backward(x[:2], grad=x[:2])), ValueError, "needs a forward"),
            (lambda: act.backward(x), TypeError, "takes x and grad"),
            (lambda: get_act("RReLU", 0.5, 0.25), ValueError, "^lower must be at most upper, not 0.5 with 0.25$"),
            (lambda: setattr(act, "lower", 2), ValueError, "at most upper"),
            (lambda: get_act("RReLU", rng=1.5), TypeError, None),
            (lambda: act(x.astype(complex)), TypeError, "real numbers")):
        with pytest.raises(error, match=text):
            call()
    act = get_act("RReLU", like="torch")
    assert (act.lower, act.upper) == (1/8, 1/3) and get_act("rrelu", 0.1, 0.2, like="chainer").upper == 0.2
    y = act.forward(x, out=x)
    with pytest.raises(ValueError, match="has overwritten"):
        act.backward(x, y, grad=x)
