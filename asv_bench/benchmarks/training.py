"""One step of training: a batch forward and back, then the optimizer."""
import numpy as np

import fastnn
from fastnn.nn import MultiLayerNet

from .common import DTYPES, normal_array


class Training:
    params = [DTYPES, [16, 128]]
    param_names = ["dtype", "batch"]

    def setup(self, dtype, batch):
        self.net = MultiLayerNet(784, [100] * 4, 10, dtype=dtype, rng=0)
        self.optimizer = fastnn.get_opt("Adam")
        self.x = normal_array((batch, 784), dtype)
        self.labels = np.random.default_rng(1).integers(0, 10, batch)
        self.time_step()        # allocates the state

    def time_step(self, *params):
        _, grads = self.net.loss_and_gradient(self.x, self.labels)
        self.optimizer.update(self.net.params, grads)
