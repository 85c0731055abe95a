import copy
import json
import math
import pickle
import re
from pathlib import Path

import mpmath
import numpy as np
import pytest

import fastnn
from fastnn import group, schedules
from fastnn.core.decay import add_decay
from fastnn.datasets import load_digits
from fastnn.nn import (Activation, Affine, BatchNormalization, Dropout, MultiLayerNet, SoftmaxWithLoss,
                       Trainer, numerical_gradient)

# Gated units halve what they are given, and others have weights of their own.
ACTIVATIONS = [*fastnn.activations("elementwise"), *fastnn.activations("rows")]
ARGUMENTS = {"threshold": (0.1, -0.2)}      # where there are no defaults
ROWS, FEATURES, CLASSES = 6, 5, 3


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, FEATURES)), rng.integers(0, CLASSES, ROWS)


def small_net(activation="tanh", **options):
    """A net whose biases are not zero: a row that dropout empties would otherwise sit on ReLU's kink."""
    net = MultiLayerNet(FEATURES, [4, 4], CLASSES, activation, **{"rng": 1, **options})
    rng = np.random.default_rng(2)
    for key, p in net.params.items():
        if not key.startswith("W"):
            p += 0.3 * rng.standard_normal(p.shape)
    return net


def snapshot(net):
    """Everything of a net that a failed call must leave alone."""
    arrays = {key: p.copy() for key, p in net.params.items()}
    for name, layer in net.layers.items():
        if isinstance(layer, BatchNormalization):
            arrays[f"{name} mean"] = layer.running_mean.copy()
            arrays[f"{name} var"] = layer.running_var.copy()
        if isinstance(layer, Dropout):
            arrays[f"{name} mask"] = np.array(layer.mask)
    return arrays


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


# Construction

def test_parameters_and_layers():
    net = MultiLayerNet(5, [4, 2], 3, use_batchnorm=True, use_dropout=True)
    assert {key: p.shape for key, p in net.params.items()} == {
        "W1": (5, 4), "b1": (4,), "gamma1": (4,), "beta1": (4,),
        "W2": (4, 2), "b2": (2,), "gamma2": (2,), "beta2": (2,), "W3": (2, 3), "b3": (3,)}
    assert list(net.layers) == ["Affine1", "BatchNorm1", "Activation_function1", "Dropout1",
                                "Affine2", "BatchNorm2", "Activation_function2", "Dropout2", "Affine3"]
    for key, p in net.params.items():
        assert p.dtype == np.float64
        if not key.startswith("W"):
            assert np.all(p == (1 if key.startswith("gamma") else 0))


@pytest.mark.parametrize("make", [int, np.random.default_rng, np.random.RandomState])
def test_equal_seeds_give_equal_nets(make, batch):
    a, b, other = (small_net(use_dropout=True, rng=make(seed)) for seed in (7, 7, 8))
    assert_same(a.params, b.params)
    assert_same(a.gradient(*batch), b.gradient(*batch))
    assert not np.array_equal(a.params["W1"], other.params["W1"])


def test_random_state_draws_the_books_weights():
    net = MultiLayerNet(5, [4], 3, weight_init_std=0.01, rng=np.random.RandomState(3))
    book = np.random.RandomState(3)
    np.testing.assert_array_equal(net.params["W1"], 0.01 * book.randn(5, 4))
    np.testing.assert_array_equal(net.params["W2"], 0.01 * book.randn(4, 3))


def test_float32_starts_from_the_same_weights():
    single, double = (MultiLayerNet(5, [4], 3, dtype=dtype, rng=0) for dtype in ("float32", "float64"))
    for key, p in single.params.items():
        assert p.dtype == np.float32
        np.testing.assert_array_equal(p, double.params[key].astype(np.float32))


@pytest.mark.parametrize("init, std", [
    ("he", (2 / 400) ** 0.5), ("ReLU", (2 / 400) ** 0.5), ("xavier", 0.05), ("Sigmoid", 0.05),
    (0.3, 0.3), (0, 0), (np.float32(0.5), 0.5),
])
def test_first_weights(init, std):
    W = MultiLayerNet(400, [300], 2, weight_init_std=init, rng=0).params["W1"]
    # 120,000 draws: the standard error of the standard deviation is 0.2 %.
    assert W.std() == pytest.approx(std, rel=0.01)
    assert abs(W.mean()) <= 0.01 * std


@pytest.mark.parametrize("error, message, options", [
    (ValueError, "Unknown activator", {"activation": "rleu"}),
    (ValueError, "input_size must be at least 1, not 0", {"input_size": 0}),
    (ValueError, "hidden_size_list must be at least 1, not -1", {"hidden_size_list": [4, -1]}),
    (ValueError, "output_size must be at least 1, not 0", {"output_size": 0}),
    (TypeError, "integer", {"hidden_size_list": [4.5]}),
    (ValueError, "Unknown weight_init_std 'hee'.* he, relu", {"weight_init_std": "hee"}),
    (ValueError, "weight_init_std must be finite and not negative", {"weight_init_std": -1}),
    (ValueError, "weight_init_std must be finite and not negative", {"weight_init_std": float("nan")}),
    (TypeError, "weight_init_std must be a number or a name", {"weight_init_std": None}),
    (ValueError, "weight_decay_lambda must be finite and not negative", {"weight_decay_lambda": -0.1}),
    (ValueError, "weight_decay_l1 must be finite and not negative", {"weight_decay_l1": float("inf")}),
    (ValueError, "weight_decay_l1 must be finite and not negative", {"weight_decay_l1": float("nan")}),
    (TypeError, "weight_decay_lambda must be a number, not 'a'", {"weight_decay_lambda": "a"}),
    (TypeError, "weight_decay_l1 must be a number, not None", {"weight_decay_l1": None}),
    (TypeError, r"weight_decay_l1 must be a number, not array\(\[0.1\]\)", {"weight_decay_l1": np.array([0.1])}),
    (ValueError, "dropout_ration must be at least 0 and below 1", {"use_dropout": True, "dropout_ration": 1}),
    (ValueError, "dropout_ration", {"use_dropout": True, "dropout_ration": float("nan")}),
    (TypeError, r"no argument 'dropout_ratio' \(did you mean dropout_ration", {"dropout_ratio": 0.3}),
    (TypeError, r"no argument 'use_batch_norm' \(did you mean use_batchnorm", {"use_batch_norm": True}),
    (TypeError, "MultiLayerNet has no argument 'lr'$", {"lr": 0.1}),
    (TypeError, "dtype must be float32 or float64", {"dtype": "float16"}),
    (TypeError, "dtype must be float32 or float64", {"dtype": int}),
])
def test_impossible_nets(error, message, options):
    with pytest.raises(error, match=message):
        MultiLayerNet(**{"input_size": 5, "hidden_size_list": [4], "output_size": 3, **options})


