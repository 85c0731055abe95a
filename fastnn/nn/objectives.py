"""What a network is trained for: a loss of the catalogue, and the outputs and targets that fit it."""
import copy
import sys
from typing import Any, NamedTuple

import numpy as np

from fastnn.core.mean_loss import labels_fit
from fastnn.losses import get_err
from fastnn.losses.base import Loss, Several
from fastnn.losses.similarities import Cosine
from .arguments import whole
from .data import real_numbers
from .layers import Activation, Layer, plain

OUTPUTS_TRIED = np.linspace(-20, 20, 42)[None]


class Task(NamedTuple):
    """What a loss asks for.

    Attributes
    ----------
    targets : str
        "classes" (labels, or a distribution a row), "yes or no" (one each output), "distributions" or "numbers".
    outputs : str
        "scores", "logits", which no sigmoid or softmax has gone over, "probabilities", "logarithms of probabilities" or
        "rates", which are not negative.
    threshold : float or None
        Of outputs above it a yes or no is yes.
    instead : str
        Where the outputs do not fit: what does.
    above : float or None
        Numbers that targets have to be above; distributions and rates are at least 0.
    """

    targets: str = "numbers"
    outputs: str = "scores"
    threshold: Any = None
    instead: str = ""
    above: Any = None


BELOW_0 = -sys.float_info.min
_SIGMOID, _SOFTMAX = "output='sigmoid'", "output='softmax'"
TASKS = {
    "softmax-cross-entropy": Task("classes", "logits", None, "output=None"),
    "softmax-focal": Task("classes", "logits", None, "output=None"),
    "NLL": Task("classes", "logarithms of probabilities", None,
                "output='log-softmax', or no output and loss='softmax-cross-entropy'"),
    "sigmoid-binary-cross-entropy": Task("yes or no", "logits", 0, "output=None"),
    "sigmoid-focal": Task("yes or no", "logits", 0, "output=None"),
    **dict.fromkeys(("hinge", "squared-hinge", "soft-margin"), Task("yes or no", "scores", 0)),
    **dict.fromkeys(("CategoricalCrossentropy", "SparseCategoricalCrossentropy", "log_loss"),       # Keras's, scikit-learn's
                    Task("classes", "probabilities", None, f"{_SOFTMAX}, or no output and loss='softmax-cross-entropy'")),
    "Binary": Task("yes or no", "probabilities", 0.5, f"{_SIGMOID}, or no output and loss='sigmoid-binary-cross-entropy'"),
    "Cross": Task("distributions", "probabilities", None, f"{_SOFTMAX}, or no output and loss='softmax-cross-entropy'",
                  BELOW_0),
    "Jensen-Shannon": Task("distributions", "probabilities", None, _SOFTMAX, BELOW_0),
    "MSLE": Task("numbers", "rates", None, "output='softplus' or 'exponential'", -1.0),
    "dice": Task("yes or no", "probabilities", 0.5, _SIGMOID), "Tversky": Task("yes or no", "probabilities", 0.5, _SIGMOID),
}
_KL = (Task("distributions", "probabilities", None, _SOFTMAX, BELOW_0),
       Task("distributions", "logarithms of probabilities", None, "output='log-softmax'", BELOW_0))
_POISSON = (Task("numbers", "rates", None, "output='exponential' or 'softplus', or no output and log_input=True", BELOW_0),
            Task("numbers", "scores", above=BELOW_0))


def task_of(loss):
    """The `Task` of a loss object."""
    name = getattr(loss, "name", None)
    if name == "KL":
        return _KL[loss.log_input]
    if name == "Poisson":
        return _POISSON[loss.log_input]
    if name in TASKS:
        return TASKS[name]
    return Task("classes") if getattr(loss, "_takes_labels", False) else Task()


def refuse_outside(loss, t, called):
    """Raises ValueError where numbers are no targets of that loss; called: what the message calls them."""
    task = task_of(loss)
    if task.targets == "yes or no":
        least = -1 if task.outputs == "scores" else 0
        if t.dtype != bool and (t.min() < least or t.max() > 1) and loss._ignored is None:
            raise ValueError(f"{called} must lie between {least} and 1 for loss {loss.name!r}, found {t.min()}..{t.max()}")
    elif task.above is not None and (least := t.min()) <= task.above:
        bound = "be at least 0" if task.above == BELOW_0 else f"lie above {task.above:g}"
        raise ValueError(f"{called} must {bound} for loss {loss.name!r}, found {least}")


def loss_of(loss):
    """A loss object, given it or its name. Raises TypeError or ValueError."""
    if isinstance(loss, str):
        loss = get_err(loss)
    if isinstance(loss, Several) and not has_spread(loss):
        raise TypeError(f"loss {loss.name!r} is one of {', '.join(loss.inputs)}, not of a network's outputs and targets")
    if not isinstance(loss, Loss):
        how = f": an object, not the class {loss.__name__}" if isinstance(loss, type) else f", not {loss!r:.80}"
        raise TypeError(f"loss must be the name of a loss, or what get_err or register_loss returned{how}")
    return copy.copy(loss)


def has_spread(loss):
    """Whether it takes a variance or a scale besides predictions and targets."""
    return isinstance(loss, Several) and loss.inputs[:2] == ("y", "t")


def compares_one_column(loss, outputs):
    """Whether it compares directions, of which one column has but two."""
    return isinstance(loss, Cosine) and outputs == 1


