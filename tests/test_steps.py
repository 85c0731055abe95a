"""What happens around the rule of every optimizer - decay, clipping, groups, schedules - against its oracle."""
import warnings
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_opt
from fastnn.hyperparameters import Option
from helpers import APART, FLOATS, MIXING, NOISY, ROUNDINGS, RULES, assert_same_bits, optimizer, seeded, without_decay
from oracles import steps
from oracles.rules import ORACLES

try:
    from ml_dtypes import bfloat16
except ImportError:                     # no wheels for musl
    bfloat16 = np.float16

SANTAS = [name for name in NOISY if "Santa" in name]
CALM = [name for name in RULES if name not in NOISY]
KINDS = ["SGD", "Adam", "Nadam", "Eve", "SantaE", "Eve like article"]   # without state, with it, with more than that

# Gradients are between 0.5 and 5, parameters between 0.5 and 2: each of these has an effect, and l2 and l1 cancel no
# gradient. Decay is in multiples of 1/lr.
SINGLE = {
    "weight_decay": {"weight_decay": 0.1}, "l2": {"l2": 0.02}, "l1": {"l1": 0.02}, "clip_value": {"clip_value": 1.2},
    "clip_norm": {"clip_norm": 1.0}, "clip_global_norm": {"clip_global_norm": 1.0},
    "clip_adaptive": {"clip_adaptive": 0.3}, "clip_adaptive, axis 0": {"clip_adaptive": 0.3, "output_axis": 0},
    "maximize": {"maximize": True}, "grad_scale": {"grad_scale": 0.3}, "centralize": {"centralize": True},
    "centralize, axis 0": {"centralize": True, "output_axis": 0}}
SHRINKING = {"weight_decay": 0.1, "l2": 0.02, "l1": 0.02}
TOGETHER = {
    "decays": SHRINKING,
    "all, clip_value": {**SHRINKING, "clip_value": 1.2, "maximize": True, "grad_scale": 0.7, "centralize": True},
    "all, clip_norm": {**SHRINKING, "clip_norm": 25.0, "maximize": True, "grad_scale": 1.5, "centralize": True},
    "all, clip_global_norm": {**SHRINKING, "clip_global_norm": 40.0, "maximize": True, "grad_scale": 0.7,
                              "centralize": True, "output_axis": 0},
    "all, clip_adaptive": {**SHRINKING, "clip_adaptive": 0.7, "maximize": True, "grad_scale": 1.5, "centralize": True,
                           "output_axis": -2}}
OPTIONS = SINGLE | TOGETHER
# What does not depend on other tensors.
ALONE = [option for option in (*TOGETHER, "clip_norm", "clip_adaptive") if "global" not in option]
BY_NORM = {"clip_norm": 1.0, "clip_global_norm": 1.0, "clip_adaptive": 0.1}
READS_P = ["weight_decay", "l2", "l1", "clip_adaptive"]
OFF = {"weight_decay": 0, "l2": 0.0, "l1": 0, "clip_value": None, "clip_norm": None, "clip_global_norm": None,
       "clip_adaptive": None, "maximize": False, "grad_scale": 1, "centralize": False}

# For which each tensor is by itself
SEPARATE = [name for name in RULES if not ORACLES[name].joint]
each_separate_name = pytest.mark.parametrize("name", SEPARATE)
each_name = pytest.mark.parametrize("name", RULES)
each_calm_name = pytest.mark.parametrize("name", CALM)
each_kind = pytest.mark.parametrize("name", KINDS)
each_float = pytest.mark.parametrize("dtype", FLOATS)
each_option = pytest.mark.parametrize("option", OPTIONS)
each_union = pytest.mark.parametrize("option", TOGETHER)

SHAPES = {"number": (), "few": (7,), "vector": (16,), "long": (515,), "matrix": (37, 19), "tensor": (3, 4, 5)}
LAYOUTS = {"F": ((13, 9), np.asfortranarray), "gaps": ((11, 6), lambda a: np.repeat(a, 2, axis=0)[::2]),
           "backwards": ((5, 8), lambda a: np.array(a[:, ::-1])[:, ::-1])}


@pytest.fixture
def threads():
    yield fastnn.set_num_threads
    fastnn.set_num_threads(None)


def defaults(name):
    """Hyperparameters at which decay and scale can be seen: a large rate, and eps as large as squares of gradients."""
    own = asdict(ORACLES[name]())
    rate = {"lr": 1e-6 if name in SANTAS else 0.05}
    return rate | {key: 0.01 for key in own if key == "eps" or key == "eps_inside_root"}


def options(name, option, **others):
    values = defaults(name) | OPTIONS.get(option, {}) | others
    if "weight_decay" in values and not callable(values["weight_decay"]):
        values["weight_decay"] /= values["lr"] if not callable(values["lr"]) else 0.05
    return values


def new(name, **values):
    return optimizer(name, **seeded(name, np.random.RandomState(5)), **values)


