"""The command `fastnn catalog`: a page and a picture for every entry, from the rows."""
import contextlib
import io
import json
import re

import pytest

import fastnn
from fastnn.cli import main
from fastnn.registry import folded
from fastnn.schedules import catalogue as schedules

pytest.importorskip("matplotlib")
from fastnn.cli.entries import KINDS, entries  # noqa: E402
from fastnn.cli.pages import marked, slugs  # noqa: E402

LISTED = {"activations": fastnn.activations, "optimizers": fastnn.optimizers, "losses": fastnn.losses,
          "schedules": lambda: [*schedules]}
LINK = re.compile(r"(?<!\\)\]\((?!https?:)([^)#]+)")


def command(*args):
    """(status, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(["catalog", *map(str, args)])
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def figures(path, **changes):
    rows = [{"subject": "activations", "direction": "forward", "dtype": "float32", "size": 1000, "name": "GELU",
             "seconds": {"fastnn": 2e-6, "torch": 9e-6}},
            {"subject": "optimizers", "dtype": "float32", "model": "100x10", "name": "Adam",
             "seconds": {"fastnn": 7.5e-6, "torch": 3e-3}}]
    document = {"versions": {"fastnn": "0.1.0", "torch": "2.14.1", "threads": 2}, "rows": rows, **changes}
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder with everything, and what the command printed."""
    folder = tmp_path_factory.mktemp("catalog")
    status, out, err = command("--out", folder / "pages", "--bench", figures(folder / "bench.json"))
    assert (status, err) == (0, "")
    return folder / "pages", out


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_has_a_page_and_a_picture(written, kind):
    folder, out = written
    names = LISTED[kind]()
    pages = [path for path in (folder / kind).glob("*.md") if path.name != "index.md"]
    titles = {re.sub(r"\\", "", path.read_text("utf-8").partition("\n")[0].removeprefix("# ")) for path in pages}
    assert {*names} <= titles and len(titles) == len(pages)
    for path in pages:
        text = path.read_text("utf-8")
        assert text.count("```") % 2 == 0 and text.count("```python") == 1
        assert f"({path.stem}.svg)" in text
        picture = path.with_suffix(".svg").read_text("utf-8")
        assert "<svg" in picture and picture.rstrip().endswith("</svg>")
    assert sum(len([*(folder / each).glob("*.md")]) - 1 for each in KINDS) == int(out.split()[1])


def test_links_lead_somewhere(written):
    folder, _ = written
    paths = [*folder.rglob("*.md")]
    for path in paths:
        for link in LINK.findall(path.read_text("utf-8")):
            assert (path.parent / link).is_file(), (path, link)
    listed = {name for path in paths if path.name == "index.md"
              for name in re.findall(r"^([\w/-]+)$", path.read_text("utf-8").partition("{toctree}")[2], re.MULTILINE)}
    assert {path.stem for path in paths if path.name != "index.md"} <= {name.rpartition("/")[2] for name in listed}


def test_what_a_page_says(written):
    folder, _ = written
    gelu = (folder / "activations/gelu.md").read_text("utf-8")
    assert "x Phi(x)" in gelu and "| 1 | 0.84134 | 1.0833 |" in gelu and "2, 4 and 16 ULP" in gelu
    assert "arxiv.org/abs/1606.08415" in gelu and "| PyTorch | `GELU` |" in gelu
    assert "| forward, 1,000 elements, float32 | 2 us | 9 us | 4.5 |" in gelu
    adam = (folder / "optimizers/adam.md").read_text("utf-8")
    assert "v += (1 - beta2)(g^2 - v);" in adam and "| `beta2` | `0.999` | at least 0, below 1 |" in adam
    assert "| PyTorch | `Adam` |" in adam and "| Keras | `Adam` (with its own arithmetic) |" in adam
    assert "100x10" in adam and "400" in adam and "m, v" in adam
    assert "Speed" not in (folder / "optimizers/sgd.md").read_text("utf-8")
    assert "| optax | `nadam` (with its own arithmetic) |" in (folder / "optimizers/nadam.md").read_text("utf-8")


def test_the_same_bytes_each_time(tmp_path):
    entry = entries("losses")[0]
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        entry.draw(file)
    assert files[0].getvalue() == files[1].getvalue()


def test_formulas_of_users(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    pytest.importorskip("sympy")
    monkeypatch.setattr("fastnn.cli.pages.KINDS", ("activations",))
    formulas = tmp_path / "own.py"
    formulas.write_text('from fastnn import register_act\n\n\n@register_act("cubic/own", a=2.0)\ndef f(x, a):\n'
                        '    """a x^3."""\n    return a*x*x*x\n')
    try:
        status, _, err = command("--import", formulas, "--out", tmp_path / "pages")
        assert (status, err) == (0, "")
        text = (tmp_path / "pages/activations/cubic-own.md").read_text("utf-8")
        assert "a x^3" in text and "| 2 | 16 | 24 | 24 |" in text
    finally:
        fastnn.unregister("cubic/own")


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("{", "no JSON"), ("[]", "not what fastnn bench"),
                                               ('{"rows": [1], "versions": {}}', "not what fastnn bench"), ("\0", "no JSON")])
def test_figures_that_are_none(tmp_path, content, says):
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_text(content)
    status, out, err = command("--bench", path, "--out", tmp_path / "pages")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert says in err and not (tmp_path / "pages").exists()


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below", "pages.png"):
        status, said, err = command("--out", out)
        assert (status, said, len(err.splitlines())) == (2, "", 1)
    (tmp_path / "pages" / "activations" / "relu.svg").mkdir(parents=True)
    status, _, err = command("--out", tmp_path / "pages")
    assert status == 2 and "relu.svg" in err and "it is a folder" in err


def test_names_of_files():
    assert slugs(["GELU-tanh", "f+", "f-", "µ", "a/b"]) == ["gelu-tanh", "f", "f-2", "entry", "a-b"]
    assert len({*slugs(["x y", "x-y", "x_y"])}) == 3


def test_markup_of_docstrings():
    assert marked("a_b `c_d` ``e|f`` arXiv 1412.6980") == \
        "a\\_b `c_d` `e|f` [arXiv 1412.6980](https://arxiv.org/abs/1412.6980)"


def test_folded_names_are_unique():
    """So that names of files are."""
    for names in LISTED.values():
        assert len({folded(name) for name in names()}) == len(names())
