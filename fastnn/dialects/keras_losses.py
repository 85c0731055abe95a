"""Keras 3.15.1's losses, by its names, arguments and defaults: the mean over the batch, as there. They take predictions first,
as everywhere here, or y_true= and y_pred=.

Errors of elements are means along the last axis there, which differs for reduction="sum", "none" and None. Probabilities are
clipped at EPSILON; where one was clipped, its gradient is 0.
"""
import math

import numpy as np

from ..core.arrays import as_array
from ..core.triplets import computed_in, in_dtype
from ..hyperparameters import Choice, one_axis
from ..losses import classification, distances, probabilities, similarities
from ..losses.likelihoods import NLL
from .adapted import Adapted, AlongAnotherAxis, OfRows, held, weighed
from .translation import Dialect

EPSILON = 1e-7                  # keras.config.epsilon()
MEANS = ("sum_over_batch_size", "mean")
keras = Dialect("keras", {"dtype": ""})


def given(reduction):
    if reduction in MEANS:
        return dict(reduction="mean")
    if reduction not in (None, "none", "sum"):
        raise ValueError(f"reduction must be one of {', '.join(map(repr, MEANS))}, 'sum', 'none' or None, "
                         f"not {reduction!r:.80}")
    return dict(reduction=reduction or "none")


def of_elements(cls, reduction, **values):
    """The catalogue's class, whose mean of all elements is that of the means along the last axis, or this one for the rest."""
    found = given(reduction)
    return cls.__bases__[-1] if found["reduction"] == "mean" else cls, {**found, **values}


# Of elements

class _OfRows(OfRows):
    like = "keras"


class MeanSquaredError(_OfRows, distances.SquaredError):
    called = "MeanSquaredError"


class MeanAbsoluteError(_OfRows, distances.L1):
    called = "MeanAbsoluteError"


class MeanAbsolutePercentageError(_OfRows, distances.PercentageError):
    called = "MeanAbsolutePercentageError"


class LogCosh(_OfRows, distances.LogCosh):
    called = "LogCosh"


class Hinge(_OfRows, classification.Hinge):
    called = "Hinge"


class SquaredHinge(_OfRows, classification.SquaredHinge):
    called = "SquaredHinge"


class Huber(_OfRows, distances.Huber):
    called, terms = "Huber", {"delta": "delta"}


class Poisson(_OfRows, probabilities.Poisson):
    called = "Poisson"


def without_arguments(cls, *names):
    """Enter a loss of elements that has no arguments of its own."""
    def row(reduction="sum_over_batch_size", name=None, dtype=None):
        return of_elements(cls, reduction)
    keras.err(cls.called, *names)(row)


without_arguments(MeanSquaredError, "mean_squared_error", "mse", "Square")
without_arguments(MeanAbsoluteError, "mean_absolute_error", "mae")
without_arguments(MeanAbsolutePercentageError, "mean_absolute_percentage_error", "mape")
without_arguments(LogCosh, "log_cosh")
without_arguments(Hinge)
without_arguments(SquaredHinge, "squared_hinge")


