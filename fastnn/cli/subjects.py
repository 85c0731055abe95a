"""What ``fastnn bench`` compares: sections, each a table of rows that all sides compute on the same data."""
from abc import ABC, abstractmethod

import numpy as np

import fastnn
from fastnn.learnable import learnable

from .catalog import CATALOGUES, resolve
from .errors import UserError
from .families import named
from .peers.library import BATCH, LEARNED, WIDTHS, Task

__all__ = ["SUBJECTS", "MODELS", "Section", "choose_names", "sections"]

SUBJECTS = ("activations", "optimizers", "losses", "training")
# What a bare `fastnn bench` takes from the catalogues, so that it ends within a minute.
SHORT = {"activations": ["sigmoid", "tanh", "ReLU", "Swish", "GELU", "softmax"],
         "optimizers": ["SGD", "Momentum", "RMSprop", "Adam"],
         "losses": ["squared-error", "Huber", "sigmoid-binary-cross-entropy", "softmax-cross-entropy"]}
COMPARED = ("elementwise", "rows", "gated", "concatenated", "learnable", "random")      # a layer is a matrix product
OF_SIDES = ("soft-margin", "hinge-embedding")           # losses whose targets are -1 and 1 in every library
PAIRS = 256                             # of InfoNCE at most
ROW = 100                               # activations of rows work on rows of that many, where the size allows
NETWORK = f"{WIDTHS[0]}-{WIDTHS[1]}x{len(WIDTHS) - 2}-{WIDTHS[-1]}"
MODELS = {                              # the shapes of a model's tensors
    NETWORK: [shape for n, m in zip(WIDTHS, WIDTHS[1:]) for shape in ((n, m), (m,))],
    "100x10": [(10,)] * 100,
    "100x1000": [(1000,)] * 100,
    "1x1e7": [(10_000_000,)],
}


class Section(ABC):
    """One table.

    Attributes
    ----------
    subject : str
    facts : dict
        What the rows have in common.
    group, detail : str
        The title in two parts: what it shares with its neighbours, and what it does not.
    rows : list of str
    bytes : int
        Of what one side holds at least.
    yardstick : str or None
        A side that computes only part of the work: it is shown and not among the peers.
    """

    subject = group = detail = ""
    yardstick = None

    def __init__(self, rows, **facts):
        self.rows, self.facts, self.bytes = rows, facts, 0

    def prepare(self):
        """Make the data that all rows share."""

    @abstractmethod
    def call(self, side, row):
        """The `Call` of a library on a row, or None."""

    def release(self):
        """Let go of the data."""
        self.x = self.halves = self.grad = self.params = self.grads = self.task = None


class Activations(Section):
    subject = "activations"

    def __init__(self, rows, direction, dtype, size):
        super().__init__(rows, direction=direction, dtype=dtype, size=size)
        self.group, self.detail = f"{direction}, {dtype}", f"{size:,} element{'s' * (size > 1)}"
        twice = any(kind_of(row) in ("gated", "concatenated") for row in rows)
        self.bytes = (7 if twice else 4) * size * np.dtype(dtype).itemsize

    def prepare(self):
        size, dtype = self.facts["size"], self.facts["dtype"]
        self.x, self.grad = 2 * normal(size, dtype), normal(size, dtype, seed=1)
        kinds = {kind_of(row) for row in self.rows}
        self.halves = np.concatenate([self.x, 2 * normal(size, dtype, seed=2)]) if "gated" in kinds else None
        self.doubled = normal(2 * size, dtype, seed=3) if "concatenated" in kinds else None

    def call(self, side, row):
        shape = (-1, ROW) if kind_of(row) == "rows" and self.x.size % ROW == 0 else (-1,)
        x, grad = self.x.reshape(shape), self.grad.reshape(shape)
        if kind_of(row) == "gated":                     # the result has `size` elements
            x = self.halves
        elif kind_of(row) == "concatenated":            # twice as many
            grad = self.doubled
        return side.forward(row, x) if self.facts["direction"] == "forward" else side.backward(row, x, grad)


def kind_of(name):
    return "learnable" if name.startswith(LEARNED) else CATALOGUES["activations"][name].kind


class Optimizers(Section):
    subject = "optimizers"

    def __init__(self, rows, dtype, model):
        super().__init__(rows, dtype=dtype, model=model)
        self.group, self.detail = f"one step, {dtype}", model
        self.bytes = 5 * sum(int(np.prod(shape)) for shape in MODELS[model]) * np.dtype(dtype).itemsize

    def prepare(self):
        dtype, shapes = self.facts["dtype"], MODELS[self.facts["model"]]
        self.params = [normal(shape, dtype, seed=(0, i)) for i, shape in enumerate(shapes)]
        self.grads = [normal(shape, dtype, seed=(1, i)) for i, shape in enumerate(shapes)]

    def call(self, side, row):
        return side.step(row, self.params, self.grads)


