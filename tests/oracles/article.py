"""Article A's optimizers, from section 2 of the catalogue: ``ORACLES[name](**hyperparameters).delta(g, t)``.

The corrections of its section 1 are in them: Funk's rule for SMORMS3, no step where there is no gradient. Rules that
are the papers' come from `oracles.optimizers`, which also says how an oracle is used.
"""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import optimizers
from .optimizers import MSGD, NAG, SGD, SMORMS3, AdaDelta, Moments, Optimizer, RMSpropGraves, annealing, ratio


@dataclass
class AdaGrad(Optimizer):
    """Without eps."""
    eta: float = 0.001
    h = 0

    def rule(self, g, t):
        self.h = self.h + g**2
        return -self.eta*ratio(g, np.sqrt(self.h))


@dataclass
class RMSprop(Optimizer):
    """eps under the root."""
    eta: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8
    v = 0

    def rule(self, g, t):
        self.v = self.rho*self.v + (1 - self.rho)*g**2
        return -self.eta*g/np.sqrt(self.v + self.eps)


@dataclass
class Adam(Moments):
    """eps under the root of the average that is not corrected."""

    def rule(self, g, t):
        self.observe(g)
        alpha_t = self.alpha*np.sqrt(1 - self.beta2**t)/(1 - self.beta1**t)
        return -alpha_t*self.m/np.sqrt(self.v + self.eps)


@dataclass
class AdaMax(Optimizer):
    """Without eps."""
    alpha: float = 0.002
    beta1: float = 0.9
    beta2: float = 0.999
    m = u = 0

    def rule(self, g, t):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.u = np.maximum(self.beta2*self.u, np.abs(g))
        return -self.alpha/(1 - self.beta1**t)*ratio(self.m, self.u)


@dataclass
class Nadam(Optimizer):
    """Dozat 2016, algorithm 2: a constant mu, the factor nu of the corrected average, eps under the root."""
    alpha: float = 0.002
    mu: float = 0.975
    nu: float = 0.999
    eps: float = 1e-8
    m = v = 0

    def rule(self, g, t):
        self.m = self.mu*self.m + (1 - self.mu)*g
        self.v = self.nu*self.v + (1 - self.nu)*g**2
        mhat = self.mu*self.m/(1 - self.mu**(t + 1)) + (1 - self.mu)*g/(1 - self.mu**t)
        vhat = self.nu*self.v/(1 - self.nu**t)
        return -self.alpha*mhat/np.sqrt(vhat + self.eps)


@dataclass
class Eve(optimizers.Eve):
    """d compares the loss with fstar, not with the loss before; a loss that is not told is 1, and 0 before."""
    last_f = 0
    told = 1

    def change(self, f, before):
        d = np.abs(f - self.fstar)/(np.minimum(f, before) - self.fstar)
        return np.where(f == self.fstar, 1, d)  # 0/0; d is 1 all the way down to fstar


@dataclass
class Santa(Optimizer):
    """Chen, Carlson, Gan, Li, Carin 2016 (arXiv 1512.07962), as article A reads it: f is the gradient as it is given.

    `delta` takes standard normal draws: `u0` at t = 1, `noise` while t < burnin.
    """
    eta: float = 0.01
    sigma: float = 0.95
    lambda_: float = 1e-8
    anne_func: Callable = annealing
    anne_rate: float = 0.5
    burnin: int = 100
    C: float = 5
    N: int = 16
    v = p_last = 0

    def draws(self, t):
        return ("u0",)*(t == 1) + ("noise",)*(t < self.burnin)

    def rule(self, g, t, u0=None, noise=None):
        root_eta = np.sqrt(g.dtype.type(self.eta))
        if t == 1:
            self.u = root_eta*u0
            self.alpha = self.C*root_eta
        self.v = self.sigma*self.v + (1 - self.sigma)*g**2/self.N**2
        p = 1/np.sqrt(self.lambda_ + np.sqrt(self.v))  # the preconditioner
        heat = self.eta/self.anne_func(t, self.anne_rate)
        if t < self.burnin:
            force = heat*(1 - self.p_last/p)/self.u + np.sqrt(2*heat*self.p_last)*noise
            self.u = self.explore(self.u, force - self.eta*p*g, heat)
        else:
            self.u = self.refine(self.u, -self.eta*p*g)
        self.p_last = p
        return self.share*p*self.u


@dataclass
class SantaE(Santa):
    """The Euler scheme."""
    share = 1

    def explore(self, u, force, heat):
        self.alpha = self.alpha + u**2 - heat
        return (1 - self.alpha)*u + force

    def refine(self, u, force):
        return (1 - self.alpha)*u + force


@dataclass
class SantaSSS(Santa):
    """The symmetric splitting scheme; article A moves by the second of its two half steps alone."""
    share = 0.5

    def explore(self, u, force, heat):
        self.alpha = self.alpha + (u**2 - heat)/2
        u = self.refine(u, force)
        self.alpha = self.alpha + (u**2 - heat)/2
        return u

    def refine(self, u, force):
        friction = np.exp(-self.alpha/2)
        return friction*(friction*u + force)


@dataclass
class AMSGrad(Moments):
    """Reddi, Kale, Kumar 2018, algorithm 2 with alpha_t = alpha/sqrt(t), eps under the root."""
    vhat = 0

    def rule(self, g, t):
        self.observe(g)
        self.vhat = np.maximum(self.vhat, self.v)
        return -self.alpha/np.sqrt(t)*self.m/np.sqrt(self.vhat + self.eps)


@dataclass
class AdaBound(Moments):
    """Luo, Xiong, Liu, Sun 2019, algorithm 2: the bounds do not follow alpha, and move by 1 - beta2."""
    eta: float = 0.1

    def rule(self, g, t):
        self.observe(g)
        return self.bounded(self.v, t)

    def bounded(self, v, t):
        low = self.eta*(1 - 1/((1 - self.beta2)*t + 1))
        high = self.eta*(1 + 1/((1 - self.beta2)*t + self.eps))
        return -np.clip(self.alpha/np.sqrt(v), low, high)/np.sqrt(t)*self.m


@dataclass
class AMSBound(AdaBound):
    """AdaBound with AMSGrad's running maximum of v (algorithm 3)."""
    vhat = 0

    def rule(self, g, t):
        self.observe(g)
        self.vhat = np.maximum(self.vhat, self.v)
        return self.bounded(self.vhat, t)


ORACLES = {rule.__name__: rule for rule in (
    SGD, MSGD, NAG, AdaGrad, RMSprop, AdaDelta, Adam, RMSpropGraves, SMORMS3, AdaMax, Nadam, Eve, SantaE, SantaSSS,
    AMSGrad, AdaBound, AMSBound)}
