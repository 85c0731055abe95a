"""Rows as gradients: the lazy form of every rule is the dense step on the table of these rows alone."""
import copy
import pickle
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import fastnn
from fastnn import Rows, dlfs, get_opt, group, schedules
from fastnn.nn import MultiLayerNet, Trainer
from fastnn.nn.finite import all_finite, clip_grad_norm
from fastnn.optimizers import _registry
from helpers import HANG, SANITIZED, assert_same_bits, python
from test_state import BOOK, DIALECT, assert_same_state, bfloat16, make

RULES = [*fastnn.optimizers(), *DIALECT, *BOOK]
LAZY = [name for name in RULES if type(make(name)).lazy]
WIDTHS = [(), (1,), (3,), (16,), (100,), (2, 33), (513,)]
FLOATS = [np.float32, np.float64, np.float16, bfloat16]
MANY = 40                   # rows of a table


def computed(dtype):
    return np.float64 if dtype == np.float64 else np.float32


def table(width=(5,), dtype=np.float64, rows=MANY, seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal((rows, *width))).astype(dtype)


def named(rng, rows, times):
    """The rows in some order, some of them a second and third time."""
    return rng.permutation(np.concatenate([rows, rng.choice(rows, times)]))


def sums(rows, indices, values, dtype):
    """What a dense gradient of the table of `rows` alone is, in the dtype computed in."""
    place = {row: i for i, row in enumerate(rows.tolist())}
    found, seen = np.zeros((len(rows), *values.shape[np.ndim(indices):]), dtype), set()
    flat = np.asarray(values).astype(dtype).reshape(-1, *found.shape[1:])
    for row, value in zip(np.ravel(indices).tolist(), flat):
        i = place[row]
        found[i] = found[i] + value if row in seen else value
        seen.add(row)
    return found


def walk(name, width, dtype, steps=6, given=None, **kwds):
    """(the table, its optimizer), and the same of the table of some rows alone, stepped by dense gradients."""
    rng = np.random.default_rng((len(width), 7))
    W, rows = table(width, dtype), rng.permutation(MANY)[:7]
    small, opt, dense = W[rows], make(name, **kwds), make(name, **kwds)
    for t in range(1, steps + 1):
        indices = named(rng, rows, 5) if t % 3 else rows[rng.permutation(7)]
        values = rng.standard_normal((len(indices), *width)).astype(given or dtype)
        opt.step({"W": W}, {"W": Rows(indices, values)}, f=1 / t)
        dense.step({"W": small}, {"W": sums(rows, indices, values, computed(W.dtype))}, f=1 / t)
    return W, opt, rows, small, dense


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LAZY)
def test_a_step_is_the_dense_step_of_these_rows(name, dtype):
    for width in WIDTHS:
        untouched = table(width, dtype)
        W, opt, rows, small, dense = walk(name, width, dtype)
        assert_same_bits(W[rows], small, width)
        others = np.setdiff1d(np.arange(MANY), rows)
        assert_same_bits(W[others], untouched[others], width)
        first = type(opt).slots
        for slot, values in opt.state["W"].items():
            assert_same_bits(values[rows], dense.state["W"][slot], (width, slot))
            assert (values[others] == first[slot]).all()
        assert opt.t == dense.t == 6


@pytest.mark.parametrize("given", [np.float16, bfloat16, np.float32, np.float64, np.int32, np.uint8])
@pytest.mark.parametrize("dtype", FLOATS)
def test_values_of_another_dtype_are_computed_in_the_parameters(dtype, given):
    for width in [(3,), (100,)]:
        W, _, rows, small, _ = walk("Adam", width, dtype, given=given)
        assert_same_bits(W[rows], small)


