"""The asv suite: nothing of the catalogue is missing, and everything runs and times what its name says."""
import importlib
import inspect
import itertools
import math
import pkgutil
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.cli.peers.library import LEARNED
from fastnn.cli.subjects import learned_forms
from fastnn.learnable import learnable
from helpers import python

SUITE = Path(__file__).parents[1] / "asv_bench"
if not SUITE.is_dir():
    pytest.skip("no asv_bench beside the tests", allow_module_level=True)
pytest.importorskip("asv_runner")
from asv_runner.benchmarks.mark import SkipNotImplemented  # noqa: E402

sys.path.insert(0, str(SUITE))
import benchmarks  # noqa: E402

MODULES = {name: importlib.import_module(f"benchmarks.{name}")
           for _, name, _ in pkgutil.iter_modules(benchmarks.__path__)}
PREFIXES = ("time_", "timeraw_", "track_", "peakmem_")
KINDS = {"activations": fastnn.activations, "optimizers": fastnn.optimizers, "losses": fastnn.losses}
DTYPES, SIZES = ["float32", "float64"], [10, 1_000, 100_000, 10_000_000]
MODELS = ["100x10", "MLP", "100x1000", "1x1e7"]


def public_classes(module):
    return [value for name, value in vars(module).items()
            if inspect.isclass(value) and not name.startswith("_") and value.__module__ == module.__name__]


def bodies(holder):
    """The names of what asv would run."""
    return [name for name in dir(holder) if name.startswith(PREFIXES)]


def all_bodies():
    """(asv's name of it, class or None, its parameters)"""
    for name, module in MODULES.items():
        for body in bodies(module):
            yield f"{name}.{body}", None, []
        for found in public_classes(module):
            for body in bodies(found):
                yield f"{name}.{found.__name__}.{body}", found, found.params


def cases(found, **chosen):
    """Each combination of a class's parameters, some of them held."""
    return itertools.product(*([chosen[name]] if name in chosen else values
                               for name, values in zip(found.param_names, found.params)))


def timed(module, **chosen):
    """A test case for every body of the classes in a module."""
    return [pytest.param(found, body, case, id="-".join([found.__name__, body, *map(str, case)]))
            for found in public_classes(MODULES[module]) for body in bodies(found) for case in cases(found, **chosen)]


def prepared(found, body, case):
    """The call that a warm body repeats."""
    return getattr(found, body).__wrapped__(found(), *case)


def check_array(array, dtype, size, layout="contiguous"):
    assert (array.dtype, array.size) == (dtype, size)
    assert array.flags.c_contiguous == (layout == "contiguous")
    assert np.unique(array).size > 1


# nothing is missing

def test_names_are_those_of_the_catalogue():
    catalogue = MODULES["catalogue"]
    assert sorted(catalogue.ACTIVATIONS) == sorted(fastnn.activations("elementwise") + fastnn.activations("rows"))
    assert catalogue.GATED == fastnn.activations("gated") and catalogue.LEARNABLE == fastnn.activations("learnable")
    assert catalogue.CONCATENATED == fastnn.activations("concatenated")
    assert catalogue.RANDOM == fastnn.activations("random") and catalogue.WITH_WEIGHTS == fastnn.activations("layer")
    assert catalogue.FORMS == [name for name in learnable() if name in fastnn.activations("elementwise")]
    assert sorted(catalogue.OPTIMIZERS) == sorted(fastnn.optimizers())
    assert sorted(catalogue.LOSSES) == sorted(fastnn.losses())


@pytest.mark.parametrize(("kind", "body"), [
    ("activations", "time_forward"), ("activations", "time_backward_with_grad"), ("activations", "time_d2y"),
    ("optimizers", "time_step"), ("optimizers", "time_update_in_place"), ("optimizers", "time_update_to_deltas"),
    ("losses", "time_forward"), ("losses", "time_backward"), ("losses", "time_mean_and_gradient")])
def test_every_entry_is_timed(kind, body):
    named = [name for found in public_classes(MODULES[kind]) if hasattr(found, body) and found.__name__ != "LearnableForms"
             for name in found.params[0]]
    entries = KINDS[kind]()
    if body == "time_d2y":
        entries = [name for of in ("elementwise", "rows", "layer") for name in fastnn.activations(of)]
    assert sorted(named) == sorted(entries)


