"""Gradients of several small batches, in one step."""
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from ...core.records import has_room, room_for
from ...core.reductions import scale
from ...core.sparse import Rows
from ...core.transactions import Copies, Transaction, Zeros
from ...hyperparameters import Hyperparameter, as_float
from ...state import StateError, entries, integer
from . import kept
from .ages import Ages, counted
from .base import Wrapper
from .engines import Sum
from .leaves import must_fit
from .sam import SAM


class Accumulate(Wrapper):
    """One step of the optimizer with the mean of k gradients: `step` is called k times for it.

    None counts as a gradient of zero, k times None as None. Rows are concatenated, and stay Rows unless one of the
    gradients is a whole array. Gradients are added in the dtype that the parameter is computed in. The counts are each
    parameter's own. Of other arguments the optimizer gets those of the last call, and as the loss f the mean of k. A
    step that the optimizer skips discards its k gradients.

    Parameters
    ----------
    optimizer : optimizer or wrapper
    k : int
        At least 1. It cannot be set while gradients wait for their step.
    """

    k = Hyperparameter(1, at_least=1, integer=True)
    _entries = ("by_key", "by_position", "losses")

    def __init__(self, optimizer: Any, k: int):
        self._sums = [{}, {}]
        self._ages = Ages(), Ages()
        super().__init__(optimizer, k=k)
        self._engine, self._closing = Sum(), Sum()      # of the calls that wait, and of the last one
        self._last = None, None                 # keys of the last call and its sums
        self._totals = [{}, {}]
        self._given = [set(), set()]            # keys of which gradients, no Rows, wait
        self._rows = [{}, {}]                   # Rows that wait, in tuples
        self._losses = ()                       # f of the calls that wait

    def _refuse(self, optimizer):
        for inside in optimizer._wrappers() if isinstance(optimizer, Wrapper) else ():
            if isinstance(inside, SAM):
                raise TypeError("Accumulate cannot wrap SAM, which needs the gradient of the same batch twice: "
                                "SAM(Accumulate(...)) ascends for each batch")
            if isinstance(inside, Accumulate):
                raise TypeError("Accumulate cannot wrap Accumulate: give one of them the product of both k")

    def _set(self, values):
        if any(n for ages in self._ages for n in ages.counts().values()):
            raise ValueError("k cannot be set while gradients wait for their step")
        super()._set(values)

    def _moving(self, leaves):
        leaves = self._thawed(leaves)
        home, k, found = not leaves.by_key, self.k, []
        given = self._given[home] | self._rows[home].keys() if self._rows[home] else self._given[home]
        for cell, keys in self._ages[home].cells(leaves.params, leaves.keys):
            if cell[0] + 1 >= k:
                found += keys if leaves.whole else [key for key in keys
                                                    if key in given or leaves.grads[key] is not None]
        return leaves.only(found)

    def _taken(self, leaves, extra, transaction):
        if self.k == 1:
            return self._inner()._take(leaves, extra, transaction)
        leaves = self._thawed(leaves)
        home = not leaves.by_key
        for engine in (self._engine, self._closing):
            if engine.lr != 1 / self.k:
                engine.lr = 1 / self.k
        waiting, due, counts = [], [], []
        for cell, keys in self._ages[home].cells(leaves.params, leaves.keys):
            last = cell[0] + 1 >= self.k
            (due if last else waiting).extend(keys)
            counts.append(counted(cell, 0 if last else cell[0] + 1))
        rows = self._with_rows(leaves)
        ended = [*self._added(leaves, waiting, rows), *counts]
        given = self._given[home].difference(due).union(_whole(leaves, waiting, rows))
        ended.append(kept.put(self._given, home, given))
        losses, means = self._with_loss(extra), {}
        if due:
            means = self._closing._alone(self._means, leaves, due, rows)
            ended.append(Zeros([self._sums[home][key] for key in due if key in self._sums[home]]))
            if losses and "f" in extra:
                extra = {**extra, "f": sum(losses) / len(losses)}
        ended.append(partial(self.__dict__.update, _losses=() if due else losses))
        if rows is not self._rows[home] or due and rows:
            ended.append(kept.put(self._rows, home, {key: found for key, found in rows.items() if key not in due}))
        transaction.ended[:0] = ended
        if not due:
            transaction.without_step()
            return False
        return self._inner()._take(leaves.with_gradients({key: means.get(key) for key in leaves.params}), extra,
                                   transaction)

    def _with_rows(self, leaves):
        """Rows that wait, by key, with those of this call."""
        rows = self._rows[not leaves.by_key]
        if Rows not in set(map(type, leaves.grads.values())):
            return rows
        new = {key: (*rows.get(key, ()), _copied(leaves.grads[key], p, key)) for key, p in leaves.params.items()
               if isinstance(leaves.grads[key], Rows)}
        inner = self._innermost
        if new and not inner.lazy:
            raise TypeError(inner._not_lazy(next(iter(new))))
        return {**rows, **new}

    def _with_loss(self, extra):
        if "f" not in extra or "f" not in self._innermost.scalars:     # the rule does not read it
            return self._losses
        f = as_float(extra["f"])
        if not isfinite(f):
            raise ValueError(f"the loss f must be finite, not {f}")
        return (*self._losses, f)

    def _added(self, leaves, keys, rows):
        """What adds the gradients of these keys to their sums; Rows wait by themselves."""
        sums = self._sums[not leaves.by_key]
        if not keys:
            return []
        if not rows and len(keys) == len(leaves.params) and leaves.keys is not None and leaves.keys is self._last[0]:
            known, new = self._last[1], {}
        else:
            keys = _whole(leaves, keys, rows)
            known = {key: sums[key] for key in keys if key in sums}
            new = {key: _zeros(leaves.params[key], key) for key in keys if key not in sums}
            self._last = (leaves.keys, known) if len(keys) == len(leaves.params) and not new else (None, None)
        if not keys:
            return []
        plan = self._planned(leaves, {**known, **new} if new else known, leaves.grads)
        return [plan, *([kept.put(self._sums, not leaves.by_key, {**sums, **new})] if new else ())]

    def _means(self, leaves, keys, rows):
        """The means of k gradients, by key, of those that had any: arrays of their own, or Rows."""
        home = not leaves.by_key
        sums, given, totals = self._sums[home], self._given[home], self._totals[home]
        now = _whole(leaves, keys, rows)
        dense = now if len(now) == len(keys) else [key for key in keys if key in given or _is_whole(leaves.grads[key])]
        must_fit({key: sums[key] for key in dense if key in given}, leaves.params)
        for key in dense:
            if key not in totals or not all(has_room(leaves.params[key], key, totals[key])):
                totals[key] = room_for(leaves.params[key], key)
        begun = Transaction()
        begun.first.append(Copies([(totals[key], sums[key]) for key in dense if key in given]))
        begun.first.append(Zeros([totals[key] for key in dense if key not in given]))
        self._run(leaves, {key: totals[key] for key in now}, leaves.grads, begun)
        means = {key: totals[key] for key in dense}
        joined = {key: _joined(rows[key]) for key in keys if key in rows}
        self._run(leaves, {key: totals[key] for key in joined if key in means}, joined, Transaction())
        return {**{key: _scaled(one, 1 / self.k) for key, one in joined.items() if key not in means}, **means}

    def _run(self, leaves, rooms, grads, transaction):
        """Add gradients to arrays, at once."""
        if rooms:
            self._closing._run_planned(self._closing._planned(leaves.by_key, rooms, grads), transaction)
        else:
            transaction.ended.extend(transaction.first)
            transaction.without_step()

    def _dropping(self, key):
        found = [function for ages in self._ages if key in ages for function in ages.dropping(key)]
        found += [*kept.without(self._sums, key), *kept.without(self._totals, key), *kept.without(self._rows, key)]
        found += [kept.put(self._given, home, given - {key}) for home, given in enumerate(self._given) if key in given]
        return [*found, partial(self.__dict__.update, _last=(None, None))] if found else found

    def _kept(self):
        homes = [{key: n for key, n in ages.counts().items() if n} for ages in self._ages]
        return {**kept.stored(homes, lambda by_key, key: {
                    "count": homes[not by_key][key], "given": key in self._given[not by_key],
                    "sum": self._sums[not by_key][key].copy(order="K") if key in self._sums[not by_key] else None,
                    "rows": [{"indices": np.array(rows.indices), "values": np.array(rows.values)}
                             for rows in self._rows[not by_key].get(key, ())]}),
                "losses": list(self._losses)}

    def _restored(self, state):
        sums, counts, given, rows = [{}, {}], ({}, {}), [set(), set()], [{}, {}]
        most = state["hyperparameters"]["k"] - 1
        for by_key, key, entry, where in kept.restored(state, ("count", "given", "sum", "rows")):
            home = not by_key
            counts[home][key] = integer(entry["count"], f"count of {where}", 1, most)
            if entry["sum"] is not None:
                sums[home][key] = kept.numbers(entry["sum"], f"sum of {where}")
            if waiting := _restored_rows(entry["rows"], where):
                rows[home][key] = waiting
            if not isinstance(entry["given"], bool) or entry["given"] and key not in sums[home]:
                raise StateError(f"given of {where} must be whether its sum has gradients, not {entry['given']!r:.80}")
            if entry["given"]:
                given[home].add(key)
        losses = state["losses"]
        if not isinstance(losses, list) or not all(type(loss) is float for loss in losses):
            raise StateError(f"losses must be a list of numbers, not {losses!r:.80}")
        return {"_sums": sums, "_ages": tuple(map(Ages, counts)), "_given": given, "_rows": rows,
                "_losses": tuple(losses), "_totals": [{}, {}], "_last": (None, None)}, []


