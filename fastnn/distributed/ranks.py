"""The processes of an MPI communicator: waits with a timeout, checks that all do the same, sums in a fixed order.

Data are moved by MPI and added here, in the order of the ranks: the sum has the same bits in every process and every
run, whichever algorithm the MPI library takes. Nothing blocks: each wait polls, and ends with a
`RankError` after `timeout` seconds.
"""
import os
import pickle
import time
from hashlib import blake2b
from itertools import accumulate

import numpy as np

from .failures import DisagreementError, RankError, abort_where_uncaught, library

TIMEOUT = 300.0
LATE = 19           # the tag of "my time is up"
SPINS = 1000        # polls before a wait sleeps in between, about half a millisecond; CROWDED where ranks share cores
CROWDED = 20
SHORTEST = 2e-5     # seconds of such a sleep, which doubles every POLLS polls
POLLS = 100
LONGEST = 1e-3
ANSWERS = 2.0       # seconds in which others can say that they wait, too
SHOWN = 4           # differences in a message
HEADER = np.dtype([("digest", "V16"), ("failed", "i8"), ("numbers", "f8", 4)])

_keyval = []        # MPI's attribute of a communicator: its Ranks


def ranks_of(comm=None, timeout=None):
    """The Ranks of a communicator, None: of COMM_WORLD. The first call for it is for all of its processes."""
    MPI = library()
    comm = communicator(comm)
    if not _keyval:
        _keyval.append(MPI.Comm.Create_keyval())
    found = comm.Get_attr(_keyval[0])
    if found is None:
        found = Ranks(MPI, comm, TIMEOUT if timeout is None else timeout)
        comm.Set_attr(_keyval[0], found)
    elif timeout is not None:
        found.timeout = timeout
    return found


def communicator(comm=None):
    MPI = library()
    if comm is None:
        return MPI.COMM_WORLD
    if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
        raise TypeError(f"comm must be a communicator of mpi4py, such as MPI.COMM_WORLD, not {comm!r:.80}")
    return comm


def checked_timeout(value):
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"timeout must be a positive number of seconds, not {value!r}")
    return float(value)


