"""What compiled code does between a network's matrix products, against the same in steps."""
import copy
import math

import numpy as np
import pytest

import fastnn
from fastnn.core import kernels
from fastnn.core.affine import activate_with_bias, add_bias, column_sums, gradient_with_sums
from fastnn.core.mean_loss import labels_fit, mean_row_loss

ARGUMENTS = {"threshold": (0.1, -0.2)}
ACTIVATIONS = [fastnn.get_act(name, *ARGUMENTS.get(name, ()))
               for name in (*fastnn.activations("elementwise"), *fastnn.activations("rows"))]
# one element, rows shorter and longer than a kernel's step, several blocks with a rest, enough for two threads
SHAPES = [(1, 1), (3, 5), (7, 16), (8, 100), (128, 100), (33, 129), (2, 3000), (300, 257), (0, 4), (4, 0)]
CROSS_ENTROPY = kernels.ROW_LOSSES["softmax_cross_entropy"]


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


def labels(values):
    return np.array(values, np.intp)


def apart(shape, dtype):
    return np.full(shape, np.nan, dtype)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(request.param)
    yield
    fastnn.set_num_threads(before)


class Negated(type(fastnn.get_act("tanh"))):
    """Somebody's own activation on top of the catalogue's: its methods count, not the kernel below."""

    def forward(self, x, out=None):
        return np.negative(super().forward(x), out=out)

    def backward(self, x, y=None, grad=None, out=None):
        return np.negative(super().backward(x, grad=grad), out=out)


OPERANDS = {
    "plain": lambda a: a,
    "Fortran order": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "half": lambda a: a.astype(np.float16),
}


# The bias and the activation

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_activation_of_a_biased_matrix_bit_for_bit(shape, dtype, threads):
    z, bias = normal(shape, dtype), normal(shape[1], dtype, 1)
    for activation in (*ACTIVATIONS, Negated()):
        expected = activation.forward(z + bias)
        for out in (None, apart(shape, dtype), "in place"):
            given = z.copy()
            y = activate_with_bias(activation, given, bias, given if isinstance(out, str) else out)
            np.testing.assert_array_equal(y, expected, err_msg=repr(activation))
            if isinstance(out, str):
                assert y is given
            else:
                assert out is None or y is out
                np.testing.assert_array_equal(given, z + bias)


@pytest.mark.parametrize("layout", OPERANDS)
@pytest.mark.parametrize("other", OPERANDS)
def test_any_layout_of_matrix_bias_and_result(layout, other):
    activation = fastnn.get_act("GELU")
    z = OPERANDS[layout](normal((6, 5), np.float32))
    bias = OPERANDS[other](normal((1, 5), np.float32, 1))[0]
    biased = z.copy()
    biased += bias
    for vector in (bias, bias.tolist()):
        given = OPERANDS[layout](z.copy())
        assert add_bias(given, vector) is given
        np.testing.assert_array_equal(given, biased)
    out = OPERANDS[other](np.zeros((6, 5), np.float32)).astype(z.dtype.newbyteorder("="), order="K")
    given = OPERANDS[layout](z.copy())
    assert activate_with_bias(activation, given, bias, out) is out
    np.testing.assert_array_equal(out, activation.forward(biased))
    np.testing.assert_array_equal(given, biased)


def test_bias_inside_the_matrix():
    z = normal((4, 4), np.float32)
    expected = z.copy()
    expected += expected[1].copy()
    np.testing.assert_array_equal(add_bias(z, z[1]), expected)


@pytest.mark.parametrize("bias", [np.zeros(4, np.float32), np.zeros((3, 3, 5), np.float32), np.zeros(5, complex), "b"])
def test_bias_that_does_not_fit(bias):
    z = normal((3, 5), np.float32)
    before = z.copy()
    for call in (lambda: add_bias(z, bias), lambda: activate_with_bias(fastnn.get_act("ReLU"), z, bias)):
        with pytest.raises((ValueError, TypeError)):
            call()
    np.testing.assert_array_equal(z, before)


def test_matrix_or_result_that_cannot_be_written():
    z, bias, relu = normal((3, 5), np.float32), np.ones(5, np.float32), fastnn.get_act("ReLU")
    before = z.copy()
    locked = np.zeros_like(z)
    locked.flags.writeable = False
    for out, error, message in ((locked, ValueError, "read-only"), (np.zeros((3, 4), np.float32), ValueError, "shape"),
                                (np.zeros((3, 5)), TypeError, "dtype"), ([0], TypeError, "NumPy array")):
        with pytest.raises(error, match=message):
            activate_with_bias(relu, z, bias, out)
    np.testing.assert_array_equal(z, before)
    with pytest.raises(ValueError, match="read-only"):
        activate_with_bias(relu, locked, bias)
    with pytest.raises(TypeError, match="not to list"):
        add_bias([1.0], bias)


# The way back

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_and_its_sums_bit_for_bit(shape, dtype, threads):
    z, grad = normal(shape, dtype), normal(shape, dtype, 1)
    for activation in (*ACTIVATIONS, Negated()):
        y = activation.forward(z)
        expected = activation.backward(z, y, grad=grad)
        for out in (None, apart(shape, dtype), "in place"):
            given = grad.copy()
            g, sums = gradient_with_sums(activation, z, y, given, given if isinstance(out, str) else out)
            np.testing.assert_array_equal(g, expected, err_msg=repr(activation))
            np.testing.assert_array_equal(sums, column_sums(expected))
            assert sums.dtype == dtype
            if isinstance(out, str):
                assert g is given
            else:
                assert out is None or g is out
                np.testing.assert_array_equal(given, grad)


