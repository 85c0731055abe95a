"""The learning-rate range test: which rates a network learns with, by a short training with growing ones."""
import copy
import math
from typing import Any

from .arguments import number, whole
from .trainer import Trainer

TENTH = 10          # a slope is taken over a tenth of the steps, and not in the first one, whose averages are of few losses


def lr_range_test(network: Any, optimizer: Any, x: Any, t: Any, low: float = 1e-6, high: float = 1.0,
                  steps: int = 100, batch_size: int = 128, rng: Any = None, smoothing: float = 0.9,
                  stop_at: float = 4.0):
    """Train a copy of network and optimizer with rates that grow from low to high by one factor a step.

    Smith 2015, arXiv 1506.01186, whose rates grow linearly; growing by a factor, smoothing and the suggestion are fastai's
    and Lightning's. Neither network nor optimizer is changed.

    Parameters
    ----------
    network, optimizer, x, t, batch_size, rng
        As in `Trainer`; the optimizer has a learning rate `lr`.
    low, high : float
        The first and the last rate.
    smoothing : float
        What of the moving average of the losses is kept in each step. fastai has 0.98, whose average of 100 steps is
        further behind: half a decade of rates.
    stop_at : float
        It ends when the average is above so many times the least one, or the loss not finite.

    Returns
    -------
    LrRange
        `rates`, `losses`, `smoothed` (lists), `suggestion` (the rate where the average falls fastest, None where it
        never does) and `plot(file)`. The average is behind the losses, so that the suggestion lies above the rate where
        these fall fastest, by a third of a decade with the defaults; a smaller smoothing brings it nearer.

    Raises ValueError for numbers out of range, and what `Trainer` raises.
    """
    low, high, smoothing, stop_at = (number(name, value) for name, value in (
        ("low", low), ("high", high), ("smoothing", smoothing), ("stop_at", stop_at)))
    steps = whole("steps", steps, 2)
    if not 0 < low < high < math.inf:
        raise ValueError(f"low must be positive and below high, which is finite, not {low!r} and {high!r}")
    if not 0 <= smoothing < 1 or not stop_at > 1:
        raise ValueError(f"smoothing must be in [0, 1) and stop_at above 1, not {smoothing!r} and {stop_at!r}")
    network, optimizer = copy.deepcopy((network, optimizer))
    trainer = Trainer(network, optimizer, x, t, batch_size, rng, on_nonfinite="stop")
    optimizer = trainer.optimizer
    rates, losses, smoothed, average = [], [], [], 0.0
    for step in range(steps):
        optimizer.lr = low * (high / low)**(step / (steps - 1))
        loss = trainer.step()
        if trainer.diverged:
            break
        average = smoothing * average + (1 - smoothing) * loss
        rates.append(optimizer.lr)
        losses.append(loss)
        smoothed.append(average / (1 - smoothing**(step + 1)))
        if smoothed[-1] > stop_at * min(smoothed):
            break
    return LrRange(rates, losses, smoothed)


class LrRange:
    """What a range test found."""

    def __init__(self, rates, losses, smoothed):
        self.rates, self.losses, self.smoothed = rates, losses, smoothed

    @property
    def suggestion(self):
        """The rate at which the smoothed loss falls fastest with the logarithm of the rate, or None.

        As in fastai and Lightning without the first and the last steps: the last one here is the lowest, behind which a
        fall is that of a loss that had risen. These take the difference of two steps, which noise decides where losses
        vary by a tenth; here it is that of a tenth of the steps.
        """
        if not self.rates:
            return None
        half, first = max(1, len(self.rates) // (2 * TENTH)), len(self.rates) // TENTH
        lowest = min(range(first, len(self.rates)), key=self.smoothed.__getitem__)
        falls = {i: self.smoothed[i + half] - self.smoothed[i - half]
                 for i in range(first + half, lowest + 1 - half)}
        steepest = min(falls, key=falls.get, default=None)
        return None if steepest is None or falls[steepest] >= 0 else self.rates[steepest]

    def plot(self, file):
        """Write a picture as PNG: losses and their average by rate (`pip install "fastnn[cli]"`)."""
        from fastnn.cli.figures.rates import draw_rates
        draw_rates(file, self.rates, self.losses, self.smoothed, self.suggestion)

    def __repr__(self):
        return f"LrRange({len(self.rates)} steps, suggestion={self.suggestion!r})"
