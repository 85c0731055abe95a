"""One step of training: a batch forward and back, then the optimizer."""
from functools import partial

import numpy as np

from .common import DTYPES, LAYERS, absent_from, normal_array, optimizer, warm


def training_step(dtype, batch, **options):
    """The step as a call, for the network of LAYERS."""
    with absent_from(ImportError):
        from fastnn.nn import MultiLayerNet
    first, *hidden, last = LAYERS
    net = MultiLayerNet(first, hidden, last, dtype=dtype, rng=0, **options)
    labels = np.random.default_rng(1).integers(0, last, batch)
    return partial(step, net, optimizer("Adam"), normal_array((batch, first), dtype), labels)


def step(net, opt, x, labels):
    _, grads = net.loss_and_gradient(x, labels)
    opt.update(net.params, grads)


class Training:
    params = [DTYPES, [16, 128]]
    param_names = ["dtype", "batch"]

    @warm
    def time_step(self, dtype, batch):
        return training_step(dtype, batch)

    @warm
    def time_step_batch_normalization(self, dtype, batch):
        return training_step(dtype, batch, use_batchnorm=True)

    @warm
    def time_step_dropout(self, dtype, batch):
        return training_step(dtype, batch, use_dropout=True)
