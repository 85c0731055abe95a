"""What a side of the comparison offers, and what all sides are given alike."""
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

__all__ = ["ARGUMENTS", "BATCH", "LOSS", "PADE", "WIDTHS", "Call", "Side", "Task", "gradients_of", "pade"]

ARGUMENTS = {"threshold": (0.5, -0.25)}         # what has no defaults
PADE = ((0.02979246, 0.61837738, 2.32335207, 3.05202660, 1.48548002, 0.25103717),
        (1.14201226, 4.39322834, 0.87154450, 0.34720652))           # the coefficients of PAU
LOSS = 1.0                                      # what rules that read the loss are told, where a library has them

WIDTHS, BATCH = (784, 100, 100, 100, 100, 10), 128      # of the network that is trained


@dataclass(frozen=True)
class Call:
    """What is timed.

    `run` takes nothing; when it returns, the result is there. `around` makes a context that is entered outside
    of the clock.
    """

    run: Callable
    around: Callable = nullcontext


@dataclass(frozen=True)
class Task:
    """One batch for the network of `WIDTHS`: x (rows, features), integer labels (rows,)."""

    x: object
    labels: object


def pade(x):
    """PAU as it is written in any library."""
    (a0, a1, a2, a3, a4, a5), (b1, b2, b3, b4) = PADE
    top = a0 + x * (a1 + x * (a2 + x * (a3 + x * (a4 + x * a5))))
    return top / (1 + abs(x * (b1 + x * (b2 + x * (b3 + x * b4)))))


def gradients_of(row):
    """The names of the arrays that a loss of the catalogue has derivatives in."""
    return getattr(row, "gradients", row.inputs[:1])


class Side:
    """A library. The methods return a `Call`, or None where it has no counterpart.

    Arrays that are handed over are read, never written, and whatever has to be converted is converted here, before
    the clock runs.
    """

    version = ""

    def begin(self, dtype):
        """What follows is in float32 or float64."""

    def forward(self, name, x):
        """The activation of x; the result is allocated."""

    def backward(self, name, x, grad):
        """grad times the derivative at x (softmax & co.: the vector-Jacobian product); the result is allocated."""

    def step(self, name, params, grads):
        """One step of an optimizer over the lists of arrays `params` and `grads`."""

    def loss(self, name, arrays):
        """The mean of a loss over arrays (targets may be labels) and its gradients, which are allocated."""

    def train(self, task):
        """One step of training: forward, loss, backward, Adam."""
