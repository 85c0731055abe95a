"""Compiled activations, optimizers and losses for NumPy training loops.

    from fastnn import get_act, get_opt, get_err

and a user's own formulas: register_act, register_opt.

Names come from three sources, which documentation and messages call by letters: article A is "Localization and Loss
Function" (`fastnn.articles`, like="article"), article B chapter 6 of "Deep Learning from Scratch" and article C a listing
after it (`fastnn.dlfs`, `fastnn.nn`).
"""
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .activations import activations, get_act
from .core import get_num_threads, set_num_threads, trim_memory
from .core.sparse import Rows
from .files import load, save
from .losses import get_err, losses
from .groups import group
from .optimizers import get_opt, optimizers
from .optimizers.wrappers import SAM, Accumulate, ExponentialAverage, Lookahead
from .state import StateError
from . import schedules
from . import gated, learnable, maxout, rrelu       # these rows of the catalogue have files of their own

if TYPE_CHECKING:
    from . import articles as articles, datasets as datasets, dlfs as dlfs, estimators as estimators, nn as nn
    from .jit.activations import register_act
    from .jit.explain import explain
    from .jit.names import unregister
    from .jit.optimizers import register_opt
    from .jit.symbolic import where

__all__ = ["Accumulate", "ExponentialAverage", "Lookahead", "Rows", "SAM", "StateError", "__version__", "activations",
           "explain", "get_act", "get_err", "get_num_threads", "get_opt", "group", "load", "losses", "optimizers",
           "register_act", "register_opt", "save", "schedules", "set_num_threads", "trim_memory", "unregister", "where"]

# where the functions for formulas are: they are imported when they are asked for, so that all others need not wait
_FORMULAS = {"register_act": "activations", "register_opt": "optimizers", "unregister": "names", "explain": "explain",
             "where": "symbolic"}

_SUBMODULES = ("articles", "datasets", "dlfs", "estimators", "nn")        # imported where somebody asks for them, as in fastnn.dlfs.Adam()


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    if name not in _FORMULAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".jit.{_FORMULAS[name]}", __name__), name)
    globals()[name] = found
    return found