OPTIONS = [
    {"weight_decay": 0.1}, {"l2": 0.1}, {"l1": 0.1}, {"clip_value": 0.5}, {"clip_norm": 1.5}, {"clip_global_norm": 1.5},
    {"maximize": True, "grad_scale": 0.5}, {"lr": schedules.linear(0.1, 4)},
    {"weight_decay": 0.1, "l2": 0.2, "clip_norm": 2},
    {"groups": [group("W", lr=0.5, weight_decay=0.1)]}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options))
@pytest.mark.parametrize("name", ["SGD", "Adam", "Momentum"])
def test_options_concern_these_rows(name, options):
    for width in [(3,), (100,)]:
        W, _, rows, small, _ = walk(name, width, np.float64, **copy.deepcopy(options))
        np.testing.assert_allclose(W[rows], small, rtol=1e-13, atol=1e-15)     # norms are sums in another order
        assert_same_bits(np.delete(W, rows, 0), np.delete(table(width), rows, 0))


def test_norms_are_those_of_the_sums():
    """Two gradients of one row that cancel have no norm."""
    W, other = np.zeros((4, 3)), np.zeros(3)
    opt = get_opt("SGD", lr=1, clip_global_norm=1.0)
    opt.step({"W": W, "b": other}, {"W": Rows([1, 1], [[100.0, 0, 0], [-100, 0, 0]]), "b": np.array([3.0, 0, 4])})
    np.testing.assert_allclose(other, [-0.6, 0, -0.8])
    assert not W.any()
    with pytest.warns(RuntimeWarning, match="skipped"):
        opt.step({"W": W, "b": other}, {"W": Rows([1], [[np.inf, 0, 0]]), "b": np.ones(3)})
    assert opt.skipped == 1 and opt.t == 1 and not W.any()
    opt.step({"W": W, "b": other}, {"W": Rows([2], [[1, 0, 0]]), "b": np.zeros(3)})
    assert opt.t == 2 and W[2, 0] == -1


@pytest.mark.parametrize("name", ["SGD", "AdaGrad", "Adam", "SMORMS3"])
def test_other_gradients_in_turn(name):
    """The same parameter with an array as gradient, Rows, None and Rows of no row."""
    rng, W = np.random.default_rng(1), table((20,))
    plain, opt, dense = W.copy(), get_opt(name, lr=0.1), get_opt(name, lr=0.1)
    every = np.arange(MANY)
    for t in range(12):
        values = rng.standard_normal(W.shape)
        order = rng.permutation(MANY)
        grad = [values, Rows(order, values[order]), Rows(every, values), None][t % 4]
        opt.step([W], [grad])
        dense.step([plain], [None if grad is None else values])
        if t == 5:
            before = W.copy()
            opt.step([W], [Rows(np.zeros(0, int), np.zeros((0, 20)))])
            assert_same_bits(W, before)
            dense.load_state_dict(opt.state_dict())
    assert_same_bits(W, plain)
    assert_same_state(opt.state_dict(), dense.state_dict())


def test_no_rows_are_a_step():
    W, opt = np.ones((4, 3)), get_opt("Adam")
    for indices in ([], np.zeros((0, 2), np.int32)):
        opt.step({"W": W}, {"W": Rows(indices, np.zeros((*np.shape(indices), 3)))})
    assert opt.t == 2 and (W == 1).all() and not opt.state["W"]["m"].any()


@pytest.mark.parametrize("shape", [(), (1,), (6,), (2, 3), (1, 2, 0)])
def test_indices_have_any_shape(shape):
    rng = np.random.default_rng(3)
    for width in [(), (4,), (2, 3)]:
        W, plain = table(width), table(width)
        indices, values = rng.integers(0, MANY, shape), rng.standard_normal((*shape, *width))
        get_opt("SGD", lr=0.5).step([W], [Rows(indices, values)])
        np.add.at(plain, indices, -0.5 * values)
        np.testing.assert_allclose(W, plain, atol=1e-14)


