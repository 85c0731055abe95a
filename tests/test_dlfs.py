"""fastnn.dlfs: the optimizers of the articles B and C by one changed import line."""
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import dlfs, get_opt
from helpers import FLOATS, assert_same_bits
from oracles.optimizers import DLFS

RATE, EPS = {"lr": 0.01}, {"eps": 1e-7}
SIGNATURES = {
    "SGD": RATE, "Momentum": RATE | {"momentum": 0.9}, "Nesterov": RATE | {"momentum": 0.9}, "AdaGrad": RATE | EPS,
    "RMSprop": RATE | {"decay_rate": 0.99} | EPS, "Adam": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999} | EPS}

each_name = pytest.mark.parametrize("name", SIGNATURES)


def make(name, *args, **kwds):
    return getattr(dlfs, name)(*args, **kwds)


def parameters(dtype=np.float64):
    rng = np.random.default_rng(0)
    return {"W1": rng.standard_normal((7, 30)).astype(dtype), "b1": np.zeros(30, dtype),
            "W2": np.asfortranarray(rng.standard_normal((30, 4)), dtype)}


def gradients(params, t):
    rng = np.random.default_rng(t + 1)
    return {key: np.where(rng.random(p.shape) < 0.8, rng.standard_normal(p.shape), 0).astype(p.dtype)
            for key, p in params.items()}


def test_names():
    found = {}
    exec("from fastnn.dlfs import *", found)
    assert found.keys() - {"__builtins__"} == SIGNATURES.keys() == DLFS.keys()


@each_name
def test_signatures_by_position_and_by_keyword(name):
    wanted = SIGNATURES[name]
    given = {key: parameter for key, parameter in signature(getattr(dlfs, name)).parameters.items()
             if parameter.kind is parameter.POSITIONAL_OR_KEYWORD}
    assert {key: parameter.default for key, parameter in given.items()} == wanted
    assert list(given) == list(wanted)
    values = dict(zip(wanted, (0.25, 0.5, 0.75, 1e-3)))
    by_position, by_keyword = make(name, *values.values()), make(name, **values)
    assert {key: getattr(by_position, key) for key in values} == values
    assert repr(by_position) == repr(by_keyword) and "0.25" in repr(by_position)


@each_name
def test_bad_hyperparameters(name):
    for error, kwds in [(TypeError, {"eta": 0.1}), (ValueError, {"lr": -1}), (TypeError, {"lr": "0.1"}),
                        *((ValueError, {key: 1.0}) for key in SIGNATURES[name] if key not in ("lr", "eps"))]:
        with pytest.raises(error, match=next(iter(kwds))):
            make(name, **kwds)


@pytest.mark.parametrize("dtype", FLOATS)
@each_name
@pytest.mark.parametrize("values", [(), (0.1, 0.6, 0.7, 1e-3)])
def test_ten_steps(name, values, dtype):
    hyperparameters = dict(zip(SIGNATURES[name], values))
    opt, params = make(name, **hyperparameters), parameters(dtype)
    oracles = {key: DLFS[name](**hyperparameters) for key in params}
    for t in range(1, 11):
        grads, before = gradients(params, t), {key: p.copy() for key, p in params.items()}
        assert opt.update(params, grads) is None
        for key, p in params.items():
            assert_allclose(p, before[key] + oracles[key].delta(grads[key], t), rtol=0, atol=8*np.finfo(dtype).eps)


@each_name
def test_a_rate_set_between_steps(name):
    opt, oracle, params = make(name), DLFS[name](), {"W": np.ones(50)}
    for t in range(1, 6):
        opt.lr = oracle.lr = 0.1/t
        grads = gradients(params, t)
        wanted = params["W"] + oracle.delta(grads["W"], t)
        opt.update(params, grads)
        assert_allclose(params["W"], wanted, rtol=1e-12, atol=1e-14)


@each_name
def test_update_by_the_names_of_its_arguments(name):
    by_position, by_name = parameters(), parameters()
    make(name).update(by_position, gradients(by_position, 0))
    make(name).update(params=by_name, grads=gradients(by_name, 0))
    for key in by_name:
        assert_same_bits(by_name[key], by_position[key])


@each_name
def test_zero_gradients(name):
    opt, params = make(name), parameters()
    for _ in range(3):
        opt.update(params, {key: np.zeros_like(p) for key, p in params.items()})
    for p, untouched in zip(params.values(), parameters().values()):
        assert_array_equal(p, untouched)


