"""The estimators: scikit-learn's curves from the same seeds, its own checks, and what they take besides."""
import functools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from scipy.sparse import csc_matrix, csr_matrix
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification, make_regression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import check_estimator

import fastnn
from fastnn import estimators as ours
from fastnn import get_act, get_err, get_opt, schedules
from helpers import ELEMENTWISE, ROWS, activation, python

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = {
    "adam": dict(solver="adam"), "sgd": dict(solver="sgd", learning_rate_init=0.01),
    "momentum": dict(solver="sgd", nesterovs_momentum=False, learning_rate="invscaling"),
    "adaptive": dict(solver="sgd", momentum=0, learning_rate="adaptive", tol=1e-2, n_iter_no_change=2)}
ACTIVATIONS = ["relu", "tanh", "logistic", "identity"]


@functools.cache
def data(kind):
    if kind == "regression":
        X, y = make_regression(200, 8, n_targets=2, random_state=0)
        return X, y / 100
    if kind == "counts":
        X, y = make_regression(200, 8, random_state=0)
        return X, np.random.default_rng(0).poisson(np.exp(y / 200))
    if kind == "labels":
        return make_multilabel_classification(200, random_state=0)
    if kind == "binary":
        return make_classification(210, random_state=0)
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


def pair(kind, **kwds):
    """scikit-learn's estimator and ours, for that kind of data."""
    name = "MLPRegressor" if kind in ("regression", "counts") else "MLPClassifier"
    if kind == "counts":
        kwds["loss"] = "poisson"
    kwds = {"hidden_layer_sizes": (20, 10), "max_iter": 50, "random_state": 3, **kwds}
    return getattr(theirs, name)(**kwds), getattr(ours, name)(**kwds)


def classifier(**kwds):
    return ours.MLPClassifier(**{"hidden_layer_sizes": (7, 5), "max_iter": 3, "random_state": 0, **kwds})


def one_step(**kwds):
    """Coefficients before and after one step of plain SGD on all rows, and their gradients without anything else."""
    X, y = data("binary")
    plainly = dict(solver="sgd", momentum=0, alpha=0, batch_size=len(X), max_iter=1)
    fitted = [classifier(learning_rate_init=rate, **plainly, **more).fit(X, y)
              for rate, more in ((1e-300, {}), (0.5, {}), (0.5, kwds))]
    before, plain, after = (mlp.coefs_ + mlp.intercepts_ for mlp in fitted)
    return before, [(p - q) / 0.5 for p, q in zip(before, plain)], after


# scikit-learn's numbers

@pytest.mark.parametrize(("kind", "activation", "solver"), [
    *(("binary", activation, solver) for activation in ACTIVATIONS for solver in SOLVERS),
    *((kind, activation, solver) for kind in ("digits", "labels", "regression", "counts")
      for activation, solver in zip(ACTIVATIONS, SOLVERS))])
def test_loss_curves_are_those_of_scikit_learn(kind, activation, solver):
    X, y = data(kind)
    a, b = (mlp.fit(X, y) for mlp in pair(kind, activation=activation, **SOLVERS[solver]))
    assert a.n_iter_ == b.n_iter_ and a.out_activation_ == b.out_activation_
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(b.predict(X), a.predict(X), rtol=1e-9)


@pytest.mark.parametrize("kind", ["digits", "labels", "regression", "counts"])
def test_sample_weights_and_early_stopping(kind):
    X, y = data(kind)
    weights = np.random.default_rng(1).random(len(X))
    a, b = (mlp.fit(X, y, weights) for mlp in pair(kind, early_stopping=True, batch_size=64, shuffle=False))
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(b.validation_scores_, a.validation_scores_, rtol=1e-9)
    weights[:64] = 0
    for mlp in (a, b):
        with pytest.raises(ZeroDivisionError, match="sum to zero"):
            mlp.set_params(early_stopping=False).fit(X, y, weights)


@pytest.mark.parametrize("container", [csr_matrix, csc_matrix])
def test_sparse_rows(container):
    X, y = data("digits")
    dense, sparse = classifier().fit(X, y), classifier().fit(container(X), y)
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-12)
    np.testing.assert_allclose(sparse.predict_proba(container(X)), dense.predict_proba(X), rtol=1e-9)


