"""What the pictures of `fastnn catalog` show: values of an entry, and a function that draws them to a file."""
import numpy as np

import fastnn
from fastnn.losses.base import Several

from .catalog import CATALOGUES
from .plot import START, STEPS, best_path, course, sample, valley

__all__ = ["activation", "by_value", "loss", "optimizer", "schedule"]

HEADS = ("x", "f(x)", "f'", "f''")
TABLE = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
LOGITS, PROBABILITIES, COUNTS = (-3.0, 3.0), (0.02, 0.98), (0.1, 4.0)
# The predictions and targets that a loss is drawn for, where these are not any numbers.
DRAWN = {
    **dict.fromkeys(("Binary", "Cross", "Jensen-Shannon"), (PROBABILITIES, (0.0, 0.5, 1.0))),
    **dict.fromkeys(("sigmoid-binary-cross-entropy", "sigmoid-focal"), (LOGITS, (0.0, 0.5, 1.0))),
    **dict.fromkeys(("hinge", "squared-hinge"), (LOGITS, (-1.0, 1.0))),
    "KL": (LOGITS, (0.1, 0.5, 0.9)), "Poisson": ((-2.0, 2.0), (0.0, 1.0, 3.0)), "MSLE": (COUNTS, (0.5, 1.0, 2.0)),
    "MAPE": (LOGITS, (0.5, 1.0, 2.0)), "contrastive": ((0.0, 2.0), (0.0, 1.0)),
    **dict.fromkeys(("Tversky", "dice"), (PROBABILITIES, (0, 1)))}
ANY = LOGITS, (-1.0, 0.0, 1.0)
SPREADS, NEGATIVES, TEMPERATURES = (0.5, 1.0, 2.0), (1.0, 2.0, 3.0), (0.25, 0.5, 1.0)


def activation(name):
    """(note, table of values, function that draws). There is f, f' and, but for learnable, random and gated ones, f''."""
    _, note, function = sample(name)
    x = np.array(TABLE)
    columns = [x, *function(x)]
    heads = HEADS[:len(columns)]
    rows = [heads, *([f"{value:.5g}" for value in row] for row in zip(*columns))]
    from .figures.entries import draw_shape
    return note, rows, lambda file: draw_shape(file, function, heads)


def by_value(name):
    """Whether backward(y=y) will do, with the default hyperparameters."""
    cls = CATALOGUES["activations"][name]
    required = [each for each in cls.__signature__.parameters.values() if each.default is each.empty]
    return bool(getattr(fastnn.get_act(name, **{each.name: 1 for each in required}), "by_value", False))


def optimizer(name):
    """(caption, function that draws)."""
    lr, points = best_path(name)
    note = (f"{STEPS} steps from ({START[0]:g}, {START[1]:g}) on x^2/20 + y^2, with lr = {lr:g}: the one of a row of "
            "rates that keeps f lowest on average")
    from .figures.entries import draw_path
    return note, lambda file: draw_path(file, points, valley)


def loss(name):
    """(caption, function that draws), or ("", None) for a loss that is not drawn."""
    err = fastnn.get_err(name)
    (low, high), targets = DRAWN.get(name, ANY)
    y = np.linspace(low, high, 241)
    variable = "y"
    if isinstance(err, Several):
        if name not in SEVERAL:
            return "", None
        note, variable, curves = SEVERAL[name](err, y)
    elif hasattr(err, "_takes_labels"):
        curves = {f"t = {t}": of_row(err, y, t) for t in ((0, 1) if targets is ANY[1] else targets)}
        note = "The first of three predictions, the others 0.2 and 0.1; the target is class t"
    else:
        curves = {f"t = {t:g}": (err.forward(y, np.full_like(y, t)), err.backward(y, np.full_like(y, t))) for t in targets}
        note = "The loss and its derivative in the prediction y, for targets t"
    from .figures.entries import draw_loss
    return note, lambda file: draw_loss(file, y, curves, variable)


def likelihood(err, y):
    """(caption, what varies, curves) of a prediction with a spread."""
    spread, curves = err.inputs[2], {}
    for value in SPREADS:
        error, (slope, _) = err.value_and_grad(y, np.zeros_like(y), np.full_like(y, value))
        curves[f"{spread} = {value:g}"] = error, slope
    return f"The loss and its derivative in the prediction y, for the target 0 and three values of {spread}", "y", curves


def triplet(err, y):
    """(caption, what varies, curves) of an anchor on a line."""
    curves = {}
    for value in NEGATIVES:
        anchor = y[:, np.newaxis]
        error, (slope, _, _) = err.value_and_grad(anchor, np.zeros_like(anchor), np.full_like(anchor, value))
        curves[f"n = {value:g}"] = error, slope[:, 0]
    return "One dimension: anchors a, the positive at 0, the negative at n; the derivative is that in a", "a", curves


def pairs(err, y):
    """(caption, what varies, curves) of the first of two queries on a line."""
    curves = {}
    keys = np.broadcast_to([[1.0], [-1.0]], (len(y), 2, 1))
    queries = keys.copy()
    queries[:, 0, 0] = y
    for err.temperature in TEMPERATURES:
        error, (slope, _) = err.value_and_grad(queries, keys)
        curves[f"temperature = {err.temperature:g}"] = error[:, 0], slope[:, 0, 0]
    return "One dimension: the loss of a query q whose key is 1, with -1 as the other key, and its derivative in q", "q", curves


SEVERAL = {"Gaussian-NLL": likelihood, "Laplace-NLL": likelihood, "triplet": triplet, "InfoNCE": pairs}


def of_row(err, y, label):
    """Loss and derivative in the first element of rows of three."""
    rows = np.column_stack([y, np.full_like(y, 0.2), np.full_like(y, 0.1)])
    target = np.zeros_like(rows)
    target[:, label] = 1
    return err.forward(rows, target), err.backward(rows, target)[:, 0]


def schedule(name):
    """(caption, function that draws)."""
    note, values = course(name)
    from .figures.entries import draw_course
    return f"schedules.{name}({note})", lambda file: draw_course(file, values)
