/* Reduced-precision storage: converts a block to float and back.

   Half precision (parameters and gradients of users) lies in the order of its elements and is rounded to nearest even.

   Optimizer state is rounded up or down at random, so that the mean over many steps is right and a small change of a
   large number is not lost. The random number of an element is a Weyl sequence, `random` + index * WEYL, whose high and
   low bits are used; `random` changes with every step and slot. A word of 32 bits holds elements from all halves
   (quarters) of its block: element i of n is in word i % (n / 2) (or n / 4), low bits first. Loops over words need no
   narrowing and no shuffling; compilers make plain SIMD of them.

   bfloat16: the upper half of a float.
   int8, linear: code - 128 times `scale`, the largest magnitude of the block over 127, which therefore is a code itself.
   int8, logarithmic, for numbers from 0: the upper 12 bits of a float (16 numbers an octave), as a distance from those
   of `scale`, the block's maximum rounded up to such a number, which has the code 255; what is below code 1, 2^-15.9 of
   the maximum, counts as that. The codes that there are do not depend on the maximum, so nothing is rounded anew
   when it changes.
   In both, code 0 is NaN, also for infinity; blocks that contain it have a negative scale, the others need not look. In
   a block of scale 0 everything is 0. */

#ifndef FASTNN_STORED_H
#define FASTNN_STORED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __F16C__
#include <immintrin.h>
#endif

/* Loops are inlined into the rule that they stand around, so that nothing is set up twice; rare cases are not. */
#if defined(_MSC_VER)
  #define FASTNN_RESTRICT __restrict
  #define FASTNN_LOOP static __forceinline
  #define FASTNN_RARE static __declspec(noinline)
#else
  #define FASTNN_RESTRICT __restrict__
  #define FASTNN_LOOP static inline __attribute__((always_inline))
  #define FASTNN_RARE static __attribute__((noinline, unused))
#endif

enum {
    FASTNN_LOG_SHIFT = 19,                      /* bits of a float that a logarithmic code leaves out */
    FASTNN_LOG_ONE = 1 << FASTNN_LOG_SHIFT,
    FASTNN_LOG_SPAN = 255 << FASTNN_LOG_SHIFT,  /* from code 0 to code 255 */
    FASTNN_LOG_TOP = 0x7f780000,                /* the largest finite number that is a code */
    FASTNN_LINEAR_LEAST = 0x0d800000            /* 2^-100: a block of smaller numbers counts as zeros */
};

#define FASTNN_INFINITY_BITS 0x7f800000
#define FASTNN_WEYL 0x9e349e37u                 /* golden ratio times 2^32, and nearly so in the low 19 and 16 bits */

FASTNN_LOOP uint32_t fastnn_bits(float x) { uint32_t b; memcpy(&b, &x, sizeof b); return b; }
FASTNN_LOOP float fastnn_float(uint32_t b) { float x; memcpy(&x, &b, sizeof x); return x; }

/* Half precision: the processor's instructions, or integers alone, but for subnormal halves, where a float's rounding does
   the work. NaN keeps its upper bits, and is quiet. */

#ifdef __F16C__

static inline void fastnn_load_float16(const void *from, float *FASTNN_RESTRICT out, ptrdiff_t n)
{
    const uint16_t *FASTNN_RESTRICT x = (const uint16_t *)from;
    const ptrdiff_t whole = n & -16;
    for (ptrdiff_t i = 0; i < whole; i += 16) {
#ifdef __AVX512F__
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + i))));
#else
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
        _mm256_storeu_ps(out + i + 8, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i + 8))));
#endif
    }
    for (ptrdiff_t i = whole; i < n; i++)
        out[i] = _cvtsh_ss(x[i]);
}

static inline void fastnn_store_float16(const float *FASTNN_RESTRICT x, void *to, ptrdiff_t n)
{
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT };
    uint16_t *FASTNN_RESTRICT out = (uint16_t *)to;
    const ptrdiff_t whole = n & -16;
    for (ptrdiff_t i = 0; i < whole; i += 16) {
#ifdef __AVX512F__
        _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtps_ph(_mm512_loadu_ps(x + i), NEAREST));
