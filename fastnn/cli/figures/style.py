"""The style that all pictures share."""
import matplotlib
from matplotlib.figure import Figure

__all__ = ["INK", "FAINT", "GRID", "PALETTE", "new_figure", "save", "styled"]

INK, FAINT, GRID = "#1c2230", "#6b7280", "#e5e7eb"
# Neighbours differ in hue and in lightness; line styles and marks tell apart what colour alone may not.
PALETTE = ("#1f6fb4", "#d1495b", "#2a9d5c", "#e08e0b", "#7b4fb5",
           "#00a3b4", "#8c5a3c", "#d957a8", "#5f6b7a", "#9aa60f")

LOOK = {
    "font.family": "DejaVu Sans",       # comes with matplotlib: the same picture everywhere
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


def new_figure(width, height, **kwds):
    """A figure of `width` by `height` inches, apart from pyplot's state and any display."""
    return Figure(figsize=(width, height), facecolor="white", **kwds)


def styled(draw):
    """Decorate a function that draws: the style applies while it runs; the caller's settings stay."""
    def wrapper(*args, **kwds):
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(LOOK)
            return draw(*args, **kwds)
    wrapper.__doc__ = draw.__doc__
    return wrapper


def save(figure, file):
    """Write `figure` as PNG."""
    figure.savefig(file, format="png", dpi=160)
