"""Error functions and their gradients against exact arithmetic; labels, shapes, dtypes, what is kept."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import bounds, get_act, get_err
from helpers import FLOATS, LOSSES, assert_close, assert_same_bits
from oracles.losses import OF_SEVERAL, ORACLES, ROWS

ROW = "softmax-cross-entropy"
ELEMENTWISE = [name for name in LOSSES if name not in ROWS]
PROBABILITIES = ["Binary", "Cross", "Jensen-Shannon", "MSLE"]
OTHER_HYPERPARAMETERS = [               # besides the defaults; those of options that are no numbers, too
    ("Huber", {"delta": 0.3}), ("Huber", {"delta": 30.0}), ("smooth-L1", {"beta": 0.3}), ("smooth-L1", {"beta": 30.0}),
    ("quantile", {"q": 0.875}), ("epsilon-insensitive", {"epsilon": 1.5}), ("epsilon-insensitive", {"epsilon": 0.0}),
    ("squared-epsilon-insensitive", {"epsilon": 1.5}), ("MAPE", {"epsilon": 0.3, "scale": 1.0}),
    ("contrastive", {"margin": 2.5}), ("KL", {"log_target": True}), ("KL", {"log_input": False}),
    ("Poisson", {"log_input": False}), ("Poisson", {"log_input": False, "eps": 0.01}),
    ("Poisson", {"full": True}), ("Poisson", {"full": True, "log_input": False}),
    ("sigmoid-binary-cross-entropy", {"class_weight": (0.5, 3.0)}),
    ("sigmoid-binary-cross-entropy", {"label_smoothing": 0.25}),
    ("sigmoid-binary-cross-entropy", {"label_smoothing": 0.5, "class_weight": (2.0, 0.25)}),
    ("sigmoid-binary-cross-entropy", {"pos_weight": 3.0, "class_weight": (0.5, 2.0)}),
    ("sigmoid-focal", {"gamma": 0.0}), ("sigmoid-focal", {"gamma": 1.0, "alpha": None}),
    ("sigmoid-focal", {"gamma": 3.0, "alpha": 0.75}), ("sigmoid-focal", {"gamma": 2.0, "label_smoothing": 0.25})]
CASES = [*((name, {}) for name in ELEMENTWISE), *OTHER_HYPERPARAMETERS]
each_case = pytest.mark.parametrize(("name", "values"), CASES, ids=str)

each_name = pytest.mark.parametrize("name", LOSSES)
each_elementwise = pytest.mark.parametrize("name", ELEMENTWISE)
each_float = pytest.mark.parametrize("dtype", FLOATS)


def samples(name, dtype, probabilities=False):
    """Predictions and targets of shape (n, 4); targets sum to one along the last axis."""
    rng = np.random.default_rng(5)
    if name in PROBABILITIES or probabilities:
        y = np.concatenate([rng.uniform(size=(40, 4)), 10.0**rng.uniform(-30, 0, (20, 4)),
                            1 - 10.0**rng.uniform(-7, 0, (20, 4)),
                            [[0, 1, 0, 1], [1e-13, 1e-12, 1e-11, 1], [1e-40, 3e-44, 4e-44, 1e-45]]])
    else:
        y = np.concatenate([rng.normal(size=(40, 4)), rng.normal(size=(20, 4))*30,
                            10.0**rng.uniform(-20, 4, (20, 4)),
                            [[1e4, -1e4, 0, 1], [-1e4, 1e4, -1e4, 9e3], [0, -0.0, 1e-30, -1e-30]]])
    t = rng.dirichlet(np.ones(4), len(y))
    t[::2] = np.eye(4)[rng.integers(4, size=len(t[::2]))]
    t[-1] = [0.25]*4
    return y.astype(dtype), (t*2**20).round().astype(dtype)/2**20


def largest_terms(name, y, t, h):
    """Of value and gradient, elementwise: 0 where there is no difference of terms."""
    y, t = y.astype(np.float64), t.astype(np.float64)
    with np.errstate(all="ignore"):
        d, logs = abs(y - t), np.where(t > 0, abs(np.log(np.where(t > 0, t, 1))), 0)
        if name == "sigmoid-binary-cross-entropy":
            p, s = 1/(1 + np.exp(y)), t*(1 - h["label_smoothing"]) + h["label_smoothing"]/2
            negative, positive = h["class_weight"] or (1, 1)
            positive *= h["pos_weight"] or 1
            if h["label_smoothing"] or h["class_weight"] or h["pos_weight"]:
                return 0, np.maximum(negative*(1 - s)*(1 - p), positive*s*p)
            return 0, np.where(y < 0, np.maximum(1 - p, t), np.maximum(p, 1 - t))  # sigmoid(x) - t = (1 - t) - sigmoid(-x)
        if name == "sigmoid-focal":
            p, s = 1/(1 + np.exp(-y)), t*(1 - h["label_smoothing"]) + h["label_smoothing"]/2
            q = p*(1 - s) + (1 - p)*s
            alpha = 1 if h["alpha"] is None else np.maximum(h["alpha"]*s, (1 - h["alpha"])*(1 - s))
            hard = (t == 0) | (t == 1)
            cross = s*np.log1p(np.exp(-y)) + (1 - s)*np.log1p(np.exp(y))
            return 0, np.where(hard & (h["label_smoothing"] == 0), 0,
                               alpha*q**h["gamma"]*np.maximum(1, h["gamma"]*np.nan_to_num(p*(1 - p)/q*cross)))
        if name == "log-cosh":
            return np.where(d > 1.25, d, 0), 0
        if name.endswith("epsilon-insensitive"):
            return (d**2, 2*d) if name.startswith("squared") else (d, 0)
        if name.endswith("hinge"):
            term = np.maximum(1, abs(t*y))
            return (term**2, 2*np.where(t, abs(t), 1)*term) if name.startswith("squared") else (term, 0)
        if name == "contrastive":
            below = np.maximum(h["margin"], abs(y))
            return np.maximum(t*y*y, (1 - t)*below**2), 2*np.maximum(t*abs(y), (1 - t)*below)
        if name == "KL":
            if h["log_target"]:
                return np.exp(t)*np.maximum(abs(t), abs(y)), 0
            return t*np.maximum(logs, abs(y) if h["log_input"] else np.nan_to_num(abs(np.log(y)), posinf=0)), 0
        if name == "Jensen-Shannon":
            m = (y + t)/2
            return np.nan_to_num(np.maximum(t*abs(np.log(t/m)), y*abs(np.log(y/m)))/2), 0
        if name == "Poisson":
            if h["log_input"]:
                return np.maximum(np.exp(y), t*abs(y)), np.maximum(np.exp(y), t)
            return np.maximum(y, t*abs(np.log(y + h["eps"]))), np.maximum(1, t/(y + h["eps"]))
        if name == "MSLE":
            return np.maximum(np.log1p(y), np.log1p(t))**2, 0
    return 0, 0


def test_every_loss_has_an_oracle():
    assert set(fastnn.losses()) == {*ORACLES, *OF_SEVERAL}


@each_case                                  # the other ones: test_rows.py
@each_float
def test_values_and_gradients(name, values, dtype):
    """Terms of one sign need no floor: small losses and gradients keep their digits."""
    y, t = samples(name, dtype, values.get("log_input") is False)
    err = get_err(name, **values)
    held = {k: getattr(err, k) for k in err.hyperparameters if k != "ignore_label"}
    held = {k: float(dtype(v)) if isinstance(v, float) else v for k, v in held.items()}
    results = err.forward(y, t), err.backward()
    floors = largest_terms(name, y, t, held)
    for got, exact, floor, bound in zip(results, ORACLES[name](y, t, **held), floors, bounds.loss_ulps(name)):
        assert got.dtype == dtype
        assert_close(got, exact, np.stack([y, t], -1).reshape(-1, 2), bound, dtype, floor)
    assert_same_bits(err.backward(y, t), results[1])


ROW_CASES = [*((name, {}) for name in ROWS if name != ROW), ("softmax-focal", {"gamma": 0.0}),
             ("softmax-focal", {"gamma": 3.0}), ("softmax-focal", {"gamma": 1.5}), ("cosine", {"eps": 1.0}),
             ("Tversky", {"alpha": 0.25, "beta": 0.75}), ("Tversky", {"smooth": 1.0}), ("dice", {"smooth": 1.0})]


@pytest.mark.parametrize(("name", "values"), ROW_CASES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 4, 9, 130])
@each_float
def test_values_and_gradients_of_rows(name, values, n, dtype):
    """Sums are taken in double precision; where they cancel the unit is that of 1, their size here."""
    rng = np.random.default_rng(n)
    y, t = rng.normal(size=(60, n))*3, rng.dirichlet(np.ones(n), 60)
    if name in ("Tversky", "dice"):
        y, t = rng.uniform(size=(60, n)), rng.uniform(size=(60, n))
    t[::2] = np.eye(n)[rng.integers(n, size=30)]
    y, t = y.astype(dtype), t.astype(dtype)
    err = get_err(name, **values)
    got, gradient = err.forward(y, t), err.backward()
    loss, slope = ORACLES[name](y, t, **values)
    assert got.dtype == gradient.dtype == dtype
    scale = 8*np.finfo(dtype).eps
    assert_allclose(got, loss, rtol=scale, atol=scale*(n if dtype is np.float64 else 1))
    assert_allclose(gradient, slope, rtol=scale, atol=scale)
    assert_same_bits(err.backward(y, t), gradient)
    assert_same_bits(err.forward(y, t, keep=False), got)


@pytest.mark.parametrize("name", ["cosine", "Tversky", "dice"])
def test_losses_of_pairs_of_rows_take_no_labels(name):
    with pytest.raises(ValueError, match="targets must have shape"):
        get_err(name).forward(np.ones((3, 4)), [0, 1, 2])


def test_a_kullback_leibler_divergence_of_what():
    with pytest.raises(ValueError, match="log_target=True goes with log_input=True"):
        get_err("KL", log_input=False, log_target=True)
    with pytest.raises(TypeError, match="log_input must be True or False"):
        get_err("KL", log_input=1)


@pytest.mark.parametrize(("name", "y", "t", "loss", "gradient"), [
    ("Binary", 0, 1, 100, -1e12), ("Binary", 0, 0, 0, 0), ("Binary", 1, 1, 0, 0), ("Binary", 1, 0, 100, 1e12),
    ("Binary", 0, 0.5, 50, -5e11), ("Cross", 0, 1, 100, -1e12), ("Cross", 0, 0, 0, 0), ("Cross", 1, 1, 0, -1),
    ("Cross", 1, 0, 0, 0), ("Cross", 0, 0.5, 50, -5e11)])
@each_float
def test_held_values(name, y, t, loss, gradient, dtype):
    err = get_err(name)
    assert_allclose(err.forward(dtype(y), dtype(t)), loss, rtol=1e-7)
    assert_allclose(err.backward(), gradient, rtol=1e-7)


@pytest.mark.parametrize(("x", "t", "loss", "gradient"), [
    (np.inf, 1, 0, 0), (np.inf, 0, np.inf, 1), (-np.inf, 0, 0, 0), (-np.inf, 1, np.inf, -1),
    (np.inf, 0.5, np.inf, 0.5),
    (1e4, 1, 0, 0), (1e4, 0, 1e4, 1), (-1e4, 1, 1e4, -1), (-1e4, 0, 0, 0), (0, 0.5, np.log(2), 0),
    (np.nan, 1, np.nan, np.nan)])
@each_float
def test_sigmoid_pair_at_the_limits(x, t, loss, gradient, dtype):
    err = get_err("sigmoid-binary-cross-entropy")
    assert_allclose(err.forward(dtype(x), dtype(t)), loss, rtol=1e-6)
    assert_allclose(err.backward(), gradient, rtol=1e-6)


@pytest.mark.parametrize(("x", "label", "loss", "gradient"), [
    ([np.inf, 0, 1], 0, 0, [0, 0, 0]), ([np.inf, 0, 1], 1, np.inf, [1, -1, 0]),
    ([-np.inf, 0, 0], 1, np.log(2), [0, -.5, .5]),
    ([-np.inf, 0, 0], 0, np.inf, [-1, .5, .5]), ([1e4, -1e4, 0], 0, 0, [0, 0, 0]),
    ([1e4, -1e4, 0], 1, 2e4, [1, -1, 0]),
    ([np.nan, 0, 1], 1, np.nan, [np.nan]*3), ([5000, 5000, 5000], 2, np.log(3), [1/3, 1/3, -2/3])])
@each_float
def test_softmax_pair_at_the_limits(x, label, loss, gradient, dtype):
    x = np.array(x, dtype)
    for t in (label, np.eye(3, dtype=dtype)[label]):
        err = get_err(ROW)
        assert_allclose(err.forward(x, t), loss, rtol=1e-6)
        assert_allclose(err.backward(), gradient, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(("pair", "loss", "activator"), [
    ("softmax-cross-entropy", "Cross", "softmax"), ("sigmoid-binary-cross-entropy", "Binary", "sigmoid")])
def test_fused_pairs_are_their_parts(pair, loss, activator):
    rng = np.random.default_rng(6)
    x, t = rng.normal(size=(30, 5)), np.eye(5)[rng.integers(5, size=30)]
    act, fused, err = get_act(activator), get_err(pair), get_err(loss)
    y = act.forward(x)
    elementwise = err.forward(y, t)
    assert_allclose(fused.forward(x, t), elementwise.sum(axis=1) if pair == ROW else elementwise, rtol=1e-12)
    assert_allclose(fused.backward(), act.backward(x, y, grad=err.backward()), rtol=1e-10, atol=1e-14)


@each_name
@each_float
def test_gradients_are_numerical_ones(name, dtype):
    rng = np.random.default_rng(7)
    y, t = rng.uniform(0.2, 0.8, (3, 4)), rng.dirichlet(np.ones(4), 3)
    err = get_err(name)
    numeric = np.empty_like(y)
    for i in np.ndindex(y.shape):
        step = np.zeros_like(y)
        step[i] = 1e-6
        numeric[i] = (err.forward(y + step, t).sum() - err.forward(y - step, t).sum())/2e-6
    assert_allclose(err.backward(y.astype(dtype), t.astype(dtype)), numeric, rtol=2e-5, atol=2e-6)


# What goes in

@pytest.mark.parametrize("labels", [np.int8, np.int64, np.uint8, np.uint64, ">i4", list])
@each_float
def test_labels_are_one_hot_rows(labels, dtype):
    rng = np.random.default_rng(8)
    x, t = (4*rng.normal(size=(2, 9, 5))).astype(dtype), rng.integers(5, size=(2, 9))
    given = t.tolist() if labels is list else t.astype(labels)
    one, other = get_err(ROW), get_err(ROW)
    for one_hot in (np.eye(5, dtype=dtype)[t], np.eye(5, dtype=bool)[t], np.eye(5, dtype=np.int32)[t]):
        assert_allclose(one.forward(x, given), other.forward(x, one_hot), rtol=1e-6)
        assert_allclose(one.backward(), other.backward(), rtol=1e-6, atol=1e-7)
    assert one.error.shape == (2, 9) and one.backward().shape == x.shape
    assert_same_bits(one.forward(np.asfortranarray(x), t[::-1][::-1]), one.forward(x, t))


@pytest.mark.parametrize(("t", "error", "message"), [
    ([0, 1, 5], ValueError, "0 to 4"), ([0, -1, 2], ValueError, "0 to 4"),
    ([0.0, 1.0, 2.0], TypeError, "integers"),
    ([True, False, True], TypeError, "integers"), ([0, 1], ValueError, "shape"),
    ([[0, 1], [1, 0], [2, 2]], ValueError, "shape"),
    (3, ValueError, "shape"), (np.zeros((3, 4)), ValueError, "shape"),
    (np.zeros((3, 5), complex), TypeError, "complex"),
    (["a", "b", "c"], TypeError, "integers"), (np.full((3, 5), None), TypeError, "object"),
    (None, TypeError, "targets are missing"),
    (np.array([0, 1, 2**63], np.uint64), ValueError, "0 to 4")])
def test_bad_labels_change_nothing(t, error, message):
    err = get_err(ROW)
    kept = err.forward(np.eye(3), [0, 1, 1]).copy()
    gradient = err.backward().copy()
    with pytest.raises(error, match=message):
        err.forward(np.ones((3, 5)), t)
    assert_array_equal(err.error, kept)
    assert_array_equal(err.backward(), gradient)


@each_elementwise
@pytest.mark.parametrize(("y", "t", "error"), [
    (np.ones((3, 4)), np.ones((4, 3)), ValueError), (np.ones(3), np.ones((3, 1)), ValueError),
    (np.ones(3), np.ones(3, complex), TypeError), (np.ones(3, object), np.ones(3), TypeError),
    ("y", "t", TypeError),
    (np.ones(3), ["a"]*3, TypeError), (np.ones((2, 2)), None, TypeError), (None, np.ones(2), TypeError)])
def test_bad_pairs_change_nothing(name, y, t, error):
    err = get_err(name)
    kept = err.forward(np.full(2, 0.5), np.ones(2)).copy()
    gradient = err.backward().copy()
    for call in (err.forward, err.backward):
        with pytest.raises(error):
            call(y, t)
    assert_array_equal(err.error, kept)
    assert_array_equal(err.backward(), gradient)


@pytest.mark.parametrize("x", [1.0, np.array(2.0), np.ones((2, 3), complex), "x", np.ones(3, object), None])
def test_bad_logits(x):
    with pytest.raises((TypeError, ValueError)):
        get_err(ROW).forward(x, 0)


@each_elementwise
@pytest.mark.parametrize(("dtype", "wanted"), [
    (np.float32, np.float32), (np.float64, np.float64), (np.float16, np.float16), (">f4", np.float32),
    (np.int64, np.float64),
    (bool, np.float64)])
@pytest.mark.parametrize("target", [np.float32, np.float64, np.int8, bool])
def test_dtype_is_that_of_the_predictions(name, dtype, wanted, target):
    err = get_err(name)
    y, t = np.array([0, 1, 1, 0]).astype(dtype), np.array([0, 1, 0, 1]).astype(target)
    assert err.forward(y, t).dtype == err.backward().dtype == wanted
    assert type(err.forward(y[0], t[0])) is type(err.backward()) is wanted


@pytest.mark.parametrize(("dtype", "wanted"), [
    (np.float32, np.float32), (np.float64, np.float64), (np.float16, np.float16), (">f4", np.float32),
    (np.int64, np.float64)])
def test_dtype_is_that_of_the_logits(dtype, wanted):
    err = get_err(ROW)
    assert err.forward(np.eye(3).astype(dtype), [0, 1, 2]).dtype == err.backward().dtype == wanted
    assert type(err.forward(np.ones(3, dtype), 1)) is wanted


@each_elementwise
def test_numbers(name):
    err = get_err(name)
    assert type(err.forward(0.25, 1)) is type(err.backward()) is np.float64
    assert err.total_error() == err.error


@each_elementwise
def test_targets_are_broadcast_and_inputs_left_alone(name):
    y, t = np.random.default_rng(9).uniform(0.1, 0.9, (6, 4)), np.array([1.0, 0, 1, 0])
    y.flags.writeable = t.flags.writeable = False
    err = get_err(name)
    assert_same_bits(err.forward(y, t), err.forward(y, np.tile(t, (6, 1))))
    assert_same_bits(err.forward(y.T, t[:, None]), err.forward(y, t).T)
    assert_same_bits(err.backward(y, 1), err.backward(y, np.ones((6, 4))))


@each_elementwise
def test_out(name):
    y, t = np.random.default_rng(10).uniform(0.1, 0.9, (2, 60))
    err = get_err(name)
    loss, gradient, work = err.forward(y, t), err.backward(), np.empty(60)
    assert err.forward(y, t, out=work) is work
    assert_same_bits(work, loss)
    for mine in (0, 1):
        pair = [y.copy(), t.copy()]
        assert_same_bits(err.backward(*pair, out=pair[mine]), gradient)
        room = np.concatenate([y, t, [0]])
        assert_same_bits(err.backward(room[:60], room[60:120], out=room[30:90]).copy(), gradient)
        assert_same_bits(err.backward(y, t, out=work[::-1])[::-1], gradient[::-1])
    for bad in (np.empty(59), np.empty(60, np.float32), [0]*60):
        with pytest.raises((TypeError, ValueError)):
            err.forward(y, t, out=bad)


@each_name
def test_empty(name):
    err = get_err(name)
    assert err.forward(np.empty((0, 3)), np.empty((0, 3))).size == 0
    assert err.backward().shape == (0, 3)
    assert np.isnan(err.total_error())


def test_no_classes():
    """A sum over nothing, or an error, but not what the memory held."""
    np.full(1000, 7.0)
    try:
        loss = get_err(ROW).forward(np.empty((1000, 0)), np.empty((1000, 0)))
    except ValueError:
        return
    assert_array_equal(loss, np.zeros(1000))


@each_name
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_warns(name, dtype):
    big = float(np.finfo(dtype).max)
    y = np.array([[0, 1, 0.5, np.nan], [big, -big, 0, 1], [np.inf, -np.inf, 1, 2], [-30, 12, 800, -800],
                  [1e-7, 0, 0, 1]], dtype)
    t = np.eye(4)[[0, 1, 2, 3, 0]]
    err = get_err(name)
    with np.errstate(all="raise"):
        err.forward(y, t)
        err.backward()
        err.backward(y, t)


# What is kept

@each_name
def test_total_error_is_sum_over_size(name):
    y, t = np.random.default_rng(11).uniform(0.1, 0.9, (2, 7, 3)).astype(np.float32)
    err = get_err(name)
    assert err.error == 0
    error = err.forward(y, t)
    assert err.error is error
    total = err.total_error()
    assert isinstance(total, float)
    assert_allclose(total, error.astype(np.float64).sum()/error.size, rtol=1e-14)


@each_name
def test_backward_without_forward(name):
    with pytest.raises(ValueError, match="forward"):
        get_err(name).backward()
    with pytest.raises(TypeError, match="neither"):
        get_err(name).backward(np.ones((2, 2)))


@each_name
def test_backward_is_of_the_last_forward(name):
    rng = np.random.default_rng(12)
    pairs = rng.uniform(0.1, 0.9, (2, 2, 5, 4))
    err = get_err(name)
    for y, t in pairs:
        err.forward(y, t)
        assert_same_bits(err.backward(), get_err(name).backward(y, t))
    other = err.backward(*pairs[0])
    assert_same_bits(err.backward(), get_err(name).backward(*pairs[1]))
    assert not np.shares_memory(other, err.backward())


@each_name
def test_a_gradient_is_the_callers_own(name):
    y, t = np.random.default_rng(13).uniform(0.1, 0.9, (2, 5, 4))
    err = get_err(name)
    err.forward(y, t)
    first = err.backward()
    kept = first.copy()
    first /= 5                                      # as a loop does to average over the batch
    assert_same_bits(err.backward(), kept)


@each_name
def test_unknown_arguments(name):
    with pytest.raises(TypeError, match="has no hyperparameter 'reductoin'"):
        get_err(name, reductoin="mean")
    with pytest.raises(TypeError):
        get_err(name, *[0.5]*9)


@each_name
@pytest.mark.parametrize("word", ["weight", "weights", "sample_weight", "sample_weights", "w"])
def test_weights_of_samples_are_of_a_call(name, word):
    with pytest.raises(TypeError, match="given to a call: sample_weight=") as caught:
        get_err(name, **{word: [1, 2]})
    assert ("class_weight=" in str(caught.value)) == ("class_weight" in get_err(name).hyperparameters)


# What is kept between forward and backward

@each_name
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_backward_is_that_of_the_last_forward_whatever_has_become_of_its_arrays(name, dtype):
    y, t = samples(name, np.float64)
    y, t = y.astype(dtype), t.astype(dtype)
    err = get_err(name)
    for mine, target in ((y.copy(), t.copy()), (y.copy()[::-1], t.copy()[::-1]), (np.asfortranarray(y), t.copy())):
        wanted = err.backward(mine, target)
        error = err.forward(mine, target).copy()
        mine[...] = 100
        target[...] = 7
        first, second = err.backward(), err.backward()
        assert_same_bits(first, wanted)
        assert_same_bits(second, wanted)
        first[...] = 3                          # it is the caller's own
        assert_same_bits(err.backward(), wanted)
        assert_array_equal(err.error, error)


def test_backward_after_a_change_in_numbers():
    y, t = np.array([1.0, 2.0]), np.zeros(2)
    err = get_err("Square")
    err.forward(y, t)
    y[:] = 100
    assert err.backward().tolist() == [1, 2]


@each_elementwise
def test_backward_after_a_forward_into_its_own_arrays(name):
    y, t = samples(name, np.float32)
    err = get_err(name)
    error, gradient = err.forward(y, t), err.backward(y, t)
    for mine in (0, 1):
        pair = [y.copy(), t.copy()]
        assert err.forward(*pair, out=pair[mine]) is pair[mine]
        assert_same_bits(pair[mine], error)
        assert_same_bits(err.backward(), gradient)
    out = np.empty_like(y)
    assert err.backward(out=out) is out
    assert_same_bits(out, gradient)
    for bad in (np.empty(3, y.dtype), np.empty(y.shape), None.__class__):
        with pytest.raises((TypeError, ValueError)):
            err.backward(out=bad)


@each_elementwise
@pytest.mark.parametrize("kind", [lambda a: a, lambda a: a.tolist(), lambda a: a.T, lambda a: a[0, 0]],
                         ids=["array", "list", "transposed", "number"])
def test_values_alone(name, kind):
    y, t = map(kind, samples(name, np.float64))
    err = get_err(name)
    error = err.forward(y, t)
    assert_same_bits(err.forward(y, t, keep=False), error)
    assert err.total_error() == float(np.mean(error))
    with pytest.raises(ValueError, match="without keep=False"):
        err.backward()
    err.forward(y, t)
    assert_same_bits(err.backward(), err.backward(y, t))
