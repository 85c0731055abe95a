"""Completion in the shell, by argcomplete: `eval "$(register-python-argcomplete fastnn)"` in bash or zsh."""
import fastnn

from .errors import UserError
from .families import ENDING, by_family

__all__ = ["complete"]


def optimizers(**_):
    families = [family + ENDING for family in by_family(fastnn.optimizers())]
    return [*fastnn.optimizers(), *families, "all"]


def subjects(**_):
    return ["activations", "optimizers", "training"]


def catalogues(**_):
    return ["activations", "optimizers", "losses"]


def sources(**_):
    from fastnn.dialects import SOURCES
    return list(SOURCES)


def drawn(parsed_args, **_):
    if parsed_args.schedules:
        return list(fastnn.schedules.catalogue)
    return optimizers() if parsed_args.trajectories else fastnn.activations()


def timed(**_):
    return [*fastnn.activations(), *optimizers()]


# (command, argument) -> what it may be; files and numbers are left to the shell
VALUES = {("compare", "optimizers"): optimizers, ("compare", "activation"): lambda **_: fastnn.activations(),
          ("bench", "subjects"): subjects, ("bench", "names"): timed, ("plot", "names"): drawn,
          ("list", "catalogues"): catalogues, ("list", "like"): sources}


def complete(parser):
    """Answer the shell, which has called the program with _ARGCOMPLETE in its environment, and end; else return."""
    try:
        import argcomplete
    except ImportError:
        raise UserError('argcomplete is not installed; it comes with: pip install "fastnn[completion]"') from None
    for command, sub in parser.commands.items():
        for action in sub._actions:
            if (command, action.dest) in VALUES:
                action.completer = VALUES[command, action.dest]
    argcomplete.autocomplete(parser, validator=lambda word, prefix: word.lower().startswith(prefix.lower()))
