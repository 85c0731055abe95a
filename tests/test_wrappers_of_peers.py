"""Wrappers beside PyTorch's AveragedModel and optax's, and the plain NumPy ones: 60 steps in float64.

As in test_steps_of_peers.py, the libraries run in an interpreter of their own.
"""
import warnings
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from fastnn import SAM, Accumulate, ExponentialAverage, Lookahead, get_opt
from helpers import python
from oracles import optimizers, steps, wrappers as plain
from test_steps_of_peers import CLOSE, SHAPES, STEPS, noise

RULE = {"lr": 0.05, "momentum": 0.9}        # PyTorch's and optax's momentum has the rate outside: here it is constant
KINDS = {"average": (ExponentialAverage, plain.ExponentialAverage, {"decay": 0.9}),
         "lookahead": (Lookahead, plain.Lookahead, {"k": 4, "alpha": 0.3}),
         "accumulate": (Accumulate, plain.Accumulate, {"k": 3}),
         "sam": (SAM, plain.SAM, {"rho": 0.2}),
         "lookahead of accumulated": (None, None, {})}
PAIRS = [("torch", "average"), *(("optax", name) for name in KINDS)]


def start():
    rng = np.random.default_rng(12)
    return {key: np.asarray(rng.standard_normal(shape)) for key, shape in SHAPES.items()}


def gradient(key, p, t):
    """Of a bowl, seen through noise."""
    return (0.1 + 1.4*np.sin(t)**2)*(0.3*p + noise(key)[t])


def walk(step, params, read=lambda params: params):
    """What is read of the parameters after each step; `step` takes a function of parameters that gives gradients."""
    path = {key: [] for key in params}
    for t in range(1, STEPS + 1):
        step(params, lambda params, t=t: {key: gradient(key, p, t) for key, p in params.items()})
        for key, p in read(params).items():
            path[key].append(np.array(p))
    return path


def walk_torch(name):
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
    model = torch.nn.ParameterDict({key: torch.tensor(p) for key, p in start().items()})
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(KINDS[name][2]["decay"]))
    opt = torch.optim.SGD(model.parameters(), **RULE)

    def step(params, gradients):
        found = gradients({key: p.detach().numpy() for key, p in model.items()})
        for key, p in model.items():
            p.grad = torch.tensor(found[key])
        opt.step()
        averaged.update_parameters(model)

    return walk(step, start(), lambda _: {key: averaged.module[key].detach().numpy() for key in model})


def walk_optax(name):
    import jax
    import optax
    rule = optax.sgd(RULE["lr"], momentum=RULE["momentum"])
    params = {key: jax.numpy.asarray(p) for key, p in start().items()}

    def asked(gradients, params):
        return {key: jax.numpy.asarray(g)
                for key, g in gradients({key: np.asarray(p) for key, p in params.items()}).items()}

    if name == "sam":
        rule = optax.contrib.sam(rule, optax.chain(optax.contrib.normalize(), optax.sgd(KINDS[name][2]["rho"])))
    if "accumulate" in name:
        rule = optax.MultiSteps(rule, KINDS["accumulate"][2]["k"],
                                accumulator_dtype=jax.numpy.float64).gradient_transformation()
    held = {"params": params}
    if "lookahead" in name:                 # its period counts micro-steps, too
        k = KINDS["lookahead"][2]["k"]*(KINDS["accumulate"][2]["k"] if "accumulate" in name else 1)
        rule = optax.lookahead(rule, k, KINDS["lookahead"][2]["alpha"])
        held["params"] = optax.LookaheadParams.init_synced(params)
    held["state"] = rule.init(held["params"])

    @jax.jit
    def advance(params, state, grads):
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def fast():
        return held["params"].fast if "lookahead" in name else held["params"]

    def step(params, gradients):
        for _ in range(2 if name == "sam" else 1):
            held["params"], held["state"] = advance(held["params"], held["state"], asked(gradients, fast()))
        if name == "average":
            held["average"] = fast() if "average" not in held else optax.incremental_update(
                fast(), held["average"], 1 - KINDS[name][2]["decay"])

    return walk(step, params, lambda _: held["average"] if name == "average" else fast())


def walk_all(peer, file):
    """For a child process: every wrapper of one library, into an .npz."""
    warnings.simplefilter("default")
    if peer == "optax":
        import jax
        jax.config.update("jax_enable_x64", True)
    walk = {"torch": walk_torch, "optax": walk_optax}[peer]
    np.savez(file, **{f"{name}: {key}": values for of, name in PAIRS if of == peer
                      for key, values in walk(name).items()})


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    @cache
    def of(peer):
        if find_spec(peer) is None:
            pytest.skip(f"no {peer}")
        file = tmp_path_factory.mktemp("peers")/f"{peer}.npz"
        done = python("import warnings; warnings.resetwarnings(); from test_wrappers_of_peers import walk_all; "
                      "import sys; walk_all(*sys.argv[1:])", peer, file)
        assert done.returncode == 0, done.stderr
        return dict(np.load(file))
    return of


def compare(peer, name, paths, opt, step):
    found = paths(peer)
    path = walk(step, start(), lambda params: opt.params if name == "average" else params)
    for key, values in path.items():
        largest = 0
        for t, value in enumerate(values):
            wanted = found[f"{name}: {key}"][t]
            largest = max(largest, abs(wanted).max())
            assert abs(value - wanted).max() <= CLOSE*largest, (key, t + 1)


@pytest.mark.parametrize(("peer", "name"), PAIRS)
def test_fastnn(peer, name, paths):
    opt = get_opt("Momentum", **RULE)
    if name == "lookahead of accumulated":
        opt = Lookahead(Accumulate(opt, **KINDS["accumulate"][2]), **KINDS["lookahead"][2])
    else:
        kind, _, arguments = KINDS[name]
        opt = kind(opt, **arguments)

    def step(params, gradients):
        if name == "sam":
            opt.ascend(params, gradients(params))
        opt.step(params, gradients(params))

    compare(peer, name, paths, opt, step)


@pytest.mark.parametrize(("peer", "name"), PAIRS)
def test_the_oracle(peer, name, paths):
    oracle = plain.Plain(steps.Loop(optimizers.ORACLES["Momentum"], **RULE))
    if name == "lookahead of accumulated":
        oracle = plain.Lookahead(plain.Accumulate(oracle, **KINDS["accumulate"][2]), **KINDS["lookahead"][2])
    else:
        _, kind, arguments = KINDS[name]
        oracle = kind(oracle, **arguments)
    compare(peer, name, paths, oracle,
            lambda params, gradients: oracle.step(params, gradients if name == "sam" else gradients(params)))
