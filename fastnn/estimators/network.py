"""The layers of an estimator: fastnn.nn's, around arrays that belong to the estimator; for training and predictions."""
import math

import numpy as np

from fastnn.core.affine import activate_with_bias, add_bias, column_sums
from fastnn.core.decay import add_decay
from fastnn.core.elementwise import ElementwiseActivation
from fastnn.core.reductions import sum_of_squares
from fastnn.nn.layers import Activation, Affine, BatchNormalization, Dropout, drawing
from fastnn.nn.passes import TrainingPass

BLOCK = 1 << 18         # elements of a layer's output that stay in a second-level cache, with what it is made of


class SparseAffine(Affine):
    """An Affine layer for rows that are a SciPy matrix or array; the first of a network."""

    def forward(self, x, train_flg=True, out=None):
        self._kept = x
        return add_bias(np.asarray(x @ self.W), self.b)

    def backward(self, dout, out=None, db=None):
        self.dW, self.db = np.asarray(self._kept.T @ dout), column_sums(dout)


class Hidden:
    """What stands behind the product of a hidden layer: a normalization or none, and an activation.

    `arrays` is what they learned, and running values, by name; the layers have these arrays themselves.
    """

    def __init__(self, activation, units, dtype, normalization=None, arrays=None, rng=None):
        self.activation = Activation(activation, rng)
        self.width = units * self.activation.inputs_per_output
        self.outputs = self.activation.width_of(self.width)
        self.norm = normalization and normalization[1](self.width, dtype)
        self._owners = {}           # name -> what has that array, as which attribute
        if self.norm is not None:
            self._owners.update((name, (self.norm, name)) for name in self.norm.learned)
        self._owners.update((f"act_{name}", (self.activation.owner, name)) for name in self.activation.learned)
        self.learned = tuple(self._owners)
        if isinstance(self.norm, BatchNormalization):
            self._owners.update((name, (self.norm, name)) for name in ("running_mean", "running_var"))
        for name in self._owners:
            value = self.get(name) if arrays is None else arrays[name]
            self.set(name, np.require(value, dtype, ["C", "A", "W"]))

    @property
    def plain(self):
        """Whether there is an elementwise activation alone."""
        return self.norm is None and isinstance(self.activation.activation, ElementwiseActivation)

    def get(self, name):
        return getattr(*self._owners[name])

    def set(self, name, value):
        setattr(*self._owners[name], value)

    def gradient(self, name):
        owner, attribute = self._owners[name]
        return getattr(owner, f"d{attribute}")

    def arrays(self, params=None, i=0):
        """Copies by name; of what is learned those in `params`, layer i's, where these are given."""
        given = {} if params is None else {name: params[f"{name}{i}"] for name in self.learned}
        return {name: np.array(given[name] if name in given else self.get(name)) for name in self._owners}

    def applied(self, z, b):
        """Outputs of scores z without their bias; z's memory is written."""
        if self.plain:
            return activate_with_bias(self.activation.activation, z, b, z)
        add_bias(z, b)
        if self.norm is not None:
            z = self.norm.forward(z, False)
        return self.activation.forward(z, False)


