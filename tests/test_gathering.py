"""Rows of a matrix copied by threads."""
import numpy as np
import pytest

import fastnn
from fastnn.core.gathering import gather
from helpers import FLOATS


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("rows", "columns", "n"), [(1, 1, 1), (7, 3, 20), (500, 300, 800), (5, 0, 3), (5, 4, 0)])
def test_rows_are_those_of_take(rows, columns, n, dtype, threads):
    rng = np.random.default_rng(0)
    a, indices = rng.standard_normal((rows, columns)).astype(dtype), rng.integers(rows, size=n)
    out = np.empty((n, columns), dtype)
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        assert gather(a, indices, out) is out
    finally:
        fastnn.set_num_threads(before)
    np.testing.assert_array_equal(out, a[indices])


def test_what_does_not_fit():
    a, indices, out = np.ones((4, 3)), np.array([0, 3]), np.zeros((2, 3))
    for row in (-1, 4):
        with pytest.raises(IndexError, match=r"0\.\.3"):
            gather(a, np.array([0, row]), out)
    shared = np.ones((6, 3))
    for wrong in ((a.astype(np.float32), indices, out), (a.T, indices, out), (a[:, :2], indices, out), (a[0], indices, out),
                  (a, indices.astype(np.int32), out), (a, indices[:, None], out), (a, indices, out[:1]),
                  (a, indices, np.zeros((2, 4))), (a.astype(int), indices, out.astype(int)), (shared[:4], indices, shared[3:5])):
        with pytest.raises(ValueError, match="gather takes"):
            gather(*wrong)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="gather takes"):
        gather(a, indices, out)
    assert not out.any()
