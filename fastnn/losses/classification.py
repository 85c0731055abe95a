"""Losses of logits and scores, by labels or distributions."""
import numpy as np

from ..hyperparameters import Choice, Hyperparameter
from .classes import OfLabels, OfTwoClasses, numbers, weights_of_two


def weight_of_positives(value):
    """None, a number, or so many numbers (a tuple). Raises TypeError or ValueError."""
    if value is None:
        return None
    found = numbers(value, "pos_weight")
    if found.ndim > 1 or found.size == 0:
        raise ValueError(f"pos_weight must be a number or one for each column of the last axis, not an array of shape {found.shape}")
    return found.item() if found.size == 1 else tuple(found.tolist())


def smoothed(h):
    """The constants of kernels that smooth targets of 0 and 1."""
    return {"kept": 1 - h.label_smoothing, "spread": h.label_smoothing / 2}


class SigmoidBinaryCrossEntropy(OfTwoClasses, name="sigmoid-binary-cross-entropy", kernel="sigmoid_cross_entropy",
                                aliases=("BCEWithLogits", "BCEWithLogitsLoss", "sigmoid cross entropy",
                                         "binary cross entropy with logits")):
    """Binary cross entropy of sigmoid(x), from the logits x: log(1 + exp(x)) - x t; derivative sigmoid(x) - t.

    label_smoothing s makes t (1 - s) + s/2 of t. class_weight = (w0, w1) multiplies the terms of 1 - t and of t;
    pos_weight, a number or one for each column, also multiplies that of t. A mean divides by the number of elements.
    Elements whose target is ignore_label have loss 0 and are not counted. torch.nn.BCEWithLogitsLoss;
    keras.losses.BinaryCrossentropy(from_logits=True).
    """

    peers = {"torch": ("BCEWithLogitsLoss", {}), "optax": ("sigmoid_binary_cross_entropy", {})}

    pos_weight = Choice(None, weight_of_positives)

    _of_terms = True

    def _of_one_pair(self):
        """Whether the weights are the same for all columns and calls: those the kernel knows."""
        one = self.class_weight is None or isinstance(self.class_weight[0], float)
        return one and not isinstance(self.pos_weight, tuple)

    def _left(self):
        return (0.0, False) if self._of_one_pair() else (self.label_smoothing, True)

    def _weights(self, t):
        negative, positive = np.ones((2, 1)) if self.class_weight is None else super()._weights(t)
        more = np.atleast_1d(1.0 if self.pos_weight is None else self.pos_weight)
        self._must_have_columns(t, more.size, "pos_weight")
        return np.broadcast_arrays(negative, positive * more)

    def _formula(self):
        plain = self.class_weight is None and self.pos_weight is None and self.label_smoothing == 0
        return self.kernel if plain or not self._of_one_pair() else "weighted_sigmoid_cross_entropy"

    @staticmethod
    def constants(h):
        if not h._of_one_pair():
            return {}
        negative, positive = (1, 1) if h.class_weight is None else h.class_weight
        return {**smoothed(h), "negative": negative, "positive": positive * (1 if h.pos_weight is None else h.pos_weight)}


class SigmoidFocal(OfTwoClasses, name="sigmoid-focal", kernel="sigmoid_focal",
                   aliases=("focal", "focal loss", "binary focal", "sigmoid focal loss")):
    """(alpha t + (1 - alpha)(1 - t)) q^gamma times the binary cross entropy of sigmoid(x), from the logits x, with
    q = p (1 - t) + (1 - p) t, p = sigmoid(x); alpha=None leaves the first factor out.  Lin et al. 2017, arXiv 1708.02002.

    t is smoothed first, alpha's factor included. class_weight multiplies errors by t as it is given, whatever alpha is:
    w0 (1 - t) + w1 t. ignore_label as in sigmoid-binary-cross-entropy.
    torchvision.ops.sigmoid_focal_loss; keras.losses.BinaryFocalCrossentropy(from_logits=True) has alpha where
    apply_class_balancing=True. For gamma other than 0, 1, 2 and 3 the relative error grows with gamma log(q).
    """

    peers = {"optax": ("sigmoid_focal_loss", {"alpha": 0.25})}

    alpha = Hyperparameter(0.25, at_least=0, below=1, optional=True)
    gamma = Hyperparameter(2.0, at_least=0, below=1e3)

    @staticmethod
    def constants(h):
        negative, positive = (1, 1) if h.alpha is None else (1 - h.alpha, h.alpha)
        factors = {name: h.gamma >= k for k, name in enumerate(("one", "two", "three"), 1)}
        return {**smoothed(h), **factors, "negative": negative, "positive": positive, "gamma": h.gamma}

    def _left(self):
        return 0.0, self.class_weight is not None

    def _formula(self):
        return "sigmoid_focal" if self.gamma in (0, 1, 2, 3) else "sigmoid_focal_power"