class Network:
    """Loss and gradients of `coefs` and `intercepts`: lists of arrays of one dtype, which may be changed in place.

    `alpha` and `l1` are factors of half the squared weights and of their absolute values, divided by the rows' weight.
    """

    def __init__(self, coefs, intercepts, hidden, head, alpha=0.0, l1=0.0, dropout=(), rng=None, sparse=False):
        self.head, self.alpha, self.l1, self.hidden = head, alpha, l1, hidden
        affine = [Affine(W, b) for W, b in zip(coefs, intercepts)]
        if sparse:
            affine[0] = SparseAffine(coefs[0], intercepts[0])
        self.affine, self.layers = affine, affine[:1]
        for i, (between, following) in enumerate(zip(hidden, affine[1:])):
            if between.norm is not None:
                self.layers.append(between.norm)
            self.layers.append(between.activation)
            if dropout and dropout[i]:
                self.layers.append(Dropout(dropout[i], rng, inverted=True))
            self.layers.append(following)
        self._passes = {}

    @property
    def params(self):
        """The parameters by the keys under which they are stepped."""
        found = {}
        for i, layer in enumerate(self.affine, start=1):
            found[f"W{i}"], found[f"b{i}"] = layer.W, layer.b
            if i <= len(self.hidden):
                found.update((f"{name}{i}", self.hidden[i - 1].get(name)) for name in self.hidden[i - 1].learned)
        return found

    def gradients(self):
        """Those of the last pass, by the same keys."""
        found = {}
        for i, layer in enumerate(self.affine, start=1):
            found[f"W{i}"], found[f"b{i}"] = layer.dW, layer.db
            if i <= len(self.hidden):
                found.update((f"{name}{i}", self.hidden[i - 1].gradient(name)) for name in self.hidden[i - 1].learned)
        return found

    def put(self, params):
        """Take these arrays as parameters."""
        self.set(*listed(params))
        for i, between in enumerate(self.hidden, start=1):
            for name in between.learned:
                between.set(name, params[f"{name}{i}"])

    def set(self, coefs, intercepts):
        for layer, W, b in zip(self.affine, coefs, intercepts):
            layer.W, layer.b = W, b

    def running(self):
        """What a pass changes besides the gradients, to be put back: a list of (layer, mean, variance)."""
        return [(each.norm, each.norm.running_mean, each.norm.running_var) for each in self.hidden
                if isinstance(each.norm, BatchNormalization)]

    def drawing(self):
        """The layers that draw random numbers."""
        return drawing(self.layers)

    def loss_and_gradients(self, x, t, weights=None, penalize=None):
        """The loss, and lists of new arrays: the gradients of coefs and of intercepts.

        t is what the head's `targets` returned, weights those of the rows. `penalize` is given the factors of the
        penalties' gradients where the caller adds them.
        """
        rows = x.shape[0]
        total = rows if weights is None else float(weights.sum())
        if total == 0:
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        share = None if weights is None else (weights / total).astype(self.affine[0].W.dtype, copy=False)[:, np.newaxis]
        for layer in self.affine:               # the next gradients may lie where the last ones did
            layer.dW = layer.db = None
        training = self._passes.get(rows)
        if training is None:
            if len(self._passes) > 1:           # a batch and the last, smaller one of an epoch
                self._passes.clear()
            training = self._passes[rows] = TrainingPass(self.layers, rows, self.affine[0].W.dtype)
        loss, dout = self.head.gradient(training.forward(x), t, share)
        training.backward(dout)
        l2, l1 = self.alpha / total, self.l1 / total
        if penalize is not None:
            penalize(l2, l1)
        elif l2 or l1:
            for layer in self.affine:
                add_decay(layer.dW, layer.W, l2, l1)
        for layer in self.affine if l2 or l1 else ():
            loss += 0.5 * l2 * sum_of_squares(layer.W)
            if l1:
                loss += l1 * float(np.abs(layer.W).sum(dtype=np.float64))
        return loss, [layer.dW for layer in self.affine], [layer.db for layer in self.affine]


def listed(params):
    """Coefficients and intercepts, each a list."""
    count = sum(key[0] == "W" for key in params)
    return tuple([params[f"{kind}{i}"] for i in range(1, count + 1)] for kind in "Wb")


def predicted(x, coefs, intercepts, hidden, output, sparse=False, look=None):
    """What `output`, a head's, makes of the last layer's scores, a new array of coefs' dtype; products are in blocks of rows.

    `look`, if given, is called once where the first product is not finite, which of an x that is not it never is.
    """
    rows, widest = x.shape[0], max(W.shape[1] for W in coefs)
    block = max(64, BLOCK // widest)
    scores = np.empty((rows, coefs[-1].shape[1]), coefs[0].dtype)
    room = [np.empty((min(block, rows), W.shape[1]), W.dtype) for W in coefs[:-1]]
    for start in range(0, rows, block):
        y = x[start:start + block]
        if y.dtype != scores.dtype:
            y = y.astype(scores.dtype)
        for i, (W, b) in enumerate(zip(coefs, intercepts)):
            n = y.shape[0]
            out = scores[start:start + n] if i == len(coefs) - 1 else room[i][:n]
            if sparse and i == 0:
                out[...] = y @ W
            else:
                np.dot(y, W, out=out)
            if look is not None and i == 0 and not math.isfinite(sum_of_squares(out)):
                look()
                look = None
            y = hidden[i].applied(out, b) if i < len(hidden) else add_bias(out, b)
    return output(scores)
