"""What test_distributed.py runs under mpiexec: each check on all ranks, whose outcomes the first one writes as JSON.

    mpiexec -n 3 python ranks.py FOLDER [check ...]

Gradients are multiples of 3/64, and few: their sums and means over 1 to 4 ranks are exact, and what is stepped with
them has the bits of one process.
"""
import copy
import json
import pickle
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from mpi4py import MPI

import fastnn
from fastnn import Accumulate, ExponentialAverage, Lookahead, Rows, SAM, get_opt, group
from fastnn.distributed import DataParallel, DisagreementError, RankError, ShardedOptimizer, broadcast, generator
from fastnn.distributed.ranks import ranks_of
from fastnn.nn import MultiLayerNet, Trainer

comm = MPI.COMM_WORLD
rank, size = comm.rank, comm.size
FOLDER = Path(sys.argv[1])
CHECKS = {}
SHAPES = {"W": (70, 50), "b": (20,), "d": (3, 2)}
DTYPES = {"W": np.float32, "b": np.float32, "d": np.float64}
TOTAL = 12                      # rows, divided among the ranks


def check(*numbers):
    """Of functions that are called where there are so many ranks."""
    def added(function):
        CHECKS[function.__name__] = function, numbers
        return function
    return added


def parameters(shapes=SHAPES, dtypes=DTYPES):
    rng = np.random.default_rng(0)
    return {key: rng.standard_normal(shape).astype(dtypes[key]) for key, shape in shapes.items()}


def rows_of(rng, params):
    """A gradient for each of all rows, exact."""
    return {key: (3 * rng.integers(-20, 21, (TOTAL, *p.shape)) / 64).astype(
        p.dtype if p.dtype.itemsize > 2 else np.float32) for key, p in params.items()}


def own(rows):
    """The mean over this rank's rows."""
    count = TOTAL // size
    return {key: (g[rank * count:(rank + 1) * count].sum(0) / g.dtype.type(count)) for key, g in rows.items()}


def whole(rows):
    return {key: g.sum(0) / g.dtype.type(TOTAL) for key, g in rows.items()}


def run(opt, one, steps=5, params=None, seed=1, call=lambda opt, params, grads: opt.step(params, grads)):
    """Steps of an optimizer on all ranks beside one process's; their parameters."""
    params = parameters() if params is None else params
    alone, rng = {key: p.copy(order="K") for key, p in params.items()}, np.random.default_rng(seed)
    for _ in range(steps):
        rows = rows_of(rng, params)
        call(opt, params, own(rows))
        call(one, alone, whole(rows))
    return params, alone


def assert_same(params, alone, what=""):
    for key in alone:
        assert np.array_equal(params[key], alone[key]), (what, key, np.abs(params[key] - alone[key]).max())


def assert_alike(params, what=""):
    """The same bits on all ranks."""
    all_of_them = comm.allgather([np.asarray(p).tobytes() for p in params.values()])
    assert all(one == all_of_them[0] for one in all_of_them), what


