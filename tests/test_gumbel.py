"""Gumbel-softmax: its noise, its samples, its gradient."""
import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastnn
from fastnn import get_act
from fastnn.core.dropout import philox
from fastnn.core.gumbel import with_gumbel_noise
from helpers import FLOATS, assert_close, assert_same_bits

NAME = "gumbel-softmax"
each_float = pytest.mark.parametrize("dtype", FLOATS)


@pytest.fixture(autouse=True)
def as_before():
    yield
    fastnn.set_num_threads(None)


@each_float
def test_the_noise_is_that_of_the_words(dtype):
    key, n = 12345, 1000
    words = np.concatenate([philox(key, counter, 3) for counter in range(0, 2*n//4 + 16, 16)]).astype(np.uint64)
    if dtype == np.float32:
        u = (words[:n] + 0.5)*2.0**-32
    else:
        u = ((words[:2*n:2] >> 6)*2.0**26 + ((words[1:2*n:2] >> 6) + 0.5))*2.0**-52
    noise = with_gumbel_noise(np.zeros(n, dtype), key)
    assert noise.dtype == dtype and ((u > 0) & (u < 1)).all()
    wanted = -np.log(-np.log(u))
    assert_close(noise, wanted, u, 4, dtype, 1)
    x = np.random.default_rng(0).normal(size=n).astype(dtype)
    assert_same_bits(with_gumbel_noise(x, key), x + noise)


@each_float
def test_the_noise_is_gumbels(dtype):
    """Its mean is Euler's constant, its variance pi^2/6, its distribution function exp(-exp(-x))."""
    noise = np.sort(with_gumbel_noise(np.zeros(1_000_000, dtype), 7).astype(np.float64))
    assert np.isfinite(noise).all()
    assert abs(noise.mean() - 0.5772156649015329) < 0.006 and abs(noise.var() - np.pi**2/6) < 0.02
    assert np.abs(np.exp(-np.exp(-noise)) - np.linspace(0, 1, noise.size)).max() < 0.003


@each_float
def test_bits_depend_on_the_key_and_the_place_alone(dtype):
    x = np.random.default_rng(1).normal(size=(100, 411)).astype(dtype)
    wanted = with_gumbel_noise(x, 9)
    for threads in (1, 2, 3, 7):
        fastnn.set_num_threads(threads)
        assert_same_bits(with_gumbel_noise(x, 9), wanted)
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x.astype(x.dtype.newbyteorder())):
        assert_same_bits(with_gumbel_noise(other, 9), wanted)
    assert_same_bits(with_gumbel_noise(x[:3], 9), wanted[:3].copy())
    assert (with_gumbel_noise(x, 10) != wanted).mean() > 0.99


@each_float
@pytest.mark.parametrize("axis", [-1, 0, (1, 2), None])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_sample_is_softmax_of_the_noisy_x(dtype, axis, temperature):
    x, grad = np.random.default_rng(2).normal(size=(2, 6, 7, 5)).astype(dtype)
    act, soft = get_act(NAME, temperature, axis=axis, rng=3), get_act("softmax", axis, temperature)
    key = int(np.random.default_rng(3).random()*2**53)
    y = act.forward(x)
    noisy = with_gumbel_noise(x, key)
    assert_same_bits(act.noise, with_gumbel_noise(np.zeros_like(x), key))
    assert_same_bits(y, soft.forward(noisy))
    assert_same_bits(act.backward(x, grad=grad), soft.backward(noisy, grad=grad))
    assert_same_bits(act.backward(x, y, grad), soft.backward(y=y, grad=grad))
    assert_same_bits(act.backward(y=y, grad=grad), soft.backward(y=y, grad=grad))
    out = np.empty_like(x)
    second = act.forward(x, out=out)
    assert second is out and (out != y).any()                   # the next noise
    again = get_act(NAME, temperature, axis=axis, rng=3)
    assert_same_bits(again(x), y)
    assert_same_bits(again(x), out)


@each_float
@pytest.mark.parametrize("axis", [-1, 0, (0, 2), None])
def test_hard_samples_are_one_hot_with_the_soft_ones_gradient(dtype, axis):
    x, grad = np.random.default_rng(2).normal(size=(2, 40, 7, 5)).astype(dtype)
    soft, hard = (get_act(NAME, 0.7, hard=hard, axis=axis, rng=5) for hard in (False, True))
    y, one = soft.forward(x), hard.forward(x)
    assert set(np.unique(one)) == {0, 1} and (one.sum(axis=axis) == 1).all()
    assert_array_equal(one == 1, y == y.max(axis=axis, keepdims=True))
    assert_same_bits(hard.backward(x, one, grad), soft.backward(x, grad=grad))
    with pytest.raises(TypeError, match="not hard"):
        hard.backward(y=one, grad=grad)


def test_of_equal_elements_the_first_is_the_one():
    act = get_act(NAME, hard=True)
    act.training = False
    x = np.array([[1.0, 2, 2], [3, 3, 3], [-np.inf, -np.inf, -np.inf], [0, np.nan, 5], [np.inf, 0, np.inf]])
    wanted = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0], [np.nan]*3, [1, 0, 0]])
    for _ in range(2):
        assert_array_equal(act(x), wanted)
        assert_array_equal(act(x[:, :, None].repeat(40, 2).swapaxes(1, 2)).swapaxes(1, 2)[..., 39], wanted)
        columns = get_act(NAME, hard=True, axis=0)
        columns.training = False
        assert_array_equal(columns(x.T.copy()).T, wanted)


