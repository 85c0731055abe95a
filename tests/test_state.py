"""The state of optimizers: a plain dict from which every one goes on bit for bit; what does not fit is refused."""
import copy
import lzma
import pickle
import random
import re
import types
from collections import UserDict
from functools import cache

import numpy as np
import pytest

import fastnn
from fastnn import StateError, dlfs, get_opt, group, schedules
from fastnn.encoding import decoded
from fastnn.generators import BIT_GENERATORS
from fastnn.optimizers import Optimizer, rate
from fastnn.optimizers.base import UNCOPIED
from helpers import NOISY, RULES as TITLES, TESTS, assert_same_bits, optimizer, seeded

try:
    from ml_dtypes import bfloat16
except ImportError:                     # no wheels for musl
    bfloat16 = np.float16

BOOK = {f"dlfs.{name}": cls for name, cls in vars(dlfs).items() if name in dlfs.__all__ and cls.name is None}
SMALL = ("bfloat16", "int8")


def make(name, state_dtype="float32", **kwds):
    if name in BOOK:
        return BOOK[name](state_dtype=state_dtype, **kwds)
    if "Santa" in name:
        kwds = {"burnin": 5, **kwds}            # in the middle of the steps below
    return optimizer(name, state_dtype=state_dtype, **seeded(name, np.random.RandomState(3)) | kwds)


def has(name, state_dtype):
    return state_dtype == "float32" or bool(type(make(name)).stored)


# Of a dialect those that differ from the catalogue's: others are the same class.
DIALECT = [title for title in TITLES if optimizer(title).like]
RULES = [(name, state_dtype) for name in (*fastnn.optimizers(), *DIALECT, *BOOK) for state_dtype in ("float32", *SMALL)
         if has(name, state_dtype)]
each_rule = pytest.mark.parametrize(("name", "state_dtype"), RULES)


def parameters(state_dtype="float32"):
    rng = np.random.default_rng(0)
    wide = np.float32 if state_dtype in SMALL else np.float64
    return {"W": rng.standard_normal((7, 100)).astype(np.float32),
            ("a", 1): np.asfortranarray(rng.standard_normal((9, 5)), wide),
            3: rng.standard_normal(300).astype(np.float16), "half": rng.standard_normal(33).astype(bfloat16),
            "0-d": np.array(0.5, wide), "empty": np.zeros((0, 4), wide)}


def gradients(params, t):
    rng = np.random.default_rng((t, 1))
    return {key: np.asarray(rng.standard_normal(p.shape), np.float64 if p.dtype == np.float64 else np.float32)
            for key, p in params.items()}


def in_mappings(opt, params, t):
    opt.update(params, gradients(params, t), f=1 / t)


def in_sequences(opt, params, t):
    opt.step(list(params.values()), list(gradients(params, t).values()), f=1 / t)


def in_deltas(opt, params, t):
    (first, p), (second, q) = [pair for pair in params.items() if pair[1].dtype == np.float32][:2]
    grads = gradients(params, t)
    for a, delta in zip((p, q), opt.update(grads[first], grads[second], f=1 / t, w=p, b=q)):
        with np.errstate(invalid="ignore"):     # Santa may have exploded
            a += delta


DIALECTS = [in_mappings, in_sequences, in_deltas]
each_dialect = pytest.mark.parametrize("step", DIALECTS)


def start(name, state_dtype, step, steps=3):
    """(optimizer, parameters) after some steps."""
    opt, params = make(name, state_dtype), parameters(state_dtype)
    if step is in_deltas:
        params = {"w": params["W"], "b": np.zeros(40, np.float32)}
    for t in range(1, steps + 1):
        step(opt, params, t)
    return opt, params


def assert_goes_on_like(opt, params, wanted, wanted_params, step, first=4, last=7):
    for t in range(first, last):
        step(opt, params, t)
        step(wanted, wanted_params, t)
    assert opt.t == wanted.t
    assert_same_state(opt.state_dict(), wanted.state_dict())
    for key, p in params.items():
        assert_same_bits(p, wanted_params[key])