@pytest.mark.parametrize("name", ["weight_decay_lambda", "weight_decay_l1"])
def test_decay_is_checked_when_it_is_set(name):
    net = small_net(**{name: 0.25})
    for wrong, error in ((-3, ValueError), (math.nan, ValueError), (math.inf, ValueError), (10**400, ValueError),
                         ("a", TypeError), (None, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"^{name} must be "):
            setattr(net, name, wrong)
        assert getattr(net, name) == 0.25
    for right in (1, np.float32(1), np.array(1.0)):
        setattr(net, name, 0)
        setattr(net, name, right)
        assert type(getattr(net, name)) is float and getattr(net, name) == 1
    twin = copy.deepcopy(net)
    other = small_net()
    other.load_state_dict(net.state_dict())
    setattr(net, name, 0.5)
    assert getattr(twin, name) == getattr(other, name) == 1 and getattr(pickle.loads(pickle.dumps(net)), name) == 0.5


# Gradients

def assert_gradients_close(grads, numerical, tolerance):
    assert grads.keys() == numerical.keys()
    for key, g in grads.items():
        # Relative to the parameter's largest gradient; the floor is for biases before batch normalization,
        # whose gradient is zero.
        scale = max(np.abs(numerical[key]).max(), 1e-4)
        assert np.abs(g - numerical[key]).max() <= tolerance * scale, key


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("decay", [0, 0.1])
@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_check(activation, batchnorm, decay, dropout, batch):
    activation = fastnn.get_act(activation, *ARGUMENTS.get(activation, ()))
    net = small_net(activation, use_batchnorm=batchnorm, use_dropout=dropout, dropout_ration=0.3,
                    weight_decay_lambda=decay, weight_decay_l1=decay / 10)
    assert_gradients_close(net.gradient(*batch), net.numerical_gradient(*batch), 1e-6)


def test_gradient_check_sees_a_wrong_gradient(batch):
    net = small_net(use_batchnorm=True)
    grads = net.gradient(*batch)
    grads["gamma1"][0] *= 1.001
    with pytest.raises(AssertionError, match="gamma1"):
        assert_gradients_close(grads, net.numerical_gradient(*batch), 1e-6)


def test_gradient_check_of_a_float32_net(batch):
    net = small_net(dtype=np.float32, use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.1)
    grads = net.gradient(*batch)
    assert all(g.dtype == np.float32 for g in grads.values())
    numerical = net.numerical_gradient(*batch)
    assert all(g.dtype == np.float64 for g in numerical.values())
    for bias in ("b1", "b2"):       # zero but for rounding: batch normalization follows
        assert np.abs(grads.pop(bias) - numerical.pop(bias)).max() < 1e-6
    assert_gradients_close(grads, numerical, 1e-4)


def test_numerical_gradient_leaves_the_net_alone(batch):
    net = small_net(use_batchnorm=True, use_dropout=True)
    net.gradient(*batch)
    before, twin = snapshot(net), copy.deepcopy(net)
    net.numerical_gradient(*batch)
    assert_same(snapshot(net), before)
    assert_same(net.gradient(*batch), twin.gradient(*batch))        # the same masks come next


def test_gradient_check_without_hidden_layers(batch):
    net = MultiLayerNet(FEATURES, [], CLASSES, rng=0)
    assert_gradients_close(net.gradient(*batch), net.numerical_gradient(*batch), 1e-6)


def test_activation_with_hyperparameters(batch):
    net = small_net(fastnn.get_act("ELU", alpha=0.3))
    assert_gradients_close(net.gradient(*batch), net.numerical_gradient(*batch), 1e-6)
    assert not np.array_equal(net.predict(batch[0]), small_net("ELU").predict(batch[0]))


def test_gradients_are_the_callers_own(batch):
    net = small_net(use_batchnorm=True)
    first = net.gradient(*batch)
    kept = copy.deepcopy(first)
    net.gradient(batch[0] + 1, batch[1])
    assert_same(first, kept)
    for g in first.values():
        assert not any(np.shares_memory(g, p) for p in net.params.values())


def test_loss_and_gradient_agree_with_loss_and_gradient(batch):
    net = small_net(use_batchnorm=True, weight_decay_lambda=0.1)
    loss, grads = net.loss_and_gradient(*batch)
    assert isinstance(loss, float) and loss == net.loss(*batch, train_flg=True)
    assert_same(grads, net.gradient(*batch))


def test_weight_decay_is_in_loss(batch):
    plain, decayed = small_net(), small_net(weight_decay_lambda=0.2, weight_decay_l1=0.03)
    weights = [p for key, p in plain.params.items() if key.startswith("W")]
    penalty = sum(0.1 * np.sum(W**2) + 0.03 * np.sum(np.abs(W)) for W in weights)
    assert decayed.loss(*batch) - plain.loss(*batch) == pytest.approx(penalty, rel=1e-12)


def test_numerical_gradient_of_a_quadratic():
    x = np.array([[3.0, -4.0, 0.0]])
    original = x.copy()
    gradient = numerical_gradient(lambda v: v[0, 0] ** 2 / 20 + v[0, 1] ** 2 + 1e3 * v[0, 2], x)
    np.testing.assert_allclose(gradient, [[0.3, -8.0, 1e3]], rtol=1e-9)
    np.testing.assert_array_equal(x, original)


def test_numerical_gradient_puts_back_what_it_changed():
    x = np.array([0.1, 0.2])

    def fails_at_the_second(v):
        if v[1] != 0.2:
            raise ZeroDivisionError
        return 0.0

    with pytest.raises(ZeroDivisionError):
        numerical_gradient(fails_at_the_second, x)
    np.testing.assert_array_equal(x, [0.1, 0.2])


@pytest.mark.parametrize("x", [np.zeros(2, np.float32), np.zeros(2, int), [0.0, 1.0]])
def test_numerical_gradient_needs_float64(x):
    with pytest.raises(TypeError, match="needs a float64 array"):
        numerical_gradient(np.sum, x)


@pytest.mark.parametrize("f", [
    lambda x: x[:1], lambda x: x[0, ...], lambda x: x[0:1].reshape(1, 1), lambda x: np.add(x[0], 0, out=BUFFER[0, ...]),
    lambda x: np.multiply(x[:1], 1, out=BUFFER[0])], ids=["view", "0-d view", "matrix", "buffer", "buffer of one"])
def test_numerical_gradient_reads_what_f_gives_at_once(f):
    """A view of x, or memory that f uses again, has changed by the second call."""
    np.testing.assert_allclose(numerical_gradient(f, np.array([2.0, 3.0])), [1, 0], rtol=1e-9)


BUFFER = np.zeros((1, 1))


@pytest.mark.parametrize(("f", "message", "error"), [
    (lambda x: x, "one number", ValueError), (lambda x: x[:0], "one number", ValueError),
    (lambda x: "1", "a real number", TypeError), (lambda x: None, "a real number", TypeError),
    (lambda x: x[0] + 1j, "a real number", TypeError)])
def test_numerical_gradient_of_what_is_no_number(f, message, error):
    x = np.array([1.0, 2.0])
    with pytest.raises(error, match=message):
        numerical_gradient(f, x)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("size", [1e-100, 1e-30, 1e-12, 1e-7, 3e-6, 1e-5, 1e-3, 0.3, 1, 30, 1e7])
@pytest.mark.parametrize("name", ["log", "sqrt", "cbrt", "reciprocal"])
def test_numerical_gradient_of_what_changes_as_much_as_x_does(size, name):
    """mpmath is the judge. Below zero there is nothing to differentiate, and a warning would be an error."""
    value = getattr(mpmath, name, lambda x: 1/x)
    for sign in (1, -1)[:1 if name in ("log", "sqrt") else 2]:
        x = np.array([sign*size, 2.0])
        got = numerical_gradient(lambda v: getattr(np, name)(v[0]) + 0*v[1], x)
        exact = mpmath.diff(value, mpmath.mpf(size), h=mpmath.mpf(size)*mpmath.mpf("1e-6"), method="step")
        assert got[0] == pytest.approx(float(exact), rel=1e-5) and got[1] == 0


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e-300, 1e-8, -1e-7, 1e-5, -1e-3, 0.1, -0.9])
def test_numerical_gradient_of_what_changes_slowly_around_zero(value):
    """A loss of 10, with rounding of its own, at a weight near 0."""
    noise = np.random.default_rng(0)
    x = np.array([value])
    got = numerical_gradient(lambda v: (10 + math.sin(3*v[0] + 0.5))*(1 + 1e-15*noise.standard_normal()), x)
    assert got[0] == pytest.approx(3*math.cos(3*value + 0.5), rel=1e-5 if abs(value) != 1e-8 else 1e-4)
    assert x[0] == value