def assert_states(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            assert_states(value, other[key], tolerance)
        elif isinstance(value, np.ndarray):
            assert value.shape == other[key].shape and value.dtype == other[key].dtype
            assert np.allclose(value, other[key], tolerance, tolerance, equal_nan=True), key
        elif isinstance(value, float) and tolerance:
            assert np.isclose(value, other[key], tolerance, tolerance), key
        else:
            assert value == other[key], (key, value, other[key])


def seeded(name):
    return {"rng": 3} if "rng" in type(get_opt(name)).hyperparameters else {}


def refusal(call, *kinds):
    try:
        call()
    except kinds as error:
        return str(error)
    raise AssertionError("nothing was raised")


# One optimizer after another

@check(3)
def every_optimizer_in_parallel():
    for name in fastnn.optimizers():
        opt, one = DataParallel(get_opt(name, **seeded(name))), get_opt(name, **seeded(name))
        params, alone = run(opt, one)
        assert_same(params, alone, name)
        assert_states(opt.state_dict(), one.state_dict())


@check(2)
def every_optimizer_in_shards():
    refused = []
    for name in fastnn.optimizers():
        one = get_opt(name, **seeded(name))
        try:
            opt = ShardedOptimizer(get_opt(name, **seeded(name)))
        except TypeError as error:
            assert name in str(error) and "DataParallel" in str(error)
            refused.append(name)
            continue
        params, alone = run(opt, one)
        for key in alone:                       # norms over pieces are other sums than over the whole
            exact = one.elementwise
            assert np.allclose(params[key], alone[key], 0 if exact else 1e-6, 0 if exact else 1e-6), (name, key)
        assert_alike(params, name)
        assert_states(opt.state_dict(), one.state_dict(), 0.0 if one.elementwise else 1e-5)
    assert refused == ["Adafactor", "SM3", "Muon", "Shampoo", "SOAP"]


@check(1, 3)
def options_and_groups():
    cases = [dict(clip_norm=2.0), dict(clip_global_norm=3.0), dict(clip_value=0.1),
             dict(weight_decay=0.1, l2=0.01, l1=0.01), dict(maximize=True, grad_scale=0.5, clip_norm=1.0),
             dict(lr=fastnn.schedules.linear(0.1, 6, end_value=0.01)),
             dict(clip_global_norm=fastnn.schedules.linear(3.0, 6, end_value=1.0)),
             dict(groups=[group("b", lr=0.5, clip_norm=0.5),
                          group(lambda key, p: p.ndim == 2 and len(p) == 3, freeze=True)])]
    for options in cases:
        for make in (DataParallel, ShardedOptimizer):
            params, alone = run(make(get_opt("Momentum", **options)), get_opt("Momentum", **options))
            for key in alone:
                assert np.allclose(params[key], alone[key], 1e-6, 1e-7), (options, make, key)
            assert_alike(params)
    for options in (dict(clip_adaptive=0.1), dict(centralize=True)):
        params, alone = run(DataParallel(get_opt("SGD", **options)), get_opt("SGD", **options))
        assert_same(params, alone, options)
        before = {key: p.copy() for key, p in params.items()}
        if size > 1:
            opt = ShardedOptimizer(get_opt("SGD", **options))
            text = refusal(lambda: run(opt, get_opt("SGD"), params=params), TypeError)
            assert next(iter(options)) in text
            assert_same(params, before)


@check(1, 3)
def arrays_of_all_kinds():
    shapes = {"F": (40, 30), "half": (50, 40), "brain": (2100,), "double": (9, 9), "scalar": (), "none": (0, 3)}
    dtypes = dict(zip(shapes, ("f4", "f2", np.dtype("f2"), "f8", "f4", "f4")))
    try:
        import ml_dtypes
        dtypes["brain"] = np.dtype(ml_dtypes.bfloat16)
    except ImportError:
        pass
    for make in (DataParallel, ShardedOptimizer):
        params = parameters(shapes, dtypes)
        params["F"] = np.asfortranarray(params["F"])
        call = lambda opt, params, grads: opt.step(params, {**grads, "none": None})     # noqa: E731
        params, alone = run(make(get_opt("Adam", lr=0.01)), get_opt("Adam", lr=0.01), 4, params, 1, call)
        assert_same(params, alone, make)
    nested = {"layers": [np.zeros(4, np.float32), [np.ones(3), 2.0]], "scale": 0.5}
    one = {"layers": [np.zeros(4, np.float32), [np.ones(3), 2.0]], "scale": 0.5}
    grads = {"layers": [np.ones(4), [np.ones(3), 1.0]], "scale": 2.0}
    for make in (DataParallel, ShardedOptimizer):
        opt, other = make(get_opt("Adam")), get_opt("Adam")
        for _ in range(3):
            opt.step(nested, grads)
            other.step(one, grads)
        assert nested["scale"] == one["scale"] and nested["layers"][1][1] == one["layers"][1][1]
        assert np.array_equal(nested["layers"][1][0], one["layers"][1][0])
        p, q = np.arange(6.0), np.arange(6.0)
        make(get_opt("SGD")).step(p, np.full(6, 2.0 * (rank + 1)))
        get_opt("SGD").step(q, np.full(6, float(size + 1)))
        assert np.array_equal(p, q)
        ps, qs = [np.ones(3), np.ones(2)], [np.ones(3), np.ones(2)]
        make(get_opt("SGD")).update(ps, [np.full(3, 2.0 * (rank + 1)), None])
        get_opt("SGD").update(qs, [np.full(3, float(size + 1)), None])
        assert np.array_equal(ps[0], qs[0]) and np.array_equal(ps[1], qs[1])


@check(1, 4)
def state_in_fewer_bits():
    for dtype in ("bfloat16", "int8"):
        params = {"W": parameters()["W"]}
        opt = ShardedOptimizer(get_opt("Adam", state_dtype=dtype))
        one = get_opt("Adam", state_dtype=dtype)
        params, alone = run(opt, one, 5, params)
        assert np.allclose(params["W"], alone["W"], 0, 2e-3)
        state = opt.state_dict()
        other = get_opt("Adam", state_dtype=dtype)
        other.load_state_dict(state)            # of one process: all codes and scales are there
        again = ShardedOptimizer(get_opt("Adam", state_dtype=dtype))
        again.load_state_dict(state)
        assert_states(again.state_dict(), state)


@check(1, 2, 4)
def rows_of_a_table():
    table, alone = (np.arange(40, dtype=np.float32).reshape(10, 4) for _ in range(2))
    opt, one = DataParallel(get_opt("Adam", lr=0.1)), get_opt("Adam", lr=0.1)
    for step in range(4):
        found = [Rows([r % 10, (3 * r + step) % 10], np.full((2, 4), 3.0 * (r + 1))) for r in range(size)]
        opt.step({"table": table}, {"table": found[rank]})
        joined = Rows(np.concatenate([rows.indices for rows in found]),
                      np.concatenate([rows.values for rows in found]).astype(np.float32) / np.float32(size))
        one.step({"table": alone}, {"table": joined})
    assert np.array_equal(table, alone)
    if size > 1:
        opt = ShardedOptimizer(get_opt("Adam"))
        assert "Rows" in refusal(lambda: opt.step({"table": table}, {"table": found[rank]}), TypeError)


@check(2, 3)
def different_numbers_of_rows():
    cuts = np.linspace(0, TOTAL, size + 1).astype(int) + np.array([0, *[1] * (size - 1), 0])
    for make in (DataParallel, ShardedOptimizer):
        params, alone = parameters(), parameters()
        opt, one, rng = make(get_opt("Momentum")), get_opt("Momentum"), np.random.default_rng(2)
        for _ in range(5):
            rows = rows_of(rng, params)
            mine = slice(*cuts[rank:rank + 2])
            opt.step(params, {key: g[mine].mean(0) for key, g in rows.items()}, rows=mine.stop - mine.start)
            one.step(alone, {key: g.mean(0) for key, g in rows.items()})
        for key in alone:
            assert np.allclose(params[key], alone[key], 1e-5, 1e-6), key
        assert_alike(params)
    assert "rows" in refusal(lambda: opt.step(params, params, rows=0), ValueError)


@check(2)
def the_loss_of_all_ranks():
    for name in ("Eve", "PolyakSGD", "MoMo"):
        for make in (DataParallel, ShardedOptimizer):
            params, alone, rng = parameters(), parameters(), np.random.default_rng(3)
            opt, one = make(get_opt(name)), get_opt(name)
            for step in range(5):
                rows = rows_of(rng, params)
                opt.step(params, own(rows), f=float(step + 1 + rank))
                one.step(alone, whole(rows), f=step + 1 + (size - 1) / 2)
            for key in alone:
                assert np.allclose(params[key], alone[key], 1e-6, 1e-6), (name, make)
            assert_alike(params, name)


# Wrappers

@check(1, 2)
def wrappers_on_both_sides():
    made = {"average": lambda opt: ExponentialAverage(opt, 0.9), "ahead": lambda opt: Lookahead(opt, 3),
            "sum": lambda opt: Accumulate(opt, 2)}
    for what, wrap in made.items():
        options = dict(groups=[group("d", freeze=True)]) if what == "average" else {}
        one = wrap(get_opt("Adam", lr=0.1, **options))
        for make in (lambda opt: DataParallel(wrap(opt)), lambda opt: wrap(DataParallel(opt)),
                     lambda opt: wrap(ShardedOptimizer(opt))):
            opt = make(get_opt("Adam", lr=0.1, **options))
            one = wrap(get_opt("Adam", lr=0.1, **options))
            params, alone = run(opt, one)
            assert_same(params, alone, what)
            if what == "average":
                found = opt.params
                assert_same(found, one.params, what)
            state = opt.state_dict()
            assert isinstance(state, dict)
        if size > 1:
            assert what and type(one).__name__ in refusal(lambda: ShardedOptimizer(one), TypeError)
    few = DataParallel(get_opt("SGD"))
    assert "DataParallel" in refusal(lambda: DataParallel(few), TypeError)


@check(1, 2)
def accumulated_gradients_are_exchanged_once():
    opt, params = DataParallel(get_opt("SGD")), parameters()
    outside, meets = Accumulate(opt, 4), []
    ranks, meet = ranks_of(comm), ranks_of(comm).meet
    ranks.meet = lambda *args, **kwds: meets.append(1) or meet(*args, **kwds)
    try:
        for _ in range(8):
            outside.step(params, params)
    finally:
        del ranks.meet
    assert len(meets) == (2 if size > 1 else 0)


@check(2, 3)
def sharpness_of_the_mean():
    """SAM inside ascends along the mean gradient, as one process does."""
    params, alone, rng = parameters(), parameters(), np.random.default_rng(4)
    opt, one = DataParallel(SAM(get_opt("SGD", lr=0.1))), SAM(get_opt("SGD", lr=0.1))
    for _ in range(3):
        first, second = rows_of(rng, params), rows_of(rng, params)
        opt.ascend(params, own(first))
        opt.step(params, own(second))
        one.ascend(alone, whole(first))
        one.step(alone, whole(second))
    assert_same(params, alone)
    opt = SAM(DataParallel(get_opt("SGD", lr=0.1)))
    opt.ascend(params, own(first))
    opt.step(params, own(second))
    assert_alike(params)


# Networks

def data(features=30, classes=5, rows=240):
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, features)).astype(np.float32), rng.integers(0, classes, rows)


