"""Ctrl-C, and other signals whose handlers raise or do not, in the middle of calls that last."""
import os
import signal
import subprocess
import sys

import pytest

from helpers import HANG, interpreter, python
from test_threads import needs_threads

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX's timers")
needs_endless = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="arrays that never end are Linux's")

# Every call would take hours. Ctrl-C comes in its middle, and each time the next call is right.
ENDLESS = """
import os, signal, sys, threading
import numpy as np, fastnn
from endless import endless
from fastnn.core import affine, dropout, elementwise, kernels, mean_loss, normalization
signal.signal(signal.SIGINT, signal.default_int_handler)        # whatever the shell has said
fastnn.set_num_threads(int(sys.argv[1]))
N, ROWS, COLUMNS = 1 << 38, 1 << 19, 1 << 19
x, out = endless(N), endless(N)
half, half_out = x.view(np.float16), out.view(np.float16)
matrix, other, result = x.reshape(ROWS, COLUMNS), endless(ROWS, COLUMNS), out.reshape(ROWS, COLUMNS)
row, tall = np.ones(COLUMNS, np.float32), x.reshape(-1, 2)
labels = np.zeros(ROWS, np.intp)
act, relu, square = fastnn.get_act("tanh"), fastnn.get_act("ReLU"), fastnn.get_err("Square")
def past_the_cache(call):
    before = elementwise._stream_above(0)
    try:
        call()
    finally:
        elementwise._stream_above(before)
CALLS = {
    "flat": lambda: act.forward(x, out=out),
    "in place": lambda: act.forward(x, out=x),
    "float64": lambda: act.d2y(x.view(np.float64), out=out.view(np.float64)),
    "times the gradient": lambda: act.backward(x, grad=x, out=out),
    "past the cache": lambda: past_the_cache(lambda: relu.forward(x, out=out)),
    "value and grad": lambda: act.value_and_grad(x[:N//2], out=(out[:N//2], out[N//2:])),
    "loss": lambda: square.forward(x, x, out, keep=False),
    "strided": lambda: relu.forward(x[::2], out=out[::2]),
    "transposed": lambda: relu.forward(matrix.T, out=result.T[::-1]),
    "all backwards": lambda: act.backward(x[::-1], grad=x[::-1], out=out[::-1]),
    "the same element": lambda: act.forward(np.broadcast_to(np.float32(1), N), out=out),
    "result over itself": lambda: act.forward(x, out=np.lib.stride_tricks.as_strided(out, x.shape, (0,))),
    "float16": lambda: act.forward(half, out=half_out),
    "byte-swapped": lambda: act.forward(x.view(">f4"), out=out),
    "bias": lambda: affine.add_bias(matrix, row),
    "bias and activation": lambda: affine.activate_with_bias(act, matrix, row, out=result),
    "gradient and its sums": lambda: affine.gradient_with_sums(act, matrix, None, other, out=result),
    "sums of columns": lambda: affine.column_sums(matrix),
    "sums of two columns": lambda: affine.column_sums(tall),
    "batch normalization": lambda: normalization.normalize_batch(matrix, row, row, 1e-6, 0.9, row, row, result),
    "its way back": lambda: normalization.normalize_batch_backward(other, (matrix, np.stack([row]*2), np.ones((2, COLUMNS))), row, result),
    "normalization": lambda: normalization.normalize(matrix, row, row, row, row, 1e-6, result),
    "mask": lambda: dropout.masked(x, x.view(np.bool_)[:N], out),
    "mean loss": lambda: mean_loss.mean_row_loss(kernels.ROW_LOSSES["softmax_cross_entropy"], matrix, labels, result)}
try:
    from ml_dtypes import bfloat16
except ImportError:
    pass
else:
    CALLS["bfloat16"] = lambda: act.forward(half.view(bfloat16), out=half_out.view(bfloat16))
small = np.linspace(-3, 3, 400_000).astype(np.float32)
wanted = act.forward(small)
for name, call in CALLS.items():
    print(name, end=": ", flush=True)
    try:
        threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGINT)).start()
        call()
    except KeyboardInterrupt:
        assert (act.forward(small) == wanted).all()
        print("ended", flush=True)
print(len(CALLS), "calls")
"""


@needs_endless
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_threads)])
def test_ctrl_c_ends_a_call(threads):
    done = python(ENDLESS, threads)
    *lines, count = done.stdout.splitlines()
    assert done.stderr == "" and count == f"{len(lines)} calls", done
    assert all(line.endswith(": ended") for line in lines)


