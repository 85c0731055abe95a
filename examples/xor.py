"""
XOR with every activation
=========================

Two noisy bits, and whether they differ: no straight line divides the classes. The same small network learns it with each
elementwise activation of the catalogue. A few cannot in 200 steps: the identity is a line itself, a step has no slope for
the layer before it, and two hard sigmoids are straight where the numbers lie.
"""
import matplotlib.pyplot as plt
import numpy as np

from fastnn import activations, get_act, get_opt
from fastnn.activations import Activation
from fastnn.nn import MultiLayerNet

rng = np.random.default_rng(0)
bits = rng.integers(2, size=(400, 2))
x, t = bits + 0.15*rng.standard_normal(bits.shape), bits[:, 0] ^ bits[:, 1]
arguments = {"threshold": {"threshold": 0.0, "value": -0.5}}           # what has no defaults
acts = {name: get_act(name, **arguments.get(name, {})) for name in activations() if name != "maxout"}
acts = {name: act for name, act in acts.items() if isinstance(act, Activation)}

# %%
# Each network has 8 hidden units and takes 200 steps of Adam over all points.

grid = np.stack(np.meshgrid(np.linspace(-0.6, 1.6, 60), np.linspace(-0.6, 1.6, 60)), axis=-1)
reached, maps = {}, {}
for name, act in acts.items():
    network = MultiLayerNet(2, [8], 2, activation=act, weight_init_std="xavier", rng=1)
    optimizer = get_opt("Adam", lr=0.05)
    for _ in range(200):
        optimizer.step(network.params, network.gradient(x, t))
    reached[name] = network.accuracy(x, t)
    scores = network.predict(grid.reshape(-1, 2))
    maps[name] = (scores[:, 1] - scores[:, 0]).reshape(60, 60)

# %%
# Blue is "differ". The number is the share of points on the right side.

columns = 8
figure, grid_of_axes = plt.subplots(-(-len(acts)//columns), columns, figsize=(9, 7.6), layout="constrained")
for axes in grid_of_axes.flat:
    axes.set_axis_off()
for axes, name in zip(grid_of_axes.flat, acts):
    axes.imshow(np.tanh(maps[name]), origin="lower", extent=(-0.6, 1.6, -0.6, 1.6), cmap="RdBu", vmin=-1.5, vmax=1.5)
    axes.scatter(*x.T, c=t, s=1, cmap="RdBu", edgecolors="none")
    axes.set_title(f"{name} {reached[name]:.0%}", fontsize=7)
plt.show()
