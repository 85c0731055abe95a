"""Machine code kept on disk: found again by other processes, never trusted where it should not be, never a reason to fail."""
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn
from fastnn.jit import disk
from helpers import HANG, TESTS, python

pytest.importorskip("numba")

INSTALLED = str(Path(fastnn.__file__).parents[1])       # the sources, or where a wheel was installed
posix_only = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")

USE = """if True:
    import sys
    import fastnn
    from fastnn.jit import compiler
    compiled = []
    original = compiler.compiled
    compiler.compiled = lambda kernel, dtype, name: compiled.append(dtype) or original(kernel, dtype, name)
    @fastnn.register_act("own", a=1.0)
    def own(x, a):
        return x*x/a
    assert fastnn.get_act("own", a=2)(3.0) == 4.5
    print(len(compiled), *sorted({"sympy", "mpmath", "fastnn.jit.lowering"} & sys.modules.keys()))"""


def use(folder, **environment):
    """What a fresh process prints that uses a formula: how many kernels it compiled, and what it imported for it."""
    done = python(USE, FASTNN_CACHE_DIR=str(folder), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def entries(folder):
    return sorted(path for path in folder.iterdir() if path.is_file())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path/"cache"))
    return tmp_path/"cache"


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder that was new to a process that has used a formula, and what that has printed."""
    new = tmp_path_factory.mktemp("first")/"new"
    return new/"cache", use(new/"cache")


@pytest.fixture
def used(first, tmp_path):
    return shutil.copytree(first[0], tmp_path/"used")


def test_the_second_process_compiles_and_derives_nothing(first, used):
    place, printed = first
    assert printed == "2 fastnn.jit.lowering mpmath"
    assert use(used) == "0"
    assert len(entries(used)) == 3          # two kernels and the derivatives
    assert sorted(place.parent.rglob("*")) == [place, *entries(place)]         # nothing temporary is left


def test_another_version_compiles_anew(tmp_path, monkeypatch, place):
    one = disk.key("text")
    monkeypatch.setattr(disk, "__version__", "0.0.0")
    assert disk.key("text") != one
    monkeypatch.undo()
    assert disk.key("text") == one != disk.key("text", "") != disk.key("", "text")
    assert len({disk.key("ab", "c"), disk.key("a", "bc"), disk.key("abc")}) == 3


def test_the_processor_is_part_of_the_key(used):
    count = len(entries(used))
    changed = USE.replace("compiled = []", "compiled = []; found = compiler._processor(); "
                          "compiler._processor = lambda: (found[0], found[1] + '2', found[2])")
    assert "compiler._processor =" in changed
    done = python(changed, FASTNN_CACHE_DIR=str(used))
    assert done.stdout.startswith("2") and len(entries(used)) == count + 2, done.stderr


def test_damaged_files_are_made_again(used):
    (one, two, three), rng = entries(used), random.Random(3)
    names, content = entries(used), one.read_bytes()
    place = rng.randrange(len(content))
    one.write_bytes(content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1:])
    two.write_bytes(two.read_bytes()[:-1])
    three.write_bytes(b"")
    assert use(used).startswith("2 ")
    assert entries(used) == names
    assert use(used) == "0"


def test_every_bit_counts(place):
    data = bytes(range(256))
    disk.store("k"*64, data)
    path, = entries(place)
    whole = path.read_bytes()
    assert disk.load("k"*64) == data
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1:])
        assert disk.load("k"*64) is None, position
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert disk.load("k"*64) is None, length


def test_what_cannot_be_linked_is_compiled_again(place):
    """Even with the right digest. In a process of its own, and each length with another kernel: machine code stays."""
    done = python("""if True:
        import fastnn
        from fastnn.jit import compiler, disk, graph, kernels
        load, length = disk.load, 0
        disk.load = lambda key: load(key) and load(key)[:length]
        compiled, original = [], compiler.compiled
        compiler.compiled = lambda kernel, dtype, name: compiled.append(length) or original(kernel, dtype, name)
        value = x = graph.element("x")
        for length in (0, 10, 64, 700):
            value = graph.node("mul", value, x)
            for _ in range(2):
                assert compiler.compile_kernel(kernels.elementwise(value, x, x), "float32")
                compiler._found.clear()
        print(*compiled)""", FASTNN_CACHE_DIR=str(place))
    assert done.stdout.split() == ["0", "0", "10", "10", "64", "64", "700", "700"], done.stderr


def test_files_are_not_exchanged(place):
    disk.store("one", b"data")
    os.replace(place/"one", place/"other")
    assert disk.load("other") is None


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path/"file").write_text("mine")
    assert use(tmp_path/"file"/"below").startswith("2 ")
    assert (tmp_path/"file").read_text() == "mine"


def test_a_folder_in_place_of_the_file(place):
    (place/"key").mkdir(parents=True)
    disk.store("key", b"data")
    assert disk.load("key") is None
    assert [path.name for path in place.iterdir()] == ["key"]       # nothing temporary is left


def test_no_home(monkeypatch):
    monkeypatch.delenv("FASTNN_CACHE_DIR")
    monkeypatch.setattr(disk.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert disk.folder() is None and disk.load("key") is None
    disk.store("key", b"data")


@pytest.mark.parametrize(("platform", "environment", "wanted"), [
    ("linux", {}, "/home/me/.cache/fastnn"), ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/fastnn"),
    ("darwin", {}, "/home/me/Library/Caches/fastnn"), ("win32", {}, "/home/me/AppData/Local/fastnn"),
    ("win32", {"LOCALAPPDATA": "/local"}, "/local/fastnn"), ("linux", {"FASTNN_CACHE_DIR": "/own"}, "/own"),
    ("linux", {"FASTNN_CACHE_DIR": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/fastnn")])
def test_folders(monkeypatch, platform, environment, wanted):
    for name in ("FASTNN_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(disk.Path, "home", lambda: disk.Path("/home/me"))
    monkeypatch.setattr(disk.sys, "platform", platform)
    assert disk.folder() == disk.Path(wanted)


@posix_only
def test_only_the_user_can_write(place):
    disk.store("key", b"data")
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(place/"key").st_mode) == 0o600


@posix_only
@pytest.mark.parametrize("which", ["folder", "file", "file of the group"])
def test_what_others_can_write_is_not_trusted(place, which):
    disk.store("key", b"data")
    path, mode = (place, 0o777) if which == "folder" else (place/"key", 0o666 if which == "file" else 0o660)
    os.chmod(path, mode)
    assert disk.load("key") is None
    disk.store("key", b"more")
    assert disk.load("key") == (None if which == "folder" else b"more")


@posix_only
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("which", ["folder", "file"])
def test_what_another_user_owns_is_not_trusted(place, which):
    disk.store("key", b"data")
    os.chown(place if which == "folder" else place/"key", 12345, 12345)
    assert disk.load("key") is None


def test_many_processes_at_once(tmp_path):
    """All of them start with an empty folder."""
    environment = {**os.environ, "FASTNN_CACHE_DIR": str(tmp_path),
                   "PYTHONPATH": os.pathsep.join([INSTALLED, os.environ.get("PYTHONPATH", "")])}
    workers = [subprocess.Popen([sys.executable, "-W", "error", "-c", USE], env=environment, cwd=TESTS, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for worker in workers:
        _, errors = worker.communicate(timeout=HANG)
        assert worker.returncode == 0, errors
    assert len(entries(tmp_path)) == 3
    assert use(tmp_path) == "0"


@posix_only                     # elsewhere a file that is open cannot be replaced: it is then not kept
def test_writers_and_readers(place):
    """A reader sees one of the whole files, or none."""
    code = """if True:
        import sys
        from fastnn.jit import disk
        for i in range(300):
            disk.store("key", bytes([i % 256])*40000)
            found = disk.load("key")
            assert found is not None and len(found) == 40000 and len(set(found)) == 1, found"""
    workers = [subprocess.Popen([sys.executable, "-c", code], cwd=TESTS, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "PYTHONPATH": INSTALLED}) for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=HANG)
        assert worker.returncode == 0, errors
    assert [path.name for path in place.iterdir()] == ["key"]
