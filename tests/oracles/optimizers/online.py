"""Rules from online convex optimization."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


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


@dataclass
class MADGRAD(Optimizer):
    """Defazio, Jelassi 2021, algorithm 1 as the authors' code has it (github.com/facebookresearch/madgrad); x0 is 0."""
    lr: float = 0.01
    momentum: float = 0.9
    eps: float = 1e-6
    grad_sum_sq = s = x = 0

    def rule(self, g, t):
        lamb = (self.lr + self.eps)*np.sqrt(t) if self.lr else 0
        self.grad_sum_sq = self.grad_sum_sq + lamb*g**2
        self.s = self.s + lamb*g
        z = -ratio(self.s, np.cbrt(self.grad_sum_sq) + self.eps)
        before, self.x = self.x, self.momentum*self.x + (1 - self.momentum)*z
        return self.x - before


@dataclass
class COCOB(Optimizer):
    """Orabona, Tommasi 2017, algorithm 2, from w_1 = 0; lr is a factor of its steps."""
    lr: float = 1.0
    alpha: float = 100.0
    eps: float = 0
    L = G = reward = theta = w = 0

    def rule(self, g, t):
        self.L = np.maximum(np.maximum(self.L, abs(g)), self.eps)
        self.G = self.G + abs(g)
        self.reward = np.maximum(self.reward - self.w*g, 0)
        self.theta = self.theta - g
        bet = ratio(self.theta, self.L*np.maximum(self.G + self.L, self.alpha*self.L))*(self.L + self.reward)
        before, self.w = self.w, bet
        return self.lr*(bet - before)


ORACLES = {rule.__name__: rule for rule in (FTRL, MADGRAD, COCOB)}
