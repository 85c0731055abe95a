"""What the commands say when the user's input cannot work."""
import importlib.util
from contextlib import contextmanager

__all__ = ["UserError", "as_user_error", "require"]


class UserError(Exception):
    """An error whose message is all that the user needs: one line on stderr and exit status 2."""


@contextmanager
def as_user_error():
    """Turn the exceptions with which fastnn refuses an argument or a file into a `UserError`.

    Wrap only calls whose arguments come from the user: elsewhere a ValueError is a bug and must stay one.
    """
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise UserError(describe(error)) from error


def describe(error):
    """The message of `error` in one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        text = f"{error.strerror}{where}"
    elif isinstance(error, MemoryError):
        text = str(error) or "not enough memory"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


def require(*modules):
    """Say how to install the extra when one of its `modules` is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UserError(f'{module} is not installed; it comes with: pip install "fastnn[cli]"')