# Training passes: fused, and in memory that they use again

def layer_by_layer(net, x, t):
    """What `loss_and_gradient` computes, by the layers' public methods alone."""
    for layer in net.layers.values():
        x = layer.forward(x)
    loss = net.last_layer.forward(x, t)
    dout = net.last_layer.backward()
    for layer in reversed(net.layers.values()):
        dout = layer.backward(dout)
    return loss, {f"{kind}{name[-1]}": getattr(layer, f"d{kind}") for name, layer in net.layers.items()
                  for kind in ("W", "b", "gamma", "beta") if hasattr(layer, f"d{kind}")}


def keep_masks(net):
    for layer in net.layers.values():
        if isinstance(layer, Dropout):
            layer.frozen = True


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_training_passes_are_the_layers_bit_for_bit(activation, batchnorm, dropout, dtype):
    net = MultiLayerNet(FEATURES, [7, 33], CLASSES, fastnn.get_act(activation, *ARGUMENTS.get(activation, ())),
                        use_batchnorm=batchnorm, use_dropout=dropout, dtype=dtype, rng=0)
    rng = np.random.default_rng(1)
    for rows in (130, 2 if batchnorm else 1, 130, 9):
        x, t = rng.standard_normal((rows, FEATURES)).astype(dtype), rng.integers(0, CLASSES, rows)
        x *= 0.1 if activation == "exponential" else 1          # exp(exp(x)) is soon infinite
        net.loss(x, t, train_flg=True)
        keep_masks(net)
        twin = copy.deepcopy(net)
        loss, grads = net.loss_and_gradient(x, t)
        expected_loss, expected = layer_by_layer(twin, x, t)
        assert loss == expected_loss
        assert_same(grads, expected)
        assert_same(snapshot(net), snapshot(twin))
        for layer in net.layers.values():
            layer.frozen = False


class Watching(Dropout):
    """A layer of somebody else's that changes nothing and keeps what it is given."""

    def __init__(self):
        super().__init__(0)
        self.seen = []

    def forward(self, x, train_flg=True):
        self.seen.append((x, x.copy()))
        return x

    def backward(self, dout):
        self.seen.append((dout, dout.copy()))
        return dout


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("places", [(1,), (2,), (3,), (1, 2), (2, 4, 5), (0, 99)])
def test_other_layers_may_keep_what_they_are_given(places, batchnorm, batch):
    net, plain = (MultiLayerNet(FEATURES, [4, 4], CLASSES, "tanh", use_batchnorm=batchnorm, rng=1) for _ in range(2))
    layers = list(net.layers.items())
    watching = [Watching() for _ in places]
    for place, layer in reversed(list(zip(places, watching))):
        layers.insert(place, (f"Watching{place}", layer))
    net.layers = dict(layers)
    if 0 in places:                 # the first layer has the parameters
        watching[0].parameter_gradients = watching[0].backward
    for x, t in (batch, (batch[0] + 1, batch[1])):
        loss, grads = net.loss_and_gradient(x, t)
        expected_loss, expected = plain.loss_and_gradient(x, t)
        assert loss == pytest.approx(expected_loss)
        for key in expected:
            np.testing.assert_allclose(grads[key], expected[key], rtol=1e-12, atol=1e-15)
    for layer in watching:
        assert len(layer.seen) == 4
        for given, kept in layer.seen:
            np.testing.assert_array_equal(given, kept)


def test_outputs_are_the_callers_own(batch):
    x, t = batch
    net = small_net(use_batchnorm=True)
    net.gradient(x, t)
    layers = list(net.layers.values())
    for call in (lambda x: net.predict(x, train_flg=True), net.predict, layers[0].forward, layers[-1].forward):
        given = x[:, :4] if call == layers[-1].forward else x
        y = call(given)
        kept = y.copy()
        assert call(given + 1) is not y
        net.gradient(x - 1, t)
        np.testing.assert_array_equal(y, kept)


def test_passes_of_one_size_use_the_same_memory(batch):
    x, t = batch
    net = small_net("Mish", use_batchnorm=True, use_dropout=True)
    hidden = net.layers["Activation_function1"]
    places = set()
    for shift in range(4):
        net.gradient(x + shift, t)
        places.add(tuple(a.ctypes.data for a in hidden._kept))
        net.predict(x), net.loss(x[:2], t[:2])          # not in training: they leave it alone
    assert len(places) == 1
    before = hidden._kept
    net.gradient(x[:2], t[:2])
    assert len(hidden._kept[0]) == 2 and not np.shares_memory(hidden._kept[0], before[0])


def test_exchanged_layers_are_used(batch):
    net, other = small_net("tanh"), small_net("Mish")
    net.gradient(*batch)
    net.layers["Activation_function1"] = Activation("Mish")
    net.layers["Activation_function2"] = Activation("Mish")
    assert_same(net.gradient(*batch), other.gradient(*batch))
    net.layers["Activation_function1"].activation = fastnn.get_act("ELU")
    other.layers["Activation_function1"] = Activation("ELU")
    assert_same(net.gradient(*batch), other.gradient(*batch))
    assert_gradients_close(net.gradient(*batch), net.numerical_gradient(*batch), 1e-6)


def test_changed_hyperparameters_are_used(batch):
    net, other = small_net(fastnn.get_act("ELU", alpha=0.3)), small_net(fastnn.get_act("ELU", alpha=2.0))
    net.gradient(*batch)
    net.layers["Activation_function1"].activation.alpha = 2.0       # the layers share it
    assert_same(net.gradient(*batch), other.gradient(*batch))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_train_on_their_own(copied, batch):
    net = small_net(use_batchnorm=True)
    expected = net.gradient(*batch)
    twin = copied(net)
    for name in ("Activation_function1", "Activation_function2"):
        for a, b in zip(net.layers[name]._kept, twin.layers[name]._kept):
            assert not np.shares_memory(a, b)
    assert_same(twin.gradient(*batch), expected)
    twin.gradient(batch[0] + 1, batch[1])
    dx = np.ones((ROWS, 4))
    np.testing.assert_array_equal(net.layers["Activation_function1"].backward(dx),
                                  copied(net).layers["Activation_function1"].backward(dx))