def assert_same_state(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert_same_bits(one, other)
    else:
        assert repr(one) == repr(other)             # NaN among them


def frozen(opt):
    """All that an optimizer is, as bytes."""
    own = {key: value for key, value in vars(opt).items() if key not in (*UNCOPIED, "_known")}      # no caches
    return pickle.dumps((opt.state_dict(), opt.t, own))


# Going on.

@each_dialect
@each_rule
def test_an_optimizer_goes_on_from_a_state(name, state_dtype, step):
    opt, params = start(name, state_dtype, step)
    state = opt.state_dict()
    fresh = make(name, state_dtype)
    used = start(name, state_dtype, in_sequences if step is in_mappings else in_mappings)[0]
    for other in (fresh, used):
        other.load_state_dict(state)
        assert_goes_on_like(other, copy.deepcopy(params), *start(name, state_dtype, step), step)


@each_rule
def test_copies_and_pickles_go_on(name, state_dtype):
    opt, params = start(name, state_dtype, in_mappings)
    for copied in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt)), copy.deepcopy(make(name, state_dtype))):
        if not copied.t:
            copied.load_state_dict(opt.state_dict())
        assert type(copied) is type(opt) and copied.state_dtype == state_dtype
        assert_goes_on_like(copied, copy.deepcopy(params), *start(name, state_dtype, in_mappings), in_mappings)
    shallow = copy.copy(opt)
    in_mappings(shallow, copy.deepcopy(params), 4)
    assert opt.t == 3 and shallow.t == 4


def test_rules_of_others_have_it_all(tmp_path):
    """A class that says no more than its slots, made while the program runs."""
    pytest.importorskip("safetensors")
    Mine = types.new_class("Mine", (Optimizer,), {"kernel": "momentum"}, lambda body: body.update({
        "lr": rate(0.1), "slots": {"velocity": 0.5}, "stored": {"velocity": "linear"},
        "constants": staticmethod(lambda h: {"momentum": 0.9, "lr": h.lr}), "__module__": __name__}))
    for state_dtype in ("float32", *SMALL):
        opt, params = Mine(lr=0.3, state_dtype=state_dtype), parameters(state_dtype)
        wanted, wanted_params = Mine(lr=0.3, state_dtype=state_dtype), parameters(state_dtype)
        for t in range(1, 4):
            in_mappings(opt, params, t)
            in_mappings(wanted, wanted_params, t)
        fastnn.save(tmp_path / "file", opt=opt)
        other = Mine(state_dtype=state_dtype)
        fastnn.load(tmp_path / "file", opt=other)
        assert other.lr == 0.3 and other.state_dict()["name"] == f"{__name__}.Mine"
        in_mappings(copy.deepcopy(opt), copy.deepcopy(params), 4)
        assert_goes_on_like(other, params, wanted, wanted_params, in_mappings)


def test_copies_share_what_they_shared():
    rng = np.random.default_rng(0)
    opt, other = copy.deepcopy([get_opt("SantaE", rng=rng), rng])
    assert opt.rng is other and other is not rng


@each_rule
def test_a_state_shares_nothing_with_its_optimizer(name, state_dtype):
    opt, params = start(name, state_dtype, in_mappings)
    state = opt.state_dict()
    kept = copy.deepcopy(state)
    in_mappings(opt, params, 4)
    assert_same_state(state, kept)
    opt.load_state_dict(state)
    for entry in state["by_key"].values():
        for slot in entry["slots"].values():
            for values in slot.values() if isinstance(slot, dict) else [slot]:
                values[...] = 7
    assert_same_state(opt.state_dict(), kept)


def test_hyperparameters_are_part_of_it():
    opt = get_opt("Adam", alpha=0.5, beta2=0.9)
    other = get_opt("Adam")
    other.load_state_dict(opt.state_dict())
    assert repr(other) == repr(opt)


def test_keys_and_positions_are_apart():
    opt, by_key, by_position = get_opt("Momentum"), {0: np.zeros(3)}, [np.zeros(5)]
    opt.update(by_key, {0: np.ones(3)})
    opt.step(by_position, [np.ones(5)])
    state = opt.state_dict()
    assert state["by_key"][0]["shape"] == (3,) and state["by_position"][0]["shape"] == (5,)
    with pytest.raises(ValueError, match="both a key and a position"):
        opt.state
    other = get_opt("Momentum")
    other.load_state_dict(state)
    assert_same_state(other.state_dict(), state)


