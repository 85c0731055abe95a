"""Which arrays go in, and what comes out: layouts, dtypes, `out`, overlap, the same bits at every place."""
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import fastnn
from fastnn import get_act, get_err
from helpers import ELEMENTWISE, FLOATS, LOSSES, ROWS, activation, assert_same_bits

HALVES = [np.dtype(np.float16)]
try:
    from ml_dtypes import bfloat16
except ImportError:
    pass
else:
    HALVES.append(np.dtype(bfloat16))

# What the engine does does not depend on the formula: one function with a second derivative, one that
# compares with its hyperparameters, one along rows.
NAMES = ["GELU", "threshold", "softmax"]
SHAPE = 24, 35
CALLS = {
    "forward": lambda act, x, **kwds: act.forward(x, **kwds),
    "backward": lambda act, x, **kwds: act.backward(x, **kwds),
    "grad": lambda act, x, **kwds: act.backward(x, grad=kwds.pop("grad", x), **kwds),
    "d2y": lambda act, x, **kwds: act.d2y(x, **kwds),
}

each_float = pytest.mark.parametrize("dtype", FLOATS)
each_name = pytest.mark.parametrize("name", NAMES)
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def make(name):
    return activation(name) if name in ELEMENTWISE else get_act(name)


def numbers(shape=SHAPE, dtype=np.float64, seed=0):
    return (3*np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def spread(x, *steps):
    """x as a view with gaps."""
    room = np.full([n*step for n, step in zip(x.shape, steps)], 99, x.dtype)
    view = room[tuple(slice(None, None, step) for step in steps)]
    view[...] = x
    return view


def unaligned(x):
    room = np.zeros(x.nbytes + 1, np.uint8)
    view = np.frombuffer(room, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


class Subclass(np.ndarray):
    pass


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "every second column": lambda x: spread(x, 1, 2),
    "every third row": lambda x: spread(x, 3, 1),
    "gaps in both": lambda x: spread(x, 2, 3),
    "gaps in Fortran order": lambda x: spread(x.T, 2, 3).T,
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "columns reversed": lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "transposed and reversed": lambda x: np.ascontiguousarray(x.T[::-1])[::-1].T,
    "unaligned": unaligned,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "byte-swapped with gaps": lambda x: spread(x.astype(x.dtype.newbyteorder()), 2, 1),
    "read-only": read_only,
    "subclass": lambda x: x.copy().view(Subclass),
    "part of a record": lambda x: np.rec.fromarrays([x, x.astype(np.int8)], names="x, y").x,
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def assert_same_order(got, x):
    """The memory order of x: its axes sorted by stride, without its gaps."""
    wanted = np.empty_like(x, dtype=got.dtype, subok=False)
    assert got.strides == wanted.strides, (x.strides, got.strides)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(request.param)
    yield request.param
    fastnn.set_num_threads(before)


@each_layout
@each_name
@each_call
@each_float
def test_layouts(layout, name, call, dtype):
    x, act = numbers(dtype=dtype), make(name)
    view = layout(x)
    before = view.tobytes(), view.dtype, view.strides
    got = call(act, view)
    assert_same_bits(got, call(act, x))
    assert_same_order(got, view)
    assert (view.tobytes(), view.dtype, view.strides) == before
    assert not np.shares_memory(got, view)


@each_layout
@each_name
@each_float
def test_layouts_of_value_and_grad(layout, name, dtype):
    x, act = numbers(dtype=dtype), make(name)
    view = layout(x)
    for got, wanted in zip(act.value_and_grad(view), (act.forward(x), act.backward(x))):
        assert_same_bits(got, wanted)
        assert_same_order(got, view)


@each_layout
@each_name
@each_call
def test_layouts_of_out(layout, name, call):
    x, act = numbers(), make(name)
    out = layout(np.zeros(SHAPE))
    out.flags.writeable = True
    assert call(act, x, out=out) is out
    assert_same_bits(np.array(out, np.float64, subok=False), call(act, x))


@each_layout
@each_name
@each_float
def test_layouts_of_grad(layout, name, dtype):
    x, act = numbers(dtype=dtype), make(name)
    grad = numbers(dtype=dtype, seed=1)
    before = grad.copy()
    for left, right in ((x, layout(grad)), (np.asfortranarray(x), layout(grad))):
        assert_same_bits(act.backward(left, grad=right), act.backward(x, grad=grad))
    assert_same_bits(grad, before)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 3, 2), (1,)*7])
