/* Normalization of the rows of a matrix: LayerNorm (centred) and RMSNorm, in double for either type.

   16 elements side by side belong to 16 sums, which are added as a fixed tree: a row's bits hang on its length alone.
   Mean and variance come from one run over x - x[0], which loses nothing that counts: the mean of its squares is at
   most `columns` times the variance. Turning floats into doubles takes most of the time: gamma and beta are doubles. */

#ifndef FASTNN_ROW_NORMS_H
#define FASTNN_ROW_NORMS_H

#include <math.h>
#include <stddef.h>
#include "reductions.h"

/* Eight doubles. */
#if defined(__AVX512F__)
typedef __m512d fastnn_oct;
FASTNN_LOOP fastnn_oct fastnn_oct_of(double a) { return _mm512_set1_pd(a); }
FASTNN_LOOP fastnn_oct fastnn_oct_float(const float *x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
FASTNN_LOOP fastnn_oct fastnn_oct_double(const double *x) { return _mm512_loadu_pd(x); }
FASTNN_LOOP fastnn_oct fastnn_oct_add(fastnn_oct a, fastnn_oct b) { return _mm512_add_pd(a, b); }
FASTNN_LOOP fastnn_oct fastnn_oct_mul(fastnn_oct a, fastnn_oct b) { return _mm512_mul_pd(a, b); }
FASTNN_LOOP void fastnn_put_float(fastnn_oct a, float *x) { _mm256_storeu_ps(x, _mm512_cvtpd_ps(a)); }
FASTNN_LOOP void fastnn_put_double(fastnn_oct a, double *x) { _mm512_storeu_pd(x, a); }
FASTNN_LOOP void fastnn_stream_float(fastnn_oct a, float *x) { _mm256_stream_ps(x, _mm512_cvtpd_ps(a)); }
FASTNN_LOOP void fastnn_stream_double(fastnn_oct a, double *x) { _mm512_stream_pd(x, a); }
FASTNN_LOOP fastnn_quad fastnn_oct_folded(fastnn_oct a)
{
    return _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
}
#else
typedef struct { fastnn_quad low, high; } fastnn_oct;
FASTNN_LOOP fastnn_oct fastnn_oct_made(fastnn_quad low, fastnn_quad high)
{
    fastnn_oct a;
    a.low = low;
    a.high = high;
    return a;
}
FASTNN_LOOP fastnn_oct fastnn_oct_of(double a)
{
    return fastnn_oct_made(fastnn_quad_of(a, a, a, a), fastnn_quad_of(a, a, a, a));
}
FASTNN_LOOP fastnn_oct fastnn_oct_float(const float *x)
{
    return fastnn_oct_made(fastnn_quad_float(x), fastnn_quad_float(x + 4));
}
FASTNN_LOOP fastnn_oct fastnn_oct_double(const double *x)
{
    return fastnn_oct_made(fastnn_quad_double(x), fastnn_quad_double(x + 4));
}
FASTNN_LOOP fastnn_oct fastnn_oct_add(fastnn_oct a, fastnn_oct b)
{
    return fastnn_oct_made(fastnn_quad_add(a.low, b.low), fastnn_quad_add(a.high, b.high));
}
FASTNN_LOOP fastnn_oct fastnn_oct_mul(fastnn_oct a, fastnn_oct b)
{
    return fastnn_oct_made(fastnn_quad_mul(a.low, b.low), fastnn_quad_mul(a.high, b.high));
}
FASTNN_LOOP fastnn_quad fastnn_oct_folded(fastnn_oct a) { return fastnn_quad_add(a.low, a.high); }
#if defined(__AVX__)
FASTNN_LOOP void fastnn_put_four_floats(fastnn_quad a, float *x) { _mm_storeu_ps(x, _mm256_cvtpd_ps(a)); }
FASTNN_LOOP void fastnn_put_four_doubles(fastnn_quad a, double *x) { _mm256_storeu_pd(x, a); }
FASTNN_LOOP void fastnn_stream_four_floats(fastnn_quad a, float *x) { _mm_stream_ps(x, _mm256_cvtpd_ps(a)); }
FASTNN_LOOP void fastnn_stream_four_doubles(fastnn_quad a, double *x) { _mm256_stream_pd(x, a); }
#elif defined(__SSE2__) || defined(_M_X64)
FASTNN_LOOP void fastnn_put_four_floats(fastnn_quad a, float *x)
{
    _mm_storeu_ps(x, _mm_movelh_ps(_mm_cvtpd_ps(a.low), _mm_cvtpd_ps(a.high)));
}
FASTNN_LOOP void fastnn_put_four_doubles(fastnn_quad a, double *x)
{
    _mm_storeu_pd(x, a.low);
    _mm_storeu_pd(x + 2, a.high);
}
FASTNN_LOOP void fastnn_stream_four_floats(fastnn_quad a, float *x)
{
    _mm_stream_ps(x, _mm_movelh_ps(_mm_cvtpd_ps(a.low), _mm_cvtpd_ps(a.high)));
}
FASTNN_LOOP void fastnn_stream_four_doubles(fastnn_quad a, double *x)
{
    _mm_stream_pd(x, a.low);
    _mm_stream_pd(x + 2, a.high);
}
#else
#define FASTNN_PUT_FOUR(a, x, T) x[0] = (T)a.a, x[1] = (T)a.b, x[2] = (T)a.c, x[3] = (T)a.d
FASTNN_LOOP void fastnn_put_four_floats(fastnn_quad a, float *x) { FASTNN_PUT_FOUR(a, x, float); }
FASTNN_LOOP void fastnn_put_four_doubles(fastnn_quad a, double *x) { FASTNN_PUT_FOUR(a, x, double); }
#define fastnn_stream_four_floats fastnn_put_four_floats
#define fastnn_stream_four_doubles fastnn_put_four_doubles
#endif
FASTNN_LOOP void fastnn_put_float(fastnn_oct a, float *x)
{
    fastnn_put_four_floats(a.low, x);
    fastnn_put_four_floats(a.high, x + 4);
}
FASTNN_LOOP void fastnn_put_double(fastnn_oct a, double *x)
{
    fastnn_put_four_doubles(a.low, x);
    fastnn_put_four_doubles(a.high, x + 4);
}
FASTNN_LOOP void fastnn_stream_float(fastnn_oct a, float *x)
{
    fastnn_stream_four_floats(a.low, x);
    fastnn_stream_four_floats(a.high, x + 4);
}
FASTNN_LOOP void fastnn_stream_double(fastnn_oct a, double *x)
{
    fastnn_stream_four_doubles(a.low, x);
    fastnn_stream_four_doubles(a.high, x + 4);
}
#endif

#if defined(__SSE2__) || defined(_M_X64)
FASTNN_LOOP void fastnn_fetch(const void *x) { _mm_prefetch((const char *)x, _MM_HINT_T1); }
FASTNN_LOOP void fastnn_streamed(void) { _mm_sfence(); }
#else
FASTNN_LOOP void fastnn_fetch(const void *x) { (void)x; }
FASTNN_LOOP void fastnn_streamed(void) {}
#endif

FASTNN_LOOP fastnn_oct fastnn_oct_less(fastnn_oct a, double b) { return fastnn_oct_add(a, fastnn_oct_of(-b)); }
FASTNN_LOOP fastnn_oct fastnn_oct_times(fastnn_oct a, double b) { return fastnn_oct_mul(a, fastnn_oct_of(b)); }
FASTNN_LOOP double fastnn_octs_sum(const fastnn_oct *a)
{
    return fastnn_quad_sum(fastnn_quad_add(fastnn_oct_folded(a[0]), fastnn_oct_folded(a[1])));
}

enum {
    FASTNN_NORM_ROWS = 4,           /* whose shares of the gradients of gamma and beta are added at once */
    FASTNN_NORM_FETCHED = 256       /* columns from which on the next rows are fetched meanwhile, past the cache */
};

/* What is called by address. `statistics` has the mean, 0 unless `centred`, and 1/sqrt(variance + eps) of each row.
   fastnn_norm_rows_*: (x - mean)/sqrt(variance + eps) gamma + beta; beta may be NULL.
   fastnn_norm_rows_back_*: the gradient of x, past the cache if `streaming`, where each row is to begin a cache line;
   those of gamma and, unless NULL, beta are added to `dgamma`, `dbeta`. */
#define FASTNN_ROW_NORMS_OF(T)                                                                                         \
FASTNN_LOOP void fastnn_norm_row_##T(const T *FASTNN_RESTRICT x, const double *FASTNN_RESTRICT gamma,                  \
                                     const double *FASTNN_RESTRICT beta, T *FASTNN_RESTRICT out,                       \
                                     double *FASTNN_RESTRICT statistics, ptrdiff_t columns, double eps, int centred)   \
{                                                                                                                      \
    const ptrdiff_t whole = columns & -16, eights = columns & -8;                                                      \
    const double first = centred ? (double)x[0] : 0, n = (double)columns;                                              \
    double sum = 0, squares = 0, mean, factor;                                                                         \
    fastnn_oct s[2], p[2];                                                                                             \
    s[0] = s[1] = p[0] = p[1] = fastnn_oct_of(0);                                                                      \
    for (ptrdiff_t i = 0; i < whole; i += 16)                                                                          \
        for (int k = 0; k < 2; k++) {                                                                                  \
            fastnn_oct d = fastnn_oct_##T(x + i + 8 * k);                                                              \
            if (centred) {                                                                                             \
                d = fastnn_oct_less(d, first);                                                                         \
                s[k] = fastnn_oct_add(s[k], d);                                                                        \
            }                                                                                                          \
            p[k] = fastnn_oct_add(p[k], fastnn_oct_mul(d, d));                                                         \
        }                                                                                                              \
    for (ptrdiff_t i = whole; i < columns; i++) {                                                                      \
        const double d = (double)x[i] - first;                                                                         \
        sum += d;                                                                                                      \
        squares += d * d;                                                                                              \
    }                                                                                                                  \
    sum = centred ? fastnn_octs_sum(s) + sum : 0;                                                                      \
    squares += fastnn_octs_sum(p);                                                                                     \
    mean = first + sum / n;                                                                                            \
    factor = 1 / sqrt((squares - sum * (sum / n)) / n + eps);                                                          \
    statistics[0] = mean;                                                                                              \
    statistics[1] = factor;                                                                                            \
    for (ptrdiff_t i = 0; i < eights; i += 8) {                                                                        \
        fastnn_oct y = fastnn_oct_times(fastnn_oct_less(fastnn_oct_##T(x + i), mean), factor);                         \
        y = fastnn_oct_mul(y, fastnn_oct_double(gamma + i));                                                           \
        if (beta != NULL)                                                                                              \
            y = fastnn_oct_add(y, fastnn_oct_double(beta + i));                                                        \
        fastnn_put_##T(y, out + i);                                                                                    \
    }                                                                                                                  \
    for (ptrdiff_t i = eights; i < columns; i++) {                                                                     \
        const double y = ((double)x[i] - mean) * factor * gamma[i];                                                    \
        out[i] = (T)(beta != NULL ? y + beta[i] : y);                                                                  \
    }                                                                                                                  \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_norm_rows_##T(const void *matrix, const double *gamma, const double *beta, void *result,            \
                                 double *statistics, ptrdiff_t rows, ptrdiff_t columns, double eps, int centred)       \
{                                                                                                                      \
    for (ptrdiff_t row = 0; row < rows; row++) {                                                                       \
        const T *x = (const T *)matrix + row * columns;                                                                \
        T *out = (T *)result + row * columns;                                                                          \
        if (centred)                                                                                                   \
            fastnn_norm_row_##T(x, gamma, beta, out, statistics + 2 * row, columns, eps, 1);                           \
        else                                                                                                           \
            fastnn_norm_row_##T(x, gamma, beta, out, statistics + 2 * row, columns, eps, 0);                           \
    }                                                                                                                  \
}                                                                                                                      \
                                                                                                                       \
FASTNN_LOOP void fastnn_norm_back_##T(const T *FASTNN_RESTRICT g, const T *FASTNN_RESTRICT x,                          \
                                      const double *FASTNN_RESTRICT gamma, const double *FASTNN_RESTRICT statistics,   \
                                      T *FASTNN_RESTRICT out, double *FASTNN_RESTRICT dgamma,                          \
                                      double *FASTNN_RESTRICT dbeta, const int rows, ptrdiff_t columns, int centred,   \
                                      int streaming)                                                                   \
{                                                                                                                      \
    const ptrdiff_t whole = columns & -16, eights = columns & -8;                                                      \
    double sums[FASTNN_NORM_ROWS], slopes[FASTNN_NORM_ROWS];                                                           \
    for (int row = 0; row < rows; row++) {                                                                             \
        const T *grad = g + row * columns, *own = x + row * columns;                                                   \
        const double mean = statistics[2 * row], factor = statistics[2 * row + 1];                                     \
        double sum = 0, projection = 0;                                                                                \
        fastnn_oct s[2], p[2];                                                                                         \
        s[0] = s[1] = p[0] = p[1] = fastnn_oct_of(0);                                                                  \
        for (ptrdiff_t i = 0; i < whole; i += 16)                                                                      \
            for (int k = 0; k < 2; k++) {                                                                              \
                const ptrdiff_t at = i + 8 * k;                                                                        \
                const fastnn_oct v = fastnn_oct_mul(fastnn_oct_##T(grad + at), fastnn_oct_double(gamma + at));         \
                s[k] = fastnn_oct_add(s[k], v);                                                                        \
                p[k] = fastnn_oct_add(p[k], fastnn_oct_mul(v, fastnn_oct_less(fastnn_oct_##T(own + at), mean)));       \
            }                                                                                                          \
        for (ptrdiff_t i = whole; i < columns; i++) {                                                                  \
            const double v = (double)grad[i] * gamma[i];                                                               \
            sum += v;                                                                                                  \
            projection += v * ((double)own[i] - mean);                                                                 \
        }                                                                                                              \
        sums[row] = centred ? (fastnn_octs_sum(s) + sum) / (double)columns : 0;                                        \
        slopes[row] = (fastnn_octs_sum(p) + projection) / (double)columns * factor * factor;                           \
    }                                                                                                                  \
    for (ptrdiff_t i = 0; i < eights; i += 8) {                                                                        \
        const fastnn_oct scale = fastnn_oct_double(gamma + i);                                                         \
        fastnn_oct to_gamma = fastnn_oct_double(dgamma + i);                                                           \
        fastnn_oct to_beta = dbeta != NULL ? fastnn_oct_double(dbeta + i) : fastnn_oct_of(0);                          \
        for (int row = 0; row < rows; row++) {                                                                         \
            const ptrdiff_t at = row * columns + i;                                                                    \
            if (streaming && columns >= FASTNN_NORM_FETCHED) {                                                         \
                fastnn_fetch(g + at + rows * columns);                                                                 \
                fastnn_fetch(x + at + rows * columns);                                                                 \
            }                                                                                                          \
            const fastnn_oct v = fastnn_oct_##T(g + at);                                                               \
            const fastnn_oct d = fastnn_oct_less(fastnn_oct_##T(x + at), statistics[2 * row]);                         \
            fastnn_oct dx = fastnn_oct_less(fastnn_oct_mul(v, scale), sums[row]);                                      \
            dx = fastnn_oct_add(dx, fastnn_oct_times(d, -slopes[row]));                                                \
            dx = fastnn_oct_times(dx, statistics[2 * row + 1]);                                                        \
            if (streaming)                                                                                             \
                fastnn_stream_##T(dx, out + at);                                                                       \
            else                                                                                                       \
                fastnn_put_##T(dx, out + at);                                                                          \
            to_gamma = fastnn_oct_add(to_gamma, fastnn_oct_mul(v, fastnn_oct_times(d, statistics[2 * row + 1])));      \
            to_beta = fastnn_oct_add(to_beta, v);                                                                      \
        }                                                                                                              \
        fastnn_put_double(to_gamma, dgamma + i);                                                                       \
        if (dbeta != NULL)                                                                                             \
            fastnn_put_double(to_beta, dbeta + i);                                                                     \
    }                                                                                                                  \
    for (ptrdiff_t i = eights; i < columns; i++) {                                                                     \
        double to_gamma = dgamma[i], to_beta = dbeta != NULL ? dbeta[i] : 0;                                           \
        for (int row = 0; row < rows; row++) {                                                                         \
            const double factor = statistics[2 * row + 1];                                                             \
            const double v = (double)g[row * columns + i], d = (double)x[row * columns + i] - statistics[2 * row];     \
            out[row * columns + i] = (T)((v * gamma[i] - sums[row] - d * slopes[row]) * factor);                       \
            to_gamma += v * (d * factor);                                                                              \
            to_beta += v;                                                                                              \
        }                                                                                                              \
        dgamma[i] = to_gamma;                                                                                          \
        if (dbeta != NULL)                                                                                             \
            dbeta[i] = to_beta;                                                                                        \
    }                                                                                                                  \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_norm_rows_back_##T(const void *gradient, const void *matrix, const double *gamma,                   \
                                      const double *statistics, void *result, double *dgamma, double *dbeta,           \
                                      ptrdiff_t rows, ptrdiff_t columns, int centred, int streaming)                   \
{                                                                                                                      \
    const T *g = (const T *)gradient, *x = (const T *)matrix;                                                          \
    T *out = (T *)result;                                                                                              \
    ptrdiff_t row = 0;                                                                                                 \
    for (; row + FASTNN_NORM_ROWS <= rows; row += FASTNN_NORM_ROWS)                                                    \
        if (streaming)                                                                                                 \
            fastnn_norm_back_##T(g + row * columns, x + row * columns, gamma, statistics + 2 * row,                    \
                                 out + row * columns, dgamma, dbeta, FASTNN_NORM_ROWS, columns, centred, 1);           \
        else                                                                                                           \
            fastnn_norm_back_##T(g + row * columns, x + row * columns, gamma, statistics + 2 * row,                    \
                                 out + row * columns, dgamma, dbeta, FASTNN_NORM_ROWS, columns, centred, 0);           \
    for (; row < rows; row++)                                                                                          \
        fastnn_norm_back_##T(g + row * columns, x + row * columns, gamma, statistics + 2 * row, out + row * columns,   \
                             dgamma, dbeta, 1, columns, centred, 0);                                                   \
    if (streaming)                                                                                                     \
        fastnn_streamed();                                                                                             \
}

FASTNN_ROW_NORMS_OF(float)
FASTNN_ROW_NORMS_OF(double)

/* Called by address: n floats as doubles. */
static void fastnn_widened(const float *x, double *out, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8)
        fastnn_put_double(fastnn_oct_float(x + i), out + i);
    for (; i < n; i++)
        out[i] = (double)x[i];
}

#endif