def test_the_layout_of_a_state():
    """docs/reliability.md and fastnn/state.py promise these keys."""
    opt = get_opt("Adam", state_dtype="int8")
    opt.update({"W": np.zeros((2, 3), np.float32, order="F")}, {"W": np.ones((2, 3))})
    state = opt.state_dict()
    entry = state["by_key"].pop("W")
    slots = entry.pop("slots")
    assert state == {"format": 3, "name": "Adam", "like": None, "state_dtype": "int8", "passes": 1, "skipped": 0,
                     "by_key": {}, "by_position": {}, "rule": {}, "groups": [],
                     "hyperparameters": {"alpha": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
                     "options": {name: getattr(type(opt), name).default for name in opt.options}}
    assert entry == {"shape": (2, 3), "dtype": "float32", "order": "F", "t": 1, "scalars": {}}
    assert damaged("Adam like article").items() >= {"format": 3, "name": "Adam", "like": "article"}.items()
    assert damaged("SGD like article")["like"] is None          # the same arithmetic
    assert {name: {k: (a.dtype, a.shape) for k, a in slot.items()} for name, slot in slots.items()} == {
        name: {"codes": (np.uint8, (32,)), "scales": (np.float32, (1,))} for name in "mv"}
    assert dlfs.SGD().state_dict()["name"] == "fastnn.dlfs.SGD"
    assert damaged("Eve")["by_key"]["W"]["scalars"].keys() == {"D", "f", "told"} and not damaged("Eve")["rule"]
    assert get_opt("SantaE", rng=0).state_dict()["rule"]["generator"]["bit_generator"] == "PCG64"


# Generators.

def sources():
    for name in BIT_GENERATORS:
        yield np.random.Generator(getattr(np.random, name)(5))
        yield np.random.RandomState(getattr(np.random, name)(5))


@pytest.mark.parametrize("rng", list(sources()), ids=lambda rng: f"{rng!s}"[:30])
def test_generators(rng):
    """One of the same kind is set, others are exchanged and left alone."""
    opt, params = get_opt("SantaE", rng=copy.deepcopy(rng)), {"w": np.ones(5)}
    for t in (1, 2, 3):
        opt.update(params, {"w": np.ones(5)})
    for mine in (copy.deepcopy(rng), np.random.default_rng(np.random.PCG64DXSM(1)), np.random.RandomState(2)):
        other, before = get_opt("SantaE", rng=mine), copy.deepcopy(mine)
        other.load_state_dict(opt.state_dict())
        same_kind = str(mine) == str(rng)
        assert (other.rng is mine) == same_kind
        if not same_kind:
            assert mine.standard_normal() == before.standard_normal()
        assert other.rng.standard_normal() == copy.deepcopy(opt).rng.standard_normal()


class Foreign(np.random.Generator):
    """A generator whose bit generator calls itself something that NumPy has not."""

    @property
    def bit_generator(self):
        return type("Foreign", (), {"state": {"bit_generator": "Foreign"}})


def test_foreign_generators_have_no_state():
    with pytest.raises(TypeError, match="Foreign cannot be kept"):
        get_opt("SantaE", rng=Foreign(np.random.PCG64(0))).state_dict()


# What is refused.

def edited(change):
    """A function that makes a damaged state of a right one."""
    def edit(state):
        change(state)
        return state
    return edit


def put(*path, value):
    def change(state):
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value
    return edited(change)


def drop(*path):
    def change(state):
        for key in path[:-1]:
            state = state[key]
        del state[path[-1]]
    return edited(change)


W = "by_key", "W"
BAD = {
    "no dict": (lambda state: None, "must be a dict"), "a list": (lambda state: [state], "must be a dict"),
    "empty": (lambda state: {}, "format"), "another mapping": (UserDict, "must be a dict"),
    "newer": (put("format", value=4), "format 4.*none that is newer"), "format 0": (put("format", value=0), "format"),
    "format True": (put("format", value=True), "format"), "format of words": (put("format", value="1"), "format"),
    **{f"no {key}": (drop(key), key)
       for key in ("format", "name", "like", "state_dtype", "passes", "skipped", "hyperparameters", "options", "groups",
                   "by_key", "by_position", "rule")},
    "more": (put("more", value=1), "'more', which is unknown"),
    "another optimizer": (put("name", value="SGD"), "name is 'SGD'"),
    "name of arrays": (put("name", value=np.zeros(0)), "name"),
    "dtype of arrays": (put("by_key", "W", "dtype", value=np.zeros(2)), "'W'"),
    "order of arrays": (put("by_key", "W", "order", value=np.zeros(2)), "'W'"),
    "no name": (put("name", value=None), "name"),
    **{f"like {like!r:.20}": (put("like", value=like), "like")
       for like in (1, True, b"article", ["article"], np.zeros(2), "nobody", "", "Article")},
    "the article's": (put("like", value="article"), r"article A's.*get_opt\('Adam', like='article'\)"),
    "another state_dtype": (put("state_dtype", value="other"), "state_dtype is 'other'"),
    "a t of all": (put("t", value=1), "'t', which is unknown"), "no t": (drop(*W, "t"), "by_key 'W' has no 't'"),
    **{f"t {t}": (put(*W, "t", value=t), "t of by_key 'W' must be")
       for t in (-1, 1.0, "1", None, True, float("nan"), 2**63)},
    "no scalars": (drop(*W, "scalars"), "no 'scalars'"), "a scalar": (put(*W, "scalars", "D", value=1.0), "'D'"),
    "a group's clips": (put("groups", value=[{"which": ["*"], "freeze": False,
                                              "values": {"clip_value": 1, "clip_norm": 1}}]), "clipped by one of"),
    "scalars": (put(*W, "scalars", value=[]), "scalars of by_key 'W' must be a dict"),
    **{f"skipped {n}": (put("skipped", value=n), "skipped must be") for n in (-1, 1.0, None, True)},
    "no l2": (drop("options", "l2"), "no 'l2'"), "an option": (put("options", "l3", value=0), "l3"),
    "options": (put("options", value=[]), "options must be a dict"),
    **{f"l2 {value}": (put("options", "l2", value=value), "l2 must be")
       for value in (-1, float("nan"), "1", None, [1], np.zeros(3))},
    **{f"clip_norm {value}": (put("options", "clip_norm", value=value), "clip_norm must be")
       for value in (0, -1, float("nan"), "1", True)},
    **{f"maximize {value}": (put("options", "maximize", value=value), "maximize must be") for value in (None, 1, "x")},
    **{f"output_axis {value}": (put("options", "output_axis", value=value), "output_axis must be")
       for value in (None, 1.0, "x")},
    "two clips": (lambda state: put("options", "clip_norm", value=1.0)(put("options", "clip_value", value=1.0)(state)),
                  "clipped by one of clip_value and clip_norm"),
    "groups": (put("groups", value={}), "groups must be a list"), "a group": (put("groups", value=[1]), "group 0"),
    "a group of nothing": (put("groups", value=[{}]), "group 0"),
    **{f"a group's {what}": (put("groups", value=[{"which": ["*"], "freeze": False, "values": {}} | change]), "group 0")
       for what, change in {"patterns": {"which": 3}, "no patterns": {"which": []}, "function": {
           "which": [{"function": "f"}]}, "freeze": {"freeze": 1}, "values": {"values": []},
           "lr": {"values": {"lr": 1}},           "alpha": {"values": {"alpha": -1}},
           "schedule": {"values": {"alpha": {"function": "f"}}}, "more": {"more": 1}}.items()},
    **{f"schedule {value!r:.30}": (put("hyperparameters", "alpha", value=value), "alpha")
       for value in ({}, {"function": "f"}, {"function": 3}, {"schedule": "none"}, {"schedule": "constant"},
                     {"schedule": "constant", "arguments": {}}, {"schedule": np.zeros(2), "arguments": {}},
                     {"schedule": "linear", "arguments": {"value": None}})},
    **{f"passes {n}": (put("passes", value=n), "passes must be") for n in (-1, 2**32, 0.5)},
    "no alpha": (drop("hyperparameters", "alpha"), "no 'alpha'"),
    "a beta3": (put("hyperparameters", "beta3", value=1), "beta3"),
    **{f"alpha {a}": (put("hyperparameters", "alpha", value=a), r"alpha \(lr\) must be")
       for a in (-1, float("nan"), "1", None, [1])},
    "hyperparameters": (put("hyperparameters", value=[1]), "must be a dict"),
    "parameters": (put("by_key", value=[]), "by_key must be a dict"),
    "an entry": (put(*W, value=1), "'W' must be a dict"),
    "a position": (put("by_position", "x", value={"shape": (), "dtype": "float32", "order": "C", "slots": {}, "t": 1,
                                                  "scalars": {}}), None),
    "rule": (put("rule", "D", value=1.0), "rule has 'D'"), "no shape": (drop(*W, "shape"), "no 'shape'"),
    **{f"shape {s}": (put(*W, "shape", value=s), "'W'")
       for s in ((6,), (3, 2), (2, 3, 1), (2, -3), (2, 3.0), 6, None, "23", (2**62, 2**62), (1,) * 70)},
    **{f"dtype {d}": (put(*W, "dtype", value=d), "'W'")
       for d in ("float64", "float128", "int8", None, "f4", ["float32"])},
    **{f"order {o}": (put(*W, "order", value=o), "'W'") for o in ("A", "", None, "CF")},
    "no m": (drop(*W, "slots", "m"), "no 'm'"), "a vhat": (put(*W, "slots", "vhat", value=1), "'vhat'"),
    "m a list": (put(*W, "slots", "m", value=[[0.0] * 3] * 2), "'m' of by_key 'W'"),
    "m of another shape": (put(*W, "slots", "m", value=np.zeros(6, np.float32)), "'m' of by_key 'W'"),
    "m of another dtype": (put(*W, "slots", "m", value=np.zeros((2, 3), np.int32)), "'m' of by_key 'W'"),
}
BAD_CODES = {
    f"{what} {name}": (put(*W, "slots", "m", what, value=value), "'m' of by_key 'W'")
    for what in ("codes", "scales")
    for name, value in {"None": None, "short": np.zeros(1, np.uint8), "float64": np.zeros(32),
                        "long": np.zeros(64, np.uint8), "number": 1}.items()}
BAD_EVE = {f"{key} {value}": (put(*W, "scalars", key, value=value), f"{key} of by_key 'W' must be a finite number")
           for key in "Df" for value in (float("nan"), float("inf"), "1", None, True)}
BAD_EVE |= {"D 0": (put(*W, "scalars", "D", value=0.0), "'W': .*positive"),
            "no f": (drop(*W, "scalars", "f"), "no 'f'"),
            "a rule's D": (put("rule", "D", value=1.0), "rule has 'D'")}
BAD_NADAM = {f"mu_product {value}": (put(*W, "scalars", "mu_product", value=value), "mu_product")
             for value in (float("nan"), float("inf"), "1", None, True, -0.5, 1.5)}
BAD_NADAM |= {"no mu_product": (drop(*W, "scalars", "mu_product"), "no 'mu_product'")}
G = "rule", "generator"
BAD_SANTA = {
    "no generator": (drop(*G), "generator"), "none": (put(*G, value=None), "generator"),
    **{f"bit generator {b}": (put(*G, "bit_generator", value=b), "generator")
       for b in ("PCG64", "default_rng", "os", None, [])},
    "bit generator of arrays": (put(*G, "bit_generator", value=np.zeros(2)), "generator"),
    "class of arrays": (put(*G, "class", value=np.zeros(2)), "generator"),
    **{f"class {c}": (put(*G, "class", value=c), "generator") for c in ("Generator2", "Random", None, [])},
    **{f"position {p}": (put(*G, "state", "pos", value=p), "pos") for p in (-1, 625, 10**9, 2**200, 1.0, None)},
    "key": (put(*G, "state", "key", value=np.zeros(623, np.uint32)), "key"),
    "no key": (drop(*G, "state", "key"), "key"),
    "gauss": (put(*G, "gauss", value=float("nan")), "gauss"), "state": (put(*G, "state", value=5), "state"),
    "anne_func": (put("hyperparameters", "anne_func", value="other"), "anne_func must be 'other'"),
}


def damaged(name, state_dtype="float32"):
    opt = make(name, state_dtype)
    opt.update({"W": np.ones((2, 3), np.float32)}, {"W": np.ones((2, 3))})
    return opt.state_dict()


@pytest.mark.parametrize(("name", "state_dtype", "damage", "message"), [
    pytest.param(name, state_dtype, *fault, id=f"{name} {state_dtype} {what}")
    for name, state_dtype, faults in (
        ("Adam", "float32", BAD), ("Adam", "int8", BAD_CODES), ("Adam", "bfloat16", BAD_CODES),
        ("Eve", "float32", BAD_EVE), ("Nadam", "float32", BAD_NADAM), ("SantaE", "float32", BAD_SANTA))
    for what, fault in faults.items()])
def test_what_does_not_fit_changes_nothing(name, state_dtype, damage, message):
    state = damage(damaged(name, state_dtype))
    for steps in (0, 2):
        opt, _ = start(name, state_dtype, in_mappings, steps)
        before = frozen(opt)
        with pytest.raises(StateError, match=message):
            opt.load_state_dict(state)
        assert frozen(opt) == before


@each_rule
def test_no_optimizer_takes_the_state_of_another(name, state_dtype):
    state = start(name, state_dtype, in_mappings, 1)[0].state_dict()
    for other in RULES:
        if other != (name, state_dtype):
            opt = make(*other)
            with pytest.raises(StateError, match="the state's (name|state_dtype) is|the state was written under"):
                opt.load_state_dict(state)
            assert opt.t == 0 and not opt.state


@each_rule
def test_missing_slots(name, state_dtype):
    state = start(name, state_dtype, in_mappings, 1)[0].state_dict()
    for slot in make(name).slots:
        damaged = copy.deepcopy(state)
        del damaged["by_key"]["W"]["slots"][slot]
        with pytest.raises(StateError, match=f"has no '{slot}'"):
            make(name, state_dtype).load_state_dict(damaged)


# Options, groups, schedules.

def few_axes(key, p):
    return np.asarray(p).ndim < 2


def wavy(t):
    return 0.01 + 0.001 * (t % 3)


def with_all(name, state_dtype="float32"):
    return make(name, state_dtype, lr=schedules.join((schedules.linear(0.01, 3, end_value=1e-3), wavy), (4,)),
                clip_global_norm=3.0, weight_decay=schedules.reduce_on_plateau(0.1, patience=0), maximize=True, l2=0.01,
                groups=[
                    group("half", freeze=True), group(few_axes, "none", centralize=True, weight_decay=wavy),
                    group("[!W]*", l1=0.01, lr=schedules.cosine(0.02, 9, end_value=1e-3))])


@each_rule
def test_options_groups_and_schedules_go_on(name, state_dtype):
    """Values that were set in mid-run, what a schedule has observed, and frozen parameters; into new and used ones."""
    def some_steps(opt):
        params = parameters(state_dtype)
        for t in range(1, 4):
            in_mappings(opt, params, t)
            opt.weight_decay.observe(1.0)
            if t == 2:
                opt.groups[0].freeze, opt.groups[2].l1, opt.groups[1].freeze = False, 0.5, True
                opt.grad_scale = 0.5
        return params

    opt = with_all(name, state_dtype)
    params = some_steps(opt)
    state, shown_as = opt.state_dict(), repr(opt)
    used = with_all(name, state_dtype)
    used.step([np.ones((2, 2), np.float32)], [np.ones((2, 2))])
    for other in (with_all(name, state_dtype), used, copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        if not other.skipped and other.state_dict()["by_key"] == {}:
            kept = other.groups, other.weight_decay
            other.load_state_dict(state)
            assert other.groups is kept[0] and other.weight_decay is kept[1]
        assert_same_state(other.state_dict(), state)
        assert re.sub("0x[0-9a-fA-F]+", "", repr(other)) == re.sub("0x[0-9a-fA-F]+", "", shown_as)
        wanted = with_all(name, state_dtype)
        assert_goes_on_like(other, copy.deepcopy(params), wanted, some_steps(wanted), in_mappings)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Eve", "SantaE"])
def test_forgotten_in_mid_run(name):
    """The parameter begins anew, the others go on; not known is a KeyError."""
    opt, params = start(name, "float32", in_mappings)
    before = opt.state_dict()
    for key in ("nothing", 0, ("W",), []):
        with pytest.raises((KeyError, TypeError)):
            opt.forget(key)
    assert_same_state(opt.state_dict(), before)
    opt.forget(("a", 1))
    del before["by_key"][("a", 1)]
    assert_same_state(opt.state_dict(), before)
    in_mappings(opt, params, 4)
    counts = {key: entry["t"] for key, entry in opt.state_dict()["by_key"].items()}
    assert counts.pop(("a", 1)) == 1 and set(counts.values()) == {4}
    if name != "SantaE":                        # whose noise goes on
        fresh, alone = get_opt(name), {("a", 1): parameters()[("a", 1)]}
        fresh.update(alone, {("a", 1): gradients(params, 4)[("a", 1)]}, f=1 / 4)
        for slot, values in fresh.state[("a", 1)].items():
            assert_same_bits(opt.state[("a", 1)][slot], values)


WRONG = [None, True, -1, 0, 1.5, float("nan"), float("inf"), "x", [], {}, (), 2**64, np.zeros(3), np.float32(1), b"x",
         np.zeros((7, 100), np.float32), np.zeros(0), object()]


def edit(tree, rng, wrong, keys, deeper):
    """Exchange, drop or add an entry somewhere in nested dicts and lists."""
    place = tree
    while isinstance(place[key := a_key(place, rng)], (dict, list)) and place[key] and rng.random() < deeper:
        place = place[key]
    change = rng.choice(["exchange", "drop", "add"])
    if change == "exchange":
        place[key] = rng.choice(wrong)
    elif change == "drop":
        del place[key]
    elif isinstance(place, dict):
        place[rng.choice(keys)] = rng.choice(wrong)
    else:
        place.append(rng.choice(wrong))


def a_key(place, rng):
    return rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))


