"""What test files share: units in the last place, samples and their exact values, a fresh interpreter."""
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import dialects
from fastnn.core import rules
from fastnn.losses import Several
from fastnn.optimizers import _registry
from oracles.activations import ORACLES, SOFTMAX_ROWS, reference

TESTS = Path(__file__).parent
HANG = 600                      # seconds; however busy the machine is, what takes longer hangs
SANITIZED = bool(os.environ.get("FASTNN_SANITIZE"))        # tools/sanitized.py: slow, and not optimised
FLOATS = [np.float32, np.float64]
ROWS = [name for name in fastnn.activations() if name in SOFTMAX_ROWS]
# A new entry of the catalogue without a row in ORACLES fails.
ELEMENTWISE = fastnn.activations("elementwise")

LOSSES = [name for name in fastnn.losses() if not isinstance(fastnn.get_err(name), Several)]    # of predictions and targets

OTHER_HYPERPARAMETERS = {
    "hard-shrink": {"lambda_": 0.75}, "soft-shrink": {"lambda_": 0.1}, "leaky-ReLU": {"alpha": 0.3},
    "threshold": {"threshold": -1.25, "value": 3.0}, "ELU": {"alpha": 1.7}, "CELU": {"alpha": 0.6},
    "SELU": {"lambda_": 1.2, "alpha": 0.9}, "Swish": {"beta": 1.9},
    "ReLU-k": {"k": 2.5}, "clipped-linear": {"low": -2.0, "high": 0.5}, "StarReLU": {"scale": 1.3, "bias": -0.25},
    "squareplus": {"b": 0.3}, "ISRU": {"alpha": 3.0}, "ISRLU": {"alpha": 0.4}, "quick-GELU": {"beta": 1.2},
    "ACON-C": {"p1": 1.2, "p2": 0.25, "beta": 1.5}, "snake": {"a": 0.7},
    "PAU": {"a0": 0.02996348, "a1": 0.61690165, "a2": 2.37539147, "a3": 3.06608078, "a4": 1.52474449, "a5": 0.25281987,
            "b1": 1.19160814, "b2": 4.40811795, "b3": 0.91111034, "b4": 0.34885983}}
CASES = [(name, tuple(parameters.items())) for name in ELEMENTWISE
         for parameters in ({}, OTHER_HYPERPARAMETERS.get(name)) if parameters is not None]

# Kinks, the ends of ranges named in fastnn/core/*.pxd, and where exp, its square or its square root leaves
# a format.
SWITCHES = [0.1, 0.29, 0.5*np.log(2), np.sqrt(2) - 1, 0.5, 0.75, 0.85, 1.0, 1.5*np.log(2), 1.25, np.sqrt(2) + 1, 2.5, 3.0, 3.95, 4.0, 6.0, 8.0, 9.0,
            11.0, 12.0, 15.0, 20.0, 22.0, 28.0, 38.0, 39.0, 60.0, 88.0, 104.0, 114.0, 125.4, 228.0, 709.78, 745.0, 750.0, 760.0, 836.0,
            1520.0, 2.0**30, 2.0**40, 2.0**50, 2.0**60, 2.0**62]


# The optimizers of the catalogue and, "like" article A, its own: titles in `oracles.rules`. Other libraries' rows have
# the libraries for oracles: test_like.py.
RULES = [*fastnn.optimizers(), *(f"{name} like article" for name in dialects.of_source(_registry, "article").names())]

# How many rounding errors of the largest delta that an element has had a delta may be wrong by. Some rules lose digits
# by themselves: SMORMS3's s = 1 + s (1 - zeta) where zeta is near 1; FTRL where the l1 term lets go of a parameter; those
# whose deltas are differences of ways from the first parameter; NovoGrad and Fromage where the gradient's term and the
# parameter's cancel. Santa divides by velocities that may lie next to zero: a few elements go astray, and some explode by
# the rule itself. Shampoo's and SOAP's roots and bases are of matrices without full rank; a gradient's sums and Muon's
# products are rounded as a whole, and what is near zero of its singular values grows 485-fold. RAdam's steps grow at
# once where it begins to adapt, and with them the errors of averages so far.
LOSING = {"Shampoo": 1e6, "SOAP": 1e6, "Muon": 2e4, "Adafactor": 256, "NovoGrad": 1e5, "Fromage": 1e5, "RAdam": 256,
          "SMORMS3": 256, "FTRL": 256, "MADGRAD": 256, "COCOB": 256, "ScheduleFreeSGD": 64, "ScheduleFreeAdamW": 64,
          "NoisySGD": 1000, "SantaE": 1000, "SantaSSS": 1000}
MIXING = ("Muon", "Shampoo", "SOAP")           # a delta is made of a whole matrix, whose largest counts
ROUNDINGS = {title: LOSING.get(title.partition(" like ")[0], 16) for title in RULES}


def optimizer(title, **values):
    name, _, source = title.partition(" like ")
    return fastnn.get_opt(name, **values, **({"like": source} if source else {}))


def without_decay(title):
    """The argument that says so, where a row decays by default: such deltas need the parameters."""
    return {"weight_decay": 0} if type(optimizer(title)).weight_decay.default else {}


APART = [title for title in RULES if optimizer(title).elementwise]        # whose elements go their own ways


