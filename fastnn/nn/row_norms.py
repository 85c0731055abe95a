"""Layers that normalize each row by itself: in training and afterwards alike, without running values."""
from collections.abc import Mapping
from types import NoneType

import numpy as np

from fastnn.core.row_norms import norm_rows, norm_rows_backward
from fastnn.state import StateError, finite
from .arguments import parameter
from .layers import BatchNormalization, Layer, checked_eps, is_half, of_half


class _RowNorm(Layer):
    """What LayerNorm and RMSNorm share: x of shape (..., features), normalized along the last axis."""

    centred = False             # whether the mean is taken away

    def __init__(self, gamma, beta, eps):
        self.gamma = parameter("gamma", gamma, ("features",))
        self.beta = None if beta is None else parameter("beta", beta, ("features",))
        self.eps = None if eps is None else checked_eps(eps)
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

    def __init__(self, gamma: np.ndarray, beta: np.ndarray | None = None, eps: float | None = 1e-5):
        if eps is None:
            raise TypeError("eps must be a number, not None")
        super().__init__(gamma, beta, eps)


class RMSNorm(_RowNorm):
    """y = gamma x / sqrt(mean(x^2) + eps), the mean over each row by itself (Zhang and Sennrich 2019, arXiv 1910.07467).

    x is (..., features), gamma (features,). eps=None, the default, is the dtype's machine epsilon, as in torch; Keras has
    1e-6. In float32 everything between x and y is computed in double. `backward` leaves the gradient of gamma in
    `dgamma`. Raises as LayerNorm does.
    """

    def __init__(self, gamma: np.ndarray, eps: float | None = None):
        super().__init__(gamma, None, eps)


NORMALIZATIONS = {"batch": "BatchNorm", "layer": "LayerNorm", "rms": "RMSNorm"}


def normalization_of(kind, arguments=None, batch=False):
    """(the layers' name, a function of width and dtype that makes one), or None."""
    if not isinstance(arguments, (Mapping, NoneType)):
        raise TypeError(f"normalization_args must be a dict, not {arguments!r:.80}")
    arguments = dict(arguments or {})
    if isinstance(kind, str):
        word = kind.lower().replace("_", "").replace("-", "").replace(" ", "")      # LayerNorm, batch_normalization ...
        kind = word.removesuffix("normalization").removesuffix("norm") if word not in NORMALIZATIONS else word
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
        layer = {"batch": BatchNormalization, "layer": LayerNorm, "rms": RMSNorm}[kind]
        learned = [np.ones(width, dtype), np.zeros(width, dtype)][:1 if kind == "rms" else 2]
        try:
            return layer(*learned, **arguments)
        except TypeError as error:
            raise TypeError(f"normalization_args: {error}") from None
    return NORMALIZATIONS[kind], make
