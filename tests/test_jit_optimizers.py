"""Registered optimizers: copies of built-in ones give their bits, random rules what the same Python on floats gives."""
import copy
import ctypes
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import fastnn
from fastnn import get_opt, register_opt, where
from helpers import FLOATS, assert_same_bits

pytest.importorskip("numba")
from fastnn.jit import graph  # noqa: E402
from fastnn.jit.compiler import compile_kernel  # noqa: E402
from fastnn.jit.kernels import rule as rule_kernel  # noqa: E402

HALVES = [np.float16]
try:
    import ml_dtypes
    HALVES.append(ml_dtypes.bfloat16)
except ImportError:
    pass


def ratio(a, b):
    return where(b == 0, 0, a/b)


def averages(g, m, v, h):
    return m + (1 - h.beta1)*(g - m), v + (1 - h.beta2)*(g*g - v)


def sgd(g, h):
    return -h.lr*g


def momentum(g, v, h):
    v = h.momentum*v + -h.lr*g
    return v, v


def nesterov(g, v, h):
    return h.momentum*h.momentum*v + -(1 + h.momentum)*h.lr*g, h.momentum*v + -h.lr*g


def adagrad(g, G, h):
    G += g*g
    return -h.lr*g/(math.sqrt(G) + h.eps), G


def rmsprop(g, v, h):
    v += (1 - h.rho)*(g*g - v)
    return -h.lr*g/(math.sqrt(v) + h.eps), v


def adadelta(g, v, u, h):
    v += (1 - h.rho)*(g*g - v)
    delta = -g*math.sqrt(u + h.eps)/math.sqrt(v + h.eps)
    u += (1 - h.rho)*(delta*delta - u)
    return h.lr*delta, v, u


def adam(g, m, v, h):
    m, v = averages(g, m, v, h)
    root = math.sqrt(1 - h.beta2**h.t)
    return -h.alpha*(root/(1 - h.beta1**h.t))*m/(math.sqrt(v) + h.eps*root), m, v


def smorms3(g, m, v, s, h):
    r = 1/(s + 1)
    m, v = m + r*(g - m), v + r*(g*g - v)
    zeta = m*m/(v + h.eps)
    s = 1 + s*(1 - zeta)
    return -g*min(zeta, h.eta)/math.sqrt(v + h.eps), m, v, s


def adamax(g, m, u, h):
    m += (1 - h.beta1)*(g - m)
    u = max(abs(g) + h.eps, h.beta2*u)
    return ratio(-h.alpha/(1 - h.beta1**h.t)*m, u), m, u


def amsgrad(g, m, v, vhat, h):
    m, v = averages(g, m, v, h)
    vhat = max(v, vhat)
    root = math.sqrt(1 - h.beta2**h.t)
    return -h.alpha*(root/(1 - h.beta1**h.t))*m/(math.sqrt(vhat) + h.eps*root), m, v, vhat


