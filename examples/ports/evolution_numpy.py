"""An evolution strategy: a network of one flat vector fits a curve, with Adam and a step size that decays.

evolution.py takes its optimizer from fastnn, evolution_numpy.py has its own.
"""
import numpy as np

SIZES = 1, 40, 40, 1


class Adam:
    """In the paper's faster form, at the end of its section 2: eps outside the root of v, which is not corrected."""

    def __init__(self, theta, stepsize, beta1=0.9, beta2=0.999, eps=1e-8):
        self.theta, self.stepsize, self.beta1, self.beta2, self.eps = theta, stepsize, beta1, beta2, eps
        self.m, self.v, self.t = np.zeros_like(theta), np.zeros_like(theta), 0

    def update(self, gradient):
        self.t += 1
        a = self.stepsize*np.sqrt(1 - self.beta2**self.t)/(1 - self.beta1**self.t)
        self.m = self.beta1*self.m + (1 - self.beta1)*gradient
        self.v = self.beta2*self.v + (1 - self.beta2)*gradient**2
        self.theta += -a*self.m/(np.sqrt(self.v) + self.eps)


def network(theta, x):
    """The outputs for all inputs, of one vector or of many: (..., size) -> (..., len(x))."""
    h, start = x[:, None], 0
    for m, n in zip(SIZES, SIZES[1:]):
        W, b = np.split(theta[..., start:start + m*n + n], [m*n], axis=-1)
        h = (np.tanh(h) if start else h) @ W.reshape(*W.shape[:-1], m, n) + b[..., None, :]
        start += m*n + n
    return h[..., 0]


def ranks(rewards):
    """From -1/2 for the least to 1/2 for the largest."""
    places = np.empty(len(rewards))
    places[rewards.argsort()] = np.linspace(-0.5, 0.5, len(rewards))
    return places


def train(generations=250, pairs=24, sigma=0.05):
    """(the losses, the parameters)."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 24)
    theta, losses = rng.standard_normal(sum(m*n + n for m, n in zip(SIZES, SIZES[1:])))*0.3, []
    optimizer = Adam(theta, stepsize=0.05)

    def reward(theta):
        return -np.mean((network(theta, x) - np.sin(4*x))**2, axis=-1)

    for _ in range(generations):
        noise = rng.standard_normal((pairs, theta.size))
        rewards = ranks(np.append(reward(theta + sigma*noise), reward(theta - sigma*noise)))
        ascent = (rewards[:pairs] - rewards[pairs:]) @ noise/(2*pairs*sigma)
        optimizer.update(-ascent)
        optimizer.stepsize = max(0.99*optimizer.stepsize, 0.002)
        losses.append(-reward(theta))
    return losses, [theta]


if __name__ == "__main__":
    losses, _ = train()
    print(f"squared error {losses[0]:.4f} -> {losses[-1]:.4f}")
