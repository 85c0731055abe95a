"""Gradients of several small batches, in one step."""
from functools import partial
from numbers import Real

import numpy as np

from ...core.records import room_for
from ...core.transactions import Copies, Transaction, Zeros
from ...hyperparameters import Hyperparameter
from ...state import StateError, integer
from . import kept
from .ages import Ages, counted
from .base import Wrapper
from .engines import Sum
from .leaves import must_fit
from .sam import SAM


class Accumulate(Wrapper):
    """One step of the optimizer with the mean of k gradients: `step` is called k times for it.

    None counts as a gradient of zero, k times None as None. Gradients are added in the dtype that the parameter is
    computed in. The counts are each parameter's own. Of other arguments the optimizer gets those of the last call, and
    as the loss f the mean of k. A step that the optimizer skips has used its k gradients up.

    Parameters
    ----------
    optimizer : optimizer or wrapper
    k : int
        At least 1. It cannot be set while gradients wait for their step.
    """

    k = Hyperparameter(1, at_least=1, integer=True)
    _entries = ("by_key", "by_position", "losses")

    def __init__(self, optimizer, k):
        self._sums = [{}, {}]
        self._ages = Ages(), Ages()
        super().__init__(optimizer, k=k)
        self._engine, self._closing = Sum(), Sum()      # of the calls that wait, and of the last one
        self._last = None, None                 # keys of the last call and its sums
        self._totals = [{}, {}]
        self._given = [set(), set()]            # keys of which gradients wait
        self._losses = ()                       # f of the calls that wait

    def _refuse(self, optimizer):
        for inside in optimizer._wrappers() if isinstance(optimizer, Wrapper) else ():
            if isinstance(inside, SAM):
                raise TypeError("Accumulate cannot go around SAM, which wants the gradient of the same batch twice: "
                                "SAM(Accumulate(...)) ascends for each batch")
            if isinstance(inside, Accumulate):
                raise TypeError("Accumulate cannot go around Accumulate: give one of them the product of both k")

    def _set(self, values):
        if any(n for ages in self._ages for n in ages.counts().values()):
            raise ValueError("k cannot be set while gradients wait for their step")
        super()._set(values)

    def _moving(self, leaves):
        leaves = self._thawed(leaves)
        given, k, found = self._given[not leaves.by_key], self.k, []
        for cell, keys in self._ages[not leaves.by_key].cells(leaves.params, leaves.keys):
            if cell[0] + 1 >= k:
                found += keys if leaves.whole else [key for key in keys
                                                    if key in given or leaves.grads[key] is not None]
        return leaves.only(found)

    def _taken(self, leaves, extra, transaction):
        if self.k == 1:
            return self._inner()._take(leaves, extra, transaction)
        leaves = self._thawed(leaves)
        if self._engine.lr != 1 / self.k:
            self._engine.lr = self._closing.lr = 1 / self.k
        waiting, due, counts = [], [], []
        for cell, keys in self._ages[not leaves.by_key].cells(leaves.params, leaves.keys):
            last = cell[0] + 1 >= self.k
            (due if last else waiting).extend(keys)
            counts.append(counted(cell, 0 if last else cell[0] + 1))
        ended = [*self._added(leaves, waiting), *counts]
        given = self._given[not leaves.by_key].difference(due).union(
            key for key in waiting if leaves.whole or leaves.grads[key] is not None)
        ended.append(kept.put(self._given, not leaves.by_key, given))
        if not due:
            ended.append(partial(self.__dict__.update, _losses=self._with_loss(extra)))
            transaction.ended[:0] = ended
            transaction.without_step()
            return False
        totals = self._closing._alone(self._totalled, leaves, due)
        ended += self._emptied(leaves, due)
        losses = self._with_loss(extra)
        if losses and "f" in extra:
            extra = {**extra, "f": sum(losses) / len(losses)}
        ended.append(partial(self.__dict__.update, _losses=()))
        transaction.ended[:0] = ended
        return self._inner()._take(leaves.with_gradients({key: totals.get(key) for key in leaves.params}), extra,
                                   transaction)

    def _with_loss(self, extra):
        f = extra.get("f")
        return (*self._losses, float(f)) if isinstance(f, Real) and not isinstance(f, bool) else self._losses

    def _added(self, leaves, keys):
        """What adds the gradients of these keys to their sums."""
        sums = self._sums[not leaves.by_key]
        if len(keys) == len(leaves.params) and leaves.keys is not None and leaves.keys is self._last[0]:
            known, new = self._last[1], {}
        else:
            keys = keys if leaves.whole else [key for key in keys if leaves.grads[key] is not None]
            known = {key: sums[key] for key in keys if key in sums}
            new = {key: _zeros(leaves.params[key], key) for key in keys if key not in sums}
            if len(keys) == len(leaves.params) and not new:
                self._last = leaves.keys, known
        if not keys:
            return []
        plan = self._planned(leaves, {**known, **new} if new else known, leaves.grads)
        return [plan, *([kept.put(self._sums, not leaves.by_key, {**sums, **new})] if new else ())]

    def _totalled(self, leaves, keys):
        """The means of k gradients, by key, of those that had any: arrays of their own."""
        home = not leaves.by_key
        sums, given, totals = self._sums[home], self._given[home], self._totals[home]
        keys = [key for key in keys if key in given or leaves.grads[key] is not None]
        must_fit({key: sums[key] for key in keys if key in given}, leaves.params)
        for key in keys:
            if key not in totals or totals[key].shape != np.shape(leaves.params[key]):
                totals[key] = room_for(leaves.params[key], key)
        begun = Transaction()
        begun.first.append(Copies([(totals[key], sums[key]) for key in keys if key in given]))
        begun.first.append(Zeros([totals[key] for key in keys if key not in given]))
        added = {key: totals[key] for key in keys if leaves.grads[key] is not None}
        if added:
            self._closing._run_planned(self._closing._planned(leaves.by_key, added, leaves.grads), begun)
        else:
            begun.ended.extend(begun.first)
            begun.without_step()
        return {key: totals[key] for key in keys}

    def _emptied(self, leaves, keys):
        """What forgets the gradients of these keys."""
        sums, given = self._sums[not leaves.by_key], self._given[not leaves.by_key]
        return [Zeros([sums[key] for key in keys if key in given])]

    def _dropping(self, key):
        found = [function for ages in self._ages if key in ages for function in ages.dropping(key)]
        found += [*kept.without(self._sums, key), *kept.without(self._totals, key)]
        found += [kept.put(self._given, home, given - {key}) for home, given in enumerate(self._given) if key in given]
        return [*found, partial(self.__dict__.update, _last=(None, None))] if found else found

    def _kept(self):
        homes = [{key: n for key, n in ages.counts().items() if n} for ages in self._ages]
        return {**kept.stored(homes, lambda by_key, key: {
                    "count": homes[not by_key][key],
                    "sum": self._sums[not by_key][key].copy(order="K") if key in self._given[not by_key] else None}),
                "losses": list(self._losses)}

    def _restored(self, state):
        sums, counts = [{}, {}], ({}, {})
        for by_key, key, entry, where in kept.restored(state, ("count", "sum")):
            counts[not by_key][key] = integer(entry["count"], f"count of {where}", 1)
            if entry["sum"] is not None:
                sums[not by_key][key] = kept.numbers(entry["sum"], f"sum of {where}")
        losses = state["losses"]
        if not isinstance(losses, list) or not all(type(loss) is float for loss in losses):
            raise StateError(f"losses must be a list of numbers, not {losses!r:.80}")
        return {"_sums": sums, "_ages": tuple(map(Ages, counts)), "_given": list(map(set, sums)),
                "_losses": tuple(losses), "_totals": [{}, {}], "_last": (None, None)}, []


def _zeros(p, key):
    room = room_for(p, key)
    room.fill(0)
    return room
