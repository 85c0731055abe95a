"""
Word vectors with sparse gradients
==================================

Skip-gram with negative samples: words that occur together come to lie together. A batch names a few rows of two large
tables, and ``Rows`` is the gradient of these rows alone: the others are neither read nor written.
"""
import matplotlib.pyplot as plt
import numpy as np

from fastnn import Rows, get_opt

WORDS, TOPICS, SIZE, NEGATIVES = 2000, 8, 32, 5
rng = np.random.default_rng(5)


def pairs(count):
    """Words and a neighbour of each, out of the same topic; some words are frequent."""
    words = np.minimum(rng.exponential(30, size=(2, count)).astype(int), WORDS//TOPICS - 1)
    return words*TOPICS + rng.integers(TOPICS, size=count)


# %%
# Rows that are named more than once in a batch are summed, in the order given. State of other rows stays as it is.

E, C = rng.uniform(-0.5, 0.5, (WORDS, SIZE))/SIZE**0.5, np.zeros((WORDS, SIZE))
optimizer, losses = get_opt("AdaGrad", lr=0.3), []
signs = np.array([1.0] + [-1.0]*NEGATIVES)                      # a neighbour, and words drawn at random
for _ in range(1500):
    centres, near = pairs(256)
    others = np.concatenate([near[:, None], rng.integers(WORDS, size=(256, NEGATIVES))], axis=1)
    e, c = E[centres], C[others]
    scores = signs*np.einsum("bd,bnd->bn", e, c)
    losses.append(np.logaddexp(0, -scores).sum(axis=1).mean())
    slopes = -signs/(1 + np.exp(scores))
    optimizer.step({"E": E, "C": C}, {"E": Rows(centres, np.einsum("bn,bnd->bd", slopes, c)),
                                      "C": Rows(others, slopes[:, :, None]*e[:, None])})

# %%
# The first 400 words in the plane of the two largest principal components; colours are topics, which were not given.

words = E[:400]/np.linalg.norm(E[:400], axis=1, keepdims=True)
plane = words @ np.linalg.svd(words - words.mean(axis=0), full_matrices=False)[2][:2].T
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
left.plot(losses, linewidth=0.8)
left.set(xlabel="step", ylabel="loss")
right.scatter(*plane.T, c=np.arange(400) % TOPICS, cmap="tab10", s=12)
right.set(xticks=[], yticks=[])
plt.show()