@pytest.mark.parametrize("rows", [1, 5])
def test_layers_with_out(rows):
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal((rows, 4)), rng.standard_normal((rows, 4))
    for make in (lambda: Affine(rng.standard_normal((4, 4)), np.ones(4)), lambda: Activation("tanh"),
                 lambda: Activation("softmax"), lambda: Dropout(0.5, rng=0),
                 lambda: BatchNormalization(np.ones(4) / 3, np.ones(4)))[:5 if rows > 1 else 4]:
        layer = make()
        other = copy.deepcopy(layer)
        for train_flg in (True, False):
            out = np.full_like(x, np.nan)
            assert layer.forward(x, train_flg, out) is out
            np.testing.assert_array_equal(out, other.forward(x, train_flg))
        out = np.full_like(x, np.nan)
        assert layer.backward(dout, out) is out
        np.testing.assert_array_equal(out, other.backward(dout))
        if isinstance(layer, (Activation, Dropout)):
            given = dout.copy()
            assert layer.backward(given, given) is given
            np.testing.assert_array_equal(given, out)


# Parameters and inputs

@pytest.mark.parametrize("key", ["W1", "b2", "gamma1", "beta2"])
def test_changed_and_replaced_parameters_are_used(key, batch):
    changed, replaced, reference = (small_net(use_batchnorm=True) for _ in range(3))
    before = reference.loss(*batch, train_flg=True)
    changed.params[key] += 0.5 * np.arange(changed.params[key].size).reshape(changed.params[key].shape)
    replaced.params[key] = changed.params[key].copy()
    a, b = changed.loss_and_gradient(*batch), replaced.loss_and_gradient(*batch)
    # Batch normalization takes out any bias before it; all else must matter.
    assert (a[0] == pytest.approx(before)) == (key == "b2")
    assert a[0] == b[0]
    assert_same(a[1], b[1])


@pytest.mark.parametrize("value, error, message", [
    (np.zeros((5, 3)), ValueError, r"params\['W1'\] must have shape \(5, 4\), not \(5, 3\)"),
    (np.zeros((5, 4), np.float32), TypeError, r"params\['W1'\] must be a float64 array, not float32"),
    ([[0.0] * 4] * 5, TypeError, r"params\['W1'\] must be a float64 array, not list"),
    (None, TypeError, r"params\['W1'\] must be a float64 array, not NoneType"),
])
def test_replaced_parameters_must_fit(value, error, message, batch):
    net = small_net()
    net.params["W1"] = value
    with pytest.raises(error, match=message):
        net.predict(batch[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_the_nets(dtype, batch):
    x, t = batch
    net = small_net(dtype=dtype, use_batchnorm=True, use_dropout=True)
    for given in (x.astype(np.float32), x.astype(np.float64), x.astype(np.float16), x.astype(">f8"),
                  np.rint(x).astype(int), x > 0, x.tolist(), np.asfortranarray(x), x[::-1]):
        expected = net.predict(np.array(given, dtype))
        assert expected.dtype == dtype and expected.shape == (ROWS, CLASSES)
        np.testing.assert_allclose(net.predict(given), expected, rtol=1e-5)
        assert all(g.dtype == dtype for g in net.gradient(given, t).values())
    for name in ("BatchNorm1", "BatchNorm2"):
        assert net.layers[name].running_mean.dtype == net.layers[name].running_var.dtype == dtype


def test_inputs_are_not_changed(batch):
    x, t = batch
    x.flags.writeable = t.flags.writeable = False       # writing would raise
    net = small_net("ReLU", use_batchnorm=True, use_dropout=True)
    net.gradient(x, t), net.accuracy(x, t), net.numerical_gradient(x, t)


def test_images_are_flattened():
    (images, t), _ = load_digits(flatten=False)
    (rows, _), _ = load_digits()
    net = MultiLayerNet(64, [4], 10, rng=0)
    np.testing.assert_array_equal(net.predict(images[:5]), net.predict(rows[:5]))


def test_one_hot_labels_are_the_same_labels(batch):
    x, t = batch
    net = small_net()
    one_hot = np.eye(CLASSES)[t]
    expected = net.gradient(x, t)
    for given in (one_hot, one_hot.astype(np.float32), one_hot.astype(int), one_hot > 0, one_hot.tolist(),
                  one_hot.astype(np.longdouble)):
        assert net.loss(x, given) == pytest.approx(net.loss(x, t), rel=1e-14)
        assert net.accuracy(x, given) == net.accuracy(x, t)
        for key, g in net.gradient(x, given).items():
            np.testing.assert_allclose(g, expected[key], rtol=1e-12, atol=1e-15)


def test_accuracy(batch):
    x, _ = batch
    net = small_net()
    t = net.predict(x).argmax(axis=1)
    assert net.accuracy(x, t) == 1
    t[0] = (t[0] + 1) % CLASSES
    assert net.accuracy(x, t) == pytest.approx(1 - 1 / ROWS)


def test_predict_of_no_rows():
    net = small_net(use_batchnorm=True, use_dropout=True)
    assert net.predict(np.empty((0, FEATURES))).shape == (0, CLASSES)


X, T = np.ones((4, FEATURES)), np.array([0, 1, 2, 0])


@pytest.mark.parametrize("x, t, error, message", [
    (X[:, :4], T, ValueError, r"x must have shape \(rows, 5\), not \(4, 4\)"),
    (X[0], T, ValueError, r"x must have shape \(rows, 5\), not \(5,\)"),
    (1.0, T, ValueError, r"x must have shape \(rows, 5\), not \(\)"),
    (X + 1j, T, TypeError, "x must hold real numbers, not complex128"),
    (X.astype(str), T, TypeError, "x must hold real numbers"),
    (X, T[:3], ValueError, r"t must have shape \(4,\) or \(4, 3\), not \(3,\)"),
    (X, T[:, None, None], ValueError, r"t must have shape \(4,\) or \(4, 3\), not \(4, 1, 1\)"),
    (X, T + 1, ValueError, r"labels must lie in 0\.\.2, found 1\.\.3"),
    (X, T - 1, ValueError, r"labels must lie in 0\.\.2, found -1\.\.1"),
    (X, T.astype(float), TypeError, "labels must be integers, not float64"),
    (X, T > 0, TypeError, "labels must be integers, not bool"),
    (X[:0], T[:0], ValueError, "no rows"),
])
def test_bad_input_changes_nothing(x, t, error, message):
    net = small_net(use_batchnorm=True, use_dropout=True)
    net.gradient(X, T)
    before, twin = snapshot(net), copy.deepcopy(net)
    for method in (net.gradient, net.loss_and_gradient, net.loss, net.accuracy, net.numerical_gradient):
        with pytest.raises(error, match=message):
            method(x, t)
    assert_same(snapshot(net), before)
    assert_same(net.gradient(X, T), twin.gradient(X, T))


# Layers

def test_affine_in_numbers():
    layer = Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0]))
    np.testing.assert_array_equal(layer.forward(np.array([[1.0, 1.0], [0.0, 2.0]])), [[14, 26], [16, 28]])
    np.testing.assert_array_equal(layer.backward(np.array([[1.0, 0.0], [0.0, 1.0]])), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(layer.dW, [[1, 0], [1, 2]])
    np.testing.assert_array_equal(layer.db, [1, 1])


def test_dropout_masks_while_training_and_scales_otherwise():
    layer, x = Dropout(0.3, rng=0), np.full((200, 50), 2.0, np.float32)
    y = layer.forward(x)
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {0, 2}
    assert np.mean(y == 0) == pytest.approx(0.3, abs=0.02)     # four standard errors of 10,000 draws
    np.testing.assert_array_equal(layer.backward(x), y)
    np.testing.assert_allclose(layer.forward(x, train_flg=False), 2 * 0.7, rtol=1e-6)
    np.testing.assert_array_equal(layer.backward(x), y)        # still that of the training pass
    assert not np.array_equal(layer.forward(x), y)
    layer.frozen = True
    np.testing.assert_array_equal(layer.forward(x), layer.forward(x))


def test_batch_normalization():
    x = np.random.default_rng(0).normal(3, 2, (500, 2))
    layer = BatchNormalization(np.array([1.0, 5.0]), np.array([0.0, -2.0]))
    y = layer.forward(x)
    np.testing.assert_allclose(y.mean(axis=0), [0, -2], atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), [1, 5], rtol=1e-6)
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * x.var(axis=0))
    for _ in range(300):
        layer.forward(x)
    np.testing.assert_allclose(layer.forward(x, train_flg=False), y, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0))


