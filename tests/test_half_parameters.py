"""Parameters in float16 and bfloat16: computed in float32 with float32 state, rounded once a step to nearest even."""
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastnn
from fastnn import get_opt
from helpers import assert_same_bits, python, seeded

HALVES = [np.float16]
try:
    import ml_dtypes
except ImportError:
    pass
else:
    HALVES.append(ml_dtypes.bfloat16)

NAMES = fastnn.optimizers()
each_half = pytest.mark.parametrize("half", HALVES, ids=lambda half: np.dtype(half).name)
each_name = pytest.mark.parametrize("name", NAMES)


def new(name, **options):
    return get_opt(name, **seeded(name), **options)


def numbers(shape, seed, dtype=np.float32, scale=1.0):
    return np.asarray(scale*np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def assert_same_halves(got, wanted):
    assert got.dtype == wanted.dtype
    with np.errstate(invalid="ignore"):
        same = (got.view(np.uint16) == wanted.view(np.uint16)) | (np.isnan(got) & np.isnan(wanted))
    assert same.all(), (got[~same][:5], wanted[~same][:5])


@each_half
def test_every_half_is_read_and_written(half):
    every = np.arange(2**16).astype(np.uint16).view(half)
    p = every.copy()
    get_opt("SGD", lr=0).step(p, np.full(p.size, -1, np.float32))       # adds 0
    with np.errstate(invalid="ignore"):                                 # NumPy's own, over NaN
        wanted = np.where(every == 0, np.asarray(0, half), every)       # -0 + 0 = 0
        negative = 0 - wanted
    if half is not np.float16:                                          # float32 steps flush subnormals
        tiny = every.view(np.uint16) & 0x7F80 == 0
        wanted[tiny], negative[tiny] = 0, 0
    assert_same_halves(p, wanted)
    for dtype in (half, np.float32):
        with np.errstate(invalid="ignore"):                             # of signalling NaN, on aarch64
            p, g = np.zeros(every.size, half), every.astype(dtype)
        get_opt("SGD", lr=1).step(p, g)
        assert_same_halves(p, negative)


def test_rounding_to_nearest_even():
    rng = np.random.default_rng(0)
    halves = np.arange(2**15).astype(np.uint16)
    for half in HALVES:
        with np.errstate(invalid="ignore"):                             # of signalling NaN, on aarch64
            edges = halves.view(half).astype(np.float32)
        edges = edges[np.isfinite(edges)]
        with np.errstate(over="ignore"):
            middles = (edges[:-1].astype(float) + edges[1:])/2
            x = middles.astype(np.float32)
        special = np.array([np.inf, 3e38, 65503.9, 65519.9, 65520, 65536, 1e6], np.float32)
        x = np.concatenate([x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(np.inf)), special,
                            rng.integers(0, 2**31, 200_000, np.uint32).view(np.float32)])
        with np.errstate(invalid="ignore"):
            x = np.concatenate([x, -x])
        x[abs(x) < np.finfo(np.float32).smallest_normal] = 0
        p = np.zeros(x.size, half)
        get_opt("SGD", lr=1).step(p, -x)
        with np.errstate(over="ignore", invalid="ignore"):
            assert_same_halves(p, (0 + x).astype(half))


@each_half
@each_name
@pytest.mark.parametrize("gradient", ["same", "float32", "float64"])
def test_a_step_is_a_float32_step_rounded(name, half, gradient):
    shapes = [(3, 171), (17,), (), (600,)]
    opt, single = new(name), new(name)
    params = {str(i): numbers(shape, i, half) for i, shape in enumerate(shapes)}
    for t in range(4):
        dtype = {"same": half}.get(gradient, gradient)
        grads = {key: numbers(p.shape, t, dtype, 0.01) for key, p in params.items()}
        wide = {key: p.astype(np.float32) for key, p in params.items()}
        opt.update(params, grads)
        single.update(wide, {key: g.astype(np.float32) for key, g in grads.items()})
        for key, p in params.items():
            with np.errstate(over="ignore"):            # Santa may explode
                wanted = wide[key].astype(half)
            assert_same_halves(np.atleast_1d(p), np.atleast_1d(wanted))
        for key, slots in opt.state.items():
            for slot, value in slots.items():
                assert_same_bits(value, single.state[key][slot])


@each_half
@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
def test_with_state_in_fewer_bits(half, state_dtype):
    opt, single = (get_opt("Adam", state_dtype=state_dtype) for _ in range(2))
    p = numbers(1000, 0, half)
    for t in range(4):
        wide, grad = p.astype(np.float32), numbers(1000, t)
        opt.step(p, grad)
        single.step(wide, grad)
        assert_same_halves(p, wide.astype(half))


@each_half
def test_layouts_and_threads(half):
    start, plain = numbers((40, 513), 0, half), get_opt("Adam")
    grads = [numbers(start.shape, t, half) for t in range(3)]
    wanted = start.copy()
    for grad in grads:
        plain.step(wanted, grad)
    layouts = [np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: np.array(a[::-1])[::-1]]
    if half is np.float16:
        layouts.append(lambda a: a.astype(">f2"))
    for layout in layouts:
        for of_gradient in (np.array, layout):
            p, opt = layout(start), get_opt("Adam")
            fastnn.set_num_threads(3)
            try:
                for grad in grads:
                    opt.step(p, of_gradient(grad))
            finally:
                fastnn.set_num_threads(None)
            assert_same_halves(np.array(p, half, order="C"), wanted)


@each_half
def test_deltas_of_half_gradients_are_float32(half):
    opt, single = get_opt("Adam"), get_opt("Adam")
    for t in range(3):
        grad = numbers(50, t, half)
        assert_same_bits(opt.update(grad), single.update(grad.astype(np.float32)))
    assert type(get_opt("Adam").update(np.asarray(1, half)[()])) is np.float32


@each_half
def test_float32_parameters_take_half_gradients(half):
    opt, single, p, q = get_opt("Adam"), get_opt("Adam"), numbers(700, 0), numbers(700, 0)
    for t in range(3):
        grad = numbers(700, t, half)
        opt.update({"w": p}, {"w": grad})
        single.update({"w": q}, {"w": grad.astype(np.float32)})
        assert_array_equal(p, q)


@each_half
def test_a_gradient_in_the_memory_of_its_parameter(half):
    """A gradient of another size at the same address is not the parameter itself."""
    room, opt, plain = np.zeros(20_000, np.float32), get_opt("SGD", lr=0.5), get_opt("SGD", lr=0.5)
    room[:10_000] = numbers(10_000, 1)
    p, grad = room.view(half)[:10_000], room[:10_000]
    p[:] = numbers(10_000, 2, half)
    q, g = p.copy(), grad.copy()
    for _ in range(2):
        g = grad.copy()
        opt.update({"w": p}, {"w": grad})
        with np.errstate(all="ignore"):
            plain.update({"w": q}, {"w": g})
        assert_same_halves(p, q)


@each_half
def test_another_dtype_under_an_old_key(half):
    opt = get_opt("Adam")
    opt.step(np.ones(5, half), np.ones(5, half))
    with pytest.raises(ValueError, match=f"had dtype {np.dtype(half)}, now float32"):
        opt.step(np.ones(5, np.float32), np.ones(5, half))


def test_ml_dtypes_is_not_imported():
    done = python("""import sys, numpy as np, fastnn
p = np.ones(5, np.float16)
fastnn.get_opt("Adam", state_dtype="bfloat16").step(p, p.copy())
assert "ml_dtypes" not in sys.modules""")
    assert done.returncode == 0, done.stderr
