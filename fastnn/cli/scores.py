"""The figures of ``fastnn bench``: times by side, and how many times as long as fastnn the best peer takes."""
import math
from dataclasses import dataclass, field

__all__ = ["OWN", "UNSTEADY", "Score", "geometric_mean", "duration", "header", "line", "summary"]

OWN = "fastnn"
UNSTEADY = 0.25             # a spread of rounds from which on a time is not to be relied upon
LABEL, CELL = 16, 14        # widths of the table's columns


@dataclass(frozen=True)
class Score:
    """One row.

    `seconds` has the time of each side that has a counterpart, fastnn's among them, `spread` how much longer its
    second best round took; `yardstick` is the name of a side that does only part of the work.
    """

    name: str
    seconds: dict
    yardstick: str | None = None
    spread: dict = field(default_factory=dict)

    @property
    def unsteady(self):
        """The sides whose rounds differ too much."""
        return [side for side, spread in self.spread.items() if spread > UNSTEADY]

    @property
    def ratios(self):
        """How many times as long as fastnn each other side takes."""
        return {side: value / self.seconds[OWN] for side, value in self.seconds.items() if side != OWN}

    @property
    def best_peer(self):
        """The fastest peer; None where there is none."""
        peers = [side for side in self.seconds if side not in (OWN, self.yardstick)]
        return min(peers, key=self.seconds.get, default=None)

    @property
    def ratio(self):
        """How many times as long the best peer takes: above 1 fastnn is faster. None where there is no peer."""
        return self.ratios[self.best_peer] if self.best_peer else None


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def duration(seconds):
    """Three digits and a unit."""
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= unit:
            break
    value = seconds / unit
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {name}"


def header(titles):
    """The line above a table; `titles` has a title for each side, by name."""
    cells = "".join(title.rjust(CELL) for title in titles.values())
    return f"{'':{LABEL}}{cells}{'ratio':>9}  best peer"


def line(score, titles):
    """One row of the table."""
    shown = f"{score.name:{LABEL}}"
    for side in titles:
        text = duration(score.seconds[side]) if side in score.seconds else "-"
        shown += f"{'*' if side in score.unsteady else ''}{text}".rjust(CELL)
    if score.ratio is None:
        return shown
    return f"{shown}{score.ratio:9.2f}  {titles[score.best_peer]}"


def summary(scores):
    """The geometric mean and what is below 1, or the least; None without ratios."""
    ranked = sorted((score for score in scores if score.ratio is not None), key=lambda score: score.ratio)
    if not ranked:
        return None
    mean = geometric_mean([score.ratio for score in ranked])
    lost = [f"{score.name} {score.ratio:.2f}" for score in ranked if score.ratio < 1]
    told = f"slower than the best peer: {', '.join(lost)}" if lost else \
        f"least {ranked[0].ratio:.2f} ({ranked[0].name})"
    return f"geometric mean of {len(ranked)}: {mean:.2f}; {told}"
