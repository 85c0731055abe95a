"""How optimizers are called: every form gives the same bits, takes any layout, and an error changes nothing at all."""
from collections import OrderedDict, UserDict
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.lib.stride_tricks import as_strided

import fastnn
from fastnn import get_opt
from fastnn.core.levels import usable
from helpers import APART, FLOATS, NOISY, assert_same_bits, beside, python, seeded, without_decay
from oracles.optimizers import ORACLES

NAMES = fastnn.optimizers()
CALM = [name for name in NAMES if name not in NOISY]
# For which each tensor is by itself
SEPARATE = [name for name in CALM if not ORACLES[name].joint]
# Without state, with state, with more than state. What concerns the engine alone is tried with these.
KINDS = ["SGD", "Adam", "Eve", "SantaE"]

each_float = pytest.mark.parametrize("dtype", FLOATS)
each_kind = pytest.mark.parametrize("name", KINDS)
each_name = pytest.mark.parametrize("name", NAMES)


def new(name, **hyperparameters):
    return get_opt(name, **seeded(name, np.random.RandomState(3)), **without_decay(name), **hyperparameters)


def numbers(shape, dtype=np.float64, seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def several(*shapes, dtype=np.float64, seed=0):
    return [numbers(shape, dtype, (seed, i)) for i, shape in enumerate(shapes)]


def named(arrays):
    return {f"p{i}": array for i, array in enumerate(arrays)}


def assert_same(got, wanted):
    for one, other in zip(got, wanted, strict=True):
        assert_same_bits(np.asarray(one), np.asarray(other))


@pytest.fixture
def threads():
    yield fastnn.set_num_threads
    fastnn.set_num_threads(None)


def add_deltas(opt, params, grads):
    for p, delta in zip(params, opt.update(*grads, **beside(opt, *params))):
        with np.errstate(invalid="ignore"):             # Santa may have exploded
            p += delta


# Forms of a step in place.
FORMS = {
    "update": lambda opt, p, g: opt.update(named(p), named(g)),
    "step of mappings": lambda opt, p, g: opt.step(named(p), named(g)),
    "step of lists": lambda opt, p, g: opt.step(p, g),
    "step of tuples": lambda opt, p, g: opt.step(tuple(p), g),
    "other mappings": lambda opt, p, g: opt.update(UserDict(named(p)), MappingProxyType(named(g))),
    "more gradients": lambda opt, p, g: opt.update(OrderedDict(named(p)), {"more": "unread", **named(g)}),
    "update of deltas": add_deltas,
}


@each_float
@each_name
def test_every_form_gives_the_same_bits(name, dtype):
    shapes = [(37, 19), (1030,)]
    outcomes = []
    for form in FORMS.values():
        opt, params = new(name), several(*shapes, dtype=dtype)
        for t in range(5):
            assert form(opt, params, several(*shapes, dtype=dtype, seed=t + 1)) is None
        assert opt.t == 5
        outcomes.append(params)
    for params in outcomes:
        assert_same(params, outcomes[0])


@each_float
@each_name
def test_single_arrays(name, dtype):
    opts, params = [new(name) for _ in range(4)], [numbers(70, dtype) for _ in range(4)]
    for t in range(4):
        grad = numbers(70, dtype, t)
        opts[0].step(params[0], grad)
        opts[1].step([params[1]], (grad,))
        opts[2].update({"w": params[2]}, {"w": grad})
        params[3] += opts[3].update(grad, **beside(opts[3], params[3]))
    assert_same(params, params[:1]*4)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("MoMo", "PolyakSGD")])    # whose rate f makes
def test_any_loop_can_pass_everything(name):
    opt, same, grads = new(name), new(name), several((5,), (3,))
    everything = {"f": 1.0, "w": grads[0], "b": grads[1], "dfw": np.cos, "dfb": np.sin, "nargs": 0}
    assert_same(opt.update(*grads, t=1, **everything), same.update(*grads, **beside(same, *grads)))


