"""The picture of a learning-rate range test."""
from .style import FAINT, GRID, INK, PALETTE, new_figure, save, styled

__all__ = ["draw_rates"]


@styled
def draw_rates(file, rates, losses, smoothed, suggestion):
    """Write the losses by learning rate, and their moving average, as PNG to `file`; a mark at the rate suggested."""
    figure = new_figure(6.4, 3.8, layout="constrained")
    axes = figure.subplots()
    axes.grid(color=GRID)
    axes.plot(rates, losses, color=FAINT, linewidth=0.7, label="loss of each batch")
    axes.plot(rates, smoothed, color=PALETTE[0], label="moving average")
    if suggestion is not None:
        axes.axvline(suggestion, color=PALETTE[1], linestyle="--", linewidth=1, label=f"steepest at {suggestion:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss", color=INK)
    axes.set_title("Learning-rate range test", loc="left", weight="bold")
    axes.legend(frameon=False, fontsize=8)
    save(figure, file)
