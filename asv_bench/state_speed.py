"""A step with state in bfloat16 and int8 against one with float32 state, in one process, alternating: the least times.

    python asv_bench/state_speed.py [--size N ...] [--rounds R] [--optimizer NAME ...]

Also a step with float32 state that decays below the smallest normal number in this very step (timed one by one).
"""
import argparse
from time import perf_counter

import numpy as np

import fastnn

STATE_DTYPES = ("float32", "bfloat16", "int8")


def least(calls, rounds, repeat):
    """The least time of each call, in seconds; they take turns. A call that needs preparing is timed alone."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for key, (prepare, call) in calls.items():
            call()
            for _ in range(repeat if prepare else 1):
                if prepare:
                    prepare()
                times = 1 if prepare else repeat
                start = perf_counter()
                for _ in range(times):
                    call()
                found[key] = min(found[key], (perf_counter() - start) / times)
    return found


def stepper(name, state_dtype, size, gradient):
    """(optimizer, a call that takes a step)."""
    opt, params, grads = fastnn.get_opt(name, state_dtype=state_dtype), {"w": np.zeros(size, np.float32)}, {"w": gradient}
    return opt, lambda: opt.update(params, grads)


def decaying(name, size):
    """(what takes the state to where it decays below the smallest normal number, a call that takes a step)."""
    opt, step = stepper(name, "float32", size, np.zeros(size, np.float32))
    step()

    def prepare():
        for slot in opt.state["w"].values():
            slot.fill(1.1754944e-38)
    return prepare, step


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
            steps = {state_dtype: (None, stepper(name, state_dtype, size, gradient)[1]) for state_dtype in STATE_DTYPES}
            times = least({**steps, "decaying": decaying(name, size)}, options.rounds, repeat)
            for what, seconds in times.items():
                print(f"{name:10s} {size:11,} {what:9s} {1e9 * seconds / size:7.3f}"
                      f"   speed {times['float32'] / seconds:.2f}", flush=True)
