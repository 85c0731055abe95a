"""Registered formulas in the asv suite and in asv_bench/formulas.py: everything runs, and computes what it says."""
import importlib
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import fastnn
from helpers import python

pytest.importorskip("numba")
pytest.importorskip("asv_runner")
from asv_runner.benchmarks.mark import SkipNotImplemented  # noqa: E402

SUITE = Path(__file__).parents[1] / "asv_bench"
if not SUITE.is_dir():
    pytest.skip("no asv_bench beside the tests", allow_module_level=True)
sys.path.insert(0, str(SUITE))
benchmarks = importlib.import_module("benchmarks.formulas")


@pytest.mark.parametrize("kind", ["RegisteredActivations", "RegisteredGatedUnits", "RegisteredLearnable", "RegisteredLosses",
                                  "RegisteredOptimizers"])
def test_benchmarks_run_what_their_parameters_name(kind):
    found = getattr(benchmarks, kind)
    before = fastnn.activations(), fastnn.losses(), fastnn.optimizers()
    for params in product(*found.params[:-1], found.params[-1][:1]):
        for body in (name for name in dir(found) if name.startswith("time_")):
            call = getattr(found, body).__wrapped__(found(), *params)
            assert call.func.__self__.name == params[0]
            array = call.args[0]["w"] if kind == "RegisteredOptimizers" else call.args[0]
            assert (array.dtype, array.size) == params[1:]
            call()
    assert (fastnn.activations(), fastnn.losses(), fastnn.optimizers()) == before


def test_not_available_without_the_compiler(monkeypatch):
    def unable(*args, **kwds):
        raise ImportError("no compiler")

    monkeypatch.setattr(fastnn, "register_act", unable)
    with pytest.raises(SkipNotImplemented, match="no compiler"):
        benchmarks.activation("snake as written")


def test_copies_compute_what_the_built_in_ones_compute():
    formulas = importlib.import_module("formulas")
    x = np.linspace(-30, 31, 4000)              # without 0, where max and abs have a kink that softplus has not
    assert (x != 0).all()
    for name, function, hyperparameters in formulas.ACTIVATIONS:
        fastnn.register_act("copy", replace=True, **hyperparameters)(function)
        for order, mine in formulas.orders(fastnn.get_act("copy"), x, x).items():
            wanted = formulas.orders(fastnn.get_act(name), x, x)[order].run()
            np.testing.assert_allclose(mine.run(), wanted, rtol=1e-11, atol=1e-12,
                                       err_msg=f"{function.__name__} {order}")
    fastnn.unregister("copy")
    for name, rule, state, hyperparameters in formulas.OPTIMIZERS:
        fastnn.register_opt("copy", state=state, replace=True, learning_rate=next(iter(hyperparameters)),
                            **hyperparameters)(rule)
        mine, built_in = fastnn.get_opt("copy"), fastnn.get_opt(name)
        for _ in range(3):
            np.testing.assert_allclose(mine.update(x), built_in.update(x), rtol=1e-12)
    fastnn.unregister("copy")


def test_table(tmp_path):
    shown = python("import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')",
                   str(SUITE / "formulas.py"), "activations", "optimizers", "--dtype", "float32", "--size", "100",
                   "--names", "ReLU", "SGD", "--rounds", "1", "--pause", "0", FASTNN_CACHE_DIR=str(tmp_path))
    assert "ReLU" in shown.stdout and "100 of 10" in shown.stdout, shown.stderr
