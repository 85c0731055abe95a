"""Losses of other arrays than predictions and targets: a spread, triplets, pairs of a batch; gradients in each."""
import copy
import itertools
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_err
from helpers import FLOATS, assert_same_bits
from oracles.losses import OF_SEVERAL

NAMES = list(OF_SEVERAL)
LIKELIHOODS = {"Gaussian-NLL": "var", "Laplace-NLL": "scale"}
CASES = [*((name, {}) for name in NAMES), ("Gaussian-NLL", {"full": True}), ("Gaussian-NLL", {"eps": 0.25}),
         ("Laplace-NLL", {"full": True}), ("Laplace-NLL", {"eps": 0.25}), ("triplet", {"p": 1.0}), ("triplet", {"p": 3.5}),
         ("triplet", {"p": math.inf}), ("triplet", {"swap": True, "margin": 3.0}), ("triplet", {"swap": True, "p": 1.0}),
         ("triplet", {"swap": True, "p": math.inf}), ("triplet", {"swap": True, "p": 2.5, "eps": 0.0}),
         ("InfoNCE", {"temperature": 0.25}), ("InfoNCE", {"normalize": True, "temperature": 0.0625}),
         ("InfoNCE", {"symmetric": True}), ("InfoNCE", {"symmetric": True, "normalize": True, "temperature": 0.125})]
each_name = pytest.mark.parametrize("name", NAMES)
each_float = pytest.mark.parametrize("dtype", FLOATS)


def arrays(name, shape=(7, 5), dtype=np.float64, seed=1):
    """What the loss takes: normal numbers, spreads around 1 and one that is held."""
    rng = np.random.default_rng(seed)
    given = [rng.normal(size=shape).astype(dtype) for _ in get_err(name).inputs]
    if name in LIKELIHOODS:
        given[2] = rng.uniform(0.5, 2, shape).astype(dtype)
        given[2].flat[:1] = 0
    return given


def parts(one):
    """A result's arrays."""
    return [part for each in one for part in parts(each)] if isinstance(one, tuple) else [np.asarray(one)]


def same(one, other):
    for a, b in zip(parts(one), parts(other), strict=True):
        assert_same_bits(a, b)


@pytest.mark.parametrize(("name", "values"), CASES, ids=str)
@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (3, 130), (40, 2)])
@each_float
def test_values_and_gradients(name, values, shape, dtype):
    if name == "InfoNCE" and shape[1] == 130:
        shape = (4, 30)
    given = arrays(name, shape, dtype)
    if values.get("swap"):
        given[1][::2] = given[0][::2]           # |a - n| = |p - n|
    err = get_err(name, **values)
    held = {key: float(dtype(value)) if isinstance(value, float) and name in LIKELIHOODS else value
            for key, value in values.items()}
    held.setdefault("eps", float(dtype(1e-6)))
    if name not in LIKELIHOODS:
        held = values
    loss, gradients = OF_SEVERAL[name](*given, **held)
    got, slopes = err.value_and_grad(*given)
    scale = (8 if name != "InfoNCE" else 64)*np.finfo(dtype).eps
    for mine, wanted in zip((got, *slopes), (loss, *gradients), strict=True):
        assert mine.dtype == dtype and mine.shape == wanted.shape
        assert_allclose(mine, wanted, rtol=scale, atol=scale*max(1, abs(wanted).max()))
    same(err(*given), got)
    same(err.backward(), slopes)
    same(err.backward(*given), slopes)
    same(err.forward(*given, keep=False), got)
    with pytest.raises(ValueError, match="without keep=False"):
        err.backward()