@pytest.mark.parametrize("name", SEPARATE)
def test_tensors_do_not_mix(name):
    """Both precisions, empty and 0-d among them, in one mapping: each as if it were alone."""
    shapes, dtypes = [(515,), (), (0, 3), (17,), (2, 513)], [np.float32, np.float64, np.float32, np.float64, np.float32]
    params, alone = ([numbers(shape, dtype) for shape, dtype in zip(shapes, dtypes)] for _ in range(2))
    grads = [numbers(p.shape, p.dtype, 1) for p in params]
    opt, opts = new(name), [new(name) for _ in params]
    for _ in range(4):
        opt.update(named(params), named(grads))
        for one, p, g in zip(opts, alone, grads):
            one.step(p, g)
    assert_same(params, alone)


@each_kind
def test_nothing_to_step(name):
    opt = new(name)
    for nothing in ({}, [], (), np.zeros(0), {"w": np.zeros((3, 0))}):
        opt.step(nothing, nothing)


@each_kind
def test_a_thousand_tensors(name):
    shapes = [(1 + i % 40, i % 7) for i in range(1000)]
    outcomes = []
    for form in FORMS.values():
        if form is not add_deltas:
            params, opt = several(*shapes), new(name)
            for seed in range(2):
                form(opt, params, several(*shapes, seed=seed))
            outcomes.append(params)
    for params in outcomes:
        assert_same(params, outcomes[0])


# Layouts: a view with the same values in other places; with it the memory that it lies in.

def holed(a, *steps):
    room = np.full([n*abs(step) for n, step in zip(a.shape, steps)], 99, a.dtype)
    view = room[tuple(slice(None, None, step) for step in steps)]
    view[...] = a
    return view


def unaligned(a):
    view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


LAYOUTS = {
    "C": np.array, "Fortran": np.asfortranarray, "unaligned": unaligned,
    "with gaps": lambda a: holed(a, *[2]*a.ndim), "rows with gaps": lambda a: holed(a, 3, *[1]*(a.ndim - 1)),
    "columns with gaps": lambda a: holed(a.T, 2, *[1]*(a.ndim - 1)).T,
    "backwards": lambda a: holed(a, *[-1]*a.ndim), "backwards with gaps": lambda a: holed(a, *[-3]*a.ndim),
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "mixed axes": lambda a: np.moveaxis(np.array(np.moveaxis(a, -1, a.ndim//2)), a.ndim//2, -1),
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
each_shape = pytest.mark.parametrize("shape", [(21,), (13, 47), (5, 1, 6, 7), (1, 1), (3, 0, 2)], ids=str)


def root(a):
    return a if a.base is None else root(a.base)


@each_shape
@each_layout
@each_kind
def test_layouts(name, layout, shape):
    for place in ("parameter", "gradient", "both"):
        opt, plain = new(name), new(name)
        p, q = layout(numbers(shape)) if place != "gradient" else numbers(shape), numbers(shape)
        for t in range(3):
            grad = numbers(shape, seed=t)
            given = layout(grad) if place != "parameter" else grad
            assert opt.step(p, given) is None
            plain.step(q, grad)
            assert_same_bits(np.asarray(given, float), grad)
        assert_same_bits(np.array(p, float, order="C"), q)
        if layout in (LAYOUTS["with gaps"], LAYOUTS["backwards with gaps"]) and place != "gradient":
            assert (root(p) == 99).sum() == root(p).size - p.size


@each_kind
def test_a_layout_may_change_between_steps(name):
    shape = (13, 47)
    opt, plain, value = new(name), new(name), numbers(shape)
    p = np.asfortranarray(value)
    for t, layout in enumerate([*LAYOUTS.values(), *reversed(LAYOUTS.values())]):
        grad = numbers(shape, seed=t)
        p = layout(p)
        opt.step(p, list(LAYOUTS.values())[-t % len(LAYOUTS)](grad))
        plain.step(value, grad)
        assert_same_bits(np.array(p, float, order="C"), value)


@each_layout
@each_kind
def test_layouts_of_gradients_that_become_deltas(name, layout):
    opt, plain = new(name), new(name)
    for t in range(3):
        grad = numbers((13, 47), seed=t)
        delta = opt.update(layout(grad))
        assert delta.dtype == np.float64 and delta.flags.writeable and delta.dtype.isnative
        assert_same_bits(delta, plain.update(grad))


@settings(max_examples=60)
@given(st.data())
def test_any_view(data):
    def view(seed):
        room = numbers((6, 40, 5), data.draw(st.sampled_from(FLOATS)), seed)
        room = room.transpose(data.draw(st.permutations(range(3))))
        return room[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1, -2]))) for _ in range(3))][:3, :3, :3]

    p, g = view(0), view(1)
    q, plain, opt = p.copy(order="C"), new("Adam"), new("Adam")
    outside = root(p).sum(dtype=np.longdouble) - p.sum(dtype=np.longdouble)
    for _ in range(2):
        opt.update({"w": p}, {"w": g})
        plain.update({"w": q}, {"w": np.array(g, p.dtype, order="C")})
    assert_same_bits(np.array(p, order="C"), q)
    assert abs(root(p).sum(dtype=np.longdouble) - p.sum(dtype=np.longdouble) - outside) < 1e-4