def test_random_edits():
    """Entries exchanged, dropped and added anywhere: the state is refused, or it is one that can be used."""
    rng = random.Random(0)
    states = {rule: start(*rule, in_mappings)[0].state_dict() for rule in RULES}
    rules = [*RULES, *(("all", *rule) for rule in RULES)]
    for rule in RULES:
        opt = with_all(*rule)
        in_mappings(opt, parameters(rule[1]), 1)
        states["all", *rule] = opt.state_dict()
    refused = 0
    for _ in range(2500):
        rule = rng.choice(rules)
        state = copy.deepcopy(states[rule])
        for _ in range(rng.randint(1, 2)):
            edit(state, rng, WRONG, ["y", 3, None], deeper=0.75)
        opt = with_all(*rule[1:]) if rule[0] == "all" else make(*rule)
        before = frozen(opt)
        try:
            opt.load_state_dict(state)
        except StateError:
            assert frozen(opt) == before
            refused += 1
        else:
            assert opt.state_dict().keys() == states[rule].keys() and opt.state is not None
    assert refused > 1500


def test_another_annealing_function():
    def freezing(t, rate):
        return 2.0

    opt = get_opt("SantaE", anne_func=freezing)
    with pytest.raises(StateError, match="anne_func must be 'freezing' as in the state, not '[a-z_]+'"):
        get_opt("SantaE").load_state_dict(opt.state_dict())
    get_opt("SantaE", anne_func=freezing).load_state_dict(opt.state_dict())