@each_name
def test_gradients_are_numerical_ones(name):
    given = [each + 0.5*(name in LIKELIHOODS) for each in arrays(name, (4, 3))]
    err = get_err(name)
    gradients = dict(zip(err.gradients, err.backward(*given, reduction="sum")))
    for k, of in enumerate(err.inputs):
        numeric = np.empty_like(given[k])
        for i in np.ndindex(numeric.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [each.copy() for each in given]
                moved[k][i] += step
                ends.append(err(*moved, reduction="sum"))
            numeric[i] = (ends[0] - ends[1])/2e-6
        if of in gradients:
            assert_allclose(gradients[of], numeric, rtol=2e-5, atol=2e-6)
    assert set(gradients) == set(err.gradients) <= set(err.inputs)


@each_name
@each_float
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_reductions_and_weights(name, dtype, reduction):
    given = arrays(name, (70, 9), dtype)
    err = get_err(name, reduction=reduction)
    losses = get_err(name)(*given)
    weights = np.random.default_rng(2).uniform(0.5, 2, losses.shape)
    weights[::3] = 0
    for part in (None, weights, weights[:, 0] if losses.ndim > 1 else weights[:, None][:, 0], 2.5):
        each = 1 if part is None else part if np.ndim(part) in (0, losses.ndim) else part[:, None]
        wide = (losses*np.asarray(each, dtype)).astype(float)
        wanted = {"none": wide, "sum": wide.sum(), "mean": wide.sum()/losses.size}[reduction]
        got, gradients = err.value_and_grad(*given, sample_weight=part)
        assert reduction == "none" or type(got) is float
        assert_allclose(got, wanted, rtol=20*np.finfo(dtype).eps, atol=1e-12)
        assert err.forward(*given, sample_weight=part, reduction="sum") == pytest.approx(wide.sum(), rel=1e-5)
        same(err.backward(*given, sample_weight=part, reduction=reduction), gradients)
    full = get_err(name).backward(*given)
    if name != "InfoNCE":
        for gradient, plain in zip(get_err(name).backward(*given, sample_weight=weights, reduction="mean"), full):
            each = np.broadcast_to(weights.reshape(weights.shape + (1,)*(plain.ndim - weights.ndim)), plain.shape)
            assert_allclose(gradient, plain*each/losses.size, rtol=8*np.finfo(dtype).eps, atol=1e-15)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "InfoNCE"])
