"""A generative adversarial network learns where points lie, with SGD and a rate that decays.

gan.py takes its optimizer from fastnn, gan_numpy.py has its own.
"""
import numpy as np

CENTRE, SPREAD = np.array([2.0, -1.0]), np.array([0.5, 0.2])


class SGD:
    def __init__(self, lr, decay):
        self.lr, self.decay = lr, decay

    def update(self, params, grads):
        for key in params:
            params[key] -= self.lr*grads[key]
        self.lr *= self.decay


def network(rng, *sizes):
    return {f"{kind}{i}": rng.standard_normal((m, n))*np.sqrt(2/m) if kind == "W" else np.zeros(n)
            for i, (m, n) in enumerate(zip(sizes, sizes[1:])) for kind in "Wb"}


def forward(params, x):
    """(the output, what each layer was given); leaky ReLUs between the layers."""
    inputs = []
    for i in range(len(params)//2):
        inputs.append(np.where(x > 0, x, 0.2*x) if i else x)
        x = inputs[-1] @ params[f"W{i}"] + params[f"b{i}"]
    return x, inputs


def backward(params, inputs, dy):
    """(the gradients, that of the input)."""
    grads = {}
    for i in reversed(range(len(inputs))):
        grads[f"W{i}"], grads[f"b{i}"] = inputs[i].T @ dy, dy.sum(0)
        dy = dy @ params[f"W{i}"].T*(np.where(inputs[i] > 0, 1, 0.2) if i else 1)
    return grads, dy


def sigmoid(x):
    return 1/(1 + np.exp(-x))


def train(steps=600, batch=64):
    """(the losses of both networks in turn, the parameters of both)."""
    rng = np.random.default_rng(4)
    generator, discriminator = network(rng, 4, 48, 48, 2), network(rng, 2, 48, 48, 1)
    g_opt, d_opt = SGD(0.1, decay=0.996), SGD(0.05, decay=0.996)
    losses = []
    for _ in range(steps):
        real = CENTRE + SPREAD*rng.standard_normal((batch, 2))
        fake, of_generator = forward(generator, rng.standard_normal((batch, 4)))

        scores, inputs = forward(discriminator, np.concatenate([real, fake]))
        labels = np.repeat([[1.0], [0.0]], batch, axis=0)
        losses.append(np.mean(np.logaddexp(0, scores) - labels*scores))
        grads, _ = backward(discriminator, inputs, (sigmoid(scores) - labels)/(2*batch))
        d_opt.update(discriminator, grads)

        scores, inputs = forward(discriminator, fake)
        losses.append(np.mean(np.logaddexp(0, -scores)))
        _, dfake = backward(discriminator, inputs, (sigmoid(scores) - 1)/batch)
        grads, _ = backward(generator, of_generator, dfake)
        g_opt.update(generator, grads)
    return losses, [*generator.values(), *discriminator.values()]


if __name__ == "__main__":
    _, params = train()
    generator = dict(zip(network(np.random.default_rng(0), 4, 48, 48, 2), params))
    points, _ = forward(generator, np.random.default_rng(1).standard_normal((1000, 4)))
    print(f"centre {points.mean(0).round(2)}, spread {points.std(0).round(2)}; wanted {CENTRE}, {SPREAD}")
