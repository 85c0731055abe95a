"""fastnn.distributed under mpiexec: the checks of ranks.py on 1 to 4 processes, and what becomes of those that die.

Skipped where there is no mpi4py or no mpiexec.
"""
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastnn
from fastnn.optimizers.along import Along
from fastnn.optimizers.measured import Measured
from helpers import HANG, SANITIZED, TESTS, environment, python

EXAMPLES = Path(__file__).parents[1] / "examples"
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
ORDER = 4, 2, 1, 3              # states go from one number to the next


@cache
def why_not():
    """Why nothing can be run under mpiexec here, or None."""
    if SANITIZED:
        return "an MPI library is not what the sanitizers look at"
    if find_spec("mpi4py") is None:
        return "mpi4py is not installed"
    if MPIEXEC is None:
        return "there is no mpiexec"
    found = subprocess.run(**mpiexec(2, "-c", "from mpi4py import MPI; print('of', MPI.COMM_WORLD.size)"),
                           capture_output=True, text=True, timeout=HANG)
    return None if found.stdout.count("of 2") == 2 else f"mpiexec does not work here: {found.stderr.strip()[-200:]}"


@cache
def is_open_mpi():
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True, timeout=HANG).stdout
    return "Open MPI" in version or "prte" in version.lower()


def mpiexec(ranks, *arguments):
    """What subprocess takes to run Python so many times at once."""
    ours = is_open_mpi()
    some = ["--oversubscribe", "--bind-to", "none"] if ours else []
    root = {f"OMPI_ALLOW_RUN_AS_ROOT{end}": "1" for end in ("", "_CONFIRM")} if ours else {}
    return {"args": [MPIEXEC, *some, "-n", str(ranks), sys.executable, *map(str, arguments)], "cwd": TESTS,
            "env": environment(OPENBLAS_NUM_THREADS="1", FASTNN_NUM_THREADS="1", **root)}


def checked_mpiexec(ranks, *arguments):
    if reason := why_not():
        pytest.skip(reason)
    return mpiexec(ranks, *arguments)


def run(ranks, *arguments):
    return subprocess.run(**checked_mpiexec(ranks, *arguments), capture_output=True, text=True, timeout=HANG)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("ranks"), {}
    for ranks in ORDER:
        done = run(ranks, "ranks.py", folder)
        assert done.returncode == 0, done.stderr[-3000:]
        found[ranks] = json.loads((folder / f"{ranks}.json").read_text())
    return found


def checks():
    """(number of ranks, check) of ranks.py, whose decorators name both: it cannot be imported without MPI."""
    found, lines = [], (TESTS / "ranks.py").read_text().splitlines()
    for line, following in zip(lines, lines[1:]):
        if line.startswith("@check("):
            found += [(int(n), following[4:].partition("(")[0]) for n in line[7:-1].split(",")]
    return sorted(found)


@pytest.mark.parametrize("ranks, check", checks())
def test_check(outcomes, ranks, check):
    failed = outcomes[ranks][check]["failed"]
    assert not failed, "\n".join(failed)


def test_every_check_has_been_run(outcomes):
    assert sorted((ranks, name) for ranks, found in outcomes.items() for name in found) == checks()
    assert {name for _, name in checks()} == {name for found in outcomes.values() for name in found}


def test_every_run_has_the_same_bits(outcomes, tmp_path):
    assert run(3, "ranks.py", tmp_path, "bits").returncode == 0
    again = json.loads((tmp_path / "3.json").read_text())
    assert again["bits"]["value"] == outcomes[3]["bits"]["value"]
    assert len(set(again["bits"]["value"])) == 2            # and bits of something: bfloat16 on the wire has others


STEPS = """
import os, signal, sys, time
import numpy as np
from mpi4py import MPI
from fastnn import get_opt
from fastnn.distributed import DataParallel, ShardedOptimizer
rank = MPI.COMM_WORLD.rank
opt = {around}(get_opt("Adam"), timeout={timeout})
p = np.zeros(5000)
for step in range(10**9):
    opt.step(p, np.ones(5000))
    if step == 20 and rank == 1:
        {what}
"""


def ended(what, timeout=HANG, around="DataParallel"):
    done = run(3, "-c", STEPS.format(what=what, timeout=timeout, around=around))
    assert done.returncode != 0
    return done.stderr + done.stdout


def test_a_rank_that_is_killed_ends_the_others():
    said = ended("os.kill(os.getpid(), signal.SIGKILL)", around="ShardedOptimizer")
    assert "signal 9" in said and "rank 1" in said or "KILLED BY SIGNAL: 9" in said or "Killed" in said


