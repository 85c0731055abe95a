"""The programs in examples/: each runs, draws, and does what its text says; formulas are those of their papers."""
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")
pytest.importorskip("numba")
pytest.importorskip("sympy")
pytest.importorskip("sklearn")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import fastnn
from fastnn import get_act, get_opt, unregister
from helpers import FLOATS, python, ulps

EXAMPLES = Path(__file__).parents[1] / "examples"
SEVERAL_PROCESSES = {"evolution"}           # run by mpirun: docs/distributed.md
NAMES = sorted({path.stem for path in EXAMPLES.glob("*.py")} - SEVERAL_PROCESSES)
MP = mpmath.mp.clone()
MP.dps = 60


@pytest.fixture(scope="module")
def results():
    """A function that runs an example, once, and returns its variables and the number of its figures."""
    plt = pytest.importorskip("matplotlib.pyplot")
    found, before = {}, {*fastnn.activations(), *fastnn.optimizers()}

    def result(name):
        if name not in found:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(plt, "show", lambda: None)
                space = runpy.run_path(str(EXAMPLES / f"{name}.py"))
            found[name] = space, len(plt.get_fignums())
            plt.close("all")
        return found[name]
    yield result
    for name in {*fastnn.activations(), *fastnn.optimizers()} - before:
        unregister(name)


def halves(losses, last=20):
    return np.mean(losses[-last:])/losses[0]


# What must have come about in each.
OUTCOMES = {
    "digits": lambda found: found["accuracy"] > 0.95,
    "xor": lambda found: sum(share > 0.95 for share in found["reached"].values()) > 0.8*len(found["reached"])
    and found["reached"]["identity"] < 0.7,
    "paths": lambda found: all(found["rosenbrock"](*points[-1]) < found["rosenbrock"](*points[0])/2
                               for points in found["paths"].values()),
    "autoencoder": lambda found: halves(found["losses"]) < 0.15,
    "char_rnn": lambda found: found["written"] in found["TEXT"],
    "word2vec": lambda found: halves(found["losses"]) < 0.3,
    "cartpole": lambda found: min(found["rewards"][-10:]) > 0.9*found["LIMIT"],
    "schedules": lambda found: min(found["accuracies"].values()) > 0.94,
    "own_formulas": lambda found: found["network"].accuracy(found["x_test"], found["t_test"]) > 0.9,
    "pipeline": lambda found: found["accuracy"] > 0.9}


@pytest.mark.parametrize("name", NAMES)
def test_it_does_what_it_says(results, name):
    found, figures = results(name)
    assert figures == 1
    assert OUTCOMES[name](found)


def test_every_example_has_an_outcome():
    assert sorted(OUTCOMES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_its_form(name):
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    lines = text.splitlines()
    assert 20 <= len(lines) <= 60 and max(map(len, lines)) <= 125
    assert lines[0] == '"""' and re.fullmatch("=+", lines[2]) and len(lines[1]) == len(lines[2])


# Formulas

def serf(x):
    return x*MP.erf(MP.log1p(MP.exp(x)))


def smelu(x, beta=1.0):
    return MP.zero if x <= -beta else x if x >= beta else (x + beta)**2/(4*MP.mpf(beta))


# The formula by mpmath, another value for the hyperparameter, and the bounds of f, f' and f'' in ULP. The unit is that
# of the value, or of 1/16 where that is larger: f' and f'' cross zero.
FORMULAS = {"Serf": (serf, {}, (8, 20, 200)), "SmeLU": (smelu, {"beta": 2.0}, (4, 4, 4))}


def exact(formula, order, x, **hyperparameters):
    return float(MP.diff(lambda at: formula(at, **hyperparameters), MP.mpf(float(x)), order))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FORMULAS)
def test_activations_are_those_of_the_papers(results, name, dtype):
    results("own_formulas")
    formula, other, bounds = FORMULAS[name]
    magnitudes = np.geomspace(0.013, 19.7, 40)
    x = np.concatenate([-magnitudes, magnitudes]).astype(dtype)
    for hyperparameters in ({}, other):
        act = get_act(name, **hyperparameters)
        for order, got in enumerate((act.forward(x), act.backward(x), act.d2y(x))):
            wanted = [exact(formula, order, at, **hyperparameters) for at in x]
            assert ulps(got, wanted, dtype, floor=1/16).max() <= bounds[order], (hyperparameters, order)


def diffgrad(g, state, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = state["m"] = beta1*state.get("m", 0) + (1 - beta1)*g
    v = state["v"] = beta2*state.get("v", 0) + (1 - beta2)*g*g
    friction = 1/(1 + np.exp(-abs(state.get("before", 0) - g)))
    state["before"] = g
    return -lr*friction*(m/(1 - beta1**t))/(np.sqrt(v/(1 - beta2**t)) + eps)


@pytest.mark.parametrize("hyperparameters", [{}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.9}])
def test_the_optimizer_is_that_of_its_paper(results, hyperparameters):
    results("own_formulas")
    rng, state = np.random.default_rng(0), {}
    opt = get_opt("diffGrad", **hyperparameters)
    for t in range(1, 31):
        g = rng.normal(size=23)
        np.testing.assert_allclose(opt.update(g), diffgrad(g, state, t, **hyperparameters), rtol=1e-10, atol=1e-14)


def test_the_guide_can_be_typed_in():
    done = python("import pathlib, re, sys\n"
                  "import numpy as np\n"
                  "x, g = np.ones((2, 5))\n"
                  "params, grads = {'w': x.copy()}, {'w': g}\n"
                  "text = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')\n"
                  "blocks = re.findall('```python\\n(.*?)```', text, re.DOTALL)\n"
                  "for block in blocks:\n"
                  "    exec(compile(block, 'guide', 'exec'))\n"
                  "assert len(blocks) == 8 and (params['w'] < 1).all() and (gx > 0).all()",
                  Path(__file__).parents[1] / "docs" / "formulas.md")
    assert (done.returncode, done.stderr) == (0, "")