#else
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), NEAREST));
        _mm_storeu_si128((__m128i *)(out + i + 8), _mm256_cvtps_ph(_mm256_loadu_ps(x + i + 8), NEAREST));
#endif
    }
    for (ptrdiff_t i = whole; i < n; i++)
        out[i] = _cvtss_sh(x[i], NEAREST);
}

#else

static inline void fastnn_load_float16(const void *from, float *FASTNN_RESTRICT out, ptrdiff_t n)
{
    const uint16_t *FASTNN_RESTRICT x = (const uint16_t *)from;
    const float least_normal = fastnn_float(113u << 23);
    for (int i = 0; i < (int)n; i++) {
        uint32_t magnitude = (uint32_t)(x[i] & 0x7fff) << 13, exponent = magnitude & 0x0f800000u;
        uint32_t normal = magnitude + (exponent == 0x0f800000u ? 224u << 23 : 112u << 23);
        uint32_t subnormal = fastnn_bits(fastnn_float(magnitude + (113u << 23)) - least_normal);
        out[i] = fastnn_float((exponent == 0 ? subnormal : normal) | (uint32_t)(x[i] & 0x8000) << 16);
    }
}

static inline void fastnn_store_float16(const float *FASTNN_RESTRICT x, void *to, ptrdiff_t n)
{
    uint16_t *FASTNN_RESTRICT out = (uint16_t *)to;
    for (int i = 0; i < (int)n; i++) {
        uint32_t b = fastnn_bits(x[i]), m = b & 0x7fffffffu;
        uint32_t subnormal = fastnn_bits(fastnn_float(m) + 0.5f) - (126u << 23);
        uint32_t normal = (m + 0xfff + (m >> 13 & 1) - (112u << 23)) >> 13;
        uint32_t small = 0u - (m < (113u << 23)), large = 0u - (m >= (143u << 23));     /* masks: no SIMD is made */
        uint32_t beyond = 0x7c00u | ((0x200u | (m >> 13 & 0x3ff)) & (0u - (m > FASTNN_INFINITY_BITS)));     /* of choices */
        uint32_t finite = (subnormal & small) | (normal & ~small);
        out[i] = (uint16_t)((finite & ~large) | (beyond & large) | (b >> 16 & 0x8000u));
    }
}

#endif

static inline void fastnn_load_bfloat16(const void *from, float *FASTNN_RESTRICT out, ptrdiff_t n)
{
    const uint16_t *FASTNN_RESTRICT x = (const uint16_t *)from;
    for (int i = 0; i < (int)n; i++)
        out[i] = fastnn_float((uint32_t)x[i] << 16);
}

FASTNN_LOOP uint16_t fastnn_nearest_bfloat16(float x)
{
    uint32_t b = fastnn_bits(x), nearest = b + 0x7fff + (b >> 16 & 1);
    return (uint16_t)(((b & 0x7fffffffu) > FASTNN_INFINITY_BITS ? b | 0x400000u : nearest) >> 16);
}

/* gcc's SIMD of the plain loop takes twice as long. */
static inline void fastnn_store_bfloat16(const float *FASTNN_RESTRICT x, void *to, ptrdiff_t n)
{
    uint16_t *FASTNN_RESTRICT out = (uint16_t *)to;
    ptrdiff_t i = 0;
#ifdef __F16C__
    const __m256i below_half = _mm256_set1_epi32(0x7fff), one = _mm256_set1_epi32(1);
    for (; i < (n & -16); i += 16) {
        __m256 first = _mm256_loadu_ps(x + i), second = _mm256_loadu_ps(x + i + 8);
        __m256i a = _mm256_castps_si256(first), b = _mm256_castps_si256(second);
        if (_mm256_movemask_ps(_mm256_cmp_ps(first, second, _CMP_UNORD_Q))) {       /* NaN */
            for (int k = 0; k < 16; k++)
                out[i + k] = fastnn_nearest_bfloat16(x[i + k]);
            continue;
        }
        a = _mm256_add_epi32(_mm256_add_epi32(a, below_half), _mm256_and_si256(_mm256_srli_epi32(a, 16), one));
        b = _mm256_add_epi32(_mm256_add_epi32(b, below_half), _mm256_and_si256(_mm256_srli_epi32(b, 16), one));
        a = _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_permute4x64_epi64(a, 0xd8));
    }
