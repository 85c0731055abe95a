"""Losses of rows where numbers leave the range: scaled cosine, sparsemax of infinities; focal in SIMD lanes and behind."""
import numpy as np
import pytest

from fastnn import get_err
from helpers import FLOATS

each_float = pytest.mark.parametrize("dtype", FLOATS)


@pytest.mark.parametrize("exponents", [(-600, 0), (600, 0), (900, 900), (-900, -900), (990, -980), (600, -300)])
def test_cosine_of_what_has_no_squares_is_that_of_its_directions(exponents):
    """Also its gradient, which is the smaller the longer x."""
    x, t = np.random.default_rng(0).normal(size=(2, 5, 37))
    err = get_err("cosine", eps=1e-300)
    wanted, slope = err.forward(x, t), err.backward()
    far = [np.ldexp(a, e) for a, e in zip((x, t), exponents)]
    np.testing.assert_allclose(err.forward(*far), wanted, rtol=1e-14)
    np.testing.assert_allclose(np.ldexp(err.backward(), exponents[0]), slope, rtol=1e-13, atol=1e-16)


@each_float
@pytest.mark.parametrize("n", [4, 40])
def test_sparsemax_of_infinite_maxima_shares_one(n, dtype):
    x = np.zeros((4, n), dtype)
    x[0, 2] = x[1, 1] = x[2, 1] = x[2, 3] = np.inf
    x[3] = -np.inf
    err = get_err("sparsemax-loss")
    assert [*err.forward(x, [2, 0, 3, 0])] == pytest.approx([0, np.inf, 0.25, 0.5 - 0.5/n])
    y = err.backward() + np.eye(n, dtype=dtype)[[2, 0, 3, 0]]
    np.testing.assert_allclose(y, [np.eye(n)[2], np.eye(n)[1], (np.eye(n)[1] + np.eye(n)[3])/2, np.full(n, 1/n)],
                               rtol=1e-6, atol=1e-7)


@each_float
@pytest.mark.parametrize("name", ["softmax-focal", "sparsemax-loss"])
def test_rows_of_any_length_are_those_of_longer_ones(name, dtype):
    """What is -inf counts for nothing, in whole lanes or behind them."""
    rng = np.random.default_rng(0)
    for n in range(1, 40):
        x, label = rng.normal(size=(3, n)).astype(dtype), rng.integers(n, size=3)
        longer = np.full((3, 64), -np.inf, dtype)
        longer[:, :n] = x
        err = get_err(name)
        loss, slope = err.forward(x, label), err.backward()
        np.testing.assert_allclose(err.forward(longer, label), loss, rtol=1e-6 if dtype == np.float32 else 1e-13, atol=1e-15)
        near = dict(rtol=1e-5, atol=1e-7) if dtype == np.float32 else dict(rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(err.backward()[:, :n], slope, **near)
        assert not err.backward()[:, n:].any()
        of_rows = err.forward(x, np.eye(n, dtype=dtype)[label])
        np.testing.assert_allclose(of_rows, loss, rtol=1e-6 if dtype == np.float32 else 1e-13, atol=1e-15)


@each_float
@pytest.mark.parametrize("name", ["softmax-focal", "sparsemax-loss"])
def test_nan_stays_in_its_row(name, dtype):
    for n in (5, 8, 21):
        x = np.zeros((3, n), dtype)
        x[1, n - 2] = np.nan
        err = get_err(name)
        assert np.isnan(err.forward(x, [0, 0, 0])).tolist() == [False, True, False]
        assert np.isnan(err.backward()).all(axis=1).tolist() == [False, True, False]


def test_cosine_of_a_row_of_zeros():
    """Its norm counts as eps, as in PyTorch; the other rows know nothing of it."""
    value, gradient = get_err("cosine").value_and_grad(np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [2.0, 1.0]]))
    np.testing.assert_allclose(value, [1, 0.2], rtol=1e-14)
    np.testing.assert_allclose(gradient, [[-1e8 / 2**0.5] * 2, [-0.24, 0.12]], rtol=1e-12)


def test_sparsemax_ends_where_rounding_brings_elements_back():
    row = [1.0840416704280973e-10, 6.990717646879697e-08, 0.9999999299844193, 1.960129713179964e-161]
    loss, grad = get_err("sparsemax-loss").value_and_grad(np.array([row]), np.array([2]), reduction="none")
    assert 0 <= loss[0] < 1e-13 and np.abs(grad).max() < 1e-7