COPIES = {
    "SGD": (sgd, {}, {"lr": 1e-2}),
    "Momentum": (momentum, {"v": 0}, {"lr": 1e-2, "momentum": 0.9}),
    "Nesterov": (nesterov, {"v": 0}, {"lr": 1e-2, "momentum": 0.9}),
    "AdaGrad": (adagrad, {"G": 0}, {"lr": 1e-3, "eps": 1e-10}),
    "RMSprop": (rmsprop, {"v": 0}, {"lr": 1e-2, "rho": 0.99, "eps": 1e-8}),
    "AdaDelta": (adadelta, {"v": 0, "u": 0}, {"rho": 0.95, "eps": 1e-6, "lr": 1.0}),
    "Adam": (adam, {"m": 0, "v": 0}, {"alpha": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
    "SMORMS3": (smorms3, {"m": 0, "v": 0, "s": 1}, {"eta": 1e-3, "eps": 1e-8}),
    "AdaMax": (adamax, {"m": 0, "u": 0}, {"alpha": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
    "AMSGrad": (amsgrad, {"m": 0, "v": 0, "vhat": 0}, {"alpha": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
}
STORED = {"Momentum": {"v": "linear"}, "RMSprop": {"v": "logarithmic"}, "Adam": {"v": "logarithmic", "m": "linear"},
          "AdaMax": {"m": "linear", "u": "logarithmic"}, "AdaDelta": {"v": "logarithmic", "u": "logarithmic"}}

each_name = pytest.mark.parametrize("name", COPIES)
each_float = pytest.mark.parametrize("dtype", FLOATS)


@pytest.fixture(autouse=True, scope="module")
def copies():
    """A registered copy of each, called as in "copy of Adam"; and the catalogue is left as it was."""
    before = fastnn.optimizers()
    for name, (rule, state, hyperparameters) in COPIES.items():
        rate = next(key for key in ("lr", "alpha", "eta") if key in hyperparameters)
        register_opt(f"copy of {name}", state=state, stored=STORED.get(name), learning_rate=rate,
                     **hyperparameters)(rule)
    yield
    for name in COPIES:
        fastnn.unregister(f"copy of {name}")
    assert fastnn.optimizers() == before


@pytest.fixture
def register():
    """`register_opt` for the name "rule", which is removed again."""
    yield lambda **options: register_opt("rule", **options)
    if "rule" in fastnn.optimizers():
        fastnn.unregister("rule")


def both(name, **options):
    return get_opt(f"copy of {name}", **options), get_opt(name, **options)


def draw(shape, dtype=np.float64, seed=0):
    """Normal numbers of all sizes, some zero."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal(shape)*10.0**rng.integers(-6, 3, shape)
    return np.where(rng.random(shape) < 0.1, 0, found).astype(dtype)


def assert_same_state(opt, other):
    assert opt.t == other.t
    for mine, theirs in zip(opt.state.values(), other.state.values(), strict=True):
        for one, two in zip(mine.values(), theirs.values(), strict=True):
            assert_same_bits(one, two)


# Copies of built-in optimizers have their bits.

@each_float
@each_name
def test_deltas(name, dtype):
    opt, built_in = both(name)
    for step in range(60):
        grads = draw((7, 11), dtype, seed=step), draw(3000, dtype, seed=100 + step)
        for mine, theirs in zip(opt.update(*grads), built_in.update(*grads), strict=True):
            assert mine.dtype == dtype
            assert_same_bits(mine, theirs)
    assert_same_state(opt, built_in)


@pytest.mark.parametrize("dtype", FLOATS + HALVES)
@each_name
def test_parameters_in_place(name, dtype):
    """Strided, transposed, empty and late ones; n from 0 to more than a block."""
    opt, built_in = both(name)
    sets = []
    for _ in range(2):
        room = draw((40, 50), np.float32, seed=5).astype(dtype)
        sets.append({"all": draw(1000, np.float32, seed=1).astype(dtype), "strided": room[::2, ::-3], "T": room[1::2].T,
                     "0": room[:0], "()": np.array(1.5, dtype), "16": draw(16, np.float32, seed=3).astype(dtype)})
    for step in range(20):
        keys = list(sets[0])[: 3 + step]
        grads = {key: draw(sets[0][key].shape, np.float32, seed=step) for key in keys}
        for one, params in zip((opt, built_in), sets):
            assert one.update({key: params[key] for key in keys}, grads) is None
    for key in sets[0]:
        assert_same_bits(sets[0][key], sets[1][key])
    assert_same_state(opt, built_in)


@each_name
def test_both_dialects_agree(name):
    opt, in_place = both(name)[0], both(name)[0]
    w = draw(700, np.float32, seed=8)
    wanted = w.copy()
    for step in range(5):
        grad = draw(700, np.float32, seed=step)
        wanted += opt.update(grad)
        in_place.step(w, grad)
    assert_same_bits(w, wanted)


@pytest.mark.parametrize("threads", [1, 2, 3])
@each_name
def test_threads(name, threads):
    opt, built_in = both(name)
    try:
        for step in range(3):
            grad = draw(300_001, np.float32, seed=step)
            fastnn.set_num_threads(threads)
            mine = opt.update(grad)
            fastnn.set_num_threads(1)
            assert_same_bits(mine, built_in.update(grad))
    finally:
        fastnn.set_num_threads(None)


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", STORED)
def test_state_in_fewer_bits(name, state_dtype):
    opt, built_in = both(name, state_dtype=state_dtype)
    for step in range(20):
        grads = [draw(size, np.float32, seed=step) for size in (1000, 33)]
        for mine, theirs in zip(opt.update(*grads), built_in.update(*grads), strict=True):
            assert_same_bits(mine, theirs)
    assert_same_state(opt, built_in)
    with pytest.raises(TypeError, match="up to 32 bits"):
        get_opt(f"copy of {name}", state_dtype=state_dtype).update(np.ones(3))


@pytest.mark.parametrize("name", sorted(COPIES.keys() - STORED.keys()))
def test_no_state_in_fewer_bits(name):
    with pytest.raises(ValueError, match=f"copy of {name} has no state in int8, only"):
        get_opt(f"copy of {name}", state_dtype="int8")


@each_float
@each_name
def test_a_bad_element_reaches_only_itself(name, dtype):
    opt, good = both(name)[0], both(name)[0]
    rest = np.arange(100) != 37
    for step in range(4):
        grad = draw(100, dtype, seed=step)
        spoilt = grad.copy()
        spoilt[37] = np.nan if step == 1 else grad[37]
        delta = opt.update(spoilt)
        assert_array_equal(delta[rest], good.update(grad)[rest])
        assert step != 1 or np.isnan(delta[37])


@each_name
def test_zero_gradients(name):
    opt = both(name)[0]
    assert_array_equal(opt.update(np.zeros(20)), 0)


# What the class looks like.

@pytest.mark.parametrize("state_dtype", ["float32", "int8"])
@each_name
def test_state_is_kept_like_that_of_built_in_rules(name, state_dtype, tmp_path):
    pytest.importorskip("safetensors")
    if state_dtype != "float32" and name not in STORED:
        return
    opt, built_in = both(name, state_dtype=state_dtype)
    p, q = ({"w": draw((5, 90), np.float32)} for _ in range(2))
    for step in range(3):
        opt.update(p, {"w": draw((5, 90), np.float32, step)})
        built_in.update(q, {"w": draw((5, 90), np.float32, step)})
    fastnn.save(tmp_path / "file", opt=opt, params=p)
    resumed = get_opt(f"copy of {name}", state_dtype=state_dtype)
    loaded = fastnn.load(tmp_path / "file", opt=resumed).params
    for other, params in ((resumed, loaded), (pickle.loads(pickle.dumps(opt)), {"w": p["w"].copy()})):
        twin, wanted = copy.deepcopy(built_in), {"w": q["w"].copy()}
        for step in range(3, 6):
            other.update(params, {"w": draw((5, 90), np.float32, step)})
            twin.update(wanted, {"w": draw((5, 90), np.float32, step)})
        assert_same_bits(params["w"], wanted["w"])
        assert_same_state(other, twin)


def test_object():
    opt = get_opt("Copy-Of_ADAM", 2e-3, eps=1e-7)
    assert repr(opt) == "get_opt('copy of Adam', alpha=0.002, beta1=0.9, beta2=0.999, eps=1e-07)"
    assert repr(get_opt("copy of Adam", state_dtype="int8")).endswith("state_dtype='int8')")
    assert opt.lr == opt.alpha == 2e-3
    opt.lr = 1e-4
    assert opt.alpha == 1e-4
    assert get_opt("copy of Adam", lr=0.5).alpha == get_opt("copy of SGD", 0.5).lr == 0.5
    assert opt.update(1.0, 2.0, t=7, f=3.0) and opt.t == 7
    assert list(opt.state[0]) == ["m", "v"] and set(opt.state) == {0, 1}
    opt.state[0]["m"].fill(0)
    with pytest.raises(ValueError, match="lr must be at least 0"):
        get_opt("copy of SGD", lr=-1)
    with pytest.raises(TypeError, match="no hyperparameter 'bta1' .did you mean beta1"):
        get_opt("copy of Adam", bta1=0)


def test_errors_before_anything_changes():
    opt, params = get_opt("copy of Adam"), {"a": np.ones(5), "b": np.ones(5)}
    params["b"].flags.writeable = False
    for grads, error in (({"a": np.ones(5)}, KeyError), ({"a": np.ones(5), "b": np.ones(5)}, ValueError),
                         ({"a": np.ones(4), "b": np.ones(5)}, ValueError)):
        with pytest.raises(error):
            opt.update(params, grads)
    assert opt.t == 0 and not opt.state and (params["a"] == 1).all()


def test_first_values_and_hyperparameters_that_change(register):
    @register(state={"a": 2, "b": -0.5}, lr=0.5, k=3)
    def rule(g, a, b, h):
        """What it does."""
        return h.lr*(a + b), a + h.k, b

    opt = get_opt("rule")
    assert "What it does" in type(opt).__doc__
    assert rule(0, 1, 2, SimpleNamespace(lr=1, k=4)) == (3, 5, 2)           # still the plain function
    assert opt.update(np.zeros(2)).tolist() == [0.75]*2
    opt.k, opt.lr = 10, 1
    assert opt.update(np.zeros(2)).tolist() == [4.5]*2
    assert opt.update(np.zeros(2)).tolist() == [14.5]*2


def test_steps_decide(register):
    """`if` on what is the same for all elements, on an element, and numbers that Python's floats do not have."""
    @register(lr=1.0, warm=3, zero=0.0)
    def rule(g, h):
        if h.t <= h.warm:
            return g
        return h.lr/h.zero if g > 0 else math.log(h.zero)*(2.0**h.t + h.zero**-1)

    opt, grad = get_opt("rule"), np.array([2.0, -3.0])
    assert [opt.update(grad).tolist() for _ in range(4)] == [[2, -3]]*3 + [[np.inf, -np.inf]]
    assert opt.update(grad, t=5000).tolist() == [np.inf, -np.inf]
    assert opt.update(grad, t=2).tolist() == [2, -3]


def test_corrections_are_computed_in_double_precision(register):
    @register(lr=1.0)
    def rule(g, h):
        return ((1 + 2.0**-40*h.lr)**h.t - 1)*g

    assert get_opt("rule").update(np.ones(3, np.float32), t=2)[0] == np.float32(2.0**-39)


def test_functions_that_stop_the_vectoriser(register):
    """sin has a faster form for small arguments; a rule, which writes where it reads, cannot try that first."""
    @register(state=("m",), lr=1.0)
    def rule(g, m, h):
        m += math.sin(g)
        return m, m

    opt, grad, total = get_opt("rule"), draw(200), 0
    grad[::50] *= 1e30
    for _ in range(3):
        total = total + np.sin(grad)
        np.testing.assert_allclose(opt.update(grad), total, rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
def test_more_slots_than_built_in_rules_have_in_fewer_bits(register, state_dtype):
    @register(state=("a", "b", "c"), stored={"c": "logarithmic", "b": "linear", "a": "linear"}, lr=1.0)
    def rule(g, a, b, c, h):
        return a - 2*b + 4*c, a + g, b - 2*g, c + 8*g

    opt = get_opt("rule", state_dtype=state_dtype)
    for t in range(8):          # powers of two and sums of few are exact in every format where all elements are equal
        assert_array_equal(opt.update(np.ones(300, np.float32)), (1 + 4 + 32)*t)
    assert [slot[7] for slot in opt.state[0].values()] == [8, -16, 64]


# What goes around a rule goes around registered ones.

def falling(t):
    return 1e-2/t


def rising(t):
    return 0.01*t


OPTIONS = {
    "weight_decay": {"weight_decay": 0.3}, "l2": {"l2": 0.2}, "l1": {"l1": 0.2}, "l2 and l1": {"l2": 0.1, "l1": 0.3},
    "clip_value": {"clip_value": 0.5}, "clip_norm": {"clip_norm": 1.5}, "clip_global_norm": {"clip_global_norm": 1.5},
    "clip_adaptive": {"clip_adaptive": 0.1}, "rows are units": {"clip_adaptive": 0.1, "output_axis": 0},
    "maximize": {"maximize": True}, "grad_scale": {"grad_scale": 0.3}, "centralize": {"centralize": True},
    "schedules": {"lr": falling, "weight_decay": rising, "l2": rising},
    "groups": {"weight_decay": 0.1, "groups": [fastnn.group("m*", lr=falling, weight_decay=0.2, clip_norm=2),
                                               fastnn.group("still", freeze=True), fastnn.group("s*", maximize=True)]},
    "all": {"weight_decay": 0.1, "l2": 0.1, "l1": 0.2, "clip_norm": 1.5, "maximize": True, "grad_scale": 0.7,
            "centralize": True, "lr": falling}}
SHAPES = {"matrix": (7, 11), "T": (5, 40), "small": (3,), "()": (), "still": (4,), "long": (3000,), "late": (33,)}


def parameters(dtype, order=list(SHAPES)):
    found = {key: draw(SHAPES[key], np.float32, seed).astype(dtype) for seed, key in enumerate(order)}
    found["T"] = found["T"].T
    return found


def stepped(opt, params, steps=6):
    """The parameters, after steps of which the first two leave one of them out."""
    for step in range(steps):
        known = {key: p for key, p in params.items() if key != "late" or step > 1}
        opt.step(known, {key: draw(p.shape, np.float32, 10*step + len(key)) for key, p in known.items()})
    return params


def assert_same_parameters(mine, theirs):
    for key in theirs:
        assert_same_bits(mine[key], theirs[key])


@pytest.mark.parametrize("dtype", FLOATS + HALVES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ["Momentum", "Adam"])
def test_options(name, options, dtype):
    opt, built_in = both(name, **options)
    mine, theirs = (stepped(each, parameters(dtype)) for each in (opt, built_in))
    assert_same_parameters(mine, theirs)
    assert_same_state(opt, built_in)
    without = stepped(both(name)[0], parameters(dtype))
    assert any((mine[key] != without[key]).any() for key in mine)
    if "groups" in options:
        assert_same_bits(mine["still"], parameters(dtype)["still"])


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ["Momentum", "Adam"])
def test_options_with_state_in_fewer_bits(name, options, state_dtype):
    opt, built_in = both(name, state_dtype=state_dtype, **options)
    assert_same_parameters(*(stepped(each, parameters(np.float32)) for each in (opt, built_in)))
    assert_same_state(opt, built_in)


@each_float
@pytest.mark.parametrize("options", [value for key, value in OPTIONS.items() if key != "groups"],
                         ids=[key for key in OPTIONS if key != "groups"])
@pytest.mark.parametrize("name", ["Momentum", "Adam"])
def test_options_where_deltas_are_returned(name, options, dtype):
    opt, built_in = both(name, **options)
    w, b = draw((20, 30), dtype), draw(30, dtype, seed=1)
    for step in range(4):
        grads = draw(w.shape, dtype, 2 + step), draw(b.shape, dtype, 20 + step)
        mine, theirs = (each.update(*grads, w=w, b=b) for each in (opt, built_in))
        for array, one, other in zip((w, b), mine, theirs):
            assert_same_bits(one, other)
            array += one


def test_parameters_count_their_own_steps():
    opt, alone = both("Adam")[0], both("Adam")[1]
    params, late = {"first": np.ones(20), "late": draw(20)}, draw(20)
    for step in range(6):
        grads = {"first": draw(20, seed=step), "late": draw(20, seed=50 + step)}
        grads["late"] = grads["late"] if step > 2 else None
        opt.step(params, grads)
        if step > 2:
            alone.step(late, grads["late"])
    assert_same_bits(params["late"], late)
    assert (opt.t, opt.state_dict()["by_key"]["late"]["t"]) == (6, 3)


@pytest.mark.parametrize("kept", ["pickle", "state"])
def test_options_are_kept(kept):
    """In a copy by way of pickle, and of a state that is put into an optimizer made with other values."""
    options = {"weight_decay": 0.1, "l2": 0.2, "clip_norm": 1.5, "groups": [fastnn.group("m*", weight_decay=0.2)]}
    opt = get_opt("copy of Adam", **options)
    params = stepped(opt, parameters(np.float32))
    if kept == "pickle":
        other = pickle.loads(pickle.dumps(opt))
    else:
        other = get_opt("copy of Adam", lr=1, groups=[fastnn.group("m*", lr=2)])
        other.load_state_dict(opt.state_dict())
    copied = {key: p.copy(order="K") for key, p in params.items()}
    assert_same_parameters(stepped(other, copied), stepped(opt, params))
    assert repr(other) == repr(opt)
    assert_same_state(other, opt)


# Rules that see the parameter.

def pulled(g, p, m, h):
    """Towards 1, with a momentum, less the more steps there have been."""
    m = h.momentum*m + g
    return -(h.lr/h.t)*(m + h.pull*(p - 1)), m


def pulled_by_numpy(g, p, m, h, real):
    """The same, in arrays of `real`."""
    m = real(h.momentum)*m + g
    return real(-(h.lr/h.t))*(m + real(h.pull)*(p - real(1))), m


PULLED = {"lr": 0.1, "momentum": 0.7, "pull": 0.3}


@pytest.fixture
def pull(register):
    register(state=("m",), stored={"m": "linear"}, **PULLED)(pulled)
    return lambda **options: get_opt("rule", **options)


@pytest.mark.parametrize("dtype", FLOATS + HALVES)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.2}, {"l2": 0.5, "grad_scale": 0.3}, {"clip_value": 0.25}],
                         ids=lambda options: " ".join(options) or "alone")
def test_rules_that_read_the_parameter(pull, dtype, options):
    """Bit for bit what NumPy computes, with all tails."""
    real = np.float64 if dtype == np.float64 else np.float32
    opt = pull(**options)
    arrays = [draw(size, np.float32, size).astype(dtype) for size in (*range(34), 511, 512, 513, 1000)]
    wanted, states = [array.copy() for array in arrays], [np.zeros(array.size, real) for array in arrays]
    keep = real(1 - PULLED["lr"]*options.get("weight_decay", 0))
    for t in range(1, 4):
        grads = [draw(array.size, np.float32, 100*t + array.size).astype(real) for array in arrays]
        opt.step(arrays, grads)
        h = SimpleNamespace(t=t, **PULLED)
        for i, g in enumerate(grads):
            p = wanted[i].astype(real)
            g = g*real(options.get("grad_scale", 1)) + real(options.get("l2", 0))*p
            if "clip_value" in options:
                g = g.clip(-real(0.25), real(0.25))
            delta, states[i] = pulled_by_numpy(g, p, states[i], h, real)
            wanted[i] = (keep*p + delta).astype(dtype)
    for mine, theirs in zip(arrays, wanted, strict=True):
        assert_array_equal(mine, theirs)


@each_float
def test_deltas_of_rules_that_read_the_parameter(pull, dtype):
    opt, in_place = pull(), pull()
    params = {"w": draw((6, 50), dtype), "b": draw(17, dtype, seed=1)}
    w, b = params["w"].copy(), params["b"].copy()
    for step in range(4):
        grads = draw(w.shape, dtype, 2 + step), draw(b.shape, dtype, 20 + step)
        with pytest.raises(TypeError, match="rules that read the parameter need it: give w="):
            opt.update(*grads)
        assert opt.t == step
        before = w.copy(), b.copy()
        dw, db = opt.update(*grads, w=w, b=b)
        assert_same_bits(w, before[0])
        assert_same_bits(b, before[1])
        assert dw.dtype == db.dtype == dtype
        w, b = w + dw, b + db
        in_place.step(params, dict(zip(("w", "b"), grads)))
    assert_same_bits(params["w"], w)
    assert_same_bits(params["b"], b)
    alone = pull()
    assert alone.update(3.0, w=2.0) == pytest.approx(-0.1*(3 + 0.3))


@pytest.mark.parametrize("dtype", FLOATS + HALVES)
@pytest.mark.parametrize("state_dtype", ["float32", "int8"])
def test_threads_and_parameters(pull, dtype, state_dtype):
    """Two threads compute what one does, with reduced-precision parameters and state, too."""
    if state_dtype == "int8" and dtype == np.float64:
        return
    found = []
    try:
        for threads in (1, 2):
            fastnn.set_num_threads(threads)
            opt, p = pull(state_dtype=state_dtype, weight_decay=0.1), draw(100_000, np.float32).astype(dtype)
            for step in range(3):
                opt.step(p, draw(p.size, np.float32, step))
            deltas = pull(weight_decay=0.1).update(draw(p.size, np.float32).astype(dtype), w=p)
            found.append((p, opt.state[0]["m"], deltas))
    finally:
        fastnn.set_num_threads(None)
    for one, two in zip(*found, strict=True):
        assert_same_bits(one, two)
    assert (found[0][0] != draw(100_000, np.float32).astype(dtype)).mean() > 0.5


@each_float
def test_adamw(register, dtype):
    """Written out with the parameter, and as an option around Adam."""
    @register(state=("m", "v"), lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.1)
    def adamw(g, p, m, v, h):
        m, v = averages(g, m, v, h)
        mhat, vhat = m/(1 - h.beta1**h.t), v/(1 - h.beta2**h.t)
        return -h.lr*mhat/(math.sqrt(vhat) + h.eps) - h.lr*h.decay*p, m, v

    opt, built_in = get_opt("rule"), get_opt("Adam", lr=1e-2, weight_decay=0.1)
    mine, theirs = draw(200, dtype), draw(200, dtype)
    for step in range(50):
        grad = draw(200, dtype, step)
        opt.step(mine, grad)
        built_in.step(theirs, grad)
    np.testing.assert_allclose(mine, theirs, rtol=100*np.finfo(dtype).eps, atol=100*np.finfo(dtype).eps)


def sign(x):
    return (x > 0)*1.0 - (x < 0)*1.0


@each_float
def test_lion(register, dtype):
    """Chen et al. 2023, arXiv 2302.06675, algorithm 2: with the parameter, with the option, and in NumPy."""
    hyperparameters = {"state": ("m",), "lr": 1e-3, "beta1": 0.9, "beta2": 0.99}

    @register(**hyperparameters, decay=0.1)
    def lion(g, p, m, h):
        ahead = h.beta1*m + (1 - h.beta1)*g
        return -h.lr*(sign(ahead) + h.decay*p), h.beta2*m + (1 - h.beta2)*g

    opt = get_opt("rule")
    register(**hyperparameters, replace=True)(
        lambda g, m, h: (-h.lr*sign(h.beta1*m + (1 - h.beta1)*g), h.beta2*m + (1 - h.beta2)*g))
    around = get_opt("rule", weight_decay=0.1)
    mine, theirs, wanted, m = draw(50, dtype), draw(50, dtype), draw(50), np.zeros(50)
    for step in range(30):
        grad = draw(50, dtype, step)
        opt.step(mine, grad)
        around.step(theirs, grad)
        wanted -= 1e-3*(np.sign(0.9*m + 0.1*grad) + 0.1*wanted)
        m = 0.99*m + 0.01*grad.astype(float)
    for found in (mine, theirs):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=100*np.finfo(dtype).eps*abs(wanted).max())


def test_which_argument_is_the_parameter(register):
    """One called p is, unless the state has that name; one that has no use for it does not ask for it."""
    register(state=("p",), lr=1.0)(lambda g, p, h: (p + g, p + 2*g))
    opt = get_opt("rule")
    assert [opt.update(1.0) for _ in range(3)] == [1, 3, 5]
    register(state=("m", "p"), lr=1.0, replace=True)(lambda g, m, p, h: (m - p, m + g, p + 2*g))
    opt = get_opt("rule")
    assert [opt.update(1.0) for _ in range(3)] == [0, -1, -2]
    register(lr=0.5, replace=True)(lambda g, p, h: -h.lr*p)
    params = np.array([4.0, -2.0])
    get_opt("rule").step(params, np.ones(2))
    assert params.tolist() == [2, -1]
    register(state=("m",), lr=0.5, replace=True)(lambda g, p, m, h: (-h.lr*g, m))
    assert get_opt("rule").update(1.0) == -0.5


@each_float
@pytest.mark.parametrize("reads_p", [False, True])
def test_kernels(dtype, reads_p):
    """As the engine calls them: see fastnn/core/kernels.pxd. There is no parameter for rules that do not read it."""
    g, p, m = graph.element("g"), graph.element("p"), graph.element("s0")
    moved = graph.node("mul", m, graph.parameter("half"))
    moved = graph.node("add", moved, graph.node("mul", g, g))
    delta = graph.node("sub", moved, p) if reads_p else moved
    kernel = rule_kernel(delta, [moved])
    assert {case: "p" in loop.reads() for case, loop in kernel.loops.items()} == \
        ({0: True, 1: False} if reads_p else {1: False})
    real = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p]*4, ctypes.c_ssize_t, ctypes.c_void_p, real, real, ctypes.c_int)(
        compile_kernel(kernel, np.dtype(dtype).name))
    constants, scale, keep = np.array([0.3], dtype), dtype(0.7), dtype(0.9)
    for in_place in (0, 1):
        grad, parameter, state, target = (draw(48, dtype, seed) for seed in range(4))
        state_of, pointed = state.copy(), (ctypes.c_void_p*1)(state.ctypes.data)
        wanted = scale*grad
        wanted_state = state_of*constants[0] + wanted*wanted
        wanted = wanted_state - (target if in_place else parameter) if reads_p else wanted_state
        wanted = keep*target + wanted
        call(grad.ctypes.data, parameter.ctypes.data if reads_p and not in_place else None, pointed, target.ctypes.data,
             48, constants.ctypes.data, scale, keep, in_place)
        assert_same_bits(target, wanted)
        assert_same_bits(state, wanted_state)


