"""Optimizers whose state or parameters take fewer bits."""
import numpy as np

import fastnn


class SmallState:
    """A step with state in fewer bits, and in half-precision parameters, of one tensor in and beyond the caches."""

    params = [["Adam", "Momentum"], ["float32", "bfloat16", "int8"], ["float32", "float16"], [16384, 4_000_000]]
    param_names = ["optimizer", "state_dtype", "dtype", "size"]

    def setup(self, name, state_dtype, dtype, size):
        self.subject = fastnn.get_opt(name, state_dtype=state_dtype)
        self.tensors, self.grads = {"w": np.zeros(size, dtype)}, {"w": np.full(size, 0.5, dtype)}
        self.time_update()

    def time_update(self, *params):
        self.subject.update(self.tensors, self.grads)
