"""The gallery in examples/: every entry computes its paper's formula, and learns to read digits."""
import math
import sys
from pathlib import Path

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath")
pytest.importorskip("numba")
pytest.importorskip("sympy")
pytest.importorskip("rich")

import fastnn
from fastnn import get_act, get_opt, unregister
from helpers import FLOATS, python, ulps

EXAMPLES = Path(__file__).parents[1] / "examples"
MP = mpmath.mp.clone()
MP.dps = 60


@pytest.fixture(scope="module")
def gallery():
    """The modules of examples/; what they register is gone after this file."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import train_gallery
        yield train_gallery
        for name in (*train_gallery.gallery.ACTIVATIONS, *train_gallery.gallery.OPTIMIZERS):
            unregister(name)
        for name in ("train_gallery", "gallery"):
            del sys.modules[name]
    finally:
        sys.path.remove(str(EXAMPLES))


def sigmoid(x):
    return 1/(1 + MP.exp(-x))


def serf(x):
    return x*MP.erf(MP.log1p(MP.exp(x)))


def smelu(x, beta=1.0):
    return MP.zero if x <= -beta else x if x >= beta else (x + beta)**2/(4*MP.mpf(beta))


# The formula by mpmath, another value for the hyperparameter, and the bounds of f, f' and f'' in ULP. The unit is that
# of the value, or of 1/16 where that is larger: f' and f'' cross zero.
FORMULAS = {
    "GCU": (lambda x: x*MP.cos(x), {}, (4, 40, 40)),
    "Serf": (serf, {}, (8, 20, 200)),
    "SmeLU": (smelu, {"beta": 2.0}, (4, 4, 4)),
    "ELiSH": (lambda x: (x if x >= 0 else MP.expm1(x))*sigmoid(x), {}, (8, 20, 100)),
    "Logish": (lambda x: x*MP.log1p(sigmoid(x)), {}, (8, 20, 200)),
}


def exact(formula, order, x, **hyperparameters):
    return float(MP.diff(lambda at: formula(at, **hyperparameters), MP.mpf(float(x)), order))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FORMULAS)
def test_activations_are_those_of_the_papers(gallery, name, dtype):
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


@pytest.mark.parametrize("rule", [diffgrad])
@pytest.mark.parametrize("hyperparameters", [{}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.9}])
def test_optimizers_are_those_of_the_papers(gallery, rule, hyperparameters):
    rng, state = np.random.default_rng(0), {}
    opt = get_opt(rule.__name__, **hyperparameters)
    for t in range(1, 31):
        g = rng.normal(size=23)
        np.testing.assert_allclose(opt.update(g), rule(g, state, t, **hyperparameters), rtol=1e-10, atol=1e-14)


def test_every_entry_is_tested(gallery):
    assert set(FORMULAS) == set(gallery.gallery.ACTIVATIONS)
    assert {"diffGrad"} == set(gallery.gallery.OPTIMIZERS)
    for name in (*FORMULAS, *gallery.gallery.OPTIMIZERS):
        assert name in (*fastnn.activations(), *fastnn.optimizers())


@pytest.mark.parametrize(("activation", "optimizer"), [
    *((name, "Adam") for name in FORMULAS), ("ReLU", "diffGrad")])
def test_every_entry_learns(gallery, activation, optimizer):
    assert gallery.accuracy(activation, optimizer, iterations=300) > 0.9


def test_the_script_prints_a_table():
    done = python("import runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0])\n"
                  "runpy.run_path(sys.argv[0], run_name='__main__')", (EXAMPLES / "train_gallery.py").as_posix(), 3)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("GCU", "diffGrad"):
        assert name in done.stdout
    assert done.stdout.count("%") == 7


def test_the_guide_can_be_typed_in():
    done = python("import pathlib, re, sys\n"
                  "import numpy as np\n"
                  "x, g = np.ones((2, 5))\n"
                  "params, grads = {'w': x.copy()}, {'w': g}\n"
                  "text = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')\n"
                  "blocks = re.findall('```python\\n(.*?)```', text, re.DOTALL)\n"
                  "for block in blocks:\n"
                  "    exec(compile(block, 'guide', 'exec'))\n"
                  "assert len(blocks) == 4 and (params['w'] < 1).all() and (gx > 0).all()",
                  Path(__file__).parents[1] / "docs" / "formulas.md")
    assert (done.returncode, done.stderr) == (0, "")