@pytest.mark.parametrize("code", ["i1", "u2", "i4", ">i8", "u8", "intp"])
def test_indices_of_any_integers(code):
    W = np.zeros((200, 2))
    get_opt("SGD", lr=1).step([W], [Rows(np.arange(100, 60, -1).astype(code)[::2], np.ones((20, 2)))])
    assert W.sum() == -40 and (W[62:101:2] == -1).all()


def test_structures():
    """Rows are leaves in mappings, sequences, nested ones, and alone, beside arrays."""
    def pair():
        return Rows([2, 0, 2], np.ones((3, 2))), np.array([[-2.0, -2], [0, 0], [-4, -4]])
    for form in (lambda a: {"E": a[0], "b": a[1]}, lambda a: a, tuple, lambda a: a[0],
                 lambda a: {"x": [a[0]], "y": (a[1], {"z": a[2]})}):
        arrays = [np.zeros((3, 2)), np.zeros(2), np.zeros((5, 2, 2))]
        grads = [pair()[0], np.ones(2), Rows(1, np.ones((2, 2)))]
        opt = get_opt("SGD", lr=2)
        for _ in range(3):
            opt.step(form(arrays), form(grads))
        assert_same_bits(arrays[0], 3 * pair()[1])
        assert arrays[1].any() == (form is not None and not isinstance(form(arrays), np.ndarray))
    opt.update({"E": arrays[0]}, {"E": pair()[0]})
    get_opt("Adam").update([arrays[0]], [pair()[0]])


def test_groups_and_ages():
    params = {"E": np.zeros((4, 2)), "frozen": np.zeros((4, 2)), "late": np.zeros((4, 2))}
    opt = get_opt("Adam", lr=1, groups=[group("frozen", freeze=True)])
    rows = Rows([1], np.ones((1, 2)))
    for t in range(5):
        opt.step(params, {"E": rows, "frozen": rows, "late": rows if t == 4 else None})
    np.testing.assert_allclose(params["late"][1], -1)           # the first step of Adam, whenever it comes
    np.testing.assert_allclose(params["E"][1], -5)
    assert not params["frozen"].any() and opt.t == 5


def test_rows_that_lie_in_the_parameter():
    for values in (lambda W: W[:3], lambda W: W[::2][:3], lambda W: W[2:5]):
        W, plain = table(), table()
        opt = get_opt("SGD", lr=0.5)
        for _ in range(3):
            copied = values(plain).copy()
            plain[[4, 0, 2]] -= 0.5 * copied
            opt.step([W], [Rows([4, 0, 2], values(W))])
            assert_same_bits(W, plain)


def test_indices_are_kept_and_values_are_not_changed():
    indices, values, W = np.array([1, 1, 3]), np.ones((3, 5)), np.zeros((4, 5))
    rows = Rows(indices, values)
    indices[:] = 99
    opt = get_opt("SGD", lr=1)
    opt.step([W], [rows])
    opt.step([W], [rows])
    assert W.sum() == -30 and (W[1] == -4).all() and (values == 1).all()
    assert rows.indices.tolist() == [1, 1, 3] and len(rows) == 3 and not rows.values.flags.writeable
    for view in (rows.indices, rows.values):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 5
    for one in (pickle.loads(pickle.dumps(rows)), copy.copy(rows), copy.deepcopy(rows)):
        assert_same_bits(one.indices, rows.indices)
        assert_same_bits(one.values, rows.values)
    array = np.array
    assert_same_bits(eval(repr(rows), {"Rows": Rows, "array": array}).values, rows.values)


def test_each_element_by_itself():
    W = np.ones((4, 3))
    get_opt("AdaGrad", lr=1).step([W], [Rows([1, 2, 2], [[np.nan, 1, 0], [np.inf, 1, 1], [-np.inf, 1, 1]])])
    assert np.isnan(W[[1, 2], 0]).all() and np.isfinite(np.delete(W.ravel(), [3, 6])).all() and W[1, 2] == 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", [(3,), (100,)])