@each_name
@each_call
def test_axes_in_any_order(shape, name, call):
    x, act = numbers(shape), make(name)
    for axes in [np.random.default_rng(i).permutation(len(shape)) for i in range(6)]:
        turned = np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
        got = call(act, turned)
        assert_same_bits(got, call(act, x))
        assert_same_order(got, turned)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
@pytest.mark.parametrize("name", ROWS)
@each_call
def test_rows_along_any_axis_of_any_layout(axis, name, call):
    x = numbers((4, 5, 6))
    act, last = get_act(name, axis=axis), get_act(name)
    wanted = (call(last, x.ravel()).reshape(x.shape) if axis is None
              else np.moveaxis(call(last, np.moveaxis(x, axis, -1).copy()), -1, axis))
    for view in (x, np.asfortranarray(x), x.swapaxes(0, 1).copy().swapaxes(0, 1), x[::-1].copy()[::-1]):
        got = call(act, view)
        assert_same_bits(got, np.ascontiguousarray(wanted) if got.flags.c_contiguous else wanted)
        assert_same_order(got, view)


@each_name
@each_call
@each_float
def test_broadcast_input(name, call, dtype):
    row = numbers(35, dtype)
    act = make(name)
    for view in (np.broadcast_to(row, (24, 35)), np.broadcast_to(row[:, None], (35, 7)),
                 np.broadcast_to(dtype(0.7), (3, 4))):
        assert_same_bits(call(act, view), call(act, view.copy()))
    x = numbers((24, 35), dtype)
    for grad in (row, 0.3, row[:1], numbers((24, 1), dtype)):
        full = np.broadcast_to(np.asarray(grad, dtype), x.shape).copy()
        assert_same_bits(act.backward(x, grad=grad), act.backward(x, grad=full))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
@pytest.mark.parametrize("name", ELEMENTWISE + ROWS)
@each_float
def test_empty(shape, name, dtype):
    act, x = make(name), np.empty(shape, dtype)
    results = [call(act, x) for call in CALLS.values()] + list(act.value_and_grad(x))
    results += [act.forward(x, out=x.copy()), act.forward(np.asfortranarray(x)), act.forward(x[::-1])]
    for got in results:
        assert got.shape == shape and got.dtype == dtype


@pytest.mark.parametrize("name", ELEMENTWISE + ROWS)
@pytest.mark.parametrize(("number", "dtype"), [
    (0.75, np.float64), (np.float64(0.75), np.float64), (2, np.float64), (-2**60 - 1, np.float64), (True, np.float64), (np.float32(0.75), np.float32),
    (np.int8(2), np.float64),
    (np.float16(0.75), np.float16), (np.array(0.75), np.float64), (np.array(0.75, np.float32), np.float32),
    (np.array(0.75, ">f4"), np.float32), (np.array(3, np.uint64), np.float64), (np.bool_(False), np.float64)])
def test_numbers_give_scalars(name, number, dtype):
    act = make(name)
    array = np.array([number], dtype)
    for call in CALLS.values():
        got = call(act, number)
        assert type(got) is dtype
        assert got == call(act, array)[0]
    for got, wanted in zip(act.value_and_grad(number), act.value_and_grad(array)):
        assert type(got) is dtype and got == wanted[0]


class Float(float):
    """A number whose class has a word in it."""

    def __array__(self, dtype=None, copy=None):
        return np.array(0.25)


