"""The catalogue of error functions, by family. Formulas: fastnn/core/losses and softmax.pxd."""
from typing import Any

from ..dialects import row
from . import classification, distances, embeddings, likelihoods, probabilities, similarities
from .base import Elementwise, Loss, Rows, Several
from .base import registry as _registry

__all__ = ["Elementwise", "Loss", "Rows", "Several", "classification", "distances", "embeddings", "get_err", "likelihoods",
           "losses", "probabilities", "similarities"]


def get_err(name: str, *args: Any, like: str | None = None, **kwds: Any) -> "Elementwise | Rows | Several":
    """The error function of that name, with the hyperparameters given; like="torch", "optax", "keras", "chainer",
    "sklearn", "dlfs" or "article": the one that this source has by that name.

    Raises ValueError for an unknown name or source, or a hyperparameter out of its range, TypeError for unknown
    arguments.
    """
    return row(_registry, name, like)(*args, **kwds)


def losses() -> list[str]:
    """The names of all error functions."""
    return _registry.names()
