"""Two threads against one, alternating in one process: print the time of one thread and how much faster two are.

    python asv_bench/threads.py [--size N ...] [--name ACTIVATION ...] [--dtype D] [--threads T] [--rounds R]

Results are written to `out`. "at once": calls one after another, so that helper threads are awake. "apart": 2 ms between
two calls, in which they have fallen asleep. "after a rest": 30 calls one after another, behind 35 ms of sleep. "with
work": the same with 60 us of other work behind each call, which is not counted. Each figure is the least of R rounds, of
the last two also the middle one: a helper that is woken on a processor in use comes late.
"""
import argparse
from statistics import median
from time import perf_counter, sleep

import numpy as np

import fastnn


def at_once(call, seconds=0.002):
    """The time of a call among others of its kind."""
    start = perf_counter()
    call()
    calls = max(1, int(seconds / (perf_counter() - start)))
    start = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - start) / calls


def apart(call, calls=5):
    """The least time of a call that follows a pause."""
    least = float("inf")
    for _ in range(calls):
        sleep(0.002)
        start = perf_counter()
        call()
        least = min(least, perf_counter() - start)
    return least


def after_a_rest(call, calls=30, work=0.0):
    """The mean time of calls that follow each other, with `work` seconds of other work behind each, after a pause."""
    sleep(0.035)
    total = 0.0
    for _ in range(calls):
        start = perf_counter()
        call()
        end = perf_counter()
        total += end - start
        while perf_counter() < end + work:
            pass
    return total / calls


def with_work(call):
    return after_a_rest(call, work=60e-6)


def compare(act, x, threads, rounds):
    """{way: (seconds on one thread, seconds on several)} for each round"""
    out = np.empty_like(x)
    times = {way: ([], []) for way in (at_once, apart, after_a_rest, with_work)}
    for _ in range(rounds):
        for which, number in enumerate((1, threads)):
            fastnn.set_num_threads(number)
            for way in times:
                times[way][which].append(way(lambda: act.forward(x, out)))
    return times


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+",
                        default=[1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 10_000_000])
    parser.add_argument("--name", nargs="+", default=["ReLU", "sigmoid", "Mish"])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}), {options.dtype}: us on 1 thread, how many times faster")
    print(f"{'':22s}{'at once':>17s}{'apart':>17s}{'after a rest':>17s}{'(middle)':>9s}{'with work':>17s}{'(middle)':>9s}")
    for name in options.name:
        for size in options.size:
            x = (2 * np.random.default_rng(0).standard_normal(size, dtype=np.float32)).astype(options.dtype)
            line = f"{name + f' {size:,}':22s}"
            for way, (one, several) in compare(fastnn.get_act(name), x, options.threads, options.rounds).items():
                line += f"{min(one) * 1e6:10.1f}{min(one) / min(several):7.2f}"
                if way in (after_a_rest, with_work):
                    line += f"{median(one) / median(several):9.2f}"
            print(line, flush=True)