class Float64(np.float64):
    pass


@each_name
def test_numbers_of_other_classes(name):
    act = make(name)
    for number in (Float(0.75), Float64(0.75)):
        got = act.forward(number)
        assert type(got) is np.float64 and got == act.forward(np.asarray(number))
    for number in (10**30, 1j, "1", None):
        with pytest.raises(TypeError):
            act.forward(number)
    for grad in (10**30, 1j, "1"):
        with pytest.raises(TypeError):
            act.backward(0.75, grad=grad)


@pytest.mark.parametrize("name", ELEMENTWISE)
@each_float
def test_numbers_and_gradients(name, dtype):
    """A number counts as an array of one element, whatever the gradient is."""
    act = activation(name)
    for number in (0.75, -1.5, 0.0, -0.0, 1e30, np.inf, -np.inf, np.nan, 1e-40):
        x = dtype(number)
        for grad in (2.5, np.float32(2.5), np.float64(1e-50), 3, -2**60 - 1, True, np.int8(-3), np.float16(0.1), 1e300,
                     np.array(2.5), [2.5]):
            with np.errstate(all="ignore"):
                factor = np.asarray(grad).reshape(-1).astype(dtype)
            for call in (act.backward, *([lambda y, **kwds: act.backward(y=y, **kwds)] if act.by_value else [])):
                got = call(x, grad=grad) if np.ndim(grad) == 0 else call(x, grad=grad[0])
                assert_same_bits(got, call(np.array([x]), grad=factor)[0])
        for got, wanted in zip((act(x), act.d2y(x), *act.value_and_grad(x)),
                               (act(x[None]), act.d2y(x[None]), *act.value_and_grad(x[None]))):
            assert_same_bits(got, wanted[0])


def test_numbers_raise_no_warnings():
    act = get_act("ELU")
    with np.errstate(all="raise"):
        assert act.backward(np.float32(1), grad=1e300) == np.inf
        assert act.forward(-1e300) == -1 and np.isnan(act.forward(float("nan")))


@each_name
def test_zero_dimensional_out(name):
    x, out = np.array(0.75), np.array(9.0)
    assert make(name).forward(x, out=out) is out
    assert out == make(name).forward(0.75)


@each_name
@pytest.mark.parametrize("x", [
    [1, 2.5, -3], (1.0, -2.0), [[1], [2]], [True, False], range(4), memoryview(b"abc"), []])
def test_whatever_asarray_takes(name, x):
    for call in CALLS.values():
        assert_same_bits(call(make(name), x), call(make(name), np.array(x, np.float64)))


# Larger than a tile, in each axis and in all.
WIDE = [(70, 300), (3, 2500), (2500, 3), (1100, 33), (5, 40, 130), (2, 3, 40, 90), (130, 129), (3, 5, 7, 2, 4, 2, 3)]
TURNED = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "axes in another order": lambda x: np.ascontiguousarray(np.moveaxis(x, 0, 1)).swapaxes(0, 1),
    "slice of columns": lambda x: np.concatenate([x, x], -1)[..., :x.shape[-1]],
    "every second": lambda x: spread(x, *[1]*(x.ndim - 1), 2),
    "every third": lambda x: spread(x, *[1]*(x.ndim - 1), 3),
    "gaps everywhere": lambda x: spread(x, *[2]*x.ndim),
    "F with gaps": lambda x: spread(x.T, *[2]*x.ndim).T,
    "backwards": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "backwards, turned": lambda x: np.asfortranarray(x[::-1])[::-1],
}


