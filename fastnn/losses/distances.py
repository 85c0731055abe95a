"""Losses of the difference d = y - t between a prediction and a target."""
from ..hyperparameters import Hyperparameter
from .base import Elementwise


class Square(Elementwise, name="Square", kernel="square_error", aliases=("half squared error", "L2 loss")):
    """(y - t)^2 / 2; optax.l2_loss, half of what others call squared error."""

    peers = {"optax": ("l2_loss", {})}


class SquaredError(Elementwise, name="squared-error", kernel="squared_difference",
                   aliases=("mse", "mean squared error", "MSELoss", "L2")):
    """(y - t)^2.

    torch.nn.MSELoss, keras.losses.MeanSquaredError, sklearn's mean_squared_error with reduction="mean".
    """

    peers = {"torch": ("MSELoss", {}), "optax": ("squared_error", {})}


class L1(Elementwise, name="L1", kernel="absolute_error",
         aliases=("mae", "mean absolute error", "absolute error", "L1Loss")):
    """|y - t|; derivative sign(y - t), 0 at 0.

    torch.nn.L1Loss, keras.losses.MeanAbsoluteError, sklearn's mean_absolute_error.
    """

    peers = {"torch": ("L1Loss", {})}


class Huber(Elementwise, name="Huber", kernel="huber", aliases=("HuberLoss",)):
    """d^2/2 for |d| <= delta, else delta (|d| - delta/2).  Huber 1964, Annals of Mathematical Statistics 35.

    torch.nn.HuberLoss, keras.losses.Huber, optax.huber_loss. delta smooth-L1 of beta = delta.
    """

    peers = {"torch": ("HuberLoss", {}), "optax": ("huber_loss", {})}

    delta = Hyperparameter(1.0, above=0, below=1e30)


class SmoothL1(Elementwise, name="smooth-L1", kernel="smooth_l1", aliases=("SmoothL1Loss",)):
    """d^2/(2 beta) for |d| < beta, else |d| - beta/2; with beta = 0 that is L1.  Girshick 2015, arXiv 1504.08083.

    torch.nn.SmoothL1Loss: Huber's loss of delta = beta, divided by beta.
    """

    peers = {"torch": ("SmoothL1Loss", {})}

    beta = Hyperparameter(1.0, at_least=0, below=1e30)


class LogCosh(Elementwise, name="log-cosh", kernel="log_cosh"):
    """log(cosh(d)); derivative tanh(d).  keras.losses.LogCosh, optax.log_cosh."""

    peers = {"optax": ("log_cosh", {})}


class Quantile(Elementwise, name="quantile", kernel="quantile", aliases=("pinball", "quantile loss", "pinball loss", "mean pinball loss")):
    """q (t - y) where the target is above the prediction, else (1 - q)(y - t); derivative 0 at 0.

    Koenker and Bassett 1978, Econometrica 46.

    sklearn's mean_pinball_loss. Its word for q, alpha, is taken, and tau, which others have.
    """

    words = {"alpha": ("q",), "tau": ("q",), "quantile": ("q",)}

    q = Hyperparameter(0.5, above=0, below=1)

    @staticmethod
    def constants(h):
        return {"q": h.q, "rest": 1 - h.q}


class EpsilonInsensitive(Elementwise, name="epsilon-insensitive", kernel="epsilon_insensitive", aliases=("SVR",)):
    """max(|d| - epsilon, 0); derivative 0 where |d| = epsilon.  Vapnik 1995, The Nature of Statistical Learning Theory.

    sklearn's SGDRegressor(loss="epsilon_insensitive"), with its epsilon of 0.1.
    """

    epsilon = Hyperparameter(0.1, at_least=0, below=1e30)


class SquaredEpsilonInsensitive(Elementwise, name="squared-epsilon-insensitive", kernel="squared_epsilon_insensitive"):
    """max(|d| - epsilon, 0)^2.  sklearn's SGDRegressor(loss="squared_epsilon_insensitive"), with its epsilon of 0.1."""

    epsilon = Hyperparameter(0.1, at_least=0, below=1e30)


class PercentageError(Elementwise, name="MAPE", kernel="percentage_error",
                      aliases=("mean absolute percentage error", "absolute percentage error")):
    """scale |d| / max(|t|, epsilon); derivative 0 at d = 0.

    keras.losses.MeanAbsolutePercentageError, with its epsilon and in percent; sklearn's mean_absolute_percentage_error
    has scale=1 and epsilon=2.2e-16.
    """

    epsilon = Hyperparameter(1e-7, above=0, below=1e30)
    scale = Hyperparameter(100.0, above=0, below=1e30)


class SquaredLogError(Elementwise, name="MSLE", kernel="squared_log_error",
                      aliases=("mean squared logarithmic error", "mean squared log error", "squared log error")):
    """(log(1 + y) - log(1 + t))^2 of y and t above -1.

    sklearn's mean_squared_log_error; keras.losses.MeanSquaredLogarithmicError holds y and t at 1e-7.
    """


class Contrastive(Elementwise, name="contrastive", kernel="contrastive", aliases=("contrastive loss",)):
    """t y^2 + (1 - t) max(margin - y, 0)^2 of distances y between two samples, t = 1 where they belong together.

    Hadsell, Chopra and LeCun 2006, CVPR, has half of it; TensorFlow Addons' ContrastiveLoss has this.
    """

    margin = Hyperparameter(1.0, above=0, below=1e30)


class HingeEmbedding(Elementwise, name="hinge-embedding", kernel="hinge_embedding", aliases=("HingeEmbeddingLoss",)):
    """y where t is 1, max(margin - y, 0) where it is -1 (or 0), of distances y between two samples; derivative 0 at the kink.

    torch.nn.HingeEmbeddingLoss.
    """

    peers = {"torch": ("HingeEmbeddingLoss", {})}

    margin = Hyperparameter(1.0, above=-1e30, below=1e30)
