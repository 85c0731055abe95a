/* Small matrices turned - columns that lie in one piece become rows, and back - and rows read in steps of 2 and -1. */

#ifndef FASTNN_TURNING_H
#define FASTNN_TURNING_H

#include <stddef.h>

#if defined(__SSE2__) || defined(_M_X64)

#include <emmintrin.h>

enum { FASTNN_TURNED_FLOATS = 4, FASTNN_TURNED_DOUBLES = 2 };

/* So many columns of as many elements; `step` and `out_step` are elements from one column (row) to the next. */
static inline void fastnn_turn_floats(const float *x, ptrdiff_t step, float *out, ptrdiff_t out_step)
{
    __m128 a = _mm_loadu_ps(x), b = _mm_loadu_ps(x + step), c = _mm_loadu_ps(x + 2 * step),
           d = _mm_loadu_ps(x + 3 * step);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(out, a);
    _mm_storeu_ps(out + out_step, b);
    _mm_storeu_ps(out + 2 * out_step, c);
    _mm_storeu_ps(out + 3 * out_step, d);
}

static inline void fastnn_turn_doubles(const double *x, ptrdiff_t step, double *out, ptrdiff_t out_step)
{
    __m128d a = _mm_loadu_pd(x), b = _mm_loadu_pd(x + step);
    _mm_storeu_pd(out, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(out + out_step, _mm_unpackhi_pd(a, b));
}

/* out[i] = x[2 i], the first of them; how many. What lies behind the last one is not read. */
static inline ptrdiff_t fastnn_second_floats(const float *x, float *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 4 < n; i += 4)
        _mm_storeu_ps(out + i, _mm_shuffle_ps(_mm_loadu_ps(x + 2 * i), _mm_loadu_ps(x + 2 * i + 4), 0x88));
    return i;
}

static inline ptrdiff_t fastnn_second_doubles(const double *x, double *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 2 < n; i += 2)
        _mm_storeu_pd(out + i, _mm_unpacklo_pd(_mm_loadu_pd(x + 2 * i), _mm_loadu_pd(x + 2 * i + 2)));
    return i;
}

/* out[i] = x[-i] likewise. */
static inline ptrdiff_t fastnn_backward_floats(const float *x, float *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m128 a = _mm_loadu_ps(x - i - 3);
        _mm_storeu_ps(out + i, _mm_shuffle_ps(a, a, 0x1b));
    }
    return i;
}

static inline ptrdiff_t fastnn_backward_doubles(const double *x, double *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 2 <= n; i += 2) {
        __m128d a = _mm_loadu_pd(x - i - 1);
        _mm_storeu_pd(out + i, _mm_shuffle_pd(a, a, 1));
    }
    return i;
}

#else

/* Compilers' own SIMD. */
static inline ptrdiff_t fastnn_second_floats(const float *x, float *out, ptrdiff_t n)
{
    (void)x, (void)out, (void)n;
    return 0;
}

static inline ptrdiff_t fastnn_second_doubles(const double *x, double *out, ptrdiff_t n)
{
    (void)x, (void)out, (void)n;
    return 0;
}

#define fastnn_backward_floats fastnn_second_floats
#define fastnn_backward_doubles fastnn_second_doubles

enum { FASTNN_TURNED_FLOATS = 1, FASTNN_TURNED_DOUBLES = 1 };

static inline void fastnn_turn_floats(const float *x, ptrdiff_t step, float *out, ptrdiff_t out_step)
{
    (void)step, (void)out_step;
    *out = *x;
}

static inline void fastnn_turn_doubles(const double *x, ptrdiff_t step, double *out, ptrdiff_t out_step)
{
    (void)step, (void)out_step;
    *out = *x;
}

#endif
#endif
