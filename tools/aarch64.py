"""The numeric tests on aarch64: cross-compiled with gcc, run by an emulator in a root folder of Debian's.

    sudo apt-get install qemu-user-static binfmt-support mmdebstrap arch-test gcc-aarch64-linux-gnu
    sudo python3.11 tools/aarch64.py FOLDER                         NUMERIC, without the arguments by the million
    sudo python3.11 tools/aarch64.py FOLDER test_rows.py -k softmax     what else is said goes to pytest

The root and the environment that builds are kept in FOLDER. It takes Debian 12's Python, 3.11, to run this, since the
headers are those of the interpreter here. Exit status: pytest's; 2 if something is missing.
"""
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
SUITE, PYTHON = "bookworm", (3, 11)
COMMANDS = {"mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static", "update-binfmts": "binfmt-support",
            "arch-test": "arch-test", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "unshare": "util-linux"}
PLATFORMS = [f"manylinux{version}_aarch64" for version in ("2014", "_2_27", "_2_28")]
NUMERIC = [f"test_{name}.py" for name in (ROOT / "tests" / "numeric.txt").read_text().split()]


def run(*command, **kwargs):
    print("+", shlex.join(map(str, command)), flush=True)
    return subprocess.run(list(map(str, command)), check=True, **kwargs)


def missing():
    """What is not as it has to be, as lines."""
    lines = [f"there is no {command}: apt-get install {package}" for command, package in COMMANDS.items()
             if not shutil.which(command)]
    if sys.version_info[:2] != PYTHON:
        lines.append(f"this is Python {sys.version.split()[0]}, and {SUITE} has {'.'.join(map(str, PYTHON))}")
    if os.geteuid():
        lines.append("a root folder of another processor is made and entered by root only")
    return lines


def emulation():
    if not Path("/proc/sys/fs/binfmt_misc/register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc")
    if not Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        run("update-binfmts", "--enable", "qemu-aarch64")


def wheel(folder):
    """fastnn's, cross-compiled."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    python, wheels, source = folder / "build" / "bin" / "python", folder / "wheels", folder / "source"
    if not python.exists():
        run(sys.executable, "-m", "venv", folder / "build")
    run(python, "-m", "pip", "install", "-q", *build, "wheel")
    for stale in (wheels, source):
        shutil.rmtree(stale, ignore_errors=True)
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(
        ".*", "build", "*.so", "__pycache__", *([folder.name] if folder.parent == ROOT else [])))
    tag = f"cpython-{PYTHON[0]}{PYTHON[1]}-aarch64-linux-gnu"
    run(python, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", wheels, source,
        env={**os.environ, "CC": "aarch64-linux-gnu-gcc", "_PYTHON_HOST_PLATFORM": "linux-aarch64",
             "SETUPTOOLS_EXT_SUFFIX": f".{tag}.so"})
    (built,) = wheels.glob("*.whl")
    return built


def main(folder, *arguments):
    lines = missing()
    if lines:
        print(*(f"aarch64.py: {line}" for line in lines), sep="\n", file=sys.stderr)
        return 2
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    emulation()
    root = folder / "root"
    if not (root / "usr" / "bin" / "python3").exists():
        shutil.rmtree(root, ignore_errors=True)
        run("mmdebstrap", "--arch=arm64", "--variant=minbase", "--include=python3,libgomp1", SUITE, root)
    built, site = wheel(folder), root / "opt" / "site"
    tests = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test-kernels"]
    shutil.rmtree(site, ignore_errors=True)
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    run(sys.executable, "-m", "pip", "install", "-q", "--target", site, *platforms, "--python-version", "3.11",
        "--implementation", "cp", "--abi", "cp311", "--only-binary=:all:", "numpy", "rich", *tests)
    run(sys.executable, "-m", "zipfile", "-e", built, site)
    shutil.rmtree(root / "opt" / "tests", ignore_errors=True)
    shutil.copytree(ROOT / "tests", root / "opt" / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root / "opt")
    chosen = arguments or [*NUMERIC, "-k", "not two_million"]
    inside = (f"mount --bind /proc {shlex.quote(str(root))}/proc && mount --bind /dev {shlex.quote(str(root))}/dev && "
              f'exec chroot {shlex.quote(str(root))} "$@"')         # the mounts end with the process
    environment = ["/usr/bin/env", "-i", "HOME=/root", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONPATH=/opt/site"]
    command = shlex.join(["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen])
    print("+", command, flush=True)
    return subprocess.run(["unshare", "--mount", "sh", "-c", inside, "sh", *environment, "sh", "-c",
                           f"cd /opt/tests && {command}"]).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: aarch64.py FOLDER [what goes to pytest]")
    sys.exit(main(*sys.argv[1:]))
