"""Processes that fork, pools of processes, and threads of others: nothing hangs, and nobody has too many threads."""
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastnn import get_act, get_num_threads, set_num_threads, trim_memory
from fastnn.core import openmp
from helpers import HANG, environment, exit_status, python
from test_threads import CORE, needs_fork, needs_openmp, needs_threads, threads_as_before, work  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc here")


def forked(run):
    """What a child process exits with: 0 where `run` is true, else 3, or 4 if it raises."""
    child = os.fork()
    if child == 0:
        status = 4
        try:
            status = 0 if run() else 3
        finally:
            os._exit(status)
    return lambda: exit_status(child)


def threads_here():
    return len(os.listdir("/proc/self/task"))


# os.fork

@needs_fork
@needs_threads
@needs_proc
def test_a_child_works_alone_until_it_asks_for_threads():
    """So does its own child, and so on; the parent keeps its threads."""
    set_num_threads(2)
    x, wanted = work()

    def right():
        return get_act("GELU").forward(x).tobytes() == wanted.tobytes()

    def has(threads):
        """A helper begins when a call has taken long enough, which may be one of the next."""
        for _ in range(1 if threads == 1 else 10_000):
            if get_num_threads() != threads or not right():
                return False
            if threads_here() == threads:
                return True
        return False

    def grandchild():
        return has(1)

    def child():
        alone = has(1)
        set_num_threads(2)
        return alone and has(2) and forked(grandchild)() == 0 and has(2)

    assert forked(child)() == 0
    assert get_num_threads() == 2 and right()


@needs_fork
@needs_threads
def test_none_is_asking_for_threads_too():
    before = get_num_threads()

    def child():
        alone = get_num_threads() == 1
        set_num_threads(None)
        return alone and get_num_threads() == before

    set_num_threads(None)
    assert forked(child)() == 0


@needs_fork
def test_forks_in_the_middle_of_calls_of_other_threads():
    """The child's memory for large results is in order, too."""
    set_num_threads(2)
    x = np.random.default_rng(1).normal(size=700_000)           # 5.6 MB: recycled
    act, stop, wrong = get_act("tanh"), threading.Event(), []
    wanted = act.forward(x)

    def right():
        return (act.forward(x) == wanted).all()

    def call():
        while not stop.is_set():
            if not right():
                wrong.append(1)

    def child():
        first = right()
        set_num_threads(2)
        return first and all(right() for _ in range(3)) and trim_memory() > 0

    others = [threading.Thread(target=call) for _ in range(2)]
    for thread in others:
        thread.start()
    try:
        assert [forked(child)() for _ in range(6)] == [0]*6
    finally:
        stop.set()
        for thread in others:
            thread.join(HANG)
    assert not wrong and right()


@needs_fork
def test_a_fork_from_a_thread():
    """... whose child's only thread is then the main one, and hears signals."""
    set_num_threads(2)
    x, wanted = work()
    statuses = []

    def child():
        return get_act("GELU").forward(x).tobytes() == wanted.tobytes() and get_num_threads() == 1

    thread = threading.Thread(target=lambda: statuses.append(forked(child)()))
    thread.start()
    assert get_act("GELU").forward(x).tobytes() == wanted.tobytes()
    thread.join(HANG)
    assert statuses == [0]


@needs_fork
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="arrays that never end are Linux's")
def test_signals_in_the_child_of_a_thread():
    done = python("""
import os, signal, threading, fastnn
from endless import endless
x = endless(1 << 36)
def handler(*_):
    raise KeyboardInterrupt
def child():
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        fastnn.get_act("tanh").forward(x, out=x)
    except KeyboardInterrupt:
        os._exit(5)
def fork():
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(6)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
thread = threading.Thread(target=fork)
thread.start()
thread.join()
""")
    assert done.stdout == "5\n", done


# Pools of processes

WORK = """
import sys, warnings
import numpy as np, fastnn
warnings.simplefilter("ignore")         # newer Pythons warn of forks beside threads
x = np.linspace(-3, 3, 300_000)
square = np.random.default_rng(0).normal(size=(300, 300))
def task(seed):
    "fastnn and NumPy's BLAS in turn; the number of threads."
    y = fastnn.get_act("tanh").forward(x + seed)
    return float(y.sum()), float(np.abs(square @ square).sum()), fastnn.get_num_threads()
def beside(run, count=6):
    "run, between parallel work of this process's own."
    fastnn.set_num_threads(2)
    wanted = [task(seed)[:2] for seed in range(count)]
    got = run(range(count))
    assert [one[:1] for one in got] == [one[:1] for one in wanted]
    assert np.allclose([one[1] for one in got], [one[1] for one in wanted])
    assert [task(seed)[:1] for seed in range(count)] == [one[:1] for one in wanted]
    print("right, with", *sorted({one[2] for one in got}))
"""


