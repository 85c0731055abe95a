"""LayerNorm, RMSNorm and Embedding: against the formulas in long double, torch, and differences."""
import numpy as np
import pytest

import fastnn
from fastnn.core import row_norms
from fastnn.core.row_norms import norm_rows, norm_rows_backward
from fastnn.nn import Embedding, LayerNorm, RMSNorm, numerical_gradient
from fastnn.state import StateError

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_layer = pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm"])
SHAPES = [(1, 1), (3, 5), (7, 16), (2, 3, 33), (128, 100), (33, 64), (300, 257), (1000, 8), (4, 20000), (5,)]


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


def made(name, features, dtype=np.float64, **options):
    gamma, beta = normal((2, features), dtype, 1)
    return LayerNorm(gamma, beta, **options) if name == "LayerNorm" else RMSNorm(gamma, **options)


def by_formula(layer, x, grad):
    """(y, dx, dgamma, dbeta) in long double."""
    x, grad, gamma = (a.astype(np.longdouble) for a in (x, grad, layer.gamma))
    eps = layer.eps if layer.eps is not None else float(np.finfo(layer.gamma.dtype).eps)
    mean = x.mean(axis=-1, keepdims=True) if isinstance(layer, LayerNorm) else np.longdouble(0)
    std = np.sqrt(((x - mean)**2).mean(axis=-1, keepdims=True) + eps)
    normed, g = (x - mean) / std, grad * gamma
    dx = g - normed * (g * normed).mean(axis=-1, keepdims=True)
    if isinstance(layer, LayerNorm):
        dx -= g.mean(axis=-1, keepdims=True)
    y = normed * gamma + (0 if layer.beta is None else layer.beta)
    others = tuple(range(x.ndim - 1))
    return y, dx / std, (grad * normed).sum(axis=others), grad.sum(axis=others)


@each_layer
@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0, 1000])
def test_they_are_the_formulas(name, shape, shift, dtype):
    layer = made(name, shape[-1], dtype)
    x, grad = (normal(shape) + shift).astype(dtype), normal(shape, dtype, 5)
    out = np.full_like(x, np.nan)
    y = layer.forward(x, out=out)
    dx = layer.backward(grad)
    assert y is out and dx.shape == shape
    exact, exact_dx, dgamma, dbeta = by_formula(layer, x, grad)
    eps = float(np.finfo(dtype).eps)
    in_double = 1e-12 * (1 + shift)         # of what is computed in double, mean and variance first
    assert y.dtype == dx.dtype == layer.dgamma.dtype == dtype
    assert (np.abs(y - exact) <= eps * np.abs(exact) + in_double * (1 + np.abs(layer.gamma) * 4)).all()
    size = np.abs(exact_dx).max() + 1
    assert (np.abs(dx - exact_dx) <= eps * np.abs(exact_dx) + 20 * in_double * size).all()
    assert (np.abs(layer.dgamma - dgamma) <= eps * np.abs(dgamma) + 20 * in_double * x.size).all()
    if name == "LayerNorm":
        assert (np.abs(layer.dbeta - dbeta) <= eps * np.abs(dbeta) + 1e-14 * x.size).all()


@each_layer
@each_dtype
@pytest.mark.parametrize("shape", [(6, 10), (4, 5, 33)])
def test_they_are_torchs(name, shape, dtype):
    torch = pytest.importorskip("torch")
    layer = made(name, shape[-1], dtype)
    theirs = getattr(torch.nn, name)(shape[-1], dtype=getattr(torch, np.dtype(dtype).name))
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(layer.gamma))
        if name == "LayerNorm":
            theirs.bias.copy_(torch.tensor(layer.beta))
    x, grad = normal(shape, dtype), normal(shape, dtype, 5)
    given = torch.tensor(x, requires_grad=True)
    y = theirs(given)
    y.backward(torch.tensor(grad))
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(layer.forward(x), y.detach().numpy(), **close)
    np.testing.assert_allclose(layer.backward(grad), given.grad.numpy(), **close)
    np.testing.assert_allclose(layer.dgamma, theirs.weight.grad.numpy(), **close)
    if name == "LayerNorm":
        np.testing.assert_allclose(layer.dbeta, theirs.bias.grad.numpy(), **close)