def test_the_small_number_stands_outside_the_root():
    """With g = 1e-7 and h = g^2 the denominator is 2e-7: half a step, where eps inside the root would leave none."""
    for name, scale in (("AdaGrad", 0.01), ("RMSprop", 0.01), ("Adam", 0.001)):
        kwds = {"RMSprop": {"decay_rate": 0.0}, "Adam": {"beta1": 0.0, "beta2": 0.0}}.get(name, {})
        p = np.zeros(1)
        make(name, **kwds).update({"w": p}, {"w": np.array([1e-7])})
        assert_allclose(p, -scale/2, rtol=1e-12)


@pytest.mark.parametrize("name", ["AdaGrad", "RMSprop", "Adam"])
def test_the_small_number_is_a_hyperparameter(name):
    """With g = 0.5 and h = g^2 the denominator is 0.5 + eps."""
    without_average = {"RMSprop": {"decay_rate": 0.0}, "Adam": {"beta1": 0.0, "beta2": 0.0}}.get(name, {})
    opt = make(name, lr=0.1, eps=0.5, **without_average)
    assert opt.eps == 0.5 and "eps=0.5" in repr(opt)
    p = np.zeros(1)
    opt.update({"w": p}, {"w": np.array([0.5])})
    assert_allclose(p, -0.05, rtol=1e-12)
    opt = make(name, lr=0.1, **without_average)
    opt.eps = 0.5
    opt.update({"w": p}, {"w": np.array([0.5])})
    assert_allclose(p, -0.1, rtol=1e-12)
    for wrong in (-1e-9, np.nan):
        with pytest.raises(ValueError, match="eps must be at least 0"):
            make(name, eps=wrong)


def test_nesterov_is_momentum_seen_from_the_look_ahead_point():
    """The book's parameter is theta + momentum v of Nesterov's own, whose gradient is taken ahead."""
    mu, lr, theta, v = 0.8, 0.05, np.array([3.0, -2.0]), np.zeros(2)
    opt, ahead = dlfs.Nesterov(lr, mu), {"w": theta.copy()}
    for _ in range(20):
        v = mu*v - lr*(theta + mu*v)**3
        theta = theta + v
        opt.update(ahead, {"w": ahead["w"]**3})
        assert_allclose(ahead["w"], theta + mu*v, rtol=1e-12)


def test_momentum_and_nesterov_are_those_of_the_catalogue():
    for name in ("Momentum", "Nesterov"):
        assert type(get_opt(name)) is getattr(dlfs, name)
        outcomes = []
        for opt in (get_opt(name, lr=0.2, momentum=0.3), make(name, 0.2, 0.3)):
            params = parameters()
            for t in range(3):
                opt.update(params, gradients(params, t))
            outcomes.append(params)
        for key in params:
            assert_same_bits(outcomes[0][key], outcomes[1][key])


class Affine:
    """A model in the book's manner: `params`, `loss` and `gradient`."""

    def __init__(self, dtype):
        self.params = {"W": np.zeros((3, 2), dtype), "b": np.zeros(2, dtype)}

    def error(self, x, t):
        return x @ self.params["W"] + self.params["b"] - t

    def loss(self, x, t):
        return 0.5*np.mean(np.sum(self.error(x, t)**2, axis=1))

    def gradient(self, x, t):
        error = self.error(x, t)/len(x)
        return {"W": x.T @ error, "b": error.sum(axis=0), "unused": None}


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_training_loop_of_the_book(dtype):
    rng = np.random.RandomState(0)
    x = rng.randn(200, 3).astype(dtype)
    t = (x @ rng.randn(3, 2) + rng.randn(2)).astype(dtype)
    optimizers = {name: make(name, lr=0.3 if name in ("AdaGrad", "SGD") else 0.03) for name in SIGNATURES}
    networks = {key: Affine(dtype) for key in optimizers}
    for _ in range(200):
        batch = rng.choice(len(x), 50)
        for key in optimizers.keys():
            grads = networks[key].gradient(x[batch], t[batch])
            optimizers[key].update(networks[key].params, grads)
    for key, network in networks.items():
        assert network.loss(x, t) < 0.02*Affine(dtype).loss(x, t), key
        assert network.params["W"].dtype == dtype
