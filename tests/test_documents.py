"""The Python of README.md and docs/ runs as printed, block after block, given what a reader's program has."""
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn

ROOT = Path(__file__).parents[1]
if not (ROOT / "README.md").is_file():
    pytest.skip("no documents beside the tests", allow_module_level=True)

DOCUMENTS = ["README.md", *(f"docs/{name}.md" for name in (
    "checkpoints", "choosing", "estimators", "formulas", "imports", "losses", "start", "steps"))]
NEEDED = {"fastnn.save(": ["safetensors"], "register_": ["numba", "sympy"], "fastnn.estimators": ["sklearn"],
          ".to_onnx(": ["onnx"]}
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
GENERATED = ("catalogue/", "gallery/", "api/")      # in the site alone, where tools/site.py checks every link


def blocks(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def given():
    """What the texts take for granted."""
    params = {key: np.ones((3, 3)) for key in ("W1", "b1", "gamma1", "embedding")}
    grads = {key: np.full((3, 3), 0.5) for key in params}
    x, w, b = np.linspace(-2, 2, 6), np.ones((3, 2)), np.ones(2)
    X = np.random.default_rng(0).standard_normal((100, 3))
    rows = dict(zip(("anchor", "positive", "negative", "queries", "keys"), X.reshape(5, 20, 3)))
    return {**rows, "np": np, "X": X, "labels": X[:, 0] > 0, "x": x, "var": np.full(6, 0.5), "g": np.ones(6),
            "w": w, "b": b, "grad_w": w/2, "grad_b": b/2, "params": params,
            "grads": grads, "network": SimpleNamespace(params=params)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_blocks_run_as_printed(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(document)
    assert found
    for word, modules in NEEDED.items():
        for module in modules if any(word in block for block in found) else ():
            pytest.importorskip(module)
    space = given()
    before = {*fastnn.activations(), *fastnn.losses(), *fastnn.optimizers()}
    try:
        for block in found:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                exec(compile(block, document, "exec"), space)
    finally:
        for name in {*fastnn.activations(), *fastnn.losses(), *fastnn.optimizers()} - before:
            fastnn.unregister(name)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *(
    path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md")))])
def test_links_lead_somewhere(document):
    folder = (ROOT / document).parent
    missing = [link for link in LINK.findall((ROOT / document).read_text(encoding="utf-8"))
               if not (folder / link).exists() and not link.startswith(GENERATED)]
    assert missing == []


def test_every_option_is_in_the_page_about_steps():
    text = (ROOT / "docs/steps.md").read_text(encoding="utf-8")
    assert [name for name in fastnn.get_opt("SGD").options if f"`{name}`" not in text] == []