def test_shapes_that_no_longer_fit_are_found_at_the_next_step():
    opt, params = start("Adam", "float32", in_mappings)
    other = get_opt("Adam")
    other.load_state_dict(opt.state_dict())
    with pytest.raises(ValueError, match="'W' had shape"):
        other.update({"W": np.zeros(3, np.float32)}, {"W": np.ones(3)})
    assert other.t == 3


def test_small_state_is_put_back_by_its_codes_alone():
    opt, _ = start("Adam", "int8", in_mappings)
    assert not opt.state["W"]["m"].flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        opt.state["W"]["m"][...] = 0


# Format 2: names meant article A's arithmetic. Format 1: one count of steps for all parameters, Eve's D and f with the
# rule, no eps in fastnn.dlfs.

CASES = {1: 49, 2: 53}


@cache
def of_format(number):
    """What the last fastnn with that format saved: states in the middle, and what its next three steps gave."""
    pytest.importorskip("safetensors")
    data = decoded(lzma.decompress((TESTS / "data" / f"format{number}.safetensors.xz").read_bytes()))
    assert len(data["extra"]["cases"]) == CASES[number]
    return data["extra"]["cases"]


def of_then(params, t):
    return {key: (np.arange(p.size).reshape(p.shape) * 7 % 11 - 5 + t) / 8 for key, p in params.items()}


