"""The experiment of ``fastnn compare``: one network, one sequence of batches, one optimizer."""
import math
from dataclasses import dataclass, field

import numpy as np

import fastnn

from .catalog import CATALOGUES
from .families import family_of

__all__ = ["Settings", "Run", "layer_sizes", "memory_needed", "build_network", "build_optimizer", "begin",
           "train"]

CLASSES = 10    # digits, and whatever else comes in MNIST's files


@dataclass(frozen=True)
class Settings:
    """What every optimizer of a comparison has in common."""

    iterations: int = 1500
    batch_size: int = 128
    hidden: tuple = (100, 100, 100, 100)
    activation: str = "ReLU"
    seed: int = 0
    dtype: str = "float32"
    weight_decay: float = 0.0
    dropout: float = 0.0
    batchnorm: bool = False

    @property
    def tail(self):
        """The number of iterations, 5 % of all, over whose mean the final loss is taken."""
        return max(1, self.iterations // 20)


@dataclass
class Run:
    """What one optimizer made of it.

    `loss` holds the loss of each batch before the update it led to. An optimizer diverges at the iteration
    (counted from 1) whose loss, or whose parameters after the update, are not finite.
    """

    name: str
    family: str
    lr: float
    hyperparameters: dict
    status: str = "finished"            # or "diverged", "interrupted"
    iterations: int = 0
    final_loss: float | None = None     # mean over the last 5 % of the iterations
    test_accuracy: float | None = None
    update_us: float | None = None      # median time of one update of all parameters
    step_us: float | None = None        # median time of a whole step: batch, forward, backward, update
    loss: list = field(default_factory=list)

    @property
    def share(self):
        """The update's share of a step, between 0 and 1."""
        return self.update_us / self.step_us if self.step_us else None

    @property
    def outcome(self):
        return self.status if self.status == "finished" else f"{self.status} at iteration {self.iterations}"


def layer_sizes(settings, data):
    (x_train, _), _ = data
    return [x_train.shape[1], *settings.hidden, CLASSES]


def memory_needed(settings, data):
    """A lower bound, in bytes, on the memory that one run touches."""
    sizes = layer_sizes(settings, data)
    weights = sum(n * m for n, m in zip(sizes, sizes[1:]))
    outputs = settings.batch_size * sum(sizes)
    # Weights: parameter, gradient and one slot of state; outputs: forward and backward.
    return (3 * weights + 2 * outputs) * np.dtype(settings.dtype).itemsize


def build_network(settings, data):
    """The network with its first weights, which depend on the settings alone."""
    from fastnn.nn import MultiLayerNet
    first, *hidden, last = layer_sizes(settings, data)
    return MultiLayerNet(
        first, hidden, last, activation=settings.activation, weight_init_std="he",
        weight_decay_lambda=settings.weight_decay, use_dropout=settings.dropout > 0,
        dropout_ration=settings.dropout, use_batchnorm=settings.batchnorm,
        dtype=settings.dtype, rng=np.random.default_rng(settings.seed))


def build_optimizer(name, lr=None, seed=0):
    """The optimizer with its own hyperparameters, or its row's `compared_with`, but for `lr`; one that draws noise draws
    it from `seed`."""
    options = {**CATALOGUES["optimizers"][name].compared_with, **({} if lr is None else {"lr": lr})}
    opt = fastnn.get_opt(name, **options)
    # the same seed as that of the weights would give the same numbers: velocities proportional to the weights
    return fastnn.get_opt(name, rng=(seed, 2), **options) if "rng" in opt.hyperparameters else opt


def begin(name, opt):
    """The `Run` of an optimizer before its first step."""
    values = {key: getattr(opt, key) for key in opt.hyperparameters}
    return Run(name, family_of(name), opt.lr, {key: value for key, value in values.items() if isinstance(value, (int, float))})


def train(name, lr, settings, data, progress):
    """Train the network with the optimizer `name` and return the `Run`.

    Parameters
    ----------
    name : str
    lr : float or None
        The learning rate; None for the optimizer's own.
    settings : Settings
    data : ((x_train, t_train), (x_test, t_test))
        Rows of features in ``settings.dtype`` and integer labels.
    progress : callable
        Called with the number of iterations done after each of them.
    """
    from fastnn.nn import Trainer
    (x_train, t_train), (x_test, t_test) = data
    net = build_network(settings, data)
    opt = build_optimizer(name, lr, settings.seed)
    run = begin(name, opt)
    # The batches come from a stream of their own, apart from that of the weights and dropout masks.
    trainer = Trainer(net, opt, x_train, t_train, settings.batch_size, rng=(settings.seed, 1))
    run.loss = trainer.losses
    with np.errstate(all="ignore"):     # a run that diverges says so once, not at every step
        for run.iterations in range(1, settings.iterations + 1):
            trainer.step()
            if trainer.diverged or not finite(net.params):
                run.status = "diverged"
                return run
            progress(run.iterations)
        run.test_accuracy = net.accuracy(x_test, t_test)
    run.final_loss = float(np.mean(run.loss[-settings.tail:]))
    run.update_us = 1e6 * float(np.median(trainer.update_seconds))
    run.step_us = 1e6 * float(np.median(trainer.step_seconds))
    return run


def finite(params):
    for p in params.values():
        # The sum of squares costs one pass of BLAS; only its own overflow needs the slow check.
        if not math.isfinite(np.vdot(p, p)) and not np.isfinite(p).all():
            return False
    return True
