"""Registration of random formulas: what is accepted computes values and derivatives that are right, by mpmath; what is refused
is refused in one error, and changes nothing.

    python tests/test_jit_random.py [COUNT [SEED]]

tries more of them.
"""
import math
import random
import sys

import numpy as np
import pytest

pytest.importorskip("numba")
mpmath = pytest.importorskip("mpmath")
pytest.importorskip("sympy")

import fastnn
from fastnn import activations, get_act, get_err, losses, register_act, register_loss, unregister

ONE = ("abs({})", "m.exp({})", "m.tanh({})", "m.sin({})", "m.cos({})", "m.atan({})", "m.log1p(abs({}))", "m.sqrt({} + 3.0)",
       "m.expm1({})", "m.log(abs({}) + 0.5)", "max({}, 0.25)", "min({}, 1.5)", "({})**2", "({})**3", "-({})", "m.erf({})",
       "m.sqrt(({})**2 + 1)", "1/(1 + m.exp(-({})))", "m.asinh({})")
TWO = ("{} + {}", "{} - {}", "({})*({})", "({})/(1 + ({})**2)", "max({}, {})", "min({}, {})",
       "m.hypot({}, 1 + abs({}))", "(abs({}) + 0.5)**({})")
THREE = ("({1} if {0} > 0.3 else {2})", "({1} if {0} < {2} else {0})")
BAD = ("m.gamma({})", "m.fsum([{0}, {0}])", "float.fromhex({})", "({}).real", "[1, 2][{}]", "np.mean({})", "next(counter)*({})",
       "unknown({})", "math.floor({})//0", "m.exp({}, 3)", "({0}, {0})", "str({})")


def expression(rng, names, depth):
    """Of these names, as Python's text."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice([*names, *names, *names, "0.5", "2.0", "-1.25"])
    forms = rng.choice([ONE, ONE, TWO, TWO, TWO, THREE])
    return rng.choice(forms).format(*(f"({expression(rng, names, depth - 1)})" for _ in range(3)))


KINDS = {
    "activation": (["x", "h"], lambda f: register_act("own", f, h=0.75)),
    "loss": (["y", "t", "h"], lambda f: register_loss("own", f, h=0.75)),
    "pair": (["a", "b", "h"], lambda f: register_act("own", f, h=0.75)),
    "learned": (["x", "p", "q", "h"], lambda f: register_act("own", f, learn=("q", "p"), p=0.6, q=-1.3, h=0.75))}


def made(text, names, m):
    space = {"m": m, "math": math, "np": np, "counter": iter(range(10**9))}
    exec(compile(f"def formula({', '.join(names)}):\n    return {text}\n", "<random>", "exec"), space)
    return space["formula"]


def computed(kind, points, grad):
    """Value and derivatives at points, the numbers by name."""
    if kind == "activation":
        act = get_act("own")
        return [act(points["x"]), act.backward(points["x"], grad=grad)]
    if kind == "loss":
        error, slope = get_err("own").value_and_grad(points["y"], points["t"])
        return [error, slope*grad]
    if kind == "pair":
        unit = get_act("own")
        return [unit(points["a"], gate=points["b"]), *unit.backward(points["a"], grad=grad, gate=points["b"])]
    act = get_act("own", channels=points["x"].size, axis=0)
    act.p, act.q = points["p"].copy(), points["q"].copy()
    return [act(points["x"]), act.backward(points["x"], grad=grad), act.dp, act.dq]


def catalogue():
    return activations(), losses()


def check(kind, text):
    """Whether it was accepted; what is, is held against mpmath."""
    names, register = KINDS[kind]
    before = catalogue()
    try:
        register(made(text, names, math))
        rng = np.random.default_rng(0)
        moving = {"activation": names[:1], "loss": names[:2], "pair": names[:2], "learned": names[:3]}[kind]
        points = {name: 3*rng.normal(size=24) for name in moving}
        grad = rng.normal(size=24)
        got = computed(kind, points, grad)
    except (TypeError, ValueError) as error:
        assert catalogue() == before or "give it" in str(error), text
        assert str(error) and "Traceback" not in str(error)
        for name in {*activations(), *losses()} - {*before[0], *before[1]}:
            unregister(name)
        return False
    try:
        compare(kind, text, names, moving, points, grad, got)
    finally:
        unregister("own")
    assert catalogue() == before
    return True


def compare(kind, text, names, moving, points, grad, got):
    mp = mpmath.mp.clone()
    mp.dps = 60
    exact, step = made(text, names, mp), mp.mpf(10)**-25
    wanted = moving[:1] if kind == "loss" else moving
    for i in range(grad.size):
        at = {**{name: mp.mpf(float(values[i])) for name, values in points.items()}, "h": mp.mpf(0.75)}
        found = [exact(**at)]
        scale = abs(found[0])
        for name in wanted:
            below, above = (exact(**{**at, name: at[name] + sign*step}) for sign in (-1, 1))
            left, right = (found[0] - below)/step, (above - found[0])/step
            if abs(right - left) > mp.mpf(10)**-15*(1 + abs(left)):
                return                              # a kink
            found.append(float(grad[i])*(left + right)/2)
        for one, two in zip((each[i] for each in got), found):
            # what doubles cannot hold, or has no digits: functions of huge numbers
            if abs(two) < 1e200 and scale < 1e12 and max(map(abs, found)) < 1e12:
                assert abs(float(one) - two) <= 1e-9*(1 + max(map(abs, found))), (text, i, one, mp.nstr(two, 17))


@pytest.fixture(autouse=True)
def same_catalogue_afterwards():
    before = catalogue()
    yield
    for name in {*activations(), *losses()} - {*before[0], *before[1]}:
        unregister(name)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", KINDS)
def test_random_formulas(kind, seed):
    rng = random.Random(seed)
    names = KINDS[kind][0]
    check(kind, expression(rng, names, rng.choice([1, 2, 3])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", BAD)
def test_what_is_bad_is_refused(kind, bad):
    first = KINDS[kind][0][0]
    assert not check(kind, f"{first} + {bad.format(first)}" if not bad.startswith("({0}") else bad.format(first))


def main(count, seed):
    accepted, rng = 0, random.Random(seed)
    for _ in range(count):
        kind = rng.choice([*KINDS])
        text = expression(rng, KINDS[kind][0], rng.choice([1, 2, 3, 4]))
        if rng.random() < 0.1:
            text = f"{text} + {rng.choice(BAD).format(KINDS[kind][0][0])}"
        try:
            accepted += check(kind, text)
        except Exception as error:
            print(kind, text, type(error).__name__, str(error)[:400], sep="\n    ", flush=True)
            for name in {"own"} & {*activations(), *losses()}:
                unregister(name)
    print(f"{accepted} of {count} accepted, seed {seed}; fastnn {fastnn.__version__}")


if __name__ == "__main__":
    main(*map(int, [*sys.argv[1:], "100", "1"][:2]) if len(sys.argv) < 3 else map(int, sys.argv[1:3]))
