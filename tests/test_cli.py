"""The command line as a user meets it: another process, real files, real signals."""
import contextlib
import gzip
import io
import itertools
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnn
import fastnn.datasets
from fastnn.cli import build_parser, main
from fastnn.cli.experiment import Run, Settings, build_optimizer, train
from fastnn.cli.families import WELL_KNOWN, by_family, family_of, named, well_known
from fastnn.cli.subjects import learned_forms
from helpers import HANG

pytest.importorskip("matplotlib")
from fastnn.cli.figures.curves import TOGETHER, draw_curves  # noqa: E402

SMALL = ("--iterations", "6", "--hidden", "8,8", "--batch-size", "16")
PNG = b"\x89PNG\r\n\x1a\n"


def command(*args):
    return [sys.executable, "-m", "fastnn", *map(str, args)]


def run(*args, cwd):
    """The finished process. pytest's warnings are errors there too."""
    return subprocess.run(command(*args), cwd=cwd, env={**os.environ, "PYTHONWARNINGS": "error"},
                          capture_output=True, text=True, timeout=HANG)


def succeed_alone(*args, cwd):
    process = run(*args, cwd=cwd)
    assert process.stderr == ""
    assert process.returncode == 0
    return process.stdout


def succeed(*args, cwd):
    """In this process, which is faster."""
    out, err, before = io.StringIO(), io.StringIO(), os.getcwd()
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([str(arg) for arg in args])
    except SystemExit as end:
        status = end.code
    finally:
        os.chdir(before)
    assert err.getvalue() == ""
    assert status == 0
    return out.getvalue()


def read_json(path):
    """The document in strict JSON: a NaN or Infinity is an error."""
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")
    return json.loads(path.read_text(), parse_constant=refuse)


def by_name(folder):
    return {one["name"]: one for one in read_json(folder / "compare.json")["optimizers"]}


def write_idx(folder, images=40, rows=3, columns=2):
    """A folder with four small IDX files, the test set gzipped."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part, opener, suffix in (("train", open, ""), ("t10k", gzip.open, ".gz")):
        pixels = rng.integers(256, size=(images, rows, columns), dtype=np.uint8)
        with opener(folder / f"{part}-images-idx3-ubyte{suffix}", "wb") as file:
            file.write(struct.pack(">4I", 0x803, *pixels.shape) + pixels.tobytes())
        with opener(folder / f"{part}-labels-idx1-ubyte{suffix}", "wb") as file:
            file.write(struct.pack(">2I", 0x801, images) + (np.arange(images, dtype=np.uint8) % 10).tobytes())
    return folder


def table(out):
    """{the line above a family: the names below it} of what compare or list have printed."""
    found = {}
    for line in out.splitlines():
        if re.match(r"[a-z0-9_]+-family", line):
            found[line] = names = []
        elif line.startswith("  "):
            names.append(line.split()[0])
    return found


def by_family_of(names):
    return {f"{family}-family": members for family, members in by_family(names).items()}


# compare

def test_compare_writes_table_picture_and_curves(tmp_path):
    out = succeed_alone("compare", "--optimizers", "adam,S-G-D", "Momentum", "--out", "new/folder", *SMALL,
                        cwd=tmp_path)
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["compare.json", "compare.png"]
    assert (folder / "compare.png").read_bytes().startswith(PNG)

    document = read_json(folder / "compare.json")
    assert document["complete"] is True
    assert document["versions"]["fastnn"] == fastnn.__version__
    assert document["versions"]["numpy"] == np.__version__
    assert document["settings"]["layer_sizes"] == [64, 8, 8, 10]
    assert document["settings"]["seed"] == 0
    runs = document["optimizers"]
    assert {one["name"] for one in runs} == {"Adam", "SGD", "Momentum"}
    assert [one["final_loss"] for one in runs] == sorted(one["final_loss"] for one in runs)
    for one in runs:
        assert one["status"] == "finished"
        assert len(one["loss"]) == one["iterations"] == 6
        assert one["final_loss"] == one["loss"][-1]        # 5 % of six iterations is the last one
        assert 0 <= one["test_accuracy"] <= 1
        assert 0 < one["update_us"] < one["step_us"]
    assert len({one["loss"][0] for one in runs}) == 1, "the same weights and the same first batch"
    assert len({one["loss"][2] for one in runs}) == 3

    assert table(out) == by_family_of([one["name"] for one in runs])
    ranks = {line.split()[0]: int(line.split()[3]) for line in out.splitlines() if line.startswith("  ")}
    assert ranks == {one["name"]: rank for rank, one in enumerate(runs, start=1)}
    assert "\x1b" not in out and "\r" not in out


OF_WHOLE_DATA = {"Rprop"}       # the sign of a batch's gradient changes by chance, as its docstring says


def test_every_optimizer_trains_the_digits(tmp_path):
    out = succeed("compare", "--optimizers", "all", cwd=tmp_path)
    runs = by_name(tmp_path)
    assert set(runs) == set(fastnn.optimizers())
    reached = {name: one["test_accuracy"] for name, one in runs.items() if name not in OF_WHOLE_DATA}
    assert {name: accuracy for name, accuracy in reached.items() if not (accuracy or 0) >= 0.95} == {}
    assert f"{len(runs)} optimizers: " in out


def test_compare_takes_the_best_known_ones_unless_told_otherwise(tmp_path):
    out = succeed("compare", *SMALL, cwd=tmp_path)
    runs = by_name(tmp_path)
    assert {*WELL_KNOWN} <= {*fastnn.optimizers()}
    assert {one["family"] for one in runs.values()} == {family_of(name) for name in fastnn.optimizers()}
    assert {*runs} == {*well_known()}
    assert out.startswith(f"{len(runs)} optimizers, the best known of {len(fastnn.optimizers())} (--optimizers all): ")


def test_families(tmp_path):
    """A name that is an optimizer's own is the optimizer; no optimizer is in two families, or in none."""
    out = succeed("compare", "--optimizers", "Santa Family,sgd", *SMALL, cwd=tmp_path)
    assert {name: one["family"] for name, one in by_name(tmp_path).items()} == {
        "SantaE": "santa", "SantaSSS": "santa", "SGD": "sgd"}
    assert table(out)["sgd-family"] == ["SGD"] and {*table(out)["santa-family"]} == {"SantaE", "SantaSSS"}
    assert {"Adam", "Nadam"} <= {*named(["adam-family"])} == {*named(["ADAM", "adamfamily"])}
    assert named(["santa"]) == named(["santa-family"]) and named(["all"]) == fastnn.optimizers()
    families = [named([f"{family}-family"]) for family in {*map(family_of, fastnn.optimizers())}]
    assert sorted(sum(families, [])) == sorted(fastnn.optimizers())
    with pytest.raises(ValueError, match="did you mean adam-family"):
        named(["adam-famly"])


