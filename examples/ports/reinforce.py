"""REINFORCE: a policy learns to catch falling balls, with RMSprop, uphill.

reinforce.py takes its optimizer from fastnn, reinforce_numpy.py has its own.
"""
import numpy as np

from fastnn import get_opt

ROWS, COLUMNS, HIDDEN = 6, 7, 48


def policy(model, states):
    """(hidden units, the probability of a move to the right)."""
    hidden = np.maximum(states @ model["W1"], 0)
    return hidden, 1/(1 + np.exp(-hidden @ model["W2"]))


def play(model, rng, games):
    """Of many games at once, for each move: states, hidden units, slopes of log p by its logit; and all rewards."""
    ball, paddle = rng.integers(COLUMNS, size=games), np.full(games, COLUMNS//2)
    places, moves = np.arange(games), []
    for row in range(ROWS):
        states = np.zeros((games, (ROWS + 1)*COLUMNS))
        states[places, row*COLUMNS + ball] = states[places, ROWS*COLUMNS + paddle] = 1
        hidden, p = policy(model, states)
        right = rng.random(games) < p
        moves.append((states, hidden, right - p))
        paddle = np.clip(paddle + np.where(right, 1, -1), 0, COLUMNS - 1)
        ball = np.clip(ball + rng.integers(-1, 2, games), 0, COLUMNS - 1)
    return *(np.concatenate(each) for each in zip(*moves)), np.where(abs(ball - paddle) <= 1, 1.0, -1.0)


def train(batches=300, games=32):
    """(the mean rewards, the parameters)."""
    rng = np.random.default_rng(1)
    inputs = (ROWS + 1)*COLUMNS
    model = {"W1": rng.standard_normal((inputs, HIDDEN))/np.sqrt(inputs), "W2": rng.standard_normal(HIDDEN)/HIDDEN**0.5}
    opt = get_opt("RMSprop", lr=3e-3, rho=0.99, eps=1e-5, maximize=True)
    means = []
    for _ in range(batches):
        states, hidden, slopes, rewards = play(model, rng, games)
        slopes *= np.tile(rewards - rewards.mean(), ROWS)
        grads = {"W2": hidden.T @ slopes, "W1": states.T @ (np.outer(slopes, model["W2"])*(hidden > 0))}
        opt.step(model, grads)
        means.append(rewards.mean())
    return means, list(model.values())


if __name__ == "__main__":
    means, _ = train()
    print(f"mean reward {np.mean(means[:20]):.2f} -> {np.mean(means[-20:]):.2f}")
