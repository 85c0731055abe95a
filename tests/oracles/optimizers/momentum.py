"""Momenta: PyTorch's, and those with several averages or with noise."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


@dataclass
class SGDMomentum(Optimizer):
    """PyTorch's SGD with momentum: the first buf is the gradient itself."""
    eta: float = 0.01
    momentum: float = 0.9
    dampening: float = 0.0
    buf = None

    def rule(self, g, t):
        self.buf = g if self.buf is None else self.momentum*self.buf + (1 - self.dampening)*g
        return -self.eta*self.buf


@dataclass
class SGDNesterov(Optimizer):
    """PyTorch's SGD with nesterov."""
    eta: float = 0.01
    momentum: float = 0.9
    buf = 0

    def rule(self, g, t):
        self.buf = self.momentum*self.buf + g
        return -self.eta*(g + self.momentum*self.buf)


@dataclass
class QHM(Optimizer):
    """Ma, Yarats 2019."""
    lr: float = 0.1
    beta: float = 0.999
    nu: float = 0.7
    buffer = 0

    def rule(self, g, t):
        self.buffer = self.beta*self.buffer + (1 - self.beta)*g
        return -self.lr*((1 - self.nu)*g + self.nu*self.buffer)


@dataclass
class AggMo(Optimizer):
    """Lucas, Sun, Zemel, Grosse 2019, with K = 3."""
    lr: float = 0.01
    beta1: float = 0.0
    beta2: float = 0.9
    beta3: float = 0.99
    velocities = 0, 0, 0

    def rule(self, g, t):
        betas = self.beta1, self.beta2, self.beta3
        self.velocities = [beta*v - g for beta, v in zip(betas, self.velocities)]
        return self.lr/3*sum(self.velocities)


@dataclass
class NoisySGD(Optimizer):
    """Neelakantan et al. 2015, whose t begins at 0. `delta` takes `noise`, a standard normal draw."""
    lr: float = 0.01
    eta: float = 0.01
    gamma: float = 0.55

    def draws(self, t):
        return ("noise",)

    def rule(self, g, t, noise):
        return -self.lr*(g + np.sqrt(self.eta/(1 + (t - 1))**self.gamma)*noise)


class RMS(Optimizer):
    """PyTorch's RMSprop, with optax's place of eps besides."""
    v = average = buf = 0

    def direction(self, g, centered):
        self.v = self.rho*self.v + (1 - self.rho)*g**2
        square = self.v
        if centered:
            self.average = self.rho*self.average + (1 - self.rho)*g
            square = np.maximum(square - self.average**2, 0)
        return ratio(g, np.sqrt(square + self.eps_inside_root) + self.eps)

    def collected(self, direction):
        self.buf = self.momentum*self.buf + direction
        return -self.eta*self.buf


@dataclass
class RMSpropMomentum(RMS):
    eta: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8
    eps_inside_root: float = 0
    momentum: float = 0.9

    def rule(self, g, t):
        return self.collected(self.direction(g, False))


@dataclass
class RMSpropCentered(RMS):
    eta: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8
    eps_inside_root: float = 0

    def rule(self, g, t):
        return -self.eta*self.direction(g, True)


@dataclass
class RMSpropCenteredMomentum(RMSpropMomentum):
    def rule(self, g, t):
        return self.collected(self.direction(g, True))


ORACLES = {rule.__name__: rule for rule in (SGDMomentum, SGDNesterov, QHM, AggMo, NoisySGD, RMSpropMomentum,
                                            RMSpropCentered, RMSpropCenteredMomentum)}
