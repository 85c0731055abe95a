"""The ends of the networks: an output activation with its loss, the loss's value and gradient in the scores before it.

Values and gradients are scikit-learn's: probabilities are clamped away from 0 and 1 by the spacing of their type, and a
row's loss is the sum over its outputs, but for squared errors, where it is their mean and the gradient that of the sum.
"""
import math

import numpy as np
from scipy.special import xlogy

from fastnn.activations import get_act
from fastnn.core.reductions import sum_of_squares
from fastnn.losses import get_err
from fastnn.nn.objectives import has_spread, loss_of as catalogued, task_of


class Head:
    """`gradient(z, t, share)` is the loss and its gradient in z, a new array or z's own memory; `output(z)` is what
    predictions are made of, in z's memory.

    `ending` names what predictions are made of: "softmax", "logistic", "shares" (logistic, divided by a row's sum), "exp"
    or "identity". share holds what each row counts, as one column that sums to 1, or is None: all count the same.
    """

    def __init__(self, dtype):
        self.least = float(np.finfo(dtype).eps)     # of a probability

    def targets(self, y, dtype):
        """What `gradient` takes, from scikit-learn's two-dimensional y."""
        return np.ascontiguousarray(y, dtype)


def _mean(errors, share):
    """Of the errors of rows, or of all outputs of rows: the sum over these, the mean over those, a float."""
    if share is not None:
        errors = errors * (share if errors.ndim == 2 else share[:, 0])
    total = float(np.add.reduce(errors, None, np.float64))
    return total / len(errors) if share is None else total


def _shared(gradient, share):
    gradient *= 1 / len(gradient) if share is None else share
    return gradient


class Softmax(Head):

    ending = "softmax"

    def __init__(self, dtype):
        super().__init__(dtype)
        self._loss, self._softmax = get_err("softmax-cross-entropy"), get_act("softmax")
        self._losses = -math.log1p(-self.least), -math.log(self.least)

    def targets(self, y, dtype):
        return y.argmax(axis=1)

    def gradient(self, z, t, share):
        errors, gradient = self._loss._value_and_gradient(z, t)
        least, most = self._losses
        np.minimum(np.maximum(errors, least, out=errors), most, out=errors)
        return _mean(errors, share), _shared(gradient, share)

    def output(self, z):
        return self._softmax.forward(z, out=z)


class Logistic(Head):

    ending = "logistic"

    def __init__(self, dtype):
        super().__init__(dtype)
        self._sigmoid, self._loss = get_act("sigmoid"), get_err("Binary")

    def gradient(self, z, t, share):
        y = self._sigmoid.forward(z, out=z)
        held = np.maximum(y, self.least)
        np.minimum(held, 1 - self.least, out=held)
        errors, _ = self._loss._value_and_derivative(held, t, held, False)
        y -= t
        return _mean(errors, share), _shared(y, share)

    def output(self, z):
        return self._sigmoid.forward(z, out=z)


class Squared(Head):

    ending = "identity"

    def gradient(self, z, t, share):
        z -= t
        if share is None:
            loss = sum_of_squares(z) / z.size
        else:
            loss = _mean(np.square(z), share) / z.shape[1]
        return 0.5 * loss, _shared(z, share)

    def output(self, z):
        return z


class Poisson(Head):

    ending = "exp"

    def gradient(self, z, t, share):
        y = np.exp(z, out=z)
        errors = xlogy(t, t / y) - t + y
        y -= t
        return _mean(errors, share), _shared(y, share)

    def output(self, z):
        return np.exp(z, out=z)


