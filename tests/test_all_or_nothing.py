"""A step is taken as a whole or not at all: whatever is passed, nothing has changed, or all is as with plain copies."""
import contextlib
import pickle
import warnings
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.lib.stride_tricks import as_strided

from fastnn import get_opt, group, schedules
from helpers import APART, assert_same_bits, beside
from test_state import RULES, assert_same_state, bfloat16, make

KEYS = ["a", "b", ("c", 1), 4]
SHAPES = [(), (0,), (1,), (7,), (40,), (3, 5), (2, 0, 3), (2, 3, 4)]
FLOATS = [np.float32, np.float64, np.float16, bfloat16]
GOOD = [np.float32, np.float32, np.float64, np.float16, bfloat16]
ANY = [*GOOD, np.int64, np.complex64, np.bool_, object, np.longdouble]


class Fault(Exception):
    pass


class Countdown:
    """Raises at the call number `left`."""

    def __init__(self, left, error=Fault):
        self.left, self.error = left, error

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            raise self.error


class FaultyMapping(Mapping):
    """Raises in the middle of iteration, look-ups or `len`, or lists a key twice."""

    def __init__(self, data, fault, twice=False):
        self.data, self.fault, self.twice = data, fault, twice

    def __getitem__(self, key):
        self.fault()
        return self.data[key]

    def __iter__(self):
        for key in self.data:
            self.fault()
            yield key
        if self.twice:
            yield from self.data

    def __len__(self):
        self.fault()
        return len(self.data)


class FaultyGradient:
    def __init__(self, data, fault):
        self.data, self.fault = data, fault

    def __array__(self, dtype=None, copy=None):
        self.fault()
        return np.array(self.data)


class FaultyKey:
    """A key whose hash or comparison may raise."""

    def __init__(self, fault):
        self.fault = fault

    def __hash__(self):
        self.fault()
        return 5

    def __eq__(self, other):
        self.fault()
        return self is other


class FaultyNoise(np.random.Generator):
    fault = staticmethod(lambda: None)

    def standard_normal(self, *args, **kwds):
        self.fault()
        return super().standard_normal(*args, **kwds)


def numbers(shape, dtype, seed):
    values = np.asarray(np.random.default_rng(seed).standard_normal(shape))
    if dtype is object:
        return values.astype(object)
    with np.errstate(all="ignore"):
        return values.astype(dtype)


def laid_out(a, layout):
    """(a view with these values, the memory that it lies in)."""
    if layout == "C" or a.ndim == 0 and layout not in ("read-only", "unaligned", "swapped"):
        return a, a
    if layout == "F":
        a = np.asfortranarray(a)
        return a, a.T
    if layout == "read-only":
        a = a.copy()
        a.flags.writeable = False
        return a, a
    if layout == "unaligned" and a.dtype != object:
        room = np.zeros(a.nbytes + 1, np.uint8)
        view = room[1:].view(a.dtype).reshape(a.shape) if a.size else a
        view[...] = a
        return view, room
    if layout == "swapped" and a.dtype.kind in "fc":
        a = a.astype(a.dtype.newbyteorder())
        return a, a
    if layout == "broadcast" and a.dtype.kind == "f":
        room = a.reshape(-1)[:1].copy() if a.size else np.zeros(1, a.dtype)
        return as_strided(room, a.shape, (0,) * a.ndim), room
    step = {"holes": 2, "reversed": -1}.get(layout, 1)
    room = np.zeros([n * abs(step) for n in a.shape], a.dtype)
    view = room[(*(slice(None, None, step),) * a.ndim, ...)]
    view[...] = a
    return view, room


LAYOUTS = ["C", "C", "F", "holes", "reversed", "unaligned", "swapped", "read-only", "broadcast"]


