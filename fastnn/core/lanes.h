/* Short rows become the columns of a matrix, SIMD's lanes, and back: element by element it would cost more than what is
   then computed.

   step is the length of a line of the matrix. The last few elements of a row are moved twice where n is no multiple. */

#ifndef FASTNN_LANES_H
#define FASTNN_LANES_H

#include "turning.h"

#define FASTNN_TURN_ALL(to, to_row, to_element, from, from_row, from_element, first) \
    for (ptrdiff_t row = (first); row < rows; row++) \
        for (ptrdiff_t i = 0; i < n; i++) \
            (to)[row * (to_row) + i * (to_element)] = (from)[row * (from_row) + i * (from_element)]

#define FASTNN_TURN(real, turn, size) \
    static inline void fastnn_to_lanes_##real(const real *x, ptrdiff_t n, ptrdiff_t rows, real *lanes, ptrdiff_t step) \
    { \
        ptrdiff_t c = 0; \
        if (n >= size) \
            for (; c + size <= rows; c += size) \
                for (ptrdiff_t i = 0; i < n; i += size) { \
                    ptrdiff_t at = i + size <= n ? i : n - size; \
                    turn(x + c * n + at, n, lanes + at * step + c, step); \
                } \
        FASTNN_TURN_ALL(lanes, 1, step, x, n, 1, c); \
    } \
    static inline void fastnn_from_lanes_##real(const real *lanes, ptrdiff_t step, real *out, ptrdiff_t n, ptrdiff_t rows) \
    { \
        ptrdiff_t c = 0; \
        if (n >= size) \
            for (; c + size <= rows; c += size) \
                for (ptrdiff_t i = 0; i < n; i += size) { \
                    ptrdiff_t at = i + size <= n ? i : n - size; \
                    turn(lanes + at * step + c, step, out + c * n + at, n); \
                } \
        FASTNN_TURN_ALL(out, n, 1, lanes, 1, step, c); \
    }

FASTNN_TURN(float, fastnn_turn_floats, FASTNN_TURNED_FLOATS)
FASTNN_TURN(double, fastnn_turn_doubles, FASTNN_TURNED_DOUBLES)

#endif