@check(2, 3, 4)
def a_hundred_steps_of_a_network():
    x, t = data()
    parallel, sharded = (lambda opt: DataParallel(opt, bucket_bytes=3000)), ShardedOptimizer
    made = [(lambda: get_opt("Adam"), parallel, sharded), (lambda: get_opt("LAMB"), parallel, sharded),
            (lambda: get_opt("Momentum", clip_global_norm=0.5), parallel, sharded),
            (lambda: get_opt("AdamW", groups=[group("b*", weight_decay=0)]), parallel),
            (lambda: ExponentialAverage(get_opt("SGD", lr=0.1)), parallel)]
    for make, *both in made:
        for around in both:
            net, alone = (MultiLayerNet(30, [40, 40], 5, weight_decay_lambda=0.01, dtype=np.float32, rng=3)
                          for _ in range(2))
            opt, one = around(make()), make()
            for step in range(100):
                rows = slice(24 * (step % 10), 24 * (step % 10) + 24)
                X, T = x[rows], t[rows]
                mine = slice(rank * 24 // size, (rank + 1) * 24 // size)
                ready = opt.ready(net.params) if step % 3 else None         # sent while others are computed, or not
                _, grads = net.loss_and_gradient(X[mine], T[mine], ready)
                opt.step(net.params, grads)
                one.step(alone.params, alone.gradient(X, T))
            worst = max(np.abs(net.params[key] - alone.params[key]).max() for key in net.params)
            assert worst <= 1e-6, (one, worst)
            assert_alike(net.params)


@check(1, 3)
def gradients_come_as_they_are_known():
    x, t = data()
    net = MultiLayerNet(30, [20, 20], 5, activation=["PReLU", "tanh"], weight_decay_lambda=0.1, weight_decay_l1=0.01,
                        use_batchnorm=True, dtype=np.float32, rng=3)
    assert len(net.params) == 11                # with what the activation learns
    told = []
    loss, grads = net.loss_and_gradient(x, t, lambda key, g: told.append((key, g.copy())))
    assert [key for key, _ in told] == list(reversed(net.params))
    wanted = net.gradient(x, t)
    for key, g in told:
        assert np.array_equal(g, wanted[key]) and np.array_equal(grads[key], wanted[key])
    opt = DataParallel(get_opt("SGD"))
    _, grads = net.loss_and_gradient(x, t, opt.ready(net.params))
    if size > 1:
        assert "being exchanged" in refusal(lambda: opt.ready(net.params), RuntimeError)
        copies = {key: g.copy() for key, g in grads.items()}
        assert "another" in refusal(lambda: opt.step(net.params, copies), ValueError)


@check(1, 2, 3)
def what_bfloat16_leaves_over_is_made_up_for():
    p, g = np.zeros(1000, np.float32), np.full(1000, 1 + 2.0**-10, np.float32)       # halfway between is 2^-8
    opt = DataParallel(get_opt("SGD", lr=1.0), wire="bfloat16")
    opt.step({"p": p}, {"p": g})
    assert (p == (-1 if size > 1 else -1 - 2.0**-10)).all()
    for _ in range(255):
        opt.step({"p": p}, {"p": g})
    wanted = -256 * (1 + 2.0**-10)
    assert np.abs(p - wanted).max() <= 2.0**-6, p[:2]            # rounding alone would be off by 0.25
    assert_alike({"p": p})
    again, q = DataParallel(get_opt("SGD", lr=1.0), wire="bfloat16"), p.copy()
    again.load_state_dict(opt.state_dict())
    for _ in range(256):
        again.step({"p": q}, {"p": g})
    assert np.abs(q - 2 * wanted).max() <= 2.0**-5
    bad = g.copy()
    bad[3] = np.nan
    opt.step({"p": p}, {"p": bad})
    assert np.isnan(p[3]) and np.isfinite(np.delete(p, 3)).all()
    opt.step({"p": p}, {"p": g})
    assert np.isfinite(np.delete(p, 3)).all()


# Disagreement, and failures that are told

@check(2, 4)
def disagreements_are_told():
    if size == 1:
        return
    last = rank == size - 1
    params = parameters()
    grads = {key: np.ones_like(p) for key, p in params.items()}
    mine = {"names": ({"V" if last and key == "W" else key: p for key, p in params.items()},),
            "shapes": ({**params, "b": params["b"][:20 - last]},),
            "dtypes": ({**params, "b": params["b"].astype("f8" if last else "f4")},),
            "values": ({**params, "b": params["b"] + rank},)}
    words = {"names": "names", "shapes": "(19,)", "dtypes": "float64", "values": "broadcast"}
    for make in (DataParallel, ShardedOptimizer):
        for what, (own_params,) in mine.items():
            before = {key: p.copy() for key, p in own_params.items()}
            opt = make(get_opt("Adam"))
            text = refusal(lambda: opt.step(own_params, {key: np.ones_like(p) for key, p in own_params.items()}),
                           DisagreementError)
            assert words[what] in text and comm.allgather(text) == [text] * size, text
            assert_same(own_params, before)
        for opt, word in ((get_opt("Adam", lr=0.1 + last), "alpha"), (get_opt("SGD" if last else "Adam"), "SGD"),
                          (get_opt("Adam", groups=[group("b", lr=1.0 + last)]), "groups"),
                          (get_opt("Adam", weight_decay=0.1 * last), "weight_decay"),
                          (get_opt("NoisySGD", rng=rank), "rng"), (Lookahead(get_opt("Adam"), 4 + last), "Lookahead")):
            if make is ShardedOptimizer and isinstance(opt, Lookahead):
                continue
            text = refusal(lambda: make(opt).step(params, grads), DisagreementError)
            assert word in text and "rank 0 has" in text, text
        opt = make(get_opt("Adam"))
        opt.step(params, grads)
        opt.lr = 0.1 * (1 + last)               # later on, too
        assert "alpha" in refusal(lambda: opt.step(params, grads), DisagreementError)
        opt.lr = 0.1
        some = {**grads, "b": None if last else grads["b"]}
        assert "array" in refusal(lambda: opt.step(params, some), DisagreementError)
        assert "number of steps" in refusal(lambda: opt.update(params, grads, t=5 + last), DisagreementError)
        opt.step(params, grads)                 # and all is as before
        assert opt.t == 2
        assert_alike(params)
    sharded = ShardedOptimizer(get_opt("Adam"))
    sharded.step(params, grads)
    what = sharded.state_dict if last else lambda: sharded.step(params, grads)
    assert "state_dict" in refusal(what, DisagreementError)


@check(2, 3)
def one_rank_that_cannot_go_on_is_told_of():
    if size == 1:
        return
    params = parameters()
    grads = {key: np.ones_like(p) for key, p in params.items()}
    for make in (DataParallel, ShardedOptimizer):
        opt, before = make(get_opt("Adam")), {key: p.copy() for key, p in params.items()}
        bad = {**grads, "W": np.ones(3)} if rank == 1 else grads
        text = refusal(lambda: opt.step(params, bad), ValueError if rank == 1 else RankError)
        assert "'W'" in text and ("rank 1" in text or rank == 1)
        params["b"].flags.writeable = rank != 1
        text = refusal(lambda: opt.step(params, grads), ValueError if rank == 1 else RankError)
        assert "read-only" in text
        params["b"].flags.writeable = True
        assert_same(params, before)
        opt.step(params, grads)
        assert_alike(params)


@check(1, 2, 3)
def skipped_steps_are_skipped_everywhere():
    for make in (DataParallel, ShardedOptimizer):
        params = parameters()
        grads = {key: np.ones_like(p) for key, p in params.items()}
        opt = make(get_opt("Adam", clip_global_norm=1.0))
        opt.step(params, grads)
        before = {key: p.copy() for key, p in params.items()}
        if rank == size - 1:
            grads["W"][5, 5] = np.inf
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            opt.step(params, grads)
        assert len(told) == 1 and "skipped" in str(told[0].message)
        assert opt.skipped == 1 and opt.t == 1
        assert_same(params, before)


# State

@check(1, 2, 3, 4)
def a_part_of_the_state_a_rank():
    params = {f"W{i}": np.ones((300, 200 + i), np.float32) for i in range(5)}
    opt = ShardedOptimizer(get_opt("Adam"))
    opt.step(params, params)
    mine = sum(values.nbytes for slots in opt.state.values() for values in slots.values())
    total = 2 * sum(p.nbytes for p in params.values())
    assert abs(mine - total / size) <= 2 * 4 * 1024
    assert sum(comm.allgather(mine)) == total


def stepped(opt, params, first, last):
    for step in range(first, last):
        opt.step(params, own(rows_of(np.random.default_rng(step), params)))


@check(1, 2, 3, 4)
def state_of_other_numbers_of_ranks():
    """Whoever has saved last, this number goes on from it."""
    for name in ("Adam", "SantaE", "DoWG", "ScheduleFreeAdamW", "NAG"):
        for make in (DataParallel, ShardedOptimizer):
            alone, params, one = parameters(), parameters(), get_opt(name, **seeded(name))
            for step in range(6):
                one.step(alone, whole(rows_of(np.random.default_rng(step), alone)))
            file = FOLDER / f"{name}-{make.__name__}.pickle"
            if file.exists():
                saved, state = pickle.loads(file.read_bytes())
                opt = make(get_opt(name, **seeded(name)))
                opt.load_state_dict(state)
                stepped(opt, saved, 3, 6)
                tolerance = 0 if one.elementwise or make is DataParallel else 1e-6
                for key in alone:
                    assert np.allclose(saved[key], alone[key], tolerance, tolerance), (name, make, key)
                assert_states(opt.state_dict(), one.state_dict(), tolerance)
                for point in ("evaluation_point", "gradient_point"):
                    found, wanted = getattr(opt, point)(saved), getattr(one, point)(alone)
                    for key in alone:
                        assert np.allclose(found[key], wanted[key], tolerance, tolerance), (name, point)
                plain = get_opt(name, **seeded(name))
                plain.load_state_dict(state)    # and one process alone
                around = make(plain)            # which then goes on together
                assert around.t == 3
            comm.Barrier()
            opt = make(get_opt(name, **seeded(name)))
            stepped(opt, params, 0, 3)
            state = opt.state_dict()
            if rank == 0:
                file.write_bytes(pickle.dumps((params, state)))
            comm.Barrier()


@check(1, 3)
def forgotten_keys():
    for make in (DataParallel, ShardedOptimizer):
        opt, one, params, alone = make(get_opt("Adam")), get_opt("Adam"), parameters(), parameters()
        for o, ps in ((opt, params), (one, alone)):
            for step in range(4):
                rows = rows_of(np.random.default_rng(step), ps)
                o.step(ps, own(rows) if o is opt else whole(rows))
                if step == 1:
                    o.forget("W")
        assert_same(params, alone)
        assert "forget" in refusal(lambda: opt.step({**params, "W": np.ones((3, 3), np.float32)}, {
            **own(rows), "W": np.ones((3, 3), np.float32)}), ValueError, RankError)


# Streams and beginnings

@check(1, 4)
def streams_are_each_ranks_own():
    drawn = comm.allgather(generator(5).integers(2**63))
    assert len(set(drawn)) == size and drawn[rank] == generator(5).integers(2**63)
    params = {"W": np.full((3, 4), float(rank)), "F": np.asfortranarray(np.full((2, 3), float(rank))),
              "l": [np.full(2, rank)]}
    broadcast(params, root=size - 1)
    assert (params["W"] == size - 1).all() and (params["F"] == size - 1).all() and (params["l"][0] == size - 1).all()
    if size > 1:
        assert "shape" in refusal(lambda: broadcast({"W": np.zeros(3 + (rank == 1))}), DisagreementError)


# Training

def network(**kwds):
    return MultiLayerNet(30, [40], 5, dtype=np.float32, rng=3, **{"use_batchnorm": True, "use_dropout": True, **kwds})


@check(1, 2, 3)
def trainers():
    x, t = data()
    made = {"Adam": lambda: get_opt("Adam"), "NAG": lambda: get_opt("NAG"), "Eve": lambda: get_opt("Eve"),
            "Santa": lambda: get_opt("SantaE", rng=1), "SAM": lambda: SAM(get_opt("Momentum")),
            "sharded": lambda: ShardedOptimizer(get_opt("Adam")),
            "ahead": lambda: Lookahead(DataParallel(get_opt("Adam"))),
            "sharp": lambda: DataParallel(SAM(get_opt("Momentum")))}
    for what, make in made.items():
        trainer = Trainer(network(), make(), x, t, 24 - (what == "Eve"), rng=5, comm=comm)
        assert trainer.rows == 240 and len(comm.allgather(len(trainer.x))) == size
        assert sum(comm.allgather(len(trainer.x))) == 240
        trainer.train(8)
        running = {f"{name} {i}": values for name, layer in trainer.network.layers.items() if "Norm" in name
                   for i, values in enumerate((layer.running_mean, layer.running_var))}
        assert_alike({**trainer.network.params, **running, "losses": np.array(trainer.losses)}, what)
        state = trainer.state_dict()
        trainer.train(3)
        after = {key: p.copy() for key, p in trainer.network.params.items()}
        trainer.load_state_dict(state)
        trainer.train(3)
        assert_same(trainer.network.params, after, what)
        masks = comm.allgather(trainer.network.layers["Dropout1"].rng.random())
        assert len(set(masks)) == size
        file = FOLDER / f"trainer-{what}.pickle"
        if file.exists():                       # of another number of ranks
            trainer.load_state_dict(pickle.loads(file.read_bytes()))
            trainer.train(2)
            assert_alike(trainer.network.params, what)
            plain = Trainer(network(), made["Adam"](), x, t, 24, rng=5)
            if what == "Adam":
                plain.load_state_dict(pickle.loads(file.read_bytes()))
                plain.train(2)
        comm.Barrier()
        if rank == 0:
            file.write_bytes(pickle.dumps(state))
        comm.Barrier()


@check(2, 4)
def a_trainer_steps_with_all_batches_together():
    """Without chance: every row of a rank is the same."""
    x, t = data(rows=size)
    plain = {"use_batchnorm": False, "use_dropout": False}
    trainer = Trainer(network(**plain), get_opt("Adam"), x, t, 4 * size, rng=5, comm=comm)
    trainer.train(100)
    net, opt = network(**plain), get_opt("Adam")
    for _ in range(100):
        opt.step(net.params, net.gradient(x, t))
    assert max(np.abs(net.params[key] - trainer.network.params[key]).max() for key in net.params) <= 1e-6


@check(1, 2)
def what_is_not_finite_on_one_rank_is_not_on_any():
    x, t = data()
    x[size - 1::size] = np.nan                  # the last rank's rows
    for around in (lambda opt: opt, ShardedOptimizer):
        trainer = Trainer(network(), around(get_opt("Adam")), x, t, 24, rng=5, comm=comm)
        before = {key: p.copy() for key, p in trainer.network.params.items()}
        trainer.train(10)
        assert [(one.step, one.layer, one.place) for one in trainer.nonfinite] == [(1, None, "input")]
        assert_same(trainer.network.params, before)
        trainer = Trainer(network(), around(get_opt("Adam")), x, t, 24, rng=5, on_nonfinite="raise", comm=comm)
        assert "input" in refusal(trainer.step, FloatingPointError)
    if size > 1:
        assert "rows" in refusal(lambda: Trainer(network(), get_opt("Adam"), x, t, size - 1, comm=comm), ValueError)
        assert "batch_size" in refusal(lambda: Trainer(network(), get_opt("Adam"), x, t, 24 + rank, comm=comm),
                                       DisagreementError)


@check(1, 2)
def estimators():
    from sklearn.base import clone
    from fastnn.estimators import MLPClassifier, MLPRegressor
    warnings.simplefilter("ignore")
    (x, t), _ = fastnn.datasets.load_digits(dtype="float64")
    x, t = x[:400], t[:400]
    for kwds in (dict(), dict(solver="sgd", l1=1e-3, batch_size=101, alpha=0.1), dict(solver="lbfgs"),
                 dict(solver="LAMB"), dict(solver="Eve", early_stopping=True), dict(solver="NAG")):
        kwds = {**dict(max_iter=2, random_state=1, hidden_layer_sizes=(20,)), **kwds}
        together = clone(MLPClassifier(comm=comm, **kwds)).fit(x, t)
        alone = MLPClassifier(**kwds).fit(x, t)
        for p, q in zip(together.coefs_ + together.intercepts_, alone.coefs_ + alone.intercepts_):
            assert np.allclose(p, q, 1e-9, 1e-9), kwds
        assert_alike(dict(enumerate(together.coefs_)))
        assert np.isclose(together.loss_, alone.loss_, 1e-9)
    weights = np.ones(400)
    weights[:150] = 0                           # ranks whose rows weigh nothing
    kwds = dict(max_iter=2, random_state=0, batch_size=3, hidden_layer_sizes=(5,), shuffle=False)
    x, t, weights = x[149:180], t[149:180].astype(float), weights[149:180]
    weights[1] = 0.0
    weights[2] = 1.0
    together, alone = MLPRegressor(comm=comm, **kwds).fit(x, t, weights), MLPRegressor(**kwds).fit(x, t, weights)
    assert np.allclose(together.coefs_[0], alone.coefs_[0], 1e-9, 1e-9)
    learned = dict(max_iter=2, random_state=0, hidden_layer_sizes=(8, 6), activation=("PReLU", "tanh"), batch_size=10)
    together, alone = (MLPRegressor(normalization="layer", comm=one, **learned).fit(x, t) for one in (comm, None))
    for one, other in zip(together.hidden_params_, alone.hidden_params_):
        assert one.keys() == other.keys() and one
        assert all(np.allclose(one[key], other[key], 1e-9, 1e-9) for key in one)
    assert np.allclose(together.coefs_[0], alone.coefs_[0], 1e-9, 1e-9)
    for kwds in (dict(dropout=0.5), dict(activation="RReLU"), dict(normalization="batch")):
        drawn = MLPClassifier((20,), max_iter=2, comm=comm, **kwds).fit(x, t > 4)           # random_state: rank 0's
        assert_alike(dict(enumerate([*drawn.coefs_, *(p for each in drawn.hidden_params_ for p in each.values())])))
    if size > 1:
        assert "alpha" in refusal(lambda: MLPClassifier(alpha=0.1 + rank, comm=comm).fit(x, t > 4), DisagreementError)


@check(1, 2, 3, 4)
def bits():
    """What this check returns must be the same in every run."""
    x, t = data()
    found = []
    for i, around in enumerate((lambda opt: DataParallel(opt, bucket_bytes=2000), ShardedOptimizer, DataParallel,
                                lambda opt: DataParallel(opt, wire="bfloat16"))):
        net = network(use_dropout=False)
        opt = around(get_opt("LAMB"))
        for step in range(30):
            mine = slice(step + rank * 20, step + rank * 20 + 20 + rank)
            ready = None if i == 2 else opt.ready(net.params, 20 + rank)
            loss, grads = net.loss_and_gradient(x[mine], t[mine], ready)
            opt.step(net.params, grads, 20 + rank)
        assert_alike(net.params)
        found.append(b"".join(p.tobytes() for p in net.params.values()).hex()[:4000])
    assert found[0] == found[2]                 # whatever the buckets, and whenever gradients are sent
    return found


@check(1, 2)
def what_is_refused():
    adam = get_opt("Adam")
    for call in (lambda: DataParallel("Adam"), lambda: DataParallel(adam, comm=3), lambda: ShardedOptimizer(get_opt),
                 lambda: DataParallel(adam, wire="float16"), lambda: DataParallel(adam, bucket_bytes=0),
                 lambda: DataParallel(adam, timeout=0), lambda: ShardedOptimizer(get_opt("Muon")),
                 lambda: ShardedOptimizer(Lookahead(adam)), lambda: DataParallel(DataParallel(adam)),
                 lambda: copy.deepcopy(DataParallel(adam)), lambda: DataParallel(adam).update(np.ones(3)),
                 lambda: broadcast("W"), lambda: ShardedOptimizer(adam).average({}, {})):
        assert refusal(call, TypeError, ValueError)

    class Own(Trainer):
        pass

    assert "derive" in refusal(lambda: Own(network(), get_opt("Adam"), *data(), comm=comm), TypeError)
    opt = DataParallel(get_opt("Adam", lr=0.5))
    assert opt.lr == 0.5 and opt.ranks == size and opt.rank == rank and f"ranks={size}" in repr(opt)
    opt.lr = 0.25
    assert opt.optimizer.lr == 0.25
    x, t = data()
    trainer = Trainer(network(), get_opt("Adam"), x, t, 24, rng=5, comm=comm)
    assert type(trainer) is not Trainer and isinstance(trainer, Trainer) and trainer.comm == comm
    noise = np.random.default_rng(1)
    if size > 1:
        opt = get_opt("SantaE", rng=noise)
        assert "noise" in refusal(lambda: Trainer(network(), opt, x, t, 24, rng=noise, comm=comm), ValueError)


def main():
    ranks_of(comm, timeout=60)
    outcomes, start = {}, time.perf_counter()
    for name in sys.argv[2:] or [name for name, (_, numbers) in CHECKS.items() if size in numbers]:
        try:
            mine = None, CHECKS[name][0]()
        except Exception:
            mine = traceback.format_exc(), None
        found = comm.gather(mine)
        if rank == 0:
            failed = [f"rank {i} of {size}:\n{error}" for i, (error, _) in enumerate(found) if error]
            outcomes[name] = {"failed": failed[:2], "value": found[0][1]}
            so = "failed" if failed else "passed"
            print(f"{size} ranks: {name} {so} at {time.perf_counter() - start:.1f} s", flush=True)
    if rank == 0:
        (FOLDER / f"{size}.json").write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main()
