"""How much of the memory's bandwidth large calls reach, against plain loops of C in the same process.

    python asv_bench/bandwidth.py [--size N] [--name ACTIVATION ...] [--rounds R]
    python asv_bench/bandwidth.py steps [--size N] [--name OPTIMIZER ...] [--rounds R] [--dtype float64]

x86-64, needs a C compiler (`cc`). Activations, float32: each figure is the least of R alternating rounds, the time of a
call as a multiple of that of a copy with streaming stores, which moves the same number of bytes as `forward`. Steps: a
loop reads the gradients, and reads and writes parameters and state, the very arrays that the step runs over; both take
turns. By their least times and by the median of R quotients, beyond 1 the step is slower.
"""
import argparse
import subprocess
from time import perf_counter

import numpy as np
from benchmarks.streaming_copy import compiled, in_place

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


def measure_step(name, size, threads, rounds, dtype):
    """(bytes that are moved, seconds of each round of the loop, of the step)."""
    fastnn.set_num_threads(threads)
    rng = np.random.default_rng(0)
    p, g = (rng.standard_normal(size, dtype) for _ in range(2))
    opt = fastnn.get_opt(name)
    opt.step([p], [g])
    changed = [p, *opt.state[0].values()]
    loop, times = in_place(g, changed, threads), []
    for _ in range(rounds + 1):
        times.append((loop(), timed(lambda: opt.step([p], [g]))))
    return (1 + 2 * len(changed)) * p.nbytes, *np.array(times[1:]).T


def report_steps(options):
    names = options.name or [name for name in fastnn.optimizers() if not hasattr(fastnn.get_opt(name), "rng")]   # noise
    for size in options.size:
        for threads in sorted({1, fastnn.get_num_threads()}):
            for name in names:
                moved, loop, step = measure_step(name, size, threads, options.rounds, options.dtype)
                print(f"{name}, {options.dtype}, {size:,}, {threads} threads; loop {moved / loop.min() / 1e9:.0f} GB/s: "
                      f" step {step.min() / loop.min():.2f}, median {np.median(step / loop):.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["activations", "steps"], default="activations")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of steps")
    parser.add_argument("--size", type=int, nargs="+", default=[10_000_000])
    parser.add_argument("--name", nargs="+", help="default: ReLU, sigmoid, Mish; of steps all that draw no noise")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    try:
        copy = compiled()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"cannot compile streaming_copy.c: {error}") from None
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()})")
    if options.what == "steps":
        report_steps(options)
        raise SystemExit
    print(f"past the cache above {elementwise._stream_above(1 << 62) >> 20} MB")
    elementwise._stream_above(fastnn.core.processor.last_level_cache())
    for size in options.size:
        for threads in sorted({1, fastnn.get_num_threads()}):
            for name in options.name or ["ReLU", "sigmoid", "Mish"]:
                least = measure(name, size, threads, options.rounds, copy)
                floor = least.pop("copy")
                print(f"{name}, {size:,}, {threads} threads; copy {8 * size / floor / 1e9:.0f} GB/s:  "
                      + ", ".join(f"{what} {seconds / floor:.2f}" for what, seconds in least.items()), flush=True)
