"""One use of an object at a time: whatever comes in between is refused, in another thread or further up in this one."""
import sys
import threading

from cpython.pythread cimport PyThread_get_thread_ident

cdef extern from "gate.h":
    unsigned long fastnn_gate_enter(fastnn_gate *gate, unsigned long self) noexcept nogil
    void fastnn_gate_leave(fastnn_gate *gate) noexcept nogil


cdef class Gate:
    """An object that one thread uses at a time."""

    cdef int enter(self) except -1:
        """Have the object to oneself until `leave`.

        Compiled functions alone do that, in try and finally: between two of Python's instructions a signal's handler
        may raise.
        """
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef unsigned long owner = fastnn_gate_enter(&self.gate, me)
        if owner and not lives(owner):
            owner = fastnn_gate_enter(&self.gate, me)           # the thread may have ended just now
        if owner:
            raise RuntimeError(f"this {type(self).__name__} {in_use(owner, me)}")
        return 0

    cdef void leave(self) noexcept:
        fastnn_gate_leave(&self.gate)

    def _alone(self, function, *args):
        """function(*args) while nothing else uses the object. Raises RuntimeError where something does already."""
        self.enter()
        try:
            return function(*args)
        finally:
            self.leave()

    def _put(self, list functions, dict attributes):
        """Call functions and set attributes while nothing else uses the object.

        The functions are compiled ones: no signal's handler comes in between. Only the first may fail.
        """
        self.enter()
        try:
            for function in functions:
                function()
            (<object>self).__dict__.update(attributes)
        finally:
            self.leave()


cdef bint lives(unsigned long thread) except -1:
    return thread in sys._current_frames()


cdef str in_use(unsigned long owner, unsigned long me):
    """Where an object is in use."""
    if owner == me:
        return ("is in use further up in this thread: what a step calls - functions, mappings, handlers of signals - "
                "cannot use the optimizer itself")
    if not lives(owner):
        return ("was in use in another thread when this process was forked, and may be torn: make a new one, perhaps "
                "from a saved state")
    names = [thread.name for thread in threading.enumerate() if thread.ident == owner]
    return f"is in use in thread {names[0] if names else owner}: give each thread its own, or use a lock"
