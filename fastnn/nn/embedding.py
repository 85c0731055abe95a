"""A table of vectors, indexed by integers."""
import numpy as np

from fastnn.core.arrays import as_array
from fastnn.core.sparse import Rows
from .arguments import parameter
from .layers import Layer


class Embedding(Layer):
    """y = W[x] for integers x of any shape: a row of W, which is (words, features), for each.

    `backward` leaves `dW`, a `fastnn.Rows` with the rows that were used: an optimizer's step then costs as many rows,
    not the table. Words that occur twice are summed in the step. It returns None, for integers have no gradient; the
    gradient of y is to stay as it is until the step.
    Raises TypeError for x that are no integers and a W that is no array of floating-point numbers, ValueError for x outside
    0 to words - 1 and a W that is no matrix.
    """

    learned = ("W",)

    def __init__(self, W: np.ndarray):
        self.W = parameter("W", W, ("words", "features"))
        if self.W.dtype.kind != "f" and self.W.dtype.name != "bfloat16":
            raise TypeError(f"W must hold floating-point numbers, not {self.W.dtype}")
        self.dW = None

    def forward(self, x, train_flg=True, out=None):
        x = as_array(x, "x")
        if x.dtype.kind not in "iu":
            raise TypeError(f"an embedding is indexed by integers, not by {x.dtype}")
        words = len(self.W)
        if x.size and not (0 <= x.min() and x.max() < words):
            raise ValueError(f"x must lie in 0..{words - 1}, found {x.min()}..{x.max()}")
        if train_flg:
            self._kept = x
        # the numbers are checked above; with `out` numpy's other modes would copy it first
        return np.take(self.W, x, axis=0, out=out, mode="clip")

    def backward(self, dout):
        x = self._recall()
        self.dW = Rows(x, dout)
