"""Callbacks of a trainer: functions, or objects with methods for the beginning and the end, too."""


class Callback:
    """A base for what `Trainer.train` calls; each method may be left out. A plain function is called as `step` is.

    A single one needs no list; those of a list are called in its order. An exception that one of them raises ends the
    training, with the step taken, and is raised.
    """

    def begin(self, trainer, iterations):
        """Before the first of so many steps."""

    def step(self, trainer, loss):
        """After each step, whose loss this is. True ends the training; the others in the list are called all the same."""

    def end(self, trainer):
        """After the last step, and when an exception has ended the training. Only of those whose `begin` was called."""


class Callbacks:
    """A list of them, at work in one training."""

    def __init__(self, callbacks, trainer):
        if callbacks is None:
            callbacks = ()
        elif isinstance(callbacks, (Callback, type)) or callable(callbacks):
            callbacks = (callbacks,)
        self.callbacks = [callback if isinstance(callback, Callback) else _Function(callback) for callback in callbacks]
        self.trainer = trainer
        self.begun = []

    def begin(self, iterations):
        try:
            for callback in self.callbacks:
                callback.begin(self.trainer, iterations)
                self.begun.append(callback)
        except BaseException:
            self.end()
            raise

    def step(self, loss):
        return any([callback.step(self.trainer, loss) is True for callback in self.callbacks])

    def end(self):
        """The last one first. Each is called, and then the first exception is raised."""
        while self.begun:
            try:
                self.begun.pop().end(self.trainer)
            except BaseException:
                self.end()
                raise


class _Function(Callback):
    def __init__(self, function):
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"a callback must be a fastnn.nn.Callback or a function of (trainer, loss), not {function!r}")
        self.function = function

    def step(self, trainer, loss):
        return self.function(trainer, loss)
