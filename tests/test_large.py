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
        part[...] = np.resize(period, part.shape)       # the same period throughout: starts are multiples of it
    return a


def parts(call, *arrays):
    return [call(*(a[place] for a in arrays)) for place in PLACES]


def assert_parts(got, wanted):
    for place, values in zip(PLACES, wanted):
        assert_same_bits(np.array(got[place]), values, place)


def test_half_precision():
    act, x = get_act("relu"), numbers(np.float16)
    wanted = parts(act.forward, x)
    assert act.forward(x, out=x) is x
    assert_parts(x, wanted)


def test_straight_and_in_strides():
    act, x = get_act("relu"), numbers(np.float32)
    wanted = parts(lambda a: act.backward(a, grad=a), x)
    act.backward(x, grad=x, out=x)
    assert_parts(x, wanted)
    x = x[::-1]
    wanted = parts(act.forward, x)
    act.forward(x, out=x)
    assert_parts(x, wanted)


def test_an_input_that_takes_no_memory():
    act = get_act("relu")
    y = act.forward(np.broadcast_to(np.float16(0.5), (N,)))
    assert y.shape == (N,) and all((y[place] == 0.5).all() for place in PLACES)


def test_rows():
    x = np.zeros((N // 40, 40), np.float32)         # only rows that are written to take memory
    places = [slice(0, 2), slice(2**31 // 40 - 1, 2**31 // 40 + 2), slice(len(x) - 2, len(x))]
    for place in places:
        x[place] = np.linspace(-3, 3, x[place].size).reshape(-1, 40)
    act = get_act("softmax")
    y = act.forward(x)
    for place in places:
        assert_same_bits(y[place].copy(), act.forward(x[place].copy()))


def test_loss():
    y, err = numbers(np.float16), get_err("Square")
    wanted = parts(lambda a: err.forward(a, np.float16(1)), y)
    err.forward(y, np.float16(1), out=y)
    assert_parts(y, wanted)


@pytest.mark.parametrize("name, state_dtype", [("SGD", "float32"), ("Momentum", "int8")])
def test_optimizer(name, state_dtype):
    p, g = numbers(np.float16), np.zeros(N, np.float16)
    wanted = [p[place].copy() for place in PLACES]
    for place, values in zip(PLACES, wanted):
        g[place] = np.linspace(-1, 1, values.size)
        get_opt(name, state_dtype=state_dtype).step(values, g[place].copy())
    opt = get_opt(name, state_dtype=state_dtype)
    opt.step(p, g)
    assert opt.t == 1
    assert_parts(p, wanted)
