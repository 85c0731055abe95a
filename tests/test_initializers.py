"""First weights: against the libraries' formulas, the moments of their distributions, and torch where it is there."""
import math

import numpy as np
import pytest

from fastnn import get_act, get_opt
from fastnn.nn import MultiLayerNet, initializers
from fastnn.nn.initializers import FUNCTIONS, fans, initial_weights

N = 400                                 # squared many numbers: moments to some thousandths
SHAPE = (N, 2 * N)
# Keras 3.13 and torch 2.14: the variance that each says, and whether numbers are uniform or cut off
VARIANCES = {
    "glorot_uniform": (2 / (3 * N), "uniform"), "glorot_normal": (2 / (3 * N), "cut"),
    "xavier_uniform": (2 / (3 * N), "uniform"), "xavier_normal": (2 / (3 * N), "normal"),
    "he_uniform": (2 / N, "uniform"), "he_normal": (2 / N, "cut"), "kaiming_uniform": (2 / N, "uniform"),
    "kaiming_normal": (2 / N, "normal"), "lecun_uniform": (1 / N, "uniform"), "lecun_normal": (1 / N, "cut"),
    "variance_scaling": (1 / N, "cut"), "torch_linear": (1 / (3 * N), "uniform"), "normal": (0.05**2, "normal"),
    "uniform": (0.1**2 / 12, "uniform"),
    "truncated_normal": ((0.05 * 0.87962566103423978)**2, "cut"),       # Keras' constant
    "trunc_normal": (0.87962566103423978**2, "cut")}
FAR = {"uniform": math.sqrt(3), "cut": 2 / 0.87962566103423978, "normal": math.inf}


@pytest.mark.parametrize("name", VARIANCES)
def test_distributions(name):
    variance, kind = VARIANCES[name]
    w = FUNCTIONS[name](SHAPE, rng=0)
    assert w.shape == SHAPE and w.dtype == np.float64
    std = math.sqrt(variance)
    assert abs(w.mean()) < 5 * std / math.sqrt(w.size)
    assert w.var() == pytest.approx(variance, rel=0.01)
    most = np.abs(w).max() / std
    assert most <= FAR[kind] * (1 + 1e-12)
    assert most > (4.2 if kind == "normal" else 0.999 * FAR[kind])
    z = np.sort(w.ravel()) / std                  # the whole distribution, by its quartile
    quartile = {"uniform": math.sqrt(3) / 2, "normal": 0.67449, "cut": 0.6390 / 0.87962566103423978}[kind]
    assert z[3 * len(z) // 4] == pytest.approx(quartile, abs=0.01)


def test_every_initializer_is_tested():
    assert {*VARIANCES, "orthogonal"} == set(FUNCTIONS)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4), (2, 2, 9)])
@pytest.mark.parametrize("gain", [1, 1.5])
def test_orthogonal(shape, gain):
    w = initializers.orthogonal(shape, gain, rng=3).reshape(-1, shape[-1])
    small = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(small, gain**2 * np.eye(min(w.shape)), atol=1e-14)


def test_orthogonal_matrices_are_uniform():
    """QR alone gives columns that prefer a direction: the mean of the diagonal is not 0 then."""
    rng = np.random.default_rng(1)
    traces = [np.trace(initializers.orthogonal((3, 3), rng=rng)) for _ in range(2000)]
    assert abs(np.mean(traces)) < 0.1
    assert np.var(traces) == pytest.approx(1, rel=0.1)       # Diaconis and Shahshahani 1994


def test_bounds_of_truncated_normal():
    w = initializers.truncated_normal((100, 100), 1.0, 2.0, 0.5, 1.5, rng=0)
    assert 0.5 <= w.min() < 0.51 and 1.49 < w.max() <= 1.5
    assert (initializers.truncated_normal((3,), 0.25, 0.0) == 0.25).all()
    with pytest.raises(ValueError, match="^low and high must have 0.001 of the distribution between them"):
        initializers.truncated_normal((3,), 0, 1, 5, 6)
    with pytest.raises(ValueError, match="between them"):
        initializers.truncated_normal((3,), 0, 1, 1, -1)
    with pytest.raises(ValueError, match="between them"):
        initializers.truncated_normal((3,), 5, 0, 1, 2)


def test_fans():
    assert fans((3, 5)) == (3, 5)
    assert fans((2, 2, 3, 5)) == (12, 20)
    assert fans((7,)) == fans(7) == (7, 7)


def test_by_name_and_as_functions():
    same = [initial_weights((4, 3), given, rng=1) for given in ("orthogonal", "Orthogonal", initializers.orthogonal)]
    for w in same:
        np.testing.assert_array_equal(w, initializers.orthogonal((4, 3), rng=1))
    np.testing.assert_array_equal(initial_weights((4, 3), "glorot uniform", np.float32, 1),
                                  initializers.glorot_uniform((4, 3), rng=1).astype(np.float32))
    net = MultiLayerNet(4, [3], 2, weight_init_std="lecun-normal", dtype=np.float32, rng=2)
    rng = np.random.default_rng(2)
    for key, shape in (("W1", (4, 3)), ("W2", (3, 2))):
        np.testing.assert_array_equal(net.params[key], initializers.lecun_normal(shape, rng=rng).astype(np.float32))
    net = MultiLayerNet(4, [3], 2, weight_init_std=lambda shape, dtype, rng: np.full(shape, 2))
    assert (net.params["W1"] == 2).all() and net.params["W1"].dtype == np.float64


def test_what_is_refused():
    with pytest.raises(ValueError, match="^Unknown weight_init_std 'glorot'; known are he, relu, xavier, sigmoid, normal"):
        initial_weights((2, 2), "glorot")
    with pytest.raises(ValueError, match=r"^weight_init_std returned an array of shape \(2,\), not \(2, 3\)$"):
        initial_weights((2, 3), lambda shape, dtype, rng: np.zeros(2))
    with pytest.raises(ValueError, match="^std must be finite and not negative, not -1"):
        initializers.normal((2, 2), std=-1)
    with pytest.raises(ValueError, match="^low and high must be finite"):
        initializers.uniform((2, 2), 1, 0)
    with pytest.raises(ValueError, match="^mode must be one of fan_in, fan_out, fan_avg, not 'in'"):
        initializers.variance_scaling((2, 2), mode="in")
    with pytest.raises(ValueError, match="^distribution must be"):
        initializers.variance_scaling((2, 2), distribution="gauss")
    with pytest.raises(ValueError, match="^orthogonal weights have two axes"):
        initializers.orthogonal((3,))


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
                                  "trunc_normal", "orthogonal"])
def test_defaults_are_torchs(name):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.init, f"{name}_")(torch.empty(2 * N, N, dtype=torch.float64),
                                                 generator=torch.Generator().manual_seed(0)).numpy()
    ours = FUNCTIONS[name](SHAPE, rng=0)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.01)
    if name in ("xavier_uniform", "kaiming_uniform", "trunc_normal"):
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=1e-3)


@pytest.mark.parametrize(("wrong", "error"), [("seed", TypeError), (-1, ValueError), (1.5, TypeError)])
@pytest.mark.parametrize("draw", [lambda rng: get_opt("NoisySGD", rng=rng), lambda rng: get_act("maxout", 4, 3, 2, rng=rng),
                                  lambda rng: initializers.normal((2, 2), rng=rng)])
def test_what_is_no_source_of_random_numbers(draw, wrong, error):
    with pytest.raises(error, match="^rng must be None, a seed, a Generator or a RandomState, not "):
        draw(wrong)
