"""trajectories.png: the optimizers' paths on the valley f(x, y) = x^2/20 + y^2."""
import math

import numpy as np

from .style import FAINT, INK, new_figure, save, styled

__all__ = ["draw_paths"]

COLUMNS, CELL = 5, (2.5, 1.85)
XLIM, YLIM = (-8.5, 8.5), (-3.4, 3.4)
PATH, GOAL = "#d1495b", "#2a9d5c"
# Evenly spaced in the distance from the goal, not in height: the bottom of the valley shows its shape too.
LEVELS = (np.arange(0, 12) * 0.3) ** 2


@styled
def draw_paths(file, paths, valley, note):
    """Write small multiples as PNG to `file`.

    Parameters
    ----------
    paths : sequence of (name, lr, points)
        `points` (steps + 1, 2) begins at the start.
    valley : callable
        f(x, y) of arrays.
    note : str
        The line below the title.
    """
    columns = min(COLUMNS, max(2, len(paths)))
    rows = math.ceil(len(paths) / columns)
    width, height = columns * CELL[0] + 0.4, rows * CELL[1] + 0.85
    figure = new_figure(width, height)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False, gridspec_kw={
        "left": 0.4 / width, "right": 1 - 0.2 / width, "bottom": 0.32 / height, "top": 1 - 0.95 / height,
        "wspace": 0.08, "hspace": 0.3})
    x, y = np.meshgrid(np.linspace(*XLIM, 200), np.linspace(*YLIM, 120))
    heights = valley(x, y)
    for axes, (name, lr, points) in zip(grid.flat, paths):
        axes.contourf(x, y, heights, levels=LEVELS, cmap="Blues_r", extend="max", alpha=0.28)
        axes.contour(x, y, heights, levels=LEVELS, colors="#9fb4c9", linewidths=0.5)
        axes.plot(*points.T, "o-", color=PATH, linewidth=1.1, markersize=2.2, solid_joinstyle="round")
        axes.plot(*points[0], "o", color=INK, markersize=4)
        axes.plot(0, 0, "+", color=GOAL, markersize=8, markeredgewidth=1.6)
        axes.set(xlim=XLIM, ylim=YLIM, xticks=(-5, 0, 5), yticks=(-2, 0, 2))
        axes.tick_params(length=2, labelsize=7)
        axes.set_title(name, loc="left", fontsize=9.5, weight="bold", pad=3)
        result = f"lr {lr:g}   f = {valley(*points[-1]):.1g}"
        axes.set_title(result, loc="right", fontsize=7, color=FAINT, pad=3)
    for axes in list(grid.flat)[len(paths):]:
        axes.set_axis_off()
    for axes in list(grid.flat)[max(0, len(paths) - columns):len(paths)]:
        axes.tick_params(labelbottom=True)
    figure.text(0.4 / width, 1 - 0.3 / height, "Paths on f(x, y) = x²/20 + y²", fontsize=14, weight="bold",
                va="center", color=INK)
    figure.text(0.4 / width, 1 - 0.56 / height, note, fontsize=8, color=FAINT, va="center")
    save(figure, file)
