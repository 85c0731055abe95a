"""A step with state in bfloat16 and int8 against one with float32 state, in one process, alternating: the least times.

    python asv_bench/state_speed.py [--size N ...] [--rounds R] [--optimizer NAME ...]

Also a step whose state has just decayed through the smallest normal numbers, against a normal one.
"""
import argparse
from time import perf_counter

import numpy as np

import fastnn

STATE_DTYPES = ("float32", "bfloat16", "int8")


def least(calls, rounds, repeat):
    """The least time of each call, in seconds; the calls take turns."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for key, call in calls.items():
            call()
            start = perf_counter()
            for _ in range(repeat):
                call()
            found[key] = min(found[key], (perf_counter() - start) / repeat)
    return found


def stepper(name, state_dtype, size, gradient):
    opt, params = fastnn.get_opt(name, state_dtype=state_dtype), {"w": np.zeros(size, np.float32)}
    return opt, lambda: opt.update(params, {"w": gradient})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[16384, 10_000_000])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--optimizer", nargs="+", default=["Adam", "Momentum"])
    options = parser.parse_args()
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}), {fastnn.get_num_threads()} threads, ns a parameter")
    for size in options.size:
        repeat = max(1, 2_000_000 // size)
        gradient = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
        for name in options.optimizer:
            steps = {state_dtype: stepper(name, state_dtype, size, gradient)[1] for state_dtype in STATE_DTYPES}
            opt, decayed = stepper(name, "float32", size, np.zeros(size, np.float32))
            decayed()
            slots = opt.state["w"].values()

            def decay():
                for slot in slots:
                    slot.fill(1.3e-38)          # the next step takes it below the smallest normal number
                decayed()

            decay()
            times = least(steps, options.rounds, repeat)
            for state_dtype, seconds in times.items():
                print(f"{name:10s} {size:11,} {state_dtype:9s} {1e9 * seconds / size:7.3f}"
                      f"   speed {times['float32'] / seconds:.2f}", flush=True)
            seconds = least({"decayed": decayed}, options.rounds, repeat)["decayed"]
            print(f"{name:10s} {size:11,} decayed   {1e9 * seconds / size:7.3f}"
                  f"   time {seconds / times['float32']:.2f}", flush=True)
