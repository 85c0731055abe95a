"""PyTorch 2.14.1's losses, by the names, arguments and defaults of torch.nn and torch.nn.functional: they give the mean, as
there, unless `reduction` says otherwise.
"""
import numpy as np

from ..core import losses as compiled
from ..core.arrays import as_array
from ..core.elementwise import ElementwiseLoss
from ..core.pair_losses import SHARE, reduced
from ..core.row_losses import RowLoss
from ..core.triplets import computed_in, in_dtype
from ..hyperparameters import Hyperparameter
from ..losses.base import Several
from ..losses.classification import SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from ..losses.likelihoods import NLL
from .adapted import Adapted, AlongAnotherAxis, OfRows, weighed
from .translation import Dialect

torch = Dialect("torch", {})

def meant(size_average, reduce, reduction):
    """The reduction: PyTorch's two arguments of before it had that win, where one of them is given."""
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if not (value is None or isinstance(value, (bool, np.bool_))):
            raise TypeError(f"{name} must be True, False or None, not {value!r:.80}")
    if size_average is None and reduce is None:
        return reduction
    return "none" if reduce is not None and not reduce else "mean" if size_average is None or size_average else "sum"


def plain(own, *names):
    """Enter a loss without arguments of its own."""
    @torch.err(*names)
    def row(size_average=None, reduce=None, reduction="mean"):
        return own, dict(reduction=meant(size_average, reduce, reduction))


plain("squared-error", "MSELoss", "mse", "Square")          # twice what the catalogue's Square is
plain("L1", "L1Loss", "L1")
plain("soft-margin", "SoftMarginLoss", "soft-margin")


@torch.err("HuberLoss", "Huber")
def huber_loss(reduction="mean", delta=1.0):
    return "Huber", dict(delta=delta, reduction=reduction)


@torch.err("SmoothL1Loss", "smooth-L1")
def smooth_l1_loss(size_average=None, reduce=None, reduction="mean", beta=1.0):
    return "smooth-L1", dict(beta=beta, reduction=meant(size_average, reduce, reduction))


@torch.err("KLDivLoss", "kl_div", "KL")
def kl_div_loss(size_average=None, reduce=None, reduction="mean", log_target=False):
    if reduction == "batchmean":
        raise ValueError("reduction='batchmean' is reduction='sum' divided by the number of rows")
    return "KL", dict(log_target=log_target, reduction=meant(size_average, reduce, reduction))


