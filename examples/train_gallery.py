"""Trains a small network with every entry of gallery.py on the embedded digits, and prints how many it reads right.

    python examples/train_gallery.py [iterations]
"""
import sys

import gallery
from rich.console import Console
from rich.table import Table

from fastnn import get_opt
from fastnn.datasets import load_digits
from fastnn.nn import MultiLayerNet, Trainer

ITERATIONS = 600


def accuracy(activation="ReLU", optimizer="Adam", iterations=ITERATIONS):
    """The share of test images read right after so many batches of 128, by a network with two hidden layers of 64."""
    (x, t), (x_test, t_test) = load_digits(dtype="float32")
    network = MultiLayerNet(x.shape[1], [64, 64], 10, activation=activation, dtype="float32", rng=0)
    trainer = Trainer(network, get_opt(optimizer, lr=1e-3), x, t, rng=1)
    for _ in range(iterations):
        trainer.step()
    return network.accuracy(x_test, t_test)


def main(iterations):
    console = Console()
    table = Table("activation", "optimizer", "test accuracy", title=f"{iterations} iterations on 1,437 digits")
    runs = [(name, "Adam") for name in ("ReLU", *gallery.ACTIVATIONS)] + [("ReLU", name) for name in gallery.OPTIMIZERS]
    for activation, optimizer in runs:
        with console.status(f"{activation}, {optimizer}"):
            table.add_row(activation, optimizer, f"{accuracy(activation, optimizer, iterations):.1%}")
    console.print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ITERATIONS)
