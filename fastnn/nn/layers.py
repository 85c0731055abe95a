"""The layers of a network, for arrays of shape (rows, features), of float32 or float64.

`forward(x, train_flg=True)` gives the layer's output and keeps what `backward(dout)` needs to turn the
gradient of the output into the gradient of `x`; with `train_flg=False` it keeps nothing. Results are new
arrays, or `out` where that is given: an array of the result's shape and dtype that lies contiguous and apart
from all other operands (but see Activation and Dropout). It, and x, must then stay as they are until `backward`,
but for an x that Activation does not need. The inputs are never changed. Names follow "Deep Learning from Scratch" (K. Saitoh,
chapters 5 and 6).

A layer's output has the dtype of x, and dx that of dout, as with the activations: of float16 and bfloat16 everything is
computed in float32 and rounded once, and what is no floating-point number becomes float64. Affine has the dtype of NumPy's
product x W instead, Embedding that of W. Gradients of parameters have the dtype that was computed in, those of what
activations learn the parameter's.
"""
import copy
import math
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn.activations import get_act
from fastnn.core import kernels
from fastnn.core.arrays import as_array
from fastnn.core.affine import activate_with_bias, add_bias, column_sums, gradient_with_sums
from fastnn.core.dropout import drop, masked
from fastnn.core.elementwise import ElementwiseActivation
from fastnn.core.gated_units import GatedUnit
from fastnn.core.mean_loss import mean_row_loss
from fastnn.core.normalization import normalize, normalize_batch, normalize_batch_backward
from fastnn.core.rows import RowActivation
from fastnn.state import StateError, array, finite, is_one_of
from .arguments import number, parameter, share
from .initializers import as_rng


def is_half(a):
    dtype = getattr(a, "dtype", None)
    return dtype is not None and dtype.itemsize == 2 and (dtype.kind == "f" or dtype.name == "bfloat16")


def of_half(call, a, out, *others):
    """What `call` makes of a half-precision array in float32, rounded to its dtype; in `out` where that is given."""
    a = as_array(a, "x")
    y = call(a.astype(np.float32), *others)
    if out is None:
        return y.astype(a.dtype)
    if getattr(out, "dtype", None) != a.dtype or out.shape != y.shape:
        raise ValueError(f"out must be a {a.dtype} array of shape {y.shape}")
    out[...] = y
    return out


class Layer:
    _kept = None
    learned = ()                # names of its parameters; their gradients are d... of these

    @property
    def owner(self):
        """What has the parameters and their gradients as attributes."""
        return self

    def _remembered(self):
        """What passes depend on beside parameters and generators, as numbers, words and new arrays."""
        return {}

    def _recalled(self, saved, where):
        """The attributes to be set, from what has the keys of `_remembered`. Raises StateError."""
        return {}

    def _recall(self):
        if self._kept is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward pass with train_flg=True")
        return self._kept


class Affine(Layer):
    """y = x W + b.

    W is (features in, features out), b (features out,). `backward` leaves their gradients in `dW` and `db`, new
    arrays each time.
    """

    learned = ("W", "b")

    def __init__(self, W: np.ndarray, b: np.ndarray):
        self.W, self.b = parameter("W", W, ("inputs", "outputs")), parameter("b", b, ("outputs",))
        self.dW = self.db = None

    def forward(self, x, train_flg=True, out=None):
        return add_bias(self.product(x, train_flg, out), self.b)

    def product(self, x, train_flg=True, out=None):
        """`forward` without the bias, which `Activation.forward` adds for less."""
        x = as_array(x, "x")
        if train_flg:
            self._kept = x
        return _dot(x, self.W, out)

    def backward(self, dout, out=None, db=None):
        self.parameter_gradients(dout, db)
        return _dot(as_array(dout, "dout"), self.W.T, out)

    def parameter_gradients(self, dout, db=None):
        """`backward` without the gradient of `x`, which is not needed for a network's first layer.

        `db` is the gradient of b, where it is known already.
        """
        x = self._recall()
        if is_half(dout):
            dout = dout.astype(np.float32)
        self.dW, self.db = x.T.dot(dout), column_sums(dout) if db is None else db


def _dot(a, b, out):
    if is_half(a) and a.dtype == b.dtype:
        return of_half(b.astype(np.float32).__rmatmul__, a, out)
    return a.dot(b, out)


