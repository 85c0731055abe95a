"""Losses whose targets are classes: labels or distributions, class_weight, label_smoothing, ignore_label, over the catalogue."""
import copy
import os
import pickle
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_err
from helpers import FLOATS, assert_same_bits
from oracles.losses import ORACLES, ROWS

# A new loss is of classes unless it is named here.
OF_OTHER_TARGETS = {
    "Square", "squared-error", "L1", "Huber", "smooth-L1", "log-cosh", "quantile", "epsilon-insensitive",
    "squared-epsilon-insensitive", "MAPE", "MSLE", "contrastive", "hinge-embedding", "KL", "Jensen-Shannon", "Poisson", "Gaussian-NLL",
    "Laplace-NLL", "cosine", "Tversky", "dice", "triplet", "InfoNCE"}
NAMES = [name for name in fastnn.losses() if name not in OF_OTHER_TARGETS]
OF_ROWS = [name for name in NAMES if name in ROWS]
ELEMENTWISE = [name for name in NAMES if name not in ROWS]
OF_TWO = [name for name in ELEMENTWISE if name != "Cross"]
SIDES = ("hinge", "squared-hinge", "soft-margin")               # of -1 and 1
OF_PROBABILITIES = ("Binary", "Cross")
BY_TERMS = [name for name in NAMES if get_err(name)._of_terms]
BCE, CE = "sigmoid-binary-cross-entropy", "softmax-cross-entropy"
WEIGHTS = (0.5, 0.0, 2.0, 1.0, 3.25)

each_name = pytest.mark.parametrize("name", NAMES)
each_of_two = pytest.mark.parametrize("name", OF_TWO)
each_of_rows = pytest.mark.parametrize("name", OF_ROWS)
each_float = pytest.mark.parametrize("dtype", FLOATS)


def predictions(name, shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.05, 0.95, shape) if name in OF_PROBABILITIES else 2*rng.normal(size=shape)).astype(dtype)


def targets(name, shape, dtype=np.float64, soft=False, seed=1):
    """Rows that sum to one, or elements of 0 and 1, or -1 and 1, or between them."""
    rng = np.random.default_rng(seed)
    if name in OF_TWO:
        t = rng.integers(2, size=shape).astype(float)
        t = np.where(rng.integers(2, size=shape), t, rng.integers(1, 8, shape)/8) if soft else t
        return (2*t - 1 if name in SIDES else t).astype(dtype)
    t = np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]
    return (rng.multinomial(16, np.ones(shape[-1])/shape[-1], shape[:-1])/16 if soft else t).astype(dtype)


def weights_for(name):
    return WEIGHTS[2:4] if name in OF_TWO else WEIGHTS


def close(got, wanted, dtype, scale=1.0):
    near = 64*np.finfo(dtype).eps
    assert_allclose(got, wanted, rtol=near, atol=near*scale)


@each_name
def test_every_loss_of_classes_has_the_three(name):
    assert {"class_weight", "label_smoothing", "ignore_label"} <= set(type(get_err(name)).hyperparameters)
    for other in OF_OTHER_TARGETS:
        assert not {"class_weight", "label_smoothing", "ignore_label"} & set(type(get_err(other)).hyperparameters)


OPTIONS = [{"class_weight": True}, {"label_smoothing": 0.25}, {"class_weight": True, "label_smoothing": 0.25}]


@each_name
@each_float
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("soft", [False, True])
def test_values_and_gradients(name, dtype, options, soft):
    y, t = predictions(name, (21, 5), dtype), targets(name, (21, 5), dtype, soft)
    values = {**options, **({"class_weight": weights_for(name)} if "class_weight" in options else {})}
    err = get_err(name, **values)
    got, gradient = err.value_and_grad(y, t)
    loss, slope = ORACLES[name](y, t, **values)
    assert got.dtype == gradient.dtype == dtype
    close(got, loss, dtype, 8)
    close(gradient, slope, dtype)
    assert_same_bits(err.forward(y, t), got)
    assert_same_bits(err.backward(), gradient)
    assert_same_bits(err.backward(y, t), gradient)
    assert_same_bits(err.forward(y, t, keep=False), got)


