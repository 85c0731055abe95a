"""Optimistic steps: Daskalakis, Ilyas, Syrgkanis, Zeng 2018, with optax's alpha and beta and its first step."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


class Optimistic(Optimizer):
    def stepped(self, direction, t):
        before = direction if t == 1 else self.before
        self.before = direction
        return -self.lr*((self.alpha + self.beta)*direction - self.beta*before)


@dataclass
class OptimisticGradientDescent(Optimistic):
    lr: float = 0.01
    alpha: float = 1.0
    beta: float = 1.0
    before = 0

    def rule(self, g, t):
        return self.stepped(g, t)


@dataclass
class OptimisticAdam(Optimistic):
    """Algorithm 1."""
    lr: float = 0.001
    alpha: float = 1.0
    beta: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    m = v = before = 0

    def rule(self, g, t):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        mhat, vhat = self.m/(1 - self.beta1**t), self.v/(1 - self.beta2**t)
        return self.stepped(ratio(mhat, np.sqrt(vhat) + self.eps), t)


ORACLES = {rule.__name__: rule for rule in (OptimisticGradientDescent, OptimisticAdam)}