@each_kind
def test_zero_dimensions(name):
    opt, plain, p, q = new(name), new(name), np.array(0.7), np.array([0.7])
    for grad in (0.5, -2.0, 1.0):
        opt.update({"w": p}, {"w": grad})
        plain.step(q, np.array([grad]))
    assert p.shape == () and p == q[0]


@pytest.mark.parametrize("grad", [[1, -2, 0, 300], [True, False, True, True], np.array([1, 2, 3, 4], np.uint8),
                                  np.array([1, -2, 0.1, 5], np.float16), np.array([1, -2, 0.1, 5], np.float32),
                                  np.array([1, -2, 0.1, 5], np.float64), (0.5, 2, 1, 1), np.arange(4)[::-1]], ids=repr)
@each_float
def test_gradients_are_cast_to_the_parameter(dtype, grad):
    p, q = numbers(4, dtype), numbers(4, dtype)
    opt, plain = new("Adam"), new("Adam")
    for _ in range(3):
        opt.update({"w": p}, {"w": grad})
        plain.update({"w": q}, {"w": np.array(grad, dtype)})
    assert_same_bits(p, q)


@each_name
def test_gradients_and_mappings_are_never_changed(name):
    opt, params = new(name), named(several((30,), (3, 7), dtype=np.float32))
    arrays = dict(params)
    grads = named(several((30,), (3, 7), seed=1))
    before = {key: grad.copy() for key, grad in grads.items()}
    for grad in grads.values():
        grad.flags.writeable = False
    for _ in range(3):
        opt.update(params, grads)
    assert_same(grads.values(), before.values())
    assert all(params[key] is arrays[key] for key in arrays) and list(params) == list(arrays) and len(grads) == 2


@pytest.mark.parametrize("gradients", [
    lambda w, v, s: [w, v, s], lambda w, v, s: [v, w, s], lambda w, v, s: [w.T, v.T, s[::-1]],
    lambda w, v, s: [v[::-1], w[:, ::-1], s], lambda w, v, s: [v, v, w.ravel()[3:13]],
    lambda w, v, s: [s.base[:400].reshape(20, 20), s.base[1:401].reshape(20, 20), s.base[1:20:2]],
    lambda w, v, s: [np.broadcast_to(w[0], w.shape), np.broadcast_to(s[:1], w.shape), w[:10, 3]],
    lambda w, v, s: [w.astype(np.float32), w, np.broadcast_to(v[3, 3], (10,))],
    lambda w, v, s: [as_strided(w, w.shape, (8, 8)), w, s.base[:10]],
], ids=range(9))
@each_kind
def test_gradients_in_the_memory_of_parameters(name, gradients):
    """The gradient is what stood there before the step."""
    outcomes = []
    for copy in (False, True):
        opt, (w, v, room) = new(name), several((20, 20), (20, 20), (500,))
        s = room[:20:2]
        for _ in range(3):
            grads = gradients(w, v, s)
            opt.update(named([w, v, s]), named([np.array(grad) for grad in grads] if copy else grads))
        outcomes.append([w, v, room])
    assert_same(*outcomes)


