"""What stands between the Affine layers of a network: learned and gated activations, normalizations, dropout; and the
conventions of the book, torch and others."""
import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import StateError, get_act
from fastnn.core.dropout import drop, masked
from fastnn.nn import Activation, BatchNormalization, Dropout, LayerNorm, MultiLayerNet, RMSNorm, Trainer, minimize

ROWS = 9
X = np.random.default_rng(0).standard_normal((ROWS, 5))
T = np.random.default_rng(1).integers(0, 3, ROWS)
LEARNED = fastnn.activations("learnable")
FORMS = [get_act("Swish", learn="beta"), get_act("ELU", learn="alpha"), get_act("ACON-C", learn=("p1", "p2", "beta"))]
GATED = fastnn.activations("gated")
NORMS = [None, "batch", "layer", "rms"]


def made(activation="tanh", hidden=(4, 6), **options):
    net = MultiLayerNet(5, list(hidden), 3, activation, **{"rng": 1, **options})
    rng = np.random.default_rng(2)
    for key, p in net.params.items():
        if not key.startswith("W"):
            p += (0.3 * rng.standard_normal(p.shape)).astype(p.dtype)
    return net


def assert_right(net):
    grads, numerical = net.gradient(X, T), net.numerical_gradient(X, T)
    assert grads.keys() == numerical.keys() == net.params.keys()
    for key, g in grads.items():
        assert g.shape == net.params[key].shape
        assert np.abs(g - numerical[key]).max() <= 2e-6 * max(np.abs(numerical[key]).max(), 1e-4), key


@pytest.mark.parametrize("dropout", [None, False, True], ids=["", "dropout", "inverted dropout"])
@pytest.mark.parametrize("normalization", NORMS)
@pytest.mark.parametrize("activation", [*LEARNED, *FORMS, *GATED, "RReLU"], ids=str)
def test_gradients_are_right(activation, normalization, dropout):
    assert_right(made(activation, normalization=normalization, use_dropout=dropout is not None,
                      inverted_dropout=bool(dropout)))


@pytest.mark.parametrize("activation", [get_act("PReLU", channels=4), get_act("SwiGLU", gate_half="first"),
                                        ["PReLU", "GLU"], ["GEGLU", "PReLU"], ("tanh", "ReLU")])
def test_one_activation_a_layer(activation):
    net = made(activation, (4, 4))
    assert_right(net)
    if isinstance(activation, tuple):
        assert [layer.activation.name for name, layer in net.layers.items() if "Act" in name] == ["tanh", "ReLU"]


def test_a_gated_unit_has_two_columns_of_w_for_one_neuron():
    net = made("SwiGLU", use_batchnorm=True)
    assert [net.params[f"W{i}"].shape for i in (1, 2, 3)] == [(5, 8), (4, 12), (6, 3)]
    assert net.params["gamma1"].shape == (8,)
    y = X @ net.params["W1"] + net.params["b1"]
    y = net.params["gamma1"] * y / np.sqrt(1 + 1e-6) + net.params["beta1"]
    a, b = y[:, :4], y[:, 4:]
    hidden = a * b / (1 + np.exp(-b))
    np.testing.assert_allclose(net.layers["Activation_function1"].forward(y), hidden, rtol=1e-12)
    for name in ("Affine1", "BatchNorm1", "Activation_function1"):
        got = net.layers[name].forward(X if name == "Affine1" else got, False)
    np.testing.assert_allclose(got, hidden, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [*map(get_act, LEARNED), *FORMS], ids=str)
def test_what_is_learned_is_a_parameter(activation, dtype):
    net = made(activation, dtype=dtype)
    keys = [key for key in net.params if key.startswith("act_")]
    names = activation.learned
    assert keys == [f"act_{name}{i}" for i in (1, 2) for name in names]
    assert all(net.params[key].dtype == dtype for key in keys)
    before = {key: net.params[key].copy() for key in keys}
    trainer = Trainer(net, fastnn.get_opt("Adam"), X, T, 5, rng=0)
    trainer.train(3)
    assert all((net.params[key] != before[key]).all() for key in keys)
    twin = made(activation, dtype=dtype)
    other = Trainer(twin, fastnn.get_opt("Adam"), X, T, 5, rng=5)
    other.load_state_dict(trainer.state_dict())
    for one in (trainer, other):
        one.train(2)
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert again.loss(X, T) == net.loss(X, T) == twin.loss(X, T)
        again.params[keys[0]][...] += 1
        assert again.loss(X, T) != net.loss(X, T)
        again.params[keys[0]] = net.params[keys[0]].copy()
        assert again.loss(X, T) == net.loss(X, T)


