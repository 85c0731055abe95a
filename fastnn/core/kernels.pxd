"""The C signatures of compiled kernels: all that the engine knows of them.

A kernel sees contiguous blocks that do not overlap, holds no GIL and allocates nothing. The number of elements it is
given is a multiple of MAP_STEP, a rule's of BLOCK_STEP (fastnn/core/loops.pxd); users' formulas are compiled to the
same signatures (fastnn/jit/kernels.py).
"""
from libc.stdint cimport uint32_t

# what a kernel is asked for
cdef enum:
    VALUE = 0           # f
    FIRST = 1           # f'
    SECOND = 2          # f''
    PRODUCT = 3         # the vector-Jacobian product with y: f' y, element by element, or along a row
    PRODUCT_BY_VALUE = 4    # the same where x holds the values of f, of kernels that need no more
    FIRST_BY_VALUE = 5      # f' likewise
    BOTH = 6            # f and, in `second`, f', each with the bits that it has alone

cdef enum:
    MOST_PARAMETERS = 16    # that an elementwise kernel reads from h; those of the catalogue read two at least

# y is the second operand and `second` the second result, where there is one
ctypedef void (*elementwise_float)(int order, const float *x, const float *y, float *out, float *second, Py_ssize_t n,
                                   const float *h) noexcept nogil
ctypedef void (*elementwise_double)(int order, const double *x, const double *y, double *out, double *second,
                                    Py_ssize_t n, const double *h) noexcept nogil

# a loss of y, t and v: its value, or with BOTH its derivatives in y and v, too
ctypedef void (*of_three_float)(int order, const float *y, const float *t, const float *v, float *out, float *second,
                                float *third, Py_ssize_t n, const float *h) noexcept nogil
ctypedef void (*of_three_double)(int order, const double *y, const double *t, const double *v, double *out,
                                 double *second, double *third, Py_ssize_t n, const double *h) noexcept nogil

# `count` rows of n elements, of any length: one after another where step is 1, else side by side, as the columns of a
# matrix are, each row's elements `step` apart. out may be x, and g where x holds values; h holds the hyperparameters
ctypedef void (*row_float)(int order, const float *x, const float *g, float *out, Py_ssize_t n, Py_ssize_t step,
                           Py_ssize_t count, const double *h) noexcept nogil
ctypedef void (*row_double)(int order, const double *x, const double *g, double *out, Py_ssize_t n, Py_ssize_t step,
                            Py_ssize_t count, const double *h) noexcept nogil

# the losses of `count` rows of logits, one after another, and, unless grad is NULL, their gradients; the targets are the
# rows t, or labels where t is NULL; h holds the loss's constants
ctypedef void (*row_loss_float)(const float *x, const float *t, const Py_ssize_t *labels, float *grad, double *losses,
                                Py_ssize_t n, Py_ssize_t count, const double *h) noexcept nogil
ctypedef void (*row_loss_double)(const double *x, const double *t, const Py_ssize_t *labels, double *grad, double *losses,
                                 Py_ssize_t n, Py_ssize_t count, const double *h) noexcept nogil

# max(margin + |a - p| - |a - n|, 0) of `count` rows of n elements, and, unless grad_a is NULL, the gradients in the three,
# times the rows' `shares`; losses/metric.pxd
ctypedef void (*triplet_float)(const float *a, const float *p, const float *negative, float *grad_a, float *grad_p,
                               float *grad_n, double *losses, const double *shares, Py_ssize_t n, Py_ssize_t count,
                               const double *h) noexcept nogil
ctypedef void (*triplet_double)(const double *a, const double *p, const double *negative, double *grad_a,
                                double *grad_p, double *grad_n, double *losses, const double *shares, Py_ssize_t n,
                                Py_ssize_t count, const double *h) noexcept nogil

# An optimizer's rule f, which gives the delta of each element: target = keep target + f(scale g, p). With `in_place` the
# target is the parameter and p is not looked at, else the rule reads p, if it reads the parameter. state holds a pointer
# for each slot, c the constants of the step.
ctypedef void (*rule_float)(const float *g, const float *p, float *const *state, float *target, Py_ssize_t n,
                            const float *c, float scale, float keep, bint in_place) noexcept nogil
ctypedef void (*rule_double)(const double *g, const double *p, double *const *state, double *target, Py_ssize_t n,
                             const double *c, double scale, double keep, bint in_place) noexcept nogil
# the same in one with loading and storing a block of up to STORED_BLOCK elements whose state has reduced precision; a
# number for random rounding of each slot
ctypedef void (*rule_stored)(const float *g, const float *p, char *const *codes, float *const *scales, float *target,
                             Py_ssize_t n, const float *c, float scale, float keep, bint in_place,
                             const uint32_t *random) noexcept nogil

# what is done to gradients before a rule sees them: around.pxi
ctypedef void (*scaled_float)(const float *g, float *out, Py_ssize_t n, float scale, float most) noexcept nogil
ctypedef void (*scaled_double)(const double *g, double *out, Py_ssize_t n, double scale, double most) noexcept nogil
ctypedef void (*decayed_float)(const float *p, float *out, Py_ssize_t n, float l2, float l1) noexcept nogil
ctypedef void (*decayed_double)(const double *p, double *out, Py_ssize_t n, double l2, double l1) noexcept nogil
ctypedef void (*unit_float)(const double *values, bint same, float *out, Py_ssize_t n) noexcept nogil
ctypedef void (*unit_double)(const double *values, bint same, double *out, Py_ssize_t n) noexcept nogil

# the sum of each block of FASTNN_SUM_BLOCK elements; rows added to the sums of their columns: reductions.h
ctypedef void (*block_sums)(const void *x, Py_ssize_t n, int what, double factor, double *sums) noexcept nogil
ctypedef void (*add_rows)(const void *x, Py_ssize_t rows, Py_ssize_t stride, Py_ssize_t columns, int what,
                          double factor, double *sums) noexcept nogil
