"""Sophia."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer


@dataclass
class Sophia(Optimizer):
    """Liu et al. 2023, algorithm 3."""
    lr: float = 1e-4
    beta1: float = 0.96
    beta2: float = 0.99
    gamma: float = 0.01
    eps: float = 1e-12
    m = h = 0

    def rule(self, g, t, hessian=None):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        if hessian is not None:
            self.h = self.beta2*self.h + (1 - self.beta2)*hessian
        return -self.lr*np.clip(self.m/np.maximum(self.gamma*self.h, self.eps), -1, 1)


ORACLES = {"Sophia": Sophia}