def test_a_random_activation_draws_in_training_alone():
    act = get_act("RReLU", rng=0)
    net = made(act, use_dropout=True)
    assert net.loss(X, T) == net.loss(X, T) and net.loss(X, T, train_flg=True) != net.loss(X, T, train_flg=True)
    assert act._kept is None and all(layer.rng is net.rng for layer in net.layers.values() if hasattr(layer, "frozen")
                                     and getattr(layer, "random", True))
    trainer = Trainer(net, fastnn.SAM(fastnn.get_opt("Adam")), X, T, 5, rng=3)
    trainer.train(3)
    twin = Trainer(made("RReLU", use_dropout=True, rng=7), fastnn.SAM(fastnn.get_opt("Adam")), X, T, 5, rng=4)
    twin.load_state_dict(trainer.state_dict())
    for one in (trainer, twin):
        one.train(3)
    assert trainer.losses == twin.losses
    with pytest.raises(ValueError, match="draws random numbers"):
        minimize(made("RReLU"), X, T)


def test_an_activation_that_is_given_stays_the_users():
    act = get_act("PReLU", channels=4)
    net = made(act, (4, 4))
    net.params["act_alpha1"][...] = 7
    net.gradient(X, T)
    assert (act.alpha == 0.25).all() and act.dalpha is None and (net.params["act_alpha2"] != 7).all()


@pytest.fixture
def registered():
    """A user's activation, one that learns, and a loss."""
    pytest.importorskip("numba")
    fastnn.register_act("soft-of-a-user", lambda x: x / (1 + abs(x)) + 0.1 * x)
    fastnn.register_act("learned-of-a-user", lambda x, b: x / (1 + abs(b * x)), learn=("b",), b=1.0)
    fastnn.register_loss("loss-of-a-user", lambda y, t, w: w * (y - t)**2, w=2.0)
    yield
    for name in ("soft-of-a-user", "learned-of-a-user", "loss-of-a-user"):
        fastnn.unregister(name)


def test_what_users_register(registered):
    net = made(["soft-of-a-user", "learned-of-a-user"], loss="loss-of-a-user")
    t = np.cos(X[:, :3])
    grads, numerical = net.gradient(X, t), net.numerical_gradient(X, t)
    assert "act_b2" in grads and net.loss(X, t) == pytest.approx(2 * np.mean((net.predict(X) - t)**2))
    for key, g in grads.items():
        np.testing.assert_allclose(g, numerical[key], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("activation, message", [
    (get_act("PReLU", channels=3), "channels"), (["tanh"], "1 entries for 2 hidden layers"),
    (get_act("SwiGLU", axis=0), "keeps the rows"),
])
def test_activations_that_do_not_fit(activation, message):
    with pytest.raises(ValueError, match=message):
        MultiLayerNet(5, [4, 6], 3, activation)


@pytest.mark.parametrize("value", [None, 3, type(get_act("tanh"))])
def test_what_is_no_activation(value):
    with pytest.raises(TypeError, match="an activation is a name, or what get_act returned"):
        Activation(value)


# Normalizations

@pytest.mark.parametrize("normalization, cls", [("batch", BatchNormalization), ("layer", LayerNorm), ("rms", RMSNorm)])
def test_normalizations_and_their_arguments(normalization, cls):
    net = made(normalization=normalization, normalization_args={"eps": 0.25})
    layers = [layer for layer in net.layers.values() if type(layer) is cls]
    assert len(layers) == 2 and all(layer.eps == 0.25 for layer in layers)
    assert ("beta1" in net.params) == (normalization != "rms") and "gamma2" in net.params
    twin = made(normalization=normalization, normalization_args={"eps": 0.25}, rng=9)
    twin.load_state_dict(net.state_dict())
    assert twin.loss(X, T) == net.loss(X, T)


def test_batch_is_use_batchnorm():
    one, other = made(use_batchnorm=True), made(normalization="batch")
    assert one.loss(X, T, train_flg=True) == other.loss(X, T, train_flg=True)
    assert list(one.layers) == list(other.layers)


@pytest.mark.parametrize("options, message", [
    ({"normalization": "bach"}, "None, 'batch', 'layer' or 'rms', not 'bach'"),
    ({"normalization": "layer", "use_batchnorm": True}, "two normalizations"),
    ({"normalization_args": {"eps": 1}}, "those of a normalization"),
    ({"normalization": "batch", "normalization_args": {"eps": -1}}, "eps must be finite and not negative"),
    ({"normalization": "batch", "normalization_args": {"like": "tf"}}, "like must be None or one of dlfs, torch"),
])
def test_normalizations_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        made(**options)


class Book:
    """BatchNormalization of "Deep Learning from Scratch", common/layers.py, forward and backward."""

    def __init__(self, gamma, beta, momentum=0.9):
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean = self.running_var = 0.0

    def forward(self, x, train):
        if not train:
            return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + 10e-7) + self.beta
        mu = x.mean(axis=0)
        self.xc = x - mu
        var = np.mean(self.xc**2, axis=0)
        self.std = np.sqrt(var + 10e-7)
        self.xn = self.xc / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        n = len(dout)
        self.dbeta, self.dgamma = dout.sum(axis=0), np.sum(self.xn * dout, axis=0)
        dxn = self.gamma * dout
        dxc = dxn / self.std
        dstd = -np.sum(dxn * self.xc / self.std**2, axis=0)
        dxc += 2 / n * self.xc * 0.5 * dstd / self.std
        return dxc - dxc.sum(axis=0) / n