def test_the_same_bits_for_any_number_of_threads(width, dtype):
    rng, found = np.random.default_rng(5), []
    indices = rng.integers(0, 3000, (5, 2000))
    values = rng.standard_normal((5, 2000, *width)).astype(dtype)
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2, 5):
            fastnn.set_num_threads(threads)
            W, opt = np.ones((3000, *width), dtype), get_opt("Adam", clip_norm=1.0, l2=0.1)
            for i, v in zip(indices, values):
                opt.step([W], [Rows(i, v)])
            found.append((W, opt.state[0]["v"].copy()))
    finally:
        fastnn.set_num_threads(before)
    for W, v in found[1:]:
        assert_same_bits(W, found[0][0])
        assert_same_bits(v, found[0][1])


def lazily(name, W, state, rows, g, t):
    """A step of the rule, in NumPy, on these rows."""
    if name == "Momentum":
        state["v"][rows] = 0.9 * state["v"][rows] - 0.01 * g
        W[rows] += state["v"][rows]
    else:
        m = state["m"][rows] = 0.9 * state["m"][rows] + 0.1 * g
        v = state["v"][rows] = 0.999 * state["v"][rows] + 0.001 * g**2
        W[rows] -= 0.001 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Adam"])
@settings(max_examples=60)
@given(data=st.data())
def test_any_rows(name, data):
    """Many calls of one optimizer, each with other rows: what it keeps from call to call must not matter."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = data.draw(st.sampled_from([(1, 3), (9, 1), (300,), (50, 17), (200, 33)]))
    dtype = data.draw(st.sampled_from(FLOATS)) if name == "SGD" else np.float64
    W, plain, opt = np.ones(shape, dtype), np.ones(shape, dtype), get_opt(name)
    state = {"m": np.zeros(shape), "v": np.zeros(shape)}
    for t in range(1, 6):
        indices = rng.integers(0, data.draw(st.integers(1, shape[0])), data.draw(st.integers(0, 400)))
        if data.draw(st.booleans()):
            indices = np.unique(indices)
        values = rng.standard_normal((len(indices), *shape[1:])).astype(data.draw(st.sampled_from(FLOATS)))
        opt.step({"W": W}, {"W": Rows(indices, values)})
        rows = np.unique(indices)
        g = sums(rows, indices, values, computed(W.dtype))
        if name != "SGD":
            lazily(name, plain, state, rows, g, t)
            np.testing.assert_allclose(W, plain, rtol=1e-13)
            continue
        dense = np.zeros(shape, computed(W.dtype))
        dense[rows] = g
        get_opt(name).step([plain], [dense])
        assert_same_bits(W, plain)


# What is refused

GOOD = Rows([1], np.ones((1, 3)))
BAD = {
    "out of range": (lambda: Rows([0, 4], np.ones((2, 3))), ValueError, "row 4.*has 4 rows"),
    "far out of range": (lambda: Rows([0, 2**62], np.ones((2, 3))), ValueError, "row 4611686018427387904"),
    "negative": (lambda: Rows([0, -1], np.ones((2, 3))), ValueError, "-1 is negative"),
    "fractions": (lambda: Rows([0.5], np.ones((1, 3))), TypeError, "integers, not float64"),
    "whole floats": (lambda: Rows([1.0], np.ones((1, 3))), TypeError, "integers, not float64"),
    "NaN": (lambda: Rows([1, np.nan], np.ones((2, 3))), ValueError, "NaN"),
    "a mask": (lambda: Rows([True, False], np.ones((2, 3))), TypeError, "np.flatnonzero"),
    "text": (lambda: Rows(["a"], np.ones((1, 3))), TypeError, "integers, not <U1"),
    "times": (lambda: Rows(np.array([1], "m8[s]"), np.ones((1, 3))), TypeError, "integers"),
    "huge": (lambda: Rows(np.array([2**64 - 1], np.uint64), np.ones((1, 3))), ValueError, f"no row {2**64 - 1}"),
    "beyond integers": (lambda: Rows([2**70], np.ones((1, 3))), TypeError, "integers, not object"),
    "too few values": (lambda: Rows([0, 1], np.ones((1, 3))), ValueError, r"\(1, 3\), must begin with.*\(2,\)"),
    "too many values": (lambda: Rows([0], np.ones((2, 3))), ValueError, "must begin with"),
    "no values": (lambda: Rows([0], 1.0), ValueError, "must begin with"),
    "too narrow": (lambda: Rows([0], np.ones((1, 2))), ValueError, r"needs \(1, 3\)"),
    "too wide": (lambda: Rows([0], np.ones((1, 4))), ValueError, r"needs \(1, 3\)"),
    "a number for a row": (lambda: Rows([0], np.ones(1)), ValueError, r"needs \(1, 3\)"),
    "an axis too many": (lambda: Rows([0], np.ones((1, 3, 1))), ValueError, r"needs \(1, 3\)"),
    "complex": (lambda: Rows([0], np.ones((1, 3), complex)), TypeError, "complex128"),
    "objects": (lambda: Rows([0], np.ones((1, 3), object)), TypeError, "object"),
    "long doubles": (lambda: Rows([0], np.ones((1, 3), np.longdouble)), TypeError, "longdouble|float128|real numbers")
    if np.dtype(np.longdouble).itemsize > 8 else (lambda: Rows([0], "x"), TypeError, "values"),
}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("what", BAD)
def test_bad_rows_change_nothing(what, again):
    bad, error, message = BAD[what]
    params = {"a": np.ones((4, 3)), "W": np.ones((4, 3)), "z": np.ones(2)}
    opt = get_opt("Adam", clip_global_norm=1.0)
    if again:                               # the way of the second step and those after
        for _ in range(2):
            opt.step(params, {"a": GOOD, "W": GOOD, "z": np.ones(2)})
    before, state = copy.deepcopy(params), opt.state_dict()
    with pytest.raises(error, match=message):
        opt.step(params, {"a": GOOD, "W": bad(), "z": np.ones(2)})
    for key, p in params.items():
        assert_same_bits(p, before[key])
    assert_same_state(opt.state_dict(), state)
    opt.step(params, {"a": GOOD, "W": GOOD, "z": np.ones(2)})
    assert opt.t == 1 + 2 * again


@pytest.mark.parametrize("name", [name for name in RULES if name not in LAZY])
def test_rules_without_a_lazy_form_say_so(name):
    W, opt = np.ones((4, 3)), make(name)
    with pytest.raises(TypeError, match="no lazy form"):
        opt.step({"W": W}, {"W": GOOD})
    assert (W == 1).all() and opt.t == 0
    opt.step({"W": W}, {"W": np.ones((4, 3))})
    assert opt.t == 1


def test_these_are_lazy():
    busy = {name for name in fastnn.optimizers() if not _registry[name].lazy and _registry[name].elementwise}
    assert busy == {"ASGD", "NAG", "NoisySGD", "SantaE", "SantaSSS"}
    assert len(LAZY) >= 16 and all(getattr(dlfs, name).lazy for name in dlfs.__all__)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda W: get_opt("Adam").update(GOOD), TypeError, "step\\(params, grads\\)"),
    (lambda W: get_opt("Adam").update(W, GOOD), TypeError, "step\\(params, grads\\)"),
    (lambda W: get_opt("Adam").update(np.ones(3), GOOD, w=np.ones(3), b=W), TypeError, "step\\(params, grads\\)"),
    (lambda W: get_opt("Adam", clip_adaptive=0.1).step(W, GOOD), TypeError, "clip_adaptive needs the whole"),
    (lambda W: get_opt("Adam", centralize=True).step(W, GOOD), TypeError, "centralize needs the whole"),
    (lambda W: get_opt("Adam", groups=[group("W", centralize=True)]).step({"W": W}, {"W": GOOD}), TypeError, "'W'"),
    (lambda W: get_opt("Adam", state_dtype="int8").step(W.astype("f4"), GOOD), TypeError, "'int8'.*'float32'"),
    (lambda W: get_opt("Adam", state_dtype="bfloat16").step(W.astype("f4"), GOOD), TypeError, "'bfloat16'"),
    (lambda W: get_opt("SGD").step(np.asfortranarray(W), GOOD), ValueError, "contiguous"),
    (lambda W: get_opt("SGD").step(np.ones((4, 6))[:, ::2], GOOD), ValueError, "contiguous"),
    (lambda W: get_opt("SGD").step(np.ones((8, 3))[::2], GOOD), ValueError, "contiguous"),
    (lambda W: get_opt("SGD").step(W.astype(">f8") if sys.byteorder == "little" else W.astype("<f8"), GOOD), ValueError,
     "native"),
    (lambda W: get_opt("SGD").step({"x": 1.0}, {"x": GOOD}), ValueError, "'x' has no axis"),
    (lambda W: get_opt("SGD").step({"x": [W]}, {"x": GOOD}), TypeError, "not Rows"),
    (lambda W: get_opt("SGD").step([W], GOOD), TypeError, "Rows"),
    (lambda W: get_opt("SGD").step(W, {"W": GOOD}), TypeError, "step takes"),
    (lambda W: clip_grad_norm({"W": GOOD}, 1.0), TypeError, "'W' is Rows.*clip_global_norm"),
    (lambda W: Rows([1]), TypeError, "needs both"), (lambda W: Rows.__new__(Rows), TypeError, "needs both"),
    (lambda W: type("Mine", (Rows,), {}), TypeError, "not an acceptable base"),
])
def test_what_cannot_be_combined(call, error, message):
    W = np.ones((4, 3))
    with pytest.raises(error, match=message):
        call(W)
    assert (W == 1).all()


def test_state_that_lies_column_after_column():
    opt, W = get_opt("Adam"), np.ones((4, 3))
    opt.step({"W": np.asfortranarray(W)}, {"W": W})
    with pytest.raises(ValueError, match="column after column.*forget"):
        opt.step({"W": W}, {"W": GOOD})
    opt.forget("W")
    opt.step({"W": W}, {"W": GOOD})


@pytest.mark.parametrize("first", [Rows([1], np.ones((1, 3))), np.ones((4, 3))], ids=["Rows", "array"])
@pytest.mark.parametrize("action", ["resize", "read-only", "shape", "dtype"])
def test_a_parameter_that_changes_in_the_middle_of_a_call(action, first):
    """A schedule is a user's code, and runs when rows have been looked at already."""
    W, armed = np.ones((4, 3)), []

    def rate(t):
        if armed:
            if action == "resize":
                W.resize((1, 3), refcheck=False)
            elif action == "read-only":
                W.flags.writeable = False
            elif action == "shape":
                W.shape = (3, 4)
            else:
                W.dtype = np.int64
        return 0.1
    opt = get_opt("Adam", lr=rate)
    opt.step({"W": W}, {"W": first})
    opt.step({"W": W}, {"W": first})
    armed.append(True)
    before = opt.state_dict()
    with pytest.raises(ValueError, match="changed from outside"):
        opt.step({"W": W}, {"W": Rows([3], np.ones((1, 3)))})
    assert_same_state(opt.state_dict(), before)


