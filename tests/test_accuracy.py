"""The measuring of errors itself: units, kinds, which arguments are run through; and the bounds in docstrings."""
import numpy as np
import pytest

import fastnn
from fastnn import accuracy, bounds
from fastnn.core.ulps import largest_error
from helpers import ELEMENTWISE, ROWS, python, ulps


def test_units_are_those_of_the_exact_value():
    rng = np.random.default_rng(0)
    exact = np.concatenate([np.ldexp(rng.uniform(1, 2, 3000), rng.integers(-152, 127, 3000)),
                            2.0**np.arange(-149, 128), np.nextafter(2.0**np.arange(-149, 128), 0), [0.0]])
    exact *= rng.choice([-1, 1], exact.size)
    got = (exact*(1 + 1e-6*rng.normal(size=exact.size))).astype(np.float32)
    for floor in (0, 1/16):
        wanted = ulps(got, exact, np.float32, floor)
        for i in range(exact.size):
            error, where = largest_error(got[i:i + 1], exact[i:i + 1], floor)
            assert where == 0 and error == pytest.approx(wanted[i], rel=1e-6, abs=1e-12)
            assert abs(float(got[i]) - exact[i]) == pytest.approx(
                error*bounds.unit(exact[i], "float32", floor), rel=1e-6, abs=1e-47)        # errors are kept as float32
        error, where = largest_error(got, exact, floor)
        assert where == wanted.argmax() and error == pytest.approx(wanted.max(), rel=1e-6)


