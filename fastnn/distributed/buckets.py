"""Gradients in flat buffers, averaged while others are still computed.

A bucket is a run of parameters, from the last one on, as the backward pass comes by them. Once it is full its ranks-th
part goes to each rank (Ialltoall), which adds what it gets in the order of the ranks and gives the mean to all
(Iallgather): an Allreduce of which all ranks have the same bits. Both go on while the backward pass computes; MPI works
on them whenever a gradient is added.
"""
import numpy as np

from . import bfloat16
from .ranks import added

BUCKET_BYTES = 4 << 20
MESSAGE_BYTES = 1 << 16             # below which a message's latency is longer than its way
WIRES = ("float32", "bfloat16")
FILLING, SCATTERED, GATHERED, READY = range(4)


class Bucket:
    """The gradients of some parameters of one dtype.

    Attributes
    ----------
    means : dict of ndarray
        By key, views of the flat buffer: gradients before the exchange, and their means afterwards.
    """

    def __init__(self, ranks, keys, params, dtype, wire):
        self.ranks, self.dtype = ranks, np.dtype(dtype)
        sizes = [params[key].size for key in keys]
        self.part = -(-sum(sizes) // ranks.size)
        self.flat = np.zeros(self.part * ranks.size, dtype)
        self.means, start = {}, 0
        for key, size in zip(keys, sizes):
            self.means[key] = self.flat[start:start + size].reshape(params[key].shape, order=order_of(params[key]))
            start += size
        self.size, self.missing = start, set(keys)
        self.state, self.request = FILLING, None
        self.narrow = wire == "bfloat16" and self.dtype == np.float32
        sent = np.dtype(np.uint16) if self.narrow else self.dtype
        self.parts = np.empty((ranks.size, self.part), sent)
        self.sent = np.empty(self.flat.size, sent) if self.narrow else self.flat
        self.mean = np.empty(self.part, self.dtype)
        self.sent_mean = np.empty(self.part, sent) if self.narrow else self.mean
        if self.narrow:                         # what rounding has taken: of the gradients, of the part's means
            self.residual, self.residual_of_mean = np.zeros_like(self.flat), np.zeros_like(self.mean)
            self.wide = np.empty((ranks.size, self.part), np.float32)

    def start(self, share):
        """share: of this rank's rows, where ranks have different numbers of them, else None."""
        if share is not None:
            self.flat *= self.dtype.type(share)
        self.weighted = share is not None
        if self.narrow:
            bfloat16.sent(self.flat, self.residual, self.sent)
        self.request, self.state = self.ranks.scatter(self.sent, self.parts), SCATTERED

    def advance(self, started):
        """Go on if the exchange has. `started`: whether the buckets before this one have all begun to gather: these
        messages go in the order of the buckets."""
        if self.state == SCATTERED and started and self.ranks.done([self.request]):
            parts = self.parts
            if self.narrow:
                parts = self.wide
                for row, target in zip(self.parts, parts):
                    bfloat16.widened(row, target)
            added(parts, self.mean)
            if not self.weighted:
                with np.errstate(all="ignore"):
                    np.true_divide(self.mean, self.dtype.type(self.ranks.size), out=self.mean)
            if self.narrow:
                bfloat16.sent(self.mean, self.residual_of_mean, self.sent_mean)
            self.request, self.state = self.ranks.gather(self.sent_mean, self.sent), GATHERED
        elif self.state == GATHERED and self.ranks.done([self.request]):
            if self.narrow:
                bfloat16.widened(self.sent, self.flat)
            self.request, self.state = None, READY


class Buckets:
    """All parameters of a step, in buckets; and one exchange after another.

    The last bucket to be filled, with the first parameters, is the one that nothing is left to hide: buckets are of
    `bucket_bytes` at most, but for a parameter that is larger; None: as many as `usual_bytes` says.
    """

    def __init__(self, ranks, params, wire="float32", bucket_bytes=None):
        bucket_bytes = usual_bytes(ranks.size) if bucket_bytes is None else bucket_bytes
        self.ranks, self.layout = ranks, layout_of(params)
        runs, self.buckets = [], []
        for key in reversed(params):
            p, dtype = params[key], reduced_of(params[key])
            nbytes = p.size * dtype.itemsize
            if not runs or runs[-1][1] != dtype or runs[-1][2] + nbytes > bucket_bytes:
                runs.append([[], dtype, 0])
            runs[-1][0].append(key)
            runs[-1][2] += nbytes
        self.buckets = [Bucket(ranks, keys, params, dtype, wire) for keys, dtype, _ in runs]
        self._of = {key: bucket for bucket in self.buckets for key in bucket.means}
        self._begun, self._share = 0, None
        self.under_way = False
        self.means = {key: self._of[key].means[key] for key in params}

    def begin(self, share=None):
        """share: what this rank's gradients are multiplied by before they are added; None: the mean of all."""
        self._begun, self._share, self.under_way = 0, share, True
        for bucket in self.buckets:
            bucket.state, bucket.missing = FILLING, set(bucket.means)

    def add(self, key, grad):
        """One gradient, an array that is copied here."""
        bucket = self._of[key]
        room = bucket.means[key]
        if isinstance(grad, np.ndarray) and grad.dtype == room.dtype:
            room[...] = grad
        else:
            with np.errstate(all="ignore"):
                np.copyto(room, grad, casting="unsafe")
        bucket.missing.discard(key)
        while self._begun < len(self.buckets) and not self.buckets[self._begun].missing:
            self.buckets[self._begun].start(self._share)
            self._begun += 1
        self._advance()

    def given(self, key):
        """Whether this key's gradient has been added since `begin`."""
        return key not in self._of[key].missing

    def finish(self, what):
        """The means by key: views, which the next exchange writes again."""
        while not self._advance():
            self.ranks.wait([next(bucket.request for bucket in self.buckets if bucket.state != READY)], what)
        self.under_way = False
        return self.means

    def _advance(self):
        """Whether all are ready."""
        started = True
        for bucket in self.buckets[:self._begun]:
            bucket.advance(started)
            started = started and bucket.state >= GATHERED
        return self._begun == len(self.buckets) and all(bucket.state == READY for bucket in self.buckets)

    # What is left over of bfloat16: for states.

    def residuals(self):
        """By key, what the ranks have yet to add to the sum of their gradients; None where nothing is rounded."""
        found = {}
        for bucket in self.buckets:
            if bucket.narrow:
                mine = bucket.residual.copy()
                part = slice(self.ranks.rank * bucket.part, (self.ranks.rank + 1) * bucket.part)
                mine[part] += bucket.residual_of_mean * np.float32(self.ranks.size)
                rest, start = self.ranks.total(mine, "the residuals of a state"), 0
                for key, view in bucket.means.items():
                    found[key] = rest[start:start + view.size].reshape(view.shape, order=order_of(view)).copy(order="K")
                    start += view.size
        return found

    def put_residuals(self, saved):
        """Each rank takes the part of them that it averages."""
        for bucket in self.buckets:
            if bucket.narrow:
                whole = np.zeros_like(bucket.flat)
                start = 0
                for key, view in bucket.means.items():
                    if key in saved and saved[key].shape == view.shape:
                        whole[start:start + view.size] = saved[key].reshape(-1, order=order_of(view))
                    start += view.size
                bucket.residual_of_mean[...] = 0
                bucket.residual[...] = 0
                part = slice(self.ranks.rank * bucket.part, (self.ranks.rank + 1) * bucket.part)
                bucket.residual[part] = whole[part]


def usual_bytes(ranks):
    """More ranks, larger buckets: a bucket is as many messages as there are ranks."""
    return max(BUCKET_BYTES, MESSAGE_BYTES * ranks)


def reduced_of(p):
    return np.dtype(np.float64 if p.dtype.itemsize == 8 else np.float32)


def order_of(p):
    return "F" if p.flags.f_contiguous and not p.flags.c_contiguous else "C"


def layout_of(params):
    """What buckets are made for."""
    return [(key, p.shape, reduced_of(p), order_of(p)) for key, p in params.items()]