def assert_goes_on_as_then(opt, case, number):
    assert case["state"]["format"] == number
    opt.load_state_dict(case["state"])
    assert opt.skipped == 0 and opt.state_dict()["format"] == 3 and opt.state_dict()["like"] == opt.like
    if number == 1:
        assert opt.t == case["state"]["t"]
    params = copy.deepcopy(case["params"])
    for t in (4, 5, 6):
        opt.update(params, of_then(params, t), f=1 / t)
    for key, p in params.items():
        assert_same_bits(p, case["after"][key])


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize(("name", "state_dtype"), [
    (name, state_dtype) for name, state_dtype in RULES if f"{name} like article" not in DIALECT])
def test_states_of_former_formats(name, state_dtype, number):
    """Into what has that arithmetic today."""
    key = f"{name.removesuffix(' like article')} {state_dtype}"
    if key not in of_format(number):
        pytest.skip("newer than the format")
    case = copy.deepcopy(of_format(number)[key])
    opt = make(name, state_dtype, **seeded(name, np.random.Generator(np.random.PCG64(0))))
    assert_goes_on_as_then(opt, case, number)
    if "eps" in opt.hyperparameters and name in BOOK:
        assert opt.eps == 1e-7
    twin = make(name, state_dtype)
    twin.load_state_dict(opt.state_dict())
    assert_same_state(twin.state_dict(), opt.state_dict())