class Ranks:
    """A communicator's processes. All methods are for all of them, in the same order.

    Attributes
    ----------
    rank, size : int
    timeout : float
        Seconds that an exchange may take: the others may come that much later.
    seconds : float
        That exchanges have taken so far, as far as they were waited for.
    """

    def __init__(self, MPI, comm, timeout):
        self._MPI, self.timeout, self.seconds = MPI, timeout, 0.0
        self.rank, self.size = comm.rank, comm.size
        self._comm, self._open = comm, []
        here = os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1")
        self._spins = CROWDED if here.isdecimal() and int(here) > (os.cpu_count() or 1) else SPINS
        if self.size > 1:
            abort_where_uncaught(comm)
            copies = [comm.Idup() for _ in range(2)]    # with messages of their own: what comes in, what goes round
            self.wait([request for _, request in copies], "the first exchange")
            self._comm, self._second = (copy for copy, _ in copies)

    # Waits

    def done(self, requests):
        """Whether they have come to their end; lets MPI work on them."""
        return self._MPI.Request.Testall(requests)

    def _begun(self, request):
        """A request, kept until it is done: until then MPI uses its memory."""
        self._open = [one for one in self._open if one]
        self._open.append(request)
        return request

    def wait(self, requests, what):
        if self.done(requests):
            return
        start, polls = time.monotonic(), 0
        while not self.done(requests):
            polls += 1
            if polls > self._spins:
                time.sleep(min(LONGEST, SHORTEST * 2**((polls - self._spins) // POLLS)))
                if polls % 16 == 0 and (time.monotonic() - start > self.timeout or self._a_rank_is_late()):
                    raise self._late(what)
        self.seconds += time.monotonic() - start

    def _a_rank_is_late(self):
        return self._comm.Iprobe(self._MPI.ANY_SOURCE, LATE)

    def _late(self, what):
        """The error, after checking which ranks also wait."""
        note = np.zeros(1)
        sent = [self._comm.Isend(note, other, LATE) for other in range(self.size) if other != self.rank]
        waiting, end = {self.rank}, time.monotonic() + min(ANSWERS, self.timeout)
        while time.monotonic() < end and len(waiting) < self.size:
            status = self._MPI.Status()
            if self._comm.Iprobe(self._MPI.ANY_SOURCE, LATE, status):
                self._comm.Recv(np.empty(1), status.Get_source(), LATE)
                waiting.add(status.Get_source())
            time.sleep(LONGEST)
        self._notes = sent, note                # MPI may not have sent them yet
        missing = [other for other in range(self.size) if other not in waiting]
        who = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing[:20]))}" if missing else "some"
        return RankError(f"{who} of {self.size} did not come to {what} within {self.timeout:g} s: ended, busy, or "
                         "doing something else, where every rank has to call the same in the same order")

    # Agreement

    def meet(self, what, digest, description, numbers=(), error=None, names=(), same=()):
        """What every rank tells of itself before they exchange more; raises where they are not about to do the same.

        Parameters
        ----------
        what : str
            That is about to be done.
        digest : bytes
            Of the description.
        description : function
            A dict of strings, of what has to be alike; asked where digests differ.
        numbers : sequence of float
            At most four, which are told to all.
        error : Exception or None
            This rank cannot go on: it raises that itself, and the others a RankError.
        names : sequence of str
            Of the numbers.
        same : sequence of int
            Which of them must be alike.

        Returns
        -------
        array of float64, (ranks, 4)
        """
        mine, all_of_them = np.zeros(1, HEADER), np.zeros(self.size, HEADER)
        digest = blake2b(what.encode() + digest, digest_size=16).digest()
        mine["digest"], mine["failed"] = np.void(digest), error is not None
        mine["numbers"][0, :len(numbers)] = numbers
        if self.size == 1:
            all_of_them[:] = mine
        else:
            self._gather(mine, all_of_them, what)
        told = all_of_them["numbers"]
        differ = (all_of_them["digest"] != all_of_them["digest"][0]).any()
        others = [i for i in same if not np.array_equal(told[:, i], np.full(self.size, told[0, i]), equal_nan=True)]
        if not (differ or others or all_of_them["failed"].any()):
            return told
        found = {"what": what, "error": None if error is None else f"{type(error).__name__}: {error}",
                 "is": description() if differ else {names[i]: repr(float(told[self.rank, i]))
                                                     for i in others}}
        texts = self.objects(found, what)
        if error is not None:
            raise error
        failed = [f"rank {rank} raised {text['error']:.500}" for rank, text in enumerate(texts) if text["error"]]
        if failed:
            raise RankError(f"{what}: {'; '.join(failed[:SHOWN])}")
        raise DisagreementError(differences(texts))

    def agree(self, what, alike=None, error=None):
        """Raise on all ranks where they are not about to do the same, have not alike what is in this dict of strings,
        or one has an error."""
        alike = alike or {}
        self.meet(what, repr(alike).encode(), lambda: alike, error=error)

    def objects(self, value, what):
        """A Python object of each rank."""
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        counts = self.gathered(np.array([len(data)], np.int64), what).reshape(-1)
        return [pickle.loads(part.tobytes()) for part in self.gathered_parts(data, counts, what)]

    # Data

    def _gather(self, mine, all_of_them, what):
        self.wait([self._begun(self._comm.Iallgather(self._bytes(mine), self._bytes(all_of_them)))], what)

    def _bytes(self, array):
        return [array.view(np.uint8), self._MPI.BYTE]

    def _parts(self, array, counts, unit):
        """Parts of so many bytes, in units: counts and places are 32 bits in most MPI libraries."""
        counts = [count // unit for count in counts]
        return [array.view(np.uint8), (counts, starts(counts)), self._MPI.INT64_T if unit == 8 else self._MPI.BYTE]

    def gathered(self, mine, what):
        """An array of each rank, all of one shape: (ranks, ...)."""
        mine = np.ascontiguousarray(mine)
        found = np.empty((self.size, *mine.shape), mine.dtype)
        if self.size == 1:
            found[0] = mine
        elif mine.nbytes:
            self._gather(mine.reshape(-1), found.reshape(-1), what)
        return found

    def gathered_parts(self, mine, counts, what):
        """An array with one axis of each rank, of so many elements each."""
        mine = np.ascontiguousarray(mine)
        found = np.empty(int(sum(counts)), mine.dtype)
        if self.size == 1:
            found[:] = mine
        else:
            bytes_of = [int(count) * mine.itemsize for count in counts]
            self.wait([self.gather_parts(mine.view(np.uint8), found.view(np.uint8), bytes_of)], what)
        return np.split(found, np.cumsum(counts)[:-1])

    def scatter(self, sent, received):
        """Begin to hand out: of each rank's array the i-th of `size` equal parts goes to rank i."""
        return self._begun(self._comm.Ialltoall(self._bytes(sent), self._bytes(received)))

    def scatter_parts(self, sent, counts, received):
        """The same with parts of so many bytes; `received` has as many of each rank as this one's part."""
        unit, mine = unit_of(counts), [counts[self.rank]] * self.size
        return self._begun(self._comm.Ialltoallv(self._parts(sent, counts, unit), self._parts(received, mine, unit)))

    def gather(self, mine, found):
        """Begin to put equal parts together, by messages that those of `scatter` cannot overtake."""
        return self._begun(self._second.Iallgather(self._bytes(mine), self._bytes(found)))

    def gather_parts(self, mine, found, counts):
        unit = unit_of(counts)
        return self._begun(self._comm.Iallgatherv(self._parts(mine, counts[self.rank:self.rank + 1], unit)[::2],
                                                  self._parts(found, counts, unit)))

    def total(self, mine, what):
        """The sum of an array over all ranks, added in their order."""
        return added(self.gathered(mine, what))

    def broadcast(self, array, what, root=0):
        """Give all ranks what one of them has in a contiguous array."""
        if self.size > 1 and array.nbytes:
            self.wait([self._begun(self._comm.Ibcast(self._bytes(array.reshape(-1, order="A")), root))], what)


def unit_of(counts):
    return 8 if all(count % 8 == 0 for count in counts) else 1


def starts(counts):
    return [0, *accumulate(counts[:-1])] if counts else []


def added(parts, out=None):
    """The sum over the first axis, one after another."""
    if out is None:
        out = np.empty(parts.shape[1:], parts.dtype)
    out[...] = parts[0]
    with np.errstate(all="ignore"):
        for part in parts[1:]:
            np.add(out, part, out=out)
    return out


def differences(texts):
    """What the ranks do not have alike, as a sentence."""
    first, found = texts[0], []
    for rank, text in enumerate(texts):
        if text["what"] != first["what"]:
            found.append(f"rank 0 is at {first['what']}, rank {rank} at {text['what']}")
        for label in dict.fromkeys([*first["is"], *text["is"]]):
            mine, other = first["is"].get(label, "none"), text["is"].get(label, "none")
            if mine != other:
                found.append(f"{label}: rank 0 has {mine:.200}, rank {rank} has {other:.200}")
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"the ranks disagree: {'; '.join(found[:SHOWN])}{more}"
