"""The asv suite: nothing of the catalogue is missing, everything runs."""
import importlib
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


def test_import_benchmarks_run():
    imports = importlib.import_module("benchmarks.imports")
    assert bodies(imports, "timeraw_")
    for name in bodies(imports, "timeraw_"):
        process = python(getattr(imports, name)())
        assert process.returncode == 0, process.stderr
