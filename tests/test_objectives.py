"""Losses at the end of a network: every one of the catalogue, with the outputs, targets and accuracy that fit it."""
import copy

import numpy as np
import pytest

import fastnn
from fastnn import StateError, get_err
from fastnn.nn import MultiLayerNet, Objective, SoftmaxWithLoss, Trainer, metrics, minimize

ROWS, OUTPUTS = 7, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, 5))
TARGETS = {"classes": RNG.integers(0, OUTPUTS, ROWS), "yes or no": RNG.integers(0, 2, (ROWS, OUTPUTS)),
           "numbers": RNG.uniform(0.1, 2, (ROWS, OUTPUTS)), "distributions": RNG.dirichlet(np.ones(OUTPUTS), ROWS)}
OUTPUT = {"Binary": "sigmoid", "Cross": "softmax", "KL": "log-softmax", "Jensen-Shannon": "softmax", "dice": "sigmoid",
          "Tversky": "sigmoid", "MSLE": "softplus", "NLL": "log-softmax"}
OTHERS = [("Poisson", {"log_input": False}, "softplus"), ("KL", {"log_input": False}, "softmax"),
          ("Huber", {"reduction": "sum"}, None), ("softmax-cross-entropy", {"label_smoothing": 0.1}, None),
          ("softmax-cross-entropy", {"class_weight": (1, 2, 0.5)}, None),
          ("softmax-cross-entropy", {"ignore_label": 0}, None), ("squared-error", {}, "tanh"),
          ("sigmoid-binary-cross-entropy", {"class_weight": (1, 3)}, None)]
SPREAD = ["Gaussian-NLL", "Laplace-NLL"]
APART = ["triplet", "InfoNCE"]              # of other things than outputs and targets
CASES = [(name, {}, OUTPUT.get(name)) for name in fastnn.losses() if name not in SPREAD + APART] + OTHERS


def made(name, options=None, output=None, **others):
    return MultiLayerNet(5, [4, 6], OUTPUTS, "tanh", loss=get_err(name, **(options or {})), output=output, rng=1, **others)


def targets(net):
    return TARGETS[net.objective.task.targets]


@pytest.mark.parametrize("name, options, output", CASES)
def test_gradients_are_those_of_the_loss(name, options, output):
    net = made(name, options, output)
    t = targets(net)
    grads, numerical = net.gradient(X, t), net.numerical_gradient(X, t)
    for key, g in grads.items():
        assert np.abs(g - numerical[key]).max() <= 1e-6 * max(np.abs(numerical[key]).max(), 1e-4), key


@pytest.mark.parametrize("name, options, output", CASES)
def test_the_loss_is_the_catalogues(name, options, output):
    net = made(name, options, output)
    t, y = targets(net), net.predict(X)
    wanted = get_err(name, **options).forward(y, t, reduction=options.get("reduction", "mean"))
    assert net.loss(X, t) == pytest.approx(float(wanted), rel=1e-12)
    again = copy.deepcopy(net)
    single = made(name, options, output, dtype=np.float32)
    assert again.loss(X, t) == net.loss(X, t) and single.loss(X, t) == pytest.approx(net.loss(X, t), rel=1e-4)
    assert all(g.dtype == np.float32 for g in single.gradient(X, t).values())


@pytest.mark.parametrize("output", [None, "sigmoid", "softmax", "log-softmax", "softplus", "exponential", "ReLU", "tanh"])
@pytest.mark.parametrize("name", [name for name in fastnn.losses() if name not in APART])
def test_outputs_of_any_range_train_or_are_refused(name, output):
    """Scores of tens, but for exponentials: what does not fit is refused with what does, all else trains on finite numbers."""
    std = 0.1 if output == "exponential" else 1.5
    try:
        net = MultiLayerNet(5, [8], 4, loss=name, output=output, rng=1, weight_init_std=std)
    except ValueError as error:
        assert f"loss {name!r} takes" in str(error) and "give output=" in str(error)
        assert output != OUTPUT.get(name)
        return
    assert not (output is None and name in OUTPUT)
    x, t = 3 * np.random.default_rng(1).standard_normal((30, 5)), np.random.default_rng(2).integers(0, 2, (30, 4)) / 1.0
    t = {"classes": t.argmax(axis=1), "distributions": (t + 1) / (t + 1).sum(axis=1, keepdims=True)}.get(
        net.objective.task.targets, t[:, :net.objective._columns])
    if output is None:
        assert np.abs(net.predict(x)).max() > 10
    trainer = Trainer(net, fastnn.get_opt("Adam", 0.01), x, t, 30, rng=0)
    trainer.train(100)
    assert not trainer.nonfinite and trainer.losses[-1] <= trainer.losses[0]