@each_kind
def test_parameters_are_their_own_gradients(name):
    params, wanted = several((600,), (3, 7)), several((600,), (3, 7))
    new(name).step(params, params)
    new(name).step(wanted, several((600,), (3, 7)))
    assert_same(params, wanted)


@pytest.mark.parametrize("split", [
    lambda a: [a[:, i] for i in range(a.shape[1])], lambda a: [a[::-1, ::2], a[:, 1::2]], lambda a: [a[:7], a[7:]],
    lambda a: [a[:0], a[3:0], a], lambda a: [a[::2, ::2], a[1::2, ::2], a[::2, 1::2], a[1::2, 1::2]]])
def test_parameters_that_interleave_are_allowed(split):
    whole, apart = numbers((30, 300)), numbers((30, 300))
    params, grads = split(whole), split(numbers((30, 300), seed=1))
    copies = [np.array(p) for p in params]
    get_opt("Momentum").step(params, grads)
    get_opt("Momentum").step(copies, grads)
    assert_same([np.array(p) for p in params], copies)
    assert (whole != apart).all()


# State and step count.

@pytest.mark.parametrize("name", [name for name in SEPARATE if name != "Eve"])      # whose D needs every loss
def test_parameters_may_come_and_go(name):
    """State stays with the key, and so does the number of steps: a late parameter begins as if it were alone."""
    opt, params = new(name), named(several((30,), (5, 5), (600,)))
    present = [["p0"], ["p0", "p2"], ["p2"], ["p2", "p0", "p1"], ["p1", "p0"]]
    alone, wanted = {key: new(name) for key in params}, {key: p.copy() for key, p in params.items()}
    for t, keys in enumerate(present, 1):
        grads = {key: numbers(params[key].shape, seed=t) for key in keys}
        opt.update({key: params[key] for key in keys}, grads)
        for key in keys:
            alone[key].update({key: wanted[key]}, {key: grads[key]})
    assert_same(params.values(), wanted.values())
    assert set(opt.state) == set(params) and opt.t == 4 and [alone[key].t for key in params] == [4, 2, 3]


# scalars and generators are no arrays
@pytest.mark.parametrize("name", [name for name in NAMES if not get_opt(name).scalars and name != "NoisySGD"])
def test_state_can_be_carried_over(name):
    """An optimizer that is given another's state and t goes on with the same bits."""
    shapes = (30,), (4, 5)
    (first, second), p = (new(name, **{"burnin": 2} if "Santa" in name else {}) for _ in range(2)), several(*shapes)
    p[1] = np.asfortranarray(p[1])
    for t in range(3):
        first.step(p, several(*shapes, seed=t))
    q = [a.copy(order="K") for a in p]
    second.step(several(*shapes), several(*shapes, seed=9), t=first.t)
    for key, slots in first.state.items():
        for slot, values in slots.items():
            assert values.shape == p[key].shape or name not in APART
            second.state[key][slot][...] = values
    for t in range(3):
        for opt, params in ((first, p), (second, q)):
            opt.step(params, several(*shapes, seed=t))
    assert_same(p, q)


