"""A training loop: timed, with a hook between gradients and update and a check that its numbers are finite."""
import inspect
import math
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np

from fastnn.core.sparse import Rows
from fastnn.optimizers import get_opt
from fastnn.optimizers.base import skips_are_told
from fastnn.registry import hint
from .arguments import whole
from .callbacks import Callback, Callbacks
from .data import rows
from .finite import NORM, TRANSFORMED, NonFinite, all_finite
from .initializers import as_rng
from .layers import BatchNormalization, drawing
from .state import checked_trainer, trainer_state

ON_NONFINITE = ("stop", "raise", "skip")


class Trainer:
    """Trains one network with one optimizer on random minibatches.

    Each step draws `batch_size` rows with replacement, as the book does; the same `rng` seed gives the same
    batches whatever the optimizer.

    Parameters
    ----------
    network : MultiLayerNet
    optimizer : what `get_opt` returns, a wrapper around it, its name, or anything with `update(params, grads)`
        With `SAM` a step has two passes over its batch: `losses` has the first one's loss, and batch normalization's
        running values are moved by it alone; the second has its dropout masks, and `transform` is given its gradients.
        An optimizer with `gradient_point(params)` gets its gradients there.
    x, t : array_like
        All training rows and their labels, as `MultiLayerNet.loss` takes them. What is no array - a list, a pandas
        DataFrame or Series - becomes one here, by position; an array is not copied.
    batch_size : int
    rng : None, int, Generator or RandomState
        For the batches: each step draws ``rng.choice(len(x), batch_size)``, and nothing else.
    on_nonfinite : str
        What follows a loss or a gradient that is infinite or NaN, or a step that the optimizer skips because a norm is.
        Parameters, optimizer (but for `optimizer.skipped`) and running means stay as they were in any case. "stop":
        `train` ends; "raise": the step raises FloatingPointError; "skip": training continues with the next batch.
    transform : function (grads, loss) -> mapping or None
        Called in each step between gradients and update, for clipping, noise, monitoring norms and the like. grads
        is a dict of arrays that are its own, by the keys of `network.params`, the gradients of the whole loss, decay
        included. It changes them in place and returns None, or returns others; a gradient of None leaves its parameter
        alone, if the optimizer is one of fastnn's: ``dict.fromkeys(grads)`` takes no step, to accumulate gradients. It
        is called with finite numbers only, and what it leaves must be finite, too: for each parameter real numbers of
        its shape, `fastnn.Rows`, or None, and nothing besides. Errors name the parameter.

    comm : mpi4py.MPI.Intracomm, optional
        Train on all ranks of it together (`fastnn.distributed`): each has some of the rows, rank r rows r, r + ranks,
        ..., and a stream of random numbers of its own, for batches and dropout; x and t, network and optimizer are the
        same on all, and parameters become rank 0's. batch_size is that of all together; gradients and losses are the
        means over all, sent while the backward pass computes, and so are batch normalization's running values. What is
        not finite on one rank is not on any. A DataParallel or ShardedOptimizer exchanges gradients itself, and
        `transform` then has each rank's own; else the mean. `state_dict` and `load_state_dict` are for all ranks, of
        any number.

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
        `batch_size` is not positive, `on_nonfinite` unknown, or x and t have no rows, rows of different lengths, or not
        the same number of them.
    TypeError
        `transform` is no function, or x or t no array of real numbers: sparse matrices, objects and masked arrays are
        not.
    """

    def __new__(cls, *args, comm=None, **kwds):
        if comm is not None and cls is Trainer:
            from fastnn.distributed.training import Trainer as OfRanks      # takes mpi4py
            cls = OfRanks
        return super().__new__(cls)

    def __init__(self, network: Any, optimizer: Any, x: Any, t: Any, batch_size: int = 128,
                 rng: Any = None, on_nonfinite: str = "stop", transform: Callable[..., Any] | None = None, *,
                 comm: Any = None):
        if comm is not None and not hasattr(self, "comm"):
            raise TypeError("comm= is for fastnn.nn.Trainer; derive from fastnn.distributed.training.Trainer")
        if on_nonfinite not in ON_NONFINITE:
            raise ValueError(f"on_nonfinite must be one of {', '.join(ON_NONFINITE)}, not {on_nonfinite!r}")
        if not (transform is None or callable(transform)):
            raise TypeError(f"transform must be a function of (grads, loss), not {transform!r}")
        batch_size = whole("batch_size", batch_size, 1)
        optimizer = _optimizer(optimizer)
        if isinstance(network, type) or not hasattr(network, "loss_and_gradient"):
            raise TypeError(f"network must be a MultiLayerNet, or have params and loss_and_gradient(x, t), not {network!r:.80}")
        x, t = rows(x, "x"), rows(t, "t")
        if len(x) != len(t) or len(x) == 0:
            raise ValueError(f"{len(x)} rows and {len(t)} labels: there must be equally many, at least one")
        self.network, self.optimizer = network, optimizer
        self.x, self.t, self.batch_size, self.rows = x, t, batch_size, len(x)
        self.on_nonfinite, self.transform = on_nonfinite, transform
        self.losses, self.update_seconds, self.step_seconds, self.nonfinite = [], [], [], []
        self.rng = as_rng(rng)
        # Eve adapts to the loss, Santa to the number of rows, and every optimizer of the catalogue takes both.
        accepted = inspect.signature(optimizer.update).parameters.values()
        self._takes = [name for name in ("f", "N") if any(p.name == name or p.kind is p.VAR_KEYWORD for p in accepted)]

    def state_dict(self):
        """All that the next steps depend on, and what became of those before, as a dict of numbers, strings and new
        arrays.

        The states of network and optimizer, where the generators stand, `batch_size`, `losses` and `nonfinite`; not x,
        t, `transform` and the times, which are those of the steps that this object took. fastnn/nn/state.py describes
        it.

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
        """Whether the last step's loss or gradients, or their norm, were infinite or NaN."""
        return bool(self.nonfinite) and self.nonfinite[-1].step == len(self.losses)

    def step(self):
        """One minibatch; returns its loss. Numbers that are not finite are recorded, but lead to no update.

        Where `transform`, or the optimizer before it has changed anything, raises an exception, parameters, optimizer,
        running means and `losses` are as they were before the step; generators have moved on.
        """
        start = perf_counter()
        x, t = self._batch(self.batch_size)
        running, steps = self._running_values(), len(self.losses)
        try:
            loss, found = self._attempt(x, t)
        except Exception:
            _put_back(running)
            del self.losses[steps:]
            raise
        if found is not None:
            _put_back(running)
            self.nonfinite.append(NonFinite(len(self.losses), loss, *found))
            if self.on_nonfinite == "raise":
                raise FloatingPointError(str(self.nonfinite[-1]))
            return loss
        self.step_seconds.append(perf_counter() - start)
        return loss

    def _batch(self, size):
        chosen = self.rng.choice(len(self.x), size)
        return self.x[chosen], self.t[chosen]

    def _attempt(self, x, t):
        """(loss, None), or the loss and in which layer and place numbers were not finite: then there was no update."""
        loss, grads, finite = self._pass(x, t)
        if not finite:
            self.losses.append(loss)
            return loss, self._where(x, t)
        sam = getattr(self.optimizer, "_ascending", _nothing)()
        if sam is None:
            return self._update(loss, grads)
        return sam._displaced.then_back(self._ascended, sam, x, t, loss, grads)

    def _pass(self, x, t):
        """(loss, gradients, whether all of it is finite)."""
        with np.errstate(all="ignore"):     # divergence is told once
            with self._at_gradient_point():
                loss, grads = self.network.loss_and_gradient(x, t)
            return loss, grads, math.isfinite(loss) and all_finite(grads.values())

    def _ascended(self, sam, x, t, loss, grads):
        """The rest of an attempt: sharpness-aware minimization takes its gradient elsewhere, in a second pass."""
        with _skips_told():
            sam.ascend(self.network.params, grads)
        if sam._skips:
            sam.restore()
            self.losses.append(loss)
            return loss, (None, NORM)
        running = self._running_values()
        with self._masks_kept():
            try:
                _, grads, finite = self._pass(x, t)
            finally:
                _put_back(running)
            if not finite:
                self.losses.append(loss)
                return loss, self._where(x, t)
        return self._update(loss, grads)

    def _update(self, loss, grads):
        if self.transform is not None:
            grads = self._transformed(grads, loss)
        self.losses.append(loss)
        with np.errstate(all="ignore"):
            if self.transform is not None and not all_finite(g for g in grads.values() if g is not None):
                return loss, (None, TRANSFORMED)
            skipped = getattr(self.optimizer, "skipped", 0)
            with _skips_told():
                given = {"f": loss, "N": self.rows}
                start = perf_counter()
                self.optimizer.update(self.network.params, grads, **{name: given[name] for name in self._takes})
                end = perf_counter()
            if getattr(self.optimizer, "skipped", 0) != skipped:
                return loss, (None, NORM)
        self.update_seconds.append(end - start)
        return loss, None

    def _transformed(self, grads, loss):
        found = self.transform(grads, loss)
        if found is None:
            found = grads
        elif not isinstance(found, Mapping):
            raise TypeError(f"transform must return a mapping of gradients, or None, not {type(found).__name__}")
        params = self.network.params
        for key in found:
            if key not in params:
                near = hint(key, list(params)) if isinstance(key, str) else ""
                raise ValueError(f"transform: there is no parameter {key!r}{near}")
        return {key: _transformed_gradient(key, p, found) for key, p in params.items()}

    @contextmanager
    def _at_gradient_point(self):
        """The network at the point where the optimizer needs the gradient: NAG's is ahead of the parameters."""
        net, point = self.network, getattr(self.optimizer, "gradient_point", None)
        if point is None:
            yield
            return
        params = net.params
        net.params = point(params)
        try:
            yield
        finally:
            net.params = params

    @contextmanager
    def _masks_kept(self):
        """The network with dropout's last masks, so that two passes differentiate the same function."""
        layers = [layer for layer in drawing(getattr(self.network, "layers", {}).values()) if not layer.frozen]
        try:
            for layer in layers:
                layer.frozen = True
            yield
        finally:
            for layer in layers:
                layer.frozen = False

    def _running_values(self):
        """What a pass changes besides the parameters: batch normalization puts new arrays there."""
        return [(layer, layer.running_mean, layer.running_var) for layer in getattr(self.network, "layers", {}).values()
                if isinstance(layer, BatchNormalization)]

    def _where(self, x, t):
        find = getattr(self.network, "nonfinite", None)
        with self._at_gradient_point():
            return (find and find(x, t)) or (None, "unknown")

    def train(self, iterations, progress=None, callbacks=()):
        """Take `iterations` steps, fewer if they diverge and `on_nonfinite` is "stop"; `progress(loss)` is called after
        each, and each callback (fastnn/nn/callbacks.py), one or several: the first one to ask for it ends the training.
        """
        iterations = whole("iterations", iterations, 0)
        if not (progress is None or callable(progress)) or isinstance(progress, Callback):
            raise TypeError(f"progress must be a function of the loss, not {progress!r:.80}: callbacks= takes callbacks")
        called = Callbacks(callbacks, self)
        called.begin(iterations)
        try:
            for _ in range(iterations):
                loss = self.step()
                if progress is not None:
                    progress(loss)
                if called.step(loss) or self.diverged and self.on_nonfinite == "stop":
                    break
        finally:
            called.end()


