"""The state of networks and trainers: a training run goes on bit for bit, and what does not fit is refused."""
import copy
import os
import pickle
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnn
from fastnn import StateError, get_act, get_opt
from fastnn.nn import BatchNormalization, Dropout, MultiLayerNet, Trainer
from helpers import assert_same_bits, interpreter
from test_state import assert_same_state, edit, put

try:
    import safetensors.numpy
except ImportError:
    safetensors = None

needs_files = pytest.mark.skipif(safetensors is None, reason="no safetensors here")
X, T = np.random.default_rng(0).standard_normal((50, 6)), np.random.default_rng(1).integers(0, 3, 50)
SHARING = {                                             # generators of network, optimizer and trainer
    "of their own": lambda seed: (seed, seed + 1, seed + 2),
    "one of all": lambda seed: (np.random.default_rng(seed),) * 3,
    "one of two": lambda seed: (7 + seed, *[np.random.default_rng(seed)] * 2),
    "old one of all": lambda seed: (np.random.RandomState(seed),) * 3,
    "other kinds": lambda seed: (np.random.RandomState(seed), np.random.Generator(np.random.Philox(seed)),
                                 np.random.Generator(np.random.SFC64(seed)))}
each_sharing = pytest.mark.parametrize("sharing", SHARING)


def made(opt="Adam", seed=0, sharing="of their own", x=X, t=T, on_nonfinite="skip", **options):
    for_net, for_opt, for_batches = SHARING[sharing](seed)
    if opt.startswith("Santa"):
        opt = get_opt(opt, rng=for_opt, burnin=8, eta=1e-7)     # in the middle of the steps below
    net = MultiLayerNet(6, [8, 7], 3, **{"activation": "tanh", "use_batchnorm": True, "use_dropout": True,
                                         "dtype": np.float32, "weight_decay_lambda": 1e-3, **options}, rng=for_net)
    return Trainer(net, get_opt(opt) if isinstance(opt, str) else opt, x, t, 16, for_batches, on_nonfinite)


def frozen(trainer):
    """All that a trainer is, as bytes."""
    return pickle.dumps((trainer.state_dict(), {name: vars(layer) for name, layer in trainer.network.layers.items()}))


def assert_goes_on_like(trainer, wanted, steps=5):
    trainer.train(steps)
    wanted.train(steps)
    assert_same_state(trainer.state_dict(), wanted.state_dict())
    assert trainer.network.loss(X, T) == wanted.network.loss(X, T)


# Going on.

@pytest.mark.parametrize(("opt", "sharing"), [*((opt, "of their own") for opt in fastnn.optimizers()),
                                             *((opt, sharing) for opt in ("Adam", "SantaE") for sharing in SHARING)])
def test_a_training_run_goes_on_from_a_state(opt, sharing):
    one = made(opt, 0, sharing)
    one.train(5)
    state = one.state_dict()
    for steps in (0, 3):
        other = made(opt, 1, sharing)
        other.train(steps)
        losses, params = other.losses, dict(other.network.params)
        other.load_state_dict(state)
        assert other.losses is losses and all(other.network.params[key] is p for key, p in params.items())
        assert_goes_on_like(other, copy.deepcopy(one))


@each_sharing
@needs_files
def test_a_training_run_goes_on_from_a_file(sharing, tmp_path):
    """docs/reliability.md shows it."""
    one, other = made("SantaE", 0, sharing), made("SantaE", 1, sharing)
    one.train(5)
    fastnn.save(tmp_path / "run", trainer=one, epoch=3)
    assert fastnn.load(tmp_path / "run", trainer=other).extra["epoch"] == 3
    assert_same_state(other.state_dict(), one.state_dict())
    assert_goes_on_like(other, one)


def test_a_generator_that_is_given_is_set():
    one, rng = made(seed=0, sharing="one of all"), np.random.default_rng(5)
    one.train(2)
    net = MultiLayerNet(6, [8, 7], 3, "tanh", use_batchnorm=True, use_dropout=True, dtype=np.float32, rng=rng)
    other = Trainer(net, get_opt("Adam"), X, T, 16, rng)
    other.load_state_dict(one.state_dict())
    assert other.rng is rng is other.network.rng and all(
        layer.rng is rng for layer in other.network.layers.values() if isinstance(layer, Dropout))
    assert rng.random() == one.rng.random()


