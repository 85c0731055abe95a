"""The legend of compare.png: names and results, each line as near to the end of its curve as the others allow."""
import numpy as np
from matplotlib.transforms import blended_transform_factory

from .style import FAINT

__all__ = ["LINE", "WIDTH", "legend"]

LINE, WIDTH = 0.215, 3.74       # inches: between two lines, and of all


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

    where = blended_transform_factory(axes.figure.dpi_scale_trans, axes.transAxes)     # inches to the right
    right = axes.get_position().x1 * axes.figure.get_figwidth()
    text = {"transform": where, "va": "center"}
    for i, place in zip(order, places):
        run, style = runs[i], looks[i]
        if run.status != "diverged":
            axes.plot([right, right + 0.28], [levels[i], place], transform=where, color=style["color"],
                      linewidth=0.8, clip_on=False)
        axes.plot([right + 0.33, right + 0.55, right + 0.77], [place] * 3, transform=where, markevery=[1],
                  clip_on=False, **style)
        axes.text(right + 0.88, place, run.name, **text)
        if run.final_loss is None:
            axes.text(right + 3.57, place, run.outcome, color=FAINT, ha="right", **text)
        else:
            axes.text(right + 2.8, place, f"{run.final_loss:.2g}", color=FAINT, ha="right", **text)
            axes.text(right + 3.57, place, f"{100 * run.test_accuracy:.1f} %", color=FAINT, ha="right", **text)
    above = max(1.0, places[-1]) + 1.3 * gap
    for end, heading in ((2.8, "final\nloss"), (3.57, "test\naccuracy")):
        axes.text(right + end, above, heading, color=FAINT, ha="right", fontsize=7.5, linespacing=1.05, **text)


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
