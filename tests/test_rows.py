"""The softmax family and its loss along rows: 4 units in the last place of the largest term, from 1 to 1e6 elements."""
import copy
import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
from mpmath import mpf

from fastnn import bounds, get_act, get_err
from helpers import FLOATS, ROWS, all_orders, assert_close, assert_same_bits
from oracles.activations import SPARSE, softmax_reference, softmax_terms, vjp
from oracles.by_value import rows_reference
from oracles.losses import ORACLES

LOSS = "softmax-cross-entropy"
BOUND = bounds.TERM_ULPS

each_name = pytest.mark.parametrize("name", ROWS)
each_float = pytest.mark.parametrize("dtype", FLOATS)
each_length = pytest.mark.parametrize("n", [1, 2, 3, 7, 15, 16, 17, 33])
wide = pytest.mark.skipif(np.finfo(np.longdouble).eps > 2e-19, reason="no wider float to judge with")


def logits(n, dtype):
    """Rows from almost equal to saturated, far from 0 as well as near."""
    rng = np.random.default_rng(n)
    scales = np.repeat([1e-3, 0.3, 1, 3, 10, 30, 100, 1e3], max(1, 40//n))[:, None]
    return (scales*rng.normal(size=(scales.size, n)) + rng.choice([0, 5000, -300], scales.shape)).astype(dtype)


def gradients(x):
    """Of all sizes, one-hot, and all but constant."""
    rng = np.random.default_rng(x.size)
    one_hot = np.eye(x.shape[1])[rng.integers(x.shape[1], size=len(x))]
    for grad in (rng.normal(size=x.shape)*10.0**rng.uniform(-3, 3, x.shape), one_hot,
                 1 + 1e-3*rng.normal(size=x.shape)):
        yield grad.astype(x.dtype)


@each_name
@each_float
@each_length
def test_values_and_diagonal(name, dtype, n):
    x = logits(n, dtype)
    floors = softmax_terms(name, x, x)[:3] if name in SPARSE else (0, 0, softmax_terms(name, x, x)[2])
    for got, exact, least in zip(all_orders(get_act(name), x), softmax_reference(name, x), floors):
        assert_close(got, exact, x, BOUND, dtype, least)


@each_name
@each_float
@each_length
def test_products(name, dtype, n):
    x = logits(n, dtype)
    for grad in gradients(x):
        got = get_act(name).backward(x, grad=grad)
        assert_close(got, vjp(name, x, grad), x, BOUND, dtype, softmax_terms(name, x, grad)[3])


@pytest.mark.parametrize("name", ["softmax", "softmin"])
@each_float
@each_length
def test_products_by_value(name, dtype, n):
    """With y the unit is that of the larger of y g and y sum(g y)."""
    x = logits(n, dtype)
    act = get_act(name)
    for grad in gradients(x):
        y = act.forward(x)
        exact_y, magnitude = softmax_reference(name, x)[0], np.abs(grad.astype(np.float64))
        terms = np.maximum(exact_y, float(np.finfo(dtype).tiny))*np.maximum(
            magnitude, (exact_y*magnitude).sum(axis=-1, keepdims=True))
        assert_close(act.backward(x, y, grad=grad), vjp(name, x, grad), x, BOUND, dtype, terms)


@each_name
@each_float
@each_length
def test_derivatives_from_values_alone(name, dtype, n):
    """For any y that f may give, to 2 units; products to 4 of the larger of their terms."""
    x = logits(n, dtype)
    act = get_act(name)
    y = act.forward(x)
    for grad in gradients(x):
        first, product, terms = rows_reference(name, y, grad)
        assert_close(act.backward(y=y), first, y, 2, dtype, np.sqrt(y) if name == "entmax-1.5" else 0)
        assert_close(act.backward(y=y, grad=grad), product, y, BOUND, dtype, terms)
        assert_same_bits(act.backward(None, y, grad), act.backward(y=y, grad=grad))


@each_name
def test_values_alone_in_any_layout(name):
    rng = np.random.default_rng(6)
    act = get_act(name, axis=1)
    y, grad = act.forward(rng.normal(size=(3, 40, 5))), rng.normal(size=(3, 40, 5))
    wanted, first = act.backward(y=y, grad=grad), act.backward(y=y)
    assert act.by_value
    for turn in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a.astype(">f8")):
        assert_same_bits(np.ascontiguousarray(act.backward(y=turn(y), grad=grad)), wanted)
        assert_same_bits(np.ascontiguousarray(act.backward(y=y, grad=turn(grad))), wanted)
        assert_same_bits(np.ascontiguousarray(act.backward(y=turn(y))), first)
    for out, held in ((y.copy(), "y"), (grad.copy(), "grad")):
        given = {"y": y, "grad": grad, held: out}
        assert act.backward(**given, out=out) is out
        assert_same_bits(out, wanted)
    assert_same_bits(act.backward(y=y.tolist(), grad=grad.tolist()), wanted)
    for bad in ({}, {"grad": grad}):
        with pytest.raises(TypeError, match="backward takes x, or y"):
            act.backward(**bad)
    with pytest.raises(ValueError, match="grad must have shape"):
        act.backward(y=y, grad=grad[:2, :7])


@each_name
@each_float
def test_a_product_takes_the_values_where_they_serve(name, dtype):
    """y counts for softmax and softmin where it is an array like x, whatever its layout; else it is left alone."""
    x = logits(40, dtype)
    act, grad = get_act(name), np.ones_like(x)
    used = act.backward(x, np.zeros_like(x), grad=grad)
    assert (not used.any()) == (name != "log-softmax")
    assert_same_bits(act.backward(x, np.zeros_like(x)[:, ::-1], grad=grad), used)
    for other in (np.zeros(3, dtype), np.zeros(x.shape, np.float16), 0.0, None):
        assert_same_bits(act.backward(x, other, grad=grad), act.backward(x, grad=grad))


@each_float
@each_length
@pytest.mark.parametrize("kind", ["label", "one-hot", "distribution"])
def test_loss(dtype, n, kind):
    """Also where the label's share is all but 1, and the gradient there softmax - 1."""
    x = logits(n, dtype)
    rng = np.random.default_rng(1)
    label = np.where(np.arange(len(x)) % 3, x.argmax(axis=1), rng.integers(n, size=len(x)))
    t = np.eye(n)[label] if kind != "distribution" else rng.dirichlet(np.ones(n), len(x))
    t = (t*2**20).round().astype(dtype)/2**20
    t[:, -1] = 1 - t[:, :-1].sum(axis=1)                # exact: multiples of 2^-20
    err = get_err(LOSS)
    loss, grad = err.forward(x, label if kind == "label" else t), err.backward()
    exact, exact_grad = ORACLES[LOSS](x, t)
    assert_close(loss, exact, label, BOUND, dtype)
    assert_close(grad, exact_grad, x, BOUND, dtype, softmax_terms("log-softmax", x, t)[3])


@each_float
def test_loss_of_a_certain_label_keeps_its_digits(dtype):
    x = np.array([[0, -30, -35], [0, -80, -81], [40, 0, 1]], dtype)
    err = get_err(LOSS)
    exact, exact_grad = ORACLES[LOSS](x, np.eye(3)[[0, 0, 0]])
    assert (exact < 1e-12).all()
    assert_close(err.forward(x, [0, 0, 0]), exact, x[:, 0], BOUND, dtype)
    assert_close(err.backward(), exact_grad, x, BOUND, dtype)


@wide
@pytest.mark.parametrize("name", ["softmax", "softmin", "log-softmax"])
@each_float
@pytest.mark.parametrize("scale", [1, 30])
def test_a_million(name, dtype, scale):
    n = 10**6
    rng = np.random.default_rng(2)
    x, grad = (scale*rng.normal(size=n)).astype(dtype), rng.normal(size=n).astype(dtype)
    act = get_act(name)
    sign = -1 if name == "softmin" else 1
    d = sign*x.astype(np.longdouble) - (sign*x).max()
    top = int(d.argmax())
    e = np.exp(d)
    rest = e[:top].sum() + e[top + 1:].sum()
    y, q = e/(1 + rest), 1 - e/(1 + rest)
    q[top] = rest/(1 + rest)
    if name == "log-softmax":
        whole = grad.astype(np.longdouble).sum()
        exact = d - np.log1p(rest), q, -y*q, q*grad - y*(whole - grad)
        product = np.maximum(q*np.abs(grad), y*np.abs(grad.astype(np.float64)).sum())
    else:
        h = grad.astype(np.longdouble) - grad[top]
        exact = y, sign*y*q, y*q*(q - y), sign*y*(h - (y*h).sum())
        product = np.maximum(y, np.finfo(dtype).smallest_normal)*np.maximum(abs(h), (y*abs(h)).sum())
    floors = 0, 0, y*q, product
    for got, wanted, floor in zip((*all_orders(act, x), act.backward(x, grad=grad)), exact, floors):
        errors = np.abs(got - wanted)/units(np.maximum(np.abs(wanted), floor), dtype)
        assert errors.max() <= BOUND


@wide
@pytest.mark.parametrize("name", SPARSE)
@each_float
@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1, 30])
def test_a_million_with_a_threshold(name, dtype, scale):
    """From a support of everything to one of a few."""
    n = 10**6
    rng = np.random.default_rng(2)
    x, grad = (scale*rng.normal(size=n)).astype(dtype), rng.normal(size=n).astype(dtype)
    act = get_act(name)
    z = x.astype(np.longdouble) - x.max()
    if name == "entmax-1.5":
        z /= 2
    ordered, k = np.sort(z)[::-1], np.arange(1, n + 1)
    totals = np.cumsum(ordered)
    if name == "sparsemax":
        taus = (totals - 1)/k
    else:
        spread = np.cumsum(ordered**2) - totals**2/k
        taus = totals/k - np.sqrt(np.maximum(1 - spread, 0)/k)
    tau = taus[(ordered > taus).nonzero()[0].max()]
    s = np.maximum(z - tau, 0)
    w = s if name == "entmax-1.5" else (s > 0).astype(np.longdouble)
    exact = (s**2 if name == "entmax-1.5" else s), w - w**2/w.sum(), w*(grad - (w*grad).sum()/w.sum())
    term = np.maximum(s, 1e-16)*-tau if name == "entmax-1.5" else np.full(n, -tau)
    floors = term, w - tau, (w - tau)*np.maximum(abs(grad), 1)
    for got, wanted, floor in zip((act.forward(x), act.backward(x), act.backward(x, grad=grad)), exact, floors):
        errors = np.abs(got - wanted)/units(np.maximum(np.abs(wanted), floor), dtype)
        assert errors.max() <= BOUND