def test_options_groups_and_schedules_of_the_second_format():
    opt = get_opt("Adam", like="article", lr=schedules.linear(0.5, 9, end_value=0.1),
                  groups=[group("b*", l2=0.5, beta1=0.1)])
    assert_goes_on_as_then(opt, copy.deepcopy(of_format(2)["Adam float32, options"]), 2)
    assert (opt.weight_decay, opt.clip_global_norm, opt.groups[0].l2, opt.groups[0].beta1) == (0.1, 3.0, 0.01, 0.8)


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize(("name", "state_dtype"), [
    (name, state_dtype) for name, state_dtype in RULES if f"{name} like article" in DIALECT])
def test_former_states_of_another_arithmetic(name, state_dtype, number):
    """Are refused with the call that goes on from them."""
    case = copy.deepcopy(of_format(number)[f"{name} {state_dtype}"])
    for steps in (0, 2):
        opt, _ = start(name, state_dtype, in_mappings, steps)
        before = frozen(opt)
        with pytest.raises(StateError, match="written under article A's arithmetic") as caught:
            opt.load_state_dict(case["state"])
        assert frozen(opt) == before
    [call] = re.findall(r"get_opt\([^)]*\)", str(caught.value))
    if state_dtype == "float32" and name not in NOISY:
        assert_goes_on_as_then(eval(call), case, number)


