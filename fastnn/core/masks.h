/* Random masks: element i is on unless its number is below `least`, a probability times 2^48.

   The numbers are those of Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), a function
   of a key and a counter, so that it does not matter who computes which. In the stream of counters (c, 0), c of 64 bits,
   word w is the word w mod 4 of counter w/4. The upper 16 bits of element i's number are the half i mod 2, the lower one
   first, of word i/2; the lower 32 bits, which count once in 65,536 times, are word i of the stream of counters (c, 1). */

#ifndef FASTNN_MASKS_H
#define FASTNN_MASKS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "stored.h"

enum {
    FASTNN_MASK_BLOCK = 128,            /* elements whose numbers are made at once */
    FASTNN_MASK_COUNTERS = 16           /* that it takes */
};

#define FASTNN_PHILOX_A 0xD2511F53u
#define FASTNN_PHILOX_C 0xCD9E8D57u
#define FASTNN_PHILOX_KEY0 0x9E3779B9u
#define FASTNN_PHILOX_KEY1 0xBB67AE85u

FASTNN_LOOP void fastnn_philox_one(uint64_t key, uint64_t counter, uint32_t stream, uint32_t *words)
{
    uint32_t a = (uint32_t)counter, b = (uint32_t)(counter >> 32), c = stream, d = 0;
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)a * FASTNN_PHILOX_A, q = (uint64_t)c * FASTNN_PHILOX_C;
        a = (uint32_t)(q >> 32) ^ b ^ key0;
        c = (uint32_t)(p >> 32) ^ d ^ key1;
        b = (uint32_t)q;
        d = (uint32_t)p;
        key0 += FASTNN_PHILOX_KEY0;
        key1 += FASTNN_PHILOX_KEY1;
    }
    words[0] = a;
    words[1] = b;
    words[2] = c;
    words[3] = d;
}

/* Words in lanes of 64 bits, whose upper halves do not count: one instruction multiplies, for both halves of a product.
   The counters stand in the order in which unpacking leaves their words one after another. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define FASTNN_LANES 8
typedef __m512i fastnn_words;
FASTNN_LOOP fastnn_words fastnn_words_at(uint64_t c)
{
    return _mm512_add_epi64(_mm512_set1_epi64((long long)c), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
}
FASTNN_LOOP fastnn_words fastnn_words_of(uint32_t a) { return _mm512_set1_epi64((long long)(uint64_t)a); }
FASTNN_LOOP fastnn_words fastnn_words_mul(fastnn_words a, fastnn_words b) { return _mm512_mul_epu32(a, b); }
FASTNN_LOOP fastnn_words fastnn_words_high(fastnn_words a) { return _mm512_srli_epi64(a, 32); }
FASTNN_LOOP fastnn_words fastnn_words_xor(fastnn_words a, fastnn_words b) { return _mm512_xor_si512(a, b); }
FASTNN_LOOP fastnn_words fastnn_words_pair(fastnn_words a, fastnn_words b)
{
    return _mm512_mask_blend_epi32(0xaaaa, a, _mm512_slli_epi64(b, 32));
}
FASTNN_LOOP void fastnn_words_put(fastnn_words x, fastnn_words y, uint32_t *words)
{
    _mm512_storeu_si512(words, _mm512_unpacklo_epi64(x, y));
    _mm512_storeu_si512(words + 16, _mm512_unpackhi_epi64(x, y));
}
#elif defined(__AVX2__)
#include <immintrin.h>
#define FASTNN_LANES 4
typedef __m256i fastnn_words;
FASTNN_LOOP fastnn_words fastnn_words_at(uint64_t c)
{
    return _mm256_add_epi64(_mm256_set1_epi64x((long long)c), _mm256_setr_epi64x(0, 2, 1, 3));
}
FASTNN_LOOP fastnn_words fastnn_words_of(uint32_t a) { return _mm256_set1_epi64x((long long)(uint64_t)a); }
FASTNN_LOOP fastnn_words fastnn_words_mul(fastnn_words a, fastnn_words b) { return _mm256_mul_epu32(a, b); }
FASTNN_LOOP fastnn_words fastnn_words_high(fastnn_words a) { return _mm256_srli_epi64(a, 32); }
FASTNN_LOOP fastnn_words fastnn_words_xor(fastnn_words a, fastnn_words b) { return _mm256_xor_si256(a, b); }
FASTNN_LOOP fastnn_words fastnn_words_pair(fastnn_words a, fastnn_words b)
{
    return _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa);
}
FASTNN_LOOP void fastnn_words_put(fastnn_words x, fastnn_words y, uint32_t *words)
{
    _mm256_storeu_si256((__m256i *)words, _mm256_unpacklo_epi64(x, y));
    _mm256_storeu_si256((__m256i *)(words + 8), _mm256_unpackhi_epi64(x, y));
}
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define FASTNN_LANES 2
typedef __m128i fastnn_words;
FASTNN_LOOP fastnn_words fastnn_words_at(uint64_t c)
{
    return _mm_add_epi64(_mm_set1_epi64x((long long)c), _mm_set_epi64x(1, 0));
}
FASTNN_LOOP fastnn_words fastnn_words_of(uint32_t a) { return _mm_set1_epi64x((long long)(uint64_t)a); }
FASTNN_LOOP fastnn_words fastnn_words_mul(fastnn_words a, fastnn_words b) { return _mm_mul_epu32(a, b); }
FASTNN_LOOP fastnn_words fastnn_words_high(fastnn_words a) { return _mm_srli_epi64(a, 32); }
FASTNN_LOOP fastnn_words fastnn_words_xor(fastnn_words a, fastnn_words b) { return _mm_xor_si128(a, b); }
FASTNN_LOOP fastnn_words fastnn_words_pair(fastnn_words a, fastnn_words b)
{
    return _mm_or_si128(_mm_and_si128(a, _mm_set1_epi64x(0xffffffffLL)), _mm_slli_epi64(b, 32));
}
FASTNN_LOOP void fastnn_words_put(fastnn_words x, fastnn_words y, uint32_t *words)
{
    _mm_storeu_si128((__m128i *)words, _mm_unpacklo_epi64(x, y));
    _mm_storeu_si128((__m128i *)(words + 4), _mm_unpackhi_epi64(x, y));
}
#endif

/* The words of counters (c, stream) to (c + 15, stream). */
FASTNN_LOOP void fastnn_philox(uint64_t key, uint64_t c, uint32_t stream, uint32_t *words)
{
#ifdef FASTNN_LANES
    const fastnn_words by_a = fastnn_words_of(FASTNN_PHILOX_A), by_c = fastnn_words_of(FASTNN_PHILOX_C);
    for (int at = 0; at < FASTNN_MASK_COUNTERS; at += FASTNN_LANES, words += 4 * FASTNN_LANES) {
        fastnn_words a = fastnn_words_at(c + (uint64_t)at), b = fastnn_words_high(a), d = fastnn_words_of(0);
        fastnn_words e = fastnn_words_of(stream);
        uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
        for (int round = 0; round < 10; round++) {
            fastnn_words p = fastnn_words_mul(a, by_a), q = fastnn_words_mul(e, by_c);
            a = fastnn_words_xor(fastnn_words_xor(fastnn_words_high(q), b), fastnn_words_of(key0));
            e = fastnn_words_xor(fastnn_words_xor(fastnn_words_high(p), d), fastnn_words_of(key1));
            b = q;
            d = p;
            key0 += FASTNN_PHILOX_KEY0;
            key1 += FASTNN_PHILOX_KEY1;
        }
        fastnn_words_put(fastnn_words_pair(a, b), fastnn_words_pair(e, d), words);
    }
#else
    for (int at = 0; at < FASTNN_MASK_COUNTERS; at++)
        fastnn_philox_one(key, c + (uint64_t)at, stream, words + 4 * at);
#endif
}

