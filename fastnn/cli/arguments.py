"""The parser and the types of its arguments; every refusal is one line and exit status 2."""
import argparse
import math
from pathlib import Path

__all__ = ["Parser", "Several", "integer", "number", "counts", "sizes", "names", "rate", "one_of", "some_of",
           "file_name", "folder_name", "picture_or_folder"]

# endings of file names that are refused where a folder is expected
FILES = (".png", ".svg", ".pdf", ".eps", ".jpg", ".jpeg", ".webp", ".gif", ".json", ".txt", ".csv")


class Parser(argparse.ArgumentParser):
    """argparse without the usage text in front of an error."""

    def __init__(self, *args, **kwds):
        super().__init__(*args, allow_abbrev=False, **kwds)

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


class Several(argparse.Action):
    """A list whose items stand apart by commas or spaces; given again, the option adds to it.

    Parameters
    ----------
    parse : function
        Of one word, to the items in it.
    apart : collection of str
        Words that are no items, but end up in the attribute `apart`: what a positional argument behind the list says.
    """

    def __init__(self, option_strings, dest, *, parse, apart=(), **kwds):
        super().__init__(option_strings, dest, nargs="+", **kwds)
        self.parse, self.apart = parse, apart
        self.key = f"{dest} so far"

    def __call__(self, parser, namespace, words, option_string=None):
        found = list(vars(namespace).get(self.key, []))
        for word in words:
            if word.lower() in self.apart:
                namespace.apart = [*getattr(namespace, "apart", []), word.lower()]
                continue
            try:
                found += self.parse(word)
            except argparse.ArgumentTypeError as error:
                raise argparse.ArgumentError(self, str(error)) from None
        if not found:
            raise argparse.ArgumentError(self, "expected at least one argument")
        vars(namespace).update({self.key: found, self.dest: found})


def integer(least):
    """An argument type: a whole number of at least `least`."""
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{_short(text)} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {_short(text)}")
        return value
    return parse


def number(least, below=math.inf):
    """An argument type: a number in [least, below)."""
    def parse(text):
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{_short(text)} is not a number") from None
        if not least <= value < below:
            raise argparse.ArgumentTypeError(f"must lie in [{least:g}, {below:g}), not {_short(text)}")
        return value
    return parse


def counts(text):
    """An argument type: whole numbers of at least 1 such as ``1e3,100000``, each once."""
    found = []
    for part in names(text):
        value = number(1)(part)
        if value != int(value):
            raise argparse.ArgumentTypeError(f"{_short(part)} is not a whole number")
        found.append(int(value))
    return list(dict.fromkeys(found))


def sizes(text):
    """An argument type: layer sizes such as ``100,100``."""
    parts = text.replace(",", " ").split()
    if not parts:
        raise argparse.ArgumentTypeError("needs at least one layer size, such as 100,100")
    return [integer(1)(part) for part in parts]


def names(text):
    """An argument type: names set apart by commas."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("needs at least one name")
    return found


def rate(text):
    """An argument type: ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise argparse.ArgumentTypeError(f"{_short(text)} is not of the form NAME=VALUE")
    return name.strip(), number(0)(value)


def one_of(*words):
    """An argument type: one of `words`. (argparse's own `choices` refuses an empty list of them.)"""
    def parse(text):
        if text.lower() not in words:
            raise argparse.ArgumentTypeError(f"{_short(text)} is none of {', '.join(words)}")
        return text.lower()
    return parse


def some_of(*words):
    """An argument type: one or more of `words`, set apart by commas, each once."""
    def parse(text):
        return list(dict.fromkeys(one_of(*words)(name) for name in names(text)))
    return parse


def file_name(ending):
    """An argument type: the name of a file with that `ending`."""
    def parse(text):
        if not text.lower().endswith(ending):
            raise argparse.ArgumentTypeError(f"must end in {ending}, not {_short(text)}")
        return text
    return parse


def folder_name(text):
    """An argument type: the name of a folder, which does not end as those of files do unless it is there."""
    if text.lower().endswith(FILES) and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, and {_short(text)} is named like a file")
    return text


def picture_or_folder(text):
    """An argument type: (folder, name of a picture or None)."""
    path = Path(text)
    if path.suffix.lower() == ".png" and not path.is_dir():
        return path.parent, path.name
    if text.lower().endswith(FILES) and not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, or a file that ends in .png, not {_short(text)}")
    return path, None


def _short(text):
    shown = repr(text)
    return shown if len(shown) <= 40 else f"{shown[:36]}...'"
