"""Slow weights, which look ahead along the steps of an optimizer."""
from typing import Any

from ...core.records import room_for
from ...core.transactions import Copies
from ...hyperparameters import Hyperparameter
from ...state import integer
from . import kept
from .ages import Ages, counted
from .base import Wrapper
from .engines import Approach


class Share(Hyperparameter):
    """Above 0 and at most 1."""

    def number(self, value):
        value = super().number(value)
        if value > 1:
            raise ValueError(f"{self.title} must be above 0 and at most 1, not {value!r}")
        return value


class Lookahead(Wrapper):
    """Every k steps of the optimizer: slow += alpha (p - slow), and p = slow.  Zhang et al. 2019, arXiv 1907.08610.

    The slow weights start as the parameters before their first step, and are each parameter's own, as is the count:
    steps that left a parameter unchanged, or were skipped, do not count. For float16 and bfloat16 they are float32.

    Parameters
    ----------
    optimizer : optimizer or wrapper
    k : int
        At least 1.
    alpha : float
        Above 0, at most 1. A rule's own alpha is `lr`, or `wrapper.optimizer.alpha`.
    """

    k = Hyperparameter(5, at_least=1, integer=True)
    alpha = Share(0.5, above=0)
    _entries = ("by_key", "by_position")

    def __init__(self, optimizer: Any, k: int = 5, alpha: float = 0.5):
        super().__init__(optimizer, k=k, alpha=alpha)
        self._engine = Approach(self.alpha)
        self._slow = [{}, {}]
        self._ages = Ages(), Ages()

    def _taken(self, leaves, extra, transaction):
        moving = self._moving(leaves)
        if moving.params:
            transaction.after[:0] = self._following(moving, transaction)
        return self._inner()._take(leaves, extra, transaction)

    def _following(self, leaves, transaction):
        """What comes after a step that moves these."""
        slow, k, due, new = self._slow[not leaves.by_key], self.k, [], []
        cells = self._ages[not leaves.by_key].cells(leaves.params, leaves.keys)
        for cell, keys in cells:
            if (cell[0] + 1) % k == 0:
                due += keys
            if cell[0] == 0:
                new += [key for key in keys if key not in slow]
        found = [counted(cell, cell[0] + 1) for cell, _ in cells]
        rooms = slow
        if new:
            rooms = {key: room_for(leaves.params[key], key) for key in new}
            transaction.first.append(Copies([(room, leaves.params[key]) for key, room in rooms.items()]))
            rooms = {**slow, **rooms}
            found.append(kept.put(self._slow, not leaves.by_key, rooms))
        if due:
            rooms = {key: rooms[key] for key in due}
            if self._engine.rate != self.alpha:
                self._engine.rate = self.alpha
            found.append(self._planned(leaves, rooms, leaves.params, late=True))
            found.append(Copies([(leaves.params[key], room) for key, room in rooms.items()]))
        return found

    def _dropping(self, key):
        return [*kept.without(self._slow, key), *(function for slow, ages in zip(self._slow, self._ages) if key in slow
                                                  for function in ages.dropping(key))]

    def _kept(self):
        return kept.stored(self._slow, lambda by_key, key: {
            "t": self._ages[not by_key].counts()[key], "slow": self._slow[not by_key][key].copy(order="K")})

    def _restored(self, state):
        slow, counts = [{}, {}], ({}, {})
        for by_key, key, entry, where in kept.restored(state, ("t", "slow")):
            slow[not by_key][key] = kept.numbers(entry["slow"], f"slow of {where}")
            counts[not by_key][key] = integer(entry["t"], f"t of {where}", 1)
        return {"_slow": slow, "_ages": tuple(map(Ages, counts))}, []