def test_a_row_may_be_compared_with_other_arguments(monkeypatch):
    monkeypatch.setattr(type(fastnn.get_opt("Adam")), "compared_with", {"lr": 0.5, "beta1": 0.25})
    assert (build_optimizer("Adam").lr, build_optimizer("Adam").beta1) == (0.5, 0.25)
    assert (build_optimizer("Adam", 0.125).lr, build_optimizer("AMSGrad").lr) == (0.125, 0.001)


@pytest.mark.parametrize("count", [TOGETHER, TOGETHER + 1, 70])
def test_the_picture_has_a_panel_for_each_family_where_curves_are_many(count, monkeypatch):
    families, drawn = ["sgd", "adaptive", "adam", "santa"], []
    monkeypatch.setattr("fastnn.cli.figures.curves.save", lambda figure, file: drawn.append(figure))
    loss = [2.0, 1.5, 1.0, 0.5]
    runs = [Run(f"rule{i}", families[i % 4], 0.1, {}, "finished", 4, 0.5 + i, 0.9, 1.0, 2.0, loss) for i in range(count)]
    runs[1] = Run("rule1", "adaptive", 0.1, {}, "diverged", 2, loss=loss[:2])
    draw_curves(None, [*runs, Run("stopped", "sgd", 0.1, {}, "interrupted")], "title")
    panels = drawn[0].axes
    told = {axes.get_title("left"): [text.get_text() for text in axes.texts] for axes in panels}
    assert len(panels) == (1 if count <= TOGETHER else 4)
    for run in runs:
        told_in = [title for title, words in told.items() if run.name in words]
        assert told_in == ["" if count <= TOGETHER else f"{run.family}-family"]
    assert len({axes.get_ylim() for axes in panels}) == 1, "the same scales"
    boxes = [axes.get_position() for axes in panels]
    assert all(0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_curves_do_not_depend_on_the_number_of_processes(tmp_path):
    for jobs in (1, 2):
        succeed("compare", "--jobs", jobs, "--optimizers", "SGD,Adam,Eve,SantaE", "--iterations", 12,
                "--dropout", ".2", "--batchnorm", "--weight-decay", "1e-4", "--dtype", "float64",
                "--activation", "mish", "--seed", 5, "--out", f"jobs{jobs}", cwd=tmp_path)
    settings = read_json(tmp_path / "jobs1" / "compare.json")["settings"]
    assert settings.items() >= {
        "iterations": 12, "batch_size": 128, "hidden": [100] * 4, "activation": "Mish", "seed": 5,
        "dtype": "float64", "weight_decay": 1e-4, "dropout": 0.2, "batchnorm": True, "jobs": 1}.items()
    one, two = by_name(tmp_path / "jobs1"), by_name(tmp_path / "jobs2")
    assert set(one) == {"SGD", "Adam", "Eve", "SantaE"}
    for name, run_ in one.items():
        for key in ("status", "iterations", "loss", "final_loss", "test_accuracy", "hyperparameters"):
            assert run_[key] == two[name][key]


@pytest.mark.parametrize("setting", [
    {"seed": 1}, {"dtype": "float64"}, {"activation": "tanh"}, {"batchnorm": True}, {"weight_decay": 0.1},
    {"dropout": 0.5}, {"batch_size": 17}, {"hidden": (8, 9)}])
def test_each_setting_changes_the_curve(setting):
    def curve(**changed):
        settings = Settings(**{"iterations": 3, "hidden": (8, 8), **changed})
        digits = fastnn.datasets.load_digits(dtype=settings.dtype)
        return train("SGD", None, settings, digits, lambda done: None).loss
    assert curve(**setting) != curve() == curve()


def test_a_batch_may_be_larger_than_the_data(tmp_path):
    succeed("compare", "--optimizers", "SGD", "--iterations", 1, "--batch-size", 3000, "--hidden", 1,
            cwd=tmp_path)
    assert len(by_name(tmp_path)["SGD"]["loss"]) == 1


def test_divergence_is_shown_and_stops_nobody_else(tmp_path):
    out = succeed("compare", "--optimizers", "SGD,Momentum,Adam", "--lr", "SGD=1e30", "--lr", "momentum=1e30",
                  *SMALL, cwd=tmp_path)
    runs = by_name(tmp_path)
    assert runs["Adam"]["status"] == "finished"
    for name in ("SGD", "Momentum"):
        one = runs[name]
        assert one["status"] == "diverged"
        assert one["final_loss"] is one["test_accuracy"] is None
        assert len(one["loss"]) == one["iterations"] < 6, "stopped at once"
        assert one["loss"][0] is not None
        assert re.search(rf"^  {name} +1e\+30 +diverged at iteration {one['iterations']}$", out, re.MULTILINE)


def test_all_may_diverge(tmp_path):
    succeed("compare", "--optimizers", "SGD", "--lr", "SGD=1e30", *SMALL, cwd=tmp_path)
    assert (tmp_path / "compare.png").read_bytes().startswith(PNG)


def test_a_learning_rate_given_twice_is_the_last(tmp_path):
    succeed("compare", "--optimizers", "SGD", "--lr", "SGD=1e30", "--lr", "SGD=0.25", *SMALL, cwd=tmp_path)
    assert by_name(tmp_path)["SGD"]["lr"] == 0.25


def test_compare_reads_idx_files(tmp_path):
    write_idx(tmp_path / "data")
    succeed("compare", "--data", "data", "--optimizers", "SGD", *SMALL, cwd=tmp_path)
    settings = read_json(tmp_path / "compare.json")["settings"]
    assert settings["layer_sizes"] == [6, 8, 8, 10]
    assert (settings["train_images"], settings["data"]) == (40, "data")


# bench

QUICK = ("--peers", "numpy", "--sizes", "7,1e2", "--models", "100x10", "--rounds", 1, "--pause", 0)


def test_bench_writes_table_chart_and_figures(tmp_path):
    out = succeed_alone("bench", "--names", "relu,Adam", "soft_max", *QUICK, "--dtype", "float64,float32",
                        "--json", "new/bench.json", "--out", "new/chart.png", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["bench.json", "chart.png"]
    assert (tmp_path / "new" / "chart.png").read_bytes().startswith(PNG)
    document = read_json(tmp_path / "new" / "bench.json")
    assert document["complete"] is True
    assert document["settings"] == {"rounds": 1, "pause_ms": 0, "peers": ["numpy"]}
    assert document["versions"]["threads"] == fastnn.get_num_threads()
    rows = document["rows"]
    activations = [row for row in rows if row["subject"] == "activations"]
    assert {(row["direction"], row["dtype"], row["size"], row["name"]) for row in activations} == {
        (direction, dtype, size, name) for direction in ("forward", "backward")
        for dtype in ("float32", "float64") for size in (7, 100) for name in ("ReLU", "softmax")}
    steps = [row for row in rows if row["subject"] == "optimizers"]
    assert [(row["dtype"], row["model"], row["name"]) for row in steps] == [
        ("float64", "100x10", "Adam"), ("float32", "100x10", "Adam")]
    for row in rows:
        assert set(row["seconds"]) == {"fastnn", "numpy"}
        assert row["best_peer"] == "numpy"
        assert row["ratio"] == pytest.approx(row["seconds"]["numpy"] / row["seconds"]["fastnn"])
    assert len(re.findall("^ReLU .* us .* NumPy$", out, re.MULTILINE)) == 8
    assert "\x1b" not in out and "\r" not in out


def test_bench_takes_whole_catalogues(tmp_path):
    succeed("bench", "Activations", "optimizers", "training", *QUICK, "--json", "bench.json", cwd=tmp_path)
    assert (tmp_path / "bench.png").read_bytes().startswith(PNG)
    rows = read_json(tmp_path / "bench.json")["rows"]
    assert {row["name"] for row in rows if row["subject"] == "optimizers"} == set(fastnn.optimizers())
    assert {row["name"] for row in rows if row["subject"] == "activations"} == {
        *fastnn.activations(), *learned_forms()} - {*fastnn.activations("layer")}
    training, = (row for row in rows if row["subject"] == "training")
    assert (training["yardstick"], training["best_peer"], training["ratio"]) == ("numpy", None, None)


def test_bench_takes_families(tmp_path):
    succeed("bench", "--names", "santa-family,SantaE,ReLU", *QUICK, "--json", "bench.json", cwd=tmp_path)
    rows = read_json(tmp_path / "bench.json")["rows"]
    assert [row["name"] for row in rows if row["subject"] == "optimizers"] == ["SantaE", "SantaSSS"]
    assert {row["name"] for row in rows if row["subject"] == "activations"} == {"ReLU"}


def test_bench_imports_only_the_peers_asked_for(tmp_path):
    code = ("import sys; from fastnn.cli import build_parser, main; "
            f"status = main(['bench', 'training', *map(str, {QUICK})]); "
            "print(status, sorted({'torch', 'jax', 'optax', 'sklearn'} & set(sys.modules)))")
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.endswith("\n0 []\n"), process.stderr


@pytest.mark.parametrize("peer, subject, install", [
    ("torch", "training", "pip install torch"), ("jax", "optimizers", "pip install jax optax"),
    ("sklearn", "training", "pip install scikit-learn")])
def test_bench_says_how_to_get_a_peer(fails, monkeypatch, peer, subject, install):
    monkeypatch.setitem(sys.modules, peer, None)
    fails(["bench", subject, "--peers", f"numpy,{peer}"], peer, install)


def test_bench_says_that_a_peer_is_broken(tmp_path, fails, monkeypatch):
    (tmp_path / "torch.py").write_text("import nothing_of_that_name")
    monkeypatch.setitem(sys.modules, "torch", None)
    del sys.modules["torch"]
    monkeypatch.delitem(sys.modules, "fastnn.cli.peers.with_torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    fails(["bench", "--peers", "torch"], "PyTorch is installed", "nothing_of_that_name")


# Ctrl-C

def hear_ctrl_c():
    """A shell starts background jobs, this test run perhaps, with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*args, cwd):
    """A process in a group of its own, so that a signal reaches it and its workers as Ctrl-C would."""
    return subprocess.Popen(command(*args), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, start_new_session=True, preexec_fn=hear_ctrl_c)


def interrupt(process):
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    end = time.monotonic() + HANG
    while time.monotonic() < end:       # no worker is left behind
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return out, err
        time.sleep(0.01)
    raise AssertionError("a worker is still there")


posix = pytest.mark.skipif(os.name != "posix", reason="process groups and terminals of POSIX")


@posix
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    # Two rates so high that they diverge at once, then a run that would take hours.
    for seconds in 0.3*2.0**np.arange(12):          # until the third has said how far it is, if the machine is busy
        process = start("compare", "--jobs", 1, "--optimizers", "SGD,MSGD,Adam,Eve", "--lr", "SGD=1e30",
                        "--lr", "MSGD=1e30", "--iterations", 10**8, "--hidden", 8, cwd=tmp_path)
        for line in process.stdout:
            if line.startswith("2/4"):
                break
        time.sleep(seconds)
        out, err = interrupt(process)
        assert (process.returncode, err) == (130, "")
        if re.search(r"^  Adam .* interrupted at iteration [1-9]\d*$", out, re.MULTILINE):
            break
    assert "Eve" not in out
    assert read_json(tmp_path / "compare.json")["complete"] is False
    runs = by_name(tmp_path)
    assert {name: one["status"] for name, one in runs.items()} == {
        "SGD": "diverged", "MSGD": "diverged", "Adam": "interrupted"}
    assert runs["Adam"]["iterations"] > 0
    assert (tmp_path / "compare.png").read_bytes().startswith(PNG)


@posix
def test_ctrl_c_before_anything_is_finished(tmp_path):
    process = start("compare", "--optimizers", "SGD,Adam", "--iterations", 10**8, cwd=tmp_path)
    process.stdout.readline()
    out, err = interrupt(process)
    assert process.returncode == 130
    assert err == "fastnn compare: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@posix
def test_ctrl_c_keeps_the_rows_that_are_finished(tmp_path):
    names = ["ReLU", "tanh", "sigmoid", "ELU", "SELU", "CELU", "softplus", "softsign", "Swish", "GELU", "Mish"]
    process = start("bench", "--names", ",".join(names), "--peers", "numpy", "--sizes", 10, "--rounds", 10,
                    "--pause", 50, "--json", "bench.json", cwd=tmp_path)
    for line in process.stdout:
        if line.startswith("ReLU"):
            break
    out, err = interrupt(process)           # each of the others takes a second, or more
    assert (process.returncode, err) == (130, "")
    document = read_json(tmp_path / "bench.json")
    assert document["complete"] is False
    rows = [row["name"] for row in document["rows"]]
    assert rows == names[:len(rows)] and 1 <= len(rows) < len(names)
    assert (tmp_path / "bench.png").read_bytes().startswith(PNG)


@pytest.mark.skipif(not os.path.exists(f"/proc/self/task/{os.getpid()}/children"), reason="no Linux /proc")
def test_a_killed_worker_is_one_line(tmp_path):
    process = start("compare", "--jobs", 1, "--optimizers", "SGD", "--iterations", 10**8, cwd=tmp_path)
    process.stdout.readline()
    children = []
    while not children:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            children = file.read().split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 2
    said = "fastnn compare: (SGD|a worker): the process that trained was killed by SIGKILL\n"
    assert re.fullmatch(said, err)


def shown_on_a_terminal(*args, cwd):
    import pty
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(*args), cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs,
                               env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"})
    os.close(theirs)
    shown = b""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:     # how Linux says that the other side is closed
                break
    os.close(ours)
    assert process.wait(timeout=HANG) == 0
    return shown.decode()


@posix
def test_a_terminal_gets_a_progress_bar_and_colours(tmp_path):
    text = shown_on_a_terminal("compare", "--optimizers", "SGD,Adam", "--lr", "SGD=1e30", *SMALL, cwd=tmp_path)
    assert "2/2" in text and "\x1b[" in text
    assert re.search(r"\x1b\[31m  SGD +1e\+30 +diverged at iteration \d", text)


@posix
def test_a_terminal_gets_the_rows_of_bench_as_they_come(tmp_path):
    text = shown_on_a_terminal("bench", "activations", "--names", "GELU,ReLU", *QUICK, cwd=tmp_path)
    assert "activations: ReLU" in text and "4/8" in text
    assert len(re.findall(r"\x1b\[3[12]mGELU +\*?\d", text)) == 4


# bad input

def is_one_line(status, err, *fragments):
    """Exit status 2 and exactly one line on stderr, with all the fragments."""
    assert status == 2, err
    assert err.endswith("\n") and err.count("\n") == 1, err
    assert err.startswith("fastnn")
    for fragment in fragments:
        assert fragment in err


@pytest.fixture
def fails(tmp_path, capsys, monkeypatch):
    """Call the command line in this process, which is faster: it says one line and leaves no file behind."""
    monkeypatch.chdir(tmp_path)

    def call(args, *fragments):
        before = sorted(tmp_path.rglob("*"))
        try:
            status = main(args)
        except SystemExit as error:
            status = error.code
        said = capsys.readouterr()
        is_one_line(status, said.err, *fragments)
        assert said.out == ""
        assert sorted(tmp_path.rglob("*")) == before
    return call


@pytest.mark.parametrize("args, fragment", [
    ("compare --optimizers Adem", "Adam"),
    ("compare --data nowhere", "nowhere"),
    ("compare --seed x", "--seed"),
])
def test_a_process_that_cannot_go_on(tmp_path, args, fragment):
    process = run(*args.split(), cwd=tmp_path)
    is_one_line(process.returncode, process.stderr, fragment)
    assert process.stdout == ""


@pytest.mark.parametrize("args, fragment", [
    ("compare --optimizers Adem", "Adam"),
    ("compare --optimizers Adam,nonsense", "nonsense"),
    ("compare --optimizers ,", "at least one name"),
    ("compare --optimizers adm-family", "Unknown family: 'adm-family' (did you mean adam"),
    ("compare --optimizers Adam,xyzzy-family", "Unknown family: 'xyzzy-family' (there are sgd, "),
    ("compare --optimizers adam-family --lr SGD=1", "SGD is not among the optimizers to run"),
    ("compare --lr adam-family=1", "Unknown optimizer"),
    ("bench --names adm-family", "adam"),
    ("bench activations --names adam-family", "Unknown activator: 'adam-family'"),
    ("plot --trajectories adm-family", "Unknown family"),
    ("compare --activation relo", "ReLU"),
    ("compare --activation maxout", "--activation maxout is a layer of its own"),
    ("compare --iterations 0", "--iterations: must be at least 1, not '0'"),
    ("compare --iterations ten", "--iterations: 'ten' is not a whole number"),
    ("compare --iterations 1.5", "--iterations: '1.5' is not a whole number"),
    ("compare --batch-size 0", "--batch-size"),
    ("compare --batch-size 100000000000000", "GiB"),
    ("compare --hidden 100,0", "--hidden"),
    ("compare --hidden ,", "--hidden"),
    ("compare --hidden 10000000,10000000", "GiB"),
    ("compare --hidden 1" + "0" * 400, "GiB"),
    ("compare --seed -1", "--seed"),
    ("compare --jobs 0", "--jobs"),
    ("compare --dtype float16", "--dtype"),
    ("compare --dropout 1", "--dropout: must lie in [0, 1), not '1'"),
    ("compare --dropout nan", "--dropout"),
    ("compare --weight-decay -0.1", "--weight-decay"),
    ("compare --weight-decay inf", "--weight-decay"),
    ("compare --lr 0.1", "--lr: '0.1' is not of the form NAME=VALUE"),
    ("compare --lr SGD=fast", "--lr: 'fast' is not a number"),
    ("compare --lr SGD=-1", "--lr"),
    ("compare --lr SGDD=1", "SGD"),
    ("compare --optimizers Adam --lr SGD=1", "SGD is not among the optimizers to run"),
    ("compare --data nowhere", "nowhere"),
    ("compare --out file/below", "file"),
    ("compare --out file", "file"),
    ("compare --out taken", "compare.png"),
    ("compare --iteration 5", "--iteration"),
    ("compare stray", "stray"),
    ("bench speed", "speed"),
    ("bench --names Adem", "Adam"),
    ("bench activations --names Adam", "Unknown activator: 'Adam'"),
    ("bench activations optimizers --names Adam", "--names has none of the activations"),
    ("bench training --names Adam", "--names Adam"),
    ("bench --names maxout", "maxout is a layer"),
    ("bench --peers torchy", "--peers: 'torchy' is none of numpy, torch, jax, sklearn"),
    ("bench --peers ,", "at least one name"),
    ("bench activations --peers sklearn", "scikit-learn takes part in training"),
    ("bench --sizes 0", "--sizes"),
    ("bench --sizes 1.5", "--sizes: '1.5' is not a whole number"),
    ("bench --sizes 1e3,inf", "--sizes"),
    ("bench --sizes ,", "--sizes"),
    ("bench --sizes 1e15", "GiB"),
    ("bench --models MLP", "--models"),
    ("bench --dtype float16", "--dtype"),
    ("bench --rounds 0", "--rounds"),
    ("bench --pause -1", "--pause"),
    ("bench --pause inf", "--pause"),
    ("bench --json figures.txt", "--json: must end in .json, not 'figures.txt'"),
    ("bench --out chart.pdf", "--out: must end in .png"),
    ("bench --peers numpy --out file/below.png", "file"),
    ("bench --peers numpy --out taken/compare.png", "compare.png"),
    ("plot relo", "ReLU"),
    ("plot --trajectories Adem", "Adam"),
    ("plot --out file", "file"),
    ("plot --schedules cosin", "Unknown schedule: 'cosin' (did you mean cosine"),
    ("plot --schedules Adam", "Unknown schedule"),
    ("plot --schedules --out file", "file"),
    ("plot --schedules --trajectories", "not allowed with"),
    ("list optimisers", "optimisers"),
    ("train", "train"),
    ("compare --optimizers Zzyzx", "Unknown optimizer: 'Zzyzx' (there are SGD, MSGD, "),
    ("compare --activation x", "Unknown activator: 'x' (there are step, identity, "),
    ("plot zzzz", "Unknown activator: 'zzzz' (there are step"),
    ("plot --schedules zzzz", "Unknown schedule: 'zzzz' (there are "),
    ("plot --out act.svg", "--out: must be a folder, or a file that ends in .png, not 'act.svg'"),
    ("plot --out file/act.png", "file"),
    ("plot --out taken/compare.svg", "must be a folder"),
    ("compare --out act.png", "--out: must be a folder, and 'act.png' is named like a file"),
    ("compare --out new/compare.json", "named like a file"),
    ("compare --hidden 100 0", "--hidden: must be at least 1, not '0'"),
    ("bench --sizes", "expected at least one argument"),
    ("bench --sizes activations", "--sizes: expected at least one argument"),
    ("bench --sizes 1000 ten", "--sizes: 'ten' is not a number"),
    ("bench --dtype float32 float16", "--dtype: 'float16' is none of float32, float64"),
])
def test_bad_input_is_one_line_and_status_2(tmp_path, fails, args, fragment):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "compare.png").mkdir(parents=True)
    fails(args.split(), fragment)


def missing(path):
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[:-5])


def header_only(path):
    path.write_bytes(path.read_bytes()[:3])


def garbage(path):
    path.write_bytes(b"this is no IDX file, nor gzip")


def too_long(path):
    path.write_bytes(path.read_bytes() + b"x")      # gzip allows zeros


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                  "t10k-images-idx3-ubyte.gz"])
@pytest.mark.parametrize("damage", [missing, truncated, header_only, garbage, too_long])
def test_damaged_data_is_one_line_that_names_the_file(tmp_path, fails, name, damage):
    damage(write_idx(tmp_path / "data") / name)
    fails(["compare", "--data", "data", "--out", "out", *SMALL], name.removesuffix(".gz"))


def test_as_many_labels_as_images(tmp_path, fails):
    folder = write_idx(tmp_path / "data")
    other = write_idx(tmp_path / "other", images=41)
    (other / "train-labels-idx1-ubyte").replace(folder / "train-labels-idx1-ubyte")
    fails(["compare", "--data", "data"], "41", "40")


def run_without_extra(args, cwd):
    code = ("import sys; sys.modules.update(matplotlib=None, rich=None); "
            f"from fastnn.cli import build_parser, main; sys.exit(main({args}))")
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("args", [["compare"], ["bench"], ["plot"]])
def test_without_the_extra_a_line_says_how_to_get_it(tmp_path, args):
    process = run_without_extra(args, tmp_path)
    is_one_line(process.returncode, process.stderr, 'pip install "fastnn[cli]"')


@pytest.mark.parametrize("args", [["list"], ["info"]])
def test_list_and_info_need_nothing_but_numpy(tmp_path, args):
    process = run_without_extra(args, tmp_path)
    assert (process.returncode, process.stderr) == (0, "")


def test_without_a_command_there_is_help(tmp_path):
    assert succeed_alone(cwd=tmp_path) == succeed_alone("--help", cwd=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [
    "bench --sizes 1000 100000 --peers numpy torch --models 100x10 1x1e7 --dtype float64 float32 --names ReLU Mish",
    "bench --sizes 1000,1e5 --peers numpy,torch --models 100x10,1x1e7 --dtype float64,float32 --names ReLU,Mish",
    "bench --sizes 1000 --sizes 1e5 1000 --peers numpy --peers torch --models 100x10 --models 1x1e7 --dtype float64 "
    "--dtype float32 --names ReLU --names Mish"])
@pytest.mark.parametrize("subjects", ["", "activations training"])
def test_lists_stand_apart_by_commas_or_spaces(monkeypatch, words, subjects):
    """Whatever is behind a list, subjects included."""
    seen = []
    monkeypatch.setattr("fastnn.cli.bench.run", lambda options: seen.append(options) or 0)
    for line in (f"{words} {subjects}", f"{words.replace('bench', f'bench {subjects}')}"):
        assert main(line.split()) == 0
    for options in seen:
        assert (options.subjects, options.sizes) == (subjects.split(), [1000, 100000])
        assert options.peers == ["numpy", "torch"]
        assert (options.models, options.dtype) == (["100x10", "1x1e7"], ["float64", "float32"])
        assert options.names == ["ReLU", "Mish"]


def test_hidden_layers_stand_apart_by_commas_or_spaces():
    for words in (["100", "50", "100"], ["100,50,100"], ["100", "50,100"], ["100 50 100"]):
        assert build_parser().parse_args(["compare", "--hidden", *words]).hidden == [100, 50, 100]
    assert build_parser().parse_args(["compare"]).hidden == [100]*4


# plot

def test_plot_writes_to_a_file_of_that_name(tmp_path):
    assert "wrote act.png" in succeed("plot", "mish", "--out", "act.png", cwd=tmp_path)
    assert (tmp_path / "act.png").read_bytes().startswith(PNG)
    succeed("plot", "--schedules", "cosine", "--out", "new/s.PNG", cwd=tmp_path)
    assert (tmp_path / "new" / "s.PNG").read_bytes().startswith(PNG)
    (tmp_path / "folder.png").mkdir()
    succeed("plot", "mish", "--out", "folder.png", cwd=tmp_path)
    assert (tmp_path / "folder.png" / "activations.png").is_file()


def test_plot_draws_every_activation(tmp_path):
    assert "activations.png" in succeed_alone("plot", "--out", "pictures", cwd=tmp_path)
    assert (tmp_path / "pictures" / "activations.png").read_bytes().startswith(PNG)


def test_plot_draws_some_activations(tmp_path):
    succeed("plot", "mish,Leaky_ReLU", "softmax", "maxout", "threshold", "GLU", "prelu", "RReLU", cwd=tmp_path)
    few = (tmp_path / "activations.png").read_bytes()
    succeed("plot", "mish", cwd=tmp_path)
    assert len((tmp_path / "activations.png").read_bytes()) < len(few)


def test_plot_draws_trajectories(tmp_path):
    succeed("plot", "--trajectories", cwd=tmp_path)
    assert (tmp_path / "trajectories.png").read_bytes().startswith(PNG)


def test_plot_draws_schedules(tmp_path):
    assert "schedules.png" in succeed("plot", "--schedules", "--out", "pictures", cwd=tmp_path)
    every = (tmp_path / "pictures" / "schedules.png").read_bytes()
    assert every.startswith(PNG)
    succeed("plot", "--schedules", "one-cycle,Cosine", "reduce_on_plateau", cwd=tmp_path)
    assert len((tmp_path / "schedules.png").read_bytes()) < len(every)


def test_what_is_drawn_of_schedules():
    from fastnn.cli.plot import IMPROVING, LASTING, course
    for name, row in fastnn.schedules.catalogue.items():
        note, values = course(name)
        assert len(values) == LASTING and len(set(values)) > 2, "a picture of a line that is level shows nothing"
        assert values[0] == row.example()(1)
        assert name == "join" or note in repr(row.example()) or "; the metric" in note
    assert f"the metric falls until t = {IMPROVING}" in course("reduce_on_plateau")[0]


def test_no_jump_is_drawn_as_a_slope():
    pytest.importorskip("matplotlib")
    from fastnn.cli.figures.shapes import POINTS, SPAN, broken
    from fastnn.cli.plot import sample
    x = (np.arange(POINTS) + 0.5) / POINTS * 2 * SPAN - SPAN
    gaps = {name: [int(np.isnan(broken(y)).sum()) for y in sample(name)[2](x)]
            for name in fastnn.activations()}
    assert gaps["step"] == [1, 0, 0]
    assert gaps["ReLU"] == [0, 1, 0]
    assert gaps["hard-shrink"] == [2, 2, 0]
    assert gaps["hard-sigmoid"] == gaps["hard-tanh"] == [0, 2, 0]
    assert gaps["ELU"] == [0, 0, 1]
    assert gaps["maxout"] == [0, 2, 0]
    assert gaps["softsign"] == [0, 0, 1]
    assert gaps["ReGLU"] == gaps["PReLU"] == gaps["RReLU"] == [0, 1]
    assert all(gaps[name] == [0, 0] for name in fastnn.activations("gated") if name != "ReGLU")
    smooth = ["tanh", "sigmoid", "Mish", "GELU", "Swish", "tanhExp", "softplus", "softmax", "bent-identity"]
    assert all(gaps[name] == [0, 0, 0] for name in smooth)


# list, info

def test_list_names_everything(tmp_path):
    out = succeed("list", cwd=tmp_path)
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert listed == {*fastnn.activations(), *fastnn.optimizers(), *fastnn.losses()}


def test_list_is_by_family(tmp_path):
    wanted = by_family_of(fastnn.optimizers())
    found = table(succeed("list", "optimizers", cwd=tmp_path))
    assert found == {f"{family} ({len(names)})": names for family, names in wanted.items()}


def test_list_shows_hyperparameters(tmp_path):
    out = succeed("list", "Optimizers", cwd=tmp_path)
    adam = next(line for line in out.splitlines() if line.split()[0] == "Adam")
    assert adam.split(maxsplit=1)[1] == "alpha=0.001, beta1=0.9, beta2=0.999, eps=1e-08"
    assert "sigmoid" not in out


def test_list_shows_options_once(tmp_path):
    out = succeed("list", cwd=tmp_path)
    for option in fastnn.get_opt("SGD").options:
        others = sum(getattr(fastnn.get_opt(name), option) != getattr(fastnn.get_opt("SGD"), option)
                     for name in fastnn.optimizers())
        assert len(re.findall(rf"\b{option}=", out)) == 1 + others
    assert re.search(r"^  AdamW .*eps=1e-08, weight_decay=0.01$", out, re.MULTILINE)
    footer, = [line for line in out.splitlines() if "weight_decay=0.0, " in line]
    assert footer.startswith("and, for all optimizers: ") and "clip_norm=None" in footer


def test_info(tmp_path):
    out = succeed("info", cwd=tmp_path)
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines())
    assert facts["fastnn"] == fastnn.__version__
    assert facts["instruction set"] == fastnn.core.isa()
    assert facts["threads"] == str(fastnn.get_num_threads())
    assert facts["numpy"] == np.__version__


def test_version_and_help(tmp_path):
    assert succeed_alone("--version", cwd=tmp_path) == f"fastnn {fastnn.__version__}\n"
    for words in ([], ["compare"], ["bench"], ["plot"], ["list"], ["info"]):
        assert succeed(*words, "--help", cwd=tmp_path).startswith("usage: fastnn")


@posix
def test_a_reader_may_leave_early(tmp_path):
    process = subprocess.Popen(command("list"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=HANG) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        process = subprocess.run(command("list"), stdout=full, stderr=subprocess.PIPE, text=True,
                                 cwd=tmp_path)
    is_one_line(process.returncode, process.stderr, "No space left")


def test_list_of_a_source(tmp_path):
    out = succeed("list", "activations", "optimizers", "--like", "article", cwd=tmp_path)
    assert "softmax        axis=None" in out and "GELU" not in out and "Lion" not in out
    done = run("list", "--like", "artcle", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "article" in done.stderr


# completion in the shell

def completed(line, cwd, **env):
    """What argcomplete offers at the end of a line."""
    file = cwd / "offered"
    process = subprocess.run(command(), cwd=cwd, capture_output=True, text=True, timeout=HANG, env={
        **os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_SHELL": "bash", "_ARGCOMPLETE_STDOUT_FILENAME": str(file),
        "_ARGCOMPLETE_COMP_WORDBREAKS": " ", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line)), **env})
    assert process.returncode == 0, process.stderr
    return [word.rstrip() for word in file.read_text().splitlines()]


def test_the_shell_completes_names(tmp_path):
    pytest.importorskip("argcomplete")
    assert {"AdaGrad", "AdamW", "adam-family"} <= {*completed("fastnn compare --optimizers ada", tmp_path)}
    assert completed("fastnn plot Mis", tmp_path) == ["Mish"]
    assert completed("fastnn plot --schedules cosine_", tmp_path) == ["cosine_restarts"]
    assert {*completed("fastnn list --like ", tmp_path)} >= {"torch", "optax", "keras"}
    assert {"catalog", "compare"} == {*completed("fastnn c", tmp_path)}


def test_every_argument_that_is_completed_is_there():
    from fastnn.cli.completion import VALUES
    commands = build_parser().commands
    for name, argument in VALUES:
        assert argument in {action.dest for action in commands[name]._actions}
