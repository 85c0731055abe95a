"""Activations against exact arithmetic at exponents, kinks, limits and switch points; softmax; maxout."""
import copy
import ctypes

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import bounds, get_act
from fastnn.accuracy import Scan, exact_arithmetic, tasks, windows
from fastnn.activations import KINDS
from fastnn.learnable import learnable
from helpers import (
    CASES, ELEMENTWISE, FLOATS, ROWS, SANITIZED, SWITCHES, activation, all_orders, assert_close, assert_same_bits,
    exact_values, samples)
from oracles.activations import GATES, LEARNED, ORACLES, PLAIN, SPARSE, plain, reference, softmax_reference, vjp

each_case = pytest.mark.parametrize(("name", "parameters"), CASES)
each_float = pytest.mark.parametrize("dtype", FLOATS)
each_name = pytest.mark.parametrize("name", ELEMENTWISE + ROWS)


def check(name, parameters, order, x, got, exact, dtype):
    """Within the bound that fastnn states."""
    bound = bounds.ULPS[np.dtype(dtype).name][order]
    near = np.abs(x) < bounds.crossing(name, order, dict(parameters).get("beta", 1))
    assert_close(got[near], exact[near], x[near], bound, dtype, bounds.FLOOR)
    assert_close(got[~near], exact[~near], x[~near], bound, dtype)


def test_every_activation_has_an_oracle():
    assert set(ELEMENTWISE) == set(ORACLES) == set(PLAIN)
    assert set(ROWS) == set(fastnn.activations("rows"))
    assert set(GATES) == set(fastnn.activations("gated"))
    assert {name: (*each.in_parameters,) for name, each in LEARNED.items()} == learnable()


def test_the_name_of_the_package_entmax():
    assert get_act("entmax15").name == "entmax-1.5"


def test_kinds():
    """Every entry has one of them, and a list of each kind is in the order of the catalogue."""
    every = fastnn.activations()
    of_kinds = [name for kind in KINDS for name in fastnn.activations(kind)]
    assert sorted(of_kinds) == sorted(every) and all(fastnn.activations(kind) for kind in KINDS)
    for kind in KINDS:
        assert fastnn.activations(kind) == [name for name in every if name in fastnn.activations(kind)]
    with pytest.raises(ValueError, match="^kind must be one of 'elementwise', .*, not 'smooth'$"):
        fastnn.activations("smooth")


@each_case
@each_float
def test_values_and_derivatives(name, parameters, dtype):
    x, act = samples(dtype), activation(name, parameters)
    for order, got in enumerate(all_orders(act, x)):
        assert got.dtype == dtype
        check(name, parameters, order, x, got, exact_values(name, parameters, order, dtype), dtype)


@pytest.mark.skipif(SANITIZED, reason="the bounds are those of optimised kernels, whose compiler fuses other products")
@pytest.mark.parametrize("order", [0, 1, 2])
@each_case
def test_two_million_arguments(name, parameters, order):
    """float32 over the whole line and on both sides of every switch point, against the float64 kernel."""
    scan = Scan(name, order, **dict(parameters))
    for task in (*tasks(scan.near, 2**21), *windows(scan.near, SWITCHES, 3000)):
        scan.run(task)
    error, x = scan.result(exact_arithmetic())
    assert error <= bounds.ULPS["float32"][order], f"{error:.2f} ULP at {x!r}"


@each_case
@each_float
def test_every_way_to_ask_gives_the_same_bits(name, parameters, dtype):
    x, act = samples(dtype), activation(name, parameters)
    y, d, _ = all_orders(act, x)
    grad = np.random.default_rng(3).normal(size=x.shape).astype(dtype)
    assert_same_bits(act(x), y)
    assert_same_bits(act.backward(x, y), d)
    for got, wanted in zip(act.value_and_grad(x), (y, d)):
        assert_same_bits(got, wanted)
    with np.errstate(all="ignore"):
        assert_same_bits(act.backward(x, y, grad=grad), d*grad)


@each_case
@each_float
def test_hyperparameters_that_are_set_later_count(name, parameters, dtype):
    act = activation(name)
    for key, value in parameters:
        setattr(act, key, value)
    assert_same_bits(act.forward(samples(dtype)), activation(name, parameters).forward(samples(dtype)))


