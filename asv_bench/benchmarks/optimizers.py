"""Every optimizer, one step of a whole model in each dialect."""
from functools import partial

from .catalogue import OPTIMIZERS
from .common import DTYPES, MODELS, optimizer, tensors, warm


def update_each(layers):
    """Article A: an optimizer a layer, for its weights and biases; deltas come back."""
    for update, grads in layers:
        update(*grads)


def of_deltas(name):
    """That optimizer without decay, which a row may have by default, and which needs the parameters."""
    subject = optimizer(name)
    if getattr(subject, "weight_decay", 0):
        subject.weight_decay = 0
    return subject


class Optimizers:
    params = [OPTIMIZERS, DTYPES, list(MODELS)]
    param_names = ["optimizer", "dtype", "model"]

    @warm
    def time_step(self, name, dtype, model):
        return partial(optimizer(name).step, tensors(model, dtype, 0), tensors(model, dtype, 1))

    @warm
    def time_update_in_place(self, name, dtype, model):
        return partial(optimizer(name).update, dict(enumerate(tensors(model, dtype, 0))),
                       dict(enumerate(tensors(model, dtype, 1))))

    @warm
    def time_update_to_deltas(self, name, dtype, model):
        grads = tensors(model, dtype, 1)
        return partial(update_each, [(of_deltas(name).update, grads[i:i + 2]) for i in range(0, len(grads), 2)])
