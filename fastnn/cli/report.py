"""What the commands show: a progress bar and colours on a terminal, plain lines anywhere else."""
from contextlib import contextmanager

from .families import ENDING, by_family

__all__ = ["make_report", "ranked"]

COLUMNS = ("optimizer", "lr", "final loss", "rank", "test accuracy", "update", "of a step")


def make_report(stream):
    """The report that suits `stream`, a text file."""
    return TerminalReport(stream) if stream.isatty() else PlainReport(stream)


def ranked(runs):
    """The runs by their final loss; after them those that came to none, the longest-lived first."""
    def key(run):
        return run.final_loss is None, run.final_loss or 0.0, -run.iterations, run.name
    return sorted(runs, key=key)


class PlainReport:
    """Lines of text; for `fastnn compare` one for each optimizer that ends, then the table."""

    modules = ()        # what the report needs to have installed

    def __init__(self, stream):
        self.stream = stream

    def say(self, text, style=None):
        print(text, file=self.stream, flush=True)

    @contextmanager
    def steps(self, count):
        """Gives ``show(done, what)``: so many of `count` are done, `what` is next. Here the lines tell enough."""
        yield lambda done, what: None

    @contextmanager
    def progress(self, count, iterations):
        """Gives ``show(name, iterations done, run=None)``, to be called as things happen."""
        ended = 0

        def show(name, done, run=None):
            nonlocal ended
            if run:
                ended += 1
                result = run.outcome if run.final_loss is None else f"final loss {run.final_loss:.3g}"
                self.say(f"{ended}/{count} {name}: {result}")
        yield show

    def table(self, runs):
        """One line a run, family by family, in each the best first."""
        ranks = {run.name: rank for rank, run in enumerate(ranked(runs), start=1)}
        families = by_family(ranked(runs), lambda run: run.family)
        header, *lines = layout([COLUMNS, *(cells(run, ranks[run.name]) for run in sum(families.values(), []))])
        self.say(header, "bold")
        lines = iter(lines)
        for family, members in families.items():
            self.say(f"{family}{ENDING}", "bold")
            for run, line in zip(members, lines):
                self.say(line, "red" if run.final_loss is None else "green" if ranks[run.name] == 1 else None)


class TerminalReport(PlainReport):
    """A progress bar that names what is running, then the table in colours."""

    modules = ("rich",)

    def __init__(self, stream):
        super().__init__(stream)
        self._console = None

    @property
    def console(self):
        if self._console is None:
            from rich.console import Console
            self._console = Console(file=self.stream, highlight=False)
        return self._console

    def say(self, text, style=None):
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    def _bar(self, **options):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
        return Progress(*columns, console=self.console, transient=True, **options)

    @contextmanager
    def steps(self, count):
        with self._bar(auto_refresh=False) as bar:      # nothing may draw while a clock runs
            task = bar.add_task("", total=count)
            yield lambda done, what: bar.update(task, completed=done, description=what, refresh=True)

    @contextmanager
    def progress(self, count, iterations):
        done = {}
        with self._bar() as bar:
            task = bar.add_task("", total=count)

            def show(name, iteration, run=None):
                done[name] = 1.0 if run else iteration / iterations
                running = ", ".join(other for other, part in done.items() if part < 1.0)
                bar.update(task, completed=sum(done.values()), description=running)
            yield show


def cells(run, rank):
    """A table row: text for each of `COLUMNS`, or fewer for a run that came to no final loss and says why."""
    if run.final_loss is None:
        return f"  {run.name}", f"{run.lr:g}", run.outcome
    return (f"  {run.name}", f"{run.lr:g}", f"{run.final_loss:.3g}", str(rank), f"{100 * run.test_accuracy:.1f} %",
            f"{run.update_us:.0f} us", f"{100 * run.share:.0f} %")


def layout(rows):
    """Aligned lines: the first column to the left, the others to the right. A short row may end anywhere."""
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if len(row) == len(COLUMNS)))]
    widths[:2] = [max(len(row[i]) for row in rows) for i in range(2)]
    return ["  ".join(text.ljust(width) if i == 0 else text.rjust(width)
                      for i, (text, width) in enumerate(zip(row, widths))) for row in rows]