@each_layer
def test_gradients_are_those_of_differences(name):
    layer, x, grad = made(name, 7), normal((4, 7)), normal((4, 7), seed=5)
    layer.forward(x)
    dx = layer.backward(grad)
    parameters = [x, layer.gamma] + ([layer.beta] if name == "LayerNorm" else [])
    found = [dx, layer.dgamma] + ([layer.dbeta] if name == "LayerNorm" else [])
    for parameter, gradient in zip(parameters, found):
        wanted = numerical_gradient(lambda _: (layer.forward(x, False) * grad).sum(), parameter)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-7)


@each_layer
def test_of_any_layout_and_type(name):
    layer, x, grad = made(name, 5), normal((6, 5)), normal((6, 5), seed=5)
    y, dx = layer.forward(x), layer.backward(grad)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a.astype(">f8"), list):
        np.testing.assert_array_equal(layer.forward(layout(x)), y)
        np.testing.assert_array_equal(layer.backward(layout(grad)), dx)
    assert layer.forward(np.arange(10).reshape(2, 5)).dtype == np.float64
    assert layer.forward(x[:0]).shape == layer.backward(x[:0]).shape == (0, 5)
    assert (layer.dgamma == 0).all()
    assert made(name, 0).forward(np.zeros((3, 0))).shape == (3, 0)


@each_layer
@each_dtype
@pytest.mark.parametrize("shape", [(4099, 130), (70, 40000)])
def test_bits_do_not_depend_on_threads(name, shape, dtype):
    layer, x, grad = made(name, shape[-1], dtype), normal(shape, dtype), normal(shape, dtype, 5)
    before, found = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            found.append([layer.forward(x), layer.backward(grad), layer.dgamma, layer.dbeta])
    finally:
        fastnn.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other):
            np.testing.assert_array_equal(one, two)


@each_layer
@each_dtype
@pytest.mark.parametrize("shape", [(7, 48), (70, 320), (9, 33)])      # rows of 33 do not begin cache lines
def test_bits_do_not_depend_on_stores_past_the_cache(name, shape, dtype):
    layer, x, grad = made(name, shape[-1], dtype), normal(shape, dtype), normal(shape, dtype, 5)
    layer.forward(x)
    dx, dgamma = layer.backward(grad), layer.dgamma
    above = row_norms._stream_above(0)
    try:
        np.testing.assert_array_equal(layer.backward(grad), dx)
        np.testing.assert_array_equal(layer.dgamma, dgamma)
    finally:
        row_norms._stream_above(above)


@each_layer
def test_a_row_of_zeros_and_what_is_not_finite(name):
    layer = made(name, 4)
    y = layer.forward(np.zeros((2, 4)))
    np.testing.assert_array_equal(y, np.zeros((2, 4)) + (0 if layer.beta is None else layer.beta))
    assert np.isfinite(layer.backward(np.ones((2, 4)))).all()
    x = np.ones((3, 4))
    x[1, 2] = np.nan
    assert np.isnan(layer.forward(x)[1]).all() and np.isfinite(layer.forward(x)[[0, 2]]).all()


