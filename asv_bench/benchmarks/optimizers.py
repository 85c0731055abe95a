"""Every optimizer, one step of a whole model in each dialect."""
from functools import partial

from .catalogue import OPTIMIZERS
from .common import DTYPES, MODELS, optimizer, tensors, warm


def update_each(layers):
    """Article A: an optimizer a layer, for its weights and biases; deltas come back."""
    for update, grads, params in layers:
        update(*grads, **params)


def wanted(update, grads, params):
    """The parameters by article A's names for them, where the rule reads them."""
    try:
        update(*grads)
    except TypeError:
        return dict(zip(("w", "b"), params))
    return {}


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
        params, grads = tensors(model, dtype, 0), tensors(model, dtype, 1)
        pairs = [(optimizer(name).update, grads[i:i + 2], params[i:i + 2]) for i in range(0, len(grads), 2)]
        return partial(update_each, [(update, g, wanted(update, g, p)) for update, g, p in pairs])
