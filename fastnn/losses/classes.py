"""What losses have whose targets are classes: weights of classes, label smoothing, a label that is ignored."""
import math
from collections.abc import Mapping
from operator import index

import numpy as np

from ..core.arrays import as_array
from ..hyperparameters import Choice, Hyperparameter, unwrapped
from .base import OF_A_CALL, WEIGHTS, Elementwise, Rows, checked_ignored_label

HINTS = dict.fromkeys(WEIGHTS, f"{OF_A_CALL}, those of classes to get_err: class_weight=")
BALANCED = "balanced"


def is_balanced(value):
    """Whether it is "balanced". Raises TypeError for another string."""
    if isinstance(value, str) and value != BALANCED:
        raise TypeError(f"class_weight must be numbers, a dict or {BALANCED!r}, not {value!r:.80}")
    return isinstance(value, str)


def numbers(value, name="class_weight"):
    """An array of float64, finite and at least 0. Raises TypeError or ValueError."""
    given = as_array(value, name)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers, not {value!r:.80}")
    found = given.astype(np.float64)
    if not ((found >= 0) & (found < math.inf)).all():
        raise ValueError(f"{name} must be finite and at least 0, not {value!r:.80}")
    return found


def label(value):
    """A key of a class_weight, an integer. Raises TypeError or ValueError."""
    value = unwrapped(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"class_weight={{label: weight}} has integer labels, not {value!r:.80}") from None


def by_label(value):
    """A dict of floats by integers. Raises TypeError or ValueError."""
    found = {label(key): float(numbers(weight).reshape(())) for key, weight in value.items()}
    if len(found) < len(value):
        raise ValueError(f"class_weight has a label twice: {value!r:.80}")
    return found


def weights_of_classes(value):
    """None, so many numbers (a tuple), a dict or "balanced". Raises TypeError or ValueError."""
    if value is None or is_balanced(value):
        return value
    if isinstance(value, Mapping):
        found = by_label(value)
        if found and min(found) < 0:
            raise ValueError(f"class_weight has label {min(found)}, and labels are from 0 on")
        return found
    found = numbers(value)
    if found.ndim != 1:
        raise ValueError(f"class_weight must be numbers, one a class, not an array of shape {found.shape}")
    return tuple(found.tolist())


def pair(value, lowest):
    """The weights of two classes, of which the first has the label 0 or `lowest`. Raises TypeError or ValueError."""
    if isinstance(value, Mapping):
        found = by_label(value)
        for key in found:
            if key not in (lowest, 0, 1):
                raise ValueError(f"class_weight has label {key}, and labels are {'-1 (or 0)' if lowest else '0'} and 1")
        if lowest and lowest in found and 0 in found:
            raise ValueError(f"class_weight has labels {lowest} and 0, which are one class")
        return found.get(lowest, found.get(0, 1.0)), found.get(1, 1.0)
    found = numbers(value)
    if found.shape != (2,):
        raise ValueError(f"class_weight must be 2 numbers, one a class, or a pair for each column, "
                         f"not an array of shape {found.shape}")
    return tuple(found.tolist())


def weights_of_two(lowest):
    """A check of class_weight: None, a pair or dict, one of these for each column, or "balanced"."""
    def checked(value):
        if value is None or is_balanced(value):
            return value
        several = getattr(value, "ndim", None) == 2 or isinstance(value, (list, tuple)) and value and all(
            isinstance(each, (Mapping, list, tuple)) for each in value)
        return tuple(pair(each, lowest) for each in value) if several else pair(value, lowest)
    return checked


def balanced(counts):
    """n/(classes that there are times the count of each), as scikit-learn has it, along the first axis; 1 where there is
    none."""
    with np.errstate(all="ignore"):
        present = (counts > 0).sum(axis=0)
        return np.where(counts > 0, counts.sum(axis=0) / (present * counts), 1.0)