@pytest.mark.parametrize("n", [1, 7, 16, 1001])
def test_where_the_largest_error_is(n):
    exact = np.linspace(1, 1.5, n)
    for i in (0, n//2, n - 1):
        got = exact.astype(np.float32)
        got[i] += np.float32(2.0**-20)
        assert largest_error(got, exact)[1] == i
        assert 7 <= largest_error(got, exact)[0] <= 9


@pytest.mark.parametrize(("got", "exact", "error"), [
    (np.nan, np.nan, 0), (np.inf, np.inf, 0), (-np.inf, -np.inf, 0), (np.inf, 1e300, 0), (np.nan, 1, np.inf),
    (1, np.nan, np.inf), (np.inf, -np.inf, np.inf), (np.inf, 1, np.inf), (1, np.inf, np.inf),
    (np.inf, np.nan, np.inf), (2.0**127, 2.0**128, 2.0**23), (0, 1e-46, 2.0**149*1e-46), (0, 0, 0)])
def test_kinds_must_be_equal(got, exact, error):
    for before in (0, 20):                  # among finite numbers, too
        a, b = np.r_[np.ones(before), got].astype(np.float32), np.r_[np.ones(before), exact]
        found, where = largest_error(a, b)
        assert found == pytest.approx(error, rel=1e-6)
        assert where == (before if error else 0)


@pytest.mark.parametrize(("got", "exact", "error"), [
    (np.ones(3, np.float32), np.ones(2), ValueError), (np.ones(0, np.float32), np.ones(0), ValueError),
    (np.ones(3), np.ones(3), TypeError), (np.ones(6, np.float32)[::2], np.ones(3), TypeError),
    (None, np.ones(3), TypeError), ([1.0], np.ones(1), TypeError)])
def test_bad_arrays(got, exact, error):
    with pytest.raises(error):
        largest_error(got, exact)


@pytest.mark.parametrize("near", [0.0, 3.5, 6.0])
def test_every_float32_is_in_one_task(near):
    at = 0
    for start, stop, stride, inside in accuracy.tasks(near):
        assert start == at < stop and stride == 1
        middle = np.array([start, stop - 1], np.uint32).view(np.float32)
        assert (np.isnan(middle) | ((np.abs(middle) < near) == inside)).all()
        at = stop
    assert at == 2**32


def test_a_scan_goes_through_its_tasks():
    for stride in (1, 1001):
        seen = []
        scan = accuracy.Scan("identity", 0)
        scan.call = lambda x, out: (seen.append(x.view(np.uint32).copy()), np.copyto(out, x))
        assert scan.run((2**30, 2**30 + 40_000, stride, False)) == -(-40_000//stride)
        bits = np.concatenate(seen)
        assert bits.size == -(-40_000//stride)
        assert bits[0] - 2**30 < stride and (np.diff(bits.astype(np.int64)) == stride).all() and bits[-1] < 2**30 + 40_000


def test_a_wrong_result_is_found():
    act = fastnn.get_act("tanh")

    def wrong(x, out):
        act.forward(x, out=out)
        out[x == np.float32(0.75)] *= np.float32(1.00001)

    scan = accuracy.Scan("tanh", 0)
    scan.call = wrong
    for task in accuracy.windows(0.0, [0.75], 50_000):
        scan.run(task)
    error, x = scan.result(None)
    assert x == np.float32(0.75) and 70 < error < 200


def test_a_sample_finds_what_it_has_not_drawn():
    """Results that are wrong in one part of the line, and once by more."""
    act = fastnn.get_act("identity")

    def wrong(x, out):
        act.forward(x, out=out)
        out *= 1 + np.float32(1e-4)*np.maximum(0, 1 - 10*np.abs(x - np.float32(2.5)))
        out[x == np.float32(2.5000002)] *= np.float32(1.001)

    scan = accuracy.Scan("identity", 0)
    scan.call = wrong
    for task in accuracy.tasks(scan.near, 2**16):
        scan.run(task)
    assert 2.49 < scan.result(None)[1] < 2.51
    for task in scan.around():
        scan.run(task)
    assert scan.result(None)[1] == np.float32(2.5000002)


def test_half_of_a_sample_lies_where_functions_bend():
    for near in (0.0, 3.5):
        counts = {True: 0, False: 0}
        for task in accuracy.tasks(near, 2**20):
            start, stop, _, inside = task
            ends = np.array([start, stop - 1], np.uint32).view(np.float32)
            bent = ((2**-6 <= abs(ends)) & (abs(ends) < 2**7)).all()
            assert (np.isnan(ends) | ((np.abs(ends) < near) == inside)).all()
            counts[bool(bent)] += accuracy.count_of(task)
        assert counts[True] == pytest.approx(2**19, rel=0.01) and counts[False] == pytest.approx(2**19, rel=0.01)


def test_windows_end_where_the_unit_changes():
    tasks = list(accuracy.windows(3.5, [3.5], 10))
    assert [stop - start for start, stop, _, _ in tasks] == [10, 11]*2
    assert [inside for *_, inside in tasks] == [True, False]*2


def run(*arguments):
    return python("import sys\nfrom fastnn.accuracy import main\nsys.exit(main(sys.argv[1:]))", *arguments)


def test_the_command_writes_a_table(tmp_path):
    path = tmp_path/"table.md"
    done = run("ReLU", "elu", "--sample", 100_000, "--orders", "0,1", "--dtype", "float32", "--dtype", "float64",
               "--exact", 60, "--threads", 2, "--out", path)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert text == done.stdout
    assert fastnn.core.isa() in text and "float64" in text and "judged again in exact" in text
    rows = [line for line in text.splitlines() if line.startswith("| ReLU |")]
    assert rows == ["| ReLU | 0.00 |  | 0.00 |  | 0.00 |  |", "| ReLU | 0.00 |  | 0.00 |  |"]
    assert "| ELU | " in text and "s left" in done.stderr


def test_beyond_the_bound_is_an_error():
    done = python("import sys\nfrom fastnn import accuracy\naccuracy.ULPS = {'float32': (0.4, 4, 16)}\n"
                  "sys.exit(accuracy.main(['ELU', '--orders', '0', '--sample', '50000']))")
    assert done.returncode == 1
    assert "beyond its bound: float32 ELU f" in done.stderr and "**" in done.stdout


@pytest.mark.parametrize("arguments", [
    ["Rellu"], ["softmax"], ["maxout"], ["--orders", "3"], ["--orders", ""], ["--threads", "0"], ["--sample", "0"],
    ["--all", "--sample", "5"], ["--dtype", "float16"]])
def test_bad_arguments(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and "error" in done.stderr and not done.stdout


def test_docstrings_state_the_bounds():
    assert bounds.ULPS == {"float32": (2, 4, 16), "float64": (3, 6, 16)}
    assert all(bound in bounds.ELEMENTWISE for bound in ("within 2 ULP", "within 4", "within 16", "within 3, 6 and 16"))
    assert "4 ULP" in bounds.ROWS and "4 ULP" in bounds.LOSSES and bounds.TERM_ULPS == 4
    for name in ELEMENTWISE:
        assert bounds.ELEMENTWISE in accuracy.type_of(name).__doc__
    for name in ROWS:
        assert accuracy.type_of(name).accuracy in accuracy.type_of(name).__doc__
        most = bounds.SPARSE_ULPS if name in ("sparsemax", "entmax-1.5") else bounds.TERM_ULPS
        assert f"within {most} ULP" in accuracy.type_of(name).accuracy.replace("Within", "within")
    for name in fastnn.losses():
        assert bounds.of_loss(name) in type(fastnn.get_err(name)).__doc__
