"""Every optimizer for one tensor, as the papers write it: ``ORACLES[name](**hyperparameters).delta(g, t)``.

`delta` returns what is to be added to the parameter and keeps the state. Gradients are taken to float64, or
stay longdouble, and everything is then computed in that dtype. t counts steps from 1 and may be left out
where the rule does not use it. Hyperparameters are the annotated attributes; the others are state.
"""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _annealing(t, rate):
    return t**rate


def _ratio(a, b):
    """a/b with 0/0 = 0: no gradient, no step."""
    return np.where((a == 0) & (b == 0), 0, a/b)


class Optimizer:
    def delta(self, g, t=None, **extra):
        """The change of a parameter with gradient g (a scalar or an array) at step t."""
        g = np.asarray(g, np.result_type(g, np.float64))
        t = None if t is None else g.dtype.type(t)
        extra = {name: np.asarray(value, g.dtype) for name, value in extra.items()}
        with np.errstate(all="ignore"):
            return self.rule(g, t, **extra)


@dataclass
class SGD(Optimizer):
    eta: float = 0.01

    def rule(self, g, t):
        return -self.eta*g


@dataclass
class MSGD(Optimizer):
    eta: float = 0.01
    mu: float = 0.9
    last = 0

    def rule(self, g, t):
        self.last = self.mu*self.last - (1 - self.mu)*self.eta*g
        return self.last


@dataclass
class NAG(MSGD):
    """MSGD with the gradient taken at the point where momentum alone would lead."""

    def lookahead(self, w):
        return w + self.mu*self.last


@dataclass
class AdaGrad(Optimizer):
    """Duchi, Hazan, Singer 2011."""
    eta: float = 0.001
    h = 0

    def rule(self, g, t):
        self.h = self.h + g**2
        return -self.eta*_ratio(g, np.sqrt(self.h))


@dataclass
class RMSprop(Optimizer):
    """Tieleman, Hinton 2012."""
    eta: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8
    v = 0

    def rule(self, g, t):
        self.v = self.rho*self.v + (1 - self.rho)*g**2
        return -self.eta*g/np.sqrt(self.v + self.eps)


@dataclass
class AdaDelta(Optimizer):
    """Zeiler 2012, algorithm 1."""
    rho: float = 0.95
    eps: float = 1e-6
    u = v = 0

    def rule(self, g, t):
        self.v = self.rho*self.v + (1 - self.rho)*g**2
        delta = -np.sqrt(self.u + self.eps)/np.sqrt(self.v + self.eps)*g
        self.u = self.rho*self.u + (1 - self.rho)*delta**2
        return delta


@dataclass
class Moments(Optimizer):
    """First and second moments of the gradient, shared by Adam (Kingma, Ba 2015) and its kin."""
    alpha: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    m = v = 0

    def observe(self, g):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2


@dataclass
class Adam(Moments):
    """The end of section 2 of the paper, but with eps inside the root."""

    def rule(self, g, t):
        self.observe(g)
        alpha_t = self.alpha*np.sqrt(1 - self.beta2**t)/(1 - self.beta1**t)
        return -alpha_t*self.m/np.sqrt(self.v + self.eps)


@dataclass
class RMSpropGraves(Optimizer):
    """Graves 2013, equations 38-45 without its momentum."""
    eta: float = 1e-4
    rho: float = 0.95
    eps: float = 1e-4
    m = v = 0

    def rule(self, g, t):
        self.m = self.rho*self.m + (1 - self.rho)*g
        self.v = self.rho*self.v + (1 - self.rho)*g**2
        return -self.eta*g/np.sqrt(self.v - self.m**2 + self.eps)


@dataclass
class SMORMS3(Optimizer):
    """Funk 2015."""
    eta: float = 0.001
    eps: float = 1e-8
    m = v = 0
    s = 1

    def rule(self, g, t):
        r = 1/(self.s + g.dtype.type(1))
        self.m = (1 - r)*self.m + r*g
        self.v = (1 - r)*self.v + r*g**2
        zeta = self.m**2/(self.v + self.eps)
        self.s = 1 + self.s*(1 - zeta)
        return -g*np.minimum(self.eta, zeta)/np.sqrt(self.v + self.eps)


@dataclass
class AdaMax(Optimizer):
    """Kingma, Ba 2015, algorithm 2."""
    alpha: float = 0.002
    beta1: float = 0.9
    beta2: float = 0.999
    m = u = 0

    def rule(self, g, t):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.u = np.maximum(self.beta2*self.u, np.abs(g))
        return -self.alpha/(1 - self.beta1**t)*_ratio(self.m, self.u)


