"""The catalogue of optimizers: one class each, with its hyperparameters, its rule in words and the constants of a step.

The compiled rules stand in fastnn/core/rules.pxd. In the docstrings g is the gradient, t the step from 1; the delta is
added to the parameter. Everything that depends only on hyperparameters and t is computed here, once a step, in double
precision, and handed to the rule.
"""
from collections.abc import Mapping
from functools import partial
from math import copysign, isfinite, sqrt
from operator import index
from typing import Any

import numpy as np

from .core import rules
from .core.stepping import Stepper
from .hyperparameters import Hyperparameter, Option, as_float
from .options import Adjustable
from .registry import Registry, hint
from .state import StateError, checked, finite, state_of

_registry = Registry("optimizer")
MISSING = object()
SEVERAL = (Mapping, list, tuple)
UNCOPIED = ("_rules", "_groups", "_resolved", "_version")      # addresses; groups know their optimizer
STATE_DTYPES = ("float32", "bfloat16", "int8")
SLOTS_OF = {}               # a compiled rule: as many as the catalogue's class has, beyond which it would write


def get_opt(name: str, *args: Any, **kwds: Any) -> "Optimizer":
    """The optimizer of that name, with the hyperparameters given; lr= is understood by every one.

    Names ignore case, spaces, - and _. With state_dtype="bfloat16" or "int8" the state takes half or a quarter of the
    memory: see Optimizer. Raises ValueError for an unknown name or a hyperparameter out of its range, TypeError for an
    unknown hyperparameter.
    """
    return _registry[name](*args, **kwds)


def optimizers() -> list[str]:
    """The names of all optimizers."""
    return _registry.names()


def are_mappings(first, second):
    return type(first) is type(second) is dict or isinstance(first, Mapping) and isinstance(second, Mapping)