@keras.err("Huber", "huber_loss")
def huber(delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
    return of_elements(Huber, reduction, delta=delta)


@keras.err("Poisson")
def poisson(reduction="sum_over_batch_size", name="poisson", dtype=None):
    return of_elements(Poisson, reduction, log_input=False, eps=EPSILON)


class MeanSquaredLogarithmicError(_OfRows, distances.SquaredLogError):
    called = "MeanSquaredLogarithmicError"

    def _held(self, y, t):
        y, kept = held(y, EPSILON)
        return y, held(t, EPSILON)[0], kept


@keras.err("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", "msle")
def mean_squared_logarithmic_error(reduction="sum_over_batch_size", name="mean_squared_logarithmic_error", dtype=None):
    return MeanSquaredLogarithmicError, given(reduction)


class KLDivergence(_OfRows, probabilities.KL):
    """Of probabilities, summed along the last axis."""

    called, _sums = "KLDivergence", True

    def _held(self, y, t):
        y, kept = held(y, EPSILON, 1)
        return y, held(t, EPSILON, 1)[0], kept


@keras.err("KLDivergence", "kl_divergence", "kullback_leibler_divergence", "kld")
def kl_divergence(reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
    return KLDivergence, dict(log_input=False, **given(reduction))


# Of yes or no

class BinaryCrossentropyOfLogits(_OfRows, classification.SigmoidBinaryCrossEntropy):
    called, terms = "BinaryCrossentropy", {"label_smoothing": "label_smoothing"}
    always = {"from_logits": True}


class BinaryCrossentropy(_OfRows, probabilities.Binary):
    called, terms = "BinaryCrossentropy", {"label_smoothing": "label_smoothing"}

    def _held(self, y, t):
        y, kept = held(y, EPSILON, 1 - EPSILON)
        return y, t, kept


class BinaryFocalCrossentropy(_OfRows, classification.SigmoidFocal):
    called, terms = "BinaryFocalCrossentropy", {"gamma": "gamma", "label_smoothing": "label_smoothing"}

    @property
    def always(self):
        alpha = {} if self.alpha is None else {"apply_class_balancing": True, "alpha": self.alpha}
        return {"from_logits": True, **alpha}


def only_the_last(axis):
    if axis != -1:
        raise ValueError(f"axis must be -1, not {axis!r:.80}: the mean of what lies along it is taken")


@keras.err("BinaryCrossentropy", "binary_crossentropy", "Binary")
def binary_crossentropy(from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                        name="binary_crossentropy", dtype=None):
    only_the_last(axis)
    if from_logits:
        return of_elements(BinaryCrossentropyOfLogits, reduction, label_smoothing=label_smoothing)
    return BinaryCrossentropy, dict(label_smoothing=label_smoothing, **given(reduction))


@keras.err("BinaryFocalCrossentropy", "binary_focal_crossentropy")
def binary_focal_crossentropy(apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0,
                              axis=-1, reduction="sum_over_batch_size", name="binary_focal_crossentropy", dtype=None):
    only_the_last(axis)
    if not from_logits:
        raise ValueError("fastnn has it with from_logits=True")
    return of_elements(BinaryFocalCrossentropy, reduction, alpha=alpha if apply_class_balancing else None, gamma=gamma,
                       label_smoothing=label_smoothing)


# Of classes

class CrossentropyOfLogits(AlongAnotherAxis, classification.SoftmaxCrossEntropy):
    like, called, always = "keras", "CategoricalCrossentropy", {"from_logits": True}
    terms = {"label_smoothing": "label_smoothing", "axis": "axis"}
    axis = Choice(-1, one_axis)


class SparseCrossentropyOfLogits(AlongAnotherAxis, classification.SoftmaxCrossEntropy):
    like, called, always = "keras", "SparseCategoricalCrossentropy", {"from_logits": True}
    terms = {"ignore_class": "ignore_label", "axis": "axis"}
    axis = Choice(-1, one_axis)


class _OfShares(NLL):
    """Of numbers that are divided by their sum, and clipped then."""

    def _both(self, x, t, keep, sample_weight, reduction):
        x, dtype = computed_in(x, "x")
        if x.ndim == 0 or x.shape[-1] == 0:
            return super()._both(x, t, keep, sample_weight, reduction)          # which refuses it
        with np.errstate(all="ignore"):
            whole = x.sum(axis=-1, keepdims=True)
            shares = x / whole
            p, kept = held(shares, EPSILON, 1 - EPSILON)
            value, gradient = super()._both(np.log(p), t, keep, sample_weight, reduction)
            if keep:
                of_p = np.where(kept, gradient / p, x.dtype.type(0))
                gradient = in_dtype((of_p - (of_p * shares).sum(axis=-1, keepdims=True)) / whole, dtype)
        return in_dtype(value, dtype) if self._reduction_of(reduction) == "none" else value, gradient


class CategoricalCrossentropy(AlongAnotherAxis, _OfShares):
    like, name, called = "keras", "CategoricalCrossentropy", "CategoricalCrossentropy"
    terms = {"label_smoothing": "label_smoothing", "axis": "axis"}
    axis = Choice(-1, one_axis)


class SparseCategoricalCrossentropy(AlongAnotherAxis, _OfShares):
    like, name, called = "keras", "SparseCategoricalCrossentropy", "SparseCategoricalCrossentropy"
    terms = {"ignore_class": "ignore_label", "axis": "axis"}
    axis = Choice(-1, one_axis)


@keras.err("CategoricalHinge", "categorical_hinge")
def categorical_hinge(reduction="sum_over_batch_size", name="categorical_hinge", dtype=None):
    return "categorical-hinge", given(reduction)


@keras.err("CategoricalCrossentropy", "categorical_crossentropy", "Cross")
def categorical_crossentropy(from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                             name="categorical_crossentropy", dtype=None):
    values = dict(label_smoothing=label_smoothing, **given(reduction))
    if from_logits and axis == -1:
        return "softmax-cross-entropy", values
    return CrossentropyOfLogits if from_logits else CategoricalCrossentropy, dict(axis=axis, **values)


@keras.err("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy")
def sparse_categorical_crossentropy(from_logits=False, ignore_class=None, reduction="sum_over_batch_size", axis=-1,
                                    name="sparse_categorical_crossentropy", dtype=None):
    values = dict(ignore_label=ignore_class, **given(reduction))
    if from_logits and axis == -1:
        return "softmax-cross-entropy", values
    return SparseCrossentropyOfLogits if from_logits else SparseCategoricalCrossentropy, dict(axis=axis, **values)


# Of how alike two rows are

class CosineSimilarity(AlongAnotherAxis, similarities.Cosine):
    """The cosine with its sign turned: from -1, for the same direction, to 1."""

    like, name, called, terms = "keras", "CosineSimilarity", "CosineSimilarity", {"axis": "axis"}
    axis = Choice(-1, one_axis)

    def _both(self, x, t, keep, sample_weight, reduction):
        distances_, gradient = super()._both(x, t, keep, None, "none")
        reduction = self._reduction_of(reduction)
        if gradient is not None and self.axis not in (-1, gradient.ndim - 1):
            gradient = np.moveaxis(gradient, self.axis, -1)
        value, gradients = weighed(distances_ - 1, None if gradient is None else [gradient], sample_weight, reduction)
        if gradients is None:
            return value, None
        gradient, = gradients
        return value, gradient if self.axis == -1 else np.ascontiguousarray(np.moveaxis(gradient, -1, self.axis))


@keras.err("CosineSimilarity", "cosine_similarity")
def cosine_similarity(axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None):
    """Minus the cosine, so that a smaller loss is more alike."""
    return CosineSimilarity, dict(axis=axis, eps=EPSILON, **given(reduction))


def checked_axes(value):
    """None, an integer or integers, as a tuple. Raises TypeError."""
    if value is None:
        return None
    return tuple(map(one_axis, value)) if isinstance(value, (tuple, list)) else one_axis(value)


class _OfAxes(Adapted):
    """Before losses of rows: a row is what lies along `axis`, one of them or several, None for the whole batch."""

    like = "keras"

    def _both(self, x, t, keep, sample_weight, reduction):
        x, t = as_array(x, "x"), as_array(t, "t")
        if x.shape != t.shape:
            raise ValueError(f"targets must have shape {x.shape}, not {t.shape}")
        axes = range(x.ndim) if self.axis is None else np.atleast_1d(self.axis)
        last = range(-len(axes), 0)
        moved = np.moveaxis(x, axes, last)
        rest = moved.shape[:x.ndim - len(axes)]
        rows = (*rest, math.prod(moved.shape[len(rest):]))
        value, gradient = super()._both(moved.reshape(rows), np.moveaxis(t, axes, last).reshape(rows), keep, sample_weight,
                                        reduction)
        if gradient is not None:
            gradient = np.ascontiguousarray(np.moveaxis(gradient.reshape(moved.shape), last, axes))
        return value, gradient


class Dice(_OfAxes, similarities.Dice):
    called, terms = "Dice", {"axis": "axis"}
    axis = Choice(None, checked_axes)

    @staticmethod
    def constants(h):
        return {"alpha": 0.5, "beta": 0.5, "smooth": 0, "held": EPSILON / 2}


class Tversky(_OfAxes, similarities.Tversky):
    """alpha multiplies what is missed, beta what is found and not there: the paper and the catalogue have it the other way
    round."""

    called, terms = "Tversky", {"alpha": "beta", "beta": "alpha", "axis": "axis"}
    axis = Choice(None, checked_axes)

    @staticmethod
    def constants(h):
        return {"alpha": h.alpha, "beta": h.beta, "smooth": 0, "held": EPSILON}


@keras.err("Dice")
def dice(reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
    return Dice, dict(axis=axis, **given(reduction))


@keras.err("Tversky")
def tversky(alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky", axis=None, dtype=None):
    return Tversky, dict(alpha=beta, beta=alpha, axis=axis, **given(reduction))