def units(size, dtype):
    limits = np.finfo(dtype)
    size = np.maximum(size.astype(np.float64), float(limits.smallest_normal))
    return np.ldexp(float(limits.eps), np.frexp(size)[1] - 1)


@each_float
def test_loss_of_a_million_classes(dtype):
    n = 10**6
    x = np.zeros(n, dtype)
    x[3] = 5
    err = get_err(LOSS)
    for label, t in ((3, np.eye(1, n, 3, dtype)[0]), (4, np.eye(1, n, 4, dtype)[0])):
        exact = np.log(n - 1 + np.exp(5.0)) - 5*(label == 3)
        for target in (label, t):
            assert_close(err.forward(x, target), exact, [label], BOUND, dtype)
            assert_close(err.backward()[[0]], [1/(n - 1 + np.exp(5.0))], [0], BOUND, dtype)


@each_name
@each_float
@pytest.mark.parametrize("n", [1, 2, 17, 1000])
def test_a_shift_that_is_exact_changes_no_bit(name, dtype, n):
    rng = np.random.default_rng(3)
    x = rng.integers(-2**12, 2**12, (20, n)).astype(dtype)/2**8
    grad = rng.normal(size=x.shape).astype(dtype)
    act, err = get_act(name), get_err(LOSS)
    for by in (dtype(64), dtype(-2000), dtype(2**-8)):
        moved = x + by
        assert (moved - by == x).all()
        for got, wanted in zip((*all_orders(act, moved), act.backward(moved, grad=grad)),
                               (*all_orders(act, x), act.backward(x, grad=grad))):
            assert_same_bits(got, wanted)
        assert_same_bits(err.forward(moved, x), err.forward(x, x))
        assert_same_bits(err.backward(moved, x), err.backward(x, x))


