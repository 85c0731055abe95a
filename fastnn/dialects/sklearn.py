"""scikit-learn 1.9.1: the solvers, activations and losses of MLPClassifier and MLPRegressor, by its names and defaults."""
from math import sqrt

import numpy as np

from ..activations import _registry as activations
from ..core.arrays import as_array
from ..core.triplets import computed_in
from ..losses import _registry as losses
from ..optimizers.base import decay, epsilon, rate
from .adapted import Adapted, held
from .translation import Dialect, Rule, is_zero

sklearn = Dialect("sklearn", {
    "alpha": "it is divided by the rows of a batch and spares intercepts: l2=alpha/rows, in a group",
    "learning_rate": "a learning rate that changes is a schedule: fastnn.schedules",
    "power_t": "a learning rate that changes is a schedule: fastnn.schedules"})


@sklearn.opt("sgd", "SGD", "SGDOptimizer")
def sgd(learning_rate_init=0.001, momentum=0.9, nesterovs_momentum=True, *, learning_rate="constant", power_t=0.5,
        alpha=None):
    if is_zero(momentum):
        return "SGD", dict(eta=learning_rate_init)
    return "Nesterov" if nesterovs_momentum else "Momentum", dict(lr=learning_rate_init, momentum=momentum)


class Adam(Rule, kernel="adam"):
    """m and v as in Adam; -learning_rate_init sqrt(1 - beta_2^t)/(1 - beta_1^t) m/(sqrt(v) + epsilon)."""

    name, like = "adam", "sklearn"
    _rate_name = "learning_rate_init"
    learning_rate_init = rate(1e-3)
    beta_1 = decay(0.9)
    beta_2 = decay(0.999)
    epsilon = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    @staticmethod
    def constants(h, t):
        return {"one_minus_beta1": 1 - h.beta_1, "one_minus_beta2": 1 - h.beta_2, "eps_inside_root": 0,
                "eps": h.epsilon, "corrected_lr": h.learning_rate_init * sqrt(1 - h.beta_2**t) / (1 - h.beta_1**t)}


@sklearn.opt("adam", "AdamOptimizer")
def adam(learning_rate_init=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, *, alpha=None):
    return Adam, dict(learning_rate_init=learning_rate_init, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


sklearn.same(activations, {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "ReLU": "relu",
                           "softmax": "softmax"})

# Losses: those of its networks and linear models, which are of each element, and its metrics, which are means. Predictions
# come first, as everywhere here, or by name: y_true=, y_pred=.

of_losses = Dialect("sklearn", {})              # whose alpha is another one
of_losses.same(losses, {"Square": "squared_error"})


@of_losses.err("epsilon_insensitive")
def epsilon_insensitive(epsilon=0.1):
    return "epsilon-insensitive", dict(epsilon=epsilon)


@of_losses.err("squared_epsilon_insensitive")
def squared_epsilon_insensitive(epsilon=0.1):
    return "squared-epsilon-insensitive", dict(epsilon=epsilon)


def metric(own, *names, **values):
    """Enter the mean of a loss that has no arguments there."""
    def row():
        return own, dict(reduction="mean", **values)
    of_losses.err(*names)(row)


metric("squared-error", "mean_squared_error", "mse")
metric("L1", "mean_absolute_error", "mae")
metric("MAPE", "mean_absolute_percentage_error", "mape", epsilon=2.220446049250313e-16, scale=1)
metric("MSLE", "mean_squared_log_error")
metric("hinge", "hinge_loss")


@of_losses.err("mean_pinball_loss", "quantile")
def mean_pinball_loss(alpha=0.5):
    return "quantile", dict(q=alpha, reduction="mean")


class LogLoss(Adapted, losses.catalogued("NLL")):
    """Of probabilities: of class 1 if they have one axis, else of each class. They are clipped at the dtype's epsilon.

    Rows are not divided by their sums, as in scikit-learn, which only warns. Where one was clipped its gradient is 0.
    """

    like, name, called = "sklearn", "log_loss", "log_loss"

    def _reduced_as(self):
        return {"normalize": self.reduction == "mean"}

    def _both(self, x, t, keep, sample_weight, reduction):
        x, dtype = computed_in(x, "y_pred")
        t = as_array(t, "y_true")
        eps = np.finfo(dtype if dtype.itemsize <= 8 and dtype.kind == "f" else x.dtype).eps
        p, kept = held(x, eps, 1 - eps)
        if x.ndim > 2 or x.shape[1:] == (1,) or x.ndim == 1 and t.shape != x.shape:
            raise ValueError("log_loss takes y_pred of shape (rows,) with y_true of 0 and 1, or (rows, classes), "
                             f"not {x.shape} with {t.shape}")
        if x.ndim < 2:
            if ((t != 0) & (t != 1)).any():
                raise ValueError("y_true must be 0 and 1 where y_pred is the probability of class 1")
            rows, t = np.stack([np.log1p(-p), np.log(p)], axis=-1), t.astype(np.intp)
        else:
            rows = np.log(p)
        value, gradient = super()._both(rows, t, keep, sample_weight, reduction)
        if keep and x.ndim < 2:
            gradient = gradient[..., 0] / (p - 1) + gradient[..., 1] / p
        elif keep:
            gradient = gradient / p
        return value, np.where(kept, gradient, 0).astype(dtype) if keep else None


@of_losses.err("log_loss", "Binary")
def log_loss(normalize=True):
    return LogLoss, dict(reduction="mean" if normalize else "sum")
