/* Stores that go past the cache. An ordinary store reads the line first that it then overwrites; for results that no
   cache can hold, that is a third of the traffic of a light kernel.

   Elsewhere than on x86 with SSE2 nothing streams, and the engine never asks for it. */

#ifndef FASTNN_STREAMING_H
#define FASTNN_STREAMING_H

#include <stddef.h>

enum { FASTNN_LINE = 64 };

#if defined(__SSE2__) || defined(_M_X64)

#include <emmintrin.h>

enum { FASTNN_STREAMS = 1 };

/* Copy whole cache lines; both ends begin at one. */
static inline void fastnn_stream(void *to, const void *from, size_t bytes)
{
    __m128i *out = (__m128i *)to;
    const __m128i *in = (const __m128i *)from, *end = in + bytes / sizeof *in;
    for (; in < end; in += 4, out += 4) {
        __m128i a = _mm_load_si128(in), b = _mm_load_si128(in + 1), c = _mm_load_si128(in + 2),
                d = _mm_load_si128(in + 3);
        _mm_stream_si128(out, a);
        _mm_stream_si128(out + 1, b);
        _mm_stream_si128(out + 2, c);
        _mm_stream_si128(out + 3, d);
    }
}

static inline void fastnn_prefetch(const void *from, size_t bytes)
{
    const char *at = (const char *)from, *end = at + bytes;
    for (; at < end; at += FASTNN_LINE)
        _mm_prefetch(at, _MM_HINT_T0);
}

/* Before other threads may look at what was streamed. */
static inline void fastnn_stream_end(void) { _mm_sfence(); }

#else

#include <string.h>

enum { FASTNN_STREAMS = 0 };

static inline void fastnn_stream(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }
static inline void fastnn_prefetch(const void *from, size_t bytes) { (void)from; (void)bytes; }
static inline void fastnn_stream_end(void) {}

#endif
#endif
