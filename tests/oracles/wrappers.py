"""Wrappers of optimizers in plain NumPy, in float64: `step(params, grads)` puts new arrays into a dict of parameters.

It returns the keys of those that were moved. Any of them goes around another, or around `Plain`, which is a loop of
`oracles.steps`.
"""
import numpy as np


class Plain:
    def __init__(self, loop):
        self.loop = loop

    def step(self, params, grads):
        before = dict(self.loop.counts)
        self.loop.step(params, grads)
        return [key for key in params if self.loop.counts.get(key) != before.get(key)]


class Lookahead:
    """Zhang et al. 2019, algorithm 1, for each parameter by itself."""

    def __init__(self, inner, k=5, alpha=0.5):
        self.inner, self.k, self.alpha = inner, k, alpha
        self.slow, self.counts = {}, {}

    def step(self, params, grads):
        before = {key: np.array(p, float) for key, p in params.items()}
        moved = self.inner.step(params, grads)
        for key in moved:
            slow = self.slow.setdefault(key, before[key])
            self.counts[key] = self.counts.get(key, 0) + 1
            if self.counts[key] % self.k == 0:
                self.slow[key] = (1 - self.alpha)*slow + self.alpha*params[key]
                params[key] = self.slow[key].copy()
        return moved


class ExponentialAverage:
    """decay average + (1 - decay) p; decay may be a function of the parameter's own step."""

    def __init__(self, inner, decay=0.999):
        self.inner, self.decay = inner, decay
        self.params, self.counts = {}, {}

    def step(self, params, grads):
        moved = self.inner.step(params, grads)
        for key in moved:
            t = self.counts[key] = self.counts.get(key, 0) + 1
            if t == 1:
                self.params[key] = np.array(params[key], float)
            else:
                decay = self.decay(t) if callable(self.decay) else self.decay
                self.params[key] = decay*self.params[key] + (1 - decay)*params[key]
        return moved


class Accumulate:
    """The mean of k gradients. None is one of zero, k times None is None."""

    def __init__(self, inner, k):
        self.inner, self.k = inner, k
        self.waiting = {}

    def step(self, params, grads):
        now = {}
        for key in params:
            waiting = self.waiting.setdefault(key, [])
            waiting.append(grads[key])
            now[key] = None
            if len(waiting) == self.k:
                there = [g for g in waiting if g is not None]
                now[key] = np.sum(there, axis=0)/self.k if there else None
                self.waiting[key] = []
        return self.inner.step(params, now)


class SAM:
    """Foret et al. 2021, algorithm 1: `gradient` is a function of parameters."""

    def __init__(self, inner, rho=0.05):
        self.inner, self.rho = inner, rho

    def step(self, params, gradient):
        grads = gradient(params)
        norm = np.sqrt(sum((np.asarray(g)**2).sum() for g in grads.values() if g is not None))
        ahead = {key: p + self.rho*grads[key]/norm if grads[key] is not None else p for key, p in params.items()}
        return self.inner.step(params, gradient(ahead))
