"""Losses of logits and scores, by labels or distributions."""
from .base import Elementwise, Rows


class SigmoidBinaryCrossEntropy(Elementwise, name="sigmoid-binary-cross-entropy", kernel="sigmoid_cross_entropy"):
    """Binary cross entropy of sigmoid(x), from the logits x: log(1 + exp(x)) - x t; derivative sigmoid(x) - t."""


class SoftmaxCrossEntropy(Rows, name="softmax-cross-entropy", kernel="softmax_cross_entropy"):
    """Cross entropy of softmax(x) along the last axis, from the logits x. Its derivative is softmax(x) - t.

    Targets are integer labels, of x's shape without its last axis, or distributions (one-hot), of x's shape.
    """
