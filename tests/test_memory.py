"""Memory of large results: recycled, bounded, given back; and written past the cache with the same bits."""
import gc
import os
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import fastnn
from fastnn import get_act, get_err, trim_memory
from fastnn.core import elementwise, processor
from helpers import FLOATS, HANG, assert_same_bits, exit_status, python

MB = 1 << 20
needs_recycling = pytest.mark.skipif(sys.platform == "win32", reason="results come from NumPy here")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture(autouse=True, scope="module")
def garbage_of_others():
    """Is gone, and what is left is no longer looked at."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_idle(garbage_of_others):
    gc.collect()
    trim_memory()
    yield
    trim_memory()


def ramp(megabytes, first=0):
    """float32 numbers that differ from place to place and from one `first` to another."""
    return np.arange(first, first + megabytes*MB//4, dtype=np.float32)


def result(megabytes, first=0):
    return get_act("identity").forward(ramp(megabytes, first))


def address(a):
    return a.ctypes.data


# Recycled

@needs_recycling
@pytest.mark.parametrize("call", [
    lambda x: get_act("ReLU").forward(x), lambda x: get_act("GELU").backward(x, grad=x),
    lambda x: get_act("tanh").d2y(x), lambda x: get_act("softmax").forward(x),
    lambda x: get_err("Square").forward(x, x, keep=False),
    lambda x: get_err("softmax-cross-entropy")._value_and_gradient(x, x)[1],
    lambda x: get_act("ReLU").forward(x[:, ::-1]), lambda x: get_act("ReLU").forward(x.astype(np.float16))],
    ids=["forward", "backward", "d2y", "rows", "loss", "loss of rows", "strided", "half"])
def test_a_dead_result_is_used_again(call):
    x = np.linspace(-1, 1, 4*MB, dtype=np.float32).reshape(2048, -1)
    first = call(x)
    where, wanted = address(first), first.tobytes()
    del first
    again = call(x)
    assert address(again) == where
    assert again.tobytes() == wanted


@needs_recycling
def test_value_and_grad_recycles_both():
    x, act = ramp(8), get_act("sigmoid")
    y, d = act.value_and_grad(x)
    assert not np.shares_memory(y, d)
    wanted, where = (y.tobytes(), d.tobytes()), {address(y), address(d)}
    del y, d
    y, d = act.value_and_grad(x)
    assert {address(y), address(d)} == where
    assert (y.tobytes(), d.tobytes()) == wanted


def test_results_alive_never_overlap():
    rng = np.random.default_rng(1)
    alive = {}
    for i in range(60):
        size = float(rng.uniform(3.5, 9))
        alive[i] = result(size, i)
        for key in rng.permutation(list(alive))[6:]:
            del alive[key]
        spans = sorted((address(y), address(y) + y.nbytes) for y in alive.values())
        assert all(stop <= start for (_, stop), (start, _) in zip(spans, spans[1:]))
    for first, y in alive.items():
        assert_same_bits(y, np.arange(first, first + y.size, dtype=np.float32))


@pytest.mark.parametrize("look", [
    lambda y: y[::3], lambda y: y.reshape(2, -1).T, lambda y: y.view(np.uint8)[5:], memoryview,
    lambda y: np.frombuffer(y, np.int32)], ids=["slice", "transposed", "bytes", "memoryview", "buffer"])
def test_a_view_keeps_the_memory(look):
    y = result(6)
    view = look(y)
    wanted = np.asarray(view).tobytes()
    where = address(y)
    del y
    others = [result(6, first) for first in (7, 8)]
    assert all(address(other) != where for other in others)
    assert np.asarray(view).tobytes() == wanted


def test_large_results_are_ordinary_arrays():
    y = result(5)
    assert type(y) is np.ndarray and y.flags.writeable and y.flags.aligned and y.flags.c_contiguous
    y[:] = 3
    y = y.reshape(2, -1)
    assert (y == 3).all() and (y.copy() == 3).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, ">f4"])
@pytest.mark.parametrize("arrange", [
    lambda x: x, lambda x: x.T, lambda x: x.transpose(1, 2, 0), lambda x: x[::-1, :, ::-1], lambda x: x[:, ::2],
    lambda x: x.transpose(2, 0, 1)[:, 1:], lambda x: x[:, :1], lambda x: np.broadcast_to(x[:1], x.shape)],
    ids=["C", "F", "transposed", "reversed", "gaps", "transposed with gaps", "thin", "broadcast"])
def test_memory_order_is_that_of_x(arrange, dtype):
    length = 320//max(2, np.dtype(dtype).itemsize)          # 10 MB and more, of which some ways leave half: recycled
    x = arrange((np.arange(length*130*256) % 201 - 100).astype(dtype).reshape(length, 130, 256))
    y = get_act("ReLU").forward(x)
    like = np.empty_like(x, dtype=y.dtype)
    assert (y.shape, y.strides, y.dtype) == (like.shape, like.strides, like.dtype)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


# Bounded, given back

@needs_recycling
def test_at_most_four_blocks_the_latest():
    sizes = [4, 6, 10, 16, 26]
    results = [result(size) for size in sizes]
    assert trim_memory() == 0               # all of it is in use
    while results:
        del results[0]
    assert trim_memory() == sum(sizes[1:])*MB
    assert trim_memory() == 0


@needs_recycling
def test_at_most_256_megabytes():
    x = np.zeros(100*MB//4, np.float32)
    results = [get_act("step").forward(x) for _ in range(4)]
    results.clear()
    assert trim_memory() == 200*MB


@needs_recycling
def test_what_is_too_large_is_not_kept():
    y = get_act("step").forward(np.zeros(257*MB//4, np.float32))
    assert y.flags.owndata
    del y
    assert trim_memory() == 0


@needs_recycling
@pytest.mark.parametrize(("wanted", "left"), [(16, 0), (13, 0), (12, 16), (17, 16), (5, 16)])
def test_only_blocks_of_about_the_size(wanted, left):
    block = result(16)
    del block
    y = result(wanted)
    assert trim_memory() == left*MB
    assert y.nbytes == wanted*MB


@needs_recycling
def test_small_results_are_numpys():
    assert result(3.9).flags.owndata
    assert trim_memory() == 0


def test_trim_leaves_results_alone():
    y, other = result(6), result(6, 1)
    del other
    freed = trim_memory()
    assert type(freed) is int and freed == (0 if sys.platform == "win32" else 6*MB)
    assert_same_bits(y, ramp(6))
    assert_same_bits(result(6, 2), ramp(6, 2))


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc here")
def test_trim_gives_back_to_the_operating_system():
    done = python("""