def test_a_network_alone():
    one, other = made(seed=0).network, made(seed=1).network
    one.gradient(X, T)
    other.load_state_dict(one.state_dict())
    for net in (one, other):
        net.last = net.gradient(X, T)
    for key, gradient in one.last.items():
        assert_same_bits(other.last[key], gradient)
    assert_same_bits(other.predict(X), one.predict(X))


def test_a_dropout_layer_with_a_generator_of_its_own():
    def with_another(seed):
        trainer = made(seed=seed)
        trainer.network.layers["Dropout2"].rng = np.random.default_rng(seed + 10)
        return trainer

    one, other = with_another(0), with_another(1)
    one.train(3)
    state = one.state_dict()
    assert state["network"]["streams"]["drawn_from"] == {"network": "network", "Dropout1": "network",
                                                         "Dropout2": "Dropout2"}
    other.load_state_dict(state)
    assert_goes_on_like(other, one)
    with pytest.raises(StateError, match="Dropout2 drew from the generator of 'Dropout2'.* 'network' here"):
        made().load_state_dict(state)


def test_what_can_be_changed_is_part_of_it():
    one, other = made(), made(weight_decay_lambda=0.5, dropout_ration=0.2)
    one.batch_size, one.network.weight_decay_l1, one.network.layers["BatchNorm2"].momentum = 9, 0.25, 0.75
    one.train(2)
    other.load_state_dict(one.state_dict())
    assert (other.batch_size, other.network.weight_decay_l1, other.network.weight_decay_lambda) == (9, 0.25, 1e-3)
    assert_goes_on_like(other, one)


def test_steps_that_were_not_finite_are_part_of_it():
    x = X.copy()
    x[:3] = np.nan
    one, other = made(x=x), made(seed=1, x=x)
    one.train(6)
    assert 0 < len(one.nonfinite) and other.nonfinite == []
    other.load_state_dict(one.state_dict())
    assert str(other.nonfinite) == str(one.nonfinite) and type(other.nonfinite[0]) is type(one.nonfinite[0])
    assert other.diverged == one.diverged and other.step_seconds == []
    assert_goes_on_like(other, one)


def test_the_layout_of_a_state():
    """fastnn/nn/state.py promises these keys."""
    trainer = made("SantaSSS", sharing="one of two")
    trainer.train(1)
    state = trainer.state_dict()
    net, losses = state.pop("network"), state.pop("losses")
    assert (losses.dtype, losses.shape) == (np.float64, (1,))
    assert_same_state(state.pop("optimizer"), trainer.optimizer.state_dict())
    streams, of_net = state.pop("streams"), net.pop("streams")
    assert state == {"format": 1, "name": "Trainer", "rows": 50, "batch_size": 16, "nonfinite": []}
    shared = {"network": "network", "Dropout1": "network", "Dropout2": "network"}
    assert of_net["drawn_from"] == shared and list(of_net["generators"]) == ["network"]
    assert streams["drawn_from"] == {**shared, "optimizer": "optimizer", "trainer": "optimizer"}
    assert {key: g["bit_generator"] for key, g in streams["generators"].items()} == dict.fromkeys(
        ["network", "optimizer"], "PCG64")
    layers, params = net.pop("layers"), net.pop("params")
    assert net == {"format": 1, "name": "MultiLayerNet", "dtype": "float32", "weight_decay_lambda": 1e-3,
                   "weight_decay_l1": 0.0}
    assert {key: p.shape for key, p in params.items()} == {key: p.shape for key, p in trainer.network.params.items()}
    norm = layers.pop("BatchNorm1")
    assert_same_bits(norm.pop("running_mean"), trainer.network.layers["BatchNorm1"].running_mean)
    assert_same_bits(norm.pop("running_var"), trainer.network.layers["BatchNorm1"].running_var)
    assert norm == {"class": "BatchNormalization", "momentum": 0.9}
    assert [layers[key] for key in ("Affine1", "Activation_function1", "Dropout1")] == [
        {"class": "Affine"}, {"class": "Activation", "activation": repr(get_act("tanh"))},
        {"class": "Dropout", "dropout_ratio": 0.5}]
    assert list(layers)[-1] == "Affine3"