def test_batch_normalization_starts_as_the_identity():
    """But for eps: evaluated before it has been trained, a network has the loss of one without it."""
    layer, x = BatchNormalization(np.ones(3), np.zeros(3)), np.random.default_rng(0).normal(0, 9, (5, 3))
    np.testing.assert_allclose(layer.forward(x, train_flg=False), x, rtol=1e-6)
    x, t = load_digits()[1]
    plain, fresh = (MultiLayerNet(64, [50]*4, 10, use_batchnorm=batchnorm, dtype=np.float32, rng=0)
                    for batchnorm in (False, True))
    assert fresh.loss(x, t) == pytest.approx(plain.loss(x, t), rel=1e-3)


@pytest.mark.parametrize("rows", [0, 1])
def test_batch_normalization_is_not_trained_on_a_row(rows):
    x, t = np.full((rows, FEATURES), 2.0), np.zeros(rows, int)
    layer = BatchNormalization(np.ones(FEATURES), np.zeros(FEATURES))
    with pytest.raises(ValueError, match=f"trained on two rows or more, not on {rows}"):
        layer.forward(x)
    assert layer.forward(x, train_flg=False).shape == x.shape
    net = small_net(use_batchnorm=True, use_dropout=True)
    net.gradient(X, T)
    before, twin = snapshot(net), copy.deepcopy(net)
    calls = [net.gradient, net.loss_and_gradient, net.numerical_gradient, lambda x, t: net.loss(x, t, train_flg=True)]
    for call in calls if rows else [lambda x, t: net.predict(x, train_flg=True)]:
        with pytest.raises(ValueError, match="two rows or more"):
            call(x, t)
    assert_same(snapshot(net), before)
    assert_same(net.gradient(X, T), twin.gradient(X, T))
    trainer = Trainer(net, fastnn.get_opt("SGD"), X, T, batch_size=1)
    before = snapshot(net)
    with pytest.raises(ValueError, match="two rows or more"):
        trainer.step()
    assert_same(snapshot(net), before)
    assert trainer.losses == []


def test_an_activation_layer_tells_an_overwritten_input():
    x, grad = np.random.default_rng(0).standard_normal((2, 4, 3))
    for name, told in (("Mish", True), ("tanh", False), ("relu", False)):      # the latter two know f' from y
        layer, mine = Activation(name), x.copy()
        layer.forward(mine, out=mine)
        for backward in (layer.backward, layer.backward_with_bias):
            if told:
                with pytest.raises(ValueError, match="y lies in the memory of x"):
                    backward(grad)
            else:
                got = backward(grad)
                np.testing.assert_array_equal(got[0] if isinstance(got, tuple) else got,
                                              layer.activation.backward(y=layer.activation.forward(x), grad=grad))


class OldBackward(type(fastnn.get_act("tanh"))):
    """Somebody's subclass, whose `backward` is handed x."""

    def backward(self, x, y=None, grad=None, out=None):
        return super().backward(x, grad=2 * grad, out=out)


def test_a_subclass_is_given_x(batch):
    net, plain = small_net(OldBackward()), small_net("tanh")
    mine, expected = net.gradient(*batch), plain.gradient(*batch)
    np.testing.assert_allclose(mine["W3"], expected["W3"], rtol=1e-12)
    np.testing.assert_allclose(mine["W2"], 2 * expected["W2"], rtol=1e-12)
    np.testing.assert_allclose(mine["b1"], 4 * expected["b1"], rtol=1e-12)


def test_batch_normalization_takes_running_values():
    mean, var = np.array([1.0]), np.array([4.0])
    layer = BatchNormalization(np.array([2.0]), np.array([0.5]), running_mean=mean, running_var=var)
    np.testing.assert_allclose(layer.forward(np.array([[5.0]]), train_flg=False), [[4.5]], rtol=1e-6)
    layer.forward(np.array([[5.0], [7.0]]))
    assert mean == 1 and var == 4       # the caller's arrays


@pytest.mark.parametrize("value", [0, 1e-20, 1000.1, 1e4])
def test_batch_normalization_of_a_constant_feature(value):
    one = np.ones(3, np.float32)
    layer = BatchNormalization(one, np.zeros_like(one))
    y = layer.forward(np.full((128, 3), value, np.float32))
    # What is left of the feature is the rounding of its mean, 128 additions, over sqrt(1e-6).
    assert np.abs(y).max() <= min(1, 1e3 * 128 * value * np.finfo(np.float32).eps)
    assert np.isfinite(layer.backward(np.ones((128, 3), np.float32))).all()


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
def test_momentum_of_batch_normalization(momentum):
    with pytest.raises(ValueError, match="momentum must lie between 0 and 1"):
        BatchNormalization(np.ones(1), np.zeros(1), momentum=momentum)


