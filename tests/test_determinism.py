"""The same bits for any number of threads, at any time, and wherever in memory an operand lies."""
import copy
import hashlib
import random
import threading
from functools import partial

import numpy as np
import pytest

import fastnn
from fastnn import get_act, get_err, get_opt, group, schedules
from fastnn.core import elementwise
from fastnn.core.affine import activate_with_bias, add_bias, column_sums, gradient_with_sums
from fastnn.core.dropout import drop, masked
from fastnn.core.normalization import normalize, normalize_batch, normalize_batch_backward
from fastnn.nn import MultiLayerNet, SoftmaxWithLoss, Trainer, clip_grad_norm
from fastnn.nn.finite import all_finite
from helpers import APART, ELEMENTWISE, FLOATS, LOSSES, NOISY, ROWS, activation, assert_same_bits, python
from test_state import RULES, assert_same_state, each_rule, gradients, in_deltas, in_mappings, make, parameters

try:
    from ml_dtypes import bfloat16
except ImportError:                     # no wheels for musl
    bfloat16 = np.float16

THREADS = (1, 2, 3, 7)
HALVES = sorted({np.float16, bfloat16}, key=str)
SIZES = (16383, 16385, 120_007)         # where a second thread begins, and enough for all
each_activation = pytest.mark.parametrize("name", [*ELEMENTWISE, *ROWS])
each_loss = pytest.mark.parametrize("name", LOSSES)
each_float = pytest.mark.parametrize("dtype", FLOATS)


@pytest.fixture(autouse=True)
def as_before():
    yield
    fastnn.set_num_threads(None)


