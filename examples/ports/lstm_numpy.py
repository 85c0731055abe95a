"""An LSTM whose parameters are a tree goes on with waves that it is shown, with Adam.

lstm.py takes its optimizer from fastnn, lstm_numpy.py has its own.
"""
import numpy as np

SIZE, LENGTH = 24, 20


def leaves(tree):
    return [leaf for part in tree.values() for leaf in leaves(part)] if isinstance(tree, dict) else [tree]


def like(tree, parts):
    """A tree of that structure, of an iterator's arrays."""
    return {key: like(part, parts) for key, part in tree.items()} if isinstance(tree, dict) else next(parts)


class Adam:
    """Returns a new tree."""

    def __init__(self, step_size=0.001, b1=0.9, b2=0.999, eps=1e-8):
        self.step_size, self.b1, self.b2, self.eps = step_size, b1, b2, eps
        self.m = self.v = self.t = 0

    def update(self, params, grads):
        x, g = (np.concatenate([leaf.ravel() for leaf in leaves(tree)]) for tree in (params, grads))
        self.t += 1
        self.m = (1 - self.b1)*g + self.b1*self.m
        self.v = (1 - self.b2)*g**2 + self.b2*self.v
        m_hat, v_hat = self.m/(1 - self.b1**self.t), self.v/(1 - self.b2**self.t)
        x = x - self.step_size*m_hat/(np.sqrt(v_hat) + self.eps)
        shapes = [leaf.shape for leaf in leaves(params)]
        parts = np.split(x, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        return like(params, (part.reshape(shape) for part, shape in zip(parts, shapes)))


def sigmoid(x):
    return 1/(1 + np.exp(-x))


def slopes(params, x):
    """(the loss of saying each next value of (length, batch, 1), a tree of gradients)."""
    gates, out, steps = params["gates"], params["out"], []
    h = c = np.zeros((x.shape[1], SIZE))
    loss, count = 0.0, (len(x) - 1)*x.shape[1]
    for now, following in zip(x, x[1:]):
        raw = now @ gates["input"]["W"] + h @ gates["hidden"]["W"] + gates["b"]
        i, f, o = np.split(sigmoid(raw[:, :3*SIZE]), 3, axis=1)
        g, before, h_before = np.tanh(raw[:, 3*SIZE:]), c, h
        c = f*before + i*g
        h = o*np.tanh(c)
        error = h @ out["W"] + out["b"] - following
        loss += np.sum(error**2)/count
        steps.append((now, h_before, before, i, f, o, g, c, h, error))
    dWx, dWh, db = (np.zeros_like(p) for p in (gates["input"]["W"], gates["hidden"]["W"], gates["b"]))
    dW, dout = np.zeros_like(out["W"]), np.zeros_like(out["b"])
    dh = dc = 0.0
    for now, h_before, before, i, f, o, g, c, h, error in reversed(steps):
        dy = 2*error/count
        dW += h.T @ dy
        dout += dy.sum(0)
        dh = dh + dy @ out["W"].T
        dc = dc + dh*o*(1 - np.tanh(c)**2)
        raw = np.concatenate([dc*g*i*(1 - i), dc*before*f*(1 - f), dh*np.tanh(c)*o*(1 - o), dc*i*(1 - g**2)], axis=1)
        dWx += now.T @ raw
        dWh += h_before.T @ raw
        db += raw.sum(0)
        dh, dc = raw @ gates["hidden"]["W"].T, dc*f
    return loss, {"gates": {"input": {"W": dWx}, "hidden": {"W": dWh}, "b": db}, "out": {"W": dW, "b": dout}}


def train(steps=150, batch=16):
    """(the losses, the parameters)."""
    rng = np.random.default_rng(6)
    params = {"gates": {"input": {"W": rng.standard_normal((1, 4*SIZE))},
                        "hidden": {"W": rng.standard_normal((SIZE, 4*SIZE))/SIZE**0.5}, "b": np.zeros(4*SIZE)},
              "out": {"W": rng.standard_normal((SIZE, 1))/SIZE**0.5, "b": np.zeros(1)}}
    opt, losses = Adam(step_size=0.01), []
    for _ in range(steps):
        starts, lengths = rng.uniform(0, 2*np.pi, batch), rng.uniform(6, 12, batch)
        loss, grads = slopes(params, np.sin(starts + 2*np.pi*np.arange(LENGTH)[:, None]/lengths)[:, :, None])
        params = opt.update(params, grads)
        losses.append(loss)
    return losses, leaves(params)


if __name__ == "__main__":
    losses, _ = train()
    print(f"squared error {losses[0]:.4f} -> {np.mean(losses[-10:]):.4f}")
