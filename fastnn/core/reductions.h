/* Sums of numbers and of their squares, in double, to the same bits at every instruction-set level.

   Up to 16 elements side by side belong to 16 sums, and those are added as a fixed tree; nothing depends on how many of
   them a register holds. The square of a float is exact in double and cannot leave its range. Squares of doubles can:
   what cannot be told from them is summed up once more, scaled by a power of two (reductions.pyx). */

#ifndef FASTNN_REDUCTIONS_H
#define FASTNN_REDUCTIONS_H

#include <stddef.h>
#include "stored.h"

enum {
    FASTNN_SUM_BLOCK = 512,         /* elements that have one sum */
    FASTNN_VALUES = 0,
    FASTNN_SQUARES,
    FASTNN_SCALED_SQUARES           /* squares of `factor` times the numbers */
};

/* Four doubles. */
#if defined(__AVX__)
#include <immintrin.h>
typedef __m256d fastnn_quad;
FASTNN_LOOP fastnn_quad fastnn_quad_of(double a, double b, double c, double d) { return _mm256_setr_pd(a, b, c, d); }
FASTNN_LOOP fastnn_quad fastnn_quad_float(const float *x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
FASTNN_LOOP fastnn_quad fastnn_quad_double(const double *x) { return _mm256_loadu_pd(x); }
FASTNN_LOOP fastnn_quad fastnn_quad_add(fastnn_quad a, fastnn_quad b) { return _mm256_add_pd(a, b); }
FASTNN_LOOP fastnn_quad fastnn_quad_mul(fastnn_quad a, fastnn_quad b) { return _mm256_mul_pd(a, b); }
FASTNN_LOOP double fastnn_quad_sum(fastnn_quad a)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(s) + _mm_cvtsd_f64(_mm_unpackhi_pd(s, s));
}
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
typedef struct { __m128d low, high; } fastnn_quad;
FASTNN_LOOP fastnn_quad fastnn_pair(__m128d low, __m128d high) { fastnn_quad q; q.low = low; q.high = high; return q; }
FASTNN_LOOP fastnn_quad fastnn_quad_of(double a, double b, double c, double d)
{
    return fastnn_pair(_mm_setr_pd(a, b), _mm_setr_pd(c, d));
}
FASTNN_LOOP fastnn_quad fastnn_quad_float(const float *x)
{
    __m128 v = _mm_loadu_ps(x);
    return fastnn_pair(_mm_cvtps_pd(v), _mm_cvtps_pd(_mm_movehl_ps(v, v)));
}
FASTNN_LOOP fastnn_quad fastnn_quad_double(const double *x)
{
    return fastnn_pair(_mm_loadu_pd(x), _mm_loadu_pd(x + 2));
}
FASTNN_LOOP fastnn_quad fastnn_quad_add(fastnn_quad a, fastnn_quad b)
{
    return fastnn_pair(_mm_add_pd(a.low, b.low), _mm_add_pd(a.high, b.high));
}
FASTNN_LOOP fastnn_quad fastnn_quad_mul(fastnn_quad a, fastnn_quad b)
{
    return fastnn_pair(_mm_mul_pd(a.low, b.low), _mm_mul_pd(a.high, b.high));
}
FASTNN_LOOP double fastnn_quad_sum(fastnn_quad a)
{
    __m128d s = _mm_add_pd(a.low, a.high);
    return _mm_cvtsd_f64(s) + _mm_cvtsd_f64(_mm_unpackhi_pd(s, s));
}
#else
typedef struct { double a, b, c, d; } fastnn_quad;
FASTNN_LOOP fastnn_quad fastnn_quad_of(double a, double b, double c, double d)
{
    fastnn_quad q;
    q.a = a; q.b = b; q.c = c; q.d = d;
    return q;
}
FASTNN_LOOP fastnn_quad fastnn_quad_float(const float *x)
{
    return fastnn_quad_of((double)x[0], (double)x[1], (double)x[2], (double)x[3]);
}
FASTNN_LOOP fastnn_quad fastnn_quad_double(const double *x) { return fastnn_quad_of(x[0], x[1], x[2], x[3]); }
FASTNN_LOOP fastnn_quad fastnn_quad_add(fastnn_quad p, fastnn_quad q)
{
    return fastnn_quad_of(p.a + q.a, p.b + q.b, p.c + q.c, p.d + q.d);
}
FASTNN_LOOP fastnn_quad fastnn_quad_mul(fastnn_quad p, fastnn_quad q)
{
    return fastnn_quad_of(p.a * q.a, p.b * q.b, p.c * q.c, p.d * q.d);
}
FASTNN_LOOP double fastnn_quad_sum(fastnn_quad q) { return (q.a + q.c) + (q.b + q.d); }
#endif

