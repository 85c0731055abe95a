"""Losses of logits and scores, by labels or distributions."""
from ..hyperparameters import Choice, Hyperparameter
from .base import Elementwise, Rows, checked_ignored_label, checked_weights


class _Binary(Elementwise):
    """Of targets 0 and 1, or between them."""

    label_smoothing = Hyperparameter(0.0, at_least=0, below=1)
    ignore_label = Hyperparameter(None, optional=True)

    @property
    def _ignored(self):
        return self.ignore_label

    @staticmethod
    def smoothed(h):
        return {"kept": 1 - h.label_smoothing, "spread": h.label_smoothing / 2}


class SigmoidBinaryCrossEntropy(_Binary, name="sigmoid-binary-cross-entropy", kernel="sigmoid_cross_entropy",
                                aliases=("BCEWithLogits", "BCEWithLogitsLoss", "sigmoid cross entropy",
                                         "binary cross entropy with logits")):
    """Binary cross entropy of sigmoid(x), from the logits x: log(1 + exp(x)) - x t; derivative sigmoid(x) - t.

    class_weight = (w0, w1) multiplies the terms of 1 - t and t, label_smoothing s makes t (1 - s) + s/2 of t, and targets
    that are ignore_label cost nothing and are not counted in a mean. torch.nn.BCEWithLogitsLoss, whose pos_weight p is
    class_weight=(1, p); keras.losses.BinaryCrossentropy(from_logits=True).
    """

    peers = {"torch": ("BCEWithLogitsLoss", {}), "optax": ("sigmoid_binary_cross_entropy", {})}

    class_weight = Choice(None, checked_weights(2))

    def _formula(self):
        plain = self.class_weight is None and self.label_smoothing == 0
        return self.kernel if plain else "weighted_sigmoid_cross_entropy"

    @staticmethod
    def constants(h):
        negative, positive = (1, 1) if h.class_weight is None else h.class_weight
        return {**h.smoothed(h), "negative": negative, "positive": positive}


class SigmoidFocal(_Binary, name="sigmoid-focal", kernel="sigmoid_focal",
                   aliases=("focal", "focal loss", "binary focal", "sigmoid focal loss")):
    """(alpha t + (1 - alpha)(1 - t)) q^gamma times the binary cross entropy of sigmoid(x), from the logits x, with
    q = p (1 - t) + (1 - p) t, p = sigmoid(x); alpha=None leaves the first factor out.  Lin et al. 2017, arXiv 1708.02002.

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
        return {**h.smoothed(h), **factors, "negative": negative, "positive": positive, "gamma": h.gamma}

    def _formula(self):
        return "sigmoid_focal" if self.gamma in (0, 1, 2, 3) else "sigmoid_focal_power"


class Hinge(Elementwise, name="hinge", kernel="hinge", aliases=("hinge loss",)):
    """max(1 - t y, 0) of scores y and targets -1 and 1, or 0 and 1, where 0 stands for -1; derivative 0 at the kink.

    keras.losses.Hinge, optax.hinge_loss, sklearn's hinge_loss. Targets that are ignore_label cost nothing and are not
    counted in a mean.  Cortes and Vapnik 1995, Machine Learning 20.
    """

    ignore_label = Hyperparameter(None, optional=True)
    _ignored = _Binary._ignored


class SquaredHinge(Elementwise, name="squared-hinge", kernel="squared_hinge"):
    """max(1 - t y, 0)^2, with targets as in hinge. keras.losses.SquaredHinge, sklearn's LinearSVC."""

    ignore_label = Hyperparameter(None, optional=True)
    _ignored = _Binary._ignored


class SoftMargin(Elementwise, name="soft-margin", kernel="soft_margin", aliases=("SoftMarginLoss",)):
    """log(1 + exp(-t y)) of scores y, with targets as in hinge.  torch.nn.SoftMarginLoss."""

    peers = {"torch": ("SoftMarginLoss", {})}


class _Ignoring(Rows):
    """Of labels, of which one may count for nothing, or distributions."""

    ignore_label = Choice(None, checked_ignored_label)

    @property
    def _ignored(self):
        return self.ignore_label


class _Labels(_Ignoring):
    """Of distributions, which may be smoothed, and have weights of classes."""

    label_smoothing = Hyperparameter(0.0, at_least=0, below=1)
    class_weight = Choice(None, checked_weights(None))

    @property
    def _smoothing(self):
        return self.label_smoothing

    @property
    def _classes(self):
        return self.class_weight


class SoftmaxCrossEntropy(_Labels, name="softmax-cross-entropy", kernel="softmax_cross_entropy",
                          aliases=("CrossEntropyLoss",)):
    """Cross entropy of softmax(x) along the last axis, from the logits x. Its derivative is softmax(x) - t.

    Targets are integer labels, of x's shape without its last axis, or distributions (one-hot), of x's shape.
    label_smoothing s makes (1 - s) t + s/classes of t; class_weight has a factor for each class, which multiplies the
    terms of that class; rows whose label is ignore_label cost nothing and are not counted. As in torch.nn.CrossEntropyLoss
    (its weight and ignore_index) a mean over labels divides by the sum of their class weights, one over distributions by
    the number of rows.
    """

    peers = {"torch": ("CrossEntropyLoss", {}), "optax": ("softmax_cross_entropy_with_integer_labels", {})}


class SoftmaxFocal(_Labels, name="softmax-focal", kernel="softmax_focal",
                   aliases=("categorical focal", "softmax focal loss")):
    """-sum(t (1 - p)^gamma log(p)) with p = softmax(x) along the last axis.  Lin et al. 2017, arXiv 1708.02002.

    Targets, label_smoothing, class_weight and ignore_label as in softmax-cross-entropy, which it is with gamma = 0;
    keras.losses.CategoricalFocalCrossentropy(from_logits=True) has an alpha of 0.25, the same for all classes.
    """

    gamma = Hyperparameter(2.0, at_least=0, below=1e3)

    @staticmethod
    def constants(h):
        return {"gamma": h.gamma, **{name: h.gamma >= k and h.gamma in (1, 2, 3)
                                     for k, name in enumerate(("one", "two", "three"), 1)}}


class Sparsemax(_Ignoring, name="sparsemax-loss", kernel="sparsemax", aliases=("sparsemax loss",)):
    """sum over the support of (x^2 - tau^2)/2 + t t/2 - t x of the scores x along the last axis; its derivative is
    sparsemax(x) - t, where sparsemax(x) = max(x - tau, 0) sums to one.  Martins and Astudillo 2016, arXiv 1602.02068.

    Targets are integer labels or distributions, as in softmax-cross-entropy. optax.losses.multiclass_sparsemax_loss.
    """

    peers = {"optax": ("multiclass_sparsemax_loss", {})}


class CategoricalHinge(_Ignoring, name="categorical-hinge", kernel="categorical_hinge"):
    """max(1 + max((1 - t) x) - sum(t x), 0) of scores x along the last axis; derivative 0 at the kink, and of equal scores
    the first counts as the largest.

    Targets are integer labels or one-hot rows. keras.losses.CategoricalHinge: the target's own 0 is among the others.
    """