def _restored_rows(value, where):
    if not isinstance(value, list):
        raise StateError(f"rows of {where} must be a list, not {value!r:.80}")
    found = []
    for one in value:
        one = entries(one, f"rows of {where}", ("indices", "values"))
        if not all(isinstance(part, np.ndarray) for part in one.values()):
            raise StateError(f"rows of {where} must be arrays")
        try:
            found.append(Rows(one["indices"], kept.numbers(one["values"], f"rows of {where}")))
        except (TypeError, ValueError) as error:
            raise StateError(f"rows of {where}: {error}") from None
    return tuple(found)


def _copied(rows, p, key):
    """Rows whose values stay as they are, in the dtype that p is computed in."""
    rows._fit(p, key)
    values = rows.values.reshape(len(rows), *rows.values.shape[rows.indices.ndim:])
    computed = np.float64 if np.asarray(p).itemsize == 8 else np.float32
    with np.errstate(all="ignore"):
        return Rows(rows.indices.reshape(-1), np.array(values, computed))


def _whole(leaves, keys, rows):
    """Those of the keys that have a gradient now, and no Rows."""
    return keys if leaves.whole and not rows else [key for key in keys if _is_whole(leaves.grads[key])]


def _is_whole(grad):
    return not (grad is None or isinstance(grad, Rows))


def _joined(rows):
    """All of them as one."""
    return Rows(np.concatenate([one.indices for one in rows]), np.concatenate([one.values for one in rows]))


def _scaled(rows, factor):
    values = np.array(rows.values)
    scale([values], factor)
    return Rows(rows.indices, values)


def _zeros(p, key):
    room = room_for(p, key)
    room.fill(0)
    return room
