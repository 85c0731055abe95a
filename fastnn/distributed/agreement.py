"""What has to be alike on all ranks before a step, in words and as a digest."""
from hashlib import blake2b

import numpy as np

from ..core.arrays import as_array
from ..core.sparse import Rows
from ..generators import generator_state
from ..optimizers.wrappers import Wrapper
from ..state import identity

NO_NUMBER = float("nan")


def checked_gradient(grad, p, key):
    """A whole gradient as an array of the parameter's shape. Raises as a step does."""
    g = as_array(grad, f"gradient {key!r}")
    if g.shape != np.shape(p):
        raise ValueError(f"gradient {key!r} has shape {g.shape}, its parameter {np.shape(p)}")
    if g.dtype.kind not in "biuf" and g.dtype.name != "bfloat16":
        raise TypeError(f"gradient {key!r} must be an array of real numbers, not of {g.dtype}")
    return g


def kind_of(grad):
    return "none" if grad is None else "Rows" if isinstance(grad, Rows) else "an array"


def reduced_dtype(p):
    return np.float64 if np.asarray(p).dtype.itemsize == 8 else np.float32


class Agreement:
    """Digests of steps, which are made anew where something has changed since the last one."""

    def __init__(self):
        self._known = self._digest = self._described = None

    def digest(self, opt, leaves, extra, more=()):
        """16 bytes of what this rank is about to step, and with what; `description` has it in words afterwards."""
        arrays = [(p.shape, p.dtype, kind_of(leaves.grads[key])) for key, p in leaves.params.items()]
        now = _versions(opt), tuple(leaves.params), leaves.by_key, arrays, sorted(extra), more
        if now != self._known:
            self._known, self._described = now, _description(opt, leaves, extra, more)
            self._digest = blake2b(repr(self._described).encode(), digest_size=16).digest()
        return self._digest

    def description(self):
        return self._described


def _versions(opt):
    """What changes where hyperparameters do."""
    found = []
    while isinstance(opt, Wrapper):
        found.append([(name, opt.__dict__[name]) for name in opt.hyperparameters])
        opt = opt.optimizer
    return found, opt._version, [group.freeze for group in opt.groups]


def _description(opt, leaves, extra, more):
    found = {}
    while isinstance(opt, Wrapper):
        found[type(opt).__name__] = repr([(name, type(opt).__dict__[name].stored(opt.__dict__[name]))
                                          for name in opt.hyperparameters])
        opt = opt.optimizer
    cls = type(opt)
    found["the optimizer"] = f"{identity(opt)}, like={opt.like!r}, state in {opt.state_dtype}"
    for name in (*cls.hyperparameters, *cls.options):
        if name != "rng":                       # two generators compare equal where they are not
            found[name] = repr(getattr(cls, name).stored(getattr(opt, name)))
    found["groups"] = repr([group.stored() for group in opt.groups])
    found["arguments"] = ", ".join(sorted(extra)) or "none"
    found.update(more)
    found["the names"] = _shown([*leaves.params])
    for key, p in leaves.params.items():
        found[f"parameter {key!r:.80}"] = (f"{p.dtype} of shape {p.shape}, gradient {kind_of(leaves.grads[key])}")
    return found


def _shown(keys):
    """All of them in the digest, a message shows the first ones."""
    text = repr(keys)
    return text if len(text) < 150 else f"{text[:120]}... ({blake2b(text.encode(), digest_size=6).hexdigest()})"


def digest_of_noise(generator):
    """Where a generator stands."""
    state = repr(sorted(generator_state(generator).items(), key=lambda item: item[0]))
    return blake2b(state.encode(), digest_size=16).hexdigest()


def digest_of_values(params):
    """16 bytes of all elements."""
    found = blake2b(digest_size=16)
    for p in params.values():
        found.update(np.ascontiguousarray(p).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
