"""The first optimizers of the catalogue, and those of the book."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


def annealing(t, rate):
    return t**rate


def cooling(t, rate):
    return 1000*t**rate


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
    """Duchi, Hazan, Singer 2011; eps where PyTorch has it, eps_inside_root where optax has."""
    eta: float = 0.001
    eps: float = 1e-10
    eps_inside_root: float = 0
    h = 0

    def rule(self, g, t):
        self.h = self.h + g**2
        return -self.eta*ratio(g, np.sqrt(self.h + self.eps_inside_root) + self.eps)


@dataclass
class RMSprop(Optimizer):
    """Tieleman, Hinton 2012; eps where PyTorch has it, eps_inside_root where optax has by default."""
    eta: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8
    eps_inside_root: float = 0
    v = 0

    def rule(self, g, t):
        self.v = self.rho*self.v + (1 - self.rho)*g**2
        return -self.eta*ratio(g, np.sqrt(self.v + self.eps_inside_root) + self.eps)


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
    """Algorithm 1 of the paper."""

    def rule(self, g, t):
        self.observe(g)
        return self.corrected(self.v, t)

    def corrected(self, v, t):
        mhat, vhat = self.m/(1 - self.beta1**t), v/(1 - self.beta2**t)
        return -self.alpha*ratio(mhat, np.sqrt(vhat) + self.eps)


@dataclass
class SparseAdam(Adam):
    """The faster form at the end of the paper's section 2, as PyTorch's SparseAdam has it."""

    def corrected(self, v, t):
        lr_t = self.alpha*np.sqrt(1 - self.beta2**t)/(1 - self.beta1**t)
        return -lr_t*ratio(self.m, np.sqrt(v) + self.eps)


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
    """Kingma, Ba 2015, algorithm 2, with PyTorch's and optax's eps."""
    alpha: float = 0.002
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    m = u = 0

    def rule(self, g, t):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.u = np.maximum(self.beta2*self.u, np.abs(g) + self.eps)
        return -self.alpha/(1 - self.beta1**t)*ratio(self.m, self.u)


@dataclass
class Nadam(Optimizer):
    """Dozat 2016, algorithm 2, with the mu_t of its section 3 as PyTorch's NAdam has it."""
    alpha: float = 0.002
    mu: float = 0.9
    nu: float = 0.999
    eps: float = 1e-8
    momentum_decay: float = 0.004
    m = v = 0
    product = 1                 # of all mu_t so far

    def mu_at(self, t):
        return self.mu*(1 - 0.5*0.96**(t*self.momentum_decay))

    def rule(self, g, t):
        now, following = self.mu_at(t), self.mu_at(t + 1)
        self.product = self.product*now
        self.m = self.mu*self.m + (1 - self.mu)*g
        self.v = self.nu*self.v + (1 - self.nu)*g**2
        mhat = following*self.m/(1 - self.product*following) + (1 - now)*g/(1 - self.product)
        vhat = self.v/(1 - self.nu**t)
        return -self.alpha*ratio(mhat, np.sqrt(vhat) + self.eps)


@dataclass
class Eve(Moments):
    """Koushik, Hayashi 2016, algorithm 1: Adam whose step shrinks while the loss f jumps and grows while it rests.

    A loss that is not told, now or before, is none that rests: it leaves D alone.
    """
    beta3: float = 0.999
    c: float = 10
    fstar: float = 0
    D = 1
    last_f = None
    told = None

    def rule(self, g, t, f=None):
        self.observe(g)
        f = self.told if f is None else f
        if t == 1:
            self.D, self.last_f = 1, type(self).last_f
        if t > 1 and f is not None and self.last_f is not None:
            d = self.change(f, self.last_f)
            self.D = self.beta3*self.D + (1 - self.beta3)*np.clip(d, 1/self.c, self.c)
        self.last_f = self.last_f if f is None else f
        mhat = self.m/(1 - self.beta1**t)
        vhat = self.v/(1 - self.beta2**t)
        return -self.alpha*ratio(mhat, self.D*(np.sqrt(vhat) + self.eps))

    def change(self, f, before):
        moved, left = np.abs(f - before), np.minimum(f, before) - self.fstar
        return np.where((moved == 0) & (left == 0), 1, moved/left)