@pytest.mark.parametrize("shape", WIDE, ids=str)
@each_float
def test_every_pair_of_layouts(shape, dtype, threads):
    act = get_act("GELU")
    x, grad = numbers(shape, dtype), numbers(shape, dtype, seed=1)
    wanted = act.backward(x, grad=grad)
    for left in TURNED.values():
        for right in TURNED.values():
            got = act.backward(left(x), grad=right(grad))
            assert_same_bits(np.ascontiguousarray(got), wanted)
            out = right(np.zeros_like(x))
            assert act.backward(left(x), grad=grad, out=out) is out
            assert_same_bits(np.ascontiguousarray(out), wanted)
        room = left(x.copy())
        act.backward(room, grad=left(grad), out=room)
        assert_same_bits(np.ascontiguousarray(room), wanted)


@pytest.mark.parametrize("shape", WIDE, ids=str)
@each_float
def test_gaps_are_left_alone(shape, dtype):
    act = get_act("tanh")
    x = numbers(shape, dtype)
    room = np.full([2*n for n in shape], 99, dtype)
    view = room[tuple(slice(None, None, 2) for _ in shape)]
    act.value_and_grad(np.asfortranarray(x), out=(view, np.empty_like(x)))
    assert_same_bits(view.copy(), act.forward(x))
    view[...] = 99
    assert (room == 99).all()


@pytest.mark.parametrize("shape", WIDE, ids=str)
@each_float
def test_gradients_that_broadcast(shape, dtype):
    act, x = get_act("softsign"), numbers(shape, dtype)
    for axes in range(2**len(shape)):
        grad = numbers([n if axes >> axis & 1 else 1 for axis, n in enumerate(shape)], dtype, seed=2)
        full = np.broadcast_to(grad, shape).copy()
        for layout in (np.ascontiguousarray, np.asfortranarray, lambda x: x[..., ::-1]):
            assert_same_bits(np.ascontiguousarray(act.backward(layout(x), grad=layout(grad) if axes else grad)),
                             np.ascontiguousarray(act.backward(layout(x).copy(), grad=layout(full).copy())))


@each_name
@each_call
@pytest.mark.parametrize("dtype", [bool, *np.typecodes["AllInteger"], ">i2", ">u4"])
def test_integers_become_float64(name, call, dtype):
    x = np.arange(-3, 9).astype(dtype) if np.dtype(dtype).kind != "b" else np.arange(12) % 2 == 0
    for view in (x, x[::-2], np.asfortranarray(x.reshape(3, 4))):
        assert_same_bits(call(make(name), view), call(make(name), view.astype(np.float64)))