class Optimizer(Adjustable, Stepper):
    """What all optimizers share: three ways to take a step, and the state.

    Parameters are NumPy arrays of any shape and strides, float32 or float64, or float16 or bfloat16 (ml_dtypes), which
    are computed in float32 and rounded once a step, to nearest even. Gradients have their shapes and are cast to the
    dtype that is computed in. State is kept for each key of a mapping and each position of a sequence.

    state_dtype says how: "float32" (float64 for float64 parameters), or, in rules whose state is averages that forget,
    "bfloat16" or "int8", for parameters of up to 32 bits. Both are rounded up or down at random, the same way in every
    run and for any number of threads; where an average is v or u, int8 keeps 2^-15.9 of the largest of each 256
    elements at least. A NaN stays with its element. After Dettmers et al. 2022, arXiv 2110.02861; fastnn/core/stored.h
    describes the formats.

    Gradients that are NaN or infinite spoil their own elements alone, and for good. In rules that average squares so do
    those whose square is infinite, from 1.9e19 on in float32 and 1.4e154 in float64: clip them.

    Attributes
    ----------
    t : int
        Steps taken so far.
    lr : float
        The learning rate, whatever the rule calls it.
    state_dtype : str
        Given at construction.

    Every step raises, before anything has changed: KeyError for a missing gradient; ValueError for shapes that do not
    fit, for a parameter that is read-only, shares memory with another or has changed its shape or dtype since the last
    step; TypeError for anything but arrays of real numbers; RuntimeError if the optimizer is in use: in another thread,
    or further up in this one, where a step has called the function, mapping or signal handler that now uses it. So does
    everything that reads or replaces the state; hyperparameters may be set at any time. A step that has begun to write
    comes to its end before Ctrl-C is heard. The constructor raises ValueError for a state_dtype that is unknown or that
    the rule does not have, TypeError if it is no string.
    """

    maker = "get_opt"
    _rate_name = "lr"
    _other_arguments = ("groups", "state_dtype")
    slots = {}                  # name -> first value
    stored = {}                 # name -> how int8 spaces its numbers, for each slot; empty: float32 alone
    t: int = 0
    lr: Any
    _rules, _state_dtype = rules.RULES, "float32"
    # what the articles' loops pass to `update`; every optimizer takes all of it and uses what its rule needs
    _update_arguments = ("t", "f", "w", "b", "dfw", "dfb", "nargs")
    _positional = ("t",)

    def __init_subclass__(cls, name=None, kernel=None, aliases=(), **kwds):
        super().__init_subclass__(**kwds)
        cls.kernel = kernel or cls.__dict__.get("kernel", getattr(cls, "kernel", None))
        if cls.kernel in rules.RULES and len(cls.slots) != SLOTS_OF.setdefault(cls.kernel, len(cls.slots)):
            raise TypeError(f"{cls.__name__} has {len(cls.slots)} slots; the rule {cls.kernel!r} works on "
                            f"{SLOTS_OF[cls.kernel]}")
        if name:
            cls.name = name
            _registry.add(name, cls, aliases)

    def __init__(self, *args: Any, state_dtype: str = "float32", **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self._state_dtype = self._checked_state_dtype(state_dtype)
        if state_dtype == "float32":
            self._slots(self.slots.values())
        else:
            formats = [rules.STORED[spacing if state_dtype == "int8" else state_dtype]
                       for spacing in self.stored.values()]
            self._slots(self.slots.values(), state_dtype, formats)
            self._rules = rules.STORED_RULES[state_dtype]

    @property
    def state_dtype(self) -> str:
        return self._state_dtype

    def _checked_state_dtype(self, name):
        if not isinstance(name, str):
            raise TypeError(f"state_dtype must be a string, one of {', '.join(STATE_DTYPES)}, not {name!r}")
        if name not in STATE_DTYPES:
            raise ValueError(f"state_dtype must be one of {', '.join(STATE_DTYPES)}, not {name!r}")
        if name != "float32" and not self.stored:
            able = [other for other in optimizers() if _registry[other].stored]
            raise ValueError(f"{self._title()} has no state in {name}, only {', '.join(able)} have")
        return name

    def __repr__(self):
        shown = super().__repr__()
        return shown if self.state_dtype == "float32" else f"{shown[:-1]}, state_dtype={self.state_dtype!r})"

    def constants(self, t):
        """The constants of step t that the compiled rule reads, in its order."""
        raise TypeError(f"{type(self).__name__} is no rule")

    def update(self, first: Any = MISSING, second: Any = MISSING, *args: Any, **kwds: Any) -> Any:
        """Take a step, in the dialect of article A or in that of articles B and C.

        ``dw, db = update(grad_w, grad_b, t=1)`` and ``dw = update(grad)`` return deltas, to be added to the
        parameters: arrays of the gradients' shapes, or scalars for plain numbers. ``update(params, grads)`` takes two
        mappings, changes the parameters in place and returns None.

        An explicit t wins over the optimizer's own count. What other rules need (f, w, b, dfw, dfb, nargs) is accepted
        and left unused, so that one loop can drive every optimizer.
        """
        if first is MISSING or kwds:
            first, second = self._by_name(first, second, kwds)
        extra = self._extra(args, kwds) if args or kwds else {}
        if are_mappings(first, second):
            self._step_mapping(first, second, extra)
            return None
        if isinstance(first, Mapping) or isinstance(second, Mapping):
            raise TypeError("update takes two mappings, or gradients as arrays or numbers")
        deltas = self._step_deltas([first] if second is MISSING else [first, second], extra)
        deltas = [delta if delta.ndim else delta[()] for delta in deltas]
        return deltas[0] if second is MISSING else tuple(deltas)

    def step(self, params: Any, grads: Any, **kwds: Any) -> None:
        """Change parameters in place: two mappings, two sequences of arrays, or one array each. Returns None."""
        extra = self._extra((), kwds) if kwds else {}
        if are_mappings(params, grads):
            self._step_mapping(params, grads, extra)
        elif isinstance(params, (list, tuple)) and isinstance(grads, (list, tuple)):
            self._step_sequence(params, grads, extra)
        elif isinstance(params, SEVERAL) or isinstance(grads, SEVERAL):
            raise TypeError("params and grads must both be mappings, sequences of arrays, or arrays")
        else:
            self._step_sequence([params], [grads], extra)

    @property
    def state(self) -> dict[Any, dict[str, Any]]:
        """The state so far: for each key or position a dict of arrays by slot.

        They have the parameter's shape and are views that may be written to. State in bfloat16 or int8 is shown as the
        numbers that it stands for, in new float32 arrays that may not; `load_state_dict` is how it is put back. Raises
        ValueError if a mapping had a key that is also a position in a sequence: `state_dict` keeps the two apart.
        """
        return self._alone(self._shown)

    def _shown(self):
        by_key, by_position = self._records
        if both := by_key.keys() & by_position.keys():
            raise ValueError(f"{', '.join(map(repr, both))}: both a key and a position; state_dict() has the two apart")
        return {key: {name: record.slot(i) for i, name in enumerate(self.slots)}
                for key, record in {**by_position, **by_key}.items()}

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on, besides the parameters: a dict of numbers, strings and new arrays.

        fastnn/state.py describes it. `load_state_dict` of an optimizer of the same kind goes on from there, bit for
        bit. Raises TypeError if noise is drawn by a bit generator that is not NumPy's.
        """
        return self._alone(state_of, self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned, hyperparameters included, whatever has been done so far.

        A generator of noise that was given at construction is set to where the saved one stood, if it is of the same
        kind, else exchanged for a new one. Raises StateError, a ValueError, if the state is not that of such an
        optimizer with this state_dtype or is damaged; nothing has been changed then.
        """
        self._fitting(state)()

    def _fitting(self, state):
        """A function that puts the state in, and cannot fail. Raises StateError."""
        return self._alone(checked, self, state)        # raises now if it is in use, before others are changed

    def _remembered(self):
        """What the rule remembers besides slots and t: a dict of the shape of a state."""
        return {}

    def _recalled(self, remembered):
        """A function that puts back what was remembered, and cannot fail. Raises StateError."""
        return lambda: None

    def __reduce_ex__(self, protocol):
        """Copies, and pickles for other processes; files are written by `fastnn.save`."""
        return self._alone(self._reduced)

    def _reduced(self):
        attributes = {key: value for key, value in self.__dict__.items() if key not in UNCOPIED}
        return *self._remade(), (attributes, state_of(self))

    def _remade(self):
        """(function, arguments): what makes such an optimizer, before its first step."""
        return _made, (type(self), self._arguments())

    def _arguments(self):
        """What makes such an optimizer, by keyword."""
        cls = type(self)
        values = {name: self.__dict__[name] for name in (*cls.hyperparameters, *cls.options)}
        found = {name: value for name, value in values.items()
                 if not isinstance(getattr(cls, name), Option) or value != getattr(cls, name).default}
        if self._groups:
            found["groups"] = self._groups
        return found if self.state_dtype == "float32" else {**found, "state_dtype": self.state_dtype}

    def __setstate__(self, state):
        attributes, state = state
        self._fitting(state)()
        self.__dict__.update(attributes)

    def _by_name(self, first, second, kwds):
        """The first two arguments where they are given by the articles' names for them; taken out of kwds."""
        for names in (("params", "grads"), ("grad_w", "grad_b")):
            given = [kwds.pop(name, MISSING) for name in names]
            if first is MISSING:
                first = given[0]
            elif given[0] is not MISSING:
                raise TypeError(f"update got {names[0]} twice")
            if second is MISSING:
                second = given[1]
            elif given[1] is not MISSING:
                raise TypeError(f"update got {names[1]} twice")
        if first is MISSING:
            raise TypeError("update needs gradients, or parameters and gradients")
        return first, second

    def _extra(self, args, kwds):
        if len(args) > len(self._positional):
            raise TypeError(f"{self._title()}.update takes at most {2 + len(self._positional)} positional arguments")
        for keyword in kwds:
            if keyword not in self._update_arguments:
                raise TypeError(f"update has no argument {keyword!r}{hint(keyword, self._update_arguments)}")
        given = dict(zip(self._positional, args))
        if repeated := given.keys() & kwds.keys():
            raise TypeError(f"update got {', '.join(sorted(repeated))} twice")
        return {**given, **kwds}

    def _gradients(self, grads, extra):
        """The gradients to step with, in the dialect that returns deltas."""
        return grads

    def _time(self, t):
        """The step that is about to be taken."""
        if t is None:
            return self.t + 1
        try:
            t = index(t)
        except TypeError:
            raise TypeError(f"t must be an integer, not {t!r}") from None
        if t < 1:
            raise ValueError(f"t counts from 1, not {t}")
        if t >= 2**63:
            raise ValueError("t must be below 2^63")
        return t

    def _advance(self, plan, extra):
        t = self._time(extra.get("t"))
        plan.run(self._rules[self.kernel], self.constants(t), t)


def _made(cls, arguments):
    return cls(**arguments)


def _lr(name):
    """The property `lr` of an optimizer that calls its learning rate otherwise."""
    return property(lambda self: getattr(self, name), lambda self, value: setattr(self, name, value),
                    doc=f"The learning rate, {name}.")


class EtaOptimizer(Optimizer):
    _rate_name = "eta"
    lr = _lr("eta")


class AlphaOptimizer(Optimizer):
    _rate_name = "alpha"
    lr = _lr("alpha")


def rate(default):
    return Hyperparameter(default, at_least=0)


def decay(default):
    return Hyperparameter(default, at_least=0, below=1)


def epsilon(default):
    return Hyperparameter(default, at_least=0)


class SGD(EtaOptimizer, name="SGD", kernel="sgd", aliases=("SDG",)):
    """-eta g.  (Article A registers it as "SDG".)"""

    eta = rate(1e-2)

    def constants(self, t):
        return (-self.eta,)


class MSGD(EtaOptimizer, name="MSGD", kernel="momentum"):
    """delta = mu delta_prev - (1 - mu) eta g.  Momentum SGD as in article A; PyTorch and article B have no (1 - mu)."""

    eta = rate(1e-2)
    mu = decay(0.9)
    slots = {"delta": 0}
    stored = {"delta": "linear"}

    def constants(self, t):
        return self.mu, -(1 - self.mu) * self.eta


class NAG(MSGD, name="NAG", kernel="momentum"):
    """MSGD with the gradient taken at w + mu delta_prev.  Nesterov 1983, as in article A.

    ``update(grad_w, grad_b, w, b, dfw, dfb, nargs)``: with nargs=1 the gradient is dfw(w'), that of the bias 0; with
    nargs=2 they are dfw(w', b') and dfb(w', b'). Without dfw, for any other nargs, and in the in-place forms, the
    gradients passed are used: take them at `lookahead`.
    """

    _positional = ("w", "b", "dfw", "dfb", "nargs", "t")

    def lookahead(self, value: Any, key: Any) -> Any:
        """value + mu delta_prev of that key: where an in-place step wants its gradient."""
        return self._alone(lambda: self._ahead(value, self._record(key)))

    def _ahead(self, value, record):
        return value if record is None else value + self.mu * record.slot(0)

    def _gradients(self, grads, extra):
        nargs, dfw, dfb = extra.get("nargs", 2), extra.get("dfw"), extra.get("dfb")
        if nargs not in (1, 2) or dfw is None:
            return grads
        if len(grads) != 2 or (nargs == 2 and dfb is None):
            raise TypeError("NAG with dfw takes grad_w and grad_b, and for nargs=2 dfb, too")
        w = self._ahead(extra.get("w", 0), self._record_at(0))
        if nargs == 1:
            return [dfw(w), np.zeros_like(grads[1])]
        b = self._ahead(extra.get("b", 0), self._record_at(1))
        return [dfw(w, b), dfb(w, b)]


class AdaGrad(EtaOptimizer, name="AdaGrad", kernel="adagrad"):
    """G += g^2; -eta g/sqrt(G), 0 where g = 0.  Duchi et al. 2011.  (PyTorch adds 1e-10 to the root.)"""

    eta = rate(1e-3)
    slots = {"G": 0}

    def constants(self, t):
        return -self.eta, 0, 0


class RMSprop(EtaOptimizer, name="RMSprop", kernel="rmsprop"):
    """v += (1 - rho)(g^2 - v); -eta g/sqrt(v + eps).  Tieleman and Hinton 2012.  (PyTorch adds eps to the root.)"""

    eta = rate(1e-2)
    rho = decay(0.99)
    eps = epsilon(1e-8)
    slots = {"v": 0}
    stored = {"v": "logarithmic"}

    def constants(self, t):
        return 1 - self.rho, -self.eta, self.eps, 0


class AdaDelta(Optimizer, name="AdaDelta", kernel="adadelta"):
    """v as in RMSprop; delta = -g sqrt(u + eps)/sqrt(v + eps); u += (1 - rho)(delta^2 - u); lr delta.

    Zeiler 2012, arXiv 1212.5701, which has no lr.
    """

    rho = decay(0.95)
    eps = epsilon(1e-6)
    lr = rate(1.0)
    slots = {"v": 0, "u": 0}
    stored = {"v": "logarithmic", "u": "logarithmic"}

    def constants(self, t):
        return 1 - self.rho, self.eps, self.lr


class Adam(AlphaOptimizer, name="Adam", kernel="adam"):
    """m += (1 - beta1)(g - m); v += (1 - beta2)(g^2 - v); -alpha sqrt(1 - beta2^t)/(1 - beta1^t) m/sqrt(v + eps).

    Kingma and Ba 2014, arXiv 1412.6980, with article A's eps inside the root. PyTorch and optax divide by
    sqrt(vhat) + eps, Keras by sqrt(v) + eps.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    def constants(self, t):
        rate = self.alpha * sqrt(1 - self.beta2**t) / (1 - self.beta1**t)
        return 1 - self.beta1, 1 - self.beta2, -rate, self.eps, 0


class RMSpropGraves(EtaOptimizer, name="RMSpropGraves", kernel="rmsprop_graves"):
    """m += (1 - rho)(g - m); v += (1 - rho)(g^2 - v); -eta g/sqrt(v - m^2 + eps).  Graves 2013, arXiv 1308.0850."""

    eta = rate(1e-4)
    rho = decay(0.95)
    eps = epsilon(1e-4)
    slots = {"m": 0, "v": 0}

    def constants(self, t):
        return 1 - self.rho, -self.eta, self.eps


class SMORMS3(EtaOptimizer, name="SMORMS3", kernel="smorms3"):
    """r = 1/(s + 1); m += r (g - m); v += r (g^2 - v); zeta = m^2/(v + eps); -g min(eta, zeta)/sqrt(v + eps);
    s = 1 + s (1 - zeta), from 1.  S. Funk, "RMSprop loses to SMORMS3", 2015.
    """

    eta = rate(1e-3)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0, "s": 1}

    def constants(self, t):
        return self.eta, self.eps


class AdaMax(AlphaOptimizer, name="AdaMax", kernel="adamax"):
    """m += (1 - beta1)(g - m); u = max(beta2 u, |g|); -alpha/(1 - beta1^t) m/u, 0 where m = 0.

    Kingma and Ba 2014, arXiv 1412.6980, algorithm 2.
    """

    alpha = rate(2e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    slots = {"m": 0, "u": 0}
    stored = {"m": "linear", "u": "logarithmic"}

    def constants(self, t):
        return 1 - self.beta1, self.beta2, -self.alpha / (1 - self.beta1**t)


class Nadam(AlphaOptimizer, name="Nadam", kernel="nadam"):
    """m, v as in Adam with mu and nu; mhat = mu m/(1 - mu^(t+1)) + (1 - mu) g/(1 - mu^t); vhat = nu v/(1 - nu^t);
    -alpha mhat/sqrt(vhat + eps).  Dozat 2016, as in article A.
    """

    alpha = rate(2e-3)
    mu = decay(0.975)
    nu = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    def constants(self, t):
        mu, nu = self.mu, self.nu
        return (1 - mu, 1 - nu, -self.alpha * mu / (1 - mu**(t + 1)), -self.alpha * (1 - mu) / (1 - mu**t),
                nu / (1 - nu**t), self.eps)


class Eve(AlphaOptimizer, name="Eve", kernel="adam"):
    """-alpha mhat/(D (sqrt(vhat) + eps)), mhat and vhat as in Adam, with the feedback D from the loss f:
    d = |f - fstar|/(min(f, f_prev) - fstar) clipped to [1/c, c]; D += (1 - beta3)(d - D), D = 1 at t = 1.

    Hayashi et al. 2016, arXiv 1611.01505. ``update(..., f=loss)``; f is 1 if left out, as in article A.
    Raises ValueError if f is not finite.
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    beta3 = decay(0.999)
    c = Hyperparameter(10.0, at_least=1)
    eps = epsilon(1e-8)
    fstar = Hyperparameter(0.0)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}
    _positional = ("t", "f")
    _D, _f = 1.0, 0.0

    def constants(self, t, D):
        correction = sqrt(1 - self.beta2**t)
        rate = self.alpha * correction / (1 - self.beta1**t) / D
        return 1 - self.beta1, 1 - self.beta2, -rate, 0, self.eps * correction

    def _feedback(self, t, f):
        if t == 1:
            return 1.0
        distance, floor = abs(f - self.fstar), min(f, self._f) - self.fstar
        if distance == floor == 0:
            d = 1.0                             # at the optimum, and before
        else:
            d = distance / floor if floor else copysign(self.c, distance)
        return self._D + (1 - self.beta3) * (min(max(d, 1 / self.c), self.c) - self._D)

    def _advance(self, plan, extra):
        t, f = self._time(extra.get("t")), as_float(extra.get("f", 1.0))
        if not isfinite(f):
            raise ValueError(f"the loss f must be finite, not {f}")
        D = self._feedback(t, f)
        plan.run(self._rules[self.kernel], self.constants(t, D), t, {"_D": D, "_f": f})

    def _remembered(self):
        return {"D": self._D, "f": self._f}

    def _recalled(self, remembered):
        D, f = (finite(remembered[name], f"Eve's {name}") for name in ("D", "f"))
        if D <= 0:
            raise StateError(f"Eve's D must be positive, not {D}")
        return partial(self.__dict__.update, _D=D, _f=f)


