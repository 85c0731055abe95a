"""Norms and means of tensors and their units: against exact values, at any scale, and always to the same bits."""
import hashlib
import math
import tracemalloc
from itertools import product

import numpy as np
import pytest
from mpmath import mp, mpf, sqrt as exact_root

import fastnn
from fastnn.core.levels import usable
from fastnn.core.reductions import _of_units, norm, norms, scale, sum_of_squares
from fastnn.nn import clip_grad_norm
from fastnn.nn.finite import all_finite
from helpers import assert_same_bits, python, ulps

try:
    from ml_dtypes import bfloat16
except ImportError:                     # no wheels for musl
    bfloat16 = np.float16

HALVES = sorted({np.float16, bfloat16}, key=str)
DTYPES = [*HALVES, np.float32, np.float64]
LENGTHS = [*range(101), 511, 512, 513, 527, 1025, 8191, 8193, 20_000, 70_001]
UNITS = [(1,), (70,), (784, 100), (100, 10), (10, 100), (1, 30), (30, 1), (5000, 3), (3, 5000), (700, 300), (2, 600),
         (129, 257), (4, 3, 5, 6), (3, 3, 40, 20), (64, 3, 3, 3), (2, 40, 50), (300, 2, 40), (1030, 2, 2), (0, 3),
         (3, 0)]

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def as_before():
    yield
    fastnn.set_num_threads(None)


