"""What stands in an estimator's network beside scikit-learn's: losses, normalizations, what is learned, gated units, SAM."""
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone

import fastnn
from fastnn import get_act, get_err, get_opt
from fastnn.estimators import MLPClassifier, MLPRegressor
from fastnn.estimators.heads import head_of
from fastnn.nn import MultiLayerNet, ProgressBar, numerical_gradient
from test_estimators import classifier, data, outputs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
NORMS = ["batch", "layer", "rms"]
OF_LABELS = ["NLL", "softmax-focal", "softmax-cross-entropy", "sparsemax-loss", "categorical-hinge"]
OF_SHARES = ["Cross", "KL", "Jensen-Shannon"]


OTHERS = ["triplet", "InfoNCE", "Gaussian-NLL", "Laplace-NLL"]      # of more than outputs and targets
OF_DISTANCES = ["contrastive", "hinge-embedding"]
LOSSES = [name for name in fastnn.losses() if name not in OTHERS]


def counts(n=200):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n, 3))
    return X, rng.poisson(np.exp(X[:, 0] + 1))


# Losses

@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["binary", "digits", "labels"])
def test_a_classifier_takes_every_loss(kind, loss):
    X, y = data(kind)
    mlp = classifier(loss=loss, max_iter=60, learning_rate_init=0.01, hidden_layer_sizes=(30,))
    if loss in OF_DISTANCES:
        with pytest.raises(ValueError, match=f"'{loss}' is a loss of distances"):
            mlp.fit(X, y)
        return
    if (kind, loss) == ("binary", "cosine"):
        with pytest.raises(ValueError, match="compares the directions of rows, and there is one output"):
            mlp.fit(X, y)
        return
    if kind != "digits" and loss in (*OF_LABELS, *OF_SHARES):
        with pytest.raises(ValueError, match="'loss' parameter of MLPClassifier is one of several classes"):
            mlp.fit(X, y)
        return
    mlp.fit(X, y)
    p = mlp.predict_proba(X)
    assert p.min() >= 0 and p.max() <= 1 and mlp.loss_curve_[-1] < mlp.loss_curve_[0]
    if kind == "digits":
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_array_equal(mlp.classes_[p.argmax(axis=1)], mlp.predict(X))
    if loss in (*OF_LABELS, "sigmoid-binary-cross-entropy", "sigmoid-focal", "hinge", "soft-margin", "Binary",
                "squared-error"):
        assert np.mean(mlp.predict(X) == y) > 0.75


@pytest.mark.parametrize("name, like", [("SparseCategoricalCrossentropy", "keras"), ("CategoricalCrossentropy", "keras"),
                                        ("log_loss", "sklearn"), ("NLLLoss", "torch")])
def test_a_classifier_gives_other_libraries_losses_what_they_take(name, like):
    X, y = data("digits")
    logits, theirs = (classifier(loss=loss, max_iter=5).fit(X, y) for loss in
                      ("softmax-cross-entropy", get_err(name, like=like)))
    np.testing.assert_allclose(theirs.loss_curve_, logits.loss_curve_, rtol=1e-5)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in OF_LABELS])
def test_a_regressor_takes_every_loss_of_numbers(loss):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, (200, 3)), rng.dirichlet(np.ones(3), 200)
    mlp = MLPRegressor(loss, (20,), max_iter=20, random_state=0).fit(X, y)
    assert np.isfinite(mlp.predict(X)).all() and mlp.loss_curve_[-1] < mlp.loss_curve_[0]


@pytest.mark.parametrize("kind, loss", [("digits", "softmax-cross-entropy"), ("binary", "sigmoid-binary-cross-entropy"),
                                        ("digits", "Cross"), ("binary", "Binary"),
                                        ("labels", "sigmoid-binary-cross-entropy"), ("labels", "Binary")])