class AMSGrad(AlphaOptimizer, name="AMSGrad", kernel="amsgrad"):
    """m, v as in Adam; vhat = max(vhat, v); -alpha/sqrt(t) m/sqrt(vhat + eps).

    Reddi et al. 2018, arXiv 1904.09237. (PyTorch and Keras correct the bias and do not decay alpha.)
    """

    alpha = rate(1e-3)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0, "vhat": 0}

    def constants(self, t):
        return 1 - self.beta1, 1 - self.beta2, -self.alpha / sqrt(t), self.eps


class AdaBound(AlphaOptimizer, name="AdaBound", kernel="adabound"):
    """m, v as in Adam; -clip(alpha/sqrt(v), lo, hi)/sqrt(t) m with lo = eta (1 - 1/((1 - beta2) t + 1)) and
    hi = eta (1 + 1/((1 - beta2) t + eps)).  Luo et al. 2019, arXiv 1902.09843.
    """

    alpha = rate(1e-3)
    eta = rate(1e-1)
    beta1 = decay(0.9)
    beta2 = decay(0.999)
    eps = epsilon(1e-8)
    slots = {"m": 0, "v": 0}
    stored = {"m": "linear", "v": "logarithmic"}

    def constants(self, t):
        growth = (1 - self.beta2) * t
        return (1 - self.beta1, 1 - self.beta2, self.alpha, self.eta * (1 - 1 / (growth + 1)),
                self.eta * (1 + 1 / (growth + self.eps)), -1 / sqrt(t))


class AMSBound(AdaBound, name="AMSBound", kernel="amsbound"):
    """AdaBound with vhat = max(vhat, v) instead of v.  Luo et al. 2019, arXiv 1902.09843."""

    slots = {"m": 0, "v": 0, "vhat": 0}
    stored = {}


class Momentum(Optimizer, name="Momentum", kernel="momentum"):
    """v = momentum v - lr g; v.  Polyak 1964, as in articles B and C. (PyTorch applies lr outside of v.)"""

    lr = rate(1e-2)
    momentum = decay(0.9)
    slots = {"v": 0}
    stored = {"v": "linear"}

    def constants(self, t):
        return self.momentum, -self.lr


class Nesterov(Momentum, name="Nesterov", kernel="nesterov"):
    """momentum^2 v - (1 + momentum) lr g with the v of the step before; then v = momentum v - lr g.

    Bengio et al. 2012, arXiv 1212.0901; article B applies momentum^2 to the new v.
    """

    def constants(self, t):
        return self.momentum, -self.lr, self.momentum**2, -(1 + self.momentum) * self.lr