def test_probabilities_near_0_and_1():
    """Of features that nobody scaled: losses are held where scikit-learn holds them."""
    X, y = data("digits")
    a, b = (mlp.fit(1e3 * X, y) for mlp in pair("digits", max_iter=5))
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-9)


def test_no_hidden_layer():
    X, y = data("digits")
    a, b = (mlp.fit(X, y) for mlp in pair("digits", hidden_layer_sizes=()))
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("kind", ["digits", "regression"])
def test_check_estimator(kind):
    _, mlp = pair(kind, hidden_layer_sizes=(100,), max_iter=100, random_state=None)
    results = check_estimator(mlp, on_skip=None)
    assert {each["status"] for each in results} == {"passed", "skipped"}


def test_tests_of_scikit_learn():
    tool = Path(__file__).parents[1] / "tools" / "sklearn_tests.py"
    if not tool.is_file():
        pytest.skip("no tools beside the tests")
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")       # for matrices so small
    done = subprocess.run([sys.executable, tool], capture_output=True, text=True, env={**os.environ, **one})
    assert done.returncode == 0 and " xfailed" in done.stdout, done.stdout + done.stderr


# The catalogue

@pytest.mark.parametrize("name", fastnn.optimizers())
def test_every_optimizer_is_a_solver(name):
    """And goes on from a pickle as it would have."""
    X, y = data("binary")
    mlp = classifier(solver=name, batch_size=64).fit(X, y)
    again = pickle.loads(pickle.dumps(mlp))
    for each in (mlp, again):
        each.partial_fit(X, y)
    assert len(mlp.loss_curve_) == 4 and np.isfinite(mlp.loss_curve_).all()
    np.testing.assert_array_equal(mlp.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize("name", ELEMENTWISE + ROWS)
def test_every_activation(name):
    """Beside another one, of which only a name is given."""
    X, y = data("binary")
    mlp = classifier(activation=[activation(name), "tanh"], solver="sgd").fit(X, y)
    hidden = X
    for act, W, b in zip((activation(name), get_act("tanh")), mlp.coefs_, mlp.intercepts_):
        hidden = act.forward(hidden @ W + b)
    expected = get_act("sigmoid").forward(hidden @ mlp.coefs_[2] + mlp.intercepts_[2])
    np.testing.assert_allclose(mlp.predict_proba(X)[:, 1:], expected, rtol=1e-9)


def test_solvers_with_arguments():
    X, y = data("binary")
    rate = schedules.linear(1e-2, 10)
    named = classifier(solver="Lion", solver_args=dict(lr=rate, beta1=0.8)).fit(X, y)
    given = get_opt("Lion", lr=rate, beta1=0.8)
    made = classifier(solver=given).fit(X, y)
    np.testing.assert_array_equal(named.coefs_[0], made.coefs_[0])
    assert given.t == 0 and made._optimizer.optimizer.t == 6
    assert named._optimizer.learning_rate == rate(6)
    scheduled = classifier(solver="adam", solver_args=dict(lr=lambda t: 1e-3)).fit(X, y)
    np.testing.assert_array_equal(scheduled.coefs_[0], classifier().fit(X, y).coefs_[0])


def test_a_rule_that_averages_is_evaluated_at_its_average():
    X, y = data("binary")
    mlp = classifier(solver="ScheduleFreeSGD", solver_args=dict(lr=0.1), early_stopping=True).fit(X, y)
    assert np.isfinite(mlp.validation_scores_).all()
    mlp = classifier(solver="ScheduleFreeSGD", solver_args=dict(lr=0.1)).fit(X, y)
    point = mlp._optimizer.optimizer.evaluation_point(mlp._stepped)
    np.testing.assert_array_equal(mlp.coefs_[0], point["W1"])
    assert not np.array_equal(mlp.coefs_[0], mlp._stepped["W1"])


def test_wrappers():
    X, y = data("binary")
    inner = get_opt("Adam", lr=0.01)
    plain, twice, ahead, averaged = (classifier(solver=solver).fit(X, y) for solver in (
        inner, fastnn.Accumulate(inner, k=2), fastnn.Lookahead(inner, k=2),
        fastnn.Lookahead(fastnn.ExponentialAverage(inner, decay=0.9), k=100)))
    assert (plain._optimizer.optimizer.t, twice._optimizer.optimizer.t) == (6, 3)
    assert not np.array_equal(plain.coefs_[0], ahead.coefs_[0])
    np.testing.assert_array_equal(plain.coefs_[0], averaged._stepped["W1"])
    np.testing.assert_array_equal(averaged.coefs_[0], averaged._optimizer.optimizer.optimizer.params["W1"])
    averaged.partial_fit(X, y)
    np.testing.assert_array_equal(plain.partial_fit(X, y).coefs_[0], averaged._stepped["W1"])


def test_losses_of_the_catalogue():
    X, y = data("regression")
    for weights in (None, np.random.default_rng(0).random(len(X))):
        named, made, plain = (ours.MLPRegressor(loss, alpha=0, max_iter=3, random_state=0).fit(X, y, weights)
                              for loss in ("Square", get_err("Square"), "squared_error"))
        np.testing.assert_array_equal(named.coefs_[0], made.coefs_[0])
        np.testing.assert_allclose(named.coefs_[0], plain.coefs_[0], rtol=1e-9)
        np.testing.assert_allclose(named.loss_curve_, 2 * np.array(plain.loss_curve_), rtol=1e-9)


# Beside scikit-learn's parameters

@pytest.mark.parametrize("solver", ["adam", "lbfgs", "Lion"])
def test_float32_is_kept_and_may_be_asked_for(solver):
    X, y = data("digits")
    asked = classifier(solver=solver, dtype="float32").fit(X, y)
    kept = classifier(solver=solver).fit(X.astype(np.float32), y)
    for mlp in (asked, kept):
        assert {p.dtype for p in mlp.coefs_ + mlp.intercepts_} == {np.dtype(np.float32)}
    assert asked.predict_proba(X).dtype == kept.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert kept.predict_proba(X).dtype == np.float64            # as in scikit-learn
    if solver != "lbfgs":
        np.testing.assert_array_equal(asked.coefs_[0], kept.coefs_[0])


def test_class_weights():
    X, y = data("digits")
    for given in ("balanced", {0: 3.0}):
        weighted = classifier(class_weight=given).fit(X, y)
        by_row = classifier().fit(X, y, compute_sample_weight(given, y))
        np.testing.assert_array_equal(weighted.coefs_[0], by_row.coefs_[0])
    weighted.partial_fit(X, y)
    with pytest.raises(ValueError, match="'class_weight' parameter"):
        classifier(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))