@st.composite
def parameters(draw, small):
    """({key: array}, the memory behind them)."""
    params, rooms = {}, []
    for i, key in enumerate(draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=4))):
        shape = draw(st.sampled_from(SHAPES))
        dtype = draw(st.sampled_from(GOOD)) if draw(st.integers(0, 9)) else draw(st.sampled_from(ANY))
        if small and dtype is np.float64 and draw(st.integers(0, 4)):
            dtype = np.float32
        layout = draw(st.sampled_from(LAYOUTS[:7])) if draw(st.integers(0, 9)) else draw(st.sampled_from(LAYOUTS))
        params[key], room = laid_out(numbers(shape, dtype, i), layout)
        rooms.append(room)
    if len(params) > 1 and not draw(st.integers(0, 9)):
        one, other = draw(st.permutations(list(params)))[:2]
        if params[one].ndim and params[one].flags.writeable:
            params[other] = params[one][draw(st.sampled_from([slice(None), slice(1, None), slice(None, None, 2)]))]
    return params, rooms


@st.composite
def gradients(draw, params):
    grads = {}
    for i, (key, p) in enumerate(params.items()):
        kind = draw(st.sampled_from(["plain"] * 12 + ["list", "any", "NaN", "infinite", "the parameter", "missing",
                                                      "shape", "another parameter", "None", "__array__", "read-only",
                                                      "holes"]))
        dtype = draw(st.sampled_from(FLOATS))
        grad = numbers(p.shape, dtype, i + 100)
        if kind == "any":
            grad = numbers(p.shape, draw(st.sampled_from(ANY)), i)
        elif kind in ("NaN", "infinite"):
            if grad.size:
                grad.reshape(-1)[-1] = np.nan if kind == "NaN" else -np.inf
        elif kind == "list":
            grad = grad.astype(float).tolist()
        elif kind == "the parameter":
            grad = p
        elif kind == "another parameter":
            grad = next(iter(params.values()))
        elif kind == "shape":
            grad = numbers((*p.shape, 2), dtype, i)
        elif kind == "None":
            grad = None
        elif kind == "__array__":
            grad = FaultyGradient(grad, Countdown(draw(st.integers(1, 2))))
        elif kind in ("read-only", "holes"):
            grad = laid_out(grad, kind)[0]
        if kind != "missing":
            grads[key] = grad
    return grads


def plain(a):
    return np.array(a, np.asarray(a).dtype.newbyteorder("="), order="C")


def everything(opt, rooms):
    return (pickle.dumps((opt.state_dict(), opt.t)),
            [room.tobytes() if room.dtype != object else repr(room) for room in rooms])


def good_steps(opt, draw):
    """Steps that succeed; the parameters of the last."""
    params = {}
    for t in range(draw(st.integers(0, 2))):
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
            shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(FLOATS))
            if key not in params and not (opt.state_dtype != "float32" and dtype is np.float64):
                params[key] = numbers(shape, dtype, t)
        with contextlib.suppress(ValueError):           # a group without parameters, a rate that is NaN
            opt.update(params, {key: numbers(p.shape, p.dtype, t) for key, p in params.items()})
    return params


def few_axes(key, p):
    return np.asarray(p).ndim < 2


def falling(t):
    return 1 / t


def nan_at_2(t):
    return np.nan if t == 2 else 0.5


AROUND = [
    {}, {}, {}, {"weight_decay": 0.1, "l2": 0.1, "l1": 0.01, "maximize": True},
    {"clip_value": 0.5, "grad_scale": falling}, {"clip_norm": 1.0, "lr": schedules.linear(0.1, 5, end_value=0.01)},
    {"clip_global_norm": falling, "centralize": True},
    {"clip_adaptive": 0.1, "output_axis": 0}, {"lr": nan_at_2}, {"l2": nan_at_2, "clip_global_norm": 1.0},
    {"groups": [group("a", freeze=True)]},
    {"groups": [group("[ab]", "0", lr=falling, l1=0.1)], "clip_global_norm": 2.0},
    {"groups": [group(few_axes, weight_decay=0.1), group("*", clip_norm=1.0, l2=nan_at_2)]},
    {"groups": [group("b", clip_norm=0.1), group("*", freeze=True)], "weight_decay": falling}]
each_rule = st.sampled_from(RULES)
often = settings(max_examples=400)


