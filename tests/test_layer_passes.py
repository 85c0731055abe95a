"""Batch normalization and dropout in the core: against formulas in float64 and Philox written out."""
import math

import numpy as np
import pytest

import fastnn
from fastnn.core.dropout import drop, masked, philox
from fastnn.core.normalization import normalize, normalize_batch, normalize_batch_backward

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(2, 1), (3, 5), (7, 16), (8, 100), (128, 100), (33, 129), (2, 3000), (300, 257)]
EPS = 1e-6


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


def vectors(columns, dtype):
    gamma, beta, mean = normal((3, columns), dtype, 1)
    return gamma, beta, mean, np.abs(mean) + dtype(0.5)


# Batch normalization

@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0, 1000])
def test_forward_is_the_formula(shape, shift, dtype):
    x = (normal(shape) + shift).astype(dtype)
    gamma, beta, mean, var = vectors(shape[1], dtype)
    out = np.full_like(x, np.nan)
    y, _, new_mean, new_var = normalize_batch(x, gamma, beta, EPS, 0.75, mean, var, out)
    assert y is out and new_mean.dtype == new_var.dtype == dtype
    wide = x.astype(np.longdouble)
    batch_mean, batch_var = wide.mean(axis=0), wide.var(axis=0)
    eps = float(np.finfo(dtype).eps)
    std = np.sqrt(batch_var + EPS)
    of_mean = 4 * eps * np.abs(wide).mean(axis=0)       # eight rows are added in the dtype
    bound = np.abs(gamma) / std * (of_mean + (8 * eps + (of_mean / std)**2) * np.abs(wide - batch_mean))
    bound += 4 * eps * np.abs(beta)
    assert (np.abs(y - (gamma * (wide - batch_mean) / std + beta)) <= bound).all()
    assert (np.abs(new_mean - (0.75 * mean + 0.25 * batch_mean)) <= of_mean + eps * np.abs(mean)).all()
    assert (np.abs(new_var - (0.75 * var + 0.25 * batch_var)) <= 8 * eps * (var + batch_var) + of_mean**2).all()
    still = normalize(x, mean, var, gamma, beta, EPS)
    np.testing.assert_allclose(still, gamma * (wide - mean) / np.sqrt(var + EPS) + beta, rtol=30 * eps,
                               atol=30 * eps * (np.abs(gamma).max() * (np.abs(wide).max() + 4) + 4))


@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
def test_backward_is_the_formula(shape, dtype):
    x, grad = normal(shape, dtype), normal(shape, dtype, 5)
    gamma, beta, mean, var = vectors(shape[1], dtype)
    kept = normalize_batch(x, gamma, beta, EPS, 0.9, mean, var)[1]
    out = np.full_like(x, np.nan)
    dx, dgamma, dbeta = normalize_batch_backward(grad, kept, gamma, out)
    assert dx is out and dgamma.dtype == dbeta.dtype == dtype
    wide = x.astype(np.longdouble)
    std = np.sqrt(wide.var(axis=0) + EPS)
    normed, factor = (wide - wide.mean(axis=0)) / std, gamma / std
    eps = float(np.finfo(dtype).eps)
    of_mean = 4 * eps * np.abs(wide).mean(axis=0) / std + 8 * eps       # what normed is off by
    size = np.abs(grad).sum(axis=0)
    assert (np.abs(dbeta - grad.sum(axis=0, dtype=np.longdouble)) <= 4 * eps * size).all()
    assert (np.abs(dgamma - (grad * normed).sum(axis=0)) <= size * (of_mean + 8 * eps) * (1 + np.abs(normed))).all()
    exact = factor * (grad - grad.mean(axis=0, dtype=np.longdouble) - normed * (grad * normed).mean(axis=0))
    room = np.abs(factor) * (np.abs(grad) + size / len(x) * (1 + np.abs(normed))**2)
    assert (np.abs(dx - exact) <= 2 * room * of_mean).all()


