"""NaN in one prediction or target, over the catalogue: it is in that error and its gradient, and in no other."""
import numpy as np
import pytest

import fastnn
from fastnn import get_err
from fastnn.losses import Several
from helpers import FLOATS, LOSSES, assert_same_bits
from oracles.losses import ROWS

SEVERAL = [name for name in fastnn.losses() if isinstance(get_err(name), Several)]
FORMS = {"KL": [{}, {"log_input": False}, {"log_target": True}], "Poisson": [{}, {"log_input": False}, {"full": True}],
         "sigmoid-binary-cross-entropy": [{}, {"label_smoothing": 0.1, "class_weight": (1, 2)}],
         "sigmoid-focal": [{}, {"gamma": 1.5}], "softmax-focal": [{}, {"gamma": 1.5}]}
CASES = [(name, form) for name in LOSSES for form in FORMS.get(name, [{}])]
each_case = pytest.mark.parametrize(("name", "form"), CASES, ids=str)
COSTLESS = ("NLL",)         # classes of target 0 cost nothing, whatever they are
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
