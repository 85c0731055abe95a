"""Rates of each element's own, from averages or maxima of squares in rows and columns: little memory for matrices."""
from math import prod, sqrt

import numpy as np

from ..core.factored import bounded, scaled, squares as squares_of
from ..core.reductions import sum_of_squares
from ..hyperparameters import Hyperparameter
from .along import Along, apart, quotient
from .base import decay, epsilon, rate


class Adafactor(Along, name="Adafactor"):
    """beta2_t = 1 - t^beta2_decay; R += (1 - beta2_t)(mean of g^2 + eps1 in each row - R), C the same of columns;
    V = R C/mean(R); U = g/sqrt(V); alpha = max(eps2, RMS(p)) min(lr, 1/sqrt(t)); -alpha U/max(1, RMS(U)/d).

    Shazeer and Stern 2018, arXiv 1804.04235, algorithms 4 to 6: a matrix has an average of each row and column as its
    state. Rows and columns are the last two axes, of each index on those before them; a parameter of less than two axes
    has V += (1 - beta2_t)(g^2 + eps1 - V). RMS(x) = sqrt(mean(x^2)).

    The paper has 0.01 for lr; PyTorch's lr is that, too. PyTorch has eps1 (2^-23 in float32) as the least of mean(R) and
    of sqrt(V) instead of beside g^2; optax factors the two longest axes, if both are 128 or longer, and has alpha =
    learning_rate max(1e-3, RMS(p)); Keras has learning_rate 0.001.
    """

    lr = rate(1e-2)
    beta2_decay = Hyperparameter(-0.8, below=0)
    eps1 = epsilon(1e-30)
    eps2 = epsilon(1e-3)
    d = Hyperparameter(1.0, above=0)
    measures_p = True
    peers = {"torch": ("Adafactor", dict(lr=0.01, foreach=True)),
             "optax": ("adafactor", dict(learning_rate=0.01, min_dim_size_to_factor=1))}

    def arrays(self, shape):
        if len(shape) < 2:
            return {"v": [shape]}
        return {"R": [shape[:-1]], "C": [shape[:-2] + shape[-1:]]}

    def direction(self, h, t, g, state, squares):
        n, forgotten = g.size, t**h.beta2_decay
        if g.ndim < 2:
            constants = {"one_minus_beta2": forgotten, "eps1": h.eps1}
            new = dict(zip(("v",), apart("adafactor", constants, g, state["v"])))
            total = sum_of_squares(g)
        else:
            R, C, total = self._factored(h, g, state, forgotten)
            new = {"R": R, "C": C}
        alpha = max(h.eps2, sqrt(squares/n))*min(h.lr, 1/sqrt(t))
        return g, alpha/max(1, sqrt(total/n)/h.d), 1.0, new

    @staticmethod
    def _factored(h, g, state, forgotten):
        """(R, C, the sum of U^2); U takes the place of g."""
        *batch, rows, columns = g.shape
        matrices = g.reshape(prod(batch), rows, columns)
        of_rows, of_columns = squares_of(matrices)
        R, C = (old + forgotten*(total.reshape(old.shape)/length + h.eps1 - old) for old, total, length in (
            (np.asarray(state["R"], np.float64), of_rows, columns), (np.asarray(state["C"], np.float64), of_columns, rows)))
        R, C = R.astype(g.dtype), C.astype(g.dtype)
        factors = [np.sqrt(quotient(above, below)).astype(g.dtype).reshape(prod(batch), -1) for above, below in (
            (np.mean(R, -1, np.float64, keepdims=True), R.astype(np.float64)), (1.0, C.astype(np.float64)))]
        return R, C, scaled(matrices, *factors)


class SM3(Along, name="SM3"):
    """nu = min(mu_1, ..., mu_k) + g^2; mu_r = the largest nu of each index on axis r; u = g/sqrt(nu + eps), 0 where that
    root is 0; m = momentum m + (1 - momentum) u; -lr m.

    Anil et al. 2019, arXiv 1901.11150, SM3-II with its authors' momentum. Each of the k axes has a mu of its length: mu0,
    mu1, ... of the state; with one axis or none it is AdaGrad. optax's eps; the paper has
    none.
    """

    lr = rate(0.1)
    momentum = decay(0.9)
    eps = epsilon(1e-8)
    peers = {"optax": ("sm3", dict(learning_rate=0.1))}

    def arrays(self, shape):
        return {"m": [shape], **{f"mu{axis}": [(length,)] for axis, length in enumerate(shape or (1,))}}

    def direction(self, h, t, g, state, squares):
        if g.ndim < 2:
            mu = apart("adagrad", {"lr": -1, "eps_inside_root": h.eps, "eps": 0}, g, state["mu0"])
            new = {"mu0": mu[0].reshape(-1)}
        else:
            new = self._bounded(h, g, state)
        constants = {"one_minus_momentum": 1 - h.momentum, "of_gradient": 0, "of_average": 1}
        m, = apart("average", constants, g, state["m"])
        return g, h.lr, 1.0, {"m": m, **new}

    @staticmethod
    def _bounded(h, g, state):
        """The new mu of each axis; u takes the place of g. All axes but the last are one, with the least mu of each."""
        *outer, last = (state[f"mu{axis}"] for axis in range(g.ndim))
        least = outer[0]
        for mu in outer[1:]:
            least = np.minimum(least[..., None], mu)
        largest, of_last = bounded(g.reshape(1, -1, last.size), np.ascontiguousarray(least), last, h.eps)
        largest = largest.reshape(g.shape[:-1])
        axes = range(largest.ndim)
        found = [largest.max(tuple(other for other in axes if other != axis)) for axis in axes]
        return {f"mu{axis}": mu for axis, mu in enumerate([*found, of_last])}