@pytest.fixture
def script(tmp_path):
    """Run code as a file, which the processes that it starts can import; what it printed."""
    def run(code, **variables):
        path = tmp_path/"script.py"
        path.write_text(WORK + "if __name__ == '__main__':\n" + "".join(f"    {line}\n" for line in code.splitlines()))
        done = subprocess.run([sys.executable, path], env=environment(**variables), capture_output=True, text=True,
                              timeout=HANG)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
    return run


METHODS = ["fork", "forkserver", "spawn"] if hasattr(os, "fork") else ["spawn"]


def expected(method):
    return "right, with 1" if method == "fork" else "right, with 3"


@needs_threads
@pytest.mark.parametrize("method", METHODS)
def test_multiprocessing(script, method):
    """A process that begins anew has its threads by the environment."""
    assert script(f"""\
import multiprocessing
task(0)
with multiprocessing.get_context({method!r}).Pool(2) as pool:
    beside(lambda seeds: pool.map(task, seeds))
beside(lambda seeds: [task(seed) for seed in seeds])""", FASTNN_NUM_THREADS="3").splitlines() == [
        expected(method), "right, with 2"]


@needs_threads
@pytest.mark.parametrize("method", METHODS[:1] + METHODS[-1:])
def test_concurrent_futures(script, method):
    assert script(f"""\
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
task(0)
with ProcessPoolExecutor(2, multiprocessing.get_context({method!r})) as pool:
    beside(lambda seeds: list(pool.map(task, seeds)))""", FASTNN_NUM_THREADS="3") == expected(method)


@needs_threads
@pytest.mark.parametrize(("backend", "threads"), [
    ("loky", "max(1, joblib.cpu_count()//2)"),              # tells its processes to share the cores
    ("multiprocessing", "1" if "fork" in METHODS else "fastnn.get_num_threads()"), ("threading", "2")])
def test_joblib(script, backend, threads):
    pytest.importorskip("joblib")
    said, number = script(f"""\
import joblib
task(0)
beside(lambda seeds: joblib.Parallel(2, backend={backend!r})(joblib.delayed(task)(seed) for seed in seeds))
print({threads})""", FASTNN_NUM_THREADS=None, OMP_NUM_THREADS=None).splitlines()
    assert said == f"right, with {number}"


@needs_fork
def test_a_data_loader_of_pytorch(script):
    pytest.importorskip("torch")
    assert script("""\
import torch
class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 6
    def __getitem__(self, i):
        return torch.tensor(task(i), dtype=torch.float64)
torch.ones(300, 300) @ torch.ones(300, 300)
def load(seeds):
    loader = torch.utils.data.DataLoader(Numbers(), batch_size=2, num_workers=2, multiprocessing_context="fork")
    return [(float(a), float(b), int(c)) for batch in loader for a, b, c in batch]
beside(load)
beside(load)""").splitlines() == ["right, with 1"]*2


# Threads of others

def c_compiler():
    return shutil.which("gcc") or shutil.which("cc")


def compiled(source, path, *flags):
    """Compile C; skip where that cannot be done."""
    if not c_compiler() or not CORE.is_dir():
        pytest.skip("no compiler or no sources here")
    path.with_suffix(".c").write_text(source)
    done = subprocess.run([c_compiler(), "-O1", "-I", str(CORE), *flags, str(path.with_suffix(".c")), "-o", str(path)],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"it does not compile here: {done.stderr[:200]}")
    return path


COUNT = """
import os, threading, time
from pathlib import Path
import numpy as np, fastnn
x = np.linspace(-3, 3, 400_000)
act = fastnn.get_act("Mish")
def threads():
    return len(os.listdir("/proc/self/task"))
before = threads()
def until(wanted):
    "Calls, until there are so many threads more: a call may be too short for all helpers, or have had to wait for one."
    for _ in range(10_000):
        y = act.forward(x)
        if threads() - before == wanted:
            break
    return y
"""