# What cannot be registered; nothing is left behind.

def no_rule(g, h):
    return -h.lr*g


ERRORS = {
    "state is a string": ({"state": "m"}, TypeError, "state must be the names"),
    "names twice": ({"state": ("m", "m")}, ValueError, "'m' twice"),
    "no identifier": ({"state": ("m v",)}, ValueError, "'m v'"),
    "keyword": ({"state": ("if",)}, ValueError, "'if'"),
    "first value": ({"state": {"m": "0"}}, TypeError, "the first value of m must be a number"),
    "infinite first value": ({"state": {"m": math.inf}}, ValueError, "the first value of m must be finite"),
    "too many slots": ({"state": tuple("abcdefijk")}, ValueError, "8 state slots, not 9"),
    "stored names": ({"state": ("m",), "stored": {"v": "linear"}}, ValueError, "stored must name the slots, m, not v"),
    "spacing": ({"state": ("m",), "stored": {"m": "log"}}, ValueError, "'linear' or 'logarithmic', not 'log'"),
    "too many stored": ({"state": tuple("abcde"), "stored": dict.fromkeys("abcde", "linear")}, ValueError, "4 slots"),
    "t": ({"t": 1}, ValueError, "t is the number of the step"),
    "used": ({"update": 1}, ValueError, "'update'"),
    "hidden": ({"_rules": 1}, ValueError, "'_rules'"),
    "an option": ({"weight_decay": 0.1}, ValueError, "weight_decay is an option of every optimizer"),
    "no number": ({"beta": "1"}, TypeError, "beta must be a number"),
    "rate below 0": ({"lr": -1}, ValueError, "lr must be at least 0"),
    "no rate": ({"learning_rate": "eta"}, ValueError, "no hyperparameter 'eta': give lr="),
    "both": ({"state": ("beta",), "beta": 1}, ValueError, "beta: both"),
    "state is not taken": ({"state": ("m",)}, TypeError, r"must take the gradient, m, hyperparameters, not \(g, h\)"),
}


