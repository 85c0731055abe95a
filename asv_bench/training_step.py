"""What a training step of MultiLayerNet takes, as a multiple of its matrix products alone.

    OPENBLAS_NUM_THREADS=1 FASTNN_NUM_THREADS=1 python asv_bench/training_step.py [--rounds N] [--batch ROWS] [--dtype float64]

The products are NumPy's of the forward and the backward pass, into memory that is there, by the same BLAS with the same
threads. Both take turns in one process, a few calls each; the least of all counts on either side.
"""
import argparse
from time import perf_counter

import numpy as np

import fastnn
from fastnn.nn import MultiLayerNet

NETWORKS = {"784-100x4-10": [784, 100, 100, 100, 100, 10], "64-100x4-10": [64, 100, 100, 100, 100, 10]}
KINDS = {"plain": {}, "batch normalization": {"use_batchnorm": True}, "dropout": {"use_dropout": True},
         "both": {"use_batchnorm": True, "use_dropout": True}}
STEPS = 4       # in a row


def step_of(sizes, x, labels, activation="relu", **options):
    first, *hidden, last = sizes
    net, opt = MultiLayerNet(first, hidden, last, activation, dtype=x.dtype, rng=0, **options), fastnn.get_opt("Adam")

    def step():
        _, grads = net.loss_and_gradient(x, labels)
        opt.update(net.params, grads)
    return step


def products_of(sizes, x):
    """The products of a step; the first layer's input needs no gradient."""
    normal = np.random.default_rng(2).standard_normal
    weights = [np.asarray(normal(shape)/10, x.dtype) for shape in zip(sizes, sizes[1:])]
    values = [x, *(np.asarray(normal((len(x), width)), x.dtype) for width in sizes[1:])]
    calls = [(values[i], W, np.empty_like(values[i + 1])) for i, W in enumerate(weights)]
    for i in reversed(range(len(weights))):
        calls.append((values[i].T, values[i + 1], np.empty_like(weights[i])))
        if i:
            calls.append((values[i + 1], weights[i].T, np.empty_like(values[i])))

    def products():
        for left, right, out in calls:
            np.dot(left, right, out)
    return products


def seconds(call):
    """The least of a few calls in a row."""
    least = float("inf")
    for _ in range(STEPS):
        start = perf_counter()
        call()
        least = min(least, perf_counter() - start)
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--network", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    options = parser.parse_args()
    print(f"{options.dtype}, {options.activation}, Adam, batch of {options.batch}, {fastnn.core.isa()}, "
          f"{fastnn.get_num_threads()} threads of fastnn's; least of {options.rounds} times {STEPS} calls")
    for name in options.network:
        sizes = NETWORKS[name]
        x = np.random.default_rng(0).standard_normal((options.batch, sizes[0])).astype(options.dtype)
        labels = np.random.default_rng(1).integers(0, sizes[-1], options.batch)
        calls = {"products": products_of(sizes, x),
                 **{kind: step_of(sizes, x, labels, options.activation, **given) for kind, given in KINDS.items()}}
        least = dict.fromkeys(calls, float("inf"))
        for _ in range(options.rounds):
            for kind, call in calls.items():
                least[kind] = min(least[kind], seconds(call))
        alone = least.pop("products")
        print(f"{name}: products {alone*1e6:.0f} us")
        for kind, found in least.items():
            print(f"  {kind:20} {found*1e6:6.0f} us  {found/alone:.2f} times, {(found - alone)*1e6:.0f} us more")


if __name__ == "__main__":
    main()