@needs_openmp
@needs_proc
def test_inside_a_parallel_region_of_openmp(tmp_path):
    """Of the same runtime: calls from its threads have no helpers."""
    library = compiled("""
void each(int n, int threads, void (*call)(int))
{
    int i;
    #pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (i = 0; i < n; i++)
        call(i);
}""", tmp_path/"each.so", "-fopenmp", "-shared", "-fPIC")
    done = python(COUNT + """
import ctypes, sys
from fastnn.core import threads as core
fastnn.set_num_threads(4)
each = ctypes.CDLL(sys.argv[1]).each
call_type = ctypes.CFUNCTYPE(None, ctypes.c_int)
results, most = [], []
@call_type
def call(i):
    results.append(act.forward(x))
    most.append(threads())
each(8, 2, call)
inside = max(most) - before
wanted = until(4)
print(inside, threads() - before, all((y == wanted).all() for y in results))
""", library)
    # one thread of OpenMP's; after it three helpers
    assert done.stdout.split() == ["1", "4", "True"], done.stderr


@needs_openmp
@needs_proc
def test_limits_of_threadpoolctl_in_a_thread():
    pytest.importorskip("threadpoolctl")
    done = python(COUNT + """
import threadpoolctl
fastnn.set_num_threads(4)
counts = []
def run():
    for limit in (1, 2, None):
        with threadpoolctl.threadpool_limits(limit, user_api="openmp"):          # not BLAS
            until(fastnn.get_num_threads())
            counts.append((fastnn.get_num_threads(), threads() - before - 1))
thread = threading.Thread(target=run)
thread.start()
thread.join()
print(*counts)
""", OMP_NUM_THREADS="4")
    assert done.stdout.strip() == "(1, 0) (2, 1) (4, 3)", done.stderr


@needs_threads
@needs_proc
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_many_threads_share_one_set_of_helpers(limit):
    done = python(COUNT + f"""
from concurrent.futures import ThreadPoolExecutor
fastnn.set_num_threads({limit})
most = []
def run(seed):
    for _ in range(5):
        y = act.forward(x)
        most.append(threads())
    return y
with ThreadPoolExecutor(8) as pool:
    results = list(pool.map(run, range(8)))
print(max(most) - before <= 8 + {limit} - 1, all((y == results[0]).all() for y in results))
""")
    assert done.stdout.split() == ["True", "True"], done.stderr


@needs_threads
@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="no times of threads here")
def test_helpers_that_are_not_wanted_sleep():
    done = python(COUNT + """
others = os.listdir("/proc/self/task")
def read(file):
    tasks = [task for task in os.listdir("/proc/self/task") if task not in others]
    return {task: Path(f"/proc/self/task/{task}/{file}").read_text() for task in tasks}
def times():
    "ns that each helper has run."
    return {task: text.split()[0] for task, text in read("schedstat").items()}
fastnn.set_num_threads(3)
until(2)
fastnn.set_num_threads(1)
while any(text.rpartition(")")[2].split()[0] != "S" for text in read("stat").values()):
    time.sleep(0.05)
asleep = times()
for _ in range(50):
    act.forward(x)
print(len(asleep), times() == asleep)
""")
    assert done.stdout.split() == ["2", "True"], done.stderr


@needs_fork
def test_a_fork_while_memory_is_handed_out(tmp_path):
    """Without the interpreter's lock a thread may be at the list of idle blocks: the child has an empty one."""
    program = compiled("""
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "recycling.h"
int main(void)
{
    fastnn_block a, b;
    int status;
    fastnn_memory_prepare();
    fastnn_memory_give(fastnn_memory_get(8 << 20));
    fastnn_idle_take();
    if (fork() == 0) {
        a = fastnn_memory_get(8 << 20);
        b = fastnn_memory_get(8 << 20);
        *(char *)a.memory = *(char *)b.memory = 1;
        fastnn_memory_give(a);
        if (fastnn_memory_get(8 << 20).memory != a.memory)
            _exit(3);
        fastnn_memory_give(a);
        _exit(fastnn_memory_trim() == 8 << 20 ? 0 : 4);
    }
    fastnn_idle_leave();
    wait(&status);
    printf("%d %zu\\n", WEXITSTATUS(status), fastnn_memory_trim() >> 20);
    return 0;
}""", tmp_path/"forks", "-pthread")
    assert subprocess.run([program], capture_output=True, text=True, timeout=HANG).stdout == "0 8\n"