def arrays_in(state):
    for value in state.values() if isinstance(state, dict) else state:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, (dict, list)):
            yield from arrays_in(value)


def test_a_state_shares_nothing_with_its_trainer():
    trainer = made(sharing="old one of all")
    trainer.train(2)
    state = trainer.state_dict()
    kept = copy.deepcopy(state)
    trainer.train(2)
    assert_same_state(state, kept)
    trainer.load_state_dict(state)
    for a in arrays_in(state):
        a[...] = 7
    assert_same_state(trainer.state_dict(), kept)


# What is refused.

NORM, DROPOUT = ("network", "layers", "BatchNorm1"), ("network", "layers", "Dropout1")
BAD = {
    "no dict": (lambda state: None, "must be a dict"),
    "newer": (put("format", value=2), "format 2.*none that is newer"),
    "newer network": (put("network", "format", value=2), "format 2.*none that is newer"),
    "name": (put("name", value="Teacher"), "name is 'Teacher', not 'Trainer'"),
    "rows": (put("rows", value=51), "training on 51 rows, not 50"),
    **{f"batch_size {n}": (put("batch_size", value=n), "batch_size must be") for n in (0, -1, 1.0, None, 2**70)},
    **{f"losses {i}": (put("losses", value=a), "losses must be") for i, a in enumerate((
        None, [1.0, 2.0], np.zeros(2, np.float32), np.zeros((1, 2)), np.array(0.0), np.array(["x"])))},
    "nonfinite": (put("nonfinite", value=3), "nonfinite must be a list"),
    **{f"nonfinite {i}": (put("nonfinite", value=[found]), "nonfinite has|a step must be") for i, found in enumerate((
        None, (1, 0.0, None), (1, 0.0, None, "here"), (1, 0.0, 3, "output"), (1, "0", None, "output"),
        (0, 0.0, None, "output"), (3, 0.0, None, "output"), (1.0, 0.0, None, "output"), (1, 0, None, "output"),
        (1, 0.0, None, np.zeros(2))))},
    "optimizer": (put("optimizer", "name", value="SGD"), "name is 'SGD', not 'SantaE'"),
    "optimizer's t": (put("optimizer", "by_key", "W1", "t", value=-1), "t of by_key 'W1' must be"),
    "network": (put("network", value=None), "must be a dict"),
    "network's name": (put("network", "name", value="Net"), "name is 'Net'"),
    "dtype": (put("network", "dtype", value="float64"), "dtype is 'float64', not 'float32'"),
    **{f"decay {x}": (put("network", "weight_decay_lambda", value=x), "weight_decay_lambda must")
       for x in (-1, float("inf"), "0", None)},
    "no params": (put("network", "params", value={}), "parameters are not 'W1'"),
    "W1": (put("network", "params", "W1", value=np.zeros((6, 7), np.float32)), r"'W1' was saved as .*\(6, 7\)"),
    "b3": (put("network", "params", "b3", value=np.zeros(3)), "'b3' was saved as float64"),
    "layers": (put("network", "layers", value={}), "layers has no 'Affine1'"),
    "another layer": (put("network", "layers", "Affine4", value={"class": "Affine"}), "'Affine4', which is unknown"),
    "class": (put(*DROPOUT, "class", value="Layer"), "'Dropout1' was of class 'Layer', not 'Dropout'"),
    "activation": (put("network", "layers", "Activation_function2", "activation", value="get_act('ReLU')"),
                   "has the activation \"get_act\\('ReLU'\\)\", not"),
    **{f"ratio {x}": (put(*DROPOUT, "dropout_ratio", value=x), "dropout ratio of layer 'Dropout1' must be")
       for x in (-0.1, 1, float("nan"), None)},
    **{f"momentum {x}": (put(*NORM, "momentum", value=x), "momentum of layer 'BatchNorm1' must")
       for x in (-0.1, 1.1, "1", np.zeros(2))},
    **{f"{what} {i}": (put(*NORM, what, value=a), f"{what} of layer 'BatchNorm1' must be")
       for what in ("running_mean", "running_var")
       for i, a in enumerate((None, np.zeros(8), np.zeros(7, np.float32), [0.0] * 8))},
}
for place in (("streams",), ("network", "streams")):
    BAD |= {f"{place} {key}": (put(*place, *path, value=value), message) for key, path, value, message in (
        ("none", (), None, "streams must be a dict"),
        ("no one draws", ("drawn_from",), {}, "drawn_from has no 'network'"),
        ("shared", ("drawn_from", "Dropout1"), "Dropout2", "Dropout1 drew from the generator of 'Dropout2'"),
        ("arrays", ("drawn_from", "Dropout1"), np.zeros(2), "Dropout1 drew from"),
        ("none stands", ("generators",), {}, "generators has no 'network'"),
        ("kind", ("generators", "network", "bit_generator"), "MT19937", "generator"),
        ("another kind", ("generators", "network"), fastnn.generators.generator_state(np.random.RandomState(0)),
         r"generator of network was a RandomState\(MT19937\), but is a Generator\(PCG64\)"),
        ("a number", ("generators", "network", "state", "state"), -1, "generator"))}


