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
                                aliases=("BCEWithLogits", "BCEWithLogitsLoss", "sigmoid cross entropy")):
    """Binary cross entropy of sigmoid(x), from the logits x: log(1 + exp(x)) - x t; derivative sigmoid(x) - t.

    class_weight = (w0, w1) multiplies the terms of 1 - t and t, label_smoothing s makes t (1 - s) + s/2 of t, and targets
    that are ignore_label cost nothing and are not counted in a mean. torch.nn.BCEWithLogitsLoss, whose pos_weight p is
    class_weight=(1, p); keras.losses.BinaryCrossentropy(from_logits=True).
    """

    class_weight = Choice(None, checked_weights(2))

    def _formula(self):
        plain = self.class_weight is None and self.label_smoothing == 0
        return self.kernel if plain else "weighted_sigmoid_cross_entropy"

    @staticmethod
    def constants(h):
        negative, positive = (1, 1) if h.class_weight is None else h.class_weight
        return {**h.smoothed(h), "negative": negative, "positive": positive}


class SigmoidFocal(_Binary, name="sigmoid-focal", kernel="sigmoid_focal",
                   aliases=("focal", "focal loss", "binary focal", "BinaryFocalCrossentropy", "sigmoid focal loss")):
    """(alpha t + (1 - alpha)(1 - t)) q^gamma times the binary cross entropy of sigmoid(x), from the logits x, with
    q = p (1 - t) + (1 - p) t, p = sigmoid(x); alpha=None leaves the first factor out.  Lin et al. 2017, arXiv 1708.02002.

    torchvision.ops.sigmoid_focal_loss; keras.losses.BinaryFocalCrossentropy(from_logits=True) has alpha where
    apply_class_balancing=True. For gamma other than 0, 1, 2 and 3 the relative error grows with gamma log(q).
    """

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


class SoftmaxCrossEntropy(Rows, name="softmax-cross-entropy", kernel="softmax_cross_entropy",
                          aliases=("CrossEntropyLoss", "CategoricalCrossentropy", "SparseCategoricalCrossentropy")):
    """Cross entropy of softmax(x) along the last axis, from the logits x. Its derivative is softmax(x) - t.

    Targets are integer labels, of x's shape without its last axis, or distributions (one-hot), of x's shape.
    label_smoothing s makes (1 - s) t + s/classes of t; class_weight has a factor for each class, which multiplies the
    terms of that class; rows whose label is ignore_label cost nothing and are not counted. As in torch.nn.CrossEntropyLoss
    (its weight and ignore_index) a mean over labels divides by the sum of their class weights, one over distributions by
    the number of rows.
    """

    label_smoothing = Hyperparameter(0.0, at_least=0, below=1)
    ignore_label = Choice(None, checked_ignored_label)
    class_weight = Choice(None, checked_weights(None))

    @property
    def _smoothing(self):
        return self.label_smoothing

    @property
    def _ignored(self):
        return self.ignore_label

    @property
    def _classes(self):
        return self.class_weight