@cache
def drawn(shape, dtype, seed, mixed):
    found = np.random.default_rng(seed).uniform(0.5, 2, shape)
    signs = np.random.default_rng(seed).choice([-1, 1], shape) if mixed else 1 - 2*(np.indices(shape).sum(axis=0) % 2)
    return np.asarray(found*signs).astype(dtype)


def sized(shape, dtype, seed, mixed=False):
    """Between 0.5 and 2, of signs that alternate, so that no mean is far from 0, or of mixed ones."""
    return drawn(shape, np.dtype(dtype), seed, mixed).copy()


def parameters(dtype=np.float64, layouts=LAYOUTS, shapes=SHAPES):
    return {key: sized(shape, dtype, (2, i), mixed=True) for i, (key, shape) in enumerate(shapes.items())} | {
        key: layout(sized(shape, dtype, (2, len(key)))) for key, (shape, layout) in layouts.items()}


def gradients(params, t, dtype=None):
    return {key: np.asarray((1, 2.5, 1.5)[t % 3]*sized(p.shape, dtype or p.dtype, (3, t, i)), dtype or p.dtype)
            for i, (key, p) in enumerate(params.items())}


def losses(name, t):
    return {"f": 1 + 1/t} if name.startswith("Eve") else {}


class Beside:
    """fastnn and the oracle. Each step of the oracle begins at fastnn's parameters: only its own rounding counts."""

    def __init__(self, name, groups=(), **values):
        self.name, self.t, self.largest, self.clipped = name, 0, {}, "clip_value" in values
        own = [fastnn.group(*one.which, **({"freeze": True} if one.freeze else {}), **one.values) for one in groups]
        self.opt = new(name, **values, **({"groups": own} if own else {}))
        self.loop = steps.Loop(ORACLES[name], list(groups), rng=np.random.RandomState(5), **values)

    def step(self, params, grads, **kwds):
        self.t += 1
        before = {key: np.array(p, float) for key, p in params.items()}
        wanted = dict(before)
        assert self.loop.step(wanted, grads, **losses(self.name, self.t), **kwds)
        assert self.opt.update(params, grads, **losses(self.name, self.t), **kwds) is None
        for key, p in params.items():
            self.check(key, before[key], p, wanted[key])
        assert self.opt.t == self.loop.t

    def check(self, key, before, p, wanted):
        if wanted is before or np.array_equal(wanted, before):
            assert_array_equal(p, before)
            return
        if self.name == "SOAP" and (p.ndim == 2 or self.clipped):   # null spaces have any basis: tests/test_along.py
            assert np.isfinite(p).all()
            return
        eps, noisy = float(np.finfo(p.dtype).eps), self.name in NOISY
        size = abs(wanted - before)
        size = size.max(initial=0) if self.name in MIXING else size
        self.largest[key] = np.maximum(self.largest.get(key, 0), size)
        bound = ROUNDINGS[self.name]*eps*self.largest[key] + 2*eps*np.maximum(abs(before), abs(wanted))
        wrong = ~(abs(p - wanted) <= bound) & (abs(wanted) < 1e30)
        assert (abs(wanted) < 1e30).all() or noisy
        # a few elements of noisy ones go astray
        assert wrong.sum() <= (0.01*wrong.size + (wrong.size > 5) if noisy else 0), (
            key, self.t, np.argwhere(wrong)[:3], p[wrong][:3], wanted[wrong][:3], (abs(p - wanted)/bound)[wrong][:3])


def assert_same(params, others):
    assert params.keys() == others.keys()
    for key, p in params.items():
        assert_same_bits(np.array(p), np.array(others[key]), key)


def assert_same_state(opt, other):
    assert opt.t == other.t and opt.state.keys() == other.state.keys()
    for key, slots in opt.state.items():
        assert_same(slots, other.state[key])


def copies(params):
    return {key: p.copy(order="K") for key, p in params.items()}


def walk(opt, params, count=3, name="", first=1, negated=False):
    for t in range(first, first + count):
        grads = gradients(params, t)
        opt.update(params, {key: -grad for key, grad in grads.items()} if negated else grads, **losses(name, t))
    return params


# Each option and all together

@each_float
@each_option
@each_name
def test_options(name, option, dtype):
    both, params = Beside(name, **options(name, option)), parameters(dtype)
    for t in range(1, 4):
        both.step(params, gradients(params, t))


@each_name
def test_options_of_numbers_at_their_edges(name):
    """Zero parameters: no decay, no sign; AGC takes their norm for a thousandth."""
    both = Beside(name, **options(name, "decays", clip_adaptive=3.0))
    params = {"b": np.array([0.0, -0.0, 1.0, -2.0]), "zeros": np.zeros((3, 4)), "none": np.zeros((0, 4))}
    for t in range(1, 4):
        both.step(params, gradients(params, t))


@pytest.mark.parametrize("limit", BY_NORM)
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e30), (np.float64, 1e200), (np.float32, 1e-30),
                                             (np.float64, 1e-200)])
