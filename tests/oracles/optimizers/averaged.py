"""Rules whose parameters are evaluated at an average of the steps."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


@dataclass
class ASGD(Optimizer):
    """PyTorch's ASGD, with the eta of step t from the lr of step t."""
    lr: float = 0.01
    lambd: float = 1e-4
    alpha: float = 0.75
    t0: float = 1e6
    ax = 0
    reads_p = True
    still = {"lambd": 0}

    def rule(self, g, t, p):
        eta = self.lr/(1 + self.lambd*self.lr*(t - 1))**self.alpha
        mu = 1/max(1, t - 1 - self.t0)
        step = -eta*g - self.lambd*eta*p
        self.ax = self.ax + mu*(p + step - self.ax)
        return step


class ScheduleFree(Optimizer):
    """Defazio et al. 2024, as the authors' code steps y and z (github.com/facebookresearch/schedule_free), from 0."""
    y = z = lr_max = weight_sum = 0

    def averaged(self, g, t, beta):
        self.lr_max = max(self.lr_max, self.lr)
        weight = t**self.r*self.lr_max**self.weight_lr_power
        self.weight_sum = self.weight_sum + weight
        c = weight/self.weight_sum if self.weight_sum else 0
        step = c*(self.z - self.y) + self.lr*(beta*(1 - c) - 1)*g
        self.y, self.z = self.y + step, self.z - self.lr*g
        return step


@dataclass
class ScheduleFreeSGD(ScheduleFree):
    lr: float = 1.0
    beta: float = 0.9
    r: float = 0
    weight_lr_power: float = 2.0

    def rule(self, g, t):
        return self.averaged(g, t, self.beta)


@dataclass
class ScheduleFreeAdamW(ScheduleFree):
    """Gradients are divided by the root of the corrected v, as in the authors' AdamWScheduleFree."""
    lr: float = 0.0025
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    r: float = 0
    weight_lr_power: float = 2.0
    v = 0

    def rule(self, g, t):
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        return self.averaged(ratio(g, np.sqrt(self.v/(1 - self.beta2**t)) + self.eps), t, self.beta1)


ORACLES = {rule.__name__: rule for rule in (ASGD, ScheduleFreeSGD, ScheduleFreeAdamW)}