@each_name
def test_any_number_of_threads_gives_the_same_bits(name, threads):
    for shapes in ([(1_000_003,)], [(1 + 37*i % 5000,) for i in range(100)]):
        outcomes = []
        for count in (1, 2, 5):
            threads(count)
            opt, params = new(name), several(*shapes, dtype=np.float32)
            for seed in (1, 2):
                opt.step(params, several(*shapes, dtype=np.float32, seed=seed))
            outcomes.append(params)
        assert_same(outcomes[0], outcomes[1])
        assert_same(outcomes[0], outcomes[2])


def test_every_instruction_set_gives_the_same_bits():
    code = """import hashlib, numpy as np, test_optimizer_calls as calls
for name in calls.NAMES:
    for dtype in calls.FLOATS:
        opt, params = calls.new(name), calls.several((1000,), (7, 9), dtype=dtype)
        for seed in range(5):
            opt.step(params, calls.several((1000,), (7, 9), dtype=dtype, seed=seed))
        print(name, dtype.__name__, hashlib.md5(np.concatenate([p.ravel() for p in params])).hexdigest())"""
    done = [python(code, FASTNN_ISA=level) for level in usable()]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")]*len(done)
    assert len({one.stdout for one in done}) == 1


def test_an_element_gets_the_same_bits_wherever_it_lies():
    value, grad = np.float32(0.7123), np.float32(0.0371)
    for name in set(CALM) & set(APART):
        opt, p = new(name), np.full(1031, value)
        parts = {n: np.full(n, value) for n in range(40)}
        for _ in range(7):
            opt.update({"w": p, **parts}, {key: np.full(a.shape, grad) for key, a in {"w": p, **parts}.items()})
        assert len({a.tobytes() for part in (p, *parts.values()) for a in part}) == 1, name


def test_optimizers_run_side_by_side_in_threads():
    def train(seed):
        opt, params = get_opt("Adam"), several((200, 300), (70_000,), seed=seed)
        for t in range(10):
            opt.step(params, several((200, 300), (70_000,), seed=t))
        return params

    with ThreadPoolExecutor(4) as pool:
        for got, seed in zip(pool.map(train, range(8)), range(8)):
            assert_same(got, train(seed))


# Errors.

def everything(opt, arrays):
    """All that a step can change, as bytes."""
    rng = vars(opt).get("rng")
    return (opt.t, repr(opt), [root(a).tobytes() for a in arrays], rng is not None and str(rng.get_state(legacy=False)),
            {key: {slot: value.tobytes() for slot, value in slots.items()} for key, slots in opt.state.items()})


def shut(a):
    a.flags.writeable = False
    return a


def put(**replaced):
    """A call of `update` with some parameters or gradients replaced by functions of what stood there."""
    def call(opt, params, grads):
        for key, value in replaced.items():
            (grads if key.startswith("grad_") else params)[key.removeprefix("grad_")] = value(params)
        opt.update(params, grads)
    return call


def said(**kwds):
    return lambda opt, params, grads: opt.update(params, grads, **kwds)


def many():
    return {i: np.ones(3) for i in range(500)}