def test_norms_whose_squares_are_out_of_range(limit, dtype, size):
    params = {"W": sized((30, 20), dtype, 0), "b": sized((1000,), dtype, 1)}
    both = Beside("SGD", lr=1.0, **{limit: 1.0})
    for t in range(1, 3):
        both.step(params, {key: (size*grad).astype(dtype) for key, grad in gradients(params, t, float).items()})
    small = Beside("SGD", lr=0.5/size, **{limit: size})         # now a limit in that range, too
    if limit != "clip_adaptive":
        small.step(params, {key: (size*grad).astype(dtype) for key, grad in gradients(params, 3, float).items()})


@each_float
@pytest.mark.parametrize("limit", ["clip_norm", "clip_global_norm"])
def test_a_norm_at_the_limit_is_not_clipped(limit, dtype):
    p, q, g = np.ones(2, dtype), np.ones(2, dtype), np.array([3, -4], dtype)
    get_opt("SGD", lr=1.0, **{limit: 5.0}).step(p, g)
    get_opt("SGD", lr=1.0).step(q, g)
    assert_same_bits(p, q)
    for little_more in (2.0, 1.0001):
        p = np.zeros(2, dtype)
        get_opt("SGD", lr=1.0, **{limit: 5/little_more}).step(p, g)
        assert_allclose(p, [-3/little_more, 4/little_more], rtol=1e-6)


def test_units_of_adaptive_clipping():
    """Columns of a matrix, by default: what goes into one output. Vectors are one unit, a row of a matrix, too."""
    params = {"W": np.array([[3.0, 0.0], [4.0, 0.001]]), "b": np.array([3.0, 4.0]), "row": np.array([[3.0, 4.0]])}
    grads = {"W": np.array([[1.0, 3.0], [0.0, 4.0]]), "b": np.array([6.0, 8.0]), "row": np.array([[6.0, 8.0]])}
    wanted = {key: p.copy() for key, p in params.items()}
    get_opt("SGD", lr=1.0, clip_adaptive=0.5).update(params, grads)
    wanted["W"] -= [[1.0, 3e-4], [0.0, 4e-4]]           # |(1, 0)| < 0.5*5; |(3, 4)| = 5 becomes 0.5*0.001
    wanted["b"] -= [1.5, 2.0]
    wanted["row"] -= [[1.5, 2.0]]
    for key, p in params.items():
        assert_allclose(p, wanted[key], rtol=1e-14)
    p = np.array([[3.0, 4.0], [0.0, 0.0]])
    get_opt("SGD", lr=1.0, clip_adaptive=0.5, output_axis=0).step(p, np.array([[1.0, 0.0], [3.0, 4.0]]))
    assert_allclose(p, [[2.0, 4.0], [-3e-4, -4e-4]], rtol=1e-14)


def test_the_order_of_options():
    """By hand: scaled and turned (-6, 8), clipped to (-3, 4), l2 and l1 added, then decay of the parameter before."""
    p = np.array([2.0, -1.0])
    opt = get_opt("SGD", lr=0.5, maximize=True, grad_scale=2, clip_norm=5, l2=0.5, l1=0.25, weight_decay=0.125)
    opt.step(p, np.array([3.0, -4.0]))
    g = np.array([-3 + 1 + 0.25, 4 - 0.5 - 0.25])
    assert_allclose(p, np.array([2.0, -1.0])*(1 - 0.5*0.125) - 0.5*g, rtol=1e-15)
    W = np.array([[1.0, 2.0], [3.0, 4.0]])
    get_opt("SGD", lr=1.0, l2=1.0, centralize=True).step(W, np.array([[0.0, 8.0], [2.0, 0.0]]))
    assert_allclose(W, [[1 + 2, 2 - 3], [3 - 2, 4 + 3]])        # (1, 5) and (10, 4) less their means 3 and 7


@each_separate_name
def test_any_combination(name):
    """Options, groups, schedules, frozen parameters and such without a gradient, drawn at random."""
    def some(rng, lr):
        values = {"weight_decay": 0.1/lr, "l2": 0.02, "l1": 0.02, "grad_scale": 0.7, "maximize": True,
                  "centralize": True, "lr": lr/2}
        values = {key: value for key, value in values.items() if rng.random() < 0.4}
        clipping = [{}, {"clip_value": 1.2}, {"clip_norm": 25.0}, {"clip_adaptive": 0.7}][rng.integers(4)]
        if clipping:                                    # of a group: not the optimizer's, too
            clipping = dict.fromkeys(["clip_value", "clip_norm", "clip_adaptive"]) | clipping
        clipping |= {"output_axis": int(rng.integers(-2, 2))} if rng.random() < 0.3 else {}
        return {key: (lambda t, value=value: value/t**0.25) if type(value) is float and rng.random() < 0.3 else value
                for key, value in (values | clipping).items()}

    for seed in range(12):
        rng, lr = np.random.default_rng((seed, RULES.index(name))), defaults(name)["lr"]
        dtype = FLOATS[seed % 2]
        params = parameters(dtype)
        groups = [steps.group(*rng.choice([*params], 3, replace=False), **some(rng, lr)),
                  steps.group(*rng.choice([*params], 7, replace=False), **some(rng, lr), freeze=rng.random() < 0.2)]
        groups = [one for i, one in enumerate(groups) if any(one.fits(key, p) and not (i and groups[0].fits(key, p))
                                                             for key, p in params.items())]
        both = Beside(name, groups, **defaults(name) | some(rng, lr))
        present = [key for key in params if rng.random() < 0.7] + ["few"]
        for t in range(1, 4):
            keys = params if t == 1 or t == 3 else present
            some_params = {key: params[key] for key in params if key in keys}
            grads = gradients(some_params, t)
            if t > 1:
                grads = {key: None if rng.random() < 0.15 else grad for key, grad in grads.items()}
            both.step(some_params, grads)