@dataclass
class Nadam(Optimizer):
    """Dozat 2016, algorithm 2 with a constant mu, but with eps inside the root."""
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
class Eve(Moments):
    """Koushik, Hayashi 2016: Adam whose step shrinks when the loss f jumps."""
    beta3: float = 0.999
    c: float = 10
    fstar: float = 0
    D = 1
    last_f = 0

    def rule(self, g, t, f=1):
        self.observe(g)
        if t > 1:
            d = np.abs(f - self.fstar)/(np.minimum(f, self.last_f) - self.fstar)
            d = np.where(f == self.fstar, 1, d)  # 0/0; d is 1 all the way down to fstar
            self.D = self.beta3*self.D + (1 - self.beta3)*np.clip(d, 1/self.c, self.c)
        else:
            self.D = 1
        self.last_f = f
        mhat = self.m/(1 - self.beta1**t)
        vhat = self.v/(1 - self.beta2**t)
        return -self.alpha*mhat/(self.D*(np.sqrt(vhat) + self.eps))


@dataclass
class Santa(Optimizer):
    """Chen, Carlson, Gan, Li, Carin 2016 (arXiv 1512.07962), as article A reads it.

    `delta` takes the standard normal draws of `santa_draws`: `u0` at t = 1, `noise` while t < burnin.
    """
    eta: float = 0.01
    sigma: float = 0.95
    lambda_: float = 1e-8
    anne_func: Callable = _annealing
    anne_rate: float = 0.5
    burnin: int = 100
    C: float = 5
    N: int = 16
    v = p_last = 0

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


def santa_draws(rng, shapes, t, burnin):
    """The draws of Santa's step t in article A's order: every tensor's u0, then every tensor's noise.

    Returns one dict of extras of `delta` a tensor. `rng` is a Generator or a RandomState.
    """
    extras = [{} for _ in shapes]
    for name, due in (("u0", t == 1), ("noise", t < burnin)):
        for extra, shape in zip(extras, shapes):
            if due:
                extra[name] = rng.standard_normal(shape)
    return extras


@dataclass
class AMSGrad(Moments):
    """Reddi, Kale, Kumar 2018, algorithm 2 with alpha_t = alpha/sqrt(t)."""
    vhat = 0

    def rule(self, g, t):
        self.observe(g)
        self.vhat = np.maximum(self.vhat, self.v)
        return -self.alpha/np.sqrt(t)*self.m/np.sqrt(self.vhat + self.eps)


@dataclass
class AdaBound(Moments):
    """Luo, Xiong, Liu, Sun 2019, algorithm 2."""
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


# "Deep Learning from Scratch", chapter 6: eps = 1e-7 stands outside the root.

@dataclass
class DLFSSGD(Optimizer):
    lr: float = 0.01

    def rule(self, g, t):
        return -self.lr*g


@dataclass
class Momentum(Optimizer):
    lr: float = 0.01
    momentum: float = 0.9
    v = 0

    def rule(self, g, t):
        self.v = self.momentum*self.v - self.lr*g
        return self.v


@dataclass
class Nesterov(Optimizer):
    """Bengio, Boulanger-Lewandowski, Pascanu 2013, equation 7: the parameter IS the look-ahead point."""
    lr: float = 0.01
    momentum: float = 0.9
    v = 0

    def rule(self, g, t):
        delta = self.momentum**2*self.v - (1 + self.momentum)*self.lr*g
        self.v = self.momentum*self.v - self.lr*g
        return delta


@dataclass
class DLFSAdaGrad(Optimizer):
    lr: float = 0.01
    eps: float = 1e-7
    h = 0

    def rule(self, g, t):
        self.h = self.h + g**2
        return -self.lr*g/(np.sqrt(self.h) + self.eps)


@dataclass
class DLFSRMSprop(Optimizer):
    lr: float = 0.01
    decay_rate: float = 0.99
    eps: float = 1e-7
    h = 0

    def rule(self, g, t):
        self.h = self.decay_rate*self.h + (1 - self.decay_rate)*g**2
        return -self.lr*g/(np.sqrt(self.h) + self.eps)


@dataclass
class DLFSAdam(Optimizer):
    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-7
    m = v = 0

    def rule(self, g, t):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        lr_t = self.lr*np.sqrt(1 - self.beta2**t)/(1 - self.beta1**t)
        return -lr_t*self.m/(np.sqrt(self.v) + self.eps)


ORACLES = {rule.__name__: rule for rule in (
    SGD, MSGD, NAG, AdaGrad, RMSprop, AdaDelta, Adam, RMSpropGraves, SMORMS3, AdaMax, Nadam, Eve, SantaE,
    SantaSSS, AMSGrad, AdaBound, AMSBound, Lion, Momentum, Nesterov)}

DLFS = {"SGD": DLFSSGD, "Momentum": Momentum, "Nesterov": Nesterov, "AdaGrad": DLFSAdaGrad,
        "RMSprop": DLFSRMSprop, "Adam": DLFSAdam}
