"""Steps by signs."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer


@dataclass
class SignSGD(Optimizer):
    """Bernstein, Wang, Azizzadenesheli, Anandkumar 2018, algorithm 1."""
    lr: float = 1e-3

    def rule(self, g, t):
        return -self.lr*np.sign(g)


@dataclass
class Lion(Optimizer):
    """Chen et al. 2023, algorithm 2 without weight decay."""
    lr: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    m = 0

    def rule(self, g, t):
        update = self.beta1*self.m + (1 - self.beta1)*g
        self.m = self.beta2*self.m + (1 - self.beta2)*g
        return -self.lr*np.sign(update)


@dataclass
class Signum(Optimizer):
    """Bernstein et al. 2018, algorithm 2."""
    lr: float = 1e-3
    beta: float = 0.9
    m = 0

    def rule(self, g, t):
        self.m = self.beta*self.m + (1 - self.beta)*g
        return -self.lr*np.sign(self.m)


@dataclass
class Tiger(Signum):
    """Su 2023 (github.com/bojone/tiger), without weight decay and rates by parameter."""
    beta: float = 0.965


@dataclass
class Rprop(Optimizer):
    """PyTorch's Rprop: Riedmiller, Braun 1993, without its step back where a sign changes."""
    lr: float = 0.01
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_step_size: float = 1e-6
    max_step_size: float = 50.0
    before = None

    def rule(self, g, t):
        if self.before is None:
            self.before, self.size = np.zeros_like(g), np.full_like(g, self.lr)
        turn = np.sign(g)*np.sign(self.before)
        factor = np.where(turn > 0, self.eta_plus, np.where(turn < 0, self.eta_minus, 1))
        self.size = np.clip(self.size*factor, self.min_step_size, self.max_step_size)
        self.before = np.where(turn < 0, 0, g)
        return -self.size*np.sign(self.before)


ORACLES = {"signSGD": SignSGD, **{rule.__name__: rule for rule in (Lion, Signum, Tiger, Rprop)}}