def test_of_any_layout_and_type():
    x, grad = normal((6, 5)), normal((6, 5), seed=5)
    gamma, beta, mean, var = vectors(5, np.float64)
    y, kept, *running = normalize_batch(x, gamma, beta, EPS, 0.9, mean, var)
    back = normalize_batch_backward(grad, kept, gamma)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a.astype(">f8"), list):
        got, kept, *moved = normalize_batch(*map(layout, (x, gamma, beta)), EPS, 0.9, *map(layout, (mean, var)))
        for one, other in zip((got, *moved, *normalize_batch_backward(layout(grad), kept, layout(gamma))),
                              (y, *running, *back)):
            np.testing.assert_array_equal(one, other)
    assert normalize(np.arange(10).reshape(2, 5), mean, var, gamma, beta, EPS).dtype == np.float64
    assert normalize(x[:0], mean, var, gamma, beta, EPS).shape == (0, 5)


def test_what_does_not_fit_is_refused():
    x, (gamma, beta, mean, var) = normal((6, 5)), vectors(5, np.float64)
    read_only = np.zeros((6, 5))
    read_only.flags.writeable = False
    kept = normalize_batch(x, gamma, beta, EPS, 0.9, mean, var)[1]
    for wrong in (x[0], gamma[:4], "a", None, np.ones((5, 1)), [1.0, [2.0]], gamma * 1j):
        for call in (lambda: normalize(x, mean, var, wrong, beta, EPS), lambda: normalize(x, wrong, var, gamma, beta, EPS),
                     lambda: normalize_batch(x, gamma, wrong, EPS, 0.9, mean, var),
                     lambda: normalize_batch_backward(x, kept, wrong)):
            if wrong is not x[0] and not (isinstance(wrong, np.ndarray) and wrong.shape == (5,) and wrong.dtype == float):
                with pytest.raises((ValueError, TypeError)):
                    call()
    for out in (x, read_only, x.astype(np.float32), np.zeros((5, 6)), np.zeros((5, 6)).T, [0.0]):
        for call in (lambda: normalize(x, mean, var, gamma, beta, EPS, out),
                     lambda: normalize_batch(x, gamma, beta, EPS, 0.9, mean, var, out),
                     lambda: normalize_batch_backward(x + 1, kept, gamma, out)):
            with pytest.raises(ValueError, match="out must be"):
                call()
    for grad in (x[:5], x[:, :4], x[0]):
        with pytest.raises(ValueError, match="the gradient must"):
            normalize_batch_backward(grad, kept, gamma)
    two = np.stack([mean, gamma])
    for wrong in ((x, two, two.astype(np.float32)), (x, two[:, :4].copy(), two), (x[:, ::2], two, two), (x[0], two, two),
                  (x, two, two[:1]), (x, mean, two), (x, two, two[:, ::-1])):
        with pytest.raises(ValueError, match="not what normalize_batch kept"):
            normalize_batch_backward(x, wrong, gamma)
    for wrong in ((x, mean), (x, None, mean), (1, 2, 3)):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            normalize_batch_backward(x, wrong, gamma)


# Random numbers

def philox_by_the_paper(counter, key):
    """Philox4x32-10 of four words and two."""
    a, b, c, d = counter
    key0, key1 = key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = q >> 32 ^ b ^ key0, q & 0xFFFFFFFF, p >> 32 ^ d ^ key1, p & 0xFFFFFFFF
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return [a, b, c, d]


# the authors' own vectors, kat_vectors of Random123 1.14
@pytest.mark.parametrize(("counter", "key", "words"), [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
])
def test_philox_by_its_authors(counter, key, words):
    assert philox_by_the_paper(counter, key) == [int(word, 16) for word in words.split()]


@pytest.mark.parametrize("key", [0, 1, 2**32, 2**64 - 1, 0x299F31D0A4093822])
@pytest.mark.parametrize("counter", [0, 16, 2**32 - 8, 2**40 + 5])
@pytest.mark.parametrize("stream", [0, 1])
def test_philox_is_philox(key, counter, stream):
    wanted = []
    for c in range(counter, counter + 16):
        wanted += philox_by_the_paper((c & 0xFFFFFFFF, c >> 32, stream, 0), (key & 0xFFFFFFFF, key >> 32))
    assert philox(key, counter, stream).tolist() == wanted