/* The elements first to first + 127, first a multiple of 128. */
FASTNN_LOOP void fastnn_mask_block(uint64_t key, uint64_t least, uint64_t first, unsigned char *mask)
{
    const uint16_t top = (uint16_t)(least >> 32);
    const uint32_t rest = (uint32_t)least;
    uint32_t words[FASTNN_MASK_BLOCK / 2];
    uint16_t halves[FASTNN_MASK_BLOCK];
    fastnn_philox(key, first / 8, 0, words);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (int i = 0; i < FASTNN_MASK_BLOCK / 2; i++)
        words[i] = words[i] >> 16 | words[i] << 16;
#endif
    memcpy(halves, words, sizeof halves);
    for (int i = 0; i < FASTNN_MASK_BLOCK; i++)
        mask[i] = halves[i] >= top;
    if (rest) {
        int equal = 0;
        for (int i = 0; i < FASTNN_MASK_BLOCK; i++)
            equal |= halves[i] == top;
        if (equal)
            for (int i = 0; i < FASTNN_MASK_BLOCK; i++)
                if (halves[i] == top) {
                    fastnn_philox_one(key, (first + (uint64_t)i) / 4, 1, words);
                    mask[i] = words[(first + (uint64_t)i) % 4] >= rest;
                }
    }
}

/* fastnn_masked_*: x times the mask, into `out`, which may be x.
   fastnn_mask_*: the mask of elements first to first + n, first a multiple of 128, and x times it. */
#define FASTNN_MASKS_OF(T)                                                                                             \
static void fastnn_masked_##T(const void *from, const unsigned char *mask, void *to, ptrdiff_t n)                      \
{                                                                                                                      \
    const T *x = (const T *)from;                                                                                      \
    T *out = (T *)to;                                                                                                  \
    if (x == out)                                                                                                      \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            out[i] *= (T)mask[i];                                                                                      \
    else                                                                                                               \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            out[i] = x[i] * (T)mask[i];                                                                                \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_mask_##T(uint64_t key, uint64_t least, uint64_t first, const void *from, unsigned char *mask,       \
                            void *to, ptrdiff_t n)                                                                     \
{                                                                                                                      \
    const T *x = (const T *)from;                                                                                      \
    T *out = (T *)to;                                                                                                  \
    unsigned char room[FASTNN_MASK_BLOCK];                                                                             \
    for (; n > 0; n -= FASTNN_MASK_BLOCK) {                                                                            \
        const ptrdiff_t here = n < FASTNN_MASK_BLOCK ? n : FASTNN_MASK_BLOCK;                                          \
        fastnn_mask_block(key, least, first, here < FASTNN_MASK_BLOCK ? room : mask);                                  \
        if (here < FASTNN_MASK_BLOCK)                                                                                  \
            memcpy(mask, room, (size_t)here);                                                                          \
        fastnn_masked_##T(x, mask, out, here);                                                                         \
        first += FASTNN_MASK_BLOCK;                                                                                    \
        x += FASTNN_MASK_BLOCK;                                                                                        \
        mask += FASTNN_MASK_BLOCK;                                                                                     \
        out += FASTNN_MASK_BLOCK;                                                                                      \
    }                                                                                                                  \
}

FASTNN_MASKS_OF(float)
FASTNN_MASKS_OF(double)

static void fastnn_random_words(uint64_t key, uint64_t counter, uint32_t stream, uint32_t *words)
{
    fastnn_philox(key, counter, stream, words);
}

#endif