def normal(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def flat(results):
    """The arrays and numbers in nested tuples and lists."""
    return [a for result in results for a in flat(result)] if isinstance(results, (tuple, list)) else [results]


def assert_always_the_same(call):
    """For any number of threads, more than once."""
    wanted = None
    for threads in (*THREADS, 2):
        fastnn.set_num_threads(threads)
        got = [np.array(a) for a in flat(call())]
        wanted = wanted or got
        for one, other in zip(got, wanted, strict=True):
            assert_same_bits(one, other, threads)


# Activations and losses

def calls(act, x, grad):
    """All that an activation can do, in new arrays and in place."""
    room, pair = x.copy(), [np.empty_like(x), np.empty_like(x)]
    return [act.forward(x), act.backward(x), act.backward(x, grad=grad), act.d2y(x), act.value_and_grad(x),
            act.value_and_grad(x, out=tuple(pair)), act.forward(room, out=room), act.backward(x, grad=room, out=room)]


@each_activation
def test_activations(name):
    act = activation(name)
    for size in SIZES:
        x = normal(size)
        assert_always_the_same(partial(calls, act, x, x[::-1].copy()))


@pytest.mark.parametrize("name", ["ReLU", "GELU"])
@pytest.mark.parametrize("dtype", HALVES)
def test_activations_of_halves(name, dtype):
    """Converted block by block; float32 and float64 of all layouts are in test_threads.py."""
    act, x = get_act(name), normal((600, 450), dtype)
    for layout in (x, x.T):
        assert_always_the_same(lambda: [act.forward(layout), act.backward(layout, grad=layout)])


@pytest.mark.parametrize("name", ["ReLU", "Mish", "hard-sigmoid"])
@each_float
def test_results_that_are_written_past_the_cache(name, dtype):
    act, x = get_act(name), normal(70_003, dtype)
    wanted = flat(calls(act, x, x))
    before = elementwise._stream_above(0)
    try:
        assert_always_the_same(partial(calls, act, x, x))
        for one, other in zip(flat(calls(act, x, x)), wanted, strict=True):
            assert_same_bits(one, other)
    finally:
        elementwise._stream_above(before)


@pytest.mark.parametrize("name", ROWS)
@each_float
@pytest.mark.parametrize("shape", [(1, 20_000), (2, 20_000), (5000, 7), (20, 30, 70)])
def test_rows(name, dtype, shape):
    for axis in (-1, 0) if len(shape) == 3 else (-1,):
        act, x = get_act(name, axis=axis), normal(shape, dtype)
        assert_always_the_same(partial(calls, act, x, x[::-1].copy()))


@each_loss
@each_float
def test_losses(name, dtype):
    err, rng = get_err(name), np.random.default_rng(0)
    for shape in ((16384, 1), (5000, 7), (40, 1000)):
        y, t = rng.uniform(0.01, 0.99, (2, *shape)).astype(dtype)
        assert_always_the_same(lambda: [err.forward(y, t), err.total_error(), err.backward(), err.backward(y, t)])


@each_float
@pytest.mark.parametrize(("rows", "classes"), [(1, 50_000), (50_000, 1), (4001, 10), (128, 1000)])
def test_the_mean_loss_of_a_batch(rows, classes, dtype):
    x, labels, layer = normal((rows, classes), dtype), np.arange(rows) % classes, SoftmaxWithLoss()
    shares = abs(normal((rows, classes), dtype, 1))
    assert_always_the_same(lambda: [layer.forward(x, labels), layer.backward(), layer.forward(x, shares),
                                    layer.backward(2)])


# Layers

@each_activation
@pytest.mark.parametrize("shape", [(128, 128), (77, 300), (9000, 3)])
def test_biases_and_their_gradients(name, shape):
    act, z, grad, bias = activation(name), normal(shape), normal(shape, seed=1), normal(shape[1], seed=2)
    assert_always_the_same(lambda: [activate_with_bias(act, z.copy(), bias), gradient_with_sums(act, z, None, grad)])


@each_float
@pytest.mark.parametrize("shape", [(128, 128), (77, 300), (100_000, 1), (9000, 130), (3, 50_000)])
def test_sums_over_rows(shape, dtype):
    a, bias = normal(shape, dtype), normal(shape[1], dtype)
    assert_always_the_same(lambda: [column_sums(a), column_sums(a.T), add_bias(a.copy(), bias)])
    whole = column_sums(a)
    for part in (slice(0, 1), slice(1, 140), slice(-3, None)):          # a column's sum does not know its neighbours
        assert_same_bits(column_sums(a[:, part].copy()), whole[part].copy())


@each_float
@pytest.mark.parametrize("shape", [(128, 128), (77, 300), (100_000, 1), (9000, 130), (3, 50_000)])
def test_batch_normalization(shape, dtype):
    x, grad, (gamma, beta, mean) = normal(shape, dtype), normal(shape, dtype, seed=1), normal((3, shape[1]), dtype)

    def passes():
        y, kept, *running = normalize_batch(x, gamma, beta, 1e-6, 0.9, mean, gamma**2)
        return [y, *running, *normalize_batch_backward(grad, kept, gamma), normalize(x, mean, gamma**2, gamma, beta, 1e-6)]

    assert_always_the_same(passes)
    whole = passes()
    for part in (slice(0, 1), slice(1, 140), slice(-3, None)):
        y, _, running, _ = normalize_batch(x[:, part], gamma[part], beta[part], 1e-6, 0.9, mean[part], gamma[part]**2)
        assert_same_bits(y, whole[0][:, part].copy())
        assert_same_bits(running, whole[1][part].copy())


@each_float
@pytest.mark.parametrize("n", [1, 127, 129, 100_003])
def test_masks(n, dtype):
    x = normal(n, dtype)
    assert_always_the_same(lambda: [*drop(x, 0.3, 2**60 + 7), masked(x, drop(x, 0.3, 5)[1])])
    for part in (1, 100, 128, 70_000):          # an element's number is that of its place
        assert_same_bits(drop(x[:part], 0.3, 5)[1], drop(x, 0.3, 5)[1][:part])


def test_norms_and_looks_at_gradients():
    grads = [normal((784, 100)), normal(30_000, np.float64), normal((50, 50), np.float16)]
    assert_always_the_same(lambda: [clip_grad_norm(clipped := copy.deepcopy(grads), 1.0), clipped, all_finite(grads)])


# Optimizers

@pytest.mark.parametrize(("name", "state_dtype", "step"), [
    *((*rule, in_mappings) for rule in RULES),
    *((name, "float32", in_deltas) for name in ("Adam", "NAG", "Eve", "SantaE")), ("Adam", "bfloat16", in_deltas)])
def test_optimizers(name, state_dtype, step):
    """All parameters and all state, rounded at random where that has reduced precision; Santa's noise among it."""
    results = []
    for threads in THREADS:
        fastnn.set_num_threads(threads)
        opt, params = make(name, state_dtype), parameters(state_dtype)
        params |= {"W": normal((150, 333)), "at the border": normal(16384), "F": np.asfortranarray(normal((70, 90)))}
        if step is in_deltas:
            params = {"w": params["W"], "b": normal(30_001, seed=1)}
        for t in range(1, 7):
            step(opt, params, t)
        results.append((opt, params))
    for opt, params in results[1:]:
        assert_same_state(opt.state_dict(), results[0][0].state_dict())
        for key, p in params.items():
            assert_same_bits(p, results[0][1][key])


AROUND = {
    "all": {"weight_decay": 0.01, "l2": 0.01, "l1": 1e-3, "maximize": True, "grad_scale": 0.5, "centralize": True},
    "value": {"clip_value": 0.5, "l2": 0.01}, "norm": {"clip_norm": 5.0, "weight_decay": 0.1},
    "global norm": {"clip_global_norm": 5.0, "l1": 0.01}, "adaptive": {"clip_adaptive": 0.01, "centralize": True},
    "schedules": {"lr": schedules.cosine(0.1, 100), "clip_norm": lambda t: 5.0 / t, "l2": lambda t: 0.1 / t},
    "groups": {"clip_global_norm": 5.0, "groups": [
        group("F", freeze=True), group(lambda key, p: p.ndim < 2, weight_decay=0.5, lr=lambda t: 0.1 / t),
        group("W", l2=0.5, output_axis=0, centralize=True)]}}


@pytest.mark.parametrize("options", AROUND)
@pytest.mark.parametrize(("name", "state_dtype"), [
    ("SGD", "float32"), ("Adam", "float32"), ("Adam", "bfloat16"), ("Adam", "int8"), ("SantaE", "float32")])
def test_options_groups_and_schedules(name, state_dtype, options):
    """All that is done around a rule, on tensors that several threads share."""
    results = []
    for threads in THREADS:
        fastnn.set_num_threads(threads)
        opt, params = make(name, state_dtype, **AROUND[options]), parameters(state_dtype)
        params |= {"W": normal((150, 333)), "at the border": normal(16384), "F": np.asfortranarray(normal((70, 90))),
                   "half": normal(150_001, np.float16),
                   "wide": normal((3, 70_000), np.float64 if state_dtype == "float32" else np.float32)}
        for t in range(1, 5):
            in_mappings(opt, params, t)
        results.append((opt, params))
    assert not opt.skipped
    for opt, params in results[1:]:
        assert_same_state(opt.state_dict(), results[0][0].state_dict())
        for key, p in params.items():
            assert_same_bits(p, results[0][1][key])


# Networks. All products of matrices are the BLAS's: its number of threads stays what it is.

def trained(opt="Adam", steps=4, threads=None, sizes=(70, [90, 200], 10), **options):
    fastnn.set_num_threads(threads)
    net = MultiLayerNet(*sizes, "GELU", use_batchnorm=True, use_dropout=True, dtype=np.float32,
                        weight_decay_lambda=1e-4, weight_decay_l1=1e-5, rng=0, **options)
    x, t = normal((1000, 70)), np.arange(1000) % 10
    trainer = Trainer(net, opt if not isinstance(opt, str) else get_opt(opt), x, t, 200, rng=1, on_nonfinite="raise")
    trainer.train(steps)
    return trainer


@pytest.mark.parametrize("opt", ["Eve", lambda: get_opt("SantaE", rng=2, eta=1e-9, burnin=3),
                                 lambda: get_opt("Adam", state_dtype="int8")], ids=["Eve", "SantaE", "int8"])
def test_training_runs(opt):
    runs = [trained(opt if isinstance(opt, str) else opt(), threads=threads) for threads in THREADS]
    for run in runs[1:]:
        assert_same_state(run.state_dict(), runs[0].state_dict())


def digest():
    """Of a training run and of much else, for processes to compare."""
    trainer = trained()
    found = hashlib.sha256()
    for name in ELEMENTWISE + ROWS:
        for a in flat(calls(activation(name), normal(17_003), normal(17_003, seed=1))):
            found.update(np.ascontiguousarray(a))
    state = trainer.state_dict()
    for a in (state["losses"], *state["network"]["params"].values()):
        found.update(np.ascontiguousarray(a))
    return found.hexdigest()


def test_processes():
    """Whatever the addresses, the order of sets and the number of threads."""
    done = python("import test_determinism; print(test_determinism.digest())", FASTNN_NUM_THREADS="3",
                  PYTHONHASHSEED="7")
    assert (done.stdout.strip(), done.stderr) == (digest(), "")


def test_the_streams():
    """docs/reliability.md says who draws what, in which order."""
    rng = np.random.default_rng
    before = np.random.get_state()
    net = MultiLayerNet(6, [5, 4], 3, weight_init_std=1, use_dropout=True, dtype=np.float32, rng=rng(0))
    opt = get_opt("SantaE", rng=rng(1), burnin=3, eta=1e-9)
    x, t, bad_row = normal((40, 6)), np.arange(40) % 3, 7
    trainer = Trainer(net, opt, x, t, 7, rng=rng(2), on_nonfinite="skip")
    own = rng(0)
    for key in ("W1", "W2", "W3"):
        assert_same_bits(net.params[key], own.standard_normal(net.params[key].shape).astype(np.float32))
    x[bad_row] = np.nan                 # so that some steps are skipped: they draw, too
    trainer.train(12)
    own_rows = rng(2)
    skipped = [step for step in range(1, 13) if bad_row in own_rows.choice(40, 7)]
    assert [found.step for found in trainer.nonfinite] == skipped and 0 < len(skipped) < 10
    masks = [drop(np.ones((7, width)), 0.5, int(own.random()*2**53))[1] for _ in range(12) for width in (5, 4)][-2:]
    for name, mask in zip(("Dropout1", "Dropout2"), masks):
        assert_same_bits(net.layers[name].mask, mask)
    noise, shapes = rng(1), [p.shape for p in net.params.values()]
    for _ in range(3):                      # velocities, and noise before the steps 1 and 2
        last = [noise.standard_normal(shape) for shape in shapes]
    for slots, z in zip(opt.state.values(), last):
        assert_same_bits(slots["noise"], z.astype(np.float32))
    maxout = get_act("maxout", 3, 2, 4, wb_width=1.0, rng=rng(3))
    own = rng(3)
    assert_same_bits(maxout.w, own.random((3, 8)))
    assert_same_bits(maxout.b, own.random(8))
    assert repr(np.random.get_state()) == repr(before)


# At any time: who does what depends on the clock and on who else is there.

def test_under_load():
    """Callers who find helpers busy work alone, others are helped, in parts of sizes that the clock decides."""
    x, logits = normal(120_000), normal((3000, 40))
    act, layer = get_act("Mish"), SoftmaxWithLoss()
    matrix, bias, labels = logits.copy(), normal(40), np.arange(3000) % 40

    def work():
        opt, params = get_opt("Adam", state_dtype="bfloat16"), {"w": x.copy(), "v": x[:17].copy()}
        for t in (1, 2):
            opt.update(params, {"w": x, "v": x[:17]})
        return [act.forward(x), get_act("softmax").forward(logits), SoftmaxWithLoss().forward(logits, labels),
                column_sums(matrix), gradient_with_sums(act, matrix, None, logits), *params.values()]

    fastnn.set_num_threads(1)
    wanted = [np.array(a).tobytes() for a in flat(work())]
    fastnn.set_num_threads(3)
    wrong, stop = [], threading.Event()

    def repeat():
        for _ in range(25):
            wrong.extend(i for i, a in enumerate(flat(work())) if np.array(a).tobytes() != wanted[i])

    def spin():
        while not stop.is_set():
            sum(range(1000))

    workers = [threading.Thread(target=repeat) for _ in range(3)]
    noise = threading.Thread(target=spin)
    for thread in (*workers, noise):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    noise.join()
    assert not wrong


# Wherever it lies: that of activations is in test_arrays.py.

def placed(a, offset):
    """A copy that begins so many elements behind a cache line."""
    room = np.zeros(a.size + 128, a.dtype)
    first = -room.__array_interface__["data"][0] % 64 // a.itemsize + offset
    view = room[first:first + a.size].reshape(a.shape)
    view[...] = a
    return view


@each_rule
def test_steps_do_not_depend_on_alignment(name, state_dtype):
    results = []
    for offset in (0, 1, 3, 8, 13):
        opt, params = make(name, state_dtype), {"w": placed(normal((37, 41)), offset), "b": placed(normal(77), offset),
                                                "long": placed(normal((91, 103)), offset)}      # by cache lines
        for t in range(1, 8):
            if t == 5:                      # where the state is not in line with it
                params["long"] = placed(params["long"], offset + 2)
            opt.update(params, {key: placed(g, 15 - offset) for key, g in gradients(params, t).items()})
        results.append((opt, params))
    for opt, params in results[1:]:
        assert_same_state(opt.state_dict(), results[0][0].state_dict())
        for key, p in params.items():
            assert_same_bits(p.copy(), results[0][1][key].copy())


@pytest.mark.parametrize("name", [name for name, state_dtype in RULES
                                  if state_dtype == "float32" and name not in NOISY and name in APART])
def test_steps_do_not_depend_on_the_position(name):
    """Of an element in its array, nor on the array's length. (Random rounding depends on both by design.)"""
    whole, first = {"w": normal(3001)}, normal(3001)
    opt, parts = make(name), [(slice(0, 1), make(name)), (slice(1, 18), make(name)), (slice(5, 1030), make(name)),
                              (slice(2990, None), make(name))]
    pieces = [{"w": first[part].copy()} for part, _ in parts]
    for t in range(1, 8):
        grads = gradients(whole, t)
        in_mappings(opt, whole, t)
        for (part, own), piece in zip(parts, pieces):
            own.update(piece, {"w": grads["w"][part]}, f=1 / t)
    for (part, _), piece in zip(parts, pieces):
        assert_same_bits(piece["w"], whole["w"][part].copy())


@pytest.mark.parametrize("name", ROWS)
@each_float
def test_rows_do_not_depend_on_alignment_nor_on_each_other(name, dtype):
    act, x = get_act(name), normal((50, 37), dtype)
    wanted = flat(calls(act, x, x))
    for offset in range(16):
        for got, value in zip(flat(calls(act, placed(x, offset), placed(x, 15 - offset))), wanted, strict=True):
            assert_same_bits(np.array(got), value)
    for part in (slice(7, 8), slice(3, 40)):
        for got, value in zip(flat(calls(act, x[part], x[part])), wanted, strict=True):
            assert_same_bits(got, value[part].copy())


@each_loss
@each_float
def test_losses_do_not_depend_on_alignment(name, dtype):
    rng = np.random.default_rng(0)
    y, t = rng.uniform(0.01, 0.99, (2, 50, 37)).astype(dtype)
    wanted = get_err(name).forward(y, t), get_err(name).backward(y, t), np.array(SoftmaxWithLoss().forward(y, t))
    for offset in range(16):
        moved = placed(y, offset), placed(t, 15 - offset)
        got = get_err(name).forward(*moved), get_err(name).backward(*moved), SoftmaxWithLoss().forward(*moved)
        for one, other in zip(got, wanted):
            assert_same_bits(np.array(one), other)


@each_float
def test_sums_do_not_depend_on_alignment(dtype):
    a = normal((70, 37), dtype)
    for offset in range(16):
        assert_same_bits(column_sums(placed(a, offset)), column_sums(a))
        norm, moved = clip_grad_norm([a.copy()], 1.0), [placed(a, offset)]
        assert clip_grad_norm(moved, 1.0) == norm


def test_random_shapes():
    """Anything between: sizes and numbers of threads at random."""
    rng = random.Random(0)
    for _ in range(25):
        act = activation(rng.choice(ELEMENTWISE + ROWS))
        shape = rng.choice([(rng.randint(1, 60_000),), (rng.randint(1, 300), rng.randint(1, 300))])
        x = normal(shape, rng.choice(FLOATS), rng.randint(0, 99))
        fastnn.set_num_threads(1)
        wanted = flat(calls(act, x, x))
        fastnn.set_num_threads(rng.randint(2, 9))
        for got, value in zip(flat(calls(act, x, x)), wanted, strict=True):
            assert_same_bits(got, value)