def numbers(key, n):
    """Those of masks.h."""
    def words(stream, of):
        found = np.concatenate([philox(key, c, stream) for c in range(0, of // 4 + 16, 16)])
        return found[:of].astype(np.uint64)

    halves = words(0, n // 2 + 1)
    top = np.stack([halves & np.uint64(0xFFFF), halves >> np.uint64(16)], axis=1).reshape(-1)[:n]
    return top << np.uint64(32) | words(1, n)


@each_dtype
@pytest.mark.parametrize("ratio", [0, 1e-12, 0.1, 0.5, 1/3, 0.999, 1 - 2**-53])
def test_masks_are_those_numbers(ratio, dtype):
    n, key = 70_001, 2**53 - 11
    x = normal(n, dtype)
    y, mask = drop(x, ratio, key)
    np.testing.assert_array_equal(mask, numbers(key, n) >= np.uint64(min(round(ratio * 2**48), 2**48 - 1)))
    np.testing.assert_array_equal(y, x * mask)
    assert mask.dtype == bool and abs(np.count_nonzero(~mask) - n * ratio) <= 5 * math.sqrt(n * ratio * (1 - ratio)) + 1


def test_ties_of_the_upper_bits_are_decided_by_the_lower():
    """A ratio between two multiples of 2^-16: those elements alone differ whose upper bits are the lesser's."""
    n, key, top = 1 << 20, 12345, 0x4000
    below, middle, above = (drop(np.ones(n, np.float32), (top + part) / 2**16, key)[1] for part in (0, 0.5, 1))
    given = numbers(key, n)
    tied = (given >> np.uint64(32)) == top
    assert tied.sum() > 4
    np.testing.assert_array_equal(below & ~above, tied)
    np.testing.assert_array_equal(below & ~middle, tied & ((given & np.uint64(0xFFFFFFFF)) < 2**31))


def test_masks_are_independent():
    """Of one another and along rows and columns: correlations of 40,000 elements are within five standard errors."""
    shape = (200, 200)
    masks = [drop(np.ones(shape, np.float32), 0.5, key)[1] * 2.0 - 1 for key in (0, 1, 2, 2**32, 2**52, 2**53 - 1)]
    for i, one in enumerate(masks):
        assert abs(one.mean()) < 5 / 200
        for other in (np.roll(one, 1, 0), np.roll(one, 1, 1), np.roll(one, 3, 1), one.T, *masks[:i]):
            assert abs((one * other).mean()) < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("threads", [1, 3])
def test_dropout_in_place_and_of_any_layout(threads):
    fastnn.set_num_threads(threads)
    try:
        x = normal((300, 257), np.float32)
        y, mask = drop(x, 0.4, 7)
        mine = x.copy()
        assert drop(mine, 0.4, 7, mine)[0] is mine
        np.testing.assert_array_equal(mine, y)
        mine = x.copy()
        assert masked(mine, mask, mine) is mine
        np.testing.assert_array_equal(mine, y)
        for given in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x.astype(">f4")):
            np.testing.assert_array_equal(drop(given, 0.4, 7)[0], y)
            np.testing.assert_array_equal(masked(given, mask), y)
    finally:
        fastnn.set_num_threads(None)
    bad = np.array([np.nan, np.inf, -1.0])
    np.testing.assert_array_equal(masked(bad, np.zeros(3, bool)), [np.nan, np.nan, -0.0])
    assert drop(np.float32(3), 0.0, 1)[0] == 3 and drop(np.empty((0, 3)), 0.5, 1)[0].shape == (0, 3)


def test_dropout_that_cannot_be():
    x, mask = normal((4, 5)), np.ones((4, 5), bool)
    for ratio in (-0.1, 1, math.nan, 2):
        with pytest.raises(ValueError, match="ratio must be"):
            drop(x, ratio, 1)
    for key in (-1, 2**64):
        with pytest.raises(OverflowError):
            drop(x, 0.5, key)
    for out in (x[:3], x.astype(np.float32), np.zeros((5, 4)).T, mask, [1.0], np.zeros((8, 5))[::2]):
        with pytest.raises(ValueError, match="out must be x"):
            drop(x, 0.5, 1, out)
        with pytest.raises(ValueError, match="out must be x"):
            masked(x, mask, out)
    for wrong, error in ((mask[:3], ValueError), (mask.astype(np.uint8), TypeError), (mask[:, ::-1], TypeError),
                         ([True], TypeError), (None, TypeError)):
        with pytest.raises(error, match="mask"):
            masked(x, wrong)
    wide = np.ones(21)
    with pytest.raises(ValueError, match="out must be x"):
        drop(wide[1:], 0.5, 1, wide[:-1])
