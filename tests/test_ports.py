"""The programs in examples/ports: each with fastnn's optimizer in at most three lines, and the numbers of its own."""
import importlib.util
import runpy
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from helpers import python

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "ports"
if not (ROOT / "asv_bench").is_dir() or not FOLDER.is_dir():
    pytest.skip("no asv_bench or examples beside the tests", allow_module_level=True)


def module(path):
    """A file of the project's that is no part of the package."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


ports = module(ROOT / "asv_bench" / "ports.py")
NAMES = ["char_rnn", "cnn", "evolution", "gan", "gpt", "lstm", "reinforce", "skip_gram"]

# How far losses and parameters may be apart, as a part of the largest of their array. A step is rounded otherwise by some
# 1e-17, and training multiplies what is apart: by 10 to 1000 where one sees 1e-15 or 1e-14 at the end; in the GPT, where
# it is 3e-17 after the second step and 1e-13 after 80, to 1e-9 after 300.
TOLERANCES = dict.fromkeys(NAMES, 1e-11) | {"gpt": 1e-6}
# The lines that a port may change.
MOST = 3


def programs(name):
    """(with an optimizer of its own, with fastnn's)."""
    return module(FOLDER / f"{name}_numpy.py"), module(FOLDER / f"{name}.py")


@cache
def trained(name):
    """What `train` returns, of both."""
    return [program.train() for program in programs(name)]


def test_every_program_is_tested():
    assert ports.names() == NAMES
    assert {path.stem.removesuffix("_numpy") for path in FOLDER.glob("*.py")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_at_most_three_lines_are_changed(name):
    """Added or changed ones. What goes without another line in its stead was the optimizer: functions and classes, and
    calls of them."""
    twins = ports.Twins(name)
    assert 0 < len(twins.changed) <= MOST, twins.changed
    assert twins.removed == []
    assert all(len(line) <= 120 for line in twins.changed)
    used = [line for line in twins.sources[0].splitlines() if line.startswith("from fastnn")]
    assert used in ([], ["from fastnn.datasets import load_digits"])


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_those_of_the_program(name):
    own, ported = trained(name)
    assert ports.difference(own, ported) <= TOLERANCES[name]
    assert all(p.dtype == np.float64 for p in ported[1])


@pytest.mark.parametrize(("name", "to"), [("char_rnn", 0.3), ("cnn", 0.2), ("evolution", 0.05), ("gpt", 0.2),
                                          ("lstm", 0.2), ("skip_gram", 0.8)])
def test_losses_fall(name, to):
    losses, _ = trained(name)[1]
    assert np.mean(losses[-10:]) < to*np.mean(losses[:10])


def test_rewards_rise():
    means, _ = trained("reinforce")[1]
    assert np.mean(means[-10:]) > 0.5 > np.mean(means[:10])


def test_the_generator_finds_the_points():
    gan, (_, params) = programs("gan")[1], trained("gan")[1]
    generator = dict(zip(gan.network(np.random.default_rng(0), 4, 48, 48, 2), params))
    points, _ = gan.forward(generator, np.random.default_rng(1).standard_normal((1000, 4)))
    np.testing.assert_allclose(points.mean(0), gan.CENTRE, atol=0.1)


def check_slopes(loss, params, grads):
    """Gradients against differences of the loss, at some places of each array."""
    rng = np.random.default_rng(0)
    for p, g in zip(params, grads, strict=True):
        for _ in range(4):
            place = tuple(rng.integers(size) for size in p.shape)
            before, values = p[place], []
            for step in (1e-6, -1e-6):
                p[place] = before + step
                values.append(loss())
            p[place] = before
            np.testing.assert_allclose(g[place], (values[0] - values[1])/2e-6, rtol=1e-4, atol=1e-7)


def test_gradients_of_the_gpt():
    gpt, rng = programs("gpt")[0], np.random.default_rng(0)
    params = gpt.initialised(rng, 11, 3)
    tokens, answers = rng.integers(11, size=(8, 3)), rng.integers(11, size=8)
    grads = gpt.slopes(params, tokens, answers)[1]
    check_slopes(lambda: gpt.slopes(params, tokens, answers)[0], params.values(), [grads[key] for key in params])


def test_gradients_of_the_lstm():
    lstm, rng = programs("lstm")[0], np.random.default_rng(0)
    params = {"gates": {"input": {"W": rng.standard_normal((1, 4*lstm.SIZE))},
                        "hidden": {"W": rng.standard_normal((lstm.SIZE, 4*lstm.SIZE))/5},
                        "b": rng.standard_normal(4*lstm.SIZE)},
              "out": {"W": rng.standard_normal((lstm.SIZE, 1)), "b": np.ones(1)}}
    x = rng.standard_normal((6, 4, 1))
    grads = lstm.slopes(params, x)[1]
    check_slopes(lambda: lstm.slopes(params, x)[0], lstm.leaves(params), lstm.leaves(grads))


def test_gradients_of_the_rnn():
    rnn, rng = programs("char_rnn")[0], np.random.default_rng(0)
    n, h = len(rnn.LETTERS), rng.standard_normal((rnn.SIZE, 1))
    params = [rng.standard_normal(shape)*0.3 for shape in ((rnn.SIZE, n), (rnn.SIZE, rnn.SIZE), (n, rnn.SIZE),
                                                          (rnn.SIZE, 1), (n, 1))]
    text = rng.integers(n, size=10)
    grads = rnn.slopes(params, text[:-1], text[1:], h)[1]
    check_slopes(lambda: rnn.slopes(params, text[:-1], text[1:], h)[0], params, grads)


def test_gradients_of_the_gan():
    gan, rng = programs("gan")[0], np.random.default_rng(0)
    params, x = gan.network(rng, 2, 5, 6, 1), rng.standard_normal((7, 2))
    grads, dx = gan.backward(params, gan.forward(params, x)[1], np.ones((7, 1)))
    check_slopes(lambda: gan.forward(params, x)[0].sum(), [*params.values(), x], [*(grads[key] for key in params), dx])


def test_gradients_of_the_cnn():
    """Layers hand theirs to an optimizer: this one keeps them."""
    cnn, rng = programs("cnn")[0], np.random.default_rng(0)

    class Keeper:
        def update(self, params, grads):
            self.grads = grads
            return params

    layers = [cnn.Convolution(rng, Keeper(), 9, 1, 3), cnn.ReLU(), cnn.Convolution(rng, Keeper(), 9, 3, 2),
              cnn.Dense(rng, Keeper(), 32, 4)]
    x, weights = rng.standard_normal((5, 8, 8, 1)), rng.standard_normal((5, 4))

    def loss():
        y = x
        for layer in layers:
            y = layer.forward(y)
        return (weights*y).sum()

    loss()
    grad = weights
    for layer in reversed(layers):
        grad = layer.backward(grad)
    own = [layer for layer in layers if isinstance(layer, cnn.Layer)]
    check_slopes(loss, [x, *(p for layer in own for p in (layer.W, layer.b))],
                 [grad, *(g for layer in own for g in layer.optimizer.grads)])


@pytest.mark.parametrize("at", [0, 1], ids=["numpy", "fastnn"])
def test_the_gpt_goes_on_from_its_checkpoint(at, tmp_path):
    if at:
        pytest.importorskip("safetensors")
    program, path = programs("gpt")[at], tmp_path / "checkpoint"
    losses, params = program.train(until=100)
    before, _ = program.train(path, until=60)               # of which ten are lost
    after, again = program.train(path, until=100)
    assert before[:50] + after == losses
    for p, same in zip(params, again, strict=True):
        np.testing.assert_array_equal(p, same)


@pytest.mark.parametrize("name", NAMES)
def test_programs_run_from_the_command_line(name, monkeypatch, capsys):
    if name == "gpt":
        pytest.importorskip("safetensors")
    printed = []
    for path in (FOLDER / f"{name}_numpy.py", FOLDER / f"{name}.py"):
        monkeypatch.setattr(sys, "argv", [str(path)])
        runpy.run_path(str(path), run_name="__main__")
        printed.append(capsys.readouterr())
    assert printed[0] == printed[1] and printed[0].out and not printed[0].err


def test_the_table():
    pytest.importorskip("rich")
    done = python("import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
                  ROOT / "asv_bench" / "ports.py", "gan", "evolution", "--rounds", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gan" in done.stdout and "evolution" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_what_is_timed_is_the_optimizer(name):
    """In each step of both programs; neither the making of an optimizer nor anything else."""
    twins = ports.Twins(name)
    for program in twins.programs():
        losses, _ = program.train(until=9) if name == "gpt" else program.train(9)
        assert len(program.took) % len(losses) == 0 and program.took
