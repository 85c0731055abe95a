"""Losses of how alike two rows are."""
from ..hyperparameters import Hyperparameter
from .base import Rows


class _Pairs(Rows):
    """Of rows of one shape, predictions and targets."""

    _takes_labels = False


class Cosine(_Pairs, name="cosine", kernel="cosine", aliases=("cosine distance",)):
    """1 - x t/(|x| |t|) of rows along the last axis, a norm taken as no less than eps.

    1 - torch.nn.functional.cosine_similarity; optax.cosine_distance; keras.losses.CosineSimilarity is 1 less. "Cosine
    similarity" alone is refused: it is a loss in one library, and 1 - loss in the others.
    """

    peers = {"optax": ("cosine_distance", {})}

    eps = Hyperparameter(1e-8, above=0, below=1e30)


class Tversky(_Pairs, name="Tversky", kernel="tversky"):
    """1 - (TP + smooth)/(TP + alpha FP + beta FN + smooth) of probabilities x along the last axis, with TP = sum(x t),
    FP = sum(x (1 - t)), FN = sum((1 - x) t).  Salehi et al. 2017, arXiv 1706.05721.

    keras.losses.Tversky takes the whole batch as one row, has alpha and beta the other way round, and adds its epsilon to
    the denominator alone: like="keras".
    """

    alpha = Hyperparameter(0.5, at_least=0, below=1e30)
    beta = Hyperparameter(0.5, at_least=0, below=1e30)
    smooth = Hyperparameter(1e-7, above=0, below=1e30)

    @staticmethod
    def constants(h):
        return {"alpha": h.alpha, "beta": h.beta, "smooth": h.smooth, "held": 0}


class Dice(_Pairs, name="dice", kernel="tversky", aliases=("dice loss",)):
    """1 - (2 sum(x t) + smooth)/(sum(x) + sum(t) + smooth) of probabilities x along the last axis: Tversky's with
    alpha = beta = 1/2.  Sudre et al. 2017, arXiv 1707.03237.

    keras.losses.Dice takes the whole batch as one row, and adds its epsilon to the denominator alone: like="keras".
    """

    smooth = Hyperparameter(1e-7, above=0, below=1e30)

    @staticmethod
    def constants(h):
        return {"alpha": 0.5, "beta": 0.5, "smooth": h.smooth / 2, "held": 0}