def test_dropout():
    X, y = data("digits")
    plain, none, some, again, first = (classifier(dropout=ratio).fit(X, y).coefs_[0]
                                       for ratio in (0.0, (0, 0), 0.5, 0.5, (0.5, 0)))
    np.testing.assert_array_equal(plain, none)
    np.testing.assert_array_equal(some, again)
    assert not np.array_equal(plain, some) and not np.array_equal(first, some)
    mlp = classifier(dropout=0.3, hidden_layer_sizes=(200,), max_iter=40).fit(X, y)
    np.testing.assert_array_equal(mlp.predict_proba(X), mlp.predict_proba(X))
    assert mlp.score(X, y) > 0.9


def test_l1_and_decoupled_decay():
    n = len(data("binary")[0])
    before, gradients, after = one_step(l1=0.7)
    for p, g, q in zip(before[:3], gradients, after):
        np.testing.assert_allclose(q, p - 0.5 * (g + 0.7 / n * np.sign(p)), rtol=1e-9, atol=1e-12)
    before, gradients, after = one_step(weight_decay=0.1)
    for i, (p, g, q) in enumerate(zip(before, gradients, after)):
        np.testing.assert_allclose(q, p * (1 - 0.05 * (i < 3)) - 0.5 * g, rtol=1e-9, atol=1e-12)