SHAPES = {"a": (4, 5), "b": (6,), "c": (7,)}
ROOM = numbers((50,), seed=9)
BAD = {
    "gradient missing": (lambda opt, p, g: opt.update(p, {"a": g["a"], "b": g["b"]}), KeyError, "'c'"),
    "no gradients": (lambda opt, p, g: opt.update(p, {}), KeyError, "'a'"),
    "gradient of another shape": (put(grad_c=lambda p: np.ones(8)), ValueError, r"'c'.*\(8,\).*\(7,\)"),
    "gradient to be broadcast": (put(grad_c=lambda p: np.ones(1)), ValueError, "'c'"),
    "number for a gradient": (put(grad_c=lambda p: 1.0), ValueError, "'c'"),
    "gradient transposed": (put(grad_a=lambda p: np.ones((5, 4))), ValueError, "'a'"),
    "complex gradient": (put(grad_c=lambda p: np.ones(7)*1j), TypeError, "complex128"),
    "gradient of strings": (put(grad_c=lambda p: ["1"]*7), TypeError, "<U1"),
    "gradient of objects": (put(grad_c=lambda p: np.ones(7, object)), TypeError, "object"),
    "gradient of long doubles": (put(grad_c=lambda p: np.ones(7, np.longdouble)), TypeError, None),
    "gradient of dates": (put(grad_c=lambda p: np.ones(7, "m8[s]")), TypeError, "timedelta"),
    "ragged gradient": (put(grad_c=lambda p: [[1.0], 2.0]), ValueError, None),
    "read-only parameter": (put(c=lambda p: shut(p["c"].copy())), ValueError, "'c' is read-only"),
    "integers": (put(c=lambda p: np.arange(7)), TypeError, "'c' must be float32, .* not int64"),
    "long doubles": (put(c=lambda p: np.ones(7, np.longdouble)), TypeError, "'c' must be"),
    "complex parameter": (put(c=lambda p: np.ones(7, complex)), TypeError, "'c'.*complex"),
    "list and array": (put(c=lambda p: [1.0]*7), TypeError, "gradients of 'c' must be a list or tuple"),
    "bool": (put(c=lambda p: True, grad_c=lambda p: 1.0), TypeError, "'c' must be a NumPy array"),
    "NumPy integer": (put(c=lambda p: np.int64(1), grad_c=lambda p: 1.0), TypeError, "'c' must be a NumPy array"),
    "one array twice": (put(d=lambda p: p["b"], grad_d=lambda p: np.ones(6)), ValueError, "'b' and 'd' share"),
    "overlapping slices": (put(b=lambda p: ROOM[:6], c=lambda p: ROOM[5:12]), ValueError, "'b' and 'c' share"),
    "a slice within": (put(b=lambda p: ROOM[20:26], c=lambda p: ROOM[19:40:3]), ValueError, "share memory"),
    "slices from both ends": (put(b=lambda p: ROOM[10:4:-1], c=lambda p: ROOM[3:17:2]), ValueError, "share memory"),
    "shared bytes": (put(b=lambda p: ROOM[:6], c=lambda p: ROOM.view("u1")[44:100].view(float)), ValueError, "share"),
    "overlap within": (put(c=lambda p: as_strided(ROOM, (7,), (4,))), ValueError, "'c' share memory"),
    "broadcast parameter": (put(c=lambda p: as_strided(ROOM, (7,), (0,))), ValueError, "'c' share memory"),
    "overlap of rows": (put(a=lambda p: as_strided(ROOM, (4, 5), (16, 8))), ValueError, "'a' share memory"),
    "step 0": (said(t=0), ValueError, "t counts from 1, not 0"),
    "step -3": (said(t=-3), ValueError, "t counts from 1"),
    "step 1.5": (said(t=1.5), TypeError, "t must be an integer, not 1.5"),
    "step of words": (said(t="1"), TypeError, "t must be an integer"),
    "unknown keyword": (said(narg=2), TypeError, r"'narg' \(did you mean nargs\?\)"),
    "too many arguments": (lambda opt, p, g: opt.update(p, g, *range(1, 20)), TypeError, "at most"),
    "t twice": (lambda opt, p, g: opt.update(p, g, 1, t=1), TypeError, "t twice"),
    "mapping and array": (lambda opt, p, g: opt.update(p, g["a"]), TypeError, "two mappings"),
    "array and mapping": (lambda opt, p, g: opt.step(p["a"], g), TypeError, "two mappings or"),
    "mapping and list": (lambda opt, p, g: opt.step(p, list(g.values())), TypeError, "two mappings or"),
    "mapping alone": (lambda opt, p, g: opt.update(g), TypeError, "gradients are missing"),
    "unequal lengths": (lambda opt, p, g: opt.step([*p.values()], [g["a"]]), ValueError, "3 parameters, but 1"),
    "array and list": (lambda opt, p, g: opt.step(p["c"], [1.0]*7), TypeError, "two mappings or"),
    "bad position": (lambda opt, p, g: opt.step([p["b"], shut(p["c"].copy())], [*g.values()][1:]), ValueError, "1 is"),
    "delta of complex numbers": (lambda opt, p, g: opt.update(g["a"], 1j), TypeError, "complex"),
    "delta of strings": (lambda opt, p, g: opt.update("gradient"), TypeError, None),
    "delta of nothing": (lambda opt, p, g: opt.update(g["a"], None), TypeError, None),
    "last of many": (lambda opt, p, g: opt.update({**many(), "z": "1"}, {**many(), "z": [1]}), TypeError, "'z'"),
}
# of parameters that have state
STATEFUL = {
    "another shape": (put(c=lambda p: np.ones(8), grad_c=lambda p: np.ones(8)), ValueError, "'c' had shape.*forget"),
    "another dtype": (put(c=lambda p: p["c"].astype(np.float32)), ValueError, "'c' had dtype float64, now float32"),
}