@pytest.mark.parametrize("layout", OPERANDS)
def test_any_layout_on_the_way_back(layout):
    activation = fastnn.get_act("Swish")
    z, grad = normal((6, 5), np.float32), OPERANDS[layout](normal((6, 5), np.float32, 1))
    g, sums = gradient_with_sums(activation, z, None, grad)
    np.testing.assert_array_equal(g, activation.backward(z, grad=grad))
    np.testing.assert_array_equal(sums, column_sums(g))


# Sums

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_column_sums_are_right_to_the_last_bits(shape, dtype, threads):
    a = normal(shape, dtype)
    sums, out = column_sums(a), apart(shape[1], dtype)
    assert column_sums(a, out) is out
    np.testing.assert_array_equal(sums, out)
    assert sums.dtype == dtype
    for total, column in zip(sums, a.T):
        # three additions in the dtype, the rest in double precision
        bound = (2 * np.finfo(dtype).eps + len(column) * np.finfo(float).eps) * np.abs(column).sum()
        assert abs(float(total) - math.fsum(column)) <= bound


def test_column_sums_of_any_layout():
    a = normal((6, 5), np.float32)
    for layout in ("plain", "Fortran order", "every second", "other byte order"):
        np.testing.assert_array_equal(column_sums(OPERANDS[layout](a)), column_sums(a))


@pytest.mark.parametrize("a, out, error, message", [
    (np.zeros(3), None, ValueError, r"takes a matrix, not an array of shape \(3,\)"),
    (np.zeros((2, 3), np.int8), None, TypeError, "takes float32 or float64, not int8"),
    (np.zeros((2, 3)), np.zeros(2), ValueError, r"out must be .* float64 array of shape \(3,\)"),
    (np.zeros((2, 3)), np.zeros(3, np.float32), ValueError, "out must be .* float64"),
    (np.zeros((2, 3)), np.zeros(6)[::2], ValueError, "out must be a contiguous"),
])
def test_sums_that_cannot_be_taken(a, out, error, message):
    with pytest.raises(error, match=message):
        column_sums(a, out)


def test_sums_do_not_go_into_the_matrix():
    a = np.ones((2, 3))
    with pytest.raises(ValueError, match="out must be"):
        column_sums(a, a[0])
    np.testing.assert_array_equal(a, 1)


# The mean loss

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows, classes", [(1, 1), (3, 2), (128, 10), (301, 100)])
@pytest.mark.parametrize("one_hot", [False, True])
def test_mean_loss_and_gradient_of_the_error_function(rows, classes, one_hot, dtype, threads):
    x, t = normal((rows, classes), dtype), np.random.default_rng(1).integers(0, classes, rows).astype(np.intp)
    target = np.eye(classes, dtype=dtype)[t] if one_hot else t
    err, gradient = fastnn.get_err("softmax-cross-entropy"), apart(x.shape, dtype)
    err.forward(x, target)
    loss = mean_row_loss(CROSS_ENTROPY, x, target, gradient)
    assert loss == pytest.approx(err.total_error(), rel=float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(gradient, err.backward() * dtype(1 / rows))


def test_mean_loss_of_infinite_rows():
    x = np.array([[0.0, np.inf], [0.0, 0.0]])
    assert mean_row_loss(CROSS_ENTROPY, x, labels([0, 0]), np.empty_like(x)) == math.inf
    assert mean_row_loss(CROSS_ENTROPY, x, labels([1, 0]), np.empty_like(x)) == pytest.approx(math.log(2) / 2)
    assert math.isnan(mean_row_loss(CROSS_ENTROPY, x + np.nan, labels([0, 0]), np.empty_like(x)))
    assert math.isnan(mean_row_loss(CROSS_ENTROPY, x[:0], labels([]), np.empty_like(x[:0])))


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize("x, t, out, error, message", [
    (X, labels([0, 3]), X.copy(), ValueError, "labels must be from 0 to 2, not 0 to 3"),
    (X, labels([-1, 0]), X.copy(), ValueError, "labels must be from 0 to 2, not -1 to 0"),
    (X, labels([0]), X.copy(), ValueError, "targets must be"),
    (X, labels([[0], [1]]), X.copy(), ValueError, "targets must be"),
    (X, np.array([0, 1], np.int8), X.copy(), ValueError, f"targets must be .* dtype {labels([]).dtype}"),
    (X, X.astype(float), X.copy(), ValueError, "targets must be .* dtype float32"),
    (X, [0, 1], X.copy(), ValueError, "targets must be"),
    (X, labels([0, 1]), X.astype(float), TypeError, "contiguous arrays"),
    (X, labels([0, 1]), X[:1].copy(), ValueError, "matrices of one shape"),
    (X.T, labels([0, 1]), X.copy(), TypeError, "contiguous arrays"),
    (X[0], labels([0, 1]), X[0].copy(), ValueError, "matrices of one shape"),
    (X[:, :0].copy(), labels([0, 1]), X[:, :0].copy(), ValueError, "at least one class"),
    (X, labels([0, 1]), X, ValueError, "must not share memory"),
])
def test_losses_that_cannot_be_taken(x, t, out, error, message):
    before = copy.deepcopy(out)
    with pytest.raises(error, match=message):
        mean_row_loss(CROSS_ENTROPY, x, t, out)
    np.testing.assert_array_equal(out, before)


def test_labels_fit():
    assert labels_fit(labels([0, 2]), 3) and labels_fit(labels([]), 3)
    assert not labels_fit(labels([0, 3]), 3) and not labels_fit(labels([1, -1]), 3)
    with pytest.raises(TypeError, match=f"dtype {labels([]).dtype}, not int8"):
        labels_fit(np.zeros(2, np.int8), 3)
