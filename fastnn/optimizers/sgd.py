"""Gradient descent and its momenta."""
from typing import Any

import numpy as np

from ..groups import numbers_at
from .base import EtaOptimizer, Optimizer, decay, rate


class SGD(EtaOptimizer, name="SGD", kernel="sgd", aliases=("SDG", "GradientDescent")):
    """-eta g.  (Article A registers it as "SDG".)

    get_opt("SGD", momentum=0.9) makes it SGDMomentum, which takes dampening=, too; nesterov=True beside momentum
    SGDNesterov.
    """

    eta = rate(1e-2)
    variants = {("momentum",): "SGDMomentum", ("momentum", "nesterov"): "SGDNesterov"}
    peers = {"torch": ("SGD", dict(lr=0.01)), "optax": ("sgd", dict(learning_rate=0.01))}

    @staticmethod
    def constants(h):
        return {"lr": h.eta}


class MSGD(EtaOptimizer, name="MSGD", kernel="momentum"):
    """delta = mu delta_prev - (1 - mu) eta g.  Momentum SGD as in article A; PyTorch and article B have no (1 - mu)."""

    eta = rate(1e-2)
    mu = decay(0.9)
    slots = {"delta": 0}
    stored = {"delta": "linear"}
    peers = {"torch": ("SGD", dict(lr=0.01, momentum=0.9, dampening=0.1)),
             "optax": ("sgd", dict(learning_rate=0.001, momentum=0.9))}

    @staticmethod
    def constants(h):
        return {"momentum": h.mu, "lr": (1 - h.mu) * h.eta}


class NAG(MSGD, name="NAG", kernel="momentum"):
    """MSGD with the gradient taken at w + mu delta_prev.  Nesterov 1983, as in article A.

    ``update(grad_w, grad_b, w, b, dfw, dfb, nargs)``: with nargs=1 the gradient is dfw(w'), that of the bias 0; with
    nargs=2 they are dfw(w', b') and dfb(w', b'). Without dfw, for any other nargs, and in the in-place forms, the
    gradients passed are used: take them at `lookahead`.
    """

    peers = {"torch": ("SGD", dict(lr=0.01, momentum=0.9, nesterov=True)),
             "optax": ("sgd", dict(learning_rate=0.01, momentum=0.9, nesterov=True))}
    lazy = False                # all rows have moved where the gradient is wanted
    _positional = ("w", "b", "dfw", "dfb", "nargs", "t")

    def lookahead(self, value: Any, key: Any) -> Any:
        """value + mu delta_prev of that key, path or position: where an in-place step needs its gradient.

        mu is that of the parameter's group at its next step; a value without state yet, and one that is frozen, comes
        back as it is. A key of a mapping comes before a position.
        """
        return self._alone(self._ahead_of, value, key)

    def _ahead_of(self, value, key):
        home = next((home for home in self._records if key in home), {})
        return self._ahead(home, key, value, value)

    def gradient_point(self, params: Any) -> Any:
        """Where the next gradient is to be evaluated: `lookahead` of all parameters, in their structure."""
        return self._alone(self._each, params, lambda home, key, p: self._ahead(home, key, p, p))

    def _ahead(self, home, key, value, parameter):
        """`parameter` is what functions of groups see."""
        record = home.get(key)
        if record is None:
            return value
        group = self._group_of(home, key, parameter)
        if group is not None and group.freeze:
            return value
        return value + numbers_at(group or self, record.t + 1).mu * record.slot(0)

    def _gradients(self, grads, extra):
        nargs, dfw, dfb = extra.get("nargs", 2), extra.get("dfw"), extra.get("dfb")
        if nargs not in (1, 2) or dfw is None:
            return grads
        if len(grads) != 2 or (nargs == 2 and dfb is None):
            raise TypeError("NAG with dfw takes grad_w and grad_b, and for nargs=2 dfb, too")
        home = self._records[1]
        w = self._ahead(home, 0, extra.get("w", 0), extra.get("w", grads[0]))
        if nargs == 1:
            return [dfw(w), np.zeros_like(grads[1])]
        b = self._ahead(home, 1, extra.get("b", 0), extra.get("b", grads[1]))
        return [dfw(w, b), dfb(w, b)]


class Momentum(Optimizer, name="Momentum", kernel="momentum", aliases=("heavy ball", "Polyak momentum")):
    """v = momentum v - lr g; v.  Polyak 1964, as in articles B and C. (PyTorch applies lr outside of v.)"""

    lr = rate(1e-2)
    momentum = decay(0.9)
    slots = {"v": 0}
    stored = {"v": "linear"}
    peers = {"torch": ("SGD", dict(lr=0.01, momentum=0.9)), "optax": ("sgd", dict(learning_rate=0.01, momentum=0.9))}

    @staticmethod
    def constants(h):
        return {"momentum": h.momentum, "lr": h.lr}


class Nesterov(Momentum, name="Nesterov", kernel="nesterov"):
    """momentum^2 v - (1 + momentum) lr g with the v of the step before; then v = momentum v - lr g.

    Bengio et al. 2012, arXiv 1212.0901; article B applies momentum^2 to the new v.
    """

    peers = {"torch": ("SGD", dict(lr=0.01, momentum=0.9, nesterov=True)),
             "optax": ("sgd", dict(learning_rate=0.01, momentum=0.9, nesterov=True))}

    @staticmethod
    def constants(h):
        return {"momentum": h.momentum, "lr": h.lr, "momentum_squared": h.momentum**2,
                "lr_ahead": (1 + h.momentum) * h.lr}
