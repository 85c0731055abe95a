"""Two threads against one, alternating in one process: print the time of one thread and how much faster two are.

    python asv_bench/threads.py [--size N ...] [--name ACTIVATION ...] [--threads T] [--rounds R]

float32, results written to `out`. "at once": calls one after another, so that helper threads are awake. "apart": 2 ms
between two calls, in which they have fallen asleep. Each figure is the least of R rounds.
"""
import argparse
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


def compare(act, size, threads, rounds):
    """{way: [seconds on one thread, seconds on several]}"""
    x = 2 * np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    out = np.empty_like(x)
    least = {way: [float("inf")] * 2 for way in (at_once, apart)}
    for _ in range(rounds):
        for which, number in enumerate((1, threads)):
            fastnn.set_num_threads(number)
            for way, times in least.items():
                times[which] = min(times[which], way(lambda: act.forward(x, out)))
    return least


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+",
                        default=[1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 10_000_000])
    parser.add_argument("--name", nargs="+", default=["ReLU", "sigmoid", "Mish"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()})")
    print(f"{'':28s}{'at once, 1 thread':>20s}{'faster':>8s}{'apart, 1 thread':>20s}{'faster':>8s}")
    for name in options.name:
        for size in options.size:
            times = compare(fastnn.get_act(name), size, options.threads, options.rounds)
            print(f"{name + f', {size:,}':28s}" + "".join(
                f"{one * 1e6:17.1f} us{one / several:8.2f}" for one, several in times.values()), flush=True)
