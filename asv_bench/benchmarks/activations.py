"""Every activation, forward and back, results allocated."""
from functools import partial

from .catalogue import ACTIVATIONS, WITH_WEIGHTS
from .common import DTYPES, LAYOUTS, SIZES, activation, normal, warm


class _Activation:
    params = [ACTIVATIONS, DTYPES, SIZES, LAYOUTS]
    param_names = ["activation", "dtype", "size", "layout"]

    @warm
    def time_forward(self, name, dtype, size, layout):
        return partial(activation(name, dtype).forward, normal(size, dtype, layout))

    @warm
    def time_d2y(self, name, dtype, size, layout):
        return partial(activation(name, dtype).d2y, normal(size, dtype, layout))


class Activations(_Activation):
    @warm
    def time_backward(self, name, dtype, size, layout):
        return partial(activation(name, dtype).backward, normal(size, dtype, layout))

    @warm
    def time_backward_with_grad(self, name, dtype, size, layout):
        return partial(activation(name, dtype).backward, normal(size, dtype, layout),
                       grad=normal(size, dtype, layout, seed=1))


class ActivationsWithWeights(_Activation):
    params = [WITH_WEIGHTS, DTYPES, SIZES, LAYOUTS]

    @warm
    def time_backward_with_grad(self, name, dtype, size, layout):
        subject = activation(name, dtype)
        subject.forward(normal(size, dtype, layout))
        return partial(subject.backward, normal(size, dtype, layout, seed=1))
