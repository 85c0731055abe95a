"""What can be wrong with a formula."""
import linecache


class FormulaError(ValueError):
    """A formula that cannot be compiled, or a derivative that is wrong. The message names the formula's own line."""


def place_of(function):
    """The file and the line where a function begins."""
    return function.__code__.co_filename, function.__code__.co_firstlineno


def at_line(line, text):
    """`text` with the line of the formula that it is about: (file, number) or None."""
    if line is None:
        return text
    source = linecache.getline(*line).strip()
    return f"{line[0]}, line {line[1]}: {text}" + (f"\n    {source}" if source else "")