@each_float
def test_weight_0_leaves_out_what_is_not_finite(name, dtype):
    given = arrays(name, (6, 4), dtype)
    weights = np.array([0, 1, 0, 2, 0, 1])
    err = get_err(name)
    wanted = err(*(each[1::2].copy() for each in given), sample_weight=[1, 2, 1], reduction="sum")
    for each in given:
        each[::2] = np.nan
    assert err(*given, sample_weight=weights, reduction="sum") == pytest.approx(wanted, rel=1e-14)
    for gradient in err.backward():
        assert_array_equal(gradient[::2], 0)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("shape", [(), (6,), (6, 1), (6, 5), (6, 5, 1), (1, 5, 4), (6, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_spread_of_the_first_axes(name, shape, order):
    y, t, spread = (np.asarray(each, order=order) for each in arrays(name, (6, 5, 4)))
    part = np.random.default_rng(3).uniform(0.5, 2, shape)
    err = get_err(name)
    whole = np.broadcast_to(part.reshape(shape + (1,)*(3 - len(shape))), y.shape)
    got, (of_y, of_part) = err.value_and_grad(y, t, part)
    wanted, (same_of_y, of_whole) = err.value_and_grad(y, t, whole)
    assert_same_bits(got, wanted)
    assert_same_bits(of_y, same_of_y)
    axes = tuple(i for i in range(3) if i >= len(shape) or shape[i] == 1)
    assert_allclose(of_part, of_whole.sum(axis=axes).reshape(shape), rtol=1e-13, atol=1e-13)
    assert np.shape(of_part) == shape and np.asarray(of_part).dtype == y.dtype
    assert of_y.flags.f_contiguous == (order == "F")


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_numbers(name):
    err = get_err(name)
    loss, gradients = err.value_and_grad(1.5, 1, 2)
    assert [type(each) for each in (loss, *gradients)] == [np.float64]*3
    assert err(1.5, 1, 2, reduction="mean") == loss == err.total_error()
    for each, wanted in zip(parts((loss, gradients)), parts(OF_SEVERAL[name](*map(np.array, (1.5, 1.0, 2.0))))):
        assert_allclose(each, wanted, rtol=1e-15)


@pytest.mark.parametrize(("name", "spread"), LIKELIHOODS.items())
def test_a_negative_spread_is_refused(name, spread):
    err = get_err(name)
    kept = err(1.0, 2.0, 1.0)
    for bad in (-1.0, [[1.0], [-1e-30]]):
        with pytest.raises(ValueError, match=f"{spread} must be at least 0"):
            err(np.ones((2, 3)), np.ones((2, 3)), bad)
    for bad in (np.ones(3), np.ones((2, 3, 1)), np.ones((2, 2))):
        with pytest.raises(ValueError, match=f"{spread} must have shape"):
            err(np.ones((2, 3)), np.ones((2, 3)), bad)
    with pytest.raises(TypeError):
        err(np.ones(3), np.ones(3), None)
    assert err.error == kept and len(err.backward()) == 2


@pytest.mark.parametrize(("name", "spread"), LIKELIHOODS.items())
def test_words_of_keras_and_sklearn(name, spread):
    y, t, v = arrays(name)
    err = get_err(name)
    wanted = err.value_and_grad(y, t, v)
    for kwds in ({"y_pred": y, "y_true": t, spread: v}, {spread: v, "y": y, "t": t}):
        same(err.value_and_grad(**kwds), wanted)
    same(err.value_and_grad(y, t, **{spread: v}), wanted)
    for args, kwds in (((y,), {"y_true": t, spread: v}), ((y, t), {"y_pred": y, spread: v}), ((), {"y_pred": y, spread: v})):
        with pytest.raises(TypeError, match="by position, or both by name"):
            err(*args, **kwds)


@each_name
def test_arrays_by_name(name):
    given = arrays(name)
    err = get_err(name)
    wanted = err.value_and_grad(*given)
    named = dict(zip(err.inputs, given))
    same(err.value_and_grad(**named), wanted)
    same(err.backward(**named), wanted[1])
    same(err(**named), wanted[0])
    with pytest.raises(TypeError, match="is given twice"):
        err(*given, **{err.inputs[0]: given[0]})
    with pytest.raises(TypeError, match=f"{err.inputs[-1]} is missing"):
        err(*given[:-1])
    with pytest.raises(TypeError, match="has no argument 'weight'"):
        err(*given, weight=1)
    with pytest.raises(TypeError, match=f"takes .*, not {len(given) + 1} arrays"):
        err(*given, given[0])
    with pytest.raises(TypeError, match="takes no weights and no reduction"):
        err.backward(reduction="sum")


@each_name
def test_backward_is_of_the_last_forward(name):
    err, given = get_err(name), arrays(name)
    with pytest.raises(ValueError, match="needs a forward before it"):
        err.backward()
    assert err.error == 0
    wanted = err.backward(*given)
    error = err.forward(*given)
    assert err.error is error and err.total_error() == pytest.approx(float(np.mean(error)), rel=1e-14)
    for each in given:
        each[...] = 7
    first = err.backward()
    same(first, wanted)
    first[0][...] = 3
    same(err.backward(), wanted)


@each_name
@pytest.mark.parametrize("bad", ["abc", None, np.ones((7, 5), complex), np.ma.masked_array(np.ones((7, 5)), np.eye(7, 5))])
def test_bad_arrays_change_nothing(name, bad):
    err, given = get_err(name), arrays(name)
    error, gradients = err.forward(*given), err.backward()
    for k in range(len(given)):
        with pytest.raises((TypeError, ValueError)):
            err(*given[:k], bad, *given[k + 1:])
    with pytest.raises(ValueError):
        err(given[0], *(each[:5] for each in given[1:]))
    for reduction in ("Mean", "avg"):
        with pytest.raises(ValueError, match="reduction must be one of"):
            err(*given, reduction=reduction)
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        err(*given, sample_weight=np.ones(3))
    assert err.error is error
    same(err.backward(), gradients)


@each_name
@pytest.mark.parametrize(("dtype", "wanted"), [
    (np.float16, np.float16), (">f4", np.float32), (np.int64, np.float64), (bool, np.float64)])
def test_dtypes(name, dtype, wanted):
    given = [np.array([[0, 1, 1, 0], [1, 1, 0, 1]]).astype(dtype)]*len(get_err(name).inputs)
    err = get_err(name)
    loss, gradients = err.value_and_grad(*given)
    assert {each.dtype for each in (loss, *gradients)} == {np.dtype(wanted)}
    wide = np.float32 if np.dtype(wanted).itemsize <= 4 else np.float64
    for got, exact in zip(parts((loss, gradients)), parts(err.value_and_grad(*(each.astype(wide) for each in given)))):
        with np.errstate(over="ignore"):
            assert_same_bits(got, exact.astype(wanted))


@each_name
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_layouts(name, reduction):
    given = arrays(name, (60, 9), np.float32)
    err = get_err(name, reduction=reduction)
    wanted = err.value_and_grad(*given)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1].copy()[::-1]):
        for got, exact in zip(parts(err.value_and_grad(*map(layout, given))), parts(wanted)):
            assert_same_bits(np.ascontiguousarray(got), np.ascontiguousarray(exact))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "InfoNCE"])        # NumPy's BLAS has its own threads
def test_threads_change_no_bit(name):
    given, before, err = arrays(name, (40_001, 9), np.float32), fastnn.get_num_threads(), get_err(name, reduction="mean")
    try:
        fastnn.set_num_threads(1)
        wanted = err.value_and_grad(*given)
        for n in (2, 3):
            fastnn.set_num_threads(n)
            same(err.value_and_grad(*given), wanted)
    finally:
        fastnn.set_num_threads(before)


@each_name
def test_copies(name):
    err, given = get_err(name, reduction="mean"), arrays(name)
    wanted = err.value_and_grad(*given)
    for one in (copy.copy(err), copy.deepcopy(err), pickle.loads(pickle.dumps(err)), eval(repr(err))):
        assert repr(one) == repr(err)
        same(one.value_and_grad(*given), wanted)


