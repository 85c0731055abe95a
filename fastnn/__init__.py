"""Compiled activations, optimizers and losses for neural networks in NumPy.

    from fastnn import get_act, get_opt, get_err

    act, opt, err = get_act("GELU"), get_opt("Adam", lr=1e-3), get_err("softmax-cross-entropy", reduction="mean")
    y = act.forward(x)                      # any shape, float32 or float64
    dx = act.backward(x, grad=dy)           # dy * f'(x)
    opt.step(params, grads)                 # arrays, lists or dicts of them, changed in place

By name
    get_act, get_opt, get_err               an activation, an optimizer, a loss; help() of the result shows its arguments
    activations, optimizers, losses         the lists of names
    register_act, register_opt, register_loss           your own formula, compiled; explain, unregister, where

Around a step
    schedules                               hyperparameters that change with the step
    group                                   other hyperparameters for some of the parameters
    Lookahead, ExponentialAverage, Accumulate, SAM      optimizers around an optimizer
    Rows                                    the gradient of some rows of a table
    save, load, StateError                  checkpoints

Modules
    fastnn.nn                               layers, networks, a trainer
    fastnn.estimators                       scikit-learn's MLPClassifier and MLPRegressor
    fastnn.datasets                         1,797 digits; a reader of MNIST's files
    fastnn.articles, fastnn.dlfs            names and calls of article A and of the book

Settings
    set_num_threads, get_num_threads        threads; or FASTNN_NUM_THREADS
    trim_memory                             frees memory that is cached for later results

"The articles" are three texts whose names and calls fastnn understands. Article A is "Localization and Loss Function", a
catalogue of activations, optimizers and losses in NumPy (`fastnn.articles`, like="article"). Article B is chapter 6 of the
book "Deep Learning from Scratch" (`fastnn.dlfs`, `fastnn.nn`). Article C is a listing that follows the book.

The command `fastnn` compares optimizers, measures speed, and draws and lists the catalogue: `fastnn --help`.
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
from . import concatenated, gated, gumbel, learnable, maxout, rrelu       # rows of the catalogue in files of their own

if TYPE_CHECKING:
    from . import articles as articles, datasets as datasets, dlfs as dlfs, estimators as estimators, nn as nn
    from .jit.activations import register_act
    from .jit.explain import explain
    from .jit.losses import register_loss
    from .jit.names import unregister
    from .jit.optimizers import register_opt
    from .jit.symbolic import where

__all__ = ["Accumulate", "ExponentialAverage", "Lookahead", "Rows", "SAM", "StateError", "__version__", "activations",
           "explain", "get_act", "get_err", "get_num_threads", "get_opt", "group", "load", "losses", "optimizers",
           "register_act", "register_loss", "register_opt", "save", "schedules", "set_num_threads", "trim_memory", "unregister", "where"]

# where the functions for formulas are: they are imported when they are asked for, so that all others need not wait
_FORMULAS = {"register_act": "activations", "register_loss": "losses", "register_opt": "optimizers", "unregister": "names", "explain": "explain",
             "where": "symbolic"}

_SUBMODULES = ("articles", "datasets", "distributed", "dlfs", "estimators", "nn")     # imported on first access


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    if name not in _FORMULAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".jit.{_FORMULAS[name]}", __name__), name)
    globals()[name] = found
    return found