@pytest.mark.parametrize("name", ELEMENTWISE + ROWS)
@pytest.mark.parametrize("half", ["float16", "bfloat16", ">f2"])
def test_half_precision_is_computed_in_float32(name, half):
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), half) if half == "bfloat16" else half)
    native = dtype.newbyteorder("=")
    x = np.concatenate([numbers(1000), [0, -0.0, 6e4, -6e4, 3e-5, -6e-8, np.inf, -np.inf]]).astype(dtype)
    if name in ROWS:
        x = x[:-8]
    act = make(name)
    for view in (x, x[::-3], x[:1000].reshape(20, 50).T):
        single = view.astype(np.float32)
        for call in CALLS.values():
            with np.errstate(all="ignore"):
                wanted = call(act, single).astype(native)
            assert_same_bits(call(act, view), wanted)
        out = np.empty_like(view, dtype=native)
        assert act.forward(view, out=out) is out
        with np.errstate(all="ignore"):
            assert_same_bits(out, act.forward(single).astype(native))


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("half", HALVES, ids=str)
def test_halves_in_blocks(name, half, threads):
    """Float32's results, rounded, at every size, in C and Fortran order, into x or the gradient, with any operands."""
    act = activation(name)
    x = numbers(20011, seed=5).astype(half)
    x[::97], x[5::1013], x[7::1019] = np.nan, np.inf, -np.inf
    g = numbers(20011, seed=6).astype(half)

    def rounded(result):
        with np.errstate(all="ignore"):
            return result.astype(half)

    single, factor = x.astype(np.float32), g.astype(np.float32)
    both = [rounded(result) for result in act.value_and_grad(single)]
    wanted = rounded(act.backward(single, grad=factor))
    for n in (1, 7, 31, 33, 1023, 1025, 2048, 20011):
        for got, result in zip(act.value_and_grad(x[:n]), both):
            assert_same_bits(got, result[:n], n)
        assert_same_bits(act.backward(x[:n], grad=g[:n]), wanted[:n], n)
        work = x[:n].copy()
        assert_same_bits(act.forward(work, out=work), both[0][:n], n)
        for into_x in (True, False):
            a, b = x[:n].copy(), g[:n].copy()
            out = a if into_x else b
            assert act.backward(a, grad=b, out=out) is out
            assert_same_bits(out, wanted[:n], n)
        assert_same_bits(act.backward(x[:n], grad=factor[:n]), wanted[:n], n)           # of different dtypes
    fortran = np.asfortranarray(x[:20000].reshape(100, 200))
    assert_same_bits(act.backward(fortran, grad=np.asfortranarray(g[:20000].reshape(100, 200))),
                     np.asfortranarray(wanted[:20000].reshape(100, 200)))
    assert_same_bits(act.backward(fortran, grad=g[:20000].reshape(100, 200)),
                     np.asfortranarray(wanted[:20000].reshape(100, 200)))
    assert_same_bits(act.forward(x[1:][::-1], out=x[1:].copy()), both[0][1:][::-1].copy())
    room = np.concatenate([x, x])                           # in part over itself
    assert_same_bits(act.forward(room[:20011], out=room[3:20014]).copy(), both[0])
    if act.by_value:
        y = both[0]
        assert_same_bits(act.backward(y=y, grad=g), rounded(act.backward(y=y.astype(np.float32), grad=factor)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("half", HALVES, ids=str)
def test_losses_of_halves(name, half):
    err = get_err(name)
    y, t = np.random.default_rng(4).uniform(0.01, 0.99, (2, 300, 9)).astype(half)
    singles = y.astype(np.float32), t.astype(np.float32)
    for got, wanted in ((err.forward(y, t), err.forward(*singles)), (err.backward(y, t), err.backward(*singles))):
        assert_same_bits(got, np.asarray(wanted).astype(half)[()])


def test_every_float16():
    x = np.arange(2**16, dtype=np.uint16).view(np.float16)
    for name in ELEMENTWISE:
        act = make(name)
        with np.errstate(all="ignore"):
            wanted = act.forward(x.astype(np.float32)).astype(np.float16)
        assert_same_bits(act.forward(x), wanted, name)


UNREAL = [np.ones(3, complex), np.ones(3, object), np.array(["a"]), np.array([b"1"]), np.zeros(2, "f4,f8"),
          np.array(["2020-01-01"], "M8[D]"), np.array([1], "m8[s]"), None, {}, "1.5", 1j, 10**30]
if np.finfo(np.longdouble).bits > 64:
    UNREAL.append(np.ones(3, np.longdouble))


@each_name
@pytest.mark.parametrize("x", UNREAL, ids=repr)
def test_other_dtypes_are_refused(name, x):
    act = make(name)
    for call in (*CALLS.values(), lambda act, x: act.value_and_grad(x)):
        with pytest.raises(TypeError):
            call(act, x)
    if x is not None:
        with pytest.raises(TypeError):
            act.backward(np.ones(np.shape(x)), grad=x)


@each_name
@pytest.mark.parametrize("x", [[[1, 2], [3]], [1, "a"], [None]])
def test_lists_that_make_no_array_are_refused(name, x):
    with pytest.raises((TypeError, ValueError)):
        make(name).forward(x)


# out

def bad_outs(x):
    """out, and the error that it brings."""
    return {
        "shape": (np.zeros(x.shape[::-1]), ValueError),
        "size": (np.zeros(x.size), ValueError),
        "broadcastable": (np.zeros((2, *x.shape)), ValueError),
        "row": (np.zeros(x.shape[1:]), ValueError),
        "float32": (np.zeros(x.shape, np.float32), TypeError),
        "int64": (np.zeros(x.shape, np.int64), TypeError),
        "complex": (np.zeros(x.shape, complex), TypeError),
        "object": (np.zeros(x.shape, object), TypeError),
        "read-only": (read_only(np.zeros(x.shape)), ValueError),
        "broadcast": (np.broadcast_to(0.0, x.shape), ValueError),
        "list": (np.zeros(x.shape).tolist(), TypeError),
        "number": (0.0, TypeError),
        "string": ("out", TypeError),
    }


@each_name
@pytest.mark.parametrize("bad", bad_outs(numbers()))
def test_bad_out_changes_nothing(name, bad):
    x, act = numbers(), make(name)
    out, error = bad_outs(x)[bad]
    good, copies = np.full(x.shape, 5.0), (x.copy(), np.array(out, copy=True))
    for call in CALLS.values():
        with pytest.raises(error):
            call(act, x, out=out)
    for pair in ((good, out), (out, good)):
        with pytest.raises(error):
            act.value_and_grad(x, out=pair)
        assert (good == 5).all(), "half changed"
    for now, before in zip((x, np.array(out)), copies):
        assert now.tobytes() == before.tobytes()


@each_name
@pytest.mark.parametrize("out", [
    np.zeros(SHAPE), [np.zeros(SHAPE)]*2, (np.zeros(SHAPE),), (np.zeros(SHAPE),)*3, (np.zeros(SHAPE),)*2,
    np.zeros((2, *SHAPE)), 3])
def test_bad_pairs_of_out(name, out):
    with pytest.raises((TypeError, ValueError)):
        make(name).value_and_grad(numbers(), out=out)
    assert not np.any(out if not isinstance(out, int) else 0)


@each_name
@pytest.mark.parametrize(("grad", "error"), [
    (np.ones(7), ValueError), (np.ones((2, *SHAPE)), ValueError), (np.ones(SHAPE[::-1]), ValueError),
    (np.ones(SHAPE, complex), TypeError), ("g", TypeError), (np.full(SHAPE, None), TypeError)])
def test_bad_grad_changes_nothing(name, grad, error):
    out = np.full(SHAPE, 5.0)
    with pytest.raises(error):
        make(name).backward(numbers(), grad=grad, out=out)
    assert (out == 5).all()


@each_name
@each_call
@pytest.mark.parametrize("n", [1, 15, 16, 17, 511, 513, 20011])
def test_out_may_be_the_input(name, call, n):
    x, grad = numbers(n), numbers(n, seed=1)
    act = make(name)
    wanted = call(act, x.copy(), grad=grad) if call is CALLS["grad"] else call(act, x.copy())
    work = x.copy()
    got = call(act, work, grad=grad, out=work) if call is CALLS["grad"] else call(act, work, out=work)
    assert got is work
    assert_same_bits(work, wanted)
    if call is CALLS["grad"]:
        work = grad.copy()
        assert_same_bits(call(act, x, grad=work, out=work), wanted)
        work = x.copy()
        assert_same_bits(call(act, work, grad=work, out=work), call(act, x, grad=x))


@each_name
@pytest.mark.parametrize("n", [1, 17, 513, 20011])
def test_either_of_a_pair_may_be_the_input(name, n):
    x, act = numbers(n), make(name)
    wanted = act.value_and_grad(x)
    for first in (True, False):
        work, other = x.copy(), np.empty(n)
        out = (work, other) if first else (other, work)
        for got, one, value in zip(act.value_and_grad(work, out=out), out, wanted):
            assert got is one
            assert_same_bits(got, value)


OVERLAPS = {
    "forwards": lambda room, n: (room[:n], room[1:n + 1]),
    "backwards": lambda room, n: (room[1:n + 1], room[:n]),
    "far forwards": lambda room, n: (room[:n], room[n//2:n//2 + n]),
    "far backwards": lambda room, n: (room[n//2:n//2 + n], room[:n]),
    "reversed": lambda room, n: (room[:n], room[:n][::-1]),
    "from reversed": lambda room, n: (room[:n][::-1], room[:n]),
    "both reversed": lambda room, n: (room[:n][::-1], room[:n][::-1]),
    "closing up": lambda room, n: (room[:2*n:2], room[:n]),
    "spreading": lambda room, n: (room[:n], room[:2*n:2]),
    "interleaved": lambda room, n: (room[:2*n:2], room[1:2*n + 1:2]),
    "unaligned": lambda room, n: (room[:n], room.view(np.uint8)[1:1 + n*room.itemsize].view(room.dtype)),
}


@pytest.mark.parametrize("overlap", OVERLAPS.values(), ids=OVERLAPS)
@each_name
@each_call
@each_float
@pytest.mark.parametrize("n", [3, 40, 1000, 20011])
def test_overlap_is_as_if_there_was_none(overlap, name, call, dtype, n):
    act = make(name)
    for other in (lambda x, out: x, lambda x, out: out, lambda x, out: numbers(n, dtype, 3)):
        x, out = overlap(numbers(2*n + 2, dtype), n)
        grad = other(x, out)
        if call is CALLS["grad"]:
            wanted = call(act, x.copy(), grad=grad.copy())
            got = call(act, x, grad=grad, out=out)
        else:
            wanted = call(act, x.copy())
            got = call(act, x, out=out)
        assert got is out
        assert_same_bits(got.copy(), wanted)


@each_name
@each_call
def test_out_may_be_the_input_transposed(name, call):
    act, x = make(name), numbers((45, 45))
    wanted = call(act, x.copy())
    call(act, x, out=x.T)
    assert_same_bits(x.T.copy(), wanted)


@st.composite
def views(draw, room, shape):
    """A view of the given two-dimensional shape somewhere in `room`, in any direction."""
    steps = [draw(st.sampled_from([1, 2, -1, -3])) for _ in shape]
    order = draw(st.booleans())
    span = [abs(step)*(n - 1) + 1 for n, step in zip(shape, steps)]
    inner, outer = (0, 1) if order else (1, 0)
    width = span[inner] + draw(st.integers(0, 3))
    start = draw(st.integers(0, room.size - width*span[outer]))
    strides = [0, 0]
    strides[inner], strides[outer] = steps[inner]*room.itemsize, steps[outer]*width*room.itemsize
    first = start + sum(-step*(n - 1)*(1 if axis == inner else width)
                        for axis, (n, step) in enumerate(zip(shape, steps)) if step < 0)
    return np.lib.stride_tricks.as_strided(room[first:], shape, strides)


@settings(max_examples=200)
@given(data=st.data())
@each_name
def test_any_views_of_one_buffer(name, data):
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    room = numbers(1500, data.draw(st.sampled_from(FLOATS)))
    x, grad, out, second = (data.draw(views(room, shape)) for _ in range(4))
    act = make(name)
    first = act.backward(x.copy(), grad=grad.copy())
    before = room.copy()
    assert act.backward(x, grad=grad, out=out) is out
    assert_same_bits(out.copy(), np.ascontiguousarray(first))
    out[...] = 0                                            # nothing else has changed
    left, before_left = room.copy(), before.copy()
    address = (out.__array_interface__["data"][0] - room.__array_interface__["data"][0])//room.itemsize
    np.lib.stride_tricks.as_strided(before_left[address:], out.shape, out.strides)[...] = 0
    assert_same_bits(left, before_left)

    room[...] = before
    wanted = act.value_and_grad(x.copy())
    if np.shares_memory(out, second):
        with pytest.raises(ValueError):
            act.value_and_grad(x, out=(out, second))
        assert_same_bits(room, before)
    else:
        act.value_and_grad(x, out=(out, second))
        assert_same_bits(out.copy(), np.ascontiguousarray(wanted[0]))
        assert_same_bits(second.copy(), np.ascontiguousarray(wanted[1]))


# The same bits wherever an element lies.

SIZES = [*range(71), *range(505, 530), 1023, 1024, 1025, *range(8180, 8200), 16383, 16384, 16385, 16400]


@pytest.mark.parametrize("name", ELEMENTWISE)
@each_float
def test_bits_do_not_depend_on_size_and_position(name, dtype):
    act, x = activation(name), numbers(1200, dtype)
    for call in CALLS.values():
        whole = call(act, x)
        for n in (1, 2, 7, 15, 16, 17, 31, 33, 511, 512, 513, 1025):
            for start in (0, 1, 5, 13, 100):
                assert_same_bits(call(act, x[start:start + n]), whole[start:start + n], (n, start))
        work = x.copy()
        assert_same_bits(call(act, work, out=work), whole)
        assert_same_bits(call(act, x[::-1])[::-1].copy(), whole)


@each_call
@each_float
def test_bits_do_not_depend_on_size(call, dtype, threads):
    act, x = get_act("GELU"), numbers(16400, dtype)
    whole = call(act, x)
    for n in SIZES:
        assert_same_bits(call(act, x[-n:] if n else x[:0]), whole[-n:] if n else whole[:0], n)
        work = x[:n].copy()
        assert_same_bits(call(act, work, out=work), whole[:n], n)


@pytest.mark.parametrize("name", ELEMENTWISE + ROWS)
@each_float
def test_bits_do_not_depend_on_threads(name, dtype):
    act = make(name)
    before = fastnn.get_num_threads()
    try:
        for shape in ((100003,), (2503, 17)):
            x = numbers(shape, dtype)
            results = []
            for n in (1, 2, 3, 7):
                fastnn.set_num_threads(n)
                work = x.copy()
                results.append([call(act, x) for call in CALLS.values()] + list(act.value_and_grad(x))
                               + [act.forward(work, out=work)])
            for several in results[1:]:
                for got, wanted in zip(several, results[0]):
                    assert_same_bits(got, wanted)
    finally:
        fastnn.set_num_threads(before)


@pytest.mark.parametrize("name", LOSSES)
@each_float
def test_bits_of_losses_do_not_depend_on_size_layout_and_threads(name, dtype):
    rng = np.random.default_rng(4)
    err = get_err(name)
    y, t = rng.uniform(0.01, 0.99, (2, 4001, 9)).astype(dtype)
    before = fastnn.get_num_threads()
    try:
        fastnn.set_num_threads(1)
        whole, grad = err.forward(y, t), err.backward()
        for n in (2, 3):
            fastnn.set_num_threads(n)
            assert_same_bits(err.forward(y, t), whole)
            assert_same_bits(err.backward(y, t), grad)
    finally:
        fastnn.set_num_threads(before)
    for part in (slice(1, 2), slice(3, 60), slice(5, None, 7)):
        assert_same_bits(err.forward(y[part], t[part]), whole[part].copy())
        assert_same_bits(err.forward(np.asfortranarray(y[part]), t[part]), whole[part].copy())
        assert_same_bits(err.backward(y[part], t[part]), grad[part].copy())


@pytest.mark.parametrize("offset", range(0, 64, 4))
@each_float
def test_bits_do_not_depend_on_alignment(offset, dtype):
    act, x = get_act("Mish"), numbers(1111, dtype)
    room = np.zeros(x.nbytes + 128, np.uint8)
    at = -room.__array_interface__["data"][0] % 64 + offset
    view = room[at:at + x.nbytes].view(dtype)
    view[...] = x
    for call in CALLS.values():
        assert_same_bits(call(act, view), call(act, x))
    assert_same_bits(act.forward(view, out=view).copy(), act.forward(x))