def test_what_does_not_fit_is_refused():
    x, (gamma, beta) = normal((6, 5)), normal((2, 5), seed=1)
    kept = norm_rows(x, gamma, beta, 1e-5, True)[1]
    for wrong in (gamma[:4], "a", None, np.ones((5, 1)), gamma * 1j, 1.0):
        for call in (lambda: norm_rows(x, wrong, beta, 1e-5, True),
                     lambda: norm_rows_backward(x, kept, wrong, True, True)):
            with pytest.raises((ValueError, TypeError)):
                call()
    for out in (x, x.astype(np.float32), np.zeros((5, 6)), np.zeros((5, 6)).T, [0.0]):
        for call in (lambda: norm_rows(x, gamma, beta, 1e-5, True, out),
                     lambda: norm_rows_backward(x + 1, kept, gamma, True, True, out)):
            with pytest.raises(ValueError, match="^out must be"):
                call()
    for grad in (x[:5], x[:, :4], x[0]):
        with pytest.raises(ValueError, match="^the gradient must have shape"):
            norm_rows_backward(grad, kept, gamma, True, True)
    for wrong in ((x, kept[1][:5]), (x[:, ::2], kept[1]), (x, kept[1].astype(np.float32))):
        with pytest.raises(ValueError, match="not what norm_rows kept"):
            norm_rows_backward(x, wrong, gamma, True, True)
    with pytest.raises(ValueError, match="^x must have an axis"):
        norm_rows(1.0, gamma, beta, 1e-5, True)
    for eps in (-1, np.inf, np.nan):
        with pytest.raises(ValueError, match="^eps must be finite and not negative"):
            RMSNorm(gamma, eps)
    for eps in ("1", 1j):
        with pytest.raises(TypeError, match="^eps must be a number"):
            LayerNorm(gamma, beta, eps)
    with pytest.raises(RuntimeError, match="^LayerNorm.backward needs a forward pass"):
        LayerNorm(gamma, beta).backward(x)


def test_their_state():
    layer = RMSNorm(np.ones(3))
    assert layer._recalled(layer._remembered(), "layer") == {"eps": None}
    assert RMSNorm(np.ones(3), 0.5)._recalled({"eps": 0.25}, "layer") == {"eps": 0.25}
    for eps in (-2.0, -1.0):
        with pytest.raises(StateError, match="^eps of layer must not be negative"):
            LayerNorm(np.ones(3))._recalled({"eps": eps}, "layer")


# Embedding

@each_dtype
def test_embedding_steps_the_rows_it_looked_up(dtype):
    W, x = normal((10, 3), dtype), np.array([[1, 4, 1], [0, 9, 4]])
    layer = Embedding(W.copy())
    out = np.empty((2, 3, 3), dtype)
    y = layer.forward(x, out=out)
    assert y is out and y.dtype == dtype
    np.testing.assert_array_equal(y, W[x])
    grad = normal((2, 3, 3), dtype, 1)
    assert layer.backward(grad) is None and isinstance(layer.dW, fastnn.Rows)
    dense = np.zeros_like(W)
    np.add.at(dense, x, grad)
    fastnn.get_opt("SGD", lr=0.5).update({"W": layer.W}, {"W": layer.dW})
    np.testing.assert_allclose(layer.W, W - dtype(0.5) * dense, rtol=1e-6)
    np.testing.assert_array_equal(layer.W[[2, 3, 5, 6, 7, 8]], W[[2, 3, 5, 6, 7, 8]])


def test_embedding_is_torchs():
    torch = pytest.importorskip("torch")
    W, x, grad = normal((10, 3)), np.array([[1, 4, 1], [0, 9, 4]]), normal((2, 3, 3), seed=1)
    theirs = torch.nn.Embedding.from_pretrained(torch.tensor(W), freeze=False, sparse=True)
    theirs(torch.tensor(x)).backward(torch.tensor(grad))
    layer = Embedding(W)
    layer.forward(x)
    layer.backward(grad)
    dense = np.zeros_like(W)
    np.add.at(dense, layer.dW.indices, layer.dW.values)
    np.testing.assert_array_equal(dense, theirs.weight.grad.to_dense().numpy())


def test_embedding_refuses_what_is_no_word():
    layer = Embedding(normal((10, 3)))
    with pytest.raises(TypeError, match="^an embedding is indexed by integers, not by float64"):
        layer.forward([1.0])
    for x in ([-1], [10]):
        with pytest.raises(ValueError, match=r"^x must lie in 0\.\.9, found"):
            layer.forward(x)
    with pytest.raises(RuntimeError, match="^Embedding.backward needs a forward pass"):
        layer.backward(np.zeros((1, 3)))
    assert layer.forward(np.zeros((0,), int)).shape == (0, 3)
    layer.backward(np.zeros((0, 3)))
