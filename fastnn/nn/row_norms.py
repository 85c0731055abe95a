"""Layers that normalize each row by itself: in training and afterwards alike, without running values."""
import math
from numbers import Real

import numpy as np

from fastnn.core.row_norms import norm_rows, norm_rows_backward
from fastnn.state import StateError, finite

from .layers import BatchNormalization, Layer, is_half, of_half


class _RowNorm(Layer):
    """What LayerNorm and RMSNorm share: x of shape (..., features), normalized along the last axis."""

    centred = False             # whether the mean is taken away

    def __init__(self, gamma, beta, eps):
        if eps is not None:
            if not isinstance(eps, Real):
                raise TypeError(f"eps must be a number, not {eps!r}")
            if not 0 <= eps < math.inf:
                raise ValueError(f"eps must be finite and not negative, not {eps!r}")
            eps = float(eps)
        self.gamma, self.beta, self.eps = gamma, beta, eps
        self.learned = ("gamma",) if beta is None else ("gamma", "beta")
        self.dgamma = self.dbeta = None

    def _remembered(self):
        return {"eps": -1.0 if self.eps is None else self.eps}

    def _recalled(self, saved, where):
        eps = finite(saved["eps"], f"eps of {where}")
        if eps < 0 and not (eps == -1 and self.eps is None):
            raise StateError(f"eps of {where} must not be negative, not {eps}")
        return {"eps": None if eps < 0 else eps}

    def forward(self, x, train_flg=True, out=None):
        if is_half(x):
            return of_half(self.forward, x, out, train_flg)
        eps = self.eps
        if eps is None:
            eps = float(np.finfo(np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64).eps)
        y, kept = norm_rows(x, self.gamma, self.beta, eps, self.centred, out)
        if train_flg:
            self._kept = kept
        return y

    def backward(self, dout, out=None):
        if is_half(dout):
            return of_half(self.backward, dout, out)
        dx, self.dgamma, dbeta = norm_rows_backward(dout, self._recall(), self.gamma, self.beta is not None,
                                                    self.centred, out)
        if dbeta is not None:
            self.dbeta = dbeta
        return dx


class LayerNorm(_RowNorm):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, mean and variance those of each row by itself; var is divided by the
    number of features (Ba et al. 2016, arXiv 1607.06450).

    x is (..., features), gamma and beta (features,); beta=None leaves it out. The default eps is torch's; Keras' is 1e-3.
    In float32 everything between x and y is computed in double. `backward` leaves the gradients of gamma and beta in
    `dgamma` and `dbeta`. Raises TypeError or ValueError for an eps that is no number, negative or not finite.
    """

    centred = True

    def __init__(self, gamma, beta=None, eps=1e-5):
        if eps is None:
            raise TypeError("eps must be a number, not None")
        super().__init__(gamma, beta, eps)


class RMSNorm(_RowNorm):
    """y = gamma x / sqrt(mean(x^2) + eps), the mean over each row by itself (Zhang and Sennrich 2019, arXiv 1910.07467).

    x is (..., features), gamma (features,). eps=None, the default, is the dtype's machine epsilon, as in torch; Keras has
    1e-6. In float32 everything between x and y is computed in double. `backward` leaves the gradient of gamma in
    `dgamma`. Raises as LayerNorm does.
    """

    def __init__(self, gamma, eps=None):
        super().__init__(gamma, None, eps)


NORMALIZATIONS = {"batch": "BatchNorm", "layer": "LayerNorm", "rms": "RMSNorm"}


def normalization_of(kind, arguments=None, batch=False):
    """(the layers' name, a function of width and dtype that makes one), or None."""
    arguments = dict(arguments or {})
    if kind not in (None, *NORMALIZATIONS):
        raise ValueError(f"normalization must be None, 'batch', 'layer' or 'rms', not {kind!r}")
    if batch and kind not in (None, "batch"):
        raise ValueError(f"use_batchnorm=True and normalization={kind!r} are two normalizations: give one")
    if batch:
        kind = "batch"
    if kind is None:
        if arguments:
            raise ValueError("normalization_args are those of a normalization: give use_batchnorm=True, or normalization")
        return None

    def make(width, dtype):
        gamma, beta = np.ones(width, dtype), np.zeros(width, dtype)
        if kind == "rms":
            return RMSNorm(gamma, **arguments)
        return (BatchNormalization if kind == "batch" else LayerNorm)(gamma, beta, **arguments)
    return NORMALIZATIONS[kind], make
