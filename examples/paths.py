"""
Paths of optimizers
===================

Eight optimizers go down Rosenbrock's curved valley, from the same point. In the flat bottom of the valley plain gradient
descent crawls, momentum rolls, and adaptive rules find their own step lengths.
"""
import matplotlib.pyplot as plt
import numpy as np

from fastnn import get_opt

RATES = {"SGD": 1.5e-3, "Momentum": 4e-4, "Nesterov": 4e-4, "RMSprop": 0.01, "Adam": 0.08, "Lion": 0.01, "Rprop": 0.05,
         "AdaBelief": 0.06}
STEPS = 400


def rosenbrock(x, y):
    return (1 - x)**2 + 20*(y - x*x)**2


def slope(point):
    x, y = point
    return np.array([-2*(1 - x) - 80*x*(y - x*x), 40*(y - x*x)])


# %%
# ``step`` changes an array in place; a copy of it is a point of the path.

paths = {}
for name, rate in RATES.items():
    optimizer, point = get_opt(name, lr=rate), np.array([-1.5, 1.5])
    points = [point.copy()]
    for _ in range(STEPS):
        optimizer.step(point, slope(point))
        points.append(point.copy())
    paths[name] = np.array(points)

# %%
# The cross is the minimum; the title has the height after the last step.

x, y = np.meshgrid(np.linspace(-2, 2, 200), np.linspace(-1, 3, 200))
figure, grid = plt.subplots(2, 4, figsize=(9, 4.8), sharex=True, sharey=True, layout="constrained")
for axes, (name, points) in zip(grid.flat, paths.items()):
    axes.contour(x, y, rosenbrock(x, y), levels=np.geomspace(0.1, 500, 12), colors="0.8", linewidths=0.7)
    axes.plot(*points.T, ".-", markersize=2, linewidth=0.8, color="tab:red")
    axes.plot(1, 1, "+", markersize=10, color="tab:green")
    axes.set_title(f"{name}: {rosenbrock(*points[-1]):.1g}", fontsize=9)
plt.show()