class Activation(Layer):
    """Any activation of the catalogue: its name, or what `get_act` returned for it.

    Where y = f(x) determines f' (`by_value` of the activation) `backward` takes it from y, and x need not be kept: `out`
    may be x in `forward` then, and otherwise if that is not for training, but not where the number of columns changes. It
    may be dout in `backward`, likewise. What it learns - PReLU's alpha - is the layer's: `activation` is a copy then, and
    `learned` names its attributes. A gated unit halves the columns. What is random while training (RReLU) is a copy, too,
    and draws from `rng`; while `frozen` is set it draws the same again for arrays of the same shape.
    Raises ValueError if the name is unknown, TypeError for maxout, which has weights of its own.
    """

    def __init__(self, activation: Any, rng: Any = None):
        act = get_act(activation) if isinstance(activation, str) else activation
        if isinstance(act, type) or not hasattr(act, "forward"):
            raise TypeError(f"an activation is a name, or what get_act returned, not {activation!r:.80}")
        if getattr(act, "kind", None) == "layer":
            raise TypeError(f"{act!r} has weights of its own, which nothing here would train")
        self.learned = tuple(getattr(act, "learned", ()))
        self.random, self.frozen = getattr(act, "kind", None) == "random", False
        self.activation = copy.deepcopy(act) if self.learned or self.random else act
        if self.random:
            self.activation.rng = None                          # states compare what is shown
            if rng is not None:
                self.activation._generator = as_rng(rng)
        self._elementwise = isinstance(act, ElementwiseActivation)

    @property
    def owner(self):
        return self.activation

    def _remembered(self):
        plain = type(self.activation).__repr__ is object.__repr__       # which would show an address
        return {"activation": type(self.activation).__qualname__ if plain else repr(self.activation)}

    def _recalled(self, saved, where):
        own, = self._remembered().values()
        if not is_one_of(saved["activation"], (own,)):
            raise StateError(f"{where} has the activation {saved['activation']!r:.80}, not {own!r}")
        return {}

    @property
    def by_value(self):
        """Whether `backward` does without x. A subclass's own `backward` may know nothing of that."""
        act = self.activation
        return getattr(type(act), "backward", None) is ElementwiseActivation.backward and act.by_value

    @property
    def inputs_per_output(self):
        """How many columns of x one of y is made of."""
        return 2 if isinstance(self.activation, GatedUnit) else 1

    def width_of(self, width):
        """Columns of y, for so many of x. Raises ValueError where the activation does not fit these."""
        if self._elementwise or self.random or isinstance(self.activation, RowActivation):
            return width
        y = np.asarray(self.activation.forward(np.zeros((2, width))))
        if y.ndim != 2 or len(y) != 2:
            raise ValueError(f"{self.activation!r} makes of rows and {width} columns the shape {y.shape}: a layer keeps "
                             "the rows")
        return y.shape[1]

    def forward(self, x, train_flg=True, out=None, bias=None):
        """With `bias`, of shape (features,), the activation of x + bias: in one pass, and x becomes x + bias."""
        if self.random:
            with self._draws(x, train_flg):
                return self._forward(x, train_flg, out, bias)
        return self._forward(x, train_flg, out, bias)

    def _forward(self, x, train_flg, out, bias):
        if bias is None:
            y = self.activation.forward(x, out=out)
        elif self._elementwise:
            y = activate_with_bias(self.activation, x, bias, out)
        else:
            y = self.activation.forward(add_bias(x, bias), out=out)
        if train_flg:
            self._kept = (None if self.by_value else x), y
        return y

    @contextmanager
    def _draws(self, x, train_flg):
        """What a random activation draws: nothing but in training, the last key again while it is frozen."""
        act = self.activation
        act.training, own = bool(train_flg), act._generator
        if train_flg and self.frozen and act._kept is not None and act._kept[1] == np.shape(x):
            act._generator = _Again(act._kept[0])
        try:
            yield
        finally:
            act._generator = own

    @property
    def rng(self):
        """The generator of a random activation, or None."""
        return self.activation._generator if self.random else None

    def backward(self, dout, out=None):
        x, y = self._recall()
        if self.random:
            self.activation.training = True
        return self.activation.backward(x, y, grad=dout, out=out)

    def backward_with_bias(self, dout, out=None):
        """`backward`, and the gradient of the bias that `forward` added: its sums over the rows."""
        x, y = self._recall()
        return gradient_with_sums(self.activation, x, y, dout, out)


class _Again:
    """A generator that draws one key once more."""

    def __init__(self, key):
        self.key = key

    def random(self):
        return self.key / 2**53


def drawing(layers):
    """Those that draw random numbers while training: Dropout, and activations that are random."""
    return [layer for layer in layers if isinstance(layer, Dropout) or isinstance(layer, Activation) and layer.random]


