"""The asv suite: nothing of the catalogue is missing, everything runs."""
import importlib
import math
import sys
from itertools import product
from pathlib import Path

import pytest

import fastnn
from helpers import python

SUITE = Path(__file__).parents[1] / "asv_bench"
if not SUITE.is_dir():
    pytest.skip("no asv_bench beside the tests", allow_module_level=True)
sys.path.insert(0, str(SUITE))

CATALOGUES = {"activations": fastnn.activations, "optimizers": fastnn.optimizers, "losses": fastnn.losses}


def bodies(value, prefix):
    return [name for name in dir(value) if name.startswith(prefix)]


def benchmarks(subject):
    module = importlib.import_module(f"benchmarks.{subject}")
    return [value for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]


def smallest_cases():
    """(benchmark, body, its parameters) for each entry and dtype; sizes come last, the smallest first."""
    for subject in (*CATALOGUES, "small_state"):
        for benchmark in benchmarks(subject):
            for body in bodies(benchmark, "time_"):
                for params in product(*benchmark.params[:-1], benchmark.params[-1][:1]):
                    yield pytest.param(benchmark, body, params, id="-".join([body, *map(str, params)]))


@pytest.mark.parametrize("subject", CATALOGUES)
def test_every_entry_has_its_benchmarks(subject):
    timed = [name for benchmark in benchmarks(subject) for name in benchmark.params[0]]
    assert sorted(timed) == sorted(CATALOGUES[subject]())


@pytest.mark.parametrize(("benchmark_class", "body", "params"), [*smallest_cases()])
def test_benchmark_runs_what_its_parameters_name(benchmark_class, body, params):
    case = benchmark_class()
    case.setup(*params)
    assert len(params) == len(case.param_names)
    assert case.subject.name == params[0]
    getattr(case, body)(*params)


def test_every_layer_of_every_model_is_stepped():
    optimizers = importlib.import_module("benchmarks.optimizers")
    for model, shapes in optimizers.MODELS.items():
        if sum(map(math.prod, shapes)) > 10**6:
            continue
        case = optimizers.Optimizers()
        case.setup("SGD", "float32", model)
        assert [grad.shape for _, grads in case.layers for grad in grads] == shapes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_benchmark_changes_every_parameter(dtype):
    case = importlib.import_module("benchmarks.training").Training()
    case.setup(dtype, 16)
    before = {key: p.copy() for key, p in case.net.params.items()}
    case.time_step(dtype, 16)
    for key, p in case.net.params.items():
        assert p.dtype == dtype and (p != before[key]).any()


def test_import_benchmarks_run():
    imports = importlib.import_module("benchmarks.imports")
    assert bodies(imports, "timeraw_")
    for name in bodies(imports, "timeraw_"):
        process = python(getattr(imports, name)())
        assert process.returncode == 0, process.stderr