@pytest.mark.parametrize(("change", "message"), [
    (put("t", value=-1), "t must be"), (drop("t"), "no 't'"), (drop("rule", "D"), "rule has no 'D'"),
    (put("rule", "D", value=float("nan")), "D of by_key 'W' must be"), (put("rule", value=3), "rule must be a dict"),
    (put("skipped", value=0), "'skipped', which is unknown"), (put("options", value={}), "'options', which is unknown"),
    (put(*W, "t", value=2), "by_key 'W' has 't', which is unknown"), (put(*W, value=3), "'W' must be a dict"),
    (put("by_key", value=None), "by_key"),
    (put("hyperparameters", value=None), "hyperparameters"), (put("rule", "g", value=1), "rule has 'g'")])
def test_damaged_states_of_the_first_format(change, message):
    state = change(copy.deepcopy(of_format(1)["Eve float32"]["state"]))
    opt = start("Eve like article", "float32", in_mappings)[0]
    before = frozen(opt)
    with pytest.raises(StateError, match=message):
        opt.load_state_dict(state)
    assert frozen(opt) == before


@pytest.mark.parametrize(("change", "message"), [
    (put("like", value="article"), "'like', which is unknown"), (drop("skipped"), "no 'skipped'"),
    (put("t", value=4), "'t', which is unknown"), (drop(*W, "t"), "by_key 'W' has no 't'"),
    (put(*W, "scalars", "D", value=0.0), "positive")])
def test_damaged_states_of_the_second_format(change, message):
    state = change(copy.deepcopy(of_format(2)["Eve float32"]["state"]))
    opt = start("Eve like article", "float32", in_mappings)[0]
    before = frozen(opt)
    with pytest.raises(StateError, match=message):
        opt.load_state_dict(state)
    assert frozen(opt) == before


def test_steps_are_counted_below_2_to_the_63():
    for opt in (get_opt("SGD"), get_opt("Adam")):
        state, p = damaged(opt.name), {"W": np.ones((2, 3), np.float32)}
        state["by_key"]["W"]["t"] = 2**63 - 2
        opt.load_state_dict(state)
        opt.step(p, p)
        before, bits = frozen(opt), p["W"].tobytes()
        assert opt.t == 2**63 - 1
        with pytest.raises(ValueError, match=r"t must be below 2\^63"):
            opt.step(p, p)
        assert frozen(opt) == before and p["W"].tobytes() == bits


def test_the_output_axis_is_one_that_there_may_be():
    for axis in (64, -65, 2**70):
        with pytest.raises(ValueError, match="output_axis must be at least -64 and below 64"):
            get_opt("SGD", output_axis=axis)


@pytest.mark.parametrize("setting", ["lr", "weight_decay"])
def test_loading_wins_over_a_number_set_before(setting):
    """A step, a number set, a state put in, a step: with the state's hyperparameters."""
    state = fastnn.get_opt("Adam", lr=0.25).state_dict()
    twin, q = fastnn.get_opt("Adam", lr=0.25), np.zeros(3)
    twin.step(q, np.ones(3))
    opt, p = fastnn.get_opt("Adam", lr=1.0), np.zeros(3)
    opt.step(np.ones(3), np.ones(3))
    setattr(opt, setting, 0.5)
    opt.load_state_dict(state)
    opt.step(p, np.ones(3))
    assert_same_bits(p, q)
