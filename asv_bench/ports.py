"""The optimizers of the programs in examples/ports: each program's own NumPy lines against fastnn's, in turn.

    python asv_bench/ports.py [NAME ...] [--rounds R] [--threads N]

Both files of a program run as they are, in one process, alternating; a clock is put around the statements that are
their optimizer, and nothing else is timed. For each of these the least time of all rounds counts, and a run's are
summed: the first step is among them, making the optimizer is not. A ratio says how many times as long as the NumPy
lines fastnn takes. Lines are those that were added or changed (`Twins.changed`); differences are the largest among
losses and final parameters, divided by the largest of their array.
"""
import argparse
import ast
import difflib
import gc
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import numpy as np

FOLDER = Path(__file__).parents[1] / "examples" / "ports"
VARIANTS = {"skip_gram": [{"batch": 1}, {"batch": 16}]}         # besides the program as it is
DEFINITIONS = ast.FunctionDef, ast.ClassDef


class Twins:
    """The two files of a program: NAME_numpy.py with an optimizer of its own, NAME.py with fastnn's.

    Attributes
    ----------
    changed : list of str
        The lines of NAME.py that were added or changed: all that difflib finds in it and not in NAME_numpy.py, but for
        blank ones.
    removed : list of str
        Lines of NAME_numpy.py that are in neither file's stead: see `is_optimizer`.
    """

    def __init__(self, name):
        self.name = name
        self.paths = FOLDER / f"{name}_numpy.py", FOLDER / f"{name}.py"
        self.sources = [path.read_text(encoding="utf-8") for path in self.paths]
        self.trees = [ast.parse(source) for source in self.sources]
        lines = [[(number, line) for number, line in enumerate(source.splitlines(), 1) if line.strip()]
                 for source in self.sources]
        matcher = difflib.SequenceMatcher(None, *([line for _, line in side] for side in lines), autojunk=False)
        self.hunks = [(lines[0][i:j], lines[1][k:m]) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]
        self.changed = [line for _, new in self.hunks for _, line in new]
        self.gone = self._gone()
        self.removed = [line for old, new in self.hunks if not new for number, line in old
                        if not self.is_optimizer(number)]

    def _gone(self):
        """The names of functions and classes that only NAME_numpy.py has -> their lines."""
        mine, others = ({node.name: range(node.lineno, node.end_lineno + 1) for node in tree.body
                         if isinstance(node, DEFINITIONS)} for tree in self.trees)
        return {name: lines for name, lines in mine.items() if name not in others}

    def is_optimizer(self, number):
        """Whether a line of NAME_numpy.py may go without another in its stead: one of a function or class that is gone,
        or a call of it."""
        if any(number in lines for lines in self.gone.values()):
            return True
        return any(isinstance(node, ast.Expr) and node.lineno == number and isinstance(node.value, ast.Call)
                   and isinstance(node.value.func, ast.Name) and node.value.func.id in self.gone
                   for node in ast.walk(self.trees[0]))

    def programs(self):
        """Both, as modules whose `train` has the optimizer's statements timed: `took` of a module has the seconds."""
        found = []
        for side, (path, source) in enumerate(zip(self.paths, self.sources)):
            numbers = {number for hunk in self.hunks for number, _ in hunk[side]}
            tree = Timed(numbers).visit(ast.parse(source))
            space = {"__name__": path.stem, "__file__": str(path), "_clock": perf_counter, "_took": []}
            exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), space)
            found.append(SimpleNamespace(train=space["train"], took=space["_took"]))
        return found


class Timed(ast.NodeTransformer):
    """Puts a clock around the statements of an optimizer: in loops and methods, those on changed lines, and those that
    call an optimizer or set an attribute of it. Functions and classes that only one file has are called by these."""

    before, = ast.parse("_start = _clock()").body
    behind, = ast.parse("_took.append(_clock() - _start)").body

    def __init__(self, numbers):
        self.numbers, self.within = numbers, []

    def visit(self, node):
        if not isinstance(node, ast.stmt):
            return self.generic_visit(node)
        if self.within and self.within[-1] and self.is_optimizer(node):
            return [self.before, node, self.behind]
        if isinstance(node, DEFINITIONS) and node.lineno in self.numbers:
            return node
        self.within.append(self._repeated(node))
        self.generic_visit(node)
        self.within.pop()
        return node

    def _repeated(self, node):
        """Whether what is in that statement is what happens in each step."""
        if isinstance(node, ast.FunctionDef):
            return bool(self.within) and self.within[-1] is None and node.name != "__init__"
        if isinstance(node, ast.ClassDef):
            return None
        return isinstance(node, (ast.For, ast.While)) or bool(self.within) and bool(self.within[-1])

    def is_optimizer(self, node):
        if node.lineno in self.numbers:
            return True
        if isinstance(node, (ast.For, ast.While, ast.If, ast.With, *DEFINITIONS)):
            return False
        uses = [each.func if isinstance(each, ast.Call) else each for each in ast.walk(node)
                if isinstance(each, ast.Call) or isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)]
        owners = [use.value for use in uses if isinstance(use, ast.Attribute)]
        return any("opt" in getattr(owner, "id", getattr(owner, "attr", "")) for owner in owners)


def names():
    """Of all programs."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if (FOLDER / f"{path.stem}_numpy.py").exists())


def compare(twins, rounds, arguments):
    """(microseconds a step in NumPy, in fastnn, the largest relative difference of losses and parameters)."""
    programs = twins.programs()
    least, results = [None, None], [None, None]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for side, program in enumerate(programs):
                program.took.clear()
                results[side] = program.train(**arguments)
                took = np.array(program.took)
                least[side] = took if least[side] is None else np.minimum(least[side], took)
                gc.collect()
    finally:
        if collecting:
            gc.enable()
    steps = len(results[0][0])
    return *(1e6*seconds.sum()/steps for seconds in least), difference(*results)


def difference(first, second):
    """The largest between losses and final parameters of two runs, divided by the largest number of the array."""
    return max(np.max(np.abs(a - b))/np.max(np.abs(a))
               for a, b in zip(map(np.asarray, (first[0], *first[1])), map(np.asarray, (second[0], *second[1])),
                               strict=True))


if __name__ == "__main__":
    from rich.console import Console
    from rich.table import Table

    import fastnn

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(names())}; all if left out")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if unknown := set(options.names) - set(names()):
        parser.error(f"no program {', '.join(sorted(unknown))}")
    fastnn.set_num_threads(options.threads)
    print(f"fastnn {fastnn.__version__} ({fastnn.core.isa()}), {fastnn.get_num_threads()} threads")
    table = Table("program", "lines", "difference", "NumPy, us a step", "fastnn", "ratio")
    for name in options.names or names():
        twins = Twins(name)
        for arguments in [{}, *VARIANTS.get(name, [])]:
            numpy, own, error = compare(twins, options.rounds, arguments)
            label = " ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
            table.add_row(label, str(len(twins.changed)), f"{error:.1e}", f"{numpy:.1f}", f"{own:.1f}",
                          f"{own/numpy:.2f}")
    Console(width=120).print(table)