@needs_endless
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_threads)])
def test_ctrl_c_from_outside(threads):
    code = f"""
import signal, fastnn
from endless import endless
signal.signal(signal.SIGINT, signal.default_int_handler)
fastnn.set_num_threads({threads})
x = endless(1 << 38)
print("begun", flush=True)
fastnn.get_act("Mish").forward(x, out=x)
"""
    process = subprocess.Popen(**interpreter(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=HANG)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT and err.endswith("\nKeyboardInterrupt\n")


# A timer's handler runs at most once in a call that does not look for signals (and once before it and once behind it).
# Arrays grow until it has run more often, up to 1 GB; where that is not enough, the call does not look.
TIMER = """
import os, signal, sys
import numpy as np, fastnn
fastnn.set_num_threads(int(sys.argv[1]))
class Ended(Exception):
    pass
def timed(call, most=0, seconds=0.01, then=lambda: None, interval=None):
    "How often the handler ran, which raises the last time, and the result."
    count, result = 0, None
    def ring(*_):
        nonlocal count
        count += 1
        then()
        if count == most:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Ended
    signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, seconds if interval is None else interval)
            result = call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Ended:
        pass
    return count, result
def ends(call, sizes):
    return any(timed(lambda: call(n), 4)[0] >= 4 for n in sizes)
"""


def child(code, threads=1):
    done = python(TIMER + code, threads)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_threads)])
def test_rows_with_results_of_their_own(threads):
    assert child("""
million = 1 << 20
row = np.ones(1, np.float32)
def ones(n, length=1):
    return np.broadcast_to(row, (n, length))
softmax, loss = fastnn.get_act("softmax"), fastnn.get_err("softmax-cross-entropy")
sizes = [(16 << k)*million for k in range(4)]
print(ends(lambda n: softmax.forward(np.ones((n, 1), np.float32)), sizes))
print(ends(lambda n: softmax.backward(np.ones((n//2, 2), np.float32), grad=ones(n//2, 2)), sizes[:3]))
print(ends(lambda n: loss.forward(np.ones((n//2, 2), np.float32), np.zeros(n//2, np.intp)), sizes[:3]))
""", threads) == ["True"]*3


def test_copies_of_what_does_not_lie_in_rows():
    """NumPy converts half precision, piece by piece; the rows themselves are done before anybody would look."""
    assert child("""
act, x = fastnn.get_act("softmax"), np.broadcast_to(np.float16(1), (4096, 8192))
print(timed(lambda: act.forward(x), 6, 0.001)[0] >= 6)
""") == ["True"]


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not recycled here")
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_threads)])
def test_recycled_memory_comes_back_once(threads):
    assert child("""
MB = 1 << 20
x = np.broadcast_to(np.float16(1), 120*MB)
act = fastnn.get_act("tanh")
for call in (lambda: act.forward(x), lambda: act.d2y(x), lambda: act.value_and_grad(x[:60*MB])):
    timed(call, 1, 0.05)
    print(fastnn.trim_memory() // MB)
a, b = (act.forward(x[:10*MB]) for _ in range(2))
print(np.shares_memory(a, b), fastnn.trim_memory() // MB)
""", threads) == ["240", "240", "240", "False", "0"]


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_threads)])
def test_a_handler_that_does_not_raise_lets_the_call_go_on(threads):
    """... and may use fastnn itself."""
    assert child("""
import threading
act, optimizer = fastnn.get_act("tanh"), fastnn.get_opt("Adam")
small = np.linspace(-3, 3, 300_000)
wanted, wrong, inside = act.forward(small), [], threading.Lock()
params = {"w": np.zeros(300_000, np.float32)}
def use():
    if inside.acquire(blocking=False):          # else the timer has run out once more meanwhile
        try:
            if (act.forward(small) != wanted).any():
                wrong.append(1)
            optimizer.update(params, {"w": np.ones(300_000, np.float32)})
        finally:
            inside.release()
for power in range(22, 29):
    x = np.broadcast_to(np.float16(0.5), 1 << power)
    before = optimizer.t
    y = timed(lambda: act.forward(x), then=use)[1]
    assert (y == y[0]).all() and y[0] == act.forward(np.float16(0.5))
    if optimizer.t - before >= 4:
        break
print(optimizer.t - before >= 4, wrong)
""", threads) == ["True", "[]"]


def test_calls_of_other_threads_come_to_their_end():
    assert child("""
import threading
results = []
x = np.broadcast_to(np.float16(0.5), 1 << 25)
thread = threading.Thread(target=lambda: results.append(fastnn.get_act("tanh").forward(x)))
def wait():
    thread.start()
    while True:
        pass
print(timed(wait, 1, 0.05)[0])
thread.join()
print((results[0] == results[0][0]).all())
""", 2) == ["1", "True"]