@each_name
@each_float
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 129])
def test_bits_do_not_depend_on_where_a_row_lies(name, dtype, n):
    """Any alignment, any neighbours, in place or not."""
    rng = np.random.default_rng(4)
    x, grad = rng.normal(size=(2, 5, n)).astype(dtype)
    act = get_act(name)
    calls = act.forward, act.backward, act.d2y, lambda x, **kwds: act.backward(x, grad=grad, **kwds)
    whole = [call(x) for call in calls]
    for offset in range(16):
        room = np.zeros(x.size + 16, dtype)
        view = room[offset:offset + x.size].reshape(x.shape)
        for call, wanted in zip(calls, whole):
            view[...] = x
            assert_same_bits(call(view), wanted)
            assert call(view, out=view) is view
            assert_same_bits(view.copy(), wanted)
    for i, row in enumerate(x):
        assert_same_bits(act.forward(row), whole[0][i].copy())
        assert_same_bits(act.backward(row, grad=grad[i]), whole[3][i].copy())


def hostile(n, count, dtype):
    """Rows with infinities, NaN, subnormal numbers, spreads over all exponents, and all alike."""
    rng = np.random.default_rng(n)
    limits = np.finfo(dtype)
    x = rng.normal(size=(count, n))*10.0**rng.integers(-3, 4, (count, 1))
    holes = rng.random(x.shape) < 0.2
    for kind, value in enumerate((-np.inf, np.inf, np.nan, float(limits.smallest_subnormal), float(limits.max),
                                  -float(limits.max))):
        rows = np.arange(count) % 9 == kind
        x[rows] = np.where(holes[rows], value, x[rows])
    x[6::9] = np.ldexp(rng.uniform(-1, 1, x[6::9].shape), rng.integers(limits.minexp, limits.maxexp, x[6::9].shape))
    x[7::9] = x[7::9, :1]
    return x.astype(dtype)