def test_an_optimizer_is_not_used_twice_at_a_time():
    W, opt, began, go = np.ones((4, 3)), None, threading.Event(), threading.Event()

    def rate(t):
        began.set()
        assert go.wait(HANG)
        return 0.1
    opt = get_opt("SGD", lr=rate)
    thread = threading.Thread(target=opt.step, args=([W], [GOOD]))
    thread.start()
    assert began.wait(HANG)
    try:
        with pytest.raises(RuntimeError, match="in use in thread"):
            opt.step([W], [GOOD])
    finally:
        go.set()
        thread.join()
    np.testing.assert_allclose(W[1], 0.9)


NO_MEMORY = """
import _testcapi, resource, sys, numpy as np, fastnn
from fastnn import Rows, get_opt

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
def there():
    return W.tobytes(), opt.t, [slot.tobytes() for state in opt.state.values() for slot in state.values()]
def attempt(call):
    before = there()
    try:
        call()
    except MemoryError:
        assert there() == before
        return False
    return True
indices, values = np.array([5, 3, 5, 30]), np.ones((4, 7), "f4")
failed = 0
for first in (True, False):
    W, opt = np.ones((40, 7)), get_opt("Adam", clip_norm=1.0)
    for n in range(1, 150):
        if first:
            opt = get_opt("Adam", clip_norm=1.0)
        def call():
            _testcapi.set_nomemory(n, n + 1)
            try:
                opt.step({"W": W}, {"W": Rows(indices, values)})
            finally:
                _testcapi.remove_mem_hooks()
        failed += not attempt(call)
print(failed > 50)
if not sys.platform.startswith("linux"):
    sys.exit()
indices, values, failed, stepped = np.arange(200_000) % 65_000, np.ones((200_000, 16), "f4"), 0, 0
for first in (True, False):
    for room in range(0, 64, 2):
        W, opt = np.ones((100_000, 16), "f4"), get_opt("Adam")
        if not first:
            opt.step({"W": W}, {"W": Rows([1], values[:1])})
        fastnn.trim_memory()
        limit = used() + room * 2**20
        def call():
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            try:
                opt.step({"W": W}, {"W": Rows(indices, values)})
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if attempt(call):
            stepped += 1
        else:
            failed += 1
        opt.step({"W": W}, {"W": Rows(indices, values)})
print(failed > 4 and stepped > 4)
"""