class Dropout(Layer):
    """Switches each feature of each row off with probability `dropout_ratio` while training, and scales all
    by 1 - dropout_ratio otherwise (Srivastava et al. 2014, JMLR 15, section 4), as in the book. With `inverted` it scales
    by 1/(1 - dropout_ratio) what it leaves on while training, and otherwise nothing, as torch and Keras do.

    Each forward pass in training mode draws the key of its mask, ``int(rng.random()*2**53)``; the mask is a function of
    key and place (`fastnn/core/masks.h`), whatever the number of threads. rng is None, an int, a Generator or a
    RandomState, and as the attribute `rng` a generator. `mask` holds True for what stayed on.
    While `frozen` is set, a forward pass of the same shape uses it again: a numerical gradient is only defined for
    a fixed mask. `out` may be x, and dout in `backward`.
    Raises ValueError for a ratio outside [0, 1).
    """

    def __init__(self, dropout_ratio: float = 0.5, rng: Any = None, *, inverted: bool = False):
        self.dropout_ratio = share("the dropout ratio", dropout_ratio)
        self.inverted, self.frozen = bool(inverted), False
        self.rng = as_rng(rng)

    @property
    def mask(self):
        return self._kept

    def _remembered(self):
        return {"dropout_ratio": self.dropout_ratio, **({"inverted": 1} if self.inverted else {})}

    def _recalled(self, saved, where):
        ratio = finite(saved["dropout_ratio"], f"the dropout ratio of {where}")
        if not 0 <= ratio < 1:
            raise StateError(f"the dropout ratio of {where} must be at least 0 and below 1, not {ratio}")
        return {"dropout_ratio": ratio}

    def forward(self, x, train_flg=True, out=None):
        x = as_array(x, "x")
        if is_half(x):
            return of_half(self.forward, x, out, train_flg)
        if not train_flg:
            return np.multiply(x, 1.0 if self.inverted else 1 - self.dropout_ratio, out=out)
        if self.frozen and self.mask is not None and self.mask.shape == x.shape:
            return masked(x, self.mask, out, self._factor)
        y, self._kept = drop(x, self.dropout_ratio, int(self.rng.random()*2**53), out, self._factor)
        return y

    def backward(self, dout, out=None):
        if is_half(dout):
            return of_half(self.backward, dout, out)
        return masked(dout, self._recall(), out, self._factor)

    @property
    def _factor(self):
        return 1 / (1 - self.dropout_ratio) if self.inverted else 1.0


# like -> what is kept of running values, eps, whether the running variance is unbiased, and what that begins with
NORMALIZATIONS = {None: (0.9, 1e-6, False, 1), "dlfs": (0.9, 1e-6, False, 0), "torch": (0.9, 1e-5, True, 1),
                  "keras": (0.99, 1e-3, False, 1), "chainer": (0.9, 2e-5, True, 1)}