@each_name
@each_float
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions_and_sample_weights(name, dtype, options, reduction):
    y, t = predictions(name, (700, 5), dtype), targets(name, (700, 5), dtype, soft=True)
    err = get_err(name, **{**options, **({"class_weight": weights_for(name)} if "class_weight" in options else {})})
    losses, gradient = err.value_and_grad(y, t)
    for weights in (None, np.arange(700) % 4):
        each = np.ones(700) if weights is None else weights
        got, slope = err.value_and_grad(y, t, sample_weight=weights, reduction=reduction)
        share = 1/losses.size if reduction == "mean" else 1
        wanted = (losses.astype(float)*(each if losses.ndim == 1 else each[:, None])).sum()*share
        assert got == pytest.approx(wanted, rel=1e-13 if dtype is np.float64 else 1e-6)
        assert_allclose(slope, gradient*(each*share)[:, None], rtol=4*np.finfo(dtype).eps,
                        atol=8*np.finfo(dtype).eps*share)       # of two terms that cancel


@each_name
@each_float
def test_layouts_blocks_threads_and_halves(name, dtype):
    """As of one element or row after another, whatever its place in a block or column."""
    options = {"class_weight": weights_for(name), "label_smoothing": 0.125}
    err = get_err(name, **options)
    y, t = predictions(name, (1201, 5), dtype), targets(name, (1201, 5), dtype, soft=True)
    got, gradient = err.value_and_grad(y, t)
    for i in (0, 102, 103, 819, 1200):
        one, slope = err.value_and_grad(y[i], t[i])
        assert_same_bits(np.asarray(one), np.asarray(got[i]))
        assert_same_bits(slope, gradient[i])
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1].copy()[::-1]):
        other, slope = err.value_and_grad(layout(y), layout(t))
        assert_array_equal(other, got)
        assert_array_equal(slope, gradient)
    wide, before = np.tile(y, (9, 1)), fastnn.get_num_threads()
    try:
        results = []
        for n in (1, 3):
            fastnn.set_num_threads(n)
            results.append(err.value_and_grad(wide, np.tile(t, (9, 1)), reduction="mean"))
        assert results[0][0] == results[1][0]
        assert_same_bits(results[0][1], results[1][1])
    finally:
        fastnn.set_num_threads(before)
    half, of_half = err.value_and_grad(y.astype(np.float16), t)
    single = err.value_and_grad(y.astype(np.float16).astype(np.float32), t)
    assert half.dtype == of_half.dtype == np.float16
    assert_allclose(half, single[0], rtol=1e-3, atol=1e-6)
    assert_allclose(of_half, single[1], rtol=1e-3, atol=1e-3)


@each_of_two
def test_weights_for_each_column(name):
    """Pairs, dicts or one array: of each column what a loss with that pair has."""
    y, t = predictions(name, (300, 3)), targets(name, (300, 3), soft=True)
    pairs = np.array([(0.5, 2), (1, 0), (3, 1.25)])
    lowest = -1 if name in SIDES else 0
    for given in (pairs, pairs.tolist(), [{lowest: a, 1: b} for a, b in pairs], tuple(map(tuple, pairs))):
        err = get_err(name, class_weight=given, label_smoothing=0.125)
        assert err.class_weight == tuple(map(tuple, pairs))
        for layout in (np.ascontiguousarray, np.asfortranarray):
            got, gradient = err.value_and_grad(layout(y), layout(t))
            for k, one in enumerate(pairs):
                loss, slope = get_err(name, class_weight=one, label_smoothing=0.125).value_and_grad(y[:, k], t[:, k])
                assert_allclose(got[:, k], loss, rtol=1e-14, atol=1e-15)
                assert_allclose(gradient[:, k], slope, rtol=1e-14, atol=1e-15)
    for shape in ((4,), (4, 2), ()):
        with pytest.raises(ValueError, match="class_weight has 3 columns"):
            err(np.full(shape, 0.5), np.ones(shape))