@pytest.mark.skipif(SANITIZED, reason="the sanitizer needs address space of its own, and ends where it gets none")
def test_memory_that_cannot_be_had():
    pytest.importorskip("_testcapi")
    done = python(NO_MEMORY)
    assert {*done.stdout.split()} == {"True"}, done.stderr[-2000:]


# State, cost, trainers, users' rules

@pytest.mark.parametrize("name", LAZY)
def test_a_state_goes_on(name):
    rng, W = np.random.default_rng(0), table()
    opt = make(name)
    for t in range(1, 4):
        opt.step({"W": W}, {"W": Rows(named(rng, np.arange(9), 4), rng.standard_normal((13, 5)))}, f=1 / t)
    other, again = make(name), W.copy()
    other.load_state_dict(opt.state_dict())
    for t in range(4, 8):
        rows = Rows(named(rng, np.arange(3, 15), 4), rng.standard_normal((16, 5)))
        opt.step({"W": W}, {"W": rows}, f=1 / t)
        other.step({"W": again}, {"W": rows}, f=1 / t)
    assert_same_bits(W, again)
    assert_same_state(opt.state_dict(), other.state_dict())


@pytest.mark.skipif(not sys.platform.startswith("linux") or SANITIZED, reason="reads /proc, counts pages")
@pytest.mark.parametrize("name", ["SGD", "AdaGrad", "Adam"])
def test_memory_of_other_rows_is_not_touched(name):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    W, opt = np.zeros((2**20, 128), np.float32), get_opt(name)     # 512 MB, and twice that for Adam, that nobody reads
    rows = Rows([5, 2**19, 2**20 - 1], np.ones((3, 128), np.float32))
    before = resident()
    for _ in range(3):
        opt.step([W], [rows])
    assert resident() - before < 2**26
    assert W[2**19].all() and not W[6].any()


