"""Forward and backward through a network's layers, in memory that the passes share.

A bias is added by the activation that follows it, and a gradient is multiplied in place. Arrays are used again only
where they go from one of the layers below to another: a layer of any other class, subclasses included, is given arrays
that stay as they are, and returns what it likes.
"""
import numpy as np

from .layers import Activation, Affine, BatchNormalization, Dropout

SHARING = (Affine, Activation, BatchNormalization, Dropout)
IN_PLACE = (Activation, Dropout)


class PassMemory:
    """What training passes over so many rows write: a matrix a key, made when first asked for, then always the same."""

    def __init__(self, rows, dtype):
        self.rows, self.dtype = rows, dtype
        self._arrays = {}

    def matrix(self, key, columns):
        """(rows, columns), with whatever it holds. A key goes with one width."""
        a = self._arrays.get(key)
        if a is None:
            a = self._arrays[key] = np.empty((self.rows, columns), self.dtype)
        return a

    def __reduce__(self):
        return type(self), (self.rows, self.dtype)      # a copy makes its own


def forward(layers, x, memory=None):
    """The output of the last layer, a new array; a training pass if there is memory for it."""
    train_flg = memory is not None
    layers = list(layers.items())
    bias = None             # of the Affine layer before, if it is still to be added
    mine = False            # whether x may be overwritten
    for i, (name, layer) in enumerate(layers):
        kind = type(layer)
        following = type(layers[i + 1][1]) if i + 1 < len(layers) else None
        if kind not in SHARING:
            x, mine = layer.forward(x, train_flg), False
            continue
        if train_flg:
            out = memory.matrix(name, layer.W.shape[1] if kind is Affine else x.shape[1]) if following in SHARING else None
        else:
            out = x if mine and kind in IN_PLACE else None
        if kind is Affine and following is Activation:
            x, bias = layer.product(x, train_flg, out), layer.b
        elif bias is not None:
            x, bias = layer.forward(x, train_flg, out, bias), None
        else:
            x = layer.forward(x, train_flg, out)
        mine = True
    return x


def backward(layers, dout, memory):
    """From the gradient of the last layer's output, memory of the passes, to the gradients that the layers keep."""
    (_, first), *rest = layers.items()
    mine = True
    for i in range(len(rest) - 1, -1, -1):
        name, layer = rest[i]
        kind = type(layer)
        if kind not in SHARING:
            dout, mine = layer.backward(dout), False
            continue
        if i and type(rest[i - 1][1]) not in SHARING:
            out = None
        elif mine and kind in IN_PLACE:
            out = dout
        else:
            out = memory.matrix((name, "gradient"), layer.W.shape[0] if kind is Affine else dout.shape[1])
        dout = layer.backward(dout, out)
        mine = True
    first.parameter_gradients(dout)