def test_l1_is_part_of_the_loss():
    X, y = data("binary")
    plain, with_l1 = (classifier(solver="lbfgs", max_iter=1, alpha=0, l1=l1) for l1 in (0, 2.0))
    for mlp in (plain, with_l1):
        mlp.fit(X, y)
        mlp.coefs_, mlp.intercepts_ = ([np.full_like(p, 0.25) for p in ps] for ps in (mlp.coefs_, mlp.intercepts_))
    losses = [mlp._backprop(X, y[:, np.newaxis], None, None, None, None, None)[0] for mlp in (plain, with_l1)]
    assert losses[1] - losses[0] == pytest.approx(2 * 0.25 * sum(W.size for W in plain.coefs_) / len(X))


def test_clipping():
    before, gradients, after = one_step(clip_global_norm=1e-3)
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    assert norm > 1e-3
    for p, g, q in zip(before, gradients, after):
        np.testing.assert_allclose(q, p - 0.5e-3 / norm * g, rtol=1e-9, atol=1e-12)
    _, _, after = one_step(solver_args=dict(clip_value=1e-3))
    for p, g, q in zip(before, gradients, after):
        np.testing.assert_allclose(q, p - 0.5 * np.clip(g, -1e-3, 1e-3), rtol=1e-9, atol=1e-12)


def test_callbacks():
    X, y = data("binary")
    seen = []
    callbacks = [lambda each: seen.append(each.loss_), lambda each: each.n_iter_ == 4]
    mlp = classifier(max_iter=50, callbacks=callbacks).fit(X, y)
    assert seen == mlp.loss_curve_ and len(seen) == 4

    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted by user"):
        mlp = classifier(callbacks=interrupted).fit(X, y)
    assert mlp.n_iter_ == 1


def test_progress_bar(capsys):
    X, y = data("binary")
    classifier(progress_bar=True, early_stopping=True).fit(X, y)
    out, err = capsys.readouterr()
    assert "3/3" in err and "validation score" in err and not out


def test_threads_of_one_estimator():
    X, y = data("binary")
    seen, before = [], fastnn.get_num_threads()
    one, two = (classifier(n_jobs=n, callbacks=lambda _: seen.append(fastnn.get_num_threads())) for n in (1, 2))
    one.fit(X, y), two.fit(X, y)
    assert seen == [1] * 3 + [2] * 3 and fastnn.get_num_threads() == before
    assert one.predict(X).shape == (len(X),) and fastnn.get_num_threads() == before


def _threads(estimator, X, y):
    return fastnn.get_num_threads()


