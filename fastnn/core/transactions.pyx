"""What wrappers have written together with a step: all of it or nothing.

Everything is arranged and checked before the first part writes, and writing cannot fail. It is compiled code alone,
so that no signal's handler can raise half way.
"""
import numpy as np

cimport cython
cimport numpy as cnp
from libc.string cimport memcpy

from fastnn.core.records import CHANGED

cnp.import_array()

cdef enum:
    SWAPPED = 4096          # bytes at a time


cdef class Part:
    """Something that is written with a step; plans are, too."""

    cdef void arrange(self) except *:
        """Allocate; code of the user's may run."""

    cdef void recheck(self) except *:
        """A last check: raises if `write` could fail. No code of the user's runs, and nothing is allocated that would
        set garbage collection off, which may run some."""

    cdef void write(self) except *:
        """Never fails after the check, and runs no code of the user's either."""


@cython.final
cdef class Copies(Part):
    """Arrays of numbers that are written into others of the same shapes: a list of (target, source)."""

    cdef list pairs
    cdef list dtypes                        # of the sources
    cdef readonly bint casts                # whether numbers are rounded, which NumPy tells of: see np.errstate

    def __init__(self, list pairs):
        self.pairs, self.dtypes = pairs, []
        for target, source in pairs:
            self.dtypes.append((<cnp.ndarray?>source).descr)
            self.casts = self.casts or (<cnp.ndarray?>target).descr is not (<cnp.ndarray>source).descr

    cdef void recheck(self) except *:
        cdef Py_ssize_t i = 0
        for target, source in self.pairs:
            if not (cnp.PyArray_SAMESHAPE(<cnp.ndarray>target, <cnp.ndarray>source)
                    and (<cnp.ndarray>source).descr is self.dtypes[i]
                    and cnp.PyArray_CHKFLAGS(<cnp.ndarray>target, cnp.NPY_ARRAY_WRITEABLE)):
                raise ValueError(CHANGED)
            i += 1

    cdef void write(self) except *:
        for target, source in self.pairs:
            cnp.PyArray_CopyInto(<cnp.ndarray>target, <cnp.ndarray>source)      # np.copyto begins in Python


@cython.final
cdef class Zeros(Part):
    """Arrays of numbers that become 0."""

    cdef list arrays

    def __init__(self, list arrays):
        self.arrays = [<cnp.ndarray?>array for array in arrays]

    cdef void write(self) except *:
        for array in self.arrays:
            cnp.PyArray_FILLWBYTE(<cnp.ndarray>array, 0)


@cython.final
cdef class Transaction:
    """Parts, or compiled functions that cannot fail, around the step of an optimizer: `first` before it writes, `after`
    behind it, and `ended`, which is written where the step was skipped, too.

    Functions are called when all parts have been written: what they let go may run code of the user's.
    """

    def __init__(self):
        self.first, self.after, self.ended = [], [], []

    cdef void arrange(self) except *:
        for part in self.first + self.after + self.ended:
            if isinstance(part, Part):
                (<Part>part).arrange()
            if isinstance(part, Copies) and (<Copies>part).casts:
                self.casts = True

    cdef void recheck(self) except *:
        look_at_all(self.first)
        look_at_all(self.after)
        look_at_all(self.ended)

    cdef void begin(self) except *:
        write_all(self.first)

    cdef void complete(self) except *:
        write_all(self.after)
        write_all(self.ended)
        call_all(self.first)
        call_all(self.after)
        call_all(self.ended)

    cdef void end(self) except *:
        write_all(self.ended)
        call_all(self.ended)

    def without_step(self):
        """Where there is no step to be taken: what is `ended` is written."""
        self.arrange()
        self.recheck()
        self.end()


cdef void look_at_all(list parts) except *:
    for part in parts:
        if isinstance(part, Part):
            (<Part>part).recheck()


cdef void write_all(list parts) except *:
    for part in parts:
        if isinstance(part, Part):
            (<Part>part).write()


cdef void call_all(list parts) except *:
    for part in parts:
        if not isinstance(part, Part):
            part()