@pytest.mark.parametrize("module", ["throughput", "peers"])
@pytest.mark.parametrize("kind", ["activations", "optimizers", "losses"])
def test_every_entry_is_tracked(module, kind):
    found = getattr(MODULES[module], kind.title())
    named = found.params[found.param_names.index({"losses": "loss"}.get(kind, kind[:-1]))]
    entries = {*KINDS[kind](), *(learned_forms() if (module, kind) == ("peers", "activations") else ())}
    assert sorted(named) == sorted(entries - {*fastnn.activations("layer"), *fastnn.activations("concatenated")})


@pytest.mark.parametrize(("kind", "expected"), [
    ("activations", [DTYPES, SIZES, ["contiguous", "strided"]]), ("losses", [DTYPES, SIZES, ["contiguous", "strided"]]),
    ("optimizers", [DTYPES, MODELS])])
def test_the_product_is_whole(kind, expected):
    for found in public_classes(MODULES[kind]):
        assert found.params[1:] == expected


def test_no_benchmark_is_prepared_anew_for_every_call():
    """asv_runner looks for `setup` in the function, the class and the module, whatever its case."""
    for _, module in MODULES.items():
        for holder in (module, *public_classes(module)):
            assert "setup" not in map(str.lower, dir(holder)), holder


# names say what is timed

