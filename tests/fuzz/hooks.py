"""Code of a user's that runs in the middle of a call, and what it does there."""
import gc
import warnings
from collections.abc import Mapping

import numpy as np

from .judge import Fault, Finding

ACTIONS = ["nothing", "raise", "resize", "grow", "shape", "dtype", "read-only", "collect", "strides", "clear", "add",
           "replace", "swap", "reenter", "set"]
HARMLESS = ("nothing", "raise", "collect", "reenter")


class Hook:
    """Does something to `arrays` and `containers` the `count`-th time that it is called."""

    def __init__(self, c):
        self.action, self.count, self.which = c.of(ACTIONS), 1 + c.below(6), c.below(8)
        self.arrays, self.containers, self.acted = [], [], False
        self.opt = None                     # the optimizer whose step it comes in the middle of

    @property
    def pure(self):
        return self.action in HARMLESS

    def __call__(self, *args):
        self.count -= 1
        if self.count:
            return
        self.acted = True
        if self.action == "raise":
            raise Fault
        if self.action == "collect":
            gc.collect(0)
        if self.action == "reenter" and self.opt is not None:
            self.reenter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.act()
            except (ValueError, TypeError, IndexError, AttributeError, KeyError, StopIteration):
                pass                        # that array or container cannot be changed so

    def reenter(self):
        """Whatever reads or replaces state is refused in the middle of a step."""
        p, opt = {"a": np.ones(3)}, self.opt
        call = [lambda: opt.step(p, p), opt.state_dict, lambda: opt.forget("a"), lambda: opt.state,
                lambda: opt.update([np.ones(3)], [np.ones(3)]), lambda: opt.update(np.ones(3))][self.which % 6]
        try:
            call()
        except RuntimeError:
            return
        raise Finding("an optimizer was used in the middle of its step")

    def act(self):
        if self.action == "set" and self.opt is not None:
            self.opt.lr, self.opt.weight_decay = 0.5, 0.25
            for group in self.opt.groups:
                group.freeze = not group.freeze
                group.grad_scale = 2.0
        if self.arrays:
            a = self.arrays[self.which % len(self.arrays)]
            if self.action == "resize":
                a.resize(c_shape(a, 1), refcheck=False)
            elif self.action == "grow":
                a.resize(c_shape(a, 5000), refcheck=False)
            elif self.action == "shape":
                a.shape = (1, a.size)
            elif self.action == "dtype":
                a.dtype = "S8" if a.dtype.itemsize == 8 else "i4"
            elif self.action == "read-only":
                a.setflags(write=False)
            elif self.action == "strides":
                a.strides = (0,) * a.ndim
        if self.containers:
            found = self.containers[self.which % len(self.containers)]
            if self.action == "clear":
                found.clear()
            elif self.action == "add":
                found.update(new=np.ones(3)) if isinstance(found, dict) else found.append(np.ones(3))
            elif self.action == "replace":
                found[next(iter(found)) if isinstance(found, dict) else 0] = np.ones(2)
            elif self.action == "swap" and isinstance(found, dict):
                found.update(zip(list(found), reversed(list(found.values()))))


def c_shape(a, n):
    return (n,) + (1,) * (a.ndim - 1) if a.ndim else ()


class Hooked(Mapping):
    """A mapping whose methods call a hook."""

    def __init__(self, data, hook):
        self.data, self.hook = data, hook

    def __getitem__(self, key):
        self.hook()
        return self.data[key]

    def __iter__(self):
        for key in self.data:
            self.hook()
            yield key

    def __len__(self):
        self.hook()
        return len(self.data)

    def keys(self):
        self.hook()
        return super().keys()


class Key:
    """A key whose hash and comparison call a hook."""

    def __init__(self, name, hook):
        self.name, self.hook = name, hook

    def __hash__(self):
        self.hook()
        return hash(self.name)

    def __eq__(self, other):
        self.hook()
        return self.name == (other.name if isinstance(other, Key) else other)

    def __repr__(self):
        self.hook()
        return repr(self.name)
