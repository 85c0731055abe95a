"""A training loop with a clock in it, and a look at whether its numbers are finite."""
import inspect
import math
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from .finite import NonFinite, all_finite
from .initializers import as_rng
from .layers import BatchNormalization
from .state import checked_trainer, trainer_state

ON_NONFINITE = ("stop", "raise", "skip")


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
        For the batches: each step draws ``rng.choice(len(x), batch_size)``, and nothing else.
    on_nonfinite : str
        What follows a loss or a gradient that is infinite or NaN. Parameters, optimizer and running means stay as they
        were in any case. "stop": `train` ends; "raise": the step raises FloatingPointError; "skip": training goes on
        with the next batch.

    Attributes
    ----------
    losses : list of float
        The loss of each batch before the update it led to: backpropagation yields it anyway, and the network
        has not been fitted to this batch yet.
    update_seconds, step_seconds : list of float
        Time of each update of the parameters, and of each whole step from drawing the batch on.
    nonfinite : list of NonFinite
        The steps whose numbers were not all finite, and where that began; print one for a sentence.
    rng : Generator or RandomState

    Raises
    ------
    ValueError
        `batch_size` is not positive, `on_nonfinite` unknown, or x and t have no rows or not the same number of them.
    """

    def __init__(self, network, optimizer, x, t, batch_size=128, rng=None, on_nonfinite="stop"):
        if on_nonfinite not in ON_NONFINITE:
            raise ValueError(f"on_nonfinite must be one of {', '.join(ON_NONFINITE)}, not {on_nonfinite!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, not {batch_size!r}")
        if len(x) != len(t) or len(x) == 0:
            raise ValueError(f"{len(x)} rows and {len(t)} labels: there must be equally many, at least one")
        self.network, self.optimizer = network, optimizer
        self.x, self.t, self.batch_size = x, t, batch_size
        self.on_nonfinite = on_nonfinite
        self.losses, self.update_seconds, self.step_seconds, self.nonfinite = [], [], [], []
        self.rng = as_rng(rng)
        # Eve adapts to the loss itself, and every optimizer of the catalogue takes it.
        accepted = inspect.signature(optimizer.update).parameters.values()
        self._takes_loss = any(p.name == "f" or p.kind is p.VAR_KEYWORD for p in accepted)

    def state_dict(self):
        """All that the next steps depend on, and what became of those before, as a dict of numbers, strings and new
        arrays.

        The states of network and optimizer, where the generators stand, `batch_size`, `losses` and `nonfinite`; not x,
        t and the times, which are those of the steps that this object took. fastnn/nn/state.py describes it.

        Raises TypeError if network or optimizer are none of fastnn's, or their states cannot be kept.
        """
        return trainer_state(self)

    def load_state_dict(self, state):
        """Go on from a state that `state_dict` returned, bit for bit, given the same x and t. All is set in place.

        Raises StateError, a ValueError, if the state is damaged or does not fit network, optimizer, the number of rows
        or the generators: their kinds, and which of them are one. TypeError and ValueError as in the network's
        `load_state_dict`. Nothing has been changed then.
        """
        self._fitting(state)()

    def _fitting(self, state):
        return checked_trainer(self, state)

    @property
    def diverged(self):
        """Whether the last step's loss or gradients were infinite or NaN."""
        return bool(self.nonfinite) and self.nonfinite[-1].step == len(self.losses)

    def step(self):
        """One minibatch; returns its loss. Numbers that are not finite are recorded, but lead to no update."""
        start = perf_counter()
        rows = self.rng.choice(len(self.x), self.batch_size)
        x, t = self.x[rows], self.t[rows]
        running = self._running_values()
        with np.errstate(all="ignore"):     # divergence is told once
            with self._at_lookahead():
                loss, grads = self.network.loss_and_gradient(x, t)
            self.losses.append(loss)
            if not (math.isfinite(loss) and all_finite(grads.values())):
                for layer, mean, var in running:
                    layer.running_mean, layer.running_var = mean, var
                self._record_nonfinite(x, t, loss)
                return loss
            before_update = perf_counter()
            self.optimizer.update(self.network.params, grads, **({"f": loss} if self._takes_loss else {}))
        end = perf_counter()
        self.update_seconds.append(end - before_update)
        self.step_seconds.append(end - start)
        return loss

    @contextmanager
    def _at_lookahead(self):
        """The network where the optimizer wants to look: Nesterov's rule takes its gradient ahead of the parameters."""
        net, lookahead = self.network, getattr(self.optimizer, "lookahead", None)
        if lookahead is None:
            yield
            return
        params = net.params
        net.params = {key: lookahead(p, key) for key, p in params.items()}
        try:
            yield
        finally:
            net.params = params

    def _running_values(self):
        """What a pass changes besides the parameters: batch normalization puts new arrays there."""
        return [(layer, layer.running_mean, layer.running_var) for layer in getattr(self.network, "layers", {}).values()
                if isinstance(layer, BatchNormalization)]

    def _record_nonfinite(self, x, t, loss):
        find = getattr(self.network, "nonfinite", None)
        with self._at_lookahead():
            layer, place = (find and find(x, t)) or (None, "unknown")
        self.nonfinite.append(NonFinite(len(self.losses), loss, layer, place))
        if self.on_nonfinite == "raise":
            raise FloatingPointError(str(self.nonfinite[-1]))

    def train(self, iterations, progress=None):
        """Take `iterations` steps, fewer if they diverge and `on_nonfinite` is "stop"; `progress(loss)` is called after
        each."""
        for _ in range(iterations):
            loss = self.step()
            if progress is not None:
                progress(loss)
            if self.diverged and self.on_nonfinite == "stop":
                break
