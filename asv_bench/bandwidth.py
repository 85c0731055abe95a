"""How much of the memory's bandwidth large calls reach, against a copy with streaming stores in the same process.

    python asv_bench/bandwidth.py [--size N] [--name ACTIVATION ...] [--rounds R]

float32, x86-64, needs a C compiler (`cc`). Each figure is the least of R alternating rounds: the time of a call as a
multiple of the copy's, which moves the same number of bytes as `forward`.
"""
import argparse
import subprocess
from time import perf_counter

import numpy as np
from benchmarks.streaming_copy import compiled

import fastnn
from fastnn.core import elementwise


def timed(call):
    start = perf_counter()
    call()
    return perf_counter() - start


def unstreamed(call):
    """The time of a call whose results go through the cache."""
    before = elementwise._stream_above(1 << 62)
    try:
        return timed(call)
    finally:
        elementwise._stream_above(before)


def measure(name, size, threads, rounds, copy):
    """{what: least seconds}"""
    fastnn.set_num_threads(threads)
    act = fastnn.get_act(name)
    x = 2 * np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    out = act.forward(x)                        # large results are aligned to cache lines
    kept = [None]

    def keep():
        kept[0] = act.forward(x)

    ways = {
        "copy": lambda: copy(out.ctypes.data, x.ctypes.data, x.nbytes, threads),
        "out=": lambda: timed(lambda: act.forward(x, out)),
        "out=, ordinary stores": lambda: unstreamed(lambda: act.forward(x, out)),
        "result dropped": lambda: timed(lambda: act.forward(x)),
        "result kept": lambda: timed(keep),
    }
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for what, way in ways.items():
            least[what] = min(least[what], way())
    return least


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[10_000_000])
    parser.add_argument("--name", nargs="+", default=["ReLU", "sigmoid", "Mish"])
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    try:
        copy = compiled()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"cannot compile streaming_copy.c: {error}") from None
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}); past the cache above "
          f"{elementwise._stream_above(1 << 62) >> 20} MB")
    elementwise._stream_above(fastnn.core.processor.last_level_cache())
    for size in options.size:
        for threads in sorted({1, fastnn.get_num_threads()}):
            for name in options.name:
                least = measure(name, size, threads, options.rounds, copy)
                floor = least.pop("copy")
                print(f"{name}, {size:,}, {threads} threads; copy {8 * size / floor / 1e9:.0f} GB/s:  "
                      + ", ".join(f"{what} {seconds / floor:.2f}" for what, seconds in least.items()), flush=True)
