"""NaN in one prediction or target, over the catalogue: it is in that error and its gradient, and in no other."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_act, get_err
from fastnn.losses import Several
from fastnn.nn.objectives import task_of
from helpers import FLOATS, LOSSES, assert_same_bits
from oracles.losses import ROWS

SEVERAL = [name for name in fastnn.losses() if isinstance(get_err(name), Several)]
FORMS = {"KL": [{}, {"log_input": False}, {"log_target": True}], "Poisson": [{}, {"log_input": False}, {"full": True}],
         "sigmoid-binary-cross-entropy": [{}, {"label_smoothing": 0.1, "class_weight": (1, 2)}],
         "sigmoid-focal": [{}, {"gamma": 1.5}], "softmax-focal": [{}, {"gamma": 1.5}]}
CASES = [(name, form) for name in LOSSES for form in FORMS.get(name, [{}])]
each_case = pytest.mark.parametrize(("name", "form"), CASES, ids=str)
COSTLESS = ("NLL",)         # classes of target 0 cost nothing, whatever they are
SMOOTHED = [("Binary", {"label_smoothing": 0.1}), ("Cross", {"label_smoothing": 0.1})]
SHARES = [(name, form) for name, form in CASES + SMOOTHED
          if task_of(get_err(name, **form)).outputs in ("probabilities", "rates", "logarithms of probabilities")]
TARGETS = [0, 1, 0.5, -np.inf]              # where formulas have branches of their own; -inf of logarithms


def operands(dtype, n, target):
    y = np.random.default_rng(0).uniform(0.1, 0.9, (3, n)).astype(dtype)
    t = np.zeros((3, n), dtype)
    t[:, 1] = 1
    t[1, 2] = target
    return y, t


def results(err, y, t, **kwds):
    """The errors, by each way there is, and their gradients."""
    value, gradient = err.value_and_grad(y, t, **kwds)
    return [value, err.forward(y, t, keep=False, **kwds)], [gradient, err.backward(y, t, **kwds)]


@each_case
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("which", ["prediction", "target"])
@pytest.mark.parametrize("n", [5, 40])
def test_nan_is_in_its_error_and_its_gradient_alone(name, form, dtype, which, n):
    err = get_err(name, **form)
    for target in TARGETS[name in COSTLESS:4 if form.get("log_target") else 3]:
        y, t = operands(dtype, n, target)
        plain = results(err, y, t)
        (y if which == "prediction" else t)[1, 2] = np.nan
        for weighted in ({}, {"sample_weight": np.ones(3)}):
            values, gradients = results(err, y, t, **weighted)
            for value, wanted in zip(values, plain[0]):
                mine = np.isnan(value) if name in ROWS else np.isnan(value[1])
                assert mine[1 if name in ROWS else 2] and mine.sum() == 1
                assert_same_bits(value[::2], wanted[::2])
            for gradient, wanted in zip(gradients, plain[1]):
                assert np.isnan(gradient[1, 2])
                assert name in ROWS or np.isnan(gradient).sum() == 1
                assert_same_bits(gradient[::2], wanted[::2])
        assert np.isnan(err(y, t, reduction="mean"))
        kept = np.array([1, 0, 1]) if name in ROWS else np.where(np.isnan(y + t), 0, 1)
        values, gradients = results(err, y, t, sample_weight=kept)
        assert np.isfinite(values + gradients[:0]).all() and all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", [name for name in ROWS if getattr(get_err(name), "_takes_labels", False)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_of_a_row_with_a_label_is_in_all_of_its_gradient(name, dtype):
    for n in (1, 2, 5, 40):
        for label in {n - 1} if name in COSTLESS else {0, n - 1}:
            x = np.ones((3, n), dtype)
            x[1, n - 1] = np.nan
            values, gradients = results(get_err(name), x, [label]*3)
            for value in values:
                assert np.isnan(value).tolist() == [False, True, False]
            for gradient in gradients:
                bad = np.isnan(gradient[:, n - 1:]) if name in COSTLESS else np.isnan(gradient)
                assert bad.all(axis=1).tolist() == [False, True, False]
                assert np.isfinite(gradient[::2]).all()


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_in_one_of_several_arrays(name, dtype):
    err = get_err(name)
    for n in (5, 40):
        for k, of in enumerate(err.inputs):
            arrays = list(np.random.default_rng(1).uniform(0.1, 0.9, (len(err.inputs), 4, n)).astype(dtype))
            arrays[k][1, 2] = np.nan
            value, gradients = err.value_and_grad(*arrays)
            assert np.isnan(value[1] if value.ndim == 1 else value[1, 2])
            for each, gradient in zip(err.gradients, gradients):
                assert np.isnan(gradient[1, 2]) or each != of
            assert np.isnan(err.forward(*arrays, reduction="sum", keep=False))


@pytest.mark.parametrize(("name", "form"), SHARES, ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [2, 40])
def test_probabilities_of_0_and_1(name, form, dtype, n):
    """No NaN; infinite are KL and NLL alone, where what is has probability 0."""
    err = get_err(name, **form)
    ends = [(p, q) for p in (0, 1, 0.5) for q in (0, 1, 0.5)]
    y, t = (np.array([[one, 1 - one]*(n//2) for one in part], dtype) for part in zip(*ends))
    impossible, logs = (y == 0) & (t > 0), task_of(err).outputs == "logarithms of probabilities"
    with np.errstate(divide="ignore"):
        y, t = np.log(y) if logs else y, np.log(t) if form.get("log_target") else t
    endless = impossible & (name in ("KL", "NLL"))
    for values, gradients in (results(err, y, t), results(err, y, t, sample_weight=np.ones(len(y)))):
        for value in values:
            assert not np.isnan(value).any()
            assert_array_equal(np.isinf(value), endless.any(axis=1) if name in ROWS else endless)
        for gradient in gradients:
            assert not np.isnan(gradient).any()
            assert_array_equal(np.isinf(gradient), endless & (not logs))


@pytest.mark.parametrize("name", ["Binary", "Cross", "Jensen-Shannon", "dice", "Tversky"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_softmax_that_is_exactly_0_trains(name, dtype):
    act, err = get_act("softmax"), get_err(name)
    y = act.forward(np.array([[0, 0, 2000], [1, 2, -2000]], dtype))
    assert (y == 0).any()
    for t in np.eye(3, dtype=dtype):
        assert np.isfinite(act.backward(err.backward(y, np.array([t, t])))).all()


@pytest.mark.parametrize("name", [name for name in ROWS if getattr(get_err(name), "_takes_labels", False)])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [2, 5, 40])
def test_infinite_scores_of_labels_and_of_one_hot_targets(name, dtype, n):
    rng = np.random.default_rng(2)
    for low, high in ((-np.inf, None), (None, np.inf), (-np.inf, np.inf), (-np.inf, -np.inf), (np.inf, np.inf)):
        for label in range(min(n, 4)):
            x = rng.normal(size=(1, n)).astype(dtype)
            for at, score in ((0, low), (1, high)):
                x[0, at] = x[0, at] if score is None else score
            err, one_hot = get_err(name), np.eye(n, dtype=dtype)[[label]]
            for mine, other in zip(err.value_and_grad(x, [label]), err.value_and_grad(x, one_hot)):
                assert_allclose(mine, other, rtol=8*np.finfo(dtype).eps)
            if name == "categorical-hinge":
                assert np.isnan(err(x, [label])) == (label < 2 and x[0, label] == np.inf == x[0, 1 - label])
