"""Every activation, forward and back, results allocated."""
from functools import partial

from .catalogue import ACTIVATIONS, CONCATENATED, FORMS, GATED, LEARNABLE, RANDOM, WITH_WEIGHTS
from .common import COLUMNS, DTYPES, LAYOUTS, SIZES, absent_from, activation, halved, normal, warm


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


class GatedUnits:
    """Of the halves of an axis."""

    params = [GATED, DTYPES, SIZES, LAYOUTS]
    param_names = _Activation.param_names

    @warm
    def time_forward(self, name, dtype, size, layout):
        return partial(activation(name, dtype, axis=0).forward, halved(size, dtype, layout)[0])

    @warm
    def time_backward_with_grad(self, name, dtype, size, layout):
        x, grad = halved(size, dtype, layout)
        return partial(activation(name, dtype, axis=0).backward, x, grad=grad)


class Concatenated:
    """Results are twice as long as rows of x."""

    params = [CONCATENATED, DTYPES, SIZES, LAYOUTS]
    param_names = _Activation.param_names

    @warm
    def time_forward(self, name, dtype, size, layout):
        return partial(activation(name, dtype).forward, normal(size, dtype, layout))

    @warm
    def time_backward_with_grad(self, name, dtype, size, layout):
        grad = normal(2 * size, dtype, layout, seed=1).reshape(-1, 2 * COLUMNS)
        return partial(activation(name, dtype).backward, normal(size, dtype, layout), grad=grad)


class _Learned:
    param_names = _Activation.param_names

    @warm
    def time_forward(self, name, dtype, size, layout):
        return partial(self.subject(name, dtype).forward, normal(size, dtype, layout))

    @warm
    def time_backward_with_grad(self, name, dtype, size, layout):
        subject, x = self.subject(name, dtype), normal(size, dtype, layout)
        subject.forward(x)
        return partial(subject.backward, x, grad=normal(size, dtype, layout, seed=1))


class ActivationsWithParameters(_Learned):
    """Those of the catalogue, one parameter for all, or random slopes."""

    params = [LEARNABLE + RANDOM, DTYPES, SIZES, LAYOUTS]

    def subject(self, name, dtype):
        return activation(name, dtype)


class LearnableForms(_Learned):
    """What `learn=` makes of others, all that it can learn."""

    params = [FORMS, DTYPES, SIZES, LAYOUTS]

    def subject(self, name, dtype):
        with absent_from(ImportError):
            from fastnn.learnable import learnable
        return activation(name, dtype, learn=learnable()[name])
