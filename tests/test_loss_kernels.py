"""The loops that the build writes around elementwise losses, from their formulas."""
import sys
from pathlib import Path

import pytest

import fastnn
from fastnn import get_err
from fastnn.core import kernels, losses

ROOT = Path(__file__).parents[1]
if not (ROOT / "setup.py").is_file():
    pytest.skip("no sources beside the tests", allow_module_level=True)
sys.path.insert(0, str(ROOT / "tools"))
import loss_kernels  # noqa: E402

FORMULAS = sorted((ROOT / "fastnn" / "core" / "losses").glob("*.pxd"))


def pair(name="one", constants="", of_slope=None):
    of_slope = constants if of_slope is None else of_slope
    return "".join(f"cdef inline real {called}(real y, real t{rest}) noexcept nogil:\n    return y\n\n\n"
                   for called, rest in ((name, constants), (f"{name}_d1", of_slope)))


@pytest.fixture
def generate(tmp_path):
    def generated(*texts):
        paths = [tmp_path / f"family{i}.pxd" for i in range(len(texts))]
        for path, text in zip(paths, texts):
            path.write_text(text)
        return loss_kernels.kernels(paths)
    return generated


def test_constants_in_order_and_over_several_lines(generate):
    text = generate(pair("one", ", real a,\n        real b"), pair("two"))
    assert '"one": ((<uintptr_t>one[float], <uintptr_t>one[double]), (\'a\', \'b\')),' in text
    assert "one_value[real](a, b, c0, c1)" in text and "two_slope[real](a, b)" in text
    assert "from fastnn.core.losses.family1 cimport (two as two_value, two_d1 as two_slope)" in text


def test_a_third_array(generate):
    third = "cdef inline real one_dv(real y, real t, real v, real a) noexcept nogil:\n    return v\n"
    text = generate(pair("one", ", real v, real a") + third)
    assert '"one": ((<uintptr_t>one[float], <uintptr_t>one[double]), (\'a\',)),' in text.split("OF_THREE = {")[1]
    assert "third[i] = share * one_of_v[real](a, b, c, h[0])" in text
    with pytest.raises(SystemExit, match="the loss one and its derivative have other constants"):
        generate(pair("one", ", real v") + third)


def test_a_function_without_a_derivative_is_no_loss(generate):
    text = generate("cdef inline real helper(real y, real t) noexcept nogil:\n    return y\n" + pair())
    assert "helper" not in text and "cdef void one(" in text


def test_loops_of_several_vectors(generate):
    """Of value and derivative, where either calls exp or tanh, and of doubles where they call log."""
    helper = "cdef inline real logistic(real y) noexcept nogil:\n    return {}\n\n\n"
    loop = {body: generate(helper.format(body) + pair().replace("return y", "return logistic(y)"))
            for body in ("exp(y)", "log1p(y)", "y")}
    assert loop["exp(y)"].count(" see(&seen, x, i)") == 1 and "is double" not in loop["exp(y)"]
    assert loop["log1p(y)"].count("if real is double: see(&seen, x, i)") == 1
    assert " see(" not in loop["y"]


@pytest.mark.parametrize(("texts", "said"), [
    ((pair(), pair()), "the loss one stands in family0.pxd, too"),
    ((pair("one", ", real a", ""),), "the loss one and its derivative have other constants"),
    ((pair("one", "".join(f", real a{i}" for i in range(17))),), "the loss one has 17 constants, more than 15")])
def test_what_does_not_fit(generate, texts, said):
    with pytest.raises(SystemExit, match=said):
        generate(*texts)


def test_every_formula_is_compiled_and_every_row_has_one():
    found = {each.name: each.constants for each in loss_kernels.formulas(FORMULAS)}
    assert found == {name: constants for name, (_, constants) in {**losses.LOSSES, **losses.OF_THREE}.items()}
    rows = {get_err(name).kernel for name in fastnn.losses()}
    assert rows <= {*found, *losses.ROW_LOSSES, *kernels.ROW_LOSSES, "triplet"}
    assert {*losses.ROW_LOSSES, *kernels.ROW_LOSSES} <= rows


def test_what_has_not_changed_is_not_written_again(tmp_path):
    """A build compares times."""
    loss_kernels.write(ROOT, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {path.name for path in written} == {"loss_kernels.pxi"}
    loss_kernels.write(ROOT, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
