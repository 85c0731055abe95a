"""
Evolution strategies on a cart-pole
===================================

A pole stands on a cart that can be pushed to the left or to the right. The policy is a small network, one vector of 49
numbers. No gradient is computed: noise is added, rewards are compared, and Adam steps along the estimate.
"""
import matplotlib.pyplot as plt
import numpy as np

from fastnn import get_act, get_opt, schedules

tanh = get_act("tanh")
HIDDEN, LIMIT, PAIRS, SIGMA = 8, 300, 24, 0.2
SIZE = 4*HIDDEN + HIDDEN + HIDDEN + 1


def push(theta, state):
    """The force of many policies (n, SIZE) in many states (n, 4)."""
    W, b, V, c = np.split(theta, [4*HIDDEN, 5*HIDDEN, 6*HIDDEN], axis=1)
    hidden = tanh(np.einsum("ni,nih->nh", state, W.reshape(-1, 4, HIDDEN)) + b)
    return 10*np.sign((hidden*V).sum(axis=1) + c[:, 0])


# %%
# The equations of Barto, Sutton and Anderson (1983): a pole of half a metre and 0.1 kg, a cart of 1 kg, steps of 20 ms.

def steps_upright(theta, rng):
    """How long each policy keeps the pole within 12 degrees and the cart within 2.4 m; all start from the same state."""
    state = np.tile(rng.uniform(-0.05, 0.05, 4), (len(theta), 1))
    alive, count = np.ones(len(theta), bool), np.zeros(len(theta))
    for _ in range(LIMIT):
        x, speed, angle, turn = state.T
        pull = (push(theta, state) + 0.05*turn**2*np.sin(angle))/1.1
        bend = (9.8*np.sin(angle) - np.cos(angle)*pull)/(0.5*(4/3 - 0.1*np.cos(angle)**2/1.1))
        state = state + 0.02*np.stack([speed, pull - 0.05*bend*np.cos(angle)/1.1, turn, bend], axis=1)
        alive &= (abs(state[:, 0]) < 2.4) & (abs(state[:, 2]) < 0.21)
        count += alive
    return count


rng, theta = np.random.default_rng(0), np.zeros((1, SIZE))
optimizer, rewards = get_opt("Adam", lr=schedules.cosine(0.1, 60)), []
for generation in range(60):
    noise = rng.standard_normal((PAIRS, SIZE))
    count = steps_upright(np.concatenate([theta, theta + SIGMA*noise, theta - SIGMA*noise]), rng)
    ranks = count[1:].argsort().argsort()/(2*PAIRS - 1) - 0.5
    optimizer.step(theta, -((ranks[:PAIRS] - ranks[PAIRS:]) @ noise)[None]/(PAIRS*SIGMA))
    rewards.append(count[0])

plt.figure(figsize=(6, 3), layout="constrained")
plt.plot(rewards)
plt.gca().set(xlabel="generation", ylabel=f"steps upright, of {LIMIT}")
plt.show()