import os, numpy as np, fastnn
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])*os.sysconf("SC_PAGESIZE") >> 20
x = np.ones(15 << 20, np.float32)
act = fastnn.get_act("ReLU")
before = resident()
results = [act.forward(x) for _ in range(4)]
del results
idle = resident()
freed = fastnn.trim_memory() >> 20
print(freed, idle - before > 200, resident() - before < 40)
""")
    assert done.stdout.split() == ["240", "True", "True"], done.stderr


@needs_recycling
@pytest.mark.skipif(sys.platform == "darwin", reason="no limit on address space here")
def test_no_memory():
    done = python("""
import resource, numpy as np, fastnn
x = np.ones(16 << 20, np.float32)
act = fastnn.get_act("tanh")
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0])*resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), resource.RLIM_INFINITY))
for call in (lambda: act.forward(x), lambda: act.value_and_grad(x), lambda: act.forward(x[::-1]),
             lambda: fastnn.get_act("softmax").forward(x)):
    try:
        call()
    except MemoryError:
        print("MemoryError")
out = act.forward(x, out=x)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(act.forward(np.zeros_like(x)).any(), fastnn.trim_memory())
""")
    assert done.stdout.split() == ["MemoryError"]*4 + ["False", str(64*MB)], done.stderr


@needs_recycling
def test_tracemalloc_counts_results():
    x = ramp(8)
    act = get_act("identity")
    tracemalloc.start()
    try:
        y = act.forward(x)
        assert 8*MB <= tracemalloc.get_traced_memory()[0] < 9*MB
        del y
        assert tracemalloc.get_traced_memory()[0] < MB          # what lies idle is nobody's
    finally:
        tracemalloc.stop()


# Processes and threads

@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_with_idle_and_used_memory():
    kept, idle = result(8), result(8, 1)
    where = address(idle)
    del idle
    child = os.fork()
    if child == 0:
        status = 3
        try:
            mine = [result(8, first) for first in (2, 3)]
            right = all((y == ramp(8, first)).all() for y, first in zip(mine, (2, 3)))
            kept += 1
            right = right and (kept == ramp(8) + 1).all()
            del mine, kept
            status = 0 if right and trim_memory() else 4
        finally:
            os._exit(status)
    ours = result(8, 4)
    assert exit_status(child) == 0
    assert address(ours) == where
    assert_same_bits(kept, ramp(8))
    assert_same_bits(ours, ramp(8, 4))


def test_many_threads_at_once():
    wrong = []

    def hammer(seed):
        rng = np.random.default_rng(seed)
        kept = None
        for i in range(12):
            size, first = float(rng.choice([4, 4.5, 6])), 1000*seed + i
            y = result(size, first)
            if i % 5 == 4:
                trim_memory()
            if kept is not None and not (kept[0] == ramp(*kept[1])).all():
                wrong.append((seed, i))
            kept = y, (size, first)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not wrong and not any(thread.is_alive() for thread in threads)


# Past the cache

@pytest.fixture
def streaming():
    """Every call of some size writes past the cache."""
    before = elementwise._stream_above(0)
    yield
    elementwise._stream_above(before)


def ordinary(call):
    before = elementwise._stream_above(1 << 62)
    try:
        return call()
    finally:
        elementwise._stream_above(before)


def guarded(n, offset, dtype):
    """An array of n elements, `offset` elements behind the begin of a cache line,
    and the whole it lies in."""
    whole = np.full(n + 128, 77, dtype)
    first = -address(whole) % 64//whole.itemsize + 16 + offset
    return whole[first:first + n], whole


SIZES = [4096, 4097, 5000, 8191, 20_001, 70_003]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("offset", [0, 1, 3, 8, 13, 15])
def test_same_bits_past_the_cache(streaming, offset, n, dtype):
    rng = np.random.default_rng(n + offset)
    x, _ = guarded(n, 5, dtype)
    x[:] = rng.normal(size=n)
    grad, t = rng.normal(size=n).astype(dtype), rng.normal(size=n).astype(dtype)
    for name in ("ReLU", "Mish"):
        act = get_act(name)
        for call in (act.forward, lambda x, out: act.backward(x, grad=grad, out=out), act.d2y,
                     lambda x, out: get_err("Square").forward(x, t, out, keep=False)):
            out, whole = guarded(n, offset, dtype)
            wanted = ordinary(lambda: call(x, out=np.empty_like(x)))
            assert call(x, out=out) is out
            assert_same_bits(out, wanted)
            assert (whole == 77).sum() >= 128 and whole[0] == whole[-1] == 77
            out[:] = 77
            assert (whole == 77).all()
        pair = [guarded(n, at, dtype) for at in (offset, 2)]
        wanted = ordinary(lambda: act.value_and_grad(x))
        got = act.value_and_grad(x, out=(pair[0][0], pair[1][0]))
        for one, value, (out, whole) in zip(got, wanted, pair):
            assert_same_bits(one, value)
            out[:] = 77
            assert (whole == 77).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shift", [None, 0, 1, -16, 600])
def test_overlaps_past_the_cache(streaming, shift, dtype):
    """In place, over grad, and over a part of x."""
    n, act = 20_000, get_act("GELU")
    start = np.random.default_rng(3).normal(size=n + 2000).astype(dtype)
    x = start[1000:1000 + n]
    forward, backward = ordinary(lambda: act.forward(x)), ordinary(lambda: act.backward(x, grad=x[::-1].copy()))
    if shift is None:
        grad = x[::-1].copy()
        assert_same_bits(act.backward(x, grad=grad, out=grad), backward)
        return
    buffer = start.copy()
    out = act.forward(buffer[1000:1000 + n], out=buffer[1000 + shift:1000 + shift + n])
    assert_same_bits(out, forward)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bits_of_a_truly_large_array(threads):
    x = np.random.default_rng(0).standard_normal(5_000_011, dtype=np.float32)
    fastnn.set_num_threads(threads)
    try:
        for act in (get_act("ReLU"), get_act("sigmoid")):
            wanted = ordinary(lambda: act.forward(x))
            assert_same_bits(act.forward(x), wanted)
            assert_same_bits(act.backward(x, grad=x), ordinary(lambda: act.backward(x, grad=x)))
    finally:
        fastnn.set_num_threads(None)


def test_last_level_cache():
    assert 1 << 18 <= processor.last_level_cache() <= 1 << 32
