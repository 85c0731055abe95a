"""Rules that came of Adam, each as its paper or its authors' code has it."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio
from .classic import Adam, AdaMax, Moments, Nadam


@dataclass
class AdamW(Adam):
    weight_decay: float = 0.01


@dataclass
class AdaMaxW(AdaMax):
    weight_decay: float = 1e-4


@dataclass
class NAdamW(Nadam):
    weight_decay: float = 0.01


@dataclass
class RAdam(Moments):
    """Liu et al. 2020, algorithm 2, with eps and threshold of PyTorch."""
    threshold: float = 5.0

    def rule(self, g, t):
        self.observe(g)
        rho_inf = 2/(1 - self.beta2) - 1
        rho = rho_inf - 2*t*self.beta2**t/(1 - self.beta2**t)
        mhat = self.m/(1 - self.beta1**t)
        if rho <= self.threshold:
            return -self.alpha*mhat
        r = np.sqrt((rho - 4)*(rho - 2)*rho_inf/((rho_inf - 4)*(rho_inf - 2)*rho))
        return -self.alpha*r*mhat*ratio(np.sqrt(1 - self.beta2**t), np.sqrt(self.v) + self.eps)


@dataclass
class Yogi(Adam):
    """Zaheer et al. 2018, algorithm 2, with Adam's corrections and the first v of TensorFlow Addons."""
    alpha: float = 0.01
    eps: float = 1e-3
    v = 1e-6

    def observe(self, g):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.v = self.v - (1 - self.beta2)*np.sign(self.v - g**2)*g**2


@dataclass
class LaProp(Moments):
    """Ziyin et al. 2020, algorithm 1."""
    alpha: float = 4e-4
    eps: float = 1e-15

    def rule(self, g, t):
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        self.m = self.beta1*self.m + (1 - self.beta1)*ratio(g, np.sqrt(self.v/(1 - self.beta2**t)) + self.eps)
        return -self.alpha*self.m/(1 - self.beta1**t)


@dataclass
class ADOPT(Moments):
    """Taniguchi et al. 2024, the algorithm with clipping; its t counts from 0."""
    beta2: float = 0.9999
    eps: float = 1e-6
    clip_power: float = 0.25

    def rule(self, g, t):
        if t == 1:
            self.v = g**2
            return 0*self.v
        u = ratio(g, np.maximum(np.sqrt(self.v), self.eps))
        if self.clip_power is not None:
            u = np.clip(u, -(t - 1)**self.clip_power, (t - 1)**self.clip_power)
        self.m = self.beta1*self.m + (1 - self.beta1)*u
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        return -self.alpha*self.m


@dataclass
class AdaBelief(Moments):
    """Zhuang et al. 2020, algorithm 2."""
    eps: float = 1e-16
    eps_inside_root: float = 1e-16
    s = 0

    def believe(self, g):
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.s = self.beta2*self.s + (1 - self.beta2)*(g - self.m)**2 + self.eps_inside_root

    def rule(self, g, t):
        self.believe(g)
        return -self.alpha*ratio(self.m/(1 - self.beta1**t), np.sqrt(self.s/(1 - self.beta2**t)) + self.eps)


@dataclass
class ACProp(AdaBelief):
    """Zhuang et al. 2021, algorithm 2, with the first step of optax."""
    eps: float = 1e-8
    eps_inside_root: float = 1e-8

    def rule(self, g, t):
        shat = 1 if t == 1 else self.s/(1 - self.beta2**(t - 1))
        self.believe(g)
        return -self.alpha*ratio(g, np.sqrt(shat) + self.eps)


@dataclass
class MSVAG(Optimizer):
    """Balles, Hennig 2018, algorithm 2; the variance of one gradient is 0."""
    alpha: float = 0.01
    beta: float = 0.9
    m = v = 0

    def rule(self, g, t):
        self.m = self.beta*self.m + (1 - self.beta)*g
        self.v = self.beta*self.v + (1 - self.beta)*g**2
        m, v = self.m/(1 - self.beta**t), self.v/(1 - self.beta**t)
        if t == 1:
            return -self.alpha*m
        rho = (1 - self.beta)**2*(1 - self.beta**(2*t))/((1 - self.beta)*(1 + self.beta)*(1 - self.beta**t)**2)
        s = np.maximum(v - m**2, 0)/(1 - rho)
        return -self.alpha*ratio(m**2, m**2 + rho*s)*m


