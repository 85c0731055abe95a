"""
Schedules
=========

A hyperparameter may be a schedule: a function of the step t, from 1. Here are five shapes of a learning rate, and what they
make of the same training.
"""
import matplotlib.pyplot as plt
import numpy as np

from fastnn import get_opt, schedules
from fastnn.datasets import load_digits
from fastnn.nn import MultiLayerNet, Trainer

STEPS = 500
rates = {
    "constant": schedules.constant(0.1),
    "cosine, with a warm-up": schedules.cosine(0.2, STEPS, warmup=50),
    "one cycle": schedules.one_cycle(0.4, STEPS),
    "warm-up, stable, decay": schedules.warmup_stable_decay(0.2, STEPS, 150, warmup=50),
    "a function of your own": lambda t: 0.2/(1 + t/100),
}

# %%
# The optimizer asks the schedule at each step; ``optimizer.lr`` may be set to another one, or to a number, at any time.

(x, t), (x_test, t_test) = load_digits(dtype="float32")
losses, accuracies = {}, {}
for title, rate in rates.items():
    network = MultiLayerNet(64, [32], 10, dtype="float32", rng=0)
    trainer = Trainer(network, get_opt("Momentum", lr=rate), x, t, rng=1)
    losses[title] = [trainer.step() for _ in range(STEPS)]
    accuracies[title] = network.accuracy(x_test, t_test)

# %%
# On the left the rates, on the right the loss, smoothed over 20 batches.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for title, rate in rates.items():
    left.plot([rate(step) for step in range(1, STEPS + 1)], label=title)
    right.semilogy(np.convolve(losses[title], np.full(20, 1/20), "valid"), label=f"{accuracies[title]:.1%} right")
left.set(xlabel="step", ylabel="learning rate")
right.set(xlabel="step", ylabel="loss")
left.legend(fontsize=8)
right.legend(fontsize=8)
plt.show()