@each_name
@each_float
@pytest.mark.parametrize("n", [*range(1, 71, 3), 100, 513, 2100])
def test_bits_do_not_depend_on_how_rows_lie(name, dtype, n):
    """One by one, together, as columns, in Fortran's order, copied or not, into another array or in place."""
    rng = np.random.default_rng(n)
    by_rows, by_columns = get_act(name), get_act(name, axis=0)
    for count in (1, 3, 17, 40, 67):
        x = hostile(n, count, dtype)
        grad = rng.normal(size=x.shape).astype(dtype)
        y = by_rows.forward(x)
        calls = [lambda act, x, grad, y, **kwds: act.forward(x, **kwds),
                 lambda act, x, grad, y, **kwds: act.backward(x, **kwds),
                 lambda act, x, grad, y, **kwds: act.d2y(x, **kwds),
                 lambda act, x, grad, y, **kwds: act.backward(x, grad=grad, **kwds),
                 lambda act, x, grad, y, **kwds: act.backward(y=y, grad=grad, **kwds),
                 lambda act, x, grad, y, **kwds: act.backward(y=y, **kwds)]
        for call in calls:
            wanted = np.concatenate([call(by_rows, *(a[i:i + 1].copy() for a in (x, grad, y))) for i in range(count)])
            assert_same_bits(call(by_rows, x, grad, y), wanted, count)
            assert_same_bits(call(by_rows, *map(np.asfortranarray, (x, grad, y))).copy("C"), wanted, count)
            turned = [np.ascontiguousarray(a.T) for a in (x, grad, y)]
            assert_same_bits(call(by_columns, *turned).T.copy(), wanted, count)
            assert_same_bits(call(by_columns, x.T, turned[1], y.T).T.copy(), wanted, count)
            apart = [np.repeat(a, 2, axis=1)[:, ::2] for a in (x, grad, y)]
            assert_same_bits(call(by_rows, *apart).copy("C"), wanted, count)
            for array in range(3):
                held = [a.copy() for a in (x, grad, y)]
                assert_same_bits(call(by_rows, *held, out=held[array]), wanted, count)
                held = [a.copy() for a in turned]
                assert_same_bits(call(by_columns, *held, out=held[array]).T.copy(), wanted, count)


