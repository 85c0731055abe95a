"""The estimators beside scikit-learn's: the same curves from the same seeds, and its own checks."""
import functools
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn import neural_network as theirs
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning

from fastnn import estimators as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = {
    "adam": dict(solver="adam"), "sgd": dict(solver="sgd", learning_rate_init=0.01),
    "momentum": dict(solver="sgd", nesterovs_momentum=False, learning_rate="invscaling"),
    "adaptive": dict(solver="sgd", momentum=0, learning_rate="adaptive", tol=1e-2, n_iter_no_change=2)}


@functools.cache
def data(kind):
    if kind == "regression":
        X, y = make_regression(300, 8, n_targets=2, random_state=0)
        return X, y / 100
    if kind == "counts":
        X, y = make_regression(300, 8, random_state=0)
        return X, np.random.default_rng(0).poisson(np.exp(y / 200))
    if kind == "labels":
        return make_multilabel_classification(300, random_state=0)
    if kind == "binary":
        return make_classification(500, random_state=0)
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def pair(kind, **kwds):
    """scikit-learn's estimator and ours, for that kind of data."""
    name = "MLPRegressor" if kind in ("regression", "counts") else "MLPClassifier"
    if kind == "counts":
        kwds["loss"] = "poisson"
    kwds = {"hidden_layer_sizes": (50, 30), "max_iter": 50, "random_state": 3, **kwds}
    return getattr(theirs, name)(**kwds), getattr(ours, name)(**kwds)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("kind", ["digits", "binary", "labels", "regression", "counts"])
def test_loss_curves_are_those_of_scikit_learn(kind, activation, solver):
    X, y = data(kind)
    a, b = (mlp.fit(X, y) for mlp in pair(kind, activation=activation, **SOLVERS[solver]))
    assert a.n_iter_ == b.n_iter_
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(b.predict(X), a.predict(X), rtol=1e-9)
