"""The pictures of single entries, as SVG: small, and sharp on any screen."""
import matplotlib
import numpy as np

from .paths import GOAL, LEVELS, PATH, XLIM, YLIM
from .schedules import window as schedule_window
from .shapes import LINES, SPAN, broken, window
from .style import FAINT, GRID, INK, PALETTE, new_figure, styled

__all__ = ["draw_course", "draw_loss", "draw_path", "draw_shape"]

SIZE, POINTS = (5.2, 3.2), 1400


def save_svg(figure, file):
    """Write `figure` as SVG with the same bytes each time."""
    with matplotlib.rc_context({"svg.hashsalt": "fastnn", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


@styled
def draw_shape(file, function, heads):
    """f and two derivatives over x; `heads` are the names of x and of the three."""
    figure = new_figure(*SIZE, layout="constrained")
    axes = figure.subplots()
    x = (np.arange(POINTS) + 0.5) / POINTS * 2 * SPAN - SPAN         # no point lies on a kink
    values = function(x)
    axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    for order, (label, line, y) in enumerate(zip(heads[1:], LINES.values(), values)):
        axes.plot(x, broken(y, 4), zorder=2 + order, label=label, **line)
    axes.set(xlim=(-SPAN, SPAN), ylim=window(values), xlabel=heads[0])
    axes.legend(frameon=False, loc="best")
    save_svg(figure, file)


@styled
def draw_path(file, points, valley):
    """The path through the valley, and f along it."""
    figure = new_figure(SIZE[0] * 1.5, SIZE[1] * 0.85, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    x, y = np.meshgrid(np.linspace(*XLIM, 100), np.linspace(*YLIM, 60))
    left.contour(x, y, valley(x, y), levels=LEVELS, colors="#9fb4c9", linewidths=0.7)
    left.plot(*points.T, "o-", color=PATH, linewidth=1.1, markersize=2.6)
    left.plot(*points[0], "o", color=INK, markersize=4.5)
    left.plot(0, 0, "+", color=GOAL, markersize=9, markeredgewidth=1.8)
    left.set(xlim=XLIM, ylim=YLIM, xlabel="x", ylabel="y")
    right.plot(valley(*points.T), color=PALETTE[0])
    right.set(yscale="log", xlabel="step", ylabel="f")
    right.grid(axis="y")
    save_svg(figure, file)


@styled
def draw_loss(file, y, curves, variable):
    """Value and derivative over y, which is called `variable`, one line for each label: {label: (value, derivative)}."""
    figure = new_figure(SIZE[0] * 1.5, SIZE[1] * 0.85, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (label, (value, derivative)), colour in zip(curves.items(), PALETTE):
        left.plot(y, value, color=colour, label=label)
        right.plot(y, broken(derivative, 20), color=colour)
    left.set(xlabel=variable, title="loss")
    right.set(xlabel=variable, title=f"derivative in {variable}")
    for axes in (left, right):
        axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
        axes.title.set(fontsize=9, color=FAINT)
    left.legend(frameon=False, loc="best")
    save_svg(figure, file)


@styled
def draw_course(file, values):
    """A schedule's values at steps 1, 2, ..."""
    figure = new_figure(*SIZE, layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.plot(range(1, len(values) + 1), values, color=PALETTE[0], drawstyle="steps-mid")
    axes.set(ylim=schedule_window(values), xlabel="step t", ylabel="value")
    save_svg(figure, file)
