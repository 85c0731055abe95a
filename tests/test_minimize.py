"""`fastnn.nn.minimize`: SciPy's L-BFGS-B over all parameters of a network."""
import doctest
import sys

import numpy as np
import pytest

import fastnn
from fastnn.datasets import load_digits
from fastnn.nn import MultiLayerNet, minimize

optimize = pytest.importorskip("scipy.optimize")


def digits(dtype="float64", count=200):
    (x, t), _ = load_digits(dtype=dtype)
    return x[:count], t[:count]


def net(dtype="float64", **options):
    return MultiLayerNet(64, [12], 10, activation="tanh", dtype=dtype, rng=1, **options)


def copies(network):
    return {key: p.copy() for key, p in network.params.items()}


def is_as_before(network, before, arrays=None):
    for key, p in network.params.items():
        np.testing.assert_array_equal(p, before[key])
        assert arrays is None or p is arrays[key]


def running_values(network):
    layer = network.layers["BatchNorm1"]
    return layer.running_mean, layer.running_var, layer.momentum


def test_the_example_holds():
    found = doctest.testmod(sys.modules["fastnn.nn.minimize"])
    assert found.attempted and not found.failed


def test_it_is_scipy_s_minimum():
    """The same as SciPy's own function finds with a plain flattening, on a convex problem and past it."""
    for hidden in ([], [5]):
        x, t = digits()
        network, twin = (MultiLayerNet(64, hidden, 10, weight_decay_lambda=0.01, rng=1) for _ in range(2))
        shapes = [p.shape for p in twin.params.values()]
        ends = np.cumsum([p.size for p in twin.params.values()])

        def loss(flat):
            parts = np.split(flat, ends[:-1])
            twin.params = {key: part.reshape(shape).copy() for key, part, shape in zip(twin.params, parts, shapes)}
            value, grads = twin.loss_and_gradient(x, t)
            return value, np.concatenate([grads[key].ravel() for key in twin.params])

        start = np.concatenate([p.ravel() for p in twin.params.values()])
        arrays = dict(network.params)
        found = minimize(network, x, t, maxiter=30, gtol=1e-9, maxcor=7)
        wanted = optimize.minimize(loss, start, jac=True, method="L-BFGS-B",
                                   options={"maxiter": 30, "gtol": 1e-9, "maxcor": 7})
        assert (found.evaluations, found.iterations, found.success) == (wanted.nfev, wanted.nit, wanted.success)
        assert (found.message, found.loss) == (wanted.message, wanted.fun)
        assert found.loss == network.loss(x, t, train_flg=True)
        flat = np.concatenate([p.ravel() for p in network.params.values()])
        np.testing.assert_array_equal(flat, wanted.x)
        assert all(p is arrays[key] for key, p in network.params.items()), "changed in place"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_trains_the_digits(dtype):
    (x, t), (x_test, t_test) = load_digits(dtype=dtype)
    network = MultiLayerNet(64, [30], 10, activation="tanh", weight_decay_lambda=1e-3, dtype=dtype, rng=0)
    found = minimize(network, x.tolist(), list(t), maxiter=40)
    assert all(p.dtype == dtype for p in network.params.values())
    assert found.loss == network.loss(x, t, train_flg=True)
    assert network.accuracy(x_test, t_test) > 0.95
    assert found.iterations <= 40 <= found.evaluations and not found.success and "ITERATIONS" in found.message


def test_limits_and_tolerances_are_scipy_s():
    x, t = digits()
    few, loose = minimize(net(), x, t, maxfun=5), minimize(net(), x, t, ftol=0.1)
    assert 5 < few.evaluations < 30 and not few.success
    assert loose.success and loose.iterations < 20 and "FACTR" in loose.message.upper()
    assert minimize(net(), x, t, gtol=1e3).evaluations == 1