@each_name
def test_no_elements(name):
    err, nothing = get_err(name), [np.empty((0, 3))]*len(get_err(name).inputs)
    if name == "InfoNCE":                       # no pair: no softmax
        with pytest.raises(ValueError, match="queries and keys must have one shape"):
            err(*nothing)
        return
    assert math.isnan(err(*nothing, reduction="mean")) and err.backward()[0].shape == (0, 3)
    assert err(*nothing, reduction="sum", sample_weight=np.empty(0)) == 0


@each_name
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_warns(name, dtype):
    big = float(np.finfo(dtype).max)
    x = np.array([[0, 1, 0.5, np.nan], [big, -big, 0, 1], [np.inf, -np.inf, 1, 2], [1e-7, 0, 0, 1]], dtype)
    given = [x, x[::-1], abs(x)][:len(get_err(name).inputs)]
    with np.errstate(all="raise"):
        get_err(name).value_and_grad(*given)


@pytest.mark.parametrize(("name", "values", "error"), [
    ("triplet", {"p": 0.5}, ValueError), ("triplet", {"p": "2"}, TypeError), ("triplet", {"p": True}, TypeError),
    ("triplet", {"p": math.nan}, ValueError), ("triplet", {"swap": 1}, TypeError), ("triplet", {"margin": 0}, ValueError),
    ("InfoNCE", {"temperature": 0}, ValueError), ("InfoNCE", {"normalize": "yes"}, TypeError),
    ("Gaussian-NLL", {"eps": 0}, ValueError), ("Gaussian-NLL", {"full": None}, TypeError)])
def test_bad_hyperparameters(name, values, error):
    with pytest.raises(error, match=next(iter(values))):
        get_err(name, **values)


def test_pairs_of_several_batches():
    queries, keys = np.random.default_rng(5).normal(size=(2, 3, 6, 4))
    err = get_err("InfoNCE", temperature=0.5)
    loss, gradients = err.value_and_grad(queries, keys)
    assert loss.shape == (3, 6)
    for i in range(3):
        one, of = err.value_and_grad(queries[i], keys[i])
        assert_allclose(loss[i], one, rtol=1e-14)
        for whole, part in zip(gradients, of):
            assert_allclose(whole[i], part, rtol=1e-12, atol=1e-14)


def test_a_training_step_with_a_predicted_variance():
    """The simplest thing that a user does."""
    rng = np.random.default_rng(6)
    y, t, var = np.zeros(500), rng.normal(2, 3, 500), np.ones(1)
    err, mean = get_err("Gaussian-NLL", reduction="mean"), np.zeros(1)
    for _ in range(20):
        loss, (of_y, of_var) = err.value_and_grad(y + mean, t, var)
        mean -= var*of_y.sum()
        var -= 2*var**2*of_var
    assert_allclose([mean[0], var[0]], [t.mean(), t.var()], rtol=1e-12)


OTHERS = [*NAMES, "MarginRankingLoss", "CosineEmbeddingLoss"]


@pytest.mark.parametrize("name", OTHERS)
def test_operands_of_other_shapes(name):
    """Refused, or as if they had been repeated: gradients have the shapes of what they are of."""
    err, rng = get_err(name, like=None if name in NAMES else "torch"), np.random.default_rng(7)
    taken = 0
    for shapes in itertools.product([(4, 3), (1, 3), (4, 1), (3,), (4,), (), (2, 4, 3)], repeat=len(err.inputs)):
        given = [rng.uniform(0.5, 2, shape) for shape in shapes]
        try:
            value, gradients = err.value_and_grad(*given)
        except ValueError:
            with pytest.raises(ValueError):
                err(*given)
            continue
        taken += 1
        assert [np.shape(each) for each in gradients] == [shapes[err.inputs.index(of)] for of in err.gradients]
        if name not in LIKELIHOODS:
            assert len(set(shapes)) == 1 or name in OTHERS[-2:]
            continue
        y, t, spread = given
        whole = [y, np.broadcast_to(t, y.shape), np.broadcast_to(spread.reshape(spread.shape + (1,)*(y.ndim - spread.ndim)), y.shape)]
        wanted, (of_y, of_whole) = err.value_and_grad(*whole)
        assert_array_equal(value, wanted)
        assert_array_equal(gradients[0], of_y)
        axes = tuple(i for i in range(y.ndim) if i >= spread.ndim or spread.shape[i] != y.shape[i])
        assert_allclose(gradients[1], np.sum(of_whole, axis=axes).reshape(spread.shape), rtol=1e-14, atol=1e-14)
    assert taken >= 1
