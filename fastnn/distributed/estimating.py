"""Fits of `fastnn.estimators` on all ranks together: each rank has a part of every batch's rows.

All ranks have all rows, draw the same orders, and take the same decisions.
"""
import numpy as np

from ..estimators.epochs import Epoch
from ..estimators.network import Network, listed
from .buckets import Buckets
from .data_parallel import total
from .ranks import ranks_of


class NetworkOfRanks(Network):
    """A network whose loss and gradients are those of all rows, of which a rank passes some through."""

    @classmethod
    def of(cls, network, comm):
        network.__class__, network._ranks, network._buckets = cls, ranks_of(comm), None
        return network

    def loss_and_gradients(self, x, t, weights=None, penalize=None):
        ranks, rows = self._ranks, x.shape[0]
        if ranks.size == 1:
            return super().loss_and_gradients(x, t, weights, penalize)
        cuts = [rows * rank // ranks.size for rank in range(ranks.size + 1)]
        totals = [float(high - low) if weights is None else float(weights[low:high].sum())
                  for low, high in zip(cuts, cuts[1:])]
        if total(totals) == 0:
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        share, part = totals[ranks.rank] / total(totals), slice(*cuts[ranks.rank:ranks.rank + 2])
        loss, gradients = 0.0, None
        if share:
            loss, gradients = self._penalized(sum(map(bool, totals)), x[part], t[part],
                                              None if weights is None else weights[part])
        params = self.params
        if self._buckets is None:
            self._buckets = Buckets(ranks, params)
        self._buckets.begin(share)
        for key in reversed(params):
            self._buckets.add(key, 0 if gradients is None else gradients[key])
        self._means = self._buckets.finish("the gradients of a fit")
        self._average_running_values(share)
        losses = ranks.gathered(np.array([loss * share]), "the loss of a fit")
        return total(losses[:, 0]), *listed(self._means)

    def gradients(self):
        return super().gradients() if self._ranks.size == 1 else dict(self._means)

    def _penalized(self, parts, x, t, weights):
        """Of some rows, with the share of the penalties that so many parts add up to."""
        before = self.alpha, self.l1
        self.alpha, self.l1 = self.alpha / parts, self.l1 / parts
        try:
            loss, _, _ = super().loss_and_gradients(x, t, weights)
        finally:
            self.alpha, self.l1 = before
        return loss, super().gradients()

    def _average_running_values(self, share):
        """Of batch normalization, which has seen this rank's rows."""
        for layer, *values in self.running():
            means = self._ranks.total(np.stack(values) * share, "the running values of a fit").astype(values[0].dtype)
            layer.running_mean, layer.running_var = means


class EpochOfRanks(Epoch):
    """An epoch whose ends are all ranks' together."""

    def __init__(self, net, *args):
        super().__init__(net, *args)
        self.solver.adds_penalties = False      # they are in the gradients, of which each rank has a part

    def agreed(self, stops):
        """Whether any rank wants to stop."""
        return bool(self.net._ranks.gathered(np.array([stops]), "the end of an epoch").any())


def random_state_of(comm, random_state):
    """Rank 0's, for all."""
    ranks, found = ranks_of(comm), np.random.RandomState()
    found.set_state(ranks.objects(random_state.get_state(), "the random state of a fit")[0])
    return found


def own_stream(comm, random_state):
    """A rank's own, for dropout, made of a draw from the common one."""
    key = random_state.randint(2**31, size=4)
    seed = np.random.SeedSequence(key.tolist(), spawn_key=(ranks_of(comm).rank,))
    return np.random.RandomState(np.random.MT19937(seed))


def agree(comm, estimator, X, y):
    """Raise on all ranks where they are about to fit different estimators, or data of different shapes."""
    told = {name: repr(value) for name, value in estimator.get_params().items()
            if isinstance(value, (str, int, float, tuple, list)) and name != "verbose"}
    ranks_of(comm).agree(f"a fit of {type(estimator).__name__}",
                         {"X": f"{X.dtype} of shape {X.shape}", "y": f"{y.dtype} of shape {y.shape}", **told})
