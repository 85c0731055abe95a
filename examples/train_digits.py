"""Trains a network on the embedded digits with a schedule, groups, clipping, and a look at its gradients on the way.

    python examples/train_digits.py [iterations]
"""
import sys

from fastnn import get_opt, group, schedules
from fastnn.datasets import load_digits
from fastnn.nn import MultiLayerNet, Trainer

ITERATIONS = 600


def trained(iterations=ITERATIONS, watch=None):
    """The trainer after so many batches of 128; watch is called with each batch's gradients and loss."""
    (x, t), _ = load_digits(dtype="float32")
    network = MultiLayerNet(x.shape[1], [64, 64], 10, use_batchnorm=True, dtype="float32", rng=0)
    rate = schedules.cosine(3e-3, iterations, warmup=iterations // 10)
    optimizer = get_opt("Adam", lr=rate, weight_decay=0.05, clip_global_norm=1.0, groups=[
        group("b[0-9]", "gamma*", "beta*", weight_decay=0)])
    trainer = Trainer(network, optimizer, x, t, rng=1, transform=watch)
    trainer.train(iterations)
    return trainer


def main(iterations):
    largest = []

    def watch(grads, loss):
        largest.append(max((float(abs(g).max()), key) for key, g in grads.items()))

    trainer = trained(iterations, watch)
    _, test = load_digits(dtype="float32")
    print(f"test accuracy {trainer.network.accuracy(*test):.1%}, largest element of a gradient "
          "{:.2g} in {}".format(*max(largest)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ITERATIONS)
