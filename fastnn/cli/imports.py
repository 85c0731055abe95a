"""``--import``: files and modules of the user's that register activations and optimizers."""
import importlib
import importlib.util
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from .catalog import CATALOGUES
from .errors import UserError, describe

__all__ = ["run_imports", "imports_of"]

_files = {}         # the name of a module -> the absolute path of the file that it was made of


def run_imports(names):
    """Run what ``--import`` names, in order: files (FILE.py), and modules by their dotted names; each once a process.

    Raises UserError where one is missing or fails.
    """
    for name in names:
        try:
            _run_file(Path(name)) if _is_file(name) else _import_module(name)
        except (Exception, SystemExit) as error:        # the user's code may raise anything
            told = describe(error)
            kind = "" if isinstance(error, (OSError, ValueError)) and str(error) else f"{type(error).__name__}: "
            raise UserError(f"--import {name}: {kind}{told}") from error


def imports_of(entries):
    """What a new process has to be given as ``--import`` to know these entries of the catalogues, too.

    Parameters
    ----------
    entries : sequence of (str, str)
        Catalogue and name.

    Raises UserError for an entry that was registered where no new process can find it, as at a prompt.
    """
    found = []
    for catalogue, name in entries:
        registry = CATALOGUES[catalogue]
        if not registry.registered(name):
            continue
        module = registry[name].__module__
        spec = getattr(sys.modules.get(module), "__spec__", None)
        if module not in _files and (module == "__main__" or spec is None):
            raise UserError(f"{name} is registered in {module}, which the processes that train cannot import: put it "
                            "into a file and name it with --import")
        found.append(_files.get(module, module))
    return list(dict.fromkeys(found))


def _is_file(name):
    return name.endswith(".py") or "/" in name or "\\" in name


def _run_file(path):
    path = path.resolve()
    if str(path) in _files.values():
        return
    name = path.stem if path.stem.isidentifier() else "formulas"
    while name in sys.modules or importlib.util.find_spec(name):
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ValueError("no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _on_path(str(path.parent)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _files[name] = str(path)


def _import_module(name):
    with _on_path(os.getcwd()):
        importlib.import_module(name)


@contextmanager
def _on_path(folder):
    """Modules in `folder` can be imported, unless others have their names."""
    sys.path.append(folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.reverse()
            sys.path.remove(folder)         # the last one
            sys.path.reverse()
