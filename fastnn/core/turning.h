/* Small matrices turned: columns that lie in one piece become rows, and back. */

#ifndef FASTNN_TURNING_H
#define FASTNN_TURNING_H

#include <stddef.h>

#if defined(__SSE2__) || defined(_M_X64)

#include <emmintrin.h>
#include <xmmintrin.h>

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

#else

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
