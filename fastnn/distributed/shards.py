"""Which rank has which elements of which parameter, and an optimizer that steps such pieces as its parameters.

Every parameter is cut in as many pieces as there are ranks, some without elements, so that each rank steps all of them:
groups, ages and what is kept beside arrays are alike everywhere, and a sum over a parameter is one over its pieces.
"""
import numpy as np

from ..groups import numbers_at
from ..optimizers.base import around
from ..optimizers.noisy import Noisy
from .ranks import added, starts

GRAIN = 1024        # elements: pieces begin at multiples of it, where blocks of reduced-precision state end


class Cuts:
    """Where each key's parameter is cut: ranks + 1 places. A key keeps them, whatever comes later.

    Keys that come together are cut as if they lay one after another, into equal parts, as far as GRAIN allows.
    """

    def __init__(self, ranks):
        self.ranks, self.places = ranks, {}

    def add(self, sizes):
        new = {key: size for key, size in sizes.items() if key not in self.places}
        total, start = sum(new.values()), 0
        for key, size in new.items():
            places = []
            for rank in range(self.ranks + 1):
                place = rank * total / self.ranks - start
                place = size if place >= size else max(0, round(place / GRAIN) * GRAIN)
                places.append(min(place, size))
            places[0], places[-1] = 0, size
            self.places[key] = places
            start += size

    def piece(self, key, rank):
        return slice(*self.places[key][rank:rank + 2])


