# PYTHON_ARGCOMPLETE_OK
"""The command line: ``fastnn compare | bench | plot | list | catalog | info``.

Nothing but the parser is imported before a command has been chosen: matplotlib and rich only where they draw.
"""
import io
import os
import sys

from fastnn import __version__
from fastnn.dialects import SOURCES

from .arguments import (
    Parser, Several, counts, file_name, folder_name, integer, names, number, one_of, picture_or_folder, rate, sizes,
    some_of)
from .errors import UserError, describe

__all__ = ["main"]


def main(argv=None):
    """Run the command line `argv` (without the program's name) and return its exit status.

    0: done; without a command that is to show the help. 2: the input cannot work, said in one line on stderr. 130:
    ended by Ctrl-C.
    """
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:            # the shell asks what may come next
        from .completion import complete
        complete(parser)
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")   # a folder's name may hold what stdout cannot
    try:
        if getattr(options, "imports", None):
            from .imports import run_imports
            run_imports(options.imports)
        status = COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(f"fastnn {options.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:     # the reader, such as `head`, has seen enough
        discard_stdout()
        return 1
    except (UserError, OSError, MemoryError) as error:
        print(f"fastnn {options.command}: {describe(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            discard_stdout()
        return 2


def discard_stdout():
    """Keep Python from failing once more when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser():
    parser = Parser(prog="fastnn", description="Compiled activations, optimizers and losses for NumPy.")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="compare | bench | plot | list | catalog | info")
    add_compare(commands)
    add_bench(commands)
    add_plot(commands)
    listing = commands.add_parser("list", help="names and hyperparameters of the catalogue")
    listing.add_argument("catalogues", nargs="*", metavar="CATALOGUE",
                         type=one_of("activations", "optimizers", "losses"),
                         help="activations, optimizers or losses (default: all three)")
    listing.add_argument("--like", type=one_of(*SOURCES), metavar="SOURCE",
                         help=f"those of {', '.join(map(repr, SOURCES))}, with that source's defaults")
    add_import(listing)
    add_catalog(commands)
    commands.add_parser("info", help="version, instruction set, threads")
    parser.commands = commands.choices
    return parser


def add_import(parser):
    parser.add_argument("--import", dest="imports", action="append", default=[], metavar="FILE.py|MODULE",
                        help="a file or module that registers your own entries; may be repeated")


def add_compare(commands):
    parser = commands.add_parser(
        "compare", help="train one network with many optimizers and compare them",
        description="Train one network once per optimizer, from the same weights and on the same batches. "
                    "Shows a table and writes compare.png and compare.json. Ctrl-C keeps finished results.")
    add = parser.add_argument
    add("--optimizers", action=Several, parse=names, default=[], metavar="NAME",
        help="separated by commas or spaces: names, families such as adam-family (fastnn list optimizers "
             "shows them), or all (default: the best known of each family)")
    add("--lr", type=rate, action="append", default=[], metavar="NAME=VALUE",
        help="the learning rate of one optimizer; may be repeated (default: its own, or the one its row is compared "
             "with)")
    add("--data", metavar="FOLDER",
        help="a folder with MNIST's four IDX files (default: 1,797 digits of 8 x 8 pixels)")
    add("--iterations", type=integer(1), default=1500, metavar="N",
        help="updates per optimizer (default: %(default)s)")
    add("--batch-size", type=integer(1), default=128, metavar="N",
        help="images a batch, drawn with replacement (default: %(default)s)")
    add("--hidden", action=Several, parse=sizes, default=[100] * 4, metavar="N",
        help="sizes of the hidden layers, separated by commas or spaces (default: 100,100,100,100)")
    add("--activation", default="ReLU", metavar="NAME", help="of the hidden layers (default: %(default)s)")
    add("--seed", type=integer(0), default=0, metavar="N",
        help="of weights and batches (default: %(default)s)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="(default: %(default)s)")
    add("--weight-decay", type=number(0), default=0.0, metavar="LAMBDA",
        help="L2 penalty (default: none)")
    add("--dropout", type=number(0, 1), default=0.0, metavar="RATIO",
        help="fraction of hidden outputs set to 0 (default: none)")
    add("--batchnorm", action="store_true", help="normalize each hidden layer over the batch")
    add("--jobs", type=integer(1), metavar="N",
        help="parallel processes; only times depend on their number "
             "(default: one for each core, at most 8)")
    add_import(parser)
    add("--out", type=folder_name, default=".", metavar="DIR", help="where to write, made if missing (default: here)")


def add_bench(commands):
    parser = commands.add_parser(
        "bench", help="measure the speed side by side with NumPy, PyTorch, JAX, scikit-learn",
        description="Time fastnn and the peers that are installed in one process, in turn, and report how many times "
                    "as long as fastnn the best peer takes. Shows tables and writes a bar chart. Without "
                    "arguments a short selection of about a minute; a subject takes everything in its catalogue.")
    add = parser.add_argument
    subjects = "activations", "optimizers", "losses", "training"
    add("subjects", nargs="*", metavar="SUBJECT", type=one_of(*subjects), help="activations, optimizers, losses or training")
    several = dict(action=Several, apart=subjects)
    add("--names", **several, parse=names, default=[], metavar="NAME",
        help="which activations, optimizers, families of optimizers (adam-family) and losses, separated by commas or spaces "
             "(default: all of the subject)")
    peers = "numpy", "torch", "jax", "sklearn"
    add("--peers", **several, parse=some_of(*peers), metavar="NAME",
        help="of numpy, torch, jax (with optax) and sklearn (training only) (default: those installed)")
    add("--sizes", **several, parse=counts, default=[10**3, 10**5, 10**7], metavar="N",
        help="elements of activations and losses, separated by commas or spaces (default: 1e3,1e5,1e7)")
    models = "784-100x4-10", "100x10", "100x1000", "1x1e7"
    add("--models", **several, parse=some_of(*models), default=list(models), metavar="NAME",
        help="for optimizers; of 784-100x4-10, and tensors times elements: 100x10, 100x1000, 1x1e7 (default: all)")
    add("--dtype", **several, parse=some_of("float32", "float64"), default=["float32"], metavar="NAME",
        help="float32, float64 or both (default: float32)")
    add("--rounds", type=integer(1), default=5, metavar="N",
        help="turns of each side; the fastest one counts (default: %(default)s)")
    add("--pause", type=number(0, 10_000), default=30, metavar="MS",
        help="milliseconds before each turn, in which the other side's idle threads stop spinning "
             "(default: %(default)s)")
    add_import(parser)
    add("--json", type=file_name(".json"), metavar="FILE", help="write every figure there, too")
    add("--out", type=file_name(".png"), default="bench.png", metavar="FILE",
        help="the bar chart (default: %(default)s)")


def add_plot(commands):
    parser = commands.add_parser(
        "plot", help="draw activations and losses, the optimizers' paths, or the schedules",
        description="Draw activations and losses with their derivatives (activations.png), with "
                    "--trajectories the optimizers' paths on x^2/20 + y^2 (trajectories.png), or with --schedules "
                    "the schedules of hyperparameters (schedules.png).")
    add = parser.add_argument
    add("names", nargs="*", type=names, default=[], metavar="NAME",
        help="activations, losses, optimizers or families such as adam-family (default: all activations)")
    instead = parser.add_mutually_exclusive_group().add_argument
    instead("--trajectories", action="store_true", help="draw optimizers instead of activations")
    instead("--schedules", action="store_true", help="draw schedules instead of activations")
    add_import(parser)
    add("--out", type=picture_or_folder, default=".", metavar="DIR|FILE.png",
        help="where to write: a folder, made if missing, or the picture's own name (default: here)")


def add_catalog(commands):
    parser = commands.add_parser(
        "catalog", help="write a page with formula and picture for every entry of the catalogue",
        description="Write a page of Markdown and an SVG picture for every activation, optimizer, loss and schedule: formula, "
                    "derivatives, bounds, hyperparameters, and its name in other libraries.")
    add = parser.add_argument
    add("--bench", action="append", default=[], metavar="FILE",
        help="figures that `fastnn bench --json FILE` has written, for the speed beside PyTorch; may be repeated")
    add_import(parser)
    add("--out", type=folder_name, default="catalogue", metavar="DIR",
        help="where to write, made if missing (default: %(default)s)")


def run_compare(options):
    from .compare import run
    return run(options)


def run_bench(options):
    from .bench import run
    options.subjects = [*options.subjects, *getattr(options, "apart", [])]
    for name in ("peers", "sizes", "models", "dtype"):
        if value := getattr(options, name):
            setattr(options, name, list(dict.fromkeys(value)))
    return run(options)


def run_plot(options):
    from .plot import run
    options.names = sum(options.names, [])
    return run(options)


def run_list(options):
    from .catalog import show_list
    return show_list(options)


def run_catalog(options):
    from .pages import run
    return run(options)


def run_info(options):
    from .catalog import show_info
    return show_info(options)


COMMANDS = {"compare": run_compare, "bench": run_bench, "plot": run_plot, "list": run_list,
            "catalog": run_catalog, "info": run_info}
