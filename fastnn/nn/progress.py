"""A bar that shows how far a training is."""
import sys
from time import monotonic

from .callbacks import Callback


class ProgressBar(Callback):
    """Shows steps, speed and loss of `Trainer.train`, with `rich` where that is installed, else as a line on stderr.

    ``trainer.train(1000, callbacks=[ProgressBar()])``. The loss is a moving average with the factor 0.9 of what has been.

    Parameters
    ----------
    file : text file
        Where to, instead of stderr.
    """

    def __init__(self, file=None):
        if not (file is None or hasattr(file, "write")):
            raise TypeError(f"file must be a text file, with write, or None, not {file!r:.80}")
        self.file = file
        self._bar = None

    def begin(self, trainer, iterations):
        self._done, self._loss = 0, None
        self._bar = bar("step", iterations, self.file)

    def step(self, trainer, loss):
        self._done += 1
        self._loss = loss if self._loss is None or self._loss != self._loss else 0.9 * self._loss + 0.1 * loss
        self._bar.show(self._done, f"loss {self._loss:.4g}")

    def end(self, trainer):
        self._bar.close()


def bar(unit, total, file=None):
    """What shows how many of `total` are done, with `show(done, text)`, until `close()`."""
    file = sys.stderr if file is None else file
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ModuleNotFoundError:
        return _Line(unit, total, file)
    return _Rich(unit, total, Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                                       TimeRemainingColumn(), console=Console(file=file)))


class _Rich:
    def __init__(self, unit, total, progress):
        self.progress = progress
        progress.start()
        self.task = progress.add_task(unit, total=total)

    def show(self, done, text):
        self.progress.update(self.task, completed=done, description=text)

    def close(self):
        self.progress.stop()


class _Line:
    """At most ten times a second."""

    def __init__(self, unit, total, file):
        self.unit, self.total, self.file = unit, total, file
        self.began, self.shown, self.text = monotonic(), 0.0, ""

    def show(self, done, text):
        now = monotonic()
        speed = done / max(now - self.began, 1e-9)
        self.text = f"\r{self.unit} {done}/{self.total}  {text}  {speed:.0f} {self.unit}s/s "
        if now - self.shown > 0.1:
            self.shown = now
            self.file.write(self.text)
            self.file.flush()

    def close(self):
        self.file.write(self.text + "\n")
        self.file.flush()