@pytest.mark.parametrize("name, output, wrong, message", [
    ("MSLE", "softplus", -1.0, "t must lie above -1 for loss 'MSLE', found -1.0"),
    ("Poisson", None, -0.5, "t must be at least 0 for loss 'Poisson', found -0.5"),
    ("Cross", "softmax", -0.5, "t must be at least 0 for loss 'Cross'"),
    ("KL", "log-softmax", -0.5, "t must be at least 0 for loss 'KL'"),
    ("Jensen-Shannon", "softmax", -0.5, "t must be at least 0 for loss 'Jensen-Shannon'")])
def test_targets_outside_a_losses_domain_are_refused(name, output, wrong, message):
    net = made(name, output=output)
    t = targets(net).copy()
    t[0, 0] = 0
    net.loss(X, t)
    t[0, 0] = wrong
    for call in (net.loss, net.gradient):
        with pytest.raises(ValueError, match=message):
            call(X, t)


@pytest.mark.parametrize("name, like", [("SparseCategoricalCrossentropy", "keras"), ("CategoricalCrossentropy", "keras"),
                                        ("log_loss", "sklearn")])
def test_other_libraries_losses_of_probabilities_are_given_them(name, like):
    loss = get_err(name, like=like)
    with pytest.raises(ValueError, match="takes probabilities.*give output='softmax'"):
        MultiLayerNet(5, [4], 3, loss=loss)
    net, logits = MultiLayerNet(5, [4], 3, loss=loss, output="softmax", rng=0), MultiLayerNet(5, [4], 3, rng=0)
    assert net.loss(X, TARGETS["classes"]) == pytest.approx(logits.loss(X, TARGETS["classes"]), rel=1e-6)


def test_the_default_is_softmax_cross_entropy():
    one = MultiLayerNet(5, [4], 3, rng=0)
    other = MultiLayerNet(5, [4], 3, rng=0, loss=get_err("softmax-cross-entropy"))
    assert type(one.last_layer) is SoftmaxWithLoss and type(other.last_layer) is Objective
    t = TARGETS["classes"]
    assert one.loss(X, t) == pytest.approx(other.loss(X, t), rel=1e-15)
    for key, g in one.gradient(X, t).items():
        np.testing.assert_allclose(other.gradient(X, t)[key], g, rtol=1e-13, atol=1e-17)


def test_a_loss_object_is_not_changed():
    loss = get_err("Huber")
    net = MultiLayerNet(5, [4], 3, loss=loss, rng=0)
    net.gradient(X, TARGETS["numbers"])
    assert loss.error == 0 and net.objective.loss is not loss


def test_regression_learns():
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (400, 2))
    t = np.sin(x[:, 0]) * x[:, 1]
    net = MultiLayerNet(2, [30, 30], 1, "tanh", loss="squared-error", rng=0)
    trainer = Trainer(net, fastnn.get_opt("Adam", 0.01), x, t, 50, rng=0)
    trainer.train(600)
    assert metrics.r2(net.predict(x)[:, 0], t) > 0.97
    with pytest.raises(TypeError, match="no accuracy of numbers.*metrics"):
        net.accuracy(x, t)
    assert minimize(net, x, t, maxiter=30).loss <= trainer.losses[-1] * 1.5


def test_several_labels_learn():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 4))
    t = (x[:, :3] > 0).astype(int)
    net = MultiLayerNet(4, [20], 3, loss="sigmoid-binary-cross-entropy", rng=0, dtype="float32")
    Trainer(net, fastnn.get_opt("Adam", 0.01), x, t, 50, rng=0).train(300)
    assert net.accuracy(x, t) > 0.95
    assert net.accuracy(x, t) == np.mean((net.predict(x) > 0) == t)


def test_two_classes_of_one_output():
    t = np.array([0, 1, 1, 0, 1, 0, 0])
    for loss, output in (("sigmoid-binary-cross-entropy", None), ("hinge", None), ("soft-margin", None), ("Binary", "sigmoid")):
        net = MultiLayerNet(5, [8], 1, loss=loss, output=output, rng=0)
        assert net.loss(X, t) == net.loss(X, t[:, None]) == net.loss(X, t.astype(bool))
        Trainer(net, fastnn.get_opt("Adam", 0.05), X, t, 7, rng=0).train(100)
        assert net.accuracy(X, t) == 1
    net = MultiLayerNet(5, [8], 1, loss="hinge", rng=0)
    assert net.loss(X, t) == net.loss(X, 2 * t - 1) and net.accuracy(X, t) == net.accuracy(X, 2 * t - 1)


