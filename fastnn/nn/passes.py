"""Training passes through a network's layers, in memory that the next pass uses again.

The bias of an Affine layer is added by the activation behind it, which sums the bias's gradient on the way back. Memory
is shared only where an array goes from one of fastnn's layers to another: a layer of any other class, subclasses
included, is given arrays that stay as they are, and returns what it likes. The last layer's output is a new array.
"""
import numpy as np

from .layers import Activation, Affine, BatchNormalization, Dropout
from .row_norms import LayerNorm, RMSNorm

SHARING = (Affine, Activation, BatchNormalization, Dropout, LayerNorm, RMSNorm)
IN_PLACE = (Activation, Dropout)        # on the way back, where the number of columns stays


class TrainingPass:
    """Forward and backward through these layers for so many rows: what is called, lined up once, and its memory.

    The layers' weights may change from pass to pass, but neither their shapes nor the layers.
    """

    def __init__(self, layers=(), rows=0, dtype=None):
        self.layers, self.rows, self.dtype = list(layers), rows, dtype
        self._units = [_unit(pair) for pair in _pairs(self.layers)]
        self._gradients = {}        # width -> the one or two matrices that take turns on the way back
        self._share_outputs()
        self._share_gradients()

    def fits(self, layers, rows, dtype):
        return self.rows == rows and self.dtype == dtype and self.layers == layers

    def __reduce__(self):
        return TrainingPass, ()     # the copy of a network lines up its own

    def forward(self, x):
        for unit in self._units:
            x = unit.forward(x)
        return x

    def backward(self, dout, done=None):
        """From the gradient of the last layer's output, which is not changed, to those that the layers keep; done() is
        called behind each."""
        first, *rest = self._units
        if self._units[-1].foreign:
            dout = dout.copy()      # for it to keep: the loss uses the memory again
        for unit in reversed(rest):
            dout = unit.backward(dout)
            if done is not None:
                done()
        first.finish(dout)
        if done is not None:
            done()

    def _share_outputs(self):
        width = None                # unknown at first, and behind a foreign layer
        for unit, following in zip(self._units, [*self._units[1:], None]):
            unit.widths = unit.widths_for(width)
            width = unit.widths[1]
            if width is not None:
                unit.take_outputs(self._matrix, shared=following is not None and not following.foreign)

    def _share_gradients(self):
        held = None                 # the matrix that the gradient of a unit's output comes in, if it may be overwritten
        for before, unit in reversed(list(zip([None, *self._units], self._units))):
            shared = before is not None and not before.foreign
            held = unit.take_gradients(held, self._gradient_matrix, shared)

    def _matrix(self, width):
        return np.empty((self.rows, width), self.dtype)

    def _gradient_matrix(self, width, other_than):
        if width is None:
            return None
        matrices = self._gradients.setdefault(width, [])
        for matrix in matrices:
            if matrix is not other_than:
                return matrix
        matrices.append(self._matrix(width))
        return matrices[-1]


def _pairs(layers):
    """Affine layers with the Activation behind them, all other layers alone."""
    pairs = []
    for layer in layers:
        if type(layer) is Activation and pairs and [type(l) for l in pairs[-1]] == [Affine]:
            pairs[-1].append(layer)
        else:
            pairs.append([layer])
    return pairs


def _unit(pair):
    if len(pair) == 2:
        return _Dense(*pair)
    return (_Single if type(pair[0]) in SHARING else _Foreign)(*pair)


class _Foreign:
    foreign = True

    def __init__(self, layer):
        self.layer = layer

    def widths_for(self, width):
        return width, None

    def take_gradients(self, held, matrix, shared):
        return None

    def forward(self, x):
        return self.layer.forward(x, True)

    def backward(self, dout):
        return self.layer.backward(dout)

    finish = backward


class _Single:
    """One of fastnn's layers; y and dx are memory for its results, or None."""

    foreign = False
    y = dx = None

    def __init__(self, layer):
        self.layer = layer

    def widths_for(self, width):
        """Of input and output; None where they are not known."""
        if type(self.layer) is Affine:
            return self.layer.W.shape
        if type(self.layer) is Activation and width is not None:
            return width, self.layer.width_of(width)
        return width, width

    def take_outputs(self, matrix, shared):
        if shared:
            self.y = matrix(self.widths[1])

    def take_gradients(self, held, matrix, shared):
        if shared:
            in_place = held is not None and type(self.layer) in IN_PLACE and self.widths[0] == self.widths[1]
            self.dx = held if in_place else matrix(self.widths[0], held)
        return self.dx

    def forward(self, x):
        return self.layer.forward(x, True, self.y)

    def backward(self, dout):
        return self.layer.backward(dout, self.dx)

    def finish(self, dout):
        """`backward` of the first layer, whose input's gradient is not needed."""
        if type(self.layer) is Affine:
            self.layer.parameter_gradients(dout)
        else:
            self.layer.backward(dout)


class _Dense(_Single):
    """An Affine layer and its Activation, with memory for z = x W + b and for the gradient of z besides.

    y takes z's place where that is not needed on the way back, and y may lie in memory that is used again.
    """

    def __init__(self, affine, activation):
        self.layer, self.activation = affine, activation

    def widths_for(self, width):
        inputs, self.between = self.layer.W.shape
        return inputs, self.activation.width_of(self.between)

    def take_outputs(self, matrix, shared):
        self.z = matrix(self.between)
        self.shared, self._matrix = shared, matrix

    def take_gradients(self, held, matrix, shared):
        fits = held is not None and self.between == self.widths[1]
        self.dz = held if fits else matrix(self.between, held)
        return super().take_gradients(self.dz, matrix, shared)

    def forward(self, x):
        y = self.y
        if self.shared:
            if self.activation.by_value:
                y = self.z
            elif y is None:
                y = self.y = self._matrix(self.widths[1])
        return self.activation.forward(self.layer.product(x, True, self.z), True, y, self.layer.b)

    def backward(self, dout):
        dz, db = self.activation.backward_with_bias(dout, self.dz)
        return self.layer.backward(dz, self.dx, db)

    def finish(self, dout):
        dz, db = self.activation.backward_with_bias(dout, self.dz)
        self.layer.parameter_gradients(dz, db)
