"""Rules that see whole tensors: norms.py and distances.py. Those that are `joint` see all tensors as one."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


def norm(a):
    return np.sqrt(np.sum(np.asarray(a, np.longdouble)**2)).astype(a.dtype)


def trusted(p, u):
    return p/u if p > 0 and u > 0 else p.dtype.type(1)


@dataclass
class LARS(Optimizer):
    """You, Gitman, Ginsburg 2017, algorithm 1; optax has 1 where a norm is 0."""
    lr: float = 1.0
    momentum: float = 0.9
    trust_coefficient: float = 0.001
    eps: float = 0.0
    reads_p = True
    v = 0

    def rule(self, g, t, p):
        moving = norm(p) > 0 and norm(g) > 0
        local = self.trust_coefficient*norm(p)/(norm(g) + self.eps) if moving else 1
        self.v = self.momentum*self.v + self.lr*local*g
        return -self.v


@dataclass
class LAMB(Optimizer):
    """You et al. 2020, algorithm 2; lambda is told by the loop around it."""
    alpha: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-6
    reads_p = decays = True
    m = v = 0

    def rule(self, g, t, p, weight_decay=0):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        r = ratio(self.m/(1 - self.beta1**t), np.sqrt(self.v/(1 - self.beta2**t)) + self.eps)
        u = r + weight_decay*p
        return -self.alpha*trusted(norm(p), norm(u))*u


@dataclass
class NovoGrad(Optimizer):
    """Ginsburg et al. 2019, algorithm 1, from its second step on; at the first v and m are those of that step alone."""
    lr: float = 0.01
    beta1: float = 0.95
    beta2: float = 0.98
    eps: float = 1e-8
    d: float = 0.0
    reads_p = True
    m = v = 0

    def rule(self, g, t, p):
        squares = norm(g)**2
        self.v = squares if t == 1 else self.beta2*self.v + (1 - self.beta2)*squares
        self.m = self.beta1*self.m + (ratio(g, np.sqrt(self.v) + self.eps) + self.d*p)
        return -self.lr*self.m


@dataclass
class Fromage(Optimizer):
    """Bernstein et al. 2020, algorithm 1, with the floor that optax has."""
    lr: float = 0.01
    min_norm: float = 0.0
    reads_p = True

    def rule(self, g, t, p):
        r = trusted(max(norm(p), p.dtype.type(self.min_norm)), max(norm(g), p.dtype.type(self.min_norm)))
        wide = np.longdouble(p)             # what is left of it in float64 has few digits
        return ((wide - self.lr*r*g)/np.sqrt(1 + np.longdouble(self.lr)**2) - wide).astype(g.dtype)


@dataclass
class DoG(Optimizer):
    """Ivgi, Hinder, Carmon 2023."""
    lr: float = 1.0
    reps_rel: float = 1e-6
    eps: float = 1e-8
    reads_p = joint = decays = True
    x0 = None
    G = 0

    def rule(self, g, t, p, weight_decay=0):
        self.x0 = p if self.x0 is None else self.x0
        if t == 1 or self.G == 0:
            self.r, self.G = self.reps_rel*(1 + norm(p)), 0
        self.r = max(self.r, norm(p - self.x0))
        self.G = self.G + norm(g)**2
        rate = self.lr*ratio(self.r, np.sqrt(self.G + self.eps))
        return -rate*(g + weight_decay*p)


@dataclass
class DoWG(Optimizer):
    """Khaled, Mishchenko, Jin 2023."""
    lr: float = 1.0
    eps: float = 1e-4
    reads_p = joint = decays = True
    x0 = None
    v = squared = 0

    def rule(self, g, t, p, weight_decay=0):
        self.x0 = p if self.x0 is None else self.x0
        if t == 1 or self.squared == 0:
            self.squared, self.v = self.eps, 0
        self.squared = max(self.squared, norm(p - self.x0)**2)
        self.v = self.v + self.squared*norm(g)**2
        return -self.lr*self.squared/(np.sqrt(self.v) + self.eps)*(g + weight_decay*p)


@dataclass
class DAdaptAdam(Optimizer):
    """Defazio, Mishchenko 2023, as github.com/facebookresearch/dadaptation has DAdaptAdam(use_bias_correction=True)."""
    alpha: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    d0: float = 1e-6
    reads_p = joint = decays = True
    m = v = s = d = q = 0

    def rule(self, g, t, p, weight_decay=0):
        if t == 1 or self.d == 0:
            self.d, self.q = self.d0, 0
        root = np.sqrt(self.beta2)
        dlr = self.d*self.alpha*np.sqrt(1 - self.beta2**t)/(1 - self.beta1**t)
        ahead = ratio(self.s + 0*g, np.sqrt(self.v) + self.eps)
        self.q = root*self.q + (1 - root)*dlr*np.sum(g*ahead)
        self.m = self.beta1*self.m + (1 - self.beta1)*dlr*g
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        self.s = root*self.s + (1 - root)*dlr*g
        length = np.sum(np.abs(self.s))
        if length > 0:
            self.d = max(self.d, self.q/((1 - root)*length))
        return -ratio(self.m, np.sqrt(self.v) + self.eps) - dlr*weight_decay*p


@dataclass
class Prodigy(Optimizer):
    """Mishchenko, Defazio 2023, as github.com/konstmish/prodigy has it with use_bias_correction=True."""
    alpha: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    d0: float = 1e-6
    beta3: float = None
    d_coef: float = 1.0
    reads_p = joint = decays = True
    m = v = s = d = q = 0
    x0 = None

    def rule(self, g, t, p, weight_decay=0):
        self.x0 = p if self.x0 is None else self.x0
        if t == 1 or self.d == 0:
            self.d, self.q = self.d0, 0
        beta3 = np.sqrt(self.beta2) if self.beta3 is None else self.beta3
        d, dlr = self.d, self.d*self.alpha*np.sqrt(1 - self.beta2**t)/(1 - self.beta1**t)
        self.q = beta3*self.q + d/self.d0*dlr*np.sum(g*(self.x0 - p))
        self.m = self.beta1*self.m + (1 - self.beta1)*d*g
        self.v = self.beta2*self.v + (1 - self.beta2)*(d*g)**2
        self.s = beta3*self.s + d/self.d0*dlr*g
        length = np.sum(np.abs(self.s))
        if length > 0:
            self.d = max(self.d, self.d_coef*self.q/length)
        return -dlr*(ratio(self.m, np.sqrt(self.v) + self.d*self.eps) + weight_decay*p)


@dataclass
class PolyakSGD(Optimizer):
    """Loizou et al. 2021, equation 3, as optax spells it; without a loss the largest rate."""
    lr: float = 1.0
    max_lr: float = 1.0
    fstar: float = 0.0
    eps: float = 0.0
    reads_p = joint = decays = True

    def rule(self, g, t, p, f=None, weight_decay=0):
        if f is None:
            return -self.lr*self.max_lr*(g + weight_decay*p)
        step = max(f - self.fstar, 0)/(norm(g)**2 + self.eps) if norm(g) + self.eps > 0 else 0
        return -self.lr*min(step, self.max_lr)*(g + weight_decay*p)


@dataclass
class MoMo(Optimizer):
    """Schaipp et al. 2023, algorithm 1, whose averages begin as their first values."""
    alpha: float = 1.0
    beta: float = 0.9
    fstar: float = 0.0
    reads_p = joint = decays = True
    m = gamma = 0
    barf = None

    def rule(self, g, t, p, f=None, weight_decay=0):
        beta = 0 if t == 1 else self.beta
        self.barf = None if t == 1 else self.barf
        if f is not None:
            self.barf = f if self.barf is None else self.beta*self.barf + (1 - self.beta)*f
        self.m = beta*self.m + (1 - beta)*g
        self.gamma = beta*self.gamma + (1 - beta)*np.sum(g*p)
        tau, w = self.alpha, 1 + self.alpha*weight_decay
        if self.barf is not None:
            gap = max(w*(self.barf - self.fstar - self.gamma) + np.sum(self.m*p), 0)
            tau = min(tau, gap/norm(self.m)**2) if norm(self.m) > 0 else 0
        return -tau*self.m - (1 - 1/w)*p


ORACLES = {rule.__name__: rule for rule in (LARS, LAMB, NovoGrad, Fromage, DoG, DoWG, Prodigy, PolyakSGD, MoMo)}
ORACLES["D-Adapt-Adam"] = DAdaptAdam
