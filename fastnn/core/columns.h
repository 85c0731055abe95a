/* Loops over the rows of a matrix with a number for each column: biases, sums over rows, batch normalization.

   Eight rows are added as a tree, the trees in double, so that a sum's bits hang on the shape alone. */

#ifndef FASTNN_COLUMNS_H
#define FASTNN_COLUMNS_H

#include <stddef.h>
#include "stored.h"

#define FASTNN_TREE(TERM)                                                                                              \
    (((TERM(0) + TERM(1)) + (TERM(2) + TERM(3))) + ((TERM(4) + TERM(5)) + (TERM(6) + TERM(7))))
#define FASTNN_X(k) x[i + (k) * stride]
#define FASTNN_G(k) g[i + (k) * stride]
#define FASTNN_CENTRED(k) (FASTNN_X(k) - centre[i])
#define FASTNN_SQUARE(k) (FASTNN_CENTRED(k) * FASTNN_CENTRED(k))
#define FASTNN_MOMENT(k) (FASTNN_G(k) * FASTNN_CENTRED(k))

/* What is called by address, for matrices of either type, whose rows are `stride` numbers apart or contiguous:
   fastnn_add_bias_*: z += bias, elements start to stop; fastnn_biased_*: the same into `out`, from its beginning.
   fastnn_add_columns_*: the sums of n neighbouring columns, added to `total`.
   fastnn_add_squares_*, fastnn_add_moments_*: likewise (x - centre)^2; g, and g (x - centre).
   fastnn_normalized_*: (x - centre) factor + shift.
   fastnn_projected_*: factor (g - mean - (x - centre) slope). */
#define FASTNN_COLUMNS_OF(T)                                                                                           \
static void fastnn_add_bias_##T(void *FASTNN_RESTRICT matrix, const void *FASTNN_RESTRICT vector, ptrdiff_t columns,   \
                                ptrdiff_t start, ptrdiff_t stop)                                                       \
{                                                                                                                      \
    T *z = (T *)matrix + start;                                                                                        \
    const T *bias = (const T *)vector + start % columns;                                                               \
    ptrdiff_t n = columns - start % columns;                                                                           \
    for (; start < stop; start += n, z += n, bias = (const T *)vector, n = columns) {                                  \
        n = n < stop - start ? n : stop - start;                                                                       \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            z[i] += bias[i];                                                                                           \
    }                                                                                                                  \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_biased_##T(const void *FASTNN_RESTRICT matrix, const void *FASTNN_RESTRICT vector,                  \
                              void *FASTNN_RESTRICT result, ptrdiff_t columns, ptrdiff_t start, ptrdiff_t stop)        \
{                                                                                                                      \
    const T *z = (const T *)matrix + start;                                                                            \
    const T *bias = (const T *)vector + start % columns;                                                               \
    T *out = (T *)result;                                                                                              \
    ptrdiff_t n = columns - start % columns;                                                                           \
    for (; start < stop; start += n, z += n, out += n, bias = (const T *)vector, n = columns) {                        \
        n = n < stop - start ? n : stop - start;                                                                       \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            out[i] = z[i] + bias[i];                                                                                   \
    }                                                                                                                  \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_add_columns_##T(const void *FASTNN_RESTRICT matrix, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t n,  \
                                   double *FASTNN_RESTRICT total)                                                      \
{                                                                                                                      \
    const T *x = (const T *)matrix;                                                                                    \
    for (; rows >= 8; rows -= 8, x += 8 * stride)                                                                      \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            total[i] += (double)FASTNN_TREE(FASTNN_X);                                                                 \
    for (; rows > 0; rows--, x += stride)                                                                              \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            total[i] += (double)x[i];                                                                                  \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_add_squares_##T(const void *FASTNN_RESTRICT matrix, const void *FASTNN_RESTRICT vector,             \
                                   ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t n, double *FASTNN_RESTRICT total)       \
{                                                                                                                      \
    const T *x = (const T *)matrix, *centre = (const T *)vector;                                                       \
    for (; rows >= 8; rows -= 8, x += 8 * stride)                                                                      \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            total[i] += (double)FASTNN_TREE(FASTNN_SQUARE);                                                            \
    for (; rows > 0; rows--, x += stride)                                                                              \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            total[i] += (double)FASTNN_SQUARE(0);                                                                      \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_add_moments_##T(const void *FASTNN_RESTRICT gradient, const void *FASTNN_RESTRICT matrix,           \
                                   const void *FASTNN_RESTRICT vector, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t n,  \
                                   double *FASTNN_RESTRICT total, double *FASTNN_RESTRICT moment)                      \
{                                                                                                                      \
    const T *g = (const T *)gradient, *x = (const T *)matrix, *centre = (const T *)vector;                             \
    for (; rows >= 8; rows -= 8, g += 8 * stride, x += 8 * stride)                                                     \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                            \
            total[i] += (double)FASTNN_TREE(FASTNN_G);                                                                 \
            moment[i] += (double)FASTNN_TREE(FASTNN_MOMENT);                                                           \
        }                                                                                                              \
    for (; rows > 0; rows--, g += stride, x += stride)                                                                 \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                            \
            total[i] += (double)g[i];                                                                                  \
            moment[i] += (double)FASTNN_MOMENT(0);                                                                     \
        }                                                                                                              \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_normalized_##T(const void *FASTNN_RESTRICT matrix, const void *FASTNN_RESTRICT centres,             \
                                  const void *FASTNN_RESTRICT factors, const void *FASTNN_RESTRICT shifts,             \
                                  void *FASTNN_RESTRICT result, ptrdiff_t rows, ptrdiff_t columns)                     \
{                                                                                                                      \
    const T *x = (const T *)matrix, *centre = (const T *)centres, *factor = (const T *)factors;                        \
    const T *shift = (const T *)shifts;                                                                                \
    T *out = (T *)result;                                                                                              \
    for (; rows > 0; rows--, x += columns, out += columns)                                                             \
        for (ptrdiff_t i = 0; i < columns; i++)                                                                        \
            out[i] = (x[i] - centre[i]) * factor[i] + shift[i];                                                        \
}                                                                                                                      \
                                                                                                                       \
static void fastnn_projected_##T(const void *FASTNN_RESTRICT gradient, const void *FASTNN_RESTRICT matrix,             \
                                 const void *FASTNN_RESTRICT centres, const void *FASTNN_RESTRICT factors,             \
                                 const void *FASTNN_RESTRICT means, const void *FASTNN_RESTRICT slopes,                \
                                 void *FASTNN_RESTRICT result, ptrdiff_t rows, ptrdiff_t columns)                      \
{                                                                                                                      \
    const T *g = (const T *)gradient, *x = (const T *)matrix, *centre = (const T *)centres;                            \
    const T *factor = (const T *)factors, *mean = (const T *)means, *slope = (const T *)slopes;                        \
    T *out = (T *)result;                                                                                              \
    for (; rows > 0; rows--, g += columns, x += columns, out += columns)                                               \
        for (ptrdiff_t i = 0; i < columns; i++)                                                                        \
            out[i] = factor[i] * ((g[i] - mean[i]) - (x[i] - centre[i]) * slope[i]);                                   \
}

FASTNN_COLUMNS_OF(float)
FASTNN_COLUMNS_OF(double)

#endif
