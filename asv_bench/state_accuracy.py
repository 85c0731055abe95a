"""What smaller optimizer state costs in accuracy: the final test accuracy of a network on MNIST files, by state_dtype.

    python asv_bench/state_accuracy.py FOLDER [--epochs N] [--seeds N] [--optimizer NAME ...]

FOLDER holds four IDX files as fastnn.datasets.load_mnist reads them. The network is 784-100x4-10, float32, batch 128;
each seed gives all state_dtypes the same first weights and the same batches.
"""
import argparse

import numpy as np

import fastnn
from fastnn.datasets import load_mnist
from fastnn.nn import MultiLayerNet, Trainer

STATE_DTYPES = ("float32", "bfloat16", "int8")


def accuracy(data, name, state_dtype, epochs, seed):
    """In percent, on the test images, after the last epoch."""
    (x, t), (x_test, t_test) = data
    net = MultiLayerNet(x.shape[1], [100] * 4, 10, dtype=np.float32, rng=seed)
    Trainer(net, fastnn.get_opt(name, state_dtype=state_dtype), x, t, batch_size=128, rng=seed).train(
        epochs * len(x) // 128)
    return 100 * net.accuracy(x_test, t_test)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--optimizer", nargs="+", default=["Adam", "Momentum"])
    options = parser.parse_args()
    data = load_mnist(options.folder)
    print(f"{len(data[0][0]):,} images to train, {len(data[1][0]):,} to test, {options.epochs} epochs")
    for name in options.optimizer:
        means = {}
        for state_dtype in STATE_DTYPES:
            found = [accuracy(data, name, state_dtype, options.epochs, seed) for seed in range(options.seeds)]
            means[state_dtype] = np.mean(found)
            print(f"{name:10s} {state_dtype:9s} " + " ".join(f"{one:6.2f}" for one in found)
                  + f"   mean {means[state_dtype]:.2f} ({means[state_dtype] - means['float32']:+.2f})", flush=True)