#endif
    for (; i < n; i++)
        out[i] = fastnn_nearest_bfloat16(x[i]);
}

/* State in bfloat16; n is a multiple of 16. */

FASTNN_LOOP void fastnn_load_state_bfloat16(const void *from, const float *scale, float *FASTNN_RESTRICT out, ptrdiff_t n)
{
    const uint32_t *FASTNN_RESTRICT words = (const uint32_t *)from;
    const int half = (int)(n >> 1);
    float *FASTNN_RESTRICT second = out + half;
    (void)scale;
    for (int i = 0; i < (half & -8); i++) {
        out[i] = fastnn_float(words[i] << 16);
        second[i] = fastnn_float(words[i] & 0xffff0000u);
    }
}

/* NaN keeps its bits: with a carry it might become a number. */
FASTNN_LOOP uint32_t fastnn_rounded(float x, uint32_t r) { return fastnn_bits(x) + (x == x ? r : 0u); }

FASTNN_LOOP void fastnn_store_state_bfloat16(const float *FASTNN_RESTRICT x, void *to, float *scale, ptrdiff_t n,
                                        uint32_t random, int32_t largest)
{
    uint32_t *FASTNN_RESTRICT words = (uint32_t *)to;
    const int half = (int)(n >> 1);
    const float *FASTNN_RESTRICT second = x + half;
    (void)scale;
    (void)largest;
    for (int i = 0; i < (half & -8); i++) {
        words[i] = fastnn_rounded(x[i], random >> 16) >> 16
                 | (fastnn_rounded(second[i], random & 0xffff) & 0xffff0000u);
        random += FASTNN_WEYL;
    }
}

/* State in int8; n is a multiple of 32, `largest` what fastnn_larger makes of the block. */

FASTNN_LOOP float fastnn_from_linear(uint32_t code, float scale)
{
    return (fastnn_float(code | 0x4b000000u) - 8388736.0f) * scale;     /* 2^23 + code - (2^23 + 128) */
}

/* x / scale + 128 in the bits from the 15th on: from 256 to 512 a float has 15 bits behind the point. */
FASTNN_LOOP uint32_t fastnn_to_linear(float x, float inverse, uint32_t r)
{
    return (fastnn_bits(x * inverse + 384.0f) + r) & 0x7f8000u;
}

FASTNN_LOOP uint32_t fastnn_to_log(float x, int32_t base, uint32_t r)
{
    int32_t above = (int32_t)fastnn_bits(x) - base;
    return ((uint32_t)(above < FASTNN_LOG_ONE ? FASTNN_LOG_ONE : above) + r) >> FASTNN_LOG_SHIFT;
}

/* The larger of `largest`, the bits of a magnitude, and those of x's; NaN is above infinity. */
FASTNN_LOOP int32_t fastnn_larger(int32_t largest, float x)
{
    int32_t b = (int32_t)(fastnn_bits(x) & 0x7fffffffu);
    return b > largest ? b : largest;
}

FASTNN_RARE int32_t fastnn_largest_finite_bits(const float *x, int n)
{
    int32_t largest = 0;
    for (int i = 0; i < n; i++) {
        int32_t b = (int32_t)(fastnn_bits(x[i]) & 0x7fffffffu);
        if (b < FASTNN_INFINITY_BITS && b > largest)
            largest = b;
    }
    return largest;
}

/* Blocks with a NaN, or with numbers at the end of the range; rare, and one element at a time. */

FASTNN_LOOP uint32_t fastnn_code_at(const uint32_t *words, int n, int i)
{
    return words[i % (n >> 2)] >> 8 * (i / (n >> 2)) & 0xff;
}

