"""activations.png: every activation with its first and second derivative; losses with their first one."""
import math

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .style import FAINT, GRID, INK, new_figure, save, styled

__all__ = ["draw_shapes"]

# The later ones lie on top; being thinner, and the last one dashed, they hide nothing where they coincide.
LINES = {
    "f": {"color": INK, "linewidth": 2.3},
    "f′": {"color": "#e0641c", "linewidth": 1.3},
    "f″": {"color": "#2a86c4", "linewidth": 1.1, "linestyle": (0, (3, 1.4))},
}
COLUMNS, CELL = 6, (2.1, 1.75)
SPAN, POINTS = 7.0, 5600     # wide enough for ReLU6
STEEP = -15.0, 15.0         # derivatives of activations stay far within
JUMP = 0.02         # a step of a derivative between two points that no smooth activation makes


@styled
def draw_shapes(file, samples, title="Activations"):
    """Write small multiples as PNG to `file`.

    Parameters
    ----------
    samples : dict of name -> (note, function)
        The function takes abscissas (n,) and returns f, f' and perhaps f'' there; the note says what stands for x.
    """
    columns = min(COLUMNS, max(3, len(samples)))
    rows = math.ceil(len(samples) / columns)
    width, height = columns * CELL[0] + 0.3, rows * CELL[1] + 0.75
    figure = new_figure(width, height)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False, gridspec_kw={
        "left": 0.36 / width, "right": 1 - 0.12 / width, "bottom": 0.3 / height, "top": 1 - 0.9 / height,
        "wspace": 0.2, "hspace": 0.5})
    # The middles of cells: no point lies on a kink, where the value says nothing of its surroundings.
    x = (np.arange(POINTS) + 0.5) / POINTS * 2 * SPAN - SPAN
    for axes, (name, (note, function)) in zip(grid.flat, samples.items()):
        panel(axes, x, function(x))
        axes.set_title(name, loc="left", fontsize=9.5, weight="bold", pad=13)
        axes.text(0, 1.035, note, transform=axes.transAxes, fontsize=6.5, color=FAINT, va="bottom")
    for axes in list(grid.flat)[len(samples):]:
        axes.set_axis_off()
    # Below the last full row the ticks of a shared axis would be missing.
    for axes in list(grid.flat)[max(0, len(samples) - columns):len(samples)]:
        axes.tick_params(labelbottom=True)

    figure.text(0.36 / width, 1 - 0.3 / height, title, fontsize=14, weight="bold", va="center")
    handles = [Line2D([], [], **LINES[key]) for key in LINES]
    figure.legend(handles, list(LINES), loc="center right", ncols=3, frameon=False, fontsize=10,
                  bbox_to_anchor=(1 - 0.12 / width, 1 - 0.3 / height), handlelength=2, columnspacing=1.4)
    save(figure, file)


def panel(axes, x, values):
    axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    for order, (line, y) in enumerate(zip(LINES.values(), values)):
        axes.plot(x, broken(y), zorder=2 + order, **line)
    axes.set_xlim(-SPAN, SPAN)
    axes.set_ylim(window(values))
    axes.set_xticks([-5, 0, 5])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.tick_params(length=2, labelsize=7)


def broken(y, times=1):
    """`y` with a gap at each jump, in place of the steep line that would join its sides; `times` for wider points."""
    y = np.array(y, dtype=np.float64)
    y[:-1][np.abs(np.diff(y)) > times * JUMP] = np.nan
    return y


def window(values):
    """Limits that hold the derivatives, as far as STEEP, and what of f lies within -3.5..6.5."""
    values, slopes = values[0], np.concatenate(values[1:])
    values, slopes = (v[np.isfinite(v)] if np.isfinite(v).any() else np.zeros(1) for v in (values, slopes))
    low = min(np.clip(slopes, *STEEP).min(), max(values.min(), -3.5))
    high = max(np.clip(slopes, *STEEP).max(), min(values.max(), 6.5))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
