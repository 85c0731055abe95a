/* Short rows become the columns of a matrix and back, a few rows by a few elements at a time: element by element it
   would cost more than what is then computed.

   step is the length of a line of the matrix. The last few elements of a row are moved twice where n is no multiple. */

#ifndef FASTNN_TURNING_H
#define FASTNN_TURNING_H

#include <stddef.h>

#define FASTNN_TURN_ALL(to, to_row, to_element, from, from_row, from_element, first) \
    for (ptrdiff_t row = (first); row < rows; row++) \
        for (ptrdiff_t i = 0; i < n; i++) \
            (to)[row * (to_row) + i * (to_element)] = (from)[row * (from_row) + i * (from_element)]

#if defined(__SSE2__) || defined(_M_X64)

#include <emmintrin.h>

static inline void fastnn_turn_block_float(const float *from, ptrdiff_t from_step, float *to, ptrdiff_t to_step)
{
    __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_step), c = _mm_loadu_ps(from + 2 * from_step),
           d = _mm_loadu_ps(from + 3 * from_step);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(to, a);
    _mm_storeu_ps(to + to_step, b);
    _mm_storeu_ps(to + 2 * to_step, c);
    _mm_storeu_ps(to + 3 * to_step, d);
}

static inline void fastnn_turn_block_double(const double *from, ptrdiff_t from_step, double *to, ptrdiff_t to_step)
{
    __m128d a = _mm_loadu_pd(from), b = _mm_loadu_pd(from + from_step);
    _mm_storeu_pd(to, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(to + to_step, _mm_unpackhi_pd(a, b));
}

#define FASTNN_TURN(real, size) \
    static inline void fastnn_turn_##real(const real *x, ptrdiff_t n, ptrdiff_t rows, real *lanes, ptrdiff_t step) \
    { \
        ptrdiff_t c = 0; \
        if (n >= size) \
            for (; c + size <= rows; c += size) \
                for (ptrdiff_t i = 0; i < n; i += size) { \
                    ptrdiff_t at = i + size <= n ? i : n - size; \
                    fastnn_turn_block_##real(x + c * n + at, n, lanes + at * step + c, step); \
                } \
        FASTNN_TURN_ALL(lanes, 1, step, x, n, 1, c); \
    } \
    static inline void fastnn_turn_back_##real(const real *lanes, ptrdiff_t step, real *out, ptrdiff_t n, \
                                               ptrdiff_t rows) \
    { \
        ptrdiff_t c = 0; \
        if (n >= size) \
            for (; c + size <= rows; c += size) \
                for (ptrdiff_t i = 0; i < n; i += size) { \
                    ptrdiff_t at = i + size <= n ? i : n - size; \
                    fastnn_turn_block_##real(lanes + at * step + c, step, out + c * n + at, n); \
                } \
        FASTNN_TURN_ALL(out, n, 1, lanes, 1, step, c); \
    }

FASTNN_TURN(float, 4)
FASTNN_TURN(double, 2)

#else

#define FASTNN_TURN(real) \
    static inline void fastnn_turn_##real(const real *x, ptrdiff_t n, ptrdiff_t rows, real *lanes, ptrdiff_t step) \
    { \
        FASTNN_TURN_ALL(lanes, 1, step, x, n, 1, 0); \
    } \
    static inline void fastnn_turn_back_##real(const real *lanes, ptrdiff_t step, real *out, ptrdiff_t n, \
                                               ptrdiff_t rows) \
    { \
        FASTNN_TURN_ALL(out, n, 1, lanes, 1, step, 0); \
    }

FASTNN_TURN(float)
FASTNN_TURN(double)

#endif
#endif
