"""`fastnn bench`: every side computes the same, the clock is fair, the figures are what they say."""
import math
from contextlib import contextmanager

import numpy as np
import pytest

import fastnn
from fastnn.cli import build_parser, contest
from fastnn.cli.peers import PEERS, load, load_own
from fastnn.cli.peers.formulas import ACTIVATIONS, OPTIMIZERS
from fastnn.cli.peers.library import Call
from fastnn.cli.scores import Score, duration, geometric_mean, line, summary
from fastnn.cli.subjects import COMPARED as KINDS_COMPARED, MODELS, SUBJECTS, Activations, Losses, Optimizers, Training
from fastnn.cli.subjects import kind_of, learned_forms
from test_optimizers_of_peers import DIFFERENCES

COMPARED = [name for name in [*fastnn.activations(), *learned_forms()] if kind_of(name) in KINDS_COMPARED]
NOISY = {"gumbel-softmax"}                  # each draws noise of its own for every element
RANDOM = fastnn.activations("random")
# A slope of 1/6 in place of 1/5; NumPy has no erf, and its users take an approximation.
OTHERWISE = {("torch", "hard-sigmoid"), ("jax", "hard-sigmoid"), ("numpy", "GELU"), ("numpy", "GEGLU")}


def library(name):
    for module in PEERS[name].needs:
        pytest.importorskip(module)
    return load(name, fastnn.get_num_threads())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("peer", ["numpy", "torch", "jax"])
def test_peers_compute_what_the_activations_do(peer, direction, dtype):
    side, own = library(peer), load_own()
    side.begin(dtype)
    compared = []
    for size in (300, 7):
        section = Activations(COMPARED, direction, dtype, size)
        section.prepare()
        for name in COMPARED:
            call = section.call(side, name)
            if call is None:
                continue
            found, exact = call.run(), section.call(own, name).run()
            found = np.asarray(found[0] if isinstance(found, tuple) else found)
            assert (found.dtype, found.shape) == (dtype, exact.shape), name
            if name in NOISY:
                continue
            if name in RANDOM:                  # each draws its own slopes
                found, exact = found[section.x > 0], exact[section.x > 0]
            tolerance = 1e-1 if (peer, name) in OTHERWISE and direction == "forward" else \
                1 if (peer, name) in OTHERWISE else 1e-4
            np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance, err_msg=name)
            compared.append(name)
    assert set(COMPARED) - set(compared) <= {"step", *RANDOM}


@pytest.mark.parametrize("name", ["PReLU", *learned_forms()])
@pytest.mark.parametrize("peer", ["numpy", "torch", "jax"])
def test_peers_have_the_gradients_of_parameters(peer, name):
    side = library(peer)
    side.begin("float64")
    section = Activations([name], "backward", "float64", 300)
    section.prepare()
    own = section.call(load_own(), name)
    found, expected = section.call(side, name).run(), own.run()
    gradients = own.run.func.__self__.grads
    names = [parameter for parameter in ("alpha", "p1", "p2", "beta") if parameter in gradients]
    assert len(found) == 1 + len(names) == 1 + len(gradients)
    np.testing.assert_allclose(np.asarray(found[0]), expected, rtol=1e-9, atol=1e-12)
    for parameter, each in zip(names, found[1:]):
        np.testing.assert_allclose(float(each), gradients[parameter][0], rtol=1e-9, err_msg=parameter)


