"""Whether this tree is ready for the release that a tag names: `python tools/check_release.py v1.2.3`."""
import re
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")      # of Keep a Changelog


def version():
    (found,) = re.findall(r'^__version__ = "([^"]+)"$', (ROOT / "fastnn" / "_version.py").read_text(), re.M)
    return found


def sections(changelog):
    """[(version or "Unreleased", date or None, text)] in the order of the file; ValueError where the form is broken."""
    parts = re.split(r"^## (.*)$", changelog, flags=re.M)
    found = []
    for heading, text in zip(parts[1::2], parts[2::2]):
        match = re.fullmatch(r"\[(Unreleased)\]|\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading)
        if not match:
            raise ValueError(f"CHANGELOG.md: no heading of Keep a Changelog: {heading}")
        for kind in re.findall(r"^### (.*)$", text, re.M):
            if kind not in KINDS:
                raise ValueError(f"CHANGELOG.md, {heading}: no kind of Keep a Changelog: {kind}")
        unreleased, number, day = match.groups()
        found.append((unreleased or number, date.fromisoformat(day) if day else None, text.strip()))
    names = [name for name, _, _ in found]
    if names.count("Unreleased") != 1 or names[0] != "Unreleased":
        raise ValueError("CHANGELOG.md: [Unreleased] comes first, once")
    order = [tuple(map(int, name.split("."))) for name in names[1:]]
    if order != sorted(set(order), reverse=True):
        raise ValueError("CHANGELOG.md: releases come once each, the newest first")
    return found


def check(tag, current, changelog):
    """Raises ValueError with the first thing that is not as the release needs it."""
    if tag != f"v{current}":
        raise ValueError(f"the tag is {tag}, the version in fastnn/_version.py is {current}")
    (_, _, pending), *released = sections(changelog)
    if not released or released[0][0] != current:
        raise ValueError(f"the newest release in CHANGELOG.md is {released[0][0] if released else 'none'}, not {current}")
    if not released[0][2]:
        raise ValueError(f"CHANGELOG.md says nothing about {current}")
    if pending:
        raise ValueError("CHANGELOG.md: [Unreleased] is not empty")


def main(arguments):
    if len(arguments) != 1:
        print("usage: python tools/check_release.py TAG", file=sys.stderr)
        return 2
    try:
        check(arguments[0], version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
