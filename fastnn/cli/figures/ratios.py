"""bench.png: how many times as long as fastnn its peers take, a panel a table."""

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from .style import FAINT, GRID, INK, PALETTE, new_figure, save, styled

__all__ = ["draw_ratios"]

COLUMNS, PANEL = 4, 2.6     # panels side by side, each so many inches wide
BAR = 0.21                  # inches from bar to bar
LEFT, HEAD, FOOT, TOP = 1.3, 0.55, 0.3, 0.85
FASTER, SLOWER = "#9cc9ad", "#e9a3ab"
SIDES = dict(zip(("numpy", "torch", "jax", "sklearn"), zip(PALETTE, "osD^")))
FEW, MANY = (0.1, 1, 10, 100, 1000), (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@styled
def draw_ratios(file, results, titles, note):
    """Write the chart as PNG to `file`.

    A bar ends at the ratio of the best peer; marks show each peer's.

    Parameters
    ----------
    results : sequence of (Section, scores)
    titles : dict
        What each side is called.
    note : str
        The line below the title.
    """
    lines = [group[i:i + COLUMNS] for group in grouped(results) for i in range(0, len(group), COLUMNS)]
    heights = [HEAD + FOOT + BAR * max(len(scores) for _, scores in panels) for panels in lines]
    width, height = LEFT + max(3, *map(len, lines)) * PANEL + 0.15, TOP + sum(heights)
    figure = new_figure(width, height)
    limits = span([ratio for _, scores in results for score in scores for ratio in score.ratios.values()])
    top = height - TOP
    for panels, tall in zip(lines, heights):
        first = panels[0][0]
        figure.text(LEFT / width, (top - 0.2) / height, f"{first.subject}: {first.group}", fontsize=9.5, weight="bold",
                    va="center")
        for column, (section, scores) in enumerate(panels):
            deep = BAR * len(scores)
            axes = figure.add_axes(((LEFT + column * PANEL) / width, (top - HEAD - deep) / height,
                                    (PANEL - 0.35) / width, deep / height))
            panel(axes, section, scores, limits, named=column == 0)
        top -= tall
    figure.text(0.2 / width, 1 - 0.3 / height, "Times as long as fastnn", fontsize=14, weight="bold", va="center")
    figure.text(0.2 / width, 1 - 0.56 / height, note, fontsize=8, color=FAINT, va="center")
    figure.text(0.2 / width, 1 - 0.74 / height, "Bar: the best peer, green where fastnn is faster. Marks: each peer "
                "(hollow: only part of the work). Logarithmic.", fontsize=8, color=FAINT, va="center")
    used = [side for side in SIDES if any(side in score.ratios for _, scores in results for score in scores)]
    handles = [Line2D([], [], color=SIDES[side][0], marker=SIDES[side][1], linestyle="", markersize=5)
               for side in used]
    figure.legend(handles, [titles[side] for side in used], loc="center right", ncols=len(used), frameon=False,
                  fontsize=9, bbox_to_anchor=(1 - 0.1 / width, 1 - 0.3 / height), handletextpad=0.1,
                  columnspacing=1.2)
    save(figure, file)


def grouped(results):
    """The tables in lists that belong side by side: all but the size or the model is the same."""
    groups = {}
    for section, scores in results:
        key = section.subject, section.facts["dtype"], section.facts.get("direction")
        groups.setdefault(key, []).append((section, scores))
    return groups.values()


def span(ratios):
    """Limits of the logarithmic axis that show everything, and 1."""
    return max(min(0.9, *ratios) / 1.25, 1e-3), max(1.1, *ratios) * 1.25


def panel(axes, section, scores, limits, named):
    axes.set_xscale("log")
    axes.set_xlim(limits)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    ticks = FEW if limits[1] / limits[0] > 200 else MANY
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if limits[0] <= tick <= limits[1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(length=0, labelsize=7)
    axes.grid(True, axis="x", color=GRID)
    axes.set_yticks(range(len(scores)), [score.name for score in scores] if named else [])
    axes.tick_params(axis="y", labelsize=8, labelcolor=INK, length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(1, color=INK, linewidth=1, zorder=3)
    for place, score in enumerate(scores):
        ratio = score.ratio
        if ratio is not None:
            low, high = sorted((1, ratio))
            axes.barh(place, high - low, left=low, height=0.7, color=FASTER if ratio >= 1 else SLOWER, zorder=2)
            axes.annotate(f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}", (1, place),
                          xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
                          fontsize=6.5, color=FAINT, va="center")
        for side, value in score.ratios.items():
            color, mark = SIDES[side]
            yardstick = side == score.yardstick
            axes.plot(value, place, mark, color="white" if yardstick else color, markeredgecolor=color,
                      markersize=4, markeredgewidth=0.8, zorder=4)
    axes.set_title(section.detail, loc="left", fontsize=8, color=FAINT, pad=3)
