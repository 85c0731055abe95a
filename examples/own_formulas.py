"""
Your own activation and optimizer
=================================

Formulas that the catalogue lacks are written down as in their papers. They are compiled to vectorised loops; f' and f'' are
derived and checked. ``fastnn plot --import own_formulas.py`` and the other commands know them, too.
"""
import math

import matplotlib.pyplot as plt
import numpy as np

from fastnn import get_act, get_opt, register_act, register_opt
from fastnn.datasets import load_digits
from fastnn.nn import MultiLayerNet, Trainer


@register_act("Serf")                           # Nag and Bhattacharyya 2021, arXiv 2108.09598
def serf(x):
    """x erf(log(1 + exp(x)))."""
    return x*math.erf(math.log1p(math.exp(x)))


@register_act("SmeLU", beta=1.0)                # Shamir and Lin 2022, arXiv 2202.06499: a parabola joins ReLU's two lines
def smelu(x, beta):
    """0 below -beta, x above beta, (x + beta)^2/(4 beta) between."""
    if x <= -beta:
        return 0.0
    return (x + beta)**2/(4*beta) if x < beta else x


# %%
# An optimizer's rule gets a gradient, its state and the hyperparameters h, and returns the delta and the new state.
# diffGrad (Dubey et al. 2019, arXiv 1909.11015) is Adam, slowed down to half where the gradient does not change.

@register_opt("diffGrad", state=("m", "v", "before"), lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8)
def diffgrad(g, m, v, before, h):
    m += (1 - h.beta1)*(g - m)
    v += (1 - h.beta2)*(g*g - v)
    friction = 1/(1 + math.exp(-abs(before - g)))
    step = h.lr/(1 - h.beta1**h.t)
    return -step*friction*m/(math.sqrt(v/(1 - h.beta2**h.t)) + h.eps), m, v, g


(x, t), (x_test, t_test) = load_digits(dtype="float32")
points = np.linspace(-4, 4, 400)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for name in ("Serf", "SmeLU"):
    act = get_act(name)
    left.plot(points, act.forward(points), label=name)
    left.plot(points, act.backward(points), "--", label=f"{name}'")
for name, optimizer in (("Serf", "Adam"), ("SmeLU", "Adam"), ("ReLU", "diffGrad")):
    network = MultiLayerNet(64, [64], 10, activation=name, dtype="float32", rng=0)
    trainer = Trainer(network, get_opt(optimizer, lr=1e-3), x, t, rng=1)
    right.semilogy([trainer.step() for _ in range(300)], linewidth=0.8,
                   label=f"{name}, {optimizer}: {network.accuracy(x_test, t_test):.1%}")
left.legend()
right.legend()
right.set(xlabel="step", ylabel="loss")
plt.show()
