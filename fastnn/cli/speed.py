"""Figures of `fastnn bench --json FILE`, for the pages of `fastnn catalog`."""
import json

__all__ = ["read_figures", "table_of"]


def read_figures(path):
    """The document. Raises OSError for a file that cannot be read, ValueError for one that is not bench's."""
    with open(path, encoding="utf-8") as file:
        try:
            found = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: no JSON: {error}") from None
    try:
        for row in found["rows"]:
            row["subject"], row["name"], row["seconds"].get("torch"), found["versions"]["fastnn"]
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"{path}: not what fastnn bench --json has written") from None
    return found


def table_of(entry, figures):
    """[a line, heads, rows] of an entry that was timed beside PyTorch, else None."""
    rows = [row for row in figures["rows"] if row["subject"] == entry.kind and row["name"] == entry.name
            and row["seconds"].get("torch") and row["seconds"].get("fastnn")]
    if not rows:
        return None
    versions = figures["versions"]
    line = (f"fastnn {versions['fastnn']}, PyTorch {versions.get('torch', '')}, {versions.get('threads', '?')} threads, "
            f"{versions.get('instruction_set', '')}; a ratio above 1 says how many times as long PyTorch takes.")
    told = [(what(row), time_of(row["seconds"]["fastnn"]), time_of(row["seconds"]["torch"]),
             f"{row['seconds']['torch'] / row['seconds']['fastnn']:.3g}") for row in rows]
    return [line, ("", "fastnn", "PyTorch", "ratio"), *told]


def what(row):
    size = row.get("size")
    return ", ".join(filter(None, (row.get("direction"), row.get("model"), f"{size:,} elements" if size else None,
                                   row.get("dtype"))))


def time_of(seconds):
    """Such as "3.4 us"."""
    scale, unit = next((pair for pair in ((1, "s"), (1e3, "ms"), (1e6, "us")) if seconds * pair[0] >= 1), (1e9, "ns"))
    return f"{seconds * scale:.3g} {unit}"