@pytest.mark.parametrize(("name", "parameters"), [
    ("ELU", {"alpha": 1e3}), ("SELU", {"lambda_": 2.0, "alpha": 1e3}), ("CELU", {"alpha": 1e-3}),
    ("CELU", {"alpha": 1e3}), ("Swish", {"beta": 1e-3}), ("Swish", {"beta": 1e3}), ("Swish", {"beta": 1e-9}),
    ("leaky-ReLU", {"alpha": 1e3}), ("hard-shrink", {"lambda_": 0.0}), ("soft-shrink", {"lambda_": 0.0})])
@each_float
def test_far_hyperparameters(name, parameters, dtype):
    scale = parameters.get("alpha", 1/parameters.get("beta", 1)) if name in ("CELU", "Swish") else 1
    x = np.concatenate([[-2e3, -800, -745, -104, -100, -88, 88, 104, 800, 2e3], np.linspace(-20, 20, 41)])
    x = (scale*x).astype(dtype)
    for order, got in enumerate(all_orders(get_act(name, **parameters), x)):
        check(name, parameters.items(), order, x, got, reference(name, order, x, **parameters), dtype)


@each_case
@each_float
def test_against_the_blackboard(name, parameters, dtype):
    x = np.linspace(-15, 15, 241).astype(dtype)
    tolerance = 4e-6 if dtype == np.float32 else 2e-13
    for order, got in enumerate(all_orders(activation(name, parameters), x)):
        assert_allclose(got, plain(name, order, x, **dict(parameters)), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "x", "derivative"), [
    ("step", 0, 0), ("ReLU", 0, 0), ("ELU", 0, 1), ("CELU", 0, 1), ("leaky-ReLU", 0, 1),
    ("hard-tanh", 1, 1), ("hard-tanh", -1, 1), ("hard-sigmoid", 2.5, 0.2), ("hard-sigmoid", -2.5, 0.2),
    ("hard-shrink", 0.5, 0), ("hard-shrink", -0.5, 0), ("soft-shrink", 0.5, 0), ("soft-shrink", -0.5, 0),
    ("ReLU6", 0, 0), ("ReLU6", 6, 0), ("threshold", 0.5, 0), ("SELU", 0, 1.0507), ("softsign", 0, 1),
    ("h-sigmoid", 3, 0), ("h-sigmoid", -3, 0), ("sparse-sigmoid", 1, 0), ("sparse-sigmoid", -1, 0), ("ReLU-k", 0, 0),
    ("ReLU-k", 6, 0), ("clipped-linear", 1, 0), ("clipped-linear", -1, 0), ("squared-ReLU", 0, 0), ("StarReLU", 0, 0),
    ("hard-swish", -3, 0), ("hard-swish", 3, 1), ("sparse-plus", -1, 0), ("sparse-plus", 1, 1), ("ISRLU", 0, 1)])
@each_float
def test_kinks(name, x, derivative, dtype):
    act = activation(name)
    for zero in {0.0, -0.0} if x == 0 else {x}:
        x = dtype(zero)
        assert act.backward(x) == act.value_and_grad(x)[1] == dtype(derivative)
        assert act.d2y(x) == 0


@each_case
@each_float
def test_zeros_keep_their_sign_where_there_is_a_slope(name, parameters, dtype):
    zeros = np.array([0.0, -0.0], dtype)
    values = reference(name, 0, zeros, **dict(parameters))
    got = activation(name, parameters)(zeros)
    if not values.any() and reference(name, 1, zeros, **dict(parameters)).all():
        assert_array_equal(np.signbit(got), [False, True])
    else:
        assert_allclose(got, values, rtol=2e-7)


@each_name
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_warns(name, dtype):
    """Nor does the caller's error state matter."""
    limits = np.finfo(dtype)
    x = np.array([0.0, -0.0, 1e-3, -1e-3, limits.tiny, -limits.tiny, limits.smallest_subnormal, 12, -12, 30,
                  -30, 150, -150, 800, -800, limits.max, limits.min, np.inf, -np.inf, np.nan], dtype)
    act = activation(name) if name in ELEMENTWISE else get_act(name)
    for row in (x, x[:-1], x[:-2], x[:-3]):
        for wide in (row, row[::2]):
            with np.errstate(all="raise"):
                results = *all_orders(act, wide), act.backward(wide, grad=wide), *act.value_and_grad(wide)
            with np.errstate(all="ignore"):
                again = *all_orders(act, wide), act.backward(wide, grad=wide), *act.value_and_grad(wide)
            for one, other in zip(results, again):
                assert_same_bits(one, other)


