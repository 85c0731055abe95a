"""Stores that go past the cache (streaming.h)."""

from libc.stdint cimport uintptr_t

from fastnn.core.vecmath cimport real

cdef extern from "streaming.h":
    enum: FASTNN_LINE
    enum: FASTNN_STREAMS
    void fastnn_stream(void *to, const void *source, size_t nbytes) noexcept nogil
    void fastnn_prefetch(const void *source, size_t nbytes) noexcept nogil
    void fastnn_stream_end() noexcept nogil


cdef inline real *at_line(real *room) noexcept nogil:
    """The first element of `room` that begins a cache line: wide stores across two lines take twice as long."""
    return room + (-<uintptr_t>room % FASTNN_LINE) // sizeof(real)