def test_trainers_take_rows():
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((50, 6)).astype(np.float32), rng.integers(0, 3, 50)
    results = []
    for transform in (lambda grads, loss: {**grads, "W1": Rows(np.arange(6), grads["W1"])}, None):
        net = MultiLayerNet(6, [8], 3, rng=0)
        trainer = Trainer(net, get_opt("Adam", clip_global_norm=5.0), x, t, batch_size=10, rng=1, transform=transform)
        trainer.train(8)
        assert not trainer.nonfinite and len(trainer.losses) == 8
        results.append(net.params["W1"].copy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("grad", "message"), [
    (lambda p: Rows([6], p[:1]), "transform: the gradient of 'W1' names row 6"),
    (lambda p: Rows([1], p[:1, :2]), "transform: the gradient of 'W1': values of shape")])
def test_trainers_refuse_bad_rows(grad, message):
    net = MultiLayerNet(6, [8], 3, rng=0)
    before = copy.deepcopy(net.params)
    trainer = Trainer(net, get_opt("Adam"), np.ones((20, 6)), np.zeros(20, int), batch_size=5, rng=1,
                      transform=lambda grads, loss: {**grads, "W1": grad(grads["W1"])})
    with pytest.raises(ValueError, match=message):
        trainer.step()
    assert trainer.losses == [] and all((net.params[key] == p).all() for key, p in before.items())


