"""The short profile of the asv suite: each kind of benchmark, on what its subject is mostly used for.

    python asv_bench/short.py check                     the fastnn that is installed, each case once, unsaved
    python asv_bench/short.py compare BASE [HEAD]       two commits in turn; fails if HEAD is slower or takes more memory
    python asv_bench/short.py run [RANGE]               commits for the history; all first parents of HEAD by default

Exit status: 0 all is well, 1 HEAD is worse, 2 a benchmark has failed or the input cannot work.
"""
import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Regular expressions for asv's --bench, which looks for them in "file.Class.body(parameter, ...)".
COSTS = [
    r"^activations\.Activations\.time_(forward|backward_with_grad)"
    r"\('(ReLU|sigmoid|GELU|Mish|softmax)', 'float32', (1000|10000000), 'contiguous'\)",
    r"^activations\.Activations\.time_(backward|d2y)\('Mish', 'float32', 1000, 'contiguous'\)",
    r"^activations\.Activations\.time_forward\('Mish', 'float(32|64)', 100000, ",
    r"^activations\.(GatedUnits|ActivationsWithParameters|LearnableForms|Concatenated)\..*"
    r"\('(SwiGLU|PReLU|Swish|CReLU)', 'float32', 1000, 'contiguous'\)",
    r"^activations\.ActivationsWithWeights\..*\('maxout', 'float32', 1000, 'contiguous'\)",
    r"^losses\..*\('(Square|softmax-cross-entropy)', 'float32', 1000, 'contiguous'\)",
    r"^optimizers\..*time_step\('(SGD|Momentum|AdaGrad|Adam)', 'float32', '(100x10|MLP|1x1e7)'\)",
    r"^optimizers\..*time_update_.*\('Adam', 'float32', 'MLP'\)",
    r"^options\..*time_step\('(weight_decay|clip_global_norm|two groups|schedule)', 'Adam', '(100x10|MLP)'\)",
    r"^wrappers\..*time_step\('(Lookahead|SAM)', 'Adam', 'MLP'\)",
    r"^small_state\..*\('Adam', '(bfloat16|int8)', 'float32', 16384\)",
    r"^small_state\..*\('Adam', 'float32', 'float16', 16384\)",
    r"^sparse\..*time_step\('(6|6000) of 100', '(SGD|Adam)', 'float32'\)",
    r"^training\..*time_step\('float32', ",
    r"^training\..*time_step_.*\('float32', 128\)",
    r"^formulas\..*\('(snake|SwiGLU|Swish|Huber|Adam) as written(, learned)?', 'float32', 1000\)",
    r"^imports\.",
    r"^memory\.Forward\..*\('Mish', 'float32', ",
    r"^memory\.Step\..*\('Adam', ",
    r"^memory\.peakmem_training_step",
]
FIGURES = [         # single figures, without statistics; of throughput more is better, which asv would call worse
    r"^peers\.Activations\..*\('(numpy|torch)', 'Mish', 'float32', 100000, ",
    r"^peers\.Losses\..*\('torch', 'Huber', 'float32', 1000\)",
    r"^peers\.Optimizers\..*\('(numpy|torch)', 'Adam', 'float32', 'MLP'\)",
    r"^options\..*track_ratio\('(none|clip_global_norm)', 'Adam', 'MLP'\)",
    r"^wrappers\..*track_ratio\('ExponentialAverage', 'Adam', 'MLP'\)",
    r"^sparse\..*track_ratio\('6000 of 100(, repeated)?', '(SGD|Adam)', 'float32'\)",
    r"^throughput\.Activations\..*\('(ReLU|Mish)', 'float32', 'forward'\)",
    r"^throughput\.Losses\..*\('Huber', 'float32'",
    r"^throughput\.Optimizers\..*\('Adam', 'float32'\)",
]


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line on stderr, exit status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="check | compare | run")
    commands.add_parser("check", help="run each case once against the fastnn that is installed, and save nothing")
    compare = commands.add_parser("compare", help="measure two commits in turn; status 1 if the second is worse")
    compare.add_argument("base", type=commit)
    compare.add_argument("head", type=commit, nargs="?", default="HEAD")
    compare.add_argument("--factor", type=factor, default=1.1,
                         help="how many times as much is worse (default: %(default)s; see docs/benchmarks.md)")
    history = commands.add_parser("run", help="measure commits, and keep the results for asv publish")
    history.add_argument("range", nargs="?", default="ALL",
                         help="as asv run takes it, such as v1.0..HEAD (default: ALL, the first parents of HEAD)")
    compare.add_argument("--rounds", type=rounds, default=2,
                         help="processes for each case and commit, in turn (default: %(default)s)")
    for command in (compare, history):
        command.add_argument("--cpu-affinity", metavar="CORES", help="pin benchmarks to cores, such as 0,1")
    options = parser.parse_args()
    if importlib.util.find_spec("asv") is None:
        parser.error("asv not found: pip install '.[bench]'")

    if not Path.home().joinpath(".asv-machine.json").exists() and asv("machine", "--yes")[0]:
        return 2
    pinned = ["--cpu-affinity", options.cpu_affinity] if getattr(options, "cpu_affinity", None) else []
    if options.command == "check":
        status, told = asv("run", "--environment", "existing:same", "--quick", "--dry-run",
                           *selecting(COSTS + FIGURES))
    elif options.command == "run":
        status, told = asv("run", "--skip-existing-commits", *pinned, *selecting(COSTS + FIGURES), options.range)
    else:
        status, told = asv("continuous", "--factor", str(options.factor), "--attribute", f"rounds={options.rounds}",
                           *pinned, *selecting(COSTS), options.base, options.head)
        if status == 1 and "PERFORMANCE DECREASED" in told:     # it is 1 where nothing could be measured, too
            return 1
    if not status:
        return 0
    print(told, flush=True)
    return 2


def commit(name):
    """The hash of a commit, or an error of argparse."""
    process = subprocess.run(["git", "-C", HERE, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)      # it may be no checkout
    if process.returncode:
        raise argparse.ArgumentTypeError(f"no commit {name!r} here")
    return process.stdout.strip()


def factor(text):
    """A number above 1, or an error of argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 1")
    return value


def rounds(text):
    """An integer of at least 1, or an error of argparse."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer above 0")
    return int(text)


def selecting(expressions):
    return [word for expression in expressions for word in ("--bench", expression)]


def asv(*arguments):
    """Run asv in its folder and show what it says but for its tables, most of whose cells are not in the short profile.

    Returns (exit status, everything it said).
    """
    told = []
    with subprocess.Popen([sys.executable, "-m", "asv", *arguments], cwd=HERE, text=True, encoding="utf-8",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            told.append(line)
            if line.strip() and not line.startswith(" ") and "===" not in line:
                print(line, end="", flush=True)
    return process.returncode, "".join(told)


if __name__ == "__main__":
    sys.exit(main())
