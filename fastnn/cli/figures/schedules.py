"""schedules.png: every schedule over its steps."""
import math
from textwrap import wrap

from matplotlib.ticker import MaxNLocator

from .style import FAINT, GRID, PALETTE, new_figure, save, styled

__all__ = ["draw_schedules"]

COLUMNS, CELL = 5, (2.45, 1.95)
NOTE = 43           # characters that a line of a note has room for


@styled
def draw_schedules(file, samples, title):
    """Write small multiples as PNG to `file`.

    Parameters
    ----------
    samples : dict of name -> (note, values)
        The note says how the schedule was made; `values[t - 1]` is its value at step t, as many for all.
    title : str
        The line below the title.
    """
    columns = min(COLUMNS, max(2, len(samples)))
    rows = math.ceil(len(samples) / columns)
    width, height = columns * CELL[0] + 0.3, rows * CELL[1] + 0.95
    figure = new_figure(width, height)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False, gridspec_kw={
        "left": 0.42 / width, "right": 1 - 0.15 / width, "bottom": 0.42 / height, "top": 1 - 1.25 / height,
        "wspace": 0.22, "hspace": 0.6})
    for axes, (name, (note, values)) in zip(grid.flat, samples.items()):
        axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
        axes.plot(range(1, len(values) + 1), values, color=PALETTE[0], drawstyle="steps-mid")
        axes.set_ylim(window(values))
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10], integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
        axes.tick_params(length=2, labelsize=7)
        lines = wrap(note, NOTE)
        axes.set_title(name, loc="left", fontsize=9.5, weight="bold", pad=6 + 8.5 * len(lines))
        axes.text(0, 1.05, "\n".join(lines), transform=axes.transAxes, fontsize=6.5, color=FAINT, va="bottom")
    for axes in list(grid.flat)[len(samples):]:
        axes.set_axis_off()
    # Below the last full row the ticks of a shared axis would be missing.
    for axes in list(grid.flat)[max(0, len(samples) - columns):len(samples)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("t", fontsize=7, labelpad=1)
    figure.text(0.42 / width, 1 - 0.28 / height, "Schedules", fontsize=14, weight="bold", va="center")
    figure.text(0.42 / width, 1 - 0.54 / height, title, fontsize=8, color=FAINT, va="center")
    save(figure, file)


def window(values):
    """Limits that hold all values, and 0."""
    low, high = min(0.0, *values), max(0.0, *values)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
