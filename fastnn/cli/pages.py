"""The command ``fastnn catalog``: a page of Markdown and a picture for every entry, all of it from the rows."""
import re
import textwrap
from pathlib import Path

import fastnn

from .entries import KINDS, entries
from .errors import as_user_error, require
from .files import OutputFolder
from .speed import read_figures, table_of

__all__ = ["run"]

ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")
SECTION = re.compile(r"\n([A-Z]\w+)\n-{3,}\n")
SPECIAL = re.compile(r"([\\*_{}\[\]<>#|$~^])")
TITLES = {"activations": "Activations", "optimizers": "Optimizers", "losses": "Losses", "schedules": "Schedules"}
ABOUT = {
    "activations": "Each with its values and derivatives. Gated units have two arguments, learnable ones parameters.",
    "optimizers": "Each with its rule, its state, and a path through the valley x^2/20 + y^2.",
    "losses": "y is the prediction and comes first, t the target.",
    "schedules": "Any hyperparameter of an optimizer may be one: a number that changes with t, the step, from 1."}


def run(options):
    """Write the pages and return the exit status."""
    require("matplotlib")
    with as_user_error():
        figures = [read_figures(path) for path in options.bench]
    root = OutputFolder(options.out, ["index.md"]).folder
    count = 0
    for kind in KINDS:
        found = entries(kind)
        names = dict(zip(slugs([entry.name for entry in found]), found))
        files = [f"{slug}.{ending}" for slug in names for ending in ("md", "svg")]
        folder = OutputFolder(root / kind, ["index.md", *files])
        for slug, entry in names.items():
            if entry.draw:
                folder.write(f"{slug}.svg", entry.draw)
            put(folder, f"{slug}.md", page(entry, slug, figures))
        put(folder, "index.md", overview(kind, names))
        count += len(names)
    put(OutputFolder(root, ["index.md"]), "index.md", front(count))
    print(f"wrote {count} entries to {Path(options.out)}")
    return 0


def put(folder, name, text):
    folder.write(name, lambda file: file.write(text.encode()))


def slugs(names):
    """Names of files: small letters, digits and -, each once."""
    found = []
    for name in names:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "entry"
        found.append(slug if slug not in found else f"{slug}-{len(found)}")
    return found


def front(count):
    lines = ["# Catalogue", "", f"The {count} entries of fastnn {fastnn.__version__}, written by `fastnn catalog` from their rows.",
             "", "| | |", "|---|---|"]
    lines += [f"| [{title}]({kind}/index.md) | {ABOUT[kind]} |" for kind, title in TITLES.items()]
    return "\n".join([*lines, "", *tree([f"{kind}/index" for kind in KINDS])])


def overview(kind, names):
    """The page of a catalogue: every entry with the first line of its formula."""
    lines = [f"# {TITLES[kind]}", "", ABOUT[kind], "", "| | |", "|---|---|"]
    lines += [f"| [{escaped(entry.name)}]({slug}.md) | {escaped(shortened(entry.formula))} |" for slug, entry in names.items()]
    return "\n".join([*lines, "", *tree(names)])


def tree(pages):
    """Sphinx's list of what is below; elsewhere a block of text."""
    return ["```{toctree}", ":hidden:", "", *pages, "```", ""]


def shortened(text, most=110):
    return text if len(text) <= most else text[:most].rpartition(" ")[0] + " ..."


def page(entry, slug, figures):
    """The page of one entry."""
    lines = [f"# {escaped(entry.name)}", "", "```python", entry.call, "```", ""]
    if entry.kind == "schedules":
        lines += [marked(entry.formula), ""]
    elif entry.formula:
        lines += ["```text", *wrapped(entry.formula), "```", ""]
    if entry.text:
        lines += [prose(entry.text), ""]
    if entry.draw:
        lines += [f"![{escaped(entry.name)}]({slug}.svg)", ""]
    if entry.caption:
        lines += [f"{escaped(entry.caption)}.", ""]
    if entry.values:
        lines += ["## Values", "", *table(entry.values), ""]
    if entry.parameters:
        rows = [("", "default", "range"), *((f"`{name}`", code(default), span) for name, default, span in entry.parameters)]
        lines += ["## Hyperparameters", "", *table(rows), ""]
    facts = [(label, marked(value)) for label, value in entry.facts if value]
    if facts:
        lines += ["## Properties", "", *table([("", ""), *facts]), ""]
    if measured := [rows for rows in (table_of(entry, one) for one in figures) if rows]:
        lines += ["## Speed beside PyTorch", "", *(line for rows in measured for line in (rows[0], "", *table(rows[1:]), ""))]
    if entry.elsewhere:
        rows = [("", ""), *((library, ", ".join(map(named, names))) for library, names in entry.elsewhere)]
        lines += ["## In other libraries", "", *table(rows), ""]
    return "\n".join(lines)


def named(name):
    name, _, note = name.partition(" (")
    return f"`{name}`" + (f" ({note}" if note else "")


def code(text):
    return f"`{text}`" if text else ""


def table(rows):
    """Markdown's lines; the first row has the heads."""
    (head, *rest) = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|---" * len(rows[0]) + "|", *rest]


def wrapped(text, width=100):
    """Lines broken behind `;` or at spaces."""
    return [line for part in re.split(r"(?<=;) ", text) for line in textwrap.wrap(part, width, break_long_words=False)]


def prose(text):
    """A docstring's paragraphs as Markdown; sections of numpydoc become lists."""
    first, *sections = SECTION.split(f"\n{text}")
    found = [paragraphs(first)]
    for title, body in zip(sections[::2], sections[1::2]):
        items, _, after = body.partition("\n\n")
        found.append(f"**{title}**\n\n" + "\n".join(item(each) for each in re.split(r"\n(?=\S)", items.strip("\n"))))
        found.append(paragraphs(after))
    return "\n\n".join(filter(None, found))


def item(text):
    """A parameter and its description."""
    head, _, rest = text.partition("\n")
    return f"- `{head.strip()}`" + (f": {marked(' '.join(rest.split()))}" if rest.strip() else "")


def paragraphs(text):
    """Indented ones are code."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = paragraph.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            found.append("\n".join(["```text", *(line[4:] for line in lines), "```"]))
        elif lines:
            found.append(marked(" ".join(paragraph.split())))
    return "\n\n".join(found)


def marked(text):
    """Markdown with the same words: code stays code, arXiv's numbers become links."""
    parts = re.split(r"(`+[^`]+`+)", text)
    parts[::2] = [ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", escaped(part)) for part in parts[::2]]
    parts[1::2] = ["`" + part.strip("`") + "`" for part in parts[1::2]]
    return "".join(parts)


def escaped(text):
    return SPECIAL.sub(r"\\\1", text)