@often
@given(st.data())
@pytest.mark.filterwarnings("ignore:.*this step is skipped:RuntimeWarning")
def test_mappings_and_sequences(data):
    draw = data.draw
    name, state_dtype = draw(each_rule)
    opt = make(name, state_dtype, **draw(st.sampled_from(AROUND)))
    known = good_steps(opt, draw)
    params, rooms = draw(parameters(state_dtype != "float32"))
    if draw(st.booleans()):                     # go on with the same parameters, some of them removed or exchanged
        params = {**{key: p for key, p in known.items() if draw(st.integers(0, 4))},
                  **{key: p for key, p in params.items() if key not in known or not draw(st.integers(0, 4))}}
    rooms = [*rooms, *known.values()]
    grads = draw(gradients(params))
    kwds = draw(st.sampled_from([{}] * 6 + [{"t": 0}, {"t": 2}, {"t": 1.5}, {"t": 2**63}, {"t": 10**400},
                                                {"f": float("nan")}, {"f": "x"}, {"g": 1}]))
    form = draw(st.sampled_from(["update", "step", "lists", "tuple and list", "faulty params", "faulty grads", "twice",
                                 "short", "updated lists"]))
    before = everything(opt, rooms)
    with np.errstate(all="ignore"):
        twin = pickle.loads(pickle.dumps(opt))
        copies = {key: p.copy() for key, p in params.items()}
        still = {key: FaultyGradient(g.data, lambda: None) if isinstance(g, FaultyGradient)
                 else g.copy() if isinstance(g, np.ndarray) else g for key, g in grads.items()}
    try:
        if form in ("update", "step"):
            getattr(opt, form)(params, grads, **kwds)
        elif form == "updated lists":
            opt.update(list(params.values()), [grads.get(key) for key in params], **kwds)
        elif form in ("lists", "tuple and list", "short"):
            left, right = list(params.values()), [grads.get(key) for key in params]
            opt.step(left if form == "lists" else tuple(left), right[1:] if form == "short" else right, **kwds)
        elif form == "faulty grads":
            opt.update(params, FaultyMapping(grads, Countdown(draw(st.integers(1, 12)))), **kwds)
        else:
            fault = Countdown(draw(st.integers(1, 12)), draw(st.sampled_from([Fault, KeyError, KeyboardInterrupt])))
            opt.update(FaultyMapping(params, fault, form == "twice"), grads, **kwds)
    except (TypeError, ValueError, KeyError, Fault, KeyboardInterrupt):
        assert everything(opt, rooms) == before
    else:
        with np.errstate(all="ignore"):
            same = {key: plain(p) for key, p in copies.items()}
            if form in ("lists", "tuple and list", "short", "updated lists"):
                twin.step(list(same.values()), [still.get(key) for key in same], **kwds)
            else:
                twin.update(same, still, **kwds)
            for key, p in params.items():
                assert_same_bits(plain(p), same[key])
        assert_same_state(in_c_order(opt.state_dict()), in_c_order(twin.state_dict()))


def in_c_order(state):
    """Without what tells how parameters lay; small state differs with it."""
    if state["state_dtype"] != "float32":
        return {**state, "by_key": list(state["by_key"]), "by_position": list(state["by_position"])}
    for entry in (*state["by_key"].values(), *state["by_position"].values()):
        entry["order"] = "C"
        entry["slots"] = {name: plain(slot) for name, slot in entry["slots"].items()}
    return state


