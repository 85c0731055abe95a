"""Training on all ranks together: what `fastnn.nn.Trainer(..., comm=comm)` makes."""
import inspect
import math

import numpy as np

from ..core.sparse import Rows
from ..generators import checked_streams, position, set_position
from ..nn import trainer as alone
from ..nn.finite import all_finite
from ..nn.layers import BatchNormalization, drawing
from ..nn.state import _sources_of_trainer
from ..optimizers.wrappers import Wrapper
from ..state import StateError
from .broadcasting import broadcast
from .data_parallel import DataParallel, total
from .ranks import communicator, ranks_of


class Trainer(alone.Trainer):
    """`fastnn.nn.Trainer` on the ranks of a communicator; there it says what comm= does.

    The step is that of one process on all ranks' batches together, within rounding. All methods that train or give a
    state are for all ranks.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
    rows : int
        Of all ranks; x and t are this rank's.
    """

    comm = None

    def __init__(self, network, optimizer, x, t, batch_size=128, rng=None, on_nonfinite="stop", transform=None, *,
                 comm=None):
        super().__init__(network, optimizer, x, t, batch_size, rng, on_nonfinite, transform)
        optimizer = self.optimizer                          # which may have been a name
        self.comm = communicator(comm)
        self._ranks = ranks = ranks_of(self.comm)
        error = None
        if batch_size < ranks.size or self.rows < ranks.size:
            error = ValueError(f"{self.rows} rows in batches of {batch_size} are too few for {ranks.size} ranks")
        ranks.agree("a trainer", {"the rows": str(self.x.shape), "the labels": str(self.t.shape),
                                  "batch_size": str(batch_size), "on_nonfinite": on_nonfinite,
                                  "transform": str(transform is not None)}, error)
        self._share = batch_size // ranks.size + (ranks.rank < batch_size % ranks.size)
        self.x, self.t = self.x[ranks.rank::ranks.size], self.t[ranks.rank::ranks.size]
        self._itself = _exchanging(optimizer)
        self._parallel = self._itself or DataParallel(optimizer, self.comm)
        self._tells = "ready" in inspect.signature(network.loss_and_gradient).parameters
        broadcast(network.params, self.comm)
        self._own_streams()

    def _own_streams(self):
        """Set the generators of batches and dropout to streams of this rank's own, made of where rank 0's stand."""
        if self._ranks.size == 1:
            return
        noise = getattr(getattr(self.optimizer, "_innermost", self.optimizer), "_noise", None)
        sources = {"trainer": self.rng}
        for layer in drawing(getattr(self.network, "layers", {}).values()):
            sources[id(layer)] = layer.rng
        if hasattr(self.network, "rng"):
            sources["network"] = self.network.rng
        for rng in {id(rng): rng for rng in sources.values()}.values():
            if rng is noise:
                raise ValueError("the optimizer draws its noise, which must be the same on all ranks, from the "
                                 "generator of batches or dropout: give it one of its own")
            random = isinstance(rng, np.random.RandomState)
            key = np.array([rng.randint(2**31) if random else rng.integers(2**31) for _ in range(4)], np.int64)
            self._ranks.broadcast(key, "the streams of a trainer")
            kind = type(rng._bit_generator if random else rng.bit_generator)
            new = kind(np.random.SeedSequence(key.tolist(), spawn_key=(self._ranks.rank,)))
            set_position(rng, position(np.random.RandomState(new) if random else np.random.Generator(new)))

    def step(self):
        loss = super().step()
        self._average_running_values()
        return loss

    def _batch(self, size):
        return super()._batch(self._share)

    def _pass(self, x, t):
        rows, params = len(x), self.network.params
        with np.errstate(all="ignore"), self._at_gradient_point():
            if self._tells and self._itself is None:
                loss, grads = self.network.loss_and_gradient(x, t, self._parallel.ready(self.network.params, rows))
            else:
                loss, grads = self.network.loss_and_gradient(x, t)
        if self._itself is None:
            grads = self._parallel.average(params, grads, rows)
            if self.transform is not None:
                grads = {key: g if isinstance(g, Rows) or g is None else g.copy() for key, g in grads.items()}
        else:
            self._itself._rows = float(rows)    # for its exchange, in `update`
        finite = all_finite(grads.values())
        told = self._ranks.gathered(np.array([rows, loss, finite]), "the loss of a step")
        loss = total(told[:, 0] * told[:, 1]) / total(told[:, 0])
        return loss, grads, math.isfinite(loss) and bool(told[:, 2].all())

    def _where(self, x, t):
        found = self._ranks.objects(super()._where(x, t), "what is not finite")
        return next((one for one in found if one != (None, "unknown")), found[0])

    def _average_running_values(self):
        layers = getattr(self.network, "layers", {}).values()
        layers = [layer for layer in layers if isinstance(layer, BatchNormalization)]
        if not layers or self._ranks.size == 1:
            return
        values = [value for layer in layers for value in (layer.running_mean, layer.running_var)]
        means = self._ranks.total(np.concatenate(values), "batch normalization's running values") / self._ranks.size
        found = iter(np.split(means.astype(values[0].dtype), np.cumsum([len(value) for value in values])[:-1]))
        for layer in layers:
            layer.running_mean, layer.running_var = next(found), next(found)

    # State

    def state_dict(self):
        """As that of a trainer alone, which goes on from it, too, with the streams of all ranks."""
        self._ranks.agree("state_dict of a trainer of several ranks, which is for all of them")
        state = super().state_dict()
        found = self._ranks.objects(state["streams"], "a state")
        return {**state, "streams": found[0], "ranks": found} if self._ranks.size > 1 else state

    def _fitting(self, state):
        """Another number of ranks than that which wrote it has streams that are made of rank 0's."""
        saved = state.get("ranks") if isinstance(state, dict) else None
        put, own = super()._fitting(state), None
        if saved is not None and not isinstance(saved, list):
            raise StateError(f"ranks must be a list of streams, not {type(saved).__name__}")
        if saved and len(saved) == self._ranks.size:
            own = checked_streams(_sources_of_trainer(self), saved[self._ranks.rank])

        def put_all():
            put()
            self._share = self.batch_size // self._ranks.size + (self._ranks.rank < self.batch_size % self._ranks.size)
            if own is None:
                self._own_streams()
            else:
                for each in own:
                    each()

        return put_all


def _exchanging(optimizer):
    """The DataParallel among wrappers, if there is one."""
    while isinstance(optimizer, Wrapper):
        if isinstance(optimizer, DataParallel):
            return optimizer
        optimizer = optimizer.optimizer
    return None
