"""An end of training when a measure, mostly the loss on validation data, no longer improves."""
import math
from collections.abc import Callable
from typing import Any

from .arguments import number, whole
from .callbacks import Callback


class EarlyStopping(Callback):
    """Ends `Trainer.train` when a measure has not improved in `patience` of its readings (Prechelt 1998).

    Parameters
    ----------
    measure : function (network) -> float
        Such as ``lambda net: net.loss(x_valid, t_valid)``. NaN is no improvement.
    every : int
        Steps from one reading to the next.
    patience, min_delta, restore_best_weights
        Keras' arguments, with its defaults: readings without improvement that are borne, at least one; by how much a
        reading must be better to be an improvement; whether the network goes back in the end to the state that it had
        at the best reading (its `state_dict`: running means and generators, too).
    mode : "min" or "max"
        What is better.

    Attributes
    ----------
    readings : list of (int, float)
        The number of steps that the trainer had taken, and the measure.
    best : float or None
    best_step, stopped_step : int or None

    They are those of one training: the next one begins anew. Raises ValueError or TypeError for arguments that are none.
    """

    def __init__(self, measure: Callable[..., Any], every: int = 1, patience: int = 0, min_delta: float = 0.0,
                 mode: str = "min", restore_best_weights: bool = False):
        if not callable(measure):
            raise TypeError(f"measure must be a function of the network, not {measure!r}")
        every, patience = whole("every", every, 1), whole("patience", patience, 0)
        min_delta = number("min_delta", min_delta)
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be finite and not negative, not {min_delta!r}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be min or max, not {mode!r}")
        self.measure, self.every, self.patience, self.min_delta = measure, every, patience, min_delta
        self.mode, self.restore_best_weights = mode, restore_best_weights
        self._forget()

    def _forget(self):
        self.readings, self.best, self.best_step, self.stopped_step = [], None, None, None
        self._steps = self._waited = 0
        self._saved = None

    def begin(self, trainer, iterations):
        self._forget()

    def step(self, trainer, loss):
        self._steps += 1
        if self._steps % self.every:
            return False
        reading, steps = number("what measure returns", self.measure(trainer.network)), len(trainer.losses)
        self.readings.append((steps, reading))
        if self._improves(reading):
            self.best, self.best_step, self._waited = reading, steps, 0
            if self.restore_best_weights:
                self._saved = trainer.network.state_dict()
            return False
        self._waited += 1
        if self._waited < max(1, self.patience):
            return False
        self.stopped_step = steps
        return True

    def _improves(self, reading):
        if self.best is None or math.isnan(reading):
            return not math.isnan(reading)
        gain = self.best - reading if self.mode == "min" else reading - self.best
        return gain > self.min_delta

    def end(self, trainer):
        if self._saved is not None:
            trainer.network.load_state_dict(self._saved)
            self._saved = None