def test_batch_normalization_keeps_the_statistics_of_the_result():
    x, t = digits()
    network = net(use_batchnorm=True)
    found = minimize(network, x, t, maxiter=20)
    mean, var, momentum = running_values(network)
    assert momentum == 0.9
    z = x @ network.params["W1"] + network.params["b1"]
    np.testing.assert_allclose(mean, z.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(var, z.var(axis=0), rtol=1e-12)
    assert network.loss(x, t) == pytest.approx(found.loss, rel=1e-9), "in training or not"


class Stopped(Exception):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stopped, "infinite"])
@pytest.mark.parametrize("options", [{}, {"use_batchnorm": True}])
def test_the_best_point_is_left(error, options, monkeypatch):
    """Whatever ends it, and wherever the last pass was."""
    x, t = digits()
    network, seen = net(**options), []
    whole = network.loss_and_gradient

    def passes(x, t):
        loss, grads = whole(x, t)
        if len(seen) == 9:
            if error != "infinite":
                raise error
            loss = np.inf
        seen.append((loss, copies(network), running_values(network) if options else None))
        return loss, grads

    monkeypatch.setattr(network, "loss_and_gradient", passes)
    if error == "infinite":
        minimize(network, x, t, maxiter=30)
    else:
        with pytest.raises(error):
            minimize(network, x, t)
        assert len(seen) == 9
    loss, params, running = min(seen, key=lambda found: found[0])
    assert loss < seen[0][0]
    is_as_before(network, params)
    if options:
        np.testing.assert_array_equal(running_values(network)[:2], running[:2])
        assert running_values(network)[2] == 0.9


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"maxiter": 0}, ValueError, "maxiter must be at least 1, not 0"), ({"maxiter": 1.5}, TypeError, "maxiter must be an integer, not 1.5"),
    ({"maxls": True}, TypeError, "maxls must be an integer, not True"),
    ({"maxcor": -1}, ValueError, "maxcor"), ({"maxls": 0}, ValueError, "maxls"), ({"maxfun": "9"}, TypeError, "maxfun must be an integer"),
    ({"ftol": -1}, ValueError, "ftol must be finite and not negative"), ({"gtol": np.nan}, ValueError, "gtol"),
    ({"ftol": "1"}, TypeError, "ftol must be a number"),
    ({"x": np.zeros((200, 63))}, ValueError, "64"), ({"x": [[1, 2], [3]]}, ValueError, "x is no array"),
    ({"t": np.full(200, 10)}, ValueError, "labels must lie in 0..9"), ({"t": np.zeros(3, int)}, ValueError, "200"),
    ({"x": np.full((200, 64), np.inf)}, FloatingPointError, "the first to be infinite or NaN is the input")])
def test_bad_input_changes_nothing(options, error, message):
    x, t = digits()
    network = net(use_batchnorm=True)
    before, arrays, running = copies(network), dict(network.params), running_values(network)
    with pytest.raises(error, match=message):
        minimize(network, **{"x": x, "t": t, **options})
    is_as_before(network, before, arrays)
    assert all(one is other for one, other in zip(running_values(network), running))


def test_dropout_is_refused_by_name():
    x, t = digits()
    network = net(use_dropout=True)
    before, stream = copies(network), network.rng.bit_generator.state
    with pytest.raises(ValueError, match="layer 'Dropout1' is Dropout"):
        minimize(network, x, t)
    is_as_before(network, before)
    assert network.rng.bit_generator.state == stream
    assert minimize(net(use_dropout=True, dropout_ration=0), x, t, maxiter=3).iterations == 3


def test_parameters_have_to_be_their_own_and_writable():
    x, t = digits()
    network = net()
    network.params["b1"].flags.writeable = False
    before = copies(network)
    with pytest.raises(ValueError, match=r"params\['b1'\] is read-only"):
        minimize(network, x, t)
    network = MultiLayerNet(64, [64, 64], 10, rng=0)
    network.params["W2"] = network.params["W1"]
    with pytest.raises(ValueError, match=r"params\['W1'\] and params\['W2'\] share memory"):
        minimize(network, x, t)
    is_as_before(net(), before)


def test_parameters_may_lie_with_gaps():
    x, t = digits()
    plain, gaps = net(), net()
    gaps.params["W1"] = np.repeat(gaps.params["W1"], 2, axis=1)[:, ::2]
    gaps.params["W2"] = np.asfortranarray(gaps.params["W2"])
    one, other = minimize(plain, x, t, maxiter=3), minimize(gaps, x, t, maxiter=3)
    assert other.loss == pytest.approx(one.loss, rel=1e-9)
    np.testing.assert_allclose(gaps.params["W1"], plain.params["W1"], rtol=1e-6)


def test_without_scipy_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    x, t = digits()
    with pytest.raises(ImportError, match=r'pip install "fastnn\[scipy\]"'):
        minimize(net(), x, t)
    assert fastnn.nn.minimize is minimize


@pytest.mark.parametrize("network", [None, {"W": np.ones(2)}, np.ones(3)], ids=["None", "dict", "array"])
def test_what_is_no_network(network):
    with pytest.raises(TypeError, match="a network has params"):
        minimize(network, np.ones((2, 3)), np.array([0, 1]))
