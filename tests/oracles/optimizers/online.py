"""Rules from online convex optimization."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer


@dataclass
class FTRL(Optimizer):
    """McMahan et al. 2013, the update of section 3.1 as a proximal step from p.

    r is the part of the subgradients so far that the l1 term holds back; test_oracles has algorithm 1 itself.
    """
    alpha: float = 0.1
    beta: float = 1.0
    lambda1: float = 0
    lambda2: float = 0
    initial_n: float = 0
    n = r = 0
    reads_p = True

    def rule(self, g, t, p):
        self.n = self.n + g**2
        curvature = (self.beta + np.sqrt(self.initial_n + self.n))/self.alpha + self.lambda2
        centre = p - (self.r + g)/curvature
        pull = self.lambda1*np.sign(centre)
        kept = abs(centre) > self.lambda1/curvature
        delta = np.where(kept, -(g + (self.r + pull))/curvature, -p)
        self.r = np.where(g == 0, self.r, np.where(kept, -pull, self.r + g + curvature*delta))
        return np.where(g == 0, 0, delta)


ORACLES = {"FTRL": FTRL}
