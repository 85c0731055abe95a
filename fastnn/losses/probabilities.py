"""Losses of predicted probabilities, rates, and their logarithms."""
from ..hyperparameters import Choice, Hyperparameter
from .base import Elementwise, checked_flag
from .classes import OfDistributions, OfTwoClasses


class Binary(OfTwoClasses, name="Binary", kernel="binary_cross_entropy",
             aliases=("bce", "BCELoss", "binary cross entropy", "BinaryCrossentropy", "log loss")):
    """Binary cross entropy -t log(y) - (1 - t) log(1 - y) of probabilities y.

    At y = 0 and 1 the logarithm is clamped at -100 and the gradient's denominator at 1e-12, so both stay finite.
    label_smoothing, class_weight and ignore_label as in sigmoid-binary-cross-entropy.
    torch.nn.BCELoss; Keras clips y at 1e-7.
    """

    peers = {"torch": ("BCELoss", {})}

    _of_terms = True


class Cross(OfDistributions, name="Cross", kernel="cross_entropy"):
    """Cross entropy -t log(y) of probabilities y; logarithm clamped at -100, the gradient's denominator at 1e-12.

    The targets are distributions along the last axis. label_smoothing s makes (1 - s) t + s/classes of t, class_weight
    has a factor for each class. Elements whose target is ignore_label have loss 0 and are not counted in a mean.
    """


class KL(Elementwise, name="KL", kernel="kl_of_logs",
         aliases=("KLDiv", "KLDivLoss", "Kullback-Leibler", "relative entropy")):
    """Kullback-Leibler divergence t (log(t) - y) of log-probabilities y, 0 where t is 0; its derivative is -t.

    With log_target=True targets are logarithms, too: exp(t) (t - y). With log_input=False predictions are probabilities:
    t log(t/y), infinite at y = 0 where t is above 0, and so is the derivative -t/y. The sum over the classes is the
    divergence.
    Kullback and Leibler 1951, Annals of Mathematical Statistics 22.
    torch.nn.KLDivLoss; keras.losses.KLDivergence is log_input=False, clipped at 1e-7 and summed along the last axis.
    """

    peers = {"torch": ("KLDivLoss", {})}

    log_input = Choice(True, checked_flag("log_input"))
    log_target = Choice(False, checked_flag("log_target"))

    def _check_together(self, values):
        now = {**self.__dict__, **values}
        if now["log_target"] and not now["log_input"]:
            raise ValueError("KL: log_target=True goes with log_input=True")

    def _formula(self):
        return "kl_of_two_logs" if self.log_target else "kl_of_logs" if self.log_input else "kl_of_probabilities"


class JensenShannon(Elementwise, name="Jensen-Shannon", kernel="jensen_shannon", aliases=("JS", "JS divergence")):
    """(t log(t/m) + y log(y/m))/2 of probabilities, m = (y + t)/2; its derivative is log(y/m)/2.

    The error is finite wherever y and t are. Its derivative has no bound as y goes to 0 where t is above 0; at y = 0 it is
    held at -1000, below all others, so that softmax's derivative, which multiplies it by y, is 0 there and not NaN. The sum over the classes is the divergence, at most log(2), the square of scipy.spatial.distance.jensenshannon.
    Lin 1991, IEEE Transactions on Information Theory 37.
    """


class Poisson(Elementwise, name="Poisson", kernel="poisson_of_log", aliases=("PoissonNLL", "PoissonNLLLoss")):
    """Negative log-likelihood of counts t, without log(t!): exp(y) - t y where y is the logarithm of the rate.

    With log_input=False y is the rate itself: y - t log(y + eps). full=True adds Stirling's formula for log(t!),
    t log(t) - t + log(2 pi t)/2, where t is above 1; the derivative is the same. torch.nn.PoissonNLLLoss; keras.losses.Poisson is
    log_input=False, eps=1e-7; sklearn's mean_poisson_deviance is twice that, less what depends on t alone.
    """

    peers = {"torch": ("PoissonNLLLoss", {})}

    log_input = Choice(True, checked_flag("log_input"))
    full = Choice(False, checked_flag("full"))
    eps = Hyperparameter(1e-8, above=0, below=1e30)

    def _formula(self):
        return f"poisson{'_of_log' * self.log_input}{'_full' * self.full}"
