"""Evolution strategies on all ranks: each its own seeds, a pole on a cart, and no gradient of anything.

    python examples/evolution.py
    mpiexec -n 4 python examples/evolution.py

Salimans et al. 2017, arXiv 1703.03864: the parameters are moved by noise and by its negative, and noise that brought
reward is what an optimizer steps along. Each rank draws its own noise; DataParallel averages what they have found.
"""
import numpy as np

from fastnn import get_opt
from fastnn.distributed import DataParallel, broadcast, generator

PAIRS, SIGMA, STEPS, GENERATIONS = 16, 0.1, 200, 40


def sum_rewards(policies, states):
    """For each policy the steps that its pole stands, 200 at most: the sum of a reward of 1 a step.

    policies: dict of arrays with one row each; states: positions and angles with their speeds, (policies, 4).
    """
    state, standing, total = states.copy(), np.ones(len(states), bool), np.zeros(len(states))
    for _ in range(STEPS):
        hidden = np.tanh(np.einsum("pi,pih->ph", state, policies["W1"]) + policies["b1"])
        force = 10 * np.tanh(np.einsum("ph,ph->p", hidden, policies["W2"]))
        _, speed, angle, turning = state.T
        push = (force + 0.05 * turning**2 * np.sin(angle)) / 1.1            # Barto, Sutton and Anderson 1983
        twist = (9.8 * np.sin(angle) - np.cos(angle) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(angle)**2 / 1.1))
        state += 0.02 * np.stack([speed, push - 0.05 * twist * np.cos(angle) / 1.1, turning, twist], axis=1)
        standing &= (np.abs(state[:, 0]) < 2.4) & (np.abs(state[:, 2]) < 0.21)
        total += standing
    return total


def main():
    params = {"W1": 0.1 * np.random.default_rng(0).standard_normal((4, 8)), "b1": np.zeros(8), "W2": np.zeros(8)}
    broadcast(params)
    opt = DataParallel(get_opt("Adam", lr=0.1, maximize=True))
    rng = generator(seed=1)                                                 # this rank's own
    for generation in range(1, GENERATIONS + 1):
        noise = {key: rng.standard_normal((PAIRS, *p.shape)) for key, p in params.items()}
        states = np.tile(rng.uniform(-0.05, 0.05, (PAIRS, 4)), (2, 1))      # the same for both of a pair
        policies = {key: p + SIGMA * np.concatenate([noise[key], -noise[key]]) for key, p in params.items()}
        rewards = sum_rewards(policies, states)
        order = np.empty(2 * PAIRS)
        order[np.argsort(rewards, kind="stable")] = np.linspace(-0.5, 0.5, 2 * PAIRS)      # ranks of rewards
        weights = (order[:PAIRS] - order[PAIRS:]) / (2 * PAIRS * SIGMA)
        opt.step(params, {key: np.tensordot(weights, noise[key], 1) for key in params})
        if opt.rank == 0 and generation % 10 == 0:
            print(f"generation {generation}: the pole stood {rewards.mean():.0f} of {STEPS} steps", flush=True)
    if opt.rank == 0:
        final = {key: p[np.newaxis].repeat(100, 0) for key, p in params.items()}
        stood = sum_rewards(final, np.random.default_rng(2).uniform(-0.05, 0.05, (100, 4)))
        print(f"the policy that {opt.ranks} ranks found: {stood.mean():.0f} of {STEPS} steps")


if __name__ == "__main__":
    main()