@dataclass
class Santa(Optimizer):
    """Chen, Carlson, Gan, Li, Carin 2016 (arXiv 1512.07962), algorithm 1: f is the gradient of the sum over N rows.

    fastnn is given the mean gradient, N times the paper's eta, and its C over sqrt(N). Without the paper's term
    eta/beta (1 - g_last/g)/u, which is not in its authors' programs either (github.com/cchangyou/Santa), and with
    velocities that are at beta's temperature from the start: where beta is 1 there, they are the paper's.

    `delta` takes standard normal draws: `u0` at t = 1, `noise` while t < burnin.
    """
    eta: float = 0.001
    sigma: float = 0.95
    lambda_: float = 0.01
    anne_func: Callable = cooling
    anne_rate: float = 0.5
    burnin: int = 100
    C: float = 5
    N: int = 1000
    v = g_last = 0

    def draws(self, t):
        return ("u0",)*(t == 1) + ("noise",)*(t < self.burnin)

    def rule(self, mean_gradient, t, u0=None, noise=None, N=None):
        N = mean_gradient.dtype.type(self.N) if N is None else N
        f, eta, C = N*mean_gradient, self.eta/N, self.C*np.sqrt(N)
        beta = self.anne_func(t, self.anne_rate)
        if t == 1:
            self.u = np.sqrt(eta/beta)*u0
            self.alpha = np.sqrt(eta)*C
        self.v = self.sigma*self.v + (1 - self.sigma)/N**2*f*f
        g = 1/np.sqrt(self.lambda_ + np.sqrt(self.v))
        hot = np.sqrt(2*eta/beta*self.g_last)*noise if t < self.burnin else None
        self.g_last = g
        return self.moved(g, f, eta, eta/beta, hot)


@dataclass
class SantaE(Santa):
    """The Euler scheme; friction is 1 at most."""

    def moved(self, g, f, eta, heat, hot):
        if hot is not None:
            self.alpha = self.alpha + (self.u*self.u - heat)
        self.u = (1 - np.minimum(self.alpha, 1))*self.u - eta*g*f + (0 if hot is None else hot)
        return g*self.u


@dataclass
class SantaSSS(Santa):
    """The symmetric splitting scheme: half a step of theta and alpha, half the friction, all of f, and back."""

    def moved(self, g, f, eta, heat, hot):
        theta = g*self.u/2
        if hot is not None:
            self.alpha = self.alpha + (self.u*self.u - heat)/2
        self.u = np.exp(-self.alpha/2)*self.u
        self.u = self.u - g*f*eta + (0 if hot is None else hot)
        self.u = np.exp(-self.alpha/2)*self.u
        if hot is not None:
            self.alpha = self.alpha + (self.u*self.u - heat)/2
        return theta + g*self.u/2


@dataclass
class AMSGrad(Adam):
    """Reddi, Kale, Kumar 2018, algorithm 2, with both averages corrected, as PyTorch's Adam(amsgrad=True)."""
    vhat = 0

    def rule(self, g, t):
        self.observe(g)
        self.vhat = np.maximum(self.vhat, self.v)
        return self.corrected(self.vhat, t)


@dataclass
class AdaBound(Moments):
    """Luo, Xiong, Liu, Sun 2019, algorithm 2 as its authors' code has it (github.com/Luolc/AdaBound).

    eta is the rate of SGD that both bounds tend to, for alpha = base_lr: they follow alpha.
    """
    eta: float = 0.1
    gamma: float = 0.001
    base_lr: float = 0.001

    def rule(self, g, t):
        self.observe(g)
        return self.bounded(self.v, t)

    def bounded(self, v, t):
        step_size = self.alpha*np.sqrt(1 - self.beta2**t)/(1 - self.beta1**t)
        final = self.eta*self.alpha/self.base_lr
        low, high = final*(1 - 1/(self.gamma*t + 1)), final*(1 + 1/(self.gamma*t))
        return -np.clip(ratio(step_size, np.sqrt(v) + self.eps), low, high)*self.m


@dataclass
class AMSBound(AdaBound):
    """AdaBound with AMSGrad's running maximum of v (algorithm 3)."""
    vhat = 0

    def rule(self, g, t):
        self.observe(g)
        self.vhat = np.maximum(self.vhat, self.v)
        return self.bounded(self.vhat, t)


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
    SGD, MSGD, NAG, AdaGrad, RMSprop, AdaDelta, Adam, SparseAdam, RMSpropGraves, SMORMS3, AdaMax, Nadam, Eve, SantaE,
    SantaSSS, AMSGrad, AdaBound, AMSBound, Momentum, Nesterov)}

DLFS = {"SGD": DLFSSGD, "Momentum": Momentum, "Nesterov": Nesterov, "AdaGrad": DLFSAdaGrad,
        "RMSprop": DLFSRMSprop, "Adam": DLFSAdam}
