"""Sophia: a momentum over the diagonal of the Hessian, which the caller gives."""
from collections.abc import Mapping

import numpy as np

from ..core.arrays import as_array
from ..groups import numbers_at
from ..hyperparameters import Hyperparameter
from ..trees import NESTED
from .base import Optimizer, decay, rate


class Sophia(Optimizer, name="Sophia", kernel="sophia"):
    """h += (1 - beta2)(hessian - h) where one is given; m += (1 - beta1)(g - m); -lr clip(m/max(gamma h, eps), -1, 1).

    Liu et al. 2023, arXiv 2305.14342, algorithm 3; the rate is that of the authors' code. ``step(params, grads,
    hessian=...)`` takes an estimate of the Hessian's diagonal in the structure of the gradients, None where there is
    none: the paper has one every 10 steps, by Hutchinson's estimator with gamma = 0.01, or by Gauss-Newton-Bartlett's
    with 0.05. Otherwise h stays as it is; before the first, steps are those of sign(m). `maximize` and `grad_scale`
    concern the Hessian as they do the gradient. optax corrects m as Adam does, and changes h after the step.

    A Hessian that does not fit raises before anything has changed: KeyError or ValueError for one that is missing or has
    another shape, TypeError for what is no array of real numbers.
    """

    lr = rate(1e-4)
    beta1 = decay(0.96)
    beta2 = decay(0.99)
    gamma = Hyperparameter(0.01, at_least=0)
    eps = Hyperparameter(1e-12, above=0)
    slots = {"m": 0, "h": 0}
    peers = {"optax": ("contrib.sophia", dict(learning_rate=1e-4, weight_decay=0))}
    _update_arguments = (*Optimizer._update_arguments, "hessian")

    @staticmethod
    def constants(h):
        return {"one_minus_beta1": 1 - h.beta1, "gamma": h.gamma, "eps": h.eps, "lr": h.lr}

    def _advance(self, plan, extra):
        self._prepare(plan, extra)
        hessian = extra.get("hessian")
        self._run(plan, () if hessian is None else self._observed(plan, hessian, extra.get("t")))

    def _observed(self, plan, hessian, given):
        """Pairs of h and what it becomes."""
        found = []
        for key, record, cohort in zip(plan.keys, plan.records, plan.cohort_of):
            values = of_key(hessian, key, len(plan.keys))
            if values is None:
                continue
            values = as_array(values, f"the Hessian of {key!r}")
            if values.dtype.kind not in "biuf" and values.dtype.name != "bfloat16":
                raise TypeError(f"the Hessian of {key!r} must be an array of real numbers, not of {values.dtype}")
            if values.shape != record.shape:
                raise ValueError(f"the Hessian of {key!r} has shape {values.shape}, the parameter {record.shape}")
            numbers = numbers_at(cohort.group or self, cohort.t + 1 if given is None else self._time(given))
            slot, scale = record.slot(1), -numbers.grad_scale if numbers.maximize else numbers.grad_scale
            with np.errstate(all="ignore"):
                values = values.astype(slot.dtype)
                found.append((slot, np.asarray(slot + (1 - numbers.beta2) * (scale * values - slot), slot.dtype)))
        return found


def of_key(hessian, key, count):
    """The part of a parameter, by its key or path. Raises for a structure that is not that of the parameters."""
    if not isinstance(hessian, NESTED):
        if key != 0 or count > 1:
            raise TypeError("hessian must have the structure of the gradients: a mapping or a sequence")
        return hessian
    if isinstance(hessian, Mapping) and key in hessian:
        return hessian[key]
    found = hessian
    for step in key if isinstance(key, tuple) else (key,):
        if found is None:
            return None
        try:
            found = found[step]
        except (LookupError, TypeError) as error:
            raise (KeyError if isinstance(found, Mapping) else ValueError)(f"no Hessian for parameter {key!r}") from error
    return found
