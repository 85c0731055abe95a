"""Builds the site: documents, the catalogue's pages, the gallery and the API reference, by Sphinx, and checks it.

    python tools/site.py [FOLDER]       # build/site by default; FOLDER/html/index.html is the front page

The installed fastnn is documented (`pip install ".[docs]"`). Sources are copied to FOLDER/source and what is generated
is written there; warnings are errors. Examples of docstrings run, every link inside the site must lead somewhere, and no
page may take a script, a font, a style or a picture from another host. `--external` checks links to other hosts, too.
"""
import argparse
import difflib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")
TOCTREE_PAGE = re.compile(r"^.* <(\w+)>$\n", re.MULTILINE)
PORTS = ROOT / "examples" / "ports"
APART = ROOT / "examples" / "evolution.py"      # run by mpiexec, and draws nothing: no part of the gallery
# What the API reference documents: the public names of these modules, where they are there, and what makers return.
MODULES = {"fastnn": "Names of `fastnn` itself.", "fastnn.schedules": "Hyperparameters that change with the step.",
           "fastnn.nn": "Layers, networks, a trainer.", "fastnn.nn.initializers": "First weights.",
           "fastnn.nn.metrics": "How right predictions are.", "fastnn.estimators": "scikit-learn's estimators.",
           "fastnn.datasets": "Digits.", "fastnn.distributed": "More than one process.",
           "fastnn.articles": "Names and calls of article A.", "fastnn.dlfs": "Names and calls of the book."}
RETURNED = {"fastnn.optimizers": ["Optimizer"], "fastnn.activations": ["Activation"], "fastnn.gated": ["Gated"],
            "fastnn.losses": ["Elementwise", "Rows"]}


def sources(target):
    """Copy the documents and the examples, with links that hold within the site."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs", target)
    left_out = shutil.ignore_patterns(PORTS.name, "__pycache__", APART.name)
    shutil.copytree(ROOT / "examples", target / "examples", ignore=left_out)
    shutil.copy(ROOT / "CONTRIBUTING.md", target / "contributing.md")
    pages = {ROOT / "CONTRIBUTING.md": "contributing.md", ROOT / "README.md": "index.md",
             **{path: path.name for path in (ROOT / "docs").glob("*.*")},
             **{path: f"gallery/{path.stem}.rst" for path in (target / "examples").glob("*.py")}}
    pages.update({ROOT / "examples" / path.name: page for path, page in pages.items()
                  if path.parent.name == "examples"})
    pages.update({path: f"ports.md#{path.stem.removesuffix('_numpy')}" for path in PORTS.glob("*.py")})
    pages[APART] = "ports.md#in-several-processes"
    for path in target.glob("*.md"):
        home = ROOT if path.name == "contributing.md" else ROOT / "docs"

        def moved(link):
            mark, text, where, anchor = link.groups(default="")
            if where.split("/")[0] in ("catalogue", "gallery", "api"):
                return link[0]
            page = pages.get((home / where).resolve())
            return f"{mark}[{text}]({page}{anchor})" if page else f"`{text.strip('`')}`"
        text = LINK.sub(moved, path.read_text(encoding="utf-8"))
        text = TOCTREE_PAGE.sub(lambda line: line[0] if (target / f"{line[1]}.md").exists() else "", text)
        path.write_text(text, encoding="utf-8")
    with open(target / "ports.md", "a", encoding="utf-8") as file:
        file.write("\n".join(ported()))


def ported():
    """The programs of examples/ports as lines of Markdown: what changes in each; then the one for several processes."""
    for path in sorted(PORTS.glob("*_numpy.py")):
        name = path.stem.removesuffix("_numpy")
        texts = [each.read_text(encoding="utf-8").splitlines() for each in (path, PORTS / f"{name}.py")]
        changes = difflib.unified_diff(*texts, path.name, f"{name}.py", n=1, lineterm="")
        yield from ["", f"## {name}", "", "```diff", *changes, "```"]
    yield from ["", "## In several processes", "", "```python", APART.read_text(encoding="utf-8"), "```", ""]


def reference(target):
    """The pages of the API: one a module, which lists its public names, and Sphinx writes one for each name."""
    target.mkdir()
    found = {}
    for module, about in MODULES.items():
        if importlib.util.find_spec(module) is not None:
            imported = importlib.import_module(module)
            found[module] = about, public(imported)
    for module, names in RETURNED.items():
        found[module] = "What the makers return.", names
    for module, (about, names) in found.items():
        lines = [module, "=" * len(module), "", about, "", f".. currentmodule:: {module}", "", ".. autosummary::",
                 "   :toctree: names", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
        (target / f"{module}.rst").write_text("\n".join(lines), encoding="utf-8")
    lines = ["API reference", "=============", "", "From the docstrings of all public names.", "",
             ".. toctree::", "   :maxdepth: 2", "", *(f"   {module}" for module in found), ""]
    (target / "index.rst").write_text("\n".join(lines), encoding="utf-8")


def public(module):
    """Its public names, without modules and constants of no interest."""
    names = getattr(module, "__all__", None) or [name for name, value in vars(module).items() if callable(value)
                                                 and not name.startswith("_") and value.__module__ == module.__name__]
    return [name for name in names if not name.startswith("__") and callable(getattr(module, name))]


class References(HTMLParser):
    """What a page refers to: `links` to follow, `loaded` with the page, and the `anchors` that it has."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given.get("id", ""), given.get("name", "") if tag == "a" else ""}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "search", "next", "prev", "index", "author"):
            self.loaded.append(given.get("href", ""))
        elif "src" in given:
            self.loaded.append(given["src"])