class Objective(Layer):
    """The end of a network: the mean of a loss over all that it has one for, or with reduction="sum" their sum.

    Parameters
    ----------
    loss : str or loss
        A name of the catalogue, or what `get_err` returned, with its weights, label smoothing and the rest.
    outputs : int
        Columns of what it is given.
    output : str, activation or None
        What these have gone through; it is only read.

    A loss that takes a variance or a scale besides (Gaussian-NLL, Laplace-NLL) has the predictions in the first half of the
    outputs and the logarithms of these in the second; there are half as many targets.

    Raises ValueError or TypeError where loss and outputs do not fit.
    """

    def __init__(self, loss: Any, outputs: int, output: str | None = None):
        self.loss, self.outputs = loss_of(loss), whole("outputs", outputs, 1)
        self.task = task_of(self.loss)
        self._spread = has_spread(self.loss)
        if self._spread and outputs % 2:
            raise ValueError(f"loss {self.loss.name!r} takes two outputs for each target: predictions, then logarithms of "
                             f"the {self.loss.inputs[2]}; output_size is {outputs}")
        self._columns = outputs // 2 if self._spread else outputs       # of targets
        self._must_fit(output if output is None else Activation(output).activation)

    def _must_fit(self, output):
        name, task = self.loss.name, self.task
        if task.targets in ("classes", "distributions") and self.outputs == 1:
            raise ValueError(f"loss {name!r} is that of one of several classes, and output_size is 1: for two classes "
                             "give it 2, or loss='sigmoid-binary-cross-entropy'")
        if compares_one_column(self.loss, self.outputs):
            raise ValueError(f"loss {name!r} compares the directions of rows, and output_size is 1: give it 2 or more")
        with np.errstate(all="ignore"):
            y = OUTPUTS_TRIED if output is None else np.asarray(output.forward(OUTPUTS_TRIED.copy()))
            if y.shape != OUTPUTS_TRIED.shape:
                raise ValueError(f"output must keep the number of columns, which {output!r} does not")
            positive, between = (y >= 0).all(), (y >= 0).all() and (y <= 1).all()
            fits = {"scores": True, "logits": not between, "probabilities": between,
                    "logarithms of probabilities": (y <= 0).all(), "rates": positive}[task.outputs]
            if not fits:
                found = "are any numbers" if output is None else f"are those of {output!r}"
                raise ValueError(f"loss {name!r} takes {task.outputs}, and the outputs {found}: give {task.instead}")
            self._try_it()

    def _try_it(self):
        y = np.full((1, self.outputs), 0.5)
        t = np.zeros(1, np.intp) if self.task.targets == "classes" else np.zeros((1, self._columns))
        try:
            self.forward(y, t)
            self._kept = None
        except (TypeError, ValueError) as error:
            raise type(error)(f"loss {self.loss.name!r} does not fit {self.outputs} outputs and their targets: "
                              f"{error}") from error

    @property
    def reduction(self):
        return "sum" if self.loss.reduction == "sum" else "mean"

    def forward(self, x, t):
        """The loss, a float. t is what `targets` returned."""
        if not self._spread:
            loss, self._kept = self.loss.value_and_grad(x, t, reduction=self.reduction)
            return float(loss)
        with np.errstate(over="ignore"):
            spread = np.exp(x[:, self._columns:])
        loss, (of_y, of_spread) = self.loss.value_and_grad(x[:, :self._columns], t, spread, reduction=self.reduction)
        self._kept = np.concatenate([of_y, of_spread * spread], axis=1)
        return float(loss)

    def backward(self, dout=1):
        return self._recall() * dout

    def targets(self, t, rows, dtype):
        """t as the loss takes it, for so many rows. Raises TypeError or ValueError where it does not fit."""
        t = real_numbers(t, "t")
        if rows == 0:
            raise ValueError("the loss and accuracy of no rows at all are not defined")
        wide, kind = (rows, self._columns), self.task.targets
        if t.shape in ((rows,), (rows, 1)) and (kind == "classes" or kind == "distributions"):
            labels = self._labels(t.reshape(rows))
            return labels if kind == "classes" else np.eye(self.outputs, dtype=dtype)[labels]
        if t.shape == (rows,) and self._columns == 1:
            t = t.reshape(wide)
        if t.shape != wide:
            either = f"({rows},) or " if self._columns == 1 or kind in ("classes", "distributions") else ""
            raise ValueError(f"t must have shape {either}{wide}, not {t.shape}")
        refuse_outside(self.loss, t, "t")
        return t.astype(dtype, copy=False)

    def _labels(self, t):
        if t.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, not {t.dtype}")
        labels = plain(t, np.intp)
        ignored = self.loss._ignored
        counted = labels if ignored is None else labels[labels != ignored]
        if not labels_fit(counted, self.outputs):
            raise ValueError(f"labels must lie in 0..{self.outputs - 1}, found {counted.min()}..{counted.max()}")
        return labels

    def accuracy(self, y, t):
        """Share of right answers: rows with the right class, or single yes or no. t is what `targets` returned.

        Raises TypeError where the targets are numbers.
        """
        kind = self.task.targets
        if kind == "numbers":
            raise TypeError(f"there is no accuracy of numbers, which loss {self.loss.name!r} is for: see "
                            "fastnn.nn.metrics, r2(net.predict(x), t) and others")
        ignored = self.loss._ignored
        counted = slice(None) if ignored is None or t.dtype.kind == "f" and kind == "classes" else t != ignored
        if kind == "yes or no":
            right = (y > self.task.threshold) == (t > (0 if self.task.outputs == "scores" else 0.5))
        else:
            right = y.argmax(axis=1) == (t.argmax(axis=1) if t.ndim == 2 else t)
        return float(np.mean(right[counted]))