@often
@given(st.data())
def test_deltas(data):
    draw = data.draw
    name, state_dtype = draw(each_rule)
    opt = make(name, state_dtype)
    opt.weight_decay = 0                        # deltas alone have no parameters
    shapes = draw(st.lists(st.sampled_from(SHAPES), max_size=2))
    fixed = [numbers(shape, np.float32, i) for i, shape in enumerate(shapes)]
    if fixed:
        opt.update(*fixed, **beside(opt, *fixed))
    grads = [numbers(draw(st.sampled_from(SHAPES)), draw(st.sampled_from(ANY)), 1) if draw(st.booleans()) else a
             for a in [*fixed, np.ones(3, np.float32)][:2]]
    kwds, fault = beside(opt, *(np.ones(g.shape) for g in grads)), Countdown(draw(st.integers(1, 3)))
    if draw(st.booleans()):
        bad = draw(st.sampled_from([None, "1", 1j, [[1], 2], FaultyGradient([1.0], fault)]))
        grads[draw(st.integers(0, len(grads) - 1))] = bad
    if name == "NAG" and len(grads) == 2 and draw(st.booleans()):
        def gradient(*where):
            fault()
            return np.ones(3, np.float32)
        w, nargs = draw(st.sampled_from([1.0, np.ones(3, np.float32), None])), draw(st.sampled_from([1, 2]))
        kwds = {"w": w, "b": 0.0, "dfw": gradient, "dfb": gradient, "nargs": nargs}
    rooms = [g for g in grads if isinstance(g, np.ndarray)]
    before, again = everything(opt, rooms), pickle.loads(pickle.dumps(opt))
    try:
        opt.update(*grads, **kwds)
    except (TypeError, ValueError, Fault):
        assert everything(opt, rooms) == before
    else:
        assert opt.t == again.t + 1 and everything(opt, rooms)[1] == before[1]


@settings(max_examples=60)
@given(st.sampled_from(["SantaE", "SantaSSS"]), st.sampled_from([None, 1, 2]), st.integers(1, 7),
       st.sampled_from([Fault, KeyboardInterrupt, MemoryError]))
def test_a_generator_that_fails(name, t, count, error):
    opt, params = get_opt(name, rng=FaultyNoise(np.random.PCG64(1))), [np.ones(3), np.ones((2, 2), np.float32)]
    grads = [np.ones(3), np.ones((2, 2))]
    opt.step(params, grads)
    params.append(np.ones(4))
    grads.append(np.ones(4))
    before = everything(opt, params)
    opt.rng.fault = Countdown(count, error)
    needed = (3 if t == 1 else 1) + 3
    if count > needed:
        opt.step(params, grads, t=t)
        assert opt.t == (t or 2)
        return
    with pytest.raises(error):
        opt.step(params, grads, t=t)
    assert everything(opt, params) == before


class Misshapen(np.random.RandomState):
    def standard_normal(self, size=None):
        return super().standard_normal(1 if size == (2, 2) else size)


@pytest.mark.parametrize("t", [None, 1])
@pytest.mark.parametrize("name", ["SantaE", "SantaSSS"])
def test_a_generator_that_gives_too_little(name, t):
    opt, params = get_opt(name, rng=Misshapen(1)), {"a": np.ones(3)}
    opt.update(params, {"a": np.ones(3)})
    params["b"] = np.ones((2, 2))
    before = everything(opt, params.values())
    with pytest.raises(ValueError, match=r"noise of shape \(1,\) instead of \(2, 2\)"):
        opt.update(params, {"a": np.ones(3), "b": np.ones((2, 2))}, t=t)
    assert everything(opt, params.values()) == before


@settings(max_examples=60)
@given(st.sampled_from(RULES), st.integers(1, 12))
def test_keys_that_fail(rule, count):
    opt, fault = make(*rule), Countdown(0)
    key, p = FaultyKey(lambda: fault()), np.ones(3, np.float32)
    params, grads = {"a": p.copy(), key: p}, {"a": np.ones(3), key: np.ones(3)}
    t, before = 0, [a.tobytes() for a in params.values()]
    fault.left = count
    try:
        opt.update(params, grads)
    except Fault:
        assert opt.t == t and not any(opt._records) and [a.tobytes() for a in params.values()] == before
    else:
        assert opt.t == 1 and len(opt._records[0]) == 2


