"""The layers of an estimator: fastnn.nn's, around arrays that belong to the estimator; for training and predictions."""
import numpy as np

from fastnn.core.affine import activate_with_bias, add_bias, column_sums
from fastnn.core.decay import add_decay
from fastnn.core.reductions import sum_of_squares
from fastnn.nn.layers import Activation, Affine, Dropout
from fastnn.nn.passes import TrainingPass

BLOCK = 1 << 18         # elements of a layer's output that stay in a second-level cache, with what it is made of


class SparseAffine(Affine):
    """An Affine layer for rows that are a SciPy matrix or array; the first of a network."""

    def forward(self, x, train_flg=True, out=None):
        self._kept = x
        return add_bias(np.asarray(x @ self.W), self.b)

    def backward(self, dout, out=None, db=None):
        self.dW, self.db = np.asarray(self._kept.T @ dout), column_sums(dout)


class InvertedDropout(Dropout):
    """Dropout that scales what it leaves on while training: predictions are made with the weights as they are."""

    def forward(self, x, train_flg=True, out=None):
        y = super().forward(x, True, out)
        y *= y.dtype.type(1 / (1 - self.dropout_ratio))
        return y

    def backward(self, dout, out=None):
        dx = super().backward(dout, out)
        dx *= dx.dtype.type(1 / (1 - self.dropout_ratio))
        return dx


class Network:
    """Loss and gradients of `coefs` and `intercepts`: lists of arrays of one dtype, which may be changed in place.

    `alpha` and `l1` are factors of half the squared weights and of their absolute values, divided by the rows' weight.
    """

    def __init__(self, coefs, intercepts, activations, head, alpha=0.0, l1=0.0, dropout=(), rng=None, sparse=False):
        self.head, self.alpha, self.l1 = head, alpha, l1
        affine = [Affine(W, b) for W, b in zip(coefs, intercepts)]
        if sparse:
            affine[0] = SparseAffine(coefs[0], intercepts[0])
        self.affine, self.layers = affine, affine[:1]
        for i, following in enumerate(affine[1:]):
            self.layers.append(Activation(activations[i]))
            if dropout and dropout[i]:
                self.layers.append(InvertedDropout(dropout[i], rng))
            self.layers.append(following)
        self._passes = {}

    def set(self, coefs, intercepts):
        for layer, W, b in zip(self.affine, coefs, intercepts):
            layer.W, layer.b = W, b

    def loss_and_gradients(self, x, t, weights=None, penalize=None):
        """The loss, and lists of new arrays: the gradients of coefs and of intercepts.

        t is what the head's `targets` returned, weights those of the rows. `penalize` is given the factors of the
        penalties' gradients where somebody else adds them.
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


def predicted(x, coefs, intercepts, activations, head, sparse=False):
    """What the head makes of the last layer's scores, a new array of coefs' dtype, in blocks of rows."""
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
            if i < len(coefs) - 1:
                activate_with_bias(activations[i], out, b, out)
            else:
                add_bias(out, b)
            y = out
    return head.output(scores)
