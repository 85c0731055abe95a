"""Every optimizer of the catalogue and of the dialects, step by step, against its oracle."""
import ctypes
import platform
import sys
from dataclasses import asdict
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_opt
from fastnn.core import rules
from fastnn.options import Adjustable
from helpers import APART, FLOATS, MIXING, NOISY, ROUNDINGS, RULES, assert_same_bits, beside, optimizer, seeded, without_decay
from oracles.optimizers import normal_draws
from oracles.rules import ORACLES

PARAMETERS = {name: signature(type(optimizer(name))).parameters for name in RULES}
CALM = [name for name in RULES if name not in NOISY]
SANTAS = [name for name in NOISY if "Santa" in name]
# The hyperparameter that lr stands for: the first of these that is declared.
RATE = {name: next(key for key in PARAMETERS[name] if key in ("lr", "eta", "alpha")) for name in RULES}
SHAPES = [[(), (1,)], [(2, 3), (15,)], [(16,), (17,)], [(511,), (512,)], [(513,), (0,)], [(100, 200), (20000,)]]
WITHOUT_EPS = ["LaProp", "M-SVAG"]          # or nearly: what is left of squares decides alone
VANISHED = 1e-33            # what comes of float32 numbers that were flushed to zero

each_float = pytest.mark.parametrize("dtype", FLOATS)
each_name = pytest.mark.parametrize("name", RULES)
each_calm_name = pytest.mark.parametrize("name", CALM)
each_noisy_name = pytest.mark.parametrize("name", NOISY)
each_santa = pytest.mark.parametrize("name", SANTAS)


def others(name):
    """Hyperparameters far from their defaults, for any entry of the catalogue."""
    def other(key, value):
        if isinstance(value, int):
            return value//2 + 1
        return 0.75*value if 0.5 <= value <= 1 else 3*value or (-0.5 if key == "fstar" else 0.01)

    found = {key: other(key, value) for key, value in asdict(ORACLES[name]()).items()
             if not (callable(value) or value is None or key in Adjustable.options)}
    return found | ({"eta": 1e-6} if name in SANTAS else {})        # with a small rate Santa explodes less often


class Judge:
    """The oracle of several tensors; `rng` gives the noise, where there is any."""

    def __init__(self, name, tensors=1, dtype=np.float64, rng=None, **hyperparameters):
        self.oracles = [ORACLES[name](**hyperparameters) for _ in range(1 if ORACLES[name].joint else tensors)]
        self.bound = ROUNDINGS[name]*float(np.finfo(dtype).eps)
        self.largest, self.rng, self.t, self.wild = [0.0]*tensors, rng, 0, name in NOISY
        self.mixes = name in MIXING

    def set(self, key, value):
        for oracle in self.oracles:
            setattr(oracle, key, value)

    def check(self, deltas, grads, t=None, factor=1, **extra):
        """The deltas of the next step, or of step t: right for the largest delta that an element has had so far."""
        self.t = self.t + 1 if t is None else t
        if self.oracles[0].joint:
            whole = {key: together(map(np.asarray, values)) for key, values in (
                ("g", grads), ("p", [given(self.oracles[0], grad).get("p", grad) for grad in grads]))}
            read = {"p": whole["p"]} if self.oracles[0].reads_p else {}
            found = apart(self.oracles[0].delta(whole["g"], self.t, **read, **extra), grads)
        else:
            drawn = normal_draws(self.rng, [(oracle, np.shape(grad), self.t)
                                            for oracle, grad in zip(self.oracles, grads)])
            found = [oracle.delta(grad, self.t, **given(oracle, grad), **more, **extra)
                     for oracle, grad, more in zip(self.oracles, grads, drawn)]
        for i, (delta, want) in enumerate(zip(deltas, found, strict=True)):
            want = factor*want
            sane = abs(want) < (1e30 if self.wild else np.inf)
            assert sane.all() or self.wild
            size = abs(want).max(initial=0) if self.mixes and np.ndim(want) > 1 else abs(want)
            self.largest[i] = np.maximum(self.largest[i], size)
            with np.errstate(invalid="ignore"):
                wrong = sane & ~(abs(delta - want) <= self.bound*self.largest[i] + VANISHED)
            astray = 0.01*wrong.size + (wrong.size > 5) if self.wild else 0
            assert wrong.sum() <= astray, (
                self.t, np.argwhere(wrong)[:3], np.asarray(delta)[wrong][:3], want[wrong][:3])


def new(name, **hyperparameters):
    """Without the decay that a row may have by default: deltas are the rule's alone."""
    return optimizer(name, **seeded(name, np.random.RandomState(5)), **without_decay(name), **hyperparameters)


