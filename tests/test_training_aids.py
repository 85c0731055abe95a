"""Callbacks, early stopping, the progress bar, metrics and the learning-rate range test."""
import io
import math
import sys

import numpy as np
import pytest

import fastnn
from fastnn.nn import Callback, EarlyStopping, MultiLayerNet, ProgressBar, Trainer, lr_range_test, metrics


def trainer(**options):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((60, 5)), rng.integers(0, 3, 60)
    return Trainer(MultiLayerNet(5, [8], 3, rng=1), fastnn.get_opt("SGD", lr=0.1), x, t, batch_size=10, rng=2, **options)


class Recorder(Callback):
    def __init__(self, calls, name="", last=None, fails=None):
        self.calls, self.name, self.last, self.fails = calls, name, last, fails

    def _called(self, what):
        self.calls.append(self.name + what)
        if what == self.fails:
            raise KeyError(what)

    def begin(self, trainer, iterations):
        self._called(f"begin {iterations}")

    def step(self, trainer, loss):
        assert loss == trainer.losses[-1]
        self._called("step")
        return len(trainer.losses) == self.last

    def end(self, trainer):
        self._called("end")


# Callbacks

def test_callbacks_are_called_in_order():
    calls, losses, told = [], [], []
    one = trainer()
    one.train(5, losses.append, [Recorder(calls, "a "), Recorder(calls, "b ", last=2), lambda *given: told.append(given)])
    assert calls == ["a begin 5", "b begin 5", *["a step", "b step"] * 2, "b end", "a end"]
    assert losses == one.losses and told == [(one, loss) for loss in losses] and len(losses) == 2


@pytest.mark.parametrize("fails", ["begin 5", "step", "end"])
def test_all_that_began_are_told_of_the_end(fails):
    calls = []
    with pytest.raises(KeyError, match=fails):
        trainer().train(5, callbacks=[Recorder(calls, "a "), Recorder(calls, "b ", fails=fails)])
    assert calls[-1] == "a end" and ("b end" in calls) == (fails != "begin 5")


def test_what_is_no_callback():
    with pytest.raises(TypeError, match="^a callback must be a fastnn.nn.Callback or a function"):
        trainer().train(5, callbacks=[1])


def test_callbacks_change_no_numbers():
    one, two = trainer(), trainer()
    one.train(5)
    two.train(5, callbacks=[Callback(), ProgressBar(io.StringIO()), EarlyStopping(lambda net: 1.0, patience=9)])
    assert one.losses == two.losses


# Early stopping

def stopped(readings, **options):
    one, given = trainer(), iter(readings)
    stopping = EarlyStopping(lambda net: next(given), **options)
    states = []
    one.train(len(readings) * options.get("every", 1), callbacks=[
        stopping, lambda trainer, _: states.append(trainer.network.params["W1"].copy())])
    return one, stopping, states


@pytest.mark.parametrize(("options", "steps", "best_step"), [
    ({}, 3, 2), ({"patience": 1}, 3, 2), ({"patience": 2}, 6, 4), ({"patience": 3}, 7, 4),
    ({"min_delta": 0.6, "patience": 2}, 3, 1), ({"mode": "max"}, 2, 1), ({"every": 3}, 9, 6)])
def test_early_stopping(options, steps, best_step):
    one, stopping, _ = stopped([5, 4.5, 4.7, 4, 4.2, math.nan, 4.1, 4.1], **options)
    assert stopping.stopped_step == len(one.losses) == steps
    assert stopping.best_step == best_step
    assert stopping.best == dict(stopping.readings)[best_step]


def test_early_stopping_goes_back():
    one, stopping, states = stopped([3, 2, 5, 6, 7], patience=2, restore_best_weights=True)
    np.testing.assert_array_equal(one.network.params["W1"], states[1])
    assert len(states) == 4
    one, stopping, states = stopped([3, 2, 5, 6, 7], patience=2)
    np.testing.assert_array_equal(one.network.params["W1"], states[3])
    one, stopping, states = stopped([3, 2, 5], patience=9, restore_best_weights=True)      # not stopped
    assert stopping.stopped_step is None
    np.testing.assert_array_equal(one.network.params["W1"], states[1])


def test_early_stopping_refuses():
    for wrong in ({"every": 0}, {"patience": -1}, {"min_delta": math.nan}, {"mode": "auto"}):
        with pytest.raises(ValueError, match="must be"):
            EarlyStopping(float, **wrong)
    with pytest.raises(TypeError, match="^measure must be a function"):
        EarlyStopping("loss")


# The bar

@pytest.mark.parametrize("there", [True, False])
def test_progress_bar(there, monkeypatch):
    if there:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    file = io.StringIO()
    trainer().train(7, callbacks=[ProgressBar(file)])
    shown = file.getvalue()
    assert "7/7" in shown and "loss" in shown and shown.endswith("\n")
    ProgressBar(file)                       # never begun: nothing to close


