"""
An autoencoder
==============

Images of 64 pixels go through 8 numbers and come back. The network is written in NumPy; fastnn has the activations, the loss
and the optimizer. This is the loop to copy for a network of your own.
"""
import matplotlib.pyplot as plt
import numpy as np

from fastnn import get_act, get_err, get_opt
from fastnn.datasets import load_digits

(x, _), (x_test, _) = load_digits(dtype="float32")
rng = np.random.default_rng(0)
sizes = [64, 48, 8, 48, 64]
weights = [(rng.standard_normal((m, n))*np.sqrt(2/(m + n))).astype("float32") for m, n in zip(sizes, sizes[1:])]
biases = [np.zeros(n, "float32") for n in sizes[1:]]
acts = [get_act("GELU"), get_act("identity"), get_act("GELU"), get_act("sigmoid")]
loss, optimizer = get_err("squared-error", reduction="mean"), get_opt("AdamW", lr=3e-3, weight_decay=1e-4)


# %%
# ``forward`` keeps what enters each activation. ``backward(x, y, grad=g)`` is g f'(x), in one pass over memory.

def forward(x):
    inputs, outputs = [], [x]
    for W, b, act in zip(weights, biases, acts):
        inputs.append(outputs[-1] @ W + b)
        outputs.append(act.forward(inputs[-1]))
    return inputs, outputs


losses = []
for step in range(1500):
    batch = x[rng.integers(len(x), size=128)]
    inputs, outputs = forward(batch)
    losses.append(loss.forward(outputs[-1], batch))
    grad, slopes = loss.backward(outputs[-1], batch), []
    for i in reversed(range(len(acts))):
        grad = acts[i].backward(inputs[i], outputs[i + 1], grad=grad)
        slopes.insert(0, (outputs[i].T @ grad, grad.sum(axis=0)))
        grad = grad @ weights[i].T
    optimizer.step([*zip(weights, biases)], slopes)             # in the structure of the parameters

# %%
# Above: images that the network has not seen. Below: what it makes of 8 numbers.

back = forward(x_test)[1][-1]
figure, grid = plt.subplots(2, 12, figsize=(9, 1.8), layout="constrained")
for row, images in zip(grid, (x_test, back)):
    for axes, image in zip(row, images):
        axes.imshow(image.reshape(8, 8), cmap="gray_r")
        axes.set_axis_off()
plt.show()