@each_name
@pytest.mark.parametrize("n", [1, 2, 10, 33, 100])
def test_hostile_rows_are_those_of_the_oracle(name, n):
    """Finite numbers, and infinities whose share is 0; what other rows hold does not reach them."""
    x = hostile(n, 36, np.float64)
    x = x[(x < np.inf).all(axis=1) & (x > -np.inf).any(axis=1)]
    share = "softmax"
    if name == "softmin":
        x, share = -x, name
    act = get_act(name)
    exact = softmax_reference(name, x)
    floors = softmax_terms(name, x, np.ones_like(x))[:3] if name in SPARSE \
        else (0, 0, np.abs(softmax_reference(share, x)[1]))
    got = act.forward(np.concatenate([x, np.full((2, n), np.nan), np.full((2, n), np.inf)]))[:len(x)]
    for got, wanted, floor in zip((got, act.backward(x), act.d2y(x)), exact, floors):
        assert_close(got, wanted, x, BOUND, np.float64, floor)


@each_name
def test_half_precision_is_computed_in_float32(name):
    x = logits(40, np.float16)
    for act, a in ((get_act(name), x), (get_act(name, axis=0), np.ascontiguousarray(x.T))):
        wide_a = a.astype(np.float32)
        with np.errstate(over="ignore"):
            assert_same_bits(act.forward(a), act.forward(wide_a).astype(np.float16))
            assert_same_bits(act.backward(a, grad=a), act.backward(wide_a, grad=wide_a).astype(np.float16))
            assert_same_bits(act.backward(y=a*0 - 1, grad=a),
                             act.backward(y=wide_a*0 - 1, grad=wide_a).astype(np.float16))


@each_name
@pytest.mark.parametrize("axis", [-1, 0])
def test_results_in_place_need_no_second_array(name, axis):
    x = np.zeros((700, 800))
    act = get_act(name, axis=axis)
    act.forward(x, out=x)
    tracemalloc.start()
    try:
        assert act.forward(x, out=x) is x
        act.backward(y=x, grad=x, out=x)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes/10
    finally:
        tracemalloc.stop()


@each_float
@pytest.mark.parametrize("n", [1, 3, 10, 32, 33, 700])
def test_losses_do_not_depend_on_their_company_or_the_gradient(dtype, n):
    x = logits(n, dtype)
    labels = np.arange(len(x)) % n
    for t in (labels, np.eye(n, dtype=dtype)[labels]):
        err = get_err(LOSS)
        loss, grad = err.forward(x, t), err.backward()
        assert_same_bits(err.forward(x, t, keep=False), loss)
        with pytest.raises(ValueError, match="without keep=False"):
            err.backward()
        assert_same_bits(err.backward(x, t), grad)
        for i in range(0, len(x), 5):
            assert err.forward(x[i], t[i]) == loss[i]
            assert_same_bits(err.backward(), grad[i].copy())


@each_name
@each_float
def test_a_constant_gradient_is_pulled_back_to_nothing(name, dtype):
    """Shares sum to one: to the last bit for softmax, up to one rounding of each share for its logarithm."""
    x = logits(17, dtype)
    got = get_act(name).backward(x, grad=np.full_like(x, 0.3))
    if name == "log-softmax":
        assert np.abs(got.astype(np.float64).sum(axis=1)).max() < 17*np.finfo(dtype).eps
    elif name == "entmax-1.5":              # whose weights are rounded twice as finely as x
        assert np.abs(got).max() < np.finfo(dtype).eps**1.5
    else:
        assert not got.any()


# A temperature

each_temperature = pytest.mark.parametrize("temperature", [1e-12, 0.1, 0.7, 7.3, 9e11])