def faults(html):
    """A line for each reference that leads nowhere, and for all that comes from another host."""
    pages = {path.resolve(): References(path.read_text(encoding="utf-8")) for path in html.rglob("*.html")
             if "_static" not in path.parts}            # the theme has a template there
    for path, page in pages.items():
        name = path.relative_to(html.resolve())
        for where in page.loaded:
            if urlsplit(where).netloc:
                yield f"{name}: loads {where}"
        for where in [*page.links, *page.loaded]:
            parts = urlsplit(where)
            if parts.scheme or parts.netloc or not where:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.exists():
                yield f"{name}: {where} is not there"
            elif there in pages and unquote(parts.fragment) not in pages[there].anchors:
                yield f"{name}: {where} has no such place"
    for path in html.rglob("*.css"):
        for where in re.findall(r"url\(['\"]?((?:https?:)?//[^)'\"]+)|@import ['\"]((?:https?:)?//[^'\"]+)",
                                path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(html)}: loads {where}"


# one thread: on a busy machine the threads of small products wait for each other
ALONE = {"MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore",
         **dict.fromkeys(("FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}


def sphinx(builder, source, target):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder, "-d", str(target / "trees"),
               str(source), str(target / builder)]
    done = subprocess.run(command, env={**os.environ, **ALONE}, cwd=target)     # no ./fastnn hides the installed one
    if done.returncode:
        raise SystemExit(f"sphinx -b {builder} has failed")


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default=ROOT / "build" / "site", type=Path)
    parser.add_argument("--bench", action="append", default=[], metavar="FILE", help="handed to fastnn catalog")
    parser.add_argument("--external", action="store_true", help="check links to other hosts, too")
    options = parser.parse_args(arguments)
    target = options.folder.resolve()
    source = target / "source"
    sources(source)
    reference(source / "api")
    from fastnn.cli import main as fastnn
    bench = [part for file in options.bench for part in ("--bench", file)]
    if fastnn(["catalog", "--out", str(source / "catalogue"), *bench]):
        return 1
    for builder in ("html", "doctest", *(["linkcheck"] if options.external else [])):
        sphinx(builder, source, target)
    found = list(faults(target / "html"))
    print(*found, sep="\n")
    pages = sum(1 for _ in (target / "html").rglob("*.html"))
    print(f"{pages} pages in {target / 'html'}, {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
