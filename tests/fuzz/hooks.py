"""Code of a user's that runs in the middle of a call, and what it does there."""
import gc
import warnings
from collections.abc import Mapping

import numpy as np

from .judge import Fault

ACTIONS = ["nothing", "raise", "resize", "grow", "shape", "dtype", "read-only", "collect", "strides", "clear", "add",
           "replace", "swap"]
HARMLESS = ("nothing", "raise", "collect")


class Hook:
    """Does something to `arrays` and `containers` the `count`-th time that it is called."""

    def __init__(self, c):
        self.action, self.count, self.which = c.of(ACTIONS), 1 + c.below(6), c.below(8)
        self.arrays, self.containers, self.acted = [], [], False

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.act()
            except (ValueError, TypeError, IndexError, AttributeError, KeyError, StopIteration):
                pass                        # that array or container cannot be changed so

    def act(self):
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
