"""A network's loss over all rows, minimized as a whole by SciPy's L-BFGS-B."""
import math
from itertools import combinations
from typing import Any

import numpy as np
from dataclasses import dataclass

from fastnn.core.arrays import share_memory
from .arguments import number, whole
from .data import rows
from .finite import NonFinite, all_finite
from .layers import Activation, BatchNormalization, Dropout

__all__ = ["Minimum", "minimize"]


@dataclass(frozen=True)
class Minimum:
    """What `minimize` came to.

    Attributes
    ----------
    loss : float
        Of the network as it is now, in training mode, weight decay included.
    evaluations, iterations : int
        Passes forward and back, and steps of L-BFGS-B.
    success : bool
        Whether a tolerance was reached; False at `maxiter` or `maxfun`, and where a line search found nothing lower.
    message : str
        Why it ended, in SciPy's words.
    """

    loss: float
    evaluations: int
    iterations: int
    success: bool
    message: str


def minimize(network: Any, x: Any, t: Any, *, maxiter: int = 15000, maxfun: int = 15000,
             ftol: float = 2.220446049250313e-9, gtol: float = 1e-5, maxcor: int = 10, maxls: int = 20):
    """Minimize the loss of all rows of x over all parameters at once. The parameters are changed in place.

    SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995, SIAM J. Sci. Comput. 16), without bounds, in float64; loss and
    gradient are computed in the network's dtype. It is for data that can pass through the network as a whole, some
    hundred times; a `Trainer` takes batches.

    Parameters
    ----------
    network : MultiLayerNet
        Or what else has `params`, a dict of arrays, and `loss_and_gradient(x, t)`. The loss has to be the same in each
        pass: Dropout is refused. Batch normalization takes mean and variance of all rows, and has those of the result
        as its running values in the end. `weight_decay_l1` has kinks, where a line search may find nothing lower.
    x, t : array_like
        Rows and labels, as `loss` takes them.
    maxiter, maxfun, maxcor, maxls : int
        SciPy's options: iterations and evaluations at most, pairs remembered, evaluations of one line search at most.
    ftol, gtol : float
        It ends where (f_before - f)/max(|f_before|, |f|, 1) <= ftol, or where no gradient is larger than gtol.

    Returns
    -------
    Minimum
        The network has the parameters of the lowest loss seen; also where an exception or Ctrl-C, which go on to the
        caller, have ended it early.

    Raises, before anything has changed, ImportError without SciPy, which ``pip install "fastnn[scipy]"`` installs;
    ValueError or TypeError for x and t that do not fit the network, for limits and tolerances out of range, for Dropout,
    and for parameters that are read-only or share memory; FloatingPointError if the loss or a gradient is infinite or
    NaN.

    Examples
    --------
    >>> from fastnn.datasets import load_digits
    >>> from fastnn.nn import MultiLayerNet, minimize
    >>> (x, t), (x_test, t_test) = load_digits()
    >>> network = MultiLayerNet(64, [30], 10, activation="tanh", weight_decay_lambda=1e-3, rng=0)
    >>> found = minimize(network, x, t, maxiter=100)
    >>> found.evaluations < 130 and network.accuracy(x_test, t_test) > 0.95
    True
    """
    try:
        from scipy.optimize import minimize as minimized
    except ImportError:
        raise ImportError('minimize needs the package scipy: pip install "fastnn[scipy]"') from None
    options = {"maxiter": whole("maxiter", maxiter, 1), "maxfun": whole("maxfun", maxfun, 1),
               "maxcor": whole("maxcor", maxcor, 1), "maxls": whole("maxls", maxls, 1),
               "ftol": _tolerance("ftol", ftol), "gtol": _tolerance("gtol", gtol)}
    with _Problem(network, x, t) as problem:
        found = minimized(problem, problem.best.copy(), jac=True, method="L-BFGS-B", options=options)
    return Minimum(problem.lowest, int(found.nfev), int(found.nit), bool(found.success), str(found.message))


class _Problem:
    """Loss and gradient as functions of one vector. As a context it leaves the network at the best one."""

    def __init__(self, network, x, t):
        if not (isinstance(getattr(network, "params", None), dict) and hasattr(network, "loss_and_gradient")):
            raise TypeError(f"a network has params, a dict, and loss_and_gradient(x, t), which {network!r:.80} has not")
        self.network, self.x, self.t = network, rows(x, "x"), rows(t, "t")
        if hasattr(network, "dtype"):
            self.x = self.x.astype(network.dtype, copy=False)       # once, not in each pass
        layers = getattr(network, "layers", {})
        for name, layer in layers.items():
            if isinstance(layer, Dropout) and layer.dropout_ratio:
                raise ValueError(f"layer {name!r} is Dropout, which gives another loss in each pass: minimize needs a "
                                 "network without it, or with a dropout_ratio of 0")
            if isinstance(layer, Activation) and layer.random:
                raise ValueError(f"layer {name!r} draws random numbers and gives another loss in each pass: minimize needs "
                                 "a network without it")
        self.normalizations = [layer for layer in layers.values() if isinstance(layer, BatchNormalization)]
        for key, p in network.params.items():
            if not p.flags.writeable:
                raise ValueError(f"params[{key!r}] is read-only")
        for (one, p), (other, q) in combinations(network.params.items(), 2):
            if share_memory(p, q):
                raise ValueError(f"params[{one!r}] and params[{other!r}] share memory")
        self.lowest, self.best = math.inf, np.empty(sum(p.size for p in network.params.values()))
        self.gradient = np.empty_like(self.best)
        for part, p in self._parts(self.best):
            part[...] = p
        self.running = self._running()

    def _parts(self, vector):
        """(a view of the vector with the parameter's shape, the parameter) for each."""
        start = 0
        for p in self.network.params.values():
            yield vector[start:start + p.size].reshape(p.shape), p
            start += p.size

    def _running(self):
        return [(layer, layer.running_mean, layer.running_var) for layer in self.normalizations]

    def __enter__(self):
        self.momenta = [layer.momentum for layer in self.normalizations]
        for layer in self.normalizations:
            layer.momentum = 0.0                        # running values become those of the last pass
        return self

    def __exit__(self, *raised):
        self._put(self.best)
        for (layer, mean, var), momentum in zip(self.running, self.momenta):
            layer.running_mean, layer.running_var, layer.momentum = mean, var, momentum

    def _put(self, vector):
        with np.errstate(over="ignore"):                # a line search may go beyond float32
            for part, p in self._parts(vector):
                p[...] = part

    def __call__(self, vector):
        self._put(vector)
        with np.errstate(all="ignore"):
            loss, grads = self.network.loss_and_gradient(self.x, self.t)
        for (part, _), key in zip(self._parts(self.gradient), self.network.params):
            part[...] = grads[key]
        finite = math.isfinite(loss) and all_finite([self.gradient])
        if not finite and self.lowest == math.inf:
            find = getattr(self.network, "nonfinite", None)
            where = find and find(self.x, self.t) or (None, "unknown")
            raise FloatingPointError(str(NonFinite(0, loss, *where)))
        if finite and loss < self.lowest:
            np.copyto(self.best, vector)
            self.lowest, self.running = float(loss), self._running()
        return loss, self.gradient


def _tolerance(name, value):
    value = number(name, value)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and not negative, not {value}")
    return value