@pytest.mark.parametrize(("options", "error", "text"), ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_declared(options, error, text):
    before = fastnn.optimizers()
    with pytest.raises(error, match=text):
        register_opt("rule", **{"lr": 0.1, **options})(no_rule)
    assert fastnn.optimizers() == before


def returns_too_little(g, m, h):
    return g


def returns_too_much(g, m, h):
    return g, m, m


def returns_no_number(g, m, h):
    return g, "m"


def swapped(g, h, m):
    return g, m


def parameter_last(g, m, p, h):
    return g, m


def misspelt(g, m, h):
    return h.lrr*g, m


def sets(g, m, h):
    h.lr = 1
    return g, m


def decides(g, m, h):
    while g > 0:
        g = g - h.lr
    return g, m


def many_constants(g, m, h):
    return sum((g*(h.lr + k) for k in range(17)), 0.0), m


@pytest.mark.parametrize(("rule", "text"), [
    (returns_too_little, "must return the delta and the new m, but returns 1 number"),
    (returns_too_much, "the delta and the new m, but returns 3 numbers"), (returns_no_number, "returns 'm', no number"),
    (swapped, r"must take the gradient, m, hyperparameters, not \(g, h, m\)"),
    (parameter_last, r"not \(g, m, p, h\); the parameter, p, may follow the gradient"),
    (math.sqrt, "a rule must be a Python function"), (sets, "cannot be set"),
    (misspelt, r"'lrr' \(did you mean lr\?\)\n +return h.lrr"), (decides, "too many paths"),
    (many_constants, "17 numbers")], ids=lambda value: getattr(value, "__name__", ""))
def test_rules_that_are_none(rule, text):
    before = fastnn.optimizers()
    with pytest.raises((TypeError, ValueError), match=text) as raised:
        register_opt("rule", state=("m",), lr=0.1)(rule)
    if rule is not math.sqrt:
        assert "test_jit_optimizers.py, line" in str(raised.value)
    assert fastnn.optimizers() == before


def test_names(register):
    register(lr=1.0)(no_rule)
    first = get_opt("rule")
    for name in ("rule", "RU-le", "Adam", "SDG"):
        with pytest.raises(ValueError, match="is taken"):
            register_opt(name, lr=1.0)
    with pytest.raises(TypeError, match="must be a string"):
        register_opt(3, lr=1.0)
    register(lr=2.0, replace=True)(lambda g, h: h.lr*g)
    assert get_opt("rule").update(3.0) == 6
    assert first.update(3.0) == -3                                         # keeps its rule
    fastnn.unregister("rule")
    with pytest.raises(ValueError, match="Unknown optimizer"):
        get_opt("rule")


# Random rules.

_numbers = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0])
_leaves = st.one_of(st.sampled_from(["g", "a", "b"]), st.sampled_from(["lr", "k", "t"]), _numbers)


