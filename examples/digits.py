"""
Handwritten digits
==================

A network reads 8 x 8 images of digits. Its learning rate follows a schedule, weights decay but biases do not, and gradients
are clipped by their global norm.
"""
import matplotlib.pyplot as plt

from fastnn import get_opt, group, schedules
from fastnn.datasets import load_digits
from fastnn.nn import MultiLayerNet, Trainer

(x, t), (x_test, t_test) = load_digits(dtype="float32")         # 1,437 and 360 images, (rows, 64)
network = MultiLayerNet(64, [64, 64], 10, activation="GELU", use_batchnorm=True, dtype="float32", rng=0)
optimizer = get_opt("Adam", lr=schedules.cosine(3e-3, 600, warmup=60), weight_decay=0.05, clip_global_norm=1.0,
                    groups=[group("b[0-9]", "gamma*", "beta*", weight_decay=0)])

# %%
# A trainer draws batches of 128, computes gradients and steps. ``transform`` sees the gradients of each batch.

losses, largest = [], []


def record(grads, loss):
    losses.append(loss)
    largest.append(max(float(abs(g).max()) for g in grads.values()))


trainer = Trainer(network, optimizer, x, t, rng=1, transform=record)
trainer.train(600)
accuracy = network.accuracy(x_test, t_test)
print(f"test accuracy {accuracy:.1%}, largest element of a gradient {max(largest):.2g}")

# %%
# Below: the loss of each batch, and test images with what the network reads.

figure = plt.figure(figsize=(8, 3.4), layout="constrained")
left, right = figure.subfigures(1, 2)
axes = left.subplots()
axes.semilogy(losses, linewidth=1)
axes.set(xlabel="step", ylabel="loss of the batch")
for axes, image, label in zip(right.subplots(3, 5).flat, x_test, network.predict(x_test).argmax(axis=1)):
    axes.imshow(image.reshape(8, 8), cmap="gray_r")
    axes.set_title(int(label), fontsize=9)
    axes.set_axis_off()
plt.show()
