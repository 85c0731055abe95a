"""Optimizers that draw noise: where it comes from, and that a step which fails takes none of it; annealed noise."""
from functools import partial
from math import prod, sqrt

import numpy as np

from ..generators import as_rng, checked_rng, generator, generator_state, position, same_kind, set_position, setter
from ..hyperparameters import Choice, Hyperparameter
from .base import Optimizer, rate


PIECE = 16384               # numbers that are drawn before they are rounded: in the cache, not in new memory of that size


def generator_of_noise():
    """`rng` of a class: None, a seed, a Generator or a RandomState."""
    return Choice(None, checked_rng, shared="all parameters draw from one generator")


class Noisy(Optimizer):
    """What optimizers with `rng` share: its generator, and that it stands where it stood if a step is not taken."""

    lazy = False                # noise moves every row
    _drawn_from = _noise = None

    def _hyperparameter_set(self):
        if self._drawn_from is not self.rng or self._noise is None:
            self._drawn_from, self._noise = self.rng, as_rng(self.rng)

    def _advance(self, plan, extra):
        self._prepare(plan, extra)
        noise = self._noise                     # rng may be set meanwhile
        before, passes = position(noise), self._passes
        done = False
        try:
            filled = [(slot, np.asarray(values, slot.dtype))
                      for slot, values in self._filled(plan, noise, extra.get("t"))]
            done = self._run(plan, filled, setter(noise, before))
        finally:
            if not done and self._passes == passes:         # skipped, or something failed before the step
                set_position(noise, before)

    def _filled(self, plan, noise, given):
        """Pairs of a slot and what it is filled with before the step, which has the number `given`, if it is one."""
        raise TypeError("this class has no rule")

    def _drawn(self, noise, *groups):
        """Normal noise for each record of each group."""
        return [[self._normal(noise, record.shape) for record in group] for group in groups]

    def _normal(self, noise, shape):
        z = np.array(noise.standard_normal(shape), np.float64)             # a copy: the caller may keep the other
        if z.shape != shape:
            raise ValueError(f"the generator gave noise of shape {z.shape} instead of {shape}")
        return z

    def _rounded(self, noise, record):
        """Normal noise for a record, in the precision that its rule computes in: the same numbers."""
        n = prod(record.shape)
        if type(noise) is not np.random.Generator or n <= PIECE:        # others need not know `out`
            return self._normal(noise, record.shape)
        z, piece = np.empty(n, record.computed), np.empty(PIECE)
        for start in range(0, n, PIECE):
            drawn = piece[:n - start]
            noise.standard_normal(out=drawn)
            z[start:start + PIECE] = drawn
        return z.reshape(record.shape)

    def _remembered(self):
        return {"generator": generator_state(self._noise)}

    def _recalled(self, remembered):
        new = generator(remembered["generator"])
        if same_kind(self._noise, new):
            return setter(self._noise, position(new))
        return partial(self.__dict__.update, rng=new, _drawn_from=new, _noise=new)


class NoisySGD(Noisy, name="NoisySGD", kernel="noisy_sgd"):
    """-lr (g + sqrt(eta/t^gamma) z), z standard normal.  Neelakantan et al. 2015, arXiv 1511.06807, with the smallest of
    its three eta.

    eta is the variance of the first step, not a rate. optax's noisy_sgd, which draws other noise. rng is None, an
    integer, a Generator or a RandomState; each step draws `standard_normal(shape)` for every parameter, in the order of
    the call.
    """

    lr = rate(1e-2)
    eta = Hyperparameter(0.01, at_least=0)
    gamma = Hyperparameter(0.55, at_least=0)
    rng = generator_of_noise()
    slots = {"noise": 0}
    timed_with = {"rng": 0}
    peers = {"optax": ("noisy_sgd", dict(learning_rate=0.01, key=0))}

    @staticmethod
    def constants(h, t):
        return {"lr": h.lr, "noise_factor": h.lr * sqrt(h.eta) * t ** (-h.gamma / 2)}

    def _filled(self, plan, noise, given):
        return [(record.slot(0), self._rounded(noise, record)) for record in plan.records]