# Exactly

@each_float
@each_name
def test_options_that_are_off(name, dtype):
    values = defaults(name) | without_decay(name)
    plain = walk(new(name, **values), parameters(dtype), name=name)
    assert_same(walk(new(name, **values | OFF), parameters(dtype), name=name), plain)
    for far in ("clip_value", "clip_norm", "clip_global_norm", "clip_adaptive"):
        assert_same(walk(new(name, **values, **{far: 1e30}), parameters(dtype), name=name), plain)


@each_float
@each_name
def test_maximize_is_a_negated_gradient(name, dtype):
    for option in ({}, {"l2": 0.1, "clip_norm": 3.0, "weight_decay": 0.01}):
        turned = walk(new(name, **defaults(name), **option, maximize=True), parameters(dtype), name=name)
        assert_same(turned, walk(new(name, **defaults(name), **option), parameters(dtype), name=name, negated=True))


@each_float
@each_name
def test_a_scale_that_is_a_power_of_two(name, dtype):
    scaled, plain = new(name, **defaults(name), grad_scale=0.125), new(name, **defaults(name))
    params, others = parameters(dtype), parameters(dtype)
    for t in range(1, 4):
        grads = gradients(params, t)
        scaled.update(params, grads, **losses(name, t))
        plain.update(others, {key: grad/8 for key, grad in grads.items()}, **losses(name, t))
    assert_same(params, others)


@pytest.mark.parametrize(("name", "dtype"), [*((name, np.float32) for name in CALM if name in APART), ("SGD", float), ("Adam", float)])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_what_is_not_finite_reaches_only_itself(name, dtype, bad):
    """In a gradient or a parameter; 0*inf of an option that is off reaches nothing at all."""
    for option in ("none", "weight_decay", "l2", "l1", "clip_value", "maximize", "grad_scale"):
        good, spoilt = (new(name, **options(name, option)) for _ in range(2))
        params = {"g": sized((70,), dtype, 0), "p": sized((70,), dtype, 1), "both": sized((7, 10), dtype, 2)}
        others = copies(params)
        params["p"][17] = params["both"][1, 7] = bad
        rest = np.arange(70) != 17
        for t in range(1, 4):
            grads = gradients(params, t)
            good.update(others, copies(grads), **losses(name, t))
            if t == 2:
                grads["g"][17] = grads["both"][1, 7] = bad
            spoilt.update(params, grads, **losses(name, t))
        for key, p in params.items():
            assert_array_equal(p.ravel()[rest], others[key].ravel()[rest])
        if option != "l2":                              # whose gradient is infinite, too
            if ORACLES[name].reads_p:
                assert not np.isfinite(params["p"][17])
            else:
                assert_array_equal(params["p"][17], bad)
        for key, slots in spoilt.state.items():
            for slot, value in slots.items():
                untouched = key == "p" and option not in ("l2", "l1") and not ORACLES[name].reads_p
                clean = np.ones(70, bool) if untouched else rest
                assert_array_equal(value.ravel()[clean], good.state[key][slot].ravel()[clean])


@each_float
def test_infinite_gradients_clipped_by_value(dtype):
    p, q = np.ones(4, dtype), np.ones(4, dtype)
    get_opt("SGD", lr=0.5, clip_value=3).step(p, np.array([np.inf, -np.inf, np.nan, 2], dtype))
    get_opt("SGD", lr=0.5).step(q, np.array([3, -3, np.nan, 2], dtype))
    assert_same_bits(p, q)


@each_name
def test_a_group_of_all_is_the_optimizer_with_its_values(name, dtype=np.float32):
    for option in TOGETHER:
        values = options(name, option)
        common = {key: values.pop(key) for key in ("clip_global_norm",) if key in values}
        grouped = new(name, groups=[fastnn.group("*", **values)], **common)
        assert_same(walk(grouped, parameters(dtype), name=name),
                    walk(new(name, **values, **common), parameters(dtype), name=name))


# A parameter has its own count