def test_numpy_has_the_formula_of_every_entry():
    """Of every activation; an optimizer may have none."""
    assert set(ACTIVATIONS) == set(COMPARED)
    assert set(OPTIMIZERS) <= set(fastnn.optimizers())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numpy_takes_the_same_steps(name):
    p, g = np.linspace(-1, 1, 60).reshape(6, 10), np.cos(np.arange(60.0)).reshape(6, 10)
    found, params = p.copy(), {"p": p.copy()}
    slots = type(fastnn.get_opt(name)).slots
    state = {slot: np.full_like(p, first) for slot, first in slots.items()}
    opt = fastnn.get_opt(name, **type(fastnn.get_opt(name)).timed_with)
    with np.errstate(all="ignore"):
        for t in (1, 2, 3):
            OPTIMIZERS[name](found, g, state, t)
            opt.update(params, {"p": g})
    np.testing.assert_allclose(found, params["p"], rtol=1e-9)
    assert not np.array_equal(found, p)


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_peers_step_with_the_rule_of_that_name(peer):
    side = library(peer)
    side.begin("float64")
    p, g = np.linspace(-1, 1, 60).reshape(6, 10), 2 + np.cos(np.arange(60.0)).reshape(6, 10)
    library_of_rows = {"torch": "torch", "jax": "optax"}[peer]
    rows = {name: type(fastnn.get_opt(name)).peers for name in fastnn.optimizers()}
    assert {library for peers in rows.values() for library in peers} == {"torch", "optax"}
    for name, peers in rows.items():
        call = side.step(name, [p], [g])
        assert (call is not None) == (library_of_rows in peers), name
        if call is None:
            continue
        for _ in range(3):
            result = call.run()
        found = call.run.__self__.param_groups[0]["params"][0].detach() if peer == "torch" else result[0]
        own = load_own().step(name, [p], [g]).run
        for _ in range(3):
            own()
        expected, = own.args[0].values()
        moved = np.asarray(found) - p
        assert np.all(moved < 0) or name == "Muon", name        # orthogonal rows have both signs
        if (library_of_rows, name) not in DIFFERENCES:
            np.testing.assert_allclose(moved, expected - p, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize(("peer", "modules"), [("torch", ["torch.optim"]), ("optax", ["optax", "optax.contrib"])])
def test_what_a_library_has_by_that_name_is_timed(peer, modules):
    known = {plain(name) for module in modules for name in dir(pytest.importorskip(module)) if name[0] != "_"}
    rows = {name: type(fastnn.get_opt(name)).peers for name in fastnn.optimizers()}
    found = [name for name in rows if plain(name) in known]
    assert len(found) > 10
    assert [name for name in found if peer not in rows[name]] == []


def plain(name):
    return name.lower().replace("-", "").replace("_", "")


def test_what_a_peer_has_is_not_inherited():
    class Child(type(fastnn.get_opt("Adam"))):
        pass

    assert fastnn.get_opt("Adam").peers and Child.peers == {}


@pytest.mark.parametrize("peer", ["numpy", "torch", "sklearn"])
def test_peers_train(peer):
    side, section = library(peer), Training("float32")
    section.prepare()
    section.call(side, section.rows[0]).run()
    section.call(load_own(), section.rows[0]).run()


def test_numpy_multiplies_as_much_as_a_step_of_training():
    """Forward, and the gradients of weights and layers but for the input's."""
    from fastnn.cli.peers import with_numpy
    section = Training("float32")
    section.prepare()
    work = []

    class Counting:
        def __getattr__(self, name):
            return getattr(np, name)

        def dot(self, a, b, out):
            work.append(a.shape[0] * a.shape[1] * b.shape[1])
            return np.dot(a, b, out=out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_numpy, "np", Counting())
        section.call(library("numpy"), section.rows[0]).run()
    weights = 784 * 100 + 3 * 100 * 100 + 100 * 10
    assert sum(work) == 128 * (3 * weights - 784 * 100)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_side_changes_what_all_share(dtype):
    section = Optimizers(["Adam"], dtype, "100x10")
    section.prepare()
    before = [array.copy() for array in section.params + section.grads]
    for side in (load_own(), library("numpy")):
        section.call(side, "Adam").run()
    for array, copy in zip(section.params + section.grads, before):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, copy)


def test_the_command_line_knows_all_there_is():
    everything = [*SUBJECTS, "--models", ",".join(MODELS), "--peers", ",".join(PEERS)]
    options = build_parser().parse_args(["bench", *everything])
    assert (options.subjects, options.models, options.peers) == ([*SUBJECTS], [*MODELS], [*PEERS])
    assert build_parser().parse_args(["bench"]).models == [*MODELS]


# the clock

def test_sides_take_turns():
    order, inside = [], []

    @contextmanager
    def around(side):
        inside.append(side)
        yield
        inside.remove(side)

    def side(name):
        def run():
            assert inside == [name]
            if order[-1:] != [name]:
                order.append(name)
        return Call(run, lambda: around(name))

    times = contest.fastest({"a": side("a"), "b": side("b")}, rounds=3, pause=0)
    assert order == ["a", "b"] * 4, "once to compile, then three rounds"
    for seconds, spread in times.values():
        assert 0 < seconds < 1 and spread >= 0


class Clock:
    """A clock that only calls advance: each by the next of some durations, the last one again and again."""

    def __init__(self, *durations):
        self.now, self.durations, self.calls = 0.0, list(durations), 0

    def __call__(self):
        return self.now

    def run(self):
        self.calls += 1
        self.now += self.durations.pop(0) if len(self.durations) > 1 else self.durations[0]


@pytest.fixture
def clock(monkeypatch):
    def install(*durations):
        made = Clock(*durations)
        monkeypatch.setattr(contest, "perf_counter", made)
        monkeypatch.setattr(contest, "sleep", lambda seconds: None)
        return made
    return install