static inline void fastnn_put_code(uint32_t *words, int n, int i, uint32_t code)
{
    int shift = 8 * (i / (n >> 2));
    uint32_t *word = words + i % (n >> 2);
    *word = (*word & ~(0xffu << shift)) | code << shift;
}

FASTNN_LOOP int fastnn_is_finite(float x)
{
    return (int32_t)(fastnn_bits(x) & 0x7fffffffu) < FASTNN_INFINITY_BITS;
}

FASTNN_RARE void fastnn_load_rare_linear(const uint32_t *words, float step, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t code = fastnn_code_at(words, n, i);
        out[i] = code ? fastnn_from_linear(code, step) : fastnn_float(0x7fc00000u);
    }
}

FASTNN_RARE void fastnn_store_rare_linear(const float *x, uint32_t *words, float inverse, int n, uint32_t random)
{
    for (int i = 0; i < n; i++) {
        uint32_t r = (random + (uint32_t)i * FASTNN_WEYL) >> 17;
        fastnn_put_code(words, n, i, fastnn_is_finite(x[i]) ? fastnn_to_linear(x[i], inverse, r) >> 15 : 0);
    }
}

FASTNN_RARE void fastnn_load_rare_log(const uint32_t *words, uint32_t base, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t code = fastnn_code_at(words, n, i);
        out[i] = fastnn_float(code ? (code << FASTNN_LOG_SHIFT) + base : 0x7fc00000u);
    }
}

FASTNN_RARE void fastnn_store_rare_log(const float *x, uint32_t *words, int32_t base, int n, uint32_t random)
{
    for (int i = 0; i < n; i++) {
        uint32_t code = fastnn_to_log(x[i], base, (random + (uint32_t)i * FASTNN_WEYL) & (FASTNN_LOG_ONE - 1));
        fastnn_put_code(words, n, i, fastnn_is_finite(x[i]) ? (code > 255 ? 255 : code) : 0);
    }
}

FASTNN_LOOP void fastnn_load_linear(const void *from, const float *scale, float *FASTNN_RESTRICT out, ptrdiff_t length)
{
    const uint32_t *FASTNN_RESTRICT words = (const uint32_t *)from;
    const int n = (int)length, quarter = n >> 2;
    const float step = *scale;
    float *FASTNN_RESTRICT b = out + quarter;
    float *FASTNN_RESTRICT c = out + 2 * quarter;
    float *FASTNN_RESTRICT d = out + 3 * quarter;
    if (fastnn_bits(step) >> 31) {
        fastnn_load_rare_linear(words, -step, out, n);
        return;
    }
    if (fastnn_bits(step) == 0) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    for (int i = 0; i < (quarter & -8); i++) {
        uint32_t word = words[i];
        out[i] = fastnn_from_linear(word & 0xff, step);
        b[i] = fastnn_from_linear(word >> 8 & 0xff, step);
        c[i] = fastnn_from_linear(word >> 16 & 0xff, step);
        d[i] = fastnn_from_linear(word >> 24, step);
    }
}

FASTNN_LOOP void fastnn_store_linear(const float *FASTNN_RESTRICT x, void *to, float *scale, ptrdiff_t length,
                                       uint32_t random, int32_t largest)
{
    uint32_t *FASTNN_RESTRICT words = (uint32_t *)to;
    const int n = (int)length, quarter = n >> 2;
    const float *FASTNN_RESTRICT b = x + quarter;
    const float *FASTNN_RESTRICT c = x + 2 * quarter;
    const float *FASTNN_RESTRICT d = x + 3 * quarter;
    const uint32_t skip = (uint32_t)quarter * FASTNN_WEYL;
    int special = largest >= FASTNN_INFINITY_BITS;
    float step = 0, inverse = 0;
    if (special)
        largest = fastnn_largest_finite_bits(x, n);
    if (largest >= FASTNN_LINEAR_LEAST) {
        step = fastnn_float((uint32_t)largest) / 127.0f;
        inverse = 127.0f / fastnn_float((uint32_t)largest);
        if (!fastnn_is_finite(127.0f * step))           /* rounded up, next to the largest float */
            step = fastnn_float(fastnn_bits(step) - 1);
    }
    *scale = special ? -step : step;
    if (special) {
        fastnn_store_rare_linear(x, words, inverse, n, random);
        return;
    }
    for (int i = 0; i < (quarter & -8); i++) {
        words[i] = fastnn_to_linear(x[i], inverse, random >> 17) >> 15
                 | fastnn_to_linear(b[i], inverse, (random + skip) >> 17) >> 7
                 | fastnn_to_linear(c[i], inverse, (random + 2 * skip) >> 17) << 1
                 | fastnn_to_linear(d[i], inverse, (random + 3 * skip) >> 17) << 9;
        random += FASTNN_WEYL;
    }
}