def test_what_is_log_loss_by_another_name(kind, loss):
    X, y = data(kind)
    weights = np.random.default_rng(0).random(len(X))
    one, other = (classifier(loss=each).fit(X, y, weights) for each in ("log_loss", loss))
    np.testing.assert_allclose(other.loss_curve_, one.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(other.predict_proba(X), one.predict_proba(X), rtol=1e-7)


def test_rates_are_predicted():
    X, y = counts()
    scaled = [MLPRegressor(loss, (), alpha=0, max_iter=150, learning_rate_init=0.05, random_state=0).fit(X, y)
              for loss in ("poisson", "Poisson", get_err("Poisson", log_input=False))]
    for mlp in scaled[1:]:
        np.testing.assert_allclose(mlp.predict(X), scaled[0].predict(X), rtol=1e-3)


def test_probabilities_are_predicted():
    X, _ = counts()
    y = 1 / (1 + np.exp(-2 * X[:, 0]))
    for loss in ("sigmoid-binary-cross-entropy", "Binary"):
        mlp = MLPRegressor(loss, (), alpha=0, max_iter=150, learning_rate_init=0.05, random_state=0).fit(X, y)
        np.testing.assert_allclose(mlp.predict(X), y, atol=0.02)


def test_options_of_a_loss():
    X, y = data("digits")
    plain, smooth = (classifier(loss=get_err("softmax-cross-entropy", label_smoothing=s)).fit(X, y) for s in (0, 0.2))
    assert smooth.loss_ > plain.loss_
    assert clone(smooth).loss.label_smoothing == 0.2 and pickle.loads(pickle.dumps(smooth)).loss.label_smoothing == 0.2


@pytest.mark.parametrize("make, kwds", [
    *((MLPClassifier, {"loss": name}) for name in OTHERS), *((MLPRegressor, {"loss": name}) for name in OTHERS[:2]),
    (MLPRegressor, {"loss": "softmax-focal"}), (MLPRegressor, {"loss": "Hubber"}), (MLPRegressor, {"loss": 3}),
    (MLPClassifier, {"loss": "log-loss2"}), (MLPClassifier, {"loss": get_err("softmax-focal", class_weight=(1, 2))})])
def test_a_loss_that_does_not_fit(make, kwds):
    X, y = data("digits")
    mlp = make(**kwds)
    with pytest.raises(ValueError, match=f"The 'loss' parameter of {make.__name__}"):
        mlp.fit(X, y)
    assert not hasattr(mlp, "coefs_")


# Normalizations, what is learned, gated units

def twin_of(mlp, n_in, dtype):
    """A MultiLayerNet with the estimator's parameters."""
    sizes = list(mlp.hidden_layer_sizes)
    net = MultiLayerNet(n_in, sizes, mlp.n_outputs_, mlp.activation, dtype=dtype, normalization=mlp.normalization,
                        normalization_args=mlp.normalization_args)
    for i, (W, b) in enumerate(zip(mlp.coefs_, mlp.intercepts_), start=1):
        net.params[f"W{i}"], net.params[f"b{i}"] = W, b
    for i, arrays in enumerate(mlp.hidden_params_, start=1):
        for name, value in arrays.items():
            if name.startswith("running"):
                setattr(net.layers[f"BatchNorm{i}"], name, value)
            else:
                net.params[f"{name}{i}"] = value
    return net


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["relu", "PReLU", "SwiGLU", ["PReLU", "GLU"]])
@pytest.mark.parametrize("normalization", [None, *NORMS])
def test_predictions_are_those_of_the_network(normalization, activation, dtype):
    X, y = data("digits")
    X = X.astype(dtype)
    mlp = classifier(activation=activation, normalization=normalization, dtype=dtype, learning_rate_init=0.01).fit(X, y)
    scores = twin_of(mlp, X.shape[1], dtype).predict(X)
    expected = get_act("softmax").forward(scores)
    np.testing.assert_allclose(mlp.predict_proba(X), expected, rtol=1e-5 if dtype == np.float32 else 1e-11, atol=1e-30)
    again = pickle.loads(pickle.dumps(mlp))
    for each in (mlp, again):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(mlp.predict_proba(X), again.predict_proba(X))
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]
    for arrays in mlp.hidden_params_:
        assert all(value.dtype == dtype for value in arrays.values())


@pytest.mark.parametrize("normalization", NORMS)
def test_normalized_networks_learn(normalization):
    X, y = data("digits")
    mlp = classifier(normalization=normalization, max_iter=80, hidden_layer_sizes=(30, 20), learning_rate_init=0.01,
                     early_stopping=True, n_iter_no_change=30, random_state=1).fit(X, y)
    assert mlp.score(X, y) > 0.9 and max(mlp.validation_scores_) == mlp.best_validation_score_
    names = {"batch": {"gamma", "beta", "running_mean", "running_var"}, "layer": {"gamma", "beta"}, "rms": {"gamma"}}
    assert all(arrays.keys() == names[normalization] for arrays in mlp.hidden_params_)