class BatchNormalization(Layer):
    """y = gamma (x - mean) / sqrt(var + eps) + beta for each feature; var is divided by the number of rows
    (Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 1).

    Training uses the batch's mean and variance and moves `running_mean` and `running_var` towards them, running =
    momentum running + (1 - momentum) batch; otherwise the running values are used. They have to be saved like parameters,
    which a network's `state_dict` does. `backward` leaves the gradients of gamma and beta in `dgamma` and `dbeta`.

    Parameters
    ----------
    gamma, beta : ndarray of shape (features,)
    momentum : float
        What is kept of the running values; like="torch" takes it as torch does, which has 1 less it: momentum=0.1 there
        becomes the attribute 0.9.
    running_mean, running_var : ndarray or None
        What they begin with: 0 and 1, the variance in the book with 0, with which a network that has not been trained
        blows its scores up.
    eps : float
        The default is the book's 10e-7. Added to a float32 variance below 1 it counts, and dividing by its root blows the
        rounding noise of a feature that is constant over the batch up by no more than 1000.
    unbiased : bool
        Whether the running variance is moved towards the batch's times n/(n - 1), n rows. What x is divided by never is.
    like : str or None
        "dlfs" (the book), "torch", "keras" or "chainer": the defaults of the four, in this order momentum 0.9, 0.9, 0.99, 0.9;
        eps 10e-7, 1e-5, 1e-3, 2e-5; the variance is unbiased in torch and Chainer. None is the book's, but a running
        variance that begins with 1.

    Raises ValueError for a momentum outside [0, 1], an eps that is negative or not finite, an unknown `like`, and for
    training with fewer than two rows: normalized, a single one is beta whatever it was, and its gradient 0.
    """

    learned = ("gamma", "beta")

    def __init__(self, gamma: np.ndarray, beta: np.ndarray, momentum: float | None = None,
                 running_mean: np.ndarray | None = None, running_var: np.ndarray | None = None, *,
                 eps: float | None = None, unbiased: bool | None = None, like: str | None = None):
        if like not in NORMALIZATIONS:
            raise ValueError(f"like must be None or one of {', '.join(filter(None, NORMALIZATIONS))}, not {like!r}")
        kept, own_eps, own_unbiased, first = NORMALIZATIONS[like]
        if momentum is not None:
            momentum = number("momentum", momentum)
            if not 0 <= momentum <= 1:
                raise ValueError(f"momentum must lie between 0 and 1, not {momentum!r}")
            kept = 1 - momentum if like == "torch" else momentum
        self.gamma = gamma = parameter("gamma", gamma, ("features",))
        self.beta = parameter("beta", beta, ("features",))
        self.momentum = float(kept)
        self.eps = own_eps if eps is None else checked_eps(eps)
        self.unbiased = own_unbiased if unbiased is None else bool(unbiased)
        self.running_mean = np.zeros_like(gamma) if running_mean is None else running_mean
        self.running_var = np.full_like(gamma, first) if running_var is None else running_var
        self.dgamma = self.dbeta = None

    def _remembered(self):
        _, eps, unbiased, _ = NORMALIZATIONS[None]
        usual = (self.eps, self.unbiased) == (eps, unbiased)
        other = {} if usual else {"eps": self.eps, "unbiased": int(self.unbiased)}
        return {"momentum": self.momentum, "running_mean": np.array(self.running_mean),
                "running_var": np.array(self.running_var), **other}

    def _recalled(self, saved, where):
        momentum = finite(saved["momentum"], f"the momentum of {where}")
        if not 0 <= momentum <= 1:
            raise StateError(f"the momentum of {where} must lie between 0 and 1, not {momentum}")
        running = {name: array(saved[name], f"{name} of {where}", own.dtype, own.shape).copy()
                   for name, own in self._remembered().items() if name.startswith("running")}
        for name in ("eps", "unbiased"):
            if name in saved and finite(saved[name], f"{name} of {where}") != getattr(self, name):
                raise StateError(f"{where} has {name} {saved[name]}, not {getattr(self, name)}")
        return {"momentum": momentum, **running}

    def forward(self, x, train_flg=True, out=None):
        if is_half(x):
            return of_half(self.forward, x, out, train_flg)
        if not train_flg:
            return normalize(x, self.running_mean, self.running_var, self.gamma, self.beta, self.eps, out)
        x = as_array(x, "x")
        if len(x) < 2:
            raise ValueError(f"batch normalization is trained on two rows or more, not on {len(x)}: normalized, "
                             "a single row is beta whatever it was")
        y, self._kept, self.running_mean, self.running_var = normalize_batch(
            x, self.gamma, self.beta, self.eps, self.momentum, self.running_mean, self.running_var, out, self.unbiased)
        return y

    def backward(self, dout, out=None):
        if is_half(dout):
            return of_half(self.backward, dout, out)
        dx, self.dgamma, self.dbeta = normalize_batch_backward(dout, self._recall(), self.gamma, out)
        return dx


def checked_eps(eps):
    eps = number("eps", eps)
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps must be finite and not negative, not {eps!r}")
    return eps


class SoftmaxWithLoss(Layer):
    """The mean over the rows of the cross entropy of softmax(x) with the labels t.

    t is (rows,) or (rows, 1) integers or (rows, classes) one-hot. Raises TypeError for labels that are no integers, ValueError for
    shapes or labels that do not fit.
    """

    def forward(self, x, t):
        """The loss, a float: the mean is taken in float64."""
        x = as_array(x, "x")
        if is_half(x):
            loss = self.forward(x.astype(np.float32), t)
            self._kept = self._kept.astype(x.dtype)
            return loss
        x = plain(x, np.float32, np.float64)
        t = as_array(t, "t")
        if t.shape == x.shape:
            t = plain(t, x.dtype)
        elif t.dtype.kind in "iu":
            t = plain(t[:, 0] if t.shape == (len(x), 1) else t, np.intp)
        else:
            raise TypeError(f"labels must be integers, not {t.dtype}")
        gradient = self._kept       # never handed out
        if gradient is None or gradient.shape != x.shape or gradient.dtype != x.dtype:
            gradient = np.empty_like(x)
        loss = mean_row_loss(kernels.ROW_LOSSES["softmax_cross_entropy"], x, t, gradient)
        self._kept = gradient
        return loss

    def backward(self, dout=1):
        return self._recall() * dout


def plain(a, *dtypes):
    """The array as one that compiled code runs through: of one of the dtypes, else cast to the last."""
    if a.dtype in dtypes and a.flags.c_contiguous and a.flags.aligned:
        return a
    native = a.dtype.newbyteorder("=")
    return np.require(a, native if native in dtypes else dtypes[-1], ["C", "A"])
