"""Threads, forks, the floating-point environment, and what an import brings along."""
import ctypes
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import get_act, get_num_threads, set_num_threads
from fastnn.core import levels, openmp, threads
from helpers import CASES, FLOATS, HANG, assert_same_bits, exact_values, exit_status, python, samples
from test_activations import check

needs_openmp = pytest.mark.skipif(not openmp, reason="built without OpenMP")
needs_threads = pytest.mark.skipif(not openmp and os.name != "posix", reason="built single-threaded")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
PRINT_THREADS = "import fastnn; print(fastnn.get_num_threads())"


@pytest.fixture(autouse=True)
def threads_as_before():
    yield
    set_num_threads(None)


def work(seed=0, name="GELU"):
    x = np.random.default_rng(seed).normal(size=200_000)
    return x, get_act(name).forward(x)


# How many

@needs_threads
@pytest.mark.parametrize("n", [1, 2, 3, np.int64(4)])
def test_set_and_get(n):
    set_num_threads(n)
    assert get_num_threads() == n
    assert type(get_num_threads()) is int
    assert work()[1].size == 200_000


def test_none_goes_back():
    set_num_threads(None)
    before = get_num_threads()
    set_num_threads(1)
    set_num_threads(None)
    assert get_num_threads() == before >= 1


@pytest.mark.parametrize(("n", "error"), [
    (0, ValueError), (-1, ValueError), (10**30, ValueError), (10**6, ValueError), (1.0, TypeError),
    ("2", TypeError),
    (True, TypeError), (np.ones(2), TypeError), ([], TypeError)])
def test_impossible_numbers_of_threads(n, error):
    before = get_num_threads()
    with pytest.raises(error, match="number of threads|integer|index|arrays"):
        set_num_threads(n)
    assert get_num_threads() == before


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@needs_threads
@pytest.mark.parametrize(("fastnn_threads", "omp_threads", "wanted"), [
    ("3", None, 3), ("3", "2", 3), (None, "2", 2), ("1", "4", 1), ("", "2", 2), (None, "3,1", 3), (None, None, CORES)])
def test_environment(fastnn_threads, omp_threads, wanted):
    done = python(PRINT_THREADS, FASTNN_NUM_THREADS=fastnn_threads, OMP_NUM_THREADS=omp_threads)
    assert (done.stdout.strip(), done.stderr) == (str(wanted), "")


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "99999"])
def test_impossible_environment(value):
    done = python(PRINT_THREADS, FASTNN_NUM_THREADS=value)
    assert done.returncode == 1
    assert "ImportError: FASTNN_NUM_THREADS must be" in done.stderr and repr(value) in done.stderr


@pytest.mark.parametrize(("omp_threads", "wanted"), [
    ("5", 5), ("5,2", 5), (" 6 , 2", 6), ("007", 7), ("4096", 4096), ("4097", 4096), ("9"*5000, 4096),
    (None, CORES), ("", CORES), ("0", CORES), ("-1", CORES), ("two", CORES), ("1.5", CORES), (",3", CORES)])