class Catalogued(Head):
    """A loss of the catalogue, of the scores or of what `through` makes of them."""

    def __init__(self, dtype, loss, through, ending, labels=False):
        super().__init__(dtype)
        self._loss, self.ending, self._labels = loss, ending, labels
        self._through = through and get_act(through)

    def targets(self, y, dtype):
        return y.argmax(axis=1) if self._labels else super().targets(y, dtype)

    def gradient(self, z, t, share):
        y = z if self._through is None else self._through.forward(z)
        errors, gradient = self._loss.value_and_grad(y, t, reduction="none")
        if self._through is not None:
            gradient = self._through.backward(z, y, grad=gradient)
        return _mean(errors, share), _shared(gradient, share)

    def output(self, z):
        if self.ending == "identity":
            return z
        if self.ending == "exp":
            return np.exp(z, out=z)
        y = get_act("softmax" if self.ending == "softmax" else "sigmoid").forward(z, out=z)
        if self.ending == "shares":
            y /= np.maximum(y.sum(axis=1, keepdims=True), np.finfo(y.dtype).tiny)
        return y


class Spread(Head):
    """A loss of predictions and their spread: predictions in the first half of the scores, the logarithm of the variance,
    or of the scale, in the second."""

    ending = "identity"

    def __init__(self, dtype, loss):
        super().__init__(dtype)
        self._loss = loss

    def gradient(self, z, t, share):
        y, spread = self.parts(z)
        errors, (of_y, of_spread) = self._loss.value_and_grad(y, t, spread, reduction="none")
        return _mean(errors, share), _shared(np.concatenate([of_y, of_spread * spread], axis=1), share)

    def output(self, z):
        return self.parts(z)[0].copy()

    def parts(self, z):
        """Predictions, and the variance or scale of each."""
        half = z.shape[1] // 2
        return z[:, :half], np.exp(z[:, half:])

    def std(self, z):
        """The standard deviation of each prediction."""
        spread = self.parts(z)[1]
        return np.sqrt(spread) if self._loss.inputs[2] == "var" else math.sqrt(2) * spread


HEADS = {"softmax": Softmax, "logistic": Logistic, "exp": Poisson, "identity": Squared}


def loss_of(given, classifies):
    """A loss of the catalogue, or None for scikit-learn's own. Raises TypeError or ValueError."""
    own = ("log_loss",) if classifies else ("squared_error", "poisson")
    if isinstance(given, str) and given in own:
        return None
    loss = catalogued(given)
    if has_spread(loss) and classifies:
        raise TypeError(f"{loss.name!r} is a loss of numbers and their spread: it is MLPRegressor's")
    if classifies and loss.name in ("contrastive", "hinge-embedding"):
        raise TypeError(f"{loss.name!r} is a loss of distances, which are small where the answer is yes")
    return loss


def head_of(loss, out_activation, classifies, dtype):
    """The end of a network with that output activation and a loss, or None for scikit-learn's own.

    Raises ValueError where they do not fit.
    """
    if loss is None:
        return HEADS[out_activation](dtype)
    if has_spread(loss):
        return Spread(dtype, loss)
    task = task_of(loss)
    if task.targets == "classes":
        if not classifies:
            raise ValueError("is a loss of labels, not of numbers")
        if out_activation != "softmax":
            raise ValueError("is one of several classes: for two of them, and for several labels a row, there are "
                             "'sigmoid-focal', 'hinge' and others")
        through = {"logarithms of probabilities": "log-softmax", "probabilities": "softmax"}.get(task.outputs)
        return Catalogued(dtype, loss, through, "softmax", labels=True)
    single = task.targets == "yes or no" or not classifies and task.targets == "numbers"
    if classifies:
        if task.targets == "distributions" and out_activation != "softmax":
            raise ValueError("is one of several classes, not of two, or of several labels a row")
        if single:
            ending = "shares" if out_activation == "softmax" else "logistic"
        else:
            ending = out_activation
    elif task.targets == "distributions":
        ending = "softmax"
    elif task.targets == "yes or no" and task.outputs != "scores":
        ending = "logistic"
    else:
        ending = "exp" if loss.name == "Poisson" or task.outputs == "rates" else "identity"
    if task.outputs in ("logits", "scores") and (task.targets == "yes or no" or not classifies):
        through = None
    elif task.outputs == "rates":
        through = "exponential"
    elif task.outputs == "logarithms of probabilities":
        through = "log-softmax"
    else:
        through = "softmax" if ending == "softmax" else "sigmoid"
    return Catalogued(dtype, loss, through, ending)