@pytest.mark.parametrize("name", [name for name in CALM if name in SEPARATE])
def test_a_parameter_that_joins_begins_where_it_would_alone(name):
    """After 50 steps of another; Adam's first step is alpha, then, and not 0.71 of it."""
    for option in ("none", *ALONE):
        opt, alone = new(name, **options(name, option)), new(name, **options(name, option))
        early, late, wanted = ({key: sized((9, 5), np.float32, i)} for i, key in enumerate(["early", "late", "late"]))
        wanted["late"][...] = late["late"]
        for t in range(1, 51):
            opt.update(early, early)
        for t in range(1, 4):
            grads = gradients(late, t)
            opt.update(early | late, early | grads, **losses(name, t))
            alone.update(wanted, grads, **losses(name, t))
            assert opt.t == 50 + t and alone.t == t
            assert_same(late, wanted)


@each_separate_name
def test_joining_against_the_oracle(name):
    values = options(name, "all, clip_value", **({"burnin": 4} if name in SANTAS else {}))
    both, params = Beside(name, **values), parameters()
    present = [["few"], ["few", "F"], ["F", "few"], ["number", "few", "matrix", "F"], ["matrix", "number"], [*params]]
    for t, keys in enumerate(present, 1):
        some = {key: params[key] for key in keys}
        both.step(some, gradients(some, t))


@pytest.mark.parametrize("name", [name for name in CALM if name in SEPARATE])
@pytest.mark.parametrize("option", ["none", *ALONE])
def test_a_call_for_each_parameter_is_a_call_for_all(name, option):
    together, apart = (new(name, **options(name, option)) for _ in range(2))
    params, others = parameters(np.float32), parameters(np.float32)
    for t in range(1, 4):
        grads = gradients(params, t)
        together.update(params, grads, **losses(name, t))
        for key in others:
            apart.update({key: others[key]}, {key: grads[key]}, **losses(name, t))
    assert_same(params, others)
    assert_same_state(together, apart)


@each_name
def test_an_explicit_t_is_that_of_all_in_the_call(name):
    both, params = Beside(name, **options(name, "decays", lr=lambda t: defaults(name)["lr"]/t)), parameters()
    for t, given in enumerate([None, 7, None, 3], 1):
        both.step(params, gradients(params, t), **({} if given is None else {"t": given}))


# None and frozen parameters

@each_separate_name
@pytest.mark.parametrize("option", ["decays", "clip_global_norm", "all, clip_adaptive"])
def test_no_gradient_leaves_parameter_state_and_count_alone(name, option):
    both, params = Beside(name, **options(name, option)), parameters()
    present = list(params)
    for t in range(1, 7):
        grads = gradients(params, t)
        without = present[t % 3::3] if t != 4 else present      # once for all
        before = {key: {slot: np.array(value) for slot, value in both.opt.state[key].items()}
                  for key in without if key in both.opt.state}
        both.step(params, {key: None if key in without else grad for key, grad in grads.items()})
        for key, slots in before.items():
            for slot, value in slots.items():
                assert_same_bits(np.array(both.opt.state[key][slot]), value)


@each_separate_name
@pytest.mark.parametrize("option", ["decays", "clip_global_norm", "all, clip_value"])
def test_frozen_parameters(name, option):
    groups = [steps.group("matrix", "f*", freeze=True), steps.group("gaps", lr=defaults(name)["lr"]/2)]
    both, params = Beside(name, groups, **options(name, option)), parameters()
    start = params["matrix"].copy()
    for t in range(1, 4):
        both.step(params, gradients(params, t))
    assert_same_bits(params["matrix"], start)
    both.opt.groups[0].freeze = both.loop.groups[0].freeze = False         # and begins with its own first step
    for t in range(4, 6):
        both.step(params, gradients(params, t))
    assert (params["matrix"] != start).all()
    both.opt.groups[0].freeze = both.loop.groups[0].freeze = True
    both.step(params, gradients(params, 6))


@pytest.mark.parametrize("limit", BY_NORM)
def test_frozen_gradients_are_not_looked_at(limit):
    opt = get_opt("SGD", lr=1.0, groups=[fastnn.group("frozen", freeze=True)], **{limit: 1.0})
    params = {"W": np.ones(3), "frozen": np.ones(2), "none": np.ones(2)}
    opt.update(params, {"W": np.array([0.1, 0.2, 0.3]), "frozen": np.array([np.nan, 1e300]), "none": None})
    assert_allclose(params["W"], [0.9, 0.8, 0.7])
    assert_array_equal([params["frozen"], params["none"]], 1)
    assert opt.skipped == 0


# Groups

@each_float
@each_separate_name
def test_groups(name, dtype):
    lr = defaults(name)["lr"]
    groups = [steps.group("few", "F", lr=lr/3, l1=0.02), steps.group(lambda key, p: p.ndim > 1, weight_decay=0.2/lr,
                                                                     centralize=True, clip_norm=None, clip_value=1.1),
              steps.group("*", maximize=True)]
    groups[0].values |= {key: 0.75*value for key, value in asdict(ORACLES[name]()).items()
                         if not callable(value) and 0.5 <= value < 1}
    both, params = Beside(name, groups, **options(name, "decays", clip_norm=3.0)), parameters(dtype)
    for t in range(1, 4):
        both.step(params, gradients(params, t))


