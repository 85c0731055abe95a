"""compare.png: the smoothed loss curves of one comparison."""
import numpy as np
from matplotlib.ticker import LogFormatter
from matplotlib.transforms import blended_transform_factory

from .style import FAINT, PALETTE, new_figure, save, styled

__all__ = ["draw_curves"]

STYLES = ("-", (0, (4, 1.5)), (0, (1.1, 1.1)))
MARKERS = "os^Dv<>pPXhd"
MARKS = 9           # on each curve
LINE = 0.215        # inches between two lines of the legend
LEFT, RIGHT = 0.08, 0.66    # of the axes, as shares of the figure's width


@styled
def draw_curves(file, runs, title):
    """Write the curves of `runs`, best first, as PNG to `file`.

    Every curve has its own pair of colour and line style, its own marker, and a line to its name. A run that
    diverged ends in a cross.
    """
    runs = [run for run in runs if run.status != "interrupted"]
    height = max(5.6, 1.9 + LINE * len(runs))
    figure = new_figure(11, height)
    axes = figure.add_axes((LEFT, 0.55 / height, RIGHT - LEFT, 1 - 1.5 / height))
    curves = [smooth(np.array([loss for loss in run.loss if loss is not None])) for run in runs]
    looks = [look(rank) for rank in range(len(runs))]

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))   # for less than two decades
    axes.grid(True, which="major")
    axes.set_xlim(0, max(map(len, curves)))
    axes.set_ylim(loss_range(runs, curves))
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss on the batch, smoothed")
    for rank, (run, curve, style) in enumerate(zip(runs, curves, looks)):
        x, step = np.arange(1, len(curve) + 1), max(1, len(curve) // MARKS)
        # All marks lie above all lines, and neighbours in rank have theirs at different places: where curves
        # coincide, such as NAG's and MSGD's, both still show.
        first = int(step * (rank * 0.382 % 1))
        axes.plot(x, curve, zorder=3 - rank / 100, **{**style, "marker": ""})
        axes.plot(x, curve, zorder=4, markevery=(first, step), **{**style, "linestyle": ""})
        if run.status == "diverged":
            shown = np.clip(curve[-1:], *axes.get_ylim())
            axes.plot([len(curve)] * len(shown), shown, "x", color=style["color"], markersize=8,
                      markeredgewidth=2, zorder=5, clip_on=False)
    legend(axes, runs, curves, looks)
    figure.text(LEFT, 1 - 0.36 / height, "Training loss by optimizer", fontsize=14, weight="bold",
                va="center")
    figure.text(LEFT, 1 - 0.62 / height, title, fontsize=8.5, color=FAINT, va="center")
    save(figure, file)


def look(rank):
    """Colour, line style and marker of the curve at a rank."""
    turn, hue = divmod(rank, len(PALETTE))
    return {"color": PALETTE[hue], "linestyle": STYLES[turn % len(STYLES)],
            "marker": MARKERS[rank % len(MARKERS)], "markersize": 5.5, "markeredgecolor": "white",
            "markeredgewidth": 0.5}


def smooth(loss):
    """A moving average under a Hann window about 1/25 of the curve wide, cut off at both ends."""
    half = min(len(loss) // 50 + 2, (len(loss) - 1) // 2)
    window = np.hanning(2 * half + 3)[1:-1]
    if half < 1:
        return loss
    with np.errstate(over="ignore", invalid="ignore"):
        return np.convolve(loss, window, "same") / np.convolve(np.ones(len(loss)), window, "same")


def loss_range(runs, curves):
    """Limits that show every curve, except where one climbs far above the loss at the start."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values) & (values > 0)]
    start = next((run.loss[0] for run in runs if run.loss and run.loss[0]), 1.0)
    highest = min(values.max(initial=start), 5 * start)
    return max(values.min(initial=highest), 1e-12) / 1.3, highest * 1.3


def legend(axes, runs, curves, looks):
    """One line a run to the right of the axes, each as near to the end of its curve as the others allow.

    The runs that diverged stand at the top.
    """
    to_axes = axes.transScale + axes.transLimits
    levels = []
    for run, curve in zip(runs, curves):
        if run.status == "diverged":
            levels.append(1.0)
        else:
            levels.append(float(np.clip(to_axes.transform((1, max(curve[-1], 1e-300)))[1], 0, 1)))
    order = sorted(range(len(runs)), key=lambda i: (runs[i].status == "diverged", levels[i], -i))
    gap = LINE / (axes.get_position().height * axes.figure.get_figheight())
    places = spread([levels[i] for i in order], gap)

    where = blended_transform_factory(axes.figure.transFigure, axes.transAxes)
    text = {"transform": where, "va": "center"}
    for i, place in zip(order, places):
        run, style = runs[i], looks[i]
        if run.status != "diverged":
            axes.plot([RIGHT, RIGHT + 0.025], [levels[i], place], transform=where, color=style["color"],
                      linewidth=0.8, clip_on=False)
        axes.plot([RIGHT + 0.03, RIGHT + 0.05, RIGHT + 0.07], [place] * 3, transform=where, markevery=[1],
                  clip_on=False, **style)
        axes.text(RIGHT + 0.08, place, run.name, **text)
        if run.final_loss is None:
            axes.text(0.985, place, run.outcome, color=FAINT, ha="right", **text)
        else:
            axes.text(0.915, place, f"{run.final_loss:.2g}", color=FAINT, ha="right", **text)
            axes.text(0.985, place, f"{100 * run.test_accuracy:.1f} %", color=FAINT, ha="right", **text)
    above = max(1.0, places[-1]) + 1.3 * gap
    for right, heading in ((0.915, "final\nloss"), (0.985, "test\naccuracy")):
        axes.text(right, above, heading, color=FAINT, ha="right", fontsize=7.5, linespacing=1.05, **text)


def spread(levels, gap):
    """Places at least `gap` apart for the ascending `levels`, each as near to its own as may be, in 0..1."""
    # Labels that touch form a cluster, which sits where its members' mean wants it.
    clusters = []
    for level in levels:
        clusters.append([level])
        while len(clusters) > 1 and _bottom(clusters[-1], gap) < _top(clusters[-2], gap) + gap:
            last = clusters.pop()
            clusters[-1] += last
    places = [_bottom(cluster, gap) + i * gap for cluster in clusters for i in range(len(cluster))]
    ceiling = max(1.0, (len(places) - 1) * gap)
    for i in reversed(range(len(places))):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - gap
    floor = 0.0
    for i in range(len(places)):
        places[i] = max(places[i], floor)
        floor = places[i] + gap
    return places


def _bottom(cluster, gap):
    return sum(cluster) / len(cluster) - gap * (len(cluster) - 1) / 2


def _top(cluster, gap):
    return _bottom(cluster, gap) + gap * (len(cluster) - 1)