# Metrics

def predictions(classes=4, n=200):
    rng = np.random.default_rng(3)
    scores, t = rng.integers(0, 9, (n, classes)) / 8, rng.integers(0, classes - 1, n)       # no row of the last class
    scores[np.arange(n), t] += 0.3
    return scores, t


def test_metrics_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    y, t = predictions()
    labels, classes = y.argmax(axis=1), list(range(4))
    assert metrics.accuracy(y, t) == metrics.accuracy(labels, np.eye(4)[t]) == sklearn.accuracy_score(t, labels)
    np.testing.assert_array_equal(metrics.confusion_matrix(y, t), sklearn.confusion_matrix(t, labels, labels=classes))
    for name, theirs in (("precision", "precision_score"), ("recall", "recall_score"), ("f1", "f1_score")):
        for average in ("macro", "micro", None):
            np.testing.assert_allclose(
                getattr(metrics, name)(y, t, average),
                getattr(sklearn, theirs)(t, labels, labels=classes, average=average, zero_division=0), rtol=1e-14)
    binary, scores = (t == 0).astype(int), y[:, 0]
    assert metrics.roc_auc(scores, binary) == pytest.approx(sklearn.roc_auc_score(binary, scores), rel=1e-14)
    rng = np.random.default_rng(4)
    y, t = rng.standard_normal((2, 30, 3))
    assert metrics.mean_squared_error(y, t) == pytest.approx(sklearn.mean_squared_error(t, y), rel=1e-14)
    assert metrics.mean_absolute_error(y, t) == pytest.approx(sklearn.mean_absolute_error(t, y), rel=1e-14)
    assert metrics.r2(y, t) == pytest.approx(sklearn.r2_score(t, y), rel=1e-13)


def test_metrics_by_definition():
    y, t = predictions()
    labels = y.argmax(axis=1)
    found = np.zeros((4, 4), int)
    for true, said in zip(t, labels):
        found[true, said] += 1
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, t, 4), found)
    np.testing.assert_array_equal(metrics.confusion_matrix(labels[:, None], np.asarray(t)[:, None], 4), found)
    for k in range(1, 5):
        hits = [label in sorted(range(4), key=lambda c: (-row[c], c))[:k] for row, label in zip(y, t)]
        assert metrics.top_k_accuracy(y, t, k) == np.mean(hits)
    assert metrics.top_k_accuracy(np.full((1, 3), np.nan), [0], 3) == 0
    assert metrics.precision([0, 0, 1], [0, 1, 1], None).tolist() == [0.5, 1]
    assert metrics.recall([0, 0, 1], [0, 1, 1], None).tolist() == [1, 0.5]
    assert metrics.f1([0, 0, 1], [0, 1, 1]) == pytest.approx(2 / 3)
    pairs = [(a > b) + (a == b) / 2 for a in y[t == 1, 1] for b in y[t != 1, 1]]
    assert metrics.roc_auc(y[:, 1], (t == 1).astype(int)) == pytest.approx(np.mean(pairs), rel=1e-13)
    assert math.isnan(metrics.roc_auc([np.nan, 1.0], [0, 1]))
    assert metrics.r2([1.0, 2.0], [1.0, 1.0]) == 0 and metrics.r2([1.0, 1.0], [1.0, 1.0]) == 1


def test_metrics_refuse():
    for call in (lambda: metrics.accuracy([0, 1], [0]), lambda: metrics.accuracy([], []),
                 lambda: metrics.accuracy(np.zeros((1, 2, 2)), [0]), lambda: metrics.top_k_accuracy([[1.0]], [1]),
                 lambda: metrics.top_k_accuracy([0, 1], [0, 1]), lambda: metrics.top_k_accuracy([[1.0]], [0], 0),
                 lambda: metrics.confusion_matrix([3], [0], 3), lambda: metrics.confusion_matrix([-1], [0]),
                 lambda: metrics.f1([0], [0], "mean"), lambda: metrics.roc_auc([0.5, 1], [1, 1]),
                 lambda: metrics.r2([], []), lambda: metrics.mean_squared_error([1.0], [[1.0]])):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError, match="^y must be labels, integers"):
        metrics.accuracy([0.5, 1.0], [0, 1])
    with pytest.raises(TypeError):
        metrics.accuracy([[0.5], [1.0]], [0, 1])            # no column for each class


# The range test