FASTNN_LOOP void fastnn_load_log(const void *from, const float *scale, float *FASTNN_RESTRICT out, ptrdiff_t length)
{
    const uint32_t *FASTNN_RESTRICT words = (const uint32_t *)from;
    const int n = (int)length, quarter = n >> 2;
    const uint32_t top = fastnn_bits(*scale), base = (top & 0x7fffffffu) - FASTNN_LOG_SPAN, mask = FASTNN_LOG_SPAN;
    float *FASTNN_RESTRICT b = out + quarter;
    float *FASTNN_RESTRICT c = out + 2 * quarter;
    float *FASTNN_RESTRICT d = out + 3 * quarter;
    if (top >> 31) {
        fastnn_load_rare_log(words, base, out, n);
        return;
    }
    if (top == 0) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    for (int i = 0; i < (quarter & -8); i++) {
        uint32_t word = words[i];
        out[i] = fastnn_float((word << FASTNN_LOG_SHIFT & mask) + base);
        b[i] = fastnn_float((word << (FASTNN_LOG_SHIFT - 8) & mask) + base);
        c[i] = fastnn_float((word << (FASTNN_LOG_SHIFT - 16) & mask) + base);
        d[i] = fastnn_float((word >> (24 - FASTNN_LOG_SHIFT) & mask) + base);
    }
}

FASTNN_LOOP void fastnn_store_log(const float *FASTNN_RESTRICT x, void *to, float *scale, ptrdiff_t length,
                                    uint32_t random, int32_t largest)
{
    uint32_t *FASTNN_RESTRICT words = (uint32_t *)to;
    const int n = (int)length, quarter = n >> 2;
    const float *FASTNN_RESTRICT b = x + quarter;
    const float *FASTNN_RESTRICT c = x + 2 * quarter;
    const float *FASTNN_RESTRICT d = x + 3 * quarter;
    const uint32_t skip = (uint32_t)quarter * FASTNN_WEYL, low = FASTNN_LOG_ONE - 1;
    int32_t top, base;
    int special = largest > FASTNN_LOG_TOP;
    if (special)
        largest = fastnn_largest_finite_bits(x, n);
    if (largest == 0 && !special) {
        *scale = 0;
        memset(words, 0, n);
        return;
    }
    top = largest > FASTNN_LOG_TOP ? FASTNN_LOG_TOP : (int32_t)(((uint32_t)largest + low) & ~low);
    if (top < FASTNN_LOG_SPAN)
        top = FASTNN_LOG_SPAN;
    base = top - FASTNN_LOG_SPAN;
    *scale = fastnn_float((uint32_t)top | (special ? 0x80000000u : 0u));
    if (special) {
        fastnn_store_rare_log(x, words, base, n, random);
        return;
    }
    for (int i = 0; i < (quarter & -8); i++) {
        words[i] = fastnn_to_log(x[i], base, random & low)
                 | fastnn_to_log(b[i], base, (random + skip) & low) << 8
                 | fastnn_to_log(c[i], base, (random + 2 * skip) & low) << 16
                 | fastnn_to_log(d[i], base, (random + 3 * skip) & low) << 24;
        random += FASTNN_WEYL;
    }
}

/* `random` of a slot: step and slot well mixed (C. Wellons' lowbias32). */
static inline uint32_t fastnn_random(uint32_t step, uint32_t slot)
{
    uint32_t x = step * 8 + slot;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

#endif
