"""Skip-gram with negative samples: words of one topic come to lie together, and a step touches few rows of two tables.

skip_gram.py takes its optimizer from fastnn, skip_gram_numpy.py has its own.
"""
import numpy as np

WORDS, TOPICS, SIZE, NEGATIVES = 2000, 20, 64, 5


def pairs(rng, count):
    """Words and a neighbour of each, out of the same topic; some words are frequent."""
    topics = rng.integers(TOPICS, size=count)
    words = np.minimum(rng.exponential(15, size=(2, count)).astype(int), WORDS//TOPICS - 1)
    return words*TOPICS + topics


def train(steps=400, batch=128, rate=0.5):
    """(the losses, the parameters)."""
    rng = np.random.default_rng(5)
    E, C = rng.uniform(-0.5, 0.5, (WORDS, SIZE))/SIZE**0.5, np.zeros((WORDS, SIZE))
    losses = []
    for _ in range(steps):
        centres, near = pairs(rng, batch)
        others = np.concatenate([near[:, None], rng.integers(WORDS, size=(batch, NEGATIVES))], axis=1)
        signs = np.array([1.0] + [-1.0]*NEGATIVES)
        e, c = E[centres], C[others]
        scores = signs*np.einsum("bd,bnd->bn", e, c)
        losses.append(np.logaddexp(0, -scores).sum(-1).mean())
        slopes = -signs/(1 + np.exp(scores))
        dE, dC = np.einsum("bn,bnd->bd", slopes, c), slopes[:, :, None]*e[:, None]
        np.subtract.at(E, centres, rate*dE)
        np.subtract.at(C, others, rate*dC)
    return losses, [E, C]


if __name__ == "__main__":
    losses, (E, _) = train()
    print(f"loss {losses[0]:.3f} -> {np.mean(losses[-10:]):.3f}")