@pytest.mark.parametrize("name", [name for name in CALM if name in SEPARATE])
def test_what_a_group_does_not_name_follows_the_optimizer(name):
    lr = defaults(name)["lr"]
    groups = [steps.group("few", "long", weight_decay=0.3), steps.group("matrix", lr=lr/2)]
    both, params = Beside(name, groups, **options(name, "decays")), parameters()
    changes = [{}, {"lr": lr/4, "l2": 0.01}, {"weight_decay": 0.1, "clip_value": 1.1}, {"maximize": True}]
    for t, change in enumerate(changes, 1):
        for key, value in change.items():
            setattr(both.opt, key, value)
            both.loop.values[key] = value
        if t == 3:
            both.opt.groups[1].lr = both.loop.groups[1].values["lr"] = lr/8
            both.opt.groups[0].l2 = both.loop.groups[0].values["l2"] = 0.0
        both.step(params, gradients(params, t))


# Schedules

@each_float
@each_separate_name
def test_schedules_of_everything(name, dtype):
    """Of each numeric hyperparameter and option; a parameter's t is its own."""
    def wave(value, phase):
        return lambda t: value*(1 - 0.1*(1 + np.sin(t + phase))/2)

    lr = defaults(name)["lr"]
    own = {key: value for key, value in asdict(ORACLES[name]()).items() if isinstance(value, float)} | defaults(name)
    own.pop(steps.rate_of(ORACLES[name]), None)
    both = ({**own, "weight_decay": 0.1/lr, "l2": 0.02, "l1": 0.02, "grad_scale": 0.7, limit: 1.2}
            for limit in ("clip_value", "clip_norm", "clip_adaptive"))
    for values in both:
        values = {key: wave(value, phase) for phase, (key, value) in enumerate(values.items())}
        run, params = Beside(name, [steps.group("few", lr=wave(lr/2, 9))], **values), parameters(dtype)
        late = params.pop("matrix")
        for t in range(1, 6):
            if t == 3:
                params["matrix"] = late
            run.step(params, gradients(params, t))


@each_kind
def test_a_schedule_of_the_global_norm(name):
    both, params = Beside(name, **options(name, "decays", clip_global_norm=lambda t: 60/t)), parameters()
    for t in range(1, 5):
        both.step(params, gradients(params, t))


def everything(opt, params):
    rng = getattr(opt, "rng", None)
    state = {key: {slot: np.array(value).tobytes() for slot, value in slots.items()}
             for key, slots in opt.state.items()}
    return (opt.t, {key: p.tobytes() for key, p in params.items()}, state,
            rng is not None and str(rng.get_state(legacy=False)))


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
@each_kind
def test_a_bad_value_of_a_schedule_changes_nothing(name, bad):
    for key in ("lr", "weight_decay", "l2", "clip_norm"):
        if key == "clip_norm" and bad == np.inf:
            continue                                    # a limit that nothing reaches
        good = defaults(name)["lr"] if key == "lr" else 0.5
        for groups in (False, True):
            values = {key: lambda t, good=good: good if t < 3 else bad}
            given = {"groups": [fastnn.group("few", **values)]} if groups else values
            opt, params = new(name, **defaults(name) | given), parameters()
            walk(opt, params, 2, name)
            before = everything(opt, params)
            with pytest.raises(ValueError, match=key if key != "lr" else "lr|eta|alpha"):
                walk(opt, params, 1, name, first=3)
            assert everything(opt, params) == before


# Norms that are not finite

@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("limit", BY_NORM)
@each_name
def test_a_norm_that_is_not_finite_skips_the_step(name, limit, bad):
    values = defaults(name) | {limit: BY_NORM[limit], "l2": 0.1}
    opt, twin, params, others = new(name, **values), new(name, **values), parameters(), parameters()
    assert opt.skipped == 0
    for t in range(1, 4):
        spoilt = gradients(params, t + 10)
        spoilt["gaps"][3, 2] = bad
        before, late = everything(opt, params), {"late": np.ones(3)}
        with pytest.warns(RuntimeWarning, match="(?i)skipped"):
            assert opt.update(params | late, spoilt | late, **losses(name, t + 5)) is None
        assert everything(opt, params) == before and opt.skipped == t
        grads = gradients(params, t)
        opt.update(params, grads, **losses(name, t))
        twin.update(others, grads, **losses(name, t))
        assert_same(params, others)
    assert_same_state(opt, twin)
    assert opt.skipped == 3 and twin.skipped == 0


@each_float
@pytest.mark.parametrize("limit", BY_NORM)
def test_deltas_of_a_skipped_step_are_zero(limit, dtype):
    opt, p, g = get_opt("Adam", **{limit: 1.0}), np.ones(5, dtype), np.ones(5, dtype)
    g[2] = np.nan
    opt.update(p, w=p)
    with pytest.warns(RuntimeWarning, match="(?i)skipped"):
        delta = opt.update(g, w=p)
    assert_same_bits(delta, np.zeros(5, dtype))
    assert opt.t == 1 and opt.skipped == 1


