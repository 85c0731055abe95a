"""Which numbers rules with noise draw: those of one call of the generator for each parameter, in order."""
import numpy as np
import pytest

import fastnn
from fastnn.optimizers.noisy import PIECE
from helpers import FLOATS

SHAPES = [(PIECE + 1,), (3, 5), (), (7, PIECE // 3), (2 * PIECE,)]


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
@pytest.mark.parametrize("dtype", FLOATS)
def test_large_parameters_are_given_the_numbers_of_one_call(dtype, kind):
    noise, same = kind(3), kind(3)
    params, grads = ([np.zeros(shape, dtype) for shape in SHAPES] for _ in range(2))
    fastnn.get_opt("NoisySGD", rng=noise, lr=1, eta=1, gamma=0).step(params, grads)
    for p in params:
        np.testing.assert_array_equal(p, -np.asarray(same.standard_normal(p.shape)).astype(dtype))
    assert noise.standard_normal() == same.standard_normal()
