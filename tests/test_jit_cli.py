"""Registered entries on the command line and in pickles."""
import copy
import json
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("sympy")

import fastnn
from fastnn import get_act, get_opt, register_act, register_opt, unregister
from fastnn.cli import main
from helpers import HANG, python

FORMULAS = """
import math
from fastnn import register_act, register_loss, register_opt

@register_act("wave", a=1.0)
def wave(x, a):
    return x + math.sin(a*x)

@register_opt("halved", state=("m",), lr=0.01)
def halved(g, m, h):
    return -h.lr*(g + m)/2, g

@register_loss("robust", c=2.0, aliases=("cauchy",))
def robust(y, t, c):
    return c*c*math.log1p(((y - t)/c)**2)/2
"""


@pytest.fixture
def formulas(tmp_path):
    path = tmp_path / "my-formulas.py"
    path.write_text(FORMULAS)
    return path


def run(*args, cwd):
    return subprocess.run([sys.executable, "-m", "fastnn", *map(str, args)], cwd=cwd, capture_output=True, text=True,
                          timeout=HANG, env={**os.environ, "PYTHONWARNINGS": "error"})


def succeed(*args, cwd):
    done = run(*args, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_list_marks_what_is_registered(formulas, tmp_path):
    lines = succeed("list", "--import", formulas, cwd=tmp_path).splitlines()
    assert f"activations ({len(fastnn.activations()) + 1}, 1 of them registered)" in lines
    assert f"optimizers ({len(fastnn.optimizers()) + 1}, 1 of them registered)" in lines
    marked = [line.split() for line in lines if line.endswith("(registered)")]
    assert marked == [["wave", "a=1.0", "(registered)"], ["halved", "lr=0.01", "(registered)"],
                      ["robust", "c=2.0", "(registered)"]]
    assert "registered" not in succeed("list", cwd=tmp_path)


def test_modules_are_found_in_the_current_folder(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "formulas.py").write_text(FORMULAS)
    assert "wave" in succeed("list", "activations", "--import", "package.formulas", cwd=tmp_path)


def test_plot_draws_what_is_registered(formulas, tmp_path):
    succeed("plot", "--import", formulas.name, "wave", "--out", "pictures", cwd=tmp_path)
    assert (tmp_path / "pictures" / "activations.png").stat().st_size > 5000
    succeed("plot", "--import", formulas.name, "cauchy", "Huber", "ReLU", "--out", "losses.png", cwd=tmp_path)
    assert (tmp_path / "losses.png").stat().st_size > 5000
    succeed("plot", "--import", formulas.name, "--trajectories", "halved", cwd=tmp_path)
    assert (tmp_path / "trajectories.png").stat().st_size > 5000


def test_compare_trains_with_what_is_registered(formulas, tmp_path):
    succeed("compare", "--import", formulas.name, "--optimizers", "halved,SGD", "--activation", "wave", "--iterations",
            5, "--hidden", 8, "--jobs", 2, cwd=tmp_path)
    document = json.loads((tmp_path / "compare.json").read_text())
    assert document["settings"]["activation"] == "wave"
    runs = {one["name"]: one for one in document["optimizers"]}
    assert runs["halved"]["status"] == "finished" and runs["halved"]["hyperparameters"] == {"lr": 0.01}
    # the first delta is half of SGD's, so the first losses agree and the others do not
    assert runs["halved"]["loss"][0] == runs["SGD"]["loss"][0]
    assert runs["halved"]["loss"][2] != runs["SGD"]["loss"][2]


def test_bench_times_what_is_registered(formulas, tmp_path):
    out = succeed("bench", "activations", "--import", formulas.name, "--names", "wave", "--sizes", 1000, "--rounds", 1,
                  "--pause", 0, "--peers", "numpy", cwd=tmp_path)
    assert "wave" in out


@pytest.mark.parametrize(("text", "told"), [
    ("x = 1/0", "ZeroDivisionError: division by zero"), ("import nowhere_to_be_found", "ModuleNotFoundError"),
    ("def", "SyntaxError"), ("raise SystemExit('no')", "SystemExit: no"),
    ("from fastnn import register_act\n@register_act('ReLU')\ndef f(x): return x", "the name 'ReLU' is taken"),
    ("from fastnn import register_act\n@register_act('new')\ndef f(x): return float.fromhex(x)", "line 3"),
    ("from fastnn import register_act\n@register_act('new')\ndef f(x): return x*x\n@f.derivative\ndef _(x): return x",
     "the first derivative of new is wrong: at x = ")])
def test_an_import_that_fails_is_one_line(text, told, tmp_path):
    (tmp_path / "bad.py").write_text(text)
    done = run("list", "--import", "bad.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fastnn list: --import bad.py: ") and done.stderr.count("\n") == 1
    assert told in done.stderr


@pytest.mark.parametrize("name", ["missing.py", "missing.module", "", "folder/", "notes.txt/x"])
def test_an_import_that_is_missing_is_one_line(name, tmp_path):
    (tmp_path / "folder").mkdir()
    done = run("list", "--import", name, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_a_file_is_run_once_a_process(formulas, capsys):
    try:
        for _ in range(2):
            assert main(["list", "optimizers", "--import", str(formulas), "--import", str(formulas)]) == 0
        assert "halved" in capsys.readouterr().out
    finally:
        for name in ("wave", "halved", "robust"):
            unregister(name)


@pytest.fixture
def registered():
    @register_act("wave", a=1.0)
    def wave(x, a):
        return x + math.sin(a*x)

    @register_opt("halved", state=("m",), stored={"m": "linear"}, lr=0.01)
    def halved(g, m, h):
        return -h.lr*(g + m)/2, g
    yield
    for name in ("wave", "halved"):
        if name in (*fastnn.activations(), *fastnn.optimizers()):
            unregister(name)


def test_commands_see_what_this_process_has_registered(registered, tmp_path, capsys):
    assert main(["list"]) == 0
    assert capsys.readouterr().out.count("(registered)") == 2
    assert main(["plot", "wave", "--out", str(tmp_path)]) == 0
    assert main(["compare", "--optimizers", "SGD", "--iterations", "2", "--hidden", "4", "--out", str(tmp_path)]) == 0


def test_compare_needs_a_module_that_other_processes_can_import(tmp_path):
    done = python("from fastnn import register_opt\n"
                  "@register_opt('halved', lr=0.01)\n"
                  "def halved(g, h): return -h.lr*g/2\n"
                  "from fastnn.cli import main\n"
                  f"raise SystemExit(main(['compare', '--optimizers', 'halved', '--out', {str(tmp_path)!r}]))")
    assert done.returncode == 2
    assert done.stderr.startswith("fastnn compare: halved is registered in __main__") and "--import" in done.stderr


# Pickles

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy,
          "pickle": lambda made: pickle.loads(pickle.dumps(made)),
          "old pickle": lambda made: pickle.loads(pickle.dumps(made, 2))}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies(copied, registered):
    act, x = get_act("wave", a=0.7), np.linspace(-3, 3, 20)
    again = copied(act)
    assert type(again) is type(act) and repr(again) == repr(act) == "get_act('wave', a=0.7)"
    assert again(x).tobytes() == act(x).tobytes()
    again.a = 2.0
    assert act.a == 0.7 and (again(x) != act(x)).any()

    opt = get_opt("halved", lr=0.5, state_dtype="int8")
    again = copied(opt)
    assert type(again) is type(opt)
    assert repr(again) == repr(opt) == "get_opt('halved', lr=0.5, state_dtype='int8')"
    assert again.update(np.float32([4])) == opt.update(np.float32([4])) == -1


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_state_goes_along(copied, registered):
    opt = get_opt("halved")
    opt.update(np.ones(3))
    again = copied(opt)
    assert again.t == 1 and again.state.keys() == opt.state.keys() == {0}
    again.update(np.ones(3))
    assert opt.t == 1


def test_pickles_of_what_is_not_registered_say_so(registered):
    stored = {"wave": pickle.dumps(get_act("wave")), "halved": pickle.dumps(get_opt("halved"))}
    for name, text in stored.items():
        unregister(name)
        with pytest.raises(ValueError, match=f"is registered as '{name}' here: what registers it must run before"):
            pickle.loads(text)


def test_a_pickle_does_not_become_the_built_in_entry_of_that_name():
    @register_act("tanh", replace=True)
    def tanh(x):
        return 2*x
    text = pickle.dumps(get_act("tanh"))
    assert pickle.loads(text)(3.0) == 6
    unregister("tanh")
    with pytest.raises(ValueError, match="is registered as 'tanh' here"):
        pickle.loads(text)


def test_another_process_imports_the_module_that_registers(tmp_path):
    (tmp_path / "wave_formulas.py").write_text(FORMULAS)
    make = ("import pathlib, pickle, sys; sys.path.insert(0, sys.argv[1]); import wave_formulas, fastnn\n"
            "made = fastnn.get_act('wave', a=2), fastnn.get_opt('halved', lr=3)\n"
            "pathlib.Path(sys.argv[2]).write_bytes(pickle.dumps(made))")
    read = ("import pathlib, pickle, sys; sys.path.insert(0, sys.argv[1])\n"
            "print(*pickle.loads(pathlib.Path(sys.argv[2]).read_bytes()))")
    assert python(make, tmp_path, tmp_path / "pickle").returncode == 0
    done = python(read, tmp_path, tmp_path / "pickle")
    assert (done.stdout, done.stderr) == ("get_act('wave', a=2.0) get_opt('halved', lr=3.0)\n", "")