def test_counts_learn_rates():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (500, 1))
    t = rng.poisson(np.exp(1 + x[:, 0]))
    for loss, output, rate in ((get_err("Poisson"), None, np.exp),
                               (get_err("Poisson", log_input=False), "exponential", lambda y: y)):
        net = MultiLayerNet(1, [], 1, loss=loss, output=output, rng=0)
        Trainer(net, fastnn.get_opt("Adam", 0.05), x, t, 100, rng=0).train(300)
        assert rate(net.predict(np.zeros((1, 1))))[0, 0] == pytest.approx(np.e, rel=0.1)


@pytest.mark.parametrize("name", SPREAD)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_spread_is_learned(name, reduction):
    net = MultiLayerNet(5, [4], 6, "tanh", loss=get_err(name, reduction=reduction), rng=1)
    t, y = TARGETS["numbers"], net.predict(X)
    wanted = get_err(name).forward(y[:, :3], t, np.exp(y[:, 3:]), reduction=reduction)
    assert net.loss(X, t) == pytest.approx(float(wanted), rel=1e-12)
    grads, numerical = net.gradient(X, t), net.numerical_gradient(X, t)
    for key, g in grads.items():
        assert np.abs(g - numerical[key]).max() <= 1e-6 * max(np.abs(numerical[key]).max(), 1e-4), key
    with pytest.raises(ValueError, match="two outputs for each target.*output_size is 3"):
        MultiLayerNet(5, [4], 3, loss=name)


def test_variances_are_found():
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (2000, 1))
    t = rng.normal(2 * x[:, 0], np.exp(x[:, 0]))
    net = MultiLayerNet(1, [], 2, loss="Gaussian-NLL", rng=0)
    Trainer(net, fastnn.get_opt("Adam", 0.02), x, t, 200, rng=0).train(600)
    np.testing.assert_allclose(net.predict(np.array([[-0.5], [0.5]])), [[-1, -1], [1, 1]], atol=0.2)


@pytest.mark.parametrize("name", APART)
def test_losses_of_something_else(name):
    with pytest.raises(TypeError, match="is one of .*, not of a network's outputs and targets"):
        MultiLayerNet(5, [4], 3, loss=name)


def test_labels_of_a_loss_of_distributions():
    net = made("Cross", output="softmax")
    t = TARGETS["classes"]
    assert net.loss(X, t) == net.loss(X, np.eye(OUTPUTS)[t]) and net.accuracy(X, t) == net.accuracy(X, np.eye(OUTPUTS)[t])


@pytest.mark.parametrize(("name", "output"), [
    ("softmax-cross-entropy", None), ("softmax-focal", None), ("sparsemax-loss", None), ("categorical-hinge", None),
    ("NLL", "log-softmax"), ("Cross", "softmax"), ("Jensen-Shannon", "softmax"), ("KL", "log-softmax")])
def test_labels_in_a_column(name, output):
    net, t = made(name, output=output), TARGETS["classes"]
    assert net.loss(X, t[:, None]) == net.loss(X, t) and net.accuracy(X, t[:, None]) == net.accuracy(X, t)
    for key, gradient in net.gradient(X, t[:, None]).items():
        np.testing.assert_array_equal(gradient, net.gradient(X, t)[key])
    with pytest.raises(TypeError, match="labels must be integers"):
        net.loss(X, np.ones((ROWS, 1)))
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2"):
        net.loss(X, t[:, None] + 3)


def test_labels_in_a_column_of_the_layer():
    x, t = np.random.default_rng(0).normal(size=(ROWS, OUTPUTS)), TARGETS["classes"]
    assert SoftmaxWithLoss().forward(x, t[:, None]) == SoftmaxWithLoss().forward(x, t)
    with pytest.raises(ValueError):
        SoftmaxWithLoss().forward(x, t[None])


