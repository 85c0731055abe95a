"""What affine.pyx, normalization.pyx, row_norms.pyx, dropout.pyx and what draws numbers call, by address.

Compiled once per instruction-set level (tools/translation.py), without contraction: all levels give the same bits.
"""
from libc.stdint cimport uintptr_t

# by address alone: their types are those of columns.pxd
cdef extern from "columns.h":
    void fastnn_add_bias_float()
    void fastnn_add_bias_double()
    void fastnn_biased_float()
    void fastnn_biased_double()
    void fastnn_add_columns_float()
    void fastnn_add_columns_double()
    void fastnn_add_squares_float()
    void fastnn_add_squares_double()
    void fastnn_add_moments_float()
    void fastnn_add_moments_double()
    void fastnn_normalized_float()
    void fastnn_normalized_double()
    void fastnn_projected_float()
    void fastnn_projected_double()

cdef extern from "row_norms.h":
    void fastnn_norm_rows_float()
    void fastnn_norm_rows_double()
    void fastnn_norm_rows_back_float()
    void fastnn_norm_rows_back_double()
    void fastnn_widened()

cdef extern from "masks.h":
    void fastnn_mask_float()
    void fastnn_mask_double()
    void fastnn_masked_float()
    void fastnn_masked_double()
    void fastnn_random_words()

# name: (address for float, address for double)
COLUMNS = {
    "add_bias": (<uintptr_t>fastnn_add_bias_float, <uintptr_t>fastnn_add_bias_double),
    "biased": (<uintptr_t>fastnn_biased_float, <uintptr_t>fastnn_biased_double),
    "add_columns": (<uintptr_t>fastnn_add_columns_float, <uintptr_t>fastnn_add_columns_double),
    "add_squares": (<uintptr_t>fastnn_add_squares_float, <uintptr_t>fastnn_add_squares_double),
    "add_moments": (<uintptr_t>fastnn_add_moments_float, <uintptr_t>fastnn_add_moments_double),
    "normalized": (<uintptr_t>fastnn_normalized_float, <uintptr_t>fastnn_normalized_double),
    "projected": (<uintptr_t>fastnn_projected_float, <uintptr_t>fastnn_projected_double),
}

ROW_NORMS = {
    "forward": (<uintptr_t>fastnn_norm_rows_float, <uintptr_t>fastnn_norm_rows_double),
    "backward": (<uintptr_t>fastnn_norm_rows_back_float, <uintptr_t>fastnn_norm_rows_back_double),
}
WIDENED = <uintptr_t>fastnn_widened

MASKS = {
    "mask": (<uintptr_t>fastnn_mask_float, <uintptr_t>fastnn_mask_double),
    "masked": (<uintptr_t>fastnn_masked_float, <uintptr_t>fastnn_masked_double),
}
RANDOM_WORDS = <uintptr_t>fastnn_random_words
