"""One rule for the dtypes of all layers: that of x, halves computed in float32 and rounded once, whole numbers float64."""
import numpy as np
import pytest

from fastnn.nn import (Activation, Affine, BatchNormalization, Dropout, Embedding, LayerNorm, RMSNorm,
                       SoftmaxWithLoss)

X = np.random.default_rng(0).integers(-3, 4, (6, 4))
D = np.random.default_rng(1).standard_normal((6, 4))
LAYERS = {
    "LayerNorm": lambda g, b: LayerNorm(g, b), "RMSNorm": lambda g, b: RMSNorm(g),
    "BatchNormalization": BatchNormalization, "Dropout": lambda g, b: Dropout(0.5, 0),
    "inverted": lambda g, b: Dropout(0.5, 0, inverted=True), "ReLU": lambda g, b: Activation("ReLU"),
    "GELU": lambda g, b: Activation("GELU"), "softmax": lambda g, b: Activation("softmax"),
    "PReLU": lambda g, b: Activation("PReLU")}
each_layer = pytest.mark.parametrize("name", LAYERS)
each_parameter = pytest.mark.parametrize("of_parameters", [np.float32, np.float64, np.float16])


def dtypes():
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return [np.float16]
    return [np.float16, bfloat16]


def made(name, dtype=np.float64):
    return LAYERS[name](np.array([1, 2, 3, 4], dtype), np.array([4, 3, 2, 1], dtype))


def passed(layer, x, dout, train=True, **out):
    y = layer.forward(x, train, **out)
    return y, (layer.backward(dout.astype(y.dtype)) if train else None)


@each_layer
@each_parameter
@pytest.mark.parametrize("dtype", [*dtypes(), np.float32, np.float64, np.int64, np.int8, bool])
def test_results_have_the_dtype_of_x(name, of_parameters, dtype):
    wanted = np.float64 if np.dtype(dtype).kind in "ib" else dtype
    layer = made(name, of_parameters)
    y, dx = passed(layer, X.astype(dtype), D)
    assert y.dtype == dx.dtype == layer.forward(X.astype(dtype), False).dtype == wanted
    for key in layer.learned:
        assert getattr(layer.owner, f"d{key}").dtype in (np.float32, np.float64)


@each_layer
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", dtypes())
def test_halves_are_computed_in_float32_and_rounded_once(name, dtype, train):
    x, dout = (X / 3).astype(dtype), D.astype(dtype)
    single, half = made(name, np.float32), made(name, np.float32)
    y, dx = passed(single, x.astype(np.float32), dout, train)
    out = np.empty(x.shape, dtype)
    y_half, dx_half = passed(half, x, dout, train, out=out)
    assert y_half is out
    np.testing.assert_array_equal(y_half, y.astype(dtype))
    if train:
        if name != "softmax":                               # whose dx is made of y, as it was rounded
            np.testing.assert_array_equal(dx_half, dx.astype(dtype))
        room = np.empty_like(out)
        if name not in ("Dropout", "inverted"):             # which would draw another mask
            half.forward(x)
        assert half.backward(dout, out=room) is room
        np.testing.assert_array_equal(room, dx_half)
    for wrong in (np.empty(x.shape, np.float64), np.empty((2, 2), dtype)):
        with pytest.raises((ValueError, TypeError), match="^out must"):
            half.forward(x, train, out=wrong)


@pytest.mark.parametrize("dtype", dtypes())
def test_affine_has_the_dtype_of_numpys_product(dtype):
    W, b = np.random.default_rng(2).standard_normal((4, 3)), np.zeros(3)
    x = X.astype(dtype)
    for of_w, wanted in ((np.float32, np.float32), (np.float64, np.float64), (dtype, dtype)):
        layer = Affine(W.astype(of_w), b.astype(of_w))
        y = layer.forward(x)
        dx = layer.backward(np.ones((6, 3), y.dtype))
        assert y.dtype == dx.dtype == wanted and layer.dW.dtype == layer.db.dtype != dtype
        exact = x.astype(np.float64) @ layer.W.astype(np.float64)
        np.testing.assert_allclose(y.astype(np.float64), exact, atol=float(2 * np.abs(exact).max() * 2.0**-8))
    out = np.empty((6, 3), dtype)
    assert layer.forward(x, out=out) is out
    np.testing.assert_array_equal(out, (x.astype(np.float32) @ layer.W.astype(np.float32)).astype(dtype))


def test_embedding_has_the_dtype_of_its_table():
    for dtype in (np.float16, np.float32, np.float64):
        assert Embedding(np.ones((3, 2), dtype)).forward([0, 2]).dtype == dtype


def test_the_loss_of_halves():
    t, x = np.array([0, 1, 2, 3, 0, 1]), (X / 3).astype(np.float16)
    half, single = SoftmaxWithLoss(), SoftmaxWithLoss()
    assert half.forward(x, t) == single.forward(x.astype(np.float32), t)
    assert half.backward().dtype == np.float16
    np.testing.assert_array_equal(half.backward(), single.backward().astype(np.float16))
    assert half.forward(x.astype(np.float64), t) > 0 and half.backward().dtype == np.float64