@pytest.mark.parametrize("limit", BY_NORM)
def test_a_warning_that_is_an_error_changes_nothing_either(limit):
    opt, params = get_opt("Adam", **{limit: 1.0}), parameters()
    walk(opt, params)
    before, spoilt = everything(opt, params), gradients(params, 9)
    spoilt["few"][0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="(?i)skipped"):
            opt.update(params, spoilt)
    assert everything(opt, params) == before


@each_kind
def test_other_options_step_over_what_is_not_finite(name):
    for option in ("clip_value", "decays", "centralize", "maximize"):
        opt, params = new(name, **options(name, option)), parameters(shapes={"few": (7,)}, layouts={})
        grads = gradients(params, 1)
        grads["few"][2] = np.nan
        opt.update(params, grads)
        assert np.isnan(params["few"][2]) and np.isnan(params["few"]).sum() == 1
        assert opt.skipped == 0 and opt.t == 1


# Dialects

@each_option
@each_calm_name
def test_deltas(name, option):
    """Of two gradients, with w and b, as article A has them: what a step in place adds, but for one rounding."""
    opt, stepped = new(name, **options(name, option)), new(name, **options(name, option))
    w, b = sized((9, 4), np.float32, 1), sized((5,), np.float64, 2)
    params = {"w": w.copy(), "b": b.copy()}
    for t in range(1, 4):
        grads = gradients(params, t)
        w[...], b[...] = params["w"], params["b"]
        before = w.copy(), b.copy()
        deltas = opt.update(grads["w"], grads["b"], w=w, b=b, **losses(name, t))
        stepped.update(params, grads, **losses(name, t))
        for delta, old, value, key in zip(deltas, before, (w, b), params):
            assert_same_bits(value, old)
            assert delta.dtype == old.dtype
            eps = np.finfo(old.dtype).eps
            assert_allclose(old + delta, params[key], rtol=4*eps, atol=eps)


@pytest.mark.parametrize("option", READS_P)
def test_deltas_of_what_reads_the_parameter_need_it(option):
    opt, grad = get_opt("Adam", **{option: 0.1}), np.ones(3)
    for given in ((grad,), (grad, grad)):
        with pytest.raises(TypeError, match="w="):
            opt.update(*given)
    with pytest.raises(TypeError, match="b="):
        opt.update(grad, grad, w=grad)
    assert opt.t == 0 and not opt.state


@each_kind
def test_sequences(name):
    values = options(name, "all, clip_global_norm")
    params, others = list(parameters().values()), parameters()
    opt, named = new(name, **values), new(name, **values)
    for t in range(1, 4):
        grads = gradients(others, t)
        (opt.step if t % 2 else opt.update)(params, list(grads.values()), **losses(name, t))
        named.update(others, grads, **losses(name, t))
    assert_same(dict(zip(others, params)), others)


# Threads

@pytest.mark.parametrize(("name", "option"), [("Adam", option) for option in OPTIONS] + [
    (name, option) for name in KINDS for option in TOGETHER if name != "Adam"])
def test_any_number_of_threads_gives_the_same_bits(name, option, threads):
    """Tensors that are split, of all dtypes, and one that is not."""
    start = {"W": sized((400, 301), np.float32, 0), "b": sized((7,), np.float32, 1),
             "long": sized((100_003,), np.float64, 2),
             "F": np.asfortranarray(sized((210, 500), np.float32, 3)), "half": sized((110_000,), np.float16, 4)}
    grads = [{key: (2 - t)*p[::-1] for key, p in start.items()} for t in range(2)]
    outcomes = []
    for count in (1, 2, 3, 7):
        threads(count)
        opt, params = new(name, **options(name, option)), copies(start)
        for grad in grads:
            opt.update(params, grad)
        outcomes.append((opt, params))
    for opt, params in outcomes[1:]:
        assert_same(params, outcomes[0][1])
        assert_same_state(opt, outcomes[0][0])


# Half precision, and reduced-precision state

@pytest.mark.parametrize("half", sorted({np.float16, bfloat16}, key=str))
@pytest.mark.parametrize(("name", "option"), [("Adam", option) for option in OPTIONS] + [
    (name, option) for name in CALM for option in ("all, clip_value", "all, clip_norm") if name != "Adam"])
def test_halves_are_float32_rounded_once(name, option, half):
    opt, single = new(name, **options(name, option)), new(name, **options(name, option))
    params = {key: p.astype(half) for key, p in parameters(np.float32).items()}
    by_norm = any(word in option for word in ("norm", "adaptive"))     # may be summed in another order
    for t in range(1, 4):
        grads = gradients(params, t, half)
        wide = {key: p.astype(np.float32) for key, p in params.items()}
        opt.update(params, grads, **losses(name, t))
        single.update(wide, {key: grad.astype(np.float32) for key, grad in grads.items()}, **losses(name, t))
        for key, p in params.items():
            got, wanted = np.array(p).ravel(), wide[key].astype(half).ravel()
            assert got.dtype == half
            apart = abs(got.view(np.int16).astype(int) - wanted.view(np.int16))
            assert apart.max() <= by_norm and (apart > 0).mean() <= 0.02*by_norm
        for key, slots in opt.state.items():
            for slot, value in slots.items():
                assert value.dtype == np.float32
                assert_allclose(value, single.state[key][slot], rtol=1e-5 if by_norm else 0)


