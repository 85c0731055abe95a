"""More than 2^31 elements: no number of elements or bytes is kept in 32 bits. Not in the default run: pytest -m large."""
import gc
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import get_act, get_err, get_opt
from helpers import assert_same_bits

pytestmark = pytest.mark.large

N = 2**31 + 40_003
# around 2^31 elements and 2^31, 2^32 and 2^33 bytes of 1, 2 and 4 each; the ends
PLACES = [slice(at - 40, at + 40) for at in (40, 2**28, 2**29, 2**30, 2**31, 2**31 + 20_000)] + [slice(N - 600, N)]


@pytest.fixture(autouse=True)
def memory():
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        pytest.skip("cannot tell how much memory there is")
    free = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}["MemAvailable"]
    if free < 11e9:
        pytest.skip(f"{free / 1e9:.0f} GB of memory available, 11 needed")
    fastnn.trim_memory()
    yield
    gc.collect()
    fastnn.trim_memory()


def numbers(dtype):
    """Another value nearly everywhere, at little cost."""
    a = np.empty(N, dtype)
    period = np.linspace(-3, 3, 65_537).astype(dtype)
    for start in range(0, N, period.size * 64):
        part = a[start:start + period.size * 64]
        part[...] = np.resize(period, part.shape)
    return a


def parts(call, *arrays):
    return [call(*(a[place] for a in arrays)) for place in PLACES]


def assert_parts(got, wanted):
    for place, values in zip(PLACES, wanted):
        assert_same_bits(np.array(got[place]), values, place)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_activation(name):
    act, x = get_act(name), numbers(np.float16)
    wanted = parts(act.forward, x)
    assert act.forward(x, out=x) is x
    assert_parts(x, wanted)


def test_activation_of_what_lies_flat_and_in_strides():
    act, x = get_act("relu"), numbers(np.float32)[::-1]
    wanted = parts(act.forward, x)
    act.forward(x, out=x)
    assert_parts(x, wanted)
    x = x[::-1]
    wanted = parts(lambda a: act.backward(a, grad=a), x)
    act.backward(x, grad=x, out=x)
    assert_parts(x, wanted)


def test_broadcast():
    """An input of two gigabytes and more that takes none."""
    y = get_act("tanh").forward(np.broadcast_to(np.float16(0.5), (N,)))
    one = get_act("tanh").forward(np.full(1, 0.5, np.float16))[0]
    for place in PLACES:
        assert (y[place] == one).all()


def test_rows():
    """float16 rows go through a copy in float32: 65 536 numbers short of 2^31 would be 17 GB."""
    n = 2**31 // 40 + 3
    x = np.zeros((n, 40), np.uint8)                  # of no bytes until they are written
    x[n - 2:] = np.arange(80).reshape(2, 40)
    act = get_act("softmax")
    with pytest.raises(MemoryError):
        act.forward(np.broadcast_to(x[-1], (2**40, 40)))
    single = np.zeros((n, 40), np.float32)
    single[-2:] = x[-2:]
    single[2**31 // 40] = np.arange(40)
    del x
    wanted = act.forward(single[-3:].copy())
    limit_before = single[:2].copy()
    y = row_results(act, single)
    assert_same_bits(y[-3:].copy(), wanted)
    assert_same_bits(y[:2].copy(), act.forward(limit_before))


def row_results(act, x):
    """In memory of 8.6 GB there is no room for a result beside x: the derivative of each row in turn is in its place."""
    from fastnn.core.rows import RowActivation
    assert isinstance(act, RowActivation)
    return act.forward(x)


def test_loss():
    y, err = numbers(np.float16), get_err("Square")
    wanted = parts(lambda a: err.forward(a, np.float16(1)), y)
    err.forward(y, np.float16(1), out=y)
    assert_parts(y, wanted)


@pytest.mark.parametrize("name, state_dtype, dtype", [("SGD", "float32", np.float16), ("Momentum", "int8", np.float16)])
def test_optimizer(name, state_dtype, dtype):
    kwds = {} if state_dtype == "float32" else {"state_dtype": state_dtype}
    opt, p = get_opt(name, **kwds), numbers(dtype)
    wanted = [p[place].copy() for place in PLACES]
    for place, values in zip(PLACES, wanted):
        get_opt(name, **kwds).step(values, values.copy())
    opt.step(p, p.copy() if name == "SGD" else p)
    assert opt.t == 1
    if state_dtype == "float32":
        assert_parts(p, wanted)
    else:                                            # the state is rounded at random, after the step
        assert_parts(p, wanted)