def test_batch_normalization_is_the_books():
    gamma, beta = np.array([1.0, -2, 0.5, 3, 1]), np.arange(5.0)
    mine, book = BatchNormalization(gamma, beta, like="dlfs"), Book(gamma, beta)
    for shift in range(3):
        x, dout = X + shift, np.cos(X * 3)
        np.testing.assert_allclose(mine.forward(x), book.forward(x, True), rtol=1e-12)
        np.testing.assert_allclose(mine.backward(dout), book.backward(dout), rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(mine.dgamma, book.dgamma, rtol=1e-11)
        np.testing.assert_allclose(mine.dbeta, book.dbeta, rtol=1e-12)
        np.testing.assert_allclose(mine.running_var, book.running_var, rtol=1e-12)
        np.testing.assert_allclose(mine.forward(x, False), book.forward(x, False), rtol=1e-12)


@pytest.mark.parametrize("momentum", [None, 0.3])
def test_batch_normalization_is_torchs(momentum):
    torch = pytest.importorskip("torch")
    given = {} if momentum is None else {"momentum": momentum}
    mine, theirs = BatchNormalization(np.ones(5), np.zeros(5), like="torch", **given), torch.nn.BatchNorm1d(
        5, dtype=torch.float64, **given)
    for shift in range(3):
        x = torch.tensor(X + shift, requires_grad=True)
        y = theirs.train()(x)
        np.testing.assert_allclose(mine.forward(X + shift), y.detach().numpy(), rtol=1e-11)
        y.backward(torch.tensor(np.cos(3 * X)))
        np.testing.assert_allclose(mine.backward(np.cos(3 * X)), x.grad.numpy(), rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(mine.running_mean, theirs.running_mean.numpy(), rtol=1e-13)
        np.testing.assert_allclose(mine.running_var, theirs.running_var.numpy(), rtol=1e-13)
        np.testing.assert_allclose(mine.forward(X, False), theirs.eval()(torch.tensor(X)).detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("like, kept, eps, widened, first", [
    (None, 0.9, 1e-6, 1, 1), ("dlfs", 0.9, 1e-6, 1, 0), ("torch", 0.9, 1e-5, ROWS / (ROWS - 1), 1),
    ("keras", 0.99, 1e-3, 1, 1), ("chainer", 0.9, 2e-5, ROWS / (ROWS - 1), 1)])
def test_running_values_by_convention(like, kept, eps, widened, first):
    layer = BatchNormalization(np.ones(5), np.zeros(5), like=like)
    y = layer.forward(X)
    np.testing.assert_allclose(y, (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + eps), rtol=1e-12)
    np.testing.assert_allclose(layer.running_mean, (1 - kept) * X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, kept * first + (1 - kept) * widened * X.var(axis=0), rtol=1e-12)


def test_conventions_are_part_of_the_state():
    net = made(use_batchnorm=True, use_dropout=True, inverted_dropout=True, normalization_args={"like": "torch"})
    net.gradient(X, T)
    state = net.state_dict()
    twin = made(use_batchnorm=True, use_dropout=True, inverted_dropout=True, normalization_args={"like": "torch"})
    twin.load_state_dict(state)
    assert twin.loss(X, T) == net.loss(X, T) and twin.loss(X, T, train_flg=True) == net.loss(X, T, train_flg=True)
    for other in ({"inverted_dropout": False}, {"normalization_args": None}, {"normalization_args": {"like": "chainer"}}):
        options = {"use_batchnorm": True, "use_dropout": True, "inverted_dropout": True,
                   "normalization_args": {"like": "torch"}, **other}
        with pytest.raises(StateError, match="BatchNorm1|Dropout1"):
            made(**options).load_state_dict(state)


# Dropout

@pytest.mark.parametrize("n", [7, 2000, 5000, 70001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverted_dropout_scales_what_is_left(n, dtype):
    x = np.random.default_rng(n).standard_normal((1, n)).astype(dtype)
    plain, inverted = Dropout(0.3, rng=4), Dropout(0.3, rng=4, inverted=True)
    factor = dtype(1 / 0.7)
    y = inverted.forward(x)
    np.testing.assert_array_equal(y, plain.forward(x) * factor)
    np.testing.assert_array_equal(inverted.mask, plain.mask)
    np.testing.assert_array_equal(inverted.backward(x), plain.backward(x) * factor)
    np.testing.assert_array_equal(inverted.forward(x, False), x)
    np.testing.assert_allclose(plain.forward(x, False), x * dtype(0.7), rtol=1e-6)      # the book's
    inverted.frozen = True
    np.testing.assert_array_equal(inverted.forward(x), y)
    in_place = x.copy()
    assert inverted.forward(in_place, out=in_place) is in_place
    np.testing.assert_array_equal(in_place, y)


def test_the_factor_of_a_mask():
    x = np.arange(1.0, 9)
    y, mask = drop(x, 0.5, 3, None, 2.0)
    np.testing.assert_array_equal(y, 2 * x * mask)
    np.testing.assert_array_equal(masked(x, mask, None, 4.0), 4 * x * mask)