@pytest.mark.parametrize("fault", BAD)
def test_what_does_not_fit_changes_nothing(fault):
    damage, message = BAD[fault]
    one, other = made("SantaE"), made("SantaE", 1)
    for trainer in (one, other):
        trainer.train(2)
    state, before = damage(one.state_dict()), frozen(other)
    with pytest.raises(StateError, match=message):
        other.load_state_dict(state)
    assert frozen(other) == before


@pytest.mark.parametrize(("other", "message"), [
    (lambda: made("SGD"), "name is 'Adam', not 'SGD'"), (lambda: made(activation="ReLU"), "activation"),
    (lambda: made(dtype=np.float64), "dtype is 'float32', not 'float64'"),
    (lambda: made(use_dropout=False), "'Dropout1', which is unknown"),
    (lambda: made(x=X[1:], t=T[1:]), "50 rows, not 49"),
    (lambda: made(sharing="one of all"), "trainer drew from the generator of 'trainer', but .* 'network' here"),
    (lambda: made(sharing="other kinds"), r"was a Generator\(PCG64\), but is a RandomState\(MT19937\)"),
], ids=range(7))
def test_no_trainer_takes_the_state_of_another(other, message):
    one, other = made(), other()
    one.train(2)
    before = frozen(other)
    with pytest.raises(StateError, match=message):
        other.load_state_dict(one.state_dict())
    assert frozen(other) == before


@pytest.mark.parametrize(("damage", "error"), [
    (lambda p: p.__setitem__("b3", np.broadcast_to(np.float32(0), 3)), ValueError),
    (lambda p: p.__setitem__("b3", [0.0] * 3), TypeError), (lambda p: p.pop("b3"), StateError),
], ids=range(3))
def test_parameters_that_cannot_be_filled(damage, error):
    one, other = made(), made(seed=1)
    damage(other.network.params)
    before = {key: np.array(p) for key, p in other.network.params.items()}
    with pytest.raises(error, match="b3|parameters are not"):
        other.load_state_dict(one.state_dict())
    for key, p in before.items():
        assert_same_bits(np.array(other.network.params[key]), p)


def test_random_edits():
    """Entries exchanged, dropped and added anywhere: the state is refused, or it is one that can be used."""
    rng, trainer = random.Random(0), made("SantaE")
    trainer.train(2)
    state, before = trainer.state_dict(), frozen(trainer)
    wrong = [None, True, -1, 0, 1.5, float("nan"), "x", [], {}, 2**64, np.zeros(3), np.zeros(8, np.float32), object()]
    refused = 0
    for _ in range(400):
        edited = copy.deepcopy(state)
        edit(edited, rng, wrong, ["y", 3], deeper=0.8)
        try:
            trainer.load_state_dict(edited)
        except StateError:
            assert frozen(trainer) == before
            refused += 1
        else:
            assert trainer.state_dict().keys() == state.keys()
            trainer.load_state_dict(state)
    assert refused > 300