def pair(name, tensors=1, dtype=np.float64, **hyperparameters):
    """(optimizer, judge), with the same noise."""
    return new(name, **hyperparameters), Judge(name, tensors, dtype, np.random.RandomState(5), **hyperparameters)


def gradients(*shapes, dtype=np.float64, steps=10, scale=1.0, seed=0):
    """A list of gradients for each step."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        yield [np.asarray(scale*rng.standard_normal(shape)).astype(dtype) for shape in shapes]


def parameter(grad):
    """What the delta of a gradient is for, where a rule reads it: of one shape always the same."""
    grad = np.asarray(grad)
    dtype = grad.dtype if grad.dtype.kind == "f" else np.float64
    return np.asarray(np.random.default_rng(grad.size).standard_normal(grad.shape)).astype(dtype)


def together(arrays):
    return np.concatenate([a.ravel() for a in arrays])


def apart(whole, like):
    ends = np.cumsum([np.size(a) for a in like])
    return [part.reshape(np.shape(a)) for part, a in zip(np.split(whole, ends[:-1]), like)]


def given(oracle, grad):
    return {"p": parameter(grad)} if oracle.reads_p else {}


def update(opt, *grads, **kwds):
    return opt.update(*grads, **beside(opt, *map(parameter, grads)), **kwds)


def run(opt, steps):
    return [update(opt, *grads) for grads in steps]


def test_every_optimizer_has_an_oracle():
    assert not (missing := set(RULES) - set(ORACLES)), f"not in tests/oracles: {missing}"
    assert set(ORACLES) <= set(RULES)


@each_name
def test_defaults(name):
    given = {key: parameter.default for key, parameter in PARAMETERS[name].items()
             if key not in Adjustable.options or key in asdict(ORACLES[name]())}
    wanted = {key: value for key, value in asdict(ORACLES[name]()).items() if not callable(value)}
    assert wanted.items() <= given.items()
    assert given.keys() - wanted.keys() - set(type(new(name)).options) <= {"lr", "rng", "anne_func"}


@each_float
@each_name
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_ten_steps(name, shapes, dtype):
    if name == "SOAP":                      # null spaces have any basis: tests/test_along.py has matrices of full rank
        shapes = [(100,) if shape == (100, 200) else shape for shape in shapes]
    if name == "Shampoo":                   # eigenvalues of 500 by 500 take a second
        shapes = [(100,) if 100 < max(shape, default=0) < 1000 else shape for shape in shapes]
    for hyperparameters in ({}, others(name)):
        opt, judge = pair(name, 2, dtype, **hyperparameters)
        for grads in gradients(*shapes, dtype=dtype):
            deltas = update(opt, *grads)
            assert [(np.shape(delta), delta.dtype) for delta in deltas] == [(shape, dtype) for shape in shapes]
            judge.check(deltas, grads)


@each_name
@pytest.mark.parametrize("number", [float, np.float32, np.float64])
def test_numbers(name, number):
    dtype = np.float32 if number is np.float32 else np.float64
    opt, judge = pair(name, 2, dtype)
    for values in ([0.5, -2], [0.25, 3], [-1, 0.125]):
        grads = [number(value) for value in values]
        deltas = update(opt, *grads)
        assert all(type(delta) is dtype for delta in deltas)
        judge.check(deltas, grads)


@each_name
def test_integers_count_as_float64(name):
    whole, real = new(name), new(name)
    for grad in ([3, -1, 0, 7], [1, 2, 0, -4]):
        assert_same_bits(update(whole, np.array(grad)), update(real, np.array(grad, float)))
    assert type(update(new(name), 3)) is np.float64


@each_name
def test_learning_rate(name):
    (opt, judge), same = pair(name), new(name, lr=0.02)
    for step, grads in enumerate(gradients((40,))):
        rate = 0.02 if step < 4 else 0.005
        opt.lr = same.lr = rate
        judge.set(RATE[name], rate)
        delta = update(opt, *grads)
        assert opt.lr == getattr(opt, RATE[name]) == rate
        assert_same_bits(delta, update(same, *grads))
        judge.check([delta], grads, factor=rate if "AdaDelta" in name else 1)      # its oracle has no rate


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "0.1", None, 1j])
@each_name
def test_bad_learning_rate(name, value):
    opt = new(name)
    for attempt in (lambda: new(name, lr=value), lambda: setattr(opt, "lr", value)):
        with pytest.raises((TypeError, ValueError), match=RATE[name]):
            attempt()
    assert opt.lr == new(name).lr


@each_name
def test_an_explicit_t_wins_and_counting_goes_on_from_it(name):
    opt, judge = pair(name)
    given = [1, 2, None, 7, None, np.int64(20), None]
    for t, grads, counted in zip(given, gradients((30,)), [1, 2, 3, 7, 8, 20, 21]):
        judge.check([update(opt, *grads, **({} if t is None else {"t": t}))], grads, t=counted)
        assert opt.t == counted


@each_calm_name
def test_a_first_step_with_a_later_t(name):
    opt, judge = pair(name)
    for t, grads, counted in zip([5, None, 2], gradients((30,)), [5, 6, 2]):
        judge.check([update(opt, *grads, **({} if t is None else {"t": t}))], grads, t=counted)


@each_float
@each_calm_name
def test_zero_gradients_leave_parameters_alone(name, dtype):
    for lr in (new(name).lr, 0):
        opt = new(name, lr=lr, **ORACLES[name].still)
        for grads in gradients((33,), dtype=dtype):
            grads[0][::3] = 0
            delta = update(opt, *grads)
            assert_array_equal(delta[::3], 0 if name not in ("Fromage", "Shampoo") else delta[::3])   # shrunk, rounded
            assert np.isfinite(delta).all()


@each_float
@pytest.mark.parametrize("name", APART)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_element_reaches_only_itself(name, dtype, bad):
    good, opt = (new(name) for _ in range(2))
    rest = np.arange(700) != 517
    for step, (grad,) in enumerate(gradients((700,), dtype=dtype)):
        spoilt = grad.copy()
        if step == 2:
            spoilt[517] = bad
        delta = update(opt, spoilt)
        assert_array_equal(delta[rest], update(good, grad)[rest])
        if step == 2 and np.isnan(bad):
            assert np.isnan(delta[517])


@each_float
@pytest.mark.parametrize("name", [name for name in CALM if name not in APART])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_element_skips_a_step_that_is_made_of_sums(name, dtype, bad):
    good, opt = (new(name) for _ in range(2))
    for step, (grad,) in enumerate(gradients((700,), dtype=dtype)):
        if step == 2:
            spoilt = grad.copy()
            spoilt[517] = bad
            with pytest.warns(RuntimeWarning, match="skipped"):
                assert_array_equal(update(opt, spoilt), 0)
        assert_same_bits(update(opt, grad), update(good, grad))
    assert opt.skipped == 1 and opt.t == good.t


@each_calm_name
@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e-15), (np.float32, 1e15),
                                              (np.float64, 1e-140), (np.float64, 1e140)])
def test_huge_and_tiny_gradients(name, dtype, scale):
    opt, judge = pair(name, 1, dtype)
    for grads in gradients((100,), dtype=dtype, scale=scale):
        if name != "Shampoo" or scale < 1:              # whose errors in null spaces are as large as the gradient
            judge.check([update(opt, *grads)], grads)
        else:
            assert np.isfinite(update(opt, *grads)).all()


@each_calm_name
@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e-25), (np.float64, 1e-170)])
def test_gradients_whose_square_vanishes(name, dtype, scale):
    """A delta may vanish, but must not explode."""
    opt, oracle = new(name), ORACLES[name]()
    for t, grads in enumerate(gradients((100,), dtype=dtype, scale=scale), 1):
        want = oracle.delta(np.longdouble(grads[0]), t, **given(oracle, grads[0]))
        assert (abs(update(opt, *grads)) <= 1.001*abs(want).max()).all()


@pytest.mark.parametrize("name", [name for name in fastnn.optimizers() if name not in (*NOISY, *WITHOUT_EPS)])
@pytest.mark.parametrize("size", [1e-18, 1e-19, 3e-20, 1e-25, 1e-30])
def test_gradients_whose_squares_vanish(name, size):
    """float32 gives what float64 gives: eps, where a rule has one, is far above the root that has become 0."""
    if size < 1e-19 and name not in APART:
        size = 1e-19                                    # a rate of 1e-6 times the smaller ones is no float32
    single, double = np.zeros(100, np.float32), np.zeros(100)
    one, other = get_opt(name), get_opt(name)
    wave = np.cos(np.arange(100))
    for step in range(5):
        grad = (size*(wave + step)).astype(np.float32)
        one.step([single], [grad])
        other.step([double], [grad.astype(np.float64)])
    assert_allclose(single, double, rtol=1e-4, atol=1e-36)


# D-Adapt-Adam's d grows without end while a gradient stays and its parameter is not moved
@pytest.mark.parametrize("name", [name for name in CALM if name != "D-Adapt-Adam"])
@pytest.mark.parametrize(("dtype", "size", "noise"), [
    (np.float32, 1e4, 1e-5), (np.float64, 1e9, 1e-13), (np.float32, 1e-3, 0)])
def test_nearly_constant_gradients(name, dtype, size, noise):
    """The mean of squares less the square of the mean is all rounding error here; no root of a negative number."""
    opt, oracle = new(name), ORACLES[name]()
    for t, (wave,) in enumerate(gradients((100,), steps=800), 1):
        grad = (size*(1 + noise*wave)).astype(dtype)
        explodes = abs(oracle.delta(grad, t, **given(oracle, grad))) > 1e30         # COCOB's bets
        assert (np.isfinite(update(opt, grad)) | explodes).all()


@pytest.mark.parametrize("name", [name for name in CALM if name in APART])    # norms of what vanishes are 0
@each_float
def test_state_decays_to_zero_without_subnormals(name, dtype):
    """Results are right up to the smallest normal number; what is smaller may count as zero, and its sign is 0, too."""
    hyperparameters = {key: 0.01 for key in asdict(ORACLES[name]()) if key in ("mu", "rho", "beta1", "momentum")}
    opt, oracle = new(name, **hyperparameters), ORACLES[name](**hyperparameters)
    smallest, largest = float(np.finfo(dtype).smallest_normal), 0
    lost = ROUNDINGS[name]*np.finfo(dtype).eps*(ROUNDINGS[name] > 16)
    for t in range(1, 200):
        grad = np.full(20, t == 1, dtype)
        delta, want = update(opt, grad), oracle.delta(grad, t, **given(oracle, grad))
        largest = max(largest, abs(want).max())
        close = abs(delta - want) <= (1e-4 if dtype == np.float32 else 1e-12)*abs(want) + lost*largest + 100*smallest
        vanished = [abs(slot) <= 100*smallest for slot in opt.state[0].values()]
        assert (close | (delta == 0) & np.any(vanished, axis=0)).all(), (t, delta, want)
    for slot in opt.state[0].values():
        assert ((slot == 0) | (abs(slot) >= smallest)).all()


def test_the_callers_floating_point_environment_survives():
    tiny, huge = np.full(100, 1e-40, np.float32), np.full(100, 1e30, np.float32)
    with np.errstate(all="raise", under="ignore"):
        for name in RULES:
            update(new(name), tiny, huge)
            assert (tiny*np.float32(1) == tiny).all() and tiny[0] != 0


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="reads glibc's fenv_t")
@pytest.mark.parametrize("state_dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("size", [10, 100_000])
def test_the_callers_control_register_survives(state_dtype, size):
    libm, upward, to_nearest = ctypes.CDLL("libm.so.6"), 0x800, 0

    def control():                          # MXCSR without the flags of what has happened
        room = ctypes.create_string_buffer(64)
        assert libm.fegetenv(room) == 0
        return int.from_bytes(room[28:32], sys.byteorder) & 0xFFC0

    params, (grad,) = [np.zeros(size, np.float32) for _ in range(2)], next(gradients((size,), dtype=np.float32))
    for p, rounding in zip(params, (to_nearest, upward)):
        opt = get_opt("Adam", state_dtype=state_dtype)
        libm.fesetround(rounding)
        try:
            before = control()
            opt.step(p, grad)
            after = control()
        finally:
            libm.fesetround(to_nearest)
        assert before == after == 0x1F80 | rounding << 3
    assert_allclose(*params, rtol=1e-6)                 # the constants of the step are rounded as the caller likes


@pytest.mark.parametrize(("kwds", "said"), [
    ({"loss": 1.0}, "f="), ({"value": 1.0}, "f="), ({"hessian": np.ones(3)}, "Sophia"), ({"closure": None}, "gradients"),
    ({"lr": 0.1}, "opt.lr")])
def test_arguments_of_other_libraries_steps(kwds, said):
    opt, p = get_opt("Adam"), np.ones(3)
    with pytest.raises(TypeError, match=f"no argument '{next(iter(kwds))}'.*{said}"):
        opt.step(p, np.ones(3), **kwds)
    assert opt.t == 0 and (p == 1).all()


def test_rprop_whose_sizes_have_no_room():
    opt, p = get_opt("Rprop", min_step_size=2, max_step_size=1), np.ones(3)
    with pytest.raises(ValueError, match="min_step_size is 2.0, above its max_step_size, 1.0"):
        opt.step(p, np.ones(3))
    assert opt.t == 0 and (p == 1).all()


class TestEve:
    name = "Eve"
    LOSSES = [2.0, 1.5, 3.0, 3.0, 0.4, 50.0, 0.4, 0.0, -1.0, 1e-9]

    @pytest.mark.parametrize("hyperparameters", [
        {}, {"fstar": -5.0, "c": 2.0, "beta3": 0.5}, {"fstar": 0.4}, {"c": 1.0}])
    def test_changing_losses(self, hyperparameters):
        opt, judge = pair(self.name, 2, **hyperparameters)
        for grads, f in zip(gradients((30,), (4,)), self.LOSSES):
            judge.check(opt.update(*grads, f=f), grads, f=f)

    def test_losses_below_fstar_give_finite_deltas(self):
        opt = new(self.name, fstar=1.0)
        assert np.isfinite([opt.update(2.0, f=f) for f in self.LOSSES]).all()

    def test_mappings_and_positions_take_f(self):
        deltas, params, positional = new(self.name), new(self.name), new(self.name)
        p = {"w": np.zeros(5)}
        for t, ((grad,), f) in enumerate(zip(gradients((5,)), self.LOSSES), 1):
            before = p["w"].copy()
            delta = deltas.update(grad, f=f)
            params.update(p, {"w": grad}, t, f)
            assert_array_equal(p["w"], before + delta)
            assert_array_equal(positional.update(grad, grad, t, f), [delta, delta])

    @pytest.mark.parametrize("bad", [{"f": np.nan}, {"f": np.inf}, {"f": "low"}, {"f": None}, {"f": [1, 2]}, {"f": np.array([0.5])},
                                     {"f": 7, "t": 10**400}])
    def test_an_error_changes_nothing(self, bad):
        opt, untouched = new(self.name), new(self.name)
        for one in (opt, untouched):
            one.update(1.0, f=2.0)
            one.update(1.0, f=5.0)
        with pytest.raises((TypeError, ValueError, OverflowError)):
            opt.update(3.0, **bad)
        assert opt.t == 2
        for f in (9, 1):
            assert opt.update(0.5, f=f) == untouched.update(0.5, f=f)


def test_the_first_loss_that_eve_is_told_is_compared_with_none():
    opt, judge, adam = *pair("Eve", 1), new("Adam")
    for t, (grads, f) in enumerate(zip(gradients((30,), steps=6), [None, None, 3.0, None, 2.0, 7.0])):
        delta = opt.update(*grads, **({} if f is None else {"f": f}))
        judge.check([delta], grads, **({} if f is None else {"f": f}))
        if t < 4:
            assert_allclose(delta, adam.update(*grads), rtol=1e-14)
    assert_allclose(new("Eve").update(1.0, t=5, f=2.0), new("Adam").update(1.0, t=5), rtol=1e-14)


class TestEveOfTheArticle(TestEve):
    name = "Eve like article"


@each_float
@pytest.mark.parametrize("kwds", [{"eta": 0.003}, {"eta": 0.03, "beta2": 0.9}, {"alpha": 0.02, "eta": 0.01, "beta2": 0.5}])
@pytest.mark.parametrize("name", [name for name in RULES if "Bound" in name])
def test_bounds_of_both_sides(name, kwds, dtype):
    """Gradients between a hundredth and ten: rates stand at either bound, and between them."""
    kwds = kwds | ({} if "like" in name else {"gamma": 0.3, "base_lr": 0.002})
    opt, judge = pair(name, 1, dtype, **kwds)
    for (wave,) in gradients((300,), steps=30):
        grad = (wave*np.logspace(-2, 1, 300)).astype(dtype)
        judge.check([opt.update(grad)], [grad])


@each_noisy_name
class TestNoise:
    @pytest.mark.parametrize("source", [7, np.random.SeedSequence(3), None])
    def test_seeds(self, name, source):
        first, second = (run(optimizer(name, rng=source), gradients((20,), (3,))) for _ in range(2))
        same = np.array_equal(np.concatenate(sum(first, ())), np.concatenate(sum(second, ())), equal_nan=True)
        assert same == (source is not None)

    def test_a_generator_is_used_as_it_is(self, name):
        rng = np.random.default_rng(7)
        of_generator = run(optimizer(name, rng=rng), gradients((20,)))
        assert_array_equal(of_generator, run(optimizer(name, rng=7), gradients((20,))))
        judge = Judge(name, rng=np.random.default_rng(7))
        for delta, grads in zip(of_generator, gradients((20,))):
            judge.check([delta], grads)

    def test_repr_rebuilds_a_seeded_one(self, name):
        opt = optimizer(name, rng=7)
        again = eval(repr(opt), {"get_opt": get_opt})
        assert_array_equal(run(opt, gradients((20,))), run(again, gradients((20,))))

    @pytest.mark.parametrize("rng", ["seed", 1.5, -1, object()])
    def test_bad_rng(self, name, rng):
        with pytest.raises((TypeError, ValueError)):
            optimizer(name, rng=rng)


@each_santa
class TestSanta:
    @each_float
    @pytest.mark.parametrize("hyperparameters", [{}, {"eta": 1e-5, "anne_rate": 0.25, "C": 3, "N": 4, "sigma": 0.8}])
    def test_across_the_burnin(self, name, dtype, hyperparameters):
        opt, judge = pair(name, 2, dtype, burnin=6, **hyperparameters)
        for grads in gradients((8, 40), (11,), dtype=dtype, steps=30):
            judge.check(opt.update(*grads), grads)

    @pytest.mark.parametrize("burnin", [0, 1, 2])
    def test_short_burnins(self, name, burnin):
        opt, judge = pair(name, 2, burnin=burnin)
        for grads in gradients((30,), (11,), steps=5):
            judge.check(opt.update(*grads), grads)

    def test_annealing(self, name):
        def anneal(t, rate):
            return 1 + rate*t

        opt, judge = pair(name, anne_func=anneal, anne_rate=2.0)
        for grads in gradients((50,), steps=5):
            judge.check([opt.update(*grads)], grads)

    def test_bad_annealing(self, name):
        with pytest.raises(TypeError, match="anne_func"):
            new(name, anne_func=3)


class TestNAG:
    name = "NAG"
    w, b = np.linspace(-1, 1, 6), np.array([0.5, 2.0])

    def walk(self, steps=10, **kwds):
        """Article A's loop; the oracle takes its gradients itself."""
        opt, judge = pair(self.name, 2, mu=0.8)
        w, b = self.w.copy(), self.b.copy()
        for grads in gradients(w.shape, b.shape, steps=steps):
            ahead = [oracle.lookahead(value) for oracle, value in zip(judge.oracles, (w, b))]
            deltas = opt.update(*grads, w=w, b=b, **kwds)
            yield deltas, grads, ahead, judge
            w, b = w + deltas[0], b + deltas[1]

    def test_two_arguments(self):
        def dfw(w, b):
            return 3*w + b.sum()

        def dfb(w, b):
            return b**2 - w.mean()

        for kwds in ({}, {"nargs": 2}):
            for deltas, _, ahead, judge in self.walk(dfw=dfw, dfb=dfb, **kwds):
                judge.check(deltas, [dfw(*ahead), dfb(*ahead)])

    def test_one_argument(self):
        for deltas, grads, ahead, judge in self.walk(dfw=np.cos, nargs=1):
            judge.check(deltas, [np.cos(ahead[0]), np.zeros(2)])

    @pytest.mark.parametrize("grad_b", [np.nan, np.inf, np.array([1.0, 2.0]), 3])
    def test_one_argument_ignores_the_gradient_of_b(self, grad_b):
        delta = new(self.name).update(self.w, grad_b, w=self.w, dfw=np.cos, nargs=1)[1]
        assert_array_equal(delta, np.zeros(np.shape(grad_b)))

    @pytest.mark.parametrize("kwds", [{}, {"nargs": 3, "dfw": np.cos}, {"nargs": 0}])
    def test_otherwise_the_gradients_passed(self, kwds):
        for deltas, grads, _, judge in self.walk(**kwds):
            judge.check(deltas, grads)

    def test_lookahead(self):
        opt, oracle = new(self.name, mu=0.7), ORACLES[self.name](mu=0.7)
        params = {"w": self.w.copy()}
        for (grad,) in gradients(self.w.shape):
            assert_allclose(opt.lookahead(params["w"], "w"), oracle.lookahead(params["w"]), rtol=1e-14)
            opt.update(params, {"w": grad})
            oracle.delta(grad)

    @pytest.mark.parametrize("which", ["w", lambda key, p: p.size == 6])
    def test_lookahead_has_the_groups_mu_from_a_state_on(self, which):
        made = [new(self.name, mu=0.9, groups=[fastnn.group(which, mu=0.5)]) for _ in range(2)]
        if not isinstance(which, str):          # in a state a function is its name
            which.__name__ = which.__qualname__ = "six"
        w = self.w.copy()
        made[0].update({"w": w}, {"w": np.ones(6)})
        made[1].load_state_dict(made[0].state_dict())
        for opt in made:
            assert_array_equal(opt.lookahead(w, "w"), w + 0.5*opt.state["w"]["delta"])
        made[0].groups[0].mu = 0.25
        assert_array_equal(made[0].lookahead(w, "w"), w + 0.25*made[0].state["w"]["delta"])

    def test_lookahead_of_frozen_parameters(self):
        opt, w = new(self.name, groups=[fastnn.group("w")]), self.w.copy()
        opt.update({"w": w}, {"w": np.ones(6)})
        assert (opt.lookahead(w, "w") != w).all()
        opt.groups[0].freeze = True
        assert opt.lookahead(w, "w") is w
        other = new(self.name, groups=[fastnn.group("w", freeze=True)])
        other.load_state_dict({**opt.state_dict(), "groups": other.state_dict()["groups"]})
        assert other.state["w"]["delta"].all() and other.lookahead(w, "w") is w
        opt.groups[0].freeze = False
        assert (opt.lookahead(w, "w") != w).all()

    def test_gradients_ahead_have_the_groups_mu(self):
        opt, seen = new(self.name, mu=0.9, groups=[fastnn.group("0", mu=0.5), fastnn.group("1", freeze=True)]), []
        opt.update(self.w, self.b)

        def dfw(w, b):
            seen.append((w, b))
            return w
        delta = opt.state[0]["delta"].copy()
        opt.update(self.w, self.b, w=self.w, b=self.b, dfw=dfw, dfb=lambda w, b: b)
        [(w, b)] = seen
        assert_array_equal(w, self.w + 0.5*delta)
        assert_array_equal(b, self.b)

    def test_a_key_is_no_position(self):
        opt, untouched = new(self.name), new(self.name)
        opt.update({0: np.zeros(6)}, {0: np.ones(6)})
        kwds = {"w": self.w, "b": self.b, "dfw": lambda w, b: w, "dfb": lambda w, b: b}
        assert_array_equal(opt.update(self.w, self.b, **kwds)[0], untouched.update(self.w, self.b, **kwds)[0])

    @pytest.mark.parametrize("kwds", [{"nargs": 2, "dfw": np.cos}, {"nargs": 1, "dfw": np.sum},
                                      {"nargs": 1, "dfw": lambda w: 1/0}])
    def test_errors_change_nothing(self, kwds):
        opt, untouched = new(self.name), new(self.name)
        for one in (opt, untouched):
            one.update(self.w, self.b)
        with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
            opt.update(self.w, self.b, w=self.w, b=self.b, **kwds)
        assert opt.t == 1
        assert_array_equal(opt.update(self.w, self.b)[0], untouched.update(self.w, self.b)[0])


