"""A training loop with a clock in it."""
import inspect
import math
from time import perf_counter

import numpy as np

from .initializers import as_rng


class Trainer:
    """Trains one network with one optimizer on random minibatches.

    Each step draws `batch_size` rows with replacement, as the book does; the same `rng` seed gives the same
    batches whatever the optimizer.

    Parameters
    ----------
    network : MultiLayerNet
    optimizer : what `get_opt` returns, or anything with `update(params, grads)`
    x, t : ndarray
        All training rows and their labels, as `MultiLayerNet.loss` takes them.
    batch_size : int
    rng : None, int, Generator or RandomState

    Attributes
    ----------
    losses : list of float
        The loss of each batch before the update it led to: backpropagation yields it anyway, and the network
        has not been fitted to this batch yet.
    update_seconds, step_seconds : list of float
        Time of each update of the parameters, and of each whole step from drawing the batch on.

    Raises
    ------
    ValueError
        `batch_size` is not positive, or x and t have no rows or not the same number of them.
    """

    def __init__(self, network, optimizer, x, t, batch_size=128, rng=None):
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, not {batch_size!r}")
        if len(x) != len(t) or len(x) == 0:
            raise ValueError(f"{len(x)} rows and {len(t)} labels: there must be equally many, at least one")
        self.network, self.optimizer = network, optimizer
        self.x, self.t, self.batch_size = x, t, batch_size
        self.losses, self.update_seconds, self.step_seconds = [], [], []
        self._rng = as_rng(rng)
        # Eve adapts to the loss itself, and every optimizer of the catalogue takes it.
        accepted = inspect.signature(optimizer.update).parameters.values()
        self._takes_loss = any(p.name == "f" or p.kind is p.VAR_KEYWORD for p in accepted)

    @property
    def diverged(self):
        """Whether the last loss is infinite or NaN."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])

    def step(self):
        """One minibatch; returns its loss. A loss that is not finite is recorded, but leads to no update."""
        start = perf_counter()
        rows = self._rng.choice(len(self.x), self.batch_size)
        with np.errstate(all="ignore"):     # divergence is told by the loss, once
            loss, grads = self._loss_and_gradient(self.x[rows], self.t[rows])
            self.losses.append(loss)
            if self.diverged:
                return loss
            before_update = perf_counter()
            self.optimizer.update(self.network.params, grads, **({"f": loss} if self._takes_loss else {}))
        end = perf_counter()
        self.update_seconds.append(end - before_update)
        self.step_seconds.append(end - start)
        return loss

    def _loss_and_gradient(self, x, t):
        """At the parameters, or where the optimizer wants to look: Nesterov's rule takes its gradient ahead of them."""
        net, lookahead = self.network, getattr(self.optimizer, "lookahead", None)
        if lookahead is None:
            return net.loss_and_gradient(x, t)
        params = net.params
        net.params = {key: lookahead(p, key) for key, p in params.items()}
        try:
            return net.loss_and_gradient(x, t)
        finally:
            net.params = params

    def train(self, iterations, progress=None):
        """Take `iterations` steps, fewer if the loss diverges; `progress(loss)` is called after each."""
        for _ in range(iterations):
            loss = self.step()
            if progress is not None:
                progress(loss)
            if self.diverged:
                break
