"""A recurrent network learns a text character by character, with AdaGrad and gradients clipped by value.

char_rnn.py takes its optimizer from fastnn, char_rnn_numpy.py has its own.
"""
import numpy as np

from fastnn import get_opt

TEXT = """a step is small, a step is near, and many steps will bring us here.
a step too large will leap the vale, a step too small will tell no tale.
"""*10
LETTERS = sorted(set(TEXT))
SIZE, LENGTH = 64, 25


def slopes(params, inputs, targets, h):
    """(the loss, the gradients through time, the last hidden state) of a piece of text; columns are vectors."""
    Wxh, Whh, Why, bh, by = params
    loss, hs, ps = 0.0, [h], []
    for letter, target in zip(inputs, targets):
        hs.append(np.tanh(Wxh[:, [letter]] + Whh @ hs[-1] + bh))
        scores = Why @ hs[-1] + by
        e = np.exp(scores - scores.max())
        ps.append(e/e.sum())
        loss -= np.log(ps[-1][target, 0])
    dWxh, dWhh, dWhy, dbh, dby = grads = [np.zeros_like(p) for p in params]
    dh = np.zeros_like(h)
    for t in reversed(range(len(inputs))):
        dy = ps[t].copy()
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t + 1].T
        dby += dy
        raw = (Why.T @ dy + dh)*(1 - hs[t + 1]**2)
        dbh += raw
        dWxh[:, [inputs[t]]] += raw
        dWhh += raw @ hs[t].T
        dh = Whh.T @ raw
    return loss, grads, hs[-1]


def train(steps=300):
    """(the losses a letter, the parameters)."""
    rng = np.random.default_rng(3)
    n, ids = len(LETTERS), [LETTERS.index(letter) for letter in TEXT]
    params = [rng.standard_normal(shape)*0.1 for shape in ((SIZE, n), (SIZE, SIZE), (n, SIZE))]
    params += [np.zeros((SIZE, 1)), np.zeros((n, 1))]
    opt = get_opt("AdaGrad", lr=0.1, eps=1e-8, clip_value=5)
    losses, place = [], len(ids)
    for _ in range(steps):
        if place + LENGTH >= len(ids):
            place, h = 0, np.zeros((SIZE, 1))
        loss, grads, h = slopes(params, ids[place:place + LENGTH], ids[place + 1:place + LENGTH + 1], h)
        opt.step(params, grads)
        losses.append(loss/LENGTH)
        place += LENGTH
    return losses, params


if __name__ == "__main__":
    losses, _ = train()
    print(f"cross entropy a letter {losses[0]:.3f} -> {np.mean(losses[-10:]):.3f}")