class TestNAGOfTheArticle(TestNAG):
    name = "NAG like article"


@pytest.mark.parametrize(("one", "other"), [
    (("SGD", {"eta": 0.3}), ("Momentum", {"lr": 0.3, "momentum": 0})),
    (("SGD", {"eta": 0.3}), ("Nesterov", {"lr": 0.3, "momentum": 0})),
    (("SGD", {"eta": 0.3}), ("MSGD", {"eta": 0.3, "mu": 0})),
    (("SDG", {"eta": 0.3}), ("SGD", {"eta": 0.3})),
    (("SGDMomentum", {"eta": 0.3, "momentum": 0.8}), ("Momentum", {"lr": 0.3, "momentum": 0.8})),
    (("SGDNesterov", {"eta": 0.3, "momentum": 0.8}), ("Nesterov", {"lr": 0.3, "momentum": 0.8})),
    (("QHM", {"nu": 0}), ("SGD", {"eta": 0.1})),
    (("QHM", {"nu": 1, "beta": 0.8}), ("MSGD", {"eta": 0.1, "mu": 0.8})),
    (("QHM", {"nu": 0.75, "beta": 0.75}), ("Nesterov", {"lr": 0.025, "momentum": 0.75})),
    (("AggMo", {"betas": (0.9, 0.9, 0.9)}), ("Momentum", {})),
    (("NoisySGD", {"eta": 0}), ("SGD", {})),
    (("OptimisticGradientDescent", {"beta": 0}), ("SGD", {})),
    (("OptimisticAdam", {"beta": 0}), ("Adam", {})),
    (("Signum", {"beta": 0}), ("signSGD", {})),
    (("Tiger", {"beta": 0.9}), ("Lion", {"lr": 1e-3, "beta2": 0.9})),
    (("RMSpropMomentum", {"momentum": 0}), ("RMSprop", {})),
    (("RMSpropCenteredMomentum", {"momentum": 0}), ("RMSpropCentered", {})),
    (("RMSpropCentered", {"eta": 1e-4, "rho": 0.95, "eps": 0, "eps_inside_root": 1e-4}), ("RMSpropGraves", {})),
    (("NAG", {"mu": 0.6}), ("MSGD", {"mu": 0.6})),
    (("MSGD", {"eta": 0.08, "mu": 0.75}), ("Momentum", {"lr": 0.02, "momentum": 0.75})),
    (("Adam", {"beta1": 0, "beta2": 0, "eps": 1e-3}), ("RMSprop", {"rho": 0, "eta": 1e-3, "eps": 1e-3})),
    (("Eve", {"c": 1.0}), ("Adam", {})),
    (("Eve like article", {}), ("Adam", {})),                   # at a constant loss
    (("Eve like article", {"eps": 0}), ("Adam like article", {"eps": 0})),
    (("Adam", {"eps": 0}), ("Adam like article", {"eps": 0})),
    (("AdaGrad", {"eps": 0}), ("AdaGrad like article", {})),
    (("AdaMax", {"eps": 0}), ("AdaMax like article", {})),
    (("RMSprop", {"eps": 0, "eps_inside_root": 0.01}), ("RMSprop like article", {"eps": 0.01})),
    (("AdaBound", {"alpha": 1e9, "base_lr": 1e9}), ("AdaBound", {"alpha": 1e8, "base_lr": 1e8})),
    (("AdaBound like article", {"alpha": 1e9, "beta2": 0.5}), ("AdaBound like article", {"alpha": 1e8, "beta2": 0.5})),
], ids=lambda side: side[0])
def test_identities(one, other):
    for first, second in zip(*(run(new(name, **values), gradients((40,))) for name, values in (one, other))):
        assert_allclose(first, second, rtol=1e-13)


