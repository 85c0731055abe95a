"""The command line: ``fastnn compare | plot | list | info``.

Nothing but the parser is imported before a command has been chosen: matplotlib and rich only where they draw.
"""
import io
import os
import sys

from fastnn import __version__

from .arguments import Parser, integer, names, number, one_of, rate, sizes
from .errors import UserError, describe

__all__ = ["main"]


def main(argv=None):
    """Run the command line `argv` (without the program's name) and return its exit status.

    0: done. 2: the input cannot work, said in one line on stderr. 130: ended by Ctrl-C.
    """
    options = build_parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")   # a folder's name may hold what stdout cannot
    try:
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
    commands = parser.add_subparsers(dest="command", required=True, metavar="compare | plot | list | info")
    add_compare(commands)
    add_plot(commands)
    listing = commands.add_parser("list", help="names and hyperparameters of everything there is")
    listing.add_argument("catalogues", nargs="*", metavar="CATALOGUE",
                         type=one_of("activations", "optimizers", "losses"),
                         help="activations, optimizers or losses (default: all three)")
    commands.add_parser("info", help="version, instruction set, threads")
    return parser


def add_compare(commands):
    parser = commands.add_parser(
        "compare", help="train one network with every optimizer and compare them",
        description="Train one network once per optimizer, from the same weights and on the same batches. "
                    "Shows a table and writes compare.png and compare.json. Ctrl-C keeps what is finished.")
    add = parser.add_argument
    add("--optimizers", type=names, nargs="+", action="extend", default=[], metavar="NAME",
        help="which ones, apart by commas or spaces (default: all)")
    add("--lr", type=rate, action="append", default=[], metavar="NAME=VALUE",
        help="the learning rate of one optimizer; may be repeated (default: its own)")
    add("--data", metavar="FOLDER",
        help="a folder with MNIST's four IDX files (default: 1,797 digits of 8 x 8 pixels)")
    add("--iterations", type=integer(1), default=1500, metavar="N",
        help="updates per optimizer (default: %(default)s)")
    add("--batch-size", type=integer(1), default=128, metavar="N",
        help="images a batch, drawn with replacement (default: %(default)s)")
    add("--hidden", type=sizes, default=[100] * 4, metavar="N,N,...",
        help="sizes of the hidden layers (default: 100,100,100,100)")
    add("--activation", default="ReLU", metavar="NAME", help="of the hidden layers (default: %(default)s)")
    add("--seed", type=integer(0), default=0, metavar="N",
        help="of weights and batches (default: %(default)s)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="(default: %(default)s)")
    add("--weight-decay", type=number(0), default=0.0, metavar="LAMBDA",
        help="L2 penalty (default: none)")
    add("--dropout", type=number(0, 1), default=0.0, metavar="RATIO",
        help="share switched off (default: none)")
    add("--batchnorm", action="store_true", help="normalize each hidden layer over the batch")
    add("--jobs", type=integer(1), metavar="N",
        help="processes that train side by side; all but the times is the same for any number "
             "(default: one a core, 8 at most)")
    add("--out", default=".", metavar="DIR", help="where to write, made if missing (default: here)")


def add_plot(commands):
    parser = commands.add_parser(
        "plot", help="draw the activations, or the optimizers' paths",
        description="Draw activations with their first and second derivatives (activations.png) or, with "
                    "--trajectories, the optimizers' paths on x^2/20 + y^2 (trajectories.png).")
    add = parser.add_argument
    add("names", nargs="*", type=names, default=[], metavar="NAME", help="which ones (default: all)")
    add("--trajectories", action="store_true", help="draw optimizers instead of activations")
    add("--out", default=".", metavar="DIR", help="where to write, made if missing (default: here)")


def run_compare(options):
    from .compare import run
    options.optimizers = sum(options.optimizers, [])
    return run(options)


def run_plot(options):
    from .plot import run
    options.names = sum(options.names, [])
    return run(options)


def run_list(options):
    from .catalog import show_list
    return show_list(options)


def run_info(options):
    from .catalog import show_info
    return show_info(options)


COMMANDS = {"compare": run_compare, "plot": run_plot, "list": run_list, "info": run_info}
