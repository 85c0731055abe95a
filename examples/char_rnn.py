"""
A recurrent network that spells
===============================

A recurrent network learns a short text letter by letter and writes it down again: gradients go back through 25 letters, are
clipped by value, and AdaGrad steps.
"""
import matplotlib.pyplot as plt
import numpy as np

from fastnn import get_opt

TEXT = "a step is small, a step is near, and many steps will bring us here. "*12
letters = sorted(set(TEXT))
ids, n, size, length = np.array([letters.index(letter) for letter in TEXT]), len(letters), 64, 25
rng = np.random.default_rng(3)
params = {"Wx": rng.standard_normal((n, size))*0.1, "Wh": rng.standard_normal((size, size))*0.1, "b": np.zeros(size),
          "Wy": rng.standard_normal((size, n))*0.1, "by": np.zeros(n)}


def gradients(inputs, targets, h):
    """(loss, gradients, last hidden state) of one piece of text."""
    p, hs, loss, outs = params, [h], 0.0, []
    for letter in inputs:
        hs.append(np.tanh(p["Wx"][letter] + hs[-1] @ p["Wh"] + p["b"]))
        scores = np.exp(hs[-1] @ p["Wy"] + p["by"])
        outs.append(scores/scores.sum())
    grads, dh = {key: np.zeros_like(w) for key, w in p.items()}, np.zeros(size)
    for i in reversed(range(len(inputs))):
        loss -= np.log(outs[i][targets[i]])
        dy = outs[i] - np.eye(n)[targets[i]]
        raw = (dy @ p["Wy"].T + dh)*(1 - hs[i + 1]**2)
        grads["Wx"][inputs[i]] += raw
        for key, value in (("Wy", np.outer(hs[i + 1], dy)), ("by", dy), ("b", raw), ("Wh", np.outer(hs[i], raw))):
            grads[key] += value
        dh = raw @ p["Wh"].T
    return loss, grads, hs[-1]


optimizer, losses = get_opt("AdaGrad", lr=0.1, clip_value=5), []
for step in range(500):
    place = step*length % (len(ids) - length - 1)
    h = np.zeros(size) if place < length else h
    loss, grads, h = gradients(ids[place:place + length], ids[place + 1:place + length + 1], h)
    optimizer.step(params, grads)
    losses.append(loss/length)

# %%
# Then it writes by itself: the most likely letter comes next.

h, written = np.zeros(size), "a"
while len(written) < 70:
    h = np.tanh(params["Wx"][letters.index(written[-1])] + h @ params["Wh"] + params["b"])
    written += letters[int((h @ params["Wy"] + params["by"]).argmax())]
print(written)
plt.figure(figsize=(6, 3), layout="constrained")
plt.semilogy(losses, linewidth=1)
plt.gca().set(xlabel="step", ylabel="cross entropy a letter", title=written)
plt.show()