@pytest.mark.parametrize("labels", [np.array([2, 0]), np.array([[0.0, 0, 1], [1, 0, 0]])],
                         ids=["integers", "one-hot"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_with_loss_in_numbers(labels, dtype):
    layer = SoftmaxWithLoss()
    loss = layer.forward(np.log(np.array([[1, 2, 5], [3, 3, 2]], dtype)), labels)
    assert loss == pytest.approx(-(np.log(5 / 8) + np.log(3 / 8)) / 2, rel=1e-6)
    expected = np.array([[1, 2, 5 - 8], [3 - 8, 3, 2]]) / 16
    for _ in range(2):
        dx = layer.backward()
        assert dx.dtype == dtype
        np.testing.assert_allclose(dx, expected, rtol=1e-6)


@pytest.mark.parametrize("make, arguments", [
    (Affine, (np.ones((2, 2)), np.ones(2))), (Activation, ("tanh",)), (Dropout, ()),
    (BatchNormalization, (np.ones(2), np.zeros(2))),
])
def test_backward_needs_a_forward_pass(make, arguments):
    layer, x = make(*arguments), np.ones((3, 2))
    layer.forward(x, train_flg=False)
    with pytest.raises(RuntimeError, match=f"{make.__name__}.backward needs a forward pass"):
        layer.backward(x)
    layer.forward(x)
    assert layer.backward(x).shape == x.shape


def test_activations_that_make_no_layer():
    with pytest.raises(ValueError, match="Unknown activator"):
        Activation("rleu")
    with pytest.raises(TypeError, match="maxout.* has weights of its own"):
        Activation(fastnn.get_act("maxout", 5, 4, 2))


# Training

@pytest.mark.parametrize("activation, options", [
    ("ReLU", {}), ("tanh", {"weight_decay_lambda": 1e-4}), ("Mish", {"use_batchnorm": True}),
    ("ELU", {"use_dropout": True, "dropout_ration": 0.1}),
])
def test_digits_are_learned(activation, options):
    (x_train, t_train), (x_test, t_test) = load_digits()
    net = MultiLayerNet(64, [50, 50], 10, activation, dtype=np.float32, rng=0, **options)
    assert net.accuracy(x_test, t_test) < 0.3
    trainer = Trainer(net, fastnn.get_opt("Adam"), x_train, t_train, rng=0)
    trainer.train(400)
    assert net.accuracy(x_test, t_test) > 0.9
    assert np.mean(trainer.losses[-50:]) < 0.3 < trainer.losses[0]


class Recorder:
    """An optimizer that changes nothing and keeps what it was given."""

    def __init__(self):
        self.grads = []

    def update(self, params, grads):
        self.grads.append(grads)


def test_trainer_draws_the_same_batches_for_every_optimizer(batch):
    recorders = [Recorder(), Recorder()]
    trainers = [Trainer(small_net(), recorder, *batch, batch_size=4, rng=5) for recorder in recorders]
    for trainer in trainers:
        trainer.train(3)
    assert trainers[0].losses == trainers[1].losses and len(set(trainers[0].losses)) == 3
    rows = np.random.default_rng(5).choice(ROWS, 4)
    expected = small_net().gradient(batch[0][rows], batch[1][rows])
    for recorder in recorders:
        assert_same(recorder.grads[0], expected)


def test_trainer_gives_eve_the_loss(batch):
    net, reference, eve = small_net(), small_net(), fastnn.get_opt("Eve")
    trainer = Trainer(net, fastnn.get_opt("Eve"), *batch, batch_size=4, rng=0)
    trainer.train(3)
    draw = np.random.default_rng(0)
    for _ in range(3):
        rows = draw.choice(ROWS, 4)
        loss, grads = reference.loss_and_gradient(batch[0][rows], batch[1][rows])
        eve.update(reference.params, grads, f=loss)
    assert_same(net.params, reference.params)
    assert eve.state_dict()["by_key"]["W1"]["scalars"]["D"] != 1       # the losses made a difference


@pytest.mark.parametrize("name", fastnn.optimizers())
def test_trainer_drives_every_optimizer(name, batch):
    net = small_net(dtype=np.float32, use_batchnorm=True)
    before = copy.deepcopy(net.params)
    Trainer(net, fastnn.get_opt(name), *batch, rng=0).train(2)
    for key, p in net.params.items():
        assert p.dtype == np.float32 and np.isfinite(p).all()
        if key not in ("b1", "b2"):     # batch normalization takes these out
            assert not np.array_equal(p, before[key]), key


def test_trainer_keeps_times_and_reports_progress(batch):
    seen = []
    trainer = Trainer(small_net(), fastnn.get_opt("SGD"), *batch, batch_size=2, rng=0)
    trainer.train(4, seen.append)
    assert seen == trainer.losses and len(seen) == 4
    assert len(trainer.step_seconds) == len(trainer.update_seconds) == 4
    assert all(0 < u < s for u, s in zip(trainer.update_seconds, trainer.step_seconds))
    assert not trainer.diverged


def test_trainer_stops_when_the_loss_diverges(batch):
    net = small_net("identity")
    trainer = Trainer(net, fastnn.get_opt("SGD", lr=1e200), *batch, rng=0)
    trainer.train(50)
    assert trainer.diverged and len(trainer.losses) < 50
    assert np.isfinite(trainer.losses[:-1]).all() and not np.isfinite(trainer.losses[-1])
    assert len(trainer.update_seconds) == len(trainer.losses) - 1       # no update by a loss of infinity


@pytest.mark.parametrize("arguments, message", [
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"x": X[:3]}, "3 rows and 4 labels"),
    ({"x": X[:0], "t": T[:0]}, "0 rows and 0 labels"),
])
def test_impossible_training(arguments, message):
    with pytest.raises(ValueError, match=message):
        Trainer(small_net(), fastnn.get_opt("SGD"), **{"x": X, "t": T, **arguments})


# Decay in training

def digits_trainer(opt, decay=True, on_nonfinite="raise", transform=None, dtype=np.float32, seed=0, **options):
    (x, t), _ = load_digits()
    if decay:
        options = {"weight_decay_lambda": 1e-2, "weight_decay_l1": 1e-3, **options}
    net = MultiLayerNet(64, [20], 10, "tanh", dtype=dtype, rng=seed, **options)
    return Trainer(net, opt, x, t, 50, seed + 1, on_nonfinite, transform)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("l2", "l1"), [(1e-2, 0), (0, 1e-3), (1e-2, 1e-3)])
def test_decay_is_that_of_the_optimizers_options(l2, l1, dtype):
    """They run the same loop, from which Adam gets the same bits."""
    of_net = digits_trainer(fastnn.get_opt("Adam"), weight_decay_lambda=l2, weight_decay_l1=l1, dtype=dtype)
    of_opt = digits_trainer(fastnn.get_opt("Adam", groups=[group("W*", l2=l2, l1=l1)]), decay=False, dtype=dtype)
    of_net.train(5)
    of_opt.train(5)
    assert_same(of_net.network.params, of_opt.network.params)
    assert of_net.losses[0] > of_opt.losses[0]


@pytest.mark.parametrize("option", ["clip_norm", "clip_global_norm"])
def test_decay_is_clipped_with_the_gradient(option):
    one = digits_trainer(fastnn.get_opt("SGD", lr=1, **{option: 1e-3}), dtype=np.float64, weight_decay_lambda=1)
    before, reference = copy.deepcopy(one.network.params), copy.deepcopy(one)
    one.step()
    rows = reference.rng.choice(len(one.x), 50)
    grads = reference.network.gradient(one.x[rows], one.t[rows])
    norms = {key: np.linalg.norm(g) for key, g in grads.items()}
    if option == "clip_global_norm":
        norms = dict.fromkeys(norms, math.hypot(*norms.values()))
    for key, g in grads.items():
        np.testing.assert_allclose(one.network.params[key], before[key] - g * min(1, 1e-3 / norms[key]), rtol=1e-12,
                                   atol=1e-18)