@each_name
@each_float
@each_temperature
@pytest.mark.parametrize("n", [1, 2, 17])
def test_a_temperature_costs_no_digits(name, dtype, temperature, n):
    """The bounds are those without one, for x of the temperature's size as well."""
    act = get_act(name, temperature=temperature)
    x, least = logits(n, dtype), float(np.finfo(dtype).smallest_normal)
    for x in (x, (x.astype(np.float64)*min(max(temperature, 1e-3), 1e6)).astype(dtype)):
        exact = mpf(temperature)
        floors = softmax_terms(name, x, x, exact)
        floors = (floors[0] if name in SPARSE else 0, floors[1] if name in SPARSE else least/temperature,
                  np.maximum(floors[2], least/temperature**2))
        for got, wanted, floor in zip(all_orders(act, x), softmax_reference(name, x, temperature=exact), floors):
            assert_close(got, wanted, x, BOUND, dtype, floor)
        for grad in itertools.islice(gradients(x), 2):
            assert_close(act.backward(x, grad=grad), vjp(name, x, grad, temperature=exact), x, BOUND, dtype,
                         softmax_terms(name, x, grad, exact)[3])


@each_name
@each_float
@each_temperature
def test_a_temperature_from_values_alone(name, dtype, temperature):
    x = logits(17, dtype)
    act = get_act(name, temperature=temperature)
    for grad in gradients(x):
        y = act.forward(x)
        first, product, terms = (a/temperature for a in rows_reference(name, y, grad))
        least = np.finfo(np.float64).smallest_normal/min(temperature, 1)    # the reference is rounded before it is divided
        assert_close(act.backward(y=y), first, y, 3, dtype,
                     np.maximum(np.sqrt(y)/temperature if name == "entmax-1.5" else 0, least))
        assert_close(act.backward(y=y, grad=grad), product, y, BOUND, dtype, np.maximum(terms, least))


@each_name
@each_float
@pytest.mark.parametrize("n", [2, 17, 40, 2100])
def test_a_temperature_of_one_is_none_and_layouts_have_the_same_bits(name, dtype, n):
    act, last, first = get_act(name), get_act(name, temperature=0.6), get_act(name, axis=0, temperature=0.6)
    x, grad = hostile(n, 40, dtype), np.random.default_rng(n).normal(size=(40, n)).astype(dtype)
    calls = [lambda act, x, grad: act.forward(x), lambda act, x, grad: act.backward(x), lambda act, x, grad: act.d2y(x),
             lambda act, x, grad: act.backward(x, grad=grad), lambda act, x, grad: act.backward(y=x, grad=grad)]
    for call in calls:
        wanted = np.concatenate([call(last, x[i:i + 1], grad[i:i + 1]) for i in range(40)])
        assert_same_bits(call(last, x, grad), wanted)
        assert_same_bits(np.ascontiguousarray(call(first, x.T.copy(), grad.T.copy()).T), wanted)
    last.temperature = 1
    for call in calls:
        assert_same_bits(call(last, x, grad), call(act, x, grad))
    twice = get_act(name, temperature=2)                        # halving is exact, of what is in range
    x = np.random.default_rng(n).normal(size=(40, n)).astype(dtype)
    assert_same_bits(twice.forward(2*x), act.forward(x))
    assert_same_bits(twice.backward(2*x, grad=grad), act.backward(x, grad=grad)/2)


@each_name
def test_a_temperature_is_a_hyperparameter(name):
    for bad in (0, -1, np.nan, np.inf, 1e-13, 1e12):
        with pytest.raises(ValueError, match="temperature"):
            get_act(name, temperature=bad)
    with pytest.raises(TypeError, match="temperature"):
        get_act(name, temperature="warm")
    act = get_act(name, 0, 0.5)
    assert act.temperature == 0.5 and eval(repr(act), {"get_act": get_act}).temperature == 0.5
    assert copy.deepcopy(act).temperature == pickle.loads(pickle.dumps(act)).temperature == 0.5


# Several axes