class Losses(Section):
    subject = "losses"

    def __init__(self, rows, dtype, size):
        super().__init__(rows, dtype=dtype, size=size)
        self.group, self.detail = f"mean and gradient, {dtype}", f"{size:,} element{'s' * (size > 1)}"
        self.bytes = 6 * size * np.dtype(dtype).itemsize

    def call(self, side, row):
        return side.loss(row, loss_arrays(row, self.facts["size"], self.facts["dtype"]))


class Training(Section):
    subject, yardstick = "training", "numpy"

    def __init__(self, dtype):
        super().__init__([NETWORK], dtype=dtype, batch=BATCH)
        self.group, self.detail = f"one step with Adam, {dtype}", f"batch of {BATCH}"

    def prepare(self):
        x = normal((BATCH, WIDTHS[0]), self.facts["dtype"])
        self.task = Task(x, np.random.default_rng(1).integers(0, WIDTHS[-1], BATCH))

    def call(self, side, row):
        return side.train(self.task)


def loss_arrays(name, size, dtype):
    """What a loss takes: predictions from 0.05 to 0.95, targets 0 and 1 or labels, spreads, or vectors of ROW elements."""
    row = CATALOGUES["losses"][name]
    rng = np.random.default_rng(0)
    columns = ROW if size % ROW == 0 else size
    shape = (size // columns, columns)
    if name == "InfoNCE":                                   # its products grow with the square of the pairs
        pairs = min(PAIRS, size)
        shape = (pairs, size // pairs)
    if row.inputs[:2] != ("y", "t"):
        return [normal(shape, dtype, seed) for seed in range(len(row.inputs))]
    arrays = [rng.uniform(0.05, 0.95, shape).astype(dtype), rng.integers(0, 2, shape).astype(dtype)]
    if name in OF_SIDES:
        arrays[1] = 2 * arrays[1] - 1
    if getattr(row, "_takes_labels", False):
        arrays[1] = rng.integers(0, columns, shape[0])
    return arrays + [rng.uniform(0.5, 1.5, shape).astype(dtype) for _ in row.inputs[2:]]


def normal(shape, dtype, seed=0):
    """Standard normal numbers. Large arrays repeat a block, which is faster than drawing them."""
    block = np.random.default_rng(seed).standard_normal(min(int(np.prod(shape)), 1_000_000), dtype)
    return np.resize(block, shape)


def choose_names(subjects, wanted):
    """(subjects, {catalogue: names}) for what the user asked for; with nothing asked for, a short selection."""
    comparable = {"activations": [name for name in [*fastnn.activations(), *learned_forms()] if kind_of(name) in COMPARED],
                  "optimizers": fastnn.optimizers(), "losses": fastnn.losses()}
    if not wanted:
        return (subjects, comparable) if subjects else (list(SUBJECTS), SHORT)
    found = {}
    for word in wanted:
        catalogue, meant = find(word, [known for known in comparable if not subjects or known in subjects])
        for name in meant:
            if name not in comparable[catalogue]:
                raise UserError(f"{name} is a layer with weights: there is nothing to compare it with")
            if name not in found.setdefault(catalogue, []):
                found[catalogue].append(name)
    for subject in subjects:
        if subject in comparable and subject not in found:
            raise UserError(f"--names has none of the {subject}")
    return subjects or list(found), found


def find(name, catalogues):
    """(catalogue, names as it spells them): one, or those of a family; the errors of all if none has it."""
    errors = []
    for catalogue in catalogues:
        try:
            if catalogue == "activations" and name.lower().startswith(LEARNED):
                return catalogue, [learned_form(name)]
            return catalogue, named([name]) if catalogue == "optimizers" else [resolve(catalogue, name)]
        except ValueError as error:
            errors.append(error)
    if not errors:
        raise UserError(f"--names {name}: neither activations, optimizers nor losses are to be compared")
    raise UserError("; ".join(str(error) for error in errors)) from errors[0]


def learned_forms():
    """The rows of activations whose parameters are learned, by what `learn=` makes."""
    return [LEARNED + name for name in learnable() if kind_of(name) != "learnable"]


def learned_form(name):
    """That row. ValueError where there is none."""
    found = LEARNED + resolve("activations", name[len(LEARNED):])
    if found not in learned_forms():
        raise ValueError(f"there is no {found}: there are {', '.join(learned_forms())}")
    return found


def sections(subjects, names, dtypes, sizes, models):
    """All tables, in the order in which they are measured."""
    found = []
    for subject in subjects:
        for dtype in dtypes:
            if subject == "activations":
                found += [Activations(names[subject], direction, dtype, size)
                          for direction in ("forward", "backward") for size in sizes]
            elif subject == "optimizers":
                found += [Optimizers(names[subject], dtype, model) for model in models]
            elif subject == "losses":
                found += [Losses(names[subject], dtype, size) for size in sizes]
            else:
                found.append(Training(dtype))
    return found
