"""What a side of the comparison offers, and what all sides are given alike."""
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from fastnn.cli.catalog import CATALOGUES
from fastnn.learnable import learnable

__all__ = ["ARGUMENTS", "BATCH", "LEARNED", "LOSS", "PADE", "WIDTHS", "Call", "Side", "Task", "beginnings", "forms", "gradients_of",
           "pade"]

ARGUMENTS = {"threshold": (0.5, -0.25)}         # what has no defaults
PADE = ((0.02979246, 0.61837738, 2.32335207, 3.05202660, 1.48548002, 0.25103717),
        (1.14201226, 4.39322834, 0.87154450, 0.34720652))           # the coefficients of PAU
LOSS = 1.0                                      # what rules that read the loss are told, where a library has them

LEARNED = "learned "            # begins the name of a row whose activation's parameters are all learned

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


def forms(sigmoid, expm1, where):
    """Activations whose parameters are learned, as they are written in any library, by the names of their rows."""
    def swish(x, beta):
        return x * sigmoid(beta * x)

    def acon(x, p1, p2, beta):
        return (p1 - p2) * x * sigmoid(beta * (p1 - p2) * x) + p2 * x

    return {LEARNED + name: function for name, function in {
        "ELU": lambda x, alpha: where(x > 0, x, alpha * expm1(x)), "Swish": swish, "quick-GELU": swish,
        "ACON-C": acon}.items()}


def beginnings(name):
    """What the parameters of such a row begin with, by name."""
    row = CATALOGUES["activations"][name.removeprefix(LEARNED)]
    return {parameter: getattr(row, parameter).default for parameter in learnable()[row.name]}


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