def normal(shape, dtype=np.float32, seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def exact_norm(arrays):
    """The float64 next to the norm."""
    if all(a.dtype.itemsize < 8 for a in arrays):
        return math.sqrt(math.fsum(float(x) ** 2 for a in arrays for x in a.flat))          # exact squares
    with mp.workprec(150):
        root = exact_root(mp.fsum((mpf(float(x)) for a in arrays for x in a.flat), squared=True))
    return float(root)                  # infinite beyond float64


def bound(arrays):
    """In ULP of float64: an element's square is rounded, and on its way to the sum part of at most 23 additions in its
    block and of one for each doubling of blocks and arrays. The root halves all that, and is rounded."""
    blocks = sum(max(1, math.ceil(a.size / 512)) for a in arrays)
    return 1 + (24 + math.ceil(math.log2(blocks)) + 1 + math.ceil(math.log2(len(arrays)))) / 2


def assert_near(got, arrays, most=None):
    error = ulps(got, exact_norm(arrays), np.float64)
    assert error <= (bound(arrays) if most is None else most), (float(error), got)


# Values

@each_dtype
def test_norms_are_right(dtype):
    arrays = [normal(n, dtype, n) for n in LENGTHS]
    for a, got in zip(arrays, norms(arrays), strict=True):
        assert_near(got, [a], 2)
        assert norm([a]) == got
    assert_near(norm(arrays), arrays, 2)
    assert norm([]) == norm([np.zeros(0, dtype)]) == norm([np.zeros(1000, dtype)] * 2) == 0


@pytest.mark.parametrize("value", [0.1, 1 + 2**-52, 4 / 3])
def test_errors_that_add_up_are_within_the_bound(value):
    for n in (31, 512, 513, 30_000):
        arrays = [np.full(n, value), np.full(3 * n, value)]
        assert_near(norm(arrays), arrays)


@each_dtype
def test_every_element_counts(dtype):
    for n in (1, 2, 3, 4, 7, 15, 16, 17, 31, 33, 63, 100, 515, 1100):
        for i in range(n):
            a = np.zeros(n, dtype)
            a[i] = -3
            assert norm([a]) == 3 and sum_of_squares(a) == 9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_the_range(dtype):
    limits = np.finfo(dtype)
    for size in (limits.smallest_subnormal, 3 * limits.smallest_subnormal, limits.smallest_normal, limits.max / 64):
        for n in (1, 2, 50, 3000):
            a = np.full(n, size, dtype)
            assert_near(norm([a]), [a])
            assert_near(norm([a, a[:1]]), [a, a[:1]])
    largest = math.inf if dtype == np.float64 else 3**0.5 * float(limits.max)
    assert norm([np.full(3, limits.max, dtype)]) == pytest.approx(largest)


SCALES = (0, 1e-320, 1e-200, 1e-140, 1e-130, 1, 1e140, 1e160, 1e306)


def test_tensors_of_all_scales_together():
    for sizes in product(SCALES, repeat=3):
        arrays = [normal(20 + i, np.float64, i) * size for i, size in enumerate(sizes)]
        arrays.append(np.zeros(5, np.float32))
        for a, got in zip(arrays, norms(arrays), strict=True):
            assert_near(got, [a])
        assert_near(norm(arrays), arrays)
    assert norm([np.full(2, 1.7e308), np.ones(2)]) == math.inf
    assert norm([np.full(1, 1.7e308), np.full(1, 1.7e308)]) == math.inf
    assert sum_of_squares(np.full(3, 1e200)) == math.inf and sum_of_squares(np.full(3, 1e-200)) == 0


@each_dtype
@pytest.mark.parametrize("n", [1, 5, 16, 100, 3000, 20_000])
def test_what_is_not_finite(dtype, n):
    for i in {0, n // 2, n - 1}:
        for bad in (np.inf, -np.inf, np.nan, -np.nan):
            a = normal(n, dtype)
            a[i] = bad
            each = norms([normal(9, dtype), a])
            assert each[0] == norm([normal(9, dtype)])
            for got in (each[1], norm([normal(9, dtype), a])):
                assert np.array_equal(got, abs(bad), equal_nan=True) and not np.signbit(got)
            assert not all_finite([normal(9, dtype), a])
            a[0], a[-1] = (np.nan, np.inf)
            if n > 1:
                assert math.isnan(norm([a]))


def test_finite_numbers_whose_norm_is_not():
    assert all_finite([np.full(9, 1.7e308)]) and all_finite([np.full(9, np.finfo(np.float32).max)])
    assert all_finite([np.arange(5), np.array([True]), np.float64(2), [1.0, 2.0]]) and all_finite([])
    assert not all_finite([np.full(9, 1.7e308), np.array([np.nan])])


def test_whole_numbers_are_exact():
    a = np.arange(3000.0)
    assert sum_of_squares(a) == (2999 * 3000 * 5999) / 6
    assert sum_of_squares(a.astype(np.float32)) == sum_of_squares(a.reshape(60, 50).T) == sum_of_squares(a)


@each_dtype
def test_any_layout(dtype):
    a = normal((40, 60), dtype)
    room = np.zeros(a.nbytes + 1, np.uint8)
    unaligned = room[1:].view(dtype).reshape(a.shape)
    unaligned[...] = a
    assert norm([unaligned]) == norm([a])
    assert norm([np.repeat(a, 2, axis=1)[:, ::2]]) == norm([a])
    assert norm([a.copy()[::-1, ::-1]]) == norm([a[::-1, ::-1].copy()])
    assert norm([a.T]) == norm([np.asfortranarray(a).T]) == norm([a])
    if a.dtype.kind == "f":             # NumPy swaps its own dtypes alone
        assert norm([a.astype(a.dtype.newbyteorder())]) == norm([a])


def test_long_double():
    a = normal(1000, np.longdouble)
    assert norm([a]) == norm([a.astype(np.float64)])
    wanted = clip_grad_norm([b := a.copy()], 1.0)
    assert wanted == norm([a]) and norm([b]) == pytest.approx(1)


# The same bits

def assert_always_the_same(call):
    wanted = None
    for threads in (1, 2, 3, 7, 2):
        fastnn.set_num_threads(threads)
        got = [np.array(result) for result in call()]
        wanted = wanted or got
        for one, other in zip(got, wanted, strict=True):
            assert_same_bits(one, other, threads)


@each_dtype
def test_the_number_of_threads_makes_no_difference(dtype):
    arrays = [normal(n, dtype, n) for n in (3, 0, 40_000, 513, 1, 100_003, 7)]
    assert_always_the_same(lambda: [norms(arrays), norm(arrays), sum_of_squares(arrays[2])])
    if dtype == np.float64:
        for factor in (1e-200, 1e200):
            extreme = [a * factor for a in arrays]
            assert_always_the_same(lambda: [norms(extreme), norm(extreme), norm([*extreme, *arrays])])

    def scaled():
        scale(copies := [a.copy() for a in arrays], 0.1)
        return copies
    assert_always_the_same(scaled)
    for shape in ((4000, 11), (300, 201), (30, 5, 400), (16, 3000), (3000, 16)):
        for axis in range(len(shape)):
            a = normal(shape, dtype)
            assert_always_the_same(lambda: [_of_units(a, axis, what) for what in ("norms", "means", "filled")])


def bits():
    """A sum over everything that is computed, for test_all_levels_give_the_same_bits."""
    results = []
    for dtype in DTYPES:
        arrays = [normal(n, dtype, n) for n in LENGTHS]
        results += [norms(arrays), norm(arrays), norms([normal(999, dtype) * dtype(1e-4)])]
        scale(arrays, 0.3)
        results += arrays
        for shape in UNITS:
            for axis in range(len(shape)):
                a = normal(shape, dtype)
                results += [_of_units(a, axis, what) for what in ("norms", "means", "filled")]
    results += [norms([normal(n, np.float64) * factor for factor in SCALES]) for n in (5, 4000)]
    return hashlib.md5(b"".join(np.asarray(result).tobytes() for result in results)).hexdigest()


def test_all_levels_give_the_same_bits():
    done = [python("import test_norms; print(test_norms.bits())", FASTNN_ISA=level) for level in usable()]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * len(done)
    assert len({one.stdout for one in done}) == 1


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_count_as_floats(dtype):
    arrays = [normal(n, dtype, n) for n in (5, 300, 40_000)]
    floats = [a.astype(np.float32) for a in arrays]
    assert norms(arrays) == norms(floats) and norm(arrays) == norm(floats)
    for shape, what in product(UNITS, ("norms", "means", "filled")):
        for axis in range(len(shape)):
            a = normal(shape, dtype)
            assert_same_bits(_of_units(a, axis, what), _of_units(a.astype(np.float32), axis, what))


# Units

@pytest.mark.parametrize("shape", UNITS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_and_means_of_units(shape, dtype):
    for order, axis in product("CF", range(len(shape))):
        a = np.asarray(normal(shape, dtype), order=order)
        units = np.moveaxis(a, axis, 0)
        got, means, filled = (_of_units(a, axis, what) for what in ("norms", "means", "filled"))
        assert_same_bits(filled, means)
        assert got.shape == means.shape == (shape[axis],)
        for i, unit in enumerate(units):
            if unit.size == 0:
                assert got[i] == 0 and math.isnan(means[i])
                continue
            if i < 20 or i > len(units) - 3:
                assert_near(got[i], [unit])
            exact, size = math.fsum(unit.flat) / unit.size, math.fsum(abs(unit).flat) / unit.size
            assert abs(means[i] - exact) <= 50 * 2**-53 * size


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (70, 9), (9, 70), (9, 3, 5)])
@pytest.mark.parametrize("order", "CF")
def test_units_of_all_scales(shape, order):
    axis = shape.index(9)
    sizes = np.array(SCALES).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    a = np.asarray(normal(shape, np.float64) * sizes, order=order)
    for got, unit in zip(_of_units(a, axis, "norms"), np.moveaxis(a, axis, 0), strict=True):
        assert_near(got, [unit])
    units = np.moveaxis(a, axis, 0)
    units[0, 1], units[1, 0], units[2, 0], units[2, 1] = np.inf, -np.nan, np.nan, np.inf
    got = _of_units(a, axis, "norms")
    assert got[0] == np.inf and np.isnan(got[1:3]).all() and not np.signbit(got[1:3]).any()
    for got, unit in zip(got[3:], units[3:], strict=True):
        assert_near(got, [unit])


# Scaling

@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("factor", [0.1, 1 / 3, 0.99, 3e-5, 1e-9])
def test_halves_are_multiplied_in_float32(dtype, factor):
    codes = np.arange(2**16, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):                 # of signalling NaN, on aarch64
        x = codes[np.isfinite(codes.astype(np.float32))]
    wanted = (x.astype(np.float32) * np.float32(factor)).astype(dtype)
    assert (wanted != x * dtype(factor)).any()          # what a product in half precision would give
    whole, strided = x.copy(), np.zeros((x.size, 2), dtype)[:, 0]
    strided[...] = x
    with np.errstate(all="ignore"):
        scale([whole, strided], factor)
    assert_same_bits(whole, wanted)
    assert_same_bits(strided.copy(), wanted)


def test_small_factors_do_not_vanish():
    """The factor itself is far below float16."""
    half, single = np.array([60000, -30000], np.float16), np.array([1e13], np.float32)
    clip_grad_norm([half, single], 1e4)
    assert_same_bits(half, np.array([6e-5, -3e-5], np.float16))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_multiplied_as_numpy_does(dtype):
    arrays = [normal(n, dtype, n) for n in (0, 1, 7, 513, 30_000)]
    wanted = [a * dtype(0.3) for a in arrays]
    scale(arrays, 0.3)
    for one, other in zip(arrays, wanted, strict=True):
        assert_same_bits(one, other)
    tiny = np.full(40, np.finfo(dtype).smallest_subnormal * 9, dtype)
    scale([tiny], 0.3)
    assert (tiny == np.finfo(dtype).smallest_subnormal * 3).all()


@each_dtype
def test_no_copies_of_gradients_are_made(dtype):
    grads = [normal(100_000, dtype), normal((300, 200), dtype), np.asfortranarray(normal((50, 400), dtype))]
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        clip_grad_norm(grads, 1.0)
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert most < 20_000


def test_shared_memory_is_found_beyond_what_lies_between():
    room = np.ones(200)
    outer, between, behind = room[0:100:2], room[1:20:2], room[90:110]
    for arrays in ([outer, between, behind], [behind, between, outer]):
        with pytest.raises(ValueError, match="gradients 0 and 2 share memory"):
            clip_grad_norm(arrays, 1.0)
        with pytest.raises(ValueError, match="elements of gradient 1 share memory"):
            clip_grad_norm([between, np.lib.stride_tricks.sliding_window_view(room, 3, writeable=True)], 1.0)
    assert (room == 1).all()
    assert clip_grad_norm([outer, between, room[100:]], 4.0) == pytest.approx(160**0.5)
