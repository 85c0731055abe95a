"""Reductions, weights and names of arguments, over the catalogue: against NumPy on the errors of each element or row."""
import copy
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_err
from helpers import FLOATS, LOSSES, assert_same_bits
from oracles.losses import ROWS

NAMES = LOSSES
ELEMENTWISE = [name for name in NAMES if name not in ROWS]
each_name = pytest.mark.parametrize("name", NAMES)
each_elementwise = pytest.mark.parametrize("name", ELEMENTWISE)


def operands(shape, dtype=np.float64, seed=1):
    """Predictions and targets from 0.1 to 0.9."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, (2, *shape)).astype(dtype)


def weights_like(losses, seed=2):
    weights = np.random.default_rng(seed).uniform(0.5, 2, losses.shape)
    weights.flat[::3] = 0
    return weights


def expanded(weights, y):
    """A weight for each element of y, of weights whose axes are the first ones."""
    return weights.reshape(weights.shape + (1,)*(y.ndim - weights.ndim))


@each_name
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3, 4), (7, 3, 5), (700, 9), (1, 1)])
def test_reductions(name, shape, dtype):
    y, t = operands(shape, dtype)
    err = get_err(name)
    losses, gradient = err.forward(y, t), err.backward()
    wide = losses.astype(np.float64)
    for reduction, wanted, share in (("sum", wide.sum(), 1), ("mean", wide.mean(), 1/losses.size)):
        got = err(y, t, reduction=reduction)
        assert type(got) is float and err.error is got
        assert_allclose(got, wanted, rtol=1e-14 if dtype is np.float64 else 1e-6)
        assert_allclose(err.backward(), gradient*share, rtol=4*np.finfo(dtype).eps)
        assert err.backward().dtype == dtype
        assert_same_bits(err.backward(y, t, reduction=reduction), err.backward())
        assert err.forward(y, t, reduction=reduction, keep=False) == got
        one = get_err(name, reduction=reduction)
        value, slope = one.value_and_grad(y, t)
        assert value == got == one(y, t)
        assert_same_bits(slope, one.backward())
        assert_same_bits(one(y, t, reduction="none"), losses)


@each_name
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_weights(name, reduction, order):
    y, t = (np.asarray(a, order=order) for a in operands((6, 5, 4)))
    err = get_err(name)
    losses, gradient = err.forward(y, t), err.backward()
    for part in (weights_like(losses), weights_like(losses.reshape(6, -1)[:, 0]), weights_like(losses[:, :1]),
                 np.array(0.5), np.ones(6, bool), weights_like(losses)[::-1]):
        each = np.broadcast_to(expanded(part, losses), losses.shape)
        weighted = losses*each
        got = err(y, t, sample_weight=part, reduction=reduction)
        share = 1/losses.size if reduction == "mean" else 1
        wanted = weighted if reduction == "none" else weighted.sum()*share
        assert_allclose(got, wanted, rtol=1e-14)
        slope = gradient*expanded(each, gradient)*share
        assert_allclose(err.backward(), slope, rtol=1e-14)
        assert_same_bits(err.backward(y, t, sample_weight=part, reduction=reduction), err.backward())


@each_name
@pytest.mark.parametrize("dtype", FLOATS)
def test_weight_0_leaves_out_what_is_not_finite(name, dtype):
    y, t = operands((6, 4), dtype)
    y[::2] = np.nan
    t[::2] = np.inf
    weights = np.array([0, 1, 0, 2, 0, 1])
    err = get_err(name)
    wanted = err(y[1::2], t[1::2], sample_weight=[1, 2, 1], reduction="sum")
    kept = err.backward()
    assert err(y, t, sample_weight=weights, reduction="sum") == pytest.approx(wanted, rel=1e-14)
    gradient = err.backward()
    assert_array_equal(gradient[::2], 0)
    assert_same_bits(np.ascontiguousarray(gradient[1::2]), kept)


@each_name
def test_sums_do_not_depend_on_threads(name):
    y, t = operands((40_001, 9), np.float32)
    err, before = get_err(name), fastnn.get_num_threads()
    weights = weights_like(y[:, 0])
    try:
        fastnn.set_num_threads(1)
        wanted = err(y, t, reduction="mean", sample_weight=weights), err.backward()
        for n in (2, 3):
            fastnn.set_num_threads(n)
            assert err(y, t, reduction="mean", sample_weight=weights) == wanted[0]
            assert_same_bits(err.backward(), wanted[1])
    finally:
        fastnn.set_num_threads(before)


@each_name
@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.int64])
def test_other_dtypes_and_reductions(name, dtype):
    y, t = (np.array(a) for a in ([[0, 1, 1, 0]], [[0, 1, 0, 1]]))
    err = get_err(name)
    single = dtype != np.int64
    wide = np.float32 if single else np.float64
    wanted = err(y.astype(wide), t.astype(wide), reduction="mean", sample_weight=2), err.backward()
    assert err(y.astype(dtype), t, reduction="mean", sample_weight=2) == wanted[0]
    assert err.backward().dtype == (np.float16 if dtype == np.float16 else wide)
    with np.errstate(over="ignore"):
        assert_array_equal(err.backward(), wanted[1].astype(err.backward().dtype))


@each_name
def test_names_of_both_orders(name):
    y, t = operands((3, 4))
    err = get_err(name)
    losses, gradient = err.forward(y, t), err.backward()
    for method in (err, err.forward):
        assert_same_bits(method(y_true=t, y_pred=y), losses)
    assert_same_bits(err.backward(y_true=t, y_pred=y), gradient)
    for got, wanted in zip(err.value_and_grad(y_true=t, y_pred=y), (losses, gradient)):
        assert_same_bits(got, wanted)
    for method in (err.forward, err.backward, err.value_and_grad):
        with pytest.raises(TypeError, match="by position, or both by name"):
            method(y, y_true=t)
        with pytest.raises(TypeError, match="by position, or both by name"):
            method(y, t, y_pred=y, y_true=t)
        with pytest.raises(TypeError, match="y_pred= and y_true="):
            method(y_true=t)


@each_name
@pytest.mark.parametrize(("reduction", "error"), [
    ("Mean", ValueError), ("avg", ValueError), ("", ValueError), (1, TypeError), (True, TypeError), (None, TypeError)])
def test_bad_reductions(name, reduction, error):
    with pytest.raises(error, match="reduction must be one of 'none', 'mean', 'sum'"):
        get_err(name, reduction=reduction)
    err = get_err(name)
    with pytest.raises(error, match="reduction must be"):
        err.reduction = reduction
    if reduction is not None:
        with pytest.raises(error, match="reduction must be"):
            err(*operands((3, 4)), reduction=reduction)
    assert err.reduction == "none"


@each_name
@pytest.mark.parametrize(("weights", "error"), [
    (np.ones(4), ValueError), (np.ones((3, 4, 1)), ValueError), (np.ones(2), ValueError), ("abc", TypeError),
    (np.ones(3, complex), TypeError), ([None]*3, TypeError), (np.ma.masked_array(np.ones(3), [0, 1, 0]), TypeError)])
def test_bad_weights_change_nothing(name, weights, error):
    y, t = operands((3, 5))
    err = get_err(name)
    losses, gradient = err.forward(y, t), err.backward()
    for method in (err.forward, err.backward, err.value_and_grad):
        with pytest.raises(error):
            method(y, t, sample_weight=weights)
    assert err.error is losses
    assert_same_bits(err.backward(), gradient)


@each_name
def test_what_goes_with_a_kept_gradient(name):
    err = get_err(name)
    err.forward(*operands((3, 4)))
    for kwds in ({"sample_weight": 2}, {"reduction": "sum"}):
        with pytest.raises(TypeError, match="takes no weights and no reduction"):
            err.backward(**kwds)


@each_name
def test_no_elements(name):
    err, nothing = get_err(name), np.empty((0, 3))
    assert math.isnan(err(nothing, nothing, reduction="mean")) and err.backward().shape == (0, 3)
    assert err(nothing, nothing, reduction="sum", sample_weight=np.empty(0)) == 0


@each_elementwise
def test_out_and_weights(name):
    y, t = operands((6, 4))
    err, weights = get_err(name), np.arange(6)
    losses = err.forward(y, t, sample_weight=weights)
    gradient, work = err.backward(), np.empty_like(y)
    assert err.forward(y, t, out=work, sample_weight=weights) is work
    assert_same_bits(work, losses)
    assert err.backward(y, t, out=work, sample_weight=weights) is work
    assert_same_bits(work, gradient)
    mine = y.copy()
    assert err.forward(mine, t, out=mine, sample_weight=weights) is mine
    assert_same_bits(mine, losses)
    with pytest.raises(TypeError, match="out is for the error of each element"):
        err.forward(y, t, out=work, reduction="mean")
    for bad in (np.empty(3), np.empty_like(y, np.float32)):
        with pytest.raises((TypeError, ValueError), match="out must have"):
            err.forward(y, t, out=bad, sample_weight=weights)


@each_elementwise
def test_numbers_and_weights(name):
    err = get_err(name)
    error, slope = err.forward(0.25, 1), err.backward()
    assert err(0.25, 1, reduction="mean") == error
    assert err.backward() == slope
    got = err(0.25, 1, sample_weight=2)
    assert type(got) is type(err.backward()) is np.float64
    assert (got, err.backward()) == (2*error, 2*slope)


@each_name
def test_copies_have_the_reduction(name):
    err = get_err(name, reduction="mean")
    y, t = operands((3, 4))
    for one in (copy.copy(err), copy.deepcopy(err), pickle.loads(pickle.dumps(err)), eval(repr(err))):
        assert one.reduction == "mean" and one(y, t) == err(y, t)


@each_name
@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_do_not_depend_on_the_layout(name, dtype):
    y, t = operands((700, 9), dtype)
    err, weights = get_err(name), np.arange(700)
    wanted = err(y, t, reduction="sum", sample_weight=weights), err.backward()
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1].copy()[::-1]):
        assert err(layout(y), layout(t), reduction="sum", sample_weight=weights) == wanted[0]
        assert_same_bits(err.backward(), wanted[1])


def test_a_gradient_lies_as_the_predictions_do():
    y, t = (np.asfortranarray(a) for a in operands((5, 4)))
    for reduction in ("none", "mean"):
        assert get_err("Huber", reduction=reduction).value_and_grad(y, t, sample_weight=2)[1].flags.f_contiguous


def test_a_mean_is_exact_where_float32_sums_are_not():
    y = np.full(3_000_000, 0.1, np.float32)
    err = get_err("Square")
    wanted = float(err.forward(y[:1], np.zeros(1, np.float32))[0])
    assert err(y, np.zeros_like(y), reduction="mean") == pytest.approx(wanted, rel=1e-15)


def test_keywords_of_keras_and_sklearn_do_not_flip_the_gradient():
    err = get_err("Square", reduction="mean")
    true, predicted = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    err(y_true=true, y_pred=predicted)
    assert err.backward().tolist() == [1, 1.5]