@torch.err("PoissonNLLLoss", "Poisson")
def poisson_nll_loss(log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"):
    return "Poisson", dict(log_input=log_input, full=full, eps=eps, reduction=meant(size_average, reduce, reduction))


@torch.err("GaussianNLLLoss", "Gaussian-NLL")
def gaussian_nll_loss(*, full=False, eps=1e-6, reduction="mean"):
    return "Gaussian-NLL", dict(full=full, eps=eps, reduction=reduction)


@torch.err("HingeEmbeddingLoss", "hinge-embedding")
def hinge_embedding_loss(margin=1.0, size_average=None, reduce=None, reduction="mean"):
    return "hinge-embedding", dict(margin=margin, reduction=meant(size_average, reduce, reduction))


@torch.err("TripletMarginLoss", "triplet")
def triplet_margin_loss(margin=1.0, p=2.0, eps=1e-6, swap=False, size_average=None, reduce=None, reduction="mean"):
    return "triplet", dict(margin=margin, p=p, eps=eps, swap=swap, reduction=meant(size_average, reduce, reduction))


def no_weight(weight):
    if weight is not None:
        raise ValueError("the weight of each element is given to a call: sample_weight=")


@torch.err("BCELoss", "binary_cross_entropy", "Binary")
def bce_loss(weight=None, size_average=None, reduce=None, reduction="mean"):
    no_weight(weight)
    return "Binary", dict(reduction=meant(size_average, reduce, reduction))


@torch.err("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", "sigmoid-binary-cross-entropy")
def bce_with_logits_loss(weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    no_weight(weight)
    return "sigmoid-binary-cross-entropy", dict(pos_weight=pos_weight, reduction=meant(size_average, reduce, reduction))


class MultiLabelSoftMarginLoss(OfRows, SigmoidBinaryCrossEntropy):
    like, called = "torch", "MultiLabelSoftMarginLoss"


@torch.err("MultiLabelSoftMarginLoss")
def multilabel_soft_margin_loss(weight=None, size_average=None, reduce=None, reduction="mean"):
    if weight is not None:
        raise ValueError("fastnn's takes no weights of classes")
    return MultiLabelSoftMarginLoss, dict(reduction=meant(size_average, reduce, reduction))


class _SecondAxis(AlongAnotherAxis):
    """Classes lie along the second axis, of one row alone along the only one."""

    like = "torch"

    def _axis_of(self, x):
        return min(1, x.ndim - 1)


class CrossEntropyLoss(_SecondAxis, SoftmaxCrossEntropy):
    called = "CrossEntropyLoss"
    terms = {"weight": "class_weight", "ignore_index": "ignore_label", "label_smoothing": "label_smoothing"}


class NLLLoss(_SecondAxis, NLL):
    called = "NLLLoss"
    terms = {"weight": "class_weight", "ignore_index": "ignore_label"}


@torch.err("CrossEntropyLoss", "cross_entropy", "Cross", "softmax-cross-entropy")
def cross_entropy_loss(weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                       label_smoothing=0.0):
    """Of logits; classes lie along the second axis."""
    return CrossEntropyLoss, dict(class_weight=weight, ignore_label=ignore_index, label_smoothing=label_smoothing,
                                  reduction=meant(size_average, reduce, reduction))


@torch.err("NLLLoss", "NLL")
def nll_loss(weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """Of log-probabilities; classes lie along the second axis."""
    return NLLLoss, dict(class_weight=weight, ignore_label=ignore_index, reduction=meant(size_average, reduce, reduction))


class _OfTwo(Adapted, Several):
    """Of two inputs, and targets that are above 0 where they belong together, or the first is to be larger."""

    like, terms = "torch", {"margin": "margin"}
    inputs, gradients = ("input1", "input2", "target"), ("input1", "input2")

    def _pair(self, arrays):
        """The inputs in the dtype that is computed in, the target, and the dtype of results."""
        first, dtype = computed_in(arrays[0], "input1")
        second = in_dtype(computed_in(arrays[1], "input2")[0], first.dtype)
        if first.shape != second.shape:
            raise ValueError(f"{self.name}: input2 must have input1's shape {first.shape}, not {second.shape}")
        return first, second, as_array(arrays[2], "target"), dtype

    @staticmethod
    def _given(value, gradients, reduction, dtype):
        value = in_dtype(value, dtype) if reduction == "none" else value
        return value, gradients and tuple(in_dtype(each, dtype) for each in gradients)


class MarginRankingLoss(_OfTwo, ElementwiseLoss):
    """max(margin - t (x1 - x2), 0); derivative 0 at the kink."""

    name = called = "MarginRankingLoss"
    margin = Hyperparameter(0.0, above=-1e30, below=1e30)

    def _hyperparameter_set(self):
        self._bind(compiled.LOSSES["margin_ranking"][0], (self.margin, *[0.0] * (SHARE - 1), 1.0))

    def _both(self, arrays, keep, sample_weight, reduction):
        first, second, target, dtype = self._pair(arrays)
        value, gradient = reduced(self._bound, first - second, target, sample_weight, reduction, True, keep, share_at=SHARE)
        return self._given(value, (gradient, -gradient) if keep else None, reduction, dtype)


class CosineEmbeddingLoss(_OfTwo):
    """1 - cos(x1, x2) of rows where t is above 0, else max(cos(x1, x2) - margin, 0); derivative 0 at the kink.

    PyTorch adds 1e-12 to the squares of a norm: here a norm is clamped at 1e-8 from below.
    """

    name = called = "CosineEmbeddingLoss"
    margin = Hyperparameter(0.0, at_least=-1, below=1)

    def _hyperparameter_set(self):
        rows = RowLoss()
        rows._bind(compiled.ROW_LOSSES["cosine"][0], (1e-8,), False)
        self.__dict__["_rows"] = rows

    def _both(self, arrays, keep, sample_weight, reduction):
        first, second, target, dtype = self._pair(arrays)
        distance, of_first = self._rows._value_and_gradient(first, second, keep)
        if target.shape != distance.shape:
            raise ValueError(f"{self.name}: target must have shape {distance.shape}, one a row, not {target.shape}")
        far, apart = target <= 0, 1 - distance - self.margin
        sides = np.where(far, np.where(apart <= 0, 0.0, -1.0), np.where(target > 0, 1.0, np.nan))
        value = np.where(far, np.where(apart <= 0, 0, apart), np.where(target > 0, distance, np.nan))
        gradients = None
        if keep:
            _, of_second = self._rows._value_and_gradient(second, first)
            gradients = [np.where(sides[..., None] == 0, 0, each * sides[..., None]) for each in (of_first, of_second)]
        return self._given(*weighed(value, gradients, sample_weight, reduction), reduction, dtype)


@torch.err("MarginRankingLoss")
def margin_ranking_loss(margin=0.0, size_average=None, reduce=None, reduction="mean"):
    return MarginRankingLoss, dict(margin=margin, reduction=meant(size_average, reduce, reduction))


@torch.err("CosineEmbeddingLoss")
def cosine_embedding_loss(margin=0.0, size_average=None, reduce=None, reduction="mean"):
    return CosineEmbeddingLoss, dict(margin=margin, reduction=meant(size_average, reduce, reduction))


@torch.err("sigmoid_focal_loss", "sigmoid-focal")
def sigmoid_focal_loss(alpha=0.25, gamma=2, reduction="none"):
    """torchvision.ops.sigmoid_focal_loss, where a negative alpha leaves the factor out."""
    return "sigmoid-focal", dict(alpha=None if alpha is not None and alpha < 0 else alpha, gamma=gamma, reduction=reduction)
