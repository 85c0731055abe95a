"""One use of an object at a time: any other use is refused, in another thread or by a caller in this one."""
import sys
import threading

from cpython.pythread cimport PyThread_get_thread_ident

cdef extern from "lock.h":
    unsigned long fastnn_lock_acquire(fastnn_lock *lock, unsigned long self) noexcept nogil
    void fastnn_lock_release(fastnn_lock *lock) noexcept nogil


cdef class Lock:
    """An object that one thread uses at a time."""

    cdef int acquire(self) except -1:
        """Have the object to oneself until `leave`.

        Compiled functions alone do that, in try and finally: between two of Python's instructions a signal's handler
        may raise.
        """
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef unsigned long owner = fastnn_lock_acquire(&self.lock, me)
        if owner and not lives(owner):
            owner = fastnn_lock_acquire(&self.lock, me)           # the thread may have ended just now
        if owner:
            raise RuntimeError(f"this {type(self).__name__} {in_use(owner, me)}")
        return 0

    cdef void release(self) noexcept:
        fastnn_lock_release(&self.lock)

    def _alone(self, function, *args):
        """function(*args) while nothing else uses the object. Raises RuntimeError where something does already."""
        self.acquire()
        try:
            return function(*args)
        finally:
            self.release()

    def _put(self, list functions, dict attributes):
        """Call functions and set attributes while nothing else uses the object.

        The functions are compiled ones: no signal's handler comes in between. Only the first may fail.
        """
        self.acquire()
        try:
            for function in functions:
                function()
            (<object>self).__dict__.update(attributes)
        finally:
            self.release()


cdef bint lives(unsigned long thread) except -1:
    return thread in sys._current_frames()


cdef str in_use(unsigned long owner, unsigned long me):
    """Where an object is in use."""
    if owner == me:
        return ("is in use by a caller in this thread: what a step calls - functions, mappings, signal handlers -  "
                "cannot use the optimizer itself")
    if not lives(owner):
        return ("was in use in another thread when this process was forked, and may be inconsistent: make a new one, "
                "perhaps from a saved state")
    names = [thread.name for thread in threading.enumerate() if thread.ident == owner]
    return f"is in use in thread {names[0] if names else owner}: give each thread its own, or use a lock"