def test_pos_weight():
    x, t = predictions(BCE, (300, 3)), targets(BCE, (300, 3), soft=True)
    given = np.array([0.5, 3, 0])
    err = get_err(BCE, pos_weight=given, label_smoothing=0.125)
    got, gradient = err.value_and_grad(x, t)
    for k, one in enumerate(given):
        loss, slope = ORACLES[BCE](x[:, k], t[:, k], pos_weight=one, label_smoothing=0.125)
        assert_allclose(got[:, k], loss, rtol=1e-13, atol=1e-15)
        assert_allclose(gradient[:, k], slope, rtol=1e-13, atol=1e-15)
    assert_same_bits(get_err(BCE, pos_weight=3)(x, t), get_err(BCE, class_weight=(1, 3))(x, t))
    both = get_err(BCE, pos_weight=given, class_weight=(2, 0.5))
    assert_allclose(both(x, t), get_err(BCE, class_weight=[(2, 0.5*p) for p in given])(x, t), rtol=1e-15)
    assert get_err(BCE, pos_weight=[3.0]).pos_weight == get_err(BCE, pos_weight=np.array(3)).pos_weight == 3
    for wrong in (np.ones((300, 2)), np.ones(2), 1.0):
        with pytest.raises(ValueError, match="pos_weight has 3 columns"):
            err(wrong, wrong)
    for bad, error in ((-1, ValueError), (np.nan, ValueError), ([], ValueError), (np.ones((2, 2)), ValueError), ("a", TypeError)):
        with pytest.raises(error, match="pos_weight"):
            get_err(BCE, pos_weight=bad)


@each_name
def test_a_dict_has_1_for_labels_that_are_not_in_it(name):
    y, t = predictions(name, (30, 5)), targets(name, (30, 5))
    err, plain = get_err(name, class_weight={1: 3}), (1, 3) if name in OF_TWO else (1, 3, 1, 1, 1)
    for one in (err, copy.copy(err), pickle.loads(pickle.dumps(err)), eval(repr(err)), get_err(name, class_weight={1.0: 3}),
                get_err(name, class_weight={np.int64(1): np.float32(3)})):
        assert_same_bits(one(y, t), get_err(name, class_weight=plain)(y, t))
    assert_array_equal(get_err(name, class_weight={})(y, t), get_err(name)(y, t))


@each_name
@pytest.mark.parametrize(("given", "error", "message"), [
    ({0: -1}, ValueError, "finite and at least 0"), ({0: np.inf}, ValueError, "finite"), ({"a": 1}, TypeError, "integer labels"),
    ({0.5: 1}, TypeError, "integer labels"), ({0: "a"}, TypeError, "must be numbers"), ({-2: 1}, ValueError, "has label -2"),
    ([-1, 2], ValueError, "finite"), ([np.nan, 2], ValueError, "finite"), (np.ones((2, 2, 2)), ValueError, "not an array"),
    ("ab", TypeError, "'balanced'"), ("Balanced", TypeError, "'balanced'"), ([None, 1], TypeError, "numbers"),
    (3.0, ValueError, "not an array")])
def test_bad_weights(name, given, error, message):
    with pytest.raises(error, match=message):
        get_err(name, class_weight=given)


def test_labels_that_there_are_not():
    for name in OF_TWO:
        with pytest.raises(ValueError, match="has label 2, and labels are"):
            get_err(name, class_weight={2: 1})
    for name in SIDES:
        assert get_err(name, class_weight={-1: 2}).class_weight == get_err(name, class_weight={0: 2}).class_weight == (2, 1)
        with pytest.raises(ValueError, match="-1 and 0, which are one class"):
            get_err(name, class_weight={-1: 2, 0: 1})
    for name in [*OF_ROWS, "Cross"]:
        with pytest.raises(ValueError, match="has label 5, and labels are from 0 to 4"):
            get_err(name, class_weight={5: 1})(np.full((3, 5), 0.5), np.eye(5)[:3])
        for bad in (np.ones(4), np.ones(6)):
            with pytest.raises(ValueError, match="class_weight (must have 5|has .) numbers"):
                get_err(name, class_weight=bad)(np.full((3, 5), 0.5), np.eye(5)[:3])


def test_balanced_is_scikit_learn_s():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    labels = np.random.default_rng(0).choice([0, 1, 3], 50, p=[0.6, 0.3, 0.1])
    present = compute("balanced", classes=np.array([0, 1, 3]), y=labels)
    weights = [*present[:2], 1, present[2]]
    x = predictions(CE, (50, 4))
    for name in OF_ROWS:
        wanted = get_err(name, class_weight=weights)
        for t in (labels, np.eye(4)[labels], labels[:, None]):
            assert_allclose(get_err(name, class_weight="balanced")(x, t), wanted(x, t), rtol=1e-14)
    yes = labels.clip(max=1)
    pair = compute("balanced", classes=np.array([0, 1]), y=yes)
    for name in OF_TWO:
        y = predictions(name, (50,))
        wanted = get_err(name, class_weight=pair)(y, yes)
        assert_allclose(get_err(name, class_weight="balanced")(y, yes), wanted, rtol=1e-14)
        assert_allclose(get_err(name, class_weight="balanced")(y[:, None], yes[:, None])[:, 0], wanted, rtol=1e-14)