@pytest.mark.parametrize(("name", "fault"), [*((name, fault) for name in KINDS for fault in BAD),
                                             *((name, fault) for name in KINDS[1:] for fault in STATEFUL)])
def test_an_error_changes_nothing(name, fault):
    call, error, message = (BAD | STATEFUL)[fault]
    for steps in (0, 2):
        if steps == 0 and fault in STATEFUL:
            continue                                    # a first step accepts them
        opt, params = new(name), {key: numbers(shape) for key, shape in SHAPES.items()}
        twin, same = new(name), {key: numbers(shape) for key, shape in SHAPES.items()}
        for one, its in ((opt, params), (twin, same)):
            for t in range(steps):
                one.update(its, {key: numbers(shape, seed=t) for key, shape in SHAPES.items()})
        arrays, grads = [*params.values(), ROOM], {key: numbers(shape, seed=7) for key, shape in SHAPES.items()}
        before = everything(opt, arrays)
        with pytest.raises(error, match=message):
            call(opt, dict(params), dict(grads))
        assert everything(opt, arrays) == before
        opt.update(params, grads)
        twin.update(same, grads)
        assert_same(params.values(), same.values())


@each_name
def test_a_first_gradient_fixes_shape_and_dtype(name):
    if not get_opt(name).slots:
        return                                          # no state, nothing to fit
    opt = new(name)
    opt.update(np.ones((2, 3)), 1.0, **beside(opt, np.ones((2, 3)), 1.0))
    before = everything(opt, [])
    for grads in ([np.ones(6), 1.0], [np.ones((2, 3)), np.ones(1)], [np.ones((2, 3), np.float32), 1.0]):
        with pytest.raises(ValueError, match="had"):
            opt.update(*grads, **beside(opt, *grads))
        assert everything(opt, []) == before


@pytest.mark.parametrize("anneal", [lambda t, rate: 1/(t - 3), lambda t, rate: 3.0 - t, lambda t, rate: float("nan"),
                                    lambda t, rate: "hot", lambda t: t])
@pytest.mark.parametrize("name", ["SantaE", "SantaSSS"])
def test_a_failing_annealing_changes_nothing(name, anneal):
    def later(t, rate):
        return t**rate if t < 3 else anneal(t, rate)

    opt, params = new(name, anne_func=later), several((5,))
    for _ in range(2):
        opt.step(params, [np.ones(5)])
    before = everything(opt, params)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        opt.step([*params, np.zeros(3)], [np.ones(5), np.ones(3)])
    assert everything(opt, params) == before


def test_a_gradient_that_does_not_fit_float32_is_infinite():
    opt, params = get_opt("SGD"), several((3,), (3,), dtype=np.float32)
    opt.step(params, [np.zeros(3), np.full(3, 1e300)])
    assert (params[1] == -np.inf).all()