class OfClasses(Elementwise):
    """Elementwise, of targets that are classes.

    What the kernel does not know of smoothing and weights of classes is done to a block of targets before it, and to its
    results.
    """

    hints = HINTS

    label_smoothing = Hyperparameter(0.0, at_least=0, below=1)
    ignore_label = Hyperparameter(None, optional=True)

    _of_terms = False           # weights multiply the terms of a loss that is linear in t, not its value
    _low = 0                    # the target of the first class, for which 0 stands as well

    @property
    def _ignored(self):
        return self.ignore_label

    def _hyperparameter_set(self):
        super()._hyperparameter_set()
        smoothing, weighted = self._left()
        treatment = self._treatment if smoothing or weighted else None
        self.__dict__.update(_classes=treatment, _plain=treatment is None and self.ignore_label is None)

    def _left(self):
        """(label smoothing, whether there are weights of classes), of which the kernel does not know."""
        return self.label_smoothing, self.class_weight is not None

    def _treatment(self, t):
        """What becomes of these targets: `Targets` of fastnn/core/losses/targets.pxd."""
        smoothing, weighted = self._left()
        weights = self._weights(t) if weighted else (None, None)
        return (self._low, 1 - smoothing, self._spread(smoothing, t), self._of_terms, *weights)

    def _must_have_columns(self, t, columns, name="class_weight"):
        if columns > 1 and t.shape[-1:] != (columns,):
            raise ValueError(f"{name} has {columns} columns, and the targets have the shape {t.shape}")


class OfTwoClasses(OfClasses):
    """Of targets 0 and 1, or between them. Those of a matrix have the same classes in each column, or others."""

    class_weight = Choice(None, weights_of_two(0))

    def _spread(self, smoothing, t):
        return smoothing * (1 + self._low) / 2

    def _weights(self, t):
        """Those of both classes, one for each column or for all."""
        if self.class_weight != BALANCED:
            weights = np.array(self.class_weight).reshape(-1, 2)
            self._must_have_columns(t, len(weights))
            return weights[:, 0], weights[:, 1]
        t = np.array(t, np.float64, order="C")
        counted = ~np.isnan(t) if self.ignore_label is None else ~np.isnan(t) & (t != self.ignore_label)
        axes = 0 if t.ndim == 2 else None
        with np.errstate(all="ignore"):
            shares = (np.where(t == 0, self._low, t) - self._low) / (1 - self._low)
            second = np.where(counted, shares, 0).sum(axis=axes)
            return balanced(np.array([counted.sum(axis=axes) - second, second]).reshape(2, -1))


class OfDistributions(OfClasses):
    """Of rows of the shares of classes, element by element."""

    class_weight = Choice(None, weights_of_classes)

    def _spread(self, smoothing, t):
        return smoothing / max(t.shape[-1] if t.ndim else 1, 1)

    def _weights(self, t):
        counted = None
        if self.class_weight == BALANCED:
            given = np.atleast_1d(np.array(t, np.float64, order="C"))
            counted = given if self.ignore_label is None else np.where(given == self.ignore_label, 0, given)
        weights = resolved(self.class_weight, counted, t.shape[-1] if t.ndim else 1, None)
        if weights.shape != t.shape[-1:]:
            raise ValueError(f"class_weight has {weights.size} numbers, one a class, and the targets have the shape {t.shape}")
        return weights, weights


def resolved(weights, t, n, ignored):
    """Numbers, one for each of n classes, of what `weights_of_classes` returned. t holds labels, or rows of n shares, which
    only "balanced" reads.

    Raises ValueError for labels that there are not.
    """
    if isinstance(weights, dict):
        found = np.ones(n)
        for key, weight in weights.items():
            if key >= n:
                raise ValueError(f"class_weight has label {key}, and labels are from 0 to {n - 1}")
            found[key] = weight
        return found
    if weights != BALANCED:
        return np.array(weights)
    if t.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return balanced(np.nansum(t, axis=tuple(range(t.ndim - 1)), dtype=np.float64))
    counted = t.reshape(-1) if ignored is None else t[t != ignored]
    return balanced(np.bincount(counted, minlength=n))


class OfLabels(Rows):
    """Of rows, whose targets are labels or distributions."""

    hints = HINTS

    ignore_label = Choice(None, checked_ignored_label)
    label_smoothing = Hyperparameter(0.0, at_least=0, below=1)
    class_weight = Choice(None, weights_of_classes)

    _of_terms = False           # weights multiply the terms of a loss that is linear in t, not its value

    @property
    def _ignored(self):
        return self.ignore_label

    @property
    def _smoothing(self):
        return self.label_smoothing

    @property
    def _classes(self):
        return None if self.class_weight is None else self._weights

    def _weights(self, t, n):
        return resolved(self.class_weight, t, n, self.ignore_label)
