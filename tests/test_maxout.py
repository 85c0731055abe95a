"""maxout: the activation that is a layer."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import get_act, get_opt
from helpers import FLOATS, assert_same_bits, beside, seeded, without_decay

SIZES = [(1, 1, 1), (5, 3, 4), (2, 7, 1), (6, 1, 5)]
each_size = pytest.mark.parametrize("sizes", SIZES, ids=str)
each_batch = pytest.mark.parametrize("batch", [(), (1,), (9,), (0,)], ids=str)


def layer(sizes, dtype=np.float64):
    act = get_act("maxout", *sizes, rng=0)
    rng = np.random.default_rng(1)
    act.w, act.b = (rng.standard_normal(a.shape).astype(dtype) for a in (act.w, act.b))
    return act


def inputs(shape, dtype=np.float64, seed=2):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def loop(act, x):
    """max_j of x w_ij + b_ij, one output after the other."""
    rows = np.atleast_2d(x)
    y = np.empty((len(rows), act.n), np.float64)
    for row, i in np.ndindex(y.shape):
        y[row, i] = max(sum(rows[row, p]*act.w[p, j] for p in range(act.n_prev)) + act.b[j]
                        for j in range(i*act.k, (i + 1)*act.k))
    return y.reshape(*x.shape[:-1], act.n)


def numerical(act, x, grad, array, step=1e-6):
    """The derivative of sum(grad y) by `array`, one element after the other."""
    result = np.empty_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        sides = []
        for shift in (step, -step):
            array[i] = kept + shift
            sides.append(np.sum(grad*loop(act, x)))
        array[i] = kept
        result[i] = (sides[0] - sides[1])/(2*step)
    return result


def test_it_is_in_the_catalogue():
    assert "maxout" in fastnn.activations()
    assert repr(get_act("Max-Out", 2, 3, 4, rng=5)) == "get_act('maxout', n_prev=2, n=3, k=4, wb_width=0.05, rng=5)"


@each_size
@each_batch
@pytest.mark.parametrize("dtype", FLOATS)
def test_backward_is_that_of_the_last_forward(sizes, batch, dtype):
    act, twin = layer(sizes, dtype), layer(sizes, dtype)
    x = inputs((*batch, sizes[0]), dtype)
    grad = act.forward(x.copy())
    wanted = act.backward(grad)
    twin.forward(x)
    x[...] = 100
    assert_same_bits(twin.backward(grad), wanted)
    assert_same_bits(twin.dw, act.dw)


def test_weights_begin_as_in_the_article():
    act = get_act("maxout", 40, 30, 3, wb_width=0.2, rng=8)
    assert (act.w.shape, act.b.shape, act.w.dtype) == ((40, 90), (90,), np.float64)
    for a in (act.w, act.b):
        assert 0 <= a.min() < 0.02 and 0.18 < a.max() < 0.2
    assert act.dw is None and act.db is None
    assert get_act("maxout", 40, 30, 3).w.max() < 0.05


@pytest.mark.parametrize("source", [lambda: 3, lambda: np.random.default_rng(3), lambda: np.random.RandomState(3),
                                    lambda: None], ids=["int", "Generator", "RandomState", "None"])
def test_seeds(source):
    first, second = get_act("maxout", 4, 3, 2, rng=source()), get_act("maxout", 4, 3, 2, rng=source())
    assert (np.array_equal(first.w, second.w) and np.array_equal(first.b, second.b)) == (source() is not None)
    assert not np.array_equal(first.w[:, 0], first.b[:4])


def test_a_randomstate_draws_the_articles_numbers():
    act, rng = get_act("maxout", 4, 3, 2, rng=np.random.RandomState(3)), np.random.RandomState(3)
    assert_array_equal(act.w, 0.05*rng.rand(4, 6))
    assert_array_equal(act.b, 0.05*rng.rand(6))


@each_batch
@each_size
@pytest.mark.parametrize("dtype", FLOATS)
def test_forward(sizes, batch, dtype):
    act, x = layer(sizes, dtype), inputs((*batch, sizes[0]), dtype)
    y = act.forward(x)
    assert (y.shape, y.dtype) == ((*batch, sizes[1]), dtype)
    assert_allclose(y, loop(act, x), rtol=20*np.finfo(dtype).eps, atol=20*np.finfo(dtype).eps)
    assert_same_bits(act(x), y)
    out = np.empty_like(y)
    assert act.forward(x, out=out) is out
    assert_same_bits(out, y)


@each_batch
@each_size
def test_backward(sizes, batch):
    act, x, grad = layer(sizes), inputs((*batch, sizes[0])), inputs((*batch, sizes[1]), seed=3)
    act.forward(x)
    before, given = x.copy(), grad.copy()
    dx = act.backward(grad)
    for got, array in ((dx, x), (act.dw, act.w), (act.db, act.b)):
        assert got.shape == array.shape
        assert_allclose(got, numerical(act, x, grad, array), rtol=1e-6, atol=1e-8)
    assert_array_equal(x, before)
    assert_array_equal(grad, given)


@each_size
def test_a_vector_is_a_batch_of_one(sizes):
    act, x, grad = layer(sizes), inputs(sizes[0]), inputs(sizes[1], seed=3)
    alone = [act.forward(x), act.backward(grad), act.dw, act.db]
    batch = [act.forward(x[None])[0], act.backward(grad[None])[0], act.dw, act.db]
    for one, other in zip(alone, batch):
        assert_allclose(one, other, rtol=1e-13)


def test_float32_weights_give_float32_gradients():
    act = layer((5, 3, 4), np.float32)
    y = act.forward(inputs((9, 5), np.float32))
    assert {a.dtype for a in (y, act.backward(np.ones_like(y)), act.dw, act.db)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("x", [[1, 2, 3, 4, 5], np.arange(5), inputs((5, 9)).T, inputs((18, 10))[::-2, ::2],
                               inputs(5).astype(">f8")], ids=["list", "integers", "transposed", "gaps", "swapped"])
def test_inputs_of_other_kinds(x):
    act = layer((5, 3, 4))
    y, plain = act.forward(x), np.array(x, float)
    assert_allclose(y, loop(act, plain), rtol=1e-12)
    dx = act.backward(np.ones_like(y))
    act.forward(plain)
    assert_allclose(dx, act.backward(np.ones_like(y)), rtol=1e-13)


def test_ties_send_the_gradient_to_one_piece():
    act = get_act("maxout", 2, 1, 3)
    act.w[...] = 1
    act.b[...] = 0
    act.forward(np.ones(2))
    act.backward(np.array([5.0]))
    assert_array_equal(np.sort(act.db), [0, 0, 5])


def test_nan_reaches_its_row_alone():
    act, x = layer((5, 3, 4)), inputs((4, 5))
    y = act.forward(x)
    x[2, 1] = np.nan
    spoilt = act.forward(x)
    assert np.isnan(spoilt[2]).all()
    assert_same_bits(spoilt[[0, 1, 3]], y[[0, 1, 3]])


def test_second_derivative_is_zero():
    act = layer((5, 3, 4))
    for shape in ((5,), (9, 5)):
        d2 = act.d2y(inputs(shape))
        assert d2.shape == act.forward(inputs(shape)).shape and not d2.any()


def test_gradients_are_of_the_last_forward():
    act, (x, other) = layer((5, 3, 4)), (inputs((9, 5)), inputs((9, 5), seed=7))
    act.forward(other)
    act.forward(x)
    dx = act.backward(np.ones((9, 3)))
    fresh = layer((5, 3, 4))
    fresh.forward(x)
    assert_same_bits(dx, fresh.backward(np.ones((9, 3))))
    assert_same_bits(act.dw, fresh.dw)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", fastnn.optimizers())
def test_update(name, dtype):
    act, same = layer((5, 3, 4), dtype), layer((5, 3, 4), dtype)
    opt, judge = (get_opt(name, **seeded(name), **without_decay(name)) for _ in range(2))
    x, w = inputs((9, 5), dtype), act.w
    for _ in range(3):
        for one in (act, same):
            one.backward(one.forward(x))
        assert act.update(opt) is None
        dw, db = judge.update(same.dw, same.db, **beside(judge, same.w, same.b))
        same.w, same.b = same.w + dw, same.b + db
    assert act.w is w
    assert_same_bits(act.w, same.w)
    assert_same_bits(act.b, same.b)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Momentum"])
def test_it_learns(name):
    """|x| is the maximum of two lines."""
    act, opt, x = get_act("maxout", 1, 1, 2, wb_width=1.0, rng=0), get_opt(name, lr=0.03), inputs((64, 1))
    act.w[0, 1] = -0.1
    for _ in range(600):
        act.backward((act.forward(x) - abs(x))/len(x))
        act.update(opt)
    assert np.abs(act.forward(x) - abs(x)).mean() < 0.1


@pytest.mark.parametrize(("error", "args", "kwds"), [
    (TypeError, (), {}), (TypeError, (2, 3), {}), (TypeError, (2.0, 3, 2), {}), (TypeError, ("2", 3, 2), {}),
    (TypeError, (True, 3, 2), {}), (ValueError, (0, 3, 2), {}), (ValueError, (2, -1, 2), {}),
    (ValueError, (2, 3, 0), {}),
    (ValueError, (2, 3, 2), {"wb_width": -1}), (ValueError, (2, 3, 2), {"wb_width": np.nan}),
    (TypeError, (2, 3, 2), {"width": 1}), (TypeError, (2, 3, 2), {"rng": "seed"}), (ValueError, (2, 3, 2), {"rng": -1}),
    (TypeError, (2, 3, 2), {"rng": 1.5})])
def test_bad_arguments(error, args, kwds):
    with pytest.raises(error):
        get_act("maxout", *args, **kwds)


@pytest.mark.parametrize(("error", "x"), [
    (ValueError, 1.0), (ValueError, np.ones(4)), (ValueError, np.ones((5, 9))), (ValueError, np.ones((2, 9, 5))),
    (ValueError, np.ones(0)), (TypeError, np.ones(5)*1j), (TypeError, np.ones(5, object)), (TypeError, ["1"]*5)],
    ids=["number", "short", "transposed", "three axes", "empty", "complex", "objects", "strings"])
@pytest.mark.parametrize("call", ["forward", "d2y"])
def test_bad_inputs(call, error, x):
    with pytest.raises(error):
        getattr(layer((5, 3, 4)), call)(x)


def test_calls_out_of_order():
    act = layer((5, 3, 4))
    with pytest.raises(ValueError, match="forward"):
        act.backward(np.ones(3))
    with pytest.raises(ValueError, match="backward"):
        act.update(get_opt("SGD"))
    act.forward(np.ones((2, 5)))
    with pytest.raises(ValueError, match="backward"):
        act.update(get_opt("SGD"))


@pytest.mark.parametrize("spoil", [
    lambda act: act.forward(np.ones((4, 5)), out=np.empty((3, 3))), lambda act: act.forward(np.ones((4, 6))),
    lambda act: act.forward(np.full((4, 5), 1j)), lambda act: act.backward(np.ones((4, 3))),
    lambda act: act.backward(np.ones(3)), lambda act: act.backward(np.full((9, 3), 1j)),
    lambda act: act.backward(np.full((9, 3), "1")),
], ids=["bad out", "bad input", "complex input", "other shape", "one row", "complex gradient", "strings"])
def test_an_error_changes_nothing(spoil):
    act, same = layer((5, 3, 4)), layer((5, 3, 4))
    x, grad = inputs((9, 5)), inputs((9, 3), seed=3)
    for one in (act, same):
        one.backward(one.forward(x))
    before = act.dw.copy(), act.db.copy()
    with pytest.raises((TypeError, ValueError)):
        spoil(act)
    for got, kept in zip((act.dw, act.db), before):
        assert_same_bits(got, kept)
    assert_same_bits(act.backward(grad), same.backward(grad))


def test_a_failed_update_changes_nothing():
    act, opt = layer((5, 3, 4)), get_opt("Adam")
    act.backward(act.forward(inputs((9, 5))))
    act.b = np.arange(act.b.size)                   # integers cannot be stepped
    w = act.w.copy()
    with pytest.raises(TypeError, match="float"):
        act.update(opt)
    assert_same_bits(act.w, w)
    assert opt.t == 0
