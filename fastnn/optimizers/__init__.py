"""The catalogue of optimizers: one class each, with its hyperparameters, its rule in words and the constants of a step.

The compiled rules stand in fastnn/core/formulas. In the docstrings g is the gradient, t the parameter's own step, from
1; the delta is added to the parameter. Everything that depends only on hyperparameters and t is computed here, once a
step, in double precision, and handed to the rule by name.
"""
from .base import Optimizer, _registry, get_opt, optimizers, rate
# the rows of the catalogue, in its order
from . import sgd, momentum, adaptive, adam
from . import adamw, adam_variants, beliefs, mixtures, optimistic
from . import sign
from . import norms, distances, factored, matrix
from . import online, averaged, sophia
from . import noisy, santa

__all__ = ["Optimizer", "get_opt", "optimizers", "rate"]
