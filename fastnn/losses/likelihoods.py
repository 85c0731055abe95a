"""Negative log-likelihoods: of classes by their log-probabilities, and of predictions whose spread is predicted, too."""
import math

from ..core import losses as compiled
from ..core.elementwise import ElementwiseLoss
from ..core.pair_losses import SHARE, reduced
from ..hyperparameters import Choice, Hyperparameter
from .base import Several, checked_flag
from .classes import OfLabels

WORDS = {"y_pred": "y", "y_true": "t"}


class _Likelihood(Several, ElementwiseLoss):
    """Of predictions, targets and the spread of each, the last of `inputs`."""

    full = Choice(False, checked_flag("full"))
    eps = Hyperparameter(1e-6, above=0, below=1e30)

    def _hyperparameter_set(self):
        addresses, names = compiled.OF_THREE[self.kernel]
        constants = self._kernel_constants(names)
        self._bind(addresses, (*constants, *[0.0] * (SHARE - len(constants)), 1.0))

    def _arrays(self, arrays, named):
        if words := [word for word in WORDS if word in named]:
            if arrays or len(words) < len(WORDS) or "y" in named or "t" in named:
                raise TypeError(f"{self.name}: give predictions and targets by position, or both by name: y_pred=, y_true=, "
                                f"{self.inputs[2]}=")
            named = {WORDS.get(word, word): value for word, value in named.items()}
        return super()._arrays(arrays, named)

    def _both(self, arrays, keep, sample_weight, reduction):
        y, t, spread = arrays
        value, gradients = reduced(self._bound, y, t, sample_weight, reduction, True, keep, share_at=SHARE, spread=spread,
                                   name=self.inputs[2])
        return value, None if gradients is None else tuple(each if each.ndim else each[()] for each in gradients)


class Gaussian(_Likelihood, name="Gaussian-NLL", kernel="gaussian",
               aliases=("GaussianNLLLoss", "Gaussian", "Gaussian negative log likelihood", "normal NLL")):
    """(log(var) + (y - t)^2/var)/2 of predictions y, targets t and variances var, in this order; with full=True the
    negative log-likelihood itself, log(2 pi)/2 more.  Nix and Weigend 1994, IEEE ICNN.

    A variance is clamped at eps from below, and the gradients are those at the clamped one. var has y's shape or that
    of its first axes, axes of length 1 are repeated, and its gradient has its shape. Raises ValueError where var is
    negative.

    torch.nn.GaussianNLLLoss; -log_prob of TensorFlow Probability's Normal has full=True, and its scale is sqrt(var).
    """

    peers = {"torch": ("GaussianNLLLoss", {})}

    inputs, gradients = ("y", "t", "var"), ("y", "var")

    @staticmethod
    def constants(h):
        return {"eps": h.eps, "constant": math.log(2 * math.pi) / 2 if h.full else 0}


class Laplace(_Likelihood, name="Laplace-NLL", kernel="laplace",
              aliases=("LaplaceNLLLoss", "Laplace", "Laplace negative log likelihood")):
    """log(scale) + |y - t|/scale of predictions y, targets t and scales, in this order; with full=True the negative
    log-likelihood itself, log(2) more. The derivative in y is 0 at y = t.

    A scale is clamped at eps from below, and has the shapes that a variance has in Gaussian-NLL. -log_prob of
    torch.distributions.Laplace and TensorFlow Probability's has full=True.
    """

    inputs, gradients = ("y", "t", "scale"), ("y", "scale")

    @staticmethod
    def constants(h):
        return {"eps": h.eps, "constant": math.log(2) if h.full else 0}


class NLL(OfLabels, name="NLL", kernel="log_likelihood", aliases=("NLLLoss", "negative log likelihood")):
    """-sum(t y) of log-probabilities y along the last axis; its derivative is -t.

    log-softmax returns log-probabilities. y is not read where the target is 0. Targets, label_smoothing, class_weight
    and ignore_label as in softmax-cross-entropy, which is NLL of log-softmax. torch.nn.NLLLoss, whose classes lie along
    the second axis.
    """

    peers = {"torch": ("NLLLoss", {})}

    _of_terms = True
