# cython: binding=False, embedsignature.format=clinic
"""What wrappers have written together with a step: all of it or nothing.

Everything is arranged and looked at before the first part writes, and writing cannot fail. It is compiled code alone,
so that no signal's handler can raise half way.
"""
import numpy as np

cimport cython
cimport numpy as cnp

from fastnn.core.records import CHANGED

cnp.import_array()


cdef class Part:
    """Something that is written with a step; plans are, too."""

    cdef void arrange(self) except *:
        """Allocate; code of the user's may run."""

    cdef void look(self) except *:
        """A last look: raises if `write` could fail. No code of the user's runs."""

    cdef void write(self) except *:
        """Never fails after a look."""


@cython.final
cdef class Copies(Part):
    """Arrays that are written into others of the same shapes: a list of (target, source)."""

    cdef list pairs

    def __init__(self, list pairs):
        self.pairs = [(<cnp.ndarray?>target, <cnp.ndarray?>source) for target, source in pairs]

    cdef void look(self) except *:
        for target, source in self.pairs:
            if not (cnp.PyArray_SAMESHAPE(<cnp.ndarray>target, <cnp.ndarray>source)
                    and cnp.PyArray_CHKFLAGS(<cnp.ndarray>target, cnp.NPY_ARRAY_WRITEABLE)):
                raise ValueError(CHANGED)

    cdef void write(self) except *:
        for target, source in self.pairs:
            cnp.PyArray_CopyInto(<cnp.ndarray>target, <cnp.ndarray>source)      # np.copyto begins in Python


@cython.final
cdef class Transaction:
    """Parts, or compiled functions that cannot fail, around the step of an optimizer: `first` before it writes, `after`
    behind it, and `ended`, which is written where the step was skipped, too."""

    def __init__(self):
        self.first, self.after, self.ended = [], [], []

    cdef void arrange(self) except *:
        for parts in (self.first, self.after, self.ended):
            for part in <list>parts:
                if isinstance(part, Part):
                    (<Part>part).arrange()

    cdef void look(self) except *:
        for parts in (self.first, self.after, self.ended):
            for part in <list>parts:
                if isinstance(part, Part):
                    (<Part>part).look()

    cdef void begin(self) except *:
        write_all(self.first)

    cdef void complete(self) except *:
        write_all(self.after)
        write_all(self.ended)

    cdef void end(self) except *:
        write_all(self.ended)

    def without_step(self):
        """Where there is no step to be taken: what is `ended` is written."""
        self.arrange()
        self.look()
        self.end()


cdef void write_all(list parts) except *:
    for part in parts:
        if isinstance(part, Part):
            (<Part>part).write()
        else:
            part()


cdef class Displaced:
    """Parameters that stand elsewhere for a while, and their way back."""

    cdef list places                        # (parameter, where it was, room for where it stands), or None: none are

    @property
    def away(self):
        return self.places is not None

    def depart(self, list places):
        """They are about to be moved from where they were."""
        self.places = places

    def arrive(self):
        """They are back, and stay."""
        self.places = None

    def back(self):
        """Move them back, if they are away. Raises ValueError if they can no longer be written to."""
        if self.places is None:
            return
        self.check()
        for parameter, before, _ in self.places:
            cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>before)
        self.places = None

    def at_home(self, function, *args):
        """function(*args) with the parameters back; if it raises and they have not arrived, they are away again."""
        cdef list places = self.places
        self.check()
        for parameter, before, ahead in places:
            cnp.PyArray_CopyInto(<cnp.ndarray>ahead, <cnp.ndarray>parameter)
        for parameter, before, ahead in places:
            cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>before)
        try:
            return function(*args)
        finally:
            if self.places is not None:
                for parameter, before, ahead in places:
                    if fits(<cnp.ndarray>parameter, <cnp.ndarray>ahead):
                        cnp.PyArray_CopyInto(<cnp.ndarray>parameter, <cnp.ndarray>ahead)

    def then_back(self, function, *args):
        """function(*args); if they are away then, whatever has happened, they come back."""
        try:
            return function(*args)
        finally:
            self.back()

    cdef void check(self) except *:
        for parameter, before, _ in self.places:
            if not fits(<cnp.ndarray>parameter, <cnp.ndarray>before):
                raise ValueError("a parameter was changed from outside between ascend and step: it can no longer be "
                                 "moved back")


cdef bint fits(cnp.ndarray target, cnp.ndarray source):
    return (cnp.PyArray_SAMESHAPE(target, source) and target.descr is source.descr
            and cnp.PyArray_CHKFLAGS(target, cnp.NPY_ARRAY_WRITEABLE))


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
            same = same and keys[i] is key
            i += 1
    return 2 if same else 1
