"""Optimizer state in bfloat16 and int8."""
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import dlfs, get_opt
from fastnn.core.levels import usable
from fastnn.datasets import load_digits
from fastnn.nn import MultiLayerNet, Trainer
from helpers import assert_same_bits, beside, python, without_decay
from oracles.stored import stored

ABLE = [name for name in fastnn.optimizers() if type(get_opt(name)).stored]
SIZES = [1, 10, 31, 33, 255, 256, 257, 700]
FINEST = {"bfloat16": 2.0**-7, "int8": 2.0**-4}         # of a logarithmic scale: from a code to the next

each_name = pytest.mark.parametrize("name", ABLE)
each_small_dtype = pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])


def gradients(size, steps=6, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    spread = np.exp(3*rng.standard_normal(size))
    return [(scale*spread*rng.standard_normal(size)).astype(np.float32) for _ in range(steps)]


def keeper(spacing, state_dtype):
    """(optimizer, slot): its only state is, exactly, the last gradient (its magnitude on a logarithmic scale)."""
    if spacing == "linear":
        return get_opt("Momentum", lr=1, momentum=0, state_dtype=state_dtype), "v"
    return get_opt("AdaMax", beta2=0, eps=0, state_dtype=state_dtype), "u"


def kept(spacing, state_dtype, grad, passes=1):
    opt, slot = keeper(spacing, state_dtype)
    for _ in range(passes):
        opt.update(grad)
        yield (-1 if spacing == "linear" else 1)*opt.state[0][slot]


each_spacing = pytest.mark.parametrize("spacing", ["linear", "logarithmic"])
EXTREMES = {
    "zeros": np.zeros(40), "tiny": np.geomspace(1e-37, 1e-31, 300), "huge": np.linspace(1e37, 3.4e38, 300),
    "one": [3.7], "wide": np.geomspace(1e-30, 1e30, 1000), "equal": np.full(300, 0.3),
    "grid": 2.0**np.arange(-20, 20), "a zero": np.r_[np.zeros(255), 1, np.zeros(10)],
    "NaN": np.r_[1, np.nan, 2:400], "infinity": np.r_[1, np.inf, 2:400], "only NaN": np.full(33, np.nan),
    "largest": np.r_[np.finfo(np.float32).max, 1:400],
}


@each_spacing
@each_small_dtype
@pytest.mark.parametrize("values", EXTREMES.values(), ids=EXTREMES)
def test_extremes(spacing, state_dtype, values):
    grad = np.asarray(values, np.float32)
    if spacing == "linear":
        grad = grad*np.where(np.arange(grad.size) % 3, 1, -1).astype(np.float32)
    lost = np.zeros(grad.size, bool)
    slot = 0 if spacing == "linear" else 1
    for count, found in enumerate(kept(spacing, state_dtype, grad, 3)):
        x = grad if spacing == "linear" else abs(grad)
        sign = -1 if spacing == "linear" else 1         # the state is -grad
        wanted = sign*stored(sign*x, state_dtype, spacing, count, slot)
        wanted[lost & (spacing == "linear")] = np.nan   # 0 times infinity
        lost |= ~np.isfinite(found)
        wanted[abs(wanted) < np.finfo(np.float32).smallest_normal] = 0
        found = np.where(abs(found) < np.finfo(np.float32).smallest_normal, 0, found)
        assert_array_equal(found, wanted)


@each_small_dtype
@pytest.mark.parametrize("size", SIZES)
def test_adam_bit_by_bit(state_dtype, size):
    opt, m, v, p = get_opt("Adam", state_dtype=state_dtype), *np.zeros((3, size), np.float32)
    c = np.array([1 - opt.beta1, 1 - opt.beta2], np.float32)
    for count, g in enumerate(gradients(size)):
        m, v = m + c[0]*(g - m), v + c[1]*(g*g - v)
        t = count + 1
        mhat, vhat = m.astype(float)/(1 - opt.beta1**t), v.astype(float)/(1 - opt.beta2**t)
        delta = -opt.alpha*mhat/(np.sqrt(vhat) + opt.eps)
        before = p.copy()
        opt.step(p, g)
        assert_allclose(p - before, delta, atol=2e-6*abs(delta).max() + 1e-7*abs(p).max())
        m, v = stored(m, state_dtype, "linear", count, 0), stored(v, state_dtype, "logarithmic", count, 1)
        assert_array_equal(opt.state[0]["m"], m)
        assert_array_equal(opt.state[0]["v"], v)


@each_small_dtype
@pytest.mark.parametrize("size", SIZES)
def test_momentum_bit_by_bit(state_dtype, size):
    opt, v = get_opt("Momentum", state_dtype=state_dtype), np.zeros(size, np.float32)
    for count, g in enumerate(gradients(size)):
        delta = opt.update(g)
        v = np.float32(opt.momentum)*v - np.float32(opt.lr)*g
        assert_array_equal(delta, v)
        v = stored(v, state_dtype, "linear", count, 0)
        assert_array_equal(opt.state[0]["v"], v)


@each_spacing
@each_small_dtype
def test_rounding_is_right_on_average(spacing, state_dtype):
    grad = np.random.default_rng(1).uniform(0.5, 4, 600).astype(np.float32)
    found = np.array(list(kept(spacing, state_dtype, grad, 2000)), np.float64)
    step = np.ptp(found, axis=0)
    gap = 4/127 if (spacing, state_dtype) == ("linear", "int8") else FINEST[state_dtype]*grad
    assert (step <= 1.001*gap).all()
    assert (abs(found.mean(axis=0) - grad) <= 5*0.5*gap/np.sqrt(2000) + 1e-6).all()
    assert abs((found - grad).mean()) < 0.02*np.mean(gap)


def test_the_largest_of_a_block_has_a_code():
    grad = np.random.default_rng(2).standard_normal(2560).astype(np.float32)
    for found in kept("linear", "int8", grad, 20):
        for got, block in zip(found.reshape(-1, 256), grad.reshape(-1, 256)):
            assert_allclose(abs(got).max(), abs(block).max(), rtol=2e-7)
    top = np.float32(1.0625)                            # 17/16
    grad = np.linspace(0.1, top, 256, dtype=np.float32)
    for found in kept("logarithmic", "int8", grad, 20):
        assert found.max() == top


def test_int8_has_a_floor_under_averages_of_squares():
    grad = np.r_[np.float32(1), np.full(255, 1e-12, np.float32)]
    for found in kept("logarithmic", "int8", grad, 20):
        assert (found[1:] == found[1]).all() and 2.0**-16 < found[1] < 2.0**-15.8


@each_name
@each_small_dtype
def test_nan_stays_with_its_element(name, state_dtype):
    good, spoilt = (get_opt(name, state_dtype=state_dtype, **without_decay(name)) for _ in range(2))
    rest = np.arange(700) != 517
    for step, grad in enumerate(gradients(700)):
        grad[517] = 1e-6                                # never the largest of its block
        wanted = good.update(grad, **beside(good, np.ones(700, np.float32)))
        if step == 2:
            grad[517] = np.nan
        delta = spoilt.update(grad, **beside(spoilt, np.ones(700, np.float32)))
        assert_array_equal(delta[rest], wanted[rest])
        assert np.isnan(delta[517]) == (step >= 2)


@each_name
def test_half_and_a_quarter_of_the_memory(name):
    size = {}
    for state_dtype in ("float32", "bfloat16", "int8"):
        opt = get_opt(name, state_dtype=state_dtype)
        opt.step(np.zeros(100_000, np.float32), np.ones(100_000, np.float32))
        record = opt._record_at(0)
        size[state_dtype] = record.slots.nbytes + (0 if state_dtype == "float32" else record.scales.nbytes)
    assert size["bfloat16"] <= 0.51*size["float32"]
    assert size["int8"] <= 0.255*size["float32"]


@each_name
@each_small_dtype
def test_every_form_gives_the_same(name, state_dtype):
    """Deltas, mappings, sequences; a layout with gaps; more than one thread has anything to do with."""
    shapes = [(33, 700), (10,), (), (0, 3), (257,)]
    start = [np.asarray(gradients(shape, 1)[0]) for shape in shapes]
    forms = []
    for form in ("deltas", "mapping", "sequence", "gaps", "threads"):
        opt = get_opt(name, state_dtype=state_dtype, **without_decay(name))
        params = [p.copy() for p in start]
        if form == "gaps":
            params[0] = np.repeat(params[0], 2, axis=1)[:, ::2]
        fastnn.set_num_threads(3 if form == "threads" else 1)
        try:
            for seed in range(4):
                grads = [np.asarray(gradients(shape, 1, seed=seed)[0]) for shape in shapes]
                if form == "deltas":
                    grads.append(0.5)
                    deltas = opt._step_deltas(grads[:-1], {})
                    params = [p + delta for p, delta in zip(params, deltas)]
                elif form == "mapping":
                    opt.update(dict(zip("abcde", params)), dict(zip("abcde", grads)))
                else:
                    opt.step(params, grads)
        finally:
            fastnn.set_num_threads(None)
        forms.append([np.ascontiguousarray(p) if np.ndim(p) else np.asarray(p) for p in params])
    for form in forms[1:]:
        for one, other in zip(form, forms[0]):
            assert_same_bits(one, other)


def test_every_instruction_set_gives_the_same_bits():
    code = """import hashlib, numpy as np, test_state_dtype as here
for name in here.ABLE:
    for state_dtype in ("bfloat16", "int8"):
        opt, p = here.get_opt(name, state_dtype=state_dtype), np.zeros(1000, np.float32)
        for grad in here.gradients(1000):
            opt.step(p, grad)
        print(name, state_dtype, hashlib.md5(p.tobytes()).hexdigest())"""
    done = [python(code, FASTNN_ISA=level) for level in usable()]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")]*len(done)
    assert len({one.stdout for one in done}) == 1


@cache
def accuracy(name, dtype, factor):
    (x, t), (x_test, t_test) = load_digits()
    net = MultiLayerNet(x.shape[1], [50], 10, dtype=np.float32, rng=0)
    opt = get_opt(name, state_dtype=dtype, lr=factor*get_opt(name).lr)
    Trainer(net, opt, x, t, batch_size=50, rng=0).train(300)
    return net.accuracy(x_test, t_test)


@each_name
@each_small_dtype
def test_it_learns(name, state_dtype):
    """With the default rate, or five times as much where that is too slow for so few steps."""
    wanted, factor = max((accuracy(name, "float32", factor), factor) for factor in (1, 5))
    assert wanted > 0.85
    assert accuracy(name, state_dtype, factor) > wanted - 0.02


@pytest.mark.parametrize("name", sorted(set(fastnn.optimizers()) - set(ABLE)))
@each_small_dtype
def test_rules_without(name, state_dtype):
    with pytest.raises(ValueError, match=f"{name} has no state in {state_dtype}, only .*Momentum.*Adam"):
        get_opt(name, state_dtype=state_dtype)
    assert get_opt(name, state_dtype="float32").state_dtype == "float32"


@pytest.mark.parametrize(("bad", "error"), [("float16", ValueError), ("", ValueError), ("INT8", ValueError),
                                            (None, TypeError), (np.int8, TypeError), (8, TypeError)])
def test_unknown_dtypes(bad, error):
    with pytest.raises(error, match="float32, bfloat16, int8"):
        get_opt("Adam", state_dtype=bad)


@each_small_dtype
def test_float64_is_refused_and_nothing_changed(state_dtype):
    opt, single, double = get_opt("Adam", state_dtype=state_dtype), np.ones(5, np.float32), np.ones(5)
    for attempt in (lambda: opt.step([single, double], [single, double]), lambda: opt.update(np.ones(5)),
                    lambda: opt.update(0.5), lambda: opt.update({"w": double}, {"w": double})):
        with pytest.raises(TypeError, match=f"state_dtype='{state_dtype}'.*float64"):
            attempt()
    assert opt.t == 0 and opt.state == {} and (single == 1).all() and (double == 1).all()


@each_small_dtype
def test_it_is_fixed_and_shown(state_dtype):
    opt = get_opt("Adam", alpha=0.5, state_dtype=state_dtype)
    assert opt.state_dtype == state_dtype
    with pytest.raises(AttributeError):
        opt.state_dtype = "float32"
    again = eval(repr(opt), {"get_opt": get_opt})
    assert again.state_dtype == state_dtype and again.alpha == 0.5 and "state_dtype" not in repr(get_opt("Adam"))
    opt.step(np.zeros((2, 3), np.float32, order="F"), np.ones((2, 3), np.float32))
    shown = opt.state[0]["m"]
    assert shown.shape == (2, 3) and shown.dtype == np.float32 and not shown.flags.writeable
    assert_allclose(shown, 0.1, rtol=0.01)


@each_small_dtype
def test_the_books_classes(state_dtype):
    for make in (dlfs.Momentum, dlfs.Nesterov, dlfs.RMSprop, dlfs.Adam):
        opt, p = make(state_dtype=state_dtype), {"w": np.ones(20, np.float32)}
        opt.update(p, {"w": np.ones(20, np.float32)})
        assert (p["w"] < 1).all() and eval(repr(opt), {**vars(dlfs), "get_opt": get_opt}).state_dtype == state_dtype
    with pytest.raises(ValueError, match="only"):
        dlfs.AdaGrad(state_dtype=state_dtype)