@dataclass
class QHAdam(Moments):
    """Ma, Yarats 2019, section 4, with their numbers."""
    beta1: float = 0.995
    nu1: float = 0.7
    nu2: float = 1.0

    def rule(self, g, t):
        self.observe(g)
        mhat, vhat = self.m/(1 - self.beta1**t), self.v/(1 - self.beta2**t)
        root = np.sqrt((1 - self.nu2)*g**2 + self.nu2*vhat) + self.eps
        return -self.alpha*ratio((1 - self.nu1)*g + self.nu1*mhat, root)


@dataclass
class AdEMAMix(Optimizer):
    """Pagliardini et al. 2024, algorithm 1, with the schedules by half-lives of its authors' code."""
    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    beta3: float = 0.9999
    alpha: float = 5
    eps: float = 1e-8
    alpha_warmup: int = 0
    beta3_warmup: int = 0
    m1 = m2 = v = 0

    def rule(self, g, t):
        alpha, beta3 = self.alpha, self.beta3
        if t < self.alpha_warmup:
            alpha = alpha*t/self.alpha_warmup
        if t < self.beta3_warmup:
            share = t/self.beta3_warmup
            half = (1 - share)*(np.log(0.5)/np.log(self.beta1) - 1) + share*(np.log(0.5)/np.log(beta3) - 1)
            beta3 = 0.5**(1/(half + 1))
        self.m1 = self.beta1*self.m1 + (1 - self.beta1)*g
        self.m2 = beta3*self.m2 + (1 - beta3)*g
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        root = np.sqrt(self.v/(1 - self.beta2**t)) + self.eps
        return -self.lr*ratio(self.m1/(1 - self.beta1**t) + alpha*self.m2, root)


@dataclass
class SimplifiedAdEMAMix(Optimizer):
    """Morwani et al. 2025, and its authors' code; a rate for sums of a hundred gradients."""
    lr: float = 3e-6
    beta1: float = 0.99
    beta2: float = 0.95
    alpha: float = 0
    eps: float = 1e-8
    m = v = 0

    def rule(self, g, t):
        self.m = self.beta1*self.m + g
        self.v = self.beta2*self.v + (1 - self.beta2)*g**2
        return -self.lr*ratio(self.m + self.alpha*g, np.sqrt(self.v/(1 - self.beta2**t)) + self.eps)


@dataclass
class Adan(Optimizer):
    """Xie et al. 2022, algorithm 1; here beta is its 1 - beta."""
    alpha: float = 0.001
    beta1: float = 0.98
    beta2: float = 0.92
    beta3: float = 0.99
    eps: float = 1e-8
    m = v = n = last = 0

    def rule(self, g, t):
        change = 0*g if t == 1 else g - self.last
        self.last = g
        self.m = self.beta1*self.m + (1 - self.beta1)*g
        self.v = self.beta2*self.v + (1 - self.beta2)*change
        self.n = self.beta3*self.n + (1 - self.beta3)*(g + self.beta2*change)**2
        m, v, n = self.m/(1 - self.beta1**t), self.v/(1 - self.beta2**t), self.n/(1 - self.beta3**t)
        return -self.alpha*ratio(m + self.beta2*v, np.sqrt(n) + self.eps)


ORACLES = {rule.__name__: rule for rule in (
    AdamW, AdaMaxW, NAdamW, RAdam, Yogi, LaProp, ADOPT, AdaBelief, ACProp, QHAdam, AdEMAMix, Adan)}
ORACLES |= {"M-SVAG": MSVAG, "Simplified-AdEMAMix": SimplifiedAdEMAMix}
