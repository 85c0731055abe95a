"""The catalogue of error functions, by family. Formulas: fastnn/core/losses and softmax.pxd."""
from typing import TYPE_CHECKING, Any

from ..dialects import row
from . import classification, distances, embeddings, likelihoods, probabilities, similarities
from .base import Elementwise, Loss, Rows, Several
from .base import registry as _registry

# Names that mean different things in different libraries
_LIKE = "get_err({!r}, like={!r})"
_registry.elsewhere |= {
    "cross entropy": "softmax-cross-entropy of logits, as in PyTorch, or Cross of probabilities",
    **{name: f"softmax-cross-entropy of logits, or {_LIKE.format(name, 'keras')} of probabilities"
       for name in ("CategoricalCrossentropy", "SparseCategoricalCrossentropy")},
    "BinaryFocalCrossentropy": "sigmoid-focal, of logits", "CategoricalFocalCrossentropy": "softmax-focal, of logits",
    "KLDivergence": "KL of log-probabilities, as in PyTorch and optax, or with log_input=False of probabilities; "
                    f"{_LIKE.format('KLDivergence', 'keras')} sums along the last axis",
    "CosineSimilarity": f"cosine, which is 1 minus the similarity, or {_LIKE.format('CosineSimilarity', 'keras')}, which is minus the similarity",
    **{name: _LIKE.format(name, "torch") for name in ("MarginRankingLoss", "CosineEmbeddingLoss", "MultiLabelSoftMarginLoss")}}

if TYPE_CHECKING:                   # written by the build: tools/names.py
    from .._names import LossName, Source

__all__ = ["Elementwise", "Loss", "Rows", "Several", "classification", "distances", "embeddings", "get_err", "likelihoods",
           "losses", "probabilities", "similarities"]


def get_err(name: "LossName | str", *args: Any, like: "Source | None" = None,
            **kwds: Any) -> "Elementwise | Rows | Several":
    """Make the loss (error function) of that name.

    Parameters
    ----------
    name : str
        One of `losses()` or an alias such as "mse"; case, spaces, - and _ do not count.
    *args, **kwds : float
        Its hyperparameters, by position or name, and `reduction`: "none", "mean" or "sum".
    like : {"torch", "optax", "jax", "keras", "chainer", "sklearn", "dlfs", "article"}, optional
        Whose name it is: that library's arguments and defaults are taken.

    Returns
    -------
    Elementwise or Rows
        With `forward(y, t)`, `backward(y, t)` and `value_and_grad(y, t)`: predictions come first, targets second.

    Raises
    ------
    ValueError
        For an unknown name or source, with the nearest name, and for a hyperparameter out of its range.
    TypeError
        For unknown arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import get_err
    >>> loss = get_err("Huber", delta=1.0, reduction="mean")
    >>> y, t = np.array([0.0, 3.0]), np.array([0.5, 0.0])
    >>> loss.forward(y, t)
    1.3125
    >>> loss.backward(y, t)
    array([-0.25,  0.5 ])
    """
    return row(_registry, name, like)(*args, **kwds)


def losses() -> list[str]:
    """The names of all losses, in the order of the catalogue."""
    return _registry.names()
