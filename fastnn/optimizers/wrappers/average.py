"""An exponential moving average of the parameters."""
from functools import partial
from typing import Any

import numpy as np

from ...core.records import room_for
from ...core.transactions import Copies
from ...hyperparameters import Hyperparameter
from ...state import entries, integer
from . import kept, structures
from .base import Wrapper
from .engines import Averaging


class ExponentialAverage(Wrapper):
    """average += (1 - decay) (p - average), after each step; `params` has it.

    It starts as the parameters after the first step, as PyTorch's AveragedModel does, and is each parameter's own, as
    is the count of steps: those that left a parameter unchanged, or were skipped, do not count. A parameter that has
    never moved has its first value there. For float16 and bfloat16 averages are float32.

    Parameters
    ----------
    optimizer : optimizer or wrapper
    decay : float or schedule
        At least 0, below 1. A schedule is called with the parameter's own number of the step, from 2.

    Attributes
    ----------
    params
        The averages, of the structure of the parameters: mappings are dicts, numbers are numbers. Arrays are views that
        cannot be written to and follow later steps; copies do not. Raises ValueError before the first step, and
        where there were mappings and sequences.
    """

    decay = Hyperparameter(0.999, at_least=0, below=1, scheduled=True)
    _entries = ("by_key", "by_position", "structures")

    def __init__(self, optimizer: Any, decay: float = 0.999):
        super().__init__(optimizer, decay=decay)
        self._engine = Averaging(self.decay)
        self._averages = [{}, {}]
        self._still = [{}, {}]                  # parameters that have not moved yet
        self._structures = None, None
        self._last = None, None                 # keys of the last call and its averages

    @property
    def params(self) -> Any:
        return self._alone(self._shown_params)

    def _shown_params(self):
        homes = [({**still, **averages}, structure)
                 for still, averages, structure in zip(self._still, self._averages, self._structures) if structure]
        if len(homes) != 1:
            raise ValueError("parameters of mappings and of sequences have averages: state_dict() has the two apart" if
                             homes else "there is no average yet: it starts with the first step")
        return structures.filled(*homes[0])

    def _taken(self, leaves, extra, transaction):
        moving = self._moving(leaves)
        if moving.params:
            transaction.after[:0] = self._following(leaves, moving)
        return self._inner()._take(leaves, extra, transaction)

    def _following(self, leaves, moving):
        home = not moving.by_key
        averages, still = self._averages[home], self._still[home]
        if self._engine.decay is not self.decay:
            self._engine.decay = self.decay
        keys, known = self._last
        if moving is leaves and leaves.keys is not None and leaves.keys is keys:
            return [self._planned(moving, known, moving.params, late=True)]
        found, known = [], {key: averages[key] for key in moving.params if key in averages}
        new = {key: room_for(p, key) for key, p in moving.params.items() if key not in averages}
        if known:
            found.append(self._planned(moving, known, moving.params, late=True))
            self._last = (leaves.keys, known) if moving is leaves and not new else (None, None)
        if new:
            found += [Copies([(room, moving.params[key]) for key, room in new.items()]),
                      kept.put(self._averages, home, {**averages, **new})]
        at_rest = {key: _room_at_rest(p, key) for key, p in leaves.params.items()
                   if not (key in averages or key in still or key in new)}
        if new or at_rest:
            found.append(Copies([(room, leaves.params[key]) for key, room in at_rest.items()]))
            still = {key: p for key, p in still.items() if key not in new}
            found.append(kept.put(self._still, home, {**still, **at_rest}))
            grown = list(self._structures)
            grown[home] = structures.merged(grown[home], structures.of(leaves.given))
            found.append(partial(self.__dict__.update, _structures=tuple(grown)))
        return found

    def _dropping(self, key):
        found = [*kept.without(self._averages, key), *kept.without(self._still, key)]
        if found:
            grown = tuple(structures.without(structure, key) for structure in self._structures)
            if any(key in home for home in self._engine._records):
                found.append(partial(self._engine.forget, key))
            found.append(partial(self.__dict__.update, _structures=grown, _last=(None, None)))
        return found

    def _kept(self):
        homes = [{**still, **averages} for still, averages in zip(self._still, self._averages)]
        return {**kept.stored(homes, lambda by_key, key: {
                    "t": self._age(not by_key, key), "average": homes[not by_key][key].copy(order="K")}),
                "structures": dict(zip(("by_key", "by_position"), map(structures.copied, self._structures)))}

    def _age(self, home, key):
        if key not in self._averages[home]:
            return 0
        record = self._engine._records[home].get(key)
        return 1 if record is None else record.t + 1

    def _restored(self, state):
        averages, still, records = [{}, {}], [{}, {}], ({}, {})
        for by_key, key, entry, where in kept.restored(state, ("t", "average")):
            home, t = not by_key, integer(entry["t"], f"t of {where}")
            room = kept.numbers(entry["average"], f"average of {where}")
            (averages if t else still)[home][key] = room
            if t > 1:
                records[home][key] = self._engine._restored(key, room, (), None, t - 1, ())
        saved = entries(state["structures"], "structures", ("by_key", "by_position"))
        shapes = tuple(structures.checked(saved[what], what, {*averages[home], *still[home]})
                       for home, what in enumerate(("by_key", "by_position")))
        return ({"_averages": averages, "_still": still, "_structures": shapes, "_last": (None, None)},
                [partial(self._engine._restore, *records, 0, {}, [])])


def _room_at_rest(p, key):
    """For a parameter that does not move, which may be read-only."""
    p = np.asarray(p)
    single = p.dtype.name in ("float16", "bfloat16", "float32")
    if not single and p.dtype.kind not in "fiub":
        raise TypeError(f"parameter {key!r} must be an array of real numbers to have an average, not of {p.dtype}")
    return np.empty_like(p, np.float32 if single else np.float64)