@pytest.mark.parametrize(("ams", "plain"), [
    (f"AMS{kind}{source}", f"Ada{other}{source}") for kind, other in (("Grad", "m"), ("Bound", "Bound"))
    for source in ("", " like article")])
def test_while_gradients_grow_the_largest_average_is_the_last(ams, plain):
    opts = new(ams), new(plain)
    for t in range(1, 11):
        grad = np.linspace(1, 2, 40)*3.0**t
        first, second = (opt.update(grad) for opt in opts)
        factor = np.sqrt(t*(1 - 0.999**t))/(1 - 0.9**t) if plain == "Adam like article" else 1
        assert_allclose(factor*first, second, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cube_roots_are_one_of_the_two_numbers_beside_them(dtype):
    """MADGRAD divides s by it, if told no more: 1 only where the two are the same. Nothing is flushed to zero here."""
    mpmath = pytest.importorskip("mpmath")
    mp, limits = mpmath.mp.clone(), np.finfo(dtype)
    mp.prec = 200
    unsigned, top = (np.uint32, 0x7f800000) if dtype is np.float32 else (np.uint64, 0x7ff0000000000000)
    bits = np.random.default_rng(3).integers(1, top, 4000).astype(unsigned)
    small = bits[:400] % (top // 255 if dtype is np.float32 else top // 2047)
    powers = dtype(2)**np.arange(-100, 100, dtype=dtype)
    edges = np.array([limits.smallest_subnormal, limits.tiny, limits.max, np.nextafter(limits.max, dtype(0))], dtype)
    x = np.concatenate([bits.view(dtype), np.maximum(small, 1).astype(unsigned).view(dtype), powers, edges,
                        np.nextafter(powers, dtype(0)), np.array([27, 0.125], dtype)])
    x = np.resize(x, -(-len(x) // 16)*16)
    exact = [mp.cbrt(mp.mpf(float(each))) for each in x]
    near = np.array([float(root) for root in exact]).astype(dtype)
    above = np.array([mp.mpf(float(r)) > root for r, root in zip(near, exact)])
    beside_it = np.where(above, np.nextafter(near, dtype(0)), np.nextafter(near, dtype(np.inf)))
    assert (quotients(x, near) == 1).any() and ((quotients(x, near) == 1) | (quotients(x, beside_it) == 1)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cube_roots_of_no_size(dtype):
    ones = np.ones(16, dtype)
    assert_array_equal(quotients(np.zeros(16, dtype), ones), 0)         # by the rule's own choice
    assert_array_equal(quotients(np.full(16, np.inf, dtype), ones), 0)
    assert np.isnan(quotients(np.full(16, np.nan, dtype), ones)).all()


def quotients(x, s):
    """s/cbrt(x) as the compiled rule of MADGRAD has it."""
    real = ctypes.c_float if x.dtype == np.float32 else ctypes.c_double
    pointer = ctypes.c_void_p
    address = rules.RULES["madgrad"][0][real is ctypes.c_double]
    kernel = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, pointer, ctypes.c_ssize_t, pointer, real, real, ctypes.c_int)(
        address)
    slots, zeros, target = [x.copy(), s.copy(), np.zeros_like(x)], np.zeros_like(x), np.zeros_like(x)
    state, constants = (pointer*3)(*(slot.ctypes.data for slot in slots)), np.array([0, 1, 0], x.dtype)
    kernel(zeros.ctypes.data, zeros.ctypes.data, state, target.ctypes.data, x.size, constants.ctypes.data, 1, 1, 1)
    return -target