@needs_threads
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_handler_that_forks():
    """In the child what helpers had begun is missing, and it is told so; the parent's call goes on."""
    assert child("""
import warnings
warnings.simplefilter("ignore")
children = []
def fork():
    children.append(os.fork())
    if children[-1] == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
for power in range(24, 29):
    x = np.broadcast_to(np.float16(0.5), 1 << power)
    out = np.empty(x.shape, x.dtype)
    try:
        _, y = timed(lambda: fastnn.get_act("tanh").forward(x, out=out), 0, 0.1, fork)
    except RuntimeError as error:
        os._exit(7 if 0 in children and "forked" in str(error) else 8)
    if 0 in children:
        os._exit(0 if (y == y[0]).all() else 9)         # the signal came before or behind the call
    assert (y == y[0]).all()
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    children.clear()
    if 7 in statuses:
        break
print(statuses.count(7) >= 1, set(statuses) <= {0, 7})
""", 2) == ["True", "True"]


# Steps of optimizers

STEPS = """
import random
from itertools import count
from time import perf_counter
random.seed(5)
n = 300_000
def all_of(optimizer, params):
    state = optimizer.state_dict()
    def flat(value):
        if isinstance(value, dict):
            return tuple((key, flat(item)) for key, item in value.items())
        return value.tobytes() if isinstance(value, np.ndarray) else value
    return flat(state), params["w"].tobytes(), params["v"].tobytes()
def make(optimizer):
    return fastnn.get_opt(optimizer, **{"rng": np.random.default_rng(3)} if "Santa" in optimizer else {})
grads = {"w": np.ones(n, np.float32), "v": np.ones((500, 300), np.float32).T}
ended = 0
for name in ("Adam", "SantaE"):
    optimizer = make(name)
    params = {"w": np.ones(2*n, np.float32)[::2], "v": np.ones((300, 500), np.float32)}     # one is stepped as a copy
    optimizer.update(params, grads)
    before, saved = all_of(optimizer, params), optimizer.state_dict()
    values = {key: value.copy() for key, value in params.items()}
    start = perf_counter()
    optimizer.update(params, grads)
    seconds = perf_counter() - start
    after = all_of(optimizer, params)
    assert before != after
    for trial in count():
        if trial >= 20 and ended:
            break
        optimizer.load_state_dict(saved)
        for key in params:
            params[key][...] = values[key]
        delay = max(1e-6, seconds*random.uniform(0, 1.2))
        start = perf_counter()
        if timed(lambda: optimizer.update(params, grads), 1, delay, interval=0)[0]:
            ended += 1
        else:
            seconds = min(seconds, perf_counter() - start)      # a busy machine has interrupted the first one
        assert all_of(optimizer, params) in (before, after), (name, trial)
print(ended > 0)
"""


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=needs_threads)])
def test_steps_are_taken_as_a_whole_or_not_at_all(threads):
    assert child(STEPS, threads) == ["True"]


def test_what_comes_before_a_step_can_be_ended():
    """Copies, and state that is touched for the first time: here the signals come before anything is stepped."""
    assert child("""
n = 1 << 25
params = {"w": np.ones(n, np.float32)}
for name, grads in (("Adam", params["w"].copy()), ("SGD", np.ones((n, 2), np.float16)[:, 0])):
    optimizer = fastnn.get_opt(name)
    print(timed(lambda: optimizer.update(params, {"w": grads}), 4, 0.001)[0] >= 4)
    print(optimizer.t, (params["w"] == 1).all(), optimizer.state)
optimizer.update(params, {"w": grads})
print(optimizer.t, (params["w"] < 1).all())
""") == ["True", "0", "True", "{}"]*2 + ["1", "True"]


# Formulas and commands

@needs_endless
def test_registered_formulas():
    pytest.importorskip("numba")
    assert child("""
from endless import endless
@fastnn.register_act("crawl")
def crawl(x):
    return x*x + 1
x = endless(1 << 38)
fastnn.get_act("crawl").forward(x[:1000].copy())            # compiled now
print(timed(lambda: fastnn.get_act("crawl").forward(x, out=x), 1, 0.2)[0])
""") == ["1"]


def test_accuracy_says_so_in_one_line(monkeypatch, capsys):
    from fastnn import accuracy

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(accuracy, "exact_arithmetic", interrupted)
    assert accuracy.main([]) == 130
    assert capsys.readouterr().err == "fastnn.accuracy: interrupted\n"