def test_early_stopping_goes_back_with_all_of_it():
    """The scores of the fitted estimator are those of its best epoch, running values and all."""
    X, y = data("digits")
    seen = []
    mlp = classifier(normalization="batch", activation="PReLU", max_iter=12, learning_rate_init=0.05, early_stopping=True,
                     callbacks=lambda each: seen.append([dict(arrays) for arrays in each.hidden_params_])).fit(X, y)
    best = seen[int(np.argmax(mlp.validation_scores_))]
    for own, wanted in zip(mlp.hidden_params_, best):
        for name in wanted:
            np.testing.assert_array_equal(own[name], wanted[name])


def test_arguments_of_a_normalization():
    X, y = data("digits")
    one, other = (classifier(normalization="batch", normalization_args=args).fit(X, y)
                  for args in (None, {"like": "torch"}))
    assert not np.array_equal(one.hidden_params_[0]["running_var"], other.hidden_params_[0]["running_var"])
    for args in ({"epsilon": 1}, {"like": "tf"}):
        with pytest.raises(ValueError, match="'normalization' parameter of MLPClassifier does not fit"):
            classifier(normalization="batch", normalization_args=args).fit(X, y)


def test_what_is_learned_is_stepped_without_decay():
    X, y = data("digits")
    mlp = classifier(activation="PReLU", normalization="layer", max_iter=8, weight_decay=0.1).fit(X, y)
    assert all((arrays["act_alpha"] != 0.25).all() and (arrays["gamma"] != 1).any() for arrays in mlp.hidden_params_)
    frozen = classifier(activation="PReLU", solver="Adam", solver_args={"groups": [fastnn.group("act_*", freeze=True)]})
    assert all((arrays["act_alpha"] == 0.25).all() for arrays in frozen.fit(X, y).hidden_params_)
    rate, decay = 0.5, 0.1
    plain = dict(solver="sgd", momentum=0, alpha=0, batch_size=len(X), max_iter=1, normalization="rms",
                 learning_rate_init=rate)
    without, with_decay = (classifier(weight_decay=each, **plain).fit(X, y) for each in (0.0, decay))
    np.testing.assert_array_equal(without.hidden_params_[0]["gamma"], with_decay.hidden_params_[0]["gamma"])
    assert not np.array_equal(without.coefs_[0], with_decay.coefs_[0])


@pytest.mark.parametrize("activation", ["RReLU", get_act("Swish", learn="beta")], ids=str)
def test_what_is_random_and_learned_forms(activation):
    X, y = data("digits")
    one, same = (classifier(activation=activation, max_iter=60, hidden_layer_sizes=(30,)).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))
    np.testing.assert_array_equal(one.coefs_[0], same.coefs_[0])
    assert one.score(X, y) > 0.9
    sam = classifier(activation=activation, solver=fastnn.SAM(get_opt("Adam", lr=0.01)), dropout=0.1).fit(X, y)
    assert sam.loss_curve_[-1] < sam.loss_curve_[0]


def test_widths_of_gated_units():
    X, y = data("digits")
    mlp = classifier(activation=["SwiGLU", "relu"]).fit(X, y)
    assert [W.shape for W in mlp.coefs_] == [(64, 14), (7, 5), (5, 10)]
    assert mlp.set_params(warm_start=True).fit(X, y).coefs_[0].shape == (64, 14)


@pytest.mark.parametrize("parameter, kwds", [
    ("normalization", {"normalization": "group"}), ("normalization", {"normalization_args": {"eps": 1}}),
    ("normalization", {"normalization": 3}), ("normalization", {"normalization": "batch", "solver": "lbfgs"}),
    ("activation", {"activation": "PReLU", "solver": "lbfgs"}),
    ("activation", {"activation": get_act("PReLU", channels=9)})])
def test_a_wrong_parameter_is_named(parameter, kwds):
    X, y = data("digits")
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of MLPClassifier"):
        classifier(**kwds).fit(X, y)


