"""Steps of rules that look at whole tensors, beside what they cannot do without: in one process, in turn.

`muon`: a step on one matrix, beside the matrix products in it. `layers`: LAMB and LARS beside Adam, 1e7 elements.
"""
import argparse
from time import perf_counter

import numpy as np

import fastnn

SHAPES = [(100, 100), (784, 100), (784, 256), (1024, 1024)]
RULES = ["Adam", "LAMB", "LARS"]
LARGE = 10_000_000


def step(name, p, g):
    opt, params, grads = fastnn.get_opt(name), {"p": p.copy()}, {"p": g}
    return lambda: opt.update(params, grads)


def products(x, steps=5):
    """The same in number, shape and form as Muon's."""
    tall, short = x.shape[0] > x.shape[1], min(x.shape)
    A, B, y = (np.empty(shape, x.dtype) for shape in ((short, short), (short, short), x.shape))

    def run():
        for _ in range(steps):
            np.matmul(x.T, x, out=A) if tall else np.matmul(x, x.T, out=A)
            np.matmul(A, A.T, out=B)
            np.matmul(x, B, out=y) if tall else np.matmul(B, x, out=y)
    return run


def least(sides, rounds):
    """The least seconds of each side; one call in each turn is not timed."""
    times = dict.fromkeys(sides, np.inf)
    for _ in range(rounds):
        for name, run in sides.items():
            run()
            start = perf_counter()
            run()
            times[name] = min(times[name], perf_counter() - start)
    return times


def muon(rounds):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        p, g = (rng.standard_normal(shape, np.float32) for _ in range(2))
        times = least({"step": step("Muon", p, g), "products": products(g / np.linalg.norm(g))}, rounds)
        print(f"{shape[0]}x{shape[1]}: step {times['step'] * 1e6:.0f} us, products {times['products'] * 1e6:.0f} us, "
              f"{times['step'] / times['products']:.2f}", flush=True)


def layers(rounds):
    rng = np.random.default_rng(0)
    p, g = (rng.standard_normal(LARGE, np.float32) for _ in range(2))
    times = least({name: step(name, p, g / 1000) for name in RULES}, rounds)
    for name, seconds in times.items():
        print(f"{name}: {seconds * 1e3:.2f} ms, {seconds / times['Adam']:.2f} of Adam's")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["muon", "layers"])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    for name, measure in {"muon": muon, "layers": layers}.items():
        if options.what in (None, name):
            measure(options.rounds)
