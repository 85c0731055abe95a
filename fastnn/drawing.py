"""What activations that draw random numbers in training share: their generator, and what `backward` is to take again."""
from typing import Any

from .activations import CataloguedActivation
from .generators import as_rng


class Drawing(CataloguedActivation):
    """Of a hyperparameter `rng`. A forward in training draws a key, of which all its numbers are functions."""

    kind = "random"
    _attributes = ("training",)

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self.training = True
        self._generator = as_rng(self.rng)
        self._kept = None                   # the last forward in training: key, shape of x, and what else it depends on

    def _new_key(self):
        return int(self._generator.random()*2**53)

    def _kept_for(self, x):
        """What the last forward in training kept. Raises ValueError if that was not of x's shape."""
        if self._kept is None or self._kept[1] != x.shape:
            raise ValueError(f"{self.name}: backward in training needs a forward of x's shape, {x.shape}, before it")
        return self._kept
