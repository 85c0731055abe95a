"""Activations and losses of the catalogue that differ a little in a library: mixins with the difference."""
import math
from typing import Any

import numpy as np

from ..core.arrays import as_array


class Adapted:
    """Mixin for a class of the catalogue: what a library has by the name `called`, with `terms` as words, {theirs: own}.

    `always` are arguments that it has been made with, which are no hyperparameters.
    """

    like = ""
    called = ""
    terms: dict[str, str] = {}
    always: dict[str, Any] = {}

    def __repr__(self):
        shown = [f"{theirs}={value!r}" for theirs, value in
                 {**self.always, **{theirs: self.__dict__[own] for theirs, own in self.terms.items()}}.items()]
        if self.maker == "get_err":
            shown += [f"{word}={value!r}" for word, value in self._reduced_as().items()]
        return f"{self.maker}({', '.join([repr(self.called), *shown, f'like={self.like!r}'])})"

    def _reduced_as(self):
        """The arguments for its reduction there."""
        return {"reduction": self.reduction}


class LowerPieceAtZero(Adapted):
    """Mixin for activations with a kink at 0: the slope there is that of the lower piece instead of the upper one."""

    _lower_at_zero = True


class AlongAnotherAxis(Adapted):
    """Mixin for losses of rows: classes lie along the hyperparameter `axis` instead of the last axis."""

    def _axis_of(self, x):
        return self.axis

    def _both(self, x, t, keep, sample_weight, reduction):
        x = as_array(x, "x")
        if x.ndim == 0 or (axis := self._axis_of(x)) in (-1, x.ndim - 1):
            return super()._both(x, t, keep, sample_weight, reduction)
        t = as_array(t, "t")
        if t.shape == x.shape:
            t = np.moveaxis(t, axis, -1)
        losses, gradient = super()._both(np.moveaxis(x, axis, -1), t, keep, sample_weight, reduction)
        return losses, None if gradient is None else np.ascontiguousarray(np.moveaxis(gradient, -1, axis))


class OfRows(Adapted):
    """Mixin for losses of elements: a row along the last axis has the mean of its errors, or their sum where `_sums`.

    `_held(y, t)` may clip predictions and targets first, and returns where predictions were kept: elsewhere the
    derivative is 0.
    """

    _sums = False

    def _held(self, y, t):
        return y, t, None

    def _both(self, y, t, out, keep, sample_weight, reduction):
        reduction = self._reduction_of(reduction)
        if out is not None:
            raise TypeError(f"{self.called}: out is for the error of each element, and here a row has one")
        y, t = as_array(y, "y"), as_array(t, "t")
        if sample_weight is not None:
            sample_weight = as_array(sample_weight, "sample_weight")
            if sample_weight.ndim and sample_weight.ndim >= y.ndim:
                raise ValueError(f"sample_weight must have the shape of the losses, {y.shape[:-1]}, or that of their first "
                                 f"axes, not {sample_weight.shape}")
        y, t, kept = self._held(y, t)
        own = "mean" if reduction == "mean" and not self._sums else "none"
        value, gradient = super()._both(y, t, None, keep, sample_weight, own)
        if own == "none":
            value, share = self._of_rows(value, reduction)
            if keep and share != 1:
                gradient = gradient * gradient.dtype.type(share)
        if keep and kept is not None:
            gradient = np.where(kept, gradient, gradient.dtype.type(0))
        return value, gradient

    def _of_rows(self, errors, reduction):
        """(the rows' losses, reduced; by how much the gradients of elements are to be multiplied)."""
        errors = np.asarray(errors)
        n = 1 if self._sums or not errors.ndim else errors.shape[-1]
        rows = (errors.sum(axis=-1, dtype=np.float64) if errors.ndim else errors.astype(np.float64)) / n
        if reduction == "none":
            return rows.astype(errors.dtype)[()], 1 / n
        count = rows.size if reduction == "mean" else 1
        with np.errstate(all="ignore"):
            return float(np.divide(rows.sum(), count)), 1 / (n * max(count, 1))

    def backward(self, y=None, t=None, out=None, *, sample_weight=None, reduction=None, y_pred=None, y_true=None, **unknown):
        if unknown or y_pred is not None or y_true is not None:
            y, t = self._operands(y, t, y_pred, y_true, unknown)
        kept = self._kept(y, t, (sample_weight, reduction))
        if kept is not None:
            return self._copy(kept, out)
        return self._both(y, t, out, True, sample_weight, reduction)[1]


def weighed(losses, gradients, sample_weight, reduction):
    """(losses of rows, weighted and reduced; their gradients likewise, one array of rows each, or None)."""
    share = 1.0
    if sample_weight is not None:
        weights = as_array(sample_weight, "sample_weight")
        if weights.shape != losses.shape[:weights.ndim]:
            raise ValueError(f"sample_weight must have the shape of the losses, {losses.shape}, or that of their first axes, "
                             f"not {weights.shape}")
        share = np.broadcast_to(weights.reshape(weights.shape + (1,) * (losses.ndim - weights.ndim)), losses.shape)
        losses = np.where(share == 0, 0, losses * share)
    value = losses
    if reduction != "none":
        value = float(np.sum(losses, dtype=np.float64))
        if reduction == "mean":
            value = value / losses.size if losses.size else math.nan
            share = share / max(losses.size, 1)
    if gradients is not None:
        share = np.asarray(share)[..., None]
        gradients = [np.where(share == 0, 0, each * share).astype(each.dtype) for each in gradients]
    return value, gradients


def held(a, low, high=np.inf):
    """(the array within these bounds, where it was): in the dtype that it is computed in."""
    a = a if a.dtype.kind not in "biu" else a.astype(np.float64)
    kept = ~((a < low) | (a > high))                    # NaN is kept
    return np.clip(a, a.dtype.type(low), a.dtype.type(high)), kept