class Exchange:
    """Pieces of all parameters in one buffer of bytes, rank after rank, those of 8 bytes an element first.

    Attributes
    ----------
    buffer : ndarray of bytes
    views : list of dict
        For each rank the pieces by key: views of the buffer.
    counts : list of int
        Bytes of each rank.
    """

    def __init__(self, cuts, dtypes, room=None):
        """room: bytes to lie in, as many as are needed or more."""
        keys = sorted(dtypes, key=lambda key: -dtypes[key].itemsize)            # stable
        self.counts, places = [], []
        for rank in range(cuts.ranks):
            at, found = 0, {}
            for key in keys:
                piece = cuts.piece(key, rank)
                length = (piece.stop - piece.start) * dtypes[key].itemsize
                found[key] = at, at + length
                at += length
            self.counts.append(-(-at // 8) * 8)
            places.append(found)
        self.offsets = starts(self.counts)
        needed = sum(self.counts)
        self.buffer = np.zeros(needed, np.uint8) if room is None or room.size < needed else room[:needed]
        self.views = [{key: self.buffer[start + low:start + high].view(dtypes[key])
                       for key, (low, high) in found.items()} for start, found in zip(self.offsets, places)]

    def part(self, rank):
        return self.buffer[self.offsets[rank]:self.offsets[rank] + self.counts[rank]]


class Pieces:
    """Before an optimizer's class: its parameters are pieces, and what it has to know of whole ones comes from all
    ranks.

    Norms that clip are found outside, of all pieces, before the step.
    """

    _ranks = _whole = None                      # Ranks; the whole parameters of the step, by key

    def _group_of(self, home, key, p):
        return super()._group_of(home, key, self._whole.get(key, p))            # functions of groups read shapes

    def _clip_global(self, plan):
        return 0

    def _ready(self, version, by_time, clip_global_norm):
        super()._ready(version, by_time, 0)

    def _prepare(self, plan, extra):
        super()._prepare(plan, extra)
        for cohort in plan.cohorts:
            h = cohort.numbers
            for name in ("clip_adaptive", "centralize"):
                if getattr(h, name):
                    raise TypeError(f"{self._title()}: {name} needs whole rows or columns, which shards split; "
                                    "DataParallel has whole ones on each rank")
            if h.clip_norm:
                scale, decay, value, l2, l1, *_ = around(h, self._decay_rate_name or self._rate_name)
                cohort.around(scale, decay, value, l2, l1, 0, 0, False, h.output_axis)

    def _measure(self, plan):
        return super()._measure(_OfAllRanks(plan, self._ranks))


class NoisyPieces(Pieces):
    """Every rank draws the noise of whole parameters, and takes its piece: the noise is that of one process."""

    def _prepare(self, plan, extra):
        self.__dict__["_keys"] = {id(record): key for record, key in zip(plan.records, plan.keys)}
        super()._prepare(plan, extra)

    def _drawn(self, noise, *groups):
        return [[self._rounded(noise, record) for record in group] for group in groups]

    def _rounded(self, noise, record):
        key = self._keys[id(record)]
        return self._normal(noise, self._whole[key].shape).reshape(-1, order=order_of(self._whole[key]))[self._own[key]]


class _OfAllRanks:
    """A plan whose inner products are those of whole parameters."""

    def __init__(self, plan, ranks):
        self._plan, self._ranks = plan, ranks
        self.cohorts, self.cohort_of, self.records = plan.cohorts, plan.cohort_of, plan.records

    def dots(self, products):
        mine = np.array(self._plan.dots(products), np.float64)
        return [tuple(sums) for sums in added(self._ranks.gathered(mine, "the norms of a step")).tolist()]


def pieces_class(cls):
    """The class of an optimizer of such pieces."""
    first = NoisyPieces if issubclass(cls, Noisy) else Pieces
    return type(cls.__name__, (first, cls), {"__module__": cls.__module__, "__qualname__": cls.__qualname__,
                                             **({"name": cls.__dict__["name"]} if "name" in cls.__dict__ else {})})


def order_of(p):
    return "F" if p.flags.f_contiguous and not p.flags.c_contiguous else "C"


def flat(p, key):
    """A parameter's elements as they lie in memory: a view."""
    if not (p.flags.c_contiguous or p.flags.f_contiguous):
        raise ValueError(f"parameter {key!r} must be contiguous to be stepped in shards: np.ascontiguousarray(p)")
    return p.reshape(-1, order=order_of(p))


def clip(opt, pieces, keys, ranks, extra):
    """Scale gradients, pieces of this rank, where a norm of whole ones is too large. False if one is not finite."""
    from ..core.reductions import norms, scale
    groups = [group for group in opt.groups if group.values().get("clip_norm") is not None]
    if opt.clip_norm is None and opt.clip_global_norm is None and not groups:
        return True
    home, numbers = {}, {}
    for key in keys:
        home = opt._records[not keys[key]]
        t = (home[key].t if key in home else 0) + 1 if extra.get("t") is None else extra["t"]
        numbers[key] = numbers_at(opt._group_of(home, key, pieces[key]) or opt, t), t
    mine = np.array(norms([pieces[key] for key in keys])) * [abs(numbers[key][0].grad_scale) for key in keys]
    found = ranks.gathered(mine, "the norms that clip")
    each = np.array([root_of_squares(column) for column in found.T])
    if opt.clip_global_norm is not None:
        most = type(opt).clip_global_norm.at(opt.clip_global_norm, max(t for _, t in numbers.values()))
        whole = root_of_squares(each)
        if most and not np.isfinite(whole):
            return False
        factors = [most / whole if most and whole > most else 1.0] * len(each)
    else:
        limits = [numbers[key][0].clip_norm for key in keys]
        if any(limit and not np.isfinite(norm) for limit, norm in zip(limits, each)):
            return False
        factors = [limit / norm if limit and norm > limit else 1.0 for limit, norm in zip(limits, each)]
    for key, factor in zip(keys, factors):
        if factor != 1:
            scale([pieces[key]], factor)
    return True


def root_of_squares(norms):
    """The norm of all, which neither overflows nor underflows on the way."""
    largest = max(norms, default=0.0)
    if not np.isfinite(norms).all():
        return float("nan") if np.isnan(norms).any() else float("inf")
    return 0.0 if largest == 0 else float(largest * np.sqrt(sum((norm / largest)**2 for norm in norms)))
