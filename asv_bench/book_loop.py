"""The optimizers of "Deep Learning from Scratch" in a training loop in plain NumPy, beside fastnn.dlfs.

    python asv_bench/book_loop.py [RULE ...] [--dtype float64] [--steps N] [--threads N] [--mnist FOLDER]

Two networks of 784-100x4-10 take turns at each batch of 128 images: one is updated by NumPy's lines, one by fastnn. Only
the update is timed, where it stands: the gradients have just been written by BLAS, whose threads may still spin, and the
state was last seen a step ago. Ratios are of the medians, and of the first deciles, of all steps but the first ten; below
1 fastnn is faster. Without MNIST's files the images are random numbers. With `--steps 300` it takes ten seconds a rule.
"""
import argparse
from time import perf_counter

import numpy as np

import fastnn
from fastnn import dlfs

LAYERS = 784, 100, 100, 100, 100, 10
BATCH, EPS = 128, 1e-7
WARM = 10


class Network:
    """Affine layers with ReLU between them, softmax with cross entropy behind; parameters by name."""

    def __init__(self, rng, dtype):
        self.params = {}
        for i, (n, m) in enumerate(zip(LAYERS, LAYERS[1:]), 1):
            self.params[f"W{i}"] = (np.sqrt(2 / n) * rng.standard_normal((n, m))).astype(dtype)
            self.params[f"b{i}"] = np.zeros(m, dtype)

    def gradient(self, x, labels):
        """The gradients of the mean loss over a batch, new arrays."""
        inputs, last = [x], len(LAYERS) - 1
        for i in range(1, last + 1):
            x = x @ self.params[f"W{i}"] + self.params[f"b{i}"]
            if i < last:
                x = np.maximum(x, 0)
                inputs.append(x)
        d = np.exp(x - x.max(axis=1, keepdims=True))
        d /= d.sum(axis=1, keepdims=True)
        d[np.arange(len(d)), labels] -= 1
        d /= len(d)
        grads = {}
        for i in range(last, 0, -1):
            grads[f"W{i}"], grads[f"b{i}"] = inputs[i - 1].T @ d, d.sum(axis=0)
            if i > 1:
                d = (d @ self.params[f"W{i}"].T) * (inputs[i - 1] > 0)
        return grads


# What each rule does to one parameter, in place: NumPy's lines as a reader of the book has them. s: its state.

def sgd(p, g, s, t):
    p -= 0.01 * g


def momentum(p, g, s, t):
    s["v"] = 0.9 * s["v"] - 0.01 * g
    p += s["v"]


def nesterov(p, g, s, t):
    p += 0.81 * s["v"]
    p -= 1.9 * 0.01 * g
    s["v"] *= 0.9
    s["v"] -= 0.01 * g


def adagrad(p, g, s, t):
    s["h"] += g * g
    p -= 0.01 * g / (np.sqrt(s["h"]) + EPS)


def rmsprop(p, g, s, t):
    s["h"] *= 0.99
    s["h"] += (1 - 0.99) * g * g
    p -= 0.01 * g / (np.sqrt(s["h"]) + EPS)


def adam(p, g, s, t):
    rate = 0.001 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    s["m"] += (1 - 0.9) * (g - s["m"])
    s["v"] += (1 - 0.999) * (g**2 - s["v"])
    p -= rate * s["m"] / (np.sqrt(s["v"]) + EPS)


RULES = {"SGD": sgd, "Momentum": momentum, "Nesterov": nesterov, "AdaGrad": adagrad, "RMSprop": rmsprop, "Adam": adam}


class Lines:
    """An optimizer of NumPy's lines, with the method of fastnn's."""

    def __init__(self, name):
        self.rule, self.slots, self.state, self.t = RULES[name], getattr(dlfs, name).slots, {}, 0

    def update(self, params, grads):
        self.t += 1
        for key, p in params.items():
            if key not in self.state:
                self.state[key] = {slot: np.zeros_like(p) for slot in self.slots}
            self.rule(p, grads[key], self.state[key], self.t)


def compare(name, batches, dtype):
    """(seconds of each step of NumPy's, of fastnn's, the largest relative difference of the parameters)."""
    sides = [(opt, Network(np.random.default_rng(1), dtype)) for opt in (Lines(name), getattr(dlfs, name)())]
    times = [[], []]
    for i, (x, labels) in enumerate(batches):
        for side in (0, 1) if i % 2 else (1, 0):
            opt, network = sides[side]
            grads = network.gradient(x, labels)
            start = perf_counter()
            opt.update(network.params, grads)
            times[side].append(perf_counter() - start)
    one, other = (network.params for _, network in sides)
    difference = max(np.max(np.abs(one[key] - other[key])) / np.max(np.abs(one[key])) for key in one)
    return *(np.array(side[WARM:]) for side in times), difference


def images(folder):
    if folder is None:
        rng = np.random.default_rng(0)
        return rng.random((10_000, LAYERS[0])), rng.integers(0, LAYERS[-1], 10_000)
    from fastnn.datasets import load_mnist
    (x, labels), _ = load_mnist(folder)
    return x.reshape(len(x), -1), labels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rules", nargs="*", metavar="RULE", help=f"any of {', '.join(RULES)}; all if left out")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--mnist", metavar="FOLDER", help="with MNIST's four files")
    options = parser.parse_args()
    if unknown := set(options.rules) - RULES.keys():
        parser.error(f"no rule {', '.join(sorted(unknown))}")
    fastnn.set_num_threads(options.threads)
    x, labels = images(options.mnist)
    x, rng = np.asarray(x, options.dtype), np.random.default_rng(2)
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}), {fastnn.get_num_threads()} threads, {options.dtype}")
    for name in options.rules or RULES:
        picked = [rng.integers(0, len(x), BATCH) for _ in range(options.steps + WARM)]
        numpy, own, error = compare(name, ((x[i], labels[i]) for i in picked), options.dtype)
        (numpy_10, numpy_50), (own_10, own_50) = (np.quantile(side, (.1, .5)) * 1e6 for side in (numpy, own))
        print(f"{name:9} NumPy {numpy_50:6.1f} us, fastnn {own_50:6.1f}, ratio {own_50 / numpy_50:.2f}; "
              f"first decile {numpy_10:6.1f}, {own_10:6.1f}, {own_10 / numpy_10:.2f}; difference {error:.0e}", flush=True)
