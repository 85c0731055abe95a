"""Every optimizer, one step of a whole model in each dialect."""
import fastnn

from .common import DTYPES, OPTIMIZER_ARGUMENTS, normal_array

LAYERS = [784, 100, 100, 100, 100, 10]
MODELS = {                  # the shapes of a model's tensors, weights and biases in turn
    "100x10": [(10,)] * 100,
    "MLP": [shape for n, m in zip(LAYERS, LAYERS[1:]) for shape in ((n, m), (m,))],
    "100x1000": [(1000,)] * 100,
    "1x1e7": [(10_000_000,)],
}


def optimizer(name):
    return fastnn.get_opt(name, **OPTIMIZER_ARGUMENTS.get(name, {}))


class Optimizers:
    params = [fastnn.optimizers(), DTYPES, list(MODELS)]
    param_names = ["optimizer", "dtype", "model"]

    def setup(self, name, dtype, model):
        self.tensors = [normal_array(shape, dtype, (0, i)) for i, shape in enumerate(MODELS[model])]
        self.grads = [normal_array(shape, dtype, (1, i)) for i, shape in enumerate(MODELS[model])]
        self.tensors_by_key, self.grads_by_key = dict(enumerate(self.tensors)), dict(enumerate(self.grads))
        self.layers = [(optimizer(name), self.grads[i:i + 2]) for i in range(0, len(self.grads), 2)]
        self.subject = optimizer(name)
        # the first step of each kind allocates the state
        self.time_step()
        self.time_update_in_place()
        self.time_update_to_deltas()

    def time_step(self, *params):
        self.subject.step(self.tensors, self.grads)

    def time_update_in_place(self, *params):
        self.subject.update(self.tensors_by_key, self.grads_by_key)

    def time_update_to_deltas(self, *params):
        """Article A: an optimizer a layer, its weights and biases."""
        for layer, grads in self.layers:
            layer.update(*grads)