FASTNN_LOOP fastnn_quad fastnn_quad_term(fastnn_quad v, int what, double factor)
{
    if (what == FASTNN_SCALED_SQUARES)
        v = fastnn_quad_mul(v, fastnn_quad_of(factor, factor, factor, factor));
    return what == FASTNN_VALUES ? v : fastnn_quad_mul(v, v);
}

FASTNN_LOOP double fastnn_term(double v, int what, double factor)
{
    if (what == FASTNN_SCALED_SQUARES)
        v *= factor;
    return what == FASTNN_VALUES ? v : v * v;
}

#define FASTNN_TERM(T, at) fastnn_quad_term(fastnn_quad_##T(at), what, factor)
#define FASTNN_ADD(to, T, at) to = fastnn_quad_add(to, FASTNN_TERM(T, at))
#define FASTNN_ADD_TWO(to, T, at)                                                                                      \
    to = fastnn_quad_add(to, fastnn_quad_add(FASTNN_TERM(T, at), FASTNN_TERM(T, (at) + 16)))

/* fastnn_block_sums_*: the sum of each block of x, and one for x of no elements. Fewer than 16 in the end are
   whole quads and one filled up with zeros.
   fastnn_add_rows_*: each column of a matrix, whose rows are `stride` apart, added to its element of `sums`.
   fastnn_scale_*: x times factor, in place.
   fastnn_block_dot_*: the inner product of two blocks of up to FASTNN_SUM_BLOCK elements. */
