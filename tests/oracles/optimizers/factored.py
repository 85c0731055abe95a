"""Rules that keep averages or maxima of rows and columns, with whole arrays of them."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


def rms(x):
    return np.sqrt(np.mean(x**2))


@dataclass
class Adafactor(Optimizer):
    """Shazeer, Stern 2018: algorithm 4 for matrices, 5 for vectors, with the numbers of algorithm 6."""
    lr: float = 0.01
    beta2_decay: float = -0.8
    eps1: float = 1e-30
    eps2: float = 1e-3
    d: float = 1.0
    R = C = V = 0
    reads_p = True

    def rule(self, g, t, p=0.0):
        if g.size == 0:
            return g
        beta = 1 - t**g.dtype.type(self.beta2_decay)
        square = g**2 + self.eps1
        if g.ndim > 1:
            self.R = beta*self.R + (1 - beta)*square.mean(-1, keepdims=True)
            self.C = beta*self.C + (1 - beta)*square.mean(-2, keepdims=True)
            V = self.R*self.C/self.R.mean(-2, keepdims=True)
        else:
            self.V = V = beta*self.V + (1 - beta)*square
        U = ratio(g, np.sqrt(V))
        alpha = np.maximum(self.eps2, rms(np.asarray(p)))*np.minimum(self.lr, 1/np.sqrt(t))
        return -alpha*U/np.maximum(1, rms(U)/self.d)


@dataclass
class SM3(Optimizer):
    """Anil, Gupta, Koren, Singer 2019: SM3-II, and the momentum of its authors' program."""
    lr: float = 0.1
    momentum: float = 0.9
    eps: float = 1e-8
    m = 0
    mu = None

    def rule(self, g, t):
        if g.size == 0:
            return g
        axes = range(max(g.ndim, 1))
        x = np.atleast_1d(g)
        if self.mu is None:
            self.mu = [np.zeros([x.shape[axis] if other == axis else 1 for other in axes]) for axis in axes]
        nu = x**2 + np.min(np.broadcast_arrays(*self.mu, x)[:-1], axis=0)
        self.mu = [nu.max(tuple(other for other in axes if other != axis), keepdims=True) for axis in axes]
        u = ratio(x, np.sqrt(nu + self.eps)).reshape(g.shape)
        self.m = self.momentum*self.m + (1 - self.momentum)*u
        return -self.lr*self.m


ORACLES = {rule.__name__: rule for rule in (Adafactor, SM3)}
