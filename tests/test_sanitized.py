"""Builds with sanitizers: what is said where there is none. tools/sanitized.py tests itself that they find faults."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import HANG

ROOT = Path(__file__).parents[1]
if not (ROOT / "setup.py").is_file():
    pytest.skip("no sources beside the tests", allow_module_level=True)


def run(*arguments, **environment):
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=HANG)


@pytest.mark.parametrize("names", ["memory", "address,thread", "", "address,"])
def test_sanitizers_that_there_are_not(names):
    done = run("tools/sanitized.py", "--sanitizer", names)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "thread" in done.stderr


@pytest.mark.skipif(os.name != "posix" or not shutil.which("cc"), reason="no cc here")
@pytest.mark.parametrize(("script", "status", "says"), [
    ('for one; do case "$one" in -fsanitize*) exit 1;; esac; done; exec cc "$@"', 3, "no -fsanitize=address,undefined"),
    ("exit 1", 2, "the C compiler does not work"), (None, 2, "the C compiler does not work")])
def test_compilers_without_sanitizers(script, status, says, tmp_path):
    compiler = tmp_path / "compiler"
    if script:
        compiler.write_text(f"#!/bin/sh\n{script}\n")
        compiler.chmod(0o755)
    done = run("tools/sanitized.py", "--quick", CC=str(compiler))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1)
    assert says in done.stderr


@pytest.mark.parametrize(("variable", "value"), [
    ("FASTNN_SANITIZE", "adress"), ("FASTNN_LEVELS", "x86-64-v9"), ("FASTNN_LEVELS", "x86_64_v3")])
def test_builds_that_there_are_not(variable, value, tmp_path):
    pytest.importorskip("setuptools")
    pytest.importorskip("Cython")
    done = run("setup.py", "-q", "build_ext", "--build-lib", tmp_path, "--build-temp", tmp_path, **{variable: value})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{variable}={value}: there is ")
    assert not list(tmp_path.iterdir())