def test_labels_that_are_ignored():
    net = made("softmax-cross-entropy", {"ignore_label": -100})
    t = TARGETS["classes"].copy()
    t[2:4] = -100
    rest = np.delete(np.arange(ROWS), [2, 3])
    plain = made("softmax-cross-entropy")
    assert net.loss(X, t) == pytest.approx(plain.loss(X[rest], t[rest]), rel=1e-14)
    assert net.accuracy(X, t) == plain.accuracy(X[rest], t[rest])
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2, found 0\.\.3"):
        net.loss(X, np.where(t < 0, t, [0, 3, 0, 0, 1, 2, 0]))


@pytest.mark.parametrize("error, message, outputs, options", [
    (ValueError, "Binary.* takes probabilities.*any numbers.*sigmoid", 3, {"loss": "Binary"}),
    (ValueError, "Binary.* takes probabilities.*get_act\\('tanh'\\)", 3, {"loss": "Binary", "output": "tanh"}),
    (ValueError, "takes logits.*get_act\\('sigmoid'\\).*output=None", 3,
     {"loss": "sigmoid-binary-cross-entropy", "output": "sigmoid"}),
    (ValueError, "takes logits.*get_act\\('softmax'", 3, {"output": "softmax"}),
    (ValueError, "takes rates", 3, {"loss": get_err("Poisson", log_input=False)}),
    (ValueError, "MSLE.* takes rates.*any numbers.*softplus", 3, {"loss": "MSLE"}),
    (ValueError, "logarithms of probabilities.*log-softmax", 3, {"loss": "KL", "output": "softmax"}),
    (ValueError, "one of several classes, and output_size is 1", 1, {}),
    (ValueError, "compares the directions of rows, and output_size is 1", 1, {"loss": "cosine"}),
    (ValueError, "does not fit 3 outputs.*class", 3, {"loss": get_err("softmax-focal", class_weight=(1, 2))}),
    (ValueError, "Unknown error function: 'hubber'", 3, {"loss": "hubber"}),
    (TypeError, "loss must be the name of a loss.*not <function", 3, {"loss": lambda y, t: y - t}),
    (TypeError, "an object, not the class Huber", 3, {"loss": type(get_err("Huber"))}),
    (ValueError, "output must keep the number of columns", 3, {"loss": "squared-error", "output": "ReGLU"}),
])
def test_what_does_not_fit_is_refused(error, message, outputs, options):
    with pytest.raises(error, match=message):
        MultiLayerNet(5, [4], outputs, **options)


@pytest.mark.parametrize("loss, t, error, message", [
    ("squared-error", np.ones(ROWS), ValueError, r"t must have shape \(7, 3\), not \(7,\)"),
    ("squared-error", np.ones((ROWS, 2)), ValueError, r"t must have shape \(7, 3\), not \(7, 2\)"),
    ("squared-error", [["a"] * 3] * ROWS, TypeError, "t must hold real numbers"),
    ("sigmoid-focal", np.full((ROWS, 3), 2), ValueError, r"t must lie between 0 and 1.*found 2\.\.2"),
    ("hinge", np.full((ROWS, 3), -2), ValueError, r"t must lie between -1 and 1.*found -2\.\.-2"),
    ("softmax-focal", np.ones(ROWS), TypeError, "labels must be integers"),
    ("softmax-focal", np.full(ROWS, 3), ValueError, r"labels must lie in 0\.\.2"),
])
def test_targets_that_do_not_fit_change_nothing(loss, t, error, message):
    net = MultiLayerNet(5, [4], 3, loss=loss, rng=0, use_batchnorm=True)
    before = net.layers["BatchNorm1"].running_mean.copy()
    for call in (net.loss_and_gradient, net.loss):
        with pytest.raises(error, match=message):
            call(X, t)
    np.testing.assert_array_equal(net.layers["BatchNorm1"].running_mean, before)


def test_the_loss_is_part_of_the_state():
    net = made("Huber", {"delta": 2.0})
    state = net.state_dict()
    assert state["loss"] == "get_err('Huber', delta=2.0)" and "loss" not in MultiLayerNet(5, [4], 3).state_dict()
    made("Huber", {"delta": 2.0}).load_state_dict(state)
    with pytest.raises(StateError, match="loss"):
        made("Huber", {"delta": 1.0}).load_state_dict(state)
    with pytest.raises(StateError, match="loss"):
        MultiLayerNet(5, [4, 6], 3, "tanh").load_state_dict(state)


def test_what_is_not_finite_is_told():
    net = MultiLayerNet(5, [4], 3, loss="squared-error", rng=0)
    net.params["W2"][0, 0] = np.inf
    assert net.nonfinite(X, TARGETS["numbers"]) == ("Affine2", "output")
