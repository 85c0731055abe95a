"""A convolutional network whose layers each own an optimizer reads handwritten digits.

cnn.py takes its optimizer from fastnn, cnn_numpy.py has its own.
"""
from copy import copy

import numpy as np

from fastnn.datasets import load_digits


class Adam:
    """Of one layer's parameters; returns the new ones."""

    def __init__(self, learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-8):
        self.learning_rate, self.b1, self.b2, self.eps = learning_rate, b1, b2, eps
        self.m = None
        self.t = 0

    def update(self, params, grads):
        if self.m is None:
            self.m, self.v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
        self.t += 1
        found = []
        for i, (p, g) in enumerate(zip(params, grads)):
            self.m[i] = self.b1*self.m[i] + (1 - self.b1)*g
            self.v[i] = self.b2*self.v[i] + (1 - self.b2)*g**2
            m_hat, v_hat = self.m[i]/(1 - self.b1**self.t), self.v[i]/(1 - self.b2**self.t)
            found.append(p - self.learning_rate*m_hat/(np.sqrt(v_hat) + self.eps))
        return found


class Layer:
    def __init__(self, rng, optimizer, *shape):
        self.W, self.b = rng.standard_normal(shape)*np.sqrt(2/np.prod(shape[:-1])), np.zeros(shape[-1])
        self.optimizer = copy(optimizer)

    def learn(self, dW, db):
        self.W, self.b = self.optimizer.update([self.W, self.b], [dW, db])


class Convolution(Layer):
    """Windows of 3 x 3, no padding: (n, h, w, channels) -> (n, h - 2, w - 2, filters)."""

    def forward(self, x):
        self.x, (n, h, w, _) = x, x.shape
        self.windows = [x[:, i:h - 2 + i, j:w - 2 + j] for i in range(3) for j in range(3)]
        return sum(window @ W for window, W in zip(self.windows, self.W)) + self.b

    def backward(self, dy):
        dx, (_, h, w, _) = np.zeros_like(self.x), self.x.shape
        for at, W in enumerate(self.W):
            dx[:, at//3:h - 2 + at//3, at % 3:w - 2 + at % 3] += dy @ W.T
        self.learn(np.stack([np.tensordot(window, dy, ([0, 1, 2], [0, 1, 2])) for window in self.windows]),
                   dy.sum((0, 1, 2)))
        return dx


class Dense(Layer):
    def forward(self, x):
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.x @ self.W + self.b

    def backward(self, dy):
        dx = dy @ self.W.T
        self.learn(self.x.T @ dy, dy.sum(0))
        return dx.reshape(self.shape)


class ReLU:
    def forward(self, x):
        self.positive = x > 0
        return x*self.positive

    def backward(self, dy):
        return dy*self.positive


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e/e.sum(-1, keepdims=True)


def train(steps=150, batch=32):
    """(the losses, the parameters)."""
    rng = np.random.default_rng(2)
    (images, labels), _ = load_digits(flatten=False, dtype="float64")
    images = images.transpose(0, 2, 3, 1)
    optimizer = Adam(learning_rate=0.003)
    layers = [Convolution(rng, optimizer, 9, 1, 8), ReLU(), Convolution(rng, optimizer, 9, 8, 16), ReLU(),
              Dense(rng, optimizer, 256, 48), ReLU(), Dense(rng, optimizer, 48, 10)]
    losses = []
    for _ in range(steps):
        chosen = rng.integers(len(images), size=batch)
        y, wanted = images[chosen], labels[chosen]
        for layer in layers:
            y = layer.forward(y)
        p = softmax(y)
        losses.append(-np.mean(np.log(p[np.arange(batch), wanted])))
        grad = (p - np.eye(10)[wanted])/batch
        for layer in reversed(layers):
            grad = layer.backward(grad)
    return losses, [p for layer in layers if isinstance(layer, Layer) for p in (layer.W, layer.b)]


if __name__ == "__main__":
    losses, _ = train()
    print(f"cross entropy {losses[0]:.3f} -> {np.mean(losses[-10:]):.3f}")