@pytest.mark.parametrize("seconds", [1e-7, 1e-6, 1e-4, 5e-3, 2.0])
def test_a_time_is_that_of_one_call(clock, seconds):
    assert contest.turn(clock(seconds).run, math.inf) == pytest.approx(seconds)


def test_short_calls_are_repeated_and_long_ones_are_not(clock):
    short = clock(1e-6)
    contest.turn(short.run, math.inf)
    assert short.calls * 1e-6 >= contest.TURN
    long = clock(1.0)
    contest.turn(long.run, math.inf)
    assert long.calls == 1


def test_the_best_round_counts_and_the_next_tells_how_steady_it_was(clock):
    # the first is the one that compiles
    times = contest.fastest({"a": Call(clock(9.0, 1.5, 1.0, 3.0).run)}, rounds=3, pause=0.03)
    assert times == {"a": (1.0, 0.5)}


# the figures

def test_the_ratio_is_to_the_best_peer():
    score = Score("x", {"fastnn": 2.0, "numpy": 1.0, "torch": 3.0, "jax": 5.0})
    assert (score.best_peer, score.ratio) == ("numpy", 0.5)
    assert score.ratios == {"numpy": 0.5, "torch": 1.5, "jax": 2.5}


def test_a_yardstick_is_no_peer():
    score = Score("x", {"fastnn": 2.0, "numpy": 1.0, "torch": 3.0}, yardstick="numpy")
    assert (score.best_peer, score.ratio) == ("torch", 1.5)
    alone = Score("x", {"fastnn": 2.0, "numpy": 1.0}, yardstick="numpy")
    assert alone.best_peer is alone.ratio is summary([alone]) is None


def test_an_unsteady_time_is_marked():
    seconds = {"fastnn": 1e-6, "numpy": 2e-6, "torch": 3e-6}
    score = Score("x", seconds, spread={"fastnn": 0.01, "numpy": 0.9, "torch": 0.2})
    titles = {"fastnn": "fastnn", "numpy": "NumPy", "torch": "PyTorch", "jax": "JAX"}
    assert line(score, titles).split() == ["x", "1.00", "us", "*2.00", "us", "3.00", "us", "-", "2.00", "NumPy"]


def test_the_summary_names_what_is_slower():
    scores = [Score("a", {"fastnn": 1.0, "numpy": 8.0}), Score("b", {"fastnn": 1.0, "numpy": 2.0})]
    assert geometric_mean([8.0, 2.0]) == pytest.approx(4)
    assert summary(scores) == "geometric mean of 2: 4.00; least 2.00 (b)"
    slower = Score("c", {"fastnn": 4.0, "numpy": 1.0})
    assert summary([*scores, slower]).endswith("; slower than the best peer: c 0.25")


@pytest.mark.parametrize("seconds, text", [
    (2.5, "2.50 s"), (0.0123, "12.3 ms"), (1e-6, "1.00 us"), (0.25e-6, "0.25 us"), (431e-6, "431 us")])
def test_durations_have_three_digits(seconds, text):
    assert duration(seconds) == text


LOSSES = fastnn.losses()


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_peers_compute_what_the_losses_do(peer, dtype):
    """Every loss has a peer; those that the library has by name are the row's."""
    side, own = library(peer), load_own()
    side.begin(dtype)
    section = Losses(LOSSES, dtype, 300)
    section.prepare()
    for name in LOSSES:
        value, gradients = section.call(own, name).run()
        theirs, slopes = section.call(side, name).run()
        assert float(theirs) == pytest.approx(value, rel=1e-4, abs=1e-5), name
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        assert len(slopes) == len(gradients), name
        for got, wanted in zip(gradients, slopes):
            assert (str(got.dtype), got.shape) == (dtype, tuple(wanted.shape)), name
            np.testing.assert_allclose(got, np.asarray(wanted), rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_library_s_own_losses_are_timed():
    """But for optax's hinge, of targets -1 and 1, and its dice, of softmax."""
    rows = {name: type(fastnn.get_err(name)).peers for name in LOSSES}
    assert {library for peers in rows.values() for library in peers} == {"torch", "optax"}
    for peer, module in (("torch", "torch.nn"), ("optax", "optax.losses")):
        known = {plain(name) for name in dir(pytest.importorskip(module)) if name[0] != "_"}
        missing = [name for name in LOSSES if peer not in rows[name] and {
            plain(name), plain(name) + "loss"} & known]
        assert missing == (["hinge", "dice"] if peer == "optax" else [])