@each_of_two
def test_balanced_counts_each_column_and_only_what_counts(name):
    y, t = predictions(name, (40, 3)), targets(name, (40, 3))
    got = get_err(name, class_weight="balanced")(y, t)
    for k in range(3):
        assert_allclose(got[:, k], get_err(name, class_weight="balanced")(y[:, k], t[:, k]), rtol=1e-14)
    given = np.where(np.arange(40)[:, None] % 3, t, 7)
    ignoring = get_err(name, class_weight="balanced", ignore_label=7)
    kept = np.arange(40) % 3 > 0
    assert_allclose(ignoring(y, given)[kept], get_err(name, class_weight="balanced")(y[kept], t[kept]), rtol=1e-14)
    given[0] = np.nan
    weights = np.arange(40) > 0
    assert_allclose(ignoring(y, given, sample_weight=weights)[kept], ignoring(y, given)[kept])
    one = np.ones_like(t)
    assert_array_equal(get_err(name, class_weight="balanced")(y, one), get_err(name)(y, one))      # of a class alone


@each_of_rows
def test_balanced_labels_without_the_ignored(name):
    x, labels = predictions(name, (40, 4)), np.random.default_rng(0).integers(3, size=40)
    given = np.where(np.arange(40) % 3, labels, -1)
    kept = given >= 0
    got = get_err(name, class_weight="balanced", ignore_label=-1)(x, given)
    assert_allclose(got[kept], get_err(name, class_weight="balanced")(x[kept], labels[kept]), rtol=1e-14)
    assert_array_equal(got[~kept], 0)


@each_of_rows
@each_float
def test_labels_are_one_hot_rows(name, dtype):
    """With weights, smoothing, a column of labels as Keras has them; only the mean divides by another number."""
    x, labels = predictions(name, (2, 9, 5), dtype), np.random.default_rng(8).integers(5, size=(2, 9))
    for options in ({}, {"class_weight": WEIGHTS}, {"class_weight": {2: 3}}, {"label_smoothing": 0.25},
                    {"class_weight": WEIGHTS, "label_smoothing": 0.25}):
        err = get_err(name, **options)
        got, gradient = err.value_and_grad(x, labels)
        column, of_column = err.value_and_grad(x, labels[..., None])
        assert_same_bits(column, got)
        assert_same_bits(of_column, gradient)
        loss, slope = err.value_and_grad(x, np.eye(5, dtype=dtype)[labels])
        assert_allclose(got, loss, rtol=1e-6)
        assert_allclose(gradient, slope, rtol=1e-6, atol=1e-6)
        weights = np.ones(18) if "class_weight" not in options else np.array(
            [3 if label == 2 else 1 for label in labels.flat]) if isinstance(options["class_weight"], dict) else np.array(
            WEIGHTS)[labels.ravel()]
        assert err(x, labels, reduction="mean") == pytest.approx(got.sum()/weights.sum(), rel=1e-6)
    for bad in (labels[..., None].astype(float), labels[..., None] > 2):
        with pytest.raises(TypeError, match="labels must be integers"):
            err(x, bad)
    with pytest.raises(ValueError, match="labels must be from 0 to 4"):
        err(x, labels[..., None] - 1)


@each_of_rows
@each_float
def test_ignored_labels(name, dtype):
    x, t = predictions(name, (2, 9, 5), dtype), np.random.default_rng(8).integers(5, size=(2, 9))
    for options in ({}, {"class_weight": WEIGHTS}, {"label_smoothing": 0.25}):
        err, ignoring = get_err(name, **options), get_err(name, ignore_label=-1, **options)
        given = t.copy()
        given[0, ::2] = -1
        x[0, 0] = np.nan
        for labels in (given, given[..., None]):
            loss, gradient = ignoring.value_and_grad(x, labels)
            assert_array_equal(loss[0, ::2], 0)
            assert_array_equal(gradient[0, ::2], 0)
            assert_same_bits(loss[1], err.forward(x[1], t[1]))
        counted = given >= 0
        assert ignoring(x, given, reduction="mean") == pytest.approx(err(x[counted], t[counted], reduction="mean"), rel=1e-6)
        with pytest.raises(ValueError, match="labels must be from 0 to 4"):
            ignoring.forward(x, t - 5)
        with pytest.raises(ValueError, match="labels must be from 0 to 4"):
            err.forward(x, given)