def test_processes_of_a_search_share_the_cores():
    X, y = data("binary")
    search = GridSearchCV(classifier(), {"alpha": [1e-4, 1e-2]}, n_jobs=2, cv=2, scoring=_threads).fit(X, y)
    assert (search.cv_results_["mean_test_score"] <= max(1, fastnn.get_num_threads() // 2)).all()


def test_in_a_pipeline():
    X, y = data("binary")
    mlp = clone(classifier(solver=get_opt("Lion", lr=1e-3), activation=[get_act("ELU", alpha=0.5), "Mish"]))
    model = make_pipeline(StandardScaler(), mlp).fit(X, y)
    assert "MLPClassifier" in model._repr_html_()
    search = GridSearchCV(model, {"mlpclassifier__activation": ["relu", ["tanh", "GELU"]],
                                  "mlpclassifier__solver": ["adam", "Adan"]}, cv=2).fit(X, y)
    assert search.score(X, y) >= 0.5
    assert mlp.get_metadata_routing().fit.requests == {"sample_weight": None}


# What does not fit

@pytest.mark.parametrize(("parameter", "kwds"), [
    ("solver", dict(solver="Lionn")), ("solver_args", dict(solver="Lion", solver_args=dict(lrr=1))),
    ("solver_args", dict(solver_args=dict(beta2=0.9))), ("solver_args", dict(solver="Lion", solver_args=dict(beta1=2))),
    ("learning_rate_init", dict(solver="Lion", learning_rate_init=0.1)),
    ("learning_rate", dict(solver="Lion", learning_rate="adaptive")), ("solver", dict(solver=3)),
    ("solver", dict(solver=get_opt("Adam"), weight_decay=0.1)), ("momentum", dict(solver="sgd", momentum=1.0)),
    ("momentum", dict(momentum=2)), ("alpha", dict(alpha=-1)), ("activation", dict(activation="foo")),
    ("activation", dict(activation=["relu"])), ("activation", dict(activation=["relu", 3])),
    ("activation", dict(activation="maxout")), ("dropout", dict(dropout=1)), ("dropout", dict(dropout=[0.1])),
    ("dropout", dict(solver="lbfgs", dropout=0.1)), ("solver_args", dict(solver="lbfgs", solver_args=dict(lr=1))),
    ("l1", dict(l1=-1)), ("weight_decay", dict(weight_decay=float("nan"))),
    ("clip_global_norm", dict(clip_global_norm=0)), ("n_jobs", dict(n_jobs=0)), ("dtype", dict(dtype="int8")),
    ("dtype", dict(dtype="foo")), ("callbacks", dict(callbacks=3))])
def test_a_wrong_parameter_is_named(parameter, kwds):
    X, y = data("binary")
    mlp = classifier(**kwds)
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of MLPClassifier"):
        mlp.fit(X, y)
    assert not hasattr(mlp, "coefs_")


def test_a_loss_that_is_none():
    X, y = data("regression")
    for loss in ("Sqware", "softmax-cross-entropy"):
        mlp = ours.MLPRegressor(loss)
        with pytest.raises(ValueError, match="'loss' parameter of MLPRegressor"):
            mlp.fit(X, y)
        assert not hasattr(mlp, "coefs_")


def test_fastnn_does_without_scikit_learn():
    done = python("import sys; sys.modules['sklearn'] = None; import fastnn, fastnn.nn; fastnn.get_opt('Adam')\n"
                  "try: fastnn.estimators\nexcept ModuleNotFoundError as error: print(error)")
    assert 'pip install "fastnn[sklearn]"' in done.stdout


# ONNX

def outputs(mlp, X, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    mlp.to_onnx(tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", ["integers", "strings", "binary", "booleans", "floats", "labels"])
def test_onnx_of_classifiers(tmp_path, target, dtype):
    X = np.random.default_rng(0).standard_normal((50, 6)).astype(dtype)
    y = {"integers": np.digitize(X[:, 0], [-0.5, 0.5]),
         "strings": np.array(["a", "bb", "c"])[np.digitize(X[:, 0], [-1, 1])],
         "binary": np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)], "booleans": X[:, 0] > 0,
         "floats": (X[:, 0] > 0) * 1.0, "labels": (X[:, :3] > 0).astype(int)}[target]
    mlp = classifier(max_iter=20).fit(X, y)
    label, probabilities = outputs(mlp, X, tmp_path)
    np.testing.assert_array_equal(label, mlp.predict(X))
    np.testing.assert_allclose(probabilities, mlp.predict_proba(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kwds", [{}, dict(loss="poisson")])
def test_onnx_of_regressors(tmp_path, kwds):
    X = np.random.default_rng(0).standard_normal((50, 6))
    for y in (abs(X[:, 0]), abs(X[:, :2])):
        mlp = ours.MLPRegressor(hidden_layer_sizes=(7,), max_iter=20, random_state=0, **kwds).fit(X, y)
        predictions, = outputs(mlp, X, tmp_path)
        np.testing.assert_allclose(predictions, mlp.predict(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_onnx_of_activations(tmp_path, dtype):
    from fastnn.estimators.onnx import ACTIVATIONS
    X, y = data("binary")
    X = (3 * X).astype(dtype)
    for name in ACTIVATIONS:
        mlp = classifier(activation=[name, "tanh"]).fit(X, y)
        _, probabilities = outputs(mlp, X, tmp_path)
        np.testing.assert_allclose(probabilities, mlp.predict_proba(X), rtol=0, atol=1e-6, err_msg=name)
    with pytest.raises(ValueError, match="cannot be exported"):
        classifier(activation="softmin").fit(X, y).to_onnx(tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()