@needs_files
def test_a_file_fills_all_or_nothing(tmp_path):
    path, one, other, opt = tmp_path / "run", made(), made(seed=1), get_opt("Adam")
    fastnn.save(path, trainer=one, net=one.network, opt=one.optimizer, params=one.network.params)
    before, params = frozen(other), {key: np.zeros_like(p) for key, p in one.network.params.items()}
    for wrong, error, message in (
            ({"net": get_opt("Adam")}, StateError, "name"), ({"more": other}, StateError, "'more'"),
            ({"opt": get_opt("SGD")}, StateError, "SGD"), ({"net": 3}, TypeError, "net must be"),
            ({"params": []}, StateError, "0 parameters")):
        with pytest.raises(error, match=message):
            fastnn.load(path, **{"trainer": other, "opt": opt, "params": params, **wrong})
        assert frozen(other) == before and not any(p.any() for p in params.values()) and not opt.t
    fastnn.load(path, trainer=other, params=params)
    assert_same_bits(params["W1"], one.network.params["W1"])
    assert_goes_on_like(other, one)


class OtherNet:
    def __init__(self):
        self.params = {"w": np.ones(2)}

    def loss_and_gradient(self, x, t):
        return 1.0, {"w": np.ones(2)}


class OtherOptimizer:
    def update(self, params, grads):
        pass


@pytest.mark.parametrize(("trainer", "message"), [
    (lambda: Trainer(OtherNet(), get_opt("SGD"), X, T), "state of a OtherNet"),
    (lambda: Trainer(MultiLayerNet(6, [], 3), OtherOptimizer(), X, T), "state of a OtherOptimizer")])
def test_what_is_not_ours_has_no_state(trainer, message):
    trainer = trainer()
    trainer.step()
    for call in (trainer.state_dict, lambda: trainer.load_state_dict(made().state_dict())):
        with pytest.raises(TypeError, match=message):
            call()


def test_layers_that_are_not_ours_have_no_state():
    class Twice:
        def forward(self, x, train_flg=True):
            return 2 * x

        def backward(self, dout):
            return 2 * dout

    trainer = made()
    trainer.network.layers["Twice"] = Twice()
    with pytest.raises(TypeError, match="layer 'Twice' is a Twice"):
        trainer.state_dict()


def test_layers_of_classes_derived_from_ours_have_theirs():
    class Mine(BatchNormalization):
        pass

    one, other = made(), made(seed=1)
    for trainer in (one, other):
        trainer.network.layers["BatchNorm1"].__class__ = Mine
    one.train(3)
    with pytest.raises(StateError, match="of class 'Mine', not 'BatchNormalization'"):
        made().load_state_dict(one.state_dict())
    other.load_state_dict(one.state_dict())
    assert_goes_on_like(other, one)


# A run that is killed again and again.

KILLS = int(os.environ.get("FASTNN_TEST_KILLS", 3))


def run_to_the_end(path, opt, steps):
    """Save after every third step, and begin where the process before ended.

    Says when it begins, and waits for an answer when it has saved.
    """
    begun = os.path.exists(path)
    trainer = made(opt, int(begun))         # of a run that goes on, the state alone counts
    if begun:
        fastnn.load(path, trainer=trainer)
    while len(trainer.losses) < steps:
        print(len(trainer.losses), flush=True)
        trainer.train(3)
        fastnn.save(path, trainer=trainer)
        sys.stdin.readline()


@needs_files
@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL here")
@pytest.mark.parametrize("opt", ["Adam", "SantaE"])
def test_a_killed_run_ends_like_one_that_was_not(opt, tmp_path):
    """kill -9 at random moments of training and saving; a fresh process goes on."""
    path, rng, steps = str(tmp_path / "run"), random.Random(opt), 3 * (3 * KILLS + 1)
    code = f"import test_network_state as test; test.run_to_the_end({path!r}, {opt!r}, {steps})"
    for kills_left in range(KILLS, -1, -1):
        rounds = rng.randint(1, 3) if kills_left else steps
        with subprocess.Popen(**interpreter(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
            for round_ in range(1, rounds + 1):
                if not run.stdout.readline():
                    break                           # it is done
                if kills_left and round_ == rounds:
                    time.sleep(rng.uniform(0, 0.008))
                    run.send_signal(signal.SIGKILL)
                else:
                    run.stdin.write("\n")
                    run.stdin.flush()
        assert run.returncode == (-signal.SIGKILL if kills_left else 0)
    wanted, got = made(opt), made(opt, 2)
    wanted.train(steps)
    fastnn.load(path, trainer=got)
    assert_same_state(got.state_dict(), wanted.state_dict())
