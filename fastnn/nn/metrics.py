"""Measures of predictions, which come first, and of what is true, as in fastnn's losses: `accuracy(y, t)`. scikit-learn and
Keras have them the other way round; `accuracy(y_true=t, y_pred=y)` is right in any order, y_score another name of y_pred.

For classes, y is what a network predicts, (rows, classes) scores, or (rows,) or (rows, 1) labels; t is such labels or
(rows, classes) one-hot. All return floats, or float64 arrays with a number for each class. Raises ValueError for shapes that do
not fit and for no rows, TypeError for labels that are no integers.
"""
import functools
import math
from typing import Any

import numpy as np

from .arguments import whole
from .data import rows


def _by_either_name(metric):
    @functools.wraps(metric)
    def measure(*given, **named):
        if "y_true" in named or "y_pred" in named or "y_score" in named:
            names = [name for name in ("y_pred", "y_score", "y_true") if name in named]
            if given or len(names) != 2 or names[1] != "y_true" or "y" in named or "t" in named:
                raise TypeError(f"{metric.__name__}: give predictions and what is true by position, predictions first, or both "
                                "by name: y_pred=, y_true=")
            given = [named.pop(name) for name in names]
        return metric(*given, **named)
    return measure


@_by_either_name
def accuracy(y: Any, t: Any):
    """Share of the rows whose label is predicted."""
    y, t = _labels(y, "y"), _labels(t, "t")
    _same(y, t)
    return float(np.mean(y == t))


@_by_either_name
def top_k_accuracy(y: Any, t: Any, k: int = 5):
    """Share of the rows whose label is among the k highest scores; a tie with the k-th counts for those before it."""
    y, t = rows(y, "y"), _labels(t, "t")
    if y.ndim != 2 or len(y) != len(t):
        raise ValueError(f"y must have shape ({len(t)}, classes), not {y.shape}")
    k = whole("k", k, 1)
    _in_range(t, y.shape[1])
    own = y[np.arange(len(t)), t][:, None]
    before = (y > own).sum(axis=1) + ((y == own) & (np.arange(y.shape[1]) < t[:, None])).sum(axis=1)
    return float(np.mean((before < k) & ~np.isnan(own[:, 0])))


@_by_either_name
def confusion_matrix(y: Any, t: Any, classes: int | None = None):
    """How many rows of each label, downwards, are predicted as each, across: (classes, classes) integers."""
    y, t = _labels(y, "y"), _labels(t, "t")
    _same(y, t)
    n = int(max(y.max(), t.max())) + 1 if classes is None else whole("classes", classes, 1)
    _in_range(y, n)
    _in_range(t, n)
    return np.bincount(t * n + y, minlength=n * n).reshape(n, n)


@_by_either_name
def precision(y: Any, t: Any, average: str | None = "macro", classes: int | None = None):
    """Share of the rows predicted as a class that are of it; 0 where none is predicted.

    average: "macro", the mean over all classes; "micro", over all rows, which is the accuracy; None, one a class.
    scikit-learn's default is "binary", the value of class 1, which is [1] of None.
    """
    found = confusion_matrix(y, t, classes)
    return _averaged(found.diagonal(), found.sum(axis=0), average)


@_by_either_name
def recall(y: Any, t: Any, average: str | None = "macro", classes: int | None = None):
    """Share of the rows of a class that are predicted as it; 0 where there are none. average as in `precision`."""
    found = confusion_matrix(y, t, classes)
    return _averaged(found.diagonal(), found.sum(axis=1), average)


@_by_either_name
def f1(y: Any, t: Any, average: str | None = "macro", classes: int | None = None):
    """The harmonic mean of precision and recall; 0 where both are. average as in `precision`."""
    found = confusion_matrix(y, t, classes)
    return _averaged(2 * found.diagonal(), found.sum(axis=0) + found.sum(axis=1), average)


@_by_either_name
def roc_auc(y: Any, t: Any):
    """The area under the ROC curve: how probably a row labelled 1 has a higher score than one labelled 0, ties half.

    y and t are (rows,); t has both labels. NaN where a score is NaN.
    """
    y, t = rows(y, "y"), _labels(t, "t")
    _same(y, t)
    _in_range(t, 2)
    ones = int(t.sum())
    if ones in (0, len(t)):
        raise ValueError("t must have both labels, 0 and 1")
    if np.isnan(y).any():
        return math.nan
    _, place, count = np.unique(y, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[t == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(t) - ones)))


@_by_either_name
def mean_squared_error(y: Any, t: Any):
    """The mean of (y - t)^2 over all numbers."""
    y, t = _numbers(y, t)
    return float(np.mean((y - t)**2))


@_by_either_name
def mean_absolute_error(y: Any, t: Any):
    """The mean of |y - t| over all numbers."""
    y, t = _numbers(y, t)
    return float(np.mean(np.abs(y - t)))


@_by_either_name
def r2(y: Any, t: Any):
    """1 - sum (y - t)^2 / sum (t - mean t)^2, of each column, then their mean. Of a constant column 1 or 0: right or not."""
    y, t = _numbers(y, t)
    y, t = y.reshape(len(y), -1), t.reshape(len(t), -1)
    lost, all_ = ((y - t)**2).sum(axis=0), ((t - t.mean(axis=0))**2).sum(axis=0)
    return float(np.mean(np.where(all_ > 0, 1 - lost / np.where(all_ > 0, all_, 1), np.where(lost > 0, 0.0, 1.0))))


def _labels(value, name):
    a = rows(value, name)
    if len(a) == 0:
        raise ValueError(f"{name} has no rows")
    if a.ndim == 2 and a.shape[1] == 1:
        a = a[:, 0]
    if a.ndim == 2:
        return a.argmax(axis=1)
    if a.ndim != 1:
        raise ValueError(f"{name} must have one or two axes, not the shape {a.shape}")
    if a.dtype.kind not in "biu":
        raise TypeError(f"{name} must be labels, integers, or have a column for each class; not {a.dtype}")
    return a.astype(np.intp)


def _same(y, t):
    if y.shape != t.shape:
        raise ValueError(f"y has {y.shape} and t {t.shape}: there must be as many rows")


def _in_range(labels, classes):
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must lie in 0..{classes - 1}, found {labels.min()}..{labels.max()}")


def _numbers(y, t):
    y, t = (rows(value, name).astype(np.float64) for value, name in ((y, "y"), (t, "t")))
    if y.shape != t.shape or y.size == 0:
        raise ValueError(f"y and t must have one shape, and numbers in it, not {y.shape} and {t.shape}")
    return y, t


def _averaged(hits, of, average):
    if average == "micro":
        return float(hits.sum() / of.sum())
    shares = hits / np.where(of > 0, of, 1)
    if average == "macro":
        return float(shares.mean())
    if average is None:
        return shares
    raise ValueError(f"average must be macro, micro or None, not {average!r}")