@each_of_rows
def test_a_class_that_is_ignored_is_that_of_labels(name):
    """As in PyTorch, which takes a negative one, its default, beside distributions."""
    x, t = predictions(name, (6, 5)), targets(name, (6, 5))
    for method in ("forward", "backward", "value_and_grad"):
        with pytest.raises(ValueError, match="ignore_label=3 is that of labels"):
            getattr(get_err(name, ignore_label=3), method)(x, t)
    assert_same_bits(get_err(name, ignore_label=-100)(x, t), get_err(name)(x, t))


@pytest.mark.parametrize("name", ELEMENTWISE)
@each_float
@pytest.mark.parametrize("options", [{}, {"class_weight": True}, {"label_smoothing": 0.25}], ids=str)
def test_ignored_targets(name, dtype, options):
    options = {"class_weight": weights_for(name)[:3]} if "class_weight" in options else options
    x, t = predictions(name, (900, 2 if name in OF_TWO else 3), dtype), targets(name, (900, 2 if name in OF_TWO else 3), dtype)
    ignored = np.random.default_rng(5).integers(2, size=t.shape).astype(bool)
    given, broken = np.where(ignored, 7, t), np.where(ignored, np.nan, x)
    err, plain = get_err(name, ignore_label=7, **options), get_err(name, **options)
    losses, gradient = err(broken, given), err.backward()
    assert_array_equal(losses[ignored], 0)
    assert_array_equal(gradient[ignored], 0)
    assert_same_bits(losses[~ignored], plain(x, t)[~ignored])
    assert_same_bits(gradient[~ignored], plain.backward()[~ignored])
    mean = plain(x, t).astype(float)[~ignored].mean()
    assert err(broken, given, reduction="mean") == pytest.approx(mean, rel=1e-13 if dtype is np.float64 else 1e-6)
    assert_allclose(err.backward()[~ignored], gradient[~ignored]/(~ignored).sum(), rtol=2*np.finfo(dtype).eps)
    assert_same_bits(err.backward(broken, given, reduction="mean"), err.backward())
    assert np.isnan(err(broken[ignored][:3], given[ignored][:3], reduction="mean"))


@each_name
def test_a_class_of_weight_0_is_left_out(name):
    """Even what is NaN."""
    y, out = predictions(name, (8, 2)), np.arange(8) % 2 == 1
    if name in OF_TWO:
        t = np.repeat(np.where(out, 1, -1 if name in SIDES else 0), 2).reshape(8, 2)
        y[out] = np.nan
    elif name in ROWS:
        t = out.astype(int)
        y[out] = np.nan
    else:
        t, y[:, 1] = np.eye(2)[out.astype(int)], np.nan
    loss, gradient = get_err(name, class_weight=(1, 0)).value_and_grad(y, t)
    wanted, slope = get_err(name).value_and_grad(y, t)
    for got, plain in ((loss, wanted), (gradient, slope)):
        if name == "Cross":
            got, plain = got.T[::-1], plain.T[::-1]
            assert_array_equal(got[0], 0)
            assert_array_equal(got[1], plain[1])
        else:
            assert_array_equal(got[out], 0)
            assert_allclose(got[~out], plain[~out], rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(("values", "error"), [
    ({"label_smoothing": -0.1}, ValueError), ({"label_smoothing": 1.0}, ValueError), ({"label_smoothing": "a"}, TypeError),
    ({"ignore_label": 1.5}, TypeError), ({"ignore_label": True}, TypeError), ({"ignore_label": "a"}, TypeError)])
def test_bad_options(values, error):
    for name in OF_ROWS:
        with pytest.raises(error, match=next(iter(values))):
            get_err(name, **values)


def test_smoothed_sides_are_smoothed_bits():
    """Of -1 and 1 what Keras' label_smoothing makes of 0 and 1, as shares."""
    y, bits = predictions("hinge", (50,)), targets(BCE, (50,))
    for name in SIDES:
        smoothed = 2*(bits*0.75 + 0.125) - 1
        assert_allclose(get_err(name, label_smoothing=0.25)(y, bits), get_err(name)(y, smoothed), rtol=1e-14)


# Against installed libraries

def test_pos_weight_is_torch_s():
    torch = pytest.importorskip("torch")
    x, t = predictions(BCE, (40, 3)), targets(BCE, (40, 3), soft=True)
    for given in (3.0, [0.5, 3, 20], [2.5]):
        for reduction in ("none", "mean", "sum"):
            theirs = torch.tensor(x, requires_grad=True)
            wanted = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(given, dtype=torch.float64), reduction=reduction)(
                theirs, torch.tensor(t))
            wanted.sum().backward()
            got, gradient = get_err(BCE, pos_weight=given, reduction=reduction).value_and_grad(x, t)
            assert_allclose(got, wanted.detach().numpy(), rtol=1e-12, atol=1e-13)
            assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_torch_refuses_what_is_refused():
    torch = pytest.importorskip("torch")
    x, t = torch.zeros(3, 4), torch.full((3, 4), 0.25)
    with pytest.raises(Exception, match="ignore_index is not supported for floating point target"):
        torch.nn.CrossEntropyLoss(ignore_index=1)(x, t)
    assert torch.nn.CrossEntropyLoss(ignore_index=-1)(x, t) == pytest.approx(np.log(4))
    assert get_err(CE, ignore_label=-1)(np.zeros((3, 4)), np.full((3, 4), 0.25)) == pytest.approx(np.log(4))