#define FASTNN_REDUCTIONS_OF(T)                                                                                        \
FASTNN_LOOP double fastnn_block_sum_##T(const T *x, ptrdiff_t n, int what, double factor)                              \
{                                                                                                                      \
    fastnn_quad a = fastnn_quad_of(0, 0, 0, 0), b = a, c = a, d = a, last = a;                                         \
    const T *end = x + n;                                                                                              \
    for (; end - x >= 32; x += 32) {                                                                                   \
        FASTNN_ADD_TWO(a, T, x);                                                                                       \
        FASTNN_ADD_TWO(b, T, x + 4);                                                                                   \
        FASTNN_ADD_TWO(c, T, x + 8);                                                                                   \
        FASTNN_ADD_TWO(d, T, x + 12);                                                                                  \
    }                                                                                                                  \
    if (end - x >= 16) {                                                                                               \
        FASTNN_ADD(a, T, x);                                                                                           \
        FASTNN_ADD(b, T, x + 4);                                                                                       \
        FASTNN_ADD(c, T, x + 8);                                                                                       \
        FASTNN_ADD(d, T, x + 12);                                                                                      \
        x += 16;                                                                                                       \
    }                                                                                                                  \
    if (n & 3) {                                                                                                       \
        const T *rest = end - (n & 3);                                                                                 \
        last = fastnn_quad_of((double)rest[0], n & 2 ? (double)rest[1] : 0, n & 1 && n & 2 ? (double)rest[2] : 0, 0);  \
        last = fastnn_quad_term(last, what, factor);                                                                   \
    }                                                                                                                  \
    if (end - x < 4) {                                                                                                 \
        a = fastnn_quad_add(a, last);                                                                                  \
    } else {                                                                                                           \
        FASTNN_ADD(a, T, x);                                                                                           \
        if (end - x < 8) {                                                                                             \
            b = fastnn_quad_add(b, last);                                                                              \
        } else {                                                                                                       \
            FASTNN_ADD(b, T, x + 4);                                                                                   \
            if (end - x < 12) {                                                                                        \
                c = fastnn_quad_add(c, last);                                                                          \
            } else {                                                                                                   \
                FASTNN_ADD(c, T, x + 8);                                                                               \
                d = fastnn_quad_add(d, last);                                                                          \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    return fastnn_quad_sum(fastnn_quad_add(fastnn_quad_add(a, c), fastnn_quad_add(b, d)));                             \
}                                                                                                                      \
                                                                                                                       \
FASTNN_LOOP void fastnn_sums_of_blocks_##T(const T *x, ptrdiff_t n, int what, double factor, double *sums)             \
{                                                                                                                      \
    for (; n > FASTNN_SUM_BLOCK; n -= FASTNN_SUM_BLOCK, x += FASTNN_SUM_BLOCK)                                         \
        *sums++ = fastnn_block_sum_##T(x, FASTNN_SUM_BLOCK, what, factor);                                             \
    *sums = fastnn_block_sum_##T(x, n, what, factor);                                                                  \
}                                                                                                                      \
                                                                                                                       \
static inline void fastnn_block_sums_##T(const void *numbers, ptrdiff_t n, int what, double factor, double *sums)      \
{                                                                                                                      \
    const T *x = (const T *)numbers;                                                                                   \
    if (what == FASTNN_SQUARES)                                                                                        \
        fastnn_sums_of_blocks_##T(x, n, FASTNN_SQUARES, factor, sums);                                                 \
    else if (what == FASTNN_VALUES)                                                                                    \
        fastnn_sums_of_blocks_##T(x, n, FASTNN_VALUES, factor, sums);                                                  \
    else                                                                                                               \
        fastnn_sums_of_blocks_##T(x, n, FASTNN_SCALED_SQUARES, factor, sums);                                          \
}                                                                                                                      \
                                                                                                                       \
FASTNN_LOOP void fastnn_rows_added_##T(const T *x, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t columns, int what,      \
                                       double factor, double *FASTNN_RESTRICT sums)                                    \
{                                                                                                                      \
    for (; rows >= 4; rows -= 4, x += 4 * stride) {                                                                    \
        const T *second = x + stride, *third = x + 2 * stride, *fourth = x + 3 * stride;                               \
        for (ptrdiff_t i = 0; i < columns; i++)                                                                        \
            sums[i] += (fastnn_term((double)x[i], what, factor) + fastnn_term((double)third[i], what, factor))         \
                     + (fastnn_term((double)second[i], what, factor) + fastnn_term((double)fourth[i], what, factor));  \
    }                                                                                                                  \
    for (; rows > 0; rows--, x += stride)                                                                              \
        for (ptrdiff_t i = 0; i < columns; i++)                                                                        \
            sums[i] += fastnn_term((double)x[i], what, factor);                                                        \
}                                                                                                                      \
                                                                                                                       \
static inline void fastnn_add_rows_##T(const void *numbers, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t columns,       \
                                       int what, double factor, double *sums)                                          \
{                                                                                                                      \
    const T *x = (const T *)numbers;                                                                                   \
    if (what == FASTNN_SQUARES)                                                                                        \
        fastnn_rows_added_##T(x, rows, stride, columns, FASTNN_SQUARES, factor, sums);                                 \
    else if (what == FASTNN_VALUES)                                                                                    \
        fastnn_rows_added_##T(x, rows, stride, columns, FASTNN_VALUES, factor, sums);                                  \
    else                                                                                                               \
        fastnn_rows_added_##T(x, rows, stride, columns, FASTNN_SCALED_SQUARES, factor, sums);                          \
}                                                                                                                      \
                                                                                                                       \
FASTNN_LOOP fastnn_quad fastnn_products_##T(const T *x, const T *y, fastnn_quad to)                                    \
{                                                                                                                      \
    return fastnn_quad_add(to, fastnn_quad_mul(fastnn_quad_##T(x), fastnn_quad_##T(y)));                               \
}                                                                                                                      \
                                                                                                                       \
static inline double fastnn_block_dot_##T(const void *of, const void *with, ptrdiff_t n)                               \
{                                                                                                                      \
    const T *x = (const T *)of, *y = (const T *)with;                                                                  \
    fastnn_quad a = fastnn_quad_of(0, 0, 0, 0), b = a, c = a, d = a;                                                   \
    T rest[2][16] = {{0}};                                                                                             \
    for (; n > 0; n -= 16, x += 16, y += 16) {                                                                         \
        if (n < 16) {                                                                                                  \
            for (ptrdiff_t i = 0; i < n; i++) {                                                                        \
                rest[0][i] = x[i];                                                                                     \
                rest[1][i] = y[i];                                                                                     \
            }                                                                                                          \
            x = rest[0];                                                                                               \
            y = rest[1];                                                                                               \
        }                                                                                                              \
        a = fastnn_products_##T(x, y, a);                                                                              \
        b = fastnn_products_##T(x + 4, y + 4, b);                                                                      \
        c = fastnn_products_##T(x + 8, y + 8, c);                                                                      \
        d = fastnn_products_##T(x + 12, y + 12, d);                                                                    \
    }                                                                                                                  \
    return fastnn_quad_sum(fastnn_quad_add(fastnn_quad_add(a, c), fastnn_quad_add(b, d)));                             \
}                                                                                                                      \
                                                                                                                       \
static inline void fastnn_scale_##T(void *numbers, ptrdiff_t n, double factor)                                         \
{                                                                                                                      \
    T *x = (T *)numbers;                                                                                               \
    const T by = (T)factor;                                                                                            \
    for (ptrdiff_t i = 0; i < n; i++)                                                                                  \
        x[i] *= by;                                                                                                    \
}

FASTNN_REDUCTIONS_OF(float)
FASTNN_REDUCTIONS_OF(double)

#endif