def test_range_test_leaves_network_and_optimizer_alone():
    one = trainer()
    before = {key: p.copy() for key, p in one.network.params.items()}
    found = lr_range_test(one.network, one.optimizer, one.x, one.t, 1e-3, 10, steps=40, batch_size=20, rng=0)
    assert one.optimizer.lr == 0.1 and one.optimizer.t == 0
    for key, p in one.network.params.items():
        np.testing.assert_array_equal(p, before[key])
    assert found.rates[0] == 1e-3 and all(b > a for a, b in zip(found.rates, found.rates[1:]))
    ratios = np.divide(found.rates[1:], found.rates[:-1])
    np.testing.assert_allclose(ratios, 1e4**(1 / 39), rtol=1e-12)


def test_range_test_averages_and_stops():
    one = trainer()
    found = lr_range_test(one.network, one.optimizer, one.x, one.t, 1e-3, 1e6, steps=200, batch_size=20, rng=0,
                          smoothing=0.5)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 200
    average = 0.0
    for i, loss in enumerate(found.losses):
        average = 0.5 * average + 0.5 * loss
        assert found.smoothed[i] == pytest.approx(average / (1 - 0.5**(i + 1)), rel=1e-12)
    assert 1e-3 < found.suggestion < 10
    assert repr(found) == f"LrRange({len(found.rates)} steps, suggestion={found.suggestion!r})"


def range_of(loss_at, noise=0.0, seed=0, smoothing=0.98, steps=100):
    """What a range test finds whose losses are a function of the rate's logarithm, with noise in the share of it."""
    rng, found, average = np.random.default_rng(seed), fastnn.nn.lr_range.LrRange([], [], []), 0.0
    for i, at in enumerate(np.linspace(-6, 0, steps)):
        loss = loss_at(at) * (1 + noise * rng.standard_normal())
        average = smoothing * average + (1 - smoothing) * loss
        found.rates.append(10**at)
        found.losses.append(loss)
        found.smoothed.append(average / (1 - smoothing**(i + 1)))
        if found.smoothed[-1] > 4 * min(found.smoothed):
            break
    return found


def descent(at, steepest=-2.0):
    """A plateau, a fall that is steepest at this logarithm, and what is too high a rate."""
    return 2.3 - 2 / (1 + math.exp((steepest - at) / 0.35)) + math.exp((at + 0.5) / 0.1)


@pytest.mark.parametrize("steepest", [-4.0, -3.0, -2.0])
def test_range_test_finds_the_steepest_fall(steepest):
    found = range_of(lambda at: descent(at, steepest), smoothing=0.0)
    assert abs(math.log10(found.suggestion) - steepest) < 0.07          # one step
    found = range_of(lambda at: descent(at, steepest))
    assert steepest < math.log10(found.suggestion) < steepest + 0.8     # the average is behind
    linear = range_of(lambda at: 3 - max(0, min(at - steepest, 0.5)), smoothing=0.0)
    assert steepest < math.log10(linear.suggestion) < steepest + 0.5    # it falls nowhere else


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
def test_range_test_is_not_taken_in_by_noise(noise):
    for seed in range(100):
        assert -2.7 < math.log10(range_of(descent, noise, seed).suggestion) < -0.9, seed
        assert -2.7 < math.log10(range_of(descent, noise, seed, smoothing=0.9).suggestion) < -0.9, seed


def test_range_test_suggests_a_rate_that_learns():
    """Digits with SGD: what it suggests learns, also where the loss has risen and fallen again, a hundredth of it not."""
    from fastnn.datasets import load_digits
    (x, t), _ = load_digits()
    net = MultiLayerNet(64, [30], 10, rng=0)
    for seed in range(3):
        rate = lr_range_test(net, fastnn.get_opt("SGD"), x, t, 1e-5, 100, batch_size=32, rng=seed).suggestion
        losses = []
        for lr in (rate / 100, rate):
            twin = MultiLayerNet(64, [30], 10, rng=0)
            Trainer(twin, fastnn.get_opt("SGD", lr=lr), x, t, 32, rng=1).train(200)
            losses.append(twin.loss(x, t))
        assert losses[1] < 0.5 < losses[0], (rate, losses)


def test_range_test_suggests_nothing_where_nothing_falls():
    assert fastnn.nn.lr_range.LrRange([1, 2, 3, 4], [1] * 4, [1.0] * 4).suggestion is None
    assert fastnn.nn.lr_range.LrRange([], [], []).suggestion is None


def test_range_test_has_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    one = trainer()
    found = lr_range_test(one.network, one.optimizer, one.x, one.t, steps=20, batch_size=20, rng=0)
    found.plot(tmp_path / "range.png")
    assert (tmp_path / "range.png").read_bytes().startswith(b"\x89PNG")


def test_range_test_refuses():
    one = trainer()
    for wrong in ({"low": 0}, {"low": 2}, {"high": math.inf}, {"steps": 1}, {"smoothing": 1}, {"stop_at": 1}):
        with pytest.raises(ValueError, match="must be"):
            lr_range_test(one.network, one.optimizer, one.x, one.t, **wrong)