# SAM

def test_sam_takes_its_gradient_elsewhere():
    X, y = data("digits")
    plain = dict(batch_size=len(X), max_iter=1, alpha=0.01, shuffle=False)
    mlp = classifier(solver=fastnn.SAM(get_opt("SGD", lr=0.5), rho=0.3), **plain).fit(X, y)
    at = classifier(solver=get_opt("SGD", lr=1e-300), **plain).fit(X, y)
    own, moved = at._network(X), {}
    head = own.head
    own.loss_and_gradients(X, head.targets(np.eye(10)[y], np.float64))
    grads = own.gradients()
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    moved = {key: p + 0.3 * grads[key] / norm for key, p in own.params.items()}
    away = at._network(X)
    away.put(moved)
    away.loss_and_gradients(X, head.targets(np.eye(10)[y], np.float64))
    for i, W in enumerate(mlp.coefs_, start=1):
        np.testing.assert_allclose(W, own.params[f"W{i}"] - 0.5 * away.gradients()[f"W{i}"], rtol=1e-9, atol=1e-12)
    assert mlp.loss_curve_ == at.loss_curve_


@pytest.mark.parametrize("kwds", [{}, {"dropout": 0.2, "normalization": "batch"}, {"clip_value": 1.0}])
def test_sam_learns(kwds):
    X, y = data("digits")
    options = {"clip_value": kwds.pop("clip_value")} if "clip_value" in kwds else {}
    given = fastnn.Lookahead(fastnn.SAM(get_opt("Adam", lr=0.01, **options)))
    mlp = classifier(solver=given, max_iter=60, hidden_layer_sizes=(30,), random_state=0, **kwds).fit(X, y)
    assert mlp.score(X, y) > 0.9 and given.t == 0
    again = pickle.loads(pickle.dumps(mlp))
    for each in (mlp, again):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(mlp.coefs_[0], again.coefs_[0])


def test_an_interrupted_sam_leaves_the_parameters_at_home():
    X, y = data("digits")
    found = []
    for call in (4, 5):         # after one to try and a step's two: the first and the second pass of the next step
        calls = []

        class Failing(type(get_err("softmax-focal"))):
            def value_and_grad(self, *args, **kwds):
                calls.append(1)
                if len(calls) == call:
                    raise KeyboardInterrupt
                return super().value_and_grad(*args, **kwds)

        with pytest.warns(UserWarning, match="interrupted by user"):
            found.append(classifier(loss=Failing(), solver=fastnn.SAM(get_opt("SGD", lr=0.1), rho=50.0), batch_size=100,
                                    normalization="batch").fit(X, y))
    assert [mlp._optimizer.optimizer.t for mlp in found] == [1, 1]
    for key, p in found[0]._network(X).params.items():
        np.testing.assert_array_equal(found[1]._network(X).params[key], p)


# ONNX

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kwds", [
    *({"normalization": each} for each in NORMS), {"activation": "PReLU"},
    {"activation": get_act("PReLU", channels=7), "hidden_layer_sizes": (7,)},
    *({"activation": name} for name in fastnn.activations("gated")), {"activation": get_act("SwiGLU", gate_half="first")},
    {"loss": "sigmoid-focal"}, {"loss": "softmax-focal"}])
