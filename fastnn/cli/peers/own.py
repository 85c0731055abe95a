"""fastnn's side: the calls that its users write."""
from functools import partial

import numpy as np

import fastnn
from fastnn.cli.catalog import CATALOGUES
from fastnn.learnable import learnable

from .library import ARGUMENTS, LEARNED, LOSS, WIDTHS, Call, Side

__all__ = ["Library"]


def activation(name):
    of = name.removeprefix(LEARNED)
    return fastnn.get_act(of, *ARGUMENTS.get(of, ()), **{} if of == name else {"learn": learnable()[of]})


class Library(Side):
    version = fastnn.__version__

    def forward(self, name, x):
        return Call(partial(activation(name).forward, x))

    def backward(self, name, x, grad):
        act = activation(name)
        if getattr(act, "by_value", False):         # as PyTorch's backward is given what its forward has kept
            return Call(partial(act.backward, y=act.forward(x), grad=grad))
        return Call(partial(act.backward, x, act.forward(x), grad=grad))

    def step(self, name, params, grads):
        opt = fastnn.get_opt(name, **CATALOGUES["optimizers"][name].timed_with)
        params = {f"p{i}": np.array(p) for i, p in enumerate(params)}
        grads = {f"p{i}": grad for i, grad in enumerate(grads)}
        told = {"f": LOSS} if "f" in opt._positional and type(opt).peers else {}     # as its peers are told
        return Call(partial(opt.update, params, grads, **told))

    def loss(self, name, arrays):
        return Call(partial(fastnn.get_err(name, reduction="mean").value_and_grad, *arrays))

    def train(self, task):
        from fastnn.nn import MultiLayerNet
        first, *hidden, last = WIDTHS
        net = MultiLayerNet(first, hidden, last, dtype=task.x.dtype, rng=0)
        opt = fastnn.get_opt("Adam")

        def run():
            _, grads = net.loss_and_gradient(task.x, task.labels)
            opt.update(net.params, grads)
        return Call(run)