@settings(max_examples=80)
@given(st.data())
def test_spoilt_gradients_stay_with_their_elements(data):
    """NaN, infinity and what has an infinite square are no errors: the other elements are as if they were not there."""
    name, state_dtype = data.draw(each_rule)
    if name not in APART:                       # whose step is skipped
        return
    if state_dtype == "int8":                   # where a block shares a scale; tests/test_state_dtype.py has that
        return
    dtype = data.draw(st.sampled_from([np.float32, np.float16]))
    opts, params = [make(name, state_dtype) for _ in range(2)], [np.ones(40, dtype) for _ in range(2)]
    where, bad = data.draw(st.integers(0, 39)), data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e25]))
    for t in range(3):
        grad = numbers(40, np.float32, t)
        opts[0].step(params[0], grad)
        spoilt = grad.copy()
        if t == 1:
            spoilt[where] = bad
        opts[1].step(params[1], spoilt)
    rest = np.arange(40) != where
    assert_same_bits(params[1][rest], params[0][rest])
    for slot, values in opts[0].state[0].items():
        assert_same_bits(opts[1].state[0][slot][rest], values[rest])


# Steps that are skipped

@pytest.mark.parametrize("options", [
    {"clip_norm": 1.0}, {"clip_global_norm": 1.0}, {"clip_adaptive": 0.1}, {"groups": [group("b", clip_norm=1.0)]}],
    ids=lambda options: next(iter(options)))
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "state_dtype"), [("SGD", "float32"), ("Adam", "float32"), ("Adam", "int8"), (
    "Adam", "bfloat16"), ("Eve", "float32"), ("SantaE", "float32"), ("SantaSSS", "float32")])
def test_a_norm_that_is_not_finite(name, state_dtype, bad, options):
    """The step is skipped as a whole and counted; the next is as if it had not been. New parameters stay new."""
    opt, twin = (make(name, state_dtype, weight_decay=0.1, **options) for _ in range(2))
    params, same = ({"a": np.ones(3, np.float32), "b": np.ones((2, 2), np.float32), "c": np.full(5, 2, np.float16)}
                    for _ in range(2))
    grads = {key: numbers(p.shape, np.float32, 1) for key, p in params.items()}
    spoilt = {key: g.copy() for key, g in grads.items()}
    spoilt["b"][1, 1] = bad
    for t in range(3):
        before = opt.state_dict()
        bits = [p.tobytes() for p in params.values()]
        for count in (1, 2):
            with pytest.warns(RuntimeWarning, match=f"{opt.name}: the norm of a gradient is .*this step is skipped"):
                opt.step(params, spoilt)
            assert opt.skipped == 2 * t + count
            assert_same_state(opt.state_dict(), {**before, "skipped": 2 * t + count})
            assert [p.tobytes() for p in params.values()] == bits
        opt.step(params, grads)
        twin.step(same, grads)
    assert twin.skipped == 0 and opt.skipped == 6
    assert_same_state({**opt.state_dict(), "skipped": 0}, twin.state_dict())
    for key, p in params.items():
        assert_same_bits(p, same[key])


def test_a_skipped_step_leaves_plain_numbers_as_they_are():
    """An integer that was skipped stays an integer; a warning that is an error changes nothing else."""
    opt, params = get_opt("Adam", clip_global_norm=1.0), {"n": 3, "W": np.ones(2)}
    with pytest.warns(RuntimeWarning, match="skipped"):
        opt.step(params, {"n": np.nan, "W": np.ones(2)})
    assert type(params["n"]) is int and params["n"] == 3 and opt.t == 0 and not opt.state
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="skipped"):
            opt.step(params, {"n": np.nan, "W": np.ones(2)})
    assert type(params["n"]) is int and opt.t == 0 and opt.skipped == 2
    opt.step(params, {"n": 1.0, "W": np.ones(2)})
    assert type(params["n"]) is float and opt.t == 1


def test_what_is_left_out_has_no_part_in_the_global_norm():
    opt, p = get_opt("SGD", lr=1.0, clip_global_norm=1.0, groups=[group("f", freeze=True)]), {
        "a": np.zeros(1), "f": np.zeros(1), "n": np.zeros(1)}
    opt.step(p, {"a": np.full(1, 3.0), "f": np.full(1, np.nan), "n": None})
    assert p["a"] == -1 and p["f"] == 0 and p["n"] == 0 and opt.skipped == 0
