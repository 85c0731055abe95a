"""Losses of embeddings: of how far apart, or how alike, rows are."""
import math

import numpy as np

from ..core import kernels
from ..core.row_losses import RowLoss
from ..core.triplets import computed_in, in_dtype, triplet
from ..hyperparameters import Choice, Hyperparameter, unwrapped
from .base import Several, checked_flag


class Order(Hyperparameter):
    """The order of a norm: infinity is one."""

    def number(self, value):
        value = unwrapped(value)
        return value if isinstance(value, float) and value == math.inf else super().number(value)


class Triplet(Several, name="triplet", kernel="triplet",
              aliases=("TripletMarginLoss", "triplet margin", "triplet loss", "triplet margin loss")):
    """max(margin + |a - p| - |a - n|, 0) of anchors a, positives p and negatives n, rows along the last axis: gradients in
    all three.  Schroff et al. 2015, arXiv 1503.03832, of squared distances; swap: Balntas et al. 2016, BMVC.

    |u| is the p-norm of u + eps. With swap=True, |p - n| takes the place of |a - n| where it is the smaller one.
    torch.nn.TripletMarginLoss; at the kink, where the loss is 0, gradients are 0. optax.losses.triplet_margin_loss has a
    norm without that eps.
    """

    peers = {"torch": ("TripletMarginLoss", {})}

    inputs = gradients = ("anchor", "positive", "negative")
    margin = Hyperparameter(1.0, above=0, below=1e30)
    p = Order(2.0, at_least=1)
    eps = Hyperparameter(1e-6, at_least=0, below=1e30)
    swap = Choice(False, checked_flag("swap"))

    def _both(self, arrays, keep, sample_weight, reduction):
        return triplet((self.margin, self.p, self.eps, float(self.swap)), *arrays, keep, reduction, sample_weight)


class InfoNCE(Several, name="InfoNCE", kernel="softmax_cross_entropy", aliases=("InfoNCELoss", "info NCE loss", "NT-Xent")):
    """Cross entropy of softmax(queries keys^T/temperature), where the i-th key belongs to the i-th query and all others are
    negatives: one loss a query, gradients in queries and keys.  van den Oord et al. 2018, arXiv 1807.03748.

    queries and keys have the shape (..., n, d): n pairs, of all of which the products are taken by NumPy's BLAS.
    normalize=True divides each row by its norm, clamped at 1e-12 from below, first, as MoCo (arXiv 1911.05722,
    temperature=0.07) and SimCLR do; the paper has neither. symmetric=True is the mean of this and of the keys' among
    the queries: CLIP's loss (arXiv 2103.00020).
    optax.losses.ntxent has its pairs in one array, by labels.
    """

    inputs = gradients = ("queries", "keys")
    temperature = Hyperparameter(1.0, above=0, below=1e30)
    normalize = Choice(False, checked_flag("normalize"))
    symmetric = Choice(False, checked_flag("symmetric"))

    def _hyperparameter_set(self):
        rows = RowLoss()
        rows._bind(kernels.ROW_LOSSES[self.kernel])
        self.__dict__["_rows"] = rows

    def _both(self, arrays, keep, sample_weight, reduction):
        queries, keys, dtype = prepared(*arrays)
        with np.errstate(all="ignore"):
            losses, gradients = self._of(queries, keys, keep, sample_weight, reduction)
        if reduction == "none":
            losses = in_dtype(losses, dtype)
        return losses, gradients and tuple(in_dtype(gradient, dtype) for gradient in gradients)

    def _of(self, queries, keys, keep, sample_weight, reduction):
        q, k, inverse = queries, keys, 1 / self.temperature
        if self.normalize:
            (q, q_norm), (k, k_norm) = unit(queries), unit(keys)
        logits = q @ np.swapaxes(k, -1, -2)
        logits *= inverse
        pairs = np.broadcast_to(np.arange(logits.shape[-1]), logits.shape[:-1])
        losses, slopes = self._rows._value_and_gradient(logits, pairs, keep, reduction, sample_weight)
        if self.symmetric:
            others, turned = self._rows._value_and_gradient(np.swapaxes(logits, -1, -2), pairs, keep, reduction,
                                                            sample_weight)
            losses = (losses + others) * 0.5
            if keep:
                slopes += np.swapaxes(turned, -1, -2)
                inverse *= 0.5
        if not keep:
            return losses, None
        slopes *= inverse
        of_q, of_k = slopes @ k, np.swapaxes(slopes, -1, -2) @ q
        return losses, (through(of_q, q, q_norm), through(of_k, k, k_norm)) if self.normalize else (of_q, of_k)


def prepared(queries, keys):
    """Both in the dtype that is computed in, and that of results, the queries'. Raises ValueError."""
    q, dtype = computed_in(queries, "queries")
    k = in_dtype(computed_in(keys, "keys")[0], q.dtype)
    if q.ndim < 2 or q.shape != k.shape or 0 in q.shape[-2:]:
        raise ValueError("queries and keys must have one shape, (..., n, d) of n pairs and d elements, "
                         f"not {q.shape} and {k.shape}")
    return q, k, dtype


def unit(rows):
    """Rows divided by their norm, which is clamped at 1e-12 from below, and the norm."""
    squares = np.einsum("...i,...i->...", rows, rows, dtype=np.float64)
    norms = np.maximum(np.sqrt(squares), 1e-12)[..., None].astype(rows.dtype)
    return rows / norms, norms


def through(gradient, units, norms):
    """The gradient in rows, of that in their units."""
    along = np.einsum("...i,...i->...", gradient, units)[..., None]
    return (gradient - along * units) / norms
