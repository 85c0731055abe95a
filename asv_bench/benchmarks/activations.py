"""Every activation, forward and back, results allocated."""
import fastnn

from .common import ACTIVATION_ARGUMENTS, DTYPES, SIZES, normal

WITH_WEIGHTS = ["maxout"]


class _Activation:
    params = [[name for name in fastnn.activations() if name not in WITH_WEIGHTS], DTYPES, SIZES]
    param_names = ["activation", "dtype", "size"]

    def setup(self, name, dtype, size):
        self.subject = fastnn.get_act(name, **ACTIVATION_ARGUMENTS.get(name, {}))
        self.x = normal(size, dtype)
        self.grad = normal(size, dtype, seed=1)

    def time_forward(self, *params):
        self.subject.forward(self.x)

    def time_d2y(self, *params):
        self.subject.d2y(self.x)


class Activations(_Activation):
    def time_backward(self, *params):
        self.subject.backward(self.x)

    def time_backward_with_grad(self, *params):
        self.subject.backward(self.x, grad=self.grad)


class ActivationsWithWeights(_Activation):
    """Layers: their backward takes nothing but the gradient."""

    params = [WITH_WEIGHTS, DTYPES, SIZES]

    def setup(self, name, dtype, size):
        super().setup(name, dtype, size)
        self.subject.w, self.subject.b = self.subject.w.astype(dtype), self.subject.b.astype(dtype)
        self.subject.forward(self.x)

    def time_backward_with_grad(self, *params):
        self.subject.backward(self.grad)
