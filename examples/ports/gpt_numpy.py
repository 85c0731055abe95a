"""A GPT of one block learns to add, with AdamW, a warm-up and half a cosine, clipping by global norm, and checkpoints.

    python examples/ports/gpt.py [CHECKPOINT]       # goes on from there, if there is one

gpt.py takes its optimizer from fastnn, gpt_numpy.py has its own.
"""
import os
import sys

import numpy as np

SIZE, HEADS, MODULUS = 32, 2, 10


class AdamW:
    """lr is a function of the steps made."""

    def __init__(self, lr, weight_decay, betas=(0.9, 0.999), eps=1e-8):
        self.lr, self.weight_decay, self.betas, self.eps = lr, weight_decay, betas, eps
        self.m, self.v, self.t = {}, {}, 0

    def step(self, params, grads):
        beta1, beta2 = self.betas
        lr = self.lr(self.t)
        self.t += 1
        for key, p in params.items():
            self.m[key] = beta1*self.m.get(key, 0) + (1 - beta1)*grads[key]
            self.v[key] = beta2*self.v.get(key, 0) + (1 - beta2)*grads[key]**2
            m_hat, v_hat = self.m[key]/(1 - beta1**self.t), self.v[key]/(1 - beta2**self.t)
            p *= 1 - lr*self.weight_decay
            p -= lr*m_hat/(np.sqrt(v_hat) + self.eps)


def warmup_cosine(highest, steps, warmup):
    def rate(step):
        if step < warmup:
            return highest*step/warmup
        return highest*0.5*(1 + np.cos(np.pi*(step - warmup)/(steps - warmup)))
    return rate


def clip_global_norm(grads, largest):
    norm = np.sqrt(sum(np.sum(g*g) for g in grads.values()))
    if norm > largest:
        for g in grads.values():
            g *= largest/norm


def save(path, opt, params):
    arrays = {f"{kind} {key}": a for kind, of in (("p", params), ("m", opt.m), ("v", opt.v)) for key, a in of.items()}
    with open(path, "wb") as file:
        np.savez(file, t=opt.t, **arrays)


def load(path, opt, params):
    with np.load(path) as file:
        opt.t = int(file["t"])
        for key, p in params.items():
            p[...], opt.m[key], opt.v[key] = (file[f"{kind} {key}"] for kind in "pmv")


def initialised(rng, tokens, length):
    shapes = {"token": (tokens, SIZE), "place": (length, SIZE), "qkv": (SIZE, 3*SIZE), "mixed": (SIZE, SIZE),
              "up": (SIZE, 4*SIZE), "down": (4*SIZE, SIZE), "head": (SIZE, tokens)}
    params = {key: rng.standard_normal(shape)*0.1 for key, shape in shapes.items()}
    params |= {f"gain{i}": np.ones(SIZE) for i in range(3)} | {f"shift{i}": np.zeros(SIZE) for i in range(3)}
    return params | {"b_up": np.zeros(4*SIZE), "b_down": np.zeros(SIZE)}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e/e.sum(-1, keepdims=True)


def normalised(x, params, i):
    scale = 1/np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    hat = (x - x.mean(-1, keepdims=True))*scale
    return hat*params[f"gain{i}"] + params[f"shift{i}"], (hat, scale)


def of_normalised(dy, params, grads, i, hat, scale):
    grads[f"gain{i}"], grads[f"shift{i}"] = (dy*hat).sum((0, 1)), dy.sum((0, 1))
    dy = dy*params[f"gain{i}"]
    return scale*(dy - dy.mean(-1, keepdims=True) - hat*(dy*hat).mean(-1, keepdims=True))


def heads(x):
    """(n, length, SIZE) -> (n, HEADS, length, SIZE/HEADS)."""
    return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)


def joined(x):
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def slopes(params, tokens, answers):
    """(the loss of the last token's answer, the gradients)."""
    n, length = tokens.shape
    flat = tuple(range(2))
    x = params["token"][tokens] + params["place"]
    a, norm0 = normalised(x, params, 0)
    q, k, v = (heads(part) for part in np.split(a @ params["qkv"], 3, axis=-1))
    root = np.sqrt(SIZE/HEADS)
    attention = softmax(q @ k.swapaxes(2, 3)/root + np.triu(np.full((length, length), -1e9), 1))
    mixed = joined(attention @ v)
    x = x + mixed @ params["mixed"]
    b, norm1 = normalised(x, params, 1)
    up = b @ params["up"] + params["b_up"]
    x = x + np.maximum(up, 0) @ params["down"] + params["b_down"]
    y, norm2 = normalised(x, params, 2)
    p = softmax(y[:, -1] @ params["head"])
    loss = -np.mean(np.log(p[np.arange(n), answers]))

    grads = {}
    dp = (p - np.eye(p.shape[1])[answers])/n
    grads["head"] = y[:, -1].T @ dp
    dy = np.zeros_like(y)
    dy[:, -1] = dp @ params["head"].T
    dx = of_normalised(dy, params, grads, 2, *norm2)
    grads["down"], grads["b_down"] = np.tensordot(np.maximum(up, 0), dx, (flat, flat)), dx.sum(flat)
    dup = dx @ params["down"].T*(up > 0)
    grads["up"], grads["b_up"] = np.tensordot(b, dup, (flat, flat)), dup.sum(flat)
    dx = dx + of_normalised(dup @ params["up"].T, params, grads, 1, *norm1)
    grads["mixed"] = np.tensordot(mixed, dx, (flat, flat))
    dmixed = heads(dx @ params["mixed"].T)
    dattention = dmixed @ v.swapaxes(2, 3)
    dscores = attention*(dattention - (dattention*attention).sum(-1, keepdims=True))/root
    dqkv = np.concatenate([joined(dscores @ k), joined(dscores.swapaxes(2, 3) @ q),
                           joined(attention.swapaxes(2, 3) @ dmixed)], axis=-1)
    grads["qkv"] = np.tensordot(a, dqkv, (flat, flat))
    dx = dx + of_normalised(dqkv @ params["qkv"].T, params, grads, 0, *norm0)
    grads["place"], grads["token"] = dx.sum(0), np.zeros_like(params["token"])
    np.add.at(grads["token"], tokens, dx)
    return loss, grads


def train(checkpoint=None, until=300, steps=300, batch=32, every=50):
    """(the losses of the steps made now, the parameters)."""
    params = initialised(np.random.default_rng(7), MODULUS + 1, 3)
    opt = AdamW(warmup_cosine(1e-2, steps, warmup=30), weight_decay=0.1)
    if checkpoint and os.path.exists(checkpoint):
        load(checkpoint, opt=opt, params=params)
    losses = []
    while opt.t < until:
        first, second = np.random.default_rng(opt.t).integers(MODULUS, size=(2, batch))
        tokens = np.stack([first, second, np.full(batch, MODULUS)], axis=1)
        loss, grads = slopes(params, tokens, (first + second) % MODULUS)
        clip_global_norm(grads, 1.0)
        opt.step(params, grads)
        losses.append(loss)
        if checkpoint and opt.t % every == 0:
            save(checkpoint, opt=opt, params=params)
    return losses, list(params.values())


if __name__ == "__main__":
    losses, _ = train(*sys.argv[1:2])
    print(f"cross entropy {losses[0]:.3f} -> {np.mean(losses[-10:]):.3f}" if losses else "the run has ended")