def test_number_where_openmp_is_not_asked(omp_threads, wanted, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if omp_threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", omp_threads)
    assert threads._without_openmp() == wanted


@needs_threads
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_only_the_cores_that_this_process_may_use():
    done = python("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + PRINT_THREADS,
                  FASTNN_NUM_THREADS=None, OMP_NUM_THREADS=None)
    assert done.stdout.strip() == "1"


@needs_openmp
def test_threadpoolctl_sees_and_limits():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    x, wanted = work()
    assert any(pool["user_api"] == "openmp" for pool in threadpoolctl.threadpool_info())
    for explicit in (None, 2):
        set_num_threads(explicit)
        before = get_num_threads()
        with threadpoolctl.threadpool_limits(1):
            assert get_num_threads() == 1
            assert_same_bits(get_act("GELU").forward(x), wanted)
        assert get_num_threads() == before


BIG = {2: (600, 1200), 4: (1200, 2000), 8: (900, 1500)}         # by itemsize: enough for several threads, and recycled


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("arrange", [
    lambda x: x.T, lambda x: x[::-1, ::-1], lambda x: x[:, ::2], lambda x: x[::2].T,
    lambda x: x.astype(x.dtype.newbyteorder()),
    lambda x: x.reshape(3, x.shape[0]//3, -1)[:2], lambda x: np.broadcast_to(x[:1], x.shape),
    lambda x: x.reshape(-1)[1:].view(np.uint8)[1:-x.itemsize + 1].view(x.dtype)],
    ids=["transposed", "reversed", "gaps", "gaps transposed", "byte-swapped", "short axis", "broadcast", "unaligned"])
def test_same_bits_for_any_layout_and_number_of_threads(arrange, dtype):
    base = np.random.default_rng(5).normal(size=BIG[np.dtype(dtype).itemsize]).astype(dtype)
    x, act = arrange(base), get_act("Swish")
    grad = np.asarray(x[::-1], order="C")
    flat = act.forward(np.ascontiguousarray(x, dtype)), act.backward(np.ascontiguousarray(x, dtype), grad=grad)
    for threads in (1, 3):
        set_num_threads(threads)
        out = np.zeros((*x.shape, 2), dtype)[..., 0]
        assert_same_bits(act.forward(x), flat[0])
        assert_same_bits(act.backward(x, grad=grad), flat[1])
        pair = act.value_and_grad(x, out=(out, np.empty_like(x, dtype)))
        assert_same_bits(pair[0], flat[0])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (1, 0), (0, 2), (-3, 1), (700, 0)])
def test_overlaps_of_large_layouts(dx, dy, threads):
    """Strided operands that share memory in part, in place, or not at all."""
    set_num_threads(threads)
    buffer = np.random.default_rng(6).normal(size=(2500, 6000)).astype(np.float32)
    x = buffer[3:1503, 0:4000:2]
    out = buffer[3 + dx:1503 + dx, dy:4000 + dy:2]
    act = get_act("tanh")
    wanted = act.forward(x.copy())
    act.forward(x, out=out)
    assert_same_bits(out.copy(), wanted)


def test_transposed_over_itself():
    x = np.random.default_rng(7).normal(size=(1500, 1500)).astype(np.float32)
    for threads in (1, 2):
        set_num_threads(threads)
        y = x.copy()
        wanted = get_act("tanh").forward(np.ascontiguousarray(x.T))
        get_act("tanh").forward(y.T, out=y)
        assert_same_bits(y, wanted)


def test_a_large_result_that_lies_over_itself():
    out = np.lib.stride_tricks.as_strided(np.ones(5000, np.float32), (1500, 1500), (4, 4))
    x = np.zeros((1500, 1500), np.float32)
    set_num_threads(2)
    assert get_act("step").forward(x, out=out) is out
    assert not out.any()


# At once

