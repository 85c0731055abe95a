"""fastnn/_names.pyi, written by setup.py: the names of the catalogue's rows as `Literal` types, for completion in editors.

A row is a class with `name="..."`; rows of other sources, which have `like=`, are left out.
"""
import ast
from pathlib import Path

STUB = Path("fastnn", "_names.pyi")
CATALOGUES = {"ActivationName": ("*.py", "activations/**/*.py"), "OptimizerName": ("optimizers/**/*.py",),
              "LossName": ("losses/**/*.py",)}


def names(path):
    """The names of the rows in one file, in its order."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        given = {each.arg: each.value for each in node.keywords} if isinstance(node, ast.ClassDef) else {}
        if isinstance(given.get("name"), ast.Constant) and "like" not in given:
            found.append(given["name"].value)
    return found


def catalogues(root):
    """{name of the type: names of the rows}, sorted without regard to case."""
    found = {}
    for title, patterns in CATALOGUES.items():
        paths = [path for pattern in patterns for path in sorted((root / "fastnn").glob(pattern))]
        found[title] = sorted({name for path in paths for name in names(path)}, key=str.lower)
    return found


def sources(root):
    """What `like=` takes: the keys of SOURCES and of OTHER_WORDS in fastnn/dialects."""
    found = {}
    for node in ast.parse((root / "fastnn" / "dialects" / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            found[ast.unparse(node.targets[0])] = node.value
    if missing := {"SOURCES", "OTHER_WORDS"} - found.keys():
        raise SystemExit(f"fastnn/dialects/__init__.py has no {' and no '.join(sorted(missing))}")
    return [*ast.literal_eval(found["SOURCES"]), *ast.literal_eval(found["OTHER_WORDS"])]


def stub(root):
    """The text of the stub."""
    lines = ['"""Written by the build (tools/names.py) from the catalogue."""', "from typing import Literal, TypeAlias"]
    for title, found in {**catalogues(root), "Source": sources(root)}.items():
        lines += ["", f"{title}: TypeAlias = Literal[", *(f'    "{name}",' for name in found), "]"]
    return "\n".join(lines) + "\n"


def write(root, target):
    """Write the stub below the folder `target`."""
    path = Path(target, STUB)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(stub(root), encoding="utf-8")
