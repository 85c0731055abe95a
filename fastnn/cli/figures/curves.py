"""compare.png: the curves of ``fastnn compare``, in one panel or, where they are many, in one for each family."""
import numpy as np
from matplotlib.ticker import LogFormatter

from fastnn.cli.families import ENDING, by_family

from .legend import LINE, WIDTH, legend
from .style import FAINT, PALETTE, new_figure, save, styled

__all__ = ["draw_curves"]

STYLES = ("-", (0, (4, 1.5)), (0, (1.1, 1.1)))
MARKERS = "os^Dv<>pPXhd"
MARKS = 9           # on each curve
TOGETHER = 24       # curves that one panel may have
OTHERS = "#d8dce2"  # the curves of other families
# inches
HEAD, FOOT, LEFT = 0.95, 0.55, 0.88     # above and below all panels, and to the left of each
ALONE, ONE_OF_SEVERAL = (6.38, 4.1, 0), (4.2, 1.5, 0.75)    # width, least height, and room above


@styled
def draw_curves(file, runs, title):
    """Write the curves of `runs`, best first, as PNG to `file`.

    In its panel every curve has its own pair of colour and line style, its own marker, and a line to its name. A run
    that diverged ends in a cross. More curves than `TOGETHER` have a panel for each family, on the same scales, with the
    other families' curves in grey.
    """
    runs = [run for run in runs if run.status != "interrupted"]
    curves = {run.name: smooth(np.array([loss for loss in run.loss if loss is not None])) for run in runs}
    several = len(runs) > TOGETHER
    panels = by_family(runs, lambda run: run.family) if several else {None: runs}
    width, least, above = ONE_OF_SEVERAL if several else ALONE
    columns = arranged(panels, least, above, [[] for _ in range(min(2, len(panels)))])
    whole, lowest = LEFT + width + WIDTH, max(column[-1][0] for column in columns)
    figure = new_figure(len(columns) * whole, HEAD + lowest + FOOT)
    limits = (0, max(map(len, curves.values()))), loss_range(runs, list(curves.values()))
    for i, column in enumerate(columns):
        for bottom, height, family in column:
            axes = add_axes(figure, (LEFT + i * whole, FOOT + lowest - bottom, width, height), limits)
            for run in runs:
                if run not in panels[family]:
                    axes.plot(np.arange(1, len(curves[run.name]) + 1), curves[run.name], color=OTHERS, linewidth=0.8,
                              zorder=1)
            draw_members(axes, panels[family], [curves[run.name] for run in panels[family]])
            if several:
                axes.set_title(f"{family}{ENDING}", loc="left", fontsize=11, weight="bold", pad=8)
        axes.set_xlabel("iteration")
    write(figure, LEFT, 0.36, "Training loss by optimizer", fontsize=14, weight="bold")
    if several:
        title += "; loss on the batch, smoothed; grey: the other families"
    else:
        axes.set_ylabel("loss on the batch, smoothed")
    write(figure, LEFT, 0.62, title, fontsize=8.5, color=FAINT)
    save(figure, file)


def arranged(panels, least, above, columns):
    """The columns with (bottom, height, family) of each panel, in inches from the top, the next in the shortest column."""
    def depth(column):
        return column[-1][0] if column else 0

    for family, members in panels.items():
        column, height = min(columns, key=depth), max(least, 0.4 + LINE * len(members))
        column.append((depth(column) + above + height, height, family))
    return columns


def write(figure, left, top, text, **options):
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, va="center", **options)


def add_axes(figure, box, limits):
    """The axes in a box of (left, bottom, width, height) inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))   # for less than two decades
    axes.grid(True, which="major")
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    return axes


def draw_members(axes, runs, curves):
    """The curves that belong into a panel, and its legend."""
    looks = [look(rank) for rank in range(len(runs))]
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