def test_decay_is_taken_where_the_optimizer_looks():
    one = digits_trainer(fastnn.get_opt("NAG", lr=0.1), dtype=np.float64)
    twin, delta = copy.deepcopy(one), {key: 0.0 for key in one.network.params}
    net = twin.network
    one.train(4)
    for _ in range(4):
        rows, params = twin.rng.choice(len(one.x), 50), net.params
        net.params = {key: p + 0.9 * delta[key] for key, p in params.items()}
        grads = net.gradient(one.x[rows], one.t[rows])
        delta = {key: 0.9 * delta[key] - 0.1 * 0.1 * g for key, g in grads.items()}
        net.params = {key: p + delta[key] for key, p in params.items()}
    for key, p in net.params.items():
        np.testing.assert_allclose(one.network.params[key], p, rtol=1e-10)


def test_every_optimizer_is_given_the_gradient_of_the_loss(batch):
    recorder, net = Recorder(), small_net(weight_decay_lambda=0.1, weight_decay_l1=0.01)
    Trainer(net, recorder, *batch, batch_size=4, rng=5).step()
    rows = np.random.default_rng(5).choice(ROWS, 4)
    assert_same(recorder.grads[0], net.gradient(batch[0][rows], batch[1][rows]))


def test_decay_of_weights_of_any_layout(batch):
    net = small_net(weight_decay_lambda=0.1, weight_decay_l1=0.01)
    expected = net.gradient(*batch)
    net.params["W1"] = np.asfortranarray(net.params["W1"])
    net.params["W2"] = np.repeat(net.params["W2"], 2, axis=1)[:, ::2]
    for key, g in net.gradient(*batch).items():
        np.testing.assert_allclose(g, expected[key], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n", [0, 5, 3000, 100_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_pass_that_adds_decay(n, dtype):
    rng = np.random.default_rng(0)
    grad, weights = rng.standard_normal((2, n)).astype(dtype)
    weights[::7] = 0
    for l2, l1 in ((0.3, 0), (0, 0.2), (0.3, 0.2)):
        got, expected = grad.copy(), grad.copy()
        add_decay(got, weights, l2, l1)
        if l2:
            expected += l2 * weights
        if l1:
            expected += l1 * np.sign(weights)
        np.testing.assert_array_equal(got, expected)


def test_the_pass_that_adds_decay_refuses():
    a, read_only = np.ones((2, 4)), np.ones((2, 4))
    read_only.flags.writeable = False
    for grad in (a.astype(np.float32), a[:, ::2], read_only, [1.0], np.asfortranarray(a)):
        with pytest.raises(TypeError, match="must be contiguous arrays"):
            add_decay(grad, np.ones((2, 4)), 1, 0)
    with pytest.raises(ValueError, match=r"one shape, not \(2, 4\) and \(4, 2\)"):
        add_decay(a, np.ones((4, 2)), 1, 0)
    assert (a == 1).all()


# The seam between gradients and update

def test_transform_sees_gradients_and_loss():
    seen = []
    one = digits_trainer(fastnn.get_opt("Adam"), transform=lambda grads, loss: seen.append((loss, grads)))
    twin = digits_trainer(fastnn.get_opt("Adam"))
    for _ in range(3):
        before = copy.deepcopy(twin.network.params)
        one.step(), twin.step()
        loss, grads = seen[-1]
        assert loss == one.losses[-1] == twin.losses[-1] and grads.keys() == before.keys()
    assert_same(one.network.params, twin.network.params)
    assert len({id(g) for _, grads in seen for g in grads.values()}) == 3 * 4      # they may be kept


@pytest.mark.parametrize("in_place", [True, False])
def test_transform_changes_gradients(in_place):
    def halve(grads, loss):
        if not in_place:
            return {key: g * 0.5 for key, g in grads.items()}
        for g in grads.values():
            g *= 0.5

    one, twin = digits_trainer(fastnn.get_opt("SGD"), transform=halve), digits_trainer(
        fastnn.get_opt("SGD", grad_scale=0.5))
    one.train(3)
    twin.train(3)
    assert one.losses == twin.losses
    assert_same(one.network.params, twin.network.params)


def test_gradients_are_accumulated():
    """Steps with gradients of None are none: four batches of 50 make one update."""
    kept = []

    def accumulate(grads, loss):
        kept.append(grads)
        if len(kept) < 4:
            return dict.fromkeys(grads)
        mean = {key: sum(each[key] for each in kept) / 4 for key in grads}
        kept.clear()
        return mean

    one = digits_trainer(fastnn.get_opt("Adam"), transform=accumulate, dtype=np.float64)
    net, opt, rng = copy.deepcopy(one.network), fastnn.get_opt("Adam"), copy.deepcopy(one.rng)
    one.train(8)
    for _ in range(2):
        rows = np.concatenate([rng.choice(len(one.x), 50) for _ in range(4)])
        opt.step(net.params, net.gradient(one.x[rows], one.t[rows]))
    assert one.optimizer.t == 2 and len(one.losses) == 8
    for key, p in net.params.items():
        np.testing.assert_allclose(one.network.params[key], p, rtol=1e-6, atol=1e-9)


def everything(trainer):
    net = trainer.network
    return pickle.dumps((net.params, snapshot(net), trainer.optimizer.state_dict(), trainer.losses, trainer.nonfinite,
                         trainer.update_seconds))


@pytest.mark.parametrize("fail", [
    lambda grads, loss: 1 / 0, lambda grads, loss: [1.0], lambda grads, loss: {"W1": grads["W1"]},
    lambda grads, loss: {**grads, "b2": grads["b1"]}, lambda grads: None,
], ids=range(5))
def test_a_transform_that_fails_changes_nothing(fail):
    one = digits_trainer(fastnn.get_opt("Adam"), use_batchnorm=True)
    one.train(2)
    one.transform, before = fail, everything(one)
    with pytest.raises((ZeroDivisionError, TypeError, KeyError, ValueError)):
        one.step()
    assert everything(one) == before


@pytest.mark.parametrize(("change", "error", "text"), [
    (lambda g: {"W1": "a"}, TypeError, "the gradient of 'W1' must be an array of real numbers, not 'a'"),
    (lambda g: {"W1": np.full((64, 20), "a")}, TypeError, "the gradient of 'W1' must be an array of real numbers, not a"),
    (lambda g: {"b1": g["b1"] * 1j}, TypeError, "not an array of complex128"),
    (lambda g: {"b2": object()}, TypeError, "the gradient of 'b2' must be an array of real numbers, not <object"),
    (lambda g: {"W2": g["W2"].T}, ValueError, "the gradient of 'W2' has shape (10, 20), the parameter (20, 10)"),
    (lambda g: {"b2": 0.0}, ValueError, "the gradient of 'b2' has shape (), the parameter (10,)"),
    (lambda g: {"b2": [[1.0], [1.0, 2.0]]}, ValueError, "the gradient of 'b2' is no array"),
    (lambda g: {"w1": g["W1"]}, ValueError, "there is no parameter 'w1' (did you mean W1"),
    (lambda g: {0: g["W1"]}, ValueError, "there is no parameter 0"),
], ids=range(9))
@pytest.mark.parametrize("in_place", [True, False])
def test_errors_of_a_transform_name_the_parameter(change, error, text, in_place):
    one = digits_trainer(fastnn.get_opt("Adam"), dtype=np.float64)
    one.train(1)
    before = everything(one)
    one.transform = lambda g, loss: g.update(change(g)) if in_place else {**g, **change(g)}
    with pytest.raises(error, match=re.escape(text)) as caught:
        one.step()
    assert str(caught.value).startswith("transform: ") and everything(one) == before


@pytest.mark.parametrize("transform", [lambda g, loss: g.pop("b2").fill(0), lambda g, loss: {
    "W1": g["W1"], "b1": None, "W2": g["W2"]}], ids=["in place", "returned"])
def test_a_transform_that_leaves_a_gradient_out(transform):
    one = digits_trainer(fastnn.get_opt("Adam"), transform=transform)
    with pytest.raises(KeyError, match="transform: no gradient for parameter 'b2'; None leaves"):
        one.step()


def test_a_transform_may_return_other_real_numbers():
    """Lists, integers and half precision, as `step` takes them."""
    one = digits_trainer(fastnn.get_opt("SGD", lr=1.0), dtype=np.float64)
    before = copy.deepcopy(one.network.params)
    one.transform = lambda g, loss: {"W1": None, "b1": np.ones(len(g["b1"]), np.int8), "W2": np.full_like(g["W2"], 0.5,
                                     dtype=np.float16), "b2": [2.0] * len(g["b2"])}
    one.step()
    steps = {"W1": 0, "b1": 1, "W2": 0.5, "b2": 2}
    assert_same({key: p - steps[key] for key, p in before.items()}, one.network.params)


def test_transform_must_be_a_function():
    with pytest.raises(TypeError, match="transform must be a function of"):
        digits_trainer(fastnn.get_opt("Adam"), transform=1.0)


def spoil(value):
    def transform(grads, loss):
        grads["W2"][...] = value
    return transform


# Elements of 1.7e308 are finite, their norm is not.
@pytest.mark.parametrize(("value", "place"), [(np.nan, "transformed gradient"), (1.7e308, "norm of the gradients")])
@pytest.mark.parametrize("reaction", ["stop", "skip", "raise"])
def test_what_is_not_finite_behind_the_seam_is_said_once(reaction, value, place):
    opt = fastnn.get_opt("Adam", clip_global_norm=1.0)
    one = digits_trainer(opt, on_nonfinite=reaction, use_batchnorm=True, dtype=np.float64)
    one.train(2)
    params, before = copy.deepcopy(one.network.params), snapshot(one.network)
    one.transform = spoil(value)
    if reaction == "raise":
        words = {"transformed gradient": "a gradient is infinite or NaN behind `transform`, and was finite before",
                 "norm of the gradients": "a norm that clips gradients is infinite or NaN; the optimizer skipped the "
                                          "step"}
        with pytest.raises(FloatingPointError, match=f"^step 3: {words[place]}$"):
            one.step()
    else:
        one.train(2)
    assert [tuple(found)[2:] for found in one.nonfinite] == [(None, place)] * (2 if reaction == "skip" else 1)
    assert one.diverged and len(one.losses) == (4 if reaction == "skip" else 3) and len(one.update_seconds) == 2
    assert_same(snapshot(one.network), before)
    assert_same(one.network.params, params)
    assert opt.t == 2 and opt.skipped == (0 if np.isnan(value) else len(one.nonfinite))
    other = digits_trainer(fastnn.get_opt("Adam", clip_global_norm=1.0), use_batchnorm=True, dtype=np.float64, seed=3)
    other.load_state_dict(one.state_dict())
    assert str(other.nonfinite) == str(one.nonfinite) and other.optimizer.skipped == opt.skipped
    one.transform = None
    one.step()
    assert not one.diverged and opt.t == 3


def test_without_a_trainer_a_skipped_step_warns():
    opt = fastnn.get_opt("Adam", clip_norm=1.0)
    with pytest.warns(RuntimeWarning, match="skipped"):
        opt.step({"w": np.ones(2)}, {"w": np.full(2, 1.7e308)})


# Optimizers with schedules and groups; states

def with_options():
    return fastnn.get_opt("Adam", lr=schedules.cosine(3e-2, 60, warmup=10), clip_global_norm=1.0, weight_decay=1e-3,
                          groups=[group("b[0-9]", "beta*", weight_decay=0, lr=schedules.linear(1e-2, 60)),
                                  group("gamma*", freeze=True), group("W1", l2=1e-4)])


def test_schedules_and_groups_learn_digits_and_go_on_from_a_state():
    whole = digits_trainer(with_options(), use_batchnorm=True, weight_decay_lambda=1e-4, weight_decay_l1=0)
    whole.train(30)
    state = whole.state_dict()
    parts = digits_trainer(with_options(), use_batchnorm=True, seed=5)
    parts.load_state_dict(state)
    for trainer in (whole, parts):
        trainer.train(30)
    assert_same(parts.network.params, whole.network.params)
    assert parts.losses == whole.losses and (whole.network.params["gamma1"] == 1).all()
    assert whole.network.accuracy(*load_digits()[1]) > 0.85


def test_a_schedule_that_fails_changes_nothing():
    one = digits_trainer(fastnn.get_opt("Adam", lr=lambda t: 0.01 if t < 3 else math.nan), use_batchnorm=True)
    one.train(2)
    before = everything(one)
    with pytest.raises(ValueError, match="nan"):
        one.step()
    assert everything(one) == before


def restored_arrays(saved):
    """What tests/trainer_format_1.json holds: arrays are {"array": nested lists, "dtype": name}."""
    if isinstance(saved, dict):
        if saved.keys() == {"array", "dtype"}:
            return np.array(saved["array"], saved["dtype"])
        return {key: restored_arrays(value) for key, value in saved.items()}
    return saved


def forward_of_version_0(self, x, train_flg=True):
    """Dropout whose masks are the generator's own numbers, as all were until they got a stream of theirs."""
    if train_flg:
        self._kept = self.rng.random(x.shape) > self.dropout_ratio
    return x * (self.mask if train_flg else 1 - self.dropout_ratio)


def test_a_state_from_before_parameters_had_counts_of_their_own():
    """The file was written by the version before, after 5 steps of this training; "after" is what 4 more steps gave."""
    saved = restored_arrays(json.loads(Path(__file__).with_name("trainer_format_1.json").read_text(encoding="utf-8")))
    x, t = np.random.RandomState(0).standard_normal((32, 3)), np.random.RandomState(1).randint(0, 3, 32)
    net = MultiLayerNet(3, [4], 3, "tanh", use_batchnorm=True, use_dropout=True, rng=8)
    layer, old = net.layers["Dropout1"], type("Dropout", (Dropout,), {"forward": forward_of_version_0})
    net.layers["Dropout1"] = old(layer.dropout_ratio, layer.rng)
    one = Trainer(net, fastnn.get_opt("Adam", like="article"), x, t, 8, 9, "skip")
    assert saved["state"]["optimizer"]["format"] == 1
    one.load_state_dict(saved["state"])
    assert (one.optimizer.t, one.optimizer.lr, net.weight_decay_lambda, net.weight_decay_l1) == (5, 0.01, 1e-2, 1e-3)
    one.train(4)
    after = saved["after"]
    np.testing.assert_allclose(one.losses, after.pop("losses"), rtol=1e-12)
    for key, p in after.items():
        np.testing.assert_allclose(net.params[key], p, rtol=1e-9, atol=1e-9, err_msg=key)