@pytest.fixture
def losses_of_keras(monkeypatch):
    if find_spec("keras") is None:
        pytest.skip("no Keras here")
    if "KERAS_BACKEND" not in os.environ and find_spec("tensorflow") is None:
        monkeypatch.setenv("KERAS_BACKEND", "jax" if find_spec("jax") else "numpy")
    import keras
    return keras.losses


@pytest.mark.parametrize("smoothing", [0, 0.25])
def test_soft_targets_are_keras(losses_of_keras, smoothing):
    """Which computes in float32."""
    x, soft, hard = predictions(CE, (40, 5)), targets(CE, (40, 5), soft=True), targets(CE, (40, 5))
    for t in (soft, hard):
        smoothed = t*(1 - smoothing) + smoothing/5
        for name, wanted in (
                ("categorical-hinge", losses_of_keras.CategoricalHinge(reduction="none")(smoothed, x)),
                (CE, losses_of_keras.CategoricalCrossentropy(True, smoothing, reduction="none")(t, x)),
                ("softmax-focal", losses_of_keras.CategoricalFocalCrossentropy(
                    alpha=1, from_logits=True, label_smoothing=smoothing, reduction="none")(t, x))):
            assert_allclose(get_err(name, label_smoothing=smoothing)(x, t), np.asarray(wanted), rtol=2e-5, atol=2e-6)
    labels = hard.argmax(axis=1)
    wanted = losses_of_keras.SparseCategoricalCrossentropy(True, reduction="none")(labels[:, None], x)
    assert_allclose(get_err(CE)(x, labels[:, None]), np.asarray(wanted), rtol=2e-5)


@pytest.mark.parametrize("smoothing", [0, 0.25])
def test_weights_of_two_classes_are_those_of_keras_fit(losses_of_keras, smoothing):
    """fit(class_weight={0: a, 1: b}) multiplies a sample's loss by the weight of its label, and divides by their number."""
    bits = targets(BCE, (40, 1))
    each = np.where(bits[:, 0], 3, 0.5)
    for name, theirs in (
            ("sigmoid-focal", losses_of_keras.BinaryFocalCrossentropy(True, from_logits=True, label_smoothing=smoothing)),
            ("Binary", losses_of_keras.BinaryCrossentropy()), ("hinge", losses_of_keras.Hinge()),
            ("squared-hinge", losses_of_keras.SquaredHinge())):
        if smoothing and name != "sigmoid-focal":
            continue
        y = predictions(name, (40, 1))
        err = get_err(name, class_weight={0: 0.5, 1: 3}, label_smoothing=smoothing, reduction="mean")
        assert err(y, bits) == pytest.approx(float(theirs(bits, y, sample_weight=each)), rel=1e-5), name