ABLE = [name for name in CALM if type(optimizer(name)).stored]


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
@each_union
@pytest.mark.parametrize("name", ABLE)
def test_state_in_fewer_bits(name, option, state_dtype):
    """A first step does not know how its state is kept; later ones are near."""
    small, single = (new(name, state_dtype=kind, **options(name, option)) for kind in (state_dtype, "float32"))
    params, others, largest = parameters(np.float32), parameters(np.float32), {}
    for t in range(1, 4):
        grads, before = gradients(params, t), copies(others)
        small.update(params, grads, **losses(name, t))
        single.update(others, grads, **losses(name, t))
        if t == 1:
            assert_same(params, others)
        for key, p in params.items():
            largest[key] = max(largest.get(key, 0), abs(others[key] - before[key]).max())
            assert abs(p - others[key]).max() <= 0.2*t*largest[key]


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ABLE)
def test_state_in_fewer_bits_exactly(name, state_dtype):
    """The same gradient at the rule is the same state."""
    option = {"maximize": True, "grad_scale": 2.0, "clip_value": 3.0}
    opt, plain = (new(name, state_dtype=state_dtype, **defaults(name), **more) for more in (option, {}))
    params, others = parameters(np.float32), parameters(np.float32)
    for t in range(1, 5):
        grads = gradients(params, t)
        opt.update(params, grads, **losses(name, t))
        plain.update(others, {key: np.clip(-2*grad, -3, 3) for key, grad in grads.items()}, **losses(name, t))
    assert_same(params, others)
    assert_same_state(opt, plain)


# Errors

@pytest.mark.parametrize("options", [{"clip_norm": 1.0, "clip_value": 1.0}, {"clip_global_norm": 1, "clip_adaptive": 1},
                                     {"clip_norm": 1.0, "clip_global_norm": 1.0}])
def test_more_than_one_clipping(options):
    with pytest.raises(ValueError, match="clip"):
        get_opt("SGD", **options)
    first, second = options
    with pytest.raises((TypeError, ValueError), match="clip"):
        get_opt("SGD", **{first: 1.0}, groups=[fastnn.group("W", **{second: 1.0})])
    opt = get_opt("SGD", **{first: 1.0})
    with pytest.raises(ValueError, match="clip"):
        setattr(opt, second, 1.0)
    assert getattr(opt, second) is None


def test_the_global_norm_is_no_groups():
    with pytest.raises((TypeError, ValueError), match="clip_global_norm"):
        get_opt("SGD", groups=[fastnn.group("W", clip_global_norm=1.0)])


@pytest.mark.parametrize(("option", "bad"), [
    (option, bad) for option in [*BY_NORM, "clip_value", "weight_decay", "l2", "l1"] for bad in (-1.0, np.nan, "1")])
def test_bad_options(option, bad):
    opt = get_opt("Adam")
    for attempt in (lambda: get_opt("Adam", **{option: bad}), lambda: setattr(opt, option, bad),
                    lambda: get_opt("Adam", groups=[fastnn.group("W", **{option: bad})])):
        with pytest.raises((TypeError, ValueError), match=option):
            attempt()
    assert getattr(opt, option) == getattr(get_opt("Adam"), option)


def test_options_are_attributes():
    opt = get_opt("Adam", weight_decay=0.1, clip_norm=2, output_axis=0, groups=[fastnn.group("b", l2=0.5)])
    assert (opt.weight_decay, opt.l2, opt.clip_norm, opt.clip_value, opt.output_axis, opt.maximize, opt.grad_scale) == (
        0.1, 0, 2, None, 0, False, 1)
    assert opt.groups[0].l2 == 0.5 and not opt.groups[0].freeze


def test_a_subclass_with_another_default():
    class Decaying(type(get_opt("SGD"))):
        weight_decay = Option(0.5, at_least=0)

    p = np.ones(3)
    Decaying(lr=0.5).step([p], [np.zeros(3)])
    assert (p == 0.75).all()


def test_a_parameter_without_elements_and_very_long_units():
    p = np.ones((0, 2**50), np.float32)
    get_opt("SGD", centralize=True, clip_adaptive=0.1).step([p], [p])


def test_what_is_set_in_the_middle_of_a_step_counts_from_the_next_one():
    class Setting(type(get_opt("SGD"))):
        @staticmethod
        def constants(h):
            opt.lr, opt.l2 = lambda t: 2.0, 1.0
            return {"lr": h.lr}

    opt, p = Setting(lr=1.0), np.zeros(1)
    for _ in range(2):
        opt.step([p], [np.ones(1)])
    assert p == -1 - 2*(1 - 1)