class _OfSides(OfTwoClasses):
    """Of targets -1 and 1, or 0 for -1."""

    class_weight = Choice(None, weights_of_two(-1))

    _low = -1


class Hinge(_OfSides, name="hinge", kernel="hinge", aliases=("hinge loss",)):
    """max(1 - t y, 0) of scores y and targets -1 and 1, or 0 and 1, where 0 stands for -1; derivative 0 at the kink.

    label_smoothing s makes t (1 - s) of t, which is Keras' smoothing of 0 and 1 on this scale. class_weight = (w0, w1),
    or {-1: w0, 1: w1}, multiplies errors by w0 (1 - t)/2 + w1 (1 + t)/2 of the target as given. Elements whose target
    is ignore_label have loss 0 and are not counted in a mean.
    keras.losses.Hinge, optax.hinge_loss, sklearn's hinge_loss.  Cortes and Vapnik 1995, Machine Learning 20.
    """


class SquaredHinge(_OfSides, name="squared-hinge", kernel="squared_hinge"):
    """max(1 - t y, 0)^2 of scores y and targets -1 and 1, or 0 and 1, where 0 stands for -1.

    Targets, label_smoothing, class_weight and ignore_label as in hinge. keras.losses.SquaredHinge, sklearn's LinearSVC.
    """


class SoftMargin(_OfSides, name="soft-margin", kernel="soft_margin", aliases=("SoftMarginLoss",)):
    """log(1 + exp(-t y)) of scores y and targets -1 and 1, or 0 and 1, where 0 stands for -1.

    Targets, label_smoothing, class_weight and ignore_label as in hinge. torch.nn.SoftMarginLoss.
    """

    peers = {"torch": ("SoftMarginLoss", {})}


class SoftmaxCrossEntropy(OfLabels, name="softmax-cross-entropy", kernel="softmax_cross_entropy",
                          aliases=("CrossEntropyLoss",)):
    """Cross entropy of softmax(x) along the last axis, from the logits x. Its derivative is softmax(x) - t.

    Targets are integer labels, of x's shape without its last axis (or with one of length 1), or distributions
    (one-hot), of x's shape. label_smoothing s makes (1 - s) t + s/classes of t. class_weight has a factor for each
    class, which multiplies the terms of that class. Rows whose label is ignore_label have loss 0 and are not counted.
    As in torch.nn.CrossEntropyLoss (its weight and ignore_index) a mean over labels divides by the sum of their class
    weights, one over distributions by the number of rows. Distributions with an ignore_label that is a class are a
    ValueError.
    """

    peers = {"torch": ("CrossEntropyLoss", {}), "optax": ("softmax_cross_entropy_with_integer_labels", {})}

    _of_terms = True


class SoftmaxFocal(OfLabels, name="softmax-focal", kernel="softmax_focal",
                   aliases=("categorical focal", "softmax focal loss")):
    """-sum(t (1 - p)^gamma log(p)) with p = softmax(x) along the last axis.  Lin et al. 2017, arXiv 1708.02002.

    Targets, label_smoothing, class_weight and ignore_label as in softmax-cross-entropy, which it is with gamma = 0;
    keras.losses.CategoricalFocalCrossentropy(from_logits=True) has an alpha of 0.25, the same for all classes.
    """

    gamma = Hyperparameter(2.0, at_least=0, below=1e3)

    _of_terms = True

    @staticmethod
    def constants(h):
        return {"gamma": h.gamma, **{name: h.gamma >= k and h.gamma in (1, 2, 3)
                                     for k, name in enumerate(("one", "two", "three"), 1)}}


class Sparsemax(OfLabels, name="sparsemax-loss", kernel="sparsemax", aliases=("sparsemax loss",)):
    """sum over the support of (x^2 - tau^2)/2 + t t/2 - t x of the scores x along the last axis; its derivative is
    sparsemax(x) - t, where sparsemax(x) = max(x - tau, 0) sums to one.  Martins and Astudillo 2016, arXiv 1602.02068.

    Targets, label_smoothing, ignore_label and the divisor of a mean as in softmax-cross-entropy. class_weight w
    multiplies a row's loss by sum(w t) of the targets as given, the weight of its label.
    optax.losses.multiclass_sparsemax_loss.
    """

    peers = {"optax": ("multiclass_sparsemax_loss", {})}


class CategoricalHinge(OfLabels, name="categorical-hinge", kernel="categorical_hinge"):
    """max(1 + max((1 - t) x) - sum(t x), 0) of scores x along the last axis; derivative 0 at the kink, and of equal
    scores the first counts as the largest.

    Targets, label_smoothing, class_weight and ignore_label as in sparsemax-loss. keras.losses.CategoricalHinge. The
    maximum includes the 0 of the target's own class.
    """
