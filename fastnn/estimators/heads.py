"""The ends of the networks: an output activation with its loss, the loss's value and gradient in the scores before it.

Values and gradients are scikit-learn's: probabilities are held apart from 0 and 1 by the spacing of their type, and a
row's loss is the sum over its outputs, but for squared errors, where it is their mean and the gradient that of the sum.
"""
import math

import numpy as np
from scipy.special import xlogy

from fastnn.activations import get_act
from fastnn.core.reductions import sum_of_squares
from fastnn.losses import get_err


class Head:
    """`gradient(z, t, share)` is the loss and its gradient in z, a new array or z's own memory; `output(z)` is what
    predictions are made of, in z's memory.

    share holds what each row counts, as one column that sums to 1, or is None: all count the same.
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

    def gradient(self, z, t, share):
        y = np.exp(z, out=z)
        errors = xlogy(t, t / y) - t + y
        y -= t
        return _mean(errors, share), _shared(y, share)

    def output(self, z):
        return np.exp(z, out=z)


class Catalogued(Head):
    """A loss of the catalogue, element by element, of the scores themselves."""

    def __init__(self, dtype, loss):
        super().__init__(dtype)
        self._loss = loss

    def gradient(self, z, t, share):
        errors, gradient = self._loss._value_and_derivative(z, t, None, True)
        return _mean(errors, share), _shared(gradient, share)

    def output(self, z):
        return z


HEADS = {"softmax": Softmax, "logistic": Logistic, "exp": Poisson, "identity": Squared}