@each_name
@each_float
def test_no_floating_point_flag_is_raised(name, dtype):
    try:
        libm = ctypes.CDLL("libm.so.6")
    except OSError:
        pytest.skip("no glibc")
    act = activation(name) if name in ELEMENTWISE else get_act(name)
    x = samples(dtype)
    everything = 0x1f                                   # x86's, without FE_INEXACT
    for call in (act.forward, act.backward, act.d2y):
        libm.feclearexcept(everything)
        call(x)
        assert libm.fetestexcept(everything) == 0


@each_name
@each_float
def test_nan_stays_in_its_place(name, dtype):
    """In its own element, or in its own row."""
    act = activation(name) if name in ELEMENTWISE else get_act(name)
    x = np.full((5, 40), 0.75, dtype)
    x[1, 17] = x[3, 39] = np.nan
    wanted = np.isnan(x)
    if name in ROWS:
        wanted |= wanted.any(axis=1, keepdims=True)
    for got in (*all_orders(act, x), act.backward(x, grad=np.ones_like(x)), *act.value_and_grad(x)):
        assert_array_equal(np.isnan(got), wanted)


# The softmax family; its bounds stand in test_rows.py.

def rows(dtype):
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(size=(6, 11)), 8*rng.normal(size=(6, 11)), rng.uniform(-99, 99, (4, 11))])
    x[0] = 0.3
    x[1, 4] = 40
    x[2] += 5000
    x[3] -= 5000
    return x.astype(dtype)


def term_ulps(name):
    return bounds.SPARSE_ULPS if name in SPARSE else bounds.TERM_ULPS


@pytest.mark.parametrize("name", ROWS)
@each_float
@pytest.mark.parametrize("axis", [-1, 0, 1, None])
def test_softmax_family_along_axes(name, dtype, axis):
    x = {0: np.delete(rows(dtype), [2, 3], axis=0), None: rows(dtype)[::3]}.get(axis, rows(dtype))
    act = get_act(name, axis=axis)
    grad = np.random.default_rng(8).normal(size=x.shape).astype(dtype)
    y, d, d2 = softmax_reference(name, x, axis)
    least = 1 if name in SPARSE else 0                          # the largest term, a threshold, is about that
    for got, exact, floor in ((act.forward(x), y, least), (act.backward(x), d, least), (act.d2y(x), d2, 1),
                              (act.backward(x, grad=grad), vjp(name, x, grad, axis), 1)):
        assert got.dtype == dtype
        assert_close(got, exact, x, term_ulps(name), dtype, floor)
    for got, wanted in zip(act.value_and_grad(x), (act(x), act.backward(x, y))):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize("name", ROWS)
@each_float
def test_softmax_family_at_the_limits(name, dtype):
    inf, big = np.inf, np.finfo(dtype).max/2
    sign = -1 if name == "softmin" else 1
    x = sign*np.array([[inf, 0, -3, 2], [-inf, 0, 1, 2], [1e4, -1e4, 0, 9999], [big, -big, 1, big],
                       [-inf, -inf, 3, -inf]])
    x = x.astype(dtype)
    for got, exact in zip(all_orders(get_act(name), x), softmax_reference(name, x)):
        assert_close(got, exact, x, term_ulps(name), dtype)


@pytest.mark.parametrize("name", ROWS)
@each_float
def test_softmax_of_several_infinities_is_shared_or_nan(name, dtype):
    """Never a number that depends on the order of the elements, never a warning."""
    act = get_act(name)
    x = np.array([[np.inf, np.inf, 0, 1], [-np.inf]*4], dtype)
    for got, turned in zip(all_orders(act, x), all_orders(act, x[:, ::-1].copy())):
        assert_array_equal(got, turned[:, ::-1])