@cython.final
cdef class Displaced(Part):
    """Parameters that stand elsewhere for a while, and their way back. As a part: where they are is kept."""

    cdef list places                        # those of `places`, where parameters were; None: they are not away
    cdef list coming                        # the same, before they leave

    @property
    def away(self):
        return self.places is not None

    def depart(self, list places):
        """They are about to be moved from where they are when this part is written."""
        self.coming = places

    cdef void recheck(self) except *:
        check(self.coming)

    cdef void write(self) except *:
        for parameter, room, _ in self.coming:
            cnp.PyArray_CopyInto(<cnp.ndarray>room, <cnp.ndarray>parameter)
        self.places, self.coming = self.coming, None

    def arrive(self):
        """They are back, and stay."""
        self.places = None

    def back(self):
        """Move them back, if they are away. Raises ValueError if they can no longer be written to."""
        if self.places is None:
            return
        check(self.places)
        for parameter, room, _ in self.places:
            cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>room)
        self.places = None

    def at_home(self, function, *args):
        """function(*args) with the parameters back; if it raises and they have not arrived, they are away again, or
        stay where they can no longer be moved."""
        cdef list places = self.places
        check(places)
        swap_all(places)
        try:
            return function(*args)
        finally:
            if self.places is not None:
                self.places = None
                check(places)
                swap_all(places)
                self.places = places

    def then_back(self, function, *args):
        """function(*args); if they are away then, whatever has happened, they come back."""
        try:
            return function(*args)
        finally:
            self.back()


def places(dict params, dict rooms):
    """[(parameter, room for where it is, room to swap the two or None), ...] of arrays by key.

    rooms has those of the last time, and gets new ones.
    """
    cdef list found = []
    cdef cnp.ndarray p
    for key, value in params.items():
        p = <cnp.ndarray>value
        known = rooms.get(key)
        if known is None or not fits(p, <cnp.ndarray>known[0], known[1] is None):
            room = np.empty_like(np.asarray(p))         # whatever a subclass makes of that
            known = rooms[key] = room, None if gapless(p, room) else np.empty_like(room)
        found.append((p, known[0], known[1]))
    return found


cdef bint gapless(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether both lie in memory in the same order, without gaps."""
    return (cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_C_CONTIGUOUS) and cnp.PyArray_CHKFLAGS(b, cnp.NPY_ARRAY_C_CONTIGUOUS)
            or cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_F_CONTIGUOUS)
            and cnp.PyArray_CHKFLAGS(b, cnp.NPY_ARRAY_F_CONTIGUOUS))


cdef bint fits(cnp.ndarray p, cnp.ndarray room, bint without_gaps):
    return (cnp.PyArray_SAMESHAPE(p, room) and p.descr is room.descr and (gapless(p, room) or not without_gaps)
            and cnp.PyArray_CHKFLAGS(p, cnp.NPY_ARRAY_WRITEABLE))


cdef void check(list places) except *:
    for parameter, room, spare in places:
        if not fits(<cnp.ndarray>parameter, <cnp.ndarray>room, spare is None):
            raise ValueError("a parameter was changed from outside between ascend and step: it cannot be moved back")


cdef void swap_all(list places) except *:
    for parameter, room, spare in places:
        if spare is None:
            swap(cnp.PyArray_BYTES(<cnp.ndarray>parameter), cnp.PyArray_BYTES(<cnp.ndarray>room),
                 cnp.PyArray_NBYTES(<cnp.ndarray>room))
        else:
            cnp.PyArray_CopyInto(<cnp.ndarray>spare, <cnp.ndarray>parameter)
            cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>room)
            cnp.PyArray_CopyInto(<cnp.ndarray>room, <cnp.ndarray>spare)


cdef void swap(char *a, char *b, Py_ssize_t size) noexcept nogil:
    cdef char[SWAPPED] block
    cdef Py_ssize_t n
    while size:
        n = min(size, <Py_ssize_t>SWAPPED)
        memcpy(block, a, n)
        memcpy(a, b, n)
        memcpy(b, block, n)
        a, b, size = a + n, b + n, size - n


def plain(params, grads, list keys):
    """0 unless these are dicts of arrays alone, with a gradient for each; 2 if the parameters' keys are these, in
    order, else 1."""
    cdef Py_ssize_t i = 0
    cdef bint same
    if type(params) is not dict or type(grads) is not dict:
        return 0
    same = keys is not None and len(keys) == len(<dict>params)
    with cython.critical_section(params, grads):
        for key, value in (<dict>params).items():
            if not cnp.PyArray_Check(value) or (<dict>grads).get(key) is None:
                return 0
            same = same and i < len(keys) and keys[i] is key    # a key's own code may put others in
            i += 1
    return 2 if same else 1