def test_rows_that_are_not_finite_end_a_training():
    net = MultiLayerNet(6, [8], 3, rng=0)
    trainer = Trainer(net, get_opt("Adam"), np.ones((20, 6)), np.zeros(20, int), batch_size=5, rng=1,
                      transform=lambda grads, loss: {**grads, "W1": Rows([1], np.full((1, 8), np.inf))})
    trainer.train(3)
    assert trainer.diverged and trainer.nonfinite[0].place == "transformed gradient"
    assert all_finite([GOOD]) and not all_finite([np.ones(2), Rows([0], [[np.nan]])])


def test_rules_of_users_are_lazy():
    pytest.importorskip("numba")
    import math

    @fastnn.register_opt("lazy-test", state=("m", "v"), lr=0.1, replace=True)
    def rule(g, p, m, v, h):
        m += 0.1 * (g - m)
        v += 0.01 * (g * g - v)
        return -h.lr * m / (math.sqrt(v) + 1e-8) - 0.001 * p / h.t, m, v
    try:
        for dtype in (np.float32, np.float64):
            W, rows, opt, dense = table((37,), dtype), np.array([5, 3, 8]), get_opt("lazy-test"), get_opt("lazy-test")
            small = W[rows]
            for t in range(4):
                values = np.full((3, 37), 0.5**t, dtype)
                opt.step([W], [Rows(rows, values)])
                dense.step([small], [values])
            assert_same_bits(W[rows], small)
    finally:
        fastnn.unregister("lazy-test")


@pytest.mark.parametrize("how", ["dtype", "resize"])
def test_what_lies_below_rows_cannot_change_them(how):
    """Their arrays are views that nobody else has."""
    values = np.ones((3, 4)).T
    rows = Rows([0, 1, 2, 3], values)
    for below in (rows.indices.base, rows.values.base):
        if how == "dtype":
            below.dtype = np.uint8
        else:
            below.resize(below.size, refcheck=False)
            below.shape = (below.size, 1)
    assert len(rows) == 4 and rows.values.shape == (4, 3) and rows.values.dtype == float
    W = np.zeros((4, 3))
    get_opt("SGD", lr=1.0).step(W, rows)
    assert (W == -1).all()


def test_lists_of_integers_are_indices_as_arrays_are():
    for indices in ([3, 1, 3], (3, 1, 3), range(1, 4), np.array([3, 1, 3], np.int16)):
        rows = fastnn.Rows(indices, np.ones((3, 2)))
        assert rows.indices.tolist() == list(indices) and rows.indices.dtype == np.intp
        assert not rows.indices.flags.writeable
    indices = np.arange(3)
    rows = fastnn.Rows(type("Column", (), {"__array__": lambda self, *_, **__: indices})(), np.ones((3, 2)))
    indices[0] = 2                              # a copy was taken
    assert rows.indices.tolist() == [0, 1, 2]