def _optimizer(given):
    if isinstance(given, str):
        return get_opt(given)
    if isinstance(given, type) or not hasattr(given, "update"):
        raise TypeError("optimizer must be what get_opt returns, its name, or have update(params, grads), not "
                        f"{given!r:.80}")
    return given


def _transformed_gradient(key, p, grads):
    """What a transform has left of a parameter's gradient."""
    try:
        grad = grads[key]
    except KeyError:
        raise KeyError(f"transform: no gradient for parameter {key!r}; None leaves a parameter alone") from None
    if grad is None:
        return None
    if isinstance(grad, Rows):
        try:
            grad._fit(p, key)
        except ValueError as error:
            raise ValueError(f"transform: {error}") from None
        return grad
    try:
        numbers = np.asarray(grad)
    except ValueError as error:                 # lists of lists of different lengths
        raise ValueError(f"transform: the gradient of {key!r} is no array: {error}") from None
    if numbers.dtype.kind not in "biuf" and numbers.dtype.name != "bfloat16":
        found = f"an array of {numbers.dtype}" if isinstance(grad, np.ndarray) else repr(grad)[:80]
        raise TypeError(f"transform: the gradient of {key!r} must be an array of real numbers, not {found}")
    if numbers.shape != np.shape(p):
        raise ValueError(f"transform: the gradient of {key!r} has shape {numbers.shape}, the parameter {np.shape(p)}")
    return grad


@contextmanager
def _skips_told():
    """Steps that are skipped are told of by the trainer."""
    before = skips_are_told.get()
    try:
        skips_are_told.set(True)
        yield
    finally:
        skips_are_told.set(before)


def _nothing():
    return None


def _put_back(running):
    for layer, mean, var in running:
        layer.running_mean, layer.running_var = mean, var