@each_name
def test_an_axis_that_is_not_there_is_named_with_the_shape(name):
    x = np.zeros((3, 4))
    for act in (get_act(name, axis=3), get_act(name, axis=(0, -3))):
        for call in (act.forward, act.backward, act.d2y, lambda x, act=act: act.backward(x, grad=x)):
            with pytest.raises(ValueError, match=r"axis must be from -2 to 1, not .*3.*: x has the shape \(3, 4\)"):
                call(x)
        with pytest.raises(ValueError, match=r"axis .*: y has the shape"):
            act.backward(y=x)
    with pytest.raises(ValueError, match=r"axis names one twice: \(0, -2\), where x has the shape \(3, 4\)"):
        get_act(name, axis=(0, -2)).forward(x)


@each_name
@pytest.mark.parametrize(("shape", "axis"), [
    ((30, 40, 50), (1, 2)), ((30, 40, 50), (2, 1)), ((30, 40, 50), (0, 1)), ((30, 40, 50), (-2, -1)),
    ((30, 40, 50), (0, 1, 2)), ((40, 1, 30, 50), (0, 2)), ((40, 1, 30, 50), (1, 2)), ((1, 40, 50), (0, 2))])
def test_neighbouring_axes_are_walked_where_they_lie(name, shape, axis):
    """Without a copy: in place, hardly any memory is asked for."""
    x = np.random.default_rng(0).normal(size=shape)
    act = get_act(name, axis=axis)
    wanted = act.forward(x)
    assert_same_bits(np.ascontiguousarray(act.forward(np.asfortranarray(x))), wanted)
    tracemalloc.start()
    try:
        assert act.forward(x, out=x) is x
        assert tracemalloc.get_traced_memory()[1] < x.nbytes/10
    finally:
        tracemalloc.stop()
    assert_same_bits(x, wanted)


@each_name
def test_the_order_of_axes_does_not_matter(name):
    x = np.random.default_rng(0).normal(size=(4, 5, 6, 7))
    for axes in itertools.combinations(range(4), 3):
        wanted = get_act(name, axis=axes).forward(x)
        for other in itertools.permutations(axes):
            assert_same_bits(get_act(name, axis=[axis - 4 for axis in other]).forward(x), wanted)


# Sparse rows

@pytest.mark.parametrize("name", SPARSE)
@each_float
def test_a_gradient_outside_of_the_support_is_not_looked_at(name, dtype):
    x = np.array([[3, 2.9, -5, -7], [0, 0, 0, 0]], dtype)
    grad = np.array([[1, 2, np.nan, np.inf], [1, 2, 3, 4]], dtype)
    act = get_act(name)
    got = act.backward(x, grad=grad)
    assert np.isfinite(got).all() and not got[0, 2:].any()
    assert_same_bits(act.backward(y=act(x), grad=np.nan_to_num(grad)), act.backward(y=act(x), grad=grad))


@pytest.mark.parametrize("name", SPARSE)
@each_float
@pytest.mark.parametrize("n", [5, 40, 3000])
def test_infinite_maxima_share_one(name, dtype, n):
    act = get_act(name)
    x = np.zeros((3, n), dtype)
    x[0, 2] = x[1, 1:4] = np.inf
    x[2] = -np.inf
    for got in (act.forward(x), get_act(name, axis=0).forward(x.T.copy()).T):
        assert got[0, 2] == 1 and got[0].sum() == 1
        assert_close(got[1], (x[1] == np.inf)/3, x[1], BOUND, dtype)
        assert_close(got[2], np.full(n, 1/n), x[2], BOUND, dtype)


@pytest.mark.parametrize("name", SPARSE)
@each_float
@pytest.mark.parametrize("n", [60, 1500])
def test_supports_that_thresholds_creep_up_to(name, dtype, n):
    """Elements at all distances below the largest: many steps, one element after another."""
    x = -(2.0**(-np.arange(n)/(n/50))).astype(dtype)
    act = get_act(name)
    exact, terms = softmax_reference(name, x)[0], softmax_terms(name, x, x)[0]
    assert_close(act.forward(x), exact, x, BOUND, dtype, terms)
    assert_close(act.forward(-x), softmax_reference(name, -x)[0], x, BOUND, dtype, softmax_terms(name, -x, x)[0])