@pytest.mark.parametrize("name", ROWS)
@each_float
def test_equal_elements_of_a_row_get_equal_bits(name, dtype):
    rng = np.random.default_rng(9)
    act = get_act(name)
    for n in [*range(1, 40), 63, 64, 65, 1001]:
        x = np.full(n, rng.normal(), dtype)
        x[n//2:] = rng.normal()
        for got in (*all_orders(act, x), act.backward(x, grad=np.full(n, 0.3, dtype)*x)):
            for half in (got[:n//2], got[n//2:]):
                assert (half == half[:1]).all(), n


@pytest.mark.parametrize("name", ROWS)
def test_axis_none_is_the_whole_array(name):
    x = rows(np.float64)[:6].reshape(3, 2, 11)
    whole = get_act(name, axis=None)
    for got, wanted in zip(all_orders(whole, x), all_orders(get_act(name), x.ravel())):
        assert_same_bits(got, wanted.reshape(x.shape))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(("axis", "shape"), [(2, (3, 4)), (-3, (3, 4)), (1, (5,))])
def test_axis_out_of_range(name, axis, shape):
    x = np.ones(shape)
    act = get_act(name, axis=axis)
    for call in (act.forward, act.backward, act.d2y, act.value_and_grad):
        with pytest.raises(ValueError, match="axis"):       # NumPy's AxisError is one
            call(x)


@pytest.mark.parametrize(("axis", "error"), [
    ("last", TypeError), (1.5, TypeError), ((0, 1.5), TypeError), ((0, None), TypeError), ((0, (1, 2)), TypeError),
    ((), TypeError), ((1, 1), ValueError), ([0, 0], ValueError)])
def test_axis_must_be_an_integer(axis, error):
    with pytest.raises(error, match="axis"):
        get_act("softmax", axis=axis)


@pytest.mark.parametrize("name", ROWS)
@each_float
@pytest.mark.parametrize("axis", [(1, 2), (2, 1), (0, 2), (-1, 0), (0, 1, 2), (3, 1), [0, -1], (1,), (-2,)], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_several_axes_are_one_row(name, dtype, axis, order):
    x = np.array(np.random.default_rng(2).normal(size=(3, 4, 5, 2)), dtype, order=order)
    grad = np.random.default_rng(3).normal(size=x.shape).astype(dtype)
    act, last = get_act(name, axis=axis), get_act(name)
    behind = range(-len(axis), 0)

    def as_rows(a):
        moved = np.moveaxis(a, sorted(axis, key=lambda each: each % 4), behind)     # whatever their order, as in memory
        return np.ascontiguousarray(moved).reshape(*moved.shape[:-len(axis)], -1)

    y = last(as_rows(x))
    for got, wanted in zip([*all_orders(act, x), act.backward(x, grad=grad), *act.value_and_grad(x)],
                           [*all_orders(last, as_rows(x)), last.backward(as_rows(x), grad=as_rows(grad)),
                            *last.value_and_grad(as_rows(x))]):
        assert got.shape == x.shape
        assert_same_bits(as_rows(got), wanted)
    assert_same_bits(as_rows(act.backward(x, act(x), grad)), last.backward(as_rows(x), y, as_rows(grad)))
    out = np.empty_like(x)
    assert act.forward(x, out=out) is out
    assert_same_bits(as_rows(out), y)
    assert eval(repr(act), {"get_act": get_act}).axis == act.axis == copy.deepcopy(act).axis


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(("axis", "shape"), [((0, 2), (3, 4)), ((0, -3), (3, 4)), ((0, -2), (3, 4)), ((1, -1), (3, 4))])
def test_several_axes_out_of_range_or_twice(name, axis, shape):
    for call in (get_act(name, axis=axis).forward, get_act(name, axis=axis).d2y):
        with pytest.raises(ValueError, match="axis"):
            call(np.ones(shape))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("x", [0.5, 3, np.float32(2), np.array(1.5)])
def test_a_number_has_an_axis_as_in_sums(name, x):
    for axis in (-1, 0, None, (0, -1)):
        assert get_act(name, axis=axis)(x) == (0 if name == "log-softmax" else 1)
    for axis in (1, 5, -2, (0, 1)):
        act = get_act(name, axis=axis)
        for call in (act, act.backward, act.d2y, act.value_and_grad):
            with pytest.raises(ValueError, match="axis"):
                call(x)


# The ends of the ranges of hyperparameters

@each_float
@pytest.mark.parametrize(("name", "parameters"), [
    *(("leaky-ReLU", {"alpha": alpha}) for alpha in (0, -0.0, -0.3, -2, 1, 7.5, 1e29, -1e29, 1e-30)),
    *(("ELU", {"alpha": alpha}) for alpha in (0, -0.7, 1e-20, 9e11, -9e11)),
    *(("CELU", {"alpha": alpha}) for alpha in (1e-12, 1e-9, 1e-3, 37, 1e4, 1e10, 9e11)),
    *(("SELU", {"lambda_": a, "alpha": b}) for a in (1e-6, 9e5) for b in (1e-6, 9e5)),
    *(("StarReLU", {"scale": a, "bias": b}) for a in (1e-6, 9e5) for b in (-9e5, 0, 9e5)),
    *(("squareplus", {"b": b}) for b in (1e-12, 9e11)), ("ReLU-k", {"k": 1e-30}), ("ReLU-k", {"k": 9e29}),
    *((name, {"alpha": alpha}) for name in ("ISRU", "ISRLU") for alpha in (1e-6, 9e5))])
def test_hyperparameters_at_the_ends_of_their_ranges(name, parameters, dtype):
    """mpmath is the judge, at every exponent of x."""
    x = samples(dtype)
    act = get_act(name, **parameters)
    for order, got in enumerate(all_orders(act, x)):
        exact = reference(name, order, x, **parameters)
        if parameters.get("alpha") == 0:
            exact = np.where(x == -np.inf, 0, exact)            # 0 times infinity, at the far end of a line along 0
        check(name, parameters, order, x, got, exact, dtype)


@pytest.mark.parametrize(("name", "parameters"), [
    ("CELU", {"alpha": 1e-50}), ("CELU", {"alpha": 0}), ("CELU", {"alpha": -1}), ("CELU", {"alpha": 1e300}),
    ("leaky-ReLU", {"alpha": 1e30}), ("leaky-ReLU", {"alpha": -np.inf}), ("leaky-ReLU", {"alpha": np.nan}),
    ("ELU", {"alpha": 1e39}), ("squareplus", {"b": 0}), ("ISRU", {"alpha": 0}), ("ReLU-k", {"k": 0}),
    ("clipped-linear", {"low": 1.5}), ("clipped-linear", {"high": -2}), ("SELU", {"lambda_": 1e20}), ("SELU", {"alpha": 0})])
def test_hyperparameters_that_leave_the_range_of_float32(name, parameters):
    with pytest.raises(ValueError, match="must be"):
        get_act(name, **parameters)


# An x that forward has overwritten

@pytest.mark.parametrize(("name", "parameters"), CASES)
@each_float
def test_an_overwritten_x_is_told(name, parameters, dtype):
    """Where f' at y is not f' at x it is refused; where it is not refused it is right."""
    act = activation(name, parameters)
    x = samples(dtype)
    x = x[(x == 0) | (abs(x) > 1e-30)]                          # a slope of 0.01 makes 0 of the least ones
    wanted, grad = act.backward(x), np.full_like(x, 3)
    mine = x.copy()
    y = act.forward(mine, out=mine)
    told = name not in ("step", "identity", "hard-shrink", "ReLU", "ReLU6", "ReLU-k", "clipped-linear", "leaky-ReLU")
    for overwritten, value in ((mine, y), (mine[:], y), (mine.reshape(-1, 1), y.reshape(-1, 1)), (mine[::2], y[::2])):
        if told:
            with pytest.raises(ValueError, match="y lies in the memory of x"):
                act.backward(overwritten, value)
            with pytest.raises(ValueError, match="y lies in the memory of x"):
                act.backward(overwritten, value, grad=overwritten)
    if told:
        with pytest.raises(ValueError, match="y lies in the memory of x"):
            act.backward(mine[1:], mine[:-1])
    else:
        assert_same_bits(act.backward(mine, y), wanted)
        assert_same_bits(act.backward(mine, y, grad=grad), act.backward(x, grad=grad))
    assert_same_bits(act.backward(x, y), wanted)
    both = np.stack([x, y], axis=1)                             # beside each other in memory, but apart
    assert_same_bits(act.backward(both[:, 0], both[:, 1]), wanted)
    act.backward(x[:0], x[:0])


@pytest.mark.parametrize("name", ROWS)
def test_an_overwritten_row_is_told(name):
    act = get_act(name)
    x = rows(np.float64)
    grad = np.random.default_rng(8).normal(size=x.shape)
    wanted = act.backward(x, act(x), grad)
    y = act.forward(x, out=x)
    with pytest.raises(ValueError, match="y lies in the memory of x"):
        act.backward(x, y)
    if act.product_by_value:
        assert_same_bits(act.backward(x, y, grad), wanted)      # of y alone
    else:
        with pytest.raises(ValueError, match="y lies in the memory of x"):
            act.backward(x, y, grad)


def test_negative_slopes_are_told():
    x = np.array([-1.0, 2.0])
    act = get_act("leaky-ReLU", alpha=-0.5)
    with pytest.raises(ValueError, match="y lies in the memory of x"):
        act.backward(x, act.forward(x, out=x))
    act.alpha = 0.5
    act.backward(x, act.forward(x, out=x))


# maxout

def maxout(**kwds):
    return get_act("maxout", 4, 3, 5, rng=11, **kwds)


@pytest.mark.parametrize("shape", [(4,), (7, 4), (0, 4)])
def test_maxout_in_plain_numpy(shape):
    act = maxout()
    x = np.random.default_rng(1).normal(size=shape)
    pieces = (x @ act.w + act.b).reshape(*shape[:-1], 3, 5)
    assert_allclose(act.forward(x), pieces.max(axis=-1), rtol=1e-14)
    assert act(x).shape == act.d2y(x).shape == (*shape[:-1], 3)
    assert not act.d2y(x).any()


@pytest.mark.parametrize("shape", [(4,), (7, 4)])
def test_gradients_of_maxout_are_numerical_ones(shape):
    act = maxout(wb_width=1.0)
    rng = np.random.default_rng(2)
    x = rng.normal(size=shape)
    grad = rng.normal(size=(*shape[:-1], 3))
    act.forward(x)
    dx = act.backward(grad)
    dw, db = act.dw.copy(), act.db.copy()
    for array, analytic in ((x, dx), (act.w, dw), (act.b, db)):
        numeric = np.empty_like(array)
        for i in np.ndindex(array.shape):
            kept = array[i]
            sides = []
            for step in (1e-6, -1e-6):
                array[i] = kept + step
                sides.append((act.forward(x)*grad).sum())
            array[i] = kept
            numeric[i] = (sides[0] - sides[1])/2e-6
        assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-8)


def test_maxout_learns():
    act, opt = maxout(wb_width=0.5), fastnn.get_opt("SGD", eta=0.1)
    rng = np.random.default_rng(3)
    x, t = rng.normal(size=(50, 4)), rng.normal(size=(50, 3))
    losses = []
    for _ in range(50):
        error = act.forward(x) - t
        losses.append((error**2).mean())
        act.backward(error/len(x))
        act.update(opt)
    assert losses[-1] < 0.8*losses[0]


def test_maxout_keeps_float32_and_its_inputs():
    act = maxout()
    act.w, act.b = act.w.astype(np.float32), act.b.astype(np.float32)
    x = np.ones((2, 4), np.float32)
    grad = np.ones((2, 3), np.float32)
    assert act.forward(x).dtype == act.backward(grad).dtype == act.dw.dtype == act.db.dtype == np.float32
    assert (x == 1).all() and (grad == 1).all()


@pytest.mark.parametrize("rng", [5, np.random.default_rng(5), np.random.RandomState(5)])
def test_maxout_draws_from_rng(rng):
    act = get_act("maxout", 4, 3, 5, wb_width=0.25, rng=rng)
    assert act.w.shape == (4, 15) and act.b.shape == (15,)
    assert ((0 <= act.w) & (act.w < 0.25)).all()
    if isinstance(rng, int):
        assert_array_equal(act.w, get_act("maxout", 4, 3, 5, wb_width=0.25, rng=rng).w)


@pytest.mark.parametrize(("error", "call"), [
    (ValueError, lambda act: act.forward(np.ones(3))),
    (ValueError, lambda act: act.forward(np.ones((2, 2, 4)))),
    (ValueError, lambda act: act.forward(1.0)),
    (TypeError, lambda act: act.forward(np.ones(4, complex))),
    (TypeError, lambda act: act.forward(np.array(list("abcd")))),
    (ValueError, lambda act: maxout().backward(np.ones(3))),
    (ValueError, lambda act: maxout().update(fastnn.get_opt("SGD"))),
    (ValueError, lambda act: act.backward(np.ones((2, 3)))),
    (TypeError, lambda act: act.backward(np.ones(3, complex)))])
def test_bad_input_to_maxout_changes_nothing(error, call):
    act = maxout()
    act.forward(np.ones(4))
    first = act.backward(np.ones(3))
    before = act.w.copy(), act.b.copy(), act.dw.copy(), act.db.copy()
    with pytest.raises(error):
        call(act)
    for got, wanted in zip((act.w, act.b, act.dw, act.db), before):
        assert_array_equal(got, wanted)
    assert_array_equal(act.backward(np.ones(3)), first)
