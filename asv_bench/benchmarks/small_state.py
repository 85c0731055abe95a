"""Optimizers with reduced-precision state or parameters."""
from functools import partial

import numpy as np

from .common import absent_from, optimizer, warm


class SmallState:
    """A step with reduced-precision state, and in half-precision parameters, of one tensor in and beyond the caches."""

    params = [["Adam", "Momentum"], ["float32", "bfloat16", "int8"], ["float32", "float16"], [16384, 4_000_000]]
    param_names = ["optimizer", "state_dtype", "dtype", "size"]

    @warm
    def time_update(self, name, state_dtype, dtype, size):
        arguments = {} if state_dtype == "float32" else {"state_dtype": state_dtype}
        call = partial(optimizer(name, **arguments).update,
                       {"w": np.zeros(size, dtype)}, {"w": np.full(size, 0.5, dtype)})
        with absent_from(TypeError):        # half precision
            call()
        return call
