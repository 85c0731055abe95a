"""A pass over all rows, batch by batch."""
import numpy as np
from scipy.sparse import issparse


class Epoch:
    """Steps of `solver` on the parameters of `net`, in place, with the rows of X, their targets and weights.

    Attributes
    ----------
    params : dict of ndarray
        "W1", "b1", "gamma1", "beta1", "act_alpha1", "W2", ...
    """

    def __init__(self, net, solver, X, t, weights, size):
        self.net, self.solver, self.X, self.t, self.weights, self.size = net, solver, X, t, weights, size
        self.n = X.shape[0]
        self.dtype = net.affine[0].W.dtype
        self.sparse = issparse(X)
        if self.sparse:
            self.X = X.tocsr().astype(self.dtype, copy=False)
        else:
            self._room = np.empty((size, X.shape[1]), X.dtype)
        self.params = net.params

    def run(self, order):
        """The mean loss of the batches, each before its step. order: the rows' indices, or None as they lie."""
        total = 0.0
        for start in range(0, self.n, self.size):
            rows = slice(start, min(start + self.size, self.n))
            count = rows.stop - start
            if order is not None:
                rows = order[rows]
            total += self._step(self._batch(rows, count), self.t[rows],
                                None if self.weights is None else self.weights[rows]) * count
        return total / self.n

    def agreed(self, stops):
        """Whether training ends here."""
        return stops

    def _batch(self, rows, count):
        """These rows of X, the memory of the last batch where they are drawn from it."""
        if self.sparse or isinstance(rows, slice):
            x = self.X[rows]
        else:
            x = self.X.take(rows, 0, self._room[:count], "clip")        # which spares a copy: indices are in range
        return x if x.dtype == self.dtype else x.astype(self.dtype)

    def _step(self, x, t, weights):
        sam = self.solver.ascending
        loss, grads = self._pass(x, t, weights)
        if sam is None:
            self.solver.update_params(self.params, grads, f=loss, N=self.n)
        else:
            sam._displaced.then_back(self._ascended, sam, x, t, weights, loss, grads)
        return loss

    def _pass(self, x, t, weights):
        net, params = self.net, self.params
        point = self.solver.optimizer.gradient_point(params)
        if point is not params:             # NAG looks ahead
            net.put(point)
        loss, _, _ = net.loss_and_gradients(x, t, weights, self.solver.penalize if self.solver.adds_penalties else None)
        grads = net.gradients()
        if point is not params:
            net.put(params)
        return loss, grads

    def _ascended(self, sam, x, t, weights, loss, grads):
        """Sharpness-aware minimization takes its gradient elsewhere: in a second pass with the same masks, which leaves
        running values as they are."""
        sam.ascend(self.params, grads)
        running, drawing = self.net.running(), self.net.drawing()
        try:
            for layer in drawing:
                layer.frozen = True
            _, grads = self._pass(x, t, weights)
        finally:
            for layer in drawing:
                layer.frozen = False
            for layer, mean, var in running:
                layer.running_mean, layer.running_var = mean, var
        self.solver.update_params(self.params, grads, f=loss, N=self.n)