@pytest.mark.parametrize(("found", "body", "case"), timed("activations", size=1000))
def test_activation(found, body, case):
    name, dtype, size, layout = case
    call = prepared(found, body, case)
    assert call.func.__self__.name == name
    assert call.func.__name__ == {"time_forward": "forward", "time_d2y": "d2y"}.get(body, "backward")
    check_array(call.args[0], dtype, size, layout)
    if found.__name__ == "Concatenated":        # the gradient is twice as long
        assert call().shape == ((100, 10) if body == "time_backward_with_grad" else (100, 20))
        return
    gated, back = found.__name__ == "GatedUnits", body == "time_backward_with_grad"
    if back and name != "maxout":
        check_array(call.keywords["grad"], dtype, size // (1 + gated), layout)
        assert not np.array_equal(call.args[0], call.keywords["grad"])
    else:
        assert len(call.args) == 1 and not call.keywords
    result = call()
    shape = ((10 if back else 5), 100) if gated else (100, 10)
    assert (result.dtype, result.shape) == (dtype, shape) and np.isfinite(result).all()
    if found.__name__ == "LearnableForms":
        assert call.func.__self__.learned == learnable()[name]


@pytest.mark.parametrize(("found", "body", "case"), timed("losses", size=1000))
def test_loss(found, body, case):
    name, dtype, size, layout = case
    call = prepared(found, body, case)
    method = {"time_mean_and_gradient": "value_and_grad"}.get(body, body.removeprefix("time_"))
    assert (call.func.__self__.name, call.func.__name__) == (name, method)
    assert len(call.args) == len(call.func.__self__.inputs)
    check_array(call.args[0], dtype, size, layout)
    for other in call.args[1:]:
        check_array(other, dtype, size)
    result = call()
    assert method != "value_and_grad" or type(result[0]) is float
    for part in result if isinstance(result, tuple) else (result,):
        for array in part if isinstance(part, tuple) else (part,):
            assert np.isfinite(array).all()


@pytest.mark.parametrize(("found", "body", "case"), timed("optimizers", model="100x10"))
def test_optimizer(found, body, case):
    name, dtype, _ = case
    call = prepared(found, body, case)
    if body == "time_update_to_deltas":
        [layers] = call.args
        assert {(update.__self__.name, update.__name__) for update, _, _ in layers} == {(name, "update")}
        assert len({id(update.__self__) for update, _, _ in layers}) == len(layers)
        call()
        assert all(delta.dtype == dtype and delta.any() for update, grads, params in layers
                   for delta in update(*grads, **params))
        return
    in_place = body == "time_update_in_place"
    assert (call.func.__self__.name, call.func.__name__) == (name, "update" if in_place else "step")
    parameters, grads = (list(given.values()) if in_place else given for given in call.args)
    assert [p.shape for p in parameters] == [g.shape for g in grads] == MODULES["common"].MODELS["100x10"]
    before = [p.copy() for p in parameters]
    call()
    call()                              # ADOPT's first step moves nothing
    assert all(p.dtype == dtype and (p != old).any() for p, old in zip(parameters, before))


def test_every_option_is_timed():
    """output_axis only says where clip_adaptive and centralize find their units."""
    found = MODULES["options"].Options
    options = {*fastnn.get_opt("SGD").options} - {"output_axis"}
    assert {*found.params[0]} == options | {"none", "two groups", "schedule"}
    assert found.params[1:] == [["SGD", "Adam"], ["100x10", "MLP", "1x1e7"]]


@pytest.mark.parametrize(("found", "body", "case"), [
    case for case in timed("options", model="MLP") if case.values[1] == "time_step"])
def test_options_have_something_to_do(found, body, case):
    option, name, model = case
    calls = [prepared(found, body, (each, name, model)) for each in (option, "none")]
    for call in calls:
        opt, (parameters, grads) = call.func.__self__, call.args
        assert (opt.name, call.func.__name__) == (name, "step")
        assert [p.shape for p in parameters] == [g.shape for g in grads] == MODULES["common"].MODELS[model]
        assert all(p.dtype == g.dtype == "float32" for p, g in zip(parameters, grads))
        call()
    ones, plain = ([p.tobytes() for p in call.args[0]] for call in calls)
    assert (ones == plain) == (option == "none")
    if option in opt.options:
        assert getattr(calls[0].func.__self__, option) == MODULES["options"].VALUES[option]


def test_two_groups_are_two():
    call = prepared(MODULES["options"].Options, "time_step", ("two groups", "SGD", "100x10"))
    parameters, grads = call.args
    before = [p.copy() for p in parameters]
    call()
    for i, (p, old, g) in enumerate(zip(parameters, before, grads)):
        np.testing.assert_allclose(old - p, (1e-4 if i % 2 else 1e-3)*g, atol=1e-6)


def test_ratio_is_to_the_plain_step(monkeypatch):
    options, seen = MODULES["options"], []

    def least(rounds, *turns):
        for turn in turns:
            count, call = turn.args
            assert turn.func is options.steps and call.func.__name__ == "step"
            seen.append((rounds, count, call.func.__self__.clip_norm))
        return [3.0, 2.0]
    monkeypatch.setattr(options, "least", least)
    assert options.Options().track_ratio("clip_norm", "Adam", "100x10") == 1.5
    assert seen == [(options.ROUNDS, options.STEPS["100x10"], limit) for limit in (1.0, None)]
    monkeypatch.undo()
    monkeypatch.setattr(options, "ROUNDS", 2)
    assert options.Options().track_ratio("none", "SGD", "100x10") > 0


def test_a_turn_is_so_many_steps():
    called = []
    MODULES["options"].steps(3, partial(called.append, 1))
    assert called == [1, 1, 1]


def test_every_layer_of_every_model_is_stepped():
    for model, shapes in MODULES["common"].MODELS.items():
        if sum(map(math.prod, shapes)) < 10**6:
            case = "SGD", "float32", model
            [layers] = prepared(MODULES["optimizers"].Optimizers, "time_update_to_deltas", case).args
            assert [grad.shape for _, grads, _ in layers for grad in grads] == shapes


@pytest.mark.parametrize("rows", ["6 of 100", "512 of 16"])
@pytest.mark.parametrize("name", ["SGD", "AdaGrad", "Adam"])
def test_rows_and_numpy_do_the_same(name, rows, monkeypatch):
    sparse = MODULES["sparse"]
    call = prepared(sparse.Sparse, "time_step", (rows, name, "float64"))
    table, indices, values = call.args[2:]
    plain, first = table.copy(), table.copy()
    rule = sparse.Plain(name, plain)
    for _ in range(3):
        call()
        rule.rule(plain, indices, values)
    np.testing.assert_allclose(table, plain, rtol=1e-10)
    assert (table != first).any(axis=1).sum() == len(indices) == sparse.TABLES[rows][2]
    repeated, summed = np.tile(indices, 2), sparse.Plain(name, plain)
    fastnn.get_opt(name, lr=1e-3).step([table], [fastnn.Rows(repeated, np.tile(values, (2, 1)))])
    summed.summed(plain, repeated, np.tile(values, (2, 1)))
    np.testing.assert_allclose(table, plain, rtol=1e-10)
    monkeypatch.setattr(sparse, "ROUNDS", 2)
    monkeypatch.setattr(sparse, "SECONDS", 1e-4)
    assert sparse.Sparse().track_ratio(rows, name, "float32") > 0


@pytest.mark.parametrize(("found", "body", "case"), timed("small_state", size=16384))
def test_small_state(found, body, case):
    name, state_dtype, dtype, size = case
    call = prepared(found, body, case)
    opt, parameters = call.func.__self__, call.args[0]
    assert (opt.name, str(opt.state_dtype or "float32"), call.func.__name__) == (name, state_dtype, "update")
    call()
    assert parameters["w"].dtype == dtype and parameters["w"].size == size and parameters["w"].all()


@pytest.mark.parametrize(("found", "body", "case"), timed("training"))
def test_training_changes_every_parameter(found, body, case):
    dtype, batch = case
    call = prepared(found, body, case)
    net, opt, x, labels = call.args
    assert opt.name == "Adam" and x.dtype == dtype and len(x) == len(labels) == batch
    before = {key: p.copy() for key, p in net.params.items()}
    call()
    for key, p in net.params.items():
        assert p.dtype == dtype and (p != before[key]).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_throughput_of_activations(direction, dtype, monkeypatch):
    throughput = MODULES["throughput"]
    monkeypatch.setattr(throughput, "SIZE", 1000)
    for name in throughput.Activations.params[0]:
        call, moved = throughput.Activations().case(name, dtype, direction)
        assert (call.func.__self__.name, call.func.__name__) == (name, direction)
        operands = [*call.args, *call.keywords.values()]
        sizes = [1000, 500] if name in fastnn.activations("gated") else [1000, 1000]
        for operand, size in zip(operands, sizes):
            check_array(operand, dtype, size)
        assert moved == (sum(operand.size for operand in operands) + call().size) * np.dtype(dtype).itemsize
        assert len(operands) == 1 + (direction == "backward")


@pytest.mark.parametrize("dtype", DTYPES)
def test_throughput_of_optimizers(dtype, monkeypatch):
    throughput = MODULES["throughput"]
    monkeypatch.setattr(throughput, "MODEL", "100x10")
    for name in throughput.Optimizers.params[0]:
        call, moved = throughput.Optimizers().case(name, dtype)
        opt = call.func.__self__
        assert (opt.name, call.func.__name__) == (name, "step")
        call()
        state = sum(array.nbytes for slots in opt.state.values() for array in slots.values())
        assert moved == 3 * 1000 * np.dtype(dtype).itemsize + 2 * state


@pytest.mark.parametrize("dtype", DTYPES)
def test_throughput_of_losses(dtype, monkeypatch):
    throughput = MODULES["throughput"]
    monkeypatch.setattr(throughput, "SIZE", 1000)
    for name in throughput.Losses.params[0]:
        call, moved = throughput.Losses().case(name, dtype)
        err = call.func.__self__
        assert (err.name, call.func.__name__, call.keywords) == (name, "value_and_grad", {"reduction": "mean"})
        value, gradients = call()
        written = gradients if isinstance(gradients, tuple) else (gradients,)
        assert type(value) is float
        assert moved == sum(array.nbytes for array in (*call.args, *written))


def test_throughput_is_bytes_by_time(monkeypatch):
    throughput = MODULES["throughput"]
    monkeypatch.setattr(throughput, "SIZE", 1000)
    monkeypatch.setattr(throughput, "least", lambda rounds, *calls: [2e-6, 1e-6][:len(calls)])
    monkeypatch.setattr(throughput, "compiled", lambda: lambda out, source, size, threads: None)
    case = throughput.Activations(), ("ReLU", "float32", "forward")
    assert throughput.Activations.track_gigabytes(case[0], *case[1]) == pytest.approx(8000 / 2e-6 / 1e9)
    assert throughput.Activations.track_share(case[0], *case[1]) == pytest.approx(0.5)


@pytest.fixture
def streaming_copy():
    try:
        MODULES["streaming_copy"].library()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C compiler, or no x86")
    return MODULES["streaming_copy"]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", range(1, 7))
def test_the_loop_over_streams_leaves_them_as_they_are(streaming_copy, count, threads):
    read, *changed = np.random.default_rng(0).standard_normal((count + 1, 1001), np.float32)
    before = [a.copy() for a in (read, *changed)]
    assert streaming_copy.in_place(read, changed, threads)() > 0
    np.testing.assert_array_equal([read, *changed], before)


def test_the_loop_over_streams_has_a_limit(streaming_copy):
    arrays = list(np.zeros((8, 4), np.float32))
    assert streaming_copy.in_place(arrays[0], arrays[1:], 1)() < 0
    assert streaming_copy.in_place(arrays[0], [], 1)() < 0


def test_the_book_s_lines_do_what_fastnn_does():
    book_loop = importlib.import_module("book_loop")
    rng = np.random.default_rng(0)
    steps = book_loop.WARM + 5
    batches = [(rng.random((4, 784)), rng.integers(0, 10, 4)) for _ in range(steps)]
    for name in book_loop.RULES:
        numpy, own, difference = book_loop.compare(name, batches, np.float64)
        assert len(numpy) == len(own) == 5 and difference < 1e-9


def test_the_streaming_copy_copies(streaming_copy):
    copy = streaming_copy.compiled()
    source, room = np.arange(1000, dtype=np.float32), np.zeros(1016, np.float32)
    target = room[-room.ctypes.data % 64 // 4:][:1000]
    assert copy(target.ctypes.data, source.ctypes.data, source.nbytes, 2) > 0
    np.testing.assert_array_equal(target, source)


def test_rows_are_read_twice(streaming_copy):
    x = np.arange(48, dtype=np.int64).reshape(3, 16)
    assert streaming_copy.reading_twice(x)() == 2*x[:, ::2].sum()      # the lower halves of its lanes
    with pytest.raises(ValueError, match="rows of 24 bytes"):
        streaming_copy.reading_twice(x[:, :3].copy())


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sides_of_activations(dtype, direction):
    from fastnn.cli.peers.formulas import ACTIVATIONS
    for name in MODULES["peers"].Activations.params[1]:
        own, other = MODULES["peers"].Activations().calls("numpy", name, dtype, 1000, direction)
        assert (f"{LEARNED if name in learned_forms() else ''}{own.run.func.__self__.name}", own.run.func.__name__) == (
            name, direction)
        assert other.run.func is ACTIVATIONS[name][direction == "backward"]
        for side in (own, other):
            for operand in (*side.run.args, *side.run.keywords.values()):
                assert operand.dtype == dtype and operand.size in (1000, 500)
            found = side.run()
            assert (found[0] if isinstance(found, tuple) else found).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_sides_of_optimizers(dtype):
    from fastnn.cli.peers.formulas import OPTIMIZERS
    assert set(OPTIMIZERS) <= set(MODULES["peers"].Optimizers.params[1])
    for name in OPTIMIZERS:
        own, other = MODULES["peers"].Optimizers().calls("numpy", name, dtype, "100x10")
        assert (own.run.func.__self__.name, own.run.func.__name__) == (name, "update")
        assert all(p.dtype == dtype for p in own.run.args[0].values())
        assert inspect.getclosurevars(other.run).nonlocals["rule"] is OPTIMIZERS[name]
        own.run(), other.run()


def test_ratio_is_the_part_of_the_peers_time(monkeypatch):
    peers, contest = MODULES["peers"], importlib.import_module("fastnn.cli.contest")
    monkeypatch.setattr(contest, "fastest", lambda calls, *_: {"own": (1.0, 0), "other": (4.0, 0)})
    assert peers.Activations().track_time("numpy", "Mish", "float32", 10, "forward") == 0.25
    monkeypatch.undo()
    monkeypatch.setattr(peers, "ROUNDS", 1)
    assert peers.Optimizers().track_time("numpy", "Adam", "float32", "100x10") > 0


@pytest.mark.parametrize("result", ["allocated", "in place"])
@pytest.mark.parametrize("name", ["Mish", "softmax"])
def test_memory_of_forward(name, result, monkeypatch):
    memory = MODULES["memory"]
    x = np.linspace(-1, 1, 1000, dtype=np.float32).reshape(100, 10)
    expected = fastnn.get_act(name).forward(x)
    monkeypatch.setattr(memory, "normal", lambda size, dtype: x)
    found = memory.Forward().peakmem_forward(name, "float32", result)
    assert (found is x) == (result == "in place")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("case", [*cases(MODULES["memory"].Step)])
def test_memory_of_steps(case, monkeypatch):
    memory = MODULES["memory"]
    monkeypatch.setattr(memory, "SIZE", 1000)
    opt = memory.Step().peakmem_step(*case)
    assert (opt.name, str(opt.state_dtype or "float32")) == case
    memory.peakmem_training_step()


def test_import_benchmarks_run():
    imports = MODULES["imports"]
    for name in bodies(imports):
        code = getattr(imports, name)() if name.startswith("timeraw_") else inspect.getsource(getattr(imports, name))
        assert f"import {name.split('_')[1]}" in code
        process = python(code)
        assert process.returncode == 0, process.stderr


# a body

def test_preparation_is_off_the_clock(monkeypatch):
    common, now, ran = MODULES["common"], [0], []

    def work(what, seconds):
        ran.append(what)
        now[0] += seconds

    class Case:
        @common.warm
        def time_it(self, *params):
            work(params, 100)
            return partial(work, "call", 1)

    monkeypatch.setattr(common, "perf_counter", lambda: now[0])
    monkeypatch.setattr(common, "preparing", 0)
    case, clock = Case(), Case.time_it.timer
    for _ in range(2):
        start = clock()
        case.time_it("a", "b")
        assert clock() - start == 1
    assert ran == [("a", "b"), "call", "call", "call"]


def test_least_takes_turns(monkeypatch):
    common, now, ran = MODULES["common"], [0], []
    seconds = {"a": iter([3, 1, 2]), "b": iter([5, 6, 4])}

    def call(name):
        ran.append(name)
        now[0] += next(seconds[name])

    monkeypatch.setattr(common, "perf_counter", lambda: now[0])
    assert common.least(3, partial(call, "a"), partial(call, "b")) == [1, 4]
    assert ran == ["a", "b"] * 3


# older versions

@pytest.mark.parametrize("name", ["activation", "optimizer"])
def test_what_a_version_lacks_is_not_applicable(name):
    with pytest.raises(SkipNotImplemented):
        getattr(MODULES["common"], name)("a name of later", dtype="float32")


@pytest.mark.parametrize("option", MODULES["options"].CASES[1:])
def test_versions_without_options_have_no_steps_with_them(option, monkeypatch):
    made = fastnn.get_opt

    def get_opt(name, eta=0.01):
        if not isinstance(eta, float):
            raise TypeError
        return made(name, eta=eta)
    monkeypatch.setitem(sys.modules, "fastnn.schedules", None)
    monkeypatch.delattr(fastnn, "schedules")
    monkeypatch.delattr(fastnn, "group")
    monkeypatch.setattr(fastnn, "get_opt", get_opt)
    with pytest.raises(SkipNotImplemented):
        prepared(MODULES["options"].Options, "time_step", (option, "SGD", "100x10"))


def test_versions_without_bench_have_no_ratio(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastnn.cli.peers", None)
    with pytest.raises(SkipNotImplemented):
        MODULES["peers"].Optimizers().track_time("numpy", "Adam", "float32", "100x10")


def test_no_ratio_to_what_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SkipNotImplemented, match="torch"):
        MODULES["peers"].Activations().track_time("torch", "Mish", "float32", 10, "forward")


def test_no_ratio_where_the_peer_has_no_counterpart():
    pytest.importorskip("torch")
    with pytest.raises(SkipNotImplemented, match="SantaE"):
        MODULES["peers"].Optimizers().track_time("torch", "SantaE", "float32", "100x10")


# the short profile

def test_short_profile_covers_every_body():
    short = importlib.import_module("short")
    selected, used = {}, set()
    for name, _, params in all_bodies():
        for case in itertools.product(*params) if params else [()]:
            full = f"{name}({', '.join(map(repr, case))})" if params else name
            hits = [regex for regex in short.COSTS + short.FIGURES if re.search(regex, full)]
            used.update(hits)
            selected[name] = selected.get(name, 0) + bool(hits)
    assert [name for name, count in selected.items() if not count] == []
    assert used == {*short.COSTS, *short.FIGURES}
    assert sum(selected.values()) <= 120


def test_asv_compares_what_has_statistics_and_memory():
    short = importlib.import_module("short")
    for name, _, params in all_bodies():
        others = short.COSTS if ".track_" in name else short.FIGURES
        for case in itertools.product(*params) if params else [()]:
            full = f"{name}({', '.join(map(repr, case))})" if params else name
            assert not any(re.search(regex, full) for regex in others), full


@pytest.mark.parametrize(("arguments", "message"), [
    (["compare", "no-such-commit"], "no commit 'no-such-commit' here"),
    (["compare", "--factor", "0.9", "HEAD"], "'0.9' is not a number above 1"),
    (["compare", "--rounds", "0", "HEAD"], "'0' is not an integer above 0"),
    (["measure"], "invalid choice: 'measure'")])
def test_short_says_what_cannot_work(arguments, message):
    process = subprocess.run([sys.executable, SUITE / "short.py", *arguments], capture_output=True, text=True)
    assert process.returncode == 2 and message in process.stderr
    assert process.stderr.count("\n") == 1 and not process.stdout