def test_onnx(tmp_path, kwds, dtype):
    X, y = data("digits")
    X = X.astype(dtype)
    mlp = classifier(**kwds, max_iter=20, learning_rate_init=0.01).fit(X, y)
    label, probabilities = outputs(mlp, X, tmp_path)
    np.testing.assert_array_equal(label, mlp.predict(X))
    np.testing.assert_allclose(probabilities, mlp.predict_proba(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", ["Poisson", "Binary", "KL", "MSLE", "Gaussian-NLL"])
def test_onnx_of_regressors(tmp_path, loss):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, (200, 3)), rng.dirichlet(np.ones(3), 200)
    mlp = MLPRegressor(loss, (7,), max_iter=5, random_state=0).fit(X, y)
    np.testing.assert_allclose(outputs(mlp, X, tmp_path)[0], mlp.predict(X), rtol=0, atol=1e-6)


# Predictions

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["digits", "binary", "labels", "regression"])
def test_what_is_not_finite_is_refused_as_by_scikit_learn(kind, dtype):
    X, y = data(kind)
    X = X.astype(dtype)
    mlp = (MLPRegressor if kind == "regression" else classifier)(max_iter=2).fit(X, y)
    for other in (X.astype(np.float64).tolist(), np.asfortranarray(X), X[::-1][::-1]):
        np.testing.assert_allclose(mlp.predict(other), mlp.predict(X), rtol=1e-3, atol=1e-3)
    mlp.coefs_[0][3] = 0
    for value in (np.nan, np.inf, -np.inf):
        bad = X.copy()
        bad[-1, 3] = value
        with pytest.raises(ValueError, match="Input X contains (NaN|infinity)"):
            mlp.predict(bad)
    with pytest.raises(ValueError, match="features"):
        mlp.predict(X[:, 1:])
    with pytest.raises(ValueError, match="0 sample"):
        mlp.predict(X[:0])
    mlp.coefs_[0][:] = np.finfo(dtype).max          # the product is not finite, and X is
    assert mlp.predict(X).shape == y.shape


@pytest.mark.parametrize("labels", [[0, 1], ["a", "b", "c"], [2.0, 3.0], [7]])
def test_labels_are_those_of_the_binarizer(labels):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)), np.array(labels)[rng.integers(0, len(labels), 60)]
    mlp = classifier().fit(X, y)
    expected = mlp._label_binarizer.inverse_transform(mlp._forward_pass_fast(X).reshape((60, -1)[:1 + (len(labels) > 2)]))
    np.testing.assert_array_equal(mlp.predict(X), expected)
    assert mlp.predict(X).dtype == y.dtype


# A spread

def spread_data():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (2000, 1))
    return X, rng.normal(np.sin(3 * X[:, 0]), np.where(X[:, 0] > 0, 0.4, 0.1))


