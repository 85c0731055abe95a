"""What a release needs and a test can hold without building: one version, complete lists, a changelog in form."""
import importlib.metadata
import os
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import fastnn
from helpers import python

try:
    import tomllib
except ModuleNotFoundError:             # Python 3.10: pytest needs it, too
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
if not (ROOT / "setup.py").is_file():
    pytest.skip("no sources beside the tests", allow_module_level=True)
sys.path.insert(0, str(ROOT / "tools"))
import check_release  # noqa: E402

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PYTHONS = [text.rpartition(" ")[2] for text in PROJECT["classifiers"]
           if text.startswith("Programming Language :: Python :: 3.")]
SOURCES = {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".h", ".npz", ".md", ".png", ".json", ".typed", ".txt"}
LEFT_BEHIND = {"__pycache__", "env", "results", "html"}


# One version

def test_version_stands_in_one_place():
    version = check_release.version()
    assert fastnn.__version__ == version
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "fastnn._version.__version__"}
    files = [ROOT / "setup.py", ROOT / "pyproject.toml", *(ROOT / "fastnn").rglob("*.py"), *ROOT.glob("tools/*.py")]
    having = [path.name for path in files if re.search(rf"""["']{re.escape(version)}["']""", path.read_text("utf-8"))]
    assert having == ["_version.py"]


def test_installed_metadata():
    package = Path(fastnn.__file__).parent
    installed = [one for one in importlib.metadata.distributions(name="fastnn")
                 if one.read_text("WHEEL") and os.path.samefile(one.locate_file("fastnn"), package)]
    if not installed:
        pytest.skip("this fastnn is not installed")
    (distribution,) = installed
    assert distribution.version == fastnn.__version__
    assert distribution.metadata["Requires-Python"] == PROJECT["requires-python"]
    names = {path.name for path in distribution.files if "licenses" in path.parts}
    assert {"LICENSE", "GPL-3.0.txt", "GCC-exception-3.1.txt"} <= names
    sources = [str(path) for path in distribution.files if path.suffix in {".c", ".pyx", ".pxd", ".pxi", ".h"}]
    assert not sources and not any(path.parts[0] in {"tests", "asv_bench"} for path in distribution.files)
    assert {path.name for path in distribution.files} >= {"py.typed", "digits.npz", "ATTRIBUTION.md", "threads.pyi"}


# Complete lists

def test_packages_are_listed():
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "fastnn").rglob("__init__.py")}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == there


def test_package_data_is_listed():
    """What is neither source nor a private stub goes into the wheel."""
    data = PYPROJECT["tool"]["setuptools"]["package-data"]
    for path in (ROOT / "fastnn").rglob("*"):
        if path.suffix in {".typed", ".npz", ".md", ".pyi"} and not path.name.startswith("_"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert any(fnmatch(path.name, pattern) for pattern in data.get(package, [])), path


def test_sdist_has_every_source(monkeypatch):
    """MANIFEST.in as setuptools reads it, with what is added without being asked."""
    egg_info = pytest.importorskip("setuptools.command.egg_info")
    monkeypatch.chdir(ROOT)
    listed = egg_info.FileList()
    for line in Path("MANIFEST.in").read_text().splitlines():
        if line.partition("#")[0].strip():
            listed.process_template_line(line)
    got = {Path(name).as_posix() for name in listed.files}
    assert not [name for name in got if name.endswith((".so", ".pyd", ".pyc")) or name.startswith("build/")]
    assert [name for name in got if name.endswith(".c")] == ["asv_bench/streaming_copy.c"]
    wanted = {path.relative_to(ROOT).as_posix() for folder in ("fastnn", "tests", "tools", "docs", "examples", "asv_bench")
              for path in (ROOT / folder).rglob("*")
              if path.suffix in SOURCES and not LEFT_BEHIND & set(path.relative_to(ROOT).parts)}
    assert len(wanted) > 100
    assert not wanted - got
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "noxfile.py", "tools/rule_kernels.py"} <= got
    for pattern in PROJECT["license-files"]:
        assert list(ROOT.glob(pattern)), pattern


# What is supported

def test_pythons_are_the_same_everywhere():
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={PYTHONS[0]}")
    minors = [int(version.partition(".")[2]) for version in PYTHONS]
    assert minors == [*range(minors[0], minors[-1] + 1)]
    wheels = {pattern.partition("-")[0] for pattern in PYPROJECT["tool"]["cibuildwheel"]["build"]}
    assert {tag for tag in wheels if not tag.endswith("t")} == {f"cp3{minor}" for minor in minors}


def test_wheels_are_tested_with_what_the_tests_read():
    """Beside tests/, which cibuildwheel copies to a folder of its own; tests of the sources are skipped there."""
    text = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    read = set(re.findall(r'parents\[1\] ?/ ?"(\w+)"', text)) - {"fastnn", "tools"}
    assert read and read <= set(PYPROJECT["tool"]["cibuildwheel"]["test-sources"])


@pytest.mark.parametrize("version", PYTHONS)
def test_one_numpy_bound_for_each_python(version):
    bounds = [requirement for requirement in map(Requirement, PROJECT["dependencies"])
              if not requirement.marker or requirement.marker.evaluate({"python_version": version})]
    assert [requirement.name for requirement in bounds] == ["numpy"]


# The changelog

def test_changelog_is_in_form():
    (name, day, _), *released = check_release.sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert (name, day) == ("Unreleased", None)
    assert not released or released[0][0] == fastnn.__version__


RELEASED = ("# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-31\n\n### Added\n\n- a\n\n"
            "## [1.1.9] - 2025-12-01\n\n- b\n")


def test_a_tree_that_is_ready():
    check_release.check("v1.2.0", "1.2.0", RELEASED)


@pytest.mark.parametrize(("tag", "current", "before", "after", "says"), [
    ("v1.2.1", "1.2.0", "", "", "the tag is v1.2.1"), ("1.2.0", "1.2.0", "", "", "the tag is 1.2.0"),
    ("v1.3.0", "1.3.0", "", "", "is 1.2.0, not 1.3.0"),
    ("v1.2.0", "1.2.0", "## [Unreleased]\n", "## [Unreleased]\n\n- c\n", "not empty"),
    ("v1.2.0", "1.2.0", "## [Unreleased]\n", "", "comes first"),
    ("v1.2.0", "1.2.0", "### Added\n\n- a\n", "", "nothing about"),
    ("v1.2.0", "1.2.0", "### Added", "### New", "no kind"), ("v1.2.0", "1.2.0", "[1.2.0]", "1.2.0", "no heading"),
    ("v1.2.0", "1.2.0", "2026-01-31", "2026-02-31", "day"), ("v1.2.0", "1.2.0", "1.1.9", "1.2.10", "newest first"),
    ("v1.2.0", "1.2.0", "1.1.9", "1.2.0", "once each")])
def test_a_tree_that_is_not_ready(tag, current, before, after, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        check_release.check(tag, current, RELEASED.replace(before, after, 1))


@pytest.mark.parametrize("arguments", [[], ["v0.0.0"], ["v1", "v2"]])
def test_release_check_as_a_command(arguments):
    done = python("import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
                  "import check_release; sys.exit(check_release.main(sys.argv[2:]))", ROOT / "tools", *arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
