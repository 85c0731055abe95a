"""Compiled activations, optimizers and losses for NumPy training loops.

    from fastnn import get_act, get_opt, get_err
"""
from ._version import __version__
from .activations import activations, get_act
from .core import get_num_threads, set_num_threads, trim_memory
from .files import load, save
from .losses import get_err, losses
from .optimizers import get_opt, optimizers
from .state import StateError
from . import maxout, santa         # these rows of the catalogues have files of their own

__all__ = ["StateError", "__version__", "activations", "get_act", "get_err", "get_num_threads", "get_opt", "load",
           "losses", "optimizers", "save", "set_num_threads", "trim_memory"]