@pytest.mark.parametrize("loss", ["Gaussian-NLL", "Laplace-NLL"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_regressor_tells_the_spread_of_its_predictions(loss, solver):
    X, y = spread_data()
    mlp = MLPRegressor(loss, (20, 20), "tanh", solver=solver, max_iter=200, random_state=0).fit(X, y)
    mean, std = mlp.predict([[-0.5], [0.5]], return_std=True)
    np.testing.assert_allclose(mean, [np.sin(-1.5), np.sin(1.5)], atol=0.2)
    np.testing.assert_allclose(std, [0.1, 0.4], rtol=0.4)
    np.testing.assert_array_equal(mlp.predict([[-0.5], [0.5]]), mean)
    assert mlp.score(X, y) > 0.8 and mlp.coefs_[-1].shape == (20, 2) and mlp.n_outputs_ == 1
    assert clone(mlp).fit(X[:50], y[:50]).predict(X[:3], return_std=True)[1].shape == (3,)


def test_a_spread_of_several_targets():
    X, y = spread_data()
    Y = np.stack([y, 2 * y], axis=1)
    options = dict(hidden_layer_sizes=(15,), max_iter=30, random_state=0, early_stopping=True, dtype="float32")
    mlp = MLPRegressor("Gaussian-NLL", **options).fit(X, Y)
    mean, std = mlp.predict(X[:5], return_std=True)
    assert mean.shape == std.shape == (5, 2) and mean.dtype == std.dtype == np.float32 and (std > 0).all()
    again = pickle.loads(pickle.dumps(mlp))
    np.testing.assert_array_equal(again.predict(X[:5], return_std=True)[1], std)


@pytest.mark.parametrize("loss", ["Gaussian-NLL", "Laplace-NLL"])
def test_the_gradient_of_a_spread_is_that_of_differences(loss):
    rng = np.random.default_rng(0)
    head = head_of(get_err(loss), "identity", False, np.float64)
    z, t, share = rng.standard_normal((4, 6)), rng.standard_normal((4, 3)), rng.dirichlet(np.ones(4))[:, None]
    for weights in (None, share):
        wanted = numerical_gradient(lambda _: head.gradient(z, t, weights)[0], z)
        np.testing.assert_allclose(head.gradient(z, t, weights)[1], wanted, rtol=1e-6, atol=1e-8)


def test_a_spread_is_a_regressors():
    X, y = data("binary")
    with pytest.raises(ValueError, match="'loss' parameter of MLPClassifier.*MLPRegressor's"):
        classifier(loss="Gaussian-NLL").fit(X, y)
    mlp = MLPRegressor(max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="^return_std=True takes a loss that has a spread.*'squared_error'"):
        mlp.predict(X, return_std=True)


# Wrappers by name

@pytest.mark.parametrize("name, made", [
    ("SAM", lambda: fastnn.SAM(get_opt("Adam"))), ("lookahead", lambda: fastnn.Lookahead(get_opt("Adam"))),
    ("exponential-average", lambda: fastnn.ExponentialAverage(get_opt("Adam")))])
def test_wrappers_by_name(name, made):
    X, y = data("binary")
    a, b = classifier(solver=name).fit(X, y), classifier(solver=made()).fit(X, y)
    assert a.loss_curve_ == b.loss_curve_ and type(a._optimizer.optimizer) is type(b._optimizer.optimizer)


def test_wrappers_arguments():
    X, y = data("binary")
    a = classifier(solver="SAM", weight_decay=0.01, clip_global_norm=1.0,
                   solver_args=dict(optimizer="AdamW", rho=0.1, lr=0.01)).fit(X, y)
    opt = a._optimizer.optimizer
    assert type(opt) is fastnn.SAM and opt.rho == 0.1 and opt.lr == 0.01 and opt.optimizer.clip_global_norm == 1
    b = classifier(solver="SAM", solver_args=dict(optimizer=get_opt("Momentum", lr=0.1))).fit(X, y)
    assert type(b._optimizer.optimizer.optimizer) is type(get_opt("Momentum"))
    for wrong, message in ((dict(rho="a"), "rho must be a number"), (dict(optimizer="Adamm"), "Unknown optimizer: 'Adamm'"),
                           (dict(optimizer=get_opt("Adam"), lr=0.1), "arguments of its own, and lr")):
        with pytest.raises(ValueError, match=f"^The 'solver_args' parameter of MLPClassifier does not fit: .*{message}"):
            classifier(solver="SAM", solver_args=wrong).fit(X, y)


# Targets and weights

@pytest.mark.parametrize("loss, message", [
    ("sigmoid-focal", "y must lie between 0 and 1 for loss 'sigmoid-focal'"), ("hinge", "y must lie between -1 and 1"),
    ("MSLE", "y must lie above -1"), ("Poisson", "y must be at least 0"), ("KL", "y must be at least 0")])
def test_targets_outside_a_losses_domain_are_refused(loss, message):
    X, y = data("regression")
    with pytest.raises(ValueError, match=f"^{message}"):
        MLPRegressor(loss).fit(X, y - 3)


def test_squared_logarithmic_errors_of_positive_numbers():
    X, y = spread_data()
    mlp = MLPRegressor("MSLE", max_iter=100, random_state=0).fit(X, np.exp(y))
    assert mlp.score(X, np.exp(y)) > 0.5 and mlp.predict(10 * X).min() > 0


@pytest.mark.parametrize("wrong, message", [
    ("balancd", "must be 'balanced', or a dict of the classes"), ({"maybe": 1}, "are not in class_weight"),
    ([1, 2], "must be 'balanced', or a dict"), ({0: -1, 1: 1}, "must not be negative"), ({0: "a"}, "dict of the classes")])
def test_weights_that_fit_no_class(wrong, message):
    X, y = data("binary")
    with pytest.raises(ValueError, match=f"^The 'class_weight' parameter of MLPClassifier .*{message}"):
        classifier(class_weight=wrong).fit(X, y)


@pytest.mark.parametrize("name, wrong", [
    *(("callbacks", each) for each in ([3], [None], ProgressBar(), [ProgressBar()], ProgressBar, "bar")),
    *(("hidden_layer_sizes", each) for each in ((8.0,), [8, "a"], "a", None)),
    *(("dropout", each) for each in ("a", 1, [0.1], None)), ("normalization", True), ("class_weight", 3), ("solver", None),
    ("loss", None), ("n_jobs", "2"), ("solver_args", [1])])
def test_errors_name_the_parameter(name, wrong):
    X, y = data("binary")
    with pytest.raises(ValueError, match=f"^The '{name}' parameter of MLPClassifier"):
        classifier(**{name: wrong}).fit(X, y)
