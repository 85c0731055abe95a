"""The book's fully connected network."""
import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.core.arrays import as_array
from fastnn.core.decay import add_decay
from fastnn.core.reductions import sum_of_squares
from .arguments import number, refuse, share, whole, yes_or_no
from .data import real_numbers
from .finite import all_finite, first_nonfinite
from .gradient_check import numerical_gradient
from .initializers import as_rng, initial_weights
from .layers import Activation, Affine, Dropout, SoftmaxWithLoss, drawing, plain
from .objectives import Objective
from .passes import TrainingPass
from .row_norms import normalization_of
from .state import checked_network, network_state


class Decay:
    """A factor of weight decay, checked wherever it is set. Without a __get__ it is read like any attribute."""

    def __set_name__(self, owner, name):
        self.name = name

    def __set__(self, net, value):
        value = number(self.name, value)
        if not 0 <= value < math.inf:
            raise ValueError(f"{self.name} must be finite and not negative, not {value!r}")
        net.__dict__[self.name] = value


class MultiLayerNet:
    """Affine layers with an activation between them, a loss at the end: by default cross entropy of the softmax.

    After each hidden Affine layer come, in this order, a normalization (if `use_batchnorm` or `normalization`), the
    activation, and Dropout (if `use_dropout`). The interface is that of MultiLayerNetExtend in "Deep Learning
    from Scratch". The layers keep from one pass what the next needs: a network belongs to one thread at a time.

    Parameters
    ----------
    input_size, output_size : int
        Features, and classes or other outputs.
    hidden_size_list : int or sequence of int
        Neurons of the hidden layer, or of each; empty for softmax regression. With a gated unit W has twice as many columns.
    activation : str or activation, or one of these for each hidden layer
        A name of the catalogue, or what `get_act` returned for it; of what is learned (PReLU) each layer has a copy.
    weight_init_std : float, str or function
        Standard deviation of the first weights; "he"/"relu" is sqrt(2/n), "xavier"/"sigmoid" sqrt(1/n). Or one of
        `fastnn.nn.initializers`, such as "glorot_uniform" or "orthogonal".
    weight_decay_lambda, weight_decay_l1 : float
        The loss contains 0.5 lambda sum W^2 + l1 sum |W| over all weights (not the biases), and `gradient` is that of
        this loss: whatever an optimizer does with gradients - clipping, a momentum, Nesterov's point - it does with
        decay, too. Its options l2 and l1 add the same behind clipping, its weight_decay is apart from the gradient.
    use_dropout, use_batchnorm : bool
    dropout_ration : float
        Share of the features that dropout switches off (the book's spelling).
    inverted_dropout : bool
        See `Dropout`.
    normalization : None, "batch", "layer" or "rms"
        "batch" is use_batchnorm=True.
    normalization_args : dict
        Arguments of `BatchNormalization`, such as like="torch", `LayerNorm` or `RMSNorm`.
    loss : str or loss
        A name of `fastnn.losses()`, or what `get_err` or `register_loss` returned, with its weights: its mean over all that
        it has one for, its sum with reduction="sum". Targets are what that loss takes: labels or distributions, a yes or
        no (0 and 1) for each output, or real numbers.
    output : None, str or activation
        What the last layer's scores go through before the loss, and in `predict`: for losses of probabilities. Losses
        whose names have softmax or sigmoid in them take the scores.
    dtype : float32 or float64
        Of the parameters and of all arithmetic; inputs are cast to it.
    rng : None, int, Generator or RandomState
        For the first weights, W1 first, and the dropout masks, in the order of the layers.

    Attributes
    ----------
    params : dict of ndarray
        "W1", "b1", ..., "gamma1", "beta1", ... with normalization, and "act_alpha1", ... of what activations learn. The
        layers look their parameters up here at each pass, so they may be changed in place or replaced.
    layers : dict of layers
        "Affine1", "BatchNorm1" ("LayerNorm1", "RMSNorm1"), "Activation_function1", "Dropout1", "Affine2", ..., "Output"
    rng : Generator or RandomState
        That of all dropout layers, too.

    Raises
    ------
    ValueError
        A size, a name or a number is out of its range: for weight decay also when it is set later. Loss and output do
        not fit.
    TypeError
        A size is no integer, weight decay no number, `dtype` neither float32 nor float64.
    """

    weight_decay_lambda, weight_decay_l1 = Decay(), Decay()

    def __init__(self, input_size: int, hidden_size_list: Sequence[int], output_size: int, activation: Any = "relu",
                 weight_init_std: Any = "relu", weight_decay_lambda: float = 0, use_dropout: bool = False,
                 dropout_ration: float = 0.5, use_batchnorm: bool = False, *, weight_decay_l1: float = 0,
                 dtype: Any = np.float64, rng: Any = None, loss: Any = "softmax-cross-entropy",
                 output: str | None = None, normalization: str | None = None,
                 normalization_args: dict[str, Any] | None = None, inverted_dropout: bool = False,
                 **unknown: Any):
        refuse(MultiLayerNet, unknown)
        sizes = [whole("input_size", input_size, 1), *_hidden_sizes(hidden_size_list), whole("output_size", output_size, 1)]
        self.input_size, *self.hidden_size_list, self.output_size = sizes
        self.weight_decay_lambda = weight_decay_lambda
        self.weight_decay_l1 = weight_decay_l1
        self.use_dropout = yes_or_no("use_dropout", use_dropout, ": dropout_ration is the share")
        self.use_batchnorm = yes_or_no("use_batchnorm", use_batchnorm)
        inverted_dropout = yes_or_no("inverted_dropout", inverted_dropout)
        share("dropout_ration", dropout_ration)
        self.dtype = _dtype(dtype)
        self.rng = rng = as_rng(rng)

        normalized = normalization_of(normalization, normalization_args, use_batchnorm)
        activations = _one_each(activation, len(sizes) - 2)
        self.params, self.layers = {}, {}
        self._owners = []       # a parameter's key, what has it, its attributes for the parameter and the gradient
        for i, (inputs, n) in enumerate(zip(sizes, sizes[1:]), start=1):
            hidden = Activation(activations[i - 1], rng) if i < len(sizes) - 1 else None
            width = n if hidden is None else n * hidden.inputs_per_output
            if i > 1:
                inputs = self.layers[f"Activation_function{i - 1}"].width_of(before)
            W = initial_weights((inputs, width), weight_init_std, self.dtype, rng)
            self._add(f"Affine{i}", Affine(W, np.zeros(width, self.dtype)), "{}" + str(i))
            if hidden is None:
                break
            if normalized is not None:
                name, make = normalized
                self._add(f"{name}{i}", make(width, self.dtype), "{}" + str(i))
            hidden.width_of(before := width)        # raises where it does not fit
            for attribute in hidden.learned:
                setattr(hidden.owner, attribute, np.array(getattr(hidden.owner, attribute), self.dtype))
            self._add(f"Activation_function{i}", hidden, "act_{}" + str(i))
            if use_dropout:
                self.layers[f"Dropout{i}"] = Dropout(dropout_ration, rng, inverted=inverted_dropout)
        if output is not None:
            self._add("Output", Activation(output, rng), "act_{}_output")
        objective = Objective(loss, self.output_size, None if output is None else self.layers["Output"].activation)
        self.objective, self.last_layer = objective, objective
        if output is None and loss == "softmax-cross-entropy":
            self.last_layer = SoftmaxWithLoss()
        self._training_pass = TrainingPass()

    def _add(self, name, layer, key):
        self.layers[name] = layer
        for attribute in layer.learned:
            self.params[key.format(attribute)] = getattr(layer.owner, attribute)
            self._owners.append((key.format(attribute), layer.owner, attribute, f"d{attribute}"))

    def predict(self, x, train_flg=False):
        """The last layer's scores, before a softmax, or what `output` makes of them, (rows, output_size), for x of shape
        (rows, input_size), or (rows, ...) with as many elements a row. x is anything `np.asarray` takes, rows by position.

        Raises ValueError or TypeError if x, or an array put into `params`, has the wrong shape or dtype.
        """
        return self._forward(self._input(x), train_flg)

    def loss(self, x, t, train_flg=False):
        """The mean of the loss plus weight decay, a float.

        t is (rows,) integer labels or (rows, output_size) one-hot; for losses of numbers and of yes or no (rows,
        output_size), or (rows,) for one output. Raises as `predict` does, and ValueError
        or TypeError for labels that do not fit.
        """
        x = self._input(x)
        t = self._targets(t, len(x))    # before the forward pass moves batch normalization's running means
        return self.last_layer.forward(self._forward(x, train_flg), t) + self._decay_loss()

    def accuracy(self, x, t):
        """Share of the rows whose highest score is their label's; of several labels, yes or no, the share of right ones.

        Takes and raises what `loss` does, and TypeError where targets are numbers.
        """
        x = self._input(x)
        t = self._targets(t, len(x))
        return self.objective.accuracy(self._forward(x, False), t)

    def gradient(self, x, t):
        """Gradients of `loss` in training mode by backpropagation: new arrays under the keys of `params`.

        Raises as `loss` does, before anything has changed.
        """
        return self.loss_and_gradient(x, t)[1]

    def loss_and_gradient(self, x, t, ready=None):
        """The loss in training mode and its `gradient`, from one forward and one backward pass.

        What the layers keep of it - their outputs and the gradients of their inputs - lies in memory that the next
        pass over as many rows writes again. None of that is ever returned. ready(key, gradient), where it is given,
        is called with each gradient as soon as it is known, those of the last layers first.
        """
        loss = self.loss(x, t, train_flg=True)
        last = self.last_layer
        self._training_pass.backward(last._kept if type(last) in (SoftmaxWithLoss, Objective) else last.backward(),
                                     None if ready is None else self._telling(ready))
        grads = {key: getattr(owner, gradient) for key, owner, _, gradient in self._owners}
        if ready is None:
            self._add_decay_gradient(grads)
        return loss, grads

    def _telling(self, ready):
        """What the backward pass calls behind each layer, with the gradients that are new since."""
        waiting = list(self._owners)
        for _, layer, _, gradient in waiting:
            setattr(layer, gradient, None)

        def tell():
            while waiting and getattr(waiting[-1][1], waiting[-1][3]) is not None:
                key, layer, _, gradient = waiting.pop()
                found = {key: getattr(layer, gradient)}
                self._add_decay_gradient(found)
                setattr(layer, gradient, found[key])
                ready(key, found[key])

        return tell

    def state_dict(self):
        """All that the next passes depend on, as a dict of numbers, strings and new arrays.

        Parameters, running means and variances, weight decay, dropout ratios, and where the generators of dropout
        stand; fastnn/nn/state.py describes it.

        Raises TypeError if a layer is none of fastnn's, or a bit generator not NumPy's.
        """
        return network_state(self)

    def load_state_dict(self, state):
        """Go on from a state that `state_dict` returned. Parameters are changed in place, and so are generators.

        Raises StateError, a ValueError, if the state is damaged or that of a network with other layers, sizes, dtype or
        kinds of generators, or with generators shared in another way; TypeError or ValueError if something in `params`
        cannot be written to. Nothing has been changed then.
        """
        self._fitting(state)()

    def _fitting(self, state):
        return checked_network(self, state)

    def numerical_gradient(self, x, t):
        """What `gradient` should give, by central differences in float64, for networks of any dtype.

        Dropout keeps the masks of the last pass in training mode if that had as many rows, so that
        ``net.gradient(x, t)`` and a following ``net.numerical_gradient(x, t)`` differentiate the same
        function. Works on a copy: neither parameters nor running means change. Raises as `gradient` does.
        """
        twin = copy.deepcopy(self)
        twin.dtype = np.dtype(np.float64)
        twin.params = {key: p.astype(np.float64) for key, p in self.params.items()}
        twin._freeze()
        return {key: numerical_gradient(lambda _: twin.loss(x, t, train_flg=True), p)
                for key, p in twin.params.items()}

    def _input(self, x):
        x = real_numbers(x, "x")
        if x.ndim == 2 and x.dtype == self.dtype and x.shape[1] == self.input_size:
            return x
        if x.ndim < 2 or math.prod(x.shape[1:]) != self.input_size:
            raise ValueError(f"x must have shape (rows, {self.input_size}), not {x.shape}")
        return x.astype(self.dtype, copy=False).reshape(len(x), self.input_size)

    def _targets(self, t, rows):
        return self.objective.targets(t, rows, self.dtype)

    def nonfinite(self, x, t):
        """Where in `loss_and_gradient` numbers cease to be finite: (name of a layer, "output" or "gradient"), of the
        first one in the order of computation, or (None, "input" or "weight decay"); None if all are finite.

        The passes are repeated on a copy, with dropout's last masks: this is for when something has gone wrong. Takes
        and raises what `loss` does.
        """
        x = self._input(x)
        t = self._targets(t, len(x))
        twin = copy.deepcopy(self)
        twin._freeze()
        twin._fetch_parameters()
        with np.errstate(all="ignore"):
            found = first_nonfinite(twin.layers, twin.last_layer, x, t)
            if found is None:
                decay = {key: np.zeros_like(W) for key, W in self._weights()}
                self._add_decay_gradient(decay)
                if not (math.isfinite(self._decay_loss()) and all_finite(decay.values())):
                    return None, "weight decay"
        return found

    def _freeze(self):
        for layer in drawing(self.layers.values()):
            layer.frozen = True

    def _fetch_parameters(self):
        found = self.params.get
        for key, owner, attribute, _ in self._owners:
            if found(key) is not getattr(owner, attribute):
                setattr(owner, attribute, self._checked(key, getattr(owner, attribute)))

    def _forward(self, x, train_flg):
        self._fetch_parameters()
        layers = list(self.layers.values())
        if train_flg:
            if not self._training_pass.fits(layers, len(x), self.dtype):
                self._training_pass = TrainingPass(layers, len(x), self.dtype)
            return self._training_pass.forward(x)
        for layer in layers:
            x = layer.forward(x, False)
        return x

    def _checked(self, key, known):
        p = self.params.get(key)
        if not isinstance(p, np.ndarray) or p.dtype != self.dtype:
            found = getattr(p, "dtype", type(p).__name__)
            raise TypeError(f"params[{key!r}] must be a {self.dtype} array, not {found}")
        as_array(p, f"params[{key!r}]")
        if p.shape != known.shape:
            raise ValueError(f"params[{key!r}] must have shape {known.shape}, not {p.shape}")
        return p

    def _weights(self):
        keys = (f"W{i}" for i in range(1, len(self.hidden_size_list) + 2))
        return ((key, self.params[key]) for key in keys)

    def _decay_loss(self):
        loss = 0.0
        if not (self.weight_decay_lambda or self.weight_decay_l1):
            return loss
        for _, W in self._weights():
            if self.weight_decay_lambda:
                loss += 0.5 * self.weight_decay_lambda * sum_of_squares(W)
            if self.weight_decay_l1:
                loss += self.weight_decay_l1 * float(np.abs(W).sum(dtype=np.float64))
        return loss

    def _add_decay_gradient(self, grads):
        if not (self.weight_decay_lambda or self.weight_decay_l1):
            return
        for key, W in self._weights():
            if key not in grads:
                continue
            grads[key] = plain(np.asarray(grads[key]), self.dtype)      # a copy where a foreign layer's has gaps
            add_decay(grads[key], plain(np.asarray(W), self.dtype), self.weight_decay_lambda, self.weight_decay_l1)


def _one_each(activation, hidden):
    """One activation for each hidden layer."""
    if not isinstance(activation, (list, tuple)):
        return [activation] * hidden
    if len(activation) != hidden:
        raise ValueError(f"activation has {len(activation)} entries for {hidden} hidden layers")
    return list(activation)


def _hidden_sizes(sizes):
    if not hasattr(sizes, "__iter__") or isinstance(sizes, (str, bytes)):
        sizes = [sizes]
    return [whole("hidden_size_list", size, 1) for size in sizes]


def _dtype(given):
    try:
        dtype = np.dtype(given)
    except TypeError:
        dtype = given
    if isinstance(dtype, np.dtype) and dtype in (np.float32, np.float64):
        return dtype
    raise TypeError(f"dtype must be float32 or float64, not {dtype!s:.80}")