def test_a_rank_that_raises_ends_the_others():
    said = ended("raise KeyError('what has happened')")
    assert "rank 1 of 3 ends by KeyError: 'what has happened'; the others are ended" in said
    assert "Traceback" in said and "line 13" in said


def test_a_rank_that_does_not_come_is_named():
    said = ended("time.sleep(1e6)", timeout=1)
    assert "RankError: rank 1 of 3 did not come to a step within 1 s" in said


def test_a_rank_that_leaves_is_named():
    said = ended("break", timeout=1)
    assert "rank 1 of 3 did not come to a step" in said or "non-zero" in said


def test_the_ranks_of_compare_divide_the_optimizers(tmp_path):
    arguments = ["compare", "--optimizers", "SGD,Adam,Lion", "--iterations", "20", "--hidden", "10", "--out"]
    done = run(2, "-m", "fastnn", *arguments, tmp_path / "together")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("divided over 2 ranks") == 1
    assert subprocess.run([sys.executable, "-m", "fastnn", *arguments, tmp_path / "alone"], capture_output=True,
                          env=environment(), cwd=TESTS, timeout=HANG).returncode == 0
    together, alone = (json.loads((tmp_path / name / "compare.json").read_text()) for name in ("together", "alone"))
    assert together["settings"]["ranks"] == 2
    for document in (together, alone):
        assert [one["name"] for one in document["optimizers"]] == ["Adam", "SGD", "Lion"] or document["complete"]
    for one, other in zip(together["optimizers"], alone["optimizers"]):
        assert one["name"] == other["name"] and one["loss"] == other["loss"]


def test_what_compare_refuses_is_said_once(tmp_path):
    done = run(2, "-m", "fastnn", "compare", "--optimizers", "SGD", "--data", tmp_path / "nowhere")
    assert done.returncode == 2 and done.stderr.count("no such file") == 1


def test_the_example_of_evolution():
    done = run(2, EXAMPLES / "evolution.py")
    assert done.returncode == 0, done.stderr[-2000:]
    stood = int(done.stdout.splitlines()[-1].partition("found: ")[2].split()[0])
    assert "2 ranks" in done.stdout and stood >= 150


DOCUMENT = """
import re, sys
import numpy as np
X = np.random.default_rng(0).standard_normal((100, 3))
space = {"np": np, "X": X, "labels": X[:, 0] > 0}
for block in re.findall(r"^```python\\n(.*?)^```$", open(sys.argv[1], encoding="utf-8").read(), re.M | re.S):
    exec(compile(block, sys.argv[1], "exec"), space)
print("steps:", space["step"] + 1, "state:", len(space["state"]["by_key"]))
"""


def test_the_document_runs_as_printed(tmp_path):
    document = Path(__file__).parents[1] / "docs" / "distributed.md"
    command = {**checked_mpiexec(2, "-c", DOCUMENT, document), "cwd": tmp_path}
    done = subprocess.run(**command, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("steps: 100 state: 1") == 2 and (tmp_path / "run.npz").exists()


def test_the_document_names_all_that_shards_refuse_and_take():
    text = (Path(__file__).parents[1] / "docs" / "distributed.md").read_text(encoding="utf-8")
    whole = {name for name in fastnn.optimizers() if issubclass(type(fastnn.get_opt(name)), Along)}
    normed = {name for name in fastnn.optimizers() if issubclass(type(fastnn.get_opt(name)), Measured)}
    assert whole and normed and all(name in text for name in whole | normed)


# Without MPI

def test_fastnn_does_without_mpi():
    done = python("""
import sys
sys.modules["mpi4py"] = None
import fastnn, fastnn.nn, fastnn.estimators, fastnn.cli, fastnn.distributed
assert not [name for name in sys.modules if name.startswith("mpi4py.")]
for make in (fastnn.distributed.DataParallel, fastnn.distributed.ShardedOptimizer):
    try:
        make(fastnn.get_opt("Adam"))
    except ImportError as error:
        assert "fastnn[mpi]" in str(error)
    else:
        raise AssertionError
""")
    assert done.returncode == 0, done.stderr


def test_started_several_times_without_mpi_compare_refuses():
    """They would write the same files."""
    done = python("""
import sys
sys.modules["mpi4py"] = None
from fastnn.cli import main
sys.exit(main(["compare", "--optimizers", "SGD"]))
""", OMPI_COMM_WORLD_SIZE="2")
    assert done.returncode == 2 and "started 2 times at once" in done.stderr
