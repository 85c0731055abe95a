"""Optimizers whose constants are made of whole tensors: of inner products of gradients, parameters and state."""
from math import isfinite

from ..core import rules
from ..core.measuring import Products
from .base import Optimizer


class Measured(Optimizer):
    """What they share. A sum that is infinite or NaN skips the step, as a norm that clips does.

    `pairs` says which inner products a row wants of each tensor, as fastnn/core/measuring.pyx names them. The rule is
    tried with the constants of the scalars that `advanced` gives, or `kernels` has a second one to be tried instead.
    """

    elementwise = lazy = False
    measures = True
    pairs = (("g", "g"),)
    signed = ()                 # scalars that may be negative

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        if all(name in rules.RULES for name in cls.kernels):        # the build reads rows before their rules are compiled
            tried = [rules.RULES[name][0] for name in cls.kernels[1:]]
            cls._products = Products(cls.pairs, cls.slots, *tried)
            cls.measures_p = (cls._products.reads_p or None in cls.slots.values()
                              or any(rules.RULES[name][3] for name in cls.kernels))

    @classmethod
    def checked_scalars(cls, **values):
        for name, value in values.items():
            if value < 0 and name not in cls.signed:
                raise ValueError(f"{cls.name}'s {name} must be at least 0, not {value}")

    @staticmethod
    def decayed(h, t, scalars):
        """What `weight_decay` is multiplied by."""
        return 1

    def _put(self, cohort, scalars):
        h, t = cohort.numbers, cohort.next_t
        cohort.measured(self.constants(h, t, *scalars), scalars, self.decayed(h, t, scalars))


class Layerwise(Measured):
    """Each tensor by itself."""

    @staticmethod
    def measured(h, t, scalars, *sums):
        """The scalars of a tensor in step t, made of its inner products; `scalars` are those that `advanced` gave."""
        raise TypeError("this class has no rule")

    def _measure(self, plan):
        for cohort, sums in zip(plan.cohort_of, plan.dots(self._products)):
            if not all(map(isfinite, sums)):
                return False
            self._put(cohort, self.measured(cohort.numbers, cohort.next_t, cohort.next_scalars, *sums))
        return True


class Joint(Measured):
    """All parameters of a call together: each has the same scalars, and those of the one that has taken the most steps
    count, for one that joins, too. An explicit t of 1 begins anew."""

    @staticmethod
    def begun(h, scalars):
        """The scalars that a step begins with, of those that the last one left; h is that of the first parameter."""
        return scalars

    @staticmethod
    def measured(found, scalars, told):
        """The scalars of a step: `found` has (h, t, sums) of each tensor, `scalars` are those that it began with, `told`
        what `advanced` made of the call."""
        raise TypeError("this class has no rule")

    def _measure(self, plan):
        cohorts = plan.cohort_of
        newest = self._newest()
        first = newest is None or all(cohort.t and cohort.next_t == 1 for cohort in cohorts)
        scalars = self.begun(cohorts[0].numbers, tuple(self.scalars.values()) if first else newest)
        told = cohorts[0].next_scalars
        if self._products.tries:
            for cohort in cohorts:
                self._put(cohort, scalars)
        found = [(cohort.numbers, cohort.next_t, sums) for cohort, sums in zip(cohorts, plan.dots(self._products))]
        if not all(isfinite(value) for _, _, sums in found for value in sums):
            return False
        scalars = self.measured(found, scalars, told)
        if not all(map(isfinite, scalars)):
            return False
        for cohort in cohorts:
            self._put(cohort, scalars)
        return True


def total(found, i):
    """One of the inner products over all tensors."""
    return sum(sums[i] for _, _, sums in found)
