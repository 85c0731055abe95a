"""Maxout: an activation that is a layer with weights."""
from typing import Any

import numpy as np

from .activations import CataloguedActivation
from .core.arrays import as_array
from .generators import as_rng, checked_rng
from .hyperparameters import Choice, Hyperparameter


def _real(value, name):
    array = as_array(value, name)
    if array.dtype.kind not in "fbiu":
        raise TypeError(f"maxout works on real numbers, not on {array.dtype}")
    return array


class Maxout(CataloguedActivation, name="maxout"):
    """y_i = max_j (x w + b)_ij over k linear pieces for each of n outputs.  Goodfellow et al. 2013, arXiv 1302.4389.

    Parameters
    ----------
    n_prev, n, k : int
        Inputs, outputs, pieces for each output.
    wb_width : float
        Weights and biases begin uniform on [0, wb_width), as in article A.
    rng : None, int, Generator or RandomState
        Where they are drawn from.

    Attributes
    ----------
    w, b : ndarray of shape (n_prev, n k) and (n k,)
        float64; replace them by float32 arrays for a float32 layer.
    dw, db : ndarray or None
        Their gradients after `backward`.
    """

    kind = "layer"
    n_prev = Hyperparameter(at_least=1, integer=True)
    n = Hyperparameter(at_least=1, integer=True)
    k = Hyperparameter(at_least=1, integer=True)
    wb_width = Hyperparameter(5e-2, at_least=0)
    rng = Choice(None, checked_rng)
    _attributes = ("w", "b", "dw", "db")

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        rng = as_rng(self.rng)
        self.w = self.wb_width * rng.random((self.n_prev, self.n * self.k))
        self.b = self.wb_width * rng.random(self.n * self.k)
        self.dw = self.db = None
        self._x = self._winner = None

    def forward(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """The largest piece: (n_prev,) -> (n,), or (batch, n_prev) -> (batch, n).

        Raises ValueError for other shapes.
        """
        x = self._input(x)
        z = (x @ self.w + self.b).reshape(*x.shape[:-1], self.n, self.k)
        y = z.max(axis=-1, out=out)
        self._x, self._winner = x.copy(), z.argmax(axis=-1)     # x may change before backward
        return y

    def _input(self, x):
        x = _real(x, "x")
        if x.ndim not in (1, 2) or x.shape[-1] != self.n_prev:
            raise ValueError(f"maxout takes ({self.n_prev},) or (batch, {self.n_prev}), not {x.shape}")
        return x

    __call__ = forward

    def backward(self, grad: Any) -> np.ndarray:
        """The gradient of the input of the last `forward`, from that of its output; keeps `dw` and `db`. What has become
        of that input since does not matter; w is taken as it is.

        Raises ValueError before the first forward, or if grad has not the shape that it returned.
        """
        if self._x is None:
            raise ValueError("maxout: backward needs a forward before it")
        grad = _real(grad, "grad")
        if grad.shape != self._winner.shape:
            raise ValueError(f"grad must have shape {self._winner.shape}, not {grad.shape}")
        dz = np.zeros((*grad.shape, self.k), grad.dtype)
        np.put_along_axis(dz, self._winner[..., None], grad[..., None], axis=-1)
        dz = dz.reshape(*grad.shape[:-1], self.n * self.k)
        rows = dz.reshape(-1, self.n * self.k)
        self.dw = self._x.reshape(-1, self.n_prev).T @ rows
        self.db = rows.sum(axis=0)
        return dz @ self.w.T

    def value_and_grad(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """(y, dy/dx), dy_i/dx the weights of the largest piece of y_i: (n_prev,) gives (n, n_prev), (batch, n_prev) gives
        (batch, n, n_prev). It leaves what `forward` leaves."""
        y = self.forward(x)
        pieces = self.w.reshape(self.n_prev, self.n, self.k).transpose(1, 2, 0)
        return y, pieces[np.arange(self.n), self._winner]

    def d2y(self, x: Any) -> np.ndarray:
        """Zeros of the output's shape: every piece is straight."""
        x = self._input(x)
        return np.zeros((*x.shape[:-1], self.n), np.result_type(x, self.w))

    def update(self, optimizer: Any) -> None:
        """Let `optimizer` step w and b with the gradients of the last `backward`."""
        if self.dw is None:
            raise ValueError("maxout: update needs a backward before it")
        optimizer.step([self.w, self.b], [self.dw, self.db])