def test_samples_have_their_classes_probabilities():
    x = np.log([0.5, 0.2, 0.2, 0.1])
    act = get_act(NAME, hard=True, rng=0)
    shares = act(np.broadcast_to(x, (200_000, 4))).mean(axis=0)
    assert np.abs(shares - np.exp(x)).max() < 0.005


def test_without_training_there_is_no_noise():
    x = np.random.default_rng(0).normal(size=(5, 6))
    act = get_act(NAME, 0.5)
    act.training = False
    assert_same_bits(act(x), get_act("softmax", temperature=0.5)(x))
    assert_same_bits(act.backward(x, grad=x), get_act("softmax", temperature=0.5).backward(x, grad=x))
    assert act.noise is None


@pytest.mark.parametrize("hard", [False, True])
def test_halves_integers_and_lists(hard):
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float16)
    act, wide = (get_act(NAME, hard=hard, rng=1) for _ in range(2))
    y, out = act(x), np.empty_like(x)
    assert y.dtype == np.float16
    assert_same_bits(y, wide(x.astype(np.float32)).astype(np.float16))
    assert act.backward(x, grad=x).dtype == np.float16
    assert get_act(NAME, rng=1).forward(x, out=out) is out
    assert get_act(NAME, rng=1)([[1, 2], [3, 4]]).dtype == np.float64
    assert get_act(NAME)(np.zeros((0, 3))).shape == (0, 3)


def test_what_is_refused():
    act = get_act(NAME)
    x = np.zeros((2, 3))
    with pytest.raises(TypeError, match="backward takes grad"):
        act.backward(x)
    with pytest.raises(ValueError, match="needs a forward of x's shape"):
        act.backward(x, grad=x)
    for bad in ({"hard": 1}, {"hard": "yes"}, {"axis": "last"}, {"rng": "seed"}):
        with pytest.raises(TypeError):
            get_act(NAME, **bad)
    for bad in (0, -1, np.nan):
        with pytest.raises(ValueError, match="temperature"):
            get_act(NAME, bad)
    assert get_act(NAME, tau=0.5).temperature == 0.5
    act.forward(x)
    kept = act.noise
    with pytest.raises(ValueError):
        act.forward(x, out=np.zeros(5))
    assert_same_bits(act.noise, kept)


def test_copies_and_pickles_have_the_noise():
    x = np.random.default_rng(0).normal(size=(5, 6))
    act = get_act(NAME, 0.5, rng=4)
    act(x)
    wanted = act.backward(x, grad=x)
    for other in (copy.deepcopy(act), pickle.loads(pickle.dumps(act))):
        assert_same_bits(other.backward(x, grad=x), wanted)
        assert other.temperature == 0.5
    one, other = copy.deepcopy(act), copy.deepcopy(act)
    assert_same_bits(one(x), other(x))


def test_it_is_pytorchs_for_the_same_noise(monkeypatch):
    torch = pytest.importorskip("torch")
    x, grad = np.random.default_rng(0).normal(size=(2, 9, 11))
    for hard in (False, True):
        for tau in (0.3, 1.0, 2.5):
            act = get_act(NAME, tau, hard=hard, rng=8)
            y = act(x)
            noise = torch.from_numpy(act.noise)
            logits = torch.from_numpy(x).requires_grad_()
            # torch.nn.functional.gumbel_softmax takes -log of what exponential_ gives
            monkeypatch.setattr(torch.Tensor, "exponential_", lambda self, *args: self.copy_(torch.exp(-noise)))
            wanted = torch.nn.functional.gumbel_softmax(logits, tau, hard)
            monkeypatch.undo()
            wanted.backward(torch.from_numpy(grad))
            np.testing.assert_allclose(y, wanted.detach().numpy(), rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(act.backward(x, grad=grad), logits.grad.numpy(), rtol=1e-11, atol=1e-14)