def beside(opt, *params):
    """w= and b= of an `update` that returns deltas, for an optimizer that reads the parameter; else nothing."""
    reads_p = opt.measures_p or any(rules.RULES[name][-1] for name in opt.kernels)
    return dict(zip(("w", "b"), params)) if reads_p else {}


NOISY = [name for name in RULES if "rng" in type(optimizer(name)).hyperparameters]


def seeded(name, rng=5):
    """The argument for the noise of an optimizer, if it draws any."""
    return {"rng": rng} if name in NOISY else {}


def activation(name, parameters=()):
    """With the hyperparameters given, and those of the oracle where the catalogue has no defaults."""
    required = ORACLES[name].parameters if name == "threshold" else {}
    return fastnn.get_act(name, **required | dict(parameters))


@cache
def samples(dtype):
    """About 700 numbers of both signs: zeros, subnormals, every exponent,
    switch points and their neighbours."""
    rng = np.random.default_rng(2015)
    limits = np.finfo(dtype)
    first, last = int(np.log2(limits.smallest_subnormal)), limits.maxexp
    exponents = np.r_[first:last] if dtype == np.float32 else np.r_[first:-60:29, -60:12, 12:last:29]
    switches = np.array(SWITCHES, dtype)
    positive = np.concatenate([
        np.ldexp(rng.uniform(1, 2, exponents.size), exponents).clip(max=float(limits.max)),
        [limits.smallest_subnormal, limits.smallest_normal, limits.eps, limits.max],
        rng.uniform(0, 10, 80), rng.uniform(0, 4, 60), rng.uniform(10, 110, 20), rng.uniform(110, 800, 20)])
    signed = positive*np.where(np.arange(positive.size) % 2, 1, -1)
    near = np.concatenate([switches, np.nextafter(switches, dtype(0)), np.nextafter(switches, dtype(np.inf))])
    return np.concatenate([signed, near, -near, [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(dtype)


@cache
def exact_values(name, parameters, order, dtype):
    """The oracle's float64 values at `samples(dtype)`."""
    return reference(name, order, samples(dtype), **dict(parameters))


def all_orders(act, x):
    """f, f' and f''."""
    return act.forward(x), act.backward(x), act.d2y(x)


def ulps(got, exact, dtype, floor=0.0):
    """|got - exact| in units in the last place of max(|exact|, floor); NaN and infinities must be equal.

    `exact` is float64, `floor` a number or an array. Below the normal range the unit is the smallest subnormal.
    """
    got, exact = np.asarray(got, np.float64), np.asarray(exact, np.float64)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype).astype(np.float64)      # infinite where `dtype` is too small
        limits = np.finfo(dtype)
        size = np.clip(np.maximum(np.abs(exact), floor), float(limits.smallest_normal), float(limits.max))
        error = np.abs(got - exact)/np.ldexp(float(limits.eps), np.frexp(size)[1] - 1)
    same = (got == rounded) | (np.isnan(got) & np.isnan(exact))
    return np.where(same & ~np.isfinite(rounded), 0.0, np.where(np.isfinite(error), error, np.inf))


def assert_close(got, exact, x, bound, dtype, floor=0.0):
    """All errors within `bound` ULP; the message shows the worst."""
    if not np.size(got):
        return
    errors = ulps(got, exact, dtype, floor)
    i = np.argmax(errors)
    assert errors.flat[i] <= bound, (f"{errors.flat[i]:.2f} ULP at {np.ravel(x)[i]!r}: "
                                     f"{np.ravel(got)[i]!r} for {np.ravel(exact)[i]!r}")


def assert_same_bits(got, wanted, context=None):
    """Type, dtype, shape and every bit, but for the bits of a NaN."""
    assert (type(got), got.dtype, got.shape) == (type(wanted), wanted.dtype, wanted.shape), context
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.tobytes() != wanted.tobytes():
        same = (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | (np.isnan(got) & np.isnan(wanted))
        assert same.all(), (context, np.argwhere(~same)[:5], got[~same][:5], wanted[~same][:5])


def exit_status(child):
    """Of a forked process; one that hangs is killed and fails the test."""
    end = time.monotonic() + HANG
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


class Number:
    """Calls a function whenever it is read."""

    def __init__(self, value, call):
        self.value, self.call = value, call

    def __index__(self):
        self.call()
        return self.value

    def __float__(self):
        self.call()
        return float(self.value)


def environment(**changes):
    """The environment of an interpreter that can import fastnn and this folder; a variable given as None is taken out."""
    paths = [str(TESTS), str(Path(fastnn.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **changes}
    return {key: value for key, value in variables.items() if value is not None}


def interpreter(code, *arguments, **changes):
    """What subprocess takes to run code in a fresh interpreter with that environment."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]      # -c looks in cwd first
    return {"args": command, "env": environment(**changes), "cwd": TESTS}


def python(code, *arguments, **changes):
    """Run code in such an interpreter; its CompletedProcess, as text."""
    return subprocess.run(**interpreter(code, *arguments, **changes), capture_output=True, text=True, timeout=HANG)


def unregistering(names):
    """A fixture: what a test has registered is unregistered, and `names()` is what it was before."""
    @pytest.fixture(autouse=True)
    def same_catalogue_afterwards():
        before = names()
        yield
        for name in set(names()) - set(before):
            fastnn.unregister(name)
        assert names() == before
    return same_catalogue_afterwards