class Raises(UserDict):
    def __getitem__(self, key):
        if key == "c":
            raise OSError("the file is gone")
        return super().__getitem__(key)


@pytest.mark.parametrize("wrap", [lambda p, g: (Raises(p), g), lambda p, g: (p, Raises(g))])
def test_a_mapping_that_fails_changes_nothing(wrap):
    opt, params = get_opt("Adam"), {key: np.ones(shape) for key, shape in SHAPES.items()}
    with pytest.raises(OSError, match="the file is gone"):
        opt.update(*wrap(params, {key: np.ones(shape) for key, shape in SHAPES.items()}))
    assert opt.t == 0 and opt.state == {} and all((p == 1).all() for p in params.values())


@each_name
def test_unknown_hyperparameters(name):
    for known in signature(type(get_opt(name))).parameters:
        with pytest.raises(TypeError, match=rf"no hyperparameter '{known}x' \(did you mean .*{known}"):
            get_opt(name, **{known + "x": 1})


# Calls that other libraries' habits suggest: they work or raise, and never become something else.

def test_rows_of_a_matrix_that_is_known():
    E, opt = numbers((5, 3)), new("Adam")
    opt.step(E[1], np.ones(3))
    before = E.copy()
    for rows, message in ((E[2], "part of an array.*another part"), (E[2:4], "part of an array.*another part"),
                          (E, "had shape")):
        with pytest.raises(ValueError, match=message):
            opt.step(rows, np.ones(rows.shape))
    assert_same([E], [before])
    opt.step(E[1], np.ones(3))                          # another view of the same row
    assert opt.t == 2
    opt = new("Adam")
    opt.step({"E": E}, {"E": before})
    with pytest.raises(ValueError, match="'E' was a part of an array"):
        opt.step({"E": E[0]}, {"E": before[0]})


def test_rules_without_state_step_any_rows():
    E, opt = np.ones((5, 3)), new("SGD", eta=1.0)
    opt.step(E[1], np.ones(3))
    opt.step(E[2:4], np.ones((2, 3)))
    assert_same([E.sum(axis=1)], [np.array([3.0, 0, 0, 0, 3])])


@pytest.mark.parametrize("x", [1.0, 1, np.float64(1), np.float32(1)])
def test_a_number_cannot_be_stepped_alone(x):
    opt = new("SGD")
    with pytest.raises(TypeError, match="a number cannot be changed in place.*step"):
        opt.step(x, 2.0)
    assert opt.t == 0


@pytest.mark.parametrize(("first", "second"), [([1.0, 2.0], np.ones(2)), (np.ones(2), [1.0, 2.0])])
def test_a_list_beside_an_array_is_no_pair_of_gradients(first, second):
    with pytest.raises(TypeError, match="two mappings or as two sequences"):
        new("SGD").update(first, second)


@pytest.mark.parametrize("alone", [[1.0, 2.0], [np.ones(2), np.ones(3)], {"a": 1.0}, ()])
def test_one_sequence_alone(alone):
    with pytest.raises(TypeError, match="update was given one"):
        new("SGD").update(alone)


def test_a_group_may_fit_what_an_earlier_one_takes():
    params = {"W": np.ones((2, 2)), "b": np.ones(2)}
    opt = new("Adam", groups=[fastnn.group("b*", weight_decay=0), fastnn.group(lambda key, p: p.ndim < 2, lr=0.1)])
    opt.step(params, {key: p.copy() for key, p in params.items()})
    assert opt.t == 1


def test_a_group_that_fits_nothing_is_found_in_loops_over_parameters_too():
    params, opt = {"W": np.ones(2), "b": np.ones(2)}, new("Adam", groups=[fastnn.group("embeding", freeze=True)])
    for key, p in params.items():
        opt.step({key: p}, {key: np.ones(2)})
    with pytest.raises(ValueError, match="embeding.*fits none"):
        opt.step({"W": params["W"]}, {"W": np.ones(2)})
    assert opt.t == 1
