/* Normalization of the rows of a matrix: LayerNorm (centred) and RMSNorm, in double for either type.

   16 elements side by side belong to 16 sums, which are added as a fixed tree: a row's bits hang on its length alone.
   A row is read from memory once in either direction; what follows finds it in the first cache. */

#ifndef FASTNN_ROW_NORMS_H
#define FASTNN_ROW_NORMS_H

#include <math.h>
#include <stddef.h>
#include "reductions.h"

#define FASTNN_QUADS(S) fastnn_quad_add(fastnn_quad_add(S[0], S[1]), fastnn_quad_add(S[2], S[3]))

/* What is called by address. `statistics` has the mean, 0 unless `centred`, and 1/sqrt(variance + eps) of each row.
   fastnn_norm_rows_*: (x - mean)/sqrt(variance + eps) gamma + beta; beta may be NULL.
   fastnn_norm_rows_back_*: the gradient of x; those of gamma and, unless NULL, beta are added to `dgamma`, `dbeta`. */
#define FASTNN_ROW_NORMS_OF(T)                                                                                         \
static void fastnn_norm_rows_##T(const void *FASTNN_RESTRICT matrix, const void *FASTNN_RESTRICT scales,               \
                                 const void *FASTNN_RESTRICT shifts, void *FASTNN_RESTRICT result,                     \
                                 double *FASTNN_RESTRICT statistics, ptrdiff_t rows, ptrdiff_t columns, double eps,    \
                                 int centred)                                                                          \
{                                                                                                                      \
    const T *x = (const T *)matrix, *gamma = (const T *)scales, *beta = (const T *)shifts;                             \
    T *out = (T *)result;                                                                                              \
    const ptrdiff_t whole = columns & -16;                                                                             \
    for (; rows > 0; rows--, x += columns, out += columns, statistics += 2) {                                          \
        const fastnn_quad zero = fastnn_quad_of(0, 0, 0, 0);                                                           \
        double mean = 0, rest = 0, factor;                                                                             \
        fastnn_quad s[4] = {zero, zero, zero, zero}, against;                                                          \
        if (centred) {                                                                                                 \
            for (ptrdiff_t i = 0; i < whole; i += 16)                                                                  \
                for (int k = 0; k < 4; k++)                                                                            \
                    s[k] = fastnn_quad_add(s[k], fastnn_quad_##T(x + i + 4 * k));                                      \
            for (ptrdiff_t i = whole; i < columns; i++)                                                                \
                rest += (double)x[i];                                                                                  \
            mean = (fastnn_quad_sum(FASTNN_QUADS(s)) + rest) / (double)columns;                                        \
        }                                                                                                              \
        against = fastnn_quad_of(-mean, -mean, -mean, -mean);                                                          \
        s[0] = s[1] = s[2] = s[3] = zero;                                                                              \
        rest = 0;                                                                                                      \
        for (ptrdiff_t i = 0; i < whole; i += 16)                                                                      \
            for (int k = 0; k < 4; k++) {                                                                              \
                fastnn_quad d = fastnn_quad_add(fastnn_quad_##T(x + i + 4 * k), against);                              \
                s[k] = fastnn_quad_add(s[k], fastnn_quad_mul(d, d));                                                   \
            }                                                                                                          \
        for (ptrdiff_t i = whole; i < columns; i++)                                                                    \
            rest += ((double)x[i] - mean) * ((double)x[i] - mean);                                                     \
        factor = 1 / sqrt((fastnn_quad_sum(FASTNN_QUADS(s)) + rest) / (double)columns + eps);                          \
        statistics[0] = mean;                                                                                          \
        statistics[1] = factor;                                                                                        \
        if (beta != NULL)                                                                                              \
            for (ptrdiff_t i = 0; i < columns; i++)                                                                    \
                out[i] = (T)(((double)x[i] - mean) * factor * (double)gamma[i] + (double)beta[i]);                     \
        else                                                                                                           \
            for (ptrdiff_t i = 0; i < columns; i++)                                                                    \
                out[i] = (T)(((double)x[i] - mean) * factor * (double)gamma[i]);                                       \
    }                                                                                                                  \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_norm_rows_back_##T(const void *FASTNN_RESTRICT gradient, const void *FASTNN_RESTRICT matrix,        \
                                      const void *FASTNN_RESTRICT scales, const double *FASTNN_RESTRICT statistics,    \
                                      void *FASTNN_RESTRICT result, double *FASTNN_RESTRICT dgamma,                    \
                                      double *FASTNN_RESTRICT dbeta, ptrdiff_t rows, ptrdiff_t columns, int centred)   \
{                                                                                                                      \
    const T *g = (const T *)gradient, *x = (const T *)matrix, *gamma = (const T *)scales;                              \
    T *out = (T *)result;                                                                                              \
    const ptrdiff_t whole = columns & -16;                                                                             \
    for (; rows > 0; rows--, g += columns, x += columns, out += columns, statistics += 2) {                            \
        const fastnn_quad zero = fastnn_quad_of(0, 0, 0, 0);                                                           \
        const double mean = statistics[0], factor = statistics[1];                                                     \
        const fastnn_quad against = fastnn_quad_of(-mean, -mean, -mean, -mean);                                        \
        double sum = 0, projection = 0, slope;                                                                         \
        fastnn_quad s[4] = {zero, zero, zero, zero}, p[4] = {zero, zero, zero, zero};                                  \
        for (ptrdiff_t i = 0; i < whole; i += 16)                                                                      \
            for (int k = 0; k < 4; k++) {                                                                              \
                const ptrdiff_t at = i + 4 * k;                                                                        \
                fastnn_quad v = fastnn_quad_mul(fastnn_quad_##T(g + at), fastnn_quad_##T(gamma + at));                 \
                s[k] = fastnn_quad_add(s[k], v);                                                                       \
                v = fastnn_quad_mul(v, fastnn_quad_add(fastnn_quad_##T(x + at), against));                             \
                p[k] = fastnn_quad_add(p[k], v);                                                                       \
            }                                                                                                          \
        for (ptrdiff_t i = whole; i < columns; i++) {                                                                  \
            const double v = (double)g[i] * (double)gamma[i];                                                          \
            sum += v;                                                                                                  \
            projection += v * ((double)x[i] - mean);                                                                   \
        }                                                                                                              \
        sum = centred ? (fastnn_quad_sum(FASTNN_QUADS(s)) + sum) / (double)columns : 0;                                \
        projection = (fastnn_quad_sum(FASTNN_QUADS(p)) + projection) / (double)columns;                                \
        slope = projection * factor * factor;                                                                          \
        for (ptrdiff_t i = 0; i < columns; i++) {                                                                      \
            const double d = (double)x[i] - mean;                                                                      \
            out[i] = (T)(factor * ((double)g[i] * (double)gamma[i] - sum - d * slope));                                \
            dgamma[i] += (double)g[i] * (d * factor);                                                                  \
        }                                                                                                              \
        if (dbeta != NULL)                                                                                             \
            for (ptrdiff_t i = 0; i < columns; i++)                                                                    \
                dbeta[i] += (double)g[i];                                                                              \
    }                                                                                                                  \
}

FASTNN_ROW_NORMS_OF(float)
FASTNN_ROW_NORMS_OF(double)

#endif