def _operations(inner):
    return st.one_of(st.tuples(st.sampled_from(["+", "-", "*", "/", "max", "min", "<", "if"]), inner, inner),
                     st.tuples(st.sampled_from(["neg", "abs", "sqrt"]), inner))


_trees = st.recursive(_leaves, _operations, max_leaves=12)


def value(tree, g, a, b, h):
    """What a tree is as a formula."""
    if not isinstance(tree, (str, tuple)):
        return tree
    if isinstance(tree, str):
        return {"g": g, "a": a, "b": b}[tree] if tree in "gab" else getattr(h, tree)
    op, *operands = tree
    x, *y = [value(operand, g, a, b, h) for operand in operands]
    if op in ("neg", "abs", "sqrt"):
        return -x if op == "neg" else abs(x) if op == "abs" else math.sqrt(abs(x))
    y, = y
    if op == "if":
        if x < y:
            return x + y
        return y
    return {"+": lambda: x + y, "-": lambda: x - y, "*": lambda: x*y, "/": lambda: x/(1 + abs(y)),
            "max": lambda: max(x, y), "min": lambda: min(x, y), "<": lambda: where(x <= y, x, 1.0)}[op]()


@settings(max_examples=10)
@given(trees=st.tuples(_trees, _trees, _trees), seed=st.integers(0, 1000))
def test_random_rules(trees, seed):
    """The same Python on floats, bit for bit (but for the sign of zeros and NaN), in both dialects."""
    def rule(g, a, b, h):
        return tuple(value(tree, g, a, b, h) for tree in trees)

    register_opt("random", state=("a", "b"), replace=True, lr=0.125, k=1.5)(rule)
    try:
        opt, in_place = get_opt("random"), get_opt("random")
        rng = np.random.default_rng(seed)
        state, w, total, gradients = [(0.0, 0.0)]*21, np.zeros(21), np.zeros(21), rng.integers(-32, 33, (3, 21))/16
        for t, grad in enumerate(gradients, 1):
            found = [rule(float(g), a, b, SimpleNamespace(lr=0.125, k=1.5, t=t)) for g, (a, b) in zip(grad, state)]
            state = [rest for _, *rest in found]
            deltas = np.array([delta for delta, *_ in found], float)
            assert_array_equal(opt.update(grad), deltas)
            w += deltas
            assert_array_equal(opt.state[0]["a"], [a for a, _ in state])
            assert_array_equal(opt.state[0]["b"], [b for _, b in state])
        for t in range(3):
            in_place.step(total, gradients[t])
        assert_array_equal(total, w)
    finally:
        fastnn.unregister("random")
