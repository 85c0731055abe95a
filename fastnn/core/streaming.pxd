"""Stores that go past the cache (streaming.h)."""

cdef extern from "streaming.h":
    enum: FASTNN_LINE
    enum: FASTNN_STREAMS
    void fastnn_stream(void *to, const void *source, size_t nbytes) noexcept nogil
    void fastnn_prefetch(const void *source, size_t nbytes) noexcept nogil
    void fastnn_stream_end() noexcept nogil