def test_several_python_threads_at_once():
    names = ["GELU", "Mish", "softmax", "tanh"]*2
    expected = [work(i, name) for i, name in enumerate(names)]
    wrong = []

    def repeat(name, x, wanted):
        act = get_act(name)
        for _ in range(20):
            if act.forward(x).tobytes() != wanted.tobytes():
                wrong.append(name)

    threads = [threading.Thread(target=repeat, args=(name, *pair)) for name, pair in zip(names, expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_one_activation_in_several_python_threads():
    act, x = get_act("Swish"), np.linspace(-5, 5, 60_000)
    wanted, wrong = act.forward(x), []

    def repeat():
        for _ in range(30):
            if act.forward(x).tobytes() != wanted.tobytes():
                wrong.append(1)

    threads = [threading.Thread(target=repeat) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not wrong


def test_everything_at_once():
    """A moment of tests/stress_threads.py, which says what is done there."""
    done = python("import sys, stress_threads\nsys.exit(stress_threads.main())", "--seconds", 3)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["tanhExp", "softmax"])
def test_the_interpreter_runs_on_meanwhile(name):
    """A thread that waits for the interpreter, which nothing takes from us by force,
    gets it in a long call."""
    set_num_threads(1)
    x, act, inside, seen = np.zeros((2000, 2000)), get_act(name), [False], []

    def look(gate):
        gate.wait()
        seen.append(inside[0])

    before = sys.getswitchinterval()
    end = time.monotonic() + HANG
    while time.monotonic() < end:                   # a busy machine may not wake the thread in time
        gate = threading.Event()
        thread = threading.Thread(target=look, args=(gate,))
        thread.start()
        try:
            sys.setswitchinterval(1000)
            inside[0] = True
            gate.set()
            act.forward(x)
            inside[0] = False
        finally:
            sys.setswitchinterval(before)
        thread.join()
        if seen[-1]:
            return
    pytest.fail("the lock was never let go")


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_after_parallel_work():
    set_num_threads(2)
    x, wanted = work()
    child = os.fork()
    if child == 0:
        try:
            right = all(get_act("GELU").forward(x).tobytes() == wanted.tobytes() for _ in range(3))
            set_num_threads(4)
            os._exit(0 if right and work()[1].tobytes() == wanted.tobytes() else 3)
        finally:
            os._exit(4)
    assert exit_status(child) == 0
    assert_same_bits(work()[1], wanted)


@needs_fork
def test_multiprocessing_by_fork():
    done = python("""
import multiprocessing, warnings
import numpy as np, fastnn
warnings.simplefilter("ignore")
x = np.linspace(-3, 3, 100_000)
def total(seed):
    return float(fastnn.get_act("tanh").forward(x + seed).sum())
if __name__ == "__main__":
    wanted = [total(seed) for seed in range(6)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(total, range(6)) == wanted
    print("right")
""")
    assert done.stdout.strip() == "right", done.stderr


# What an import brings along

@pytest.mark.parametrize("module", ["fastnn", "fastnn.nn", "fastnn.dlfs"])
def test_import_is_light(module):
    done = python(f"import sys, {module}\n"
                  "print(*sorted({name.partition('.')[0] for name in sys.modules} "
                  "& {'numba', 'matplotlib', 'rich', 'ml_dtypes', 'scipy', 'threadpoolctl', 'Cython'}))")
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("", "", 0)


SUBNORMAL = "import numpy as np; tiny = float.fromhex('0x1p-1074'); from_numpy = np.finfo(np.float64).tiny\n"


def test_subnormals_survive():
    """Neither the import nor a call, on whatever thread, switches them off."""
    done = python(SUBNORMAL + """
def kept():
    a = np.full(100, 1e-310)
    return tiny*1.0 == tiny > 0 and (a*0.5 > 0).all() and float(np.float32(1e-40)*np.float32(0.5)) > 0
assert kept()
import fastnn
assert kept()
fastnn.set_num_threads(2)
for name in ("ELU", "GELU", "softmax"):
    fastnn.get_act(name).forward(np.linspace(-800, 5, 100_000))
    assert kept()
opt = fastnn.get_opt("Adam")
opt.update(np.full(100_000, 1e-300), np.zeros(3))
assert kept()
y = fastnn.get_act("ELU").forward(np.full(100_000, -1e-310))
assert (y == -1e-310).all()
print("kept")
""")
    assert done.stdout.strip() == "kept", done.stderr


UPWARD = {"x86_64": 0x800, "AMD64": 0x800, "aarch64": 0x400000}


@pytest.mark.parametrize("n", [10, 200_000])
def test_rounding_mode_neither_matters_nor_changes(n):
    try:
        libm = ctypes.CDLL("libm.so.6")
        upward = UPWARD[os.uname().machine]
    except (OSError, KeyError, AttributeError):
        pytest.skip("no way to set it here")
    x = np.random.default_rng(0).normal(size=n)
    calls = [get_act("Mish").forward, get_act("GELU").d2y, get_act("softmax").forward,
             get_act("ELU").value_and_grad, lambda x: fastnn.get_err("Cross").forward(x, x),
             lambda x: fastnn.get_opt("Momentum").update(x)]
    wanted = [call(x) for call in calls]
    before = libm.fegetround()
    for call, value in zip(calls, wanted):
        try:
            libm.fesetround(upward)
            got = call(x)
            after = libm.fegetround()
        finally:
            libm.fesetround(before)
        assert after == upward
        assert np.asarray(got).tobytes() == np.asarray(value).tobytes()


# Instruction-set levels

LEVELS = levels.usable()
CORE = Path(__file__).parents[1]/"fastnn"/"core"


@pytest.mark.skipif(not CORE.is_dir(), reason="no sources beside the tests")
def test_every_level_is_compiled_from_one_source(tmp_path):
    """Also those that this processor cannot run."""
    sys.path.insert(0, str(CORE.parents[1] / "tools"))
    try:
        import translation                  # what setup.py writes them with
    finally:
        del sys.path[0]
    translation.write(tmp_path, levels.LEVELS.values())
    assert {path.stem for path in tmp_path.glob("*.pyx")} == {f"_{kind}" for kind in translation.KINDS}
    wanted = {f"_{kind}_{suffix}": kind for kind in translation.KINDS
              for suffix in (levels.RULES if kind == "rules" else levels.LEVELS).values()}
    assert {path.stem for path in tmp_path.glob("*.c")} == wanted.keys()
    for name, kind in wanted.items():
        assert (tmp_path / f"{name}.c").read_text().split("\n", 1)[1] == (
            f'#define PyInit__{kind} PyInit_{name}\n#include "_{kind}.c"\n')


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_as_exact(level, tmp_path):
    path = tmp_path/"results.npz"
    done = python("import sys, numpy as np, fastnn.core\nfrom helpers import *\n"
                  "assert fastnn.core.isa() == sys.argv[2]\n"
                  "np.savez(sys.argv[1], *[y for case in CASES for dtype in FLOATS"
                  " for y in all_orders(activation(*case), samples(dtype))])", path, level, FASTNN_ISA=level)
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(path) as results:
        results = iter([results[f"arr_{i}"] for i in range(len(results.files))])
    failures = []
    for name, parameters in CASES:
        for dtype in FLOATS:
            for order in range(3):
                try:
                    check(name, parameters, order, samples(dtype), next(results),
                          exact_values(name, parameters, order, dtype), dtype)
                except AssertionError as error:
                    failures.append((name, parameters, order, dtype.__name__, str(error).splitlines()[0]))
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_runs_everything(level):
    done = python("import numpy as np, fastnn\n"
                  "x = np.random.default_rng(0).uniform(0.1, 0.9, (300, 100))\n"
                  "for name in ('softmax', 'softmin', 'log-softmax'):\n"
                  "    act = fastnn.get_act(name)\n"
                  "    act.value_and_grad(x), act.d2y(x), act.backward(x, grad=x)\n"
                  "for name in fastnn.losses():\n"
                  "    err = fastnn.get_err(name)\n"
                  "    err.forward(*[x]*len(err.inputs)), err.backward()\n"
                  "for name in fastnn.optimizers():\n"
                  "    if name != 'NAG':\n"
                  "        fastnn.get_opt(name).update({'w': x}, {'w': 1 - x})\n"
                  "assert np.isfinite(x).all()", FASTNN_ISA=level)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("level", ["x86-64-v9", "avx2", "X86-64-V3", "no"])
def test_unknown_level(level):
    done = python("import fastnn", FASTNN_ISA=level)
    assert done.returncode == 1
    assert f"ImportError: FASTNN_ISA={level}" in done.stderr and LEVELS[0] in done.stderr


def test_best_level_is_the_default():
    done = python("import fastnn.core; print(fastnn.core.isa())", FASTNN_ISA=None)
    assert done.stdout.strip() == LEVELS[0]
    assert python("import fastnn.core; print(fastnn.core.isa())", FASTNN_ISA="").stdout == done.stdout
