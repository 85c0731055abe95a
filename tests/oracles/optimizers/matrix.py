"""Rules with products and roots of matrices, by the singular values and eigenvalues of what they multiply."""
from dataclasses import dataclass

import numpy as np

from .base import Optimizer, ratio


@dataclass
class Muon(Optimizer):
    """Jordan 2024: the polynomial is taken of singular values. Loshchilov, Hutter 2019 for vectors."""
    lr: float = 0.02
    momentum: float = 0.95
    ns_steps: int = 5
    eps: float = 1e-7
    adam_lr: float = 3e-4
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_eps: float = 1e-10
    m = v = 0

    def decay_rate(self, values, g, t):
        return values["adam_lr"] if g.ndim < 2 else None

    def rule(self, g, t):
        if g.ndim < 2:
            self.m = self.adam_beta1*self.m + (1 - self.adam_beta1)*g
            self.v = self.adam_beta2*self.v + (1 - self.adam_beta2)*g**2
            mhat, vhat = self.m/(1 - self.adam_beta1**t), self.v/(1 - self.adam_beta2**t)
            return -self.adam_lr*ratio(mhat, np.sqrt(vhat) + self.adam_eps)
        if g.size == 0:
            return g
        self.m = self.momentum*self.m + (1 - self.momentum)*g
        G = unfolded((1 - self.momentum)*g + self.momentum*self.m, self.output_axis).astype(np.float64)
        U, s, V = np.linalg.svd(G, full_matrices=False)
        s = ratio(s, np.sqrt(np.sum(s**2)) + self.eps)
        for _ in range(self.ns_steps):
            s = 3.4445*s - 4.7750*s**3 + 2.0315*s**5
        outputs, inputs = G.shape
        turned = np.moveaxis(g, self.output_axis, 0).shape
        return -self.lr*np.sqrt(max(1, outputs/inputs))*np.moveaxis((U*s @ V).reshape(turned), 0, self.output_axis)


def unfolded(g, axis):
    return np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)


def multiplied(g, matrix, axis):
    return np.moveaxis(np.tensordot(matrix, g, (1, axis)), 0, axis)


def eigh(matrix):
    """In float64: LAPACK has nothing wider."""
    return np.linalg.eigh(matrix.astype(np.float64))


@dataclass
class Shampoo(Optimizer):
    """Gupta, Koren, Singer 2018, algorithm 2. Roots are taken of singular values: those of the gradients side by side."""
    lr: float = 1.0
    eps: float = 1e-4
    precondition_frequency: int = 1
    max_matrix_size: int = 768
    L = H = None

    def rule(self, g, t):
        if g.size == 0:
            return g
        x = np.atleast_1d(g)
        if self.L is None:
            self.L, self.H = [0]*x.ndim, [0]*x.ndim
        delta = x
        for axis in range(x.ndim):
            G = unfolded(x, axis)
            if x.shape[axis] > self.max_matrix_size:
                self.L[axis] = self.L[axis] + np.sum(G**2, axis=1)
            else:
                self.L[axis] = self.L[axis] + G @ G.T
            if t == 1 or t % self.precondition_frequency == 0:
                self.H[axis] = self.root(self.L[axis], x.ndim)
            if self.H[axis].ndim == 1:
                delta = np.moveaxis(np.moveaxis(delta, axis, -1)*self.H[axis], -1, axis)
            else:
                delta = multiplied(delta, self.H[axis], axis)
        return -self.lr*delta.reshape(g.shape)

    def root(self, L, axes):
        if L.ndim == 1:
            return (L + self.eps)**(-0.5/axes)
        values, Q = eigh(L)
        values = values.clip(values.max()*len(values)*np.finfo(float).eps)      # of which smaller ones are errors
        return Q @ np.diag((values + self.eps)**(-0.5/axes)) @ Q.T


@dataclass
class SOAP(Optimizer):
    """Vyas et al. 2024, algorithm 3 as its authors' program has it: nothing moves in the first step."""
    lr: float = 0.003
    beta1: float = 0.95
    beta2: float = 0.95
    eps: float = 1e-8
    precondition_frequency: int = 10
    max_precond_dim: int = 10000
    m = v = 0
    L = Q = None

    def decay_rate(self, values, g, t):
        return 0 if t == 1 else None

    def rule(self, g, t):
        if g.size == 0:
            return g
        x = g
        axes = [axis for axis in range(x.ndim) if x.ndim > 1 and x.shape[axis] <= self.max_precond_dim]
        if self.L is None:
            self.L = dict.fromkeys(axes, 0)
        delta = np.zeros(g.shape, g.dtype)
        if t > 1:
            self.m = self.beta1*self.m + (1 - self.beta1)*x
            G, M = (self.turned(side, axes, "T") for side in (x, self.m))
            self.v = self.beta2*self.v + (1 - self.beta2)*G**2
            step = self.lr*np.sqrt(1 - self.beta2**(t - 1))/(1 - self.beta1**(t - 1))
            delta = -step*self.turned(ratio(M, np.sqrt(self.v) + self.eps), axes, "")
        for axis in axes:
            G = unfolded(x, axis)
            self.L[axis] = self.L[axis] + (1 - self.beta2)*(G @ G.T - self.L[axis])
        if t == 1:
            self.Q = {axis: eigh(self.L[axis])[1][:, ::-1] for axis in axes}
        elif (t - 1) % self.precondition_frequency == 0:
            for axis in axes:
                sizes = np.diag(self.Q[axis].T @ self.L[axis] @ self.Q[axis])
                order = np.argsort(-sizes, kind="stable")
                self.Q[axis] = np.linalg.qr((self.L[axis] @ self.Q[axis][:, order]).astype(np.float64))[0]
                self.v = self.v.take(order, axis)
        return delta

    def turned(self, x, axes, way):
        for axis in axes:
            x = multiplied(x, self.Q[axis].T if way else self.Q[axis], axis)
        return x


ORACLES = {rule.__name__: rule for rule in (Muon, Shampoo, SOAP)}
